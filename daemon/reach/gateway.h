/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_GATEWAY_H
#define IICPD_GATEWAY_H

/* Asking routers to let callers in: UPnP IGD, PCP, NAT-PMP. Everything here blocks and runs on the
 * helper thread LOOP_ROUTERS, one call at a time, so that there are never two mappings of one port.
 * Values in, values out; nothing is kept between calls. [04 sections 5, 7] */

#include "pcp.h"

#include <net/if.h>
#include <stdatomic.h>

#define GATEWAY_LEASE_S 3600
#define GATEWAY_SEARCH_MS 1500     /* of one kind of device; the library asks for four */
#define GATEWAY_SOAP_MS 5000
#define GATEWAY_EVIDENCE_MAX 12    /* lines of what was tried */
#define GATEWAY_OTHERS_MAX 4       /* more IPv6 addresses for a pinhole */

enum map_protocol { MAP_NONE, MAP_IGD1, MAP_IGD2, MAP_PCP, MAP_NATPMP };
const char *map_protocol_name(enum map_protocol p); /* "igd1", ... as in transport_metadata */

/* Where the question goes out. */
struct gateway_where {
        char interface[IF_NAMESIZE];
        char address[INET6_ADDRSTRLEN];  /* ours on it: InternalClient */
        unsigned prefix;                 /* of that address, bits */
        char gateway[INET6_ADDRSTRLEN + IF_NAMESIZE]; /* "" = none; IPv6 link-local with %zone */
};

/* A mapping, or a pinhole, as it was granted; what nat-state.json keeps. */
struct gateway_lease {
        enum map_protocol protocol;
        bool pinhole;
        uint16_t internal, external;
        uint32_t lease_s;                /* 0 = for ever */
        uint32_t epoch;
        char address[INET6_ADDRSTRLEN];  /* ours */
        char gateway[INET6_ADDRSTRLEN + IF_NAMESIZE];
        char external_ip[INET6_ADDRSTRLEN]; /* "" = not told */
        unsigned char nonce[PCP_NONCE];
        char control_url[256], service[128]; /* IGD */
        char unique_id[12];              /* of an IGD pinhole */
};

struct gateway_result {
        bool granted;
        struct gateway_lease lease;      /* external_ip also of a refusal, when it was told */
        const char *guidance;            /* router_setting, router_full, NULL; static */
        bool no_pinhole_needed;          /* the gateway's IPv6 firewall is off */
        bool no_igd;                     /* nobody answered as one over IPv4 */
        bool lost;                       /* of a renewal: it is somebody else's now */
        uint32_t retry_s;                /* a PCP server does not want to be asked before */
        char evidence[GATEWAY_EVIDENCE_MAX][120]; /* lines for status; no secrets */
        unsigned n_evidence;
};

struct gateway_job {
        struct gateway_where where;
        enum map_protocol protocols[3];  /* in the order of trial; IGD1 stands for IGD */
        unsigned n_protocols;
        uint16_t internal, external;     /* external: as wished */
        bool exact;                      /* no other external port will do */
        /* pinholes: addresses that are as good, and where IPv4 is asked */
        char others[GATEWAY_OTHERS_MAX][INET6_ADDRSTRLEN];
        unsigned n_others;
        struct gateway_where where_v4;
        bool no_igd;                     /* asked over IPv4 before: nobody there */
        bool pcp_quiet;                  /* the PCP server asked for a pause */
        bool has_nonce;                  /* of a PCP mapping that we hold or left behind */
        unsigned char nonce[PCP_NONCE];
        atomic_bool abandoned;           /* set by the loop: end soon */
};

void gateway_map(struct gateway_job *j, struct gateway_result *ret);
/* Address and port of the job are those of where.address. */
void gateway_pinhole(struct gateway_job *j, struct gateway_result *ret);
/* Again with the same arguments; ret->lease is what it is now. */
void gateway_renew(const struct gateway_lease *l, struct gateway_result *ret);
/* Best effort, within GATEWAY_SOAP_MS. */
void gateway_revoke(const struct gateway_lease *l);
/* External address as the gateway tells it now; false: it does not. */
bool gateway_address(const struct gateway_lease *l, char out[INET_ADDRSTRLEN], uint32_t *ret_epoch);

/* ---- inside ---- */
void gateway_note(struct gateway_result *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void igd_map(struct gateway_job *j, struct gateway_result *ret);
void igd_renew(const struct gateway_lease *l, struct gateway_result *ret);
void igd_revoke(const struct gateway_lease *l);
bool igd_address(const struct gateway_lease *l, char out[INET_ADDRSTRLEN]);
void igd_pinhole(struct gateway_job *j, struct gateway_result *ret);

/* pcp: both for a mapping and, on IPv6 addresses, a pinhole. *ret_natpmp: only that is spoken. */
void pcp_map(struct gateway_job *j, struct gateway_result *ret, bool *ret_natpmp);
void pcp_renew(const struct gateway_lease *l, uint32_t lifetime_s, struct gateway_result *ret);
void natpmp_map(struct gateway_job *j, struct gateway_result *ret);
void natpmp_renew(const struct gateway_lease *l, uint32_t lifetime_s, struct gateway_result *ret);
bool natpmp_address(const char *gateway, char out[INET_ADDRSTRLEN], uint32_t *ret_epoch);

/* What an error code of a port mapping means. [04 section 5.1] */
enum igd_step {
        IGD_OK, IGD_CONFLICT, IGD_CONFLICT_SAME_PORT /* no other port will do */, IGD_PERMANENT, IGD_UNKNOWN_ACTION,
        IGD_STOP, IGD_STOP_FULL, IGD_STOP_SETTING,
};
enum igd_step igd_step_of(int code);
/* The same for a pinhole. [04 section 7] */
enum pinhole_step {
        PINHOLE_OK, PINHOLE_UNKNOWN_ID, PINHOLE_NOT_AUTHORIZED, PINHOLE_NOT_NEEDED, PINHOLE_STOP, PINHOLE_STOP_FULL,
        PINHOLE_STOP_SETTING,
};
enum pinhole_step pinhole_step_of(int code, bool adding);

#endif
