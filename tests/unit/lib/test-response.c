/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

static void check_text(struct json_object *want, const struct iicp_response *r, const char *name) {
        if (!want) {
                if (r->text)
                        fail_msg("%s: text '%s', expected none", name, r->text);
                return;
        }
        assert_non_null(r->text);
        assert_string_equal(r->text, json_object_get_string(want));
}

static void check_case(struct json_object *c, const char *task_id) {
        struct json_object *expect = vector_get(c, "expect"), *v;
        const char *name = json_object_get_string(vector_get(c, "name"));
        struct iicp_reply_context ctx = {.task_id = task_id};
        struct iicp_reply r;
        bool ok = json_object_get_boolean(vector_get(expect, "ok"));

        assert_int_equal(iicp_reply_read(&ctx, vector_text(vector_get(c, "body")), &r), 0);
        if (r.ok != ok)
                fail_msg("%s: ok is %d (%s)", name, r.ok, r.outcome.code);
        if (!ok) {
                bool final = iicp_str_is(vector_str(expect, "action"), "final");

                assert_string_equal(r.outcome.code,
                                    json_object_get_string(vector_get(expect, "code")));
                assert_int_equal(r.outcome.cls, final ? IICP_CLASS_FINAL : IICP_CLASS_SWITCH);
                if ((v = vector_find(expect, "last_http_status")))
                        assert_int_equal(r.outcome.http_status, json_object_get_int(v));
                return;
        }
        check_text(vector_find(expect, "text"), r.response, name);
        if ((v = vector_find(expect, "finish_reason")))
                assert_string_equal(r.response->finish_reason, json_object_get_string(v));
        if ((v = vector_find(expect, "model")))
                assert_string_equal(r.response->model, json_object_get_string(v));
        if ((v = vector_find(expect, "tokens")))
                assert_int_equal(r.response->tokens, json_object_get_int(v));
        v = vector_find(expect, "tool_error");
        assert_int_equal(r.response->tool_error, v && json_object_get_boolean(v));
        iicp_response_free(r.response);
}

static void IICPD_06_29_success_is_judged_by_the_rules(void **state) {
        struct json_object *all = vector_ours("consumer/responses.json");
        const char *task_id = json_object_get_string(vector_get(all, "task_id"));
        struct iicp_reply_context ctx = {.task_id = task_id, .need_encrypted = true};
        struct iicp_reply r;

        (void) state;
        vector_each(vector_get(all, "cases"), c) check_case(c, task_id);
        /* a clear answer where an encrypted one was promised */
        assert_int_equal(iicp_reply_read(&ctx, IICP_STR("{\"status\":\"success\",\"result\":{}}"),
                                         &r),
                         0);
        assert_string_equal(r.outcome.code, "IICP-CX-RESP-REQUIRED");
        assert_int_equal(r.outcome.cls, IICP_CLASS_FINAL);
        assert_int_equal(iicp_reply_read(&ctx, IICP_STR("{\"status\":"), &r), 0);
        assert_string_equal(r.outcome.code, "invalid_response");
        json_object_put(all);
}

static struct json_object *chat_of(const char *body) {
        struct iicp_reply_context ctx = {.task_id = "550e8400-e29b-41d4-a716-446655440000"};
        struct iicp_reply r;
        struct iicp_buf b = {0};
        struct json_object *doc;

        assert_int_equal(iicp_reply_read(&ctx, iicp_str(body), &r), 0);
        assert_true(r.ok);
        iicp_response_chat_json(r.response, 1700000000, &b);
        doc = json_tokener_parse(b.p);
        assert_non_null(doc);
        iicp_buf_free(&b);
        iicp_response_free(r.response);
        return doc;
}

static const char *content_of(struct json_object *doc) {
        struct json_object *choice = json_object_array_get_idx(vector_get(doc, "choices"), 0);

        return json_object_get_string(vector_get(vector_get(choice, "message"), "content"));
}

static void SDK_02_chat_answers_have_the_openai_form(void **state) {
        struct json_object *d;

        (void) state;
        d = chat_of("{\"status\":\"success\",\"result\":{\"choices\":[{\"message\":{\"role\":"
                    "\"assistant\","
                    "\"content\":\"hi\",\"x\":1}}],\"usage\":{\"total_tokens\":3}}}");
        assert_string_equal(content_of(d), "hi");
        assert_int_equal(json_object_get_int(vector_get(vector_get(d, "usage"), "total_tokens")),
                         3);
        assert_true(json_object_get_boolean(vector_get(d, "generated_by_ai")));
        assert_string_equal(json_object_get_string(vector_get(d, "object")), "chat.completion");
        json_object_put(d);
        /* another shape is rebuilt */
        d = chat_of("{\"status\":\"success\",\"result\":{\"model\":\"m\",\"response\":"
                    "\"a\\n\\\"b\\\"\"}}");
        assert_string_equal(content_of(d), "a\n\"b\"");
        json_object_put(d);
        d = chat_of("{\"status\":\"success\",\"result\":null}");
        assert_string_equal(content_of(d), "");
        json_object_put(d);
}

static void IICPD_06_29_whole_answer_as_json(void **state) {
        struct iicp_reply_context ctx = {.task_id = "550e8400-e29b-41d4-a716-446655440000",
                                         .model = "asked"};
        struct iicp_reply r;
        struct iicp_buf b = {0};
        struct json_object *doc, *receipt;

        (void) state;
        assert_int_equal(
                iicp_reply_read(&ctx,
                                IICP_STR("{\"status\":\"completed\",\"result\":\"te\\u0041xt\"}"),
                                &r),
                0);
        assert_true(r.ok);
        memcpy(r.response->node_prefix, "b02d77aa", 9);
        iicp_response_json(r.response, &b);
        doc = json_tokener_parse(b.p);
        assert_non_null(doc);
        assert_string_equal(json_object_get_string(vector_get(doc, "text")), "teAxt");
        assert_string_equal(json_object_get_string(vector_get(doc, "result")), "teAxt");
        assert_string_equal(json_object_get_string(vector_get(doc, "model_used")), "asked");
        assert_string_equal(json_object_get_string(vector_get(doc, "status")), "success");
        receipt = vector_get(doc, "routing_receipt");
        assert_string_equal(json_object_get_string(vector_get(receipt, "selected_node_id_prefix")),
                            "b02d77aa");
        json_object_put(doc);
        iicp_buf_free(&b);
        iicp_response_free(r.response);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_29_success_is_judged_by_the_rules),
                cmocka_unit_test(SDK_02_chat_answers_have_the_openai_form),
                cmocka_unit_test(IICPD_06_29_whole_answer_as_json),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
