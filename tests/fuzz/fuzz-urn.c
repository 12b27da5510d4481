/* SPDX-License-Identifier: Apache-2.0 */
/* Intent URNs. */

#include "fuzz.h"

#include <iicp/urn.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str urn = {(const char *) data, size};

        enum iicp_urn_verdict verdict = iicp_urn_check(urn);
        struct iicp_str domain = iicp_urn_domain(urn);
        FUZZ_CHECK(!domain.p || (domain.p >= urn.p && domain.p + domain.n <= urn.p + urn.n));
        if (verdict == IICP_URN_OK) {
                FUZZ_CHECK(size <= IICP_URN_MAX);
                FUZZ_CHECK(domain.n > 0);
                FUZZ_CHECK(memchr(data, '+', size) == NULL);
        }
        /* the grammar of a registration is the narrower one */
        if (iicp_urn_registrable(urn))
                FUZZ_CHECK(verdict == IICP_URN_OK);
        return 0;
}
