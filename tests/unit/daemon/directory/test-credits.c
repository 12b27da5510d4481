/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "directory/award.h"
#include "directory/credits.h"
#include "util.h"
#include "world.h"

#include <stdio.h>

/* The account at the directory. [01 section 5.9] */

#define TOKEN "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define SUMMARY "/v1/credits/summary"
#define TRANSACTIONS "/v1/credits/transactions"

static struct credits *credits;
static unsigned status, answers;
static char text[4096];

static int setup(void **state) {
        world_setup(state);
        world->node.awards = awards_new(&world->node);
        credits = credits_new(&world->node);
        directory_start(world->node.directory);
        world_accept(TOKEN, "key");
        heartbeat_suspend(world->node.directory);
        answers = status = 0;
        return 0;
}

static int teardown(void **state) {
        credits_free(credits);
        world->node.awards = awards_free(world->node.awards);
        return world_teardown(state);
}

static void done(void *arg, unsigned s, struct iicp_buf *out) {
        (void) arg;
        answers++;
        status = s;
        snprintf(text, sizeof text, "%s", out->p ? out->p : "");
        iicp_buf_free(out);
}

static void ask(void) {
        credits_read(credits, &(struct credits_wish){0}, done, NULL);
}

static void DIR_CRED_01_DIR_CRED_02_DIR_CRED_04_read_with_authorization(void **state) {
        struct fetch *f;

        (void) state;
        ask();
        f = world_call("GET", SUMMARY);
        assert_string_equal(world_header(f, "Authorization"), "Bearer " TOKEN);
        assert_string_equal(world_header(f, "X-Node-Id"), state_identity(world->node.state)->node_id);
        world_answer(f, 200, "{\"node_id\":\"n\",\"balance\":1.5,\"reconciles\":false,\"operator_wallet\":{\"total_balance\":3},"
                             "\"tx_count\":\"seven\",\"new\":{}}");
        f = world_call("GET", TRANSACTIONS);
        assert_string_equal(world_header(f, "Authorization"), "Bearer " TOKEN);
        world_answer(f, 200, "{\"transactions\":[{\"id\":1,\"amount\":0.5,\"type\":\"earn\",\"task_id\":null},7]}");
        assert_int_equal(status, 200);
        assert_non_null(strstr(text, "\"account\":{\"balance\":1.5,\"reconciles\":false,\"operator_wallet\":{\"total_balance\":3}}"));
        assert_non_null(strstr(text, "\"transactions\":[{\"id\":1,\"amount\":0.5,\"type\":\"earn\"}]"));
}

static void DIR_CRED_02_both_paging_forms(void **state) {
        (void) state;
        ask();
        world_answer(world_call("GET", SUMMARY), 200, "{\"balance\":0}");
        world_answer(world_call("GET", TRANSACTIONS), 200,
                     "{\"data\":[{\"id\":9,\"amount\":1}],\"page\":1,\"per_page\":20,\"total\":1}");
        assert_non_null(strstr(text, "\"transactions\":[{\"id\":9,\"amount\":1}]"));
}

static void DIR_CRED_01_401_is_told_and_a_fault_is_asked_once_more(void **state) {
        (void) state;
        ask();
        world_answer(world_call("GET", SUMMARY), 401, "{}");
        assert_int_equal(status, 502);
        assert_non_null(strstr(text, "does not take our token"));
        ask();
        world_answer(world_call("GET", SUMMARY), 503, "{}");
        assert_int_equal(answers, 1);
        world_run(CREDITS_AGAIN_MS);
        world_fail(world_call("GET", SUMMARY), FETCH_TIMEOUT);
        assert_int_equal(answers, 2);
        assert_int_equal(status, 502);
        assert_non_null(strstr(text, "directory_unavailable"));
}

static void DIR_CRED_01_balance_where_there_is_no_summary(void **state) {
        (void) state;
        ask();
        world_answer(world_call("GET", SUMMARY), 404, "{}");
        world_answer(world_call("GET", "/v1/credits/balance"), 200, "{\"balance\":2}");
        world_answer(world_call("GET", TRANSACTIONS), 404, "{}");
        assert_int_equal(status, 200);
        assert_non_null(strstr(text, "\"balance\":2"));
        ask();
        world_answer(world_call("GET", SUMMARY), 404, "{}");
        world_answer(world_call("GET", "/v1/credits/balance"), 404, "{}");
        assert_int_equal(status, 404);
}

static void DIR_CRED_04_a_quote(void **state) {
        (void) state;
        credits_read(credits, &(struct credits_wish){.quote = true, .intent = "urn:iicp:intent:llm:chat:v1", .max_tokens = 7},
                     done, NULL);
        world_answer(world_call("GET", "/v1/credits/quote?intent=urn%3Aiicp%3Aintent%3Allm%3Achat%3Av1&max_tokens=7"), 200,
                     "{\"quote_id\":\"q\",\"estimated_credits\":0.007,\"balance_sufficient\":true,\"x\":1}");
        assert_string_equal(text, "{\"schema\":\"iicp.quote/1\",\"quote\":{\"quote_id\":\"q\",\"estimated_credits\":0.007,"
                                  "\"balance_sufficient\":true}}");
}

static void who_leaves_gets_no_answer(void **state) {
        (void) state;
        ask();
        credits = credits_free(credits);
        assert_int_equal(answers, 0);
}

static void unregistered_asks_nobody(void **state) {
        unsigned calls = world->n_calls;

        (void) state;
        state_identity(world->node.state)->node_token[0] = '\0';
        ask();
        assert_int_equal(status, 409);
        assert_int_equal(world->n_calls, calls);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(DIR_CRED_01_DIR_CRED_02_DIR_CRED_04_read_with_authorization),
                T(DIR_CRED_02_both_paging_forms),
                T(DIR_CRED_01_401_is_told_and_a_fault_is_asked_once_more),
                T(DIR_CRED_01_balance_where_there_is_no_summary),
                T(DIR_CRED_04_a_quote),
                T(who_leaves_gets_no_answer),
                T(unregistered_asks_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
