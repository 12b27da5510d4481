/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DECIDE_H
#define IICPD_DECIDE_H

/* Pure decisions about addresses and routes; no sockets, no clock. [04 sections 2, 3, 6, 7] */

#include <iicp/base.h>
#include <netinet/in.h>
#include <stdint.h>

/* ---- nested NAT: what the gateway says (E) against what others see (O) [04 section 6] ---- */

enum nested {
        NESTED_SINGLE,   /* one NAT, or nothing speaks against it */
        NESTED_SUSPECT,  /* both public, but not the same */
        NESTED_CGNAT,
        NESTED_PRIVATE,  /* another NAT above the gateway */
        NESTED_UNKNOWN,  /* the gateway does not say */
};
struct nested_verdict {
        enum nested nested;
        char try_[INET_ADDRSTRLEN]; /* address to put in the candidate, "" = none */
        bool needs_verified;        /* else "not refuted" is enough */
};
/* e, o: text or NULL. Another family in o says nothing. */
void nested_judge(const char *e, const char *o, struct nested_verdict *ret);
const char *nested_name(enum nested n);

/* ---- exposure_mode of a REGISTER [04 section 2] ---- */

enum exposure_route { EXPOSURE_DIRECT, EXPOSURE_TUNNEL, EXPOSURE_RELAY, EXPOSURE_NONE };
struct exposure_facts {
        enum exposure_route route;
        bool endpoint_ipv6;   /* the advertised host is an IPv6 literal */
        bool ipv6_open;       /* verified inbound, or a granted pinhole on the advertised address */
        bool cgnat;           /* the gateway's address was of class cgnat or ds_lite */
};
const char *exposure_mode(const struct exposure_facts *f);

/* ---- the answer of an echo service [04 section 3] ---- */

/* First dotted quad of a body; it must be public. */
bool echo_read(int status, struct iicp_str body, char out[INET_ADDRSTRLEN]);

/* ---- the IPv6 address to advertise [04 section 7] ---- */

struct ipv6_candidate {
        struct in6_addr address;
        bool default_route;      /* its interface has an IPv6 default route */
        bool temporary, tentative, dadfailed, deprecated;
        uint32_t preferred_s;    /* UINT32_MAX = for ever */
};
/* Index of the best one, -1 = none may be used. */
int ipv6_choose(const struct ipv6_candidate *v, size_t n);

#endif
