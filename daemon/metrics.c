/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <errno.h>
#include <iicp/base.h>
#include <stdlib.h>
#include <string.h>

#define INTENTS_MAX 32
#define QOS_N 4
#define NAMED_MAX 32 /* static label values of one family */
#define GAUGES_MAX 16

static const unsigned bounds_ms[] = {50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};
#define BOUNDS (sizeof bounds_ms / sizeof bounds_ms[0])

static const char *const outcome_names[OUTCOME_MAX_] = {
        [OUTCOME_SUCCESS] = "success", [OUTCOME_ERROR] = "error",
        [OUTCOME_TIMEOUT] = "timeout", [OUTCOME_ABORTED] = "aborted",
};

struct series {
        uint64_t outcomes[OUTCOME_MAX_];
        uint64_t buckets[BOUNDS + 1]; /* not cumulated */
        uint64_t sum_ms;
};

/* Counters whose label is a static text of the caller. */
struct named {
        const char *label[NAMED_MAX];
        uint64_t n[NAMED_MAX];
};

struct metrics {
        char *intents[INTENTS_MAX];
        size_t n_intents;
        struct series series[INTENTS_MAX + 1][QOS_N]; /* the last is "other" */
        uint64_t tokens[INTENTS_MAX + 1];
        uint64_t refused[IICP_REFUSE_MAX_];
        struct named auth, backend, heartbeat, connection;
        struct {
                metrics_gauge_fn fn;
                void *arg;
                bool private;
        } gauges[GAUGES_MAX];
        size_t n_gauges;
};

struct metrics *metrics_new(void) {
        return calloc(1, sizeof(struct metrics));
}

struct metrics *metrics_free(struct metrics *m) {
        if (!m)
                return NULL;
        for (size_t i = 0; i < m->n_intents; i++)
                free(m->intents[i]);
        free(m);
        return NULL;
}

/* An intent keeps its place for good, so that counters never go back; places are bounded. */
void metrics_set_intents(struct metrics *m, const char *const *urns, size_t n) {
        for (size_t i = 0; i < n; i++) {
                size_t k;

                for (k = 0; k < m->n_intents && strcmp(m->intents[k], urns[i]) != 0; k++)
                        ;
                if (k < m->n_intents || k == INTENTS_MAX)
                        continue;
                m->intents[k] = strdup(urns[i]);
                if (m->intents[k])
                        m->n_intents++;
        }
}

static size_t intent_place(const struct metrics *m, struct iicp_str intent) {
        for (size_t i = 0; i < m->n_intents; i++)
                if (iicp_str_is(intent, m->intents[i]))
                        return i;
        return INTENTS_MAX;
}

void metrics_task(struct metrics *m, struct iicp_str intent, enum iicp_qos qos,
                  enum task_outcome outcome, uint64_t latency_ms, int64_t tokens) {
        size_t i = intent_place(m, intent), b = 0;
        struct series *s = &m->series[i][(unsigned) qos < QOS_N ? qos : IICP_QOS_BEST_EFFORT];

        s->outcomes[outcome]++;
        while (b < BOUNDS && latency_ms > bounds_ms[b])
                b++;
        s->buckets[b]++;
        s->sum_ms += latency_ms;
        if (tokens > 0)
                m->tokens[i] += (uint64_t) tokens;
}

void metrics_refused(struct metrics *m, enum iicp_refusal_id id) {
        if (id > IICP_REFUSE_NONE && id < IICP_REFUSE_MAX_)
                m->refused[id]++;
}

static void named_add(struct named *f, const char *label) {
        for (size_t i = 0; i < NAMED_MAX; i++) {
                if (!f->label[i])
                        f->label[i] = label;
                if (strcmp(f->label[i], label) == 0) {
                        f->n[i]++;
                        return;
                }
        }
}

void metrics_auth_failure(struct metrics *m, const char *reason) {
        named_add(&m->auth, reason);
}

void metrics_backend(struct metrics *m, const char *outcome) {
        named_add(&m->backend, outcome);
}

void metrics_heartbeat_failure(struct metrics *m, const char *reason) {
        named_add(&m->heartbeat, reason);
}

void metrics_connection_refused(struct metrics *m, const char *reason) {
        named_add(&m->connection, reason);
}

static int add_gauges(struct metrics *m, metrics_gauge_fn fn, void *arg, bool private) {
        if (m->n_gauges == GAUGES_MAX)
                return -ENOSPC;
        m->gauges[m->n_gauges].fn = fn;
        m->gauges[m->n_gauges].private = private;
        m->gauges[m->n_gauges++].arg = arg;
        return 0;
}

int metrics_add_gauges(struct metrics *m, metrics_gauge_fn fn, void *arg) {
        return add_gauges(m, fn, arg, false);
}

int metrics_add_private(struct metrics *m, metrics_gauge_fn fn, void *arg) {
        return add_gauges(m, fn, arg, true);
}

/* ---- text ---- */

static void family(struct iicp_buf *out, const char *name, const char *type, const char *help) {
        iicp_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *intent_name(const struct metrics *m, size_t i) {
        return i == INTENTS_MAX ? "other" : m->intents[i];
}

static uint64_t series_count(const struct series *s) {
        uint64_t n = 0;

        for (size_t b = 0; b <= BOUNDS; b++)
                n += s->buckets[b];
        return n;
}

/* Registered intents are there from the start, with zeros, so that a rate sees their first task;
 * "other" when something has happened. */
static bool shown(const struct metrics *m, size_t i, const struct series *s) {
        return i < m->n_intents || (i == INTENTS_MAX && series_count(s) > 0);
}

static void print_tasks(const struct metrics *m, struct iicp_buf *out) {
        family(out, "iicp_tasks_total", "counter", "Executed tasks.");
        for (size_t i = 0; i <= INTENTS_MAX; i++)
                for (unsigned q = 0; q < QOS_N; q++) {
                        const struct series *s = &m->series[i][q];

                        for (unsigned o = 0; shown(m, i, s) && o < OUTCOME_MAX_; o++)
                                iicp_buf_printf(out, "iicp_tasks_total{status=\"%s\",intent=\"%s\",qos=\"%s\"} %llu\n",
                                                outcome_names[o], intent_name(m, i), iicp_qos_name(q),
                                                (unsigned long long) s->outcomes[o]);
                }
}

static void print_histogram(const struct metrics *m, struct iicp_buf *out, size_t i, unsigned q) {
        const struct series *s = &m->series[i][q];
        const char *intent = intent_name(m, i), *qos = iicp_qos_name(q);
        unsigned long long n = 0;

        for (size_t b = 0; b < BOUNDS; b++) {
                n += s->buckets[b];
                iicp_buf_printf(out, "iicp_task_latency_ms_bucket{intent=\"%s\",qos=\"%s\",le=\"%u\"} %llu\n", intent,
                                qos, bounds_ms[b], n);
        }
        n += s->buckets[BOUNDS];
        iicp_buf_printf(out, "iicp_task_latency_ms_bucket{intent=\"%s\",qos=\"%s\",le=\"+Inf\"} %llu\n", intent, qos, n);
        iicp_buf_printf(out, "iicp_task_latency_ms_sum{intent=\"%s\",qos=\"%s\"} %llu\n", intent, qos,
                        (unsigned long long) s->sum_ms);
        iicp_buf_printf(out, "iicp_task_latency_ms_count{intent=\"%s\",qos=\"%s\"} %llu\n", intent, qos, n);
}

static void print_latency(const struct metrics *m, struct iicp_buf *out) {
        family(out, "iicp_task_latency_ms", "histogram", "Time from the complete request to the answer.");
        for (size_t i = 0; i <= INTENTS_MAX; i++)
                for (unsigned q = 0; q < QOS_N; q++)
                        if (shown(m, i, &m->series[i][q]))
                                print_histogram(m, out, i, q);
}

static void print_tokens(const struct metrics *m, struct iicp_buf *out) {
        family(out, "iicp_tokens_used_total", "counter", "Tokens that backends reported.");
        for (size_t i = 0; i <= INTENTS_MAX; i++)
                if (i < m->n_intents || m->tokens[i] > 0)
                        iicp_buf_printf(out, "iicp_tokens_used_total{intent=\"%s\"} %llu\n", intent_name(m, i),
                                        (unsigned long long) m->tokens[i]);
}

/* Several refusals share a code; a series must appear once. */
static void print_refused(const struct metrics *m, struct iicp_buf *out) {
        family(out, "iicp_tasks_rejected_total", "counter", "Refused requests by error code.");
        for (unsigned i = 1; i < IICP_REFUSE_MAX_; i++) {
                const char *code = iicp_refusal_info(i)->code;
                uint64_t n = 0;
                bool before = false;

                for (unsigned k = 1; k < IICP_REFUSE_MAX_; k++) {
                        if (strcmp(iicp_refusal_info(k)->code, code) != 0)
                                continue;
                        before |= k < i;
                        n += m->refused[k];
                }
                if (!before && n > 0)
                        iicp_buf_printf(out, "iicp_tasks_rejected_total{code=\"%s\"} %llu\n", code, (unsigned long long) n);
        }
}

static void print_named(const struct named *f, struct iicp_buf *out, const char *name, const char *label,
                        const char *help) {
        family(out, name, "counter", help);
        for (size_t i = 0; i < NAMED_MAX && f->label[i]; i++)
                iicp_buf_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, f->label[i], (unsigned long long) f->n[i]);
}

static void print(const struct metrics *m, struct iicp_buf *out, bool private) {
        print_tasks(m, out);
        print_latency(m, out);
        print_tokens(m, out);
        print_refused(m, out);
        print_named(&m->auth, out, "iicp_auth_failures_total", "reason", "Requests with credentials of which none was valid.");
        print_named(&m->backend, out, "iicp_backend_requests_total", "outcome", "Requests to backends.");
        print_named(&m->heartbeat, out, "iicp_heartbeat_failures_total", "reason", "Heartbeats without success.");
        print_named(&m->connection, out, "iicp_connections_refused_total", "reason", "Connections closed by a limit.");
        for (size_t i = 0; i < m->n_gauges; i++)
                if (private || !m->gauges[i].private)
                        m->gauges[i].fn(m->gauges[i].arg, out);
}

void metrics_print(const struct metrics *m, struct iicp_buf *out) {
        print(m, out, true);
}

void metrics_print_public(const struct metrics *m, struct iicp_buf *out) {
        print(m, out, false);
}

/* ---- read back ---- */

uint64_t metrics_tasks_total(const struct metrics *m, enum task_outcome outcome) {
        uint64_t n = 0;

        for (size_t i = 0; i <= INTENTS_MAX; i++)
                for (unsigned q = 0; q < QOS_N; q++)
                        n += m->series[i][q].outcomes[outcome];
        return n;
}

uint64_t metrics_refused_total(const struct metrics *m) {
        uint64_t n = 0;

        for (unsigned i = 0; i < IICP_REFUSE_MAX_; i++)
                n += m->refused[i];
        return n;
}

int64_t metrics_latency_quantile(const struct metrics *m, double q) {
        uint64_t total = 0, buckets[BOUNDS + 1] = {0}, before = 0;

        for (size_t i = 0; i <= INTENTS_MAX; i++)
                for (unsigned k = 0; k < QOS_N; k++)
                        for (size_t b = 0; b <= BOUNDS; b++) {
                                buckets[b] += m->series[i][k].buckets[b];
                                total += m->series[i][k].buckets[b];
                        }
        if (total == 0)
                return -1;
        for (size_t b = 0; b < BOUNDS; b++) {
                double low = b ? bounds_ms[b - 1] : 0, want = q * (double) total;

                if ((double) (before + buckets[b]) >= want && buckets[b] > 0)
                        return (int64_t) (low + (bounds_ms[b] - low) * (want - (double) before) / (double) buckets[b]);
                before += buckets[b];
        }
        return bounds_ms[BOUNDS - 1]; /* beyond the last bound nothing finer is known */
}
