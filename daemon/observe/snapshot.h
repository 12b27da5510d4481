/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_SNAPSHOT_H
#define IICPD_SNAPSHOT_H

/* The runtime health snapshot: health-v1.json below the runtime directory, for probes that must
 * work without the control socket. Written every 5 s on the helper thread by temp file, fsync,
 * rename; 0600 in a 0700 directory; removed at an orderly end. [02 section 13.1] */

#include "health.h"

#include <iicp/buf.h>

#define SNAPSHOT_NAME "health-v1.json"
#define SNAPSHOT_SUBDIR "health"    /* where the runtime directory is open to a group */
#define SNAPSHOT_EVERY_MS 5000
#define SNAPSHOT_STALE_S 30         /* readers take an older file for a dead process */

struct node;
struct snapshot;

/* -errno when the directory cannot be made; why gets a text for the operator. */
int snapshot_new(struct node *node, struct snapshot **ret, char *why, size_t why_cap);
struct snapshot *snapshot_free(struct snapshot *s);
/* The phase has changed: do not wait for the next turn. */
void snapshot_now(struct snapshot *s);

/* The document alone, from facts: for tests and the control socket. */
struct snapshot_counts {
        char process_epoch[37];
        long pid;
        uint64_t sequence, runtime_sequence, supervisor_sequence;
        int64_t wall_s;
};
void snapshot_print(const struct health_facts *f, const struct snapshot_counts *c, struct iicp_buf *out);

#endif
