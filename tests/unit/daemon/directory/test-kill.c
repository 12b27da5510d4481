/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "state_file.h"
#include "util.h"
#include "world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* One life of a node, ended by SIGKILL at each step of each write of its state; the next life goes on
 * with what is on the disk. The directory of both lives remembers in shared memory. */

#define BEATS 6           /* of one life */
#define POINTS_MAX 4000
#define BATCHES_MAX 64
#define DIR (world->node.directory)

struct ledger {
        unsigned point, kill_at;           /* write points reached, and the one that is deadly */
        char where[96];                    /* its name */
        char node_id[40];
        char token[3][41];                 /* issued, newest last */
        unsigned tokens;
        struct {
                char id[40];
                unsigned success;
                char metrics[128];         /* as first seen */
        } batches[BATCHES_MAX];
        unsigned n_batches;
        unsigned done, told;               /* tasks that were run; tasks that were credited */
        unsigned repeated_otherwise, stale_tokens;
};
static struct ledger *ledger;

void state_write_point(const char *file, const char *step) {
        if (!ledger)
                return;
        if (++ledger->point != ledger->kill_at)
                return;
        snprintf(ledger->where, sizeof ledger->where, "%s %s", file, step);
        raise(SIGKILL);
}

/* ---- the directory ---- */

static void take_register(struct fetch *f) {
        char body[512];
        unsigned n = ledger->tokens++;

        snprintf(ledger->token[n % 3], sizeof ledger->token[0], "token%035u", n);
        snprintf(body, sizeof body, "{\"node_id\":\"%s\",\"node_token\":\"%s\",\"node_hmac_key\":\"key%029u\"}",
                 state_identity(world->node.state)->node_id, ledger->token[n % 3], n);
        world_answer(f, 201, body);
}

static void credit(const json_object *beat, const char *id) {
        json_object *m, *v;
        const char *text;
        unsigned i = 0;

        assert_true(json_object_object_get_ex(beat, "metrics", &m));
        text = json_object_to_json_string_ext(m, JSON_C_TO_STRING_PLAIN);
        while (i < ledger->n_batches && strcmp(ledger->batches[i].id, id) != 0)
                i++;
        if (i < ledger->n_batches) {
                if (strcmp(ledger->batches[i].metrics, text) != 0)
                        ledger->repeated_otherwise++;
                return;
        }
        assert_true(i < BATCHES_MAX);
        ledger->n_batches++;
        snprintf(ledger->batches[i].id, sizeof ledger->batches[i].id, "%s", id);
        snprintf(ledger->batches[i].metrics, sizeof ledger->batches[i].metrics, "%s", text);
        assert_true(json_object_object_get_ex(m, "tasks_success", &v));
        ledger->told += (unsigned) json_object_get_int(v);
}

/* Answers what is open. Each third beat gets lost on its way back. */
static void serve(unsigned beat) {
        for (unsigned i = 0; i < world->n_calls; i++) {
                struct fetch *f = &world->calls[i];
                char answer[200], id[40] = "";
                json_object *b, *v;

                if (f->over || f->side)
                        continue;
                if (strcmp(f->method, "GET") == 0) {
                        world_answer(f, 404, "");
                        continue;
                }
                if (strstr(f->url, "/register")) {
                        take_register(f);
                        continue;
                }
                if (!strstr(world_header(f, "Authorization"), ledger->token[(ledger->tokens - 1) % 3]))
                        ledger->stale_tokens++;
                b = world_body(f);
                if (json_object_object_get_ex(b, "metrics_batch_id", &v)) {
                        snprintf(id, sizeof id, "%s", json_object_get_string(v));
                        credit(b, id);
                }
                json_object_put(b);
                if (beat % 3 == 2) {
                        world_fail(f, FETCH_RESET);
                        continue;
                }
                snprintf(answer, sizeof answer, "{\"ok\":true,\"metrics_batch_accepted\":%s%s%s,\"challenge\":\"%032u\"}",
                         id[0] ? "\"" : "", id[0] ? id : "null", id[0] ? "\"" : "", ledger->point);
                world_answer(f, 200, answer);
        }
}

/* ---- the node ---- */

static void open_node(const char *dir) {
        char why[256];
        int r;

        directory_free(DIR);
        state_close(world->node.state);
        r = state_open(dir, NULL, 1790000000, &world->node.state, why, sizeof why);
        if (r < 0)
                fail_msg("%s", why);
        DIR = directory_new(&world->node);
}

/* Registers, beats while tasks are done, registers again in the middle. */
static void live(const char *dir) {
        struct identity *id;

        open_node(dir);
        id = state_identity(world->node.state);
        if (!ledger->node_id[0])
                snprintf(ledger->node_id, sizeof ledger->node_id, "%s", id->node_id);
        assert_string_equal(id->node_id, ledger->node_id);
        directory_start(DIR);
        for (unsigned beat = 0; beat < BEATS; beat++) {
                serve(beat);
                world->counts.success += 5;
                world->counts.latency_ms_sum += 50;
                ledger->done += 5;
                if (beat == 3)
                        directory_reregister(DIR, NULL, NULL);
                world_run(31000);
        }
        serve(0);
        /* At the end everything that was sent is settled. */
        world_run(31000);
        serve(0);
        world_run(31000);
        serve(0);
}

static int in_child(const char *dir, unsigned kill_at) {
        pid_t pid;
        int status;

        ledger->point = 0;
        ledger->kill_at = kill_at;
        fflush(NULL);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                live(dir);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void check_files(const char *dir) {
        static const char *const names[] = {"identity.json", STATE_BATCH_FILE, "cx/keyring.json"};

        for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
                struct iicp_buf bytes = {0};
                struct iicp_json doc;
                char path[160];
                FILE *f;

                snprintf(path, sizeof path, "%s/%s", dir, names[i]);
                f = fopen(path, "r");
                if (!f)
                        continue;
                bytes.n = fread(iicp_buf_reserve(&bytes, 16384), 1, 16384, f);
                fclose(f);
                assert_int_equal(iicp_json_scan(iicp_buf_str(&bytes), NULL, NULL, &doc), 0);
                iicp_buf_free(&bytes);
        }
}

static bool nothing_aside(const char *dir) {
        char command[200];

        snprintf(command, sizeof command, "ls -R '%s' | grep -qE '[.](bad|old)-'", dir);
        return system(command) != 0;
}

static void REP_09_killed_at_every_write_point(void **state) {
        char dir[] = "./test-kill-XXXXXX", path[64], command[96];
        unsigned deaths = 0;

        (void) state;
        assert_non_null(mkdtemp(dir));
        ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(ledger != MAP_FAILED);
        for (unsigned at = 1; at < POINTS_MAX; at++) {
                int first, second;

                memset(ledger, 0, sizeof *ledger);
                snprintf(path, sizeof path, "%s/%u", dir, at);
                first = in_child(path, at);
                check_files(path);
                second = in_child(path, 0);
                if (!WIFEXITED(second) || WEXITSTATUS(second) != 0 || !nothing_aside(path) || ledger->repeated_otherwise ||
                    ledger->stale_tokens || ledger->told > ledger->done)
                        fail_msg("killed at %s: status %d, %u repeated otherwise, %u stale tokens, %u of %u told",
                                 ledger->where, second, ledger->repeated_otherwise, ledger->stale_tokens, ledger->told,
                                 ledger->done);
                /* What a kill may cost is what was counted since the last beat. */
                if (ledger->told + 10 < ledger->done)
                        fail_msg("killed at %s: only %u of %u tasks told", ledger->where, ledger->told, ledger->done);
                check_files(path);
                if (WIFEXITED(first)) { /* there is no such point any more */
                        assert_int_equal(WEXITSTATUS(first), 0);
                        break;
                }
                deaths++;
        }
        print_message("%u deaths survived\n", deaths);
        assert_true(deaths > 60);
        munmap(ledger, sizeof *ledger);
        ledger = NULL;
        snprintf(command, sizeof command, "rm -rf '%s'", dir);
        assert_int_equal(system(command), 0);
}

/* The names that a test of one point may rely on. */
static char steps[512];

static void IICPD_01_63_steps_of_a_write(void **state) {
        int dir = open(world->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct ledger own = {.kill_at = 1};
        pid_t pid;
        int status;

        (void) state;
        assert_true(dir >= 0);
        for (unsigned i = 1; i <= 6; i++) {
                ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
                assert_true(ledger != MAP_FAILED);
                *ledger = own;
                ledger->kill_at = i;
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0)
                        _exit(state_write_file(dir, "x.json", iicp_str("{}")) < 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                strncat(steps, ledger->where + strlen("x.json "), sizeof steps - strlen(steps) - 2);
                strcat(steps, " ");
                munmap(ledger, sizeof *ledger);
                ledger = NULL;
        }
        close(dir);
        assert_string_equal(steps, "begin created written synced renamed done ");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(IICPD_01_63_steps_of_a_write, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(REP_09_killed_at_every_write_point, world_setup, world_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
