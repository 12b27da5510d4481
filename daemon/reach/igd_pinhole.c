/* SPDX-License-Identifier: Apache-2.0 */
#include "igd.h"

#include <arpa/inet.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnpreplyparse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* IPv6 pinholes of WANIPv6FirewallControl:1. [04 section 7] */

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

        snprintf(in, sizeof in, "%u", port);
        snprintf(lease, sizeof lease, "%d", GATEWAY_LEASE_S);
        return soap(address, url, service, "AddPinhole", args, "UniqueID", id, 12);
}

static bool firewall_off(const char *address, const char *url, const char *service) {
        struct UPNParg none[] = {{NULL, NULL}};
        char enabled[8] = "";

        return soap(address, url, service, "GetFirewallStatus", none, "FirewallEnabled", enabled, sizeof enabled) == 0 &&
               strcmp(enabled, "0") == 0;
}

static void pinhole_take(struct gateway_job *j, const char *address, const char *url, const char *service, const char *id,
                         struct gateway_result *ret) {
        struct gateway_lease *l = &ret->lease;

        ret->granted = true;
        l->protocol = MAP_IGD2;
        l->pinhole = true;
        l->internal = l->external = j->internal;
        l->lease_s = GATEWAY_LEASE_S;
        snprintf(l->address, sizeof l->address, "%s", address);
        snprintf(l->gateway, sizeof l->gateway, "%s", j->where.gateway);
        snprintf(l->control_url, sizeof l->control_url, "%s", url);
        snprintf(l->service, sizeof l->service, "%s", service);
        snprintf(l->unique_id, sizeof l->unique_id, "%s", id);
        gateway_note(ret, "UPnP: pinhole %s open for %d s", id, GATEWAY_LEASE_S);
}

/* The address of the job, then its others: routers that compare with a table of neighbours know some. */
static int try_addresses(struct gateway_job *j, const char *url, const char *service, const char **ret_address, char id[12]) {
        int r = 0;

        for (unsigned i = 0; i <= j->n_others && !atomic_load(&j->abandoned); i++) {
                *ret_address = i == 0 ? j->where.address : j->others[i - 1];
                r = pinhole_add(*ret_address, j->internal, url, service, id);
                if (pinhole_step_of(r, true) != PINHOLE_NOT_AUTHORIZED)
                        return r;
        }
        return r;
}

static void open_pinhole(struct gateway_job *j, const struct igd *igd, struct gateway_result *ret) {
        const char *url = igd->urls.controlURL_6FC, *service = igd->data.IPv6FC.servicetype, *address = j->where.address;
        char id[12] = "";
        int r;

        if (firewall_off(j->where.address, url, service)) {
                ret->no_pinhole_needed = true;
                gateway_note(ret, "UPnP: the router's IPv6 firewall is off");
                return;
        }
        /* Whatever it says about pinholes being allowed: some say no and open one all the same. */
        r = try_addresses(j, url, service, &address, id);
        switch (pinhole_step_of(r, true)) {
        case PINHOLE_OK:
                pinhole_take(j, address, url, service, id, ret);
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
        igd_note_error(ret, "AddPinhole", r);
}

static bool has_firewall_service(const struct igd *igd) {
        return igd->urls.controlURL_6FC && *igd->urls.controlURL_6FC && *igd->data.IPv6FC.servicetype;
}

/* Over IPv6; where nobody answers there, but an IPv4 description lists the service, once over IPv4:
 * some routers accept that. */
void igd_pinhole(struct gateway_job *j, struct gateway_result *ret) {
        struct igd igd;
        bool found = igd_find(&j->where, true, &j->abandoned, &igd, ret);

        if (!found && j->where_v4.address[0] && !j->no_igd)
                found = igd_find(&j->where_v4, false, &j->abandoned, &igd, ret);
        if (!found)
                return;
        if (has_firewall_service(&igd))
                open_pinhole(j, &igd, ret);
        else
                gateway_note(ret, "UPnP: the router has no IPv6 firewall service");
        igd_done(&igd);
}

void igd_pinhole_renew(const struct gateway_lease *l, struct gateway_result *ret) {
        char lease[12];
        struct UPNParg args[] = {{"UniqueID", l->unique_id}, {"NewLeaseTime", lease}, {NULL, NULL}};
        int r;

        snprintf(lease, sizeof lease, "%d", GATEWAY_LEASE_S);
        r = soap(l->address, l->control_url, l->service, "UpdatePinhole", args, NULL, NULL, 0);
        if (pinhole_step_of(r, false) == PINHOLE_UNKNOWN_ID)
                r = pinhole_add(l->address, l->internal, l->control_url, l->service, ret->lease.unique_id);
        ret->granted = r == 0;
        if (r != 0)
                igd_note_error(ret, "UpdatePinhole", r);
}

void igd_pinhole_revoke(const struct gateway_lease *l) {
        struct UPNParg args[] = {{"UniqueID", l->unique_id}, {NULL, NULL}};

        soap(l->address, l->control_url, l->service, "DeletePinhole", args, NULL, NULL, 0);
}
