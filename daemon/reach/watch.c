/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include "log.h"
#include "util.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* Announcements of the kernel only say "look again": what counts is read whole, on the helper
 * thread, once the network has come to rest. */

#define GROUPS (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)
#define ANNOUNCEMENT_BYTES 16384
#define AT_ONCE 64u /* announcements a turn of the loop */

struct reach_watch {
        struct loop *loop;
        void (*changed)(void *arg);
        void *arg;
        int fd;
        struct event *readable;
        struct timer quiet;
        struct timer unrest;        /* not armed: no change is waited for */
        struct look *look;          /* under way */
        bool again;                 /* something changed meanwhile */
        struct reach_facts facts;
        bool known;
};

struct look {
        struct reach_watch *watch;  /* NULL: its owner is gone */
        struct reach_facts facts;
        int result;
};

static void look_work(void *arg) {
        struct look *l = arg;

        l->result = reach_facts_collect(&l->facts);
}

static void look_now(struct reach_watch *w);

static void take(struct reach_watch *w, struct reach_facts *facts) {
        bool told = w->known && !reach_facts_same(&w->facts, facts);

        reach_facts_free(&w->facts);
        w->facts = *facts;
        *facts = (struct reach_facts){0};
        w->known = true;
        if (told)
                w->changed(w->arg);
}

static void look_done(void *arg) {
        struct look *l = arg;
        struct reach_watch *w = l->watch;

        if (w) {
                w->look = NULL;
                if (l->result < 0)
                        log_warn("network_unknown", "the kernel does not tell addresses and routes (%s): their changes "
                                 "are seen late", strerror(-l->result));
                else
                        take(w, &l->facts);
                if (w->again) {
                        w->again = false;
                        look_now(w);
                }
        }
        reach_facts_free(&l->facts);
        free(l);
}

static void look_now(struct reach_watch *w) {
        timer_clear(&w->quiet);
        timer_clear(&w->unrest);
        if (w->look) {
                w->again = true;
                return;
        }
        w->look = calloc(1, sizeof *w->look);
        if (!w->look)
                return;
        w->look->watch = w;
        if (loop_block(w->loop, look_work, look_done, w->look) < 0) {
                free(w->look);
                w->look = NULL;
        }
}

static void at_rest(void *arg) {
        look_now(arg);
}

static void something_changed(struct reach_watch *w) {
        timer_set_ms(&w->quiet, FACTS_QUIET_MS);
        if (!timer_armed(&w->unrest))
                timer_set_ms(&w->unrest, FACTS_UNREST_MS);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
        struct reach_watch *w = arg;
        union {
                char bytes[ANNOUNCEMENT_BYTES];
                struct nlmsghdr align;
        } buffer;
        bool concerned = false;

        (void) what;
        for (unsigned i = 0; i < AT_ONCE; i++) {
                struct sockaddr_nl from = {0};
                socklen_t length = sizeof from;
                ssize_t n = recvfrom(fd, &buffer, sizeof buffer, 0, (struct sockaddr *) &from, &length);

                if (n < 0 && errno == ENOBUFS)
                        concerned = true; /* some were lost */
                else if (n < 0)
                        break;
                else if (from.nl_pid == 0)
                        concerned |= reach_facts_concerned(&buffer, (size_t) n);
        }
        if (concerned)
                something_changed(w);
}

static int subscribe(struct reach_watch *w) {
        struct sockaddr_nl us = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};

        w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
        if (w->fd < 0 || bind(w->fd, (struct sockaddr *) &us, sizeof us) < 0)
                return -errno;
        w->readable = event_new(loop_base(w->loop), w->fd, EV_READ | EV_PERSIST, on_readable, w);
        return w->readable && event_add(w->readable, NULL) == 0 ? 0 : -ENOMEM;
}

int reach_watch_new(struct loop *l, void (*changed)(void *arg), void *arg, struct reach_watch **ret) {
        struct reach_watch *w = calloc(1, sizeof *w);
        int r;

        if (!w)
                return -ENOMEM;
        *w = (struct reach_watch){.loop = l, .changed = changed, .arg = arg, .fd = -1};
        timer_init(&w->quiet, l, at_rest, w);
        timer_init(&w->unrest, l, at_rest, w);
        r = subscribe(w);
        if (r < 0) {
                reach_watch_free(w);
                return r;
        }
        look_now(w);
        *ret = w;
        return 0;
}

struct reach_watch *reach_watch_free(struct reach_watch *w) {
        if (!w)
                return NULL;
        if (w->look)
                w->look->watch = NULL;
        timer_clear(&w->quiet);
        timer_clear(&w->unrest);
        if (w->readable)
                event_free(w->readable);
        if (w->fd >= 0)
                close(w->fd);
        reach_facts_free(&w->facts);
        free(w);
        return NULL;
}

const struct reach_facts *reach_watch_facts(const struct reach_watch *w) {
        return w && w->known ? &w->facts : NULL;
}
