/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_PCP_H
#define IICPD_PCP_H

/* Packets of PCP (RFC 6887), announcements of it and of NAT-PMP (RFC 6886), and what the clocks in
 * both tell: bytes in, values out. Sender address and port are checked by whoever has the socket.
 * Questions by NAT-PMP are libnatpmp's. [04 sections 5.2, 5.3, 5.4] */

#include <iicp/base.h>
#include <netinet/in.h>

#define PCP_PORT 5351
#define PCP_ANNOUNCE_PORT 5350   /* 224.0.0.1 and ff02::1 */
#define PCP_NONCE 12
#define PCP_MAP_SIZE 60
#define PCP_PACKET_MAX 1100      /* bytes [RFC 6887 section 7] */
#define PCP_RETRY_MAX_S 1800     /* an error's lifetime is believed up to here */

enum pcp_result {
        PCP_SUCCESS = 0, PCP_UNSUPP_VERSION = 1, PCP_NOT_AUTHORIZED = 2, PCP_NO_RESOURCES = 8,
        PCP_ADDRESS_MISMATCH = 12,
};

struct pcp_map {
        struct in6_addr client;          /* IPv4 as mapped */
        unsigned char nonce[PCP_NONCE];
        uint16_t internal, external;
        uint32_t lifetime_s;             /* 0 deletes */
};
void pcp_print_map(const struct pcp_map *m, unsigned char out[PCP_MAP_SIZE]);

struct pcp_answer {
        bool natpmp_only;                /* a version 0 answer: nothing else is set */
        unsigned result;
        uint32_t lifetime_s, epoch;      /* of an error: do not ask again before */
        uint16_t external;
        char address[INET6_ADDRSTRLEN];  /* external; of an error a hint */
};
/* False: not the answer to this request. */
bool pcp_parse_map(const unsigned char *p, size_t n, const struct pcp_map *request, struct pcp_answer *ret);

/* A multicast of the gateway: NAT-PMP with its address, or PCP ANNOUNCE without. */
struct pcp_announcement {
        bool pcp;
        uint32_t epoch;
        char address[INET_ADDRSTRLEN];
};
bool pcp_parse_announcement(const unsigned char *p, size_t n, struct pcp_announcement *ret);

/* Whether the gateway has lost its state between two answers; times in seconds of one monotonic clock. */
bool natpmp_epoch_reset(uint32_t before, uint64_t before_s, uint32_t now, uint64_t now_s);
bool pcp_epoch_reset(uint32_t before, uint64_t before_s, uint32_t now, uint64_t now_s);

/* When a lease is renewed: at half of what was granted, at least 10 s (granted up to 20: half). */
uint32_t lease_renewal_s(uint32_t granted_s);

#endif
