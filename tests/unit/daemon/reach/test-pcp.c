/* SPDX-License-Identifier: Apache-2.0 */
#include "reach/pcp.h"

#include "vectors.h"

#include <arpa/inet.h>
#include <iicp/codec.h>
#include <string.h>

static size_t bytes_of(struct json_object *c, unsigned char *out, size_t cap) {
        size_t n = 0;

        assert_int_equal(iicp_hex_decode(vector_str(c, "hex"), out, cap, &n), 0);
        return n;
}

static struct pcp_map request_for(const char *client, uint32_t lifetime_s) {
        struct pcp_map m = {.internal = 9484, .external = 9484, .lifetime_s = lifetime_s};
        char text[INET6_ADDRSTRLEN + 8] = "::ffff:";

        if (!strchr(client, ':'))
                client = strcat(text, client);
        assert_int_equal(inet_pton(AF_INET6, client, &m.client), 1);
        for (unsigned char i = 0; i < PCP_NONCE; i++)
                m.nonce[i] = i;
        return m;
}

/* The nonce of the vectors is the one that stands in their first request. */
static void take_nonce(struct json_object *doc, struct pcp_map *m) {
        unsigned char p[PCP_MAP_SIZE];

        bytes_of(json_object_array_get_idx(vector_get(doc, "pcp"), 0), p, sizeof p);
        memcpy(m->nonce, p + 24, PCP_NONCE);
}

static bool begins(const char *id, const char *with) {
        return strncmp(id, with, strlen(with)) == 0;
}

static void IICPD_04_17_map_requests(void **state) {
        struct json_object *doc = vector_ours("reachability/natpmp-pcp.json");
        unsigned n = 0;

        (void) state;
        vector_each(vector_get(doc, "pcp"), c) {
                const char *id = vector_str(c, "id").p;
                unsigned char want[PCP_MAP_SIZE], have[PCP_MAP_SIZE];
                struct pcp_map m;

                if (!begins(id, "PCP-REQ-"))
                        continue;
                m = request_for(vector_find(c, "client") ? vector_str(c, "client").p : "192.168.77.2",
                                strcmp(id, "PCP-REQ-DEL4") == 0 ? 0 : 3600);
                take_nonce(doc, &m);
                assert_int_equal(bytes_of(c, want, sizeof want), PCP_MAP_SIZE);
                pcp_print_map(&m, have);
                assert_memory_equal(have, want, PCP_MAP_SIZE);
                n++;
        }
        assert_int_equal(n, 3);
        json_object_put(doc);
}

static void IICPD_04_17_map_answers(void **state) {
        struct json_object *doc = vector_ours("reachability/natpmp-pcp.json");
        struct pcp_map m = request_for("192.168.77.2", 3600);

        (void) state;
        take_nonce(doc, &m);
        vector_each(vector_get(doc, "pcp"), c) {
                const char *id = vector_str(c, "id").p;
                unsigned char p[PCP_PACKET_MAX];
                struct pcp_answer a;
                size_t n;
                bool ok;

                if (!begins(id, "PCP-RSP-"))
                        continue;
                n = bytes_of(c, p, sizeof p);
                ok = pcp_parse_map(p, n, &m, &a);
                if (strcmp(id, "PCP-RSP-V0") == 0) {
                        assert_true(ok && a.natpmp_only);
                        continue;
                }
                if (vector_find(c, "action")) {
                        assert_false(ok); /* "ignore" */
                        continue;
                }
                assert_true(ok);
                assert_int_equal(a.result, json_object_get_int(vector_get(c, "result")));
                if (vector_find(c, "external"))
                        assert_int_equal(a.external, json_object_get_int(vector_get(c, "external")));
                if (vector_find(c, "external_ip"))
                        assert_string_equal(a.address, vector_str(c, "external_ip").p);
                if (vector_find(c, "epoch"))
                        assert_int_equal(a.epoch, json_object_get_int(vector_get(c, "epoch")));
                if (vector_find(c, "retry_after_s"))
                        assert_int_equal(a.lifetime_s, json_object_get_int(vector_get(c, "retry_after_s")));
                for (size_t cut = 0; cut < n; cut++) /* a truncated one is no answer */
                        assert_false(pcp_parse_map(p, cut, &m, &a) && !a.natpmp_only);
                m.internal++; /* somebody else's port */
                assert_false(pcp_parse_map(p, n, &m, &a));
                m.internal--;
        }
        json_object_put(doc);
}

static void IICPD_04_17_error_lifetime_is_capped(void **state) {
        struct pcp_map m = request_for("192.168.77.2", 3600);
        unsigned char p[PCP_MAP_SIZE];
        struct pcp_answer a;

        (void) state;
        pcp_print_map(&m, p);
        p[1] |= 0x80;
        p[3] = PCP_NOT_AUTHORIZED;
        memset(p + 4, 0xff, 4);
        assert_true(pcp_parse_map(p, sizeof p, &m, &a));
        assert_int_equal(a.lifetime_s, PCP_RETRY_MAX_S);
}

static void IICPD_04_16_announcements(void **state) {
        struct json_object *doc = vector_ours("reachability/natpmp-pcp.json");
        static const unsigned char pcp[24] = {2, 0x80, 0, 0, [11] = 7};
        struct pcp_announcement a;

        (void) state;
        vector_each(vector_get(doc, "nat_pmp"), c) {
                const char *id = vector_str(c, "id").p;
                unsigned char p[64];
                size_t n = bytes_of(c, p, sizeof p);

                /* the answer to an address request has the same form: who asked nothing may hear it so */
                if (strcmp(id, "NP-ANNOUNCE") != 0 && strcmp(id, "NP-RSP-ADDR") != 0) {
                        assert_false(pcp_parse_announcement(p, n, &a));
                        continue;
                }
                assert_true(pcp_parse_announcement(p, n, &a));
                assert_false(a.pcp);
                assert_int_equal(a.epoch, json_object_get_int(vector_get(c, "epoch")));
                assert_string_equal(a.address, vector_str(c, "external_ip").p);
                for (size_t cut = 0; cut < n; cut++)
                        assert_false(pcp_parse_announcement(p, cut, &a));
        }
        json_object_put(doc);
        assert_true(pcp_parse_announcement(pcp, sizeof pcp, &a));
        assert_true(a.pcp && a.epoch == 7 && !a.address[0]);
        for (size_t cut = 0; cut < sizeof pcp; cut++)
                assert_false(pcp_parse_announcement(pcp, cut, &a));
}

static void IICPD_04_16_epochs(void **state) {
        struct json_object *doc = vector_ours("reachability/natpmp-pcp.json");
        unsigned n = 0;

        (void) state;
        vector_each(vector_get(doc, "epoch"), c) {
                uint32_t before = (uint32_t) json_object_get_int64(vector_get(c, "prev_epoch"));
                uint32_t now = (uint32_t) json_object_get_int64(vector_get(c, "new_epoch"));
                uint64_t before_s = (uint64_t) json_object_get_int64(vector_get(c, "prev_time_s"));
                uint64_t now_s = (uint64_t) json_object_get_int64(vector_get(c, "new_time_s"));

                assert_int_equal(natpmp_epoch_reset(before, before_s, now, now_s),
                                 json_object_get_boolean(vector_get(c, "nat_pmp_reset")));
                assert_int_equal(pcp_epoch_reset(before, before_s, now, now_s),
                                 json_object_get_boolean(vector_get(c, "pcp_reset")));
                n++;
        }
        assert_true(n >= 15);
        json_object_put(doc);
}

static void IICPD_04_18_first_renewal(void **state) {
        struct json_object *doc = vector_ours("reachability/natpmp-pcp.json");

        (void) state;
        vector_each(vector_get(doc, "renewal"), c)
                assert_int_equal(lease_renewal_s((uint32_t) json_object_get_int64(vector_get(c, "granted_s"))),
                                 json_object_get_int(vector_get(c, "first_renewal_s")));
        json_object_put(doc);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_17_map_requests),
                cmocka_unit_test(IICPD_04_17_map_answers),
                cmocka_unit_test(IICPD_04_17_error_lifetime_is_capped),
                cmocka_unit_test(IICPD_04_16_announcements),
                cmocka_unit_test(IICPD_04_16_epochs),
                cmocka_unit_test(IICPD_04_18_first_renewal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
