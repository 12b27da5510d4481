/* SPDX-License-Identifier: Apache-2.0 */
#include "cip.h"

#include "corridor.h"
#include "util.h"

#include <iicp/receipt.h>
#include <stdlib.h>

static bool refuse(struct iicp_refusal *refusal, enum iicp_refusal_id id) {
        *refusal = (struct iicp_refusal){.id = id};
        return false;
}

/* Pure inference: the payload is all that goes in. Vendor intents may mean anything. */
static bool is_inference(const struct task *t) {
        return !t->intent->extended && iicp_str_is(t->env.intent, t->intent->urn);
}

static bool within_checks(struct task *t, struct iicp_refusal *refusal) {
        char key[16];
        struct iicp_str source = rate_source((const struct sockaddr *) &t->peer, key);

        if (rate_take(t->corridor->cip_checks, source, CIP_CHECKS_MAX, task_now_ms(t)))
                return true;
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_RATE_LIMITED,
                                         .retry_after_ms = RATE_WINDOW_MS};
        return false;
}

/* ---- the coordinator's reputation ---- */

/* Who asks: the token says it, or the caller does. */
static struct iicp_str coordinator_of(const struct task *t, char out[DIRECTORY_NODE_ID_MAX]) {
        struct iicp_json origin = iicp_json_get(&t->env.m_trace, "origin_node");

        if (t->principal.kind == PRINCIPAL_CONSUMER)
                return iicp_str(t->principal.id);
        if (origin.type == IICP_JSON_STRING &&
            iicp_json_copy(&origin, out, DIRECTORY_NODE_ID_MAX) == 0 && *out)
                return iicp_str(out);
        return t->env.source_node_id;
}

static struct cip_known *known_of(struct corridor *c, struct iicp_str id) {
        for (size_t i = 0; i < CIP_KNOWN_MAX; i++)
                if (iicp_str_is(id, c->cip_known[i].id))
                        return &c->cip_known[i];
        return NULL;
}

static void remember(struct task *t, double score) {
        struct corridor *c = t->corridor;
        char text[DIRECTORY_NODE_ID_MAX];
        struct iicp_str id = coordinator_of(t, text);
        struct cip_known *k = known_of(c, id);

        if (!k)
                k = &c->cip_known[c->n_cip_known++ % CIP_KNOWN_MAX];
        if (id.n >= sizeof(k->id))
                return;
        memcpy(k->id, id.p, id.n);
        k->id[id.n] = '\0';
        k->score = score;
        k->until_ms = task_now_ms(t) + CIP_KNOWN_MS;
}

static double wanted_reputation(const struct task *t) {
        return strtod(t->corridor->node->config->cip_min_reputation, NULL);
}

static void stop_asking(struct task *t) {
        LIST_REMOVE(t, link);
        t->corridor->n_asking--;
        t->question = NULL;
        t->step = TASK_ADMITTING;
}

static void on_reputation(void *arg, double score) {
        struct iicp_refusal refusal = {.id = IICP_REFUSE_COORDINATOR_REPUTATION};
        struct task *t = arg;

        stop_asking(t);
        if (score >= 0)
                remember(t, score);
        if (score < wanted_reputation(t))
                task_refuse(t, &refusal);
        else
                task_resume(t);
}

static enum cip_verdict reputation(struct task *t, struct iicp_refusal *refusal) {
        struct corridor *c = t->corridor;
        char text[DIRECTORY_NODE_ID_MAX];
        struct iicp_str id = coordinator_of(t, text);
        const struct cip_known *k = id.n > 0 ? known_of(c, id) : NULL;

        if (wanted_reputation(t) <= 0)
                return CIP_PASSED;
        if (k && task_now_ms(t) < k->until_ms && k->score >= wanted_reputation(t))
                return CIP_PASSED;
        if (!(k && task_now_ms(t) < k->until_ms) && id.n > 0 && c->n_asking < CIP_ASKING_MAX)
                t->question = directory_ask_reputation(c->node->directory, id, on_reputation, t);
        if (!t->question) {
                refuse(refusal, IICP_REFUSE_COORDINATOR_REPUTATION);
                return CIP_REFUSED;
        }
        t->step = TASK_ASKING;
        LIST_INSERT_HEAD(&c->asking, t, link);
        c->n_asking++;
        return CIP_ASKING;
}

void cip_forget(struct task *t) {
        struct reputation_question *q = t->question;

        stop_asking(t);
        directory_ask_cancel(q);
}

/* ---- the gates ---- */

enum cip_verdict cip_gates(struct task *t, struct iicp_refusal *refusal) {
        enum cip_verdict verdict;

        if (!policy_block(t->corridor->node->policy) || !is_inference(t)) {
                refuse(refusal, IICP_REFUSE_FORBIDDEN);
                return CIP_REFUSED;
        }
        verdict = reputation(t, refusal);
        if (verdict == CIP_PASSED && !cip_enter(t, refusal))
                return CIP_REFUSED;
        return verdict;
}

bool cip_enter(struct task *t, struct iicp_refusal *refusal) {
        struct corridor *c = t->corridor;
        const struct config *conf = c->node->config;

        if (!within_checks(t, refusal))
                return false;
        if (c->cip_active >= conf->cip_max_concurrent) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_CIP_CAPACITY,
                                                 .retry_after_ms = TASK_RETRY_CAPACITY_MS};
                return false;
        }
        c->cip_active++;
        t->has_cip_slot = true;
        t->deadline_ms = MIN(t->deadline_ms, t->received_ms + conf->cip_max_timeout_ms);
        return true;
}

void cip_release(struct task *t) {
        if (t->has_cip_slot)
                t->corridor->cip_active--;
        t->has_cip_slot = false;
}

void cip_trace(const struct task *t, struct iicp_buf *out) {
        if (!t->cip.sub_task)
                return;
        iicp_buf_puts(out, ",");
        iicp_cip_trace(&t->cip, out);
}

static void put(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        if (value && *value)
                iicp_buf_json_str(out, iicp_str(value));
        else
                iicp_buf_puts(out, "null");
}

static void put_time(struct iicp_buf *out, const char *name, int64_t at) {
        char when[21];

        clock_rfc3339(at, when);
        put(out, name, when);
}

static int write_receipt(const struct task *t, const struct iicp_receipt *r, struct iicp_buf *out) {
        const struct identity *id = state_identity(t->corridor->node->state);
        int64_t now_s = clock_wall_s(t->corridor->node->clock);
        char signature[65];
        int status = iicp_receipt_sign(r, iicp_str(id->node_hmac_key), signature);

        if (status < 0)
                return status;
        iicp_buf_puts(out, "{\"task_id\":");
        iicp_buf_json_str(out, iicp_str(r->task_id));
        put(out, "worker_node_id", id->node_id);
        iicp_buf_printf(out, ",\"tokens_used\":%llu", (unsigned long long) r->tokens);
        put(out, "cip_parent_task_id", r->parent);
        put(out, "cip_session_key", r->session);
        if (r->querying_node_id && *r->querying_node_id)
                put(out, "querying_node_id", r->querying_node_id);
        put(out, "nonce", r->nonce);
        put_time(out, "issued_at", now_s);
        put_time(out, "expires_at", now_s + CIP_RECEIPT_S);
        put(out, "response_hash", r->response_hash);
        put(out, "signature", signature);
        iicp_buf_puts(out, "}");
        return out->error;
}

static int make_receipt(const struct task *t, struct iicp_str result, int64_t tokens,
                        struct iicp_buf *out) {
        char session[IICP_CIP_SESSION_MAX * 4 + 1] = "", task_id[IICP_TASK_ID_ECHO_MAX + 1] = "",
                                                querying[37 * 4] = "";
        struct iicp_receipt r = {.task_id = task_id,
                                 .parent = t->cip.parent,
                                 .session = session,
                                 .querying_node_id = querying,
                                 .tokens = tokens > 0 ? (uint64_t) tokens : 0};
        struct iicp_json v;
        int status;

        if (t->env.task_id.n >= sizeof(task_id) || t->env.source_node_id.n >= sizeof(querying))
                return -EINVAL;
        memcpy(task_id, t->env.task_id.p, t->env.task_id.n);
        if (t->env.source_node_id.n > 0)
                memcpy(querying, t->env.source_node_id.p, t->env.source_node_id.n);
        if (t->cip.session.type == IICP_JSON_STRING &&
            iicp_json_copy(&t->cip.session, session, sizeof(session)) < 0)
                return -EINVAL;
        status = iicp_json_scan(result, NULL, NULL, &v);
        if (status == 0)
                status = iicp_response_hash(&v, r.response_hash);
        if (status == 0)
                status = iicp_receipt_nonce(r.nonce);
        return status < 0 ? status : write_receipt(t, &r, out);
}

void cip_receipt(const struct task *t, struct iicp_str result, int64_t tokens,
                 struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf receipt = {0};

        if (!t->cip.sub_task)
                return;
        iicp_buf_puts(out, ",\"cip_receipt\":");
        if (state_identity(t->corridor->node->state)->node_hmac_key[0] &&
            make_receipt(t, result, tokens, &receipt) == 0)
                iicp_buf_add_str(out, iicp_buf_str(&receipt));
        else
                iicp_buf_puts(out, "null");
}
