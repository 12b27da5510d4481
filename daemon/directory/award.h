/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_AWARD_H
#define IICPD_AWARD_H

/* Receipts for finished tasks: made after the answer, kept in a bounded queue that survives restarts,
 * posted one by one. They never delay or fail a task, and no result stays in memory or reaches the
 * disk: only its hash. [01 section 5.8; 02 section 12.3] */

#include <iicp/json.h>
#include <iicp/receipt.h>

#define AWARDS_MAX 256             /* waiting, those being hashed included */
#define AWARD_TRIES_MAX 3          /* with one nonce */
#define AWARD_EXPIRES_S 300        /* of one series of tries */
#define AWARD_AGAIN_MS 100000u     /* between them */
#define AWARD_HOLD_MS 60000u       /* while nothing gets through */
#define AWARD_AGE_MAX_S 86400      /* older ones are of no interest to anybody */
#define AWARD_SAVE_MS 1000u        /* between writes of the queue */
#define AWARD_FILE "awards.json"

struct node;
struct awards;
struct award_claim; /* of one task that runs */

struct awards *awards_new(struct node *node);
struct awards *awards_free(struct awards *a);
void awards_start(struct awards *a);
/* A registration was accepted: what waits is posted. a may be NULL. */
void awards_registered(struct awards *a);
/* The credentials are gone, or another directory's. */
void awards_forget(struct awards *a);

struct award_task {
        struct iicp_str task_id, source_node_id;
        struct iicp_str result;    /* as sent, JSON */
        int64_t tokens;
        double max_credits;        /* < 0 = not given */
        bool sub_task;             /* settled by its coordinator */
};
/* Before the answer: takes a copy of the result. NULL: no receipt is due (or no room for it). */
struct award_claim *award_claim(struct awards *a, const struct award_task *task);
struct award_claim *award_claim_free(struct award_claim *c); /* wipes */
/* The answer is on its way: hashes the result on the helper thread and queues the receipt. */
void award_earned(struct award_claim *c);

/* {"waiting","posted","refused","dropped","stopped","balance"} */
void awards_json(const struct awards *a, struct iicp_buf *out);

#endif
