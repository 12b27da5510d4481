/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_ROTATION_H
#define IICPD_ROTATION_H

/* The life of the encryption key: a new one before the old one is too old, published by the next
 * registration; the old one opens tasks for a day more and is wiped. [05 section 3.4] */

#include <iicp/buf.h>

struct node;
struct rotation;

struct rotation *rotation_new(struct node *node);
struct rotation *rotation_free(struct rotation *r);
/* Looks at once, and from then on when something is due. */
void rotation_start(struct rotation *r);
/* encryption.rotate may be another one now. */
void rotation_reload(struct rotation *r);
/* Begins a rotation now. -EALREADY: one is under way (the directory is asked again); -EIO. */
int rotation_now(struct rotation *r);
/* The current key is past its end and the directory has taken no other. */
bool rotation_overdue(const struct rotation *r);
/* The directory took the pending key: said in the log. */
void rotation_accepted(struct node *node);
void rotation_gauges(const struct node *node, struct iicp_buf *out);
void rotation_json(const struct rotation *r, struct iicp_buf *out);

#endif
