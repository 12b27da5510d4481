/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "relay/worker_core.h"

#include <iicp/relay_msg.h>

static struct worker_step ended(struct worker_core *c, enum worker_outcome o) {
        struct worker_step s;

        worker_core_ended(c, o, &s);
        return s;
}

static struct worker_core elected(void) {
        struct worker_core c;

        worker_core_begin(&c, false, true, true);
        return c;
}

static struct worker_core fixed(void) {
        struct worker_core c;

        worker_core_begin(&c, true, false, true);
        return c;
}

static void IICPD_03_57_back_off_doubles_to_a_minute_and_starts_anew(void **state) {
        static const uint64_t waits[] = {2000, 4000, 8000, 16000, 32000, 60000, 60000};
        struct worker_core c = fixed();

        (void) state;
        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
                        struct worker_step s = ended(&c, WORKER_BROKEN);

                        assert_int_equal(s.what, WORKER_DO_RETRY);
                        assert_int_equal(s.wait_ms, waits[i]);
                }
                worker_core_bound(&c);
        }
}

static void IICPD_03_57_jitter_is_a_fifth_either_way(void **state) {
        (void) state;
        assert_int_equal(worker_jitter_ms(10000, 0), 8000);
        assert_int_equal(worker_jitter_ms(10000, 255), 12000);
        assert_in_range(worker_jitter_ms(10000, 128), 9900, 10100);
}

static void IICPD_04_30_in_the_first_choice_each_failure_moves_on(void **state) {
        static const enum worker_outcome all[] = {WORKER_BROKEN, WORKER_FULL};

        (void) state;
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
                struct worker_core c = elected();
                struct worker_step s = ended(&c, all[i]);

                assert_int_equal(s.what, WORKER_DO_OTHER);
                assert_int_equal(s.exclude_ms, 300000);
        }
}

static void IICPD_04_30_the_endpoint_is_polled_when_the_port_does_not_answer(void **state) {
        struct worker_core c = elected();

        (void) state;
        assert_int_equal(ended(&c, WORKER_UNREACHABLE).what, WORKER_DO_POLL);
        assert_int_equal(ended(&c, WORKER_UNREACHABLE).what, WORKER_DO_OTHER);
        c = elected();
        assert_int_equal(ended(&c, WORKER_PLAIN_ONLY).what, WORKER_DO_POLL);
        /* A relay that answers and refuses is not asked over HTTP as well. */
        c = elected();
        assert_int_equal(ended(&c, WORKER_FULL).what, WORKER_DO_OTHER);
        /* After a loss the port comes first again. */
        c = elected();
        assert_int_equal(ended(&c, WORKER_UNREACHABLE).what, WORKER_DO_POLL);
        worker_core_bound(&c);
        assert_int_equal(ended(&c, WORKER_LOST).what, WORKER_DO_RETRY);
        assert_false(c.polling);
}

static void IICPD_03_57_five_failures_on_a_bound_relay_elect_another(void **state) {
        struct worker_core c = elected();

        (void) state;
        c.can_poll = false;
        worker_core_bound(&c);
        assert_int_equal(ended(&c, WORKER_LOST).what, WORKER_DO_RETRY);
        for (int i = 0; i < 4; i++)
                assert_int_equal(ended(&c, WORKER_UNREACHABLE).what, WORKER_DO_RETRY);
        assert_int_equal(ended(&c, WORKER_UNREACHABLE).what, WORKER_DO_OTHER);
        /* A fixed one has no other. */
        c = fixed();
        worker_core_bound(&c);
        for (int i = 0; i < 20; i++)
                assert_int_equal(ended(&c, WORKER_UNREACHABLE).what, WORKER_DO_RETRY);
}

static void IICPD_03_57_waits_for_an_older_session_and_the_rate(void **state) {
        struct worker_core c = elected();
        struct worker_step s;

        (void) state;
        worker_core_bound(&c);
        for (int i = 0; i < 10; i++) /* does not count as a failure */
                assert_int_equal(ended(&c, WORKER_ALIVE).what, WORKER_DO_RETRY);
        c = elected();
        worker_core_bound(&c);
        s = ended(&c, WORKER_RATE_LIMITED);
        assert_int_equal(s.what, WORKER_DO_RETRY);
        assert_int_equal(s.wait_ms, 60000);
        c = fixed();
        s = ended(&c, WORKER_RATE_LIMITED);
        assert_int_equal(s.what, WORKER_DO_RETRY);
        assert_int_equal(s.wait_ms, 60000);
        c = elected();
        assert_int_equal(ended(&c, WORKER_ALIVE).exclude_ms, 90000);
        c = fixed();
        assert_int_equal(ended(&c, WORKER_ALIVE).what, WORKER_DO_RETRY);
}

static void IICPD_03_57_a_full_relay_gives_way(void **state) {
        struct worker_core c = elected();

        (void) state;
        worker_core_bound(&c);
        assert_int_equal(ended(&c, WORKER_FULL).what, WORKER_DO_OTHER);
        c = fixed();
        assert_int_equal(ended(&c, WORKER_FULL).what, WORKER_DO_RETRY);
}

static void IICPD_03_54_one_new_ticket_then_another_relay(void **state) {
        struct worker_core c = elected();

        (void) state;
        assert_int_equal(ended(&c, WORKER_TICKET_INVALID).what, WORKER_DO_TICKET);
        assert_true(c.audience_any);
        assert_int_equal(ended(&c, WORKER_TICKET_INVALID).what, WORKER_DO_OTHER);
        c = elected();
        assert_int_equal(ended(&c, WORKER_TICKET_REPLAYED).what, WORKER_DO_TICKET);
        assert_false(c.audience_any); /* the audience was not what was wrong */
        c = elected();
        c.any_audience = false;
        assert_int_equal(ended(&c, WORKER_TICKET_INVALID).what, WORKER_DO_TICKET);
        assert_false(c.audience_any);
        c = fixed();
        assert_int_equal(ended(&c, WORKER_TICKET_REQUIRED).what, WORKER_DO_TICKET);
        assert_int_equal(ended(&c, WORKER_TICKET_REQUIRED).what, WORKER_DO_RETRY);
        assert_int_equal(ended(&c, WORKER_TICKET_REQUIRED).what, WORKER_DO_TICKET);
}

static void IICPD_03_57_refusals_by_their_exact_text(void **state) {
        (void) state;
        assert_int_equal(worker_outcome_of(IICP_STR("relay bind ticket invalid")), WORKER_TICKET_INVALID);
        assert_int_equal(worker_outcome_of(IICP_STR("relay bind ticket required")), WORKER_TICKET_REQUIRED);
        assert_int_equal(worker_outcome_of(IICP_STR("relay bind ticket replayed")), WORKER_TICKET_REPLAYED);
        assert_int_equal(worker_outcome_of(IICP_STR("worker_id already bound to an alive session")), WORKER_ALIVE);
        assert_int_equal(worker_outcome_of(IICP_STR("relay_bind_rate_limited")), WORKER_RATE_LIMITED);
        assert_int_equal(worker_outcome_of(IICP_STR("relay at session capacity")), WORKER_FULL);
        assert_int_equal(worker_outcome_of(IICP_STR("no")), WORKER_BROKEN);
        assert_int_equal(worker_outcome_of(IICP_STR_NONE), WORKER_BROKEN);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_57_back_off_doubles_to_a_minute_and_starts_anew),
                cmocka_unit_test(IICPD_03_57_jitter_is_a_fifth_either_way),
                cmocka_unit_test(IICPD_04_30_in_the_first_choice_each_failure_moves_on),
                cmocka_unit_test(IICPD_04_30_the_endpoint_is_polled_when_the_port_does_not_answer),
                cmocka_unit_test(IICPD_03_57_five_failures_on_a_bound_relay_elect_another),
                cmocka_unit_test(IICPD_03_57_waits_for_an_older_session_and_the_rate),
                cmocka_unit_test(IICPD_03_57_a_full_relay_gives_way),
                cmocka_unit_test(IICPD_03_54_one_new_ticket_then_another_relay),
                cmocka_unit_test(IICPD_03_57_refusals_by_their_exact_text),
        };

        return cmocka_run_group_tests_name("worker_core", tests, NULL, NULL);
}
