/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <langinfo.h>
#include <math.h>
#include <stdlib.h>

#include "json-internal.h"
#include <iicp/json.h>

/* What is done with values that the scanner passed. It stays inside of the slice whatever the text
 * is. */

static int hex_value(char c) {
        if (json_is_digit(c))
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* Four hex digits at p, -1 if there are none. */
static int32_t hex4(const char *p, const char *end) {
        int32_t v = 0;

        if (end - p < 4)
                return -1;
        for (int i = 0; i < 4; i++) {
                int d = hex_value(p[i]);

                if (d < 0)
                        return -1;
                v = v << 4 | d;
        }
        return v;
}

static bool is_high_surrogate(int32_t v) {
        return v >= 0xd800 && v <= 0xdbff;
}

static bool is_low_surrogate(int32_t v) {
        return v >= 0xdc00 && v <= 0xdfff;
}

const char *json_read_escape(const char *p, const char *end, int32_t *ret_point) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *at;
        int32_t v, low;

        if (end - p < 2)
                return NULL;
        if (p[1] != 'u') {
                at = p[1] ? strchr(from, p[1]) : NULL;
                if (!at)
                        return NULL;
                *ret_point = to[at - from];
                return p + 2;
        }
        v = hex4(p + 2, end);
        if (v < 0 || is_low_surrogate(v))
                return NULL;
        p += 6;
        if (is_high_surrogate(v)) {
                if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
                        return NULL;
                low = hex4(p + 2, end);
                if (!is_low_surrogate(low))
                        return NULL;
                v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
                p += 6;
        }
        *ret_point = v;
        return p;
}

static unsigned utf8_encode(int32_t point, unsigned char out[4]) {
        uint32_t v = (uint32_t) point;

        if (v < 0x80) {
                out[0] = (unsigned char) v;
                return 1;
        }
        if (v < 0x800) {
                out[0] = (unsigned char) (0xc0 | v >> 6);
                out[1] = (unsigned char) (0x80 | (v & 0x3f));
                return 2;
        }
        if (v < 0x10000) {
                out[0] = (unsigned char) (0xe0 | v >> 12);
                out[1] = (unsigned char) (0x80 | (v >> 6 & 0x3f));
                out[2] = (unsigned char) (0x80 | (v & 0x3f));
                return 3;
        }
        out[0] = (unsigned char) (0xf0 | v >> 18);
        out[1] = (unsigned char) (0x80 | (v >> 12 & 0x3f));
        out[2] = (unsigned char) (0x80 | (v >> 6 & 0x3f));
        out[3] = (unsigned char) (0x80 | (v & 0x3f));
        return 4;
}

struct json_bytes json_bytes_of(const struct iicp_json *string) {
        return (struct json_bytes){.p = string->text.p, .end = string->text.p + string->text.n};
}

int json_next_byte(struct json_bytes *b) {
        const char *next;
        int32_t point;

        if (b->at < b->n)
                return b->queue[b->at++];
        if (b->p >= b->end)
                return -1;
        if (*b->p != '\\')
                return (unsigned char) *b->p++;
        next = json_read_escape(b->p, b->end, &point);
        if (!next) {
                b->p = b->end; /* text that was not validated: ends here */
                return -1;
        }
        b->p = next;
        b->n = utf8_encode(point, b->queue);
        b->at = 1;
        return b->queue[0];
}

/* The quote that ends the string whose first byte is p, or end. */
static const char *string_end(const char *p, const char *end, bool *ret_escaped) {
        *ret_escaped = false;
        for (;;) {
                while (end - p >= 8) {
                        uint64_t v;

                        memcpy(&v, p, 8);
                        if (swar_zero(v ^ (SWAR_ONES * '"')) | swar_zero(v ^ (SWAR_ONES * '\\')))
                                break;
                        p += 8;
                }
                while (p < end && *p != '"' && *p != '\\')
                        p++;
                if (p >= end || *p == '"')
                        return p;
                *ret_escaped = true;
                if (end - p < 2)
                        return end;
                p += 2;
        }
}

/* The place after the container that opens at p. */
static const char *container_end(const char *p, const char *end) {
        unsigned depth = 0;
        bool escaped;

        while (p < end) {
                char c = *p++;

                if (c == '"') {
                        p = string_end(p, end, &escaped);
                        if (p < end)
                                p++;
                } else if (c == '{' || c == '[') {
                        depth++;
                } else if ((c == '}' || c == ']') && --depth == 0) {
                        break;
                }
        }
        return p;
}

static enum iicp_json_type scalar_type(char first) {
        switch (first) {
        case 't':
                return IICP_JSON_TRUE;
        case 'f':
                return IICP_JSON_FALSE;
        case 'n':
                return IICP_JSON_NULL;
        default:
                return IICP_JSON_NUMBER;
        }
}

/* Reads the value at p, which is not a space, and returns the place after it. */
static const char *read_value(const char *p, const char *end, struct iicp_json *ret) {
        const char *from = p;
        struct iicp_json v = {};

        switch (*p) {
        case '"':
                p = string_end(p + 1, end, &v.escaped);
                v.type = IICP_JSON_STRING;
                v.text = (struct iicp_str){from + 1, (size_t) (p - from - 1)};
                *ret = v;
                return p < end ? p + 1 : end;
        case '{':
        case '[':
                v.type = *p == '{' ? IICP_JSON_OBJECT : IICP_JSON_ARRAY;
                p = container_end(p, end);
                break;
        default:
                v.type = scalar_type(*p);
                do
                        p++;
                while (p < end && !json_is_space(*p) && *p != ',' && *p != '}' && *p != ']');
        }
        v.text = (struct iicp_str){from, (size_t) (p - from)};
        *ret = v;
        return p;
}

void iicp_json_iter_init(struct iicp_json_iter *it, const struct iicp_json *container) {
        *it = (struct iicp_json_iter){};
        if ((container->type != IICP_JSON_OBJECT && container->type != IICP_JSON_ARRAY) ||
            container->text.n < 2)
                return;
        it->p = container->text.p + 1;
        it->end = container->text.p + container->text.n - 1;
}

bool iicp_json_next(struct iicp_json_iter *it, struct iicp_json *name, struct iicp_json *value) {
        struct iicp_json first;
        const char *p;

        while (it->p < it->end && (json_is_space(*it->p) || *it->p == ','))
                it->p++;
        if (it->p >= it->end)
                return false;
        it->p = read_value(it->p, it->end, &first);

        /* only in an object does a colon follow a string */
        p = json_skip_space(it->p, it->end);
        if (first.type == IICP_JSON_STRING && p < it->end && *p == ':') {
                p = json_skip_space(p + 1, it->end);
                if (p >= it->end) {
                        it->p = it->end;
                        return false;
                }
                it->p = read_value(p, it->end, value);
                if (name)
                        *name = first;
        } else {
                *value = first;
                if (name)
                        *name = (struct iicp_json){};
        }
        return true;
}

struct iicp_json iicp_json_get(const struct iicp_json *object, const char *name) {
        struct iicp_json found = {}, n, v;
        struct iicp_json_iter it;

        if (object->type != IICP_JSON_OBJECT)
                return found;
        iicp_json_iter_init(&it, object);
        while (iicp_json_next(&it, &n, &v))
                if (iicp_json_is(&n, name))
                        found = v;
        return found;
}

bool iicp_json_is(const struct iicp_json *string, const char *text) {
        struct json_bytes b;
        int c;

        if (string->type != IICP_JSON_STRING)
                return false;
        if (!string->escaped)
                return iicp_str_is(string->text, text);
        b = json_bytes_of(string);
        while ((c = json_next_byte(&b)) >= 0)
                if ((unsigned char) *text == '\0' || c != (unsigned char) *text++)
                        return false;
        return *text == '\0';
}

int iicp_json_copy(const struct iicp_json *string, char *out, size_t cap) {
        struct json_bytes b;
        size_t n = 0;
        int c;

        if (string->type != IICP_JSON_STRING)
                return -EINVAL;
        b = json_bytes_of(string);
        while ((c = json_next_byte(&b)) >= 0) {
                if (c == 0 || n + 1 >= cap)
                        return -ENOSPC;
                out[n++] = (char) c;
        }
        if (cap == 0)
                return -ENOSPC;
        out[n] = '\0';
        return 0;
}

int iicp_json_decode(const struct iicp_json *string, struct iicp_buf *out) {
        const char *p, *end;

        if (string->type != IICP_JSON_STRING)
                return -EINVAL;
        if (!string->escaped) {
                iicp_buf_add_str(out, string->text);
                return out->error;
        }
        /* one reservation: what is decoded is never longer than what was written */
        if (!iicp_buf_reserve(out, string->text.n))
                return out->error;
        p = string->text.p;
        end = p + string->text.n;
        while (p < end) {
                const char *stop = memchr(p, '\\', (size_t) (end - p));
                unsigned char utf8[4];
                int32_t point;

                iicp_buf_add(out, p, (size_t) ((stop ? stop : end) - p));
                if (!stop)
                        break;
                p = json_read_escape(stop, end, &point);
                if (!p)
                        return -EINVAL;
                iicp_buf_add(out, utf8, utf8_encode(point, utf8));
        }
        return out->error;
}

int iicp_json_int(const struct iicp_json *number, int64_t *ret) {
        const char *p = number->text.p, *end;
        bool negative;
        int64_t v = 0;

        if (number->type != IICP_JSON_NUMBER)
                return -EINVAL;
        end = p + number->text.n;
        negative = p < end && *p == '-';
        if (negative)
                p++;
        if (p == end)
                return -EINVAL;
        for (const char *q = p; q < end; q++)
                if (!json_is_digit(*q))
                        return -EINVAL;
        /* downwards, because INT64_MIN has no positive twin */
        for (; p < end; p++)
                if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *p - '0', &v))
                        return -ERANGE;
        if (!negative && __builtin_mul_overflow(v, -1, &v))
                return -ERANGE;
        *ret = v;
        return 0;
}

int iicp_json_double(const struct iicp_json *number, double *ret) {
        char text[IICP_JSON_NUMBER_MAX + 1], *dot, *stop;
        double v;

        if (number->type != IICP_JSON_NUMBER || number->text.n == 0 ||
            number->text.n >= sizeof(text))
                return -EINVAL;
        memcpy(text, number->text.p, number->text.n);
        text[number->text.n] = '\0';
        /* strtod reads the decimal point of the program's locale */
        dot = strchr(text, '.');
        if (dot && strlen(nl_langinfo(RADIXCHAR)) == 1)
                *dot = *nl_langinfo(RADIXCHAR);
        v = strtod(text, &stop);
        if (*stop != '\0')
                return -EINVAL;
        if (!isfinite(v))
                return -ERANGE;
        *ret = v;
        return 0;
}
