/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_STATE_SEAL_H
#define IICPD_STATE_SEAL_H

/* identity.json and the keyring may lie on the disk sealed with a key that the service manager hands
 * in: AES-256-GCM, AAD node_id|file name. [05 section 9] The record names the node id in clear beside
 * what the contract lists: whoever opens identity.json knows it from nowhere else. */

#include <iicp/buf.h>

#define STATE_KEY 32

/* The key as operators write it: 64 hex digits, base64 or base64url of 32 bytes, or 32 bytes that are
 * no text of hex digits. -EINVAL. */
int state_key_parse(struct iicp_str text, uint8_t ret[STATE_KEY]);
bool state_is_sealed(struct iicp_str bytes);
/* Appends the record and a line end. */
int state_seal(const uint8_t key[STATE_KEY], const char *node_id, const char *name, struct iicp_str plain,
               struct iicp_buf *out);
/* Replaces a sealed text by what is in it. -EBADMSG: another key, another file, or damaged. */
int state_unseal(const uint8_t key[STATE_KEY], const char *name, struct iicp_buf *bytes);

#endif
