/* SPDX-License-Identifier: Apache-2.0 */
#include "local.h"

#include "util.h"

#include <arpa/inet.h>
#include <iicp/address.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <string.h>

static bool one_of(const char *kind, const char *const *kinds, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(kind, kinds[i]) == 0)
                        return true;
        return false;
}

/* A way to somewhere else, where no router of the house answers. */
static bool is_tunnel(const struct fact_interface *i) {
        static const char *const kinds[] = {"tun", "wireguard", "ipip", "gre", "sit", "vti", "xfrm", "ppp", "ip6tnl"};

        return i->flags & (IFF_LOOPBACK | IFF_POINTOPOINT) || i->type == ARPHRD_NONE || i->type == ARPHRD_PPP ||
               one_of(i->kind, kinds, ARRAY_SIZE(kinds));
}

/* Made for containers and virtual machines, unless it is the way out itself. */
static bool is_inner(const struct fact_interface *i) {
        static const char *const kinds[] = {"bridge", "veth", "dummy"};

        return i->master != 0 || one_of(i->kind, kinds, ARRAY_SIZE(kinds));
}

static void text_of_ip(int family, const union fact_ip *ip, char *out, size_t cap) {
        out[0] = '\0';
        inet_ntop(family, family == AF_INET ? (const void *) &ip->v4 : (const void *) &ip->v6, out, (socklen_t) cap);
}

static enum iicp_addr_class class_of(const struct fact_address *a) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

        if (a->family == AF_INET) {
                v4.sin_addr = a->ip.v4;
                return iicp_addr_class((const struct sockaddr *) &v4);
        }
        v6.sin6_addr = a->ip.v6;
        return iicp_addr_class((const struct sockaddr *) &v6);
}

/* The first IPv4 address of an interface that is of use, NULL = none. */
static const struct fact_address *v4_of(const struct reach_facts *f, int interface) {
        for (size_t i = 0; i < f->n_addresses; i++) {
                const struct fact_address *a = &f->addresses[i];

                if (a->interface == interface && a->family == AF_INET && class_of(a) != IICP_ADDR_LINK_LOCAL &&
                    class_of(a) != IICP_ADDR_LOOPBACK)
                        return a;
        }
        return NULL;
}

static const struct fact_route *default_of(const struct reach_facts *f, int interface, int family) {
        const struct fact_route *best = NULL;

        for (size_t i = 0; i < f->n_routes; i++) {
                const struct fact_route *r = &f->routes[i];

                if (r->interface == interface && r->family == family && (!best || r->metric < best->metric))
                        best = r;
        }
        return best;
}

static void fill_where(const struct reach_facts *f, const struct fact_interface *i, const struct fact_address *a,
                       struct gateway_where *w) {
        const struct fact_route *route = default_of(f, i->index, a->family);

        snprintf(w->interface, sizeof w->interface, "%s", i->name);
        text_of_ip(a->family, &a->ip, w->address, sizeof w->address);
        w->prefix = a->prefix;
        w->gateway[0] = '\0';
        if (!route || !route->has_gateway)
                return;
        text_of_ip(a->family, &route->gateway, w->gateway, sizeof w->gateway);
        if (a->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&route->gateway.v6)) {
                size_t n = strlen(w->gateway);

                snprintf(w->gateway + n, sizeof w->gateway - n, "%%%s", i->name);
        }
}

/* The holder of the default route, else one with a private network on it: a VPN may have taken the
 * default route, the router at home is there all the same. */
static void choose_v4(const struct reach_facts *f, struct local *l) {
        const struct fact_route *route = reach_facts_default(f, AF_INET);
        const struct fact_interface *holder = route ? reach_facts_interface(f, route->interface) : NULL;
        const struct fact_address *a;

        if (holder && holder->flags & IFF_UP && !is_tunnel(holder) && (a = v4_of(f, holder->index))) {
                fill_where(f, holder, a, &l->v4);
                l->private_v4 = class_of(a) == IICP_ADDR_PRIVATE;
                if (class_of(a) == IICP_ADDR_PUBLIC)
                        text_of_ip(AF_INET, &a->ip, l->nic_v4, sizeof l->nic_v4);
                return;
        }
        for (size_t i = 0; i < f->n_interfaces; i++) {
                const struct fact_interface *other = &f->interfaces[i];

                if (!(other->flags & IFF_UP) || is_tunnel(other) || (is_inner(other) && other != holder))
                        continue;
                a = v4_of(f, other->index);
                if (a && class_of(a) == IICP_ADDR_PRIVATE) {
                        fill_where(f, other, a, &l->v4);
                        l->private_v4 = true;
                        return;
                }
        }
}

static void choose_v6(const struct reach_facts *f, struct local *l) {
        struct ipv6_candidate v[LOCAL_OWN_MAX];
        const struct fact_address *of[LOCAL_OWN_MAX];
        size_t n = 0;
        int best;

        for (size_t i = 0; i < f->n_addresses && n < ARRAY_SIZE(v); i++) {
                const struct fact_address *a = &f->addresses[i];
                const struct fact_interface *on = reach_facts_interface(f, a->interface);

                if (a->family != AF_INET6 || !on || !(on->flags & IFF_UP) || is_tunnel(on))
                        continue;
                of[n] = a;
                v[n++] = (struct ipv6_candidate){
                        .address = a->ip.v6, .default_route = default_of(f, a->interface, AF_INET6) != NULL,
                        .temporary = a->temporary, .tentative = a->tentative, .deprecated = a->deprecated,
                        .preferred_s = a->preferred_s,
                };
        }
        best = ipv6_choose(v, n);
        if (best < 0)
                return;
        fill_where(f, reach_facts_interface(f, of[best]->interface), of[best], &l->v6);
        l->v6_temporary = v[best].temporary;
        l->v6_preferred_s = v[best].preferred_s;
        for (int i = best, first = best; l->n_v6_others < GATEWAY_OTHERS_MAX;) {
                v[i].deprecated = true; /* is chosen no more */
                i = ipv6_choose(v, n);
                if (i < 0)
                        return;
                if (of[i]->interface == of[first]->interface)
                        text_of_ip(AF_INET6, &of[i]->ip, l->v6_others[l->n_v6_others++], sizeof l->v6_others[0]);
        }
}

static bool same_where(const struct gateway_where *a, const struct gateway_where *b) {
        return strcmp(a->interface, b->interface) == 0 && strcmp(a->address, b->address) == 0 &&
               strcmp(a->gateway, b->gateway) == 0;
}

bool local_same(const struct local *a, const struct local *b) {
        return same_where(&a->v4, &b->v4) && same_where(&a->v6, &b->v6) && strcmp(a->nic_v4, b->nic_v4) == 0 &&
               a->private_v4 == b->private_v4 && a->bridged == b->bridged && a->v4_way_out == b->v4_way_out;
}

void local_derive(const struct reach_facts *f, bool container, struct local *ret) {
        const struct fact_route *route = reach_facts_default(f, AF_INET);
        const struct fact_interface *holder = route ? reach_facts_interface(f, route->interface) : NULL;

        *ret = (struct local){0};
        choose_v4(f, ret);
        choose_v6(f, ret);
        ret->v4_way_out = route != NULL;
        ret->vpn = holder && is_tunnel(holder);
        ret->private_v4 = ret->private_v4 && ret->v4_way_out;
        ret->bridged = container && holder && strcmp(holder->kind, "veth") == 0 && ret->private_v4;
}

bool local_container_marks(char *const *environ_) {
        static const char mark[] = "KUBERNETES_SERVICE_HOST=";

        if (access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0)
                return true;
        for (; environ_ && *environ_; environ_++)
                if (strncmp(*environ_, mark, sizeof mark - 1) == 0)
                        return true;
        return false;
}
