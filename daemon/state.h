/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_STATE_H
#define IICPD_STATE_H

/* The state directory: a kernel lock, identity.json, the CX keyring. One writer; every file is
 * written by temp file, fsync, rename, fsync of the directory, 0600 from the first byte; a file of
 * another owner or mode refuses the start; a corrupt one is moved aside as .bad-<time>.
 * [01 section 2.10; 05 sections 3.2, 9] */

#include <iicp/buf.h>
#include <iicp/cx.h>

#define STATE_TOKEN_MAX 512
#define STATE_HMAC_KEY_MAX 128

struct identity {
        char node_id[37];
        char directory_base[512];
        char node_token[STATE_TOKEN_MAX + 1];   /* "" = none */
        char node_hmac_key[STATE_HMAC_KEY_MAX + 1];
        char challenge[65];                     /* pending liveness challenge, "" = none */
        int64_t registered_at;                  /* epoch seconds, 0 = never */
        struct {
                char endpoint[256];
                char transport_endpoint[256];
                char capability_digest[65];
                char cx_key_id[IICP_CX_KEY_ID_TEXT];
        } registered;
};

struct state;

/* Creates the directory (0700) if it is missing, takes the lock, reads identity and keyring; makes
 * a node id (or takes configured_id) and a CX key if there are none, and writes what it made. A
 * configured_id other than the kept one is another node: what belongs to the old one is moved aside
 * as .old-<time>. On failure returns -errno and a text for the operator in why: -EBUSY is "locked by
 * pid N", -EPERM a wrong owner or mode, -EBADMSG a CX key that does not match its public half. */
int state_open(const char *dir, const char *configured_id, int64_t now_s, struct state **ret,
               char *why, size_t why_cap);
struct state *state_close(struct state *s); /* wipes */

struct identity *state_identity(struct state *s);
/* Durable before it returns: fsync, so only where blocking is allowed (start, stop, tests). */
int state_save_identity(struct state *s);

/* The directory gave this node another id: a key belongs to one id, so a new one is made; the old one
 * opens envelopes for a day more. Reaches the disk with the next save. [CX-NODE-02] */
int state_rekey(struct state *s, int64_t now_s);

/* For the loop: the bytes of identity.json as they are now, which the helper thread writes.
 * state_snapshot and state_job_free run on the loop, state_job_write on the helper thread. */
struct state_job;
int state_snapshot(struct state *s, struct state_job **ret);
int state_job_write(struct state_job *j);
struct state_job *state_job_free(struct state_job *j); /* wipes */

/* Keys that may open envelopes now, current first. */
const struct iicp_cx_private *state_cx_keys(const struct state *s, size_t *ret_n);
/* Published key object, byte-stable until rotation. */
struct iicp_str state_cx_public(const struct state *s);
const char *state_cx_key_id(const struct state *s);

/* Writes bytes into `name` below dir_fd as told above. Exposed for other state files and tests. */
int state_write_file(int dir_fd, const char *name, struct iicp_str bytes);

#endif
