/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RECOVERY_H
#define IICPD_RECOVERY_H

/* Looks whether this node can still be found and reached, decides by recovery_table.h, and does what
 * that says. Owned by the directory object, everything runs on the loop. [01 section 6] */

#include "../fetch.h"
#include "../loop.h"
#include "recovery_table.h"

#define RECOVERY_LOCAL_MS 2000u         /* our own health route */
#define RECOVERY_DEGRADED_MS 60000u     /* between checks while not stable */
#define RECOVERY_ABSENT_PAUSE_MS 3600000u /* after grace registrations that did not get us listed */

struct directory;
struct directory_call;

struct recovery {
        enum recovery_state state;
        enum recovery_action action;
        const char *reason;             /* static */
        uint64_t since_ms;
        struct recovery_verdict settled; /* what known presence said last */
        enum recovery_presence presence; /* of the last check */
        bool needs_promotion;           /* of the registry's last record */
        bool local_ok, local_again;
        bool checking, restarting;
        int exit_status;                /* of that restart */
        const char *exit_why;           /* static */
        bool quiet;                     /* the state has lines of another event */
        bool supervised;
        unsigned failures, beats;
        bool ever_listed;               /* this directory's registry knows us at times */
        unsigned fruitless;             /* registrations because of absence, in a row */
        uint64_t pause_until_ms;        /* no further one before */
        uint64_t checks;
        struct fetch *local;
        struct directory_call *registry;
        struct timer timer;             /* the next check while not stable */
};

void recovery_init(struct directory *d);
void recovery_cancel(struct directory *d);
/* A good beat: every so many of them a check. */
void recovery_beat(struct directory *d);
/* A registration was accepted. */
void recovery_registered(struct directory *d);
/* Something that is known without asking has changed: decides again, acts not. */
void recovery_reconsider(struct directory *d);
/* Worth showing: there is something to recover. */
bool recovery_shown(const struct directory *d);
/* One guidance word for the directory, NULL = none. */
const char *recovery_hint(const struct directory *d);
void recovery_json(const struct directory *d, struct iicp_buf *out);

#endif
