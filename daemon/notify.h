/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_NOTIFY_H
#define IICPD_NOTIFY_H

/* sd_notify and the watchdog. The pulse comes from a timer of the main loop and from nothing else;
 * it is withheld as soon as liveness is not live. [02 section 13.2] */

#include <stdint.h>

struct node;
struct notify;

struct notify *notify_new(struct node *node);  /* also when there is nobody to notify */
struct notify *notify_free(struct notify *n);
void notify_reloading(struct notify *n);
void notify_reloaded(struct notify *n);
void notify_stopping(struct notify *n);

/* How long ago the tick of the main loop ran, milliseconds; at the tick itself, how long it had been
 * away before. */
uint64_t notify_loop_age_ms(const struct notify *n);
/* Ticks so far: progress of the main loop. */
uint64_t notify_ticks(const struct notify *n);

#endif
