/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring.h"

#include "state_seal.h"
#include "vectors.h"

#include <errno.h>
#include <iicp/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1790000000
#define DAY 86400

static struct keyring made(void) {
        struct keyring k;

        assert_int_equal(keyring_make(NOW, &k), 0);
        return k;
}

static struct keyring again(struct keyring *k, int64_t now_s) {
        struct iicp_buf text = {.secret = true};
        struct keyring r = {0};

        assert_int_equal(keyring_write(k, "node", &text), 0);
        assert_int_equal(keyring_parse(iicp_buf_str(&text), "node", now_s, &r), 0);
        iicp_buf_wipe(&text);
        keyring_wipe(k);
        return r;
}

static void IICPD_05_05_key_object_is_byte_stable(void **state) {
        struct json_object *doc = vector_ours("security/cx-request-v1.json");
        struct json_object *v = vector_get(doc, "node_key");
        struct iicp_str hex = vector_str(v, "public_key_hex");
        struct keyring k = made(), next;
        struct iicp_buf object = {0}, before = {0};
        uint8_t pub[IICP_CX_KEY];
        size_t n;

        (void) state;
        assert_int_equal(iicp_hex_decode(hex, pub, sizeof(pub), &n), 0);
        iicp_cx_key_object(pub, 1807315200, &object);
        assert_string_equal(object.p, vector_text(vector_get(v, "cx_public_key")).p);
        iicp_buf_free(&object);
        /* over any number of restarts, until the key changes */
        iicp_buf_add_str(&before, iicp_buf_str(&k.public_));
        for (int i = 0; i < 3; i++)
                k = again(&k, NOW + i * DAY);
        assert_string_equal(before.p, k.public_.p);
        next = k;
        assert_int_equal(keyring_replace(NOW + DAY, &next), 0);
        assert_string_not_equal(before.p, next.public_.p);
        keyring_wipe(&next);
        iicp_buf_free(&before);
        json_object_put(doc);
}

static void IICPD_05_06_key_files_of_the_sdks_are_read(void **state) {
        struct json_object *doc = vector_ours("security/cx-request-v1.json");
        struct json_object *v = vector_get(doc, "node_key"), *file = vector_get(v, "key_file");
        struct json_object *content = vector_get(file, "content");
        struct iicp_str text = vector_text(content);
        struct keyring k = {0};
        char name[KEYRING_SDK_NAME], path[64];

        (void) state;
        assert_int_equal(keyring_sdk_name(vector_str(file, "for_node_id").p, name), 0);
        snprintf(path, sizeof(path), "cx/%s", name);
        assert_string_equal(path, vector_str(file, "relative_path").p);
        assert_int_equal(keyring_import_sdk(text, NOW, &k), 0);
        assert_string_equal(k.keys[0].key_id, vector_str(v, "key_id").p);
        assert_int_equal(k.keys[0].not_after, NOW + KEYRING_LIFE_S);
        k = again(&k, NOW);
        assert_string_equal(k.keys[0].key_id, vector_str(v, "key_id").p);
        keyring_wipe(&k);
        json_object_put(doc);
}

static void refused_sdk(const char *text, int error) {
        struct keyring k = {0};

        assert_int_equal(keyring_import_sdk(iicp_str(text), NOW, &k), error);
        assert_int_equal(k.n, 0);
}

static void IICPD_05_06_an_sdk_file_whose_halves_differ_is_refused(void **state) {
        (void) state;
        refused_sdk("{\"version\":1,\"algorithm\":\"X25519\",\"private_key\":\"_7X85w3aX16ioNS2VvachvqAKt6uumeZMAAuWxl5Nlo\","
                    "\"public_key\":{\"key\":\"R-CDCxFFI09nMH5c_LTtxEyH6hKv2Te5PpeFfezaIww\"}}", -EBADMSG);
        refused_sdk("{\"version\":2,\"algorithm\":\"X25519\",\"private_key\":\"_7X85w3aX16ioNS2VvachvqAKt6uumeZMAAuWxl5Nlo\","
                    "\"public_key\":{\"key\":\"j5vXoS5dK4dYLJ83ITfo8fJRCd-T-3XdMVeZbI_4qnE\"}}", -EINVAL);
        refused_sdk("{\"version\":1,\"algorithm\":\"P-256\",\"private_key\":\"_7X85w3aX16ioNS2VvachvqAKt6uumeZMAAuWxl5Nlo\","
                    "\"public_key\":{\"key\":\"j5vXoS5dK4dYLJ83ITfo8fJRCd-T-3XdMVeZbI_4qnE\"}}", -EINVAL);
        refused_sdk("{\"version\":1,\"algorithm\":\"X25519\",\"private_key\":\"short\"}", -EINVAL);
        refused_sdk("[]", -EINVAL);
        refused_sdk("", -EINVAL);
}

static void CX_07_the_old_key_opens_for_a_day_after_the_new_one_was_taken(void **state) {
        struct keyring k = made();
        char old[IICP_CX_KEY_ID_TEXT], fresh[IICP_CX_KEY_ID_TEXT];
        int64_t taken = NOW + 100;

        (void) state;
        strcpy(old, k.keys[0].key_id);
        assert_int_equal(keyring_rotate(NOW, &k), 0);
        assert_int_equal(keyring_rotate(NOW, &k), -EALREADY);
        strcpy(fresh, keyring_pending(&k)->key_id);
        /* both open, the old one is published, the new one is offered */
        assert_int_equal(k.n, 2);
        assert_string_equal(k.keys[0].key_id, old);
        assert_non_null(strstr(k.offer.p, fresh));
        assert_non_null(strstr(k.public_.p, old));
        assert_int_equal(keyring_promote("cx-0000000000000000", taken, &k), -ENOENT);
        assert_int_equal(keyring_promote(fresh, taken, &k), 0);
        assert_string_equal(k.keys[0].key_id, fresh);
        assert_string_equal(k.keys[1].key_id, old);
        assert_non_null(strstr(k.public_.p, fresh));
        assert_int_equal(k.offer.n, 0);
        assert_int_equal(keyring_next_expiry(&k, taken), DAY);
        assert_false(keyring_expire(taken + DAY - 1, &k));
        assert_int_equal(k.n, 2);
        assert_true(keyring_expire(taken + DAY, &k));
        assert_int_equal(k.n, 1);
        for (size_t i = 0; i < IICP_CX_KEY; i++)
                assert_int_equal(k.keys[1].priv[i], 0);
        assert_int_equal(keyring_next_expiry(&k, taken), -1);
        keyring_wipe(&k);
}

static void IICPD_05_08_a_pending_key_survives_a_restart(void **state) {
        struct keyring k = made();
        char fresh[IICP_CX_KEY_ID_TEXT];
        struct iicp_buf offer = {0};

        (void) state;
        assert_int_equal(keyring_rotate(NOW + DAY, &k), 0);
        strcpy(fresh, keyring_pending(&k)->key_id);
        iicp_buf_add_str(&offer, iicp_buf_str(&k.offer));
        k = again(&k, NOW + 2 * DAY);
        k = again(&k, NOW + 2 * DAY);
        assert_non_null(keyring_pending(&k));
        assert_string_equal(keyring_pending(&k)->key_id, fresh);
        assert_string_equal(k.offer.p, offer.p);
        /* the current one expired before the directory took it */
        k = again(&k, NOW + KEYRING_LIFE_S);
        assert_int_equal(k.n, 1);
        assert_string_equal(k.keys[0].key_id, fresh);
        assert_null(keyring_pending(&k));
        keyring_wipe(&k);
        iicp_buf_free(&offer);
}

static void IICPD_05_08_a_key_past_its_end_never_opens(void **state) {
        const struct iicp_cx_private *found = NULL;
        struct keyring k = made(), r = {0};
        struct iicp_buf text = {0};
        struct iicp_json conf;
        char body[128];

        (void) state;
        snprintf(body, sizeof(body), "{\"version\":1,\"recipient_key_id\":\"%s\"}", k.keys[0].key_id);
        assert_int_equal(iicp_json_scan(iicp_str(body), NULL, NULL, &conf), 0);
        assert_int_equal(iicp_cx_precheck(&conf, k.keys, k.n, NOW + KEYRING_LIFE_S - 1, &found), IICP_CX_OK);
        found = NULL;
        assert_int_equal(iicp_cx_precheck(&conf, k.keys, k.n, NOW + KEYRING_LIFE_S, &found), IICP_CX_EXPIRED);
        assert_null(found);
        assert_int_equal(keyring_write(&k, "node", &text), 0);
        assert_int_equal(keyring_parse(iicp_buf_str(&text), "node", NOW + KEYRING_LIFE_S, &r), -ESTALE);
        iicp_buf_wipe(&text);
        keyring_wipe(&k);
}

static void IICPD_05_08_many_rotations_stay_within_the_table(void **state) {
        struct keyring k = made();

        (void) state;
        for (int i = 0; i < 3 * KEYRING_KEYS_MAX; i++) {
                assert_int_equal(keyring_rotate(NOW + i, &k), 0);
                assert_int_equal(keyring_promote(keyring_pending(&k)->key_id, NOW + i, &k), 0);
        }
        assert_int_equal(k.n, KEYRING_KEYS_MAX);
        k = again(&k, NOW + 100);
        assert_int_equal(k.n, KEYRING_KEYS_MAX);
        keyring_wipe(&k);
}

/* ---- the sealed form ---- */

static void IICPD_05_31_state_keys_are_32_bytes(void **state) {
        static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        uint8_t key[STATE_KEY];

        (void) state;
        assert_int_equal(state_key_parse(iicp_str(hex), key), 0);
        for (size_t i = 0; i < STATE_KEY; i++)
                assert_int_equal(key[i], i);
        assert_int_equal(state_key_parse(iicp_str("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), key), 0);
        assert_int_equal(key[31], 31);
        assert_int_equal(state_key_parse(iicp_str("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"), key), 0);
        assert_int_equal(state_key_parse(iicp_str("0123456789abcdefghijklmnopqrstuv"), key), 0);
        assert_int_equal(state_key_parse((struct iicp_str){hex, 32}, key), -EINVAL);
        assert_int_equal(state_key_parse((struct iicp_str){hex, 62}, key), -EINVAL);
        assert_int_equal(state_key_parse(iicp_str(""), key), -EINVAL);
}

static int unsealed(const char *text, const char *name, uint8_t first) {
        uint8_t key[STATE_KEY] = {first};
        struct iicp_buf b = {.secret = true};
        int r;

        iicp_buf_puts(&b, text);
        r = state_unseal(key, name, &b);
        if (r == 0)
                assert_string_equal(b.p, "secret text");
        iicp_buf_wipe(&b);
        return r;
}

static void IICPD_05_31_sealed_files_open_with_their_key_and_name_only(void **state) {
        uint8_t key[STATE_KEY] = {7};
        struct iicp_buf sealed = {0};
        char *copy;

        (void) state;
        assert_int_equal(state_seal(key, "node", "identity.json", IICP_STR("secret text"), &sealed), 0);
        assert_null(strstr(sealed.p, "secret"));
        assert_true(state_is_sealed(iicp_buf_str(&sealed)));
        assert_false(state_is_sealed(IICP_STR("{\"version\":1,\"node_id\":\"node\"}")));
        assert_int_equal(unsealed(sealed.p, "identity.json", 7), 0);
        assert_int_equal(unsealed(sealed.p, "identity.json", 8), -EBADMSG);
        assert_int_equal(unsealed(sealed.p, "keyring.json", 7), -EBADMSG);
        copy = strdup(sealed.p);
        strstr(copy, "\"node\"")[1] = 'm';
        assert_int_equal(unsealed(copy, "identity.json", 7), -EBADMSG);
        free(copy);
        iicp_buf_free(&sealed);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_05_key_object_is_byte_stable),
                cmocka_unit_test(IICPD_05_06_key_files_of_the_sdks_are_read),
                cmocka_unit_test(IICPD_05_06_an_sdk_file_whose_halves_differ_is_refused),
                cmocka_unit_test(CX_07_the_old_key_opens_for_a_day_after_the_new_one_was_taken),
                cmocka_unit_test(IICPD_05_08_a_pending_key_survives_a_restart),
                cmocka_unit_test(IICPD_05_08_a_key_past_its_end_never_opens),
                cmocka_unit_test(IICPD_05_08_many_rotations_stay_within_the_table),
                cmocka_unit_test(IICPD_05_31_state_keys_are_32_bytes),
                cmocka_unit_test(IICPD_05_31_sealed_files_open_with_their_key_and_name_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
