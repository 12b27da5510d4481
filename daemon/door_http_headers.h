/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DOOR_HTTP_HEADERS_H
#define IICPD_DOOR_HTTP_HEADERS_H

/* Reading of a request head beyond what the HTTP library does: target, Host and the header fields
 * that decide about a body. Pure; everything is borrowed from the caller. [02 sections 2.1, 2.2] */

#include <iicp/refusal.h>

enum http_resource {
        HTTP_UNKNOWN,        /* 404 */
        HTTP_TASK,           /* POST /v1/task */
        HTTP_HEALTH,         /* GET, HEAD /iicp/health */
        HTTP_METRICS,        /* GET, HEAD /metrics */
        HTTP_SUBMIT,         /* POST /v1/tasks */
        HTTP_RECORD,         /* GET, HEAD /v1/tasks/{id} */
        HTTP_EVENTS,         /* GET /v1/tasks/{id}/events */
        HTTP_CANCEL,         /* POST /v1/tasks/{id}/cancel */
        HTTP_STREAM,         /* GET /v1/stream */
        HTTP_CONTROL,        /* POST /v1/control */
        HTTP_RELAY_BIND,     /* POST /v1/relay/bind; this and below: a relay operator's */
        HTTP_RELAY_PULL,     /* GET /v1/relay/pull */
        HTTP_RELAY_RESULT,   /* POST /v1/relay/result */
        HTTP_RELAY_UNBIND,   /* POST /v1/relay/unbind */
        HTTP_RELAY_TASK,     /* POST /v1/relay-for/{id}/v1/task */
        HTTP_RELAY_HEALTH,   /* GET, HEAD /v1/relay-for/{id}/iicp/health */
        HTTP_RELAY_FORWARD,  /* POST /v1/relay */
        HTTP_PEERS,          /* POST /v1/peers: of another node, with the mesh on */
        HTTP_RESOURCES_,
};

#define HTTP_ID_MAX 128 /* bytes of an id in a target, decoded */
#define HTTP_BODY_RELAYED SIZE_MAX /* http_body_max: what relay.max_body says */

struct http_target {
        enum http_resource resource;
        struct iicp_str authority; /* of the absolute form, else absent */
        char id[HTTP_ID_MAX + 1];  /* of the path, or subject_id; decoded. Of a worker: of the safe form or "" */
        int64_t after_sequence;    /* -1 = from the first one */
        bool has_after, bad_query; /* a value that is none */
        bool follow;               /* follow=1 */
        bool subject_call;         /* subject=call */
};
/* The target as it came: origin form, absolute form or "*". */
void http_target_parse(struct iicp_str target, struct http_target *ret);

/* A sequence as a query or Last-Event-ID writes it: digits, or -1. */
bool http_sequence(struct iicp_str text, int64_t *ret);

/* Is the resource one of the service-lifecycle profile, or of a relay? */
bool http_is_lifecycle(enum http_resource r);
bool http_is_relay(enum http_resource r);
/* POST, or GET with or without HEAD? */
bool http_method_fits(enum http_resource r, const char *method);
/* Longest request body of a resource, bytes; 0 = has none. [02 section 2.2; 03 section 14] */
size_t http_body_max(enum http_resource r);

/* Value of Allow for a resource. */
const char *http_allow(enum http_resource r);

/* Host name of "host:port", "[v6]:port"; absent if malformed. Brackets stay. */
struct iicp_str http_host_name(struct iicp_str authority);
/* localhost, 127.0.0.1 or [::1]? */
bool http_host_is_local(struct iicp_str host);

/* What the header fields say; filled by http_field, one call a field in the order of arrival. */
struct http_fields {
        unsigned n;
        struct iicp_str signature; /* X-IICP-Signature */
        struct iicp_str host, origin, authorization, consumer_token, content_type, traceparent,
                tracestate, trace_id, forwarded_for, accept, last_event_id;
        bool require_e2e;
        bool relay_hop;          /* X-IICP-Relay-Hop: a relay has passed it on before */
        bool encoded;            /* Content-Encoding other than identity */
        bool bad_length;         /* Content-Length malformed, or several that differ */
        bool has_length;
        uint64_t length;         /* saturated */
        bool has_transfer, chunked;
        bool doubled_host;
};
void http_field(struct http_fields *f, struct iicp_str name, struct iicp_str value);

/* Body rules that can be decided by the head, in the order of the contract: encoding, then
 * lengths, then size (at most max bytes), then content type. NONE: read it. */
enum iicp_refusal_id http_body_check(const struct http_fields *f, size_t max);

#define HTTP_FIELDS_MAX 64
#define HTTP_HEAD_MAX 16384 /* bytes of request line and header fields */

#endif
