/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include "policy-internal.h"
#include "util.h"

#include <errno.h>
#include <iicp/urn.h>
#include <stdio.h>
#include <strings.h>

static bool is_tool(struct iicp_str urn) {
        struct iicp_str domain = iicp_urn_domain(urn);

        return iicp_str_is(domain, "tool") || iicp_str_is(domain, "mcp");
}

/* Nearly all tasks are of one intent or two, and the rules are some 80 searches. */
static enum iicp_risk judge(struct policy *p, struct iicp_str urn, const char **ret_rule) {
        if (p->judged.n == 0 || !iicp_str_eq(urn, (struct iicp_str){p->judged.urn, p->judged.n})) {
                p->judged.risk = iicp_risk_of(urn, &p->judged.rule);
                p->judged.n = urn.n <= sizeof(p->judged.urn) ? urn.n : 0;
                memcpy(p->judged.urn, urn.p, p->judged.n);
        }
        *ret_rule = p->judged.rule;
        return p->judged.risk;
}

bool policy_allows(struct policy *p, struct iicp_str urn, struct iicp_refusal *refusal) {
        const char *rule = NULL;
        enum iicp_risk risk;

        if (is_tool(urn)) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_TOOL_EXECUTION};
                return false;
        }
        risk = judge(p, urn, &rule);
        if (risk != IICP_RISK_PROHIBITED && (risk != IICP_RISK_HIGH || p->allow_high_risk))
                return true;
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_POLICY,
                                         .category = iicp_risk_name(risk),
                                         .rule_id = rule};
        return false;
}

/* ---- what is offered ---- */

static const struct custom *custom_of(const struct policy *p, struct iicp_str urn) {
        for (size_t i = 0; i < p->n_custom; i++)
                if (iicp_str_is(urn, p->custom[i].urn))
                        return &p->custom[i];
        return NULL;
}

const struct iicp_intent *policy_row(const struct policy *p, struct iicp_str urn) {
        const struct custom *c = custom_of(p, urn);
        const struct iicp_intent *row = c ? c->intent : iicp_intent_find(urn);

        return row && row->extended && !p->extended ? NULL : row;
}

static const struct listed *listed_of(const struct policy *p, struct iicp_str urn) {
        for (size_t i = 0; i < p->n_listed; i++)
                if (iicp_str_is(urn, p->listed[i].urn))
                        return &p->listed[i];
        return NULL;
}

/* An embedding model is known by its name, and so is one that ranks; all others serve the intent
 * that is configured. [01 section 2.3] */
static bool model_does(const struct policy *p, const char *model, const struct iicp_intent *row) {
        if (strcasestr(model, "embed"))
                return row->work == IICP_INTENT_EMBEDDING;
        if (row->kind == IICP_INTENT_RERANK)
                return strcasestr(model, "rerank") != NULL;
        return row->work == p->row->work;
}

static const char *first_that_does(const struct policy *p, const char *const *models, size_t n,
                                   const struct iicp_intent *row) {
        for (size_t i = 0; i < n; i++)
                if (model_does(p, models[i], row))
                        return models[i];
        return NULL;
}

/* Besides the intent that is configured: what the models can, of what is switched on. */
static bool can(const struct policy *p, const char *const *models, size_t n, struct iicp_str urn,
                const struct iicp_intent *row) {
        if (custom_of(p, urn))
                return n > 0; /* the operator says so */
        return (row->extended || row->kind == IICP_INTENT_EMBEDDING) &&
               first_that_does(p, models, n, row);
}

const struct iicp_intent *policy_serves(const struct policy *p, const char *const *models, size_t n,
                                        struct iicp_str urn) {
        const struct iicp_intent *row;

        if (policy_is_explicit(p)) {
                const struct listed *l = listed_of(p, urn);

                return l ? l->intent : NULL;
        }
        if (iicp_str_is(urn, p->urn))
                return p->row;
        row = policy_row(p, urn);
        return row && can(p, models, n, urn, row) ? row : NULL;
}

const char *policy_model_for(const struct policy *p, const char *const *models, size_t n,
                             struct iicp_str urn) {
        const struct iicp_intent *row = policy_row(p, urn);
        const struct listed *l = listed_of(p, urn);
        const char *model;

        if (l && l->n_models > 0)
                return l->models[0];
        model = row ? first_that_does(p, models, n, row) : NULL;
        return model ? model : n > 0 ? models[0] : NULL;
}

bool policy_offers_model(const struct policy *p, struct iicp_str model) {
        bool any = false;

        for (size_t i = 0; i < p->n_listed; i++)
                for (size_t k = 0; k < p->listed[i].n_models; k++) {
                        any = true;
                        if (iicp_model_match(iicp_str(p->listed[i].models[k]), model))
                                return true;
                }
        return !any;
}

int64_t policy_max_tokens(const struct policy *p, struct iicp_str urn) {
        const struct listed *l = listed_of(p, urn);

        return l && l->max_tokens > 0 ? l->max_tokens : p->max_tokens;
}

bool policy_is_explicit(const struct policy *p) {
        return p->n_listed > 0;
}

const char *policy_block(const struct policy *p) {
        return p->cip_worker ? "{\"allow_remote_inference\":true,\"allow_tool_execution\":false,"
                               "\"allow_file_access\":false}"
                             : NULL;
}

/* ---- what a registration says ---- */

static int listed_capabilities(const struct policy *p, struct iicp_capabilities *ret) {
        struct iicp_capabilities c = {.v = calloc(p->n_listed, sizeof(*c.v))};

        if (!c.v)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_listed; i++) {
                const struct listed *l = &p->listed[i];

                c.v[c.n++] = (struct iicp_capability){.intent = l->urn, .json = l->json};
        }
        *ret = c;
        return 0;
}

static bool has(const struct iicp_capabilities *c, const char *urn) {
        for (size_t i = 0; i < c->n; i++)
                if (strcmp(c->v[i].intent, urn) == 0)
                        return true;
        return false;
}

/* Further intents of models that are listed already: without their names, which must stand in one
 * object only. [01 section 2.3, DECISION 6] */
static int add_more(const struct policy *p, const char *const *models, size_t n,
                    struct iicp_capabilities *c) {
        const struct iicp_intent *row;
        struct iicp_capability *v;
        size_t most = c->n + p->n_custom;

        for (size_t i = 0; iicp_intent_at(i); i++)
                most++;
        v = reallocarray(c->v, most, sizeof(*v));
        if (!v)
                return -ENOMEM;
        c->v = v;
        for (size_t i = 0; i < p->n_custom; i++)
                if (!has(c, p->custom[i].urn) &&
                    can(p, models, n, iicp_str(p->custom[i].urn), p->custom[i].intent))
                        c->v[c->n++] = (struct iicp_capability){.intent = p->custom[i].urn};
        for (size_t i = 0; p->extended && (row = iicp_intent_at(i)); i++)
                if (row->extended && !has(c, row->urn) &&
                    can(p, models, n, iicp_str(row->urn), row))
                        c->v[c->n++] = (struct iicp_capability){.intent = row->urn};
        return 0;
}

int policy_capabilities(const struct policy *p, const char *const *models, size_t n,
                        struct iicp_capabilities *ret) {
        struct iicp_capabilities c = {0};
        int r;

        if (policy_is_explicit(p))
                return listed_capabilities(p, ret);
        r = iicp_capabilities_derive(models, n, p->urn, &c);
        if (r == 0 && n > 0)
                r = add_more(p, models, n, &c);
        if (r < 0) {
                iicp_capabilities_free(&c);
                return r;
        }
        *ret = c;
        return 0;
}

void policy_each_intent(const struct policy *p, void (*fn)(void *arg, const char *urn), void *arg) {
        const struct iicp_intent *row;

        for (size_t i = 0; i < p->n_listed; i++)
                fn(arg, p->listed[i].urn);
        if (policy_is_explicit(p))
                return;
        fn(arg, p->urn);
        if (strcmp(p->urn, IICP_URN_EMBEDDING) != 0)
                fn(arg, IICP_URN_EMBEDDING);
        for (size_t i = 0; i < p->n_custom; i++)
                fn(arg, p->custom[i].urn);
        for (size_t i = 0; p->extended && (row = iicp_intent_at(i)); i++)
                if (row->extended)
                        fn(arg, row->urn);
}
