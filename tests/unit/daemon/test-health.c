/* SPDX-License-Identifier: Apache-2.0 */
#include "health.h"

#include "node.h"
#include "vectors.h"

#include <string.h>

/* The public scenarios, each by its number; ours repeat the three edges of the ages. */

static bool is(struct json_object *input, const char *name, const char *word) {
        return strcmp(vector_str(input, name).p, word) == 0;
}

static uint64_t number(struct json_object *input, const char *name) {
        return (uint64_t) json_object_get_int64(vector_get(input, name));
}

static struct health_facts facts_of(struct json_object *in) {
        return (struct health_facts){
                .lifecycle = is(in, "lifecycle", "starting")   ? NODE_STARTING
                             : is(in, "lifecycle", "stopping") ? NODE_STOPPING
                                                               : NODE_RUNNING,
                .runtime_age_ms = number(in, "runtime_age_ms"),
                .supervisor_required = json_object_get_boolean(vector_get(in, "supervisor_required")),
                .supervisor_age_ms = number(in, "supervisor_age_ms"),
                .provider_unavailable = is(in, "provider", "unavailable"),
                .no_capacity = !json_object_get_boolean(vector_get(in, "capacity_available")),
                .routing_unavailable = is(in, "routing", "unavailable"),
                .tunnel_recovering = is(in, "tunnel", "recovering"),
                .directory_unavailable = is(in, "directory", "unavailable"),
                .dns_unavailable = is(in, "dns", "unavailable"),
                .internet_unavailable = is(in, "internet", "unavailable"),
        };
}

static void check(struct json_object *scenario) {
        struct json_object *expected = vector_get(scenario, "expected");
        struct json_object *reasons = vector_get(expected, "reason_codes");
        struct health_facts f = facts_of(vector_get(scenario, "input"));
        struct health h;

        health_classify(&f, &h);
        assert_string_equal(health_liveness_name(h.liveness), vector_str(expected, "liveness").p);
        assert_string_equal(health_readiness_name(h.readiness), vector_str(expected, "readiness").p);
        assert_int_equal(h.n_reasons, json_object_array_length(reasons));
        for (unsigned i = 0; i < h.n_reasons; i++)
                assert_string_equal(h.reasons[i], json_object_get_string(json_object_array_get_idx(reasons, i)));
}

static void run(const char *id) {
        struct json_object *doc = vector_public("node/runtime-health-v1.json");
        struct json_object *scenarios = vector_get(doc, "scenarios");
        bool found = false;

        for (size_t i = 0; i < json_object_array_length(scenarios); i++) {
                struct json_object *s = json_object_array_get_idx(scenarios, i);

                if (strncmp(vector_str(s, "id").p, id, strlen(id)) != 0)
                        continue;
                found = true;
                check(s);
        }
        json_object_put(doc);
        assert_true(found);
}

static void RUNTIME_HEALTH_01_normal(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-01-");
}

static void RUNTIME_HEALTH_02_start_up(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-02-");
}

static void RUNTIME_HEALTH_03_stalled_runtime(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-03-");
}

static void RUNTIME_HEALTH_04_stalled_supervisor(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-04-");
}

static void RUNTIME_HEALTH_05_directory_unavailable(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-05-");
}

static void RUNTIME_HEALTH_06_tunnel_recovering(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-06-");
}

static void RUNTIME_HEALTH_07_provider_unavailable(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-07-");
}

static void RUNTIME_HEALTH_08_no_capacity(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-08-");
}

static void RUNTIME_HEALTH_09_network_loss(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-09-");
}

static void RUNTIME_HEALTH_10_supervisor_not_required(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-10-");
}

static void RUNTIME_HEALTH_11_stopping(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-11-");
}

static void RUNTIME_HEALTH_12_high_load(void **state) {
        (void) state;
        run("RUNTIME-HEALTH-12-");
}

static struct health of(struct health_facts f) {
        struct health h;

        health_classify(&f, &h);
        return h;
}

static void RUNTIME_HEALTH_03_age_of_exactly_30_s_is_live(void **state) {
        (void) state;
        assert_int_equal(of((struct health_facts){.lifecycle = NODE_RUNNING, .runtime_age_ms = 30000}).liveness,
                         HEALTH_LIVE);
        assert_int_equal(of((struct health_facts){.lifecycle = NODE_RUNNING, .runtime_age_ms = 30001}).liveness,
                         HEALTH_NOT_LIVE);
}

static void IICPD_02_91_loss_of_directory_or_backend_keeps_the_pulse(void **state) {
        (void) state;
        assert_int_equal(of((struct health_facts){.lifecycle = NODE_RUNNING, .directory_unavailable = true,
                                                  .dns_unavailable = true, .provider_unavailable = true,
                                                  .tunnel_recovering = true}).liveness,
                         HEALTH_LIVE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(RUNTIME_HEALTH_01_normal),
                cmocka_unit_test(RUNTIME_HEALTH_02_start_up),
                cmocka_unit_test(RUNTIME_HEALTH_03_stalled_runtime),
                cmocka_unit_test(RUNTIME_HEALTH_04_stalled_supervisor),
                cmocka_unit_test(RUNTIME_HEALTH_05_directory_unavailable),
                cmocka_unit_test(RUNTIME_HEALTH_06_tunnel_recovering),
                cmocka_unit_test(RUNTIME_HEALTH_07_provider_unavailable),
                cmocka_unit_test(RUNTIME_HEALTH_08_no_capacity),
                cmocka_unit_test(RUNTIME_HEALTH_09_network_loss),
                cmocka_unit_test(RUNTIME_HEALTH_10_supervisor_not_required),
                cmocka_unit_test(RUNTIME_HEALTH_11_stopping),
                cmocka_unit_test(RUNTIME_HEALTH_12_high_load),
                cmocka_unit_test(RUNTIME_HEALTH_03_age_of_exactly_30_s_is_live),
                cmocka_unit_test(IICPD_02_91_loss_of_directory_or_backend_keeps_the_pulse),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
