/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_PEEK_H
#define IICPD_PEEK_H

/* Which protocol the first bytes of a connection speak. [02 section 1] */

#include <iicp/base.h>

#define PEEK_BYTES 4

enum peek { PEEK_MORE, PEEK_HTTP, PEEK_NATIVE };

/* As soon as one byte differs from "IICP" it is HTTP; no method in use starts with "I". */
static inline enum peek peek_classify(struct iicp_str bytes) {
        static const char magic[PEEK_BYTES] = {'I', 'I', 'C', 'P'};
        size_t n = bytes.n < PEEK_BYTES ? bytes.n : PEEK_BYTES;

        if (n > 0 && memcmp(bytes.p, magic, n) != 0)
                return PEEK_HTTP;
        return n == PEEK_BYTES ? PEEK_NATIVE : PEEK_MORE;
}

#endif
