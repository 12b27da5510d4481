/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "backend/internal.h"

#define NOW_S 1000

static void expect(const struct stability *s, struct json_object *want, const char *name) {
        struct backend_stability got;
        struct json_object *v;

        stability_get(s, NOW_S * 1000, NOW_S, &got);
        if (strcmp(backend_state_name(got.state), vector_str(want, "backend_state").p) != 0 ||
            strcmp(got.reason, vector_str(want, "reason_class").p) != 0)
                fail_msg("%s: got %s %s", name, backend_state_name(got.state), got.reason);
        v = vector_find(want, "retry_after_s");
        assert_int_equal(got.retry_after_s, v ? json_object_get_int64(v) : 0);
        v = vector_find(want, "drain_until");
        assert_int_equal(got.drain_until, v ? json_object_get_int64(v) : 0);
}

static void run(const char *group, void (*observe)(struct stability *s, struct iicp_str body,
                                                   struct iicp_str expected, uint64_t now_ms)) {
        struct json_object *all = vector_ours("node/backend-stability-cases-v1.json");
        size_t n = 0;

        vector_each(vector_get(all, group), one) {
                struct stability s = {.state = STATE_OK, .reason = "ok"};
                struct json_object *model = vector_find(one, "expected_model");
                struct iicp_str expected = model ? iicp_str(json_object_get_string(model)) : IICP_STR_NONE;

                observe(&s, vector_text(vector_get(one, "body")), expected, NOW_S * 1000);
                expect(&s, vector_get(one, "public"), vector_str(one, "name").p);
                n++;
        }
        assert_true(n > 5);
        json_object_put(all);
}

static void IICPD_02_70_ollama_cases(void **state) {
        (void) state;
        run("ollama_ps", observe_ollama);
}

static void IICPD_02_70_lmstudio_cases(void **state) {
        (void) state;
        run("lmstudio_models", observe_lmstudio);
}

static void IICPD_02_70_meshllm_cases(void **state) {
        struct json_object *all = vector_ours("node/backend-stability-cases-v1.json");
        size_t n = 0;

        (void) state;
        vector_each(vector_get(all, "meshllm"), one) {
                struct stability s = {.state = STATE_OK, .reason = "ok"};
                struct json_object *model = vector_find(one, "expected_model"), *body = vector_find(one, "models");
                struct json_object *status = vector_find(one, "models_status"), *want = vector_get(one, "expected");
                bool good = status && json_object_get_int(status) == 200;
                struct backend_stability got;

                observe_meshllm(&s, json_object_get_int(vector_get(one, "readyz")) == 200,
                                good ? vector_text(body) : IICP_STR_NONE,
                                model ? iicp_str(json_object_get_string(model)) : IICP_STR_NONE, NOW_S * 1000);
                stability_get(&s, NOW_S * 1000, NOW_S, &got);
                assert_string_equal(backend_state_name(got.state), vector_str(want, "backend_state").p);
                assert_string_equal(got.reason, vector_str(want, "reason_class").p);
                assert_int_equal(got.retry_after_s, vector_find(want, "retry_after_s")
                                                            ? json_object_get_int(vector_get(want, "retry_after_s"))
                                                            : 0);
                n++;
        }
        assert_int_equal(n, 6);
        json_object_put(all);
}

static void IICPD_02_70_a_drain_lasts_until_its_end(void **state) {
        struct stability s = {.state = STATE_OK, .reason = "ok"};
        struct backend_stability got;

        (void) state;
        stability_observe(&s, STATE_DRAINING, "backend_loading", 30, 1000);
        stability_observe(&s, STATE_OK, "ok", 0, 2000);
        stability_get(&s, 2000, 50, &got);
        assert_int_equal(got.state, STATE_DRAINING);
        assert_int_equal(got.retry_after_s, 29);
        stability_observe(&s, STATE_DRAINING, "backend_unstable", 60, 3000);
        stability_get(&s, 3000, 50, &got);
        assert_string_equal(got.reason, "backend_unstable");
        assert_int_equal(got.retry_after_s, 60);
        stability_get(&s, 62900, 50, &got);
        assert_int_equal(got.retry_after_s, 1);
        stability_get(&s, 63000, 50, &got);
        assert_int_equal(got.state, STATE_OK);
        stability_observe(&s, STATE_DEGRADED, "backend_cold", 0, 63000);
        stability_get(&s, 63000, 50, &got);
        assert_string_equal(got.reason, "backend_cold");
}

static struct model_list *list_of(const char *const *names) {
        struct model_list *l = calloc(1, sizeof *l);

        assert_non_null(l);
        for (size_t i = 0; names[i]; i++)
                model_list_add(l, iicp_str(names[i]), 0);
        return l;
}

static void IICPD_02_67_lists_keep_order_and_drop_doubles(void **state) {
        const char *const names[] = {"b", "a", "b", "", "tiny:latest", NULL};
        const char *const turned[] = {"tiny:latest", "a", "b", NULL};
        struct model_list *l = list_of(names), *t = list_of(turned);
        char longer[BACKEND_MODEL_NAME_MAX + 2];

        (void) state;
        assert_int_equal(l->n, 3);
        assert_string_equal(l->v[0].name, "b");
        assert_string_equal(l->v[2].name, "tiny:latest");
        assert_true(model_list_same_set(l, t));
        assert_ptr_equal(model_list_find(l, IICP_STR("tiny")), &l->v[2]);
        assert_null(model_list_find(l, IICP_STR("tin")));
        memset(longer, 'x', sizeof longer);
        assert_false(model_list_add(l, (struct iicp_str){longer, sizeof longer - 1}, 0));
        assert_true(model_list_add(l, (struct iicp_str){longer, sizeof longer - 2}, 0));
        assert_false(model_list_same_set(l, t));
        model_list_free(l);
        model_list_free(t);
}

static void IICPD_02_67_patterns(void **state) {
        (void) state;
        assert_true(pattern_match("*", ""));
        assert_true(pattern_match("*vision*", "llama-vision:7b"));
        assert_true(pattern_match("a*b*c", "aXbYbZc"));
        assert_false(pattern_match("a*b", "aXbc"));
        assert_false(pattern_match("a", "ab"));
        assert_false(pattern_match("", "a"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_70_ollama_cases),
                cmocka_unit_test(IICPD_02_70_lmstudio_cases),
                cmocka_unit_test(IICPD_02_70_meshllm_cases),
                cmocka_unit_test(IICPD_02_70_a_drain_lasts_until_its_end),
                cmocka_unit_test(IICPD_02_67_lists_keep_order_and_drop_doubles),
                cmocka_unit_test(IICPD_02_67_patterns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
