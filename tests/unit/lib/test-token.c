/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/token.h>
#include <stdio.h>

static void key_of(json_object *doc, const char *name, uint8_t key[1][IICP_SIGN_KEY]) {
        size_t n;

        assert_int_equal(iicp_hex_decode(vector_str(doc, name), key[0], IICP_SIGN_KEY, &n), 0);
        assert_int_equal(n, IICP_SIGN_KEY);
}

static void IICPD_05_18_consumer_token_vectors(void **state) {
        json_object *doc = vector_ours("security/consumer-token-v1.json");
        struct iicp_consumer_claims claims;
        uint8_t key[1][IICP_SIGN_KEY];
        unsigned n = 0;

        (void) state;
        key_of(doc, "directory_public_key_hex", key);
        vector_each(vector_get(doc, "cases"), c) {
                json_object *reason = vector_find(c, "reason");
                int64_t now = json_object_get_int64(vector_get(c, "now_s"));
                enum iicp_token_fault fault;

                memset(&claims, 0, sizeof claims);
                fault = iicp_consumer_token_check(vector_str(c, "token"), (const uint8_t (*)[IICP_SIGN_KEY]) key, 1,
                                                  vector_str(c, "own_node_id").p, vector_str(c, "task_intent"), now,
                                                  &claims);
                if (strcmp(iicp_token_fault_name(fault), reason ? json_object_get_string(reason) : "ok") != 0)
                        print_error("%s: %s\n", vector_str(c, "name").p, iicp_token_fault_name(fault));
                assert_string_equal(iicp_token_fault_name(fault), reason ? json_object_get_string(reason) : "ok");
                assert_true(fault == IICP_TOKEN_OK ? claims.subject[0] != '\0' : claims.subject[0] == '\0');
                n++;
        }
        assert_int_equal(n, 45);
        json_object_put(doc);
}

static void IICPD_05_18_directory_and_node_vectors(void **state) {
        json_object *doc = vector_ours("directory/consumer-token.json"), *node = vector_ours("node/consumer-token-v1.json");
        struct iicp_consumer_claims claims;
        uint8_t key[1][IICP_SIGN_KEY];
        struct iicp_json answer;

        (void) state;
        assert_int_equal(iicp_json_scan(vector_text(vector_get(doc, "directory_key_response")), NULL, NULL, &answer), 0);
        assert_int_equal(iicp_directory_key_parse(&answer, key[0]), 0);
        vector_each(vector_get(doc, "cases"), c)
                assert_int_equal(iicp_str_is(vector_str(c, "expect"), "accept"),
                                 iicp_consumer_token_check(vector_str(c, "token"), (const uint8_t (*)[32]) key, 1,
                                                           vector_str(c, "our_node_id").p, vector_str(c, "task_intent"),
                                                           json_object_get_int64(vector_get(c, "now")),
                                                           &claims) == IICP_TOKEN_OK);
        key_of(node, "directory_public_key_hex", key);
        vector_each(vector_get(node, "cases"), c)
                assert_int_equal(iicp_str_is(vector_str(c, "expect"), "valid"),
                                 iicp_consumer_token_check(vector_str(node, "token"), (const uint8_t (*)[32]) key, 1,
                                                           vector_str(c, "node_id").p, vector_str(c, "intent"),
                                                           json_object_get_int64(vector_get(c, "now")),
                                                           &claims) == IICP_TOKEN_OK);
        json_object_put(doc);
        json_object_put(node);
}

/* A token of our own making, for what the vectors do not hold. */
static void make(const uint8_t seed[IICP_SEED], const char *domain, const char *payload, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0}, message = {0};
        uint8_t sig[IICP_SIGNATURE];
        char hex[2 * IICP_SIGNATURE + 1];

        iicp_b64url_add(&text, payload, strlen(payload));
        iicp_buf_puts(&message, domain);
        iicp_buf_add_str(&message, iicp_buf_str(&text));
        assert_int_equal(iicp_sign(seed, iicp_buf_str(&message), sig), 0);
        iicp_hex(sig, sizeof sig, hex);
        out->n = 0;
        iicp_buf_printf(out, "%s.%s", text.p, hex);
}

static void IICPD_05_18_exp_plus_10_is_refused_and_any_of_two_keys_will_do(void **state) {
        static const char payload[] =
                "{\"v\":1,\"iss\":\"x\",\"sub\":\"s\",\"aud\":\"me\",\"intent\":\"*\",\"iat\":1000,\"exp\":1300}";
        uint8_t seed[IICP_SEED] = {7}, keys[2][IICP_SIGN_KEY] = {{1}};
        _cleanup_(iicp_buf_free) struct iicp_buf token = {0};
        struct iicp_consumer_claims claims;

        (void) state;
        assert_int_equal(iicp_sign_public(seed, keys[1]), 0);
        make(seed, IICP_DOMAIN_CONSUMER_TOKEN, payload, &token);
        assert_int_equal(iicp_consumer_token_check(iicp_buf_str(&token), (const uint8_t (*)[32]) keys, 2, "me",
                                                   IICP_STR_NONE, 1309, &claims), IICP_TOKEN_OK);
        assert_string_equal(claims.subject, "s");
        assert_string_equal(claims.intent, "*");
        assert_int_equal(claims.expires_at, 1310);
        assert_int_equal(iicp_consumer_token_check(iicp_buf_str(&token), (const uint8_t (*)[32]) keys, 2, "me",
                                                   IICP_STR_NONE, 1310, &claims), IICP_TOKEN_EXPIRED);
        assert_int_equal(iicp_consumer_token_check(iicp_buf_str(&token), (const uint8_t (*)[32]) keys, 1, "me",
                                                   IICP_STR_NONE, 1309, &claims), IICP_TOKEN_SIGNATURE);
        assert_int_equal(iicp_consumer_token_check(iicp_buf_str(&token), NULL, 0, "me", IICP_STR_NONE, 1309, &claims),
                         IICP_TOKEN_SIGNATURE);
}

static void IICPD_05_03_members_twice_at_any_depth_and_trailing_data(void **state) {
        static const char *const payloads[] = {
                "{\"v\":1,\"v\":1}", "{\"v\":1,\"x\":{\"a\":1,\"a\":2}}", "{\"v\":1} x", "[1]", "{\"v\":\"\xff\"}", "",
        };
        uint8_t seed[IICP_SEED] = {7}, key[1][IICP_SIGN_KEY];
        struct iicp_json v;

        (void) state;
        assert_int_equal(iicp_sign_public(seed, key[0]), 0);
        for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
                _cleanup_(iicp_buf_free) struct iicp_buf token = {0}, payload = {0};

                make(seed, "d\n", payloads[i], &token);
                assert_int_equal(iicp_token_open(iicp_buf_str(&token), "d\n", (const uint8_t (*)[32]) key, 1, &payload, &v),
                                 IICP_TOKEN_MALFORMED);
        }
}

static void IICPD_05_03_depth_of_64_is_the_last(void **state) {
        uint8_t seed[IICP_SEED] = {7}, key[1][IICP_SIGN_KEY];

        (void) state;
        assert_int_equal(iicp_sign_public(seed, key[0]), 0);
        for (int depth = 63; depth <= 64; depth++) {
                _cleanup_(iicp_buf_free) struct iicp_buf text = {0}, token = {0}, payload = {0};
                struct iicp_json v;

                iicp_buf_puts(&text, "{\"x\":");
                for (int i = 0; i < depth; i++)
                        iicp_buf_puts(&text, "[");
                for (int i = 0; i < depth; i++)
                        iicp_buf_puts(&text, "]");
                iicp_buf_puts(&text, "}");
                make(seed, "d\n", text.p, &token);
                assert_int_equal(iicp_token_open(iicp_buf_str(&token), "d\n", (const uint8_t (*)[32]) key, 1, &payload, &v),
                                 depth == 63 ? IICP_TOKEN_OK : IICP_TOKEN_MALFORMED);
        }
}

/* The same words under another domain line are another kind of ticket. */
static void IICPD_05_20_domain_lines_separate_the_kinds(void **state) {
        static const char *const domains[] = {IICP_DOMAIN_CONSUMER_TOKEN, IICP_DOMAIN_DISPATCH_TICKET,
                                              IICP_DOMAIN_BIND_TICKET};
        uint8_t seed[IICP_SEED] = {9}, key[1][IICP_SIGN_KEY];
        struct iicp_json v;

        (void) state;
        assert_int_equal(iicp_sign_public(seed, key[0]), 0);
        for (size_t i = 0; i < 3; i++)
                for (size_t k = 0; k < 3; k++) {
                        _cleanup_(iicp_buf_free) struct iicp_buf token = {0}, payload = {0};

                        make(seed, domains[i], "{\"v\":1}", &token);
                        assert_int_equal(iicp_token_open(iicp_buf_str(&token), domains[k],
                                                         (const uint8_t (*)[32]) key, 1, &payload, &v),
                                         i == k ? IICP_TOKEN_OK : IICP_TOKEN_SIGNATURE);
                }
}

static void a_long_subject_is_named_by_its_digest(void **state) {
        uint8_t seed[IICP_SEED] = {9}, key[1][IICP_SIGN_KEY];
        _cleanup_(iicp_buf_free) struct iicp_buf token = {0};
        struct iicp_consumer_claims claims;
        char payload[512];

        (void) state;
        assert_int_equal(iicp_sign_public(seed, key[0]), 0);
        snprintf(payload, sizeof payload, "{\"v\":1,\"sub\":\"%0129d\",\"aud\":\"me\",\"intent\":\"*\",\"exp\":9}", 1);
        make(seed, IICP_DOMAIN_CONSUMER_TOKEN, payload, &token);
        assert_int_equal(iicp_consumer_token_check(iicp_buf_str(&token), (const uint8_t (*)[32]) key, 1, "me",
                                                   IICP_STR_NONE, 1, &claims), IICP_TOKEN_OK);
        assert_int_equal(strlen(claims.subject), 7 + 64);
        assert_memory_equal(claims.subject, "sha256:", 7);
}

static void IICPD_01_81_other_algorithm_or_length_is_no_key(void **state) {
#define HEX "7da196580004abd322270f692c00f938ddd670bd63b674db09d9a14b5d38b85e"
        static const struct {
                const char *text;
                bool good;
        } cases[] = {
                {"{\"public_key\":\"" HEX "\",\"algorithm\":\"ed25519\"}", true},
                {"{\"public_key\":\"" HEX "\",\"algorithm\":\"ed25519\",\"kid\":1}", true},
                {"{\"public_key\":\"" HEX "\",\"algorithm\":\"rsa\"}", false},
                {"{\"public_key\":\"" HEX "\"}", false},
                {"{\"public_key\":\"" HEX "00\",\"algorithm\":\"ed25519\"}", false},
                {"{\"public_key\":\"7da1\",\"algorithm\":\"ed25519\"}", false},
                {"{\"public_key\":\"zz" HEX "\",\"algorithm\":\"ed25519\"}", false},
                {"{\"public_key\":null,\"algorithm\":\"ed25519\"}", false},
                {"[]", false},
        };
        struct iicp_json v;
        uint8_t key[IICP_SIGN_KEY];

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(iicp_json_scan(iicp_str(cases[i].text), NULL, NULL, &v), 0);
                assert_int_equal(iicp_directory_key_parse(&v, key), cases[i].good ? 0 : -EINVAL);
        }
}

static void IICPD_05_01_lengths_and_alphabets(void **state) {
        uint8_t out[64];
        size_t n;

        (void) state;
        /* base64url: padding where it fits, one spelling a value */
        assert_int_equal(iicp_b64url_decode(IICP_STR("_-8="), out, sizeof out, &n), 0);
        assert_int_equal(iicp_b64url_decode(IICP_STR("_-8"), out, sizeof out, &n), 0);
        assert_int_equal(iicp_b64url_decode(IICP_STR("_-8=="), out, sizeof out, &n), -EINVAL);
        assert_int_equal(iicp_b64url_decode(IICP_STR("/+8"), out, sizeof out, &n), -EINVAL);
        assert_int_equal(iicp_b64url_decode(IICP_STR("A"), out, sizeof out, &n), -EINVAL);
        assert_int_equal(iicp_b64url_decode(IICP_STR("_- 8"), out, sizeof out, &n), -EINVAL);
        /* standard base64: padded */
        assert_int_equal(iicp_b64_decode(IICP_STR("/+8="), out, sizeof out, &n), 0);
        assert_int_equal(iicp_b64_decode(IICP_STR("/+8"), out, sizeof out, &n), -EINVAL);
        assert_int_equal(iicp_b64_decode(IICP_STR("_-8="), out, sizeof out, &n), -EINVAL);
        /* hex: either case read */
        assert_int_equal(iicp_hex_decode(IICP_STR("aAfF"), out, sizeof out, &n), 0);
        assert_int_equal(iicp_hex_decode(IICP_STR("aAf"), out, sizeof out, &n), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_18_consumer_token_vectors),
                cmocka_unit_test(IICPD_05_18_directory_and_node_vectors),
                cmocka_unit_test(IICPD_05_18_exp_plus_10_is_refused_and_any_of_two_keys_will_do),
                cmocka_unit_test(IICPD_05_03_members_twice_at_any_depth_and_trailing_data),
                cmocka_unit_test(IICPD_05_03_depth_of_64_is_the_last),
                cmocka_unit_test(IICPD_05_20_domain_lines_separate_the_kinds),
                cmocka_unit_test(a_long_subject_is_named_by_its_digest),
                cmocka_unit_test(IICPD_01_81_other_algorithm_or_length_is_no_key),
                cmocka_unit_test(IICPD_05_01_lengths_and_alphabets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
