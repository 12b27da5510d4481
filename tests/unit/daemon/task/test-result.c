/* SPDX-License-Identifier: Apache-2.0 */
#include "task/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct result_facts facts;

static char *normalise(enum iicp_intent_kind kind, const char *result) {
        struct iicp_buf out = {0};

        if (!result_normalise(kind, iicp_str(result), &out, &facts)) {
                iicp_buf_free(&out);
                return NULL;
        }
        return iicp_buf_take(&out, NULL);
}

static void expect(enum iicp_intent_kind kind, const char *result, const char *wanted) {
        char *got = normalise(kind, result);

        if (!wanted)
                assert_null(got);
        else {
                assert_non_null(got);
                assert_string_equal(got, wanted);
        }
        free(got);
}

static void IICPD_02_50_in_form_travels_unchanged(void **state) {
        const char *text = "{\"id\": \"c1\", \"model\":\"m\",\"choices\": [ {\"index\":0,\"message\":"
                           "{\"role\":\"assistant\",\"content\":\"h\\u0069\"},\"finish_reason\":\"stop\"}],"
                           "\"x\":1.50e2}";

        (void) state;
        expect(IICP_INTENT_CHAT, text,
               "{\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":"
               "{\"role\":\"assistant\",\"content\":\"h\\u0069\"},\"finish_reason\":\"stop\"}],\"x\":1.50e2}");
        assert_int_equal(facts.tokens, -1);
        assert_true(iicp_json_is(&facts.model, "m"));
}

static void IICPD_02_50_content_role_and_finish_reason_are_filled(void **state) {
        (void) state;
        expect(IICP_INTENT_CHAT, "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[]}}]}",
               "{\"choices\":[{\"message\":{\"tool_calls\":[],\"role\":\"assistant\",\"content\":\"\"},"
               "\"finish_reason\":null}]}");
        expect(IICP_INTENT_CHAT, "{\"choices\":[{\"message\":{},\"finish_reason\":\"stop\"}]}",
               "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":\"stop\"}]}");
        expect(IICP_INTENT_CHAT, "{\"choices\":[{\"message\":{\"role\":\"assistant\"},\"finish_reason\":\"stop\"}]}",
               "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":\"stop\"}]}");
        expect(IICP_INTENT_COMPLETION, "{\"choices\":[{\"text\":\"a\"}]}",
               "{\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}");
}

static void IICPD_02_50_usage_is_cleaned(void **state) {
        const char *choices = "\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]";
        char in[512], out[512];

        (void) state;
        snprintf(in, sizeof(in), "{%s,\"usage\":null}", choices);
        snprintf(out, sizeof(out), "{%s}", choices);
        expect(IICP_INTENT_COMPLETION, in, out);
        assert_int_equal(facts.tokens, -1);
        assert_int_equal(facts.usage_n, 0);

        snprintf(in, sizeof(in), "{%s,\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}", choices);
        snprintf(out, sizeof(out),
                 "{%s,\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}", choices);
        expect(IICP_INTENT_COMPLETION, in, out);
        assert_int_equal(facts.tokens, 5);

        snprintf(in, sizeof(in), "{%s,\"usage\":{\"prompt_tokens\":3.5,\"completion_tokens\":-2,\"total_tokens\":7,"
                                 "\"details\":{\"a\":1}}}", choices);
        snprintf(out, sizeof(out), "{%s,\"usage\":{\"total_tokens\":7,\"details\":{\"a\":1}}}", choices);
        expect(IICP_INTENT_COMPLETION, in, out);
        assert_int_equal(facts.tokens, 7);
}

static void IICPD_02_69_wrong_shapes_are_no_answer(void **state) {
        (void) state;
        expect(IICP_INTENT_CHAT, "[]", NULL);
        expect(IICP_INTENT_CHAT, "{}", NULL);
        expect(IICP_INTENT_CHAT, "{\"choices\":[]}", NULL);
        expect(IICP_INTENT_CHAT, "{\"choices\":{}}", NULL);
        expect(IICP_INTENT_CHAT, "{\"choices\":[{\"text\":\"a\"}]}", NULL);
        expect(IICP_INTENT_COMPLETION, "{\"choices\":[{\"message\":{}}]}", NULL);
        expect(IICP_INTENT_EMBEDDING, "{\"data\":[]}", NULL);
        expect(IICP_INTENT_EMBEDDING, "{\"data\":[{\"index\":0}]}", NULL);
        expect(IICP_INTENT_EMBEDDING, "{\"data\":[{\"embedding\":[0.5]}]}", "{\"data\":[{\"embedding\":[0.5]}]}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_50_in_form_travels_unchanged),
                cmocka_unit_test(IICPD_02_50_content_role_and_finish_reason_are_filled),
                cmocka_unit_test(IICPD_02_50_usage_is_cleaned),
                cmocka_unit_test(IICPD_02_69_wrong_shapes_are_no_answer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
