/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <errno.h>

#define TASK "550e8400-e29b-41d4-a716-446655440000"

/* Scripted nodes and a clock that only moves when somebody waits. */
struct lab {
        int64_t now;
        struct json_object *scripts[3]; /* arrays, or a string */
        size_t used[3];
        char seen[64];
        size_t n_seen;
        int64_t waited;
        bool cancel_wait, sent_before_drop;
};

static int64_t lab_now(void *arg) {
        return ((struct lab *) arg)->now;
}

static int lab_wait(void *arg, int64_t ms) {
        struct lab *l = arg;

        if (l->cancel_wait)
                return -ECANCELED;
        l->now += ms;
        l->waited += ms;
        return 0;
}

static double lab_draw(void *arg) {
        (void) arg;
        return 0.5;
}

static bool lab_admit(void *arg, size_t candidate) {
        (void) arg;
        (void) candidate;
        return true;
}

static const char *lab_prefix(void *arg, size_t candidate) {
        (void) arg;
        return candidate == 0 ? "A" : candidate == 1 ? "B" : "C";
}

static char *body_of(struct json_object *step, size_t *ret_n) {
        struct json_object *body = vector_get(step, "body");
        const char *text = json_object_is_type(body, json_type_string)
                                   ? json_object_get_string(body)
                                   : json_object_to_json_string(body);
        struct iicp_buf b = {0};

        if (text[0] == '<' && text[1] == '1') {
                char *big = malloc(1100001);

                memset(big, 'x', 1100000);
                big[1100000] = '\0';
                *ret_n = 1100000;
                return big;
        }
        for (; *text; text++)
                if (*text == '$')
                        iicp_buf_puts(&b, TASK);
                else
                        iicp_buf_add(&b, text, 1);
        *ret_n = b.n;
        return iicp_buf_take(&b, ret_n);
}

static void answer(struct json_object *step, struct iicp_outcome *o) {
        struct json_object *headers = vector_find(step, "headers");
        struct json_object *after = headers ? vector_find(headers, "Retry-After") : NULL;
        int status = json_object_get_int(vector_get(step, "status"));
        struct iicp_reply_context ctx = {.task_id = TASK};
        struct iicp_reply reply;
        size_t n;
        char *body = body_of(step, &n);

        o->sent = o->sent_all = true;
        o->http_status = status;
        if (n > IICP_BODY_MAX)
                iicp_outcome_local(o, "response_too_large", "");
        else if (status >= 300 && status < 400)
                iicp_outcome_local(o, "IICP-ENDPOINT-REFUSED", "");
        else if (status >= 200 && status < 300) {
                assert_int_equal(iicp_reply_read(&ctx, (struct iicp_str){body, n}, &reply), 0);
                if (reply.ok) {
                        o->cls = IICP_CLASS_DONE;
                        iicp_response_free(reply.response);
                } else {
                        reply.outcome.sent = reply.outcome.sent_all = true;
                        if (!reply.outcome.http_status)
                                reply.outcome.http_status = status;
                        *o = reply.outcome;
                }
        } else {
                iicp_outcome_read(o, status, (struct iicp_str){body, n},
                                  iicp_str(after ? json_object_get_string(after) : NULL), 0);
                iicp_outcome_classify(o, status, false);
        }
        free(body);
}

static void lab_attempt(void *arg, size_t candidate, int64_t budget_ms, struct iicp_outcome *o) {
        struct lab *l = arg;
        struct json_object *script = l->scripts[candidate], *step = script;
        const char *word;

        if (json_object_is_type(script, json_type_array)) {
                size_t last = json_object_array_length(script) - 1;

                step = json_object_array_get_idx(script, MIN(l->used[candidate], last));
                l->used[candidate]++;
        }
        word = json_object_is_type(step, json_type_string) ? json_object_get_string(step) : "";
        if (strcmp(word, "refused") != 0)
                l->seen[l->n_seen++] = lab_prefix(NULL, candidate)[0];
        l->now += 1;
        if (!strcmp(word, "refused"))
                iicp_outcome_local(o, "IICP-E004", "");
        else if (!strcmp(word, "timeout")) {
                l->now += budget_ms;
                iicp_outcome_local(o, "IICP-E003", "");
                o->sent = o->sent_all = true;
        } else if (!strcmp(word, "drop")) {
                iicp_outcome_local(o, "IICP-E004", "");
                o->sent = o->sent_all = true;
        } else
                answer(step, o);
}

static const struct iicp_walk_ops lab_ops = {lab_now,   lab_wait,    lab_draw,
                                             lab_admit, lab_attempt, lab_prefix};

static struct iicp_walk walk_over(struct lab *l, size_t n) {
        return (struct iicp_walk){
                .ops = &lab_ops,
                .arg = l,
                .n = n,
                .max_retries = 3,
                .timeout_ms = 100,
                .deadline_ms = 3 * 2100 + 5000,
                .backoff = {200, 5000, 5000},
                .qos = "interactive",
        };
}

static void run_scenario(struct json_object *s) {
        struct json_object *nodes = vector_get(s, "nodes"), *expect = vector_get(s, "expect");
        static const char *const names[] = {"A", "B", "C"};
        struct lab l = {0};
        struct iicp_walk w;
        struct iicp_error e = {0};
        size_t n = 0;
        ssize_t got;

        while (n < 3 && json_object_object_get_ex(nodes, names[n], &l.scripts[n]))
                n++;
        w = walk_over(&l, n);
        got = iicp_walk_run(&w, &e);
        if (strcmp(l.seen, json_object_get_string(vector_get(s, "expect_requests"))) != 0)
                fail_msg("%s: requests '%s'", json_object_get_string(vector_get(s, "name")),
                         l.seen);
        if (json_object_is_type(expect, json_type_string)) {
                assert_true(got >= 0);
                return;
        }
        assert_true(got < 0);
        assert_string_equal(e.code, json_object_get_string(vector_get(expect, "code")));
        assert_int_equal(e.cause.http_status,
                         json_object_get_int(vector_get(expect, "last_http_status")));
        assert_true(e.attempts == w.attempts && e.attempts > 0 && e.cause.code[0]);
}

static void IICPD_06_32_walk_asks_in_the_expected_order(void **state) {
        struct json_object *all = vector_ours("consumer/failover.json");

        (void) state;
        vector_each(vector_get(all, "scenarios"), s) run_scenario(s);
        json_object_put(all);
}

/* Runs one script over n nodes, all the same. */
static struct iicp_error run_script(struct lab *l, size_t n, const char *text,
                                    struct iicp_walk *w) {
        struct json_object *script = json_tokener_parse(text);
        struct iicp_error e = {0};

        assert_non_null(script);
        for (size_t i = 0; i < n; i++)
                l->scripts[i] = script;
        *w = walk_over(l, n);
        assert_int_equal(iicp_walk_run(w, &e), -1);
        json_object_put(script);
        return e;
}

static void SDK_01_transient_failure_is_tried_three_times(void **state) {
        struct lab l = {0};
        struct iicp_walk w;
        struct iicp_error e = run_script(&l, 1, "[{\"status\":503,\"body\":{}}]", &w);

        (void) state;
        assert_string_equal(l.seen, "AAA");
        assert_int_equal(l.waited, 600); /* 200, 400, and none after the last */
        assert_true(e.retryable);
}

static void PROXY_ROUTE_03_at_most_three_attempts_on_a_node(void **state) {
        struct lab l = {0};
        struct iicp_walk w;

        (void) state;
        run_script(&l, 2, "[{\"status\":429,\"body\":{\"error\":{\"code\":\"rate_limited\"}}}]",
                   &w);
        assert_string_equal(l.seen, "AAABBB");
}

static void PROXY_ROUTE_04_exhaustion_is_a_structured_error(void **state) {
        struct lab l = {0};
        struct iicp_walk w;
        struct iicp_error e =
                run_script(&l, 3,
                           "[{\"status\":502,\"body\":{\"error\":{\"code\":\"backend_error\"}}}]",
                           &w);

        (void) state;
        assert_string_equal(e.component, "sdk");
        assert_string_equal(e.cause.code, "backend_error");
        assert_string_equal(e.cause.node_prefix, "C");
        assert_int_equal(e.n_log, 3);
        assert_true(e.sent);
}

static void PROXY_ERR_02_failed_nodes_are_no_available_node(void **state) {
        struct lab l = {0};
        struct iicp_walk w;
        struct iicp_error e = run_script(&l, 2, "[{\"status\":500,\"body\":{}}]", &w);

        (void) state;
        assert_string_equal(e.code, "no_available_node");
        assert_int_equal(e.http_status, 502);
}

static void PROXY_TIMEOUT_01_a_silent_node_leads_to_the_next(void **state) {
        struct lab l = {0};
        struct iicp_walk w;

        (void) state;
        run_script(&l, 2, "[\"timeout\"]", &w);
        assert_string_equal(l.seen, "AB");
}

static void PROXY_TIMEOUT_02_all_silent_is_timeout(void **state) {
        struct lab l = {0};
        struct iicp_walk w;
        struct iicp_error e = run_script(&l, 3, "[\"timeout\"]", &w);

        (void) state;
        assert_string_equal(e.code, "timeout");
        assert_int_equal(e.http_status, 504);
        assert_true(e.retryable);
}

static void IICPD_06_33_tools_are_not_run_twice(void **state) {
        struct json_object *script = json_tokener_parse("[\"drop\"]");
        struct lab l = {.scripts = {script, script}};
        struct iicp_walk w = walk_over(&l, 2);
        struct iicp_error e = {0};

        (void) state;
        w.no_replay = true;
        assert_int_equal(iicp_walk_run(&w, &e), -1);
        assert_string_equal(l.seen, "A");
        assert_string_equal(e.code, "IICP-E004");
        assert_false(e.retryable);
        json_object_put(script);
}

static void IICPD_06_32_repeated_409_is_no_verdict(void **state) {
        struct json_object *script = json_tokener_parse(
                "[\"drop\",{\"status\":409,\"body\":{\"error\":{\"code\":\"IICP-E010\"}}}]");
        struct lab l = {.scripts = {script}};
        struct iicp_walk w = walk_over(&l, 1);
        struct iicp_error e = {0};

        (void) state;
        assert_int_equal(iicp_walk_run(&w, &e), -1);
        assert_string_equal(l.seen, "AA");
        assert_string_equal(e.code, "no_available_node");
        json_object_put(script);
}

static void IICPD_06_34_cancel_ends_a_wait(void **state) {
        struct lab l = {.cancel_wait = true};
        struct iicp_walk w;
        struct iicp_error e = run_script(&l, 1, "[{\"status\":503,\"body\":{}}]", &w);

        (void) state;
        assert_string_equal(e.code, "cancelled");
        assert_string_equal(l.seen, "A");
}

static void IICPD_06_32_deadline_ends_the_walk(void **state) {
        struct json_object *script = json_tokener_parse("[\"timeout\"]");
        struct lab l = {.scripts = {script, script, script}};
        struct iicp_walk w = walk_over(&l, 3);
        struct iicp_error e = {0};

        (void) state;
        w.deadline_ms = 2300; /* the second attempt would have less than 250 ms */
        assert_int_equal(iicp_walk_run(&w, &e), -1);
        assert_string_equal(l.seen, "A");
        assert_string_equal(e.code, "timeout");
        json_object_put(script);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_32_walk_asks_in_the_expected_order),
                cmocka_unit_test(SDK_01_transient_failure_is_tried_three_times),
                cmocka_unit_test(PROXY_ROUTE_03_at_most_three_attempts_on_a_node),
                cmocka_unit_test(PROXY_ROUTE_04_exhaustion_is_a_structured_error),
                cmocka_unit_test(PROXY_ERR_02_failed_nodes_are_no_available_node),
                cmocka_unit_test(PROXY_TIMEOUT_01_a_silent_node_leads_to_the_next),
                cmocka_unit_test(PROXY_TIMEOUT_02_all_silent_is_timeout),
                cmocka_unit_test(IICPD_06_33_tools_are_not_run_twice),
                cmocka_unit_test(IICPD_06_32_repeated_409_is_no_verdict),
                cmocka_unit_test(IICPD_06_34_cancel_ends_a_wait),
                cmocka_unit_test(IICPD_06_32_deadline_ends_the_walk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
