/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "directory/batch_store.h"
#include "util.h"
#include "world.h"

#include <stdio.h>
#include <sys/stat.h>

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define KEY_B "d938c14a339ae68cbb02a19f6f97413118dc8d202f8b0fd4dd1ae69f677e0a27"

#define DIR (world->node.directory)

static void tasks(uint64_t success, uint64_t failed, double latency_ms) {
        world->counts.success += success;
        world->counts.failed += failed;
        world->counts.latency_ms_sum += latency_ms * (double) (success + failed);
}

static void start(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
}

static struct fetch *next(void) {
        world_run(60000);
        return world_call("POST", "/v1/heartbeat");
}

static int number(const struct fetch *f, const char *name) {
        json_object *b = world_body(f), *m, *v;
        int n = -1;

        if (json_object_object_get_ex(b, "metrics", &m) && json_object_object_get_ex(m, name, &v))
                n = json_object_get_int(v);
        json_object_put(b);
        return n;
}

/* The batch id of a beat, "" if it carries none. */
static const char *id_of(const struct fetch *f) {
        static char id[4][40];
        static unsigned turn;
        char *out = id[turn++ % 4];
        json_object *b = world_body(f), *v;

        out[0] = '\0';
        if (json_object_object_get_ex(b, "metrics_batch_id", &v))
                snprintf(out, sizeof id[0], "%s", json_object_get_string(v));
        json_object_put(b);
        return out;
}

static void answer_with(struct fetch *f, const char *id) {
        char body[256];

        snprintf(body, sizeof body, "{\"ok\":true,\"next_heartbeat_ms\":30000,\"metrics_batch_accepted\":%s%s%s}",
                 id ? "\"" : "", id ? id : "null", id ? "\"" : "");
        world_answer(f, 200, body);
}

static void read_file(struct batch *b) {
        struct iicp_buf bytes = {0};
        char path[128];
        FILE *f;

        snprintf(path, sizeof path, "%s/" STATE_BATCH_FILE, world->dir);
        f = fopen(path, "r");
        assert_non_null(f);
        bytes.n = fread(iicp_buf_reserve(&bytes, 4096), 1, 4096, f);
        fclose(f);
        assert_int_equal(batch_read(iicp_buf_str(&bytes), b), 0);
        iicp_buf_free(&bytes);
}

/* ---- what is in a batch ---- */

static void IICPD_01_73_at_most_300_and_1000(void **state) {
        struct fetch *f;

        (void) state;
        start();
        tasks(700, 1200, 100);
        f = next();
        assert_int_equal(number(f, "tasks_success"), 300);
        assert_int_equal(number(f, "tasks_failed"), 1000);
        assert_non_null(strstr(f->body, "\"avg_latency_ms\":100.00"));
        answer_with(f, id_of(f));
        f = next();
        assert_int_equal(number(f, "tasks_success"), 300);
        assert_int_equal(number(f, "tasks_failed"), 200);
        answer_with(f, id_of(f));
        f = next();
        assert_int_equal(number(f, "tasks_success"), 100);
        assert_int_equal(number(f, "tasks_failed"), 0);
        answer_with(f, id_of(f));
        assert_string_equal(id_of(next()), "");
}

static void IICPD_01_73_nothing_counted_nothing_sent(void **state) {
        struct fetch *f;

        (void) state;
        start();
        f = next();
        assert_null(strstr(f->body, "metrics"));
        answer_with(f, NULL);
        tasks(2, 0, 0);
        f = next();
        assert_int_equal(number(f, "tasks_success"), 2);
        assert_null(strstr(f->body, "avg_latency_ms")); /* no time at all: left out */
}

static void REP_01_each_task_is_counted_once(void **state) {
        struct fetch *f;
        int all = 0;

        (void) state;
        start();
        for (int i = 0; i < 10; i++) {
                tasks(7, 3, 412.5);
                f = next();
                all += number(f, "tasks_success");
                assert_non_null(strstr(f->body, "\"avg_latency_ms\":412.50"));
                answer_with(f, id_of(f));
        }
        assert_int_equal(all, 70);
}

/* ---- until it is acknowledged ---- */

static void REP_09_repeated_as_it_is_until_acknowledged(void **state) {
        char first[40], text[512];
        struct fetch *f;

        (void) state;
        start();
        tasks(3, 1, 412.5);
        f = next();
        snprintf(first, sizeof first, "%s", id_of(f));
        assert_int_equal(strlen(first), 36);
        snprintf(text, sizeof text, "%s", strstr(f->body, "\"metrics\""));
        world_answer(f, 503, "");
        tasks(5, 0, 10);
        for (int i = 0; i < 3; i++) {
                f = next();
                assert_string_equal(strstr(f->body, "\"metrics\""), text);
                world_fail(f, FETCH_UNREACHABLE);
        }
        f = next();
        answer_with(f, first);
        f = next();
        assert_string_not_equal(id_of(f), first);
        assert_int_equal(number(f, "tasks_success"), 5);
}

static void IICPD_01_74_own_id_clears_another_does_not(void **state) {
        struct fetch *f;
        char id[40];

        (void) state;
        start();
        tasks(1, 0, 5);
        f = next();
        snprintf(id, sizeof id, "%s", id_of(f));
        answer_with(f, "00000000-0000-4000-8000-000000000000");
        f = next();
        assert_string_equal(id_of(f), id);
        answer_with(f, id);
        assert_string_equal(id_of(next()), "");
}

static void IICPD_01_74_a_directory_without_ids_has_it_once(void **state) {
        struct fetch *f;

        (void) state;
        start();
        tasks(1, 0, 5);
        answer_with(next(), NULL);
        tasks(2, 0, 5);
        f = next();
        assert_int_equal(number(f, "tasks_success"), 2);
        world_answer(f, 200, "{\"ok\":true}"); /* absent */
        assert_string_equal(id_of(next()), "");
}

static void IICPD_01_75_an_unreadable_200_counts_as_delivered(void **state) {
        struct fetch *f;

        (void) state;
        start();
        tasks(1, 0, 5);
        world_answer(next(), 200, "<html>fine</html>");
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        assert_int_equal(DIR->beat.failures, 0);
        f = next();
        assert_string_equal(id_of(f), "");
}

/* A beat of the shortest form has no counts: its answer settles none. */
static void IICPD_01_76_minimal_body_keeps_the_batch(void **state) {
        struct fetch *f;
        char id[40];

        (void) state;
        start();
        tasks(1, 0, 5);
        f = next();
        snprintf(id, sizeof id, "%s", id_of(f));
        world_answer(f, 422, "{\"error\":{\"code\":\"validation_error\",\"message\":\"x\",\"fields\":{\"metrics\":[\"x\"]}}}");
        f = next();
        assert_string_equal(id_of(f), "");
        answer_with(f, NULL);
        for (int i = 0; i < 12 && !id_of(f = next())[0]; i++)
                world_answer(f, 200, "{\"ok\":true,\"next_heartbeat_ms\":60000}");
        assert_string_equal(id_of(f), id);
}

/* ---- over registrations and restarts ---- */

static void IICPD_01_57_batch_and_challenge_over_a_registration(void **state) {
        struct fetch *f;
        char id[40];

        (void) state;
        start();
        tasks(2, 0, 5);
        f = next();
        snprintf(id, sizeof id, "%s", id_of(f));
        world_answer(f, 401, "{\"error\":{\"code\":\"unauthorized\",\"message\":\"x\"}}");
        world_run(5000);
        world_accept(TOKEN_B, KEY_B);
        world_run(5000);
        f = world_call("POST", "/v1/heartbeat");
        assert_string_equal(id_of(f), id);
        assert_int_equal(number(f, "tasks_success"), 2);
}

static void IICPD_01_57_the_challenge_is_on_the_disk_when_received(void **state) {
        struct state *again;
        char why[256];

        (void) state;
        start();
        world_answer(next(), 200, "{\"ok\":true,\"challenge\":\"364b8efa1f1bc62b4eeba7759194137d\"}");
        state_close(world->node.state);
        assert_int_equal(state_open(world->dir, NULL, 1790000000, &again, why, sizeof why), 0);
        world->node.state = again;
        assert_string_equal(state_identity(again)->challenge, "364b8efa1f1bc62b4eeba7759194137d");
}

static void REP_09_on_the_disk_before_it_is_sent(void **state) {
        struct batch b;
        unsigned calls;

        (void) state;
        start();
        answer_with(next(), NULL);
        tasks(4, 0, 5);
        world->hold_saves = true;
        calls = world->n_calls;
        while (!DIR->beat.preparing)
                world_run(100);
        world_run(1800);
        assert_int_equal(world->n_calls, calls); /* not sent yet */
        world->hold_saves = false;
        world_saved();
        read_file(&b);
        assert_int_equal(b.success, 4);
        assert_string_equal(id_of(world_call("POST", "/v1/heartbeat")), b.id);
}

/* A disk that hangs costs the counts their turn, not the node its place. */
static void DIR_HB_04_a_slow_disk_does_not_keep_the_beat(void **state) {
        struct fetch *f;

        (void) state;
        start();
        answer_with(next(), NULL);
        tasks(4, 0, 5);
        world->hold_saves = true;
        while (!DIR->beat.preparing)
                world_run(100);
        world_run(2000);
        f = world_call("POST", "/v1/heartbeat");
        assert_string_equal(id_of(f), "");
        world->hold_saves = false;
        world_saved(); /* late: nothing is sent twice */
        answer_with(f, NULL);
        f = next();
        assert_int_equal(number(f, "tasks_success"), 4);
}

static void REP_09_what_cannot_be_written_is_not_sent(void **state) {
        struct fetch *f;
        char path[128];

        (void) state;
        start();
        answer_with(next(), NULL);
        snprintf(path, sizeof path, "%s/." STATE_BATCH_FILE ".new", world->dir);
        assert_int_equal(mkdir(path, 0700), 0); /* nothing can be made under this name */
        tasks(4, 0, 5);
        f = next();
        assert_string_equal(id_of(f), "");
        answer_with(f, NULL);
        assert_int_equal(rmdir(path), 0);
        f = next();
        assert_int_equal(number(f, "tasks_success"), 4);
        assert_string_not_equal(id_of(f), "");
}

static void restart(void) {
        char why[256];

        directory_free(DIR);
        state_close(world->node.state);
        world->counts = (struct task_counts){0};
        assert_int_equal(state_open(world->dir, NULL, 1790000000, &world->node.state, why, sizeof why), 0);
        DIR = directory_new(&world->node);
        directory_start(DIR);
        world_accept(TOKEN_B, KEY_B);
}

static void REP_09_the_same_batch_after_a_restart(void **state) {
        struct fetch *f;
        char id[40];

        (void) state;
        start();
        tasks(3, 2, 33.25);
        f = next();
        snprintf(id, sizeof id, "%s", id_of(f));
        world_fail(f, FETCH_UNREACHABLE);
        tasks(9, 0, 1); /* these wait */
        restart();
        f = next();
        assert_string_equal(id_of(f), id);
        assert_int_equal(number(f, "tasks_success"), 3);
        assert_int_equal(number(f, "tasks_failed"), 2);
        assert_non_null(strstr(f->body, "\"avg_latency_ms\":33.25"));
        answer_with(f, id);
        f = next();
        assert_int_equal(number(f, "tasks_success"), 9);
}

static void REP_09_the_last_beat_settles_too(void **state) {
        struct fetch *f;
        struct batch b;

        (void) state;
        start();
        answer_with(next(), NULL);
        tasks(6, 0, 5);
        directory_stop(DIR, (void (*)(void *)) free, NULL);
        f = world_call("POST", "/v1/heartbeat");
        assert_int_equal(number(f, "tasks_success"), 6);
        answer_with(f, id_of(f));
        tasks(1, 0, 5); /* ends while the node drains */
        batch_finish(DIR);
        read_file(&b);
        assert_string_not_equal(b.id, id_of(f));
        assert_int_equal(b.success, 1);
}

static void left(void *arg, bool ok) {
        (void) arg;
        assert_true(ok);
}

static void DIR_LIFECYCLE_06_the_batch_goes_with_the_token(void **state) {
        struct batch b;

        (void) state;
        start();
        tasks(6, 0, 5);
        world_answer(next(), 503, "");
        tasks(2, 0, 5);
        directory_deregister(DIR, left, NULL);
        world_answer(world_call("DELETE", "/v1/register"), 200, "{\"deregistered\":true}");
        read_file(&b);
        assert_string_equal(b.id, "");
        assert_int_equal(b.waiting.success, 0);
        assert_string_equal(DIR->batch.id, "");
}

static void counts_of_one_directory_are_not_told_to_another(void **state) {
        (void) state;
        start();
        tasks(6, 0, 5);
        world_answer(next(), 503, "");
        world->config.directory_url = (char *) "https://elsewhere.example.org/api";
        directory_reload(DIR);
        world_run(5000);
        world_accept(TOKEN_B, KEY_B);
        world_run(5000);
        assert_string_equal(id_of(world_call("POST", "/v1/heartbeat")), "");
}

/* ---- the file ---- */

static void read_refuses(const char *text) {
        struct batch b;

        assert_int_equal(batch_read(iicp_str(text), &b), -EINVAL);
}

static void file_is_read_with_its_bounds(void **state) {
        struct batch b;

        (void) state;
        assert_int_equal(batch_read(iicp_str("{\"version\":1,\"metrics_batch_id\":\"5f0c9b1a\",\"metrics\":"
                                             "{\"tasks_success\":300,\"tasks_failed\":1000},"
                                             "\"waiting\":{\"tasks_success\":0,\"tasks_failed\":0}}"),
                                    &b),
                         0);
        assert_string_equal(b.id, "5f0c9b1a");
        assert_int_equal(b.failed, 1000);
        read_refuses("");
        read_refuses("{}");
        read_refuses("{\"waiting\":{\"tasks_success\":-1,\"tasks_failed\":0}}");
        read_refuses("{\"waiting\":{\"tasks_success\":0,\"tasks_failed\":9007199254740993}}");
        read_refuses("{\"waiting\":{\"tasks_success\":0,\"tasks_failed\":0,\"latency_ms_sum\":-1}}");
        read_refuses("{\"metrics_batch_id\":\"a\",\"metrics\":{\"tasks_success\":301,\"tasks_failed\":0},"
                     "\"waiting\":{\"tasks_success\":0,\"tasks_failed\":0}}");
        read_refuses("{\"metrics_batch_id\":\"a\",\"metrics\":{\"tasks_success\":0,\"tasks_failed\":1001},"
                     "\"waiting\":{\"tasks_success\":0,\"tasks_failed\":0}}");
        read_refuses("{\"metrics_batch_id\":\"a b\",\"metrics\":{\"tasks_success\":1,\"tasks_failed\":0},"
                     "\"waiting\":{\"tasks_success\":0,\"tasks_failed\":0}}");
        read_refuses("{\"metrics_batch_id\":\"a\",\"metrics\":{\"tasks_success\":0,\"tasks_failed\":0},"
                     "\"waiting\":{\"tasks_success\":0,\"tasks_failed\":0}}");
}

static void a_damaged_file_is_kept_aside(void **state) {
        char path[128], command[256];
        FILE *f;

        (void) state;
        snprintf(path, sizeof path, "%s/" STATE_BATCH_FILE, world->dir);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs("{\"waiting\":", f);
        fclose(f);
        assert_int_equal(chmod(path, 0600), 0);
        start();
        tasks(1, 0, 5);
        assert_int_equal(number(next(), "tasks_success"), 1);
        snprintf(command, sizeof command, "ls '%s' | grep -q '^" STATE_BATCH_FILE "[.]bad-'", world->dir);
        assert_int_equal(system(command), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_01_73_at_most_300_and_1000),
                T(IICPD_01_73_nothing_counted_nothing_sent),
                T(REP_01_each_task_is_counted_once),
                T(REP_09_repeated_as_it_is_until_acknowledged),
                T(IICPD_01_74_own_id_clears_another_does_not),
                T(IICPD_01_74_a_directory_without_ids_has_it_once),
                T(IICPD_01_75_an_unreadable_200_counts_as_delivered),
                T(IICPD_01_76_minimal_body_keeps_the_batch),
                T(IICPD_01_57_batch_and_challenge_over_a_registration),
                T(IICPD_01_57_the_challenge_is_on_the_disk_when_received),
                T(REP_09_on_the_disk_before_it_is_sent),
                T(DIR_HB_04_a_slow_disk_does_not_keep_the_beat),
                T(REP_09_what_cannot_be_written_is_not_sent),
                T(REP_09_the_same_batch_after_a_restart),
                T(REP_09_the_last_beat_settles_too),
                T(DIR_LIFECYCLE_06_the_batch_goes_with_the_token),
                T(counts_of_one_directory_are_not_told_to_another),
                T(file_is_read_with_its_bounds),
                T(a_damaged_file_is_kept_aside),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
