/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_relay.h"

#include "mesh/mesh.h"
#include "node.h"

#include <stdio.h>

/* POST /v1/relay to a node that gossip knows: one hop, to allowed addresses, nothing but the task. Who it
 * is for is the consumer's word, so no credential goes along. [03 section 15; 05 section 13] */

#define PEER_CONNECT_MS 10000u
#define HOP "X-IICP-Relay-Hop: 1"

static void refused(struct task_answer *a, const char *why) {
        char message[96];

        snprintf(message, sizeof(message), "relay failed: %s", why);
        http_relay_fault(a, 502, "E031", message, "", 0);
}

/* Passed through, but as JSON and never as a redirect, whatever the peer calls it. */
static void on_answer(void *arg, const struct fetch_answer *answer) {
        struct http_relay *w = arg;
        struct task_answer a = {.status = answer->status, .secret = true};
        struct iicp_buf body = {.max = answer->body.n + 1, .secret = true};

        w->peer = NULL;
        w->conn->door->to_peers--;
        if (answer->error != FETCH_OK)
                refused(&a, fetch_error_name(answer->error));
        else if (answer->status < 200 || (answer->status >= 300 && answer->status < 400))
                refused(&a, "the peer sends elsewhere");
        else {
                iicp_buf_add_str(&body, answer->body);
                a.body = iicp_buf_take(&body, &a.n);
        }
        http_relay_answer(w, &a);
}

enum MHD_Result http_relay_to_peer(struct http_conn *c, const char *node_id, struct iicp_str task, const char *absent) {
        static const char *const headers[] = {"Content-Type: application/json", "Accept: application/json",
                                              "X-IICP-Version: " IICP_WIRE_VERSION, HOP, NULL};
        const struct node *n = c->door->node;
        const struct peer *peer = c->req.fields.relay_hop || !node_id[0] ? NULL : mesh_find(n->mesh, iicp_str(node_id));
        char url[PEER_ENDPOINT_MAX + 16];
        struct task_answer a;
        struct http_relay *w;

        if (!peer)
                return http_relay_refuse(c, 404, "E030", absent);
        if (c->door->to_peers >= n->config->relay_max_in_flight)
                return http_relay_busy(c);
        w = http_relay_new(c);
        if (!w)
                return MHD_NO;
        snprintf(url, sizeof(url), "%s/v1/task", peer->endpoint);
        w->peer = fetch_start(n->fetch,
                              &(struct fetch_request){
                                      .method = "POST",
                                      .url = url,
                                      .headers = headers,
                                      .body = task,
                                      .connect_timeout_ms = PEER_CONNECT_MS,
                                      .timeout_ms = IICP_RELAY_CALL_MS,
                                      .max_answer = n->config->relay_max_body,
                                      .tls_min = 13,
                                      .public_only = !n->config->allow_private,
                                      .once = true,
                              },
                              on_answer, w);
        if (!w->peer) {
                refused(&a, "its address is not allowed");
                return a.body ? http_answer_task(c, &a) : MHD_NO;
        }
        c->door->to_peers++;
        http_suspend(c);
        return MHD_YES;
}

void http_relay_peer_cancel(struct http_relay *w) {
        if (!w->peer)
                return;
        fetch_cancel(w->peer);
        w->peer = NULL;
        w->conn->door->to_peers--;
}
