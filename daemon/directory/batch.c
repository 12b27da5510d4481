/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include "util.h"

#include <errno.h>
#include <iicp/json.h>
#include <math.h>

static void take_over(struct batch *b, const struct task_counts *now) {
        uint64_t success = now->success - b->seen.success, failed = now->failed - b->seen.failed;

        if (success == 0 && failed == 0)
                return;
        b->waiting.success = MIN(b->waiting.success + success, BATCH_WAITING_MAX);
        b->waiting.failed = MIN(b->waiting.failed + failed, BATCH_WAITING_MAX);
        b->waiting.latency_ms_sum += now->latency_ms_sum - b->seen.latency_ms_sum;
        b->seen = *now;
        b->dirty = true;
}

/* The mean of what waits is the mean of what moves: single times are not kept. */
static void move(struct batch *b) {
        uint64_t all = b->waiting.success + b->waiting.failed, moved;
        double sum;

        b->success = (unsigned) MIN(b->waiting.success, BATCH_SUCCESS_MAX);
        b->failed = (unsigned) MIN(b->waiting.failed, BATCH_FAILED_MAX);
        moved = (uint64_t) b->success + b->failed;
        sum = b->waiting.latency_ms_sum * (double) moved / (double) all;
        b->latency_centims = (uint64_t) llround(MIN(sum / (double) moved, 1e12) * 100.0);
        b->waiting.success -= b->success;
        b->waiting.failed -= b->failed;
        b->waiting.latency_ms_sum = moved == all ? 0 : b->waiting.latency_ms_sum - sum;
        b->kept_on_other_id = false;
        b->dirty = true;
}

int batch_collect(struct batch *b, const struct task_counts *now) {
        char id[37];
        int r;

        take_over(b, now);
        if (b->id[0] || (b->waiting.success == 0 && b->waiting.failed == 0))
                return 0;
        r = iicp_uuid4(id);
        if (r < 0)
                return r;
        move(b);
        memcpy(b->id, id, sizeof b->id);
        return 0;
}

void batch_metrics_json(const struct batch *b, struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"tasks_success\":%u,\"tasks_failed\":%u", b->success, b->failed);
        if (b->latency_centims > 0)
                iicp_buf_printf(out, ",\"avg_latency_ms\":%llu.%02llu",
                                (unsigned long long) b->latency_centims / 100,
                                (unsigned long long) b->latency_centims % 100);
        iicp_buf_puts(out, "}");
}

bool batch_acknowledge(struct batch *b, const char *sent, const char *accepted) {
        if (!b->id[0] || (accepted ? strcmp(accepted, b->id) != 0 : strcmp(sent, b->id) != 0))
                return false;
        b->id[0] = '\0';
        b->success = b->failed = 0;
        b->latency_centims = 0;
        b->acknowledged++;
        b->dirty = true;
        return true;
}

void batch_forget(struct batch *b) {
        b->id[0] = b->durable_id[0] = '\0';
        b->success = b->failed = 0;
        b->latency_centims = 0;
        b->waiting = (struct task_counts){0};
        b->dirty = true;
}

/* ---- the file ---- */

void batch_write(const struct batch *b, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"version\":1");
        if (b->id[0]) {
                iicp_buf_puts(out, ",\"metrics_batch_id\":");
                iicp_buf_json_str(out, iicp_str(b->id));
                iicp_buf_puts(out, ",\"metrics\":");
                batch_metrics_json(b, out);
        }
        iicp_buf_printf(out, ",\"waiting\":{\"tasks_success\":%llu,\"tasks_failed\":%llu,"
                        "\"latency_ms_sum\":%.3f}}\n",
                        (unsigned long long) b->waiting.success,
                        (unsigned long long) b->waiting.failed, b->waiting.latency_ms_sum);
}

static int count_of(const struct iicp_json *o, const char *name, uint64_t most, uint64_t *ret) {
        struct iicp_json v = iicp_json_get(o, name);
        int64_t n;

        if (iicp_json_int(&v, &n) < 0 || n < 0 || (uint64_t) n > most)
                return -EINVAL;
        *ret = (uint64_t) n;
        return 0;
}

static int time_of(const struct iicp_json *o, const char *name, double *ret) {
        struct iicp_json v = iicp_json_get(o, name);

        *ret = 0;
        if (v.type == IICP_JSON_NONE)
                return 0;
        return iicp_json_double(&v, ret) < 0 || !(*ret >= 0 && *ret <= 1e15) ? -EINVAL : 0;
}

static int read_batch(const struct iicp_json *doc, struct batch *b) {
        struct iicp_json id = iicp_json_get(doc, "metrics_batch_id");
        struct iicp_json m = iicp_json_get(doc, "metrics");
        uint64_t success, failed;
        double latency;

        if (id.type == IICP_JSON_NONE)
                return 0;
        if (iicp_json_copy(&id, b->id, sizeof b->id) < 0 || !b->id[0] ||
            b->id[strspn(b->id, "0123456789abcdef-")] ||
            count_of(&m, "tasks_success", BATCH_SUCCESS_MAX, &success) < 0 ||
            count_of(&m, "tasks_failed", BATCH_FAILED_MAX, &failed) < 0 || success + failed == 0 ||
            time_of(&m, "avg_latency_ms", &latency) < 0)
                return -EINVAL;
        b->success = (unsigned) success;
        b->failed = (unsigned) failed;
        b->latency_centims = (uint64_t) llround(latency * 100.0);
        memcpy(b->durable_id, b->id, sizeof b->id);
        return 0;
}

int batch_read(struct iicp_str bytes, struct batch *ret) {
        struct batch b = {0};
        struct iicp_json doc, waiting;

        if (iicp_json_scan(bytes, NULL, NULL, &doc) < 0)
                return -EINVAL;
        waiting = iicp_json_get(&doc, "waiting");
        if (read_batch(&doc, &b) < 0 ||
            count_of(&waiting, "tasks_success", BATCH_WAITING_MAX, &b.waiting.success) < 0 ||
            count_of(&waiting, "tasks_failed", BATCH_WAITING_MAX, &b.waiting.failed) < 0 ||
            time_of(&waiting, "latency_ms_sum", &b.waiting.latency_ms_sum) < 0)
                return -EINVAL;
        *ret = b;
        return 0;
}
