/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_POLICY_H
#define IICP_POLICY_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Intent risk taxonomy "2026-07-09", compiled in: lower-case the URN, first fragment in order
 * wins. Never looks at prompts. [06 section 4.2; 02 section 9.2] */
enum iicp_risk {
        IICP_RISK_NONE = 0,
        IICP_RISK_PROHIBITED,
        IICP_RISK_HIGH,
        IICP_RISK_TRANSPARENCY,
};

/* ret_rule (may be NULL) becomes the id of the matching rule, static storage, or NULL. */
IICP_API enum iicp_risk iicp_risk_of(struct iicp_str urn, const char **ret_rule);
/* "prohibited", "high_risk", "transparency_risk", "" */
IICP_API const char *iicp_risk_name(enum iicp_risk risk);
#define IICP_RISK_TAXONOMY_VERSION "2026-07-09"

#ifdef __cplusplus
}
#endif
#endif
