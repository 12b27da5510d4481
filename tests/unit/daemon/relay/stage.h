/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGE_H
#define STAGE_H

/* A relay operator without a listener on a driven clock: timers fire when stage_run moves it; deferred
 * calls and bytes on sockets are brought by stage_spin. */

#include "node.h"
#include "relay/internal.h"

#include <iicp/sign.h>

struct stage {
        struct node node;
        struct config config;
        uint64_t now_ms;
        int64_t wall_s;                /* at now_ms = 0 */
        char dir[64];
        uint8_t directory_key[1][IICP_SIGN_KEY];
        bool key_known, no_writes /* jobs of the helper thread are called done without doing them */;
        bool over;                     /* links and answers of the test are gone */
        unsigned asked_for_key;        /* a signature did not fit */
};
extern struct stage *stage;

int stage_setup(void **state);
int stage_teardown(void **state);
/* The relay as it would be after a restart. */
void stage_restart(void);
void stage_run(uint64_t ms);
void stage_spin(void);

/* A transport that only remembers. */
struct stage_link {
        struct relay_session *session;
        struct relay_call *delivered[1100];
        unsigned n, withdrawn, ended;
        enum relay_end why;
        bool refuses;
};
extern const struct relay_transport stage_transport, stage_poll;
enum relay_verdict stage_bind_from(const char *worker_id, const char *ticket, const char *address, struct stage_link *link);
enum relay_verdict stage_bind(const char *worker_id, struct stage_link *link);

/* What became of a forwarded task. */
struct stage_answer {
        struct relay_call *call;
        unsigned done;
        enum relay_outcome outcome;
        char body[512];
};
int stage_forward(struct stage_link *to, const char *task, struct stage_answer *a);

#endif
