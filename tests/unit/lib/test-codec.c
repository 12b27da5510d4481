/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <errno.h>

#include <iicp/codec.h>

static const struct {
        const char *bytes, *std, *url;
} pairs[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+", "-__-"},
};

typedef int decode_fn(struct iicp_str text, void *out, size_t cap, size_t *ret_n);

static void round_trips(void **state) {
        (void) state;
        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                struct iicp_buf b = {};
                char out[16];
                size_t n = 99;

                iicp_b64_add(&b, pairs[i].bytes, strlen(pairs[i].bytes));
                assert_string_equal(iicp_buf_str(&b).p, pairs[i].std);
                iicp_buf_free(&b);
                iicp_b64url_add(&b, pairs[i].bytes, strlen(pairs[i].bytes));
                assert_string_equal(iicp_buf_str(&b).p, pairs[i].url);
                iicp_buf_free(&b);
                assert_int_equal(iicp_b64_decode(iicp_str(pairs[i].std), out, sizeof(out), &n), 0);
                assert_int_equal(n, strlen(pairs[i].bytes));
                assert_memory_equal(out, pairs[i].bytes, n);
                n = 99;
                assert_int_equal(iicp_b64url_decode(iicp_str(pairs[i].url), out, sizeof(out), &n),
                                 0);
                assert_int_equal(n, strlen(pairs[i].bytes));
                assert_memory_equal(out, pairs[i].bytes, n);
        }
}

static void refuses(decode_fn *decode, const char *text) {
        char out[64];
        size_t n = 99;

        memset(out, '!', sizeof(out));
        if (decode(iicp_str(text), out, sizeof(out), &n) != -EINVAL)
                fail_msg("accepted: %s", text);
        assert_int_equal(n, 99);
        assert_int_equal(out[0], '!');
}

static void malformed_text_is_refused(void **state) {
        char out[8];
        size_t n = 99;

        (void) state;
        assert_int_equal(iicp_b64url_decode(IICP_STR("Zg=="), out, sizeof(out), &n), 0);
        assert_int_equal(n, 1);
        refuses(iicp_b64url_decode, "Zg=");
        refuses(iicp_b64url_decode, "Zm9vYg=");
        refuses(iicp_b64url_decode, "Z");
        refuses(iicp_b64url_decode, "Zm9vZ");
        refuses(iicp_b64url_decode, "Zm9v ");
        refuses(iicp_b64url_decode, "Zm9v\n");
        refuses(iicp_b64url_decode, "+//+");
        refuses(iicp_b64url_decode, "====");
        refuses(iicp_b64url_decode, "Z===");
        refuses(iicp_b64url_decode, "Zh"); /* bits that belong to no byte */
        refuses(iicp_b64_decode, "Zg");
        refuses(iicp_b64_decode, "Zm8");
        refuses(iicp_b64_decode, "Zg=");
        refuses(iicp_b64_decode, "-__-");
        refuses(iicp_b64_decode, "Zm9=");
        refuses(iicp_b64_decode, "=Zm9");
        refuses(iicp_hex_decode, "0");
        refuses(iicp_hex_decode, "0g");
        refuses(iicp_hex_decode, " 0");
        assert_int_equal(iicp_b64url_decode(IICP_STR("Zm9v"), out, 2, &n), -ENOSPC);
        assert_int_equal(iicp_hex_decode(IICP_STR("00ff"), out, 1, &n), -ENOSPC);
}

static void hex_is_written_lower_and_read_either(void **state) {
        unsigned char out[4];
        char text[9];
        size_t n;

        (void) state;
        iicp_hex("\x00\xab\xCD\xef", 4, text);
        assert_string_equal(text, "00abcdef");
        assert_int_equal(iicp_hex_decode(IICP_STR("00ABcdEF"), out, sizeof(out), &n), 0);
        assert_int_equal(n, 4);
        assert_memory_equal(out, "\x00\xab\xcd\xef", 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(round_trips),
                cmocka_unit_test(malformed_text_is_refused),
                cmocka_unit_test(hex_is_written_lower_and_read_either),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
