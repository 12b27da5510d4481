/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/peers.h"
#include "vectors.h"

#include <errno.h>
#include <stdio.h>

#define NOW 1000000

static struct peer peer(const char *id, int64_t seen_ms, enum peer_source_kind source) {
        struct peer p = {.source = source, .seen_ms = seen_ms, .reputation = -1};

        snprintf(p.node_id, sizeof p.node_id, "%s", id);
        snprintf(p.endpoint, sizeof p.endpoint, "http://7.7.7.%d:9484", (int) source);
        return p;
}

static struct peer *learn(struct peers *t, const char *id, int64_t seen_ms, enum peer_source_kind source) {
        struct peer p = peer(id, seen_ms, source), *mine = NULL;

        assert_int_equal(peers_learn(t, &p, &mine), 0);
        return mine;
}

static void IICPD_04_42_own_id_and_empty_entries_are_no_peers(void **state) {
        struct peers *t = peers_new("self");
        struct peer p = peer("self", NOW, PEER_FROM_DIRECTORY);

        (void) state;
        assert_int_equal(peers_learn(t, &p, NULL), -EINVAL);
        p = peer("", NOW, PEER_FROM_DIRECTORY);
        assert_int_equal(peers_learn(t, &p, NULL), -EINVAL);
        p = peer("a", NOW, PEER_FROM_DIRECTORY);
        p.endpoint[0] = '\0';
        assert_int_equal(peers_learn(t, &p, NULL), -EINVAL);
        assert_int_equal(peers_count(t), 0);
        peers_free(t);
}

static void DIR_FED_TRUST_01_IICPD_04_42_gossip_never_overrides_the_directory(void **state) {
        struct peers *t = peers_new("self");
        struct peer *p = learn(t, "a", NOW, PEER_FROM_DIRECTORY);

        (void) state;
        learn(t, "a", NOW + 5000, PEER_FROM_GOSSIP);
        assert_string_equal(p->endpoint, "http://7.7.7.2:9484");
        assert_int_equal(p->source, PEER_FROM_DIRECTORY);
        assert_int_equal(p->seen_ms, NOW + 5000); /* only that it lives is news */
        /* the other way round it does, whatever the time says */
        p = learn(t, "b", NOW, PEER_FROM_GOSSIP);
        learn(t, "b", NOW - 5000, PEER_FROM_DIRECTORY);
        assert_string_equal(p->endpoint, "http://7.7.7.2:9484");
        assert_int_equal(p->seen_ms, NOW);
        peers_free(t);
}

static void IICPD_04_42_at_most_256_the_oldest_goes(void **state) {
        struct peers *t = peers_new("self");
        struct peer late;
        char id[16];

        (void) state;
        for (int i = 0; i < PEERS_MAX; i++) {
                snprintf(id, sizeof id, "n%d", i);
                learn(t, id, NOW + i, PEER_FROM_GOSSIP);
        }
        late = peer("too-old", NOW, PEER_FROM_GOSSIP);
        assert_int_equal(peers_learn(t, &late, NULL), -ENOSPC);
        learn(t, "new", NOW + PEERS_MAX, PEER_FROM_GOSSIP);
        assert_int_equal(peers_count(t), PEERS_MAX);
        assert_null(peers_find(t, iicp_str("n0")));
        assert_non_null(peers_find(t, iicp_str("n1")));
        assert_non_null(peers_find(t, iicp_str("new")));
        peers_free(t);
}

static void IICPD_04_42_a_peer_lives_for_90_s(void **state) {
        struct peers *t = peers_new("self");
        struct peer *p = learn(t, "a", NOW, PEER_FROM_GOSSIP);

        (void) state;
        assert_true(peer_is_live(p, NOW + PEER_LIVE_MS));
        assert_false(peer_is_live(p, NOW + PEER_LIVE_MS + 1));
        assert_int_equal(peers_live(t, NOW + PEER_LIVE_MS + 1), 0);
        learn(t, "hint", INT64_MIN, PEER_FROM_FILE);
        assert_int_equal(peers_live(t, NOW), 1);
        peers_free(t);
}

static void IICPD_04_42_relays_are_the_live_ones_that_say_so(void **state) {
        struct peers *t = peers_new("self");
        struct peer p = peer("relay", NOW, PEER_FROM_GOSSIP);
        size_t at = 0;

        (void) state;
        learn(t, "plain", NOW, PEER_FROM_GOSSIP);
        p.relay_capable = true;
        p.relay_load = 0.5;
        assert_int_equal(peers_learn(t, &p, NULL), 0);
        assert_string_equal(peers_next_relay(t, &at, NOW)->node_id, "relay");
        assert_null(peers_next_relay(t, &at, NOW));
        assert_int_equal(peers_find(t, iicp_str("relay"))->relay_port, PEER_RELAY_PORT);
        at = 0;
        assert_null(peers_next_relay(t, &at, NOW + PEER_LIVE_MS + 1));
        /* what it says later counts; the directory says nothing about it */
        learn(t, "relay", NOW + 1, PEER_FROM_DIRECTORY);
        assert_true(peers_find(t, iicp_str("relay"))->relay_capable);
        learn(t, "relay", NOW + 2, PEER_FROM_GOSSIP);
        assert_false(peers_find(t, iicp_str("relay"))->relay_capable);
        peers_free(t);
}

static void IICPD_04_40_a_target_is_live_rested_and_willing(void **state) {
        struct peers *t = peers_new("self");
        struct peer *a = learn(t, "a", NOW, PEER_FROM_GOSSIP), *b = learn(t, "b", NOW, PEER_FROM_GOSSIP);

        (void) state;
        assert_ptr_equal(peers_target(t, NOW, 30000, 0), a);
        assert_ptr_equal(peers_target(t, NOW, 30000, 3), b);
        a->asked_ms = NOW;
        assert_ptr_equal(peers_target(t, NOW + 29999, 30000, 0), b);
        assert_ptr_equal(peers_target(t, NOW + 30000, 30000, 0), a);
        b->skip_until_ms = NOW + 600000;
        assert_null(peers_target(t, NOW + 29999, 30000, 0));
        /* with nobody alive, whoever was there once */
        assert_ptr_equal(peers_target(t, NOW + PEER_LIVE_MS + 1, 30000, 0), a);
        peers_free(t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_42_own_id_and_empty_entries_are_no_peers),
                cmocka_unit_test(DIR_FED_TRUST_01_IICPD_04_42_gossip_never_overrides_the_directory),
                cmocka_unit_test(IICPD_04_42_at_most_256_the_oldest_goes),
                cmocka_unit_test(IICPD_04_42_a_peer_lives_for_90_s),
                cmocka_unit_test(IICPD_04_42_relays_are_the_live_ones_that_say_so),
                cmocka_unit_test(IICPD_04_40_a_target_is_live_rested_and_willing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
