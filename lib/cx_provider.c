/* SPDX-License-Identifier: Apache-2.0 */
#include "cx-internal.h"

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/uuid.h>

/* Steps 3 and 4 of 05 section 3.6. */
enum iicp_cx_fault iicp_cx_precheck(const struct iicp_json *iicp_conf, const struct iicp_cx_private *keys,
                                    size_t n_keys, int64_t now_s, const struct iicp_cx_private **ret_key) {
        struct iicp_json id = iicp_json_get(iicp_conf, "recipient_key_id");

        if (!cx_is_version_1(iicp_conf))
                return IICP_CX_VERSION;
        for (size_t i = 0; i < n_keys; i++)
                if (id.type == IICP_JSON_STRING && iicp_json_is(&id, keys[i].key_id)) {
                        if (now_s >= keys[i].not_after)
                                return IICP_CX_EXPIRED;
                        *ret_key = &keys[i];
                        return IICP_CX_OK;
                }
        return IICP_CX_UNKNOWN_KEY;
}

/* The copy in the envelope may be absent; if it is there it says what the outer request says. */
static bool aad_agrees(const struct iicp_json *iicp_conf, struct iicp_str aad) {
        struct iicp_json given = iicp_json_get(iicp_conf, "aad");
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        if (given.type == IICP_JSON_NONE)
                return true;
        if (given.type != IICP_JSON_STRING || given.escaped || given.text.n > aad.n * 2 + 8)
                return false;
        text = malloc(aad.n + 4);
        return text && iicp_b64url_decode(given.text, text, aad.n + 4, &n) == 0 && n == aad.n &&
               memcmp(text, aad.p, n) == 0;
}

static enum iicp_cx_fault open_with(const uint8_t shared[32], const uint8_t nonce[IICP_CX_NONCE],
                                    struct iicp_str task_id, struct iicp_str intent, struct iicp_str aad,
                                    struct iicp_str sealed, struct iicp_buf *ret_payload) {
        size_t n = sealed.n - IICP_CX_TAG;
        uint8_t key[32], *out;
        int r;

        if (n > IICP_BODY_MAX)
                return IICP_CX_NOT_OBJECT;
        out = (uint8_t *) iicp_buf_reserve(ret_payload, n + 1);
        if (!out || cx_request_key(shared, nonce, task_id, intent, key) < 0)
                return IICP_CX_FAILED;
        r = iicp_aead_open(key, nonce, aad, sealed, out);
        iicp_wipe(key, sizeof(key));
        if (r < 0)
                return r == -EBADMSG ? IICP_CX_UNDECODABLE : IICP_CX_FAILED;
        ret_payload->n += n;
        ret_payload->p[ret_payload->n] = '\0';
        return IICP_CX_OK;
}

static bool is_object(struct iicp_str text) {
        struct iicp_json v;
        int r = iicp_json_scan(text, NULL, NULL, &v);

        return (r == 0 && v.type == IICP_JSON_OBJECT);
}

enum iicp_cx_fault iicp_cx_open_request(const struct iicp_json *iicp_conf, const struct iicp_cx_private *key,
                                        struct iicp_str task_id, struct iicp_str intent,
                                        struct iicp_buf *ret_payload, struct iicp_cx_session *ret_session) {
        _cleanup_(iicp_buf_free) struct iicp_buf sealed = {0}, aad = {0};
        uint8_t ephemeral[IICP_CX_KEY], nonce[IICP_CX_NONCE], shared[32];
        enum iicp_cx_fault fault;
        int r;

        if (cx_member(iicp_conf, "kem_ciphertext", ephemeral, sizeof(ephemeral)) < 0 ||
            cx_member(iicp_conf, "nonce", nonce, sizeof(nonce)) < 0)
                return IICP_CX_UNDECODABLE;
        r = cx_body(iicp_conf, &sealed);
        if (r < 0)
                return r == -ENOMEM ? IICP_CX_FAILED : IICP_CX_UNDECODABLE;
        cx_request_aad(task_id, intent, &aad);
        if (aad.error)
                return IICP_CX_FAILED;
        if (!aad_agrees(iicp_conf, iicp_buf_str(&aad)))
                return IICP_CX_UNDECODABLE;
        r = cx_shared(key->priv, ephemeral, shared);
        if (r < 0)
                return r == -EKEYREJECTED ? IICP_CX_UNDECODABLE : IICP_CX_FAILED;
        fault = open_with(shared, nonce, task_id, intent, iicp_buf_str(&aad), iicp_buf_str(&sealed), ret_payload);
        if (fault == IICP_CX_OK && !is_object(iicp_buf_str(ret_payload)))
                fault = IICP_CX_NOT_OBJECT;
        if (fault == IICP_CX_OK) {
                memcpy(ret_session->shared, shared, sizeof(shared));
                ret_session->valid = true;
        } else
                iicp_buf_wipe(ret_payload);
        iicp_wipe(shared, sizeof(shared));
        return fault;
}

int cx_seal_response_with(const struct iicp_cx_session *s, struct iicp_str task_id, const char *suffix,
                          struct iicp_str plaintext, const uint8_t nonce[IICP_CX_NONCE],
                          struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf aad = {0};
        _cleanup_free_ uint8_t *sealed = malloc(plaintext.n + IICP_CX_TAG);
        uint8_t key[32];
        int r;

        if (!s->valid)
                return -EINVAL;
        cx_response_aad(task_id, suffix, &aad);
        if (!sealed || aad.error)
                return -ENOMEM;
        r = cx_response_key(s->shared, nonce, task_id, key);
        if (r == 0)
                r = iicp_aead_seal(key, nonce, iicp_buf_str(&aad), plaintext, sealed);
        iicp_wipe(key, sizeof(key));
        if (r < 0)
                return r;
        iicp_buf_puts(out, "{\"version\":1,\"nonce\":\"");
        iicp_b64url_add(out, nonce, IICP_CX_NONCE);
        iicp_buf_puts(out, "\",\"encrypted_body\":\"");
        iicp_b64url_add(out, sealed, plaintext.n + IICP_CX_TAG);
        iicp_buf_puts(out, "\"}");
        return out->error;
}

int iicp_cx_seal_response(const struct iicp_cx_session *s, struct iicp_str task_id, struct iicp_str plaintext,
                          struct iicp_buf *out) {
        uint8_t nonce[IICP_CX_NONCE];
        int r = iicp_random(nonce, sizeof(nonce));

        return r < 0 ? r : cx_seal_response_with(s, task_id, "resp", plaintext, nonce, out);
}
