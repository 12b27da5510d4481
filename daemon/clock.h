/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CLOCK_H
#define IICPD_CLOCK_H

/* The one source of time, replaceable by tests. Milliseconds unless the name says otherwise. */

#include <stdint.h>

struct clock {
        uint64_t (*mono_us)(void *arg);   /* CLOCK_MONOTONIC, microseconds */
        int64_t (*wall_s)(void *arg);     /* epoch seconds */
        uint64_t (*boot_us)(void *arg);   /* CLOCK_BOOTTIME, sleep included; NULL = as mono_us */
        void *arg;
};

extern const struct clock clock_system;

uint64_t clock_mono_us(const struct clock *c);
uint64_t clock_mono_ms(const struct clock *c);
/* Counts the time that the machine slept: for gaps that others see too. */
uint64_t clock_boot_ms(const struct clock *c);
int64_t clock_wall_s(const struct clock *c);
/* Minutes since midnight, local or UTC. */
unsigned clock_minute(const struct clock *c, int utc);
/* "YYYY-MM-DDThh:mm:ssZ" */
void clock_rfc3339(int64_t wall_s, char out[21]);

#endif
