/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway.h"

#include <stdarg.h>
#include <stdio.h>

const char *map_protocol_name(enum map_protocol p) {
        static const char *const names[] = {
                [MAP_NONE] = "", [MAP_IGD1] = "igd1", [MAP_IGD2] = "igd2", [MAP_PCP] = "pcp", [MAP_NATPMP] = "nat_pmp",
        };

        return names[p];
}

void gateway_note(struct gateway_result *r, const char *fmt, ...) {
        va_list ap;

        if (r->n_evidence == GATEWAY_EVIDENCE_MAX)
                return;
        va_start(ap, fmt);
        vsnprintf(r->evidence[r->n_evidence++], sizeof r->evidence[0], fmt, ap);
        va_end(ap);
}

enum igd_step igd_step_of(int code) {
        switch (code) {
        case 0:
                return IGD_OK;
        case 718:
        case 729:
        case 733:
                return IGD_CONFLICT;
        case 724:
                return IGD_CONFLICT_SAME_PORT;
        case 725:
                return IGD_PERMANENT;
        case 401:
                return IGD_UNKNOWN_ACTION;
        case 728:
                return IGD_STOP_FULL;
        case 606:
                return IGD_STOP_SETTING;
        default:
                return IGD_STOP;
        }
}

enum pinhole_step pinhole_step_of(int code, bool adding) {
        switch (code) {
        case 0:
                return PINHOLE_OK;
        case 402:
        case 704:
                return adding ? PINHOLE_STOP : PINHOLE_UNKNOWN_ID;
        case 606:
                return PINHOLE_NOT_AUTHORIZED;
        case 701:
                return PINHOLE_STOP_FULL;
        case 702:
                return PINHOLE_NOT_NEEDED;
        case 703:
                return PINHOLE_STOP_SETTING;
        default:
                return PINHOLE_STOP;
        }
}

/* A refusal for want of room is the gateway's, whatever it is asked by. */
static bool worth_another(const struct gateway_result *r) {
        return !r->granted && !(r->guidance && strcmp(r->guidance, "router_full") == 0);
}

void gateway_map(struct gateway_job *j, struct gateway_result *ret) {
        bool natpmp_only = false, pcp_asked = false;

        *ret = (struct gateway_result){0};
        for (unsigned i = 0; i < j->n_protocols && worth_another(ret) && !atomic_load(&j->abandoned); i++) {
                switch (j->protocols[i]) {
                case MAP_IGD1:
                case MAP_IGD2:
                        igd_map(j, ret);
                        break;
                case MAP_PCP:
                        pcp_asked = true;
                        pcp_map(j, ret, &natpmp_only);
                        break;
                case MAP_NATPMP:
                        /* Where PCP was understood, and refused, its ancestor says nothing new. */
                        if (!pcp_asked || natpmp_only)
                                natpmp_map(j, ret);
                        break;
                case MAP_NONE:
                        break;
                }
        }
}

void gateway_pinhole(struct gateway_job *j, struct gateway_result *ret) {
        bool natpmp_only;

        *ret = (struct gateway_result){0};
        for (unsigned i = 0; i < j->n_protocols && worth_another(ret) && !ret->no_pinhole_needed; i++) {
                if (atomic_load(&j->abandoned))
                        return;
                if (j->protocols[i] == MAP_IGD1 || j->protocols[i] == MAP_IGD2)
                        igd_pinhole(j, ret);
                else if (j->protocols[i] == MAP_PCP)
                        pcp_map(j, ret, &natpmp_only);
        }
        ret->lease.pinhole = true;
}

void gateway_renew(const struct gateway_lease *l, struct gateway_result *ret) {
        *ret = (struct gateway_result){.lease = *l};
        switch (l->protocol) {
        case MAP_IGD1:
        case MAP_IGD2:
                igd_renew(l, ret);
                break;
        case MAP_PCP:
                pcp_renew(l, GATEWAY_LEASE_S, ret);
                break;
        case MAP_NATPMP:
                natpmp_renew(l, GATEWAY_LEASE_S, ret);
                break;
        case MAP_NONE:
                break;
        }
}

void gateway_revoke(const struct gateway_lease *l) {
        struct gateway_result ignored = {.lease = *l};

        switch (l->protocol) {
        case MAP_IGD1:
        case MAP_IGD2:
                igd_revoke(l);
                break;
        case MAP_PCP:
                pcp_renew(l, 0, &ignored);
                break;
        case MAP_NATPMP:
                natpmp_renew(l, 0, &ignored);
                break;
        case MAP_NONE:
                break;
        }
}

bool gateway_address(const struct gateway_lease *l, char out[INET_ADDRSTRLEN], uint32_t *ret_epoch) {
        *ret_epoch = 0;
        if (l->protocol == MAP_IGD1 || l->protocol == MAP_IGD2)
                return igd_address(l, out);
        /* A PCP server tells its address with each renewal only; most speak NAT-PMP as well. */
        return natpmp_address(l->gateway, out, ret_epoch);
}
