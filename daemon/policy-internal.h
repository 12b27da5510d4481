/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_POLICY_INTERNAL_H
#define IICPD_POLICY_INTERNAL_H

/* policy.c decides, policy_read.c makes it from the configuration. */

#include "policy.h"

#include <iicp/urn.h>

/* A vendor intent, served as a row of 02 section 9.3. */
struct custom {
        char *urn;
        const struct iicp_intent *intent;
};

/* An object of the operator's own list. */
struct listed {
        char *urn, *json;
        const struct iicp_intent *intent;
        char **models;
        size_t n_models;
        int64_t max_tokens; /* 0 = not said */
};

struct policy {
        char *urn;                       /* intents.default */
        const struct iicp_intent *row;   /* its row */
        bool extended, allow_high_risk, cip_worker;
        int64_t max_tokens;
        struct custom custom[POLICY_CUSTOM_MAX];
        size_t n_custom;
        struct listed listed[POLICY_CAPABILITIES_MAX];
        size_t n_listed;
        struct {                         /* the intent that came last */
                char urn[IICP_URN_MAX];
                size_t n;
                enum iicp_risk risk;
                const char *rule;
        } judged;
};

/* The row that an intent has by configuration; NULL: none. */
const struct iicp_intent *policy_row(const struct policy *p, struct iicp_str urn);

#endif
