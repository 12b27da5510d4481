/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_SEEN_H
#define IICPD_SEEN_H

/* What was seen lately: nonces and task ids. Entries are digests of 16 bytes, so that a peer cannot
 * choose what an entry costs; the oldest goes when the table is full or its time is over. In memory
 * only. [02 section 5.3] */

#include <iicp/base.h>

#define SEEN_TTL_MS 300000
#define SEEN_ENTRIES_MAX 65536 /* about 8 MiB when full */

struct seen;

struct seen *seen_new(void);
struct seen *seen_free(struct seen *s);
bool seen_has(struct seen *s, struct iicp_str text, uint64_t now_ms);
/* -EEXIST: seen already; -ENOMEM. */
int seen_add(struct seen *s, struct iicp_str text, uint64_t now_ms);
void seen_remove(struct seen *s, struct iicp_str text);
unsigned seen_count(const struct seen *s);

#endif
