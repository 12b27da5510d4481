/* SPDX-License-Identifier: Apache-2.0 */
#include "health.h"

#include "node.h"
#include "notify.h"
#include "reach/routes.h"

static void reason(struct health *h, bool applies, const char *word) {
        if (applies)
                h->reasons[h->n_reasons++] = word;
}

static void one(struct health *h, enum health_liveness liveness, const char *word) {
        h->liveness = liveness;
        h->readiness = HEALTH_NOT_READY;
        reason(h, true, word);
}

void health_classify(const struct health_facts *f, struct health *ret) {
        struct health h = {.liveness = HEALTH_LIVE, .readiness = HEALTH_READY};
        unsigned blocking;

        if (f->lifecycle == NODE_STARTING)
                one(&h, HEALTH_STARTING, "STARTING");
        else if (f->runtime_age_ms > HEALTH_RUNTIME_STALE_MS)
                one(&h, HEALTH_NOT_LIVE, "RUNTIME_PROGRESS_STALE");
        else if (f->supervisor_required && f->supervisor_age_ms > HEALTH_SUPERVISOR_STALE_MS)
                one(&h, HEALTH_NOT_LIVE, "SUPERVISOR_PROGRESS_STALE");
        else if (f->lifecycle == NODE_STOPPING)
                one(&h, HEALTH_LIVE, "STOPPING");
        else {
                reason(&h, f->provider_unavailable, "PROVIDER_UNAVAILABLE");
                reason(&h, f->no_capacity, "NO_CAPACITY");
                reason(&h, f->routing_unavailable, "ROUTING_UNAVAILABLE");
                blocking = h.n_reasons;
                reason(&h, f->tunnel_recovering, "TUNNEL_RECOVERING");
                reason(&h, f->directory_unavailable, "DIRECTORY_UNAVAILABLE");
                reason(&h, f->dns_unavailable, "DNS_UNAVAILABLE");
                reason(&h, f->internet_unavailable, "INTERNET_UNAVAILABLE");
                if (blocking > 0)
                        h.readiness = HEALTH_NOT_READY;
                else if (h.n_reasons > 0)
                        h.readiness = HEALTH_DEGRADED;
        }
        *ret = h;
}

const char *health_liveness_name(enum health_liveness l) {
        return l == HEALTH_LIVE ? "live" : l == HEALTH_NOT_LIVE ? "not_live" : "starting";
}

const char *health_readiness_name(enum health_readiness r) {
        return r == HEALTH_READY ? "ready" : r == HEALTH_DEGRADED ? "degraded" : "not_ready";
}

void health_facts_of(struct node *n, struct health_facts *ret) {
        enum directory_state state = directory_state(n->directory);
        bool registers = n->config->directory_register && state != DIRECTORY_LEFT;
        struct backend_stability stability = {0};

        backends_stability(n->backends, &stability);
        *ret = (struct health_facts){
                .lifecycle = (int) n->phase,
                .runtime_age_ms = notify_loop_age_ms(n->notify),
                .supervisor_required = registers && state != DIRECTORY_OFF,
                .supervisor_age_ms = directory_progress_age_ms(n->directory),
                .registers = registers,
                .directory_registered = state == DIRECTORY_REGISTERED,
                .provider_degraded = stability.state != STATE_OK,
                .provider_unavailable = backends_unavailable(n->backends),
                .no_capacity = corridor_effective(n->corridor) == 0,
                .tunnel_recovering = registers && !routes_serves(n->routes),
                .routing_unavailable = registers && !node_endpoint(n, NULL),
                .directory_unavailable = state == DIRECTORY_UNAVAILABLE,
        };
}

void health_of(struct node *n, struct health *ret) {
        struct health_facts f;

        health_facts_of(n, &f);
        health_classify(&f, ret);
}
