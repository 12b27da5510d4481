/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_TICKETS_H
#define IICPD_RELAY_TICKETS_H

/* Bind tickets at the operator: the mode, the key, and the store of ids that were used, which is one for
 * all transports and survives a restart. [03 section 18] */

#include <iicp/bind_ticket.h>

#define RELAY_TICKETS_FILE "relay-tickets"
#define RELAY_TICKETS_MAX 65536u       /* live ids; then no bind with a ticket is taken */

struct node;
struct relay_tickets;

enum relay_ticket_verdict {
        RELAY_TICKET_ABSENT_OK,        /* none was sent, or it is not looked at, or cannot be */
        RELAY_TICKET_OK,               /* to be used with relay_tickets_use */
        RELAY_TICKET_IS_REQUIRED,
        RELAY_TICKET_IS_INVALID,
};

/* Reads the store; a damaged one is moved aside. */
int relay_tickets_new(struct node *node, struct relay_tickets **ret);
struct relay_tickets *relay_tickets_free(struct relay_tickets *t);

enum relay_ticket_verdict relay_tickets_check(struct relay_tickets *t, struct iicp_str ticket, struct iicp_str worker_id,
                                              struct iicp_bind_ticket *ret);
/* Marks the id as used, until its end. -EALREADY: it was; -ENOSPC: the store is full; -ENOMEM. */
int relay_tickets_use(struct relay_tickets *t, const struct iicp_bind_ticket *ticket);
/* Forgets what has ended. */
void relay_tickets_expire(struct relay_tickets *t);
unsigned relay_tickets_live(const struct relay_tickets *t);
bool relay_tickets_key_known(const struct relay_tickets *t);

#endif
