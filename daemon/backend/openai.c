/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "../log.h"
#include "../node.h"
#include "util.h"

#include <ctype.h>
#include <stdio.h>

/* The OpenAI dialect: request from the task's slices, answer by table 10.5. */

#define RETRY_DEFAULT_S 2
#define RETRY_MAX_S 300
#define HEADER_MAX 640 /* bytes of a trace header; tracestate is at most 512 */
#define SCAN_TEXT_MAX 4096 /* bytes of an error answer that are looked at */

/* The part of an error answer that is searched for words, lower-cased; it goes nowhere else. */
static bool mentions(struct iicp_str body, const char *word) {
        size_t n = strlen(word), last = MIN(body.n, (size_t) SCAN_TEXT_MAX);

        for (size_t i = 0; i + n <= last; i++) {
                size_t k = 0;

                while (k < n && tolower((unsigned char) body.p[i + k]) == word[k])
                        k++;
                if (k == n)
                        return true;
        }
        return false;
}

static void refuse(struct backend_answer *a, enum iicp_refusal_id id, const char *reason) {
        a->refusal = (struct iicp_refusal){.id = id, .reason = reason};
        if (id == IICP_REFUSE_VALIDATION)
                a->refusal.field = "payload";
}

static int64_t retry_after_s(struct iicp_str value) {
        int64_t s = 0;

        for (size_t i = 0; i < value.n; i++) {
                if (value.p[i] < '0' || value.p[i] > '9')
                        return RETRY_DEFAULT_S; /* a date, or nonsense */
                s = MIN(s * 10 + (value.p[i] - '0'), (int64_t) RETRY_MAX_S);
        }
        return value.n ? MAX(s, 1) : RETRY_DEFAULT_S;
}

static void judge_busy(struct backend *b, const struct fetch_answer *from, struct backend_answer *a) {
        bool loading = from->status == 503 && mentions(from->body, "loading model");

        if (loading)
                backend_loading(b);
        refuse(a, IICP_REFUSE_BUSY, loading ? "backend_loading" : "backend_busy");
        a->refusal.retry_after_ms = retry_after_s(from->retry_after) * 1000;
        a->retry_elsewhere = true;
}

static bool request_fault(const struct backend *b, struct iicp_str body) {
        return b->flavour == FLAVOUR_LLAMACPP && (mentions(body, "not supported") || mentions(body, "too large") ||
                                                  mentions(body, "is required"));
}

static void judge_status(struct backend *b, const struct fetch_answer *from, struct backend_answer *a) {
        switch (from->status) {
        case 400:
        case 413:
        case 422:
                refuse(a, IICP_REFUSE_VALIDATION, "backend_rejected_payload");
                return;
        case 401:
        case 403:
                backend_key_rejected(b, from->status);
                refuse(a, IICP_REFUSE_BACKEND, "backend_auth");
                return;
        case 404:
                if (mentions(from->body, "model"))
                        refuse(a, IICP_REFUSE_MODEL_NOT_FOUND, NULL);
                else
                        refuse(a, IICP_REFUSE_BACKEND, "backend_endpoint_missing");
                return;
        case 429:
        case 503:
                judge_busy(b, from, a);
                return;
        case 500:
                if (request_fault(b, from->body)) {
                        refuse(a, IICP_REFUSE_VALIDATION, "backend_rejected_payload");
                        return;
                }
                break;
        }
        refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
}

static void judge_error(struct backend *b, const struct fetch_answer *from, struct backend_answer *a) {
        switch (from->error) {
        case FETCH_UNREACHABLE:
        case FETCH_TLS:
        case FETCH_RESET:
                backend_unreached(b, fetch_error_name(from->error), true);
                refuse(a, IICP_REFUSE_BACKEND, "backend_unreachable");
                a->retry_elsewhere = true;
                return;
        case FETCH_TIMEOUT:
                refuse(a, IICP_REFUSE_TIMEOUT, NULL);
                return;
        case FETCH_TOO_LARGE:
        case FETCH_PROTOCOL:
                refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        case FETCH_OK:
        case FETCH_FAILED:
                break;
        }
        refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
}

struct shape {
        struct iicp_json list, error, usage;
        const char *list_name;
};

static int on_member(void *arg, const struct iicp_json *name, const struct iicp_json *value) {
        struct shape *s = arg;

        if (iicp_json_is(name, s->list_name))
                s->list = *value;
        else if (iicp_json_is(name, "error"))
                s->error = *value;
        else if (iicp_json_is(name, "usage"))
                s->usage = *value;
        return 0;
}

static bool entry_valid(enum iicp_intent_kind kind, const struct iicp_json *entry) {
        static const struct {
                const char *name;
                enum iicp_json_type type, other;
        } wanted[IICP_INTENT_MAX_] = {
                [IICP_INTENT_CHAT] = {"message", IICP_JSON_OBJECT, IICP_JSON_OBJECT},
                [IICP_INTENT_COMPLETION] = {"text", IICP_JSON_STRING, IICP_JSON_STRING},
                [IICP_INTENT_EMBEDDING] = {"embedding", IICP_JSON_ARRAY, IICP_JSON_STRING}, /* or base64 */
        };
        struct iicp_json v = iicp_json_get(entry, wanted[kind].name);

        return v.type == wanted[kind].type || v.type == wanted[kind].other;
}

static void note_truncation(const struct backend_call *c, const struct iicp_json *usage, struct backend_answer *a) {
        const struct model *m = model_list_find(c->backend->listed, c->model);
        struct iicp_json v;
        int64_t n;

        if (!m || m->context <= 0 || usage->type != IICP_JSON_OBJECT)
                return;
        v = iicp_json_get(usage, "prompt_tokens");
        if (v.type == IICP_JSON_NUMBER && iicp_json_int(&v, &n) == 0)
                a->prompt_truncated = n == m->context;
}

/* A 2xx body: the promised object, or backend_invalid_response. */
static void judge_result(const struct backend_call *c, struct iicp_str body, struct backend_answer *a) {
        struct shape s = {.list_name = c->intent->kind == IICP_INTENT_EMBEDDING ? "data" : "choices"};
        struct iicp_json top, entry;
        struct iicp_json_iter it;
        size_t n = 0;

        if (iicp_json_scan(body, on_member, &s, &top) < 0 || top.type != IICP_JSON_OBJECT) {
                refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        }
        if (s.error.type != IICP_JSON_NONE && s.error.type != IICP_JSON_NULL) {
                refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
                return;
        }
        if (s.list.type == IICP_JSON_ARRAY) {
                iicp_json_iter_init(&it, &s.list);
                while (iicp_json_next(&it, NULL, &entry)) {
                        if (!entry_valid(c->intent->kind, &entry)) {
                                n = 0;
                                break;
                        }
                        n++;
                }
        }
        if (n == 0) {
                refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        }
        a->result = body;
        note_truncation(c, &s.usage, a);
}

static void judge_stream(struct backend_call *c, struct backend_answer *a) {
        struct iicp_str whole = IICP_STR_NONE;

        switch (assemble_end(c->assemble, &whole)) {
        case ASSEMBLE_OK:
                judge_result(c, whole, a);
                return;
        case ASSEMBLE_INVALID:
                refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        case ASSEMBLE_FAILED:
        case ASSEMBLE_UNFINISHED:
                refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
                return;
        }
}

static const char *outcome_name(const struct backend_answer *a) {
        if (a->refusal.id == IICP_REFUSE_NONE)
                return "ok";
        if (a->refusal.id == IICP_REFUSE_TIMEOUT)
                return "timeout";
        return a->refusal.reason ? a->refusal.reason : "model_not_found";
}

static void on_done(void *arg, const struct fetch_answer *from) {
        struct backend_answer a = {.refusal = {.id = IICP_REFUSE_NONE}};
        struct backend_call *c = arg;
        struct backend *b = c->backend;

        c->fetch = NULL;
        /* An error answer that was too long to read is still that error. */
        if (from->error == FETCH_OK || (from->error == FETCH_TOO_LARGE && from->status >= 300)) {
                backend_reached(b);
                if (from->status < 200 || from->status >= 300)
                        judge_status(b, from, &a);
                else if (c->assemble)
                        judge_stream(c, &a);
                else
                        judge_result(c, from->body, &a);
        } else if (c->assemble && from->error == FETCH_PROTOCOL && from->status >= 200 && from->status < 300) {
                judge_stream(c, &a); /* it was the reader that stopped, and it knows why */
        } else {
                judge_error(b, from, &a);
        }
        if (a.refusal.id == IICP_REFUSE_NONE)
                b->n_ok++;
        else
                b->n_failed++;
        metrics_backend(b->node->metrics, outcome_name(&a));
        backend_call_end(c, &a);
}

static bool on_piece(void *arg, struct iicp_str piece) {
        struct backend_call *c = arg;

        c->backend->last_ok_ms = backend_now_ms(c->backend);
        return assemble_feed(c->assemble, piece);
}

/* The name to send: as the server lists it, so that a tag that was left out is filled in. */
static bool choose_model(struct backend_call *c, struct iicp_str asked) {
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

/* llama.cpp notices an abandoned stream at once, an abandoned whole answer maybe never. */
static bool wants_stream(const struct backend_call *c, const struct backend_task *t) {
        return c->backend->flavour == FLAVOUR_LLAMACPP && c->intent->kind != IICP_INTENT_EMBEDDING &&
               !t->payload->has_n && !t->payload->has_logprobs;
}

static size_t trace_headers(const struct backend_task *t, char parent[HEADER_MAX], char state[HEADER_MAX],
                            const char **headers) {
        char text[IICP_TRACEPARENT_TEXT];
        size_t n = 0;

        if (!t->trace || !t->trace->trace_id[0])
                return 0;
        iicp_trace_format(t->trace, text);
        snprintf(parent, HEADER_MAX, "traceparent: %s", text);
        headers[n++] = parent;
        if (t->tracestate.n && t->tracestate.n + 16 < HEADER_MAX && !memchr(t->tracestate.p, '\r', t->tracestate.n) &&
            !memchr(t->tracestate.p, '\n', t->tracestate.n)) {
                snprintf(state, HEADER_MAX, "tracestate: %.*s", (int) t->tracestate.n, t->tracestate.p);
                headers[n++] = state;
        }
        return n;
}

static bool openai_start(struct backend_call *c, const struct backend_task *t) {
        const char *headers[6] = {"Content-Type: application/json"};
        char url[URL_MAX], parent[HEADER_MAX], state[HEADER_MAX];
        struct backend *b = c->backend;
        uint64_t now_ms = backend_now_ms(b), left_ms = t->deadline_ms > now_ms ? t->deadline_ms - now_ms : 1;
        struct iicp_payload_rewrite how = {.max_tokens = t->max_tokens};
        struct fetch_request r = {
                .method = "POST",
                .url = url,
                .headers = headers,
                .connect_timeout_ms = MIN((uint64_t) BACKEND_CONNECT_MS, left_ms),
                .timeout_ms = left_ms,
                .max_answer = BACKEND_ANSWER_MAX,
                .proxy = b->node->config->network_proxy,
                .tls_min = b->tls_min,
        };
        size_t n = 1;

        if (!choose_model(c, t->model))
                return false;
        how.model = c->model;
        if (wants_stream(c, t)) {
                if (!(c->assemble = assemble_new(c->intent->kind)))
                        return false;
                how.stream = true;
                r.on_data = on_piece;
        }
        c->body.secret = true;
        iicp_payload_write(t->intent, t->payload, &how, &c->body);
        if (c->body.error || snprintf(url, sizeof url, "%s/v1%s", b->root, t->intent->path) >= (int) sizeof url)
                return false;
        r.body = iicp_buf_str(&c->body);
        if (b->authorization)
                headers[n++] = b->authorization;
        trace_headers(t, parent, state, headers + n);
        c->fetch = fetch_start(b->node->fetch, &r, on_done, c);
        return c->fetch != NULL;
}

static void openai_stop(struct backend_call *c) {
        fetch_cancel(TAKE_PTR(c->fetch));
}

const struct dialect dialect_openai = {.start = openai_start, .stop = openai_stop, .probes = true};
