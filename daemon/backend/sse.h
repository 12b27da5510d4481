/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BACKEND_SSE_H
#define IICPD_BACKEND_SSE_H

/* The data lines of a server-sent event stream, out of pieces of any size. Lines end with LF or CRLF;
 * comments, blank lines and other fields are skipped. [02 sections 10.8, 10.10 rule 10] */

#include <iicp/buf.h>

#define SSE_LINE_MAX ((size_t) 1024 * 1024) /* bytes of one line without its end [02 section 10.8] */
#define SSE_LINE_KEPT ((size_t) 4096)       /* room that a stream keeps between two pieces */

enum sse_result {
        SSE_MORE, /* the piece is used up */
        SSE_DATA, /* *ret is the value of a data line, borrowed until the next call */
        SSE_FAULT /* a line too long, or no memory */
};

struct sse {
        struct iicp_buf line; /* the part that came already */
        bool whole;           /* it was given out and goes with the next call */
};

void sse_init(struct sse *s);
void sse_done(struct sse *s);
/* Takes from *piece up to the end of the next data line. */
enum sse_result sse_next(struct sse *s, struct iicp_str *piece, struct iicp_str *ret);
/* The stream has ended: a last line without its end still counts. */
enum sse_result sse_last(struct sse *s, struct iicp_str *ret);

#endif
