/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch_reader.h"

#include "fetch_internal.h"
#include "util.h"

#include <errno.h>
#include <strings.h>

#define HEAD_FIRST 1024      /* room that is made for a head at once */
#define BODY_FIRST 65536     /* and at most for a body whose length is told */
#define LENGTH_DIGITS 15
#define CHUNK_DIGITS 8

/* What the head says about the body. */
struct framing {
        bool http10, has_length, chunked, close, keep_alive;
        uint64_t length;
};

void reader_init(struct reader *r, size_t max_answer, bool (*on_data)(void *arg, struct iicp_str piece), void *arg) {
        *r = (struct reader){
                .max_answer = max_answer,
                .max_stream = max_answer,
                .on_data = on_data,
                .arg = arg,
                .head = {.max = FETCH_HEADERS_MAX + 1},
                .body = {.max = max_answer, .secret = true},
        };
}

void reader_done(struct reader *r) {
        iicp_buf_free(&r->head);
        iicp_buf_wipe(&r->body);
}

void reader_restart(struct reader *r) {
        size_t max_stream = r->max_stream;

        reader_done(r);
        reader_init(r, r->max_answer, r->on_data, r->arg);
        r->max_stream = max_stream;
}

/* ---- head ---- */

static bool is_token(unsigned char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static struct iicp_str trimmed(const char *p, size_t n) {
        while (n && is_blank(*p)) {
                p++;
                n--;
        }
        while (n && is_blank(p[n - 1]))
                n--;
        return (struct iicp_str){p, n};
}

static bool same(struct iicp_str s, const char *word) {
        return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static bool status_line(struct reader *r, struct iicp_str l, struct framing *f) {
        const char *p = l.p;

        if (l.n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') || p[8] != ' ' ||
            p[9] < '1' || p[9] > '9' || !is_digit(p[10]) || !is_digit(p[11]) || (l.n > 12 && p[12] != ' '))
                return false;
        f->http10 = p[7] == '0';
        r->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
        return true;
}

static bool content_length(struct framing *f, struct iicp_str v) {
        uint64_t n = 0;

        if (v.n == 0 || v.n > LENGTH_DIGITS)
                return false;
        for (size_t i = 0; i < v.n; i++) {
                if (!is_digit(v.p[i]))
                        return false;
                n = n * 10 + (uint64_t) (v.p[i] - '0');
        }
        if (f->has_length && f->length != n)
                return false;
        f->has_length = true;
        f->length = n;
        return true;
}

static void connection_words(struct framing *f, struct iicp_str v) {
        while (v.n) {
                const char *comma = memchr(v.p, ',', v.n);
                size_t n = comma ? (size_t) (comma - v.p) : v.n;
                struct iicp_str word = trimmed(v.p, n);

                f->close |= same(word, "close");
                f->keep_alive |= same(word, "keep-alive");
                n = MIN(n + 1, v.n);
                v = (struct iicp_str){v.p + n, v.n - n};
        }
}

static bool header(struct reader *r, struct framing *f, struct iicp_str name, struct iicp_str v) {
        const struct {
                const char *name;
                struct iicp_str *out;
        } kept[] = {
                {"content-type", &r->content_type}, {"retry-after", &r->retry_after},
                {"server", &r->server},             {"x-powered-by", &r->powered_by},
                {"location", &r->location},         {"date", &r->date},
        };

        if (same(name, "content-length"))
                return content_length(f, v);
        if (same(name, "transfer-encoding")) {
                if (f->chunked || !same(v, "chunked"))
                        return false;
                f->chunked = true;
                return true;
        }
        if (same(name, "connection")) {
                connection_words(f, v);
                return true;
        }
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                if (same(name, kept[i].name)) {
                        *kept[i].out = v.n ? v : IICP_STR_NONE;
                        break;
                }
        return true;
}

static bool header_line(struct reader *r, struct framing *f, struct iicp_str l) {
        size_t n = 0;

        while (n < l.n && is_token((unsigned char) l.p[n]))
                n++;
        /* Folded lines begin with a blank and end here too. */
        if (n == 0 || n == l.n || l.p[n] != ':' || memchr(l.p, 0, l.n) || memchr(l.p, '\r', l.n))
                return false;
        return header(r, f, (struct iicp_str){l.p, n}, trimmed(l.p + n + 1, l.n - n - 1));
}

static struct iicp_str take_line(struct iicp_str *rest) {
        const char *end = memchr(rest->p, '\n', rest->n);
        size_t n = end ? (size_t) (end - rest->p) : rest->n, used = MIN(n + 1, rest->n);
        struct iicp_str l = {rest->p, n && rest->p[n - 1] == '\r' ? n - 1 : n};

        *rest = (struct iicp_str){rest->p + used, rest->n - used};
        return l;
}

static bool streams(const struct reader *r) {
        return r->on_data && r->status >= 200 && r->status < 300;
}

static size_t room(const struct reader *r) {
        return streams(r) ? r->max_stream : r->max_answer;
}

static enum fetch_error body_begins(struct reader *r, const struct framing *f) {
        bool none = r->status == 204 || r->status == 304;

        if (r->status == 101)
                return FETCH_PROTOCOL; /* nobody asked for it */
        /* Servers close after an error, some without saying so. [02 section 10.10 rule 9] */
        r->keep = r->status < 300 && !f->close && (!f->http10 || f->keep_alive) && !(f->chunked && f->has_length);
        if (none || (f->has_length && !f->chunked && f->length == 0))
                r->state = READER_DONE;
        else if (f->chunked)
                r->state = READER_CHUNK_SIZE;
        else if (f->has_length) {
                if (f->length > room(r))
                        return FETCH_TOO_LARGE;
                r->left = f->length;
                r->state = READER_LENGTH;
                if (!streams(r))
                        iicp_buf_reserve(&r->body, (size_t) MIN(f->length, (uint64_t) BODY_FIRST));
        } else {
                r->keep = false;
                r->state = READER_TO_END;
        }
        return FETCH_OK;
}

static enum fetch_error head_complete(struct reader *r) {
        struct iicp_str rest = iicp_buf_str(&r->head), l;
        struct framing f = {.http10 = false};

        if (!status_line(r, take_line(&rest), &f))
                return FETCH_PROTOCOL;
        r->header_bytes += r->head.n;
        while ((l = take_line(&rest)).n > 0)
                if (!header_line(r, &f, l))
                        return FETCH_PROTOCOL;
        if (r->status >= 200 || r->status == 101)
                return body_begins(r, &f);
        /* An interim answer; the real one follows. */
        r->head.n = 0;
        r->content_type = r->retry_after = r->server = r->powered_by = r->location = r->date = IICP_STR_NONE;
        r->status = 0;
        return FETCH_OK;
}

/* Length of the head up to its empty line, 0: not complete. */
static size_t head_length(const struct iicp_buf *b, size_t from) {
        const char *p = b->p + from, *end = b->p + b->n;

        while ((p = memchr(p, '\n', (size_t) (end - p)))) {
                p++;
                if (p < end && *p == '\n')
                        return (size_t) (p + 1 - b->p);
                if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
                        return (size_t) (p + 2 - b->p);
        }
        return 0;
}

static enum fetch_error feed_head(struct reader *r, const char *p, size_t n, size_t *used) {
        size_t had = r->head.n, left = FETCH_HEADERS_MAX - r->header_bytes - had, length;

        n = MIN(n, left);
        if (had == 0)
                iicp_buf_reserve(&r->head, HEAD_FIRST);
        iicp_buf_add(&r->head, p, n);
        if (r->head.error)
                return FETCH_FAILED;
        if (memcmp(r->head.p, "HTTP/1.", MIN(r->head.n, (size_t) 7)) != 0)
                return FETCH_PROTOCOL;
        length = head_length(&r->head, had > 2 ? had - 2 : 0);
        if (!length) {
                *used = n;
                return n == left ? FETCH_PROTOCOL : FETCH_OK;
        }
        *used = length - had;
        r->head.n = length;
        return head_complete(r);
}

/* ---- body ---- */

static enum fetch_error take(struct reader *r, const char *p, size_t n) {
        if (n > room(r) - r->received)
                return FETCH_TOO_LARGE;
        r->received += n;
        if (streams(r))
                return r->on_data(r->arg, (struct iicp_str){p, n}) ? FETCH_OK : FETCH_PROTOCOL;
        iicp_buf_add(&r->body, p, n);
        if (r->body.error)
                return r->body.error == -E2BIG ? FETCH_TOO_LARGE : FETCH_FAILED;
        return FETCH_OK;
}

static enum fetch_error feed_counted(struct reader *r, const char *p, size_t n, size_t *used) {
        *used = (size_t) MIN((uint64_t) n, r->left);
        r->left -= *used;
        if (r->left == 0)
                r->state = r->state == READER_CHUNK ? READER_CHUNK_END : READER_DONE;
        return take(r, p, *used);
}

static int hex(char c) {
        if (is_digit(c))
                return c - '0';
        c = (char) (c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum fetch_error chunk_begins(struct reader *r, struct iicp_str l) {
        uint64_t n = 0;
        size_t i;

        for (i = 0; i < l.n && hex(l.p[i]) >= 0; i++)
                n = n * 16 + (uint64_t) hex(l.p[i]);
        if (i == 0 || i > CHUNK_DIGITS || (i < l.n && l.p[i] != ';' && !is_blank(l.p[i])))
                return FETCH_PROTOCOL;
        r->left = n;
        r->state = n ? READER_CHUNK : READER_TRAILER;
        return FETCH_OK;
}

/* The short lines around chunks; trailers are read and dropped. */
static enum fetch_error feed_line(struct reader *r, const char *p, size_t n, size_t *used) {
        const char *end = memchr(p, '\n', n);
        size_t take_n = end ? (size_t) (end - p) : n;
        struct iicp_str l;

        *used = end ? take_n + 1 : n;
        r->header_bytes += r->state == READER_TRAILER ? *used : 0;
        if (r->header_bytes > FETCH_HEADERS_MAX)
                return FETCH_PROTOCOL;
        if (take_n > READER_LINE_MAX - r->line_n) {
                if (r->state != READER_TRAILER)
                        return FETCH_PROTOCOL;
                take_n = READER_LINE_MAX - r->line_n; /* that it is not empty is all that counts */
        }
        memcpy(r->line + r->line_n, p, take_n);
        r->line_n += take_n;
        if (!end)
                return FETCH_OK;
        l = (struct iicp_str){r->line, r->line_n};
        if (l.n && l.p[l.n - 1] == '\r')
                l.n--;
        r->line_n = 0;
        if (r->state == READER_CHUNK_SIZE)
                return chunk_begins(r, l);
        if (r->state == READER_CHUNK_END) {
                r->state = READER_CHUNK_SIZE;
                return l.n ? FETCH_PROTOCOL : FETCH_OK;
        }
        if (l.n == 0)
                r->state = READER_DONE;
        return FETCH_OK;
}

enum fetch_error reader_feed(struct reader *r, const char *p, size_t n, size_t *ret_used) {
        enum fetch_error e = FETCH_OK;
        size_t at = 0;

        r->any_byte |= n > 0;
        while (e == FETCH_OK && at < n && r->state != READER_DONE) {
                size_t used = n - at;

                switch (r->state) {
                case READER_HEAD:
                        e = feed_head(r, p + at, n - at, &used);
                        break;
                case READER_LENGTH:
                case READER_CHUNK:
                        e = feed_counted(r, p + at, n - at, &used);
                        break;
                case READER_TO_END:
                        e = take(r, p + at, n - at);
                        break;
                case READER_CHUNK_SIZE:
                case READER_CHUNK_END:
                case READER_TRAILER:
                        e = feed_line(r, p + at, n - at, &used);
                        break;
                case READER_DONE:
                        break;
                }
                at += used;
        }
        *ret_used = at;
        return e;
}

enum fetch_error reader_end(struct reader *r) {
        if (r->state == READER_TO_END)
                r->state = READER_DONE;
        return r->state == READER_DONE ? FETCH_OK : FETCH_RESET;
}
