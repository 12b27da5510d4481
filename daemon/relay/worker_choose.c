/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_internal.h"

#include "mesh/mesh.h"
#include "mesh/peers.h"
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

/* ---- of gossip, where the directory gives none ---- */

static void take_peer(struct relay_worker *w, const struct peer *p) {
        struct iicp_elector e = {state_identity(w->node->state)->node_id, IICP_RELAY_FROM_GOSSIP, w->node->config->allow_private};
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
        struct iicp_relay *r = &w->candidates[w->n_candidates];
        struct iicp_json object;

        iicp_buf_puts(&text, "{\"relay_capable\":true,\"node_id\":");
        iicp_buf_json_str(&text, iicp_str(p->node_id));
        iicp_buf_puts(&text, ",\"endpoint\":");
        iicp_buf_json_str(&text, iicp_str(p->endpoint));
        iicp_buf_printf(&text, ",\"relay_accept_port\":%u,\"relay_load\":%.6f}", p->relay_port, p->relay_load);
        if (!text.error && iicp_json_scan(iicp_buf_str(&text), NULL, NULL, &object) == 0 &&
            iicp_relay_read(&e, &object, r) == 0 && r->verdict != IICP_RELAY_SELF && r->verdict != IICP_RELAY_NO_ID)
                w->n_candidates++;
}

/* The directory must know the id under the same host, and its rating is the one that counts. */
static void confirm(struct iicp_relay *r, const struct fetch_answer *a) {
        struct iicp_json doc, node, v;
        struct iicp_url url;
        char endpoint[256];

        if (a->error != FETCH_OK || (a->status != 200 && a->status != 404))
                return; /* it cannot be asked: unrated */
        r->verdict = IICP_RELAY_UNCONFIRMED;
        if (a->status != 200 || iicp_json_scan(a->body, NULL, NULL, &doc) < 0)
                return;
        node = iicp_json_get(&doc, "node");
        if (node.type != IICP_JSON_OBJECT)
                node = doc;
        v = iicp_json_get(&node, "endpoint");
        if (iicp_json_copy(&v, endpoint, sizeof endpoint) < 0 || iicp_url_parse(iicp_str(endpoint), &url) < 0 ||
            strcmp(url.host, r->url.host) != 0)
                return;
        v = iicp_json_get(&node, "reputation_score");
        if (iicp_json_double(&v, &r->reputation) < 0)
                r->reputation = -1;
        v = iicp_json_get(&node, "probation");
        r->probation = v.type == IICP_JSON_TRUE;
        r->verdict = r->reputation >= IICP_RELAY_REPUTATION_MIN ? IICP_RELAY_ELIGIBLE : IICP_RELAY_REPUTATION;
}

static void confirm_next(struct relay_worker *w);

static void on_record(void *arg, const struct fetch_answer *a) {
        struct relay_worker *w = arg;

        w->asking = NULL;
        confirm(&w->candidates[w->confirming++], a);
        confirm_next(w);
}

static void confirm_next(struct relay_worker *w) {
        for (; w->confirming < w->n_candidates; w->confirming++) {
                struct iicp_relay *r = &w->candidates[w->confirming];

                if (r->verdict != IICP_RELAY_ELIGIBLE)
                        continue;
                w->asking = directory_node(w->node->directory, iicp_str(r->node_id), on_record, w);
                if (w->asking)
                        return;
        }
        iicp_relay_sort(w->candidates, w->n_candidates);
        worker_chosen(w);
}

static void end_of_directory(struct relay_worker *w) {
        const struct peers *peers = w->node->mesh ? mesh_peers(w->node->mesh) : NULL;
        const struct peer *p;
        size_t at = 0, before = w->n_candidates;

        if (!w->candidates || !peers || worker_best(w)) {
                worker_chosen(w);
                return;
        }
        while (w->n_candidates - before < WORKER_GOSSIP_MAX && w->n_candidates < IICP_RELAY_CANDIDATES_MAX &&
               (p = peers_next_relay(peers, &at, mesh_now(w->node->mesh))))
                take_peer(w, p);
        w->confirming = before;
        confirm_next(w);
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
        end_of_directory(w);
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
                end_of_directory(w);
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
