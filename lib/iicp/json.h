/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_JSON_H
#define IICP_JSON_H

#include <iicp/buf.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A strict JSON scanner for the task path: one pass over the bytes, no tree, no copies. Values are
 * borrowed slices of the text, numbers included, so that what is forwarded travels unchanged.
 * (The control plane uses json-c; a fuzz target checks that both agree on what is valid.)
 *
 * Bounds [02 section 2.5; 05 section 15]: nesting, number of values and length of numbers below;
 * strict UTF-8, no byte order mark, no lone surrogate escapes, no NUL in member names, no trailing
 * bytes. The scanner does not recurse. */

#define IICP_JSON_DEPTH_MAX 64         /* the top value is level 1 */
#define IICP_JSON_VALUES_MAX 100000
#define IICP_JSON_NUMBER_MAX 64        /* characters */

enum iicp_json_type {
        IICP_JSON_NONE,                /* absent */
        IICP_JSON_NULL,
        IICP_JSON_FALSE,
        IICP_JSON_TRUE,
        IICP_JSON_NUMBER,
        IICP_JSON_STRING,              /* slice without the quotes, escapes as they came */
        IICP_JSON_ARRAY,
        IICP_JSON_OBJECT,
};

struct iicp_json {
        struct iicp_str text;          /* STRING: between the quotes; otherwise the whole value */
        enum iicp_json_type type;
        bool escaped;                  /* STRING: contains a backslash */
};

/* Called for each member of the top-level object while it is scanned. A non-zero return stops the
 * scan and is returned. */
typedef int (*iicp_json_member_fn)(void *arg, const struct iicp_json *name, const struct iicp_json *value);

/* Validates `text` as one JSON value. 0, or -EBADMSG (malformed, or one of the bounds), -EEXIST
 * (doubled member in the top object), -ENOMEM. *ret is the value; `fn` may be NULL. */
IICP_API int iicp_json_scan(struct iicp_str text, iicp_json_member_fn fn, void *arg, struct iicp_json *ret);

/* Iteration over values that came out of iicp_json_scan. Behaviour on other text is undefined in
 * value but never reads outside of the slice. */
struct iicp_json_iter {
        const char *p, *end;
};
IICP_API void iicp_json_iter_init(struct iicp_json_iter *it, const struct iicp_json *container);
/* false at the end. `name` is set for objects and may be NULL. */
IICP_API bool iicp_json_next(struct iicp_json_iter *it, struct iicp_json *name, struct iicp_json *value);
/* Last member of that name (plain ASCII, compared decoded); type NONE if absent or no object. */
IICP_API struct iicp_json iicp_json_get(const struct iicp_json *object, const char *name);

/* True if the string, decoded, equals the text. */
IICP_API bool iicp_json_is(const struct iicp_json *string, const char *text);
/* Decodes a string value. -EINVAL: no string; -ENOSPC: longer than cap-1 bytes, or holds a NUL.
 * The result is NUL-terminated. */
IICP_API int iicp_json_copy(const struct iicp_json *string, char *out, size_t cap);
/* Appends the decoded string. */
IICP_API int iicp_json_decode(const struct iicp_json *string, struct iicp_buf *out);
/* An integer without fraction and exponent; -EINVAL otherwise, -ERANGE outside of int64. */
IICP_API int iicp_json_int(const struct iicp_json *number, int64_t *ret);
/* -EINVAL: no number; -ERANGE: too large for a double. */
IICP_API int iicp_json_double(const struct iicp_json *number, double *ret);

#ifdef __cplusplus
}
#endif
#endif
