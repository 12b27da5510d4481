/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TASK_H
#define IICPD_TASK_H

/* The corridor: a task is born at a door, admitted (admit.c), maybe waits (queue.c), is executed
 * (execute.c), answered (answer.c), counted and freed, in that order. Doors hand in bytes and get
 * bytes back; nothing behind the door knows which one it was. [02 sections 4 to 7] */

#include <iicp/buf.h>
#include <iicp/envelope.h>
#include <iicp/intents.h>
#include <netinet/in.h>

struct node;
struct task;
struct lifecycle;
struct lifecycle_task;
struct corridor; /* slots, waiters, nonce and id caches, rate windows: one object a node */

/* What a door sends back. The body is owned by the receiver, who frees it with free(). */
struct task_answer {
        int status;                  /* HTTP */
        char *body;
        size_t n;
        int64_t retry_after_s;       /* 0 = none */
        bool www_authenticate;       /* 401 */
        bool generated_by_ai;        /* 200: X-IICP-Generated-By-AI */
        bool close;                  /* boundary errors close the connection */
        char trace_id[129];          /* X-IICP-Trace-Id, "" = none */
        bool secret;                 /* wipe before free */
        struct lifecycle_task *record; /* 200 and 202 of a lifecycle submit (lifecycle.h), else NULL */
};

/* What a door hands in. Everything is copied but body, which the task takes over (malloc'd). */
struct task_request {
        char *body;
        size_t n;
        struct sockaddr_storage peer;      /* address of the caller after trusted proxies */
        struct iicp_str origin;            /* header values; absent if not sent */
        struct iicp_str authorization;     /* whole value */
        struct iicp_str consumer_token;
        struct iicp_str traceparent, tracestate, trace_id;
        bool require_e2e;                  /* X-IICP-Require-E2E: 1 */
        bool tls;                          /* the caller's connection was encrypted */
        bool any_id;                       /* the task id need be no UUID, whatever the configuration says */
        const char *door;                  /* "http", "native", "relay": for status and log */
        bool own;                          /* the node's self-test: needs no credential, is neither counted nor paid */
        bool any_caller;                   /* a submit needs a credential in mode required alone */
        bool lifecycle;                    /* a submit of the service-lifecycle profile, see lifecycle.h */
        bool whole;                        /* of it: no partial events where the answer is encrypted; the
                                            * terminal one carries the whole as a buffered answer does */
};

typedef void (*task_answer_fn)(void *door_arg, struct task_answer *answer);

struct corridor *corridor_new(struct node *node);
struct corridor *corridor_free(struct corridor *c);

/* Starts a task with a complete body; every step of admission from the second one on (per-origin
 * limits) is made here. answer() is called exactly once, possibly from inside this call, unless
 * task_abort comes first. NULL: answered already. After answer() the pointer is dead. */
struct task *task_start(struct corridor *c, struct task_request *request, task_answer_fn answer, void *door_arg);
/* The caller is gone: the backend call is cancelled, the slot is free, nothing is counted as
 * success or failure. */
void task_abort(struct task *t);

/* The store of lifecycle tasks (lifecycle.h). */
struct lifecycle *corridor_lifecycle(struct corridor *c);

/* The node_token was replaced by a registration: the old one authorizes for 60 s more. */
void corridor_token_rotated(struct corridor *c, const char *old_token);

/* The row behind an intent that this node offers, NULL if it does not (02 section 9.3, last sentence). */
const struct iicp_intent *corridor_serves(const struct corridor *c, struct iicp_str intent);

/* Facts for health, heartbeat, status. */
unsigned corridor_active(const struct corridor *c);
unsigned corridor_waiting(const struct corridor *c);
unsigned corridor_effective(const struct corridor *c);  /* slots by the windows, now */
bool corridor_available(const struct corridor *c);      /* a slot is free and nothing drains */
/* Members of health: "lifecycle" (11.1), "admission" (11.6); each with a comma in front. */
void corridor_profiles_json(const struct corridor *c, struct iicp_buf *out);
/* Called when the answer of corridor_available may have changed. */
void corridor_on_change(struct corridor *c, void (*fn)(void *arg), void *arg);
void corridor_tasks_json(const struct corridor *c, struct iicp_buf *out); /* no payload, no addresses */
/* What became of the last ones, newest first. */
void corridor_recent_json(const struct corridor *c, bool failed, struct iicp_buf *out);
/* The one whose id begins so, running or ended; false: none. */
bool corridor_task_json(const struct corridor *c, const char *prefix, struct iicp_buf *out);

/* For metrics and status. */
struct corridor_facts {
        unsigned cip_active;                    /* sub-tasks that hold a worker slot */
        uint64_t encrypted_opened, encrypted_refused;
};
void corridor_facts(const struct corridor *c, struct corridor_facts *ret);

/* Counters of the heartbeat since the last take. */
struct task_counts {
        uint64_t success, failed;
        double latency_ms_sum;
};
void corridor_counts(const struct corridor *c, struct task_counts *ret);

/* Draining: refuses new tasks with 503 IICP-E024, running ones finish; idle() runs once none is
 * left. abort_all answers what still runs with 503. */
void corridor_drain(struct corridor *c, const char *reason /* static: "draining", "stopping" */);
void corridor_undrain(struct corridor *c);
const char *corridor_draining(const struct corridor *c); /* NULL = not */
#define CORRIDOR_PAUSED "operator_paused" /* the reason of POST /v1/control [02 section 11.6] */
/* Of the backends, or of a pause, which is told the same way. */
struct backend_stability;
void corridor_stability(const struct corridor *c, struct backend_stability *ret);
void corridor_on_idle(struct corridor *c, void (*fn)(void *arg), void *arg);
void corridor_abort_all(struct corridor *c);

#endif
