/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "log.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

/* A gateway that has lost its state has lost our mappings: they are made again at once. It tells by
 * the clock in its answers, and by an announcement. [04 sections 5.2, 5.3, 13.1] */

/* Address of a gateway without the zone. */
static bool same_gateway(const char *gateway, const char *from) {
        size_t n = strcspn(gateway, "%");

        return strlen(from) == n && memcmp(gateway, from, n) == 0;
}

bool epoch_says_reset(const struct kept_lease *k, bool pcp, uint32_t epoch, uint64_t now_ms) {
        const struct gateway_lease *l = &k->lease;

        /* Under IGD no epoch is told; it has run since before the grant. */
        if (l->protocol != MAP_PCP && l->protocol != MAP_NATPMP)
                return natpmp_epoch_reset(0, k->granted_ms / 1000, epoch, now_ms / 1000);
        if (pcp && l->protocol == MAP_PCP)
                return pcp_epoch_reset(l->epoch, k->epoch_ms / 1000, epoch, now_ms / 1000);
        return natpmp_epoch_reset(l->epoch, k->epoch_ms / 1000, epoch, now_ms / 1000);
}

static void again_if_reset(struct routes *r, struct kept_lease *k, bool pcp, uint32_t epoch) {
        bool reset = epoch_says_reset(k, pcp, epoch, routes_now(r));

        k->lease.epoch = epoch;
        k->epoch_ms = routes_now(r);
        if (!reset)
                return;
        log_notice("router_restarted", "the router has lost its state: the %s of port %u is made again",
                   k->lease.pinhole ? "pinhole" : "mapping", k->lease.internal);
        keep_renew_now(r, k);
}

void hear_epoch(struct routes *r, const char *gateway, bool pcp, uint32_t epoch) {
        struct kept_lease *const all[] = {&r->mapping, &r->pinhole, &r->relay};

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i]->held && same_gateway(all[i]->where.gateway, gateway))
                        again_if_reset(r, all[i], pcp, epoch);
}

void hear_announcement(void *arg, const struct pcp_announcement *a, const char *from) {
        struct routes *r = arg;
        const struct kept_lease *k = &r->mapping;

        if (r->stopping)
                return;
        hear_epoch(r, from, a->pcp, a->epoch);
        if (k->held && same_gateway(k->where.gateway, from) && a->address[0] && k->lease.external_ip[0] &&
            strcmp(a->address, k->lease.external_ip) != 0) {
                log_notice("address_changed", "public address changed: verifying, then registering");
                routes_look(r, "the gateway has another address", false);
        }
}
