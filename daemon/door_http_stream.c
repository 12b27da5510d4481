/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_internal.h"

#include "node.h"
#include "task/lifecycle.h"
#include "util.h"

#include <stdio.h>

/* A stream of events as an HTTP answer. The library asks for bytes when the connection has room; while
 * there is no event the connection is suspended and costs nothing but itself. What is written are
 * pieces of the one copy that the store holds. [02 section 11.4] */

#define KEEP_ALIVE_MS 15000 /* of silence */
#define HEAD_MAX 320        /* bytes in front of an event */
#define HTTP_1_0_BLOCK 1024 /* where the library cannot write in place */

struct http_stream {
        struct http_conn *c;         /* NULL: the request is over */
        struct lifecycle_observer *observer;
        enum http_stream_form form;
        bool follow, over;
        struct lifecycle_event *event;
        char head[HEAD_MAX];
        struct iicp_str pieces[3];   /* still to write: head, event, what comes after */
        struct timer silence;
};

static void on_silence(void *arg);

struct http_stream *http_stream_new(struct http_conn *c, enum http_stream_form form, bool follow) {
        struct http_stream *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->c = c;
        s->form = form;
        s->follow = follow;
        timer_init(&s->silence, c->door->node->loop, on_silence, s);
        return s;
}

static void event_written(struct http_stream *s) {
        if (s->event)
                lifecycle_event_unref(TAKE_PTR(s->event));
}

void http_stream_leave(struct http_stream *s) {
        timer_clear(&s->silence);
        s->observer = lifecycle_observer_free(s->observer);
        event_written(s);
        s->over = true;
        s->c = NULL;
}

void http_stream_free(struct http_stream *s) {
        http_stream_leave(s);
        free(s);
}

static void release(void *cls) {
        struct http_stream *s = cls;

        if (s->c)
                s->c->req.stream = NULL;
        http_stream_free(s);
}

void http_stream_ready(void *arg) {
        struct http_stream *s = arg;

        timer_clear(&s->silence);
        if (s->c)
                http_resume(s->c);
}

static void on_silence(void *arg) {
        struct http_stream *s = arg;

        if (!s->c || !s->c->suspended)
                return;
        s->pieces[0] = IICP_STR(": k\n\n");
        http_resume(s->c);
}

/* ---- events as text ---- */

static const char *subject_event(const struct lifecycle_event *e) {
        if (e->sequence == 0)
                return "start";
        if (!e->is_final)
                return "update";
        return e->state == IICP_LIFECYCLE_COMPLETED ? "end" : "error";
}

static void take_event(struct http_stream *s, struct lifecycle_event *e) {
        static const char *const after[] = {
                [HTTP_STREAM_SSE] = "\n\n", [HTTP_STREAM_NDJSON] = "\n", [HTTP_STREAM_SUBJECT] = "}\n\n"};
        struct iicp_buf id = {0};
        int n = 0;

        s->event = e;
        if (s->form != HTTP_STREAM_NDJSON)
                n = snprintf(s->head, sizeof s->head, "id: %llu\nevent: %s\ndata: ", (unsigned long long) e->sequence,
                             iicp_lifecycle_event_name(e->state));
        if (s->form == HTTP_STREAM_SUBJECT) {
                /* Escaped, an id of 128 bytes may be longer than the head has room for: then it is
                 * named in the event alone. */
                iicp_buf_json_str(&id, lifecycle_task_id(lifecycle_observed(s->observer)));
                n += snprintf(s->head + n, sizeof s->head - (size_t) n,
                              "{\"subject\":\"call\",\"subject_id\":%s,\"event_type\":\"%s\",\"sequence\":%llu,\"data\":",
                              id.p && id.n <= HTTP_ID_MAX + 2 ? id.p : "null", subject_event(e),
                              (unsigned long long) e->sequence);
                iicp_buf_free(&id);
        }
        s->pieces[0] = (struct iicp_str){s->head, (size_t) n};
        s->pieces[1] = (struct iicp_str){e->json, e->n};
        s->pieces[2] = iicp_str(after[s->form]);
}

static void take_lagged(struct http_stream *s) {
        uint64_t earliest, latest;
        int n;

        lifecycle_observer_range(s->observer, &earliest, &latest);
        n = snprintf(s->head, sizeof s->head, "%s{\"%searliest_available\":%llu,\"latest_sequence\":%llu}\n%s",
                     s->form == HTTP_STREAM_NDJSON ? "" : "event: observer_lagged\ndata: ",
                     s->form == HTTP_STREAM_NDJSON ? "event\":\"observer_lagged\",\"" : "",
                     (unsigned long long) earliest, (unsigned long long) latest,
                     s->form == HTTP_STREAM_NDJSON ? "" : "\n");
        s->pieces[0] = (struct iicp_str){s->head, (size_t) n};
        s->over = true;
}

/* false: nothing to write now. */
static bool refill(struct http_stream *s) {
        struct lifecycle_event *e;

        if (s->over)
                return false;
        switch (lifecycle_observer_next(s->observer, &e)) {
        case LIFECYCLE_EVENT:
                take_event(s, e);
                return true;
        case LIFECYCLE_LAGGED:
                take_lagged(s);
                return true;
        case LIFECYCLE_END:
                s->over = true;
                return false;
        case LIFECYCLE_WAIT:
                s->over = !s->follow;
                return false;
        }
        return false;
}

static size_t write_pieces(struct http_stream *s, char *out, size_t max) {
        size_t done = 0;

        for (size_t i = 0; i < ARRAY_SIZE(s->pieces); i++) {
                size_t n = MIN(s->pieces[i].n, max - done);

                memcpy(out + done, s->pieces[i].p ? s->pieces[i].p : "", n);
                s->pieces[i].p += n;
                s->pieces[i].n -= n;
                done += n;
                if (s->pieces[i].n > 0)
                        return done;
        }
        event_written(s);
        return done;
}

static bool written(const struct http_stream *s) {
        return s->pieces[0].n == 0 && s->pieces[1].n == 0 && s->pieces[2].n == 0;
}

static ssize_t give(void *cls, uint64_t position, char *out, size_t max) {
        struct http_stream *s = cls;
        size_t n = 0;

        (void) position;
        if (!s->c)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        while (n < max && (!written(s) || refill(s)))
                n += write_pieces(s, out + n, max - n);
        if (n > 0)
                return (ssize_t) n;
        if (s->over)
                return MHD_CONTENT_READER_END_OF_STREAM;
        timer_set_ms(&s->silence, KEEP_ALIVE_MS);
        http_suspend(s->c);
        return 0;
}

enum MHD_Result http_stream_answer(struct http_stream *s, struct lifecycle_observer *o) {
        struct http_conn *c = s->c;
        struct MHD_Response *r;
        enum MHD_Result ok;

        s->observer = o;
        if (s->form != HTTP_STREAM_NDJSON)
                s->pieces[0] = IICP_STR("retry: 2000\n\n");
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_1_0_BLOCK, give, s, release);
        if (!r) {
                http_stream_free(s);
                return MHD_NO;
        }
        http_common_headers(r, s->form == HTTP_STREAM_NDJSON ? "application/x-ndjson" : "text/event-stream");
        (void) MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        (void) MHD_add_response_header(r, "X-Accel-Buffering", "no"); /* a proxy must not gather it */
        (void) MHD_add_response_header(r, "X-IICP-Generated-By-AI", "true");
        c->req.stream = s;
        ok = MHD_queue_response(c->mhd, MHD_HTTP_OK, r);
        MHD_destroy_response(r);
        return ok;
}
