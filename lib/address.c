/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/address.h>

#include "util.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* In this order: the first match wins. */
static const struct {
        uint32_t base;
        unsigned bits;
        enum iicp_addr_class is;
} ranges4[] = {
        {0x00000000, 8, IICP_ADDR_THIS_NETWORK},   {0x0a000000, 8, IICP_ADDR_PRIVATE},
        {0x64400000, 10, IICP_ADDR_CGNAT},         {0x7f000000, 8, IICP_ADDR_LOOPBACK},
        {0xa9fe0000, 16, IICP_ADDR_LINK_LOCAL},    {0xac100000, 12, IICP_ADDR_PRIVATE},
        {0xc0000000, 29, IICP_ADDR_DS_LITE},       {0xc0000000, 24, IICP_ADDR_SPECIAL},
        {0xc0000200, 24, IICP_ADDR_DOCUMENTATION}, {0xc0586300, 24, IICP_ADDR_SPECIAL},
        {0xc0a80000, 16, IICP_ADDR_PRIVATE},       {0xc6120000, 15, IICP_ADDR_BENCHMARK},
        {0xc6336400, 24, IICP_ADDR_DOCUMENTATION}, {0xcb007100, 24, IICP_ADDR_DOCUMENTATION},
        {0xe0000000, 4, IICP_ADDR_MULTICAST},      {0xf0000000, 4, IICP_ADDR_RESERVED},
};

static const struct {
        uint8_t base[16];
        unsigned bits;
        enum iicp_addr_class is;
} ranges6[] = {
        {{0}, 128, IICP_ADDR_UNSPECIFIED},
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, IICP_ADDR_LOOPBACK},
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, IICP_ADDR_V4_MAPPED},
        {{0, 0x64, 0xff, 0x9b}, 96, IICP_ADDR_NAT64},
        {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, IICP_ADDR_NAT64},
        {{1}, 64, IICP_ADDR_SPECIAL},
        {{0x20, 0x01}, 32, IICP_ADDR_TEREDO},
        {{0x20, 0x01, 0x0d, 0xb8}, 32, IICP_ADDR_DOCUMENTATION},
        {{0x20, 0x01, 0, 0x02}, 48, IICP_ADDR_BENCHMARK},
        {{0x20, 0x01, 0, 0x10}, 28, IICP_ADDR_SPECIAL}, /* ORCHID */
        {{0x20, 0x01, 0, 0x20}, 28, IICP_ADDR_SPECIAL}, /* ORCHIDv2 */
        {{0x20, 0x02}, 16, IICP_ADDR_6TO4},
        {{0x3f, 0xff}, 20, IICP_ADDR_DOCUMENTATION},
        {{0xfc}, 7, IICP_ADDR_UNIQUE_LOCAL},
        {{0xfe, 0x80}, 10, IICP_ADDR_LINK_LOCAL},
        {{0xfe, 0xc0}, 10, IICP_ADDR_SPECIAL},
        {{0xff}, 8, IICP_ADDR_MULTICAST},
};

static const char *const names[IICP_ADDR_MAX_] = {
        [IICP_ADDR_PUBLIC] = "public", [IICP_ADDR_THIS_NETWORK] = "this_network", [IICP_ADDR_PRIVATE] = "private",
        [IICP_ADDR_CGNAT] = "cgnat", [IICP_ADDR_LOOPBACK] = "loopback", [IICP_ADDR_LINK_LOCAL] = "link_local",
        [IICP_ADDR_DS_LITE] = "ds_lite", [IICP_ADDR_SPECIAL] = "special",
        [IICP_ADDR_DOCUMENTATION] = "documentation", [IICP_ADDR_BENCHMARK] = "benchmark",
        [IICP_ADDR_MULTICAST] = "multicast", [IICP_ADDR_RESERVED] = "reserved",
        [IICP_ADDR_UNSPECIFIED] = "unspecified", [IICP_ADDR_V4_MAPPED] = "v4_mapped", [IICP_ADDR_NAT64] = "nat64",
        [IICP_ADDR_TEREDO] = "teredo", [IICP_ADDR_6TO4] = "6to4", [IICP_ADDR_UNIQUE_LOCAL] = "unique_local",
};

static enum iicp_addr_class class4(uint32_t a) {
        for (size_t i = 0; i < ARRAY_SIZE(ranges4); i++)
                if ((a ^ ranges4[i].base) >> (32 - ranges4[i].bits) == 0)
                        return ranges4[i].is;
        return IICP_ADDR_PUBLIC;
}

static bool in_range6(const uint8_t a[16], const uint8_t base[16], unsigned bits) {
        unsigned whole = bits / 8, rest = bits % 8;

        if (memcmp(a, base, whole) != 0)
                return false;
        return rest == 0 || (a[whole] >> (8 - rest)) == (base[whole] >> (8 - rest));
}

static enum iicp_addr_class class6(const uint8_t a[16]) {
        for (size_t i = 0; i < ARRAY_SIZE(ranges6); i++)
                if (in_range6(a, ranges6[i].base, ranges6[i].bits))
                        return ranges6[i].is;
        return a[0] >> 5 == 1 ? IICP_ADDR_PUBLIC : IICP_ADDR_SPECIAL; /* global unicast is 2000::/3 */
}

enum iicp_addr_class iicp_addr_class(const struct sockaddr *addr) {
        if (addr->sa_family == AF_INET)
                return class4(ntohl(((const struct sockaddr_in *) (const void *) addr)->sin_addr.s_addr));
        if (addr->sa_family == AF_INET6)
                return class6(((const struct sockaddr_in6 *) (const void *) addr)->sin6_addr.s6_addr);
        return IICP_ADDR_RESERVED;
}

const char *iicp_addr_class_name(enum iicp_addr_class c) {
        return (unsigned) c < IICP_ADDR_MAX_ ? names[c] : "reserved";
}

bool iicp_addr_parse(const char *text, struct sockaddr_storage *ret) {
        struct sockaddr_in *v4 = (struct sockaddr_in *) (void *) ret;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) (void *) ret;

        memset(ret, 0, sizeof(*ret));
        if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
                v4->sin_family = AF_INET;
                return true;
        }
        memset(ret, 0, sizeof(*ret));
        if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
                return false;
        v6->sin6_family = AF_INET6;
        return true;
}
