/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/token.h>

#include "util.h"

#include <errno.h>
#include <iicp/canonical.h>
#include <iicp/codec.h>
#include <iicp/hmac.h>
#include <stdio.h>
#include <strings.h>

#define SIGNATURE_TEXT (2 * IICP_SIGNATURE)

const char *iicp_token_fault_name(enum iicp_token_fault fault) {
        static const char *const names[] = {
                [IICP_TOKEN_OK] = "ok", [IICP_TOKEN_MALFORMED] = "malformed",
                [IICP_TOKEN_SIGNATURE] = "signature", [IICP_TOKEN_VERSION] = "version",
                [IICP_TOKEN_AUDIENCE] = "audience", [IICP_TOKEN_INTENT] = "intent",
                [IICP_TOKEN_EXPIRED] = "expired", [IICP_TOKEN_NOT_YET_VALID] = "not_yet_valid",
                [IICP_TOKEN_TYPE] = "type", [IICP_TOKEN_JTI] = "jti", [IICP_TOKEN_SUBJECT] = "subject",
        };

        return names[fault];
}

/* The two parts, or false. */
static bool split(struct iicp_str token, struct iicp_str *ret_text, uint8_t signature[IICP_SIGNATURE]) {
        const char *dot = token.n <= IICP_TOKEN_MAX && token.n > 0 ? memchr(token.p, '.', token.n) : NULL;
        size_t before = dot ? (size_t) (dot - token.p) : 0, n;

        if (before == 0 || token.n - before - 1 != SIGNATURE_TEXT || memchr(token.p, '=', before))
                return false;
        *ret_text = (struct iicp_str){token.p, before};
        return iicp_hex_decode((struct iicp_str){dot + 1, SIGNATURE_TEXT}, signature, IICP_SIGNATURE, &n) == 0;
}

static bool signed_by(struct iicp_str text, const char *domain, const uint8_t (*keys)[IICP_SIGN_KEY],
                      size_t n_keys, const uint8_t signature[IICP_SIGNATURE]) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf message = {.max = 2 * IICP_TOKEN_MAX, .secret = true};

        iicp_buf_puts(&message, domain);
        iicp_buf_add_str(&message, text);
        for (size_t i = 0; message.error == 0 && i < n_keys; i++)
                if (iicp_sign_verify(keys[i], iicp_buf_str(&message), signature))
                        return true;
        return false;
}

enum iicp_token_fault iicp_token_open(struct iicp_str token, const char *domain,
                                      const uint8_t (*keys)[IICP_SIGN_KEY], size_t n_keys,
                                      struct iicp_buf *payload, struct iicp_json *ret_claims) {
        uint8_t signature[IICP_SIGNATURE];
        struct iicp_str text;
        char *to;
        size_t n;

        if (!split(token, &text, signature))
                return IICP_TOKEN_MALFORMED;
        if (!signed_by(text, domain, keys, n_keys, signature))
                return IICP_TOKEN_SIGNATURE;
        to = iicp_buf_reserve(payload, text.n);
        if (!to || iicp_b64url_decode(text, to, text.n, &n) < 0)
                return IICP_TOKEN_MALFORMED;
        payload->n += n;
        payload->p[payload->n] = '\0';
        if (iicp_json_scan((struct iicp_str){to, n}, NULL, NULL, ret_claims) < 0 ||
            ret_claims->type != IICP_JSON_OBJECT || iicp_json_unique(ret_claims) < 0)
                return IICP_TOKEN_MALFORMED;
        return IICP_TOKEN_OK;
}

static bool string_is(const struct iicp_json *v, const char *text) {
        return v->type == IICP_JSON_STRING && iicp_json_is(v, text);
}

static bool subject(const struct iicp_json *sub, char out[IICP_SUBJECT_MAX + 1]) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {.max = IICP_TOKEN_MAX};
        uint8_t hash[32];

        if (sub->type != IICP_JSON_STRING || sub->text.n == 0)
                return false;
        if (iicp_json_copy(sub, out, IICP_SUBJECT_MAX + 1) == 0)
                return true;
        if (iicp_json_decode(sub, &text) < 0 || iicp_sha256(iicp_buf_str(&text), hash) < 0)
                return false;
        memcpy(out, "sha256:", 7);
        iicp_hex(hash, sizeof(hash), out + 7);
        return true;
}

/* Types first, then what they say, in the order of the contract. */
static enum iicp_token_fault judge(const struct iicp_json *claims, const char *audience, struct iicp_str intent,
                                   int64_t now_s, struct iicp_consumer_claims *ret) {
        struct iicp_json v = iicp_json_get(claims, "v"), sub = iicp_json_get(claims, "sub");
        struct iicp_json aud = iicp_json_get(claims, "aud"), urn = iicp_json_get(claims, "intent");
        struct iicp_json exp = iicp_json_get(claims, "exp"), iat = iicp_json_get(claims, "iat");
        int64_t version, expires, issued = INT64_MIN;
        bool any;

        if (iicp_json_int(&v, &version) < 0 || version != 1)
                return IICP_TOKEN_VERSION;
        if (!subject(&sub, ret->subject) || aud.type != IICP_JSON_STRING || urn.type != IICP_JSON_STRING ||
            iicp_json_int(&exp, &expires) < 0 || (iat.type != IICP_JSON_NONE && iicp_json_int(&iat, &issued) < 0))
                return IICP_TOKEN_MALFORMED;
        if (!string_is(&aud, audience))
                return IICP_TOKEN_AUDIENCE;
        if (iicp_json_copy(&urn, ret->intent, sizeof(ret->intent)) < 0)
                return IICP_TOKEN_INTENT;
        any = strcmp(ret->intent, "*") == 0 || !intent.p;
        if (!any && !iicp_str_is(intent, ret->intent))
                return IICP_TOKEN_INTENT;
        if (__builtin_add_overflow(expires, IICP_TOKEN_GRACE_S, &ret->expires_at))
                ret->expires_at = INT64_MAX;
        if (now_s >= ret->expires_at)
                return IICP_TOKEN_EXPIRED;
        return issued > now_s + IICP_TOKEN_AHEAD_S ? IICP_TOKEN_NOT_YET_VALID : IICP_TOKEN_OK;
}

enum iicp_token_fault iicp_consumer_token_check(struct iicp_str token, const uint8_t (*keys)[IICP_SIGN_KEY],
                                                size_t n_keys, const char *audience, struct iicp_str intent,
                                                int64_t now_s, struct iicp_consumer_claims *ret) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf payload = {.max = IICP_TOKEN_MAX, .secret = true};
        struct iicp_consumer_claims claims = {0};
        struct iicp_json object;
        enum iicp_token_fault fault = iicp_token_open(token, IICP_DOMAIN_CONSUMER_TOKEN, keys, n_keys,
                                                      &payload, &object);

        if (fault == IICP_TOKEN_OK)
                fault = judge(&object, audience, intent, now_s, &claims);
        if (fault == IICP_TOKEN_OK)
                *ret = claims;
        return fault;
}

int iicp_directory_key_parse(const struct iicp_json *answer, uint8_t ret[IICP_SIGN_KEY]) {
        struct iicp_json key = iicp_json_get(answer, "public_key"), algorithm = iicp_json_get(answer, "algorithm");
        char hex[2 * IICP_SIGN_KEY + 1];
        size_t n;

        if (answer->type != IICP_JSON_OBJECT || algorithm.type != IICP_JSON_STRING ||
            !iicp_json_is(&algorithm, "ed25519") || key.type != IICP_JSON_STRING ||
            iicp_json_copy(&key, hex, sizeof(hex)) < 0 || strlen(hex) != sizeof(hex) - 1)
                return -EINVAL;
        return iicp_hex_decode(iicp_str(hex), ret, IICP_SIGN_KEY, &n) < 0 ? -EINVAL : 0;
}
