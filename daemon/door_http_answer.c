/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_internal.h"

#include "node.h"
#include "observe/numbers.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON "application/json"
#define PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

static const char *const common[][2] = {
        {"Access-Control-Allow-Origin", "*"},
        {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
        {"Access-Control-Allow-Headers", "Content-Type, Authorization, X-IICP-Consumer-Token, X-IICP-Trace-Id, "
                                         "X-IICP-Require-E2E, traceparent, tracestate, Last-Event-ID"},
        {"Access-Control-Expose-Headers", "Retry-After, X-IICP-Trace-Id, X-IICP-Version, X-IICP-Framing"},
        {"X-IICP-Version", IICP_WIRE_VERSION},
};

static void header(struct MHD_Response *r, const char *name, const char *value) {
        /* Fails on memory only, or on a foreign value that cannot stand in a header; the answer is
         * right without it. */
        (void) MHD_add_response_header(r, name, value);
}

static void headers(struct MHD_Response *r, const char *type) {
        for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
                header(r, common[i][0], common[i][1]);
        if (type)
                header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
}

void http_common_text(struct iicp_buf *out) {
        for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
                iicp_buf_printf(out, "%s: %s\r\n", common[i][0], common[i][1]);
}

/* Takes the body. */
static struct MHD_Response *response(char *body, size_t n, const char *type) {
        struct MHD_Response *r = MHD_create_response_from_buffer(n, body, MHD_RESPMEM_MUST_FREE);

        if (!r)
                free(body);
        else
                headers(r, type);
        return r;
}

static enum MHD_Result queue(struct http_conn *c, unsigned status, struct MHD_Response *r) {
        enum MHD_Result ok;

        if (!r)
                return MHD_NO;
        ok = MHD_queue_response(c->mhd, status, r);
        MHD_destroy_response(r);
        return ok;
}

static void closing(struct http_conn *c, struct MHD_Response *r) {
        header(r, MHD_HTTP_HEADER_CONNECTION, "close");
        c->linger = true;
}

static bool is_task(const struct http_conn *c) {
        return c->req.target.resource == HTTP_TASK || c->req.target.resource == HTTP_SUBMIT;
}

static void count(const struct http_conn *c, enum iicp_refusal_id id) {
        if (is_task(c))
                metrics_refused(c->door->node->metrics, id);
}

/* The body of a refusal: inside a task answer on the task resource. */
static void refusal_body(const struct http_conn *c, enum iicp_refusal_id id, struct iicp_buf *out) {
        struct iicp_refusal refusal = {.id = id};
        bool task = is_task(c) && id != IICP_REFUSE_METHOD && id != IICP_REFUSE_MEDIA_TYPE_CBOR;

        if (task)
                iicp_refusal_task_body(&refusal, IICP_STR_NONE, -1, out);
        else
                iicp_refusal_body(&refusal, out);
}

enum MHD_Result http_answer_refusal(struct http_conn *c, enum iicp_refusal_id id, bool close) {
        struct iicp_buf out = {0};
        struct MHD_Response *r;
        size_t n;
        char *body;

        refusal_body(c, id, &out);
        count(c, id);
        body = iicp_buf_take(&out, &n);
        if (!body)
                return MHD_NO;
        r = response(body, n, JSON);
        if (r && id == IICP_REFUSE_METHOD)
                header(r, MHD_HTTP_HEADER_ALLOW, http_allow(c->req.target.resource));
        if (r && close)
                closing(c, r);
        return queue(c, (unsigned) iicp_refusal_info(id)->status, r);
}

enum MHD_Result http_answer_refused(struct http_conn *c, const struct iicp_refusal *refusal) {
        struct task_answer a = {
                .status = iicp_refusal_info(refusal->id)->status,
                .retry_after_s = iicp_refusal_retry_after_s(refusal),
                .www_authenticate = refusal->id == IICP_REFUSE_UNAUTHORIZED,
        };
        struct iicp_buf out = {0};

        iicp_refusal_body(refusal, &out);
        a.body = iicp_buf_take(&out, &a.n);
        return a.body ? http_answer_task(c, &a) : MHD_NO;
}

/* ---- tasks ---- */

static void wipe(void *body) {
        explicit_bzero(body, malloc_usable_size(body));
        free(body);
}

/* What a model said must not stay in the heap. Takes the body. */
static struct MHD_Response *secret_response(char *body, size_t n) {
        struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(n, body, wipe);

        if (!r)
                wipe(body);
        else
                headers(r, JSON);
        return r;
}

enum MHD_Result http_answer_task(struct http_conn *c, struct task_answer *a) {
        struct MHD_Response *r;
        char number[24];

        if (!a->body)
                r = response(NULL, 0, NULL);
        else
                r = a->secret ? secret_response(a->body, a->n) : response(a->body, a->n, JSON);
        a->body = NULL;
        a->n = 0;
        c->req.answered = false;
        if (!r)
                return MHD_NO;
        if (a->retry_after_s > 0) {
                snprintf(number, sizeof number, "%lld", (long long) a->retry_after_s);
                header(r, MHD_HTTP_HEADER_RETRY_AFTER, number);
        }
        if (a->www_authenticate)
                header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
        if (a->generated_by_ai)
                header(r, "X-IICP-Generated-By-AI", "true");
        if (a->trace_id[0])
                header(r, "X-IICP-Trace-Id", a->trace_id);
        if (a->close)
                closing(c, r);
        return queue(c, (unsigned) a->status, r);
}

/* ---- other resources ---- */

static enum MHD_Result answer_text(struct http_conn *c, struct iicp_buf *out, const char *type) {
        struct MHD_Response *r;
        size_t n;
        char *body = iicp_buf_take(out, &n);

        if (!body)
                return MHD_NO;
        r = response(body, n, type);
        if (r)
                header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        return queue(c, MHD_HTTP_OK, r);
}

enum MHD_Result http_answer_json(struct http_conn *c, struct iicp_buf *out) {
        return answer_text(c, out, JSON);
}

enum MHD_Result http_answer_health(struct http_conn *c) {
        struct iicp_buf out = {0};

        health_body(c->door->node, &out);
        return answer_text(c, &out, JSON);
}

enum MHD_Result http_answer_metrics(struct http_conn *c) {
        struct iicp_buf out = {0};

        numbers_public(c->door->node, &out);
        return answer_text(c, &out, PROMETHEUS);
}

struct MHD_Response *http_options_response(void) {
        struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

        if (r) {
                headers(r, NULL);
                header(r, "Access-Control-Max-Age", "86400");
        }
        return r;
}

enum MHD_Result http_answer_options(struct http_conn *c, bool close) {
        struct MHD_Response *r;

        if (!close)
                return MHD_queue_response(c->mhd, MHD_HTTP_NO_CONTENT, c->door->options);
        r = http_options_response();
        if (r)
                closing(c, r);
        return queue(c, MHD_HTTP_NO_CONTENT, r);
}

static const char *reason(int status) {
        return status == 413 ? "Content Too Large" : "Bad Request";
}

enum MHD_Result http_send_raw(struct http_conn *c, enum iicp_refusal_id id) {
        struct iicp_buf body = {0}, out = {0};
        const struct iicp_refusal_info *info = iicp_refusal_info(id);

        count(c, id);
        refusal_body(c, id, &body);
        iicp_buf_printf(&out, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: " JSON "\r\nContent-Length: %zu\r\n",
                        info->status, reason(info->status), body.n);
        http_common_text(&out);
        iicp_buf_puts(&out, "\r\n");
        iicp_buf_add_str(&out, iicp_buf_str(&body));
        if (!out.error && !body.error)
                (void) !send(c->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        iicp_buf_free(&body);
        iicp_buf_free(&out);
        c->linger = true;
        return MHD_NO;
}
