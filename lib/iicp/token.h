/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_TOKEN_H
#define IICP_TOKEN_H

#include <iicp/json.h>
#include <iicp/sign.h>
#include <iicp/urn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Tokens and tickets of a directory: base64url payload, a dot, 128 hex digits. The domain line
 * before the signed text separates the kinds. [05 sections 4.3, 5] */

#define IICP_TOKEN_MAX 4096 /* bytes */

#define IICP_DOMAIN_CONSUMER_TOKEN "iicp:consumer-token:v1\n"
#define IICP_DOMAIN_DISPATCH_TICKET "iicp:dispatch-route-ticket:v1\n"
#define IICP_DOMAIN_BIND_TICKET "iicp:relay-bind-ticket:v1\n"

enum iicp_token_fault {
        IICP_TOKEN_OK,
        IICP_TOKEN_MALFORMED,
        IICP_TOKEN_SIGNATURE,
        IICP_TOKEN_VERSION,
        IICP_TOKEN_AUDIENCE,
        IICP_TOKEN_INTENT,
        IICP_TOKEN_EXPIRED,
        IICP_TOKEN_NOT_YET_VALID,
        IICP_TOKEN_TYPE,    /* this and below: of bind tickets */
        IICP_TOKEN_JTI,
        IICP_TOKEN_SUBJECT,
};
/* "malformed", "signature", ...: for a debug log and a metric, never for a caller. */
IICP_API const char *iicp_token_fault_name(enum iicp_token_fault fault);

/* Signature, encoding and JSON of any kind: one object, no member twice at any depth. Keys are tried
 * in turn. *ret_claims points into payload, which the caller frees. MALFORMED, SIGNATURE or OK. */
IICP_API enum iicp_token_fault iicp_token_open(struct iicp_str token, const char *domain,
                                               const uint8_t (*keys)[IICP_SIGN_KEY], size_t n_keys,
                                               struct iicp_buf *payload, struct iicp_json *ret_claims);

#define IICP_SUBJECT_MAX 128 /* bytes; a longer `sub` becomes "sha256:" and its digest */
#define IICP_TOKEN_GRACE_S 10 /* after `exp` */
#define IICP_TOKEN_AHEAD_S 60 /* `iat` before our clock */

struct iicp_consumer_claims {
        char subject[IICP_SUBJECT_MAX + 1];
        char intent[IICP_URN_MAX + 1]; /* or "*" */
        int64_t expires_at;            /* Unix seconds, with the grace */
};

/* A consumer token for the node `audience`. An absent intent fits every token (a request that names
 * a task instead of one). */
IICP_API enum iicp_token_fault iicp_consumer_token_check(struct iicp_str token,
                                                         const uint8_t (*keys)[IICP_SIGN_KEY], size_t n_keys,
                                                         const char *audience, struct iicp_str intent,
                                                         int64_t now_s, struct iicp_consumer_claims *ret);

/* {"public_key":"<64 hex>","algorithm":"ed25519"}; -EINVAL: no key. */
IICP_API int iicp_directory_key_parse(const struct iicp_json *answer, uint8_t ret[IICP_SIGN_KEY]);

#ifdef __cplusplus
}
#endif
#endif
