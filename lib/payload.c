/* SPDX-License-Identifier: Apache-2.0 */
#include "json-internal.h"
#include "payload-internal.h"
#include "util.h"
#include <iicp/intents.h>

#define CHAT_TEMPERATURE_MAX 2.0

static bool refuse(struct iicp_refusal *refusal, const char *field) {
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_VALIDATION, .field = field};
        return false;
}

static bool array_of_strings(const struct iicp_json *v, size_t min) {
        struct iicp_json_iter it;
        struct iicp_json item;
        size_t n = 0;

        if (v->type != IICP_JSON_ARRAY)
                return false;
        for (iicp_json_iter_init(&it, v); iicp_json_next(&it, NULL, &item); n++)
                if (item.type != IICP_JSON_STRING)
                        return false;
        return n >= min;
}

static bool known_role(const struct iicp_json *role) {
        return iicp_json_is(role, "user") || iicp_json_is(role, "system") ||
               iicp_json_is(role, "assistant") || iicp_json_is(role, "tool") ||
               iicp_json_is(role, "developer");
}

static bool is_data_uri(const struct iicp_json *v) {
        static const char scheme[] = "data:";

        if (v->type != IICP_JSON_STRING || v->text.n < sizeof(scheme) - 1)
                return false;
        for (size_t i = 0; i < sizeof(scheme) - 1; i++)
                if ((v->text.p[i] | 0x20) != (scheme[i] | 0x20))
                        return false;
        return true;
}

/* Bare base64, which some dialects take where others take a data URI: text that names no place. */
static bool is_base64(const struct iicp_json *v) {
        if (v->type != IICP_JSON_STRING || v->escaped)
                return false;
        for (size_t i = 0; i < v->text.n; i++) {
                char c = v->text.p[i];

                if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
                    (c == '\0' || !strchr("+/=_-", c)))
                        return false;
        }
        return true;
}

/* A URL where a part holds one: "…" or {"url":"…"}. */
static bool url_is_local(const struct iicp_json *v) {
        struct iicp_json_iter it;
        struct iicp_json name, value;

        if (v->type != IICP_JSON_OBJECT)
                return is_data_uri(v);
        iicp_json_iter_init(&it, v);
        while (iicp_json_next(&it, &name, &value))
                if (json_name_is(&name, "url") && !is_data_uri(&value))
                        return false;
        return true;
}

/* Content carried inside the part: {"data":…} of input_audio, {"file_data":…} of file. */
static bool data_is_local(const struct iicp_json *v) {
        struct iicp_json_iter it;
        struct iicp_json name, value;

        if (v->type != IICP_JSON_OBJECT)
                return is_data_uri(v);
        iicp_json_iter_init(&it, v);
        while (iicp_json_next(&it, &name, &value)) {
                if (value.type == IICP_JSON_NULL)
                        continue;
                if ((json_name_is(&name, "data") || json_name_is(&name, "file_data")) &&
                    !is_data_uri(&value) && !is_base64(&value))
                        return false;
                if ((json_name_is(&name, "url") || json_name_is(&name, "file_url")) &&
                    !is_data_uri(&value))
                        return false;
                if (json_name_is(&name, "file_id"))
                        return false; /* a file that lies at the backend */
        }
        return true;
}

/* Whatever the part says its type is: servers go by the member. [05 section 15, SSRF by payload] */
static bool part_is_local(const struct iicp_json *part) {
        struct iicp_json_iter it;
        struct iicp_json name, value;

        if (part->type != IICP_JSON_OBJECT)
                return true;
        iicp_json_iter_init(&it, part);
        while (iicp_json_next(&it, &name, &value)) {
                bool url = json_name_is(&name, "image_url") || json_name_is(&name, "audio_url") ||
                           json_name_is(&name, "video_url");
                bool data = json_name_is(&name, "input_audio") || json_name_is(&name, "file");

                if (value.type != IICP_JSON_NULL &&
                    ((url && !url_is_local(&value)) || (data && !data_is_local(&value))))
                        return false;
        }
        return true;
}

static bool content_is_local(const struct iicp_json *content) {
        struct iicp_json_iter it;
        struct iicp_json part;

        if (content->type != IICP_JSON_ARRAY)
                return true;
        iicp_json_iter_init(&it, content);
        while (iicp_json_next(&it, NULL, &part))
                if (!part_is_local(&part))
                        return false;
        return true;
}

/* Servers may read messages where the intent knows none (vLLM: embeddings of a conversation). */
static bool messages_are_local(const struct iicp_json *messages) {
        struct iicp_json_iter it, inner;
        struct iicp_json message, name, value;

        if (messages->type != IICP_JSON_ARRAY)
                return true;
        iicp_json_iter_init(&it, messages);
        while (iicp_json_next(&it, NULL, &message)) {
                iicp_json_iter_init(&inner, &message);
                while (iicp_json_next(&inner, &name, &value))
                        if (json_name_is(&name, "content") && !content_is_local(&value))
                                return false;
        }
        return true;
}

static bool check_message(const struct iicp_json *message, unsigned flags, struct iicp_payload *p) {
        struct iicp_json_iter it;
        struct iicp_json name, value;
        bool role = false, content = false;

        if (message->type != IICP_JSON_OBJECT)
                return false;
        iicp_json_iter_init(&it, message);
        while (iicp_json_next(&it, &name, &value)) {
                if (json_name_is(&name, "role")) {
                        if (!known_role(&value))
                                return false;
                        p->has_developer = p->has_developer || iicp_json_is(&value, "developer");
                        role = true;
                } else if (json_name_is(&name, "content")) {
                        if (!(flags & IICP_PAYLOAD_REMOTE_MEDIA) && !content_is_local(&value))
                                return false;
                        content = true;
                }
        }
        return role && content;
}

static bool check_messages(const struct iicp_json *v, unsigned flags, struct iicp_payload *p) {
        struct iicp_json_iter it;
        struct iicp_json message;
        size_t n = 0;

        if (v->type != IICP_JSON_ARRAY)
                return false;
        for (iicp_json_iter_init(&it, v); iicp_json_next(&it, NULL, &message); n++)
                if (!check_message(&message, flags, p))
                        return false;
        return n > 0;
}

static bool in_range(const struct iicp_json *v, double max) {
        double d;

        return iicp_json_double(v, &d) == 0 && d >= 0 && d <= max;
}

/* The member without which the intent means nothing. 0: not this one, 1: good, -1: bad. */
static int check_essential(const struct iicp_intent *intent, const struct iicp_json *name,
                           const struct iicp_json *v, unsigned flags, struct iicp_payload *p) {
        bool good;

        switch (intent->kind) {
        case IICP_INTENT_CHAT:
                if (!json_name_is(name, "messages"))
                        return 0;
                good = check_messages(v, flags, p);
                break;
        case IICP_INTENT_COMPLETION:
                if (!json_name_is(name, "prompt"))
                        return 0;
                good = v->type == IICP_JSON_STRING;
                break;
        case IICP_INTENT_EMBEDDING:
        case IICP_INTENT_MODERATE:
                if (!json_name_is(name, "input"))
                        return 0;
                good = v->type == IICP_JSON_STRING || array_of_strings(v, 1);
                break;
        default:
                return 0;
        }
        return good ? 1 : -1;
}

static const char *essential_field(const struct iicp_intent *intent) {
        switch (intent->kind) {
        case IICP_INTENT_CHAT:
                return "payload.messages";
        case IICP_INTENT_COMPLETION:
                return "payload.prompt";
        case IICP_INTENT_EMBEDDING:
        case IICP_INTENT_MODERATE:
                return "payload.input";
        default:
                return "payload";
        }
}

/* Members that several intents share. Returns the field at fault or NULL. */
static const char *check_member(const struct iicp_intent *intent, const struct iicp_json *name,
                                const struct iicp_json *v, unsigned flags, struct iicp_payload *p) {
        bool generates = intent->kind == IICP_INTENT_CHAT || intent->kind == IICP_INTENT_COMPLETION;

        if (json_name_is(name, "model")) {
                p->model = v->type == IICP_JSON_STRING && v->text.n > 0 ? *v : (struct iicp_json){};
        } else if (payload_is_limit(name)) {
                if (generates)
                        return payload_take_limit(name, v, p);
        } else if (json_name_is(name, "temperature")) {
                if (generates && !in_range(v, CHAT_TEMPERATURE_MAX))
                        return "payload.temperature";
        } else if (json_name_is(name, "stop")) {
                if (intent->kind == IICP_INTENT_CHAT && v->type != IICP_JSON_STRING &&
                    !array_of_strings(v, 0))
                        return "payload.stop";
        } else if (json_name_is(name, "messages")) {
                if (intent->kind != IICP_INTENT_CHAT && !(flags & IICP_PAYLOAD_REMOTE_MEDIA) &&
                    !messages_are_local(v))
                        return "payload.messages";
        } else if (json_name_is(name, "n")) {
                int64_t n;

                p->has_n = iicp_json_int(v, &n) == 0 && n > 1;
        } else if (json_name_is(name, "logprobs") || json_name_is(name, "top_logprobs")) {
                p->has_logprobs = p->has_logprobs || v->type != IICP_JSON_FALSE;
        } else if (json_name_is(name, "tools")) {
                p->has_tools = v->type == IICP_JSON_ARRAY && v->text.n > 2;
        }
        return NULL;
}

bool iicp_payload_check(const struct iicp_intent *intent, const struct iicp_json *payload,
                        unsigned flags, struct iicp_payload *ret, struct iicp_refusal *refusal) {
        struct iicp_payload p = {.object = *payload};
        struct iicp_json_iter it;
        struct iicp_json name, value;
        bool essential = false;

        if (payload->type != IICP_JSON_OBJECT)
                return refuse(refusal, "payload");
        if (schema_of(intent->kind))
                return schema_check(intent, payload, ret, refusal);
        iicp_json_iter_init(&it, payload);
        while (iicp_json_next(&it, &name, &value)) {
                const char *fault;
                int r;

                if (value.type == IICP_JSON_NULL)
                        continue; /* dropped before forwarding: as if it were not there */
                r = check_essential(intent, &name, &value, flags, &p);
                if (r < 0)
                        return refuse(refusal, essential_field(intent));
                essential = essential || r > 0;
                fault = check_member(intent, &name, &value, flags, &p);
                if (fault)
                        return refuse(refusal, fault);
        }
        if (!essential)
                return refuse(refusal, essential_field(intent));
        *ret = p;
        return true;
}

bool payload_drops(const struct iicp_json *name, const struct iicp_json *value) {
        if (value->type == IICP_JSON_NULL)
                return true;
        if (name->text.n > 0 && name->text.p[0] == '_')
                return true;
        if (name->escaped) {
                struct iicp_json first = *name;

                /* "_" may be written as an escape too */
                first.text.n = MIN(first.text.n, (size_t) 6);
                if (iicp_json_is(&first, "_"))
                        return true;
        }
        return json_name_is(name, "model") || payload_is_limit(name) ||
               json_name_is(name, "stream") || json_name_is(name, "stream_options");
}

/* Copies the messages with "developer" replaced, byte for byte otherwise. */
static void add_messages(const struct iicp_json *messages, struct iicp_buf *out) {
        const char *from = messages->text.p;
        struct iicp_json_iter it, inner;
        struct iicp_json message, name, value;

        iicp_json_iter_init(&it, messages);
        while (iicp_json_next(&it, NULL, &message)) {
                iicp_json_iter_init(&inner, &message);
                while (iicp_json_next(&inner, &name, &value)) {
                        if (!json_name_is(&name, "role") || !iicp_json_is(&value, "developer"))
                                continue;
                        iicp_buf_add(out, from, (size_t) (value.text.p - from));
                        iicp_buf_puts(out, "system");
                        from = value.text.p + value.text.n;
                }
        }
        iicp_buf_add(out, from, (size_t) (messages->text.p + messages->text.n - from));
}

static void add_value(const struct iicp_intent *intent, const struct iicp_payload *payload,
                      const struct iicp_json *name, const struct iicp_json *value,
                      struct iicp_buf *out) {
        if (intent->kind == IICP_INTENT_CHAT && payload->has_developer &&
            json_name_is(name, "messages")) {
                add_messages(value, out);
        } else if (value->type == IICP_JSON_STRING) {
                bool wrap = intent->kind == IICP_INTENT_CHAT && json_name_is(name, "stop");

                /* the slice stands between quotes: take them along */
                iicp_buf_puts(out, wrap ? "[" : "");
                iicp_buf_add(out, value->text.p - 1, value->text.n + 2);
                iicp_buf_puts(out, wrap ? "]" : "");
        } else {
                iicp_buf_add_str(out, value->text);
        }
}

void iicp_payload_write(const struct iicp_intent *intent, const struct iicp_payload *payload,
                        const struct iicp_payload_rewrite *how, struct iicp_buf *out) {
        struct iicp_json_iter it;
        struct iicp_json name, value;
        size_t max = out->max ? out->max : IICP_BUF_MAX;
        const char *separator = "{";

        if (intent->kind == IICP_INTENT_SPEECH) {
                speech_write(payload, how->model, out);
                return;
        }
        /* one allocation, mostly: the body grows by the model, the limit and the stream options */
        iicp_buf_reserve(out,
                         MIN(payload->object.text.n + how->model.n + 128, max - MIN(max, out->n)));
        if (how->model.p) {
                iicp_buf_puts(out, "{\"model\":");
                iicp_buf_json_str(out, how->model);
                separator = ",";
        }
        iicp_json_iter_init(&it, &payload->object);
        while (iicp_json_next(&it, &name, &value)) {
                if (payload_drops(&name, &value))
                        continue;
                iicp_buf_puts(out, separator);
                separator = ",";
                iicp_buf_add(out, name.text.p - 1, name.text.n + 2);
                iicp_buf_puts(out, ":");
                add_value(intent, payload, &name, &value, out);
        }
        if (how->max_tokens > 0) {
                iicp_buf_printf(out, "%s\"max_tokens\":%lld", separator,
                                (long long) how->max_tokens);
                separator = ",";
        }
        if (how->stream) {
                iicp_buf_printf(out,
                                "%s\"stream\":true,\"stream_options\":{\"include_usage\":true}",
                                separator);
                separator = ",";
        }
        iicp_buf_puts(out, *separator == '{' ? "{}" : "}");
}
