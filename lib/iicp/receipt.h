/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_RECEIPT_H
#define IICP_RECEIPT_H

#include <iicp/json.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What work is worth and how it is proved: prices, receipts, awards. Money is counted in
 * ten-thousandths of a credit, so that nothing is rounded twice. [01 sections 2.11, 5.8] */

#define IICP_CREDIT 10000             /* parts of one credit */
#define IICP_MULTIPLIER_MAX (1000 * IICP_CREDIT)

/* "1.5" of 0 to 1000 with at most four decimals, in ten-thousandths; -EINVAL. */
IICP_API int iicp_multiplier_parse(struct iicp_str text, unsigned *ret);
/* Directories clamp a price to three times the weight of the largest model, which its name tells by
 * "<n>b". */
IICP_API unsigned iicp_multiplier_effective(unsigned declared, const char *const *models, size_t n);
/* Shortest decimal text: "1", "0.5", "0.0001". */
#define IICP_CREDIT_TEXT 24
IICP_API void iicp_credit_text(uint64_t parts, char out[IICP_CREDIT_TEXT]);

/* {"credit_cost_multiplier":N,"pricing_model":"M"}: the text that is signed, and a block of its own. */
IICP_API void iicp_pricing_text(unsigned multiplier, const char *model, struct iicp_buf *out);
IICP_API int iicp_pricing_sign(struct iicp_str hmac_key, unsigned multiplier, const char *model, char out[65]);

/* SHA-256 hex of a result as directories count it; `result` of type NONE or NULL: of zero bytes.
 * -EINVAL: a number that has no canonical form. */
IICP_API int iicp_response_hash(const struct iicp_json *result, char out[65]);

/* What was earned: at least one part. */
IICP_API uint64_t iicp_award_parts(uint64_t tokens, unsigned multiplier);

#define IICP_NONCE_TEXT 33
struct iicp_receipt {
        const char *task_id, *parent, *session; /* the latter two NULL or "" = none */
        const char *querying_node_id;           /* NULL or "" = none */
        uint64_t tokens;
        char nonce[IICP_NONCE_TEXT];
        char response_hash[65];
};
/* 32 hex digits from the CSPRNG. */
IICP_API int iicp_receipt_nonce(char out[IICP_NONCE_TEXT]);
IICP_API void iicp_receipt_text(const struct iicp_receipt *r, struct iicp_buf *out);
IICP_API int iicp_receipt_sign(const struct iicp_receipt *r, struct iicp_str hmac_key, char out[65]);
/* Body of POST /v1/credits/award. */
IICP_API int iicp_award_body(const struct iicp_receipt *r, const char *node_id, uint64_t parts, int64_t expires_at,
                             struct iicp_str hmac_key, struct iicp_buf *out);

#ifdef __cplusplus
}
#endif
#endif
