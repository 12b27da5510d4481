/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BATCH_H
#define IICPD_BATCH_H

/* Outcomes of tasks on their way to the directory. At most one batch is out; it is repeated as it
 * is until it is acknowledged, and what is counted meanwhile waits aside. Pure: the file is written
 * by batch_store.c. [01 section 3.3, DECISION 12] */

#include "../task/task.h"

#include <iicp/buf.h>
#include <iicp/uuid.h>

#define BATCH_SUCCESS_MAX 300u    /* a directory credits no more at a time */
#define BATCH_FAILED_MAX 1000u    /* and takes no more */
#define BATCH_WAITING_MAX (UINT64_C(1) << 53) /* what a JSON number holds exactly */

struct batch {
        char id[37];              /* "" = none is out */
        unsigned success, failed;
        uint64_t latency_centims; /* mean, hundredths of a millisecond; 0 = none */
        struct task_counts waiting;
        struct task_counts seen;  /* of the corridor, taken over already */
        char durable_id[37];      /* the batch that is on the disk: only that one may be sent */
        bool dirty;               /* the file is older than this */
        uint64_t acknowledged;    /* batches, for status */
        bool kept_on_other_id;    /* said so for this batch */
};

/* Takes over what the corridor has counted since the last time, and makes a batch of it if none is
 * out. 0, or -errno of the random source: nothing is lost then. */
int batch_collect(struct batch *b, const struct task_counts *now);
/* The "metrics" object of a heartbeat. */
void batch_metrics_json(const struct batch *b, struct iicp_buf *out);

/* The 200 answer to a beat that carried `sent` ("" = no batch). True: the batch is done with. */
bool batch_acknowledge(struct batch *b, const char *sent, const char *accepted /* NULL = no id */);
/* Another directory, or gone from it: these counts are nobody's any more. */
void batch_forget(struct batch *b);

void batch_write(const struct batch *b, struct iicp_buf *out);
/* -EINVAL: not what batch_write writes. */
int batch_read(struct iicp_str bytes, struct batch *ret);

#endif
