/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_internal.h"
#include "listener.h"
#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct http_linger {
        struct door_http *door;
        struct http_linger *prev, *next;
        struct event *ev;
        struct timer until;
        int fd;
        size_t left;
};

static void linger_end(struct http_linger *g) {
        struct door_http *d = g->door;

        *(g->prev ? &g->prev->next : &d->lingering) = g->next;
        if (g->next)
                g->next->prev = g->prev;
        timer_clear(&g->until);
        if (g->ev)
                event_free(g->ev);
        listener_closed(d->node->listener, g->fd);
        close(g->fd);
        free(g);
}

static void on_until(void *arg) {
        linger_end(arg);
}

static void on_rest(evutil_socket_t fd, short what, void *arg) {
        struct http_linger *g = arg;
        char dropped[8192];
        ssize_t n;

        (void) what;
        n = recv(fd, dropped, sizeof dropped, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0 || (size_t) n >= g->left) {
                linger_end(g);
                return;
        }
        g->left -= (size_t) n;
}

void http_linger_start(struct door_http *d, int fd) {
        struct http_linger *g = calloc(1, sizeof *g);

        if (g)
                g->ev = event_new(loop_base(d->node->loop), fd, EV_READ | EV_PERSIST, on_rest, g);
        if (!g || !g->ev || event_add(g->ev, NULL) < 0) {
                if (g && g->ev)
                        event_free(g->ev);
                free(g);
                listener_closed(d->node->listener, fd);
                close(fd);
                return;
        }
        shutdown(fd, SHUT_WR);
        g->door = d;
        g->fd = fd;
        g->left = HTTP_LINGER_BYTES;
        g->next = d->lingering;
        if (g->next)
                g->next->prev = g;
        d->lingering = g;
        timer_init(&g->until, d->node->loop, on_until, g);
        timer_set_ms(&g->until, HTTP_LINGER_MS);
}

void http_linger_free_all(struct door_http *d) {
        while (d->lingering)
                linger_end(d->lingering);
}
