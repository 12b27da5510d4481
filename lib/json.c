/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "json-internal.h"
#include "util.h"
#include <iicp/json.h>

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
        uint64_t objects;     /* bit d-1: the container at depth d is an object */
        const char *start[2]; /* where the containers at depth 1 and 2 began */
};

_Static_assert(IICP_JSON_DEPTH_MAX <= 64, "one bit of scanner.objects a level");

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

                        p = json_read_escape(p, s->end, &point);
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
        const char *from = s->p,
                   *end = MIN(s->end, from + MIN(s->end - from, IICP_JSON_NUMBER_MAX + 1));
        const char *p = from, *digits;

        if (*p == '-')
                p++;
        if (p < end && *p == '0') {
                p++;
        } else {
                for (digits = p; p < end && json_is_digit(*p);)
                        p++;
                if (p == digits)
                        return -EBADMSG;
        }
        if (p < end && *p == '.') {
                for (digits = ++p; p < end && json_is_digit(*p);)
                        p++;
                if (p == digits)
                        return -EBADMSG;
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                p++;
                if (p < end && (*p == '+' || *p == '-'))
                        p++;
                for (digits = p; p < end && json_is_digit(*p);)
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

static int scan_literal(struct scanner *s, struct iicp_str word, enum iicp_json_type type,
                        struct iicp_json *ret) {
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
        *ret = (struct iicp_json){IICP_STR_NONE, in_object(s) ? IICP_JSON_OBJECT : IICP_JSON_ARRAY,
                                  false};
        s->depth--;
        if (s->depth < 2)
                ret->text =
                        (struct iicp_str){s->start[s->depth], (size_t) (s->p - s->start[s->depth])};
}

/* Name, colon, and the space up to the value. */
static int scan_name(struct scanner *s, struct iicp_json *ret) {
        int r;

        s->p = json_skip_space(s->p, s->end);
        if (s->p == s->end || *s->p != '"')
                return -EBADMSG;
        r = scan_string(s, true, ret);
        if (r < 0)
                return r;
        s->p = json_skip_space(s->p, s->end);
        if (s->p == s->end || *s->p != ':')
                return -EBADMSG;
        s->p++;
        return 0;
}

static int compare_names(const void *one, const void *other) {
        const struct iicp_json *a = one, *b = other;
        struct json_bytes x, y;
        int i, j;

        if (!a->escaped && !b->escaped) {
                int r = memcmp(a->text.p, b->text.p, MIN(a->text.n, b->text.n));

                return r ? r : (a->text.n > b->text.n) - (a->text.n < b->text.n);
        }
        x = json_bytes_of(a);
        y = json_bytes_of(b);
        do {
                i = json_next_byte(&x);
                j = json_next_byte(&y);
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

        s->p = json_skip_space(s->p, s->end);
        if (s->p == s->end || ++s->values > IICP_JSON_VALUES_MAX)
                return -EBADMSG;
        if (*s->p != '{' && *s->p != '[') {
                r = scan_scalar(s, ret);
                return r < 0 ? r : 1;
        }
        r = open_container(s);
        if (r < 0)
                return r;
        s->p = json_skip_space(s->p, s->end);
        if (s->p == s->end || *s->p != (in_object(s) ? '}' : ']'))
                return 0;
        close_container(s, ret);
        return 1;
}

/* After a value in a container: 1 when that container ended with it, 0 when another value comes. */
static int scan_separator(struct scanner *s, struct iicp_json *ret) {
        s->p = json_skip_space(s->p, s->end);
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

        if (json_skip_space(s.p, s.end) != s.end)
                return -EBADMSG;
        r = names_check(&names);
        if (r < 0)
                return r;
        *ret = value;
        return 0;
}
