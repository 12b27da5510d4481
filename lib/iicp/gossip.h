/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_GOSSIP_H
#define IICP_GOSSIP_H

#include <iicp/json.h>
#include <iicp/refusal.h>
#include <iicp/sign.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The messages of the mesh: POST /v1/peers from node to node, signed with the gossip key of the sender
 * over the exact bytes. [04 section 15, 05 section 11] */

#define IICP_GOSSIP_BODY_MAX 65536      /* bytes, either direction */
#define IICP_GOSSIP_IDS_MAX 256u        /* ids that a request names */
#define IICP_GOSSIP_READ_IDS 1024u      /* ids that are looked at in one */
#define IICP_GOSSIP_SEND_PEERS 20u      /* entries of an answer of ours */
#define IICP_GOSSIP_READ_PEERS 50u      /* entries of an answer that are looked at */
#define IICP_GOSSIP_CLOCK_MS 60000      /* how far two clocks may be apart */
#define IICP_GOSSIP_FRESH_MS 90000      /* an entry older than that is dropped */
#define IICP_GOSSIP_RELAY_PORT 9485     /* of a relay that names none */
#define IICP_GOSSIP_ID_MAX 129          /* bytes with NUL */

/* One peer as it is told. */
struct iicp_gossip_peer {
        char node_id[IICP_GOSSIP_ID_MAX], endpoint[256], region[65];
        int64_t seen_ms;                /* Unix milliseconds */
        bool relay_capable;
        uint16_t relay_port;
        double relay_load;              /* 0 to 1 */
};

/* What is needed to judge an entry. */
struct iicp_gossip_rules {
        const char *own_id;
        int64_t now_ms;                 /* Unix milliseconds */
        bool from_directory;            /* no time counts as now */
        bool allow_private;             /* a private network of its own */
};
/* One entry of an answer or of a bootstrap list. -EINVAL: to be dropped. */
IICP_API int iicp_gossip_entry(const struct iicp_json *entry, const struct iicp_gossip_rules *rules,
                               struct iicp_gossip_peer *ret);
/* "new_peers" of an answer, else "peers" (bootstrap, older nodes): fn gets what is not dropped. Returns how
 * many; -EBADMSG: no such answer. */
IICP_API int iicp_gossip_list(struct iicp_str body, const struct iicp_gossip_rules *rules,
                              void (*fn)(void *arg, const struct iicp_gossip_peer *peer), void *arg);

/* A request that came. */
struct iicp_gossip_request {
        char sender_id[IICP_GOSSIP_ID_MAX];
        uint8_t signature[IICP_SIGNATURE];
        struct iicp_str bytes;          /* as they came; borrowed, as is what follows */
        struct iicp_json body;
};
/* What can be said before the sender's key is known. signature: the header, absent without one. NONE: go on. */
IICP_API enum iicp_refusal_id iicp_gossip_open(struct iicp_str body, struct iicp_str signature, const char *own_id,
                                               struct iicp_gossip_request *ret);
/* What can be said with it. */
IICP_API enum iicp_refusal_id iicp_gossip_check(const struct iicp_gossip_request *r, const uint8_t key[IICP_SIGN_KEY],
                                                int64_t now_ms);
/* The ids that the sender knows already, at most IICP_GOSSIP_READ_IDS of them. */
IICP_API void iicp_gossip_known(const struct iicp_gossip_request *r, void (*fn)(void *arg, const char *node_id),
                                void *arg);
/* What the sender says about itself as a relay; false: nothing. Only the three members of it are set. */
IICP_API bool iicp_gossip_sender(const struct iicp_gossip_request *r, struct iicp_gossip_peer *ret);

/* The body of a request: begin, an id each with i counting from 0 (more than IICP_GOSSIP_IDS_MAX are left out),
 * end. self may be NULL: nothing is said about ourselves. */
IICP_API void iicp_gossip_request_begin(const char *own_id, struct iicp_buf *out);
IICP_API void iicp_gossip_request_id(const char *node_id, unsigned i, struct iicp_buf *out);
IICP_API void iicp_gossip_request_end(int64_t now_ms, const struct iicp_gossip_peer *self, struct iicp_buf *out);
/* The body of an answer, in both forms that are read. */
IICP_API void iicp_gossip_answer(const char *own_id, const struct iicp_gossip_peer *peers, size_t n,
                                 struct iicp_buf *out);

/* The gossip key in a directory's answer about a node: 64 hex digits, or base64 of 32 bytes. An object there is
 * the encryption key of older directories. -ENOENT: none. */
IICP_API int iicp_gossip_key(struct iicp_str body, uint8_t ret[IICP_SIGN_KEY]);

#ifdef __cplusplus
}
#endif
#endif
