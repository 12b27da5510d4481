/* SPDX-License-Identifier: Apache-2.0 */
#include "task/lifecycle_account.h"

#include "vectors.h"

#include <string.h>

/* The public cases, each by its number. */

static bool flag(struct json_object *in, const char *name) {
        struct json_object *v = vector_find(in, name);

        return v && json_object_get_boolean(v);
}

static unsigned word(struct json_object *in, const char *name, const char *const *words) {
        struct json_object *v = vector_find(in, name);

        for (unsigned i = 0; v && words[i]; i++)
                if (strcmp(json_object_get_string(v), words[i]) == 0)
                        return i;
        if (v)
                fail_msg("unknown word %s", json_object_get_string(v));
        return 0;
}

static struct account_question question_of(struct json_object *in) {
        static const char *const operations[] = {"submit", "status", "observe", "resume", "cancel", "terminal", NULL};
        static const char *const bindings[] = {"fresh", "same", "conflict", NULL};
        static const char *const deliveries[] = {"none", "partial", "complete", NULL};
        struct json_object *state = vector_find(in, "terminal_state");

        return (struct account_question){
                .operation = word(in, "operation", operations), .binding = word(in, "binding", bindings),
                .delivery = word(in, "delivery", deliveries), .reserved = flag(in, "reservation_exists"),
                .settled = flag(in, "settlement_exists"), .accepted = flag(in, "accepted"),
                .completed = state && strcmp(json_object_get_string(state), "completed") == 0,
                .resume_available = flag(in, "resume_available"), .new_task = flag(in, "explicit_new_task"),
                .fresh_ids = flag(in, "fresh_task_id") && flag(in, "fresh_idempotency_key"),
        };
}

static void run(const char *id) {
        static const char *const actions[] = {"none", "create", "reuse", "release", NULL};
        struct json_object *doc = vector_public("node/service-lifecycle-accounting-v1.json");
        bool found = false;

        vector_each(vector_get(doc, "cases"), c) {
                struct json_object *expected = vector_get(c, "expected");
                struct account_question q = question_of(vector_get(c, "input"));
                struct account_answer a = account_decide(&q);

                if (strcmp(vector_str(c, "id").p, id) != 0)
                        continue;
                found = true;
                assert_string_equal(account_decision_name(a.decision), vector_str(expected, "decision").p);
                assert_int_equal(a.reservation, word(expected, "reservation_action", actions));
                assert_int_equal(a.settlement, word(expected, "settlement_action", actions));
                assert_int_equal(a.new_execution, flag(expected, "new_execution"));
        }
        assert_true(found);
        json_object_put(doc);
}

static void LIFECYCLE_ACCOUNT_01(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-01");
}

static void LIFECYCLE_ACCOUNT_02(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-02");
}

static void LIFECYCLE_ACCOUNT_03(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-03");
}

static void LIFECYCLE_ACCOUNT_04(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-04");
}

static void LIFECYCLE_ACCOUNT_05(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-05");
}

static void LIFECYCLE_ACCOUNT_06(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-06");
}

static void LIFECYCLE_ACCOUNT_07(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-07");
}

static void LIFECYCLE_ACCOUNT_08(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-08");
}

static void LIFECYCLE_ACCOUNT_09(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-09");
}

static void LIFECYCLE_ACCOUNT_10(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-10");
}

static void LIFECYCLE_ACCOUNT_11(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-11");
}

static void LIFECYCLE_ACCOUNT_12(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-12");
}

static void LIFECYCLE_ACCOUNT_13(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-13");
}

static void LIFECYCLE_ACCOUNT_14(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-14");
}

static void LIFECYCLE_ACCOUNT_15(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-15");
}

static void LIFECYCLE_ACCOUNT_16(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-16");
}

static void LIFECYCLE_ACCOUNT_17(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-17");
}

static void LIFECYCLE_ACCOUNT_18(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-18");
}

static void LIFECYCLE_ACCOUNT_19(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-19");
}

static void LIFECYCLE_ACCOUNT_20(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-20");
}

static void LIFECYCLE_ACCOUNT_21(void **state) {
        (void) state;
        run("LIFECYCLE-ACCOUNT-21");
}

/* What the store asks, without the vectors: one execution, one settlement. */
static void a_task_settles_once(void **state) {
        struct account_question end = {.operation = ACCOUNT_TERMINAL, .binding = ACCOUNT_SAME, .reserved = true,
                                       .accepted = true, .completed = true};

        (void) state;
        assert_int_equal(account_decide(&end).settlement, ACCOUNT_CREATE);
        end.settled = true;
        assert_int_equal(account_decide(&end).settlement, ACCOUNT_REUSE);
        end.operation = ACCOUNT_CANCEL;
        assert_int_equal(account_decide(&end).settlement, ACCOUNT_REUSE);
        assert_false(account_decide(&end).new_execution);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(LIFECYCLE_ACCOUNT_01),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_02),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_03),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_04),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_05),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_06),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_07),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_08),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_09),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_10),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_11),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_12),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_13),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_14),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_15),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_16),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_17),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_18),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_19),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_20),
                cmocka_unit_test(LIFECYCLE_ACCOUNT_21),
                cmocka_unit_test(a_task_settles_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
