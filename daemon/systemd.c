/* SPDX-License-Identifier: Apache-2.0 */
#include "systemd.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PASSED_MAX 64

/* Paths, and "@name" for the abstract ones. */
static int send_to(const char *path, const struct iovec *v, size_t n) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        struct msghdr m = {.msg_iov = (struct iovec *) v, .msg_iovlen = n, .msg_name = &a};
        size_t length = strlen(path);
        _cleanup_close_ int fd = -1;

        if ((path[0] != '/' && path[0] != '@') || length < 2 || length >= sizeof a.sun_path)
                return -EINVAL;
        memcpy(a.sun_path, path, length);
        if (path[0] == '@')
                a.sun_path[0] = 0;
        m.msg_namelen = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || sendmsg(fd, &m, MSG_NOSIGNAL) < 0)
                return -errno;
        return 0;
}

int systemd_notify(const char *text) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct iovec v = {(char *) text, strlen(text)};
        int r;

        if (!path || !*path)
                return 0;
        r = send_to(path, &v, 1);
        return r < 0 ? r : 1;
}

static bool number(const char *name, uint64_t *ret) {
        const char *text = getenv(name);
        char *end;

        if (!text || *text < '0' || *text > '9')
                return false;
        errno = 0;
        *ret = strtoull(text, &end, 10);
        return errno == 0 && *end == 0;
}

uint64_t systemd_watchdog_us(void) {
        uint64_t us, pid;

        if (getenv("WATCHDOG_PID") && (!number("WATCHDOG_PID", &pid) || pid != (uint64_t) getpid()))
                return 0;
        return number("WATCHDOG_USEC", &us) ? us : 0;
}

static bool is_listening(int fd) {
        int type = 0, accepts = 0, domain = AF_UNIX;
        socklen_t n = sizeof(int);

        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
               getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &n) == 0 && accepts &&
               getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain != AF_UNIX;
}

int systemd_passed_socket(void) {
        uint64_t pid, n;
        int found = -1;

        if (!number("LISTEN_PID", &pid) || pid != (uint64_t) getpid() || !number("LISTEN_FDS", &n))
                return -1;
        for (int fd = SYSTEMD_LISTEN_FDS_START; fd < SYSTEMD_LISTEN_FDS_START + (int) MIN(n, (uint64_t) PASSED_MAX); fd++) {
                int flags = fcntl(fd, F_GETFD);

                if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
                        continue;
                if (found < 0 && is_listening(fd))
                        found = fd;
        }
        return found;
}

/* A value with a line end is told with its length, little-endian; the others as they are. */
int systemd_journal_send(const char *socket_path, const struct iovec *fields, unsigned n) {
        struct iovec v[SYSTEMD_JOURNAL_FIELDS_MAX * 5];
        unsigned char lengths[SYSTEMD_JOURNAL_FIELDS_MAX][8];
        size_t used = 0;

        if (n > SYSTEMD_JOURNAL_FIELDS_MAX)
                return -E2BIG;
        for (unsigned i = 0; i < n; i++) {
                char *p = fields[i].iov_base, *value = memchr(p, '=', fields[i].iov_len);
                size_t value_n;

                if (!value)
                        return -EINVAL;
                value_n = fields[i].iov_len - (size_t) (++value - p);
                if (memchr(value, '\n', value_n)) {
                        for (unsigned k = 0; k < 8; k++)
                                lengths[i][k] = (unsigned char) ((uint64_t) value_n >> (8 * k));
                        v[used++] = (struct iovec){p, (size_t) (value - p) - 1};
                        v[used++] = (struct iovec){(char *) "\n", 1};
                        v[used++] = (struct iovec){lengths[i], 8};
                        v[used++] = (struct iovec){value, value_n};
                } else
                        v[used++] = fields[i];
                v[used++] = (struct iovec){(char *) "\n", 1};
        }
        return send_to(socket_path, v, used);
}
