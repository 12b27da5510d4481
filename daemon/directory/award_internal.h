/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_AWARD_INTERNAL_H
#define IICPD_AWARD_INTERNAL_H

#include "award.h"
#include "internal.h"

#include <iicp/envelope.h>
#include <sys/queue.h>

/* One receipt. */
struct award {
        STAILQ_ENTRY(award) link;
        char task_id[IICP_TASK_ID_ECHO_MAX + 1];
        char querying[37];              /* "" = none */
        char hash[65], nonce[IICP_NONCE_TEXT];
        uint64_t tokens, parts;         /* parts: ten-thousandths of a credit */
        int64_t made_at;
        int64_t expires_at;             /* of the series that has begun; 0 = none has */
        unsigned tries;
};
STAILQ_HEAD(award_queue, award);

struct awards {
        struct node *node;
        struct award_queue queue;
        unsigned waiting, hashing;
        struct directory_call *call;    /* of the first in the queue */
        struct iicp_buf body;
        struct timer next, save;
        bool held;                      /* nothing is posted before the timer */
        bool stopped;                   /* the directory has no credits */
        bool dirty, saving, said_full;
        uint64_t posted, refused, dropped;
        char balance[32];               /* as the directory said last, "" = unknown */
};

/* ---- award_store.c ---- */
void award_load(struct awards *a);
/* The queue has changed: on the disk within a second. */
void award_changed(struct awards *a);
/* At the end of the process. */
void award_save_now(struct awards *a);

#endif
