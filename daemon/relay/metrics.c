/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/metrics.h"

#include "node.h"
#include "relay/sessions.h"

/* Figures of the relay. [operator design 11] */

static void family(struct iicp_buf *out, const char *name, const char *type, const char *help) {
        iicp_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct iicp_buf *out, const char *name, const char *type, const char *help, uint64_t value) {
        family(out, name, type, help);
        iicp_buf_printf(out, "%s %llu\n", name, (unsigned long long) value);
}

static void labelled(struct iicp_buf *out, const char *name, const char *label, const char *value, uint64_t n) {
        iicp_buf_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long) n);
}

static void sessions(const struct relay *r, const struct relay_counts *c, struct iicp_buf *out) {
        static const char *const transports[] = {"native", "http-poll"};

        family(out, "iicp_relay_sessions", "gauge", "Workers that are bound and alive.");
        for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
                labelled(out, "iicp_relay_sessions", "transport", transports[i], relay_sessions_of(r, transports[i]));
        one(out, "iicp_relay_sessions_max", "gauge", "Limit of sessions.", c->max_sessions);
        one(out, "iicp_relay_sources", "gauge", "Sources whose binds are being counted.", c->sources);
        one(out, "iicp_relay_kicks_total", "counter", "Sessions that the operator ended.", c->kicks);
        one(out, "iicp_relay_sessions_died_total", "counter", "Sessions that were not heard of for 90 s.", c->dead);
        family(out, "iicp_relay_binds_total", "counter", "Attempts to bind.");
        for (enum relay_verdict v = 0; v < RELAY_VERDICT_MAX_; v++)
                labelled(out, "iicp_relay_binds_total", "outcome", relay_verdict_name(v), c->binds[v]);
}

static void seconds(const struct relay_counts *c, struct iicp_buf *out) {
        unsigned long long n = 0;

        family(out, "iicp_relay_seconds", "histogram", "Time from a task to the answer of its worker.");
        for (size_t i = 0; i < RELAY_BUCKETS; i++) {
                n += c->seconds[i];
                iicp_buf_printf(out, "iicp_relay_seconds_bucket{le=\"%g\"} %llu\n", (double) relay_bucket_ms[i] / 1000, n);
        }
        n += c->seconds[RELAY_BUCKETS];
        iicp_buf_printf(out, "iicp_relay_seconds_bucket{le=\"+Inf\"} %llu\niicp_relay_seconds_sum %.3f\n"
                             "iicp_relay_seconds_count %llu\n", n, (double) c->seconds_ms / 1000, n);
}

static void calls(const struct relay_counts *c, struct iicp_buf *out) {
        family(out, "iicp_relay_calls_total", "counter", "Tasks for workers, by how they ended.");
        for (enum relay_outcome o = 0; o < RELAY_OUTCOME_MAX_; o++)
                labelled(out, "iicp_relay_calls_total", "outcome", relay_outcome_name(o), c->outcomes[o]);
        labelled(out, "iicp_relay_calls_total", "outcome", "busy", c->busy);
        one(out, "iicp_relay_in_flight", "gauge", "Tasks that are with workers.", c->in_flight);
        one(out, "iicp_relay_held_bytes", "gauge", "Bytes of those tasks.", c->held);
        seconds(c, out);
        family(out, "iicp_relay_bytes_total", "counter", "Bytes of tasks and results.");
        labelled(out, "iicp_relay_bytes_total", "direction", "to_worker", c->bytes_to);
        labelled(out, "iicp_relay_bytes_total", "direction", "from_worker", c->bytes_from);
}

void relay_metrics(void *node, struct iicp_buf *out) {
        const struct relay *r = ((const struct node *) node)->relay;
        struct relay_counts c;

        relay_counts(r, &c);
        sessions(r, &c, out);
        calls(&c, out);
}
