/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_WORKER_INTERNAL_H
#define IICPD_WORKER_INTERNAL_H

/* What the files of the relay worker share. */

#include "../loop.h"
#include "../node.h"
#include "resolve.h"
#include "worker.h"
#include "worker_core.h"

#include <iicp/relay_msg.h>
#include <sys/queue.h>

#define WORKER_CALLS_MAX 1024          /* of one session at a time; above them capacity_exceeded */
#define WORKER_EXCLUDED_MAX 16         /* relays that are left out for a while; the oldest makes room */
#define WORKER_TICKET_MAX 4096         /* bytes */
#define WORKER_HEALTH_MS 5000          /* our health through the relay [04 section 11] */
#define WORKER_HEALTH_BYTES 65536
#define WORKER_RIDE_OUT_MS 5000        /* a loss as short is not told to the directory [03 section 19.3] */
#define WORKER_PING_SOON_MS 15000      /* for an answer, when the network has changed */
#define WORKER_CLOSE_MS 2000           /* for an orderly end */
#define WORKER_GOSSIP_MAX 8            /* relays of gossip that the directory is asked about */
#define WORKER_INTENTS_MAX 16          /* that relays are looked for under */
#define WORKER_MODELS_MAX 64           /* named in a bind */

/* ---- worker_call.c: tasks that come down a session ---- */

struct worker_calls;
struct worker_call;
LIST_HEAD(worker_call_list, worker_call);

struct native_link;
struct worker_calls {
        struct node *node;
        struct worker_call_list list;
        unsigned n;
        struct sockaddr_storage peer;  /* the relay's */
        bool tls;                      /* the session is encrypted */
        struct native_link *wire;      /* for streams; NULL: there are none */
        void (*result)(void *arg, const char *call_id, struct iicp_str json);
        void (*idle)(void *arg);       /* the last call has its answer */
        void *arg;
};
void worker_calls_init(struct worker_calls *c, struct node *node, void *arg);
/* The task walks the corridor; result comes once, maybe from inside. */
void worker_call_start(struct worker_calls *c, const struct iicp_relay_call *call);
/* The session is gone: nobody waits for answers. */
void worker_calls_abort(struct worker_calls *c);
/* There is room for more of the streams. */
void worker_calls_drained(struct worker_calls *c);

/* ---- sessions: worker_native.c, worker_poll.c ---- */

/* One attempt and the session that comes of it. It tells worker_session_*, the last one once; then it
 * is dead for the worker and frees itself when its last words are sent. */
struct worker_session;
struct worker_session_kind {
        void (*close)(struct worker_session *s);  /* orderly; ended comes */
        void (*drop)(struct worker_session *s);   /* at once, without a word */
        void (*look)(struct worker_session *s);   /* does the relay still answer? */
};
struct worker_session {
        const struct worker_session_kind *kind;
        struct relay_worker *worker;              /* NULL: given up, nothing is told */
        bool plain;                               /* what it carries can be read on the way */
        LIST_ENTRY(worker_session) link;          /* of all that are not freed yet */
};
LIST_HEAD(worker_sessions, worker_session);

struct worker_offer {
        const struct sockaddr_storage *addresses; /* of host */
        unsigned n_addresses;
        const char *host, *base;                  /* base: of its HTTP endpoint */
        struct iicp_str ticket;                   /* absent = none */
};
struct worker_session *worker_native_new(struct relay_worker *w, const struct worker_offer *o);
struct worker_session *worker_poll_new(struct relay_worker *w, const struct worker_offer *o);

void worker_session_bound(struct relay_worker *w, unsigned http_port);
/* text: what the relay said, may be foreign; "" = nothing. */
void worker_session_ended(struct relay_worker *w, enum worker_outcome o, const char *text);
/* A long-poll session cannot reach its relay, or can again. */
void worker_session_shaky(struct relay_worker *w, bool shaky);

/* What a bind says: the models (borrowed until the next list) and the first intent. */
const char *worker_intent(struct node *n, unsigned at, char out[128]);

/* ---- worker_choose.c: candidates ---- */

struct worker_excluded {
        char node_id[IICP_RELAY_ID_MAX + 1];
        uint64_t until_ms;
        enum worker_outcome why;
};

/* Asks the directory; worker_chosen follows, never from inside. */
void worker_choose(struct relay_worker *w);
void worker_choose_cancel(struct relay_worker *w);
/* The best candidate that is not excluded, NULL = none. */
const struct iicp_relay *worker_best(const struct relay_worker *w);
void worker_exclude(struct relay_worker *w, const char *node_id, uint64_t ms, enum worker_outcome why);
const struct worker_excluded *worker_exclusion(const struct relay_worker *w, const char *node_id);
/* worker.c */
void worker_chosen(struct relay_worker *w);

struct relay_worker {
        struct node *node;
        enum worker_state state;
        bool wanted;                   /* a session is to be held */
        bool stopping;
        struct worker_core core;
        struct iicp_relay relay;       /* tried or bound; node_id "" of a fixed one */
        char as_configured[271];       /* relay.worker, of a fixed one */
        char host[254];
        uint16_t port;
        struct iicp_relay *candidates; /* of the last look, in the order of the election */
        size_t n_candidates;
        unsigned at_intent;            /* the look is at this one */
        size_t confirming;             /* of gossip's candidates, the one that the directory is asked about */
        bool asked_in_vain;            /* the directory did not answer */
        struct worker_excluded excluded[WORKER_EXCLUDED_MAX];
        struct directory_call *asking; /* candidates, or a ticket */
        struct iicp_buf ask_body;
        struct iicp_buf ticket;        /* of the next bind; wiped */
        struct resolve *resolve;
        struct sockaddr_storage addresses[RESOLVE_ADDRESSES_MAX];
        unsigned n_addresses;
        struct worker_session *session;
        struct worker_sessions sessions;
        struct fetch *health;
        struct iicp_relay_route route, proving;
        bool has_route, polls;         /* of route */
        bool down;                     /* the loss is known to others */
        bool shaky;                    /* a long-poll session does not reach its relay */
        bool waits_for_rate;           /* the relay has told us to wait */
        struct timer timer;            /* of BACKOFF */
        struct timer ride_out, fault, say;
        void (*seek_fn)(void *arg, bool ok);
        void *seek_arg;
        uint64_t bound_ms, retry_ms;   /* since; at */
        uint64_t binds, losses, failures;
        const char *why;               /* static; of IDLE and BACKOFF */
};

#endif
