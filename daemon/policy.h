/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_POLICY_H
#define IICPD_POLICY_H

/* What this node does and does not do, said once: registrations and health advertise it, admission
 * enforces it, and a configuration that contradicts it does not start. Built from the configuration;
 * models come from the backends and are passed in. [02 sections 9.2, 9.5, 10.7; 05 section 14] */

#include "config.h"

#include <iicp/directory.h>
#include <iicp/intents.h>
#include <iicp/policy.h>
#include <iicp/refusal.h>

#define POLICY_CUSTOM_MAX 64u             /* vendor intents */
#define POLICY_CAPABILITIES_MAX 128u      /* objects of one registration [01 section 2.2] */
#define POLICY_MODELS_MAX 64u             /* names of one object [01 section 2.3] */

struct policy;

/* -EINVAL and a sentence for the operator: an intent that is refused or has no mapping, a file that is
 * no list of capabilities. ret_key: the setting that is at fault. */
int policy_new(const struct config *c, struct policy **ret, const char **ret_key, char *why, size_t why_cap);
struct policy *policy_free(struct policy *p);

/* Step 6: tools and the risk taxonomy. Looks at the URN alone, never at a prompt. */
bool policy_allows(struct policy *p, struct iicp_str urn, struct iicp_refusal *refusal);
/* Step 7: the row behind an intent that is offered, NULL if it is not. */
const struct iicp_intent *policy_serves(const struct policy *p, const char *const *models, size_t n,
                                        struct iicp_str urn);
/* The model of a task that names none: the first that serves the intent, else the first. Borrowed. */
const char *policy_model_for(const struct policy *p, const char *const *models, size_t n, struct iicp_str urn);
/* False: a list of capabilities is configured and this model stands in none of them. */
bool policy_offers_model(const struct policy *p, struct iicp_str model);
/* The advertised token limit of an intent. */
int64_t policy_max_tokens(const struct policy *p, struct iicp_str urn);

/* What a registration says; json of an entry is borrowed from the policy. */
int policy_capabilities(const struct policy *p, const char *const *models, size_t n,
                        struct iicp_capabilities *ret);
/* Everything that may ever be offered by this configuration, once each. */
void policy_each_intent(const struct policy *p, void (*fn)(void *arg, const char *urn), void *arg);
/* The list is the operator's: no model that comes or goes changes it. */
bool policy_is_explicit(const struct policy *p);
/* The member `policy` of a registration, or NULL: static text. */
const char *policy_block(const struct policy *p);

#endif
