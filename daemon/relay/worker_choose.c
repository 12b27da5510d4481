/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_internal.h"

#include "policy.h"
#include "util.h"

#include <iicp/policy.h>
#include <stdio.h>

/* Who may relay for us: asked of the directory under the intents that we serve, because a relay is found
 * under those that it serves itself. [04 section 11] */

const char *worker_intent(struct node *n, unsigned at, char out[128]) {
        struct iicp_capabilities caps = {0};
        size_t n_models;
        const char *const *models = backends_models_to_register(n->backends, &n_models);
        const char *found = NULL;

        if (policy_capabilities(n->policy, models, n_models, &caps) == 0 && at < caps.n &&
            snprintf(out, 128, "%s", caps.v[at].intent) < 128)
                found = out;
        iicp_capabilities_free(&caps);
        return found;
}

/* ---- relays that are left out for a while ---- */

const struct worker_excluded *worker_exclusion(const struct relay_worker *w, const char *node_id) {
        uint64_t now = clock_mono_ms(w->node->clock);

        for (size_t i = 0; i < ARRAY_SIZE(w->excluded); i++)
                if (w->excluded[i].until_ms > now && strcmp(w->excluded[i].node_id, node_id) == 0)
                        return &w->excluded[i];
        return NULL;
}

void worker_exclude(struct relay_worker *w, const char *node_id, uint64_t ms, enum worker_outcome why) {
        struct worker_excluded *e = &w->excluded[0];

        for (size_t i = 0; i < ARRAY_SIZE(w->excluded); i++) {
                if (strcmp(w->excluded[i].node_id, node_id) == 0) {
                        e = &w->excluded[i];
                        break;
                }
                if (w->excluded[i].until_ms < e->until_ms)
                        e = &w->excluded[i];
        }
        snprintf(e->node_id, sizeof e->node_id, "%s", node_id);
        e->until_ms = clock_mono_ms(w->node->clock) + ms;
        e->why = why;
}

const struct iicp_relay *worker_best(const struct relay_worker *w) {
        for (size_t i = 0; i < w->n_candidates; i++) {
                const struct iicp_relay *r = &w->candidates[i];

                if (r->verdict == IICP_RELAY_ELIGIBLE && !worker_exclusion(w, r->node_id))
                        return r;
        }
        return NULL;
}

/* ---- asking ---- */

/* Those that only are no relays are not worth showing. */
static void read_candidates(struct relay_worker *w, const struct iicp_json *answer) {
        struct iicp_elector e = {state_identity(w->node->state)->node_id, IICP_RELAY_FROM_DIRECTORY,
                                 w->node->config->allow_private};
        struct iicp_json nodes = iicp_json_get(answer, "nodes"), object;
        struct iicp_json_iter it;

        w->n_candidates = 0;
        if (nodes.type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, &nodes);
        while (w->n_candidates < IICP_RELAY_CANDIDATES_MAX && iicp_json_next(&it, NULL, &object)) {
                struct iicp_relay *r = &w->candidates[w->n_candidates];

                if (iicp_relay_read(&e, &object, r) == 0 && r->verdict != IICP_RELAY_NOT_CAPABLE &&
                    r->verdict != IICP_RELAY_NO_ID && r->verdict != IICP_RELAY_SELF)
                        w->n_candidates++;
        }
        iicp_relay_sort(w->candidates, w->n_candidates);
}

static bool ask(struct relay_worker *w);

static void on_relays(void *arg, const struct fetch_answer *a) {
        struct relay_worker *w = arg;
        struct iicp_json answer;

        w->asking = NULL;
        if (a->error == FETCH_OK && a->status == 200 && iicp_json_scan(a->body, NULL, NULL, &answer) == 0) {
                w->asked_in_vain = false;
                read_candidates(w, &answer);
                w->at_intent++;
                if (!worker_best(w) && ask(w))
                        return;
        } else
                w->asked_in_vain = true; /* whom we knew before may still be there */
        worker_chosen(w);
}

static bool ask(struct relay_worker *w) {
        char intent[128];

        if (w->at_intent >= WORKER_INTENTS_MAX || !worker_intent(w->node, w->at_intent, intent))
                return false;
        w->asking = directory_relays(w->node->directory, intent, on_relays, w);
        return w->asking != NULL;
}

static void nobody_asked(void *arg) {
        struct relay_worker *w = arg;

        if (w->state == WORKER_CHOOSING && !w->asking)
                worker_chosen(w);
}

void worker_choose(struct relay_worker *w) {
        worker_choose_cancel(w);
        w->state = WORKER_CHOOSING;
        w->at_intent = 0;
        w->asked_in_vain = false;
        if (!w->candidates)
                w->candidates = calloc(IICP_RELAY_CANDIDATES_MAX, sizeof *w->candidates);
        if (w->candidates && ask(w))
                return;
        w->asked_in_vain = true;
        w->timer.fn = nobody_asked;
        timer_set_ms(&w->timer, 0);
}

void worker_choose_cancel(struct relay_worker *w) {
        w->asking = directory_ask_end(w->asking);
}
