/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <stdio.h>

/* The encryption key and the directory. [05 sections 3.3, 3.4] */

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define KEY_B "d938c14a339ae68cbb02a19f6f97413118dc8d202f8b0fd4dd1ae69f677e0a27"

#define DIR (world->node.directory)

static void start_registered(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
}

static const char *text_of(json_object *o, const char *name) {
        json_object *v;

        return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;
}

/* [PHP] writes an object there, [RS] a string; both are the same refusal. */
static void IICPD_05_07_E049_is_read_in_both_forms(void **state) {
        static const char *const bodies[] = {
                "{\"error\":{\"code\":\"IICP-E049\",\"message\":\"x\"}}",
                "{\"error\":\"IICP-E049\",\"message\":\"x\"}",
        };
        struct identity *id = state_identity(world->node.state);

        (void) state;
        snprintf(id->registered.cx_key_id, sizeof id->registered.cx_key_id, "cx-another");
        directory_start(DIR);
        for (size_t i = 0; i < 2; i++) {
                world_answer(world_call("POST", "/v1/register"), 403, bodies[i]);
                /* the key is not the one that was registered: leaving it out would prove nothing */
                assert_int_equal(directory_state(DIR), DIRECTORY_BLOCKED);
                assert_non_null(strstr(directory_why(DIR), "IICP-E049"));
                world_run(299999);
                assert_true(world_idle());
                world_run(1);
        }
}

static void IICPD_05_07_a_new_key_goes_in_with_the_token(void **state) {
        char old[IICP_CX_KEY_ID_TEXT], fresh[IICP_CX_KEY_ID_TEXT];
        struct state *s = world->node.state;
        json_object *b, *key;

        (void) state;
        start_registered();
        strcpy(old, state_cx_key_id(s));
        assert_int_equal(state_cx_rotate(s, 1790000000), 0);
        assert_int_equal(state_save_identity(s), 0);
        strcpy(fresh, state_cx_key_id(s));
        directory_key_rotated(DIR);
        world_run(5000);
        b = world_body(world_call("POST", "/v1/register"));
        assert_string_equal(text_of(b, "current_node_token"), TOKEN_A);
        assert_true(json_object_object_get_ex(b, "cx_public_key", &key));
        assert_string_equal(text_of(key, "key_id"), fresh);
        json_object_put(b);
        assert_string_equal(state_cx_current_id(s), old);
        world_accept(TOKEN_B, KEY_B);
        assert_string_equal(state_cx_current_id(s), fresh);
        assert_string_equal(state_identity(s)->registered.cx_key_id, fresh);
}

static void CX_07_a_refused_key_is_tried_again_and_the_old_one_stays(void **state) {
        struct state *s = world->node.state;
        char old[IICP_CX_KEY_ID_TEXT], fresh[IICP_CX_KEY_ID_TEXT];
        size_t n;

        (void) state;
        start_registered();
        strcpy(old, state_cx_key_id(s));
        assert_int_equal(state_cx_rotate(s, 1790000000), 0);
        assert_int_equal(state_save_identity(s), 0);
        strcpy(fresh, state_cx_key_id(s));
        directory_key_rotated(DIR);
        world_run(5000);
        world_answer(world_call("POST", "/v1/register"), 503, "{}");
        assert_string_equal(state_cx_current_id(s), old);
        state_cx_keys(s, &n);
        assert_int_equal(n, 2);
        world_run(60000);
        world_accept(TOKEN_B, KEY_B);
        assert_string_equal(state_cx_current_id(s), fresh);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_05_07_E049_is_read_in_both_forms),
                T(IICPD_05_07_a_new_key_goes_in_with_the_token),
                T(CX_07_a_refused_key_is_tried_again_and_the_old_one_stays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
