/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "guidance.h"
#include "relay/worker.h"

#include <stdio.h>
#include <string.h>

/* The relay as a rung of the ladder: the worker finds and holds it, here it becomes a route, and
 * gives way to a better one. [04 sections 11, 13] */

#define BETTER_AGAIN_MS 60000     /* a better route must be proved twice, so far apart */
#define DIRECT_STICKS_MS 300000   /* no way back to a relay sooner after a good proof */

/* An elected relay that works; the operator's is not questioned. */
bool rung_holds(const struct routes *r) {
        return r->live.kind == ROUTE_RELAY && r->node->worker && worker_bound(r->node->worker) && !worker_fixed(r->node);
}

static void say_step(struct routes *r, bool ok) {
        struct relay_worker *w = r->node->worker;
        const char *id = worker_relay_id(w);

        if (ok)
                routes_note(r, 3, "relay", STEP_WORKS, "%s is bound, our health came back through it", *id ? id : "the relay of relay.worker");
        else
                routes_note(r, 3, "relay", STEP_FAILED, "%s%s%s", *id && worker_state(w) == WORKER_BACKOFF ? id : "", *id && worker_state(w) == WORKER_BACKOFF ? ": " : "",
                            worker_why(w));
        if (!ok)
                routes_guide(r, "no_relay");
}

static void sought(void *arg, bool ok) {
        struct routes *r = arg;
        const struct iicp_relay_route *route = worker_route(r->node->worker);

        say_step(r, ok);
        ladder_bound(&r->ladder, ok && route, ok && route ? route->endpoint : NULL);
        run_step(r);
}

bool rung_ask(struct routes *r) {
        if (!r->node->worker)
                return false;
        if (r->direct_good_ms && routes_now(r) - r->direct_good_ms < DIRECT_STICKS_MS) {
                routes_note(r, 3, "relay", STEP_UNKNOWN, "a way without it was proved less than 5 minutes ago");
                return false;
        }
        worker_seek(r->node->worker, sought, r);
        return true;
}

/* ---- something better ---- */

static void close_trial(struct routes *r, struct kept_lease *k) {
        if (!k->held)
                return;
        keep_drop(r, k);
        router_revoke(r, k);
}

/* What the run opened goes: it was a look. */
void rung_keep(struct routes *r) {
        close_trial(r, &r->new_mapping);
        close_trial(r, &r->new_pinhole);
        routes_note(r, 3, "relay", STEP_WORKS, "%s stays in use", worker_relay_id(r->node->worker));
        timer_set_ms(&r->reprobe, ROUTES_REPROBE_MS);
        if (r->better[0] && !r->next_reason) {
                r->next_reason = "a better way is to be proved again";
                timer_set_ms(&r->again, BETTER_AGAIN_MS);
        } else if (r->next_reason)
                routes_look(r, r->next_reason, false);
}

bool rung_better(struct routes *r, const struct ladder_route *route) {
        bool again;

        if (route->tier > 2 || !route->verified) {
                r->better[0] = '\0';
                return false;
        }
        again = strcmp(r->better, route->endpoint) == 0;
        if (!rung_holds(r) || (again && routes_now(r) - r->better_ms >= BETTER_AGAIN_MS))
                return true;
        if (!again) {
                snprintf(r->better, sizeof r->better, "%s", route->endpoint);
                r->better_ms = routes_now(r);
        }
        return false;
}

/* ---- from the worker ---- */

void routes_relay_up(struct routes *r) {
        const struct iicp_relay_route *way = worker_route(r->node->worker);
        struct ladder_route route = {.tier = 3, .kind = ROUTE_RELAY, .method = "turn_relay", .verified = true};
        struct exposure_facts e = {.route = EXPOSURE_RELAY};
        struct node *n = r->node;

        if (r->stopping || !way || (r->live.tier != 4 && r->live.kind != ROUTE_RELAY))
                return;
        if (r->live.kind == ROUTE_RELAY && strcmp(r->live.endpoint, way->endpoint) == 0) {
                snprintf(n->endpoint, sizeof n->endpoint, "%s", r->live.endpoint);
                n->endpoint_why = NULL;
                timer_set_ms(&r->reprobe, ROUTES_REPROBE_MS);
                directory_poke(n->directory);
                return;
        }
        if (r->running)
                return; /* it comes down to the relay and finds it bound */
        snprintf(route.endpoint, sizeof route.endpoint, "%s", way->endpoint);
        route.exposure = exposure_mode(&e);
        r->ended_ms = routes_now(r);
        routes_adopt(r, &route);
}

static void without_route(struct routes *r, const char *why) {
        if (r->live.kind != ROUTE_RELAY)
                return;
        r->node->endpoint[0] = '\0';
        r->node->endpoint_why = why;
        directory_poke(r->node->directory);
}

void routes_relay_down(struct routes *r) {
        if (r->stopping)
                return;
        without_route(r, "the session to the relay is lost: trying again");
        if (r->live.kind == ROUTE_RELAY)
                routes_look(r, "the relay is lost", false);
}

void routes_relay_gone(struct routes *r) {
        if (r->stopping)
                return;
        without_route(r, "no relay is left");
        routes_look(r, "no relay is left", true);
}
