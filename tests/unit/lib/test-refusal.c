/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <stdio.h>

#include <iicp/json.h>
#include <iicp/refusal.h>

/* The table of 02 section 3, copied by hand: status, code, number. */
static const struct {
        enum iicp_refusal_id id;
        int status;
        const char *code, *number;
} contract[] = {
        {IICP_REFUSE_INVALID_HTTP_BODY, 400, "invalid_http_body", NULL},
        {IICP_REFUSE_UNAUTHORIZED, 401, "unauthorized", NULL},
        {IICP_REFUSE_FORBIDDEN, 403, "forbidden", NULL},
        {IICP_REFUSE_TOOL_EXECUTION, 403, "tool_execution_denied", NULL},
        {IICP_REFUSE_POLICY, 403, "IICP-POLICY-001", "IICP-POLICY-001"},
        {IICP_REFUSE_COORDINATOR_REPUTATION, 403, "IICP-E020", "IICP-E020"},
        {IICP_REFUSE_MODEL_NOT_FOUND, 404, "model_not_found", "IICP-E029"},
        {IICP_REFUSE_NOT_FOUND, 404, "not_found", NULL},
        {IICP_REFUSE_UNKNOWN_TASK, 404, "unknown_task", NULL},
        {IICP_REFUSE_METHOD, 405, "method_not_allowed", NULL},
        {IICP_REFUSE_DUPLICATE_TASK, 409, "conflict", "IICP-E010"},
        {IICP_REFUSE_REPLAY, 409, "conflict", "IICP-E011"},
        {IICP_REFUSE_BINDING, 409, "conflict", NULL},
        {IICP_REFUSE_RESUME, 409, "resume_unavailable", NULL},
        {IICP_REFUSE_TOO_LARGE, 413, "request_too_large", NULL},
        {IICP_REFUSE_MEDIA_TYPE, 415, "unsupported_media_type", NULL},
        {IICP_REFUSE_MEDIA_TYPE_CBOR, 415, "unsupported_media_type", NULL},
        {IICP_REFUSE_CONTENT_ENCODING, 415, "unsupported_content_encoding", NULL},
        {IICP_REFUSE_MISDIRECTED, 421, "misdirected_request", NULL},
        {IICP_REFUSE_VALIDATION, 422, "validation_error", NULL},
        {IICP_REFUSE_UNKNOWN_INTENT, 422, "unknown_intent", NULL},
        {IICP_REFUSE_UNSUPPORTED_PROFILE, 422, "unsupported_profile", NULL},
        {IICP_REFUSE_PROFILE_ELSEWHERE, 422, "unsupported_profile", NULL},
        {IICP_REFUSE_CIP_FIELDS, 422, "IICP-E028", "IICP-E028"},
        {IICP_REFUSE_CIP_REPLICAS, 422, "IICP-E025", "IICP-E025"},
        {IICP_REFUSE_CX, 422, "IICP-E050", "IICP-E050"},
        {IICP_REFUSE_CAPACITY, 429, "capacity_exceeded", "IICP-E021"},
        {IICP_REFUSE_RATE_LIMITED, 429, "rate_limited", "IICP-E023"},
        {IICP_REFUSE_AUTH_RATE_LIMITED, 429, "rate_limited", NULL},
        {IICP_REFUSE_GOSSIP_REPLAY, 409, "conflict", NULL},
        {IICP_REFUSE_GOSSIP_RATE, 429, "rate_limited", NULL},
        {IICP_REFUSE_OBSERVERS, 429, "capacity_exceeded", NULL},
        {IICP_REFUSE_HEADER_TOO_LARGE, 431, "request_header_too_large", NULL},
        {IICP_REFUSE_RESPONSE_TOO_LARGE, 500, "response_too_large", NULL},
        {IICP_REFUSE_INTERNAL, 500, "internal_error", NULL},
        {IICP_REFUSE_BACKEND, 502, "backend_error", NULL},
        {IICP_REFUSE_BUSY, 503, "IICP-E024", "IICP-E024"},
        {IICP_REFUSE_CIP_CAPACITY, 503, "IICP-E021", "IICP-E021"},
        {IICP_REFUSE_TIMEOUT, 504, "task_timeout", "IICP-E006"},
};

static void IICPD_02_29_each_refusal_is_as_in_the_table(void **state) {
        size_t n = sizeof(contract) / sizeof(contract[0]);

        (void) state;
        assert_int_equal(n, IICP_REFUSE_MAX_ - 1);
        for (size_t i = 0; i < n; i++) {
                const struct iicp_refusal_info *info = iicp_refusal_info(contract[i].id);

                assert_int_equal(info->status, contract[i].status);
                assert_string_equal(info->code, contract[i].code);
                if (contract[i].number)
                        assert_string_equal(info->iicp_code, contract[i].number);
                else
                        assert_null(info->iicp_code);
        }
}

static void body_is(const struct iicp_refusal *r, const char *expected) {
        struct iicp_buf b = {};

        iicp_refusal_body(r, &b);
        assert_string_equal(b.p, expected);
        iicp_buf_free(&b);
}

static void task_body_is(const struct iicp_refusal *r, struct iicp_str id, int64_t ms,
                         const char *expected) {
        struct iicp_buf b = {};

        iicp_refusal_task_body(r, id, ms, &b);
        assert_string_equal(b.p, expected);
        iicp_buf_free(&b);
}

static void IICPD_02_29_extra_members(void **state) {
        char expected[1024];

        (void) state;
        body_is(&(struct iicp_refusal){.id = IICP_REFUSE_MEDIA_TYPE_CBOR},
                "{\"error\":{\"code\":\"unsupported_media_type\",\"message\":\"CBOR encoding not "
                "supported\"}}");
        task_body_is(&(struct iicp_refusal){.id = IICP_REFUSE_MEDIA_TYPE_CBOR}, IICP_STR("x"), -1,
                     "{\"error\":{\"code\":\"unsupported_media_type\",\"message\":\"CBOR encoding "
                     "not supported\"}}");
        task_body_is(&(struct iicp_refusal){.id = IICP_REFUSE_CAPACITY,
                                            .qos_class = "interactive",
                                            .retry_after_ms = 2000},
                     IICP_STR("550e8400-e29b-41d4-a716-446655440000"), -1,
                     "{\"task_id\":\"550e8400-e29b-41d4-a716-446655440000\",\"status\":\"error\","
                     "\"result\":null,"
                     "\"error\":{\"code\":\"capacity_exceeded\",\"message\":\"no free slot\","
                     "\"iicp_code\":\"IICP-E021\",\"qos_class\":\"interactive\",\"retry_after_ms\":"
                     "2000}}");
        snprintf(expected, sizeof(expected),
                 "{\"task_id\":null,\"status\":\"timeout\",\"result\":null,\"error\":{\"code\":"
                 "\"task_timeout\","
                 "\"message\":\"%s\",\"iicp_code\":\"IICP-E006\"},\"metrics\":{\"latency_ms\":12}}",
                 iicp_refusal_info(IICP_REFUSE_TIMEOUT)->message);
        task_body_is(&(struct iicp_refusal){.id = IICP_REFUSE_TIMEOUT}, IICP_STR_NONE, 12,
                     expected);
        snprintf(expected, sizeof(expected),
                 "{\"error\":{\"code\":\"conflict\",\"message\":\"%s\",\"iicp_code\":\"IICP-E010\","
                 "\"reason\":\"duplicate_task\"}}",
                 iicp_refusal_info(IICP_REFUSE_DUPLICATE_TASK)->message);
        body_is(&(struct iicp_refusal){.id = IICP_REFUSE_DUPLICATE_TASK}, expected);
        snprintf(expected, sizeof(expected),
                 "{\"error\":{\"code\":\"IICP-POLICY-001\",\"message\":\"%s\",\"iicp_code\":\"IICP-"
                 "POLICY-001\","
                 "\"category\":\"prohibited\",\"rule_id\":\"r\"}}",
                 iicp_refusal_info(IICP_REFUSE_POLICY)->message);
        body_is(&(struct iicp_refusal){.id = IICP_REFUSE_POLICY,
                                       .category = "prohibited",
                                       .rule_id = "r"},
                expected);
        snprintf(expected, sizeof(expected),
                 "{\"error\":{\"code\":\"unsupported_profile\",\"message\":\"%s\",\"profile\":"
                 "\"a\\\"\\n\"}}",
                 iicp_refusal_info(IICP_REFUSE_UNSUPPORTED_PROFILE)->message);
        body_is(&(struct iicp_refusal){.id = IICP_REFUSE_UNSUPPORTED_PROFILE, .profile = "a\"\n"},
                expected);
}

static void task_id_is_echoed_up_to_128_bytes(void **state) {
        const struct iicp_refusal r = {.id = IICP_REFUSE_VALIDATION, .field = "task_id"};
        char id[130];

        (void) state;
        memset(id, 'a', sizeof(id));
        for (size_t n = 128; n <= 129; n++) {
                struct iicp_buf b = {};
                struct iicp_json top, v;

                iicp_refusal_task_body(&r, (struct iicp_str){id, n}, -1, &b);
                assert_int_equal(iicp_json_scan(iicp_buf_str(&b), NULL, NULL, &top), 0);
                v = iicp_json_get(&top, "task_id");
                assert_int_equal(v.type, n == 128 ? IICP_JSON_STRING : IICP_JSON_NULL);
                iicp_buf_free(&b);
        }
}

static void ERR_2_messages_are_short_fixed_english(void **state) {
        (void) state;
        for (int id = IICP_REFUSE_NONE + 1; id < IICP_REFUSE_MAX_; id++) {
                const char *message = iicp_refusal_info((enum iicp_refusal_id) id)->message;
                struct iicp_buf b = {};
                struct iicp_json top;

                assert_non_null(message);
                assert_in_range(strlen(message), 1, 200);
                assert_null(strchr(message, '%'));
                assert_null(strstr(message, "://"));
                /* but for the one that has to name the resource */
                if (id != IICP_REFUSE_PROFILE_ELSEWHERE)
                        assert_null(strchr(message, '/'));
                for (const char *p = message; *p; p++)
                        assert_in_range(*p, 0x20, 0x7e);
                iicp_refusal_task_body(&(struct iicp_refusal){.id = (enum iicp_refusal_id) id},
                                       IICP_STR("t"), 1, &b);
                assert_int_equal(iicp_json_scan(iicp_buf_str(&b), NULL, NULL, &top), 0);
                iicp_buf_free(&b);
        }
}

static void retry_after_is_whole_seconds(void **state) {
        (void) state;
        assert_int_equal(iicp_refusal_retry_after_s(&(struct iicp_refusal){.retry_after_ms = 0}),
                         0);
        assert_int_equal(iicp_refusal_retry_after_s(&(struct iicp_refusal){.retry_after_ms = 1}),
                         1);
        assert_int_equal(iicp_refusal_retry_after_s(&(struct iicp_refusal){.retry_after_ms = 1000}),
                         1);
        assert_int_equal(iicp_refusal_retry_after_s(&(struct iicp_refusal){.retry_after_ms = 1001}),
                         2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_29_each_refusal_is_as_in_the_table),
                cmocka_unit_test(IICPD_02_29_extra_members),
                cmocka_unit_test(task_id_is_echoed_up_to_128_bytes),
                cmocka_unit_test(ERR_2_messages_are_short_fixed_english),
                cmocka_unit_test(retry_after_is_whole_seconds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
