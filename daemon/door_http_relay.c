/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_relay.h"

#include "node.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/trace.h>
#include <stdio.h>
#include <stdlib.h>

/* Resources of a relay operator, beside the tasks of its own. [03 sections 14, 15] */

#define NO_TOKEN "invalid or missing relay session token"
#define NO_SESSION "no alive relay session for this worker"
#define NO_TARGET "target not in peer list and not a bound relay worker"
#define RATE_WINDOW_S 60

/* ---- answers ---- */

/* An error in this form, which is not that of the node's own refusals. */
void http_relay_fault(struct task_answer *a, int status, const char *code, const char *message, const char *more,
                      int64_t retry_after_s) {
        struct iicp_buf out = {0};

        iicp_buf_printf(&out, "{\"error\":{\"code\":\"IICP-%s\",\"message\":", code);
        iicp_buf_json_str(&out, iicp_str(message));
        iicp_buf_printf(&out, "%s}}", more);
        *a = (struct task_answer){
                .status = status, .retry_after_s = retry_after_s, .www_authenticate = status == 401};
        a->body = iicp_buf_take(&out, &a->n);
}

static enum MHD_Result answer(struct http_conn *c, struct task_answer *a) {
        return a->body ? http_answer_task(c, a) : MHD_NO;
}

enum MHD_Result http_relay_refuse(struct http_conn *c, int status, const char *code, const char *message) {
        struct task_answer a;

        http_relay_fault(&a, status, code, message, "", 0);
        return answer(c, &a);
}

enum MHD_Result http_relay_busy(struct http_conn *c) {
        struct task_answer a;

        http_relay_fault(&a, 429, "E021", "capacity_exceeded", "", RELAY_BUSY_RETRY_S);
        return answer(c, &a);
}

static enum MHD_Result malformed(struct http_conn *c, enum poll_fault f) {
        return http_relay_refuse(c, f == POLL_NO_JSON ? 400 : 422, "E001", poll_fault_text(f));
}

static enum MHD_Result empty(struct http_conn *c) {
        struct task_answer a = {.status = MHD_HTTP_NO_CONTENT};

        return http_answer_task(c, &a);
}

void http_relay_answer(struct http_relay *w, const struct task_answer *a) {
        w->conn->req.answer = *a;
        w->conn->req.answered = true;
        http_resume(w->conn);
}

struct http_relay *http_relay_new(struct http_conn *c) {
        struct http_relay *w = calloc(1, sizeof(*w));

        if (w)
                w->conn = c;
        c->req.relay = w;
        return w;
}

static struct iicp_str body_of(const struct http_conn *c) {
        return (struct iicp_str){c->req.body ? c->req.body : "", c->req.n};
}

/* ---- bind, unbind, result ---- */

static struct poll_session *session_of(const struct http_conn *c) {
        struct iicp_str value = c->req.fields.authorization;

        if (!value.p || value.n < 7 || strncasecmp(value.p, "Bearer ", 7) != 0)
                return NULL;
        value.p += 7;
        value.n -= 7;
        while (value.n > 0 && value.p[0] == ' ') {
                value.p++;
                value.n--;
        }
        return poll_find(c->door->node->polls, value);
}

static void add_model(void *arg, const char *name) {
        relay_models_add(arg, iicp_str(name));
}

static void find_lifecycle(void *arg, const char *name) {
        bool *declared = arg;

        *declared |= strcmp(name, IICP_PROFILE_LIFECYCLE) == 0;
}

static enum MHD_Result bind_answer(struct http_conn *c, const char *worker_id, const char *token) {
        struct iicp_buf out = {.secret = true};
        struct task_answer a = {.status = 200, .secret = true};

        iicp_buf_printf(&out, "{\"session_token\":\"%s\",\"poll_timeout_s\":%u,\"worker_endpoint_path\":\"/v1/relay-for/%s\"}",
                        token, POLL_TIMEOUT_MS / 1000, worker_id);
        a.body = iicp_buf_take(&out, &a.n);
        return answer(c, &a);
}

static enum MHD_Result bind_refused(struct http_conn *c, enum relay_verdict v) {
        struct task_answer a;

        switch (v) {
        case RELAY_BAD_WORKER_ID:
                return malformed(c, POLL_BAD_WORKER_ID);
        case RELAY_RATE_LIMITED:
                http_relay_fault(&a, 429, "E039", "relay bind rate limit exceeded",
                             ",\"reason\":\"relay_bind_rate_limited\"", RATE_WINDOW_S);
                return answer(c, &a);
        case RELAY_TICKET_REQUIRED:
        case RELAY_TICKET_INVALID:
                return http_relay_refuse(c, 401, "E040", relay_verdict_reason(v));
        case RELAY_TICKET_REPLAYED:
                return http_relay_refuse(c, 409, "E040", relay_verdict_reason(v));
        case RELAY_ALREADY_ALIVE:
                return http_relay_refuse(c, 409, "E038", "worker_id has an alive relay session \xe2\x80\x94 rebind rejected");
        default:
                return http_relay_refuse(c, 503, "E039", "relay at session capacity \xe2\x80\x94 try another relay");
        }
}

static enum MHD_Result on_bind(struct http_conn *c) {
        char token[POLL_TOKEN_HEX + 1];
        struct poll_bind_body body;
        struct iicp_buf models = {.max = RELAY_MODELS_MAX};
        struct sockaddr_storage source;
        enum poll_fault f = poll_bind_read(body_of(c), &body);
        struct relay_bind b = {.worker_id = iicp_str(body.worker_id), .source = (const struct sockaddr *) &source};
        enum relay_verdict v;
        enum MHD_Result r;

        if (f != POLL_OK)
                return malformed(c, f);
        http_caller(c, &source);
        if (body.intent[0])
                b.intent = iicp_str(body.intent);
        if (body.has_ticket)
                b.ticket = iicp_str(body.ticket);
        poll_names(&body.models, add_model, &models);
        relay_models_end(&models);
        b.models = iicp_buf_str(&models);
        poll_names(&body.profiles, find_lifecycle, &b.lifecycle);
        v = poll_bind(c->door->node->polls, &b, token);
        iicp_buf_free(&models);
        explicit_bzero(body.ticket, sizeof(body.ticket));
        r = v == RELAY_BOUND ? bind_answer(c, body.worker_id, token) : bind_refused(c, v);
        explicit_bzero(token, sizeof(token));
        return r;
}

static enum MHD_Result on_unbind(struct http_conn *c) {
        struct poll_session *s = session_of(c);

        if (!s)
                return http_relay_refuse(c, 401, "E021", NO_TOKEN);
        poll_unbind(s);
        return empty(c);
}

static enum MHD_Result on_result(struct http_conn *c) {
        struct poll_session *s = session_of(c);
        struct poll_result_body body;
        enum poll_fault f;

        if (!s)
                return http_relay_refuse(c, 401, "E021", NO_TOKEN);
        f = poll_result_read(body_of(c), &body);
        if (f != POLL_OK)
                return malformed(c, f);
        if (body.result.p)
                poll_result(s, body.call_id, body.result);
        else if (poll_event(s, body.call_id, body.event) < 0)
                return malformed(c, POLL_BAD_EVENT);
        return empty(c);
}

/* ---- pull ---- */

/* What a pull says when it has a call. */
static bool pull_answer(struct http_relay *w, struct task_answer *a) {
        const struct relay_call *call = w->pull.call;
        struct relay_call_keys keys;
        struct iicp_buf out = {.secret = true, .max = SIZE_MAX / 2};

        *a = (struct task_answer){.status = MHD_HTTP_NO_CONTENT};
        if (!call)
                return true;
        poll_call_put(&out, relay_call_id(call), relay_call_task(call)->body, relay_call_stream(call, &keys) ? &keys : NULL);
        a->body = iicp_buf_take(&out, &a->n);
        a->secret = true;
        a->status = 200;
        return a->body != NULL;
}

/* A pull that ended its half has nothing more to say and hears nothing: unlike a consumer it would
 * take a call with it. */
static bool puller_left(const struct http_conn *c) {
        char byte;

        return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static bool on_pull_news(void *arg, enum poll_news news) {
        struct http_relay *w = arg;
        struct http_conn *c = w->conn;
        struct task_answer a = {.status = MHD_HTTP_NO_CONTENT};

        if (news == POLL_CALL && (puller_left(c) || !pull_answer(w, &a))) {
                http_conn_kill(c);
                http_resume(c);
                return false;
        }
        if (news == POLL_ENDED)
                http_relay_fault(&a, 401, "E021", NO_TOKEN, "", 0);
        /* From here on a puller that ends its half may have read the answer: only one that was not sent whole
         * gives its call back, or two would work on it. */
        http_watch_end(c, false);
        http_relay_answer(w, &a);
        return true;
}

static enum MHD_Result on_pull(struct http_conn *c) {
        struct poll_session *s = session_of(c);
        struct http_relay *w;
        struct task_answer a;

        if (!s)
                return http_relay_refuse(c, 401, "E021", NO_TOKEN);
        w = http_relay_new(c);
        if (!w)
                return MHD_NO;
        w->pulling = true;
        if (poll_pull_start(&w->pull, s, on_pull_news, w))
                return pull_answer(w, &a) ? http_answer_task(c, &a) : MHD_NO;
        http_watch_end(c, true);
        http_suspend(c);
        return MHD_YES;
}

/* ---- tasks for workers ---- */

static void on_done(void *arg, enum relay_outcome o, struct iicp_buf *body) {
        struct http_relay *w = arg;
        struct task_answer a = {.status = 200, .secret = true, .generated_by_ai = true};

        w->call = NULL;
        if (o == RELAY_DONE)
                a.body = iicp_buf_take(body, &a.n);
        if (!a.body)
                http_relay_fault(&a, 502, "E031", relay_outcome_text(o == RELAY_DONE ? RELAY_UNDELIVERED : o), "", 0);
        http_relay_answer(w, &a);
}

/* Credentials and trace beside the task: never inside of it. [03 section 13] */
static void beside(const struct http_conn *c, struct http_relay *w) {
        struct iicp_trace trace;
        size_t n;

        w->task.token = c->req.fields.consumer_token;
        if (!c->req.fields.traceparent.p || iicp_trace_parse(c->req.fields.traceparent, &trace) < 0 ||
            iicp_hex_decode(iicp_str(trace.trace_id), w->trace_id, sizeof(w->trace_id), &n) < 0 ||
            iicp_hex_decode(iicp_str(trace.span_id), w->span_id, sizeof(w->span_id), &n) < 0)
                return;
        w->task.trace_id = (struct iicp_str){(const char *) w->trace_id, sizeof(w->trace_id)};
        w->task.parent_span = (struct iicp_str){(const char *) w->span_id, sizeof(w->span_id)};
}

static enum MHD_Result forward(struct http_conn *c, struct relay_session *s, struct iicp_str task, const char *absent) {
        struct http_relay *w;
        int r;

        if (!s || !relay_session_alive(s))
                return http_relay_refuse(c, 404, "E030", absent);
        w = http_relay_new(c);
        if (!w)
                return MHD_NO;
        r = relay_task_read(task, &w->task);
        if (r < 0)
                return malformed(c, r == -EINVAL ? POLL_NO_OBJECT : POLL_NO_JSON);
        beside(c, w);
        r = relay_forward(s, &w->task, on_done, w, &w->call);
        switch (r) {
        case 0:
                http_suspend(c);
                return MHD_YES;
        case -ENOTCONN:
                return http_relay_refuse(c, 404, "E030", absent);
        case -EBUSY:
                return http_relay_busy(c);
        case -E2BIG:
                return http_answer_refusal(c, IICP_REFUSE_TOO_LARGE, true);
        default:
                return http_relay_refuse(c, 502, "E031", relay_outcome_text(RELAY_UNDELIVERED));
        }
}

static struct relay_session *worker(const struct http_conn *c, const char *id) {
        return id[0] ? relay_find(c->door->node->relay, iicp_str(id)) : NULL;
}

static enum MHD_Result on_health(struct http_conn *c) {
        struct relay_session *s = worker(c, c->req.target.id);
        struct relay_session_view v;
        struct iicp_buf out = {0};

        if (!s || !relay_session_alive(s))
                return http_relay_refuse(c, 404, "E030", NO_SESSION);
        relay_session_view(s, &v);
        iicp_buf_printf(&out, "{\"status\":\"ok\",\"node_id\":\"%s\",\"via_relay\":true,\"models\":", c->req.target.id);
        iicp_buf_add_str(&out, v.models);
        iicp_buf_puts(&out, "}");
        return http_answer_json(c, &out);
}

static enum MHD_Result on_forward(struct http_conn *c) {
        struct poll_forward_body body;
        enum poll_fault f = poll_forward_read(body_of(c), &body);
        struct relay_session *s;

        if (f != POLL_OK)
                return malformed(c, f);
        s = worker(c, body.target);
        /* A worker that is known and dead is not looked for elsewhere. */
        return s ? forward(c, s, body.task, NO_TARGET) : http_relay_to_peer(c, body.target, body.task, NO_TARGET);
}

/* ---- what the door calls ---- */

enum MHD_Result http_relay_get(struct http_conn *c) {
        return c->req.target.resource == HTTP_RELAY_PULL ? on_pull(c) : on_health(c);
}

enum MHD_Result http_relay_post(struct http_conn *c) {
        switch (c->req.target.resource) {
        case HTTP_RELAY_BIND:
                return on_bind(c);
        case HTTP_RELAY_UNBIND:
                return on_unbind(c);
        case HTTP_RELAY_RESULT:
                return on_result(c);
        case HTTP_RELAY_FORWARD:
                return on_forward(c);
        default:
                return forward(c, worker(c, c->req.target.id), body_of(c), NO_SESSION);
        }
}

void http_relay_end(struct http_conn *c, bool delivered) {
        struct http_relay *w = TAKE_PTR(c->req.relay);

        if (!w)
                return;
        if (w->pulling) {
                http_watch_end(c, false);
                poll_pull_done(&w->pull, delivered);
        }
        if (w->call)
                relay_cancel(w->call);
        http_relay_peer_cancel(w);
        free(w);
}
