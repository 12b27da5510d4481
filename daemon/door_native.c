/* SPDX-License-Identifier: Apache-2.0 */
#include "door_native_internal.h"

#include "listener.h"
#include "log.h"
#include "util.h"

#include <errno.h>
#include <event2/buffer.h>
#include <iicp/endpoint.h>
#include <iicp/hmac.h>
#include <netdb.h>
#include <stdio.h>

/* ---- caps ---- */

static unsigned cap(unsigned configured, unsigned share, unsigned least) {
        return configured ? configured : MAX(share, least);
}

static unsigned max_connections(const struct door_native *d) {
        return cap(d->node->config->max_native, listener_max_connections(d->node->listener) / 4, NATIVE_MIN_CONNECTIONS);
}

static unsigned of_source(const struct door_native *d, const struct peer_source *source) {
        const struct native_conn *c;
        unsigned n = 0;

        LIST_FOREACH(c, &d->conns, link)
                n += !c->exempt && memcmp(&c->source, source, sizeof *source) == 0;
        return n;
}

static const char *why_not(struct door_native *d, const struct sockaddr *peer) {
        const struct config *conf = d->node->config;
        unsigned max = max_connections(d);
        struct peer_source source;
        char key[16];

        if (d->stopping)
                return "stopping";
        if (d->n >= max)
                return "native_cap";
        if (d->n_new >= cap(conf->max_native_new, max / 4, NATIVE_MIN_NEW))
                return "native_new";
        if (iicp_addr_is_loopback(peer))
                return NULL;
        if (rate_over(d->errors, rate_source(peer, key), NATIVE_ERRORS_MAX, clock_mono_ms(d->node->clock)))
                return "native_errors";
        peer_source_of(peer, &source);
        return of_source(d, &source) >= cap(conf->max_native_per_source, max / 8, NATIVE_MIN_PER_SOURCE) ? "native_source" : NULL;
}

bool door_native_admits(struct door_native *d, const struct sockaddr *peer) {
        const char *reason = why_not(d, peer);

        if (!reason)
                return true;
        d->refused++;
        metrics_connection_refused(d->node->metrics, reason);
        if (strcmp(reason, "stopping") != 0)
                log_event(LOG_L_WARN, "connection_refused", &(struct log_fields){.subject = reason, .reason = reason},
                          "native connection refused: %s",
                          strcmp(reason, "native_errors") == 0 ? "too many protocol errors of this source within a minute"
                                                               : "too many connections; see listen.max_native in iicp.conf(5)");
        return false;
}

/* ---- connections ---- */

static void drop_queue(struct native_conn *c) {
        struct native_item *i;

        while ((i = STAILQ_FIRST(&c->queue))) {
                STAILQ_REMOVE_HEAD(&c->queue, link);
                explicit_bzero(i->payload, i->n);
                free(i);
        }
        c->queued = 0;
}

static void conn_free(struct native_conn *c) {
        struct door_native *d = c->door;

        native_call_abort(c);
        drop_queue(c);
        timer_clear(&c->next);
        LIST_REMOVE(c, link);
        d->n--;
        d->n_new -= !c->ready;
        if (d->node->listener)
                listener_closed(d->node->listener, c->fd);
        native_link_free(&c->wire);
        free(c);
}

static void on_ended(void *arg) {
        conn_free(arg);
}

static void idle_from_now(struct native_conn *c) {
        bool idle = c->ready && !c->call.running && c->queued == 0;

        native_link_due(&c->wire, DUE_IDLE, idle ? clock_mono_ms(c->door->node->clock) + NATIVE_IDLE_MS : 0);
}

static void address_of(const struct native_conn *c, char out[NI_MAXHOST]) {
        if (getnameinfo((const struct sockaddr *) &c->peer, sizeof c->peer, out, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) != 0)
                snprintf(out, NI_MAXHOST, "unknown");
}

/* One line for each, with nothing of the payload. [iicp-framing 9.6] */
static void on_fault(void *arg, enum iicp_close why, int type) {
        struct native_conn *c = arg;
        struct door_native *d = c->door;
        const char *reason = iicp_close_is_sent(why) ? iicp_close_reason(why) : why == IICP_CLOSE_SILENT ? "bad_magic" : "no_memory";
        char address[NI_MAXHOST], subject[64], of_type[24] = "", key[16];

        d->faults++;
        rate_take(d->errors, rate_source((const struct sockaddr *) &c->peer, key), NATIVE_ERRORS_MAX,
                  clock_mono_ms(d->node->clock));
        address_of(c, address);
        if (type >= 0)
                snprintf(of_type, sizeof of_type, ", frame type 0x%02x", (unsigned) type);
        snprintf(subject, sizeof subject, "%.40s %.16s%s", address, reason, of_type);
        /* The log sums up what repeats of one source. */
        log_event(LOG_L_WARN, "native_fault", &(struct log_fields){.subject = subject, .reason = reason, .code = iicp_close_message(why)},
                  "native connection of %s closed: %s%s", address, reason, of_type);
        native_call_abort(c);
        drop_queue(c);
}

/* ---- what comes in ---- */

static enum iicp_close admit(void *arg, uint8_t type) {
        struct native_conn *c = arg;

        if (type == IICP_FRAME_PING)
                return IICP_CLOSE_NONE;
        if ((type == IICP_FRAME_INIT) == c->ready)
                return IICP_CLOSE_PROTOCOL_ERROR;
        switch (type) {
        case IICP_FRAME_ACK:
        case IICP_FRAME_RESPONSE:
        case IICP_FRAME_ADVERTISE:
                return IICP_CLOSE_PROTOCOL_ERROR;
        default:
                return IICP_CLOSE_NONE;
        }
}

static void answer(struct native_conn *c, uint8_t type, const struct iicp_buf *payload) {
        native_link_send(&c->wire, type, iicp_buf_str(payload));
}

/* Only a node that speaks of itself can prove what it says; never in clear. */
static bool identity_ok(const struct native_conn *c, const struct iicp_msg_init *init) {
        const struct identity *own = state_identity(c->door->node->state);

        if (!init->node_token.p)
                return true;
        return c->tls && iicp_str_is(init->node_id, own->node_id) && own->node_token[0] &&
               iicp_secret_eq(init->node_token, iicp_str(own->node_token));
}

static enum iicp_close on_init(struct native_conn *c, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        const struct config *conf = c->door->node->config;
        struct iicp_msg_init init;
        struct iicp_msg_ack ack;
        enum iicp_close why = iicp_msg_init_read(payload, c->wire.options, &init);

        if (why == IICP_CLOSE_NONE)
                why = iicp_msg_negotiate(&init);
        if (why == IICP_CLOSE_NONE && !identity_ok(c, &init))
                why = IICP_CLOSE_AUTH_FAILED;
        if (why != IICP_CLOSE_NONE)
                return why;
        c->ready = true;
        c->door->n_new--;
        c->wire.peer_fragments = init.has_max_frame;
        c->wire.peer_max_frame = init.max_frame;
        ack = (struct iicp_msg_ack){.version = IICP_FRAME_VERSION,
                                    .node_id = iicp_str(state_identity(c->door->node->state)->node_id),
                                    .gzip = init.gzip && conf->native_gzip,
                                    .has_max_frame = true,
                                    .max_frame = conf->native_max_frame};
        iicp_msg_ack_put(&out, &ack);
        answer(c, IICP_FRAME_ACK, &out);
        c->wire.gzip = ack.gzip;
        native_link_due(&c->wire, DUE_INIT, 0);
        idle_from_now(c);
        return IICP_CLOSE_NONE;
}

static enum iicp_close on_ping(struct native_conn *c, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        enum iicp_close why = iicp_msg_pong_put(&out, payload, c->wire.options);

        if (why != IICP_CLOSE_NONE)
                return why;
        answer(c, IICP_FRAME_PONG, &out);
        idle_from_now(c);
        return IICP_CLOSE_NONE;
}

static enum iicp_close on_sub_protocol(struct native_conn *c, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        struct iicp_str urn;
        enum iicp_close why = iicp_msg_sub_protocol_read(payload, c->wire.options, &urn);

        if (why == IICP_CLOSE_NONE && urn.p) {
                iicp_msg_sub_protocol_reject(&out, urn);
                answer(c, IICP_FRAME_SUB_PROTOCOL, &out);
        }
        return why;
}

/* The other side wants to end: what is in flight is answered first. */
static void close_when_done(struct native_conn *c) {
        if (!c->call.running && c->queued == 0)
                native_link_close(&c->wire, IICP_CLOSE_GRACEFUL);
        else if (c->wire.state == LINK_OPEN)
                native_link_due(&c->wire, DUE_END, clock_mono_ms(c->door->node->clock) +
                                                           MIN(c->door->node->config->drain_ms, (uint64_t) 30000));
}

static enum iicp_close on_close(struct native_conn *c, struct iicp_str payload) {
        struct iicp_msg_close m;
        enum iicp_close why = iicp_msg_close_read(payload, c->wire.options, &m);

        if (why != IICP_CLOSE_NONE)
                return why;
        c->closing = true;
        native_link_pause(&c->wire);
        close_when_done(c);
        return IICP_CLOSE_NONE;
}

/* This node itself is what it knows: no directory is asked on behalf of strangers. */
static void put_nodes(const struct native_conn *c, const struct iicp_msg_discover *m, struct iicp_buf *out) {
        struct node *node = c->door->node;
        const char *endpoint = node_endpoint(node, NULL);
        bool here = endpoint && m->limit > 0 && corridor_serves(node->corridor, m->intent) &&
                    directory_state(node->directory) == DIRECTORY_REGISTERED &&
                    (!m->region.p || iicp_str_is(m->region, node->config->region));

        iicp_cbor_put_uint(out, 20);
        iicp_cbor_put_array(out, here);
        if (!here)
                return;
        iicp_cbor_put_map(out, 2);
        iicp_cbor_put_tstr(out, IICP_STR("node_id"));
        iicp_cbor_put_tstr(out, iicp_str(state_identity(node->state)->node_id));
        iicp_cbor_put_tstr(out, IICP_STR("endpoint"));
        iicp_cbor_put_tstr(out, iicp_str(endpoint));
}

static enum iicp_close on_discover(struct native_conn *c, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        struct iicp_msg_discover m;
        enum iicp_close why = iicp_msg_discover_read(payload, c->wire.options, &m);

        if (why != IICP_CLOSE_NONE)
                return why;
        iicp_cbor_put_map(&out, 5u + (m.session_id.p != NULL));
        iicp_cbor_put_uint(&out, 1);
        iicp_cbor_put_uint(&out, IICP_FRAME_VERSION);
        if (m.session_id.p) {
                iicp_cbor_put_uint(&out, 2);
                iicp_cbor_put_tstr(&out, m.session_id);
        }
        iicp_cbor_put_uint(&out, 3);
        iicp_cbor_put_tstr(&out, m.intent);
        iicp_cbor_put_uint(&out, 4);
        iicp_cbor_put_tstr(&out, IICP_STR("success"));
        iicp_cbor_put_uint(&out, 12);
        iicp_cbor_put_bool(&out, true);
        put_nodes(c, &m, &out);
        answer(c, IICP_FRAME_RESPONSE, &out);
        return IICP_CLOSE_NONE;
}

/* ---- one after another ---- */

static enum iicp_close start(struct native_conn *c, uint8_t type, bool gzip_inside, struct iicp_str payload) {
        enum iicp_close why = type == IICP_FRAME_CALL ? native_call_start(c, payload, gzip_inside) : on_discover(c, payload);

        idle_from_now(c);
        return why;
}

/* What is wrong with a CALL is said at once, not when its turn comes. */
static enum iicp_close check(const struct native_conn *c, uint8_t type, struct iicp_str payload) {
        struct iicp_msg_discover discover;
        struct iicp_msg_call call;

        if (type == IICP_FRAME_DISCOVER)
                return iicp_msg_discover_read(payload, c->wire.options, &discover);
        enum iicp_close why = iicp_msg_call_read(payload, c->wire.options, &call);
        if (why == IICP_CLOSE_NONE && call.has_version && call.version != IICP_FRAME_VERSION)
                why = IICP_CLOSE_INVALID_PAYLOAD;
        return why;
}

static enum iicp_close on_turn(struct native_conn *c, uint8_t type, bool gzip_inside, struct iicp_str payload) {
        enum iicp_close why = check(c, type, payload);
        struct native_item *i;

        if (why != IICP_CLOSE_NONE)
                return why;
        if (!c->call.running && c->queued == 0)
                return start(c, type, gzip_inside, payload);
        i = malloc(sizeof *i + payload.n);
        if (!i)
                return IICP_CLOSE_NO_MEMORY;
        *i = (struct native_item){.type = type, .gzip_inside = gzip_inside, .n = payload.n};
        memcpy(i->payload, payload.p, payload.n);
        STAILQ_INSERT_TAIL(&c->queue, i, link);
        if (++c->queued >= NATIVE_QUEUE_MAX)
                native_link_pause(&c->wire);
        native_link_due(&c->wire, DUE_IDLE, 0);
        return IICP_CLOSE_NONE;
}

static void on_next(void *arg) {
        struct native_conn *c = arg;
        struct native_item *i = STAILQ_FIRST(&c->queue);
        enum iicp_close why;

        if (!i || c->call.running || c->wire.state != LINK_OPEN)
                return;
        STAILQ_REMOVE_HEAD(&c->queue, link);
        c->queued--;
        why = start(c, i->type, i->gzip_inside, (struct iicp_str){i->payload, i->n});
        explicit_bzero(i->payload, i->n);
        free(i);
        if (why != IICP_CLOSE_NONE) {
                on_fault(c, why, IICP_FRAME_CALL);
                native_link_close(&c->wire, why);
                return;
        }
        if (!c->closing)
                native_link_resume(&c->wire);
        if (!c->call.running)
                native_conn_next(c);
}

void native_conn_next(struct native_conn *c) {
        if (c->wire.state != LINK_OPEN)
                return;
        if (c->queued > 0)
                timer_set_ms(&c->next, 0);
        else if (c->closing || c->door->stopping)
                close_when_done(c);
        idle_from_now(c);
}

static enum iicp_close on_message(void *arg, uint8_t type, bool gzip_inside, struct iicp_str payload) {
        struct native_conn *c = arg;
        unsigned options = c->wire.options;
        struct iicp_cbor map;

        switch (type) {
        case IICP_FRAME_INIT:
                return on_init(c, payload);
        case IICP_FRAME_PING:
                return on_ping(c, payload);
        case IICP_FRAME_CALL:
        case IICP_FRAME_DISCOVER:
                return on_turn(c, type, gzip_inside, payload);
        case IICP_FRAME_SUB_PROTOCOL:
                return on_sub_protocol(c, payload);
        case IICP_FRAME_CLOSE:
                return on_close(c, payload);
        case IICP_FRAME_FEEDBACK:
                return iicp_msg_feedback_read(payload, options);
        case IICP_FRAME_CONTROL:
                return iicp_msg_control_read(payload, options);
        case IICP_FRAME_OBSERVE:
                return iicp_msg_observe_read(payload, options);
        case IICP_FRAME_TELEMETRY:
                return iicp_msg_telemetry_read(payload, options);
        default: /* a PONG that nobody asked for */
                return payload.n ? iicp_msg_scan(payload, options, &map) : IICP_CLOSE_NONE;
        }
}

static void on_drained(void *arg) {
        native_call_drained(arg);
}

static const struct native_link_handler handler = {admit, on_message, on_fault, on_drained, on_ended};

/* ---- the whole ---- */

int door_native_new(struct node *node, struct door_native **ret) {
        struct door_native *d = calloc(1, sizeof *d);

        if (!d)
                return -ENOMEM;
        d->node = node;
        d->errors = rate_new();
        d->call_ids = seen_new();
        if (!d->errors || !d->call_ids) {
                door_native_free(d);
                return -ENOMEM;
        }
        *ret = d;
        return 0;
}

struct door_native *door_native_free(struct door_native *d) {
        if (!d)
                return NULL;
        while (!LIST_EMPTY(&d->conns))
                conn_free(LIST_FIRST(&d->conns));
        rate_free(d->errors);
        seen_free(d->call_ids);
        free(d);
        return NULL;
}

int door_native_add(struct door_native *d, struct bufferevent *bev, int fd, const struct sockaddr *peer,
                    socklen_t peer_len, uint64_t since_ms, struct tls *tls) {
        struct native_conn *c = calloc(1, sizeof *c);

        if (!c) {
                bufferevent_free(bev);
                return -ENOMEM;
        }
        c->door = d;
        c->fd = fd;
        c->tls = tls != NULL;
        memcpy(&c->peer, peer, MIN((size_t) peer_len, sizeof c->peer));
        peer_source_of(peer, &c->source);
        c->exempt = iicp_addr_is_loopback(peer);
        STAILQ_INIT(&c->queue);
        timer_init(&c->next, d->node->loop, on_next, c);
        LIST_INSERT_HEAD(&d->conns, c, link);
        d->n++;
        d->n_new++;
        native_link_open(&c->wire, d->node, bev, tls, &handler, c);
        native_link_due(&c->wire, DUE_INIT, since_ms + NATIVE_INIT_MS);
        /* What a layer below has read already gives no further event. */
        if (evbuffer_get_length(bufferevent_get_input(bev)) > 0)
                bufferevent_trigger(bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
        return 0;
}

void door_native_stop(struct door_native *d) {
        struct native_conn *c, *next;

        d->stopping = true;
        for (c = LIST_FIRST(&d->conns); c; c = next) {
                next = LIST_NEXT(c, link);
                if (!c->call.running && c->queued == 0)
                        native_link_close(&c->wire, IICP_CLOSE_GRACEFUL);
        }
}

unsigned door_native_connections(const struct door_native *d) {
        return d->n;
}

void door_native_json(struct door_native *d, struct iicp_buf *out) {
        static const char *const modes[] = {[NATIVE_OFF] = "no", [NATIVE_TLS_ONLY] = "tls", [NATIVE_PLAINTEXT] = "plaintext"};

        iicp_buf_printf(out, "{\"mode\":\"%s\",\"connections\":%u,\"max_connections\":%u,\"before_init\":%u,\"calls\":%llu,"
                             "\"protocol_errors\":%llu,\"refused\":%llu}",
                        modes[d->node->config->native], d->n, max_connections(d), d->n_new, (unsigned long long) d->calls,
                        (unsigned long long) d->faults, (unsigned long long) d->refused);
}
