/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "log.h"
#include "task/rate.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/uuid.h>
#include <stdio.h>

/* The life of the mesh: whom to ask when, and what the directory knows of others. */

int64_t mesh_now(const struct mesh *m) {
        return (int64_t) clock_mono_ms(m->node->clock);
}

int64_t mesh_wall_ms(const struct mesh *m) {
        return clock_wall_s(m->node->clock) * 1000;
}

const struct peers *mesh_peers(const struct mesh *m) {
        return m->peers;
}

const struct peer *mesh_find(const struct mesh *m, struct iicp_str node_id) {
        const struct peer *p = peers_find(m->peers, node_id);

        return p && peer_is_live(p, mesh_now(m)) ? p : NULL;
}

/* ---- our key: of the gossip and of nothing else ---- */

int mesh_seed(const struct mesh *m, uint8_t ret[IICP_SEED]) {
        size_t n;

        return iicp_hex_decode(iicp_str(state_identity(m->node->state)->gossip_seed), ret, IICP_SEED, &n) < 0 ||
                               n != IICP_SEED
                       ? -ENOENT
                       : 0;
}

static bool make_seed(struct node *n) {
        uint8_t seed[IICP_SEED];

        if (iicp_random(seed, sizeof seed) < 0)
                return false;
        iicp_hex(seed, sizeof seed, state_identity(n->state)->gossip_seed);
        iicp_wipe(seed, sizeof seed);
        return true;
}

bool mesh_public_key(struct node *n, char out[65]) {
        uint8_t seed[IICP_SEED], key[IICP_SIGN_KEY];
        bool ok;

        if (!n->mesh || !n->mesh->enabled)
                return false;
        /* A new identity has none yet; it reaches the disk with it. */
        if (!state_identity(n->state)->gossip_seed[0] && !make_seed(n))
                return false;
        ok = mesh_seed(n->mesh, seed) == 0 && iicp_sign_public(seed, key) == 0;
        iicp_wipe(seed, sizeof seed);
        if (ok)
                iicp_hex(key, sizeof key, out);
        return ok;
}

/* ---- what is learned ---- */

void mesh_rules(const struct mesh *m, bool from_directory, struct iicp_gossip_rules *ret) {
        *ret = (struct iicp_gossip_rules){
                .own_id = state_identity(m->node->state)->node_id,
                .now_ms = mesh_wall_ms(m),
                .from_directory = from_directory,
                .allow_private = m->node->config->allow_private,
        };
}

void mesh_learn(struct mesh *m, const struct iicp_gossip_peer *p, enum peer_source_kind source) {
        struct peer one = {
                .source = source,
                .seen_ms = mesh_now(m) - (mesh_wall_ms(m) - p->seen_ms),
                .reputation = -1,
                .relay_capable = p->relay_capable,
                .relay_port = p->relay_port,
                .relay_load = p->relay_load,
        };

        memcpy(one.node_id, p->node_id, sizeof one.node_id);
        memcpy(one.endpoint, p->endpoint, sizeof one.endpoint);
        memcpy(one.region, p->region, sizeof one.region);
        if (peers_learn(m->peers, &one, NULL) == 0)
                mesh_changed(m);
}

static void from_directory(void *arg, const struct iicp_gossip_peer *p) {
        mesh_learn(arg, p, PEER_FROM_DIRECTORY);
}

void mesh_changed(struct mesh *m) {
        m->dirty = true;
        if (m->started && !timer_armed(&m->save))
                timer_set_ms(&m->save, MESH_SAVE_MS);
        if (m->alone_said && peers_live(m->peers, mesh_now(m)) > 0) {
                m->alone_said = false;
                log_info("mesh_peers", "the mesh: %u peers are alive", peers_live(m->peers, mesh_now(m)));
        }
}

static void save_due(void *arg) {
        mesh_save(arg);
}

/* ---- the directory's list ---- */

static void bootstrapped(void *arg, const struct fetch_answer *a) {
        struct mesh *m = arg;
        struct iicp_gossip_rules rules;

        m->bootstrap = NULL;
        mesh_rules(m, true, &rules);
        if (a->error != FETCH_OK || a->status != 200 || iicp_gossip_list(a->body, &rules, from_directory, m) < 0)
                log_debug("mesh_bootstrap", "the directory names no peers (%s, status %d)", fetch_error_name(a->error),
                          a->status);
}

static void ask_bootstrap(struct mesh *m) {
        if (!m->bootstrap)
                m->bootstrap = directory_bootstrap(m->node->directory, bootstrapped, m);
}

static void healed(void *arg, const struct fetch_answer *a) {
        struct mesh *m = arg;
        struct iicp_gossip_rules rules;

        m->healing = NULL;
        iicp_buf_free(&m->heal_body);
        mesh_rules(m, true, &rules);
        if (a->error == FETCH_OK && a->status == 200)
                iicp_gossip_list(a->body, &rules, from_directory, m);
}

/* With few live peers the directory may know of others; the only use of the token in the mesh. */
static void ask_heal(struct mesh *m) {
        int64_t now = mesh_now(m);
        unsigned n = 0;

        m->heal_body = (struct iicp_buf){0};
        iicp_buf_puts(&m->heal_body, "{\"node_id\":");
        iicp_buf_json_str(&m->heal_body, iicp_str(state_identity(m->node->state)->node_id));
        iicp_buf_puts(&m->heal_body, ",\"known_peers\":[");
        for (size_t i = 0; i < peers_count(m->peers) && n < MESH_HEAL_IDS; i++) {
                const struct peer *p = peers_at(m->peers, i);

                if (!peer_is_live(p, now))
                        continue;
                iicp_buf_puts(&m->heal_body, n++ ? "," : "");
                iicp_buf_json_str(&m->heal_body, iicp_str(p->node_id));
        }
        iicp_buf_puts(&m->heal_body, "]}");
        if (!m->heal_body.error)
                m->healing = directory_heal(m->node->directory, iicp_buf_str(&m->heal_body), healed, m);
        if (!m->healing)
                iicp_buf_free(&m->heal_body);
}

static bool may_speak(const struct mesh *m) {
        return m->node->phase == NODE_RUNNING && directory_state(m->node->directory) == DIRECTORY_REGISTERED;
}

static void heal_due(void *arg) {
        struct mesh *m = arg;

        timer_set_ms(&m->heal, MESH_HEAL_MS);
        if (may_speak(m) && !m->healing && peers_live(m->peers, mesh_now(m)) < MESH_HEAL_BELOW)
                ask_heal(m);
}

/* ---- rounds ---- */

static uint64_t pick(void) {
        uint64_t n = 0;

        (void) iicp_random(&n, sizeof n); /* which one is asked first does not matter */
        return n;
}

static void round_due(void *arg) {
        struct mesh *m = arg;
        int64_t now = mesh_now(m);
        struct peer *p;

        timer_set_ms(&m->round, MESH_ROUND_MS - MESH_ROUND_MS / 10 + pick() % (MESH_ROUND_MS / 5 + 1));
        if (m->node->phase != NODE_RUNNING)
                return;
        if (peers_live(m->peers, now) == 0) {
                if (!m->alone_said)
                        log_info("mesh_peers", "the mesh: no live peer, the directory is asked for some");
                m->alone_said = true;
                ask_bootstrap(m);
        }
        p = may_speak(m) && !m->sending ? peers_target(m->peers, now, MESH_ROUND_MS, pick()) : NULL;
        if (p)
                mesh_send(m, p);
}

void mesh_registered(struct mesh *m) {
        if (!m || !m->enabled)
                return;
        peers_set_own(m->peers, state_identity(m->node->state)->node_id);
        if (m->sent + m->failed == 0)
                timer_set_ms(&m->round, MESH_FIRST_MS);
}

void mesh_woke(struct mesh *m) {
        if (m && m->started)
                ask_bootstrap(m);
}

/* ---- life ---- */

struct mesh *mesh_new(struct node *node) {
        struct mesh *m = calloc(1, sizeof *m);

        if (!m)
                return NULL;
        m->node = node;
        m->enabled = node->config->mesh_enabled;
        m->looked_up_ms = INT64_MIN;
        timer_init(&m->round, node->loop, round_due, m);
        timer_init(&m->heal, node->loop, heal_due, m);
        timer_init(&m->save, node->loop, save_due, m);
        m->peers = peers_new(state_identity(node->state)->node_id);
        if (!m->peers)
                return mesh_free(m);
        if (!m->enabled)
                return m;
        m->rate = rate_new();
        m->senders = calloc(MESH_KEYS_MAX, sizeof *m->senders);
        m->seen = calloc(MESH_SEEN_MAX, sizeof *m->seen);
        return m->rate && m->senders && m->seen ? m : mesh_free(m);
}

struct mesh *mesh_free(struct mesh *m) {
        if (!m)
                return NULL;
        timer_clear(&m->round);
        timer_clear(&m->heal);
        timer_clear(&m->save);
        m->bootstrap = directory_probe_cancel(m->bootstrap);
        m->healing = directory_probe_cancel(m->healing);
        m->lookup = directory_probe_cancel(m->lookup);
        mesh_cancel(m->waiting);
        mesh_send_cancel(m);
        iicp_buf_free(&m->heal_body);
        if (m->started)
                mesh_save_now(m);
        m->rate = m->rate ? rate_free(m->rate) : NULL;
        free(m->senders);
        free(m->seen);
        peers_free(m->peers);
        free(m);
        return NULL;
}

void mesh_start(struct mesh *m) {
        char key[65];

        if (!m->enabled)
                return;
        /* At the start blocking is allowed. */
        if (!state_identity(m->node->state)->gossip_seed[0] &&
            (!mesh_public_key(m->node, key) || state_save_identity(m->node->state) < 0))
                log_warn("state_save_failed", "the gossip key is not on the disk: others have to learn another one after "
                         "a restart");
        m->started = true;
        mesh_load(m);
        log_notice("mesh_started", "the mesh is on: this node tells other nodes who is there, and asks them "
                   "(mesh.enabled)");
        timer_set_ms(&m->round, 0);
        timer_set_ms(&m->heal, MESH_HEAL_MS);
}

/* ---- views ---- */

void mesh_json(const struct mesh *m, struct iicp_buf *out) {
        int64_t now = mesh_now(m);

        iicp_buf_printf(out, "{\"enabled\":%s,\"live\":%u,\"known\":%zu,\"sent\":%llu,\"failed\":%llu,"
                             "\"answered\":%llu,\"refused\":%llu}",
                        m->enabled ? "true" : "false", peers_live(m->peers, now), peers_count(m->peers),
                        (unsigned long long) m->sent, (unsigned long long) m->failed,
                        (unsigned long long) m->answered, (unsigned long long) m->refused);
}

static void peer_json(const struct peer *p, int64_t now, struct iicp_buf *out) {
        static const char *const sources[] = {"earlier run", "gossip", "directory"};

        iicp_buf_puts(out, "{\"node_id\":");
        iicp_buf_json_str(out, iicp_str(p->node_id));
        iicp_buf_puts(out, ",\"endpoint\":");
        iicp_buf_json_str(out, iicp_str(p->endpoint));
        iicp_buf_puts(out, ",\"region\":");
        iicp_buf_json_str(out, iicp_str(p->region));
        iicp_buf_printf(out, ",\"source\":\"%s\",\"live\":%s", sources[p->source], peer_is_live(p, now) ? "true" : "false");
        if (p->seen_ms != INT64_MIN)
                iicp_buf_printf(out, ",\"seen_s\":%lld", (long long) ((now - p->seen_ms) / 1000));
        if (p->skip_until_ms > now)
                iicp_buf_printf(out, ",\"silent_s\":%lld", (long long) ((p->skip_until_ms - now) / 1000));
        if (p->relay_capable)
                iicp_buf_printf(out, ",\"relay_port\":%u,\"relay_load\":%.3f", p->relay_port, p->relay_load);
        iicp_buf_puts(out, "}");
}

void mesh_peers_json(const struct mesh *m, struct iicp_buf *out) {
        int64_t now = mesh_now(m);

        iicp_buf_puts(out, "{\"schema\":\"iicp.peers/1\",\"mesh\":");
        mesh_json(m, out);
        iicp_buf_puts(out, ",\"peers\":[");
        for (size_t i = 0; i < peers_count(m->peers); i++) {
                iicp_buf_puts(out, i ? "," : "");
                peer_json(peers_at(m->peers, i), now, out);
        }
        iicp_buf_puts(out, "]}");
}
