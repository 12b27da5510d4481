/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "directory/vouch_internal.h"
#include "log.h"
#include "util.h"
#include "world.h"

#include <iicp/hmac.h>
#include <iicp/receipt.h>
#include <limits.h>
#include <stdio.h>

/* What is said for the operator. [05 sections 8, 10; 01 section 2.11] */

#define V (world->node.vouch)
#define DIR (world->node.directory)
#define TOKEN "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define KEY_B "d938c14a339ae68cbb02a19f6f97413118dc8d202f8b0fd4dd1ae69f677e0a27"
#define REGISTER "/v1/register"
#define DAY 86400

static const uint8_t seed[IICP_SEED] = {3};
static char refs[2][PATH_MAX + 64], manifest_path[PATH_MAX + 64];

static int setup(void **state) {
        world_setup(state);
        V = vouch_new(&world->node);
        assert_non_null(V);
        return 0;
}

static int teardown(void **state) {
        V = vouch_free(V);
        return world_teardown(state);
}

static int64_t now(void) {
        return clock_wall_s(world->node.clock);
}

static void write_state(const char *name, struct iicp_str text) {
        assert_int_equal(state_write_file(state_dir_fd(world->node.state), name, text), 0);
}

static void delegate(int64_t not_after) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
        struct iicp_delegation d;

        assert_int_equal(iicp_delegation_sign(seed, state_identity(world->node.state)->node_id, not_after, &d), 0);
        iicp_delegation_json(&d, &text);
        write_state(DELEGATION_FILE, iicp_buf_str(&text));
}

/* A file in the state directory as reference of a secret. */
static struct secret secret_of(unsigned i, const char *name, struct iicp_str text) {
        char path[PATH_MAX];

        write_state(name, text);
        assert_non_null(realpath(world->dir, path));
        snprintf(refs[i], sizeof refs[i], "file:%s/%s", path, name);
        return (struct secret){.ref = refs[i]};
}

static void manifest(const char *text) {
        char path[PATH_MAX];

        write_state("manifest.json", iicp_str(text));
        assert_non_null(realpath(world->dir, path));
        snprintf(manifest_path, sizeof manifest_path, "%s/manifest.json", path);
        world->config.policy_manifest = manifest_path;
}

static json_object *registered_body(void) {
        return world_body(world_call("POST", REGISTER));
}

static json_object *get(json_object *o, const char *name) {
        json_object *v = NULL;

        return json_object_object_get_ex(o, name, &v) ? v : NULL;
}

static bool has(const char *name) {
        json_object *o = registered_body();
        bool there = get(o, name) != NULL;

        json_object_put(o);
        return there;
}

static void begin(void) {
        vouch_start(V);
        directory_start(DIR);
}

static void again(void) {
        directory_reregister(DIR, NULL, NULL);
        world_run(5000);
}

static void DIR_OPID_01_delegation_goes_into_every_registration_while_valid(void **state) {
        (void) state;
        delegate(now() + 30 * DAY);
        begin();
        for (int i = 0; i < 3; i++) {
                json_object *o = registered_body(), *d = get(o, "operator_delegation");
                struct iicp_delegation read;
                struct iicp_json v;

                assert_non_null(d);
                assert_int_equal(json_object_object_length(d), 4);
                assert_int_equal(iicp_json_scan(iicp_str(json_object_to_json_string(d)), NULL, NULL, &v), 0);
                assert_int_equal(iicp_delegation_read(&v, &read), IICP_DELEGATION_OK);
                assert_int_equal(iicp_delegation_check(&read, state_identity(world->node.state)->node_id, now()),
                                 IICP_DELEGATION_OK);
                json_object_put(o);
                world_accept(TOKEN, KEY_A);
                again();
        }
}

static void DIR_OPID_01_one_for_another_node_or_tampered_is_not_sent(void **state) {
        struct iicp_delegation d;
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};

        (void) state;
        assert_int_equal(iicp_delegation_sign(seed, "another-node", now() + DAY, &d), 0);
        iicp_delegation_json(&d, &text);
        write_state(DELEGATION_FILE, iicp_buf_str(&text));
        begin();
        assert_false(has("operator_delegation"));
        assert_non_null(strstr(vouch_degraded(V), "another node"));
        world_accept(TOKEN, KEY_A);
        text.n = 0;
        assert_int_equal(iicp_delegation_sign(seed, state_identity(world->node.state)->node_id, now() + DAY, &d), 0);
        d.not_after++;
        iicp_delegation_json(&d, &text);
        write_state(DELEGATION_FILE, iicp_buf_str(&text));
        vouch_reload(V);
        assert_non_null(strstr(vouch_degraded(V), "signature"));
        again();
        assert_false(has("operator_delegation"));
}

static void IICPD_05_29_none_with_less_than_60_s_left(void **state) {
        (void) state;
        delegate(now() + 61);
        begin();
        assert_true(has("operator_delegation"));
        world_fail(world_call("POST", REGISTER), FETCH_TIMEOUT);
        world_run(5000);
        assert_false(has("operator_delegation"));
}

static void IICPD_05_29_exactly_60_s_is_too_little(void **state) {
        (void) state;
        delegate(now() + 60);
        begin();
        assert_false(has("operator_delegation"));
}

static void IICPD_05_29_a_new_file_is_read_and_declared(void **state) {
        char sig[89];

        (void) state;
        delegate(now() + DAY);
        begin();
        world_accept(TOKEN, KEY_A);
        memcpy(sig, V->delegation.sig, sizeof sig);
        delegate(now() + 20 * DAY);
        world_run(VOUCH_LOOK_MS);
        assert_string_not_equal(V->delegation.sig, sig);
        world_run(5000);
        assert_true(has("operator_delegation"));
}

static void IICPD_05_29_warned_below_7_days_once_a_day(void **state) {
        (void) state;
        delegate(now() + 7 * DAY);
        vouch_start(V);
        assert_int_equal(V->warned_day, 0);
        world_run(VOUCH_LOOK_MS);
        assert_int_equal(V->warned_day, now() / DAY);
        world_run((uint64_t) DAY * 1000);
        assert_int_equal(V->warned_day, now() / DAY);
}

static void operator_file(struct iicp_str passphrase) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf text = {0};
        struct iicp_operator o;

        assert_int_equal(iicp_operator_new("Lab", "2027-01-15T08:00:00Z", &o), 0);
        assert_int_equal(iicp_operator_write(&o, passphrase, &text), 0);
        world->config.operator_identity = secret_of(0, "operator.json", iicp_buf_str(&text));
        iicp_operator_wipe(&o);
}

static void DIR_OPID_01_IICPD_05_27_a_sealed_identity_signs_fresh_ones(void **state) {
        json_object *o;
        int64_t first;

        (void) state;
        operator_file(IICP_STR("pass phrase"));
        world->config.operator_passphrase = secret_of(1, "passphrase", IICP_STR("pass phrase\n"));
        begin();
        assert_null(vouch_degraded(V));
        o = registered_body();
        first = json_object_get_int64(get(get(o, "operator_delegation"), "not_after"));
        assert_int_equal(first, now() + 3600);
        assert_string_equal(json_object_get_string(get(o, "operator_display_name")), "Lab");
        assert_string_equal(json_object_get_string(get(o, "operator_created_at")), "2027-01-15T08:00:00Z");
        assert_int_equal(json_object_get_string_len(get(o, "operator_integrity_hash")), 64);
        json_object_put(o);
        world_run(2000);
        world_accept(TOKEN, KEY_A);
        again();
        o = registered_body();
        assert_true(json_object_get_int64(get(get(o, "operator_delegation"), "not_after")) > first);
        json_object_put(o);
        /* nothing of the seed stays */
        for (size_t i = 0; i < IICP_SEED; i++)
                assert_int_equal(V->who.seed[i], 0);
}

static void IICPD_05_27_wrong_or_no_passphrase_leaves_the_operator_out(void **state) {
        (void) state;
        operator_file(IICP_STR("pass phrase"));
        begin();
        assert_false(has("operator_delegation"));
        assert_non_null(strstr(vouch_degraded(V), "sealed"));
        world->config.operator_passphrase = secret_of(1, "passphrase", IICP_STR("another"));
        vouch_reload(V);
        assert_non_null(strstr(vouch_degraded(V), "passphrase"));
        assert_null(strstr(vouch_degraded(V), "another"));
        assert_false(has("operator_display_name"));
}

static void IICPD_05_26_an_edited_identity_is_refused(void **state) {
        (void) state;
        world->config.operator_identity = secret_of(0, "operator.json", IICP_STR("{\"operator_id\":\"op-1\"}"));
        begin();
        assert_non_null(strstr(vouch_degraded(V), "old kind"));
        assert_false(has("operator_delegation"));
}

static void names_only_with_a_delegation(void **state) {
        (void) state;
        world->config.operator_display_name = (char *) "Lab";
        world->config.operator_url = (char *) "https://lab.example.org";
        begin();
        assert_false(has("operator_display_name"));
        assert_true(has("listing"));
}

static void price(const char *multiplier, bool sign) {
        world->config.credits_multiplier = (char *) multiplier;
        world->config.credits_model = PRICING_PER_TOKEN;
        world->config.credits_sign = sign;
}

static json_object *beat(void) {
        world_run(31000);
        return world_body(world_call("POST", "/v1/heartbeat"));
}

static void good_beat(void) {
        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"next_heartbeat_ms\":30000}");
}

static void signed_with(json_object *block, const char *key, const char *text) {
        char want[65];

        assert_non_null(block);
        assert_int_equal(iicp_hmac_sha256_hex(iicp_str(key), iicp_str(text), want), 0);
        assert_string_equal(json_object_get_string(get(block, "declaration_signature")), want);
        assert_int_equal(json_object_object_length(block), 3);
}

#define TEXT_15 "{\"credit_cost_multiplier\":1.5,\"pricing_model\":\"per_token\"}"

static void IICPD_01_66_register_unsigned_and_the_first_heartbeat_signed(void **state) {
        json_object *o;

        (void) state;
        price("1.5", true);
        world->config.credits_from = (char *) "2026-01-01T00:00:00Z";
        begin();
        o = registered_body();
        assert_string_equal(json_object_to_json_string_ext(get(o, "pricing"), JSON_C_TO_STRING_PLAIN),
                            "{\"credit_cost_multiplier\":1.5,\"pricing_model\":\"per_token\","
                            "\"effective_from\":\"2026-01-01T00:00:00Z\"}");
        assert_null(get(o, "node_hmac_key"));
        json_object_put(o);
        world_accept(TOKEN, KEY_A);
        o = beat();
        signed_with(get(o, "pricing"), KEY_A, TEXT_15);
        json_object_put(o);
        good_beat();
        o = beat();
        assert_null(get(o, "pricing"));
        json_object_put(o);
        good_beat();
        /* each 201 brings a key, and the price signed with it */
        again();
        world_accept(TOKEN, KEY_B);
        o = beat();
        signed_with(get(o, "pricing"), KEY_B, TEXT_15);
        json_object_put(o);
}

static void IICPD_01_66_a_changed_price_registers_and_is_signed_again(void **state) {
        json_object *o;

        (void) state;
        price("1.5", true);
        begin();
        world_accept(TOKEN, KEY_A);
        json_object_put(beat());
        good_beat();
        price("2", true);
        vouch_reload(V);
        directory_reload(DIR);
        world_run(5000);
        o = registered_body();
        assert_string_equal(json_object_get_string(get(get(o, "pricing"), "credit_cost_multiplier")), "2");
        json_object_put(o);
        world_accept(TOKEN, KEY_B);
        o = beat();
        signed_with(get(o, "pricing"), KEY_B, "{\"credit_cost_multiplier\":2,\"pricing_model\":\"per_token\"}");
        json_object_put(o);
}

static void IICPD_01_66_E010_drops_the_block_only(void **state) {
        json_object *o;

        (void) state;
        price("1.5", true);
        begin();
        world_accept(TOKEN, KEY_A);
        json_object_put(beat());
        world_answer(world_call("POST", "/v1/heartbeat"), 422, "{\"error\":{\"code\":\"IICP-E010\",\"message\":\"x\"}}");
        o = beat();
        assert_null(get(o, "pricing"));
        assert_non_null(get(o, "health_models")); /* not the shortest form */
        json_object_put(o);
}

static void IICPD_01_66_without_signing_no_heartbeat_carries_it(void **state) {
        json_object *o;

        (void) state;
        price("1.5", false);
        begin();
        assert_true(has("pricing"));
        world_accept(TOKEN, KEY_A);
        o = beat();
        assert_null(get(o, "pricing"));
        json_object_put(o);
}

#define GOOD "\"version\":\"1\",\"remote_executor_can_read_prompt\":true"

static void IICPD_01_41_IICPD_05_32_IICPD_05_33_only_what_is_true_is_declared(void **state) {
        static const struct {
                const char *text, *why;
        } cases[] = {
                {"{" GOOD "}", NULL},
                {"{" GOOD ",\"retention\":{\"task_payload\":\"none\"}}", NULL},
                {"{\"version\":\"1\"}", "remote_executor_can_read_prompt"},
                {"{\"remote_executor_can_read_prompt\":false}", "remote_executor_can_read_prompt"},
                {"{" GOOD ",\"retention\":{\"task_payload\":\"transient\"}}", "keeps no task"},
                {"{" GOOD ",\"retention\":{}}", "empty object"},
                {"{" GOOD ",\"x\":1}", "not known"},
                {"{" GOOD ",\"version\":\"1\"}", "twice"},
                {"not json", "no JSON"},
        };

        (void) state;
        begin();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                manifest(cases[i].text);
                vouch_reload(V);
                directory_reload(DIR);
                world_fail(world_call("POST", REGISTER), FETCH_TIMEOUT);
                world_run(60000);
                assert_int_equal(has("policy_manifest"), cases[i].why == NULL);
                if (cases[i].why)
                        assert_non_null(strstr(vouch_degraded(V), cases[i].why));
                else
                        assert_null(vouch_degraded(V));
        }
}

static void IICPD_05_33_hosted_backends_are_subprocessors(void **state) {
        static const struct {
                const char *url, *list;
                bool good;
        } cases[] = {
                {"https://api.example.com", "", false},
                {"https://api.example.com", ",\"subprocessors\":[\"Somebody else\"]", false},
                {"https://api.example.com", ",\"subprocessors\":[\"Example Inc.\"]", true},
                {"http://192.168.1.7:11434", "", true},
                {"http://localhost:11434", "", true},
                {"http://gpubox:11434", "", true},
                {"http://8.8.8.8:80", "", false},
                {"http://8.8.8.8:80", ",\"subprocessors\":[\"8.8.8.8\"]", true},
        };
        char text[256];

        (void) state;
        world->config.n_backends = 1;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                world->config.backends[0] = (struct config_backend){.url = (char *) cases[i].url};
                snprintf(text, sizeof text, "{" GOOD "%s}", cases[i].list);
                manifest(text);
                vouch_start(V);
                assert_int_equal(vouch_degraded(V) == NULL, cases[i].good);
        }
}

static void IICPD_05_32_a_signature_that_has_ended_is_never_registered(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
        struct iicp_json m;

        (void) state;
        assert_int_equal(iicp_json_scan(IICP_STR("{" GOOD "}"), NULL, NULL, &m), 0);
        assert_int_equal(iicp_manifest_sign(&m, seed, now() - IICP_MANIFEST_VALID_S + 4, &text), 0);
        manifest(text.p);
        begin();
        assert_true(has("policy_manifest"));
        world_fail(world_call("POST", REGISTER), FETCH_TIMEOUT);
        world_run(5000);
        assert_false(has("policy_manifest"));
        assert_non_null(strstr(vouch_degraded(V), "ended"));
}

static void IICPD_05_32_the_operator_key_signs_what_is_unsigned(void **state) {
        json_object *o, *m;
        struct iicp_json v;
        int64_t expires;

        (void) state;
        operator_file(IICP_STR_NONE);
        manifest("{" GOOD "}");
        begin();
        o = registered_body();
        m = get(o, "policy_manifest");
        assert_non_null(get(m, "signature"));
        assert_int_equal(iicp_json_scan(iicp_str(json_object_to_json_string_ext(m, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)),
                                        NULL, NULL, &v), 0);
        assert_int_equal(iicp_manifest_check(&v, now(), &expires), IICP_MANIFEST_SIGNED_VALID);
        assert_int_equal(expires, now() + IICP_MANIFEST_VALID_S);
        assert_string_equal(json_object_get_string(get(get(m, "signature"), "public_key")), V->who.id);
        json_object_put(o);
}

static void IICPD_05_32_signed_again_when_30_days_are_left(void **state) {
        int64_t expires;

        (void) state;
        operator_file(IICP_STR_NONE);
        manifest("{" GOOD "}");
        vouch_start(V);
        expires = V->manifest_expires;
        assert_int_equal(expires, now() + IICP_MANIFEST_VALID_S);
        world_run((uint64_t) 60 * DAY * 1000 - 7200000);
        assert_int_equal(V->manifest_expires, expires);
        world_run(7200000 + 3600000);
        assert_true(V->manifest_expires > expires);
}

static void IICPD_01_66_the_effective_multiplier_counts_for_awards(void **state) {
        (void) state;
        assert_int_equal(vouch_multiplier(NULL), IICP_CREDIT);
        vouch_start(V);
        assert_int_equal(vouch_multiplier(V), IICP_CREDIT);
        price("1.5", false);
        vouch_reload(V);
        assert_int_equal(vouch_multiplier(V), 15000);
        world->config.credits_until = (char *) "2020-01-01T00:00:00Z";
        assert_int_equal(vouch_multiplier(V), IICP_CREDIT);
}

static void refuse(const char *code) {
        char body[160];

        snprintf(body, sizeof body, "{\"error\":{\"code\":\"%s\",\"message\":\"x\"}}", code);
        world_answer(world_call("POST", REGISTER), 422, body);
}

static void IICPD_01_51_once_without_the_price(void **state) {
        (void) state;
        price("1.5", false);
        vouch_start(V);
        directory_start(DIR);
        assert_true(has("pricing"));
        refuse("IICP-E010");
        world_run(5000);
        assert_false(has("pricing"));
        world_accept(TOKEN, KEY_A);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        /* and not with it again before the configuration changes */
        world_run(10000);
        directory_poke(DIR);
        assert_int_equal(world_count("POST", REGISTER), 2);
        directory_reload(DIR);
        world_run(5000);
        assert_true(has("pricing"));
}

static void IICPD_01_50_the_name_first_then_all_of_the_operator(void **state) {
        (void) state;
        world->config.operator_display_name = (char *) "Lab";
        delegate(now() + 30 * DAY);
        vouch_start(V);
        directory_start(DIR);
        assert_true(has("operator_display_name"));
        refuse("IICP-E051");
        world_run(5000);
        assert_false(has("operator_display_name"));
        assert_true(has("operator_delegation"));
        refuse("IICP-E063");
        world_run(5000);
        assert_false(has("operator_delegation"));
        /* once each: a third refusal is the operator's affair */
        refuse("IICP-E063");
        assert_true(DIR->blocked);
        world_run(299000);
        assert_int_equal(world_count("POST", REGISTER), 3);
        world_run(1000);
        assert_int_equal(world_count("POST", REGISTER), 4);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(DIR_OPID_01_delegation_goes_into_every_registration_while_valid),
                T(DIR_OPID_01_one_for_another_node_or_tampered_is_not_sent),
                T(IICPD_05_29_none_with_less_than_60_s_left),
                T(IICPD_05_29_exactly_60_s_is_too_little),
                T(IICPD_05_29_a_new_file_is_read_and_declared),
                T(IICPD_05_29_warned_below_7_days_once_a_day),
                T(DIR_OPID_01_IICPD_05_27_a_sealed_identity_signs_fresh_ones),
                T(IICPD_05_27_wrong_or_no_passphrase_leaves_the_operator_out),
                T(IICPD_05_26_an_edited_identity_is_refused),
                T(names_only_with_a_delegation),
                T(IICPD_01_66_register_unsigned_and_the_first_heartbeat_signed),
                T(IICPD_01_66_a_changed_price_registers_and_is_signed_again),
                T(IICPD_01_66_E010_drops_the_block_only),
                T(IICPD_01_66_without_signing_no_heartbeat_carries_it),
                T(IICPD_01_41_IICPD_05_32_IICPD_05_33_only_what_is_true_is_declared),
                T(IICPD_05_33_hosted_backends_are_subprocessors),
                T(IICPD_05_32_a_signature_that_has_ended_is_never_registered),
                T(IICPD_05_32_the_operator_key_signs_what_is_unsigned),
                T(IICPD_05_32_signed_again_when_30_days_are_left),
                T(IICPD_01_66_the_effective_multiplier_counts_for_awards),
                T(IICPD_01_51_once_without_the_price),
                T(IICPD_01_50_the_name_first_then_all_of_the_operator),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
