/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "directory/award_internal.h"
#include "util.h"
#include "world.h"

#include <iicp/hmac.h>
#include <iicp/time.h>
#include <stdio.h>

/* Receipts for tasks. [01 section 5.8] */

#define A (world->node.awards)
#define DIR (world->node.directory)
#define TOKEN "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define KEY "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define AWARD "/v1/credits/award"
#define RESULT "{\"content\":\"hello\"}"

static int setup(void **state) {
        world_setup(state);
        world->config.credits_award = true;
        A = awards_new(&world->node);
        assert_non_null(A);
        awards_start(A);
        return 0;
}

static int teardown(void **state) {
        A = awards_free(A);
        return world_teardown(state);
}

static void registered(void) {
        directory_start(DIR);
        world_accept(TOKEN, KEY);
        awards_registered(A);
        heartbeat_suspend(DIR); /* nothing else is in flight */
}

static struct award_task task(const char *id, int64_t tokens) {
        return (struct award_task){.task_id = iicp_str(id), .result = IICP_STR(RESULT), .tokens = tokens, .max_credits = -1};
}

static void earn(const char *id, int64_t tokens) {
        struct award_task t = task(id, tokens);

        award_earned(award_claim(A, &t));
}

static unsigned posts(void) {
        unsigned n = 0;

        for (unsigned i = 0; i < world->n_calls; i++)
                n += strstr(world->calls[i].url, AWARD) != NULL;
        return n;
}

static const char *text(json_object *o, const char *name) {
        json_object *v;

        return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;
}

static void answer(int status, const char *body) {
        world_answer(world_call("POST", AWARD), status, body);
}

static void nonce_of(char out[33]) {
        json_object *o = world_body(world_call("POST", AWARD));

        snprintf(out, 33, "%s", text(o, "nonce"));
        json_object_put(o);
}

static void CIP_CR1_RUST_IICPD_01_83_body_and_headers(void **state) {
        char want[65], canonical[256];
        struct award_task t;
        json_object *o;

        (void) state;
        registered();
        t = task("task-1", 512);
        t.source_node_id = IICP_STR("b30aee67-5a4c-4b7f-8d10-1f2e3d4c5b6a");
        award_earned(award_claim(A, &t));
        o = world_body(world_call("POST", AWARD));
        assert_string_equal(world_header(world_call("POST", AWARD), "Authorization"), "Bearer " TOKEN);
        assert_string_equal(world_header(world_call("POST", AWARD), "X-Node-Id"), state_identity(world->node.state)->node_id);
        assert_string_equal(text(o, "node_id"), state_identity(world->node.state)->node_id);
        assert_string_equal(text(o, "amount"), "0.512");
        assert_string_equal(text(o, "reason"), "task_completion");
        assert_int_equal(iicp_time_parse(text(o, "expires_at")), clock_wall_s(world->node.clock) + 300);
        assert_null(text(o, "cip_parent_task_id"));
        snprintf(canonical, sizeof canonical, "task-1:512:::%s:%s:%s", text(o, "nonce"), text(o, "response_hash"),
                 text(o, "querying_node_id"));
        iicp_hmac_sha256_hex(IICP_STR(KEY), iicp_str(canonical), want);
        assert_string_equal(text(o, "signature"), want);
        json_object_put(o);
        answer(200, "{\"awarded\":0.512,\"balance\":7.25}");
        assert_int_equal(A->posted, 1);
        assert_string_equal(A->balance, "7.25");
}

static void IICPD_01_83_only_direct_tasks_with_tokens(void **state) {
        struct award_task t = task("t", 10);

        (void) state;
        registered();
        t.sub_task = true;
        assert_null(award_claim(A, &t));
        t = task("t", 0);
        assert_null(award_claim(A, &t));
        t.tokens = -1;
        assert_null(award_claim(A, &t));
        world->config.credits_award = false;
        t.tokens = 1;
        assert_null(award_claim(A, &t));
        assert_int_equal(posts(), 0);
}

static void DIR_CRED_03_never_without_token(void **state) {
        struct award_task t = task("t", 10);

        (void) state;
        assert_null(award_claim(A, &t)); /* never registered: nothing to sign with */
        registered();
        DIR->registered = false;         /* the token was refused since */
        earn("t", 10);
        assert_int_equal(posts(), 0);
        assert_int_equal(A->waiting, 1);
        DIR->registered = true;
        awards_registered(A);
        assert_int_equal(posts(), 1);
}

static void IICPD_01_83_nothing_happens_before_the_answer_and_one_at_a_time(void **state) {
        struct award_claim *c;
        struct award_task t = task("t", 10);

        (void) state;
        registered();
        c = award_claim(A, &t);
        assert_non_null(c);
        assert_int_equal(posts(), 0);
        award_claim_free(c); /* the task failed after all */
        assert_int_equal(A->waiting, 0);
        earn("a", 1);
        earn("b", 1);
        assert_int_equal(posts(), 1);
        answer(201, "{}");
        assert_int_equal(posts(), 2);
}

static void IICPD_01_83_queue_of_256(void **state) {
        char id[16];

        (void) state;
        registered();
        DIR->registered = false;
        for (int i = 0; i < 256; i++) {
                snprintf(id, sizeof id, "t%d", i);
                earn(id, 1);
        }
        assert_int_equal(A->waiting, 256);
        assert_int_equal(A->dropped, 0);
        earn("one too many", 1);
        assert_int_equal(A->waiting, 256);
        assert_int_equal(A->dropped, 1);
}

static void IICPD_01_83_hashing_counts_and_runs_elsewhere(void **state) {
        (void) state;
        registered();
        world->hold_saves = true;
        earn("a", 1);
        assert_int_equal(A->hashing, 1);
        assert_int_equal(posts(), 0);
        world_saved();
        assert_int_equal(A->hashing, 0);
        assert_int_equal(posts(), 1);
        world->hold_saves = false;
}

static void IICPD_01_83_survives_a_restart_with_its_nonce(void **state) {
        char before[33], after[33];
        json_object *o;

        (void) state;
        registered();
        DIR->registered = false;
        earn("kept", 3);
        memcpy(before, STAILQ_FIRST(&A->queue)->nonce, 33);
        world_run(AWARD_SAVE_MS);
        A->dirty = false; /* killed: nothing is written at the end */
        awards_free(A);
        A = awards_new(&world->node);
        awards_start(A);
        assert_int_equal(A->waiting, 1);
        DIR->registered = true;
        awards_registered(A);
        nonce_of(after);
        assert_string_equal(before, after);
        o = world_body(world_call("POST", AWARD));
        assert_string_equal(text(o, "task_id"), "kept");
        json_object_put(o);
}

static void another_directory_gets_none_of_them(void **state) {
        (void) state;
        registered();
        DIR->registered = false;
        earn("kept", 3);
        awards_free(A);
        world->config.directory_url = (char *) "https://other.example.org/api";
        A = awards_new(&world->node);
        awards_start(A);
        assert_int_equal(A->waiting, 0);
}

static void no_result_reaches_the_disk(void **state) {
        char path[128], bytes[4096];
        FILE *f;
        size_t n;

        (void) state;
        registered();
        DIR->registered = false;
        earn("kept", 3);
        award_save_now(A);
        snprintf(path, sizeof path, "%s/%s", world->dir, AWARD_FILE);
        f = fopen(path, "r");
        assert_non_null(f);
        n = fread(bytes, 1, sizeof bytes - 1, f);
        bytes[n] = '\0';
        fclose(f);
        assert_non_null(strstr(bytes, "kept"));
        assert_null(strstr(bytes, "hello"));
}

static void IICPD_01_85_refusals_are_dropped(void **state) {
        static const struct {
                int status;
                const char *body;
        } cases[] = {
                {422, "{\"error\":{\"code\":\"IICP-E027\",\"message\":\"signature invalid\"}}"},
                {422, "{\"error\":{\"code\":\"validation_error\"}}"},
                {403, "{}"},
                {409, "{\"error\":{\"code\":\"nonce_replay\"}}"}, /* of a first try */
        };

        (void) state;
        registered();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                earn("t", 1);
                answer(cases[i].status, cases[i].body);
                assert_int_equal(A->waiting, 0);
                assert_int_equal(A->refused, i + 1);
        }
        assert_int_equal(posts(), ARRAY_SIZE(cases));
}

static void IICPD_01_85_a_replay_of_our_own_repetition_is_a_success(void **state) {
        static const struct {
                int status;
                const char *body;
        } cases[] = {
                {409, "{\"error\":{\"code\":\"nonce_replay\"}}"},
                {422, "{\"error\":{\"code\":\"IICP-E027\",\"message\":\"nonce already used (replay rejected)\"}}"},
        };
        char before[33], after[33];

        (void) state;
        registered();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                earn("t", 1);
                nonce_of(before);
                world_fail(world_call("POST", AWARD), FETCH_TIMEOUT);
                world_run(AWARD_AGAIN_MS);
                nonce_of(after);
                assert_string_equal(before, after);
                answer(cases[i].status, cases[i].body);
                assert_int_equal(A->posted, i + 1);
        }
}

static void IICPD_01_17_IICPD_01_85_at_most_two_more_with_the_same_nonce(void **state) {
        (void) state;
        registered();
        earn("t", 1);
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(posts(), i);
                if (i == 2)
                        answer(503, "{}");
                else
                        world_fail(world_call("POST", AWARD), FETCH_TIMEOUT);
                world_run(AWARD_AGAIN_MS);
        }
        assert_int_equal(posts(), 3);
        assert_int_equal(A->waiting, 0);
        assert_int_equal(A->dropped, 1);
}

static void what_never_left_is_no_try(void **state) {
        (void) state;
        registered();
        earn("t", 1);
        for (unsigned i = 1; i <= 10; i++) {
                assert_int_equal(posts(), i);
                world_fail(world_call("POST", AWARD), FETCH_UNREACHABLE);
                world_run(AWARD_HOLD_MS);
        }
        assert_int_equal(A->waiting, 1);
        answer(200, "{}");
        assert_int_equal(A->posted, 1);
}

static void IICPD_01_85_an_unknown_asker_is_left_out_once(void **state) {
        struct award_task t;
        char before[33], after[33];
        json_object *o;

        (void) state;
        registered();
        t = task("t", 1);
        t.source_node_id = IICP_STR("somebody");
        award_earned(award_claim(A, &t));
        nonce_of(before);
        answer(422, "{\"error\":{\"code\":\"IICP-E027\",\"message\":\"unknown querying node\"}}");
        nonce_of(after);
        assert_string_not_equal(before, after);
        o = world_body(world_call("POST", AWARD));
        assert_null(text(o, "querying_node_id"));
        json_object_put(o);
        answer(422, "{\"error\":{\"code\":\"IICP-E027\",\"message\":\"signature\"}}");
        assert_int_equal(A->waiting, 0);
        /* and a name that is no node id is never sent */
        t.source_node_id = IICP_STR("a:b c");
        award_earned(award_claim(A, &t));
        o = world_body(world_call("POST", AWARD));
        assert_null(text(o, "querying_node_id"));
        json_object_put(o);
}

static void IICPD_01_85_no_credits_stops_until_the_next_registration(void **state) {
        static const int statuses[] = {404, 405, 501};
        struct award_task t = task("t", 1);

        (void) state;
        registered();
        for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
                earn("t", 1);
                answer(statuses[i], "{}");
                assert_true(A->stopped);
                assert_null(award_claim(A, &t));
                world_run(3600000 / 8);
                assert_int_equal(posts(), i + 1);
                awards_registered(A);
        }
        earn("t", 1);
        assert_int_equal(posts(), ARRAY_SIZE(statuses) + 1);
}

static void a_refused_token_waits_for_the_next_registration(void **state) {
        (void) state;
        registered();
        earn("t", 1);
        answer(401, "{}");
        world_run(4 * AWARD_HOLD_MS);
        assert_int_equal(posts(), 1);
        DIR->registered = true; /* the others noticed the silence meanwhile */
        awards_registered(A);
        assert_int_equal(posts(), 2);
}

static void IICPD_02_36_never_more_than_the_caller_allows(void **state) {
        static const struct {
                double max;
                const char *amount; /* NULL: no award */
        } cases[] = {
                {-1, "0.512"}, {1, "0.512"}, {0.512, "0.512"}, {0.5119, "0.5119"}, {0.3, "0.3"}, {0.0001, "0.0001"},
                {0.00009, NULL}, {0, NULL},
        };

        (void) state;
        registered();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct award_task t = task("t", 512);
                struct award_claim *c;
                json_object *o;

                t.max_credits = cases[i].max;
                c = award_claim(A, &t);
                assert_int_equal(c != NULL, cases[i].amount != NULL);
                if (!c)
                        continue;
                award_earned(c);
                o = world_body(world_call("POST", AWARD));
                assert_string_equal(text(o, "amount"), cases[i].amount);
                json_object_put(o);
                answer(200, "{}");
        }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(CIP_CR1_RUST_IICPD_01_83_body_and_headers),
                T(IICPD_01_83_only_direct_tasks_with_tokens),
                T(DIR_CRED_03_never_without_token),
                T(IICPD_01_83_nothing_happens_before_the_answer_and_one_at_a_time),
                T(IICPD_01_83_queue_of_256),
                T(IICPD_01_83_hashing_counts_and_runs_elsewhere),
                T(IICPD_01_83_survives_a_restart_with_its_nonce),
                T(another_directory_gets_none_of_them),
                T(no_result_reaches_the_disk),
                T(IICPD_01_85_refusals_are_dropped),
                T(IICPD_01_85_a_replay_of_our_own_repetition_is_a_success),
                T(IICPD_01_17_IICPD_01_85_at_most_two_more_with_the_same_nonce),
                T(what_never_left_is_no_try),
                T(IICPD_01_85_an_unknown_asker_is_left_out_once),
                T(IICPD_01_85_no_credits_stops_until_the_next_registration),
                T(a_refused_token_waits_for_the_next_registration),
                T(IICPD_02_36_never_more_than_the_caller_allows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
