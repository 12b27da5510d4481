/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <iicp/base.h>
#include <stdio.h>
#include <time.h>

static uint64_t system_mono_us(void *arg) {
        struct timespec ts;

        (void) arg;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

static uint64_t system_boot_us(void *arg) {
        struct timespec ts;

        (void) arg;
        clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

static int64_t system_wall_s(void *arg) {
        (void) arg;
        return (int64_t) time(NULL);
}

const struct clock clock_system = {.mono_us = system_mono_us, .wall_s = system_wall_s, .boot_us = system_boot_us};

uint64_t clock_mono_us(const struct clock *c) {
        return c->mono_us(c->arg);
}

uint64_t clock_mono_ms(const struct clock *c) {
        return c->mono_us(c->arg) / 1000u;
}

uint64_t clock_boot_ms(const struct clock *c) {
        return c->boot_us ? c->boot_us(c->arg) / 1000u : clock_mono_ms(c);
}

int64_t clock_wall_s(const struct clock *c) {
        return c->wall_s(c->arg);
}

unsigned clock_minute(const struct clock *c, int utc) {
        time_t t = (time_t) c->wall_s(c->arg);
        struct tm tm;

        if (!(utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm)))
                return 0;
        return (unsigned) tm.tm_hour * 60u + (unsigned) tm.tm_min;
}

void clock_rfc3339(int64_t wall_s, char out[21]) {
        time_t t = (time_t) wall_s;
        struct tm tm;

        /* Years of more than four digits do not fit the format. */
        if (wall_s < -62135596800 || wall_s > 253402300799 || !gmtime_r(&t, &tm) ||
            strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm) != 20)
                memcpy(out, "0000-00-00T00:00:00Z", 21);
}
