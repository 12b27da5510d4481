/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BACKEND_H
#define IICPD_BACKEND_H

/* Inference servers. A dialect is a table of functions (openai.c, demo.c); a backend is one
 * configured server with its URL, key, models, slots and state; the set is all of them behind one
 * port and one node id. [02 section 10] */

#include "../fetch.h"
#include <iicp/intents.h>
#include <iicp/refusal.h>
#include <iicp/trace.h>

struct node;
struct backend;
struct backends;
struct backend_call;

#define BACKEND_ANSWER_MAX ((size_t) 8 * 1024 * 1024) /* bytes [02 section 10.1] */
#define BACKEND_MODELS_MAX 1024                       /* names kept of one list */
#define BACKEND_MODEL_NAME_MAX 255
#define BACKEND_TEXT_MAX ((size_t) 64 * 1024) /* bytes of one increment, so that one event stays small */

/* One task for a backend. Slices must live until done or cancel.
 *
 * Streams: with on_text the server is asked to stream where intent and dialect can. Increments of the
 * generated text come in order, before done(), decoded, never cut inside of a code point, gathered to
 * 256 bytes, 25 ms after their first byte, or the end. [02 section 10.8] They are called from the loop,
 * never from inside start; on_text may cancel the call. The result that done() gets is the whole answer
 * as if it had been buffered, finish_reason and usage with it. An answer that the server gave in one
 * piece all the same comes without any increment: it is not cut up to look streamed. */
struct backend_task {
        const struct iicp_intent *intent;
        const struct iicp_payload *payload;
        struct iicp_str model;          /* as asked for, absent = backend's own */
        int64_t max_tokens;             /* 0 = do not send */
        uint64_t deadline_ms;           /* clock_mono_ms at which the budget ends */
        const struct iicp_trace *trace; /* the server is told a span of its own in it; may be NULL */
        struct iicp_str tracestate;
        void (*on_text)(void *arg, struct iicp_str text); /* NULL: buffered; text borrowed for the call */
};

struct backend_answer {
        /* NONE: result is valid; otherwise the refusal of table 10.5 (reason, retry_after_ms), for a
         * stream also backend_error with reason stream_incomplete or invalid_backend_stream */
        struct iicp_refusal refusal;
        struct iicp_str result;         /* scanned JSON object, borrowed for the callback */
        bool retry_elsewhere;           /* backend_unreachable or backend_busy, and no text was given */
        bool prompt_truncated;          /* 10.10 rule 6 */
};
typedef void (*backend_done_fn)(void *arg, const struct backend_answer *answer);

/* done() exactly once, never from inside start, unless cancelled. NULL: no memory. The call holds
 * one of the backend's slots until then. Cancelling closes the connection to the server. */
struct backend_call *backend_call_start(struct backend *b, const struct backend_task *t,
                                        backend_done_fn done, void *arg);
void backend_call_cancel(struct backend_call *c);
/* Whether its type has a mapping for the intent [02 section 10.1]; for the set: any of them. */
bool backend_serves(const struct backend *b, const struct iicp_intent *intent);
bool backends_serve(const struct backends *s, const struct iicp_intent *intent);
/* The span that the server was told; NULL: none. Lives as long as the call. */
const struct iicp_trace *backend_call_span(const struct backend_call *c);
/* Whether a task of this intent with on_text gets increments from it, as far as is known before. */
bool backend_streams(const struct backend *b, const struct iicp_intent *intent);

const char *backend_name(const struct backend *b);

/* ---- the set ---- */
struct backends *backends_new(struct node *node);  /* from node->config; starts probing */
struct backends *backends_free(struct backends *s);
/* Takes over a new configuration: unchanged backends keep their state, calls that run go on. */
int backends_reload(struct backends *s);

enum backend_pick { PICK_OK, PICK_NO_MODEL, PICK_BUSY, PICK_DRAINING };
/* Among those that have the model (absent: any), are not draining and have a free slot: smallest
 * share of busy slots, ties in configuration order; `except` is left out. On PICK_DRAINING
 * *ret_retry_ms and *ret_reason are set. [02 section 10.9] */
enum backend_pick backends_pick(struct backends *s, const struct iicp_intent *intent, struct iicp_str model,
                                const struct backend *except, struct backend **ret,
                                int64_t *ret_retry_ms, const char **ret_reason);

/* Joined model list as last obtained (what heartbeat sends as health_models): NULL-terminated
 * array borrowed until the next turn of the loop. *ret_known: false if no list ever succeeded or
 * the last probe of all failed. */
const char *const *backends_models(struct backends *s, size_t *ret_n, bool *ret_known);
/* Models for a registration, first configured first; parts of failed lists stay as they were. */
const char *const *backends_models_to_register(struct backends *s, size_t *ret_n);
/* Called when the registration list differs from the last in two consecutive probes, when the
 * first list is there, or when the joint state changes. */
void backends_on_change(struct backends *s, void (*fn)(void *arg), void *arg);

/* Flavour for REGISTER ("ollama", ..., "custom"). */
const char *backends_flavour(const struct backends *s);
bool backends_demo_only(const struct backends *s);

enum backend_state { STATE_OK, STATE_DEGRADED, STATE_DRAINING };
struct backend_stability {
        enum backend_state state;
        const char *reason;         /* ok backend_cold backend_loading backend_unstable observer_error */
        int64_t retry_after_s;      /* 0 = none */
        int64_t drain_until;        /* epoch seconds, 0 = none */
};
void backends_stability(struct backends *s, struct backend_stability *ret);
const char *backend_state_name(enum backend_state s);
/* Observes all backends now (heartbeat tick). */
void backends_observe(struct backends *s);
/* Three failed contacts in a row on all of them. [02 section 13.1] */
bool backends_unavailable(const struct backends *s);


/* What the findings are made from. */
struct backend_facts {
        const char *name, *type, *url;
        struct backend_stability stability;
        bool demo, auth_failed, undecided;
        bool down;                  /* several failures in a row */
        const char *failure;        /* of the last contact that failed: "connect", "timeout"; NULL = the last one was good */
        unsigned failures;          /* contacts in a row that failed */
        uint64_t last_answer_age_s; /* UINT64_MAX = never */
        size_t models;
        unsigned in_flight;
        bool list_known;            /* a list was read at least once */
};
/* false: there are not so many. */
bool backends_facts(const struct backends *s, size_t i, struct backend_facts *ret);

void backends_json(const struct backends *s, struct iicp_buf *out);  /* array for status */
void backends_models_json(const struct backends *s, struct iicp_buf *out);

#endif
