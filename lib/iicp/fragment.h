/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_FRAGMENT_H
#define IICP_FRAGMENT_H

#include <iicp/frame.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fragmented messages of one connection. Fragment maps come in, whole payloads go out; the caller
 * looks at the clock. [iicp-framing 10; 03 section 6] */

#define IICP_FRAGMENT_TOTAL_MAX 256            /* parts of one message, and parts held in all */
#define IICP_FRAGMENT_MESSAGES_MAX 64          /* incomplete ones */
#define IICP_FRAGMENT_MESSAGE_BYTES 16777216u  /* may be raised, never lowered */
#define IICP_FRAGMENT_ALL_BYTES 67108864u      /* the same */
#define IICP_FRAGMENT_TIMEOUT_MS 30000
#define IICP_FRAGMENT_ID_MAX 128               /* bytes; a UUID is usual */

struct iicp_fragments;

/* The limits: 0 or less than the values above means those. */
IICP_API struct iicp_fragments *iicp_fragments_new(size_t message_bytes, size_t all_bytes);
IICP_API struct iicp_fragments *iicp_fragments_free(struct iicp_fragments *f);

/* A frame with IICP_FRAME_FRAGMENTED set. 1: the message is complete, *ret belongs to the caller
 * (iicp_buf_wipe) and *ret_flags tells whether it is compressed; 0: more parts are to come;
 * -EBADMSG: *ret_fault. */
IICP_API int iicp_fragments_add(struct iicp_fragments *f, const struct iicp_frame *frame, unsigned options,
                                uint64_t now_ms, struct iicp_buf *ret, uint8_t *ret_flags,
                                enum iicp_close *ret_fault);
/* When the oldest incomplete message times out; UINT64_MAX without any. */
IICP_API uint64_t iicp_fragments_due_ms(const struct iicp_fragments *f);
IICP_API size_t iicp_fragments_held(const struct iicp_fragments *f); /* bytes */

/* Cuts a payload into fragment frames of at most part bytes each and appends them to out. -E2BIG:
 * more parts than are allowed. */
IICP_API int iicp_fragment_put(struct iicp_buf *out, uint8_t type, uint8_t flags, struct iicp_str payload,
                               size_t part, struct iicp_str id);

#ifdef __cplusplus
}
#endif
#endif
