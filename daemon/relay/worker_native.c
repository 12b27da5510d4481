/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_internal.h"

#include "log.h"
#include "native_link.h"
#include "tls.h"
#include "util.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

/* A session on the native channel of a relay: connect (TLS first, in clear where that is allowed), INIT,
 * BIND, then CALLs. [03 sections 13, 19.2] */

#define TLS_MS 4000           /* for its handshake; shipped relays hang up at once */
#define CONNECT_LEAST_MS 3000 /* for each of several addresses */

enum step { STEP_CONNECT, STEP_TLS, STEP_ACK, STEP_BIND, STEP_BOUND, STEP_OVER };

struct worker_native {
        struct worker_session base;
        struct node *node;
        char host[254];
        struct sockaddr_storage addresses[RESOLVE_ADDRESSES_MAX];
        unsigned n_addresses, at;
        struct iicp_buf ticket;        /* until it is sent; wiped */
        enum step step;
        int fd;                        /* while it connects */
        struct event *connected;
        struct tls *tls;
        struct bufferevent *bev;       /* while TLS shakes hands */
        struct native_link wire;
        bool wired;
        struct timer timer;            /* of the step; bound: the next PING */
        uint64_t heard_ms, heard_by_ms; /* by: an answer is due, 0 = none */
        struct worker_calls calls;
};

static struct worker_native *self(struct worker_session *s) {
        return (struct worker_native *) s;
}

static uint64_t now_of(const struct worker_native *s) {
        return clock_mono_ms(s->node->clock);
}

/* ---- ends ---- */

static void connect_drop(struct worker_native *s) {
        if (s->connected)
                event_free(TAKE_PTR(s->connected));
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
}

static void session_free(struct worker_native *s) {
        LIST_REMOVE(&s->base, link);
        worker_calls_abort(&s->calls);
        timer_clear(&s->timer);
        connect_drop(s);
        if (s->wired)
                native_link_free(&s->wire);
        else if (s->bev)
                bufferevent_free(TAKE_PTR(s->bev));
        s->tls = tls_free(s->tls);
        iicp_buf_wipe(&s->ticket);
        free(s);
}

/* The worker hears it once; what is left of the connection ends by itself. */
static void tell_end(struct worker_native *s, enum worker_outcome o, const char *text) {
        struct relay_worker *w = TAKE_PTR(s->base.worker);

        s->step = STEP_OVER;
        timer_clear(&s->timer);
        worker_calls_abort(&s->calls);
        if (w)
                worker_session_ended(w, o, text);
}

/* Not from inside of the link. */
static void fail(struct worker_native *s, enum worker_outcome o, const char *text) {
        tell_end(s, o, text);
        if (s->wired)
                native_link_close(&s->wire, IICP_CLOSE_GRACEFUL);
        else
                session_free(s);
}

static enum worker_outcome end_of(const struct worker_native *s) {
        return s->step == STEP_BOUND ? WORKER_LOST : WORKER_BROKEN;
}

/* ---- out ---- */

static void send_frame(struct worker_native *s, uint8_t type, const struct iicp_buf *payload) {
        if (!payload->error)
                native_link_send(&s->wire, type, iicp_buf_str(payload));
}

static void send_init(struct worker_native *s) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};

        iicp_msg_init_put(&out, &(struct iicp_msg_init){.version = IICP_FRAME_VERSION, .min_version = IICP_FRAME_VERSION});
        send_frame(s, IICP_FRAME_INIT, &out);
}

static void send_bind(struct worker_native *s) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {.secret = true};
        static const struct iicp_str lifecycle = IICP_STR(IICP_PROFILE_LIFECYCLE);
        struct iicp_str models[WORKER_MODELS_MAX];
        size_t n, n_models = 0;
        const char *const *names = backends_models_to_register(s->node->backends, &n);
        char intent[128];
        struct iicp_relay_bind m = {.worker_id = iicp_str(state_identity(s->node->state)->node_id),
                                    .intent = iicp_str(worker_intent(s->node, 0, intent)),
                                    .ticket = s->ticket.n ? iicp_buf_str(&s->ticket) : IICP_STR_NONE};

        while (n_models < n && n_models < ARRAY_SIZE(models)) {
                models[n_models] = iicp_str(names[n_models]);
                n_models++;
        }
        iicp_relay_bind_put(&out, &m, models, n_models, &lifecycle, s->node->config->lifecycle_enabled);
        send_frame(s, IICP_FRAME_RELAY_BIND, &out);
        iicp_buf_wipe(&s->ticket);
}

static void send_ping(struct worker_native *s) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};

        iicp_cbor_put_map(&out, 1);
        iicp_cbor_put_uint(&out, 1);
        iicp_cbor_put_bstr(&out, (struct iicp_str){"", 0});
        send_frame(s, IICP_FRAME_PING, &out);
}

static void on_result(void *arg, const char *call_id, struct iicp_str json) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {.max = 2 * IICP_BUF_MAX, .secret = true};
        struct worker_native *s = arg;

        iicp_relay_response_put(&out, iicp_str(call_id), json);
        send_frame(s, IICP_FRAME_RESPONSE, &out);
}

/* ---- time ---- */

static void keep_alive(struct worker_native *s) {
        uint64_t now = now_of(s), limit = s->heard_ms + IICP_RELAY_ALIVE_MS;

        if (s->heard_by_ms)
                limit = MIN(limit, s->heard_by_ms);
        if (now >= limit) {
                fail(s, WORKER_LOST, "nothing came from it");
                return;
        }
        send_ping(s);
        timer_set_ms(&s->timer, MIN((uint64_t) IICP_RELAY_PING_MS, limit - now));
}

static void connect_next(struct worker_native *s);
static void no_tls(struct worker_native *s);

static void on_time(void *arg) {
        struct worker_native *s = arg;

        switch (s->step) {
        case STEP_CONNECT:
                s->at++;
                connect_next(s);
                break;
        case STEP_TLS:
                no_tls(s);
                break;
        case STEP_ACK:
                fail(s, WORKER_BROKEN, "no answer to INIT");
                break;
        case STEP_BIND:
                fail(s, WORKER_BROKEN, "no answer to the bind");
                break;
        case STEP_BOUND:
                keep_alive(s);
                break;
        case STEP_OVER:
                break;
        }
}

/* ---- in ---- */

static enum iicp_close on_ack(struct worker_native *s, struct iicp_str payload) {
        struct iicp_msg_ack ack;
        enum iicp_close why = iicp_msg_ack_read(payload, s->wire.options, &ack);

        if (why != IICP_CLOSE_NONE)
                return why;
        if (ack.version != IICP_FRAME_VERSION)
                return IICP_CLOSE_VERSION_OTHER;
        s->wire.peer_fragments = ack.has_max_frame;
        s->wire.peer_max_frame = ack.max_frame;
        s->step = STEP_BIND;
        timer_set_ms(&s->timer, IICP_RELAY_WAIT_MS);
        send_bind(s);
        return IICP_CLOSE_NONE;
}

static enum iicp_close on_relay_ack(struct worker_native *s, struct iicp_str payload) {
        struct iicp_relay_ack ack;
        enum iicp_close why = iicp_relay_ack_read(payload, s->wire.options, &ack);
        char text[128] = "";

        if (why != IICP_CLOSE_NONE)
                return why;
        if (!ack.ok) {
                if (ack.reason.p)
                        log_text_cut(ack.reason, text, sizeof text, sizeof text - 1);
                tell_end(s, worker_outcome_of(ack.reason), text);
                return IICP_CLOSE_GRACEFUL;
        }
        s->step = STEP_BOUND;
        timer_set_ms(&s->timer, IICP_RELAY_PING_MS);
        worker_session_bound(s->base.worker, (unsigned) ack.http_port);
        return IICP_CLOSE_NONE;
}

static enum iicp_close on_ping(struct worker_native *s, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};
        struct iicp_str echo;
        enum iicp_close why = iicp_msg_ping_read(payload, s->wire.options, &echo);

        if (why != IICP_CLOSE_NONE)
                return why;
        if (payload.n > 0) {
                iicp_cbor_put_map(&out, echo.p != NULL);
                if (echo.p) {
                        iicp_cbor_put_uint(&out, 1);
                        iicp_cbor_put_bstr(&out, echo);
                }
        }
        send_frame(s, IICP_FRAME_PONG, &out);
        return IICP_CLOSE_NONE;
}

/* One that cannot be read has no call id to answer to; the relay's own time is over then. */
static enum iicp_close on_call(struct worker_native *s, struct iicp_str payload) {
        struct iicp_relay_call call;

        if (iicp_relay_call_read(payload, s->wire.options, &call) == IICP_CLOSE_NONE)
                worker_call_start(&s->calls, &call);
        else
                log_debug("relay_call", "the relay sent a CALL that cannot be read: dropped");
        return IICP_CLOSE_NONE;
}

static enum iicp_close on_message(void *arg, uint8_t type, bool gzip_inside, struct iicp_str payload) {
        struct worker_native *s = arg;

        (void) gzip_inside;
        s->heard_ms = now_of(s);
        s->heard_by_ms = 0;
        if (s->step == STEP_OVER)
                return IICP_CLOSE_NONE;
        switch (type) {
        case IICP_FRAME_ACK:
                return s->step == STEP_ACK ? on_ack(s, payload) : IICP_CLOSE_NONE;
        case IICP_FRAME_RELAY_ACK:
                return s->step == STEP_BIND ? on_relay_ack(s, payload) : IICP_CLOSE_NONE;
        case IICP_FRAME_CALL:
                return s->step == STEP_BOUND ? on_call(s, payload) : IICP_CLOSE_NONE;
        case IICP_FRAME_PING:
                return on_ping(s, payload);
        case IICP_FRAME_CLOSE:
                tell_end(s, end_of(s), "it closed the session");
                return IICP_CLOSE_GRACEFUL;
        default:
                return IICP_CLOSE_NONE;
        }
}

static enum iicp_close on_admit(void *arg, uint8_t type) {
        (void) arg;
        (void) type;
        return IICP_CLOSE_NONE;
}

static void on_fault(void *arg, enum iicp_close why, int type) {
        struct worker_native *s = arg;

        (void) type;
        tell_end(s, end_of(s), iicp_close_reason(why));
}

static void on_drained(void *arg) {
        struct worker_native *s = arg;

        worker_calls_drained(&s->calls);
}

static void on_ended(void *arg) {
        struct worker_native *s = arg;

        tell_end(s, end_of(s), "the connection ended");
        session_free(s);
}

static const struct native_link_handler handler = {on_admit, on_message, on_fault, on_drained, on_ended};

/* ---- the connection ---- */

static void talk(struct worker_native *s, struct bufferevent *bev) {
        native_link_open(&s->wire, s->node, bev, s->base.plain ? NULL : s->tls, &handler, s);
        s->wired = true;
        /* What a relay passes on is bounded by the body of a task; the session must not end with it. */
        s->wire.reader.max_length = IICP_FRAME_LENGTH_MAX;
        s->wire.options |= IICP_FRAME_ANY_TYPE;
        s->wire.reader.options = s->wire.options;
        s->calls.peer = s->addresses[s->at];
        s->calls.tls = !s->base.plain;
        s->calls.wire = &s->wire;
        s->step = STEP_ACK;
        timer_set_ms(&s->timer, IICP_RELAY_WAIT_MS);
        send_init(s);
}

static void no_tls(struct worker_native *s) {
        if (s->bev)
                bufferevent_free(TAKE_PTR(s->bev));
        if (!s->node->config->relay_worker_plaintext) {
                fail(s, WORKER_PLAIN_ONLY, "");
                return;
        }
        s->base.plain = true;
        connect_next(s);
}

static void on_tls(struct bufferevent *bev, short what, void *arg) {
        struct worker_native *s = arg;

        if (what & BEV_EVENT_CONNECTED) {
                s->bev = NULL;
                talk(s, bev);
        } else if (what & (BEV_EVENT_ERROR | BEV_EVENT_EOF))
                no_tls(s);
}

static void secure(struct worker_native *s) {
        char why[128] = "";

        s->step = STEP_TLS;
        if (!s->tls && tls_client_new(&s->tls, why, sizeof why) < 0)
                log_debug("relay_tls", "no TLS here: %s", why);
        s->bev = s->tls ? tls_connect(s->tls, loop_base(s->node->loop), s->fd, s->host) : NULL;
        if (!s->bev) {
                close(s->fd);
                s->fd = -1;
                no_tls(s);
                return;
        }
        s->fd = -1;
        bufferevent_setcb(s->bev, NULL, NULL, on_tls, s);
        bufferevent_enable(s->bev, EV_READ | EV_WRITE);
        timer_set_ms(&s->timer, TLS_MS);
}

static void on_connected(evutil_socket_t fd, short what, void *arg) {
        struct worker_native *s = arg;
        struct bufferevent *bev;
        int error = 0;
        socklen_t n = sizeof error;

        (void) what;
        event_free(TAKE_PTR(s->connected));
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error) {
                s->at++;
                connect_next(s);
                return;
        }
        if (!s->base.plain) {
                secure(s);
                return;
        }
        bev = bufferevent_socket_new(loop_base(s->node->loop), s->fd, BEV_OPT_CLOSE_ON_FREE);
        if (!bev) {
                fail(s, WORKER_BROKEN, "no memory");
                return;
        }
        s->fd = -1;
        talk(s, bev);
}

static socklen_t length_of(const struct sockaddr_storage *a) {
        return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static bool dial(struct worker_native *s, const struct sockaddr_storage *a) {
        int one = 1;

        s->fd = socket(a->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (s->fd < 0)
                return false;
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(s->fd, (const struct sockaddr *) a, length_of(a)) < 0 && errno != EINPROGRESS)
                return false;
        s->connected = event_new(loop_base(s->node->loop), s->fd, EV_WRITE, on_connected, s);
        return s->connected && event_add(s->connected, NULL) == 0;
}

static void connect_next(struct worker_native *s) {
        s->step = STEP_CONNECT;
        for (;; s->at++) {
                connect_drop(s);
                if (s->at >= s->n_addresses) {
                        fail(s, WORKER_UNREACHABLE, "");
                        return;
                }
                if (dial(s, &s->addresses[s->at]))
                        break;
        }
        timer_set_ms(&s->timer, MAX((uint64_t) IICP_RELAY_WAIT_MS / s->n_addresses, (uint64_t) CONNECT_LEAST_MS));
}

/* From the loop: the worker may be inside of starting us. */
static void begin(void *arg) {
        struct worker_native *s = arg;

        s->timer.fn = on_time;
        connect_next(s);
}

/* ---- for the worker ---- */

static void on_close(struct worker_session *base) {
        struct worker_native *s = self(base);

        if (s->wired) {
                s->step = STEP_OVER;
                timer_clear(&s->timer);
                native_link_close(&s->wire, IICP_CLOSE_GRACEFUL);
        } else
                fail(s, WORKER_LOST, "");
}

static void on_drop(struct worker_session *base) {
        struct worker_native *s = self(base);

        s->base.worker = NULL;
        session_free(s);
}

static void on_look(struct worker_session *base) {
        struct worker_native *s = self(base);

        if (s->step != STEP_BOUND)
                return;
        s->heard_by_ms = now_of(s) + WORKER_PING_SOON_MS;
        keep_alive(s);
}

static const struct worker_session_kind kind = {on_close, on_drop, on_look};

struct worker_session *worker_native_new(struct relay_worker *w, const struct worker_offer *o) {
        struct worker_native *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->base = (struct worker_session){.kind = &kind, .worker = w};
        LIST_INSERT_HEAD(&w->sessions, &s->base, link);
        s->node = w->node;
        s->fd = -1;
        s->ticket.secret = true;
        snprintf(s->host, sizeof s->host, "%s", o->host);
        s->n_addresses = MIN(o->n_addresses, (unsigned) RESOLVE_ADDRESSES_MAX);
        memcpy(s->addresses, o->addresses, s->n_addresses * sizeof *s->addresses);
        if (o->ticket.p)
                iicp_buf_add_str(&s->ticket, o->ticket);
        worker_calls_init(&s->calls, w->node, s);
        s->calls.result = on_result;
        s->heard_ms = now_of(s);
        timer_init(&s->timer, w->node->loop, begin, s);
        timer_set_ms(&s->timer, 0);
        return &s->base;
}
