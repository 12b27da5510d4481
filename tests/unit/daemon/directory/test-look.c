/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <stdio.h>

/* What the directory says about us, asked and shown. */

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define DIR (world->node.directory)

static unsigned shown;

static void on_shown(void *arg) {
        (void) arg;
        shown++;
}

static int setup(void **state) {
        shown = 0;
        return world_setup(state);
}

static const char *my_id(void) {
        return state_identity(world->node.state)->node_id;
}

static json_object *view(json_object **ret_doc) {
        struct iicp_buf out = {0};
        json_object *v;

        directory_json(DIR, &out);
        iicp_buf_add(&out, "", 1);
        *ret_doc = json_tokener_parse(out.p);
        assert_non_null(*ret_doc);
        iicp_buf_free(&out);
        return json_object_object_get_ex(*ret_doc, "view", &v) ? v : NULL;
}

static struct fetch *asked(const char *name) {
        for (unsigned i = world->n_calls; i > 0; i--)
                if (!world->calls[i - 1].over && strstr(world->calls[i - 1].url, name))
                        return &world->calls[i - 1];
        fail_msg("%s was not asked", name);
        return NULL;
}

static void start(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
        world_run(5000);
        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"ok\":true}");
}

static void answer_all(const char *me, const char *node, int presence, const char *discover, const char *stats) {
        char body[256];

        snprintf(body, sizeof body, me, my_id());
        world_answer(asked("/v1/me"), 200, body);
        world_answer(asked("/v1/node/"), node ? 200 : 404, node ? node : "{\"error\":{\"code\":\"not_found\"}}");
        if (presence)
                world_answer(asked("/v1/registry/nodes/"), presence, "{}");
        snprintf(body, sizeof body, discover, my_id());
        world_answer(asked("/v1/discover"), 200, body);
        world_answer(asked("/v1/stats"), 200, stats);
}

static void after_start(void) {
        start();
        answer_all("{\"node_id\":\"%s\",\"endpoint\":\"https://node.example.com\"}", "{}", 0,
                   "{\"nodes\":[{\"node_id\":\"%s\"}]}", "{}");
        world_run(10000);
}

static void DIR_ADDR_04_asked_with_token_and_id(void **state) {
        json_object *doc, *v;

        (void) state;
        after_start();
        directory_look(DIR, on_shown, NULL);
        assert_string_equal(world_header(asked("/v1/me"), "Authorization"), "Bearer " TOKEN_A);
        assert_string_equal(world_header(asked("/v1/me"), "X-Node-Id"), my_id());
        assert_null(world_header(asked("/v1/node/"), "Authorization"));
        answer_all("{\"node_id\":\"%s\",\"endpoint\":\"https://node.example.com\"}", "{}", 200, "{\"nodes\":[]}", "{}");
        assert_int_equal(shown, 1);
        v = view(&doc);
        assert_true(json_object_get_boolean(json_object_object_get(v, "me_endpoint_same")));
        json_object_put(doc);
}

static void DIR_ADDR_04_401_registers_again(void **state) {
        (void) state;
        after_start();
        directory_look(DIR, on_shown, NULL);
        world_answer(asked("/v1/me"), 401, "{\"error\":{\"code\":\"unauthorized\"}}");
        world_run(5000);
        assert_non_null(world_call("POST", "/v1/register"));
}

static void DIR_ADDR_04_a_good_token_does_not_spare_the_register_at_start(void **state) {
        struct identity *id = state_identity(world->node.state);

        (void) state;
        memcpy(id->node_token, TOKEN_A, sizeof TOKEN_A);
        snprintf(id->directory_base, sizeof id->directory_base, "https://dir.example.org/api");
        directory_start(DIR);
        assert_non_null(world_call("POST", "/v1/register"));
}

static void DIR_NODE_02_404_is_absent(void **state) {
        json_object *doc, *v, *node;

        (void) state;
        after_start();
        directory_look(DIR, on_shown, NULL);
        answer_all("{\"node_id\":\"%s\",\"endpoint\":\"https://node.example.com\"}", NULL, 404, "{\"nodes\":[]}", "{}");
        v = view(&doc);
        assert_true(json_object_object_get_ex(v, "node", &node));
        assert_false(json_object_get_boolean(json_object_object_get(node, "listed")));
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        json_object_put(doc);
}

static void DIR_NODE_HEALTH_01_is_shown(void **state) {
        json_object *doc, *v, *health;

        (void) state;
        after_start();
        directory_look(DIR, on_shown, NULL);
        answer_all("{\"node_id\":\"%s\",\"endpoint\":\"https://node.example.com\"}",
                   "{\"endpoint\":\"https://node.example.com\",\"available\":true,\"health\":{\"score\":97,\"label\":\"healthy\","
                   "\"components\":{\"latency\":92}}}",
                   200, "{\"nodes\":[{\"node_id\":\"%s\"}]}", "{}");
        v = view(&doc);
        assert_true(json_object_object_get_ex(json_object_object_get(v, "node"), "health", &health));
        assert_string_equal(json_object_get_string(json_object_object_get(health, "label")), "healthy");
        assert_int_equal(json_object_get_int(json_object_object_get(health, "score")), 97);
        json_object_put(doc);
}

static void CONF_DISC_01_the_node_finds_itself(void **state) {
        json_object *doc, *v;

        (void) state;
        start();
        assert_non_null(strstr(asked("/v1/discover")->url, "intent=urn:iicp:intent:llm:chat:v1"));
        answer_all("{\"node_id\":\"%s\",\"endpoint\":\"https://node.example.com\"}", "{}", 0,
                   "{\"nodes\":[{\"node_id\":\"other\"},{\"node_id\":\"%s\"}]}", "{}");
        v = view(&doc);
        assert_int_equal(json_object_get_int(json_object_object_get(v, "discover_place")), 2);
        json_object_put(doc);
        /* once a start */
        world_run(60000);
        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"ok\":true}");
        assert_int_equal(world_count("GET", "/v1/discover"), 1);
}

static void IICPD_01_89_presence_with_the_full_id_while_available(void **state) {
        (void) state;
        after_start();
        directory_look(DIR, on_shown, NULL);
        assert_non_null(strstr(asked("/v1/registry/nodes/")->url, my_id()));
}

static void IICPD_01_89_not_asked_while_unavailable(void **state) {
        unsigned before;

        (void) state;
        after_start();
        world->available = false;
        heartbeat_poke(DIR);
        world_run(10000);
        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"ok\":true}");
        before = world_count("GET", "/v1/registry/nodes/");
        directory_look(DIR, on_shown, NULL);
        assert_int_equal(world_count("GET", "/v1/registry/nodes/"), before);
}

static void DIR_STATS_01_never_a_gate(void **state) {
        json_object *doc, *v;

        (void) state;
        after_start();
        directory_look(DIR, on_shown, NULL);
        answer_all("{\"node_id\":\"%s\",\"endpoint\":\"https://node.example.com\"}", "{}", 200, "{\"nodes\":[]}",
                   "{\"mesh_health\":null,\"server\":{\"version\":\"1.10.9\"}}");
        v = view(&doc);
        assert_non_null(json_object_object_get(v, "stats"));
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        json_object_put(doc);
}

static void IICPD_01_90_IICPD_01_91_nothing_else_is_ever_called(void **state) {
        static const char *const ours[] = {"/v1/register", "/v1/heartbeat", "/v1/me", "/v1/node/", "/v1/registry/nodes/",
                                           "/v1/discover?", "/v1/stats", "/iicp/health", "/v1/directory-key"};

        (void) state;
        after_start();
        directory_look(DIR, on_shown, NULL);
        for (unsigned i = 0; i < world->n_calls; i++) {
                bool known = false;

                for (size_t k = 0; k < ARRAY_SIZE(ours); k++)
                        known = known || strstr(world->calls[i].url, ours[k]);
                assert_true(known);
                assert_null(strstr(world->calls[i].url, "audit-report"));
        }
}

static void a_fresh_look_is_shared(void **state) {
        unsigned before;

        (void) state;
        after_start();
        before = world_count("GET", "/v1/stats");
        directory_look(DIR, on_shown, NULL);
        directory_look(DIR, on_shown, NULL);
        assert_int_equal(world_count("GET", "/v1/stats"), before + 1);
        answer_all("{\"node_id\":\"%s\",\"endpoint\":\"https://node.example.com\"}", "{}", 200, "{\"nodes\":[]}", "{}");
        assert_int_equal(shown, 2);
        directory_look(DIR, on_shown, NULL);
        assert_int_equal(shown, 3);
        assert_int_equal(world_count("GET", "/v1/stats"), before + 1);
}

static void who_tells_nobody_asks_nobody(void **state) {
        (void) state;
        world->config.directory_register = false;
        directory_start(DIR);
        directory_look(DIR, on_shown, NULL);
        assert_int_equal(shown, 1);
        assert_int_equal(world->n_calls, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(DIR_ADDR_04_asked_with_token_and_id),
                T(DIR_ADDR_04_401_registers_again),
                T(DIR_ADDR_04_a_good_token_does_not_spare_the_register_at_start),
                T(DIR_NODE_02_404_is_absent),
                T(DIR_NODE_HEALTH_01_is_shown),
                T(CONF_DISC_01_the_node_finds_itself),
                T(IICPD_01_89_presence_with_the_full_id_while_available),
                T(IICPD_01_89_not_asked_while_unavailable),
                T(DIR_STATS_01_never_a_gate),
                T(IICPD_01_90_IICPD_01_91_nothing_else_is_ever_called),
                T(a_fresh_look_is_shared),
                T(who_tells_nobody_asks_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
