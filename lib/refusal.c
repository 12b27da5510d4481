/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/envelope.h>
#include <iicp/refusal.h>

struct entry {
        struct iicp_refusal_info info;
        const char *reason; /* where the case itself fixes it */
};

#define ROW(id, status, code, number, reason, message)                                             \
        [IICP_REFUSE_##id] = {{status, code, number, message}, reason}

static const struct entry table[IICP_REFUSE_MAX_] = {
        ROW(INVALID_HTTP_BODY, 400, "invalid_http_body", NULL, NULL,
            "the request body is not one well-formed JSON object"),
        ROW(UNAUTHORIZED, 401, "unauthorized", NULL, NULL, "credentials are missing or not valid"),
        ROW(FORBIDDEN, 403, "forbidden", NULL, NULL, "this operation is not allowed"),
        ROW(TOOL_EXECUTION, 403, "tool_execution_denied", NULL, NULL,
            "this node executes no tools"),
        ROW(POLICY, 403, "IICP-POLICY-001", "IICP-POLICY-001", NULL,
            "the intent is refused by the policy of this node"),
        ROW(COORDINATOR_REPUTATION, 403, "IICP-E020", "IICP-E020", NULL,
            "the reputation of the coordinator is below the floor of this node"),
        ROW(MODEL_NOT_FOUND, 404, "model_not_found", "IICP-E029", NULL,
            "the requested model is not served by this node"),
        ROW(NOT_FOUND, 404, "not_found", NULL, NULL, "no such resource"),
        ROW(UNKNOWN_TASK, 404, "unknown_task", NULL, NULL, "no such task"),
        ROW(METHOD, 405, "method_not_allowed", NULL, NULL,
            "the resource does not support this method"),
        ROW(DUPLICATE_TASK, 409, "conflict", "IICP-E010", "duplicate_task",
            "a task with this task_id was accepted before"),
        ROW(REPLAY, 409, "conflict", "IICP-E011", "replay_detected", "this nonce was used before"),
        ROW(BINDING, 409, "conflict", NULL, "request_differs",
            "the task_id or idempotency_key was used before for another request"),
        ROW(RESUME, 409, "resume_unavailable", NULL, NULL,
            "the events after this sequence are not kept any more"),
        ROW(GOSSIP_REPLAY, 409, "conflict", NULL, "message_seen", "this message was received before"),
        ROW(TOO_LARGE, 413, "request_too_large", NULL, NULL,
            "the request body is larger than the limit"),
        ROW(MEDIA_TYPE, 415, "unsupported_media_type", NULL, NULL, "the request body must be JSON"),
        ROW(MEDIA_TYPE_CBOR, 415, "unsupported_media_type", NULL, NULL,
            "CBOR encoding not supported"),
        ROW(CONTENT_ENCODING, 415, "unsupported_content_encoding", NULL, NULL,
            "only the identity content encoding is supported"),
        ROW(MISDIRECTED, 421, "misdirected_request", NULL, NULL,
            "this listener does not serve the requested host"),
        ROW(VALIDATION, 422, "validation_error", NULL, NULL,
            "a member of the request is missing or not valid"),
        ROW(UNKNOWN_INTENT, 422, "unknown_intent", NULL, NULL,
            "the intent is not served by this node"),
        ROW(UNSUPPORTED_PROFILE, 422, "unsupported_profile", NULL, NULL,
            "a required profile is not supported"),
        ROW(PROFILE_ELSEWHERE, 422, "unsupported_profile", NULL, NULL,
            "this profile is served at POST /v1/tasks"),
        ROW(CIP_FIELDS, 422, "IICP-E028", "IICP-E028", NULL,
            "cooperative inference members or intent modifiers are not acceptable"),
        ROW(CIP_REPLICAS, 422, "IICP-E025", "IICP-E025", NULL,
            "the number of replicas is not acceptable"),
        ROW(CX, 422, "IICP-E050", "IICP-E050", NULL, "the encrypted payload cannot be accepted"),
        ROW(CAPACITY, 429, "capacity_exceeded", "IICP-E021", NULL, "no free slot"),
        ROW(RATE_LIMITED, 429, "rate_limited", "IICP-E023", NULL,
            "too many requests from this origin"),
        ROW(AUTH_RATE_LIMITED, 429, "rate_limited", NULL, NULL,
            "too many failed authentications from this address"),
        ROW(OBSERVERS, 429, "capacity_exceeded", NULL, "too_many_observers",
            "the task has too many observers"),
        ROW(GOSSIP_RATE, 429, "rate_limited", NULL, NULL, "too many messages of the mesh"),
        ROW(HEADER_TOO_LARGE, 431, "request_header_too_large", NULL, NULL,
            "the request head is larger than the limit"),
        ROW(RESPONSE_TOO_LARGE, 500, "response_too_large", NULL, NULL,
            "the answer is larger than the limit"),
        ROW(INTERNAL, 500, "internal_error", NULL, NULL, "the node failed to process the request"),
        ROW(BACKEND, 502, "backend_error", NULL, NULL,
            "the inference backend failed to answer the task"),
        ROW(BUSY, 503, "IICP-E024", "IICP-E024", NULL,
            "the node does not accept tasks at the moment"),
        ROW(CIP_CAPACITY, 503, "IICP-E021", "IICP-E021", "capacity_exhausted",
            "no free slot for cooperative inference"),
        ROW(TIMEOUT, 504, "task_timeout", "IICP-E006", NULL,
            "the time budget of the task is used up"),
};

/* A refusal without a table row must not reach the wire as a success. */
static const struct entry *find(enum iicp_refusal_id id) {
        if (id <= IICP_REFUSE_NONE || id >= IICP_REFUSE_MAX_)
                id = IICP_REFUSE_INTERNAL;
        return &table[id];
}

const struct iicp_refusal_info *iicp_refusal_info(enum iicp_refusal_id id) {
        return &find(id)->info;
}

static void add_member(struct iicp_buf *out, const char *name, const char *value) {
        if (!value)
                return;
        iicp_buf_puts(out, ",\"");
        iicp_buf_puts(out, name);
        iicp_buf_puts(out, "\":");
        iicp_buf_json_str(out, iicp_str(value));
}

static void add_error(const struct iicp_refusal *r, struct iicp_buf *out) {
        const struct entry *e = find(r->id);

        iicp_buf_puts(out, "\"error\":{\"code\":");
        iicp_buf_json_str(out, iicp_str(e->info.code));
        add_member(out, "message", e->info.message);
        add_member(out, "iicp_code", e->info.iicp_code);
        add_member(out, "field", r->field);
        add_member(out, "reason", r->reason ? r->reason : e->reason);
        add_member(out, "profile", r->profile);
        add_member(out, "detail_code", r->detail_code);
        add_member(out, "category", r->category);
        add_member(out, "rule_id", r->rule_id);
        add_member(out, "qos_class", r->qos_class);
        add_member(out, "outcome", r->outcome);
        if (r->state) {
                add_member(out, "state", r->state);
                iicp_buf_printf(out, ",\"latest_sequence\":%llu", (unsigned long long) r->latest_sequence);
        }
        if (r->retry_after_ms > 0)
                iicp_buf_printf(out, ",\"retry_after_ms\":%lld", (long long) r->retry_after_ms);
        iicp_buf_puts(out, "}");
}

void iicp_refusal_body(const struct iicp_refusal *r, struct iicp_buf *out) {
        iicp_buf_puts(out, "{");
        add_error(r, out);
        iicp_buf_puts(out, "}");
}

void iicp_refusal_task_body(const struct iicp_refusal *r, struct iicp_str task_id,
                            int64_t latency_ms, struct iicp_buf *out) {
        if (r->id == IICP_REFUSE_MEDIA_TYPE_CBOR) {
                /* the text fixes this body to the byte, on every resource [iicp-cbor-wire 2.2] */
                iicp_refusal_body(r, out);
                return;
        }
        iicp_buf_puts(out, "{\"task_id\":");
        if (task_id.p && task_id.n <= IICP_TASK_ID_ECHO_MAX)
                iicp_buf_json_str(out, task_id);
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, ",\"status\":");
        iicp_buf_puts(out, find(r->id)->info.status == 504 ? "\"timeout\"" : "\"error\"");
        iicp_buf_puts(out, ",\"result\":null,");
        add_error(r, out);
        if (latency_ms >= 0)
                iicp_buf_printf(out, ",\"metrics\":{\"latency_ms\":%lld}", (long long) latency_ms);
        iicp_buf_puts(out, "}");
}

int64_t iicp_refusal_retry_after_s(const struct iicp_refusal *r) {
        if (r->retry_after_ms <= 0)
                return 0;
        return r->retry_after_ms / 1000 + (r->retry_after_ms % 1000 != 0);
}
