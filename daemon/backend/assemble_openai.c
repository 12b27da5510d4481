/* SPDX-License-Identifier: Apache-2.0 */
#include "assemble.h"
#include "util.h"

/* One event of a chat or completion stream. [02 section 10.8] */

static bool append_member(struct assemble *a, struct iicp_buf *to, const struct iicp_json *of, const char *name) {
        struct iicp_json v = iicp_json_get(of, name);

        return v.type != IICP_JSON_STRING || assemble_append(a, to, v.text);
}

static struct tool_call *call_at(struct assemble *a, size_t i) {
        if (i >= a->n_calls) {
                struct tool_call *more = reallocarray(a->calls, i + 1, sizeof *more);

                if (!more)
                        return NULL;
                memset(more + a->n_calls, 0, (i + 1 - a->n_calls) * sizeof *more);
                a->calls = more;
                a->n_calls = i + 1;
        }
        a->calls[i].used = true;
        a->calls[i].arguments.secret = true;
        return &a->calls[i];
}

static bool take_call(struct assemble *a, const struct iicp_json *delta) {
        struct iicp_json index = iicp_json_get(delta, "index"), function = iicp_json_get(delta, "function");
        struct iicp_json id = iicp_json_get(delta, "id"), name = iicp_json_get(&function, "name");
        int64_t i = (int64_t) a->n_calls;
        struct tool_call *c;

        if (index.type == IICP_JSON_NUMBER && iicp_json_int(&index, &i) < 0)
                return assemble_fail(a, ASSEMBLE_INVALID);
        if (i < 0 || i >= TOOL_CALLS_MAX || !(c = call_at(a, (size_t) i)))
                return assemble_fail(a, ASSEMBLE_INVALID);
        return assemble_first(a, &c->id, &id, IICP_JSON_STRING) &&
               assemble_first(a, &c->name, &name, IICP_JSON_STRING) &&
               append_member(a, &c->arguments, &function, "arguments");
}

/* vLLM says "reasoning". Some say both, which is the same text twice. */
static bool take_reasoning(struct assemble *a, const struct iicp_json *delta, const char *name) {
        struct iicp_json v = iicp_json_get(delta, name);

        if (v.type != IICP_JSON_STRING || (a->reasoning_name && strcmp(a->reasoning_name, name) != 0))
                return true;
        a->reasoning_name = name;
        return assemble_append(a, &a->reasoning, v.text);
}

static bool take_delta(struct assemble *a, const struct iicp_json *delta) {
        struct iicp_json calls = iicp_json_get(delta, "tool_calls"), call;
        struct iicp_json content = iicp_json_get(delta, "content");
        struct iicp_json_iter it;

        if (!take_reasoning(a, delta, "reasoning_content") || !take_reasoning(a, delta, "reasoning") ||
            !assemble_content(a, &content))
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
        struct iicp_json delta = iicp_json_get(choice, "delta"), text;

        if (finish.type == IICP_JSON_STRING) {
                a->finished = true;
                if (!assemble_replace(a, &a->finish, finish.text))
                        return false;
        }
        if (a->kind == IICP_INTENT_COMPLETION) {
                text = iicp_json_get(choice, "text");
                return assemble_content(a, &text);
        }
        return delta.type != IICP_JSON_OBJECT || take_delta(a, &delta);
}

bool assemble_openai_event(struct assemble *a, const struct iicp_json *event) {
        struct iicp_json v = iicp_json_get(event, "id"), choices, choice;
        struct iicp_json_iter it;

        if (!assemble_first(a, &a->id, &v, IICP_JSON_STRING))
                return false;
        v = iicp_json_get(event, "model");
        if (!assemble_first(a, &a->model, &v, IICP_JSON_STRING))
                return false;
        v = iicp_json_get(event, "created");
        if (!assemble_first(a, &a->created, &v, IICP_JSON_NUMBER))
                return false;
        v = iicp_json_get(event, "usage");
        if (v.type == IICP_JSON_OBJECT && !assemble_replace(a, &a->usage, v.text))
                return false;
        choices = iicp_json_get(event, "choices");
        if (choices.type != IICP_JSON_ARRAY)
                return true;
        iicp_json_iter_init(&it, &choices);
        return !iicp_json_next(&it, NULL, &choice) || take_choice(a, &choice);
}
