/* SPDX-License-Identifier: Apache-2.0 */
#include "payload-internal.h"

#include "json-internal.h"
#include "util.h"

#include <iicp/codec.h>

/* Payloads told member by member, as the registry's input schemas tell them. [02 sections 9.3, 9.5]
 */

#define COUNT_MAX 1e15
#define FILENAME_MAX_ 255

enum member_type {
        TEXT,   /* at least min characters */
        TEXTS,  /* array of at least one string */
        COUNT,  /* integer of at least min */
        NUMBER, /* min to max */
        WORD,
        FLAG,
        BASE64, /* standard alphabet, padded, not empty */
        LANGUAGE,
        FILENAME,
        INPUTS, /* of embedding:multimodal */
};

struct member {
        const char *name, *field;
        enum member_type type;
        bool required;
        double min, max;
        const char *const *words;
};

struct schema {
        bool closed; /* no other members */
        struct member members[8];
};

#define M(n, ...)                                                                                  \
        { .name = n, .field = "payload." n, __VA_ARGS__ }
#define NEED(n, ...) M(n, __VA_ARGS__, .required = true)

static const char *const text_formats[] = {"json", "text", NULL};
static const char *const sound_formats[] = {"wav", "mp3", "opus", "flac", "aac", NULL};
static const char *const summary_formats[] = {"bullets", "paragraph", "headline", NULL};
static const char *const research_formats[] = {"bullet", "paragraph", "abstract", NULL};
static const char *const targets[] = {"performance", "readability", "size", NULL};
static const char *const levels[] = {"beginner", "intermediate", "advanced", NULL};

static const struct schema schemas[IICP_INTENT_MAX_] = {
        /* "audio" has another name too: whether one is there is looked at apart */
        [IICP_INTENT_TRANSCRIBE] = {.members = {M("audio", BASE64), M("audio_b64", BASE64),
                                                M("response_format", WORD, .words = text_formats),
                                                M("language", LANGUAGE),
                                                M("temperature", NUMBER, .max = 1),
                                                M("filename", FILENAME), M("model", TEXT),
                                                M("prompt", TEXT)}},
        [IICP_INTENT_SPEECH] = {.members = {NEED("input", TEXT, .min = 1),
                                            M("response_format", WORD, .words = sound_formats),
                                            M("speed", NUMBER, .min = 0.25, .max = 4),
                                            M("voice", TEXT), M("model", TEXT)}},
        [IICP_INTENT_RERANK] = {true,
                                {NEED("query", TEXT), NEED("candidates", TEXTS),
                                 M("top_k", COUNT, .min = 1), M("return_scores", FLAG)}},
        [IICP_INTENT_TRANSLATE] = {true,
                                   {NEED("text", TEXT), NEED("target_language", TEXT),
                                    M("source_language", TEXT)}},
        [IICP_INTENT_SUMMARIZE] = {true,
                                   {NEED("text", TEXT), M("max_length", COUNT, .min = 1),
                                    M("format", WORD, .words = summary_formats),
                                    M("language", TEXT)}},
        [IICP_INTENT_RESEARCH] = {true,
                                  {NEED("documents", TEXTS), M("max_length", COUNT, .min = 1),
                                   M("format", WORD, .words = research_formats)}},
        [IICP_INTENT_CLASSIFY] = {true,
                                  {NEED("text", TEXT), NEED("categories", TEXTS),
                                   M("multi_label", FLAG), M("explain", FLAG)}},
        [IICP_INTENT_LINT] = {true,
                              {NEED("code", TEXT), NEED("language", TEXT), M("rules", TEXTS)}},
        [IICP_INTENT_OPTIMIZE] = {true,
                                  {NEED("code", TEXT), NEED("language", TEXT),
                                   M("target", WORD, .words = targets)}},
        [IICP_INTENT_TUTOR] = {true,
                               {NEED("topic", TEXT), NEED("question", TEXT),
                                M("level", WORD, .words = levels)}},
        [IICP_INTENT_MULTIMODAL] = {true, {NEED("inputs", INPUTS)}},
};

const struct schema *schema_of(enum iicp_intent_kind kind) {
        const struct schema *s = &schemas[kind];

        return s->members[0].name ? s : NULL;
}

static bool texts_ok(const struct iicp_json *v, size_t min) {
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

static bool base64_ok(const struct iicp_json *v) {
        struct iicp_buf text = {.secret = true}, bytes = {.secret = true};
        struct iicp_str s = v->text;
        size_t n = 0;
        bool ok = false;

        if (v->type != IICP_JSON_STRING || v->text.n == 0)
                return false;
        if (v->escaped) { /* some writers escape the slash */
                if (iicp_json_decode(v, &text) < 0)
                        s = IICP_STR_NONE;
                else
                        s = iicp_buf_str(&text);
        }
        if (s.p && iicp_buf_reserve(&bytes, s.n))
                ok = iicp_b64_decode(s, bytes.p, s.n, &n) == 0 && n > 0;
        bytes.n = n;
        iicp_buf_wipe(&text);
        iicp_buf_wipe(&bytes);
        return ok;
}

static bool is_letter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$ */
static bool language_ok(const struct iicp_json *v) {
        const char *p = v->text.p, *end = p + v->text.n;
        size_t n = 0;

        if (v->type != IICP_JSON_STRING || v->escaped)
                return false;
        for (; p < end && is_letter(*p); p++)
                n++;
        if (n < 2 || n > 3)
                return false;
        while (p < end) {
                if (*p++ != '-')
                        return false;
                for (n = 0; p < end && (is_letter(*p) || (*p >= '0' && *p <= '9')); p++)
                        n++;
                if (n == 0)
                        return false;
        }
        return true;
}

/* It goes into a header of the form: nothing that could end it there. */
static bool filename_ok(const struct iicp_json *v) {
        char name[FILENAME_MAX_ + 1];

        if (v->type != IICP_JSON_STRING || iicp_json_copy(v, name, sizeof(name)) < 0)
                return false;
        for (const char *p = name; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == '"' || *p == 0x7f)
                        return false;
        return true;
}

/* Only text can be embedded: the endpoint takes nothing else. */
static bool inputs_ok(const struct iicp_json *v) {
        struct iicp_json_iter it, inner;
        struct iicp_json item, name, value;
        size_t n = 0;

        if (v->type != IICP_JSON_ARRAY)
                return false;
        for (iicp_json_iter_init(&it, v); iicp_json_next(&it, NULL, &item); n++) {
                bool type = false, content = false;

                if (item.type != IICP_JSON_OBJECT)
                        return false;
                iicp_json_iter_init(&inner, &item);
                while (iicp_json_next(&inner, &name, &value)) {
                        if (json_name_is(&name, "type") && iicp_json_is(&value, "text"))
                                type = true;
                        else if (json_name_is(&name, "content") && value.type == IICP_JSON_STRING)
                                content = true;
                        else
                                return false;
                }
                if (!type || !content)
                        return false;
        }
        return n > 0;
}

static bool word_ok(const struct iicp_json *v, const char *const *words) {
        for (; *words; words++)
                if (iicp_json_is(v, *words))
                        return true;
        return false;
}

static bool number_ok(const struct iicp_json *v, double min, double max) {
        double d;

        return iicp_json_double(v, &d) == 0 && d >= min && d <= max;
}

static bool count_ok(const struct iicp_json *v, double min) {
        int64_t n;

        return iicp_json_int(v, &n) == 0 && (double) n >= min && (double) n <= COUNT_MAX;
}

static bool member_ok(const struct member *m, const struct iicp_json *v) {
        switch (m->type) {
        case TEXT:
                return v->type == IICP_JSON_STRING && v->text.n >= (size_t) m->min;
        case TEXTS:
                return texts_ok(v, m->required ? 1 : 0);
        case COUNT:
                return count_ok(v, m->min);
        case NUMBER:
                return number_ok(v, m->min, m->max);
        case WORD:
                return word_ok(v, m->words);
        case FLAG:
                return v->type == IICP_JSON_TRUE || v->type == IICP_JSON_FALSE;
        case BASE64:
                return base64_ok(v);
        case LANGUAGE:
                return language_ok(v);
        case FILENAME:
                return filename_ok(v);
        case INPUTS:
                return inputs_ok(v);
        }
        return false;
}

static const struct member *find(const struct schema *s, const struct iicp_json *name) {
        for (size_t i = 0; i < ARRAY_SIZE(s->members) && s->members[i].name; i++)
                if (iicp_json_is(name, s->members[i].name))
                        return &s->members[i];
        return NULL;
}

static bool refuse(struct iicp_refusal *refusal, const char *field) {
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_VALIDATION, .field = field};
        return false;
}

static const char *missing(const struct schema *s, const struct iicp_intent *intent,
                           const struct iicp_json *payload) {
        for (size_t i = 0; i < ARRAY_SIZE(s->members) && s->members[i].name; i++) {
                struct iicp_json v = iicp_json_get(payload, s->members[i].name);

                if (s->members[i].required &&
                    (v.type == IICP_JSON_NONE || v.type == IICP_JSON_NULL))
                        return s->members[i].field;
        }
        if (intent->kind == IICP_INTENT_TRANSCRIBE &&
            transcription_audio(payload).type == IICP_JSON_NONE)
                return "payload.audio";
        return NULL;
}

bool schema_check(const struct iicp_intent *intent, const struct iicp_json *payload,
                  struct iicp_payload *ret, struct iicp_refusal *refusal) {
        const struct schema *s = schema_of(intent->kind);
        struct iicp_payload p = {.object = *payload};
        struct iicp_json_iter it;
        struct iicp_json name, value;
        const char *fault;

        iicp_json_iter_init(&it, payload);
        while (iicp_json_next(&it, &name, &value)) {
                const struct member *m = find(s, &name);

                if (value.type == IICP_JSON_NULL)
                        continue;
                if (m && !member_ok(m, &value))
                        return refuse(refusal, m->field);
                if (json_name_is(&name, "model") && value.type == IICP_JSON_STRING &&
                    value.text.n > 0)
                        p.model = value;
                else if (!m && s->closed && !payload_drops(&name, &value))
                        return refuse(refusal, "payload");
                else if (s->closed && payload_is_limit(&name) &&
                         (fault = payload_take_limit(&name, &value, &p)))
                        return refuse(refusal, fault);
        }
        fault = missing(s, intent, payload);
        if (fault)
                return refuse(refusal, fault);
        *ret = p;
        return true;
}
