/* SPDX-License-Identifier: Apache-2.0 */
#include "pcp.h"

#include <arpa/inet.h>

#define PCP_VERSION 2
#define PCP_OP_ANNOUNCE 0
#define PCP_OP_MAP 1
#define RESPONSE 0x80
#define TCP 6
#define HEADER 24              /* bytes before the data of an opcode */

static void put16(unsigned char *p, uint16_t v) {
        p[0] = (unsigned char) (v >> 8);
        p[1] = (unsigned char) v;
}

static void put32(unsigned char *p, uint32_t v) {
        put16(p, (uint16_t) (v >> 16));
        put16(p + 2, (uint16_t) v);
}

static uint16_t get16(const unsigned char *p) {
        return (uint16_t) (p[0] << 8 | p[1]);
}

static uint32_t get32(const unsigned char *p) {
        return (uint32_t) get16(p) << 16 | get16(p + 2);
}

void pcp_print_map(const struct pcp_map *m, unsigned char out[PCP_MAP_SIZE]) {
        static const unsigned char any4[16] = {[10] = 0xff, [11] = 0xff};

        memset(out, 0, PCP_MAP_SIZE);
        out[0] = PCP_VERSION;
        out[1] = PCP_OP_MAP;
        put32(out + 4, m->lifetime_s);
        memcpy(out + 8, &m->client, 16);
        memcpy(out + HEADER, m->nonce, PCP_NONCE);
        out[36] = TCP;
        put16(out + 40, m->internal);
        put16(out + 42, m->lifetime_s ? m->external : 0);
        if (IN6_IS_ADDR_V4MAPPED(&m->client))
                memcpy(out + 44, any4, sizeof any4);
}

static void print_address(const unsigned char p[16], char out[INET6_ADDRSTRLEN]) {
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

        if (memcmp(p, mapped, 12) == 0)
                inet_ntop(AF_INET, p + 12, out, INET6_ADDRSTRLEN);
        else
                inet_ntop(AF_INET6, p, out, INET6_ADDRSTRLEN);
}

bool pcp_parse_map(const unsigned char *p, size_t n, const struct pcp_map *request, struct pcp_answer *ret) {
        struct pcp_answer a = {0};

        if (n >= 4 && p[0] == 0 && p[1] & RESPONSE) {
                *ret = (struct pcp_answer){.natpmp_only = true};
                return true;
        }
        if (n < PCP_MAP_SIZE || n > PCP_PACKET_MAX || p[0] != PCP_VERSION || p[1] != (PCP_OP_MAP | RESPONSE))
                return false;
        if (memcmp(p + HEADER, request->nonce, PCP_NONCE) != 0 || p[36] != TCP || get16(p + 40) != request->internal)
                return false;
        a.result = p[3];
        a.lifetime_s = get32(p + 4);
        if (a.result != PCP_SUCCESS && a.lifetime_s > PCP_RETRY_MAX_S)
                a.lifetime_s = PCP_RETRY_MAX_S;
        a.epoch = get32(p + 8);
        a.external = get16(p + 42);
        print_address(p + 44, a.address);
        *ret = a;
        return true;
}

/* ---- announcements ---- */

#define NATPMP_ADDRESS_SIZE 12  /* version, 128, result, epoch, address */

bool pcp_parse_announcement(const unsigned char *p, size_t n, struct pcp_announcement *ret) {
        struct pcp_announcement a = {0};

        if (n >= HEADER && n <= PCP_PACKET_MAX && p[0] == PCP_VERSION && p[1] == (PCP_OP_ANNOUNCE | RESPONSE) && p[3] == 0) {
                *ret = (struct pcp_announcement){.pcp = true, .epoch = get32(p + 8)};
                return true;
        }
        if (n < NATPMP_ADDRESS_SIZE || n > PCP_PACKET_MAX || p[0] != 0 || p[1] != RESPONSE || get16(p + 2) != 0)
                return false;
        a.epoch = get32(p + 4);
        inet_ntop(AF_INET, p + 8, a.address, sizeof a.address);
        *ret = a;
        return true;
}

/* ---- epochs ---- */

/* [RFC 6886 section 3.6]: it may run 1/8 slower than our clock, less 2 s. */
bool natpmp_epoch_reset(uint32_t before, uint64_t before_s, uint32_t now, uint64_t now_s) {
        int64_t elapsed = (int64_t) (now_s - before_s);

        /* new < before + 7/8 elapsed - 2, without fractions */
        return 8 * (int64_t) now < 8 * (int64_t) before + 7 * elapsed - 16;
}

/* [RFC 6887 section 8.5] */
bool pcp_epoch_reset(uint32_t before, uint64_t before_s, uint32_t now, uint64_t now_s) {
        int64_t client = (int64_t) (now_s - before_s), server = (int64_t) now - (int64_t) before;

        if (server < -1)
                return true;
        if (server < 0)
                server = 0;
        return client + 2 < server - server / 16 || server + 2 < client - client / 16;
}

uint32_t lease_renewal_s(uint32_t granted_s) {
        if (granted_s <= 20)
                return granted_s / 2;
        return granted_s / 2 < 10 ? 10 : granted_s / 2;
}
