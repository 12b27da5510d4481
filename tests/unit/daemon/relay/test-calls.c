/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "stage.h"
#include "util.h"

#include <errno.h>
#include <iicp/lifecycle.h>
#include <stdio.h>

#define RELAY (stage->node.relay)

static void answer(struct stage_link *w, unsigned i, const char *result) {
        relay_answer(w->session, iicp_str(relay_call_id(w->delivered[i])), iicp_str(result));
}

static void IICPD_03_50_in_flight_cap(void **state) {
        static struct stage_answer a[65];
        struct stage_link w = {};

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        for (unsigned i = 0; i < 64; i++)
                assert_int_equal(stage_forward(&w, "{}", &a[i]), 0);
        assert_int_equal(stage_forward(&w, "{}", &a[64]), -EBUSY);
        answer(&w, 3, "{\"result\":1}");
        assert_true(a[3].done == 1 && a[3].outcome == RELAY_DONE);
        assert_int_equal(stage_forward(&w, "{}", &a[64]), 0);
        assert_int_equal(relay_in_flight(RELAY), 64);
}

static void IICPD_03_50_body_caps(void **state) {
        static char large[(1 << 20) + 2];
        struct stage_link w = {};
        struct stage_answer a;

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        memset(large, ' ', sizeof large - 1);
        memcpy(large, "{}", 2);
        assert_int_equal(stage_forward(&w, large, &a), -E2BIG);
        large[1 << 20] = '\0';
        assert_int_equal(stage_forward(&w, large, &a), 0);
        answer(&w, 0, large);
        assert_int_equal(a.outcome, RELAY_DONE);
        large[1 << 20] = ' ';
        assert_int_equal(stage_forward(&w, "{}", &a), 0);
        answer(&w, 1, large);
        assert_int_equal(a.outcome, RELAY_TOO_LARGE);
}

static void IICPD_03_50_a_consumer_that_left(void **state) {
        struct stage_link w = {};
        struct stage_answer a;
        char id[37];

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        assert_int_equal(stage_forward(&w, "{}", &a), 0);
        snprintf(id, sizeof id, "%s", relay_call_id(a.call));
        relay_cancel(a.call);
        relay_answer(w.session, iicp_str(id), IICP_STR("{\"result\":1}"));
        assert_true(w.withdrawn == 1 && a.done == 0 && relay_in_flight(RELAY) == 0);
        assert_int_equal(RELAY->counts.outcomes[RELAY_CANCELLED], 1);
}

static void IICPD_03_49_deadlines(void **state) {
        struct stage_link w = {};
        struct stage_answer plain, told, longest;

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        relay_session_parked(w.session, 1);
        assert_int_equal(stage_forward(&w, "{}", &plain), 0);
        assert_int_equal(stage_forward(&w, "{\"constraints\":{\"timeout_ms\":1000}}", &told), 0);
        assert_int_equal(stage_forward(&w, "{\"constraints\":{\"timeout_ms\":900000}}", &longest), 0);
        stage_run(2999);
        assert_int_equal(told.done, 0);
        stage_run(1);
        assert_true(told.done == 1 && told.outcome == RELAY_TIMED_OUT && w.withdrawn == 1);
        stage_run(116999);
        assert_true(plain.done == 0 && longest.done == 0);
        stage_run(1);
        assert_true(plain.outcome == RELAY_TIMED_OUT && longest.outcome == RELAY_TIMED_OUT && plain.done == 1);
        assert_true(strncmp(relay_outcome_text(RELAY_TIMED_OUT), "relay session forward failed:", 29) == 0);
}

static void IICPD_03_49_dead_or_undelivered(void **state) {
        struct stage_link w = {.refuses = true};
        struct stage_answer a;

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        assert_int_equal(stage_forward(&w, "{}", &a), -EIO);
        stage->now_ms += IICP_RELAY_ALIVE_MS;
        assert_int_equal(stage_forward(&w, "{}", &a), -ENOTCONN);
        assert_true(a.done == 0 && relay_in_flight(RELAY) == 0 && RELAY->counts.held == 0);
}

/* Unsent calls are told in their order; one that is put back is the first again. */
static void IICPD_03_48_calls_keep_their_place(void **state) {
        struct stage_link w = {};
        struct stage_answer a[3];

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        assert_null(relay_call_next(w.session));
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(stage_forward(&w, "{}", &a[i]), 0);
        assert_ptr_equal(relay_call_next(w.session), a[0].call);
        relay_call_sent(a[0].call, true);
        assert_ptr_equal(relay_call_next(w.session), a[1].call);
        relay_call_sent(a[1].call, true);
        relay_call_sent(a[0].call, false);
        assert_ptr_equal(relay_call_next(w.session), a[0].call);
        relay_cancel(a[0].call);
        assert_ptr_equal(relay_call_next(w.session), a[2].call);
        relay_call_sent(a[2].call, true);
        assert_null(relay_call_next(w.session));
}

/* Room for tasks is shared: whoever holds much is refused before the others are. */
static void IICPD_03_50_room_is_shared(void **state) {
        static char large[1 << 20];
        static struct stage_answer a[65];
        struct stage_link greedy = {}, modest = {};
        unsigned n = 0;

        (void) state;
        stage->config.relay_max_in_flight = 1024;
        memset(large, ' ', sizeof large - 1);
        memcpy(large, "{}", 2);
        assert_int_equal(stage_bind("greedy", &greedy), RELAY_BOUND);
        assert_int_equal(stage_bind("modest", &modest), RELAY_BOUND);
        while (n < 65 && stage_forward(&greedy, large, &a[n]) == 0)
                n++;
        assert_int_equal(n, 64); /* all there is */
        assert_int_equal(stage_forward(&greedy, large, &a[n]), -EBUSY);
        assert_int_equal(stage_forward(&modest, large, &a[n]), 0);
        assert_int_equal(RELAY->counts.busy, 2);
}

static void IICPD_03_39_accounting(void **state) {
        struct stage_link w = {};
        struct stage_answer a, b;
        struct relay_session_view v;
        struct relay_counts n;

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        assert_int_equal(stage_forward(&w, "{\"a\":1}", &a), 0);
        assert_int_equal(stage_forward(&w, "{}", &b), 0);
        stage->now_ms += 40;
        answer(&w, 0, "{\"result\":1}");
        answer(&w, 1, "no");
        relay_session_view(w.session, &v);
        assert_true(v.calls == 2 && v.failures == 1 && v.bytes_to == 9 && v.bytes_from == 14 && v.latency_ms == 40 && v.in_flight == 0);
        relay_counts(RELAY, &n);
        assert_true(n.outcomes[RELAY_DONE] == 1 && n.outcomes[RELAY_BAD_RESULT] == 1 && n.seconds[2] == 1 && n.seconds_ms == 40);
        assert_true(n.binds[RELAY_BOUND] == 1 && n.sessions == 1 && n.max_sessions == 256 && n.held == 0);
}

static void idle(void *arg) {
        ++*(unsigned *) arg;
}

static void IICPD_03_39_draining(void **state) {
        struct stage_link w = {}, late = {};
        struct stage_answer a, b;
        unsigned told = 0;

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        assert_int_equal(stage_forward(&w, "{}", &a), 0);
        assert_int_equal(stage_forward(&w, "{}", &b), 0);
        relay_drain(RELAY, idle, &told);
        assert_int_equal(stage_bind("late", &late), RELAY_FULL);
        answer(&w, 0, "{\"result\":1}");
        assert_true(a.outcome == RELAY_DONE && told == 0);
        answer(&w, 1, "{\"result\":1}");
        assert_int_equal(told, 1);
        relay_stop(RELAY);
        assert_true(w.ended == 1 && w.why == RELAY_END_STOPPING);
}

/* ---- streams ---- */

struct reader {
        struct stage_answer a;
        bool takes;
        unsigned n;
        uint64_t last;
        char chunk[32];
};

static bool on_event(void *arg, const struct relay_event *e) {
        struct reader *r = arg;

        if (!r->takes)
                return false;
        assert_int_equal(e->sequence, r->n);
        r->n++;
        r->last = e->sequence;
        snprintf(r->chunk, sizeof r->chunk, "%.*s", (int) e->chunk.n, e->chunk.p ? e->chunk.p : "");
        return true;
}

static void on_done(void *arg, enum relay_outcome o, struct iicp_buf *body) {
        struct reader *r = arg;

        if (stage->over)
                return;
        assert_null(body);
        r->a.done++;
        r->a.outcome = o;
}

static struct stage_link streamer;
static struct relay_call *stream(struct reader *r) {
        struct relay_task t;
        struct relay_call *c;
        struct sockaddr source = {.sa_family = AF_UNIX};

        memset(&streamer, 0, sizeof streamer);
        assert_int_equal(relay_bind(RELAY, &(struct relay_bind){.worker_id = IICP_STR("s"), .lifecycle = true, .source = &source,
                                                                .transport = &stage_transport, .link = &streamer},
                                    &streamer.session), RELAY_BOUND);
        assert_true(relay_session_streams(streamer.session));
        assert_int_equal(relay_task_read(IICP_STR("{\"task_id\":\"t-1\"}"), &t), 0);
        t.event = on_event;
        assert_int_equal(relay_forward(streamer.session, &t, on_done, r, &c), 0);
        return c;
}

static int event(const struct relay_call *c, uint64_t sequence, bool final) {
        struct relay_call_keys keys;
        struct iicp_lifecycle_message life = {.call_id = iicp_str(relay_call_id(c)), .has_lifecycle = true, .sequence = sequence,
                                              .event = final ? IICP_STR("completed") : IICP_STR("partial"),
                                              .status = final ? IICP_STR("success") : IICP_STR("partial"), .is_final = final,
                                              .has_frame_final = true, .frame_final = final};

        assert_true(relay_call_stream(c, &keys));
        assert_true(iicp_str_is(keys.task_id, "t-1"));
        life.session_id = keys.session_id;
        life.task_id = keys.task_id;
        return relay_event(streamer.session, &life,
                           &(struct relay_event){.event = life.event, .status = life.status, .sequence = sequence, .is_final = final,
                                                 .chunk = IICP_STR("\"x\""), .tokens = -1});
}

static void IICPD_03_44_events_in_order_up_to_the_last(void **state) {
        struct reader r = {.takes = true};
        struct relay_call *c = stream(&r);

        (void) state;
        assert_int_equal(event(c, 0, false), 0);
        assert_int_equal(event(c, 0, false), 0); /* seen before: dropped */
        assert_int_equal(event(c, 1, false), 0);
        assert_string_equal(r.chunk, "\"x\"");
        assert_int_equal(event(c, 2, true), 0);
        assert_true(r.n == 3 && r.a.done == 1 && r.a.outcome == RELAY_DONE);
}

static void IICPD_03_44_a_gap_fails_the_call(void **state) {
        struct reader r = {.takes = true};
        struct relay_call *c = stream(&r);

        (void) state;
        assert_int_equal(event(c, 0, false), 0);
        assert_int_equal(event(c, 2, false), -EBADMSG);
        assert_true(r.n == 1 && r.a.done == 1 && r.a.outcome == RELAY_BAD_STREAM);
}

static void IICPD_03_44_at_most_32_events_wait(void **state) {
        struct reader r = {}, other = {};
        struct relay_call *c = stream(&r);

        (void) state;
        for (uint64_t i = 0; i < IICP_RELAY_EVENTS_MAX; i++)
                assert_int_equal(event(c, i, false), 0);
        r.takes = true;
        relay_events_resume(c);
        assert_int_equal(r.n, 32);
        r.takes = false;
        assert_int_equal(event(c, 32, true), 0);
        assert_int_equal(r.a.done, 0); /* the last one is not read yet */
        r.takes = true;
        relay_events_resume(c);
        assert_true(r.n == 33 && r.a.done == 1 && r.a.outcome == RELAY_DONE);

        relay_unbind(streamer.session);
        c = stream(&other);
        for (uint64_t i = 0; i < IICP_RELAY_EVENTS_MAX; i++)
                assert_int_equal(event(c, i, false), 0);
        assert_int_equal(other.a.done, 0);
        event(c, IICP_RELAY_EVENTS_MAX, false);
        assert_true(other.a.done == 1 && other.a.outcome == RELAY_BACKPRESSURE);
        assert_non_null(strstr(relay_outcome_text(RELAY_BACKPRESSURE), "relay_backpressure_exceeded"));
}

static void IICPD_03_44_only_to_workers_that_said_so(void **state) {
        struct stage_link w = {};

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        assert_false(relay_session_streams(w.session));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, stage_setup, stage_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(IICPD_03_50_in_flight_cap),
                TEST(IICPD_03_50_body_caps),
                TEST(IICPD_03_50_a_consumer_that_left),
                TEST(IICPD_03_49_deadlines),
                TEST(IICPD_03_49_dead_or_undelivered),
                TEST(IICPD_03_48_calls_keep_their_place),
                TEST(IICPD_03_50_room_is_shared),
                TEST(IICPD_03_39_accounting),
                TEST(IICPD_03_39_draining),
                TEST(IICPD_03_44_events_in_order_up_to_the_last),
                TEST(IICPD_03_44_a_gap_fails_the_call),
                TEST(IICPD_03_44_at_most_32_events_wait),
                TEST(IICPD_03_44_only_to_workers_that_said_so),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
