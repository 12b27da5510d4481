/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CBOR_MSG_INTERNAL_H
#define IICP_CBOR_MSG_INTERNAL_H

/* Tables of keys that the readers of messages share; not installed. */

#include <iicp/cbor_msg.h>

struct msg_key {
        uint64_t key;
        enum iicp_cbor_type type;  /* NONE: any */
        bool required;
};

/* Values of the keys, in the order of the table; type NONE where absent. A missing required one or a
 * wrong type is INVALID_PAYLOAD; keys that are not in the table are ignored. */
enum iicp_close msg_take(const struct iicp_cbor *map, const struct msg_key *keys, size_t n, struct iicp_cbor *slots);
enum iicp_close msg_read(struct iicp_str payload, unsigned options, const struct msg_key *keys, size_t n,
                         struct iicp_cbor *slots);
bool msg_all_text(const struct iicp_cbor *array);

static inline void msg_put_text(struct iicp_buf *out, uint64_t key, struct iicp_str v) {
        iicp_cbor_put_uint(out, key);
        iicp_cbor_put_tstr(out, v);
}

static inline void msg_put_bytes(struct iicp_buf *out, uint64_t key, struct iicp_str v) {
        iicp_cbor_put_uint(out, key);
        iicp_cbor_put_bstr(out, v);
}

static inline void msg_put_uint(struct iicp_buf *out, uint64_t key, uint64_t v) {
        iicp_cbor_put_uint(out, key);
        iicp_cbor_put_uint(out, v);
}

#endif
