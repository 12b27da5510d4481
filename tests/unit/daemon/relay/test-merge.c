/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "relay/merge.h"
#include "relay/sessions.h"
#include "util.h"

#include <errno.h>

static void expect(const char *result, const char *task_id, const char *wanted) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};

        assert_int_equal(relay_merge(iicp_str(result), iicp_str(task_id), &out), 0);
        assert_string_equal(out.p, wanted);
}

static void IICPD_03_49_worker_wins(void **state) {
        (void) state;
        expect("{\"result\": {\"a\": 1e2}}", "\"t-1\"",
               "{\"task_id\":\"t-1\",\"status\":\"completed\",\"result\":{\"a\": 1e2},\"generated_by_ai\":true}");
        expect("{\"status\":\"encrypted\",\"task_id\":\"w\",\"iicp_conf_resp\":{\"x\":\"\\u00e4\"}}", "\"t\"",
               "{\"status\":\"encrypted\",\"task_id\":\"w\",\"iicp_conf_resp\":{\"x\":\"\\u00e4\"},\"generated_by_ai\":true}");
        expect("{\"error\":\"boom\"}", NULL, "{\"task_id\":\"\",\"status\":\"completed\",\"error\":\"boom\",\"generated_by_ai\":true}");
        expect("{\"error_code\":\"x\",\"generated_by_ai\":false}", "\"t\"",
               "{\"task_id\":\"t\",\"status\":\"completed\",\"error_code\":\"x\",\"generated_by_ai\":true}");
        /* strings as they came, and an empty one */
        expect("{\"result\":\"\\\"}\",\"e\":\"\"}", "7", "{\"task_id\":7,\"status\":\"completed\",\"result\":\"\\\"}\",\"e\":\"\",\"generated_by_ai\":true}");
}

static void IICPD_03_63_bare_result(void **state) {
        (void) state;
        expect("{\"choices\":[1.0],\"status\":\"odd\"}", "\"t\"",
               "{\"task_id\":\"t\",\"status\":\"completed\",\"result\":{\"choices\":[1.0],\"status\":\"odd\"},\"generated_by_ai\":true}");
        expect("{}", "\"t\"", "{\"task_id\":\"t\",\"status\":\"completed\",\"result\":{},\"generated_by_ai\":true}");
}

static void IICPD_03_49_not_an_object(void **state) {
        static const char *const bad[] = {"", "[]", "1", "\"x\"", "null", "{\"a\":1}x", "{\"a\":1,\"a\":2}", "{"};
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(relay_merge(iicp_str(bad[i]), IICP_STR_NONE, &out), -EBADMSG);
        assert_int_equal(relay_merge(IICP_STR_NONE, IICP_STR_NONE, &out), -EBADMSG);
        assert_int_equal(out.n, 0);
}

static void CX_03_only_the_outside_of_a_task_is_read(void **state) {
        static const char sealed[] = "{\"constraints\":{\"timeout_ms\":500},\"iicp_conf\":{\"encrypted_body\":\"AA==\",\"n\":1e400},"
                                     "\"task_id\":\"\\u0061\"}";
        struct relay_task t;

        (void) state;
        assert_int_equal(relay_task_read(iicp_str(sealed), &t), 0);
        assert_ptr_equal(t.body.p, sealed);
        assert_int_equal(t.body.n, sizeof sealed - 1);
        assert_true(iicp_str_is(t.task_id, "\"\\u0061\"") && t.timeout_ms == 500);
        assert_int_equal(relay_task_read(IICP_STR("[1]"), &t), -EINVAL);
        assert_int_equal(relay_task_read(IICP_STR("{\"a\""), &t), -EBADMSG);
        assert_int_equal(relay_task_read(IICP_STR("{\"constraints\":{\"timeout_ms\":-1}}"), &t), 0);
        assert_true(t.timeout_ms == 0 && !t.task_id.p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_49_worker_wins),
                cmocka_unit_test(IICPD_03_63_bare_result),
                cmocka_unit_test(IICPD_03_49_not_an_object),
                cmocka_unit_test(CX_03_only_the_outside_of_a_task_is_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
