/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

/* A directory that does not work is left alone for half a minute: no fast repetitions, no side
 * calls. The regular heartbeat goes on and is the probe. [01 section 1.4; iicp-semantics 7.2] */

#define FAILURES_MAX 5u
#define OPEN_MS 30000u

void breaker_note(struct directory *d, const struct fetch_answer *a) {
        if (a->error == FETCH_OK && a->status < 500) {
                d->breaker_failures = 0;
                d->breaker_until_ms = 0;
        } else if (++d->breaker_failures >= FAILURES_MAX) {
                d->breaker_until_ms = directory_now(d) + OPEN_MS;
        }
}

uint64_t directory_breaker_left_ms(const struct directory *d) {
        uint64_t now = directory_now(d);

        return d->breaker_until_ms > now ? d->breaker_until_ms - now : 0;
}

bool directory_breaker_open(const struct directory *d) {
        return directory_breaker_left_ms(d) > 0;
}
