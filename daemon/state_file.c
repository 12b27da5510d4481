/* SPDX-License-Identifier: Apache-2.0 */
#include "state_file.h"

#include "state.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static int check_owner(const struct stat *st, mode_t kind, const char *name, char *why, size_t cap) {
        if ((st->st_mode & S_IFMT) != kind) {
                snprintf(why, cap, "%s is not a %s", name, kind == S_IFDIR ? "directory" : "regular file");
                return -EPERM;
        }
        if (st->st_uid != geteuid()) {
                snprintf(why, cap, "%s belongs to uid %u, not to uid %u who runs iicpd: chown %u %s", name, st->st_uid,
                         geteuid(), geteuid(), name);
                return -EPERM;
        }
        if (st->st_mode & 077) {
                snprintf(why, cap, "%s has mode %04o and may be read by others: chmod %s %s", name,
                         st->st_mode & 07777, kind == S_IFDIR ? "0700" : "0600", name);
                return -EPERM;
        }
        return 0;
}

/* Parents are made too, with the usual mode; the last one is ours alone. */
static int make_path(int parent_fd, const char *path) {
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *p = copy + 1; (p = strchr(p, '/')); *p++ = '/') {
                *p = '\0';
                if (mkdirat(parent_fd, copy, 0755) < 0 && errno != EEXIST)
                        return -errno;
        }
        return mkdirat(parent_fd, copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int state_dir_open(int parent_fd, const char *path, int *ret_fd, char *why, size_t cap) {
        _cleanup_close_ int fd = -1;
        struct stat st;
        int r = make_path(parent_fd, path);

        if (r < 0) {
                snprintf(why, cap, "cannot make %s: %s", path, strerror(-r));
                return r;
        }
        fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0) {
                r = -errno;
                snprintf(why, cap, "cannot open %s: %s", path, strerror(-r));
                return r;
        }
        r = check_owner(&st, S_IFDIR, path, why, cap);
        if (r < 0)
                return r;
        *ret_fd = fd;
        fd = -1;
        return 0;
}

static int read_all(int fd, struct iicp_buf *ret) {
        for (;;) {
                char *p = iicp_buf_reserve(ret, 4096);
                ssize_t n;

                if (!p)
                        return ret->error == -E2BIG ? -EFBIG : ret->error;
                n = read(fd, p, 4096);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                ret->n += (size_t) n;
        }
        if (ret->p)
                ret->p[ret->n] = '\0';
        return ret->n > STATE_FILE_MAX ? -EFBIG : 0;
}

int state_file_read(int dir_fd, const char *name, struct iicp_buf *ret, char *why, size_t cap) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0 && errno == ENOENT)
                return -ENOENT;
        if (fd < 0 || fstat(fd, &st) < 0) {
                r = -errno;
                snprintf(why, cap, "cannot open %s: %s", name, strerror(-r));
                return r == -ELOOP ? -EPERM : r;
        }
        r = check_owner(&st, S_IFREG, name, why, cap);
        if (r < 0)
                return r;
        ret->max = STATE_FILE_MAX + 4096;
        r = read_all(fd, ret);
        if (r < 0)
                snprintf(why, cap, "cannot read %s: %s", name, strerror(-r));
        return r;
}

int state_file_aside(int dir_fd, const char *name, const char *tag, int64_t now_s) {
        char aside[128];

        snprintf(aside, sizeof(aside), "%s.%s-%lld", name, tag, (long long) now_s);
        return renameat(dir_fd, name, dir_fd, aside) < 0 ? -errno : 0;
}

static int write_all(int fd, struct iicp_str bytes) {
        while (bytes.n > 0) {
                ssize_t n = write(fd, bytes.p, bytes.n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                bytes.p += n;
                bytes.n -= (size_t) n;
        }
        return 0;
}

int state_write_file(int dir_fd, const char *name, struct iicp_str bytes) {
        _cleanup_close_ int fd = -1;
        char temp[128];
        int r;

        if (snprintf(temp, sizeof(temp), ".%s.new", name) >= (int) sizeof(temp))
                return -ENAMETOOLONG;
        state_write_point(name, "begin");
        /* A left-over of a crash; whoever holds the lock is the only writer. */
        unlinkat(dir_fd, temp, 0);
        fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        state_write_point(name, "created");
        r = write_all(fd, bytes);
        state_write_point(name, "written");
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        state_write_point(name, "synced");
        if (r == 0 && renameat(dir_fd, temp, dir_fd, name) < 0)
                r = -errno;
        if (r < 0) {
                unlinkat(dir_fd, temp, 0);
                return r;
        }
        state_write_point(name, "renamed");
        if (fsync(dir_fd) < 0)
                return -errno;
        state_write_point(name, "done");
        return 0;
}

bool state_dir_vanishes(const char *path) {
        struct stat here, root;
        struct statfs fs;

        if (stat(path, &here) < 0 || stat("/", &root) < 0)
                return false;
        return here.st_dev == root.st_dev || (statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC);
}

int state_lock(int dir_fd, int *ret_fd, long *ret_pid) {
        _cleanup_close_ int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        char text[24] = "";

        *ret_pid = 0;
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                if (pread(fd, text, sizeof(text) - 1, 0) > 0)
                        *ret_pid = strtol(text, NULL, 10);
                return -EBUSY;
        }
        snprintf(text, sizeof(text), "%ld\n", (long) getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0)
                return -errno;
        *ret_fd = fd;
        fd = -1;
        return 0;
}
