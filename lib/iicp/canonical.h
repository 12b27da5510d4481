/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CANONICAL_H
#define IICP_CANONICAL_H

#include <iicp/json.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Canonical texts of JSON that is signed or hashed. The three forms differ in small things and must
 * never be mixed: each message names its own. [05 section 12] */
enum iicp_canonical_form {
        /* RFC 8785: members in the order of UTF-16 code units, numbers as ECMAScript prints them. */
        IICP_CANONICAL_JCS,
        /* Manifests, operator requests: members in the order of UTF-8 bytes, text as it is. Numbers
         * are integers; encoders differ about fractions. */
        IICP_CANONICAL_SORTED,
        /* response_hash: the same order, everything but ASCII as \uXXXX, fractions as Python
         * prints them. */
        IICP_CANONICAL_ASCII,
};

/* `value` comes out of iicp_json_scan. -EINVAL: a number that the form refuses; -EEXIST: a member
 * twice (IICP_CANONICAL_ASCII takes the last); -ENOMEM, -E2BIG. */
IICP_API int iicp_canonical(const struct iicp_json *value, enum iicp_canonical_form form,
                            struct iicp_buf *out);
/* -EEXIST: an object somewhere in the value has a member twice; iicp_json_scan looks at the top. */
IICP_API int iicp_json_unique(const struct iicp_json *value);
/* The same as iicp_canonical of one string: what IICP_CANONICAL_SORTED makes of it, quotes included. */
IICP_API void iicp_canonical_text(struct iicp_str text, struct iicp_buf *out);

#ifdef __cplusplus
}
#endif
#endif
