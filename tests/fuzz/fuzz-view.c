/* SPDX-License-Identifier: Apache-2.0 */
/* Where a directory sends us, and what it says about us. First byte chooses. */

#include "fuzz.h"

#include <iicp/directory_read.h>
#include <iicp/redirect.h>

static void redirect(uint8_t how, struct iicp_str text) {
        static const char *const listed[] = {"https://replica.example.org", NULL};
        struct iicp_redirect_call c = {.base = "https://dir.example.org/api", .origins = listed, .kind = how / 8 % 3};
        const char *cut = memchr(text.p, '\n', text.n);
        struct iicp_str location = {text.p, cut ? (size_t) (cut - text.p) : text.n};
        struct iicp_str after = {cut ? cut + 1 : NULL, cut ? text.n - location.n - 1 : 0};
        struct iicp_redirect_step step;

        for (unsigned i = 0; i < 6; i++) {
                if (iicp_redirect(&c, 307, "/v1/discover?intent=x", location, after, &step) != IICP_REDIRECT_FOLLOW)
                        continue;
                FUZZ_CHECK(c.hops <= IICP_REDIRECT_HOPS_MAX);
                /* nowhere but to the base and the listed origin, and always by https */
                FUZZ_CHECK(iicp_same_origin(iicp_str(step.url), IICP_STR("https://dir.example.org")) ||
                           (c.kind != IICP_REDIRECT_ANCHOR &&
                            iicp_same_origin(iicp_str(step.url), IICP_STR("https://replica.example.org"))));
                FUZZ_CHECK(!step.base[0] || iicp_same_origin(iicp_str(step.base), iicp_str(step.url)));
        }
        FUZZ_CHECK(c.returns <= IICP_REDIRECT_RETURNS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_directory_node node;
        struct iicp_directory_stats stats;
        struct iicp_str text;

        if (size == 0)
                return 0;
        text = (struct iicp_str){(const char *) data + 1, size - 1};
        switch (data[0] % 4) {
        case 0:
                redirect(data[0], text);
                break;
        case 1:
                if (iicp_directory_node_read(text, &node) < 0)
                        break;
                FUZZ_CHECK(node.health.n_components <= IICP_HEALTH_COMPONENTS_MAX);
                FUZZ_CHECK(node.health.score >= -1 && node.health.score <= 100 && node.reputation <= 1);
                FUZZ_CHECK(strlen(node.gossip_key) == 0 || strlen(node.gossip_key) == 64);
                break;
        case 2:
                if (iicp_directory_stats_read(text, &stats) == 0)
                        FUZZ_CHECK(stats.mesh_score <= 1 && strlen(stats.version) < sizeof stats.version);
                break;
        default:
                FUZZ_CHECK(iicp_directory_find_node(text, "7d1f0c56-9b1f-4a53-8f0c-2f6d3b8b7a10") >= -255);
        }
        return 0;
}
