/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"

#include "log.h"
#include "util.h"

/* Who may. In mode open a wrong credential counts and nothing else; where one is needed, a source that
 * keeps failing waits. [02 section 4.2; 05 sections 4.1, 15] */

/* How many, at most once an hour; which and why is nobody's business. */
static void note_refused(struct corridor *c, uint64_t now_ms) {
        c->refused_without++;
        if (c->said_refused_ms && now_ms - c->said_refused_ms < HOUR_MS)
                return;
        log_notice("auth_refused", "%llu task%s refused without valid credential (auth.mode=required)",
                   (unsigned long long) c->refused_without, c->refused_without == 1 ? "" : "s");
        c->said_refused_ms = now_ms;
        c->refused_without = 0;
}

bool principal_demand(struct corridor *c, const struct credentials *shown, struct iicp_str intent,
                      struct principal *ret, struct iicp_refusal *refusal) {
        uint64_t now_ms = clock_mono_ms(c->node->clock);
        char key[16];
        struct iicp_str source = rate_source(shown->peer, key);

        memset(ret, 0, sizeof(*ret));
        if (rate_over(c->auth_failures, source, AUTH_FAILURES_MAX, now_ms)) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_AUTH_RATE_LIMITED,
                                                 .retry_after_ms = RATE_WINDOW_MS};
                return false;
        }
        principal_resolve(c, shown, intent, ret);
        if (ret->kind != PRINCIPAL_NONE)
                return true;
        rate_take(c->auth_failures, source, AUTH_FAILURES_MAX, now_ms);
        if (c->node->config->auth_mode == AUTH_REQUIRED)
                note_refused(c, now_ms);
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_UNAUTHORIZED};
        return false;
}

bool task_authorize(struct task *t, const struct task_request *request, struct iicp_refusal *refusal) {
        struct corridor *c = t->corridor;
        struct iicp_json other = iicp_json_get(&t->env.m_auth, "token");
        const struct credentials shown = {
                .auth_token = t->env.auth_token,
                .other_token = other.type == IICP_JSON_STRING && !other.escaped ? other.text : IICP_STR_NONE,
                .authorization = request->authorization,
                .consumer_token = request->consumer_token,
                .peer = (const struct sockaddr *) &t->peer,
                .tls = request->tls,
        };

        if (t->own) {
                t->principal = (struct principal){.kind = PRINCIPAL_OPERATOR, .scopes = SCOPE_OWN, .id = "operator", .intent = "*"};
                return true;
        }
        /* Lifecycle resources need a credential in both modes [02 section 4.2]; a CALL may come without
         * one in mode open, since no shipped client sends any [03 section 7.3]. */
        if (t->lifecycle && (!request->any_caller || c->node->config->auth_mode == AUTH_REQUIRED)) {
                if (!principal_demand(c, &shown, t->env.intent, &t->principal, refusal))
                        return false;
                return lifecycle_allowed(&t->principal, LIFECYCLE_SUBMIT, refusal);
        }
        if (c->node->config->auth_mode == AUTH_REQUIRED)
                return principal_demand(c, &shown, t->env.intent, &t->principal, refusal);
        principal_resolve(c, &shown, t->env.intent, &t->principal);
        return true;
}
