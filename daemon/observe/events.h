/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_EVENTS_H
#define IICPD_EVENTS_H

/* events.jsonl: the canonical events of a node's life, one JSON object a line, for programs that
 * read the SDK nodes' file too; never tasks. Appended on the helper thread, rotated at 10 MiB, three
 * generations kept. It listens to the log, so an event is named in one place only.
 * [02 section 13.3] */

#include <iicp/buf.h>

#define EVENTS_NAME "events.jsonl"
#define EVENTS_ROTATE ((long) 10 * 1024 * 1024) /* bytes */
#define EVENTS_GENERATIONS 3                    /* events.jsonl.1 is the youngest */
#define EVENTS_WAITING_MAX 256                  /* lines not yet written; more are dropped */

struct node;
struct events;

/* log.events_dir is set. -errno, and a text for the operator in why. */
int events_new(struct node *node, struct events **ret, char *why, size_t why_cap);
struct events *events_free(struct events *e);

bool events_canonical(const char *event);
/* One line, with its line feed. */
void events_print(int64_t wall_s, const char *event, const char *node_id, const char *message,
                  const char *reason, const char *code, struct iicp_buf *out);
/* Appends to EVENTS_NAME below dir_fd, which is rotated first when it would grow above the limit.
 * Blocks. */
int events_append(int dir_fd, struct iicp_str lines, long limit);

#endif
