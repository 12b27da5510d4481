/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_WORKER_H
#define IICPD_WORKER_H

/* The relay worker: a node that nobody can dial holds a session to a relay and is reached through it.
 * Chooses the relay (or takes the operator's), binds, proves that it is reached, works, and comes back
 * after a loss. Everything on the loop. What it knows of the route it tells the room reach.
 * [03 sections 12 to 14, 18, 19; 04 section 11] */

#include <iicp/buf.h>
#include <iicp/elect.h>

struct node;
struct relay_worker;

enum worker_state {
        WORKER_IDLE,            /* no relay is wanted, or there is none */
        WORKER_CHOOSING,        /* the directory is asked for relays */
        WORKER_TICKET,          /* and for a ticket */
        WORKER_CONNECTING,      /* name, connection, handshake, bind */
        WORKER_PROVING,         /* bound; does our health come back through it? */
        WORKER_BOUND,
        WORKER_BACKOFF,         /* the next try has its time */
        WORKER_CLOSING,
};
const char *worker_state_name(enum worker_state s);

struct relay_worker *worker_new(struct node *node);
struct relay_worker *worker_free(struct relay_worker *w);

/* relay.worker names one; it is never used at all. */
bool worker_fixed(const struct node *n);
bool worker_off(const struct node *n);

/* The ladder has come down to the relay: fn gets whether one is bound, once, never from inside, unless
 * cancelled. A worker that has to wait answers no and goes on by itself: routes_relay_up tells. */
void worker_seek(struct relay_worker *w, void (*fn)(void *arg, bool ok), void *arg);
void worker_seek_cancel(struct relay_worker *w);
/* A better route is registered, or none is wanted: the session ends. */
void worker_leave(struct relay_worker *w);
/* relay.worker may be another one now. */
void worker_reload(struct relay_worker *w);
/* The network is another one, or somebody was reached again: what waits tries now, what stands is
 * looked at. */
void worker_hurry(struct relay_worker *w);
/* The end of the node: no further tasks, then the session. */
void worker_stop(struct relay_worker *w);
bool worker_stopped(const struct relay_worker *w);

enum worker_state worker_state(const struct relay_worker *w);
bool worker_bound(const struct relay_worker *w);
/* We were reached through a relay, are not now, and try again. */
bool worker_lost(const struct relay_worker *w);
/* How we are, or were last, reached; NULL = never. */
const struct iicp_relay_route *worker_route(const struct relay_worker *w);
bool worker_polls(const struct relay_worker *w);
/* Of the relay; "" = its id is not known. */
const char *worker_relay_id(const struct relay_worker *w);
/* Why there is none, for the evidence of a detection. */
const char *worker_why(const struct relay_worker *w);
/* The relay of relay.worker is wanted and not had: one sentence, "relay HOST:PORT cannot be reached".
 * False: no such trouble, or it is tried for the first time. */
bool worker_fixed_trouble(const struct relay_worker *w, char *out, size_t cap);

void worker_json(const struct relay_worker *w, struct iicp_buf *out);    /* all of /v1/relays */
void worker_brief_json(const struct relay_worker *w, struct iicp_buf *out); /* {"node_id","state"} */
void worker_metrics(const struct relay_worker *w, struct iicp_buf *out);

#endif
