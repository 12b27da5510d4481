/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "backend/assemble.h"
#include "backend/messages.h"

#include <stdlib.h>

static struct iicp_json scanned(const char *text) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(iicp_str(text), NULL, NULL, &v), 0);
        return v;
}

static void expect_json(const struct iicp_buf *got, struct json_object *want) {
        struct json_object *parsed = json_tokener_parse(got->p);

        assert_non_null(parsed);
        if (!json_object_equal(parsed, want))
                fail_msg("%s\nis not\n%s", got->p, json_object_to_json_string(want));
        json_object_put(parsed);
}

static void expect_request(const char *payload, int64_t max_tokens, bool stream, const char *want) {
        struct iicp_buf out = {0};
        struct iicp_payload p = {.object = scanned(payload)};
        struct messages_request how = {.model = IICP_STR("m"), .max_tokens = max_tokens, .stream = stream};
        struct json_object *expected = json_tokener_parse(want);

        messages_write_request(&p, &how, &out);
        expect_json(&out, expected);
        json_object_put(expected);
        iicp_buf_free(&out);
}

static void IICPD_02_68_mapping_vectors(void **state) {
        struct json_object *all = vector_ours("node/backend-mapping-v1.json");
        size_t n = 0;

        (void) state;
        vector_each(vector_get(all, "cases"), one) {
                struct json_object *payload = vector_get(one, "payload"), *model = vector_find(payload, "model");
                struct json_object *limit = vector_find(payload, "max_tokens");
                struct iicp_buf request = {0}, answer = {0};
                struct iicp_payload p;
                struct messages_request how = {.max_tokens = limit ? json_object_get_int64(limit) : MESSAGES_MAX_TOKENS};

                if (!iicp_str_is(vector_str(one, "backend"), "anthropic"))
                        continue;
                how.model = model ? iicp_str(json_object_get_string(model)) : vector_str(one, "configured_model");
                p = (struct iicp_payload){.object = scanned(vector_text(payload).p)};
                messages_write_request(&p, &how, &request);
                expect_json(&request, vector_get(vector_get(one, "backend_request"), "json"));
                assert_true(messages_write_answer(vector_text(vector_get(vector_get(one, "backend_response"), "json")),
                                                  &answer));
                expect_json(&answer, vector_get(one, "result"));
                iicp_buf_free(&request);
                iicp_buf_free(&answer);
                n++;
        }
        assert_int_equal(n, 2);
        json_object_put(all);
}

static void IICPD_02_68_system_messages_become_one_text(void **state) {
        (void) state;
        expect_request("{\"messages\":[{\"role\":\"system\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"q\\n\"},"
                       "{\"role\":\"developer\",\"content\":\"a\\u00e4\"},"
                       "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":\"\"},"
                       "{\"type\":\"text\",\"text\":\"c\"}]}]}",
                       5, false,
                       "{\"model\":\"m\",\"max_tokens\":5,\"system\":\"a\\u00e4\\n\\nb\\n\\nc\","
                       "\"messages\":[{\"role\":\"user\",\"content\":\"q\\n\"}]}");
        expect_request("{\"messages\":[{\"role\":\"system\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"q\"}]}", 5, true,
                       "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"stream\":true}");
}

static void IICPD_02_68_images_and_what_is_not_sent(void **state) {
        (void) state;
        expect_request("{\"messages\":[{\"role\":\"user\",\"name\":\"x\",\"content\":["
                       "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:;base64,QUE=\"}},"
                       "{\"type\":\"image_url\",\"image_url\":\"data:image\\/webp;base64,QUE=\"},"
                       "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https:\\/\\/a.example\\/\\\"b\"}},"
                       "{\"type\":\"file\"},{\"type\":\"text\",\"text\":\"t\"}]}],"
                       "\"tools\":[{}],\"user\":\"u\",\"n\":1,\"seed\":4,\"stop\":\"E\",\"temperature\":0.50}",
                       9, false,
                       "{\"model\":\"m\",\"max_tokens\":9,\"temperature\":0.50,\"stop_sequences\":[\"E\"],\"messages\":[{\"role\":\"user\","
                       "\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"QUE=\"}},"
                       "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/webp\",\"data\":\"QUE=\"}},"
                       "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://a.example/\\\"b\"}},"
                       "{\"type\":\"text\",\"text\":\"t\"}]}]}");
}

static void expect_answer(const char *body, const char *want) {
        struct iicp_buf out = {0};

        assert_int_equal(messages_write_answer(iicp_str(body), &out), want != NULL);
        if (want)
                assert_string_equal(out.p, want);
        iicp_buf_free(&out);
}

static void IICPD_02_68_answers_and_finish_reasons(void **state) {
        static const char *const reasons[][2] = {
                {"end_turn", "stop"},       {"stop_sequence", "stop"}, {"max_tokens", "length"},
                {"tool_use", "tool_calls"}, {"pause_turn", "stop"},
        };

        (void) state;
        for (size_t i = 0; i < 5; i++) {
                char body[200], want[200];

                snprintf(body, sizeof body, "{\"content\":[],\"stop_reason\":\"%s\"}", reasons[i][0]);
                snprintf(want, sizeof want,
                         "{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                         "\"content\":\"\"},\"finish_reason\":\"%s\"}]}", reasons[i][1]);
                expect_answer(body, want);
        }
        /* what was read from a cache was read */
        expect_answer("{\"id\":\"i\",\"model\":\"m\",\"content\":[{\"type\":\"text\",\"text\":\"\\ud83d\\ude00\"}],\"stop_reason\":null,"
                      "\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"output_tokens\":5}}",
                      "{\"id\":\"i\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                      "\"assistant\",\"content\":\"\\ud83d\\ude00\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,"
                      "\"completion_tokens\":5,\"total_tokens\":12}}");
        expect_answer("{\"content\":\"x\"}", NULL);
        expect_answer("[]", NULL);
        expect_answer("{\"content\":[", NULL);
}

/* Text and answer of a stream; the result of its end. */
static enum assemble_result run(const char *stream, struct iicp_buf *text, char *answer, size_t cap) {
        struct assemble *a = assemble_new(IICP_INTENT_CHAT, FORM_MESSAGES, true);
        struct iicp_str piece = iicp_str(stream), one;
        enum assemble_result r;

        while (assemble_next(a, &piece, &one) == ASSEMBLE_TEXT)
                iicp_buf_add_str(text, one);
        r = assemble_end(a, &one);
        if (r == ASSEMBLE_OK)
                snprintf(answer, cap, "%.*s%s", (int) one.n, one.p, a->done ? "" : " not ended");
        assemble_free(a);
        return r;
}

#define START "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"usage\":{\"input_tokens\":2,\"output_tokens\":1}}}\n\n"
#define DELTA(kind, name, text) "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"" kind "\",\"" name "\":\"" text "\"}}\n\n"
#define STOP_REASON "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\"},\"usage\":{\"input_tokens\":27,\"output_tokens\":9}}\n\n"
#define STOP "data: {\"type\":\"message_stop\"}\n\n"

static void IICPD_02_73_messages_streams(void **state) {
        struct iicp_buf text = {0};
        char answer[512];

        (void) state;
        assert_int_equal(run(START "data: {\"type\":\"content_block_start\",\"index\":0}\n\n" DELTA("text_delta", "text", "P\\u00f6")
                             "data: {\"type\":\"ping\"}\n\n" DELTA("thinking_delta", "thinking", "hm") DELTA("text_delta", "text", "NG")
                             STOP_REASON STOP, &text, answer, sizeof answer), ASSEMBLE_OK);
        assert_string_equal(text.p, "P\xc3\xb6NG");
        assert_string_equal(answer, "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,"
                                    "\"message\":{\"role\":\"assistant\",\"content\":\"P\\u00f6NG\"},\"finish_reason\":\"length\"}],"
                                    "\"usage\":{\"prompt_tokens\":27,\"completion_tokens\":9,\"total_tokens\":36}}");
        text.n = 0;
        assert_int_equal(run(START DELTA("text_delta", "text", "a") STOP_REASON, &text, answer, sizeof answer), ASSEMBLE_OK);
        assert_non_null(strstr(answer, " not ended"));
        assert_int_equal(run(START DELTA("text_delta", "text", "a") STOP, &text, answer, sizeof answer), ASSEMBLE_UNFINISHED);
        assert_int_equal(run(START "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n" STOP_REASON STOP, &text,
                             answer, sizeof answer), ASSEMBLE_FAILED);
        assert_int_equal(run("data: {\"type\":\"error\"}\n\n" STOP_REASON STOP, &text, answer, sizeof answer), ASSEMBLE_FAILED);
        iicp_buf_free(&text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_68_mapping_vectors),
                cmocka_unit_test(IICPD_02_68_system_messages_become_one_text),
                cmocka_unit_test(IICPD_02_68_images_and_what_is_not_sent),
                cmocka_unit_test(IICPD_02_68_answers_and_finish_reasons),
                cmocka_unit_test(IICPD_02_73_messages_streams),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
