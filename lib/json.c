/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <langinfo.h>
#include <math.h>

#include <iicp/json.h>
#include "json-internal.h"
#include "util.h"

/* Names of the top object, for the doubled-member check: compared one by one while they are few,
 * as in any honest task; sorted at the end when a peer sends many. */
#define NAMES_INLINE 32

struct names {
        struct iicp_json few[NAMES_INLINE];
        struct iicp_json *many; /* all of them, once they are more than NAMES_INLINE */
        size_t n, cap;
};

struct scanner {
        const char *p, *end;
        unsigned depth;
        unsigned values;
        uint64_t objects; /* bit d-1: the container at depth d is an object */
        const char *start[2]; /* where the containers at depth 1 and 2 began */
};

_Static_assert(IICP_JSON_DEPTH_MAX <= 64, "one bit of scanner.objects a level");

static inline bool is_space(char c) {
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static inline const char *skip_space(const char *p, const char *end) {
        while (p < end && is_space(*p))
                p++;
        return p;
}

static int hex_value(char c) {
        if (is_digit(c))
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

/* Reads the escape whose backslash is at p. Returns the place after it and the code point, or NULL
 * if it is none (a surrogate without its other half included). */
static const char *read_escape(const char *p, const char *end, int32_t *ret_point) {
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

/* The string whose opening quote is at s->p. */
static int scan_string(struct scanner *s, bool is_name, struct iicp_json *ret) {
        const char *p = s->p + 1, *from = p;
        bool escaped = false;

        for (;;) {
                p = json_plain_run(p, s->end);
                if (p == s->end)
                        return -EBADMSG;
                if (*p == '"')
                        break;
                if (*p == '\\') {
                        int32_t point;

                        p = read_escape(p, s->end, &point);
                        if (!p || (is_name && point == 0))
                                return -EBADMSG;
                        escaped = true;
                        continue;
                }
                if ((unsigned char) *p < 0x80)
                        return -EBADMSG; /* a control character */
                while (p < s->end && (unsigned char) *p >= 0x80) {
                        size_t n = utf8_sequence(p, s->end);

                        if (n == 0)
                                return -EBADMSG;
                        p += n;
                }
        }
        *ret = (struct iicp_json){{from, (size_t) (p - from)}, IICP_JSON_STRING, escaped};
        s->p = p + 1;
        return 0;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static int scan_number(struct scanner *s, struct iicp_json *ret) {
        const char *from = s->p, *end = MIN(s->end, from + MIN(s->end - from, IICP_JSON_NUMBER_MAX + 1));
        const char *p = from, *digits;

        if (*p == '-')
                p++;
        if (p < end && *p == '0') {
                p++;
        } else {
                for (digits = p; p < end && is_digit(*p);)
                        p++;
                if (p == digits)
                        return -EBADMSG;
        }
        if (p < end && *p == '.') {
                for (digits = ++p; p < end && is_digit(*p);)
                        p++;
                if (p == digits)
                        return -EBADMSG;
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                p++;
                if (p < end && (*p == '+' || *p == '-'))
                        p++;
                for (digits = p; p < end && is_digit(*p);)
                        p++;
                if (p == digits)
                        return -EBADMSG;
        }
        if (p - from > IICP_JSON_NUMBER_MAX)
                return -EBADMSG;
        *ret = (struct iicp_json){{from, (size_t) (p - from)}, IICP_JSON_NUMBER, false};
        s->p = p;
        return 0;
}

static int scan_literal(struct scanner *s, struct iicp_str word, enum iicp_json_type type, struct iicp_json *ret) {
        if ((size_t) (s->end - s->p) < word.n || memcmp(s->p, word.p, word.n) != 0)
                return -EBADMSG;
        *ret = (struct iicp_json){{s->p, word.n}, type, false};
        s->p += word.n;
        return 0;
}

static int scan_scalar(struct scanner *s, struct iicp_json *ret) {
        switch (*s->p) {
        case '"':
                return scan_string(s, false, ret);
        case 't':
                return scan_literal(s, IICP_STR("true"), IICP_JSON_TRUE, ret);
        case 'f':
                return scan_literal(s, IICP_STR("false"), IICP_JSON_FALSE, ret);
        case 'n':
                return scan_literal(s, IICP_STR("null"), IICP_JSON_NULL, ret);
        default:
                return scan_number(s, ret);
        }
}

static inline bool in_object(const struct scanner *s) {
        return s->objects >> (s->depth - 1) & 1;
}

static int open_container(struct scanner *s) {
        uint64_t bit;

        if (s->depth == IICP_JSON_DEPTH_MAX)
                return -EBADMSG;
        if (s->depth < 2)
                s->start[s->depth] = s->p;
        bit = (uint64_t) 1 << s->depth++;
        if (*s->p++ == '{')
                s->objects |= bit;
        else
                s->objects &= ~bit;
        return 0;
}

/* The container that closes at s->p; its text is right at depths 1 and 2, where it is asked for. */
static void close_container(struct scanner *s, struct iicp_json *ret) {
        s->p++;
        *ret = (struct iicp_json){IICP_STR_NONE, in_object(s) ? IICP_JSON_OBJECT : IICP_JSON_ARRAY, false};
        s->depth--;
        if (s->depth < 2)
                ret->text = (struct iicp_str){s->start[s->depth], (size_t) (s->p - s->start[s->depth])};
}

/* Name, colon, and the space up to the value. */
static int scan_name(struct scanner *s, struct iicp_json *ret) {
        int r;

        s->p = skip_space(s->p, s->end);
        if (s->p == s->end || *s->p != '"')
                return -EBADMSG;
        r = scan_string(s, true, ret);
        if (r < 0)
                return r;
        s->p = skip_space(s->p, s->end);
        if (s->p == s->end || *s->p != ':')
                return -EBADMSG;
        s->p++;
        return 0;
}

/* Decoded bytes of a string, one at a time. */
struct bytes {
        const char *p, *end;
        unsigned char queue[4];
        unsigned n, at;
};

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

static struct bytes bytes_of(const struct iicp_json *string) {
        return (struct bytes){.p = string->text.p, .end = string->text.p + string->text.n};
}

/* -1 at the end */
static int next_byte(struct bytes *b) {
        const char *next;
        int32_t point;

        if (b->at < b->n)
                return b->queue[b->at++];
        if (b->p >= b->end)
                return -1;
        if (*b->p != '\\')
                return (unsigned char) *b->p++;
        next = read_escape(b->p, b->end, &point);
        if (!next) {
                b->p = b->end; /* text that was not validated: ends here */
                return -1;
        }
        b->p = next;
        b->n = utf8_encode(point, b->queue);
        b->at = 1;
        return b->queue[0];
}

static int compare_names(const void *one, const void *other) {
        const struct iicp_json *a = one, *b = other;
        struct bytes x, y;
        int i, j;

        if (!a->escaped && !b->escaped) {
                int r = memcmp(a->text.p, b->text.p, MIN(a->text.n, b->text.n));

                return r ? r : (a->text.n > b->text.n) - (a->text.n < b->text.n);
        }
        x = bytes_of(a);
        y = bytes_of(b);
        do {
                i = next_byte(&x);
                j = next_byte(&y);
        } while (i == j && i >= 0);
        return i - j;
}

static inline bool same_name(const struct iicp_json *a, const struct iicp_json *b) {
        if (!a->escaped && !b->escaped)
                return iicp_str_eq(a->text, b->text);
        return compare_names(a, b) == 0;
}

static int names_spill(struct names *names, const struct iicp_json *name) {
        if (names->n >= names->cap) {
                size_t cap = names->cap ? names->cap * 2 : NAMES_INLINE * 4;
                struct iicp_json *p = reallocarray(names->many, cap, sizeof(*p));

                if (!p)
                        return -ENOMEM;
                if (!names->many)
                        memcpy(p, names->few, sizeof(names->few));
                names->many = p;
                names->cap = cap;
        }
        names->many[names->n++] = *name;
        return 0;
}

static int names_add(struct names *names, const struct iicp_json *name) {
        if (names->n >= NAMES_INLINE)
                return names_spill(names, name);
        for (size_t i = 0; i < names->n; i++)
                if (same_name(&names->few[i], name))
                        return -EEXIST;
        names->few[names->n++] = *name;
        return 0;
}

static int names_check(struct names *names) {
        if (!names->many)
                return 0;
        qsort(names->many, names->n, sizeof(*names->many), compare_names);
        for (size_t i = 1; i < names->n; i++)
                if (same_name(&names->many[i - 1], &names->many[i]))
                        return -EEXIST;
        return 0;
}

static void names_free(struct names *names) {
        free(names->many);
}

/* Reads on to the end of a value: of the scalar at s->p, or of a container if it is empty. Returns
 * 1 when a value ended, 0 when a container was entered. */
static int scan_begin(struct scanner *s, struct iicp_json *ret) {
        int r;

        s->p = skip_space(s->p, s->end);
        if (s->p == s->end || ++s->values > IICP_JSON_VALUES_MAX)
                return -EBADMSG;
        if (*s->p != '{' && *s->p != '[') {
                r = scan_scalar(s, ret);
                return r < 0 ? r : 1;
        }
        r = open_container(s);
        if (r < 0)
                return r;
        s->p = skip_space(s->p, s->end);
        if (s->p == s->end || *s->p != (in_object(s) ? '}' : ']'))
                return 0;
        close_container(s, ret);
        return 1;
}

/* After a value in a container: 1 when that container ended with it, 0 when another value comes. */
static int scan_separator(struct scanner *s, struct iicp_json *ret) {
        s->p = skip_space(s->p, s->end);
        if (s->p == s->end)
                return -EBADMSG;
        if (*s->p == ',') {
                s->p++;
                return 0;
        }
        if (*s->p != (in_object(s) ? '}' : ']'))
                return -EBADMSG;
        close_container(s, ret);
        return 1;
}

int iicp_json_scan(struct iicp_str text, iicp_json_member_fn fn, void *arg, struct iicp_json *ret) {
        _cleanup_(names_free) struct names names = {.n = 0};
        struct iicp_json name = {}, inner_name, value = {};
        struct scanner s;
        int r;

        if (text.n == 0)
                return -EBADMSG;
        s = (struct scanner){.p = text.p, .end = text.p + text.n};
        do {
                bool top = s.depth == 1;

                if (s.depth > 0 && in_object(&s)) {
                        r = scan_name(&s, top ? &name : &inner_name);
                        if (r < 0)
                                return r;
                        if (top) {
                                r = names_add(&names, &name);
                                if (r < 0)
                                        return r;
                        }
                }
                r = scan_begin(&s, &value);
                while (r == 1 && s.depth > 0) {
                        if (fn && s.depth == 1 && in_object(&s)) {
                                r = fn(arg, &name, &value);
                                if (r != 0)
                                        return r;
                        }
                        r = scan_separator(&s, &value);
                }
                if (r < 0)
                        return r;
        } while (s.depth > 0);

        if (skip_space(s.p, s.end) != s.end)
                return -EBADMSG;
        r = names_check(&names);
        if (r < 0)
                return r;
        *ret = value;
        return 0;
}

/* The rest works on values that the scanner passed. It stays inside of the slice whatever the
 * text is. */

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
                while (p < end && !is_space(*p) && *p != ',' && *p != '}' && *p != ']');
        }
        v.text = (struct iicp_str){from, (size_t) (p - from)};
        *ret = v;
        return p;
}

void iicp_json_iter_init(struct iicp_json_iter *it, const struct iicp_json *container) {
        *it = (struct iicp_json_iter){};
        if ((container->type != IICP_JSON_OBJECT && container->type != IICP_JSON_ARRAY) || container->text.n < 2)
                return;
        it->p = container->text.p + 1;
        it->end = container->text.p + container->text.n - 1;
}

bool iicp_json_next(struct iicp_json_iter *it, struct iicp_json *name, struct iicp_json *value) {
        struct iicp_json first;
        const char *p;

        while (it->p < it->end && (is_space(*it->p) || *it->p == ','))
                it->p++;
        if (it->p >= it->end)
                return false;
        it->p = read_value(it->p, it->end, &first);

        /* only in an object does a colon follow a string */
        p = skip_space(it->p, it->end);
        if (first.type == IICP_JSON_STRING && p < it->end && *p == ':') {
                p = skip_space(p + 1, it->end);
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
        struct bytes b;
        int c;

        if (string->type != IICP_JSON_STRING)
                return false;
        if (!string->escaped)
                return iicp_str_is(string->text, text);
        b = bytes_of(string);
        while ((c = next_byte(&b)) >= 0)
                if ((unsigned char) *text == '\0' || c != (unsigned char) *text++)
                        return false;
        return *text == '\0';
}

int iicp_json_copy(const struct iicp_json *string, char *out, size_t cap) {
        struct bytes b;
        size_t n = 0;
        int c;

        if (string->type != IICP_JSON_STRING)
                return -EINVAL;
        b = bytes_of(string);
        while ((c = next_byte(&b)) >= 0) {
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
                p = read_escape(stop, end, &point);
                if (!p)
                        return -EINVAL;
                iicp_buf_add(out, utf8, utf8_encode(point, utf8));
        }
        return out->error;
}

int iicp_json_int(const struct iicp_json *number, int64_t *ret) {
        const char *p = number->text.p, *end = p + number->text.n;
        bool negative;
        int64_t v = 0;

        if (number->type != IICP_JSON_NUMBER)
                return -EINVAL;
        negative = p < end && *p == '-';
        if (negative)
                p++;
        if (p == end)
                return -EINVAL;
        for (const char *q = p; q < end; q++)
                if (!is_digit(*q))
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

        if (number->type != IICP_JSON_NUMBER || number->text.n == 0 || number->text.n >= sizeof(text))
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
