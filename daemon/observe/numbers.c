/* SPDX-License-Identifier: Apache-2.0 */
#include "numbers.h"

#include "control/control.h"
#include "directory/directory.h"
#include "findings/findings.h"
#include "health.h"
#include "log.h"
#include "node.h"
#include "observe/feed.h"
#include "util.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *const public_families[] = {
        "iicp_build_info", "process_start_time_seconds",
        "iicp_tasks_total", "iicp_task_latency_ms", "iicp_tokens_used_total", "iicp_tasks_rejected_total",
        "iicp_active_tasks", "iicp_effective_max_concurrent", "iicp_auth_failures_total",
        "iicp_backend_requests_total", "iicp_backend_draining", "iicp_heartbeat_failures_total",
        "iicp_reachability_tier", "iicp_nat_renewals_total", "iicp_route_changes_total", "iicp_route_probes_total",
        "iicp_peers_active",
};

bool numbers_is_public(struct iicp_str family) {
        for (size_t i = 0; i < ARRAY_SIZE(public_families); i++)
                if (iicp_str_is(family, public_families[i]))
                        return true;
        return false;
}

/* A family begins with its HELP line; what follows up to the next one is its own. */
void numbers_filter(struct iicp_str text, struct iicp_buf *out) {
        static const char help[] = "# HELP ";
        const char *p = text.p, *end = text.p + text.n;
        bool keep = false;

        while (p < end) {
                const char *nl = memchr(p, '\n', (size_t) (end - p));
                const char *next = nl ? nl + 1 : end;
                size_t n = sizeof(help) - 1;

                if ((size_t) (next - p) > n && memcmp(p, help, n) == 0) {
                        const char *name = p + n, *blank = memchr(name, ' ', (size_t) (next - name));

                        keep = blank && numbers_is_public((struct iicp_str){name, (size_t) (blank - name)});
                }
                if (keep)
                        iicp_buf_add(out, p, (size_t) (next - p));
                p = next;
        }
}

void numbers_public(struct node *n, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf all = {0};

        metrics_print_public(n->metrics, &all);
        numbers_filter(iicp_buf_str(&all), out);
}

/* ---- what is added ---- */

static void family(struct iicp_buf *out, const char *name, const char *type, const char *help) {
        iicp_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct iicp_buf *out, const char *name, const char *type, const char *help, double value) {
        family(out, name, type, help);
        iicp_buf_printf(out, "%s %.15g\n", name, value);
}

static void label(struct iicp_buf *out, const char *text) {
        for (; *text; text++)
                if (*text == '"' || *text == '\\')
                        iicp_buf_printf(out, "\\%c", *text);
                else if (*text == '\n')
                        iicp_buf_puts(out, "\\n");
                else
                        iicp_buf_add(out, text, 1);
}

static void state(struct node *n, struct iicp_buf *out) {
        static const char *const words[] = {"starting", "ready", "degraded", "not ready", "draining", "stopping"};
        const char *word = status_word(n);
        struct health h;

        health_of(n, &h);
        one(out, "iicp_ready", "gauge", "1 while tasks can be served.", h.readiness != HEALTH_NOT_READY);
        one(out, "iicp_degraded", "gauge", "1 while tasks are served and something needs attention.",
            strcmp(word, "degraded") == 0);
        family(out, "iicp_lifecycle_info", "gauge", "The word of the state.");
        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                iicp_buf_puts(out, "iicp_lifecycle_info{state=\"");
                label(out, strcmp(words[i], "not ready") == 0 ? "not_ready" : words[i]);
                iicp_buf_printf(out, "\"} %d\n", strcmp(words[i], word) == 0);
        }
        findings_metrics(n->findings, out);
        one(out, "iicp_waiting_tasks", "gauge", "Tasks that wait for a slot.", corridor_waiting(n->corridor));
}

/* One family for all backends; value gives the number of each. */
static void each_backend(struct node *n, struct iicp_buf *out, const char *name, const char *help,
                         double (*value)(const struct backend_facts *f)) {
        struct backend_facts f;

        family(out, name, "gauge", help);
        for (size_t i = 0; backends_facts(n->backends, i, &f); i++) {
                iicp_buf_printf(out, "%s{backend=\"", name);
                label(out, f.name);
                iicp_buf_printf(out, "\"} %.15g\n", value(&f));
        }
}

static double is_up(const struct backend_facts *f) {
        return !f->down && !f->auth_failed;
}

static double models_of(const struct backend_facts *f) {
        return (double) f->models;
}

static double in_flight_of(const struct backend_facts *f) {
        return f->in_flight;
}

static void backends(struct node *n, struct iicp_buf *out) {
        each_backend(n, out, "iicp_backend_up", "1 while it answers and takes our key.", is_up);
        each_backend(n, out, "iicp_backend_in_flight", "Requests on their way to it.", in_flight_of);
        each_backend(n, out, "iicp_backend_models", "Models that it offers.", models_of);
}

static void route(struct node *n, struct iicp_buf *out) {
        uint64_t foreign_ms = n->witness.foreign_ms, now_ms = clock_mono_ms(n->clock);

        if (foreign_ms > 0)
                one(out, "iicp_last_inbound_timestamp_seconds", "gauge", "Last connection from outside, epoch seconds.",
                    (double) (clock_wall_s(n->clock) - (int64_t) ((now_ms - foreign_ms) / 1000)));
}

static unsigned open_files(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        while (d && readdir(d))
                n++;
        if (d)
                closedir(d);
        return n > 3 ? n - 3 : 0; /* the two dots and the folder itself */
}

static double resident_bytes(void) {
        FILE *f = fopen("/proc/self/statm", "re");
        unsigned long size, resident = 0;

        if (f) {
                if (fscanf(f, "%lu %lu", &size, &resident) != 2)
                        resident = 0;
                fclose(f);
        }
        return (double) resident * (double) sysconf(_SC_PAGESIZE);
}

static double seconds(struct timeval t) {
        return (double) t.tv_sec + (double) t.tv_usec / 1e6;
}

static void process(struct iicp_buf *out) {
        struct rusage u = {0};
        struct rlimit files = {0};

        getrusage(RUSAGE_SELF, &u);
        getrlimit(RLIMIT_NOFILE, &files);
        one(out, "process_cpu_seconds_total", "counter", "User and system time.", seconds(u.ru_utime) + seconds(u.ru_stime));
        one(out, "process_resident_memory_bytes", "gauge", "Memory that is in use.", resident_bytes());
        one(out, "process_open_fds", "gauge", "Open descriptors.", open_files());
        one(out, "process_max_fds", "gauge", "Limit of open descriptors.", (double) files.rlim_cur);
}

static void loop(struct node *n, struct iicp_buf *out) {
        const struct pulse *p = &n->pulse;
        unsigned long long sum = 0;

        one(out, "iicp_loop_busy_ratio", "gauge", "Share of about the last minute that the main loop computed.", p->busy);
        family(out, "iicp_loop_lag_seconds", "histogram", "How late a timer of one second came.");
        for (size_t i = 0; i < PULSE_BUCKETS; i++) {
                sum += p->buckets[i];
                iicp_buf_printf(out, "iicp_loop_lag_seconds_bucket{le=\"%g\"} %llu\n", (double) pulse_bound_ms[i] / 1000, sum);
        }
        iicp_buf_printf(out, "iicp_loop_lag_seconds_bucket{le=\"+Inf\"} %llu\niicp_loop_lag_seconds_sum %.3f\n"
                             "iicp_loop_lag_seconds_count %llu\n",
                        (unsigned long long) p->count, (double) p->sum_ms / 1000, (unsigned long long) p->count);
}

static void logs(struct iicp_buf *out) {
        static const char *const names[] = {
                [LOG_L_ERR] = "err", [LOG_L_WARN] = "warn", [LOG_L_NOTICE] = "notice", [LOG_L_INFO] = "info",
                [LOG_L_DEBUG] = "debug",
        };

        family(out, "iicp_log_lines_total", "counter", "Lines of the log that were written.");
        for (int l = LOG_L_ERR; l <= LOG_L_DEBUG; l++)
                iicp_buf_printf(out, "iicp_log_lines_total{level=\"%s\"} %llu\n", names[l],
                                (unsigned long long) log_lines_total((enum log_level) l));
        one(out, "iicp_log_suppressed_total", "counter", "Lines above the cap of 20 in a second.",
            (double) log_suppressed_total());
}

static void upkeep(struct node *n, struct iicp_buf *out) {
        one(out, "iicp_config_last_reload_success", "gauge", "1 when the last reload was taken, or there was none.",
            !n->config_rejected);
        one(out, "iicp_config_last_reload_timestamp_seconds", "gauge", "When the running configuration was read, epoch seconds.",
            (double) n->config_read_s);
        one(out, "iicp_state_write_failures_total", "counter", "Writes of the state that failed.",
            (double) feed_seen(n->feed, "state_save_failed"));
        family(out, "iicp_registrations_total", "counter", "Registrations by what became of them.");
        iicp_buf_printf(out, "iicp_registrations_total{outcome=\"ok\"} %llu\niicp_registrations_total{outcome=\"failed\"} %llu\n",
                        (unsigned long long) (feed_seen(n->feed, "register_ok") + feed_seen(n->feed, "reregister_ok")),
                        (unsigned long long) (feed_seen(n->feed, "register_fail") + feed_seen(n->feed, "register_blocked") +
                                              feed_seen(n->feed, "reregister_fail")));
}

void numbers_everything(struct node *n, struct iicp_buf *out) {
        metrics_print(n->metrics, out);
        tally_print(&n->tally, out);
        state(n, out);
        backends(n, out);
        route(n, out);
        loop(n, out);
        process(out);
        logs(out);
        upkeep(n, out);
}
