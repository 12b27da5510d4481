/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/words.h"
#include "managed.h"
#include "tunnel/pace.h"
#include "vectors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What needs no process: words, shared files, the managed profile. [04 sections 10, 12] */

static struct json_object *want(struct json_object *c) {
        struct json_object *v = NULL;

        return json_object_object_get_ex(c, "expect", &v) ? v : vector_find(c, "shipped");
}

static void IICPD_04_28_url_of_the_output(void **state) {
        struct json_object *file = vector_ours("reachability/tunnel.json");

        (void) state;
        vector_each(vector_get(file, "url_from_output"), c) {
                struct json_object *url = want(c);
                char out[TUNNEL_URL_MAX] = "";
                bool found = tunnel_url_in(vector_str(c, "line"), out);

                assert_int_equal(found, url != NULL);
                if (url)
                        assert_string_equal(out, json_object_get_string(url));
        }
        json_object_put(file);
}

static void SDK_NODE_03_limits_of_the_provider_are_seen(void **state) {
        struct json_object *file = vector_ours("reachability/tunnel.json");

        (void) state;
        vector_each(vector_get(file, "rate_limited"), c) {
                bool limited = false;

                vector_each(vector_get(c, "last_lines"), line)
                        limited |= tunnel_limited_in(iicp_str(json_object_get_string(line)));
                assert_int_equal(limited, json_object_get_boolean(want(c)));
        }
        json_object_put(file);
}

static enum tunnel_dead named(const char *word) {
        return strcmp(word, "retry") == 0 ? TUNNEL_DEAD_RETRY : strcmp(word, "exit") == 0 ? TUNNEL_DEAD_EXIT
               : strcmp(word, "log-only") == 0 ? TUNNEL_DEAD_LOG_ONLY : TUNNEL_DEAD_AUTO;
}

static void IICPD_04_29_dead_policies_and_delays(void **state) {
        struct json_object *file = vector_ours("reachability/tunnel.json");
        unsigned n = 0;

        (void) state;
        vector_each(vector_get(file, "dead_policy"), c) {
                enum tunnel_dead policy = named(json_object_get_string(vector_get(c, "policy")));

                assert_int_equal(tunnel_dead_behaviour(policy, json_object_get_boolean(vector_get(c, "supervised"))),
                                 named(json_object_get_string(vector_get(c, "behaviour"))));
        }
        vector_each(vector_get(file, "dead_retry_delay_s"), delay)
                assert_int_equal(tunnel_retry_s(++n), json_object_get_int(delay));
        json_object_put(file);
}

/* ---- shared files ---- */

struct folder {
        char path[64], gate[128], lock[128], cooldown[128];
        struct tunnel_pace pace;
};

static int setup(void **state) {
        struct folder *f = calloc(1, sizeof *f);

        snprintf(f->path, sizeof f->path, "./test-pace-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        snprintf(f->gate, sizeof f->gate, "%s/state/quick_tunnel_create_gate.json", f->path);
        snprintf(f->lock, sizeof f->lock, "%s/state/quick_tunnel_create.lock", f->path);
        snprintf(f->cooldown, sizeof f->cooldown, "%s/state/quick_tunnel_rate_limit.json", f->path);
        f->pace = (struct tunnel_pace){f->gate, f->lock, f->cooldown, 120, 45, 900};
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct folder *f = *state;
        char command[160];

        snprintf(command, sizeof command, "rm -rf '%s'", f->path);
        assert_int_equal(system(command), 0);
        free(f);
        return 0;
}

static void put(const char *path, const char *text) {
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static double member(const char *path, const char *name) {
        struct json_object *o = json_object_from_file(path);
        double v = json_object_get_double(vector_get(o, name));

        json_object_put(o);
        return v;
}

/* Same members, same kinds, as a node of the SDKs writes them. */
static void like(const char *path, struct json_object *wanted) {
        struct json_object *o = json_object_from_file(path);

        assert_non_null(o);
        assert_int_equal(json_object_object_length(o), json_object_object_length(wanted));
        json_object_object_foreach(wanted, key, value) {
                struct json_object *mine = vector_get(o, key);

                assert_int_equal(json_object_get_type(mine), json_object_get_type(value));
                if (strcmp(key, "pid") != 0)
                        assert_true(json_object_equal(mine, value) ||
                                    fabs(json_object_get_double(mine) - json_object_get_double(value)) < 0.001);
        }
        json_object_put(o);
}

static void SDK_NODE_04_state_files_are_those_of_the_sdks(void **state) {
        struct json_object *file = vector_ours("reachability/tunnel.json"), *files = vector_get(file, "state_files");
        struct folder *f = *state;
        struct stat st;
        double wait;

        assert_int_equal(pace_take(&f->pace, 1800000000.0, &wait), PACE_FREE);
        like(f->gate, vector_get(files, "quick_tunnel_create_gate.json"));
        like(f->lock, vector_get(files, "quick_tunnel_create.lock"));
        assert_int_equal(stat(f->lock, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        pace_limited(&f->pace, 1800000000.0);
        like(f->cooldown, vector_get(files, "quick_tunnel_rate_limit.json"));
        json_object_put(file);
}

static void SDK_NODE_04_one_at_a_time_and_spaced(void **state) {
        struct json_object *file = vector_ours("reachability/tunnel.json");
        struct folder *f = *state;
        double wait;

        assert_int_equal(pace_take(&f->pace, 1800000000.0, &wait), PACE_FREE);
        vector_each(vector_get(file, "gate_cases"), c) {
                assert_true(fabs(pace_gate_left(&f->pace, json_object_get_double(vector_get(c, "now"))) -
                                 json_object_get_double(vector_get(c, "remaining_s"))) < 0.001);
                assert_int_equal(access(f->gate, F_OK) == 0, json_object_get_boolean(vector_get(c, "file_after")));
        }
        /* the gate is gone, the lease is held: refused until it expires */
        assert_int_equal(pace_take(&f->pace, 1800000044.0, &wait), PACE_LEASED);
        assert_true(fabs(wait - 1.0) < 0.001);
        assert_int_equal(pace_take(&f->pace, 1800000045.0, &wait), PACE_FREE);
        pace_release(&f->pace);
        assert_int_equal(pace_take(&f->pace, 1800000046.0, &wait), PACE_SPACING);
        assert_true(fabs(wait - 119.0) < 0.001);
        json_object_put(file);
}

static void SDK_NODE_03_a_cooldown_comes_first_and_ends(void **state) {
        struct folder *f = *state;
        double wait;

        pace_limited(&f->pace, 1800000000.0);
        assert_int_equal(pace_take(&f->pace, 1800000001.0, &wait), PACE_COOLDOWN);
        assert_true(fabs(wait - 899.0) < 0.001);
        assert_int_equal(access(f->gate, F_OK), -1); /* a refused try uses nothing up */
        assert_int_equal(pace_take(&f->pace, 1800000900.0, &wait), PACE_FREE);
        assert_int_equal(access(f->cooldown, F_OK), -1);
        assert_true(fabs(member(f->gate, "quick_tunnel_create_not_before") - 1800001020.0) < 0.001);
}

static void SDK_NODE_04_corrupt_files_count_as_none(void **state) {
        struct json_object *file = vector_ours("reachability/tunnel.json");
        struct folder *f = *state;
        double wait;

        assert_int_equal(pace_take(&f->pace, 1800000000.0, &wait), PACE_FREE);
        vector_each(vector_get(file, "gate_corrupt"), c) {
                put(f->gate, json_object_get_string(vector_get(c, "file")));
                assert_true(pace_gate_left(&f->pace, 1800000000.0) <= 0);
        }
        put(f->gate, "{\"quick_tunnel_create_not_before\":1e300}");
        assert_true(pace_gate_left(&f->pace, 1800000000.0) <= 0);
        put(f->lock, "no json");
        assert_int_equal(pace_take(&f->pace, 1800000000.0, &wait), PACE_FREE);
        json_object_put(file);
}

static void SDK_NODE_04_an_unwritable_place_stops_nobody(void **state) {
        struct tunnel_pace nowhere = {"/proc/no/gate", "/proc/no/lock", "/proc/no/cooldown", 120, 45, 900};
        double wait;

        (void) state;
        assert_int_equal(pace_take(&nowhere, 1800000000.0, &wait), PACE_FREE);
        pace_limited(&nowhere, 1800000000.0);
        pace_release(&nowhere);
}

static bool is(struct json_object *o, const char *name) {
        return json_object_get_boolean(vector_get(o, name));
}

static void IICPD_05_58_managed_operator_vectors(void **state) {
        struct json_object *file = vector_public("security/managed-operator-v1.json");

        (void) state;
        vector_each(vector_get(file, "vectors"), v) {
                struct json_object *in = vector_get(v, "input"), *out = vector_get(v, "expected");
                struct managed_facts f = {
                        .mode = json_object_get_string(vector_get(in, "mode")),
                        .authentication = is(in, "authentication_configured"),
                        .protected_identity = is(in, "identity_storage_protected"),
                        .update = is(in, "auto_update_requested"),
                        .update_authenticated = is(in, "update_authenticated"),
                        .rollback_verified = is(in, "rollback_verified"),
                        .upnp = is(in, "upnp_requested"), .upnp_approved = is(in, "upnp_approved"),
                        .tunnel = is(in, "tunnel_requested"), .tunnel_approved = is(in, "tunnel_approved"),
                };
                const char *reason = "";

                assert_int_equal(managed_accepts(&f, &reason), is(out, "accepted"));
                assert_string_equal(reason, json_object_get_string(vector_get(out, "reason")));
        }
        json_object_put(file);
}

/* Our own cases, for where the public ones are not there. */
static void IICPD_05_58_reasons_in_order(void **state) {
        struct managed_facts f = {.mode = "managed", .update = true, .upnp = true, .tunnel = true};
        bool *const cures[] = {&f.authentication, &f.protected_identity, &f.update_authenticated, &f.rollback_verified,
                               &f.upnp_approved, &f.tunnel_approved};
        static const char *const reasons[] = {"authentication_required", "protected_identity_storage_required",
                                              "authenticated_update_required", "rollback_required", "upnp_approval_required",
                                              "tunnel_approval_required"};
        const char *reason;

        (void) state;
        for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
                assert_false(managed_accepts(&f, &reason));
                assert_string_equal(reason, reasons[i]);
                *cures[i] = true;
        }
        assert_true(managed_accepts(&f, &reason));
        f.mode = "careful";
        assert_false(managed_accepts(&f, &reason));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_28_url_of_the_output),
                cmocka_unit_test(SDK_NODE_03_limits_of_the_provider_are_seen),
                cmocka_unit_test(IICPD_04_29_dead_policies_and_delays),
                T(SDK_NODE_04_state_files_are_those_of_the_sdks),
                T(SDK_NODE_04_one_at_a_time_and_spaced),
                T(SDK_NODE_03_a_cooldown_comes_first_and_ends),
                T(SDK_NODE_04_corrupt_files_count_as_none),
                cmocka_unit_test(SDK_NODE_04_an_unwritable_place_stops_nobody),
                cmocka_unit_test(IICPD_05_58_managed_operator_vectors),
                cmocka_unit_test(IICPD_05_58_reasons_in_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
