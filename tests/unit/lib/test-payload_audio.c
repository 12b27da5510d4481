/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/codec.h>
#include <iicp/intents.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct iicp_json scan(struct iicp_str text) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(text, NULL, NULL, &v), 0);
        return v;
}

static bool check(const char *urn, const char *payload, struct iicp_payload *ret, const char **ret_field) {
        struct iicp_refusal refusal = {.field = ""};
        struct iicp_json v = scan(iicp_str(payload));
        bool ok = iicp_payload_check(iicp_intent_find(iicp_str(urn)), &v, 0, ret, &refusal);

        *ret_field = refusal.field;
        return ok;
}

static void accepts(const char *urn, const char *payload) {
        struct iicp_payload p;
        const char *field;

        if (!check(urn, payload, &p, &field))
                fail_msg("refused for %s: %s", field, payload);
}

static void refuses(const char *urn, const char *payload, const char *wanted) {
        struct iicp_payload p;
        const char *field;

        if (check(urn, payload, &p, &field))
                fail_msg("accepted: %s", payload);
        assert_string_equal(field, wanted);
}

static void IICPD_02_58_transcription(void **state) {
        static const char urn[] = IICP_URN_TRANSCRIBE;

        (void) state;
        accepts(urn, "{\"audio\":\"dGVzdA==\"}");
        accepts(urn, "{\"audio_b64\":\"dGVzdA==\"}");
        accepts(urn, "{\"audio\":\"\\/\\/8=\",\"other\":[1]}");
        accepts(urn, "{\"audio\":\"dGVzdA==\",\"response_format\":\"text\",\"language\":\"de-CH-1996\",\"temperature\":1,"
                     "\"filename\":\"a.ogg\",\"model\":\"w\",\"prompt\":\"p\"}");
        accepts(urn, "{\"audio\":\"dGVzdA==\",\"response_format\":null,\"language\":null,\"filename\":null}");
        refuses(urn, "{}", "payload.audio");
        refuses(urn, "{\"audio\":null}", "payload.audio");
        refuses(urn, "{\"audio\":\"\"}", "payload.audio");
        refuses(urn, "{\"audio\":\"dGVzdA\"}", "payload.audio");
        refuses(urn, "{\"audio\":\"dGVz dA==\"}", "payload.audio");
        refuses(urn, "{\"audio\":\"data:audio/wav;base64,dGVzdA==\"}", "payload.audio");
        refuses(urn, "{\"audio\":1}", "payload.audio");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"audio_b64\":\"?\"}", "payload.audio_b64");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"response_format\":\"srt\"}", "payload.response_format");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"language\":\"d\"}", "payload.language");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"language\":\"germ\"}", "payload.language");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"language\":\"de-\"}", "payload.language");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"language\":\"de\\n\"}", "payload.language");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"temperature\":1.01}", "payload.temperature");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"filename\":\"a\\r\\nX: y\"}", "payload.filename");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"filename\":\"a\\\"b\"}", "payload.filename");
        refuses(urn, "{\"audio\":\"dGVzdA==\",\"prompt\":[]}", "payload.prompt");
}

static void IICPD_02_58_filename_has_at_most_255_bytes(void **state) {
        char payload[512], name[257];

        (void) state;
        for (size_t n = 255; n <= 256; n++) {
                memset(name, 'a', n);
                name[n] = '\0';
                snprintf(payload, sizeof(payload), "{\"audio\":\"dGVzdA==\",\"filename\":\"%s\"}", name);
                if (n == 255)
                        accepts(IICP_URN_TRANSCRIBE, payload);
                else
                        refuses(IICP_URN_TRANSCRIBE, payload, "payload.filename");
        }
}

static void IICPD_02_58_speech_and_moderation(void **state) {
        (void) state;
        accepts(IICP_URN_SPEECH, "{\"input\":\"hi\",\"speed\":0.25,\"voice\":\"v\",\"response_format\":\"flac\"}");
        accepts(IICP_URN_SPEECH, "{\"input\":\"hi\",\"speed\":4,\"instructions\":\"loud\"}");
        refuses(IICP_URN_SPEECH, "{\"input\":\"\"}", "payload.input");
        refuses(IICP_URN_SPEECH, "{}", "payload.input");
        refuses(IICP_URN_SPEECH, "{\"input\":\"hi\",\"speed\":0.24}", "payload.speed");
        refuses(IICP_URN_SPEECH, "{\"input\":\"hi\",\"speed\":4.01}", "payload.speed");
        refuses(IICP_URN_SPEECH, "{\"input\":\"hi\",\"response_format\":\"pcm\"}", "payload.response_format");
        refuses(IICP_URN_SPEECH, "{\"input\":\"hi\",\"voice\":{}}", "payload.voice");
        accepts(IICP_URN_MODERATE, "{\"input\":\"x\"}");
        accepts(IICP_URN_MODERATE, "{\"input\":[\"x\"],\"model\":\"m\"}");
        refuses(IICP_URN_MODERATE, "{\"input\":[]}", "payload.input");
        refuses(IICP_URN_MODERATE, "{}", "payload.input");
}

/* ---- backend-mapping-v1: requests and results of the rows without an array of choices ---- */

static struct iicp_str model_of(struct json_object *c) {
        struct json_object *m = vector_find(c, "configured_model");

        return m && json_object_is_type(m, json_type_string) ? iicp_str(json_object_get_string(m)) : IICP_STR_NONE;
}

static void request_is(struct json_object *c, const struct iicp_intent *intent, const struct iicp_payload *p) {
        struct iicp_payload_rewrite how = {.model = model_of(c)};
        struct json_object *wanted = vector_get(vector_get(c, "backend_request"), "json"), *got;
        struct iicp_buf out = {0};

        if (p->model.type == IICP_JSON_STRING)
                how.model = p->model.text;
        how.max_tokens = p->max_tokens;
        iicp_payload_write(intent, p, &how, &out);
        got = json_tokener_parse(out.p);
        assert_non_null(got);
        if (!json_object_equal(got, wanted))
                fail_msg("%s: %s", vector_str(c, "name").p, out.p);
        json_object_put(got);
        iicp_buf_free(&out);
}

static void form_is(struct json_object *c, const struct iicp_payload *p) {
        struct iicp_buf out = {0}, wanted = {0};

        assert_int_equal(iicp_transcription_write(p, model_of(c), "B", &out), 0);
        vector_each(vector_get(vector_get(c, "backend_request"), "multipart"), part) {
                struct json_object *file = vector_find(part, "filename");

                iicp_buf_printf(&wanted, "--B\r\nContent-Disposition: form-data; name=\"%s\"", vector_str(part, "name").p);
                if (file)
                        iicp_buf_printf(&wanted, "; filename=\"%s\"\r\nContent-Type: application/octet-stream",
                                        json_object_get_string(file));
                iicp_buf_printf(&wanted, "\r\n\r\n%s\r\n", vector_str(part, "value").p);
        }
        iicp_buf_puts(&wanted, "--B--\r\n");
        assert_string_equal(out.p, wanted.p);
        iicp_buf_free(&out);
        iicp_buf_free(&wanted);
}

static void result_is(struct json_object *c, const struct iicp_intent *intent, const struct iicp_payload *p) {
        struct json_object *answer = vector_get(c, "backend_response"), *body = vector_find(answer, "body_base64"), *got;
        struct iicp_json format = iicp_json_get(&p->object, "response_format");
        struct iicp_buf out = {0};
        char bytes[256];
        size_t n = 0;

        if (!body)
                return; /* JSON is passed on as it is */
        assert_int_equal(iicp_b64_decode(iicp_str(json_object_get_string(body)), bytes, sizeof(bytes), &n), 0);
        if (intent->kind == IICP_INTENT_SPEECH)
                iicp_speech_result((struct iicp_str){bytes, n}, vector_str(answer, "content_type"), format.text, &out);
        else
                iicp_text_result((struct iicp_str){bytes, n}, &out);
        got = json_tokener_parse(out.p);
        if (!json_object_equal(got, vector_get(c, "result")))
                fail_msg("%s: %s", vector_str(c, "name").p, out.p);
        json_object_put(got);
        iicp_buf_free(&out);
}

static void IICPD_02_58_backend_mapping_of_all_rows(void **state) {
        struct json_object *doc = vector_ours("node/backend-mapping-v1.json");
        size_t seen = 0;

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                const struct iicp_intent *intent = iicp_intent_find(vector_str(c, "intent"));
                struct iicp_json payload = scan(vector_text(vector_get(c, "payload")));
                struct iicp_refusal refusal;
                struct iicp_payload p;

                if (iicp_str_is(vector_str(c, "backend"), "anthropic"))
                        continue; /* a dialect of its own */
                seen++;
                assert_non_null(intent);
                assert_true(iicp_payload_check(intent, &payload, 0, &p, &refusal));
                if (intent->kind == IICP_INTENT_TRANSCRIBE)
                        form_is(c, &p);
                else
                        request_is(c, intent, &p);
                result_is(c, intent, &p);
        }
        assert_true(seen >= 9);
        json_object_put(doc);
}

static void IICPD_02_58_a_form_carries_names_without_folders(void **state) {
        static const char *const names[][2] = {
                {"a/b\\\\c.wav", "c.wav"}, {"/etc/", "audio.wav"}, {"..", "audio.wav"}, {"", "audio.wav"}, {"\\u00e4.wav", "ä.wav"},
        };

        (void) state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char payload[128], wanted[64];
                struct iicp_buf out = {0};
                struct iicp_payload p;
                const char *field;

                snprintf(payload, sizeof(payload), "{\"audio\":\"YQ==\",\"temperature\":0.5,\"prompt\":\"a\\u0041\",\"filename\":\"%s\"}",
                         names[i][0]);
                snprintf(wanted, sizeof(wanted), "filename=\"%s\"\r\n", names[i][1]);
                assert_true(check(IICP_URN_TRANSCRIBE, payload, &p, &field));
                assert_int_equal(iicp_transcription_write(&p, IICP_STR_NONE, "B", &out), 0);
                assert_non_null(strstr(out.p, wanted));
                assert_non_null(strstr(out.p, "name=\"prompt\"\r\n\r\naA\r\n"));
                assert_non_null(strstr(out.p, "name=\"temperature\"\r\n\r\n0.5\r\n"));
                iicp_buf_free(&out);
        }
}

static void IICPD_02_58_boundaries_differ(void **state) {
        char a[IICP_BOUNDARY_TEXT], b[IICP_BOUNDARY_TEXT];

        (void) state;
        assert_int_equal(iicp_multipart_boundary(a), 0);
        assert_int_equal(iicp_multipart_boundary(b), 0);
        assert_int_equal(strlen(a), IICP_BOUNDARY_TEXT - 1);
        assert_string_not_equal(a, b);
}

/* ---- the registry's input schemas ---- */

static const char *schema_name(const char *urn, char out[128]) {
        size_t n = strlen(urn) - strlen("urn:iicp:intent:") - 3;

        snprintf(out, 128, "node/%.*s-v1-input.json", (int) n, urn + strlen("urn:iicp:intent:"));
        for (char *p = out + 5; *p; p++)
                if (*p == ':')
                        *p = '-';
        return out;
}

/* A value that the schema of one member allows, as JSON text. */
static void write_valid(struct json_object *s, struct iicp_buf *out) {
        struct json_object *o, *type;

        if (json_object_object_get_ex(s, "oneOf", &o) || json_object_object_get_ex(s, "anyOf", &o)) {
                write_valid(json_object_array_get_idx(o, 0), out);
                return;
        }
        if (json_object_object_get_ex(s, "enum", &o)) {
                iicp_buf_puts(out, json_object_to_json_string(json_object_array_get_idx(o, 0)));
                return;
        }
        if (!json_object_object_get_ex(s, "type", &type)) {
                iicp_buf_puts(out, "\"any\"");
                return;
        }
        if (json_object_is_type(type, json_type_array))
                type = json_object_array_get_idx(type, 0);
        if (strcmp(json_object_get_string(type), "string") == 0)
                iicp_buf_puts(out, json_object_object_get_ex(s, "contentEncoding", &o) ? "\"dGVzdA==\"" : "\"de\"");
        else if (strcmp(json_object_get_string(type), "array") == 0) {
                iicp_buf_puts(out, "[");
                write_valid(vector_get(s, "items"), out);
                iicp_buf_puts(out, "]");
        } else if (strcmp(json_object_get_string(type), "object") == 0) {
                const char *comma = "";

                iicp_buf_puts(out, "{");
                vector_each(vector_get(s, "required"), name) {
                        iicp_buf_printf(out, "%s\"%s\":", comma, json_object_get_string(name));
                        write_valid(vector_get(vector_get(s, "properties"), json_object_get_string(name)), out);
                        comma = ",";
                }
                iicp_buf_puts(out, "}");
        } else if (strcmp(json_object_get_string(type), "boolean") == 0)
                iicp_buf_puts(out, "true");
        else
                iicp_buf_puts(out, "1");
}

static bool payload_ok(const struct iicp_intent *intent, struct json_object *payload) {
        struct iicp_refusal refusal;
        struct iicp_payload p;
        struct iicp_json v = scan(vector_text(payload));

        return iicp_payload_check(intent, &v, 0, &p, &refusal);
}

static void IICPD_02_57_IICPD_02_63_input_schemas_of_the_registry(void **state) {
        (void) state;
        for (size_t i = 0; iicp_intent_at(i); i++) {
                const struct iicp_intent *intent = iicp_intent_at(i);
                char name[128];
                struct json_object *schema = vector_public(schema_name(intent->urn, name)), *closed, *payload;
                struct json_object *members = vector_get(schema, "properties");
                struct iicp_buf text = {0};

                write_valid(schema, &text);
                payload = json_tokener_parse(text.p);
                if (!payload_ok(intent, payload))
                        fail_msg("%s refuses %s", intent->urn, text.p);
                /* each required member must be there and of its type */
                vector_each(vector_get(schema, "required"), required) {
                        const char *member = json_object_get_string(required);
                        struct json_object *one = json_object_get(vector_get(payload, member));

                        json_object_object_del(payload, member);
                        if (payload_ok(intent, payload))
                                fail_msg("%s without %s", intent->urn, member);
                        json_object_object_add(payload, member, json_object_new_boolean(1));
                        if (payload_ok(intent, payload))
                                fail_msg("%s with a boolean %s", intent->urn, member);
                        json_object_object_add(payload, member, one);
                }
                /* each optional one that the schema binds to words or numbers keeps to them */
                json_object_object_foreach(members, key, rule) {
                        struct json_object *limit;
                        struct json_object *saved = NULL;

                        if (!json_object_object_get_ex(rule, "enum", &limit) &&
                            !json_object_object_get_ex(rule, "minimum", &limit))
                                continue;
                        if (json_object_object_get_ex(payload, key, &saved))
                                continue;
                        json_object_object_add(payload, key, json_object_new_int(-1));
                        if (payload_ok(intent, payload))
                                fail_msg("%s with %s -1", intent->urn, key);
                        json_object_object_del(payload, key);
                }
                if (json_object_object_get_ex(schema, "additionalProperties", &closed) && intent->extended &&
                    !json_object_get_boolean(closed)) {
                        json_object_object_add(payload, "surplus", json_object_new_int(1));
                        assert_false(payload_ok(intent, payload));
                }
                json_object_put(payload);
                iicp_buf_free(&text);
                json_object_put(schema);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_58_transcription),
                cmocka_unit_test(IICPD_02_58_filename_has_at_most_255_bytes),
                cmocka_unit_test(IICPD_02_58_speech_and_moderation),
                cmocka_unit_test(IICPD_02_58_backend_mapping_of_all_rows),
                cmocka_unit_test(IICPD_02_58_a_form_carries_names_without_folders),
                cmocka_unit_test(IICPD_02_58_boundaries_differ),
                cmocka_unit_test(IICPD_02_57_IICPD_02_63_input_schemas_of_the_registry),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
