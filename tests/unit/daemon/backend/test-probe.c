/* SPDX-License-Identifier: Apache-2.0 */
#include "stand.h"

#include "log.h"
#include "util.h"

#include <stdio.h>

/* What looking at a server teaches, and what calls teach about it. */

#define MS 3000
#define LIST(names) "{\"data\":[" names "]}"
#define ID(name) "{\"id\":\"" name "\"}"

static int nothing(void **state) {
        (void) state;
        return 0;
}

static int teardown(void **state) {
        (void) state;
        stand_end();
        return 0;
}

static void expect_registered(const char *want) {
        const struct model_list *l = stand->backend->registered;
        char got[256] = "";
        size_t n = 0;

        for (size_t i = 0; i < l->n; i++)
                n += (size_t) snprintf(got + n, sizeof got - n, "%s%s", i ? "," : "", l->v[i].name);
        assert_string_equal(got, want);
}

static void IICPD_02_72_two_equal_probes_register_again(void **state) {
        (void) state;
        stand_begin(BACKEND_VLLM, NULL);
        expect_registered("m");
        stand->n_changes = 0;
        stand->models = LIST(ID("n") "," ID("m"));
        stand_probe(MS);
        expect_registered("m");
        assert_int_equal(stand->n_changes, 0);
        stand_probe(MS);
        expect_registered("m,n"); /* the configured one first */
        assert_int_equal(stand->n_changes, 1);
        /* the same set in another order is none */
        stand->models = LIST(ID("m") "," ID("n"));
        stand_probe(MS);
        stand_probe(MS);
        assert_int_equal(stand->n_changes, 1);
        /* seen once, then not again */
        stand->models = LIST(ID("m"));
        stand_probe(MS);
        stand->models = LIST(ID("m") "," ID("n"));
        stand_probe(MS);
        stand->models = LIST(ID("m"));
        stand_probe(MS);
        expect_registered("m,n");
        assert_int_equal(stand->n_changes, 1);
}

static void IICPD_02_72_empty_and_failed_lists_change_nothing(void **state) {
        static const char *const lists[] = {LIST(""), "", "[]", "{x", "{\"data\":{}}"};

        (void) state;
        stand_begin(BACKEND_VLLM, NULL);
        stand->n_changes = 0;
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                stand->models = lists[i];
                stand_probe(MS);
                stand_probe(MS);
                expect_registered("m");
                assert_int_equal(stand->n_changes, 0);
                assert_false(stand->backend->list_ok);
        }
}

static void IICPD_02_71_three_unreachable_calls_drain(void **state) {
        struct backend_stability st;
        struct backend *b;
        const char *reason = NULL;
        int64_t retry = 0;

        (void) state;
        stand_begin(BACKEND_VLLM, NULL);
        for (int i = 0; i < 3; i++) {
                backends_stability(stand->node.backends, &st);
                assert_int_equal(st.state, STATE_OK);
                stand_ask(IICP_INTENT_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", i == 1);
                stand_say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{");
                stand_hang_up();
                stand_until_done();
                assert_string_equal(stand->refusal.reason, "backend_unreachable");
        }
        backends_stability(stand->node.backends, &st);
        assert_int_equal(st.state, STATE_DRAINING);
        assert_string_equal(st.reason, "backend_unstable");
        assert_int_equal(st.retry_after_s, DRAIN_UNSTABLE_S);
        assert_int_equal(backends_pick(stand->node.backends, iicp_intent_of(IICP_INTENT_CHAT), IICP_STR("m"), NULL, &b, &retry,
                                       &reason), PICK_DRAINING);
        assert_string_equal(reason, "backend_unstable");
        assert_in_range(retry, 29000, 30000);
        assert_true(backends_unavailable(stand->node.backends));
        /* an answer of the server does not end the drain, but the row of failures */
        stand_probe(MS);
        backends_stability(stand->node.backends, &st);
        assert_int_equal(st.state, STATE_DRAINING);
        assert_false(backends_unavailable(stand->node.backends));
}

static void IICPD_02_100_a_late_probe_while_answers_arrive_is_no_failure(void **state) {
        (void) state;
        stand_begin(BACKEND_VLLM, NULL);
        assert_true(stand->backend->list_ok);
        stand->silent = true;
        stand_ask(IICP_INTENT_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", true);
        stand_stream("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
        while (stand->n_texts == 0)
                stand_turn();
        for (int i = 0; i < 2; i++) {
                probe_start(stand->backend, 60);
                stand_say("data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n");
                while (stand->backend->probe)
                        stand_turn();
                assert_int_equal(stand->backend->list_failed_row, 0);
                assert_true(stand->backend->list_ok);
        }
        backend_call_cancel(TAKE_PTR(stand->call));
        /* nobody gets an answer: it is one now */
        stand_probe(60);
        assert_int_equal(stand->backend->list_failed_row, 1);
        stand_probe(60);
        assert_true(stability_draining(&stand->backend->stability, clock_mono_ms(&clock_system)));
}

static void IICPD_02_75_joint_state_is_the_best_of_all(void **state) {
        uint64_t now_ms;
        struct backend_stability st;
        struct backends *s;
        struct backend *b;
        const char *reason;
        int64_t retry;

        (void) state;
        stand_begin(BACKEND_VLLM, NULL);
        s = stand->node.backends;
        stand->config.backends[1] = stand->config.backends[0];
        stand->config.backends[1].name = (char *) "two";
        stand->config.n_backends = 2;
        assert_int_equal(backends_reload(s), 0);
        now_ms = clock_mono_ms(&clock_system);
        stability_observe(&s->v[0]->stability, STATE_DRAINING, "backend_unstable", 60, now_ms);
        backends_stability(s, &st);
        assert_int_equal(st.state, STATE_OK);
        assert_int_equal(backends_pick(s, iicp_intent_of(IICP_INTENT_CHAT), IICP_STR("m"), NULL, &b, &retry, &reason), PICK_OK);
        assert_ptr_equal(b, s->v[1]);
        stability_observe(&s->v[1]->stability, STATE_DEGRADED, "backend_cold", 0, now_ms);
        backends_stability(s, &st);
        assert_int_equal(st.state, STATE_DEGRADED);
        assert_string_equal(st.reason, "backend_cold");
        stability_observe(&s->v[1]->stability, STATE_DRAINING, "backend_loading", 30, now_ms);
        backends_stability(s, &st);
        assert_int_equal(st.state, STATE_DRAINING);
        assert_string_equal(st.reason, "backend_loading"); /* the one that ends first */
        assert_in_range(st.retry_after_s, 29, 30);
        assert_int_equal(backends_pick(s, iicp_intent_of(IICP_INTENT_CHAT), IICP_STR("m"), NULL, &b, &retry, &reason),
                         PICK_DRAINING);
        assert_string_equal(reason, "backend_loading");
        assert_in_range(retry, 29000, 30000);
        while (s->v[0]->probe || s->v[1]->probe)
                stand_turn();
}

static void IICPD_01_39_meshllm_lists_neither_itself_nor_its_files(void **state) {
        struct backend *b;
        const char *reason;
        int64_t retry;

        (void) state;
        stand->models = LIST(ID("mesh") "," ID("local-gguf\\/sha256-0011") "," ID("m") "," ID("n"));
        stand_begin(BACKEND_MESHLLM, NULL);
        expect_registered("m,n");
        assert_int_equal(stand->backend->flavour, FLAVOUR_MESHLLM);
        assert_int_equal(stand->backend->stability.state, STATE_OK);
        assert_string_equal(backends_flavour(stand->node.backends), "meshllm");
        assert_int_equal(backends_pick(stand->node.backends, iicp_intent_of(IICP_INTENT_COMPLETION), IICP_STR("m"), NULL, &b, &retry,
                                       &reason), PICK_NO_MODEL);
        assert_int_equal(backends_pick(stand->node.backends, iicp_intent_of(IICP_INTENT_CHAT), IICP_STR("mesh"), NULL, &b, &retry,
                                       &reason), PICK_NO_MODEL);
        /* served on demand, listed never */
        stand->config.backends[0].experimental = true;
        assert_int_equal(backends_reload(stand->node.backends), 0);
        while (stand->backend->probe)
                stand_turn();
        assert_int_equal(backends_pick(stand->node.backends, iicp_intent_of(IICP_INTENT_CHAT), IICP_STR("mesh"), NULL, &b, &retry,
                                       &reason), PICK_OK);
        expect_registered("m,n");
}

static void IICPD_02_67_meshllm_with_several_models_must_be_told(void **state) {
        (void) state;
        stand->models = LIST(ID("a") "," ID("b"));
        stand_begin(BACKEND_MESHLLM, NULL);
        expect_registered("m,a,b"); /* the configured one is enough */
        stand->config.backends[0].model = NULL;
        assert_int_equal(backends_reload(stand->node.backends), 0);
        while (stand->backend->probe)
                stand_turn();
        expect_registered("");
        assert_true(stand->backend->undecided);
        stand->models = LIST(ID("a"));
        stand_probe(MS);
        expect_registered("a");
        assert_false(stand->backend->undecided);
}

static void IICPD_02_70_meshllm_that_is_not_ready_drains(void **state) {
        (void) state;
        stand->not_ready = true;
        stand_begin(BACKEND_MESHLLM, NULL);
        assert_int_equal(stand->backend->stability.state, STATE_DRAINING);
        assert_string_equal(stand->backend->stability.reason, "backend_loading");
}

static void IICPD_02_67_anthropic_needs_no_list(void **state) {
        (void) state;
        stand->models = "";
        stand_begin(BACKEND_ANTHROPIC, "k");
        expect_registered("m");
        assert_true(stand->backend->list_ok);
        assert_int_equal(stand->n_probes, 1);
        assert_non_null(strstr(stand->probe_request, "GET /v1/models "));
        assert_non_null(strstr(stand->probe_request, "\r\nx-api-key: k\r\n"));
        assert_non_null(strstr(stand->probe_request, "\r\nanthropic-version: 2023-06-01\r\n"));
        /* without a model of its own it has nothing to offer */
        stand->config.backends[0].model = NULL;
        assert_int_equal(backends_reload(stand->node.backends), 0);
        while (stand->backend->probe)
                stand_turn();
        expect_registered("");
        assert_false(stand->backend->list_ok);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, nothing, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(IICPD_02_72_two_equal_probes_register_again),
                TEST(IICPD_02_72_empty_and_failed_lists_change_nothing),
                TEST(IICPD_02_71_three_unreachable_calls_drain),
                TEST(IICPD_02_100_a_late_probe_while_answers_arrive_is_no_failure),
                TEST(IICPD_02_75_joint_state_is_the_best_of_all),
                TEST(IICPD_01_39_meshllm_lists_neither_itself_nor_its_files),
                TEST(IICPD_02_67_meshllm_with_several_models_must_be_told),
                TEST(IICPD_02_70_meshllm_that_is_not_ready_drains),
                TEST(IICPD_02_67_anthropic_needs_no_list),
        };

        log_setup(LOG_F_TEXT, LOG_L_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
