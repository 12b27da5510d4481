/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/intents.h>
#include <stdio.h>
#include <string.h>

static const struct iicp_intent *intent_of(const char *name) {
        char urn[128];

        snprintf(urn, sizeof(urn), "urn:iicp:intent:%s:v1", name);
        return iicp_intent_find(iicp_str(urn));
}

static struct iicp_json scan(struct iicp_str text) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(text, NULL, NULL, &v), 0);
        return v;
}

/* The payload of the work, which itself must pass the rules of that intent. */
static void request(const char *name, const char *payload, struct iicp_buf *out) {
        const struct iicp_intent *intent = intent_of(name);
        struct iicp_json v = scan(iicp_str(payload)), work;
        struct iicp_refusal refusal;
        struct iicp_payload p;

        assert_true(intent && intent->extended);
        assert_true(iicp_payload_check(intent, &v, 0, &p, &refusal));
        assert_int_equal(iicp_extended_write(intent, &v, out), 0);
        work = scan(iicp_buf_str(out));
        if (intent->work != intent->kind)
                assert_true(iicp_payload_check(iicp_intent_of(intent->work), &work, 0, &p, &refusal));
}

static void said(const char *content, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
        iicp_buf_json_str(out, iicp_str(content));
        iicp_buf_puts(out, "}}],\"usage\":{\"total_tokens\":3}}");
}

#define TAIL ",\"model\":\"m\",\"usage\":{\"total_tokens\":3}}"

static void result(const char *name, const char *payload, const char *content, const char *wanted) {
        struct iicp_json v = scan(iicp_str(payload));
        struct iicp_buf answer = {0}, out = {0};
        bool ok;

        said(content, &answer);
        ok = iicp_extended_result(intent_of(name), &v, iicp_buf_str(&answer), &out);
        assert_int_equal(ok, wanted != NULL);
        if (wanted)
                assert_string_equal(out.p, wanted);
        iicp_buf_free(&answer);
        iicp_buf_free(&out);
}

static void IICPD_02_63_text_intents_are_chats(void **state) {
        struct iicp_buf out = {0};

        (void) state;
        request("translate", "{\"text\":\"a \\\"b\\\" \\u00e4\",\"target_language\":\"de\",\"model\":\"x\",\"stream\":true}", &out);
        assert_non_null(strstr(out.p, "\"role\":\"user\",\"content\":\"a \\\"b\\\" \\u00e4\""));
        assert_non_null(strstr(out.p, "into de"));
        iicp_buf_free(&out);
        result("translate", "{}", "hallo", "{\"text\":\"hallo\"" TAIL);
        result("llm:summarize", "{}", "kurz", "{\"summary\":\"kurz\"" TAIL);
        result("research:summarize", "{}", "kurz", "{\"summary\":\"kurz\"" TAIL);
        result("education:tutor", "{}", "42", "{\"answer\":\"42\"" TAIL);
        result("education:tutor", "{}", "", NULL);
}

static void IICPD_02_63_documents_and_code_are_the_users_words(void **state) {
        struct iicp_buf out = {0};

        (void) state;
        request("research:summarize", "{\"documents\":[\"one\",\"two\"],\"max_length\":50,\"format\":\"abstract\"}", &out);
        assert_non_null(strstr(out.p, "\"content\":\"one\\n\\n---\\n\\ntwo\""));
        assert_non_null(strstr(out.p, "At most 50 words"));
        iicp_buf_free(&out);
        out = (struct iicp_buf){0};
        request("code:lint", "{\"code\":\"x=1\",\"language\":\"c\",\"rules\":[\"r1\"]}", &out);
        assert_non_null(strstr(out.p, "\"content\":\"x=1\""));
        iicp_buf_free(&out);
}

static void IICPD_02_63_structured_answers_are_read_or_refused(void **state) {
        static const char payload[] = "{\"categories\":[\"red\",\"green\",\"bl\\u0075e\"],\"explain\":true}";

        (void) state;
        result("llm:classify", payload, "```json\n{\"categories\":[\"blue\",\"red\",\"pink\"],\"explanation\":\"so\"}\n```",
               "{\"categories\":[\"red\",\"bl\\u0075e\"],\"explanation\":\"so\"" TAIL);
        result("classify", "{\"categories\":[\"red\"]}", "{\"categories\":[\"red\"],\"explanation\":\"so\"}",
               "{\"categories\":[\"red\"]" TAIL);
        result("llm:classify", payload, "it is red", NULL);
        result("llm:classify", payload, "{\"categories\":\"red\"}", NULL);
        result("code:lint", "{}", "{\"issues\":[]}", "{\"issues\":[]" TAIL);
        result("code:lint", "{}", "{\"issues\":1}", NULL);
        result("code:optimize", "{}", "{\"code\":\"x\",\"notes\":\"n\"}", "{\"code\":\"x\",\"notes\":\"n\"" TAIL);
        result("code:optimize", "{}", "{\"code\":\"x\"}", "{\"code\":\"x\",\"notes\":\"\"" TAIL);
        result("code:optimize", "{}", "}{", NULL);
}

static void IICPD_02_63_rerank_has_a_resource_of_its_own(void **state) {
        static const char payload[] = "{\"query\":\"q\",\"candidates\":[\"a\",\"b\",\"c\"],\"top_k\":2,\"return_scores\":true}";
        static const char answer[] = "{\"model\":\"m\",\"results\":[{\"index\":0,\"relevance_score\":0.25},"
                                     "{\"index\":2,\"relevance_score\":0.5},{\"index\":1,\"relevance_score\":-1}]}";
        const struct iicp_intent *intent = intent_of("llm:rerank");
        struct iicp_json v = scan(iicp_str(payload));
        struct iicp_buf out = {0};

        (void) state;
        assert_string_equal(intent->path, "/rerank");
        request("llm:rerank", payload, &out);
        assert_string_equal(out.p, "{\"query\":\"q\",\"documents\":[\"a\",\"b\",\"c\"],\"top_n\":2}");
        iicp_buf_free(&out);
        out = (struct iicp_buf){0};
        assert_true(iicp_extended_result(intent, &v, iicp_str(answer), &out));
        assert_string_equal(out.p, "{\"results\":[{\"index\":2,\"text\":\"c\",\"score\":0.5},"
                                   "{\"index\":0,\"text\":\"a\",\"score\":0.25}],\"model\":\"m\"}");
        iicp_buf_free(&out);
        out = (struct iicp_buf){0};
        assert_false(iicp_extended_result(intent, &v, IICP_STR("{\"results\":[{\"index\":3,\"relevance_score\":1}]}"), &out));
        assert_false(iicp_extended_result(intent, &v, IICP_STR("{\"results\":[{\"index\":0}]}"), &out));
        iicp_buf_free(&out);
}

static void IICPD_02_63_multimodal_embeds_text_only(void **state) {
        const struct iicp_intent *intent = intent_of("embedding:multimodal");
        struct iicp_refusal refusal;
        struct iicp_payload p;
        struct iicp_json v;
        struct iicp_buf out = {0};

        (void) state;
        request("embedding:multimodal", "{\"inputs\":[{\"type\":\"text\",\"content\":\"a\"},{\"content\":\"b\",\"type\":\"text\"}]}",
                &out);
        assert_string_equal(out.p, "{\"input\":[\"a\",\"b\"]}");
        v = scan(IICP_STR("{\"inputs\":[{\"type\":\"image_url\",\"content\":\"data:image/png;base64,AA==\"}]}"));
        assert_false(iicp_payload_check(intent, &v, 0, &p, &refusal));
        assert_string_equal(refusal.field, "payload.inputs");
        iicp_buf_free(&out);
}

static void IICPD_02_63_only_registry_entries_and_no_tools(void **state) {
        (void) state;
        assert_null(intent_of("mcp:tools/call"));
        for (size_t i = 0; iicp_intent_at(i); i++) {
                const struct iicp_intent *intent = iicp_intent_at(i);

                assert_ptr_equal(iicp_intent_find(iicp_str(intent->urn)), intent);
                /* what reaches a backend is one of 9.3, or the one row of 9.5 with a resource */
                assert_non_null(iicp_intent_of(intent->work)->path);
                assert_true(intent->extended || intent->work == intent->kind);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_63_text_intents_are_chats),
                cmocka_unit_test(IICPD_02_63_documents_and_code_are_the_users_words),
                cmocka_unit_test(IICPD_02_63_structured_answers_are_read_or_refused),
                cmocka_unit_test(IICPD_02_63_rerank_has_a_resource_of_its_own),
                cmocka_unit_test(IICPD_02_63_multimodal_embeds_text_only),
                cmocka_unit_test(IICPD_02_63_only_registry_entries_and_no_tools),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
