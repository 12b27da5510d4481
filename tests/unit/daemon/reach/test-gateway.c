/* SPDX-License-Identifier: Apache-2.0 */
#include "reach/igd.h"
#include "reach/verify.h"

#include "util.h"
#include "vectors.h"

#include <string.h>

static bool says(struct json_object *c, const char *what) {
        return strstr(vector_str(c, "step").p, what) != NULL;
}

static void IICPD_04_14_errors_of_a_port_mapping(void **state) {
        struct json_object *doc = vector_ours("reachability/igd.json");

        (void) state;
        vector_each(vector_get(doc, "port_mapping_errors"), c) {
                enum igd_step step = igd_step_of(json_object_get_int(vector_get(c, "code")));

                if (says(c, "ok, then"))
                        assert_int_equal(step, IGD_OK);
                else if (says(c, "guidance router_full"))
                        assert_int_equal(step, IGD_STOP_FULL);
                else if (says(c, "guidance router_setting"))
                        assert_int_equal(step, IGD_STOP_SETTING);
                else if (says(c, "without other ports"))
                        assert_int_equal(step, IGD_CONFLICT_SAME_PORT);
                else if (says(c, "conflict procedure"))
                        assert_int_equal(step, IGD_CONFLICT);
                else if (says(c, "repeat with lease 0"))
                        assert_int_equal(step, IGD_PERMANENT);
                else if (says(c, "action unknown"))
                        assert_int_equal(step, IGD_UNKNOWN_ACTION);
                else /* 726, too: no remote host was asked for, so there is nothing to repeat without */
                        assert_int_equal(step, IGD_STOP);
        }
        json_object_put(doc);
        /* no code of UPnP at all */
        assert_int_equal(igd_step_of(-1), IGD_STOP);
        assert_int_equal(igd_step_of(9999), IGD_STOP);
}

static void IICPD_04_22_errors_of_a_pinhole(void **state) {
        struct json_object *doc = vector_ours("reachability/igd.json");

        (void) state;
        vector_each(vector_get(doc, "pinhole_errors"), c) {
                int code = json_object_get_int(vector_get(c, "code"));
                enum pinhole_step adding = pinhole_step_of(code, true), later = pinhole_step_of(code, false);

                if (says(c, "unknown id")) {
                        assert_int_equal(adding, PINHOLE_STOP);
                        assert_int_equal(later, PINHOLE_UNKNOWN_ID);
                        continue;
                }
                assert_int_equal(adding, later);
                if (code == 0)
                        assert_int_equal(adding, PINHOLE_OK);
                else if (says(c, "guidance router_full"))
                        assert_int_equal(adding, PINHOLE_STOP_FULL);
                else if (says(c, "bound to InternalClient"))
                        assert_int_equal(adding, PINHOLE_NOT_AUTHORIZED);
                else if (says(c, "guidance router_setting"))
                        assert_int_equal(adding, PINHOLE_STOP_SETTING);
                else if (says(c, "no pinhole needed"))
                        assert_int_equal(adding, PINHOLE_NOT_NEEDED);
                else
                        assert_int_equal(adding, PINHOLE_STOP);
        }
        json_object_put(doc);
}

/* Anybody on the link may name any place: the guard against being sent there. */
static void IICPD_04_13_only_a_gateway_of_this_link(void **state) {
        static const struct {
                const char *url;
                bool allowed, gateway;
        } cases[] = {
                {"http://192.168.7.1:5000/root.xml", true, true},
                {"http://192.168.7.9:5000/root.xml", true, false},
                {"http://192.168.7.1", true, true},
                {"http://169.254.1.1:80/x", true, false},
                {"http://192.168.8.1:5000/root.xml", false, false},  /* private, but not on the link */
                {"http://10.0.0.1/root.xml", false, false},
                {"http://127.0.0.1:9480/admin", false, false},
                {"http://7.7.7.7/root.xml", false, false},
                {"http://192.168.7.1@7.7.7.7/root.xml", false, false},
                {"http://router.local:5000/root.xml", false, false}, /* a name */
                {"http://3232237313/root.xml", false, false},        /* 192.168.7.1 as a number */
                {"http://0300.0250.07.01/root.xml", false, false},
                {"https://192.168.7.1/root.xml", false, false},
                {"ftp://192.168.7.1/root.xml", false, false},
                {"//192.168.7.1/root.xml", false, false},
                {"http://", false, false},
                {"http:///root.xml", false, false},
                {"http://[fe80::1]:5000/root.xml", false, false},    /* the other family */
                {"", false, false},
        };
        struct gateway_where where = {.interface = "eth0", .address = "192.168.7.2", .prefix = 24, .gateway = "192.168.7.1"};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                bool gateway;
                bool allowed = igd_host_allowed(cases[i].url, &where, &gateway);

                if (allowed != cases[i].allowed || (allowed && gateway != cases[i].gateway))
                        fail_msg("%s: allowed %d, gateway %d", cases[i].url, allowed, gateway);
        }
        /* without one of our own nothing is on its link */
        where.address[0] = '\0';
        assert_false(igd_host_allowed("http://192.168.7.1:5000/root.xml", &where, &(bool){false}));
}

static void IICPD_04_13_only_a_gateway_of_this_ipv6_link(void **state) {
        struct gateway_where where = {.interface = "eth0", .address = "2a10:aaaa:0:77::2", .prefix = 64, .gateway = "fe80::1%eth0"};
        bool gateway;

        (void) state;
        assert_true(igd_host_allowed("http://[2a10:aaaa:0:77::1]:5000/root.xml", &where, &gateway));
        assert_true(igd_host_allowed("http://[fe80::1%25eth0]:5000/root.xml", &where, &gateway));
        assert_true(gateway);
        assert_false(igd_host_allowed("http://[2a10:aaaa:0:78::1]:5000/root.xml", &where, &gateway));
        assert_false(igd_host_allowed("http://[::1]:5000/root.xml", &where, &gateway));
        assert_false(igd_host_allowed("http://192.168.7.1:5000/root.xml", &where, &gateway));
        assert_false(igd_host_allowed("http://[", &where, &gateway));
}

static void IICPD_04_24_what_a_probe_answers(void **state) {
        static const struct {
                int status;
                const char *body;
                enum probe_answer expect;
        } cases[] = {
                {200, "{\"reachable\":true}", PROBE_SAYS_YES},
                {200, "{\"reachable\":false}", PROBE_SAYS_NO},
                {200, "{\"reachable\":\"true\"}", PROBE_SAYS_NOTHING},
                {200, "{\"reachable\":1}", PROBE_SAYS_NOTHING},
                {200, "{}", PROBE_SAYS_NOTHING},
                {200, "[true]", PROBE_SAYS_NOTHING},
                {200, "<html>login</html>", PROBE_SAYS_NOTHING}, /* a captive portal */
                {200, "", PROBE_SAYS_NOTHING},
                {422, "{\"error\":\"private_address\"}", PROBE_SAYS_PRIVATE},
                {422, "{\"error\":\"other\"}", PROBE_SAYS_NOTHING},
                {404, "{\"reachable\":true}", PROBE_SAYS_NOTHING},
                {405, "{\"reachable\":false}", PROBE_SAYS_NOTHING},
                {429, "{\"reachable\":false}", PROBE_SAYS_NOTHING},
                {503, "{\"reachable\":false}", PROBE_SAYS_NOTHING},
                {301, "{\"reachable\":true}", PROBE_SAYS_NOTHING},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (probe_read(cases[i].status, iicp_str(cases[i].body)) != cases[i].expect)
                        fail_msg("%d %s", cases[i].status, cases[i].body);
}

/* The table of 04 section 8. */
static void IICPD_04_24_outcomes(void **state) {
        bool again;

        (void) state;
        for (int n = NESTED_SINGLE; n <= NESTED_UNKNOWN; n++) {
                enum nested nested = (enum nested) n;

                assert_int_equal(verify_judge(PROBE_SAYS_YES, true, nested, 0, &again), PROBE_VERIFIED);
                assert_false(again);
                assert_int_equal(verify_judge(PROBE_SAYS_YES, false, nested, 0, &again),
                                 nested == NESTED_SINGLE ? PROBE_INDETERMINATE : PROBE_REFUTED);
                assert_false(again);
                verify_judge(PROBE_SAYS_NO, false, nested, 1, &again);
                assert_true(again); /* one "no" is none */
                assert_int_equal(verify_judge(PROBE_SAYS_NO, false, nested, 2, &again), PROBE_REFUTED);
                assert_false(again);
                assert_int_equal(verify_judge(PROBE_SAYS_NO, true, nested, 1, &again), PROBE_INDETERMINATE);
                assert_false(again);
                assert_int_equal(verify_judge(PROBE_SAYS_PRIVATE, true, nested, 0, &again), PROBE_REFUTED);
                assert_int_equal(verify_judge(PROBE_SAYS_NOTHING, true, nested, 0, &again), PROBE_INDETERMINATE);
                assert_int_equal(verify_judge(PROBE_SAYS_NOTHING, false, nested, 0, &again), PROBE_INDETERMINATE);
                assert_false(again);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_14_errors_of_a_port_mapping),
                cmocka_unit_test(IICPD_04_22_errors_of_a_pinhole),
                cmocka_unit_test(IICPD_04_13_only_a_gateway_of_this_link),
                cmocka_unit_test(IICPD_04_13_only_a_gateway_of_this_ipv6_link),
                cmocka_unit_test(IICPD_04_24_what_a_probe_answers),
                cmocka_unit_test(IICPD_04_24_outcomes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
