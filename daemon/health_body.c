/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"

#include "door_http.h"
#include "door_native.h"
#include "tls_port.h"
#include "listener.h"
#include "mesh/mesh.h"
#include "node.h"
#include "observe/spans.h"
#include "reach/routes.h"
#include "policy.h"
#include "rotation.h"
#include "task/lifecycle.h"

#include <iicp/directory.h>

static void strings(struct iicp_buf *out, const char *const *v, size_t n) {
        iicp_buf_puts(out, "[");
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        iicp_buf_puts(out, ",");
                iicp_buf_json_str(out, iicp_str(v[i]));
        }
        iicp_buf_puts(out, "]");
}

/* The primary intent and all of them, as the models that are to be registered make them. */
static void intents(struct node *n, struct iicp_buf *out) {
        struct iicp_capabilities caps = {0};
        const char *const *models;
        const char *primary;
        size_t count = 0;

        models = backends_models_to_register(n->backends, &count);
        if (policy_capabilities(n->policy, models, count, &caps) < 0)
                caps = (struct iicp_capabilities){0};
        primary = caps.n > 0 ? caps.v[0].intent : n->config->intent_default;
        for (size_t i = 0; i < caps.n; i++)
                if (n->config->intent_default && strcmp(caps.v[i].intent, n->config->intent_default) == 0)
                        primary = caps.v[i].intent;
        iicp_buf_puts(out, ",\"intent\":");
        iicp_buf_json_str(out, iicp_str(primary ? primary : ""));
        iicp_buf_puts(out, ",\"intents\":[");
        for (size_t i = 0; i < caps.n; i++) {
                if (i > 0)
                        iicp_buf_puts(out, ",");
                iicp_buf_json_str(out, iicp_str(caps.v[i].intent));
        }
        iicp_buf_puts(out, "]");
        iicp_capabilities_free(&caps);
}

/* What the directory accepted last, because peers compare the two; a node that does not register
 * shows what it would. */
static void models(struct node *n, struct iicp_buf *out) {
        const char *const *v = NULL;
        size_t count = 0;

        if (n->directory && directory_state(n->directory) != DIRECTORY_OFF)
                v = directory_registered_models(n->directory, &count);
        else
                v = backends_models_to_register(n->backends, &count);
        iicp_buf_puts(out, ",\"model\":");
        iicp_buf_json_str(out, iicp_str(count > 0 ? v[0] : ""));
        iicp_buf_puts(out, ",\"models\":");
        strings(out, v, count);
}

static void pinhole_state(const struct node *n, struct iicp_buf *out) {
        uint32_t lease_s;
        unsigned id;

        if (n->routes && routes_pinhole(n->routes, &id, &lease_s))
                iicp_buf_printf(out, ",\"pinhole_state\":{\"active\":true,\"unique_id\":%u,\"lease_seconds\":%u}", id, lease_s);
        else
                iicp_buf_puts(out, ",\"pinhole_state\":{\"active\":false}");
}

static void stability(struct node *n, struct iicp_buf *out) {
        struct backend_stability s = {0};

        corridor_stability(n->corridor, &s);
        iicp_buf_puts(out, ",\"backend_stability\":{\"backend_state\":");
        iicp_buf_json_str(out, iicp_str(backend_state_name(s.state)));
        iicp_buf_puts(out, ",\"reason_class\":");
        iicp_buf_json_str(out, iicp_str(s.reason ? s.reason : "ok"));
        if (s.state == STATE_DRAINING && s.retry_after_s > 0)
                iicp_buf_printf(out, ",\"retry_after_s\":%lld", (long long) s.retry_after_s);
        if (s.state == STATE_DRAINING && s.drain_until > 0)
                iicp_buf_printf(out, ",\"drain_until\":%lld", (long long) s.drain_until);
        iicp_buf_puts(out, "}");
}

void health_body(struct node *n, struct iicp_buf *out) {
        unsigned active = corridor_active(n->corridor), most = n->config->max_concurrent;
        /* A reload can lower the limit below what runs. */
        double load = most == 0 || active > most ? 1.0 : (double) active / most;

        iicp_buf_puts(out, "{\"status\":\"ok\",\"node_id\":");
        iicp_buf_json_str(out, iicp_str(state_identity(n->state)->node_id));
        iicp_buf_puts(out, ",\"region\":");
        iicp_buf_json_str(out, iicp_str(n->config->region && *n->config->region ? n->config->region : "unknown"));
        iicp_buf_printf(out, ",\"load\":%.3f,\"active_jobs\":%u,\"max_concurrent\":%u,\"effective_max_concurrent\":%u",
                        load, active, most, corridor_effective(n->corridor));
        iicp_buf_printf(out, ",\"available\":%s",
                        n->phase == NODE_RUNNING && corridor_available(n->corridor) ? "true" : "false");
        models(n, out);
        intents(n, out);
        pinhole_state(n, out);
        stability(n, out);
        corridor_profiles_json(n->corridor, out);
        iicp_buf_puts(out, "}");
}

static void gauge(struct iicp_buf *out, const char *name, const char *help, unsigned value) {
        iicp_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %u\n", name, help, name, name, value);
}

void metrics_node_gauges(void *arg, struct iicp_buf *out) {
        struct node *n = arg;
        struct lifecycle_facts lifecycle;
        struct corridor_facts facts;
        struct backend_stability s = {0};
        uint64_t age_ms = clock_mono_ms(n->clock) - n->started_ms;

        gauge(out, "iicp_active_tasks", "Tasks that hold a slot.", corridor_active(n->corridor));
        gauge(out, "iicp_effective_max_concurrent", "Slots by the availability windows.",
              corridor_effective(n->corridor));
        corridor_stability(n->corridor, &s);
        gauge(out, "iicp_backend_draining", "1 while no backend takes new tasks.", s.state == STATE_DRAINING);
        lifecycle_facts(corridor_lifecycle(n->corridor), &lifecycle);
        gauge(out, "iicp_lifecycle_tasks", "Tasks of the lifecycle store, ended ones for an hour.", lifecycle.tasks);
        gauge(out, "iicp_lifecycle_observers", "Streams of events that are open.", lifecycle.observers);
        gauge(out, "iicp_lifecycle_buffer_bytes", "Events kept for replay.", (unsigned) lifecycle.bytes);
        iicp_buf_printf(out, "# HELP iicp_lifecycle_lagged_total Observers that were too slow.\n"
                             "# TYPE iicp_lifecycle_lagged_total counter\niicp_lifecycle_lagged_total %llu\n",
                        (unsigned long long) lifecycle.lagged);
        corridor_facts(n->corridor, &facts);
        gauge(out, "iicp_cip_active_tasks", "Sub-tasks of coordinators that run.", facts.cip_active);
        iicp_buf_printf(out, "# HELP iicp_encrypted_tasks_total Encrypted tasks.\n# TYPE iicp_encrypted_tasks_total counter\n"
                             "iicp_encrypted_tasks_total{outcome=\"opened\"} %llu\n"
                             "iicp_encrypted_tasks_total{outcome=\"refused\"} %llu\n",
                        (unsigned long long) facts.encrypted_opened, (unsigned long long) facts.encrypted_refused);
        if (n->mesh)
                gauge(out, "iicp_peers_active", "Live peers of the mesh, 0 while it is off.",
                      peers_live(mesh_peers(n->mesh), mesh_now(n->mesh)));
        rotation_gauges(n, out);
        if (n->spans)
                iicp_buf_printf(out, "# HELP iicp_trace_spans_dropped_total Spans that no collector took.\n"
                                     "# TYPE iicp_trace_spans_dropped_total counter\niicp_trace_spans_dropped_total %llu\n",
                                (unsigned long long) spans_dropped_total(n->spans));
        if (n->routes)
                routes_metrics(n->routes, out);
        if (n->listener) {
                gauge(out, "iicp_connections", "Open connections of the task port.", listener_connections(n->listener));
                gauge(out, "iicp_max_connections", "Limit of connections of the task port.",
                      listener_max_connections(n->listener));
        }
        if (n->native)
                gauge(out, "iicp_native_connections", "Open connections that speak native frames.",
                      door_native_connections(n->native));
        if (tls_port_not_after(n->tls))
                iicp_buf_printf(out, "# HELP iicp_certificate_expiry_timestamp_seconds End of a certificate.\n"
                                     "# TYPE iicp_certificate_expiry_timestamp_seconds gauge\n"
                                     "iicp_certificate_expiry_timestamp_seconds{use=\"listen\"} %lld\n",
                                (long long) tls_port_not_after(n->tls));
        iicp_buf_puts(out, "# HELP iicp_build_info Release.\n# TYPE iicp_build_info gauge\n"
                           "iicp_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
        iicp_buf_printf(out, "# HELP process_start_time_seconds Start of the process, epoch seconds.\n"
                             "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %lld\n",
                        (long long) (clock_wall_s(n->clock) - (int64_t) (age_ms / 1000)));
}
