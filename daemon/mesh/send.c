/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"

#include "internal.h"
#include "log.h"
#include "relay/sessions.h"
#include "util.h"

#include <iicp/codec.h>
#include <stdio.h>

/* An exchange of ours: the ids that we know, signed; back come peers that we do not. The token never
 * goes to a peer. */

static void learned(void *arg, const struct iicp_gossip_peer *p) {
        mesh_learn(arg, p, PEER_FROM_GOSSIP);
}

/* It has no mesh, or does not take us for who we are. */
static bool refuses(int status) {
        return status == 401 || status == 403 || status == 404 || status == 405;
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct mesh *m = arg;
        struct peer *p = peers_find(m->peers, iicp_str(m->target));
        struct iicp_gossip_rules rules;

        m->sending = NULL;
        iicp_buf_free(&m->body);
        mesh_rules(m, false, &rules);
        if (a->error == FETCH_OK && a->status == 200 && iicp_gossip_list(a->body, &rules, learned, m) >= 0) {
                m->sent++;
                /* Learning may have moved it. */
                p = peers_find(m->peers, iicp_str(m->target));
                if (p)
                        p->seen_ms = mesh_now(m);
                mesh_changed(m);
                return;
        }
        m->failed++;
        log_debug("mesh_refused", "peer %.8s: %s, status %d", m->target, fetch_error_name(a->error), a->status);
        if (p && a->error == FETCH_OK && refuses(a->status))
                p->skip_until_ms = mesh_now(m) + MESH_SKIP_MS;
}

/* What we say about ourselves. */
static bool ourselves(const struct mesh *m, struct iicp_gossip_peer *ret) {
        const struct node *n = m->node;
        const char *endpoint = node_endpoint(n, NULL);

        if (!endpoint)
                return false;
        *ret = (struct iicp_gossip_peer){.seen_ms = mesh_wall_ms(m)};
        snprintf(ret->endpoint, sizeof ret->endpoint, "%s", endpoint);
        snprintf(ret->region, sizeof ret->region, "%s", n->config->region);
        if (n->relay && relay_declared(n->relay)) {
                ret->relay_capable = true;
                ret->relay_port = relay_port(n->relay);
                ret->relay_load = relay_load(n->relay);
        }
        return true;
}

static int write_body(const struct mesh *m, struct iicp_buf *out) {
        int64_t now = mesh_now(m);
        struct iicp_gossip_peer self;
        unsigned n = 0;

        out->max = IICP_GOSSIP_BODY_MAX;
        iicp_gossip_request_begin(state_identity(m->node->state)->node_id, out);
        for (size_t i = 0; i < peers_count(m->peers); i++)
                if (peer_is_live(peers_at(m->peers, i), now))
                        iicp_gossip_request_id(peers_at(m->peers, i)->node_id, n++, out);
        iicp_gossip_request_end(mesh_wall_ms(m), ourselves(m, &self) ? &self : NULL, out);
        return out->error;
}

static int sign_body(const struct mesh *m, char header[160]) {
        uint8_t seed[IICP_SEED], signature[IICP_SIGNATURE];
        char hex[2 * IICP_SIGNATURE + 1];
        int r = mesh_seed(m, seed);

        if (r == 0)
                r = iicp_sign(seed, iicp_buf_str(&m->body), signature);
        iicp_wipe(seed, sizeof seed);
        if (r < 0)
                return r;
        iicp_hex(signature, sizeof signature, hex);
        snprintf(header, 160, "X-IICP-Signature: %s", hex);
        return 0;
}

void mesh_send(struct mesh *m, struct peer *p) {
        char url[PEER_ENDPOINT_MAX + 16], signature[160];
        const char *headers[] = {"Content-Type: application/json", "Accept: application/json",
                                 "X-IICP-Version: " IICP_WIRE_VERSION, signature, NULL};

        p->asked_ms = mesh_now(m);
        snprintf(m->target, sizeof m->target, "%s", p->node_id);
        snprintf(url, sizeof url, "%s/v1/peers", p->endpoint);
        m->body = (struct iicp_buf){0};
        if (write_body(m, &m->body) == 0 && sign_body(m, signature) == 0)
                m->sending = fetch_start(m->node->fetch,
                                         &(struct fetch_request){
                                                 .method = "POST",
                                                 .url = url,
                                                 .headers = headers,
                                                 .body = iicp_buf_str(&m->body),
                                                 .connect_timeout_ms = MESH_TIMEOUT_MS,
                                                 .timeout_ms = MESH_TIMEOUT_MS,
                                                 .max_answer = IICP_GOSSIP_BODY_MAX,
                                                 .tls_min = 13,
                                                 .public_only = !m->node->config->allow_private,
                                                 .once = true,
                                         },
                                         on_answer, m);
        if (!m->sending) {
                m->failed++;
                iicp_buf_free(&m->body);
        }
}

void mesh_send_cancel(struct mesh *m) {
        if (m->sending)
                fetch_cancel(m->sending);
        m->sending = NULL;
        iicp_buf_free(&m->body);
}
