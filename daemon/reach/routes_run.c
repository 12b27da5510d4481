/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "listener.h"
#include "log.h"
#include "relay/worker.h"
#include "util.h"

#include <errno.h>
#include <iicp/address.h>
#include <iicp/endpoint.h>
#include <iicp/json.h>
#include <stdio.h>
#include <string.h>

/* One detection: local facts, how others see us, then the ladder. */

#define ECHO_TIMEOUT_MS 5000
#define ECHO_ANSWER_MAX 1024

extern char **environ;

/* ---- what the ladder asks for ---- */

/* What the operator says is not doubted. */
static bool is_operators(const struct routes *r, const char *url) {
        const struct ladder_facts *f = &r->ladder.facts;

        return f->operator_endpoint && strcmp(url, f->operator_endpoint) == 0;
}

static const char *probe_step(const struct routes *r, const struct ladder_action *a) {
        const struct ladder_facts *f = &r->ladder.facts;

        if (a->ipv6)
                return r->new_pinhole.held ? "IPv6 pinhole" : "IPv6 open";
        if (is_operators(r, a->url))
                return "own endpoint";
        if (r->new_mapping.held)
                return "mapped port";
        return f->nic_v4 && strstr(a->url, f->nic_v4) ? "public IPv4" : "hand forward";
}

static void probed(void *arg, enum ladder_probe outcome, const char *why) {
        struct routes *r = arg;
        const struct ladder_action *a = ladder_next(&r->ladder);

        r->probes[outcome]++;
        routes_note(r, a->ipv6 && r->new_pinhole.held ? 2 : r->new_mapping.held ? 1 : 0, probe_step(r, a),
                    outcome == PROBE_VERIFIED ? STEP_WORKS : outcome == PROBE_REFUTED ? STEP_NO : STEP_UNKNOWN, "%s", why);
        if (outcome == PROBE_REFUTED && r->ladder.facts.nic_v4 && strstr(a->url, r->ladder.facts.nic_v4))
                routes_guide(r, "host_firewall");
        if (outcome != PROBE_VERIFIED && a->ipv6)
                routes_guide(r, r->new_pinhole.held ? "directory_blind_ipv6" : "ipv6_firewall");
        ladder_probed(&r->ladder, outcome);
        run_step(r);
}

/* Evidence begins with who was asked. */
static const char *asked_by(const char *evidence, bool pinhole, const char **ret_rest) {
        static const char *const names[] = {"UPnP", "PCP", "NAT-PMP"};

        *ret_rest = evidence;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                size_t n = strlen(names[i]);

                if (strncmp(evidence, names[i], n) != 0)
                        continue;
                *ret_rest = evidence + n + (strncmp(evidence + n, ": ", 2) == 0 ? 2 : strspn(evidence + n, " "));
                return pinhole ? "IPv6 pinhole" : names[i];
        }
        return pinhole ? "IPv6 pinhole" : "mapping";
}

static void note_gateway(struct routes *r, int tier, const struct gateway_result *result) {
        for (unsigned i = 0; i < result->n_evidence; i++) {
                bool last = i + 1 == result->n_evidence;
                const char *rest, *step = asked_by(result->evidence[i], tier == 2, &rest);

                routes_note(r, tier, step, !last || !result->granted ? STEP_REFUSED : STEP_WORKS, "%s", rest);
                if (!last) /* what all took together stands in the last row */
                        routes_untimed(r);
        }
        if (result->guidance)
                routes_guide(r, result->guidance);
        r->no_igd |= result->no_igd;
        if (result->retry_s)
                r->pcp_quiet_ms = routes_now(r) + (uint64_t) result->retry_s * 1000;
}

static void mapped(struct routes *r, struct router_call *c) {
        const struct gateway_lease *l = &c->result.lease;

        note_gateway(r, 1, &c->result);
        if (c->result.granted)
                keep_lease(r, &r->new_mapping, l, &c->job.where);
        ladder_mapped(&r->ladder, c->result.granted, map_protocol_name(l->protocol), l->external_ip[0] ? l->external_ip : NULL,
                      l->external);
        if (r->ladder.cgnat)
                routes_guide(r, "cgnat");
        else if (r->ladder.nested == NESTED_PRIVATE)
                routes_guide(r, "double_nat");
        else if (!c->result.granted && !c->result.guidance)
                routes_guide(r, "port_forward");
        run_step(r);
}

/* A router that does not know the first address may know another one: then that is the candidate. An
 * endpoint of the operator follows it, and is told so. */
static void take_address(struct routes *r, const char *address) {
        struct ladder_facts *f = &r->ladder.facts;
        struct iicp_url url;

        if (!address[0] || strcmp(address, r->texts.ipv6) == 0)
                return;
        snprintf(r->texts.ipv6, sizeof r->texts.ipv6, "%s", address);
        if (f->operator_endpoint && iicp_url_parse(iicp_str(f->operator_endpoint), &url) == 0 && url.ipv6 && !url.https) {
                snprintf(r->texts.operator, sizeof r->texts.operator, "http://[%s]:%u%.128s", address, url.port, url.path);
                f->operator_endpoint = r->texts.operator;
                log_notice("endpoint_rewritten", "the router opens another IPv6 address of this machine than that of "
                           "node.public_endpoint: that one is published; iicpctl routes");
        }
}

static void pinholed(struct routes *r, struct router_call *c) {
        note_gateway(r, 2, &c->result);
        if (c->result.granted) {
                keep_lease(r, &r->new_pinhole, &c->result.lease, &c->job.where);
                take_address(r, c->result.lease.address);
        }
        ladder_pinholed(&r->ladder, c->result.granted, map_protocol_name(c->result.lease.protocol));
        run_step(r);
}

static void revoked(struct routes *r, struct router_call *c) {
        (void) c;
        ladder_revoked(&r->ladder);
        run_step(r);
}

static void fill_protocols(struct routes *r, struct gateway_job *j) {
        char *const *names = r->node->config->nat_protocols;

        for (; names && *names && j->n_protocols < ARRAY_SIZE(j->protocols); names++)
                j->protocols[j->n_protocols++] = strcmp(*names, "pcp") == 0      ? MAP_PCP
                                                 : strcmp(*names, "natpmp") == 0 ? MAP_NATPMP
                                                                                 : MAP_IGD1;
}

/* A PCP server knows a mapping again by its nonce only. */
static void take_nonce(const struct kept_lease *k, struct gateway_job *j) {
        j->has_nonce = k->lease.protocol == MAP_PCP;
        memcpy(j->nonce, k->lease.nonce, sizeof j->nonce);
}

void run_fill_job(struct routes *r, struct gateway_job *j, const struct kept_lease *held) {
        const struct local *l = &r->local;

        fill_protocols(r, j);
        take_nonce(held, j);
        j->pcp_quiet = routes_now(r) < r->pcp_quiet_ms;
        j->no_igd = r->no_igd;
        j->where_v4 = l->v4;
        if (strcmp(j->where.address, l->v6.address) != 0)
                return;
        j->n_others = l->n_v6_others;
        memcpy(j->others, l->v6_others, sizeof j->others);
}

static bool ask_router(struct routes *r, enum router_what what, void (*done)(struct routes *, struct router_call *)) {
        struct router_call *c = router_call_new(r, what, done);
        struct kept_lease *k = what != ROUTER_REVOKE            ? NULL
                               : ladder_next(&r->ladder)->ask == LADDER_UNMAP ? &r->new_mapping
                                                                              : &r->new_pinhole;

        if (!c)
                return false;
        c->job.where = what == ROUTER_PINHOLE ? r->local.v6 : r->local.v4;
        c->job.internal = c->job.external = r->ladder.facts.port;
        run_fill_job(r, &c->job, what == ROUTER_PINHOLE ? &r->pinhole : &r->mapping);
        if (k) {
                c->lease = k->lease;
                c->job.where = k->where;
                keep_drop(r, k);
        }
        return router_ask(r, c, what == ROUTER_MAP ? ROUTES_MAP_MS : ROUTES_ROUTER_MS);
}

/* It has times of its own: those of steps 4 to 6 run on behind it. */
static void tunnelled(void *arg, const char *url, const char *why, const char *guidance) {
        struct routes *r = arg;

        timer_set_ms(&r->budget, ROUTES_BUDGET_MS);
        r->tunnel_asked = false;
        routes_note(r, 3, "tunnel", url ? STEP_WORKS : STEP_FAILED, "%s", url ? "our health came back through it" : why);
        if (!url && guidance)
                routes_guide(r, guidance);
        ladder_tunnelled(&r->ladder, url != NULL, url);
        run_step(r);
}

static void ask_tunnel(struct routes *r, const struct ladder_action *a) {
        timer_clear(&r->budget);
        r->tunnel_asked = true;
        if (a->ask == LADDER_CHECK_TUNNEL)
                tunnel_given(r->tunnel, a->url, tunnelled, r);
        else
                tunnel_quick(r->tunnel, tunnelled, r);
}

static void adopt(struct routes *r);

/* What cannot even be asked counts as answered with no. */
void run_step(struct routes *r) {
        for (;;) {
                const struct ladder_action *a = ladder_next(&r->ladder);

                r->step_ms = routes_now(r);
                switch (a->ask) {
                case LADDER_DONE:
                        if (!relay_ask(r, adopt))
                                adopt(r);
                        return;
                case LADDER_PROBE:
                        if (routes_dead(r, a->url) && !is_operators(r, a->url)) {
                                routes_note(r, 0, probe_step(r, a), STEP_REFUSED, "the directory refused it a moment ago");
                                ladder_probed(&r->ladder, PROBE_REFUTED);
                                continue;
                        }
                        verify_start(r->verify, a->url, a->nested, probed, r);
                        return;
                case LADDER_MAP:
                        if (ask_router(r, ROUTER_MAP, mapped))
                                return;
                        ladder_mapped(&r->ladder, false, "", NULL, 0);
                        continue;
                case LADDER_PINHOLE:
                        if (ask_router(r, ROUTER_PINHOLE, pinholed))
                                return;
                        ladder_pinholed(&r->ladder, false, "");
                        continue;
                case LADDER_UNMAP:
                case LADDER_UNPINHOLE:
                        if (ask_router(r, ROUTER_REVOKE, revoked))
                                return;
                        ladder_revoked(&r->ladder);
                        continue;
                case LADDER_CHECK_TUNNEL:
                case LADDER_START_TUNNEL:
                        if (a->ask == LADDER_START_TUNNEL && rung_holds(r)) { /* a look does not publish this host */
                                ladder_tunnelled(&r->ladder, false, NULL);
                                continue;
                        }
                        ask_tunnel(r, a);
                        return;
                case LADDER_BIND_RELAY:
                        timer_clear(&r->budget);
                        if (rung_ask(r))
                                return;
                        ladder_bound(&r->ladder, false, NULL);
                        continue;
                }
        }
}

/* ---- before the ladder ---- */

/* What a directory calls our address may be anything. */
static bool is_public_v4(const char *text) {
        struct sockaddr_storage a;

        return iicp_addr_parse(text, &a) && a.ss_family == AF_INET &&
               iicp_addr_class((const struct sockaddr *) &a) == IICP_ADDR_PUBLIC;
}

/* Which of our other addresses is that of an IPv6 endpoint of the operator, -1 = none. */
static int own_v6(const struct routes *r, const char *endpoint) {
        const struct local *l = &r->local;
        struct iicp_url url;

        if (!endpoint || iicp_url_parse(iicp_str(endpoint), &url) < 0 || !url.ipv6)
                return -1;
        for (unsigned i = 0; i < l->n_v6_others; i++)
                if (strcmp(url.host, l->v6_others[i]) == 0)
                        return (int) i;
        return -1;
}

/* The pinhole is asked for it first, and for what was the first choice behind it. */
static void prefer_v6(struct routes *r, int i) {
        char first[INET6_ADDRSTRLEN];

        if (i < 0)
                return;
        memcpy(first, r->local.v6.address, sizeof first);
        memcpy(r->local.v6.address, r->local.v6_others[i], sizeof r->local.v6.address);
        memcpy(r->local.v6_others[i], first, sizeof first);
        memcpy(r->texts.ipv6, r->local.v6.address, sizeof r->texts.ipv6);
}

/* The steps that are none, with the reason. */
static void note_absent(struct routes *r, const struct ladder_facts *f) {
        const struct local *l = &r->local;

        if (!f->operator_endpoint)
                routes_note(r, 0, "own endpoint", r->node->config->public_endpoint ? STEP_REFUSED : STEP_NOT_SET, "node.public_endpoint is %s",
                            r->node->config->public_endpoint ? "no public address" : "empty");
        else if (f->operator_refused)
                routes_note(r, 0, "own endpoint", STEP_REFUSED, "the directory refused it a moment ago");
        if (!f->nic_v4)
                routes_note(r, 0, "public IPv4", STEP_NO, "%s%s%s", l->v4.address[0] ? l->v4.interface : "no interface has one",
                            l->v4.address[0] ? " has only " : "", l->v4.address);
        if (!f->auto_detect)
                routes_note(r, 1, "detection", STEP_OFF, "nat.auto = no");
        else if (f->skip_mapping || f->bridged)
                routes_note(r, 1, "mapping", f->bridged ? STEP_NOT_TRIED : STEP_OFF, "%s",
                            f->bridged ? "it would reach the container's network only" : "nat.map = no");
        if (!f->ipv6)
                routes_note(r, 2, "IPv6", STEP_NO, "no public IPv6 address with a route");
        if (!f->tunnel_endpoint)
                routes_note(r, 3, "tunnel", STEP_NOT_SET, "nat.tunnel_url is empty");
}

/* The operator's endpoint in the form that is sent, NULL: there is none that may be. */
static const char *usable_endpoint(struct routes *r) {
        const char *given = r->node->config->public_endpoint;
        struct iicp_url url;

        if (!given)
                return NULL;
        if (r->name_private || iicp_url_parse(iicp_str(given), &url) < 0 ||
            iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER) < 0 ||
            iicp_url_normal(&url, r->texts.operator, sizeof r->texts.operator) < 0) {
                log_warn("operator_endpoint_refused", "node.public_endpoint is no public address, or its name leads to none: looking for another route");
                return NULL;
        }
        return r->texts.operator;
}

static void climb(struct routes *r) {
        const struct config *c = r->node->config;
        struct local_texts *t = &r->texts;
        bool fresh = r->observed[0] && routes_now(r) - r->observed_ms < (uint64_t) ROUTES_OBSERVED_S * 1000;
        struct ladder_facts f = {
                .port = listener_port(r->node->listener),
                .operator_endpoint = usable_endpoint(r),
                .tunnel_endpoint = c->nat_tunnel_url,
                .tunnel = (enum tunnel_mode) c->nat_tunnel,
                .auto_detect = c->nat_auto,
                .skip_mapping = !c->nat_map,
                .bridged = r->local.bridged,
                .private_v4 = r->local.private_v4,
                .relay_fixed = worker_fixed(r->node),
                /* an operator is never a worker; where a relay stands already, none is looked for */
                .relay_capable = c->relay_operator || worker_off(r->node) || r->quiet,
                .advertise_unverified_ipv6 = c->nat_advertise_unverified_ipv6,
                .dual_stack = c->nat_dual_stack,
        };

        snprintf(t->nic, sizeof t->nic, "%s", r->local.nic_v4);
        snprintf(t->ipv6, sizeof t->ipv6, "%s", r->local.v6.address);
        snprintf(t->observed, sizeof t->observed, "%.15s", r->local.v4_way_out && fresh && is_public_v4(r->observed) ? r->observed : "");
        f.nic_v4 = t->nic[0] ? t->nic : NULL;
        f.ipv6 = t->ipv6[0] ? t->ipv6 : NULL;
        f.observed_v4 = t->observed[0] ? t->observed : NULL;
        if (r->local.bridged)
                routes_guide(r, "container");
        prefer_v6(r, own_v6(r, c->public_endpoint));
        f.operator_refused = f.operator_endpoint && c->nat_fallback && routes_dead(r, f.operator_endpoint);
        note_absent(r, &f);
        verify_begin_run(r->verify);
        ladder_start(&r->ladder, &f);
        timer_set_ms(&r->budget, ROUTES_BUDGET_MS);
        run_step(r);
}

static void echoed(void *arg, const struct fetch_answer *a) {
        struct routes *r = arg;
        char address[INET_ADDRSTRLEN];

        r->echo = NULL;
        if (a->error == FETCH_OK && echo_read(a->status, a->body, address)) {
                snprintf(r->observed, sizeof r->observed, "%s", address);
                r->observed_ms = routes_now(r);
        }
        climb(r);
}

/* Asked only where it can matter, and nobody said it lately. */
static bool wants_echo(const struct routes *r) {
        const struct config *c = r->node->config;

        return c->nat_auto && c->nat_echo_url && strcmp(c->nat_echo_url, "off") != 0 && !r->local.nic_v4[0] &&
               (r->local.private_v4 || r->local.bridged) &&
               !(r->observed[0] && routes_now(r) - r->observed_ms < (uint64_t) ROUTES_OBSERVED_S * 1000);
}

void run_router_late(struct routes *r) {
        struct router_call *late = r->call;
        struct router_call nothing = {.what = late->what, .lease = late->lease, .done = late->done,
                                      .facts_error = -ETIMEDOUT};

        nothing.job.where = late->job.where;
        gateway_note(&nothing.result, "no end in %u s", (late->what == ROUTER_MAP ? ROUTES_MAP_MS : ROUTES_ROUTER_MS) / 1000);
        router_give_up(r);
        nothing.done(r, &nothing);
}

/* Same addresses and gateways, and what a router has opened still lives. */
static bool nothing_new(const struct routes *r) {
        return r->live.tier <= 2 && local_same(&r->local, &r->adopted) && (r->live.tier != 1 || r->mapping.held) &&
               (r->live.kind != ROUTE_PINHOLE || r->pinhole.held);
}

/* The leases are made again, in case the gateway is another one with the same address: what moved is
 * noticed then. Nothing is registered. */
static void run_unchanged(struct routes *r) {
        struct kept_lease *const all[] = {&r->mapping, &r->pinhole, &r->relay};

        r->running = r->cheap = false;
        r->ended_ms = routes_now(r);
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i]->held)
                        keep_renew_now(r, all[i]);
        log_debug("route_same", "%s, but nothing about the route: it stays", r->reason);
        if (r->next_reason)
                routes_look(r, r->next_reason, false);
        directory_poke(r->node->directory);
}

static void have_facts(struct routes *r, struct router_call *c) {
        if (c->facts_error < 0)
                log_warn("network_unknown", "the kernel does not tell addresses and routes (%s): no route is looked for",
                         strerror(-c->facts_error));
        local_derive(&c->facts, local_container_marks(environ), &r->local);
        r->name_private = c->made && !c->ok;
        if (r->cheap && c->facts_error == 0 && nothing_new(r)) {
                run_unchanged(r);
                return;
        }
        if (r->cheap)
                r->n_evidence = r->n_guidance = 0;
        r->cheap = false;
        if (c->facts_error == 0) /* else those of before: nobody of ours shall pass as a caller */
                witness_own(&r->node->witness, &c->facts);
        routes_note(r, 0, "this host", STEP_WORKS, "%s%s%s%s%s%s", r->local.v4.interface, r->local.v4.interface[0] ? " " : "",
                    r->local.v4.address[0] ? r->local.v4.address : "no IPv4", r->local.v4.gateway[0] ? ", router " : "",
                    r->local.v4.gateway, r->local.bridged ? ", in a container" : "");
        if (wants_echo(r)) {
                struct fetch_request q = {.method = "GET", .url = r->node->config->nat_echo_url,
                                          .connect_timeout_ms = ECHO_TIMEOUT_MS, .timeout_ms = ECHO_TIMEOUT_MS,
                                          .max_answer = ECHO_ANSWER_MAX};

                r->echo = fetch_start(r->node->fetch, &q, echoed, r);
        }
        if (!r->echo)
                climb(r);
}

void run_begin(struct routes *r, const char *reason) {
        struct router_call *c;

        router_give_up(r); /* a renewal under way: the ladder asks anew */
        verify_stop(r->verify); /* as does a look at the live route */
        r->running = true;
        r->quiet = rung_holds(r);
        r->reason = reason;
        r->began_ms = r->step_ms = routes_now(r);
        r->relay_asked = r->no_igd = false;
        r->runs++;
        if (!r->cheap) /* else what is known stays until something turns out to be other */
                r->n_evidence = r->n_guidance = 0;
        c = router_call_new(r, ROUTER_FACTS, have_facts);
        if (c && r->node->config->public_endpoint)
                snprintf(c->endpoint, sizeof c->endpoint, "%s", r->node->config->public_endpoint);
        if (!c || !router_ask(r, c, ROUTES_ROUTER_MS)) {
                r->running = false;
                timer_set_ms(&r->again, ROUTES_APART_MS);
        }
}

void run_cancel(struct routes *r) {
        r->running = false;
        worker_seek_cancel(r->node->worker);
        router_give_up(r);
        verify_stop(r->verify);
        timer_clear(&r->budget);
        if (r->echo)
                fetch_cancel(TAKE_PTR(r->echo));
        if (r->tunnel_asked)
                tunnel_cancel(r->tunnel);
        r->tunnel_asked = false;
}

/* ---- after it ---- */

static void adopt(struct routes *r) {
        timer_clear(&r->budget);
        r->running = false;
        r->ended_ms = routes_now(r);
        if (r->quiet && !rung_better(r, &r->ladder.route)) {
                rung_keep(r);
                return;
        }
        routes_adopt(r, &r->ladder.route);
}

/* Steps 4 to 6 have had their time. What is on its way is given up first, so that nothing that the
 * ladder does not ask for any more comes back. */
void run_out_of_time(struct routes *r) {
        if (!r->running)
                return;
        routes_note(r, 0, "detection", STEP_FAILED, "out of time after %u s", ROUTES_BUDGET_MS / 1000);
        verify_stop(r->verify);
        router_give_up(r);
        ladder_out_of_time(&r->ladder);
        run_step(r);
}
