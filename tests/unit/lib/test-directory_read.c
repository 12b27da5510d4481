/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <errno.h>
#include <iicp/directory_read.h>
#include <stdio.h>
#include <string.h>

static struct iicp_directory_node node(const char *text) {
        struct iicp_directory_node n;

        assert_int_equal(iicp_directory_node_read(iicp_str(text), &n), 0);
        return n;
}

static const char rich[] =
        "{\"node_id\":\"n1\",\"endpoint\":\"https://n1.example.net\",\"region\":\"eu\",\"available\":true,"
        "\"load\":0.25,\"active_jobs\":1,\"last_seen\":\"2026-09-01T10:00:00Z\",\"reputation_score\":0.83,"
        "\"probation\":false,\"completed_tasks_count\":120,\"routing_hint\":\"https_direct\","
        "\"route_evidence\":[\"directory_observed\",\"more\"],\"browser_usable\":true,"
        "\"directory_observed_reachable\":true,\"sdk_status\":\"current\",\"key_ready\":true,"
        "\"exposure_mode\":\"ipv4_public_direct\",\"operator_verified\":false,"
        "\"capabilities\":[{\"intent\":\"a\",\"models\":[\"m\",\"n\"]},{\"intent\":\"b\"}],"
        "\"public_key\":\"1718e0b94b009d541830823ecd44a955c405827c637ce439d916e61a4b660fbf\","
        "\"health\":{\"score\":97,\"label\":\"healthy\",\"observed\":true,\"confidence\":\"high\","
        "\"evidence_level\":\"probe\",\"latency_ms_basis\":\"directory\",\"evaluated_at\":\"2026-09-01T10:00:00Z\","
        "\"components\":{\"reachability\":100,\"latency\":92.5}},\"future\":{\"x\":1}}";

static void DIR_NODE_01_both_shapes_are_read(void **state) {
        struct iicp_directory_node n = node(rich), other;

        (void) state;
        assert_string_equal(n.node_id, "n1");
        assert_string_equal(n.endpoint, "https://n1.example.net");
        assert_int_equal(n.available, IICP_YES);
        assert_true(n.load > 0.24 && n.load < 0.26 && n.reputation > 0.82);
        assert_int_equal(n.completed_tasks, 120);
        assert_string_equal(n.route_evidence, "directory_observed");
        assert_int_equal(n.n_capabilities, 2);
        assert_int_equal(n.n_models, 2);
        assert_int_equal(strlen(n.gossip_key), 64);
        /* the discover shape, wrapped, with the encryption key under the same name */
        other = node("{\"node\":{\"node_id\":\"n1\",\"endpoint\":\"https://n1.example.net\",\"score\":0.9,"
                     "\"available\":false,\"public_key\":{\"algorithm\":\"X25519\"}}}");
        assert_string_equal(other.node_id, "n1");
        assert_int_equal(other.available, IICP_NO);
        assert_string_equal(other.gossip_key, "");
        assert_true(other.reputation < 0);
        assert_int_equal(other.key_ready, IICP_UNKNOWN);
}

static void DIR_NODE_01_wrong_types_count_as_absent(void **state) {
        struct iicp_directory_node n =
                node("{\"node_id\":5,\"endpoint\":null,\"available\":\"yes\",\"load\":7,\"reputation_score\":\"1\","
                     "\"active_jobs\":-1,\"capabilities\":{},\"public_key\":\"xyz\",\"health\":[],\"region\":\"a\\u0007\"}");
        struct iicp_directory_node none;

        (void) state;
        assert_string_equal(n.node_id, "");
        assert_string_equal(n.endpoint, "");
        assert_string_equal(n.region, "");
        assert_string_equal(n.gossip_key, "");
        assert_int_equal(n.available, IICP_UNKNOWN);
        assert_true(n.load < 0 && n.reputation < 0 && n.active_jobs < 0);
        assert_false(n.health.present);
        assert_int_equal(iicp_directory_node_read(IICP_STR("<html>"), &none), -EINVAL);
        assert_int_equal(iicp_directory_node_read(IICP_STR("[]"), &none), -EINVAL);
}

static void DIR_NODE_HEALTH_01_all_members_are_read(void **state) {
        struct iicp_node_health h = node(rich).health;

        (void) state;
        assert_true(h.present);
        assert_int_equal(h.score, 97);
        assert_string_equal(h.label, "healthy");
        assert_int_equal(h.observed, IICP_YES);
        assert_string_equal(h.confidence, "high");
        assert_string_equal(h.evidence_level, "probe");
        assert_string_equal(h.latency_basis, "directory");
        assert_string_equal(h.evaluated_at, "2026-09-01T10:00:00Z");
        assert_int_equal(h.n_components, 2);
        assert_string_equal(h.components[1].name, "latency");
        assert_true(h.components[1].value > 92.4 && h.components[1].value < 92.6);
}

static void DIR_NODE_HEALTH_02_more_or_fewer_components(void **state) {
        char text[2048] = "{\"health\":{\"components\":{\"odd\":\"text\",\"nested\":{\"score\":3}";
        struct iicp_node_health h;

        (void) state;
        for (unsigned i = 0; i < 20; i++)
                sprintf(text + strlen(text), ",\"c%u\":%u", i, i);
        strcat(text, "}}}");
        h = node(text).health;
        assert_int_equal(h.n_components, IICP_HEALTH_COMPONENTS_MAX);
        assert_string_equal(h.components[0].name, "nested");
        h = node("{\"health\":{\"label\":\"degraded\"}}").health;
        assert_int_equal(h.n_components, 0);
        assert_int_equal(h.score, -1);
        assert_string_equal(h.label, "degraded");
}

static void DIR_NODE_HEALTH_03_a_new_node_is_healthy(void **state) {
        struct iicp_directory_node n = node("{\"completed_tasks_count\":0,\"probation\":true,"
                                            "\"health\":{\"score\":80,\"label\":\"healthy\",\"observed\":false}}");

        (void) state;
        assert_string_equal(n.health.label, "healthy");
        assert_int_equal(n.health.observed, IICP_NO);
        assert_int_equal(n.probation, IICP_YES);
}

static void DIR_NODE_HEALTH_04_offline_with_zero(void **state) {
        struct iicp_node_health h = node("{\"health\":{\"score\":0,\"label\":\"offline\"}}").health;

        (void) state;
        assert_int_equal(h.score, 0);
        assert_string_equal(h.label, "offline");
}

static void DIR_STATS_01_missing_and_null_members(void **state) {
        struct iicp_directory_stats s;

        (void) state;
        assert_int_equal(iicp_directory_stats_read(IICP_STR("{\"server\":{\"version\":\"1.10.9\",\"active_nodes\":7},"
                                                            "\"mesh_health\":{\"score\":0.75,\"label\":\"good\",\"window\":\"24h\"}}"), &s), 0);
        assert_string_equal(s.version, "1.10.9");
        assert_int_equal(s.active_nodes, 7);
        assert_true(s.mesh_score > 0.74 && s.mesh_score < 0.76);
        assert_string_equal(s.mesh_label, "good");
        assert_int_equal(iicp_directory_stats_read(IICP_STR("{\"active_nodes\":3,\"mesh_health\":{\"score\":null}}"), &s), 0);
        assert_int_equal(s.active_nodes, 3);
        assert_true(s.mesh_score < 0);
        assert_int_equal(iicp_directory_stats_read(IICP_STR("{\"mesh_health\":null}"), &s), 0);
        assert_int_equal(s.active_nodes, -1);
        assert_int_equal(iicp_directory_stats_read(IICP_STR("nope"), &s), -EINVAL);
}

static void CONF_DISC_01_a_node_is_found_by_its_full_id(void **state) {

        (void) state;
        assert_int_equal(iicp_directory_find_node(IICP_STR("{\"nodes\":[{\"node_id\":\"a\"},{\"node_id\":\"ab\"}]}"), "ab"), 1);
        assert_int_equal(iicp_directory_find_node(IICP_STR("{\"nodes\":[{\"node_id\":\"abc\"},{\"node_id\":5}]}"), "ab"), -ENOENT);
        assert_int_equal(iicp_directory_find_node(IICP_STR("{\"nodes\":[]}"), "ab"), -ENOENT);
        assert_int_equal(iicp_directory_find_node(IICP_STR("{\"count\":0}"), "ab"), -EINVAL);
        assert_int_equal(iicp_directory_find_node(IICP_STR("<html>"), "ab"), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(DIR_NODE_01_both_shapes_are_read),
                cmocka_unit_test(DIR_NODE_01_wrong_types_count_as_absent),
                cmocka_unit_test(DIR_NODE_HEALTH_01_all_members_are_read),
                cmocka_unit_test(DIR_NODE_HEALTH_02_more_or_fewer_components),
                cmocka_unit_test(DIR_NODE_HEALTH_03_a_new_node_is_healthy),
                cmocka_unit_test(DIR_NODE_HEALTH_04_offline_with_zero),
                cmocka_unit_test(DIR_STATS_01_missing_and_null_members),
                cmocka_unit_test(CONF_DISC_01_a_node_is_found_by_its_full_id),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
