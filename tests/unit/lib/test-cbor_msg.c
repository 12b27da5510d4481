/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <iicp/cbor_msg.h>

static struct iicp_str payload_of(struct iicp_str wire) {
        return (struct iicp_str){wire.p + IICP_FRAME_HEADER, wire.n - IICP_FRAME_HEADER};
}

/* ---- handshake ---- */

static void IICPD_03_29_version_negotiation(void **state) {
        struct json_object *all = vector_ours("framing/version-negotiation.json");

        (void) state;
        vector_each(vector_get(all, "cases"), c) {
                _cleanup_(iicp_buf_free) struct iicp_buf answer = {}, wire = {};
                struct iicp_str in = vector_hex(c, "init_hex"), reply = vector_hex(c, "reply_hex");
                struct iicp_msg_init init;
                enum iicp_close why = iicp_msg_init_read(payload_of(in), 0, &init);
                uint8_t type = IICP_FRAME_ACK;

                if (why == IICP_CLOSE_NONE)
                        why = iicp_msg_negotiate(&init);
                if (why == IICP_CLOSE_NONE) {
                        struct iicp_msg_ack ack = {1, IICP_STR("node-a"), init.gzip, true, IICP_FRAME_LENGTH_MAX};

                        iicp_msg_ack_put(&answer, &ack);
                } else {
                        iicp_msg_close_put(&answer, why);
                        type = IICP_FRAME_CLOSE;
                }
                iicp_frame_put(&wire, type, 0, iicp_buf_str(&answer));
                if (!iicp_str_eq(iicp_buf_str(&wire), reply))
                        fail_msg("%s", vector_str(c, "id").p);
                free((char *) in.p);
                free((char *) reply.p);
        }
        json_object_put(all);
}

static struct iicp_str valid(struct json_object *all, const char *id) {
        vector_each(vector_get(all, "frames"), f)
                if (iicp_str_is(vector_str(f, "id"), id))
                        return vector_hex(f, "payload_hex");
        fail_msg("no frame %s", id);
        return IICP_STR_NONE;
}

static void IICPD_03_29_empty_init_is_refused_in_strict(void **state) {
        struct iicp_msg_init init;

        (void) state;
        assert_int_equal(iicp_msg_init_read(IICP_STR(""), 0, &init), IICP_CLOSE_NONE);
        assert_int_equal(init.version, 1);
        assert_int_not_equal(iicp_msg_init_read(IICP_STR(""), IICP_FRAME_STRICT, &init), IICP_CLOSE_NONE);
}

/* What we send as a client and read as a server, and the other way round. */
static void IICPD_03_15_init_and_ack_mark_a_peer_for_fragments(void **state) {
        struct json_object *all = vector_ours("framing/frames-valid.json");
        struct iicp_str ours = valid(all, "VAL-INIT-02"), shipped = valid(all, "VAL-INIT-01"),
                        ack = valid(all, "VAL-ACK-04"), shipped_ack = valid(all, "VAL-ACK-02");
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};
        struct iicp_msg_init init;
        struct iicp_msg_ack a;

        (void) state;
        assert_int_equal(iicp_msg_init_read(ours, IICP_FRAME_STRICT, &init), IICP_CLOSE_NONE);
        assert_true(init.has_max_frame);
        assert_int_equal(init.max_frame, 16777216);
        assert_true(init.gzip);
        iicp_msg_init_put(&out, &init);
        assert_true(iicp_str_eq(iicp_buf_str(&out), ours));
        assert_int_equal(iicp_msg_init_read(shipped, 0, &init), IICP_CLOSE_NONE);
        assert_false(init.has_max_frame);
        assert_false(init.gzip);
        assert_int_equal(init.min_version, 1);
        assert_int_equal(iicp_msg_ack_read(ack, 0, &a), IICP_CLOSE_NONE);
        assert_true(a.gzip && a.has_max_frame);
        assert_int_equal(iicp_msg_ack_read(shipped_ack, 0, &a), IICP_CLOSE_NONE);
        assert_false(a.gzip || a.has_max_frame || a.node_id.p);
        free((char *) ours.p);
        free((char *) shipped.p);
        free((char *) ack.p);
        free((char *) shipped_ack.p);
        json_object_put(all);
}

/* ---- CALL ---- */

static void IICPD_03_19_keys_of_a_call(void **state) {
        struct json_object *all = vector_ours("framing/frames-valid.json");
        struct iicp_str in = valid(all, "VAL-CALL-04"), shipped = valid(all, "VAL-CALL-06");
        struct iicp_msg_call m;

        (void) state;
        assert_int_equal(iicp_msg_call_read(in, IICP_FRAME_STRICT, &m), IICP_CLOSE_NONE);
        assert_true(iicp_str_is(m.session_id, "11111111-2222-4333-8444-555555555555"));
        assert_true(iicp_str_is(m.intent, "urn:iicp:intent:llm:chat:v1"));
        assert_true(iicp_str_is(m.provider_id, "node-a"));
        assert_int_equal(m.timeout_s, 30);
        assert_int_equal(m.priority, 1);
        assert_int_equal(m.auth_token.n, 40);
        assert_int_equal(m.trace_id.n, 16);
        assert_int_equal(m.parent_span.n, 8);
        assert_true(iicp_str_is(m.idempotency_key, "idem-1"));
        assert_int_equal(m.max_tokens, 256);
        assert_true(iicp_str_is(m.qos, "interactive"));
        assert_true(iicp_str_is(m.task_id, "9b2e0a50-3c1d-4f6e-8a77-0123456789ab"));
        assert_int_equal(m.capabilities.number, 1);
        assert_int_equal(m.payload.type, IICP_CBOR_BSTR);
        /* the order of one shipped SDK */
        assert_int_equal(iicp_msg_call_read(shipped, 0, &m), IICP_CLOSE_NONE);
        assert_true(iicp_str_is(m.task_id, "task-1"));
        assert_int_equal(iicp_msg_call_read(shipped, IICP_FRAME_STRICT, &m), IICP_CLOSE_INVALID_PAYLOAD);
        free((char *) in.p);
        free((char *) shipped.p);
        json_object_put(all);
}

static void IICPD_03_19_bounds_of_a_call(void **state) {
        static const struct {
                const char *hex;       /* keys 3 and 5 follow those of the case */
                enum iicp_close expected;
                bool session_alone;
        } cases[] = {
                {"026173", IICP_CLOSE_NONE, true},
                {"0260", IICP_CLOSE_INVALID_PAYLOAD, true},            /* an empty session */
                {"0207", IICP_CLOSE_INVALID_PAYLOAD, true},
                {"0261730601", IICP_CLOSE_NONE, false},
                {"0261730600", IICP_CLOSE_INVALID_PAYLOAD, false},
                {"02617306190e10", IICP_CLOSE_NONE, false},                   /* 3600 s */
                {"02617306190e11", IICP_CLOSE_INVALID_PAYLOAD, false},
                {"0261730703", IICP_CLOSE_NONE, false},
                {"0261730704", IICP_CLOSE_INVALID_PAYLOAD, false},
                {"0261730d50000102030405060708090a0b0c0d0e0f", IICP_CLOSE_NONE, false},
                {"0261730d4100", IICP_CLOSE_EXACT_LENGTH, false},
                {"0261730e4100", IICP_CLOSE_EXACT_LENGTH, false},
                {"0261730f60", IICP_CLOSE_INVALID_PAYLOAD, false},
                {"026173181801", IICP_CLOSE_INVALID_PAYLOAD, false},       /* a task id that is a number */
                {"02617315816161", IICP_CLOSE_NONE, false},
                {"026173158101", IICP_CLOSE_INVALID_PAYLOAD, false},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(iicp_buf_free) struct iicp_buf b = {};
                struct iicp_str head = vector_hex_of(iicp_str(cases[i].hex));
                struct iicp_msg_call m;

                iicp_cbor_put_map(&b, cases[i].session_alone ? 3 : 4);
                iicp_buf_add(&b, head.p, head.n);
                iicp_cbor_put_uint(&b, 3);
                iicp_cbor_put_tstr(&b, IICP_STR("urn:iicp:intent:llm:chat:v1"));
                iicp_cbor_put_uint(&b, 5);
                iicp_cbor_put_bstr(&b, IICP_STR("{}"));
                if (iicp_msg_call_read(iicp_buf_str(&b), 0, &m) != cases[i].expected)
                        fail_msg("%s: %s", cases[i].hex, iicp_close_reason(iicp_msg_call_read(iicp_buf_str(&b), 0, &m)));
                free((char *) head.p);
        }
}

/* ---- RESPONSE ---- */

static void IICPD_03_24_both_key_sets(void **state) {
        struct json_object *all = vector_ours("framing/frames-valid.json");
        struct iicp_str success = valid(all, "VAL-RESP-03"), error = valid(all, "VAL-RESP-04"),
                        timeout = valid(all, "VAL-RESP-05"), partial = valid(all, "VAL-RESP-06"),
                        terminal = valid(all, "VAL-RESP-07");
        const struct {
                struct iicp_str wire;
                enum iicp_result_form form;
        } cases[] = {{success, IICP_RESULT_BSTR}, {error, IICP_RESULT_NONE}, {timeout, IICP_RESULT_NONE},
                     {partial, IICP_RESULT_TSTR}, {terminal, IICP_RESULT_TSTR}};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(iicp_buf_free) struct iicp_buf out = {};
                struct iicp_msg_response m;

                assert_int_equal(iicp_msg_response_read(cases[i].wire, IICP_FRAME_STRICT, &m), IICP_CLOSE_NONE);
                assert_int_equal(iicp_msg_response_failed(&m), i == 1 || i == 2);
                assert_int_equal(m.lifecycle.present, i > 2);
                iicp_msg_response_put(&out, &m, cases[i].form, m.result.text);
                assert_true(iicp_str_eq(iicp_buf_str(&out), cases[i].wire));
                free((char *) cases[i].wire.p);
        }
        json_object_put(all);
}

static void IICPD_03_37_recorded_exchanges_are_read(void **state) {
        struct json_object *all = vector_ours("framing/sdk-exchanges-task-port.json");
        unsigned seen = 0;

        (void) state;
        vector_each(vector_get(all, "exchanges"), e) {
                vector_each(vector_get(e, "steps"), s) {
                        struct json_object *hex = vector_find(s, "hex");
                        struct iicp_str wire, payload;
                        struct iicp_frame_header h;
                        enum iicp_close c = IICP_CLOSE_NONE;
                        union {
                                struct iicp_msg_init init;
                                struct iicp_msg_ack ack;
                                struct iicp_msg_call call;
                                struct iicp_msg_response response;
                                struct iicp_msg_discover discover;
                                struct iicp_msg_close close;
                                struct iicp_str echo;
                        } m;
                        size_t used;

                        if (!hex)
                                continue;
                        wire = vector_hex(s, "hex");
                        assert_int_equal(iicp_frame_decode(wire, &h, &payload, &used), 0);
                        assert_int_equal(iicp_frame_header_check(&h, 0, 0), IICP_CLOSE_NONE);
                        switch (h.type) {
                        case IICP_FRAME_INIT:
                                c = iicp_msg_init_read(payload, 0, &m.init);
                                break;
                        case IICP_FRAME_ACK:
                                c = iicp_msg_ack_read(payload, 0, &m.ack);
                                break;
                        case IICP_FRAME_CALL:
                                c = iicp_msg_call_read(payload, 0, &m.call);
                                break;
                        case IICP_FRAME_RESPONSE:
                                c = iicp_msg_response_read(payload, 0, &m.response);
                                break;
                        case IICP_FRAME_DISCOVER:
                                c = iicp_msg_discover_read(payload, 0, &m.discover);
                                break;
                        case IICP_FRAME_CLOSE:
                                c = iicp_msg_close_read(payload, 0, &m.close);
                                break;
                        default:
                                c = iicp_msg_ping_read(payload, 0, &m.echo);
                        }
                        if (c != IICP_CLOSE_NONE)
                                fail_msg("%s: %s", vector_str(e, "name").p, iicp_close_reason(c));
                        seen++;
                        free((char *) wire.p);
                }
        }
        assert_true(seen > 20);
        json_object_put(all);
}

/* ---- the order of a lifecycle ---- */

/* The sequences themselves: test-native.c through the client, test-lifecycle.c through the receiver. */
static void IICPD_03_35_a_response_as_the_receiver_sees_it(void **state) {
        static const struct {
                bool has_status, has_final, is_final, lifecycle_has_final, lifecycle_is_final;
                enum iicp_lifecycle_verdict expect;
        } cases[] = {
                {true, true, true, true, true, IICP_LIFECYCLE_OK},
                {false, true, true, true, true, IICP_LIFECYCLE_STATUS_EVENT},
                {true, true, false, true, true, IICP_LIFECYCLE_FINALITY},
                {true, false, false, true, true, IICP_LIFECYCLE_FINALITY},
                {true, true, false, false, false, IICP_LIFECYCLE_FINALITY}, /* said by one only */
                {true, false, false, false, false, IICP_LIFECYCLE_TERMINAL_FLAG},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct iicp_msg_response m = {
                        .session_id = IICP_STR("s-1"), .call_id = IICP_STR("c-1"), .has_status = cases[i].has_status,
                        .status = IICP_NATIVE_SUCCESS, .has_final = cases[i].has_final, .is_final = cases[i].is_final,
                        .lifecycle = {.present = true, .has_sequence = true, .has_final = cases[i].lifecycle_has_final,
                                      .is_final = cases[i].lifecycle_is_final, .task_id = IICP_STR("t-1"),
                                      .event = IICP_STR("completed"), .sequence = 3}};
                struct iicp_lifecycle_receiver r = {.session_id = m.session_id, .call_id = m.call_id,
                                                    .task_id = m.lifecycle.task_id, .next = 3};
                struct iicp_lifecycle_message step;

                iicp_msg_response_lifecycle(&m, &step);
                assert_int_equal(iicp_lifecycle_receive(&r, &step), cases[i].expect);
                m.lifecycle.has_sequence = false;
                r.terminal = false;
                iicp_msg_response_lifecycle(&m, &step);
                assert_int_equal(iicp_lifecycle_receive(&r, &step), IICP_LIFECYCLE_MISSING);
        }
}

/* ---- the others ---- */

static void IICPD_03_28_schemas_of_the_small_messages(void **state) {
        struct json_object *all = vector_ours("framing/frames-valid.json");
        static const struct {
                const char *id;
                enum iicp_close (*read)(struct iicp_str, unsigned);
        } cases[] = {{"VAL-FEED-01", iicp_msg_feedback_read}, {"VAL-CTRL-01", iicp_msg_control_read},
                     {"VAL-OBS-01", iicp_msg_observe_read}, {"VAL-TEL-01", iicp_msg_telemetry_read}};
        struct iicp_msg_discover d;
        struct iicp_str in, urn;

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                in = valid(all, cases[i].id);
                assert_int_equal(cases[i].read(in, IICP_FRAME_STRICT), IICP_CLOSE_NONE);
                assert_int_equal(cases[i].read(IICP_STR("\xa0"), 0), IICP_CLOSE_INVALID_PAYLOAD);
                free((char *) in.p);
        }
        in = valid(all, "VAL-DISC-01");
        assert_int_equal(iicp_msg_discover_read(in, 0, &d), IICP_CLOSE_NONE);
        assert_true(iicp_str_is(d.session_id, "discover-1"));
        free((char *) in.p);
        in = valid(all, "VAL-DISC-02");
        assert_int_equal(iicp_msg_discover_read(in, 0, &d), IICP_CLOSE_NONE);
        assert_true(iicp_str_is(d.intent, "urn:iicp:intent:llm:chat:v1"));
        assert_true(iicp_str_is(d.region, "eu-central"));
        free((char *) in.p);
        assert_int_equal(iicp_msg_discover_read(IICP_STR("\xa1\x03\x61x"), 0, &d), IICP_CLOSE_INVALID_PAYLOAD);
        in = valid(all, "VAL-SUB-01");
        assert_int_equal(iicp_msg_sub_protocol_read(in, 0, &urn), IICP_CLOSE_NONE);
        assert_true(iicp_str_is(urn, "urn:iicp:sp:cip:v1"));
        free((char *) in.p);
        json_object_put(all);
}

static void IICPD_03_12_a_relay_bind_is_no_control(void **state) {
        struct json_object *all = vector_ours("framing/frames-valid.json");
        struct iicp_str bind = valid(all, "VAL-RBIND-01");

        (void) state;
        assert_int_equal(iicp_msg_control_read(bind, 0), IICP_CLOSE_PROTOCOL_ERROR);
        free((char *) bind.p);
        json_object_put(all);
}

static void IICPD_03_10_echo_of_a_ping(void **state) {
        struct iicp_str echo;

        (void) state;
        for (size_t n = IICP_PING_ECHO_MAX - 1; n <= IICP_PING_ECHO_MAX + 1; n++) {
                _cleanup_(iicp_buf_free) struct iicp_buf b = {};

                iicp_cbor_put_map(&b, 1);
                iicp_cbor_put_uint(&b, 1);
                iicp_cbor_put_bstr(&b, (struct iicp_str){(char[IICP_PING_ECHO_MAX + 1]){0}, n});
                assert_int_equal(iicp_msg_ping_read(iicp_buf_str(&b), 0, &echo),
                                 n <= IICP_PING_ECHO_MAX ? IICP_CLOSE_NONE : IICP_CLOSE_INVALID_PAYLOAD);
        }
        assert_int_equal(iicp_msg_ping_read(IICP_STR("\xa1\x01\x61x"), 0, &echo), IICP_CLOSE_INVALID_PAYLOAD);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_29_version_negotiation),
                cmocka_unit_test(IICPD_03_29_empty_init_is_refused_in_strict),
                cmocka_unit_test(IICPD_03_15_init_and_ack_mark_a_peer_for_fragments),
                cmocka_unit_test(IICPD_03_19_keys_of_a_call),
                cmocka_unit_test(IICPD_03_19_bounds_of_a_call),
                cmocka_unit_test(IICPD_03_24_both_key_sets),
                cmocka_unit_test(IICPD_03_37_recorded_exchanges_are_read),
                cmocka_unit_test(IICPD_03_35_a_response_as_the_receiver_sees_it),
                cmocka_unit_test(IICPD_03_28_schemas_of_the_small_messages),
                cmocka_unit_test(IICPD_03_12_a_relay_bind_is_no_control),
                cmocka_unit_test(IICPD_03_10_echo_of_a_ping),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
