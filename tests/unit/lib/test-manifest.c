/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/hmac.h>
#include <iicp/manifest.h>
#include <stdio.h>

static struct iicp_json parsed(struct iicp_str text) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(text, NULL, NULL, &v), 0);
        return v;
}

static void IICPD_05_32_signing_vectors(void **state) {
        json_object *doc = vector_ours("security/policy-manifest-v1.json");
        uint8_t seed[IICP_SEED];
        size_t n;

        (void) state;
        assert_int_equal(iicp_hex_decode(vector_str(doc, "operator_seed_hex"), seed, sizeof seed, &n), 0);
        vector_each(vector_get(doc, "signed"), c) {
                _cleanup_(iicp_buf_free) struct iicp_buf out = {0}, text = {0};
                struct iicp_json input = parsed(vector_text(vector_get(c, "input"))), made;

                assert_null(iicp_manifest_lint(&input));
                assert_int_equal(iicp_manifest_sign(&input, seed, 1800000000, &out), 0);
                assert_string_equal(out.p, vector_text(vector_get(c, "signed")).p);
                made = parsed(iicp_buf_str(&out));
                assert_null(iicp_manifest_lint(&made));
                assert_int_equal(iicp_manifest_text(&made, &text), 0);
                assert_string_equal(text.p, vector_str(c, "canonical_utf8").p);
        }
        json_object_put(doc);
}

static void IICPD_05_32_status_vectors(void **state) {
        json_object *doc = vector_ours("security/policy-manifest-v1.json");

        (void) state;
        vector_each(vector_get(doc, "checks"), c) {
                struct iicp_json m = parsed(vector_text(vector_get(c, "manifest")));
                enum iicp_manifest_status s = iicp_manifest_check(&m, json_object_get_int64(vector_get(c, "now_s")), NULL);

                if (!iicp_str_is(vector_str(c, "expect_status"), iicp_manifest_status_name(s)))
                        print_error("%s\n", vector_str(c, "name").p);
                assert_string_equal(iicp_manifest_status_name(s), vector_str(c, "expect_status").p);
        }
        json_object_put(doc);
}

static void IICPD_01_41_IICPD_05_32_lint(void **state) {
        static const char *const more[] = {
                "{}", "[]", "{\"version\":\"a \"}", "{\"training_use\":\"maybe\"}", "{\"policy_url\":\"ftp://x\"}",
                "{\"policy_url\":\"https://\"}", "{\"jurisdiction\":\"-DE\"}", "{\"jurisdiction\":\"DE/x\"}",
                "{\"retention\":{\"logs_days\":3651}}", "{\"retention\":{\"logs_days\":-1}}",
                "{\"retention\":{\"task_payload\":\"forever\"}}", "{\"retention\":{\"x\":1}}",
                "{\"subprocessors\":[\"a<b\"]}", "{\"subprocessors\":[\"\"]}", "{\"subprocessors\":\"a\"}",
                "{\"unsupported_intents\":[\"x\"]}", "{\"remote_executor_can_read_prompt\":1}",
                "{\"retention\":{\"logs_days\":1,\"logs_days\":1}}", "{\"signature\":{}}",
                "{\"signature\":{\"x\":\"y\"}}", "{\"signature\":null}",
                "{\"version\":\"123456789012345678901234567890123\"}",
        };
        json_object *doc = vector_ours("security/policy-manifest-v1.json");
        uint8_t seed[IICP_SEED] = {1};

        (void) state;
        vector_each(vector_get(doc, "lint_reject"), c) {
                _cleanup_(iicp_buf_free) struct iicp_buf out = {0};
                struct iicp_json m = parsed(vector_text(vector_get(c, "manifest")));

                if (!iicp_manifest_lint(&m))
                        print_error("%s\n", vector_str(c, "why").p);
                assert_non_null(iicp_manifest_lint(&m));
                assert_int_equal(iicp_manifest_sign(&m, seed, 1, &out), -EINVAL);
        }
        for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
                struct iicp_json m = parsed(iicp_str(more[i]));

                if (!iicp_manifest_lint(&m))
                        print_error("%s\n", more[i]);
                assert_non_null(iicp_manifest_lint(&m));
        }
        json_object_put(doc);
}

static void IICPD_01_41_limits_have_two_sides(void **state) {
        struct {
                const char *before, *item, *after;
                int good, bad;
        } cases[] = {
                {"{\"subprocessors\":[", "\"a\"", "]}", 20, 21},
                {"{\"unsupported_intents\":[", "\"urn:iicp:intent:llm:chat:v1\"", "]}", 100, 101},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                for (int bad = 0; bad <= 1; bad++) {
                        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
                        struct iicp_json m;

                        iicp_buf_puts(&text, cases[i].before);
                        for (int k = 0; k < (bad ? cases[i].bad : cases[i].good); k++)
                                iicp_buf_printf(&text, "%s%s", k ? "," : "", cases[i].item);
                        iicp_buf_puts(&text, cases[i].after);
                        m = parsed(iicp_buf_str(&text));
                        assert_int_equal(iicp_manifest_lint(&m) != NULL, bad);
                }
}

static void a_new_signature_replaces_the_old_one(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf first = {0}, second = {0};
        struct iicp_json m = parsed(IICP_STR("{\"version\":\"1\"}"));
        uint8_t seed[IICP_SEED] = {1};
        int64_t expires;

        (void) state;
        assert_int_equal(iicp_manifest_sign(&m, seed, 1000, &first), 0);
        m = parsed(iicp_buf_str(&first));
        assert_int_equal(iicp_manifest_sign(&m, seed, 2000, &second), 0);
        m = parsed(iicp_buf_str(&second));
        assert_int_equal(iicp_manifest_check(&m, 3000, &expires), IICP_MANIFEST_SIGNED_VALID);
        assert_int_equal(expires, 2000 + IICP_MANIFEST_VALID_S);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_32_signing_vectors),
                cmocka_unit_test(IICPD_05_32_status_vectors),
                cmocka_unit_test(IICPD_01_41_IICPD_05_32_lint),
                cmocka_unit_test(IICPD_01_41_limits_have_two_sides),
                cmocka_unit_test(a_new_signature_replaces_the_old_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
