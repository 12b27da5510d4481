/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include "door_http.h"
#include "door_native.h"
#include "log.h"
#include "node.h"
#include "peer.h"
#include "peek.h"
#include "tls_port.h"
#include "util.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <fcntl.h>
#include <iicp/endpoint.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <sys/resource.h>

/* Accepted in one go; then the other events get their turn. */
#define ACCEPT_BATCH 64
#define SOURCES 1024 /* buckets, a power of two */

enum conn_where {
        CONN_PEEKING,   /* accepted, first bytes awaited here */
        CONN_AT_DOOR,
        CONN_BETWEEN,   /* kept alive, next request awaited here */
};

struct source {
        struct source *next;
        struct peer_source key;
        unsigned n;
};

struct conn {
        struct listener *l;
        struct conn *prev, *next; /* silent ones, oldest first */
        struct source *source;    /* NULL: exempt from the cap per source */
        int fd;
        enum conn_where where;
        bool silent, native_only;
        uint64_t since_ms, until_ms; /* accepted; closed if nothing has come by then */
        uint64_t consumed;           /* bytes of earlier requests, for the door */
        struct tls_count *through;   /* TLS is before it; a reference */
        struct event *ev;            /* while it is awaited here */
        struct sockaddr_in6 peer; /* or sockaddr_in */
};

struct listener {
        struct node *node;
        int fd, native_fd;           /* native_fd -1: no port for frames alone */
        uint16_t port;
        bool loopback_only, accepting, paused, stopped;
        bool passed, native_passed;  /* the service manager has it, too, and keeps it open */
        struct event *ev, *native_ev;
        struct timer resume;
        struct conn **by_fd;
        size_t n_by_fd;
        struct conn *oldest, *newest;
        struct source *sources[SOURCES];
        unsigned n, max, max_per_source;
        const struct config *caps_of; /* configuration that the caps come from */
};

/* ---- table ---- */

static struct conn *conn_at(const struct listener *l, int fd) {
        return l && fd >= 0 && (size_t) fd < l->n_by_fd ? l->by_fd[fd] : NULL;
}

static int table_put(struct listener *l, int fd, struct conn *c) {
        if ((size_t) fd >= l->n_by_fd) {
                size_t n = MAX((size_t) fd + 1, l->n_by_fd * 2);
                struct conn **v = realloc(l->by_fd, n * sizeof *v);

                if (!v)
                        return -ENOMEM;
                memset(v + l->n_by_fd, 0, (n - l->n_by_fd) * sizeof *v);
                l->by_fd = v;
                l->n_by_fd = n;
        }
        l->by_fd[fd] = c;
        return 0;
}

static void silent_add(struct conn *c) {
        struct listener *l = c->l;

        c->prev = l->newest;
        c->next = NULL;
        *(l->newest ? &l->newest->next : &l->oldest) = c;
        l->newest = c;
        c->silent = true;
}

static void silent_remove(struct conn *c) {
        struct listener *l = c->l;

        if (!c->silent)
                return;
        *(c->prev ? &c->prev->next : &l->oldest) = c->next;
        *(c->next ? &c->next->prev : &l->newest) = c->prev;
        c->silent = false;
}

static struct source **source_slot(struct listener *l, const struct peer_source *key) {
        const unsigned char *b = (const unsigned char *) key;
        uint32_t h = 2166136261u;
        struct source **s;

        for (size_t i = 0; i < sizeof *key; i++)
                h = (h ^ b[i]) * 16777619u;
        for (s = &l->sources[h & (SOURCES - 1)]; *s; s = &(*s)->next)
                if (memcmp(&(*s)->key, key, sizeof *key) == 0)
                        break;
        return s;
}

static struct source *source_get(struct listener *l, const struct peer_source *key) {
        struct source **slot = source_slot(l, key);

        if (!*slot) {
                *slot = calloc(1, sizeof **slot);
                if (*slot)
                        (*slot)->key = *key;
        }
        return *slot;
}

static void source_put(struct listener *l, struct source *s) {
        if (!s || --s->n > 0)
                return;
        struct source **slot = source_slot(l, &s->key);
        *slot = s->next;
        free(s);
}

/* ---- one connection ---- */

static void conn_forget(struct conn *c) {
        struct listener *l = c->l;

        silent_remove(c);
        source_put(l, c->source);
        tls_count_unref(c->through);
        if (c->ev)
                event_free(c->ev);
        if (conn_at(l, c->fd) == c)
                l->by_fd[c->fd] = NULL;
        l->n--;
        free(c);
        if (l->paused)
                timer_set_ms(&l->resume, 0);
}

static void conn_close(struct conn *c) {
        int fd = c->fd;
        char dropped[1024];

        /* Bytes left unread would turn the end into a reset. */
        (void) !recv(fd, dropped, sizeof dropped, MSG_DONTWAIT);
        conn_forget(c);
        close(fd);
}

static void conn_to_door(struct conn *c) {
        struct listener *l = c->l;
        int fd = c->fd, one = 1;
        socklen_t n = c->peer.sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof c->peer;

        if (c->ev)
                event_free(TAKE_PTR(c->ev));
        setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
        /* A new connection has its ten seconds from accept on, a kept one from its first byte. */
        uint64_t since_ms = c->where == CONN_BETWEEN ? clock_mono_ms(l->node->clock) : c->since_ms;
        c->where = CONN_AT_DOOR;
        /* The door closes the descriptor when it fails; whether it has reported that already
         * shows in the table. */
        if (door_http_add(l->node->http, fd, (struct sockaddr *) &c->peer, n, since_ms, c->consumed) < 0 && conn_at(l, fd) == c)
                conn_forget(c);
}

static void conn_to_native(struct conn *c) {
        struct node *node = c->l->node;
        const struct sockaddr *peer = (const struct sockaddr *) &c->peer;
        socklen_t n = c->peer.sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof c->peer;
        struct bufferevent *bev;
        int one = 1;

        if (c->through || node->config->native != NATIVE_PLAINTEXT || !door_native_admits(node->native, peer)) {
                conn_close(c);
                return;
        }
        if (c->ev)
                event_free(TAKE_PTR(c->ev));
        silent_remove(c);
        setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
        bev = bufferevent_socket_new(loop_base(node->loop), c->fd, BEV_OPT_CLOSE_ON_FREE);
        if (!bev) {
                conn_close(c);
                return;
        }
        c->where = CONN_AT_DOOR;
        if (door_native_add(node->native, bev, c->fd, peer, n, c->since_ms, NULL) < 0)
                conn_forget(c);
}

/* Only a handshake begins like that; anything else is closed without a word. */
static void conn_to_tls(struct conn *c, const char *first) {
        socklen_t n = c->peer.sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof c->peer;
        int one = 1;

        if (*first != '\x16') {
                conn_close(c);
                return;
        }
        if (c->ev)
                event_free(TAKE_PTR(c->ev));
        setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->where = CONN_AT_DOOR;
        if (tls_port_accept(c->l->node->tls, c->fd, (struct sockaddr *) &c->peer, n, c->since_ms, c->native_only) < 0)
                conn_close(c);
}

/* Looks at what has come. False: nothing to decide on yet. The bytes stay in the socket. */
static bool conn_look(struct conn *c, bool ended) {
        char b[PEEK_BYTES];
        ssize_t n = recv(c->fd, b, sizeof b, MSG_PEEK | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) {
                conn_close(c);
                return true;
        }
        if (tls_port_active(c->l->node->tls) && !c->through && c->where == CONN_PEEKING) {
                conn_to_tls(c, b);
                return true;
        }
        switch (peek_classify((struct iicp_str){b, (size_t) n})) {
        case PEEK_HTTP:
                conn_to_door(c);
                return true;
        case PEEK_NATIVE:
                conn_to_native(c);
                return true;
        case PEEK_MORE:
                break;
        }
        if (ended) {
                conn_close(c);
                return true;
        }
        /* A part of the magic stays in the socket, so readiness has to mean "all four" from now on,
         * else the loop would spin. */
        int four = PEEK_BYTES;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &four, sizeof four);
        return false;
}

static void on_bytes(evutil_socket_t fd, short what, void *arg);

static void conn_await(struct conn *c) {
        struct node *node = c->l->node;
        uint64_t now = clock_mono_ms(node->clock);
        uint64_t left = c->until_ms > now ? c->until_ms - now : 0;
        struct timeval tv = {.tv_sec = (time_t) (left / 1000), .tv_usec = (suseconds_t) (left % 1000 * 1000)};

        if (!c->ev)
                c->ev = event_new(loop_base(node->loop), c->fd, EV_READ | EV_CLOSED, on_bytes, c);
        if (!c->ev || event_add(c->ev, &tv) < 0)
                conn_close(c);
}

static void on_bytes(evutil_socket_t fd, short what, void *arg) {
        struct conn *c = arg;

        (void) fd;
        if (what & EV_TIMEOUT)
                conn_close(c);
        else if (!conn_look(c, what & EV_CLOSED))
                conn_await(c);
}

/* ---- accept ---- */

unsigned listener_open_files(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 1024;
        if (limit.rlim_cur < limit.rlim_max) {
                struct rlimit more = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};

                if (setrlimit(RLIMIT_NOFILE, &more) == 0)
                        limit = more;
        }
        return (unsigned) MIN(limit.rlim_cur, (rlim_t) 65536);
}

/* The figures of the contract are those of a small node; with more descriptors there is more. Each
 * slot may need a connection to a backend, some descriptors are for files and the directory. */
static void set_caps(struct listener *l) {
        const struct config *c = l->node->config;
        unsigned files = listener_open_files(), other = 64 + 2 * c->max_concurrent;

        l->caps_of = c;
        if (c->relay_operator) /* workers have a part of them */
                other += c->relay_max_sessions ? MIN(c->relay_max_sessions, files / 4 * 3) : files / 2;
        l->max = c->max_connections;
        if (l->max == 0)
                l->max = MAX(files > other ? files - other : 0, (unsigned) LISTENER_MIN_CONNECTIONS);
        l->max_per_source = c->max_per_source;
        if (l->max_per_source == 0)
                l->max_per_source = MAX(l->max / 4, (unsigned) LISTENER_MIN_PER_SOURCE);
}

/* Silent connections must not keep health or tasks out: the oldest one goes first. */
static bool evict(struct listener *l) {
        struct conn *c = l->oldest;

        if (!c)
                return false;
        metrics_connection_refused(l->node->metrics, "evicted");
        if (c->where == CONN_AT_DOOR) {
                silent_remove(c);
                shutdown(c->fd, SHUT_RDWR); /* the door sees the end and reports it */
        } else
                conn_close(c);
        return true;
}

static void refuse(struct listener *l, int fd, const char *reason, const char *text) {
        metrics_connection_refused(l->node->metrics, reason);
        log_event(LOG_L_WARN, "connection_refused", &(struct log_fields){.reason = reason}, "%s", text);
        close(fd);
}

static void admit(struct listener *l, int fd, const struct sockaddr *peer, socklen_t n, bool native_only) {
        struct source *source = NULL;
        struct peer_source key;
        struct conn *c;

        if (l->caps_of != l->node->config)
                set_caps(l); /* after a reload */
        if (!iicp_addr_is_loopback(peer) && !peer_in_networks(peer, l->node->config->trusted_proxies)) {
                peer_source_of(peer, &key);
                source = source_get(l, &key);
                if (source && source->n >= l->max_per_source) {
                        refuse(l, fd, "source", "too many connections from one source");
                        return;
                }
                if (!source) {
                        close(fd);
                        return;
                }
                source->n++;
        }
        if (l->n >= l->max && !evict(l)) {
                source_put(l, source);
                refuse(l, fd, "cap", "too many connections");
                return;
        }
        c = calloc(1, sizeof *c);
        if (!c || table_put(l, fd, c) < 0) {
                free(c);
                source_put(l, source);
                close(fd);
                return;
        }
        c->l = l;
        c->fd = fd;
        c->source = source;
        c->native_only = native_only;
        memcpy(&c->peer, peer, MIN((size_t) n, sizeof c->peer));
        c->since_ms = clock_mono_ms(l->node->clock);
        c->until_ms = c->since_ms + LISTENER_PEEK_MS;
        l->n++;
        silent_add(c);
        /* Nothing else is spoken there, so even silence is answered in frames. */
        if (native_only && !tls_port_active(l->node->tls))
                conn_to_native(c);
        else if (!conn_look(c, false))
                conn_await(c);
}

static void accept_resume(void *arg) {
        struct listener *l = arg;

        l->paused = false;
        if (!l->accepting)
                return;
        if (l->fd >= 0)
                event_add(l->ev, NULL);
        if (l->native_fd >= 0)
                event_add(l->native_ev, NULL);
}

/* Established connections go on; accepting is tried again when one has closed, or after a while,
 * because the descriptors may have been freed by somebody else. */
static void accept_pause(struct listener *l, int error) {
        event_del(l->ev);
        if (l->native_ev)
                event_del(l->native_ev);
        l->paused = true;
        timer_set_ms(&l->resume, LISTENER_PAUSE_MS);
        metrics_connection_refused(l->node->metrics, "descriptors");
        log_event(LOG_L_ERR, "accept_paused", &(struct log_fields){.reason = "descriptors"},
                  "accepting connections pauses: %s", strerror(error));
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
        struct listener *l = arg;

        (void) what;
        for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
                struct sockaddr_storage peer;
                socklen_t n = sizeof peer;
                int s = accept4(fd, (struct sockaddr *) &peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (s >= 0) {
                        witness_note(&l->node->witness, (struct sockaddr *) &peer, clock_mono_ms(l->node->clock));
                        admit(l, s, (struct sockaddr *) &peer, n, fd == l->native_fd);
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                        accept_pause(l, errno);
                        return;
                } else if (errno == EAGAIN)
                        return;
                /* Anything else concerns the one connection that went away in the queue. */
        }
}

/* ---- the whole ---- */

static int open_native(struct listener *l, char *why, size_t why_cap) {
        const struct config *c = l->node->config;
        int r;

        if (!c->native_port)
                return 0;
        if (c->native == NATIVE_OFF || (c->native == NATIVE_TLS_ONLY && !tls_port_active(l->node->tls))) {
                log_warn("native_port_closed", "listen.native_port is not opened: %s",
                         c->native == NATIVE_OFF ? "listen.native=no" : "no certificate, and listen.native is not plaintext");
                return 0;
        }
        r = listener_open("native", "listen.native_port", c->listen_address, c->native_port, true, 0, &l->native_passed,
                          &l->native_fd, why, why_cap);
        if (r < 0) {
                l->native_fd = -1;
                return r;
        }
        l->native_ev = event_new(loop_base(l->node->loop), l->native_fd, EV_READ | EV_PERSIST, on_accept, l);
        return l->native_ev ? 0 : -ENOMEM;
}

int listener_new(struct node *node, struct listener **ret, char *why, size_t why_cap) {
        struct sockaddr_storage bound;
        socklen_t n = sizeof bound;
        struct listener *l = calloc(1, sizeof *l);
        const struct config *c = node->config;
        int r;

        if (!l)
                return -ENOMEM;
        l->node = node;
        l->native_fd = -1;
        r = listener_open(NULL, "listen.port", c->listen_address, c->listen_port, c->listen_port_strict,
                          c->relay_operator ? c->relay_port : 0, &l->passed, &l->fd, why, why_cap);
        if (r < 0) {
                l->fd = -1;
                listener_free(l);
                return r;
        }
        if (getsockname(l->fd, (struct sockaddr *) &bound, &n) < 0) {
                r = -errno;
                snprintf(why, why_cap, "listening socket: %s", strerror(-r));
                listener_free(l);
                return r;
        }
        /* Both families have the port at the same place. */
        l->port = ntohs(((struct sockaddr_in *) &bound)->sin_port);
        l->loopback_only = iicp_addr_is_loopback((struct sockaddr *) &bound);
        set_caps(l);
        timer_init(&l->resume, node->loop, accept_resume, l);
        l->ev = event_new(loop_base(node->loop), l->fd, EV_READ | EV_PERSIST, on_accept, l);
        r = l->ev ? open_native(l, why, why_cap) : -ENOMEM;
        if (r < 0) {
                listener_free(l);
                return r;
        }
        *ret = l;
        return 0;
}

struct listener *listener_free(struct listener *l) {
        if (!l)
                return NULL;
        listener_stop(l);
        for (size_t fd = 0; fd < l->n_by_fd; fd++)
                if (l->by_fd[fd])
                        conn_forget(l->by_fd[fd]); /* the door closes it */
        timer_clear(&l->resume);
        if (l->ev)
                event_free(l->ev);
        if (l->native_ev)
                event_free(l->native_ev);
        if (l->fd >= 0)
                close(l->fd);
        free(l->by_fd);
        free(l);
        return NULL;
}

int listener_accept(struct listener *l) {
        l->accepting = true;
        if (l->native_ev && event_add(l->native_ev, NULL) < 0)
                return -ENOMEM;
        return event_add(l->ev, NULL) < 0 ? -ENOMEM : 0;
}

static void port_close(int *fd, struct event *ev) {
        if (ev)
                event_del(ev);
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

void listener_hold(struct listener *l) {
        if (l->passed)
                port_close(&l->fd, l->ev);
        if (l->native_passed)
                port_close(&l->native_fd, l->native_ev);
}

void listener_stop(struct listener *l) {
        l->accepting = false;
        timer_clear(&l->resume);
        l->paused = false;
        /* Closed, not only ignored, so that callers are refused at once instead of waiting in the
         * queue of the kernel. */
        port_close(&l->fd, l->ev);
        port_close(&l->native_fd, l->native_ev);
        /* Nobody waits for anything on these. */
        l->stopped = true;
        for (size_t fd = 0; fd < l->n_by_fd; fd++)
                if (l->by_fd[fd] && l->by_fd[fd]->where != CONN_AT_DOOR)
                        conn_close(l->by_fd[fd]);
}

uint16_t listener_port(const struct listener *l) {
        return l->port;
}

bool listener_loopback_only(const struct listener *l) {
        return l->loopback_only;
}

unsigned listener_connections(const struct listener *l) {
        return l->n;
}

unsigned listener_max_connections(const struct listener *l) {
        return l->max;
}

void listener_head_complete(struct listener *l, int fd) {
        struct conn *c = conn_at(l, fd);

        if (c)
                silent_remove(c);
}

void listener_closed(struct listener *l, int fd) {
        struct conn *c = conn_at(l, fd);

        if (c)
                conn_forget(c);
}

void listener_moved(struct listener *l, int fd, int new_fd) {
        struct conn *c = conn_at(l, fd);

        if (!c)
                return;
        l->by_fd[fd] = NULL;
        c->fd = new_fd;
        if (table_put(l, new_fd, c) < 0) {
                c->fd = -1;
                conn_forget(c);
        }
}

void listener_through(struct listener *l, int fd, int new_fd, struct tls_count *count) {
        struct conn *c = conn_at(l, fd);

        if (!c) {
                close(new_fd);
                tls_count_unref(count);
                return;
        }
        c->through = count;
        l->by_fd[fd] = NULL;
        c->fd = new_fd;
        if (table_put(l, new_fd, c) < 0) {
                conn_forget(c);
                close(new_fd);
                return;
        }
        conn_to_door(c);
}

uint64_t listener_received(const struct listener *l, int fd) {
        const struct conn *c = conn_at(l, fd);
        struct tcp_info info = {0};
        socklen_t n = sizeof info;

        if (c && c->through)
                return c->through->received;
        return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 ? UINT64_MAX : info.tcpi_bytes_received;
}

bool listener_secure(const struct listener *l, int fd) {
        const struct conn *c = conn_at(l, fd);

        return c && c->through;
}

void listener_idle(struct listener *l, int fd, uint64_t idle_ms, uint64_t consumed) {
        struct conn *c = conn_at(l, fd);

        if (!c) {
                close(fd);
                return;
        }
        c->where = CONN_BETWEEN;
        c->consumed = consumed;
        if (l->stopped) {
                conn_close(c);
                return;
        }
        c->until_ms = clock_mono_ms(l->node->clock) + LISTENER_IDLE_MS - MIN(idle_ms, (uint64_t) LISTENER_IDLE_MS);
        /* It owes us a request head like a new one, so it may have to make room like a new one. */
        if (!c->silent)
                silent_add(c);
        if (!conn_look(c, false))
                conn_await(c);
}
