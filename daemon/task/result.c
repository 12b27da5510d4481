/* SPDX-License-Identifier: Apache-2.0 */
#include "result.h"

#include "util.h"

/* By slices: what is already in form is copied byte for byte, members without need of repair too. */

static void member(struct iicp_buf *out, bool *first, const struct iicp_json *name) {
        iicp_buf_puts(out, *first ? "\"" : ",\"");
        iicp_buf_add_str(out, name->text);
        iicp_buf_puts(out, "\":");
        *first = false;
}

static void value(struct iicp_buf *out, const struct iicp_json *v) {
        if (v->type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
        iicp_buf_add_str(out, v->text);
        if (v->type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
}

static bool is_counter(const struct iicp_json *name) {
        return iicp_json_is(name, "prompt_tokens") || iicp_json_is(name, "completion_tokens") ||
               iicp_json_is(name, "total_tokens");
}

/* Counters are integers of at least 0 or go; the total is filled in. */
static void write_usage(const struct iicp_json *usage, struct iicp_buf *out, struct result_facts *facts) {
        int64_t prompt = -1, completion = -1;
        struct iicp_json name, v;
        struct iicp_json_iter it;
        size_t start = out->n;
        bool first = true;

        iicp_buf_puts(out, "{");
        iicp_json_iter_init(&it, usage);
        while (iicp_json_next(&it, &name, &v)) {
                int64_t n = -1;

                if (is_counter(&name)) {
                        if (iicp_json_int(&v, &n) < 0 || n < 0 || n > UINT32_MAX)
                                continue;
                        if (iicp_json_is(&name, "prompt_tokens"))
                                prompt = n;
                        else if (iicp_json_is(&name, "completion_tokens"))
                                completion = n;
                        else
                                facts->tokens = n;
                }
                member(out, &first, &name);
                value(out, &v);
        }
        if (facts->tokens < 0 && (prompt >= 0 || completion >= 0)) {
                facts->tokens = MAX(prompt, 0) + MAX(completion, 0);
                iicp_buf_printf(out, "%s\"total_tokens\":%lld", first ? "" : ",", (long long) facts->tokens);
        }
        iicp_buf_puts(out, "}");
        facts->prompt_tokens = prompt;
        facts->usage_at = start;
        facts->usage_n = out->error ? 0 : out->n - start;
}

static bool message_in_form(const struct iicp_json *message) {
        struct iicp_json content = iicp_json_get(message, "content");

        return content.type != IICP_JSON_NONE && content.type != IICP_JSON_NULL &&
               iicp_json_get(message, "role").type == IICP_JSON_STRING;
}

static void write_message(const struct iicp_json *message, struct iicp_buf *out) {
        bool first = true, role = false, content = false;
        struct iicp_json name, v;
        struct iicp_json_iter it;

        iicp_buf_puts(out, "{");
        iicp_json_iter_init(&it, message);
        while (iicp_json_next(&it, &name, &v)) {
                bool is_content = iicp_json_is(&name, "content"), is_role = iicp_json_is(&name, "role");

                if ((is_content && v.type == IICP_JSON_NULL) || (is_role && v.type != IICP_JSON_STRING))
                        continue;
                content |= is_content;
                role |= is_role;
                member(out, &first, &name);
                value(out, &v);
        }
        if (!role)
                iicp_buf_printf(out, "%s\"role\":\"assistant\"", first ? "" : ",");
        if (!content)
                iicp_buf_puts(out, ",\"content\":\"\"");
        iicp_buf_puts(out, "}");
}

/* false: not the shape of the intent. */
static bool write_choice(enum iicp_intent_kind kind, const struct iicp_json *choice, struct iicp_buf *out) {
        const char *what = kind == IICP_INTENT_CHAT ? "message" : "text";
        struct iicp_json body, name, v;
        struct iicp_json_iter it;
        bool first = true, finish;

        if (choice->type != IICP_JSON_OBJECT)
                return false;
        body = iicp_json_get(choice, what);
        if (body.type != (kind == IICP_INTENT_CHAT ? IICP_JSON_OBJECT : IICP_JSON_STRING))
                return false;
        finish = iicp_json_get(choice, "finish_reason").type != IICP_JSON_NONE;
        if (finish && (kind != IICP_INTENT_CHAT || message_in_form(&body))) {
                value(out, choice);
                return true;
        }
        iicp_buf_puts(out, "{");
        iicp_json_iter_init(&it, choice);
        while (iicp_json_next(&it, &name, &v)) {
                member(out, &first, &name);
                if (kind == IICP_INTENT_CHAT && iicp_json_is(&name, "message") && v.type == IICP_JSON_OBJECT)
                        write_message(&v, out);
                else
                        value(out, &v);
        }
        iicp_buf_puts(out, finish ? "}" : ",\"finish_reason\":null}");
        return true;
}

static bool write_choices(enum iicp_intent_kind kind, const struct iicp_json *choices, struct iicp_buf *out) {
        struct iicp_json choice;
        struct iicp_json_iter it;
        bool first = true;

        if (choices->type != IICP_JSON_ARRAY)
                return false;
        iicp_buf_puts(out, "[");
        iicp_json_iter_init(&it, choices);
        while (iicp_json_next(&it, NULL, &choice)) {
                if (!first)
                        iicp_buf_puts(out, ",");
                first = false;
                if (!write_choice(kind, &choice, out))
                        return false;
        }
        iicp_buf_puts(out, "]");
        return !first;
}

static bool embeddings_ok(const struct iicp_json *data) {
        struct iicp_json item, embedding;
        struct iicp_json_iter it;
        bool any = false;

        if (data->type != IICP_JSON_ARRAY)
                return false;
        iicp_json_iter_init(&it, data);
        while (iicp_json_next(&it, NULL, &item)) {
                embedding = iicp_json_get(&item, "embedding");
                if (embedding.type != IICP_JSON_ARRAY && embedding.type != IICP_JSON_STRING)
                        return false;
                any = true;
        }
        return any;
}

static bool results_ok(const struct iicp_json *results) {
        struct iicp_json item;
        struct iicp_json_iter it;

        if (results->type != IICP_JSON_ARRAY)
                return false;
        iicp_json_iter_init(&it, results);
        return iicp_json_next(&it, NULL, &item) && item.type == IICP_JSON_OBJECT;
}

/* The member that the intent promises. false: it is not what it should be. */
static bool write_list(enum iicp_intent_kind kind, const struct iicp_json *list, struct iicp_buf *out) {
        if (kind == IICP_INTENT_CHAT || kind == IICP_INTENT_COMPLETION)
                return write_choices(kind, list, out);
        value(out, list);
        return kind == IICP_INTENT_MODERATE ? results_ok(list) : embeddings_ok(list);
}

/* NULL: any object will do. What is made here of a server's bytes, or of a model's words, is in form. */
static const char *promised(enum iicp_intent_kind kind) {
        if (kind == IICP_INTENT_MULTIMODAL)
                kind = IICP_INTENT_EMBEDDING;
        return iicp_intent_of(kind)->extended ? NULL : iicp_intent_of(kind)->list;
}

bool result_normalise(enum iicp_intent_kind kind, struct iicp_str result, struct iicp_buf *out,
                      struct result_facts *ret) {
        const char *list = promised(kind);
        struct result_facts facts = {.tokens = -1, .prompt_tokens = -1};
        struct iicp_json object, name, v;
        struct iicp_json_iter it;
        bool first = true, shape = !list;

        if (iicp_json_scan(result, NULL, NULL, &object) < 0 || object.type != IICP_JSON_OBJECT)
                return false;
        iicp_buf_puts(out, "{");
        iicp_json_iter_init(&it, &object);
        while (iicp_json_next(&it, &name, &v)) {
                bool is_usage = iicp_json_is(&name, "usage");

                if (is_usage && v.type != IICP_JSON_OBJECT)
                        continue;
                member(out, &first, &name);
                if (is_usage)
                        write_usage(&v, out, &facts);
                else if (list && iicp_json_is(&name, list)) {
                        shape = write_list(kind, &v, out);
                        if (!shape)
                                return false;
                } else {
                        if (iicp_json_is(&name, "model") && v.type == IICP_JSON_STRING)
                                facts.model = v;
                        value(out, &v);
                }
        }
        iicp_buf_puts(out, "}");
        *ret = facts;
        return shape;
}
