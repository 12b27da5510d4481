/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_HEALTH_H
#define IICPD_HEALTH_H

/* Runtime health: pure classification of facts into liveness, readiness and reasons, in the order
 * of 02 section 13.1. */

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_RUNTIME_STALE_MS 30000     /* [02 section 13.1] */
#define HEALTH_SUPERVISOR_STALE_MS 120000

enum health_liveness { HEALTH_LIVE, HEALTH_NOT_LIVE, HEALTH_STARTING };
enum health_readiness { HEALTH_READY, HEALTH_DEGRADED, HEALTH_NOT_READY };

struct health_facts {
        int lifecycle;                  /* enum node_phase */
        uint64_t runtime_age_ms;        /* since the main loop last turned */
        bool supervisor_required;
        uint64_t supervisor_age_ms;
        bool registers;                 /* this node wants to be listed */
        bool directory_registered, provider_degraded; /* said in the snapshot, not judged */
        bool provider_unavailable, no_capacity, routing_unavailable, tunnel_recovering,
                directory_unavailable, dns_unavailable, internet_unavailable;
};
struct health {
        enum health_liveness liveness;
        enum health_readiness readiness;
        const char *reasons[8];         /* static, in order */
        unsigned n_reasons;
};
void health_classify(const struct health_facts *f, struct health *ret);

const char *health_liveness_name(enum health_liveness l);
const char *health_readiness_name(enum health_readiness r);

struct node;
/* Facts of the running node, and the same classified. */
void health_facts_of(struct node *n, struct health_facts *ret);
void health_of(struct node *n, struct health *ret);

#endif
