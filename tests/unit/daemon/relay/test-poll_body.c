/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/poll_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static enum poll_fault read_bind(const char *text, struct poll_bind_body *b) {
        return poll_bind_read(iicp_str(text), b);
}

static void IICPD_03_45_bind_bodies(void **state) {
        struct poll_bind_body b;

        (void) state;
        assert_int_equal(read_bind("{\"worker_id\":\"w-1\",\"intent\":\"urn:x\",\"models\":[\"m1\"],\"bind_ticket\":\"a.b\",\"new\":1}", &b),
                         POLL_OK);
        assert_string_equal(b.worker_id, "w-1");
        assert_string_equal(b.intent, "urn:x");
        assert_string_equal(b.ticket, "a.b");
        assert_true(b.has_ticket);
        assert_int_equal(b.models.type, IICP_JSON_ARRAY);
        assert_int_equal(read_bind("{\"worker_id\":\"w-1\",\"intent\":null,\"models\":\"m1\",\"bind_ticket\":null}", &b), POLL_OK);
        assert_false(b.has_ticket);
        assert_int_equal(b.models.type, IICP_JSON_NONE);
        assert_int_equal(read_bind("{\"worker_id\":\"w-1\",\"bind_ticket\":\"\"}", &b), POLL_OK);
        assert_true(b.has_ticket);
        assert_int_equal(read_bind("{}", &b), POLL_NO_WORKER_ID);
        assert_int_equal(read_bind("{\"worker_id\":\"\"}", &b), POLL_NO_WORKER_ID);
        assert_int_equal(read_bind("{\"worker_id\":7}", &b), POLL_NO_WORKER_ID);
        assert_string_equal(poll_fault_text(POLL_NO_WORKER_ID), "worker_id is required");
        assert_int_equal(read_bind("{\"worker_id\":\"../w\"}", &b), POLL_BAD_WORKER_ID);
        assert_int_equal(read_bind("{\"worker_id\":\"w\\u0000\"}", &b), POLL_BAD_WORKER_ID);
        assert_int_equal(read_bind("{\"worker_id\":\"w\",\"bind_ticket\":[]}", &b), POLL_BAD_MEMBER);
        assert_int_equal(read_bind("{\"worker_id\":\"w\",\"intent\":{}}", &b), POLL_BAD_MEMBER);
}

static void IICPD_03_46_malformed_bodies(void **state) {
        static const char *const no_json[] = {"", "{oops", "{\"worker_id\":\"w\"}x", "\xff", "{\"a\":1,\"a\":2}"};
        struct poll_forward_body f;
        struct poll_result_body r;
        struct poll_bind_body b;

        (void) state;
        for (size_t i = 0; i < sizeof no_json / sizeof no_json[0]; i++) {
                assert_int_equal(read_bind(no_json[i], &b), POLL_NO_JSON);
                assert_int_equal(poll_result_read(iicp_str(no_json[i]), &r), POLL_NO_JSON);
                assert_int_equal(poll_forward_read(iicp_str(no_json[i]), &f), POLL_NO_JSON);
        }
        assert_int_equal(read_bind("[]", &b), POLL_NO_OBJECT);
        assert_int_equal(poll_result_read(IICP_STR("1"), &r), POLL_NO_OBJECT);
        assert_int_equal(poll_forward_read(IICP_STR("null"), &f), POLL_NO_OBJECT);
        for (enum poll_fault fault = POLL_OK + 1; fault < POLL_FAULTS_; fault++)
                assert_true(poll_fault_text(fault)[0]);
}

static void ticket_of(size_t n, enum poll_fault wanted) {
        struct poll_bind_body b;
        struct iicp_buf text = {0};

        iicp_buf_puts(&text, "{\"worker_id\":\"w\",\"bind_ticket\":\"");
        for (size_t i = 0; i < n; i++)
                iicp_buf_puts(&text, "t");
        iicp_buf_puts(&text, "\"}");
        assert_int_equal(poll_bind_read(iicp_buf_str(&text), &b), wanted);
        iicp_buf_free(&text);
}

static void IICPD_03_46_longest_ticket(void **state) {
        (void) state;
        ticket_of(POLL_TICKET_MAX, POLL_OK);
        ticket_of(POLL_TICKET_MAX + 1, POLL_BAD_MEMBER);
}

static void count_name(void *arg, const char *name) {
        unsigned *n = arg;

        assert_true(name[0] == 'm');
        (*n)++;
}

static void IICPD_03_45_names_of_models(void **state) {
        struct poll_bind_body b;
        struct iicp_buf text = {0};
        unsigned n = 0;

        (void) state;
        assert_int_equal(read_bind("{\"worker_id\":\"w\",\"models\":[\"m1\",2,null,\"\",\"m\\u0000\",[\"m3\"],\"m4\"]}", &b), POLL_OK);
        poll_names(&b.models, count_name, &n);
        assert_int_equal(n, 2);
        iicp_buf_puts(&text, "{\"worker_id\":\"w\",\"models\":[\"m\"");
        for (unsigned i = 0; i < POLL_MODELS_MAX; i++)
                iicp_buf_puts(&text, ",\"m\"");
        iicp_buf_puts(&text, "]}");
        n = 0;
        assert_int_equal(poll_bind_read(iicp_buf_str(&text), &b), POLL_OK);
        poll_names(&b.models, count_name, &n);
        assert_int_equal(n, POLL_MODELS_MAX);
        iicp_buf_free(&text);
}

static enum poll_fault result(const char *text, struct poll_result_body *r) {
        return poll_result_read(iicp_str(text), r);
}

static void IICPD_03_45_result_bodies(void **state) {
        struct poll_result_body r;

        (void) state;
        assert_int_equal(result("{\"call_id\":\"c\",\"result\":{\"a\":1e2}}", &r), POLL_OK);
        assert_string_equal(r.call_id, "c");
        assert_true(iicp_str_is(r.result, "{\"a\":1e2}"));
        assert_null(r.event.p);
        assert_int_equal(result("{\"call_id\":\"c\",\"result\":\"a\\\"b\"}", &r), POLL_OK);
        assert_true(iicp_str_is(r.result, "\"a\\\"b\""));
        assert_int_equal(result("{\"call_id\":\"c\"}", &r), POLL_NO_RESULT);
        assert_int_equal(result("{\"call_id\":\"c\",\"result\":null}", &r), POLL_NO_RESULT);
        assert_int_equal(result("{\"result\":{}}", &r), POLL_NO_RESULT);
        assert_int_equal(result("{\"call_id\":\"\",\"result\":{}}", &r), POLL_NO_RESULT);
        assert_int_equal(result("{\"call_id\":1,\"result\":{}}", &r), POLL_NO_RESULT);
        assert_string_equal(poll_fault_text(POLL_NO_RESULT), "call_id and result are required");
}

#define EVENT(session, call, status, tokens, final, task, sequence, event, life_final)                                  \
        "{\"call_id\":\"c\",\"event\":{\"session_id\":" session ",\"call_id\":" call ",\"status\":\"" status            \
        "\",\"result\":\"x\",\"tokens_used\":" tokens ",\"is_final\":" final ",\"lifecycle\":{\"task_id\":" task        \
        ",\"sequence\":" sequence ",\"event\":\"" event "\",\"is_final\":" life_final "}}}"

static void IICPD_03_45_event_bodies(void **state) {
        static const char *const good[] = {
                EVENT("\"s\"", "\"c\"", "partial", "1", "false", "\"t\"", "0", "partial", "false"),
                EVENT("\"s\"", "\"c\"", "success", "null", "true", "\"t\"", "7", "completed", "true"),
                EVENT("\"s\"", "\"c\"", "error", "0", "true", "\"t\"", "7", "failed", "true"),
                EVENT("\"s\"", "\"c\"", "error", "0", "true", "\"t\"", "7", "cancelled", "true"),
                EVENT("\"s\"", "\"c\"", "timeout", "0", "true", "\"t\"", "7", "expired", "true"),
        };
        static const char *const bad[] = {
                EVENT("1", "\"c\"", "partial", "1", "false", "\"t\"", "0", "partial", "false"),
                EVENT("\"s\"", "\"d\"", "partial", "1", "false", "\"t\"", "0", "partial", "false"),
                EVENT("\"s\"", "\"c\"", "partial", "1", "true", "\"t\"", "0", "partial", "true"),
                EVENT("\"s\"", "\"c\"", "partial", "1", "false", "\"t\"", "0", "completed", "false"),
                EVENT("\"s\"", "\"c\"", "success", "1", "true", "\"t\"", "0", "completed", "false"),
                EVENT("\"s\"", "\"c\"", "success", "1", "false", "\"t\"", "0", "completed", "false"),
                EVENT("\"s\"", "\"c\"", "done", "1", "true", "\"t\"", "0", "completed", "true"),
                EVENT("\"s\"", "\"c\"", "partial", "-1", "false", "\"t\"", "0", "partial", "false"),
                EVENT("\"s\"", "\"c\"", "partial", "\"1\"", "false", "\"t\"", "0", "partial", "false"),
                EVENT("\"s\"", "\"c\"", "partial", "1", "false", "\"t\"", "-1", "partial", "false"),
                EVENT("\"s\"", "\"c\"", "partial", "1", "false", "\"t\"", "1.5", "partial", "false"),
                EVENT("\"s\"", "\"c\"", "partial", "1", "false", "null", "0", "partial", "false"),
                EVENT("\"s\"", "\"c\"", "partial", "1", "0", "\"t\"", "0", "partial", "0"),
                "{\"call_id\":\"c\",\"event\":{}}", "{\"call_id\":\"c\",\"event\":[]}", "{\"call_id\":\"c\",\"event\":1}",
                "{\"call_id\":\"c\",\"event\":{\"session_id\":\"s\",\"call_id\":\"c\",\"status\":\"partial\",\"is_final\":false}}",
        };
        struct poll_result_body r;

        (void) state;
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
                assert_int_equal(result(good[i], &r), POLL_OK);
                assert_null(r.result.p);
                assert_true(r.event.n > 0 && r.event.p[0] == '{');
        }
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert_int_equal(result(bad[i], &r), POLL_BAD_EVENT);
}

static void IICPD_03_51_forward_bodies(void **state) {
        struct poll_forward_body f;

        (void) state;
        assert_int_equal(poll_forward_read(IICP_STR("{\"task\": {\"n\":1e2} ,\"target_node_id\":\"w-1\"}"), &f), POLL_OK);
        assert_string_equal(f.target, "w-1");
        assert_true(iicp_str_is(f.task, "{\"n\":1e2}"));
        assert_int_equal(poll_forward_read(IICP_STR("{\"task\":{},\"target_node_id\":\"a/b\"}"), &f), POLL_OK);
        assert_string_equal(f.target, "");
        assert_int_equal(poll_forward_read(IICP_STR("{\"target_node_id\":\"zz\"}"), &f), POLL_NO_TARGET);
        assert_int_equal(poll_forward_read(IICP_STR("{\"target_node_id\":\"zz\",\"task\":[]}"), &f), POLL_NO_TARGET);
        assert_int_equal(poll_forward_read(IICP_STR("{\"task\":{}}"), &f), POLL_NO_TARGET);
}

static void CX_03_task_in_a_pull_is_the_same_bytes(void **state) {
        static const char task[] = "{ \"iicp_conf\" : {\"encrypted_body\":\"A\\u0042==\"},\"n\":1e2,\"n2\":0.10 }";
        struct iicp_buf out = {0};

        (void) state;
        poll_call_put(&out, "c-1", IICP_STR(task), NULL);
        assert_true(iicp_str_is(iicp_buf_str(&out), "{\"call_id\":\"c-1\",\"task\":{ \"iicp_conf\" : "
                                                    "{\"encrypted_body\":\"A\\u0042==\"},\"n\":1e2,\"n2\":0.10 }}"));
        iicp_buf_free(&out);
}

static void IICPD_03_45_streaming_call_in_a_pull(void **state) {
        const struct relay_call_keys keys = {IICP_STR("s-1"), IICP_STR("t-\"1")};
        struct iicp_buf out = {0};

        (void) state;
        poll_call_put(&out, "c-1", IICP_STR("{}"), &keys);
        assert_true(iicp_str_is(iicp_buf_str(&out), "{\"call_id\":\"c-1\",\"task\":{},\"task_id\":\"t-\\\"1\","
                                                    "\"session_id\":\"s-1\",\"stream\":true}"));
        iicp_buf_free(&out);
}

static void IICPD_03_45_fields_of_an_event(void **state) {
        struct poll_event e;

        (void) state;
        poll_event_read(IICP_STR("{\"session_id\":\"s\",\"call_id\":\"c\",\"status\":\"error\",\"result\":\"x\\n\","
                                 "\"error\":{\"code\":\"k\",\"message\":\"m\"},\"tokens_used\":5,\"is_final\":true,"
                                 "\"lifecycle\":{\"task_id\":\"t\",\"sequence\":7,\"event\":\"failed\",\"is_final\":true}}"), &e);
        assert_true(iicp_str_is(e.life.session_id, "s") && iicp_str_is(e.life.call_id, "c"));
        assert_true(iicp_str_is(e.life.task_id, "t") && iicp_str_is(e.life.event, "failed"));
        assert_true(iicp_str_is(e.event.status, "error") && iicp_str_is(e.event.error_code, "k"));
        assert_true(iicp_str_is(e.event.chunk, "\"x\\n\"") && iicp_str_is(e.event.error_message, "m"));
        assert_true(e.event.is_final && e.life.is_final && e.life.frame_final);
        assert_int_equal(e.event.sequence, 7);
        assert_int_equal(e.event.tokens, 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_45_bind_bodies),
                cmocka_unit_test(IICPD_03_46_malformed_bodies),
                cmocka_unit_test(IICPD_03_46_longest_ticket),
                cmocka_unit_test(IICPD_03_45_names_of_models),
                cmocka_unit_test(IICPD_03_45_result_bodies),
                cmocka_unit_test(IICPD_03_45_event_bodies),
                cmocka_unit_test(IICPD_03_51_forward_bodies),
                cmocka_unit_test(IICPD_03_45_streaming_call_in_a_pull),
                cmocka_unit_test(IICPD_03_45_fields_of_an_event),
                cmocka_unit_test(CX_03_task_in_a_pull_is_the_same_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
