/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"

#include "findings/findings.h"
#include "log.h"
#include "mesh/mesh.h"
#include "node_life.h"
#include "reach/routes.h"
#include "relay/worker.h"

#include <string.h>
#include <stdio.h>

/* What happens around this node: the machine sleeps, its clock is set, its addresses change.
 * [04 section 13] */

#define DAY_S 86400

/* The endpoint anew. What is declared then differs or not: the directory room compares. */
static void look_at_endpoint(struct node *n, const char *reason) {
        char before[sizeof n->endpoint];

        if (routes_wanted(n)) {
                routes_look_cheaply(n->routes, reason);
                return;
        }
        memcpy(before, n->endpoint, sizeof before);
        node_endpoint_find(n);
        if (strcmp(before, n->endpoint) == 0)
                return;
        if (n->endpoint[0])
                log_notice("route_changed", "this machine has %s: the directory is told", before[0] ? "another address" : "a public address again");
        directory_poke(n->directory);
}

static void on_woke(void *arg, uint64_t slept_ms) {
        struct node *n = arg;

        (void) slept_ms;
        directory_hurry(n->directory);
        mesh_woke(n->mesh);
        worker_hurry(n->worker);
        look_at_endpoint(n, "woke from sleep");
}

static void on_looked(void *arg) {
        struct node *n = arg;

        directory_tick(n->directory);
        findings_look(n->findings);
}

static void on_network(void *arg) {
        struct node *n = arg;

        if (n->phase != NODE_RUNNING)
                return;
        directory_hurry(n->directory);
        worker_hurry(n->worker);
        look_at_endpoint(n, "the network changed");
}

void node_watch_start(struct node *n) {
        int r;

        n->clock_watch = (struct clock_watch){.woke = on_woke, .looked = on_looked, .arg = n};
        clock_watch_start(&n->clock_watch, n->loop, n->clock, (int64_t) BUILD_DAY * DAY_S);
        r = reach_watch_new(n->loop, on_network, n, &n->reach);
        if (r < 0)
                log_warn("network_unknown", "no netlink here (%s): a change of addresses is seen at a restart or reload "
                         "only", strerror(-r));
}

void node_watch_stop(struct node *n) {
        clock_watch_stop(&n->clock_watch);
        n->reach = reach_watch_free(n->reach);
}
