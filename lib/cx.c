/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/cx.h>

#include "cx-internal.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/hmac.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <time.h>

static void pkey_freep(EVP_PKEY **p) {
        EVP_PKEY_free(*p);
}

static void pkey_ctx_freep(EVP_PKEY_CTX **p) {
        EVP_PKEY_CTX_free(*p);
}

static void cipher_ctx_freep(EVP_CIPHER_CTX **p) {
        EVP_CIPHER_CTX_free(*p);
}

void iicp_wipe(void *p, size_t n) {
        if (p)
                OPENSSL_cleanse(p, n);
}

const char *iicp_cx_detail_code(enum iicp_cx_fault fault) {
        switch (fault) {
        case IICP_CX_UNKNOWN_KEY: return "IICP-E060";
        case IICP_CX_VERSION: return "IICP-E061";
        case IICP_CX_UNDECODABLE: return "IICP-E062";
        case IICP_CX_EXPIRED: return "IICP-E063";
        case IICP_CX_OFF: return "IICP-E064";
        default: return NULL;
        }
}

int iicp_cx_keygen(uint8_t priv[IICP_CX_KEY], uint8_t pub[IICP_CX_KEY]) {
        if (RAND_priv_bytes(priv, IICP_CX_KEY) != 1)
                return -EIO;
        return iicp_cx_public(priv, pub);
}

int iicp_cx_public(const uint8_t priv[IICP_CX_KEY], uint8_t pub[IICP_CX_KEY]) {
        _cleanup_(pkey_freep) EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, IICP_CX_KEY);
        size_t n = IICP_CX_KEY;

        return key && EVP_PKEY_get_raw_public_key(key, pub, &n) == 1 && n == IICP_CX_KEY ? 0 : -EIO;
}

int iicp_cx_key_id(const uint8_t pub[IICP_CX_KEY], char out[IICP_CX_KEY_ID_TEXT]) {
        uint8_t digest[32];
        char hex[65];
        int r = iicp_sha256((struct iicp_str){(const char *) pub, IICP_CX_KEY}, digest);

        if (r < 0)
                return r;
        iicp_hex(digest, sizeof(digest), hex);
        snprintf(out, IICP_CX_KEY_ID_TEXT, "cx-%.16s", hex);
        return 0;
}

void iicp_cx_key_object(const uint8_t pub[IICP_CX_KEY], int64_t not_after, struct iicp_buf *out) {
        char key_id[IICP_CX_KEY_ID_TEXT], when[32];
        time_t t = (time_t) not_after;
        struct tm tm;

        if (iicp_cx_key_id(pub, key_id) < 0 || !gmtime_r(&t, &tm)) {
                out->error = -EIO;
                return;
        }
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
        iicp_buf_puts(out, "{\"algorithm\":\"X25519\",\"encoding\":\"base64url\",\"key\":\"");
        iicp_b64url_add(out, pub, IICP_CX_KEY);
        iicp_buf_printf(out, "\",\"key_id\":\"%s\",\"not_after\":\"%s\",\"hybrid_pq\":null,\"features\":[\"%s\"]}",
                        key_id, when, IICP_CX_FEATURE_RESPONSE);
}

int cx_shared(const uint8_t priv[IICP_CX_KEY], const uint8_t peer[IICP_CX_KEY], uint8_t ret[32]) {
        static const uint8_t zero[32];
        _cleanup_(pkey_freep) EVP_PKEY *mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, IICP_CX_KEY);
        _cleanup_(pkey_freep) EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, IICP_CX_KEY);
        _cleanup_(pkey_ctx_freep) EVP_PKEY_CTX *ctx = mine ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
        size_t n = 32;

        if (!ctx || !theirs || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, theirs) != 1)
                return -EIO;
        /* The library refuses an all-zero result by itself; this looks again. */
        if (EVP_PKEY_derive(ctx, ret, &n) != 1 || n != 32 || CRYPTO_memcmp(ret, zero, 32) == 0) {
                iicp_wipe(ret, 32);
                return -EKEYREJECTED;
        }
        return 0;
}

static int hkdf(const uint8_t shared[32], const uint8_t salt[IICP_CX_NONCE], struct iicp_str info, uint8_t ret[32]) {
        _cleanup_(pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
        size_t n = 32;

        if (!ctx || info.n > INT32_MAX || EVP_PKEY_derive_init(ctx) != 1 ||
            EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) != 1 ||
            EVP_PKEY_CTX_set1_hkdf_salt(ctx, salt, IICP_CX_NONCE) != 1 ||
            EVP_PKEY_CTX_set1_hkdf_key(ctx, shared, 32) != 1 ||
            EVP_PKEY_CTX_add1_hkdf_info(ctx, (const uint8_t *) info.p, (int) info.n) != 1 ||
            EVP_PKEY_derive(ctx, ret, &n) != 1 || n != 32)
                return -EIO;
        return 0;
}

/* Key of one direction: HKDF over label || parts. */
static int derive(const uint8_t shared[32], const uint8_t nonce[IICP_CX_NONCE], const char *label,
                  struct iicp_str a, struct iicp_str b, uint8_t ret[32]) {
        _cleanup_(iicp_buf_free) struct iicp_buf info = {0};

        iicp_buf_puts(&info, label);
        iicp_buf_add_str(&info, a);
        iicp_buf_add_str(&info, b);
        return info.error ? info.error : hkdf(shared, nonce, iicp_buf_str(&info), ret);
}

int cx_request_key(const uint8_t shared[32], const uint8_t nonce[IICP_CX_NONCE], struct iicp_str task_id,
                   struct iicp_str intent, uint8_t ret[32]) {
        return derive(shared, nonce, "IICP-CX-v1", task_id, intent, ret);
}

int cx_response_key(const uint8_t shared[32], const uint8_t nonce[IICP_CX_NONCE], struct iicp_str task_id,
                    uint8_t ret[32]) {
        return derive(shared, nonce, "IICP-CX-RESP-v1", task_id, IICP_STR_NONE, ret);
}

int iicp_aead_seal(const uint8_t key[32], const uint8_t nonce[IICP_CX_NONCE], struct iicp_str aad,
            struct iicp_str plain, uint8_t *out) {
        _cleanup_(cipher_ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int n = 0, tail = 0;

        if (!ctx || plain.n > INT32_MAX || aad.n > INT32_MAX ||
            EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
            EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *) aad.p, (int) aad.n) != 1 ||
            EVP_EncryptUpdate(ctx, out, &n, (const uint8_t *) plain.p, (int) plain.n) != 1 ||
            EVP_EncryptFinal_ex(ctx, out + n, &tail) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, IICP_CX_TAG, out + plain.n) != 1)
                return -EIO;
        return 0;
}

int iicp_aead_open(const uint8_t key[32], const uint8_t nonce[IICP_CX_NONCE], struct iicp_str aad,
              struct iicp_str sealed, uint8_t *out) {
        _cleanup_(cipher_ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        size_t body = sealed.n < IICP_CX_TAG ? 0 : sealed.n - IICP_CX_TAG;
        uint8_t tag[IICP_CX_TAG];
        int n = 0, tail = 0;

        if (sealed.n < IICP_CX_TAG)
                return -EBADMSG;
        if (!ctx || sealed.n > INT32_MAX || aad.n > INT32_MAX)
                return -EIO;
        memcpy(tag, sealed.p + body, sizeof(tag));
        if (EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
            EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *) aad.p, (int) aad.n) == 1 &&
            EVP_DecryptUpdate(ctx, out, &n, (const uint8_t *) sealed.p, (int) body) == 1 &&
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, IICP_CX_TAG, tag) == 1 &&
            EVP_DecryptFinal_ex(ctx, out + n, &tail) == 1)
                return 0;
        iicp_wipe(out, body);
        return -EBADMSG;
}

/* A base64url member of exactly or at least n bytes. */
int cx_member(const struct iicp_json *object, const char *name, void *out, size_t n) {
        struct iicp_json v = iicp_json_get(object, name);
        size_t got = 0;

        if (v.type != IICP_JSON_STRING || v.escaped || iicp_b64url_decode(v.text, out, n, &got) < 0 || got != n)
                return -EBADMSG;
        return 0;
}

int cx_body(const struct iicp_json *object, struct iicp_buf *ret) {
        struct iicp_json v = iicp_json_get(object, "encrypted_body");
        size_t n = 0;
        char *out;

        if (v.type != IICP_JSON_STRING || v.escaped)
                return -EBADMSG;
        out = iicp_buf_reserve(ret, v.text.n / 4 * 3 + 3);
        if (!out)
                return -ENOMEM;
        if (iicp_b64url_decode(v.text, out, v.text.n / 4 * 3 + 3, &n) < 0 || n < IICP_CX_TAG)
                return -EBADMSG;
        ret->n += n;
        return 0;
}

bool cx_is_version_1(const struct iicp_json *object) {
        struct iicp_json v = iicp_json_get(object, "version");
        int64_t n;

        return iicp_json_int(&v, &n) == 0 && n == 1;
}

void cx_request_aad(struct iicp_str task_id, struct iicp_str intent, struct iicp_buf *out) {
        iicp_buf_add_str(out, task_id);
        iicp_buf_puts(out, "|");
        iicp_buf_add_str(out, intent);
}

void cx_response_aad(struct iicp_str task_id, const char *suffix, struct iicp_buf *out) {
        iicp_buf_add_str(out, task_id);
        iicp_buf_puts(out, "|");
        iicp_buf_puts(out, suffix);
}
