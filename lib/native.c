/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include <errno.h>
#include <iicp/fragment.h>
#include <iicp/native.h>
#include <stdio.h>

#define ID_MAX (IICP_SESSION_ID_MAX + 1)

struct iicp_native {
        enum iicp_native_state state;
        iicp_native_response_fn fn;
        void *arg;
        struct iicp_frame_reader reader;
        struct iicp_fragments *fragments;
        struct iicp_buf out, waiting;  /* waiting: the CALL until the ACK */
        size_t written, call_at;       /* bytes that left; where the CALL begins among all */
        size_t total;                  /* bytes that were ever put into out */
        bool call_put, gzip, peer_fragments;
        uint64_t peer_max_frame, fragment_ids;
        bool lifecycle;
        char session_id[ID_MAX], call_id[ID_MAX], task_id[ID_MAX];
        struct iicp_lifecycle_receiver receiver;
        char why[96];
};

static void put_frame(struct iicp_native *c, uint8_t type, struct iicp_str payload) {
        size_t before = c->out.n;

        iicp_frame_put(&c->out, type, 0, payload);
        c->total += c->out.n - before;
}

static int broken(struct iicp_native *c, const char *why) {
        c->state = IICP_NATIVE_BROKEN;
        snprintf(c->why, sizeof(c->why), "%s", why);
        return -EBADMSG;
}

/* With the same reasons as a server has. */
static int refuse(struct iicp_native *c, enum iicp_close why) {
        _cleanup_(iicp_buf_free) struct iicp_buf payload = {};

        if (iicp_close_is_sent(why)) {
                iicp_msg_close_put(&payload, why);
                put_frame(c, IICP_FRAME_CLOSE, iicp_buf_str(&payload));
        }
        return broken(c, why == IICP_CLOSE_SILENT ? "bad_magic" : iicp_close_reason(why));
}

struct iicp_native *iicp_native_new(iicp_native_response_fn fn, void *arg) {
        static const struct iicp_msg_init offer = {
                .version = IICP_FRAME_VERSION, .min_version = IICP_FRAME_VERSION, .gzip = true, .has_max_frame = true,
                .max_frame = IICP_FRAME_LENGTH_MAX};
        _cleanup_(iicp_buf_free) struct iicp_buf payload = {};
        struct iicp_native *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->fn = fn;
        c->arg = arg;
        c->out.secret = c->waiting.secret = true;
        c->out.max = c->waiting.max = 2 * IICP_BUF_MAX;
        iicp_msg_init_put(&payload, &offer);
        put_frame(c, IICP_FRAME_INIT, iicp_buf_str(&payload));
        return c->out.error ? iicp_native_free(c) : c;
}

struct iicp_native *iicp_native_free(struct iicp_native *c) {
        if (!c)
                return NULL;
        iicp_frame_reader_free(&c->reader);
        iicp_fragments_free(c->fragments);
        iicp_buf_wipe(&c->out);
        iicp_buf_wipe(&c->waiting);
        free(c);
        return NULL;
}

/* ---- CALL ---- */

static bool keep(char *to, struct iicp_str from) {
        if (from.n >= ID_MAX)
                return false;
        if (from.n > 0)
                memcpy(to, from.p, from.n);
        to[from.n] = '\0';
        return true;
}

/* Fragments only to a peer that declared what it takes; never more than it takes. */
static int put_call(struct iicp_native *c, struct iicp_str payload) {
        size_t before = c->out.n;
        bool fits = payload.n <= IICP_FRAME_SEND_MAX &&
                    (!c->peer_fragments || payload.n + IICP_FRAME_HEADER <= c->peer_max_frame);
        char id[24];
        int r = 0;

        c->call_at = c->total;
        if (fits && (!c->peer_fragments || payload.n <= IICP_FRAME_FRAGMENT_ABOVE))
                iicp_frame_put(&c->out, IICP_FRAME_CALL, 0, payload);
        else if (c->peer_fragments && c->peer_max_frame >= 1024) {
                size_t part = (size_t) MIN(c->peer_max_frame, (uint64_t) IICP_FRAME_FRAGMENT_ABOVE) - IICP_FRAME_HEADER - 64;

                snprintf(id, sizeof(id), "%llu", (unsigned long long) ++c->fragment_ids);
                r = iicp_fragment_put(&c->out, IICP_FRAME_CALL, 0, payload, part, iicp_str(id));
        } else
                r = -E2BIG;
        if (r < 0 || c->out.error)
                return r < 0 ? r : c->out.error;
        c->total += c->out.n - before;
        c->call_put = true;
        c->state = IICP_NATIVE_CALLING;
        return 0;
}

int iicp_native_call(struct iicp_native *c, const struct iicp_msg_call *m, struct iicp_str payload) {
        if ((c->state != IICP_NATIVE_HANDSHAKE && c->state != IICP_NATIVE_READY) || c->waiting.n > 0)
                return -EBUSY;
        if (!keep(c->session_id, m->session_id) || !keep(c->call_id, m->call_id) || !keep(c->task_id, m->task_id) ||
            m->session_id.n == 0)
                return -EINVAL;
        c->lifecycle = m->task_id.n > 0;
        c->receiver = (struct iicp_lifecycle_receiver){
                .session_id = iicp_str(c->session_id), .call_id = iicp_str(c->call_id), .task_id = iicp_str(c->task_id)};
        iicp_msg_call_put(&c->waiting, m, payload);
        if (c->waiting.error)
                return c->waiting.error;
        if (c->state == IICP_NATIVE_HANDSHAKE)
                return 0;
        int r = put_call(c, iicp_buf_str(&c->waiting));
        iicp_buf_wipe(&c->waiting);
        return r;
}

void iicp_native_close(struct iicp_native *c) {
        _cleanup_(iicp_buf_free) struct iicp_buf payload = {};

        if (c->state == IICP_NATIVE_CLOSED || c->state == IICP_NATIVE_BROKEN)
                return;
        iicp_msg_close_put(&payload, IICP_CLOSE_GRACEFUL);
        put_frame(c, IICP_FRAME_CLOSE, iicp_buf_str(&payload));
        c->state = IICP_NATIVE_CLOSED;
}

/* ---- what comes in ---- */

static int on_ack(struct iicp_native *c, struct iicp_str payload) {
        struct iicp_msg_ack ack;
        enum iicp_close why;
        int r = 0;

        if (c->state != IICP_NATIVE_HANDSHAKE)
                return refuse(c, IICP_CLOSE_PROTOCOL_ERROR);
        why = iicp_msg_ack_read(payload, 0, &ack);
        if (why == IICP_CLOSE_NONE && ack.version != IICP_FRAME_VERSION)
                why = IICP_CLOSE_VERSION_OTHER;
        if (why != IICP_CLOSE_NONE)
                return refuse(c, why);
        c->peer_fragments = ack.has_max_frame;
        c->peer_max_frame = ack.max_frame;
        c->state = IICP_NATIVE_READY;
        if (c->waiting.n > 0) {
                r = put_call(c, iicp_buf_str(&c->waiting));
                iicp_buf_wipe(&c->waiting);
        }
        return r == -E2BIG ? broken(c, "frame_too_large") : r;
}

/* A map is the result; a byte string holds one as CBOR, or as JSON; other types are as they are. */
static void give(struct iicp_native *c, const struct iicp_msg_response *m) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf json = {.secret = true};
        struct iicp_cbor item = m->result;
        struct iicp_str bytes = m->result.text;
        struct iicp_json value;

        if (item.type == IICP_CBOR_TSTR || item.type == IICP_CBOR_NONE) {
                c->fn(c->arg, m, IICP_STR_NONE, item.type == IICP_CBOR_TSTR ? bytes : IICP_STR_NONE);
                return;
        }
        if (item.type == IICP_CBOR_BSTR && iicp_cbor_scan(bytes, 0, &item) != IICP_CBOR_OK) {
                bool is_json = iicp_json_scan(bytes, NULL, NULL, &value) == 0;

                c->fn(c->arg, m, is_json ? bytes : IICP_STR_NONE, IICP_STR_NONE);
                return;
        }
        c->fn(c->arg, m, iicp_cbor_to_json(&item, &json) == 0 ? iicp_buf_str(&json) : IICP_STR_NONE, IICP_STR_NONE);
}

/* By key 3, else 15; where the peer sends neither, order has to do. */
static bool is_ours(const struct iicp_native *c, const struct iicp_msg_response *m) {
        if (m->call_id.p && *c->call_id)
                return iicp_str_is(m->call_id, c->call_id);
        return !m->session_id.p || iicp_str_is(m->session_id, c->session_id);
}

static int on_response(struct iicp_native *c, struct iicp_str payload) {
        struct iicp_msg_response m;
        struct iicp_lifecycle_message step;
        enum iicp_lifecycle_verdict v;
        enum iicp_close why;

        if (c->state == IICP_NATIVE_READY && c->lifecycle && c->receiver.terminal)
                return broken(c, iicp_lifecycle_verdict_name(IICP_LIFECYCLE_AFTER_TERMINAL));
        if (c->state != IICP_NATIVE_CALLING)
                return refuse(c, IICP_CLOSE_PROTOCOL_ERROR);
        why = iicp_msg_response_read(payload, 0, &m);
        if (why != IICP_CLOSE_NONE)
                return refuse(c, why);
        /* A server without streaming answers a lifecycle CALL with one base RESPONSE. */
        if (c->lifecycle && (m.lifecycle.present || c->receiver.next > 0)) {
                iicp_msg_response_lifecycle(&m, &step);
                v = iicp_lifecycle_receive(&c->receiver, &step);
                if (v == IICP_LIFECYCLE_DISCARD)
                        return 0;
                if (v != IICP_LIFECYCLE_OK)
                        return broken(c, iicp_lifecycle_verdict_name(v));
                if (c->receiver.terminal)
                        c->state = IICP_NATIVE_READY;
        } else {
                if (!is_ours(c, &m))
                        return broken(c, "call_id_drift");
                c->state = IICP_NATIVE_READY;
        }
        give(c, &m);
        return 0;
}

static int on_close(struct iicp_native *c, struct iicp_str payload) {
        struct iicp_msg_close m;
        enum iicp_close why = iicp_msg_close_read(payload, 0, &m);
        bool graceful = why == IICP_CLOSE_NONE && iicp_str_is(m.reason, "graceful");

        if (graceful && c->state != IICP_NATIVE_CALLING && c->state != IICP_NATIVE_HANDSHAKE) {
                c->state = IICP_NATIVE_CLOSED;
                return 0;
        }
        c->state = IICP_NATIVE_BROKEN;
        snprintf(c->why, sizeof(c->why), "closed: %.*s", (int) MIN(why == IICP_CLOSE_NONE ? m.reason.n : 0, (size_t) 64),
                 why == IICP_CLOSE_NONE && m.reason.p ? m.reason.p : "");
        return -EBADMSG;
}

static int on_ping(struct iicp_native *c, struct iicp_str payload) {
        struct iicp_str echo;
        enum iicp_close why = iicp_msg_ping_read(payload, 0, &echo);

        if (why != IICP_CLOSE_NONE)
                return refuse(c, why);
        put_frame(c, IICP_FRAME_PONG, payload); /* mirrored as it came */
        return 0;
}

static int on_message(struct iicp_native *c, uint8_t type, struct iicp_str payload) {
        switch (type) {
        case IICP_FRAME_ACK:
                return on_ack(c, payload);
        case IICP_FRAME_RESPONSE:
                return on_response(c, payload);
        case IICP_FRAME_CLOSE:
                return on_close(c, payload);
        case IICP_FRAME_PING:
                return on_ping(c, payload);
        case IICP_FRAME_INIT:
        case IICP_FRAME_CALL:
        case IICP_FRAME_DISCOVER:
                return refuse(c, IICP_CLOSE_PROTOCOL_ERROR);
        default: /* PONG, OBSERVE, ADVERTISE and the like are advice at most */
                return 0;
        }
}

static int inflate_and_take(struct iicp_native *c, uint8_t type, uint8_t flags, struct iicp_str payload) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf whole = {.max = IICP_FRAME_INFLATED_MAX + 16, .secret = true};
        int r;

        if (!(flags & IICP_FRAME_COMPRESSED) || !iicp_is_gzip(payload))
                return on_message(c, type, payload);
        r = iicp_gunzip(payload, IICP_FRAME_INFLATED_MAX, &whole);
        if (r < 0)
                return refuse(c, r == -E2BIG ? IICP_CLOSE_PAYLOAD_TOO_LARGE : IICP_CLOSE_INVALID_PAYLOAD);
        return on_message(c, type, iicp_buf_str(&whole));
}

static int on_frame(struct iicp_native *c, const struct iicp_frame *frame) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf whole = {};
        enum iicp_close why = IICP_CLOSE_NONE;
        uint8_t flags = 0;
        int r;

        if (!(frame->header.flags & IICP_FRAME_FRAGMENTED))
                return inflate_and_take(c, frame->header.type, frame->header.flags, frame->payload);
        if (!c->fragments && !(c->fragments = iicp_fragments_new(0, 0)))
                return broken(c, "no_memory");
        /* the wait for the whole RESPONSE is shorter than that for its parts */
        r = iicp_fragments_add(c->fragments, frame, 0, 0, &whole, &flags, &why);
        if (r < 0)
                return refuse(c, why);
        return r == 1 ? inflate_and_take(c, frame->header.type, flags, iicp_buf_str(&whole)) : 0;
}

int iicp_native_input(struct iicp_native *c, struct iicp_str bytes) {
        struct iicp_frame frame;
        enum iicp_close why;
        size_t used;
        int r;

        while (bytes.n > 0) {
                if (c->state == IICP_NATIVE_BROKEN)
                        return -EBADMSG;
                r = iicp_frame_reader_feed(&c->reader, bytes, &used, &frame, &why);
                if (r < 0)
                        return refuse(c, why);
                bytes.p += used;
                bytes.n -= used;
                if (r == 1 && (r = on_frame(c, &frame)) < 0)
                        return r;
        }
        return 0;
}

void iicp_native_end_of_input(struct iicp_native *c) {
        if (c->state == IICP_NATIVE_CALLING)
                broken(c, c->lifecycle && c->receiver.next > 0 ? "missing_terminal_response" : "closed");
        else if (c->state == IICP_NATIVE_HANDSHAKE)
                broken(c, "closed");
        else if (c->state == IICP_NATIVE_READY)
                c->state = IICP_NATIVE_CLOSED;
}

/* ---- what goes out ---- */

struct iicp_str iicp_native_output(const struct iicp_native *c) {
        return iicp_buf_str(&c->out);
}

void iicp_native_sent(struct iicp_native *c, size_t n) {
        n = MIN(n, c->out.n);
        c->written += n;
        memmove(c->out.p, c->out.p + n, c->out.n - n);
        explicit_bzero(c->out.p + c->out.n - n, n);
        c->out.n -= n;
}

enum iicp_native_state iicp_native_state(const struct iicp_native *c) {
        return c->state;
}

const char *iicp_native_why(const struct iicp_native *c) {
        return c->why;
}

bool iicp_native_call_sent(const struct iicp_native *c) {
        return c->call_put && c->written > c->call_at;
}
