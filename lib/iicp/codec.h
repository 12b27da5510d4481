/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CODEC_H
#define IICP_CODEC_H

#include <iicp/buf.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text encodings of the wire, strict as 05 section 1 says. All decoders return -EINVAL for
 * malformed text and -ENOSPC when the result does not fit; nothing is written on failure. */

/* base64url without padding, n bytes in. */
IICP_API void iicp_b64url_add(struct iicp_buf *b, const void *p, size_t n);
/* Accepts '=' padding only where the total length is a multiple of 4; refuses length 1 mod 4,
 * white space, '+' and '/'. */
IICP_API int iicp_b64url_decode(struct iicp_str text, void *out, size_t cap, size_t *ret_n);
/* Standard alphabet, padding required. */
IICP_API void iicp_b64_add(struct iicp_buf *b, const void *p, size_t n);
IICP_API int iicp_b64_decode(struct iicp_str text, void *out, size_t cap, size_t *ret_n);
/* Lower case out, either case in. out holds 2*n+1 bytes. */
IICP_API void iicp_hex(const void *p, size_t n, char *out);
IICP_API int iicp_hex_decode(struct iicp_str text, void *out, size_t cap, size_t *ret_n);

#ifdef __cplusplus
}
#endif
#endif
