/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DOOR_HTTP_RELAY_H
#define IICPD_DOOR_HTTP_RELAY_H

/* A request at the relay's resources that waits for its outcome: hangs at the request and is freed with
 * it. [03 sections 14, 15] */

#include "door_http_internal.h"
#include "relay/poll.h"
#include "relay/poll_body.h"

struct fetch;

struct http_relay {
        struct http_conn *conn;
        bool pulling;
        struct poll_pull pull;
        struct relay_task task;          /* slices of the request, which lives as long */
        struct relay_call *call;         /* with a worker */
        struct fetch *peer;              /* with a node of the mesh */
        unsigned char trace_id[16], span_id[8];
};

/* Hangs it at the request. NULL: no memory. */
struct http_relay *http_relay_new(struct http_conn *c);
/* An outcome that was waited for; takes the body. */
void http_relay_answer(struct http_relay *w, const struct task_answer *a);
/* {"error":{"code":"IICP-...","message":...}}, more: further members with a comma in front. */
void http_relay_fault(struct task_answer *a, int status, const char *code, const char *message, const char *more,
                      int64_t retry_after_s);
enum MHD_Result http_relay_refuse(struct http_conn *c, int status, const char *code, const char *message);
enum MHD_Result http_relay_busy(struct http_conn *c);

/* door_http_relay_peer.c. absent: message of a 404. */
enum MHD_Result http_relay_to_peer(struct http_conn *c, const char *node_id, struct iicp_str task, const char *absent);
void http_relay_peer_cancel(struct http_relay *w);

#endif
