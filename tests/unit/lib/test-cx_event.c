/* SPDX-License-Identifier: Apache-2.0 */
#include "cx-internal.h"
#include "vectors.h"

#include <errno.h>
#include <iicp/codec.h>
#include <string.h>

static void unhex(struct iicp_str hex, uint8_t *out, size_t n) {
        size_t got = 0;

        assert_int_equal(iicp_hex_decode(hex, out, n, &got), 0);
        assert_int_equal(got, n);
}

static struct iicp_cx_session session_of(struct json_object *stream) {
        struct iicp_cx_session s = {.valid = true};

        unhex(vector_str(stream, "shared_secret_hex"), s.shared, sizeof(s.shared));
        return s;
}

static struct iicp_json scan(struct iicp_str text) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(text, NULL, NULL, &v), 0);
        return v;
}

static enum iicp_cx_event_kind kind_of(struct json_object *event) {
        struct iicp_str name = vector_str(event, "event");

        if (iicp_str_is(name, "partial"))
                return IICP_CX_EVENT_PARTIAL;
        return iicp_str_is(name, "completed") ? IICP_CX_EVENT_COMPLETED : IICP_CX_EVENT_FAILED;
}

/* Gives one event of a vector to the guard. */
static int give(struct iicp_cx_events *events, const struct iicp_cx_session *s, struct json_object *stream,
                struct json_object *event, struct iicp_buf *ret_plain) {
        struct json_object *conf = vector_find(event, "iicp_conf_resp");
        uint64_t sequence = json_object_get_uint64(vector_get(event, "sequence"));
        struct iicp_json v = {0};

        if (conf)
                v = scan(vector_text(conf));
        return iicp_cx_open_event(events, s, vector_str(stream, "task_id"), sequence, kind_of(event), &v, ret_plain);
}

static void IICPD_05_11_IICPD_02_80_events_are_sealed_as_the_known_answer(void **state) {
        struct json_object *doc = vector_ours("security/cx-response-v1.json");
        struct json_object *stream = vector_get(doc, "event_stream");
        struct iicp_cx_session s = session_of(stream);

        (void) state;
        vector_each(vector_get(stream, "events"), event) {
                struct json_object *conf = vector_get(event, "iicp_conf_resp");
                uint8_t plain[1024], nonce[IICP_CX_NONCE];
                static const char marker[] = ",\"end\":";
                struct iicp_buf out = {0};
                struct iicp_str members;
                struct iicp_json got;
                const char *end;
                size_t n = 0;

                unhex(vector_str(event, "nonce_hex"), nonce, sizeof(nonce));
                assert_int_equal(iicp_hex_decode(vector_str(event, "plaintext_hex"), plain, sizeof(plain), &n), 0);
                /* the vector's plaintext has the marker last, as we write it */
                end = memmem(plain, n, marker, sizeof(marker) - 1);
                assert_non_null(end);
                members = (struct iicp_str){(char *) plain + 1, (size_t) (end - (char *) plain) - 1};
                assert_int_equal(cx_seal_event_with(&s, vector_str(stream, "task_id"),
                                                    json_object_get_uint64(vector_get(event, "sequence")), members,
                                                    kind_of(event) == IICP_CX_EVENT_COMPLETED, nonce, &out),
                                 0);
                got = scan(iicp_buf_str(&out));
                got = iicp_json_get(&got, "encrypted_body");
                assert_true(iicp_str_eq(got.text, vector_str(conf, "encrypted_body")));
                iicp_buf_free(&out);
        }
        json_object_put(doc);
}

static void IICPD_05_11_a_whole_stream_opens_in_its_order(void **state) {
        struct json_object *doc = vector_ours("security/cx-response-v1.json");
        struct json_object *stream = vector_get(doc, "event_stream");
        struct iicp_cx_session s = session_of(stream);
        struct iicp_cx_events events = {.next = 2};
        struct iicp_buf plain = {.secret = true};

        (void) state;
        vector_each(vector_get(stream, "events"), event) {
                uint8_t wanted[1024];
                size_t n = 0;

                assert_int_equal(give(&events, &s, stream, event, &plain), 0);
                assert_int_equal(iicp_hex_decode(vector_str(event, "plaintext_hex"), wanted, sizeof(wanted), &n), 0);
                assert_int_equal(plain.n, n);
                assert_memory_equal(plain.p, wanted, n);
                iicp_buf_wipe(&plain);
        }
        assert_true(events.ended);
        /* nothing comes after the end */
        assert_int_equal(iicp_cx_open_event(&events, &s, vector_str(stream, "task_id"), 5, IICP_CX_EVENT_PARTIAL,
                                            NULL, &plain),
                         -EBADMSG);
        json_object_put(doc);
}

static void IICPD_05_11_streams_that_were_tampered_with_are_refused(void **state) {
        struct json_object *doc = vector_ours("security/cx-response-v1.json");
        struct json_object *stream = vector_get(doc, "event_stream");
        struct json_object *cases = vector_get(stream, "reject");
        struct iicp_cx_session s = session_of(stream);

        (void) state;
        assert_true(json_object_array_length(cases) >= 6);
        vector_each(cases, c) {
                struct iicp_cx_events events = {
                        .next = json_object_get_uint64(vector_get(c, "first_sequence"))};
                bool refused = false;

                vector_each(vector_get(c, "events"), event) {
                        struct iicp_buf plain = {.secret = true};

                        if (!refused && give(&events, &s, stream, event, &plain) < 0) {
                                refused = true;
                                assert_int_equal(plain.n, 0);
                        }
                        iicp_buf_wipe(&plain);
                }
                if (!refused)
                        fail_msg("accepted: %s", vector_str(c, "why").p);
        }
        json_object_put(doc);
}

static void IICPD_02_80_every_event_has_its_own_nonce_and_marker(void **state) {
        struct iicp_cx_session s = {.valid = true, .shared = {1}};
        struct iicp_cx_events events = {0};
        struct iicp_buf out[2] = {0}, plain = {.secret = true};
        struct iicp_json nonce[2], v;

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(iicp_cx_seal_event(&s, IICP_STR("t"), i, IICP_STR(""), i == 1, &out[i]), 0);
                v = scan(iicp_buf_str(&out[i]));
                nonce[i] = iicp_json_get(&v, "nonce");
        }
        assert_false(iicp_str_eq(nonce[0].text, nonce[1].text));
        v = scan(iicp_buf_str(&out[0]));
        assert_int_equal(iicp_cx_open_event(&events, &s, IICP_STR("t"), 0, IICP_CX_EVENT_PARTIAL, &v, &plain), 0);
        assert_string_equal(plain.p, "{\"end\":false}");
        iicp_buf_wipe(&plain);
        v = scan(iicp_buf_str(&out[1]));
        assert_int_equal(iicp_cx_open_event(&events, &s, IICP_STR("t"), 1, IICP_CX_EVENT_COMPLETED, &v, &plain), 0);
        assert_string_equal(plain.p, "{\"end\":true}");
        iicp_buf_wipe(&plain);
        iicp_buf_free(&out[0]);
        iicp_buf_free(&out[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_11_IICPD_02_80_events_are_sealed_as_the_known_answer),
                cmocka_unit_test(IICPD_05_11_a_whole_stream_opens_in_its_order),
                cmocka_unit_test(IICPD_05_11_streams_that_were_tampered_with_are_refused),
                cmocka_unit_test(IICPD_02_80_every_event_has_its_own_nonce_and_marker),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
