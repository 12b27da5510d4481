/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_ADMISSION_H
#define IICP_ADMISSION_H

#include <iicp/json.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Dispatch admission v2: may the holder of a ticket that was verified before have this one task done
 * here? A prototype of the protocol without a carrier on the wire, so iicpd offers the decision to
 * programs and never asks a consumer for a ticket. [02 section 5.1 step 13; 05 section 5] */

#define IICP_ADMISSION_SKEW_S 30 /* of the clocks of issuer and provider */
#define IICP_ADMISSION_JTI_MIN 16 /* bytes of [A-Za-z0-9._:-] */
#define IICP_ADMISSION_JTI_MAX 256

enum iicp_admission {
        IICP_ADMISSION_ACCEPTED,
        IICP_ADMISSION_ISSUER_KEY,       /* the signature was not verified */
        IICP_ADMISSION_INVALID_JTI,
        IICP_ADMISSION_PROVIDER_BINDING,
        IICP_ADMISSION_INTENT_BINDING,
        IICP_ADMISSION_NOT_YET_VALID,
        IICP_ADMISSION_EXPIRED,
        IICP_ADMISSION_REPLAY,           /* redeemed before */
        IICP_ADMISSION_TERMINAL,         /* and the task it was redeemed for has ended */
        IICP_ADMISSION_STORE_UNAVAILABLE,
};
/* "accepted", "reject_issuer_key", ...; a static text. */
IICP_API const char *iicp_admission_name(enum iicp_admission outcome);

/* Texts are borrowed from the claims and not unescaped: a binding with an escape in it matches nothing. */
struct iicp_admission_claim {
        struct iicp_str jti, provider_id, intent;
        int64_t not_before, expires_at; /* Unix seconds */
};
/* -EINVAL: a member is missing or of another type. */
IICP_API int iicp_admission_claim_parse(const struct iicp_json *claims, struct iicp_admission_claim *ret);

/* Uses jti up, durably, before it returns ACCEPTED; else REPLAY, TERMINAL or STORE_UNAVAILABLE. The
 * mark may be forgotten after keep_until (Unix seconds): the claim is expired by then. */
typedef enum iicp_admission (*iicp_admission_redeem_fn)(void *store, struct iicp_str jti, int64_t keep_until);

/* What this provider is and offers, and where it keeps what was redeemed. */
struct iicp_admission_provider {
        struct iicp_str id, intent;
        iicp_admission_redeem_fn redeem;
        void *store;
};
/* In the order of the contract; redeem is called only for a claim that nothing else speaks against. */
IICP_API enum iicp_admission iicp_admission_decide(const struct iicp_admission_claim *claim, bool verified,
                                                   const struct iicp_admission_provider *provider, int64_t now_s);

#ifdef __cplusplus
}
#endif
#endif
