/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <stdio.h>

static int64_t at(struct json_object *event) {
        return (int64_t) (json_object_get_double(vector_get(event, "t_s")) * 1000 + 0.5);
}

static void IICPD_06_35_breaker_opens_and_closes(void **state) {
        struct json_object *all = vector_ours("consumer/circuit-breaker.json");
        struct iicp_breaker *b = iicp_breaker_new(5, 30000);

        (void) state;
        vector_each(vector_get(all, "events"), e) {
                struct iicp_str op = vector_str(e, "op");

                if (iicp_str_is(op, "fail"))
                        iicp_breaker_report(b, "n", at(e), IICP_VERDICT_FAIL);
                else if (iicp_str_is(op, "ok"))
                        iicp_breaker_report(b, "n", at(e), IICP_VERDICT_OK);
                assert_int_equal(iicp_breaker_allows(b, "n", at(e), NULL),
                                 json_object_get_boolean(vector_get(e, "allow_after")));
                assert_true(iicp_breaker_allows(b, "other", at(e), NULL));
        }
        iicp_breaker_free(b);
        json_object_put(all);
}

static void IICPD_06_35_one_probe_when_half_open(void **state) {
        struct json_object *all = vector_ours("consumer/circuit-breaker.json");
        struct iicp_breaker *b = iicp_breaker_new(5, 30000);

        (void) state;
        vector_each(vector_get(all, "ours_half_open"), e) {
                struct iicp_str op = vector_str(e, "op");

                if (iicp_str_is(op, "open"))
                        for (int i = 0; i < 5; i++)
                                iicp_breaker_report(b, "n", at(e), IICP_VERDICT_FAIL);
                else if (iicp_str_is(op, "acquire"))
                        assert_int_equal(iicp_breaker_acquire(b, "n", at(e)),
                                         json_object_get_boolean(vector_get(e, "granted")));
                else if (iicp_str_is(op, "release_without_verdict"))
                        iicp_breaker_report(b, "n", at(e), IICP_VERDICT_NONE);
                else
                        iicp_breaker_report(b, "n", at(e),
                                            iicp_str_is(op, "ok") ? IICP_VERDICT_OK
                                                                  : IICP_VERDICT_FAIL);
        }
        iicp_breaker_free(b);
        json_object_put(all);
}

static void IICPD_06_35_table_is_bounded(void **state) {
        struct iicp_breaker *b = iicp_breaker_new(1, 30000);
        char id[16];

        (void) state;
        for (int i = 0; i < 1025; i++) {
                snprintf(id, sizeof(id), "n%d", i);
                iicp_breaker_report(b, id, i, IICP_VERDICT_FAIL);
        }
        assert_true(iicp_breaker_allows(b, "n0", 1025, NULL)); /* the oldest made room */
        assert_false(iicp_breaker_allows(b, "n1", 1025, NULL));
        assert_false(iicp_breaker_allows(b, "n1024", 1025, NULL));
        iicp_breaker_free(b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_35_breaker_opens_and_closes),
                cmocka_unit_test(IICPD_06_35_one_probe_when_half_open),
                cmocka_unit_test(IICPD_06_35_table_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
