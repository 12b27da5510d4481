/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/stat.h>

/* References to secrets: what they may look like, where they lead, what the file there must be. Texts
 * name the reference and never the value. [05 section 9] */

const char *environment_get(char *const *environ_, const char *name) {
        size_t n = strlen(name);

        for (char *const *p = environ_; p && *p; p++)
                /* an empty variable counts as not set */
                if (strncmp(*p, name, n) == 0 && (*p)[n] == '=' && (*p)[n + 1])
                        return *p + n + 1;
        return NULL;
}

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool is_name(const char *s, const char *allowed, size_t max) {
        size_t n = strlen(s);

        return n >= 1 && n <= max && strspn(s, allowed) == n;
}

bool secret_ref_valid(const char *ref) {
        if (strncmp(ref, "file:/", 6) == 0)
                return strlen(ref) < PATH_MAX;
        if (strncmp(ref, "credential:", 11) == 0)
                return is_name(ref + 11, ALNUM "._-", 64) && strcmp(ref + 11, ".") && strcmp(ref + 11, "..");
        if (strncmp(ref, "env:", 4) == 0)
                return is_name(ref + 4, ALNUM "_", 64);
        return false;
}

void secret_clear(struct secret *s) {
        if (s->value)
                OPENSSL_cleanse(s->value, s->n);
        free(s->value);
        free(s->ref);
        *s = (struct secret){0};
}

/* Takes the bytes, without trailing CR and LF. */
static bool take_value(struct secret *s, const char *p, size_t n, char *why, size_t why_cap) {
        char *v;

        while (n && (p[n - 1] == '\n' || p[n - 1] == '\r'))
                n--;
        if (!n || memchr(p, '\0', n)) {
                snprintf(why, why_cap, "%s is %s", s->ref, n ? "no text" : "empty");
                return false;
        }
        v = malloc(n + 1);
        if (!v) {
                snprintf(why, why_cap, "%s: no memory", s->ref);
                return false;
        }
        memcpy(v, p, n);
        v[n] = '\0';
        if (s->value)
                OPENSSL_cleanse(s->value, s->n);
        free(s->value);
        s->value = v;
        s->n = n;
        return true;
}

static bool owner_ok(uid_t uid) {
        return uid == geteuid() || uid == 0;
}

/* Others who may write there could put another file in its place. */
static bool parent_ok(const char *path, const char *ref, char *why, size_t why_cap) {
        char dir[PATH_MAX];
        char *slash;
        struct stat st;

        snprintf(dir, sizeof dir, "%s", path);
        slash = strrchr(dir, '/');
        if (slash == dir)
                slash++;
        if (slash)
                *slash = '\0';
        if (stat(dir, &st) < 0 || !owner_ok(st.st_uid) || (st.st_mode & 022)) {
                snprintf(why, why_cap, "%s: its folder may be written by others; chmod go-w %s", ref, dir);
                return false;
        }
        return true;
}

static bool read_file(struct secret *s, const char *path, mode_t forbidden, char *why, size_t why_cap) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;
        char *buf;
        size_t n = 0;
        bool ok;

        if (fd < 0 || fstat(fd, &st) < 0) {
                snprintf(why, why_cap, "%s cannot be read: %s", s->ref,
                         errno == ELOOP ? "it is a symbolic link" : strerror(errno));
                return false;
        }
        if (!S_ISREG(st.st_mode)) {
                snprintf(why, why_cap, "%s is no regular file", s->ref);
                return false;
        }
        if (!owner_ok(st.st_uid)) {
                snprintf(why, why_cap, "%s belongs to another user (uid %u)", s->ref, (unsigned) st.st_uid);
                return false;
        }
        if (st.st_mode & forbidden) {
                snprintf(why, why_cap, "%s may be read by others (mode %04o); chmod 0600 %s", s->ref,
                         (unsigned) (st.st_mode & 07777), path);
                return false;
        }
        if (st.st_size > CONFIG_SECRET_MAX) {
                snprintf(why, why_cap, "%s is larger than %d bytes", s->ref, CONFIG_SECRET_MAX);
                return false;
        }
        buf = malloc(CONFIG_SECRET_MAX + 1);
        if (!buf) {
                snprintf(why, why_cap, "%s: no memory", s->ref);
                return false;
        }
        for (ssize_t r; n <= CONFIG_SECRET_MAX && (r = read(fd, buf + n, CONFIG_SECRET_MAX + 1 - n)) > 0;)
                n += (size_t) r;
        if (n > CONFIG_SECRET_MAX) {
                snprintf(why, why_cap, "%s is larger than %d bytes", s->ref, CONFIG_SECRET_MAX);
                ok = false;
        } else {
                ok = take_value(s, buf, n, why, why_cap);
        }
        OPENSSL_cleanse(buf, CONFIG_SECRET_MAX + 1);
        free(buf);
        return ok;
}

bool secret_resolve(struct secret *s, char *const *environ_, char *why, size_t why_cap) {
        const char *dir, *text;
        char path[PATH_MAX];

        if (strncmp(s->ref, "file:", 5) == 0)
                return parent_ok(s->ref + 5, s->ref, why, why_cap) &&
                       read_file(s, s->ref + 5, 077, why, why_cap);
        if (strncmp(s->ref, "env:", 4) == 0) {
                text = environment_get(environ_, s->ref + 4);
                if (!text) {
                        snprintf(why, why_cap, "%s is not set", s->ref);
                        return false;
                }
                return take_value(s, text, strlen(text), why, why_cap);
        }
        dir = environment_get(environ_, "CREDENTIALS_DIRECTORY");
        if (!dir || snprintf(path, sizeof path, "%s/%s", dir, s->ref + 11) >= (int) sizeof path) {
                snprintf(why, why_cap, "%s: the service manager passed no credentials; LoadCredential= in the unit", s->ref);
                return false;
        }
        /* systemd may show 0440 with an ACL */
        return read_file(s, path, 027, why, why_cap);
}
