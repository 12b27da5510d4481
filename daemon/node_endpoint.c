/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_name.h"
#include "listener.h"
#include "log.h"
#include "node_life.h"
#include "reach/routes.h"
#include "tls_port.h"
#include "util.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <iicp/endpoint.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* Which endpoint this node advertises: the operator's, else the route that reach/ has proved, else a public
 * address of an interface that the listener covers. [02 section 1] */

#define ALIVE 10 /* any endpoint that may work before any that did not */
#define DEAD_ENDPOINT_MS 300000u
#define WHY_OPERATOR "node.public_endpoint is no public address; nat.allow_private = yes registers it all the same"
#define WHY_NAME "the name in node.public_endpoint leads to a private address; nat.allow_private = yes registers it all the same"
#define WHY_ASKED "the name in node.public_endpoint is being looked up"
#define WHY_LOOPBACK "the listener is on loopback only; set node.public_endpoint, or listen.address"
#define WHY_PRIVATE "no public address on this machine; set node.public_endpoint"

static bool is_public(const struct sockaddr *a) {
        return iicp_endpoint_addr_allowed(a, IICP_ENDPOINT_REGISTER) == 0;
}

/* An endpoint that the directory could not use, until when it is not the first choice. */
static bool is_dead(const struct node *n, const char *endpoint) {
        uint64_t now = clock_mono_ms(n->clock);

        for (size_t i = 0; i < ARRAY_SIZE(n->dead_endpoints); i++)
                if (n->dead_endpoints[i].until_ms > now && strcmp(n->dead_endpoints[i].endpoint, endpoint) == 0)
                        return true;
        return false;
}

static void write_endpoint(const struct node *n, const struct sockaddr *a, char *out, size_t cap) {
        char text[INET6_ADDRSTRLEN];
        unsigned port = listener_port(n->listener);
        const char *scheme = tls_port_active(n->tls) ? "https" : "http";

        if (a->sa_family == AF_INET6) {
                inet_ntop(AF_INET6, &((const struct sockaddr_in6 *) a)->sin6_addr, text, sizeof text);
                snprintf(out, cap, "%s://[%s]:%u", scheme, text, port);
        } else {
                inet_ntop(AF_INET, &((const struct sockaddr_in *) a)->sin_addr, text, sizeof text);
                snprintf(out, cap, "%s://%s:%u", scheme, text, port);
        }
}

/* How good an address of an interface is; 0 = not usable. IPv4 first: every directory and consumer
 * has it. */
static int rank_of(const struct sockaddr *a, bool allow_private, bool loopback_directory) {
        bool v4 = a->sa_family == AF_INET;

        if (is_public(a))
                return v4 ? 4 : 3;
        if (!allow_private || !v4)
                return 0;
        if (iicp_addr_is_loopback(a))
                return loopback_directory ? 2 : 0;
        return 1;
}

static void find_interface(struct node *n, int family) {
        struct ifaddrs *list = NULL;
        struct iicp_url dir;
        bool lab = n->config->directory_url && iicp_url_parse(iicp_str(n->config->directory_url), &dir) == 0 &&
                   iicp_host_is_loopback(dir.host);
        char candidate[sizeof n->endpoint];
        int best = 0;

        if (getifaddrs(&list) < 0)
                return;
        for (struct ifaddrs *i = list; i; i = i->ifa_next) {
                int rank;

                if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) ||
                    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6) ||
                    (family != AF_UNSPEC && i->ifa_addr->sa_family != family))
                        continue;
                rank = rank_of(i->ifa_addr, n->config->allow_private, lab);
                if (rank == 0)
                        continue;
                write_endpoint(n, i->ifa_addr, candidate, sizeof candidate);
                rank += is_dead(n, candidate) ? 0 : ALIVE;
                if (rank > best) {
                        best = rank;
                        memcpy(n->endpoint, candidate, sizeof n->endpoint);
                }
        }
        freeifaddrs(list);
}

static void find_operator(struct node *n) {
        struct iicp_url url;

        if (iicp_url_parse(iicp_str(n->config->public_endpoint), &url) < 0 ||
            (!n->config->allow_private && iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER) < 0)) {
                n->endpoint_why = WHY_OPERATOR;
                return;
        }
        switch (n->config->allow_private ? NAME_FINE : endpoint_name_look(n->endpoint_name, n->config->public_endpoint)) {
        case NAME_FINE:
                iicp_url_normal(&url, n->endpoint, sizeof n->endpoint);
                break;
        case NAME_PRIVATE:
                n->endpoint_why = WHY_NAME;
                break;
        case NAME_ASKED:
                n->endpoint_why = WHY_ASKED;
        }
}

void node_endpoint_named(void *arg) {
        struct node *n = arg;

        node_endpoint_find(n);
        directory_poke(n->directory);
}

static void find_listener(struct node *n) {
        const char *address = n->config->listen_address;
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        const struct sockaddr *a = NULL;
        int family = AF_UNSPEC;

        if (address && inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
                family = AF_INET;
                a = v4.sin_addr.s_addr != INADDR_ANY ? (const struct sockaddr *) &v4 : NULL;
        } else if (address && inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
                a = !IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr) ? (const struct sockaddr *) &v6 : NULL;
        }
        if (!a)
                find_interface(n, family);
        else if (n->config->allow_private || is_public(a))
                write_endpoint(n, a, n->endpoint, sizeof n->endpoint);
        if (!n->endpoint[0])
                n->endpoint_why = listener_loopback_only(n->listener) ? WHY_LOOPBACK : WHY_PRIVATE;
}

void node_endpoint_find(struct node *n) {
        const char *before = n->endpoint_why;

        if (n->routes && routes_wanted(n))
                return; /* looks for one by itself */

        n->endpoint[0] = '\0';
        n->endpoint_why = NULL;
        if (n->config->public_endpoint)
                find_operator(n);
        else
                find_listener(n);
        if (n->endpoint_why && n->endpoint_why != before && n->config->directory_register &&
            strcmp(n->endpoint_why, WHY_ASKED) != 0)
                log_warn("route_none", "serving, but not registering: %s", n->endpoint_why);
}

static bool interface_dead(struct node *n, const char *endpoint) {
        struct dead_endpoint *oldest = &n->dead_endpoints[0];
        char before[sizeof n->endpoint];

        for (size_t i = 1; i < ARRAY_SIZE(n->dead_endpoints); i++)
                if (n->dead_endpoints[i].until_ms < oldest->until_ms)
                        oldest = &n->dead_endpoints[i];
        snprintf(oldest->endpoint, sizeof oldest->endpoint, "%s", endpoint);
        oldest->until_ms = clock_mono_ms(n->clock) + DEAD_ENDPOINT_MS;
        memcpy(before, n->endpoint, sizeof before);
        node_endpoint_find(n);
        return n->endpoint[0] && strcmp(before, n->endpoint) != 0;
}

bool node_endpoint_dead(struct node *n, const char *endpoint) {
        if (n->routes && routes_wanted(n))
                return routes_refused(n->routes, endpoint); /* going on below it takes a while */
        return interface_dead(n, endpoint);
}

const char *node_endpoint(const struct node *n, const char **ret_why) {
        if (ret_why)
                *ret_why = n->endpoint_why;
        return n->endpoint[0] ? n->endpoint : NULL;
}

/* An https endpoint that somebody else terminates passes no frames on. */
bool node_transport_endpoint(const struct node *n, char out[256]) {
        char origin[256];
        struct iicp_url url;

        if (n->config->native == NATIVE_OFF || (n->config->native == NATIVE_TLS_ONLY && !tls_port_active(n->tls)) ||
            !n->endpoint[0] || iicp_url_parse(iicp_str(n->endpoint), &url) < 0 ||
            url.https != tls_port_active(n->tls) || iicp_url_origin(&url, origin, sizeof origin) < 0)
                return false;
        return snprintf(out, 256, "%s%s", url.https ? "iicpsec" : "iicp", strchr(origin, ':')) < 256;
}
