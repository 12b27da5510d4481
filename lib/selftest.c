/* SPDX-License-Identifier: Apache-2.0 */
#include "cx-internal.h"

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/hmac.h>
#include <openssl/evp.h>

/* Built-in known answers: one CX round trip, one Ed25519 verification, one HMAC. [05 section 16] */

static const uint8_t node_private[IICP_CX_KEY] = {
        0x22, 0x80, 0x90, 0x6f, 0x6c, 0xe7, 0xd7, 0xd5, 0x34, 0x95, 0xef, 0x9e, 0xbe, 0xa6, 0xdc, 0x32,
        0xa0, 0xd8, 0x49, 0xb9, 0x16, 0x8d, 0x4a, 0x4a, 0xc2, 0xef, 0xbd, 0x3d, 0x4d, 0xf0, 0xc3, 0xf2,
};
static const uint8_t ephemeral_private[IICP_CX_KEY] = {
        0x03, 0xc4, 0x79, 0x07, 0x16, 0x40, 0xff, 0xe3, 0x9c, 0x6c, 0x05, 0x23, 0x94, 0x2b, 0xd0, 0xb7,
        0xbb, 0x26, 0x26, 0x26, 0x25, 0x58, 0x02, 0x68, 0x30, 0x69, 0xa2, 0x13, 0xe6, 0x65, 0x4d, 0x97,
};
static const uint8_t nonce[IICP_CX_NONCE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

#define TASK_ID "550e8400-e29b-41d4-a716-446655440000"
#define INTENT "urn:iicp:intent:llm:chat:v1"
#define REQUEST_KEY "e62a1d32d4b919863f53f9a386abe6f28583d8c7974df308d04fc88d9e62c5db"

static int test_cx(void) {
        static const struct iicp_str payload = {"{\"messages\":[]}", 15};
        _cleanup_(iicp_buf_free) struct iicp_buf conf = {0}, opened = {0};
        struct iicp_cx_peer_key peer = {.key_id = "cx-5bee00e4433ca99a"};
        struct iicp_cx_private key = {.key_id = "cx-5bee00e4433ca99a", .not_after = INT64_MAX};
        struct iicp_cx_session ours = {0}, theirs = {0};
        uint8_t derived[32];
        char hex[65];
        struct iicp_json v;

        memcpy(key.priv, node_private, sizeof(key.priv));
        if (iicp_cx_public(node_private, peer.pub) < 0 ||
            cx_seal_request_with(&peer, IICP_STR(TASK_ID), IICP_STR(INTENT), payload, ephemeral_private, nonce,
                                 &conf, &theirs) < 0 ||
            iicp_json_scan(iicp_buf_str(&conf), NULL, NULL, &v) < 0 ||
            iicp_cx_open_request(&v, &key, IICP_STR(TASK_ID), IICP_STR(INTENT), &opened, &ours) != IICP_CX_OK ||
            !iicp_str_eq(iicp_buf_str(&opened), payload) ||
            cx_request_key(ours.shared, nonce, IICP_STR(TASK_ID), IICP_STR(INTENT), derived) < 0)
                return -EIO;
        iicp_hex(derived, sizeof(derived), hex);
        return strcmp(hex, REQUEST_KEY) == 0 ? 0 : -EIO;
}

/* RFC 8032, section 7.1, test 2: one byte. */
static int test_ed25519(void) {
        static const char pub_hex[] = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        static const char sig_hex[] = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                                      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        static const uint8_t message[1] = {0x72};
        uint8_t pub[32], sig[64];
        EVP_MD_CTX *ctx;
        EVP_PKEY *key;
        size_t n;
        int good;

        if (iicp_hex_decode(IICP_STR(pub_hex), pub, sizeof(pub), &n) < 0 ||
            iicp_hex_decode(IICP_STR(sig_hex), sig, sizeof(sig), &n) < 0)
                return -EIO;
        key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, sizeof(pub));
        ctx = EVP_MD_CTX_new();
        good = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
               EVP_DigestVerify(ctx, sig, sizeof(sig), message, sizeof(message)) == 1;
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(key);
        return good ? 0 : -EIO;
}

static int test_hmac(void) {
        char out[65];

        if (iicp_hmac_sha256_hex(IICP_STR("operator-chosen key with spaces"),
                                 IICP_STR("00112233445566778899aabbccddeeff"), out) < 0)
                return -EIO;
        return strcmp(out, "ce302a50c3f382c65410067ed810b2aee54ed7558f3845f5bf2082d923607754") == 0 ? 0 : -EIO;
}

int iicp_selftest(void) {
        return test_cx() < 0 || test_ed25519() < 0 || test_hmac() < 0 ? -EIO : 0;
}
