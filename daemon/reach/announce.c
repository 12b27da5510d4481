/* SPDX-License-Identifier: Apache-2.0 */
#include "announce.h"

#include "log.h"
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE 8 /* datagrams of one turn of the loop */

struct ear {
        int fd;
        struct event *readable;
};

struct announce {
        struct loop *loop;
        void (*heard)(void *arg, const struct pcp_announcement *a, const char *from);
        void *arg;
        char interface[IF_NAMESIZE];
        struct ear v4, v6;
};

/* The sender's address as text; false: not from the port that gateways speak from. */
static bool sender(const struct sockaddr_storage *from, char out[INET6_ADDRSTRLEN]) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *) (const void *) from;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) (const void *) from;

        if (from->ss_family == AF_INET)
                return ntohs(v4->sin_port) == PCP_PORT && inet_ntop(AF_INET, &v4->sin_addr, out, INET6_ADDRSTRLEN);
        return from->ss_family == AF_INET6 && ntohs(v6->sin6_port) == PCP_PORT &&
               inet_ntop(AF_INET6, &v6->sin6_addr, out, INET6_ADDRSTRLEN);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
        struct announce *a = arg;

        (void) what;
        for (unsigned i = 0; i < AT_ONCE; i++) {
                unsigned char packet[PCP_PACKET_MAX + 1];
                struct sockaddr_storage from = {0};
                socklen_t length = sizeof from;
                struct pcp_announcement said;
                char text[INET6_ADDRSTRLEN];
                ssize_t n = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *) &from, &length);

                if (n < 0)
                        return;
                if (sender(&from, text) && pcp_parse_announcement(packet, (size_t) n, &said))
                        a->heard(a->arg, &said, text);
        }
}

static int join_v4(int fd, int interface) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PCP_ANNOUNCE_PORT)};
        struct ip_mreqn group = {.imr_ifindex = interface};

        group.imr_multiaddr.s_addr = htonl(INADDR_ALLHOSTS_GROUP);
        if (bind(fd, (const struct sockaddr *) &at, sizeof at) < 0 ||
            setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) < 0)
                return -errno;
        return 0;
}

static int join_v6(int fd, int interface) {
        struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(PCP_ANNOUNCE_PORT)};
        struct ipv6_mreq group = {.ipv6mr_interface = (unsigned) interface};
        int on = 1;

        inet_pton(AF_INET6, "ff02::1", &group.ipv6mr_multiaddr);
        if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0 ||
            bind(fd, (const struct sockaddr *) &at, sizeof at) < 0 ||
            setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group) < 0)
                return -errno;
        return 0;
}

static void ear_close(struct ear *e) {
        if (e->readable)
                event_free(e->readable);
        if (e->fd >= 0)
                close(e->fd);
        *e = (struct ear){.fd = -1};
}

static int ear_open(struct announce *a, struct ear *e, int family, int interface) {
        int on = 1, r;

        e->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (e->fd < 0)
                return -errno;
        /* Other clients of the same router live on this machine, too. */
        if (setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
                return -errno;
        r = family == AF_INET ? join_v4(e->fd, interface) : join_v6(e->fd, interface);
        if (r < 0)
                return r;
        e->readable = event_new(loop_base(a->loop), e->fd, EV_READ | EV_PERSIST, on_readable, a);
        return e->readable && event_add(e->readable, NULL) == 0 ? 0 : -ENOMEM;
}

static void try_open(struct announce *a, struct ear *e, int family, int interface) {
        int r = ear_open(a, e, family, interface);

        if (r == 0)
                return;
        log_debug("announcements", "IPv%d announcements of routers on port %d are not heard: %s", family == AF_INET ? 4 : 6,
                  PCP_ANNOUNCE_PORT, strerror(-r));
        ear_close(e);
}

struct announce *announce_new(struct loop *l, void (*heard)(void *arg, const struct pcp_announcement *a, const char *from),
                              void *arg) {
        struct announce *a = calloc(1, sizeof *a);

        if (a)
                *a = (struct announce){.loop = l, .heard = heard, .arg = arg, .v4 = {.fd = -1}, .v6 = {.fd = -1}};
        return a;
}

struct announce *announce_free(struct announce *a) {
        if (!a)
                return NULL;
        ear_close(&a->v4);
        ear_close(&a->v6);
        free(a);
        return NULL;
}

void announce_listen(struct announce *a, const char *interface) {
        int index = *interface ? (int) if_nametoindex(interface) : 0;

        if (strcmp(a->interface, interface) == 0 && (a->v4.fd >= 0 || a->v6.fd >= 0))
                return;
        ear_close(&a->v4);
        ear_close(&a->v6);
        snprintf(a->interface, sizeof a->interface, "%s", interface);
        if (index == 0)
                return;
        try_open(a, &a->v4, AF_INET, index);
        try_open(a, &a->v6, AF_INET6, index);
}
