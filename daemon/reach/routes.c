/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "guidance.h"
#include "listener.h"
#include "log.h"
#include "relay/worker.h"
#include "tls_port.h"
#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEAD_MS 300000          /* an endpoint that the directory refused [04 section 9] */
#define STOP_MS 3000            /* to close what routers have opened */

static const unsigned misses_s[] = {30, 60, 120, 300, 600}; /* [04 section 12] */

uint64_t routes_now(const struct routes *r) {
        return clock_mono_ms(r->node->clock);
}

bool routes_wanted(const struct node *n) {
        const struct config *c = n->config;

        /* Through a relay that is given nobody dials the listener. */
        if (!c->public_endpoint && worker_fixed(n))
                return true;
        return (c->public_endpoint || c->nat_auto || c->nat_tunnel_url || c->nat_tunnel == TUNNEL_FORCED) &&
               !tls_port_active(n->tls) && !c->allow_private &&
               !c->listen_address && !listener_loopback_only(n->listener);
}

void routes_note(struct routes *r, int tier, const char *name, enum step_result result, const char *fmt, ...) {
        struct evidence *e;
        va_list ap;

        if (r->n_evidence == ROUTES_LOG_MAX)
                return;
        e = &r->evidence[r->n_evidence++];
        e->tier = tier;
        e->step = name;
        e->result = result;
        e->at_ms = routes_now(r) - r->began_ms;
        e->took_ms = routes_now(r) - r->step_ms;
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
}

void routes_untimed(struct routes *r) {
        if (r->n_evidence > 0)
                r->evidence[r->n_evidence - 1].took_ms = 0;
}

void routes_guide(struct routes *r, const char *code) {
        for (unsigned i = 0; i < r->n_guidance; i++)
                if (strcmp(r->guidance[i], code) == 0)
                        return;
        if (r->n_guidance < ARRAY_SIZE(r->guidance))
                r->guidance[r->n_guidance++] = code;
}

/* ---- when ---- */

static void again(void *arg) {
        struct routes *r = arg;
        const char *reason = r->next_reason ? r->next_reason : "time";

        if (r->stopping || r->running)
                return;
        r->cheap = r->next_reason && r->next_cheap;
        r->next_reason = NULL;
        if (routes_wanted(r->node))
                run_begin(r, reason);
}

void routes_look(struct routes *r, const char *reason, bool now) {
        uint64_t at_ms = routes_now(r), earliest_ms = r->ended_ms ? r->ended_ms + ROUTES_APART_MS : at_ms;

        if (r->stopping)
                return;
        r->next_reason = reason;
        r->next_cheap = false;
        if (!r->running)
                timer_set_ms(&r->again, now || earliest_ms <= at_ms ? 0 : earliest_ms - at_ms);
}

void routes_look_cheaply(struct routes *r, const char *reason) {
        bool cheap = !r->next_reason || r->next_cheap; /* not where a whole one is wanted already */

        routes_look(r, reason, false);
        r->next_cheap = cheap;
}

static void reprobe_done(void *arg, enum ladder_probe outcome, const char *why) {
        struct routes *r = arg;

        (void) why;
        r->probes[outcome]++;
        if (outcome == PROBE_VERIFIED) {
                r->probed_ms = routes_now(r);
                if (r->direct_good_ms)
                        r->direct_good_ms = r->probed_ms;
        }
        if (outcome == PROBE_REFUTED)
                routes_look(r, "the route is refuted", false);
        else
                timer_set_ms(&r->reprobe, ROUTES_REPROBE_MS);
}

/* Callers are proof enough. */
static void reprobe(void *arg) {
        struct routes *r = arg;

        if (r->stopping || r->running || r->live.tier == 4)
                return;
        if (r->live.kind == ROUTE_RELAY) { /* is something better there by now? */
                if (rung_holds(r))
                        routes_look(r, "something better than the relay is looked for", false);
                return;
        }
        if (witness_since(&r->node->witness, routes_now(r) - MIN(routes_now(r), (uint64_t) ROUTES_REPROBE_MS))) {
                timer_set_ms(&r->reprobe, ROUTES_REPROBE_MS);
                return;
        }
        verify_begin_run(r->verify);
        verify_start(r->verify, r->live.endpoint, NESTED_SINGLE, reprobe_done, r);
}

static void have_address(struct routes *r, struct router_call *c) {
        struct gateway_lease *l = &r->mapping.lease;

        if (r->mapping.held && c->ok && l->external_ip[0] && strcmp(c->address, l->external_ip) != 0) {
                log_notice("address_changed", "public address changed: verifying, then registering");
                routes_look(r, "the gateway has another address", false);
        }
        if (r->mapping.held && c->ok && c->epoch)
                hear_epoch(r, l->gateway, false, c->epoch);
        timer_set_ms(&r->address, ROUTES_ADDRESS_MS);
}

static void look_at_address(void *arg) {
        struct routes *r = arg;
        struct router_call *c;

        if (r->stopping || !r->mapping.held)
                return;
        timer_set_ms(&r->address, ROUTES_ADDRESS_MS);
        if (r->running || r->call || !(c = router_call_new(r, ROUTER_ADDRESS, have_address)))
                return;
        c->lease = r->mapping.lease;
        c->job.where = r->mapping.where;
        router_ask(r, c, ROUTES_ROUTER_MS);
}

static void router_late(void *arg) {
        struct routes *r = arg;

        if (!r->stopping && r->call)
                run_router_late(r);
}

static void stop_now(struct routes *r) {
        router_give_up(r);
        timer_clear(&r->budget);
        tunnel_end(r->tunnel, r->stop_fn, r->stop_arg); /* its helper has 5 s of its own */
}

static void budget_over(void *arg) {
        struct routes *r = arg;

        if (r->stopping)
                stop_now(r);
        else
                run_out_of_time(r);
}

/* ---- the outcome ---- */

static void explain(struct routes *r) {
        const struct explain_word *g;
        char relay[180];

        r->why[0] = '\0';
        if (r->live.tier != 4)
                return;
        if (r->n_guidance == 0)
                routes_guide(r, r->node->config->nat_auto ? "port_forward" : "set_public_endpoint");
        g = guidance_find(r->guidance[0]);
        if (r->node->worker && strcmp(r->guidance[0], "no_relay") == 0 && worker_fixed_trouble(r->node->worker, relay, sizeof relay)) {
                snprintf(r->why, sizeof r->why, "%.180s (no_relay)", relay);
                return;
        }
        snprintf(r->why, sizeof r->why, "%s (%s)", g ? g->text : "no step of the detection leads here", r->guidance[0]);
}

/* The lease of the run takes the place of the older one. Where that has another port at the router,
 * it stays open until the directory has the new route. */
static void take_over(struct routes *r, struct kept_lease *kept, struct kept_lease *fresh, struct kept_lease *old,
                      bool used) {
        if (kept->held && !(fresh->held && fresh->lease.external == kept->lease.external)) {
                if (old->held)
                        router_revoke(r, old);
                *old = (struct kept_lease){.held = true, .lease = kept->lease, .where = kept->where};
        }
        keep_drop(r, kept);
        if (fresh->held && used)
                keep_lease(r, kept, &fresh->lease, &fresh->where);
        else if (fresh->held)
                router_revoke(r, fresh);
        fresh->held = false;
}

void routes_registered(struct routes *r) {
        if (!r)
                return; /* a node without network, in tests */
        if (r->live.endpoint[0] && r->live.kind != ROUTE_RELAY && r->node->worker)
                worker_leave(r->node->worker);
        for (size_t i = 0; i < ARRAY_SIZE(r->old); i++)
                if (r->old[i].held)
                        router_revoke(r, &r->old[i]);
}

static void say(const struct routes *r, const struct ladder_route *was) {
        const struct ladder_route *now = &r->live;

        if (now->tier == 4)
                log_warn("route_none", "no public route: %s; serving goes on, next look in %u s; iicpctl netcheck", r->why,
                         misses_s[MIN(r->misses, ARRAY_SIZE(misses_s)) - 1]);
        else if (strcmp(now->endpoint, was->endpoint) != 0)
                log_notice("route_up", "reachable: tier %d, %s%s%s; %s", now->tier, ladder_kind_name(now->kind),
                           now->mapping[0] ? " by " : "", now->mapping,
                           now->verified ? "proved from outside" : "the directory's own check decides");
}

static void aged(void *arg) {
        routes_look(arg, "the temporary IPv6 address ages", false);
}

/* Where only a temporary address was there, the next one is looked for in time. */
static void watch_ageing(struct routes *r) {
        timer_clear(&r->ageing);
        if (!r->local.v6_temporary || r->live.tier > 2 || !strchr(r->live.endpoint, '['))
                return;
        log_warn("ipv6_temporary", "only a temporary IPv6 address is there: callers lose us when it ends; give this machine a stable one");
        if (r->local.v6_preferred_s != UINT32_MAX)
                timer_set_ms(&r->ageing, (uint64_t) MAX(r->local.v6_preferred_s / 2, 1u) * 1000);
}

void routes_adopt(struct routes *r, const struct ladder_route *route) {
        struct ladder_route was = r->live;
        struct node *n = r->node;

        if (was.kind == ROUTE_RELAY && route->tier < 3 && route->verified)
                r->direct_good_ms = r->ended_ms;
        r->better[0] = '\0';
        r->live = *route;
        r->changes += strcmp(was.endpoint, route->endpoint) != 0;
        if (route->verified)
                r->probed_ms = r->ended_ms;
        r->misses = route->tier == 4 ? r->misses + 1 : 0;
        take_over(r, &r->mapping, &r->new_mapping, &r->old[0], route->tier == 1);
        take_over(r, &r->pinhole, &r->new_pinhole, &r->old[1], route->ipv6_open);
        if (r->relay.held && !r->relay_asked)
                router_revoke(r, &r->relay);
        r->adopted = r->local;
        announce_listen(r->announce, r->mapping.held ? r->mapping.where.interface : r->pinhole.held ? r->pinhole.where.interface : "");
        if (route->tier == 4)
                routes_registered(r); /* nothing will be */
        keep_save(r);
        explain(r);
        snprintf(n->endpoint, sizeof n->endpoint, "%s", route->endpoint);
        n->endpoint_why = route->tier == 4 ? r->why : NULL;
        say(r, &was);
        if (route->tier == 4)
                timer_set_ms(&r->again, (uint64_t) misses_s[MIN(r->misses, ARRAY_SIZE(misses_s)) - 1] * 1000);
        else {
                timer_set_ms(&r->reprobe, ROUTES_REPROBE_MS);
                if (r->mapping.held)
                        timer_set_ms(&r->address, ROUTES_ADDRESS_MS);
        }
        watch_ageing(r);
        name_ask(r);
        routes_tunnel_adopted(r);
        directory_poke(n->directory);
        if (r->next_reason)
                routes_look(r, r->next_reason, false);
}

bool routes_dead(const struct routes *r, const char *url) {
        for (size_t i = 0; i < ARRAY_SIZE(r->dead); i++)
                if (routes_now(r) < r->dead[i].until_ms && strcmp(r->dead[i].url, url) == 0)
                        return true;
        return false;
}

/* A directory without IPv6 cannot reach what the operator's own service has reached: it is declared
 * once as that, if the operator says so. */
static bool declare(struct routes *r, const char *endpoint) {
        const struct config *c = r->node->config;

        if (!c->nat_declare_verified_ipv6 || !c->nat_probe_url || !r->live.verified || !strchr(endpoint, '[') ||
            strcmp(endpoint, r->live.endpoint) != 0 || strcmp(endpoint, r->declared.url) == 0)
                return false;
        snprintf(r->declared.url, sizeof r->declared.url, "%s", endpoint);
        r->declared.now = true;
        log_notice("ipv6_declared", "the directory cannot reach our IPv6 address, nat.probe_url could: registering it once more as declared");
        return true;
}

const char *routes_nat_type(const struct routes *r) {
        return r && r->declared.now && strcmp(r->declared.url, r->live.endpoint) == 0 ? "full_cone" : "unknown";
}

/* The operator's own endpoint stays: the directory is asked again, and the operator told. */
static bool stays(struct routes *r) {
        if (r->live.kind != ROUTE_OPERATOR || r->node->config->nat_fallback)
                return false;
        routes_guide(r, "set_public_endpoint");
        log_warn("operator_endpoint_needed", "the directory cannot use node.public_endpoint, which stays: check it and the "
                 "firewall; nat.fallback = yes looks for another route");
        return true;
}

bool routes_refused(struct routes *r, const char *endpoint) {
        struct dead_route *oldest = &r->dead[0];

        if (stays(r))
                return false;
        if (declare(r, endpoint))
                return true;
        r->declared.now = false;

        for (size_t i = 1; i < ARRAY_SIZE(r->dead); i++)
                if (r->dead[i].until_ms < oldest->until_ms)
                        oldest = &r->dead[i];
        snprintf(oldest->url, sizeof oldest->url, "%s", endpoint);
        oldest->until_ms = routes_now(r) + DEAD_MS;
        r->direct_good_ms = 0;
        routes_look(r, "the directory refused the route", true);
        return false;
}

void routes_observed(struct routes *r, const char *address) {
        bool changed;

        if (!r)
                return;
        changed = r->observed[0] && !strchr(address, ':') && !strchr(r->observed, ':') && strcmp(r->observed, address) != 0;

        snprintf(r->observed, sizeof r->observed, "%s", address);
        r->observed_ms = routes_now(r);
        if (changed && r->live.tier != 4)
                routes_look(r, "others see another address", false);
}

/* ---- life ---- */

struct routes *routes_new(struct node *n) {
        struct routes *r = calloc(1, sizeof *r);

        if (!r)
                return NULL;
        r->node = n;
        r->live.tier = 4;
        r->verify = verify_new(n);
        r->announce = announce_new(n->loop, hear_announcement, r);
        if (!r->verify || !r->announce) {
                verify_free(r->verify);
                announce_free(r->announce);
                free(r);
                return NULL;
        }
        snprintf(r->why, sizeof r->why, "a route is being looked for");
        timer_init(&r->again, n->loop, again, r);
        timer_init(&r->budget, n->loop, budget_over, r);
        timer_init(&r->router, n->loop, router_late, r);
        timer_init(&r->reprobe, n->loop, reprobe, r);
        timer_init(&r->address, n->loop, look_at_address, r);
        timer_init(&r->ageing, n->loop, aged, r);
        keep_init(r);
        if (!routes_tunnel_new(r))
                return routes_free(r);
        return r;
}

struct routes *routes_free(struct routes *r) {
        if (!r)
                return NULL;
        run_cancel(r);
        routes_tunnel_free(r);
        timer_clear(&r->again);
        timer_clear(&r->reprobe);
        timer_clear(&r->address);
        keep_drop(r, &r->mapping);
        timer_clear(&r->ageing);
        keep_drop(r, &r->pinhole);
        keep_drop(r, &r->relay);
        announce_free(r->announce);
        verify_free(r->verify);
        free(r);
        return NULL;
}

void routes_start(struct routes *r) {
        if (!routes_wanted(r->node))
                return;
        r->node->endpoint[0] = '\0';
        r->node->endpoint_why = r->why;
        keep_load(r);
        timer_set_ms(&r->again, 0);
}

/* Back to what the configuration says: what was found is given up. */
static void retire(struct routes *r) {
        struct kept_lease *const all[] = {&r->pinhole, &r->new_pinhole, &r->mapping, &r->new_mapping, &r->old[0], &r->old[1],
                                           &r->relay};

        run_cancel(r);
        timer_clear(&r->again);
        timer_clear(&r->reprobe);
        timer_clear(&r->address);
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i]->held) {
                        keep_drop(r, all[i]);
                        router_revoke(r, all[i]);
                }
        r->live = (struct ladder_route){.tier = 4};
        tunnel_end(r->tunnel, NULL, NULL);
        timer_clear(&r->tunnel_exit);
        timer_clear(&r->ageing);
        announce_listen(r->announce, "");
        worker_leave(r->node->worker);
        keep_save(r);
}

void routes_reload(struct routes *r) {
        if (!routes_wanted(r->node)) {
                retire(r);
                return;
        }
        worker_reload(r->node->worker);
        if (r->live.tier == 4) {
                r->node->endpoint[0] = '\0';
                r->node->endpoint_why = r->why;
        }
        routes_look(r, "the configuration was changed", true);
}

/* ---- the end ---- */

static void close_next(struct routes *r);

static void closed(struct routes *r, struct router_call *c) {
        (void) c;
        close_next(r);
}

static void close_next(struct routes *r) {
        struct kept_lease *const all[] = {&r->pinhole, &r->new_pinhole, &r->mapping, &r->new_mapping, &r->old[0], &r->old[1],
                                           &r->relay};
        struct router_call *c;

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                if (!all[i]->held)
                        continue;
                keep_drop(r, all[i]);
                c = router_call_new(r, ROUTER_REVOKE, closed);
                if (!c)
                        continue;
                c->lease = all[i]->lease;
                c->job.where = all[i]->where;
                if (router_ask(r, c, STOP_MS))
                        return;
        }
        stop_now(r);
}

void routes_stop(struct routes *r, void (*fn)(void *arg), void *arg) {
        r->stop_fn = fn;
        r->stop_arg = arg;
        if (r->stopping)
                return;
        run_cancel(r);
        r->stopping = true;
        announce_listen(r->announce, "");
        timer_clear(&r->ageing);
        timer_clear(&r->again);
        timer_set_ms(&r->budget, STOP_MS);
        close_next(r);
}

/* ---- looking at it ---- */

const struct ladder_route *routes_live(const struct routes *r) {
        return &r->live;
}

bool routes_looking(const struct routes *r) {
        return r->running || (!r->ended_ms && timer_armed(&r->again));
}
