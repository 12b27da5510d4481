/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_NATIVE_VOICE_H
#define IICPD_NATIVE_VOICE_H

/* The RESPONSEs to one lifecycle CALL, whether it came to the task port or through a relay. All is
 * borrowed. [03 section 9] */

#include "native_link.h"

struct lifecycle_event;

struct native_voice {
        struct native_link *wire;
        struct iicp_str node_id, session_id, call_id, task_id;
        uint64_t *sequence;            /* of the next RESPONSE */
};

void native_voice_event(struct native_voice *v, const struct lifecycle_event *e);
/* The terminal one of a CALL that was not accepted, or cannot go on. */
void native_voice_failed(struct native_voice *v, const char *code, const char *message);

#endif
