/* SPDX-License-Identifier: Apache-2.0 */
#include "secret_io.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <termios.h>

#define PASSPHRASE_MAX 1024

void sdk_home(const char *name, char *out, size_t cap) {
        const char *home = getenv("IICP_HOME"), *user = getenv("HOME");

        if (home && *home)
                snprintf(out, cap, "%s/%s", home, name);
        else
                snprintf(out, cap, "%s/.iicp/%s", user && *user ? user : "", name);
}

static int read_fd(int fd, size_t max, struct iicp_buf *ret) {
        ret->secret = true;
        ret->max = max + 4096;
        for (;;) {
                char *p = iicp_buf_reserve(ret, 4096);
                ssize_t n;

                if (!p)
                        return ret->error == -E2BIG ? -EFBIG : ret->error;
                n = read(fd, p, 4096);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return ret->n > max ? -EFBIG : 0;
                ret->n += (size_t) n;
                ret->p[ret->n] = '\0';
        }
}

static int read_file(const char *path, bool secret, size_t max, struct iicp_buf *ret, char *why, size_t cap) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (secret ? O_NOFOLLOW : 0));
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0) {
                r = -errno;
                snprintf(why, cap, "%.150s cannot be read: %s", path, strerror(-r));
                return r;
        }
        if (!S_ISREG(st.st_mode)) {
                snprintf(why, cap, "%.150s is no regular file", path);
                return -EINVAL;
        }
        if (secret && ((st.st_mode & 077) || (st.st_uid != geteuid() && st.st_uid != 0))) {
                snprintf(why, cap, "%.150s may be read by others; chmod 0600 it", path);
                return -EPERM;
        }
        r = read_fd(fd, max, ret);
        if (r < 0)
                snprintf(why, cap, "%.150s cannot be read: %s", path, r == -EFBIG ? "too large" : strerror(-r));
        return r;
}

int secret_file_read(const char *path, size_t max, struct iicp_buf *ret, char *why, size_t cap) {
        return read_file(path, true, max, ret, why, cap);
}

int plain_file_read(const char *path, size_t max, struct iicp_buf *ret, char *why, size_t cap) {
        return read_file(path, false, max, ret, why, cap);
}

static int write_temp(const char *temp, struct iicp_str text) {
        _cleanup_close_ int fd = -1;

        unlink(temp);
        fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        while (text.n > 0) {
                ssize_t n = write(fd, text.p, text.n);

                if (n < 0)
                        return -errno;
                text.p += n;
                text.n -= (size_t) n;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

int secret_file_write(const char *path, struct iicp_str text, bool fresh, char *why, size_t cap) {
        char temp[4200], dir[4096];
        char *slash;
        int r;

        if (fresh && access(path, F_OK) == 0) {
                snprintf(why, cap, "%.150s is there already", path);
                return -EEXIST;
        }
        snprintf(dir, sizeof(dir), "%s", path);
        slash = strrchr(dir, '/');
        if (slash && slash > dir) {
                *slash = '\0';
                if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
                        r = -errno;
                        snprintf(why, cap, "%.150s cannot be made: %s", dir, strerror(-r));
                        return r;
                }
        }
        snprintf(temp, sizeof(temp), "%s.new", path);
        r = write_temp(temp, text);
        if (r == 0 && rename(temp, path) < 0)
                r = -errno;
        if (r < 0) {
                unlink(temp);
                snprintf(why, cap, "%.150s cannot be written: %s", path, strerror(-r));
        }
        return r;
}

static int from_terminal(const char *prompt, struct iicp_buf *ret) {
        _cleanup_close_ int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        struct termios before, quiet;
        char c;

        if (fd < 0 || tcgetattr(fd, &before) < 0)
                return -ENOTTY;
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t) ECHO;
        tcsetattr(fd, TCSAFLUSH, &quiet);
        if (write(fd, prompt, strlen(prompt)) > 0)
                while (read(fd, &c, 1) == 1 && c != '\n' && c != '\r')
                        iicp_buf_add(ret, &c, 1);
        tcsetattr(fd, TCSAFLUSH, &before);
        return write(fd, "\n", 1) == 1 && ret->n > 0 ? ret->error : -ENODATA;
}

int passphrase_read(const char *prompt, struct iicp_buf *ret) {
        const char *given = getenv("IICP_OPERATOR_PASSPHRASE");

        ret->secret = true;
        ret->max = PASSPHRASE_MAX;
        if (!given || !*given)
                return from_terminal(prompt, ret);
        iicp_buf_puts(ret, given);
        return ret->error;
}
