/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "stage.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

#define RELAY (stage->node.relay)

static unsigned sessions(void) {
        struct relay_counts n;

        relay_counts(RELAY, &n);
        return n.sessions;
}

static void DIR_RELAY_01_alive_stays_dead_gives_way(void **state) {
        struct stage_link first = {}, second = {}, third = {};

        (void) state;
        assert_int_equal(stage_bind("w", &first), RELAY_BOUND);
        assert_int_equal(stage_bind("w", &second), RELAY_ALREADY_ALIVE);
        assert_ptr_equal(relay_find(RELAY, IICP_STR("w")), first.session);
        assert_int_equal(first.ended, 0);
        stage->now_ms += IICP_RELAY_ALIVE_MS - 1;
        assert_int_equal(stage_bind("w", &second), RELAY_ALREADY_ALIVE);
        relay_session_heard(first.session);
        stage->now_ms += IICP_RELAY_ALIVE_MS - 1;
        assert_int_equal(stage_bind("w", &second), RELAY_ALREADY_ALIVE);
        stage->now_ms += 1;
        assert_int_equal(stage_bind("w", &third), RELAY_BOUND);
        assert_true(first.ended == 1 && first.why == RELAY_END_DISPLACED && !first.session);
        assert_ptr_equal(relay_find(RELAY, IICP_STR("w")), third.session);
        assert_int_equal(sessions(), 1);
}

/* Native sessions are closed when they have been silent; a call under way fails at that moment. */
static void IICPD_03_53_silence_ends_a_session(void **state) {
        struct stage_link w = {};
        struct stage_answer a;

        (void) state;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        stage_run(60000);
        assert_int_equal(stage_forward(&w, "{}", &a), 0);
        stage_run(29999);
        assert_true(w.ended == 0 && a.done == 0);
        stage_run(RELAY_SWEEP_MS + 1);
        assert_true(w.ended == 1 && w.why == RELAY_END_DEAD && a.done == 1 && a.outcome == RELAY_LOST);
        assert_int_equal(sessions(), 0);
}

static enum relay_verdict bind_poll(const char *id, struct stage_link *link) {
        struct sockaddr source = {.sa_family = AF_UNIX};

        return relay_bind(RELAY, &(struct relay_bind){.worker_id = iicp_str(id), .source = &source, .transport = &stage_poll, .link = link},
                          &link->session);
}

static void IICPD_03_53_dead_long_poll_sessions_come_back(void **state) {
        struct stage_link w = {}, other = {};

        (void) state;
        stage->config.relay_max_sessions = 1;
        assert_int_equal(bind_poll("w", &w), RELAY_BOUND);
        relay_session_parked(w.session, 1); /* a pull waits: alive as long as it does */
        stage_run(10 * IICP_RELAY_ALIVE_MS);
        assert_true(relay_session_alive(w.session));
        relay_session_parked(w.session, -1);
        stage_run(IICP_RELAY_ALIVE_MS + RELAY_SWEEP_MS);
        assert_false(relay_session_alive(w.session));
        assert_int_equal(sessions(), 0);   /* not in the cap */
        assert_int_equal(bind_poll("x", &other), RELAY_BOUND);
        relay_session_heard(w.session);    /* a late pull */
        assert_true(relay_session_alive(w.session));
        assert_int_equal(sessions(), 2);
        stage_run(IICP_RELAY_ALIVE_MS + RELAY_DEAD_KEPT_MS + 2 * RELAY_SWEEP_MS);
        assert_true(w.ended == 1 && other.ended == 1);
        assert_null(relay_find(RELAY, IICP_STR("w")));
}

static void DIR_RELAY_02_cap_and_its_exemption(void **state) {
        static struct stage_link links[257];
        struct stage_link again = {};
        char id[16];

        (void) state;
        memset(links, 0, sizeof links);
        for (unsigned i = 0; i < 256; i++) {
                snprintf(id, sizeof id, "w%u", i);
                assert_int_equal(stage_bind(id, &links[i]), RELAY_BOUND);
        }
        assert_int_equal(stage_bind("w256", &links[256]), RELAY_FULL);
        assert_true(relay_load(RELAY) == 1.0);
        stage->now_ms += IICP_RELAY_ALIVE_MS; /* all dead; nobody has looked yet */
        for (unsigned i = 0; i < 256; i++)
                if (i != 7)
                        relay_session_heard(links[i].session);
        assert_int_equal(stage_bind("w7", &again), RELAY_BOUND);
        relay_unbind(links[0].session);
        assert_int_equal(stage_bind("w256", &links[256]), RELAY_BOUND);
        stage->config.relay_max_sessions = 300;
        assert_true(relay_load(RELAY) == 0.853333);
}

static void DIR_RELAY_02_rate_of_a_source(void **state) {
        static struct stage_link links[64];
        struct stage_link back = {};
        char id[16];

        (void) state;
        memset(links, 0, sizeof links);
        for (unsigned i = 0; i < 30; i++) {
                snprintf(id, sizeof id, "w%u", i);
                assert_int_equal(stage_bind_from(id, NULL, "198.51.100.7", &links[i]), RELAY_BOUND);
        }
        assert_int_equal(stage_bind_from("w30", NULL, "198.51.100.7", &links[30]), RELAY_RATE_LIMITED);
        assert_int_equal(stage_bind_from("w30", NULL, "198.51.100.8", &links[30]), RELAY_BOUND);
        relay_session_parked(links[0].session, 0);
        stage->now_ms += 59000;
        assert_int_equal(stage_bind_from("x", NULL, "198.51.100.7", &links[31]), RELAY_RATE_LIMITED);
        stage->now_ms += 1000;
        assert_int_equal(stage_bind_from("x", NULL, "198.51.100.7", &links[31]), RELAY_BOUND);
        /* refused ones count; a dead session's worker is let in all the same */
        for (unsigned i = 0; i < 40; i++)
                stage_bind_from("x", NULL, "198.51.100.7", &links[40]);
        assert_int_equal(stage_bind_from("y", NULL, "198.51.100.7", &links[41]), RELAY_RATE_LIMITED);
        stage->now_ms += IICP_RELAY_ALIVE_MS - 60000;
        for (unsigned i = 0; i < 40; i++)
                stage_bind_from("z", NULL, "198.51.100.7", &links[42 + (i > 0)]);
        assert_int_equal(stage_bind_from("w1", NULL, "198.51.100.7", &back), RELAY_BOUND);
        stage->config.relay_bind_rate = 0;
        assert_int_equal(stage_bind_from("y", NULL, "198.51.100.7", &links[41]), RELAY_BOUND);
}

static void IICPD_03_64_rate_before_ticket(void **state) {
        struct stage_link w = {};

        (void) state;
        stage->config.relay_tickets = TICKETS_REQUIRED;
        stage->config.relay_bind_rate = 2;
        stage->key_known = true;
        assert_int_equal(stage_bind_from("w", "forged.ticket", "198.51.100.7", &w), RELAY_TICKET_INVALID);
        assert_int_equal(stage_bind_from("w", NULL, "198.51.100.7", &w), RELAY_TICKET_REQUIRED);
        assert_int_equal(stage_bind_from("w", "forged.ticket", "198.51.100.7", &w), RELAY_RATE_LIMITED);
        assert_int_equal(stage_bind_from("-", "forged.ticket", "198.51.100.7", &w), RELAY_BAD_WORKER_ID);
        assert_int_equal(stage_bind_from("w", "forged.ticket", "198.51.100.8", &w), RELAY_TICKET_INVALID);
}

/* Whoever tries forged tickets in the name of a dead worker loses that worker's exemption. */
static void IICPD_03_64_forgers_are_not_exempt(void **state) {
        struct stage_link w = {};

        (void) state;
        stage->config.relay_bind_rate = 2;
        stage->key_known = true;
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        stage->now_ms += IICP_RELAY_ALIVE_MS;
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(stage_bind_from("w", "forged.ticket", "198.51.100.7", &w), RELAY_TICKET_INVALID);
        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(stage_bind_from("w", "forged.ticket", "198.51.100.7", &w), RELAY_TICKET_INVALID);
        assert_int_equal(stage_bind_from("w", "forged.ticket", "198.51.100.7", &w), RELAY_RATE_LIMITED);
        assert_int_equal(stage_bind_from("w", NULL, "198.51.100.9", &w), RELAY_BOUND);
}

static void IICPD_03_53_kicked_workers_stay_out_for_a_while(void **state) {
        struct stage_link w = {}, again = {};

        (void) state;
        assert_int_equal(relay_kick(RELAY, IICP_STR("w"), 1000), -ENOENT);
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
        assert_int_equal(relay_kick(RELAY, IICP_STR("w"), 1000), 0);
        assert_true(w.ended == 1 && w.why == RELAY_END_KICKED);
        assert_int_equal(stage_bind("w", &again), RELAY_HELD_OUT);
        assert_string_equal(relay_verdict_reason(RELAY_HELD_OUT), "relay at session capacity");
        stage->now_ms += 1000;
        assert_int_equal(stage_bind("w", &again), RELAY_BOUND);
        assert_int_equal(relay_kick(RELAY, IICP_STR("w"), 0), 0);
        assert_int_equal(stage_bind("w", &w), RELAY_BOUND);
}

static bool count_views(void *arg, const struct relay_session *s) {
        struct relay_session_view v;

        relay_session_view(s, &v);
        assert_int_equal(strlen(v.source_hash), 8);
        assert_true(v.alive && iicp_str_is(v.models, "[]") && strcmp(v.transport, "native") == 0);
        return ++*(unsigned *) arg < 2;
}

static void DIR_RELAY_04_sources_are_hashes(void **state) {
        struct stage_link a = {}, b = {}, c = {};
        struct relay_session_view va, vb, vc;
        unsigned n = 0;

        (void) state;
        assert_int_equal(stage_bind_from("a", NULL, "198.51.100.7", &a), RELAY_BOUND);
        assert_int_equal(stage_bind_from("b", NULL, "198.51.100.7", &b), RELAY_BOUND);
        assert_int_equal(stage_bind_from("c", NULL, "198.51.100.8", &c), RELAY_BOUND);
        relay_session_view(a.session, &va);
        relay_session_view(b.session, &vb);
        relay_session_view(c.session, &vc);
        assert_string_equal(va.source_hash, vb.source_hash);
        assert_string_not_equal(va.source_hash, vc.source_hash);
        relay_each(RELAY, count_views, &n);
        assert_int_equal(n, 2);
}

static void IICPD_03_61_declared_when_it_can_be_reached(void **state) {
        (void) state;
        assert_false(relay_declared(NULL));
        /* neither TLS nor plaintext: no port */
        assert_int_equal(relay_port(RELAY), 0);
        assert_false(relay_declared(RELAY));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, stage_setup, stage_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(DIR_RELAY_01_alive_stays_dead_gives_way),
                TEST(IICPD_03_53_silence_ends_a_session),
                TEST(IICPD_03_53_dead_long_poll_sessions_come_back),
                TEST(DIR_RELAY_02_cap_and_its_exemption),
                TEST(DIR_RELAY_02_rate_of_a_source),
                TEST(IICPD_03_64_rate_before_ticket),
                TEST(IICPD_03_64_forgers_are_not_exempt),
                TEST(IICPD_03_53_kicked_workers_stay_out_for_a_while),
                TEST(DIR_RELAY_04_sources_are_hashes),
                TEST(IICPD_03_61_declared_when_it_can_be_reached),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
