/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "backend/assemble.h"

/* false: it stopped. What came as text goes to `text`, if that is wanted. */
static bool feed(struct assemble *a, struct iicp_str piece, struct iicp_buf *text) {
        enum assemble_step step;
        struct iicp_str one;

        while ((step = assemble_next(a, &piece, &one)) == ASSEMBLE_TEXT)
                iicp_buf_add_str(text, one);
        return step == ASSEMBLE_MORE;
}

/* Feeds the text in pieces of `step` bytes. */
static enum assemble_result join(enum iicp_intent_kind kind, const char *text, size_t step, char *out, size_t cap) {
        struct assemble *a = assemble_new(kind, FORM_OPENAI, false);
        struct iicp_str whole = IICP_STR_NONE;
        size_t n = strlen(text);
        enum assemble_result r;

        assert_non_null(a);
        for (size_t i = 0; i < n; i += step)
                if (!feed(a, (struct iicp_str){text + i, n - i < step ? n - i : step}, NULL))
                        break;
        r = assemble_end(a, &whole);
        out[0] = 0;
        if (r == ASSEMBLE_OK) {
                assert_true(whole.n < cap);
                memcpy(out, whole.p, whole.n);
                out[whole.n] = 0;
        }
        assemble_free(a);
        return r;
}

static const char plain_stream[] =
        ": hello\n\n"
        "data: {\"id\":\"c1\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\r\n\r\n"
        "data:{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"h\\u00e4\\n\"},\"finish_reason\":null}],\"x\":1}\n\n"
        "event: y\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xc3\xa9!\"},\"finish_reason\":\"stop\"}]}\n\n"
        "data: {\"choices\":[],\"usage\":{\"total_tokens\":5}}\n\n"
        "data: [DONE]\n\n";

static void IICPD_02_103_any_framing_gives_the_same_answer(void **state) {
        char first[1024], other[1024];

        (void) state;
        assert_int_equal(join(IICP_INTENT_CHAT, plain_stream, 10000, first, sizeof first), ASSEMBLE_OK);
        assert_string_equal(first,
                            "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,"
                            "\"message\":{\"role\":\"assistant\",\"content\":\"h\\u00e4\\n\xc3\xa9!\"},\"finish_reason\":\"stop\"}],"
                            "\"usage\":{\"total_tokens\":5}}");
        for (size_t step = 1; step < 40; step++) {
                assert_int_equal(join(IICP_INTENT_CHAT, plain_stream, step, other, sizeof other), ASSEMBLE_OK);
                assert_string_equal(other, first);
        }
}

static void IICPD_02_97_success_needs_a_finish_and_no_error(void **state) {
        char out[1024];

        (void) state;
        assert_int_equal(join(IICP_INTENT_CHAT, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
                              9, out, sizeof out), ASSEMBLE_UNFINISHED);
        assert_int_equal(join(IICP_INTENT_CHAT, "", 1, out, sizeof out), ASSEMBLE_UNFINISHED);
        assert_int_equal(join(IICP_INTENT_CHAT,
                              "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
                              "data: {\"error\":{\"message\":\"x\",\"code\":\"500\"}}\n\ndata: [DONE]\n\n",
                              9, out, sizeof out), ASSEMBLE_FAILED);
        assert_int_equal(join(IICP_INTENT_CHAT, "data: {\"error\":\"Unauthorized\"}\n", 9, out, sizeof out),
                         ASSEMBLE_FAILED);
        assert_int_equal(join(IICP_INTENT_CHAT, "data: {x\n\n", 9, out, sizeof out), ASSEMBLE_INVALID);
        /* no end mark, no last line end: the finish reason is what counts */
        assert_int_equal(join(IICP_INTENT_COMPLETION, "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"length\"}]}",
                              5, out, sizeof out), ASSEMBLE_OK);
        assert_string_equal(out, "{\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"a\","
                                 "\"finish_reason\":\"length\"}]}");
}

static void IICPD_02_96_tool_calls_and_reasoning_are_put_together(void **state) {
        static const char text[] =
                "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
                "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"m\",\"tool_calls\":[{\"index\":0,\"id\":\"t1\","
                "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n"
                "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"t2\",\"function\":{\"name\":\"g\","
                "\"arguments\":\"{}\"}},{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}}]}\n\n"
                "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n";
        char out[1024];

        (void) state;
        assert_int_equal(join(IICP_INTENT_CHAT, text, 7, out, sizeof out), ASSEMBLE_OK);
        assert_string_equal(out,
                            "{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                            "\"content\":null,\"reasoning_content\":\"hmm\",\"tool_calls\":["
                            "{\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},"
                            "{\"id\":\"t2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
                            "\"finish_reason\":\"tool_calls\"}]}");
        assert_int_equal(join(IICP_INTENT_CHAT, "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}\n\n"
                                                "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n",
                              7, out, sizeof out), ASSEMBLE_OK);
        assert_non_null(strstr(out, "\"content\":\"a\",\"reasoning\":\"hm\"}"));
        assert_int_equal(join(IICP_INTENT_CHAT, "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":99999}]}}]}\n\n",
                              7, out, sizeof out), ASSEMBLE_INVALID);
}

static void an_answer_that_is_no_stream_is_taken_whole(void **state) {
        char out[1024];

        (void) state;
        assert_int_equal(join(IICP_INTENT_CHAT, "{\"choices\":[]}\n", 3, out, sizeof out), ASSEMBLE_OK);
        assert_string_equal(out, "{\"choices\":[]}\n");
}

static void an_endless_line_ends_it(void **state) {
        struct assemble *a = assemble_new(IICP_INTENT_CHAT, FORM_OPENAI, false);
        char piece[65536];
        struct iicp_str whole;
        int n = 0;

        (void) state;
        memset(piece, 'x', sizeof piece);
        while (n < 100 && feed(a, (struct iicp_str){piece, sizeof piece}, NULL))
                n++;
        assert_int_equal(n, 16);
        assert_int_equal(assemble_end(a, &whole), ASSEMBLE_INVALID);
        assemble_free(a);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_103_any_framing_gives_the_same_answer),
                cmocka_unit_test(IICPD_02_97_success_needs_a_finish_and_no_error),
                cmocka_unit_test(IICPD_02_96_tool_calls_and_reasoning_are_put_together),
                cmocka_unit_test(an_answer_that_is_no_stream_is_taken_whole),
                cmocka_unit_test(an_endless_line_ends_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
