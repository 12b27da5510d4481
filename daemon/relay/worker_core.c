/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_core.h"

#include "util.h"

#include <iicp/relay_msg.h>

const char *worker_outcome_text(enum worker_outcome o) {
        static const char *const texts[] = {
                [WORKER_UNREACHABLE] = "cannot be reached",
                [WORKER_PLAIN_ONLY] = "plain frames only; relay.worker_plaintext = no",
                [WORKER_BROKEN] = "no usable answer",
                [WORKER_ALIVE] = "it still holds an older session of ours",
                [WORKER_RATE_LIMITED] = "takes no more binds from here for a while",
                [WORKER_FULL] = "full",
                [WORKER_TICKET_INVALID] = "does not take the directory's ticket",
                [WORKER_TICKET_REQUIRED] = "wants a ticket of the directory",
                [WORKER_TICKET_REPLAYED] = "takes the ticket for used",
                [WORKER_LOST] = "the session ended",
        };

        return texts[o];
}

enum worker_outcome worker_outcome_of(struct iicp_str reason) {
        static const struct {
                const char *text;
                enum worker_outcome outcome;
        } known[] = {
                {IICP_RELAY_ALIVE, WORKER_ALIVE}, {IICP_RELAY_RATE_LIMITED, WORKER_RATE_LIMITED},
                {IICP_RELAY_FULL, WORKER_FULL}, {IICP_RELAY_TICKET_INVALID, WORKER_TICKET_INVALID},
                {IICP_RELAY_TICKET_REQUIRED, WORKER_TICKET_REQUIRED}, {IICP_RELAY_TICKET_REPLAYED, WORKER_TICKET_REPLAYED},
        };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (iicp_str_is(reason, known[i].text))
                        return known[i].outcome;
        return WORKER_BROKEN;
}

void worker_core_begin(struct worker_core *c, bool fixed, bool can_poll, bool any_audience) {
        *c = (struct worker_core){.fixed = fixed, .can_poll = can_poll, .any_audience = any_audience};
}

void worker_core_bound(struct worker_core *c) {
        c->bound_before = true;
        c->failures = c->waits = 0;
        c->ticket_again = false;
}

uint64_t worker_jitter_ms(uint64_t ms, uint8_t random) {
        return ms - ms / 5 + ms * 2 / 5 * random / UINT8_MAX;
}

/* ---- reactions ---- */

static struct worker_step retry(struct worker_core *c, uint64_t least_ms) {
        uint64_t ms = MIN((uint64_t) WORKER_BACKOFF_MS << MIN(c->waits, 5u), (uint64_t) WORKER_BACKOFF_MAX_MS);

        c->waits++;
        c->polling = c->poll_only;
        c->ticket_again = c->audience_any = false;
        return (struct worker_step){.what = WORKER_DO_RETRY, .wait_ms = MAX(ms, least_ms)};
}

static struct worker_step other(struct worker_core *c, uint64_t exclude_ms) {
        if (c->fixed)
                return retry(c, 0);
        return (struct worker_step){.what = WORKER_DO_OTHER, .exclude_ms = exclude_ms};
}

/* In the first choice each failure moves on; a relay that was bound is worth some patience. */
static struct worker_step failed(struct worker_core *c) {
        if (++c->failures >= WORKER_FAILURES_MAX || !c->bound_before)
                return other(c, WORKER_EXCLUDE_MS);
        return retry(c, 0);
}

static struct worker_step wait_for(struct worker_core *c, uint64_t least_ms, uint64_t exclude_ms) {
        if (!c->bound_before)
                return other(c, exclude_ms);
        return retry(c, least_ms);
}

static struct worker_step ticket(struct worker_core *c, enum worker_outcome o) {
        if (c->ticket_again)
                return other(c, WORKER_EXCLUDE_MS);
        c->ticket_again = true;
        /* Native listeners of shipped relays do not know their own id. */
        c->audience_any = o == WORKER_TICKET_INVALID && c->any_audience;
        return (struct worker_step){.what = WORKER_DO_TICKET};
}

void worker_core_ended(struct worker_core *c, enum worker_outcome o, struct worker_step *ret) {
        bool poll = c->can_poll && !c->polling;

        switch (o) {
        case WORKER_UNREACHABLE:
        case WORKER_PLAIN_ONLY:
                if (poll) {
                        c->polling = true;
                        *ret = (struct worker_step){.what = WORKER_DO_POLL};
                } else
                        *ret = failed(c);
                break;
        case WORKER_ALIVE:
                *ret = wait_for(c, 0, WORKER_ALIVE_MS);
                break;
        case WORKER_RATE_LIMITED:
                *ret = c->fixed ? retry(c, WORKER_RATE_MS) : wait_for(c, WORKER_RATE_MS, WORKER_RATE_MS);
                break;
        case WORKER_FULL:
                *ret = other(c, WORKER_EXCLUDE_MS);
                break;
        case WORKER_TICKET_INVALID:
        case WORKER_TICKET_REQUIRED:
        case WORKER_TICKET_REPLAYED:
                *ret = ticket(c, o);
                break;
        case WORKER_LOST:
                *ret = retry(c, 0);
                break;
        default:
                *ret = failed(c);
        }
}
