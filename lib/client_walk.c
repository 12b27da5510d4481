/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <errno.h>
#include <stdio.h>

/* State of one walk. [06 section 11.2] */
struct walk_run {
        struct iicp_walk *w;
        struct iicp_outcome last;
        char last_prefix[9];
        bool all_timed_out, sent, final, cancelled;
};

static unsigned tries_allowed(const struct iicp_walk *w) {
        if (!w->qos_attempts || !w->qos)
                return w->max_retries;
        return !strcmp(w->qos, "realtime")      ? 1
               : !strcmp(w->qos, "interactive") ? 2
               : !strcmp(w->qos, "batch")       ? 3
                                                : 5;
}

static void remember(struct walk_run *r, const struct iicp_outcome *o, const char *prefix,
                     int64_t elapsed) {
        struct iicp_walk *w = r->w;

        snprintf(r->last_prefix, sizeof(r->last_prefix), "%s", prefix);
        if (w->n_log < IICP_ATTEMPTS_KEPT) {
                struct iicp_attempt *a = &w->log[w->n_log++];

                snprintf(a->node_prefix, sizeof(a->node_prefix), "%s", prefix);
                snprintf(a->code, sizeof(a->code), "%s", o->cls == IICP_CLASS_DONE ? "" : o->code);
                a->http_status = o->http_status;
                a->elapsed_ms = elapsed;
        }
        r->last = *o;
        r->sent = r->sent || o->sent;
        if (o->cls != IICP_CLASS_DONE && !o->timed_out)
                r->all_timed_out = false;
}

/* What the class of a bare attempt becomes by what this submit did before. */
static enum iicp_class settle(const struct iicp_walk *w, const struct iicp_outcome *o,
                              bool reached_before) {
        if (o->cls == IICP_CLASS_DONE)
                return o->cls;
        if (o->http_status == 409 && o->cls == IICP_CLASS_FINAL && reached_before)
                return IICP_CLASS_SWITCH;
        if (w->no_replay && o->no_reply && o->sent_all)
                return IICP_CLASS_FINAL;
        return o->cls;
}

/* Whether to go on with the same node after this outcome; waits if so. */
static bool stay(struct walk_run *r, enum iicp_class cls, size_t candidate, unsigned tries) {
        struct iicp_walk *w = r->w;
        bool last = candidate + 1 == w->n;
        int64_t wait;

        if (cls == IICP_CLASS_SAME) {
                if (tries >= tries_allowed(w) || (!last && w->qos && !strcmp(w->qos, "realtime")))
                        return false;
        } else if (cls != IICP_CLASS_SWITCH_RETRYABLE || !last || w->attempts >= w->max_retries)
                return false;

        wait = iicp_backoff_wait(&w->backoff, tries - 1, w->ops->draw(w->arg), r->last.hint_ms,
                                 w->deadline_ms - w->ops->now_ms(w->arg));
        if (wait < 0)
                return false;
        if (w->ops->wait_ms(w->arg, wait) < 0) {
                r->cancelled = true;
                return false;
        }
        return true;
}

/* All tries on one candidate. True: the walk is over. */
static bool visit(struct walk_run *r, size_t candidate, bool *ret_done) {
        struct iicp_walk *w = r->w;
        bool reached = false;
        unsigned tries = 0;
        enum iicp_class cls;

        do {
                struct iicp_outcome o;
                int64_t start = w->ops->now_ms(w->arg), left = w->deadline_ms - start;

                if (left <= IICP_DEADLINE_MARGIN_MS)
                        return true;
                if (!w->ops->admit(w->arg, candidate))
                        return false;
                iicp_outcome_init(&o);
                w->attempts++;
                tries++;
                w->ops->attempt(w->arg, candidate, MIN(w->timeout_ms + IICP_ATTEMPT_GRACE_MS, left),
                                &o);
                cls = o.cancelled ? IICP_CLASS_FINAL : settle(w, &o, reached);
                reached = reached || o.sent;
                remember(r, &o, w->ops->prefix(w->arg, candidate), w->ops->now_ms(w->arg) - start);
                r->cancelled = o.cancelled;
                if (cls == IICP_CLASS_DONE || cls == IICP_CLASS_FINAL) {
                        *ret_done = cls == IICP_CLASS_DONE;
                        r->final = cls == IICP_CLASS_FINAL;
                        return true;
                }
        } while (stay(r, cls, candidate, tries));
        return r->cancelled;
}

static void explain(struct walk_run *r, struct iicp_error *e) {
        struct iicp_walk *w = r->w;

        if (r->cancelled)
                iicp_error_set(e, "cancelled", "sdk", false, "cancelled by the caller");
        else if (r->final) {
                bool local = r->last.http_status == 0;

                iicp_error_set(e, r->last.code, local ? "sdk" : "adapter",
                               !w->no_replay && iicp_code_retryable(r->last.code), "%s",
                               r->last.message[0] ? r->last.message : "refused by the node");
                e->http_status = r->last.http_status;
        } else if (r->all_timed_out) {
                iicp_error_set(e, "timeout", "sdk", true, "no node answered in time");
                e->http_status = 504;
        } else {
                iicp_error_set(e, "no_available_node", "sdk", true, "none of the nodes answered");
                e->http_status = 502;
        }
        if (w->attempts > 0) {
                snprintf(e->cause.code, sizeof(e->cause.code), "%s", r->last.code);
                snprintf(e->cause.node_prefix, sizeof(e->cause.node_prefix), "%s", r->last_prefix);
                e->cause.http_status = r->last.http_status;
                e->retry_after_ms = r->last.hint_ms;
        }
        e->attempts = w->attempts;
        e->sent = r->sent;
        memcpy(e->log, w->log, sizeof(e->log));
        e->n_log = w->n_log;
}

ssize_t iicp_walk_run(struct iicp_walk *w, struct iicp_error *error) {
        struct walk_run r = {.w = w, .all_timed_out = true};

        for (size_t i = 0; i < w->n && i < w->max_retries; i++) {
                bool done = false;

                if (visit(&r, i, &done)) {
                        if (done)
                                return (ssize_t) i;
                        break;
                }
        }
        explain(&r, error);
        return -1;
}
