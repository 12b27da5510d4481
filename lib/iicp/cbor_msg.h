/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CBOR_MSG_H
#define IICP_CBOR_MSG_H

#include <iicp/cbor.h>
#include <iicp/frame.h>
#include <iicp/lifecycle.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Messages inside of native frames. Readers borrow from the payload and answer with the reason for a
 * CLOSE, or IICP_CLOSE_NONE; writers append one payload to a buffer, whose sticky error tells about
 * memory. options are those of frame.h: IICP_FRAME_STRICT applies the text to the letter, otherwise
 * keys may come in any order and floats in any width. [03 section 7]
 *
 * LOG-FORBIDDEN: node_token of INIT, auth_token of CALL. */

#define IICP_PING_ECHO_MAX 64          /* bytes [iicp-framing 4.9] */
#define IICP_SESSION_ID_MAX 128        /* bytes of session, call and task identifiers [03 section 7.3] */
#define IICP_CALL_TIMEOUT_S_MAX 3600
#define IICP_FEEDBACK_COMMENT_MAX 512  /* characters */

/* A payload as one map with integer keys. */
IICP_API enum iicp_close iicp_msg_scan(struct iicp_str payload, unsigned options, struct iicp_cbor *ret);

struct iicp_msg_init {
        uint64_t version, min_version;  /* min_version 1 when it was not sent */
        struct iicp_str node_id, node_token;
        bool gzip;                      /* offered */
        bool has_max_frame;             /* marks a peer that can put fragments together */
        uint64_t max_frame;
};
IICP_API enum iicp_close iicp_msg_init_read(struct iicp_str payload, unsigned options, struct iicp_msg_init *ret);
IICP_API void iicp_msg_init_put(struct iicp_buf *out, const struct iicp_msg_init *m);
/* The answer to an offer: NONE means version 1, else why not. [03 section 8.1] */
IICP_API enum iicp_close iicp_msg_negotiate(const struct iicp_msg_init *offer);

struct iicp_msg_ack {
        uint64_t version;
        struct iicp_str node_id;
        bool gzip;
        bool has_max_frame;
        uint64_t max_frame;
};
IICP_API enum iicp_close iicp_msg_ack_read(struct iicp_str payload, unsigned options, struct iicp_msg_ack *ret);
/* As our server sends it: with an empty list of capabilities. */
IICP_API void iicp_msg_ack_put(struct iicp_buf *out, const struct iicp_msg_ack *m);

struct iicp_msg_fragment {
        struct iicp_str id;
        uint64_t seq, total;            /* total >= 1 */
        struct iicp_str data;
};
IICP_API enum iicp_close iicp_msg_fragment_read(struct iicp_str payload, unsigned options,
                                                struct iicp_msg_fragment *ret);

struct iicp_msg_call {
        bool has_version, has_priority, has_max_tokens;
        uint64_t version, priority, max_tokens;
        struct iicp_str session_id, intent, provider_id;
        struct iicp_cbor payload;       /* key 5; NONE cannot be */
        uint64_t timeout_s;             /* 0 = not given */
        struct iicp_str auth_token;
        struct iicp_str trace_id, parent_span; /* 16, 8 bytes */
        struct iicp_str call_id, idempotency_key, qos, task_id;
        struct iicp_cbor capabilities;  /* array of text or NONE */
};
IICP_API enum iicp_close iicp_msg_call_read(struct iicp_str payload, unsigned options, struct iicp_msg_call *ret);
/* payload: a byte string, usually compact JSON. Absent members are not sent. */
IICP_API void iicp_msg_call_put(struct iicp_buf *out, const struct iicp_msg_call *m, struct iicp_str payload);

enum iicp_native_status { IICP_NATIVE_SUCCESS, IICP_NATIVE_ERROR, IICP_NATIVE_TIMEOUT, IICP_NATIVE_PARTIAL,
                          IICP_NATIVE_UNKNOWN };

struct iicp_msg_lifecycle {
        bool present, has_sequence, has_final, is_final;
        struct iicp_str task_id, event;
        uint64_t sequence;
};

struct iicp_msg_response {
        bool has_version;
        uint64_t version;
        struct iicp_str session_id, call_id; /* key 3, else 15 */
        bool has_status;
        enum iicp_native_status status;
        struct iicp_cbor result;             /* key 5 as read */
        struct iicp_str error_code, error_message; /* key 6 */
        int64_t tokens_used, duration_ms;    /* -1 = none */
        struct iicp_str trace_id, node_id;
        bool has_final, is_final;
        struct iicp_msg_lifecycle lifecycle;
        bool has_code;                       /* key 100 */
        uint64_t code;
        struct iicp_str text;                /* key 101 */
        struct iicp_cbor nodes;              /* key 20, answer to DISCOVER; its intent is in call_id */
};
IICP_API enum iicp_close iicp_msg_response_read(struct iicp_str payload, unsigned options,
                                                struct iicp_msg_response *ret);
/* Key 100, or a status that says so: a failure, whatever else is there. [03 section 7.4] */
IICP_API bool iicp_msg_response_failed(const struct iicp_msg_response *m);

/* What a RESPONSE carries in key 5. */
enum iicp_result_form { IICP_RESULT_NONE, IICP_RESULT_BSTR, IICP_RESULT_TSTR, IICP_RESULT_ITEM /* encoded already */ };
/* Both key sets in a base RESPONSE; without 15, 100 and 101 in a lifecycle one. m->result is not
 * looked at. */
IICP_API void iicp_msg_response_put(struct iicp_buf *out, const struct iicp_msg_response *m,
                                    enum iicp_result_form form, struct iicp_str result);

struct iicp_msg_close {
        struct iicp_str reason, message, session_id;
};
IICP_API enum iicp_close iicp_msg_close_read(struct iicp_str payload, unsigned options, struct iicp_msg_close *ret);
IICP_API void iicp_msg_close_put(struct iicp_buf *out, enum iicp_close c);

/* PING, PONG: *ret absent when there is no echo. */
IICP_API enum iicp_close iicp_msg_ping_read(struct iicp_str payload, unsigned options, struct iicp_str *ret);

/* The PONG to the payload of a PING: the same again. */
IICP_API enum iicp_close iicp_msg_pong_put(struct iicp_buf *out, struct iicp_str ping, unsigned options);

struct iicp_msg_discover {
        struct iicp_str session_id;     /* shipped form */
        struct iicp_str intent, region;
        uint64_t limit;                 /* 10 when it was not sent */
        struct iicp_cbor exclude;
        double min_score;
};
IICP_API enum iicp_close iicp_msg_discover_read(struct iicp_str payload, unsigned options,
                                                struct iicp_msg_discover *ret);
/* SUB_PROTOCOL: *ret_urn of a proposal, absent for other actions. */
IICP_API enum iicp_close iicp_msg_sub_protocol_read(struct iicp_str payload, unsigned options,
                                                    struct iicp_str *ret_urn);
IICP_API void iicp_msg_sub_protocol_reject(struct iicp_buf *out, struct iicp_str urn);
/* Messages that are validated and then accepted silently, or ignored. */
IICP_API enum iicp_close iicp_msg_feedback_read(struct iicp_str payload, unsigned options);
IICP_API enum iicp_close iicp_msg_control_read(struct iicp_str payload, unsigned options);
IICP_API enum iicp_close iicp_msg_observe_read(struct iicp_str payload, unsigned options);
IICP_API enum iicp_close iicp_msg_telemetry_read(struct iicp_str payload, unsigned options);

/* What a receiver of the lifecycle profile makes its verdict of; borrows from m. [03 section 9] */
IICP_API void iicp_msg_response_lifecycle(const struct iicp_msg_response *m, struct iicp_lifecycle_message *ret);
IICP_API const char *iicp_native_status_name(enum iicp_native_status s);

#ifdef __cplusplus
}
#endif
#endif
