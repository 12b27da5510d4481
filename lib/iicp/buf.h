/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_BUF_H
#define IICP_BUF_H

#include <iicp/base.h>
#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A growing byte buffer with an upper bound. Errors are sticky: after an allocation failure or a
 * write past `max`, `error` holds -ENOMEM or -E2BIG and later writes do nothing, so that a builder
 * checks once, at its end. Zero-initialise it (max == 0 means IICP_BUF_MAX); free with
 * iicp_buf_free, or iicp_buf_wipe if it held secrets or payload; set `secret` before the first write
 * if growing must not leave copies behind either. p is NUL-terminated whenever it is not NULL; the
 * NUL is not counted in n. */
struct iicp_buf {
        char *p;
        size_t n, cap, max;
        int error;
        bool secret;
};

#define IICP_BUF_MAX ((size_t) 16 * 1024 * 1024)

IICP_API void iicp_buf_add(struct iicp_buf *b, const void *p, size_t n);
IICP_API void iicp_buf_add_str(struct iicp_buf *b, struct iicp_str s);
IICP_API void iicp_buf_puts(struct iicp_buf *b, const char *s);
IICP_API void iicp_buf_printf(struct iicp_buf *b, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));
/* Room for n more bytes at the returned place (NULL: sticky error); commit with b->n += used
 * and b->p[b->n] = 0. */
IICP_API char *iicp_buf_reserve(struct iicp_buf *b, size_t n);
/* A JSON string with its quotes; s must be UTF-8, other bytes become U+FFFD. */
IICP_API void iicp_buf_json_str(struct iicp_buf *b, struct iicp_str s);
/* Hands the bytes over: *b is empty afterwards; the result is to be freed with free(). NULL after
 * an error. */
IICP_API char *iicp_buf_take(struct iicp_buf *b, size_t *ret_n);
IICP_API void iicp_buf_free(struct iicp_buf *b);
IICP_API void iicp_buf_wipe(struct iicp_buf *b);

static inline struct iicp_str iicp_buf_str(const struct iicp_buf *b) {
        return (struct iicp_str){b->p ? b->p : "", b->n};
}

#ifdef __cplusplus
}
#endif
#endif
