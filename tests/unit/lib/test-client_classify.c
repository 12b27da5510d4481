/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <stdio.h>

#include <curl/curl.h>
#include <math.h>

static enum iicp_class class_named(struct iicp_str s) {
        return iicp_str_is(s, "final")    ? IICP_CLASS_FINAL
               : iicp_str_is(s, "switch") ? IICP_CLASS_SWITCH
               : iicp_str_is(s, "same")   ? IICP_CLASS_SAME
                                          : IICP_CLASS_SWITCH_RETRYABLE;
}

static struct iicp_outcome judge(int status, const char *body, const char *retry_after) {
        struct iicp_outcome o;

        iicp_outcome_init(&o);
        iicp_outcome_read(&o, status, iicp_str(body), iicp_str(retry_after), 1767323045);
        iicp_outcome_classify(&o, status, false);
        return o;
}

static void IICPD_06_31_every_outcome_has_its_class(void **state) {
        struct json_object *all = vector_ours("consumer/http-errors.json");
        size_t seen = 0;

        (void) state;
        vector_each(vector_get(all, "cases"), c) {
                struct json_object *expect = vector_get(c, "expect");
                int status = json_object_get_int(vector_get(c, "status"));
                struct iicp_outcome o =
                        judge(status, json_object_get_string(vector_get(c, "body")), NULL);

                assert_string_equal(o.code, json_object_get_string(vector_get(expect, "code")));
                if (o.cls != class_named(vector_str(expect, "action")))
                        fail_msg("%d %s: class %d", status, o.code, (int) o.cls);
                seen++;
        }
        assert_true(seen >= 30);
        json_object_put(all);

        assert_int_equal(judge(425, "", NULL).cls, IICP_CLASS_SAME);
        assert_int_equal(judge(431, "", NULL).cls, IICP_CLASS_FINAL);
        assert_int_equal(judge(599, "", NULL).cls, IICP_CLASS_SWITCH_RETRYABLE);
        assert_int_equal(judge(505, "", NULL).cls, IICP_CLASS_SWITCH);
        assert_true(judge(408, "", NULL).timed_out);
        assert_true(judge(504, "{\"error\":{\"code\":\"task_timeout\"}}", NULL).timed_out);
        assert_false(judge(504, "", NULL).timed_out);
}

static void QOS_ADMIT_02_capacity_switches_without_wait(void **state) {
        (void) state;
        assert_int_equal(judge(429, "{\"error\":{\"code\":\"capacity_exceeded\"}}", "2").cls,
                         IICP_CLASS_SWITCH);
        assert_int_equal(
                judge(429, "{\"error\":{\"code\":\"x\",\"qos_class\":\"batch\"}}", "2").cls,
                IICP_CLASS_SWITCH);
        assert_int_equal(judge(503,
                               "{\"error\":{\"code\":\"x\",\"message\":\"capacity_exceeded\"}}",
                               NULL)
                                 .cls,
                         IICP_CLASS_SWITCH);
        assert_int_equal(judge(429, "{\"error\":{\"code\":\"rate_limited\"}}", "2").cls,
                         IICP_CLASS_SAME);
        /* capacity says nothing about the node's health */
        assert_int_equal(judge(503, "{\"error\":{\"code\":\"IICP-E021\"}}", NULL).verdict,
                         IICP_VERDICT_NONE);
        assert_int_equal(judge(503, "", NULL).verdict, IICP_VERDICT_FAIL);
}

static void IICPD_02_30_the_number_counts_in_both_places(void **state) {
        (void) state;
        assert_int_equal(judge(429, "{\"error\":{\"code\":\"IICP-E021\"}}", NULL).cls,
                         IICP_CLASS_SWITCH);
        assert_int_equal(
                judge(429, "{\"error\":{\"code\":\"busy\",\"iicp_code\":\"IICP-E021\"}}", NULL).cls,
                IICP_CLASS_SWITCH);
        assert_int_equal(
                judge(422, "{\"error\":{\"code\":\"x\",\"iicp_code\":\"IICP-E029\"}}", NULL).cls,
                IICP_CLASS_SWITCH);
        assert_int_equal(judge(422, "{\"error\":{\"code\":\"x\"}}", NULL).cls, IICP_CLASS_FINAL);
        assert_int_equal(
                judge(503, "{\"error\":{\"code\":\"x\",\"iicp_code\":\"IICP-E024\"}}", NULL).cls,
                IICP_CLASS_SWITCH);
}

static void IICPD_06_34_waits_and_hints(void **state) {
        struct json_object *all = vector_ours("consumer/backoff.json");
        const struct iicp_backoff b = {200, 5000, 5000};

        (void) state;
        vector_each(vector_get(all, "delays"), d) {
                double got = iicp_backoff_delay(&b,
                                                (unsigned) json_object_get_int(
                                                        vector_get(d, "failed_attempt_index")),
                                                json_object_get_double(vector_get(d, "random")));

                assert_true(fabs(got - json_object_get_double(vector_get(d, "delay_ms"))) < 0.001);
        }
        vector_each(vector_get(all, "retry_after"), h) {
                struct json_object *header = vector_find(h, "retry_after_header");
                struct json_object *in_body = vector_find(h, "retry_after_ms_body");
                struct json_object *want = vector_find(h, "hint_ms");
                struct iicp_outcome o;
                char body[128];

                snprintf(body, sizeof(body), "{\"error\":{\"code\":\"x\",\"retry_after_ms\":%s}}",
                         in_body ? json_object_to_json_string(in_body) : "null");
                iicp_outcome_init(&o);
                iicp_outcome_read(&o, 429, iicp_str(body),
                                  iicp_str(header ? json_object_get_string(header) : NULL),
                                  (int64_t) curl_getdate("Fri, 02 Jan 2026 03:04:05 GMT", NULL));
                assert_int_equal(o.hint_ms, want ? json_object_get_int64(want) : -1);
        }
        vector_each(vector_get(all, "decisions"), c) {
                struct json_object *hint = vector_find(c, "hint_ms");
                int64_t wait = iicp_backoff_wait(
                        &b, (unsigned) json_object_get_int(vector_get(c, "failed_attempt_index")),
                        json_object_get_double(vector_get(c, "random")),
                        hint ? json_object_get_int64(hint) : -1,
                        json_object_get_int64(vector_get(c, "remaining_ms")));
                char text[32];

                snprintf(text, sizeof(text), "wait %lld ms", (long long) wait);
                if (wait < 0)
                        snprintf(text, sizeof(text), "%s",
                                 json_object_get_boolean(vector_get(c, "other_candidates"))
                                         ? "switch"
                                         : "give_up");
                assert_string_equal(text, json_object_get_string(vector_get(c, "expect")));
        }
        json_object_put(all);
}

static void SDK_ERR_02_codes_that_are_worth_a_retry(void **state) {
        (void) state;
        assert_true(iicp_code_retryable("IICP-E004"));
        assert_true(iicp_code_retryable("IICP-E005"));
        assert_true(iicp_code_retryable("IICP-E008"));
        assert_false(iicp_code_retryable("IICP-E001"));
        assert_false(iicp_code_retryable("validation_error"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_31_every_outcome_has_its_class),
                cmocka_unit_test(QOS_ADMIT_02_capacity_switches_without_wait),
                cmocka_unit_test(IICPD_02_30_the_number_counts_in_both_places),
                cmocka_unit_test(IICPD_06_34_waits_and_hints),
                cmocka_unit_test(SDK_ERR_02_codes_that_are_worth_a_retry),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
