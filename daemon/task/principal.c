/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"

#include "directory/key.h"
#include "log.h"
#include "util.h"

#include <iicp/hmac.h>
#include <stdio.h>
#include <strings.h>

/* Whose credentials these are: our own node_token (body or bearer), the one before it for a minute, a
 * caller token of the operator, a consumer token of the directory. [02 section 4.2; 05 section 4] */

static struct iicp_str bearer(struct iicp_str authorization) {
        if (authorization.n <= 7 || strncasecmp(authorization.p, "Bearer ", 7) != 0)
                return IICP_STR_NONE;
        return (struct iicp_str){authorization.p + 7, authorization.n - 7};
}

static bool is_own_token(struct corridor *c, struct iicp_str token) {
        if (iicp_secret_eq(token, iicp_str(state_identity(c->node->state)->node_token)))
                return true;
        return clock_mono_ms(c->node->clock) < c->old_token_until_ms &&
               iicp_secret_eq(token, iicp_str(c->old_token));
}

static void become(struct principal *ret, enum principal_kind kind, unsigned scopes) {
        *ret = (struct principal){.kind = kind, .scopes = scopes, .intent = "*"};
}

static struct iicp_str next_line(const char **p) {
        struct iicp_str line = {*p, strcspn(*p, "\r\n")};

        *p += line.n;
        *p += strspn(*p, "\r\n");
        return line;
}

/* A line each: "[name:]token". A token without name is called by its place. All lines are looked
 * at, so that the time says nothing. */
static bool is_caller_token(const struct corridor *c, struct iicp_str token, struct principal *ret) {
        const char *p = c->node->config->caller_tokens.value;
        bool found = false;

        for (unsigned place = 1; p && *p; place++) {
                struct iicp_str line = next_line(&p);
                const char *colon = memchr(line.p, ':', line.n);
                size_t name = colon ? (size_t) (colon - line.p) : 0, skip = colon ? name + 1 : 0;

                if (!iicp_secret_eq(token, (struct iicp_str){line.p + skip, line.n - skip}))
                        continue;
                found = true;
                become(ret, PRINCIPAL_CALLER, SCOPE_OWN);
                if (name > 0)
                        snprintf(ret->id, sizeof(ret->id), "caller:%.*s", (int) MIN(name, 100u), line.p);
                else
                        snprintf(ret->id, sizeof(ret->id), "caller:%u", place);
        }
        return found;
}

/* Whoever heard such a token on the way may use it until it is replaced. */
static void warn_in_clear(struct corridor *c, const struct credentials *shown, const struct principal *who) {
        uint64_t now_ms = clock_mono_ms(c->node->clock);

        if (shown->tls || iicp_endpoint_addr_allowed(shown->peer, IICP_ENDPOINT_DIAL) < 0 ||
            (c->warned_in_clear_ms && now_ms - c->warned_in_clear_ms < HOUR_MS))
                return;
        c->warned_in_clear_ms = now_ms;
        log_warn("credential_in_clear", "a token of the %s came in clear over a public network, where it can be read and "
                 "used again; give out https addresses, or replace it", principal_kind_name(who->kind));
}

static bool accepted(struct corridor *c, struct iicp_str token, const struct credentials *shown,
                     struct principal *ret) {
        if (!token.p)
                return false;
        if (is_own_token(c, token)) {
                become(ret, PRINCIPAL_OPERATOR, SCOPE_OWN | SCOPE_OTHERS);
                memcpy(ret->id, "operator", sizeof("operator"));
        } else if (!is_caller_token(c, token, ret))
                return false;
        warn_in_clear(c, shown, ret);
        return true;
}

static bool consumer(struct corridor *c, const struct credentials *shown, struct iicp_str intent,
                     struct principal *ret, const char **ret_reason) {
        struct iicp_consumer_claims claims;
        enum iicp_token_fault fault;

        if (!shown->consumer_token.p)
                return false;
        if (!directory_keys_check(c->node->keys, shown->consumer_token, intent, &claims, &fault)) {
                *ret_reason = fault == IICP_TOKEN_OK ? "no_directory_key" : iicp_token_fault_name(fault);
                return false;
        }
        become(ret, PRINCIPAL_CONSUMER, SCOPE_OWN);
        snprintf(ret->id, sizeof(ret->id), "%s", claims.subject);
        snprintf(ret->intent, sizeof(ret->intent), "%s", claims.intent);
        ret->expires_at = claims.expires_at;
        return true;
}

void principal_resolve(struct corridor *c, const struct credentials *shown, struct iicp_str intent,
                       struct principal *ret) {
        const char *reason = "token";

        memset(ret, 0, sizeof(*ret));
        if (accepted(c, shown->auth_token, shown, ret) || accepted(c, shown->other_token, shown, ret) ||
            accepted(c, bearer(shown->authorization), shown, ret) || consumer(c, shown, intent, ret, &reason))
                return;
        if (!shown->auth_token.p && !shown->authorization.p && !shown->consumer_token.p)
                return;
        metrics_auth_failure(c->node->metrics, reason);
        log_debug("auth_failed", "credentials that are not valid: %s", reason);
}

void principal_owner(const struct principal *p, uint8_t ret[PRINCIPAL_OWNER]) {
        char text[PRINCIPAL_ID_MAX + 16];

        memset(ret, 0, PRINCIPAL_OWNER);
        if (p->kind == PRINCIPAL_NONE)
                return;
        /* With the kind: no directory can make a consumer the owner of what an operator began. */
        snprintf(text, sizeof(text), "%s %s", principal_kind_name(p->kind), p->id);
        iicp_sha256(iicp_str(text), ret);
}

void principal_value(const struct principal *p, struct iicp_str value, struct principal_value *ret) {
        uint8_t both[2 * PRINCIPAL_OWNER];

        ret->text = value;
        if (p->kind == PRINCIPAL_NONE || !value.p)
                return;
        principal_owner(p, both);
        if (iicp_sha256(value, both + PRINCIPAL_OWNER) == 0 &&
            iicp_sha256((struct iicp_str){(const char *) both, sizeof(both)}, ret->digest) == 0)
                ret->text = (struct iicp_str){(const char *) ret->digest, sizeof(ret->digest)};
}

bool principal_fits(const struct principal *p, struct iicp_str intent) {
        return p->kind != PRINCIPAL_NONE && (strcmp(p->intent, "*") == 0 || iicp_str_is(intent, p->intent));
}

const char *principal_kind_name(enum principal_kind kind) {
        static const char *const names[] = {
                [PRINCIPAL_NONE] = "none", [PRINCIPAL_OPERATOR] = "operator",
                [PRINCIPAL_CALLER] = "caller", [PRINCIPAL_CONSUMER] = "consumer",
        };

        return names[kind];
}
