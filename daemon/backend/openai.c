/* SPDX-License-Identifier: Apache-2.0 */
#include "openai_media.h"
#include "send.h"

/* The OpenAI dialect: the request is the task's payload, rewritten from its slices. [02 section 9.3] */

static bool openai_start(struct backend_call *c, const struct backend_task *t) {
        struct iicp_payload_rewrite how = {.max_tokens = t->max_tokens};
        struct outgoing o = {.path = t->intent->path, .content_type = "application/json", .form = FORM_OPENAI};
        char form[MEDIA_TYPE_MAX];

        if (!backend_call_choose_model(c, t->model))
                return false;
        o.stream = backend_call_wants_stream(c, t);
        how.model = c->model;
        how.stream = o.stream;
        c->body.secret = true;
        media_note(c, t);
        if (t->intent->kind == IICP_INTENT_TRANSCRIBE) {
                if (!media_form(c, t, form))
                        return false;
                o.content_type = form;
        } else
                iicp_payload_write(t->intent, t->payload, &how, &c->body);
        return backend_call_send(c, t, &o);
}

static void openai_judge(struct backend_call *c, const struct fetch_answer *from, struct backend_answer *a) {
        if (!media_judge(c, from, a))
                judge_object(c, from->body, a);
}

const struct dialect dialect_openai = {
        .start = openai_start,
        .stop = backend_call_unsend,
        .judge = openai_judge,
        .key_header = "Authorization: Bearer ",
        .probes = true,
        .streams = true,
};
