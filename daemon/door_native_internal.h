/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DOOR_NATIVE_INTERNAL_H
#define IICPD_DOOR_NATIVE_INTERNAL_H

/* The inside of the native door, for its own files only. */

#include "door_native.h"
#include "native_link.h"
#include "node.h"
#include "peer.h"
#include "task/lifecycle.h"
#include "task/rate.h"
#include "task/seen.h"

#include <iicp/cbor_msg.h>
#include <sys/queue.h>

struct native_conn;

/* A CALL or DISCOVER that waits for its turn. */
struct native_item {
        STAILQ_ENTRY(native_item) link;
        uint8_t type;
        bool gzip_inside;
        size_t n;
        char payload[];                /* wiped */
};

/* The CALL that is being worked on: what its RESPONSEs repeat. */
struct native_call {
        bool running;
        bool lifecycle;                /* key 24 was there */
        bool has_call_id, has_trace;
        char session_id[IICP_SESSION_ID_MAX + 1];
        char call_id[IICP_SESSION_ID_MAX + 1];
        char task_id[IICP_SESSION_ID_MAX + 1];
        char trace_id[16];
        struct task *task;             /* until its answer */
        struct lifecycle_observer *observer; /* from then on, of a lifecycle CALL */
        bool began;                    /* this CALL began the task: leaving cancels it */
        uint64_t sequence;             /* of the next lifecycle RESPONSE */
};

struct native_conn {
        LIST_ENTRY(native_conn) link;
        struct door_native *door;
        struct native_link wire;
        int fd;                        /* of the listener's table */
        struct sockaddr_storage peer;
        struct peer_source source;
        bool exempt;                   /* loopback: no cap per source */
        bool tls, ready /* INIT was answered */, closing /* a CLOSE has come */;
        unsigned auth_failures, queued;
        STAILQ_HEAD(native_items, native_item) queue;
        struct timer next;             /* the first of them, from the loop */
        struct native_call call;
};

LIST_HEAD(native_conns, native_conn);

struct door_native {
        struct node *node;
        struct native_conns conns;
        unsigned n, n_new;
        struct rate *errors;
        struct seen *call_ids;         /* of lifecycle CALLs */
        bool stopping;
        uint64_t calls, faults, refused;
};

/* ---- native_call.c: one CALL from its payload to its RESPONSEs ---- */

/* Starts the CALL; c->call.running is true until its last RESPONSE is sent, which may be inside of
 * this. A reason to close instead. */
enum iicp_close native_call_start(struct native_conn *c, struct iicp_str payload, bool gzip_inside);
/* The connection goes. */
void native_call_abort(struct native_conn *c);
/* There is room for more output. */
void native_call_drained(struct native_conn *c);
/* The CALL has had its last RESPONSE: the next one, from the loop (door_native.c). */
void native_conn_next(struct native_conn *c);

/* ---- native_request.c: CALL to task ---- */

/* What a CALL asks for, before the corridor sees it. refusal.id is set when it does not get there. */
struct native_request {
        struct iicp_buf body;          /* envelope, JSON; secret */
        struct iicp_buf token;         /* "Bearer ..."; secret */
        char traceparent[56], trace_hex[33];
        struct iicp_refusal refusal;
};
enum iicp_close native_request_build(const struct native_conn *c, const struct iicp_msg_call *call,
                                     struct iicp_str task_id, bool gzip_inside, struct native_request *ret);
void native_request_free(struct native_request *r);

/* ---- native_answer.c: answer to RESPONSE ---- */

/* The base RESPONSE to an answer of the corridor. -E2BIG: larger than can be sent. */
int native_answer_put(const struct native_conn *c, const struct task_answer *answer, struct iicp_buf *out);
/* The error of an answer as the only RESPONSE to a lifecycle CALL. */
void native_refused_lifecycle(struct native_conn *c, const struct task_answer *answer);
void native_refusal_put(const struct native_conn *c, const struct iicp_refusal *refusal, struct iicp_buf *out);

/* ---- native_stream.c: events of a lifecycle task to RESPONSEs ---- */

/* The task was accepted, now or before. False: it cannot be observed, which was answered. */
bool native_stream_begin(struct native_conn *c, const struct task_answer *answer);
/* Sends what there is; true when the last one is sent. */
bool native_stream_pump(struct native_conn *c);
void native_stream_abort(struct native_conn *c);
/* A lifecycle CALL that was not accepted: its only RESPONSE. */
void native_stream_refused(struct native_conn *c, const char *code, const char *message);
/* native_call.c: the last RESPONSE is sent. */
void native_call_done(struct native_conn *c);

#endif
