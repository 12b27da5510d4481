/* SPDX-License-Identifier: Apache-2.0 */
#include "sse.h"
#include "util.h"

void sse_init(struct sse *s) {
        *s = (struct sse){.line = {.max = SSE_LINE_MAX + 1, .secret = true}};
}

void sse_done(struct sse *s) {
        iicp_buf_wipe(&s->line);
}

/* The value of a data line; a server may leave out the blank, or put more than one. */
static bool data_of(struct iicp_str line, struct iicp_str *ret) {
        if (line.n && line.p[line.n - 1] == '\r')
                line.n--;
        if (line.n < 5 || memcmp(line.p, "data:", 5) != 0)
                return false;
        line.p += 5;
        line.n -= 5;
        while (line.n && *line.p == ' ') {
                line.p++;
                line.n--;
        }
        while (line.n && line.p[line.n - 1] == ' ')
                line.n--;
        *ret = line;
        return true;
}

static void forget_line(struct sse *s) {
        if (s->line.cap > SSE_LINE_KEPT) {
                sse_done(s);
                sse_init(s);
        }
        s->line.n = 0;
        s->whole = false;
}

enum sse_result sse_next(struct sse *s, struct iicp_str *piece, struct iicp_str *ret) {
        if (s->whole)
                forget_line(s);
        while (piece->n) {
                const char *end = memchr(piece->p, '\n', piece->n);
                struct iicp_str part = {piece->p, end ? (size_t) (end - piece->p) : piece->n}, line = part;

                /* one more for the CR, which is part of the end */
                if (part.n > SSE_LINE_MAX + 1 - s->line.n)
                        return SSE_FAULT;
                if (!end || s->line.n)
                        iicp_buf_add_str(&s->line, part);
                if (s->line.error)
                        return SSE_FAULT;
                piece->p += part.n;
                piece->n -= part.n;
                if (!end)
                        return SSE_MORE;
                piece->p++;
                piece->n--;
                if (s->line.n)
                        line = iicp_buf_str(&s->line);
                s->whole = true;
                if (line.n > SSE_LINE_MAX && line.p[line.n - 1] != '\r')
                        return SSE_FAULT;
                if (data_of(line, ret))
                        return SSE_DATA;
                forget_line(s);
        }
        return SSE_MORE;
}

enum sse_result sse_last(struct sse *s, struct iicp_str *ret) {
        if (s->whole || !s->line.n)
                return SSE_MORE;
        s->whole = true;
        return data_of(iicp_buf_str(&s->line), ret) ? SSE_DATA : SSE_MORE;
}
