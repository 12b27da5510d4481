/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <errno.h>
#include <stdlib.h>

#include <iicp/buf.h>

static void writes_are_appended_and_terminated(void **state) {
        struct iicp_buf b = {};
        char *p;
        size_t n;

        (void) state;
        assert_true(iicp_str_is(iicp_buf_str(&b), ""));
        iicp_buf_puts(&b, "a");
        iicp_buf_add(&b, NULL, 0);
        iicp_buf_add_str(&b, IICP_STR("bc"));
        iicp_buf_printf(&b, "%d%s", 42, "x");
        assert_string_equal(b.p, "abc42x");
        for (int i = 0; i < 1000; i++)
                iicp_buf_printf(&b, "%0100d", i);
        assert_int_equal(b.n, 6 + 1000 * 100);
        assert_int_equal(strlen(b.p), b.n);
        p = iicp_buf_take(&b, &n);
        assert_int_equal(n, 6 + 1000 * 100);
        assert_null(b.p);
        free(p);
        p = iicp_buf_take(&b, &n);
        assert_string_equal(p, "");
        assert_int_equal(n, 0);
        free(p);
}

static void the_bound_holds_and_the_error_sticks(void **state) {
        struct iicp_buf b = {.max = 10};
        size_t n = 77;

        (void) state;
        iicp_buf_puts(&b, "0123456789");
        assert_int_equal(b.error, 0);
        iicp_buf_puts(&b, "x");
        assert_int_equal(b.error, -E2BIG);
        assert_string_equal(b.p, "0123456789");
        iicp_buf_puts(&b, "");
        iicp_buf_printf(&b, "%d", 1);
        iicp_buf_json_str(&b, IICP_STR("x"));
        assert_null(iicp_buf_reserve(&b, 0));
        assert_string_equal(b.p, "0123456789");
        assert_null(iicp_buf_take(&b, &n));
        assert_int_equal(n, 77);

        b = (struct iicp_buf){.max = 10};
        iicp_buf_printf(&b, "%s", "0123456789");
        assert_string_equal(b.p, "0123456789");
        iicp_buf_printf(&b, "%s", "x");
        assert_int_equal(b.error, -E2BIG);
        iicp_buf_free(&b);
        assert_null(iicp_buf_reserve(&b, SIZE_MAX));
        assert_int_equal(b.error, -E2BIG);
        iicp_buf_free(&b);
}

static void secrets_survive_growing(void **state) {
        struct iicp_buf b = {.secret = true};

        (void) state;
        for (int i = 0; i < 1000; i++)
                iicp_buf_puts(&b, "0123456789");
        assert_int_equal(b.n, 10000);
        assert_memory_equal(b.p + 9990, "0123456789", 11);
        iicp_buf_wipe(&b);
        assert_null(b.p);
}

static void json_text_of(struct iicp_str s, const char *expected) {
        struct iicp_buf b = {};

        iicp_buf_json_str(&b, s);
        assert_string_equal(b.p, expected);
        iicp_buf_free(&b);
}

static void strings_become_json(void **state) {
        (void) state;
        json_text_of(IICP_STR(""), "\"\"");
        json_text_of(IICP_STR_NONE, "\"\"");
        json_text_of(IICP_STR("plain text that is longer than a word"),
                     "\"plain text that is longer than a word\"");
        json_text_of(IICP_STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
        json_text_of(IICP_STR("\b\f\n\r\t\x01\x1f\x7f\0z"),
                     "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000z\"");
        json_text_of(IICP_STR("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
                     "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
        json_text_of(IICP_STR("a\xff"
                              "b\xc3"),
                     "\"a\xef\xbf\xbd"
                     "b\xef\xbf\xbd\"");
        json_text_of(IICP_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

/* every place of a stop within the eight-byte steps */
static void stops_are_found_at_every_place(void **state) {
        (void) state;
        for (size_t at = 0; at < 24; at++)
                for (int c = 0; c < 0x80; c++) {
                        char text[24];
                        struct iicp_buf b = {};
                        bool plain = c >= 0x20 && c != '"' && c != '\\';

                        memset(text, 'x', sizeof(text));
                        text[at] = (char) c;
                        iicp_buf_json_str(&b, (struct iicp_str){text, sizeof(text)});
                        assert_int_equal(b.n == sizeof(text) + 2, plain);
                        iicp_buf_free(&b);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_are_appended_and_terminated),
                cmocka_unit_test(the_bound_holds_and_the_error_sticks),
                cmocka_unit_test(secrets_survive_growing),
                cmocka_unit_test(strings_become_json),
                cmocka_unit_test(stops_are_found_at_every_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
