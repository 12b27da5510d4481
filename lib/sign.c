/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/sign.h>

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/hmac.h>
#include <openssl/evp.h>

int iicp_sign_public(const uint8_t seed[IICP_SEED], uint8_t ret_public[IICP_SIGN_KEY]) {
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, IICP_SEED);
        uint8_t pub[IICP_SIGN_KEY];
        size_t n = sizeof(pub);
        bool good = key && EVP_PKEY_get_raw_public_key(key, pub, &n) == 1 && n == sizeof(pub);

        EVP_PKEY_free(key);
        if (!good)
                return -EIO;
        memcpy(ret_public, pub, sizeof(pub));
        return 0;
}

int iicp_sign(const uint8_t seed[IICP_SEED], struct iicp_str message, uint8_t ret_signature[IICP_SIGNATURE]) {
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, IICP_SEED);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        size_t n = IICP_SIGNATURE;
        bool good = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
                    EVP_DigestSign(ctx, ret_signature, &n, (const uint8_t *) message.p, message.n) == 1;

        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(key);
        return good && n == IICP_SIGNATURE ? 0 : -EIO;
}

bool iicp_sign_verify(const uint8_t key[IICP_SIGN_KEY], struct iicp_str message,
                      const uint8_t signature[IICP_SIGNATURE]) {
        EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, IICP_SIGN_KEY);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool good = pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
                    EVP_DigestVerify(ctx, signature, IICP_SIGNATURE, (const uint8_t *) message.p,
                                     message.n) == 1;

        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
        return good;
}

void iicp_sign_fingerprint(const uint8_t key[IICP_SIGN_KEY], char out[IICP_FINGERPRINT]) {
        uint8_t hash[32] = {0};

        iicp_sha256((struct iicp_str){(const char *) key, IICP_SIGN_KEY}, hash);
        iicp_hex(hash, (IICP_FINGERPRINT - 1) / 2, out);
}
