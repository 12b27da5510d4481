/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <iicp/hmac.h>
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

/* ---- REGISTER ---- */

static void NODE_REG_01_registers_at_start(void **state) {
        (void) state;
        start();
        assert_string_equal(world_call("POST", "/v1/register")->url,
                            "https://dir.example.org/api/v1/register");
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERING);
        world_accept(TOKEN_A, KEY_A);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        assert_string_equal(directory_why(DIR), "");
}

static void IICPD_01_28_body_is_complete(void **state) {
        json_object *b, *o, *list;

        (void) state;
        start();
        b = world_body(world_call("POST", "/v1/register"));
        assert_string_equal(text_of(b, "endpoint"), "https://node.example.com");
        assert_string_equal(text_of(b, "region"), "eu-central");
        assert_string_equal(text_of(b, "nat_type"), "unknown");
        assert_string_equal(text_of(b, "transport_method"), "direct");
        assert_string_equal(text_of(b, "exposure_mode"), "ipv4_public_direct");
        assert_string_equal(text_of(b, "sdk_version"), "0.7.109");
        assert_string_equal(text_of(b, "sdk_compatibility_version"), "0.7.109");
        assert_string_equal(text_of(b, "implementation_name"), "iicpd");
        assert_string_equal(text_of(b, "sdk_language"), "c");
        assert_string_equal(text_of(b, "auto_update_enabled"), "false");
        assert_string_equal(text_of(b, "transport_metadata"), "{ \"tier\": 0 }");
        assert_true(json_object_object_get_ex(b, "limits", &o));
        assert_string_equal(text_of(o, "max_concurrent"), "4");
        assert_true(json_object_object_get_ex(b, "capabilities", &list));
        assert_int_equal(json_object_array_length(list), 1);
        assert_true(json_object_object_get_ex(b, "cx_public_key", &o));
        assert_null(text_of(b, "current_node_token"));
        assert_null(text_of(b, "node_hmac_key"));
        assert_null(text_of(b, "policy"));
        assert_null(text_of(b, "relay_capable"));
        json_object_put(b);
}

static void IICPD_01_28_large_limits_are_declared_as_256(void **state) {
        json_object *b, *o;

        (void) state;
        world->config.max_concurrent = 1024;
        start();
        b = world_body(world_call("POST", "/v1/register"));
        assert_true(json_object_object_get_ex(b, "limits", &o));
        assert_string_equal(text_of(o, "max_concurrent"), "256");
        json_object_put(b);
}

static void IICPD_01_30_no_trailing_slash(void **state) {
        json_object *b;

        (void) state;
        snprintf(world->endpoint, sizeof world->endpoint, "http://[2606:4700::1]:9484/");
        start();
        b = world_body(world_call("POST", "/v1/register"));
        assert_string_equal(text_of(b, "endpoint"), "http://[2606:4700::1]:9484");
        assert_string_equal(text_of(b, "exposure_mode"), "ipv6_direct_firewall_required");
        json_object_put(b);
}

static void IICPD_01_37_each_model_in_one_object(void **state) {
        json_object *b, *list, *models;
        unsigned seen = 0;

        (void) state;
        world->models[1] = "nomic-embed-text";
        world->models[2] = "llava:13b";
        world->n_models = 3;
        start();
        b = world_body(world_call("POST", "/v1/register"));
        assert_true(json_object_object_get_ex(b, "capabilities", &list));
        assert_int_equal(json_object_array_length(list), 3);
        for (size_t i = 0; i < 3; i++) {
                assert_true(json_object_object_get_ex(json_object_array_get_idx(list, i), "models",
                                                      &models));
                seen += (unsigned) json_object_array_length(models);
        }
        assert_int_equal(seen, 3);
        json_object_put(b);
}

static void IICPD_01_09_headers(void **state) {
        struct fetch *f;

        (void) state;
        start();
        f = world_call("POST", "/v1/register");
        assert_string_equal(world_header(f, "Content-Type"), "application/json");
        assert_string_equal(world_header(f, "Accept"), "application/json");
        assert_string_equal(world_header(f, "X-IICP-Version"), "1.5");
        assert_null(world_header(f, "Authorization"));
        assert_true(strncmp(world_header(f, "User-Agent"), "iicpd/", 6) == 0);
}

static void IICPD_01_10_bearer_with_node_id(void **state) {
        struct fetch *f;

        (void) state;
        f = first_beat();
        assert_string_equal(world_header(f, "Authorization"), "Bearer " TOKEN_A);
        assert_string_equal(world_header(f, "X-Node-Id"),
                            state_identity(world->node.state)->node_id);
        assert_null(strstr(f->body, TOKEN_A));
}

static void IICPD_01_14_register_has_20_s(void **state) {
        (void) state;
        start();
        assert_int_equal(world_call("POST", "/v1/register")->timeout_ms, 20000);
        assert_int_equal(world_call("POST", "/v1/register")->connect_ms, 3000);
}

/* From the fifth failure on the breaker is the longer one of the two. */
static void IICPD_01_15_backoff_doubles_to_a_minute(void **state) {
        static const uint64_t expect[] = {5000, 5000, 5000, 6000, 30000, 30000, 45000, 45000};
        uint64_t last;

        (void) state;
        start();
        last = world->now_ms;
        for (size_t i = 0; i < ARRAY_SIZE(expect); i++) {
                world_answer(world_call("POST", "/v1/register"), 503, "");
                world_run(expect[i] - 1);
                assert_true(world_idle());
                world_run(1);
                assert_int_equal(world_call("POST", "/v1/register")->at_ms - last, expect[i]);
                last = world->now_ms;
        }
}

static void DIR_RL_01_waits_as_told(void **state) {
        (void) state;
        start();
        world_answer(world_call("POST", "/v1/register"), 429,
                     "{\"error\":\"IICP-E034\",\"message\":\"TooManyRegistrationAttempts\",\"retry_"
                     "after\":37}");
        directory_poke(DIR);
        world_run(36999);
        assert_true(world_idle());
        world_run(1);
        world_answer(world_call("POST", "/v1/register"), 429,
                     "{\"error\":{\"code\":\"rate_limited\",\"message\":\"x\"}}");
        world_run(59999);
        assert_true(world_idle());
        world_run(1);
        world_call("POST", "/v1/register");
}

static void DIR_REG_04_liveness_is_retried(void **state) {
        static const uint64_t steps[] = {5000, 15000, 30000, 60000};

        (void) state;
        start();
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                world_answer(world_call("POST", "/v1/register"), 422,
                             "{\"error\":{\"code\":\"IICP-E036\",\"message\":\"endpoint "
                             "unreachable\"}}");
                world_run(steps[i] - 1);
                assert_true(world_idle());
                world_run(1);
        }
        world_call("POST", "/v1/register");
}

static void IICPD_01_19_ten_a_minute_five_seconds_apart(void **state) {
        uint64_t first = 0;

        (void) state;
        start();
        for (unsigned i = 0; i < 10; i++) {
                struct fetch *f = world_call("POST", "/v1/register");

                if (i == 0)
                        first = f->at_ms;
                world_accept(TOKEN_A, KEY_A);
                directory_reregister(DIR, NULL, NULL);
                if (i < 9) {
                        world_run(4999);
                        for (unsigned k = 0; k < world->n_calls; k++)
                                assert_true(world->calls[k].over ||
                                            !strstr(world->calls[k].url, "/register"));
                        world_run(1);
                }
        }
        world_run(first + 59999 - world->now_ms);
        for (unsigned k = 0; k < world->n_calls; k++)
                assert_true(world->calls[k].over || !strstr(world->calls[k].url, "/register"));
        world_run(1);
        world_call("POST", "/v1/register");
}

static void IICPD_01_27_waits_for_a_model(void **state) {
        (void) state;
        world->n_models = 0;
        start();
        world_run(60000);
        assert_true(world_idle());
        assert_int_equal(directory_state(DIR), DIRECTORY_WAITING);
        world->n_models = 1;
        directory_poke(DIR);
        world_call("POST", "/v1/register");
}

static void IICPD_01_27_waits_for_a_route(void **state) {
        (void) state;
        world->endpoint[0] = '\0';
        start();
        world_run(60000);
        assert_true(world_idle());
        assert_int_equal(directory_state(DIR), DIRECTORY_OFF);
        assert_string_equal(directory_why(DIR), "no public address");
}

static void IICPD_01_27_demo_only_at_a_local_directory(void **state) {
        (void) state;
        world->demo = true;
        start();
        assert_true(world_idle());
        assert_int_equal(directory_state(DIR), DIRECTORY_OFF);
        world->config.directory_url = (char *) "http://127.0.0.1:8440/api";
        directory_reload(DIR);
        world_call("POST", "/v1/register");
}

static void IICPD_01_55_stored_before_use(void **state) {
        const struct identity *id = state_identity(world->node.state);

        (void) state;
        world->hold_saves = true;
        start();
        world_accept(TOKEN_A, KEY_A);
        world_run(30000);
        assert_true(world_idle());
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERING);
        world_saved();
        world_run(5000);
        world_call("POST", "/v1/heartbeat");
        assert_string_equal(id->node_token, TOKEN_A);
        assert_string_equal(id->node_hmac_key, KEY_A);
        assert_string_equal(id->registered.endpoint, "https://node.example.com");
        assert_int_equal(strlen(id->registered.capability_digest), 64);
        assert_string_equal(id->registered.cx_key_id, state_cx_key_id(world->node.state));
}

static void IICPD_01_44_unusable_token_is_a_server_error(void **state) {
        struct identity *id = state_identity(world->node.state);

        (void) state;
        snprintf(id->node_token, sizeof id->node_token, TOKEN_A);
        snprintf(id->node_hmac_key, sizeof id->node_hmac_key, KEY_A);
        start();
        world_answer(world_call("POST", "/v1/register"), 201,
                     "{\"node_id\":\"x\",\"node_hmac_key\":\"y\"}");
        assert_string_equal(id->node_token, TOKEN_A);
        assert_string_equal(id->node_hmac_key, KEY_A);
        world_run(5000);
        world_call("POST", "/v1/register");
}

static void IICPD_01_20_another_2xx_is_no_success(void **state) {
        (void) state;
        start();
        world_answer(world_call("POST", "/v1/register"), 200, "{\"node_token\":\"" TOKEN_A "\"}");
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERING);
        world_run(5000);
        world_answer(world_call("POST", "/v1/register"), 201, "<html>");
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERING);
}

static void DIR_REG_05_any_printable_token(void **state) {
        char token[513];

        (void) state;
        memset(token, '~', 512);
        token[512] = '\0';
        start();
        {
                char body[700];

                snprintf(body, sizeof body, "{\"node_token\":\"%s\",\"node_hmac_key\":\"k\"}",
                         token);
                world_answer(world_call("POST", "/v1/register"), 201, body);
        }
        assert_string_equal(state_identity(world->node.state)->node_token, token);
}

static void DIR_REG_06_node_id_is_adopted(void **state) {
        (void) state;
        start();
        world_answer(world_call("POST", "/v1/register"), 201,
                     "{\"node_id\":\"given-by-directory\",\"node_token\":\"t\",\"node_hmac_key\":"
                     "\"k\"}");
        assert_string_equal(state_identity(world->node.state)->node_id, "given-by-directory");
        world_run(5000);
        assert_string_equal(world_header(world_call("POST", "/v1/heartbeat"), "X-Node-Id"),
                            "given-by-directory");
}

static void IICPD_01_29_proof_with_the_newest_token(void **state) {
        json_object *b;

        (void) state;
        start_registered();
        directory_reregister(DIR, NULL, NULL);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/register"));
        assert_string_equal(text_of(b, "current_node_token"), TOKEN_A);
        json_object_put(b);
        world_accept(TOKEN_B, KEY_B);
        assert_string_equal(world->rotated, TOKEN_A);
        directory_reregister(DIR, NULL, NULL);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/register"));
        assert_string_equal(text_of(b, "current_node_token"), TOKEN_B);
        json_object_put(b);
}

static void IICPD_05_21_a_refusal_leaves_token_and_route(void **state) {
        const struct identity *id = state_identity(world->node.state);

        (void) state;
        start_registered();
        snprintf(world->endpoint, sizeof world->endpoint, "https://other.example.com");
        directory_poke(DIR);
        world_run(5000);
        world_answer(world_call("POST", "/v1/register"), 403,
                     "{\"error\":{\"code\":\"IICP-E050\",\"message\":\"routing-field change\"}}");
        assert_string_equal(id->node_token, TOKEN_A);
        assert_string_equal(id->node_hmac_key, KEY_A);
        assert_string_equal(id->registered.endpoint, "https://node.example.com");
        world_call("POST", "/v1/heartbeat"); /* beats go on meanwhile */
}

static void DIR_TRUST_01_models_change_when_accepted(void **state) {
        const char *const *v;
        size_t n;

        (void) state;
        start_registered();
        world->models[1] = "qwen2.5:7b";
        world->n_models = 2;
        directory_poke(DIR);
        world_run(5000);
        world_call("POST", "/v1/register");
        v = directory_registered_models(DIR, &n);
        assert_int_equal(n, 1);
        world_accept(TOKEN_B, KEY_B);
        v = directory_registered_models(DIR, &n);
        assert_int_equal(n, 2);
        assert_string_equal(v[1], "qwen2.5:7b");
}

static void IICPD_01_54_order_of_models_declares_nothing_new(void **state) {
        (void) state;
        world->models[1] = "b";
        world->n_models = 2;
        start_registered();
        world->models[0] = "b";
        world->models[1] = "llama3.1:8b";
        directory_poke(DIR);
        world_run(5000);
        for (unsigned i = 1; i < world->n_calls; i++)
                assert_null(strstr(world->calls[i].url, "/register"));
        world->config.region = (char *) "us-east";
        directory_reload(DIR);
        world_call("POST", "/v1/register");
}

static void IICPD_01_54_key_is_byte_stable(void **state) {
        char *first, *second;
        json_object *a, *b, *k;

        (void) state;
        start();
        a = world_body(world_call("POST", "/v1/register"));
        assert_true(json_object_object_get_ex(a, "cx_public_key", &k));
        first = strdup(json_object_to_json_string_ext(k, JSON_C_TO_STRING_PLAIN));
        world_accept(TOKEN_A, KEY_A);
        directory_reregister(DIR, NULL, NULL);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/register"));
        assert_true(json_object_object_get_ex(b, "cx_public_key", &k));
        second = strdup(json_object_to_json_string_ext(k, JSON_C_TO_STRING_PLAIN));
        assert_string_equal(first, second);
        assert_true(iicp_str_is(state_cx_public(world->node.state), first));
        free(first);
        free(second);
        json_object_put(a);
        json_object_put(b);
}

static void field_refusal_needs_the_operator(void **state) {
        (void) state;
        start();
        world_answer(world_call("POST", "/v1/register"), 422,
                     "{\"error\":{\"code\":\"validation_error\",\"message\":\"x\",\"fields\":{"
                     "\"region\":[\"bad\"]}}}");
        assert_int_equal(directory_state(DIR), DIRECTORY_BLOCKED);
        assert_non_null(strstr(directory_why(DIR), "region"));
        world_run(299999);
        assert_true(world_idle());
        world_run(1);
        world_call("POST", "/v1/register");
}

static void IICPD_05_07_lost_token_goes_once_without_key(void **state) {
        struct identity *id = state_identity(world->node.state);
        json_object *b;

        (void) state;
        snprintf(id->registered.cx_key_id, sizeof id->registered.cx_key_id, "%s",
                 state_cx_key_id(world->node.state));
        start();
        world_answer(world_call("POST", "/v1/register"), 403,
                     "{\"error\":\"IICP-E049\",\"message\":\"x\"}");
        world_run(5000);
        b = world_body(world_call("POST", "/v1/register"));
        assert_null(text_of(b, "cx_public_key"));
        json_object_put(b);
        world_accept(TOKEN_A, KEY_A);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/register"));
        assert_non_null(text_of(b, "cx_public_key"));
        assert_string_equal(text_of(b, "current_node_token"), TOKEN_A);
        json_object_put(b);
}

static void another_directory_never_sees_the_token(void **state) {
        json_object *b;

        (void) state;
        start_registered();
        world->config.directory_url = (char *) "https://elsewhere.example.org/api";
        directory_reload(DIR);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/register"));
        assert_null(text_of(b, "current_node_token"));
        json_object_put(b);
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
                T(NODE_REG_01_registers_at_start),
                T(IICPD_01_28_body_is_complete),
                T(IICPD_01_28_large_limits_are_declared_as_256),
                T(IICPD_01_30_no_trailing_slash),
                T(IICPD_01_37_each_model_in_one_object),
                T(IICPD_01_09_headers),
                T(IICPD_01_10_bearer_with_node_id),
                T(IICPD_01_14_register_has_20_s),
                T(IICPD_01_15_backoff_doubles_to_a_minute),
                T(DIR_RL_01_waits_as_told),
                T(DIR_REG_04_liveness_is_retried),
                T(IICPD_01_19_ten_a_minute_five_seconds_apart),
                T(IICPD_01_27_waits_for_a_model),
                T(IICPD_01_27_waits_for_a_route),
                T(IICPD_01_27_demo_only_at_a_local_directory),
                T(IICPD_01_55_stored_before_use),
                T(IICPD_01_44_unusable_token_is_a_server_error),
                T(IICPD_01_20_another_2xx_is_no_success),
                T(DIR_REG_05_any_printable_token),
                T(DIR_REG_06_node_id_is_adopted),
                T(IICPD_01_29_proof_with_the_newest_token),
                T(IICPD_05_21_a_refusal_leaves_token_and_route),
                T(DIR_TRUST_01_models_change_when_accepted),
                T(IICPD_01_54_order_of_models_declares_nothing_new),
                T(IICPD_01_54_key_is_byte_stable),
                T(field_refusal_needs_the_operator),
                T(IICPD_05_07_lost_token_goes_once_without_key),
                T(another_directory_never_sees_the_token),
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
