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
#define STATE_BATCH_FILE "metrics-batch.json" /* of the directory room; goes aside with its identity */
#define STATE_RESTARTS_MAX 5 /* [01 section 6.4] */

struct identity {
        char node_id[37];
        char directory_base[512];
        char node_token[STATE_TOKEN_MAX + 1];   /* "" = none */
        char node_hmac_key[STATE_HMAC_KEY_MAX + 1];
        char gossip_seed[65];                   /* Ed25519, hex: of the mesh and nothing else; "" = none */
        char challenge[65];                     /* pending liveness challenge, "" = none */
        int64_t registered_at;                  /* epoch seconds, 0 = never */
        int64_t restarts[STATE_RESTARTS_MAX];   /* of our own choice, epoch seconds, 0 = free */
        struct {
                char endpoint[256];
                char transport_endpoint[256];
                char relay_endpoint[256];
                char capability_digest[65];
                char cx_key_id[IICP_CX_KEY_ID_TEXT];
                char policy[160];               /* of the first registration, "none" without */
                char relay[4];                  /* the same: was it one? "yes", "no", "" = not known */
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
/* The same with both files sealed under a key of 32 bytes (NULL: in clear). Files that lie there in
 * clear are sealed at once. -EKEYREJECTED: they are sealed and the key is missing or another one. */
int state_open_sealed(const char *dir, const char *configured_id, const uint8_t *key, int64_t now_s,
                      struct state **ret, char *why, size_t why_cap);
/* Is there a state in dir, and is any of it sealed? Only looks. -ENOENT: there is none. */
int state_sealed_at(const char *dir, bool *ret_sealed);
/* From now on in clear: writes both files. Blocks. */
int state_seal_end(struct state *s);
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
/* Key object that a registration declares, byte-stable until rotation: that of the current key, or of
 * the pending one as soon as that is on the disk. */
struct iicp_str state_cx_public(const struct state *s);
const char *state_cx_key_id(const struct state *s);
/* Of the current key, which the directory holds. */
const char *state_cx_current_id(const struct state *s);

/* Rotation [05 section 3.4]. All of them reach the disk with the next save. */
int state_cx_rotate(struct state *s, int64_t now_s);     /* a pending key; -EALREADY: there is one */
/* A registration with this key was accepted: if it was the pending one, it is the current one now. true
 * if so. */
bool state_cx_accepted(struct state *s, const char *key_id, int64_t now_s);
bool state_cx_expire(struct state *s, int64_t now_s);    /* true if a retired key was wiped */
struct cx_times {
        int64_t created_at, not_after;  /* of the current key */
        int64_t next_expiry_s;          /* seconds until a retired key goes, -1 = none waits */
        const char *pending;            /* its key_id, or NULL */
        bool offered;                   /* the pending key is on the disk and in registrations */
};
void state_cx_times(const struct state *s, int64_t now_s, struct cx_times *ret);

/* The open state directory, for files that another room owns (state_file.h reads them). */
int state_dir_fd(const struct state *s);
/* What identity.json holds now. For the helper thread. */
int state_identity_read(const struct state *s, struct identity *ret);

/* Writes bytes into `name` below dir_fd as told above. Exposed for other state files and tests. */
int state_write_file(int dir_fd, const char *name, struct iicp_str bytes);

#endif
