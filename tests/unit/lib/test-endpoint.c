/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <arpa/inet.h>
#include <iicp/endpoint.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static bool addr_allowed(const char *text, enum iicp_endpoint_use use) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

        if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
                return iicp_endpoint_addr_allowed((const struct sockaddr *) &v4, use) == 0;
        if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
                fail_msg("not an address: %s", text);
        return iicp_endpoint_addr_allowed((const struct sockaddr *) &v6, use) == 0;
}

static bool url_allowed(struct iicp_str text, enum iicp_endpoint_use use) {
        struct iicp_url url;

        return iicp_url_parse(text, &url) == 0 && iicp_endpoint_host_allowed(&url, use) == 0;
}

static void expect_address(struct json_object *c, const char *member) {
        const char *address = vector_str(c, "address").p;
        bool wanted = json_object_get_boolean(vector_get(c, member));

        if (addr_allowed(address, IICP_ENDPOINT_DIAL) != wanted)
                fail_msg("%s: expected %d", address, wanted);
}

static void IICPD_05_37_addresses(void **state) {
        struct json_object *doc = vector_ours("security/endpoint-cases-v1.json");
        struct json_object *list = vector_get(doc, "addresses");

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++)
                expect_address(json_object_array_get_idx(list, i), "allowed_public");
        json_object_put(doc);
        doc = vector_ours("consumer/endpoint-safety.json");
        list = vector_get(doc, "addresses");
        for (size_t i = 0; i < json_object_array_length(list); i++)
                expect_address(json_object_array_get_idx(list, i), "expect");
        json_object_put(doc);
}

static void IICPD_05_37_url_texts(void **state) {
        struct json_object *doc = vector_ours("security/endpoint-cases-v1.json");
        struct json_object *list = vector_get(doc, "urls");

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                bool wanted = strcmp(vector_str(c, "verdict").p, "ok") == 0;

                if (url_allowed(vector_str(c, "url"), IICP_ENDPOINT_DIAL) != wanted)
                        fail_msg("%s: expected %d", vector_str(c, "url").p, wanted);
        }
        json_object_put(doc);
}

static void IICPD_05_37_host_names(void **state) {
        struct json_object *doc = vector_ours("security/endpoint-cases-v1.json");
        struct json_object *list = vector_get(doc, "hostnames");
        char text[300];

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                const char *host = vector_str(c, "host").p;
                bool wanted = json_object_get_boolean(vector_get(c, "allowed"));

                snprintf(text, sizeof(text), strchr(host, ':') ? "https://[%s]" : "https://%s", host);
                if (url_allowed(iicp_str(text), IICP_ENDPOINT_DIAL) != wanted)
                        fail_msg("%s: expected %d", host, wanted);
        }
        json_object_put(doc);
}

/* Literal part of the consumer's table: names that resolve are judged by address elsewhere. */
static void IICPD_05_37_consumer_urls(void **state) {
        struct json_object *doc = vector_ours("consumer/endpoint-safety.json");
        struct json_object *list = vector_get(doc, "urls"), *dns = vector_get(doc, "dns");

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i), *answers = NULL;
                bool wanted = strcmp(vector_str(c, "expect_connect").p, "allow") == 0, got;
                struct iicp_url url;

                got = url_allowed(vector_str(c, "url"), IICP_ENDPOINT_DIAL);
                if (got && iicp_url_parse(vector_str(c, "url"), &url) == 0 && !url.ipv6 &&
                    strspn(url.host, "0123456789.") != strlen(url.host)) {
                        got = json_object_object_get_ex(dns, url.host, &answers);
                        for (size_t j = 0; got && j < json_object_array_length(answers); j++)
                                got = addr_allowed(json_object_get_string(json_object_array_get_idx(answers, j)),
                                                   IICP_ENDPOINT_DIAL);
                }
                if (got != wanted)
                        fail_msg("%s: expected %d", vector_str(c, "url").p, wanted);
        }
        json_object_put(doc);
}

/* What 04 section 9 lets us send as our own endpoint. */
static void IICPD_05_37_registered_urls(void **state) {
        struct json_object *doc = vector_ours("reachability/routability.json");
        struct json_object *list = vector_get(doc, "endpoint");

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i), *answers = vector_find(c, "resolves_to");
                bool wanted = json_object_get_boolean(vector_get(c, "allow"));
                bool got = url_allowed(vector_str(c, "url"), IICP_ENDPOINT_REGISTER);

                if (answers && json_object_is_type(answers, json_type_array))
                        for (size_t j = 0; got && j < json_object_array_length(answers); j++)
                                got = addr_allowed(json_object_get_string(json_object_array_get_idx(answers, j)),
                                                   IICP_ENDPOINT_REGISTER);
                if (got != wanted)
                        fail_msg("%s (%s): expected %d", vector_str(c, "url").p, vector_str(c, "reason").p, wanted);
        }
        json_object_put(doc);
}

/* Each that may be sent is sent in the one form that both directories read. */
static void IICPD_04_26_registered_form(void **state) {
        struct json_object *doc = vector_ours("reachability/routability.json");
        unsigned n = 0;

        (void) state;
        vector_each(vector_get(doc, "endpoint"), c) {
                struct iicp_url url;
                char out[300];

                if (!json_object_get_boolean(vector_get(c, "allow")))
                        continue;
                assert_int_equal(iicp_url_parse(vector_str(c, "url"), &url), 0);
                assert_int_equal(iicp_url_normal(&url, out, sizeof out), 0);
                if (strcmp(out, vector_str(c, "send_as").p) != 0)
                        fail_msg("%s: %s", vector_str(c, "url").p, out);
                n++;
        }
        assert_true(n > 5);
        json_object_put(doc);
}

static bool all_allowed(struct json_object *addresses) {
        for (size_t i = 0; i < json_object_array_length(addresses); i++)
                if (!addr_allowed(json_object_get_string(json_object_array_get_idx(addresses, i)),
                                  IICP_ENDPOINT_DIAL))
                        return false;
        return true;
}

static void IICPD_05_37_public_profile(void **state) {
        struct json_object *doc = vector_public("security/endpoint-security-v1.json");
        struct json_object *list = vector_get(doc, "address_vectors");

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);

                /* the switch for private networks is the caller's: it does not ask */
                if (json_object_get_boolean(vector_get(c, "allow_private")))
                        continue;
                if (all_allowed(vector_get(c, "addresses")) != json_object_get_boolean(vector_get(c, "allowed")))
                        fail_msg("%s", vector_str(c, "id").p);
        }
        list = vector_get(doc, "hostname_vectors");
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                char url[300];

                snprintf(url, sizeof(url), "https://%s", vector_str(c, "host").p);
                if (url_allowed(iicp_str(url), IICP_ENDPOINT_DIAL) != json_object_get_boolean(vector_get(c, "allowed")))
                        fail_msg("%s", url);
        }
        json_object_put(doc);
}

static void IICPD_05_37_registration_is_narrower(void **state) {
        static const char *const never[] = {"http://node.example:9484", "http://router.home.arpa",
                                            "http://[2001:0:1234::1]:9484", "http://127.0.0.1:9484"};

        (void) state;
        for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
                assert_false(url_allowed(iicp_str(never[i]), IICP_ENDPOINT_REGISTER));
        assert_true(url_allowed(IICP_STR("http://node.example:9484"), IICP_ENDPOINT_DIAL));
        assert_true(url_allowed(IICP_STR("http://8.8.8.8:9484"), IICP_ENDPOINT_REGISTER));
}

static void IICPD_05_37_origin_and_parts(void **state) {
        struct iicp_url u;
        char origin[300];

        (void) state;
        assert_int_equal(iicp_url_parse(IICP_STR("HTTPS://Node.Example.NET.:443/base/"), &u), 0);
        assert_string_equal(u.host, "node.example.net");
        assert_string_equal(u.path, "/base");
        assert_int_equal(iicp_url_origin(&u, origin, sizeof(origin)), 0);
        assert_string_equal(origin, "https://node.example.net");
        assert_int_equal(iicp_url_parse(IICP_STR("http://[2600::1]:9484"), &u), 0);
        assert_int_equal(iicp_url_origin(&u, origin, sizeof(origin)), 0);
        assert_string_equal(origin, "http://[2600::1]:9484");
        assert_true(iicp_url_origin(&u, origin, 10) < 0);
        assert_true(iicp_host_is_loopback("LocalHost") && iicp_host_is_loopback("127.3.2.1") &&
                    iicp_host_is_loopback("::1"));
        assert_false(iicp_host_is_loopback("localhost.example.net") || iicp_host_is_loopback("8.8.8.8"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_37_addresses),
                cmocka_unit_test(IICPD_05_37_url_texts),
                cmocka_unit_test(IICPD_05_37_host_names),
                cmocka_unit_test(IICPD_05_37_consumer_urls),
                cmocka_unit_test(IICPD_05_37_registered_urls),
                cmocka_unit_test(IICPD_04_26_registered_form),
                cmocka_unit_test(IICPD_05_37_public_profile),
                cmocka_unit_test(IICPD_05_37_registration_is_narrower),
                cmocka_unit_test(IICPD_05_37_origin_and_parts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
