/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const models[] = {"llama3.1:8b", "nomic-embed-text"};
#define N_MODELS 2

static struct config basic(void) {
        return (struct config){.intent_default = (char *) IICP_URN_CHAT, .max_tokens = 8192};
}

static struct policy *made(const struct config *c) {
        struct policy *p = NULL;
        const char *key = NULL;
        char why[320] = "";

        if (policy_new(c, &p, &key, why, sizeof(why)) < 0)
                fail_msg("%s: %s", key ? key : "-", why);
        return p;
}

static void refused(const struct config *c, const char *wanted_key, const char *wanted) {
        struct policy *p = NULL;
        const char *key = NULL;
        char why[320] = "";

        assert_true(policy_new(c, &p, &key, why, sizeof(why)) < 0);
        assert_null(p);
        assert_string_equal(key, wanted_key);
        if (!strstr(why, wanted))
                fail_msg("'%s' without '%s'", why, wanted);
}

/* What is advertised is let in and served, all of it. */
static void all_served(struct policy *p, size_t least) {
        struct iicp_capabilities caps = {0};
        struct iicp_refusal refusal;

        assert_int_equal(policy_capabilities(p, models, N_MODELS, &caps), 0);
        assert_true(caps.n >= least);
        for (size_t i = 0; i < caps.n; i++) {
                struct iicp_str urn = iicp_str(caps.v[i].intent);

                assert_true(policy_allows(p, urn, &refusal));
                assert_non_null(policy_serves(p, models, N_MODELS, urn));
                assert_non_null(policy_model_for(p, models, N_MODELS, urn));
        }
        iicp_capabilities_free(&caps);
}

/* And what is served is advertised. */
static bool advertised(struct policy *p, struct iicp_str urn) {
        struct iicp_capabilities caps = {0};
        bool found = false;

        assert_int_equal(policy_capabilities(p, models, N_MODELS, &caps), 0);
        for (size_t i = 0; i < caps.n; i++)
                found |= iicp_str_is(urn, caps.v[i].intent);
        iicp_capabilities_free(&caps);
        return found;
}

static void IICPD_05_43_advertised_and_served_are_the_same(void **state) {
        static const char vendor[] = "urn:iicp:intent:x.acme:talk:v1";
        char *custom[] = {(char *) "urn:iicp:intent:x.acme:talk:v1=" IICP_URN_CHAT, NULL};
        struct config c = basic();
        struct policy *p = made(&c);

        (void) state;
        all_served(p, 2);
        policy_free(p);
        c.intents_custom = custom;
        c.intents_extended = true;
        p = made(&c);
        all_served(p, 4);
        assert_true(advertised(p, iicp_str(vendor)));
        for (size_t i = 0; iicp_intent_at(i); i++) {
                struct iicp_str urn = iicp_str(iicp_intent_at(i)->urn);

                assert_int_equal(policy_serves(p, models, N_MODELS, urn) != NULL, advertised(p, urn));
        }
        policy_free(p);
}

static void CIP_A1_GATE_01_IICPD_05_43_risk_and_tool_cases(void **state) {
        struct json_object *all = vector_ours("security/intent-risk-cases-v1.json");
        struct config c = basic();
        struct policy *p = made(&c);

        (void) state;
        c.allow_high_risk = true;
        for (int high = 0; high <= 1; high++) {
                vector_each(vector_get(all, "cases"), one) {
                        struct iicp_str urn = vector_str(one, "intent"), category = vector_str(one, "category");
                        bool tool = json_object_get_boolean(vector_get(one, "tool_domain"));
                        struct iicp_refusal refusal = {.id = IICP_REFUSE_NONE};
                        bool ok = policy_allows(p, urn, &refusal);

                        if (tool)
                                assert_int_equal(refusal.id, IICP_REFUSE_TOOL_EXECUTION);
                        else if (iicp_str_is(category, "prohibited") || (!high && iicp_str_is(category, "high_risk"))) {
                                assert_int_equal(refusal.id, IICP_REFUSE_POLICY);
                                assert_true(iicp_str_is(category, refusal.category));
                        } else
                                assert_true(ok);
                }
                policy_free(p);
                p = made(&c);
        }
        policy_free(p);
        json_object_put(all);
}

/* No tool of any class is served: there is nothing to classify. */
static void IICPD_05_43_no_tool_is_offered_whatever_its_class(void **state) {
        struct json_object *all = vector_ours("security/mcp-tool-risk-cases-v1.json");
        struct config c = basic();
        struct policy *p = made(&c);
        size_t seen = 0;

        (void) state;
        c.intents_extended = true;
        vector_each(vector_get(all, "cases"), one) {
                char urn[256];
                struct iicp_refusal refusal;

                seen++;
                snprintf(urn, sizeof(urn), "urn:iicp:intent:mcp:%s:v1", vector_str(one, "tool_name").p);
                assert_false(policy_allows(p, iicp_str(urn), &refusal));
                assert_int_equal(refusal.id, IICP_REFUSE_TOOL_EXECUTION);
                assert_null(policy_serves(p, models, N_MODELS, iicp_str(urn)));
        }
        assert_true(seen > 0);
        policy_free(p);
        json_object_put(all);
}

static void IICPD_05_42_policy_block_needs_both_switches(void **state) {
        struct config c = basic();

        (void) state;
        for (int i = 0; i < 4; i++) {
                struct policy *p;

                c.cip_enabled = i & 1;
                c.cip_worker = i & 2;
                p = made(&c);
                if (i < 3)
                        assert_null(policy_block(p));
                else
                        assert_string_equal(policy_block(p), "{\"allow_remote_inference\":true,\"allow_tool_execution\":false,"
                                                             "\"allow_file_access\":false}");
                policy_free(p);
        }
}

static void IICPD_02_56_refused_intents_do_not_start(void **state) {
        char *tool[] = {(char *) "urn:iicp:intent:tool:shell:v1=" IICP_URN_CHAT, NULL};
        char *known[] = {(char *) IICP_URN_EMBEDDING "=" IICP_URN_CHAT, NULL};
        char *broken[] = {(char *) "nothing", NULL};
        char *target[] = {(char *) "urn:iicp:intent:x.a:b:v1=urn:iicp:intent:translate:v1", NULL};
        struct config c = basic();

        (void) state;
        c.intent_default = (char *) "urn:iicp:intent:x.a:csam:v1";
        refused(&c, "intents.default", "prohibited");
        c.intent_default = (char *) "urn:iicp:intent:x.a:b:v1";
        refused(&c, "intents.default", "no mapping");
        c.intent_default = (char *) "urn:iicp:intent:translate:v1";
        refused(&c, "intents.default", "no mapping");
        c = basic();
        c.intents_custom = tool;
        refused(&c, "intents.custom", "executes no tools");
        c.intents_custom = known;
        refused(&c, "intents.custom", "meaning of its own");
        c.intents_custom = broken;
        refused(&c, "intents.custom", "URN=URN");
        c.intents_custom = target;
        refused(&c, "intents.custom", "none of the intents");
        c = basic();
        c.intents_capabilities = (char *) "/nowhere/at/all";
        refused(&c, "intents.capabilities", "cannot read");
}

static void IICPD_02_61_limits_and_models_of_an_own_list(void **state) {
        static const char text[] = "[{\"intent\":\"" IICP_URN_CHAT "\",\"models\":[\"a:1\",\"b\"],\"max_tokens\":100},"
                                   "{\"intent\":\"" IICP_URN_COMPLETION "\"}]";
        char path[] = "/tmp/iicp-capabilities-XXXXXX";
        struct config c = basic();
        int fd = mkstemp(path);
        struct policy *p;

        (void) state;
        assert_true(fd >= 0 && write(fd, text, sizeof(text) - 1) > 0);
        close(fd);
        c.intents_capabilities = path;
        p = made(&c);
        unlink(path);
        assert_true(policy_is_explicit(p));
        assert_true(policy_offers_model(p, IICP_STR("a")));
        assert_true(policy_offers_model(p, IICP_STR("b:latest")));
        assert_false(policy_offers_model(p, IICP_STR("llama3.1:8b")));
        assert_int_equal(policy_max_tokens(p, IICP_STR(IICP_URN_CHAT)), 100);
        assert_int_equal(policy_max_tokens(p, IICP_STR(IICP_URN_COMPLETION)), 8192);
        assert_string_equal(policy_model_for(p, models, N_MODELS, IICP_STR(IICP_URN_CHAT)), "a:1");
        assert_null(policy_serves(p, models, N_MODELS, IICP_STR(IICP_URN_EMBEDDING)));
        all_served(p, 2);
        policy_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_43_advertised_and_served_are_the_same),
                cmocka_unit_test(CIP_A1_GATE_01_IICPD_05_43_risk_and_tool_cases),
                cmocka_unit_test(IICPD_05_43_no_tool_is_offered_whatever_its_class),
                cmocka_unit_test(IICPD_05_42_policy_block_needs_both_switches),
                cmocka_unit_test(IICPD_02_56_refused_intents_do_not_start),
                cmocka_unit_test(IICPD_02_61_limits_and_models_of_an_own_list),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
