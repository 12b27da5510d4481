/* SPDX-License-Identifier: Apache-2.0 */
#include "task/recent.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>

struct ring {
        size_t cap, n, next; /* next: where the following one goes */
        struct recent_task *v;
};

struct recent {
        struct ring finished, refused;
        struct recent_task places[RECENT_FINISHED + RECENT_REFUSED];
};

struct recent *recent_new(void) {
        struct recent *r = calloc(1, sizeof *r); /* pages that are never used cost nothing */

        if (!r)
                return NULL;
        r->finished = (struct ring){.cap = RECENT_FINISHED, .v = r->places};
        r->refused = (struct ring){.cap = RECENT_REFUSED, .v = r->places + RECENT_FINISHED};
        return r;
}

struct recent *recent_free(struct recent *r) {
        free(r);
        return NULL;
}

void recent_add(struct recent *r, const struct recent_task *t) {
        struct ring *ring;

        if (!r)
                return;
        ring = strcmp(t->outcome, "refused") == 0 ? &r->refused : &r->finished;
        ring->v[ring->next] = *t;
        ring->next = (ring->next + 1) % ring->cap;
        if (ring->n < ring->cap)
                ring->n++;
}

/* The i-th newest, NULL behind the oldest. */
static const struct recent_task *newest(const struct ring *ring, size_t i) {
        return i < ring->n ? &ring->v[(ring->next + ring->cap - 1 - i) % ring->cap] : NULL;
}

static void text(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        if (value && *value)
                iicp_buf_json_str(out, iicp_str(value));
        else
                iicp_buf_puts(out, "null");
}

static void step(struct iicp_buf *out, const char *name, uint64_t at_ms, const struct recent_task *t) {
        if (at_ms)
                iicp_buf_printf(out, ",\"%s_ms\":%llu", name, (unsigned long long) (at_ms - t->received_ms));
}

static void one(const struct recent_task *t, struct iicp_buf *out) {
        char when[21];

        clock_rfc3339(t->ended_at, when);
        iicp_buf_puts(out, "{\"task_id\":");
        iicp_buf_json_str(out, iicp_str(t->id));
        text(out, "intent", t->intent);
        text(out, "model", t->model);
        text(out, "backend", t->backend);
        text(out, "caller", t->caller);
        text(out, "door", t->door);
        text(out, "outcome", t->outcome);
        text(out, "code", t->code);
        text(out, "reason", t->reason);
        text(out, "ended", when);
        iicp_buf_printf(out, ",\"status\":%d,\"encrypted\":%s,\"took_ms\":%llu", t->status, t->encrypted ? "true" : "false",
                        (unsigned long long) (t->ended_ms - t->received_ms));
        if (t->tokens >= 0)
                iicp_buf_printf(out, ",\"tokens\":%lld", (long long) t->tokens);
        iicp_buf_puts(out, ",\"steps\":{\"received_ms\":0");
        step(out, "admitted", t->admitted_ms, t);
        step(out, "backend_asked", t->asked_ms, t);
        step(out, "first_byte", t->first_ms, t);
        step(out, "answered", t->ended_ms, t);
        iicp_buf_puts(out, "}}");
}

void recent_json(const struct recent *r, bool failed, struct iicp_buf *out) {
        const struct recent_task *a, *b;
        size_t i = 0, k = 0;
        bool any = false;

        iicp_buf_puts(out, "[");
        while (r && ((a = newest(&r->finished, i)), (b = newest(&r->refused, k)), a || b)) {
                const struct recent_task *t = !b || (a && a->ended_ms >= b->ended_ms) ? a : b;

                if (t == a)
                        i++;
                else
                        k++;
                if (failed && strcmp(t->outcome, "success") == 0)
                        continue;
                iicp_buf_puts(out, any ? "," : "");
                one(t, out);
                any = true;
        }
        iicp_buf_puts(out, "]");
}

bool recent_find(const struct recent *r, const char *prefix, struct iicp_buf *out) {
        const struct recent_task *t;

        for (unsigned pass = 0; r && pass < 2; pass++)
                for (size_t i = 0; (t = newest(pass ? &r->refused : &r->finished, i)); i++)
                        if (strncmp(t->id, prefix, strlen(prefix)) == 0) {
                                one(t, out);
                                return true;
                        }
        return false;
}
