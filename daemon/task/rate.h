/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RATE_H
#define IICPD_RATE_H

/* Fixed windows of 60 s per key: web origins, source addresses, authentication failures.
 * [02 section 5.4; 05 section 15] */

#include <iicp/base.h>
#include <sys/socket.h>

#define RATE_WINDOW_MS 60000
#define RATE_KEYS_MAX 4096 /* the window that began first goes when the table is full */
#define RATE_KEY_MAX 255   /* bytes of a key that count */

struct rate;

struct rate *rate_new(void);
struct rate *rate_free(struct rate *r);
/* Counts one and says whether it is within `limit` (0 = no limit, nothing is counted). */
bool rate_take(struct rate *r, struct iicp_str key, unsigned limit, uint64_t now_ms);
/* True if the window of the key holds more than `limit`. */
bool rate_over(struct rate *r, struct iicp_str key, unsigned limit, uint64_t now_ms);
unsigned rate_count(const struct rate *r);

/* What counts as one source: an IPv4 address (mapped ones too) or an IPv6 /64. Absent for loopback
 * and other families: those are exempt. */
struct iicp_str rate_source(const struct sockaddr *peer, char out[16]);

#endif
