/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "native_link.h"
#include "node.h"
#include "util.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <iicp/cbor_msg.h>
#include <stdlib.h>

/* A link at one end of a pair; the test holds the other end and a clock. */
struct world {
        struct node node;
        struct config config;
        struct clock clock;
        uint64_t now_ms;
        struct native_link link;
        struct bufferevent *far;
        unsigned messages;
        int fault_type;
        enum iicp_close fault;
        bool ended;
};

static uint64_t now(void *arg) {
        return ((struct world *) arg)->now_ms * 1000;
}

static enum iicp_close admit(void *arg, uint8_t type) {
        (void) arg;
        (void) type;
        return IICP_CLOSE_NONE;
}

static enum iicp_close message(void *arg, uint8_t type, bool gzip_inside, struct iicp_str payload) {
        (void) type;
        (void) gzip_inside;
        (void) payload;
        ((struct world *) arg)->messages++;
        return IICP_CLOSE_NONE;
}

static void fault(void *arg, enum iicp_close why, int type) {
        struct world *w = arg;

        w->fault = why;
        w->fault_type = type;
}

static void drained(void *arg) {
        (void) arg;
}

static void ended(void *arg) {
        ((struct world *) arg)->ended = true;
}

static const struct native_link_handler handler = {admit, message, fault, drained, ended};

static void run(struct world *w) {
        for (unsigned i = 0; i < 20; i++)
                event_base_loop(loop_base(w->node.loop), EVLOOP_NONBLOCK);
}

static struct world *world_new(void) {
        struct world *w = calloc(1, sizeof(*w));
        struct bufferevent *pair[2];

        assert_non_null(w);
        w->now_ms = 1000000;
        w->clock = clock_system;
        w->clock.mono_us = now;
        w->clock.arg = w;
        w->node.clock = &w->clock;
        w->node.loop = loop_new();
        w->node.config = &w->config;
        w->config.native_max_frame = IICP_FRAME_LENGTH_MAX;
        assert_int_equal(bufferevent_pair_new(loop_base(w->node.loop), 0, pair), 0);
        w->far = pair[1];
        bufferevent_enable(w->far, EV_READ | EV_WRITE);
        native_link_open(&w->link, &w->node, pair[0], NULL, &handler, w);
        return w;
}

static void world_free(struct world *w) {
        native_link_free(&w->link);
        bufferevent_free(w->far);
        loop_free(w->node.loop);
        free(w);
}

static struct iicp_str arrived(struct world *w) {
        struct evbuffer *in = bufferevent_get_input(w->far);

        run(w);
        return (struct iicp_str){(const char *) evbuffer_pullup(in, -1), evbuffer_get_length(in)};
}

static void IICPD_03_08_nothing_larger_than_the_peer_takes(void **state) {
        static char large[20000000];
        struct world *w = world_new();
        struct iicp_str rest;

        (void) state;
        /* no size declared: one frame, up to what shipped peers take */
        assert_int_equal(native_link_send(&w->link, IICP_FRAME_RESPONSE, (struct iicp_str){large, IICP_FRAME_SEND_MAX}), 0);
        assert_int_equal(native_link_send(&w->link, IICP_FRAME_RESPONSE, (struct iicp_str){large, IICP_FRAME_SEND_MAX + 1}), -E2BIG);
        rest = arrived(w);
        assert_int_equal(rest.n, IICP_FRAME_SEND_MAX + IICP_FRAME_HEADER);
        assert_int_equal(rest.p[6], 0);
        world_free(w);

        w = world_new();
        w->link.peer_fragments = true;
        w->link.peer_max_frame = 4096;
        assert_int_equal(native_link_send(&w->link, IICP_FRAME_RESPONSE, (struct iicp_str){large, 4096 - IICP_FRAME_HEADER}), 0);
        assert_int_equal(native_link_send(&w->link, IICP_FRAME_RESPONSE, (struct iicp_str){large, 4096 - IICP_FRAME_HEADER + 1}), 0);
        assert_int_equal(native_link_send(&w->link, IICP_FRAME_RESPONSE, (struct iicp_str){large, 300 * 4096}), -E2BIG);
        rest = arrived(w);
        for (unsigned i = 0; rest.n > 0; i++) {
                struct iicp_frame_header h;
                struct iicp_str payload;
                size_t used;

                assert_int_equal(iicp_frame_decode(rest, &h, &payload, &used), 0);
                assert_true(used <= 4096);
                assert_int_equal(h.flags, i == 0 ? 0 : IICP_FRAME_FRAGMENTED);
                rest.p += used;
                rest.n -= used;
        }
        world_free(w);
}

static void IICPD_03_31_idle_time_ends_without_a_fault(void **state) {
        struct world *w = world_new();
        struct iicp_msg_close m;
        struct iicp_str got;

        (void) state;
        native_link_due(&w->link, DUE_IDLE, w->now_ms + 300000);
        run(w);
        assert_int_equal(w->link.state, LINK_OPEN);
        w->now_ms += 300000;
        native_link_due(&w->link, DUE_FRAME, w->now_ms + 1); /* looks at the clock again */
        got = arrived(w);
        assert_int_equal(iicp_msg_close_read((struct iicp_str){got.p + IICP_FRAME_HEADER, got.n - IICP_FRAME_HEADER}, 0, &m),
                         IICP_CLOSE_NONE);
        assert_true(iicp_str_is(m.reason, "idle_timeout"));
        assert_int_equal(w->fault, IICP_CLOSE_NONE);
        world_free(w);
}

static void IICPD_03_31_rest_of_a_frame(void **state) {
        struct world *w = world_new();

        (void) state;
        bufferevent_write(w->far, "IICP\1\5", 6);
        run(w);
        assert_true(w->link.due[DUE_FRAME] == w->now_ms + NATIVE_FRAME_MS);
        w->now_ms += NATIVE_FRAME_MS;
        native_link_due(&w->link, DUE_IDLE, w->now_ms + 1);
        run(w);
        assert_int_equal(w->fault, IICP_CLOSE_READ_TIMEOUT);
        assert_int_equal(w->fault_type, -1);
        assert_int_equal(w->link.state == LINK_CLOSING || w->link.state == LINK_LINGER, true);
        world_free(w);
}

static void IICPD_03_32_a_paused_link_leaves_messages_unread(void **state) {
        struct world *w = world_new();
        _cleanup_(iicp_buf_free) struct iicp_buf pings = {};

        (void) state;
        for (unsigned i = 0; i < 10; i++)
                iicp_frame_put(&pings, IICP_FRAME_PING, 0, IICP_STR(""));
        native_link_pause(&w->link);
        bufferevent_write(w->far, pings.p, pings.n);
        run(w);
        assert_int_equal(w->messages, 0);
        native_link_resume(&w->link);
        run(w);
        assert_int_equal(w->messages, 10);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_08_nothing_larger_than_the_peer_takes),
                cmocka_unit_test(IICPD_03_31_idle_time_ends_without_a_fault),
                cmocka_unit_test(IICPD_03_31_rest_of_a_frame),
                cmocka_unit_test(IICPD_03_32_a_paused_link_leaves_messages_unread),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
