/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_SIGN_H
#define IICP_SIGN_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Ed25519 over bytes as they are. [05 section 1] */
#define IICP_SEED 32
#define IICP_SIGN_KEY 32
#define IICP_SIGNATURE 64

IICP_API int iicp_sign_public(const uint8_t seed[IICP_SEED], uint8_t ret_public[IICP_SIGN_KEY]);
IICP_API int iicp_sign(const uint8_t seed[IICP_SEED], struct iicp_str message,
                       uint8_t ret_signature[IICP_SIGNATURE]);
IICP_API bool iicp_sign_verify(const uint8_t key[IICP_SIGN_KEY], struct iicp_str message,
                               const uint8_t signature[IICP_SIGNATURE]);

/* Fingerprint of a public key for people: the first 12 hex digits of its SHA-256; also the key_id
 * of signed manifests. */
#define IICP_FINGERPRINT 13
IICP_API void iicp_sign_fingerprint(const uint8_t key[IICP_SIGN_KEY], char out[IICP_FINGERPRINT]);

#ifdef __cplusplus
}
#endif
#endif
