/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include <iicp/bind_ticket.h>
#include <iicp/canonical.h>
#include <iicp/codec.h>

#define TYP "relay-bind-ticket"

static bool string_is(const struct iicp_json *v, const char *text) {
        return v->type == IICP_JSON_STRING && iicp_json_is(v, text);
}

/* Decoded, it equals the text, which may hold any byte but NUL. */
static bool names(const struct iicp_json *v, struct iicp_str text) {
        char decoded[IICP_SUBJECT_MAX + 1];

        return v->type == IICP_JSON_STRING && iicp_json_copy(v, decoded, sizeof decoded) == 0 &&
               iicp_str_is(text, decoded);
}

static bool read_jti(const struct iicp_json *claims, char out[IICP_BIND_TICKET_JTI]) {
        struct iicp_json jti = iicp_json_get(claims, "jti");

        if (jti.type != IICP_JSON_STRING || iicp_json_copy(&jti, out, IICP_BIND_TICKET_JTI) < 0)
                return false;
        return strlen(out) == IICP_BIND_TICKET_JTI - 1 && strspn(out, "0123456789abcdef") == IICP_BIND_TICKET_JTI - 1;
}

static enum iicp_token_fault judge(const struct iicp_json *claims, struct iicp_str worker_id, struct iicp_str relay_id,
                                   int64_t now_s, struct iicp_bind_ticket *ret) {
        struct iicp_json v = iicp_json_get(claims, "v"), typ = iicp_json_get(claims, "typ");
        struct iicp_json sub = iicp_json_get(claims, "sub"), aud = iicp_json_get(claims, "aud");
        struct iicp_json exp = iicp_json_get(claims, "exp"), iat = iicp_json_get(claims, "iat");
        int64_t version, issued;

        if (iicp_json_int(&v, &version) < 0 || version != 1)
                return IICP_TOKEN_VERSION;
        if (!string_is(&typ, TYP))
                return IICP_TOKEN_TYPE;
        if (!read_jti(claims, ret->jti))
                return IICP_TOKEN_JTI;
        if (!names(&sub, worker_id))
                return IICP_TOKEN_SUBJECT;
        if (iicp_json_int(&exp, &ret->expires_at) < 0)
                return IICP_TOKEN_MALFORMED;
        if (ret->expires_at <= now_s)
                return IICP_TOKEN_EXPIRED;
        if (!string_is(&aud, "*") && !names(&aud, relay_id))
                return IICP_TOKEN_AUDIENCE;
        ret->life_s = 0;
        if (iicp_json_int(&iat, &issued) < 0 || __builtin_sub_overflow(ret->expires_at, issued, &ret->life_s))
                ret->life_s = 0;
        return IICP_TOKEN_OK;
}

enum iicp_token_fault iicp_bind_ticket_check(struct iicp_str ticket, const uint8_t (*keys)[IICP_SIGN_KEY], size_t n_keys,
                                             struct iicp_str worker_id, struct iicp_str relay_id, int64_t now_s,
                                             struct iicp_bind_ticket *ret) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf payload = {.max = IICP_TOKEN_MAX, .secret = true};
        struct iicp_bind_ticket read = {};
        struct iicp_json claims;
        enum iicp_token_fault fault = iicp_token_open(ticket, IICP_DOMAIN_BIND_TICKET, keys, n_keys, &payload, &claims);

        if (fault == IICP_TOKEN_OK)
                fault = judge(&claims, worker_id, relay_id, now_s, &read);
        if (fault == IICP_TOKEN_OK)
                *ret = read;
        return fault;
}

bool iicp_bind_ticket_usable(struct iicp_str ticket) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf payload = {.max = IICP_TOKEN_MAX, .secret = true};
        const char *dot = ticket.n > 0 && ticket.n <= IICP_TOKEN_MAX ? memchr(ticket.p, '.', ticket.n) : NULL;
        struct iicp_str text = {ticket.p, dot ? (size_t) (dot - ticket.p) : 0};
        char jti[IICP_BIND_TICKET_JTI], *to;
        struct iicp_json claims;
        size_t n;

        to = text.n > 0 ? iicp_buf_reserve(&payload, text.n) : NULL;
        if (!to || iicp_b64url_decode(text, to, text.n, &n) < 0)
                return false;
        payload.n = n;
        if (iicp_json_scan((struct iicp_str){to, n}, NULL, NULL, &claims) < 0 || claims.type != IICP_JSON_OBJECT)
                return false;
        return read_jti(&claims, jti);
}
