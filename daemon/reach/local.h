/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LOCAL_H
#define IICPD_LOCAL_H

/* What the kernel's facts mean for a route: which interface a router is asked on, what is public
 * already, whether this is a container behind its host's NAT. Pure. [04 sections 3, 7] */

#include "decide.h"
#include "facts.h"
#include "gateway.h"

#define LOCAL_OWN_MAX 64      /* own addresses that are told apart from callers */

struct local {
        struct gateway_where v4;           /* address "" = no interface to ask on */
        bool private_v4;                   /* that address is a private one */
        char nic_v4[INET_ADDRSTRLEN];      /* public, on the holder of the default route; "" = none */
        struct gateway_where v6;           /* address "" = no IPv6 candidate */
        char v6_others[GATEWAY_OTHERS_MAX][INET6_ADDRSTRLEN]; /* of the same interface, the next best first */
        unsigned n_v6_others;
        bool v6_temporary;                 /* only a temporary address was there */
        uint32_t v6_preferred_s;
        bool bridged;
        bool vpn;                          /* a tunnel holds the IPv4 default route */
        bool v4_way_out;                   /* an IPv4 default route: without one no IPv4 caller gets an answer */
};

/* container: marks of one were found (a file or the environment). */
void local_derive(const struct reach_facts *f, bool container, struct local *ret);
/* Nothing that a route depends on differs: addresses, gateways, ways out. */
bool local_same(const struct local *a, const struct local *b);
/* /.dockerenv, /run/.containerenv, KUBERNETES_SERVICE_HOST. */
bool local_container_marks(char *const *environ_);

#endif
