/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <errno.h>
#include <iicp/hmac.h>
#include <stdio.h>

/* What follows a refused REGISTER, class by class. [01 section 2.8] */

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define KEY_B "d938c14a339ae68cbb02a19f6f97413118dc8d202f8b0fd4dd1ae69f677e0a27"
#define FIELDS(code, path) \
        "{\"error\":{\"code\":\"validation_error\",\"message\":\"Input validation failed\",\"fields\":{\"" path \
        "\":[\"" code "\"]}}}"
#define DIR (world->node.directory)

static char *custom[] = {(char *) "urn:iicp:intent:x.acme:chat:v1=urn:iicp:intent:llm:chat:v1", NULL};

static struct fetch *reg(void) {
        return world_call("POST", "/v1/register");
}

static unsigned registers(void) {
        return world_count("POST", "/v1/register");
}

/* Refuses the REGISTER that is open and says after how long the next one came. */
static uint64_t refused(int status, const char *body, uint64_t at_most_ms) {
        uint64_t from = world->now_ms, most = at_most_ms / 500;
        unsigned n = registers();

        world_answer(reg(), status, body);
        for (uint64_t i = 0; i < most && registers() == n; i++)
                world_run(500);
        return registers() == n ? 0 : reg()->at_ms - from;
}

static void start_registered(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
}

static void IICPD_01_46_next_route_after_not_routable(void **state) {
        (void) state;
        snprintf(world->next_endpoint, sizeof world->next_endpoint, "http://[2606:4700::1]:9484");
        directory_start(DIR);
        assert_int_equal(refused(422, FIELDS("IICP-E035: endpoint host is private.", "endpoint"), 10000), 5000);
        assert_string_equal(world->dead_endpoint, "https://node.example.com");
        assert_non_null(strstr(reg()->body, "http://[2606:4700::1]:9484"));
}

static void IICPD_01_46_the_same_route_waits_300_s(void **state) {
        (void) state;
        directory_start(DIR);
        assert_int_equal(refused(422, "{\"error\":{\"code\":\"IICP-E035\",\"message\":\"x\"}}", 400000), 300000);
}

static void IICPD_01_46_another_route_does_not_wait(void **state) {
        (void) state;
        directory_start(DIR);
        world_answer(reg(), 422, "{\"error\":{\"code\":\"IICP-E035\",\"message\":\"x\"}}");
        world_run(60000);
        directory_poke(DIR);
        assert_true(world_idle());
        snprintf(world->endpoint, sizeof world->endpoint, "https://other.example.com");
        directory_poke(DIR);
        assert_non_null(strstr(reg()->body, "https://other.example.com"));
}

static void IICPD_01_47_listener_then_5_15_30_then_the_next_route(void **state) {
        static const char e036[] = "{\"error\":{\"code\":\"IICP-E036\",\"message\":\"unreachable\"}}";

        (void) state;
        snprintf(world->next_endpoint, sizeof world->next_endpoint, "https://second.example.com");
        directory_start(DIR);
        assert_int_equal(refused(422, e036, 60000), 5000);
        assert_int_equal(world_count("GET", "/iicp/health"), 1);
        assert_int_equal(refused(422, e036, 60000), 15000);
        assert_int_equal(refused(422, e036, 60000), 30000);
        assert_string_equal(world->dead_endpoint, "");
        assert_int_equal(refused(422, e036, 60000), 5000);
        assert_string_equal(world->dead_endpoint, "https://node.example.com");
        assert_non_null(strstr(reg()->body, "https://second.example.com"));
        /* the second route has its own three tries */
        assert_int_equal(refused(422, e036, 60000), 5000);
        assert_int_equal(refused(422, e036, 60000), 15000);
}

static void IICPD_01_52_IICPD_05_59_E036_means_unreachable_here(void **state) {
        (void) state;
        directory_start(DIR);
        assert_int_equal(refused(422, FIELDS("IICP-E036: endpoint unreachable (HTTP 502).", "endpoint"), 60000), 5000);
        assert_non_null(strstr(directory_why(DIR), "could not reach our endpoint"));
        assert_false(DIR->blocked);
}

static void IICPD_05_59_the_same_code_elsewhere_is_something_else(void **state) {
        static const char e036[] = "{\"error\":{\"code\":\"IICP-E036\",\"message\":\"insufficient credits\"}}";
        static const char e010[] = "{\"error\":{\"code\":\"IICP-E010\",\"message\":\"x\"}}";
        static const char e050[] = "{\"error\":{\"code\":\"IICP-E050\",\"message\":\"unknown leaderboard\"}}";
        struct iicp_directory_error e;

        (void) state;
        iicp_directory_error_read(IICP_DIR_CALL_OTHER, 402, iicp_str(e036), IICP_STR_NONE, &e);
        assert_int_not_equal(e.cls, IICP_DIR_LIVENESS_FAILED);
        iicp_directory_error_read(IICP_DIR_CALL_OTHER, 409, iicp_str(e010), IICP_STR_NONE, &e);
        assert_int_not_equal(e.cls, IICP_DIR_PRICING_REFUSED);
        iicp_directory_error_read(IICP_DIR_CALL_OTHER, 404, iicp_str(e050), IICP_STR_NONE, &e);
        assert_int_not_equal(e.cls, IICP_DIR_OWNERSHIP_DENIED);
        iicp_directory_error_read(IICP_DIR_CALL_REGISTER, 403, iicp_str(e050), IICP_STR_NONE, &e);
        assert_int_equal(e.cls, IICP_DIR_OWNERSHIP_DENIED);
}

static void IICPD_01_48_refused_intents_are_not_tried_again(void **state) {
        (void) state;
        directory_start(DIR);
        assert_int_equal(refused(422, FIELDS("Intent refused by policy.", "capabilities.0.intent"), 1000000), 0);
        assert_int_equal(directory_state(DIR), DIRECTORY_BLOCKED);
}

static void IICPD_01_48_no_member_of_the_domain(void **state) {
        (void) state;
        directory_start(DIR);
        assert_int_equal(refused(401, "{\"error\":{\"code\":\"restricted_domain_denied\",\"message\":\"x\"}}", 1000000), 0);
        assert_int_equal(directory_state(DIR), DIRECTORY_BLOCKED);
        /* the operator's word is another matter */
        directory_reregister(DIR, NULL, NULL);
        assert_non_null(reg());
}

static void IICPD_01_49_every_300_s_with_the_field_paths(void **state) {
        (void) state;
        directory_start(DIR);
        assert_int_equal(refused(422, FIELDS("The secret-value is wrong.", "limits.tokens_per_min"), 400000), 300000);
        assert_non_null(strstr(directory_why(DIR), "limits.tokens_per_min"));
        assert_null(strstr(directory_why(DIR), "secret-value"));
        assert_int_equal(refused(422, FIELDS("Too many nodes (IICP-E052)", "endpoint"), 400000), 300000);
        assert_string_equal(DIR->last_class, "capacity_refused");
}

static void IICPD_01_38_a_vendors_intent_is_left_out_once(void **state) {
        json_object *b, *list;

        (void) state;
        world->config.intent_default = (char *) "urn:iicp:intent:x.acme:chat:v1";
        world->config.intents_custom = custom;
        world_new_policy();
        world->models[1] = "nomic-embed-text";
        world->n_models = 2;
        directory_start(DIR);
        assert_non_null(strstr(reg()->body, "x.acme"));
        assert_int_equal(refused(422, FIELDS("The intent is not valid.", "capabilities.0.intent"), 10000), 5000);
        b = world_body(reg());
        assert_true(json_object_object_get_ex(b, "capabilities", &list));
        assert_int_equal(json_object_array_length(list), 1);
        assert_null(strstr(reg()->body, "x.acme"));
        json_object_put(b);
        /* once: the second refusal is the operator's affair */
        assert_int_equal(refused(422, FIELDS("The intent is not valid.", "capabilities.0.intent"), 400000), 300000);
        assert_true(DIR->blocked);
}

static void IICPD_01_38_accepted_without_it_nothing_is_declared_anew(void **state) {
        (void) state;
        world->config.intent_default = (char *) "urn:iicp:intent:x.acme:chat:v1";
        world->config.intents_custom = custom;
        world_new_policy();
        world->models[1] = "nomic-embed-text";
        world->n_models = 2;
        directory_start(DIR);
        refused(422, "{\"error\":{\"code\":\"validation_error\",\"message\":\"bad intent\"}}", 10000);
        world_accept(TOKEN_A, KEY_A);
        directory_poke(DIR);
        world_run(20000);
        assert_int_equal(registers(), 2);
        /* a new configuration gets a new chance */
        directory_reload(DIR);
        world_run(10000);
        assert_int_equal(registers(), 3);
        assert_non_null(strstr(reg()->body, "x.acme"));
}

static void IICPD_01_38_the_last_capability_stays(void **state) {
        (void) state;
        world->config.intent_default = (char *) "urn:iicp:intent:x.acme:chat:v1";
        world->config.intents_custom = custom;
        world_new_policy();
        directory_start(DIR);
        assert_int_equal(refused(422, FIELDS("The intent is not valid.", "capabilities.0.intent"), 400000), 300000);
        assert_non_null(strstr(reg()->body, "x.acme"));
}

static void IICPD_01_45_80_percent_of_the_time(void **state) {
        char body[256], when[21];

        (void) state;
        directory_start(DIR);
        clock_rfc3339(clock_wall_s(world->node.clock) + 1000, when);
        snprintf(body, sizeof body, "{\"node_token\":\"" TOKEN_A "\",\"node_hmac_key\":\"k\",\"expires_at\":\"%s\"}", when);
        world_answer(reg(), 201, body);
        world_run(799000);
        assert_int_equal(registers(), 1);
        world_run(1000);
        assert_int_equal(registers(), 2);
}

static void IICPD_01_45_null_and_the_past_are_no_end(void **state) {
        (void) state;
        directory_start(DIR);
        world_answer(reg(), 201, "{\"node_token\":\"" TOKEN_A "\",\"node_hmac_key\":\"k\",\"expires_at\":\"2001-01-01T00:00:00Z\"}");
        assert_false(timer_armed(&DIR->renew));
        directory_reregister(DIR, NULL, NULL);
        world_run(5000);
        world_accept(TOKEN_B, KEY_B);
        assert_false(timer_armed(&DIR->renew));
}

static void source(const char *endpoint, const char *seen, bool differs) {
        char body[256];

        snprintf(world->endpoint, sizeof world->endpoint, "%s", endpoint);
        world_run(10000);
        directory_reregister(DIR, NULL, NULL);
        snprintf(body, sizeof body, "{\"node_token\":\"" TOKEN_A "\",\"node_hmac_key\":\"k\",\"observed_source_ip\":\"%s\"}", seen);
        world_answer(reg(), 201, body);
        assert_int_equal(DIR->source_differs, differs);
        DIR->source_differs = false;
}

static void DIR_ADDR_02_the_source_is_compared(void **state) {
        struct iicp_buf out = {0};

        (void) state;
        start_registered();
        source("http://198.51.100.24:9484", "198.51.100.24", false);
        source("http://198.51.100.24:9484", "198.51.100.25", true);
        source("http://[2001:db8:0::1]:9484", "2001:db8::1", false);
        source("http://[2001:db8::1]:9484", "2001:db8::2", true);
        source("http://198.51.100.24:9484", "2001:db8::1", false);
        source("https://node.example.com", "198.51.100.24", false);
        source("http://198.51.100.24:9484", "unknown", false);
        directory_json(DIR, &out);
        assert_non_null(strstr(out.p, "\"observed_source_ip\":\"unknown\""));
        iicp_buf_free(&out);
}

static void IICPD_01_53_triggers_become_one_registration(void **state) {
        (void) state;
        start_registered();
        world->models[1] = "qwen2.5:7b";
        world->n_models = 2;
        directory_poke(DIR);
        directory_poke(DIR);
        world->config.max_concurrent = 8;
        directory_reload(DIR);
        world_run(4999);
        assert_int_equal(registers(), 1);
        world_run(1);
        assert_int_equal(registers(), 2);
        assert_non_null(strstr(reg()->body, "qwen2.5:7b"));
        assert_non_null(strstr(reg()->body, "\"max_concurrent\":8"));
        world_accept(TOKEN_B, KEY_B);
        world_run(20000);
        assert_int_equal(registers(), 2);
}

static void IICPD_01_53_never_by_a_timer(void **state) {
        (void) state;
        start_registered();
        for (unsigned i = 0; i < 40; i++) {
                world_run(30000);
                if (!world_idle())
                        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"ok\":true}");
        }
        assert_int_equal(DIR->registrations, 1);
}

static void IICPD_01_57_the_challenge_waits_for_the_new_key(void **state) {
        json_object *b;
        char expect[65];

        (void) state;
        start_registered();
        world_run(5000);
        world_answer(world_call("POST", "/v1/heartbeat"), 200,
                     "{\"ok\":true,\"next_heartbeat_ms\":30000,\"challenge\":\"1a0162ca5a359880e660fdeea0cf152a\"}");
        directory_reregister(DIR, NULL, NULL);
        world_run(5000);
        world_accept(TOKEN_B, KEY_B);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/heartbeat"));
        assert_int_equal(iicp_hmac_sha256_hex(IICP_STR(KEY_B), IICP_STR("1a0162ca5a359880e660fdeea0cf152a"), expect), 0);
        assert_string_equal(json_object_get_string(json_object_object_get(b, "challenge_response")), expect);
        json_object_put(b);
}

static void IICPD_01_61_the_route_fields_are_always_there(void **state) {
        static const char *const names[] = {"transport_method", "nat_type", "exposure_mode", "transport_metadata"};

        (void) state;
        start_registered();
        for (unsigned round = 0; round < 2; round++) {
                json_object *b, *metadata;

                world_run(10000);
                directory_reregister(DIR, NULL, NULL);
                b = world_body(reg());
                for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                        assert_non_null(json_object_object_get(b, names[i]));
                metadata = json_object_object_get(b, "transport_metadata");
                assert_int_equal(json_object_object_length(metadata), 1);
                assert_non_null(json_object_object_get(metadata, "tier"));
                json_object_put(b);
                world_accept(TOKEN_B, KEY_B);
        }
}

/* What a directory keeps from the first registration is not changed by leaving behind the operator's back. */
static void IICPD_01_62_a_changed_policy_is_said_and_sent_but_nothing_is_deleted(void **state) {
        struct iicp_buf out = {0};

        (void) state;
        start_registered();
        assert_string_equal(state_identity(world->node.state)->registered.policy, "none");
        assert_false(DIR->policy_sticks);
        world->config.cip_enabled = world->config.cip_worker = true;
        world_new_policy();
        directory_reload(DIR);
        world_run(5000);
        assert_non_null(strstr(reg()->body, "allow_remote_inference"));
        world_accept(TOKEN_B, KEY_B);
        assert_true(DIR->policy_sticks);
        assert_string_equal(state_identity(world->node.state)->registered.policy, "none");
        assert_int_equal(world_count("DELETE", "/"), 0);
        directory_json(DIR, &out);
        assert_non_null(strstr(out.p, "\"policy_sticks\":true"));
        iicp_buf_free(&out);
        /* the way back */
        world->config.cip_enabled = world->config.cip_worker = false;
        world_new_policy();
        directory_reload(DIR);
        world_run(5000);
        world_accept(TOKEN_A, KEY_A);
        assert_false(DIR->policy_sticks);
}

static unsigned verdicts;
static bool verdict;

static void on_verdict(void *arg, bool ok) {
        (void) arg;
        verdicts++;
        verdict = ok;
}

static void who_asks_gets_the_verdict(void **state) {
        (void) state;
        verdicts = 0;
        assert_int_equal(directory_reregister(DIR, on_verdict, NULL), -ESHUTDOWN);
        start_registered();
        world->n_models = 0;
        assert_int_equal(directory_reregister(DIR, on_verdict, NULL), -EOPNOTSUPP);
        world->n_models = 1;
        world_run(10000);
        assert_int_equal(directory_reregister(DIR, on_verdict, NULL), 0);
        assert_int_equal(directory_reregister(DIR, on_verdict, NULL), -EBUSY);
        world_answer(reg(), 422, FIELDS("wrong", "region"));
        assert_true(verdicts == 1 && !verdict);
        assert_int_equal(directory_reregister(DIR, on_verdict, NULL), 0);
        world_run(5000);
        world_accept(TOKEN_B, KEY_B);
        assert_true(verdicts == 2 && verdict);
        world->config.directory_register = false;
        assert_int_equal(directory_reregister(DIR, on_verdict, NULL), -EOPNOTSUPP);
        assert_int_equal(verdicts, 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_01_46_next_route_after_not_routable),
                T(IICPD_01_46_the_same_route_waits_300_s),
                T(IICPD_01_46_another_route_does_not_wait),
                T(IICPD_01_47_listener_then_5_15_30_then_the_next_route),
                T(IICPD_01_52_IICPD_05_59_E036_means_unreachable_here),
                T(IICPD_05_59_the_same_code_elsewhere_is_something_else),
                T(IICPD_01_48_refused_intents_are_not_tried_again),
                T(IICPD_01_48_no_member_of_the_domain),
                T(IICPD_01_49_every_300_s_with_the_field_paths),
                T(IICPD_01_38_a_vendors_intent_is_left_out_once),
                T(IICPD_01_38_accepted_without_it_nothing_is_declared_anew),
                T(IICPD_01_38_the_last_capability_stays),
                T(IICPD_01_45_80_percent_of_the_time),
                T(IICPD_01_45_null_and_the_past_are_no_end),
                T(DIR_ADDR_02_the_source_is_compared),
                T(IICPD_01_53_triggers_become_one_registration),
                T(IICPD_01_53_never_by_a_timer),
                T(IICPD_01_57_the_challenge_waits_for_the_new_key),
                T(IICPD_01_61_the_route_fields_are_always_there),
                T(who_asks_gets_the_verdict),
                T(IICPD_01_62_a_changed_policy_is_said_and_sent_but_nothing_is_deleted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
