/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_ENVELOPE_H
#define IICP_ENVELOPE_H

#include <iicp/json.h>
#include <iicp/refusal.h>

#ifdef __cplusplus
extern "C" {
#endif

enum iicp_qos { IICP_QOS_REALTIME, IICP_QOS_INTERACTIVE, IICP_QOS_BATCH, IICP_QOS_BEST_EFFORT };
enum iicp_priority { IICP_PRIORITY_CRITICAL, IICP_PRIORITY_HIGH, IICP_PRIORITY_NORMAL, IICP_PRIORITY_LOW };

#define IICP_TIMEOUT_MS_MAX 300000
#define IICP_TASK_ID_ECHO_MAX 128 /* longest task_id that is echoed, bytes */
#define IICP_NONCE_MAX 256 /* characters */

/* A task envelope: the result of one scan of the body. Slices point into the body, or into `arena`
 * where a string had escapes; both must outlive the envelope. [02 section 4.1] */
struct iicp_envelope {
        /* raw members as found; type NONE when absent. `payload` null counts as absent. */
        struct iicp_json m_task_id, m_intent, m_constraints, m_auth, m_nonce, m_source_node_id,
                m_trace, m_iicp_conf, m_cx_response, m_billing, m_cip, m_idempotency_key, m_request_digest;
        struct iicp_json payload;

        /* decoded by iicp_envelope_parse where they are strings, else absent */
        struct iicp_str task_id, intent, auth_token; /* auth.node_token, else auth.token */

        /* filled by iicp_envelope_check */
        struct iicp_str nonce, source_node_id, model, trace_id;
        int64_t timeout_ms;           /* 0 = not given */
        int64_t max_tokens;           /* 0 = not given */
        double max_credits;           /* < 0 = not given */
        enum iicp_qos qos;
        enum iicp_priority priority;
        struct iicp_json required_profiles; /* array or NONE */
        bool cx_response_required;

        struct iicp_buf arena;
};

enum iicp_envelope_flags {
        IICP_ENVELOPE_ANY_ID = 1 << 0, /* tasks.require_uuid = no: [A-Za-z0-9._:-]{1,128} */
};

/* Step 3 of admission: the body is one JSON object within the bounds. 0, or -EBADMSG
 * (400 invalid_http_body), -ENOMEM. On failure *ret is empty. Free with iicp_envelope_free. */
IICP_API int iicp_envelope_parse(struct iicp_str body, struct iicp_envelope *ret);
/* Step 5: types, ranges, URN grammar, presence of payload or iicp_conf; the last one is judged last
 * (field "payload"). An optional member that is null counts as absent, but for nonce and
 * timeout_ms. Returns false and fills *refusal on the first fault. Decisions about encryption (05 section 3.6) are not made here. */
IICP_API bool iicp_envelope_check(struct iicp_envelope *e, unsigned flags, struct iicp_refusal *refusal);
IICP_API void iicp_envelope_free(struct iicp_envelope *e);

IICP_API const char *iicp_qos_name(enum iicp_qos qos);

#ifdef __cplusplus
}
#endif
#endif
