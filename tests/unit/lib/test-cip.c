/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/cip.h>
#include <iicp/receipt.h>
#include <stdio.h>
#include <string.h>

#define PARENT "22222222-2222-4222-8222-222222222222"

/* The verdict on a task that has these members beside the usual ones: 0, or the refusal. */
static enum iicp_refusal_id check(const char *members, struct iicp_cip *ret, struct iicp_buf *body) {
        struct iicp_refusal refusal = {.id = IICP_REFUSE_NONE};
        struct iicp_envelope e;

        iicp_buf_printf(body, "{\"task_id\":\"11111111-1111-4111-8111-111111111111\",\"intent\":\"urn:iicp:intent:llm:chat:v1\","
                              "\"payload\":{}%s%s}", *members ? "," : "", members);
        assert_int_equal(iicp_envelope_parse(iicp_buf_str(body), &e), 0);
        assert_true(iicp_envelope_check(&e, 0, &refusal));
        iicp_cip_check(&e, ret, &refusal);
        iicp_envelope_free(&e);
        return refusal.id;
}

static void verdict(const char *members, enum iicp_refusal_id wanted) {
        struct iicp_buf body = {0};
        struct iicp_cip c;
        enum iicp_refusal_id got = check(members, &c, &body);

        if (got != wanted)
                fail_msg("%d for %s", (int) got, members);
        iicp_buf_free(&body);
}

#define OK IICP_REFUSE_NONE
#define E028 IICP_REFUSE_CIP_FIELDS
#define E025 IICP_REFUSE_CIP_REPLICAS

static void CIP_V01_CIP_V08_policy(void **state) {
        (void) state;
        verdict("", OK);
        verdict("\"constraints\":{\"cip\":null}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":2}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"map_reduce\"}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"other\"}}", E028);
        verdict("\"constraints\":{\"cip\":{\"policy\":1}}", E028);
        verdict("\"constraints\":{\"cip\":{\"policy\":null}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":null,\"replicas\":1}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":null,\"replicas\":2}}", E028);
        verdict("\"constraints\":{\"cip\":{}}", E028);
        verdict("\"constraints\":{\"cip\":{\"replicas\":1}}", E028);
        verdict("\"constraints\":{\"cip\":[]}", E028);
}

static void CIP_V02_CIP_V07_replicas_and_quorum(void **state) {
        (void) state;
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":10}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":11}}", E028);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":0}}", E028);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":2.0}}", E028);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":\"2\"}}", E028);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":4,\"quorum\":4}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":4,\"quorum\":null}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":4,\"quorum\":5}}", E028);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":4,\"quorum\":0}}", E028);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":4,\"quorum\":\"1\"}}", E028);
}

static void CIP_V02A_majority_needs_an_odd_number(void **state) {
        (void) state;
        verdict("\"constraints\":{\"cip\":{\"policy\":\"majority_vote\",\"replicas\":3}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"majority_vote\",\"replicas\":4}}", E025);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"majority_vote\",\"replicas\":1}}", E025);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"majority_vote\"}}", E025);
}

static void CIP_V03_CIP_V03_RUST_CIP_V05_RUST_roles(void **state) {
        (void) state;
        verdict("\"trace\":{\"cip_role\":\"coordinator\"}", OK);
        verdict("\"trace\":{\"cip_role\":\"worker\"}", OK);
        verdict("\"trace\":{\"cip_role\":null}", OK);
        verdict("\"trace\":{\"cip_role\":\"boss\"}", E028);
        verdict("\"trace\":{\"cip_role\":1}", E028);
        verdict("\"cip\":{\"cip_role\":\"worker\"}", OK);
        verdict("\"cip\":{\"cip_role\":\"coordinator\"}", E028);
        verdict("\"cip\":\"worker\"", E028);
}

static void CIP_V04_CIP_V04_RUST_parent_and_session(void **state) {
        char members[1200], key[1025];

        (void) state;
        verdict("\"trace\":{\"cip_parent_task_id\":\"" PARENT "\"}", OK);
        verdict("\"trace\":{\"cip_parent_task_id\":\"22222222-2222-1222-8222-222222222222\"}", E028);
        verdict("\"trace\":{\"cip_parent_task_id\":1}", E028);
        verdict("\"cip\":{\"cip_role\":\"worker\",\"cip_parent_task_id\":\"x\"}", E028);
        verdict("\"cip\":{\"cip_role\":\"worker\",\"cip_session_key\":1}", E028);
        for (size_t n = 255; n <= 256; n++) {
                memset(key, 'k', n);
                key[n] = '\0';
                snprintf(members, sizeof(members), "\"cip\":{\"cip_role\":\"worker\",\"cip_session_key\":\"%s\"}", key);
                verdict(members, n == 255 ? OK : E028);
        }
}

static void CIP_W02_a_worker_takes_one_replica(void **state) {
        (void) state;
        verdict("\"cip\":{\"cip_role\":\"worker\"},\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":2}}", E028);
        verdict("\"cip\":{\"cip_role\":\"worker\"},\"constraints\":{\"cip\":{\"policy\":null,\"replicas\":1}}", OK);
        verdict("\"constraints\":{\"cip\":{\"policy\":\"best_of_n\",\"replicas\":2}}", OK);
}

static void is_sub_task(const char *members, bool wanted, const char *trace) {
        struct iicp_buf body = {0}, out = {0};
        struct iicp_cip c;

        assert_int_equal(check(members, &c, &body), OK);
        assert_int_equal(c.sub_task, wanted);
        iicp_cip_trace(&c, &out);
        assert_string_equal(out.p, trace);
        iicp_buf_free(&body);
        iicp_buf_free(&out);
}

static void IICPD_02_84_cip_counts_before_trace(void **state) {
        (void) state;
        is_sub_task("\"cip\":{\"cip_role\":\"worker\",\"cip_session_key\":\"s \\u00e4\",\"cip_parent_task_id\":\"" PARENT "\"},"
                    "\"trace\":{\"cip_role\":\"coordinator\",\"cip_session_key\":\"other\"}", true,
                    "\"trace\":{\"cip_role\":\"worker\",\"cip_session_key\":\"s \\u00e4\",\"cip_parent_task_id\":\"" PARENT "\"}");
        is_sub_task("\"trace\":{\"cip_role\":\"worker\",\"cip_session_key\":\"t\"}", true,
                    "\"trace\":{\"cip_role\":\"worker\",\"cip_session_key\":\"t\",\"cip_parent_task_id\":null}");
        is_sub_task("\"trace\":{\"cip_role\":\"coordinator\"}", false,
                    "\"trace\":{\"cip_role\":\"worker\",\"cip_session_key\":null,\"cip_parent_task_id\":null}");
        is_sub_task("\"cip\":{},\"trace\":{\"cip_role\":\"worker\"}", false,
                    "\"trace\":{\"cip_role\":\"worker\",\"cip_session_key\":null,\"cip_parent_task_id\":null}");
}

/* The fixture's verdict on the envelope, and where its execution is refused by the same code, that too. */
static void CIP_V02_published_envelopes(void **state) {
        struct json_object *doc = vector_public("node/cip-conformance-v0.json");

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                struct json_object *input = vector_get(c, "input"), *expected = vector_get(c, "expected");
                struct json_object *error = vector_find(expected, "error"), *quorum = vector_find(input, "quorum");
                bool accept = iicp_str_is(vector_str(expected, "envelope"), "accept");
                char members[256];
                struct iicp_buf body = {0};
                struct iicp_cip cip;
                enum iicp_refusal_id got;

                snprintf(members, sizeof(members), "\"constraints\":{\"cip\":{\"policy\":%s,\"replicas\":%s%s%s}}",
                         vector_text(vector_get(input, "policy")).p, vector_text(vector_get(input, "replicas")).p,
                         quorum ? ",\"quorum\":" : "", quorum ? vector_text(quorum).p : "");
                got = check(members, &cip, &body);
                if (!accept)
                        assert_int_equal(got, E028);
                else if (error && strcmp(json_object_get_string(error), "IICP-E025") == 0)
                        assert_int_equal(got, E025);
                else
                        assert_int_equal(got, OK);
                iicp_buf_free(&body);
        }
        json_object_put(doc);
}

static void IICPD_02_87_receipt_of_the_fixture(void **state) {
        struct json_object *doc = vector_public("node/cip-conformance-v0.json");

        (void) state;
        vector_each(vector_get(doc, "canonical_receipt_vectors"), c) {
                struct json_object *f = vector_get(c, "fields");
                struct iicp_receipt r = {
                        .task_id = vector_str(f, "task_id").p,
                        .parent = vector_str(f, "cip_parent_task_id").p,
                        .session = vector_str(f, "cip_session_key").p,
                        .querying_node_id = vector_str(f, "querying_node_id").p,
                        .tokens = json_object_get_uint64(vector_get(f, "tokens_used")),
                };
                struct iicp_buf text = {0};
                struct iicp_json result;
                char signature[65];

                strcpy(r.nonce, vector_str(f, "nonce").p);
                assert_int_equal(iicp_json_scan(vector_text(vector_get(c, "result")), NULL, NULL, &result), 0);
                assert_int_equal(iicp_response_hash(&result, r.response_hash), 0);
                assert_string_equal(r.response_hash, vector_str(c, "response_hash").p);
                iicp_receipt_text(&r, &text);
                assert_string_equal(text.p, vector_str(c, "canonical_message").p);
                assert_int_equal(iicp_receipt_sign(&r, vector_str(c, "hmac_key_utf8"), signature), 0);
                assert_string_equal(signature, vector_str(c, "signature_hmac_sha256").p);
                iicp_buf_free(&text);
        }
        json_object_put(doc);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(CIP_V01_CIP_V08_policy),
                cmocka_unit_test(CIP_V02_CIP_V07_replicas_and_quorum),
                cmocka_unit_test(CIP_V02A_majority_needs_an_odd_number),
                cmocka_unit_test(CIP_V03_CIP_V03_RUST_CIP_V05_RUST_roles),
                cmocka_unit_test(CIP_V04_CIP_V04_RUST_parent_and_session),
                cmocka_unit_test(CIP_W02_a_worker_takes_one_replica),
                cmocka_unit_test(IICPD_02_84_cip_counts_before_trace),
                cmocka_unit_test(CIP_V02_published_envelopes),
                cmocka_unit_test(IICPD_02_87_receipt_of_the_fixture),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
