/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_PEER_H
#define IICPD_PEER_H

/* Addresses of callers: sources that are counted together, trusted proxies, and the caller that a
 * trusted proxy names. Pure. [02 section 1; 05 section 13.6] */

#include <iicp/base.h>
#include <stdint.h>
#include <sys/socket.h>

/* What counts as one source: an IPv4 address (also a mapped one) or an IPv6 /64. */
struct peer_source {
        uint8_t family; /* 4, 6; 0 = something else */
        uint8_t bytes[8];
};
void peer_source_of(const struct sockaddr *addr, struct peer_source *ret);

/* Numeric address, port 0. "1.2.3.4", "1.2.3.4:80", "::1", "[::1]", "[::1]:80"; -EINVAL. */
int peer_parse(struct iicp_str text, struct sockaddr_storage *ret);

/* Is the address in one of the networks ("10.0.0.0/8", "::1", NULL-terminated, may be NULL)? */
bool peer_in_networks(const struct sockaddr *addr, char *const *networks);

/* The rightmost hop of X-Forwarded-For that is no trusted proxy; *peer is the direct caller and is
 * replaced only if it is trusted itself. An unreadable hop ends the walk. */
void peer_behind_proxies(struct iicp_str forwarded_for, char *const *trusted, struct sockaddr_storage *peer);

#endif
