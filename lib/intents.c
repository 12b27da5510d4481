/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include <iicp/intents.h>

#define ROW(k, u, ...) {.kind = IICP_INTENT_##k, .urn = "urn:iicp:intent:" u ":v1", __VA_ARGS__}
#define OWN(k, u, p, ...) ROW(k, u, .path = p, .work = IICP_INTENT_##k, __VA_ARGS__)
/* the registry's others, over the chat endpoint [02 section 9.5] */
#define BY_CHAT(k, u)                                                                              \
        ROW(k, u, .extended = true, .work = IICP_INTENT_CHAT, .needs_model = true, .takes_max_tokens = true)

/* In the order of the enumeration up to the double at the end. */
static const struct iicp_intent table[] = {
        OWN(CHAT, "llm:chat", "/chat/completions", .takes_max_tokens = true, .needs_model = true,
            .streams = true, .list = "choices"),
        OWN(COMPLETION, "llm:completion", "/completions", .takes_max_tokens = true, .needs_model = true,
            .streams = true, .list = "choices"),
        OWN(EMBEDDING, "llm:embedding", "/embeddings", .needs_model = true, .list = "data"),
        OWN(MODERATE, "safety:moderate", "/moderations", .list = "results"),
        OWN(TRANSCRIBE, "audio:transcribe", "/audio/transcriptions"),
        OWN(SPEECH, "audio:speech", "/audio/speech", .needs_model = true),
        OWN(RERANK, "llm:rerank", "/rerank", .needs_model = true, .extended = true, .list = "results"),
        BY_CHAT(TRANSLATE, "translate"),
        BY_CHAT(SUMMARIZE, "llm:summarize"),
        BY_CHAT(RESEARCH, "research:summarize"),
        BY_CHAT(CLASSIFY, "llm:classify"),
        BY_CHAT(LINT, "code:lint"),
        BY_CHAT(OPTIMIZE, "code:optimize"),
        BY_CHAT(TUTOR, "education:tutor"),
        ROW(MULTIMODAL, "embedding:multimodal", .extended = true, .work = IICP_INTENT_EMBEDDING,
            .needs_model = true),
        BY_CHAT(CLASSIFY, "classify"), /* deprecated spelling */
};

const struct iicp_intent *iicp_intent_at(size_t i) {
        return i < ARRAY_SIZE(table) ? &table[i] : NULL;
}

const struct iicp_intent *iicp_intent_find(struct iicp_str urn) {
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (iicp_str_is(urn, table[i].urn))
                        return &table[i];
        return NULL;
}

const struct iicp_intent *iicp_intent_of(enum iicp_intent_kind kind) {
        return (unsigned) kind < IICP_INTENT_MAX_ ? &table[kind] : NULL;
}

/* ":latest" is what a server understands when no tag is given. */
static struct iicp_str without_latest(struct iicp_str model) {
        struct iicp_str latest = IICP_STR(":latest");

        if (model.n > latest.n && memcmp(model.p + model.n - latest.n, latest.p, latest.n) == 0)
                model.n -= latest.n;
        return model;
}

bool iicp_model_match(struct iicp_str a, struct iicp_str b) {
        const char *tag_a, *tag_b;

        if (a.n == 0 || b.n == 0)
                return false;
        a = without_latest(a);
        b = without_latest(b);
        tag_a = memchr(a.p, ':', a.n);
        tag_b = memchr(b.p, ':', b.n);
        if (!tag_a && tag_b)
                b.n = (size_t) (tag_b - b.p);
        if (tag_a && !tag_b)
                a.n = (size_t) (tag_a - a.p);
        return iicp_str_eq(a, b);
}
