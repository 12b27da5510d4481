/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/operator.h>

#include "json-internal.h"
#include "util.h"

#include <iicp/codec.h>
#include <iicp/hmac.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>

const char *iicp_operator_fault_text(enum iicp_operator_fault fault) {
        static const char *const texts[] = {
                [IICP_OPERATOR_OK] = "fine",
                [IICP_OPERATOR_MALFORMED] = "it is no operator file",
                [IICP_OPERATOR_LEGACY] = "it is of the old kind, without a key, and vouches for nothing",
                [IICP_OPERATOR_HASH] = "its operator_integrity_hash does not fit: it was edited",
                [IICP_OPERATOR_SEED] = "its seed belongs to another operator_id",
                [IICP_OPERATOR_PASSPHRASE] = "the passphrase does not open it",
                [IICP_OPERATOR_SEAL] = "its seed is sealed in a way that this version does not know",
                [IICP_OPERATOR_FAILED] = "it could not be read: no memory",
        };

        return texts[fault];
}

void iicp_operator_wipe(struct iicp_operator *o) {
        OPENSSL_cleanse(o, sizeof(*o));
}

static void id_of(const uint8_t key[IICP_SIGN_KEY], char out[IICP_OPERATOR_ID]) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};

        iicp_b64_add(&text, key, IICP_SIGN_KEY);
        snprintf(out, IICP_OPERATOR_ID, "%s", text.p ? text.p : "");
}

static int integrity(const char *id, const char *created_at, char out[65]) {
        char text[IICP_OPERATOR_ID + 48];
        uint8_t hash[32];

        snprintf(text, sizeof(text), "%s:%s", id, created_at);
        if (iicp_sha256(iicp_str(text), hash) < 0)
                return -EIO;
        iicp_hex(hash, sizeof(hash), out);
        return 0;
}

static bool take(const struct iicp_json *o, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(o, name);

        return iicp_json_copy(&v, out, cap) == 0;
}

/* The seed as it stands in the file, or out of its seal. */
static enum iicp_operator_fault read_seed(const struct iicp_json *file, struct iicp_str passphrase,
                                          struct iicp_operator *o) {
        struct iicp_json sealed = iicp_json_get(file, "operator_secret_enc");
        char text[64] = "";
        uint8_t key[IICP_SIGN_KEY];
        enum iicp_operator_fault fault;
        size_t n;
        int r;

        take(file, "operator_secret", text, sizeof(text));
        if (text[0]) {
                r = iicp_b64_decode(iicp_str(text), o->seed, sizeof(o->seed), &n);
                OPENSSL_cleanse(text, sizeof(text));
                if (r < 0 || n != IICP_SEED)
                        return IICP_OPERATOR_MALFORMED;
        } else if (sealed.type == IICP_JSON_OBJECT) {
                o->sealed = true;
                if (!passphrase.p)
                        return IICP_OPERATOR_OK;
                fault = iicp_seed_unseal(&sealed, passphrase, iicp_str(o->id), o->seed);
                if (fault != IICP_OPERATOR_OK)
                        return fault;
        } else
                return IICP_OPERATOR_MALFORMED;
        if (iicp_sign_public(o->seed, key) < 0)
                return IICP_OPERATOR_FAILED;
        o->has_seed = true;
        return CRYPTO_memcmp(key, o->key, sizeof(key)) == 0 ? IICP_OPERATOR_OK : IICP_OPERATOR_SEED;
}

static enum iicp_operator_fault read_file(struct iicp_str text, struct iicp_str passphrase,
                                          struct iicp_operator *o) {
        struct iicp_json file;
        char hash[65], stored[65], id[64];
        size_t n;

        if (text.n > IICP_OPERATOR_FILE_MAX || iicp_json_scan(text, NULL, NULL, &file) < 0 ||
            file.type != IICP_JSON_OBJECT || !take(&file, "operator_id", id, sizeof(id)))
                return IICP_OPERATOR_MALFORMED;
        if (strncmp(id, "op-", 3) == 0)
                return IICP_OPERATOR_LEGACY;
        if (iicp_b64_decode(iicp_str(id), o->key, sizeof(o->key), &n) < 0 || n != IICP_SIGN_KEY ||
            !take(&file, "created_at", o->created_at, sizeof(o->created_at)) ||
            !take(&file, "operator_integrity_hash", stored, sizeof(stored)))
                return IICP_OPERATOR_MALFORMED;
        snprintf(o->id, sizeof(o->id), "%s", id);
        if (!take(&file, "display_name", o->display_name, sizeof(o->display_name)))
                o->display_name[0] = '\0';
        if (integrity(o->id, o->created_at, hash) < 0)
                return IICP_OPERATOR_FAILED;
        if (strcmp(hash, stored) != 0)
                return IICP_OPERATOR_HASH;
        memcpy(o->integrity_hash, hash, sizeof(hash));
        return read_seed(&file, passphrase, o);
}

enum iicp_operator_fault iicp_operator_read(struct iicp_str file, struct iicp_str passphrase,
                                            struct iicp_operator *ret) {
        struct iicp_operator o = {0};
        enum iicp_operator_fault fault = read_file(file, passphrase, &o);

        if (fault == IICP_OPERATOR_OK)
                *ret = o;
        iicp_operator_wipe(&o);
        return fault;
}

int iicp_operator_new(const char *display_name, const char *created_at, struct iicp_operator *ret) {
        struct iicp_operator o = {.has_seed = true};
        int r = -EIO;

        if (RAND_priv_bytes(o.seed, sizeof(o.seed)) == 1 && iicp_sign_public(o.seed, o.key) == 0) {
                id_of(o.key, o.id);
                snprintf(o.created_at, sizeof(o.created_at), "%s", created_at);
                snprintf(o.display_name, sizeof(o.display_name), "%s", display_name);
                r = integrity(o.id, o.created_at, o.integrity_hash);
        }
        if (r == 0)
                *ret = o;
        iicp_operator_wipe(&o);
        return r;
}

static void member(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, "  \"%s\": ", name);
        iicp_buf_json_str(out, iicp_str(value));
        iicp_buf_puts(out, ",\n");
}

int iicp_operator_write(const struct iicp_operator *o, struct iicp_str passphrase, struct iicp_buf *out) {
        int r = 0;

        if (!o->has_seed)
                return -EINVAL;
        out->secret = true;
        iicp_buf_puts(out, "{\n");
        member(out, "operator_id", o->id);
        member(out, "created_at", o->created_at);
        member(out, "display_name", o->display_name);
        member(out, "contact", "");
        iicp_buf_puts(out, "  \"operator_secret\": \"");
        if (!passphrase.p)
                iicp_b64_add(out, o->seed, IICP_SEED);
        iicp_buf_puts(out, "\",\n");
        if (passphrase.p) {
                iicp_buf_puts(out, "  \"operator_secret_enc\": ");
                r = iicp_seed_seal(o->seed, passphrase, o->id, out);
                iicp_buf_puts(out, ",\n");
        }
        iicp_buf_printf(out, "  \"operator_integrity_hash\": \"%s\"\n}\n", o->integrity_hash);
        return r < 0 ? r : out->error;
}

bool iicp_node_id_valid(struct iicp_str id) {
        for (size_t i = 0; i < id.n; i++) {
                char c = id.p[i];
                bool word = json_is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

                if (!word && (i == 0 || !c || !strchr("._:-", c)))
                        return false;
        }
        return id.n > 0 && id.n <= 36;
}

bool iicp_display_name_valid(struct iicp_str name) {
        const char *p = name.p, *end = name.p + name.n;
        size_t chars = 0;

        if (name.n == 0 || *p == ' ' || end[-1] == ' ')
                return false;
        for (size_t k; p < end; p += k, chars++) {
                unsigned char c = (unsigned char) *p;

                k = c < 0x80 ? 1 : utf8_sequence(p, end);
                if (c < 0x20 || c == 0x7f || k == 0 || (c == 0xc2 && (unsigned char) p[1] < 0xa0))
                        return false;
        }
        return chars <= 64;
}
