/* SPDX-License-Identifier: Apache-2.0 */
/* The task envelope: one scan, then the checks. */

#include "fuzz.h"

#include <iicp/envelope.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_envelope envelope;
        struct iicp_refusal refusal;
        struct iicp_str body = {(const char *) data, size};

        for (unsigned flags = 0; flags <= IICP_ENVELOPE_ANY_ID; flags++) {
                if (iicp_envelope_parse(body, &envelope) < 0)
                        return 0;
                if (iicp_envelope_check(&envelope, flags, &refusal)) {
                        FUZZ_CHECK(envelope.timeout_ms >= 0 && envelope.timeout_ms <= IICP_TIMEOUT_MS_MAX);
                        FUZZ_CHECK(envelope.task_id.n > 0 && envelope.task_id.n <= IICP_TASK_ID_ECHO_MAX);
                        FUZZ_CHECK(envelope.nonce.n <= 4 * IICP_NONCE_MAX);
                        FUZZ_CHECK(envelope.max_tokens >= 0);
                }
                iicp_envelope_free(&envelope);
        }
        return 0;
}
