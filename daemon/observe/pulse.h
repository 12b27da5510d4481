/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_PULSE_H
#define IICPD_PULSE_H

/* How well the main loop turns: a timer of one second, how late it came, and how much of the time the
 * thread computed. [operator design 11] */

#include "loop.h"

#define PULSE_EVERY_MS 1000
#define PULSE_BUCKETS 8
extern const unsigned pulse_bound_ms[PULSE_BUCKETS];

struct clock;
struct pulse {
        const struct clock *clock;
        struct timer timer;
        uint64_t due_ms, cpu_us, looked_ms;
        uint64_t buckets[PULSE_BUCKETS]; /* late by at most so much; not cumulated */
        uint64_t beyond, count, sum_ms, worst_ms;
        double busy;                     /* 0..1, of about the last minute */
};

/* Embedded by its owner. */
void pulse_start(struct pulse *p, struct loop *l, const struct clock *c);
void pulse_stop(struct pulse *p);
/* One look: late_ms behind its time; cpu_us of passed_ms were computed. */
void pulse_note(struct pulse *p, uint64_t late_ms, uint64_t cpu_us, uint64_t passed_ms);

#endif
