/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <iicp/json.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#define FILE_MAX 4096              /* bytes of one of the files */

/* 0 where the file or the member is missing or is no time. */
static double read_time(const char *path, const char *member) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        char text[FILE_MAX];
        struct iicp_json doc, value;
        double t;
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

        if (n <= 0 || iicp_json_scan((struct iicp_str){text, (size_t) n}, NULL, NULL, &doc) < 0 ||
            doc.type != IICP_JSON_OBJECT)
                return 0;
        value = iicp_json_get(&doc, member);
        return iicp_json_double(&value, &t) == 0 && isfinite(t) ? t : 0;
}

static double left(const char *path, const char *member, double now_s) {
        double until = read_time(path, member), s = until - now_s;

        if (until <= 0)
                return 0;
        if (s <= 0 || s > PACE_WAIT_MAX_S) {
                unlink(path);
                return 0;
        }
        return s;
}

double pace_gate_left(const struct tunnel_pace *p, double now_s) {
        return left(p->gate, "quick_tunnel_create_not_before", now_s);
}

double pace_cooldown_left(const struct tunnel_pace *p, double now_s) {
        return left(p->cooldown, "quick_tunnel_rate_limited_until", now_s);
}

/* The folder of a file, which is the state directory's "state" unless it is configured. */
static void make_folder(const char *path) {
        char folder[FILE_MAX];
        const char *slash = strrchr(path, '/');

        if (slash && slash > path && (size_t) snprintf(folder, sizeof folder, "%.*s", (int) (slash - path), path) < sizeof folder)
                mkdir(folder, 0700);
}

static bool write_all(int fd, const char *text) {
        size_t n = strlen(text);

        return write(fd, text, n) == (ssize_t) n;
}

/* Others may read at any time: all of it or nothing. */
static void replace(const char *path, const char *text) {
        _cleanup_close_ int fd = -1;
        char temporary[FILE_MAX];

        make_folder(path);
        if (snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long) getpid()) >= (int) sizeof temporary)
                return;
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return;
        if (!write_all(fd, text) || rename(temporary, path) < 0)
                unlink(temporary);
}

/* O_EXCL decides between nodes. An expired lease, or one that nobody can read, is taken away once. */
static bool take_lease(const struct tunnel_pace *p, double now_s, double *ret_wait_s) {
        char text[256];

        snprintf(text, sizeof text,
                 "{\"expires_at\": %.3f, \"lease_s\": %.3f, \"pid\": %ld, \"reason\": \"host_wide_quick_tunnel_creation_lock\"}",
                 now_s + p->lease_s, p->lease_s, (long) getpid());
        make_folder(p->lock);
        for (int tries = 0; tries < 2; tries++) {
                _cleanup_close_ int fd = open(p->lock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
                double until;

                if (fd >= 0)
                        return write_all(fd, text) || true; /* a full disk only shortens the lease */
                if (errno != EEXIST)
                        return true; /* not writable: only our own timers are left */
                until = read_time(p->lock, "expires_at");
                if (until > now_s && until - now_s <= PACE_WAIT_MAX_S) {
                        *ret_wait_s = until - now_s;
                        return false;
                }
                unlink(p->lock);
        }
        *ret_wait_s = p->lease_s;
        return false;
}

enum pace_verdict pace_take(const struct tunnel_pace *p, double now_s, double *ret_wait_s) {
        char text[256];

        if ((*ret_wait_s = pace_cooldown_left(p, now_s)) > 0)
                return PACE_COOLDOWN;
        if ((*ret_wait_s = pace_gate_left(p, now_s)) > 0)
                return PACE_SPACING;
        if (!take_lease(p, now_s, ret_wait_s))
                return PACE_LEASED;
        /* Somebody may have gone through between the two looks. */
        if ((*ret_wait_s = pace_gate_left(p, now_s)) > 0) {
                pace_release(p);
                return PACE_SPACING;
        }
        snprintf(text, sizeof text,
                 "{\"interval_s\": %.3f, \"pid\": %ld, \"quick_tunnel_create_not_before\": %.3f, \"reason\": "
                 "\"host_wide_quick_tunnel_creation_pacing\"}",
                 p->spacing_s, (long) getpid(), now_s + p->spacing_s);
        replace(p->gate, text);
        return PACE_FREE;
}

void pace_release(const struct tunnel_pace *p) {
        unlink(p->lock);
}

void pace_limited(const struct tunnel_pace *p, double now_s) {
        char text[256];

        snprintf(text, sizeof text,
                 "{\"cooldown_s\": %.3f, \"quick_tunnel_rate_limited_until\": %.3f, \"reason\": "
                 "\"cloudflare_quick_tunnel_rate_limit\"}",
                 p->cooldown_s, now_s + p->cooldown_s);
        replace(p->cooldown, text);
}
