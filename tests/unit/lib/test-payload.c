/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/intents.h>

static struct iicp_json value_of(struct iicp_str text) {
        struct iicp_json v;

        if (iicp_json_scan(text, NULL, NULL, &v) != 0)
                fail_msg("no JSON: %s", text.p);
        return v;
}

static bool check_text(const struct iicp_intent *intent, struct iicp_str text, unsigned flags,
                       struct iicp_payload *ret, struct iicp_refusal *refusal) {
        struct iicp_json v = value_of(text);

        return iicp_payload_check(intent, &v, flags, ret, refusal);
}

static void accepts(const char *urn, const char *text) {
        struct iicp_refusal refusal = {};
        struct iicp_payload p;

        if (!check_text(iicp_intent_find(iicp_str(urn)), iicp_str(text), 0, &p, &refusal))
                fail_msg("refused (%s): %s", refusal.field, text);
}

static void refuses(const char *urn, const char *text, const char *field) {
        struct iicp_refusal refusal = {};
        struct iicp_payload p;

        if (check_text(iicp_intent_find(iicp_str(urn)), iicp_str(text), 0, &p, &refusal))
                fail_msg("accepted: %s", text);
        assert_int_equal(refusal.id, IICP_REFUSE_VALIDATION);
        assert_string_equal(refusal.field, field);
}

static void rewrites_how(const char *urn, const char *text, const struct iicp_payload_rewrite *how,
                         const char *expected) {
        const struct iicp_intent *intent = iicp_intent_find(iicp_str(urn));
        struct iicp_refusal refusal;
        struct iicp_payload p;
        struct iicp_buf b = {};
        struct iicp_json v;

        assert_true(check_text(intent, iicp_str(text), 0, &p, &refusal));
        iicp_payload_write(intent, &p, how, &b);
        assert_string_equal(b.p, expected);
        assert_int_equal(iicp_json_scan(iicp_buf_str(&b), NULL, NULL, &v), 0);
        iicp_buf_free(&b);
}

static void rewrites(const char *urn, const char *text, const char *expected) {
        rewrites_how(urn, text, &(struct iicp_payload_rewrite){.model = IICP_STR("m")}, expected);
}

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

static void IICPD_02_57_published_cases(void **state) {
        struct json_object *all = vector_public("node/intent-payloads-v1.json");
        size_t seen = 0;

        (void) state;
        vector_each(vector_get(all, "cases"), c) {
                const struct iicp_intent *intent = iicp_intent_find(vector_str(c, "intent"));
                struct iicp_refusal refusal;
                struct iicp_payload p;

                assert_non_null(intent);
                seen++;
                if (check_text(intent, vector_text(vector_get(c, "payload")), 0, &p, &refusal) !=
                    json_object_get_boolean(vector_get(c, "valid")))
                        fail_msg("%s", vector_str(c, "id").p);
        }
        assert_true(seen >= 12);
        json_object_put(all);
}

static void IICPD_02_57_chat(void **state) {
        (void) state;
        accepts(IICP_URN_CHAT, "{" MESSAGES "}");
        accepts(IICP_URN_CHAT,
                "{\"messages\":[{\"role\":\"developer\",\"content\":null},{\"content\":[],\"role\":"
                "\"tool\"},"
                "{\"role\":\"system\",\"content\":1},{\"role\":\"assistant\",\"content\":\"\"}]}");
        refuses(IICP_URN_CHAT, "{}", "payload.messages");
        refuses(IICP_URN_CHAT, "{\"messages\":null}", "payload.messages");
        refuses(IICP_URN_CHAT, "{\"messages\":[]}", "payload.messages");
        refuses(IICP_URN_CHAT, "{\"messages\":{}}", "payload.messages");
        refuses(IICP_URN_CHAT, "{\"messages\":[1]}", "payload.messages");
        refuses(IICP_URN_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "payload.messages");
        refuses(IICP_URN_CHAT, "{\"messages\":[{\"content\":\"x\"}]}", "payload.messages");
        refuses(IICP_URN_CHAT, "{\"messages\":[{\"role\":\"User\",\"content\":\"x\"}]}",
                "payload.messages");
        refuses(IICP_URN_CHAT, "{\"messages\":[{\"role\":null,\"content\":\"x\"}]}",
                "payload.messages");
        refuses(IICP_URN_CHAT, "[]", "payload");
        accepts(IICP_URN_CHAT,
                "{" MESSAGES ",\"max_tokens\":1,\"temperature\":2,\"stop\":[\"a\"],\"tools\":[]}");
        accepts(IICP_URN_CHAT,
                "{" MESSAGES
                ",\"max_tokens\":null,\"temperature\":null,\"stop\":null,\"model\":null}");
        accepts(IICP_URN_CHAT, "{" MESSAGES ",\"temperature\":0.0,\"stop\":\"a\"}");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"max_tokens\":0}", "payload.max_tokens");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"max_tokens\":1.0}", "payload.max_tokens");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"max_tokens\":\"1\"}", "payload.max_tokens");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"temperature\":2.01}", "payload.temperature");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"temperature\":-0.1}", "payload.temperature");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"temperature\":\"1\"}", "payload.temperature");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"stop\":1}", "payload.stop");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"stop\":[1]}", "payload.stop");
}

/* A doubled member inside of a task passes the scanner: no copy of it may escape the check. */
static void IICPD_02_57_doubled_members(void **state) {
        struct iicp_json task = value_of(IICP_STR("{\"payload\":{" MESSAGES ",\"messages\":[]}}"));
        struct iicp_json payload = iicp_json_get(&task, "payload");
        struct iicp_refusal refusal;
        struct iicp_payload p;

        (void) state;
        assert_false(
                iicp_payload_check(iicp_intent_of(IICP_INTENT_CHAT), &payload, 0, &p, &refusal));
        assert_string_equal(refusal.field, "payload.messages");
}

static void IICPD_02_57_completion_and_embedding(void **state) {
        (void) state;
        accepts(IICP_URN_COMPLETION, "{\"prompt\":\"\"}");
        refuses(IICP_URN_COMPLETION, "{}", "payload.prompt");
        refuses(IICP_URN_COMPLETION, "{\"prompt\":[\"x\"]}", "payload.prompt");
        refuses(IICP_URN_COMPLETION, "{\"prompt\":\"x\",\"max_tokens\":0}", "payload.max_tokens");
        refuses(IICP_URN_COMPLETION, "{\"prompt\":\"x\",\"temperature\":3}", "payload.temperature");
        accepts(IICP_URN_EMBEDDING, "{\"input\":\"\"}");
        accepts(IICP_URN_EMBEDDING, "{\"input\":[\"a\",\"b\"]}");
        refuses(IICP_URN_EMBEDDING, "{}", "payload.input");
        refuses(IICP_URN_EMBEDDING, "{\"input\":[]}", "payload.input");
        refuses(IICP_URN_EMBEDDING, "{\"input\":[1]}", "payload.input");
        refuses(IICP_URN_EMBEDDING, "{\"input\":{}}", "payload.input");
}

#define PART(part)                                                                                 \
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"http://"     \
        "x\"}," part "]}]}"

static void media_parts_carry_their_data(void **state) {
        static const char *const good[] = {
                PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
                     "png;base64,AA==\",\"detail\":\"low\"}}"),
                PART("{\"type\":\"image_url\",\"image_url\":\"DATA:image/png;base64,AA==\"}"),
                PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AA==\",\"format\":"
                     "\"wav\"}}"),
                PART("{\"type\":\"file\",\"file\":{\"filename\":\"a.pdf\",\"file_data\":\"data:"
                     "application/pdf;base64,AA==\"}}"),
        };
        static const char *const bad[] = {
                PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://host/x.png\"}}"),
                PART("{\"type\":\"image_url\",\"image_url\":{\"\\u0075rl\":\"https://host/"
                     "x.png\"}}"),
                PART("{\"type\":\"image_url\",\"image_url\":\"file:///etc/passwd\"}"),
                PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:x\",\"url\":\"http://"
                     "host\"}}"),
                PART("{\"type\":\"text\",\"image_url\":{\"url\":\"http://host\"}}"),
                PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"http://host\"}}"),
                PART("{\"type\":\"input_audio\",\"input_audio\":{\"url\":\"http://host\"}}"),
                PART("{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}"),
                PART("{\"type\":\"file\",\"file\":\"http://host\"}"),
                PART("{\"type\":\"video_url\",\"video_url\":{\"url\":\"http://host\"}}"),
        };

        (void) state;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                accepts(IICP_URN_CHAT, good[i]);
        accepts(IICP_URN_EMBEDDING,
                "{\"input\":\"x\",\"messages\":[1,{\"content\":\"http://host\"}]}");
        refuses(IICP_URN_EMBEDDING,
                "{\"input\":\"x\",\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"http://"
                "host\"}}]}]}",
                "payload.messages");
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                const struct iicp_intent *chat = iicp_intent_of(IICP_INTENT_CHAT);
                struct iicp_refusal refusal;
                struct iicp_payload p;

                refuses(IICP_URN_CHAT, bad[i], "payload.messages");
                assert_true(check_text(chat, iicp_str(bad[i]), IICP_PAYLOAD_REMOTE_MEDIA, &p,
                                       &refusal));
        }
}

static void facts_for_the_backend(void **state) {
        const struct iicp_intent *chat = iicp_intent_of(IICP_INTENT_CHAT);
        struct iicp_refusal refusal;
        struct iicp_payload p;

        (void) state;
        assert_true(
                check_text(chat,
                           IICP_STR("{" MESSAGES
                                    ",\"model\":\"m\",\"max_tokens\":7,\"n\":2,\"logprobs\":true,"
                                    "\"tools\":[{}]}"),
                           0, &p, &refusal));
        assert_true(iicp_json_is(&p.model, "m"));
        assert_int_equal(p.max_tokens, 7);
        assert_true(p.has_n && p.has_logprobs && p.has_tools);
        assert_true(check_text(chat,
                               IICP_STR("{" MESSAGES
                                        ",\"model\":\"\",\"n\":1,\"logprobs\":false,\"tools\":[]}"),
                               0, &p, &refusal));
        assert_int_equal(p.model.type, IICP_JSON_NONE);
        assert_int_equal(p.max_tokens, 0);
        assert_false(p.has_n || p.has_logprobs || p.has_tools);
}

static int64_t limit_of(const char *urn, const char *text) {
        struct iicp_refusal refusal;
        struct iicp_payload p;

        assert_true(check_text(iicp_intent_find(iicp_str(urn)), iicp_str(text), 0, &p, &refusal));
        return p.max_tokens;
}

static void IICPD_02_62_a_limit_counts_under_any_name(void **state) {
        (void) state;
        assert_int_equal(limit_of(IICP_URN_CHAT, "{" MESSAGES ",\"max_completion_tokens\":70,\"max_tokens\":9}"), 9);
        assert_int_equal(limit_of(IICP_URN_CHAT, "{\"max_tokens\":90,\"n_predict\":7," MESSAGES "}"), 7);
        assert_int_equal(limit_of(IICP_URN_COMPLETION, "{\"prompt\":\"x\",\"max_new_tokens\":5}"), 5);
        assert_int_equal(limit_of(IICP_URN_COMPLETION, "{\"prompt\":\"x\",\"max_output_tokens\":5,\"num_predict\":6}"), 5);
        /* -1 is "as many as it likes" there: nothing was given */
        assert_int_equal(limit_of(IICP_URN_CHAT, "{" MESSAGES ",\"n_predict\":-1}"), 0);
        assert_int_equal(limit_of(IICP_URN_CHAT, "{" MESSAGES ",\"n_predict\":-99999999999999999999}"), 0);
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"max_completion_tokens\":0}", "payload.max_completion_tokens");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"n_predict\":\"1\"}", "payload.n_predict");
        refuses(IICP_URN_CHAT, "{" MESSAGES ",\"max_new_toke\\u006es\":1.5}", "payload.max_new_tokens");
        rewrites(IICP_URN_CHAT,
                 "{" MESSAGES ",\"max_completion_tokens\":70,\"n_predict\":-1,\"num_predic\\u0074\":3,\"max_x\":1,\"n_probs\":2}",
                 "{\"model\":\"m\"," MESSAGES ",\"max_x\":1,\"n_probs\":2}");
}

static void IICPD_02_59_forwarded_body(void **state) {
        (void) state;
        rewrites(IICP_URN_CHAT,
                 "{\"stream\":true,\"_billing\":{\"a\":1},\"\\u005fx\":1," MESSAGES
                 ",\"top_k\":null,"
                 "\"stream_options\":{\"include_usage\":true},\"temperature\":1.00,\"model\":"
                 "\"other\",\"max_tokens\":9,"
                 "\"tools\":[ {\"a\": 1e2} ],\"x\\u005f\":\"\\u0041\"}",
                 "{\"model\":\"m\"," MESSAGES
                 ",\"temperature\":1.00,\"tools\":[ {\"a\": 1e2} ],\"x\\u005f\":\"\\u0041\"}");
        /* the name counts, not how it was written */
        rewrites(IICP_URN_CHAT, "{\"\\u0073tream\":true," MESSAGES "}",
                 "{\"model\":\"m\"," MESSAGES "}");
        rewrites(IICP_URN_CHAT, "{" MESSAGES ",\"stop\":\"a\\nb\"}",
                 "{\"model\":\"m\"," MESSAGES ",\"stop\":[\"a\\nb\"]}");
        rewrites(IICP_URN_CHAT, "{" MESSAGES ",\"stop\":[\"a\"]}",
                 "{\"model\":\"m\"," MESSAGES ",\"stop\":[\"a\"]}");
        rewrites(IICP_URN_COMPLETION, "{\"prompt\":\"x\",\"stop\":\"a\"}",
                 "{\"model\":\"m\",\"prompt\":\"x\",\"stop\":\"a\"}");
        rewrites(IICP_URN_CHAT,
                 "{\"messages\":[{\"role\":\"developer\",\"content\":\"developer\"}, "
                 "{\"content\":{\"role\":\"developer\"},"
                 "\"role\" : \"user\"},{\"content\":\"\",\"role\":\"develo\\u0070er\"}]}",
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"developer\"}, "
                 "{\"content\":{\"role\":\"developer\"},\"role\" : "
                 "\"user\"},{\"content\":\"\",\"role\":\"system\"}]}");
        rewrites_how(IICP_URN_CHAT, "{" MESSAGES "}",
                     &(struct iicp_payload_rewrite){.model = IICP_STR("a\"b"),
                                                    .max_tokens = 12,
                                                    .stream = true},
                     "{\"model\":\"a\\\"b\"," MESSAGES ",\"max_tokens\":12,\"stream\":true,"
                     "\"stream_options\":{\"include_usage\":true}}");
        rewrites_how(IICP_URN_EMBEDDING, "{\"model\":\"x\",\"input\":\"i\"}",
                     &(struct iicp_payload_rewrite){}, "{\"input\":\"i\"}");
}

/* Same request as the shipped node sends, member order aside. */
static struct iicp_str configured_model(struct json_object *c) {
        struct json_object *m = vector_find(c, "configured_model");

        return json_object_is_type(m, json_type_string) ? iicp_str(json_object_get_string(m)) : IICP_STR_NONE;
}

static void IICPD_02_59_backend_mapping_vectors(void **state) {
        struct json_object *all = vector_ours("node/backend-mapping-v1.json");
        size_t seen = 0;

        (void) state;
        vector_each(vector_get(all, "cases"), c) {
                const struct iicp_intent *intent = iicp_intent_find(vector_str(c, "intent"));
                struct json_object *request, *written, *wanted;
                struct iicp_payload_rewrite how;
                struct iicp_refusal refusal;
                struct iicp_payload p;
                struct iicp_buf b = {};
                char model[128] = "";

                if (!intent || !iicp_str_is(vector_str(c, "backend"), "openai_compat"))
                        continue;
                request = vector_get(c, "backend_request");
                wanted = vector_find(request, "json");
                if (!wanted ||
                    !check_text(intent, vector_text(vector_get(c, "payload")), 0, &p, &refusal))
                        continue;
                seen++;
                assert_memory_equal(vector_str(request, "path").p, "/v1", 3);
                assert_string_equal(vector_str(request, "path").p + 3, intent->path);
                if (p.model.type == IICP_JSON_STRING)
                        assert_int_equal(iicp_json_copy(&p.model, model, sizeof(model)), 0);
                how = (struct iicp_payload_rewrite){
                        .model = *model ? iicp_str(model) : configured_model(c),
                        .max_tokens = p.max_tokens,
                };
                iicp_payload_write(intent, &p, &how, &b);
                written = json_tokener_parse(b.p);
                assert_non_null(written);
                /* what 9.3 normalises away is still in the shipped node's request */
                json_object_object_del(wanted, "stream");
                json_object_object_foreach(wanted, name, value) {
                        if (!value || *name == '_')
                                json_object_object_del(wanted, name);
                }
                if (!json_object_equal(written, wanted))
                        fail_msg("%s: %s", vector_str(c, "name").p, b.p);
                json_object_put(written);
                iicp_buf_free(&b);
        }
        assert_true(seen >= 4);
        json_object_put(all);
}

static void IICPD_02_61_models_match_up_to_the_tag(void **state) {
        static const struct {
                const char *a, *b;
                bool match;
        } cases[] = {
                {"m", "m", true},        {"m", "n", false},
                {"m:7b", "m:7b", true},  {"m:7b", "m:8b", false},
                {"m", "m:7b", true},     {"m:7b", "m", true},
                {"m:latest", "m", true}, {"m:latest", "m:latest", true},
                {"m:7b", "m2", false},   {"org/m", "org/m:q4", true},
                {"m", "m-x:7b", false},  {"M", "m", false},
                {"", "m", false},        {"", "", false},
                {":7b", "m", false},     {"m", "", false},
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (iicp_model_match(iicp_str(cases[i].a), iicp_str(cases[i].b)) != cases[i].match)
                        fail_msg("%s, %s", cases[i].a, cases[i].b);
                if (iicp_model_match(iicp_str(cases[i].b), iicp_str(cases[i].a)) != cases[i].match)
                        fail_msg("%s, %s", cases[i].b, cases[i].a);
        }
}

static void intents_are_found_by_exact_urn(void **state) {
        (void) state;
        assert_string_equal(iicp_intent_find(IICP_STR(IICP_URN_CHAT))->path, "/chat/completions");
        assert_string_equal(iicp_intent_find(IICP_STR(IICP_URN_EMBEDDING))->path, "/embeddings");
        assert_null(iicp_intent_find(IICP_STR("urn:iicp:intent:llm:chat:v2")));
        assert_null(iicp_intent_find(IICP_STR("URN:iicp:intent:llm:chat:v1")));
        assert_null(iicp_intent_find(IICP_STR_NONE));
        for (int k = 0; k < IICP_INTENT_MAX_; k++)
                assert_int_equal(iicp_intent_of((enum iicp_intent_kind) k)->kind, k);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_57_published_cases),
                cmocka_unit_test(IICPD_02_57_chat),
                cmocka_unit_test(IICPD_02_57_doubled_members),
                cmocka_unit_test(IICPD_02_57_completion_and_embedding),
                cmocka_unit_test(media_parts_carry_their_data),
                cmocka_unit_test(facts_for_the_backend),
                cmocka_unit_test(IICPD_02_62_a_limit_counts_under_any_name),
                cmocka_unit_test(IICPD_02_59_forwarded_body),
                cmocka_unit_test(IICPD_02_59_backend_mapping_vectors),
                cmocka_unit_test(IICPD_02_61_models_match_up_to_the_tag),
                cmocka_unit_test(intents_are_found_by_exact_urn),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
