/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_REACH_FACTS_H
#define IICPD_REACH_FACTS_H

/* What the kernel knows about interfaces, addresses and default routes, by rtnetlink: read whole at
 * the start and after each change, never from the output of commands. [04 sections 3, 13.1] */

#include "../loop.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* A machine with more has our first ones; whoever makes interfaces may make any number. */
#define FACTS_INTERFACES_MAX 1024u
#define FACTS_ADDRESSES_MAX 4096u
#define FACTS_ROUTES_MAX 256u
#define FACTS_KIND_MAX 16u          /* "wireguard", "veth", "bridge"; longer ones are cut */
#define FACTS_QUIET_MS 5000u        /* after the last change [04 section 13.1] */
#define FACTS_UNREST_MS 30000u      /* a network that never rests is looked at all the same */

union fact_ip {
        struct in_addr v4;
        struct in6_addr v6;
};

struct fact_interface {
        int index;
        char name[IF_NAMESIZE];
        char kind[FACTS_KIND_MAX];  /* IFLA_INFO_KIND, "" = hardware */
        unsigned flags;             /* IFF_UP, IFF_LOOPBACK, IFF_POINTOPOINT */
        unsigned type;              /* ARPHRD_ETHER, ARPHRD_PPP, ARPHRD_NONE */
        unsigned mtu;
        int master;                 /* index of the bridge it is in, 0 = none */
};

struct fact_address {
        int interface;
        int family;                 /* AF_INET, AF_INET6 */
        union fact_ip ip;
        uint8_t prefix, scope;      /* scope: RT_SCOPE_UNIVERSE, _LINK, _HOST */
        bool temporary, deprecated, tentative;
        uint32_t preferred_s;       /* when it was read; UINT32_MAX = for ever. Counts down: no change */
};

/* Default routes of the main table. */
struct fact_route {
        int interface;
        int family;
        bool has_gateway;
        union fact_ip gateway;
        uint32_t metric;
};

struct reach_facts {
        struct fact_interface *interfaces;
        struct fact_address *addresses;
        struct fact_route *routes;
        size_t n_interfaces, n_addresses, n_routes;
};

/* Asks the kernel and waits for it: for the helper thread and for tests. -errno. */
int reach_facts_collect(struct reach_facts *ret);
void reach_facts_free(struct reach_facts *f);
bool reach_facts_same(const struct reach_facts *a, const struct reach_facts *b);
const struct fact_interface *reach_facts_interface(const struct reach_facts *f, int index);
/* The one with the lowest metric, NULL = none. */
const struct fact_route *reach_facts_default(const struct reach_facts *f, int family);

/* Adds what one datagram of an answer holds. 1: the answer is complete; 0: more comes; -EAGAIN: it
 * was overtaken by a change, ask again; other -errno: from the kernel, or no memory. */
int reach_facts_parse(struct reach_facts *f, const void *p, size_t n);
/* Whether an announcement is about something that facts hold. */
bool reach_facts_concerned(const void *p, size_t n);

/* ---- keeping them new ---- */

struct reach_watch;

/* changed() runs on the loop after the network has rested and the facts are others than before; not
 * for the first ones. -errno: no netlink here. */
int reach_watch_new(struct loop *l, void (*changed)(void *arg), void *arg, struct reach_watch **ret);
struct reach_watch *reach_watch_free(struct reach_watch *w);
/* Newest, NULL until they are there. */
const struct reach_facts *reach_watch_facts(const struct reach_watch *w);

#endif
