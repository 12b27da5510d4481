/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_SPANS_H
#define IICPD_SPANS_H

/* Trace spans of finished tasks, exported as OTLP/HTTP JSON in the background. A task leaves its
 * three spans when it ends and never waits: what does not fit or is not taken is dropped and
 * counted. Nothing is kept while trace.endpoint is not set. [02 section 13.4] */

#include <iicp/buf.h>
#include <iicp/trace.h>
#include <iicp/urn.h>

#define SPANS_MAX 512          /* of one batch, and waiting at most */
#define SPANS_EVERY_MS 5000
#define SPANS_TIMEOUT_MS 5000  /* of one export */
#define SPANS_ANSWER_MAX 65536 /* bytes of an answer that nobody reads */

struct node;
struct spans;

/* One ended task. Times are clock_mono_ms; 0: that part was not reached. */
struct span_task {
        const struct iicp_trace *trace;
        bool has_parent;                     /* trace->span_id is a span of the caller */
        const char *backend_span;            /* 16 hex digits, as the backend got it; "" = none */
        struct iicp_str task_id, intent;
        uint64_t received_ms, executing_ms, calling_ms, ended_ms;
        bool ok;
};

struct spans *spans_new(struct node *node);
struct spans *spans_free(struct spans *s);
bool spans_wanted(const struct spans *s);
void spans_task(struct spans *s, const struct span_task *t);
uint64_t spans_dropped_total(const struct spans *s);

#endif
