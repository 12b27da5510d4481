/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <stdio.h>
#include <string.h>

static const unsigned bounds_ms[TALLY_BUCKETS] = {1, 2, 5, 10, 50, 250, 1000, 10000, 60000};

void tally_histogram_add(struct tally_histogram *h, uint64_t ms) {
        size_t i = 0;

        while (i < TALLY_BUCKETS && ms > bounds_ms[i])
                i++;
        h->buckets[i]++;
        h->sum_ms += ms;
}

void tally_add(struct tally_words *w, const char *word) {
        for (size_t i = 0; i < TALLY_WORDS; i++) {
                if (!w->word[i])
                        w->word[i] = word;
                if (strcmp(w->word[i], word) == 0) {
                        w->n[i]++;
                        return;
                }
        }
}

void tally_backend_failure(struct tally *t, const char *backend, const char *reason) {
        for (size_t i = 0; i < TALLY_BACKENDS; i++) {
                struct tally_backend *b = &t->backends[i];

                if (!b->name[0])
                        snprintf(b->name, sizeof(b->name), "%s", backend);
                if (strcmp(b->name, backend) == 0) {
                        tally_add(&b->failures, reason);
                        return;
                }
        }
}

static void histogram(const struct tally_histogram *h, struct iicp_buf *out, const char *name, const char *help) {
        unsigned long long n = 0;

        iicp_buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
        for (size_t i = 0; i < TALLY_BUCKETS; i++) {
                n += h->buckets[i];
                iicp_buf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, (double) bounds_ms[i] / 1000, n);
        }
        n += h->buckets[TALLY_BUCKETS];
        iicp_buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.3f\n%s_count %llu\n", name, n, name,
                        (double) h->sum_ms / 1000, name, n);
}

static void words(const struct tally_words *w, struct iicp_buf *out, const char *name, const char *label, const char *help) {
        iicp_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
        for (size_t i = 0; i < TALLY_WORDS && w->word[i]; i++)
                iicp_buf_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, w->word[i], (unsigned long long) w->n[i]);
}

void tally_print(const struct tally *t, struct iicp_buf *out) {
        histogram(&t->wait, out, "iicp_task_wait_seconds", "Time of a task between its arrival and its slot.");
        histogram(&t->overhead, out, "iicp_task_overhead_seconds", "Time of a task between its slot and the request to the backend.");
        histogram(&t->first_byte, out, "iicp_task_first_byte_seconds", "Time of a task until the first byte of its backend.");
        words(&t->doors, out, "iicp_tasks_by_door_total", "door", "Executed tasks by where they came in.");
        words(&t->aborted, out, "iicp_tasks_aborted_total", "by", "Executed tasks that were ended before the backend was done.");
        iicp_buf_puts(out, "# HELP iicp_backend_failures_total Requests to a backend that failed.\n"
                           "# TYPE iicp_backend_failures_total counter\n");
        for (size_t i = 0; i < TALLY_BACKENDS && t->backends[i].name[0]; i++) {
                const struct tally_backend *b = &t->backends[i];

                for (size_t k = 0; k < TALLY_WORDS && b->failures.word[k]; k++)
                        iicp_buf_printf(out, "iicp_backend_failures_total{backend=\"%s\",reason=\"%s\"} %llu\n", b->name,
                                        b->failures.word[k], (unsigned long long) b->failures.n[k]);
        }
}
