/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "directory/recovery_table.h"

#include <iicp/json.h>

static enum recovery_presence presence_named(struct iicp_str name) {
        return iicp_str_is(name, "present")  ? PRESENCE_PRESENT
               : iicp_str_is(name, "absent") ? PRESENCE_ABSENT
                                             : PRESENCE_UNKNOWN;
}

static bool yes(json_object *o, const char *name) {
        return json_object_get_boolean(vector_get(o, name));
}

/* The facts of a node that is well. */
static struct recovery_facts well(void) {
        return (struct recovery_facts){.local_health_ok = true, .route_available = true,
                                       .presence = PRESENCE_PRESENT, .grace = 3};
}

static void expect(const struct recovery_facts *f, enum recovery_state state,
                   enum recovery_action action) {
        struct recovery_verdict v;

        recovery_decide(f, &v);
        assert_string_equal(recovery_state_name(v.state), recovery_state_name(state));
        assert_string_equal(recovery_action_name(v.action), recovery_action_name(action));
}

static void IICPD_01_95_vectors_of_states_and_actions(void **state) {
        json_object *doc = vector_ours("directory/recovery.json"), *cases = vector_get(doc, "cases");

        (void) state;
        vector_each(cases, c) {
                struct recovery_facts f = {
                        .local_health_ok = yes(c, "local_health_ok"),
                        .route_available = yes(c, "route_available"),
                        .presence = presence_named(vector_str(c, "presence")),
                        .failures = (unsigned) json_object_get_int(vector_get(c, "failures")),
                        .grace = 3,
                        .backend_attention = yes(c, "backend_attention"),
                        .supervised = yes(c, "supervised"),
                        .previous = RECOVERY_ROUTE_MISMATCH,
                };
                struct iicp_str want = vector_str(c, "state");
                struct recovery_verdict v;

                recovery_decide(&f, &v);
                if (iicp_str_is(want, "keep_previous"))
                        want = iicp_str("route_mismatch");
                assert_true(iicp_str_is(want, recovery_state_name(v.state)));
                assert_true(iicp_str_is(vector_str(c, "action"), recovery_action_name(v.action)));
        }
        json_object_put(doc);
}

static void IICPD_01_95_rows_in_order(void **state) {
        struct recovery_facts f = well();

        (void) state;
        expect(&f, RECOVERY_STABLE, RECOVERY_NONE);
        f.route_mismatch = true;
        expect(&f, RECOVERY_ROUTE_MISMATCH, RECOVERY_REREGISTER);
        f.route_available = false;
        expect(&f, RECOVERY_ENDPOINT_DEAD, RECOVERY_WAIT_COOLDOWN);
        f.tunnel = TUNNEL_STARTING;
        expect(&f, RECOVERY_TUNNEL_STARTING, RECOVERY_REREGISTER);
        f.tunnel = TUNNEL_RATE_LIMITED;
        expect(&f, RECOVERY_TUNNEL_COOLDOWN, RECOVERY_WAIT_COOLDOWN);
        f.tunnel = TUNNEL_COOLDOWN;
        expect(&f, RECOVERY_TUNNEL_COOLDOWN, RECOVERY_WAIT_COOLDOWN);
        f.backend_attention = true;
        expect(&f, RECOVERY_BACKEND_ATTENTION, RECOVERY_LEAVE_TO_BACKEND);
        f.local_health_ok = false;
        expect(&f, RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_OPERATOR_ENDPOINT_NEEDED);
        f.supervised = true;
        expect(&f, RECOVERY_SUPERVISOR_RESTART_PENDING, RECOVERY_RESTART_SELF);
        f.silent = true;
        expect(&f, RECOVERY_UNAVAILABLE, RECOVERY_WAIT_COOLDOWN);
        f.rejected = true;
        expect(&f, RECOVERY_UNAVAILABLE, RECOVERY_REREGISTER);
}

/* A tunnel that is well or dead is told by the route. */
static void IICPD_04_36_backend_trouble_leaves_routes_alone(void **state) {
        struct recovery_facts f = well();

        (void) state;
        f.backend_attention = true;
        f.route_available = false;
        f.route_mismatch = true;
        f.failures = 99;
        f.supervised = true;
        f.presence = PRESENCE_ABSENT;
        f.tunnel = TUNNEL_DEAD;
        expect(&f, RECOVERY_BACKEND_ATTENTION, RECOVERY_LEAVE_TO_BACKEND);
        f.backend_attention = false;
        expect(&f, RECOVERY_SUPERVISOR_RESTART_PENDING, RECOVERY_RESTART_SELF);
}

/* Our names for what the shipped classifier says of the same facts. */
static const struct {
        const char *sdk, *ours;
} names[] = {
        {"healthy", "stable"},
        {"backend_attention", "backend_attention"},
        {"directory_absent", "route_mismatch"},
        {"limited_reach", "endpoint_dead"},
        {"restart_recommended", "supervisor_restart_pending"},
        {"local_unhealthy", "supervisor_restart_pending"},
        {"route_mismatch", "supervisor_restart_pending"},
};

static void IICPD_04_36_every_case_of_the_shipped_classifier_has_our_name(void **state) {
        json_object *doc = vector_ours("reachability/recovery.json"), *cases = vector_get(doc, "classify");

        (void) state;
        vector_each(cases, c) {
                struct recovery_facts f = {
                        .local_health_ok = yes(c, "local_health_ok"),
                        .route_available = yes(c, "public_available"),
                        .presence = presence_named(vector_str(c, "directory_presence")),
                        .failures = (unsigned) json_object_get_int(vector_get(c, "consecutive_failures")),
                        .grace = (unsigned) json_object_get_int(vector_get(c, "grace_checks")),
                        .backend_attention = yes(c, "backend_attention"),
                        .supervised = true,
                };
                struct iicp_str sdk = vector_str(c, "state");
                struct recovery_verdict v;

                recovery_decide(&f, &v);
                if (!iicp_str_is(sdk, "unknown"))
                        assert_true(iicp_str_is(vector_str(c, "action"), recovery_action_name(v.action)));
                for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                        if (iicp_str_is(sdk, names[i].sdk))
                                assert_string_equal(recovery_state_name(v.state), names[i].ours);
        }
        json_object_put(doc);
}

static void IICPD_01_94_failures_are_counted_as_told(void **state) {
        (void) state;
        assert_int_equal(recovery_failures(0, true, PRESENCE_ABSENT), 1);
        assert_int_equal(recovery_failures(1, false, PRESENCE_PRESENT), 2);
        assert_int_equal(recovery_failures(2, false, PRESENCE_UNKNOWN), 3);
        assert_int_equal(recovery_failures(3, true, PRESENCE_UNKNOWN), 3);
        assert_int_equal(recovery_failures(3, true, PRESENCE_PRESENT), 0);
}

static bool promotion(json_object *record) {
        struct iicp_json doc;

        assert_int_equal(iicp_json_scan(vector_text(record), NULL, NULL, &doc), 0);
        return recovery_needs_promotion(&doc);
}

static void IICPD_01_96_promotion_from_the_registry_record(void **state) {
        json_object *doc = vector_ours("directory/recovery.json");
        json_object *answers = vector_get(doc, "registry_responses"), *sdk, *cases;

        (void) state;
        vector_each(answers, c) {
                int status = json_object_get_int(vector_get(c, "status"));

                assert_int_equal(recovery_presence_of(status), presence_named(vector_str(c, "presence")));
                if (status == 200)
                        assert_int_equal(promotion(vector_get(c, "body")), yes(c, "route_needs_promotion"));
        }
        json_object_put(doc);
        sdk = vector_ours("reachability/recovery.json");
        cases = vector_get(sdk, "route_needs_promotion");
        vector_each(cases, c)
                assert_int_equal(promotion(vector_get(c, "registry_json")), yes(c, "needs_promotion"));
        json_object_put(sdk);
}

static void IICPD_01_96_a_bound_relay_or_the_operators_word_satisfies_it(void **state) {
        json_object *doc = vector_ours("reachability/recovery.json");
        json_object *cases = vector_get(doc, "effective_public_route");

        (void) state;
        vector_each(cases, c)
                assert_int_equal(recovery_route_available(yes(c, "runtime_available"),
                                                          yes(c, "route_needs_promotion"),
                                                          yes(c, "relay_bound"), false),
                                 yes(c, "effective"));
        assert_true(recovery_route_available(true, true, false, true));
        assert_false(recovery_route_available(false, true, true, true));
        json_object_put(doc);
}

static void IICPD_01_97_exit_statuses(void **state) {
        (void) state;
        assert_int_equal(recovery_exit_status(TUNNEL_DEAD), 75);
        assert_int_equal(recovery_exit_status(TUNNEL_NOT_NEEDED), 76);
        assert_int_equal(recovery_exit_status(TUNNEL_HEALTHY), 76);
}

static void IICPD_01_98_five_restarts_an_hour(void **state) {
        int64_t restarts[RECOVERY_RESTARTS_MAX] = {0}, now = 1790000000;

        (void) state;
        for (int i = 0; i < RECOVERY_RESTARTS_MAX; i++)
                assert_true(recovery_restart_note(restarts, now + i * 60));
        assert_int_equal(recovery_restart_count(restarts, now + 300), 5);
        assert_false(recovery_restart_note(restarts, now + 300));
        assert_false(recovery_restart_note(restarts, now + 3599));
        assert_true(recovery_restart_note(restarts, now + 3600));
        assert_false(recovery_restart_note(restarts, now + 3600));
        /* a clock that was set back does not free places, one that was wrong by years does */
        assert_false(recovery_restart_note(restarts, now + 100));
        assert_true(recovery_restart_note(restarts, now - 100000));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_01_95_vectors_of_states_and_actions),
                cmocka_unit_test(IICPD_01_95_rows_in_order),
                cmocka_unit_test(IICPD_04_36_backend_trouble_leaves_routes_alone),
                cmocka_unit_test(IICPD_04_36_every_case_of_the_shipped_classifier_has_our_name),
                cmocka_unit_test(IICPD_01_94_failures_are_counted_as_told),
                cmocka_unit_test(IICPD_01_96_promotion_from_the_registry_record),
                cmocka_unit_test(IICPD_01_96_a_bound_relay_or_the_operators_word_satisfies_it),
                cmocka_unit_test(IICPD_01_97_exit_statuses),
                cmocka_unit_test(IICPD_01_98_five_restarts_an_hour),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
