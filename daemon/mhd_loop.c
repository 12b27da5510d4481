/* SPDX-License-Identifier: Apache-2.0 */
#include "mhd_loop.h"

#include <errno.h>

static void rearm(struct mhd_loop *m) {
        MHD_UNSIGNED_LONG_LONG wait_ms;

        if (MHD_get_timeout(m->daemon, &wait_ms) == MHD_YES)
                timer_set_ms(&m->timer, wait_ms);
        else
                timer_clear(&m->timer);
}

static void run(struct mhd_loop *m) {
        MHD_run(m->daemon);
        rearm(m);
}

static void on_ready(evutil_socket_t fd, short what, void *arg) {
        (void) fd;
        (void) what;
        run(arg);
}

static void on_time(void *arg) {
        run(arg);
}

int mhd_loop_init(struct mhd_loop *m, struct loop *l, struct MHD_Daemon *daemon) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);

        if (!info || info->epoll_fd < 0)
                return -EIO;
        m->daemon = daemon;
        timer_init(&m->timer, l, on_time, m);
        if (event_assign(&m->readable, loop_base(l), info->epoll_fd, EV_READ | EV_PERSIST, on_ready, m) < 0 ||
            event_add(&m->readable, NULL) < 0)
                return -EIO;
        m->made = true;
        return 0;
}

void mhd_loop_kick(struct mhd_loop *m) {
        timer_set_ms(&m->timer, 0);
}

void mhd_loop_done(struct mhd_loop *m) {
        if (!m->made)
                return;
        event_del(&m->readable);
        timer_clear(&m->timer);
        m->made = false;
}
