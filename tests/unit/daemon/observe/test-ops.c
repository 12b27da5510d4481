/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/ops.h"

#include "health.h"
#include "vectors.h"

#include <arpa/inet.h>
#include <string.h>

static void addresses_with_ports(void **state) {
        static const char *const good[] = {"127.0.0.1:9090", "[::1]:1", "[::]:65535", "0.0.0.0:80"};
        static const char *const bad[] = {"", ":9090", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                                          "127.0.0.1:80x", "::1:9090", "[::1]", "[::1:9090", "::1]:9090", "[]:1",
                                          "[127.0.0.1]:80", "localhost:9090", "127.0.0.1:-1", "127.0.0.1: 80"};
        struct sockaddr_storage a;
        socklen_t n;

        (void) state;
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
                assert_true(ops_address_parse(good[i], &a, &n));
        assert_int_equal(ntohs(((struct sockaddr_in *) &a)->sin_port), 80);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert_false(ops_address_parse(bad[i], &a, &n));
}

static void probes(void **state) {
        struct health live = {.liveness = HEALTH_LIVE, .readiness = HEALTH_READY},
                      degraded = {.liveness = HEALTH_LIVE, .readiness = HEALTH_DEGRADED,
                                  .reasons = {"DIRECTORY_UNAVAILABLE"}, .n_reasons = 1},
                      stuck = {.liveness = HEALTH_NOT_LIVE, .readiness = HEALTH_NOT_READY,
                               .reasons = {"RUNTIME_PROGRESS_STALE"}, .n_reasons = 1};
        char out[128];

        (void) state;
        assert_int_equal(ops_livez(&live, out, sizeof out), 200);
        assert_string_equal(out, "live\n");
        assert_int_equal(ops_livez(&degraded, out, sizeof out), 200);
        assert_int_equal(ops_livez(&stuck, out, sizeof out), 503);
        assert_string_equal(out, "not live: RUNTIME_PROGRESS_STALE\n");
        assert_int_equal(ops_readyz(&live, true, "", out, sizeof out), 200);
        assert_string_equal(out, "ready\n");
        /* A lost directory alone must not take all replicas out of service at once. */
        assert_int_equal(ops_readyz(&degraded, false, "the directory is silent", out, sizeof out), 200);
        assert_string_equal(out, "degraded: the directory is silent\n");
        assert_int_equal(ops_readyz(&degraded, true, "the directory is silent", out, sizeof out), 503);
        assert_int_equal(ops_readyz(&stuck, false, "stuck", out, sizeof out), 503);
        assert_string_equal(out, "not ready: stuck\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(addresses_with_ports),
                cmocka_unit_test(probes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
