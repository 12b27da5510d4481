/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "../node.h"
#include "messages.h"
#include "send.h"
#include "util.h"

/* The Messages dialect: Anthropic's own service, and what imitates it. Chat only. [02 section 10.4] */

static bool anthropic_start(struct backend_call *c, const struct backend_task *t) {
        int64_t ceiling = c->backend->node->config->max_tokens;
        struct messages_request how = {.max_tokens = t->max_tokens};
        struct outgoing o = {.path = "/messages", .content_type = "application/json", .form = FORM_MESSAGES};

        if (!backend_call_choose_model(c, t->model))
                return false;
        o.stream = backend_call_wants_stream(c, t);
        how.model = c->model.p ? c->model : IICP_STR("");
        how.stream = o.stream;
        if (how.max_tokens <= 0)
                how.max_tokens = MIN((int64_t) MESSAGES_MAX_TOKENS, ceiling);
        messages_write_request(t->payload, &how, &c->body);
        return backend_call_send(c, t, &o);
}

static void anthropic_judge(struct backend_call *c, const struct fetch_answer *from, struct backend_answer *a) {
        struct iicp_str whole;

        iicp_buf_wipe(&c->body); /* the request was sent; its place is that of the answer now */
        c->body = (struct iicp_buf){.max = BACKEND_ANSWER_MAX, .secret = true};
        if (judge_error_member(from->body, a))
                return;
        if (!messages_write_answer(from->body, &c->body) || c->body.error) {
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        }
        whole = iicp_buf_str(&c->body);
        judge_object(c, whole, a);
}

const struct dialect dialect_anthropic = {
        .start = anthropic_start,
        .stop = backend_call_unsend,
        .judge = anthropic_judge,
        .key_header = "x-api-key: ",
        .header = "anthropic-version: 2023-06-01",
        .probes = true,
        .streams = true,
};
