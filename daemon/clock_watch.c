/* SPDX-License-Identifier: Apache-2.0 */
#include "clock_watch.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t asleep_ms(const struct clock *c) {
        uint64_t boot = clock_boot_ms(c), mono = clock_mono_ms(c);

        return boot > mono ? boot - mono : 0;
}

static int64_t offset_s(const struct clock *c) {
        return clock_wall_s(c) - (int64_t) (clock_boot_ms(c) / 1000);
}

static void look_at_sleep(struct clock_watch *w) {
        uint64_t now = asleep_ms(w->clock), slept = now > w->asleep_ms ? now - w->asleep_ms : 0;

        w->asleep_ms = now;
        if (slept <= CLOCK_SLEPT_MS)
                return;
        w->sleeps++;
        w->slept_ms += slept;
        log_notice("woke", "the machine slept for %llu s: telling the directory, then looking at the way in",
                   (unsigned long long) slept / 1000);
        if (w->woke)
                w->woke(w->arg, slept);
}

/* Boot time goes on while the machine sleeps, so that what remains is a clock that somebody set. */
static void look_for_step(struct clock_watch *w) {
        int64_t now = offset_s(w->clock), step = now - w->offset_s;

        w->offset_s = now;
        if (w->step_s != 0 && clock_boot_ms(w->clock) - w->stepped_ms > CLOCK_STEP_SHOWN_MS)
                w->step_s = 0;
        if (llabs(step) <= CLOCK_STEP_S)
                return;
        w->step_s = step;
        w->stepped_ms = clock_boot_ms(w->clock);
        log_warn("clock_stepped", "the clock was set %s by %lld s: tokens and tickets are judged by the new time, "
                 "intervals are not touched", step < 0 ? "back" : "forward", llabs(step));
}

static void look_at_date(struct clock_watch *w) {
        bool before = clock_wall_s(w->clock) < w->build_s;
        char now[21];

        if (before && !w->before_build) {
                clock_rfc3339(clock_wall_s(w->clock), now);
                log_warn("clock_off", "the clock says %s, before this program was built: certificates, tokens and "
                         "tickets will be refused; timedatectl set-ntp true", now);
        } else if (!before && w->before_build) {
                log_notice("clock_ok", "the clock has a possible date again");
        }
        w->before_build = before;
}

void clock_watch_look(struct clock_watch *w) {
        look_at_sleep(w);
        look_for_step(w);
        look_at_date(w);
}

static void look(void *arg) {
        struct clock_watch *w = arg;

        timer_set_ms(&w->timer, CLOCK_LOOK_MS);
        clock_watch_look(w);
        if (w->looked)
                w->looked(w->arg);
}

void clock_watch_start(struct clock_watch *w, struct loop *l, const struct clock *c, int64_t build_s) {
        w->clock = c;
        w->build_s = build_s;
        w->asleep_ms = asleep_ms(c);
        w->offset_s = offset_s(c);
        timer_init(&w->timer, l, look, w);
        timer_set_ms(&w->timer, CLOCK_LOOK_MS);
        look_at_date(w);
}

void clock_watch_stop(struct clock_watch *w) {
        timer_clear(&w->timer);
}

void clock_watch_sentence(const struct clock_watch *w, char *out, size_t cap) {
        if (w->before_build)
                snprintf(out, cap, "the clock is wrong: before this program was built; timedatectl set-ntp true");
        else if (w->step_s != 0)
                snprintf(out, cap, "the clock was set %s by %lld s", w->step_s < 0 ? "back" : "forward", llabs(w->step_s));
        else
                out[0] = '\0';
}

void clock_watch_json(const struct clock_watch *w, struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"state\":\"%s\"", w->before_build ? "before_build" : w->step_s ? "stepped" : "ok");
        if (w->step_s != 0)
                iicp_buf_printf(out, ",\"step_s\":%lld,\"step_age_s\":%llu", (long long) w->step_s,
                                (unsigned long long) (clock_boot_ms(w->clock) - w->stepped_ms) / 1000);
        iicp_buf_printf(out, ",\"sleeps\":%llu,\"slept_s\":%llu}", (unsigned long long) w->sleeps,
                        (unsigned long long) w->slept_ms / 1000);
}
