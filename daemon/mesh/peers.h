/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_PEERS_H
#define IICPD_PEERS_H

/* The peers that this node knows of: a bounded table, no sockets, no clock of its own. What stands in
 * it is a hint: never used for a task of ours, and for a relay only after the directory confirmed id
 * and endpoint. [04 section 15, 05 section 11]
 *
 * Times are clock_mono_ms, signed: what somebody was last seen at may lie before our start. */

#include <iicp/base.h>

#define PEERS_MAX 256               /* the one that was silent longest goes for a new one */
#define PEER_LIVE_MS 90000          /* since it was last seen */
#define PEER_ID_MAX 129             /* bytes with NUL, as the directory's */
#define PEER_ENDPOINT_MAX 256
#define PEER_RELAY_PORT 9485        /* of a relay that names none */

/* Who says so; a better source is never overridden by a worse one. */
enum peer_source_kind {
        PEER_FROM_FILE,             /* of an earlier run: somebody to ask, not live */
        PEER_FROM_GOSSIP,           /* another peer names it; knows whether it relays */
        PEER_FROM_DIRECTORY,        /* bootstrap, or its entry */
};

struct peer {
        char node_id[PEER_ID_MAX], endpoint[PEER_ENDPOINT_MAX], region[65];
        enum peer_source_kind source; /* of the endpoint */
        int64_t seen_ms;            /* own contact, or reported; INT64_MIN: a hint of an earlier run */
        double reputation;          /* the directory's, negative = unknown */
        bool relay_capable;
        uint16_t relay_port;
        double relay_load;          /* 0 to 1 */
        /* what we did with it */
        int64_t asked_ms;           /* our last exchange, INT64_MIN = never */
        int64_t skip_until_ms;      /* it does not gossip with us */
};

struct peers;

struct peers *peers_new(const char *own_id); /* copied */
struct peers *peers_free(struct peers *t);
/* The node has another identity now. */
void peers_set_own(struct peers *t, const char *own_id);

/* Takes one in, or what is newer or better of it. -EINVAL: our own id, no id, no endpoint; -ENOSPC: all that are
 * there were seen later. */
int peers_learn(struct peers *t, const struct peer *p, struct peer **ret);
/* NULL: unknown. Live or not: peer_is_live tells. Borrowed until the next peers_learn. */
struct peer *peers_find(const struct peers *t, struct iicp_str node_id);
/* Seen within 90 s. */
bool peer_is_live(const struct peer *p, int64_t now_ms);
unsigned peers_live(const struct peers *t, int64_t now_ms);
/* All of them, in no order; NULL behind the last. */
struct peer *peers_at(const struct peers *t, size_t i);
size_t peers_count(const struct peers *t);
/* Live relays, one after the other: *at starts with 0. NULL at the end. */
const struct peer *peers_next_relay(const struct peers *t, size_t *at, int64_t now_ms);
/* A random live one that was not asked for `rest_ms` and does not refuse us; where none is live, any that
 * is known. pick: a random number. NULL: nobody. */
struct peer *peers_target(const struct peers *t, int64_t now_ms, int64_t rest_ms, uint64_t pick);

#endif
