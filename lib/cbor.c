/* SPDX-License-Identifier: Apache-2.0 */
#include "json-internal.h"
#include "util.h"

#include <cbor.h>
#include <iicp/cbor.h>

/* ---- one head: ours judges its form, libcbor reads it ---- */

struct reading {
        struct iicp_cbor *item;
        const char *at;
        size_t head;             /* bytes before the content of a string */
};

static void on_number(struct reading *r, enum iicp_cbor_type type, uint64_t v) {
        r->item->type = type;
        r->item->number = v;
}

static void on_uint8(void *r, uint8_t v) {
        on_number(r, IICP_CBOR_UINT, v);
}
static void on_uint16(void *r, uint16_t v) {
        on_number(r, IICP_CBOR_UINT, v);
}
static void on_uint32(void *r, uint32_t v) {
        on_number(r, IICP_CBOR_UINT, v);
}
static void on_uint64(void *r, uint64_t v) {
        on_number(r, IICP_CBOR_UINT, v);
}
static void on_negint8(void *r, uint8_t v) {
        on_number(r, IICP_CBOR_NINT, v);
}
static void on_negint16(void *r, uint16_t v) {
        on_number(r, IICP_CBOR_NINT, v);
}
static void on_negint32(void *r, uint32_t v) {
        on_number(r, IICP_CBOR_NINT, v);
}
static void on_negint64(void *r, uint64_t v) {
        on_number(r, IICP_CBOR_NINT, v);
}

static void on_string(struct reading *r, enum iicp_cbor_type type, cbor_data p, size_t n) {
        r->item->type = type;
        /* of an empty string the library may tell any place */
        r->item->text = (struct iicp_str){n ? (const char *) p : r->at + r->head, n};
}

static void on_bstr(void *r, cbor_data p, size_t n) {
        on_string(r, IICP_CBOR_BSTR, p, n);
}
static void on_tstr(void *r, cbor_data p, size_t n) {
        on_string(r, IICP_CBOR_TSTR, p, n);
}
static void on_array(void *r, size_t n) {
        on_number(r, IICP_CBOR_ARRAY, n);
}
static void on_map(void *r, size_t n) {
        on_number(r, IICP_CBOR_MAP, n);
}
static void on_bool(void *r, bool v) {
        on_number(r, IICP_CBOR_BOOL, v);
}
static void on_null(void *r) {
        on_number(r, IICP_CBOR_NULL, 0);
}

static void on_float(void *arg, float v) {
        struct reading *r = arg;

        r->item->type = IICP_CBOR_FLOAT;
        r->item->real = (double) v;
}

static void on_double(void *arg, double v) {
        struct reading *r = arg;

        r->item->type = IICP_CBOR_FLOAT;
        r->item->real = v;
}

/* Indefinite forms and tags are refused before the library sees them. */
static const struct cbor_callbacks callbacks = {
        .uint8 = on_uint8, .uint16 = on_uint16, .uint32 = on_uint32, .uint64 = on_uint64,
        .negint8 = on_negint8, .negint16 = on_negint16, .negint32 = on_negint32, .negint64 = on_negint64,
        .byte_string = on_bstr, .string = on_tstr, .array_start = on_array, .map_start = on_map,
        .float2 = on_float, .float4 = on_float, .float8 = on_double,
        .undefined = on_null, .null = on_null, .boolean = on_bool,
};

enum { MAJOR_BSTR = 2, MAJOR_TSTR, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_OTHER };
enum { INFO_8 = 24, INFO_16, INFO_32, INFO_64, INFO_RESERVED, INFO_INDEFINITE = 31 };

static bool is_shortest(unsigned info, const unsigned char *p) {
        uint64_t v = 0;

        if (info < INFO_8)
                return true;
        for (size_t i = 0; i < (size_t) 1 << (info - INFO_8); i++)
                v = v << 8 | p[1 + i];
        return info == INFO_8 ? v > 23 : v >> (8 << (info - INFO_16)) != 0;
}

/* Simple values that the library does not know. 0: it is none of them. */
static enum iicp_cbor_verdict read_simple(const unsigned char *p, unsigned info, size_t room,
                                          struct iicp_cbor *ret, size_t *ret_n) {
        *ret_n = info < 20 ? 1 : info == INFO_8 ? 2 : 0;
        if (*ret_n == 2 && (room < 2 || p[1] < 32))
                return IICP_CBOR_MALFORMED;
        ret->type = IICP_CBOR_SIMPLE;
        ret->number = *ret_n == 2 ? p[1] : info;
        return IICP_CBOR_OK;
}

/* One item without what is inside of a container; *ret_n bytes were read. */
static enum iicp_cbor_verdict read_item(const char *at, const char *end, struct iicp_cbor *ret, size_t *ret_n) {
        const unsigned char *p = (const unsigned char *) at;
        size_t room = (size_t) (end - at), head;
        unsigned major, info;

        if (room == 0)
                return IICP_CBOR_MALFORMED;
        major = p[0] >> 5;
        info = p[0] & 31;
        *ret = (struct iicp_cbor){};
        if (info >= INFO_RESERVED && info < INFO_INDEFINITE)
                return IICP_CBOR_MALFORMED;
        if (info == INFO_INDEFINITE)
                return major >= MAJOR_BSTR && major <= MAJOR_MAP ? IICP_CBOR_FORBIDDEN : IICP_CBOR_MALFORMED;
        head = info < INFO_8 ? 1 : 1 + ((size_t) 1 << (info - INFO_8));
        if (room < head)
                return IICP_CBOR_MALFORMED;
        if (major == MAJOR_TAG)
                return IICP_CBOR_FORBIDDEN;
        if (major == MAJOR_OTHER && (info < 20 || info == INFO_8)) {
                enum iicp_cbor_verdict v = read_simple(p, info, room, ret, ret_n);

                ret->whole = (struct iicp_str){at, *ret_n};
                return v;
        }
        struct reading reading = {ret, at, head};
        struct cbor_decoder_result r = cbor_stream_decode(p, room, &callbacks, &reading);
        if (r.status != CBOR_DECODER_FINISHED || r.read == 0 || r.read > room)
                return IICP_CBOR_MALFORMED;
        if (major != MAJOR_OTHER && !is_shortest(info, p))
                return IICP_CBOR_FORBIDDEN;
        *ret_n = r.read;
        ret->whole = (struct iicp_str){at, r.read};
        return IICP_CBOR_OK;
}

/* ---- text ---- */

static bool utf8_valid(struct iicp_str s) {
        const char *p = s.p, *end = s.p + s.n;

        while (p < end) {
                size_t n = (unsigned char) *p < 0x80 ? 1 : utf8_sequence(p, end);

                if (n == 0)
                        return false;
                p += n;
        }
        return true;
}

/* ---- the whole ---- */

struct level {
        struct iicp_cbor container;
        uint64_t left;           /* items, keys included */
        bool map, unsorted;
        struct iicp_str last_key;
};

struct scan {
        const char *p, *end;
        unsigned flags, depth, max_depth;
        uint64_t items;
        struct level levels[IICP_CBOR_DEPTH_DOCUMENT];
};

static int compare_bytes(struct iicp_str a, struct iicp_str b) {
        int r = memcmp(a.p, b.p, MIN(a.n, b.n));

        return r ? r : (a.n > b.n) - (a.n < b.n);
}

static int compare_slices(const void *a, const void *b) {
        return compare_bytes(*(const struct iicp_str *) a, *(const struct iicp_str *) b);
}

/* Sorted keys show doubles when they are side by side; others are sorted first. */
static enum iicp_cbor_verdict check_doubles(const struct iicp_cbor *map) {
        _cleanup_free_ struct iicp_str *keys = calloc((size_t) map->number, sizeof(*keys));
        struct iicp_cbor_iter it;
        struct iicp_cbor key, value;
        size_t n = 0;

        if (!keys)
                return IICP_CBOR_NO_MEMORY;
        iicp_cbor_iter_init(&it, map);
        while (n < map->number && iicp_cbor_next(&it, &key, &value))
                keys[n++] = key.whole;
        qsort(keys, n, sizeof(*keys), compare_slices);
        for (size_t i = 1; i < n; i++)
                if (iicp_str_eq(keys[i - 1], keys[i]))
                        return IICP_CBOR_FORBIDDEN;
        return IICP_CBOR_OK;
}

static enum iicp_cbor_verdict take_key(struct scan *s, struct level *l, const struct iicp_cbor *key) {
        bool integer = key->type == IICP_CBOR_UINT || key->type == IICP_CBOR_NINT;
        bool top = s->flags & IICP_CBOR_MESSAGE && s->depth == 1;

        if (!integer && (top || key->type != IICP_CBOR_TSTR))
                return IICP_CBOR_FORBIDDEN;
        if (l->last_key.p) {
                int order = compare_bytes(l->last_key, key->whole);

                if (order == 0 || (order > 0 && s->flags & IICP_CBOR_STRICT))
                        return IICP_CBOR_FORBIDDEN;
                l->unsorted |= order > 0;
        }
        l->last_key = key->whole;
        return IICP_CBOR_OK;
}

static enum iicp_cbor_verdict open_container(struct scan *s, const struct iicp_cbor *c) {
        uint64_t room = (uint64_t) (s->end - s->p);
        bool map = c->type == IICP_CBOR_MAP;

        if (s->depth == s->max_depth || c->number > (map ? room / 2 : room))
                return IICP_CBOR_MALFORMED;
        s->levels[s->depth++] = (struct level){.container = *c, .left = map ? c->number * 2 : c->number, .map = map};
        return IICP_CBOR_OK;
}

static size_t float_width(double v);

static enum iicp_cbor_verdict check_scalar(const struct scan *s, const struct iicp_cbor *item) {
        if (item->type == IICP_CBOR_TSTR && !utf8_valid(item->text))
                return IICP_CBOR_BAD_UTF8;
        if (item->type == IICP_CBOR_FLOAT && s->flags & IICP_CBOR_STRICT && item->whole.n != 1 + float_width(item->real))
                return IICP_CBOR_FORBIDDEN;
        return IICP_CBOR_OK;
}

/* Leaves the containers that are complete; the outermost one becomes *ret. */
static enum iicp_cbor_verdict close_containers(struct scan *s, struct iicp_cbor *ret) {
        while (s->depth > 0 && s->levels[s->depth - 1].left == 0) {
                struct level *l = &s->levels[--s->depth];
                const char *content = l->container.whole.p + l->container.whole.n;

                l->container.text = (struct iicp_str){content, (size_t) (s->p - content)};
                l->container.whole.n = (size_t) (s->p - l->container.whole.p);
                if (l->unsorted) {
                        enum iicp_cbor_verdict v = check_doubles(&l->container);

                        if (v != IICP_CBOR_OK)
                                return v;
                }
                if (s->depth == 0)
                        *ret = l->container;
        }
        return IICP_CBOR_OK;
}

static enum iicp_cbor_verdict scan_item(struct scan *s, struct iicp_cbor *ret) {
        struct level *l = s->depth ? &s->levels[s->depth - 1] : NULL;
        enum iicp_cbor_verdict v;
        struct iicp_cbor item;
        size_t n = 0;

        if (++s->items > IICP_CBOR_ITEMS_MAX)
                return IICP_CBOR_MALFORMED;
        v = read_item(s->p, s->end, &item, &n);
        if (v != IICP_CBOR_OK)
                return v;
        s->p += n;
        v = check_scalar(s, &item);
        if (v != IICP_CBOR_OK)
                return v;
        if (!l && s->flags & IICP_CBOR_MESSAGE && item.type != IICP_CBOR_MAP)
                return IICP_CBOR_FORBIDDEN;
        if (l) {
                if (l->map && l->left % 2 == 0 && (v = take_key(s, l, &item)) != IICP_CBOR_OK)
                        return v;
                l->left--;
        }
        if (item.type == IICP_CBOR_MAP || item.type == IICP_CBOR_ARRAY) {
                v = open_container(s, &item);
                if (v != IICP_CBOR_OK)
                        return v;
        } else if (!l)
                *ret = item;
        return close_containers(s, ret);
}

enum iicp_cbor_verdict iicp_cbor_scan(struct iicp_str bytes, unsigned flags, struct iicp_cbor *ret) {
        struct scan s = {.p = bytes.p, .end = bytes.p + bytes.n, .flags = flags};
        enum iicp_cbor_verdict v;
        struct iicp_cbor item = {};

        s.max_depth = flags & IICP_CBOR_MESSAGE ? IICP_CBOR_DEPTH_MESSAGE : IICP_CBOR_DEPTH_DOCUMENT;
        if (bytes.n == 0)
                return IICP_CBOR_MALFORMED;
        do {
                v = scan_item(&s, &item);
                if (v != IICP_CBOR_OK)
                        return v;
        } while (s.depth > 0);
        if (s.p != s.end)
                return IICP_CBOR_MALFORMED;
        *ret = item;
        return IICP_CBOR_OK;
}

/* ---- iteration ---- */

void iicp_cbor_iter_init(struct iicp_cbor_iter *it, const struct iicp_cbor *container) {
        *it = (struct iicp_cbor_iter){};
        if (container->type != IICP_CBOR_MAP && container->type != IICP_CBOR_ARRAY)
                return;
        *it = (struct iicp_cbor_iter){container->text.p, container->text.p + container->text.n, container->number,
                                      container->type == IICP_CBOR_MAP};
}

/* One whole item, containers with what is inside. */
static bool next_item(struct iicp_cbor_iter *it, struct iicp_cbor *ret) {
        struct iicp_cbor inner;
        uint64_t left;
        size_t n = 0;

        if (read_item(it->p, it->end, ret, &n) != IICP_CBOR_OK)
                return false;
        it->p += n;
        if (ret->type != IICP_CBOR_MAP && ret->type != IICP_CBOR_ARRAY)
                return true;
        ret->text.p = it->p;
        left = ret->type == IICP_CBOR_MAP ? ret->number * 2 : ret->number;
        while (left > 0) {
                if (read_item(it->p, it->end, &inner, &n) != IICP_CBOR_OK)
                        return false;
                it->p += n;
                left--;
                if (inner.type == IICP_CBOR_MAP)
                        left += inner.number * 2;
                else if (inner.type == IICP_CBOR_ARRAY)
                        left += inner.number;
        }
        ret->text.n = (size_t) (it->p - ret->text.p);
        ret->whole.n = (size_t) (it->p - ret->whole.p);
        return true;
}

bool iicp_cbor_next(struct iicp_cbor_iter *it, struct iicp_cbor *key, struct iicp_cbor *value) {
        struct iicp_cbor ignored;

        if (it->left == 0)
                return false;
        it->left--;
        if ((it->map && !next_item(it, key ? key : &ignored)) || !next_item(it, value)) {
                it->left = 0;
                return false;
        }
        return true;
}

struct iicp_cbor iicp_cbor_get(const struct iicp_cbor *map, uint64_t wanted) {
        struct iicp_cbor_iter it;
        struct iicp_cbor key, value;

        if (map->type == IICP_CBOR_MAP) {
                iicp_cbor_iter_init(&it, map);
                while (iicp_cbor_next(&it, &key, &value))
                        if (key.type == IICP_CBOR_UINT && key.number == wanted)
                                return value;
        }
        return (struct iicp_cbor){};
}

struct iicp_cbor iicp_cbor_get_text(const struct iicp_cbor *map, const char *wanted) {
        struct iicp_cbor_iter it;
        struct iicp_cbor key, value;

        if (map->type == IICP_CBOR_MAP) {
                iicp_cbor_iter_init(&it, map);
                while (iicp_cbor_next(&it, &key, &value))
                        if (key.type == IICP_CBOR_TSTR && iicp_str_is(key.text, wanted))
                                return value;
        }
        return (struct iicp_cbor){};
}

/* ---- writing ---- */

#define HEAD_MAX 9

static void put(struct iicp_buf *b, size_t (*encode)(uint64_t, unsigned char *, size_t), uint64_t v) {
        unsigned char head[HEAD_MAX];

        iicp_buf_add(b, head, encode(v, head, sizeof(head)));
}

void iicp_cbor_put_uint(struct iicp_buf *b, uint64_t v) {
        put(b, cbor_encode_uint, v);
}

void iicp_cbor_put_int(struct iicp_buf *b, int64_t v) {
        if (v >= 0)
                put(b, cbor_encode_uint, (uint64_t) v);
        else
                put(b, cbor_encode_negint, (uint64_t) (-1 - v));
}

static void put_sized(struct iicp_buf *b, size_t (*encode)(size_t, unsigned char *, size_t), size_t n) {
        unsigned char head[HEAD_MAX];

        iicp_buf_add(b, head, encode(n, head, sizeof(head)));
}

void iicp_cbor_put_bstr(struct iicp_buf *b, struct iicp_str v) {
        put_sized(b, cbor_encode_bytestring_start, v.n);
        iicp_buf_add(b, v.p, v.n);
}

void iicp_cbor_put_tstr(struct iicp_buf *b, struct iicp_str v) {
        put_sized(b, cbor_encode_string_start, v.n);
        iicp_buf_add(b, v.p, v.n);
}

void iicp_cbor_put_array(struct iicp_buf *b, size_t n) {
        put_sized(b, cbor_encode_array_start, n);
}

void iicp_cbor_put_map(struct iicp_buf *b, size_t n) {
        put_sized(b, cbor_encode_map_start, n);
}

void iicp_cbor_put_bool(struct iicp_buf *b, bool v) {
        unsigned char head[HEAD_MAX];

        iicp_buf_add(b, head, cbor_encode_bool(v, head, sizeof(head)));
}

void iicp_cbor_put_null(struct iicp_buf *b) {
        unsigned char head[HEAD_MAX];

        iicp_buf_add(b, head, cbor_encode_null(head, sizeof(head)));
}

/* Is v exact with 11 significant bits and the exponents of a half? (IEEE 754 binary16) */
static bool fits_half(double v) {
        uint64_t bits, mantissa;
        int exponent, zeros;

        memcpy(&bits, &v, sizeof(bits));
        mantissa = bits & ((1ULL << 52) - 1);
        exponent = (int) (bits >> 52 & 0x7ff) - 1023;
        if (exponent == 1024 || (bits & ~(1ULL << 63)) == 0)
                return true; /* infinity, not-a-number, zero */
        if (exponent > 15 || exponent < -24)
                return false;
        zeros = mantissa ? __builtin_ctzll(mantissa) : 52;
        /* below 2^-14 each step takes one bit of the ten */
        return 52 - zeros <= (exponent >= -14 ? 10 : 24 + exponent);
}

static size_t float_width(double v) {
        if (fits_half(v))
                return 2;
        return (double) (float) v == v ? 4 : 8;
}

void iicp_cbor_put_double(struct iicp_buf *b, double v) {
        unsigned char head[HEAD_MAX];
        size_t n = float_width(v);

        if (n == 2)
                n = cbor_encode_half((float) v, head, sizeof(head));
        else if (n == 4)
                n = cbor_encode_single((float) v, head, sizeof(head));
        else
                n = cbor_encode_double(v, head, sizeof(head));
        iicp_buf_add(b, head, n);
}
