/* SPDX-License-Identifier: Apache-2.0 */
#include "messages.h"
#include "util.h"

/* ---- request ---- */

static bool is_system(const struct iicp_json *message) {
        struct iicp_json role = iicp_json_get(message, "role");

        return iicp_json_is(&role, "system") || iicp_json_is(&role, "developer");
}

static void put_raw(struct iicp_buf *out, const struct iicp_json *v) {
        bool string = v->type == IICP_JSON_STRING;

        iicp_buf_puts(out, string ? "\"" : "");
        iicp_buf_add_str(out, v->text);
        iicp_buf_puts(out, string ? "\"" : "");
}

static void put_system_part(struct iicp_buf *out, const struct iicp_json *text, bool *any) {
        if (text->type != IICP_JSON_STRING || !text->text.n)
                return;
        iicp_buf_puts(out, *any ? "\\n\\n" : ",\"system\":\"");
        iicp_buf_add_str(out, text->text);
        *any = true;
}

/* Raw string bodies are joined: the blank line is written as its escapes. */
static void write_system(const struct iicp_json *messages, struct iicp_buf *out) {
        struct iicp_json message, content, part, text;
        struct iicp_json_iter it, parts;
        bool any = false;

        iicp_json_iter_init(&it, messages);
        while (iicp_json_next(&it, NULL, &message)) {
                if (!is_system(&message))
                        continue;
                content = iicp_json_get(&message, "content");
                put_system_part(out, &content, &any);
                if (content.type != IICP_JSON_ARRAY)
                        continue;
                iicp_json_iter_init(&parts, &content);
                while (iicp_json_next(&parts, NULL, &part)) {
                        text = iicp_json_get(&part, "text");
                        put_system_part(out, &text, &any);
                }
        }
        if (any)
                iicp_buf_puts(out, "\"");
}

/* "data:TYPE;base64,DATA" */
static bool split_data_uri(struct iicp_str url, struct iicp_str *ret_type, struct iicp_str *ret_data) {
        static const char mark[] = ";base64,";
        const char *comma;
        size_t n;

        if (url.n < 5 || memcmp(url.p, "data:", 5) != 0 || !(comma = memchr(url.p, ',', url.n)))
                return false;
        n = (size_t) (comma - url.p) + 1;
        if (n < 5 + sizeof mark - 1 || memcmp(url.p + n - (sizeof mark - 1), mark, sizeof mark - 1) != 0)
                return false;
        *ret_type = (struct iicp_str){url.p + 5, n - 5 - (sizeof mark - 1)};
        *ret_data = (struct iicp_str){url.p + n, url.n - n};
        return true;
}

static void write_image(const struct iicp_json *part, struct iicp_buf *out) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf url = {.secret = true};
        struct iicp_json image = iicp_json_get(part, "image_url"), v;
        struct iicp_str type, data;

        v = image.type == IICP_JSON_STRING ? image : iicp_json_get(&image, "url");
        if (v.type == IICP_JSON_STRING)
                iicp_json_decode(&v, &url);
        if (url.error)
                out->error = url.error;
        if (split_data_uri(iicp_buf_str(&url), &type, &data)) {
                iicp_buf_puts(out, "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":");
                iicp_buf_json_str(out, type.n ? type : IICP_STR("image/png"));
                iicp_buf_puts(out, ",\"data\":");
                iicp_buf_json_str(out, data);
        } else {
                iicp_buf_puts(out, "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":");
                iicp_buf_json_str(out, iicp_buf_str(&url));
        }
        iicp_buf_puts(out, "}}");
}

static void write_parts(const struct iicp_json *content, struct iicp_buf *out) {
        struct iicp_json part, type, text;
        struct iicp_json_iter it;
        const char *comma = "";

        iicp_buf_puts(out, "[");
        iicp_json_iter_init(&it, content);
        while (iicp_json_next(&it, NULL, &part)) {
                type = iicp_json_get(&part, "type");
                text = iicp_json_get(&part, "text");
                if (iicp_json_is(&type, "text") && text.type == IICP_JSON_STRING) {
                        iicp_buf_puts(out, comma);
                        iicp_buf_puts(out, "{\"type\":\"text\",\"text\":");
                        put_raw(out, &text);
                        iicp_buf_puts(out, "}");
                } else if (iicp_json_is(&type, "image_url")) {
                        iicp_buf_puts(out, comma);
                        write_image(&part, out);
                } else {
                        continue; /* the dialect has no such part */
                }
                comma = ",";
        }
        iicp_buf_puts(out, "]");
}

static void write_messages(const struct iicp_json *messages, struct iicp_buf *out) {
        struct iicp_json message, role, content;
        struct iicp_json_iter it;
        const char *comma = "";

        iicp_buf_puts(out, ",\"messages\":[");
        iicp_json_iter_init(&it, messages);
        while (iicp_json_next(&it, NULL, &message)) {
                if (is_system(&message))
                        continue;
                role = iicp_json_get(&message, "role");
                content = iicp_json_get(&message, "content");
                iicp_buf_puts(out, comma);
                iicp_buf_puts(out, "{\"role\":");
                put_raw(out, &role);
                iicp_buf_puts(out, ",\"content\":");
                if (content.type == IICP_JSON_ARRAY)
                        write_parts(&content, out);
                else
                        put_raw(out, &content);
                iicp_buf_puts(out, "}");
                comma = ",";
        }
        iicp_buf_puts(out, "]");
}

static void write_number(const struct iicp_json *object, const char *name, struct iicp_buf *out) {
        struct iicp_json v = iicp_json_get(object, name);

        if (v.type != IICP_JSON_NUMBER)
                return;
        iicp_buf_printf(out, ",\"%s\":", name);
        put_raw(out, &v);
}

static void write_stop(const struct iicp_json *object, struct iicp_buf *out) {
        struct iicp_json v = iicp_json_get(object, "stop");

        if (v.type != IICP_JSON_STRING && v.type != IICP_JSON_ARRAY)
                return;
        iicp_buf_puts(out, ",\"stop_sequences\":");
        iicp_buf_puts(out, v.type == IICP_JSON_STRING ? "[" : "");
        put_raw(out, &v);
        iicp_buf_puts(out, v.type == IICP_JSON_STRING ? "]" : "");
}

void messages_write_request(const struct iicp_payload *payload, const struct messages_request *how,
                            struct iicp_buf *out) {
        const struct iicp_json *object = &payload->object;
        struct iicp_json messages = iicp_json_get(object, "messages");

        iicp_buf_reserve(out, object->text.n + 256);
        iicp_buf_puts(out, "{\"model\":");
        iicp_buf_json_str(out, how->model);
        write_messages(&messages, out);
        write_system(&messages, out);
        iicp_buf_printf(out, ",\"max_tokens\":%lld", (long long) how->max_tokens);
        write_number(object, "temperature", out);
        write_number(object, "top_p", out);
        write_stop(object, out);
        iicp_buf_puts(out, how->stream ? ",\"stream\":true}" : "}");
}

/* ---- answer ---- */

const char *messages_finish(const struct iicp_json *stop_reason) {
        if (iicp_json_is(stop_reason, "max_tokens"))
                return "length";
        return iicp_json_is(stop_reason, "tool_use") ? "tool_calls" : "stop";
}

static int64_t tokens(const struct iicp_json *usage, const char *name) {
        struct iicp_json v = iicp_json_get(usage, name);
        int64_t n;

        return v.type == IICP_JSON_NUMBER && iicp_json_int(&v, &n) == 0 && n >= 0 && n < INT32_MAX ? n : -1;
}

void messages_usage(const struct iicp_json *usage, int64_t *input, int64_t *output) {
        int64_t in = tokens(usage, "input_tokens"), out = tokens(usage, "output_tokens");

        /* What came out of a cache was read all the same, and is counted apart here. */
        if (in >= 0)
                *input = in + MAX(tokens(usage, "cache_read_input_tokens"), 0) +
                         MAX(tokens(usage, "cache_creation_input_tokens"), 0);
        if (out >= 0)
                *output = out;
}

void messages_write_usage(struct iicp_buf *out, int64_t input, int64_t output) {
        input = MAX(input, 0);
        output = MAX(output, 0);
        iicp_buf_printf(out, "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld}",
                        (long long) input, (long long) output, (long long) (input + output));
}

static void write_text(const struct iicp_json *content, struct iicp_buf *out) {
        struct iicp_json block, type, text;
        struct iicp_json_iter it;

        iicp_json_iter_init(&it, content);
        while (iicp_json_next(&it, NULL, &block)) {
                type = iicp_json_get(&block, "type");
                text = iicp_json_get(&block, "text");
                if (iicp_json_is(&type, "text") && text.type == IICP_JSON_STRING)
                        iicp_buf_add_str(out, text.text);
        }
}

static void write_string(const struct iicp_json *object, const char *name, struct iicp_buf *out) {
        struct iicp_json v = iicp_json_get(object, name);

        if (v.type != IICP_JSON_STRING)
                return;
        iicp_buf_printf(out, "\"%s\":", name);
        put_raw(out, &v);
        iicp_buf_puts(out, ",");
}

bool messages_write_answer(struct iicp_str body, struct iicp_buf *out) {
        struct iicp_json top, content, reason, usage;
        int64_t input = -1, output = -1;

        if (iicp_json_scan(body, NULL, NULL, &top) < 0 || top.type != IICP_JSON_OBJECT)
                return false;
        content = iicp_json_get(&top, "content");
        if (content.type != IICP_JSON_ARRAY)
                return false;
        reason = iicp_json_get(&top, "stop_reason");
        usage = iicp_json_get(&top, "usage");
        iicp_buf_reserve(out, body.n + 256);
        iicp_buf_puts(out, "{");
        write_string(&top, "id", out);
        iicp_buf_puts(out, "\"object\":\"chat.completion\",");
        write_string(&top, "model", out);
        iicp_buf_puts(out, "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
        write_text(&content, out);
        iicp_buf_printf(out, "\"},\"finish_reason\":\"%s\"}]", messages_finish(&reason));
        if (usage.type == IICP_JSON_OBJECT)
                messages_usage(&usage, &input, &output);
        if (input >= 0 || output >= 0) {
                iicp_buf_puts(out, ",\"usage\":");
                messages_write_usage(out, input, output);
        }
        iicp_buf_puts(out, "}");
        return true;
}
