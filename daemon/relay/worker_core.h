/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_WORKER_CORE_H
#define IICPD_WORKER_CORE_H

/* What a worker does after an attempt at a relay, or a session, has ended: the reactions and waits of
 * the state machine, without network and clock. [03 section 19.2; 04 section 11] */

#include <iicp/base.h>

#define WORKER_BACKOFF_MS 2000         /* doubled up to the next one */
#define WORKER_BACKOFF_MAX_MS 60000
#define WORKER_RATE_MS 60000           /* after "rate limited", at least */
#define WORKER_ALIVE_MS 90000          /* a session of ours that died by half is gone by then */
#define WORKER_EXCLUDE_MS 300000       /* a relay that failed is not elected for so long */
#define WORKER_FAILURES_MAX 5          /* in a row, on a relay that was bound: another one */

enum worker_outcome {
        WORKER_UNREACHABLE,    /* refused, no answer, no such name */
        WORKER_PLAIN_ONLY,     /* it speaks no TLS, and plain frames are not allowed */
        WORKER_BROKEN,         /* no or a wrong answer in the handshake; a bind that leads nowhere */
        WORKER_ALIVE,          /* "worker_id already bound to an alive session" */
        WORKER_RATE_LIMITED,
        WORKER_FULL,
        WORKER_TICKET_INVALID, WORKER_TICKET_REQUIRED, WORKER_TICKET_REPLAYED,
        WORKER_LOST,           /* a bound session is over */
        WORKER_OUTCOMES_,
};
/* For people: "relay at session capacity". */
const char *worker_outcome_text(enum worker_outcome o);

/* About the relay that is tried or bound. */
struct worker_core {
        bool fixed;            /* the operator's: there is no other */
        bool can_poll;         /* its HTTP endpoint is known */
        bool poll_only;        /* and nothing else */
        bool any_audience;     /* a refused ticket may be repeated with audience "*" */
        bool bound_before;
        bool polling;          /* the attempt goes over HTTP */
        bool ticket_again;     /* the second ticket of this attempt */
        bool audience_any;     /* of the next ticket */
        unsigned failures;     /* in a row, of those that count */
        unsigned waits;        /* back-offs in a row */
};

enum worker_do {
        WORKER_DO_RETRY,       /* the same relay, after wait_ms */
        WORKER_DO_TICKET,      /* the same at once, with another ticket */
        WORKER_DO_POLL,        /* the same at once, over HTTP */
        WORKER_DO_OTHER,       /* another relay, without this one for exclude_ms */
};
struct worker_step {
        enum worker_do what;
        uint64_t wait_ms, exclude_ms; /* before jitter */
};

void worker_core_begin(struct worker_core *c, bool fixed, bool can_poll, bool any_audience);
void worker_core_bound(struct worker_core *c);
void worker_core_ended(struct worker_core *c, enum worker_outcome o, struct worker_step *ret);
/* +- 20 %; random: any byte. */
uint64_t worker_jitter_ms(uint64_t ms, uint8_t random);
/* The refusal of a RELAY_ACK by its exact text. */
enum worker_outcome worker_outcome_of(struct iicp_str reason);

#endif
