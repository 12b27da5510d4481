/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "directory/key.h"
#include "log.h"
#include "task/corridor.h"
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <iicp/codec.h>
#include <iicp/sign.h>
#include <netinet/in.h>
#include <stdio.h>

/* Who asks. [02 section 4.2; 05 section 4] */

#define OWN "ownTokenOwnTokenOwnTokenOwnToken"
#define CHAT "urn:iicp:intent:llm:chat:v1"

static const uint8_t seed[IICP_SEED] = {5};
static uint64_t now_ms;
static struct node node;
static struct config config;
static struct corridor corridor;
static char dir[64], pin[65], callers[256];

static uint64_t mono_us(void *arg) {
        (void) arg;
        return now_ms * 1000;
}

static int64_t wall_s(void *arg) {
        (void) arg;
        return 1790000000 + (int64_t) (now_ms / 1000);
}

static const struct clock driven = {.mono_us = mono_us, .wall_s = wall_s};

static int setup(void **state) {
        uint8_t key[IICP_SIGN_KEY];
        char why[256];

        (void) state;
        log_setup(LOG_F_TEXT, LOG_L_ERR);
        now_ms = 1000000;
        assert_int_equal(iicp_sign_public(seed, key), 0);
        iicp_hex(key, sizeof key, pin);
        snprintf(callers, sizeof callers, "%s", "alice:aliceTokenAliceTokenAliceTokenXX\n\nbareTokenBareTokenBareTokenBare1\r\n");
        config = (struct config){.directory_url = (char *) "https://dir.example.org/api", .directory_key = pin,
                                 .auth_mode = AUTH_REQUIRED, .caller_tokens = {.value = callers}};
        snprintf(dir, sizeof dir, "./test-principal-XXXXXX");
        assert_non_null(mkdtemp(dir));
        node = (struct node){.clock = &driven, .config = &config, .loop = loop_new(), .metrics = metrics_new()};
        assert_int_equal(state_open(dir, NULL, 1790000000, &node.state, why, sizeof why), 0);
        strcpy(state_identity(node.state)->node_token, OWN);
        node.keys = directory_keys_new(&node);
        directory_keys_start(node.keys);
        corridor = (struct corridor){.node = &node, .auth_failures = rate_new()};
        return 0;
}

static int teardown(void **state) {
        char command[128];

        (void) state;
        rate_free(corridor.auth_failures);
        directory_keys_free(node.keys);
        state_close(node.state);
        metrics_free(node.metrics);
        loop_free(node.loop);
        snprintf(command, sizeof command, "rm -rf '%s'", dir);
        return system(command);
}

static struct sockaddr_in address(const char *text) {
        struct sockaddr_in a = {.sin_family = AF_INET};

        assert_int_equal(inet_pton(AF_INET, text, &a.sin_addr), 1);
        return a;
}

static void token(const char *intent, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf claims = {0}, message = {0};
        uint8_t sig[IICP_SIGNATURE];
        char hex[2 * IICP_SIGNATURE + 1];

        iicp_buf_printf(&claims, "{\"v\":1,\"sub\":\"operator\",\"aud\":\"%s\",\"intent\":\"%s\",\"exp\":%lld}",
                        state_identity(node.state)->node_id, intent, (long long) wall_s(NULL) + 300);
        iicp_b64url_add(out, claims.p, claims.n);
        iicp_buf_puts(&message, IICP_DOMAIN_CONSUMER_TOKEN);
        iicp_buf_add_str(&message, iicp_buf_str(out));
        assert_int_equal(iicp_sign(seed, iicp_buf_str(&message), sig), 0);
        iicp_hex(sig, sizeof sig, hex);
        iicp_buf_printf(out, ".%s", hex);
}

static struct principal who(struct credentials shown) {
        static struct sockaddr_in peer;
        struct principal p;

        peer = address("127.0.0.1");
        if (!shown.peer)
                shown.peer = (struct sockaddr *) &peer;
        principal_resolve(&corridor, &shown, IICP_STR(CHAT), &p);
        return p;
}

static void IICPD_05_17_three_places_and_one_valid_suffices(void **state) {
        (void) state;
        assert_string_equal(who((struct credentials){.auth_token = IICP_STR(OWN)}).id, "operator");
        assert_string_equal(who((struct credentials){.authorization = IICP_STR("Bearer " OWN)}).id, "operator");
        assert_string_equal(who((struct credentials){.other_token = IICP_STR(OWN)}).id, "operator");
        assert_string_equal(who((struct credentials){.auth_token = IICP_STR("aliceTokenAliceTokenAliceTokenXX")}).id,
                            "caller:alice");
        assert_string_equal(who((struct credentials){.authorization = IICP_STR("bearer bareTokenBareTokenBareTokenBare1")}).id,
                            "caller:2");
        assert_string_equal(who((struct credentials){.auth_token = IICP_STR("wrong"),
                                                     .consumer_token = IICP_STR("wrong"),
                                                     .authorization = IICP_STR("Bearer " OWN)}).id, "operator");
        assert_int_equal(who((struct credentials){.auth_token = IICP_STR("alice")}).kind, PRINCIPAL_NONE);
        assert_int_equal(who((struct credentials){.auth_token = IICP_STR("")}).kind, PRINCIPAL_NONE);
        assert_int_equal(who((struct credentials){.authorization = IICP_STR(OWN)}).kind, PRINCIPAL_NONE);
        assert_int_equal(who((struct credentials){0}).kind, PRINCIPAL_NONE);
}

static void IICPD_05_17_scopes(void **state) {
        struct principal operator_ = who((struct credentials){.auth_token = IICP_STR(OWN)});
        struct principal alice = who((struct credentials){.auth_token = IICP_STR("aliceTokenAliceTokenAliceTokenXX")});

        (void) state;
        assert_true(operator_.scopes & SCOPE_OTHERS);
        assert_int_equal(alice.scopes, SCOPE_OWN);
}

static void IICPD_05_18_consumer_token_names_its_subject(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf chat = {0}, any = {0}, other = {0};
        struct principal p, o = who((struct credentials){.auth_token = IICP_STR(OWN)});
        uint8_t a[PRINCIPAL_OWNER], b[PRINCIPAL_OWNER];

        (void) state;
        token(CHAT, &chat);
        token("*", &any);
        token("urn:iicp:intent:llm:embedding:v1", &other);
        p = who((struct credentials){.consumer_token = iicp_buf_str(&chat)});
        assert_int_equal(p.kind, PRINCIPAL_CONSUMER);
        assert_string_equal(p.id, "operator");
        assert_int_equal(p.expires_at, wall_s(NULL) + 310);
        assert_false(p.scopes & SCOPE_OTHERS);
        assert_true(principal_fits(&p, IICP_STR(CHAT)));
        assert_false(principal_fits(&p, IICP_STR("urn:iicp:intent:llm:embedding:v1")));
        p = who((struct credentials){.consumer_token = iicp_buf_str(&any)});
        assert_true(principal_fits(&p, IICP_STR("urn:iicp:intent:llm:embedding:v1")));
        assert_int_equal(who((struct credentials){.consumer_token = iicp_buf_str(&other)}).kind, PRINCIPAL_NONE);
        /* a directory that calls somebody "operator" makes nobody the operator */
        principal_owner(&o, a);
        principal_owner(&p, b);
        assert_memory_not_equal(a, b, sizeof a);
}

static void IICPD_02_38_the_previous_token_is_good_for_60_s(void **state) {
        struct credentials old = {.auth_token = IICP_STR(OWN)};

        (void) state;
        strcpy(state_identity(node.state)->node_token, "newTokenNewTokenNewTokenNewToken");
        corridor_token_rotated(&corridor, OWN);
        now_ms += 59999;
        assert_string_equal(who(old).id, "operator");
        now_ms += 1;
        assert_int_equal(who(old).kind, PRINCIPAL_NONE);
        assert_string_equal(who((struct credentials){.auth_token = IICP_STR("newTokenNewTokenNewTokenNewToken")}).id, "operator");
}

static void IICPD_02_39_without_directory_key_consumer_tokens_count_as_absent(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf t = {0}, text = {0};

        (void) state;
        token(CHAT, &t);
        directory_keys_free(node.keys);
        config.directory_key = NULL;
        node.keys = directory_keys_new(&node);
        directory_keys_start(node.keys);
        assert_int_equal(who((struct credentials){.consumer_token = iicp_buf_str(&t)}).kind, PRINCIPAL_NONE);
        assert_string_equal(who((struct credentials){.consumer_token = iicp_buf_str(&t), .auth_token = IICP_STR(OWN)}).id,
                            "operator");
        metrics_print(node.metrics, &text);
        assert_non_null(strstr(text.p, "iicp_auth_failures_total{reason=\"no_directory_key\"} 1"));
}

static bool demand(struct sockaddr_in *peer, const char *shown, struct iicp_refusal *refusal) {
        struct credentials c = {.auth_token = iicp_str(shown), .peer = (struct sockaddr *) peer};
        struct principal p;

        return principal_demand(&corridor, &c, IICP_STR(CHAT), &p, refusal);
}

static void IICPD_05_17_a_refusal_tells_nothing(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf t = {0}, first = {0}, next = {0};
        struct sockaddr_in peer = address("127.0.0.1");
        struct iicp_refusal refusal;
        struct principal p;

        (void) state;
        assert_false(demand(&peer, NULL, &refusal));
        iicp_refusal_task_body(&refusal, IICP_STR_NONE, -1, &first);
        token("urn:iicp:intent:llm:embedding:v1", &t);
        for (int i = 0; i < 3; i++) {
                struct credentials c = {.peer = (struct sockaddr *) &peer};

                if (i == 0)
                        c.auth_token = IICP_STR("wrong");
                else
                        c.consumer_token = i == 1 ? iicp_buf_str(&t) : IICP_STR("x.y");
                assert_false(principal_demand(&corridor, &c, IICP_STR(CHAT), &p, &refusal));
                next.n = 0;
                iicp_refusal_task_body(&refusal, IICP_STR_NONE, -1, &next);
                assert_string_equal(first.p, next.p);
        }
}

static void IICPD_05_47_more_than_60_failures_in_60_s(void **state) {
        struct sockaddr_in stranger = address("203.0.113.9"), other = address("203.0.113.10");
        struct sockaddr_in local = address("127.0.0.1");
        struct iicp_refusal refusal;

        (void) state;
        for (int i = 0; i < 61; i++) {
                assert_false(demand(&stranger, "wrong", &refusal));
                assert_int_equal(refusal.id, IICP_REFUSE_UNAUTHORIZED);
        }
        /* even with a good one: it may be guessing */
        assert_false(demand(&stranger, OWN, &refusal));
        assert_int_equal(refusal.id, IICP_REFUSE_AUTH_RATE_LIMITED);
        assert_int_equal(iicp_refusal_info(refusal.id)->status, 429);
        assert_true(demand(&other, OWN, &refusal));
        now_ms += 60000;
        assert_true(demand(&stranger, OWN, &refusal));
        for (int i = 0; i < 200; i++)
                demand(&local, "wrong", &refusal);
        assert_int_equal(refusal.id, IICP_REFUSE_UNAUTHORIZED);
}

static void IICPD_05_16_refused_counts_are_logged_at_most_hourly(void **state) {
        struct sockaddr_in local = address("127.0.0.1");
        struct iicp_refusal refusal;

        (void) state;
        demand(&local, "wrong", &refusal);
        assert_int_equal(corridor.said_refused_ms, now_ms);
        assert_int_equal(corridor.refused_without, 0);
        now_ms += 3599999;
        demand(&local, "wrong", &refusal);
        assert_int_equal(corridor.refused_without, 1);
        now_ms += 1;
        demand(&local, NULL, &refusal);
        assert_int_equal(corridor.refused_without, 0);
        assert_int_equal(corridor.said_refused_ms, now_ms);
        config.auth_mode = AUTH_OPEN; /* a lifecycle resource of an open node */
        demand(&local, NULL, &refusal);
        assert_int_equal(corridor.refused_without, 0);
}

static void IICPD_05_17_a_token_in_clear_over_a_public_network_is_warned_of_hourly(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf t = {0};
        struct sockaddr_in public = address("8.8.8.8"), home = address("192.168.1.7");
        struct credentials c = {.auth_token = IICP_STR(OWN), .peer = (struct sockaddr *) &home};

        (void) state;
        who(c);
        assert_int_equal(corridor.warned_in_clear_ms, 0);
        c.peer = (struct sockaddr *) &public;
        c.tls = true;
        who(c);
        assert_int_equal(corridor.warned_in_clear_ms, 0);
        token(CHAT, &t);
        who((struct credentials){.consumer_token = iicp_buf_str(&t), .peer = (struct sockaddr *) &public});
        assert_int_equal(corridor.warned_in_clear_ms, 0);
        c.tls = false;
        who(c);
        assert_int_equal(corridor.warned_in_clear_ms, now_ms);
        now_ms += 3599999;
        who(c);
        assert_int_not_equal(corridor.warned_in_clear_ms, now_ms);
        now_ms += 1;
        who(c);
        assert_int_equal(corridor.warned_in_clear_ms, now_ms);
}

static void IICPD_05_24_values_of_two_principals_never_meet(void **state) {
        struct principal operator_ = who((struct credentials){.auth_token = IICP_STR(OWN)});
        struct principal alice = who((struct credentials){.auth_token = IICP_STR("aliceTokenAliceTokenAliceTokenXX")});
        struct principal nobody = {0};
        struct principal_value a, b, c, again;
        struct seen *seen = seen_new();

        (void) state;
        principal_value(&operator_, IICP_STR("id"), &a);
        principal_value(&alice, IICP_STR("id"), &b);
        principal_value(&nobody, IICP_STR("id"), &c);
        principal_value(&alice, IICP_STR("id"), &again);
        assert_int_equal(a.text.n, 32);
        assert_int_equal(b.text.n, 32);
        assert_int_equal(seen_add(seen, c.text, now_ms), 0);
        assert_int_equal(seen_add(seen, a.text, now_ms), 0);
        assert_int_equal(seen_add(seen, b.text, now_ms), 0);
        assert_int_equal(seen_add(seen, again.text, now_ms), -EEXIST);
        assert_true(SEEN_ENTRIES_MAX >= 65536);
        seen_free(seen);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(IICPD_05_17_three_places_and_one_valid_suffices, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_17_scopes, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_18_consumer_token_names_its_subject, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_02_38_the_previous_token_is_good_for_60_s, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_02_39_without_directory_key_consumer_tokens_count_as_absent, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_17_a_refusal_tells_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_47_more_than_60_failures_in_60_s, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_16_refused_counts_are_logged_at_most_hourly, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_17_a_token_in_clear_over_a_public_network_is_warned_of_hourly, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_24_values_of_two_principals_never_meet, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
