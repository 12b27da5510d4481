/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_POLL_BODY_H
#define IICPD_RELAY_POLL_BODY_H

/* Bodies of the long-poll routes, as workers and consumers send them. Pure; what is read is borrowed
 * from the text. [03 section 14]
 *
 * LOG-FORBIDDEN: tickets, tasks, results, events. */

#include "relay/sessions.h"

#include <iicp/json.h>
#include <iicp/relay_msg.h>

enum poll_fault {
        POLL_OK = 0,
        POLL_NO_JSON,            /* 400: malformed, or beyond the scanner's bounds */
        POLL_NO_OBJECT,          /* this and below: 422 */
        POLL_NO_WORKER_ID,
        POLL_BAD_WORKER_ID,
        POLL_BAD_MEMBER,         /* a ticket or an intent that is no string, or longer than any is */
        POLL_NO_RESULT,          /* call_id and result are required */
        POLL_BAD_EVENT,
        POLL_NO_TARGET,          /* target_node_id and task are required */
        POLL_FAULTS_,
};
/* IICP-E001 says this. Static. */
const char *poll_fault_text(enum poll_fault f);

#define POLL_TICKET_MAX 4096u    /* characters; tickets of today have some 500 */
#define POLL_INTENT_MAX 255u
#define POLL_MODELS_MAX 64u      /* names; what follows is not looked at */
#define POLL_MODEL_MAX 128u      /* bytes of a name; longer ones are left out */
#define POLL_CALL_ID_MAX 128u

struct poll_bind_body {
        char worker_id[IICP_WORKER_ID_MAX + 1];
        char intent[POLL_INTENT_MAX + 1];    /* "" = none */
        char ticket[POLL_TICKET_MAX + 1];    /* "" with has_ticket: an empty one was shown */
        bool has_ticket;
        struct iicp_json models, profiles;   /* arrays, or NONE */
};
enum poll_fault poll_bind_read(struct iicp_str text, struct poll_bind_body *ret);
/* Walks the names of an array: strings of 1-POLL_MODEL_MAX bytes; name is NUL-terminated. */
void poll_names(const struct iicp_json *array, void (*fn)(void *arg, const char *name), void *arg);

struct poll_result_body {
        char call_id[POLL_CALL_ID_MAX + 1];  /* "" = none of ours can be so */
        struct iicp_str result;              /* any JSON value but null; absent when it is an event */
        struct iicp_str event;               /* an object of the form of section 14 */
};
enum poll_fault poll_result_read(struct iicp_str text, struct poll_result_body *ret);

/* What such an event says; result stays as it is, the other texts are decoded. */
struct poll_event {
        char session_id[POLL_CALL_ID_MAX + 1], call_id[POLL_CALL_ID_MAX + 1], task_id[POLL_CALL_ID_MAX + 1];
        char status[16], word[16], error_code[65], error_message[257];
        struct iicp_lifecycle_message life;
        struct relay_event event;
};
void poll_event_read(struct iicp_str event, struct poll_event *ret);

struct poll_forward_body {
        char target[IICP_WORKER_ID_MAX + 1]; /* "" = no node can have that id */
        struct iicp_str task;                /* an object */
};
enum poll_fault poll_forward_read(struct iicp_str text, struct poll_forward_body *ret);

/* Body of a pull's answer: {"call_id","task"}, the task byte for byte; of a streaming call with its keys. */
void poll_call_put(struct iicp_buf *out, const char *call_id, struct iicp_str task, const struct relay_call_keys *keys);

#endif
