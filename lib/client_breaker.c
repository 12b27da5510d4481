/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <errno.h>
#include <stdio.h>

/* One breaker a node. [06 section 11.4] closed -> (threshold failures in a row) open -> (reset_ms)
 * half-open, where one request is let through. Entries that are closed without failures are not
 * kept, so the table holds troubled nodes only. */

#define BREAKER_NODES_MAX 1024

struct breaker_entry {
        char node_id[IICP_NODE_ID_MAX + 1];
        unsigned failures;
        bool open, probing;
        int64_t opened_ms, used_ms;
};

struct iicp_breaker {
        unsigned threshold;
        int64_t reset_ms;
        struct breaker_entry *v;
        size_t n, cap;
};

struct iicp_breaker *iicp_breaker_new(unsigned threshold, int64_t reset_ms) {
        struct iicp_breaker *b = calloc(1, sizeof(*b));

        if (b) {
                b->threshold = threshold;
                b->reset_ms = reset_ms;
        }
        return b;
}

struct iicp_breaker *iicp_breaker_free(struct iicp_breaker *b) {
        if (b)
                free(b->v);
        free(b);
        return NULL;
}

static struct breaker_entry *find(struct iicp_breaker *b, const char *node_id) {
        for (size_t i = 0; i < b->n; i++)
                if (!strcmp(b->v[i].node_id, node_id))
                        return &b->v[i];
        return NULL;
}

/* A fresh entry, in place of the least recently used one when the table is full. */
static struct breaker_entry *insert(struct iicp_breaker *b, const char *node_id) {
        struct breaker_entry *e;

        if (b->n < BREAKER_NODES_MAX) {
                if (b->n == b->cap) {
                        size_t cap = b->cap ? MIN(b->cap * 2, (size_t) BREAKER_NODES_MAX) : 8;

                        e = realloc(b->v, cap * sizeof(*e));
                        if (!e)
                                return NULL;
                        b->v = e;
                        b->cap = cap;
                }
                e = &b->v[b->n++];
        } else {
                e = &b->v[0];
                for (size_t i = 1; i < b->n; i++)
                        if (b->v[i].used_ms < e->used_ms)
                                e = &b->v[i];
        }
        *e = (struct breaker_entry){0};
        snprintf(e->node_id, sizeof(e->node_id), "%s", node_id);
        return e;
}

bool iicp_breaker_allows(struct iicp_breaker *b, const char *node_id, int64_t now_ms,
                         int64_t *ret_wait_ms) {
        struct breaker_entry *e = find(b, node_id);
        int64_t wait;

        if (!e || !e->open)
                return true;
        wait = e->opened_ms + b->reset_ms - now_ms;
        if (wait <= 0 && !e->probing)
                return true;
        if (ret_wait_ms)
                *ret_wait_ms = MAX(wait, 0);
        return false;
}

bool iicp_breaker_acquire(struct iicp_breaker *b, const char *node_id, int64_t now_ms) {
        struct breaker_entry *e = find(b, node_id);

        if (!iicp_breaker_allows(b, node_id, now_ms, NULL))
                return false;
        if (e) {
                e->used_ms = now_ms;
                e->probing = e->open;
        }
        return true;
}

void iicp_breaker_report(struct iicp_breaker *b, const char *node_id, int64_t now_ms,
                         enum iicp_verdict v) {
        struct breaker_entry *e = find(b, node_id);

        if (v == IICP_VERDICT_NONE) {
                if (e)
                        e->probing = false;
        } else if (v == IICP_VERDICT_OK) {
                if (e)
                        *e = b->v[--b->n];
        } else {
                if (!e)
                        e = insert(b, node_id);
                if (!e)
                        return;
                e->used_ms = now_ms;
                e->failures++;
                if (e->failures >= b->threshold || e->open) {
                        e->open = true;
                        e->opened_ms = now_ms;
                }
                e->probing = false;
        }
}
