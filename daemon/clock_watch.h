/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CLOCK_WATCH_H
#define IICPD_CLOCK_WATCH_H

/* Notices that the machine slept, that somebody set the clock, and that the clock cannot be right.
 * Everything runs on the loop. [04 section 13.1; 05 section 7] */

#include "clock.h"
#include "loop.h"

#include <iicp/buf.h>

#define CLOCK_LOOK_MS 5000u         /* between two looks */
#define CLOCK_SLEPT_MS 10000u       /* growth of boot time against monotonic time */
#define CLOCK_STEP_S 60             /* of the wall clock */
#define CLOCK_STEP_SHOWN_MS 3600000u /* how long a step is shown */

struct clock_watch {
        const struct clock *clock;
        int64_t build_s;            /* no clock is right that says less */
        uint64_t asleep_ms;         /* boot time less monotonic time, at the last look */
        int64_t offset_s;           /* wall time less boot time, at the last look */
        uint64_t sleeps, slept_ms;  /* since the start */
        int64_t step_s;             /* the last one, 0 = none that is shown */
        uint64_t stepped_ms;        /* when, boot time */
        bool before_build;
        struct timer timer;
        void (*woke)(void *arg, uint64_t slept_ms);
        void (*looked)(void *arg);  /* after each look */
        void *arg;
};

/* Embedded by its owner. build_s 0 = unknown. */
void clock_watch_start(struct clock_watch *w, struct loop *l, const struct clock *c, int64_t build_s);
void clock_watch_stop(struct clock_watch *w);
void clock_watch_look(struct clock_watch *w);
/* "" while all is well, else one sentence for the operator. */
void clock_watch_sentence(const struct clock_watch *w, char *out, size_t cap);
/* {"state":"ok" | "stepped" | "before_build",...} */
void clock_watch_json(const struct clock_watch *w, struct iicp_buf *out);

#endif
