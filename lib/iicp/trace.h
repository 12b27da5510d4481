/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_TRACE_H
#define IICP_TRACE_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IICP_TRACEPARENT_TEXT 56 /* 55 characters and NUL */

/* W3C trace context. [02 section 13.4; 06 section 12] */
struct iicp_trace {
        char trace_id[33]; /* 32 lower hex, not all zero */
        char span_id[17];  /* 16 lower hex, not all zero */
        char flags[3];     /* 2 hex */
};

/* -EINVAL unless valid; unknown higher versions are read by their first four fields, "ff" is
 * invalid. */
IICP_API int iicp_trace_parse(struct iicp_str header, struct iicp_trace *ret);
/* New random ids, flags "01". */
IICP_API int iicp_trace_new(struct iicp_trace *ret);
/* The same from random bytes of the caller, who may draw them for many at once. -EINVAL: one of the
 * ids would be zero. */
#define IICP_TRACE_RANDOM 24
IICP_API int iicp_trace_of(const unsigned char random[IICP_TRACE_RANDOM], struct iicp_trace *ret);
/* Same trace, new span id. */
IICP_API int iicp_trace_child(const struct iicp_trace *parent, struct iicp_trace *ret);
IICP_API void iicp_trace_format(const struct iicp_trace *t, char out[IICP_TRACEPARENT_TEXT]);
/* 32 lower hex digits, not all zero. */
IICP_API bool iicp_trace_id_valid(struct iicp_str text);

#ifdef __cplusplus
}
#endif
#endif
