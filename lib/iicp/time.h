/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_TIME_H
#define IICP_TIME_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* RFC 3339 with seconds, optional fraction and offset, as Unix seconds; -1 if it is none. */
IICP_API int64_t iicp_time_parse(const char *text);
/* "YYYY-MM-DDThh:mm:ssZ"; years beyond 0001-9999 become the nearest. */
#define IICP_TIME_TEXT 21
IICP_API void iicp_time_text(int64_t unix_s, char out[IICP_TIME_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
