/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_NODE_LIFE_H
#define IICPD_NODE_LIFE_H

/* How a node ends or pauses: signals, draining, stopping. Private to node*.c. */

#include "daily.h"
#include "node.h"

#define STOP_FLUSH_MS 1000u /* for answers that are on their way to callers when all tasks are done */
#define READY_LOOK_MS 100u  /* how often "ready" is looked for until it is said */
#define MINUTE_MS 60000u

struct node_life {
        struct node *node;
        struct event *term, *intr, *hup;
        struct timer drain;   /* limits.drain is over */
        struct timer flush;   /* stop: answers are out */
        struct timer look;    /* ready? */
        struct timer minute;  /* housekeeping */
        struct daily daily;
        bool ready_said;
        bool routes_closed;   /* stop: routers have closed what was open for us, or had their time */
        bool directory_told;  /* stop: the last beat is sent or given up */
        bool idle_said;       /* drain: its end is logged */
        bool flushing;
        unsigned running_at_stop, aborted;
        uint64_t began_ms;
};

int node_life_new(struct node *n);
void node_life_free(struct node *n);
/* Clock, sleep and addresses (node_watch.c). */
void node_watch_start(struct node *n);
void node_watch_stop(struct node *n);
/* Finds out which endpoint to advertise; says once why there is none. */
void node_endpoint_find(struct node *n);
/* The name in node.public_endpoint has been looked up; arg: the node. */
void node_endpoint_named(void *arg);

#endif
