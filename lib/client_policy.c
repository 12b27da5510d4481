/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <stdio.h>
#include <strings.h>

/* The routing policy gate: after discovery, before the payload is touched. [06 section 7] */

static const char *const profile_names[] = {
        [IICP_PROFILE_STANDARD] = "standard",
        [IICP_PROFILE_SENSITIVE] = "sensitive",
        [IICP_PROFILE_EU_RESTRICTED] = "eu_restricted",
        [IICP_PROFILE_STRICT_POLICY] = "strict_policy",
        [IICP_PROFILE_DEBUG_OVERRIDE] = "debug_override",
};

bool iicp_profile_parse(const char *name, enum iicp_profile *ret) {
        char text[32];
        size_t n = strlen(name);

        if (n >= sizeof(text))
                return false;
        for (size_t i = 0; i <= n; i++)
                text[i] = name[i] == '-' ? '_' : name[i];
        for (size_t i = 0; i < ARRAY_SIZE(profile_names); i++)
                if (!strcasecmp(text, profile_names[i])) {
                        *ret = (enum iicp_profile) i;
                        return true;
                }
        return false;
}

const char *iicp_profile_name(enum iicp_profile profile) {
        return profile_names[profile];
}

const char *iicp_reject_name(enum iicp_reject reason) {
        static const char *const names[IICP_REJECT_MAX_] = {
                [IICP_REJECT_NONE] = "",
                [IICP_REJECT_REMOTE_EXECUTOR] = "remote_executor_disabled",
                [IICP_REJECT_REGION] = "region_not_allowed",
                [IICP_REJECT_NO_KEY] = "missing_encryption_key",
                [IICP_REJECT_NO_MANIFEST] = "missing_policy_manifest",
                [IICP_REJECT_MANIFEST_UNSIGNED] = "policy_manifest_not_signed",
                [IICP_REJECT_RETENTION] = "payload_retention_not_none",
                [IICP_REJECT_NO_IDENTITY] = "missing_manifest_identity",
                [IICP_REJECT_REVOKED] = "policy_manifest_revoked_or_rotated",
                [IICP_REJECT_IDENTITY_LOW] = "manifest_identity_level_too_low",
        };
        return names[reason];
}

static int identity_rank(const char *level) {
        static const char *const ranks[] = {"self_attested", "signed_valid", "operator_bound",
                                            "known_operator"};

        for (size_t i = 0; i < ARRAY_SIZE(ranks); i++)
                if (!strcasecmp(level, ranks[i]))
                        return (int) i;
        return -1;
}

static bool choose(enum iicp_tristate set, bool of_profile) {
        return set == IICP_DEFAULT ? of_profile : set == IICP_YES;
}

void iicp_policy_resolve(const struct iicp_policy *p, struct iicp_policy_resolved *ret) {
        static const char *const europe[] = {"eu", "eea", NULL};
        bool strict = p->profile == IICP_PROFILE_STRICT_POLICY;

        *ret = (struct iicp_policy_resolved){
                .require_encryption =
                        choose(p->require_encryption, p->profile != IICP_PROFILE_DEBUG_OVERRIDE),
                .allow_remote_executor =
                        choose(p->allow_remote_executor, p->profile != IICP_PROFILE_SENSITIVE),
                .require_manifest = choose(p->require_manifest, strict),
                .require_no_retention = choose(p->require_no_retention, strict),
                .require_signed = strict,
                .regions = p->allowed_regions                         ? p->allowed_regions
                           : p->profile == IICP_PROFILE_EU_RESTRICTED ? europe
                                                                      : NULL,
                .identity_rank = -1,
        };
        if (p->identity_level && p->identity_level[0]) {
                ret->identity_rank = identity_rank(p->identity_level);
                if (ret->identity_rank < 0)
                        ret->identity_rank = 3;
        }
        if (p->known_operator_only)
                ret->identity_rank = 3;
}

static bool region_matches(const char *region, const char *entry) {
        size_t n = strlen(entry);

        if (!strcasecmp(region, entry) || (!strncasecmp(region, entry, n) && region[n] == '-'))
                return true;
        return !strcasecmp(entry, "eea") && !strncasecmp(region, "eu-", 3);
}

static bool region_allowed(const char *const *regions, const char *region) {
        if (!regions || !regions[0])
                return true;
        for (; *regions; regions++)
                if (region_matches(region, *regions))
                        return true;
        return false;
}

static enum iicp_reject judge_identity(int needed, const struct iicp_record *node) {
        if (needed < 0)
                return IICP_REJECT_NONE;
        if (!node->has_manifest || !node->identity_level[0])
                return IICP_REJECT_NO_IDENTITY;
        if (!strcasecmp(node->identity_level, "revoked") ||
            !strcasecmp(node->identity_level, "rotated"))
                return IICP_REJECT_REVOKED;
        return identity_rank(node->identity_level) < needed ? IICP_REJECT_IDENTITY_LOW
                                                            : IICP_REJECT_NONE;
}

enum iicp_reject iicp_policy_judge(const struct iicp_policy_resolved *p, bool allow_plaintext,
                                   const struct iicp_record *node) {
        if (!p->allow_remote_executor)
                return IICP_REJECT_REMOTE_EXECUTOR;
        if (!region_allowed(p->regions, node->region ? node->region : ""))
                return IICP_REJECT_REGION;
        if (p->require_encryption && !node->pub.has_key && !allow_plaintext)
                return IICP_REJECT_NO_KEY;
        if (p->require_manifest && !node->has_manifest)
                return IICP_REJECT_NO_MANIFEST;
        if (p->require_signed && !node->manifest_signed)
                return IICP_REJECT_MANIFEST_UNSIGNED;
        if (p->require_no_retention && !node->retention_none)
                return IICP_REJECT_RETENTION;
        return judge_identity(p->identity_rank, node);
}

static void explain(const unsigned *counts, size_t total, enum iicp_profile profile,
                    struct iicp_error *error) {
        char text[400];
        size_t n = 0;

        if (counts[IICP_REJECT_NO_KEY] == total) {
                iicp_error_set(error, "IICP-CX-REQUIRED", "sdk", true,
                               "none of %zu nodes has an encryption key, and clear prompts are not "
                               "allowed",
                               total);
                return;
        }
        for (int i = 1; i < IICP_REJECT_MAX_ && n < sizeof(text); i++)
                if (counts[i])
                        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%u %s", n ? ", " : "",
                                               counts[i], iicp_reject_name((enum iicp_reject) i));
        iicp_error_set(error, "IICP-POLICY-ROUTING", "sdk", false,
                       "refused by the %s profile: %s. Nothing was sent.",
                       iicp_profile_name(profile), text);
}

bool iicp_policy_gate(const struct iicp_policy *p, bool allow_plaintext,
                      const struct iicp_nodes *list, size_t *out, size_t *ret_n,
                      struct iicp_error *error) {
        struct iicp_policy_resolved policy;
        unsigned counts[IICP_REJECT_MAX_] = {0};
        size_t n = 0;

        iicp_policy_resolve(p, &policy);
        for (size_t i = 0; i < list->n; i++) {
                enum iicp_reject r = iicp_policy_judge(&policy, allow_plaintext, &list->v[i]);

                counts[r]++;
                if (r == IICP_REJECT_NONE)
                        out[n++] = i;
        }
        *ret_n = n;
        if (n > 0)
                return true;
        explain(counts, list->n, p->profile, error);
        error->candidates = 0;
        return false;
}
