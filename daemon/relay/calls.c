/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "merge.h"
#include "util.h"

#include <errno.h>
#include <iicp/uuid.h>

const uint64_t relay_bucket_ms[RELAY_BUCKETS] = {10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 120000};

static const struct {
        const char *name, *text;
} outcomes[RELAY_OUTCOME_MAX_] = {
        [RELAY_DONE] = {"ok", ""},
        [RELAY_LOST] = {"lost", "relay session forward failed: the worker's session ended"},
        [RELAY_TIMED_OUT] = {"timeout", "relay session forward failed: the worker did not answer in time"},
        [RELAY_BAD_RESULT] = {"bad_result", "relay session forward failed: the worker's answer is no JSON object"},
        [RELAY_TOO_LARGE] = {"too_large", "relay session forward failed: the worker's answer is too large"},
        [RELAY_UNDELIVERED] = {"undelivered", "relay session forward failed: the task could not be sent"},
        [RELAY_BACKPRESSURE] = {"backpressure", "relay session forward failed: relay_backpressure_exceeded"},
        [RELAY_BAD_STREAM] = {"bad_stream", "relay session forward failed: the worker's events are out of order"},
        [RELAY_CANCELLED] = {"cancelled", ""},
};

const char *relay_outcome_name(enum relay_outcome o) {
        return outcomes[o].name;
}

const char *relay_outcome_text(enum relay_outcome o) {
        return outcomes[o].text;
}

const char *relay_call_id(const struct relay_call *c) {
        return c->id;
}

const struct relay_task *relay_call_task(const struct relay_call *c) {
        return &c->task;
}

/* ---- sending ---- */

struct relay_call *relay_call_next(struct relay_session *s) {
        struct relay_call *c;

        if (s->unsent == 0)
                return NULL;
        TAILQ_FOREACH(c, &s->calls, link)
                if (!c->sent)
                        return c;
        return NULL;
}

void relay_call_sent(struct relay_call *c, bool sent) {
        if (c->sent == sent)
                return;
        c->sent = sent;
        c->session->unsent += sent ? -1u : 1u;
}

void relay_call_fail(struct relay_call *c, enum relay_outcome why) {
        relay_call_finish(c, why, NULL);
}

/* ---- ends ---- */

static void count_latency(struct relay_session *s, uint64_t ms) {
        struct relay_counts *n = &s->relay->counts;
        size_t i = 0;

        while (i < RELAY_BUCKETS && ms > relay_bucket_ms[i])
                i++;
        n->seconds[i]++;
        n->seconds_ms += ms;
        ms = MIN(ms, (uint64_t) UINT32_MAX / 8);
        s->latency_ms = s->latency_ms ? (uint32_t) ((7 * (uint64_t) s->latency_ms + ms) / 8) : (uint32_t) ms;
}

/* Out of its session; what is told to whom is the caller's. */
static void take_out(struct relay_call *c, enum relay_outcome o) {
        struct relay_session *s = c->session;

        TAILQ_REMOVE(&s->calls, c, link);
        timer_clear(&c->due);
        s->in_flight--;
        s->unsent -= !c->sent;
        s->held -= c->task.body.n;
        s->relay->counts.in_flight--;
        s->relay->counts.held -= c->task.body.n;
        s->relay->counts.outcomes[o]++;
        if (o == RELAY_DONE)
                count_latency(s, relay_now(s->relay) - c->since_ms);
        else if (o != RELAY_CANCELLED)
                s->n_failures++;
        relay_look_idle(s->relay);
}

static void call_free(struct relay_call *c) {
        c->stream = relay_stream_free(c->stream);
        free(c);
}

void relay_call_finish(struct relay_call *c, enum relay_outcome o, struct iicp_buf *body) {
        relay_done_fn done = c->done;
        void *arg = c->arg;

        take_out(c, o);
        call_free(c);
        done(arg, o, body);
}

static void withdraw(struct relay_call *c) {
        c->session->transport->withdraw(c->session->link, c);
}

static void on_due(void *arg) {
        struct relay_call *c = arg;

        withdraw(c);
        relay_call_finish(c, RELAY_TIMED_OUT, NULL);
}

void relay_cancel(struct relay_call *c) {
        withdraw(c);
        take_out(c, RELAY_CANCELLED);
        call_free(c);
}

void relay_calls_fail(struct relay_session *s, enum relay_outcome why) {
        struct relay_call *c;

        while ((c = TAILQ_FIRST(&s->calls)))
                relay_call_finish(c, why, NULL);
}

/* ---- begin ---- */

/* All workers together may hold RELAY_HELD_MAX; beyond that each may hold an equal part of it, so that a
 * slow worker with much in its queue does not take the room of the others. */
static bool has_room(const struct relay_session *s, size_t n) {
        const struct relay *r = s->relay;
        size_t share = RELAY_HELD_MAX / MAX(r->alive, 1u);

        if (s->in_flight >= r->node->config->relay_max_in_flight)
                return false;
        return r->counts.held + n <= RELAY_HELD_MAX || s->held + n <= share;
}

static uint64_t deadline_ms(const struct relay_task *t) {
        if (t->timeout_ms == 0 || t->timeout_ms > IICP_RELAY_CALL_MS - RELAY_CALL_GRACE_MS)
                return IICP_RELAY_CALL_MS;
        return t->timeout_ms + RELAY_CALL_GRACE_MS;
}

static int call_new(struct relay_session *s, const struct relay_task *t, relay_done_fn done, void *arg,
                    struct relay_call **ret) {
        struct relay *r = s->relay;
        struct relay_call *c = calloc(1, sizeof *c);

        if (!c || iicp_uuid4(c->id) < 0) {
                free(c);
                return -ENOMEM;
        }
        c->session = s;
        c->task = *t;
        if (t->event && relay_stream_new(c) < 0) {
                free(c);
                return -ENOMEM;
        }
        c->done = done;
        c->arg = arg;
        c->since_ms = relay_now(r);
        timer_init(&c->due, r->node->loop, on_due, c);
        timer_set_ms(&c->due, deadline_ms(t));
        TAILQ_INSERT_TAIL(&s->calls, c, link);
        s->in_flight++;
        s->unsent++;
        s->held += t->body.n;
        r->counts.in_flight++;
        r->counts.held += t->body.n;
        *ret = c;
        return 0;
}

int relay_forward(struct relay_session *s, const struct relay_task *t, relay_done_fn done, void *arg,
                  struct relay_call **ret) {
        struct relay *r = s->relay;
        struct relay_call *c;
        int e;

        if (!relay_session_alive(s))
                return -ENOTCONN;
        if (t->body.n > r->node->config->relay_max_body)
                return -E2BIG;
        if (!has_room(s, t->body.n)) {
                r->counts.busy++;
                return -EBUSY;
        }
        e = call_new(s, t, done, arg, &c);
        if (e < 0)
                return e;
        s->n_calls++;
        s->bytes_to += t->body.n;
        r->counts.bytes_to += t->body.n;
        if (s->transport->deliver(s->link, c) < 0) {
                take_out(c, RELAY_UNDELIVERED);
                call_free(c);
                return -EIO;
        }
        *ret = c;
        return 0;
}

/* ---- answer ---- */

struct relay_call *relay_call_find(struct relay_session *s, struct iicp_str call_id) {
        struct relay_call *c;

        if (call_id.n != sizeof c->id - 1)
                return NULL;
        TAILQ_FOREACH(c, &s->calls, link)
                if (memcmp(c->id, call_id.p, call_id.n) == 0)
                        return c;
        return NULL;
}

void relay_answer(struct relay_session *s, struct iicp_str call_id, struct iicp_str result) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf body = {.max = IICP_FRAME_LENGTH_MAX + 65536, .secret = true};
        struct relay_call *c = relay_call_find(s, call_id);
        int r;

        if (!c || c->stream) /* a base answer to a streaming call is none: the time goes on */
                return;
        s->bytes_from += result.n;
        s->relay->counts.bytes_from += result.n;
        if (result.n > s->relay->node->config->relay_max_body) {
                relay_call_finish(c, RELAY_TOO_LARGE, NULL);
                return;
        }
        r = relay_merge(result, c->task.task_id, &body);
        if (r < 0)
                relay_call_finish(c, r == -EBADMSG ? RELAY_BAD_RESULT : RELAY_UNDELIVERED, NULL);
        else
                relay_call_finish(c, RELAY_DONE, &body);
}
