/* SPDX-License-Identifier: Apache-2.0 */
#include "reach/local.h"

#include "util.h"
#include "vectors.h"

#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Facts of a machine, filled by hand. */
struct machine {
        struct fact_interface interfaces[4];
        struct fact_address addresses[8];
        struct fact_route routes[4];
        struct reach_facts f;
};

static void begin(struct machine *m) {
        memset(m, 0, sizeof *m);
        m->f.interfaces = m->interfaces;
        m->f.addresses = m->addresses;
        m->f.routes = m->routes;
}

static int interface(struct machine *m, const char *name, const char *kind, unsigned type) {
        struct fact_interface *i = &m->interfaces[m->f.n_interfaces++];

        i->index = (int) m->f.n_interfaces;
        i->flags = IFF_UP | IFF_RUNNING;
        i->type = type;
        snprintf(i->name, sizeof i->name, "%s", name);
        snprintf(i->kind, sizeof i->kind, "%s", kind);
        return i->index;
}

static struct fact_address *address(struct machine *m, int on, const char *text, uint8_t prefix) {
        struct fact_address *a = &m->addresses[m->f.n_addresses++];

        a->interface = on;
        a->family = strchr(text, ':') ? AF_INET6 : AF_INET;
        a->prefix = prefix;
        a->preferred_s = UINT32_MAX;
        assert_int_equal(inet_pton(a->family, text, &a->ip), 1);
        return a;
}

static void route(struct machine *m, int on, const char *gateway, int family, uint32_t metric) {
        struct fact_route *r = &m->routes[m->f.n_routes++];

        r->interface = on;
        r->family = family;
        r->metric = metric;
        r->has_gateway = gateway != NULL;
        if (gateway)
                assert_int_equal(inet_pton(family, gateway, &r->gateway), 1);
}

static void IICPD_04_05_the_holder_of_the_default_route_is_asked_on(void **state) {
        struct machine m;
        struct local l;
        int lan, other;

        (void) state;
        begin(&m);
        other = interface(&m, "eth1", "", ARPHRD_ETHER);
        lan = interface(&m, "eth0", "", ARPHRD_ETHER);
        address(&m, other, "10.1.1.5", 24);
        address(&m, lan, "192.168.7.2", 24);
        route(&m, other, "10.1.1.1", AF_INET, 200);
        route(&m, lan, "192.168.7.1", AF_INET, 100);
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v4.interface, "eth0");
        assert_string_equal(l.v4.address, "192.168.7.2");
        assert_string_equal(l.v4.gateway, "192.168.7.1");
        assert_int_equal(l.v4.prefix, 24);
        assert_true(l.private_v4);
        assert_string_equal(l.nic_v4, "");
        /* the other way round by their metrics */
        m.routes[0].metric = 50;
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v4.interface, "eth1");
}

static void IICPD_04_05_a_public_address_counts_on_the_way_out_only(void **state) {
        struct machine m;
        struct local l;
        int out, other;

        (void) state;
        begin(&m);
        out = interface(&m, "eth0", "", ARPHRD_ETHER);
        other = interface(&m, "eth1", "", ARPHRD_ETHER);
        address(&m, out, "192.168.7.2", 24);
        address(&m, other, "7.7.7.50", 24);
        route(&m, out, "192.168.7.1", AF_INET, 0);
        local_derive(&m.f, false, &l);
        assert_string_equal(l.nic_v4, "");
        m.routes[0].interface = other;
        local_derive(&m.f, false, &l);
        assert_string_equal(l.nic_v4, "7.7.7.50");
        assert_false(l.private_v4);
}

/* V1 to V5: the VPN holds the default route, the router at home is asked from the address at home;
 * 100.64/10 on the VPN is no public address, and no sign of a provider's NAT. */
static void IICPD_04_05_a_vpn_does_not_hide_the_router_at_home(void **state) {
        static const char *const kinds[] = {"tun", "wireguard", "ppp"};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                struct machine m;
                struct local l;
                int vpn, bridge, lan;

                begin(&m);
                vpn = interface(&m, "vpn0", kinds[i], ARPHRD_NONE);
                bridge = interface(&m, "docker0", "bridge", ARPHRD_ETHER);
                lan = interface(&m, "wlan0", "", ARPHRD_ETHER);
                address(&m, vpn, "100.64.3.4", 32);
                address(&m, bridge, "172.17.0.1", 16);
                address(&m, lan, "192.168.7.2", 24);
                route(&m, vpn, NULL, AF_INET, 0);
                local_derive(&m.f, false, &l);
                assert_string_equal(l.v4.interface, "wlan0");
                assert_string_equal(l.v4.address, "192.168.7.2");
                assert_string_equal(l.v4.gateway, "");
                assert_string_equal(l.nic_v4, "");
                assert_true(l.private_v4);
                /* its own default route, behind that of the VPN, names the router */
                route(&m, lan, "192.168.7.1", AF_INET, 600);
                local_derive(&m.f, false, &l);
                assert_string_equal(l.v4.gateway, "192.168.7.1");
        }
}

static void IICPD_04_05_what_is_down_or_link_local_is_not_asked_on(void **state) {
        struct machine m;
        struct local l;
        int lan;

        (void) state;
        begin(&m);
        lan = interface(&m, "eth0", "", ARPHRD_ETHER);
        address(&m, lan, "169.254.3.4", 16);
        route(&m, lan, NULL, AF_INET, 0);
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v4.address, "");
        assert_false(l.private_v4);
        address(&m, lan, "192.168.7.2", 24);
        m.interfaces[0].flags = 0;
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v4.address, "");
        m.f.n_routes = 0;
        m.interfaces[0].flags = IFF_UP;
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v4.address, "192.168.7.2");
        assert_false(l.v4_way_out);
        assert_false(l.private_v4); /* nobody would get an answer through a mapping */
}

static void IICPD_04_06_a_container_is_bridged_by_mark_and_veth(void **state) {
        struct machine m;
        struct local l;
        int eth;

        (void) state;
        begin(&m);
        eth = interface(&m, "eth0", "veth", ARPHRD_ETHER);
        address(&m, eth, "172.17.0.2", 16);
        route(&m, eth, "172.17.0.1", AF_INET, 0);
        local_derive(&m.f, true, &l);
        assert_true(l.bridged);
        local_derive(&m.f, false, &l); /* a name space without a mark */
        assert_false(l.bridged);
        snprintf(m.interfaces[0].kind, FACTS_KIND_MAX, "macvlan"); /* a mark, and its own address outside */
        local_derive(&m.f, true, &l);
        assert_false(l.bridged);
        m.interfaces[0].kind[0] = '\0'; /* the host's network */
        local_derive(&m.f, true, &l);
        assert_false(l.bridged);
}

static void IICPD_04_06_marks_of_a_container(void **state) {
        char *const pod[] = {(char *) "A=b", (char *) "KUBERNETES_SERVICE_HOST=10.0.0.1", NULL};
        char *const alike[] = {(char *) "KUBERNETES_SERVICE_HOST_X=1", NULL};

        (void) state;
        assert_true(local_container_marks(pod));
        if (access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0)
                return; /* this test itself runs in one */
        assert_false(local_container_marks(alike));
        assert_false(local_container_marks(NULL));
}

static void IICPD_04_21_ipv6_stable_public_and_with_a_way_out(void **state) {
        struct fact_address *temporary, *stable;
        struct machine m;
        struct local l;
        int lan, inner;

        (void) state;
        begin(&m);
        lan = interface(&m, "eth0", "", ARPHRD_ETHER);
        inner = interface(&m, "eth1", "", ARPHRD_ETHER);
        address(&m, lan, "fd00::2", 64);
        address(&m, inner, "2a10:aaaa:0:99::2", 64); /* no default route there */
        temporary = address(&m, lan, "2a10:aaaa:0:77::aa", 64);
        temporary->temporary = true;
        temporary->preferred_s = 900;
        route(&m, lan, "fe80::1", AF_INET6, 0);
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v6.address, "2a10:aaaa:0:77::aa");
        assert_true(l.v6_temporary);
        assert_int_equal(l.v6_preferred_s, 900);
        stable = address(&m, lan, "2a10:aaaa:0:77::2", 64);
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v6.address, "2a10:aaaa:0:77::2");
        assert_string_equal(l.v6.gateway, "fe80::1%eth0");
        assert_false(l.v6_temporary);
        stable->deprecated = true;
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v6.address, "2a10:aaaa:0:77::aa");
        m.f.n_routes = 0;
        local_derive(&m.f, false, &l);
        assert_string_equal(l.v6.address, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_05_the_holder_of_the_default_route_is_asked_on),
                cmocka_unit_test(IICPD_04_05_a_public_address_counts_on_the_way_out_only),
                cmocka_unit_test(IICPD_04_05_a_vpn_does_not_hide_the_router_at_home),
                cmocka_unit_test(IICPD_04_05_what_is_down_or_link_local_is_not_asked_on),
                cmocka_unit_test(IICPD_04_06_a_container_is_bridged_by_mark_and_veth),
                cmocka_unit_test(IICPD_04_06_marks_of_a_container),
                cmocka_unit_test(IICPD_04_21_ipv6_stable_public_and_with_a_way_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
