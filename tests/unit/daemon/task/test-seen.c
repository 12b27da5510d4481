/* SPDX-License-Identifier: Apache-2.0 */
#include "task/seen.h"

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static void IICPD_02_45_nonce_stays_for_300_s(void **state) {
        struct seen *s = seen_new();
        struct iicp_str nonce = IICP_STR("n-1");

        (void) state;
        assert_int_equal(seen_add(s, nonce, 1000), 0);
        assert_int_equal(seen_add(s, nonce, 1000 + SEEN_TTL_MS - 1), -EEXIST);
        assert_true(seen_has(s, nonce, 1000 + SEEN_TTL_MS - 1));
        assert_false(seen_has(s, nonce, 1000 + SEEN_TTL_MS));
        assert_int_equal(seen_add(s, nonce, 1000 + SEEN_TTL_MS), 0);
        seen_free(s);
}

static void IICPD_02_45_holds_65536_and_drops_the_oldest(void **state) {
        struct seen *s = seen_new();
        char text[32];

        (void) state;
        for (unsigned i = 0; i <= SEEN_ENTRIES_MAX; i++) {
                snprintf(text, sizeof(text), "n-%u", i);
                assert_int_equal(seen_add(s, iicp_str(text), 5), 0);
                if (i == SEEN_ENTRIES_MAX - 1)
                        assert_true(seen_has(s, IICP_STR("n-0"), 5));
        }
        assert_int_equal(seen_count(s), SEEN_ENTRIES_MAX);
        assert_false(seen_has(s, IICP_STR("n-0"), 5));
        assert_true(seen_has(s, IICP_STR("n-1"), 5));
        seen_free(s);
}

static void TASK_2_removed_id_is_free_again(void **state) {
        struct seen *s = seen_new();

        (void) state;
        assert_int_equal(seen_add(s, IICP_STR("id"), 5), 0);
        seen_remove(s, IICP_STR("other"));
        assert_true(seen_has(s, IICP_STR("id"), 5));
        seen_remove(s, IICP_STR("id"));
        assert_false(seen_has(s, IICP_STR("id"), 5));
        assert_int_equal(seen_count(s), 0);
        seen_free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_45_nonce_stays_for_300_s),
                cmocka_unit_test(IICPD_02_45_holds_65536_and_drops_the_oldest),
                cmocka_unit_test(TASK_2_removed_id_is_free_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
