/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tunnel as a route: how long it serves, and what follows when it is dead. [04 section 10] */

#define EXIT_ROUTE 75              /* a dead tunnel, policy "exit" [01 section 6.4] */
#define RESTART_MS 30000u          /* that the service manager waits */

static bool is_tunnel(const struct ladder_route *l) {
        return l->kind == ROUTE_TUNNEL_STABLE || l->kind == ROUTE_TUNNEL_QUICK;
}

bool routes_serves(const struct routes *r) {
        return !r || !is_tunnel(&r->live) || tunnel_serves(r->tunnel);
}

bool routes_tunnel_limited(const struct routes *r) {
        return r && r->live.tier == 4 && tunnel_cooldown_ms(r->tunnel) > 0;
}

static enum tunnel_dead behaviour(const struct routes *r) {
        const struct config *c = r->node->config;
        bool supervised = c->recovery_restart && (c->recovery_supervised == SUPERVISED_YES ||
                                                  (c->recovery_supervised == SUPERVISED_AUTO && getenv("NOTIFY_SOCKET")));

        return tunnel_dead_behaviour((enum tunnel_dead) c->nat_tunnel_dead, supervised);
}

/* Built anew it has another name, which is registered now that it is proved. */
static void moved(struct routes *r) {
        struct node *n = r->node;

        if (r->live.kind != ROUTE_TUNNEL_QUICK)
                return;
        snprintf(r->live.endpoint, sizeof r->live.endpoint, "%s", tunnel_url(r->tunnel));
        snprintf(n->endpoint, sizeof n->endpoint, "%s", r->live.endpoint);
        r->changes++;
        r->probed_ms = routes_now(r);
        log_notice("route_changed", "the tunnel has another name: the directory is told");
        directory_poke(n->directory);
}

static void on_event(void *arg, enum tunnel_event e) {
        struct routes *r = arg;

        if (r->stopping)
                return;
        switch (e) {
        case TUNNEL_CHANGED:
                directory_poke(r->node->directory);
                break;
        case TUNNEL_MOVED:
                moved(r);
                break;
        case TUNNEL_LOST:
                if (is_tunnel(&r->live))
                        routes_look(r, "the tunnel is dead", true);
                break;
        case TUNNEL_RETRY:
                if (!r->running && (r->live.tier == 4 || is_tunnel(&r->live)) && behaviour(r) != TUNNEL_DEAD_LOG_ONLY)
                        routes_look(r, "the tunnel may be tried again", true);
                break;
        }
}

static void exit_due(void *arg) {
        struct routes *r = arg;

        if (r->stopping || r->running || r->live.tier != 4)
                return;
        log_warn("tunnel_exit", "the tunnel is dead and nothing else leads here: ending with status %d to be started again "
                 "(nat.tunnel_dead)", EXIT_ROUTE);
        directory_restart(r->node->directory, EXIT_ROUTE, "a dead tunnel");
}

void routes_tunnel_adopted(struct routes *r) {
        uint64_t wait_ms;

        timer_clear(&r->tunnel_exit);
        if (r->live.tier != 4) {
                if (!is_tunnel(&r->live))
                        tunnel_end(r->tunnel, NULL, NULL);
                return;
        }
        if (!tunnel_failed(r->tunnel, &wait_ms) || behaviour(r) != TUNNEL_DEAD_EXIT)
                return;
        /* A restart must not come before the host's pace allows another tunnel. */
        timer_set_ms(&r->tunnel_exit, wait_ms > RESTART_MS ? wait_ms - RESTART_MS : 0);
}

bool routes_tunnel_new(struct routes *r) {
        timer_init(&r->tunnel_exit, r->node->loop, exit_due, r);
        r->tunnel = tunnel_new(r->node, on_event, r);
        return r->tunnel != NULL;
}

void routes_tunnel_free(struct routes *r) {
        timer_clear(&r->tunnel_exit);
        r->tunnel = tunnel_free(r->tunnel);
}
