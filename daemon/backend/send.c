/* SPDX-License-Identifier: Apache-2.0 */
#include "send.h"
#include "../log.h"
#include "../node.h"
#include "util.h"

#include <stdio.h>

#define HEADERS_MAX 8
#define CONTENT_TYPE_MAX 160 /* bytes of that header; a multipart boundary is at most 70 */
#define TRACE_MAX 640        /* bytes of a trace header; tracestate is at most 512 */

/* ---- the answer ---- */

static void finish(struct backend_call *c, struct backend_answer *a) {
        struct backend *b = c->backend;

        if (a->refusal.id == IICP_REFUSE_NONE)
                b->n_ok++;
        else
                b->n_failed++;
        metrics_backend(b->node->metrics, judge_outcome(a));
        if (a->refusal.id != IICP_REFUSE_NONE)
                tally_backend_failure(&b->node->tally, b->name, judge_outcome(a));
        backend_call_end(c, a);
}

/* The codes that a stream has are those of 10.8; one that was only asked for to be put together is
 * judged like the answer in one piece. */
static void judge_stream(struct backend_call *c, const struct fetch_answer *from, struct backend_answer *a) {
        bool told = c->flow.on_text != NULL;
        struct fetch_answer whole = *from;

        switch (assemble_end(c->assemble, &whole.body)) {
        case ASSEMBLE_OK:
                if (c->assemble->plain)
                        c->backend->dialect->judge(c, &whole, a);
                else if ((told || c->assemble->form == FORM_MESSAGES) && !c->assemble->done)
                        judge_refuse(a, IICP_REFUSE_BACKEND, told ? "stream_incomplete" : "backend_failed");
                else
                        judge_object(c, whole.body, a);
                return;
        case ASSEMBLE_INVALID:
                judge_refuse(a, IICP_REFUSE_BACKEND, told ? "invalid_backend_stream" : "backend_invalid_response");
                return;
        case ASSEMBLE_FAILED:
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
                return;
        case ASSEMBLE_UNFINISHED:
                judge_refuse(a, IICP_REFUSE_BACKEND, told ? "stream_incomplete" : "backend_failed");
                return;
        }
}

static void judge_cut(struct backend_call *c, const struct fetch_answer *from, struct backend_answer *a) {
        if (c->assemble->done)
                judge_stream(c, from, a); /* what was cut came after the end */
        else if (c->flow.given || c->flow.text.n)
                judge_refuse(a, IICP_REFUSE_BACKEND, "stream_incomplete");
        else
                judge_error(c->backend, from, a);
}

static void judge(struct backend_call *c, const struct fetch_answer *from, struct backend_answer *a) {
        bool success = from->status >= 200 && from->status < 300, stream = c->assemble && success;

        /* An error answer that was too long to read is still that error. */
        if (from->error == FETCH_OK || (from->error == FETCH_TOO_LARGE && from->status >= 300)) {
                backend_reached(c->backend);
                if (!success)
                        judge_status(c->backend, from, a);
                else if (stream)
                        judge_stream(c, from, a);
                else
                        c->backend->dialect->judge(c, from, a);
        } else if (stream && from->error == FETCH_PROTOCOL) {
                judge_stream(c, from, a); /* mostly it was the reader of the stream that stopped */
        } else if (stream && from->error == FETCH_RESET) {
                judge_cut(c, from, a);
        } else {
                judge_error(c->backend, from, a);
        }
}

static void on_done(void *arg, const struct fetch_answer *from) {
        struct backend_answer a = {.refusal = {.id = IICP_REFUSE_NONE}};
        struct backend_call *c = arg;

        c->fetch = NULL;
        judge(c, from, &a);
        finish(c, &a);
}

/* The end mark came, and the end of the body does not. */
static void on_end_mark(void *arg) {
        static const struct fetch_answer end = {.error = FETCH_OK, .status = 200};
        struct backend_call *c = arg;

        fetch_cancel(TAKE_PTR(c->fetch));
        on_done(c, &end);
}

static bool on_piece(void *arg, struct iicp_str piece) {
        struct backend_call *c = arg;
        enum assemble_step step;
        struct iicp_str text;

        c->backend->last_ok_ms = backend_now_ms(c->backend);
        while ((step = assemble_next(c->assemble, &piece, &text)) == ASSEMBLE_TEXT)
                if (!backend_call_text(c, text))
                        return false; /* the call is gone */
        if (step == ASSEMBLE_STOP)
                return false;
        if (c->assemble->done && !timer_armed(&c->timer))
                timer_set_ms(&c->timer, STREAM_END_MS);
        return true;
}

/* ---- the request ---- */

bool backend_call_choose_model(struct backend_call *c, struct iicp_str asked) {
        const struct backend *b = c->backend;
        const struct model *m = asked.p ? model_list_find(b->registered, asked) : NULL;
        struct iicp_str name = m ? iicp_str(m->name) : asked.p ? asked : backend_model(b);

        if (name.n > BACKEND_MODEL_NAME_MAX)
                return false;
        if (name.n)
                memcpy(c->model_text, name.p, name.n);
        c->model_text[name.n] = 0;
        c->model = name.n ? (struct iicp_str){c->model_text, name.n} : IICP_STR_NONE;
        return true;
}

/* A buffered task of llama.cpp too: it notices an abandoned stream at once, an abandoned whole answer
 * maybe never. What cannot be put together is asked for in one piece. [02 section 10.10 rule 3] */
bool backend_call_wants_stream(const struct backend_call *c, const struct backend_task *t) {
        return (t->on_text || backend_is_llamacpp(c->backend)) && backend_streams(c->backend, t->intent) &&
               !t->payload->has_n && !t->payload->has_logprobs;
}

struct headers {
        const char *v[HEADERS_MAX];
        size_t n;
        char content_type[CONTENT_TYPE_MAX], id[TRACE_MAX], parent[TRACE_MAX], state[TRACE_MAX];
};

static bool one_line(struct iicp_str s) {
        return !memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n) && !memchr(s.p, 0, s.n);
}

static void trace_headers(struct backend_call *c, const struct backend_task *t, struct headers *h) {
        char text[IICP_TRACEPARENT_TEXT];

        if (!t->trace || !t->trace->trace_id[0] || backends_span(c->backend->set, t->trace, &c->span) < 0)
                return;
        iicp_trace_format(&c->span, text);
        snprintf(h->id, sizeof h->id, "X-IICP-Trace-Id: %s", c->span.trace_id);
        h->v[h->n++] = h->id;
        snprintf(h->parent, sizeof h->parent, "traceparent: %s", text);
        h->v[h->n++] = h->parent;
        if (t->tracestate.n && t->tracestate.n + 16 < sizeof h->state && one_line(t->tracestate)) {
                snprintf(h->state, sizeof h->state, "tracestate: %.*s", (int) t->tracestate.n, t->tracestate.p);
                h->v[h->n++] = h->state;
        }
}

bool backend_call_send(struct backend_call *c, const struct backend_task *t, const struct outgoing *o) {
        struct headers h = {.n = 0};
        char url[URL_MAX];
        struct backend *b = c->backend;
        uint64_t now_ms = backend_now_ms(b), left_ms = t->deadline_ms > now_ms ? t->deadline_ms - now_ms : 1;
        struct fetch_request r = {
                .method = "POST",
                .url = url,
                .headers = h.v,
                .body = iicp_buf_str(&c->body),
                .connect_timeout_ms = MIN((uint64_t) BACKEND_CONNECT_MS, left_ms),
                .timeout_ms = left_ms,
                .max_answer = BACKEND_ANSWER_MAX,
                .proxy = b->node->config->network_proxy,
                .tls_min = b->tls_min,
        };

        if (o->stream) {
                if (!(c->assemble = assemble_new(c->intent->kind, o->form, c->flow.on_text != NULL)))
                        return false;
                r.on_data = on_piece;
                r.max_stream = BACKEND_STREAM_MAX;
        }
        if (c->body.error || snprintf(url, sizeof url, "%s/v1%s", b->root, o->path) >= (int) sizeof url ||
            snprintf(h.content_type, sizeof h.content_type, "Content-Type: %s", o->content_type) >=
                    (int) sizeof h.content_type)
                return false;
        h.v[h.n++] = h.content_type;
        if (b->key)
                h.v[h.n++] = b->key;
        if (b->dialect->header)
                h.v[h.n++] = b->dialect->header;
        trace_headers(c, t, &h);
        timer_init(&c->timer, b->node->loop, on_end_mark, c);
        c->fetch = fetch_start(b->node->fetch, &r, on_done, c);
        return c->fetch != NULL;
}

void backend_call_unsend(struct backend_call *c) {
        fetch_cancel(TAKE_PTR(c->fetch));
}
