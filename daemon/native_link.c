/* SPDX-License-Identifier: Apache-2.0 */
#include "native_link.h"

#include "node.h"
#include "tls.h"
#include "util.h"

#include <errno.h>
#include <event2/buffer.h>
#include <iicp/cbor_msg.h>
#include <stdio.h>

static uint64_t now_of(const struct native_link *l) {
        return clock_mono_ms(l->clock);
}

/* ---- what is held ---- */

/* false: all links together hold too much, and this one is among those that do. */
static bool within_budget(struct native_link *l, size_t held) {
        if (!l->budget)
                return true;
        l->budget->used += held - l->counted;
        l->counted = held;
        return held <= NATIVE_BUDGET_FREE || l->budget->used <= l->budget->max;
}

static size_t held_by(const struct native_link *l) {
        return iicp_frame_reader_held(&l->reader) + (l->fragments ? iicp_fragments_held(l->fragments) : 0);
}

/* ---- ends ---- */

static void end(struct native_link *l) {
        if (l->state == LINK_ENDED)
                return;
        l->state = LINK_ENDED;
        timer_clear(&l->timer);
        l->handler->ended(l->arg);
}

void native_link_free(struct native_link *l) {
        l->state = LINK_ENDED;
        timer_clear(&l->timer);
        within_budget(l, 0);
        iicp_frame_reader_free(&l->reader);
        l->fragments = iicp_fragments_free(l->fragments);
        if (l->bev)
                bufferevent_free(TAKE_PTR(l->bev));
        l->tls = tls_free(l->tls);
}

/* ---- time ---- */

static void schedule(struct native_link *l) {
        uint64_t now = now_of(l), first = UINT64_MAX;

        for (size_t i = 0; i < DUE_MAX_; i++)
                if (l->due[i] && l->due[i] < first)
                        first = l->due[i];
        if (first == UINT64_MAX)
                timer_clear(&l->timer);
        else
                timer_set_ms(&l->timer, first > now ? first - now : 0);
}

void native_link_due(struct native_link *l, enum native_due which, uint64_t at_ms) {
        if (l->due[which] == at_ms || l->state == LINK_ENDED)
                return;
        l->due[which] = at_ms;
        schedule(l);
}

static void fault(struct native_link *l, enum iicp_close why, int type) {
        l->handler->fault(l->arg, why, type);
        native_link_close(l, why);
}

static void on_time(void *arg) {
        static const enum iicp_close reasons[DUE_MAX_] = {
                [DUE_INIT] = IICP_CLOSE_INIT_TIMEOUT, [DUE_FRAME] = IICP_CLOSE_READ_TIMEOUT,
                [DUE_FRAGMENT] = IICP_CLOSE_FRAGMENT_TIMEOUT, [DUE_IDLE] = IICP_CLOSE_IDLE_TIMEOUT,
        };
        struct native_link *l = arg;
        uint64_t now = now_of(l);

        if (l->due[DUE_END] && l->due[DUE_END] <= now) {
                end(l);
                return;
        }
        for (size_t i = 0; i < DUE_END; i++)
                if (l->due[i] && l->due[i] <= now) {
                        if (i == DUE_IDLE) /* nobody did anything wrong */
                                native_link_close(l, IICP_CLOSE_IDLE_TIMEOUT);
                        else
                                fault(l, reasons[i], -1);
                        return;
                }
        schedule(l);
}

/* ---- output ---- */

bool native_link_has_room(const struct native_link *l) {
        return evbuffer_get_length(bufferevent_get_output(l->bev)) < NATIVE_OUT_MAX;
}

static size_t part_size(const struct native_link *l) {
        size_t around = IICP_FRAME_HEADER + 64; /* keys, lengths and a short id */

        return MIN((size_t) IICP_FRAME_FRAGMENT_ABOVE, (size_t) MIN(l->peer_max_frame, (uint64_t) IICP_FRAME_SEND_MAX)) - around;
}

static int frames_of(struct native_link *l, uint8_t type, uint8_t flags, struct iicp_str payload, struct iicp_buf *out) {
        bool fits = payload.n <= IICP_FRAME_SEND_MAX &&
                    (!l->peer_fragments || payload.n + IICP_FRAME_HEADER <= l->peer_max_frame);
        char id[24];

        if (fits && (!l->peer_fragments || payload.n <= IICP_FRAME_FRAGMENT_ABOVE)) {
                iicp_frame_put(out, type, flags, payload);
                return out->error;
        }
        if (!l->peer_fragments || l->peer_max_frame < NATIVE_PEER_FRAME_MIN)
                return -E2BIG;
        snprintf(id, sizeof id, "%llu", (unsigned long long) ++l->fragment_ids);
        return iicp_fragment_put(out, type, flags, payload, part_size(l), iicp_str(id));
}

int native_link_send(struct native_link *l, uint8_t type, struct iicp_str payload) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {.max = 2 * IICP_BUF_MAX}, packed = {};
        uint8_t flags = 0;
        int r;

        if (l->state != LINK_OPEN)
                return 0;
        if (l->gzip && type == IICP_FRAME_RESPONSE && payload.n >= NATIVE_GZIP_MIN &&
            iicp_gzip(payload, &packed) == 0 && packed.n < payload.n) {
                payload = iicp_buf_str(&packed);
                flags = IICP_FRAME_COMPRESSED;
        }
        r = frames_of(l, type, flags, payload, &out);
        if (r == 0 && bufferevent_write(l->bev, out.p, out.n) < 0)
                r = -ENOMEM;
        return r;
}

/* All is sent: half of the connection ends, and what still comes is dropped for a while, because bytes
 * left unread would turn our end into a reset that may swallow the CLOSE. */
static void linger(struct native_link *l) {
        l->state = LINK_LINGER;
        if (l->tls)
                tls_half_close(l->tls, l->bev);
        shutdown(bufferevent_getfd(l->bev), SHUT_WR);
        bufferevent_enable(l->bev, EV_READ);
}

void native_link_close(struct native_link *l, enum iicp_close why) {
        _cleanup_(iicp_buf_free) struct iicp_buf payload = {}, wire = {};
        uint64_t wait_ms = why == IICP_CLOSE_GRACEFUL ? NATIVE_GRACEFUL_MS : NATIVE_LINGER_MS;

        if (l->state != LINK_OPEN)
                return;
        l->state = LINK_CLOSING;
        memset(l->due, 0, sizeof l->due);
        native_link_due(l, DUE_END, now_of(l) + wait_ms);
        if (iicp_close_is_sent(why)) {
                iicp_msg_close_put(&payload, why);
                iicp_frame_put(&wire, IICP_FRAME_CLOSE, 0, iicp_buf_str(&payload));
                bufferevent_write(l->bev, wire.p, wire.n);
        }
        evbuffer_drain(bufferevent_get_input(l->bev), SIZE_MAX);
        if (evbuffer_get_length(bufferevent_get_output(l->bev)) == 0)
                linger(l);
}

/* ---- input ---- */

static enum iicp_close deliver(struct native_link *l, uint8_t type, uint8_t flags, struct iicp_str payload) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf inflated = {.max = IICP_FRAME_INFLATED_MAX + 16, .secret = true};
        bool packed = flags & IICP_FRAME_COMPRESSED;

        if (packed && iicp_is_gzip(payload)) {
                int r = iicp_gunzip(payload, IICP_FRAME_INFLATED_MAX, &inflated);

                if (r < 0)
                        return r == -E2BIG    ? IICP_CLOSE_PAYLOAD_TOO_LARGE
                               : r == -ENOMEM ? IICP_CLOSE_NO_MEMORY
                                              : IICP_CLOSE_INVALID_PAYLOAD;
                payload = iicp_buf_str(&inflated);
                packed = false;
        }
        return l->handler->message(l->arg, type, packed, payload);
}

static enum iicp_close on_frame(struct native_link *l, const struct iicp_frame *frame) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf whole = {};
        const struct iicp_frame_header *h = &frame->header;
        enum iicp_close why = l->handler->admit(l->arg, h->type);
        uint8_t flags = 0;
        int r;

        if (why != IICP_CLOSE_NONE)
                return why;
        if (!(h->flags & IICP_FRAME_FRAGMENTED))
                return deliver(l, h->type, h->flags, frame->payload);
        if (!l->fragments)
                l->fragments = iicp_fragments_new(l->max_message, l->max_buffered);
        if (!l->fragments)
                return IICP_CLOSE_NO_MEMORY;
        r = iicp_fragments_add(l->fragments, frame, l->options, now_of(l), &whole, &flags, &why);
        if (r < 0)
                return why;
        native_link_due(l, DUE_FRAGMENT,
                        iicp_fragments_due_ms(l->fragments) == UINT64_MAX ? 0 : iicp_fragments_due_ms(l->fragments));
        return r == 1 ? deliver(l, h->type, flags, iicp_buf_str(&whole)) : IICP_CLOSE_NONE;
}

/* Magic and length can be told before there is a type. */
static int type_of(const struct native_link *l) {
        return l->reader.n_head == IICP_FRAME_HEADER ? l->reader.header.type : -1;
}

static void take(struct native_link *l) {
        struct evbuffer *in = bufferevent_get_input(l->bev);

        while (l->state == LINK_OPEN && (!l->paused || iicp_frame_reader_inside(&l->reader)) && native_link_has_room(l)) {
                struct iicp_str bytes = {NULL, evbuffer_get_contiguous_space(in)};
                enum iicp_close why = IICP_CLOSE_NONE;
                struct iicp_frame frame;
                size_t used;
                int r;

                if (bytes.n == 0)
                        break;
                bytes.p = (const char *) evbuffer_pullup(in, (ev_ssize_t) bytes.n);
                r = iicp_frame_reader_feed(&l->reader, bytes, &used, &frame, &why);
                evbuffer_drain(in, used);
                if (r == 1) {
                        native_link_due(l, DUE_FRAME, 0);
                        why = on_frame(l, &frame);
                        /* a message is not kept after it was delivered */
                        iicp_frame_reader_drop(&l->reader);
                }
                if (l->state != LINK_OPEN)
                        return;
                if (why == IICP_CLOSE_NONE && !within_budget(l, held_by(l)))
                        why = IICP_CLOSE_REASSEMBLY_LIMIT;
                if (why != IICP_CLOSE_NONE) {
                        fault(l, why, r == 1 ? frame.header.type : type_of(l));
                        return;
                }
        }
        if (l->state == LINK_OPEN && iicp_frame_reader_inside(&l->reader) && !l->due[DUE_FRAME])
                native_link_due(l, DUE_FRAME, now_of(l) + NATIVE_FRAME_MS);
}

static void drop_input(struct native_link *l) {
        struct evbuffer *in = bufferevent_get_input(l->bev);

        l->dropped += evbuffer_get_length(in);
        evbuffer_drain(in, SIZE_MAX);
        if (l->dropped > NATIVE_LINGER_BYTES)
                end(l);
}

static void on_read(struct bufferevent *bev, void *arg) {
        struct native_link *l = arg;

        (void) bev;
        if (l->state == LINK_OPEN)
                take(l);
        else
                drop_input(l);
}

static void on_written(struct bufferevent *bev, void *arg) {
        struct native_link *l = arg;

        (void) bev;
        if (l->state == LINK_CLOSING) {
                linger(l);
                return;
        }
        if (l->state != LINK_OPEN)
                return;
        l->handler->drained(l->arg);
        if (l->state == LINK_OPEN)
                take(l);
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
        (void) bev;
        if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
                end(arg);
}

void native_link_pause(struct native_link *l) {
        l->paused = true;
}

void native_link_resume(struct native_link *l) {
        if (!l->paused)
                return;
        l->paused = false;
        /* From the loop: the caller may be inside of a message. */
        if (l->state == LINK_OPEN)
                bufferevent_trigger(l->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

void native_link_open(struct native_link *l, struct node *node, struct bufferevent *bev, struct tls *tls,
                      const struct native_link_handler *handler, void *arg) {
        const struct config *c = node->config;

        *l = (struct native_link){
                .bev = bev, .tls = tls ? tls_ref(tls) : NULL, .clock = node->clock, .handler = handler, .arg = arg,
                .options = c->native_strict ? IICP_FRAME_STRICT : 0u,
                .max_message = (size_t) c->native_max_message, .max_buffered = (size_t) c->native_max_buffered,
        };
        l->reader.max_length = (uint32_t) c->native_max_frame;
        l->reader.options = l->options;
        timer_init(&l->timer, node->loop, on_time, l);
        bufferevent_setcb(bev, on_read, on_written, on_event, l);
        bufferevent_setwatermark(bev, EV_READ, 0, NATIVE_IN_MAX);
        bufferevent_enable(bev, EV_READ | EV_WRITE);
}
