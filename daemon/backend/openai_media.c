/* SPDX-License-Identifier: Apache-2.0 */
#include "openai_media.h"

#include "util.h"

#include <stdio.h>

/* The intents of the OpenAI dialect whose body or answer is not JSON. [02 section 9.3] */

bool media_form(struct backend_call *c, const struct backend_task *t,
                char content_type[MEDIA_TYPE_MAX]) {
        char boundary[IICP_BOUNDARY_TEXT];

        if (iicp_multipart_boundary(boundary) < 0)
                return false;
        snprintf(content_type, MEDIA_TYPE_MAX, "multipart/form-data; boundary=%s", boundary);
        return iicp_transcription_write(t->payload, c->model, boundary, &c->body) == 0;
}

void media_note(struct backend_call *c, const struct backend_task *t) {
        struct iicp_json format = iicp_json_get(&t->payload->object, "response_format");

        c->format[0] = '\0';
        if (format.type == IICP_JSON_STRING &&
            iicp_json_copy(&format, c->format, sizeof c->format) < 0)
                c->format[0] = '\0';
}

static bool is_json(struct iicp_str type) {
        static const char json[] = "application/json";

        return type.p && type.n >= sizeof json - 1 &&
               strncasecmp(type.p, json, sizeof json - 1) == 0;
}

static void judge_made(struct backend_call *c, struct backend_answer *a) {
        if (c->made.error)
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
        else
                a->result = iicp_buf_str(&c->made);
}

/* A sound; where JSON came instead, it can only be an error. */
static void judge_speech(struct backend_call *c, const struct fetch_answer *from,
                         struct backend_answer *a) {
        if (judge_error_member(from->body, a))
                return;
        if (from->body.n == 0 || is_json(from->content_type)) {
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        }
        iicp_speech_result(from->body, from->content_type,
                           c->format[0] ? iicp_str(c->format) : IICP_STR_NONE, &c->made);
        judge_made(c, a);
}

/* A JSON object, or a text. */
static void judge_transcription(struct backend_call *c, const struct fetch_answer *from,
                                struct backend_answer *a) {
        struct iicp_json v;
        bool json = iicp_json_scan(from->body, NULL, NULL, &v) == 0 && v.type == IICP_JSON_OBJECT;

        if (json && judge_error_member(from->body, a))
                return;
        if (json)
                a->result = from->body;
        else if (is_json(from->content_type))
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
        else {
                iicp_text_result(from->body, &c->made);
                judge_made(c, a);
        }
}

bool media_judge(struct backend_call *c, const struct fetch_answer *from,
                 struct backend_answer *a) {
        c->made.secret = true;
        if (c->intent->kind == IICP_INTENT_SPEECH)
                judge_speech(c, from, a);
        else if (c->intent->kind == IICP_INTENT_TRANSCRIBE)
                judge_transcription(c, from, a);
        else
                return false;
        return true;
}
