/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_ELECT_H
#define IICP_ELECT_H

#include <iicp/endpoint.h>
#include <iicp/json.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which relay a node behind a NAT binds to, and what it is reached by afterwards. Pure: all nodes with
 * the same candidates come to the same answer. [iicp-dir 7.6; 03 sections 19.3, 19.5; 04 section 11] */

#define IICP_RELAY_REPUTATION_MIN 0.1  /* below it a relay is never bound */
#define IICP_RELAY_CANDIDATES_MAX 64   /* considered at a time */
#define IICP_RELAY_ID_MAX 128          /* bytes */

enum iicp_relay_verdict {
        IICP_RELAY_ELIGIBLE,
        IICP_RELAY_NOT_CAPABLE,
        IICP_RELAY_NO_ID,
        IICP_RELAY_SELF,
        IICP_RELAY_NO_ENDPOINT,        /* none, or not one that can be dialled */
        IICP_RELAY_RELAYED,            /* reached through another relay itself */
        IICP_RELAY_ADDRESS,            /* no public one */
        IICP_RELAY_UNAVAILABLE,
        IICP_RELAY_BAD_LOAD,               /* negative or no number */
        IICP_RELAY_BAD_PORT,
        IICP_RELAY_UNCONFIRMED,        /* of gossip, and the directory does not know it so */
        IICP_RELAY_REPUTATION,         /* below the floor, or unknown where it must be known */
};
/* For people: "reputation below 0.1". */
IICP_API const char *iicp_relay_verdict_text(enum iicp_relay_verdict v);

struct iicp_relay {
        char node_id[IICP_RELAY_ID_MAX + 1];
        char base[256];                /* endpoint without trailing slash */
        struct iicp_url url;           /* the same, in parts; its host is the relay's host */
        uint16_t port;                 /* of the native channel */
        double load;
        double reputation;             /* negative = unknown */
        bool probation;
        uint8_t tie[32];
        enum iicp_relay_verdict verdict;
};

/* Where a candidate comes from. Gossip has no reputation; where the directory cannot be asked for it the
 * candidate counts as unrated and eligible. */
enum iicp_relay_source { IICP_RELAY_FROM_DIRECTORY, IICP_RELAY_FROM_GOSSIP };

struct iicp_elector {
        const char *worker_id;
        enum iicp_relay_source source;
        bool allow_private;            /* private directories and tests */
};

/* An object of an answer to discover, or of gossip. verdict says what is wrong with it, the members that
 * were read are filled in anyhow. Names are not resolved here. -EINVAL: no object. */
IICP_API int iicp_relay_read(const struct iicp_elector *e, const struct iicp_json *object, struct iicp_relay *ret);
/* The order of the election: the eligible ones first, the elected one first of all. */
IICP_API void iicp_relay_sort(struct iicp_relay *relays, size_t n);

/* How a bound worker is reached. */
struct iicp_relay_route {
        char base[256], host[254], endpoint[256];
        uint16_t port;                 /* of base */
};
/* base: what the relay is known by, NULL for one that was configured by host; ack_port: key 4 of
 * RELAY_ACK, 0 = not told. -EINVAL: base is no URL, or all is too long. */
IICP_API int iicp_relay_route(const char *base, const char *host, unsigned ack_port, const char *worker_id,
                              struct iicp_relay_route *ret);

/* "host", "host:port", "[v6]:port", "v6": as an operator writes it. -EINVAL. */
IICP_API int iicp_relay_host_parse(struct iicp_str text, char host[254], uint16_t *ret_port);

#ifdef __cplusplus
}
#endif
#endif
