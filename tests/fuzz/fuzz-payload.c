/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of every intent and what is made of them: the form of a transcription, the speech request,
 * the chat behind an extended intent, and its result out of a model's answer. The input is a payload,
 * then a NUL and an answer. */

#include "fuzz.h"

#include <iicp/cip.h>
#include <iicp/intents.h>

#define MODEL IICP_STR("m\"\\")

static struct iicp_json object_of(struct iicp_str text) {
        struct iicp_json v;

        FUZZ_CHECK(iicp_json_scan(text, NULL, NULL, &v) == 0);
        FUZZ_CHECK(v.type == IICP_JSON_OBJECT);
        return v;
}

static size_t count(struct iicp_str text, struct iicp_str part) {
        size_t n = 0;

        for (const char *p = text.p; (p = memmem(p, (size_t) (text.p + text.n - p), part.p, part.n)); p += part.n)
                n++;
        return n;
}

/* The boundary is random, so it stands only where it was written; no name breaks out of its line. */
static void form(const struct iicp_payload *payload) {
        char boundary[IICP_BOUNDARY_TEXT], end[IICP_BOUNDARY_TEXT + 8];
        struct iicp_buf out = {0};
        struct iicp_str text;
        const char *name, *line;

        FUZZ_CHECK(iicp_multipart_boundary(boundary) == 0);
        FUZZ_CHECK(iicp_transcription_write(payload, MODEL, boundary, &out) == 0);
        text = iicp_buf_str(&out);
        snprintf(end, sizeof end, "\r\n--%s--\r\n", boundary);
        FUZZ_CHECK(text.n > strlen(end) && memcmp(text.p + text.n - strlen(end), end, strlen(end)) == 0);
        FUZZ_CHECK(count(text, iicp_str(boundary)) >= 4 && count(text, iicp_str(boundary)) <= 7);
        name = memmem(text.p, text.n, "; filename=\"", 12);
        FUZZ_CHECK(name);
        line = memmem(name, (size_t) (text.p + text.n - name), "\r\n", 2);
        FUZZ_CHECK(line && line[-1] == '"');
        for (const char *p = name + 12; p < line - 1; p++)
                FUZZ_CHECK(*p != '"' && *p != '/' && (unsigned char) *p >= 0x20);
        iicp_buf_free(&out);
}

static void speech(const struct iicp_intent *intent, const struct iicp_payload *payload) {
        static const struct iicp_payload_rewrite how = {.model = {"m", 1}};
        struct iicp_buf out = {0};
        struct iicp_json v, voice;

        iicp_payload_write(intent, payload, &how, &out);
        v = object_of(iicp_buf_str(&out));
        voice = iicp_json_get(&v, "voice");
        FUZZ_CHECK(voice.type == IICP_JSON_STRING && voice.text.n > 0);
        iicp_buf_free(&out);
}

static void extended(const struct iicp_intent *intent, const struct iicp_json *payload, struct iicp_str answer) {
        struct iicp_buf out = {0}, result = {0};
        struct iicp_refusal refusal;
        struct iicp_payload work;
        struct iicp_json v;

        FUZZ_CHECK(iicp_extended_write(intent, payload, &out) == 0);
        v = object_of(iicp_buf_str(&out));
        if (intent->work != intent->kind)
                FUZZ_CHECK(iicp_payload_check(iicp_intent_of(intent->work), &v, 0, &work, &refusal));
        if (iicp_extended_result(intent, payload, answer, &result))
                object_of(iicp_buf_str(&result));
        iicp_buf_free(&out);
        iicp_buf_free(&result);
}

static void cooperative(const struct iicp_json *object) {
        struct iicp_envelope e = {.m_cip = *object, .m_trace = *object, .m_constraints = *object};
        struct iicp_refusal refusal;
        struct iicp_buf out = {0};
        struct iicp_cip c;

        if (iicp_cip_check(&e, &c, &refusal)) {
                iicp_buf_puts(&out, "{");
                iicp_cip_trace(&c, &out);
                iicp_buf_puts(&out, "}");
                object_of(iicp_buf_str(&out));
        } else
                FUZZ_CHECK(refusal.id == IICP_REFUSE_CIP_FIELDS || refusal.id == IICP_REFUSE_CIP_REPLICAS);
        iicp_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
        struct iicp_str text = {(const char *) data, nul ? (size_t) (nul - data) : size};
        struct iicp_str answer = nul ? (struct iicp_str){(const char *) nul + 1, size - text.n - 1} : IICP_STR("{}");
        struct iicp_refusal refusal;
        struct iicp_payload payload;
        struct iicp_json object;
        struct iicp_buf out = {0};

        iicp_speech_result(answer, text, IICP_STR_NONE, &out);
        object_of(iicp_buf_str(&out));
        iicp_buf_free(&out);
        out = (struct iicp_buf){0};
        iicp_text_result(answer, &out);
        object_of(iicp_buf_str(&out));
        iicp_buf_free(&out);
        if (iicp_json_scan(text, NULL, NULL, &object) < 0)
                return 0;
        cooperative(&object);
        for (size_t i = 0; iicp_intent_at(i); i++) {
                const struct iicp_intent *intent = iicp_intent_at(i);

                if (!iicp_payload_check(intent, &object, 0, &payload, &refusal))
                        FUZZ_CHECK(refusal.id == IICP_REFUSE_VALIDATION && refusal.field);
                else if (intent->extended)
                        extended(intent, &object, answer);
                else if (intent->kind == IICP_INTENT_TRANSCRIBE)
                        form(&payload);
                else if (intent->kind == IICP_INTENT_SPEECH)
                        speech(intent, &payload);
        }
        return 0;
}
