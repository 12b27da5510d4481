/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock_watch.h"
#include "log.h"

#define START_S 1790000000

static uint64_t mono_ms, boot_ms;
static int64_t wall_s_now;
static unsigned wakes, looks;
static uint64_t slept;

static uint64_t mono_us(void *arg) {
        (void) arg;
        return mono_ms * 1000;
}

static uint64_t boot_us(void *arg) {
        (void) arg;
        return boot_ms * 1000;
}

static int64_t wall_s(void *arg) {
        (void) arg;
        return wall_s_now;
}

static const struct clock driven = {.mono_us = mono_us, .wall_s = wall_s, .boot_us = boot_us};
static struct clock_watch watch;

void timer_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg) {
        (void) l;
        *t = (struct timer){.fn = fn, .arg = arg};
}

void timer_set_ms(struct timer *t, uint64_t delay_ms) {
        (void) t;
        assert_int_equal(delay_ms, CLOCK_LOOK_MS);
}

void timer_clear(struct timer *t) {
        (void) t;
}

static void woke(void *arg, uint64_t ms) {
        (void) arg;
        wakes++;
        slept = ms;
}

static void looked(void *arg) {
        (void) arg;
        looks++;
}

static int setup(void **state) {
        (void) state;
        log_setup(LOG_F_TEXT, LOG_L_ERR);
        mono_ms = 5000000;
        boot_ms = 9000000;
        wall_s_now = START_S;
        wakes = looks = 0;
        watch = (struct clock_watch){.woke = woke, .looked = looked};
        clock_watch_start(&watch, NULL, &driven, START_S - 86400);
        return 0;
}

/* The next look, after so much time awake and asleep; set_s: what somebody did to the clock. */
static void pass(uint64_t awake_ms, uint64_t asleep_ms, int64_t set_s) {
        mono_ms += awake_ms;
        boot_ms += awake_ms + asleep_ms;
        wall_s_now += (int64_t) ((awake_ms + asleep_ms) / 1000) + set_s;
        watch.timer.fn(watch.timer.arg);
}

static const char *shown(void) {
        static char text[160];

        clock_watch_sentence(&watch, text, sizeof text);
        return text;
}

static void IICPD_01_18_sleep_is_seen_by_the_clock_that_counts_it(void **state) {
        (void) state;
        pass(5000, 10000, 0);
        assert_int_equal(wakes, 0); /* no more than 10 s */
        pass(5000, 10001, 0);
        assert_int_equal(wakes, 1);
        assert_int_equal(slept, 10001);
        pass(5000, 3600000, 0);
        assert_int_equal(wakes, 2);
        assert_int_equal(looks, 3);
        assert_string_equal(shown(), ""); /* no step of the clock */
        assert_int_equal(clock_boot_ms(&driven) - clock_mono_ms(&driven), 4000000 + 10000 + 10001 + 3600000);
}

static void IICPD_01_18_without_that_clock_the_monotonic_one(void **state) {
        static const struct clock plain = {.mono_us = mono_us, .wall_s = wall_s};

        (void) state;
        assert_int_equal(clock_boot_ms(&plain), mono_ms);
}

static void IICPD_05_25_steps_above_a_minute_are_shown(void **state) {
        struct iicp_buf out = {0};

        (void) state;
        pass(5000, 0, 60);
        assert_string_equal(shown(), "");
        pass(5000, 0, 61);
        assert_string_equal(shown(), "the clock was set forward by 61 s");
        pass(5000, 0, -7200);
        assert_string_equal(shown(), "the clock was set back by 7200 s");
        clock_watch_json(&watch, &out);
        assert_string_equal(out.p, "{\"state\":\"stepped\",\"step_s\":-7200,\"step_age_s\":0,\"sleeps\":0,\"slept_s\":0}");
        iicp_buf_free(&out);
        assert_int_equal(wakes, 0);
        pass(CLOCK_STEP_SHOWN_MS, 0, 0);
        assert_string_not_equal(shown(), "");
        pass(5000, 0, 0);
        assert_string_equal(shown(), "");
}

static void IICPD_05_25_set_while_asleep(void **state) {
        (void) state;
        pass(5000, 600000, 900);
        assert_int_equal(wakes, 1);
        assert_string_equal(shown(), "the clock was set forward by 900 s");
}

static void IICPD_05_25_a_date_before_the_build(void **state) {
        struct iicp_buf out = {0};

        (void) state;
        wall_s_now = 0;
        watch = (struct clock_watch){0};
        clock_watch_start(&watch, NULL, &driven, START_S);
        assert_non_null(strstr(shown(), "before this program was built"));
        clock_watch_json(&watch, &out);
        assert_non_null(strstr(out.p, "\"state\":\"before_build\""));
        iicp_buf_free(&out);
        pass(5000, 0, START_S - 6);
        assert_non_null(strstr(shown(), "before this program was built"));
        pass(5000, 0, 0); /* now it is right */
        assert_null(strstr(shown(), "before this program was built"));
}

#define T(fn) cmocka_unit_test_setup(fn, setup)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_01_18_sleep_is_seen_by_the_clock_that_counts_it),
                T(IICPD_01_18_without_that_clock_the_monotonic_one),
                T(IICPD_05_25_steps_above_a_minute_are_shown),
                T(IICPD_05_25_set_while_asleep),
                T(IICPD_05_25_a_date_before_the_build),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
