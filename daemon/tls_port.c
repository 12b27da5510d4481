/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_port.h"

#include "door_native.h"
#include "listener.h"
#include "log.h"
#include "node.h"
#include "peek.h"
#include "tls.h"
#include "util.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/queue.h>
#include <time.h>

struct pump {
        LIST_ENTRY(pump) link;
        struct tls_port *port;
        struct tls *tls;                 /* a reference */
        struct bufferevent *outer;       /* TLS, the caller's socket */
        struct bufferevent *inner;       /* our end of the pair, once it is HTTP */
        int fd;                          /* of the listener's table, until there is an inner one */
        bool native_only, outer_ended, inner_ended;
        struct sockaddr_storage peer;
        socklen_t peer_len;
        uint64_t since_ms;
        struct tls_count *count;
        struct timer due;
};

struct tls_port {
        struct node *node;
        struct tls *tls;
        LIST_HEAD(pumps, pump) pumps;
};

void tls_count_unref(struct tls_count *c) {
        if (c && --c->refs == 0)
                free(c);
}

/* ---- one connection ---- */

/* Without what was handed on. */
static void pump_free(struct pump *p) {
        timer_clear(&p->due);
        LIST_REMOVE(p, link);
        if (p->inner)
                bufferevent_free(p->inner);
        if (p->outer)
                bufferevent_free(p->outer);
        tls_count_unref(p->count);
        tls_free(p->tls);
        free(p);
}

static void pump_drop(struct pump *p) {
        if (!p->inner && p->port->node->listener)
                listener_closed(p->port->node->listener, p->fd);
        pump_free(p);
}

static void on_due(void *arg) {
        pump_drop(arg);
}

static size_t unsent(struct bufferevent *bev) {
        return evbuffer_get_length(bufferevent_get_output(bev));
}

/* Everything that one side has read goes to the other, which stops it when that is too much. */
static size_t pass(struct bufferevent *from, struct bufferevent *to) {
        struct evbuffer *in = bufferevent_get_input(from);
        size_t n = evbuffer_get_length(in);

        bufferevent_write_buffer(to, in);
        if (unsent(to) >= TLS_PUMP_MAX)
                bufferevent_disable(from, EV_READ);
        return n;
}

static void on_http(struct bufferevent *bev, void *arg) {
        struct pump *p = arg;

        if (p->inner_ended) /* nobody reads it any more */
                evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
        else
                p->count->received += pass(p->outer, p->inner);
}

static void on_answer(struct bufferevent *bev, void *arg) {
        struct pump *p = arg;

        (void) bev;
        pass(p->inner, p->outer);
}

/* The caller has sent all; the door reads the end when it has read the rest. */
static void outer_end(struct pump *p) {
        if (p->outer_ended && unsent(p->inner) == 0)
                shutdown(bufferevent_getfd(p->inner), SHUT_WR);
}

/* The door has closed its end, or half of it: once all is sent, the caller hears that it was all. */
static void inner_end(struct pump *p) {
        if (!p->inner_ended || unsent(p->outer) > 0)
                return;
        if (p->outer_ended) {
                pump_free(p);
                return;
        }
        tls_half_close(p->tls, p->outer);
        shutdown(bufferevent_getfd(p->outer), SHUT_WR);
        bufferevent_enable(p->outer, EV_READ);
}

static void on_inner_sent(struct bufferevent *bev, void *arg) {
        struct pump *p = arg;

        (void) bev;
        if (p->outer_ended)
                outer_end(p);
        else
                bufferevent_enable(p->outer, EV_READ);
}

static void on_outer_sent(struct bufferevent *bev, void *arg) {
        struct pump *p = arg;

        (void) bev;
        if (p->inner_ended)
                inner_end(p);
        else
                bufferevent_enable(p->inner, EV_READ);
}

static void on_inner_event(struct bufferevent *bev, short what, void *arg) {
        struct pump *p = arg;

        (void) bev;
        if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) || p->inner_ended)
                return;
        p->inner_ended = true;
        timer_set_ms(&p->due, TLS_PUMP_END_MS);
        inner_end(p);
}

static void on_outer_event(struct bufferevent *bev, short what, void *arg) {
        struct pump *p = arg;

        (void) bev;
        if (what & BEV_EVENT_ERROR || (what & BEV_EVENT_EOF && p->inner_ended)) {
                pump_free(p); /* the door sees its end hung up */
                return;
        }
        if (what & BEV_EVENT_EOF) {
                p->outer_ended = true;
                outer_end(p);
        }
}

/* ---- which protocol ---- */

static void to_native(struct pump *p) {
        struct node *node = p->port->node;
        const struct sockaddr *peer = (const struct sockaddr *) &p->peer;

        if (node->config->native == NATIVE_OFF || !door_native_admits(node->native, peer)) {
                pump_drop(p);
                return;
        }
        listener_head_complete(node->listener, p->fd);
        if (door_native_add(node->native, TAKE_PTR(p->outer), p->fd, peer, p->peer_len, p->since_ms, p->tls) < 0)
                listener_closed(node->listener, p->fd);
        pump_free(p);
}

static void to_http(struct pump *p) {
        struct listener *l = p->port->node->listener;
        struct event_base *base = loop_base(p->port->node->loop);
        int pair[2];

        timer_clear(&p->due);
        p->count = calloc(1, sizeof *p->count);
        if (!p->count || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
                pump_drop(p);
                return;
        }
        p->count->refs = 2;
        p->inner = bufferevent_socket_new(base, pair[0], BEV_OPT_CLOSE_ON_FREE);
        if (!p->inner) {
                p->count->refs = 1;
                close(pair[0]);
                close(pair[1]);
                pump_drop(p);
                return;
        }
        bufferevent_setcb(p->outer, on_http, on_outer_sent, on_outer_event, p);
        bufferevent_setcb(p->inner, on_answer, on_inner_sent, on_inner_event, p);
        bufferevent_setwatermark(p->outer, EV_READ, 0, TLS_PUMP_MAX);
        bufferevent_setwatermark(p->inner, EV_READ, 0, TLS_PUMP_MAX);
        bufferevent_enable(p->inner, EV_READ | EV_WRITE);
        on_http(p->outer, p);
        listener_through(l, p->fd, pair[1], p->count);
}

static void on_first(struct bufferevent *bev, void *arg) {
        struct pump *p = arg;
        char b[PEEK_BYTES];
        ev_ssize_t n = evbuffer_copyout(bufferevent_get_input(bev), b, sizeof b);

        switch (peek_classify((struct iicp_str){b, n > 0 ? (size_t) n : 0})) {
        case PEEK_MORE:
                break;
        case PEEK_NATIVE:
                to_native(p);
                break;
        case PEEK_HTTP:
                if (p->native_only)
                        pump_drop(p);
                else
                        to_http(p);
        }
}

static void on_first_event(struct bufferevent *bev, short what, void *arg) {
        (void) bev;
        if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
                pump_drop(arg);
}

int tls_port_accept(struct tls_port *port, int fd, const struct sockaddr *peer, socklen_t peer_len, uint64_t since_ms,
                    bool native_only) {
        struct pump *p = calloc(1, sizeof *p);
        uint64_t now = clock_mono_ms(port->node->clock), until = since_ms + LISTENER_PEEK_MS;

        if (!p || !(p->outer = tls_accept(port->tls, loop_base(port->node->loop), fd))) {
                free(p);
                return -ENOMEM;
        }
        p->port = port;
        p->tls = tls_ref(port->tls);
        p->fd = fd;
        p->native_only = native_only;
        memcpy(&p->peer, peer, MIN((size_t) peer_len, sizeof p->peer));
        p->peer_len = peer_len;
        p->since_ms = since_ms;
        LIST_INSERT_HEAD(&port->pumps, p, link);
        timer_init(&p->due, port->node->loop, on_due, p);
        timer_set_ms(&p->due, until > now ? until - now : 0);
        bufferevent_setcb(p->outer, on_first, NULL, on_first_event, p);
        bufferevent_setwatermark(p->outer, EV_READ, 0, TLS_PUMP_MAX);
        bufferevent_enable(p->outer, EV_READ | EV_WRITE);
        return 0;
}

/* ---- the certificate ---- */

static void say_expiry(const struct tls_port *p) {
        int64_t left = tls_port_not_after(p) - clock_wall_s(p->node->clock);

        if (!p->tls || left > TLS_EXPIRY_WARN_S)
                return;
        if (left <= 0)
                log_warn("certificate_expiring", "the certificate of listen.tls_cert has ended: callers refuse this node; "
                                                 "replace it and run iicpctl reload");
        else
                log_warn("certificate_expiring", "the certificate of listen.tls_cert ends in %lld days; replace it and run "
                                                 "iicpctl reload", (long long) (left / 86400));
}

int tls_port_new(struct node *node, struct tls_port **ret, char *why, size_t why_cap) {
        struct tls_port *p = calloc(1, sizeof *p);
        int r = 0;

        if (!p)
                return -ENOMEM;
        p->node = node;
        if (tls_wanted(node->config))
                r = tls_new(node->config, &p->tls, why, why_cap);
        if (r < 0) {
                free(p);
                return r;
        }
        say_expiry(p);
        *ret = p;
        return 0;
}

struct tls_port *tls_port_free(struct tls_port *p) {
        if (!p)
                return NULL;
        while (!LIST_EMPTY(&p->pumps))
                pump_drop(LIST_FIRST(&p->pumps));
        tls_free(p->tls);
        free(p);
        return NULL;
}

bool tls_port_active(const struct tls_port *p) {
        return p && p->tls;
}

struct tls *tls_port_tls(const struct tls_port *p) {
        return p ? p->tls : NULL;
}

void tls_port_reload(struct tls_port *p) {
        struct tls *next = NULL;
        char why[256] = "no memory";

        if (!tls_wanted(p->node->config)) {
                p->tls = tls_free(p->tls);
                return;
        }
        if (tls_new(p->node->config, &next, why, sizeof why) < 0) {
                log_event(LOG_L_ERR, "certificate_rejected", &(struct log_fields){.subject = why}, "%s: %s", p->tls ? "the old certificate stays" : "no TLS", why);
                return;
        }
        if (!p->tls || tls_not_after(p->tls) != tls_not_after(next))
                log_notice("certificate_loaded", "TLS certificate loaded; connections go on with the one they began with");
        tls_free(p->tls);
        p->tls = next;
        say_expiry(p);
}

int64_t tls_port_not_after(const struct tls_port *p) {
        return p && p->tls ? tls_not_after(p->tls) : 0;
}

void tls_port_json(const struct tls_port *p, struct iicp_buf *out) {
        int64_t until = tls_port_not_after(p);
        time_t t = (time_t) until;
        struct tm tm;
        char text[32];

        iicp_buf_printf(out, "{\"tls\":%s,\"certificate_until\":", tls_port_active(p) ? "true" : "false");
        if (until && gmtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
                iicp_buf_json_str(out, iicp_str(text));
        else
                iicp_buf_puts(out, "null");
        iicp_buf_printf(out, ",\"certificate_expiring\":%s}",
                        until && until - clock_wall_s(p->node->clock) <= TLS_EXPIRY_WARN_S ? "true" : "false");
}
