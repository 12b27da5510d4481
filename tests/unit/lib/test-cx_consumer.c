/* SPDX-License-Identifier: Apache-2.0 */
#include "cx-internal.h"
#include "vectors.h"

#include <errno.h>
#include <iicp/codec.h>
#include <stdio.h>

#define NOW 1790000000

static struct iicp_json scan(struct iicp_str text) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(text, NULL, NULL, &v), 0);
        return v;
}

static void load_session(struct json_object *c, struct iicp_cx_session *ret) {
        size_t n = 0;

        *ret = (struct iicp_cx_session){.valid = true};
        assert_int_equal(iicp_hex_decode(vector_str(c, "shared_secret_hex"), ret->shared, sizeof(ret->shared), &n), 0);
        assert_int_equal(n, sizeof(ret->shared));
}

static void CX_02_answers_of_the_vectors_open(void **state) {
        struct json_object *doc = vector_ours("security/cx-response-v1.json");
        struct json_object *list = vector_get(doc, "valid");

        (void) state;
        assert_true(json_object_array_length(list) > 0);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                struct json_object *body = vector_get(c, "http_response_body");
                struct iicp_json conf = scan(vector_text(vector_get(body, "iicp_conf_resp")));
                struct iicp_buf plain = {0};
                struct iicp_cx_session s;
                char hex[8192];

                load_session(c, &s);
                assert_int_equal(iicp_cx_open_response(&s, vector_str(c, "task_id"), &conf, &plain), 0);
                assert_true(plain.n * 2 < sizeof(hex));
                iicp_hex(plain.p, plain.n, hex);
                assert_string_equal(hex, vector_str(c, "plaintext_hex").p);
                iicp_buf_wipe(&plain);
        }
        json_object_put(doc);
}

static void CX_05_refused_answers(void **state) {
        struct json_object *doc = vector_ours("security/cx-response-v1.json");
        struct json_object *list = vector_get(doc, "reject");

        (void) state;
        assert_true(json_object_array_length(list) > 0);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                struct iicp_json conf = scan(vector_text(vector_get(c, "iicp_conf_resp")));
                struct iicp_buf plain = {0};
                struct iicp_cx_session s;

                load_session(c, &s);
                if (iicp_cx_open_response(&s, vector_str(c, "task_id"), &conf, &plain) != -EBADMSG)
                        fail_msg("%s opens", vector_str(c, "name").p);
                assert_int_equal(plain.n, 0);
                iicp_buf_free(&plain);
        }
        json_object_put(doc);
}

static void CX_02_answers_as_the_consumer_judges_them(void **state) {
        struct json_object *doc = vector_ours("consumer/cx.json");
        struct json_object *list = vector_get(doc, "response_cases");
        struct iicp_cx_session s;

        (void) state;
        load_session(doc, &s);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                struct iicp_json conf = scan(vector_text(vector_get(c, "envelope")));
                int wanted = strcmp(vector_str(c, "expect").p, "ok") == 0 ? 0 : -EBADMSG;
                struct iicp_buf plain = {0};

                if (iicp_cx_open_response(&s, vector_str(c, "task_id"), &conf, &plain) != wanted)
                        fail_msg("%s", vector_str(c, "name").p);
                iicp_buf_wipe(&plain);
        }
        json_object_put(doc);
}

static void IICPD_05_13_usable_keys(void **state) {
        struct json_object *doc = vector_ours("consumer/cx.json");
        struct json_object *list = vector_get(doc, "key_cases");

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                struct iicp_json key = scan(vector_text(vector_get(c, "cx_public_key")));
                int wanted = json_object_get_boolean(vector_get(c, "usable")) ? 0 : -EINVAL;
                struct iicp_cx_peer_key peer;

                if (iicp_cx_peer_key_parse(&key, NOW, &peer) != wanted)
                        fail_msg("%s", vector_text(c).p);
        }
        json_object_put(doc);
}

/* not_after is RFC 3339; what is not counts as expired, offsets are counted. */
static void IICPD_05_13_end_of_a_key(void **state) {
        static const struct {
                const char *not_after;
                bool usable;
        } cases[] = {
                {"null", true},
                {"\"2026-09-21T14:13:20Z\"", false}, /* this second */
                {"\"2026-09-21T14:13:21Z\"", true},
                {"\"2026-09-21T14:13:20.9Z\"", false},
                {"\"2026-09-21T15:13:21+01:00\"", true},
                {"\"2026-09-21T15:13:20+01:00\"", false},
                {"\"2026-09-21T13:13:21-01:00\"", true},
                {"\"2099-01-01T00:00:00\"", false},
                {"\"2099-01-01T00:00:00.Z\"", false},
                {"\"2099-01-01T00:00:00+xx:yy\"", false},
                {"\"soon\"", false},
                {"4102444800", false},
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct iicp_cx_peer_key peer;
                struct iicp_json key;
                char text[512];

                snprintf(text, sizeof(text), "{\"algorithm\":\"X25519\",\"key_id\":\"k\",\"not_after\":%s,"
                                             "\"key\":\"MVhvRr4EobZRUt5_pTRYHh2xAA7TVaIpadwW_pWFXGM\"}",
                         cases[i].not_after);
                key = scan(iicp_str(text));
                if ((iicp_cx_peer_key_parse(&key, NOW, &peer) == 0) != cases[i].usable)
                        fail_msg("%s", cases[i].not_after);
        }
}

static void CX_06_each_attempt_has_its_own_key_and_nonce(void **state) {
        static const char text[] = "{\"algorithm\":\"X25519\",\"key_id\":\"k\","
                                   "\"key\":\"MVhvRr4EobZRUt5_pTRYHh2xAA7TVaIpadwW_pWFXGM\"}";
        struct iicp_json key = scan(iicp_str(text)), va, vb, a, b;
        static const char *const members[] = {"kem_ciphertext", "nonce", "encrypted_body"};
        struct iicp_cx_session sa, sb;
        struct iicp_buf ba = {0}, bb = {0};
        struct iicp_cx_peer_key peer;

        (void) state;
        assert_int_equal(iicp_cx_peer_key_parse(&key, NOW, &peer), 0);
        assert_int_equal(iicp_cx_seal_request(&peer, IICP_STR("t"), IICP_STR("i"), IICP_STR("{}"), &ba, &sa), 0);
        assert_int_equal(iicp_cx_seal_request(&peer, IICP_STR("t"), IICP_STR("i"), IICP_STR("{}"), &bb, &sb), 0);
        a = scan(iicp_buf_str(&ba));
        b = scan(iicp_buf_str(&bb));
        for (size_t i = 0; i < 3; i++) {
                va = iicp_json_get(&a, members[i]);
                vb = iicp_json_get(&b, members[i]);
                assert_int_equal(va.type, IICP_JSON_STRING);
                assert_false(iicp_str_eq(va.text, vb.text));
        }
        assert_memory_not_equal(sa.shared, sb.shared, sizeof(sa.shared));
        iicp_buf_free(&ba);
        iicp_buf_free(&bb);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(CX_02_answers_of_the_vectors_open),
                cmocka_unit_test(CX_05_refused_answers),
                cmocka_unit_test(CX_02_answers_as_the_consumer_judges_them),
                cmocka_unit_test(IICPD_05_13_usable_keys),
                cmocka_unit_test(IICPD_05_13_end_of_a_key),
                cmocka_unit_test(CX_06_each_attempt_has_its_own_key_and_nonce),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
