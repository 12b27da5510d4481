/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "vectors.h"
#include "world.h"

#include <errno.h>
#include <stdio.h>

/* The lost-token ladder, and what a new identity takes. [01 section 2.9] */

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define KEY_B "d938c14a339ae68cbb02a19f6f97413118dc8d202f8b0fd4dd1ae69f677e0a27"
#define E049 "{\"error\":{\"code\":\"IICP-E049\",\"message\":\"x\"}}"
#define E050 "{\"error\":{\"code\":\"IICP-E050\",\"message\":\"x\"}}"
#define DIR (world->node.directory)
#define ID (state_identity(world->node.state))

static struct fetch *reg(void) {
        return world_call("POST", "/v1/register");
}

static bool has(const struct fetch *f, const char *name) {
        json_object *b = world_body(f);
        bool found = json_object_object_get_ex(b, name, NULL);

        json_object_put(b);
        return found;
}

static void start_registered(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
}

/* The directory has forgotten our token, as far as we can tell. */
static void again(int status, const char *body) {
        world_run(10000);
        directory_reregister(DIR, NULL, NULL);
        world_answer(reg(), status, body);
}

static void IICPD_01_59_a_newer_file_is_tried_first(void **state) {
        struct identity kept;

        (void) state;
        start_registered();
        kept = *ID;
        memcpy(ID->node_token, TOKEN_B, sizeof TOKEN_B);
        memcpy(ID->node_hmac_key, KEY_B, sizeof KEY_B);
        assert_int_equal(state_save_identity(world->node.state), 0);
        *ID = kept;
        again(403, E049);
        world_run(5000);
        assert_non_null(strstr(reg()->body, "\"current_node_token\":\"" TOKEN_B "\""));
        assert_true(has(reg(), "cx_public_key"));
        world_accept(TOKEN_A, KEY_A);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
}

static void IICPD_01_59_then_once_without_the_key(void **state) {
        (void) state;
        start_registered();
        again(403, E049);
        world_run(5000);
        assert_false(has(reg(), "cx_public_key"));
        assert_non_null(strstr(reg()->body, TOKEN_A));
        world_accept(TOKEN_B, KEY_B);
        /* and at once with key and proof */
        world_run(5000);
        assert_true(has(reg(), "cx_public_key"));
        assert_non_null(strstr(reg()->body, TOKEN_B));
        world_accept(TOKEN_A, KEY_A);
        world_run(20000);
        assert_int_equal(DIR->registrations, 3);
}

static void IICPD_01_59_then_the_operator_every_300_s(void **state) {
        (void) state;
        start_registered();
        again(403, E049);
        world_run(5000);
        world_answer(reg(), 403, E049);
        assert_true(DIR->blocked);
        assert_non_null(strstr(directory_why(DIR), "iicpctl identity reset"));
        world_run(299000);
        assert_int_equal(world_count("POST", "/v1/register"), 3);
        world_run(1000);
        assert_int_equal(world_count("POST", "/v1/register"), 4);
        assert_true(has(reg(), "cx_public_key"));
}

static void IICPD_01_59_the_old_endpoint_if_it_still_works(void **state) {
        (void) state;
        world->config.cx_enabled = false;
        start_registered();
        snprintf(world->endpoint, sizeof world->endpoint, "https://moved.example.com");
        world->own_health = 200;
        again(403, E050);
        world_run(5000);
        assert_int_equal(world_count("GET", "https://node.example.com/iicp/health"), 1);
        world_run(5000);
        assert_non_null(strstr(reg()->body, "\"endpoint\":\"https://node.example.com\""));
        world_accept(TOKEN_B, KEY_B);
        /* with that token the move is allowed */
        world_run(5000);
        assert_non_null(strstr(reg()->body, "\"endpoint\":\"https://moved.example.com\""));
        assert_non_null(strstr(reg()->body, TOKEN_B));
        world_accept(TOKEN_A, KEY_A);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
}

static void IICPD_01_59_else_it_waits_for_the_old_route_to_die(void **state) {
        static const uint64_t waits[] = {30000, 60000, 120000, 240000, 480000, 900000, 900000};
        uint64_t last;

        (void) state;
        world->config.cx_enabled = false;
        start_registered();
        snprintf(world->endpoint, sizeof world->endpoint, "https://moved.example.com");
        world->own_health = 0;
        again(403, E050);
        for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
                unsigned n = world_count("POST", "/v1/register");

                last = world->now_ms;
                while (world_count("POST", "/v1/register") == n && world->now_ms - last < 2000000)
                        world_run(1000);
                assert_in_range(world->now_ms - last, waits[i], waits[i] + 2000);
                world_answer(reg(), 403, E050);
                assert_false(DIR->blocked);
        }
}

static void IICPD_01_60_no_new_identity_unasked(void **state) {
        char id[37];

        (void) state;
        start_registered();
        strcpy(id, ID->node_id);
        again(403, E049);
        world_run(5000);
        world_answer(reg(), 403, E049);
        for (unsigned i = 0; i < 3; i++) {
                world_run(300000);
                assert_non_null(strstr(reg()->body, id));
                world_answer(reg(), 403, E049);
        }
        assert_string_equal(ID->node_id, id);
}

static void IICPD_01_60_by_configuration(void **state) {
        char id[37], key[IICP_CX_KEY_ID_TEXT];

        (void) state;
        world->config.identity_auto_reset = true;
        start_registered();
        strcpy(id, ID->node_id);
        strcpy(key, state_cx_current_id(world->node.state));
        again(403, E049);
        world_run(5000);
        world_answer(reg(), 403, E049);
        assert_string_not_equal(ID->node_id, id);
        assert_string_not_equal(state_cx_current_id(world->node.state), key);
        world_run(5000);
        assert_non_null(strstr(reg()->body, ID->node_id));
        assert_null(strstr(reg()->body, "current_node_token"));
        assert_null(strstr(reg()->body, TOKEN_A));
        world_accept(TOKEN_B, KEY_B);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
}

static void IICPD_01_60_by_command(void **state) {
        char id[37];

        (void) state;
        start_registered();
        strcpy(id, ID->node_id);
        assert_int_equal(directory_identity_reset(DIR, "root (uid 0)"), 0);
        assert_string_not_equal(ID->node_id, id);
        assert_string_equal(ID->node_token, "");
        world_run(5000);
        assert_non_null(strstr(reg()->body, ID->node_id));
        /* not under an open REGISTER, and not where the name is the operator's */
        assert_int_equal(directory_identity_reset(DIR, "root (uid 0)"), -EBUSY);
        world_accept(TOKEN_B, KEY_B);
        world->config.node_id = (char *) "my-node";
        assert_int_equal(directory_identity_reset(DIR, "root (uid 0)"), -EPERM);
}

static void IICPD_01_60_on_the_disk_before_it_is_used(void **state) {
        (void) state;
        start_registered();
        world->hold_saves = true;
        assert_int_equal(directory_identity_reset(DIR, "root (uid 0)"), 0);
        world_run(20000);
        assert_true(world_idle());
        while (world_idle())
                world_saved();
        assert_non_null(strstr(reg()->body, ID->node_id));
        world->hold_saves = false;
}

/* Bits of the vector: 0 strict, 1 secured, 2 endpoint, 3 transport, 4 relay changed, 5 token, 6 old alive. */
static void IICPD_01_58_what_we_send_is_always_allowed(void **state) {
        struct json_object *doc = vector_ours("directory/ownership-matrix.json");
        const char *allowed = vector_str(doc, "allowed").p;

        (void) state;
        start_registered();
        snprintf(world->endpoint, sizeof world->endpoint, "https://moved.example.com");
        directory_poke(DIR);
        world_run(5000);
        /* a changed endpoint and a key go with the token ... */
        assert_non_null(strstr(reg()->body, "https://moved.example.com"));
        assert_non_null(strstr(reg()->body, "\"current_node_token\":\"" TOKEN_A "\""));
        /* ... and with the token every row of the table is allowed */
        for (unsigned i = 0; i < 128; i++)
                if (i & (1 << 5))
                        assert_int_equal(allowed[i], '1');
        /* going back to the old endpoint is what opens the soft rows without it */
        for (unsigned i = 0; i < 128; i++)
                if (!(i & (1 << 5)) && !(i & (1 << 2)) && !((i & 3) == 3))
                        assert_int_equal(allowed[i], '1');
        json_object_put(doc);
}

static void DIR_LIFECYCLE_03_IICPD_01_58_a_refresh_replaces_the_token(void **state) {
        (void) state;
        start_registered();
        world_run(5000);
        directory_reregister(DIR, NULL, NULL);
        assert_non_null(strstr(reg()->body, "\"current_node_token\":\"" TOKEN_A "\""));
        world_accept(TOKEN_B, KEY_B);
        assert_string_equal(ID->node_token, TOKEN_B);
        assert_string_equal(world->rotated, TOKEN_A);
}

static void DIR_LIFECYCLE_04_the_old_token_is_never_used_again(void **state) {
        (void) state;
        start_registered();
        world_run(5000);
        directory_reregister(DIR, NULL, NULL);
        world_accept(TOKEN_B, KEY_B);
        for (unsigned i = 0, from = world->n_calls; i < 3; i++, from = world->n_calls) {
                world_run(40000);
                for (unsigned k = from; k < world->n_calls; k++) {
                        const char *bearer = world_header(&world->calls[k], "Authorization");

                        assert_true(!bearer || strcmp(bearer, "Bearer " TOKEN_B) == 0);
                        assert_null(strstr(world->calls[k].body, TOKEN_A));
                }
                world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"ok\":true}");
        }
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_01_59_a_newer_file_is_tried_first),
                T(IICPD_01_59_then_once_without_the_key),
                T(IICPD_01_59_then_the_operator_every_300_s),
                T(IICPD_01_59_the_old_endpoint_if_it_still_works),
                T(IICPD_01_59_else_it_waits_for_the_old_route_to_die),
                T(IICPD_01_60_no_new_identity_unasked),
                T(IICPD_01_60_by_configuration),
                T(IICPD_01_60_by_command),
                T(IICPD_01_60_on_the_disk_before_it_is_used),
                T(IICPD_01_58_what_we_send_is_always_allowed),
                T(DIR_LIFECYCLE_03_IICPD_01_58_a_refresh_replaces_the_token),
                T(DIR_LIFECYCLE_04_the_old_token_is_never_used_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
