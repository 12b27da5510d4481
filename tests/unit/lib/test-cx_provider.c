/* SPDX-License-Identifier: Apache-2.0 */
#include "cx-internal.h"
#include "vectors.h"

#include <iicp/codec.h>
#include <stdio.h>

static void unhex(struct iicp_str hex, uint8_t *out, size_t n) {
        size_t got = 0;

        assert_int_equal(iicp_hex_decode(hex, out, n, &got), 0);
        assert_int_equal(got, n);
}

static void load_keys(struct json_object *doc, struct iicp_cx_private keys[2]) {
        static const char *const names[] = {"node_key", "previous_key"};

        for (size_t i = 0; i < 2; i++) {
                struct json_object *k = vector_get(doc, names[i]);

                keys[i] = (struct iicp_cx_private){.not_after = INT64_MAX};
                unhex(vector_str(k, "private_key_hex"), keys[i].priv, IICP_CX_KEY);
                snprintf(keys[i].key_id, sizeof(keys[i].key_id), "%s", vector_str(k, "key_id").p);
        }
}

/* The steps of a node, one after the other, on the body of a request. */
static enum iicp_cx_fault open_body(struct json_object *body, const struct iicp_cx_private *keys,
                                    struct iicp_buf *ret_plain, struct iicp_cx_session *ret_session) {
        const struct iicp_cx_private *key = NULL;
        struct iicp_json conf;
        enum iicp_cx_fault fault;

        assert_int_equal(iicp_json_scan(vector_text(vector_get(body, "iicp_conf")), NULL, NULL, &conf), 0);
        fault = iicp_cx_precheck(&conf, keys, 2, 0, &key);
        if (fault != IICP_CX_OK)
                return fault;
        return iicp_cx_open_request(&conf, key, vector_str(body, "task_id"), vector_str(body, "intent"), ret_plain,
                                    ret_session);
}

static void CX_02_accepted_variants_open(void **state) {
        struct json_object *doc = vector_ours("security/cx-request-v1.json");
        struct json_object *list = vector_get(doc, "accept_variants");
        struct iicp_cx_private keys[2];

        (void) state;
        load_keys(doc, keys);
        assert_true(json_object_array_length(list) > 0);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                struct iicp_cx_session session = {0};
                struct iicp_buf plain = {.secret = true};
                char hex[4096];

                if (open_body(vector_get(c, "request_body"), keys, &plain, &session) != IICP_CX_OK)
                        fail_msg("%s is refused", vector_str(c, "name").p);
                assert_true(plain.n * 2 < sizeof(hex));
                iicp_hex(plain.p, plain.n, hex);
                assert_string_equal(hex, vector_str(c, "expect_plaintext_hex").p);
                iicp_buf_wipe(&plain);
        }
        json_object_put(doc);
}

/* Cases that admission refuses before the cryptography is asked. */
static bool refused_by_shape(struct json_object *body) {
        struct json_object *conf = vector_find(body, "iicp_conf"), *payload = vector_find(body, "payload");

        return !conf || !json_object_is_type(conf, json_type_object) || payload;
}

static void CX_05_refused_requests_have_their_detail_code(void **state) {
        struct json_object *doc = vector_ours("security/cx-request-v1.json");
        struct json_object *list = vector_get(doc, "reject");
        struct iicp_cx_private keys[2];
        size_t tried = 0;

        (void) state;
        load_keys(doc, keys);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i), *body = vector_get(c, "request_body");
                struct json_object *wanted = vector_find(vector_get(c, "expect"), "detail_code");
                struct iicp_cx_session session = {0};
                struct iicp_buf plain = {0};
                enum iicp_cx_fault fault;
                const char *code;

                if (refused_by_shape(body))
                        continue;
                fault = open_body(body, keys, &plain, &session);
                code = iicp_cx_detail_code(fault);
                if (wanted ? !code || strcmp(code, json_object_get_string(wanted)) != 0 : fault != IICP_CX_NOT_OBJECT)
                        fail_msg("%s: %d", vector_str(c, "name").p, (int) fault);
                /* nothing of what was opened or derived is handed out */
                assert_false(session.valid);
                assert_int_equal(plain.n, 0);
                iicp_buf_free(&plain);
                tried++;
        }
        assert_true(tried >= 27);
        json_object_put(doc);
}

static void IICPD_05_10_answers_need_a_session_and_use_a_fresh_nonce(void **state) {
        struct iicp_cx_session session = {.valid = true}, none = {0};
        struct iicp_buf a = {0}, b = {0};

        (void) state;
        assert_int_equal(iicp_cx_seal_response(&session, IICP_STR("t"), IICP_STR("{}"), &a), 0);
        assert_int_equal(iicp_cx_seal_response(&session, IICP_STR("t"), IICP_STR("{}"), &b), 0);
        assert_false(iicp_str_eq(iicp_buf_str(&a), iicp_buf_str(&b)));
        iicp_buf_free(&b);
        b = (struct iicp_buf){0};
        assert_true(iicp_cx_seal_response(&none, IICP_STR("t"), IICP_STR("{}"), &b) < 0);
        assert_int_equal(b.n, 0);
        iicp_buf_free(&a);
        iicp_buf_free(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(CX_02_accepted_variants_open),
                cmocka_unit_test(CX_05_refused_requests_have_their_detail_code),
                cmocka_unit_test(IICPD_05_10_answers_need_a_session_and_use_a_fresh_nonce),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
