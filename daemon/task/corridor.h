/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CORRIDOR_H
#define IICPD_CORRIDOR_H

/* The inside of the corridor, for its own files only; doors see task.h. */

#include "node.h"
#include "principal.h"
#include "rate.h"
#include "seen.h"
#include "task.h"

#include <iicp/cx.h>
#include <iicp/policy.h>
#include <iicp/trace.h>
#include <iicp/urn.h>
#include <sys/queue.h>

#define TASK_TRACESTATE_MAX 512      /* bytes that are passed on [W3C trace context 3.3.1.5] */
#define TASK_RETRY_CAPACITY_MS 2000  /* [02 section 5.2] */
#define TOKEN_GRACE_MS 60000         /* the old node_token after a rotation [02 section 4.2] */
#define TRACES_AT_ONCE 64             /* trace ids that random bytes are drawn for */
#define AUTH_FAILURES_MAX 60         /* a minute and source, mode required [05 section 15] */

enum task_step { TASK_ADMITTING, TASK_WAITING, TASK_RUNNING, TASK_ANSWERED };

struct task {
        LIST_ENTRY(task) link;       /* corridor.running or corridor.waiters */
        struct corridor *corridor;
        task_answer_fn answer;
        void *door_arg;
        const char *door;
        enum task_step step;
        bool has_slot, has_id, encrypted, second_try;

        char *body;
        size_t n_body;
        struct sockaddr_storage peer;
        bool require_e2e;
        struct iicp_envelope env;
        struct principal principal;  /* step 4; kind NONE: anonymous */
        const struct iicp_intent *intent;
        struct iicp_buf opened;      /* decrypted payload; wiped */
        struct iicp_cx_session session;
        struct iicp_payload payload;
        struct iicp_str model;       /* absent: no list is known yet */
        char model_text[BACKEND_MODEL_NAME_MAX + 1]; /* where it stood in the payload */
        int64_t max_tokens;          /* sent to the backend; 0 = none */
        int64_t max_tokens_applied;  /* reported because the capability lowered it; 0 = not */

        struct iicp_trace trace;
        bool trace_given;            /* trace.span_id is a span of the caller */
        char call_span[17];          /* of the backend request; "" = none */
        char tracestate[TASK_TRACESTATE_MAX + 1];
        char trace_id[129];          /* X-IICP-Trace-Id of the answer */
        char profile[161];           /* a refused profile, for the answer */

        uint64_t received_ms, deadline_ms;
        uint64_t executing_ms, calling_ms; /* 0 = not reached */
        uint64_t arrival;            /* order among waiters */
        struct timer budget, queue;
        struct backend *backend;
        struct backend_call *call;
};

LIST_HEAD(task_list, task);

struct corridor {
        struct node *node;
        struct task_list running, waiters;
        unsigned active, waiting;
        uint64_t arrivals;
        struct seen *nonces, *ids;
        struct rate *origins, *addresses, *auth_failures;
        struct task_counts counts;
        unsigned char random[TRACES_AT_ONCE][IICP_TRACE_RANDOM];
        unsigned n_random;
        struct {                     /* step 6 of the intent that came last */
                char intent[IICP_URN_MAX];
                size_t n;
                enum iicp_risk risk;
                const char *rule;
        } judged;
        const char *draining;        /* static reason, NULL = not */
        char old_token[STATE_TOKEN_MAX + 1];
        uint64_t old_token_until_ms;
        bool was_available;
        void (*on_change)(void *arg);
        void *on_change_arg;
        void (*on_idle)(void *arg);
        void *on_idle_arg;
};

/* admit.c: steps 2 to 10 for a task that holds nothing yet. false: *refusal says why. TASK_WAITING
 * may be the result of step 10 (queue.c). */
bool task_admit(struct task *t, const struct task_request *request, struct iicp_refusal *refusal);
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

/* queue.c */
bool queue_wanted(const struct task *t);
void queue_add(struct task *t);
void queue_remove(struct task *t);
/* Gives freed slots to waiters. */
void queue_run(struct corridor *c);

/* execute.c: step 11 (slot, nonce, id, together) and onwards. false: answered already, t is dead. */
bool task_execute(struct task *t);

/* answer.c: the 200 body; refusal.id != NONE when the result cannot be presented. */
void answer_build(struct task *t, const struct backend_answer *from, struct iicp_buf *out,
                  int64_t *ret_tokens, struct iicp_refusal *ret_refusal);

/* task.c: the only way out of the corridor. */
void task_finish(struct task *t, struct task_answer *answer);
void task_refuse(struct task *t, const struct iicp_refusal *refusal);
void task_release(struct task *t, bool answered_successfully);
uint64_t task_now_ms(const struct task *t);
void corridor_changed(struct corridor *c);

#endif
