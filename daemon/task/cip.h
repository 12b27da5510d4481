/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TASK_CIP_H
#define IICPD_TASK_CIP_H

/* The duties of a worker in cooperative inference: the gates in front of a sub-task, and what its
 * answer carries beside the result. This node never coordinates. [02 section 12] */

#include <iicp/cip.h>
#include <iicp/json.h>

struct task;

#define CIP_CHECKS_MAX 100 /* a minute and source */
#define CIP_RECEIPT_S 300  /* a receipt is good for this long */
#define CIP_KNOWN_MAX 64   /* coordinators whose reputation is remembered */
#define CIP_KNOWN_MS 60000
#define CIP_ASKING_MAX 16 /* questions at once; more would make the directory our victim */

struct cip_known {
        char id[37 * 4];
        double score;
        uint64_t until_ms;
};

/* Step 9, in its order: role, inference, reputation, checks, worker slots. ASKING: the directory is
 * asked, task_resume goes on with the answer. */
enum cip_verdict { CIP_PASSED, CIP_REFUSED, CIP_ASKING };
enum cip_verdict cip_gates(struct task *t, struct iicp_refusal *refusal);
/* What comes behind the reputation: takes a worker slot and caps the time. */
bool cip_enter(struct task *t, struct iicp_refusal *refusal);
/* The caller does not wait any more. */
void cip_forget(struct task *t);
/* Gives the worker slot back. */
void cip_release(struct task *t);
/* ",\"trace\":{...}" of a sub-task's answer; nothing for other tasks. */
void cip_trace(const struct task *t, struct iicp_buf *out);
/* ",\"cip_receipt\":{...}" or null, over the result as it stands in the answer. */
void cip_receipt(const struct task *t, struct iicp_str result, int64_t tokens,
                 struct iicp_buf *out);

#endif
