/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "listener.h"

#include "relay/worker.h"

#include <stdio.h>
#include <stdlib.h>

/* What iicpctl shows of the route. Addresses stand here, on the control socket, and in the debug log
 * only. [04 section 16] */

static const char *const result_names[] = {
        [STEP_WORKS] = "works", [STEP_REFUSED] = "refused", [STEP_NO] = "no", [STEP_FAILED] = "failed",
        [STEP_UNKNOWN] = "unknown", [STEP_OFF] = "off", [STEP_NOT_SET] = "not set", [STEP_NOT_TRIED] = "not tried",
};

static void text(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        if (value && *value)
                iicp_buf_json_str(out, iicp_str(value));
        else
                iicp_buf_puts(out, "null");
}

static unsigned long long age_s(const struct routes *r, uint64_t since_ms) {
        return (unsigned long long) ((routes_now(r) - since_ms) / 1000);
}

static void put_lease(const struct routes *r, struct iicp_buf *out, const char *name, const struct kept_lease *k) {
        uint64_t left_ms = (uint64_t) k->lease.lease_s * 1000;
        uint64_t age_ms = routes_now(r) - k->granted_ms;

        if (!k->held) {
                iicp_buf_printf(out, ",\"%s\":%s", name, k == &r->pinhole ? "{\"active\":false}" : "null");
                return;
        }
        iicp_buf_printf(out, ",\"%s\":{\"active\":true,\"protocol\":\"%s\",\"external_port\":%u,\"lease_s\":%u,"
                             "\"left_s\":%llu,\"age_s\":%llu,\"renewals\":%llu,\"failures\":%u}",
                        name, map_protocol_name(k->lease.protocol), k->lease.external, k->lease.lease_s,
                        (unsigned long long) (left_ms > age_ms ? (left_ms - age_ms) / 1000 : 0), (unsigned long long) (age_ms / 1000),
                        (unsigned long long) k->renewals, k->failures);
}

static const char *verified_word(const struct routes *r) {
        return r->live.tier == 4 ? "none" : r->live.verified ? "verified" : "indeterminate";
}

static void put_host(const struct routes *r, struct iicp_buf *out) {
        const struct local *l = &r->local;

        iicp_buf_printf(out, ",\"port\":%u,\"runs\":%llu,\"host\":{\"container\":%s,\"vpn\":%s", listener_port(r->node->listener),
                        (unsigned long long) r->runs, l->bridged ? "true" : "false", l->vpn ? "true" : "false");
        text(out, "interface", l->v4.interface);
        text(out, "address", l->v4.address);
        text(out, "router", l->v4.gateway);
        text(out, "ipv6", l->v6.address);
        iicp_buf_puts(out, "}");
}

void routes_json(const struct routes *r, struct iicp_buf *out) {
        const struct ladder_route *l = &r->live;
        uint64_t inbound_ms = r->node->witness.foreign_ms;

        iicp_buf_printf(out, "{\"tier\":%d,\"kind\":\"%s\"", l->tier, ladder_kind_name(l->kind));
        text(out, "route", l->endpoint);
        text(out, "transport_method", l->method);
        text(out, "exposure_mode", l->exposure);
        iicp_buf_printf(out, ",\"verified\":\"%s\",\"looking\":%s", verified_word(r), routes_looking(r) ? "true" : "false");
        text(out, "verified_by", l->kind == ROUTE_RELAY ? "relay" : l->verified ? r->node->config->nat_probe_url ? "operator_probe" : "directory_probe" : NULL);
        if (l->verified)
                iicp_buf_printf(out, ",\"verified_age_s\":%llu", age_s(r, r->probed_ms));
        if (inbound_ms)
                iicp_buf_printf(out, ",\"last_inbound_age_s\":%llu", age_s(r, inbound_ms));
        put_lease(r, out, "mapping", &r->mapping);
        put_lease(r, out, "pinhole", &r->pinhole);
        text(out, "external_ip", r->mapping.held ? r->mapping.lease.external_ip : NULL);
        put_lease(r, out, "relay_port", &r->relay);
        put_host(r, out);
        text(out, "observed_ip", r->observed);
        if (r->observed[0])
                iicp_buf_printf(out, ",\"observed_age_s\":%llu", age_s(r, r->observed_ms));
        text(out, "nested_nat", r->mapping.held ? nested_name(r->ladder.nested) : "unknown");
        text(out, "why", r->live.tier == 4 ? r->why : NULL);
        text(out, "reason", r->reason);
        if (r->ended_ms)
                iicp_buf_printf(out, ",\"run_age_s\":%llu,\"run_took_ms\":%llu", age_s(r, r->ended_ms),
                                (unsigned long long) (r->ended_ms - r->began_ms));
        iicp_buf_puts(out, ",\"relay\":");
        worker_brief_json(r->node->worker, out);
        iicp_buf_puts(out, ",\"tunnel\":");
        tunnel_json(r->tunnel, out);
        iicp_buf_puts(out, ",\"guidance\":[");
        for (unsigned i = 0; i < r->n_guidance; i++)
                iicp_buf_printf(out, "%s\"%s\"", i ? "," : "", r->guidance[i]);
        iicp_buf_puts(out, "],\"log\":[");
        for (unsigned i = 0; i < r->n_evidence; i++) {
                const struct evidence *e = &r->evidence[i];

                iicp_buf_printf(out, "%s{\"tier\":%d,\"step\":\"%s\",\"result\":\"%s\",\"at_ms\":%llu,\"took_ms\":%llu", i ? "," : "",
                                e->tier, e->step, result_names[e->result], (unsigned long long) e->at_ms,
                                (unsigned long long) e->took_ms);
                text(out, "evidence", e->text);
                iicp_buf_puts(out, "}");
        }
        iicp_buf_puts(out, "]}");
}

void routes_summary_json(const struct routes *r, struct iicp_buf *out) {
        const struct kept_lease *k = r->mapping.held ? &r->mapping : &r->pinhole;
        uint64_t left_ms = (uint64_t) k->lease.lease_s * 1000, age_ms = k->held ? routes_now(r) - k->granted_ms : 0;

        iicp_buf_printf(out, ",\"verified\":\"%s\"", verified_word(r));
        if (r->live.verified)
                iicp_buf_printf(out, ",\"verified_by\":\"%s\",\"verified_age_s\":%llu",
                                r->node->config->nat_probe_url ? "operator_probe" : "directory_probe", age_s(r, r->probed_ms));
        if (k->held)
                iicp_buf_printf(out, ",\"external_port\":%u,\"lease_left_s\":%llu", k->lease.external,
                                (unsigned long long) (left_ms > age_ms ? (left_ms - age_ms) / 1000 : 0));
}

const char *routes_guidance(const struct routes *r, unsigned i) {
        return i < r->n_guidance ? r->guidance[i] : NULL;
}

bool routes_pinhole(const struct routes *r, unsigned *ret_id, uint32_t *ret_lease_s) {
        const struct kept_lease *k = &r->pinhole;

        if (!k->held)
                return false;
        *ret_id = (unsigned) strtoul(k->lease.unique_id, NULL, 10);
        *ret_lease_s = k->lease.lease_s;
        return true;
}

void routes_metrics(const struct routes *r, struct iicp_buf *out) {
        static const char *const outcomes[] = {
                [PROBE_VERIFIED] = "verified", [PROBE_REFUTED] = "refuted", [PROBE_INDETERMINATE] = "indeterminate",
        };

        iicp_buf_printf(out, "# HELP iicp_reachability_tier Tier of the published route; 4 = none.\n"
                             "# TYPE iicp_reachability_tier gauge\niicp_reachability_tier %d\n"
                             "# HELP iicp_route_changes_total Routes that took the place of another.\n"
                             "# TYPE iicp_route_changes_total counter\niicp_route_changes_total %llu\n"
                             "# HELP iicp_route_probes_total Outcomes of checks from outside.\n"
                             "# TYPE iicp_route_probes_total counter\n",
                        r->live.tier, (unsigned long long) r->changes);
        for (unsigned i = 0; i < 3; i++)
                iicp_buf_printf(out, "iicp_route_probes_total{result=\"%s\"} %llu\n", outcomes[i],
                                (unsigned long long) r->probes[i]);
        iicp_buf_printf(out, "# HELP iicp_nat_renewals_total Renewals of what routers have opened.\n"
                             "# TYPE iicp_nat_renewals_total counter\n"
                             "iicp_nat_renewals_total{outcome=\"ok\"} %llu\niicp_nat_renewals_total{outcome=\"failed\"} %llu\n",
                        (unsigned long long) (r->mapping.renewals + r->pinhole.renewals),
                        (unsigned long long) (r->mapping.renewals_failed + r->pinhole.renewals_failed));
}
