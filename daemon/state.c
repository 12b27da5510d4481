/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include "keyring.h"
#include "log.h"
#include "state_file.h"
#include "state_seal.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <iicp/json.h>
#include <iicp/uuid.h>
#include <stdio.h>

struct state {
        int dir_fd, cx_fd, lock_fd;
        struct identity identity;
        struct keyring keyring;
        bool rekeyed;          /* the keyring is newer than its file */
        bool offered;          /* the pending key is in the file */
        bool in_clear;         /* a file was read that is to be sealed */
        bool sealed;
        uint8_t key[STATE_KEY];
};

struct state_job {
        struct state *state;
        struct iicp_buf bytes;
        struct iicp_buf keyring; /* empty: unchanged */
        bool has_pending;
        bool keyring_written;
};

/* ---- identity.json ---- */

/* Copies a string member; -EINVAL if it is there and does not fit or is no string. */
static int take(const struct iicp_json *o, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(o, name);

        return v.type == IICP_JSON_NONE ? 0 : iicp_json_copy(&v, out, cap) < 0 ? -EINVAL : 0;
}

/* The rule of directories for ids; a file that was edited by hand may hold anything. */
static bool valid_node_id(const char *id) {
        static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

        return id[0] && strchr(alnum, id[0]) &&
               strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") == strlen(id);
}

/* What is not there, or no number, is a free place. */
static void take_restarts(const struct iicp_json *doc, int64_t restarts[STATE_RESTARTS_MAX]) {
        struct iicp_json list = iicp_json_get(doc, "restarts"), v;
        struct iicp_json_iter it;

        if (list.type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, &list);
        for (size_t i = 0; i < STATE_RESTARTS_MAX && iicp_json_next(&it, NULL, &v); i++)
                if (iicp_json_int(&v, &restarts[i]) < 0 || restarts[i] < 0)
                        restarts[i] = 0;
}

/* Read with the scanner, which leaves no copies of the secrets behind. */
static int parse_identity(struct iicp_str bytes, struct identity *ret) {
        struct identity id = {0};
        struct iicp_json doc, registered, at;
        int r = -EINVAL;

        if (iicp_json_scan(bytes, NULL, NULL, &doc) < 0)
                return -EINVAL;
        registered = iicp_json_get(&doc, "registered");
        at = iicp_json_get(&doc, "registered_at");
        if (take(&doc, "node_id", id.node_id, sizeof(id.node_id)) == 0 && valid_node_id(id.node_id) &&
            take(&doc, "directory_base", id.directory_base, sizeof(id.directory_base)) == 0 &&
            take(&doc, "node_token", id.node_token, sizeof(id.node_token)) == 0 &&
            take(&doc, "node_hmac_key", id.node_hmac_key, sizeof(id.node_hmac_key)) == 0 &&
            take(&doc, "gossip_seed", id.gossip_seed, sizeof(id.gossip_seed)) == 0 &&
            take(&doc, "liveness_challenge", id.challenge, sizeof(id.challenge)) == 0 &&
            take(&registered, "endpoint", id.registered.endpoint, sizeof(id.registered.endpoint)) == 0 &&
            take(&registered, "transport_endpoint", id.registered.transport_endpoint,
                 sizeof(id.registered.transport_endpoint)) == 0 &&
            take(&registered, "relay_endpoint", id.registered.relay_endpoint,
                 sizeof(id.registered.relay_endpoint)) == 0 &&
            take(&registered, "capability_digest", id.registered.capability_digest,
                 sizeof(id.registered.capability_digest)) == 0 &&
            take(&registered, "cx_key_id", id.registered.cx_key_id, sizeof(id.registered.cx_key_id)) == 0 &&
            take(&registered, "policy", id.registered.policy, sizeof(id.registered.policy)) == 0 &&
            take(&registered, "relay", id.registered.relay, sizeof(id.registered.relay)) == 0) {
                if (iicp_json_int(&at, &id.registered_at) < 0)
                        id.registered_at = 0;
                take_restarts(&doc, id.restarts);
                *ret = id;
                r = 0;
        }
        iicp_wipe(&id, sizeof(id));
        return r;
}

static void put(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(value));
}

static int write_identity(const struct identity *id, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"version\":1");
        put(out, "node_id", id->node_id);
        put(out, "directory_base", id->directory_base);
        put(out, "node_token", id->node_token);
        put(out, "node_hmac_key", id->node_hmac_key);
        if (id->gossip_seed[0])
                put(out, "gossip_seed", id->gossip_seed);
        put(out, "liveness_challenge", id->challenge);
        iicp_buf_printf(out, ",\"registered_at\":%lld,\"registered\":{\"endpoint\":", (long long) id->registered_at);
        iicp_buf_json_str(out, iicp_str(id->registered.endpoint));
        put(out, "transport_endpoint", id->registered.transport_endpoint);
        put(out, "relay_endpoint", id->registered.relay_endpoint);
        put(out, "capability_digest", id->registered.capability_digest);
        put(out, "cx_key_id", id->registered.cx_key_id);
        put(out, "policy", id->registered.policy);
        put(out, "relay", id->registered.relay);
        iicp_buf_puts(out, "},\"restarts\":[");
        for (size_t i = 0; i < STATE_RESTARTS_MAX; i++)
                iicp_buf_printf(out, "%s%lld", i ? "," : "", (long long) id->restarts[i]);
        iicp_buf_puts(out, "]}\n");
        return out->error;
}

/* What goes to the disk: the text, or its sealed form. */
static int seal_bytes(const struct state *s, const char *name, struct iicp_buf *bytes) {
        struct iicp_buf sealed = {0};
        int r;

        if (!s->sealed)
                return 0;
        r = state_seal(s->key, s->identity.node_id, name, iicp_buf_str(bytes), &sealed);
        iicp_buf_wipe(bytes);
        *bytes = sealed;
        return r;
}

static int keyring_bytes(const struct state *s, struct iicp_buf *out) {
        int r = keyring_write(&s->keyring, s->identity.node_id, out);

        return r < 0 ? r : seal_bytes(s, "keyring.json", out);
}

int state_snapshot(struct state *s, struct state_job **ret) {
        struct state_job *j = calloc(1, sizeof(*j));
        int r;

        if (!j)
                return -ENOMEM;
        j->state = s;
        j->bytes.secret = j->keyring.secret = true;
        r = write_identity(&s->identity, &j->bytes);
        if (r == 0)
                r = seal_bytes(s, "identity.json", &j->bytes);
        if (r == 0 && s->rekeyed)
                r = keyring_bytes(s, &j->keyring);
        if (r < 0) {
                state_job_free(j);
                return r;
        }
        j->has_pending = keyring_pending(&s->keyring) != NULL;
        s->rekeyed = false;
        *ret = j;
        return 0;
}

int state_job_write(struct state_job *j) {
        if (j->keyring.n > 0) {
                int r = state_write_file(j->state->cx_fd, "keyring.json", iicp_buf_str(&j->keyring));

                if (r < 0)
                        return r;
                j->keyring_written = true;
        }
        return state_write_file(j->state->dir_fd, "identity.json", iicp_buf_str(&j->bytes));
}

struct state_job *state_job_free(struct state_job *j) {
        if (!j)
                return NULL;
        if (j->keyring.n > 0) {
                if (!j->keyring_written)
                        j->state->rekeyed = true; /* with the next one */
                else if (j->has_pending && keyring_pending(&j->state->keyring))
                        j->state->offered = true;
        }
        iicp_buf_wipe(&j->bytes);
        iicp_buf_wipe(&j->keyring);
        free(j);
        return NULL;
}

int state_rekey(struct state *s, int64_t now_s) {
        int r = keyring_replace(now_s, &s->keyring);

        if (r == 0) {
                s->rekeyed = true;
                s->offered = false;
        }
        return r;
}

int state_cx_rotate(struct state *s, int64_t now_s) {
        int r = keyring_rotate(now_s, &s->keyring);

        if (r == 0) {
                s->rekeyed = true;
                s->offered = false;
        }
        return r;
}

bool state_cx_accepted(struct state *s, const char *key_id, int64_t now_s) {
        if (keyring_promote(key_id, now_s, &s->keyring) < 0)
                return false;
        s->rekeyed = true;
        s->offered = false;
        return true;
}

bool state_cx_expire(struct state *s, int64_t now_s) {
        if (!keyring_expire(now_s, &s->keyring))
                return false;
        s->rekeyed = true;
        return true;
}

void state_cx_times(const struct state *s, int64_t now_s, struct cx_times *ret) {
        const struct iicp_cx_private *pending = keyring_pending(&s->keyring);

        *ret = (struct cx_times){
                .created_at = s->keyring.created_at[0],
                .not_after = s->keyring.keys[0].not_after,
                .next_expiry_s = keyring_next_expiry(&s->keyring, now_s),
                .pending = pending ? pending->key_id : NULL,
                .offered = s->offered,
        };
}

int state_save_identity(struct state *s) {
        struct state_job *j;
        int r = state_snapshot(s, &j);

        if (r < 0)
                return r;
        r = state_job_write(j);
        state_job_free(j);
        return r;
}

/* ---- opening ---- */

/* One of the two files, opened if it is sealed. */
static int read_file(struct state *s, int dir_fd, const char *name, struct iicp_buf *bytes, char *why, size_t cap) {
        int r = state_file_read(dir_fd, name, bytes, why, cap);

        if (r < 0)
                return r;
        if (!state_is_sealed(iicp_buf_str(bytes))) {
                s->in_clear = true;
                return 0;
        }
        if (!s->sealed) {
                snprintf(why, cap, "%s is sealed and there is no key: set node.state_key to the key that sealed it", name);
                return -EKEYREJECTED;
        }
        r = state_unseal(s->key, name, bytes);
        if (r == -EBADMSG) {
                snprintf(why, cap, "%s cannot be opened with node.state_key: it was sealed with another key, or is "
                                   "damaged; restore the key, or move the file away to start as a new node", name);
                return -EKEYREJECTED;
        }
        return r;
}

static int new_identity(struct state *s, const char *configured_id) {
        s->identity = (struct identity){0};
        if (!configured_id)
                return iicp_uuid4(s->identity.node_id);
        if (strlen(configured_id) >= sizeof(s->identity.node_id))
                return -EINVAL;
        strcpy(s->identity.node_id, configured_id);
        return 0;
}

/* The counts first: they belong to this identity and to no other. */
static void identity_aside(struct state *s, const char *tag, int64_t now_s) {
        state_file_aside(s->dir_fd, STATE_BATCH_FILE, tag, now_s);
        state_file_aside(s->dir_fd, "identity.json", tag, now_s);
}

static int open_identity(struct state *s, const char *configured_id, int64_t now_s, char *why, size_t cap) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf bytes = {.secret = true};
        int r = read_file(s, s->dir_fd, "identity.json", &bytes, why, cap);

        if (r < 0 && r != -ENOENT && r != -EFBIG)
                return r;
        if (r == 0 && parse_identity(iicp_buf_str(&bytes), &s->identity) == 0) {
                if (!configured_id || strcmp(configured_id, s->identity.node_id) == 0)
                        return 0;
                log_notice("identity_changed", "node.id is set to another id than before: starting as a new node, "
                                               "the old identity is kept aside");
                identity_aside(s, "old", now_s);
        } else if (r != -ENOENT) {
                log_warn("state_corrupt", "identity.json cannot be read: starting as a new node, the file is kept as "
                                          "identity.json.bad-%lld", (long long) now_s);
                identity_aside(s, "bad", now_s);
        }
        r = new_identity(s, configured_id);
        if (r == 0)
                r = state_save_identity(s);
        if (r < 0)
                snprintf(why, cap, "cannot write identity.json: %s", strerror(-r));
        return r;
}

static int new_keyring(struct state *s, int64_t now_s, char *why, size_t cap) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf bytes = {.secret = true};
        int r = keyring_make(now_s, &s->keyring);

        if (r == 0)
                r = keyring_bytes(s, &bytes);
        if (r == 0)
                r = state_write_file(s->cx_fd, "keyring.json", iicp_buf_str(&bytes));
        if (r < 0)
                snprintf(why, cap, "cannot make an encryption key: %s", strerror(-r));
        return r;
}

static int open_keyring(struct state *s, int64_t now_s, char *why, size_t cap) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf bytes = {.secret = true};
        int r = read_file(s, s->cx_fd, "keyring.json", &bytes, why, cap);

        if (r == -ENOENT)
                return new_keyring(s, now_s, why, cap);
        if (r < 0 && r != -EFBIG)
                return r;
        if (r == 0)
                r = keyring_parse(iicp_buf_str(&bytes), s->identity.node_id, now_s, &s->keyring);
        if (r == -EBADMSG) {
                snprintf(why, cap, "a private key in cx/keyring.json does not match its public key: restore the file, "
                                   "or move it away for a new key");
                return r;
        }
        if (r == 0)
                return 0;
        log_warn(r == -ESTALE ? "key_replaced" : "state_corrupt", "cx/keyring.json %s: a new key is made, the file is "
                 "kept aside", r == -ESTALE ? "is of another node or expired" : "cannot be read");
        state_file_aside(s->cx_fd, "keyring.json", r == -ESTALE ? "old" : "bad", now_s);
        return new_keyring(s, now_s, why, cap);
}

/* Both files, whatever is in them already. */
static int write_both(struct state *s) {
        s->rekeyed = true;
        return state_save_identity(s);
}

/* What was read in clear, or before a rotation ended, is brought up to date. */
static int after_open(struct state *s, char *why, size_t cap) {
        int r;

        s->offered = keyring_pending(&s->keyring) != NULL;
        if (!s->sealed || !s->in_clear)
                return 0;
        r = write_both(s);
        if (r < 0)
                snprintf(why, cap, "cannot write the sealed state: %s", strerror(-r));
        else
                log_notice("state_sealed", "identity and encryption keys are sealed on the disk from now on: "
                                           "keep the key of node.state_key, nothing opens them without it");
        return r;
}

static int sealed_file(int dir_fd, const char *name, bool *ret_sealed) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf bytes = {.secret = true};
        char why[256];
        int r = state_file_read(dir_fd, name, &bytes, why, sizeof(why));

        *ret_sealed = *ret_sealed || (r == 0 && state_is_sealed(iicp_buf_str(&bytes)));
        return r;
}

int state_sealed_at(const char *dir, bool *ret_sealed) {
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

        *ret_sealed = false;
        if (fd < 0)
                return -errno;
        r = sealed_file(fd, "identity.json", ret_sealed);
        if (r == 0)
                sealed_file(fd, "cx/keyring.json", ret_sealed);
        close(fd);
        return r;
}

int state_seal_end(struct state *s) {
        s->sealed = false;
        iicp_wipe(s->key, sizeof(s->key));
        return write_both(s);
}

int state_open(const char *dir, const char *configured_id, int64_t now_s, struct state **ret, char *why,
               size_t why_cap) {
        return state_open_sealed(dir, configured_id, NULL, now_s, ret, why, why_cap);
}

int state_open_sealed(const char *dir, const char *configured_id, const uint8_t *key, int64_t now_s,
                      struct state **ret, char *why, size_t why_cap) {
        struct state *s = calloc(1, sizeof(*s));
        long pid = 0;
        int r;

        if (!s)
                return -ENOMEM;
        if (key) {
                s->sealed = true;
                memcpy(s->key, key, sizeof(s->key));
        }
        s->dir_fd = s->cx_fd = s->lock_fd = -1;
        r = state_dir_open(AT_FDCWD, dir, &s->dir_fd, why, why_cap);
        if (r == 0) {
                r = state_lock(s->dir_fd, &s->lock_fd, &pid);
                if (r == -EBUSY)
                        snprintf(why, why_cap, "%s is in use by iicpd (pid %ld); give each instance its own node.state_dir", dir, pid);
                else if (r < 0)
                        snprintf(why, why_cap, "cannot lock %s: %s", dir, strerror(-r));
        }
        if (r == 0)
                r = state_dir_open(s->dir_fd, "cx", &s->cx_fd, why, why_cap);
        if (r == 0)
                r = open_identity(s, configured_id, now_s, why, why_cap);
        if (r == 0)
                r = open_keyring(s, now_s, why, why_cap);
        if (r == 0)
                r = after_open(s, why, why_cap);
        if (r < 0) {
                state_close(s);
                return r;
        }
        *ret = s;
        return 0;
}

struct state *state_close(struct state *s) {
        if (!s)
                return NULL;
        keyring_wipe(&s->keyring);
        if (s->cx_fd >= 0)
                close(s->cx_fd);
        if (s->dir_fd >= 0)
                close(s->dir_fd);
        if (s->lock_fd >= 0)
                close(s->lock_fd);
        iicp_wipe(s, sizeof(*s));
        free(s);
        return NULL;
}

struct identity *state_identity(struct state *s) {
        return &s->identity;
}

const struct iicp_cx_private *state_cx_keys(const struct state *s, size_t *ret_n) {
        *ret_n = s->keyring.n;
        return s->keyring.keys;
}

struct iicp_str state_cx_public(const struct state *s) {
        return iicp_buf_str(s->offered ? &s->keyring.offer : &s->keyring.public_);
}

const char *state_cx_key_id(const struct state *s) {
        return s->offered ? keyring_pending(&s->keyring)->key_id : s->keyring.keys[0].key_id;
}

const char *state_cx_current_id(const struct state *s) {
        return s->keyring.keys[0].key_id;
}

int state_dir_fd(const struct state *s) {
        return s->dir_fd;
}

int state_identity_read(const struct state *s, struct identity *ret) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf bytes = {.secret = true};
        char why[256];
        int r = state_file_read(s->dir_fd, "identity.json", &bytes, why, sizeof(why));

        if (r == 0 && state_is_sealed(iicp_buf_str(&bytes)))
                r = s->sealed ? state_unseal(s->key, "identity.json", &bytes) : -EKEYREJECTED;
        return r < 0 ? r : parse_identity(iicp_buf_str(&bytes), ret);
}
