/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_MESH_H
#define IICPD_MESH_H

/* Gossip with other nodes: who is there, by signed exchanges, on the loop. Off unless mesh.enabled: then
 * the table stays empty, nothing is sent and POST /v1/peers is 404. [04 section 15, 05 section 11] */

#include "peers.h"

#include <iicp/buf.h>
#include <iicp/refusal.h>
#include <sys/socket.h>

struct node;
struct mesh;

struct mesh *mesh_new(struct node *node);
struct mesh *mesh_free(struct mesh *m);
/* The listener is bound, the directory may be asked. */
void mesh_start(struct mesh *m);
/* A registration was accepted: others can check our signature from now on. */
void mesh_registered(struct mesh *m);
/* The machine slept: whoever we knew may be gone. */
void mesh_woke(struct mesh *m);

/* Never NULL. */
const struct peers *mesh_peers(const struct mesh *m);
/* The times in the table are of this clock. */
int64_t mesh_now(const struct mesh *m);
/* Of a live peer, NULL: unknown or too long silent. */
const struct peer *mesh_find(const struct mesh *m, struct iicp_str node_id);
/* 64 hex digits that a registration declares; false: the mesh is off. */
bool mesh_public_key(struct node *n, char out[65]);

/* POST /v1/peers. The body has to live until fn or cancel; fn is called once: from inside (then NULL is
 * returned), or later. answer is the body of a 200, borrowed. */
struct mesh_message {
        struct iicp_str body, signature; /* the header, absent without one */
        const struct sockaddr *peer;
};
typedef void (*mesh_answer_fn)(void *arg, enum iicp_refusal_id refusal, struct iicp_str answer);
struct mesh_exchange;
struct mesh_exchange *mesh_receive(struct mesh *m, const struct mesh_message *q, mesh_answer_fn fn, void *arg);
void mesh_cancel(struct mesh_exchange *e);

/* For status and iicpctl peers. */
void mesh_json(const struct mesh *m, struct iicp_buf *out);
void mesh_peers_json(const struct mesh *m, struct iicp_buf *out);

#endif
