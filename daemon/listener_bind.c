/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"

#include "listener.h"

#include "peer.h"
#include "systemd.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static int bind_one(struct sockaddr_storage *addr, bool dual, unsigned port) {
        _cleanup_close_ int fd = -1;
        int on = 1, off = 0;
        socklen_t n;

        fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
                return -errno;
        if (addr->ss_family == AF_INET6) {
                if (dual && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
                        return -errno;
                ((struct sockaddr_in6 *) addr)->sin6_port = htons((uint16_t) port);
                n = sizeof(struct sockaddr_in6);
        } else {
                ((struct sockaddr_in *) addr)->sin_port = htons((uint16_t) port);
                n = sizeof(struct sockaddr_in);
        }
        /* Listening at once, because a port that is only bound can still be taken by another. */
        if (bind(fd, (struct sockaddr *) addr, n) < 0 || listen(fd, LISTENER_BACKLOG) < 0)
                return -errno;
        int ret = fd;
        fd = -1;
        return ret;
}

static int bind_ports(struct sockaddr_storage *addr, bool dual, unsigned port, bool strict,
                      unsigned skip) {
        int first = 0;

        for (unsigned i = 0; i < (strict ? 1u : LISTENER_PORTS) && port + i <= 65535; i++) {
                int fd = port + i == skip && i > 0 ? -EADDRINUSE : bind_one(addr, dual, port + i);

                if (fd >= 0)
                        return fd;
                if (first == 0)
                        first = fd;
                if (fd != -EADDRINUSE)
                        break;
        }
        return first;
}

int listener_bind(const char *address, unsigned port, bool strict, unsigned skip, int *ret_fd, char *why, size_t why_cap) {
        struct sockaddr_storage addr;
        bool any = !address;
        int fd;

        if (peer_parse(iicp_str(any ? "::" : address), &addr) < 0) {
                snprintf(why, why_cap, "listen.address is not a numeric address");
                return -EINVAL;
        }
        /* "::" as configured serves both families just like the default. */
        bool dual = addr.ss_family == AF_INET6 &&
                    IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *) &addr)->sin6_addr);
        fd = bind_ports(&addr, dual, port, strict, skip);
        if (any && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL || fd == -EPROTONOSUPPORT)) {
                peer_parse(IICP_STR("0.0.0.0"), &addr);
                fd = bind_ports(&addr, false, port, strict, skip);
        }
        if (fd < 0) {
                snprintf(why, why_cap, "cannot listen on port %u%s: %s", port,
                         !strict && fd == -EADDRINUSE ? " nor on the next 63" : "", strerror(-fd));
                return fd;
        }
        *ret_fd = fd;
        return 0;
}

static int use_passed(int fd, const char *key, unsigned port, char *why, size_t why_cap) {
        struct sockaddr_storage bound;
        socklen_t n = sizeof bound;
        unsigned is;

        if (getsockname(fd, (struct sockaddr *) &bound, &n) < 0 ||
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
                return -errno;
        is = ntohs(((struct sockaddr_in *) &bound)->sin_port); /* both families have it at the same place */
        if (port != 0 && port != is) {
                snprintf(why, why_cap, "the service manager passed a socket on port %u, but %s is %u: make ListenStream= "
                         "of the socket unit and %s the same", is, key, port, key);
                return -EADDRNOTAVAIL;
        }
        return 0;
}

int listener_open(const char *role, const char *key, const char *address, unsigned port, bool strict, unsigned skip,
                  bool *ret_passed, int *ret_fd, char *why, size_t why_cap) {
        int fd = systemd_passed_socket(role), r;

        *ret_passed = fd >= 0;
        if (fd < 0)
                return listener_bind(address, port, strict, skip, ret_fd, why, why_cap);
        r = use_passed(fd, key, port, why, why_cap);
        if (r < 0)
                return r;
        *ret_fd = fd;
        return 0;
}
