/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/cbor_msg.h>
#include <iicp/fragment.h>
#include <stdio.h>

/* A receiver as small as can be: frames in, messages and the reason to close out. */
struct receiver {
        struct iicp_fragments *fragments;
        struct json_object *messages; /* expected, taken in order */
        size_t seen;
        enum iicp_close fault;
};

static void deliver(struct receiver *r, uint8_t type, uint8_t flags, struct iicp_str payload) {
        struct json_object *m = json_object_array_get_idx(r->messages, r->seen++), *f;
        struct iicp_str expected;
        struct iicp_cbor map;

        if (type == IICP_FRAME_CALL && !(flags & IICP_FRAME_COMPRESSED)) {
                r->fault = iicp_msg_scan(payload, 0, &map);
                if (r->fault != IICP_CLOSE_NONE) {
                        r->seen--;
                        return;
                }
        }
        assert_non_null(m);
        assert_int_equal(type, json_object_get_int(vector_get(m, "type")));
        f = vector_find(m, "flags");
        assert_int_equal(flags, f ? json_object_get_int(f) : 0);
        expected = vector_hex(m, "payload_hex");
        assert_true(iicp_str_eq(payload, expected));
        free((char *) expected.p);
        if (f) {
                _cleanup_(iicp_buf_free) struct iicp_buf out = {};
                struct iicp_str inflated = vector_hex(m, "inflated_hex");

                assert_int_equal(iicp_gunzip(payload, IICP_FRAME_INFLATED_MAX, &out), 0);
                assert_true(iicp_str_eq(iicp_buf_str(&out), inflated));
                free((char *) inflated.p);
        }
}

static void receive(struct receiver *r, struct iicp_str wire) {
        struct iicp_frame frame;
        size_t used;

        assert_int_equal(iicp_frame_decode(wire, &frame.header, &frame.payload, &used), 0);
        if (frame.header.flags & IICP_FRAME_FRAGMENTED) {
                _cleanup_(iicp_buf_wipe) struct iicp_buf whole = {};
                uint8_t flags = 0;
                int got = iicp_fragments_add(r->fragments, &frame, 0, 0, &whole, &flags, &r->fault);

                if (got == 1)
                        deliver(r, frame.header.type, flags, iicp_buf_str(&whole));
        } else
                deliver(r, frame.header.type, 0, frame.payload);
}

static void send_part(struct receiver *r, const char *id, uint64_t seq, uint64_t total, size_t n) {
        _cleanup_(iicp_buf_free) struct iicp_buf map = {}, wire = {.max = 32u << 20};
        static char data[3300000];

        iicp_cbor_put_map(&map, 4);
        iicp_cbor_put_uint(&map, 1);
        iicp_cbor_put_tstr(&map, iicp_str(id));
        iicp_cbor_put_uint(&map, 2);
        iicp_cbor_put_uint(&map, seq);
        iicp_cbor_put_uint(&map, 3);
        iicp_cbor_put_uint(&map, total);
        iicp_cbor_put_uint(&map, 4);
        iicp_cbor_put_bstr(&map, (struct iicp_str){data, n});
        iicp_frame_put(&wire, IICP_FRAME_CALL, IICP_FRAME_FRAGMENTED, iicp_buf_str(&map));
        receive(r, iicp_buf_str(&wire));
}

/* The cases that the file only describes. */
static void run_recipe(struct receiver *r, struct iicp_str id) {
        char name[64];

        if (iicp_str_is(id, "FRAG-18-65th-incomplete-message") || iicp_str_is(id, "FRAG-19-64-incomplete-accepted")) {
                for (unsigned i = 0; i < (id.p[6] == '8' ? 65u : 64u); i++) {
                        assert_int_equal(r->fault, IICP_CLOSE_NONE);
                        snprintf(name, sizeof(name), "id-%u", i);
                        send_part(r, name, 0, 2, 1);
                }
        } else if (iicp_str_is(id, "FRAG-20-257-pending")) {
                for (unsigned i = 0; i < 257; i++) {
                        assert_int_equal(r->fault, IICP_CLOSE_NONE);
                        send_part(r, i % 2 ? "b" : "a", i / 2, 256, 1);
                }
        } else if (iicp_str_is(id, "FRAG-21-message-over-16MiB")) {
                for (unsigned i = 0; i < 240; i++) {
                        assert_int_equal(r->fault, IICP_CLOSE_NONE);
                        send_part(r, "a", i, 256, 70000);
                }
        } else if (iicp_str_is(id, "FRAG-22-aggregate-over-64MiB")) {
                for (unsigned i = 0; i < 21; i++) {
                        assert_int_equal(r->fault, IICP_CLOSE_NONE);
                        snprintf(name, sizeof(name), "id-%u", i / 5);
                        send_part(r, name, i % 5, 256, 3200000);
                }
        } else
                fail_msg("no recipe for %s", id.p);
}

static void IICPD_03_14_vectors(void **state) {
        struct json_object *all = vector_ours("framing/fragments.json");

        (void) state;
        vector_each(vector_get(all, "cases"), c) {
                struct json_object *expect = vector_get(c, "expect"), *reason = vector_find(expect, "close_key1");
                struct json_object *frames = vector_find(c, "frames_hex");
                struct receiver r = {.fragments = iicp_fragments_new(0, 0), .messages = vector_get(expect, "messages")};
                struct iicp_str id = vector_str(c, "id");

                if (frames)
                        vector_each(frames, f) {
                                struct iicp_str wire = vector_hex_of(iicp_str(json_object_get_string(f)));

                                receive(&r, wire);
                                free((char *) wire.p);
                        }
                else
                        run_recipe(&r, id);
                if (vector_find(c, "expect_after_seconds")) {
                        assert_int_equal(iicp_fragments_due_ms(r.fragments), IICP_FRAGMENT_TIMEOUT_MS);
                        r.fault = IICP_CLOSE_FRAGMENT_TIMEOUT;
                } else if (!reason && r.seen == 0)
                        assert_true(iicp_fragments_held(r.fragments) > 0);
                if (reason) {
                        _cleanup_(iicp_buf_free) struct iicp_buf payload = {}, wire = {};
                        struct iicp_str reply = vector_hex(expect, "reply_hex");

                        iicp_msg_close_put(&payload, r.fault);
                        iicp_frame_put(&wire, IICP_FRAME_CLOSE, 0, iicp_buf_str(&payload));
                        if (!iicp_str_eq(iicp_buf_str(&wire), reply))
                                fail_msg("%s: closed with %s", id.p, iicp_close_reason(r.fault));
                        free((char *) reply.p);
                } else if (r.fault != IICP_CLOSE_NONE)
                        fail_msg("%s: closed with %s", id.p, iicp_close_reason(r.fault));
                assert_int_equal(r.seen, json_object_array_length(r.messages));
                if (!reason && r.seen > 0)
                        assert_int_equal(iicp_fragments_held(r.fragments), 0);
                iicp_fragments_free(r.fragments);
        }
        json_object_put(all);
}

static void IICPD_03_14_caps_are_raised_never_lowered(void **state) {
        struct receiver r = {.fragments = iicp_fragments_new(20u << 20, 1)};

        (void) state;
        for (unsigned i = 0; i < 6; i++)
                send_part(&r, "a", i, 256, 3200000);
        assert_int_equal(r.fault, IICP_CLOSE_NONE);
        send_part(&r, "a", 6, 256, 3200000);
        assert_int_equal(r.fault, IICP_CLOSE_FRAME_TOO_LARGE);
        iicp_fragments_free(r.fragments);
}

static void IICPD_03_14_what_is_cut_comes_together(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf payload = {}, wire = {}, whole = {};
        struct iicp_fragments *f = iicp_fragments_new(0, 0);
        struct iicp_str rest;
        uint8_t flags = 9;
        int got = 0;

        (void) state;
        iicp_cbor_put_map(&payload, 1);
        iicp_cbor_put_uint(&payload, 99);
        iicp_cbor_put_bstr(&payload, (struct iicp_str){(char[150000]){0}, 150000});
        assert_int_equal(iicp_fragment_put(&wire, IICP_FRAME_CALL, 0, iicp_buf_str(&payload), 60000, IICP_STR("x")), 0);
        rest = iicp_buf_str(&wire);
        for (unsigned i = 0; rest.n > 0; i++) {
                struct iicp_frame frame;
                enum iicp_close fault;
                size_t used;

                assert_int_equal(got, 0);
                assert_int_equal(iicp_frame_decode(rest, &frame.header, &frame.payload, &used), 0);
                assert_true(frame.payload.n <= IICP_FRAME_FRAGMENT_ABOVE);
                got = iicp_fragments_add(f, &frame, IICP_FRAME_STRICT, 0, &whole, &flags, &fault);
                rest.p += used;
                rest.n -= used;
        }
        assert_int_equal(got, 1);
        assert_int_equal(flags, 0);
        assert_true(iicp_str_eq(iicp_buf_str(&whole), iicp_buf_str(&payload)));
        assert_int_equal(iicp_fragments_due_ms(f), UINT64_MAX);
        assert_int_equal(iicp_fragment_put(&wire, IICP_FRAME_CALL, 0, iicp_buf_str(&payload), 100, IICP_STR("x")), -E2BIG);
        iicp_fragments_free(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_14_vectors),
                cmocka_unit_test(IICPD_03_14_caps_are_raised_never_lowered),
                cmocka_unit_test(IICPD_03_14_what_is_cut_comes_together),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
