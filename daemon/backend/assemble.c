/* SPDX-License-Identifier: Apache-2.0 */
#include "assemble.h"
#include "util.h"

struct assemble *assemble_new(enum iicp_intent_kind kind, enum assemble_form form, bool wants_text) {
        struct assemble *a = calloc(1, sizeof *a);

        if (!a)
                return NULL;
        a->kind = kind;
        a->form = form;
        a->wants_text = wants_text;
        a->input_tokens = a->output_tokens = -1;
        sse_init(&a->sse);
        a->text = (struct iicp_buf){.max = SSE_LINE_MAX, .secret = true};
        a->whole = (struct iicp_buf){.max = BACKEND_ANSWER_MAX, .secret = true};
        a->content.secret = a->reasoning.secret = a->out.secret = true;
        a->out.max = BACKEND_ANSWER_MAX;
        return a;
}

struct assemble *assemble_free(struct assemble *a) {
        if (!a)
                return NULL;
        sse_done(&a->sse);
        iicp_buf_wipe(&a->text);
        iicp_buf_wipe(&a->whole);
        iicp_buf_wipe(&a->content);
        iicp_buf_wipe(&a->reasoning);
        iicp_buf_wipe(&a->out);
        iicp_buf_free(&a->finish);
        iicp_buf_free(&a->usage);
        iicp_buf_free(&a->id);
        iicp_buf_free(&a->model);
        iicp_buf_free(&a->created);
        for (size_t i = 0; i < a->n_calls; i++) {
                iicp_buf_free(&a->calls[i].id);
                iicp_buf_free(&a->calls[i].name);
                iicp_buf_wipe(&a->calls[i].arguments);
        }
        free(a->calls);
        free(a);
        return NULL;
}

/* ---- what the forms use ---- */

bool assemble_fail(struct assemble *a, enum assemble_result why) {
        if (a->fault == ASSEMBLE_OK)
                a->fault = why;
        return false;
}

bool assemble_append(struct assemble *a, struct iicp_buf *to, struct iicp_str text) {
        a->total += text.n;
        if (a->total > BACKEND_ANSWER_MAX)
                return assemble_fail(a, ASSEMBLE_INVALID);
        iicp_buf_add_str(to, text);
        return to->error == 0 || assemble_fail(a, ASSEMBLE_INVALID);
}

bool assemble_replace(struct assemble *a, struct iicp_buf *to, struct iicp_str text) {
        a->total -= to->n;
        to->n = 0;
        return assemble_append(a, to, text);
}

bool assemble_first(struct assemble *a, struct iicp_buf *to, const struct iicp_json *v, enum iicp_json_type type) {
        return to->n > 0 || v->type != type || assemble_append(a, to, v->text);
}

bool assemble_content(struct assemble *a, const struct iicp_json *string) {
        if (string->type != IICP_JSON_STRING)
                return true;
        if (!assemble_append(a, &a->content, string->text))
                return false;
        return !a->wants_text || iicp_json_decode(string, &a->text) == 0 || assemble_fail(a, ASSEMBLE_INVALID);
}

/* ---- in ---- */

static bool take_data(struct assemble *a, struct iicp_str data) {
        struct iicp_json top, error;

        /* What comes after the end mark is not part of the stream. */
        if (a->done)
                return true;
        if (iicp_str_is(data, "[DONE]")) {
                a->done = true;
                return true;
        }
        if (iicp_json_scan(data, NULL, NULL, &top) < 0 || top.type != IICP_JSON_OBJECT)
                return assemble_fail(a, ASSEMBLE_INVALID);
        error = iicp_json_get(&top, "error");
        if (error.type != IICP_JSON_NONE && error.type != IICP_JSON_NULL)
                return assemble_fail(a, ASSEMBLE_FAILED);
        return a->form == FORM_MESSAGES ? assemble_messages_event(a, &top) : assemble_openai_event(a, &top);
}

static enum assemble_step take_whole(struct assemble *a, struct iicp_str *piece) {
        iicp_buf_add_str(&a->whole, *piece);
        piece->n = 0;
        if (a->whole.error == 0)
                return ASSEMBLE_MORE;
        assemble_fail(a, ASSEMBLE_INVALID);
        return ASSEMBLE_STOP;
}

enum assemble_step assemble_next(struct assemble *a, struct iicp_str *piece, struct iicp_str *ret_text) {
        struct iicp_str data;

        if (a->fault != ASSEMBLE_OK)
                return ASSEMBLE_STOP;
        if (!a->begun && piece->n) {
                a->begun = true;
                a->plain = *piece->p == '{';
        }
        if (a->plain)
                return take_whole(a, piece);
        for (;;) {
                if (a->text.n)
                        explicit_bzero(a->text.p, a->text.n);
                a->text.n = 0;
                switch (sse_next(&a->sse, piece, &data)) {
                case SSE_MORE:
                        return ASSEMBLE_MORE;
                case SSE_FAULT:
                        assemble_fail(a, ASSEMBLE_INVALID);
                        return ASSEMBLE_STOP;
                case SSE_DATA:
                        break;
                }
                if (!take_data(a, data))
                        return ASSEMBLE_STOP;
                if (a->text.n) {
                        *ret_text = iicp_buf_str(&a->text);
                        return ASSEMBLE_TEXT;
                }
        }
}

/* ---- out ---- */

static void put_string(struct iicp_buf *out, const char *name, const struct iicp_buf *raw) {
        iicp_buf_printf(out, "\"%s\":\"", name);
        iicp_buf_add_str(out, iicp_buf_str(raw));
        iicp_buf_puts(out, "\"");
}

static void write_calls(struct assemble *a, struct iicp_buf *out) {
        const char *comma = "";

        iicp_buf_puts(out, ",\"tool_calls\":[");
        for (size_t i = 0; i < a->n_calls; i++) {
                if (!a->calls[i].used)
                        continue;
                iicp_buf_puts(out, comma);
                iicp_buf_puts(out, "{");
                put_string(out, "id", &a->calls[i].id);
                iicp_buf_puts(out, ",\"type\":\"function\",\"function\":{");
                put_string(out, "name", &a->calls[i].name);
                iicp_buf_puts(out, ",");
                put_string(out, "arguments", &a->calls[i].arguments);
                iicp_buf_puts(out, "}}");
                comma = ",";
        }
        iicp_buf_puts(out, "]");
}

static void write_choice(struct assemble *a, struct iicp_buf *out) {
        iicp_buf_puts(out, "\"choices\":[{\"index\":0,");
        if (a->kind == IICP_INTENT_COMPLETION) {
                put_string(out, "text", &a->content);
        } else {
                iicp_buf_puts(out, "\"message\":{\"role\":\"assistant\",");
                if (a->n_calls && !a->content.n)
                        iicp_buf_puts(out, "\"content\":null");
                else
                        put_string(out, "content", &a->content);
                if (a->reasoning_name) {
                        iicp_buf_puts(out, ",");
                        put_string(out, a->reasoning_name, &a->reasoning);
                }
                if (a->n_calls)
                        write_calls(a, out);
                iicp_buf_puts(out, "}");
        }
        iicp_buf_puts(out, ",");
        put_string(out, "finish_reason", &a->finish);
        iicp_buf_puts(out, "}]");
}

static void write_answer(struct assemble *a) {
        struct iicp_buf *out = &a->out;

        iicp_buf_puts(out, "{");
        if (a->id.n) {
                put_string(out, "id", &a->id);
                iicp_buf_puts(out, ",");
        }
        iicp_buf_printf(out, "\"object\":\"%s\",",
                        a->kind == IICP_INTENT_COMPLETION ? "text_completion" : "chat.completion");
        if (a->created.n)
                iicp_buf_printf(out, "\"created\":%s,", a->created.p);
        if (a->model.n) {
                put_string(out, "model", &a->model);
                iicp_buf_puts(out, ",");
        }
        write_choice(a, out);
        if (a->usage.n)
                iicp_buf_printf(out, ",\"usage\":%s", a->usage.p);
        iicp_buf_puts(out, "}");
}

enum assemble_result assemble_end(struct assemble *a, struct iicp_str *ret) {
        struct iicp_str data;

        if (a->fault == ASSEMBLE_OK && !a->plain && sse_last(&a->sse, &data) == SSE_DATA)
                take_data(a, data);
        if (a->fault != ASSEMBLE_OK)
                return a->fault;
        if (a->plain) {
                *ret = iicp_buf_str(&a->whole);
                return ASSEMBLE_OK;
        }
        if (!a->finished)
                return ASSEMBLE_UNFINISHED;
        write_answer(a);
        if (a->out.error)
                return ASSEMBLE_INVALID;
        *ret = iicp_buf_str(&a->out);
        return ASSEMBLE_OK;
}
