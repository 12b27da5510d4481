/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include "util.h"

#include <errno.h>
#include <stdio.h>

struct peers {
        char own_id[PEER_ID_MAX];
        struct peer *v;             /* PEERS_MAX of them */
        size_t n;
};

struct peers *peers_new(const char *own_id) {
        struct peers *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->v = calloc(PEERS_MAX, sizeof *t->v);
        if (!t->v)
                return peers_free(t);
        snprintf(t->own_id, sizeof t->own_id, "%s", own_id);
        return t;
}

struct peers *peers_free(struct peers *t) {
        if (!t)
                return NULL;
        free(t->v);
        free(t);
        return NULL;
}

void peers_set_own(struct peers *t, const char *own_id) {
        snprintf(t->own_id, sizeof t->own_id, "%s", own_id);
}

struct peer *peers_find(const struct peers *t, struct iicp_str node_id) {
        for (size_t i = 0; i < t->n; i++)
                if (iicp_str_is(node_id, t->v[i].node_id))
                        return &t->v[i];
        return NULL;
}

/* Whoever was last seen longest ago. */
static struct peer *oldest(const struct peers *t) {
        struct peer *p = &t->v[0];

        for (size_t i = 1; i < t->n; i++)
                if (t->v[i].seen_ms < p->seen_ms)
                        p = &t->v[i];
        return p;
}

/* What the directory has said about the address stays until the directory says something else. */
static void merge(struct peer *mine, const struct peer *p) {
        bool newer = p->seen_ms > mine->seen_ms;

        if (p->source >= mine->source) {
                if (newer || p->source > mine->source)
                        memcpy(mine->endpoint, p->endpoint, sizeof mine->endpoint);
                if (p->region[0])
                        memcpy(mine->region, p->region, sizeof mine->region);
                mine->source = p->source;
        }
        if (p->source == PEER_FROM_GOSSIP && newer) {
                mine->relay_capable = p->relay_capable;
                mine->relay_port = p->relay_port ? p->relay_port : PEER_RELAY_PORT;
                mine->relay_load = p->relay_load;
        }
        if (p->reputation >= 0)
                mine->reputation = p->reputation;
        mine->seen_ms = MAX(mine->seen_ms, p->seen_ms);
}

int peers_learn(struct peers *t, const struct peer *p, struct peer **ret) {
        struct peer *mine, *old;

        if (!p->node_id[0] || !p->endpoint[0] || strcmp(p->node_id, t->own_id) == 0)
                return -EINVAL;
        mine = peers_find(t, iicp_str(p->node_id));
        if (mine) {
                merge(mine, p);
        } else {
                old = t->n < PEERS_MAX ? NULL : oldest(t);
                if (old && old->seen_ms >= p->seen_ms)
                        return -ENOSPC;
                mine = old ? old : &t->v[t->n++];
                *mine = *p;
                mine->asked_ms = mine->skip_until_ms = INT64_MIN;
                if (mine->relay_port == 0)
                        mine->relay_port = PEER_RELAY_PORT;
        }
        if (ret)
                *ret = mine;
        return 0;
}

bool peer_is_live(const struct peer *p, int64_t now_ms) {
        return p->seen_ms >= now_ms - PEER_LIVE_MS;
}

unsigned peers_live(const struct peers *t, int64_t now_ms) {
        unsigned n = 0;

        for (size_t i = 0; i < t->n; i++)
                n += peer_is_live(&t->v[i], now_ms);
        return n;
}

struct peer *peers_at(const struct peers *t, size_t i) {
        return i < t->n ? &t->v[i] : NULL;
}

size_t peers_count(const struct peers *t) {
        return t->n;
}

const struct peer *peers_next_relay(const struct peers *t, size_t *at, int64_t now_ms) {
        while (*at < t->n) {
                const struct peer *p = &t->v[(*at)++];

                if (p->relay_capable && peer_is_live(p, now_ms))
                        return p;
        }
        return NULL;
}

static bool may_ask(const struct peer *p, int64_t now_ms, int64_t rest_ms) {
        return p->asked_ms <= now_ms - rest_ms && p->skip_until_ms <= now_ms;
}

struct peer *peers_target(const struct peers *t, int64_t now_ms, int64_t rest_ms, uint64_t pick) {
        bool live = peers_live(t, now_ms) > 0;
        size_t n = 0;

        for (size_t i = 0; i < t->n; i++)
                n += may_ask(&t->v[i], now_ms, rest_ms) && (!live || peer_is_live(&t->v[i], now_ms));
        if (n == 0)
                return NULL;
        pick %= n;
        for (size_t i = 0; i < t->n; i++)
                if (may_ask(&t->v[i], now_ms, rest_ms) && (!live || peer_is_live(&t->v[i], now_ms)) && pick-- == 0)
                        return &t->v[i];
        return NULL;
}
