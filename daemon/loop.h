/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LOOP_H
#define IICPD_LOOP_H

/* The one serving thread: a libevent base, and helper threads for what can only block. */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void);
struct loop *loop_free(struct loop *l);
struct event_base *loop_base(struct loop *l);
/* Returns the exit status that was given to loop_stop. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int status);

/* One-shot timers that their owner embeds. Setting an armed timer moves it. */
struct timer {
        struct event ev;
        void (*fn)(void *arg);
        void *arg;
        bool made;
};
void timer_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg);
void timer_set_ms(struct timer *t, uint64_t delay_ms);
void timer_clear(struct timer *t);
bool timer_armed(const struct timer *t);

/* Runs fn once, from the loop, after the current callback has returned. */
void loop_defer(struct loop *l, void (*fn)(void *arg), void *arg);

/* The helper threads: state files must not wait until a router answers, nor it for a name. */
enum loop_helper { LOOP_FILES, LOOP_ROUTERS, LOOP_NAMES, LOOP_HELPERS_ };

/* A job for a helper thread: work() runs there and shares nothing but *arg; done() runs on the loop
 * afterwards. Jobs of one helper run in order. -ENOMEM;
 * -ESHUTDOWN behind the end. loop_block: for LOOP_FILES. */
int loop_block(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);
int loop_block_on(struct loop *l, enum loop_helper helper, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* At the end of the process, while the owners of jobs and deferred calls still live: waits for the
 * helper threads, runs what is outstanding. For routers not longer than LOOP_ROUTERS_END_S: what is
 * left of their jobs then ends with done() as if it had been made, and nothing new is taken. loop_free
 * drops what comes after it. */
#define LOOP_ROUTERS_END_S 1
void loop_settle(struct loop *l);

#endif
