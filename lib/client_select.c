/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <iicp/intents.h>
#include <math.h>

/* In which order candidates are tried. [06 section 8] Scores are the directory's. */

const char *iicp_strategy_name(enum iicp_strategy s) {
        static const char *const names[] = {
                [IICP_STRATEGY_DETERMINISTIC] = "deterministic",
                [IICP_STRATEGY_EPSILON] = "epsilon",
                [IICP_STRATEGY_SOFTMAX_TOP_K] = "softmax_top_k",
                [IICP_STRATEGY_WEIGHTED_V1] = "weighted_v1",
        };
        return names[s];
}

static bool offers(const struct iicp_record *r, const char *model) {
        for (size_t i = 0; i < r->pub.n_models; i++)
                if (iicp_model_match(iicp_str(r->pub.models[i]), iicp_str(model)))
                        return true;
        return false;
}

static void move_front(size_t *idx, size_t at) {
        size_t chosen = idx[at];

        memmove(idx + 1, idx, at * sizeof(*idx));
        idx[0] = chosen;
}

void iicp_select_model_first(const struct iicp_nodes *list, const char *model, size_t *idx,
                             size_t n) {
        size_t front = 0;

        if (!model)
                return;
        for (size_t i = 0; i < n; i++)
                if (offers(&list->v[idx[i]], model)) {
                        move_front(idx + front, i - front);
                        front++;
                }
}

static double uniform(double r) {
        return r > 0.999999999 ? 0.999999999 : r > 0 ? r : 0;
}

static size_t draw_softmax(const struct iicp_selection *s, const struct iicp_nodes *list,
                           const size_t *idx, size_t k) {
        double max = list->v[idx[0]].pub.score, sum = 0, cumulative = 0,
               r = uniform(s->draw(s->arg));

        for (size_t i = 1; i < k; i++)
                max = MAX(max, list->v[idx[i]].pub.score);
        for (size_t i = 0; i < k; i++)
                sum += exp((list->v[idx[i]].pub.score - max) / s->tau);
        for (size_t i = 0; i < k; i++) {
                cumulative += exp((list->v[idx[i]].pub.score - max) / s->tau);
                if (cumulative > r * sum)
                        return i;
        }
        return k - 1;
}

static double weight(const struct iicp_node *n) {
        double load = n->load > 1 ? 1 : n->load > 0 ? n->load : 0;

        return MAX(n->score, 0.01) / (1 + load);
}

static size_t draw_weighted(const struct iicp_selection *s, const struct iicp_nodes *list,
                            const size_t *idx, size_t k) {
        double sum = 0, rest;

        for (size_t i = 0; i < k; i++)
                sum += weight(&list->v[idx[i]].pub);
        rest = uniform(s->draw(s->arg)) * sum;
        for (size_t i = 0; i < k; i++) {
                rest -= weight(&list->v[idx[i]].pub);
                if (rest <= 0)
                        return i;
        }
        return k - 1;
}

size_t iicp_select(const struct iicp_selection *s, const struct iicp_nodes *list, size_t *idx,
                   size_t n) {
        size_t pick = 0, k = MIN((size_t) s->top_k, n);

        if (n > 1)
                switch (s->strategy) {
                case IICP_STRATEGY_DETERMINISTIC:
                        break;
                case IICP_STRATEGY_EPSILON:
                        if (s->draw(s->arg) < s->epsilon)
                                pick = (size_t) (uniform(s->draw(s->arg)) * (double) n);
                        break;
                case IICP_STRATEGY_SOFTMAX_TOP_K:
                        pick = draw_softmax(s, list, idx, k);
                        break;
                case IICP_STRATEGY_WEIGHTED_V1:
                        pick = draw_weighted(s, list, idx, k);
                        break;
                }
        move_front(idx, pick);
        return MIN(n, (size_t) s->max_retries);
}
