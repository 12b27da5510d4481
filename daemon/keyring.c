/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring.h"

#include "clock.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/hmac.h>
#include <iicp/json.h>
#include <stdio.h>
#include <time.h>

/* The scanner leaves no copies of the secrets behind, as a tree would. */
static int text(const struct iicp_json *o, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(o, name);

        return iicp_json_copy(&v, out, cap);
}

static int64_t time_of(const struct iicp_json *o, const char *name) {
        struct tm tm = {0};
        char when[32];
        const char *end;

        if (text(o, name, when, sizeof(when)) < 0)
                return -1;
        end = strptime(when, "%Y-%m-%dT%H:%M:%SZ", &tm);
        return end && !*end ? timegm(&tm) : -1;
}

static int key_bytes(const struct iicp_json *o, const char *name, uint8_t out[IICP_CX_KEY]) {
        struct iicp_json v = iicp_json_get(o, name);
        size_t n = 0;

        if (v.type != IICP_JSON_STRING || iicp_b64url_decode(v.text, out, IICP_CX_KEY, &n) < 0 ||
            n != IICP_CX_KEY)
                return -EINVAL;
        return 0;
}

/* One entry; its public half is made again from the private one and compared. */
static int read_key(const struct iicp_json *entry, struct iicp_cx_private *ret,
                    int64_t *ret_created, int64_t *ret_retired) {
        struct iicp_json public = iicp_json_get(entry, "cx_public_key");
        uint8_t pub[IICP_CX_KEY], want[IICP_CX_KEY];
        struct iicp_cx_private k = {0};
        char id[IICP_CX_KEY_ID_TEXT];
        int r = 0;

        k.not_after = time_of(&public, "not_after");
        if (key_bytes(entry, "private_key", k.priv) < 0 || key_bytes(&public, "key", want) < 0 ||
            text(&public, "key_id", id, sizeof(id)) < 0 || k.not_after < 0)
                r = -EINVAL;
        else if (iicp_cx_public(k.priv, pub) < 0 || iicp_cx_key_id(pub, k.key_id) < 0)
                r = -EIO;
        else if (memcmp(pub, want, sizeof(pub)) != 0 || strcmp(id, k.key_id) != 0)
                r = -EBADMSG;
        if (r == 0) {
                *ret = k;
                *ret_created = MAX(time_of(entry, "created_at"), (int64_t) 0);
                *ret_retired = MAX(time_of(entry, "retired_at"), (int64_t) 0);
        }
        iicp_wipe(&k, sizeof(k));
        return r;
}

/* Moves one key to another place, with all that is known of it. */
static void move(struct keyring *k, size_t to, size_t from) {
        k->keys[to] = k->keys[from];
        k->states[to] = k->states[from];
        k->created_at[to] = k->created_at[from];
        k->retired_at[to] = k->retired_at[from];
}

static void swap(struct keyring *k, size_t a, size_t b) {
        struct iicp_cx_private key = k->keys[a];
        int64_t created = k->created_at[a], retired = k->retired_at[a];
        enum key_state state = k->states[a];

        move(k, a, b);
        k->keys[b] = key;
        k->states[b] = state;
        k->created_at[b] = created;
        k->retired_at[b] = retired;
        iicp_wipe(&key, sizeof(key));
}

static void drop(struct keyring *k, size_t at) {
        for (size_t i = at; i + 1 < k->n; i++)
                move(k, i, i + 1);
        k->n--;
        iicp_wipe(&k->keys[k->n], sizeof(k->keys[k->n]));
}

/* Room at the front; what falls off the end is the key that was retired first. */
static void make_room(struct keyring *k) {
        if (k->n == KEYRING_KEYS_MAX)
                drop(k, k->n - 1);
        for (size_t i = k->n; i > 0; i--)
                move(k, i, i - 1);
        k->n++;
}

static bool opens_nothing(const struct keyring *k, size_t i, int64_t now_s) {
        return k->states[i] == KEY_RETIRED &&
               (now_s >= k->keys[i].not_after || now_s - k->retired_at[i] >= KEYRING_RETIRED_S);
}

static size_t find_state(const struct keyring *k, enum key_state state) {
        size_t i = 0;

        while (i < k->n && k->states[i] != state)
                i++;
        return i;
}

const struct iicp_cx_private *keyring_pending(const struct keyring *k) {
        size_t i = find_state(k, KEY_PENDING);

        return i < k->n ? &k->keys[i] : NULL;
}

static int publish_key(const struct iicp_cx_private *key, struct iicp_buf *out) {
        uint8_t pub[IICP_CX_KEY];
        int r = iicp_cx_public(key->priv, pub);

        if (r < 0)
                return r;
        iicp_buf_free(out);
        *out = (struct iicp_buf){0};
        iicp_cx_key_object(pub, key->not_after, out);
        return out->error;
}

/* The objects of current and pending key, after either became another one. */
static int publish(struct keyring *k) {
        const struct iicp_cx_private *pending = keyring_pending(k);
        int r = publish_key(&k->keys[0], &k->public_);

        iicp_buf_free(&k->offer);
        k->offer = (struct iicp_buf){0};
        return r == 0 && pending ? publish_key(pending, &k->offer) : r;
}

static int state_of(const struct iicp_json *entry, enum key_state *ret) {
        static const char *const names[] = {"current", "pending", "retired"};
        struct iicp_json state = iicp_json_get(entry, "state");

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (iicp_json_is(&state, names[i])) {
                        *ret = (enum key_state) i;
                        return 0;
                }
        return -EINVAL;
}

static int add(struct keyring *k, const struct iicp_json *entry, int64_t now_s) {
        struct iicp_cx_private key;
        int64_t created, retired;
        enum key_state state;
        int r = state_of(entry, &state);

        if (r == 0)
                r = read_key(entry, &key, &created, &retired);
        if (r < 0)
                return r;
        if (k->n < KEYRING_KEYS_MAX && now_s < key.not_after) {
                k->keys[k->n] = key;
                k->states[k->n] = state;
                k->created_at[k->n] = created;
                k->retired_at[k->n] = retired;
                if (!opens_nothing(k, k->n, now_s))
                        k->n++;
        }
        iicp_wipe(&key, sizeof(key));
        return 0;
}

/* The current key to the front. A pending one takes its place if it has expired meanwhile. */
static int settle(struct keyring *k) {
        size_t at = find_state(k, KEY_CURRENT);

        if (at == k->n)
                at = find_state(k, KEY_PENDING);
        if (at == k->n)
                return -ESTALE;
        k->states[at] = KEY_CURRENT;
        k->retired_at[at] = 0;
        for (size_t i = at; i > 0; i--)
                swap(k, i, i - 1);
        return publish(k);
}

static int parse_doc(const struct iicp_json *doc, const char *node_id, int64_t now_s,
                     struct keyring *k) {
        struct iicp_json keys = iicp_json_get(doc, "keys"), entry;
        struct iicp_json_iter it;
        char owner[64];
        int r;

        if (keys.type != IICP_JSON_ARRAY || text(doc, "node_id", owner, sizeof(owner)) < 0)
                return -EINVAL;
        if (strcmp(owner, node_id) != 0)
                return -ESTALE;
        iicp_json_iter_init(&it, &keys);
        while (iicp_json_next(&it, NULL, &entry)) {
                r = add(k, &entry, now_s);
                if (r < 0)
                        return r;
        }
        return settle(k);
}

int keyring_parse(struct iicp_str bytes, const char *node_id, int64_t now_s, struct keyring *ret) {
        struct keyring k = {0};
        struct iicp_json doc;
        int r = iicp_json_scan(bytes, NULL, NULL, &doc) < 0 ? -EINVAL
                                                            : parse_doc(&doc, node_id, now_s, &k);

        if (r < 0) {
                keyring_wipe(&k);
                return r;
        }
        *ret = k;
        iicp_wipe(&k, sizeof(k));
        return 0;
}

static int make_key(int64_t now_s, struct iicp_cx_private *ret) {
        uint8_t pub[IICP_CX_KEY];
        int r = iicp_cx_keygen(ret->priv, pub);

        ret->not_after = now_s + KEYRING_LIFE_S;
        return r < 0 ? r : iicp_cx_key_id(pub, ret->key_id);
}

int keyring_make(int64_t now_s, struct keyring *ret) {
        struct keyring k = {.n = 1, .states = {KEY_CURRENT}, .created_at = {now_s}};
        int r = make_key(now_s, &k.keys[0]);

        if (r == 0)
                r = publish(&k);
        if (r < 0) {
                keyring_wipe(&k);
                return r;
        }
        *ret = k;
        iicp_wipe(&k, sizeof(k));
        return 0;
}

int keyring_replace(int64_t now_s, struct keyring *k) {
        struct iicp_cx_private key = {0};
        int r = make_key(now_s, &key);

        if (r < 0)
                return r;
        for (size_t i = 0; i < k->n; i++) {
                if (k->states[i] != KEY_RETIRED)
                        k->retired_at[i] = now_s;
                k->states[i] = KEY_RETIRED;
        }
        make_room(k);
        k->keys[0] = key;
        k->states[0] = KEY_CURRENT;
        k->created_at[0] = now_s;
        k->retired_at[0] = 0;
        iicp_wipe(&key, sizeof(key));
        return publish(k);
}

int keyring_rotate(int64_t now_s, struct keyring *k) {
        struct iicp_cx_private key = {0};
        int r = keyring_pending(k) ? -EALREADY : make_key(now_s, &key);

        if (r < 0)
                return r;
        /* behind the current one, before the retired ones */
        make_room(k);
        move(k, 0, 1);
        k->keys[1] = key;
        k->states[1] = KEY_PENDING;
        k->created_at[1] = now_s;
        k->retired_at[1] = 0;
        iicp_wipe(&key, sizeof(key));
        return publish(k);
}

int keyring_promote(const char *key_id, int64_t now_s, struct keyring *k) {
        size_t at = find_state(k, KEY_PENDING);

        if (at == k->n || strcmp(k->keys[at].key_id, key_id) != 0)
                return -ENOENT;
        for (size_t i = at; i > 0; i--)
                swap(k, i, i - 1);
        k->states[0] = KEY_CURRENT;
        k->states[1] = KEY_RETIRED;
        k->retired_at[1] = now_s;
        return publish(k);
}

bool keyring_expire(int64_t now_s, struct keyring *k) {
        bool any = false;

        for (size_t i = k->n; i-- > 1;)
                if (opens_nothing(k, i, now_s)) {
                        drop(k, i);
                        any = true;
                }
        return any;
}

int64_t keyring_next_expiry(const struct keyring *k, int64_t now_s) {
        int64_t next = -1;

        for (size_t i = 1; i < k->n; i++)
                if (k->states[i] == KEY_RETIRED) {
                        int64_t left =
                                MIN(k->retired_at[i] + KEYRING_RETIRED_S, k->keys[i].not_after) -
                                now_s;

                        left = MAX(left, (int64_t) 0);
                        next = next < 0 ? left : MIN(next, left);
                }
        return next;
}

/* ---- key files of the SDKs ---- */

static int read_sdk(const struct iicp_json *doc, struct iicp_cx_private *ret) {
        struct iicp_json public = iicp_json_get(doc, "public_key"),
                         algorithm = iicp_json_get(doc, "algorithm"),
                         version = iicp_json_get(doc, "version");
        uint8_t pub[IICP_CX_KEY], want[IICP_CX_KEY];
        int64_t n;

        if (iicp_json_int(&version, &n) < 0 || n != 1 || !iicp_json_is(&algorithm, "X25519") ||
            key_bytes(doc, "private_key", ret->priv) < 0 || key_bytes(&public, "key", want) < 0)
                return -EINVAL;
        if (iicp_cx_public(ret->priv, pub) < 0 || iicp_cx_key_id(pub, ret->key_id) < 0)
                return -EIO;
        return memcmp(pub, want, sizeof(pub)) == 0 ? 0 : -EBADMSG;
}

int keyring_import_sdk(struct iicp_str bytes, int64_t now_s, struct keyring *ret) {
        struct keyring k = {.n = 1, .states = {KEY_CURRENT}, .created_at = {now_s}};
        struct iicp_json doc;
        int r = iicp_json_scan(bytes, NULL, NULL, &doc) < 0 ? -EINVAL : read_sdk(&doc, &k.keys[0]);

        /* the SDKs keep no age and no end: ours begins now */
        k.keys[0].not_after = now_s + KEYRING_LIFE_S;
        if (r == 0)
                r = publish(&k);
        if (r < 0) {
                keyring_wipe(&k);
                return r;
        }
        *ret = k;
        iicp_wipe(&k, sizeof(k));
        return 0;
}

int keyring_sdk_name(const char *node_id, char out[KEYRING_SDK_NAME]) {
        uint8_t digest[32];
        char hex[65];
        int r = iicp_sha256(iicp_str(node_id), digest);

        if (r < 0)
                return r;
        iicp_hex(digest, sizeof(digest), hex);
        snprintf(out, KEYRING_SDK_NAME, "%.24s.json", hex);
        return 0;
}

/* ---- writing ---- */

static void write_time(const char *name, int64_t at, struct iicp_buf *out) {
        char when[21];

        if (at == 0) {
                iicp_buf_printf(out, ",\"%s\":null", name);
                return;
        }
        clock_rfc3339(at, when);
        iicp_buf_printf(out, ",\"%s\":\"%s\"", name, when);
}

int keyring_write(const struct keyring *k, const char *node_id, struct iicp_buf *out) {
        static const char *const names[] = {"current", "pending", "retired"};

        iicp_buf_puts(out, "{\"version\":1,\"node_id\":");
        iicp_buf_json_str(out, iicp_str(node_id));
        iicp_buf_puts(out, ",\"keys\":[");
        for (size_t i = 0; i < k->n; i++) {
                uint8_t pub[IICP_CX_KEY];
                int r = iicp_cx_public(k->keys[i].priv, pub);

                if (r < 0)
                        return r;
                iicp_buf_printf(out,
                                "%s{\"state\":\"%s\",\"algorithm\":\"X25519\",\"private_key\":\"",
                                i ? "," : "", names[k->states[i]]);
                iicp_b64url_add(out, k->keys[i].priv, IICP_CX_KEY);
                iicp_buf_puts(out, "\",\"cx_public_key\":");
                iicp_cx_key_object(pub, k->keys[i].not_after, out);
                write_time("created_at", k->created_at[i], out);
                write_time("retired_at", k->retired_at[i], out);
                iicp_buf_puts(out, "}");
        }
        iicp_buf_puts(out, "]}\n");
        return out->error;
}

void keyring_wipe(struct keyring *k) {
        iicp_buf_free(&k->public_);
        iicp_buf_free(&k->offer);
        iicp_wipe(k, sizeof(*k));
}
