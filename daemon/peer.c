/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Longest numeric address with brackets and port. */
#define TEXT_MAX 64

/* 16 bytes in network order; IPv4 as mapped address. False for other families. */
static bool bytes_of(const struct sockaddr *addr, uint8_t out[16]) {
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

        if (addr->sa_family == AF_INET) {
                memcpy(out, mapped, sizeof mapped);
                memcpy(out + 12, &((const struct sockaddr_in *) addr)->sin_addr, 4);
                return true;
        }
        if (addr->sa_family == AF_INET6) {
                memcpy(out, &((const struct sockaddr_in6 *) addr)->sin6_addr, 16);
                return true;
        }
        return false;
}

static bool is_mapped(const uint8_t b[16]) {
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

        return memcmp(b, mapped, sizeof mapped) == 0;
}

void peer_source_of(const struct sockaddr *addr, struct peer_source *ret) {
        uint8_t b[16];

        memset(ret, 0, sizeof *ret);
        if (!bytes_of(addr, b))
                return;
        if (is_mapped(b)) {
                ret->family = 4;
                memcpy(ret->bytes, b + 12, 4);
        } else {
                ret->family = 6;
                memcpy(ret->bytes, b, 8);
        }
}

static int parse_literal(const char *text, struct sockaddr_storage *ret) {
        struct sockaddr_in *v4 = (struct sockaddr_in *) ret;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) ret;

        memset(ret, 0, sizeof *ret);
        if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
                ret->ss_family = AF_INET;
                return 0;
        }
        if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
                ret->ss_family = AF_INET6;
                return 0;
        }
        return -EINVAL;
}

int peer_parse(struct iicp_str text, struct sockaddr_storage *ret) {
        char copy[TEXT_MAX], *end;
        struct sockaddr_storage parsed;
        int r;

        if (text.n == 0 || text.n >= sizeof copy || memchr(text.p, 0, text.n))
                return -EINVAL;
        memcpy(copy, text.p, text.n);
        copy[text.n] = 0;
        if (copy[0] == '[') {
                end = strchr(copy, ']');
                if (!end || (end[1] && end[1] != ':'))
                        return -EINVAL;
                *end = 0;
                r = parse_literal(copy + 1, &parsed);
                if (r == 0 && parsed.ss_family != AF_INET6)
                        r = -EINVAL;
        } else {
                end = strchr(copy, ':');
                if (end && !strchr(end + 1, ':'))
                        *end = 0; /* one colon: IPv4 with a port */
                r = parse_literal(copy, &parsed);
        }
        if (r == 0)
                *ret = parsed;
        return r;
}

static bool in_network(const uint8_t addr[16], const char *network) {
        const char *slash = strchr(network, '/');
        struct sockaddr_storage base;
        uint8_t b[16];
        unsigned bits = 128;

        if (peer_parse((struct iicp_str){network, slash ? (size_t) (slash - network) : strlen(network)}, &base) < 0 ||
            !bytes_of((struct sockaddr *) &base, b))
                return false;
        if (slash) {
                char *end;
                unsigned long n = strtoul(slash + 1, &end, 10);
                unsigned most = base.ss_family == AF_INET ? 32 : 128;

                if (end == slash + 1 || *end || n > most)
                        return false;
                bits = (unsigned) n + (128 - most);
        }
        if (memcmp(addr, b, bits / 8) != 0)
                return false;
        if (bits % 8 == 0)
                return true;
        return ((addr[bits / 8] ^ b[bits / 8]) & (uint8_t) (0xff << (8 - bits % 8))) == 0;
}

bool peer_in_networks(const struct sockaddr *addr, char *const *networks) {
        uint8_t b[16];

        if (!networks || !bytes_of(addr, b))
                return false;
        for (; *networks; networks++)
                if (in_network(b, *networks))
                        return true;
        return false;
}

void peer_behind_proxies(struct iicp_str forwarded_for, char *const *trusted, struct sockaddr_storage *peer) {
        const char *p = forwarded_for.p;
        size_t n = forwarded_for.n;

        while (n > 0 && peer_in_networks((struct sockaddr *) peer, trusted)) {
                struct sockaddr_storage hop;
                size_t start, end = n;

                for (start = n; start > 0 && p[start - 1] != ','; start--)
                        ;
                n = start > 0 ? start - 1 : 0;
                while (start < end && (p[start] == ' ' || p[start] == '\t'))
                        start++;
                while (end > start && (p[end - 1] == ' ' || p[end - 1] == '\t'))
                        end--;
                if (peer_parse((struct iicp_str){p + start, end - start}, &hop) < 0)
                        return;
                *peer = hop;
        }
}
