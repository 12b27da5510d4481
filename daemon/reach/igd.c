/* SPDX-License-Identifier: Apache-2.0 */
#include "igd.h"

#include "util.h"

#include <arpa/inet.h>
#include <iicp/uuid.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>
#include <miniupnpc/upnpreplyparse.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NEXT_PORTS 8               /* tried above the one that is taken */
#define RANDOM_PORTS 4             /* then, in RANDOM_LOW to RANDOM_HIGH */
#define RANDOM_LOW 20000
#define RANDOM_HIGH 60000
#define LIMITED_PAUSE_S 2          /* a router that answers 5xx without a code is asked once more */

/* One mapping on its way. */
struct attempt {
        const struct igd *igd;
        struct gateway_job *job;
        struct gateway_result *ret;
        char lease[12];
        uint16_t granted;
};

static void port_text(char out[8], unsigned port) {
        snprintf(out, 8, "%u", port);
}

/* What the router keeps for an external port: 0 with client and port, else the error code. */
static int read_entry(const struct attempt *a, uint16_t external, char client[64], uint16_t *ret_port,
                      uint32_t *ret_lease) {
        char port[8], internal[8] = "", desc[96] = "", enabled[8] = "", lease[16] = "";
        int r;

        port_text(port, external);
        client[0] = '\0';
        r = UPNP_GetSpecificPortMappingEntry(a->igd->urls.controlURL, a->igd->data.first.servicetype, port, "TCP", NULL,
                                             client, internal, desc, enabled, lease);
        *ret_port = (uint16_t) strtoul(internal, NULL, 10);
        *ret_lease = (uint32_t) strtoul(lease, NULL, 10);
        return r;
}

static int add(struct attempt *a, uint16_t external) {
        char ext[8], in[8], desc[41];
        int r;

        port_text(ext, external);
        port_text(in, a->job->internal);
        snprintf(desc, sizeof desc, "iicpd %u", a->job->internal);
        for (int i = 0;; i++) {
                struct timespec pause = {.tv_sec = LIMITED_PAUSE_S};

                r = UPNP_AddPortMapping(a->igd->urls.controlURL, a->igd->data.first.servicetype, ext, in,
                                        a->job->where.address, desc, "TCP", NULL, a->lease);
                if (r == 0)
                        a->granted = external;
                /* Negative: an error without a code of UPnP. */
                if (r >= 0 || i > 0 || atomic_load(&a->job->abandoned))
                        return r;
                nanosleep(&pause, NULL);
        }
}

static void delete_port(const struct igd *igd, uint16_t external) {
        char ext[8];

        port_text(ext, external);
        UPNP_DeletePortMapping(igd->urls.controlURL, igd->data.first.servicetype, ext, "TCP", NULL);
}

/* The port belongs to somebody else: let the router choose, else look for a free one. */
static int another_port(struct attempt *a) {
        char ext[8], in[8], desc[41], reserved[8] = "";
        int r = 401;

        if (a->job->exact)
                return 718;
        port_text(ext, a->job->external);
        port_text(in, a->job->internal);
        snprintf(desc, sizeof desc, "iicpd %u", a->job->internal);
        if (a->igd->v2)
                r = UPNP_AddAnyPortMapping(a->igd->urls.controlURL, a->igd->data.first.servicetype, ext, in,
                                           a->job->where.address, desc, "TCP", NULL, a->lease, reserved);
        if (r == 0) {
                unsigned long port = strtoul(reserved, NULL, 10);

                a->granted = port <= UINT16_MAX ? (uint16_t) port : 0;
                return a->granted ? 0 : 501; /* yes to nothing */
        }
        for (unsigned i = 1; i <= NEXT_PORTS + RANDOM_PORTS && !atomic_load(&a->job->abandoned); i++) {
                uint16_t port = (uint16_t) (a->job->external + i);

                if (i > NEXT_PORTS) {
                        if (iicp_random(&port, sizeof port) < 0)
                                return r;
                        port = (uint16_t) (RANDOM_LOW + port % (RANDOM_HIGH - RANDOM_LOW + 1));
                }
                if (port < 1024) /* behind the last one */
                        continue;
                r = add(a, port);
                if (r == 0 || igd_step_of(r) != IGD_CONFLICT)
                        return r;
        }
        return r;
}

/* Taken by an older mapping of our own: then it is replaced. */
static int settle_conflict(struct attempt *a, int code) {
        char client[64];
        uint32_t lease;
        uint16_t port;

        if (read_entry(a, a->job->external, client, &port, &lease) == 0 && strcmp(client, a->job->where.address) == 0 &&
            port == a->job->internal) {
                delete_port(a->igd, a->job->external);
                return add(a, a->job->external);
        }
        if (igd_step_of(code) == IGD_CONFLICT_SAME_PORT)
                return code;
        gateway_note(a->ret, "UPnP: port %u belongs to another device", a->job->external);
        return another_port(a);
}

/* Some routers say yes and do nothing. */
static bool is_ours(struct attempt *a, uint32_t *ret_lease) {
        char client[64];
        uint16_t port;
        int r = read_entry(a, a->granted, client, &port, ret_lease);

        if (r == 0 && *ret_lease == 0) /* for ever, or not told: what was asked for is soon enough */
                *ret_lease = (uint32_t) strtoul(a->lease, NULL, 10);
        if (r == 501 || r == 401) {
                *ret_lease = (uint32_t) strtoul(a->lease, NULL, 10);
                return true; /* it cannot be asked */
        }
        return r == 0 && strcmp(client, a->job->where.address) == 0 && port == a->job->internal;
}

static void take_lease(struct attempt *a, uint32_t lease_s) {
        struct gateway_lease *l = &a->ret->lease;

        a->ret->granted = true;
        l->protocol = a->igd->v2 ? MAP_IGD2 : MAP_IGD1;
        l->internal = a->job->internal;
        l->external = a->granted;
        l->lease_s = lease_s;
        snprintf(l->address, sizeof l->address, "%s", a->job->where.address);
        snprintf(l->gateway, sizeof l->gateway, "%s", a->job->where.gateway);
        snprintf(l->control_url, sizeof l->control_url, "%s", a->igd->urls.controlURL);
        snprintf(l->service, sizeof l->service, "%s", a->igd->data.first.servicetype);
        gateway_note(a->ret, "UPnP IGD%d: port %u granted for %u s", a->igd->v2 ? 2 : 1, a->granted, lease_s);
}

static void map_port(struct attempt *a) {
        uint32_t lease_s = 0;
        int r = add(a, a->job->external);

        if (igd_step_of(r) == IGD_PERMANENT) {
                snprintf(a->lease, sizeof a->lease, "0");
                gateway_note(a->ret, "UPnP: the router knows permanent mappings only");
                r = add(a, a->job->external);
        }
        if (igd_step_of(r) == IGD_CONFLICT || igd_step_of(r) == IGD_CONFLICT_SAME_PORT)
                r = settle_conflict(a, r);
        if (r != 0) {
                enum igd_step step = igd_step_of(r);

                a->ret->guidance = step == IGD_STOP_SETTING ? "router_setting" : step == IGD_STOP_FULL ? "router_full" : NULL;
                gateway_note(a->ret, "UPnP: refused with %d (%s)", r, strupnperror(r) ? strupnperror(r) : "no code");
                return;
        }
        if (!is_ours(a, &lease_s)) {
                gateway_note(a->ret, "UPnP: the router said yes, but has no such mapping");
                return;
        }
        take_lease(a, lease_s);
}

bool igd_address(const struct gateway_lease *l, char out[INET_ADDRSTRLEN]) {
        char address[64] = "";

        if (UPNP_GetExternalIPAddress(l->control_url, l->service, address) != 0 || strlen(address) >= INET_ADDRSTRLEN)
                return false;
        strcpy(out, address);
        return *address != '\0';
}

void igd_map(struct gateway_job *j, struct gateway_result *ret) {
        struct attempt a = {.job = j, .ret = ret};
        char external_ip[64] = "";
        struct igd igd;

        if (!igd_find(&j->where, false, &j->abandoned, &igd, ret))
                return;
        a.igd = &igd;
        snprintf(a.lease, sizeof a.lease, "%d", GATEWAY_LEASE_S);
        /* A fault of this call says nothing about mappings. */
        if (UPNP_GetExternalIPAddress(igd.urls.controlURL, igd.data.first.servicetype, external_ip) == 0)
                snprintf(ret->lease.external_ip, sizeof ret->lease.external_ip, "%.45s", external_ip);
        map_port(&a);
        igd_done(&igd);
}

/* ---- later ---- */

static void pinhole_renew(const struct gateway_lease *l, struct gateway_result *ret);
static void pinhole_revoke(const struct gateway_lease *l);

void igd_renew(const struct gateway_lease *l, struct gateway_result *ret) {
        char ext[8], in[8], desc[41], lease[12], external_ip[INET_ADDRSTRLEN];
        int r;

        if (l->pinhole) {
                pinhole_renew(l, ret);
                return;
        }
        port_text(ext, l->external);
        port_text(in, l->internal);
        snprintf(desc, sizeof desc, "iicpd %u", l->internal);
        snprintf(lease, sizeof lease, "%d", l->lease_s ? GATEWAY_LEASE_S : 0);
        r = UPNP_AddPortMapping(l->control_url, l->service, ext, in, l->address, desc, "TCP", NULL, lease);
        ret->granted = r == 0;
        if (r != 0)
                gateway_note(ret, "UPnP: renewal refused with %d", r);
        else if (igd_address(l, external_ip))
                snprintf(ret->lease.external_ip, sizeof ret->lease.external_ip, "%s", external_ip);
}

void igd_revoke(const struct gateway_lease *l) {
        char ext[8];

        if (l->pinhole) {
                pinhole_revoke(l);
                return;
        }
        port_text(ext, l->external);
        UPNP_DeletePortMapping(l->control_url, l->service, ext, "TCP", NULL);
}

/* ---- pinholes ---- */

/* A connection from the address that the pinhole is for: the gateway compares the two. The library
 * cannot bind, but takes a connected socket. -1: an address family that does not fit, or no answer. */
static int connect_from(const char *address, const char *url) {
        struct sockaddr_in6 from = {.sin6_family = AF_INET6}, to = {.sin6_family = AF_INET6};
        struct timeval wait = {.tv_sec = GATEWAY_SOAP_MS / 1000};
        char host[INET6_ADDRSTRLEN + IF_NAMESIZE];
        const char *p = strstr(url, "://["), *end = p ? strchr(p, ']') : NULL;
        char *zone;
        int fd;

        if (!p || !end || (size_t) (end - p - 4) >= sizeof host || inet_pton(AF_INET6, address, &from.sin6_addr) != 1)
                return -1;
        snprintf(host, sizeof host, "%.*s", (int) (end - p - 4), p + 4);
        zone = strchr(host, '%');
        if (zone) {
                *zone++ = '\0';
                zone += strncmp(zone, "25", 2) == 0 ? 2 : 0; /* as in a URL */
                to.sin6_scope_id = if_nametoindex(zone) ? if_nametoindex(zone) : (unsigned) strtoul(zone, NULL, 10);
        }
        if (inet_pton(AF_INET6, host, &to.sin6_addr) != 1)
                return -1;
        to.sin6_port = htons((uint16_t) (end[1] == ':' ? strtoul(end + 2, NULL, 10) : 80));
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        if (bind(fd, (struct sockaddr *) &from, sizeof from) < 0 || connect(fd, (struct sockaddr *) &to, sizeof to) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

/* One action; *name of the answer into out. The error code of UPnP, 0, or -1 without one. */
static int soap(const char *address, const char *url, const char *service, const char *action, struct UPNParg *args,
                const char *name, char *out, size_t cap) {
        struct NameValueParserData parsed;
        const char *value;
        char *answer;
        int size = 0, code = 0;
        bool over_v6 = strstr(url, "://[") != NULL;
        int fd = over_v6 ? connect_from(address, url) : -1;

        if (over_v6 && fd < 0)
                return -1;
        answer = simpleUPnPcommand(fd, url, service, action, args, &size); /* closes fd */
        if (!answer)
                return -1;
        ParseNameValue(answer, size, &parsed);
        value = GetValueFromNameValueList(&parsed, "errorCode");
        if (value)
                code = (int) strtol(value, NULL, 10);
        else if (name) {
                value = GetValueFromNameValueList(&parsed, name);
                if (value)
                        snprintf(out, cap, "%s", value);
                else
                        code = -1;
        }
        ClearNameValueList(&parsed);
        free(answer);
        return code;
}

static int pinhole_add(const char *address, uint16_t port, const char *url, const char *service, char id[12]) {
        char in[8], lease[12];
        struct UPNParg args[] = {
                {"RemoteHost", ""}, {"RemotePort", "0"}, {"InternalClient", address}, {"InternalPort", in},
                {"Protocol", "6"}, {"LeaseTime", lease}, {NULL, NULL},
        };

        port_text(in, port);
        snprintf(lease, sizeof lease, "%d", GATEWAY_LEASE_S);
        return soap(address, url, service, "AddPinhole", args, "UniqueID", id, 12);
}

static bool firewall_off(const char *address, const char *url, const char *service) {
        struct UPNParg none[] = {{NULL, NULL}};
        char enabled[8] = "";

        return soap(address, url, service, "GetFirewallStatus", none, "FirewallEnabled", enabled, sizeof enabled) == 0 &&
               strcmp(enabled, "0") == 0;
}

static void pinhole_take(struct gateway_job *j, const char *url, const char *service, const char *id,
                         struct gateway_result *ret) {
        struct gateway_lease *l = &ret->lease;

        ret->granted = true;
        l->protocol = MAP_IGD2;
        l->pinhole = true;
        l->internal = l->external = j->internal;
        l->lease_s = GATEWAY_LEASE_S;
        snprintf(l->address, sizeof l->address, "%s", j->where.address);
        snprintf(l->gateway, sizeof l->gateway, "%s", j->where.gateway);
        snprintf(l->control_url, sizeof l->control_url, "%s", url);
        snprintf(l->service, sizeof l->service, "%s", service);
        snprintf(l->unique_id, sizeof l->unique_id, "%s", id);
        gateway_note(ret, "UPnP: pinhole %s open for %d s", id, GATEWAY_LEASE_S);
}

static void open_pinhole(struct gateway_job *j, const struct igd *igd, struct gateway_result *ret) {
        const char *url = igd->urls.controlURL_6FC, *service = igd->data.IPv6FC.servicetype;
        char id[12] = "";
        int r;

        if (!url || !*url || !*service) {
                gateway_note(ret, "UPnP: the router has no IPv6 firewall service");
                return;
        }
        if (firewall_off(j->where.address, url, service)) {
                ret->no_pinhole_needed = true;
                gateway_note(ret, "UPnP: the router's IPv6 firewall is off");
                return;
        }
        /* Whatever it says about pinholes being allowed: some say no and open one all the same. */
        r = pinhole_add(j->where.address, j->internal, url, service, id);
        switch (pinhole_step_of(r, true)) {
        case PINHOLE_OK:
                pinhole_take(j, url, service, id, ret);
                return;
        case PINHOLE_NOT_NEEDED:
                ret->no_pinhole_needed = true;
                break;
        case PINHOLE_NOT_AUTHORIZED:
        case PINHOLE_STOP_SETTING:
                ret->guidance = "router_setting";
                break;
        case PINHOLE_STOP_FULL:
                ret->guidance = "router_full";
                break;
        case PINHOLE_UNKNOWN_ID:
        case PINHOLE_STOP:
                break;
        }
        gateway_note(ret, "UPnP: pinhole refused with %d", r);
}

void igd_pinhole(struct gateway_job *j, struct gateway_result *ret) {
        struct igd igd;

        if (!igd_find(&j->where, true, &j->abandoned, &igd, ret))
                return;
        open_pinhole(j, &igd, ret);
        igd_done(&igd);
}

static void pinhole_renew(const struct gateway_lease *l, struct gateway_result *ret) {
        char lease[12];
        struct UPNParg args[] = {{"UniqueID", l->unique_id}, {"NewLeaseTime", lease}, {NULL, NULL}};
        int r;

        snprintf(lease, sizeof lease, "%d", GATEWAY_LEASE_S);
        r = soap(l->address, l->control_url, l->service, "UpdatePinhole", args, NULL, NULL, 0);
        if (pinhole_step_of(r, false) == PINHOLE_UNKNOWN_ID)
                r = pinhole_add(l->address, l->internal, l->control_url, l->service, ret->lease.unique_id);
        ret->granted = r == 0;
        if (r != 0)
                gateway_note(ret, "UPnP: pinhole not renewed (%d)", r);
}

static void pinhole_revoke(const struct gateway_lease *l) {
        struct UPNParg args[] = {{"UniqueID", l->unique_id}, {NULL, NULL}};

        soap(l->address, l->control_url, l->service, "DeletePinhole", args, NULL, NULL, 0);
}
