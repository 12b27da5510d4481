/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_INTENTS_H
#define IICP_INTENTS_H

#include <iicp/json.h>
#include <iicp/refusal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The intents that have a mapping to backends: those of 02 section 9.3, and the registry's others of 9.5
 * (extended), which are run as one of the former: `work` says as which. */
enum iicp_intent_kind {
        IICP_INTENT_CHAT,
        IICP_INTENT_COMPLETION,
        IICP_INTENT_EMBEDDING,
        IICP_INTENT_MODERATE,
        IICP_INTENT_TRANSCRIBE,
        IICP_INTENT_SPEECH,
        IICP_INTENT_RERANK,        /* extended, but with a backend resource of its own */
        IICP_INTENT_TRANSLATE,
        IICP_INTENT_SUMMARIZE,
        IICP_INTENT_RESEARCH,
        IICP_INTENT_CLASSIFY,
        IICP_INTENT_LINT,
        IICP_INTENT_OPTIMIZE,
        IICP_INTENT_TUTOR,
        IICP_INTENT_MULTIMODAL,    /* embedding:multimodal */
        IICP_INTENT_MAX_,
};

#define IICP_URN_CHAT "urn:iicp:intent:llm:chat:v1"
#define IICP_URN_COMPLETION "urn:iicp:intent:llm:completion:v1"
#define IICP_URN_EMBEDDING "urn:iicp:intent:llm:embedding:v1"
#define IICP_URN_TRANSCRIBE "urn:iicp:intent:audio:transcribe:v1"
#define IICP_URN_SPEECH "urn:iicp:intent:audio:speech:v1"
#define IICP_URN_MODERATE "urn:iicp:intent:safety:moderate:v1"

struct iicp_intent {
        enum iicp_intent_kind kind;
        const char *urn;
        const char *path;          /* below the dialect base, "/chat/completions"; NULL: see work */
        bool takes_max_tokens;
        bool needs_model;
        bool streams;              /* the backend can give its text piece by piece */
        bool extended;             /* served only with intents.extended */
        enum iicp_intent_kind work; /* what the backend is asked for; kind itself for 9.3 */
        const char *list;          /* member of the backend's answer that must be a filled array, or NULL */
};

/* NULL: no mapping. */
IICP_API const struct iicp_intent *iicp_intent_find(struct iicp_str urn);
IICP_API const struct iicp_intent *iicp_intent_of(enum iicp_intent_kind kind);
/* All rows, one after the other; NULL behind the last. */
IICP_API const struct iicp_intent *iicp_intent_at(size_t i);

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
 * stream_options, model and token limits of any name are dropped, the given ones set, `developer` becomes
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

/* ---- audio ---- */

/* A transcription is multipart/form-data. The boundary is random: no content can hold it. */
#define IICP_BOUNDARY_TEXT 38
IICP_API int iicp_multipart_boundary(char out[IICP_BOUNDARY_TEXT]);
/* Appends the body; model absent: no such part. The payload passed iicp_payload_check. -ENOMEM. */
IICP_API int iicp_transcription_write(const struct iicp_payload *payload, struct iicp_str model,
                                      const char *boundary, struct iicp_buf *out);
/* {"audio":base64,"content_type":…,"format":…}; format: the request's, or absent for the subtype. */
IICP_API void iicp_speech_result(struct iicp_str audio, struct iicp_str content_type, struct iicp_str format,
                                 struct iicp_buf *out);
/* {"text":body}: a server's answer that is no JSON. */
IICP_API void iicp_text_result(struct iicp_str body, struct iicp_buf *out);

/* ---- extended intents ---- */

/* The payload of intent->work that stands for this one. The payload passed iicp_payload_check. */
IICP_API int iicp_extended_write(const struct iicp_intent *intent, const struct iicp_json *payload,
                                 struct iicp_buf *out);
/* The result of the extended intent out of the backend's for the work. false: the model did not do what
 * it was told (backend_invalid_response). */
IICP_API bool iicp_extended_result(const struct iicp_intent *intent, const struct iicp_json *payload,
                                   struct iicp_str result, struct iicp_buf *out);

/* Equal, or equal up to the first ':' when either side has no tag; ":latest" counts as no tag.
 * Nothing matches an empty name. [02 sections 9.4, 10.10] */
IICP_API bool iicp_model_match(struct iicp_str a, struct iicp_str b);

#ifdef __cplusplus
}
#endif
#endif
