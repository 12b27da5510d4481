/* SPDX-License-Identifier: Apache-2.0 */
#include "client-submit.h"

#include <errno.h>
#include <iicp/lifecycle.h>
#include <stdio.h>

/* A task of the service-lifecycle profile from the consumer's side: submit, then its events. The text is
 * handed on as it comes; what is returned at the end is the same answer that a buffered task gives. Once
 * text was handed on, no other node is asked: nothing is said twice. [02 section 11; 03 section 9] */

#define RESUMES_MAX 5                              /* connections that may be lost */
#define CANCEL_BUDGET_MS 2000
#define PATH_TEXT_MAX 128

static bool refuse(struct stream *st, const char *why) {
        st->bad = true;
        st->why = why;
        return false;
}

/* ---- one event ---- */

static void copy(struct iicp_buf *out, const char *name, const struct iicp_json *v) {
        if (v->type == IICP_JSON_NONE || v->type == IICP_JSON_NULL)
                return;
        iicp_buf_printf(out, ",\"%s\":", name);
        if (v->type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
        iicp_buf_add_str(out, v->text);
        if (v->type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
}

static bool take_text(struct stream *st, const struct iicp_json *result) {
        size_t from = st->text.n;

        if (result->type != IICP_JSON_STRING)
                return true;
        if (iicp_json_decode(result, &st->text) < 0 || st->text.error)
                return refuse(st, "the answer is too large");
        st->said = true;
        st->s->rq->on_text(st->s->rq->stream_arg, (struct iicp_str){st->text.p + from, st->text.n - from});
        return true;
}

/* As a buffered node would have said it; the one reader of answers judges both. */
static void write_reply(struct stream *st, const struct iicp_json *event, const struct iicp_json *content) {
        struct iicp_json result = iicp_json_get(content, "result"), usage = iicp_json_get(content, "usage"),
                         model = iicp_json_get(content, "model_used"), finish = iicp_json_get(content, "finish_reason"),
                         metrics = iicp_json_get(event, "metrics"), error = iicp_json_get(event, "error");
        struct iicp_buf *out = &st->reply;

        iicp_buf_puts(out, "{\"task_id\":");
        iicp_buf_json_str(out, iicp_str(st->s->task_id));
        if (st->receiver.state != IICP_LIFECYCLE_COMPLETED) {
                iicp_buf_printf(out, ",\"status\":\"%s\"",
                                st->receiver.state == IICP_LIFECYCLE_EXPIRED ? "timeout" : "error");
                copy(out, "error", &error);
                iicp_buf_puts(out, "}");
                return;
        }
        iicp_buf_puts(out, ",\"status\":\"success\"");
        if (result.type == IICP_JSON_OBJECT)
                copy(out, "result", &result);
        else {
                iicp_buf_puts(out, ",\"result\":{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
                iicp_buf_json_str(out, iicp_buf_str(&st->text));
                iicp_buf_puts(out, "}");
                copy(out, "finish_reason", &finish);
                iicp_buf_puts(out, "}]");
                copy(out, "usage", &usage);
                iicp_buf_puts(out, "}");
        }
        copy(out, "model_used", &model);
        copy(out, "metrics", &metrics);
        iicp_buf_puts(out, "}");
}

static bool open_content(struct stream *st, const struct iicp_json *event, uint64_t sequence, struct iicp_buf *plain,
                         struct iicp_json *content) {
        struct iicp_json sealed = iicp_json_get(event, "iicp_conf_resp"), clear = iicp_json_get(event, "result");
        enum iicp_cx_event_kind kind = !iicp_lifecycle_terminal(st->receiver.state)        ? IICP_CX_EVENT_PARTIAL
                                       : st->receiver.state == IICP_LIFECYCLE_COMPLETED ? IICP_CX_EVENT_COMPLETED
                                                                                        : IICP_CX_EVENT_FAILED;

        *content = *event;
        if (!st->sealed)
                return true;
        if (clear.type != IICP_JSON_NONE)
                return refuse(st, "IICP-CX-RESP-REQUIRED");
        if (iicp_cx_open_event(&st->guard, &st->s->session, iicp_str(st->s->task_id), sequence, kind, &sealed, plain) < 0)
                return refuse(st, "IICP-CX-RESP-INVALID");
        if (plain->n == 0) {
                *content = (struct iicp_json){.text = IICP_STR("{}"), .type = IICP_JSON_OBJECT};
                return true;
        }
        return iicp_json_scan(iicp_buf_str(plain), NULL, NULL, content) == 0 || refuse(st, "IICP-CX-RESP-INVALID");
}

static struct iicp_str plain_text(const struct iicp_json *v) {
        return v->type == IICP_JSON_STRING && !v->escaped ? v->text : IICP_STR_NONE;
}

/* false: the stream is not to be read on. */
static bool take_event(struct stream *st, struct iicp_str line) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf plain = {.secret = true};
        struct iicp_json event, content, result, id, word, state, sequence;
        struct iicp_lifecycle_message m = {.has_lifecycle = true};
        enum iicp_lifecycle_verdict v;
        int64_t n;

        if (iicp_json_scan(line, NULL, NULL, &event) < 0 || event.type != IICP_JSON_OBJECT)
                return refuse(st, "an event is no JSON object");
        id = iicp_json_get(&event, "task_id");
        word = iicp_json_get(&event, "event");
        state = iicp_json_get(&event, "state");
        sequence = iicp_json_get(&event, "sequence");
        if (iicp_json_int(&sequence, &n) < 0 || n < 0)
                return refuse(st, "an event has no sequence");
        m.task_id = plain_text(&id);
        m.event = plain_text(&word);
        m.state = plain_text(&state);
        m.sequence = (uint64_t) n;
        m.is_final = iicp_json_get(&event, "is_final").type == IICP_JSON_TRUE;
        v = iicp_lifecycle_receive(&st->receiver, &m);
        if (v == IICP_LIFECYCLE_DISCARD)
                return true;
        if (v != IICP_LIFECYCLE_OK)
                return refuse(st, iicp_lifecycle_verdict_name(v));
        if (!open_content(st, &event, m.sequence, &plain, &content))
                return false;
        result = iicp_json_get(&content, "result");
        if (!take_text(st, &result))
                return false;
        if (st->s->rq->on_event)
                st->s->rq->on_event(st->s->rq->stream_arg, line);
        if (iicp_lifecycle_terminal(st->receiver.state))
                write_reply(st, &event, &content);
        return true;
}

/* ---- the stream ---- */

/* Lines as they come; of each block only `data: ` counts. What a node says when an observer was too slow
 * has no sequence of its own and ends the connection. */
static bool take_line(struct stream *st, struct iicp_str line) {
        if (line.n > 0 && line.p[line.n - 1] == '\r')
                line.n--;
        if (line.n >= 6 && memcmp(line.p, "data: ", 6) == 0 && !memmem(line.p, line.n, "\"earliest_available\"", 20))
                return take_event(st, (struct iicp_str){line.p + 6, line.n - 6});
        return true;
}

bool iicp_stream_piece(void *arg, struct iicp_str piece) {
        struct stream *st = arg;

        while (piece.n > 0) {
                const char *end = memchr(piece.p, '\n', piece.n);
                size_t n = end ? (size_t) (end - piece.p) : piece.n;

                iicp_buf_add(&st->line, piece.p, n);
                if (st->line.error)
                        return refuse(st, "a line of the stream is too long");
                if (!end)
                        return true;
                piece.p += n + 1;
                piece.n -= n + 1;
                if (!take_line(st, iicp_buf_str(&st->line)))
                        return false;
                st->line.n = 0;
        }
        return true;
}

void iicp_stream_begin(struct stream *st, struct submit *s, bool sealed) {
        *st = (struct stream){
                .s = s, .receiver = {.task_id = iicp_str(s->task_id)}, .sealed = sealed,
                .line = {.max = EVENT_LINE_MAX, .secret = true}, .text = {.max = STREAM_TEXT_MAX, .secret = true},
                .reply = {.max = 2 * STREAM_TEXT_MAX, .secret = true},
        };
}

void iicp_stream_done(struct stream *st) {
        iicp_buf_wipe(&st->line);
        iicp_buf_wipe(&st->text);
        iicp_buf_wipe(&st->reply);
}

/* The caller wants no more: the node is told, whatever else happens. */
static void tell_cancel(struct submit *s, const struct iicp_record *node) {
        static const struct iicp_str body = {"{}", 2};
        char path[PATH_TEXT_MAX];
        const struct exchange x = {.path = path, .body = &body, .budget_ms = CANCEL_BUDGET_MS};
        struct iicp_http_answer a = {0};

        snprintf(path, sizeof(path), "/v1/tasks/%s/cancel", s->task_id);
        atomic_store(&s->c->cancel, false);
        (void) iicp_submit_exchange(s, node, &x, &a);
        iicp_http_answer_done(&a);
        atomic_store(&s->c->cancel, true);
}

/* Reads until the terminal event, over as many connections as it takes. */
static enum iicp_http_fault observe(struct stream *st, const struct iicp_record *node, int64_t until_ms,
                                    struct iicp_http_answer *a) {
        enum iicp_http_fault fault = IICP_HTTP_FAILED;
        char path[PATH_TEXT_MAX], after[64];
        struct exchange x = {.path = path, .header = after, .on_piece = iicp_stream_piece, .arg = st};

        snprintf(path, sizeof(path), "/v1/tasks/%s/events", st->s->task_id);
        for (unsigned i = 0; i <= RESUMES_MAX && !st->receiver.terminal && !st->bad; i++) {
                int64_t left = until_ms - iicp_clock_ms();

                iicp_http_answer_done(a);
                st->line.n = 0;
                if (left <= 0)
                        return IICP_HTTP_TIMEOUT;
                x.budget_ms = left;
                snprintf(after, sizeof(after), "Last-Event-ID: %lld", (long long) st->receiver.next - 1);
                fault = iicp_submit_exchange(st->s, node, &x, a);
                if (fault == IICP_HTTP_CANCELLED || fault == IICP_HTTP_TIMEOUT || fault == IICP_HTTP_NO_MEMORY ||
                    fault == IICP_HTTP_REFUSED || (fault == IICP_HTTP_OK && a->status != 200))
                        break;
        }
        return fault;
}

/* Whatever went wrong after text was handed on is the end: another answer would not fit to it. */
static void cut_off(struct stream *st, struct iicp_outcome *o) {
        char message[IICP_MESSAGE_MAX];

        if (!st->said || o->cls == IICP_CLASS_DONE || o->cancelled)
                return;
        snprintf(message, sizeof(message), "the answer was cut off: %.160s", o->message);
        snprintf(o->message, sizeof(o->message), "%s", message);
        o->cls = IICP_CLASS_FINAL;
}

static void judge(struct stream *st, const struct iicp_record *node, enum iicp_http_fault fault,
                  struct iicp_http_answer *a, struct iicp_outcome *o) {
        struct iicp_http_answer whole = {.status = 200, .sent = true, .sent_all = true};

        if (st->receiver.terminal && !st->bad) {
                struct iicp_cx_session session = st->s->session;

                /* What is in `reply` was opened already. */
                whole.body = st->reply;
                st->s->session.valid = false;
                st->s->reply_opened = true;
                iicp_submit_read(st->s, node, IICP_HTTP_OK, &whole, o);
                st->s->reply_opened = false;
                st->s->session = session;
                iicp_wipe(&session, sizeof(session));
        } else if (st->bad) {
                bool cx = strncmp(st->why, "IICP-CX-", 8) == 0;

                iicp_outcome_local(o, cx ? st->why : "invalid_response", st->why);
        } else {
                if (fault == IICP_HTTP_OK && a->status == 200) {
                        fault = IICP_HTTP_FAILED;
                        snprintf(a->reason, sizeof(a->reason), "the stream ended without its end");
                }
                iicp_submit_read(st->s, node, fault, a, o);
        }
        cut_off(st, o);
}

/* Before anything ran: the promise of the directory's record was old, or the credential is. */
static bool not_served(enum iicp_http_fault fault, const struct iicp_http_answer *a) {
        return fault == IICP_HTTP_OK && (a->status == 401 || a->status == 403 || a->status == 404 || a->status == 405 ||
                                         (a->status == 422 && a->body.p && strstr(a->body.p, "unsupported_profile")));
}

bool iicp_submit_stream(struct submit *s, const struct iicp_record *node, int64_t budget_ms, struct iicp_outcome *o) {
        struct stream st;
        int64_t until_ms = iicp_clock_ms() + budget_ms;
        struct iicp_str body = iicp_buf_str(&s->body);
        struct iicp_http_answer a = {0};
        const struct exchange x = {.path = "/v1/tasks", .body = &body, .budget_ms = budget_ms};
        enum iicp_http_fault fault = iicp_submit_exchange(s, node, &x, &a);
        bool accepted = fault == IICP_HTTP_OK && (a.status == 202 || a.status == 200);

        iicp_stream_begin(&st, s, node->pub.has_key && node->key.response_encryption);
        if (not_served(fault, &a)) {
                iicp_stream_done(&st);
                iicp_http_answer_done(&a);
                return false;
        }
        if (!accepted)
                iicp_submit_read(s, node, fault, &a, o);
        else {
                fault = observe(&st, node, until_ms, &a);
                judge(&st, node, fault, &a, o);
        }
        if (fault == IICP_HTTP_CANCELLED)
                tell_cancel(s, node);
        o->sent = o->sent || a.sent || accepted;
        o->sent_all = o->sent_all || a.sent_all || accepted;
        iicp_http_answer_done(&a);
        iicp_stream_done(&st);
        return true;
}
