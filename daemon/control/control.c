/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "control/log_level.h"
#include "control/server.h"

#include "log.h"
#include "node.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

/* The server: two Unix sockets, one libmicrohttpd inside the loop. */

static void on_accept(evutil_socket_t fd, short what, void *arg) {
        struct control_socket *s = arg;
        struct sockaddr_un peer = {.sun_family = AF_UNIX};
        int accepted;

        (void) what;
        accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0)
                return;
        /* Takes the descriptor over, also when it refuses it (MHD closes it then). */
        MHD_add_connection(s->control->http, accepted, (struct sockaddr *) &peer, sizeof(peer));
        mhd_loop_kick(&s->control->loop);
}

static int start_accepting(struct control_socket *s) {
        if (event_assign(&s->accept, loop_base(s->control->node->loop), s->fd, EV_READ | EV_PERSIST, on_accept, s) < 0 ||
            event_add(&s->accept, NULL) < 0)
                return -ENOMEM;
        return 0;
}

/* The second socket, beside the first: for monitoring users who belong to no group. */
static int open_status(struct control *c, char *why, size_t cap) {
        const char *own = c->node->config->control_socket, *slash = strrchr(own, '/');
        char path[sizeof(c->status.path)];
        int n;

        if (!c->node->config->control_status_socket)
                return 0;
        n = snprintf(path, sizeof(path), "%.*s/status.sock", slash ? (int) (slash - own) : 1, slash ? own : ".");
        if (n < 0 || (size_t) n >= sizeof(path)) {
                snprintf(why, cap, "the path of status.sock is longer than %zu bytes", sizeof(path) - 1);
                return -ENAMETOOLONG;
        }
        return control_bind(&c->status, c->node->config, path, why, cap);
}

static int serve(struct control *c) {
        int r;

        c->http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME,
                                   0, NULL, NULL, call_on_request, c, MHD_OPTION_NOTIFY_COMPLETED, call_on_completed, c,
                                   MHD_OPTION_CONNECTION_LIMIT, (unsigned) CONTROL_CONNECTIONS_MAX,
                                   MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) CONTROL_IDLE_S, MHD_OPTION_END);
        r = c->http ? mhd_loop_init(&c->loop, c->node->loop, c->http) : -EIO;
        if (r == 0)
                r = start_accepting(&c->own);
        if (r == 0 && c->status.fd >= 0)
                r = start_accepting(&c->status);
        return r;
}

int control_new(struct node *node, struct control **ret, char *why, unsigned long why_cap) {
        struct control *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->node = node;
        c->own = (struct control_socket){.control = c, .fd = -1};
        c->status = (struct control_socket){.control = c, .fd = -1, .open = true};
        c->log = log_override_new(node);
        r = c->log ? control_bind(&c->own, node->config, node->config->control_socket, why, why_cap) : -ENOMEM;
        if (r == 0)
                r = open_status(c, why, why_cap);
        if (r < 0)
                goto fail;
        r = serve(c);
        if (r == 0)
                r = streams_new(c);
        if (r < 0) {
                snprintf(why, why_cap, "cannot serve the control socket: %s", strerror(-r));
                goto fail;
        }
        *ret = c;
        return 0;
fail:
        control_free(c);
        return r;
}

struct control *control_free(struct control *c) {
        if (!c)
                return NULL;
        if (event_initialized(&c->own.accept))
                event_del(&c->own.accept);
        if (event_initialized(&c->status.accept))
                event_del(&c->status.accept);
        mhd_loop_done(&c->loop);
        /* A daemon must not be stopped with suspended connections. */
        c->closing = true;
        call_drop_all(c);
        streams_drop_all(c);
        if (c->http)
                MHD_stop_daemon(c->http);
        streams_free(c);
        log_override_free(c->log);
        control_unbind(&c->own);
        control_unbind(&c->status);
        free(c);
        return NULL;
}
