/* SPDX-License-Identifier: Apache-2.0 */
/* What a router, an echo or a probe sends: packets of PCP, addresses of descriptions,
 * answers about our reachability. First byte chooses. */

#include "fuzz.h"

#include "reach/decide.h"
#include "reach/igd.h"
#include "reach/pcp.h"
#include "reach/verify.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* A nonce of zeros, so that a mutation has a chance to be an answer. */
static void packets(const uint8_t *p, size_t n) {
        const struct pcp_map request = {.internal = 9484, .external = 9484, .lifetime_s = 3600};
        struct pcp_answer a;

        if (pcp_parse_map(p, n, &request, &a)) {
                FUZZ_CHECK(memchr(a.address, 0, sizeof a.address));
                FUZZ_CHECK(a.natpmp_only || a.result == PCP_SUCCESS || a.lifetime_s <= PCP_RETRY_MAX_S);
        }
}

static void description(struct iicp_str text) {
        const struct gateway_where v4 = {.address = "192.168.7.2", .prefix = 24, .gateway = "192.168.7.1"};
        const struct gateway_where v6 = {.address = "2a10:aaaa::2", .prefix = 64, .gateway = "fe80::1%eth0"};
        char *url = strndup(text.p, text.n);
        bool gateway;

        if (!url)
                return;
        if (igd_host_allowed(url, &v4, &gateway))
                FUZZ_CHECK(strncmp(url, "http://1", 8) == 0);
        igd_host_allowed(url, &v6, &gateway);
        free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char address[INET_ADDRSTRLEN];
        struct in_addr parsed;
        struct iicp_str text;

        if (size == 0)
                return 0;
        text = (struct iicp_str){(const char *) data + 1, size - 1};
        switch (data[0] % 4) {
        case 0:
                packets(data + 1, size - 1);
                break;
        case 1:
                if (echo_read(200, text, address))
                        FUZZ_CHECK(inet_pton(AF_INET, address, &parsed) == 1);
                break;
        case 2:
                probe_read(data[0] & 4 ? 200 : 422, text);
                break;
        default:
                description(text);
        }
        return 0;
}
