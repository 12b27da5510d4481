/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_URN_H
#define IICP_URN_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IICP_URN_MAX 255 /* bytes */

enum iicp_urn_verdict {
        IICP_URN_OK = 0,
        IICP_URN_MALFORMED, /* IICP-E001; a node says 422 validation_error */
        IICP_URN_MODIFIER,  /* well-formed but for "+modifier": IICP-E028 */
};

/* Grammar of 02 section 9.1 and 06 section 4.1, one hand-written scanner for both. */
IICP_API enum iicp_urn_verdict iicp_urn_check(struct iicp_str urn);
/* Text between "urn:iicp:intent:" and the next ':'; absent if there is none. */
IICP_API struct iicp_str iicp_urn_domain(struct iicp_str urn);
/* The narrower grammar of a registration, 01 section 2.3. */
IICP_API bool iicp_urn_registrable(struct iicp_str urn);

#ifdef __cplusplus
}
#endif
#endif
