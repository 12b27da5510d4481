/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/feed.h"
#include "observe/numbers.h"
#include "observe/pulse.h"
#include "observe/tally.h"

#include "node.h"
#include "vectors.h"

#include <stdio.h>
#include <string.h>

static struct node *node_with_feed(void) {
        static struct node node;

        node = (struct node){.loop = loop_new(), .clock = &clock_system};
        node.feed = feed_new(&node);
        assert_non_null(node.feed);
        return &node;
}

static void done(struct node *n) {
        n->feed = feed_free(n->feed);
        n->loop = loop_free(n->loop);
}

static uint64_t next(struct feed *f, uint64_t after, unsigned types, struct iicp_buf *out) {
        const char *event = NULL;

        iicp_buf_free(out);
        return feed_next(f, after, types, out, &event);
}

static void the_ring_keeps_a_thousand_and_knows_what_it_lost(void **state) {
        struct node *n = node_with_feed();
        struct iicp_buf out = {0};
        uint64_t id = 0, count = 0;

        (void) state;
        for (unsigned i = 1; i <= FEED_MAX; i++)
                feed_put(n->feed, LOG_L_INFO, "route_up", NULL, "number %u", i);
        assert_false(feed_lost(n->feed, 0));
        assert_int_equal(feed_oldest(n->feed, FEED_ALL), 1);
        feed_put(n->feed, LOG_L_INFO, "route_up", NULL, "one more");
        assert_true(feed_lost(n->feed, 0));
        assert_false(feed_lost(n->feed, 1));
        assert_int_equal(feed_oldest(n->feed, FEED_ALL), 2);
        assert_int_equal(feed_last(n->feed), FEED_MAX + 1);
        while ((id = next(n->feed, id, FEED_ALL, &out)))
                count++;
        assert_int_equal(count, FEED_MAX);
        iicp_buf_free(&out);
        done(n);
}

static void types_and_tasks_are_chosen_and_stay_in_order(void **state) {
        struct node *n = node_with_feed();
        struct feed_task t = {.step = "task_ended", .door = "http", .backend = "gpu", .task_id = IICP_STR("t-1"), .model = IICP_STR("m\"x"), .status = 200};
        struct iicp_buf out = {0};

        (void) state;
        feed_put(n->feed, LOG_L_INFO, "route_up", NULL, "a");
        feed_task(n->feed, &t);
        feed_put(n->feed, LOG_L_WARN, "backend_down", NULL, "b");
        assert_int_equal(next(n->feed, 0, 1u << FEED_BACKEND, &out), 3);
        assert_non_null(strstr(out.p, "\"type\":\"backend\""));
        assert_non_null(strstr(out.p, "\"level\":\"warn\""));
        assert_int_equal(next(n->feed, 1, FEED_ALL, &out), 2);
        assert_non_null(strstr(out.p, "\"task_id\":\"t-1\",\"model\":\"m\\\"x\""));
        assert_int_equal(next(n->feed, 2, FEED_ALL, &out), 3);
        assert_int_equal(next(n->feed, 3, FEED_ALL, &out), 0);
        assert_int_equal(next(n->feed, 1, FEED_ALL & ~(1u << FEED_TASK), &out), 3);
        iicp_buf_free(&out);
        done(n);
}

/* A storm of the same does not empty the ring; another subject is another event. */
static void the_same_comes_once_a_second(void **state) {
        struct node *n = node_with_feed();
        struct log_fields gpu = {.subject = "gpu"}, cloud = {.subject = "cloud"};

        (void) state;
        for (unsigned i = 0; i < 100; i++)
                log_event(LOG_L_WARN, "backend_down", &gpu, "down");
        log_event(LOG_L_WARN, "backend_down", &cloud, "down");
        log_event(LOG_L_DEBUG, "heartbeat_ok", NULL, "not a change of state");
        log_event(LOG_L_INFO, "task_failed", NULL, "tasks have their own ring");
        assert_in_range(feed_last(n->feed), 2, 4); /* a slow machine may see a second go by */
        done(n);
}

static void nothing_listens_without_a_feed(void **state) {
        struct iicp_buf out = {0};

        (void) state;
        feed_put(NULL, LOG_L_INFO, "route_up", NULL, "x");
        feed_task(NULL, &(struct feed_task){.step = "task_ended"});
        assert_int_equal(feed_last(NULL), 0);
        assert_int_equal(next(NULL, 0, FEED_ALL, &out), 0);
}

static void OX_52_the_filter_keeps_families_of_the_contract(void **state) {
        static const char text[] = "# HELP iicp_tasks_total a\n# TYPE iicp_tasks_total counter\niicp_tasks_total{x=\"1\"} 2\n"
                                   "# HELP iicp_backend_up b\n# TYPE iicp_backend_up gauge\niicp_backend_up{backend=\"gpu\"} 1\n"
                                   "# HELP iicp_build_info c\n# TYPE iicp_build_info gauge\niicp_build_info 1\n";
        struct iicp_buf out = {0};

        (void) state;
        numbers_filter(iicp_str(text), &out);
        assert_non_null(strstr(out.p, "iicp_tasks_total{x=\"1\"} 2\n"));
        assert_non_null(strstr(out.p, "iicp_build_info 1\n"));
        assert_null(strstr(out.p, "backend_up"));
        iicp_buf_free(&out);
}

static void lag_and_share_of_the_loop(void **state) {
        struct pulse p = {0};

        (void) state;
        for (unsigned i = 0; i < 600; i++)
                pulse_note(&p, 0, 500000, 1000);
        assert_in_range((unsigned) (p.busy * 1000), 490, 500);
        pulse_note(&p, 300, 0, 1000);
        pulse_note(&p, 60000, 0, 61000);
        assert_int_equal(p.worst_ms, 60000);
        assert_int_equal(p.beyond, 1);
        assert_int_equal(p.count, 602);
}

static void OX_50_words_and_backends_are_bounded(void **state) {
        struct tally t = {0};
        struct iicp_buf out = {0};
        char name[16];

        (void) state;
        for (unsigned i = 0; i < 100; i++) {
                snprintf(name, sizeof name, "b%u", i);
                tally_backend_failure(&t, name, "timeout");
        }
        tally_print(&t, &out);
        assert_non_null(strstr(out.p, "backend=\"b31\""));
        assert_null(strstr(out.p, "backend=\"b32\""));
        iicp_buf_free(&out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_ring_keeps_a_thousand_and_knows_what_it_lost),
                cmocka_unit_test(types_and_tasks_are_chosen_and_stay_in_order),
                cmocka_unit_test(the_same_comes_once_a_second),
                cmocka_unit_test(nothing_listens_without_a_feed),
                cmocka_unit_test(OX_52_the_filter_keeps_families_of_the_contract),
                cmocka_unit_test(lag_and_share_of_the_loop),
                cmocka_unit_test(OX_50_words_and_backends_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
