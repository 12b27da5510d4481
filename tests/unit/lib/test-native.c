/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/native.h>
#include <stdio.h>

struct seen {
        unsigned n;
        bool failed;
        char json[256], text[64];
};

static void on_response(void *arg, const struct iicp_msg_response *m, struct iicp_str json, struct iicp_str text) {
        struct seen *s = arg;

        s->n++;
        s->failed = iicp_msg_response_failed(m);
        snprintf(s->json, sizeof(s->json), "%.*s", (int) json.n, json.n ? json.p : "");
        snprintf(s->text, sizeof(s->text), "%.*s", (int) text.n, text.n ? text.p : "");
}

static void feed_hex(struct iicp_native *c, const char *hex) {
        struct iicp_str wire = vector_hex_of(iicp_str(hex));

        iicp_native_input(c, wire);
        free((char *) wire.p);
}

static void drop_output(struct iicp_native *c) {
        iicp_native_sent(c, iicp_native_output(c).n);
}

#define ACK "49494350010200000000000ba2010102666e6f64652d61"

static struct iicp_native *calling(struct seen *s, const struct iicp_msg_call *m) {
        struct iicp_native *c = iicp_native_new(on_response, s);

        assert_non_null(c);
        drop_output(c);
        feed_hex(c, ACK);
        assert_int_equal(iicp_native_state(c), IICP_NATIVE_READY);
        assert_int_equal(iicp_native_call(c, m, IICP_STR("{}")), 0);
        assert_false(iicp_native_call_sent(c));
        drop_output(c);
        assert_true(iicp_native_call_sent(c));
        return c;
}

static const struct iicp_msg_call plain = {
        .session_id = {"call-1", 6}, .intent = {"urn:iicp:intent:llm:chat:v1", 27}};

/* What a tester that plays the server sends, and what our client says to it. */
static void IICPD_03_30_client_cases_of_malformed_frames(void **state) {
        struct json_object *all = vector_ours("framing/frames-malformed.json");
        unsigned n = 0;

        (void) state;
        vector_each(vector_get(all, "cases"), k) {
                struct json_object *expect = vector_get(k, "expect");
                struct iicp_str reply;
                struct seen s = {};
                struct iicp_native *c;

                if (!iicp_str_is(vector_str(k, "role_under_test"), "client"))
                        continue;
                n++;
                reply = vector_hex(expect, "reply_hex");
                if (json_object_get_boolean(vector_get(k, "handshake_first")))
                        c = calling(&s, &plain);
                else {
                        c = iicp_native_new(on_response, &s);
                        drop_output(c);
                }
                vector_each(vector_get(k, "send_hex"), h)
                        feed_hex(c, json_object_get_string(h));
                if (!iicp_str_eq(iicp_native_output(c), reply))
                        fail_msg("%s", vector_str(k, "id").p);
                assert_int_equal(iicp_native_state(c), IICP_NATIVE_BROKEN);
                assert_string_equal(iicp_native_why(c), vector_str(expect, "close_key1").p);
                assert_int_equal(s.n, 0);
                iicp_native_free(c);
                free((char *) reply.p);
        }
        assert_int_equal(n, 3);
        json_object_put(all);
}

static void IICPD_03_30_offers_version_1_and_takes_no_other(void **state) {
        struct json_object *all = vector_ours("framing/frames-valid.json");
        struct seen s = {};
        struct iicp_native *c = iicp_native_new(on_response, &s);

        (void) state;
        vector_each(vector_get(all, "frames"), f)
                if (iicp_str_is(vector_str(f, "id"), "VAL-INIT-02")) {
                        struct iicp_str init = vector_hex(f, "hex");

                        assert_true(iicp_str_eq(iicp_native_output(c), init));
                        free((char *) init.p);
                }
        drop_output(c);
        assert_int_equal(iicp_native_call(c, &plain, IICP_STR("{}")), 0);
        assert_int_equal(iicp_native_output(c).n, 0); /* waits for the ACK */
        feed_hex(c, "494943500102000000000003a10100");
        assert_string_equal(iicp_native_why(c), "version_mismatch");
        assert_false(iicp_native_call_sent(c)); /* HTTP may be tried */
        iicp_native_free(c);
        json_object_put(all);
}

static void IICPD_03_25_every_form_of_a_response(void **state) {
        static const struct {
                const char *hex, *json, *text;
                bool failed;
        } cases[] = {
                {"a2026663616c6c2d31055821a2657573616765a16c746f74616c5f746f6b656e730367636f6e74656e74626869",
                 "{\"usage\":{\"total_tokens\":3},\"content\":\"hi\"}", "", false},
                {"a2026663616c6c2d3105a1616101", "{\"a\":1}", "", false},
                {"a2026663616c6c2d3105477b2261223a317d", "{\"a\":1}", "", false},
                {"a2026663616c6c2d310563616263", "", "abc", false},
                {"a3026663616c6c2d3118641901f618656c6261636b656e6420646f776e", "", "", true},
                {"a2026663616c6c2d3104656572726f72", "", "", true},
                {"a2026663616c6c2d31046774696d656f7574", "", "", true},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(iicp_buf_free) struct iicp_buf wire = {};
                struct iicp_str payload = vector_hex_of(iicp_str(cases[i].hex));
                struct seen s = {};
                struct iicp_native *c = calling(&s, &plain);

                iicp_frame_put(&wire, IICP_FRAME_RESPONSE, 0, payload);
                assert_int_equal(iicp_native_input(c, iicp_buf_str(&wire)), 0);
                assert_int_equal(s.n, 1);
                assert_string_equal(s.json, cases[i].json);
                assert_string_equal(s.text, cases[i].text);
                assert_int_equal(s.failed, cases[i].failed);
                assert_int_equal(iicp_native_state(c), IICP_NATIVE_READY);
                iicp_native_free(c);
                free((char *) payload.p);
        }
}

static void IICPD_03_35_sequences_at_the_client(void **state) {
        struct json_object *all = vector_ours("framing/lifecycle-sequences.json");
        const struct iicp_msg_call m = {.session_id = IICP_STR("s-1"), .intent = IICP_STR("urn:iicp:intent:llm:chat:v1"),
                                        .call_id = IICP_STR("c-1"), .task_id = IICP_STR("t-1")};

        (void) state;
        vector_each(vector_get(all, "cases"), k) {
                struct iicp_str expect = vector_str(k, "expect");
                struct seen s = {};
                struct iicp_native *c = calling(&s, &m);

                vector_each(vector_get(k, "frames_hex"), f)
                        feed_hex(c, json_object_get_string(f));
                iicp_native_end_of_input(c);
                if (!iicp_str_is(expect, iicp_native_state(c) == IICP_NATIVE_CLOSED ? "complete" : iicp_native_why(c)))
                        fail_msg("%s: %s", vector_str(k, "id").p, iicp_native_why(c));
                iicp_native_free(c);
        }
        json_object_put(all);
}

static void IICPD_03_15_fragments_only_for_who_declared_a_size(void **state) {
        static char large[200000];
        struct seen s = {};

        (void) state;
        for (unsigned declares = 0; declares < 2; declares++) {
                struct iicp_native *c = iicp_native_new(on_response, &s);
                struct iicp_str out;

                drop_output(c);
                feed_hex(c, declares ? "494943500102000000000013a4010102666e6f64652d610380051a01000000" : ACK);
                assert_int_equal(iicp_native_call(c, &plain, (struct iicp_str){large, sizeof(large)}), 0);
                out = iicp_native_output(c);
                assert_int_equal(out.p[6], declares ? IICP_FRAME_FRAGMENTED : 0);
                iicp_native_free(c);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_30_client_cases_of_malformed_frames),
                cmocka_unit_test(IICPD_03_30_offers_version_1_and_takes_no_other),
                cmocka_unit_test(IICPD_03_25_every_form_of_a_response),
                cmocka_unit_test(IICPD_03_35_sequences_at_the_client),
                cmocka_unit_test(IICPD_03_15_fragments_only_for_who_declared_a_size),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
