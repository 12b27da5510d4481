/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "relay/poll.h"
#include "stage.h"
#include "util.h"

#include <errno.h>

struct worker {
        struct polls *polls;
        struct poll_session *session;
        char token[POLL_TOKEN_HEX + 1];
};

/* A pull of the test: what it was told, and whether its caller is still there. */
struct puller {
        struct poll_pull pull;
        unsigned told;
        enum poll_news news;
        bool left;
};

static bool on_news(void *arg, enum poll_news news) {
        struct puller *p = arg;

        p->told++;
        p->news = news;
        return !p->left;
}

static bool start(struct puller *p, struct poll_session *s) {
        *p = (struct puller){.told = 0};
        return poll_pull_start(&p->pull, s, on_news, p);
}

static int bind_profile(struct worker *w, const char *id, bool lifecycle) {
        struct sockaddr source = {.sa_family = AF_UNIX};
        struct relay_bind b = {.worker_id = iicp_str(id), .source = &source, .lifecycle = lifecycle};

        if (!w->polls && polls_new(stage->node.relay, stage->node.loop, &w->polls) < 0)
                return -1;
        if (poll_bind(w->polls, &b, w->token) != RELAY_BOUND)
                return -1;
        w->session = poll_find(w->polls, iicp_str(w->token));
        return w->session ? 0 : -1;
}

static void forward(const char *worker_id, const char *task, struct stage_answer *a) {
        struct stage_link to = {.session = relay_find(stage->node.relay, iicp_str(worker_id))};

        assert_int_equal(stage_forward(&to, task, a), 0);
}

static const char *task_of(const struct puller *p) {
        return relay_call_task(p->pull.call)->body.p;
}

static void done(struct worker *w) {
        w->polls = polls_free(w->polls);
}

static void IICPD_03_47_token_finds_its_session_and_no_other(void **state) {
        struct worker one = {.polls = NULL}, two = {.polls = NULL};
        char wrong[POLL_TOKEN_HEX + 1];

        (void) state;
        assert_int_equal(bind_profile(&one, "one", false), 0);
        two.polls = one.polls;
        assert_int_equal(bind_profile(&two, "two", false), 0);
        assert_string_not_equal(one.token, two.token);
        for (int i = 0; i < POLL_TOKEN_HEX; i++) { /* each digit counts */
                memcpy(wrong, one.token, sizeof wrong);
                wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
                assert_null(poll_find(one.polls, iicp_str(wrong)));
        }
        memcpy(wrong, one.token, sizeof wrong);
        wrong[10] = 'A';
        assert_null(poll_find(one.polls, iicp_str(wrong)));
        assert_null(poll_find(one.polls, IICP_STR("")));
        assert_null(poll_find(one.polls, (struct iicp_str){one.token, POLL_TOKEN_HEX - 1}));
        poll_unbind(one.session);
        assert_null(poll_find(one.polls, iicp_str(one.token)));
        assert_ptr_equal(poll_find(one.polls, iicp_str(two.token)), two.session);
        poll_unbind(two.session);
        done(&one);
}

/* More than there are places at the start, so that the table grows. */
static void IICPD_03_47_many_tokens(void **state) {
        struct worker w = {.polls = NULL};
        char tokens[300][POLL_TOKEN_HEX + 1], id[16];

        (void) state;
        stage->config.relay_bind_rate = 0;
        stage->config.relay_max_sessions = 1000;
        for (int i = 0; i < 300; i++) {
                snprintf(id, sizeof id, "w-%d", i);
                assert_int_equal(bind_profile(&w, id, false), 0);
                memcpy(tokens[i], w.token, sizeof tokens[i]);
        }
        for (int i = 0; i < 300; i++) {
                struct poll_session *s = poll_find(w.polls, iicp_str(tokens[i]));

                assert_non_null(s);
                if (i % 2)
                        poll_unbind(s);
        }
        for (int i = 0; i < 300; i++) {
                struct poll_session *s = poll_find(w.polls, iicp_str(tokens[i]));

                assert_true((s != NULL) == (i % 2 == 0));
                if (s)
                        poll_unbind(s);
        }
        done(&w);
}

static void IICPD_03_48_pulls_wait_25_s_and_are_served_in_order(void **state) {
        struct worker w = {.polls = NULL};
        struct puller first, second;
        struct stage_answer a, b;

        (void) state;
        assert_int_equal(bind_profile(&w, "w", false), 0);
        assert_false(start(&first, w.session));
        stage_run(1000);
        assert_false(start(&second, w.session));
        forward("w", "{\"n\":1}", &a);
        assert_true(first.told == 1 && first.news == POLL_CALL && second.told == 0);
        assert_memory_equal(task_of(&first), "{\"n\":1}", 7);
        stage_run(POLL_TIMEOUT_MS - 1001);
        assert_int_equal(second.told, 0);
        stage_run(1001);
        assert_true(second.told == 1 && second.news == POLL_EMPTY);
        poll_pull_done(&first.pull, true);
        poll_pull_done(&second.pull, true);
        forward("w", "{\"n\":2}", &b);
        assert_true(start(&first, w.session)); /* at once, without news */
        assert_int_equal(first.told, 0);
        assert_memory_equal(task_of(&first), "{\"n\":2}", 7);
        poll_pull_done(&first.pull, true);
        poll_unbind(w.session);
        assert_true(a.outcome == RELAY_LOST && b.outcome == RELAY_LOST);
        done(&w);
}

static void IICPD_03_48_what_was_not_delivered_comes_first(void **state) {
        struct worker w = {.polls = NULL};
        struct puller lost, left, next;
        struct stage_answer a, b;

        (void) state;
        assert_int_equal(bind_profile(&w, "w", false), 0);
        assert_false(start(&lost, w.session));
        forward("w", "{\"n\":1}", &a);
        forward("w", "{\"n\":2}", &b);
        poll_pull_done(&lost.pull, false);
        assert_true(start(&next, w.session));
        assert_memory_equal(task_of(&next), "{\"n\":1}", 7);
        poll_pull_done(&next.pull, true);
        assert_true(start(&next, w.session));
        assert_memory_equal(task_of(&next), "{\"n\":2}", 7);
        /* back again: the one that waits and has left is passed over */
        assert_false(start(&left, w.session));
        left.left = true;
        assert_false(start(&lost, w.session));
        poll_pull_done(&next.pull, false);
        assert_true(left.told == 1 && !left.pull.call);
        assert_true(lost.told == 1 && lost.news == POLL_CALL);
        assert_memory_equal(task_of(&lost), "{\"n\":2}", 7);
        poll_unbind(w.session);
        assert_null(lost.pull.call);
        poll_pull_done(&lost.pull, false); /* its session is no more */
        done(&w);
}

static void IICPD_03_49_answers_while_the_pull_is_on_its_way(void **state) {
        struct worker w = {.polls = NULL};
        struct puller p;
        struct stage_answer a, b;
        char id[40];

        (void) state;
        assert_int_equal(bind_profile(&w, "w", false), 0);
        assert_false(start(&p, w.session));
        forward("w", "{\"task_id\":\"t\"}", &a);
        snprintf(id, sizeof id, "%s", relay_call_id(p.pull.call));
        poll_result(w.session, "somebody-else", IICP_STR("{}"));
        assert_int_equal(a.done, 0);
        poll_result(w.session, id, IICP_STR("{\"result\":{}}"));
        assert_true(a.done == 1 && a.outcome == RELAY_DONE && !p.pull.call);
        poll_pull_done(&p.pull, false); /* nothing to bring back */
        poll_result(w.session, id, IICP_STR("{}"));
        assert_int_equal(a.done, 1);
        /* a consumer that leaves takes its call out of the pull */
        assert_false(start(&p, w.session));
        forward("w", "{}", &b);
        relay_cancel(b.call);
        assert_null(p.pull.call);
        poll_pull_done(&p.pull, true);
        poll_unbind(w.session);
        done(&w);
}

static void IICPD_03_48_too_many_pulls(void **state) {
        static struct puller p[POLL_PULLS_MAX + 2];
        struct worker w = {.polls = NULL};

        (void) state;
        assert_int_equal(bind_profile(&w, "w", false), 0);
        for (size_t i = 0; i < ARRAY_SIZE(p); i++)
                assert_false(start(&p[i], w.session));
        for (size_t i = 0; i < ARRAY_SIZE(p); i++)
                assert_int_equal(p[i].told, i < 2);
        assert_int_equal(p[0].news, POLL_EMPTY);
        poll_unbind(w.session);
        for (size_t i = 2; i < ARRAY_SIZE(p); i++)
                assert_true(p[i].told == 1 && p[i].news == POLL_ENDED);
        done(&w);
}

static void DIR_RELAY_01_a_dead_session_comes_back_or_gives_way(void **state) {
        struct worker w = {.polls = NULL}, again = {.polls = NULL};
        struct puller p;

        (void) state;
        assert_int_equal(bind_profile(&w, "w", false), 0);
        stage_run(IICP_RELAY_ALIVE_MS + 2 * RELAY_SWEEP_MS);
        assert_false(relay_session_alive(relay_find(stage->node.relay, IICP_STR("w"))));
        assert_ptr_equal(poll_find(w.polls, iicp_str(w.token)), w.session);
        assert_false(start(&p, w.session));
        assert_true(relay_session_alive(relay_find(stage->node.relay, IICP_STR("w"))));
        stage_run(POLL_TIMEOUT_MS);
        assert_int_equal(p.news, POLL_EMPTY);
        stage_run(IICP_RELAY_ALIVE_MS + 2 * RELAY_SWEEP_MS);
        again.polls = w.polls;
        assert_int_equal(bind_profile(&again, "w", false), 0);
        assert_null(poll_find(w.polls, iicp_str(w.token)));
        assert_ptr_equal(poll_find(w.polls, iicp_str(again.token)), again.session);
        poll_unbind(again.session);
        done(&w);
}

static bool on_event(void *arg, const struct relay_event *e) {
        (void) arg;
        return e->sequence < 10;
}

static void on_done(void *arg, enum relay_outcome o, struct iicp_buf *body) {
        (void) body;
        *(enum relay_outcome *) arg = o;
}

static int post(struct worker *w, const char *id, const struct relay_call_keys *keys, const char *status, unsigned sequence,
                const char *word, bool final) {
        char text[512];

        snprintf(text, sizeof text, "{\"session_id\":\"%.*s\",\"call_id\":\"%s\",\"status\":\"%s\",\"result\":\"x\",\"is_final\":%s,"
                                    "\"lifecycle\":{\"task_id\":\"%.*s\",\"sequence\":%u,\"event\":\"%s\",\"is_final\":%s}}",
                 (int) keys->session_id.n, keys->session_id.p, id, status, final ? "true" : "false", (int) keys->task_id.n,
                 keys->task_id.p, sequence, word, final ? "true" : "false");
        return poll_event(w->session, id, iicp_str(text));
}

static void IICPD_03_44_events_by_long_poll_in_order(void **state) {
        enum relay_outcome outcome = RELAY_OUTCOME_MAX_;
        struct worker w = {.polls = NULL};
        struct relay_call_keys keys;
        struct relay_task task;
        struct relay_call *call;
        char id[40], session[40], name[140];

        (void) state;
        assert_int_equal(bind_profile(&w, "w", true), 0);
        for (int wrong = 0; wrong < 2; wrong++) {
                outcome = RELAY_OUTCOME_MAX_;
                assert_int_equal(relay_task_read(IICP_STR("{\"task_id\":\"t\"}"), &task), 0);
                task.event = on_event;
                assert_int_equal(relay_forward(relay_find(stage->node.relay, IICP_STR("w")), &task, on_done, &outcome, &call), 0);
                assert_true(relay_call_stream(call, &keys));
                snprintf(id, sizeof id, "%s", relay_call_id(call));
                snprintf(session, sizeof session, "%.*s", (int) keys.session_id.n, keys.session_id.p);
                snprintf(name, sizeof name, "%.*s", (int) keys.task_id.n, keys.task_id.p);
                keys = (struct relay_call_keys){iicp_str(session), iicp_str(name)};
                assert_int_equal(post(&w, id, &keys, "partial", 0, "partial", false), 0);
                assert_int_equal(outcome, RELAY_OUTCOME_MAX_);
                if (wrong) {
                        assert_int_equal(post(&w, id, &keys, "partial", 5, "partial", false), -EBADMSG);
                        assert_int_equal(outcome, RELAY_BAD_STREAM);
                } else {
                        assert_int_equal(post(&w, id, &keys, "success", 1, "completed", true), 0);
                        assert_int_equal(outcome, RELAY_DONE);
                }
                assert_int_equal(post(&w, id, &keys, "success", 2, "completed", true), 0); /* over: dropped */
        }
        poll_unbind(w.session);
        done(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(IICPD_03_47_token_finds_its_session_and_no_other, stage_setup, stage_teardown),
                cmocka_unit_test_setup_teardown(IICPD_03_47_many_tokens, stage_setup, stage_teardown),
                cmocka_unit_test_setup_teardown(IICPD_03_48_pulls_wait_25_s_and_are_served_in_order, stage_setup, stage_teardown),
                cmocka_unit_test_setup_teardown(IICPD_03_48_what_was_not_delivered_comes_first, stage_setup, stage_teardown),
                cmocka_unit_test_setup_teardown(IICPD_03_49_answers_while_the_pull_is_on_its_way, stage_setup, stage_teardown),
                cmocka_unit_test_setup_teardown(IICPD_03_48_too_many_pulls, stage_setup, stage_teardown),
                cmocka_unit_test_setup_teardown(DIR_RELAY_01_a_dead_session_comes_back_or_gives_way, stage_setup, stage_teardown),
                cmocka_unit_test_setup_teardown(IICPD_03_44_events_by_long_poll_in_order, stage_setup, stage_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
