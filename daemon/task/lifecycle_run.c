/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle_internal.h"

#include "lifecycle_account.h"
#include "result.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

/* What the corridor does with a task of the profile: at its birth, with each piece of text, at its end. */

static struct lifecycle *store_of(const struct task *t) {
        return t->corridor->lifecycle;
}

/* ---- submit ---- */

enum lifecycle_lookup lifecycle_look_up(struct task *t, struct iicp_refusal *refusal) {
        struct lifecycle *l = store_of(t);
        struct account_question q = {.operation = ACCOUNT_SUBMIT, .binding = ACCOUNT_CONFLICT};
        struct lifecycle_task *by_id, *by_key;

        by_id = lifecycle_by_id(l, t->binding.id_key);
        by_key = lifecycle_by_key(l, t->binding.idempotency);
        if (!by_id && !by_key)
                q.binding = ACCOUNT_FRESH;
        else if (by_id == by_key && memcmp(by_id->digest, t->binding.digest, LIFECYCLE_DIGEST) == 0)
                q = (struct account_question){.operation = ACCOUNT_SUBMIT, .binding = ACCOUNT_SAME,
                                              .reserved = by_id->reserved, .settled = by_id->settled, .accepted = true};
        switch (account_decide(&q).decision) {
        case ACCOUNT_START_EXECUTION:
                return LIFECYCLE_NEW;
        case ACCOUNT_REUSE_EXECUTION:
                t->record = by_id;
                return LIFECYCLE_KNOWN;
        default:
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_BINDING};
                return LIFECYCLE_REFUSED;
        }
}

static struct lifecycle_content nothing(void) {
        return (struct lifecycle_content){.tokens = -1};
}

bool lifecycle_accept(struct task *t, struct iicp_refusal *refusal) {
        struct lifecycle *l = store_of(t);
        struct lifecycle_content none = nothing();
        struct lifecycle_task *r;

        if (l->facts.tasks >= LIFECYCLE_TASKS_MAX) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_BUSY, .reason = "lifecycle_store_full",
                                                 .retry_after_ms = LIFECYCLE_RETRY_FULL_MS};
                return false;
        }
        r = lifecycle_task_new(l, t);
        if (!r) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_INTERNAL};
                return false;
        }
        r->task = t;
        r->reserved = true;
        t->record = r;
        if (lifecycle_add(r, IICP_LIFECYCLE_ACCEPTED, &none, NULL) < 0 ||
            lifecycle_add(r, IICP_LIFECYCLE_RUNNING, &none, NULL) < 0) {
                t->record = NULL;
                lifecycle_forget(r);
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_INTERNAL};
                return false;
        }
        return true;
}

void lifecycle_answer(struct task *t, int status) {
        struct task_answer answer = {.status = status, .record = t->record};
        _cleanup_(iicp_buf_free) struct iicp_buf body = {0}, extra = {0};
        task_answer_fn fn = TAKE_PTR(t->answer);

        if (t->wants_admission) {
                admission_accepted(t, &extra);
                iicp_buf_puts(&extra, ",");
        }
        lifecycle_record_json(t->record, extra.p ? extra.p : "", &body);
        answer.body = iicp_buf_take(&body, &answer.n);
        memcpy(answer.trace_id, t->trace_id, sizeof(answer.trace_id));
        fn(t->door_arg, &answer);
}

/* ---- text ---- */

static const struct iicp_cx_session *session_of(const struct task *t) {
        return t->env.cx_response_required ? &t->session : NULL;
}

/* Text alone can be streamed: calls of tools and several choices come whole at the end, as does what
 * is sealed once for a caller who cannot open events. */
bool lifecycle_streams(const struct task *t) {
        return backend_streams(t->backend, t->intent) && !t->payload.has_tools && !t->payload.has_n &&
               !(t->whole && session_of(t));
}

void lifecycle_text(void *arg, struct iicp_str text) {
        struct task *t = arg;
        _cleanup_(iicp_buf_wipe) struct iicp_buf members = {.secret = true};
        struct lifecycle_content c = nothing();

        if (!t->first_ms)
                t->first_ms = task_now_ms(t);
        iicp_buf_reserve(&members, text.n + sizeof("\"result\":\"\""));
        iicp_buf_puts(&members, "\"result\":");
        iicp_buf_json_str(&members, text);
        c.members = iicp_buf_str(&members);
        if (members.error || lifecycle_add(t->record, IICP_LIFECYCLE_STREAMING, &c, session_of(t)) < 0) {
                struct iicp_refusal refusal = {.id = IICP_REFUSE_INTERNAL};

                task_refuse(t, &refusal);
        }
}

/* ---- end ---- */

static enum account_delivery delivery_of(const struct lifecycle_task *r, enum iicp_lifecycle_state state) {
        if (state == IICP_LIFECYCLE_COMPLETED)
                return ACCOUNT_COMPLETE;
        return r->machine.state == IICP_LIFECYCLE_STREAMING ? ACCOUNT_PARTIAL : ACCOUNT_NOTHING;
}

/* One settlement an execution, and its receipt. */
static void settle(struct lifecycle_task *r, enum iicp_lifecycle_state state, int64_t tokens) {
        struct account_question q = {
                .operation = state == IICP_LIFECYCLE_CANCELLED ? ACCOUNT_CANCEL : ACCOUNT_TERMINAL,
                .binding = ACCOUNT_SAME, .delivery = delivery_of(r, state), .reserved = r->reserved,
                .settled = r->settled, .accepted = true, .completed = state == IICP_LIFECYCLE_COMPLETED,
        };
        char at[21], used[40] = "";

        if (account_decide(&q).settlement != ACCOUNT_CREATE)
                return;
        r->settled = true;
        clock_rfc3339(clock_wall_s(r->store->node->clock), at);
        if (tokens >= 0)
                snprintf(used, sizeof(used), "\"tokens_used\":%lld,", (long long) tokens);
        snprintf(r->receipt, sizeof(r->receipt), "{\"outcome\":\"%s\",%s\"settled_at\":\"%s\"}",
                 iicp_lifecycle_state_name(state), used, at);
}

/* The terminal event always comes: without its content when there is no memory for it. */
static void end(struct task *t, enum iicp_lifecycle_state state, const struct lifecycle_content *c) {
        static const struct lifecycle_content bare = {.tokens = -1, .error_code = "internal_error",
                                                      .error_message = "the node failed to process the request"};
        struct lifecycle_task *r = TAKE_PTR(t->record);

        settle(r, state, c->tokens);
        if (lifecycle_add(r, state, c, state == IICP_LIFECYCLE_COMPLETED ? session_of(t) : NULL) < 0) {
                r->receipt[0] = '\0';
                if (lifecycle_add(r, IICP_LIFECYCLE_FAILED, &bare, NULL) < 0) {
                        lifecycle_forget(r);
                        return;
                }
        }
        lifecycle_task_end(r);
}

/* The codes of the stream stand for themselves. [02 section 10.8] */
static const char *error_code(const struct iicp_refusal *refusal) {
        const char *reason = refusal->id == IICP_REFUSE_BACKEND ? refusal->reason : NULL;

        if (reason && (strcmp(reason, "stream_incomplete") == 0 || strcmp(reason, "invalid_backend_stream") == 0))
                return reason;
        return iicp_refusal_info(refusal->id)->code;
}

void lifecycle_failed(struct task *t, const struct iicp_refusal *refusal) {
        struct lifecycle_content c = nothing();

        c.error_code = error_code(refusal);
        c.error_message = iicp_refusal_info(refusal->id)->message;
        end(t, refusal->id == IICP_REFUSE_TIMEOUT ? IICP_LIFECYCLE_EXPIRED : IICP_LIFECYCLE_FAILED, &c);
}

static void copy_value(struct iicp_buf *out, const char *name, const struct iicp_json *v) {
        if (v->type == IICP_JSON_NONE || v->type == IICP_JSON_NULL)
                return;
        iicp_buf_printf(out, "%s\"%s\":", out->n ? "," : "", name);
        if (v->type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
        iicp_buf_add_str(out, v->text);
        if (v->type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
}

/* From the normalised result: the whole of it, or what the increments did not tell. */
static void write_members(const struct task *t, struct iicp_str result, const struct result_facts *facts,
                          struct iicp_buf *out) {
        struct iicp_json object, choices, choice = {0}, v;
        struct iicp_json_iter it;

        if (iicp_json_scan(result, NULL, NULL, &object) < 0)
                return;
        if (t->record->machine.state != IICP_LIFECYCLE_STREAMING)
                copy_value(out, "result", &object);
        if (facts->model.type == IICP_JSON_STRING)
                copy_value(out, "model_used", &facts->model);
        else if (t->model.p) {
                iicp_buf_printf(out, "%s\"model_used\":", out->n ? "," : "");
                iicp_buf_json_str(out, t->model);
        }
        choices = iicp_json_get(&object, "choices");
        iicp_json_iter_init(&it, &choices);
        if (choices.type == IICP_JSON_ARRAY && iicp_json_next(&it, NULL, &choice)) {
                v = iicp_json_get(&choice, "finish_reason");
                copy_value(out, "finish_reason", &v);
        }
        v = iicp_json_get(&object, "usage");
        copy_value(out, "usage", &v);
}

/* Sealed once as a buffered answer is: for a door whose callers cannot open events. */
static int seal_whole(struct task *t, const struct backend_answer *from, struct iicp_buf *out) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf plain = {.max = IICP_BODY_MAX, .secret = true};
        struct iicp_refusal refusal = {.id = IICP_REFUSE_NONE};
        int64_t tokens;

        answer_build(t, from, &plain, &tokens, &refusal);
        if (plain.error)
                return plain.error;
        return iicp_cx_seal_response(&t->session, t->env.task_id, iicp_buf_str(&plain), out);
}

bool lifecycle_completed(struct task *t, const struct backend_answer *from, int64_t *ret_tokens,
                         struct iicp_refusal *refusal) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf result = {.secret = true}, members = {.max = IICP_BODY_MAX, .secret = true},
                                                 sealed = {0}, open = {0};
        struct lifecycle_content c = nothing();
        struct result_facts facts;
        int status = 0;

        if (!result_normalise(t->intent->kind, from->result, &result, &facts)) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_BACKEND, .reason = "backend_invalid_response"};
                return false;
        }
        if (t->whole && session_of(t))
                status = seal_whole(t, from, &sealed);
        else
                write_members(t, iicp_buf_str(&result), &facts, &members);
        answer_metrics(t, from, facts.tokens, &open);
        if (status == 0)
                status = result.error ? result.error : members.error ? members.error : open.error;
        if (status < 0) {
                *refusal = (struct iicp_refusal){.id = status == -E2BIG ? IICP_REFUSE_RESPONSE_TOO_LARGE
                                                                        : IICP_REFUSE_INTERNAL};
                return false;
        }
        answer_claim(t, iicp_buf_str(&result), facts.tokens);
        c.members = iicp_buf_str(&members);
        c.sealed = iicp_buf_str(&sealed);
        c.open = iicp_buf_str(&open);
        c.tokens = *ret_tokens = facts.tokens;
        end(t, IICP_LIFECYCLE_COMPLETED, &c);
        return true;
}

void lifecycle_cancel(struct lifecycle_task *r, struct lifecycle_cancelled *ret) {
        struct lifecycle_content c = nothing();
        struct task *t = r->task;

        ret->outcome = iicp_lifecycle_cancellation(r->machine.state, t != NULL);
        ret->evidence = iicp_lifecycle_evidence_name(IICP_LIFECYCLE_ALREADY_TERMINAL);
        if (!t)
                return;
        /* Closing the connection is all that backends understand. */
        ret->evidence = iicp_lifecycle_evidence_name(IICP_LIFECYCLE_TRANSPORT_ABORTED);
        c.error_code = "cancelled";
        c.error_message = "the task was cancelled";
        end(t, IICP_LIFECYCLE_CANCELLED, &c);
        task_abort(t);
}
