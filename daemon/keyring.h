/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_KEYRING_H
#define IICPD_KEYRING_H

/* The CX keys of one node id: cx/keyring.json, current key first. [05 section 3.2] */

#include <iicp/cx.h>

#define KEYRING_KEYS_MAX 8
#define KEYRING_LIFE_S (90 * 86400)     /* not_after of a new key [CX-NODE-01] */
#define KEYRING_RETIRED_S 86400         /* a retired key opens envelopes for this long */

struct keyring {
        struct iicp_cx_private keys[KEYRING_KEYS_MAX];
        int64_t created_at[KEYRING_KEYS_MAX], retired_at[KEYRING_KEYS_MAX];
        size_t n;
        struct iicp_buf public_;        /* published object of keys[0] */
};

/* Reads text. -EINVAL: not a keyring; -ESTALE: of another node or without a current key that still
 * holds at now_s; -EBADMSG: a private key that does not match its public half. */
int keyring_parse(struct iicp_str text, const char *node_id, int64_t now_s, struct keyring *ret);
int keyring_make(int64_t now_s, struct keyring *ret);
/* A new current key; the one before it stays as retired and opens envelopes for its day. */
int keyring_replace(int64_t now_s, struct keyring *k);
int keyring_write(const struct keyring *k, const char *node_id, struct iicp_buf *out);
void keyring_wipe(struct keyring *k);

#endif
