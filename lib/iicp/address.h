/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_ADDRESS_H
#define IICP_ADDRESS_H

#include <iicp/base.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an IP address is good for. Only a public one may stand in a registered endpoint.
 * [04 section 3, section 9] */
enum iicp_addr_class {
        IICP_ADDR_PUBLIC,
        IICP_ADDR_THIS_NETWORK,
        IICP_ADDR_PRIVATE,
        IICP_ADDR_CGNAT,         /* 100.64.0.0/10 */
        IICP_ADDR_LOOPBACK,
        IICP_ADDR_LINK_LOCAL,
        IICP_ADDR_DS_LITE,       /* 192.0.0.0/29 */
        IICP_ADDR_SPECIAL,
        IICP_ADDR_DOCUMENTATION,
        IICP_ADDR_BENCHMARK,
        IICP_ADDR_MULTICAST,
        IICP_ADDR_RESERVED,
        IICP_ADDR_UNSPECIFIED,
        IICP_ADDR_V4_MAPPED,
        IICP_ADDR_NAT64,
        IICP_ADDR_TEREDO,
        IICP_ADDR_6TO4,
        IICP_ADDR_UNIQUE_LOCAL,
        IICP_ADDR_MAX_,
};

/* The embedding forms (mapped, NAT64, 6to4, Teredo) are classes of their own, whatever they embed.
 * Another family than IPv4 and IPv6: IICP_ADDR_RESERVED. */
IICP_API enum iicp_addr_class iicp_addr_class(const struct sockaddr *addr);
IICP_API const char *iicp_addr_class_name(enum iicp_addr_class c);
/* A literal of either family, no zone, no brackets. false: it is none. */
IICP_API bool iicp_addr_parse(const char *text, struct sockaddr_storage *ret);

#ifdef __cplusplus
}
#endif
#endif
