/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "endpoint_name.h"
#include "log.h"

#include <stdlib.h>

/* Questions to routers, on their helper thread. A question that takes too long is given up: the
 * thread is asked to end soon, and what it opened after all is closed by itself. */

static bool opened(const struct router_call *c) {
        return c->result.granted && (c->what == ROUTER_MAP || c->what == ROUTER_PINHOLE);
}

static void work(void *arg) {
        struct router_call *c = arg;

        c->made = true;
        switch (c->what) {
        case ROUTER_FACTS:
                c->facts_error = reach_facts_collect(&c->facts);
                c->ok = !c->endpoint[0] || endpoint_resolves_public(c->endpoint);
                break;
        case ROUTER_MAP:
                gateway_map(&c->job, &c->result);
                break;
        case ROUTER_PINHOLE:
                gateway_pinhole(&c->job, &c->result);
                break;
        case ROUTER_RENEW:
                gateway_renew(&c->lease, &c->result);
                break;
        case ROUTER_REVOKE:
                gateway_revoke(&c->lease);
                break;
        case ROUTER_ADDRESS:
                c->ok = gateway_address(&c->lease, c->address, &c->epoch);
                break;
        case ROUTER_NAME:
                c->ok = ptr_lookup(c->address, c->name);
                break;
        }
        if (atomic_load(&c->job.abandoned) && opened(c)) {
                gateway_revoke(&c->result.lease);
                c->result.granted = false;
        }
}

static void call_free(struct router_call *c) {
        reach_facts_free(&c->facts);
        free(c);
}

static void work_done(void *arg) {
        call_free(arg);
}

/* Given up just after it had come to its end: what it opened nobody knows of. */
static bool close_orphan(struct router_call *c) {
        if (!opened(c))
                return false;
        c->what = ROUTER_REVOKE;
        c->lease = c->result.lease;
        c->result.granted = false;
        return loop_block_on(c->loop, LOOP_ROUTERS, work, work_done, c) == 0;
}

static void finished(void *arg) {
        struct router_call *c = arg;
        struct routes *r = c->routes;

        if (r) {
                r->call = NULL;
                timer_clear(&r->router);
                if (c->made) /* else the process ends and a router holds the thread */
                        c->done(r, c);
        } else if (close_orphan(c))
                return;
        call_free(c);
}

struct router_call *router_call_new(struct routes *r, enum router_what what,
                                    void (*done)(struct routes *r, struct router_call *c)) {
        struct router_call *c = calloc(1, sizeof *c);

        if (!c)
                return NULL;
        c->routes = r;
        c->loop = r->node->loop;
        c->what = what;
        c->done = done;
        return c;
}

bool router_ask(struct routes *r, struct router_call *c, uint64_t timeout_ms) {
        if (loop_block_on(r->node->loop, LOOP_ROUTERS, work, finished, c) < 0) {
                free(c);
                return false;
        }
        r->call = c;
        timer_set_ms(&r->router, timeout_ms);
        return true;
}

void router_revoke(struct routes *r, struct kept_lease *k) {
        struct router_call *c = router_call_new(r, ROUTER_REVOKE, NULL);

        k->held = false;
        if (!c)
                return;
        c->routes = NULL;
        c->lease = k->lease;
        c->job.where = k->where;
        if (loop_block_on(r->node->loop, LOOP_ROUTERS, work, work_done, c) < 0)
                call_free(c);
}

void router_give_up(struct routes *r) {
        struct router_call *c = r->call;

        timer_clear(&r->router);
        if (!c)
                return;
        r->call = NULL;
        c->routes = NULL;
        atomic_store(&c->job.abandoned, true);
}
