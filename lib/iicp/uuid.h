/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_UUID_H
#define IICP_UUID_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IICP_UUID_TEXT 37 /* 36 characters and NUL */

/* Random UUID v4 in lower case from the system random source. -EIO if that fails; never falls
 * back to anything weaker. */
IICP_API int iicp_uuid4(char out[IICP_UUID_TEXT]);
/* 8-4-4-4-12 hex, version 4, variant 8-b, any case. [iicp-core 3.1] */
IICP_API bool iicp_uuid4_valid(struct iicp_str text);
/* Any UUID form, version not looked at. [06 section 4.4] */
IICP_API bool iicp_uuid_valid(struct iicp_str text);
/* n bytes from the CSPRNG; -EIO on failure. */
IICP_API int iicp_random(void *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
