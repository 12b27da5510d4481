/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_BIND_TICKET_H
#define IICP_BIND_TICKET_H

#include <iicp/token.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Relay bind tickets: the directory says that a worker may bind to a relay, once. Pure; remembering
 * the jti is the relay's. LOG-FORBIDDEN. [03 section 18; iicp-dir 7.4] */

#define IICP_BIND_TICKET_JTI 33        /* 32 lower-case hex digits and a NUL */
#define IICP_BIND_TICKET_LIFE_S 600    /* a longer life is worth a warning */

struct iicp_bind_ticket {
        char jti[IICP_BIND_TICKET_JTI];
        int64_t expires_at;            /* Unix seconds */
        int64_t life_s;                /* exp - iat, 0 without a usable iat */
};

/* Everything but the one use: encoding, signature, v, typ, jti, sub = worker_id, exp > now, aud = relay_id
 * or "*". Keys are tried in turn. MALFORMED, SIGNATURE, VERSION, TYPE, JTI, SUBJECT, EXPIRED, AUDIENCE
 * or OK. */
IICP_API enum iicp_token_fault iicp_bind_ticket_check(struct iicp_str ticket, const uint8_t (*keys)[IICP_SIGN_KEY],
                                                      size_t n_keys, struct iicp_str worker_id, struct iicp_str relay_id,
                                                      int64_t now_s, struct iicp_bind_ticket *ret);

/* The worker's look at what it was given, without a key: false, if a relay would refuse it for its form
 * (one directory issues tickets without a jti). */
IICP_API bool iicp_bind_ticket_usable(struct iicp_str ticket);

#ifdef __cplusplus
}
#endif
#endif
