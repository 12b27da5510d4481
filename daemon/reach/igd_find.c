/* SPDX-License-Identifier: Apache-2.0 */
#include "igd.h"

#include "util.h"

#include <arpa/inet.h>
#include <iicp/address.h>
#include <miniupnpc/miniwget.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Anybody on the link may answer a search. What they name is fetched only where a gateway of ours
 * can be: an IP literal of our own network, private or link-local. [04 section 5.1; 05 section 13.1] */

#define DESCRIPTION_MAX 262144 /* bytes that are looked at */

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

/* The description may name any place to send orders to: that, too, must be a gateway's. An empty one
 * is a service that it does not have. */
static bool orders_allowed(const struct UPNPUrls *u, const struct gateway_where *where) {
        const char *const all[] = {u->controlURL, u->controlURL_CIF, u->controlURL_6FC};
        bool is_gateway;

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i] && *all[i] && !igd_host_allowed(all[i], where, &is_gateway))
                        return false;
        return u->controlURL && *u->controlURL;
}

static bool take_urls(struct UPNPDev *d, const struct gateway_where *where, struct igd *ret) {
        GetUPNPUrls(&ret->urls, &ret->data, d->descURL, d->scope_id);
        if (ret->data.first.servicetype[0] && orders_allowed(&ret->urls, where))
                return true;
        FreeUPNPUrls(&ret->urls);
        memset(&ret->urls, 0, sizeof ret->urls);
        return false;
}

/* The library would do this by UPNP_GetValidIGD, but sends orders before anybody can look where to,
 * and calls a gateway with a private address "not connected", which is for us to judge. */
static bool describe(struct UPNPDev *d, const struct gateway_where *where, struct igd *ret) {
        char lan[INET6_ADDRSTRLEN + IF_NAMESIZE] = "";
        int n = 0, status = 0;
        char *text = miniwget_getaddr(d->descURL, &n, lan, sizeof lan, d->scope_id, &status);

        if (text && n > 0 && n <= DESCRIPTION_MAX && status == 200)
                parserootdesc(text, n, &ret->data);
        free(text);
        if (!take_urls(d, where, ret))
                return false;
        /* Of two connections, as with PPP and IP, the one that is up. */
        if (ret->data.second.servicetype[0] && UPNPIGD_IsConnected(&ret->urls, &ret->data) != 1) {
                ret->data.first = ret->data.second;
                FreeUPNPUrls(&ret->urls);
                if (!take_urls(d, where, ret))
                        return false;
        }
        ret->v2 = is_v2(d) || strstr(ret->data.first.servicetype, ":2") != NULL;
        return true;
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
        found = d && describe(d, where, ret);
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
