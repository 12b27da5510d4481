/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CX_INTERNAL_H
#define IICP_CX_INTERNAL_H

/* Steps that provider and consumer share. [05 sections 3.5, 3.8] */

#include <iicp/cx.h>

/* -EKEYREJECTED: the result is all zero; -EIO. */
int cx_shared(const uint8_t priv[IICP_CX_KEY], const uint8_t peer[IICP_CX_KEY], uint8_t ret[32]);
int cx_request_key(const uint8_t shared[32], const uint8_t nonce[IICP_CX_NONCE], struct iicp_str task_id,
                   struct iicp_str intent, uint8_t ret[32]);
int cx_response_key(const uint8_t shared[32], const uint8_t nonce[IICP_CX_NONCE], struct iicp_str task_id,
                    uint8_t ret[32]);
int cx_member(const struct iicp_json *object, const char *name, void *out, size_t n);
/* Appends the decoded encrypted_body, at least a tag long. */
int cx_body(const struct iicp_json *object, struct iicp_buf *ret);
bool cx_is_version_1(const struct iicp_json *object);
void cx_request_aad(struct iicp_str task_id, struct iicp_str intent, struct iicp_buf *out);
/* suffix: "resp", or the sequence of an event. */
void cx_response_aad(struct iicp_str task_id, const char *suffix, struct iicp_buf *out);

/* cx_provider.c, cx_consumer.c: the same with ephemeral key and nonce given, for vectors. */
int cx_seal_request_with(const struct iicp_cx_peer_key *key, struct iicp_str task_id, struct iicp_str intent,
                         struct iicp_str payload, const uint8_t ephemeral[IICP_CX_KEY],
                         const uint8_t nonce[IICP_CX_NONCE], struct iicp_buf *out,
                         struct iicp_cx_session *ret_session);
int cx_seal_response_with(const struct iicp_cx_session *s, struct iicp_str task_id, const char *suffix,
                          struct iicp_str plaintext, const uint8_t nonce[IICP_CX_NONCE],
                          struct iicp_buf *out);
int cx_seal_event_with(const struct iicp_cx_session *s, struct iicp_str task_id, uint64_t sequence,
                       struct iicp_str members, bool end, const uint8_t nonce[IICP_CX_NONCE],
                       struct iicp_buf *out);
/* Opens what cx_seal_response_with made; -EBADMSG, -ENOMEM. */
int cx_open_sealed(const struct iicp_cx_session *s, struct iicp_str task_id, const char *suffix,
                   const struct iicp_json *iicp_conf_resp, struct iicp_buf *ret_plain);

#endif
