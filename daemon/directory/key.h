/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DIRECTORY_KEY_H
#define IICPD_DIRECTORY_KEY_H

/* The directory's signing key, by which consumer tokens are verified here without asking anybody:
 * fetched after a registration, hourly and after a signature that did not fit; kept over a restart;
 * on a change the old one stays good for a while; a pinned one is used alone. [05 section 4.4] */

#include <iicp/token.h>

#define KEY_REFRESH_MS 3600000u
#define KEY_RETRY_MS 300000u        /* after a fetch without a key, and between those for signatures */
#define KEY_OVERLAP_MS 310000u      /* a token lives 300 s, and its grace */
#define KEY_FILE "directory-key.json"

struct node;
struct directory_keys;

struct directory_keys *directory_keys_new(struct node *node);
struct directory_keys *directory_keys_free(struct directory_keys *k);
/* What is on the disk counts at once, if it is of the configured directory. */
void directory_keys_start(struct directory_keys *k);
void directory_keys_reload(struct directory_keys *k);
/* A registration was accepted. k may be NULL here. */
void directory_keys_registered(struct directory_keys *k);

/* A consumer token for this node. Without a key there are no tokens: false, and *ret_fault is OK.
 * false otherwise: *ret_fault says why. k may be NULL. */
bool directory_keys_check(struct directory_keys *k, struct iicp_str token, struct iicp_str intent,
                          struct iicp_consumer_claims *ret, enum iicp_token_fault *ret_fault);

/* The keys that verify now, the current one first; 0: none is known. k may be NULL. Until the next event. */
size_t directory_keys_current(const struct directory_keys *k, const uint8_t (**ret)[IICP_SIGN_KEY]);
/* A signature fitted none of them: perhaps there is a new one. */
void directory_keys_did_not_fit(struct directory_keys *k);

/* {"fingerprint","fetched_at","pinned","previous"} or null. */
void directory_keys_json(const struct directory_keys *k, struct iicp_buf *out);

#endif
