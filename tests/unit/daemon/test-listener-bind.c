/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char why[256];

static uint16_t port_of(int fd) {
        struct sockaddr_storage a;
        socklen_t n = sizeof a;

        assert_int_equal(getsockname(fd, (struct sockaddr *) &a, &n), 0);
        return ntohs(((struct sockaddr_in *) &a)->sin_port);
}

static void IICPD_02_01_busy_port_moves_on_or_fails(void **state) {
        int first, next, never;

        (void) state;
        assert_int_equal(listener_bind("127.0.0.1", 0, true, 0, &first, why, sizeof why), 0);
        unsigned port = port_of(first);
        if (port > 65000)
                skip();
        assert_int_equal(listener_bind("127.0.0.1", port, true, 0, &never, why, sizeof why), -EADDRINUSE);
        assert_non_null(strstr(why, "cannot listen on port"));
        assert_int_equal(listener_bind("127.0.0.1", port, false, 0, &next, why, sizeof why), 0);
        assert_in_range(port_of(next), port + 1, port + LISTENER_PORTS - 1);
        close(first);
        close(next);
}

static int dial(int family, uint16_t port) {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port)};
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
        int fd = socket(family, SOCK_STREAM, 0);
        int r = family == AF_INET ? connect(fd, (struct sockaddr *) &v4, sizeof v4)
                                  : connect(fd, (struct sockaddr *) &v6, sizeof v6);

        close(fd);
        return r;
}

static void IICPD_02_02_one_socket_serves_both_families(void **state) {
        int fd;

        (void) state;
        assert_int_equal(listener_bind(NULL, 0, true, 0, &fd, why, sizeof why), 0);
        assert_int_equal(dial(AF_INET, port_of(fd)), 0);
        struct sockaddr_storage a;
        socklen_t n = sizeof a;
        getsockname(fd, (struct sockaddr *) &a, &n);
        if (a.ss_family == AF_INET6)
                assert_int_equal(dial(AF_INET6, port_of(fd)), 0);
        close(fd);
        assert_int_equal(listener_bind("127.0.0.1", 0, true, 0, &fd, why, sizeof why), 0);
        assert_int_not_equal(dial(AF_INET6, port_of(fd)), 0);
        close(fd);
        assert_int_equal(listener_bind("localhost", 0, true, 0, &fd, why, sizeof why), -EINVAL);
}

/* The service manager's socket is taken for its port only. */
static void a_passed_socket_of_another_port_is_an_error(void **state) {
        int old = fcntl(3, F_DUPFD_CLOEXEC, 30), made, fd = -1;
        bool passed;
        char pid[24], both[64];

        (void) state;
        assert_int_equal(listener_bind("127.0.0.1", 0, true, 0, &made, why, sizeof why), 0);
        unsigned port = port_of(made);
        dup2(made, 3);
        if (made != 3)
                close(made);
        snprintf(pid, sizeof pid, "%d", (int) getpid());
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
        assert_int_equal(listener_open(NULL, "listen.port", NULL, port == 1 ? 2 : port - 1, true, 0, &passed, &fd, why, sizeof why),
                         -EADDRNOTAVAIL);
        snprintf(both, sizeof both, "port %u, but listen.port is %u:", port, port - 1);
        assert_non_null(strstr(why, both));
        assert_int_equal(listener_open(NULL, "listen.port", NULL, port, true, 0, &passed, &fd, why, sizeof why), 0);
        assert_true(passed);
        assert_int_equal(fd, 3);
        assert_int_equal(listener_open(NULL, "listen.port", NULL, 0, true, 0, &passed, &fd, why, sizeof why), 0);
        assert_int_equal(fd, 3); /* port 0 takes any */
        assert_int_equal(listener_open("native", "listen.native_port", "127.0.0.1", 0, true, 0, &passed, &fd, why, sizeof why), 0);
        assert_false(passed); /* no such role among them: bound by itself */
        assert_int_not_equal(fd, 3);
        close(fd);
        unsetenv("LISTEN_PID");
        unsetenv("LISTEN_FDS");
        close(3);
        if (old >= 0) {
                dup2(old, 3);
                close(old);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_01_busy_port_moves_on_or_fails),
                cmocka_unit_test(IICPD_02_02_one_socket_serves_both_families),
                cmocka_unit_test(a_passed_socket_of_another_port_is_an_error),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
