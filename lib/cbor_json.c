/* SPDX-License-Identifier: Apache-2.0 */
#include "json-internal.h"
#include "util.h"

#include <iicp/cbor.h>
#include <math.h>
#include <stdio.h>

/* Both directions go down at most IICP_CBOR_DEPTH_DOCUMENT levels: the scanners saw to that. */

/* ---- JSON to CBOR ---- */

struct member {
        struct iicp_str name;      /* in the arena of the object */
        size_t order;
        struct iicp_json value;
};

static int compare_members(const void *a, const void *b) {
        const struct member *x = a, *y = b;
        int r;

        if (x->name.n != y->name.n)
                return x->name.n < y->name.n ? -1 : 1;
        r = x->name.n ? memcmp(x->name.p, y->name.p, x->name.n) : 0;
        return r ? r : (x->order > y->order) - (x->order < y->order);
}

static int put_number(const struct iicp_json *v, struct iicp_buf *out) {
        int64_t i;
        double d;
        int r = iicp_json_int(v, &i);

        if (r == 0) {
                iicp_cbor_put_int(out, i);
                return 0;
        }
        if (r == -ERANGE && v->text.p[0] != '-' && v->text.n <= 20) {
                char digits[21] = "", *end;
                unsigned long long u;

                memcpy(digits, v->text.p, v->text.n);
                errno = 0;
                u = strtoull(digits, &end, 10);
                if (errno == 0 && *end == '\0') {
                        iicp_cbor_put_uint(out, u);
                        return 0;
                }
        }
        if (iicp_json_double(v, &d) < 0)
                return -EBADMSG;
        iicp_cbor_put_double(out, d);
        return 0;
}

static int put_json(const struct iicp_json *v, unsigned depth, struct iicp_buf *out);

static int put_json_array(const struct iicp_json *v, unsigned depth, struct iicp_buf *out) {
        struct iicp_json_iter it;
        struct iicp_json item;
        size_t n = 0;
        int r;

        iicp_json_iter_init(&it, v);
        while (iicp_json_next(&it, NULL, &item))
                n++;
        iicp_cbor_put_array(out, n);
        iicp_json_iter_init(&it, v);
        while (iicp_json_next(&it, NULL, &item)) {
                r = put_json(&item, depth + 1, out);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Names decoded and sorted; of doubled ones the last stays. */
static int members_of(const struct iicp_json *v, struct iicp_buf *names, struct member **ret, size_t *ret_n) {
        struct iicp_json_iter it;
        struct iicp_json name, value;
        struct member *m;
        size_t n = 0, at = 0, kept = 0;

        iicp_json_iter_init(&it, v);
        while (iicp_json_next(&it, &name, &value))
                n++;
        m = calloc(n + 1, sizeof(*m));
        if (!m || !iicp_buf_reserve(names, v->text.n)) {
                free(m);
                return -ENOMEM;
        }
        iicp_json_iter_init(&it, v);
        while (at < n && iicp_json_next(&it, &name, &value)) {
                size_t from = names->n;

                /* within what was reserved, so nothing moves */
                if (iicp_json_decode(&name, names) < 0) {
                        free(m);
                        return -ENOMEM;
                }
                m[at] = (struct member){{names->p + from, names->n - from}, at, value};
                at++;
        }
        qsort(m, at, sizeof(*m), compare_members);
        for (size_t i = 0; i < at; i++)
                if (i + 1 == at || !iicp_str_eq(m[i].name, m[i + 1].name))
                        m[kept++] = m[i];
        *ret = m;
        *ret_n = kept;
        return 0;
}

static int put_json_object(const struct iicp_json *v, unsigned depth, struct iicp_buf *out) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf names = {};
        _cleanup_free_ struct member *m = NULL;
        size_t n = 0;
        int r = members_of(v, &names, &m, &n);

        if (r < 0)
                return r;
        iicp_cbor_put_map(out, n);
        for (size_t i = 0; i < n; i++) {
                iicp_cbor_put_tstr(out, m[i].name);
                r = put_json(&m[i].value, depth + 1, out);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_json_string(const struct iicp_json *v, struct iicp_buf *out) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf decoded = {};
        int r;

        if (!v->escaped) {
                iicp_cbor_put_tstr(out, v->text);
                return 0;
        }
        r = iicp_json_decode(v, &decoded);
        if (r < 0)
                return r;
        iicp_cbor_put_tstr(out, iicp_buf_str(&decoded));
        return decoded.error;
}

static int put_json(const struct iicp_json *v, unsigned depth, struct iicp_buf *out) {
        if (depth > IICP_JSON_DEPTH_MAX)
                return -EBADMSG;
        switch (v->type) {
        case IICP_JSON_NULL:
                iicp_cbor_put_null(out);
                return 0;
        case IICP_JSON_FALSE:
        case IICP_JSON_TRUE:
                iicp_cbor_put_bool(out, v->type == IICP_JSON_TRUE);
                return 0;
        case IICP_JSON_NUMBER:
                return put_number(v, out);
        case IICP_JSON_STRING:
                return put_json_string(v, out);
        case IICP_JSON_ARRAY:
                return put_json_array(v, depth, out);
        case IICP_JSON_OBJECT:
                return put_json_object(v, depth, out);
        case IICP_JSON_NONE:
                break;
        }
        return -EBADMSG;
}

int iicp_cbor_from_json(const struct iicp_json *value, struct iicp_buf *out) {
        int r = put_json(value, 1, out);

        return r < 0 ? r : out->error == -E2BIG ? -EBADMSG : out->error;
}

/* ---- CBOR to JSON ---- */

static int put_cbor_double(double v, struct iicp_buf *out) {
        char text[32];

        if (!isfinite(v))
                return -EINVAL;
        for (int digits = 15; digits <= 17; digits++) {
                snprintf(text, sizeof(text), "%.*g", digits, v);
                if (strtod(text, NULL) == v)
                        break;
        }
        /* the decimal point of the program's locale */
        for (char *p = text; *p; p++)
                if (!json_is_digit(*p) && !strchr("+-e", *p))
                        *p = '.';
        iicp_buf_puts(out, text);
        return 0;
}

static int put_cbor(const struct iicp_cbor *v, unsigned depth, struct iicp_buf *out);

static int put_cbor_container(const struct iicp_cbor *v, unsigned depth, struct iicp_buf *out) {
        bool map = v->type == IICP_CBOR_MAP, first = true;
        struct iicp_cbor_iter it;
        struct iicp_cbor key, value;
        int r;

        iicp_buf_puts(out, map ? "{" : "[");
        iicp_cbor_iter_init(&it, v);
        while (iicp_cbor_next(&it, &key, &value)) {
                if (!first)
                        iicp_buf_puts(out, ",");
                first = false;
                if (map) {
                        if (key.type != IICP_CBOR_TSTR)
                                return -EINVAL;
                        iicp_buf_json_str(out, key.text);
                        iicp_buf_puts(out, ":");
                }
                r = put_cbor(&value, depth + 1, out);
                if (r < 0)
                        return r;
        }
        iicp_buf_puts(out, map ? "}" : "]");
        return 0;
}

static int put_cbor(const struct iicp_cbor *v, unsigned depth, struct iicp_buf *out) {
        if (depth > IICP_CBOR_DEPTH_DOCUMENT + 1)
                return -EINVAL;
        switch (v->type) {
        case IICP_CBOR_UINT:
                iicp_buf_printf(out, "%llu", (unsigned long long) v->number);
                return 0;
        case IICP_CBOR_NINT:
                if (v->number > INT64_MAX)
                        return put_cbor_double(-1.0 - (double) v->number, out);
                iicp_buf_printf(out, "%lld", (long long) (-1 - (int64_t) v->number));
                return 0;
        case IICP_CBOR_TSTR:
                iicp_buf_json_str(out, v->text);
                return 0;
        case IICP_CBOR_BOOL:
                iicp_buf_puts(out, v->number ? "true" : "false");
                return 0;
        case IICP_CBOR_NULL:
                iicp_buf_puts(out, "null");
                return 0;
        case IICP_CBOR_FLOAT:
                return put_cbor_double(v->real, out);
        case IICP_CBOR_ARRAY:
        case IICP_CBOR_MAP:
                return put_cbor_container(v, depth, out);
        case IICP_CBOR_NONE:
        case IICP_CBOR_BSTR:
        case IICP_CBOR_SIMPLE:
                break;
        }
        return -EINVAL;
}

int iicp_cbor_to_json(const struct iicp_cbor *item, struct iicp_buf *out) {
        int r = put_cbor(item, 1, out);

        return r < 0 ? r : out->error;
}
