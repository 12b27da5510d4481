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

#define DIR (world->node.directory)

static void start(void) {
        directory_start(DIR);
}

static void start_registered(void) {
        start();
        world_accept(TOKEN_A, KEY_A);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
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

static void IICPD_03_61_a_relay_is_declared_with_its_port(void **state) {
        json_object *b;

        (void) state;
        world->relay_port = 9485;
        start();
        b = world_body(world_call("POST", "/v1/register"));
        assert_string_equal(text_of(b, "relay_capable"), "true");
        assert_string_equal(text_of(b, "relay_accept_port"), "9485");
        json_object_put(b);
}

/* Nothing is given up for it unasked. */
static void IICPD_03_61_becoming_a_relay_later_is_the_operators_decision(void **state) {
        (void) state;
        start();
        world_accept(TOKEN_A, KEY_A);
        assert_string_equal(state_identity(world->node.state)->registered.relay, "no");
        world->relay_port = 9485;
        directory_reload(world->node.directory);
        world_run(5000);
        world_accept(TOKEN_A, KEY_A);
        assert_string_equal(state_identity(world->node.state)->registered.relay, "no");
        assert_int_equal(world_count("DELETE", "/v1/register"), 0);
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
                T(IICPD_03_61_becoming_a_relay_later_is_the_operators_decision),
                T(IICPD_03_61_a_relay_is_declared_with_its_port),
                T(another_directory_never_sees_the_token),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
