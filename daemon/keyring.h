/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_KEYRING_H
#define IICPD_KEYRING_H

/* The CX keys of one node id: cx/keyring.json, current key first. [05 sections 3.2, 3.4] */

#include <iicp/cx.h>

#define KEYRING_KEYS_MAX 8
#define KEYRING_LIFE_S (90 * 86400)     /* not_after of a new key [CX-NODE-01] */
#define KEYRING_RETIRED_S 86400         /* a retired key opens envelopes for this long */

enum key_state { KEY_CURRENT, KEY_PENDING, KEY_RETIRED };

struct keyring {
        struct iicp_cx_private keys[KEYRING_KEYS_MAX];
        enum key_state states[KEYRING_KEYS_MAX];
        int64_t created_at[KEYRING_KEYS_MAX], retired_at[KEYRING_KEYS_MAX];
        size_t n;
        struct iicp_buf public_;        /* key object of keys[0], the current one */
        struct iicp_buf offer;          /* of the pending one; empty: there is none */
};

/* Reads text. -EINVAL: not a keyring; -ESTALE: of another node or without a current or pending key
 * that still holds at now_s; -EBADMSG: a private key that does not match its public half. */
int keyring_parse(struct iicp_str text, const char *node_id, int64_t now_s, struct keyring *ret);
int keyring_make(int64_t now_s, struct keyring *ret);
/* A new current key; those before it stay as retired and open envelopes for their day. */
int keyring_replace(int64_t now_s, struct keyring *k);
/* Rotation, first step: a pending key, which opens envelopes and is not yet published. -EALREADY: there
 * is one. */
int keyring_rotate(int64_t now_s, struct keyring *k);
/* Rotation, third step: the pending key was taken by the directory. -ENOENT: no such pending key. */
int keyring_promote(const char *key_id, int64_t now_s, struct keyring *k);
/* Wipes what must not open anything any more; true if there was something. */
bool keyring_expire(int64_t now_s, struct keyring *k);
/* Seconds until the next key is to be wiped, -1 if none waits for it. */
int64_t keyring_next_expiry(const struct keyring *k, int64_t now_s);
const struct iicp_cx_private *keyring_pending(const struct keyring *k);
int keyring_write(const struct keyring *k, const char *node_id, struct iicp_buf *out);
void keyring_wipe(struct keyring *k);

/* The key file of an SDK becomes the current key. The public half is made again from the private one
 * and compared: -EBADMSG if they differ; -EINVAL: not such a file. [05 section 3.2] */
int keyring_import_sdk(struct iicp_str text, int64_t now_s, struct keyring *ret);
/* Its name below the SDK's "cx" folder: 24 hex digits of SHA-256 over the node id, and ".json". */
#define KEYRING_SDK_NAME 30
int keyring_sdk_name(const char *node_id, char out[KEYRING_SDK_NAME]);

#endif
