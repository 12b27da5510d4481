/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/frame.h>

/* What the public decoder says of each scenario. */
static void check_public(const char *prefix) {
        struct json_object *all = vector_public("framing/native-framing-v1.json");
        unsigned seen = 0;

        vector_each(vector_get(all, "scenarios"), s) {
                struct json_object *expected = vector_get(s, "expected");
                struct iicp_str name = vector_str(s, "name"), wire, payload = IICP_STR_NONE;
                struct iicp_frame_header h;
                size_t used = 0;
                int r;

                if (strncmp(name.p, prefix, strlen(prefix)) != 0)
                        continue;
                seen++;
                wire = vector_hex(s, "wire_hex");
                r = iicp_frame_decode(wire, &h, &payload, &used);
                if (iicp_str_is(vector_str(expected, "outcome"), "reject")) {
                        bool magic = iicp_str_is(vector_str(expected, "reason"), "invalid_magic");

                        assert_int_equal(r, magic ? -EBADMSG : -EAGAIN);
                } else {
                        struct iicp_str body = vector_hex(expected, "payload_hex");

                        assert_int_equal(r, 0);
                        assert_int_equal(h.version, json_object_get_int(vector_get(expected, "version")));
                        assert_int_equal(h.type, json_object_get_int(vector_get(expected, "message_type")));
                        assert_int_equal(h.flags, json_object_get_int(vector_get(expected, "flags")));
                        assert_int_equal(used, json_object_get_int(vector_get(expected, "consumed")));
                        assert_true(iicp_str_eq(payload, body));
                        free((char *) body.p);
                }
                free((char *) wire.p);
        }
        assert_true(seen > 0);
        json_object_put(all);
}

static void NATIVE_FRAME_BASE_01_encoder_writes_twelve_bytes(void **state) {
        static const uint8_t expected[] = {'I', 'I', 'C', 'P', 1, 9, 0, 0, 0, 0, 0, 0};
        static const uint8_t with_length[] = {'I', 'I', 'C', 'P', 1, 5, 3, 0, 0, 1, 2, 3};
        uint8_t head[IICP_FRAME_HEADER];

        (void) state;
        iicp_frame_header_encode(IICP_FRAME_PING, 0, 0, head);
        assert_memory_equal(head, expected, sizeof(head));
        iicp_frame_header_encode(IICP_FRAME_CALL, 3, 0x010203, head);
        assert_memory_equal(head, with_length, sizeof(head));
}

static void NATIVE_FRAME_BASE_02_empty_and_cbor_frames(void **state) {
        (void) state;
        check_public("ping_empty");
        check_public("call_minimal_cbor");
}

static void NATIVE_FRAME_BASE_03_reserved_and_unknown_flags(void **state) {
        (void) state;
        check_public("reserved_byte");
        check_public("unknown_flag");
}

static void NATIVE_FRAME_BASE_04_what_the_decoder_refuses(void **state) {
        (void) state;
        check_public("bad_magic");
        check_public("truncated");
}

static struct iicp_frame_header header(uint8_t version, uint8_t type, uint8_t flags, uint32_t length) {
        return (struct iicp_frame_header){.version = version, .type = type, .flags = flags, .length = length};
}

static void IICPD_03_05_order_of_header_checks(void **state) {
        struct iicp_frame_header h = header(0, 0xff, 0xff, IICP_FRAME_LENGTH_MAX + 1);

        (void) state;
        /* each fault alone remains once the one before it is mended */
        assert_int_equal(iicp_frame_header_check(&h, 0, 0), IICP_CLOSE_FRAME_TOO_LARGE);
        h.length = 0;
        assert_int_equal(iicp_frame_header_check(&h, 0, 0), IICP_CLOSE_INVALID_VERSION);
        h.version = 2;
        assert_int_equal(iicp_frame_header_check(&h, 0, 0), IICP_CLOSE_VERSION_MISMATCH);
        h.version = 1;
        assert_int_equal(iicp_frame_header_check(&h, 0, 0), IICP_CLOSE_INVALID_TYPE);
        h.type = IICP_FRAME_CALL;
        assert_int_equal(iicp_frame_header_check(&h, 0, 0), IICP_CLOSE_INVALID_FRAME);
        h.flags = IICP_FRAME_COMPRESSED;
        h.length = IICP_FRAME_GZIP_CALL_MAX + 1;
        assert_int_equal(iicp_frame_header_check(&h, 0, 0), IICP_CLOSE_PAYLOAD_TOO_LARGE);
        h.length--;
        assert_int_equal(iicp_frame_header_check(&h, 0, 0), IICP_CLOSE_NONE);
}

static void IICPD_03_05_any_segmentation(void **state) {
        struct json_object *all = vector_ours("framing/frames-valid.json");

        (void) state;
        for (size_t step = 1; step <= 64; step = step * 2 + 1) {
                _cleanup_(iicp_buf_free) struct iicp_buf stream = {};
                struct iicp_frame_reader r = {};
                size_t at = 0, n = 0, wanted = 0;

                vector_each(vector_get(all, "frames"), f) {
                        struct iicp_str wire = vector_hex(f, "hex");

                        iicp_buf_add(&stream, wire.p, wire.n);
                        free((char *) wire.p);
                        wanted++;
                }
                while (at < stream.n) {
                        struct iicp_str bytes = {stream.p + at, MIN(step, stream.n - at)};
                        enum iicp_close fault;
                        struct iicp_frame frame;
                        size_t used;
                        int got = iicp_frame_reader_feed(&r, bytes, &used, &frame, &fault);

                        assert_true(got >= 0);
                        assert_true(used > 0);
                        at += used;
                        if (got == 0)
                                continue;
                        struct json_object *f = json_object_array_get_idx(vector_get(all, "frames"), n++);
                        struct iicp_str payload = vector_hex(f, "payload_hex");
                        struct json_object *h = vector_get(f, "header");
                        assert_int_equal(frame.header.type, json_object_get_int(vector_get(h, "type")));
                        assert_int_equal(frame.header.flags, json_object_get_int(vector_get(h, "flags")));
                        assert_int_equal(frame.header.version, json_object_get_int(vector_get(h, "version")) & 15);
                        assert_true(iicp_str_eq(frame.payload, payload));
                        free((char *) payload.p);
                }
                assert_int_equal(n, wanted);
                assert_false(iicp_frame_reader_inside(&r));
                iicp_frame_reader_free(&r);
        }
        json_object_put(all);
}

static void IICPD_03_05_first_wrong_byte_of_the_magic(void **state) {
        struct iicp_frame_reader r = {};
        struct iicp_frame frame;
        enum iicp_close fault;
        size_t used;

        (void) state;
        assert_int_equal(iicp_frame_reader_feed(&r, IICP_STR("II"), &used, &frame, &fault), 0);
        assert_int_equal(iicp_frame_reader_feed(&r, IICP_STR("X"), &used, &frame, &fault), -EBADMSG);
        assert_int_equal(fault, IICP_CLOSE_SILENT);
        iicp_frame_reader_free(&r);
}

static void IICPD_03_06_buffers_grow_with_what_has_come(void **state) {
        struct iicp_frame_reader r = {};
        struct iicp_frame frame;
        enum iicp_close fault;
        uint8_t head[IICP_FRAME_HEADER];
        static char block[100000];
        size_t used, fed = 0;
        int got = 0;

        (void) state;
        iicp_frame_header_encode(IICP_FRAME_CALL, 0, IICP_FRAME_LENGTH_MAX, head);
        assert_int_equal(iicp_frame_reader_feed(&r, (struct iicp_str){(char *) head, sizeof(head)}, &used, &frame, &fault), 0);
        assert_int_equal(iicp_frame_reader_held(&r), 0);
        while (got == 0) {
                size_t n = MIN(sizeof(block), (size_t) IICP_FRAME_LENGTH_MAX - fed);

                got = iicp_frame_reader_feed(&r, (struct iicp_str){block, n}, &used, &frame, &fault);
                assert_int_equal(used, n);
                fed += n;
                assert_true(iicp_frame_reader_held(&r) <= fed + IICP_FRAME_AHEAD);
        }
        assert_int_equal(got, 1);
        assert_int_equal(frame.payload.n, IICP_FRAME_LENGTH_MAX);
        iicp_frame_reader_free(&r);

        iicp_frame_header_encode(IICP_FRAME_CALL, 0, IICP_FRAME_LENGTH_MAX + 1, head);
        got = iicp_frame_reader_feed(&r, (struct iicp_str){(char *) head, sizeof(head)}, &used, &frame, &fault);
        assert_int_equal(got, -EBADMSG);
        assert_int_equal(fault, IICP_CLOSE_FRAME_TOO_LARGE);
        assert_int_equal(iicp_frame_reader_held(&r), 0);
        iicp_frame_reader_free(&r);

        /* a lower limit of ours is one, too */
        r.max_length = 65536;
        iicp_frame_header_encode(IICP_FRAME_PING, 0, 65537, head);
        got = iicp_frame_reader_feed(&r, (struct iicp_str){(char *) head, sizeof(head)}, &used, &frame, &fault);
        assert_int_equal(got, -EBADMSG);
        assert_int_equal(fault, IICP_CLOSE_FRAME_TOO_LARGE);
        iicp_frame_reader_free(&r);
}

static void IICPD_03_07_inflation_stops_at_the_limit(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf zeros = {.max = IICP_FRAME_INFLATED_MAX + 16}, bomb = {.max = 64u << 20};
        _cleanup_(iicp_buf_free) struct iicp_buf out = {.max = IICP_FRAME_INFLATED_MAX + 16};

        (void) state;
        assert_non_null(iicp_buf_reserve(&zeros, IICP_FRAME_INFLATED_MAX + 1));
        memset(zeros.p, 0, IICP_FRAME_INFLATED_MAX + 1);
        assert_int_equal(iicp_gzip((struct iicp_str){zeros.p, IICP_FRAME_INFLATED_MAX + 1}, &bomb), 0);
        assert_true(bomb.n < IICP_FRAME_GZIP_CALL_MAX);
        assert_int_equal(iicp_gunzip(iicp_buf_str(&bomb), IICP_FRAME_INFLATED_MAX, &out), -E2BIG);
        assert_true(out.n <= IICP_FRAME_INFLATED_MAX + 1);
        bomb.n = 0;
        iicp_buf_free(&out);
        out.max = IICP_FRAME_INFLATED_MAX + 16;
        assert_int_equal(iicp_gzip((struct iicp_str){zeros.p, IICP_FRAME_INFLATED_MAX}, &bomb), 0);
        assert_int_equal(iicp_gunzip(iicp_buf_str(&bomb), IICP_FRAME_INFLATED_MAX, &out), 0);
        assert_int_equal(out.n, IICP_FRAME_INFLATED_MAX);
}

static void IICPD_03_13_damaged_gzip(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf packed = {}, out = {};
        struct iicp_str text = IICP_STR("a text that is long enough to be packed, packed, packed, packed");

        (void) state;
        assert_int_equal(iicp_gzip(text, &packed), 0);
        assert_int_equal(iicp_gunzip(iicp_buf_str(&packed), 1000, &out), 0);
        assert_true(iicp_str_eq(iicp_buf_str(&out), text));
        for (size_t n = 0; n < packed.n; n++) {
                iicp_buf_free(&out);
                assert_int_equal(iicp_gunzip((struct iicp_str){packed.p, n}, 1000, &out), -EBADMSG);
        }
        packed.p[packed.n - 6] ^= 1; /* its check sum */
        assert_int_equal(iicp_gunzip(iicp_buf_str(&packed), 1000, &out), -EBADMSG);
        packed.p[packed.n - 6] ^= 1;
        iicp_buf_add(&packed, "x", 1); /* bytes behind */
        assert_int_equal(iicp_gunzip(iicp_buf_str(&packed), 1000, &out), -EBADMSG);
        assert_int_equal(iicp_gunzip(IICP_STR("\x1f\x8b\x08"), 1000, &out), -EBADMSG);
}

static void IICPD_03_26_texts_of_close(void **state) {
        (void) state;
        for (enum iicp_close c = IICP_CLOSE_GRACEFUL; c < IICP_CLOSE_NO_MEMORY; c++) {
                assert_true(iicp_close_is_sent(c));
                assert_true(strlen(iicp_close_reason(c)) > 0);
                assert_true(strlen(iicp_close_reason(c)) <= 64);
        }
        assert_false(iicp_close_is_sent(IICP_CLOSE_SILENT));
        assert_string_equal(iicp_close_reason(IICP_CLOSE_FRAGMENT_TIMEOUT), "protocol_error");
        assert_string_equal(iicp_close_message(IICP_CLOSE_FRAGMENT_TIMEOUT), "fragment_timeout");
        assert_string_equal(iicp_close_message(IICP_CLOSE_VERSION_MISMATCH), "version_mismatch server_max=1");
        assert_string_equal(iicp_close_message(IICP_CLOSE_VERSION_TOO_OLD), "version_too_old server_min=1");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(NATIVE_FRAME_BASE_01_encoder_writes_twelve_bytes),
                cmocka_unit_test(NATIVE_FRAME_BASE_02_empty_and_cbor_frames),
                cmocka_unit_test(NATIVE_FRAME_BASE_03_reserved_and_unknown_flags),
                cmocka_unit_test(NATIVE_FRAME_BASE_04_what_the_decoder_refuses),
                cmocka_unit_test(IICPD_03_05_order_of_header_checks),
                cmocka_unit_test(IICPD_03_05_any_segmentation),
                cmocka_unit_test(IICPD_03_05_first_wrong_byte_of_the_magic),
                cmocka_unit_test(IICPD_03_06_buffers_grow_with_what_has_come),
                cmocka_unit_test(IICPD_03_07_inflation_stops_at_the_limit),
                cmocka_unit_test(IICPD_03_13_damaged_gzip),
                cmocka_unit_test(IICPD_03_26_texts_of_close),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
