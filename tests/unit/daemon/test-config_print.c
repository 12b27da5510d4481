/* SPDX-License-Identifier: Apache-2.0 */
#include "config-help.h"

#include "config_table.h"

static char *printed(const struct config *c, bool changed_only) {
        char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        config_print(c, changed_only, f);
        fclose(f);
        return text;
}

static void OX_13_values_with_their_origin(void **state) {
        char *env[] = {"IICP_PORT=9490", "MY_KEY=s3cret", NULL};
        struct loaded l = load_full("[node]\n\nregion = eu-central\n[listen]\nport = 9484\n[backend gpu]\napi_key = env:MY_KEY\n",
                                    env, NULL, false, true);
        char *text;

        (void) state;
        assert_non_null(l.c);
        text = printed(l.c, true);
        assert_non_null(strstr(text, "iicp.conf:3\n"));
        assert_non_null(strstr(text, "environment IICP_PORT, over iicp.conf:5 (9484)\n"));
        assert_non_null(strstr(text, "backend.gpu.api_key  env:MY_KEY  iicp.conf:7\n"));
        assert_null(strstr(text, "default"));
        assert_null(strstr(text, "s3cret"));
        free(text);
        text = printed(l.c, false);
        for (size_t i = 0; i < config_n_keys; i++)
                assert_non_null(strstr(text, config_keys[i].name));
        free(text);
        unload(&l);
}

static void OX_13_json(void **state) {
        char *env[] = {"MY_KEY=s3cret", NULL};
        struct loaded l = load_full("[backend gpu]\napi_key = env:MY_KEY\n", env, NULL, false, true);
        struct iicp_buf b = {0};

        (void) state;
        config_json(l.c, &b);
        assert_memory_equal(b.p, "{\"schema\":\"iicp.config/1\",\"keys\":[{\"key\":\"node.region\",\"value\":\"unknown\",\"from\":\"default\"", 70);
        assert_non_null(strstr(b.p, "{\"key\":\"backend.gpu.api_key\",\"value\":\"env:MY_KEY\",\"from\":\"file\",\"source\":\"iicp.conf\",\"line\":2,\"live\":\"yes\"}"));
        assert_null(strstr(b.p, "s3cret"));
        iicp_buf_free(&b);
        unload(&l);
}

struct seen {
        char text[1024];
};

static void add(void *arg, const char *key, const char *from, const char *to, bool live, bool registers_again) {
        struct seen *s = arg;
        size_t n = strlen(s->text);

        snprintf(s->text + n, sizeof s->text - n, "%s: %s -> %s %s%s\n", key, from, to, live ? "live" : "restart",
                 registers_again ? " registers" : "");
}

static void OX_14_difference_says_live_or_restart(void **state) {
        struct loaded a = load_good("[limits]\nmax_concurrent = 4\n[backend gpu]\nexclude = llava*\n[listen]\nport = 9484\n");
        struct loaded b = load_good("[limits]\nmax_concurrent = 8\n[backend gpu]\nexclude = llava*, *-code\n[listen]\nport = 9490\n"
                                    "[backend cpu]\ntype = llamacpp\n[log]\nlevel = debug\n");
        struct seen s = {0};

        (void) state;
        assert_int_equal(config_diff(a.c, b.c, add, &s), 5);
        assert_string_equal(s.text,
                "backend.gpu.exclude: llava* -> llava*, *-code live registers\n"
                "limits.max_concurrent: 4 -> 8 live registers\n"
                "listen.port: 9484 -> 9490 restart\n"
                "log.level: info -> debug live\n"
                "backend.cpu: - -> http://localhost:8080 live registers\n");
        s.text[0] = '\0';
        assert_int_equal(config_diff(a.c, a.c, add, &s), 0);
        unload(&a);
        unload(&b);
}

static void OX_14_what_needs_a_restart_is_kept(void **state) {
        struct loaded a = load_good("[listen]\nport = 9484\n[node]\nname = one\nstate_dir = /a\n");
        struct loaded b = load_good("[listen]\nport = 9490\naddress = 192.0.2.1\n[node]\nstate_dir = /b\n[limits]\nmax_concurrent = 8\n");

        (void) state;
        config_keep_fixed(a.c, b.c);
        assert_int_equal(b.c->listen_port, 9484);
        assert_null(b.c->listen_address);
        assert_string_equal(b.c->node_name, "one");
        assert_string_equal(b.c->state_dir, "/a");
        assert_int_equal(b.c->max_concurrent, 8);
        unload(&a);
        unload(&b);
}

static void OX_14_every_fixed_key_can_be_kept(void **state) {
        struct loaded a = load_good(""), b = load_good("");

        (void) state;
        for (size_t i = 0; i < config_n_keys; i++) {
                const struct config_key *k = &config_keys[i];

                if (k->live != LIVE_NO)
                        continue;
                assert_false(key_of_backend(k));
                assert_int_equal(value_copy(k, key_value(k, a.c, NULL), key_place(k, b.c, NULL)), 0);
        }
        unload(&a);
        unload(&b);
}

static void sample_is_a_valid_file_without_effect(void **state) {
        struct loaded empty = load_good(""), sample;
        char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);
        struct seen s = {0};

        (void) state;
        config_write_sample(f);
        fclose(f);
        sample = load_good(text);
        assert_int_equal(sample.p.n, 0);
        assert_int_equal(config_diff(empty.c, sample.c, add, &s), 0);
        free(text);
        unload(&empty);
        unload(&sample);
}

static void explains_a_key(void **state) {
        char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        (void) state;
        assert_true(config_explain("limits.drain", f));
        assert_true(config_explain("backend.gpu.api_key", f));
        assert_false(config_explain("limits.darin", f));
        assert_false(config_explain("drain", f));
        fclose(f);
        assert_non_null(strstr(text, "limits.drain\n  For running tasks at stop and drain.\n  duration, 0-10min; default: 30s\n"));
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(OX_13_values_with_their_origin),
                cmocka_unit_test(OX_13_json),
                cmocka_unit_test(OX_14_difference_says_live_or_restart),
                cmocka_unit_test(OX_14_what_needs_a_restart_is_kept),
                cmocka_unit_test(OX_14_every_fixed_key_can_be_kept),
                cmocka_unit_test(sample_is_a_valid_file_without_effect),
                cmocka_unit_test(explains_a_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
