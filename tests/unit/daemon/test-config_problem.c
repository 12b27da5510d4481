/* SPDX-License-Identifier: Apache-2.0 */
#include "config-help.h"

#include "config_table.h"

static void OX_10_place_excerpt_and_guess(void **state) {
        struct loaded l = load("[limits]\nmax_concurent = 4\n[backend gpu]\nurl      = htp://localhost:11434\n"
                               "[backends]\nx = 1\n[log]\ndrain = 3\nlevel = inof\n");
        char text[4096];

        (void) state;
        assert_null(l.c);
        problems_text(&l, text, sizeof text);
        assert_string_equal(text,
                "iicp.conf:2:1: error: unknown key 'max_concurent' in [limits]\n"
                "   2 | max_concurent = 4\n"
                "     | ^~~~~~~~~~~~~ did you mean 'max_concurrent'? (1-65536, default 4)\n"
                "iicp.conf:4:12: error: 'htp' is no scheme for a backend\n"
                "   4 | url      = htp://localhost:11434\n"
                "     |            ^~~ did you mean 'http'?\n"
                "iicp.conf:5:1: error: unknown section [backends]; did you mean [backend NAME]?\n"
                "iicp.conf:8:1: error: unknown key 'drain' in [log]\n"
                "   8 | drain = 3\n"
                "     | ^~~~~ known in [limits]\n"
                "iicp.conf:9:9: error: 'inof' is no value of level (debug/info/notice/warn/err)\n"
                "   9 | level = inof\n"
                "     |         ^~~~ did you mean 'info'?\n");
        unload(&l);
}

static void OX_10_all_problems_in_one_run_in_file_order(void **state) {
        struct loaded l = load("[encryption]\nrequire = yes\nenabled = no\n[limits]\ndrain = 90\nmax_concurrent = 0\n"
                               "max_concurrent = 3\n[directory]\nurl = http://dir.example.org\n");

        (void) state;
        assert_null(l.c);
        assert_int_equal(l.p.n_errors, 5);
        for (size_t i = 1; i < l.p.n; i++)
                assert_true(l.p.v[i - 1].line <= l.p.v[i].line);
        assert_int_equal(l.p.v[0].line, 2); /* a rule between two keys */
        assert_non_null(problem_with(&l, "stands twice in [limits]; first in line 6"));
        assert_non_null(problem_with(&l, "directory.allow_http"));
        unload(&l);
}

static void OX_10_known_but_not_built(void **state) {
        struct loaded l = load("[directory]\nticket_issuers = x\n[network]\nproxy_password = file:x\n");

        (void) state;
        assert_null(l.c);
        assert_int_equal(l.p.n_errors, 2);
        assert_non_null(problem_with(&l, "directory.ticket_issuers is known, but this build does not have it yet"));
        assert_non_null(problem_with(&l, "network.proxy_password is known"));
        unload(&l);
}

static void OX_10_no_key_of_the_table_is_called_not_built(void **state) {
        (void) state;
        for (const char *const *p = config_not_built; *p; p++) {
                char section[32];
                const char *dot = strchr(*p, '.');

                snprintf(section, sizeof section, "%.*s", (int) (dot - *p), *p);
                assert_null(key_find(section, dot + 1));
        }
}

static void OX_10_values_out_of_range(void **state) {
        static const char *const bad[] = {
                "[listen]\nport = 0\n", "[listen]\nport = 65536\n", "[listen]\nport = 94a\n", "[listen]\nport = -1\n",
                "[listen]\nport = 99999999999999999999999\n", "[limits]\nqueue_wait = 2001ms\n", "[limits]\ndrain = 11min\n",
                "[limits]\ndrain = 1.5s\n", "[limits]\ndrain = 3 weeks\n", "[limits]\ndefault_timeout = 0\n",
                "[limits]\ndrain = 99999999999999999999d\n", "[log]\ntasks = true\n", "[log]\nlevel =debugg\n",
                "[node]\nname = Upper\n", "[node]\nregion = 1x\n", "[node]\nid = with space\n",
                "[node]\nid = 1234567890123456789012345678901234567\n", "[node]\nstate_dir = relative\n",
                "[node]\npublic_endpoint = ftp://x\n", "[node]\npublic_endpoint = https://u:p@x.example.org\n",
                "[directory]\nurl = https://\n", "[directory]\nurl = https://x?y=1\n", "[directory]\nlocal_discovery = yes\n",
                "[directory]\nredirect_origins = https://a.example.org/path\n", "[listen]\naddress = localhost\n",
                "[listen]\ntrusted_proxies = 10.0.0.0/33\n", "[listen]\nmax_connections = 3\n",
                "[availability]\nwindow = 24:00-07:00 10%\n", "[availability]\nwindow = 07:00-08:00\n",
                "[availability]\nwindow = 07:00-08:00 101%\n", "[availability]\nwindow = 7:00-8:00 10%\n",
                "[intents]\ndefault = chat\n", "[backend]\n", "[backend a b]\n", "[limits x]\n", "[limits\n", "[limits] x\n",
                "key = 1\n", "[limits]\nnoequals\n", "[limits]\n; x\n", "[limits]\ndrain: 30s\n", "[limits]\n= 3\n",
                "[backend a]\ntls_min = 1.1\n",
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct loaded l = load(bad[i]);

                if (l.c || l.p.n_errors == 0)
                        fail_msg("accepted: %s", bad[i]);
                unload(&l);
        }
}

static void IICPD_05_30_a_literal_secret_is_an_error_and_not_shown(void **state) {
        struct loaded l = load("[backend gpu]\napi_key = sk-verysecret\napi_kye = sk-verysecret\n[auth]\ncaller_tokens=sk-verysecret\n");
        struct iicp_buf json = {0};
        char text[4096];

        (void) state;
        assert_null(l.c);
        assert_int_equal(l.p.n_errors, 3);
        problems_text(&l, text, sizeof text);
        config_problems_json(&l.p, &json);
        assert_null(strstr(text, "verysecret"));
        assert_null(strstr(iicp_buf_str(&json).p, "verysecret"));
        assert_non_null(strstr(text, "   2 | api_key = ********\n     |           ^ put it in a file of mode 0600 and write"));
        iicp_buf_free(&json);
        unload(&l);
}

static void OX_10_region_is_kept_with_a_warning(void **state) {
        struct loaded l = load("[node]\nregion = eucentral\n");

        (void) state;
        assert_non_null(l.c);
        assert_int_equal(l.p.n_warnings, 1);
        assert_non_null(problem_with(&l, "region 'eucentral' is new to us; usual: eu-central. Kept as written"));
        unload(&l);
}

static void lines_that_are_no_text(void **state) {
        char text[8192] = "[limits]\ndrain = ";
        size_t n = strlen(text);
        struct config_source source = {.path = "x"};
        struct loaded l = {0};

        (void) state;
        memset(text + n, 'a', 5000);
        source.text = (struct iicp_str){text, n + 5000};
        l.c = config_load(&source, &l.p);
        assert_null(l.c);
        assert_non_null(problem_with(&l, "too long"));
        unload(&l);
        l = (struct loaded){0};
        source.text = IICP_STR("[limits]\ndrain = 3\0s\n\x1b[31m = 1\n");
        l.c = config_load(&source, &l.p);
        assert_null(l.c);
        assert_non_null(problem_with(&l, "no text"));
        for (size_t i = 0; i < l.p.n; i++)
                assert_null(strchr(l.p.v[i].text, '\x1b'));
        unload(&l);
}

static void many_problems_are_counted_but_bounded(void **state) {
        char text[8192] = "[limits]\n";
        struct loaded l;

        (void) state;
        for (int i = 0; i < 500; i++)
                strcat(text, "nothing = 1\n");
        l = load(text);
        assert_int_equal(l.p.n_errors, 500);
        assert_int_equal(l.p.n, CONFIG_PROBLEMS_MAX);
        unload(&l);
}

static void distance_of_words(void **state) {
        (void) state;
        assert_int_equal(edit_distance("drain", "drain", 2), 0);
        assert_int_equal(edit_distance("darin", "drain", 2), 1);
        assert_int_equal(edit_distance("drian", "drain", 2), 1);
        assert_int_equal(edit_distance("drains", "drain", 2), 1);
        assert_int_equal(edit_distance("dra", "drain", 2), 2);
        assert_int_equal(edit_distance("", "drain", 2), 3);
        assert_int_equal(edit_distance("abcdef", "drain", 2), 3);
}

static void IICPD_04_33_managed_names_the_missing_approval(void **state) {
        static const struct {
                const char *text, *says; /* NULL = fine */
        } cases[] = {
                {"[operator]\nprofile = managed\n", "operator.approve_mapping"},
                {"[operator]\nprofile = managed\napprove_mapping = yes\n", NULL},
                {"[operator]\nprofile = managed\n[nat]\nmap = no\n", NULL},
                {"[operator]\nprofile = managed\n[nat]\nauto = no\n", NULL},
                {"[operator]\nprofile = managed\napprove_mapping = yes\n[nat]\ntunnel_url = https://a.example.net\n",
                 "operator.approve_tunnel"},
                {"[operator]\nprofile = managed\napprove_mapping = yes\napprove_tunnel = yes\n[nat]\ntunnel_url = https://a.example.net\n",
                 NULL},
                {"[operator]\nprofile = convenience\n", NULL},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct loaded l = load(cases[i].text);

                if (!cases[i].says != (l.c != NULL) || (cases[i].says && !problem_with(&l, cases[i].says)))
                        fail_msg("case %zu: %s", i, l.c ? "accepted" : l.p.n ? l.p.v[0].text : "refused");
                unload(&l);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(OX_10_place_excerpt_and_guess),
                cmocka_unit_test(OX_10_all_problems_in_one_run_in_file_order),
                cmocka_unit_test(OX_10_known_but_not_built),
                cmocka_unit_test(OX_10_no_key_of_the_table_is_called_not_built),
                cmocka_unit_test(OX_10_values_out_of_range),
                cmocka_unit_test(IICPD_05_30_a_literal_secret_is_an_error_and_not_shown),
                cmocka_unit_test(OX_10_region_is_kept_with_a_warning),
                cmocka_unit_test(lines_that_are_no_text),
                cmocka_unit_test(many_problems_are_counted_but_bounded),
                cmocka_unit_test(distance_of_words),
                cmocka_unit_test(IICPD_04_33_managed_names_the_missing_approval),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
