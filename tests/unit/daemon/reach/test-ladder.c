/* SPDX-License-Identifier: Apache-2.0 */
#include "reach/ladder.h"

#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The cases give facts and what each question would be answered; the ladder is asked until it is
 * done. */

static const char *text_in(struct json_object *o, const char *name) {
        struct json_object *v = o ? vector_find(o, name) : NULL;

        return v ? json_object_get_string(v) : NULL;
}

static bool flag_in(struct json_object *o, const char *name, bool otherwise) {
        struct json_object *v = o ? vector_find(o, name) : NULL;

        return v ? json_object_get_boolean(v) : otherwise;
}

static struct ladder_facts facts_of(struct json_object *f) {
        const char *mode = text_in(f, "tunnel_mode");
        struct json_object *v6 = vector_find(f, "v6");

        return (struct ladder_facts){
                .port = 9484,
                .operator_endpoint = text_in(f, "operator_endpoint"),
                .tunnel_endpoint = text_in(f, "tunnel_endpoint"),
                .relay_fixed = flag_in(f, "relay_configured", false),
                .auto_detect = flag_in(f, "auto_detect", true),
                .skip_mapping = flag_in(f, "skip_upnp", false),
                .bridged = flag_in(f, "container_bridge", false),
                .private_v4 = !text_in(f, "nic_public_v4") && vector_find(f, "mapping"),
                .nic_v4 = text_in(f, "nic_public_v4"),
                .observed_v4 = text_in(f, "observed_v4"),
                .ipv6 = text_in(v6, "gua"),
                .tunnel = !mode || strcmp(mode, "off") == 0 ? TUNNEL_OFF
                          : strcmp(mode, "on") == 0         ? TUNNEL_FORCED
                                                            : TUNNEL_AUTO,
                .relay_capable = flag_in(f, "relay_capable", false),
                .advertise_unverified_ipv6 = flag_in(f, "advertise_unverified_ipv6", false),
                .dual_stack = true,
        };
}

static enum ladder_probe probe_of(struct json_object *f, const char *url) {
        struct json_object *probes = vector_find(f, "probe");
        const char *outcome = text_in(probes, url);

        if (!outcome)
                return PROBE_INDETERMINATE;
        return strcmp(outcome, "verified") == 0  ? PROBE_VERIFIED
               : strcmp(outcome, "refuted") == 0 ? PROBE_REFUTED
                                                 : PROBE_INDETERMINATE;
}

/* What was opened and not closed again: at most what the route uses. */
struct opened {
        int mappings, pinholes, probes;
};

static void answer(struct reach_ladder *l, const struct ladder_action *a, struct json_object *f, struct opened *o) {
        struct json_object *mapping = vector_find(f, "mapping"), *v6 = vector_find(f, "v6"),
                           *tunnel = vector_find(f, "quick_tunnel");
        bool granted;

        switch (a->ask) {
        case LADDER_MAP:
                granted = flag_in(mapping, "granted", false);
                o->mappings += granted;
                ladder_mapped(l, granted, text_in(mapping, "protocol"), text_in(mapping, "external_ip"),
                              (uint16_t) json_object_get_int(vector_get(mapping, "external_port")));
                break;
        case LADDER_PINHOLE:
                granted = strcmp(text_in(v6, "pinhole"), "granted") == 0;
                o->pinholes += granted;
                ladder_pinholed(l, granted, mapping ? text_in(mapping, "protocol") : "igd2");
                break;
        case LADDER_PROBE:
                o->probes++;
                ladder_probed(l, probe_of(f, a->url));
                break;
        case LADDER_CHECK_TUNNEL:
                ladder_tunnelled(l, true, NULL);
                break;
        case LADDER_START_TUNNEL:
                ladder_tunnelled(l, flag_in(tunnel, "verified", false), text_in(tunnel, "url"));
                break;
        case LADDER_BIND_RELAY:
                ladder_bound(l, flag_in(f, "relay_bound", false), text_in(f, "relay_endpoint"));
                break;
        case LADDER_UNMAP:
                o->mappings--;
                ladder_revoked(l);
                break;
        case LADDER_UNPINHOLE:
                o->pinholes--;
                ladder_revoked(l);
                break;
        case LADDER_DONE:
                break;
        }
}

static struct opened climb(struct reach_ladder *l, struct json_object *f) {
        struct ladder_facts facts = facts_of(f);
        struct opened o = {0};
        const struct ladder_action *a;
        int asked = 0;

        ladder_start(l, &facts);
        while ((a = ladder_next(l))->ask != LADDER_DONE) {
                assert_true(++asked < 20);
                answer(l, a, f, &o);
        }
        return o;
}

static void compare_words(const char *id, const struct reach_ladder *l, struct json_object *expect) {
        struct json_object *log = vector_get(expect, "log");

        if (json_object_array_length(log) != l->n_words)
                fail_msg("%s: %u words, not %zu", id, l->n_words, json_object_array_length(log));
        for (unsigned i = 0; i < l->n_words; i++)
                if (strcmp(l->words[i], json_object_get_string(json_object_array_get_idx(log, i))) != 0)
                        fail_msg("%s: %s", id, l->words[i]);
}

static void same(const char *id, const char *what, const char *have, const char *want) {
        if (strcmp(have ? have : "", want ? want : "") != 0)
                fail_msg("%s: %s is %s, not %s", id, what, have ? have : "", want ? want : "");
}

static void IICPD_04_08_IICPD_04_01_routes_of_the_cases(void **state) {
        struct json_object *doc = vector_ours("reachability/classification.json");

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                struct json_object *expect = vector_get(c, "expect");
                const char *id = vector_str(c, "id").p;
                struct reach_ladder l;
                struct opened o = climb(&l, vector_get(c, "facts"));

                same(id, "kind", ladder_kind_name(l.route.kind), text_in(expect, "kind"));
                if (l.route.tier != json_object_get_int(vector_get(expect, "tier")))
                        fail_msg("%s: tier %d", id, l.route.tier);
                same(id, "endpoint", l.route.endpoint, text_in(expect, "endpoint"));
                same(id, "method", l.route.method, text_in(expect, "transport_method"));
                same(id, "exposure", l.route.exposure, text_in(expect, "exposure_mode"));
                if (vector_find(expect, "mapping_protocol"))
                        same(id, "mapping", l.route.mapping, text_in(expect, "mapping_protocol"));
                assert_int_equal(l.route.endpoint[0] != '\0', json_object_get_boolean(vector_get(expect, "register")));
                compare_words(id, &l, expect);
                /* rejected mappings and pinholes were revoked */
                assert_int_equal(o.mappings, l.route.tier == 1);
                assert_true(o.pinholes == 0 || l.route.ipv6_open);
                assert_true(o.probes <= 4); /* [04 section 8] */
        }
        json_object_put(doc);
}

static void IICPD_04_10_no_private_address_leaves_the_ladder(void **state) {
        static const char *const inside[] = {"10.9.0.2", "100.64.5.2", "192.0.0.2", "169.254.3.4", "203.0.113.9",
                                             "0.0.0.0", ""};

        (void) state;
        for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
                struct ladder_facts f = {.port = 9484, .auto_detect = true, .private_v4 = true, .relay_capable = true};
                const struct ladder_action *a;
                struct reach_ladder l;

                ladder_start(&l, &f);
                assert_int_equal(ladder_next(&l)->ask, LADDER_MAP);
                ladder_mapped(&l, true, "igd1", inside[i], 9484);
                while ((a = ladder_next(&l))->ask != LADDER_DONE) {
                        assert_int_equal(a->ask, LADDER_UNMAP); /* there is nothing to probe */
                        ladder_revoked(&l);
                }
                assert_int_equal(l.route.tier, 4);
                assert_string_equal(l.route.endpoint, "");
        }
}

static void IICPD_04_23_unverified_ipv6_needs_the_operator(void **state) {
        struct ladder_facts f = {.port = 9484, .auto_detect = true, .ipv6 = "2a10:aaaa:0:77::2", .relay_capable = true};
        struct reach_ladder l;

        (void) state;
        for (int insists = 0; insists < 2; insists++) {
                f.advertise_unverified_ipv6 = insists;
                ladder_start(&l, &f);
                assert_int_equal(ladder_next(&l)->ask, LADDER_PINHOLE);
                ladder_pinholed(&l, true, "pcp");
                assert_int_equal(ladder_next(&l)->ask, LADDER_PROBE);
                ladder_probed(&l, PROBE_INDETERMINATE);
                if (!insists) {
                        assert_int_equal(ladder_next(&l)->ask, LADDER_UNPINHOLE);
                        ladder_revoked(&l);
                }
                assert_int_equal(ladder_next(&l)->ask, LADDER_DONE);
                assert_string_equal(l.route.endpoint, insists ? "http://[2a10:aaaa:0:77::2]:9484" : "");
                assert_int_equal(l.route.tier, insists ? 2 : 4);
        }
}

static void IICPD_04_08_time_is_up(void **state) {
        struct ladder_facts f = {.port = 9484, .auto_detect = true, .private_v4 = true, .observed_v4 = "7.7.7.10",
                                 .ipv6 = "2a10:aaaa:0:77::2"};
        struct reach_ladder l;

        (void) state;
        ladder_start(&l, &f);
        assert_int_equal(ladder_next(&l)->ask, LADDER_MAP);
        ladder_mapped(&l, true, "igd2", "7.7.7.10", 9484);
        assert_int_equal(ladder_next(&l)->ask, LADDER_PROBE);
        ladder_out_of_time(&l);
        assert_int_equal(ladder_next(&l)->ask, LADDER_UNMAP); /* nothing stays open */
        ladder_revoked(&l);
        assert_int_equal(ladder_next(&l)->ask, LADDER_BIND_RELAY);
        ladder_bound(&l, false, NULL);
        assert_int_equal(ladder_next(&l)->ask, LADDER_DONE);
}

static void IICPD_04_03_dual_stack_changes_exposure_only(void **state) {
        struct ladder_facts f = {.port = 9484, .auto_detect = true, .nic_v4 = "7.7.7.50", .ipv6 = "2a10:aaaa:0:77::2"};
        struct reach_ladder l;

        (void) state;
        for (int open = 0; open < 2; open++) {
                f.dual_stack = true;
                ladder_start(&l, &f);
                ladder_next(&l);
                ladder_probed(&l, PROBE_VERIFIED);
                assert_int_equal(ladder_next(&l)->ask, LADDER_PINHOLE);
                ladder_pinholed(&l, true, "igd2");
                assert_true(ladder_next(&l)->ipv6);
                ladder_probed(&l, open ? PROBE_VERIFIED : PROBE_INDETERMINATE);
                if (!open) {
                        assert_int_equal(ladder_next(&l)->ask, LADDER_UNPINHOLE);
                        ladder_revoked(&l);
                }
                assert_int_equal(ladder_next(&l)->ask, LADDER_DONE);
                assert_string_equal(l.route.endpoint, "http://7.7.7.50:9484");
                assert_string_equal(l.route.method, "direct");
                assert_string_equal(l.route.exposure, open ? "dual_stack_available" : "ipv4_public_direct");
        }
        f.dual_stack = false;
        ladder_start(&l, &f);
        ladder_next(&l);
        ladder_probed(&l, PROBE_VERIFIED);
        assert_int_equal(ladder_next(&l)->ask, LADDER_DONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_08_IICPD_04_01_routes_of_the_cases),
                cmocka_unit_test(IICPD_04_10_no_private_address_leaves_the_ladder),
                cmocka_unit_test(IICPD_04_23_unverified_ipv6_needs_the_operator),
                cmocka_unit_test(IICPD_04_08_time_is_up),
                cmocka_unit_test(IICPD_04_03_dual_stack_changes_exposure_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
