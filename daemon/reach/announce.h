/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_ANNOUNCE_H
#define IICPD_ANNOUNCE_H

/* Hears what gateways announce by multicast on UDP 5350: NAT-PMP a new address, PCP a restart. Who
 * may be believed is the caller's to judge, by the sender. [04 sections 5.2, 5.3] */

#include "../loop.h"
#include "pcp.h"

struct announce;

/* from: the sender's address, without a zone; port 5351 was checked. NULL: no memory. */
struct announce *announce_new(struct loop *l, void (*heard)(void *arg, const struct pcp_announcement *a, const char *from),
                              void *arg);
struct announce *announce_free(struct announce *a);
/* From now on, on this interface; "" ends it. A machine where that fails hears nothing: renewals
 * notice a restart, too, only later. */
void announce_listen(struct announce *a, const char *interface);

#endif
