/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway.h"

#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <iicp/uuid.h>
#include <natpmp.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

/* PCP over a socket of our own, NAT-PMP through libnatpmp with a deadline of our own: that library
 * alone repeats for two minutes where packets are dropped. Both sockets are connected, so that the
 * kernel lets only the gateway's answers in. [04 sections 5.2, 5.3] */

#define NATPMP_DEADLINE_MS 1750

static const unsigned pcp_sends_ms[] = {0, 1000, 3000}; /* and the end at 5 s */
#define PCP_DEADLINE_MS 5000

static uint64_t now_ms(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

/* A UDP socket from our address to the gateway. -errno. */
static int open_socket(const char *address, const char *gateway) {
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM};
        struct addrinfo *from = NULL, *to = NULL;
        _cleanup_close_ int fd = -1;
        int r = -EINVAL;

        if (getaddrinfo(gateway, "5351", &hints, &to) != 0 || getaddrinfo(address, "0", &hints, &from) != 0)
                goto out;
        fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, from->ai_addr, from->ai_addrlen) < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0)
                r = -errno;
        else {
                r = fd;
                fd = -1;
        }
out:
        if (from)
                freeaddrinfo(from);
        if (to)
                freeaddrinfo(to);
        return r;
}

static bool is_v6(const char *address) {
        return strchr(address, ':') != NULL;
}

static bool client_address(const char *address, struct in6_addr *ret) {
        char text[INET6_ADDRSTRLEN + 8];

        snprintf(text, sizeof text, "%s%s", is_v6(address) ? "" : "::ffff:", address);
        return inet_pton(AF_INET6, text, ret) == 1;
}

/* 0 with an answer, -ETIMEDOUT, -ECONNREFUSED, -ECANCELED. */
static int pcp_exchange(int fd, const struct pcp_map *m, const atomic_bool *abandoned, struct pcp_answer *ret) {
        unsigned char packet[PCP_MAP_SIZE], answer[PCP_PACKET_MAX];
        uint64_t began_ms = now_ms();
        unsigned sent = 0;

        pcp_print_map(m, packet);
        for (;;) {
                uint64_t age_ms = now_ms() - began_ms, next_ms;
                struct pollfd p = {.fd = fd, .events = POLLIN};
                ssize_t n;

                if (abandoned && atomic_load(abandoned))
                        return -ECANCELED;
                if (age_ms >= PCP_DEADLINE_MS)
                        return -ETIMEDOUT;
                if (sent < ARRAY_SIZE(pcp_sends_ms) && age_ms >= pcp_sends_ms[sent]) {
                        if (send(fd, packet, sizeof packet, 0) < 0 && errno != ECONNREFUSED)
                                return -errno;
                        sent++;
                }
                next_ms = sent < ARRAY_SIZE(pcp_sends_ms) ? pcp_sends_ms[sent] : PCP_DEADLINE_MS;
                poll(&p, 1, next_ms > age_ms ? (int) MIN(next_ms - age_ms, (uint64_t) 500) : 0);
                n = recv(fd, answer, sizeof answer, 0);
                if (n < 0 && errno == ECONNREFUSED)
                        return -ECONNREFUSED;
                if (n > 0 && pcp_parse_map(answer, (size_t) n, m, ret))
                        return 0;
        }
}

static void pcp_take(const struct pcp_map *m, const struct pcp_answer *a, struct gateway_result *ret) {
        struct gateway_lease *l = &ret->lease;

        snprintf(l->external_ip, sizeof l->external_ip, "%s", a->address);
        ret->granted = a->result == PCP_SUCCESS && (a->external != 0 || m->lifetime_s == 0);
        if (ret->granted) {
                l->protocol = MAP_PCP;
                l->internal = m->internal;
                l->external = a->external;
                l->lease_s = a->lifetime_s;
                l->epoch = a->epoch;
                memcpy(l->nonce, m->nonce, sizeof l->nonce);
                gateway_note(ret, "PCP: port %u granted for %u s", a->external, a->lifetime_s);
                return;
        }
        ret->retry_s = a->lifetime_s;
        if (a->result == PCP_NOT_AUTHORIZED)
                ret->guidance = "router_setting";
        gateway_note(ret, "PCP: result %u %s", a->result,
                     a->result == PCP_NOT_AUTHORIZED     ? "not authorised"
                     : a->result == PCP_NO_RESOURCES     ? "no resources, or no usable address"
                     : a->result == PCP_ADDRESS_MISMATCH ? "another NAT in between"
                                                         : "refused");
}

static int pcp_ask(const char *address, const char *gateway, const struct pcp_map *m, const atomic_bool *abandoned,
                   struct gateway_result *ret, bool *ret_natpmp) {
        struct pcp_answer a;
        _cleanup_close_ int fd = open_socket(address, gateway);
        int r = fd;

        *ret_natpmp = false;
        if (fd >= 0)
                r = pcp_exchange(fd, m, abandoned, &a);
        if (r < 0) {
                gateway_note(ret, "PCP: %s", r == -ECONNREFUSED ? "the gateway does not speak it" :
                                             r == -ETIMEDOUT    ? "no answer in 5 s" : strerror(-r));
                *ret_natpmp = r == -ECONNREFUSED || r == -ETIMEDOUT;
                return r;
        }
        if (a.natpmp_only || a.result == PCP_UNSUPP_VERSION) {
                gateway_note(ret, "PCP: the gateway speaks NAT-PMP only");
                *ret_natpmp = true;
                return -EPROTONOSUPPORT;
        }
        pcp_take(m, &a, ret);
        return 0;
}

void pcp_map(struct gateway_job *j, struct gateway_result *ret, bool *ret_natpmp) {
        struct pcp_map m = {.internal = j->internal, .external = j->external, .lifetime_s = GATEWAY_LEASE_S};

        *ret_natpmp = false;
        if (j->pcp_quiet) {
                gateway_note(ret, "PCP: not asked: the gateway refused and wants a pause");
                return;
        }
        if (j->has_nonce)
                memcpy(m.nonce, j->nonce, sizeof m.nonce);
        if (!j->where.gateway[0] || !client_address(j->where.address, &m.client) ||
            (!j->has_nonce && iicp_random(m.nonce, sizeof m.nonce) < 0)) {
                gateway_note(ret, "PCP: no gateway to ask");
                return;
        }
        if (pcp_ask(j->where.address, j->where.gateway, &m, &j->abandoned, ret, ret_natpmp) < 0 || !ret->granted)
                return;
        snprintf(ret->lease.address, sizeof ret->lease.address, "%s", j->where.address);
        snprintf(ret->lease.gateway, sizeof ret->lease.gateway, "%s", j->where.gateway);
        if (j->exact && ret->lease.external != j->external) {
                struct gateway_result ignored = {.lease = ret->lease};

                pcp_renew(&ret->lease, 0, &ignored);
                ret->granted = false;
                gateway_note(ret, "PCP: port %u is taken", j->external);
        }
}

void pcp_renew(const struct gateway_lease *l, uint32_t lifetime_s, struct gateway_result *ret) {
        struct pcp_map m = {.internal = l->internal, .external = l->external, .lifetime_s = lifetime_s};
        bool natpmp_only;

        memcpy(m.nonce, l->nonce, sizeof m.nonce);
        if (client_address(l->address, &m.client))
                pcp_ask(l->address, l->gateway, &m, NULL, ret, &natpmp_only);
}

/* ---- NAT-PMP ---- */

static const char *natpmp_error(int r) {
        switch (r) {
        case NATPMP_ERR_NOGATEWAYSUPPORT: return "the gateway does not speak it";
        case NATPMP_ERR_NOTAUTHORIZED: return "refused";
        case NATPMP_ERR_NETWORKFAILURE: return "the gateway has no usable external address";
        case NATPMP_ERR_OUTOFRESOURCES: return "no resources";
        case NATPMP_ERR_UNSUPPORTEDVERSION: return "another version";
        case NATPMP_TRYAGAIN: return "no answer";
        default: return "failed";
        }
}

/* One answer within the deadline, sends repeated by the library. NATPMP_TRYAGAIN: none came. */
static int natpmp_wait(natpmp_t *n, uint64_t until_ms, natpmpresp_t *ret) {
        for (;;) {
                struct pollfd p = {.fd = n->s, .events = POLLIN};
                struct timeval tv = {0};
                uint64_t at_ms = now_ms();
                int64_t wait_ms;
                int r;

                if (at_ms >= until_ms)
                        return NATPMP_TRYAGAIN;
                wait_ms = getnatpmprequesttimeout(n, &tv) == 0 ? tv.tv_sec * 1000 + tv.tv_usec / 1000 : 250;
                wait_ms = MAX(wait_ms, 0);
                /* Not the library's next send, where the time is up. */
                if (poll(&p, 1, (int) MIN((uint64_t) wait_ms + 1, until_ms - at_ms)) == 0 && now_ms() + 1 >= until_ms)
                        return NATPMP_TRYAGAIN;
                r = readnatpmpresponseorretry(n, ret);
                if (r != NATPMP_TRYAGAIN && r != NATPMP_ERR_WRONGPACKETSOURCE)
                        return r;
        }
}

static int natpmp_open(natpmp_t *n, const char *gateway) {
        struct in_addr a;

        if (inet_pton(AF_INET, gateway, &a) != 1)
                return NATPMP_ERR_CANNOTGETGATEWAY;
        return initnatpmp(n, 1, a.s_addr);
}

bool natpmp_address(const char *gateway, char out[INET_ADDRSTRLEN], uint32_t *ret_epoch) {
        natpmpresp_t answer;
        natpmp_t n;
        int r = natpmp_open(&n, gateway);

        if (r < 0)
                return false;
        r = sendpublicaddressrequest(&n);
        if (r > 0)
                r = natpmp_wait(&n, now_ms() + NATPMP_DEADLINE_MS, &answer);
        closenatpmp(&n);
        if (r != 0 || answer.type != NATPMP_RESPTYPE_PUBLICADDRESS)
                return false;
        *ret_epoch = answer.epoch;
        return inet_ntop(AF_INET, &answer.pnu.publicaddress.addr, out, INET_ADDRSTRLEN) != NULL;
}

static int natpmp_request(const char *gateway, uint16_t internal, uint16_t external, uint32_t lifetime_s,
                          natpmpresp_t *ret) {
        natpmp_t n;
        int r = natpmp_open(&n, gateway);

        if (r < 0)
                return r;
        r = sendnewportmappingrequest(&n, NATPMP_PROTOCOL_TCP, internal, external, lifetime_s);
        if (r > 0)
                r = natpmp_wait(&n, now_ms() + NATPMP_DEADLINE_MS, ret);
        closenatpmp(&n);
        if (r == 0 && (ret->type != NATPMP_RESPTYPE_TCPPORTMAPPING || ret->pnu.newportmapping.privateport != internal))
                r = NATPMP_ERR_UNDEFINEDERROR;
        return r;
}

static void natpmp_take(const natpmpresp_t *a, struct gateway_result *ret) {
        struct gateway_lease *l = &ret->lease;

        ret->granted = true;
        l->protocol = MAP_NATPMP;
        l->internal = a->pnu.newportmapping.privateport;
        l->external = a->pnu.newportmapping.mappedpublicport;
        l->lease_s = a->pnu.newportmapping.lifetime;
        l->epoch = a->epoch;
}

void natpmp_map(struct gateway_job *j, struct gateway_result *ret) {
        char external_ip[INET_ADDRSTRLEN] = "";
        natpmpresp_t answer;
        uint32_t epoch;
        int r;

        if (!j->where.gateway[0]) {
                gateway_note(ret, "NAT-PMP: no gateway to ask");
                return;
        }
        r = natpmp_request(j->where.gateway, j->internal, j->external, GATEWAY_LEASE_S, &answer);
        if (r != 0) {
                if (r == NATPMP_ERR_NOTAUTHORIZED)
                        ret->guidance = "router_setting";
                gateway_note(ret, "NAT-PMP: %s", natpmp_error(r));
                return;
        }
        natpmp_take(&answer, ret);
        snprintf(ret->lease.address, sizeof ret->lease.address, "%s", j->where.address);
        snprintf(ret->lease.gateway, sizeof ret->lease.gateway, "%s", j->where.gateway);
        if (natpmp_address(j->where.gateway, external_ip, &epoch))
                snprintf(ret->lease.external_ip, sizeof ret->lease.external_ip, "%s", external_ip);
        gateway_note(ret, "NAT-PMP: port %u granted for %u s", ret->lease.external, ret->lease.lease_s);
        if (j->exact && ret->lease.external != j->external) {
                natpmp_request(j->where.gateway, j->internal, 0, 0, &answer);
                ret->granted = false;
                gateway_note(ret, "NAT-PMP: port %u is taken", j->external);
        }
}

void natpmp_renew(const struct gateway_lease *l, uint32_t lifetime_s, struct gateway_result *ret) {
        char external_ip[INET_ADDRSTRLEN];
        natpmpresp_t answer;
        uint32_t epoch;
        int r = natpmp_request(l->gateway, l->internal, lifetime_s ? l->external : 0, lifetime_s, &answer);

        if (r != 0) {
                gateway_note(ret, "NAT-PMP: %s", natpmp_error(r));
                return;
        }
        natpmp_take(&answer, ret);
        if (lifetime_s && natpmp_address(l->gateway, external_ip, &epoch))
                snprintf(ret->lease.external_ip, sizeof ret->lease.external_ip, "%s", external_ip);
}
