/* SPDX-License-Identifier: Apache-2.0 */
#include "igd.h"

#include "util.h"

#include <arpa/inet.h>
#include <iicp/address.h>
#include <stdio.h>
#include <string.h>

/* Anybody on the link may answer a search. What they name is fetched only where a gateway of ours
 * can be: an IP literal of our own network, private or link-local. [04 section 5.1; 05 section 13.1] */

/* The host of http://HOST:port/..., without brackets and zone. */
static bool host_of(const char *url, char *out, size_t cap) {
        const char *p = strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
        size_t n;

        if (!p)
                return false;
        if (*p == '[') {
                p++;
                n = strcspn(p, "]%");
        } else
                n = strcspn(p, ":/");
        if (n == 0 || n >= cap)
                return false;
        memcpy(out, p, n);
        out[n] = '\0';
        return true;
}

static const unsigned char *bytes_of(const struct sockaddr_storage *a) {
        if (a->ss_family == AF_INET)
                return (const unsigned char *) &((const struct sockaddr_in *) (const void *) a)->sin_addr;
        return (const unsigned char *) &((const struct sockaddr_in6 *) (const void *) a)->sin6_addr;
}

static bool same_network(const struct sockaddr_storage *a, const struct sockaddr_storage *b, unsigned prefix) {
        const unsigned char *x = bytes_of(a), *y = bytes_of(b);
        unsigned whole = prefix / 8, rest = prefix % 8;

        if (a->ss_family != b->ss_family || memcmp(x, y, whole) != 0)
                return false;
        return rest == 0 || (x[whole] >> (8 - rest)) == (y[whole] >> (8 - rest));
}

bool igd_host_allowed(const char *description_url, const struct gateway_where *where, bool *ret_is_gateway) {
        char host[INET6_ADDRSTRLEN], gateway[sizeof where->gateway];
        struct sockaddr_storage them, us;
        enum iicp_addr_class c;

        *ret_is_gateway = false;
        snprintf(gateway, sizeof gateway, "%s", where->gateway);
        gateway[strcspn(gateway, "%")] = '\0';
        if (!host_of(description_url, host, sizeof host) || !iicp_addr_parse(host, &them) ||
            !iicp_addr_parse(where->address, &us))
                return false;
        *ret_is_gateway = strcmp(host, gateway) == 0;
        c = iicp_addr_class((const struct sockaddr *) &them);
        if (c == IICP_ADDR_LINK_LOCAL && them.ss_family == us.ss_family)
                return true;
        if (!*ret_is_gateway && !same_network(&them, &us, where->prefix))
                return false;
        /* Of IPv6 the own network is global. */
        return c == IICP_ADDR_PRIVATE || c == IICP_ADDR_UNIQUE_LOCAL || (us.ss_family == AF_INET6 && c == IICP_ADDR_PUBLIC);
}

static bool is_v2(const struct UPNPDev *d) {
        return strstr(d->st, "InternetGatewayDevice:2") != NULL;
}

/* The default gateway first, then version 2, then whoever answered first. */
static struct UPNPDev *choose(struct UPNPDev *list, const struct gateway_where *where) {
        struct UPNPDev *best = NULL;
        int best_rank = -1;

        for (struct UPNPDev *d = list; d; d = d->pNext) {
                bool is_gateway;
                int rank;

                if (!strstr(d->st, "InternetGatewayDevice") || !igd_host_allowed(d->descURL, where, &is_gateway))
                        continue;
                rank = (is_gateway ? 2 : 0) + (is_v2(d) ? 1 : 0);
                if (rank > best_rank) {
                        best = d;
                        best_rank = rank;
                }
        }
        return best;
}

/* "Not connected" also stands for an external address that is private: that is for us to judge, so
 * only "no IGD at all" counts as none. */
static bool describe(struct UPNPDev *d, struct igd *ret) {
        struct UPNPDev *next = d->pNext;
        char lan[INET6_ADDRSTRLEN + IF_NAMESIZE] = "";
        int r;
#if MINIUPNPC_API_VERSION >= 18
        char wan[INET6_ADDRSTRLEN] = "";
#endif

        d->pNext = NULL;
#if MINIUPNPC_API_VERSION >= 18
        r = UPNP_GetValidIGD(d, &ret->urls, &ret->data, lan, sizeof lan, wan, sizeof wan);
#else
        r = UPNP_GetValidIGD(d, &ret->urls, &ret->data, lan, sizeof lan);
#endif
        d->pNext = next;
        if (r > 0 && ret->data.first.servicetype[0]) {
                ret->v2 = is_v2(d) || strstr(ret->data.first.servicetype, ":2") != NULL;
                return true;
        }
        if (r > 0)
                FreeUPNPUrls(&ret->urls);
        return false;
}

bool igd_find(const struct gateway_where *where, bool ipv6, const atomic_bool *abandoned, struct igd *ret,
              struct gateway_result *notes) {
        struct UPNPDev *list, *d;
        bool answered, found;
        int error = 0;

        memset(ret, 0, sizeof *ret);
        if (atomic_load(abandoned))
                return false;
        /* Over IPv6 only version 2 is of use: nothing else knows pinholes. */
        if (ipv6)
                list = upnpDiscoverDevice("urn:schemas-upnp-org:device:InternetGatewayDevice:2", GATEWAY_SEARCH_MS,
                                          where->interface, NULL, UPNP_LOCAL_PORT_ANY, 1, 2, &error);
        else
                list = upnpDiscover(GATEWAY_SEARCH_MS, where->address, NULL, UPNP_LOCAL_PORT_ANY, 0, 2, &error);
        d = choose(list, where);
        found = d && describe(d, ret);
        answered = list != NULL;
        freeUPNPDevlist(list);
        if (!found)
                gateway_note(notes, "UPnP%s: %s", ipv6 ? " over IPv6" : "",
                             answered ? "answers, but none from a gateway of this network" : "no answer");
        return found;
}

void igd_done(struct igd *igd) {
        FreeUPNPUrls(&igd->urls);
}
