/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/policy.h>
#include <iicp/urn.h>

static const char *category(struct iicp_str urn) {
        enum iicp_risk risk = iicp_risk_of(urn, NULL);

        return risk == IICP_RISK_NONE ? "minimal_or_general" : iicp_risk_name(risk);
}

static void IICPD_02_56_consumer_vectors(void **state) {
        struct json_object *all = vector_ours("consumer/intent-risk.json");

        (void) state;
        vector_each(vector_get(all, "cases"), c) {
                struct iicp_str urn = vector_str(c, "urn");

                if (!iicp_str_is(vector_str(c, "category"), category(urn)))
                        fail_msg("%s: %s", urn.p, category(urn));
        }
        json_object_put(all);
}

static void IICPD_02_56_provider_vectors(void **state) {
        struct json_object *all = vector_ours("security/intent-risk-cases-v1.json");

        (void) state;
        vector_each(vector_get(all, "cases"), c) {
                struct iicp_str urn = vector_str(c, "intent"), domain = iicp_urn_domain(urn);
                bool tool = iicp_str_is(domain, "tool") || iicp_str_is(domain, "mcp");
                enum iicp_risk risk = iicp_risk_of(urn, NULL);
                bool refused = risk == IICP_RISK_PROHIBITED || risk == IICP_RISK_HIGH;

                if (!iicp_str_is(vector_str(c, "category"), category(urn)))
                        fail_msg("%s: %s", urn.p, category(urn));
                if (json_object_get_boolean(vector_get(c, "tool_domain")) != tool)
                        fail_msg("%s: tool domain %d", urn.p, tool);
                if (json_object_get_boolean(vector_get(c, "node_must_refuse")) != refused)
                        fail_msg("%s: refused %d", urn.p, refused);
        }
        json_object_put(all);
}

/* The compiled table says of each published fragment what the published file says. */
static void IICPD_02_56_table_is_the_published_taxonomy(void **state) {
        struct json_object *all = vector_public("node/intent-risk-taxonomy.json");

        (void) state;
        assert_true(iicp_str_is(vector_str(all, "version"), IICP_RISK_TAXONOMY_VERSION));
        vector_each(vector_get(all, "rules"), rule) {
                vector_each(vector_get(rule, "fragments"), fragment) {
                        const char *id = NULL;
                        enum iicp_risk risk =
                                iicp_risk_of(iicp_str(json_object_get_string(fragment)), &id);

                        assert_non_null(id);
                        assert_true(iicp_str_is(vector_str(rule, "rule_id"), id));
                        assert_true(
                                iicp_str_is(vector_str(rule, "category"), iicp_risk_name(risk)));
                }
        }
        json_object_put(all);
}

static void IICPD_02_56_first_rule_in_file_order_wins(void **state) {
        const char *rule;

        (void) state;
        assert_int_equal(iicp_risk_of(IICP_STR("urn:iicp:intent:chatbot:drone:control:v1"), &rule),
                         IICP_RISK_HIGH);
        assert_string_equal(rule, "eu-ai-act-physical-world-control");
        assert_int_equal(iicp_risk_of(IICP_STR("urn:iicp:intent:drone:control:csam:v1"), &rule),
                         IICP_RISK_PROHIBITED);
        assert_string_equal(rule, "eu-ai-act-nonconsensual-sexual-deepfake");
        assert_int_equal(iicp_risk_of(IICP_STR("urn:iicp:intent:llm:CSAM:v1"), &rule),
                         IICP_RISK_PROHIBITED);
        assert_int_equal(iicp_risk_of(IICP_STR("urn:iicp:intent:llm:chat:v1"), &rule),
                         IICP_RISK_NONE);
        assert_null(rule);
        assert_int_equal(iicp_risk_of(IICP_STR_NONE, NULL), IICP_RISK_NONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_56_consumer_vectors),
                cmocka_unit_test(IICPD_02_56_provider_vectors),
                cmocka_unit_test(IICPD_02_56_table_is_the_published_taxonomy),
                cmocka_unit_test(IICPD_02_56_first_rule_in_file_order_wins),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
