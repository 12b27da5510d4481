/* SPDX-License-Identifier: Apache-2.0 */
/* What peers of the mesh send: a request with its header (a line), an answer, a directory's entry. First byte chooses. */

#include "fuzz.h"

#include <iicp/gossip.h>
#include <string.h>

#define NOW 1800000000000

static const struct iicp_gossip_rules rules = {.own_id = "self-node", .now_ms = NOW};

static void one_peer(void *arg, const struct iicp_gossip_peer *p) {
        unsigned *n = arg;

        FUZZ_CHECK(++*n <= IICP_GOSSIP_READ_PEERS);
        FUZZ_CHECK(p->node_id[0] && strcmp(p->node_id, rules.own_id) != 0 && p->endpoint[0]);
        FUZZ_CHECK(p->seen_ms <= NOW && p->seen_ms >= NOW - IICP_GOSSIP_FRESH_MS);
        FUZZ_CHECK(p->relay_load >= 0 && p->relay_load <= 1 && p->relay_port > 0);
}

static void one_id(void *arg, const char *id) {
        unsigned *n = arg;

        FUZZ_CHECK(++*n <= IICP_GOSSIP_READ_IDS && strlen(id) < IICP_GOSSIP_ID_MAX);
}

static void request(struct iicp_str text) {
        const char *cut = memchr(text.p, '\n', text.n);
        struct iicp_str signature = {text.p, cut ? (size_t) (cut - text.p) : 0};
        struct iicp_str body = {cut ? cut + 1 : text.p, cut ? text.n - signature.n - 1 : text.n};
        /* a proper point: one of small order would take more than one signature */
        static const uint8_t key[IICP_SIGN_KEY] = {
                0x2f, 0x7d, 0xd8, 0x59, 0x11, 0x4c, 0x36, 0x1c, 0x76, 0x84, 0xea, 0x4d, 0x96, 0x67, 0xff, 0xe5,
                0xb7, 0x41, 0xee, 0x8f, 0xac, 0x92, 0x82, 0x00, 0x64, 0x94, 0xc5, 0x7d, 0x7a, 0xa2, 0x5e, 0x2d,
        };
        struct iicp_gossip_request r;
        struct iicp_gossip_peer self;
        unsigned n = 0;

        if (iicp_gossip_open(body, signature, rules.own_id, &r) != IICP_REFUSE_NONE)
                return;
        FUZZ_CHECK(strlen(r.sender_id) > 0 && strcmp(r.sender_id, rules.own_id) != 0);
        FUZZ_CHECK(iicp_gossip_check(&r, key, NOW) != IICP_REFUSE_NONE); /* nobody has the other half */
        iicp_gossip_known(&r, one_id, &n);
        if (iicp_gossip_sender(&r, &self))
                FUZZ_CHECK(self.relay_load >= 0 && self.relay_load <= 1 && self.relay_port > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t key[IICP_SIGN_KEY];
        struct iicp_str text;
        unsigned n = 0;

        if (size == 0)
                return 0;
        text = (struct iicp_str){(const char *) data + 1, size - 1};
        switch (data[0] % 3) {
        case 0:
                request(text);
                break;
        case 1:
                iicp_gossip_list(text, &rules, one_peer, &n);
                break;
        default:
                iicp_gossip_key(text, key);
        }
        return 0;
}
