/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "client-resolve.h"
#include "vectors.h"

#include <errno.h>
#include <netinet/in.h>

static void IICPD_05_38_literals_need_no_resolver(void **state) {
        struct iicp_addresses a = {0};
        atomic_bool cancel = true; /* they are not even waited for */

        (void) state;
        assert_int_equal(iicp_resolve("192.0.2.7", 443, 0, &cancel, &a), 0);
        assert_int_equal(a.n, 1);
        assert_int_equal(((struct sockaddr_in *) &a.v[0])->sin_port, htons(443));
        assert_int_equal(iicp_resolve("2001:db8::1", 9484, 0, &cancel, &a), 0);
        assert_int_equal(a.v[0].ss_family, AF_INET6);
}

static void IICPD_06_34_resolution_can_be_given_up(void **state) {
        struct iicp_addresses a = {0};
        atomic_bool cancel = true;
        int r;

        (void) state;
        /* the job may be done before the flag is looked at; it is never waited for */
        r = iicp_resolve("node.invalid", 443, iicp_clock_ms() + 60000, &cancel, &a);
        assert_true(r == -ECANCELED || r == -ENOENT);
        cancel = false;
        r = iicp_resolve("node.invalid", 443, iicp_clock_ms() - 1, &cancel, &a);
        assert_true(r == -ETIMEDOUT || r == -ENOENT);
        assert_int_equal(a.n, 0);
}

static void IICPD_05_38_all_addresses_of_a_name(void **state) {
        struct iicp_addresses a = {0};
        atomic_bool cancel = false;

        (void) state;
        assert_int_equal(iicp_resolve("localhost", 80, iicp_clock_ms() + 20000, &cancel, &a), 0);
        assert_true(a.n >= 1);
        for (size_t i = 0; i < a.n; i++)
                assert_true(iicp_addr_is_loopback((struct sockaddr *) &a.v[i]));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_05_38_literals_need_no_resolver),
                cmocka_unit_test(IICPD_06_34_resolution_can_be_given_up),
                cmocka_unit_test(IICPD_05_38_all_addresses_of_a_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
