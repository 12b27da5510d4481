/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_METRICS_H
#define IICPD_METRICS_H

/* One registry of plain counters, printed as Prometheus text. Label values come from closed sets
 * only: refusal codes, statuses, classes, our registered intents or "other". [02 section 8.2] */

#include <iicp/buf.h>
#include <iicp/envelope.h>
#include <iicp/refusal.h>

struct metrics;

enum task_outcome { OUTCOME_SUCCESS, OUTCOME_ERROR, OUTCOME_TIMEOUT, OUTCOME_ABORTED, OUTCOME_MAX_ };

struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);
/* The intents that get a series of their own; all others are "other". At most 32. */
void metrics_set_intents(struct metrics *m, const char *const *urns, size_t n);

void metrics_task(struct metrics *m, struct iicp_str intent, enum iicp_qos qos,
                  enum task_outcome outcome, uint64_t latency_ms, int64_t tokens /* -1 unknown */);
void metrics_refused(struct metrics *m, enum iicp_refusal_id id);
void metrics_auth_failure(struct metrics *m, const char *reason /* static */);
void metrics_backend(struct metrics *m, const char *outcome /* ok, unreachable, timeout, busy, failed, ... static */);
void metrics_heartbeat_failure(struct metrics *m, const char *reason /* static */);
void metrics_connection_refused(struct metrics *m, const char *reason /* static */);

/* Gauges are asked for when the text is printed. */
typedef void (*metrics_gauge_fn)(void *arg, struct iicp_buf *out);
int metrics_add_gauges(struct metrics *m, metrics_gauge_fn fn, void *arg);
/* For the operator alone: not on the port that everybody reaches. */
int metrics_add_private(struct metrics *m, metrics_gauge_fn fn, void *arg);

void metrics_print(const struct metrics *m, struct iicp_buf *out);
void metrics_print_public(const struct metrics *m, struct iicp_buf *out);

/* Read back for status and heartbeat. */
uint64_t metrics_tasks_total(const struct metrics *m, enum task_outcome outcome);
uint64_t metrics_refused_total(const struct metrics *m);
/* Median of the latency histogram, milliseconds, -1 when there is none. */
int64_t metrics_latency_quantile(const struct metrics *m, double q);

#endif
