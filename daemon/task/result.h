/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RESULT_H
#define IICPD_RESULT_H

/* A backend's result, normalised so that both official clients can read it. [02 section 6] */

#include <iicp/intents.h>

struct result_facts {
        int64_t tokens;            /* total, -1 = unknown; at most UINT32_MAX */
        int64_t prompt_tokens;     /* -1 = unknown */
        struct iicp_json model;    /* of the backend, or type NONE; borrows from the result */
        size_t usage_at, usage_n;  /* where the normalised usage stands in the output */
};

/* Appends the normalised result object. false: not the shape that the intent promises
 * (backend_invalid_response); what was appended is then of no use. */
bool result_normalise(enum iicp_intent_kind kind, struct iicp_str result, struct iicp_buf *out,
                      struct result_facts *ret);

#endif
