/* SPDX-License-Identifier: Apache-2.0 */
#include "task/rate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void IICPD_02_46_fixed_window_per_origin(void **state) {
        struct rate *r = rate_new();
        struct iicp_str a = IICP_STR("https://a.example.org"), b = IICP_STR("https://b.example.org");

        (void) state;
        for (unsigned i = 0; i < 120; i++)
                assert_true(rate_take(r, a, 120, 1000 + i));
        assert_false(rate_take(r, a, 120, 2000));
        assert_true(rate_take(r, b, 120, 2000));
        assert_false(rate_take(r, a, 120, 1000 + RATE_WINDOW_MS - 1));
        assert_true(rate_take(r, a, 120, 1000 + RATE_WINDOW_MS));
        rate_free(r);
}

static void IICPD_02_46_zero_is_off_and_absent_is_free(void **state) {
        struct rate *r = rate_new();

        (void) state;
        for (unsigned i = 0; i < 1000; i++) {
                assert_true(rate_take(r, IICP_STR("o"), 0, 5));
                assert_true(rate_take(r, IICP_STR_NONE, 1, 5));
        }
        assert_int_equal(rate_count(r), 0);
        rate_free(r);
}

static void IICPD_02_46_table_is_bounded(void **state) {
        struct rate *r = rate_new();
        char key[32];

        (void) state;
        for (unsigned i = 0; i < RATE_KEYS_MAX + 10; i++) {
                snprintf(key, sizeof(key), "o%u", i);
                assert_true(rate_take(r, iicp_str(key), 1, 5));
        }
        assert_int_equal(rate_count(r), RATE_KEYS_MAX);
        rate_free(r);
}

static struct iicp_str source_of(const char *text, char out[16]) {
        static struct sockaddr_in6 v6;
        static struct sockaddr_in v4;

        if (strchr(text, ':')) {
                v6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
                assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
                return rate_source((const struct sockaddr *) &v6, out);
        }
        v4 = (struct sockaddr_in){.sin_family = AF_INET};
        assert_int_equal(inet_pton(AF_INET, text, &v4.sin_addr), 1);
        return rate_source((const struct sockaddr *) &v4, out);
}

static void IICPD_02_47_source_is_ipv4_or_slash_64(void **state) {
        char a[16], b[16];

        (void) state;
        assert_true(iicp_str_eq(source_of("8.8.8.8", a), source_of("::ffff:8.8.8.8", b)));
        assert_false(iicp_str_eq(source_of("8.8.8.8", a), source_of("8.8.8.9", b)));
        assert_true(iicp_str_eq(source_of("2600:1:2:3::1", a), source_of("2600:1:2:3:4::9", b)));
        assert_false(iicp_str_eq(source_of("2600:1:2:3::1", a), source_of("2600:1:2:4::1", b)));
        assert_null(source_of("127.0.0.1", a).p);
        assert_null(source_of("::1", a).p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_46_fixed_window_per_origin),
                cmocka_unit_test(IICPD_02_46_zero_is_off_and_absent_is_free),
                cmocka_unit_test(IICPD_02_46_table_is_bounded),
                cmocka_unit_test(IICPD_02_47_source_is_ipv4_or_slash_64),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
