/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring.h"

#include "clock.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/json.h>
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

        if (v.type != IICP_JSON_STRING || iicp_b64url_decode(v.text, out, IICP_CX_KEY, &n) < 0 || n != IICP_CX_KEY)
                return -EINVAL;
        return 0;
}

/* One entry; its public half is made again from the private one and compared. */
static int read_key(const struct iicp_json *entry, struct iicp_cx_private *ret, int64_t *ret_created,
                    int64_t *ret_retired) {
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

static int add(struct keyring *k, const struct iicp_json *entry, bool current, int64_t now_s) {
        size_t at = current ? 0 : k->n;
        int64_t created, retired;
        struct iicp_cx_private key;
        int r = read_key(entry, &key, &created, &retired);

        if (r < 0)
                return r;
        if (k->n < KEYRING_KEYS_MAX && now_s < key.not_after && (retired == 0 || now_s - retired < KEYRING_RETIRED_S)) {
                if (current && k->n > 0) {
                        k->keys[k->n] = k->keys[0];
                        k->created_at[k->n] = k->created_at[0];
                        k->retired_at[k->n] = k->retired_at[0];
                }
                k->keys[at] = key;
                k->created_at[at] = created;
                k->retired_at[at] = retired;
                k->n++;
        } else if (current)
                r = -ESTALE;
        iicp_wipe(&key, sizeof(key));
        return r;
}

static int publish(struct keyring *k) {
        uint8_t pub[IICP_CX_KEY];
        int r = iicp_cx_public(k->keys[0].priv, pub);

        if (r < 0)
                return r;
        iicp_buf_free(&k->public_);
        iicp_cx_key_object(pub, k->keys[0].not_after, &k->public_);
        return k->public_.error;
}

static int parse_doc(const struct iicp_json *doc, const char *node_id, int64_t now_s, struct keyring *k) {
        struct iicp_json keys = iicp_json_get(doc, "keys"), entry;
        struct iicp_json_iter it;
        bool current = false;
        char owner[64];
        int r;

        if (keys.type != IICP_JSON_ARRAY || text(doc, "node_id", owner, sizeof(owner)) < 0)
                return -EINVAL;
        if (strcmp(owner, node_id) != 0)
                return -ESTALE;
        iicp_json_iter_init(&it, &keys);
        while (iicp_json_next(&it, NULL, &entry)) {
                struct iicp_json state = iicp_json_get(&entry, "state");
                bool is_current = iicp_json_is(&state, "current");

                r = add(k, &entry, is_current, now_s);
                if (r < 0)
                        return r;
                current |= is_current;
        }
        return current ? publish(k) : -ESTALE;
}

int keyring_parse(struct iicp_str bytes, const char *node_id, int64_t now_s, struct keyring *ret) {
        struct keyring k = {0};
        struct iicp_json doc;
        int r = iicp_json_scan(bytes, NULL, NULL, &doc) < 0 ? -EINVAL : parse_doc(&doc, node_id, now_s, &k);

        if (r < 0) {
                keyring_wipe(&k);
                return r;
        }
        *ret = k;
        iicp_wipe(&k, sizeof(k));
        return 0;
}

int keyring_make(int64_t now_s, struct keyring *ret) {
        struct keyring k = {.n = 1, .created_at = {now_s}};
        uint8_t pub[IICP_CX_KEY];
        int r = iicp_cx_keygen(k.keys[0].priv, pub);

        k.keys[0].not_after = now_s + KEYRING_LIFE_S;
        if (r == 0)
                r = iicp_cx_key_id(pub, k.keys[0].key_id);
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
        struct keyring fresh;
        int r = keyring_make(now_s, &fresh);
        size_t n = MIN(k->n, (size_t) KEYRING_KEYS_MAX - 1);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                fresh.keys[i + 1] = k->keys[i];
                fresh.created_at[i + 1] = k->created_at[i];
                fresh.retired_at[i + 1] = k->retired_at[i] ? k->retired_at[i] : now_s;
        }
        fresh.n = n + 1;
        keyring_wipe(k);
        *k = fresh;
        iicp_wipe(&fresh, sizeof(fresh));
        return 0;
}

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
        iicp_buf_puts(out, "{\"version\":1,\"node_id\":");
        iicp_buf_json_str(out, iicp_str(node_id));
        iicp_buf_puts(out, ",\"keys\":[");
        for (size_t i = 0; i < k->n; i++) {
                uint8_t pub[IICP_CX_KEY];
                int r = iicp_cx_public(k->keys[i].priv, pub);

                if (r < 0)
                        return r;
                iicp_buf_printf(out, "%s{\"state\":\"%s\",\"algorithm\":\"X25519\",\"private_key\":\"", i ? "," : "",
                                i == 0 ? "current" : "retired");
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
        iicp_wipe(k, sizeof(*k));
}
