/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_MANIFEST_H
#define IICP_MANIFEST_H

#include <iicp/json.h>
#include <iicp/sign.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The public policy manifest of an operator. [01 section 2.4; 05 section 10] */

#define IICP_MANIFEST_FILE_MAX 65536 /* bytes of a manifest that are read */
#define IICP_MANIFEST_VALID_S (90 * 86400) /* of a new signature */
#define IICP_MANIFEST_RENEW_S (30 * 86400) /* with less left it is signed anew, or warned */

/* What directories take without changing it: NULL, or what is wrong, "policy_url is no URL". The
 * text is static. A `signature` member is judged by its form only. */
IICP_API const char *iicp_manifest_lint(const struct iicp_json *manifest);

/* Appends the manifest with a new signature object in place of any old one. -EINVAL: lint. */
IICP_API int iicp_manifest_sign(const struct iicp_json *manifest, const uint8_t seed[IICP_SEED],
                                int64_t signed_at, struct iicp_buf *out);

enum iicp_manifest_status {
        IICP_MANIFEST_SELF_ATTESTED,
        IICP_MANIFEST_SIGNED_VALID,
        IICP_MANIFEST_SIGNED_INVALID,
        IICP_MANIFEST_SIGNED_EXPIRED,
        IICP_MANIFEST_SIGNED_REVOKED,
};
IICP_API const char *iicp_manifest_status_name(enum iicp_manifest_status status);
/* ret_expires: of the signature, 0 if it has none. May be NULL. */
IICP_API enum iicp_manifest_status iicp_manifest_check(const struct iicp_json *manifest, int64_t now_s,
                                                       int64_t *ret_expires);
/* The text that is signed: the manifest without signature.signature, sorted. */
IICP_API int iicp_manifest_text(const struct iicp_json *manifest, struct iicp_buf *out);

#ifdef __cplusplus
}
#endif
#endif
