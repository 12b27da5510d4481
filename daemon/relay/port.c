/* SPDX-License-Identifier: Apache-2.0 */
#include "port_internal.h"

#include "listener.h"
#include "log.h"
#include "tls.h"
#include "tls_port.h"
#include "util.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <iicp/endpoint.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static struct node *node_of(const struct relay_port *p) {
        return p->relay->node;
}

bool relay_port_tls(const struct relay_port *p) {
        return tls_port_active(node_of(p)->tls);
}

bool relay_port_plain(const struct relay_port *p) {
        return node_of(p)->config->relay_plaintext;
}

uint16_t relay_port_number(const struct relay_port *p) {
        return p ? p->number : 0;
}

/* ---- caps ---- */

static unsigned max_per_source(const struct relay_port *p) {
        unsigned configured = node_of(p)->config->relay_max_per_source;

        return configured ? configured : MAX(relay_max_sessions(p->relay) / 8, (unsigned) RELAY_MIN_PER_SOURCE);
}

static unsigned max_new(const struct relay_port *p) {
        return MAX(relay_max_sessions(p->relay) / 4, (unsigned) RELAY_PORT_NEW_MIN);
}

static void source_put(struct relay_port *p, struct relay_source *s) {
        if (!s || --s->n > 0)
                return;
        HASH_DEL(p->sources, s);
        free(s);
}

static struct relay_source *source_get(struct relay_port *p, const struct sockaddr *peer) {
        struct relay_source *s = NULL;
        uint8_t key[8];

        relay_source_key(p->relay, peer, key);
        HASH_FIND(hh, p->sources, key, sizeof key, s);
        if (!s) {
                s = calloc(1, sizeof *s);
                if (!s)
                        return NULL;
                memcpy(s->key, key, sizeof key);
                HASH_ADD(hh, p->sources, key, sizeof s->key, s);
        }
        s->n++;
        return s;
}

static void refuse(const struct relay_port *p, const char *reason, const char *text) {
        metrics_connection_refused(node_of(p)->metrics, reason);
        log_event(LOG_L_WARN, "connection_refused", &(struct log_fields){.subject = reason, .reason = reason},
                  "relay connection refused: %s", text);
}

/* ---- connections ---- */

void relay_conn_settled(struct relay_conn *c) {
        if (!c->peer)
                return;
        free(TAKE_PTR(c->peer));
        c->port->n_new--;
}

void relay_conn_free(struct relay_conn *c) {
        struct relay_port *p = c->port;

        relay_conn_settled(c);
        LIST_REMOVE(c, link);
        p->n--;
        source_put(p, c->source);
        if (c->peek) {
                close(event_get_fd(c->peek));
                event_free(c->peek);
        } else
                native_link_free(&c->wire);
        free(c);
}

static void open_channel(struct relay_conn *c, int fd, bool with_tls) {
        struct event_base *base = loop_base(node_of(c->port)->loop);
        struct tls *tls = with_tls ? tls_port_tls(node_of(c->port)->tls) : NULL;
        struct bufferevent *bev = tls ? tls_accept(tls, base, fd) : bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

        if (!bev) {
                close(fd);
                relay_conn_free(c);
                return;
        }
        relay_channel_open(c, bev, tls);
}

static void on_first(evutil_socket_t fd, short what, void *arg) {
        struct relay_conn *c = arg;
        unsigned char first;
        ssize_t n = what & EV_READ ? recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) : 0;

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                event_add(c->peek, NULL); /* the time goes on */
                return;
        }
        if (n <= 0 || (first == TLS_HANDSHAKE && !relay_port_tls(c->port))) {
                relay_conn_free(c);
                return;
        }
        event_free(TAKE_PTR(c->peek));
        open_channel(c, (int) fd, first == TLS_HANDSHAKE);
}

static void begin(struct relay_conn *c, int fd) {
        struct relay_port *p = c->port;
        const struct timeval wait = {.tv_sec = IICP_RELAY_WAIT_MS / 1000};

        if (!relay_port_tls(p) || !relay_port_plain(p)) {
                open_channel(c, fd, relay_port_tls(p));
                return;
        }
        c->state = CHANNEL_PEEK;
        c->peek = event_new(loop_base(node_of(p)->loop), fd, EV_READ, on_first, c);
        if (!c->peek || event_add(c->peek, &wait) < 0) {
                if (!c->peek)
                        close(fd);
                relay_conn_free(c);
        }
}

/* Half-open lines are found by the workers' own silence; these are for what lies between. */
static void set_options(int fd) {
        int on = 1;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static void take(struct relay_port *p, int fd, const struct sockaddr *peer, socklen_t n) {
        struct relay_source *source = NULL;
        struct relay_conn *c;

        if (p->n >= relay_max_sessions(p->relay) + max_new(p) || p->n_new >= max_new(p)) {
                refuse(p, "relay_cap", "too many connections; see relay.max_sessions in iicp.conf(5)");
                close(fd);
                return;
        }
        if (!iicp_addr_is_loopback(peer) && (!(source = source_get(p, peer)) || source->n > max_per_source(p))) {
                refuse(p, "relay_source", "too many connections of one source; see relay.max_per_source in iicp.conf(5)");
                source_put(p, source);
                close(fd);
                return;
        }
        c = calloc(1, sizeof *c);
        if (!c || !(c->peer = calloc(1, sizeof *c->peer))) {
                free(c);
                source_put(p, source);
                close(fd);
                return;
        }
        c->port = p;
        c->source = source;
        memcpy(c->peer, peer, MIN((size_t) n, sizeof *c->peer));
        LIST_INSERT_HEAD(&p->conns, c, link);
        p->n++;
        p->n_new++;
        set_options(fd);
        begin(c, fd);
}

/* ---- accepting ---- */

static void accept_resume(void *arg) {
        struct relay_port *p = arg;

        if (p->accepting)
                event_add(p->ev, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
        struct relay_port *p = arg;

        (void) what;
        for (unsigned i = 0; i < RELAY_PORT_BATCH; i++) {
                struct sockaddr_storage peer;
                socklen_t n = sizeof peer;
                int s = accept4(fd, (struct sockaddr *) &peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (s >= 0) {
                        take(p, s, (struct sockaddr *) &peer, n);
                        continue;
                }
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                        event_del(p->ev);
                        timer_set_ms(&p->resume, RELAY_PORT_PAUSE_MS);
                        log_event(LOG_L_ERR, "accept_paused", &(struct log_fields){.subject = "relay", .reason = "descriptors"},
                                  "accepting workers pauses: %s", strerror(errno));
                }
                if (errno != EINTR && errno != ECONNABORTED)
                        return;
        }
}

int relay_port_accept(struct relay_port *p) {
        const struct config *conf = node_of(p)->config;

        if (p->fd < 0) {
                log_warn("relay_closed", "the relay port is not opened: relay.plaintext=no and there is no certificate "
                         "(listen.tls_cert); workers can bind over HTTP only");
                return 0;
        }
        p->ev = event_new(loop_base(node_of(p)->loop), p->fd, EV_READ | EV_PERSIST, on_accept, p);
        if (!p->ev || event_add(p->ev, NULL) < 0)
                return -ENOMEM;
        p->accepting = true;
        log_notice("relay_open", "relay: workers may dial port %u%s, at most %u; tickets: %s", p->number,
                   relay_port_tls(p) ? " (TLS)" : "", relay_max_sessions(p->relay),
                   conf->relay_tickets == TICKETS_REQUIRED ? "required" : conf->relay_tickets == TICKETS_SOFT ? "checked if sent" : "not looked at");
        if (relay_port_plain(p))
                log_warn("relay_plaintext", "port %u takes workers in clear (relay.plaintext=yes): tasks that are not encrypted can be "
                         "read on the way; today's workers know nothing else", p->number);
        return 0;
}

static void stop_accepting(struct relay_port *p) {
        p->accepting = false;
        timer_clear(&p->resume);
        if (p->ev)
                event_free(TAKE_PTR(p->ev));
}

void relay_port_stop(struct relay_port *p) {
        struct relay_conn *c, *next;

        stop_accepting(p);
        for (c = LIST_FIRST(&p->conns); c; c = next) {
                next = LIST_NEXT(c, link);
                if (c->state == CHANNEL_PEEK)
                        relay_conn_free(c);
                else if (!c->session)
                        native_link_close(&c->wire, IICP_CLOSE_GRACEFUL);
        }
}

/* ---- life ---- */

int relay_port_new(struct relay *r, struct relay_port **ret, char *why, size_t why_cap) {
        const struct config *conf = r->node->config;
        struct relay_port *p = calloc(1, sizeof *p);
        struct sockaddr_storage bound;
        socklen_t n = sizeof bound;
        bool passed;
        int e = 0;

        if (!p)
                return -ENOMEM;
        p->relay = r;
        p->fd = -1;
        p->reading.max = RELAY_PORT_READING_MAX;
        LIST_INIT(&p->conns);
        timer_init(&p->resume, r->node->loop, accept_resume, p);
        if (relay_port_tls(p) || relay_port_plain(p))
                e = listener_open("relay", "relay.port", conf->listen_address, conf->relay_port, true, 0, &passed, &p->fd,
                                  why, why_cap);
        if (e < 0) {
                free(p);
                return e;
        }
        if (p->fd >= 0 && getsockname(p->fd, (struct sockaddr *) &bound, &n) == 0)
                p->number = ntohs(((struct sockaddr_in *) &bound)->sin_port); /* both families have it there */
        *ret = p;
        return 0;
}

struct relay_port *relay_port_free(struct relay_port *p) {
        if (!p)
                return NULL;
        stop_accepting(p);
        while (!LIST_EMPTY(&p->conns))
                relay_conn_free(LIST_FIRST(&p->conns));
        if (p->fd >= 0)
                close(p->fd);
        free(p);
        return NULL;
}
