/* SPDX-License-Identifier: Apache-2.0 */
#include "pulse.h"

#include "clock.h"
#include "util.h"

#include <sys/resource.h>

#define BUSY_OF 60.0 /* seconds that the ratio looks back on */

const unsigned pulse_bound_ms[PULSE_BUCKETS] = {1, 5, 10, 25, 100, 250, 1000, 5000};

static uint64_t cpu_us(void) {
        struct rusage u = {0};

        getrusage(RUSAGE_THREAD, &u);
        return (uint64_t) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000u +
               (uint64_t) (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

void pulse_note(struct pulse *p, uint64_t late_ms, uint64_t used_us, uint64_t passed_ms) {
        double share = passed_ms ? MIN(1.0, (double) used_us / 1000 / (double) passed_ms) : 0;
        double weight = MIN(1.0, (double) passed_ms / 1000 / BUSY_OF);
        size_t i = 0;

        while (i < PULSE_BUCKETS && late_ms > pulse_bound_ms[i])
                i++;
        if (i < PULSE_BUCKETS)
                p->buckets[i]++;
        else
                p->beyond++;
        p->count++;
        p->sum_ms += late_ms;
        p->worst_ms = MAX(p->worst_ms, late_ms);
        p->busy += (share - p->busy) * weight;
}

static void look(void *arg) {
        struct pulse *p = arg;
        uint64_t now = clock_mono_ms(p->clock), used = cpu_us();

        pulse_note(p, now > p->due_ms ? now - p->due_ms : 0, used - p->cpu_us, now - p->looked_ms);
        p->cpu_us = used;
        p->looked_ms = now;
        p->due_ms = now + PULSE_EVERY_MS;
        timer_set_ms(&p->timer, PULSE_EVERY_MS);
}

void pulse_start(struct pulse *p, struct loop *l, const struct clock *c) {
        *p = (struct pulse){.clock = c, .cpu_us = cpu_us(), .looked_ms = clock_mono_ms(c)};
        p->due_ms = p->looked_ms + PULSE_EVERY_MS;
        timer_init(&p->timer, l, look, p);
        timer_set_ms(&p->timer, PULSE_EVERY_MS);
}

void pulse_stop(struct pulse *p) {
        if (p->timer.made)
                timer_clear(&p->timer);
}
