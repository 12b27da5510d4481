/* SPDX-License-Identifier: Apache-2.0 */
#include "witness.h"

#include <iicp/endpoint.h>
#include <string.h>

static void mapped(struct in_addr a, struct in6_addr *ret) {
        memset(ret, 0, sizeof *ret);
        ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
        memcpy(ret->s6_addr + 12, &a, sizeof a);
}

void witness_own(struct witness *w, const struct reach_facts *f) {
        w->n_own = 0;
        for (size_t i = 0; i < f->n_addresses && w->n_own < WITNESS_OWN_MAX; i++) {
                const struct fact_address *a = &f->addresses[i];

                if (a->family == AF_INET)
                        mapped(a->ip.v4, &w->own[w->n_own++]);
                else if (a->family == AF_INET6)
                        w->own[w->n_own++] = a->ip.v6;
        }
}

void witness_note(struct witness *w, const struct sockaddr *peer, uint64_t now_ms) {
        struct in6_addr a;

        if (peer->sa_family == AF_INET)
                mapped(((const struct sockaddr_in *) (const void *) peer)->sin_addr, &a);
        else if (peer->sa_family == AF_INET6)
                a = ((const struct sockaddr_in6 *) (const void *) peer)->sin6_addr;
        else
                return;
        if (iicp_addr_is_loopback(peer))
                return;
        for (size_t i = 0; i < w->n_own; i++)
                if (memcmp(&w->own[i], &a, sizeof a) == 0)
                        return;
        w->foreign_ms = now_ms;
}

bool witness_since(const struct witness *w, uint64_t since_ms) {
        return w->foreign_ms != 0 && w->foreign_ms >= since_ms;
}
