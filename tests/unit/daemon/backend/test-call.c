/* SPDX-License-Identifier: Apache-2.0 */
#include "stand.h"

#include "backend/send.h"
#include "log.h"
#include "util.h"
#include "vectors.h"

#define CHAT "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define EVENT(content) "data: {\"choices\":[{\"delta\":{\"content\":\"" content "\"}}]}\n\n"
#define FINISH "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"total_tokens\":5}}\n\n"
#define DONE "data: [DONE]\n\n"
#define WHOLE(content) "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" content "\"},\"finish_reason\":\"stop\"}]}"

#define WHOLE_OF_MESSAGES "{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"y\"},\"finish_reason\":\"stop\"}]}"

static int with_openai(void **state) {
        (void) state;
        stand_begin(BACKEND_OPENAI_COMPAT, "k");
        return 0;
}

static int with_llamacpp(void **state) {
        (void) state;
        stand_begin(BACKEND_LLAMACPP, NULL);
        return 0;
}

static int with_anthropic(void **state) {
        (void) state;
        stand_begin(BACKEND_ANTHROPIC, "k");
        return 0;
}

static int with_demo(void **state) {
        (void) state;
        stand_begin(BACKEND_DEMO, NULL);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        stand_end();
        return 0;
}

static const char *sent_body(void) {
        return strstr(stand->request.p, "\r\n\r\n") + 4;
}

static void expect_refused(enum iicp_refusal_id id, const char *reason) {
        stand_until_done();
        assert_int_equal(stand->refusal.id, id);
        if (reason)
                assert_string_equal(stand->refusal.reason, reason);
        assert_int_equal(stand->backend->busy, 0);
}

static void expect_result(const char *want) {
        stand_until_done();
        assert_int_equal(stand->refusal.id, IICP_REFUSE_NONE);
        assert_string_equal(stand->result, want);
        assert_int_equal(stand->backend->busy, 0);
}

static void expect_texts(const char *want) {
        assert_string_equal(stand->texts.p ? stand->texts.p : "", want);
}

/* ---- streams ---- */

static void IICPD_02_73_text_comes_as_it_is_said(void **state) {
        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        assert_string_equal(sent_body(), "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,"
                                         "\"stream_options\":{\"include_usage\":true}}");
        stand_stream(": hello\n\n" EVENT("a"));
        while (stand->n_texts == 0)
                stand_turn();
        assert_int_equal(stand->n_done, 0);
        expect_texts("a|");
        stand_say("data: {\"choices\":[{\"delta\":{\"content\":\"\\u00e4");
        stand_say("\"}}]}\r\n\r\n");
        while (stand->n_texts == 1)
                stand_turn();
        stand_say(EVENT("z") FINISH USAGE DONE);
        stand_hang_up();
        expect_result("{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\\u00e4z\"},"
                      "\"finish_reason\":\"stop\"}],\"usage\":{\"total_tokens\":5}}");
        expect_texts("a|\xc3\xa4|z|");
}

static void IICPD_02_73_vectors(void **state) {
        struct json_object *all = vector_ours("node/backend-mapping-v1.json");
        size_t n = 0;

        (void) state;
        vector_each(vector_get(all, "streaming"), one) {
                struct json_object *last = NULL;
                struct iicp_buf want = {0};

                vector_each(vector_get(one, "sdk_events"), event) {
                        last = event;
                        if (iicp_str_is(vector_str(event, "status"), "partial"))
                                iicp_buf_printf(&want, "%s|", vector_str(event, "result").p);
                }
                stand_ask(IICP_INTENT_CHAT, CHAT, true);
                stand_stream(vector_str(one, "sse").p);
                stand_hang_up();
                stand_until_done();
                /* What came before a broken event is given too: it was said. */
                if (want.n)
                        expect_texts(want.p);
                if (iicp_str_is(vector_str(last, "status"), "error"))
                        assert_string_equal(stand->refusal.reason, vector_str(last, "error_code").p);
                else if (strstr(vector_str(one, "sse").p, "finish_reason"))
                        assert_int_equal(stand->refusal.id, IICP_REFUSE_NONE);
                else /* ours: without a finish reason it was cut. [02 section 10.10 rule 4] */
                        assert_string_equal(stand->refusal.reason, "stream_incomplete");
                iicp_buf_free(&want);
                n++;
        }
        assert_int_equal(n, 4);
        json_object_put(all);
}

static void IICPD_02_73_IICPD_02_97_what_ends_a_stream_badly(void **state) {
        static const struct {
                const char *stream, *reason;
        } cases[] = {
                {EVENT("a") FINISH USAGE, "stream_incomplete"},
                {EVENT("a") DONE, "stream_incomplete"},
                {EVENT("a") "data: {\"model\":\"\",\"choices\":[{\"delta\":{},\"finish_reason\":null}]}\n\n", "stream_incomplete"},
                {EVENT("a") FINISH "data: {\"error\":{\"message\":\"x\",\"code\":500}}\n\n" DONE, "backend_failed"},
                {EVENT("a") "data: {\"error\":\"x\"}\n\n" FINISH DONE, "backend_failed"},
                {EVENT("a") "data: {x\n\n" FINISH DONE, "invalid_backend_stream"},
                {EVENT("a") "data: [1]\n\n" FINISH DONE, "invalid_backend_stream"},
                {EVENT("a\xff") FINISH DONE, "invalid_backend_stream"},
                {"", "stream_incomplete"},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                stand_ask(IICP_INTENT_CHAT, CHAT, true);
                stand_stream(cases[i].stream);
                stand_hang_up();
                expect_refused(IICP_REFUSE_BACKEND, cases[i].reason);
                assert_false(stand->retry_elsewhere);
        }
}

static void IICPD_02_97_a_buffered_answer_with_an_error_is_a_failure(void **state) {
        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, false);
        stand_say("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"error\":\"bad\"}");
        expect_refused(IICP_REFUSE_BACKEND, "backend_failed");
}

static void IICPD_02_73_a_cut_connection(void **state) {
        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        stand_hang_up();
        expect_refused(IICP_REFUSE_BACKEND, "backend_unreachable");
        assert_true(stand->retry_elsewhere);
        /* once text was given there is no second try */
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n31\r\n" EVENT("a") "\r\n");
        stand_hang_up();
        expect_refused(IICP_REFUSE_BACKEND, "stream_incomplete");
        assert_false(stand->retry_elsewhere);
        expect_texts("a|");
}

static void IICPD_02_73_the_end_mark_ends_it(void **state) {
        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream(EVENT("a") FINISH DONE); /* and the connection stays open */
        expect_result("{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},"
                      "\"finish_reason\":\"stop\"}]}");
        while (!stand_peer_gone())
                stand_turn();
}

static void IICPD_02_74_increments(void **state) {
        char event[1200], word[300];

        (void) state;
        /* many small pieces: one increment each 256 bytes or a little more, each whole */
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream("");
        for (int i = 0; i < 300; i++)
                stand_say(EVENT("\\u20ac"));
        stand_say(FINISH DONE);
        stand_hang_up();
        stand_until_done();
        assert_int_equal(stand->refusal.id, IICP_REFUSE_NONE);
        assert_int_equal(stand->n_texts, 4);
        assert_int_equal(stand->lengths[0], 258);
        assert_int_equal(stand->lengths[1], 258);
        assert_int_equal(stand->lengths[2], 258);
        assert_int_equal(stand->lengths[3], 900 - 3 * 258);
        /* a large piece is one increment */
        memset(word, 'x', sizeof word - 1);
        word[sizeof word - 1] = 0;
        snprintf(event, sizeof event, "data: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}\n\n" FINISH DONE, word);
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream(event);
        stand_hang_up();
        stand_until_done();
        assert_int_equal(stand->n_texts, 1);
        assert_int_equal(stand->lengths[0], 299);
}

static void IICPD_02_74_an_increment_ends_between_code_points(void **state) {
        struct iicp_buf big = {0};

        (void) state;
        iicp_buf_puts(&big, "data: {\"choices\":[{\"text\":\"x");
        for (size_t i = 0; i < BACKEND_TEXT_MAX / 4 + 10; i++)
                iicp_buf_puts(&big, "\xf0\x9f\x98\x80");
        iicp_buf_puts(&big, "\",\"finish_reason\":\"stop\"}]}\n\n" DONE);
        stand_ask(IICP_INTENT_COMPLETION, "{\"prompt\":\"p\"}", true);
        stand_stream("");
        stand_say(big.p);
        stand_hang_up();
        stand_until_done();
        assert_int_equal(stand->n_texts, 2);
        assert_int_equal(stand->lengths[0], BACKEND_TEXT_MAX - 3);
        assert_int_equal(stand->lengths[1], 1 + 4 * (BACKEND_TEXT_MAX / 4 + 10) - (BACKEND_TEXT_MAX - 3));
        iicp_buf_free(&big);
}

static void IICPD_02_74_text_waits_25_ms_from_its_first_byte(void **state) {
        uint64_t begin;

        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream(EVENT("a"));
        while (!timer_armed(&stand->call->flow.timer))
                stand_turn();
        begin = clock_mono_ms(&clock_system);
        assert_int_equal(stand->n_texts, 0);
        stand_say(EVENT("b")); /* moves nothing */
        while (stand->n_texts == 0)
                stand_turn();
        assert_true(clock_mono_ms(&clock_system) - begin >= FLOW_MS - 2);
        expect_texts("ab|");
        backend_call_cancel(TAKE_PTR(stand->call));
}

static void IICPD_02_74_an_answer_in_one_piece_is_not_cut_up(void **state) {
        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream(WHOLE("no stream"));
        stand_hang_up();
        expect_result(WHOLE("no stream"));
        assert_int_equal(stand->n_texts, 0);
        /* more than one choice cannot be a stream of text */
        stand_ask(IICP_INTENT_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":2}", true);
        assert_null(strstr(sent_body(), "stream"));
        backend_call_cancel(TAKE_PTR(stand->call));
}

static void IICPD_02_96_cancel_closes_the_connection(void **state) {
        (void) state;
        for (int streamed = 0; streamed < 2; streamed++) {
                stand_ask(IICP_INTENT_CHAT, CHAT, streamed);
                stand_stream("");
                stand_turn();
                assert_int_equal(stand->backend->busy, 1);
                backend_call_cancel(TAKE_PTR(stand->call));
                assert_int_equal(stand->backend->busy, 0);
                while (!stand_peer_gone())
                        stand_turn();
                assert_int_equal(stand->n_done, 0);
        }
        /* from inside of on_text, by time, by size and at the end */
        stand->cancel_on_text = true;
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream(EVENT("a"));
        while (!stand_peer_gone())
                stand_turn();
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream(EVENT("0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                           "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                           "01234567890123456789012345678901234567890123456789012345678901234567890123456789") EVENT("more"));
        while (!stand_peer_gone())
                stand_turn();
        assert_int_equal(stand->n_texts, 1);
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream(EVENT("a") FINISH DONE);
        stand_hang_up();
        while (stand->n_texts == 0)
                stand_turn();
        assert_int_equal(stand->n_done, 0);
        assert_int_equal(stand->backend->busy, 0);
}

static void IICPD_02_96_llamacpp_is_asked_by_stream(void **state) {
        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, false);
        assert_non_null(strstr(sent_body(), "\"stream\":true"));
        stand_stream(EVENT("a") FINISH); /* the finish reason is what counts for the answer in one piece */
        stand_hang_up();
        expect_result("{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},"
                      "\"finish_reason\":\"stop\"}]}");
        assert_int_equal(stand->n_texts, 0);
        stand_ask(IICP_INTENT_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logprobs\":true}", false);
        assert_null(strstr(sent_body(), "\"stream\":true"));
        backend_call_cancel(TAKE_PTR(stand->call));
}

/* ---- requests ---- */

static void TRACE_03_the_backend_gets_a_span_of_its_own(void **state) {
        char first[64];

        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, false);
        assert_string_equal(stand_header("X-IICP-Trace-Id"), "0123456789abcdef0123456789abcdef");
        assert_string_equal(stand_header("tracestate"), "a=b");
        snprintf(first, sizeof first, "%s", stand_header("traceparent"));
        assert_memory_equal(first, "00-0123456789abcdef0123456789abcdef-", 36);
        assert_string_equal(first + 52, "-01");
        assert_memory_not_equal(first + 36, "00000000000000aa", 16);
        assert_memory_equal(first + 36, backend_call_span(stand->call)->span_id, 16);
        backend_call_cancel(TAKE_PTR(stand->call));
        stand_ask(IICP_INTENT_CHAT, CHAT, false);
        assert_string_not_equal(stand_header("traceparent"), first);
        backend_call_cancel(TAKE_PTR(stand->call));
}

static void IICPD_02_65_each_dialect_has_its_key_header(void **state) {
        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, false);
        assert_string_equal(stand_header("Authorization"), "Bearer k");
        assert_null(stand_header("x-api-key"));
        backend_call_cancel(TAKE_PTR(stand->call));
}

static void IICPD_02_68_messages_request_and_answer(void **state) {
        (void) state;
        assert_int_equal(stand->backend->flavour, FLAVOUR_ANTHROPIC);
        stand_ask(IICP_INTENT_CHAT, CHAT, false);
        assert_memory_equal(stand->request.p, "POST /v1/messages HTTP/1.1\r\n", 28);
        assert_string_equal(stand_header("x-api-key"), "k");
        assert_string_equal(stand_header("anthropic-version"), "2023-06-01");
        assert_null(stand_header("Authorization"));
        assert_string_equal(sent_body(), "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":4096}");
        stand_stream("{\"content\":[{\"type\":\"text\",\"text\":\"y\"}],\"stop_reason\":\"end_turn\"}");
        stand_hang_up();
        expect_result(WHOLE_OF_MESSAGES);
        stand_ask(IICP_INTENT_CHAT, CHAT, false);
        stand_stream("{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}");
        stand_hang_up();
        expect_refused(IICP_REFUSE_BACKEND, "backend_failed");
        stand_ask(IICP_INTENT_CHAT, CHAT, false);
        stand_stream(WHOLE("of another dialect"));
        stand_hang_up();
        expect_refused(IICP_REFUSE_BACKEND, "backend_invalid_response");
}

static void IICPD_02_68_messages_stream(void **state) {
        static const char start[] = "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"y\"}}\n\n",
                          reason[] = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
                          stop[] = "data: {\"type\":\"message_stop\"}\n\n";

        (void) state;
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        assert_non_null(strstr(sent_body(), ",\"stream\":true}"));
        stand_stream(start);
        stand_say(reason);
        stand_say(stop);
        stand_hang_up();
        expect_result(WHOLE_OF_MESSAGES);
        expect_texts("y|");
        stand_ask(IICP_INTENT_CHAT, CHAT, true);
        stand_stream(start);
        stand_say(reason);
        stand_hang_up();
        expect_refused(IICP_REFUSE_BACKEND, "stream_incomplete");
}

static void IICPD_02_68_chat_only(void **state) {
        struct backend *b;
        const char *reason;
        int64_t retry;

        (void) state;
        assert_int_equal(backends_pick(stand->node.backends, iicp_intent_of(IICP_INTENT_CHAT), IICP_STR("m"), NULL, &b, &retry, &reason),
                         PICK_OK);
        assert_int_equal(backends_pick(stand->node.backends, iicp_intent_of(IICP_INTENT_EMBEDDING), IICP_STR("m"), NULL, &b, &retry,
                                       &reason), PICK_NO_MODEL);
        assert_false(backends_serve(stand->node.backends, iicp_intent_of(IICP_INTENT_COMPLETION)));
        assert_false(backend_streams(stand->backend, iicp_intent_of(IICP_INTENT_EMBEDDING)));
}

/* ---- demo ---- */

static void the_demo_streams_word_by_word(void **state) {
        (void) state;
        assert_true(backend_streams(stand->backend, iicp_intent_of(IICP_INTENT_CHAT)));
        stand_start(IICP_INTENT_CHAT, CHAT, true);
        stand_until_done();
        assert_int_equal(stand->refusal.id, IICP_REFUSE_NONE);
        assert_true(stand->n_texts > 5);
        assert_memory_equal(stand->texts.p, "[demo] |This |answer |", 22);
        assert_non_null(strstr(stand->result, "[demo] This answer"));
        stand_start(IICP_INTENT_CHAT, CHAT, false);
        stand_until_done();
        assert_int_equal(stand->n_texts, 0);
}

#define WITH(begin, fn) cmocka_unit_test_setup_teardown(fn, begin, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH(with_openai, IICPD_02_73_text_comes_as_it_is_said),
                WITH(with_openai, IICPD_02_73_vectors),
                WITH(with_openai, IICPD_02_73_IICPD_02_97_what_ends_a_stream_badly),
                WITH(with_openai, IICPD_02_97_a_buffered_answer_with_an_error_is_a_failure),
                WITH(with_openai, IICPD_02_73_a_cut_connection),
                WITH(with_openai, IICPD_02_73_the_end_mark_ends_it),
                WITH(with_openai, IICPD_02_74_increments),
                WITH(with_openai, IICPD_02_74_an_increment_ends_between_code_points),
                WITH(with_openai, IICPD_02_74_text_waits_25_ms_from_its_first_byte),
                WITH(with_openai, IICPD_02_74_an_answer_in_one_piece_is_not_cut_up),
                WITH(with_openai, IICPD_02_96_cancel_closes_the_connection),
                WITH(with_llamacpp, IICPD_02_96_llamacpp_is_asked_by_stream),
                WITH(with_openai, TRACE_03_the_backend_gets_a_span_of_its_own),
                WITH(with_openai, IICPD_02_65_each_dialect_has_its_key_header),
                WITH(with_anthropic, IICPD_02_68_messages_request_and_answer),
                WITH(with_anthropic, IICPD_02_68_messages_stream),
                WITH(with_anthropic, IICPD_02_68_chat_only),
                WITH(with_demo, the_demo_streams_word_by_word),
        };

        int failed;

        log_setup(LOG_F_TEXT, LOG_L_ERR);
        failed = cmocka_run_group_tests_name("own client", tests, NULL, NULL);
        stand->curl = true;
        return failed + cmocka_run_group_tests_name("libcurl", tests, NULL, NULL);
}
