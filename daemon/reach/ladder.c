/* SPDX-License-Identifier: Apache-2.0 */
#include "ladder.h"

#include <iicp/address.h>
#include <iicp/endpoint.h>
#include <stdio.h>

/* In this order, each once; ladder_next skips those whose condition does not hold. */
enum step {
        STEP_OPERATOR_PINHOLE, STEP_OPERATOR,
        STEP_TUNNEL_GIVEN, STEP_RELAY_FIXED, STEP_TUNNEL_FORCED,
        STEP_NIC,
        STEP_MAP, STEP_MAP_PROBE, STEP_UNMAP,
        STEP_STATIC,
        STEP_PINHOLE, STEP_IPV6, STEP_UNPINHOLE,
        STEP_TUNNEL_AUTO, STEP_RELAY, STEP_NONE,
        /* behind an accepted IPv4 route: is IPv6 open, too? */
        STEP_DUAL_PINHOLE, STEP_DUAL, STEP_DUAL_CLOSE,
        STEP_DONE,
};

const char *ladder_kind_name(enum ladder_kind k) {
        static const char *const names[] = {
                [ROUTE_NONE] = "none", [ROUTE_OPERATOR] = "operator", [ROUTE_NIC] = "nic", [ROUTE_MAPPED] = "mapped",
                [ROUTE_MAPPED_NESTED] = "mapped_nested", [ROUTE_STATIC] = "static", [ROUTE_IPV6] = "ipv6",
                [ROUTE_PINHOLE] = "pinhole", [ROUTE_IPV6_UNVERIFIED] = "ipv6_unverified",
                [ROUTE_TUNNEL_STABLE] = "tunnel_stable", [ROUTE_TUNNEL_QUICK] = "tunnel_quick",
                [ROUTE_RELAY] = "relay",
        };

        return names[k];
}

static void word(struct reach_ladder *l, const char *text) {
        if (l->n_words < LADDER_WORDS_MAX)
                l->words[l->n_words++] = text;
}

static void url_v4(char out[LADDER_URL_MAX], const char *address, unsigned port) {
        snprintf(out, LADDER_URL_MAX, "http://%s:%u", address, port);
}

static void url_v6(char out[LADDER_URL_MAX], const char *address, unsigned port) {
        snprintf(out, LADDER_URL_MAX, "http://[%s]:%u", address, port);
}

/* ---- the end ---- */

static void derive(struct reach_ladder *l) {
        struct ladder_route *r = &l->route;
        struct exposure_facts e = {.ipv6_open = r->ipv6_open, .cgnat = l->cgnat};
        struct iicp_url url;

        e.endpoint_ipv6 = iicp_url_parse(iicp_str(r->endpoint), &url) == 0 && url.ipv6;
        switch (r->kind) {
        case ROUTE_NONE:
                e.route = EXPOSURE_NONE;
                break;
        case ROUTE_TUNNEL_STABLE:
        case ROUTE_TUNNEL_QUICK:
                e.route = EXPOSURE_TUNNEL;
                r->method = "external_tunnel";
                break;
        case ROUTE_RELAY:
                e.route = EXPOSURE_RELAY;
                r->method = "turn_relay";
                break;
        case ROUTE_MAPPED:
        case ROUTE_MAPPED_NESTED:
                e.route = EXPOSURE_DIRECT;
                r->method = "upnp_mapped";
                break;
        default:
                e.route = EXPOSURE_DIRECT;
                r->method = "direct";
        }
        r->exposure = exposure_mode(&e);
}

static void finish(struct reach_ladder *l) {
        derive(l);
        l->step = STEP_DONE;
}

static void accept_route(struct reach_ladder *l, int tier, enum ladder_kind kind, const char *endpoint, bool verified) {
        struct ladder_route *r = &l->route;

        r->tier = tier;
        r->kind = kind;
        r->verified = verified;
        snprintf(r->endpoint, sizeof r->endpoint, "%s", endpoint);
}

/* An IPv4 route of detection: IPv6 is looked at before it is handed over. */
static void accept_v4(struct reach_ladder *l, int tier, enum ladder_kind kind, bool verified) {
        accept_route(l, tier, kind, l->candidate, verified);
        l->step = STEP_DUAL_PINHOLE;
}

/* ---- asking ---- */

static const struct ladder_action *ask(struct reach_ladder *l, enum ladder_ask what, const char *url) {
        l->asked = (struct ladder_action){.ask = what, .nested = l->nested};
        if (url)
                snprintf(l->asked.url, sizeof l->asked.url, "%s", url);
        return &l->asked;
}

static bool operator_usable(struct reach_ladder *l) {
        struct iicp_url url;

        if (!l->facts.operator_endpoint || l->facts.operator_refused)
                return false;
        if (iicp_url_parse(iicp_str(l->facts.operator_endpoint), &url) == 0 &&
            (l->facts.allow_private || iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER) == 0))
                return true;
        word(l, "operator_endpoint_refused:private");
        l->facts.operator_endpoint = NULL;
        return false;
}

static bool operator_is_v6(const struct reach_ladder *l) {
        struct iicp_url url;

        return iicp_url_parse(iicp_str(l->facts.operator_endpoint), &url) == 0 && url.ipv6;
}

static bool wants_map(const struct ladder_facts *f) {
        return !f->bridged && !f->skip_mapping && f->private_v4;
}

/* Is the step one that is to be made now? */
static bool due(struct reach_ladder *l) {
        const struct ladder_facts *f = &l->facts;

        switch ((enum step) l->step) {
        case STEP_OPERATOR_PINHOLE: return operator_usable(l) && operator_is_v6(l) && f->ipv6 && !f->skip_mapping;
        case STEP_OPERATOR: return operator_usable(l);
        case STEP_TUNNEL_GIVEN: return f->tunnel_endpoint != NULL;
        case STEP_RELAY_FIXED: return f->relay_fixed;
        case STEP_TUNNEL_FORCED: return f->tunnel == TUNNEL_FORCED;
        case STEP_NIC: return f->auto_detect && f->nic_v4 && !f->bridged;
        case STEP_MAP: return f->auto_detect && wants_map(f);
        case STEP_MAP_PROBE: return l->mapping[0] && l->candidate[0];
        case STEP_UNMAP: return l->mapping[0] != '\0';
        case STEP_STATIC:
                if (!f->auto_detect || !f->observed_v4)
                        return false;
                url_v4(l->candidate, f->observed_v4, f->port);
                return strcmp(l->candidate, l->refused) != 0;
        case STEP_PINHOLE: return f->auto_detect && f->ipv6 && !f->skip_mapping;
        case STEP_IPV6: return f->auto_detect && f->ipv6;
        case STEP_UNPINHOLE: return l->pinhole;
        case STEP_TUNNEL_AUTO: return f->auto_detect && f->tunnel == TUNNEL_AUTO;
        case STEP_RELAY: return f->auto_detect && !f->relay_capable;
        case STEP_DUAL_PINHOLE: return f->dual_stack && f->ipv6 && !f->skip_mapping;
        case STEP_DUAL: return f->dual_stack && f->ipv6;
        case STEP_DUAL_CLOSE: return l->pinhole && !l->ipv6_verified;
        case STEP_NONE:
        case STEP_DONE: return true;
        }
        return false;
}

const struct ladder_action *ladder_next(struct reach_ladder *l) {
        while (!due(l))
                l->step++;
        switch ((enum step) l->step) {
        case STEP_OPERATOR_PINHOLE:
        case STEP_PINHOLE:
        case STEP_DUAL_PINHOLE:
                return ask(l, LADDER_PINHOLE, NULL);
        case STEP_OPERATOR:
                return ask(l, LADDER_PROBE, l->facts.operator_endpoint);
        case STEP_TUNNEL_GIVEN:
                return ask(l, LADDER_CHECK_TUNNEL, l->facts.tunnel_endpoint);
        case STEP_RELAY_FIXED:
        case STEP_RELAY:
                return ask(l, LADDER_BIND_RELAY, NULL);
        case STEP_TUNNEL_FORCED:
        case STEP_TUNNEL_AUTO:
                return ask(l, LADDER_START_TUNNEL, NULL);
        case STEP_NIC:
                url_v4(l->candidate, l->facts.nic_v4, l->facts.port);
                return ask(l, LADDER_PROBE, l->candidate);
        case STEP_MAP:
                return ask(l, LADDER_MAP, NULL);
        case STEP_MAP_PROBE:
        case STEP_STATIC:
                return ask(l, LADDER_PROBE, l->candidate);
        case STEP_UNMAP:
                return ask(l, LADDER_UNMAP, NULL);
        case STEP_IPV6:
        case STEP_DUAL:
                url_v6(l->candidate, l->facts.ipv6, l->facts.port);
                ask(l, LADDER_PROBE, l->candidate);
                l->asked.ipv6 = true;
                return &l->asked;
        case STEP_UNPINHOLE:
        case STEP_DUAL_CLOSE:
                return ask(l, LADDER_UNPINHOLE, NULL);
        case STEP_NONE:
        case STEP_DONE:
                finish(l);
                break;
        }
        return ask(l, LADDER_DONE, NULL);
}

void ladder_start(struct reach_ladder *l, const struct ladder_facts *facts) {
        *l = (struct reach_ladder){.facts = *facts, .route = {.tier = 4}};
}

void ladder_out_of_time(struct reach_ladder *l) {
        if (l->step >= STEP_NIC && l->step < STEP_UNMAP)
                l->step = STEP_UNMAP;
        if (l->step > STEP_UNMAP && l->step < STEP_UNPINHOLE)
                l->step = STEP_UNPINHOLE;
        if (l->step >= STEP_DUAL_PINHOLE && l->step < STEP_DUAL_CLOSE)
                l->step = STEP_DUAL_CLOSE;
        /* What is left of steps 4 to 6 must not begin again behind a revocation. */
        l->facts.observed_v4 = l->facts.ipv6 = NULL;
}

/* ---- answers ---- */

/* What the gateway's address is, where the candidate is not simply it. */
static void nested_word(struct reach_ladder *l, const char *external_ip) {
        struct sockaddr_storage a;

        if (l->nested == NESTED_SUSPECT)
                word(l, "external_mismatch");
        else if (l->nested == NESTED_CGNAT)
                word(l, "nested_nat:cgnat");
        else if (l->nested == NESTED_PRIVATE)
                word(l, "nested_nat:private");
        else if (l->nested == NESTED_UNKNOWN)
                word(l, external_ip && iicp_addr_parse(external_ip, &a) ? "nested_nat:this_network" : "nested_nat:unknown");
}

void ladder_mapped(struct reach_ladder *l, bool granted, const char *protocol, const char *external_ip, uint16_t port) {
        struct nested_verdict v;

        nested_judge(external_ip, l->facts.observed_v4, &v);
        l->cgnat = v.nested == NESTED_CGNAT;
        l->nested = v.nested;
        l->step = STEP_MAP_PROBE;
        l->candidate[0] = '\0';
        if (!granted) {
                word(l, "mapping_failed");
                return;
        }
        snprintf(l->mapping, sizeof l->mapping, "%s", protocol);
        nested_word(l, external_ip);
        l->needs_verified = v.needs_verified;
        if (v.try_[0])
                url_v4(l->candidate, v.try_, port);
}

void ladder_pinholed(struct reach_ladder *l, bool granted, const char *protocol) {
        l->pinhole = granted;
        snprintf(l->pinhole_by, sizeof l->pinhole_by, "%s", granted ? protocol : "");
        l->step++;
}

static void probed_mapping(struct reach_ladder *l, enum ladder_probe outcome) {
        if (outcome == PROBE_VERIFIED || (outcome == PROBE_INDETERMINATE && !l->needs_verified)) {
                snprintf(l->route.mapping, sizeof l->route.mapping, "%s", l->mapping);
                accept_v4(l, 1, l->nested == NESTED_SINGLE || l->nested == NESTED_SUSPECT ? ROUTE_MAPPED : ROUTE_MAPPED_NESTED,
                          outcome == PROBE_VERIFIED);
                return;
        }
        if (l->nested == NESTED_SINGLE)
                word(l, "mapping_refuted");
        if (outcome == PROBE_REFUTED)
                snprintf(l->refused, sizeof l->refused, "%s", l->candidate);
        l->step = STEP_UNMAP;
}

static void probed_ipv6(struct reach_ladder *l, enum ladder_probe outcome) {
        bool insists = l->facts.advertise_unverified_ipv6;

        if (outcome == PROBE_VERIFIED || insists) {
                enum ladder_kind kind = outcome != PROBE_VERIFIED ? ROUTE_IPV6_UNVERIFIED
                                        : l->pinhole              ? ROUTE_PINHOLE
                                                                  : ROUTE_IPV6;

                accept_route(l, l->pinhole ? 2 : 0, kind, l->candidate, outcome == PROBE_VERIFIED);
                l->route.ipv6_open = l->pinhole || outcome == PROBE_VERIFIED;
                snprintf(l->route.mapping, sizeof l->route.mapping, "%s", l->pinhole_by);
                finish(l);
                return;
        }
        word(l, "ipv6_not_verified");
        l->step = STEP_UNPINHOLE;
}

void ladder_probed(struct reach_ladder *l, enum ladder_probe outcome) {
        switch ((enum step) l->step) {
        case STEP_OPERATOR:
                if (outcome == PROBE_REFUTED)
                        word(l, "operator_endpoint_refuted");
                accept_route(l, 0, ROUTE_OPERATOR, l->facts.operator_endpoint, outcome == PROBE_VERIFIED);
                l->route.ipv6_open = l->pinhole || (outcome == PROBE_VERIFIED && operator_is_v6(l));
                finish(l);
                break;
        case STEP_NIC:
                if (outcome != PROBE_REFUTED) {
                        accept_v4(l, 0, ROUTE_NIC, outcome == PROBE_VERIFIED);
                        break;
                }
                word(l, "nic_refuted");
                snprintf(l->refused, sizeof l->refused, "%s", l->candidate);
                l->step++;
                break;
        case STEP_MAP_PROBE:
                probed_mapping(l, outcome);
                break;
        case STEP_STATIC:
                if (outcome == PROBE_VERIFIED) {
                        snprintf(l->route.mapping, sizeof l->route.mapping, "static");
                        accept_v4(l, 0, ROUTE_STATIC, true);
                } else
                        l->step++;
                break;
        case STEP_IPV6:
                probed_ipv6(l, outcome);
                break;
        case STEP_DUAL:
                l->ipv6_verified = l->route.ipv6_open = outcome == PROBE_VERIFIED;
                l->step++;
                break;
        default:
                break;
        }
}

void ladder_tunnelled(struct reach_ladder *l, bool ok, const char *url) {
        bool given = l->step == STEP_TUNNEL_GIVEN;

        if (ok) {
                accept_route(l, 3, given ? ROUTE_TUNNEL_STABLE : ROUTE_TUNNEL_QUICK, given ? l->facts.tunnel_endpoint : url, true);
                finish(l);
                return;
        }
        word(l, "tunnel_failed");
        l->step++;
}

void ladder_bound(struct reach_ladder *l, bool ok, const char *endpoint) {
        if (ok) {
                accept_route(l, 3, ROUTE_RELAY, endpoint, true);
                finish(l);
        } else
                l->step = STEP_NONE; /* a fixed relay ends it, an elected one was the last step */
}

void ladder_revoked(struct reach_ladder *l) {
        if (l->step == STEP_UNMAP) {
                word(l, "mapping_revoked");
                l->mapping[0] = '\0';
                l->nested = NESTED_UNKNOWN;
        } else {
                l->pinhole = false;
                l->pinhole_by[0] = '\0';
        }
        l->step++;
}
