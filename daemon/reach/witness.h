/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_WITNESS_H
#define IICPD_WITNESS_H

/* Remembers when somebody else last connected to the task port: only that, and never who. It is what
 * makes a positive answer of a probe mean us: behind a provider's NAT the public address may belong
 * to another customer's node, which answers just as well. [04 section 8] */

#include "facts.h"

#include <sys/socket.h>

#define WITNESS_OWN_MAX 64

struct witness {
        struct in6_addr own[WITNESS_OWN_MAX]; /* ours, IPv4 as mapped; loopback is ours anyway */
        size_t n_own;
        uint64_t foreign_ms;                  /* clock_mono_ms, 0 = never */
};

void witness_own(struct witness *w, const struct reach_facts *f);
void witness_note(struct witness *w, const struct sockaddr *peer, uint64_t now_ms);
/* Did somebody come since then? */
bool witness_since(const struct witness *w, uint64_t since_ms);

#endif
