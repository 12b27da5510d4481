/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"

#include "build-config.h"
#include "directory/vouch.h"
#include "door_native.h"
#include "health.h"
#include "listener.h"
#include "node.h"
#include "reach/routes.h"
#include "rotation.h"
#include "tls_port.h"
#include "util.h"

#include <stdio.h>

/* One document, from which command line, page and service manager read; nothing reads it back. */

static bool has_reason(const struct health *h, const char *word) {
        for (unsigned i = 0; i < h->n_reasons; i++)
                if (strcmp(h->reasons[i], word) == 0)
                        return true;
        return false;
}

static bool clock_troubled(const struct node *n) {
        char text[160];

        clock_watch_sentence(&n->clock_watch, text, sizeof text);
        return text[0] != '\0';
}

static const char *word_of(const struct node *n, const struct health *h) {
        if (n->phase == NODE_STARTING)
                return "starting";
        if (n->phase == NODE_STOPPING)
                return "stopping";
        if (corridor_draining(n->corridor))
                return "draining";
        if (h->readiness == HEALTH_READY)
                return directory_state(n->directory) == DIRECTORY_BLOCKED || backends_auth_failed(n->backends) ||
                                               rotation_overdue(n->rotation) || clock_troubled(n) ||
                                               vouch_degraded(n->vouch)
                               ? "degraded" : "ready";
        return h->readiness == HEALTH_DEGRADED ? "degraded" : "not ready";
}

const char *status_word(struct node *node) {
        struct health h;

        health_of(node, &h);
        return word_of(node, &h);
}

/* What the first line says behind the word. The directory's own sentence is used where the cause
 * lies there. */
static void sentence_of(struct node *n, const struct health *h, char *out, size_t cap) {
        const char *why = directory_why(n->directory), *no_route = NULL;
        struct backend_stability stability;

        backends_stability(n->backends, &stability);
        if (n->phase == NODE_STARTING)
                snprintf(out, cap, "starting");
        else if (n->phase == NODE_STOPPING || corridor_draining(n->corridor))
                snprintf(out, cap, "no new tasks, %u running", corridor_active(n->corridor));
        else if (has_reason(h, "PROVIDER_UNAVAILABLE"))
                snprintf(out, cap, "no backend answers");
        else if (stability.state == STATE_DRAINING)
                snprintf(out, cap, "every backend is paused (%s)", stability.reason);
        else if (backends_auth_failed(n->backends))
                snprintf(out, cap, "backend '%s' rejects our key: check its api_key",
                         backends_auth_failed(n->backends));
        else if (has_reason(h, "NO_CAPACITY"))
                snprintf(out, cap, "the availability window is closed");
        else if (has_reason(h, "ROUTING_UNAVAILABLE")) {
                node_endpoint(n, &no_route);
                snprintf(out, cap, "no public route: %s", no_route ? no_route : "unknown");
        } else if (why[0])
                snprintf(out, cap, "%s", why);
        else if (rotation_overdue(n->rotation))
                snprintf(out, cap, "the encryption key is past its end and the directory has taken no other");
        else if (clock_troubled(n))
                clock_watch_sentence(&n->clock_watch, out, cap);
        else if (vouch_degraded(n->vouch))
                snprintf(out, cap, "%s", vouch_degraded(n->vouch));
        else
                snprintf(out, cap, "%u of %u slots in use", corridor_active(n->corridor),
                         corridor_effective(n->corridor));
}

void status_sentence(struct node *node, char *out, unsigned long cap) {
        struct health h;

        health_of(node, &h);
        sentence_of(node, &h, out, cap);
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
        }
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
        char sentence[256];
        struct health h;

        health_of(n, &h);
        sentence_of(n, &h, sentence, sizeof(sentence));
        backends_stability(n->backends, &stability);
        iicp_buf_printf(out, "{\"schema\":\"iicp.status/1\",\"version\":\"%s\",\"state\":\"%s\",\"sentence\":",
                        PACKAGE_VERSION, word_of(n, &h));
        iicp_buf_json_str(out, iicp_str(sentence));
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
        iicp_buf_printf(out, ",\"draining\":%s%s%s", corridor_draining(n->corridor) ? "\"" : "",
                        corridor_draining(n->corridor) ? corridor_draining(n->corridor) : "null",
                        corridor_draining(n->corridor) ? "\"" : "");
        iicp_buf_printf(out, ",\"backend_stability\":{\"backend_state\":\"%s\",\"reason_class\":\"%s\"}",
                        backend_state_name(stability.state), stability.reason);
        iicp_buf_puts(out, ",\"backends\":");
        backends_json(n->backends, out);
        iicp_buf_puts(out, ",\"directory\":");
        directory_json(n->directory, out);
        iicp_buf_puts(out, ",\"clock\":");
        clock_watch_json(&n->clock_watch, out);
        iicp_buf_puts(out, ",\"encryption\":");
        rotation_json(n->rotation, out);
        iicp_buf_puts(out, ",\"config\":{\"file\":");
        if (n->config_source.path)
                iicp_buf_json_str(out, iicp_str(n->config_source.path));
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, "}}");
}
