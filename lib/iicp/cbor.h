/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CBOR_H
#define IICP_CBOR_H

#include <iicp/json.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CBOR of native frames: borrowed slices of the bytes, no tree, no copies. Heads are decoded and
 * encoded by libcbor; what is ours are the bounds, which are checked before anything is followed,
 * and determinism. [iicp-framing 4.1; 03 sections 3, 7.1] */

#define IICP_CBOR_DEPTH_MESSAGE 16     /* containers; the top map is level 1 */
#define IICP_CBOR_DEPTH_DOCUMENT 64    /* results and payloads inside key 5 */
#define IICP_CBOR_ITEMS_MAX 100000     /* of one document, as many as values of a JSON text */

enum iicp_cbor_type {
        IICP_CBOR_NONE,                /* absent */
        IICP_CBOR_UINT,
        IICP_CBOR_NINT,                /* -1 - number */
        IICP_CBOR_BSTR,
        IICP_CBOR_TSTR,
        IICP_CBOR_ARRAY,
        IICP_CBOR_MAP,
        IICP_CBOR_BOOL,
        IICP_CBOR_NULL,                /* undefined, too */
        IICP_CBOR_FLOAT,
        IICP_CBOR_SIMPLE,              /* simple values without a meaning here */
};

struct iicp_cbor {
        enum iicp_cbor_type type;
        uint64_t number;               /* UINT, NINT; BOOL 0 or 1; items of ARRAY, pairs of MAP */
        double real;                   /* FLOAT */
        struct iicp_str text;          /* BSTR, TSTR: content; ARRAY, MAP: encoded content */
        struct iicp_str whole;         /* the item as it stands */
};

enum iicp_cbor_verdict {
        IICP_CBOR_OK,
        IICP_CBOR_MALFORMED,           /* not well-formed, truncated, bytes left, too deep, too many */
        IICP_CBOR_FORBIDDEN,           /* well-formed, but indefinite, doubled, not shortest, tagged */
        IICP_CBOR_BAD_UTF8,
        IICP_CBOR_NO_MEMORY,
};

enum iicp_cbor_flags {
        IICP_CBOR_MESSAGE = 1 << 0,    /* a frame's payload: one map with integer keys, 16 levels */
        IICP_CBOR_STRICT = 1 << 1,     /* keys sorted, floats shortest, too */
};

/* Judges all bytes as one item; the first fault in their order is told. *ret only when OK. */
IICP_API enum iicp_cbor_verdict iicp_cbor_scan(struct iicp_str bytes, unsigned flags, struct iicp_cbor *ret);

/* Over items that came out of iicp_cbor_scan; other bytes end it early, nothing is read outside. */
struct iicp_cbor_iter {
        const char *p, *end;
        uint64_t left;
        bool map;
};
IICP_API void iicp_cbor_iter_init(struct iicp_cbor_iter *it, const struct iicp_cbor *container);
/* false at the end. key is set for maps and may be NULL. */
IICP_API bool iicp_cbor_next(struct iicp_cbor_iter *it, struct iicp_cbor *key, struct iicp_cbor *value);
/* By unsigned integer key, by text key; type NONE if absent or no map. */
IICP_API struct iicp_cbor iicp_cbor_get(const struct iicp_cbor *map, uint64_t key);
IICP_API struct iicp_cbor iicp_cbor_get_text(const struct iicp_cbor *map, const char *key);

/* Writers: shortest heads. Errors stick to the buffer. The caller sorts keys and counts. */
IICP_API void iicp_cbor_put_uint(struct iicp_buf *b, uint64_t v);
IICP_API void iicp_cbor_put_int(struct iicp_buf *b, int64_t v);
IICP_API void iicp_cbor_put_bstr(struct iicp_buf *b, struct iicp_str v);
IICP_API void iicp_cbor_put_tstr(struct iicp_buf *b, struct iicp_str v);
IICP_API void iicp_cbor_put_array(struct iicp_buf *b, size_t n);
IICP_API void iicp_cbor_put_map(struct iicp_buf *b, size_t n);
IICP_API void iicp_cbor_put_bool(struct iicp_buf *b, bool v);
IICP_API void iicp_cbor_put_null(struct iicp_buf *b);
/* The shortest width that keeps the value. */
IICP_API void iicp_cbor_put_double(struct iicp_buf *b, double v);

/* A scanned JSON value as deterministic CBOR: integers that fit 64 bits as integers, other numbers
 * as the shortest exact float, members sorted; of a doubled member the last counts. 0, -EBADMSG,
 * -ENOMEM. [03 section 7.4] */
IICP_API int iicp_cbor_from_json(const struct iicp_json *value, struct iicp_buf *out);
/* One scanned item as JSON text. -EINVAL: it has no JSON form (byte strings, keys that are no text,
 * not-a-number). */
IICP_API int iicp_cbor_to_json(const struct iicp_cbor *item, struct iicp_buf *out);

#ifdef __cplusplus
}
#endif
#endif
