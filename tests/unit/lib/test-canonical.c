/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/canonical.h>
#include <iicp/codec.h>
#include <iicp/receipt.h>
#include <stdio.h>

static int form(struct iicp_str text, enum iicp_canonical_form f, struct iicp_buf *out) {
        struct iicp_json v;
        int r = iicp_json_scan(text, NULL, NULL, &v);

        return r < 0 ? r : iicp_canonical(&v, f, out);
}

static void expect(struct iicp_str text, enum iicp_canonical_form f, struct iicp_str want) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};
        int r = form(text, f, &out);

        if (r < 0 || !iicp_str_eq(iicp_buf_str(&out), want))
                print_error("%.*s\n  %d: %s\n", (int) text.n, text.p, r, out.p ? out.p : "");
        assert_int_equal(r, 0);
        assert_true(iicp_str_eq(iicp_buf_str(&out), want));
}

static void IICPD_05_35_jcs_vectors(void **state) {
        json_object *doc = vector_ours("security/jcs-v1.json");
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};

        (void) state;
        vector_each(vector_get(doc, "valid"), c)
                expect(vector_str(c, "input_json"), IICP_CANONICAL_JCS, vector_str(c, "canonical_utf8"));
        vector_each(vector_get(doc, "reject"), c) {
                char bytes[64];
                struct iicp_str text = {bytes, 0};
                int r;

                if (vector_find(c, "input_json"))
                        text = vector_str(c, "input_json");
                else
                        assert_int_equal(iicp_hex_decode(vector_str(c, "input_hex"), bytes, sizeof bytes, &text.n), 0);
                r = form(text, IICP_CANONICAL_JCS, &out);

                if (r == 0)
                        print_error("accepted: %s\n", vector_str(c, "why").p);
                assert_int_not_equal(r, 0);
        }
        json_object_put(doc);
}

/* One text, three forms: what tells them apart. */
static void IICPD_05_35_forms_are_not_mixed(void **state) {
        static const char text[] = "{\"\xef\xac\xb3\":1,\"\xf0\x9f\x98\x80\":2,\"a\":\"\xc3\xa9\x7f\"}";
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};

        (void) state;
        expect(IICP_STR(text), IICP_CANONICAL_JCS,
               IICP_STR("{\"a\":\"\xc3\xa9\x7f\",\"\xf0\x9f\x98\x80\":2,\"\xef\xac\xb3\":1}"));
        expect(IICP_STR(text), IICP_CANONICAL_SORTED,
               IICP_STR("{\"a\":\"\xc3\xa9\x7f\",\"\xef\xac\xb3\":1,\"\xf0\x9f\x98\x80\":2}"));
        expect(IICP_STR(text), IICP_CANONICAL_ASCII,
               IICP_STR("{\"a\":\"\\u00e9\\u007f\",\"\\ufb33\":1,\"\\ud83d\\ude00\":2}"));
        expect(IICP_STR("[1.0,1e-5,1e21]"), IICP_CANONICAL_JCS, IICP_STR("[1,0.00001,1e+21]"));
        expect(IICP_STR("[1.0,1e-5,1e21]"), IICP_CANONICAL_ASCII, IICP_STR("[1.0,1e-05,1e+21]"));
        assert_int_equal(form(IICP_STR("[1.0]"), IICP_CANONICAL_SORTED, &out), -EINVAL);
        expect(IICP_STR("9007199254740993"), IICP_CANONICAL_ASCII, IICP_STR("9007199254740993"));
        assert_int_equal(form(IICP_STR("9007199254740993"), IICP_CANONICAL_JCS, &out), -EINVAL);
        assert_int_equal(form(IICP_STR("{\"x\":{\"a\":1,\"a\":2}}"), IICP_CANONICAL_SORTED, &out), -EEXIST);
        expect(IICP_STR("{\"x\":{\"a\":1,\"a\":2}}"), IICP_CANONICAL_ASCII, IICP_STR("{\"x\":{\"a\":2}}"));
}

static void IICPD_02_87_IICPD_05_35_canonical_json_vectors(void **state) {
        json_object *doc = vector_ours("node/canonical-json-v1.json"), *hmac = vector_ours("security/hmac-v1.json");
        struct iicp_json none = {0}, v;
        char hash[65];

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                if (vector_find(c, "result_json")) {
                        expect(vector_str(c, "result_json"), IICP_CANONICAL_ASCII, vector_str(c, "canonical"));
                        assert_int_equal(iicp_json_scan(vector_str(c, "result_json"), NULL, NULL, &v), 0);
                } else
                        v = none;
                assert_int_equal(iicp_response_hash(&v, hash), 0);
                assert_string_equal(hash, vector_str(c, "sha256").p);
        }
        vector_each(vector_get(hmac, "response_hash"), c) {
                assert_int_equal(iicp_json_scan(vector_str(c, "result_json"), NULL, NULL, &v), 0);
                assert_int_equal(iicp_response_hash(&v, hash), 0);
                assert_string_equal(hash, vector_str(c, "response_hash").p);
        }
        json_object_put(doc);
        json_object_put(hmac);
}

static void unique_looks_at_every_depth(void **state) {
        struct iicp_json v;

        (void) state;
        assert_int_equal(iicp_json_scan(IICP_STR("{\"a\":[{\"b\":1,\"\\u0062\":2}]}"), NULL, NULL, &v), 0);
        assert_int_equal(iicp_json_unique(&v), -EEXIST);
        assert_int_equal(iicp_json_scan(IICP_STR("{\"a\":[{\"b\":1},{\"b\":2}]}"), NULL, NULL, &v), 0);
        assert_int_equal(iicp_json_unique(&v), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_35_jcs_vectors),
                cmocka_unit_test(IICPD_05_35_forms_are_not_mixed),
                cmocka_unit_test(IICPD_02_87_IICPD_05_35_canonical_json_vectors),
                cmocka_unit_test(unique_looks_at_every_depth),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
