/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_internal.h"

#include "native_link.h"
#include "native_voice.h"
#include "task/lifecycle.h"
#include "util.h"

#include <stdio.h>

/* A task that comes through a relay walks the same corridor as any other; its door is called "relay".
 * The relay's task object is the body of POST /v1/task. [03 sections 13, 19.2] */

struct worker_call {
        LIST_ENTRY(worker_call) link;
        struct worker_calls *of;
        char call_id[IICP_SESSION_ID_MAX + 1], task_id[IICP_SESSION_ID_MAX + 1], session_id[IICP_SESSION_ID_MAX + 1];
        bool stream;                   /* a lifecycle CALL */
        bool began;                    /* this CALL began the task: leaving cancels it */
        struct task *task;             /* until its answer */
        struct lifecycle_observer *observer; /* from then on, of a stream */
        uint64_t sequence;
};

void worker_calls_init(struct worker_calls *c, struct node *node, void *arg) {
        *c = (struct worker_calls){.node = node, .arg = arg};
        LIST_INIT(&c->list);
}

static void call_free(struct worker_call *k) {
        struct worker_calls *c = k->of;

        LIST_REMOVE(k, link);
        c->n--;
        free(k);
        if (c->n == 0 && c->idle)
                c->idle(c->arg);
}

/* ---- answers ---- */

/* A success is what POST /v1/task answers; a failure has the error of it and nothing of what ran. */
static void put_failure(const struct task_answer *a, struct iicp_buf *out) {
        struct iicp_json body, id, error = {0};

        iicp_buf_puts(out, "{\"task_id\":");
        if (a->body && iicp_json_scan((struct iicp_str){a->body, a->n}, NULL, NULL, &body) == 0) {
                error = iicp_json_get(&body, "error");
                id = iicp_json_get(&body, "task_id");
                if (id.type == IICP_JSON_STRING) {
                        iicp_buf_puts(out, "\"");
                        iicp_buf_add_str(out, id.text);
                        iicp_buf_puts(out, "\"");
                } else
                        iicp_buf_puts(out, "null");
        } else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, ",\"status\":\"error\",\"error\":");
        if (error.type == IICP_JSON_OBJECT)
                iicp_buf_add_str(out, error.text);
        else
                iicp_buf_puts(out, "{\"code\":\"internal_error\",\"message\":\"the task failed\"}");
        iicp_buf_puts(out, "}");
}

static void refuse(struct worker_calls *c, const char *call_id, enum iicp_refusal_id id) {
        struct iicp_refusal refusal = {.id = id};
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0}, out = {0};
        struct task_answer answer = {.status = iicp_refusal_info(id)->status};

        metrics_refused(c->node->metrics, id);
        iicp_refusal_task_body(&refusal, IICP_STR_NONE, -1, &text);
        answer.body = text.p;
        answer.n = text.n;
        put_failure(&answer, &out);
        if (!out.error)
                c->result(c->arg, call_id, iicp_buf_str(&out));
}

static void forget_answer(struct task_answer *a) {
        if (a->body && a->secret)
                explicit_bzero(a->body, a->n);
        free(a->body);
}

static struct native_voice voice(struct worker_call *k) {
        return (struct native_voice){
                .wire = k->of->wire,
                .node_id = iicp_str(state_identity(k->of->node->state)->node_id),
                .session_id = iicp_str(k->session_id),
                .call_id = iicp_str(k->call_id),
                .task_id = iicp_str(k->task_id),
                .sequence = &k->sequence,
        };
}

static void stream_failed(struct worker_call *k, const char *code, const char *message) {
        struct native_voice v = voice(k);

        native_voice_failed(&v, code, message);
}

/* True: the last event is sent. */
static bool pump(struct worker_call *k) {
        struct native_voice v = voice(k);
        struct lifecycle_event *e;

        while (v.wire->state == LINK_OPEN && native_link_has_room(v.wire)) {
                switch (lifecycle_observer_next(k->observer, &e)) {
                case LIFECYCLE_EVENT:
                        native_voice_event(&v, e);
                        lifecycle_event_unref(e);
                        break;
                case LIFECYCLE_WAIT:
                        return false;
                case LIFECYCLE_LAGGED:
                        stream_failed(k, "stream_incomplete", "events were taken too slowly");
                        return true;
                case LIFECYCLE_END:
                        return true;
                }
        }
        return false;
}

static void stream_end(struct worker_call *k) {
        k->observer = lifecycle_observer_free(k->observer);
        call_free(k);
}

static void on_ready(void *arg) {
        struct worker_call *k = arg;

        if (pump(k))
                stream_end(k);
}

/* The error of an answer, as the only RESPONSE of a stream. */
static void stream_refused(struct worker_call *k, const struct task_answer *a) {
        struct iicp_json body, error, v;
        char code[64] = "internal_error", message[256] = "";

        if (a->body && iicp_json_scan((struct iicp_str){a->body, a->n}, NULL, NULL, &body) == 0) {
                error = iicp_json_get(&body, "error");
                v = iicp_json_get(&error, "code");
                if (iicp_json_copy(&v, code, sizeof code) < 0)
                        snprintf(code, sizeof code, "internal_error");
                v = iicp_json_get(&error, "message");
                if (iicp_json_copy(&v, message, sizeof message) < 0)
                        message[0] = '\0';
        }
        stream_failed(k, code, message);
}

static void stream_begin(struct worker_call *k, const struct task_answer *a) {
        struct iicp_refusal refusal;

        if (!a->record) {
                stream_refused(k, a);
                call_free(k);
                return;
        }
        k->began = a->status == 202;
        k->observer = lifecycle_observe(a->record, -1, on_ready, k, &refusal);
        if (!k->observer) {
                stream_failed(k, iicp_refusal_info(refusal.id)->code, iicp_refusal_info(refusal.id)->message);
                call_free(k);
        } else if (pump(k))
                stream_end(k);
}

static void on_answer(void *arg, struct task_answer *a) {
        struct worker_call *k = arg;
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {.max = 2 * IICP_BUF_MAX, .secret = true};
        struct worker_calls *c = k->of;

        k->task = NULL;
        if (k->stream) {
                stream_begin(k, a);
                forget_answer(a);
                return;
        }
        if (a->status == 200 && a->body)
                c->result(c->arg, k->call_id, (struct iicp_str){a->body, a->n});
        else {
                put_failure(a, &out);
                if (!out.error)
                        c->result(c->arg, k->call_id, iicp_buf_str(&out));
        }
        forget_answer(a);
        call_free(k);
}

/* ---- calls ---- */

static void hex(const char *p, size_t n, char *out) {
        for (size_t i = 0; i < n; i++)
                snprintf(out + 2 * i, 3, "%02x", (unsigned char) p[i]);
}

static void keep(char *to, struct iicp_str from) {
        size_t n = MIN(from.n, (size_t) IICP_SESSION_ID_MAX);

        if (n)
                memcpy(to, from.p, n);
        to[n] = '\0';
}

static struct worker_call *call_new(struct worker_calls *c, const struct iicp_relay_call *m) {
        struct worker_call *k = calloc(1, sizeof *k);

        if (!k)
                return NULL;
        k->of = c;
        keep(k->call_id, m->call_id);
        keep(k->task_id, m->task_id);
        keep(k->session_id, m->session_id);
        /* Key 24 alone asks for a stream; who cannot give one answers as a whole. */
        k->stream = c->wire && m->task_id.p && m->session_id.p && c->node->config->lifecycle_enabled;
        LIST_INSERT_HEAD(&c->list, k, link);
        c->n++;
        return k;
}

static void start_task(struct worker_call *k, const struct iicp_relay_call *m, char *body) {
        struct worker_calls *c = k->of;
        char trace[33] = "", parent[56] = "", span[17];
        struct task_request q = {
                .body = body, .n = m->task.n, .peer = c->peer, .consumer_token = m->token, .tls = c->tls,
                .lifecycle = k->stream, .whole = true, .any_caller = true, .door = "relay",
        };
        struct task *t;

        if (m->trace_id.p) {
                hex(m->trace_id.p, 16, trace);
                q.trace_id = iicp_str(trace);
        }
        if (m->trace_id.p && m->parent_span.p) {
                hex(m->parent_span.p, 8, span);
                snprintf(parent, sizeof parent, "00-%s-%s-01", trace, span);
                q.traceparent = iicp_str(parent);
        }
        t = task_start(c->node->corridor, &q, on_answer, k);
        if (t)
                k->task = t; /* else it has been answered, and k may be gone */
}

void worker_call_start(struct worker_calls *c, const struct iicp_relay_call *m) {
        char call_id[IICP_SESSION_ID_MAX + 1];
        struct worker_call *k;
        char *body;

        keep(call_id, m->call_id);
        if (c->n >= WORKER_CALLS_MAX) {
                refuse(c, call_id, IICP_REFUSE_CAPACITY);
                return;
        }
        if (m->task.n > IICP_BODY_MAX) {
                refuse(c, call_id, IICP_REFUSE_TOO_LARGE);
                return;
        }
        body = malloc(m->task.n + 1);
        k = body ? call_new(c, m) : NULL;
        if (!k) {
                free(body);
                refuse(c, call_id, IICP_REFUSE_INTERNAL);
                return;
        }
        if (m->task.n)
                memcpy(body, m->task.p, m->task.n);
        start_task(k, m, body);
}

/* Leaving is the way to cancel: nothing is counted as success or failure. */
void worker_calls_abort(struct worker_calls *c) {
        struct worker_call *k;
        struct lifecycle_cancelled cancelled;

        c->idle = NULL;
        while ((k = LIST_FIRST(&c->list))) {
                struct task *t = TAKE_PTR(k->task);
                struct lifecycle_observer *o = TAKE_PTR(k->observer);

                if (t)
                        task_abort(t);
                if (o) {
                        if (k->began)
                                lifecycle_cancel(lifecycle_observed(o), &cancelled);
                        lifecycle_observer_free(o);
                }
                call_free(k);
        }
}

void worker_calls_drained(struct worker_calls *c) {
        for (struct worker_call *k = LIST_FIRST(&c->list), *next; k; k = next) {
                next = LIST_NEXT(k, link);
                if (k->observer && pump(k))
                        stream_end(k);
        }
}
