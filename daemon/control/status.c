/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"

#include "build-config.h"
#include "directory/award.h"
#include "door_native.h"
#include "findings/findings.h"
#include "health.h"
#include "listener.h"
#include "mesh/mesh.h"
#include "node.h"
#include "reach/routes.h"
#include "relay/sessions.h"
#include "rotation.h"
#include "tls_port.h"
#include "util.h"

#include <stdio.h>

/* One document, from which command line, page and service manager read; nothing reads it back. */

static const char *word_of(const struct node *n, const struct health *h, const struct findings_list *l) {
        if (n->phase == NODE_STARTING)
                return "starting";
        if (n->phase == NODE_STOPPING)
                return "stopping";
        if (corridor_draining(n->corridor))
                return "draining";
        if (h->readiness == HEALTH_READY)
                return findings_top(l, SEVERITY_WARN) ? "degraded" : "ready";
        return h->readiness == HEALTH_DEGRADED ? "degraded" : "not ready";
}

const char *status_word(struct node *node) {
        struct health h;

        health_of(node, &h);
        return word_of(node, &h, findings_look(node->findings));
}

/* The finding of the first line; NULL: all is well. */
static const struct finding *headline(const struct node *n, const struct findings_list *l) {
        const struct finding *f = NULL;

        if (n->phase == NODE_STARTING)
                f = findings_with(l, "node.starting");
        else if (n->phase == NODE_STOPPING)
                f = findings_with(l, "node.stopping");
        else if (corridor_draining(n->corridor))
                f = findings_with(l, "tasks.draining");
        return f ? f : findings_top(l, SEVERITY_WARN);
}

static void sentence_of(struct node *n, const struct finding *top, char *out, size_t cap) {
        if (top)
                snprintf(out, cap, "%s", top->what);
        else
                snprintf(out, cap, "%u of %u slots in use", corridor_active(n->corridor), corridor_effective(n->corridor));
}

void status_sentence(struct node *node, char *out, unsigned long cap) {
        sentence_of(node, headline(node, findings_look(node->findings)), out, cap);
}

static void text_or_null(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        if (value && *value)
                iicp_buf_json_str(out, iicp_str(value));
        else
                iicp_buf_puts(out, "null");
}

/* What stands behind and below the first line. */
static void headline_json(struct node *n, const struct findings_list *l, struct iicp_buf *out) {
        const struct finding *top = headline(n, l);
        char sentence[sizeof top->what];

        sentence_of(n, top, sentence, sizeof sentence);
        text_or_null(out, "sentence", sentence);
        text_or_null(out, "why", top ? top->why : NULL);
        text_or_null(out, "do", top ? top->todo : NULL);
        text_or_null(out, "until", top ? top->until : NULL);
        if (top)
                iicp_buf_printf(out, ",\"for_s\":%lld", (long long) (clock_wall_s(n->clock) - top->since_s));
        iicp_buf_puts(out, ",\"findings\":");
        findings_list_json(l, out);
}

static void health_json(const struct health *h, struct iicp_buf *out) {
        iicp_buf_printf(out, "\"health\":{\"liveness\":\"%s\",\"readiness\":\"%s\",\"reasons\":[",
                        health_liveness_name(h->liveness), health_readiness_name(h->readiness));
        for (unsigned i = 0; i < h->n_reasons; i++)
                iicp_buf_printf(out, "%s\"%s\"", i ? "," : "", h->reasons[i]);
        iicp_buf_puts(out, "]}");
}

static void node_json(struct node *n, struct iicp_buf *out) {
        iicp_buf_puts(out, "\"node\":{\"name\":");
        iicp_buf_json_str(out, iicp_str(n->config->node_name));
        iicp_buf_puts(out, ",\"node_id\":");
        iicp_buf_json_str(out, iicp_str(state_identity(n->state)->node_id));
        iicp_buf_puts(out, ",\"region\":");
        iicp_buf_json_str(out, iicp_str(n->config->region));
        iicp_buf_printf(out, ",\"pid\":%ld,\"uptime_s\":%llu}", (long) getpid(),
                        (unsigned long long) ((clock_mono_ms(n->clock) - n->started_ms) / 1000));
}

static void route_json(struct node *n, struct iicp_buf *out) {
        const char *why = NULL, *endpoint = node_endpoint(n, &why);
        char transport[256];

        iicp_buf_puts(out, "\"route\":{\"endpoint\":");
        if (endpoint)
                iicp_buf_json_str(out, iicp_str(endpoint));
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, ",\"transport_endpoint\":");
        if (node_transport_endpoint(n, transport))
                iicp_buf_json_str(out, iicp_str(transport));
        else
                iicp_buf_puts(out, "null");
        if (routes_wanted(n)) {
                const struct ladder_route *l = routes_live(n->routes);

                iicp_buf_printf(out, ",\"tier\":%d,\"kind\":\"%s\",\"mapping\":\"%s\"", l->tier, ladder_kind_name(l->kind), l->mapping);
                routes_summary_json(n->routes, out);
        }
        if (n->witness.foreign_ms)
                iicp_buf_printf(out, ",\"last_inbound_age_s\":%llu",
                                (unsigned long long) (clock_mono_ms(n->clock) - n->witness.foreign_ms) / 1000);
        iicp_buf_puts(out, ",\"reason\":");
        if (endpoint || !why)
                iicp_buf_puts(out, "null");
        else
                iicp_buf_json_str(out, iicp_str(why));
        iicp_buf_printf(out, ",\"port\":%u,\"loopback_only\":%s,\"connections\":%u,\"max_connections\":%u}",
                        listener_port(n->listener), listener_loopback_only(n->listener) ? "true" : "false",
                        listener_connections(n->listener), listener_max_connections(n->listener));
}

static void tasks_json(struct node *n, struct iicp_buf *out) {
        const struct metrics *m = n->metrics;
        struct corridor_facts facts;

        iicp_buf_printf(out, "\"tasks\":{\"active\":%u,\"waiting\":%u,\"slots\":%u,\"effective_slots\":%u",
                        corridor_active(n->corridor), corridor_waiting(n->corridor),
                        n->config->max_concurrent, corridor_effective(n->corridor));
        iicp_buf_printf(out, ",\"success\":%llu,\"error\":%llu,\"timeout\":%llu,\"aborted\":%llu,\"refused\":%llu",
                        (unsigned long long) metrics_tasks_total(m, OUTCOME_SUCCESS),
                        (unsigned long long) metrics_tasks_total(m, OUTCOME_ERROR),
                        (unsigned long long) metrics_tasks_total(m, OUTCOME_TIMEOUT),
                        (unsigned long long) metrics_tasks_total(m, OUTCOME_ABORTED),
                        (unsigned long long) metrics_refused_total(m));
        corridor_facts(n->corridor, &facts);
        iicp_buf_printf(out, ",\"sub_tasks\":%u", facts.cip_active);
        iicp_buf_printf(out, ",\"p50_ms\":%lld,\"p99_ms\":%lld}",
                        (long long) metrics_latency_quantile(m, 0.5),
                        (long long) metrics_latency_quantile(m, 0.99));
}

void status_json(struct node *n, struct iicp_buf *out) {
        struct backend_stability stability;
        const struct findings_list *l = findings_look(n->findings);
        struct health h;

        health_of(n, &h);
        backends_stability(n->backends, &stability);
        iicp_buf_printf(out, "{\"schema\":\"iicp.status/1\",\"version\":\"%s\",\"state\":\"%s\"",
                        PACKAGE_VERSION, word_of(n, &h, l));
        headline_json(n, l, out);
        iicp_buf_puts(out, ",");
        node_json(n, out);
        iicp_buf_puts(out, ",");
        health_json(&h, out);
        iicp_buf_puts(out, ",");
        route_json(n, out);
        iicp_buf_puts(out, ",");
        tasks_json(n, out);
        iicp_buf_puts(out, ",\"listen\":");
        tls_port_json(n->tls, out);
        iicp_buf_puts(out, ",\"native\":");
        door_native_json(n->native, out);
        iicp_buf_puts(out, ",\"relay\":");
        if (n->relay)
                relay_json(n->relay, out);
        else
                iicp_buf_puts(out, "null");
        iicp_buf_printf(out, ",\"draining\":%s%s%s", corridor_draining(n->corridor) ? "\"" : "",
                        corridor_draining(n->corridor) ? corridor_draining(n->corridor) : "null",
                        corridor_draining(n->corridor) ? "\"" : "");
        iicp_buf_printf(out, ",\"backend_stability\":{\"backend_state\":\"%s\",\"reason_class\":\"%s\"}",
                        backend_state_name(stability.state), stability.reason);
        iicp_buf_puts(out, ",\"backends\":");
        backends_json(n->backends, out);
        iicp_buf_puts(out, ",\"directory\":");
        directory_json(n->directory, out);
        iicp_buf_puts(out, ",\"awards\":");
        awards_json(n->awards, out);
        iicp_buf_puts(out, ",\"mesh\":");
        mesh_json(n->mesh, out);
        iicp_buf_puts(out, ",\"clock\":");
        clock_watch_json(&n->clock_watch, out);
        iicp_buf_puts(out, ",\"encryption\":");
        rotation_json(n->rotation, out);
        iicp_buf_puts(out, ",\"config\":{\"file\":");
        if (n->config_source.path)
                iicp_buf_json_str(out, iicp_str(n->config_source.path));
        else
                iicp_buf_puts(out, "null");
        iicp_buf_printf(out, ",\"as_on_disk\":%s,\"restart_pending\":%s}}",
                        findings_with(l, "config.changed") || findings_with(l, "config.rejected") ? "false" : "true",
                        findings_with(l, "config.restart_pending") ? "true" : "false");
}
