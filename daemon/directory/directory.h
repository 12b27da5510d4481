/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DIRECTORY_H
#define IICPD_DIRECTORY_H

/* The node's side of the directory: registration and heartbeat as one state machine on the loop.
 * At most one REGISTER and one heartbeat in flight. [01 sections 1 to 4] */

#include <iicp/buf.h>
#include <stdbool.h>
#include <stdint.h>

struct node;
struct directory;

enum directory_state {
        DIRECTORY_OFF,            /* not to register: setting, private endpoint, demo backend */
        DIRECTORY_WAITING,        /* for a model, a route */
        DIRECTORY_REGISTERING,
        DIRECTORY_REGISTERED,
        DIRECTORY_UNAVAILABLE,    /* registered before, no good beat for 90 s */
        DIRECTORY_BLOCKED,        /* operator_action_needed */
        DIRECTORY_LEFT,           /* deregistered on request */
};
const char *directory_state_name(enum directory_state s);

struct directory *directory_new(struct node *node);
struct directory *directory_free(struct directory *d);
/* The listener is bound and answers health. */
void directory_start(struct directory *d);
/* Something that is declared or measured has changed (models, config, availability, drain). */
void directory_poke(struct directory *d);
/* Others may have missed us (sleep, another network): the next beat as soon as it may go. */
void directory_hurry(struct directory *d);
/* Every few seconds: what changes with time alone. */
void directory_tick(struct directory *d);
void directory_reload(struct directory *d);
/* A new encryption key is on the disk and wants to be published. */
void directory_key_rotated(struct directory *d);
/* REGISTER now; fn, if not NULL, gets the verdict. -EBUSY: somebody waits already; -ESHUTDOWN; -EOPNOTSUPP: this
 * node does not register, or no backend names a model (directory_why). */
int directory_reregister(struct directory *d, void (*fn)(void *arg, bool ok), void *arg);
/* New node id and encryption key; the reputation is gone. -EPERM: the id is configured; -EBUSY. */
int directory_identity_reset(struct directory *d, const char *by);
/* Ends the process with this status, to be started again; counted on the disk first. false: this hour has had its
 * share, or one is under way. [01 section 6.4] */
bool directory_restart(struct directory *d, int status, const char *why);
/* Leaving or stopping is under way. */
bool directory_changing(const struct directory *d);
/* Asks the directory what it says about us; then fn. directory_json shows the answers. */
void directory_look(struct directory *d, void (*fn)(void *arg), void *arg);
/* The last refused REGISTER, for whoever asked for one. */
struct directory_refusal {
        const char *cls, *code, *fields;
        uint64_t next_try_ms; /* 0 = not by itself */
};
void directory_refusal(const struct directory *d, struct directory_refusal *ret);
/* Last beat with available false (2 s budget), or DELETE when so configured; then fn. */
void directory_stop(struct directory *d, void (*fn)(void *arg), void *arg);
/* DELETE now; fn gets the outcome. */
void directory_deregister(struct directory *d, void (*fn)(void *arg, bool ok), void *arg);

/* The reputation of another node; the score is negative where it is unknown or nobody answered. NULL: it
 * cannot be asked. fn is never called from inside. */
struct reputation_question;
#define DIRECTORY_NODE_ID_MAX 129 /* bytes with NUL */
struct reputation_question *directory_ask_reputation(struct directory *d, struct iicp_str node_id,
                                                     void (*fn)(void *arg, double score), void *arg);
void directory_ask_cancel(struct reputation_question *q);

/* Asks whether host and port can be reached from where the directory is (GET /v1/probe). fn comes
 * once, never from inside, unless cancelled. NULL: it cannot be asked now. [01 section 5.12] */
struct directory_call;
struct fetch_answer;
struct directory_call *directory_probe(struct directory *d, const char *host, unsigned port,
                                       void (*fn)(void *arg, const struct fetch_answer *a), void *arg);
struct directory_call *directory_probe_cancel(struct directory_call *c);
/* The same way, for the mesh [01 sections 5.2, 5.3; 04 section 15]: the entry of a node, a few that are there,
 * and the heal call with our token (body must live until fn or cancel). Cancelled like a probe. */
typedef void (*directory_answer_fn)(void *arg, const struct fetch_answer *a);
struct directory_call *directory_node(struct directory *d, struct iicp_str node_id, directory_answer_fn fn, void *arg);
struct directory_call *directory_bootstrap(struct directory *d, directory_answer_fn fn, void *arg);
struct directory_call *directory_heal(struct directory *d, struct iicp_str body, directory_answer_fn fn, void *arg);

/* Relays that serve this intent themselves, as an answer of discover; one ticket for a bind, of which the
 * caller owns the body ({"relay_node_id"} or {}) until the end. fn and NULL as above. [03 sections 18, 19] */
struct directory_call *directory_relays(struct directory *d, const char *intent,
                                        void (*fn)(void *arg, const struct fetch_answer *a), void *arg);
bool directory_has_token(const struct directory *d);
struct directory_call *directory_relay_ticket(struct directory *d, struct iicp_str body,
                                              void (*fn)(void *arg, const struct fetch_answer *a), void *arg);
struct directory_call *directory_ask_end(struct directory_call *c);

/* Since the last tick of the heartbeat (before or after its call), milliseconds: supervisor
 * progress of 02 section 13.1. 0 while nothing is to be registered. */
uint64_t directory_progress_age_ms(const struct directory *d);

enum directory_state directory_state(const struct directory *d);
/* What the findings are made from. */
struct directory_facts {
        enum directory_state state;
        const char *why;                /* "" = nothing to say */
        const char *failure;            /* of the last call, since the last good one: "timeout", "name"; NULL = none */
        int failure_status;             /* HTTP, 0 = none */
        uint64_t failure_age_s;
        uint64_t silent_s, failures;    /* heartbeats that failed in a row */
        bool held;                      /* the last registration was refused and the next one waits */
        const char *cls, *code, *fields; /* of that refusal */
        uint64_t next_try_ms;           /* 0 = not by itself */
        const char *redirect_refused;   /* "" = none */
        uint64_t counts_waiting;        /* tasks not yet told */
        const char *recovery, *recovery_reason; /* state as a word */
};
void directory_facts(const struct directory *d, struct directory_facts *ret);
const char *directory_why(const struct directory *d); /* one sentence, "" when registered */
/* The models of the last accepted registration: what health shows. */
const char *const *directory_registered_models(const struct directory *d, size_t *ret_n);
void directory_json(const struct directory *d, struct iicp_buf *out);

#endif
