/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/intents.h>

static const struct iicp_intent table[IICP_INTENT_MAX_] = {
        [IICP_INTENT_CHAT] = {IICP_INTENT_CHAT, IICP_URN_CHAT, "/chat/completions", true, true},
        [IICP_INTENT_COMPLETION] = {IICP_INTENT_COMPLETION, IICP_URN_COMPLETION, "/completions",
                                    true, true},
        [IICP_INTENT_EMBEDDING] = {IICP_INTENT_EMBEDDING, IICP_URN_EMBEDDING, "/embeddings", false,
                                   true},
};

const struct iicp_intent *iicp_intent_find(struct iicp_str urn) {
        for (size_t i = 0; i < IICP_INTENT_MAX_; i++)
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
