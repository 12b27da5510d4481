/* SPDX-License-Identifier: Apache-2.0 */
#include "cx-internal.h"

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/time.h>
#include <iicp/uuid.h>

static bool expired(const struct iicp_json *object, int64_t now_s) {
        struct iicp_json v = iicp_json_get(object, "not_after");
        char text[64];

        if (v.type == IICP_JSON_NONE || v.type == IICP_JSON_NULL)
                return false;
        return iicp_json_copy(&v, text, sizeof(text)) < 0 || iicp_time_parse(text) <= now_s;
}

static bool has_feature(const struct iicp_json *object, const char *feature) {
        struct iicp_json list = iicp_json_get(object, "features"), v;
        struct iicp_json_iter it;

        if (list.type != IICP_JSON_ARRAY)
                return false;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &v))
                if (iicp_json_is(&v, feature))
                        return true;
        return false;
}

/* A point of small order gives the same all-zero secret with whatever key we make: every private key
 * is a multiple of eight. So one trial says it for all. [05 section 3.9] */
static bool low_order(const uint8_t pub[IICP_CX_KEY]) {
        static const uint8_t trial[IICP_CX_KEY] = {9};
        uint8_t shared[32];
        int r = cx_shared(trial, pub, shared);

        iicp_wipe(shared, sizeof(shared));
        return r < 0;
}

int iicp_cx_peer_key_parse(const struct iicp_json *object, int64_t now_s, struct iicp_cx_peer_key *ret) {
        struct iicp_json algorithm = iicp_json_get(object, "algorithm"), id = iicp_json_get(object, "key_id");
        struct iicp_cx_peer_key k = {0};

        if (!iicp_json_is(&algorithm, "X25519") || cx_member(object, "key", k.pub, sizeof(k.pub)) < 0 ||
            iicp_json_copy(&id, k.key_id, sizeof(k.key_id)) < 0 || !k.key_id[0] || expired(object, now_s) ||
            low_order(k.pub))
                return -EINVAL;
        k.response_encryption = has_feature(object, IICP_CX_FEATURE_RESPONSE);
        *ret = k;
        return 0;
}

static void write_conf(const struct iicp_cx_peer_key *key, const uint8_t pub[IICP_CX_KEY],
                       const uint8_t nonce[IICP_CX_NONCE], struct iicp_str sealed, struct iicp_str aad,
                       struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"version\":1,\"recipient_key_id\":");
        iicp_buf_json_str(out, iicp_str(key->key_id));
        iicp_buf_puts(out, ",\"kem_ciphertext\":\"");
        iicp_b64url_add(out, pub, IICP_CX_KEY);
        iicp_buf_puts(out, "\",\"nonce\":\"");
        iicp_b64url_add(out, nonce, IICP_CX_NONCE);
        iicp_buf_puts(out, "\",\"encrypted_body\":\"");
        iicp_b64url_add(out, sealed.p, sealed.n);
        iicp_buf_puts(out, "\",\"aad\":\"");
        iicp_b64url_add(out, aad.p, aad.n);
        iicp_buf_printf(out, "\",\"plaintext_size\":%zu}", sealed.n - IICP_CX_TAG);
}

int cx_seal_request_with(const struct iicp_cx_peer_key *key, struct iicp_str task_id, struct iicp_str intent,
                         struct iicp_str payload, const uint8_t ephemeral[IICP_CX_KEY],
                         const uint8_t nonce[IICP_CX_NONCE], struct iicp_buf *out,
                         struct iicp_cx_session *ret_session) {
        _cleanup_(iicp_buf_free) struct iicp_buf aad = {0};
        _cleanup_free_ uint8_t *sealed = malloc(payload.n + IICP_CX_TAG);
        uint8_t pub[IICP_CX_KEY], shared[32], k[32];
        int r;

        cx_request_aad(task_id, intent, &aad);
        if (!sealed || aad.error)
                return -ENOMEM;
        r = iicp_cx_public(ephemeral, pub);
        if (r == 0)
                r = cx_shared(ephemeral, key->pub, shared);
        if (r < 0)
                return r;
        r = cx_request_key(shared, nonce, task_id, intent, k);
        if (r == 0)
                r = iicp_aead_seal(k, nonce, iicp_buf_str(&aad), payload, sealed);
        iicp_wipe(k, sizeof(k));
        if (r == 0) {
                write_conf(key, pub, nonce, (struct iicp_str){(char *) sealed, payload.n + IICP_CX_TAG},
                           iicp_buf_str(&aad), out);
                memcpy(ret_session->shared, shared, sizeof(shared));
                ret_session->valid = true;
                r = out->error;
        }
        iicp_wipe(shared, sizeof(shared));
        return r;
}

int iicp_cx_seal_request(const struct iicp_cx_peer_key *key, struct iicp_str task_id, struct iicp_str intent,
                         struct iicp_str payload, struct iicp_buf *out, struct iicp_cx_session *ret_session) {
        uint8_t ephemeral[IICP_CX_KEY], pub[IICP_CX_KEY], nonce[IICP_CX_NONCE];
        int r = iicp_cx_keygen(ephemeral, pub);

        if (r == 0)
                r = iicp_random(nonce, sizeof(nonce));
        if (r == 0)
                r = cx_seal_request_with(key, task_id, intent, payload, ephemeral, nonce, out, ret_session);
        iicp_wipe(ephemeral, sizeof(ephemeral));
        return r;
}

int cx_open_sealed(const struct iicp_cx_session *s, struct iicp_str task_id, const char *suffix,
                   const struct iicp_json *iicp_conf_resp, struct iicp_buf *ret_plain) {
        _cleanup_(iicp_buf_free) struct iicp_buf sealed = {0}, aad = {0};
        uint8_t nonce[IICP_CX_NONCE], key[32], *out;
        struct iicp_json v;
        size_t n;
        int r;

        if (!s->valid || !cx_is_version_1(iicp_conf_resp) ||
            cx_member(iicp_conf_resp, "nonce", nonce, sizeof(nonce)) < 0 || cx_body(iicp_conf_resp, &sealed) < 0)
                return -EBADMSG;
        cx_response_aad(task_id, suffix, &aad);
        n = sealed.n - IICP_CX_TAG;
        out = (uint8_t *) iicp_buf_reserve(ret_plain, n + 1);
        if (!out || aad.error)
                return -ENOMEM;
        r = cx_response_key(s->shared, nonce, task_id, key);
        if (r == 0)
                r = iicp_aead_open(key, nonce, iicp_buf_str(&aad), iicp_buf_str(&sealed), out);
        iicp_wipe(key, sizeof(key));
        if (r < 0) {
                iicp_buf_wipe(ret_plain);
                return -EBADMSG;
        }
        ret_plain->n += n;
        ret_plain->p[ret_plain->n] = '\0';
        if (iicp_json_scan(iicp_buf_str(ret_plain), NULL, NULL, &v) == 0 && v.type == IICP_JSON_OBJECT)
                return 0;
        iicp_buf_wipe(ret_plain);
        return -EBADMSG;
}

int iicp_cx_open_response(const struct iicp_cx_session *s, struct iicp_str task_id,
                          const struct iicp_json *iicp_conf_resp, struct iicp_buf *ret_plain) {
        return cx_open_sealed(s, task_id, "resp", iicp_conf_resp, ret_plain);
}
