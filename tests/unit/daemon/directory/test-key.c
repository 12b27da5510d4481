/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "directory/key.h"
#include "log.h"
#include "util.h"
#include "world.h"

#include <iicp/codec.h>
#include <iicp/sign.h>
#include <stdio.h>

/* The directory's signing key. [05 section 4.4] */

#define KEYS (world->node.keys)
#define PATH "/v1/directory-key"
#define MINUTE 60000u

static const uint8_t seed_a[IICP_SEED] = {1}, seed_b[IICP_SEED] = {2};

static int setup(void **state) {
        world_setup(state);
        KEYS = directory_keys_new(&world->node);
        assert_non_null(KEYS);
        return 0;
}

static int teardown(void **state) {
        KEYS = directory_keys_free(KEYS);
        return world_teardown(state);
}

static void hex_key(const uint8_t seed[IICP_SEED], char hex[65]) {
        uint8_t key[IICP_SIGN_KEY];

        assert_int_equal(iicp_sign_public(seed, key), 0);
        iicp_hex(key, sizeof key, hex);
}

static void answer_with(const uint8_t seed[IICP_SEED]) {
        char hex[65], body[160];

        hex_key(seed, hex);
        snprintf(body, sizeof body, "{\"public_key\":\"%s\",\"algorithm\":\"ed25519\"}", hex);
        world_answer(world_call("GET", PATH), 200, body);
}

/* A token for this node, valid now. */
static enum iicp_token_fault present(const uint8_t seed[IICP_SEED], bool *ret_good) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0}, signed_ = {0}, claims = {0};
        int64_t now = clock_wall_s(world->node.clock);
        struct iicp_consumer_claims got;
        enum iicp_token_fault fault;
        uint8_t sig[IICP_SIGNATURE];
        char hex[2 * IICP_SIGNATURE + 1];

        iicp_buf_printf(&claims, "{\"v\":1,\"sub\":\"caller\",\"aud\":\"%s\",\"intent\":\"*\",\"iat\":%lld,\"exp\":%lld}",
                        state_identity(world->node.state)->node_id, (long long) now, (long long) now + 300);
        iicp_b64url_add(&text, claims.p, claims.n);
        iicp_buf_puts(&signed_, IICP_DOMAIN_CONSUMER_TOKEN);
        iicp_buf_add_str(&signed_, iicp_buf_str(&text));
        assert_int_equal(iicp_sign(seed, iicp_buf_str(&signed_), sig), 0);
        iicp_hex(sig, sizeof sig, hex);
        iicp_buf_printf(&text, ".%s", hex);
        *ret_good = directory_keys_check(KEYS, iicp_buf_str(&text), IICP_STR("urn:iicp:intent:llm:chat:v1"), &got, &fault);
        return fault;
}

static bool good(const uint8_t seed[IICP_SEED]) {
        bool r;

        present(seed, &r);
        return r;
}

/* Serving without being registered: no heartbeats between the fetches. */
static void begin(void) {
        world->config.directory_register = false;
        directory_start(world->node.directory);
        directory_keys_start(KEYS);
}

static unsigned fetches(void) {
        unsigned n = 0;

        for (unsigned i = 0; i < world->n_calls; i++)
                n += strstr(world->calls[i].url, PATH) != NULL;
        return n;
}

static void IICPD_01_81_fetched_after_a_registration_and_hourly(void **state) {
        (void) state;
        directory_keys_start(KEYS);
        assert_int_equal(fetches(), 0);
        directory_start(world->node.directory);
        world_accept("exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA", "key");
        assert_int_equal(fetches(), 1);
        assert_null(world_header(world_call("GET", PATH), "Authorization"));
        answer_with(seed_a);
        assert_true(good(seed_a));
}

static void IICPD_01_81_IICPD_05_19_hourly(void **state) {
        (void) state;
        begin();
        directory_keys_registered(KEYS);
        answer_with(seed_a);
        world_run(60 * MINUTE - 1);
        assert_int_equal(fetches(), 1);
        world_run(1);
        assert_int_equal(fetches(), 2);
        answer_with(seed_a);
        world_run(60 * MINUTE);
        assert_int_equal(fetches(), 3);
        world_fail(world_call("GET", PATH), FETCH_TIMEOUT);
        assert_true(good(seed_a)); /* what is known stays known */
        world_run(5 * MINUTE);
        assert_int_equal(fetches(), 4);
}

static void IICPD_01_81_after_a_bad_signature_at_most_once_in_5_minutes(void **state) {
        (void) state;
        begin();
        directory_keys_registered(KEYS);
        answer_with(seed_a);
        assert_false(good(seed_b));
        assert_int_equal(fetches(), 2);
        answer_with(seed_a);
        assert_false(good(seed_b));
        world_run(5 * MINUTE - 1);
        assert_false(good(seed_b));
        assert_int_equal(fetches(), 2);
        world_run(1);
        assert_false(good(seed_b));
        assert_int_equal(fetches(), 3);
        answer_with(seed_b);
        assert_true(good(seed_b));
}

static void IICPD_05_19_a_changed_key_overlaps_for_310_s(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf json = {0};

        (void) state;
        begin();
        directory_keys_registered(KEYS);
        answer_with(seed_a);
        world_run(60 * MINUTE);
        answer_with(seed_b);
        directory_keys_json(KEYS, &json);
        assert_non_null(strstr(json.p, "\"previous\":\""));
        assert_true(good(seed_a));
        assert_true(good(seed_b));
        world_run(309999);
        assert_true(good(seed_a));
        world_run(1);
        assert_false(good(seed_a));
        assert_true(good(seed_b));
}

static void IICPD_05_19_kept_over_a_restart_for_the_same_directory(void **state) {
        (void) state;
        begin();
        directory_keys_registered(KEYS);
        answer_with(seed_a);
        directory_keys_free(KEYS);
        KEYS = directory_keys_new(&world->node);
        directory_keys_start(KEYS);
        assert_true(good(seed_a));
        directory_keys_free(KEYS);
        world->config.directory_url = (char *) "https://other.example.org/api";
        KEYS = directory_keys_new(&world->node);
        directory_keys_start(KEYS);
        assert_false(good(seed_a));
}

static void IICPD_05_19_a_pinned_key_is_used_alone(void **state) {
        char hex[65];

        (void) state;
        hex_key(seed_a, hex);
        world->config.directory_key = hex;
        begin();
        assert_true(good(seed_a));
        directory_keys_registered(KEYS);
        answer_with(seed_b);
        assert_true(good(seed_a));
        assert_false(good(seed_b));
        assert_int_equal(fetches(), 1); /* and a bad signature asks nobody */
        world->config.directory_key = NULL;
        directory_keys_reload(KEYS);
        answer_with(seed_b);
        assert_true(good(seed_b));
}

static void IICPD_01_81_IICPD_02_39_without_key_tokens_are_absent(void **state) {
        static const char *const none[] = {"{\"public_key\":\"7da1\",\"algorithm\":\"ed25519\"}", "{}", "[]", "<html>"};
        bool accepted;

        (void) state;
        begin();
        assert_int_equal(present(seed_a, &accepted), IICP_TOKEN_OK); /* no fault of the token */
        assert_false(accepted);
        for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
                directory_keys_registered(KEYS);
                world_answer(world_call("GET", PATH), 200, none[i]);
                assert_int_equal(present(seed_a, &accepted), IICP_TOKEN_OK);
                assert_false(accepted);
        }
        directory_keys_registered(KEYS);
        world_answer(world_call("GET", PATH), 503, "{\"error\":{\"code\":\"not_configured\"}}");
        assert_int_equal(present(seed_a, &accepted), IICP_TOKEN_OK);
        assert_false(accepted);
}

static void IICPD_05_39_never_from_another_origin(void **state) {
        struct fetch *f;

        (void) state;
        world->config.directory_redirect_origins = (char *[]){(char *) "https://listed.example.org", NULL};
        begin();
        directory_keys_registered(KEYS);
        f = world_call("GET", PATH);
        assert_memory_equal(f->url, "https://dir.example.org/", 24);
        f->over = true;
        f->done(f->arg, &(struct fetch_answer){.error = FETCH_OK, .status = 307,
                                               .location = IICP_STR("https://listed.example.org/api/v1/directory-key")});
        assert_true(world_idle());
        assert_false(good(seed_a));
}

static void a_broken_file_is_fetched_again(void **state) {
        (void) state;
        state_write_file(state_dir_fd(world->node.state), KEY_FILE, IICP_STR("{"));
        log_setup(LOG_F_TEXT, LOG_L_ERR);
        begin();
        assert_false(good(seed_a));
        directory_keys_registered(KEYS);
        answer_with(seed_a);
        assert_true(good(seed_a));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(IICPD_01_81_fetched_after_a_registration_and_hourly, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_01_81_IICPD_05_19_hourly, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_01_81_after_a_bad_signature_at_most_once_in_5_minutes, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_19_a_changed_key_overlaps_for_310_s, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_19_kept_over_a_restart_for_the_same_directory, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_19_a_pinned_key_is_used_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_01_81_IICPD_02_39_without_key_tokens_are_absent, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_39_never_from_another_origin, setup, teardown),
                cmocka_unit_test_setup_teardown(a_broken_file_is_fetched_again, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
