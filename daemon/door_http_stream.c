/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_internal.h"

#include "listener.h"
#include "log.h"
#include "node.h"
#include "task/lifecycle.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <sys/uio.h>

/* A stream of events as an HTTP answer. It can last for minutes, and the library holds a pool of 40 KiB
 * for each of its connections; so the library lets go of the connection, and what it had is written
 * here: the head, then events as chunks, straight from the one copy that the store holds. While there is
 * no event it costs a timer and a descriptor. [02 section 11.4] */

#define KEEP_ALIVE_MS 15000 /* of silence */
#define STALL_S 30          /* without progress of a write [02 section 2.5] */
#define HEAD_MAX 320        /* bytes in front of an event */

struct http_stream {
        struct door_http *door;
        struct http_stream *prev, *next;
        struct lifecycle_observer *observer;
        struct lifecycle_event *event;
        enum http_stream_form form;
        bool follow, over, chunked;
        int fd;                      /* -1: the library has the connection still */
        struct event readable, writable;
        struct timer silence;
        struct iicp_buf begin;       /* head of the answer, until it is written */
        char size[16], head[HEAD_MAX];
        struct iovec pieces[5];      /* chunk size, head, event, what comes after it, end of the chunk */
};

static void pump(struct http_stream *s);

static void stream_free(struct http_stream *s) {
        struct door_http *d = s->door;

        *(s->prev ? &s->prev->next : &d->streams) = s->next;
        if (s->next)
                s->next->prev = s->prev;
        timer_clear(&s->silence);
        lifecycle_observer_free(s->observer);
        if (s->event)
                lifecycle_event_unref(s->event);
        iicp_buf_free(&s->begin);
        if (s->fd >= 0) {
                event_del(&s->readable);
                event_del(&s->writable);
        }
        free(s);
}

static void stream_close(struct http_stream *s) {
        listener_closed(s->door->node->listener, s->fd);
        close(s->fd);
        stream_free(s);
}

void http_stream_drop(struct http_stream *s) {
        if (s->fd >= 0)
                stream_close(s);
        else
                stream_free(s);
}

static void stream_ended(struct http_stream *s) {
        struct door_http *d = s->door;
        int fd = s->fd;

        stream_free(s);
        if (!d->stopping) {
                http_linger_start(d, fd); /* the caller reads its end, whatever it has still sent */
                return;
        }
        listener_closed(d->node->listener, fd);
        close(fd);
}

static void on_ready(void *arg) {
        struct http_stream *s = arg;

        timer_clear(&s->silence);
        if (s->fd >= 0)
                pump(s);
}

/* ---- text ---- */

static void piece(struct http_stream *s, size_t i, const char *p, size_t n) {
        s->pieces[i] = (struct iovec){.iov_base = (void *) p, .iov_len = n};
}

/* What stands in pieces 1 to 3 becomes a chunk. */
static void frame(struct http_stream *s) {
        size_t n = s->pieces[1].iov_len + s->pieces[2].iov_len + s->pieces[3].iov_len;

        if (!s->chunked)
                return;
        piece(s, 0, s->size, (size_t) snprintf(s->size, sizeof s->size, "%zx\r\n", n));
        piece(s, 4, "\r\n", 2);
}

static void say(struct http_stream *s, const char *text, size_t n) {
        piece(s, 1, text, n);
        frame(s);
}

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
        piece(s, 1, s->head, (size_t) n);
        piece(s, 2, e->json, e->n);
        piece(s, 3, after[s->form], strlen(after[s->form]));
        frame(s);
}

static void take_lagged(struct http_stream *s) {
        bool lines = s->form == HTTP_STREAM_NDJSON;
        uint64_t earliest, latest;
        int n;

        lifecycle_observer_range(s->observer, &earliest, &latest);
        n = snprintf(s->head, sizeof s->head, "%s{%s\"earliest_available\":%llu,\"latest_sequence\":%llu}\n%s",
                     lines ? "" : "event: observer_lagged\ndata: ", lines ? "\"event\":\"observer_lagged\"," : "",
                     (unsigned long long) earliest, (unsigned long long) latest, lines ? "" : "\n");
        say(s, s->head, (size_t) n);
        s->over = true;
}

/* The next text for the connection; false: there is none now. */
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
                break;
        case LIFECYCLE_WAIT:
                s->over = !s->follow;
                break;
        }
        if (s->over && s->chunked)
                piece(s, 0, "0\r\n\r\n", 5);
        return s->over && s->chunked;
}

/* ---- writing ---- */

static size_t unwritten(const struct http_stream *s) {
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(s->pieces); i++)
                n += s->pieces[i].iov_len;
        return n;
}

static void written(struct http_stream *s, size_t n) {
        for (size_t i = 0; i < ARRAY_SIZE(s->pieces); i++) {
                size_t part = MIN(n, s->pieces[i].iov_len);

                s->pieces[i].iov_base = (char *) s->pieces[i].iov_base + part;
                s->pieces[i].iov_len -= part;
                n -= part;
        }
        if (unwritten(s) > 0)
                return;
        iicp_buf_free(&s->begin);
        if (s->event)
                lifecycle_event_unref(TAKE_PTR(s->event));
}

/* 1: all is written; 0: the connection takes no more now; -errno. */
static int write_on(struct http_stream *s) {
        while (unwritten(s) > 0) {
                struct msghdr m = {.msg_iov = s->pieces, .msg_iovlen = ARRAY_SIZE(s->pieces)};
                ssize_t n = sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                written(s, (size_t) n);
        }
        return 1;
}

/* As much as goes; afterwards the stream waits for room, for an event, or is gone. */
static void pump(struct http_stream *s) {
        static const struct timeval stall = {.tv_sec = STALL_S};
        int r;

        do
                r = write_on(s);
        while (r > 0 && refill(s));
        if (r < 0)
                stream_close(s);
        else if (r == 0)
                event_add(&s->writable, &stall);
        else if (s->over)
                stream_ended(s);
        else
                timer_set_ms(&s->silence, KEEP_ALIVE_MS);
}

static void on_writable(evutil_socket_t fd, short what, void *arg) {
        (void) fd;
        if (what & EV_TIMEOUT)
                stream_close(arg);
        else
                pump(arg);
}

/* Nothing is expected; the end of what the caller sends is not the end of its reading. */
static void on_readable(evutil_socket_t fd, short what, void *arg) {
        struct http_stream *s = arg;
        char dropped[1024];
        ssize_t n = recv(fd, dropped, sizeof dropped, MSG_DONTWAIT);

        (void) what;
        if (n == 0)
                event_del(&s->readable);
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
                stream_close(s);
}

static void on_silence(void *arg) {
        struct http_stream *s = arg;

        say(s, ": k\n\n", 5);
        pump(s);
}

/* ---- birth ---- */

struct http_stream *http_stream_new(struct http_conn *c, enum http_stream_form form, bool follow) {
        struct http_stream *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->door = c->door;
        s->form = form;
        s->follow = follow;
        s->chunked = !c->req.http_1_0;
        s->fd = -1;
        timer_init(&s->silence, c->door->node->loop, on_silence, s);
        s->next = c->door->streams;
        if (s->next)
                s->next->prev = s;
        c->door->streams = s;
        return s;
}

lifecycle_ready_fn http_stream_ready(void) {
        return on_ready;
}

enum MHD_Result http_stream_answer(struct http_conn *c, struct http_stream *s, struct lifecycle_observer *o) {
        s->observer = o;
        iicp_buf_puts(&s->begin, "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-store\r\n"
                                 "X-Accel-Buffering: no\r\nX-IICP-Generated-By-AI: true\r\n");
        iicp_buf_printf(&s->begin, "Content-Type: %s\r\n%s",
                        s->form == HTTP_STREAM_NDJSON ? "application/x-ndjson" : "text/event-stream",
                        s->chunked ? "Transfer-Encoding: chunked\r\n" : "");
        http_common_text(&s->begin);
        iicp_buf_puts(&s->begin, "\r\n");
        if (s->form != HTTP_STREAM_NDJSON)
                iicp_buf_puts(&s->begin, s->chunked ? "d\r\nretry: 2000\n\n\r\n" : "retry: 2000\n\n");
        c->stream = s;
        http_kick(c->door); /* the library closes in one run and says so in the next */
        return MHD_NO;
}

void http_stream_start(struct http_stream *s, int fd) {
        struct event_base *base = loop_base(s->door->node->loop);

        s->fd = fd;
        event_assign(&s->readable, base, fd, EV_READ | EV_PERSIST, on_readable, s);
        event_assign(&s->writable, base, fd, EV_WRITE, on_writable, s);
        if (s->begin.error || event_add(&s->readable, NULL) < 0) {
                stream_close(s);
                return;
        }
        piece(s, 1, s->begin.p, s->begin.n);
        pump(s);
}

void http_stream_free_all(struct door_http *d) {
        while (d->streams)
                http_stream_drop(d->streams);
}
