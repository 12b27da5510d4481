/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct sockaddr_storage addr(const char *text) {
        struct sockaddr_storage a;

        assert_int_equal(peer_parse(iicp_str(text), &a), 0);
        return a;
}

static bool same_source(const char *a, const char *b) {
        struct sockaddr_storage x = addr(a), y = addr(b);
        struct peer_source p, q;

        peer_source_of((struct sockaddr *) &x, &p);
        peer_source_of((struct sockaddr *) &y, &q);
        return memcmp(&p, &q, sizeof p) == 0;
}

static void IICPD_02_10_sources_are_addresses_and_prefixes(void **state) {
        (void) state;
        assert_true(same_source("192.0.2.1", "::ffff:192.0.2.1"));
        assert_false(same_source("192.0.2.1", "192.0.2.2"));
        assert_true(same_source("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert_false(same_source("2001:db8:1:2::1", "2001:db8:1:3::1"));
}

static void addresses_are_read_strictly(void **state) {
        static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "[::1", "[::1]x", "[1.2.3.4]", "unknown", "::g"};
        struct sockaddr_storage a;

        (void) state;
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert_int_not_equal(peer_parse(iicp_str(bad[i]), &a), 0);
        assert_int_equal(addr("1.2.3.4:80").ss_family, AF_INET);
        assert_int_equal(addr("[::1]:80").ss_family, AF_INET6);
}

static void networks_contain_addresses(void **state) {
        char net4[] = "10.0.0.0/9", one[] = "192.0.2.7", net6[] = "2001:db8::/33", bad[] = "10.0.0.0/99";
        char *networks[] = {net4, one, net6, bad, NULL};
        struct sockaddr_storage a;

        (void) state;
        a = addr("10.127.1.1");
        assert_true(peer_in_networks((struct sockaddr *) &a, networks));
        a = addr("::ffff:10.1.1.1");
        assert_true(peer_in_networks((struct sockaddr *) &a, networks));
        a = addr("10.128.0.1");
        assert_false(peer_in_networks((struct sockaddr *) &a, networks));
        a = addr("192.0.2.7");
        assert_true(peer_in_networks((struct sockaddr *) &a, networks));
        a = addr("2001:db8:7fff::1");
        assert_true(peer_in_networks((struct sockaddr *) &a, networks));
        a = addr("2001:db8:8000::1");
        assert_false(peer_in_networks((struct sockaddr *) &a, networks));
        assert_false(peer_in_networks((struct sockaddr *) &a, NULL));
}

static bool hop_is(const char *direct, const char *forwarded, const char *expected) {
        char net[] = "10.0.0.0/8";
        char *networks[] = {net, NULL};
        struct sockaddr_storage a = addr(direct);
        struct peer_source p, q;

        peer_behind_proxies(iicp_str(forwarded), networks, &a);
        peer_source_of((struct sockaddr *) &a, &p);
        a = addr(expected);
        peer_source_of((struct sockaddr *) &a, &q);
        return memcmp(&p, &q, sizeof p) == 0;
}

static void forwarded_for_counts_from_trusted_proxies_only(void **state) {
        (void) state;
        assert_true(hop_is("192.0.2.1", "198.51.100.9", "192.0.2.1"));
        assert_true(hop_is("10.0.0.1", "203.0.113.5, 198.51.100.9", "198.51.100.9"));
        assert_true(hop_is("10.0.0.1", "203.0.113.5, 198.51.100.9 , 10.0.0.7", "198.51.100.9"));
        assert_true(hop_is("10.0.0.1", "203.0.113.5, junk", "10.0.0.1"));
        assert_true(hop_is("10.0.0.1", "", "10.0.0.1"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_10_sources_are_addresses_and_prefixes),
                cmocka_unit_test(addresses_are_read_strictly),
                cmocka_unit_test(networks_contain_addresses),
                cmocka_unit_test(forwarded_for_counts_from_trusted_proxies_only),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
