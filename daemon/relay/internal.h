/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_INTERNAL_H
#define IICPD_RELAY_INTERNAL_H

/* The inside of the relay operator, for the files of its table only; transports see sessions.h. */

#include "loop.h"
#include "node.h"
#include "sessions.h"
#include "task/rate.h"

#include <sys/queue.h>
#include <uthash.h>

#define RELAY_SWEEP_MS 5000u           /* for what died; whoever asks is told the exact truth */

struct relay_port;
struct relay_tickets;

struct relay_call {
        TAILQ_ENTRY(relay_call) link;
        struct relay_session *session;
        char id[37];
        struct relay_task task;        /* slices of the caller's */
        relay_done_fn done;
        void *arg;
        uint64_t since_ms;
        struct timer due;
        struct relay_stream *stream;   /* of a streaming CALL, else NULL */
        bool sent;                     /* the transport's mark */
};
TAILQ_HEAD(relay_calls, relay_call);

struct relay_session {
        struct relay *relay;
        const struct relay_transport *transport;
        void *link;                    /* of the transport */
        struct relay_calls calls;
        char *models;                  /* JSON array, NULL = none */
        char *intent;                  /* NULL = none */
        uint64_t since_ms, heard_ms;
        unsigned parked, in_flight, unsent;
        bool counted;                  /* was alive at the last look */
        bool ticket, lifecycle;
        char source[RELAY_HASH];
        uint64_t n_calls, n_failures, bytes_to, bytes_from;
        uint32_t latency_ms;           /* moving average */
        size_t held;                   /* bytes of tasks under way */
        UT_hash_handle hh;
        char worker_id[];
};

struct relay_held_out {
        uint64_t until_ms;
        UT_hash_handle hh;             /* in the order of kicking */
        char worker_id[];
};

struct relay {
        struct node *node;
        struct relay_session *sessions; /* by worker_id */
        struct relay_held_out *kicked;
        struct rate *binds;            /* new binds by source */
        struct rate *forged;           /* refused tickets by source: those lose the exemption of dead sessions */
        struct relay_tickets *tickets;
        struct relay_port *port;
        uint8_t key[32];               /* of source hashes; never leaves the process */
        struct timer sweep;
        uint64_t swept_ms;
        unsigned alive, dead;          /* of sessions, at the last look */
        bool stopping;
        void (*idle)(void *arg);       /* of relay_drain, until it was called */
        void *idle_arg;
        struct relay_counts counts;
};

uint64_t relay_now(const struct relay *r);
unsigned relay_max_sessions(const struct relay *r);
/* Looks at all sessions now. */
void relay_sweep(struct relay *r);
/* Out of the table, calls failed; does not call the transport. */
void relay_session_drop(struct relay_session *s);
void relay_session_end(struct relay_session *s, enum relay_end why);
bool relay_is_held_out(struct relay *r, struct iicp_str worker_id);
/* 8 bytes of the keyed hash of the source, by which windows and connections are counted. */
void relay_source_key(const struct relay *r, const struct sockaddr *source, uint8_t out[8]);

/* A call is over: perhaps it was the last one. */
void relay_look_idle(struct relay *r);

/* ---- calls.c ---- */
struct relay_call *relay_call_find(struct relay_session *s, struct iicp_str call_id);
/* The call ends with that; body: its answer, or NULL. */
void relay_call_finish(struct relay_call *c, enum relay_outcome o, struct iicp_buf *body);

/* ---- stream.c ---- */
int relay_stream_new(struct relay_call *c);
struct relay_stream *relay_stream_free(struct relay_stream *s);

void relay_calls_fail(struct relay_session *s, enum relay_outcome why);

#endif
