/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "log.h"
#include "util.h"

/* The directory is silent: said once, then every hour; serving goes on. [01 section 3.6] */

#define REMINDER_MS 3600000u

void directory_good(struct directory *d) {
        uint64_t now = directory_now(d);

        if (d->silent)
                log_notice("directory_back", "the directory answers again after %llu s",
                           (unsigned long long) (now - d->silent_since_ms) / 1000);
        d->silent = d->no_answer = false;
        d->last_failure_ms = 0;
        d->beat.good_ms = now;
        d->beat.good_boot_ms = clock_boot_ms(d->node->clock);
        d->good_wall_s = clock_wall_s(d->node->clock);
        timer_set_ms(&d->silence, SILENCE_MS);
}

void silence_note(struct directory *d, const struct fetch_answer *a) {
        d->last_failure = a->error;
        d->last_failure_status = a->status;
        d->last_failure_ms = directory_now(d);
}

static void silence_over(void *arg) {
        struct directory *d = arg;

        timer_set_ms(&d->silence, REMINDER_MS);
        if (d->left || d->blocked || (!d->registered && !d->no_answer)) {
                timer_set_ms(&d->silence, SILENCE_MS);
                return;
        }
        if (!d->silent)
                d->silent_since_ms = d->beat.good_ms;
        d->silent = true;
        directory_set_why(d, "no answer from the directory for %llu s",
                          (unsigned long long) (directory_now(d) - d->silent_since_ms) / 1000);
        log_warn("heartbeat_fail", "%s: new consumers cannot find us; tasks go on; retrying",
                 d->why);
        recovery_reconsider(d);
}

void silence_init(struct directory *d) {
        timer_init(&d->silence, d->node->loop, silence_over, d);
}
