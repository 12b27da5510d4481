/* SPDX-License-Identifier: Apache-2.0 */
#include "client-object.h"
#include "vectors.h"

#include <ctype.h>
#include <errno.h>

static void refused(const struct iicp_client_config *config, const char *field) {
        struct iicp_client *c = NULL;
        struct iicp_error e = {0};

        assert_int_equal(iicp_client_new(config, &c, &e), -EINVAL);
        assert_null(c);
        assert_string_equal(e.code, "invalid_config");
        assert_false(e.retryable);
        if (!strstr(e.message, field))
                fail_msg("'%s' does not name %s", e.message, field);
}

static struct iicp_client *client_of(const struct iicp_client_config *config) {
        struct iicp_client *c = NULL;
        struct iicp_error e;

        if (iicp_client_new(config, &c, &e) < 0)
                fail_msg("%s", e.message);
        return c;
}

/* Nothing listens there: a request that passes the local checks ends with IICP-E004. */
static struct iicp_client_config deaf(void) {
        struct iicp_client_config c;

        iicp_client_config_init(&c);
        c.directory_url = "http://127.0.0.1:1/api";
        return c;
}

static struct iicp_error submit_error(struct iicp_client *c, const struct iicp_request *rq) {
        struct iicp_response *r = NULL;
        struct iicp_error e = {0};

        assert_true(iicp_submit(c, rq, &r, &e) < 0);
        assert_null(r);
        return e;
}

static void SDK_04_timeout_above_120000_is_invalid_config(void **state) {
        struct iicp_client_config config = deaf();
        struct iicp_request rq = IICP_REQUEST_INIT;
        struct iicp_client *c;

        (void) state;
        config.timeout_ms = 120001;
        refused(&config, "timeout_ms");
        config.timeout_ms = 99;
        refused(&config, "timeout_ms");
        config.timeout_ms = 120000;
        c = client_of(&config);
        rq.intent = "urn:iicp:intent:llm:chat:v1";
        rq.payload = IICP_STR("{}");
        rq.timeout_ms = 120001;
        assert_string_equal(submit_error(c, &rq).code, "invalid_config");
        rq.timeout_ms = 120000;
        assert_string_equal(submit_error(c, &rq).code, "IICP-E004");
        iicp_client_free(c);
}

static void SDK_05_verification_cannot_be_switched_off(void **state) {
        struct iicp_client_config config = deaf();

        (void) state;
        config.tls_verify = false;
        refused(&config, "tls_verify");
}

static void SDK_03_the_urn_is_checked_before_anything_is_sent(void **state) {
        struct iicp_client_config config = deaf();
        struct iicp_client *c = client_of(&config);
        struct json_object *all = vector_ours("consumer/urn-validation.json");
        struct iicp_request rq = IICP_REQUEST_INIT;

        (void) state;
        rq.payload = IICP_STR("{}");
        vector_each(vector_get(all, "cases"), v) {
                struct iicp_error e;

                if (iicp_str_is(vector_str(v, "expect"), "accept"))
                        continue;
                rq.intent = json_object_get_string(vector_get(v, "urn"));
                e = submit_error(c, &rq);
                assert_string_equal(e.code, json_object_get_string(vector_get(v, "code")));
                assert_string_equal(e.component, "sdk");
                assert_false(e.sent || e.retryable);
        }
        json_object_put(all);
        iicp_client_free(c);
}

static void IICPD_06_07_risk_guard_ends_before_the_network(void **state) {
        struct iicp_client_config config = deaf();
        struct iicp_client *c = client_of(&config);
        struct json_object *all = vector_ours("consumer/intent-risk.json");

        (void) state;
        vector_each(vector_get(all, "cases"), v) {
                bool allow = iicp_str_is(vector_str(v, "expect"), "allow");
                struct iicp_error e = {0};

                assert_int_equal(iicp_check_intent(json_object_get_string(vector_get(v, "urn")),
                                                   &e),
                                 allow ? 0 : -EACCES);
                if (!allow)
                        assert_string_equal(e.code, "IICP-POLICY-001");
        }
        json_object_put(all);
        iicp_client_free(c);
}

static void IICPD_06_08_payload_bounds(void **state) {
        struct iicp_client_config config = deaf();
        struct iicp_request rq = IICP_REQUEST_INIT;
        struct iicp_client *c;

        (void) state;
        config.max_body_bytes = 64;
        c = client_of(&config);
        rq.intent = "urn:iicp:intent:llm:chat:v1";
        rq.payload = IICP_STR("[1]");
        assert_string_equal(submit_error(c, &rq).code, "invalid_config");
        rq.payload = IICP_STR("{\"a\":");
        assert_string_equal(submit_error(c, &rq).code, "invalid_config");
        rq.payload = IICP_STR(
                "{\"a\":"
                "\"0123456789012345678901234567890123456789012345678901234567890123456789\"}");
        assert_string_equal(submit_error(c, &rq).code, "request_too_large");
        rq.payload = IICP_STR("{}");
        rq.qos = "urgent";
        assert_string_equal(submit_error(c, &rq).code, "invalid_config");
        rq.qos = NULL;
        rq.task_id = "not-a-uuid";
        assert_string_equal(submit_error(c, &rq).code, "invalid_config");
        iicp_client_free(c);
}

static void IICPD_06_37_traceparent(void **state) {
        struct json_object *all = vector_ours("consumer/traceparent.json");
        char out[IICP_TRACEPARENT_TEXT], other[IICP_TRACEPARENT_TEXT];

        (void) state;
        vector_each(vector_get(all, "caller_supplied"), v) {
                const char *given = json_object_get_string(vector_get(v, "value"));
                bool keep = !iicp_str_is(vector_str(v, "expect"), "generate");

                assert_int_equal(iicp_client_trace(given, out), 0);
                assert_int_equal(strlen(out), 55);
                assert_true(!strncmp(out, "00-", 3) && out[35] == '-' && out[52] == '-');
                for (size_t i = 3; i < 52; i++)
                        assert_true(i == 35 || (isxdigit((unsigned char) out[i]) &&
                                                !isupper((unsigned char) out[i])));
                if (keep) {
                        assert_memory_equal(out, given, 35);
                        assert_memory_equal(out + 52, given + 52, 3);
                        assert_true(memcmp(out + 36, given + 36, 16) != 0);
                } else {
                        assert_true(strncmp(out, given, 35) != 0);
                        assert_string_equal(out + 52, "-01");
                }
        }
        assert_int_equal(iicp_client_trace(NULL, out), 0);
        assert_int_equal(iicp_client_trace(NULL, other), 0);
        assert_string_not_equal(out, other);
        json_object_put(all);
}

static void IICPD_06_34_cancel_ends_the_call(void **state) {
        struct iicp_client_config config = deaf();
        struct iicp_client *c = client_of(&config);
        struct iicp_request rq = IICP_REQUEST_INIT;

        (void) state;
        rq.intent = "urn:iicp:intent:llm:chat:v1";
        rq.payload = IICP_STR("{}");
        iicp_cancel(c);
        assert_string_equal(submit_error(c, &rq).code, "cancelled");
        /* it was for that one */
        assert_string_equal(submit_error(c, &rq).code, "IICP-E004");
        iicp_client_free(c);
}

static void SDK_06_no_token_in_errors(void **state) {
        const struct iicp_provider_token tokens[] = {{"n1", "s3cret-token"}};
        struct iicp_client_config config = deaf();
        struct iicp_request rq = IICP_REQUEST_INIT;
        struct iicp_client *c;
        struct iicp_error e;
        struct iicp_buf b = {0};

        (void) state;
        config.provider_tokens = tokens;
        config.n_provider_tokens = 1;
        c = client_of(&config);
        rq.intent = "urn:iicp:intent:llm:chat:v1";
        rq.payload = IICP_STR("{\"messages\":[{\"role\":\"user\",\"content\":\"t0p s3cret\"}]}");
        e = submit_error(c, &rq);
        iicp_error_json(&e, &b);
        assert_null(strstr(b.p, "s3cret"));
        iicp_buf_free(&b);
        iicp_client_free(c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(SDK_04_timeout_above_120000_is_invalid_config),
                cmocka_unit_test(SDK_05_verification_cannot_be_switched_off),
                cmocka_unit_test(SDK_03_the_urn_is_checked_before_anything_is_sent),
                cmocka_unit_test(IICPD_06_07_risk_guard_ends_before_the_network),
                cmocka_unit_test(IICPD_06_08_payload_bounds),
                cmocka_unit_test(IICPD_06_37_traceparent),
                cmocka_unit_test(IICPD_06_34_cancel_ends_the_call),
                cmocka_unit_test(SDK_06_no_token_in_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
