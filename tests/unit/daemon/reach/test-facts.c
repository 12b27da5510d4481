/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reach/facts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>

/* ---- datagrams as the kernel writes them ---- */

struct datagram {
        _Alignas(8) char bytes[2048];
        size_t n, at; /* at: the message that is being written */
};

static struct nlmsghdr *header(struct datagram *d) {
        return (struct nlmsghdr *) (d->bytes + d->at);
}

static void begin(struct datagram *d, uint16_t type, const void *fixed, size_t size) {
        d->at = d->n;
        *header(d) = (struct nlmsghdr){.nlmsg_type = type, .nlmsg_len = (uint32_t) NLMSG_LENGTH(size)};
        memcpy(NLMSG_DATA(header(d)), fixed, size);
        d->n += NLMSG_SPACE(size);
}

static void put(struct datagram *d, uint16_t type, const void *value, size_t size) {
        struct rtattr *a = (struct rtattr *) (d->bytes + d->n);

        *a = (struct rtattr){.rta_type = type, .rta_len = (uint16_t) RTA_LENGTH(size)};
        memcpy(RTA_DATA(a), value, size);
        d->n += RTA_SPACE(size);
        header(d)->nlmsg_len = (uint32_t) (d->n - d->at);
}

static void put_ip(struct datagram *d, uint16_t type, const char *text) {
        unsigned char ip[16];
        int family = strchr(text, ':') ? AF_INET6 : AF_INET;

        assert_int_equal(inet_pton(family, text, ip), 1);
        put(d, type, ip, family == AF_INET ? 4 : 16);
}

static void link_message(struct datagram *d, int index, const char *name, const char *kind, unsigned flags) {
        struct ifinfomsg m = {.ifi_index = index, .ifi_type = ARPHRD_ETHER, .ifi_flags = flags};
        struct datagram info = {.at = 1024}; /* no message around it */
        uint32_t mtu = 1500;

        begin(d, RTM_NEWLINK, &m, sizeof m);
        put(d, IFLA_IFNAME, name, strlen(name) + 1);
        put(d, IFLA_MTU, &mtu, sizeof mtu);
        if (kind) {
                put(&info, IFLA_INFO_KIND, kind, strlen(kind) + 1);
                put(d, IFLA_LINKINFO, info.bytes, info.n);
        }
}

static void address_message(struct datagram *d, unsigned index, const char *text, uint32_t flags) {
        struct ifaddrmsg m = {.ifa_index = index, .ifa_prefixlen = 24, .ifa_scope = RT_SCOPE_UNIVERSE,
                              .ifa_family = strchr(text, ':') ? AF_INET6 : AF_INET};

        begin(d, RTM_NEWADDR, &m, sizeof m);
        put_ip(d, IFA_ADDRESS, text);
        put(d, IFA_FLAGS, &flags, sizeof flags);
}

static void route_message(struct datagram *d, uint32_t index, const char *gateway, uint32_t metric, uint8_t dst_len,
                          uint32_t table) {
        struct rtmsg m = {.rtm_family = strchr(gateway, ':') ? AF_INET6 : AF_INET, .rtm_dst_len = dst_len,
                          .rtm_table = (uint8_t) (table > 255 ? RT_TABLE_COMPAT : table), .rtm_type = RTN_UNICAST};

        begin(d, RTM_NEWROUTE, &m, sizeof m);
        put(d, RTA_OIF, &index, sizeof index);
        put(d, RTA_PRIORITY, &metric, sizeof metric);
        put(d, RTA_TABLE, &table, sizeof table);
        put_ip(d, RTA_GATEWAY, gateway);
}

static void done_message(struct datagram *d) {
        int zero = 0;

        begin(d, NLMSG_DONE, &zero, sizeof zero);
}

static void sample(struct datagram *d) {
        link_message(d, 1, "lo", NULL, IFF_UP | IFF_LOOPBACK);
        link_message(d, 2, "enp3s0", NULL, IFF_UP);
        link_message(d, 3, "wg0", "wireguard", IFF_UP | IFF_POINTOPOINT);
        address_message(d, 2, "192.168.178.20", IFA_F_PERMANENT);
        address_message(d, 2, "2001:db8:77::20", IFA_F_TEMPORARY | IFA_F_DEPRECATED);
        route_message(d, 3, "10.0.0.1", 50, 0, RT_TABLE_MAIN);
        route_message(d, 2, "192.168.178.1", 20, 0, RT_TABLE_MAIN);
        route_message(d, 2, "192.168.178.1", 1, 24, RT_TABLE_MAIN); /* no default route */
        route_message(d, 2, "192.168.178.9", 1, 0, 1000);           /* another table */
        route_message(d, 2, "fe80::1", 100, 0, RT_TABLE_MAIN);
        done_message(d);
}

/* ---- tests ---- */

static void IICPD_04_34_facts_are_read(void **state) {
        struct reach_facts f = {0};
        struct datagram d = {0};
        const struct fact_route *r;

        (void) state;
        sample(&d);
        assert_int_equal(reach_facts_parse(&f, d.bytes, d.n), 1);
        assert_int_equal(f.n_interfaces, 3);
        assert_int_equal(f.n_addresses, 2);
        assert_int_equal(f.n_routes, 3);
        assert_string_equal(reach_facts_interface(&f, 3)->name, "wg0");
        assert_string_equal(reach_facts_interface(&f, 3)->kind, "wireguard");
        assert_true(reach_facts_interface(&f, 3)->flags & IFF_POINTOPOINT);
        assert_string_equal(reach_facts_interface(&f, 2)->kind, "");
        assert_int_equal(reach_facts_interface(&f, 2)->mtu, 1500);
        assert_null(reach_facts_interface(&f, 9));
        assert_int_equal(f.addresses[0].ip.v4.s_addr, inet_addr("192.168.178.20"));
        assert_false(f.addresses[0].temporary);
        assert_true(f.addresses[1].temporary);
        assert_true(f.addresses[1].deprecated);
        r = reach_facts_default(&f, AF_INET);
        assert_int_equal(r->interface, 2);
        assert_int_equal(r->gateway.v4.s_addr, inet_addr("192.168.178.1"));
        assert_int_equal(reach_facts_default(&f, AF_INET6)->metric, 100);
        reach_facts_free(&f);
}

static void point_to_point_has_its_own_address(void **state) {
        struct ifaddrmsg m = {.ifa_index = 5, .ifa_family = AF_INET};
        struct reach_facts f = {0};
        struct datagram d = {0};

        (void) state;
        begin(&d, RTM_NEWADDR, &m, sizeof m);
        put_ip(&d, IFA_ADDRESS, "10.9.9.1");
        put_ip(&d, IFA_LOCAL, "10.9.9.2");
        assert_int_equal(reach_facts_parse(&f, d.bytes, d.n), 0);
        assert_int_equal(f.addresses[0].ip.v4.s_addr, inet_addr("10.9.9.2"));
        reach_facts_free(&f);
}

static void IICPD_04_34_changes_are_seen(void **state) {
        struct reach_facts a = {0}, b = {0};
        struct datagram d = {0}, other = {0};

        (void) state;
        sample(&d);
        assert_int_equal(reach_facts_parse(&a, d.bytes, d.n), 1);
        assert_int_equal(reach_facts_parse(&b, d.bytes, d.n), 1);
        assert_true(reach_facts_same(&a, &b));
        b.addresses[0].ip.v4.s_addr ^= 1;
        assert_false(reach_facts_same(&a, &b));
        b.addresses[0].ip.v4.s_addr ^= 1;
        b.routes[0].metric++;
        assert_false(reach_facts_same(&a, &b));
        b.routes[0].metric--;
        b.interfaces[1].flags &= ~(unsigned) IFF_UP;
        assert_false(reach_facts_same(&a, &b));
        b.interfaces[1].flags |= IFF_UP | IFF_PROMISC; /* a sniffer changes nothing */
        assert_true(reach_facts_same(&a, &b));
        b.n_addresses--;
        assert_false(reach_facts_same(&a, &b));
        reach_facts_free(&a);
        reach_facts_free(&b);
        route_message(&other, 2, "192.168.178.1", 1, 24, RT_TABLE_MAIN);
        assert_false(reach_facts_concerned(other.bytes, other.n));
        route_message(&other, 2, "192.168.178.1", 1, 0, RT_TABLE_MAIN);
        assert_true(reach_facts_concerned(other.bytes, other.n));
        other = (struct datagram){0};
        address_message(&other, 2, "192.0.2.1", 0);
        header(&other)->nlmsg_type = RTM_DELADDR;
        assert_true(reach_facts_concerned(other.bytes, other.n));
}

static void an_answer_that_was_overtaken_is_asked_again(void **state) {
        struct reach_facts f = {0};
        struct datagram d = {0};
        struct nlmsgerr e = {.error = -EPERM};

        (void) state;
        sample(&d);
        ((struct nlmsghdr *) d.bytes)->nlmsg_flags = NLM_F_DUMP_INTR;
        assert_int_equal(reach_facts_parse(&f, d.bytes, d.n), -EAGAIN);
        d = (struct datagram){0};
        begin(&d, NLMSG_ERROR, &e, sizeof e);
        assert_int_equal(reach_facts_parse(&f, d.bytes, d.n), -EPERM);
        reach_facts_free(&f);
}

/* Cut anywhere, and with each length field at its extremes. */
static void nothing_outside_of_the_datagram_is_read(void **state) {
        struct datagram d = {0};

        (void) state;
        sample(&d);
        for (size_t n = 0; n <= d.n; n++) {
                struct reach_facts f = {0};
                char *exact = malloc(n + 1);

                memcpy(exact, d.bytes, n);
                reach_facts_parse(&f, exact, n);
                reach_facts_concerned(exact, n);
                reach_facts_free(&f);
                free(exact);
        }
        for (size_t at = 0; at + 2 <= d.n; at += 2) {
                struct reach_facts f = {0};
                struct datagram bad = d;

                memset(bad.bytes + at, 0xff, 2);
                reach_facts_parse(&f, bad.bytes, bad.n);
                memset(bad.bytes + at, 0, 2);
                reach_facts_parse(&f, bad.bytes, bad.n);
                reach_facts_free(&f);
        }
}

static void addresses_are_bounded(void **state) {
        struct reach_facts f = {0};
        struct datagram d = {0};

        (void) state;
        address_message(&d, 2, "192.0.2.1", 0);
        for (unsigned i = 0; i < FACTS_ADDRESSES_MAX; i++)
                assert_int_equal(reach_facts_parse(&f, d.bytes, d.n), 0);
        assert_int_equal(f.n_addresses, FACTS_ADDRESSES_MAX);
        assert_int_equal(reach_facts_parse(&f, d.bytes, d.n), 0);
        assert_int_equal(f.n_addresses, FACTS_ADDRESSES_MAX);
        reach_facts_free(&f);
}

static void IICPD_04_04_the_kernel_of_this_machine_answers(void **state) {
        struct reach_facts f = {0}, again = {0};
        int r = reach_facts_collect(&f);

        (void) state;
        if (r == -EAFNOSUPPORT || r == -EPERM || r == -EACCES) {
                print_message("no netlink here\n");
                skip();
        }
        assert_int_equal(r, 0);
        assert_true(f.n_interfaces > 0);
        for (size_t i = 0; i < f.n_interfaces; i++)
                assert_int_equal(if_nametoindex(f.interfaces[i].name), f.interfaces[i].index);
        for (size_t i = 0; i < f.n_addresses; i++)
                assert_non_null(reach_facts_interface(&f, f.addresses[i].interface));
        assert_int_equal(reach_facts_collect(&again), 0);
        reach_facts_free(&again);
        reach_facts_free(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_34_facts_are_read),
                cmocka_unit_test(point_to_point_has_its_own_address),
                cmocka_unit_test(IICPD_04_34_changes_are_seen),
                cmocka_unit_test(an_answer_that_was_overtaken_is_asked_again),
                cmocka_unit_test(nothing_outside_of_the_datagram_is_read),
                cmocka_unit_test(addresses_are_bounded),
                cmocka_unit_test(IICPD_04_04_the_kernel_of_this_machine_answers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
