/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "task/rate.h"
#include "util.h"

#include <iicp/endpoint.h>
#include <stdio.h>

/* POST /v1/peers of another node. The order of the checks is the contract's. */

/* ---- signatures that were seen ---- */

static struct seen_signature *seen_at(const struct mesh *m, size_t i) {
        return &m->seen[(m->seen_first + i) % MESH_SEEN_MAX];
}

/* All live equally long, so the first one expires first. */
static enum iicp_refusal_id note_signature(struct mesh *m, const uint8_t signature[IICP_SIGNATURE]) {
        int64_t now = mesh_now(m);

        while (m->n_seen > 0 && seen_at(m, 0)->until_ms <= now) {
                m->seen_first = (m->seen_first + 1) % MESH_SEEN_MAX;
                m->n_seen--;
        }
        for (size_t i = 0; i < m->n_seen; i++)
                if (memcmp(seen_at(m, i)->bytes, signature, IICP_SIGNATURE) == 0)
                        return IICP_REFUSE_GOSSIP_REPLAY;
        if (m->n_seen == MESH_SEEN_MAX)
                return IICP_REFUSE_GOSSIP_RATE;
        memcpy(seen_at(m, m->n_seen)->bytes, signature, IICP_SIGNATURE);
        seen_at(m, m->n_seen++)->until_ms = now + MESH_SEEN_MS;
        return IICP_REFUSE_NONE;
}

/* ---- the answer ---- */

static bool endpoint_allowed(const struct mesh *m, const char *endpoint) {
        struct iicp_url url;

        return iicp_url_parse(iicp_str(endpoint), &url) == 0 &&
               (m->node->config->allow_private || iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER) == 0);
}

/* Who has proved to be there is a peer, under the address that the directory has of it. */
static void learn_sender(struct mesh *m, const struct sender *s, const struct iicp_gossip_request *r) {
        struct iicp_gossip_peer said = {0};
        struct peer one = {.source = PEER_FROM_DIRECTORY, .seen_ms = mesh_now(m), .reputation = s->reputation}, *mine;

        memcpy(one.node_id, s->node_id, sizeof one.node_id);
        memcpy(one.endpoint, s->endpoint, sizeof one.endpoint);
        memcpy(one.region, s->region, sizeof one.region);
        if (!endpoint_allowed(m, s->endpoint) || peers_learn(m->peers, &one, &mine) < 0)
                return;
        if (iicp_gossip_sender(r, &said)) {
                mine->relay_capable = said.relay_capable;
                mine->relay_port = said.relay_port;
                mine->relay_load = said.relay_load;
        }
        mine->skip_until_ms = INT64_MIN; /* it speaks to us */
        mesh_changed(m);
}

struct choice {
        const struct peers *peers;
        bool known[PEERS_MAX];
};

static void mark_known(void *arg, const char *node_id) {
        struct choice *c = arg;
        const struct peer *p = peers_find(c->peers, iicp_str(node_id));

        if (p)
                c->known[p - peers_at(c->peers, 0)] = true;
}

/* The best reputation that is known, then who was seen last. */
static bool before(const struct peer *a, const struct peer *b) {
        if (a->reputation > b->reputation || a->reputation < b->reputation)
                return a->reputation > b->reputation;
        return a->seen_ms > b->seen_ms;
}

/* The next best one that is not taken yet. */
static const struct peer *best(struct choice *c, int64_t now) {
        const struct peer *found = NULL;

        for (size_t i = 0; i < peers_count(c->peers); i++) {
                const struct peer *p = peers_at(c->peers, i);

                if (!c->known[i] && peer_is_live(p, now) && (!found || before(p, found)))
                        found = p;
        }
        if (found)
                c->known[found - peers_at(c->peers, 0)] = true;
        return found;
}

static void told(const struct mesh *m, const struct peer *p, struct iicp_gossip_peer *ret) {
        *ret = (struct iicp_gossip_peer){
                .seen_ms = mesh_wall_ms(m) - (mesh_now(m) - p->seen_ms),
                .relay_capable = p->relay_capable,
                .relay_port = p->relay_port,
                .relay_load = p->relay_load,
        };
        memcpy(ret->node_id, p->node_id, sizeof ret->node_id);
        memcpy(ret->endpoint, p->endpoint, sizeof ret->endpoint);
        memcpy(ret->region, p->region, sizeof ret->region);
}

static void write_answer(const struct mesh *m, const struct iicp_gossip_request *r, struct iicp_buf *out) {
        struct iicp_gossip_peer list[IICP_GOSSIP_SEND_PEERS];
        struct choice c = {.peers = m->peers};
        const struct peer *p;
        size_t n = 0;

        iicp_gossip_known(r, mark_known, &c);
        mark_known(&c, r->sender_id);
        while (n < IICP_GOSSIP_SEND_PEERS && (p = best(&c, mesh_now(m))))
                told(m, p, &list[n++]);
        iicp_gossip_answer(state_identity(m->node->state)->node_id, list, n, out);
}

/* ---- the checks ---- */

static enum iicp_refusal_id check(struct mesh *m, struct sender *s, const struct iicp_gossip_request *r) {
        enum iicp_refusal_id id = iicp_gossip_check(r, s->key, mesh_wall_ms(m));

        if (id != IICP_REFUSE_NONE || (id = note_signature(m, r->signature)) != IICP_REFUSE_NONE)
                return id;
        if (s->exchanged_ms != INT64_MIN && mesh_now(m) - s->exchanged_ms < (int64_t) MESH_ROUND_MS)
                return IICP_REFUSE_GOSSIP_RATE;
        s->exchanged_ms = mesh_now(m);
        return IICP_REFUSE_NONE;
}

static void finish(struct mesh_exchange *e, enum iicp_refusal_id id) {
        _cleanup_(iicp_buf_free) struct iicp_buf answer = {0};
        struct mesh_exchange done = *e;
        struct mesh *m = e->mesh;

        free(e);
        if (id == IICP_REFUSE_NONE)
                write_answer(m, &done.request, &answer);
        if (answer.error)
                id = IICP_REFUSE_INTERNAL;
        if (id == IICP_REFUSE_NONE)
                m->answered++;
        else
                m->refused++;
        done.fn(done.arg, id, iicp_buf_str(&answer));
}

static void judge(struct mesh_exchange *e, struct sender *s) {
        enum iicp_refusal_id id = s ? check(e->mesh, s, &e->request) : IICP_REFUSE_FORBIDDEN;

        if (id == IICP_REFUSE_NONE)
                learn_sender(e->mesh, s, &e->request);
        finish(e, id);
}

void mesh_looked_up(struct mesh *m, struct sender *s) {
        struct mesh_exchange *e = TAKE_PTR(m->waiting);

        if (e)
                judge(e, s);
}

static enum iicp_refusal_id before_the_key(struct mesh *m, const struct mesh_message *q,
                                           struct iicp_gossip_request *ret) {
        char source[16];

        if (q->body.n > IICP_GOSSIP_BODY_MAX)
                return IICP_REFUSE_TOO_LARGE;
        if (!rate_take(m->rate, rate_source(q->peer, source), MESH_PER_SOURCE, (uint64_t) mesh_now(m)))
                return IICP_REFUSE_GOSSIP_RATE;
        return iicp_gossip_open(q->body, q->signature, state_identity(m->node->state)->node_id, ret);
}

struct mesh_exchange *mesh_receive(struct mesh *m, const struct mesh_message *q, mesh_answer_fn fn, void *arg) {
        struct mesh_exchange *e = calloc(1, sizeof *e);
        enum iicp_refusal_id id;
        struct sender *s;

        if (!e) {
                fn(arg, IICP_REFUSE_INTERNAL, IICP_STR_NONE);
                return NULL;
        }
        *e = (struct mesh_exchange){.mesh = m, .fn = fn, .arg = arg};
        id = before_the_key(m, q, &e->request);
        if (id != IICP_REFUSE_NONE) {
                finish(e, id);
                return NULL;
        }
        s = sender_find(m, e->request.sender_id);
        if (!s && sender_look_up(m, e->request.sender_id)) {
                m->waiting = e;
                return e;
        }
        judge(e, s);
        return NULL;
}

/* The question goes on: its answer is kept for the next time. */
void mesh_cancel(struct mesh_exchange *e) {
        if (!e)
                return;
        e->mesh->waiting = NULL;
        free(e);
}
