/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_internal.h"

#include "mesh/mesh.h"
#include "node.h"

#include <stdlib.h>

/* POST /v1/peers: gossip of another node. [04 section 15] */

#define RATE_RETRY_S 30 /* nobody has to come sooner */

/* The answer is kept until the library asks for it: at once, or when the connection is resumed. */
static void on_answer(void *arg, enum iicp_refusal_id refusal, struct iicp_str answer) {
        struct http_conn *c = arg;
        struct http_request *r = &c->req;
        struct iicp_refusal fault = {.id = refusal};
        struct iicp_buf out = {0};

        r->exchange = NULL;
        r->answer = (struct task_answer){.status = 200};
        if (refusal == IICP_REFUSE_NONE)
                iicp_buf_add_str(&out, answer);
        else {
                iicp_refusal_body(&fault, &out);
                r->answer.status = iicp_refusal_info(refusal)->status;
                r->answer.retry_after_s = refusal == IICP_REFUSE_GOSSIP_RATE ? RATE_RETRY_S : 0;
        }
        r->answer.body = iicp_buf_take(&out, &r->answer.n);
        r->answered = true;
        http_resume(c);
}

enum MHD_Result http_peers_post(struct http_conn *c) {
        struct http_request *r = &c->req;
        struct sockaddr_storage caller;
        struct mesh_message q = {
                .body = {r->body ? r->body : "", r->n},
                .signature = r->fields.signature,
                .peer = (const struct sockaddr *) &caller,
        };

        http_caller(c, &caller);
        r->exchange = mesh_receive(c->door->node->mesh, &q, on_answer, c);
        if (r->answered) {
                r->exchange = NULL;
                return r->answer.body ? http_answer_task(c, &r->answer) : MHD_NO;
        }
        http_suspend(c);
        return MHD_YES;
}
