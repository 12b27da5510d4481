/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_REFUSAL_H
#define IICP_REFUSAL_H

#include <iicp/buf.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every refusal and failure of a provider, once: HTTP status, slug, IICP number and fixed text live
 * in one table behind this enumeration and nowhere else. [02 section 3] */
enum iicp_refusal_id {
        IICP_REFUSE_NONE = 0,
        IICP_REFUSE_INVALID_HTTP_BODY,        /* 400 */
        IICP_REFUSE_UNAUTHORIZED,             /* 401 */
        IICP_REFUSE_FORBIDDEN,                /* 403 */
        IICP_REFUSE_TOOL_EXECUTION,           /* 403 tool_execution_denied */
        IICP_REFUSE_POLICY,                   /* 403 IICP-POLICY-001; category, rule_id */
        IICP_REFUSE_COORDINATOR_REPUTATION,   /* 403 IICP-E020 */
        IICP_REFUSE_MODEL_NOT_FOUND,          /* 404 IICP-E029 */
        IICP_REFUSE_NOT_FOUND,                /* 404 */
        IICP_REFUSE_UNKNOWN_TASK,             /* 404 */
        IICP_REFUSE_METHOD,                   /* 405 */
        IICP_REFUSE_DUPLICATE_TASK,           /* 409 IICP-E010 */
        IICP_REFUSE_REPLAY,                   /* 409 IICP-E011 */
        IICP_REFUSE_BINDING,                  /* 409 conflict: known ids with another request */
        IICP_REFUSE_RESUME,                   /* 409 resume_unavailable; state, latest_sequence */
        IICP_REFUSE_GOSSIP_REPLAY,            /* 409 conflict, no number */
        IICP_REFUSE_TOO_LARGE,                /* 413 request_too_large */
        IICP_REFUSE_MEDIA_TYPE,               /* 415 unsupported_media_type */
        IICP_REFUSE_MEDIA_TYPE_CBOR,          /* 415, exact body of 02 section 2.2 */
        IICP_REFUSE_CONTENT_ENCODING,         /* 415 unsupported_content_encoding */
        IICP_REFUSE_MISDIRECTED,              /* 421 */
        IICP_REFUSE_VALIDATION,               /* 422 validation_error; field, maybe reason */
        IICP_REFUSE_UNKNOWN_INTENT,           /* 422 */
        IICP_REFUSE_UNSUPPORTED_PROFILE,      /* 422; profile */
        IICP_REFUSE_PROFILE_ELSEWHERE,        /* 422 unsupported_profile: lifecycle on /v1/task; profile */
        IICP_REFUSE_CIP_FIELDS,               /* 422 IICP-E028 (also URN modifier) */
        IICP_REFUSE_CIP_REPLICAS,             /* 422 IICP-E025 */
        IICP_REFUSE_CX,                       /* 422 IICP-E050; detail_code */
        IICP_REFUSE_CAPACITY,                 /* 429 capacity_exceeded IICP-E021; qos_class, retry */
        IICP_REFUSE_RATE_LIMITED,             /* 429 rate_limited IICP-E023; retry */
        IICP_REFUSE_AUTH_RATE_LIMITED,        /* 429 rate_limited, no number; retry */
        IICP_REFUSE_OBSERVERS,                /* 429 capacity_exceeded; retry */
        IICP_REFUSE_GOSSIP_RATE,              /* 429 rate_limited, no number */
        IICP_REFUSE_HEADER_TOO_LARGE,         /* 431 */
        IICP_REFUSE_RESPONSE_TOO_LARGE,       /* 500 */
        IICP_REFUSE_INTERNAL,                 /* 500 */
        IICP_REFUSE_BACKEND,                  /* 502 backend_error; reason */
        IICP_REFUSE_BUSY,                     /* 503 IICP-E024; reason, retry */
        IICP_REFUSE_CIP_CAPACITY,             /* 503 IICP-E021; reason, retry */
        IICP_REFUSE_TIMEOUT,                  /* 504 task_timeout IICP-E006 */
        IICP_REFUSE_MAX_,
};

struct iicp_refusal_info {
        int status;             /* HTTP */
        const char *code;       /* error.code */
        const char *iicp_code;  /* error.iicp_code or NULL */
        const char *message;    /* fixed English text, at most 200 bytes */
};

/* One refusal with its extra members. All pointers are to constants (or outlive the value). */
struct iicp_refusal {
        enum iicp_refusal_id id;
        const char *field;
        const char *reason;
        const char *detail_code;
        const char *qos_class;
        const char *category, *rule_id;
        const char *profile;        /* may be foreign text: escaped when written */
        const char *state;          /* of a lifecycle task; latest_sequence counts with it */
        uint64_t latest_sequence;
        const char *outcome;        /* provider-admission profile */
        int64_t retry_after_ms;     /* 0 = none; Retry-After = ceil(ms / 1000), at least 1 */
};

IICP_API const struct iicp_refusal_info *iicp_refusal_info(enum iicp_refusal_id id);
/* {"error":{...}} for resources that are not tasks. */
IICP_API void iicp_refusal_body(const struct iicp_refusal *r, struct iicp_buf *out);
/* The same inside a task answer: task_id (absent: null), status "error" or, for 504, "timeout",
 * result null, metrics.latency_ms when latency_ms >= 0. */
IICP_API void iicp_refusal_task_body(const struct iicp_refusal *r, struct iicp_str task_id,
                                     int64_t latency_ms, struct iicp_buf *out);
/* Whole seconds for Retry-After, 0 for none. */
IICP_API int64_t iicp_refusal_retry_after_s(const struct iicp_refusal *r);

#ifdef __cplusplus
}
#endif
#endif
