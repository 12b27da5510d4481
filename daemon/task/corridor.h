/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CORRIDOR_H
#define IICPD_CORRIDOR_H

/* The inside of the corridor, for its own files only; doors see task.h. */

#include "cip.h"
#include "lifecycle.h"
#include "node.h"
#include "policy.h"
#include "principal.h"
#include "rate.h"
#include "recent.h"
#include "seen.h"
#include "task.h"

#include <iicp/cx.h>
#include <iicp/endpoint.h>
#include <iicp/policy.h>
#include <iicp/trace.h>
#include <iicp/urn.h>
#include <sys/queue.h>

#define TASK_TRACESTATE_MAX 512      /* bytes that are passed on [W3C trace context 3.3.1.5] */
#define TASK_RETRY_CAPACITY_MS 2000  /* [02 section 5.2] */
#define PAUSE_RETRY_S 60              /* nobody knows when an operator resumes */
#define TOKEN_GRACE_MS 60000         /* the old node_token after a rotation [02 section 4.2] */
#define TRACES_AT_ONCE 64             /* trace ids that random bytes are drawn for */
#define LIFECYCLE_RETRY_FULL_MS 60000 /* the store is full: records leave after an hour */
#define HOUR_MS 3600000u
#define AUTH_FAILURES_MAX 60         /* a minute and source, mode required [05 section 15] */

/* What a lifecycle submit is bound to, beyond the envelope. */
#define LIFECYCLE_KEY 16      /* bytes of a digest that records are found by */
#define LIFECYCLE_DIGEST 32   /* SHA-256 */
struct lifecycle_binding {
        uint8_t id_key[LIFECYCLE_KEY], idempotency[LIFECYCLE_KEY];
        uint8_t owner[PRINCIPAL_OWNER], digest[LIFECYCLE_DIGEST];
};

enum task_step { TASK_ADMITTING, TASK_ASKING, TASK_WAITING, TASK_RUNNING, TASK_ANSWERED };

struct task {
        LIST_ENTRY(task) link;       /* corridor.running or corridor.waiters */
        struct corridor *corridor;
        task_answer_fn answer;
        void *door_arg;
        const char *door;
        enum task_step step;
        bool has_slot, has_id, encrypted, second_try;
        bool lifecycle, whole;       /* of the request */
        bool wants_admission;        /* the provider-admission profile is required */
        bool own;                    /* of this node's own self-test: neither counted nor paid */
        struct lifecycle_binding binding;
        struct iicp_cip cip;
        bool has_cip_slot;
        struct reputation_question *question; /* step ASKING */
        struct lifecycle_task *record; /* from acceptance on: the answer goes into its events */

        char *body;
        size_t n_body;
        struct sockaddr_storage peer;
        bool require_e2e;
        struct iicp_envelope env;
        struct principal principal;  /* step 4; kind NONE: anonymous */
        struct award_claim *claim;   /* of the receipt, once there is a result; NULL = none */
        const struct iicp_intent *intent;
        const struct iicp_intent *work; /* as which the backend is asked */
        struct iicp_buf opened;      /* decrypted payload; wiped */
        struct iicp_json asked;      /* the payload as the caller wrote it */
        struct iicp_buf rewritten;   /* of an extended intent, the payload of its work; wiped */
        struct iicp_cx_session session;
        struct iicp_payload payload;
        struct iicp_str model;       /* absent: no list is known yet */
        char model_text[BACKEND_MODEL_NAME_MAX + 1]; /* where it stood in the payload */
        int64_t max_tokens;          /* sent to the backend; 0 = none */
        int64_t max_tokens_applied;  /* reported because the capability lowered it; 0 = not */

        struct iicp_trace trace;
        bool trace_given;            /* trace.span_id is a span of the caller */
        char call_span[17];          /* of the backend request; "" = none */
        char *tracestate;            /* NULL: none came */
        char trace_id[129];          /* X-IICP-Trace-Id of the answer */
        char profile[161];           /* a refused profile, for the answer */

        uint64_t received_ms, deadline_ms;
        uint64_t executing_ms, calling_ms, first_ms; /* 0 = not reached */
        const char *failed_code, *failed_reason; /* static; NULL = it did not fail */
        int64_t tokens;              /* of the answer, -1 = unknown */
        uint64_t arrival;            /* order among waiters */
        struct timer budget, queue;
        struct backend *backend;
        struct backend_call *call;
};

LIST_HEAD(task_list, task);

struct corridor {
        struct node *node;
        struct task_list running, waiters, asking;
        unsigned active, waiting, cip_active, n_asking;
        uint64_t arrivals;
        struct cip_known cip_known[CIP_KNOWN_MAX];
        unsigned n_cip_known;
        uint64_t encrypted_opened, encrypted_refused;
        struct seen *nonces, *ids;
        struct lifecycle *lifecycle; /* the store, NULL only while it is made */
        struct rate *origins, *addresses, *auth_failures, *cip_checks;
        struct task_counts counts;
        struct recent *recent;       /* what became of the last ones */
        unsigned char random[TRACES_AT_ONCE][IICP_TRACE_RANDOM];
        unsigned n_random;
        const char *draining;        /* static reason, NULL = not */
        char old_token[STATE_TOKEN_MAX + 1];
        uint64_t old_token_until_ms;
        uint64_t warned_in_clear_ms, said_refused_ms; /* 0 = never */
        uint64_t refused_without;    /* since that was said */
        bool was_available;
        void (*on_change)(void *arg);
        void *on_change_arg;
        void (*on_idle)(void *arg);
        void *on_idle_arg;
};

/* admit.c: steps 2 to 10 for a task that holds nothing yet. false: *refusal says why. TASK_WAITING
 * may be the result of step 10 (queue.c). */
bool task_admit(struct task *t, const struct task_request *request, struct iicp_refusal *refusal);
/* After the reputation of a coordinator was good enough: the rest of admission, then execution. */
void task_resume(struct task *t);
/* Step 10 alone: is there a slot and a backend for it now? */
bool task_capacity(struct task *t, struct iicp_refusal *refusal);
/* The model of a task that names none: the first of the joined list that serves the intent, which is
 * the configured one where there is one; else the first. Borrowed for this turn; NULL: no list yet. */
const char *corridor_model_for(const struct corridor *c, struct iicp_str intent);
/* Step 7: model asked for by payload or constraints, else corridor_model_for. */
bool task_choose_model(struct task *t, const struct iicp_json *payload, struct iicp_refusal *refusal);
/* Sets t->backend, or *refusal when not PICK_OK. */
enum backend_pick task_pick(struct task *t, const struct backend *except, struct iicp_refusal *refusal);
/* auth.c: step 4. */
bool task_authorize(struct task *t, const struct task_request *request, struct iicp_refusal *refusal);

/* profile.c: once the envelope is read, sets wants_admission, for the words of refusals. */
void task_profiles_note(struct task *t);
/* The profiles that a task requires, step 7. */
bool task_profiles(struct task *t, struct iicp_refusal *refusal);
/* provider-admission: is there time for anything at all, just before the slot is taken? */
bool admission_deadline(const struct task *t, struct iicp_refusal *refusal);
/* What a refusal is called in its words; NULL: it has none. */
const char *admission_outcome(const struct iicp_refusal *refusal, bool accepted);
/* "\"admission\":{...}" of an answer, for a task that wants_admission. */
void admission_accepted(const struct task *t, struct iicp_buf *out);

/* lifecycle_binding.c: fills t->binding, with step 5. */
bool lifecycle_bind(struct task *t, struct iicp_refusal *refusal);
/* lifecycle_run.c: a submit, after step 7 and again with step 11, as another may have come first while
 * it waited. KNOWN: t->record is the record of before. */
enum lifecycle_lookup { LIFECYCLE_NEW, LIFECYCLE_KNOWN, LIFECYCLE_REFUSED };
enum lifecycle_lookup lifecycle_look_up(struct task *t, struct iicp_refusal *refusal);
/* After step 13: makes the record; the door has its answer (202, or 200 for KNOWN) by the next one. */
bool lifecycle_accept(struct task *t, struct iicp_refusal *refusal);
void lifecycle_answer(struct task *t, int status);
bool lifecycle_streams(const struct task *t);
void lifecycle_text(void *task, struct iicp_str text);
/* The ends; t->record is NULL afterwards. false: nothing happened, *refusal says why it has failed. */
bool lifecycle_completed(struct task *t, const struct backend_answer *from, int64_t *ret_tokens,
                         struct iicp_refusal *refusal);
void lifecycle_failed(struct task *t, const struct iicp_refusal *refusal);

/* queue.c */
bool queue_wanted(const struct task *t);
void queue_add(struct task *t);
void queue_remove(struct task *t);
/* Gives freed slots to waiters. */
void queue_run(struct corridor *c);

/* execute.c: step 11 (slot, nonce, id, together) and onwards. false: answered already, t is dead. */
bool task_execute(struct task *t);

/* answer.c: the 200 body; refusal.id != NONE when the result cannot be presented. */
/* What the receipt will be about, if one is due. */
void answer_claim(struct task *t, struct iicp_str result, int64_t tokens);
void answer_build(struct task *t, const struct backend_answer *from, struct iicp_buf *out,
                  int64_t *ret_tokens, struct iicp_refusal *ret_refusal);

/* "\"metrics\":{...}" */
void answer_metrics(const struct task *t, const struct backend_answer *from, int64_t tokens, struct iicp_buf *out);

/* task.c: the only way out of the corridor. */
/* For those who watch: a step of this task, and how it ended. */
void task_step(const struct task *t, const char *step, int status);
void task_finish(struct task *t, struct task_answer *answer);
void task_refuse(struct task *t, const struct iicp_refusal *refusal);
void task_release(struct task *t, bool answered_successfully);
uint64_t task_now_ms(const struct task *t);
/* For the operator's eyes: 8 characters, or "anon". Returns out. */
const char *task_caller(const struct task *t, char out[9]);
void corridor_changed(struct corridor *c);

#endif
