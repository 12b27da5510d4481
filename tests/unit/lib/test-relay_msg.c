/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <iicp/codec.h>
#include <iicp/relay_msg.h>

static struct iicp_frame_header header;

/* Payload of a frame given in hex; `bytes` keeps it. */
static struct iicp_str payload_of(struct iicp_str hex, struct iicp_buf *bytes) {
        struct iicp_str payload;
        char *to = iicp_buf_reserve(bytes, hex.n / 2 + 1);
        size_t n, used;

        assert_int_equal(iicp_hex_decode(hex, to, hex.n / 2, &n), 0);
        assert_int_equal(iicp_frame_decode((struct iicp_str){to, n}, &header, &payload, &used), 0);
        assert_int_equal(used, n);
        return payload;
}

static void same_frame(uint8_t type, const struct iicp_buf *payload, struct iicp_str hex) {
        _cleanup_(iicp_buf_free) struct iicp_buf frame = {}, text = {};
        char *to;

        assert_int_equal(payload->error, 0);
        iicp_frame_put(&frame, type, 0, iicp_buf_str(payload));
        to = iicp_buf_reserve(&text, 2 * frame.n + 1);
        iicp_hex(frame.p, frame.n, to);
        assert_int_equal(2 * frame.n, hex.n);
        assert_memory_equal(to, hex.p, hex.n);
}

static json_object *step(json_object *doc, const char *exchange, size_t i) {
        vector_each(vector_get(doc, "exchanges"), e)
                if (iicp_str_is(vector_str(e, "name"), exchange))
                        return json_object_array_get_idx(vector_get(e, "steps"), i);
        fail_msg("no exchange %s", exchange);
        return NULL;
}

static void IICPD_03_40_what_shipped_peers_said(void **state) {
        json_object *doc = vector_ours("relay/sdk-exchanges-relay-port.json");
        _cleanup_(iicp_buf_free) struct iicp_buf bind = {}, ack = {}, call = {}, answer = {}, out = {}, again = {}, res = {};
        struct iicp_str models[] = {IICP_STR("m1"), IICP_STR("m2")}, hex;
        struct iicp_relay_bind b;
        struct iicp_relay_ack a;
        struct iicp_relay_call c;
        struct iicp_relay_response r;

        (void) state;
        hex = vector_str(step(doc, "bind", 2), "hex");
        assert_int_equal(iicp_relay_bind_read(payload_of(hex, &bind), 0, &b), IICP_CLOSE_NONE);
        assert_int_equal(header.type, IICP_FRAME_RELAY_BIND);
        assert_true(iicp_str_is(b.worker_id, "worker-1") && iicp_str_is(b.intent, "urn:iicp:intent:llm:chat:v1"));
        assert_true(iicp_relay_bind_has(&b.models, "m1") && iicp_relay_bind_has(&b.models, "m2"));
        assert_false(iicp_relay_bind_has(&b.models, "m3") || b.ticket.p);
        iicp_relay_bind_put(&out, &b, models, 2, NULL, 0);
        same_frame(IICP_FRAME_RELAY_BIND, &out, hex);

        hex = vector_str(step(doc, "bind", 3), "hex");
        assert_int_equal(iicp_relay_ack_read(payload_of(hex, &ack), 0, &a), IICP_CLOSE_NONE);
        assert_true(a.ok && iicp_str_is(a.worker_id, "worker-1") && a.http_port == 9484);
        out.n = 0;
        iicp_relay_ack_put(&out, &a);
        same_frame(IICP_FRAME_RELAY_ACK, &out, hex);

        hex = vector_str(step(doc, "call", 0), "hex");
        assert_int_equal(iicp_relay_call_read(payload_of(hex, &call), 0, &c), IICP_CLOSE_NONE);
        assert_true(c.task.p[0] == '{' && c.call_id.n == 36 && !c.session_id.p && !c.task_id.p);
        iicp_relay_call_put(&again, &c);
        same_frame(IICP_FRAME_CALL, &again, hex);

        hex = vector_str(step(doc, "call", 1), "hex");
        assert_int_equal(iicp_relay_response_read(payload_of(hex, &answer), 0, &r), IICP_CLOSE_NONE);
        assert_true(iicp_str_eq(r.call_id, c.call_id) && !r.lifecycle && r.result.p[0] == '{');
        iicp_relay_response_put(&res, r.call_id, r.result);
        same_frame(IICP_FRAME_RESPONSE, &res, hex);
        json_object_put(doc);
}

static void IICPD_03_40_streaming_call_is_told_by_its_keys(void **state) {
        json_object *doc = vector_ours("relay/sdk-exchanges-relay-port.json");
        _cleanup_(iicp_buf_free) struct iicp_buf call = {}, again = {};
        struct iicp_str hex = vector_str(step(doc, "stream_call_to_py_worker", 0), "hex");
        struct iicp_relay_call c;

        (void) state;
        assert_int_equal(iicp_relay_call_read(payload_of(hex, &call), 0, &c), IICP_CLOSE_NONE);
        assert_true(iicp_str_is(c.session_id, "s-3") && iicp_str_is(c.task_id, "t-3"));
        iicp_relay_call_put(&again, &c);
        same_frame(IICP_FRAME_CALL, &again, hex);
        json_object_put(doc);
}

/* Token and trace go beside the task, never into it. */
static void IICPD_03_40_additive_keys(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        struct iicp_relay_call c = {.call_id = IICP_STR("c"), .task = IICP_STR("{}"), .token = IICP_STR("t0ken"),
                                    .trace_id = IICP_STR("0123456789abcdef"), .parent_span = IICP_STR("01234567")},
                               back;

        (void) state;
        iicp_relay_call_put(&out, &c);
        assert_int_equal(iicp_relay_call_read(iicp_buf_str(&out), IICP_FRAME_STRICT, &back), IICP_CLOSE_NONE);
        assert_true(iicp_str_eq(back.token, c.token) && iicp_str_eq(back.trace_id, c.trace_id) &&
                    iicp_str_eq(back.parent_span, c.parent_span) && iicp_str_eq(back.task, c.task));
        c.trace_id.n = 15;
        out.n = 0;
        iicp_relay_call_put(&out, &c);
        assert_int_equal(iicp_relay_call_read(iicp_buf_str(&out), 0, &back), IICP_CLOSE_EXACT_LENGTH);
}

static enum iicp_close bind_of(const char *bytes, size_t n, struct iicp_relay_bind *ret) {
        return iicp_relay_bind_read((struct iicp_str){bytes, n}, 0, ret);
}

static void IICPD_03_41_forms_of_a_bind(void **state) {
        struct iicp_relay_bind b;

        (void) state;
        /* worker_id as bytes, models that are no array, an unknown key, keys not sorted */
        assert_int_equal(bind_of("\xa3\x03\x01\x18\x63\x01\x01\x43w-1", 11, &b), IICP_CLOSE_NONE);
        assert_true(iicp_str_is(b.worker_id, "w-1") && b.models.type == IICP_CBOR_NONE && !b.intent.p);
        assert_int_equal(bind_of("\xa1\x01\x60", 3, &b), IICP_CLOSE_INVALID_PAYLOAD);
        assert_int_equal(bind_of("\xa1\x02\x61x", 4, &b), IICP_CLOSE_INVALID_PAYLOAD);
        assert_int_equal(bind_of("\xa2\x01\x61w\x04\x01", 6, &b), IICP_CLOSE_INVALID_PAYLOAD);
        assert_int_equal(bind_of("\xa1", 1, &b), IICP_CLOSE_CBOR_DECODE_ERROR);
        assert_int_equal(bind_of("\xa1\x01\x61\xff", 4, &b), IICP_CLOSE_EXACT_LENGTH);
}

static void IICPD_03_41_safe_form_of_worker_ids(void **state) {
        char longest[IICP_WORKER_ID_MAX + 1];

        (void) state;
        memset(longest, 'a', sizeof longest);
        assert_true(iicp_worker_id_ok((struct iicp_str){longest, IICP_WORKER_ID_MAX}));
        assert_false(iicp_worker_id_ok((struct iicp_str){longest, IICP_WORKER_ID_MAX + 1}));
        assert_true(iicp_worker_id_ok(IICP_STR("0a.B_c:d-9")));
        for (size_t i = 0; i < 4; i++)
                assert_false(iicp_worker_id_ok((struct iicp_str){&"._:-"[i], 1}));
        assert_false(iicp_worker_id_ok(IICP_STR("")) || iicp_worker_id_ok(IICP_STR("a/b")) ||
                     iicp_worker_id_ok(IICP_STR("a b")) || iicp_worker_id_ok(IICP_STR("a\0b")) ||
                     iicp_worker_id_ok(IICP_STR("w\xc3\xa4")) || iicp_worker_id_ok(IICP_STR("a%2f")));
}

static void IICPD_03_40_acks_of_all_relays(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        struct iicp_relay_ack a;

        (void) state;
        iicp_relay_ack_put(&out, &(struct iicp_relay_ack){.worker_id = IICP_STR("b"), .reason = iicp_str(IICP_RELAY_RATE_LIMITED)});
        same_frame(IICP_FRAME_RELAY_ACK, &out,
                   IICP_STR("49494350010c000000000024a301656572726f720261620377"
                            "72656c61795f62696e645f726174655f6c696d69746564"));
        assert_int_equal(iicp_relay_ack_read(iicp_buf_str(&out), 0, &a), IICP_CLOSE_NONE);
        assert_true(!a.ok && iicp_str_is(a.reason, "relay_bind_rate_limited"));
        /* an old relay names no port, another one nonsense */
        assert_int_equal(iicp_relay_ack_read(IICP_STR("\xa1\x01\x62ok"), 0, &a), IICP_CLOSE_NONE);
        assert_true(a.ok && a.http_port == 9484);
        assert_int_equal(iicp_relay_ack_read(IICP_STR("\xa2\x01\x62ok\x04\x00"), 0, &a), IICP_CLOSE_NONE);
        assert_int_equal(a.http_port, 9484);
        assert_int_equal(iicp_relay_ack_read(IICP_STR("\xa1\x02\x62ok"), 0, &a), IICP_CLOSE_INVALID_PAYLOAD);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_40_what_shipped_peers_said),
                cmocka_unit_test(IICPD_03_40_streaming_call_is_told_by_its_keys),
                cmocka_unit_test(IICPD_03_40_additive_keys),
                cmocka_unit_test(IICPD_03_41_forms_of_a_bind),
                cmocka_unit_test(IICPD_03_41_safe_form_of_worker_ids),
                cmocka_unit_test(IICPD_03_40_acks_of_all_relays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
