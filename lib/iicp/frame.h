/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_FRAME_H
#define IICP_FRAME_H

#include <iicp/buf.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Native frames: header, checks, a decoder for streams, gzip. Bytes in, frames out; no sockets.
 * [iicp-framing 1, 2; 03 sections 2 to 5] */

#define IICP_FRAME_HEADER 12                   /* bytes */
#define IICP_FRAME_VERSION 1
#define IICP_FRAME_LENGTH_MAX 16777216u        /* of a payload that is received */
#define IICP_FRAME_SEND_MAX 16777204u          /* of one that is sent: shipped peers count the header */
#define IICP_FRAME_FRAGMENT_ABOVE 65536u       /* larger payloads go in fragments where the peer can */
#define IICP_FRAME_GZIP_CALL_MAX 1048576u      /* compressed payload of a CALL */
#define IICP_FRAME_INFLATED_MAX 33554432u      /* what it may become */
#define IICP_FRAME_AHEAD 65536u                /* allocated before the bytes are there */

enum iicp_frame_type {
        IICP_FRAME_INIT = 0x01,
        IICP_FRAME_ACK = 0x02,
        IICP_FRAME_DISCOVER = 0x03,
        IICP_FRAME_SUB_PROTOCOL = 0x04,
        IICP_FRAME_CALL = 0x05,
        IICP_FRAME_RESPONSE = 0x06,
        IICP_FRAME_CLOSE = 0x07,
        IICP_FRAME_FEEDBACK = 0x08,
        IICP_FRAME_PING = 0x09,
        IICP_FRAME_PONG = 0x0a,
        IICP_FRAME_CONTROL = 0x0b,    /* task port; RELAY_BIND on a relay's */
        IICP_FRAME_ADVERTISE = 0x0c,  /* task port; RELAY_ACK on a relay's */
        IICP_FRAME_OBSERVE = 0x0d,
        IICP_FRAME_TELEMETRY = 0x0e,
};

enum { IICP_FRAME_COMPRESSED = 1, IICP_FRAME_FRAGMENTED = 2 };

/* Why a connection ends. Each knows the two texts of its CLOSE frame. [03 sections 7.5, 8.4] */
enum iicp_close {
        IICP_CLOSE_NONE,                      /* it does not */
        IICP_CLOSE_SILENT,                    /* wrong magic: no CLOSE frame at all */
        IICP_CLOSE_GRACEFUL,
        IICP_CLOSE_UNKNOWN_TYPE,
        IICP_CLOSE_UNSUPPORTED_EXTENSION,
        IICP_CLOSE_FRAME_TOO_LARGE,
        IICP_CLOSE_PAYLOAD_TOO_LARGE,
        IICP_CLOSE_VERSION_MISMATCH,          /* ours is lower: "... server_max=1" */
        IICP_CLOSE_VERSION_OTHER,             /* an ACK with a version that was not agreed to */
        IICP_CLOSE_VERSION_TOO_OLD,
        IICP_CLOSE_AUTH_FAILED,
        IICP_CLOSE_IDLE_TIMEOUT,
        IICP_CLOSE_PROTOCOL_ERROR,
        IICP_CLOSE_EXACT_LENGTH,              /* or bad UTF-8: protocol_error, invalid_payload */
        IICP_CLOSE_INVALID_FRAME,
        IICP_CLOSE_READ_TIMEOUT,
        IICP_CLOSE_INVALID_VERSION,
        IICP_CLOSE_INVALID_TYPE,
        IICP_CLOSE_INIT_TIMEOUT,
        IICP_CLOSE_CBOR_DECODE_ERROR,
        IICP_CLOSE_INVALID_PAYLOAD,
        IICP_CLOSE_FRAGMENT_TIMEOUT,          /* protocol_error, fragment_timeout */
        IICP_CLOSE_FRAGMENT_LIMIT,
        IICP_CLOSE_REASSEMBLY_LIMIT,
        IICP_CLOSE_NO_MEMORY,                 /* ours: closed without a word */
        IICP_CLOSE_MAX_,
};
/* Key 1 and key 2 of the CLOSE frame; "" for those that send none. */
IICP_API const char *iicp_close_reason(enum iicp_close c);
IICP_API const char *iicp_close_message(enum iicp_close c);
/* False for those that end a connection without a frame. */
IICP_API bool iicp_close_is_sent(enum iicp_close c);

struct iicp_frame_header {
        uint8_t version;               /* low four bits */
        uint8_t type, flags, reserved; /* as received */
        uint32_t length;
};

/* ANY_TYPE: types that are not assigned yet come through, for a receiver that ignores them. */
enum iicp_frame_options { IICP_FRAME_STRICT = 1 << 0, IICP_FRAME_ANY_TYPE = 1 << 1 };

IICP_API void iicp_frame_header_encode(uint8_t type, uint8_t flags, uint32_t length,
                                       uint8_t out[IICP_FRAME_HEADER]);
/* Header and payload. */
IICP_API void iicp_frame_put(struct iicp_buf *out, uint8_t type, uint8_t flags, struct iicp_str payload);

/* Fields of a header, without any check but the magic: -EBADMSG. [iicp-framing 1] */
IICP_API int iicp_frame_header_decode(const uint8_t in[IICP_FRAME_HEADER], struct iicp_frame_header *ret);
/* One frame at the beginning of bytes, as the public decoder has it: magic and completeness alone.
 * -EBADMSG: wrong magic; -EAGAIN: header or payload is not complete. payload is borrowed. */
IICP_API int iicp_frame_decode(struct iicp_str bytes, struct iicp_frame_header *ret_header,
                               struct iicp_str *ret_payload, size_t *ret_used);
/* What 03 section 2 demands of a header, in its order; max_length is for the payload. */
IICP_API enum iicp_close iicp_frame_header_check(const struct iicp_frame_header *h, uint32_t max_length,
                                                 unsigned options);

/* Takes a stream apart. Holds at most one payload and IICP_FRAME_AHEAD more; wipes what it held.
 * Zero-initialise, set the two options, free with iicp_frame_reader_free. */
struct iicp_frame_reader {
        uint32_t max_length;           /* 0 = IICP_FRAME_LENGTH_MAX */
        unsigned options;
        uint8_t head[IICP_FRAME_HEADER];
        size_t n_head;
        struct iicp_frame_header header;
        uint32_t got;                  /* of the payload */
        char **blocks;                 /* of IICP_FRAME_AHEAD bytes each */
        size_t n_blocks;
        char *joined;                  /* the payload of the last frame */
        size_t n_joined;
};

struct iicp_frame {
        struct iicp_frame_header header;
        struct iicp_str payload;       /* until the next feed */
};

/* Reads some of the bytes; *ret_used tells how many. 1: *ret is a frame, call again with the rest;
 * 0: all used, more is needed; -EBADMSG: *ret_fault, the connection is to be ended. */
IICP_API int iicp_frame_reader_feed(struct iicp_frame_reader *r, struct iicp_str bytes, size_t *ret_used,
                                    struct iicp_frame *ret, enum iicp_close *ret_fault);
/* The last frame was looked at: its payload is wiped and freed before the next feed. */
IICP_API void iicp_frame_reader_drop(struct iicp_frame_reader *r);
/* Is a frame begun and not complete? */
IICP_API bool iicp_frame_reader_inside(const struct iicp_frame_reader *r);
/* Bytes of memory held. */
IICP_API size_t iicp_frame_reader_held(const struct iicp_frame_reader *r);
IICP_API void iicp_frame_reader_free(struct iicp_frame_reader *r);

IICP_API bool iicp_is_gzip(struct iicp_str bytes);
/* 0; -EBADMSG damaged, -E2BIG above max (inflation stopped there), -ENOMEM. out is appended to. */
IICP_API int iicp_gunzip(struct iicp_str bytes, size_t max, struct iicp_buf *out);
IICP_API int iicp_gzip(struct iicp_str bytes, struct iicp_buf *out);

#ifdef __cplusplus
}
#endif
#endif
