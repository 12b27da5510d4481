/* SPDX-License-Identifier: Apache-2.0 */
#include "config-help.h"

#include "log.h"

static void no_key_is_needed(void **state) {
        struct loaded l = load_good("");

        (void) state;
        assert_int_equal(l.p.n, 0);
        assert_int_equal(l.c->n_backends, 1);
        assert_string_equal(l.c->backends[0].name, "default");
        assert_string_equal(l.c->backends[0].url, "http://localhost:11434");
        assert_int_equal(l.c->listen_port, 9484);
        assert_false(l.c->listen_port_strict);
        assert_string_equal(l.c->region, "unknown");
        assert_string_equal(l.c->directory_url, "https://iicp.network/api");
        assert_string_equal(l.c->directory_redirect_origins[0], "https://iicp.network");
        assert_int_equal(l.c->max_concurrent, 4);
        assert_int_equal(l.c->default_timeout_ms, 60000);
        assert_int_equal(l.c->drain_ms, 30000);
        assert_int_equal(l.c->per_origin, 120);
        assert_int_equal(l.c->auth_mode, AUTH_OPEN);
        assert_true(l.c->cx_enabled);
        assert_true(l.c->require_uuid);
        assert_int_equal(l.c->log_level, LOG_L_INFO);
        assert_int_equal(l.c->backends[0].tls_min, 13);
        unload(&l);
}

static void values_of_all_kinds_are_read(void **state) {
        struct loaded l = load_good("[node]\n  region = eu-central  \npublic_endpoint=https://n.example.org\n"
                                    "[backend \"gpu\"]\ntype = vllm\nexclude = llava*, *-code ,\n"
                                    "[backend cpu]\r\ntype = ollama\r\nmax_concurrent = 2\r\n"
                                    "[limits]\ndefault_timeout = 500ms\ndrain = 10 min\nqueue_wait = 0\nper_origin = 0\n"
                                    "[availability]\nwindow = 07:00-23:00 50%\nwindow = 23:00-07:00 100%\nutc = yes\n"
                                    "[log]\nlevel = warn\n# a comment = here\n[listen]\nmax_connections = auto\n"
                                    "[limits]\nmax_concurrent = 8");

        (void) state;
        assert_string_equal(l.c->region, "eu-central");
        assert_true(l.c->listen_port_strict);
        assert_int_equal(l.c->n_backends, 2);
        assert_string_equal(l.c->backends[0].url, "http://localhost:8000");
        assert_string_equal(l.c->backends[0].exclude[0], "llava*");
        assert_string_equal(l.c->backends[0].exclude[1], "*-code");
        assert_null(l.c->backends[0].exclude[2]);
        assert_string_equal(l.c->backends[1].name, "cpu");
        assert_int_equal(l.c->backends[1].max_concurrent, 2);
        assert_int_equal(l.c->default_timeout_ms, 500);
        assert_int_equal(l.c->drain_ms, 600000);
        assert_int_equal(l.c->per_origin, 0);
        assert_int_equal(l.c->max_concurrent, 8);
        assert_int_equal(l.c->n_windows, 2);
        assert_string_equal(l.c->windows[1].start, "23:00");
        assert_true(l.c->windows[0].share > 0.49 && l.c->windows[0].share < 0.51);
        assert_true(l.c->windows_utc);
        assert_int_equal(l.c->log_level, LOG_L_WARN);
        assert_int_equal(l.c->max_connections, 0);
        unload(&l);
}

static void an_empty_value_is_the_default(void **state) {
        struct loaded l = load_good("[limits]\nmax_concurrent =\n[node]\npublic_endpoint = \n");

        (void) state;
        assert_int_equal(l.c->max_concurrent, 4);
        assert_null(l.c->public_endpoint);
        unload(&l);
}

/* Of the recovery names a malformed value is only told. [04 section 16] */
static void IICPD_01_94_malformed_recovery_environment_is_a_warning(void **state) {
        char *const bad[] = {(char *) "IICP_RECOVERY_GRACE_CHECKS=0", (char *) "IICP_RECOVERY_CHECK_EVERY_HEARTBEATS=often",
                             (char *) "IICP_SUPERVISED=maybe", (char *) "IICP_RECOVERY_SUPERVISED_EXIT=2", NULL};
        char *const good[] = {(char *) "IICP_RECOVERY_GRACE_CHECKS=7", (char *) "IICP_RECOVERY_CHECK_EVERY_HEARTBEATS=1",
                              (char *) "IICP_SUPERVISED=1", (char *) "IICP_RECOVERY_SUPERVISED_EXIT=off", NULL};
        struct loaded l = load_full("", bad, NULL, false, false);

        (void) state;
        assert_non_null(l.c);
        assert_int_equal(l.p.n_errors, 0);
        assert_int_equal(l.p.n_warnings, 4);
        assert_int_equal(l.c->recovery_grace, 3);
        assert_int_equal(l.c->recovery_every, 2);
        assert_int_equal(l.c->recovery_supervised, SUPERVISED_AUTO);
        assert_true(l.c->recovery_restart);
        unload(&l);
        l = load_full("", good, NULL, false, false);
        assert_non_null(l.c);
        assert_int_equal(l.p.n_warnings, 0);
        assert_int_equal(l.c->recovery_grace, 7);
        assert_int_equal(l.c->recovery_every, 1);
        assert_int_equal(l.c->recovery_supervised, SUPERVISED_YES);
        assert_false(l.c->recovery_restart);
        unload(&l);
        l = load_full("[recovery]\ngrace = 0\n", NULL, NULL, false, false);
        assert_null(l.c); /* in the file it is an error */
        unload(&l);
}

static void IICPD_04_44_command_line_environment_file_default(void **state) {
        char *env[] = {"IICP_MAX_CONCURRENT=5", "IICP_PORT=9500", "IICP_REGION=", NULL};
        char *options[] = {"limits.max_concurrent=6", "backend.gpu.type=demo", "directory.register=no", NULL};
        struct loaded l = load_full("[limits]\nmax_concurrent = 2\n[listen]\nport = 9490\n[node]\nregion = eu-west\n",
                                    env, options, false, false);

        (void) state;
        assert_non_null(l.c);
        assert_int_equal(l.c->max_concurrent, 6);
        assert_int_equal(l.c->listen_port, 9500);
        assert_string_equal(l.c->region, "eu-west"); /* an empty variable counts as not set */
        assert_int_equal(l.c->n_backends, 1);
        assert_string_equal(l.c->backends[0].name, "gpu");
        assert_int_equal(l.c->backends[0].type, BACKEND_DEMO);
        assert_false(l.c->directory_register);
        unload(&l);
}

static void IICPD_04_44_sdk_spelling(void **state) {
        static const struct {
                const char *text;
                int yes; /* -1: malformed */
        } cases[] = {{"1", 1}, {"true", 1}, {"YES", 1}, {"on", 1}, {"0", 0}, {"False", 0}, {"no", 0}, {"off", 0}, {"maybe", -1}, {"2", -1}};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char entry[64];
                char *env[] = {entry, NULL};
                struct loaded l;

                snprintf(entry, sizeof entry, "IICP_SKIP_REGISTRATION=%s", cases[i].text);
                l = load_full("", env, NULL, false, false);
                if (cases[i].yes < 0) {
                        assert_null(l.c);
                        assert_non_null(problem_with(&l, "IICP_SKIP_REGISTRATION"));
                        assert_string_equal(l.p.v[0].where, "environment");
                } else {
                        assert_non_null(l.c);
                        assert_int_equal(l.c->directory_register, !cases[i].yes);
                }
                unload(&l);
        }
}

static void IICPD_04_44_all_names_of_the_table(void **state) {
        char *env[] = {"IICP_NODE_ID=abc", "IICP_NODE=second", "IICP_NODE_NAME=first", "IICP_REGION=eu-west",
                       "IICP_PUBLIC_ENDPOINT=https://n.example.org", "IICP_HOME=/srv/iicp", "IICP_SYSTEMD_NOTIFY=0",
                       "IICP_DIRECTORY_URL=https://dir.example.org/api/v1", "IICP_HOST=192.0.2.7", "IICP_PORT=1234",
                       "IICP_BACKEND_TYPE=llamacpp", "IICP_BACKEND_URL=http://gpu.example.org:8080", "IICP_BACKEND_MODEL=m",
                       "IICP_BACKEND_API_KEY=k", "IICP_INTENT=urn:iicp:intent:llm:completion:v1", "IICP_MAX_CONCURRENT=9",
                       "IICP_TASK_RATE_LIMIT=7", "IICP_SKIP_REGISTRATION=1", NULL};
        struct loaded l = load_full("", env, NULL, false, true);

        (void) state;
        assert_non_null(l.c);
        assert_string_equal(l.c->node_id, "abc");
        assert_string_equal(l.c->node_name, "first");
        assert_string_equal(l.c->public_endpoint, "https://n.example.org");
        assert_string_equal(l.c->state_dir, "/srv/iicp");
        assert_int_equal(l.c->systemd_notify, 0);
        assert_string_equal(l.c->directory_url, "https://dir.example.org/api");
        assert_null(l.c->directory_redirect_origins);
        assert_string_equal(l.c->listen_address, "192.0.2.7");
        assert_int_equal(l.c->listen_port, 1234);
        assert_int_equal(l.c->n_backends, 1);
        assert_int_equal(l.c->backends[0].type, BACKEND_LLAMACPP);
        assert_string_equal(l.c->backends[0].url, "http://gpu.example.org:8080");
        assert_string_equal(l.c->backends[0].model, "m");
        assert_string_equal(l.c->backends[0].api_key.value, "k");
        assert_string_equal(l.c->intent_default, "urn:iicp:intent:llm:completion:v1");
        assert_int_equal(l.c->per_origin, 7);
        unload(&l);
}

static void IICPD_04_44_backend_names_belong_to_the_only_backend(void **state) {
        char *env[] = {"IICP_BACKEND_URL=http://localhost:1234", NULL};
        struct loaded l = load_full("[backend gpu]\ntype = vllm\n", env, NULL, false, false);

        (void) state;
        assert_non_null(l.c);
        assert_string_equal(l.c->backends[0].name, "gpu");
        assert_string_equal(l.c->backends[0].url, "http://localhost:1234");
        unload(&l);
        l = load_full("[backend a]\n[backend b]\n", env, NULL, false, false);
        assert_null(l.c);
        assert_non_null(problem_with(&l, "IICP_BACKEND_URL belongs to an only backend, but there are 2"));
        unload(&l);
}

static void IICPD_04_44_IICPD_05_57_names_without_a_key(void **state) {
        char *quiet[] = {"IICP_AUTO_UPDATE=1", "IICP_UPDATE_STATE_FILE=/x", "IICP_TUNNEL_WAIT_FOR_CAPACITY=1",
                         "IICP_SYSTEMD_WATCHDOG_SEC=9", "IICP_MODE=public", "IICP_TUNNEL=0", "IICP_SKIP_UPNP=1", NULL};
        char *loud[] = {"IICP_CONFIG_FILE=/x", "IICP_FORCE=1", "IICP_WITH_PROXY=1", "IICP_MCP_SERVER=x",
                        "IICP_PROXY_CIP_POLICY=x", "IICP_RELAY_SOMETHING=1", NULL};
        static const char *const refused[] = {"IICP_MODE=private", "IICP_TRUST_DOMAIN_ID=x", "IICP_TRUSTED_DOMAINS=x",
                                              "IICP_DIRECTORY_AUTHORITY=x", "IICP_MEMBERSHIP=x", "IICP_LOCAL_DIRECTORY_DISCOVERY=1"};
        struct loaded l = load_full("", quiet, NULL, false, false);

        (void) state;
        assert_non_null(l.c);
        assert_int_equal(l.p.n, 0);
        unload(&l);
        l = load_full("", loud, NULL, false, false);
        assert_non_null(l.c);
        assert_int_equal(l.p.n_warnings, 6);
        assert_non_null(problem_with(&l, "iicpctl import"));
        unload(&l);
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                char *env[] = {(char *) refused[i], NULL};

                l = load_full("", env, NULL, false, false);
                assert_null(l.c);
                unload(&l);
        }
}

static void IICPD_04_44_client_takes_its_names_and_only_warns(void **state) {
        char *env[] = {"IICP_REGION=eu-west", "IICP_PROXY_MAX_RETRIES=99", "IICP_PROXY_DIRECTORY_TIMEOUT_MS=2500",
                       "IICP_CX_ALLOW_PLAINTEXT=yes", "IICP_PORT=x", NULL};
        struct loaded l = load_full("[consumer]\nretries = 2\n[limits]\nnonsense = 1\n[directory]\nurl = http://localhost:1\n",
                                    env, NULL, true, false);

        (void) state;
        assert_non_null(l.c);
        assert_int_equal(l.p.n, 1);
        assert_int_equal(l.p.n_warnings, 1);
        assert_non_null(problem_with(&l, "IICP_PROXY_MAX_RETRIES=99"));
        assert_int_equal(l.c->consumer_retries, 2);
        assert_string_equal(l.c->consumer_region, "eu-west");
        assert_int_equal(l.c->consumer_directory_timeout_ms, 2500);
        assert_true(l.c->consumer_allow_plaintext);
        assert_string_equal(l.c->directory_url, "http://localhost:1/api");
        unload(&l);
}

static void the_users_file_wins_over_the_one_of_the_machine(void **state) {
        static char text[] = "[consumer]\nretries = 7\n[node]\nnonsense = 1\n";
        char *none[] = {NULL};
        char path[] = "user-conf-XXXXXX";
        struct config_source source = {
                .path = "iicp.conf", .user_path = path, .environ_ = none, .consumer = true,
                .text = IICP_STR("[consumer]\nretries = 2\nregion = eu-west\n"),
        };
        struct loaded l = {0};
        int fd = mkstemp(path);

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t) sizeof text - 1);
        close(fd);
        l.c = config_load(&source, &l.p);
        unlink(path);
        assert_non_null(l.c);
        assert_int_equal(l.c->consumer_retries, 7);
        assert_string_equal(l.c->consumer_region, "eu-west");
        unload(&l);
}

static void folders_follow_the_service_manager(void **state) {
        char *env[] = {"STATE_DIRECTORY=/var/lib/iicp-b:/var/lib/other", "RUNTIME_DIRECTORY=/run/iicpd-b", NULL};
        struct loaded l = load_full("", env, NULL, false, false);

        (void) state;
        assert_string_equal(l.c->state_dir, "/var/lib/iicp-b");
        assert_string_equal(l.c->runtime_dir, "/run/iicpd-b");
        assert_string_equal(l.c->control_socket, "/run/iicpd-b/control.sock");
        unload(&l);
}

static void windows_of_a_later_source_replace_earlier_ones(void **state) {
        char *options[] = {"availability.window=00:00-12:00 10%", "availability.window=12:01-23:59 20%", NULL};
        struct loaded l = load_full("[availability]\nwindow = 07:00-23:00 50%\n", NULL, options, false, false);

        (void) state;
        assert_non_null(l.c);
        assert_true(l.c->n_windows >= 1);
        assert_string_not_equal(l.c->windows[0].start, "07:00");
        unload(&l);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_key_is_needed),
                cmocka_unit_test(values_of_all_kinds_are_read),
                cmocka_unit_test(an_empty_value_is_the_default),
                cmocka_unit_test(IICPD_01_94_malformed_recovery_environment_is_a_warning),
                cmocka_unit_test(IICPD_04_44_command_line_environment_file_default),
                cmocka_unit_test(IICPD_04_44_sdk_spelling),
                cmocka_unit_test(IICPD_04_44_all_names_of_the_table),
                cmocka_unit_test(IICPD_04_44_backend_names_belong_to_the_only_backend),
                cmocka_unit_test(IICPD_04_44_IICPD_05_57_names_without_a_key),
                cmocka_unit_test(IICPD_04_44_client_takes_its_names_and_only_warns),
                cmocka_unit_test(the_users_file_wins_over_the_one_of_the_machine),
                cmocka_unit_test(folders_follow_the_service_manager),
                cmocka_unit_test(windows_of_a_later_source_replace_earlier_ones),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
