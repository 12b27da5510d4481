/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define CHAT "urn:iicp:intent:llm:chat:v1"

static char *text_of(const struct metrics *m) {
        struct iicp_buf out = {0};
        size_t n;

        metrics_print(m, &out);
        assert_int_equal(out.error, 0);
        return iicp_buf_take(&out, &n);
}

static struct metrics *with_chat(void) {
        static const char *const urns[] = {CHAT};
        struct metrics *m = metrics_new();

        assert_non_null(m);
        metrics_set_intents(m, urns, 1);
        return m;
}

static void has(const char *text, const char *line) {
        if (!strstr(text, line))
                fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void METRICS_04_mandatory_metrics_are_there_with_labels(void **state) {
        struct metrics *m = with_chat();

        (void) state;
        metrics_task(m, IICP_STR(CHAT), IICP_QOS_INTERACTIVE, OUTCOME_SUCCESS, 120, 42);
        char *t = text_of(m);
        has(t, "# TYPE iicp_tasks_total counter\n");
        has(t, "iicp_tasks_total{status=\"success\",intent=\"" CHAT "\",qos=\"interactive\"} 1\n");
        has(t, "iicp_tasks_total{status=\"timeout\",intent=\"" CHAT "\",qos=\"realtime\"} 0\n");
        has(t, "# TYPE iicp_task_latency_ms histogram\n");
        has(t, "iicp_task_latency_ms_sum{intent=\"" CHAT "\",qos=\"interactive\"} 120\n");
        has(t, "iicp_tokens_used_total{intent=\"" CHAT "\"} 42\n");
        free(t);
        metrics_free(m);
}

static void METRICS_08_buckets_are_cumulated(void **state) {
        static const unsigned long long ms[] = {50, 51, 100, 4999, 5000, 5001, 30001};
        struct metrics *m = with_chat();

        (void) state;
        for (size_t i = 0; i < sizeof ms / sizeof ms[0]; i++)
                metrics_task(m, IICP_STR(CHAT), IICP_QOS_BATCH, OUTCOME_ERROR, ms[i], -1);
        char *t = text_of(m);
        has(t, "qos=\"batch\",le=\"50\"} 1\n");
        has(t, "qos=\"batch\",le=\"100\"} 3\n");
        has(t, "qos=\"batch\",le=\"2500\"} 3\n");
        has(t, "qos=\"batch\",le=\"5000\"} 5\n");
        has(t, "qos=\"batch\",le=\"10000\"} 6\n");
        has(t, "qos=\"batch\",le=\"30000\"} 6\n");
        has(t, "qos=\"batch\",le=\"+Inf\"} 7\n");
        has(t, "iicp_task_latency_ms_count{intent=\"" CHAT "\",qos=\"batch\"} 7\n");
        free(t);
        metrics_free(m);
}

static void IICPD_02_54_unknown_intents_make_no_series(void **state) {
        struct metrics *m = with_chat();

        (void) state;
        for (unsigned i = 0; i < 60; i++) {
                char urn[64];

                snprintf(urn, sizeof urn, "urn:iicp:intent:secret%u:chat:v1", i);
                metrics_task(m, iicp_str(urn), IICP_QOS_BEST_EFFORT, OUTCOME_ERROR, 1, -1);
        }
        char *t = text_of(m);
        assert_null(strstr(t, "secret"));
        has(t, "iicp_tasks_total{status=\"error\",intent=\"other\",qos=\"best-effort\"} 60\n");
        free(t);
        metrics_free(m);
}

static void refusals_that_share_a_code_are_one_series(void **state) {
        struct metrics *m = metrics_new();

        (void) state;
        metrics_refused(m, IICP_REFUSE_DUPLICATE_TASK);
        metrics_refused(m, IICP_REFUSE_REPLAY);
        char *t = text_of(m), *first = strstr(t, "{code=\"conflict\"} 2\n");
        assert_non_null(first);
        assert_null(strstr(first + 1, "{code=\"conflict\"}"));
        assert_int_equal(metrics_refused_total(m), 2);
        free(t);
        metrics_free(m);
}

static void quantile_comes_from_the_histogram(void **state) {
        struct metrics *m = with_chat();

        (void) state;
        assert_int_equal(metrics_latency_quantile(m, 0.5), -1);
        for (unsigned i = 0; i < 10; i++)
                metrics_task(m, IICP_STR(CHAT), IICP_QOS_BATCH, OUTCOME_SUCCESS, 60, -1);
        assert_int_equal(metrics_latency_quantile(m, 0.5), 75);
        metrics_free(m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(METRICS_04_mandatory_metrics_are_there_with_labels),
                cmocka_unit_test(METRICS_08_buckets_are_cumulated),
                cmocka_unit_test(IICPD_02_54_unknown_intents_make_no_series),
                cmocka_unit_test(refusals_that_share_a_code_are_one_series),
                cmocka_unit_test(quantile_comes_from_the_histogram),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
