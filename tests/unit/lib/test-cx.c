/* SPDX-License-Identifier: Apache-2.0 */
#include "cx-internal.h"
#include "vectors.h"

#include <errno.h>
#include <iicp/codec.h>
#include <stdlib.h>

static void unhex(struct iicp_str hex, uint8_t *out, size_t n) {
        size_t got = 0;

        assert_int_equal(iicp_hex_decode(hex, out, n, &got), 0);
        assert_int_equal(got, n);
}

static struct iicp_json scan(struct iicp_str text) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(text, NULL, NULL, &v), 0);
        return v;
}

static void expect_hex(const uint8_t *p, size_t n, struct iicp_str hex) {
        char *got = malloc(2 * n + 1);

        iicp_hex(p, n, got);
        assert_string_equal(got, hex.p);
        free(got);
}

/* ---- consumer/cx.json: both directions, every intermediate value ---- */

struct known {
        struct json_object *doc;
        struct iicp_str task_id, intent;
        uint8_t node[32], ephemeral[32], shared[32], nonce[12], resp_nonce[12];
        struct iicp_cx_private key;
};

static void load(struct known *k) {
        *k = (struct known){.doc = vector_ours("consumer/cx.json")};
        k->task_id = vector_str(k->doc, "task_id");
        k->intent = vector_str(k->doc, "intent");
        unhex(vector_str(k->doc, "node_private_hex"), k->node, 32);
        unhex(vector_str(k->doc, "ephemeral_private_hex"), k->ephemeral, 32);
        unhex(vector_str(k->doc, "shared_secret_hex"), k->shared, 32);
        unhex(vector_str(k->doc, "nonce_hex"), k->nonce, 12);
        unhex(vector_str(k->doc, "response_nonce_hex"), k->resp_nonce, 12);
        memcpy(k->key.priv, k->node, 32);
        k->key.not_after = INT64_MAX;
        strcpy(k->key.key_id, vector_str(vector_get(k->doc, "cx_public_key"), "key_id").p);
}

static void CX_01_public_key_and_key_id(void **state) {
        struct known k;
        uint8_t pub[32];
        char id[IICP_CX_KEY_ID_TEXT];
        struct iicp_buf object = {0};
        struct iicp_json v;
        struct iicp_cx_peer_key peer;

        (void) state;
        load(&k);
        assert_int_equal(iicp_cx_public(k.node, pub), 0);
        expect_hex(pub, 32, vector_str(k.doc, "node_public_hex"));
        assert_int_equal(iicp_cx_key_id(pub, id), 0);
        assert_string_equal(id, k.key.key_id);
        iicp_cx_key_object(pub, 1807315200, &object);
        v = scan(iicp_buf_str(&object));
        assert_int_equal(iicp_cx_peer_key_parse(&v, 1807315199, &peer), 0);
        assert_true(peer.response_encryption);
        assert_memory_equal(peer.pub, pub, 32);
        assert_int_equal(iicp_cx_peer_key_parse(&v, 1807315200, &peer), -EINVAL);
        iicp_buf_free(&object);
        json_object_put(k.doc);
}

static void CX_02_request_as_the_known_answer(void **state) {
        struct known k;
        struct iicp_cx_peer_key peer;
        struct iicp_cx_session session = {0};
        struct iicp_buf out = {0};
        struct iicp_json key, got, wanted;
        static const char *const members[] = {"recipient_key_id", "kem_ciphertext", "encrypted_body", "nonce", "aad"};

        (void) state;
        load(&k);
        key = scan(vector_text(vector_get(k.doc, "cx_public_key")));
        assert_int_equal(iicp_cx_peer_key_parse(&key, 0, &peer), 0);
        assert_int_equal(cx_seal_request_with(&peer, k.task_id, k.intent, vector_str(k.doc, "request_plaintext"),
                                              k.ephemeral, k.nonce, &out, &session), 0);
        assert_memory_equal(session.shared, k.shared, 32);
        got = scan(iicp_buf_str(&out));
        wanted = scan(vector_text(vector_get(k.doc, "iicp_conf")));
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
                struct iicp_json a = iicp_json_get(&got, members[i]), b = iicp_json_get(&wanted, members[i]);

                assert_true(iicp_str_eq(a.text, b.text));
        }
        iicp_buf_free(&out);
        json_object_put(k.doc);
}

static void CX_02_provider_opens_the_known_request(void **state) {
        struct known k;
        struct iicp_cx_session session = {0};
        struct iicp_buf plain = {0};
        struct iicp_json conf;
        const struct iicp_cx_private *key = NULL;

        (void) state;
        load(&k);
        conf = scan(vector_text(vector_get(k.doc, "iicp_conf")));
        assert_int_equal(iicp_cx_precheck(&conf, &k.key, 1, 0, &key), IICP_CX_OK);
        assert_int_equal(iicp_cx_open_request(&conf, key, k.task_id, k.intent, &plain, &session), IICP_CX_OK);
        assert_true(iicp_str_eq(iicp_buf_str(&plain), vector_str(k.doc, "request_plaintext")));
        iicp_buf_wipe(&plain);
        /* the same envelope under another task or intent is dead */
        assert_int_equal(iicp_cx_open_request(&conf, key, IICP_STR("other"), k.intent, &plain, &session),
                         IICP_CX_UNDECODABLE);
        assert_int_equal(iicp_cx_open_request(&conf, key, k.task_id, IICP_STR("urn:iicp:intent:llm:chat:v2"), &plain,
                                              &session), IICP_CX_UNDECODABLE);
        json_object_put(k.doc);
}

static void CX_02_response_as_the_known_answer(void **state) {
        struct known k;
        struct iicp_cx_session session = {.valid = true};
        struct iicp_buf out = {0}, plain = {0};
        struct iicp_json v;

        (void) state;
        load(&k);
        memcpy(session.shared, k.shared, 32);
        assert_int_equal(cx_seal_response_with(&session, k.task_id, "resp", vector_str(k.doc, "response_plaintext"),
                                               k.resp_nonce, &out), 0);
        v = scan(iicp_buf_str(&out));
        assert_int_equal(iicp_cx_open_response(&session, k.task_id, &v, &plain), 0);
        assert_true(iicp_str_eq(iicp_buf_str(&plain), vector_str(k.doc, "response_plaintext")));
        iicp_buf_wipe(&plain);
        assert_int_equal(iicp_cx_open_response(&session, IICP_STR("other"), &v, &plain), -EBADMSG);
        iicp_buf_free(&out);
        json_object_put(k.doc);
}

/* ---- security/cx-request-v1.json ---- */

static void CX_02_valid_requests_of_all_producers_open(void **state) {
        struct json_object *doc = vector_ours("security/cx-request-v1.json");
        struct iicp_cx_private keys[2] = {{.not_after = INT64_MAX}, {.not_after = INT64_MAX}};
        static const char *const names[] = {"node_key", "previous_key"};
        struct json_object *valid = vector_get(doc, "valid");

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                unhex(vector_str(vector_get(doc, names[i]), "private_key_hex"), keys[i].priv, 32);
                strcpy(keys[i].key_id, vector_str(vector_get(doc, names[i]), "key_id").p);
        }
        assert_true(json_object_array_length(valid) > 0);
        for (size_t i = 0; i < json_object_array_length(valid); i++) {
                struct json_object *c = json_object_array_get_idx(valid, i);
                struct json_object *conf = vector_find(c, "iicp_conf");
                const struct iicp_cx_private *found;
                struct iicp_cx_session session = {0};
                struct iicp_buf plain = {0};
                struct iicp_json v;

                if (!conf)
                        conf = vector_get(vector_get(c, "http_request_body"), "iicp_conf");
                v = scan(vector_text(conf));
                assert_int_equal(iicp_cx_precheck(&v, keys, 2, 0, &found), IICP_CX_OK);
                assert_int_equal(iicp_cx_open_request(&v, found, vector_str(c, "task_id"), vector_str(c, "intent"),
                                                      &plain, &session), IICP_CX_OK);
                expect_hex(session.shared, 32, vector_str(c, "shared_secret_hex"));
                iicp_buf_wipe(&plain);
        }
        json_object_put(doc);
}

static void CX_04_key_id_version_and_expiry(void **state) {
        struct known k;
        const struct iicp_cx_private *key;
        struct iicp_json conf;

        (void) state;
        load(&k);
        conf = scan(vector_text(vector_get(k.doc, "iicp_conf")));
        k.key.not_after = 1000;
        assert_int_equal(iicp_cx_precheck(&conf, &k.key, 1, 999, &key), IICP_CX_OK);
        assert_int_equal(iicp_cx_precheck(&conf, &k.key, 1, 1000, &key), IICP_CX_EXPIRED);
        strcpy(k.key.key_id, "cx-other");
        assert_int_equal(iicp_cx_precheck(&conf, &k.key, 1, 0, &key), IICP_CX_UNKNOWN_KEY);
        conf = scan(IICP_STR("{\"version\":2}"));
        assert_int_equal(iicp_cx_precheck(&conf, &k.key, 1, 0, &key), IICP_CX_VERSION);
        conf = scan(IICP_STR("{\"version\":\"1\"}"));
        assert_int_equal(iicp_cx_precheck(&conf, &k.key, 1, 0, &key), IICP_CX_VERSION);
        assert_string_equal(iicp_cx_detail_code(IICP_CX_EXPIRED), "IICP-E063");
        json_object_put(k.doc);
}

static void CX_05_every_flipped_byte_is_found(void **state) {
        struct known k;
        struct iicp_str text;
        char *copy;

        (void) state;
        load(&k);
        text = vector_text(vector_get(k.doc, "iicp_conf"));
        copy = malloc(text.n);
        for (size_t i = 0; i < text.n; i++) {
                struct iicp_cx_session session = {0};
                struct iicp_buf plain = {0};
                struct iicp_json v;

                memcpy(copy, text.p, text.n);
                copy[i] = copy[i] == 'A' ? 'B' : 'A';
                if (iicp_json_scan((struct iicp_str){copy, text.n}, NULL, NULL, &v) < 0)
                        continue;
                /* what the envelope names only for us to compare or to ignore may change */
                if (iicp_cx_open_request(&v, &k.key, k.task_id, k.intent, &plain, &session) == IICP_CX_OK) {
                        struct iicp_json body = iicp_json_get(&v, "encrypted_body");

                        assert_true(copy + i < body.text.p || copy + i >= body.text.p + body.text.n - 1);
                        assert_true(iicp_str_eq(iicp_buf_str(&plain), vector_str(k.doc, "request_plaintext")));
                }
                iicp_buf_wipe(&plain);
        }
        free(copy);
        json_object_put(k.doc);
}

static void CX_05_low_order_point_is_refused(void **state) {
        static const uint8_t zero[32];
        uint8_t priv[32], pub[32], shared[32];

        (void) state;
        assert_int_equal(iicp_cx_keygen(priv, pub), 0);
        assert_int_equal(cx_shared(priv, zero, shared), -EKEYREJECTED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(CX_01_public_key_and_key_id),
                cmocka_unit_test(CX_02_request_as_the_known_answer),
                cmocka_unit_test(CX_02_provider_opens_the_known_request),
                cmocka_unit_test(CX_02_response_as_the_known_answer),
                cmocka_unit_test(CX_02_valid_requests_of_all_producers_open),
                cmocka_unit_test(CX_04_key_id_version_and_expiry),
                cmocka_unit_test(CX_05_every_flipped_byte_is_found),
                cmocka_unit_test(CX_05_low_order_point_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
