/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_HMAC_H
#define IICP_HMAC_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lower-case hex HMAC-SHA256; key and message are used as they are, nothing is decoded.
 * [01 section 3.4] */
IICP_API int iicp_hmac_sha256_hex(struct iicp_str key, struct iicp_str message, char out[65]);
IICP_API int iicp_sha256(struct iicp_str message, uint8_t out[32]);
/* Constant-time comparison over the SHA-256 of both sides; false if either is absent or empty.
 * [05 section 1; SEC-AUTH-02, SEC-RN-01] */
IICP_API bool iicp_secret_eq(struct iicp_str a, struct iicp_str b);

#ifdef __cplusplus
}
#endif
#endif
