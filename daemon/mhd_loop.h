/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_MHD_LOOP_H
#define IICPD_MHD_LOOP_H

/* A libmicrohttpd daemon in external epoll mode as one event and one timer of the loop. Start the
 * daemon with MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET and, where connections are suspended,
 * MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME; connections come by MHD_add_connection. */

#include "loop.h"

#include <microhttpd.h>

struct mhd_loop {
        struct MHD_Daemon *daemon;
        struct event readable;
        struct timer timer;
        bool made;
};

/* Does not take the daemon over: stop it after mhd_loop_done. -EIO. */
int mhd_loop_init(struct mhd_loop *m, struct loop *l, struct MHD_Daemon *daemon);
/* A connection was added or resumed: let the daemon look at it in this turn of the loop. */
void mhd_loop_kick(struct mhd_loop *m);
void mhd_loop_done(struct mhd_loop *m);

#endif
