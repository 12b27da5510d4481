/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "json-internal.h"
#include "util.h"
#include <iicp/buf.h>

#define FIRST_ALLOCATION 256

static int buf_grow(struct iicp_buf *b, size_t need) {
        size_t max = b->max ? b->max : IICP_BUF_MAX, cap;
        char *p;

        if (need > max)
                return -E2BIG;
        cap = MIN(MAX(MAX(need, b->cap * 2), (size_t) FIRST_ALLOCATION), max);
        if (b->secret) {
                /* realloc would leave a copy behind that nobody wipes */
                p = malloc(cap + 1);
                if (!p)
                        return -ENOMEM;
                if (b->p) {
                        memcpy(p, b->p, b->n + 1);
                        OPENSSL_cleanse(b->p, b->n);
                        free(b->p);
                }
        } else {
                p = realloc(b->p, cap + 1);
                if (!p)
                        return -ENOMEM;
        }
        b->p = p;
        b->cap = cap;
        b->p[b->n] = '\0';
        return 0;
}

char *iicp_buf_reserve(struct iicp_buf *b, size_t n) {
        if (b->error)
                return NULL;
        if (n > b->cap - b->n || !b->p) {
                int r = n > SIZE_MAX / 4 ? -E2BIG : buf_grow(b, b->n + n);

                if (r < 0) {
                        b->error = r;
                        return NULL;
                }
        }
        return b->p + b->n;
}

void iicp_buf_add(struct iicp_buf *b, const void *p, size_t n) {
        char *to = iicp_buf_reserve(b, n);

        if (!to)
                return;
        if (n > 0)
                memcpy(to, p, n);
        b->n += n;
        b->p[b->n] = '\0';
}

void iicp_buf_add_str(struct iicp_buf *b, struct iicp_str s) {
        iicp_buf_add(b, s.p, s.n);
}

void iicp_buf_puts(struct iicp_buf *b, const char *s) {
        iicp_buf_add(b, s, strlen(s));
}

void iicp_buf_printf(struct iicp_buf *b, const char *fmt, ...) {
        va_list ap;
        size_t room;
        int n;

        if (!iicp_buf_reserve(b, 0))
                return;
        room = b->cap - b->n + 1; /* the NUL has a place of its own */
        va_start(ap, fmt);
        n = vsnprintf(b->p + b->n, room, fmt, ap);
        va_end(ap);
        if (n < 0) {
                b->error = -EINVAL;
        } else if ((size_t) n >= room) {
                b->p[b->n] = '\0';
                if (!iicp_buf_reserve(b, (size_t) n))
                        return;
                va_start(ap, fmt);
                n = vsnprintf(b->p + b->n, (size_t) n + 1, fmt, ap);
                va_end(ap);
        }
        if (n > 0)
                b->n += (size_t) n;
        b->p[b->n] = '\0';
}

/* What a JSON string needs in place of a byte that cannot stand for itself. */
static void add_escaped(struct iicp_buf *b, unsigned char c) {
        static const char short_form[] = {
                ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n',  ['\f'] = 'f',
                ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\',
        };
        static const char hex[] = "0123456789abcdef";

        if (c < sizeof(short_form) && short_form[c]) {
                const char text[2] = {'\\', short_form[c]};

                iicp_buf_add(b, text, sizeof(text));
        } else {
                const char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

                iicp_buf_add(b, text, sizeof(text));
        }
}

void iicp_buf_json_str(struct iicp_buf *b, struct iicp_str s) {
        const char *p = s.n > 0 ? s.p : "", *end = p + s.n;

        /* one reservation for the usual case, that nothing needs an escape: it can never be less */
        if (!iicp_buf_reserve(b, s.n + 2))
                return;
        iicp_buf_add(b, "\"", 1);
        while (p < end) {
                const char *run = p;

                p = json_plain_run(p, end);
                iicp_buf_add(b, run, (size_t) (p - run));
                if (p == end)
                        break;
                if ((unsigned char) *p >= 0x80) {
                        size_t n = utf8_sequence(p, end);

                        if (n > 0)
                                iicp_buf_add(b, p, n);
                        else
                                iicp_buf_add(b, "\xef\xbf\xbd", 3); /* U+FFFD */
                        p += n > 0 ? n : 1;
                } else {
                        add_escaped(b, (unsigned char) *p++);
                }
        }
        iicp_buf_add(b, "\"", 1);
}

char *iicp_buf_take(struct iicp_buf *b, size_t *ret_n) {
        char *p;

        if (!iicp_buf_reserve(b, 0)) {
                iicp_buf_free(b);
                return NULL;
        }
        p = TAKE_PTR(b->p);
        if (ret_n)
                *ret_n = b->n;
        b->n = b->cap = 0;
        return p;
}

void iicp_buf_free(struct iicp_buf *b) {
        free(b->p);
        b->p = NULL;
        b->n = b->cap = 0;
        b->error = 0;
}

void iicp_buf_wipe(struct iicp_buf *b) {
        if (b->p)
                OPENSSL_cleanse(b->p, b->cap + 1);
        iicp_buf_free(b);
}
