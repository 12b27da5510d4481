/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <stdio.h>

/* One call to the directory: where it goes, how long, how much, and where a redirect may lead. */

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define SEED "https://dir.example.org/api"
#define LISTED "https://replica.example.org"
#define UNLISTED "https://unlisted.example.org"
#define DIR (world->node.directory)

static struct outcome {
        unsigned n;
        enum fetch_error error;
        int status;
} last;

/* Calls of this test that are open; cancelled at its end. */
static struct directory_call *open_calls[16];

static void on_done(void *arg, const struct fetch_answer *a) {
        *(struct directory_call **) arg = NULL;
        last.n++;
        last.error = a->error;
        last.status = a->status;
}

static int setup(void **state) {
        last = (struct outcome){0};
        memset(open_calls, 0, sizeof open_calls);
        return world_setup(state);
}

static int teardown(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(open_calls); i++)
                directory_call_cancel(open_calls[i]);
        return world_teardown(state);
}

static void start_registered(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
}

static struct directory_call *ask(enum directory_route route, const char *tail) {
        struct directory_call **slot = open_calls;

        while (*slot)
                slot++;
        *slot = directory_call(DIR, &(struct directory_request){.route = route, .tail = tail}, on_done, slot);
        return *slot;
}

static char *list[] = {(char *) LISTED, NULL};

static void IICPD_01_17_times_of_each_route(void **state) {
        static const struct {
                enum directory_route route;
                const char *tail, *method, *path;
                uint64_t timeout_ms;
        } routes[] = {
                {DIRECTORY_ME, NULL, "GET", "/v1/me", 5000},
                {DIRECTORY_NODE, "n", "GET", "/v1/node/n", 5000},
                {DIRECTORY_KEY, NULL, "GET", "/v1/directory-key", 5000},
                {DIRECTORY_AWARD, NULL, "POST", "/v1/credits/award", 10000},
                {DIRECTORY_BALANCE, NULL, "GET", "/v1/credits/balance", 5000},
                {DIRECTORY_DISCOVER, "?intent=x", "GET", "/v1/discover?intent=x", 5000},
                {DIRECTORY_STATS, NULL, "GET", "/v1/stats", 5000},
        };

        (void) state;
        start_registered();
        for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
                struct fetch *f;

                assert_non_null(ask(routes[i].route, routes[i].tail));
                f = world_call(routes[i].method, routes[i].path);
                assert_int_equal(f->connect_ms, 3000);
                assert_int_equal(f->timeout_ms, routes[i].timeout_ms);
                world_fail(f, FETCH_TIMEOUT);
                assert_int_equal(last.error, FETCH_TIMEOUT);
                /* not repeated inline */
                assert_int_equal(world_count(routes[i].method, routes[i].path), 1);
        }
}

static void IICPD_01_08_size_limits(void **state) {
        struct iicp_directory_error e;

        (void) state;
        start_registered();
        ask(DIRECTORY_DISCOVER, "?intent=x");
        assert_int_equal(world_call("GET", "/v1/discover?intent=x")->max_answer, 4 * 1024 * 1024);
        world_fail(world_call("GET", "/v1/discover?intent=x"), FETCH_TOO_LARGE);
        ask(DIRECTORY_STATS, NULL);
        assert_int_equal(world_call("GET", "/v1/stats")->max_answer, 4 * 1024 * 1024);
        world_fail(world_call("GET", "/v1/stats"), FETCH_TOO_LARGE);
        ask(DIRECTORY_ME, NULL);
        assert_int_equal(world_call("GET", "/v1/me")->max_answer, 1024 * 1024);
        world_fail(world_call("GET", "/v1/me"), FETCH_TOO_LARGE);
        directory_answer_error(IICP_DIR_CALL_OTHER, &(struct fetch_answer){.error = FETCH_TOO_LARGE}, &e);
        assert_int_equal(e.cls, IICP_DIR_SERVER_ERROR);
}

static void IICPD_01_06_base_without_path(void **state) {
        (void) state;
        world->config.directory_api_added = true;
        directory_start(DIR);
        world_answer(world_call("POST", "/v1/register"), 404, "<html>no</html>");
        assert_string_equal(world_call("POST", "/v1/register")->url, "https://dir.example.org/v1/register");
        world_accept(TOKEN_A, KEY_A);
        world_run(5000);
        assert_string_equal(world_call("POST", "/v1/heartbeat")->url, "https://dir.example.org/v1/heartbeat");
}

static void IICPD_01_06_only_the_first_answer_counts(void **state) {
        (void) state;
        world->config.directory_api_added = true;
        directory_start(DIR);
        world_answer(world_call("POST", "/v1/register"), 503, "busy");
        world_run(5000);
        world_answer(world_call("POST", "/v1/register"), 404, "<html>no</html>");
        world_run(30000);
        assert_string_equal(world_call("POST", "/v1/register")->url, SEED "/v1/register");
}

static void IICPD_01_06_a_configured_path_stays(void **state) {
        (void) state;
        directory_start(DIR);
        world_answer(world_call("POST", "/v1/register"), 404, "<html>no</html>");
        world_run(30000);
        assert_string_equal(world_call("POST", "/v1/register")->url, SEED "/v1/register");
}

static void DIR_FED_05_same_method_and_body(void **state) {
        struct fetch *first, *second;

        (void) state;
        directory_start(DIR);
        first = world_call("POST", "/v1/register");
        world_redirect(first, 307, "https://dir.example.org/other/register?x=1", NULL);
        second = world_call("POST", "/other/register?x=1");
        assert_string_equal(second->body, first->body);
        assert_string_equal(second->url, "https://dir.example.org/other/register?x=1");
        world_answer(second, 201, "{\"node_token\":\"" TOKEN_A "\",\"node_hmac_key\":\"k\"}");
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
}

static void DIR_FED_06_the_fourth_is_a_failure(void **state) {
        (void) state;
        start_registered();
        ask(DIRECTORY_ME, NULL);
        for (unsigned i = 0; i < 4; i++)
                world_redirect(world_call("GET", "/v1/me"), 307, SEED "/v1/me", NULL);
        assert_int_equal(last.n, 1);
        assert_int_equal(last.status, 307);
        assert_int_equal(world_count("GET", "/v1/me"), 4);
}

static void IICPD_01_24_other_redirects_fail(void **state) {
        (void) state;
        directory_start(DIR);
        world_redirect(world_call("POST", "/v1/register"), 308, SEED "/v1/register", NULL);
        assert_int_equal(world_count("POST", "/v1/register"), 1);
        assert_non_null(strstr(directory_why(DIR), "points elsewhere"));
}

static void IICPD_01_25_nothing_goes_to_an_unlisted_origin(void **state) {
        (void) state;
        world->config.directory_redirect_origins = list;
        start_registered();
        world_run(5000);
        world_redirect(world_call("POST", "/v1/heartbeat"), 307, UNLISTED "/api/v1/heartbeat", "0");
        assert_int_equal(world_count("POST", UNLISTED), 0);
        assert_int_equal(DIR->beat.failed_total, 1);
        assert_non_null(strstr(DIR->redirect_refused, UNLISTED));
}

static void IICPD_05_39_DIR_FED_18_a_listed_origin_gets_token_and_body(void **state) {
        struct fetch *f;

        (void) state;
        world->config.directory_redirect_origins = list;
        start_registered();
        world_run(5000);
        f = world_call("POST", "/v1/heartbeat");
        world_redirect(f, 307, LISTED "/api/v1/heartbeat", "0");
        assert_string_equal(world_call("POST", "/v1/heartbeat")->url, LISTED "/api/v1/heartbeat");
        assert_string_equal(world_header(world_call("POST", "/v1/heartbeat"), "Authorization"), "Bearer " TOKEN_A);
        assert_string_equal(world_call("POST", "/v1/heartbeat")->body, f->body);
        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"ok\":true}");
        /* the next write asks the directory itself */
        world_run(60000);
        assert_string_equal(world_call("POST", "/v1/heartbeat")->url, SEED "/v1/heartbeat");
}

static void IICPD_01_26_a_read_asks_the_seed_again(void **state) {
        (void) state;
        start_registered();
        ask(DIRECTORY_STATS, NULL);
        world_redirect(world_call("GET", "/v1/stats"), 307, UNLISTED "/api/v1/stats", "3");
        assert_int_equal(world_count("GET", "/v1/stats"), 1);
        world_run(2999);
        assert_int_equal(world_count("GET", "/v1/stats"), 1);
        world_run(1);
        assert_string_equal(world_call("GET", "/v1/stats")->url, SEED "/v1/stats");
        world_redirect(world_call("GET", "/v1/stats"), 307, UNLISTED "/api/v1/stats", NULL);
        world_run(1000);
        world_redirect(world_call("GET", "/v1/stats"), 307, UNLISTED "/api/v1/stats", "1");
        assert_int_equal(last.n, 1);
        assert_int_equal(last.status, 307);
        assert_int_equal(world_count("GET", UNLISTED), 0);
}

static void IICPD_01_26_reads_stay_elsewhere_as_long_as_told(void **state) {
        (void) state;
        world->config.directory_redirect_origins = list;
        start_registered();
        ask(DIRECTORY_STATS, NULL);
        world_redirect(world_call("GET", "/v1/stats"), 307, LISTED "/copy/v1/stats", "4");
        world_answer(world_call("GET", "/v1/stats"), 200, "{}");
        ask(DIRECTORY_DISCOVER, "?intent=x");
        assert_string_equal(world_call("GET", "/v1/discover?intent=x")->url, LISTED "/copy/v1/discover?intent=x");
        world_answer(world_call("GET", "/v1/discover?intent=x"), 200, "{}");
        /* a call with a token asks the directory itself */
        ask(DIRECTORY_ME, NULL);
        assert_string_equal(world_call("GET", "/v1/me")->url, SEED "/v1/me");
        world_answer(world_call("GET", "/v1/me"), 200, "{}");
        world_run(4000);
        ask(DIRECTORY_STATS, NULL);
        assert_string_equal(world_call("GET", "/v1/stats")->url, SEED "/v1/stats");
}

static void DIR_FED_08_a_lagging_copy_leads_back(void **state) {
        (void) state;
        world->config.directory_redirect_origins = list;
        start_registered();
        ask(DIRECTORY_STATS, NULL);
        world_redirect(world_call("GET", "/v1/stats"), 307, LISTED "/api/v1/stats", "60");
        world_redirect(world_call("GET", "/v1/stats"), 503, "", "30");
        assert_string_equal(world_call("GET", "/v1/stats")->url, SEED "/v1/stats");
        world_answer(world_call("GET", "/v1/stats"), 200, "{}");
        assert_int_equal(last.status, 200);
        ask(DIRECTORY_STATS, NULL);
        assert_string_equal(world_call("GET", "/v1/stats")->url, SEED "/v1/stats");
}

static void IICPD_05_39_the_key_comes_from_no_other_origin(void **state) {
        (void) state;
        world->config.directory_redirect_origins = list;
        start_registered();
        ask(DIRECTORY_KEY, NULL);
        world_redirect(world_call("GET", "/v1/directory-key"), 307, LISTED "/api/v1/directory-key", "1");
        assert_int_equal(world_count("GET", LISTED), 0);
        assert_int_equal(last.status, 307);
}

static void IICPD_01_56_a_401_for_an_older_token_is_ignored(void **state) {
        struct fetch *old;

        (void) state;
        start_registered();
        ask(DIRECTORY_ME, NULL);
        old = world_call("GET", "/v1/me");
        world_run(10000);
        directory_reregister(DIR, NULL, NULL);
        world_accept(TOKEN_B, KEY_A);
        world_answer(old, 401, "{\"error\":{\"code\":\"unauthorized\"}}");
        assert_int_equal(last.error, FETCH_RESET);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        ask(DIRECTORY_ME, NULL);
        assert_string_equal(world_header(world_call("GET", "/v1/me"), "Authorization"), "Bearer " TOKEN_B);
        world_answer(world_call("GET", "/v1/me"), 401, "{\"error\":{\"code\":\"unauthorized\"}}");
        assert_int_equal(last.status, 401);
}

static void IICPD_01_16_the_breaker_opens_for_half_a_minute(void **state) {
        (void) state;
        start_registered();
        for (unsigned i = 0; i < 5; i++) {
                assert_false(directory_breaker_open(DIR));
                world_run(30000);
                world_answer(world_call("POST", "/v1/heartbeat"), 502, "");
        }
        assert_true(directory_breaker_open(DIR));
        assert_null(ask(DIRECTORY_STATS, NULL));
        /* the heartbeat keeps its pace and is the probe */
        world_run(29999);
        assert_non_null(world_call("POST", "/v1/heartbeat"));
        world_answer(world_call("POST", "/v1/heartbeat"), 502, "");
        assert_true(directory_breaker_open(DIR));
        world_run(30000);
        world_answer(world_call("POST", "/v1/heartbeat"), 200, "{\"ok\":true}");
        assert_false(directory_breaker_open(DIR));
        assert_non_null(ask(DIRECTORY_STATS, NULL));
}

static void IICPD_01_16_no_fast_repetition_while_open(void **state) {
        (void) state;
        start_registered();
        for (unsigned i = 0; i < 5; i++) {
                world_run(30000);
                world_answer(world_call("POST", "/v1/heartbeat"), 503, "");
        }
        world_run(30000);
        world_fail(world_call("POST", "/v1/heartbeat"), FETCH_TIMEOUT);
        world_run(1000);
        assert_true(world_idle());
}

static void IICPD_01_22_order_of_the_retry_delays(void **state) {
        static const struct {
                const char *header, *body;
                int64_t ms;
        } cases[] = {
                {"3", "{\"retry_after\":4}", 3000},
                {"", "{\"error\":\"IICP-E034\",\"retry_after\":4,\"retry_after_seconds\":5}", 4000},
                {"", "{\"error\":{\"code\":\"x\",\"retry_after_seconds\":5,\"retry_after_hours\":1}}", 5000},
                {"", "{\"reason\":\"x\",\"retry_after_hours\":2}", 7200000},
                {"", "{\"retry_after\":\"4\"}", -1},
                {"", "<html>", -1},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct iicp_directory_error e;

                directory_answer_error(IICP_DIR_CALL_OTHER,
                                       &(struct fetch_answer){.error = FETCH_OK,
                                                              .status = 429,
                                                              .body = iicp_str(cases[i].body),
                                                              .retry_after = iicp_str(cases[i].header)},
                                       &e);
                assert_int_equal(e.retry_after_ms, cases[i].ms);
        }
}

static void IICPD_01_92_no_membership_headers(void **state) {
        (void) state;
        start_registered();
        ask(DIRECTORY_ME, NULL);
        ask(DIRECTORY_DISCOVER, "?intent=x");
        world_run(5000);
        for (unsigned i = 0; i < world->n_calls; i++) {
                assert_null(world_header(&world->calls[i], "X-IICP-Membership"));
                assert_null(world_header(&world->calls[i], "X-IICP-Subject-Id"));
        }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void unasked(void *arg, const struct fetch_answer *a) {
        (void) arg;
        (void) a;
        fail();
}

static void DIR_PROBE_01_DIR_PROBE_02_nobody_is_asked_for_what_is_ours_alone(void **state) {
        static const char *const hosts[] = {"127.0.0.1", "127.8.8.8", "::1", "localhost", "10.0.0.1", "172.16.0.1", "192.168.1.1",
                                            "100.64.0.1", "169.254.1.1", "fe80::1", "fc00::1", "nas", "box.local", "box.lan",
                                            "::ffff:192.168.1.1", "0.0.0.0"};
        struct directory_call *c;

        (void) state;
        for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
                assert_null(directory_probe(world->node.directory, hosts[i], 9484, unasked, NULL));
        assert_int_equal(world_count("GET", "/v1/probe"), 0);
        c = directory_probe(world->node.directory, "2600:1f18::1", 9484, unasked, NULL);
        assert_non_null(c);
        assert_int_equal(world_count("GET", "/v1/probe?host=2600%3A1f18%3A%3A1&port=9484"), 1);
        directory_probe_cancel(c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                T(DIR_PROBE_01_DIR_PROBE_02_nobody_is_asked_for_what_is_ours_alone),
                T(IICPD_01_17_times_of_each_route),
                T(IICPD_01_08_size_limits),
                T(IICPD_01_06_base_without_path),
                T(IICPD_01_06_only_the_first_answer_counts),
                T(IICPD_01_06_a_configured_path_stays),
                T(DIR_FED_05_same_method_and_body),
                T(DIR_FED_06_the_fourth_is_a_failure),
                T(IICPD_01_24_other_redirects_fail),
                T(IICPD_01_25_nothing_goes_to_an_unlisted_origin),
                T(IICPD_05_39_DIR_FED_18_a_listed_origin_gets_token_and_body),
                T(IICPD_01_26_a_read_asks_the_seed_again),
                T(IICPD_01_26_reads_stay_elsewhere_as_long_as_told),
                T(DIR_FED_08_a_lagging_copy_leads_back),
                T(IICPD_05_39_the_key_comes_from_no_other_origin),
                T(IICPD_01_56_a_401_for_an_older_token_is_ignored),
                T(IICPD_01_16_the_breaker_opens_for_half_a_minute),
                T(IICPD_01_16_no_fast_repetition_while_open),
                T(IICPD_01_22_order_of_the_retry_delays),
                T(IICPD_01_92_no_membership_headers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
