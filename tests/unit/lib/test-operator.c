/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/operator.h>
#include <stdio.h>

static void hex32(json_object *o, const char *name, uint8_t out[32]) {
        size_t n;

        assert_int_equal(iicp_hex_decode(vector_str(o, name), out, 32, &n), 0);
}

static struct iicp_json parsed(struct iicp_str text) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(text, NULL, NULL, &v), 0);
        return v;
}

static void IICPD_05_26_plain_and_sealed_file(void **state) {
        json_object *doc = vector_ours("security/operator-identity-v1.json");
        struct iicp_str plain = vector_text(vector_get(doc, "operator_json_plain"));
        struct iicp_str sealed = vector_text(vector_get(doc, "operator_json_sealed"));
        struct iicp_operator o;
        uint8_t seed[IICP_SEED];

        (void) state;
        hex32(doc, "operator_seed_hex", seed);
        assert_int_equal(iicp_operator_read(plain, IICP_STR_NONE, &o), IICP_OPERATOR_OK);
        assert_true(o.has_seed && !o.sealed);
        assert_memory_equal(o.seed, seed, IICP_SEED);
        assert_string_equal(o.id, vector_str(doc, "operator_id").p);
        assert_string_equal(o.integrity_hash, vector_str(doc, "operator_integrity_hash").p);
        assert_string_equal(o.display_name, "Example Lab");
        iicp_operator_wipe(&o);
        assert_int_equal(iicp_operator_read(sealed, IICP_STR_NONE, &o), IICP_OPERATOR_OK);
        assert_true(!o.has_seed && o.sealed);
        assert_int_equal(iicp_operator_read(sealed, IICP_STR("correct horse battery staple"), &o), IICP_OPERATOR_OK);
        assert_true(o.has_seed);
        assert_memory_equal(o.seed, seed, IICP_SEED);
        assert_int_equal(iicp_operator_read(sealed, IICP_STR("wrong"), &o), IICP_OPERATOR_PASSPHRASE);
        json_object_put(doc);
}

static void edited(json_object *doc, const char *name, const char *value, enum iicp_operator_fault want) {
        json_object *copy = NULL;
        struct iicp_operator o;

        assert_int_equal(json_object_deep_copy(vector_get(doc, "operator_json_plain"), &copy, NULL), 0);
        json_object_object_add(copy, name, json_object_new_string(value));
        assert_int_equal(iicp_operator_read(vector_text(copy), IICP_STR_NONE, &o), want);
        json_object_put(copy);
}

static void IICPD_05_26_what_does_not_agree_is_refused(void **state) {
        json_object *doc = vector_ours("security/operator-identity-v1.json");
        struct iicp_operator o;

        (void) state;
        edited(doc, "created_at", "2027-01-15T08:00:01Z", IICP_OPERATOR_HASH);
        edited(doc, "operator_secret", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", IICP_OPERATOR_SEED);
        edited(doc, "operator_secret", "AAAA", IICP_OPERATOR_MALFORMED);
        edited(doc, "operator_secret", "", IICP_OPERATOR_MALFORMED);
        edited(doc, "operator_id", "op-1234", IICP_OPERATOR_LEGACY);
        edited(doc, "operator_id", "SygZv6v0n67sw1/dyhU1gnzLWUuvFjVf8GrBTEIKA0k=", IICP_OPERATOR_HASH);
        edited(doc, "operator_id", "short", IICP_OPERATOR_MALFORMED);
        edited(doc, "operator_integrity_hash", "00", IICP_OPERATOR_HASH);
        assert_int_equal(iicp_operator_read(IICP_STR("[]"), IICP_STR_NONE, &o), IICP_OPERATOR_MALFORMED);
        assert_int_equal(iicp_operator_read(IICP_STR(""), IICP_STR_NONE, &o), IICP_OPERATOR_MALFORMED);
        json_object_put(doc);
}

static void IICPD_05_27_seal_vectors(void **state) {
        json_object *doc = vector_ours("security/operator-identity-v1.json");
        uint8_t seed[IICP_SEED], want[IICP_SEED];

        (void) state;
        vector_each(vector_get(doc, "seal"), c) {
                struct iicp_json record = parsed(vector_text(vector_get(c, "record")));

                hex32(c, "seed_hex", want);
                assert_int_equal(iicp_seed_unseal(&record, vector_str(c, "passphrase"), vector_str(c, "aad_utf8"), seed),
                                 IICP_OPERATOR_OK);
                assert_memory_equal(seed, want, IICP_SEED);
        }
        vector_each(vector_get(doc, "seal_reject"), c) {
                struct iicp_json record = parsed(vector_text(vector_get(c, "record")));

                assert_int_not_equal(iicp_seed_unseal(&record, vector_str(c, "passphrase"), vector_str(c, "aad_utf8"),
                                                      seed), IICP_OPERATOR_OK);
        }
        json_object_put(doc);
}

static void IICPD_05_27_iterations_are_bounded(void **state) {
        static const struct {
                const char *iter;
                enum iicp_operator_fault want;
        } cases[] = {
                {"99999", IICP_OPERATOR_SEAL}, {"10000001", IICP_OPERATOR_SEAL}, {"\"600000\"", IICP_OPERATOR_SEAL},
                {"100000", IICP_OPERATOR_PASSPHRASE}, /* read, and opens nothing */
        };
        uint8_t seed[IICP_SEED];
        char text[512];

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct iicp_json record;

                snprintf(text, sizeof text,
                         "{\"v\":1,\"kdf\":\"pbkdf2-hmac-sha256\",\"iter\":%s,\"salt\":\"XFqO25+Kt4ojKdrQu2wZjw==\","
                         "\"nonce\":\"TLSFBzqiAj4jTYEy\",\"ct\":\"IqvCa6EtWaaXw80AlkJlIZl0HMFQZDGlR7nj2btIyxxyxgT9G7d9Mk4ALAvsXzKy\"}",
                         cases[i].iter);
                record = parsed(iicp_str(text));
                assert_int_equal(iicp_seed_unseal(&record, IICP_STR("x"), IICP_STR("id"), seed), cases[i].want);
        }
}

static void IICPD_05_27_a_new_identity_reads_back_plain_and_sealed(void **state) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf plain = {0}, sealed = {0};
        struct iicp_operator made, back;

        (void) state;
        assert_int_equal(iicp_operator_new("A \"lab\"", "2027-01-15T08:00:00Z", &made), 0);
        assert_int_equal(iicp_operator_write(&made, IICP_STR_NONE, &plain), 0);
        assert_int_equal(iicp_operator_read(iicp_buf_str(&plain), IICP_STR_NONE, &back), IICP_OPERATOR_OK);
        assert_memory_equal(&made, &back, sizeof made);
        assert_int_equal(iicp_operator_write(&made, IICP_STR("pass"), &sealed), 0);
        assert_non_null(strstr(sealed.p, "\"iter\":600000"));
        assert_non_null(strstr(sealed.p, "\"operator_secret\": \"\""));
        assert_int_equal(iicp_operator_read(iicp_buf_str(&sealed), IICP_STR("pass"), &back), IICP_OPERATOR_OK);
        assert_true(back.sealed);
        assert_memory_equal(made.seed, back.seed, IICP_SEED);
        iicp_operator_wipe(&back);
        assert_int_equal(iicp_operator_write(&back, IICP_STR_NONE, &plain), -EINVAL);
}

static void DIR_OPID_01_delegation_vectors(void **state) {
        json_object *doc = vector_ours("security/operator-identity-v1.json");
        struct iicp_delegation d, ours;
        uint8_t seed[IICP_SEED];

        (void) state;
        hex32(doc, "operator_seed_hex", seed);
        vector_each(vector_get(doc, "delegations"), c) {
                struct iicp_json token = parsed(vector_text(vector_get(c, "token")));
                _cleanup_(iicp_buf_free) struct iicp_buf text = {0}, json = {0};

                assert_int_equal(iicp_delegation_read(&token, &d), IICP_DELEGATION_OK);
                assert_int_equal(iicp_delegation_check(&d, d.node_id, 1800000000), IICP_DELEGATION_OK);
                iicp_delegation_text(d.node_id, d.not_after, d.operator_pub, &text);
                assert_string_equal(text.p, vector_str(c, "canonical_utf8").p);
                assert_int_equal(iicp_delegation_sign(seed, d.node_id, d.not_after, &ours), 0);
                assert_string_equal(ours.sig, d.sig);
                iicp_delegation_json(&ours, &json);
                assert_string_equal(json.p, vector_text(vector_get(c, "token")).p);
        }
        vector_each(vector_get(doc, "delegation_checks"), c) {
                struct iicp_json token = parsed(vector_text(vector_get(c, "token")));
                enum iicp_delegation_fault fault = iicp_delegation_read(&token, &d);

                if (fault == IICP_DELEGATION_OK)
                        fault = iicp_delegation_check(&d, vector_str(c, "claimed_node_id").p,
                                                      json_object_get_int64(vector_get(c, "now_s")));
                assert_string_equal(iicp_delegation_fault_name(fault), vector_str(c, "expect").p);
        }
        json_object_put(doc);
}

static void IICPD_05_28_rename_and_self_service_texts(void **state) {
        json_object *doc = vector_ours("security/operator-identity-v1.json");
        struct iicp_str id = vector_str(doc, "operator_id");
        uint8_t seed[IICP_SEED], successor[IICP_SEED], sig[IICP_SIGNATURE];

        (void) state;
        hex32(doc, "operator_seed_hex", seed);
        hex32(doc, "successor_operator_seed_hex", successor);
        vector_each(vector_get(doc, "rename"), c) {
                _cleanup_(iicp_buf_free) struct iicp_buf text = {0}, b64 = {0};

                assert_int_equal(iicp_rename_text(vector_str(c, "display_name"), id.p,
                                                  json_object_get_int64(vector_get(c, "ts")), &text), 0);
                assert_string_equal(text.p, vector_str(c, "canonical_utf8").p);
                assert_int_equal(iicp_sign(seed, iicp_buf_str(&text), sig), 0);
                iicp_b64_add(&b64, sig, sizeof sig);
                assert_string_equal(b64.p, vector_str(vector_get(c, "body"), "sig").p);
        }
        vector_each(vector_get(doc, "self_service"), c) {
                _cleanup_(iicp_buf_free) struct iicp_buf text = {0}, b64 = {0};
                struct iicp_json fields = parsed(vector_text(vector_get(c, "fields")));
                bool current = iicp_str_is(vector_str(c, "signer"), "current");

                assert_int_equal(iicp_self_service_text(vector_str(c, "action").p, &fields, &text), 0);
                assert_string_equal(text.p, vector_str(c, "canonical_utf8").p);
                assert_int_equal(iicp_sign(current ? seed : successor, iicp_buf_str(&text), sig), 0);
                iicp_b64_add(&b64, sig, sizeof sig);
                assert_string_equal(b64.p, vector_str(c, "sig").p);
        }
        json_object_put(doc);
}

static void IICPD_05_28_display_name_is_trimmed_and_without_controls(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};
        char name[256];

        (void) state;
        memset(name, 'x', sizeof name);
        assert_true(iicp_display_name_valid((struct iicp_str){name, 64}));
        assert_false(iicp_display_name_valid((struct iicp_str){name, 65}));
        for (int i = 0; i < 64; i++)
                memcpy(name + 3 * i, "\xe6\x9d\xb1", 3);
        assert_true(iicp_display_name_valid((struct iicp_str){name, 192}));
        assert_false(iicp_display_name_valid(IICP_STR("")));
        assert_false(iicp_display_name_valid(IICP_STR(" a")));
        assert_false(iicp_display_name_valid(IICP_STR("a ")));
        assert_false(iicp_display_name_valid(IICP_STR("a\nb")));
        assert_false(iicp_display_name_valid(IICP_STR("a\x7f")));
        assert_false(iicp_display_name_valid(IICP_STR("a\xc2\x85")));
        assert_false(iicp_display_name_valid(IICP_STR("a\xff")));
        assert_int_equal(iicp_rename_text(IICP_STR(" a"), "k", 1, &out), -EINVAL);
}

static void IICPD_05_45_node_ids_have_the_safe_form(void **state) {
        json_object *doc = vector_ours("security/operator-identity-v1.json");

        (void) state;
        vector_each(vector_get(doc, "node_ids"), c)
                assert_int_equal(iicp_node_id_valid(vector_str(c, "node_id")),
                                 json_object_get_boolean(vector_get(c, "valid")));
        json_object_put(doc);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_26_plain_and_sealed_file),
                cmocka_unit_test(IICPD_05_26_what_does_not_agree_is_refused),
                cmocka_unit_test(IICPD_05_27_seal_vectors),
                cmocka_unit_test(IICPD_05_27_iterations_are_bounded),
                cmocka_unit_test(IICPD_05_27_a_new_identity_reads_back_plain_and_sealed),
                cmocka_unit_test(DIR_OPID_01_delegation_vectors),
                cmocka_unit_test(IICPD_05_28_rename_and_self_service_texts),
                cmocka_unit_test(IICPD_05_28_display_name_is_trimmed_and_without_controls),
                cmocka_unit_test(IICPD_05_45_node_ids_have_the_safe_form),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
