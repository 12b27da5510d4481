/* SPDX-License-Identifier: Apache-2.0 */
#include "igd.h"

#include "util.h"

#include <arpa/inet.h>
#include <iicp/uuid.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>
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

/* What the router keeps for an external port. */
struct entry {
        int error;                 /* 0, or the code of the answer: what follows is unknown */
        char client[64];
        uint16_t port;
        uint32_t lease_s;
};

static struct entry read_entry(const char *url, const char *service, uint16_t external) {
        char port[8], internal[8] = "", desc[96] = "", enabled[8] = "", lease[16] = "";
        struct entry e = {0};

        port_text(port, external);
        e.error = UPNP_GetSpecificPortMappingEntry(url, service, port, "TCP", NULL, e.client, internal, desc, enabled, lease);
        e.port = (uint16_t) strtoul(internal, NULL, 10);
        e.lease_s = (uint32_t) strtoul(lease, NULL, 10);
        return e;
}

static bool entry_is(const struct entry *e, const char *client, uint16_t port) {
        return e->error == 0 && strcmp(e->client, client) == 0 && e->port == port;
}

/* Some routers let anybody write over anybody's mapping, so it is looked at first. */
static bool is_foreign(const char *url, const char *service, uint16_t external, const char *client, uint16_t port) {
        struct entry e = read_entry(url, service, external);

        return e.error == 0 && !entry_is(&e, client, port);
}

static int add(struct attempt *a, uint16_t external) {
        char ext[8], in[8], desc[41];
        int r;

        if (is_foreign(a->igd->urls.controlURL, a->igd->data.first.servicetype, external, a->job->where.address, a->job->internal))
                return 718;
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

/* In words: numbers say nothing to the person at the router. */
void igd_note_error(struct gateway_result *ret, const char *action, int code) {
        const char *words = code == 606   ? "not authorised"
                            : code == 718 ? "the port belongs to another device"
                            : code == 724 ? "the ports inside and outside must be the same"
                            : code == 728 ? "the table is full"
                            : code == 501 ? "the action failed"
                            : code == -1  ? "no answer of UPnP"
                                          : strupnperror(code);

        if (code < -1)
                gateway_note(ret, "UPnP: %s: no answer (%s)", action, words ? words : "unknown");
        else if (code == -1)
                gateway_note(ret, "UPnP: %s: %s", action, words);
        else
                gateway_note(ret, "UPnP: %s %d %s", action, code, words ? words : "refused");
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
        struct entry e = read_entry(a->igd->urls.controlURL, a->igd->data.first.servicetype, a->job->external);

        if (entry_is(&e, a->job->where.address, a->job->internal)) {
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
        struct entry e = read_entry(a->igd->urls.controlURL, a->igd->data.first.servicetype, a->granted);

        *ret_lease = e.lease_s;
        if (e.error != 0 || e.lease_s == 0) /* for ever, or not told: what was asked for is soon enough */
                *ret_lease = (uint32_t) strtoul(a->lease, NULL, 10);
        if (e.error == 501 || e.error == 401)
                return true; /* it cannot be asked */
        return entry_is(&e, a->job->where.address, a->job->internal);
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
                igd_note_error(a->ret, "AddPortMapping", r);
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

        ret->no_igd = !igd_find(&j->where, false, &j->abandoned, &igd, ret);
        if (ret->no_igd)
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

void igd_renew(const struct gateway_lease *l, struct gateway_result *ret) {
        char ext[8], in[8], desc[41], lease[12], external_ip[INET_ADDRSTRLEN];
        int r;

        if (l->pinhole) {
                igd_pinhole_renew(l, ret);
                return;
        }
        if (is_foreign(l->control_url, l->service, l->external, l->address, l->internal)) {
                ret->lost = true;
                gateway_note(ret, "UPnP: port %u belongs to another device now", l->external);
                return;
        }
        port_text(ext, l->external);
        port_text(in, l->internal);
        snprintf(desc, sizeof desc, "iicpd %u", l->internal);
        snprintf(lease, sizeof lease, "%d", l->lease_s ? GATEWAY_LEASE_S : 0);
        r = UPNP_AddPortMapping(l->control_url, l->service, ext, in, l->address, desc, "TCP", NULL, lease);
        ret->granted = r == 0;
        if (r != 0)
                igd_note_error(ret, "AddPortMapping", r);
        else if (igd_address(l, external_ip))
                snprintf(ret->lease.external_ip, sizeof ret->lease.external_ip, "%s", external_ip);
}

void igd_revoke(const struct gateway_lease *l) {
        char ext[8];

        if (l->pinhole) {
                igd_pinhole_revoke(l);
                return;
        }
        /* It may have ended, and another device have the port since. */
        if (is_foreign(l->control_url, l->service, l->external, l->address, l->internal))
                return;
        port_text(ext, l->external);
        UPNP_DeletePortMapping(l->control_url, l->service, ext, "TCP", NULL);
}
