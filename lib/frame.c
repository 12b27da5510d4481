/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <iicp/frame.h>

static const char magic[4] = {'I', 'I', 'C', 'P'};

/* ---- reasons ---- */

struct reason {
        const char *reason, *message;
};

#define SAME(id, text) [IICP_CLOSE_##id] = {text, text}

static const struct reason reasons[IICP_CLOSE_MAX_] = {
        [IICP_CLOSE_NONE] = {"", ""},
        [IICP_CLOSE_SILENT] = {"", ""},
        [IICP_CLOSE_NO_MEMORY] = {"", ""},
        [IICP_CLOSE_GRACEFUL] = {"graceful", ""},
        SAME(UNKNOWN_TYPE, "unknown_type"),
        SAME(UNSUPPORTED_EXTENSION, "unsupported_extension"),
        SAME(FRAME_TOO_LARGE, "frame_too_large"),
        SAME(PAYLOAD_TOO_LARGE, "payload_too_large"),
        [IICP_CLOSE_VERSION_MISMATCH] = {"version_mismatch", "version_mismatch server_max=1"},
        SAME(VERSION_OTHER, "version_mismatch"),
        [IICP_CLOSE_VERSION_TOO_OLD] = {"version_too_old", "version_too_old server_min=1"},
        SAME(AUTH_FAILED, "auth_failed"),
        SAME(IDLE_TIMEOUT, "idle_timeout"),
        SAME(PROTOCOL_ERROR, "protocol_error"),
        [IICP_CLOSE_EXACT_LENGTH] = {"protocol_error", "invalid_payload"},
        SAME(INVALID_FRAME, "invalid_frame"),
        SAME(READ_TIMEOUT, "read_timeout"),
        SAME(INVALID_VERSION, "invalid_version"),
        SAME(INVALID_TYPE, "invalid_type"),
        SAME(INIT_TIMEOUT, "init_timeout"),
        SAME(CBOR_DECODE_ERROR, "cbor_decode_error"),
        SAME(INVALID_PAYLOAD, "invalid_payload"),
        [IICP_CLOSE_FRAGMENT_TIMEOUT] = {"protocol_error", "fragment_timeout"},
        SAME(FRAGMENT_LIMIT, "fragment_limit_exceeded"),
        SAME(REASSEMBLY_LIMIT, "reassembly_limit_exceeded"),
};

static const struct reason *reason_of(enum iicp_close c) {
        return &reasons[(unsigned) c < IICP_CLOSE_MAX_ ? c : IICP_CLOSE_PROTOCOL_ERROR];
}

const char *iicp_close_reason(enum iicp_close c) {
        return reason_of(c)->reason;
}

const char *iicp_close_message(enum iicp_close c) {
        return reason_of(c)->message;
}

bool iicp_close_is_sent(enum iicp_close c) {
        return *reason_of(c)->reason != '\0';
}

/* ---- header ---- */

void iicp_frame_header_encode(uint8_t type, uint8_t flags, uint32_t length, uint8_t out[IICP_FRAME_HEADER]) {
        uint32_t n = htonl(length);

        memcpy(out, magic, sizeof(magic));
        out[4] = IICP_FRAME_VERSION;
        out[5] = type;
        out[6] = flags;
        out[7] = 0;
        memcpy(out + 8, &n, sizeof(n));
}

void iicp_frame_put(struct iicp_buf *out, uint8_t type, uint8_t flags, struct iicp_str payload) {
        uint8_t head[IICP_FRAME_HEADER];

        iicp_frame_header_encode(type, flags, (uint32_t) payload.n, head);
        iicp_buf_add(out, head, sizeof(head));
        iicp_buf_add(out, payload.p, payload.n);
}

int iicp_frame_header_decode(const uint8_t in[IICP_FRAME_HEADER], struct iicp_frame_header *ret) {
        uint32_t n;

        if (memcmp(in, magic, sizeof(magic)) != 0)
                return -EBADMSG;
        memcpy(&n, in + 8, sizeof(n));
        *ret = (struct iicp_frame_header){
                .version = in[4] & 0x0f, .type = in[5], .flags = in[6], .reserved = in[7], .length = ntohl(n)};
        return 0;
}

int iicp_frame_decode(struct iicp_str bytes, struct iicp_frame_header *ret_header, struct iicp_str *ret_payload,
                      size_t *ret_used) {
        struct iicp_frame_header h;

        if (memcmp(bytes.p, magic, MIN(bytes.n, sizeof(magic))) != 0)
                return -EBADMSG;
        if (bytes.n < IICP_FRAME_HEADER || iicp_frame_header_decode((const uint8_t *) bytes.p, &h) < 0 ||
            bytes.n - IICP_FRAME_HEADER < h.length)
                return -EAGAIN;
        *ret_header = h;
        *ret_payload = (struct iicp_str){bytes.p + IICP_FRAME_HEADER, h.length};
        *ret_used = IICP_FRAME_HEADER + (size_t) h.length;
        return 0;
}

static enum iicp_close check_type(uint8_t type, unsigned options) {
        if (type == 0x00 || type == 0xff)
                return IICP_CLOSE_INVALID_TYPE;
        if (type >= 0xf0)
                return IICP_CLOSE_UNSUPPORTED_EXTENSION;
        return type > IICP_FRAME_TELEMETRY && !(options & IICP_FRAME_ANY_TYPE) ? IICP_CLOSE_UNKNOWN_TYPE : IICP_CLOSE_NONE;
}

static enum iicp_close check_empty(uint8_t type, unsigned options) {
        switch (type) {
        case IICP_FRAME_CALL:
        case IICP_FRAME_RESPONSE:
                return IICP_CLOSE_INVALID_FRAME;
        case IICP_FRAME_PING:
        case IICP_FRAME_PONG:
        case IICP_FRAME_CLOSE:
                return IICP_CLOSE_NONE;
        case IICP_FRAME_INIT:
                return options & IICP_FRAME_STRICT ? IICP_CLOSE_INVALID_PAYLOAD : IICP_CLOSE_NONE;
        default:
                return type > IICP_FRAME_TELEMETRY ? IICP_CLOSE_NONE : IICP_CLOSE_INVALID_PAYLOAD;
        }
}

enum iicp_close iicp_frame_header_check(const struct iicp_frame_header *h, uint32_t max_length, unsigned options) {
        enum iicp_close c;

        if (h->length > (max_length ? max_length : IICP_FRAME_LENGTH_MAX))
                return IICP_CLOSE_FRAME_TOO_LARGE;
        if (h->version == 0)
                return IICP_CLOSE_INVALID_VERSION;
        if (h->version > IICP_FRAME_VERSION)
                return IICP_CLOSE_VERSION_MISMATCH;
        c = check_type(h->type, options);
        if (c == IICP_CLOSE_NONE && h->length == 0)
                c = check_empty(h->type, options);
        if (c != IICP_CLOSE_NONE)
                return c;
        /* fragments are judged when they are together again */
        if (h->type == IICP_FRAME_CALL && (h->flags & (IICP_FRAME_COMPRESSED | IICP_FRAME_FRAGMENTED)) == IICP_FRAME_COMPRESSED &&
            h->length > IICP_FRAME_GZIP_CALL_MAX)
                return IICP_CLOSE_PAYLOAD_TOO_LARGE;
        return IICP_CLOSE_NONE;
}

/* ---- stream ---- */

static size_t block_size(const struct iicp_frame_reader *r, size_t i) {
        return MIN((size_t) r->header.length - i * IICP_FRAME_AHEAD, (size_t) IICP_FRAME_AHEAD);
}

static void drop_blocks(struct iicp_frame_reader *r) {
        for (size_t i = 0; i < r->n_blocks; i++) {
                explicit_bzero(r->blocks[i], block_size(r, i));
                free(r->blocks[i]);
        }
        free(TAKE_PTR(r->blocks));
        r->n_blocks = 0;
}

void iicp_frame_reader_drop(struct iicp_frame_reader *r) {
        if (r->joined)
                explicit_bzero(r->joined, r->n_joined);
        free(TAKE_PTR(r->joined));
        r->n_joined = 0;
}

void iicp_frame_reader_free(struct iicp_frame_reader *r) {
        drop_blocks(r);
        iicp_frame_reader_drop(r);
        r->n_head = 0;
        r->got = 0;
}

bool iicp_frame_reader_inside(const struct iicp_frame_reader *r) {
        return r->n_head > 0;
}

size_t iicp_frame_reader_held(const struct iicp_frame_reader *r) {
        size_t held = r->n_joined;

        for (size_t i = 0; i < r->n_blocks; i++)
                held += block_size(r, i);
        return held;
}

/* The first wrong byte is enough. */
static bool take_head(struct iicp_frame_reader *r, struct iicp_str *bytes) {
        size_t n = MIN(bytes->n, IICP_FRAME_HEADER - r->n_head);

        memcpy(r->head + r->n_head, bytes->p, n);
        r->n_head += n;
        bytes->p += n;
        bytes->n -= n;
        return memcmp(r->head, magic, MIN(r->n_head, sizeof(magic))) == 0;
}

static int take_payload(struct iicp_frame_reader *r, struct iicp_str *bytes) {
        while (bytes->n > 0 && r->got < r->header.length) {
                size_t block = r->got / IICP_FRAME_AHEAD, at = r->got % IICP_FRAME_AHEAD, n;

                if (!r->blocks)
                        r->blocks = calloc((r->header.length - 1) / IICP_FRAME_AHEAD + 1, sizeof(*r->blocks));
                if (!r->blocks)
                        return -ENOMEM;
                if (block == r->n_blocks) {
                        r->blocks[block] = malloc(block_size(r, block));
                        if (!r->blocks[block])
                                return -ENOMEM;
                        r->n_blocks++;
                }
                n = MIN(bytes->n, block_size(r, block) - at);
                memcpy(r->blocks[block] + at, bytes->p, n);
                r->got += (uint32_t) n;
                bytes->p += n;
                bytes->n -= n;
        }
        return 0;
}

/* All bytes are there, so the whole may be allocated now. */
static int join(struct iicp_frame_reader *r) {
        size_t n = r->header.length;

        if (r->n_blocks == 1) {
                r->joined = TAKE_PTR(r->blocks[0]);
                free(TAKE_PTR(r->blocks));
                r->n_blocks = 0;
                r->n_joined = n;
                return 0;
        }
        r->joined = malloc(n);
        if (!r->joined)
                return -ENOMEM;
        r->n_joined = n;
        for (size_t i = 0; i < r->n_blocks; i++)
                memcpy(r->joined + i * IICP_FRAME_AHEAD, r->blocks[i], block_size(r, i));
        drop_blocks(r);
        return 0;
}

static int fault(enum iicp_close c, enum iicp_close *ret) {
        *ret = c;
        return -EBADMSG;
}

int iicp_frame_reader_feed(struct iicp_frame_reader *r, struct iicp_str bytes, size_t *ret_used, struct iicp_frame *ret,
                           enum iicp_close *ret_fault) {
        size_t all = bytes.n;

        *ret_used = 0;
        iicp_frame_reader_drop(r);
        if (r->n_head < IICP_FRAME_HEADER) {
                enum iicp_close c;

                if (!take_head(r, &bytes))
                        return fault(IICP_CLOSE_SILENT, ret_fault);
                *ret_used = all - bytes.n;
                if (r->n_head < IICP_FRAME_HEADER)
                        return 0;
                iicp_frame_header_decode(r->head, &r->header);
                c = iicp_frame_header_check(&r->header, r->max_length, r->options);
                if (c != IICP_CLOSE_NONE)
                        return fault(c, ret_fault);
        }
        if (take_payload(r, &bytes) < 0)
                return fault(IICP_CLOSE_NO_MEMORY, ret_fault);
        *ret_used = all - bytes.n;
        if (r->got < r->header.length)
                return 0;
        if (r->header.length > 0 && join(r) < 0)
                return fault(IICP_CLOSE_NO_MEMORY, ret_fault);
        *ret = (struct iicp_frame){r->header, {r->joined ? r->joined : "", r->n_joined}};
        r->n_head = 0;
        r->got = 0;
        return 1;
}
