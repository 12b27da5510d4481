/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "../directory/world.h"
#include "tunnel/child.h"
#include "tunnel/tunnel.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* The life of a tunnel with a helper that is a script, on driven time and with scripted answers. */

#define URL "https://quiet-river-1a2b.trycloudflare.com"
#define WAIT_S 30 /* for what a real process does */

static struct event_base *base;
static struct tunnel *tunnel;
static unsigned events[8];

struct event_base *loop_base(struct loop *l) {
        (void) l;
        return base;
}

static void on_event(void *arg, enum tunnel_event e) {
        (void) arg;
        events[e]++;
}

static struct outcome {
        bool there;
        char url[256];
        const char *why, *guidance;
} outcome;

static void on_done(void *arg, const char *url, const char *why, const char *guidance) {
        (void) arg;
        outcome = (struct outcome){.there = true, .why = why, .guidance = guidance};
        snprintf(outcome.url, sizeof outcome.url, "%s", url ? url : "");
}

static void at(char *out, size_t cap, const char *name) {
        char *full = realpath(world->dir, NULL);

        assert_non_null(full);
        assert_true((size_t) snprintf(out, cap, "%s/%s", full, name) < cap);
        free(full);
}

/* What the helper does when it is started. */
static void helper(const char *script) {
        static char path[4096];
        FILE *f;

        at(path, sizeof path, "cloudflared");
        f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "#!/bin/sh\n%s\n", script);
        fclose(f);
        assert_int_equal(chmod(path, 0700), 0);
        world->config.nat_tunnel_program = path;
}

static int setup(void **state) {
        static char gate[4096], lock[4096], cooldown[4096];

        world_setup(state);
        base = event_base_new();
        assert_non_null(base);
        memset(events, 0, sizeof events);
        outcome = (struct outcome){0};
        at(gate, sizeof gate, "state/quick_tunnel_create_gate.json");
        at(lock, sizeof lock, "state/quick_tunnel_create.lock");
        at(cooldown, sizeof cooldown, "state/quick_tunnel_rate_limit.json");
        world->config.nat_tunnel_create_file = gate;
        world->config.nat_tunnel_lock_file = lock;
        world->config.nat_tunnel_cooldown_file = cooldown;
        world->config.nat_tunnel_spacing_ms = 120000;
        world->config.nat_tunnel_lease_ms = 45000;
        world->config.nat_tunnel_cooldown_ms = 900000;
        world->by_hand = true;
        tunnel = tunnel_new(&world->node, on_event, NULL);
        assert_non_null(tunnel);
        return 0;
}

static int teardown(void **state) {
        tunnel = tunnel_free(tunnel);
        event_base_free(base);
        return world_teardown(state);
}

/* Lets the real process act until it is so. */
static void until(bool (*is_so)(void)) {
        time_t end = time(NULL) + WAIT_S;

        while (!is_so()) {
                struct timeval step = {.tv_usec = 10000};

                assert_true(time(NULL) < end);
                event_base_loopexit(base, &step);
                event_base_dispatch(base);
        }
}

static struct fetch *health(void) {
        for (unsigned i = world->n_calls; i > 0; i--)
                if (!world->calls[i - 1].over && strstr(world->calls[i - 1].url, "/iicp/health"))
                        return &world->calls[i - 1];
        return NULL;
}

static bool looks(void) {
        return health() != NULL;
}

static bool is_answered(void) {
        return outcome.there;
}

static void ours(void) {
        char body[80];

        snprintf(body, sizeof body, "{\"node_id\":\"%s\"}", state_identity(world->node.state)->node_id);
        world_answer(health(), 200, body);
}

static void start_quick(void) {
        tunnel_quick(tunnel, on_done, NULL);
        world_run(0);
}

static void up(void) {
        start_quick();
        until(looks);
        assert_string_equal(health()->url, URL "/iicp/health");
        ours();
        assert_true(outcome.there);
        assert_string_equal(outcome.url, URL);
        assert_true(tunnel_serves(tunnel));
}

#define SHOWS_URL "echo 'INF |  " URL "  |'; exec sleep 1000"

static void IICPD_04_28_fixed_arguments_clean_environment_no_descriptors(void **state) {
        char path[4096], got[8192] = "";
        FILE *f;

        (void) state;
        setenv("IICP_SECRET_OF_OURS", "x", 1);
        at(path, sizeof path, "seen");
        {
                char script[8192];

                snprintf(script, sizeof script,
                         "{ echo \"$0 $*\"; /usr/bin/env; ls /proc/self/fd | tr '\\n' ' '; } >'%s' 2>&1; echo '" URL "'; exec sleep 1000", path);
                helper(script);
        }
        up();
        unsetenv("IICP_SECRET_OF_OURS");
        f = fopen(path, "r");
        assert_non_null(f);
        got[fread(got, 1, sizeof got - 1, f)] = '\0';
        fclose(f);
        assert_non_null(strstr(got, "cloudflared tunnel --url http://127.0.0.1:9484\n"));
        assert_null(strstr(got, "SECRET"));
        assert_null(strstr(got, "HOME="));
        /* in, out, error and the folder that ls has open */
        assert_non_null(strstr(got, "0 1 2 3 "));
        assert_null(strstr(got, "4 "));
}

static pid_t child_of_us;

static bool child_gone(void) {
        return kill(child_of_us, 0) < 0 && errno == ESRCH;
}

static pid_t read_pid(void) {
        char path[4096];
        int pid = 0;
        FILE *f;

        at(path, sizeof path, "pid");
        f = fopen(path, "r");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%d", &pid), 1);
        fclose(f);
        return pid;
}

static void with_pid(const char *rest) {
        char path[4096], script[8192];

        at(path, sizeof path, "pid");
        snprintf(script, sizeof script, "echo $$ >'%s'; %s", path, rest);
        helper(script);
}

static bool ended;

static void on_end(void *arg) {
        (void) arg;
        ended = true;
}

static bool has_ended(void) {
        return ended;
}

static void IICPD_04_28_ended_with_us_and_after_5_s_by_force(void **state) {
        (void) state;
        ended = false;
        with_pid(SHOWS_URL);
        up();
        child_of_us = read_pid();
        tunnel_end(tunnel, on_end, NULL);
        until(has_ended);
        assert_true(child_gone());
        /* one that does not listen */
        ended = false;
        world_run(120000);
        with_pid("trap '' TERM; echo '" URL "'; while :; do sleep 1; done");
        up();
        child_of_us = read_pid();
        tunnel_end(tunnel, on_end, NULL);
        assert_false(ended);
        world_run(CHILD_TERM_MS);
        until(has_ended);
        assert_true(child_gone());
}

static void IICPD_04_28_a_free_kills_it(void **state) {
        (void) state;
        with_pid(SHOWS_URL);
        up();
        child_of_us = read_pid();
        tunnel = tunnel_free(tunnel);
        assert_true(child_gone());
}

static void IICPD_04_28_not_installed(void **state) {
        (void) state;
        world->config.nat_tunnel_program = (char *) "/nonexistent/cloudflared";
        start_quick();
        assert_true(outcome.there);
        assert_string_equal(outcome.url, "");
        assert_string_equal(outcome.guidance, "tunnel_not_installed");
        assert_int_equal(access(world->config.nat_tunnel_create_file, F_OK), -1); /* the pace of others is not used up */
}

static void SDK_NODE_03_SDK_NODE_04_a_limit_of_the_provider_is_kept(void **state) {
        (void) state;
        helper("echo 'ERR failed: 429 Too Many Requests'; exit 1");
        start_quick();
        until(is_answered);
        assert_string_equal(outcome.guidance, "tunnel_cooldown");
        assert_int_equal(access(world->config.nat_tunnel_cooldown_file, F_OK), 0);
        assert_int_equal(access(world->config.nat_tunnel_lock_file, F_OK), -1);
        assert_true(tunnel_cooldown_ms(tunnel) > 890000);
        /* another process, later: the file holds */
        tunnel = tunnel_free(tunnel);
        tunnel = tunnel_new(&world->node, on_event, NULL);
        outcome.there = false;
        helper(SHOWS_URL);
        world_run(800000);
        start_quick();
        assert_true(outcome.there);
        assert_string_equal(outcome.guidance, "tunnel_cooldown");
        assert_int_equal(events[TUNNEL_RETRY], 0);
        world_run(101000);
        assert_true(events[TUNNEL_RETRY] > 0);
        outcome.there = false;
        up();
}

static void IICPD_04_28_no_url_in_20_s(void **state) {
        (void) state;
        helper("echo nothing; exec sleep 1000");
        start_quick();
        world_run(19999);
        assert_false(outcome.there);
        world_run(1);
        assert_true(outcome.there);
        assert_string_equal(outcome.url, "");
        assert_int_equal(access(world->config.nat_tunnel_lock_file, F_OK), -1);
}

static void IICPD_04_27_a_given_tunnel_is_proved_by_our_id(void **state) {
        (void) state;
        tunnel_given(tunnel, "https://node.example.net/", on_done, NULL);
        world_run(0);
        assert_string_equal(health()->url, "https://node.example.net/iicp/health");
        assert_int_equal(health()->timeout_ms, 8000);
        world_answer(health(), 200, "{\"node_id\":\"somebody-else\"}");
        assert_false(outcome.there);
        world_run(1000); /* steps of one second */
        world_answer(health(), 200, "[]");
        world_run(1000);
        world_fail(health(), FETCH_TIMEOUT);
        world_run(1000);
        ours();
        assert_string_equal(outcome.url, "https://node.example.net/");
        assert_true(tunnel_serves(tunnel));
}

static void IICPD_04_27_a_given_tunnel_has_30_s(void **state) {
        (void) state;
        tunnel_given(tunnel, "https://node.example.net", on_done, NULL);
        world_run(0);
        for (int s = 0; s < 30 && !outcome.there; s++) {
                if (health())
                        world_answer(health(), 502, "");
                world_run(1000);
        }
        assert_true(outcome.there);
        assert_string_equal(outcome.url, "");
        assert_int_equal(tunnel_state(tunnel), TUNNEL_IS_DEAD);
        world_run(30000);
        assert_int_equal(events[TUNNEL_RETRY], 1);
}

static void IICPD_04_29_one_failure_is_twilight_two_build_it_anew(void **state) {
        (void) state;
        helper(SHOWS_URL);
        up();
        world_run(30000);
        world_answer(health(), 502, "");
        assert_int_equal(tunnel_state(tunnel), TUNNEL_IS_TWILIGHT);
        assert_false(tunnel_serves(tunnel));
        world_run(30000);
        ours();
        assert_int_equal(tunnel_state(tunnel), TUNNEL_IS_UP);
        assert_int_equal(events[TUNNEL_MOVED], 0);
        world_run(30000);
        world_answer(health(), 502, "");
        world_run(30000);
        world_answer(health(), 502, "");
        assert_int_equal(tunnel_state(tunnel), TUNNEL_IS_RECOVERING);
        world_run(1000); /* 120 s since the first one are over */
        until(looks);
        ours();
        assert_int_equal(tunnel_state(tunnel), TUNNEL_IS_UP);
        assert_int_equal(events[TUNNEL_MOVED], 1);
        assert_int_equal(events[TUNNEL_LOST], 0);
}

static bool is_recovering(void) {
        return tunnel_state(tunnel) == TUNNEL_IS_RECOVERING;
}

static bool is_over(void) {
        return tunnel_state(tunnel) == TUNNEL_IS_DEAD;
}

static void IICPD_04_29_after_three_rebuilds_it_is_dead(void **state) {
        (void) state;
        helper(SHOWS_URL);
        up();
        helper("exit 1");
        world_run(30000);
        world_answer(health(), 502, "");
        world_run(30000);
        world_answer(health(), 502, "");
        until(is_recovering);
        for (int i = 0; i < 8 && !is_over(); i++) {
                struct timeval step = {.tv_usec = 200000};

                world_run(121000);
                event_base_loopexit(base, &step);
                event_base_dispatch(base);
        }
        until(is_over);
        assert_int_equal(events[TUNNEL_LOST], 1);
}

static void IICPD_04_29_an_unknown_name_is_asked_for_elsewhere(void **state) {
        struct fetch *names;

        (void) state;
        helper(SHOWS_URL);
        up();
        world_run(30000);
        world_fail(health(), FETCH_UNREACHABLE);
        names = world_call("GET", "name=quiet-river-1a2b.trycloudflare.com");
        assert_int_equal(names->timeout_ms, 5000);
        world_answer(names, 200, "{\"Status\":0,\"Answer\":[{\"data\":\"104.16.0.1\"}]}");
        assert_true(tunnel_serves(tunnel));
        world_run(30000);
        world_fail(health(), FETCH_UNREACHABLE);
        world_answer(world_call("GET", "name=quiet-river-1a2b.trycloudflare.com"), 200, "{\"Status\":3}");
        assert_int_equal(tunnel_state(tunnel), TUNNEL_IS_TWILIGHT);
}

static void IICPD_04_28_its_output_is_bounded(void **state) {
        (void) state;
        /* a line of a megabyte, then the URL */
        helper("head -c 1048576 /dev/zero | tr '\\0' x; echo; " SHOWS_URL);
        up();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_04_28_fixed_arguments_clean_environment_no_descriptors),
                T(IICPD_04_28_ended_with_us_and_after_5_s_by_force),
                T(IICPD_04_28_a_free_kills_it),
                T(IICPD_04_28_not_installed),
                T(SDK_NODE_03_SDK_NODE_04_a_limit_of_the_provider_is_kept),
                T(IICPD_04_28_no_url_in_20_s),
                T(IICPD_04_27_a_given_tunnel_is_proved_by_our_id),
                T(IICPD_04_27_a_given_tunnel_has_30_s),
                T(IICPD_04_29_one_failure_is_twilight_two_build_it_anew),
                T(IICPD_04_29_after_three_rebuilds_it_is_dead),
                T(IICPD_04_29_an_unknown_name_is_asked_for_elsewhere),
                T(IICPD_04_28_its_output_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
