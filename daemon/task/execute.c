/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"
#include "directory/award.h"

#include "util.h"

#include <errno.h>

#define ANSWER_AROUND 512 /* bytes of an answer besides the result, mostly */

static bool answer_refused(struct task *t, enum iicp_refusal_id id) {
        struct iicp_refusal refusal = {.id = id};

        task_refuse(t, &refusal);
        return false;
}

/* Step 11: nonce, task id and slot are taken together or not at all. [02 section 5.3] */
static enum iicp_refusal_id take(struct task *t) {
        struct corridor *c = t->corridor;
        uint64_t now_ms = task_now_ms(t);
        bool has_nonce = t->env.nonce.p != NULL;
        struct principal_value nonce, id;

        principal_value(&t->principal, t->env.nonce, &nonce);
        principal_value(&t->principal, t->env.task_id, &id);
        if (has_nonce && seen_has(c->nonces, nonce.text, now_ms))
                return IICP_REFUSE_REPLAY;
        switch (seen_add(c->ids, id.text, now_ms)) {
        case 0:
                break;
        case -EEXIST:
                return IICP_REFUSE_DUPLICATE_TASK;
        default:
                return IICP_REFUSE_INTERNAL;
        }
        t->has_id = true;
        if (has_nonce && seen_add(c->nonces, nonce.text, now_ms) < 0)
                return IICP_REFUSE_INTERNAL;
        t->has_slot = true;
        c->active++;
        LIST_INSERT_HEAD(&c->running, t, link);
        return IICP_REFUSE_NONE;
}

static bool refuse_cx(enum iicp_cx_fault fault, struct iicp_refusal *refusal) {
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_CX, .detail_code = iicp_cx_detail_code(fault)};
        if (fault == IICP_CX_NOT_OBJECT)
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_VALIDATION, .field = "payload"};
        else if (fault == IICP_CX_FAILED)
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_INTERNAL};
        return false;
}

/* Step 12, first half: steps 3 to 8 of 05 section 3.6. */
static bool open_payload(struct task *t, struct iicp_json *ret_payload, struct iicp_refusal *refusal) {
        struct node *node = t->corridor->node;
        const struct iicp_cx_private *keys, *key = NULL;
        enum iicp_cx_fault fault;
        size_t n;

        keys = state_cx_keys(node->state, &n);
        fault = iicp_cx_precheck(&t->env.m_iicp_conf, keys, n, clock_wall_s(node->clock), &key);
        if (fault == IICP_CX_OK)
                fault = iicp_cx_open_request(&t->env.m_iicp_conf, key, t->env.task_id, t->env.intent,
                                             &t->opened, &t->session);
        if (fault == IICP_CX_OK)
                t->corridor->encrypted_opened++;
        else
                t->corridor->encrypted_refused++;
        if (fault != IICP_CX_OK)
                return refuse_cx(fault, refusal);
        if (iicp_json_scan(iicp_buf_str(&t->opened), NULL, NULL, ret_payload) < 0)
                return refuse_cx(IICP_CX_NOT_OBJECT, refusal);
        return true;
}

static unsigned media_flags(const struct task *t, const struct backend *b) {
        const struct config *conf = t->corridor->node->config;

        for (size_t i = 0; i < conf->n_backends; i++)
                if (strcmp(conf->backends[i].name, backend_name(b)) == 0)
                        return conf->backends[i].allow_remote_media ? IICP_PAYLOAD_REMOTE_MEDIA : 0;
        return 0;
}

/* The smallest of the given limits; the capability's counts only when it lowers one. [02 9.4] */
static void choose_max_tokens(struct task *t) {
        int64_t ceiling = policy_max_tokens(t->corridor->node->policy, t->env.intent);
        int64_t given = t->payload.max_tokens;

        if (!t->intent->takes_max_tokens)
                return;
        if (t->env.max_tokens > 0 && (given == 0 || t->env.max_tokens < given))
                given = t->env.max_tokens;
        if (given > ceiling)
                given = t->max_tokens_applied = ceiling;
        t->max_tokens = given;
}

/* Of an extended intent the backend gets the payload of another one. */
static bool rewrite(struct task *t, struct iicp_refusal *refusal) {
        struct iicp_json payload;

        t->rewritten.secret = true;
        if (iicp_extended_write(t->intent, &t->asked, &t->rewritten) == 0 &&
            iicp_json_scan(iicp_buf_str(&t->rewritten), NULL, NULL, &payload) == 0) {
                if (t->work == t->intent)
                        t->payload.object = payload; /* a form of its own */
                else if (!iicp_payload_check(t->work, &payload, 0, &t->payload, refusal))
                        return false;
                return true;
        }
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_INTERNAL};
        return false;
}

/* Step 12: decryption, payload rules, and of an encrypted task the model that it really asks for. */
static bool prepare(struct task *t, struct iicp_refusal *refusal) {
        struct iicp_json payload = t->env.payload;

        if (t->encrypted) {
                if (!open_payload(t, &payload, refusal) || !task_choose_model(t, &payload, refusal))
                        return false;
                if (t->model.p && task_pick(t, NULL, refusal) != PICK_OK)
                        return false;
        }
        t->asked = payload;
        if (!iicp_payload_check(t->intent, &payload, media_flags(t, t->backend), &t->payload, refusal))
                return false;
        choose_max_tokens(t);
        return !t->intent->extended || rewrite(t, refusal);
}

static void budget_over(void *arg) {
        answer_refused(arg, IICP_REFUSE_TIMEOUT);
}

static void count_success(struct task *t, int64_t tokens) {
        struct corridor *c = t->corridor;
        uint64_t took_ms = task_now_ms(t) - t->received_ms;

        t->tokens = tokens;
        if (t->own)
                return;
        metrics_task(c->node->metrics, t->env.intent, t->env.qos, OUTCOME_SUCCESS, took_ms, tokens);
        c->counts.success++;
        c->counts.latency_ms_sum += (double) took_ms;
        award_earned(TAKE_PTR(t->claim));
}

static void send_answer(struct task *t, struct iicp_buf *body, int64_t tokens) {
        struct task_answer answer = {.status = 200, .generated_by_ai = true, .secret = true};

        count_success(t, tokens);
        answer.body = iicp_buf_take(body, &answer.n);
        task_finish(t, &answer);
}

/* {"task_id","status":"encrypted","iicp_conf_resp"}: nothing of the result stands outside. */
static int seal(struct task *t, struct iicp_buf *plain, struct iicp_buf *out) {
        int r;

        iicp_buf_puts(out, "{\"task_id\":");
        iicp_buf_json_str(out, t->env.task_id);
        iicp_buf_puts(out, ",\"status\":\"encrypted\",\"iicp_conf_resp\":");
        r = iicp_cx_seal_response(&t->session, t->env.task_id, iicp_buf_str(plain), out);
        iicp_buf_puts(out, ",\"generated_by_ai\":true}");
        return r < 0 ? r : out->error;
}

static void answer_success(struct task *t, const struct backend_answer *from) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf plain = {.max = IICP_BODY_MAX};
        _cleanup_(iicp_buf_wipe) struct iicp_buf sealed = {.max = IICP_BODY_MAX};
        struct iicp_refusal refusal = {.id = IICP_REFUSE_NONE};
        int64_t tokens = -1;
        struct iicp_buf *out = &plain;
        int r;

        iicp_buf_reserve(&plain, MIN(from->result.n + ANSWER_AROUND, plain.max));
        answer_build(t, from, &plain, &tokens, &refusal);
        if (refusal.id != IICP_REFUSE_NONE) {
                task_refuse(t, &refusal);
                return;
        }
        r = plain.error;
        if (r == 0 && t->env.cx_response_required) {
                r = seal(t, &plain, &sealed);
                out = &sealed;
        }
        if (r < 0)
                answer_refused(t, r == -E2BIG ? IICP_REFUSE_RESPONSE_TOO_LARGE : IICP_REFUSE_INTERNAL);
        else
                send_answer(t, out, tokens);
}

/* The result goes into the terminal event; nobody waits for an answer any more. */
static void end_record(struct task *t, const struct backend_answer *from) {
        struct task_answer none = {.status = 200};
        struct iicp_refusal refusal;
        int64_t tokens = -1;

        if (!lifecycle_completed(t, from, &tokens, &refusal)) {
                task_refuse(t, &refusal);
                return;
        }
        count_success(t, tokens);
        task_finish(t, &none);
}

static bool call_backend(struct task *t);

/* At most one second try, on another backend with the same model, inside the same budget; nothing
 * was sent to the caller yet. [02 section 10.9] */
static bool try_elsewhere(struct task *t) {
        const struct backend *failed = t->backend;
        struct iicp_payload payload;
        struct iicp_refusal refusal;

        if (t->second_try || task_now_ms(t) >= t->deadline_ms)
                return false;
        t->second_try = true;
        if (task_pick(t, failed, &refusal) != PICK_OK ||
            !iicp_payload_check(t->intent, &t->asked, media_flags(t, t->backend), &payload, &refusal)) {
                t->backend = (struct backend *) failed;
                return false;
        }
        return call_backend(t);
}

/* What the caller asked for, out of what the model said. */
static void convert(const struct task *t, struct backend_answer *answer, struct iicp_buf *out) {
        if (iicp_extended_result(t->intent, &t->asked, answer->result, out) && !out->error) {
                answer->result = iicp_buf_str(out);
                return;
        }
        answer->refusal = (struct iicp_refusal){.id = IICP_REFUSE_BACKEND, .reason = "backend_invalid_response"};
        answer->retry_elsewhere = false;
}

static void backend_done(void *arg, const struct backend_answer *from) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf converted = {.secret = true};
        struct backend_answer whole = *from, *answer = &whole;
        struct task *t = arg;

        t->call = NULL;
        if (!t->first_ms)
                t->first_ms = task_now_ms(t);
        if (answer->refusal.id == IICP_REFUSE_NONE && t->intent->extended)
                convert(t, answer, &converted);
        if (answer->refusal.id == IICP_REFUSE_NONE && t->record)
                end_record(t, answer);
        else if (answer->refusal.id == IICP_REFUSE_NONE)
                answer_success(t, answer);
        else if (!answer->retry_elsewhere || !try_elsewhere(t))
                task_refuse(t, &answer->refusal);
}

static bool call_backend(struct task *t) {
        struct backend_task work = {
                .intent = t->work,
                .payload = &t->payload,
                .model = t->model,
                .max_tokens = t->max_tokens,
                .deadline_ms = t->deadline_ms,
                .trace = &t->trace,
                .tracestate = iicp_str(t->tracestate),
                .on_text = t->record && lifecycle_streams(t) ? lifecycle_text : NULL,
        };
        const struct iicp_trace *span;

        t->calling_ms = task_now_ms(t);
        t->call = backend_call_start(t->backend, &work, backend_done, t);
        if (t->call && (span = backend_call_span(t->call)))
                memcpy(t->call_span, span->span_id, sizeof t->call_span);
        return t->call != NULL;
}

/* While it waited, the same submit may have been accepted. */
static bool is_known_by_now(struct task *t) {
        struct iicp_refusal refusal;

        switch (lifecycle_look_up(t, &refusal)) {
        case LIFECYCLE_NEW:
                return false;
        case LIFECYCLE_KNOWN:
                lifecycle_answer(t, 200);
                t->record = NULL;
                task_abort(t);
                return true;
        case LIFECYCLE_REFUSED:
                break;
        }
        task_refuse(t, &refusal);
        return true;
}

bool task_execute(struct task *t) {
        struct iicp_refusal refusal;
        uint64_t now_ms;

        if (t->lifecycle && is_known_by_now(t))
                return false;
        refusal = (struct iicp_refusal){.id = take(t)};
        if (refusal.id != IICP_REFUSE_NONE || !prepare(t, &refusal)) {
                task_refuse(t, &refusal);
                return false;
        }
        now_ms = t->executing_ms = task_now_ms(t);
        if (now_ms >= t->deadline_ms)
                return answer_refused(t, IICP_REFUSE_TIMEOUT);
        if (t->lifecycle) {
                if (!lifecycle_accept(t, &refusal)) {
                        task_refuse(t, &refusal);
                        return false;
                }
                lifecycle_answer(t, 202);
        }
        if (!call_backend(t))
                return answer_refused(t, IICP_REFUSE_INTERNAL);
        timer_init(&t->budget, t->corridor->node->loop, budget_over, t);
        timer_set_ms(&t->budget, t->deadline_ms - now_ms);
        task_step(t, "task_started", 0);
        corridor_changed(t->corridor);
        return true;
}
