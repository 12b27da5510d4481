/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_INTENTS_H
#define IICP_INTENTS_H

#include <iicp/json.h>
#include <iicp/refusal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The intents that have a mapping to backends. [02 section 9.3] The rest of the table (audio,
 * moderation, extended) joins here when it is served. */
enum iicp_intent_kind {
        IICP_INTENT_CHAT,
        IICP_INTENT_COMPLETION,
        IICP_INTENT_EMBEDDING,
        IICP_INTENT_MAX_,
};

#define IICP_URN_CHAT "urn:iicp:intent:llm:chat:v1"
#define IICP_URN_COMPLETION "urn:iicp:intent:llm:completion:v1"
#define IICP_URN_EMBEDDING "urn:iicp:intent:llm:embedding:v1"

struct iicp_intent {
        enum iicp_intent_kind kind;
        const char *urn;
        const char *path;          /* below the dialect base, "/chat/completions" */
        bool takes_max_tokens;
        bool needs_model;
};

/* NULL: no mapping. */
IICP_API const struct iicp_intent *iicp_intent_find(struct iicp_str urn);
IICP_API const struct iicp_intent *iicp_intent_of(enum iicp_intent_kind kind);

/* What admission needs from a payload. Slices borrow from it. */
struct iicp_payload {
        struct iicp_json object;
        struct iicp_json model;    /* non-empty string, or NONE */
        int64_t max_tokens;        /* 0 = not given */
        bool has_n;                /* n > 1 */
        bool has_logprobs;
        bool has_tools;
        bool has_developer;        /* a message has the role that becomes "system" */
};

enum iicp_payload_flags {
        IICP_PAYLOAD_REMOTE_MEDIA = 1 << 0, /* pass http URLs of media parts */
};

/* Checks a payload object against 9.3. false: *refusal is 422 with its field. */
IICP_API bool iicp_payload_check(const struct iicp_intent *intent, const struct iicp_json *payload,
                                 unsigned flags, struct iicp_payload *ret, struct iicp_refusal *refusal);

/* The backend's request body: members whose value is null, members starting with '_', stream,
 * stream_options, model and max_tokens are dropped, the given ones set, `developer` becomes
 * `system`, a `stop` string becomes an array; all else is copied byte for byte.
 * model absent: none is sent; max_tokens 0: none is sent; stream adds "stream":true and
 * "stream_options":{"include_usage":true}. */
struct iicp_payload_rewrite {
        struct iicp_str model;
        int64_t max_tokens;
        bool stream;
};
IICP_API void iicp_payload_write(const struct iicp_intent *intent, const struct iicp_payload *payload,
                                 const struct iicp_payload_rewrite *how, struct iicp_buf *out);

/* Equal, or equal up to the first ':' when either side has no tag; ":latest" counts as no tag.
 * Nothing matches an empty name. [02 sections 9.4, 10.10] */
IICP_API bool iicp_model_match(struct iicp_str a, struct iicp_str b);

#ifdef __cplusplus
}
#endif
#endif
