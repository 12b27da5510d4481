/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/hmac.h>
#include <iicp/receipt.h>
#include <iicp/time.h>
#include <stdio.h>

static void IICPD_01_65_IICPD_05_23_pricing_vectors(void **state) {
        json_object *doc = vector_ours("directory/pricing-signature.json"), *hmac = vector_ours("security/hmac-v1.json");
        struct iicp_str key = vector_str(doc, "node_hmac_key");
        json_object *pricing;
        unsigned m;
        char sig[65];

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                _cleanup_(iicp_buf_free) struct iicp_buf text = {0};

                assert_int_equal(iicp_multiplier_parse(vector_str(c, "credit_cost_multiplier"), &m), 0);
                iicp_pricing_text(m, vector_str(c, "pricing_model").p, &text);
                assert_string_equal(text.p, vector_str(c, "signed_text").p);
                assert_int_equal(iicp_pricing_sign(key, m, vector_str(c, "pricing_model").p, sig), 0);
                assert_string_equal(sig, vector_str(c, "declaration_signature").p);
        }
        pricing = vector_get(hmac, "pricing");
        key = vector_str(pricing, "node_hmac_key");
        vector_each(vector_get(pricing, "cases"), c) {
                assert_int_equal(iicp_multiplier_parse(vector_text(vector_get(c, "multiplier")), &m), 0);
                assert_int_equal(iicp_pricing_sign(key, m, vector_str(c, "pricing_model").p, sig), 0);
                assert_string_equal(sig, vector_str(c, "declaration_signature").p);
        }
        vector_each(vector_get(hmac, "liveness"), c) {
                assert_int_equal(iicp_hmac_sha256_hex(vector_str(c, "node_hmac_key"), vector_str(c, "challenge"), sig), 0);
                assert_string_equal(sig, vector_str(c, "challenge_response").p);
        }
        json_object_put(doc);
        json_object_put(hmac);
}

static void IICPD_01_65_multipliers_have_at_most_four_decimals(void **state) {
        static const char *const bad[] = {"", "-1", "1e2", "0.00001", "1.23456", "1000.0001", "1001", ".5", "1.", "1,5",
                                          " 1", "+1", "0x1", "1.5.", "NaN", "99999999999999999999"};
        unsigned m;
        char text[IICP_CREDIT_TEXT];

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(iicp_multiplier_parse(iicp_str(bad[i]), &m), -EINVAL);
        assert_int_equal(iicp_multiplier_parse(IICP_STR("1000"), &m), 0);
        assert_int_equal(m, 10000000);
        assert_int_equal(iicp_multiplier_parse(IICP_STR("0.50000"), &m), 0);
        assert_int_equal(m, 5000);
        iicp_credit_text(0, text);
        assert_string_equal(text, "0");
        iicp_credit_text(12340, text);
        assert_string_equal(text, "1.234");
        iicp_credit_text(100000, text);
        assert_string_equal(text, "10");
}

/* Everything of a body but the time, whose spelling is free. */
static void same_body(const char *ours, json_object *want) {
        json_object *o = json_tokener_parse(ours);

        assert_non_null(o);
        assert_int_equal(json_object_object_length(o), json_object_object_length(want));
        json_object_object_foreach(want, name, value) {
                json_object *v = vector_get(o, name);

                if (strcmp(name, "expires_at") == 0)
                        assert_int_equal(iicp_time_parse(json_object_get_string(v)),
                                         iicp_time_parse(json_object_get_string(value)));
                else if (json_object_is_type(value, json_type_double))
                        assert_true(json_object_get_double(v) == json_object_get_double(value));
                else
                        assert_string_equal(json_object_get_string(v), json_object_get_string(value));
        }
        json_object_put(o);
}

static const char *text_of(json_object *o, const char *name) {
        json_object *v = vector_find(o, name);

        return v ? json_object_get_string(v) : NULL;
}

static void check_body(json_object *body, const char *canonical, struct iicp_str key, const char *multiplier) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0}, made = {0};
        struct iicp_receipt r = {
                .task_id = text_of(body, "task_id"), .parent = text_of(body, "cip_parent_task_id"),
                .session = text_of(body, "cip_session_key"), .querying_node_id = text_of(body, "querying_node_id"),
                .tokens = (uint64_t) json_object_get_int64(vector_get(body, "tokens_used")),
        };
        unsigned m = IICP_CREDIT;

        if (multiplier)
                assert_int_equal(iicp_multiplier_parse(iicp_str(multiplier), &m), 0);
        snprintf(r.nonce, sizeof r.nonce, "%s", text_of(body, "nonce"));
        snprintf(r.response_hash, sizeof r.response_hash, "%s", text_of(body, "response_hash"));
        iicp_receipt_text(&r, &text);
        assert_string_equal(text.p, canonical);
        assert_int_equal(iicp_award_body(&r, text_of(body, "node_id"), iicp_award_parts(r.tokens, m),
                                         iicp_time_parse(text_of(body, "expires_at")), key, &made), 0);
        same_body(made.p, body);
}

static void IICPD_01_84_CIP_CR1_RUST_IICPD_05_23_receipt_vectors(void **state) {
        json_object *doc = vector_ours("directory/cip-receipt.json"), *hmac = vector_ours("security/hmac-v1.json");
        char hash[65];

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                json_object *result = vector_find(c, "result"), *body = vector_find(c, "body");
                struct iicp_json v = {0};

                if (result)
                        assert_int_equal(iicp_json_scan(vector_text(result), NULL, NULL, &v), 0);
                assert_int_equal(iicp_response_hash(&v, hash), 0);
                assert_string_equal(hash, vector_str(c, "response_hash").p);
                if (body)
                        check_body(body, vector_str(c, "canonical").p, vector_str(doc, "node_hmac_key"),
                                   vector_str(c, "multiplier").p);
        }
        vector_each(vector_get(hmac, "cip_receipts"), c)
                check_body(vector_get(c, "award_body"), vector_str(c, "canonical_utf8").p, vector_str(c, "node_hmac_key"),
                           NULL);
        json_object_put(doc);
        json_object_put(hmac);
}

static void IICPD_02_87_public_conformance_vectors(void **state) {
        json_object *doc = vector_public("node/cip-conformance-v0.json");

        (void) state;
        vector_each(vector_get(doc, "canonical_receipt_vectors"), c) {
                json_object *f = vector_get(c, "fields");
                _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
                struct iicp_receipt r = {
                        .task_id = text_of(f, "task_id"), .parent = text_of(f, "cip_parent_task_id"),
                        .session = text_of(f, "cip_session_key"), .querying_node_id = text_of(f, "querying_node_id"),
                        .tokens = (uint64_t) json_object_get_int64(vector_get(f, "tokens_used")),
                };
                struct iicp_json result;
                char sig[65];

                snprintf(r.nonce, sizeof r.nonce, "%s", text_of(f, "nonce"));
                assert_int_equal(iicp_json_scan(vector_text(vector_get(c, "result")), NULL, NULL, &result), 0);
                assert_int_equal(iicp_response_hash(&result, r.response_hash), 0);
                assert_string_equal(r.response_hash, vector_str(c, "response_hash").p);
                iicp_receipt_text(&r, &text);
                assert_string_equal(text.p, vector_str(c, "canonical_message").p);
                assert_int_equal(iicp_receipt_sign(&r, vector_str(c, "hmac_key_utf8"), sig), 0);
                assert_string_equal(sig, vector_str(c, "signature_hmac_sha256").p);
        }
        json_object_put(doc);
}

static void IICPD_01_84_amounts_round_and_never_overflow(void **state) {
        (void) state;
        assert_int_equal(iicp_award_parts(1, IICP_CREDIT), 10);
        assert_int_equal(iicp_award_parts(1, 1), 1);     /* at least a ten-thousandth */
        assert_int_equal(iicp_award_parts(500, 1), 1);
        assert_int_equal(iicp_award_parts(1499, 1), 1);
        assert_int_equal(iicp_award_parts(1500, 1), 2);
        assert_int_equal(iicp_award_parts(UINT64_MAX, IICP_MULTIPLIER_MAX), UINT64_MAX / 1000);
}

static void IICPD_01_65_prices_are_clamped_by_the_largest_model(void **state) {
        static const struct {
                const char *name;
                unsigned cap; /* three times the weight, in ten-thousandths */
        } cases[] = {
                {"qwen2.5-0.5b", 1500}, {"llama3.1:8b", 30000}, {"phi-14B-instruct", 60000}, {"mixtral-8x22b", 195000},
                {"llama3:70b", 960000}, {"llama-405b", 2250000}, {"gpt", 30000}, {"model-8bit", 30000}, {"v1.10b", 30000},
                {"llama3:9.9b", 30000},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(iicp_multiplier_effective(IICP_MULTIPLIER_MAX, &cases[i].name, 1), cases[i].cap);
                assert_int_equal(iicp_multiplier_effective(1, &cases[i].name, 1), 1);
        }
        assert_int_equal(iicp_multiplier_effective(IICP_MULTIPLIER_MAX, NULL, 0), 30000);
        assert_int_equal(iicp_multiplier_effective(IICP_MULTIPLIER_MAX, (const char *[]){"a:8b", "b:70b", "c:1b"}, 3), 960000);
}

static void IICPD_01_84_nonces_are_fresh(void **state) {
        char a[IICP_NONCE_TEXT], b[IICP_NONCE_TEXT];

        (void) state;
        assert_int_equal(iicp_receipt_nonce(a), 0);
        assert_int_equal(iicp_receipt_nonce(b), 0);
        assert_int_equal(strspn(a, "0123456789abcdef"), 32);
        assert_string_not_equal(a, b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_01_65_IICPD_05_23_pricing_vectors),
                cmocka_unit_test(IICPD_01_65_multipliers_have_at_most_four_decimals),
                cmocka_unit_test(IICPD_01_84_CIP_CR1_RUST_IICPD_05_23_receipt_vectors),
                cmocka_unit_test(IICPD_02_87_public_conformance_vectors),
                cmocka_unit_test(IICPD_01_84_amounts_round_and_never_overflow),
                cmocka_unit_test(IICPD_01_65_prices_are_clamped_by_the_largest_model),
                cmocka_unit_test(IICPD_01_84_nonces_are_fresh),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
