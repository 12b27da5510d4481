/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "util.h"

/* Strings are joined as they stand in the events, escapes and all: each event is valid JSON by
 * itself, so the join of two string bodies is one too. [02 sections 10.8, 10.10 rules 3, 4, 10] */

#define LINE_MAX_ ((size_t) 1024 * 1024)
#define TOOL_CALLS_MAX 128

struct tool_call {
        bool used;
        struct iicp_buf id, name, arguments;
};

struct assemble {
        enum iicp_intent_kind kind;
        enum assemble_result fault;
        bool plain;     /* the server answered whole after all */
        bool begun, done, finished, has_reasoning;
        size_t total;   /* bytes kept, all together */
        struct iicp_buf line, content, reasoning, finish, usage, id, model, created, out;
        struct tool_call calls[TOOL_CALLS_MAX];
        size_t n_calls;
};

struct assemble *assemble_new(enum iicp_intent_kind kind) {
        struct assemble *a = calloc(1, sizeof *a);

        if (!a)
                return NULL;
        a->kind = kind;
        a->line = (struct iicp_buf){.max = BACKEND_ANSWER_MAX, .secret = true};
        a->content.secret = a->reasoning.secret = a->out.secret = true;
        a->out.max = BACKEND_ANSWER_MAX;
        return a;
}

struct assemble *assemble_free(struct assemble *a) {
        if (!a)
                return NULL;
        iicp_buf_wipe(&a->line);
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
        free(a);
        return NULL;
}

static bool fail(struct assemble *a, enum assemble_result why) {
        if (a->fault == ASSEMBLE_OK)
                a->fault = why;
        return false;
}

static bool append(struct assemble *a, struct iicp_buf *to, struct iicp_str text) {
        a->total += text.n;
        if (a->total > BACKEND_ANSWER_MAX)
                return fail(a, ASSEMBLE_INVALID);
        iicp_buf_add_str(to, text);
        return to->error == 0 || fail(a, ASSEMBLE_INVALID);
}

/* The first one that came stays. */
static bool keep_first(struct assemble *a, struct iicp_buf *to, const struct iicp_json *v, enum iicp_json_type type) {
        return to->n > 0 || v->type != type || append(a, to, v->text);
}

static bool append_member(struct assemble *a, struct iicp_buf *to, const struct iicp_json *of, const char *name) {
        struct iicp_json v = iicp_json_get(of, name);

        return v.type != IICP_JSON_STRING || append(a, to, v.text);
}

static bool take_call(struct assemble *a, const struct iicp_json *delta) {
        struct iicp_json index = iicp_json_get(delta, "index"), function = iicp_json_get(delta, "function");
        struct iicp_json id = iicp_json_get(delta, "id"), name = iicp_json_get(&function, "name");
        int64_t i = (int64_t) a->n_calls;
        struct tool_call *c;

        if (index.type == IICP_JSON_NUMBER && iicp_json_int(&index, &i) < 0)
                return fail(a, ASSEMBLE_INVALID);
        if (i < 0 || i >= TOOL_CALLS_MAX)
                return fail(a, ASSEMBLE_INVALID);
        c = &a->calls[i];
        c->used = true;
        c->arguments.secret = true;
        a->n_calls = MAX(a->n_calls, (size_t) i + 1);
        return keep_first(a, &c->id, &id, IICP_JSON_STRING) && keep_first(a, &c->name, &name, IICP_JSON_STRING) &&
               append_member(a, &c->arguments, &function, "arguments");
}

static bool take_delta(struct assemble *a, const struct iicp_json *delta) {
        struct iicp_json calls = iicp_json_get(delta, "tool_calls"), call;
        struct iicp_json reasoning = iicp_json_get(delta, "reasoning_content");
        struct iicp_json_iter it;

        if (reasoning.type == IICP_JSON_STRING)
                a->has_reasoning = true;
        if (!append_member(a, &a->content, delta, "content") ||
            !append_member(a, &a->reasoning, delta, "reasoning_content"))
                return false;
        if (calls.type != IICP_JSON_ARRAY)
                return true;
        iicp_json_iter_init(&it, &calls);
        while (iicp_json_next(&it, NULL, &call))
                if (!take_call(a, &call))
                        return false;
        return true;
}

static bool take_choice(struct assemble *a, const struct iicp_json *choice) {
        struct iicp_json finish = iicp_json_get(choice, "finish_reason");
        struct iicp_json delta = iicp_json_get(choice, "delta");

        if (finish.type == IICP_JSON_STRING) {
                a->finished = true;
                a->finish.n = 0;
                if (!append(a, &a->finish, finish.text))
                        return false;
        }
        if (a->kind == IICP_INTENT_COMPLETION)
                return append_member(a, &a->content, choice, "text");
        return delta.type != IICP_JSON_OBJECT || take_delta(a, &delta);
}

static bool take_event(struct assemble *a, struct iicp_str text) {
        struct iicp_json top, choices, choice, usage, v;
        struct iicp_json_iter it;

        if (iicp_json_scan(text, NULL, NULL, &top) < 0 || top.type != IICP_JSON_OBJECT)
                return fail(a, ASSEMBLE_INVALID);
        v = iicp_json_get(&top, "error");
        if (v.type != IICP_JSON_NONE && v.type != IICP_JSON_NULL)
                return fail(a, ASSEMBLE_FAILED);
        v = iicp_json_get(&top, "id");
        if (!keep_first(a, &a->id, &v, IICP_JSON_STRING))
                return false;
        v = iicp_json_get(&top, "model");
        if (!keep_first(a, &a->model, &v, IICP_JSON_STRING))
                return false;
        v = iicp_json_get(&top, "created");
        if (!keep_first(a, &a->created, &v, IICP_JSON_NUMBER))
                return false;
        usage = iicp_json_get(&top, "usage");
        if (usage.type == IICP_JSON_OBJECT) {
                a->usage.n = 0;
                if (!append(a, &a->usage, usage.text))
                        return false;
        }
        choices = iicp_json_get(&top, "choices");
        if (choices.type != IICP_JSON_ARRAY)
                return true;
        iicp_json_iter_init(&it, &choices);
        return !iicp_json_next(&it, NULL, &choice) || take_choice(a, &choice);
}

static bool take_line(struct assemble *a, struct iicp_str line) {
        if (line.n && line.p[line.n - 1] == '\r')
                line.n--;
        if (line.n < 5 || memcmp(line.p, "data:", 5) != 0)
                return true;
        line.p += 5;
        line.n -= 5;
        while (line.n && *line.p == ' ') {
                line.p++;
                line.n--;
        }
        if (iicp_str_is(line, "[DONE]")) {
                a->done = true;
                return true;
        }
        /* What comes after the end mark is not part of the stream. */
        return a->done || take_event(a, line);
}

bool assemble_feed(struct assemble *a, struct iicp_str piece) {
        if (a->fault != ASSEMBLE_OK)
                return false;
        if (!a->begun && piece.n) {
                a->begun = true;
                a->plain = *piece.p == '{';
        }
        while (!a->plain && piece.n) {
                const char *end = memchr(piece.p, '\n', piece.n);
                struct iicp_str part = {piece.p, end ? (size_t) (end - piece.p) : piece.n};

                if (part.n > LINE_MAX_ - MIN(a->line.n, LINE_MAX_))
                        return fail(a, ASSEMBLE_INVALID);
                if (!end || a->line.n)
                        iicp_buf_add_str(&a->line, part);
                if (a->line.error)
                        return fail(a, ASSEMBLE_INVALID);
                if (!end)
                        return true;
                if (!take_line(a, a->line.n ? iicp_buf_str(&a->line) : part))
                        return false;
                a->line.n = 0;
                piece.n -= part.n + 1;
                piece.p = end + 1;
        }
        iicp_buf_add_str(&a->line, piece);
        return a->line.error == 0 || fail(a, ASSEMBLE_INVALID);
}

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
                if (a->has_reasoning) {
                        iicp_buf_puts(out, ",");
                        put_string(out, "reasoning_content", &a->reasoning);
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
        /* A last line without its end still counts. */
        if (a->fault == ASSEMBLE_OK && !a->plain && a->line.n)
                take_line(a, iicp_buf_str(&a->line));
        if (a->fault != ASSEMBLE_OK)
                return a->fault;
        if (a->plain) {
                *ret = iicp_buf_str(&a->line);
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
