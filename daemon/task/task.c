/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"
#include "directory/award.h"

#include "log.h"
#include "observe/feed.h"
#include "observe/spans.h"
#include "util.h"

#include <errno.h>
#include <iicp/uuid.h>
#include <stdio.h>

uint64_t task_now_ms(const struct task *t) {
        return clock_mono_ms(t->corridor->node->clock);
}

static bool visible_ascii(struct iicp_str s) {
        for (size_t i = 0; i < s.n; i++)
                if (s.p[i] < 0x21 || s.p[i] > 0x7e)
                        return false;
        return s.n > 0;
}

static int trace_new(struct corridor *c, struct iicp_trace *ret) {
        if (c->n_random == 0) {
                if (iicp_random(c->random[0], sizeof(c->random)) < 0)
                        return -EIO;
                c->n_random = TRACES_AT_ONCE;
        }
        return iicp_trace_of(c->random[--c->n_random], ret);
}

/* Trace id of the task: traceparent, then trace.trace_id, then the header, then a new one. The
 * answer's header repeats the caller's where it sent one. [02 section 13.4] */
static void adopt_trace(struct task *t, const struct task_request *request) {
        struct iicp_str header = request->trace_id;

        t->trace_given = request->traceparent.p && iicp_trace_parse(request->traceparent, &t->trace) == 0;
        if (t->trace_given) {
                if (request->tracestate.p && request->tracestate.n <= TASK_TRACESTATE_MAX)
                        t->tracestate = strndup(request->tracestate.p, request->tracestate.n);
        } else if (trace_new(t->corridor, &t->trace) < 0)
                memset(&t->trace, 0, sizeof(t->trace));
        if (header.p && header.n < sizeof(t->trace_id) && visible_ascii(header))
                memcpy(t->trace_id, header.p, header.n);
}

/* Once the body is read: the two further places where a trace id may stand. */
static void adopt_trace_of_body(struct task *t, const struct task_request *request) {
        if (!t->trace_given) {
                if (iicp_trace_id_valid(t->env.trace_id))
                        memcpy(t->trace.trace_id, t->env.trace_id.p, 32);
                else if (iicp_trace_id_valid(request->trace_id))
                        memcpy(t->trace.trace_id, request->trace_id.p, 32);
        }
        if (!t->trace_id[0])
                memcpy(t->trace_id, t->trace.trace_id, 32);
}

static void task_free(struct task *t) {
        timer_clear(&t->budget);
        award_claim_free(t->claim);
        timer_clear(&t->queue);
        iicp_envelope_free(&t->env);
        iicp_buf_wipe(&t->opened);
        iicp_buf_wipe(&t->rewritten);
        iicp_wipe(&t->session, sizeof(t->session));
        free(t->tracestate);
        if (t->body)
                iicp_wipe(t->body, t->n_body);
        free(t->body);
        free(t);
}

/* Gives back what the task holds, in any state. */
void task_release(struct task *t, bool answered_successfully) {
        struct corridor *c = t->corridor;
        struct principal_value id;

        if (t->call)
                backend_call_cancel(TAKE_PTR(t->call));
        if (t->step == TASK_WAITING)
                queue_remove(t);
        if (t->has_id && !answered_successfully) {
                principal_value(&t->principal, t->env.task_id, &id);
                seen_remove(c->ids, id.text);
        }
        if (t->step == TASK_ASKING)
                cip_forget(t);
        cip_release(t);
        if (t->has_slot) {
                LIST_REMOVE(t, link);
                c->active--;
        }
        t->has_slot = t->has_id = false;
        t->step = TASK_ANSWERED;
}

static void after_release(struct corridor *c) {
        queue_run(c);
        corridor_changed(c);
}

static void leave_spans(const struct task *t, bool ok) {
        struct spans *spans = t->corridor->node->spans;
        struct span_task ended = {
                .trace = &t->trace, .has_parent = t->trace_given, .backend_span = t->call_span,
                .task_id = t->env.task_id, .intent = t->env.intent, .received_ms = t->received_ms,
                .executing_ms = t->executing_ms, .calling_ms = t->calling_ms, .ended_ms = task_now_ms(t), .ok = ok,
        };

        if (spans && spans_wanted(spans))
                spans_task(spans, &ended);
}

void task_step(const struct task *t, const char *step, int status) {
        struct feed_task told = {
                .step = step, .door = t->door, .backend = t->backend ? backend_name(t->backend) : NULL,
                .task_id = t->env.task_id, .model = t->model, .status = status,
                .took_ms = status || t->executing_ms ? task_now_ms(t) - t->received_ms : 0,
        };

        feed_task(t->corridor->node->feed, &told);
}

const char *task_caller(const struct task *t, char out[9]) {
        const char *id = t->principal.id;

        if (t->own)
                id = "selftest";
        else if (t->principal.kind == PRINCIPAL_NONE || !*id)
                id = "anon";
        else if (strncmp(id, "caller:", 7) == 0)
                id += 7;
        snprintf(out, 9, "%.8s", id);
        for (char *p = out; *p; p++)
                if ((unsigned char) *p < ' ' || (unsigned char) *p > '~')
                        *p = '?';
        return out;
}

static void copy(char *out, size_t cap, struct iicp_str text) {
        char safe[160];

        snprintf(out, cap, "%s", text.p ? log_text_cut(text, safe, sizeof safe, cap - 1) : "");
}

/* status 0: nobody is there to be answered. */
static void remember(const struct task *t, int status) {
        struct recent_task r = {
                .door = t->door, .status = status, .encrypted = t->encrypted, .tokens = t->tokens,
                .ended_at = clock_wall_s(t->corridor->node->clock), .received_ms = t->received_ms,
                .admitted_ms = t->executing_ms, .asked_ms = t->calling_ms, .first_ms = t->first_ms, .ended_ms = task_now_ms(t),
                .outcome = status == 0 ? "aborted" : status < 300 ? "success" : !t->has_slot ? "refused" : status == 504 ? "timeout" : "error",
        };

        copy(r.id, sizeof r.id, t->env.task_id);
        copy(r.intent, sizeof r.intent, t->env.intent);
        copy(r.model, sizeof r.model, t->model);
        copy(r.backend, sizeof r.backend, iicp_str(t->backend ? backend_name(t->backend) : ""));
        copy(r.code, sizeof r.code, iicp_str(t->failed_code ? t->failed_code : ""));
        copy(r.reason, sizeof r.reason, iicp_str(t->failed_reason ? t->failed_reason : ""));
        task_caller(t, r.caller);
        recent_add(t->corridor->recent, &r);
}

/* By the status: 0, the caller has left. */
static const char *ended_by(int status) {
        switch (status) {
        case 0: return "caller";
        case 504: return "budget";
        case 503: return "shutdown";
        default: return NULL;
        }
}

static void count_end(const struct task *t, int status) {
        struct tally *tally = &t->corridor->node->tally;
        const char *by = ended_by(status);

        if (!t->executing_ms)
                return;
        task_step(t, "task_ended", status);
        if (t->own)
                return;
        tally_add(&tally->doors, t->door);
        if (by)
                tally_add(&tally->aborted, by);
        tally_histogram_add(&tally->wait, t->executing_ms - t->received_ms);
        if (t->calling_ms)
                tally_histogram_add(&tally->overhead, t->calling_ms - t->executing_ms);
        if (t->first_ms)
                tally_histogram_add(&tally->first_byte, t->first_ms - t->received_ms);
}

void task_finish(struct task *t, struct task_answer *answer) {
        struct corridor *c = t->corridor;
        task_answer_fn fn = t->answer;
        void *arg = t->door_arg;
        bool held = t->has_slot || t->step == TASK_WAITING;

        remember(t, answer->status);
        leave_spans(t, answer->status == 200);
        count_end(t, answer->status);
        task_release(t, answer->status == 200);
        memcpy(answer->trace_id, t->trace_id, sizeof(answer->trace_id));
        task_free(t);
        if (fn)
                fn(arg, answer);
        if (held)
                after_release(c);
}

static void count_failure(struct task *t, int status) {
        struct corridor *c = t->corridor;
        uint64_t took_ms = task_now_ms(t) - t->received_ms;
        enum task_outcome outcome = status == 504 ? OUTCOME_TIMEOUT : OUTCOME_ERROR;

        if (t->own)
                return;
        metrics_task(c->node->metrics, t->env.intent, t->env.qos, outcome, took_ms, -1);
        c->counts.failed++;
        c->counts.latency_ms_sum += (double) took_ms;
}

static void log_failure(const struct task *t, const struct iicp_refusal *refusal, int status) {
        char id[64], reason[48] = "";
        const char *backend = t->backend ? backend_name(t->backend) : NULL;
        struct log_fields fields = {
                .subject = backend, .task_id = log_text(t->env.task_id, id, sizeof(id)),
                .backend = backend, .reason = refusal->reason,
                .code = iicp_refusal_info(refusal->id)->code,
                .duration_ms = (int64_t) (task_now_ms(t) - t->received_ms),
        };

        if (refusal->reason)
                snprintf(reason, sizeof(reason), " (%s)", refusal->reason);
        log_event(LOG_L_INFO, "task_failed", &fields, "task %.8s failed: %s%s%s%s; the caller got %d", id,
                  fields.code, reason, backend ? " on backend " : "", backend ? backend : "", status);
}

/* Step 14 was reached: what comes now is a failure, what came before is a refusal. */
static bool executed(const struct task *t, int status) {
        return t->has_slot && (status == 500 || status == 502 || status == 504);
}

void task_refuse(struct task *t, const struct iicp_refusal *refusal) {
        const struct iicp_refusal_info *info = iicp_refusal_info(refusal->id);
        struct task_answer answer = {
                .status = info->status,
                .retry_after_s = iicp_refusal_retry_after_s(refusal),
                .www_authenticate = refusal->id == IICP_REFUSE_UNAUTHORIZED,
        };
        _cleanup_(iicp_buf_free) struct iicp_buf body = {.max = IICP_BODY_MAX};
        struct iicp_refusal told = *refusal;
        struct iicp_str id = t->env.task_id;
        int64_t latency_ms = -1;

        t->failed_code = info->code;
        t->failed_reason = refusal->reason;
        if (executed(t, info->status)) {
                latency_ms = (int64_t) (task_now_ms(t) - t->received_ms);
                count_failure(t, info->status);
                log_failure(t, refusal, info->status);
        } else if (!t->own)
                metrics_refused(t->corridor->node->metrics, refusal->id);
        if (t->record) { /* its door has had its answer */
                lifecycle_failed(t, refusal);
                task_finish(t, &answer);
                return;
        }
        if (id.n > IICP_TASK_ID_ECHO_MAX)
                id = IICP_STR_NONE;
        if (t->wants_admission)
                told.outcome = admission_outcome(refusal, t->call != NULL);
        iicp_refusal_task_body(&told, id, latency_ms, &body);
        if (t->has_slot && t->cip.sub_task && !body.error) {
                body.n--; /* the bracket at the end */
                cip_trace(t, &body);
                iicp_buf_puts(&body, "}");
        }
        answer.body = iicp_buf_take(&body, &answer.n);
        task_finish(t, &answer);
}

void task_abort(struct task *t) {
        struct corridor *c = t->corridor;
        bool held = t->has_slot || t->step == TASK_WAITING;

        remember(t, 0);
        if (t->has_slot && !t->own)
                metrics_task(c->node->metrics, t->env.intent, t->env.qos, OUTCOME_ABORTED,
                             task_now_ms(t) - t->received_ms, -1);
        leave_spans(t, false);
        count_end(t, 0);
        task_release(t, false);
        task_free(t);
        if (held)
                after_release(c);
}

struct task *task_start(struct corridor *c, struct task_request *request, task_answer_fn answer, void *door_arg) {
        struct iicp_refusal refusal = {.id = IICP_REFUSE_INTERNAL};
        struct task *t = calloc(1, sizeof(*t));

        if (!t) {
                struct task_answer none = {.status = 500, .close = true};

                free(TAKE_PTR(request->body));
                answer(door_arg, &none);
                return NULL;
        }
        t->corridor = c;
        t->answer = answer;
        t->door_arg = door_arg;
        t->door = request->door;
        t->peer = request->peer;
        t->lifecycle = request->lifecycle;
        t->whole = request->whole;
        t->own = request->own;
        t->tokens = -1;
        t->require_e2e = request->require_e2e || (c->node->config->cx_require && !t->own);
        t->n_body = request->n;
        t->body = TAKE_PTR(request->body);
        t->received_ms = task_now_ms(t);
        t->deadline_ms = t->received_ms + c->node->config->default_timeout_ms;
        adopt_trace(t, request);

        if (!task_admit(t, request, &refusal)) {
                adopt_trace_of_body(t, request);
                task_refuse(t, &refusal);
                return NULL;
        }
        adopt_trace_of_body(t, request);
        if (t->record) { /* known: nothing is executed */
                lifecycle_answer(t, 200);
                task_free(t);
                return NULL;
        }
        if (t->step == TASK_WAITING || t->step == TASK_ASKING)
                return t;
        t->step = TASK_RUNNING;
        /* An accepted lifecycle task is its record's, not the door's. */
        return task_execute(t) && !t->record ? t : NULL;
}
