/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <malloc.h>
#include <stdio.h>
#include <time.h>

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define GOOD "{\"ok\":true,\"next_heartbeat_ms\":30000}"
#define DIR (world->node.directory)

static void start(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
}

static struct fetch *next(void) {
        world_run(60000);
        return world_call("POST", "/v1/heartbeat");
}

static bool open_call(const char *path) {
        for (unsigned i = 0; i < world->n_calls; i++)
                if (!world->calls[i].over && strstr(world->calls[i].url, path))
                        return true;
        return false;
}

/* The next beat at the very moment it is sent. */
static struct fetch *soon(void) {
        while (!open_call("/v1/heartbeat"))
                world_run(100);
        return world_call("POST", "/v1/heartbeat");
}

static void answer_retry(struct fetch *f, int status, const char *retry_after) {
        f->over = true;
        f->done(f->arg, &(struct fetch_answer){.error = FETCH_OK, .status = status, .body = iicp_str("{}"),
                                               .retry_after = iicp_str(retry_after)});
}

/* ---- reactions ---- */

static void IICPD_01_76_three_403_register_again(void **state) {
        (void) state;
        start();
        for (unsigned i = 0; i < 2; i++)
                world_answer(next(), 403, "{}");
        world_answer(next(), 200, GOOD); /* in a row, or not at all */
        for (unsigned i = 0; i < 2; i++) {
                world_answer(next(), 403, "{}");
                assert_false(open_call("/v1/register"));
        }
        world_answer(next(), 403, "{}");
        world_run(5000);
        assert_true(open_call("/v1/register"));
        assert_false(open_call("/v1/heartbeat"));
}

static void IICPD_01_76_422_sends_the_minimal_body_for_ten_minutes(void **state) {
        struct fetch *f;
        uint64_t at;

        (void) state;
        start();
        world_answer(soon(), 200, "{\"ok\":true,\"challenge\":\"1a0162ca5a359880e660fdeea0cf152a\"}");
        f = soon();
        at = world->now_ms;
        world_answer(f, 422, "{\"error\":{\"code\":\"validation_error\",\"message\":\"x\",\"fields\":{\"load\":[\"x\"]}}}");
        while (world->now_ms < at + 600000) {
                json_object *b;

                f = soon();
                b = world_body(f);
                json_object_object_foreach(b, name, value) {
                        (void) value;
                        if (f->at_ms < at + 600000 && strcmp(name, "node_id") != 0 && strcmp(name, "load") != 0 &&
                            strcmp(name, "active_jobs") != 0 && strcmp(name, "available") != 0 &&
                            strcmp(name, "challenge_response") != 0)
                                fail_msg("%s in a minimal body", name);
                }
                json_object_put(b);
                world_answer(f, 200, GOOD);
        }
        assert_non_null(strstr(soon()->body, "health_models"));
}

static void IICPD_01_76_429_waits_as_told(void **state) {
        uint64_t at;

        (void) state;
        start();
        world_answer(soon(), 200, GOOD);
        answer_retry(soon(), 429, "17");
        at = world->now_ms;
        assert_in_range(soon()->at_ms - at, 17000, 17100);
}

static void IICPD_01_76_429_never_beyond_a_minute_after_the_last_good_beat(void **state) {
        uint64_t good;

        (void) state;
        start();
        world_answer(soon(), 200, GOOD);
        good = world->now_ms;
        answer_retry(soon(), 429, "3600");
        assert_in_range(soon()->at_ms - good, 59900, 60100);
        answer_retry(world_call("POST", "/v1/heartbeat"), 429, "3600"); /* and then goes on trying */
        assert_in_range(soon()->at_ms - good, 60000, 66000);
}

static void IICPD_01_75_a_score_without_model_has_no_name(void **state) {
        struct iicp_buf out = {0};

        (void) state;
        start();
        world_answer(soon(), 200, "{\"ok\":true,\"reputation_score\":0.5,\"reputation_model\":\"outcome-v2\","
                                  "\"reputation_epoch\":\"3f8a\"}");
        directory_json(DIR, &out);
        assert_non_null(strstr(out.p, "\"reputation\":0.500"));
        assert_non_null(strstr(out.p, "\"reputation_model\":\"outcome-v2\""));
        assert_non_null(strstr(out.p, "\"reputation_epoch\":\"3f8a\""));
        iicp_buf_free(&out);
        out = (struct iicp_buf){0};
        world_answer(soon(), 200, "{\"ok\":true,\"reputation_score\":0.4}");
        directory_json(DIR, &out);
        assert_non_null(strstr(out.p, "\"reputation\":0.400"));
        assert_null(strstr(out.p, "outcome-v2"));
        iicp_buf_free(&out);
}

static void IICPD_01_75_an_unreadable_200_keeps_the_challenge(void **state) {
        (void) state;
        start();
        world_answer(soon(), 200, "{\"ok\":true,\"challenge\":\"1a0162ca5a359880e660fdeea0cf152a\"}");
        world_answer(soon(), 200, "<html></html>");
        assert_string_equal(state_identity(world->node.state)->challenge, "1a0162ca5a359880e660fdeea0cf152a");
        assert_non_null(strstr(soon()->body, "challenge_response"));
        assert_int_equal(DIR->beat.failures, 0);
}

/* What a newer directory adds, and what an older one lacks. */
static void DIR_MIG_01_more_and_less_members(void **state) {
        struct fetch *f;

        (void) state;
        start();
        world_answer(soon(), 200, "{\"ok\":true,\"next_heartbeat_ms\":30000,\"free_credits_awarded\":3,\"new\":{\"a\":[1]},"
                                  "\"metrics_batch_accepted\":null,\"challenge\":null,\"reputation_model\":null}");
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        f = soon();
        assert_null(strstr(f->body, "challenge_response"));
        world_answer(f, 200, "{}");
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        assert_int_equal(DIR->beat.interval_ms, BEAT_INTERVAL_MS);
        directory_reregister(DIR, NULL, NULL);
        world_run(5000);
        world_answer(world_call("POST", "/v1/register"), 201,
                     "{\"node_id\":\"7d1f0c56-9b1f-4a53-8f0c-2f6d3b8b7a10\",\"node_token\":\"" TOKEN_B "\","
                     "\"node_hmac_key\":\"" KEY_A "\",\"added_in_2030\":{\"x\":1}}");
        assert_string_equal(state_identity(world->node.state)->node_token, TOKEN_B);
}

static void IICPD_01_77_nothing_stops_while_the_directory_is_away(void **state) {
        (void) state;
        start();
        world_answer(soon(), 200, GOOD);
        for (unsigned i = 0; i < 120; i++)
                world_answer(next(), 500, "");
        assert_int_equal(directory_state(DIR), DIRECTORY_UNAVAILABLE);
        assert_int_equal(world->stops, 0);
        assert_int_equal(world->restart_status, 0);
        world_answer(soon(), 200, GOOD);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
}

/* A window closes while nobody calls. */
static void IICPD_01_78_time_alone_flips_it(void **state) {
        (void) state;
        start();
        world_answer(soon(), 200, GOOD);
        world_run(12000);
        world->available = false;
        directory_tick(DIR);
        world_run(0);
        assert_non_null(strstr(world_call("POST", "/v1/heartbeat")->body, "\"available\":false"));
}

/* ---- costs ---- */

/* CPU of the process, files left out: the helper thread does them elsewhere. */
static double cpu_ms(void) {
        struct timespec t;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static size_t in_use(void) {
        struct mallinfo2 m = mallinfo2();

        return m.uordblks + m.hblkhd;
}

static void answer_reads(void) {
        for (unsigned i = 0; i < world->n_calls; i++)
                if (!world->calls[i].over && !world->calls[i].side && strcmp(world->calls[i].method, "GET") == 0)
                        world_answer(&world->calls[i], 404, "");
}

static void ten_thousand_beats_in_flat_memory(void **state) {
        size_t before = 0;
        double cpu = 0;

        (void) state;
        start();
        world->skip_writes = true;
        for (unsigned i = 0; i < 10000; i++) {
                char body[200];
                struct fetch *f;

                world->counts.success += 3;
                world->counts.latency_ms_sum += 30;
                answer_reads();
                world_forget();
                f = soon();
                snprintf(body, sizeof body, "{\"ok\":true,\"next_heartbeat_ms\":30000,\"reputation_score\":0.5,"
                         "\"metrics_batch_accepted\":\"%s\",\"challenge\":\"%032u\"}", DIR->batch.id, i);
                world_answer(f, 200, body);
                if (i == 999) {
                        before = in_use();
                        cpu = cpu_ms();
                }
        }
        cpu = (cpu_ms() - cpu) / 9000;
        print_message("%.3f ms CPU a beat, %zd bytes more after 9000 beats\n", cpu, (ssize_t) (in_use() - before));
        assert_true(in_use() <= before + 16384);
        assert_true(cpu < 1.0 * world_slowness());
        assert_int_equal(DIR->batch.acknowledged, 10000);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_01_76_three_403_register_again),
                T(IICPD_01_76_422_sends_the_minimal_body_for_ten_minutes),
                T(IICPD_01_76_429_waits_as_told),
                T(IICPD_01_76_429_never_beyond_a_minute_after_the_last_good_beat),
                T(IICPD_01_75_a_score_without_model_has_no_name),
                T(IICPD_01_75_an_unreadable_200_keeps_the_challenge),
                T(DIR_MIG_01_more_and_less_members),
                T(IICPD_01_77_nothing_stops_while_the_directory_is_away),
                T(IICPD_01_78_time_alone_flips_it),
                T(ten_thousand_beats_in_flat_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
