/* SPDX-License-Identifier: Apache-2.0 */
#include "payload-internal.h"

#include "json-internal.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/uuid.h>
#include <stdio.h>

/* Requests and results of the audio intents, in the forms of the servers. [02 section 9.3] */

#define FILENAME_DEFAULT "audio.wav"
#define VOICE_DEFAULT "alloy"
#define AUDIO_TYPE_DEFAULT "audio/mpeg"

struct iicp_json transcription_audio(const struct iicp_json *payload) {
        struct iicp_json v = iicp_json_get(payload, "audio");

        if (v.type == IICP_JSON_STRING)
                return v;
        v = iicp_json_get(payload, "audio_b64");
        return v.type == IICP_JSON_STRING ? v : (struct iicp_json){0};
}

int iicp_multipart_boundary(char out[IICP_BOUNDARY_TEXT]) {
        uint8_t random[16];
        char hex[33];
        int r = iicp_random(random, sizeof(random));

        if (r < 0)
                return r;
        iicp_hex(random, sizeof(random), hex);
        snprintf(out, IICP_BOUNDARY_TEXT, "iicp-%s", hex);
        return 0;
}

static void part(struct iicp_buf *out, const char *boundary, const char *name) {
        iicp_buf_printf(out, "--%s\r\nContent-Disposition: form-data; name=\"%s\"", boundary, name);
}

static void field(struct iicp_buf *out, const char *boundary, const char *name,
                  struct iicp_str value) {
        part(out, boundary, name);
        iicp_buf_puts(out, "\r\n\r\n");
        iicp_buf_add_str(out, value);
        iicp_buf_puts(out, "\r\n");
}

/* A member as text: a string decoded, a number as it was written. */
static int member_field(const struct iicp_json *payload, const char *name, const char *boundary,
                        struct iicp_buf *out) {
        struct iicp_buf text = {.secret = true};
        struct iicp_json v = iicp_json_get(payload, name);
        int r = 0;

        if (v.type == IICP_JSON_NUMBER)
                field(out, boundary, name, v.text);
        else if (v.type == IICP_JSON_STRING && v.text.n > 0) {
                r = iicp_json_decode(&v, &text);
                if (r == 0)
                        field(out, boundary, name, iicp_buf_str(&text));
        }
        iicp_buf_wipe(&text);
        return r;
}

/* The base name, for whoever takes it for a path. */
static void file_part(const struct iicp_json *payload, const char *boundary, struct iicp_buf *out) {
        struct iicp_json v = iicp_json_get(payload, "filename");
        char name[256] = "";
        const char *base = name;

        if (v.type == IICP_JSON_STRING && iicp_json_copy(&v, name, sizeof(name)) < 0)
                name[0] = '\0';
        for (const char *p = name; *p; p++)
                if (*p == '/' || *p == '\\')
                        base = p + 1;
        if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
                base = FILENAME_DEFAULT;
        part(out, boundary, "file");
        iicp_buf_printf(out, "; filename=\"%s\"\r\nContent-Type: application/octet-stream\r\n\r\n",
                        base);
}

static int audio_bytes(const struct iicp_json *payload, struct iicp_buf *out) {
        struct iicp_buf text = {.secret = true};
        struct iicp_json v = transcription_audio(payload);
        struct iicp_str s = v.text;
        size_t n = 0;
        char *p;
        int r = 0;

        if (v.escaped) {
                r = iicp_json_decode(&v, &text);
                s = iicp_buf_str(&text);
        }
        p = r == 0 ? iicp_buf_reserve(out, s.n) : NULL;
        if (r == 0 && !p)
                r = -ENOMEM;
        if (r == 0)
                r = iicp_b64_decode(s, p, s.n, &n);
        if (r == 0)
                out->n += n;
        iicp_buf_wipe(&text);
        return r;
}

int iicp_transcription_write(const struct iicp_payload *payload, struct iicp_str model,
                             const char *boundary, struct iicp_buf *out) {
        static const char *const members[] = {"language", "prompt", "temperature"};
        struct iicp_json format = iicp_json_get(&payload->object, "response_format");
        int r = 0;

        field(out, boundary, "response_format",
              iicp_json_is(&format, "text") ? IICP_STR("text") : IICP_STR("json"));
        if (model.p)
                field(out, boundary, "model", model);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(members); i++)
                r = member_field(&payload->object, members[i], boundary, out);
        file_part(&payload->object, boundary, out);
        if (r == 0)
                r = audio_bytes(&payload->object, out);
        iicp_buf_printf(out, "\r\n--%s--\r\n", boundary);
        return r < 0 ? r : out->error;
}

/* Only what the resource knows: whatever else stands in the payload stays here. */
void speech_write(const struct iicp_payload *payload, struct iicp_str model, struct iicp_buf *out) {
        static const char *const members[] = {"input", "voice", "response_format", "speed"};
        bool voice = false, first = true;

        iicp_buf_puts(out, "{");
        if (model.p) {
                iicp_buf_puts(out, "\"model\":");
                iicp_buf_json_str(out, model);
                first = false;
        }
        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
                struct iicp_json v = iicp_json_get(&payload->object, members[i]);
                bool text = v.type == IICP_JSON_STRING;

                if ((!text && v.type != IICP_JSON_NUMBER) || (i == 1 && v.text.n == 0))
                        continue;
                voice |= i == 1;
                iicp_buf_printf(out, "%s\"%s\":", first ? "" : ",", members[i]);
                iicp_buf_add(out, v.text.p - text, v.text.n + 2 * (size_t) text);
                first = false;
        }
        if (!voice)
                iicp_buf_printf(out, "%s\"voice\":\"%s\"", first ? "" : ",", VOICE_DEFAULT);
        iicp_buf_puts(out, "}");
}

/* Type and subtype without parameters; no line of a server's header goes further than that. */
static struct iicp_str bare_type(struct iicp_str type) {
        const char *end;

        if (!type.p || type.n == 0)
                return iicp_str(AUDIO_TYPE_DEFAULT);
        end = memchr(type.p, ';', type.n);
        if (end)
                type.n = (size_t) (end - type.p);
        while (type.n > 0 && (type.p[type.n - 1] == ' ' || type.p[type.n - 1] == '\t'))
                type.n--;
        return type;
}

void iicp_speech_result(struct iicp_str audio, struct iicp_str content_type, struct iicp_str format,
                        struct iicp_buf *out) {
        struct iicp_str type = bare_type(content_type);
        const char *slash = memchr(type.p, '/', type.n);

        if (!format.p && slash)
                format = (struct iicp_str){slash + 1, type.n - (size_t) (slash + 1 - type.p)};
        iicp_buf_puts(out, "{\"audio\":\"");
        iicp_b64_add(out, audio.p, audio.n);
        iicp_buf_puts(out, "\",\"content_type\":");
        iicp_buf_json_str(out, type);
        iicp_buf_puts(out, ",\"format\":");
        iicp_buf_json_str(out, format.p ? format : IICP_STR("mpeg"));
        iicp_buf_puts(out, "}");
}

void iicp_text_result(struct iicp_str body, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"text\":");
        iicp_buf_json_str(out, body);
        iicp_buf_puts(out, "}");
}
