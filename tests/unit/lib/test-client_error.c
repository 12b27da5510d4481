/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <stdio.h>

static void IICPD_06_38_foreign_messages_are_cut_and_stripped(void **state) {
        char out[256], lng[400];
        struct iicp_outcome o;

        (void) state;
        iicp_text_clean(IICP_STR("a\x1b[31mb\r\nc\x7f\xc2\x9b"
                                 "d\xff\xc3"
                                 "e"),
                        out, sizeof(out));
        assert_string_equal(out, "a[31mbcde");
        memset(lng, 'x', sizeof(lng));
        iicp_text_clean((struct iicp_str){lng, sizeof(lng)}, out, sizeof(out));
        assert_int_equal(strlen(out), 200);
        /* never cut within a character */
        for (size_t i = 0; i + 2 <= sizeof(lng); i += 2)
                memcpy(lng + i, "\xc3\xa4", 2);
        memcpy(lng, "y", 1);
        iicp_text_clean((struct iicp_str){lng, sizeof(lng)}, out, sizeof(out));
        assert_int_equal(strlen(out) % 2, 1);

        iicp_outcome_init(&o);
        iicp_outcome_read(&o, 500,
                          IICP_STR("{\"error\":{\"code\":\"a b\",\"message\":\"m\\u001b[1m\\n\"}}"),
                          IICP_STR_NONE, 0);
        assert_string_equal(o.code, "IICP-E500");
        assert_true(iicp_code_valid(IICP_STR("IICP-E021")) && iicp_code_valid(IICP_STR("a.b_c:d")));
        assert_false(iicp_code_valid(IICP_STR("")) || iicp_code_valid(IICP_STR("a\"b")) ||
                     iicp_code_valid(IICP_STR("a\0b")));
        assert_string_equal(o.message, "m[1m");
}

static void SDK_ERR_01_one_object_with_all_members(void **state) {
        static const char *const members[] = {"code",      "message",     "component",
                                              "retryable", "http_status", "retry_after_ms",
                                              "attempts",  "candidates",  "cause",
                                              "sent"};
        struct iicp_error e;
        struct iicp_buf b = {0};
        struct json_object *doc, *error;

        (void) state;
        iicp_error_set(&e, "no_available_node", "sdk", true, "none \"%s\"", "answered");
        snprintf(e.cause.code, sizeof(e.cause.code), "IICP-E004");
        e.n_log = 1;
        iicp_error_json(&e, &b);
        doc = json_tokener_parse(b.p);
        assert_non_null(doc);
        error = vector_get(doc, "error");
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
                assert_true(json_object_object_get_ex(error, members[i], NULL));
        assert_string_equal(json_object_get_string(vector_get(error, "message")),
                            "none \"answered\"");
        json_object_put(doc);
        iicp_buf_free(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_38_foreign_messages_are_cut_and_stripped),
                cmocka_unit_test(SDK_ERR_01_one_object_with_all_members),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
