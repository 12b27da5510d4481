/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/snapshot.h"

#include "node.h"
#include "vectors.h"

#include <string.h>

static struct json_object *print(const struct health_facts *f) {
        struct snapshot_counts c = {.process_epoch = "3f0c9d2e-7a41-4c8e-9b1a-0d5e6f708192", .pid = 12, .sequence = 3,
                                    .runtime_sequence = 40, .supervisor_sequence = 2, .wall_s = 1767225600};
        struct iicp_buf b = {0};
        struct json_object *doc;

        snapshot_print(f, &c, &b);
        assert_int_equal(b.error, 0);
        doc = json_tokener_parse(b.p);
        assert_non_null(doc);
        iicp_buf_free(&b);
        return doc;
}

static void expect(struct json_object *doc, const char *path, const char *name, const char *value) {
        struct json_object *at = path ? vector_get(doc, path) : doc;

        assert_string_equal(vector_text(vector_get(at, name)).p, value);
}

/* The schema is closed: these members and no others. */
static void IICPD_02_89_members_of_the_schema(void **state) {
        static const char *const members[] = {
                "health_schema_version", "process_epoch", "pid", "sequence", "emitted_at", "lifecycle", "liveness",
                "readiness", "reason_codes", "progress", "subsystems", "external_connectivity",
        };
        struct health_facts f = {.lifecycle = NODE_RUNNING, .registers = true, .directory_registered = true};
        struct json_object *doc = print(&f), *schema;

        (void) state;
        assert_int_equal(json_object_object_length(doc), sizeof members / sizeof members[0]);
        for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
                vector_get(doc, members[i]);
        expect(doc, NULL, "emitted_at", "\"2026-01-01T00:00:00Z\"");
        expect(doc, "subsystems", "provider", "\"healthy\"");
        expect(doc, "external_connectivity", "directory", "\"healthy\"");
        schema = vector_public("node/runtime-health-snapshot-v1.schema.json");
        vector_each(vector_get(schema, "required"), name)
                vector_get(doc, json_object_get_string(name));
        json_object_put(schema);
        json_object_put(doc);
}

static void IICPD_02_89_progress_counters(void **state) {
        struct health_facts f = {.lifecycle = NODE_RUNNING, .runtime_age_ms = 120, .supervisor_required = true,
                                 .supervisor_age_ms = 4000};
        struct json_object *doc = print(&f), *progress = vector_get(doc, "progress");

        (void) state;
        expect(progress, "runtime", "sequence", "40");
        expect(progress, "runtime", "age_ms", "120");
        expect(progress, "runtime", "stale_after_ms", "30000");
        expect(progress, "runtime", "required", "true");
        expect(progress, "supervisor", "sequence", "2");
        expect(progress, "supervisor", "age_ms", "4000");
        expect(progress, "supervisor", "stale_after_ms", "120000");
        expect(progress, "supervisor", "required", "true");
        json_object_put(doc);
}

/* What is judged is the same object that sd_notify and iicpctl use. */
static void IICPD_02_89_reasons_in_order(void **state) {
        struct health_facts f = {.lifecycle = NODE_RUNNING, .registers = true, .provider_unavailable = true,
                                 .routing_unavailable = true, .directory_unavailable = true};
        struct json_object *doc = print(&f);

        (void) state;
        expect(doc, NULL, "liveness", "\"live\"");
        expect(doc, NULL, "readiness", "\"not_ready\"");
        expect(doc, NULL, "reason_codes",
               "[\"PROVIDER_UNAVAILABLE\",\"ROUTING_UNAVAILABLE\",\"DIRECTORY_UNAVAILABLE\"]");
        expect(doc, "subsystems", "routing", "\"unavailable\"");
        expect(doc, "external_connectivity", "directory", "\"unavailable\"");
        json_object_put(doc);
}

static void IICPD_02_89_a_node_that_registers_nowhere(void **state) {
        struct health_facts f = {.lifecycle = NODE_STOPPING};
        struct json_object *doc = print(&f);

        (void) state;
        expect(doc, NULL, "lifecycle", "\"stopping\"");
        expect(doc, NULL, "reason_codes", "[\"STOPPING\"]");
        expect(doc, "subsystems", "routing", "\"not_applicable\"");
        expect(doc, "external_connectivity", "directory", "\"not_applicable\"");
        json_object_put(doc);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_89_members_of_the_schema),
                cmocka_unit_test(IICPD_02_89_progress_counters),
                cmocka_unit_test(IICPD_02_89_reasons_in_order),
                cmocka_unit_test(IICPD_02_89_a_node_that_registers_nowhere),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
