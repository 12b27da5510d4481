/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"
#include "util.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct trace {
        struct loop *loop;
        char text[64];
        pthread_t main, worker;
        struct timer a, b;
};

static void add(struct trace *t, const char *s) {
        strncat(t->text, s, sizeof t->text - strlen(t->text) - 1);
}

static int setup(void **state) {
        struct trace *t = calloc(1, sizeof *t);

        t->loop = loop_new();
        t->main = pthread_self();
        *state = t;
        return t->loop ? 0 : -1;
}

static int teardown(void **state) {
        struct trace *t = *state;

        loop_free(t->loop);
        free(t);
        return 0;
}

static void stop_with_3(void *arg) {
        struct trace *t = arg;

        add(t, "s");
        loop_stop(t->loop, 3);
}

static void run_returns_the_status_of_stop(void **state) {
        struct trace *t = *state;

        loop_defer(t->loop, stop_with_3, t);
        assert_int_equal(loop_run(t->loop), 3);
}

static void second(void *arg) {
        add(arg, "2");
}

static void first(void *arg) {
        struct trace *t = arg;

        loop_defer(t->loop, stop_with_3, t);
        add(t, "1");
}

static void deferred_calls_run_in_order_and_never_nested(void **state) {
        struct trace *t = *state;

        loop_defer(t->loop, first, t);
        loop_defer(t->loop, second, t);
        assert_string_equal(t->text, "");
        loop_run(t->loop);
        assert_string_equal(t->text, "12s");
}

static void on_a(void *arg) {
        add(arg, "a");
}

static void on_b(void *arg) {
        struct trace *t = arg;

        add(t, "b");
        loop_stop(t->loop, 0);
}

static void timers_fire_once_and_can_be_moved(void **state) {
        struct trace *t = *state;

        timer_init(&t->a, t->loop, on_a, t);
        timer_init(&t->b, t->loop, on_b, t);
        timer_set_ms(&t->b, 0);
        assert_true(timer_armed(&t->b));
        timer_set_ms(&t->b, 5);
        timer_set_ms(&t->a, 1);
        loop_run(t->loop);
        assert_string_equal(t->text, "ab");
        assert_false(timer_armed(&t->a));
        timer_set_ms(&t->a, 0);
        timer_clear(&t->a);
        timer_set_ms(&t->b, 1);
        loop_run(t->loop);
        assert_string_equal(t->text, "abb");
}

static void work(void *arg) {
        struct trace *t = arg;

        t->worker = pthread_self();
        add(t, "w");
}

static void done(void *arg) {
        struct trace *t = arg;

        add(t, pthread_equal(pthread_self(), t->main) ? "d" : "!");
        loop_stop(t->loop, 0);
}

static void jobs_work_on_the_helper_thread_and_end_on_the_loop(void **state) {
        struct trace *t = *state;

        assert_int_equal(loop_block(t->loop, work, done, t), 0);
        loop_run(t->loop);
        assert_string_equal(t->text, "wd");
        assert_false(pthread_equal(t->worker, t->main));
}

static void settling_leaves_nothing_undone(void **state) {
        struct trace *t = *state;

        loop_block(t->loop, work, done, t);
        loop_settle(t->loop);
        assert_string_equal(t->text, "wd");
}

static void done_and_again(void *arg) {
        struct trace *t = arg;

        add(t, "D");
        loop_block(t->loop, work, done, t);
}

static void settling_waits_for_jobs_that_the_end_of_a_job_began(void **state) {
        struct trace *t = *state;

        loop_block(t->loop, work, done_and_again, t);
        loop_settle(t->loop);
        assert_string_equal(t->text, "wDwd");
}

static void never_ends(void *arg) {
        (void) arg;
        for (;;)
                pause();
}

static void adds_w(void *arg) {
        add(arg, "w");
}

static void adds_d(void *arg) {
        add(arg, "d");
}

/* A dead router holds its thread for a minute; the end of the process does not wait for it. */
static void IICPD_04_19_a_router_does_not_hold_up_the_end(void **state) {
        struct trace *t = *state;

        assert_int_equal(loop_block_on(t->loop, LOOP_ROUTERS, never_ends, NULL, t), 0);
        assert_int_equal(loop_block_on(t->loop, LOOP_ROUTERS, adds_w, adds_d, t), 0);
        assert_int_equal(loop_block(t->loop, adds_w, adds_d, t), 0); /* files wait for no router */
        loop_settle(t->loop);
        assert_int_equal(strlen(t->text), 3);
        assert_non_null(strchr(t->text, 'w')); /* of the file; the router's job only ended */
        assert_int_equal(loop_block_on(t->loop, LOOP_ROUTERS, adds_w, adds_d, t), -ESHUTDOWN);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(run_returns_the_status_of_stop, setup, teardown),
                cmocka_unit_test_setup_teardown(deferred_calls_run_in_order_and_never_nested, setup, teardown),
                cmocka_unit_test_setup_teardown(timers_fire_once_and_can_be_moved, setup, teardown),
                cmocka_unit_test_setup_teardown(jobs_work_on_the_helper_thread_and_end_on_the_loop, setup, teardown),
                cmocka_unit_test_setup_teardown(settling_leaves_nothing_undone, setup, teardown),
                cmocka_unit_test_setup_teardown(settling_waits_for_jobs_that_the_end_of_a_job_began, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_04_19_a_router_does_not_hold_up_the_end, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
