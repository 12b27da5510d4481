/* SPDX-License-Identifier: Apache-2.0 */
#include "spans.h"

#include "fetch.h"
#include "log.h"
#include "node.h"
#include "util.h"

#include <iicp/codec.h>
#include <iicp/uuid.h>
#include <stdio.h>
#include <time.h>

#define TASK_ID_MAX 64      /* bytes of a task id in a span */
#define KIND_SERVER 2       /* OTLP SpanKind */
#define KIND_CLIENT 3
#define STATUS_OK 1         /* OTLP StatusCode */
#define STATUS_ERROR 2

enum span_name { SPAN_VALIDATE, SPAN_EXECUTE, SPAN_BACKEND };

static const char *const names[] = {
        [SPAN_VALIDATE] = "iicp.task.validate", [SPAN_EXECUTE] = "iicp.task.execute",
        [SPAN_BACKEND] = "iicp.backend.call",
};

struct span {
        enum span_name name;
        bool ok;
        char trace_id[33], id[17], parent[17];
        char task_id[TASK_ID_MAX + 1];
        char intent[IICP_URN_MAX + 1];
        uint64_t start_ns, end_ns;   /* since the epoch */
};

struct spans {
        struct node *node;
        struct timer timer;
        struct span *v;              /* SPANS_MAX, made with the first one */
        size_t n;
        struct fetch *fetch;
        struct iicp_buf body;        /* of the export on its way */
        size_t n_sent;
        uint64_t dropped;
        bool said;
};

struct spans *spans_new(struct node *node) {
        struct spans *s = calloc(1, sizeof *s);

        if (s)
                s->node = node;
        return s;
}

struct spans *spans_free(struct spans *s) {
        if (!s)
                return NULL;
        timer_clear(&s->timer);
        if (s->fetch)
                fetch_cancel(s->fetch);
        iicp_buf_free(&s->body);
        free(s->v);
        free(s);
        return NULL;
}

bool spans_wanted(const struct spans *s) {
        const struct config *c = s->node->config;

        return c->trace_endpoint || c->trace_traces_endpoint;
}

uint64_t spans_dropped_total(const struct spans *s) {
        return s->dropped;
}

/* ---- the body ---- */

static void attribute(struct iicp_buf *out, bool *first, const char *key, const char *value) {
        if (!*value)
                return;
        iicp_buf_printf(out, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":", *first ? "" : ",", key);
        iicp_buf_json_str(out, iicp_str(value));
        iicp_buf_puts(out, "}}");
        *first = false;
}

static void print_span(const struct span *s, struct iicp_buf *out) {
        bool first = true;

        iicp_buf_printf(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\",", s->trace_id, s->id);
        if (s->parent[0])
                iicp_buf_printf(out, "\"parentSpanId\":\"%s\",", s->parent);
        iicp_buf_printf(out, "\"name\":\"%s\",\"kind\":%d,\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\","
                             "\"attributes\":[",
                        names[s->name], s->name == SPAN_BACKEND ? KIND_CLIENT : KIND_SERVER,
                        (unsigned long long) s->start_ns, (unsigned long long) s->end_ns);
        if (s->name != SPAN_BACKEND)
                attribute(out, &first, "iicp.task_id", s->task_id);
        if (s->name == SPAN_EXECUTE)
                attribute(out, &first, "iicp.intent", s->intent);
        iicp_buf_printf(out, "],\"status\":{\"code\":%d}}", s->ok ? STATUS_OK : STATUS_ERROR);
}

static void print_batch(const struct spans *s, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
                           "{\"stringValue\":\"iicpd\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"iicpd\"},\"spans\":[");
        for (size_t i = 0; i < s->n; i++) {
                if (i > 0)
                        iicp_buf_puts(out, ",");
                print_span(&s->v[i], out);
        }
        iicp_buf_puts(out, "]}]}]}");
}

/* ---- export ---- */

static void drop(struct spans *s, size_t n, const char *why) {
        s->dropped += n;
        if (!s->said)
                log_warn("trace_export_failed", "%zu spans are lost: the collector %s; tasks go on, check trace.endpoint",
                         n, why);
        s->said = true;
}

static void flush(void *arg);

static void exported(void *arg, const struct fetch_answer *a) {
        struct spans *s = arg;
        char why[64];

        s->fetch = NULL;
        if (a->error == FETCH_OK && a->status / 100 == 2)
                s->said = false;
        else if (a->error == FETCH_OK) {
                snprintf(why, sizeof why, "answered %d", a->status);
                drop(s, s->n_sent, why);
        } else {
                snprintf(why, sizeof why, "failed (%s)", fetch_error_name(a->error));
                drop(s, s->n_sent, why);
        }
        iicp_buf_free(&s->body);
        if (s->n > 0 && !timer_armed(&s->timer))
                timer_set_ms(&s->timer, s->n == SPANS_MAX ? 0 : SPANS_EVERY_MS);
}

static void flush(void *arg) {
        static const char *const headers[] = {"Content-Type: application/json", NULL};
        struct spans *s = arg;
        const struct config *c = s->node->config;
        char url[512];
        struct fetch_request r = {
                .method = "POST", .url = url, .headers = headers, .connect_timeout_ms = SPANS_TIMEOUT_MS,
                .timeout_ms = SPANS_TIMEOUT_MS, .max_answer = SPANS_ANSWER_MAX, .tls_min = 12,
        };

        if (s->fetch || s->n == 0)
                return;
        if (c->trace_traces_endpoint)
                snprintf(url, sizeof url, "%s", c->trace_traces_endpoint);
        else if (c->trace_endpoint)
                snprintf(url, sizeof url, "%s%sv1/traces", c->trace_endpoint,
                         c->trace_endpoint[strlen(c->trace_endpoint) - 1] == '/' ? "" : "/");
        else {
                s->n = 0; /* a reload has turned it off */
                return;
        }
        s->n_sent = s->n;
        print_batch(s, &s->body);
        s->n = 0;
        r.body = iicp_buf_str(&s->body);
        if (!s->body.error)
                s->fetch = fetch_start(s->node->fetch, &r, exported, s);
        if (!s->fetch) {
                drop(s, s->n_sent, "could not be asked");
                iicp_buf_free(&s->body);
        }
}

/* ---- what tasks leave ---- */

static void copy(char *out, size_t cap, struct iicp_str s) {
        size_t n = s.p && s.n < cap ? s.n : 0; /* an id that does not fit is left out, not cut */

        memcpy(out, s.p ? s.p : "", n);
        out[n] = '\0';
}

static uint64_t wall_ns(void) {
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec;
}

static bool new_id(char out[17]) {
        unsigned char raw[8];

        if (iicp_random(raw, sizeof raw) < 0)
                return false;
        raw[0] |= 1; /* never all zero */
        iicp_hex(raw, sizeof raw, out);
        return true;
}

static struct span *add(struct spans *s, const struct span_task *t, enum span_name name, uint64_t from_ms,
                        uint64_t to_ms, const char *parent) {
        uint64_t now_ns = wall_ns(), now_ms = clock_mono_ms(s->node->clock);
        struct span *span = &s->v[s->n];

        *span = (struct span){
                .name = name, .ok = t->ok,
                .start_ns = now_ns - (now_ms - from_ms) * 1000000u,
                .end_ns = now_ns - (now_ms - to_ms) * 1000000u,
        };
        memcpy(span->trace_id, t->trace->trace_id, 32);
        snprintf(span->parent, sizeof span->parent, "%.16s", parent);
        copy(span->task_id, sizeof span->task_id, t->task_id);
        copy(span->intent, sizeof span->intent, t->intent);
        if (name == SPAN_BACKEND)
                snprintf(span->id, sizeof span->id, "%.16s", t->backend_span);
        else if (!new_id(span->id))
                return NULL;
        s->n++;
        return span;
}

void spans_task(struct spans *s, const struct span_task *t) {
        const char *caller = t->has_parent ? t->trace->span_id : "";
        struct span *execute;

        if (!spans_wanted(s) || !t->trace->trace_id[0])
                return;
        if (!s->v && !(s->v = calloc(SPANS_MAX, sizeof *s->v)))
                return;
        if (s->n + 3 > SPANS_MAX) {
                drop(s, 3, "is slower than the tasks");
                return;
        }
        add(s, t, SPAN_VALIDATE, t->received_ms, t->executing_ms ? t->executing_ms : t->ended_ms, caller);
        if (t->executing_ms) {
                execute = add(s, t, SPAN_EXECUTE, t->executing_ms, t->ended_ms, caller);
                if (execute && t->calling_ms && t->backend_span[0])
                        add(s, t, SPAN_BACKEND, t->calling_ms, t->ended_ms, execute->id);
        }
        if (!s->timer.made)
                timer_init(&s->timer, s->node->loop, flush, s);
        if (s->n + 3 > SPANS_MAX)
                timer_set_ms(&s->timer, 0);
        else if (!timer_armed(&s->timer))
                timer_set_ms(&s->timer, SPANS_EVERY_MS);
}
