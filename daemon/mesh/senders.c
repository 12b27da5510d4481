/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "util.h"

#include <iicp/directory_read.h>
#include <stdio.h>

/* Keys of senders: what the directory says about them, and nobody else. */

struct sender *sender_find(struct mesh *m, const char *node_id) {
        for (size_t i = 0; i < m->n_senders; i++)
                if (strcmp(m->senders[i].node_id, node_id) == 0)
                        return mesh_now(m) - m->senders[i].asked_ms < MESH_KEY_MS ? &m->senders[i] : NULL;
        return NULL;
}

/* A place for one: its own, a free one, that of the one that was asked for longest ago. */
static struct sender *place(struct mesh *m, const char *node_id) {
        struct sender *oldest = &m->senders[0];

        for (size_t i = 0; i < m->n_senders; i++) {
                if (strcmp(m->senders[i].node_id, node_id) == 0)
                        return &m->senders[i];
                if (m->senders[i].asked_ms < oldest->asked_ms)
                        oldest = &m->senders[i];
        }
        if (m->n_senders < MESH_KEYS_MAX)
                oldest = &m->senders[m->n_senders++];
        *oldest = (struct sender){.exchanged_ms = INT64_MIN};
        snprintf(oldest->node_id, sizeof oldest->node_id, "%s", node_id);
        return oldest;
}

static struct sender *keep(struct mesh *m, const struct iicp_directory_node *n, const uint8_t key[IICP_SIGN_KEY]) {
        struct sender *s = place(m, n->node_id);

        memcpy(s->key, key, sizeof s->key);
        memcpy(s->endpoint, n->endpoint, sizeof s->endpoint);
        memcpy(s->region, n->region, sizeof s->region);
        s->reputation = n->reputation;
        s->asked_ms = mesh_now(m);
        return s;
}

static void answered(void *arg, const struct fetch_answer *a) {
        struct mesh *m = arg;
        struct iicp_directory_node n;
        uint8_t key[IICP_SIGN_KEY];
        bool good = a->error == FETCH_OK && a->status == 200 && iicp_directory_node_read(a->body, &n) == 0 &&
                    strcmp(n.node_id, m->lookup_id) == 0 &&
                    iicp_gossip_key(a->body, key) == 0;

        m->lookup = NULL;
        mesh_looked_up(m, good ? keep(m, &n, key) : NULL);
}

bool sender_look_up(struct mesh *m, const char *node_id) {
        int64_t now = mesh_now(m);

        if (m->lookup || (m->looked_up_ms != INT64_MIN && now - m->looked_up_ms < MESH_LOOKUP_MS))
                return false;
        m->lookup = directory_node(m->node->directory, iicp_str(node_id), answered, m);
        if (m->lookup) {
                m->looked_up_ms = now;
                snprintf(m->lookup_id, sizeof m->lookup_id, "%s", node_id);
        }
        return m->lookup != NULL;
}
