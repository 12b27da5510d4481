/* SPDX-License-Identifier: Apache-2.0 */
#include "daily.h"

#include "vectors.h"

#include <string.h>

static void OX_40_a_healthy_day_is_one_line(void **state) {
        struct daily_figures now = {.success = 7, .failed = 1, .refused = 2, .ready = true};
        struct daily d = {0};
        char text[200] = "";
        unsigned lines = 0;

        (void) state;
        for (unsigned i = 0; i < 2 * DAILY_MINUTES; i++) {
                now.ready = i % 1000 != 0; /* two minutes of the first day, one of the second */
                if (i == DAILY_MINUTES)
                        now.success = 100;
                if (daily_minute(&d, &now, text, sizeof text))
                        lines++;
                if (i == DAILY_MINUTES - 1)
                        assert_string_equal(text, "24 h: 8 tasks (7 success, 1 failed), 2 refused, ready 99.9 %");
        }
        assert_int_equal(lines, 2);
        assert_string_equal(text, "24 h: 93 tasks (93 success, 0 failed), 0 refused, ready 99.9 %");
}

static void OX_40_a_day_that_is_not_over_says_nothing(void **state) {
        const struct daily_figures now = {.ready = true};
        struct daily d = {0};
        char text[200];

        (void) state;
        for (unsigned i = 1; i < DAILY_MINUTES; i++)
                assert_false(daily_minute(&d, &now, text, sizeof text));
        assert_true(daily_minute(&d, &now, text, sizeof text));
        assert_string_equal(text, "24 h: 0 tasks (0 success, 0 failed), 0 refused, ready 100.0 %");
        assert_false(daily_minute(&d, &now, text, sizeof text));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(OX_40_a_healthy_day_is_one_line),
                cmocka_unit_test(OX_40_a_day_that_is_not_over_says_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
