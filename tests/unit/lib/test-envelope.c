/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <errno.h>
#include <stdio.h>

#include <iicp/envelope.h>

#define ID "\"task_id\":\"550e8400-e29b-41d4-a716-446655440000\""
#define INTENT "\"intent\":\"urn:iicp:intent:llm:chat:v1\""
#define PAYLOAD "\"payload\":{\"messages\":[]}"

/* Result of a check, with copies of what the tests ask about. */
struct result {
        bool ok;
        struct iicp_refusal refusal;
        int64_t timeout_ms, max_tokens;
        double max_credits;
        enum iicp_qos qos;
        enum iicp_priority priority;
        bool cx_response_required;
        char nonce[300], model[64], token[64];
};

static void copy(struct iicp_str s, char *out, size_t cap) {
        snprintf(out, cap, "%.*s", (int) s.n, s.n ? s.p : "");
}

static struct result check_text(struct iicp_str body, unsigned flags) {
        struct iicp_envelope e;
        struct result r = {};

        if (iicp_envelope_parse(body, &e) != 0)
                fail_msg("not parsed: %s", body.p);
        r.ok = iicp_envelope_check(&e, flags, &r.refusal);
        r.timeout_ms = e.timeout_ms;
        r.max_tokens = e.max_tokens;
        r.max_credits = e.max_credits;
        r.qos = e.qos;
        r.priority = e.priority;
        r.cx_response_required = e.cx_response_required;
        copy(e.nonce, r.nonce, sizeof(r.nonce));
        copy(e.model, r.model, sizeof(r.model));
        copy(e.auth_token, r.token, sizeof(r.token));
        iicp_envelope_free(&e);
        return r;
}

static struct result check(const char *body) {
        return check_text(iicp_str(body), 0);
}

/* A good task with some more members. */
static struct result check_with(const char *members) {
        struct iicp_buf b = {};
        struct result r;

        iicp_buf_printf(&b, "{" ID "," INTENT "," PAYLOAD "%s%s}", *members ? "," : "", members);
        r = check_text(iicp_buf_str(&b), 0);
        iicp_buf_free(&b);
        return r;
}

static struct result check_constraints(const char *members) {
        struct iicp_buf b = {};
        struct result r;

        iicp_buf_printf(&b, "\"constraints\":{%s}", members);
        r = check_with(b.p);
        iicp_buf_free(&b);
        return r;
}

static void refused(struct result r, const char *field) {
        if (r.ok)
                fail_msg("accepted, expected a fault in %s", field);
        assert_int_equal(r.refusal.id, IICP_REFUSE_VALIDATION);
        assert_string_equal(r.refusal.field, field);
}

static void accepted(struct result r) {
        if (!r.ok)
                fail_msg("refused: %s", r.refusal.field ? r.refusal.field : "-");
}

static void IICPD_02_20_body_is_one_object(void **state) {
        static const char *const bad[] = {
                "",
                "[]",
                "1",
                "\"x\"",
                "null",
                "{",
                "{} ,",
                "{}{}",
                "\xef\xbb\xbf{}",
                "{\"a\":\xff}",
                "{" ID "," ID "}",
                "{" INTENT ",\"\\u0069ntent\":1}",
        };
        struct iicp_envelope e;

        (void) state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                if (iicp_envelope_parse(iicp_str(bad[i]), &e) != -EBADMSG)
                        fail_msg("accepted: %s", bad[i]);
                assert_null(e.task_id.p);
                iicp_envelope_free(&e);
        }
        assert_int_equal(iicp_envelope_parse(IICP_STR(" { } "), &e), 0);
        iicp_envelope_free(&e);
}

static void PROTO_MSG_01_task_id_is_a_uuid4(void **state) {
        static const char *const bad[] = {
                "null",
                "1",
                "\"\"",
                "\"x\"",
                "\"550e8400-e29b-11d4-a716-446655440000\"",
                "\"550e8400-e29b-41d4-c716-446655440000\"",
                "\"550e8400-e29b-41d4-a716-446655440000 \"",
                "\"550e8400-e29b-41d4-a716-44665544000\\u0000\"",
        };
        struct iicp_buf b = {};
        char long_id[131];

        (void) state;
        refused(check("{" INTENT "," PAYLOAD "}"), "task_id");
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                iicp_buf_printf(&b, "{\"task_id\":%s," INTENT "," PAYLOAD "}", bad[i]);
                refused(check(b.p), "task_id");
                iicp_buf_free(&b);
        }
        accepted(check("{\"task_id\":\"550E8400-E29B-41D4-B716-446655440000\"," INTENT "," PAYLOAD
                       "}"));

        /* tasks.require_uuid = no */
        accepted(check_text(IICP_STR("{\"task_id\":\"t-1.A:b_c\"," INTENT "," PAYLOAD "}"),
                            IICP_ENVELOPE_ANY_ID));
        refused(check_text(IICP_STR("{\"task_id\":\"a b\"," INTENT "," PAYLOAD "}"),
                           IICP_ENVELOPE_ANY_ID),
                "task_id");
        refused(check_text(IICP_STR("{\"task_id\":\"a\\u0000\"," INTENT "," PAYLOAD "}"),
                           IICP_ENVELOPE_ANY_ID),
                "task_id");
        refused(check_text(IICP_STR("{\"task_id\":\"\"," INTENT "," PAYLOAD "}"),
                           IICP_ENVELOPE_ANY_ID),
                "task_id");
        for (size_t n = 128; n <= 129; n++) {
                memset(long_id, 'a', n);
                long_id[n] = '\0';
                iicp_buf_printf(&b, "{\"task_id\":\"%s\"," INTENT "," PAYLOAD "}", long_id);
                assert_int_equal(check_text(iicp_buf_str(&b), IICP_ENVELOPE_ANY_ID).ok, n == 128);
                iicp_buf_free(&b);
        }
}

static void PROTO_MSG_02_intent_is_a_urn(void **state) {
        struct result r;

        (void) state;
        refused(check("{" ID "," PAYLOAD "}"), "intent");
        refused(check("{" ID ",\"intent\":null," PAYLOAD "}"), "intent");
        refused(check("{" ID ",\"intent\":\"urn:openai:gpt4\"," PAYLOAD "}"), "intent");
        refused(check("{" ID ",\"intent\":\"urn:iicp:intent:llm:chat\"," PAYLOAD "}"), "intent");
        accepted(check("{" ID ",\"intent\":\"urn:iicp:intent:llm:ch\\u0061t:v1\"," PAYLOAD "}"));
        r = check("{" ID ",\"intent\":\"urn:iicp:intent:llm:chat:v1+attested\"," PAYLOAD "}");
        assert_false(r.ok);
        assert_int_equal(r.refusal.id, IICP_REFUSE_CIP_FIELDS);
}

static void PROTO_MSG_03_timeout_ms(void **state) {
        static const char *const bad[] = {"0",     "-1",   "300001", "5.0", "1e3",
                                          "\"5\"", "null", "true",   "[]",  "99999999999999999999"};
        char text[64];

        (void) state;
        assert_int_equal(check_with("").timeout_ms, 0);
        assert_int_equal(check_constraints("\"timeout_ms\":1").timeout_ms, 1);
        assert_int_equal(check_constraints("\"timeout_ms\":300000").timeout_ms, 300000);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                snprintf(text, sizeof(text), "\"timeout_ms\":%s", bad[i]);
                refused(check_constraints(text), "constraints.timeout_ms");
        }
}

/* The budget is what constraints.timeout_ms says and nothing else is (no ttl, no deadline). */
static void PROTO_MSG_03_time_semantics_vectors(void **state) {
        struct json_object *all = vector_public("node/task-time-semantics-v1.json");
        struct json_object *axis = vector_get(vector_get(all, "axes"), "execution_timeout");
        struct result r;

        (void) state;
        assert_true(iicp_str_is(vector_str(axis, "origin"), "provider_receipt"));
        assert_non_null(strstr(vector_str(axis, "current_mapping").p, "constraints.timeout_ms"));
        r = check_with("\"ttl\":5,\"deadline\":\"2000-01-01T00:00:00Z\","
                       "\"constraints\":{\"timeout_ms\":7000,\"ttl\":1,\"task_deadline\":1,"
                       "\"delivery_lifetime\":1}");
        accepted(r);
        assert_int_equal(r.timeout_ms, 7000);
        json_object_put(all);
}

static void IICPD_02_31_payload_or_iicp_conf(void **state) {
        (void) state;
        refused(check("{" ID "," INTENT "}"), "payload");
        refused(check("{" ID "," INTENT ",\"payload\":null}"), "payload");
        refused(check("{" ID "," INTENT ",\"payload\":null,\"iicp_conf\":null}"), "payload");
        refused(check("{" ID "," INTENT ",\"payload\":\"x\"}"), "payload");
        refused(check("{" ID "," INTENT ",\"payload\":[]}"), "payload");
        accepted(check("{" ID "," INTENT ",\"payload\":{}}"));
        accepted(check("{" ID "," INTENT ",\"payload\":null,\"iicp_conf\":{}}"));
        accepted(check("{" ID "," INTENT ",\"iicp_conf\":{}}"));
        /* any other fault is told before a missing payload */
        refused(check("{" ID "," INTENT ",\"constraints\":{\"timeout_ms\":0}}"),
                "constraints.timeout_ms");
        accepted(check_with("\"constraints\":{}"));
        accepted(check_with("\"constraints\":null"));
        refused(check_with("\"constraints\":[]"), "constraints");
        refused(check_with("\"constraints\":\"x\""), "constraints");
}

static void IICPD_02_32_qos_priority_consensus(void **state) {
        static const struct {
                const char *members;
                enum iicp_qos qos;
        } cases[] = {
                {"", IICP_QOS_BEST_EFFORT},
                {"\"qos\":\"realtime\"", IICP_QOS_REALTIME},
                {"\"qos_class\":\"interactive\"", IICP_QOS_INTERACTIVE},
                {"\"qos\":\"batch\",\"qos_class\":\"realtime\"", IICP_QOS_BATCH},
                {"\"qos_class\":\"realtime\",\"qos\":\"batch\"", IICP_QOS_BATCH},
                {"\"qos\":null,\"qos_class\":\"realtime\"", IICP_QOS_REALTIME},
                {"\"qos\":\"best_effort\"", IICP_QOS_BEST_EFFORT},
                {"\"qos\":\"best-effort\"", IICP_QOS_BEST_EFFORT},
                {"\"qos\":\"gold\",\"qos_class\":\"realtime\"", IICP_QOS_BEST_EFFORT},
                {"\"qos\":7", IICP_QOS_BEST_EFFORT},
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct result r = check_constraints(cases[i].members);

                accepted(r);
                if (r.qos != cases[i].qos)
                        fail_msg("%s: %s", cases[i].members, iicp_qos_name(r.qos));
        }
        assert_int_equal(check_with("").priority, IICP_PRIORITY_NORMAL);
        assert_int_equal(check_constraints("\"priority\":\"low\"").priority, IICP_PRIORITY_LOW);
        assert_int_equal(check_constraints("\"priority\":\"critical\"").priority,
                         IICP_PRIORITY_CRITICAL);
        refused(check_constraints("\"priority\":\"urgent\""), "constraints.priority");
        refused(check_constraints("\"priority\":1"), "constraints.priority");
        accepted(check_constraints("\"consensus\":\"majority_of_5\""));
        refused(check_constraints("\"consensus\":\"majority_of_4\""), "constraints.consensus");
        assert_string_equal(iicp_qos_name(IICP_QOS_BEST_EFFORT), "best-effort");
        assert_string_equal(iicp_qos_name(IICP_QOS_INTERACTIVE), "interactive");
}

static void IICPD_02_33_profiles(void **state) {
        struct iicp_envelope e;
        struct iicp_refusal refusal;

        (void) state;
        accepted(check_constraints("\"optional_profiles\":[\"urn:iicp:profile:unheard-of:v9\",1]"));
        refused(check_constraints("\"optional_profiles\":\"x\""), "constraints.optional_profiles");
        refused(check_constraints("\"required_profiles\":\"x\""), "constraints.required_profiles");
        refused(check_constraints("\"required_profiles\":[1]"), "constraints.required_profiles");
        accepted(check_constraints("\"required_profiles\":[]"));
        assert_int_equal(iicp_envelope_parse(
                                 IICP_STR("{" ID "," INTENT "," PAYLOAD
                                          ",\"constraints\":{\"required_profiles\":[\"urn:x\"]}}"),
                                 &e),
                         0);
        assert_true(iicp_envelope_check(&e, 0, &refusal));
        assert_int_equal(e.required_profiles.type, IICP_JSON_ARRAY);
        iicp_envelope_free(&e);
}

static void IICPD_02_34_tokens_and_unknown_members(void **state) {
        (void) state;
        assert_string_equal(check_with("\"auth\":{\"node_token\":\"a\"}").token, "a");
        assert_string_equal(check_with("\"auth\":{\"token\":\"b\"}").token, "b");
        assert_string_equal(check_with("\"auth\":{\"token\":\"b\",\"node_token\":\"a\"}").token,
                            "a");
        assert_string_equal(check_with("\"auth\":{\"token\":\"b\",\"node_token\":null}").token,
                            "b");
        assert_string_equal(check_with("\"auth\":{\"node_token\":\"q\\\"\\u00e9\"}").token,
                            "q\"\xc3\xa9");
        assert_string_equal(check_with("\"source_node_id\":\"n\"").token, "");
        accepted(check_with("\"auth\":null"));
        refused(check_with("\"auth\":\"a\""), "auth");
        refused(check_with("\"auth\":{\"node_token\":1}"), "auth.node_token");
        refused(check_with("\"auth\":{\"token\":1}"), "auth.token");
        accepted(check_with("\"_comment\":\"x\",\"future\":{\"a\":[1]},\"priority\":9"));
        accepted(check_constraints(
                "\"region\":1,\"min_reputation\":\"x\",\"sensitivity\":{},\"new\":null"));
        accepted(check_with("\"source_node_id\":\"123e4567-e89b-12d3-a456-426614174000\""));
        refused(check_with("\"source_node_id\":\"123e4567-e89b-12d3-a456-4266141740000\""),
                "source_node_id");
        refused(check_with("\"source_node_id\":1"), "source_node_id");
}

static void IICPD_02_35_nonce(void **state) {
        struct iicp_buf b = {};

        (void) state;
        assert_string_equal(check_with("").nonce, "");
        assert_string_equal(check_with("\"nonce\":\"n-1\"").nonce, "n-1");
        assert_string_equal(check_with("\"nonce\":\"\\u0041\"").nonce, "A");
        refused(check_with("\"nonce\":\"\""), "nonce");
        refused(check_with("\"nonce\":null"), "nonce");
        refused(check_with("\"nonce\":1"), "nonce");
        refused(check_with("\"nonce\":{}"), "nonce");
        for (int n = 256; n <= 257; n++) {
                iicp_buf_printf(&b, "\"nonce\":\"%0*d\"", n, 0);
                assert_int_equal(check_with(b.p).ok, n == 256);
                iicp_buf_free(&b);
        }
        /* characters, not bytes */
        for (int n = 256; n <= 257; n++) {
                iicp_buf_puts(&b, "\"nonce\":\"");
                for (int i = 0; i < n; i++)
                        iicp_buf_puts(&b, i % 2 ? "\xc3\xa9" : "\\u20ac");
                iicp_buf_puts(&b, "\"");
                assert_int_equal(check_with(b.p).ok, n == 256);
                iicp_buf_free(&b);
        }
}

static void model_tokens_credits_and_the_rest(void **state) {
        (void) state;
        assert_string_equal(check_constraints("\"model\":\"m\\u002da\"").model, "m-a");
        assert_string_equal(check_constraints("\"model\":\"\"").model, "");
        refused(check_constraints("\"model\":1"), "constraints.model");
        assert_int_equal(check_constraints("\"max_tokens\":5").max_tokens, 5);
        assert_true(check_constraints("\"max_tokens\":99999999999999999999").max_tokens ==
                    INT64_MAX);
        refused(check_constraints("\"max_tokens\":0"), "constraints.max_tokens");
        refused(check_constraints("\"max_tokens\":-99999999999999999999"),
                "constraints.max_tokens");
        refused(check_constraints("\"max_tokens\":1.5"), "constraints.max_tokens");
        assert_true(check_with("").max_credits < 0);
        assert_true(check_with("\"billing\":{\"max_credits\":0}").max_credits == 0);
        assert_true(check_with("\"billing\":{\"max_credits\":2.5}").max_credits == 2.5);
        refused(check_with("\"billing\":{\"max_credits\":-1}"), "billing.max_credits");
        refused(check_with("\"billing\":{\"max_credits\":\"1\"}"), "billing.max_credits");
        assert_true(check_with("\"cx_response_encryption\":\"required\"").cx_response_required);
        assert_false(check_with("\"cx_response_encryption\":\"optional\"").cx_response_required);
        assert_false(check_with("\"cx_response_encryption\":{}").cx_response_required);
        /* a doubled member below the top is no fault, the last one counts */
        assert_int_equal(check_constraints("\"timeout_ms\":1,\"timeout_ms\":2").timeout_ms, 2);
}

/* More escaped strings than one: slices of the arena stay where they are. */
static void escaped_strings_do_not_move(void **state) {
        struct iicp_envelope e;
        struct iicp_refusal refusal;

        (void) state;
        assert_int_equal(
                iicp_envelope_parse(
                        IICP_STR("{\"task_id\":\"550e8400-e29b-41d4-a716-44665544000\\u0030\","
                                 "\"intent\":\"urn:iicp:intent:llm:chat:v\\u0031\"," PAYLOAD
                                 ",\"nonce\":\"\\u006eonce\",\"source_node_id\":\"\\u0073rc\","
                                 "\"auth\":{\"node_token\":\"\\u0074ok\"},\"constraints\":{"
                                 "\"model\":\"\\u006d\"}}"),
                        &e),
                0);
        assert_true(iicp_envelope_check(&e, 0, &refusal));
        assert_true(iicp_str_is(e.task_id, "550e8400-e29b-41d4-a716-446655440000"));
        assert_true(iicp_str_is(e.intent, "urn:iicp:intent:llm:chat:v1"));
        assert_true(iicp_str_is(e.nonce, "nonce"));
        assert_true(iicp_str_is(e.source_node_id, "src"));
        assert_true(iicp_str_is(e.auth_token, "tok"));
        assert_true(iicp_str_is(e.model, "m"));
        iicp_envelope_free(&e);
}

static void IICPD_02_37_published_samples(void **state) {
        struct json_object *valid = vector_public("node/task-valid.json");
        struct json_object *batch = vector_public("node/task-batch.json");
        struct json_object *intent = vector_public("node/task-invalid-intent.json");
        struct json_object *no_auth = vector_public("node/task-invalid-missing-auth.json");
        struct iicp_envelope e;
        struct iicp_refusal refusal;

        (void) state;
        assert_int_equal(iicp_envelope_parse(vector_text(valid), &e), 0);
        assert_true(iicp_envelope_check(&e, 0, &refusal));
        assert_true(iicp_str_is(e.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_true(iicp_str_is(e.auth_token, "iicp_tok_example"));
        assert_int_equal(e.timeout_ms, 5000);
        assert_int_equal(e.qos, IICP_QOS_INTERACTIVE);
        iicp_envelope_free(&e);
        assert_int_equal(check_text(vector_text(batch), 0).qos, IICP_QOS_BATCH);
        accepted(check_text(vector_text(batch), 0));
        refused(check_text(vector_text(intent), 0), "intent");
        accepted(check_text(vector_text(no_auth), 0)); /* authorization is another step */
        json_object_put(valid);
        json_object_put(batch);
        json_object_put(intent);
        json_object_put(no_auth);
}

static void IICPD_02_37_projection_vectors(void **state) {
        struct json_object *all = vector_public("node/sdk-request-projection-v0.json");

        (void) state;
        vector_each(vector_get(all, "cases"), c) {
                struct json_object *sent =
                        vector_get(vector_get(c, "expected"), "execution_constraints");
                struct json_object *model = vector_find(sent, "model");
                struct iicp_buf b = {};
                struct result r;

                iicp_buf_printf(&b, "\"constraints\":%s,\"source_node_id\":\"sdk\"",
                                vector_text(sent).p);
                r = check_with(b.p);
                accepted(r);
                assert_int_equal(r.timeout_ms,
                                 json_object_get_int64(vector_get(sent, "timeout_ms")));
                assert_true(iicp_str_is(vector_str(sent, "qos"), iicp_qos_name(r.qos)));
                assert_string_equal(r.model, model ? json_object_get_string(model) : "");
                iicp_buf_free(&b);
        }
        json_object_put(all);
}

static void IICPD_02_37_bodies_of_official_consumers(void **state) {
        (void) state;
        /* Python, encrypted */
        accepted(check("{" ID "," INTENT
                       ",\"constraints\":{\"timeout_ms\":30000,\"qos\":\"interactive\"},"
                       "\"iicp_conf\":{\"version\":1},\"cx_response_encryption\":\"required\"}"));
        /* Rust */
        accepted(check("{" ID "," INTENT "," PAYLOAD
                       ",\"constraints\":{\"timeout_ms\":30000,\"qos\":\"interactive\","
                       "\"max_tokens\":64},\"auth\":{\"token\":\"its own\"}}"));
        /* the Python proxy */
        accepted(check(
                "{" ID "," INTENT
                ",\"payload\":{\"messages\":[],\"stream\":true,\"_billing\":{},\"stop\":null},"
                "\"constraints\":{\"timeout_ms\":30000,\"qos\":\"interactive\"},"
                "\"trace\":{\"trace_id\":\"not hex\",\"origin_node\":null},\"cip\":null}"));
        /* the browser */
        accepted(check("{" ID "," INTENT ",\"constraints\":{},\"iicp_conf\":{}}"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_20_body_is_one_object),
                cmocka_unit_test(PROTO_MSG_01_task_id_is_a_uuid4),
                cmocka_unit_test(PROTO_MSG_02_intent_is_a_urn),
                cmocka_unit_test(PROTO_MSG_03_timeout_ms),
                cmocka_unit_test(PROTO_MSG_03_time_semantics_vectors),
                cmocka_unit_test(IICPD_02_31_payload_or_iicp_conf),
                cmocka_unit_test(IICPD_02_32_qos_priority_consensus),
                cmocka_unit_test(IICPD_02_33_profiles),
                cmocka_unit_test(IICPD_02_34_tokens_and_unknown_members),
                cmocka_unit_test(IICPD_02_35_nonce),
                cmocka_unit_test(model_tokens_credits_and_the_rest),
                cmocka_unit_test(escaped_strings_do_not_move),
                cmocka_unit_test(IICPD_02_37_published_samples),
                cmocka_unit_test(IICPD_02_37_projection_vectors),
                cmocka_unit_test(IICPD_02_37_bodies_of_official_consumers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
