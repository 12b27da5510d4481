/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_internal.h"

#include "listener.h"
#include "log.h"
#include "node.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <iicp/intents.h>
#include <sys/epoll.h>

/* ---- queues ---- */

static void queue_leave(struct http_conn *c) {
        struct http_queue *q = c->queue;

        if (!q)
                return;
        *(c->prev ? &c->prev->next : &q->first) = c->next;
        *(c->next ? &c->next->prev : &q->last) = c->prev;
        c->queue = NULL;
}

/* Each queue is filled with one and the same delay (heads: nearly), so it stays in order. */
void http_queue_move(struct http_conn *c, struct http_queue *q, uint64_t due_ms) {
        queue_leave(c);
        c->due_ms = due_ms;
        if (!q)
                return;
        c->queue = q;
        c->prev = q->last;
        c->next = NULL;
        *(q->last ? &q->last->next : &q->first) = c;
        q->last = c;
}

/* ---- running the library ---- */

void http_kick(struct door_http *d) {
        event_active(d->kick, 0, 0);
}

static void run(struct door_http *d) {
        MHD_UNSIGNED_LONG_LONG wait;

        MHD_run(d->mhd);
        /* It has more to do at once only in rare cases; everything timed is on the tick. A timer,
         * not the kick, so that other descriptors are looked at before. */
        if (MHD_get_timeout(d->mhd, &wait) == MHD_YES && wait == 0)
                timer_set_ms(&d->again, 0);
}

static void on_ready(evutil_socket_t fd, short what, void *arg) {
        (void) fd;
        (void) what;
        run(arg);
}

static void on_again(void *arg) {
        run(arg);
}

/* ---- connections ---- */

uint64_t http_conn_received(const struct http_conn *c) {
        return listener_received(c->door->node->listener, c->fd);
}

void http_conn_kill(struct http_conn *c) {
        c->killed = true;
        http_queue_move(c, NULL, 0);
        shutdown(c->fd, SHUT_RDWR); /* the library reads the end and closes */
}

static int table_put(struct door_http *d, int fd, struct http_conn *c) {
        if ((size_t) fd >= d->n_by_fd) {
                size_t n = MAX((size_t) fd + 1, d->n_by_fd * 2);
                struct http_conn **v = realloc(d->by_fd, n * sizeof *v);

                if (!v)
                        return -ENOMEM;
                memset(v + d->n_by_fd, 0, (n - d->n_by_fd) * sizeof *v);
                d->by_fd = v;
                d->n_by_fd = n;
        }
        d->by_fd[fd] = c;
        return 0;
}

static void conn_free(struct http_conn *c) {
        struct door_http *d = c->door;

        queue_leave(c);
        d->by_fd[c->fd] = NULL;
        d->n--;
        free(c->req.body);
        free(c);
}

int door_http_add(struct door_http *d, int fd, const struct sockaddr *peer, socklen_t peer_len,
                  uint64_t since_ms, uint64_t consumed) {
        struct epoll_event ev = {.events = EPOLLET, .data.fd = fd}; /* errors and hang-ups only */
        struct http_conn *c = calloc(1, sizeof *c);

        if (!c || table_put(d, fd, c) < 0) {
                free(c);
                close(fd);
                return -ENOMEM;
        }
        c->door = d;
        c->fd = fd;
        memcpy(&c->peer, peer, MIN((size_t) peer_len, sizeof c->peer));
        c->since_ms = since_ms;
        c->consumed = consumed;
        d->n++;
        http_queue_move(c, &d->heads, since_ms + LISTENER_HEAD_MS);
        if (epoll_ctl(d->watch_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
                int r = -errno;

                conn_free(c);
                close(fd);
                return r;
        }
        if (!timer_armed(&d->tick))
                timer_set_ms(&d->tick, HTTP_TICK_MS);
        /* On failure the library has closed the descriptor; if it had told about the connection
         * before, it has told about its end too and c is gone. */
        if (MHD_add_connection(d->mhd, fd, peer, peer_len) != MHD_YES) {
                if ((size_t) fd < d->n_by_fd && d->by_fd[fd] == c)
                        conn_free(c);
                return -ENOMEM;
        }
        http_kick(d);
        return 0;
}

/* A duplicate outlives the library's close, which does not shut the connection down. */
static int keep_descriptor(struct http_conn *c) {
        int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);

        if (fd >= 0)
                listener_moved(c->door->node->listener, c->fd, fd);
        return fd;
}

static void conn_ended(struct http_conn *c) {
        struct door_http *d = c->door;
        struct node *node = d->node;
        uint64_t idle_ms = clock_mono_ms(node->clock) - c->since_ms, consumed = c->consumed;
        bool park = c->parking && !d->stopping && http_conn_received(c) == c->consumed;
        bool linger = c->linger && !c->gone && !d->stopping;
        struct http_stream *stream = c->gone || d->stopping ? NULL : c->stream;
        int fd = -1;

        if (c->stream && !stream)
                http_stream_drop(c->stream);

        epoll_ctl(d->watch_fd, EPOLL_CTL_DEL, c->fd, NULL);
        if (park || linger || stream)
                fd = keep_descriptor(c);
        if (fd < 0)
                listener_closed(node->listener, c->fd);
        conn_free(c);
        if (stream && fd < 0)
                http_stream_drop(stream);
        else if (stream)
                http_stream_start(stream, fd);
        else if (fd >= 0 && park)
                listener_idle(node->listener, fd, idle_ms, consumed);
        else if (fd >= 0)
                http_linger_start(d, fd);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code) {
        struct door_http *d = cls;

        if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
                struct http_conn *c = *context;

                if (c)
                        conn_ended(c);
                *context = NULL;
                return;
        }
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct http_conn *c = info && (size_t) info->connect_fd < d->n_by_fd ? d->by_fd[info->connect_fd] : NULL;
        if (c)
                c->mhd = mhd;
        *context = c;
}

/* ---- resets ---- */

static void on_watch(evutil_socket_t fd, short what, void *arg) {
        struct door_http *d = arg;
        struct epoll_event ev[64];
        int n = epoll_wait(fd, ev, ARRAY_SIZE(ev), 0);

        (void) what;
        for (int i = 0; i < n; i++) {
                int at = ev[i].data.fd;
                struct http_conn *c = (size_t) at < d->n_by_fd ? d->by_fd[at] : NULL;

                if (!c || c->gone)
                        continue;
                c->gone = true;
                http_request_abort(c);
        }
}

void http_watch_end(struct http_conn *c, bool on) {
        struct epoll_event ev = {.events = EPOLLET | (on ? EPOLLRDHUP : 0), .data.fd = c->fd};

        epoll_ctl(c->door->watch_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

/* ---- time ---- */

/* Kept connections that stay silent go back to the listener, which holds them for a hundredth of
 * the memory and sees the first byte of the next request. The library lets go of a connection when
 * its timeout is over; so it gets one that is. */
static void park_idle(struct door_http *d, uint64_t now) {
        struct http_queue parking = {0};
        struct http_conn *c;

        while ((c = d->kept.first) && c->due_ms <= now) {
                if (http_conn_received(c) != c->consumed) {
                        /* A head has begun. */
                        c->since_ms = now;
                        http_queue_move(c, &d->heads, now + LISTENER_HEAD_MS);
                        continue;
                }
                c->parking = true;
                MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
                http_queue_move(c, &parking, 0);
        }
        if (!parking.first)
                return;
        /* The first run closes them, the second one reports it. */
        MHD_run(d->mhd);
        run(d);
        while ((c = parking.first)) {
                /* Bytes came in this very moment, or the library's clock is a bit behind. */
                c->parking = false;
                MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned) HTTP_STALL_S);
                http_queue_move(c, &d->kept, now);
        }
}

static void on_tick(void *arg) {
        struct door_http *d = arg;
        uint64_t now = clock_mono_ms(d->node->clock);

        while (d->heads.first && d->heads.first->due_ms <= now)
                http_conn_kill(d->heads.first);
        while (d->bodies.first && d->bodies.first->due_ms <= now)
                http_conn_kill(d->bodies.first);
        park_idle(d, now);
        run(d);
        if (d->n > 0)
                timer_set_ms(&d->tick, HTTP_TICK_MS);
}

/* ---- the whole ---- */

static void on_library_log(void *arg, const char *fmt, va_list ap) {
        /* It tells about what callers do wrong, in its own words; the status is enough. */
        (void) arg;
        (void) fmt;
        (void) ap;
}

static int start_library(struct door_http *d) {
        const union MHD_DaemonInfo *info;
        struct event_base *base = loop_base(d->node->loop);

        /* TURBO: reads and writes before asking for readiness, and closes without shutdown, on which
         * keep_descriptor relies. The number of connections is the listener's business. */
        d->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO |
                                          MHD_USE_ERROR_LOG,
                                  0, NULL, NULL, http_on_request, d,
                                  MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
                                  MHD_OPTION_CONNECTION_LIMIT, 1000000u,
                                  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) HTTP_POOL,
                                  MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t) HTTP_POOL_INCREMENT,
                                  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) HTTP_STALL_S,
                                  MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, d,
                                  MHD_OPTION_NOTIFY_CONNECTION, on_connection, d,
                                  MHD_OPTION_URI_LOG_CALLBACK, http_on_target, d,
                                  MHD_OPTION_END);
        if (!d->mhd)
                return -ENOMEM;
        info = MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info)
                return -EOPNOTSUPP;
        d->ready = event_new(base, info->epoll_fd, EV_READ | EV_PERSIST, on_ready, d);
        d->kick = event_new(base, -1, 0, on_ready, d);
        d->watch = event_new(base, d->watch_fd, EV_READ | EV_PERSIST, on_watch, d);
        if (!d->ready || !d->kick || !d->watch || event_add(d->ready, NULL) < 0 || event_add(d->watch, NULL) < 0)
                return -ENOMEM;
        return 0;
}

static int start_metrics(struct node *node) {
        node_name_intents(node);
        return metrics_add_gauges(node->metrics, metrics_node_gauges, node);
}

int door_http_new(struct node *node, struct door_http **ret) {
        struct door_http *d = calloc(1, sizeof *d);
        int r;

        if (!d)
                return -ENOMEM;
        d->node = node;
        timer_init(&d->again, node->loop, on_again, d);
        timer_init(&d->tick, node->loop, on_tick, d);
        d->watch_fd = epoll_create1(EPOLL_CLOEXEC);
        r = d->watch_fd < 0 ? -errno : start_library(d);
        if (r == 0 && !(d->options = http_options_response()))
                r = -ENOMEM;
        if (r == 0)
                r = start_metrics(node);
        if (r < 0) {
                door_http_free(d);
                return r;
        }
        *ret = d;
        return 0;
}

struct door_http *door_http_free(struct door_http *d) {
        if (!d)
                return NULL;
        d->stopping = true;
        for (size_t i = 0; i < d->n_by_fd; i++) {
                struct http_conn *c = d->by_fd[i];

                if (!c)
                        continue;
                c->gone = true;
                http_request_abort(c); /* the library refuses to stop with suspended connections */
        }
        http_stream_free_all(d);
        http_linger_free_all(d);
        if (d->ready)
                event_free(d->ready); /* before its descriptor is closed */
        if (d->mhd)
                MHD_stop_daemon(d->mhd);
        if (d->options)
                MHD_destroy_response(d->options);
        timer_clear(&d->again);
        timer_clear(&d->tick);
        if (d->kick)
                event_free(d->kick);
        if (d->watch)
                event_free(d->watch);
        if (d->watch_fd >= 0)
                close(d->watch_fd);
        free(d->by_fd);
        free(d);
        return NULL;
}
