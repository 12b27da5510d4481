/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_PRINCIPAL_H
#define IICPD_PRINCIPAL_H

/* Who asks. Resolved once from the credentials of a request, whatever door it came through; tasks,
 * lifecycle and control resources then decide by the principal alone. [02 section 4.2, 11.2; 05 4] */

#include <iicp/base.h>
#include <iicp/refusal.h>
#include <iicp/urn.h>
#include <sys/socket.h>

struct corridor;

enum principal_kind {
        PRINCIPAL_NONE,     /* nothing valid was shown */
        PRINCIPAL_OPERATOR, /* our own node_token, or the one before it for a minute */
        PRINCIPAL_CALLER,   /* a caller token of the operator */
        PRINCIPAL_CONSUMER, /* a consumer token of the directory */
};

/* What a principal may do with tasks. */
enum principal_scope {
        SCOPE_SUBMIT = 1 << 0,
        SCOPE_STATUS = 1 << 1,
        SCOPE_OBSERVE = 1 << 2,
        SCOPE_CANCEL = 1 << 3,
        SCOPE_OTHERS = 1 << 4, /* tasks of other principals as well: the operator */
        SCOPE_OWN = SCOPE_SUBMIT | SCOPE_STATUS | SCOPE_OBSERVE | SCOPE_CANCEL,
};

#define PRINCIPAL_ID_MAX 128 /* bytes; a longer `sub` is named by its digest */

struct principal {
        enum principal_kind kind;
        unsigned scopes;                  /* enum principal_scope */
        char id[PRINCIPAL_ID_MAX + 1];    /* "operator", "caller:NAME", `sub`; "" of NONE */
        char intent[IICP_URN_MAX + 1];    /* that it may ask for; "*" any. "" of NONE */
        int64_t expires_at;               /* Unix seconds; 0 = as long as it is configured */
};

/* What a request showed; absent slices where it showed nothing. */
struct credentials {
        struct iicp_str auth_token;       /* auth.node_token, else auth.token of the body */
        struct iicp_str other_token;      /* auth.token beside an auth.node_token */
        struct iicp_str authorization;    /* whole header value */
        struct iicp_str consumer_token;   /* X-IICP-Consumer-Token, native key 11 */
        const struct sockaddr *peer;      /* after trusted proxies */
        bool tls;                         /* it did not come in clear */
};

/* Takes the first valid credential; an invalid one beside it does not matter, but one that alone
 * was shown counts as a failure. `intent` is the one asked for; absent where a request has none
 * (status, events, cancel of a task): any intent of a token fits then. */
void principal_resolve(struct corridor *c, const struct credentials *shown, struct iicp_str intent,
                       struct principal *ret);
/* The same where a credential is needed. false: *refusal is 401, or 429 for a source that failed
 * too often. */
bool principal_demand(struct corridor *c, const struct credentials *shown, struct iicp_str intent,
                      struct principal *ret, struct iicp_refusal *refusal);

/* SHA-256 over kind and id: the owner of what a principal makes. Zeros for NONE. */
#define PRINCIPAL_OWNER 32
void principal_owner(const struct principal *p, uint8_t ret[PRINCIPAL_OWNER]);
/* A value as a principal says it: what two principals say is never the same, so that nobody can use
 * up an id of another. `value` itself for NONE, which must outlive the result. [05 section 7] */
struct principal_value {
        struct iicp_str text;
        uint8_t digest[32];
};
void principal_value(const struct principal *p, struct iicp_str value, struct principal_value *ret);
/* May it ask for this intent? */
bool principal_fits(const struct principal *p, struct iicp_str intent);
const char *principal_kind_name(enum principal_kind kind);

#endif
