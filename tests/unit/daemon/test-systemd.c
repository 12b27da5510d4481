/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "systemd.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static char folder[64], path[96];

static int receiver(const char *name) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        memcpy(a.sun_path, name, strlen(name));
        if (name[0] == '@')
                a.sun_path[0] = 0;
        assert_int_equal(bind(fd, (struct sockaddr *) &a,
                              (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                         0);
        return fd;
}

static void expect(int fd, const char *bytes, size_t n) {
        char got[512];

        assert_int_equal(recv(fd, got, sizeof got, MSG_DONTWAIT), n);
        assert_memory_equal(got, bytes, n);
}

static void notifications_go_to_the_socket(void **state) {
        char name[64];
        int fd;

        (void) state;
        unsetenv("NOTIFY_SOCKET");
        assert_int_equal(systemd_notify("READY=1"), 0);
        setenv("NOTIFY_SOCKET", path, 1);
        assert_true(systemd_notify("READY=1") < 0);
        fd = receiver(path);
        assert_int_equal(systemd_notify("READY=1\nSTATUS=x"), 1);
        expect(fd, "READY=1\nSTATUS=x", 16);
        close(fd);
        snprintf(name, sizeof name, "@iicpd-test-%d", (int) getpid());
        setenv("NOTIFY_SOCKET", name, 1);
        fd = receiver(name);
        assert_int_equal(systemd_notify("STOPPING=1"), 1);
        expect(fd, "STOPPING=1", 10);
        close(fd);
        unsetenv("NOTIFY_SOCKET");
}

static void the_watchdog_is_ours(void **state) {
        char pid[24];

        (void) state;
        setenv("NOTIFY_SOCKET", path, 1); /* there is a manager */
        unsetenv("WATCHDOG_PID");
        unsetenv("WATCHDOG_USEC");
        assert_int_equal(systemd_watchdog_us(), 0);
        setenv("WATCHDOG_USEC", "30000000", 1);
        assert_int_equal(systemd_watchdog_us(), 30000000);
        setenv("WATCHDOG_PID", "1", 1);
        assert_int_equal(systemd_watchdog_us(), 0);
        snprintf(pid, sizeof pid, "%d", (int) getpid());
        setenv("WATCHDOG_PID", pid, 1);
        assert_int_equal(systemd_watchdog_us(), 30000000);
        setenv("WATCHDOG_USEC", "30s", 1);
        assert_int_equal(systemd_watchdog_us(), 0);
        unsetenv("WATCHDOG_PID");
        unsetenv("WATCHDOG_USEC");
        unsetenv("NOTIFY_SOCKET");
}

static void the_passed_socket_is_found(void **state) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int local = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
        int old[2] = {dup(3), dup(4)};
        char pid[24];

        (void) state;
        snprintf(pid, sizeof pid, "%d", (int) getpid());
        assert_int_equal(bind(fd, (struct sockaddr *) &a, sizeof a), 0);
        fd = fcntl(fd, F_DUPFD, 20);
        local = fcntl(local, F_DUPFD, 20);
        dup2(local, 3);
        dup2(fd, 4);
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "2", 1);
        assert_int_equal(systemd_passed_socket(NULL), -1); /* it does not listen */
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(systemd_passed_socket(NULL), 4);
        assert_int_equal(systemd_passed_socket("relay"), -1); /* without a name it is the task port */
        setenv("LISTEN_FDNAMES", "iicpd.socket:relay", 1);
        assert_int_equal(systemd_passed_socket("relay"), 4);
        assert_int_equal(systemd_passed_socket("native"), -1);
        assert_int_equal(systemd_passed_socket(NULL), -1);
        setenv("LISTEN_FDNAMES", "native:iicpd@b.socket", 1);
        assert_int_equal(systemd_passed_socket(NULL), 4);
        unsetenv("LISTEN_FDNAMES");
        assert_true(fcntl(4, F_GETFD) & FD_CLOEXEC);
        setenv("LISTEN_FDS", "1", 1);
        assert_int_equal(systemd_passed_socket(NULL), -1);
        setenv("LISTEN_FDS", "2", 1);
        setenv("LISTEN_PID", "1", 1);
        assert_int_equal(systemd_passed_socket(NULL), -1);
        unsetenv("LISTEN_PID");
        unsetenv("LISTEN_FDS");
        close(fd);
        close(local);
        for (int i = 0; i < 2; i++) {
                if (old[i] >= 0) {
                        dup2(old[i], 3 + i);
                        close(old[i]);
                } else
                        close(3 + i);
        }
}

static int make_folder(void **state) {
        (void) state;
        int r = mkdtemp(strcpy(folder, "/tmp/iicpd-test-XXXXXX")) ? 0 : -1;

        snprintf(path, sizeof path, "%s/socket", folder);
        return r;
}

static int drop_folder(void **state) {
        (void) state;
        unlink(path);
        return rmdir(folder);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(notifications_go_to_the_socket),
                cmocka_unit_test(the_watchdog_is_ours),
                cmocka_unit_test(the_passed_socket_is_found),
        };

        return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
