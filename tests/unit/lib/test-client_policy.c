/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <stdio.h>

#define NODES_MAX 32

/* The vector's short form of a record. */
static void fill(struct json_object *n, struct iicp_record *r) {
        struct json_object *m = vector_find(n, "manifest"), *v;

        r->node_id = strdup(json_object_get_string(vector_get(n, "node_id")));
        r->region = strdup(json_object_get_string(vector_get(n, "region")));
        r->pub.has_key = json_object_get_boolean(vector_get(n, "key"));
        if (!m)
                return;
        r->has_manifest = true;
        v = vector_find(m, "verification");
        r->manifest_signed = v && iicp_str_is(vector_str(v, "status"), "signed_valid");
        v = vector_find(m, "retention");
        r->retention_none = v && iicp_str_is(vector_str(v, "task_payload"), "none");
        v = vector_find(m, "manifest_identity_level");
        if (v)
                snprintf(r->identity_level, sizeof(r->identity_level), "%s",
                         json_object_get_string(v));
}

static enum iicp_tristate tristate(struct json_object *p, const char *name) {
        struct json_object *v = vector_find(p, name);

        return !v ? IICP_DEFAULT : json_object_get_boolean(v) ? IICP_YES : IICP_NO;
}

static void read_policy(struct json_object *p, struct iicp_policy *ret, const char **regions) {
        struct json_object *v = vector_find(p, "profile");

        *ret = (struct iicp_policy){0};
        if (v)
                (void) iicp_profile_parse(json_object_get_string(v), &ret->profile);
        v = vector_find(p, "allowed_regions");
        if (v) {
                for (size_t i = 0; i < json_object_array_length(v); i++)
                        regions[i] = json_object_get_string(json_object_array_get_idx(v, i));
                ret->allowed_regions = regions;
        }
        ret->require_encryption = tristate(p, "require_encryption");
        ret->allow_remote_executor = tristate(p, "allow_remote_executor");
        ret->require_manifest = tristate(p, "require_policy_manifest");
        ret->require_no_retention = tristate(p, "require_no_payload_retention");
        ret->known_operator_only = tristate(p, "known_operator_only") == IICP_YES;
        v = vector_find(p, "required_manifest_identity_level");
        ret->identity_level = v ? json_object_get_string(v) : NULL;
}

/* A case may use some of the nodes only. */
static struct iicp_nodes subset(struct json_object *used, const struct iicp_nodes *all,
                                struct iicp_record *room) {
        struct iicp_nodes some = {.v = room};

        if (!used)
                return *all;
        for (size_t i = 0; i < all->n; i++)
                for (size_t j = 0; j < json_object_array_length(used); j++)
                        if (!strcmp(all->v[i].node_id,
                                    json_object_get_string(json_object_array_get_idx(used, j))))
                                room[some.n++] = all->v[i];
        return some;
}

static void check_case(struct json_object *c, const struct iicp_nodes *all) {
        struct json_object *eligible = vector_get(c, "eligible"),
                           *rejected = vector_get(c, "rejected");
        bool plain = json_object_get_boolean(vector_get(c, "allow_plaintext"));
        const char *regions[16] = {NULL},
                   *outcome = json_object_get_string(vector_get(c, "outcome"));
        struct iicp_policy policy;
        struct iicp_policy_resolved resolved;
        struct iicp_error e = {0};
        struct iicp_record room[NODES_MAX];
        struct iicp_nodes some = subset(vector_find(c, "nodes_used"), all, room), *list = &some;
        size_t got[NODES_MAX], n;
        bool ok;

        read_policy(vector_get(c, "policy"), &policy, regions);
        iicp_policy_resolve(&policy, &resolved);
        ok = iicp_policy_gate(&policy, plain, list, got, &n, &e);
        assert_int_equal(n, json_object_array_length(eligible));
        for (size_t i = 0; i < n; i++)
                assert_string_equal(list->v[got[i]].node_id,
                                    json_object_get_string(json_object_array_get_idx(eligible, i)));
        for (size_t i = 0; i < list->n; i++) {
                struct json_object *why = vector_find(rejected, list->v[i].node_id);
                const char *reason =
                        iicp_reject_name(iicp_policy_judge(&resolved, plain, &list->v[i]));

                assert_string_equal(reason, why ? json_object_get_string(why) : "");
        }
        assert_string_equal(ok ? "dispatch" : e.code, outcome);
        if (!ok)
                assert_int_equal(e.retryable, !strcmp(e.code, "IICP-CX-REQUIRED"));
}

static void IICPD_06_18_gate_with_profiles_and_reasons(void **state) {
        struct json_object *all = vector_ours("consumer/routing-policy.json"),
                           *nodes = vector_get(all, "nodes");
        struct iicp_record records[NODES_MAX] = {0};
        struct iicp_nodes list = {.v = records, .n = json_object_array_length(nodes)};

        (void) state;
        assert_true(list.n <= NODES_MAX);
        for (size_t i = 0; i < list.n; i++)
                fill(json_object_array_get_idx(nodes, i), &records[i]);
        vector_each(vector_get(all, "cases"), c) check_case(c, &list);
        for (size_t i = 0; i < list.n; i++)
                iicp_record_done(&records[i]);
        json_object_put(all);
}

static void IICPD_06_19_profile_names(void **state) {
        enum iicp_profile p;

        (void) state;
        assert_true(iicp_profile_parse("strict-policy", &p) && p == IICP_PROFILE_STRICT_POLICY);
        assert_true(iicp_profile_parse("EU_Restricted", &p) && p == IICP_PROFILE_EU_RESTRICTED);
        assert_false(iicp_profile_parse("strict_polcy", &p));
        assert_false(iicp_profile_parse("", &p));
}

static void IICPD_06_26_keyless_nodes_are_refused(void **state) {
        struct iicp_record keyless = {.region = (char *) "eu"};
        struct iicp_nodes list = {.v = &keyless, .n = 1};
        struct iicp_policy policy = {0};
        struct iicp_error e;
        size_t got[1], n;

        (void) state;
        assert_false(iicp_policy_gate(&policy, false, &list, got, &n, &e));
        assert_string_equal(e.code, "IICP-CX-REQUIRED");
        assert_false(e.sent);
        assert_true(iicp_policy_gate(&policy, true, &list, got, &n, &e));
        policy.profile = IICP_PROFILE_DEBUG_OVERRIDE;
        assert_true(iicp_policy_gate(&policy, false, &list, got, &n, &e));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_18_gate_with_profiles_and_reasons),
                cmocka_unit_test(IICPD_06_19_profile_names),
                cmocka_unit_test(IICPD_06_26_keyless_nodes_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
