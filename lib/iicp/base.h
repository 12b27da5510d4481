/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_BASE_H
#define IICP_BASE_H

/* What every public header of libiicp shares: the borrowed text view and symbol visibility.
 *
 * Conventions of the library: functions return 0 or -errno (a few return a protocol value and say
 * so); results come back through `ret_` parameters, written only on success; every object has one
 * owner; nothing here logs, opens a socket of its own, starts a thread or keeps a global. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IICP_API __attribute__((visibility("default")))

/* A borrowed view of bytes. It owns nothing and is not NUL-terminated; p == NULL means "absent",
 * n == 0 with p != NULL means "present and empty". */
struct iicp_str {
        const char *p;
        size_t n;
};

#define IICP_STR(literal) ((struct iicp_str){(literal), sizeof(literal) - 1})
#define IICP_STR_NONE ((struct iicp_str){NULL, 0})

static inline struct iicp_str iicp_str(const char *s) {
        return s ? (struct iicp_str){s, strlen(s)} : IICP_STR_NONE;
}

static inline bool iicp_str_eq(struct iicp_str a, struct iicp_str b) {
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool iicp_str_is(struct iicp_str a, const char *literal) {
        return a.p && iicp_str_eq(a, iicp_str(literal));
}

/* Release of the library, "MAJOR.MINOR.PATCH". */
IICP_API const char *iicp_version(void);

/* Compatibility level of the contract that this release describes ("0.7.109"). [iicp-dir 3.1] */
#define IICP_SDK_LEVEL "0.7.109"

/* Value of X-IICP-Version on everything we send. [iicp-framing 5.3] */
#define IICP_WIRE_VERSION "1.5"

/* Bodies of tasks and answers, both directions, bytes. Not configurable. [02 section 2.2] */
#define IICP_BODY_MAX ((size_t) 1048576)

#ifdef __cplusplus
}
#endif
#endif
