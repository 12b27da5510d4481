/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LADDER_H
#define IICPD_LADDER_H

/* The ladder of 04 section 4 as a machine that asks and is told: it knows the order of the steps and
 * when a candidate is accepted, and touches neither network nor clock. The caller does what
 * ladder_next asks for and answers with one ladder_* call; the first accepted candidate ends it.
 * What was opened for a rejected candidate is asked to be closed. */

#include "decide.h"

#define LADDER_URL_MAX 256
#define LADDER_WORDS_MAX 12

enum ladder_kind {
        ROUTE_NONE, ROUTE_OPERATOR, ROUTE_NIC, ROUTE_MAPPED, ROUTE_MAPPED_NESTED, ROUTE_STATIC, ROUTE_IPV6,
        ROUTE_PINHOLE, ROUTE_IPV6_UNVERIFIED, ROUTE_TUNNEL_STABLE, ROUTE_TUNNEL_QUICK, ROUTE_RELAY,
};
const char *ladder_kind_name(enum ladder_kind k);

enum tunnel_mode { TUNNEL_OFF, TUNNEL_AUTO, TUNNEL_FORCED };

/* What is known before the first step. Texts are borrowed and must outlive the ladder. */
struct ladder_facts {
        uint16_t port;
        const char *operator_endpoint;   /* NULL = none */
        bool operator_refused;           /* by the directory, and the operator wants another one then */
        const char *tunnel_endpoint;
        bool relay_fixed;                /* a relay is configured: no detection */
        bool auto_detect, skip_mapping;
        bool bridged;                    /* container behind its host's NAT */
        bool private_v4;                 /* there is one to map to */
        const char *nic_v4;              /* public IPv4 on the interface, NULL = none */
        const char *observed_v4;         /* how others see us, NULL = unknown */
        const char *ipv6;                /* candidate of ipv6_choose, NULL = none */
        enum tunnel_mode tunnel;
        bool relay_capable;              /* an operator is never a worker */
        bool advertise_unverified_ipv6;
        bool dual_stack;
        bool allow_private;              /* private directories and tests [04 section 9] */
};

enum ladder_ask {
        LADDER_DONE,
        LADDER_MAP,        /* make a mapping of the port */
        LADDER_UNMAP,      /* revoke it */
        LADDER_PINHOLE,    /* open one for facts.ipv6 */
        LADDER_UNPINHOLE,
        LADDER_PROBE,      /* verify action.url */
        LADDER_CHECK_TUNNEL, /* action.url answers with our id */
        LADDER_START_TUNNEL,
        LADDER_BIND_RELAY, /* elect, or take the fixed one */
};
enum ladder_probe { PROBE_VERIFIED, PROBE_REFUTED, PROBE_INDETERMINATE };

struct ladder_action {
        enum ladder_ask ask;
        char url[LADDER_URL_MAX];
        enum nested nested;  /* of a LADDER_PROBE: a positive answer without a witness refutes unless single */
        bool ipv6;
};

struct ladder_route {
        int tier;            /* 0-4 */
        enum ladder_kind kind;
        char endpoint[LADDER_URL_MAX]; /* "" = none */
        const char *method;  /* transport_method, NULL = none */
        const char *exposure;
        char mapping[16];    /* "igd1", "igd2", "pcp", "nat_pmp", "static", "" */
        bool verified, ipv6_open;
};

struct reach_ladder {
        struct ladder_facts facts;
        int step;            /* private: see ladder.c */
        struct ladder_action asked;
        struct ladder_route route;
        enum nested nested;
        bool cgnat;                  /* the gateway's own address is its provider's */
        bool pinhole, needs_verified, ipv6_verified;
        char mapping[16], pinhole_by[16];
        char candidate[LADDER_URL_MAX], refused[LADDER_URL_MAX];
        const char *words[LADDER_WORDS_MAX]; /* what happened, static texts, in order */
        unsigned n_words;
};

void ladder_start(struct reach_ladder *l, const struct ladder_facts *facts);
/* What is to be done now. The same until it is answered. */
const struct ladder_action *ladder_next(struct reach_ladder *l);

/* Answers. protocol: "igd1", "igd2", "pcp", "nat_pmp". */
void ladder_mapped(struct reach_ladder *l, bool granted, const char *protocol, const char *external_ip, uint16_t port);
void ladder_pinholed(struct reach_ladder *l, bool granted, const char *protocol);
void ladder_probed(struct reach_ladder *l, enum ladder_probe outcome);
void ladder_tunnelled(struct reach_ladder *l, bool ok, const char *url /* of a started one */);
void ladder_bound(struct reach_ladder *l, bool ok, const char *endpoint);
/* Of the asks that only revoke. */
void ladder_revoked(struct reach_ladder *l);
/* The time for detection is over: steps 4 to 6 are skipped. */
void ladder_out_of_time(struct reach_ladder *l);

#endif
