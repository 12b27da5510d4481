/* SPDX-License-Identifier: Apache-2.0 */
#include "reach/decide.h"

#include "vectors.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const char *text_or_null(struct json_object *c, const char *name) {
        struct json_object *v = vector_get(c, name);

        return v ? json_object_get_string(v) : NULL;
}

static void IICPD_04_20_nested_verdicts(void **state) {
        struct json_object *doc = vector_ours("reachability/cgnat.json");

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                struct nested_verdict v;
                const char *expect = text_or_null(c, "may_try");

                nested_judge(text_or_null(c, "E"), text_or_null(c, "O"), &v);
                assert_string_equal(nested_name(v.nested), vector_str(c, "verdict").p);
                assert_string_equal(v.try_, expect ? expect : "");
                assert_int_equal(v.needs_verified, json_object_get_boolean(vector_get(c, "needs_verified")));
        }
        json_object_put(doc);
}

static void IICPD_04_02_exposure_modes(void **state) {
        struct json_object *doc = vector_ours("reachability/exposure-mode.json");

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                const char *method = vector_str(c, "transport_method").p;
                const char *endpoint = text_or_null(c, "endpoint");
                struct exposure_facts f = {
                        .route = strcmp(method, "external_tunnel") == 0 ? EXPOSURE_TUNNEL
                                 : strcmp(method, "turn_relay") == 0    ? EXPOSURE_RELAY
                                 : endpoint                             ? EXPOSURE_DIRECT
                                                                        : EXPOSURE_NONE,
                        .endpoint_ipv6 = endpoint && strchr(endpoint, '['),
                        .ipv6_open = json_object_get_boolean(vector_get(c, "pinhole")),
                        .cgnat = json_object_get_boolean(vector_get(c, "cgnat_logged")),
                };

                assert_string_equal(exposure_mode(&f), vector_str(c, "expect").p);
        }
        json_object_put(doc);
}

static void IICPD_04_07_echo_answers(void **state) {
        struct json_object *doc = vector_ours("reachability/external-ip-echo.json");

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                char out[INET_ADDRSTRLEN] = "";
                const char *expect = text_or_null(c, "expect");
                bool ok = echo_read(json_object_get_int(vector_get(c, "status")), vector_str(c, "body"), out);

                assert_int_equal(ok, expect != NULL);
                if (expect)
                        assert_string_equal(out, expect);
        }
        json_object_put(doc);
}

static bool has_flag(struct json_object *a, const char *flag) {
        bool found = false;

        vector_each(vector_get(a, "flags"), f)
                found |= strcmp(json_object_get_string(f), flag) == 0;
        return found;
}

static void IICPD_04_21_choice_of_the_ipv6_address(void **state) {
        struct json_object *doc = vector_ours("reachability/ipv6-select.json");

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                const char *dev = text_or_null(c, "default_route_dev"), *expect = text_or_null(c, "expect");
                struct ipv6_candidate v[16];
                char text[INET6_ADDRSTRLEN] = "";
                size_t n = 0;
                int best;

                vector_each(vector_get(c, "addresses"), a) {
                        assert_true(n < 16);
                        v[n] = (struct ipv6_candidate){
                                .default_route = dev && strcmp(dev, vector_str(a, "dev").p) == 0,
                                .temporary = has_flag(a, "temporary"), .tentative = has_flag(a, "tentative"),
                                .dadfailed = has_flag(a, "dadfailed"), .deprecated = has_flag(a, "deprecated"),
                                .preferred_s = (uint32_t) json_object_get_int64(vector_get(a, "preferred_lft")),
                        };
                        assert_int_equal(inet_pton(AF_INET6, vector_str(a, "address").p, &v[n].address), 1);
                        n++;
                }
                best = ipv6_choose(v, n);
                if (best >= 0)
                        inet_ntop(AF_INET6, &v[best].address, text, sizeof text);
                if (strcmp(text, expect ? expect : "") != 0)
                        fail_msg("%s: %s, not %s", vector_str(c, "id").p, text, expect);
        }
        json_object_put(doc);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_20_nested_verdicts),
                cmocka_unit_test(IICPD_04_02_exposure_modes),
                cmocka_unit_test(IICPD_04_07_echo_answers),
                cmocka_unit_test(IICPD_04_21_choice_of_the_ipv6_address),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
