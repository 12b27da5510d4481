/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_RELAY_MSG_H
#define IICP_RELAY_MSG_H

#include <iicp/cbor_msg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Messages of the native relay channel, both sides. Readers borrow from the payload and answer with
 * the reason for a CLOSE, or IICP_CLOSE_NONE; writers append one payload. INIT, ACK, CLOSE, PING and
 * the lifecycle RESPONSE are those of cbor_msg.h. Key 5 holds JSON text here, never CBOR.
 * [03 section 13]
 *
 * LOG-FORBIDDEN: ticket of BIND, token of CALL, tasks and results. */

enum {
        IICP_FRAME_RELAY_BIND = 0x0b,
        IICP_FRAME_RELAY_ACK = 0x0c,
};

#define IICP_RELAY_PORT 9485          /* relay accept port, when nothing else is told */
#define IICP_RELAY_HTTP_PORT 9484     /* of a relay whose RELAY_ACK names none */
#define IICP_WORKER_ID_MAX 128
#define IICP_RELAY_ALIVE_MS 90000     /* without a frame, or a pull, a session is dead [03 section 16] */
#define IICP_RELAY_PING_MS 30000      /* of the worker */
#define IICP_RELAY_WAIT_MS 10000      /* each step of the handshake, both sides */
#define IICP_RELAY_CALL_MS 120000     /* for a result, unless the task says less */
#define IICP_RELAY_EVENTS_MAX 32      /* of a streaming CALL, waiting for their reader */

/* 1-128 characters of [A-Za-z0-9._:-], the first one a letter or digit. */
IICP_API bool iicp_worker_id_ok(struct iicp_str id);

struct iicp_relay_bind {
        struct iicp_str worker_id;      /* present, not empty; its form is not judged */
        struct iicp_str intent, ticket; /* absent if not sent */
        struct iicp_cbor models;        /* array; NONE if it was not one */
        struct iicp_cbor profiles;      /* key 5, ours: URNs; the same */
};
IICP_API enum iicp_close iicp_relay_bind_read(struct iicp_str payload, unsigned options, struct iicp_relay_bind *ret);
/* Is the text among the items of such an array? */
IICP_API bool iicp_relay_bind_has(const struct iicp_cbor *array, const char *text);
/* models and profiles of m are not looked at. */
IICP_API void iicp_relay_bind_put(struct iicp_buf *out, const struct iicp_relay_bind *m, const struct iicp_str *models,
                                  size_t n_models, const struct iicp_str *profiles, size_t n_profiles);

struct iicp_relay_ack {
        bool ok;
        struct iicp_str worker_id;
        struct iicp_str reason;         /* of a refusal */
        uint64_t http_port;             /* IICP_RELAY_HTTP_PORT if not sent */
};
IICP_API enum iicp_close iicp_relay_ack_read(struct iicp_str payload, unsigned options, struct iicp_relay_ack *ret);
IICP_API void iicp_relay_ack_put(struct iicp_buf *out, const struct iicp_relay_ack *m);

/* Exact texts of a refusal. [03 section 13] */
#define IICP_RELAY_TICKET_INVALID "relay bind ticket invalid"
#define IICP_RELAY_TICKET_REQUIRED "relay bind ticket required"
#define IICP_RELAY_TICKET_REPLAYED "relay bind ticket replayed"
#define IICP_RELAY_ALIVE "worker_id already bound to an alive session"
#define IICP_RELAY_RATE_LIMITED "relay_bind_rate_limited"
#define IICP_RELAY_FULL "relay at session capacity"

struct iicp_relay_call {
        struct iicp_str call_id;        /* key 15, always */
        struct iicp_str session_id, task_id; /* keys 2 and 24: present in a streaming CALL */
        struct iicp_str task;           /* key 5: JSON text as it came */
        struct iicp_str token;          /* key 11: consumer token, or absent */
        struct iicp_str trace_id, parent_span; /* keys 13, 14: 16 and 8 bytes, or absent */
};
IICP_API enum iicp_close iicp_relay_call_read(struct iicp_str payload, unsigned options, struct iicp_relay_call *ret);
IICP_API void iicp_relay_call_put(struct iicp_buf *out, const struct iicp_relay_call *m);
/* What stands before and after the bytes of m->task in the same payload, for who sends them in place. */
IICP_API void iicp_relay_call_around(struct iicp_buf *before, struct iicp_buf *after, const struct iicp_relay_call *m);

struct iicp_relay_response {
        struct iicp_str call_id;        /* key 15 */
        struct iicp_str result;         /* key 5; absent if it is no byte string */
        bool lifecycle;                 /* key 13 is there: read it with iicp_msg_response_read */
};
IICP_API enum iicp_close iicp_relay_response_read(struct iicp_str payload, unsigned options,
                                                  struct iicp_relay_response *ret);
IICP_API void iicp_relay_response_put(struct iicp_buf *out, struct iicp_str call_id, struct iicp_str result);

#ifdef __cplusplus
}
#endif
#endif
