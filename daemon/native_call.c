/* SPDX-License-Identifier: Apache-2.0 */
#include "door_native_internal.h"

#include "util.h"

#include <errno.h>
#include <iicp/uuid.h>
#include <stdlib.h>

/* ---- out ---- */

static void send_refusal(struct native_conn *c, enum iicp_refusal_id id) {
        struct iicp_refusal refusal = {.id = id};
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {};

        if (c->call.lifecycle) {
                native_stream_refused(c, iicp_refusal_info(id)->code, iicp_refusal_info(id)->message);
                return;
        }
        native_refusal_put(c, &refusal, &out);
        native_link_send(&c->wire, IICP_FRAME_RESPONSE, iicp_buf_str(&out));
}

void native_call_done(struct native_conn *c) {
        c->call.running = false;
        c->call.task = NULL;
        native_conn_next(c);
}

static void note_status(struct native_conn *c, int status) {
        if (status == 401 && ++c->auth_failures >= NATIVE_AUTH_FAILURES_MAX)
                native_link_close(&c->wire, IICP_CLOSE_AUTH_FAILED);
}

static void on_answer(void *arg, struct task_answer *answer) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {.max = 2 * IICP_BUF_MAX, .secret = true};
        struct native_conn *c = arg;
        bool streams = false;
        int r = 0;

        if (c->call.lifecycle && answer->record) {
                seen_add(c->door->call_ids, iicp_str(c->call.call_id), clock_mono_ms(c->door->node->clock));
                streams = native_stream_begin(c, answer);
        } else if (c->call.lifecycle)
                native_refused_lifecycle(c, answer);
        else
                r = native_answer_put(c, answer, &out);
        if (answer->body && answer->secret)
                explicit_bzero(answer->body, answer->n);
        free(answer->body);
        c->call.task = NULL;
        if (streams) {
                if (native_stream_pump(c))
                        native_call_done(c);
                return;
        }
        if (r == 0 && !c->call.lifecycle)
                r = native_link_send(&c->wire, IICP_FRAME_RESPONSE, iicp_buf_str(&out));
        if (r < 0)
                send_refusal(c, r == -E2BIG ? IICP_REFUSE_RESPONSE_TOO_LARGE : IICP_REFUSE_INTERNAL);
        note_status(c, answer->status);
        native_call_done(c);
}

/* ---- in ---- */

static void keep(char *to, struct iicp_str from) {
        memcpy(to, from.p, MIN(from.n, (size_t) IICP_SESSION_ID_MAX));
        to[MIN(from.n, (size_t) IICP_SESSION_ID_MAX)] = '\0';
}

/* Key 24, else 15, else 2. Shipped clients send the same literal as session of every CALL: without an
 * id of its own such a task gets one from us, else the second would be a repetition of the first. */
static int choose_task_id(struct native_call *call, const struct iicp_msg_call *m) {
        struct iicp_str id = m->task_id.p ? m->task_id : m->call_id.p ? m->call_id : m->session_id;

        if (!m->task_id.p && !m->call_id.p && !iicp_uuid4_valid(m->session_id) && m->session_id.n < 36)
                return iicp_uuid4(call->task_id);
        keep(call->task_id, id);
        return 0;
}

static int begin(struct native_conn *c, const struct iicp_msg_call *m) {
        struct native_call *call = &c->call;

        *call = (struct native_call){
                .running = true, .lifecycle = m->task_id.p && m->call_id.p && c->door->node->config->lifecycle_enabled, .has_call_id = m->call_id.p != NULL,
                .has_trace = m->trace_id.p != NULL,
        };
        keep(call->session_id, m->session_id);
        if (m->call_id.p)
                keep(call->call_id, m->call_id);
        if (m->trace_id.p)
                memcpy(call->trace_id, m->trace_id.p, sizeof call->trace_id);
        return choose_task_id(call, m);
}

static void start_task(struct native_conn *c, struct native_request *r) {
        struct node *node = c->door->node;
        struct task_request q = {
                .peer = c->peer,
                .authorization = r->token.n ? iicp_buf_str(&r->token) : IICP_STR_NONE,
                .traceparent = iicp_str(*r->traceparent ? r->traceparent : NULL),
                .trace_id = iicp_str(*r->trace_hex ? r->trace_hex : NULL),
                .tls = c->tls,
                .lifecycle = c->call.lifecycle,
                .whole = true,
                .any_id = true,
                .any_caller = true,
                .door = "native",
        };
        struct task *t;

        if (r->token.n)
                q.consumer_token = (struct iicp_str){r->token.p + 7, r->token.n - 7};
        q.body = iicp_buf_take(&r->body, &q.n);
        if (!q.body) {
                send_refusal(c, IICP_REFUSE_INTERNAL);
                native_call_done(c);
                return;
        }
        t = task_start(node->corridor, &q, on_answer, c);
        if (t)
                c->call.task = t; /* else it has been answered, and c may be at its next one */
}

enum iicp_close native_call_start(struct native_conn *c, struct iicp_str payload, bool gzip_inside) {
        struct native_request r;
        struct iicp_msg_call m;
        enum iicp_close why = iicp_msg_call_read(payload, c->wire.options, &m);

        if (why != IICP_CLOSE_NONE)
                return why;
        if (begin(c, &m) < 0)
                return IICP_CLOSE_NO_MEMORY;
        c->door->calls++;
        if (c->call.lifecycle && seen_has(c->door->call_ids, m.call_id, clock_mono_ms(c->door->node->clock))) {
                metrics_refused(c->door->node->metrics, IICP_REFUSE_DUPLICATE_TASK);
                send_refusal(c, IICP_REFUSE_DUPLICATE_TASK);
                native_call_done(c);
                return IICP_CLOSE_NONE;
        }
        why = native_request_build(c, &m, iicp_str(c->call.task_id), gzip_inside, &r);
        if (why == IICP_CLOSE_NONE && r.refusal.id != IICP_REFUSE_NONE) {
                metrics_refused(c->door->node->metrics, r.refusal.id);
                send_refusal(c, r.refusal.id);
                native_call_done(c);
        } else if (why == IICP_CLOSE_NONE)
                start_task(c, &r);
        native_request_free(&r);
        return why;
}

void native_call_abort(struct native_conn *c) {
        struct task *t = TAKE_PTR(c->call.task);

        if (t)
                task_abort(t);
        native_stream_abort(c);
        c->call.running = false;
}

void native_call_drained(struct native_conn *c) {
        if (native_stream_pump(c))
                native_call_done(c);
}
