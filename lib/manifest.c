/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/manifest.h>

#include "util.h"

#include <errno.h>
#include <iicp/canonical.h>
#include <iicp/codec.h>
#include <iicp/time.h>

#define COPY_MAX (2 * IICP_MANIFEST_FILE_MAX)

const char *iicp_manifest_status_name(enum iicp_manifest_status status) {
        static const char *const names[] = {
                [IICP_MANIFEST_SELF_ATTESTED] = "self_attested", [IICP_MANIFEST_SIGNED_VALID] = "signed_valid",
                [IICP_MANIFEST_SIGNED_INVALID] = "signed_invalid", [IICP_MANIFEST_SIGNED_EXPIRED] = "signed_expired",
                [IICP_MANIFEST_SIGNED_REVOKED] = "signed_revoked",
        };

        return names[status];
}

/* The members of an object as they stand, but one; without the braces. */
static void members_but(const struct iicp_json *object, const char *but, struct iicp_buf *out) {
        struct iicp_json_iter it;
        struct iicp_json name, value;
        const char *comma = "", *quote;

        iicp_json_iter_init(&it, object);
        while (iicp_json_next(&it, &name, &value)) {
                if (iicp_json_is(&name, but))
                        continue;
                quote = value.type == IICP_JSON_STRING ? "\"" : "";
                iicp_buf_printf(out, "%s\"", comma);
                iicp_buf_add_str(out, name.text);
                iicp_buf_printf(out, "\":%s", quote);
                iicp_buf_add_str(out, value.text);
                iicp_buf_puts(out, quote);
                comma = ",";
        }
}

int iicp_manifest_text(const struct iicp_json *manifest, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf copy = {.max = COPY_MAX};
        struct iicp_json signature = iicp_json_get(manifest, "signature"), v;

        iicp_buf_puts(&copy, "{");
        members_but(manifest, "signature", &copy);
        if (signature.type == IICP_JSON_OBJECT) {
                iicp_buf_puts(&copy, copy.n > 1 ? ",\"signature\":{" : "\"signature\":{");
                members_but(&signature, "signature", &copy);
                iicp_buf_puts(&copy, "}");
        }
        iicp_buf_puts(&copy, "}");
        if (copy.error)
                return copy.error;
        if (iicp_json_scan(iicp_buf_str(&copy), NULL, NULL, &v) < 0)
                return -EINVAL;
        return iicp_canonical(&v, IICP_CANONICAL_SORTED, out);
}

/* Standard or url alphabet, padded or not, as directories take both. */
static bool decode(const struct iicp_json *v, uint8_t *out, size_t want) {
        char text[96], *end;
        size_t n;

        if (iicp_json_copy(v, text, sizeof(text)) < 0)
                return false;
        for (end = text; *end && *end != '='; end++)
                *end = *end == '+' ? '-' : *end == '/' ? '_' : *end;
        for (const char *p = end; *p; p++)
                if (*p != '=' || p - end > 1)
                        return false;
        return iicp_b64url_decode((struct iicp_str){text, (size_t) (end - text)}, out, want, &n) == 0 && n == want;
}

static int64_t time_of(const struct iicp_json *signature, const char *name) {
        struct iicp_json v = iicp_json_get(signature, name);
        char text[64];

        return iicp_json_copy(&v, text, sizeof(text)) < 0 ? -1 : iicp_time_parse(text);
}

enum iicp_manifest_status iicp_manifest_check(const struct iicp_json *manifest, int64_t now_s,
                                              int64_t *ret_expires) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {.max = COPY_MAX};
        struct iicp_json signature = iicp_json_get(manifest, "signature");
        struct iicp_json algorithm = iicp_json_get(&signature, "algorithm"), key64 = iicp_json_get(&signature, "public_key");
        struct iicp_json value = iicp_json_get(&signature, "signature"), revoked = iicp_json_get(&signature, "revoked_at");
        uint8_t key[IICP_SIGN_KEY], sig[IICP_SIGNATURE];
        int64_t expires, when;

        if (ret_expires)
                *ret_expires = 0;
        if (signature.type == IICP_JSON_NONE || signature.type == IICP_JSON_NULL)
                return IICP_MANIFEST_SELF_ATTESTED;
        if (!iicp_json_is(&algorithm, "Ed25519") || !decode(&key64, key, sizeof(key)) ||
            !decode(&value, sig, sizeof(sig)) || iicp_manifest_text(manifest, &text) < 0 ||
            !iicp_sign_verify(key, iicp_buf_str(&text), sig))
                return IICP_MANIFEST_SIGNED_INVALID;
        expires = time_of(&signature, "expires_at");
        if (expires < 0)
                return IICP_MANIFEST_SIGNED_INVALID;
        if (ret_expires)
                *ret_expires = expires;
        when = time_of(&signature, "revoked_at");
        if (revoked.type != IICP_JSON_NONE && when <= now_s)
                return IICP_MANIFEST_SIGNED_REVOKED;
        return expires <= now_s ? IICP_MANIFEST_SIGNED_EXPIRED : IICP_MANIFEST_SIGNED_VALID;
}

/* The manifest with its signature object, whose value is empty or not there yet. */
static void compose(const struct iicp_json *manifest, const uint8_t key[IICP_SIGN_KEY], int64_t signed_at,
                    const uint8_t *sig, struct iicp_buf *out) {
        char fingerprint[IICP_FINGERPRINT], at[IICP_TIME_TEXT], until[IICP_TIME_TEXT];

        iicp_sign_fingerprint(key, fingerprint);
        iicp_time_text(signed_at, at);
        iicp_time_text(signed_at + IICP_MANIFEST_VALID_S, until);
        iicp_buf_puts(out, "{");
        members_but(manifest, "signature", out);
        iicp_buf_printf(out, ",\"signature\":{\"algorithm\":\"Ed25519\",\"key_id\":\"%s\",\"public_key\":\"", fingerprint);
        iicp_b64_add(out, key, IICP_SIGN_KEY);
        iicp_buf_printf(out, "\",\"signed_at\":\"%s\",\"expires_at\":\"%s\"", at, until);
        if (sig) {
                iicp_buf_puts(out, ",\"signature\":\"");
                iicp_b64_add(out, sig, IICP_SIGNATURE);
                iicp_buf_puts(out, "\"");
        }
        iicp_buf_puts(out, "}}");
}

int iicp_manifest_sign(const struct iicp_json *manifest, const uint8_t seed[IICP_SEED], int64_t signed_at,
                       struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf unsigned_ = {.max = COPY_MAX}, text = {.max = COPY_MAX};
        uint8_t key[IICP_SIGN_KEY], sig[IICP_SIGNATURE];
        struct iicp_json v;

        if (iicp_manifest_lint(manifest))
                return -EINVAL;
        if (iicp_sign_public(seed, key) < 0)
                return -EIO;
        compose(manifest, key, signed_at, NULL, &unsigned_);
        if (unsigned_.error || iicp_json_scan(iicp_buf_str(&unsigned_), NULL, NULL, &v) < 0)
                return unsigned_.error ? unsigned_.error : -EINVAL;
        if (iicp_manifest_text(&v, &text) < 0 || iicp_sign(seed, iicp_buf_str(&text), sig) < 0)
                return -EIO;
        compose(manifest, key, signed_at, sig, out);
        return out->error;
}
