/* SPDX-License-Identifier: Apache-2.0 */
#include "port_internal.h"

#include "listener.h"
#include "log.h"
#include "util.h"

#include <errno.h>
#include <iicp/endpoint.h>

static struct node *node_of(const struct relay_conn *c) {
        return c->port->relay->node;
}

/* ---- ends ---- */

/* Calls fail now, not when the line has been closed. */
static void lose_session(struct relay_conn *c) {
        struct relay_session *s = TAKE_PTR(c->session);

        c->state = CHANNEL_OVER;
        relay_conn_settled(c);
        if (s)
                relay_unbind(s);
}

static void on_ended(void *arg) {
        struct relay_conn *c = arg;

        lose_session(c);
        relay_conn_free(c);
}

/* A worker that tries TLS first, where there is none: it comes back in clear. */
static bool tried_tls(const struct relay_conn *c, enum iicp_close why) {
        const struct iicp_frame_reader *r = &c->wire.reader;

        return why == IICP_CLOSE_SILENT && c->state == CHANNEL_INIT && !c->wire.tls && r->n_head > 0 && r->head[0] == TLS_HANDSHAKE;
}

/* Never the address, never the payload. */
static void on_fault(void *arg, enum iicp_close why, int type) {
        struct relay_conn *c = arg;
        const char *reason = iicp_close_is_sent(why) ? iicp_close_reason(why) : why == IICP_CLOSE_SILENT ? "bad_magic" : "no_memory";
        char hash[RELAY_HASH] = "", subject[48], of_type[24] = "";
        struct relay_session_view view;

        if (tried_tls(c, why)) {
                metrics_connection_refused(node_of(c)->metrics, "no_tls");
                log_debug("relay_no_tls", "a connection that began with TLS is closed: there is none on the relay port");
                lose_session(c);
                return;
        }
        if (c->peer)
                relay_source_hash(c->port->relay, (struct sockaddr *) c->peer, hash);
        else if (c->session) {
                relay_session_view(c->session, &view);
                snprintf(hash, sizeof hash, "%s", view.source_hash);
        }
        if (type >= 0)
                snprintf(of_type, sizeof of_type, ", frame type 0x%02x", (unsigned) type);
        snprintf(subject, sizeof subject, "%s %.24s", hash, reason);
        log_event(LOG_L_WARN, "relay_fault", &(struct log_fields){.subject = subject, .reason = reason},
                  "relay connection of source %s closed: %s%s", hash, reason, of_type);
        lose_session(c);
}

static void transport_end(void *link, enum relay_end why) {
        static const enum iicp_close reasons[] = {
                [RELAY_END_DEAD] = IICP_CLOSE_IDLE_TIMEOUT, [RELAY_END_DISPLACED] = IICP_CLOSE_IDLE_TIMEOUT,
                [RELAY_END_KICKED] = IICP_CLOSE_GRACEFUL, [RELAY_END_STOPPING] = IICP_CLOSE_GRACEFUL,
        };
        struct relay_conn *c = link;

        c->session = NULL;
        c->state = CHANNEL_OVER;
        native_link_close(&c->wire, reasons[why]);
}

/* ---- calls ---- */

static int send_call(struct relay_conn *c, struct relay_call *call) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {.secret = true};
        struct relay_call_keys keys;
        const struct relay_task *t = relay_call_task(call);
        struct iicp_relay_call m = {.call_id = iicp_str(relay_call_id(call)), .task = t->body, .token = t->token,
                                    .trace_id = t->trace_id, .parent_span = t->parent_span};
        int r;

        if (relay_call_stream(call, &keys)) {
                m.session_id = keys.session_id;
                m.task_id = keys.task_id;
        }
        iicp_buf_reserve(&out, t->body.n + 256);
        iicp_relay_call_put(&out, &m);
        r = out.error ? out.error : native_link_send(&c->wire, IICP_FRAME_CALL, iicp_buf_str(&out));
        if (r == 0)
                relay_call_sent(call, true);
        return r;
}

/* A slow worker's calls wait in its own session, where they are told by not being sent. */
static int transport_deliver(void *link, struct relay_call *call) {
        struct relay_conn *c = link;

        if (c->wire.state != LINK_OPEN)
                return -EPIPE;
        if (!native_link_has_room(&c->wire) || relay_call_next(c->session) != call)
                return 0;
        return send_call(c, call);
}

static void on_drained(void *arg) {
        struct relay_conn *c = arg;
        struct relay_call *call;

        while (c->session && native_link_has_room(&c->wire) && (call = relay_call_next(c->session)))
                if (send_call(c, call) < 0)
                        relay_call_fail(call, RELAY_UNDELIVERED);
}

/* What is sent is sent: the answer will find no call. */
static void transport_withdraw(void *link, struct relay_call *call) {
        (void) link;
        (void) call;
}

const struct relay_transport relay_channel_transport = {
        .name = "native", .deliver = transport_deliver, .withdraw = transport_withdraw, .end = transport_end};

/* ---- the handshake ---- */

static void answer(struct relay_conn *c, uint8_t type, const struct iicp_buf *payload) {
        native_link_send(&c->wire, type, iicp_buf_str(payload));
}

static void await(struct relay_conn *c, enum channel_state state) {
        c->state = state;
        native_link_due(&c->wire, DUE_INIT, clock_mono_ms(node_of(c)->clock) + IICP_RELAY_WAIT_MS);
}

static enum iicp_close on_init(struct relay_conn *c, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        struct node *node = node_of(c);
        struct iicp_msg_init init;
        enum iicp_close why = iicp_msg_init_read(payload, c->wire.options, &init);

        if (why == IICP_CLOSE_NONE)
                why = iicp_msg_negotiate(&init);
        if (why != IICP_CLOSE_NONE)
                return why;
        c->wire.peer_fragments = init.has_max_frame;
        c->wire.peer_max_frame = init.max_frame;
        iicp_msg_ack_put(&out, &(struct iicp_msg_ack){.version = IICP_FRAME_VERSION,
                                                      .node_id = iicp_str(state_identity(node->state)->node_id),
                                                      .has_max_frame = true, .max_frame = node->config->native_max_frame});
        answer(c, IICP_FRAME_ACK, &out);
        await(c, CHANNEL_BIND);
        return IICP_CLOSE_NONE;
}

/* The port that workers put into http://HOST:PORT: that of our route, where it is plain HTTP. */
static uint16_t http_port(struct node *node) {
        const char *endpoint = node_endpoint(node, NULL);
        const char *colon = endpoint && strncmp(endpoint, "http://", 7) == 0 ? strrchr(endpoint + 7, ':') : NULL;
        unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;

        return port > 0 && port <= UINT16_MAX ? (uint16_t) port : listener_port(node->listener);
}

static void models_of(const struct iicp_cbor *models, struct iicp_buf *out) {
        struct iicp_cbor_iter it;
        struct iicp_cbor item;

        iicp_cbor_iter_init(&it, models);
        while (iicp_cbor_next(&it, NULL, &item))
                if (item.type == IICP_CBOR_TSTR)
                        relay_models_add(out, item.text);
        relay_models_end(out);
}

static enum relay_verdict bind_session(struct relay_conn *c, const struct iicp_relay_bind *m) {
        _cleanup_(iicp_buf_free) struct iicp_buf models = {};

        models_of(&m->models, &models);
        return relay_bind(c->port->relay, &(struct relay_bind){
                .worker_id = m->worker_id, .intent = m->intent, .ticket = m->ticket, .models = iicp_buf_str(&models),
                .lifecycle = iicp_relay_bind_has(&m->profiles, IICP_PROFILE_LIFECYCLE), .source = (struct sockaddr *) c->peer,
                .transport = &relay_channel_transport, .link = c}, &c->session);
}

static enum iicp_close on_bind(struct relay_conn *c, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        struct iicp_relay_bind m;
        enum relay_verdict v;
        enum iicp_close why = iicp_relay_bind_read(payload, c->wire.options, &m);

        if (why != IICP_CLOSE_NONE)
                return why;
        v = bind_session(c, &m);
        if (v == RELAY_BAD_WORKER_ID)
                return IICP_CLOSE_INVALID_PAYLOAD;
        iicp_relay_ack_put(&out, &(struct iicp_relay_ack){.ok = v == RELAY_BOUND, .worker_id = m.worker_id,
                                                          .reason = iicp_str(relay_verdict_reason(v)),
                                                          .http_port = http_port(node_of(c))});
        answer(c, IICP_FRAME_RELAY_ACK, &out);
        relay_conn_settled(c);
        if (v == RELAY_BOUND) {
                c->state = CHANNEL_BOUND;
                native_link_due(&c->wire, DUE_INIT, 0);
        } else {
                c->state = CHANNEL_OVER;
                native_link_close(&c->wire, IICP_CLOSE_SILENT);
        }
        return IICP_CLOSE_NONE;
}

/* ---- what comes in ---- */

static enum iicp_close admit(void *arg, uint8_t type) {
        struct relay_conn *c = arg;

        switch (c->state) {
        case CHANNEL_INIT:
                return type == IICP_FRAME_INIT || type == IICP_FRAME_PING ? IICP_CLOSE_NONE : IICP_CLOSE_PROTOCOL_ERROR;
        case CHANNEL_BIND:
                return type == IICP_FRAME_RELAY_BIND || type == IICP_FRAME_CLOSE ? IICP_CLOSE_NONE : IICP_CLOSE_PROTOCOL_ERROR;
        default:
                break;
        }
        switch (type) {
        case IICP_FRAME_INIT:
        case IICP_FRAME_ACK:
        case IICP_FRAME_CALL:
        case IICP_FRAME_RELAY_BIND:
        case IICP_FRAME_RELAY_ACK:
                return IICP_CLOSE_PROTOCOL_ERROR;
        default:
                return IICP_CLOSE_NONE;
        }
}

static enum iicp_close on_ping(struct relay_conn *c, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        enum iicp_close why = iicp_msg_pong_put(&out, payload, c->wire.options);

        if (why == IICP_CLOSE_NONE)
                answer(c, IICP_FRAME_PONG, &out);
        return why;
}

/* Key 5 of an event: text, the same as bytes, or a map. */
static int chunk_of(const struct iicp_cbor *result, struct iicp_buf *out) {
        switch (result->type) {
        case IICP_CBOR_NONE:
                return 0;
        case IICP_CBOR_TSTR:
        case IICP_CBOR_BSTR:
                iicp_buf_json_str(out, result->text);
                return out->error;
        default:
                return iicp_cbor_to_json(result, out);
        }
}

static enum iicp_close on_event(struct relay_conn *c, struct iicp_str payload) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf chunk = {.secret = true};
        struct iicp_lifecycle_message life;
        struct iicp_msg_response m;
        enum iicp_close why = iicp_msg_response_read(payload, c->wire.options, &m);

        if (why != IICP_CLOSE_NONE)
                return why;
        if (chunk_of(&m.result, &chunk) < 0)
                return IICP_CLOSE_INVALID_PAYLOAD;
        iicp_msg_response_lifecycle(&m, &life);
        relay_event(c->session, &life,
                    &(struct relay_event){.event = life.event, .status = life.status, .sequence = life.sequence,
                                          .is_final = life.is_final,
                                          .chunk = chunk.n ? iicp_buf_str(&chunk) : IICP_STR_NONE,
                                          .error_code = m.error_code, .error_message = m.error_message,
                                          .tokens = m.tokens_used});
        return IICP_CLOSE_NONE;
}

static enum iicp_close on_response(struct relay_conn *c, bool gzip_inside, struct iicp_str payload) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf inflated = {.max = IICP_FRAME_INFLATED_MAX, .secret = true};
        struct iicp_relay_response m;
        enum iicp_close why = iicp_relay_response_read(payload, c->wire.options, &m);

        if (why != IICP_CLOSE_NONE)
                return why;
        if (m.lifecycle)
                return on_event(c, payload);
        if (gzip_inside && m.result.p && iicp_is_gzip(m.result)) {
                if (iicp_gunzip(m.result, node_of(c)->config->relay_max_body + 1, &inflated) < 0)
                        return IICP_CLOSE_PAYLOAD_TOO_LARGE;
                m.result = iicp_buf_str(&inflated);
        }
        relay_answer(c->session, m.call_id, m.result);
        return IICP_CLOSE_NONE;
}

static enum iicp_close on_close(struct relay_conn *c, struct iicp_str payload) {
        struct iicp_msg_close m;
        enum iicp_close why = iicp_msg_close_read(payload, c->wire.options, &m);

        if (why != IICP_CLOSE_NONE)
                return why;
        lose_session(c);
        native_link_close(&c->wire, IICP_CLOSE_GRACEFUL);
        return IICP_CLOSE_NONE;
}

static enum iicp_close on_message(void *arg, uint8_t type, bool gzip_inside, struct iicp_str payload) {
        struct relay_conn *c = arg;

        if (c->session)
                relay_session_heard(c->session);
        switch (type) {
        case IICP_FRAME_INIT:
                return on_init(c, payload);
        case IICP_FRAME_RELAY_BIND:
                return on_bind(c, payload);
        case IICP_FRAME_RESPONSE:
                return c->session ? on_response(c, gzip_inside, payload) : IICP_CLOSE_NONE;
        case IICP_FRAME_PING:
                return on_ping(c, payload);
        case IICP_FRAME_CLOSE:
                return on_close(c, payload);
        default:
                return IICP_CLOSE_NONE; /* other known types */
        }
}

static const struct native_link_handler handler = {
        .admit = admit, .message = on_message, .fault = on_fault, .drained = on_drained, .ended = on_ended};

void relay_channel_open(struct relay_conn *c, struct bufferevent *bev, struct tls *tls) {
        native_link_open(&c->wire, node_of(c), bev, tls, &handler, c);
        c->wire.budget = &c->port->reading;
        await(c, CHANNEL_INIT);
}
