/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <stdio.h>

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define KEY_B "d938c14a339ae68cbb02a19f6f97413118dc8d202f8b0fd4dd1ae69f677e0a27"
#define CHALLENGE_1 "1a0162ca5a359880e660fdeea0cf152a"
#define CHALLENGE_2 "364b8efa1f1bc62b4eeba7759194137d"

#define DIR (world->node.directory)

static void start(void) {
        directory_start(DIR);
}

static void start_registered(void) {
        start();
        world_accept(TOKEN_A, KEY_A);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
}

static struct fetch *next_beat(void) {
        world_run(60000);
        return world_call("POST", "/v1/heartbeat");
}

static struct fetch *first_beat(void) {
        start_registered();
        world_run(5000);
        return world_call("POST", "/v1/heartbeat");
}

static const char *text_of(json_object *o, const char *name) {
        json_object *v;

        return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;
}

static void answer_beat(struct fetch *f, const char *challenge, int next_ms) {
        char body[256];

        snprintf(body, sizeof body,
                 "{\"ok\":true,\"next_heartbeat_ms\":%d,\"reputation_score\":0.5,\"challenge\":\"%"
                 "s\"}",
                 next_ms, challenge);
        world_answer(f, 200, body);
}

/* ---- HEARTBEAT ---- */

static void IICPD_01_67_first_beat_then_the_pace_asked_for(void **state) {
        struct fetch *f;
        uint64_t at;

        (void) state;
        start_registered();
        at = world->now_ms;
        world_run(5000);
        f = world_call("POST", "/v1/heartbeat");
        assert_in_range(f->at_ms - at, 1000, 5000);
        at = world->now_ms;
        answer_beat(f, "c", 1);
        assert_int_equal(next_beat()->at_ms - at, 4750);
        at = world->now_ms;
        answer_beat(world_call("POST", "/v1/heartbeat"), "c", 3600000);
        assert_int_equal(next_beat()->at_ms - at, 57000);
        at = world->now_ms;
        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"ok\":true}");
        assert_int_equal(next_beat()->at_ms - at, 28500);
}

static void DIR_HB_LIVE_01_challenge_is_answered(void **state) {
        json_object *b;
        struct fetch *f;

        (void) state;
        f = first_beat();
        b = world_body(f);
        assert_null(text_of(b, "challenge_response"));
        json_object_put(b);
        answer_beat(f, CHALLENGE_1, 30000);
        f = next_beat();
        b = world_body(f);
        assert_string_equal(text_of(b, "challenge_response"),
                            "15fd543641fa7a4c5529a8f0b911dfd5534665d661ba5e47670a3b3aa51c5915");
        json_object_put(b);
        answer_beat(f, CHALLENGE_2, 30000);
        /* a new key answers the old challenge */
        directory_reregister(DIR, NULL, NULL);
        world_accept(TOKEN_B, KEY_B);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/heartbeat"));
        assert_string_equal(text_of(b, "challenge_response"),
                            "ee975286589ded3010d69dd0849fb8f33cdfb3511e526808792de5adc299d980");
        json_object_put(b);
}

static void IICPD_01_70_load_and_jobs(void **state) {
        struct fetch *f;

        (void) state;
        world->active = 1;
        world->effective = 3;
        f = first_beat();
        assert_non_null(strstr(f->body, "\"load\":0.333,"));
        assert_non_null(strstr(f->body, "\"active_jobs\":1,"));
        assert_non_null(strstr(f->body, "\"available\":true"));
        answer_beat(f, "c", 30000);
        world->active = 5;
        world->effective = 0;
        world->available = false;
        f = next_beat();
        assert_non_null(strstr(f->body, "\"load\":1.000,"));
        assert_non_null(strstr(f->body, "\"available\":false"));
}

static void IICPD_01_71_health_models(void **state) {
        struct fetch *f;

        (void) state;
        f = first_beat();
        assert_non_null(strstr(f->body, "\"health_models\":[\"llama3.1:8b\"]"));
        answer_beat(f, "c", 30000);
        world->models_known = false;
        f = next_beat();
        assert_null(strstr(f->body, "health_models"));
        answer_beat(f, "c", 30000);
        world->models_known = true;
        world->n_models = 0;
        f = next_beat();
        assert_non_null(strstr(f->body, "\"health_models\":[]"));
}

static void IICPD_01_78_a_flip_sends_an_extra_beat(void **state) {
        struct fetch *f;
        uint64_t at;

        (void) state;
        f = first_beat();
        at = f->at_ms;
        answer_beat(f, "c", 30000);
        world->available = false;
        heartbeat_poke(DIR);
        world_run(at + 9999 - world->now_ms);
        assert_true(world_idle());
        world_run(1);
        f = world_call("POST", "/v1/heartbeat");
        assert_non_null(strstr(f->body, "\"available\":false"));
        answer_beat(f, "c", 30000);
        world_run(15000);
        assert_true(world_idle());
        world->available = true;
        world->stability.state = STATE_DRAINING;
        heartbeat_poke(DIR);
        world_run(1000);
        assert_true(world_idle()); /* still not available: nothing to say */
}

static void IICPD_01_13_one_repetition_after_a_timeout(void **state) {
        struct fetch *f;
        char *body;

        (void) state;
        f = first_beat();
        assert_int_equal(f->timeout_ms, 5000);
        assert_int_equal(f->connect_ms, 3000);
        body = strdup(f->body);
        world_fail(f, FETCH_TIMEOUT);
        world_run(100);
        f = world_call("POST", "/v1/heartbeat");
        assert_string_equal(f->body, body);
        world_fail(f, FETCH_TIMEOUT);
        world_run(1000);
        assert_true(world_idle());
        assert_string_equal(world->failure_reason, "timeout");
        free(body);
}

static void IICPD_01_77_failures_keep_the_pace(void **state) {
        struct fetch *f;
        uint64_t at;

        (void) state;
        f = first_beat();
        world_fail(f, FETCH_UNREACHABLE);
        at = world->now_ms;
        assert_string_equal(world->failure_reason, "connect");
        f = next_beat();
        assert_int_equal(f->at_ms - at, 28500);
        world_answer(f, 503, "");
        assert_string_equal(world->failure_reason, "http_5xx");
        f = next_beat();
        world_fail(f, FETCH_TLS);
        assert_string_equal(world->failure_reason, "tls");
        world_run(5000);
        assert_int_equal(directory_state(DIR), DIRECTORY_UNAVAILABLE);
        answer_beat(next_beat(), "c", 30000);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
}

static void rejected_with(int status, const char *body) {
        json_object *b;

        world_answer(first_beat(), status, body);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERING);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/register"));
        assert_string_equal(text_of(b, "current_node_token"), TOKEN_A);
        json_object_put(b);
        world_run(120000);
        for (unsigned i = 0; i < world->n_calls; i++)
                assert_true(world->calls[i].over || strstr(world->calls[i].url, "/register"));
        world_accept(TOKEN_B, KEY_B);
        world_run(5000);
        assert_string_equal(world_header(world_call("POST", "/v1/heartbeat"), "Authorization"),
                            "Bearer " TOKEN_B);
}

static void DIR_HB_02_401_registers_again_first(void **state) {
        (void) state;
        rejected_with(401, "{\"error\":{\"code\":\"unauthorized\",\"message\":\"x\"}}");
}

static void DIR_HB_03_404_registers_again_first(void **state) {
        (void) state;
        rejected_with(404, "{\"error\":{\"code\":\"IICP-E003\",\"message\":\"x\"}}");
}

static void DIR_HB_03_410_registers_again_first(void **state) {
        (void) state;
        rejected_with(410, "");
}

static void IICPD_05_51_wild_answers_are_clamped(void **state) {
        uint64_t at;

        (void) state;
        world_answer(first_beat(), 200,
                     "{\"ok\":true,\"next_heartbeat_ms\":99999999999999999999,\"challenge\":7,"
                     "\"reputation_score\":1e308}");
        at = world->now_ms;
        assert_int_equal(next_beat()->at_ms - at, 28500);
        at = world->now_ms;
        world_answer(world_call("POST", "/v1/heartbeat"), 200,
                     "{\"ok\":true,\"next_heartbeat_ms\":-5}");
        assert_int_equal(next_beat()->at_ms - at, 4750);
        assert_string_equal(state_identity(world->node.state)->challenge, "");
}

static void stricter_directory_gets_the_shortest_form(void **state) {
        struct fetch *f;

        (void) state;
        world_answer(first_beat(), 422,
                     "{\"error\":{\"code\":\"validation_error\",\"message\":\"x\",\"fields\":{"
                     "\"health_models\":[\"x\"]}}}");
        f = next_beat();
        assert_null(strstr(f->body, "health_models"));
        assert_null(strstr(f->body, "backend_stability"));
        answer_beat(f, "c", 30000);
        for (unsigned i = 0; i < 12; i++)
                answer_beat(next_beat(), "c", 60000);
        assert_non_null(strstr(next_beat()->body, "backend_stability"));
}

/* ---- the end ---- */

static void stopped(void *arg) {
        (void) arg;
        world->stops++;
}

static void IICPD_01_79_last_beat_within_two_seconds(void **state) {
        struct fetch *f;

        (void) state;
        start_registered();
        directory_stop(DIR, stopped, NULL);
        f = world_call("POST", "/v1/heartbeat");
        assert_non_null(strstr(f->body, "\"available\":false"));
        assert_int_equal(f->timeout_ms, 2000);
        assert_int_equal(world->stops, 0);
        world_answer(f, 200, "{\"ok\":true}");
        assert_int_equal(world->stops, 1);
        world_run(100000);
        assert_true(world_idle());
        for (unsigned i = 0; i < world->n_calls; i++)
                assert_string_not_equal(world->calls[i].method, "DELETE");
}

static void IICPD_01_79_a_dead_directory_holds_nobody(void **state) {
        (void) state;
        start_registered();
        directory_stop(DIR, stopped, NULL);
        world_run(2000);
        assert_int_equal(world->stops, 1);
        assert_true(world_idle());
}

static void IICPD_01_79_stop_while_registering(void **state) {
        (void) state;
        start();
        directory_stop(DIR, stopped, NULL);
        assert_int_equal(world->stops, 0);
        world_accept(TOKEN_A, KEY_A); /* not lost: the last beat uses it */
        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{}");
        assert_int_equal(world->stops, 1);
        assert_string_equal(state_identity(world->node.state)->node_token, TOKEN_A);
}

static void IICPD_01_79_delete_only_if_configured(void **state) {
        struct fetch *f;

        (void) state;
        world->config.deregister_on_stop = true;
        start_registered();
        directory_stop(DIR, stopped, NULL);
        f = world_call("DELETE", "/v1/register");
        assert_string_equal(world_header(f, "Content-Type"), "application/json");
        world_answer(f, 200, "{\"deregistered\":true}");
        assert_int_equal(world->stops, 1);
        assert_string_equal(state_identity(world->node.state)->node_token, "");
}

static void left(void *arg, bool ok) {
        (void) arg;
        world->leaves++;
        world->left_ok = ok;
}

static void deregistration_wipes_the_secrets(void **state) {
        const struct identity *id = state_identity(world->node.state);
        char node_id[37];

        (void) state;
        memcpy(node_id, id->node_id, sizeof node_id);
        start_registered();
        directory_deregister(DIR, left, NULL);
        world_answer(world_call("DELETE", "/v1/register"), 404, "");
        assert_int_equal(world->leaves, 1);
        assert_true(world->left_ok);
        assert_int_equal(directory_state(DIR), DIRECTORY_LEFT);
        assert_string_equal(id->node_token, "");
        assert_string_equal(id->node_hmac_key, "");
        assert_string_equal(id->node_id, node_id);
        world_run(600000);
        assert_true(world_idle());
        directory_reregister(DIR, NULL, NULL);
        world_call("POST", "/v1/register");
}

static void failed_deregistration_keeps_beating(void **state) {
        (void) state;
        start_registered();
        directory_deregister(DIR, left, NULL);
        world_answer(world_call("DELETE", "/v1/register"), 500, "");
        assert_int_equal(world->leaves, 1);
        assert_false(world->left_ok);
        world_run(5000);
        world_call("POST", "/v1/heartbeat");
}

static void CONF_REG_01_status_shows_it(void **state) {
        struct iicp_buf out = {0};
        json_object *o;

        (void) state;
        start_registered();
        directory_json(DIR, &out);
        o = json_tokener_parse(out.p);
        assert_non_null(o);
        assert_string_equal(text_of(o, "registered"), "true");
        assert_string_equal(text_of(o, "node_id"), state_identity(world->node.state)->node_id);
        assert_null(strstr(out.p, TOKEN_A));
        assert_null(strstr(out.p, KEY_A));
        json_object_put(o);
        iicp_buf_free(&out);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_01_67_first_beat_then_the_pace_asked_for),
                T(DIR_HB_LIVE_01_challenge_is_answered),
                T(IICPD_01_70_load_and_jobs),
                T(IICPD_01_71_health_models),
                T(IICPD_01_78_a_flip_sends_an_extra_beat),
                T(IICPD_01_13_one_repetition_after_a_timeout),
                T(IICPD_01_77_failures_keep_the_pace),
                T(DIR_HB_02_401_registers_again_first),
                T(DIR_HB_03_404_registers_again_first),
                T(DIR_HB_03_410_registers_again_first),
                T(IICPD_05_51_wild_answers_are_clamped),
                T(stricter_directory_gets_the_shortest_form),
                T(IICPD_01_79_last_beat_within_two_seconds),
                T(IICPD_01_79_a_dead_directory_holds_nobody),
                T(IICPD_01_79_stop_while_registering),
                T(IICPD_01_79_delete_only_if_configured),
                T(deregistration_wipes_the_secrets),
                T(failed_deregistration_keeps_beating),
                T(CONF_REG_01_status_shows_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
