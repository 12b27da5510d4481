/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_MESH_INTERNAL_H
#define IICPD_MESH_INTERNAL_H

/* What the files of this room share. Everything runs on the loop. */

#include "../node.h"
#include "mesh.h"

#include <iicp/gossip.h>

#define MESH_ROUND_MS 30000u        /* ± 10 % between exchanges; the same rest for each peer */
#define MESH_FIRST_MS 1000u         /* from the registration to the first one */
#define MESH_TIMEOUT_MS 5000u
#define MESH_HEAL_MS 300000u
#define MESH_HEAL_BELOW 3u          /* live peers */
#define MESH_HEAL_IDS 20u           /* a directory refuses more */
#define MESH_SKIP_MS 600000         /* a peer that does not gossip with us */
#define MESH_PER_SOURCE 60u         /* requests a minute */
#define MESH_SEEN_MAX 4096u         /* signatures; full: nobody is answered until one expires */
#define MESH_SEEN_MS 300000
#define MESH_KEYS_MAX 256u          /* senders whose key is known */
#define MESH_KEY_MS 600000
#define MESH_LOOKUP_MS 10000        /* between two questions for a key */
#define MESH_SAVE_MS 60000u
#define MESH_SAVED_MAX 64u
#define MESH_FILE "peers.json"

/* What the directory says about a sender. */
struct sender {
        char node_id[PEER_ID_MAX], endpoint[PEER_ENDPOINT_MAX], region[65];
        uint8_t key[IICP_SIGN_KEY];
        double reputation;
        int64_t asked_ms;           /* when the directory was */
        int64_t exchanged_ms;       /* its last exchange with us, INT64_MIN = none */
};

struct seen_signature {
        uint8_t bytes[IICP_SIGNATURE];
        int64_t until_ms;
};

struct mesh_exchange {
        struct mesh *mesh;
        struct iicp_gossip_request request; /* into the body of the door */
        mesh_answer_fn fn;
        void *arg;
};

struct mesh {
        struct node *node;
        bool enabled, started;
        struct peers *peers;
        struct timer round, heal, save;
        bool dirty, alone_said;
        /* asking the directory for peers */
        struct directory_call *bootstrap, *healing;
        struct iicp_buf heal_body;
        /* one exchange of ours at a time */
        struct fetch *sending;
        struct iicp_buf body;
        char target[PEER_ID_MAX];
        /* those of others */
        struct rate *rate;
        struct sender *senders;     /* MESH_KEYS_MAX of them */
        size_t n_senders;
        struct directory_call *lookup;
        char lookup_id[PEER_ID_MAX];
        int64_t looked_up_ms;
        struct mesh_exchange *waiting; /* for the answer to it */
        struct seen_signature *seen; /* a ring of MESH_SEEN_MAX, in order of time */
        size_t seen_first, n_seen;
        uint64_t sent, failed, answered, refused;
};

/* mesh.c */
int64_t mesh_wall_ms(const struct mesh *m);
void mesh_rules(const struct mesh *m, bool from_directory, struct iicp_gossip_rules *ret);
/* One entry of an answer becomes a peer. */
void mesh_learn(struct mesh *m, const struct iicp_gossip_peer *p, enum peer_source_kind source);
/* The table has changed. */
void mesh_changed(struct mesh *m);
/* The private half; wiped by the caller. -ENOENT: there is none. */
int mesh_seed(const struct mesh *m, uint8_t ret[IICP_SEED]);

/* send.c */
void mesh_send(struct mesh *m, struct peer *p);
void mesh_send_cancel(struct mesh *m);

/* senders.c: keys, by the directory's word */
struct sender *sender_find(struct mesh *m, const char *node_id);
/* Asks; fn_done is mesh_looked_up. false: not now. */
bool sender_look_up(struct mesh *m, const char *node_id);
/* receive.c: the question has been answered; NULL: no key. */
void mesh_looked_up(struct mesh *m, struct sender *s);

/* store.c */
void mesh_load(struct mesh *m);
void mesh_save(struct mesh *m);
void mesh_save_now(struct mesh *m); /* blocks: at the end */

#endif
