/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"

#include "util.h"

#include <iicp/hmac.h>
#include <strings.h>

/* Who may: our own node_token (body or bearer), the one before it for a minute, a caller token of
 * the operator. In mode open a wrong credential counts and nothing else. [02 section 4.2] */

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

/* A line each: "[name:]token". */
static bool is_caller_token(const struct corridor *c, struct iicp_str token) {
        const char *p = c->node->config->caller_tokens.value;
        bool found = false;

        while (p && *p) {
                size_t n = strcspn(p, "\r\n");
                const char *colon = memchr(p, ':', n);
                struct iicp_str line = {p, n};

                if (colon)
                        line = (struct iicp_str){colon + 1, n - (size_t) (colon + 1 - p)};
                if (iicp_secret_eq(token, line))
                        found = true;
                p += n;
                p += strspn(p, "\r\n");
        }
        return found;
}

static bool accepted(struct corridor *c, struct iicp_str token) {
        return token.p && (is_own_token(c, token) || is_caller_token(c, token));
}

bool task_authorize(struct task *t, const struct task_request *request, struct iicp_refusal *refusal) {
        struct corridor *c = t->corridor;
        bool required = c->node->config->auth_mode == AUTH_REQUIRED;
        uint64_t now_ms = task_now_ms(t);
        struct iicp_str header = bearer(request->authorization);
        struct iicp_str source;
        char key[16];

        source = rate_source((const struct sockaddr *) &t->peer, key);
        if (required && rate_over(c->auth_failures, source, AUTH_FAILURES_MAX, now_ms)) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_AUTH_RATE_LIMITED,
                                                 .retry_after_ms = RATE_WINDOW_MS};
                return false;
        }
        if (accepted(c, t->env.auth_token) || accepted(c, header))
                return true;
        if (t->env.auth_token.p || request->authorization.p || request->consumer_token.p)
                metrics_auth_failure(c->node->metrics);
        if (!required)
                return true;
        rate_take(c->auth_failures, source, AUTH_FAILURES_MAX, now_ms);
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_UNAUTHORIZED};
        return false;
}
