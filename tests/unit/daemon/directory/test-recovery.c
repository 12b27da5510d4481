/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <stdio.h>
#include <sys/stat.h>

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"

#define DIR (world->node.directory)
#define GOOD "{\"ok\":true,\"next_heartbeat_ms\":30000}"

static void start(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
}

static struct fetch *next(void) {
        world_run(60000);
        return world_call("POST", "/v1/heartbeat");
}

/* So many good beats. */
static void beats(unsigned n) {
        while (n-- > 0)
                world_answer(next(), 200, GOOD);
        world_run(1);
}

static void expect(enum recovery_state state, enum recovery_action action) {
        assert_string_equal(recovery_state_name(DIR->recovery.state), recovery_state_name(state));
        assert_string_equal(recovery_action_name(DIR->recovery.action), recovery_action_name(action));
}

static unsigned calls(const char *what) {
        unsigned n = 0;

        for (unsigned i = 0; i < world->n_calls; i++)
                n += strstr(world->calls[i].url, what) != NULL;
        return n;
}

static bool open_call(const char *path) {
        for (unsigned i = 0; i < world->n_calls; i++)
                if (!world->calls[i].over && strstr(world->calls[i].url, path))
                        return true;
        return false;
}

static void supervise(void) {
        DIR->recovery.supervised = true;
}

/* ---- the tick ---- */

static void IICPD_01_94_every_second_good_beat(void **state) {
        (void) state;
        start();
        beats(1);
        assert_int_equal(calls("/registry/"), 0);
        beats(1);
        assert_int_equal(calls("/registry/"), 1);
        assert_int_equal(calls("/iicp/health"), 1);
        beats(4);
        assert_int_equal(calls("/registry/"), 3);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

static void IICPD_01_94_as_often_as_configured(void **state) {
        (void) state;
        world->config.recovery_every = 5;
        start();
        beats(4);
        assert_int_equal(calls("/registry/"), 0);
        beats(1);
        assert_int_equal(calls("/registry/"), 1);
}

static void IICPD_01_94_every_minute_while_degraded(void **state) {
        unsigned before;

        (void) state;
        start();
        beats(2);
        world->config.recovery_every = 100;
        world->stability.state = STATE_DRAINING;
        directory_poke(DIR);
        expect(RECOVERY_BACKEND_ATTENTION, RECOVERY_LEAVE_TO_BACKEND);
        before = calls("/iicp/health");
        world_run(59000);
        assert_int_equal(calls("/iicp/health"), before);
        world_run(1001);
        assert_int_equal(calls("/iicp/health"), before + 1);
}

static void IICPD_01_94_inputs_and_their_times(void **state) {
        struct fetch *own = NULL, *registry = NULL;

        (void) state;
        start();
        beats(1);
        world_answer(next(), 200, GOOD);
        for (unsigned i = 0; i < world->n_calls; i++) {
                if (strstr(world->calls[i].url, "/iicp/health"))
                        own = &world->calls[i];
                if (strstr(world->calls[i].url, "/registry/nodes/"))
                        registry = &world->calls[i];
        }
        assert_non_null(own);
        assert_non_null(registry);
        assert_int_equal(own->timeout_ms, 2000);
        assert_string_equal(own->url, "http://127.0.0.1:9484/iicp/health");
        assert_int_equal(registry->timeout_ms, 5000);
        assert_null(world_header(registry, "Authorization"));
}

static void IICPD_01_89_the_full_id_is_asked_for(void **state) {
        char url[256];

        (void) state;
        start();
        beats(2);
        snprintf(url, sizeof url, "https://dir.example.org/api/v1/registry/nodes/%s",
                 state_identity(world->node.state)->node_id);
        assert_int_equal(calls(url), 1);
}

/* A node that said it is not available is not in the registry: a miss would mean nothing. */
static void IICPD_01_89_not_asked_while_not_available(void **state) {
        (void) state;
        world->available = false;
        world->registry = 404;
        start();
        beats(4);
        assert_int_equal(calls("/registry/"), 0);
        assert_true(calls("/iicp/health") > 0);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

/* ---- presence ---- */

static void IICPD_01_95_absent_registers_again(void **state) {
        (void) state;
        start();
        world->registry = 404;
        world->registry_body = "{\"error\":\"REGISTRY-NODE-NOT-FOUND\",\"message\":\"x\"}";
        beats(2);
        expect(RECOVERY_ROUTE_MISMATCH, RECOVERY_REREGISTER);
        assert_int_equal(DIR->recovery.failures, 1);
        assert_true(open_call("/v1/register"));
        world_accept(TOKEN_B, KEY_A);
        assert_int_equal(DIR->recovery.failures, 0);
        world->registry = 200;
        world_run(5000);
        world_answer(world_call("POST", "/v1/heartbeat"), 200, GOOD);
        world_run(60000);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

static void IICPD_01_95_unknown_changes_nothing(void **state) {
        (void) state;
        start();
        beats(2);
        world->registry = 429;
        beats(6);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
        world->registry = 0;
        beats(6);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
        assert_int_equal(DIR->recovery.failures, 0);
}

/* A directory that takes us and does not list us (or has no such route) gets no endless series. */
static void IICPD_01_53_absence_is_no_timer_for_registrations(void **state) {
        (void) state;
        start();
        world->registry = 404;
        for (unsigned i = 0; i < 60; i++) {
                world_run(30000);
                if (open_call("/v1/register"))
                        world_accept(TOKEN_B, KEY_A);
                if (open_call("/v1/heartbeat"))
                        world_answer(world_call("POST", "/v1/heartbeat"), 200, GOOD);
        }
        assert_int_equal(calls("/v1/register"), 1 + 3);
        assert_int_equal(world->restart_status, 0);
        expect(RECOVERY_STABLE, RECOVERY_NONE); /* this registry never knew us */
}

static void IICPD_01_53_a_registry_that_knew_us_is_asked_again_in_an_hour(void **state) {
        unsigned registrations = 0;

        (void) state;
        start();
        supervise();
        beats(2);
        world->registry = 404;
        for (unsigned i = 0; i < 150; i++) {
                world_run(30000);
                if (open_call("/v1/register")) {
                        registrations++;
                        world_accept(TOKEN_B, KEY_A);
                }
                if (open_call("/v1/heartbeat"))
                        world_answer(world_call("POST", "/v1/heartbeat"), 200, GOOD);
        }
        assert_int_equal(registrations, 3 + 1);
        assert_int_equal(world->restart_status, 0);
        assert_int_equal(DIR->recovery.state, RECOVERY_ROUTE_MISMATCH);
        world->registry = 200;
        beats(4);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
        assert_int_equal(DIR->recovery.fruitless, 0);
}

/* ---- the directory is away ---- */

static void IICPD_04_36_a_lost_directory_is_no_reason_to_act(void **state) {
        (void) state;
        start();
        supervise();
        beats(2);
        for (unsigned i = 0; i < 20; i++)
                world_answer(next(), 503, "");
        expect(RECOVERY_UNAVAILABLE, RECOVERY_WAIT_COOLDOWN);
        assert_int_equal(calls("/v1/register"), 1);
        assert_int_equal(world->restart_status, 0);
        assert_int_equal(DIR->recovery.failures, 0);
        assert_int_equal(calls("/registry/"), 1);
        beats(1);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

/* Away and with it the network: the route counts when somebody answers again. */
static void IICPD_04_36_no_network_is_no_failure_of_the_route(void **state) {
        (void) state;
        start();
        supervise();
        beats(2);
        world->endpoint[0] = '\0';
        for (unsigned i = 0; i < 20; i++)
                world_fail(next(), FETCH_UNREACHABLE);
        expect(RECOVERY_UNAVAILABLE, RECOVERY_WAIT_COOLDOWN);
        assert_int_equal(world->restart_status, 0);
        snprintf(world->endpoint, sizeof world->endpoint, "https://node.example.com");
        beats(1);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

static void IICPD_01_95_rejected_and_silent_registers_again(void **state) {
        (void) state;
        start();
        world_answer(next(), 401, "{\"error\":{\"code\":\"unauthorized\",\"message\":\"x\"}}");
        world_run(5000);
        world_fail(world_call("POST", "/v1/register"), FETCH_UNREACHABLE);
        for (unsigned i = 0; i < 6; i++) {
                world_run(60000);
                if (open_call("/v1/register"))
                        world_fail(world_call("POST", "/v1/register"), FETCH_UNREACHABLE);
        }
        expect(RECOVERY_UNAVAILABLE, RECOVERY_REREGISTER);
}

static void IICPD_01_48_refused_for_good_needs_the_operator(void **state) {
        (void) state;
        directory_start(DIR);
        world_answer(world_call("POST", "/v1/register"), 422,
                     "{\"error\":{\"code\":\"validation_error\",\"message\":\"x\",\"fields\":{\"region\":[\"bad\"]}}}");
        expect(RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_WAIT_COOLDOWN);
        assert_int_equal(world->restart_status, 0);
}

/* ---- route ---- */

static void IICPD_01_95_lost_route_waits_then_asks_for_help(void **state) {
        (void) state;
        start();
        beats(2);
        world->endpoint[0] = '\0';
        directory_poke(DIR);
        expect(RECOVERY_ENDPOINT_DEAD, RECOVERY_WAIT_COOLDOWN);
        beats(2);
        expect(RECOVERY_ENDPOINT_DEAD, RECOVERY_WAIT_COOLDOWN);
        beats(4);
        expect(RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_OPERATOR_ENDPOINT_NEEDED);
        assert_int_equal(world->restart_status, 0);
        snprintf(world->endpoint, sizeof world->endpoint, "https://node.example.com");
        beats(2);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

static void IICPD_01_95_another_route_is_registered(void **state) {
        (void) state;
        start();
        beats(2);
        snprintf(world->endpoint, sizeof world->endpoint, "https://other.example.com");
        directory_poke(DIR);
        expect(RECOVERY_ROUTE_MISMATCH, RECOVERY_REREGISTER);
        world_accept(TOKEN_B, KEY_A);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

static void IICPD_01_96_a_wish_for_promotion_alone_restarts_nothing(void **state) {
        (void) state;
        start();
        supervise();
        world->registry_body = "{\"routing_hint\":\"http_ipv6\",\"route_evidence\":\"self_attested\"}";
        beats(10);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
        assert_true(DIR->recovery.needs_promotion);
        world->registry_body = "{\"routing_hint\":\"http_ipv6\",\"route_evidence\":\"directory_observed\"}";
        beats(2);
        assert_false(DIR->recovery.needs_promotion);
}

/* ---- ourselves ---- */

static void IICPD_01_95_own_health_needs_two_misses(void **state) {
        (void) state;
        start();
        supervise();
        beats(1);
        world->own_health = 0;
        world_answer(next(), 200, GOOD);
        assert_int_equal(calls("/iicp/health"), 1);
        world_run(0);
        assert_int_equal(calls("/iicp/health"), 2);
        assert_int_equal(world->restart_status, 76);
        expect(RECOVERY_SUPERVISOR_RESTART_PENDING, RECOVERY_RESTART_SELF);
}

/* The certificate is for another name than the loopback address. */
static void IICPD_01_94_a_port_with_tls_answers_by_its_handshake(void **state) {
        struct fetch *own = NULL;

        (void) state;
        world->tls = true;
        start();
        supervise();
        beats(1);
        world_answer(next(), 200, GOOD);
        for (unsigned i = 0; i < world->n_calls; i++)
                if (strstr(world->calls[i].url, "/iicp/health"))
                        own = &world->calls[i];
        assert_non_null(own);
        assert_string_equal(own->url, "https://127.0.0.1:9484/iicp/health");
        world_fail(own, FETCH_TLS);
        world_run(0);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
        assert_int_equal(world->restart_status, 0);
}

static void IICPD_01_97_unsupervised_goes_on(void **state) {
        (void) state;
        start();
        world->own_health = 500;
        beats(4);
        expect(RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_OPERATOR_ENDPOINT_NEEDED);
        assert_int_equal(world->restart_status, 0);
        assert_int_equal(directory_state(DIR), DIRECTORY_REGISTERED);
        world->own_health = 200;
        beats(2);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

static void IICPD_01_97_not_when_the_operator_does_not_want_it(void **state) {
        (void) state;
        world->config.recovery_restart = false;
        start();
        supervise();
        world->own_health = 500;
        beats(2);
        expect(RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_OPERATOR_ENDPOINT_NEEDED);
        assert_int_equal(world->restart_status, 0);
}

/* The process is started again each time; the state file counts. */
static void IICPD_01_98_counted_over_restarts(void **state) {
        (void) state;
        world->own_health = 500;
        for (unsigned i = 0; i < 6; i++) {
                char why[256];

                world->restart_status = 0;
                if (i > 0) {
                        directory_free(DIR);
                        state_close(world->node.state);
                        assert_int_equal(state_open(world->dir, NULL, 1790000000, &world->node.state, why, sizeof why), 0);
                        DIR = directory_new(&world->node);
                }
                start();
                supervise();
                beats(2);
                assert_int_equal(world->restart_status, i < 5 ? 76 : 0);
        }
        expect(RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_OPERATOR_ENDPOINT_NEEDED);
        beats(150); /* more than an hour */
        assert_int_equal(world->restart_status, 76);
}

/* Uncounted restarts could go on for ever. */
static void IICPD_01_98_no_restart_that_cannot_be_counted(void **state) {
        char path[128];

        (void) state;
        start();
        supervise();
        snprintf(path, sizeof path, "%s/.identity.json.new", world->dir);
        assert_int_equal(mkdir(path, 0700), 0);
        world->own_health = 500;
        beats(2);
        assert_int_equal(world->restart_status, 0);
        expect(RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_OPERATOR_ENDPOINT_NEEDED);
}

/* ---- sleep ---- */

/* The machine sleeps: only the clock that counts it goes on. */
static void sleep_for(uint64_t ms) {
        world->asleep_ms += ms;
        directory_hurry(DIR);
        world_run(0);
}

static void IICPD_01_68_after_a_gap_a_heartbeat_comes_first(void **state) {
        struct fetch *f;

        (void) state;
        start();
        beats(2);
        world_run(10000);
        sleep_for(3600000);
        f = world_call("POST", "/v1/heartbeat");
        snprintf(world->endpoint, sizeof world->endpoint, "https://other.example.com"); /* it moved meanwhile */
        directory_poke(DIR);
        world_run(3000);
        assert_int_equal(calls("/v1/register"), 1); /* waits */
        world_answer(f, 200, GOOD);
        assert_int_equal(calls("/v1/register"), 2);
}

static void IICPD_01_68_the_same_route_is_not_registered_again(void **state) {
        (void) state;
        start();
        beats(2);
        world_run(10000);
        sleep_for(3600000);
        world_answer(world_call("POST", "/v1/heartbeat"), 200, GOOD);
        beats(3);
        assert_int_equal(calls("/v1/register"), 1);
        expect(RECOVERY_STABLE, RECOVERY_NONE);
}

static void IICPD_01_18_a_short_nap_is_no_gap(void **state) {
        (void) state;
        start();
        beats(1);
        world_run(10000);
        sleep_for(60000);
        assert_true(world_idle());
        assert_false(DIR->beat.owed);
}

static void IICPD_01_19_beats_after_sleep_keep_their_distance(void **state) {
        (void) state;
        start();
        beats(1);
        while (!open_call("/v1/heartbeat"))
                world_run(100);
        world_answer(world_call("POST", "/v1/heartbeat"), 200, GOOD); /* at most 100 ms old */
        world->asleep_ms += 5000;
        world_run(2000);
        DIR->beat.failures = 1;
        directory_hurry(DIR); /* 7 s after the last one */
        world_run(2899);
        assert_true(world_idle());
        world_run(101);
        world_call("POST", "/v1/heartbeat");
}

/* ---- what is told ---- */

static void IICPD_01_72_recovery_fields_only_while_not_stable(void **state) {
        struct fetch *f;

        (void) state;
        start();
        f = next();
        assert_null(strstr(f->body, "recovery"));
        assert_non_null(strstr(f->body, "\"backend_stability\":{\"backend_state\":\"ok\",\"reason_class\":\"ok\"}"));
        world_answer(f, 200, GOOD);
        world->endpoint[0] = '\0';
        f = next();
        assert_non_null(strstr(f->body, "\"recovery_state\":\"endpoint_dead\",\"recovery_action\":\"wait_cooldown\","
                                        "\"route_recovery_hint\":\"route_recovering\",\"recovery_attempt\":0,"
                                        "\"recovery_supervised\":false"));
        assert_null(strstr(f->body, "example.com"));
        assert_null(strstr(f->body, TOKEN_A));
        world_answer(f, 200, GOOD);
        snprintf(world->endpoint, sizeof world->endpoint, "https://node.example.com");
        beats(2);
        assert_null(strstr(next()->body, "recovery"));
}

static void IICPD_04_36_status_tells_state_reason_and_age(void **state) {
        struct iicp_buf out = {0};
        json_object *o, *v;

        (void) state;
        start();
        beats(2);
        world->endpoint[0] = '\0';
        directory_poke(DIR);
        world_run(7000);
        recovery_json(DIR, &out);
        o = json_tokener_parse(out.p);
        assert_non_null(o);
        assert_true(json_object_object_get_ex(o, "state", &v));
        assert_string_equal(json_object_get_string(v), "endpoint_dead");
        assert_true(json_object_object_get_ex(o, "reason", &v));
        assert_string_equal(json_object_get_string(v), "the way in is lost");
        assert_true(json_object_object_get_ex(o, "age_s", &v));
        assert_int_equal(json_object_get_int(v), 7);
        json_object_put(o);
        iicp_buf_free(&out);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

static void IICPD_04_37_hints_are_words_of_a_closed_set(void **state) {
        static const char *const words[] = {"route_recovering", "lease_lost", "relay_lost", "tunnel_provider_rate_limited",
                                            "port_forward", "set_public_endpoint", "router_setting", "router_full", "cgnat",
                                            "double_nat", "ipv6_firewall", "host_firewall", "container", "no_relay",
                                            "tunnel_cooldown", "tunnel_not_installed", "directory_blind_ipv6"};
        struct directory *d = world->node.directory;
        bool limited = false;

        (void) state;
        for (unsigned n = 0; n < 4 * (RECOVERY_UNAVAILABLE + 1u); n++) {
                const char *hint;
                bool known = false;

                d->recovery.state = (enum recovery_state) (n / 4);
                world->tunnel_limited = n & 1;
                snprintf(world->endpoint, sizeof world->endpoint, "%s", n & 2 ? "https://node.example.com" : "");
                hint = recovery_hint(d);
                for (size_t i = 0; hint && i < sizeof words / sizeof words[0]; i++)
                        known |= strcmp(hint, words[i]) == 0;
                assert_true(!hint || known);
                limited |= hint && strcmp(hint, "tunnel_provider_rate_limited") == 0;
        }
        assert_true(limited);
        d->recovery.state = RECOVERY_STABLE;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_04_37_hints_are_words_of_a_closed_set),
                T(IICPD_01_94_every_second_good_beat),
                T(IICPD_01_94_as_often_as_configured),
                T(IICPD_01_94_every_minute_while_degraded),
                T(IICPD_01_94_inputs_and_their_times),
                T(IICPD_01_89_the_full_id_is_asked_for),
                T(IICPD_01_89_not_asked_while_not_available),
                T(IICPD_01_95_absent_registers_again),
                T(IICPD_01_95_unknown_changes_nothing),
                T(IICPD_01_53_absence_is_no_timer_for_registrations),
                T(IICPD_01_53_a_registry_that_knew_us_is_asked_again_in_an_hour),
                T(IICPD_04_36_a_lost_directory_is_no_reason_to_act),
                T(IICPD_04_36_no_network_is_no_failure_of_the_route),
                T(IICPD_01_95_rejected_and_silent_registers_again),
                T(IICPD_01_48_refused_for_good_needs_the_operator),
                T(IICPD_01_95_lost_route_waits_then_asks_for_help),
                T(IICPD_01_95_another_route_is_registered),
                T(IICPD_01_96_a_wish_for_promotion_alone_restarts_nothing),
                T(IICPD_01_95_own_health_needs_two_misses),
                T(IICPD_01_94_a_port_with_tls_answers_by_its_handshake),
                T(IICPD_01_97_unsupervised_goes_on),
                T(IICPD_01_97_not_when_the_operator_does_not_want_it),
                T(IICPD_01_98_counted_over_restarts),
                T(IICPD_01_98_no_restart_that_cannot_be_counted),
                T(IICPD_01_68_after_a_gap_a_heartbeat_comes_first),
                T(IICPD_01_68_the_same_route_is_not_registered_again),
                T(IICPD_01_18_a_short_nap_is_no_gap),
                T(IICPD_01_19_beats_after_sleep_keep_their_distance),
                T(IICPD_01_72_recovery_fields_only_while_not_stable),
                T(IICPD_04_36_status_tells_state_reason_and_age),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
