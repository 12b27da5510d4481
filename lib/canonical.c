/* SPDX-License-Identifier: Apache-2.0 */
#include "json-internal.h"
#include "util.h"

#include <iicp/canonical.h>
#include <math.h>
#include <stdio.h>

#define DIGITS_MAX 17              /* of a double that reads back as itself */
#define EXACT_MAX 9007199254740991 /* 2^53 - 1 */

struct member {
        struct iicp_json name, value;
        bool utf16; /* order of JCS */
};

/* ---- text ---- */

/* Next code point of a validated string, -1 at its end. */
static int32_t next_point(struct json_bytes *b) {
        int c = json_next_byte(b);
        int more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        int32_t point = more == 0 ? c : c & (0x3f >> more);

        while (more-- > 0)
                point = point << 6 | (json_next_byte(b) & 0x3f);
        return point;
}

static void put_unit(struct iicp_buf *out, unsigned unit) {
        iicp_buf_printf(out, "\\u%04x", unit);
}

static void put_point(struct iicp_buf *out, int32_t point, enum iicp_canonical_form form) {
        static const char from[] = "\b\t\n\f\r\"\\", to[] = "btnfr\"\\";
        const char *at = point > 0 && point < 0x80 ? strchr(from, (char) point) : NULL;
        char utf8[4];
        size_t n = 0;

        if (at) {
                iicp_buf_printf(out, "\\%c", to[at - from]);
        } else if (point < 0x20 || (form == IICP_CANONICAL_ASCII && point >= 0x7f)) {
                if (point >= 0x10000) {
                        put_unit(out, 0xd800u + (unsigned) ((point - 0x10000) >> 10));
                        put_unit(out, 0xdc00u + (unsigned) ((point - 0x10000) & 0x3ff));
                } else
                        put_unit(out, (unsigned) point);
        } else {
                if (point < 0x80)
                        utf8[n++] = (char) point;
                else {
                        if (point >= 0x10000) {
                                utf8[n++] = (char) (0xf0 | point >> 18);
                                utf8[n++] = (char) (0x80 | (point >> 12 & 0x3f));
                        } else if (point >= 0x800)
                                utf8[n++] = (char) (0xe0 | point >> 12);
                        else
                                utf8[n++] = (char) (0xc0 | point >> 6);
                        if (point >= 0x800)
                                utf8[n++] = (char) (0x80 | (point >> 6 & 0x3f));
                        utf8[n++] = (char) (0x80 | (point & 0x3f));
                }
                iicp_buf_add(out, utf8, n);
        }
}

static void put_string(struct iicp_buf *out, const struct iicp_json *s, enum iicp_canonical_form form) {
        struct json_bytes b = json_bytes_of(s);
        int32_t point;

        iicp_buf_add(out, "\"", 1);
        if (!s->escaped && json_plain_run(s->text.p, s->text.p + s->text.n) == s->text.p + s->text.n &&
            !memchr(s->text.p, 0x7f, s->text.n))
                iicp_buf_add_str(out, s->text);
        else
                while ((point = next_point(&b)) >= 0)
                        put_point(out, point, form);
        iicp_buf_add(out, "\"", 1);
}

void iicp_canonical_text(struct iicp_str text, struct iicp_buf *out) {
        const char *p = text.p, *end = p + text.n;

        iicp_buf_add(out, "\"", 1);
        for (; p < end; p++)
                if ((unsigned char) *p >= 0x80)
                        iicp_buf_add(out, p, 1);
                else
                        put_point(out, (unsigned char) *p, IICP_CANONICAL_SORTED);
        iicp_buf_add(out, "\"", 1);
}

/* ---- numbers ---- */

/* The fewest digits that read back as the same number, and where the point stands: the value is
 * 0.DIGITS times 10 to the power of *ret_point. Both calls use the point of the same locale. */
static int shortest(double v, char digits[DIGITS_MAX + 1], int *ret_point) {
        char text[40];
        const char *e;
        int n = 0;

        for (int precision = 0; precision < DIGITS_MAX; precision++) {
                snprintf(text, sizeof(text), "%.*e", precision, v);
                if (strtod(text, NULL) == v)
                        break;
        }
        e = strchr(text, 'e');
        for (const char *p = text; p < e; p++)
                if (json_is_digit(*p) && n < DIGITS_MAX)
                        digits[n++] = *p;
        while (n > 1 && digits[n - 1] == '0')
                n--;
        digits[n] = '\0';
        *ret_point = (int) strtol(e + 1, NULL, 10) + 1;
        return n;
}

static void put_plain(struct iicp_buf *out, const char *digits, int n, int point) {
        if (point <= 0)
                iicp_buf_printf(out, "0.%.*s%s", -point, "0000000000", digits);
        else if (point < n)
                iicp_buf_printf(out, "%.*s.%s", point, digits, digits + point);
        else
                iicp_buf_printf(out, "%s%.*s", digits, point - n, "0000000000000000000000");
}

static void put_double(struct iicp_buf *out, double v, bool python) {
        char digits[DIGITS_MAX + 1];
        int n, point;

        if (v == 0) {
                iicp_buf_puts(out, !python ? "0" : signbit(v) ? "-0.0" : "0.0");
                return;
        }
        if (v < 0)
                iicp_buf_puts(out, "-");
        n = shortest(fabs(v), digits, &point);
        if (python ? point > -4 && point <= 16 : point > -6 && point <= 21) {
                put_plain(out, digits, n, point);
                if (python && point >= n)
                        iicp_buf_puts(out, ".0");
                return;
        }
        iicp_buf_printf(out, python ? "%c%s%se%c%02d" : "%c%s%se%c%d", digits[0], n > 1 ? "." : "",
                        digits + 1, point > 0 ? '+' : '-', abs(point - 1));
}

static bool is_integer(struct iicp_str text) {
        for (size_t i = text.p[0] == '-'; i < text.n; i++)
                if (!json_is_digit(text.p[i]))
                        return false;
        return true;
}

static int put_number(struct iicp_buf *out, const struct iicp_json *v, enum iicp_canonical_form form) {
        bool integer = is_integer(v->text);
        int64_t exact;
        double d;
        int r;

        if (integer && iicp_str_is(v->text, "-0")) {
                iicp_buf_puts(out, "0");
                return 0;
        }
        if (integer && form == IICP_CANONICAL_JCS &&
            (iicp_json_int(v, &exact) < 0 || exact > EXACT_MAX || exact < -EXACT_MAX))
                return -EINVAL;
        if (integer) {
                iicp_buf_add_str(out, v->text);
                return 0;
        }
        if (form == IICP_CANONICAL_SORTED)
                return -EINVAL;
        r = iicp_json_double(v, &d);
        if (r < 0)
                return -EINVAL;
        put_double(out, d, form == IICP_CANONICAL_ASCII);
        return 0;
}

/* ---- order ---- */

/* Code points above U+FFFF begin with a surrogate, which sorts before U+E000. */
static int32_t place(int32_t point, bool utf16) {
        return utf16 && point >= 0xe000 && point < 0x10000 ? point + 0x200000 : point;
}

static int compare(const void *va, const void *vb) {
        const struct member *a = va, *b = vb;
        struct json_bytes ba = json_bytes_of(&a->name), bb = json_bytes_of(&b->name);

        for (;;) {
                int32_t ca = next_point(&ba), cb = next_point(&bb);

                if (ca != cb)
                        return place(ca, a->utf16) < place(cb, a->utf16) ? -1 : 1;
                if (ca < 0) /* one name twice: as they came */
                        return a->value.text.p < b->value.text.p ? -1 : 1;
        }
}

static bool same_name(const struct member *a, const struct member *b) {
        struct json_bytes ba = json_bytes_of(&a->name), bb = json_bytes_of(&b->name);
        int c;

        while ((c = json_next_byte(&ba)) == json_next_byte(&bb))
                if (c < 0)
                        return true;
        return false;
}

static int members(const struct iicp_json *object, bool utf16, struct member **ret, size_t *ret_n) {
        struct iicp_json_iter it;
        struct member m = {.utf16 = utf16}, *v;
        size_t n = 0;

        iicp_json_iter_init(&it, object);
        while (iicp_json_next(&it, &m.name, &m.value))
                n++;
        v = calloc(n ? n : 1, sizeof(*v));
        if (!v)
                return -ENOMEM;
        iicp_json_iter_init(&it, object);
        for (size_t i = 0; i < n && iicp_json_next(&it, &m.name, &m.value); i++)
                v[i] = m;
        qsort(v, n, sizeof(*v), compare);
        *ret = v;
        *ret_n = n;
        return 0;
}

/* ---- values; they nest at most IICP_JSON_DEPTH_MAX deep, as the scan saw to ---- */

static int put_value(struct iicp_buf *out, const struct iicp_json *v, enum iicp_canonical_form form);

static int put_object(struct iicp_buf *out, const struct iicp_json *object, enum iicp_canonical_form form) {
        _cleanup_free_ struct member *v = NULL;
        bool any = false;
        size_t n;
        int r = members(object, form == IICP_CANONICAL_JCS, &v, &n);

        iicp_buf_puts(out, "{");
        for (size_t i = 0; r == 0 && i < n; i++) {
                if (i + 1 < n && same_name(&v[i], &v[i + 1])) {
                        if (form != IICP_CANONICAL_ASCII)
                                return -EEXIST;
                        continue;
                }
                if (any)
                        iicp_buf_puts(out, ",");
                any = true;
                put_string(out, &v[i].name, form);
                iicp_buf_puts(out, ":");
                r = put_value(out, &v[i].value, form);
        }
        iicp_buf_puts(out, "}");
        return r;
}

static int put_array(struct iicp_buf *out, const struct iicp_json *array, enum iicp_canonical_form form) {
        struct iicp_json_iter it;
        struct iicp_json item;
        const char *comma = "";
        int r = 0;

        iicp_buf_puts(out, "[");
        iicp_json_iter_init(&it, array);
        while (r == 0 && iicp_json_next(&it, NULL, &item)) {
                iicp_buf_puts(out, comma);
                comma = ",";
                r = put_value(out, &item, form);
        }
        iicp_buf_puts(out, "]");
        return r;
}

static int put_value(struct iicp_buf *out, const struct iicp_json *v, enum iicp_canonical_form form) {
        switch (v->type) {
        case IICP_JSON_OBJECT:
                return put_object(out, v, form);
        case IICP_JSON_ARRAY:
                return put_array(out, v, form);
        case IICP_JSON_STRING:
                put_string(out, v, form);
                return 0;
        case IICP_JSON_NUMBER:
                return put_number(out, v, form);
        case IICP_JSON_NONE:
                return -EINVAL;
        default:
                iicp_buf_add_str(out, v->text);
                return 0;
        }
}

int iicp_json_unique(const struct iicp_json *value) {
        struct iicp_json_iter it;
        struct iicp_json item;
        int r = 0;

        if (value->type == IICP_JSON_OBJECT) {
                _cleanup_free_ struct member *v = NULL;
                size_t n;

                r = members(value, false, &v, &n);
                for (size_t i = 1; r == 0 && i < n; i++)
                        if (same_name(&v[i - 1], &v[i]))
                                r = -EEXIST;
        }
        iicp_json_iter_init(&it, value);
        while (r == 0 && iicp_json_next(&it, NULL, &item))
                if (item.type == IICP_JSON_OBJECT || item.type == IICP_JSON_ARRAY)
                        r = iicp_json_unique(&item);
        return r;
}

int iicp_canonical(const struct iicp_json *value, enum iicp_canonical_form form, struct iicp_buf *out) {
        int r = put_value(out, value, form);

        return r < 0 ? r : out->error;
}
