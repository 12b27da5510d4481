/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_SESSIONS_H
#define IICPD_RELAY_SESSIONS_H

/* The relay operator's one table of sessions, whatever carries them: who may bind, which worker is
 * alive, which calls are under way and how each of them ends. Transports (native frames, HTTP
 * long-poll) bring sessions in and carry calls; whoever has a task for a worker calls relay_forward.
 * Nothing of a task is kept here, its bytes belong to the caller; source addresses are never kept but
 * as a keyed hash. All of it happens on the loop. [03 sections 12 to 18] */

#include <iicp/buf.h>
#include <iicp/lifecycle.h>
#include <iicp/relay_msg.h>
#include <sys/socket.h>

#define RELAY_MIN_SESSIONS 256
#define RELAY_MIN_PER_SOURCE 32
#define RELAY_SOURCES_MAX 4096          /* windows of bind attempts [03 section 16] */
#define RELAY_DEAD_KEPT_MS 600000u      /* dead long-poll sessions wait for a late pull */
#define RELAY_DEAD_MAX 4096u
#define RELAY_MODELS_MAX 1024u          /* bytes of the JSON array that a session keeps */
#define RELAY_INTENT_MAX 255u
#define RELAY_HELD_MAX (64u << 20)      /* bytes of tasks under way; above it each worker has its share */
#define RELAY_CALL_GRACE_MS 2000u       /* added to constraints.timeout_ms [03 section 15] */
#define RELAY_BUSY_RETRY_S 2            /* Retry-After of a 429 */
#define RELAY_KICK_MS 600000u           /* a kicked worker_id stays out, unless told otherwise */
#define RELAY_KICKED_MAX 1024u
#define RELAY_HASH 9                    /* 8 hex digits and a NUL */

struct node;
struct relay;
struct relay_session;
struct relay_call;

/* Takes the accept port. *ret stays NULL when relay.operator is off: everything below wants one. -errno,
 * why gets a text for the operator. */
int relay_new(struct node *node, struct relay **ret, char *why, size_t why_cap);
struct relay *relay_free(struct relay *r);
/* From now on workers are taken. */
int relay_start(struct relay *r);
/* No new connections and binds from now on; idle runs once, from the loop, when no call is under way. */
void relay_drain(struct relay *r, void (*idle)(void *arg), void *arg);
/* Ends all sessions with a word; calls under way fail. */
void relay_stop(struct relay *r);
unsigned relay_in_flight(const struct relay *r);
/* The port that workers dial; 0: none is open (no certificate, and no plaintext wanted). */
uint16_t relay_port(const struct relay *r);

/* Is this node to be called a relay in registrations and gossip? Not while the port is closed, or is not
 * reached through the router that maps the task port. r may be NULL. [04 section 4] */
bool relay_declared(const struct relay *r);

/* First 8 hex digits of HMAC-SHA256 under a key of this process: all that a log may say of a source. */
void relay_source_hash(const struct relay *r, const struct sockaddr *source, char out[RELAY_HASH]);

/* ---- transports ---- */

enum relay_end {
        RELAY_END_DEAD,          /* nothing heard for 90 s */
        RELAY_END_DISPLACED,     /* dead, and the worker has bound again */
        RELAY_END_KICKED,
        RELAY_END_STOPPING,
};

struct relay_transport {
        const char *name;        /* "native", "http-poll": a label */
        bool revives;            /* a dead session is kept for a while and comes back with its next sign of life */
        /* Sends the call, or keeps it until it is asked for; it may keep the pointer until the call is
         * answered or withdrawn. -errno: the call fails at once with RELAY_UNDELIVERED. */
        int (*deliver)(void *link, struct relay_call *call);
        /* The call is over without an answer (consumer gone, time over); forget it. */
        void (*withdraw)(void *link, struct relay_call *call);
        /* The table has forgotten the session; its calls are over. Not called for relay_unbind. */
        void (*end)(void *link, enum relay_end why);
};

/* ---- binding ---- */

enum relay_verdict {
        RELAY_BOUND,
        RELAY_BAD_WORKER_ID,
        RELAY_RATE_LIMITED,
        RELAY_TICKET_REQUIRED,
        RELAY_TICKET_INVALID,
        RELAY_TICKET_REPLAYED,
        RELAY_ALREADY_ALIVE,
        RELAY_FULL,              /* of sessions, or the store of tickets is full */
        RELAY_HELD_OUT,          /* was kicked; the wire says the same as for FULL */
        RELAY_NO_MEMORY,         /* the same */
        RELAY_VERDICT_MAX_,
};
/* "ok", "rate_limited", ...: label of a metric. */
const char *relay_verdict_name(enum relay_verdict v);
/* Text of a native RELAY_ACK, NULL for BOUND and BAD_WORKER_ID. */
const char *relay_verdict_reason(enum relay_verdict v);

struct relay_bind {
        struct iicp_str worker_id, intent;  /* intent may be absent */
        struct iicp_str ticket;             /* absent: none was sent */
        struct iicp_str models;             /* JSON array of strings, made with relay_models_add; absent = none */
        bool lifecycle;                     /* the worker declared the service-lifecycle profile */
        const struct sockaddr *source;
        const struct relay_transport *transport;
        void *link;
};
/* All of admission, in this order: form of worker_id, bind rate of the source (a dead session's worker is
 * exempt), ticket, alive session, hold after a kick, capacity (exempt as before), use of the ticket.
 * [03 section 16] A displaced session was ended when this returns. */
enum relay_verdict relay_bind(struct relay *r, const struct relay_bind *b, struct relay_session **ret);
/* The worker has gone, or said so: calls under way fail, s is freed. */
void relay_unbind(struct relay_session *s);
/* Appends a model to a JSON array under construction ("" at first); what does not fit is left out. */
void relay_models_add(struct iicp_buf *array, struct iicp_str model);
void relay_models_end(struct iicp_buf *array);

/* A frame, a pull, any sign of life. */
void relay_session_heard(struct relay_session *s);
/* Pulls that wait keep a session alive as long as they wait. */
void relay_session_parked(struct relay_session *s, int change);
bool relay_session_alive(const struct relay_session *s);

/* Any session of that worker, dead or alive; NULL. */
struct relay_session *relay_find(struct relay *r, struct iicp_str worker_id);

/* ---- tasks ---- */

/* One event of a streaming call, in order; slices until the function returns. */
struct relay_event {
        struct iicp_str event, status;   /* words of 03 section 9 */
        uint64_t sequence;
        bool is_final;                   /* the last one: done follows, with RELAY_DONE and no body */
        struct iicp_str chunk;           /* JSON value, absent without */
        struct iicp_str error_code, error_message; /* absent without */
        int64_t tokens;                  /* -1 = not told */
};
/* false: cannot be taken now, relay_events_resume will bring it again. */
typedef bool (*relay_event_fn)(void *arg, const struct relay_event *e);

/* What is read of a task; slices of body. */
struct relay_task {
        struct iicp_str body;        /* one JSON object, forwarded byte for byte */
        struct iicp_str task_id;     /* JSON value as it stands, absent if there is none */
        uint64_t timeout_ms;         /* constraints.timeout_ms, 0 = not told */
        /* to be filled in by the caller, absent otherwise */
        struct iicp_str token;       /* X-IICP-Consumer-Token */
        struct iicp_str trace_id, parent_span; /* 16 and 8 bytes */
        /* the consumer asked for the service-lifecycle profile, and this is how it gets events; NULL: a
         * buffered call. Only to a session with relay_session_streams. */
        relay_event_fn event;
};
/* -EBADMSG: no JSON; -EINVAL: no object. Encrypted members are not looked into. */
int relay_task_read(struct iicp_str body, struct relay_task *ret);

enum relay_outcome {
        RELAY_DONE,
        RELAY_LOST,              /* the session ended */
        RELAY_TIMED_OUT,
        RELAY_BAD_RESULT,        /* no JSON object */
        RELAY_TOO_LARGE,
        RELAY_UNDELIVERED,       /* the transport could not take it */
        RELAY_BACKPRESSURE,      /* events of a stream that nobody read */
        RELAY_BAD_STREAM,        /* events out of order */
        RELAY_CANCELLED,         /* the consumer left; for the counters, no callback comes */
        RELAY_OUTCOME_MAX_,
};
const char *relay_outcome_name(enum relay_outcome o);   /* label */
/* "relay session forward failed: ..." of a 502. */
const char *relay_outcome_text(enum relay_outcome o);

/* The call is over and freed afterwards. body: DONE only, the merged answer of section 15; may be taken. */
typedef void (*relay_done_fn)(void *arg, enum relay_outcome o, struct iicp_buf *body);

/* Submits the task. Its slices stay the caller's and must live until done was called or relay_cancel. done
 * is never called from inside of this. -ENOTCONN: not alive (404 E030); -EBUSY: in-flight cap of the
 * session, or its share of what may be held (429); -E2BIG: above relay.max_body; -EIO: the transport could
 * not take it (502, RELAY_UNDELIVERED); -ENOMEM. */
int relay_forward(struct relay_session *s, const struct relay_task *t, relay_done_fn done, void *arg,
                  struct relay_call **ret);
/* The consumer left: the late answer is dropped. done is not called. */
void relay_cancel(struct relay_call *c);

/* May a streaming call be sent there? */
bool relay_session_streams(const struct relay_session *s);
/* The reader of events has room again. May end the call. */
void relay_events_resume(struct relay_call *c);

/* For transports. */
const char *relay_call_id(const struct relay_call *c);
const struct relay_task *relay_call_task(const struct relay_call *c);
/* Of a streaming call: what keys 2 and 24 say. false: it is a buffered one. */
struct relay_call_keys {
        struct iicp_str session_id, task_id;
};
bool relay_call_stream(const struct relay_call *c, struct relay_call_keys *ret);
/* The oldest call of the session that was not marked as sent; marking one as unsent again puts it back
 * to its place. */
struct relay_call *relay_call_next(struct relay_session *s);
void relay_call_sent(struct relay_call *c, bool sent);
/* The transport found, later, that it cannot be done. */
void relay_call_fail(struct relay_call *c, enum relay_outcome why);
/* An answer of the worker; call ids that are not under way on this session are dropped. result absent: it
 * could not be decoded. */
void relay_answer(struct relay_session *s, struct iicp_str call_id, struct iicp_str result);
/* An event of the worker: is_final and sequence, event and status words, ids (call_id is key 3) stand in
 * life. Unknown calls are dropped; what is out of order fails the call. -EBADMSG: it was out of order. */
int relay_event(struct relay_session *s, const struct iicp_lifecycle_message *life, const struct relay_event *e);

/* ---- looking ---- */

struct relay_session_view {
        struct iicp_str worker_id, intent; /* borrowed */
        struct iicp_str models;      /* JSON array, "[]" without */
        const char *transport;
        const char *source_hash;
        bool alive, ticket, lifecycle;
        uint64_t age_ms, silent_ms;
        unsigned in_flight;
        unsigned pulls;              /* that wait for a call */
        uint64_t calls, failures;    /* of this session */
        uint64_t bytes_to, bytes_from;
        uint64_t latency_ms;         /* of answered calls, moving average */
};
void relay_session_view(const struct relay_session *s, struct relay_session_view *ret);
/* fn must not end sessions. false from fn ends it. */
void relay_each(struct relay *r, bool (*fn)(void *arg, const struct relay_session *s), void *arg);
/* Ends the session and keeps its worker_id out for hold_ms (0: not at all). -ENOENT. */
int relay_kick(struct relay *r, struct iicp_str worker_id, uint64_t hold_ms);
/* Those that are kept out, oldest first. */
void relay_each_held_out(struct relay *r, void (*fn)(void *arg, const char *worker_id, uint64_t left_ms), void *arg);

#define RELAY_BUCKETS 12
extern const uint64_t relay_bucket_ms[RELAY_BUCKETS]; /* upper bounds of the histogram */
struct relay_counts {
        uint64_t binds[RELAY_VERDICT_MAX_];
        uint64_t outcomes[RELAY_OUTCOME_MAX_];
        uint64_t busy;               /* tasks refused with 429 */
        uint64_t bytes_to, bytes_from;
        uint64_t kicks, dead;        /* sessions ended that way */
        uint64_t seconds[RELAY_BUCKETS + 1], seconds_ms; /* calls by latency, the last without a bound; sum */
        unsigned sessions, in_flight, max_sessions, sources;
        size_t held;                 /* bytes of tasks under way */
};
void relay_counts(const struct relay *r, struct relay_counts *ret);
/* Alive sessions of one transport. */
unsigned relay_sessions_of(const struct relay *r, const char *transport);
/* Sessions by cap, six decimals. [03 section 19.5] */
double relay_load(const struct relay *r);
/* Ticket mode and whether a key is known, listener and caps: one JSON object for status. */
void relay_json(const struct relay *r, struct iicp_buf *out);

#endif
