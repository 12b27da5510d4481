/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/endpoint.h>

#include "util.h"

#include <iicp/address.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>

/* ---- URL text ---- */

static bool parse_port(struct iicp_str text, uint16_t *ret) {
        unsigned long n = 0;

        if (text.n == 0 || text.n > 5)
                return false;
        for (size_t i = 0; i < text.n; i++) {
                if (text.p[i] < '0' || text.p[i] > '9')
                        return false;
                n = n * 10 + (unsigned long) (text.p[i] - '0');
        }
        if (n == 0 || n > 65535)
                return false;
        *ret = (uint16_t) n;
        return true;
}

/* Labels that are all digits, or hex with 0x, at the end of a name make other programs read it as a
 * number: only a plain dotted quad may look like one. */
static bool numeric_but_no_quad(const char *host) {
        const char *last = strrchr(host, '.');
        struct in_addr a;
        bool digits;

        last = last ? last + 1 : host;
        digits = *last && strspn(last, "0123456789") == strlen(last);
        if (!digits && strncmp(last, "0x", 2) != 0)
                return false;
        return inet_pton(AF_INET, host, &a) != 1;
}

static bool valid_name(const char *host) {
        if (numeric_but_no_quad(host))
                return false;
        for (const char *p = host; *p; p++)
                if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.' || *p == '_'))
                        return false;
        return host[0] && host[0] != '.' && host[strlen(host) - 1] != '.' && !strstr(host, "..");
}

static bool set_host(struct iicp_url *u, struct iicp_str host) {
        if (host.n > 1 && !u->ipv6 && host.p[host.n - 1] == '.')
                host.n--;
        if (host.n == 0 || host.n >= sizeof(u->host))
                return false;
        for (size_t i = 0; i < host.n; i++) {
                char c = host.p[i];

                u->host[i] = (char) (c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        u->host[host.n] = '\0';
        if (u->ipv6) {
                struct in6_addr a;

                return inet_pton(AF_INET6, u->host, &a) == 1;
        }
        return valid_name(u->host);
}

static bool has_dot_segment(struct iicp_str path) {
        for (size_t i = 0; i < path.n; i++) {
                size_t end = i;

                if (path.p[i] != '/')
                        continue;
                while (end + 1 < path.n && path.p[end + 1] != '/')
                        end++;
                if ((end - i == 1 && path.p[i + 1] == '.') ||
                    (end - i == 2 && path.p[i + 1] == '.' && path.p[i + 2] == '.'))
                        return true;
        }
        return false;
}

static bool set_authority(struct iicp_url *u, struct iicp_str authority) {
        struct iicp_str host = authority, port = IICP_STR_NONE;
        const char *colon;

        if (authority.n > 0 && authority.p[0] == '[') {
                const char *close = memchr(authority.p, ']', authority.n);
                size_t rest;

                if (!close)
                        return false;
                u->ipv6 = true;
                host = (struct iicp_str){authority.p + 1, (size_t) (close - authority.p) - 1};
                rest = authority.n - host.n - 2;
                if (rest > 0 && close[1] != ':')
                        return false;
                if (rest > 0)
                        port = (struct iicp_str){close + 2, rest - 1};
        } else if ((colon = memchr(authority.p, ':', authority.n))) {
                host.n = (size_t) (colon - authority.p);
                port = (struct iicp_str){colon + 1, authority.n - host.n - 1};
        }
        if (!set_host(u, host))
                return false;
        u->port = u->https ? 443 : 80;
        u->port_explicit = port.p != NULL;
        return !port.p || parse_port(port, &u->port);
}

int iicp_url_parse(struct iicp_str text, struct iicp_url *ret) {
        struct iicp_url u = {0};
        struct iicp_str rest, authority, path;
        const char *slash;

        if (text.n == 0 || text.n > 255)
                return -EINVAL;
        for (size_t i = 0; i < text.n; i++)
                if (text.p[i] < 0x21 || text.p[i] > 0x7e || strchr("\\?#@", text.p[i]))
                        return -EINVAL;
        if (text.n > 8 && strncasecmp(text.p, "https://", 8) == 0)
                u.https = true;
        else if (text.n <= 7 || strncasecmp(text.p, "http://", 7) != 0)
                return -EINVAL;
        rest = (struct iicp_str){text.p + (u.https ? 8 : 7), text.n - (u.https ? 8 : 7)};
        slash = memchr(rest.p, '/', rest.n);
        authority = (struct iicp_str){rest.p, slash ? (size_t) (slash - rest.p) : rest.n};
        path = (struct iicp_str){rest.p + authority.n, rest.n - authority.n};
        if (!set_authority(&u, authority) || has_dot_segment(path))
                return -EINVAL;
        while (path.n > 0 && path.p[path.n - 1] == '/')
                path.n--;
        memcpy(u.path, path.p, path.n);
        *ret = u;
        return 0;
}

int iicp_url_origin(const struct iicp_url *u, char *out, size_t cap) {
        const char *open = u->ipv6 ? "[" : "", *close = u->ipv6 ? "]" : "";
        bool standard = u->port == (u->https ? 443 : 80);
        int n;

        if (standard)
                n = snprintf(out, cap, "%s://%s%s%s", u->https ? "https" : "http", open, u->host, close);
        else
                n = snprintf(out, cap, "%s://%s%s%s:%u", u->https ? "https" : "http", open, u->host, close, u->port);
        return n < 0 || (size_t) n >= cap ? -ENOSPC : 0;
}

int iicp_url_normal(const struct iicp_url *u, char *out, size_t cap) {
        const char *open = u->ipv6 ? "[" : "", *close = u->ipv6 ? "]" : "", *scheme = u->https ? "https" : "http";
        int n;

        if (u->ipv6 || u->port_explicit)
                n = snprintf(out, cap, "%s://%s%s%s:%u%s", scheme, open, u->host, close, u->port, u->path);
        else
                n = snprintf(out, cap, "%s://%s%s", scheme, u->host, u->path);
        return n < 0 || (size_t) n >= cap ? -ENOSPC : 0;
}

/* ---- addresses ---- */

struct net4 {
        uint32_t base;
        unsigned bits;
};

static const struct net4 refused4[] = {
        {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16},
        {0xac100000, 12}, {0xc0000000, 24}, {0xc0000200, 24}, {0xc0a80000, 16}, {0xc6120000, 15},
        {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 4},  {0xf0000000, 4},
};

struct net6 {
        uint8_t base[16];
        unsigned bits;
};

static const struct net6 refused6[] = {
        {{0x01}, 64},                   /* 100::/64 */
        {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
        {{0xfc}, 7},
        {{0xfe, 0x80}, 10},
        {{0xfe, 0xc0}, 10},
        {{0xff}, 8},
};

static bool in_net6(const uint8_t a[16], const struct net6 *n) {
        unsigned whole = n->bits / 8, rest = n->bits % 8;

        if (memcmp(a, n->base, whole) != 0)
                return false;
        return rest == 0 || (a[whole] >> (8 - rest)) == (n->base[whole] >> (8 - rest));
}

static bool dialled4(uint32_t a) {
        for (size_t i = 0; i < ARRAY_SIZE(refused4); i++)
                if ((a ^ refused4[i].base) >> (32 - refused4[i].bits) == 0)
                        return false;
        return true;
}

static uint32_t read4(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

/* A NAT64 resolver must keep working when we dial. */
static bool dialled6(const uint8_t a[16]) {
        static const uint8_t zero[12], nat64[12] = {0, 0x64, 0xff, 0x9b};
        static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

        if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
                return dialled4(read4(a + 12));
        if (a[0] == 0x20 && a[1] == 0x02)
                return dialled4(read4(a + 2));
        if (memcmp(a, zero, 12) == 0)
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(refused6); i++)
                if (in_net6(a, &refused6[i]))
                        return false;
        return true;
}

int iicp_endpoint_addr_allowed(const struct sockaddr *addr, enum iicp_endpoint_use use) {
        if (use == IICP_ENDPOINT_REGISTER)
                return iicp_addr_class(addr) == IICP_ADDR_PUBLIC ? 0 : -EACCES;
        if (addr->sa_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *) (const void *) addr;

                return dialled4(ntohl(in->sin_addr.s_addr)) ? 0 : -EACCES;
        }
        if (addr->sa_family == AF_INET6) {
                const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) (const void *) addr;

                return dialled6(in->sin6_addr.s6_addr) ? 0 : -EACCES;
        }
        return -EACCES;
}

bool iicp_addr_is_loopback(const struct sockaddr *addr) {
        if (addr->sa_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *) (const void *) addr;

                return ntohl(in->sin_addr.s_addr) >> 24 == 127;
        }
        if (addr->sa_family == AF_INET6) {
                const struct in6_addr *a = &((const struct sockaddr_in6 *) (const void *) addr)->sin6_addr;

                return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
        }
        return addr->sa_family == AF_UNIX;
}

/* ---- hosts ---- */

bool iicp_host_is_loopback(const char *host) {
        struct sockaddr_storage addr;

        return strcasecmp(host, "localhost") == 0 ||
               (iicp_addr_parse(host, &addr) && iicp_addr_is_loopback((const struct sockaddr *) &addr));
}

static bool has_suffix(const char *host, const char *suffix) {
        size_t n = strlen(host), m = strlen(suffix);

        return n >= m && strcmp(host + n - m, suffix) == 0;
}

int iicp_endpoint_host_allowed(const struct iicp_url *url, enum iicp_endpoint_use use) {
        static const char *const suffixes[] = {".local", ".internal", ".lan", ".test", ".invalid", ".localhost"};
        static const char *const more[] = {".example", ".home.arpa"};
        struct sockaddr_storage addr;

        if (iicp_addr_parse(url->host, &addr))
                return iicp_endpoint_addr_allowed((const struct sockaddr *) &addr, use);
        if (!strchr(url->host, '.'))
                return -EACCES;
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
                if (has_suffix(url->host, suffixes[i]))
                        return -EACCES;
        for (size_t i = 0; use == IICP_ENDPOINT_REGISTER && i < ARRAY_SIZE(more); i++)
                if (has_suffix(url->host, more[i]) || strcmp(url->host, more[i] + 1) == 0)
                        return -EACCES;
        return 0;
}
