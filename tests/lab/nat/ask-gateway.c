/* SPDX-License-Identifier: Apache-2.0 */
#include "reach/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Asks a gateway as the daemon does and prints what came of it, a line "name value" each: for the
 * tests in name spaces, where a router of the real kind answers.
 *   ask-gateway map|pinhole|renew-and-revoke INTERFACE ADDRESS PREFIX GATEWAY|- PORT PROTOCOL... */

static void print(const struct gateway_result *r) {
        printf("granted %d\nprotocol %s\nexternal_ip %s\nexternal %u\nlease %u\nguidance %s\nno_pinhole_needed %d\n",
               r->granted, map_protocol_name(r->lease.protocol), r->lease.external_ip, r->lease.external,
               r->lease.lease_s, r->guidance ? r->guidance : "", r->no_pinhole_needed);
        for (unsigned i = 0; i < r->n_evidence; i++)
                printf("evidence %s\n", r->evidence[i]);
}

static enum map_protocol protocol(const char *name) {
        return strcmp(name, "pcp") == 0 ? MAP_PCP : strcmp(name, "natpmp") == 0 ? MAP_NATPMP : MAP_IGD1;
}

int main(int argc, char **argv) {
        struct gateway_job j = {0};
        struct gateway_result r, again;

        if (argc < 8 || argc > 10)
                return 2;
        snprintf(j.where.interface, sizeof j.where.interface, "%s", argv[2]);
        snprintf(j.where.address, sizeof j.where.address, "%s", argv[3]);
        j.where.prefix = (unsigned) atoi(argv[4]);
        snprintf(j.where.gateway, sizeof j.where.gateway, "%s", strcmp(argv[5], "-") == 0 ? "" : argv[5]);
        j.internal = j.external = (uint16_t) atoi(argv[6]);
        for (int i = 7; i < argc; i++)
                j.protocols[j.n_protocols++] = protocol(argv[i]);
        if (strcmp(argv[1], "pinhole") == 0)
                gateway_pinhole(&j, &r);
        else
                gateway_map(&j, &r);
        print(&r);
        if (r.granted && strcmp(argv[1], "map") != 0) {
                gateway_renew(&r.lease, &again);
                printf("renewed %d\n", again.granted);
                gateway_revoke(&r.lease);
        }
        return 0;
}
