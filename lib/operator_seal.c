/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/operator.h>

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

/* An operator's seed under a passphrase: PBKDF2 and AES-256-GCM, bound to the operator's id.
 * [05 section 8.2] */

#define SALT 16
#define SALT_MAX 64
#define NONCE 12
#define TAG 16
#define PASSPHRASE_MAX 4096

static int derive(struct iicp_str passphrase, const uint8_t *salt, size_t n_salt, int64_t iterations,
                  uint8_t ret[32]) {
        if (passphrase.n > PASSPHRASE_MAX ||
            PKCS5_PBKDF2_HMAC(passphrase.p, (int) passphrase.n, salt, (int) n_salt, (int) iterations, EVP_sha256(),
                              32, ret) != 1)
                return -EIO;
        return 0;
}

static bool gcm(bool seal, const uint8_t key[32], const uint8_t nonce[NONCE], struct iicp_str aad,
                const uint8_t *in, uint8_t tag[TAG], uint8_t *out) {
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int n, way = seal ? 1 : 0;
        bool good = ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, way) == 1 &&
                    EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *) aad.p, (int) aad.n) == 1 &&
                    EVP_CipherUpdate(ctx, out, &n, in, IICP_SEED) == 1;

        if (good && !seal)
                good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1;
        if (good)
                good = EVP_CipherFinal_ex(ctx, out + IICP_SEED, &n) == 1;
        if (good && seal)
                good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, tag) == 1;
        EVP_CIPHER_CTX_free(ctx);
        return good;
}

int iicp_seed_seal(const uint8_t seed[IICP_SEED], struct iicp_str passphrase, const char *id, struct iicp_buf *out) {
        uint8_t salt[SALT], nonce[NONCE], key[32], ct[IICP_SEED + TAG];
        int r = -EIO;

        if (passphrase.n == 0)
                return -EINVAL;
        if (RAND_bytes(salt, sizeof(salt)) == 1 && RAND_bytes(nonce, sizeof(nonce)) == 1 &&
            derive(passphrase, salt, sizeof(salt), IICP_SEAL_ITERATIONS, key) == 0 &&
            gcm(true, key, nonce, iicp_str(id), seed, ct + IICP_SEED, ct))
                r = 0;
        OPENSSL_cleanse(key, sizeof(key));
        if (r < 0)
                return r;
        iicp_buf_printf(out, "{\"v\":1,\"kdf\":\"pbkdf2-hmac-sha256\",\"iter\":%d,\"salt\":\"", IICP_SEAL_ITERATIONS);
        iicp_b64_add(out, salt, sizeof(salt));
        iicp_buf_puts(out, "\",\"nonce\":\"");
        iicp_b64_add(out, nonce, sizeof(nonce));
        iicp_buf_puts(out, "\",\"ct\":\"");
        iicp_b64_add(out, ct, sizeof(ct));
        iicp_buf_puts(out, "\"}");
        return out->error;
}

/* Bytes of a base64 member; false if it is none, or not of the wanted length. */
static bool bytes(const struct iicp_json *record, const char *name, uint8_t *out, size_t cap, size_t *ret_n) {
        struct iicp_json v = iicp_json_get(record, name);

        return v.type == IICP_JSON_STRING && !v.escaped && iicp_b64_decode(v.text, out, cap, ret_n) == 0;
}

enum iicp_operator_fault iicp_seed_unseal(const struct iicp_json *record, struct iicp_str passphrase,
                                          struct iicp_str id, uint8_t ret[IICP_SEED]) {
        struct iicp_json v = iicp_json_get(record, "v"), kdf = iicp_json_get(record, "kdf");
        struct iicp_json iter = iicp_json_get(record, "iter");
        uint8_t salt[SALT_MAX], nonce[NONCE], ct[IICP_SEED + TAG], key[32], seed[IICP_SEED + TAG];
        size_t n_salt, n_nonce, n_ct;
        int64_t version, iterations;
        bool opened;

        if (record->type != IICP_JSON_OBJECT || iicp_json_int(&v, &version) < 0 || version != 1 ||
            kdf.type != IICP_JSON_STRING || !iicp_json_is(&kdf, "pbkdf2-hmac-sha256") ||
            iicp_json_int(&iter, &iterations) < 0 || iterations < IICP_SEAL_ITERATIONS_MIN ||
            iterations > IICP_SEAL_ITERATIONS_MAX || !bytes(record, "salt", salt, sizeof(salt), &n_salt) ||
            n_salt < 8 || !bytes(record, "nonce", nonce, sizeof(nonce), &n_nonce) || n_nonce != NONCE ||
            !bytes(record, "ct", ct, sizeof(ct), &n_ct) || n_ct != sizeof(ct))
                return IICP_OPERATOR_SEAL;
        if (derive(passphrase, salt, n_salt, iterations, key) < 0)
                return IICP_OPERATOR_FAILED;
        opened = gcm(false, key, nonce, id, ct, ct + IICP_SEED, seed);
        OPENSSL_cleanse(key, sizeof(key));
        if (opened)
                memcpy(ret, seed, IICP_SEED);
        OPENSSL_cleanse(seed, sizeof(seed));
        return opened ? IICP_OPERATOR_OK : IICP_OPERATOR_PASSPHRASE;
}
