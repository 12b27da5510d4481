/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CIP_H
#define IICP_CIP_H

#include <iicp/envelope.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Cooperative inference, the side of a worker: what a task says about it. [02 section 12] */

#define IICP_CIP_SESSION_MAX 255 /* characters of cip_session_key */
#define IICP_CIP_REPLICAS_MAX 10

struct iicp_cip {
        bool sub_task;                /* sent to us as a worker */
        struct iicp_json session;     /* cip_session_key as it came, or NONE */
        char parent[37];              /* cip_parent_task_id, "" = none */
};

/* The field checks, which are made whether or not the node is a worker. false: *refusal is 422. */
IICP_API bool iicp_cip_check(const struct iicp_envelope *e, struct iicp_cip *ret, struct iicp_refusal *refusal);
/* "trace":{"cip_role":"worker",...} of a sub-task's answer. */
IICP_API void iicp_cip_trace(const struct iicp_cip *c, struct iicp_buf *out);

#ifdef __cplusplus
}
#endif
#endif
