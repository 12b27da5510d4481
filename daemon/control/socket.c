/* SPDX-License-Identifier: Apache-2.0 */
#include "control/server.h"

#include "log.h"
#include "util.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>

/* The local file first: it is where packages put the group, and asking the name service loads 0.6 MB
 * that stay. */
static bool local_group(const char *name, gid_t *ret) {
        FILE *f = fopen("/etc/group", "re");
        const struct group *g;
        bool found = false;

        while (f && !found && (g = fgetgrent(f)))
                if (strcmp(g->gr_name, name) == 0) {
                        *ret = g->gr_gid;
                        found = true;
                }
        if (f)
                fclose(f);
        return found;
}

/* The group that may use the socket: configured, else `iicp` where it exists; -1 = nobody else. */
static int socket_group(const struct config *conf, gid_t *ret, char *why, size_t cap) {
        const char *name = conf->control_group ? conf->control_group : "iicp";
        struct group gr, *found = NULL;
        char buf[4096];

        if (local_group(name, ret))
                return 0;
        if (conf->control_group && getgrnam_r(name, &gr, buf, sizeof(buf), &found) == 0 && found) {
                *ret = gr.gr_gid;
                return 0;
        }
        if (conf->control_group) {
                snprintf(why, cap, "control.group '%s' is no group of this system", name);
                return -ENOENT;
        }
        *ret = (gid_t) -1;
        return 0;
}

/* 0660 when the socket is the group's. The unit's system call filter has no chown; the daemon's own
 * group needs none. */
static mode_t give_to_group(const char *path, const struct config *conf, gid_t group) {
        struct stat st;

        if (group == (gid_t) -1)
                return 0600;
        if (stat(path, &st) == 0 && st.st_gid == group)
                return 0660;
        if (chown(path, (uid_t) -1, group) == 0)
                return 0660;
        if (conf->control_group)
                log_warn("control_group", "%s stays with its owner alone: it cannot be given to group '%s': %s",
                         path, conf->control_group, strerror(errno));
        return 0600;
}

/* The mode of a socket for everybody is theirs whatever group there is. */
static int set_mode(struct control_socket *s, const struct config *conf, gid_t group) {
        mode_t mode = s->open ? 0666 : give_to_group(s->path, conf, group);

        return chmod(s->path, mode) < 0 ? -errno : 0;
}

int control_bind(struct control_socket *s, const struct config *conf, const char *path, char *why, size_t cap) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        mode_t mask;
        gid_t group;
        int r;

        if (strlen(path) >= sizeof(addr.sun_path)) {
                snprintf(why, cap, "control.socket is longer than %zu bytes", sizeof(addr.sun_path) - 1);
                return -ENAMETOOLONG;
        }
        strcpy(addr.sun_path, path);
        r = socket_group(conf, &group, why, cap);
        if (r < 0)
                return r;
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (s->fd < 0)
                return -errno;
        /* A stale file may go: whoever holds the state lock is the only instance. */
        unlink(addr.sun_path);
        /* The mask keeps others out between bind and chmod. */
        mask = umask(0077);
        r = bind(s->fd, (struct sockaddr *) &addr, sizeof(addr)) < 0 ? -errno : 0;
        umask(mask);
        if (r == 0)
                strcpy(s->path, addr.sun_path);
        if (r == 0)
                r = set_mode(s, conf, group);
        if (r == 0 && listen(s->fd, CONTROL_BACKLOG) < 0)
                r = -errno;
        if (r < 0)
                snprintf(why, cap, "cannot make the control socket %s: %s", addr.sun_path, strerror(-r));
        return r;
}

void control_unbind(struct control_socket *s) {
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
        if (s->path[0])
                unlink(s->path);
        s->path[0] = '\0';
}
