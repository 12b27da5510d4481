/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

/* The port where workers of a relay operator dial in: behind a router it is opened with the same
 * number outside, for workers know no other. Where that fails, the node is no relay. [04 section 4] */

static bool wanted(const struct routes *r) {
        const struct config *c = r->node->config;
        int tier = r->ladder.route.tier;

        return c->relay_operator && !r->relay_asked && (tier == 1 || tier == 2);
}

static void opened(struct routes *r, struct router_call *c) {
        const struct gateway_result *result = &c->result;

        routes_note(r, r->ladder.route.tier, "relay port", result->granted ? STEP_WORKS : STEP_REFUSED, "%s",
                    result->n_evidence ? result->evidence[result->n_evidence - 1] : "nobody to ask");
        if (result->granted)
                keep_lease(r, &r->relay, &result->lease, &c->job.where);
        else if (c->lease.protocol != MAP_NONE) { /* what was held before is of no use any more */
                struct kept_lease before = {.lease = c->lease, .where = c->job.where};

                router_revoke(r, &before);
        }
        r->relay_open = result->granted;
        if (!r->relay_open)
                log_warn("relay_port_closed", "port %u does not get through the router: this node does not offer itself as a relay; "
                         "forward it by hand (TCP, the same number on both sides) and set node.public_endpoint",
                         r->node->config->relay_port);
        r->relay_then(r);
}

bool relay_ask(struct routes *r, void (*then)(struct routes *r)) {
        struct router_call *c;
        bool pinhole = r->ladder.route.tier == 2;

        if (!wanted(r))
                return false;
        r->relay_asked = true;
        r->relay_open = false;
        c = router_call_new(r, pinhole ? ROUTER_PINHOLE : ROUTER_MAP, opened);
        if (!c)
                return false;
        c->job.where = pinhole ? r->local.v6 : r->local.v4;
        if (pinhole) /* where the pinhole of the task port is */
                snprintf(c->job.where.address, sizeof c->job.where.address, "%s", r->new_pinhole.lease.address);
        c->job.internal = c->job.external = (uint16_t) r->node->config->relay_port;
        c->job.exact = true;
        run_fill_job(r, &c->job, &r->relay);
        if (r->relay.held)
                c->lease = r->relay.lease;
        keep_drop(r, &r->relay); /* the same call renews it */
        r->relay_then = then;
        return router_ask(r, c, ROUTES_ROUTER_MS);
}

bool routes_relay_open(const struct routes *r) {
        return !r || (r->live.tier != 1 && r->live.tier != 2) || r->relay_open;
}
