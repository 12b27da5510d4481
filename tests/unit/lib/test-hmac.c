/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/hmac.h>

static void expect(struct iicp_str key, struct iicp_str message, struct iicp_str wanted) {
        char out[65];

        assert_int_equal(iicp_hmac_sha256_hex(key, message, out), 0);
        assert_string_equal(out, wanted.p);
}

/* Texts are signed as they are: no key, no challenge is decoded. */
static void DIR_HB_LIVE_01_liveness_of_the_security_vectors(void **state) {
        struct json_object *doc = vector_ours("security/hmac-v1.json"), *list = vector_get(doc, "liveness");

        (void) state;
        assert_true(json_object_array_length(list) > 0);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);

                expect(vector_str(c, "node_hmac_key"), vector_str(c, "challenge"), vector_str(c, "challenge_response"));
        }
        json_object_put(doc);
}

static void IICPD_05_23_pricing_and_receipt_texts(void **state) {
        struct json_object *doc = vector_ours("security/hmac-v1.json"), *pricing = vector_get(doc, "pricing");
        struct json_object *list = vector_get(pricing, "cases");

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);

                expect(vector_str(pricing, "node_hmac_key"), vector_str(c, "canonical_utf8"),
                       vector_str(c, "declaration_signature"));
        }
        list = vector_get(doc, "cip_receipts");
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);

                expect(vector_str(c, "node_hmac_key"), vector_str(c, "canonical_utf8"), vector_str(c, "signature"));
        }
        json_object_put(doc);
}

static void SEC_AUTH_02_absent_and_empty_match_nothing(void **state) {
        static const char with_nul[] = "secret\0more";

        (void) state;
        assert_true(iicp_secret_eq(IICP_STR("secret"), IICP_STR("secret")));
        assert_false(iicp_secret_eq(IICP_STR("secret"), IICP_STR("secret ")));
        assert_false(iicp_secret_eq(IICP_STR("secret"), IICP_STR("secreT")));
        assert_false(iicp_secret_eq(IICP_STR("secret"), (struct iicp_str){with_nul, sizeof(with_nul) - 1}));
        assert_false(iicp_secret_eq(IICP_STR(""), IICP_STR("")));
        assert_false(iicp_secret_eq(IICP_STR_NONE, IICP_STR_NONE));
        assert_false(iicp_secret_eq(IICP_STR("secret"), IICP_STR_NONE));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(DIR_HB_LIVE_01_liveness_of_the_security_vectors),
                cmocka_unit_test(IICPD_05_23_pricing_and_receipt_texts),
                cmocka_unit_test(SEC_AUTH_02_absent_and_empty_match_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
