/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "../directory/world.h"
#include "mesh/internal.h"
#include "util.h"

#include <arpa/inet.h>
#include <iicp/codec.h>
#include <stdio.h>
#include <sys/stat.h>

#define DAY_0_S 1790000000 /* of the world's clock at 0 ms */
#define MESH (world->node.mesh)
#define PEER "{\"node_id\":\"peer-1\",\"endpoint\":\"http://7.7.7.1:9484\",\"region\":\"eu\",\"last_seen\":null}"

static const uint8_t seed_a[IICP_SEED] = {1}, seed_b[IICP_SEED] = {2};

static int setup(void **state) {
        world_setup(state);
        world->config.mesh_enabled = true;
        MESH = mesh_new(&world->node);
        assert_non_null(MESH);
        return 0;
}

static int teardown(void **state) {
        MESH = mesh_free(MESH);
        return world_teardown(state);
}

/* ---- what others send ---- */

struct verdict {
        enum iicp_refusal_id id;
        bool there;
        char answer[8192];
};

static void on_verdict(void *arg, enum iicp_refusal_id id, struct iicp_str answer) {
        struct verdict *v = arg;

        v->id = id;
        v->there = true;
        snprintf(v->answer, sizeof v->answer, "%.*s", (int) answer.n, answer.p ? answer.p : "");
}

static int status_of(const struct verdict *v) {
        return v->id == IICP_REFUSE_NONE ? 200 : iicp_refusal_info(v->id)->status;
}

static struct sockaddr_in source(const char *ip) {
        struct sockaddr_in a = {.sin_family = AF_INET};

        assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
        return a;
}

/* As the door does it; world->entry is what the directory says about the sender. */
static struct verdict post_from(const char *ip, struct iicp_str body, struct iicp_str signature) {
        struct sockaddr_in from = source(ip);
        struct mesh_message q = {.body = body, .signature = signature, .peer = (struct sockaddr *) &from};
        struct verdict v = {0};

        mesh_receive(MESH, &q, on_verdict, &v);
        world_run(0);
        assert_true(v.there);
        return v;
}

static struct verdict post_signed(const char *ip, const uint8_t seed[IICP_SEED], const char *body) {
        uint8_t signature[IICP_SIGNATURE];
        char hex[129];

        assert_int_equal(iicp_sign(seed, iicp_str(body), signature), 0);
        iicp_hex(signature, sizeof signature, hex);
        return post_from(ip, iicp_str(body), iicp_str(hex));
}

static const char *message(const char *sender, const char *known) {
        static char text[2048];

        snprintf(text, sizeof text, "{\"sender_id\":\"%s\",\"known_peers\":[%s],\"timestamp_ms\":%lld,\"ttl_s\":90}", sender, known,
                 (long long) clock_wall_s(world->node.clock) * 1000);
        return text;
}

static void directory_knows(const char *id, const uint8_t seed[IICP_SEED], const char *endpoint) {
        static char entry[512];
        uint8_t key[IICP_SIGN_KEY];
        char hex[65];

        assert_int_equal(iicp_sign_public(seed, key), 0);
        iicp_hex(key, sizeof key, hex);
        snprintf(entry, sizeof entry, "{\"node_id\":\"%s\",\"endpoint\":\"%s\",\"public_key\":\"%s\",\"reputation_score\":0.7}", id,
                 endpoint, hex);
        world->entry = entry;
}

static void IICPD_04_39_DIR_HB_05_SEC_NONCE_01_gossip_vectors(void **state) {
        struct json_object *file = vector_ours("reachability/gossip.json");
        static char entry[512];

        snprintf(entry, sizeof entry, "{\"node_id\":\"%s\",\"endpoint\":\"http://7.7.7.1:9484\",\"public_key\":\"%s\"}",
                 json_object_get_string(vector_get(file, "sender_id")), json_object_get_string(vector_get(file, "public_key_base64")));
        world->entry = entry;
        world->now_ms = (uint64_t) (json_object_get_int64(vector_get(file, "now_ms")) - DAY_0_S * 1000LL);
        snprintf(state_identity(world->node.state)->node_id, 37, "self-node");
        vector_each(vector_get(file, "cases"), c) {
                struct json_object *signature = vector_find(c, "signature"), *code = vector_find(c, "expect_code");
                struct verdict v;

                if (!vector_find(c, "after")) {
                        MESH = mesh_free(MESH);
                        MESH = mesh_new(&world->node);
                }
                /* cases that follow G-01 do so on a receiver of their own */
                if (vector_find(c, "after") && strcmp(json_object_get_string(vector_get(c, "id")), "G-19") == 0) {
                        struct json_object *first = json_object_array_get_idx(vector_get(file, "cases"), 0);

                        MESH = mesh_free(MESH);
                        MESH = mesh_new(&world->node);
                        post_from("9.9.9.9", vector_str(first, "body"), vector_str(first, "signature"));
                }
                v = post_from("9.9.9.9", vector_str(c, "body"),
                              signature ? iicp_str(json_object_get_string(signature)) : IICP_STR_NONE);
                if (status_of(&v) != json_object_get_int(vector_get(c, "expect_status")))
                        fail_msg("%s: %d", json_object_get_string(vector_get(c, "id")), status_of(&v));
                if (code)
                        assert_string_equal(iicp_refusal_info(v.id)->code, json_object_get_string(code));
        }
        json_object_put(file);
        (void) state;
}

static void IICPD_04_39_sixty_a_minute_from_one_address(void **state) {
        struct verdict v;

        (void) state;
        for (unsigned i = 0; i < MESH_PER_SOURCE; i++) {
                v = post_from("9.9.9.9", IICP_STR("{}"), IICP_STR_NONE);
                assert_int_equal(status_of(&v), 401);
        }
        v = post_from("9.9.9.9", IICP_STR("{}"), IICP_STR_NONE);
        assert_int_equal(v.id, IICP_REFUSE_GOSSIP_RATE);
        v = post_from("9.9.9.8", IICP_STR("{}"), IICP_STR_NONE);
        assert_int_equal(status_of(&v), 401);
        world_run(60001);
        v = post_from("9.9.9.9", IICP_STR("{}"), IICP_STR_NONE);
        assert_int_equal(status_of(&v), 401);
}

static void IICPD_05_34_forged_senders_cost_one_question_in_10_s(void **state) {
        struct verdict v;
        char id[32], ip[32];

        (void) state;
        for (int i = 0; i < 100; i++) {
                snprintf(id, sizeof id, "forged-%d", i);
                snprintf(ip, sizeof ip, "9.9.%d.9", i);
                v = post_signed(ip, seed_a, message(id, ""));
                assert_int_equal(status_of(&v), 403);
        }
        assert_int_equal(world_count("GET", "/v1/node/"), 1);
        assert_int_equal(peers_count(mesh_peers(MESH)), 0);
        world_run(MESH_LOOKUP_MS);
        directory_knows("peer-1", seed_a, "http://7.7.7.1:9484");
        v = post_signed("9.9.9.9", seed_a, message("peer-1", ""));
        assert_int_equal(status_of(&v), 200);
}

static void IICPD_04_39_a_key_is_kept_for_10_minutes(void **state) {
        struct verdict v;

        (void) state;
        directory_knows("peer-1", seed_a, "http://7.7.7.1:9484");
        v = post_signed("9.9.9.9", seed_a, message("peer-1", ""));
        assert_int_equal(status_of(&v), 200);
        directory_knows("peer-1", seed_b, "http://7.7.7.1:9484");
        world_run(MESH_KEY_MS - 1000);
        v = post_signed("9.9.9.9", seed_b, message("peer-1", ""));
        assert_int_equal(status_of(&v), 403);
        world_run(1000);
        v = post_signed("9.9.9.9", seed_b, message("peer-1", ""));
        assert_int_equal(status_of(&v), 200);
        assert_int_equal(world_count("GET", "/v1/node/"), 2);
}

static void IICPD_05_34_IICPD_04_42_a_verified_sender_is_a_peer_where_the_directory_has_it(void **state) {
        const struct peer *p;
        struct verdict v;
        char body[512];

        (void) state;
        directory_knows("peer-1", seed_a, "http://7.7.7.1:9484");
        snprintf(body, sizeof body,
                 "{\"sender_id\":\"peer-1\",\"known_peers\":[],\"timestamp_ms\":%lld,\"sender\":{\"endpoint\":\"http://6.6.6.6:1\","
                 "\"relay_capable\":true,\"relay_accept_port\":9486,\"relay_load\":0.25}}",
                 (long long) clock_wall_s(world->node.clock) * 1000);
        v = post_signed("9.9.9.9", seed_a, body);
        assert_int_equal(status_of(&v), 200);
        p = mesh_find(MESH, IICP_STR("peer-1"));
        assert_non_null(p);
        assert_string_equal(p->endpoint, "http://7.7.7.1:9484");
        assert_true(p->relay_capable && p->relay_port == 9486);
        assert_int_equal(p->source, PEER_FROM_DIRECTORY);
        /* an address of a private network makes nobody a peer, but is answered */
        world_run(MESH_LOOKUP_MS);
        directory_knows("peer-2", seed_a, "http://192.168.1.1:9484");
        v = post_signed("9.9.9.9", seed_a, message("peer-2", ""));
        assert_int_equal(status_of(&v), 200);
        assert_null(mesh_find(MESH, IICP_STR("peer-2")));
}

static void learn(const char *id, int64_t age_ms, double reputation) {
        struct peer p = {.source = PEER_FROM_GOSSIP, .seen_ms = mesh_now(MESH) - age_ms, .reputation = reputation};

        snprintf(p.node_id, sizeof p.node_id, "%s", id);
        snprintf(p.endpoint, sizeof p.endpoint, "http://7.7.7.2:9484");
        assert_int_equal(peers_learn(MESH->peers, &p, NULL), 0);
}

static void IICPD_04_39_an_answer_has_the_best_20_that_are_not_known(void **state) {
        struct json_object *o, *list;
        struct verdict v;
        char id[16];

        (void) state;
        directory_knows("peer-1", seed_a, "http://7.7.7.1:9484");
        for (int i = 0; i < 30; i++) {
                snprintf(id, sizeof id, "n%d", i);
                learn(id, i, -1);
        }
        learn("dead", PEER_LIVE_MS + 1, 1);
        learn("rated", 500, 0.4);
        learn("better", 600, 0.9);
        v = post_signed("9.9.9.9", seed_a, message("peer-1", "\"n0\",\"n2\""));
        assert_int_equal(status_of(&v), 200);
        o = json_tokener_parse(v.answer);
        list = vector_get(o, "new_peers");
        assert_true(json_object_equal(list, vector_get(o, "peers")));
        assert_int_equal(json_object_array_length(list), 20);
        assert_true(iicp_str_is(vector_str(json_object_array_get_idx(list, 0), "node_id"), "better"));
        assert_true(iicp_str_is(vector_str(json_object_array_get_idx(list, 1), "node_id"), "rated"));
        assert_true(iicp_str_is(vector_str(json_object_array_get_idx(list, 2), "node_id"), "n1"));
        assert_true(iicp_str_is(vector_str(json_object_array_get_idx(list, 3), "node_id"), "n3"));
        assert_true(iicp_str_is(vector_str(o, "receiver_id"), state_identity(world->node.state)->node_id));
        assert_null(strstr(v.answer, "peer-1"));
        assert_null(strstr(v.answer, "dead"));
        json_object_put(o);
}

static void SEC_NONCE_01_signatures_are_remembered_for_300_s_and_bounded(void **state) {
        (void) state;
        directory_knows("peer-1", seed_a, "http://7.7.7.1:9484");
        /* spaced refusals are remembered, too: each is another signature */
        for (unsigned i = 0; i < MESH_SEEN_MAX; i++) {
                struct seen_signature *s = &MESH->seen[i];

                memcpy(s->bytes, &i, sizeof i);
                s->until_ms = mesh_now(MESH) + MESH_SEEN_MS;
        }
        MESH->n_seen = MESH_SEEN_MAX;
        assert_int_equal(post_signed("9.9.9.9", seed_a, message("peer-1", "")).id, IICP_REFUSE_GOSSIP_RATE);
        world_run(MESH_SEEN_MS);
        assert_int_equal(post_signed("9.9.9.9", seed_a, message("peer-1", "")).id, IICP_REFUSE_NONE);
        assert_int_equal(MESH->n_seen, 1);
}

static void IICPD_04_39_a_caller_that_leaves_is_forgotten(void **state) {
        struct sockaddr_in from = source("9.9.9.9");
        const char *body = message("peer-1", "");
        char zeros[129];
        struct mesh_message q = {.body = iicp_str(body), .signature = {zeros, 128}, .peer = (struct sockaddr *) &from};
        struct mesh_exchange *e;
        struct verdict v = {0};

        (void) state;
        memset(zeros, '0', sizeof zeros);
        e = mesh_receive(MESH, &q, on_verdict, &v);
        assert_non_null(e);
        mesh_cancel(e);
        directory_knows("peer-1", seed_a, "http://7.7.7.1:9484");
        world_run(0);
        assert_false(v.there);
        /* what the directory said is not lost */
        assert_int_equal(status_of(&(struct verdict){.id = post_signed("9.9.9.9", seed_a, body).id}), 200);
        assert_int_equal(world_count("GET", "/v1/node/"), 1);
}

/* ---- what we send ---- */

static void registered(void) {
        directory_start(world->node.directory);
        world_run(0);
        world_accept("token-of-the-node-0123456789abcdef", "00");
}

/* Time with a directory that answers heartbeats. */
static void run(uint64_t ms) {
        for (uint64_t step; ms > 0; ms -= step) {
                step = MIN(ms, 5000u);
                world_run(step);
                for (unsigned i = 0; i < world->n_calls; i++)
                        if (!world->calls[i].over && strstr(world->calls[i].url, "/v1/heartbeat"))
                                world_answer(&world->calls[i], 200, "{\"accepted\":true}");
        }
}

static void start_with_peer(void) {
        directory_start(world->node.directory);
        mesh_start(MESH);
        world_run(0);
        world_answer(world_call("GET", "/v1/bootstrap?limit=5"), 200, "{\"peers\":[" PEER "],\"count\":1}");
        world_accept("token-of-the-node-0123456789abcdef", "00");
}

static void DIR_PEER_01_IICPD_04_40_an_exchange_is_signed_and_carries_no_token(void **state) {
        struct iicp_gossip_request r;
        struct json_object *o;
        uint8_t key[IICP_SIGN_KEY];
        char hex[65];
        struct fetch *f;
        size_t n;

        (void) state;
        start_with_peer();
        world_run(MESH_FIRST_MS);
        f = world_call("POST", "7.7.7.1:9484/v1/peers");
        assert_string_equal(f->url, "http://7.7.7.1:9484/v1/peers");
        assert_int_equal(f->timeout_ms, 5000);
        assert_int_equal(f->max_answer, 65536);
        assert_null(world_header(f, "Authorization"));
        assert_null(strstr(f->body, "token-of-the-node"));
        assert_true(mesh_public_key(&world->node, hex));
        assert_int_equal(iicp_hex_decode(iicp_str(hex), key, sizeof key, &n), 0);
        assert_int_equal(iicp_gossip_open(iicp_str(f->body), iicp_str(world_header(f, "X-IICP-Signature")), "other", &r),
                         IICP_REFUSE_NONE);
        assert_int_equal(iicp_gossip_check(&r, key, clock_wall_s(world->node.clock) * 1000), IICP_REFUSE_NONE);
        o = world_body(f);
        assert_true(iicp_str_is(vector_str(o, "sender_id"), state_identity(world->node.state)->node_id));
        assert_true(iicp_str_is(vector_str(vector_get(o, "sender"), "endpoint"), "https://node.example.com"));
        json_object_put(o);
        /* what comes back are hints */
        world_answer(f, 200, "{\"new_peers\":[{\"node_id\":\"peer-2\",\"endpoint\":\"http://7.7.7.2:9484\",\"last_seen_ms\":1790001000000},"
                             "{\"node_id\":\"peer-1\",\"endpoint\":\"http://6.6.6.6:9484\",\"last_seen_ms\":1790001001000}]}");
        assert_non_null(mesh_find(MESH, IICP_STR("peer-2")));
        assert_string_equal(mesh_find(MESH, IICP_STR("peer-1"))->endpoint, "http://7.7.7.1:9484");
}

static void IICPD_04_40_a_relay_says_so(void **state) {
        struct json_object *o, *sender;

        (void) state;
        world->node.relay = (struct relay *) world; /* asked for by the stubs only */
        world->relay_port = 9486;
        start_with_peer();
        world_run(MESH_FIRST_MS);
        o = world_body(world_call("POST", "/v1/peers"));
        sender = vector_get(o, "sender");
        assert_true(json_object_get_boolean(vector_get(sender, "relay_capable")));
        assert_int_equal(json_object_get_int(vector_get(sender, "relay_accept_port")), 9486);
        assert_string_equal(json_object_to_json_string(vector_get(sender, "relay_load")), "0.250000");
        json_object_put(o);
        world->node.relay = NULL;
}

static void IICPD_04_40_rounds_and_rests(void **state) {
        (void) state;
        start_with_peer();
        run(MESH_FIRST_MS);
        world_answer(world_call("POST", "/v1/peers"), 200, "{\"peers\":[]}");
        assert_int_equal(world_count("POST", "7.7.7.1"), 1);
        run(MESH_ROUND_MS - MESH_ROUND_MS / 10 - 1);
        assert_int_equal(world_count("POST", "7.7.7.1"), 1);
        /* the same peer has 30 s of rest, so at the latest with the round after the next */
        run(MESH_ROUND_MS * 2);
        assert_int_equal(world_count("POST", "7.7.7.1"), 2);
}

static void IICPD_04_40_who_does_not_gossip_is_left_alone_for_10_minutes(void **state) {
        (void) state;
        start_with_peer();
        run(MESH_FIRST_MS);
        world_answer(world_call("POST", "/v1/peers"), 404, "");
        run(MESH_SKIP_MS - 60000);
        assert_int_equal(world_count("POST", "7.7.7.1"), 1);
        run(120000);
        assert_int_equal(world_count("POST", "7.7.7.1"), 2);
}

static void DIR_BS_01_bootstrap_is_asked_again_while_nobody_lives(void **state) {
        unsigned n;

        (void) state;
        directory_start(world->node.directory);
        mesh_start(MESH);
        world_run(0);
        assert_int_equal(world_count("GET", "/v1/bootstrap?limit=5"), 1);
        assert_null(world_header(world_call("GET", "/v1/bootstrap?limit=5"), "Authorization"));
        world_answer(world_call("GET", "/v1/bootstrap?limit=5"), 200, "{\"peers\":[],\"count\":0}");
        run(MESH_ROUND_MS + MESH_ROUND_MS / 10);
        assert_int_equal(world_count("GET", "/v1/bootstrap"), 2);
        world_answer(world_call("GET", "/v1/bootstrap?limit=5"), 200, "{\"peers\":[" PEER "]}");
        run(MESH_ROUND_MS + MESH_ROUND_MS / 10);
        n = world_count("GET", "/v1/bootstrap");
        assert_int_equal(n, 2);
        mesh_woke(MESH);
        assert_int_equal(world_count("GET", "/v1/bootstrap"), 3);
}

static void IICPD_04_41_heal_call_carries_token_id_and_20_ids(void **state) {
        struct json_object *o;
        struct fetch *f;
        char id[16];

        (void) state;
        registered();
        mesh_start(MESH);
        for (int i = 0; i < 30; i++) {
                snprintf(id, sizeof id, "n%d", i);
                learn(id, 0, -1);
        }
        run(MESH_HEAL_MS);
        /* by now they are all silent, so that the call is due and names nobody */
        f = world_call("POST", "dir.example.org/api/v1/peers");
        assert_string_equal(f->url, "https://dir.example.org/api/v1/peers");
        assert_string_equal(world_header(f, "Authorization"), "Bearer token-of-the-node-0123456789abcdef");
        assert_string_equal(world_header(f, "X-Node-Id"), state_identity(world->node.state)->node_id);
        o = world_body(f);
        assert_true(iicp_str_is(vector_str(o, "node_id"), state_identity(world->node.state)->node_id));
        assert_int_equal(json_object_array_length(vector_get(o, "known_peers")), 0);
        json_object_put(o);
        world_answer(f, 200, "{\"peers\":[" PEER "],\"count\":1}");
        assert_non_null(mesh_find(MESH, IICP_STR("peer-1")));
}

static void IICPD_04_41_two_live_peers_are_named_three_are_enough(void **state) {
        struct json_object *o;
        struct fetch *f;

        (void) state;
        registered();
        mesh_start(MESH);
        run(MESH_HEAL_MS - 1000);
        learn("a", 0, -1);
        learn("b", 0, -1);
        run(1000);
        f = world_call("POST", "dir.example.org/api/v1/peers");
        o = world_body(f);
        assert_int_equal(json_object_array_length(vector_get(o, "known_peers")), 2);
        json_object_put(o);
        world_answer(f, 200, "{\"peers\":[],\"count\":0}");
        run(MESH_HEAL_MS - 1000);
        learn("a", 0, -1);
        learn("b", 0, -1);
        learn("c", 0, -1);
        run(1000);
        assert_int_equal(world_count("POST", "dir.example.org/api/v1/peers"), 1);
}

static void IICPD_04_38_off_nothing_is_sent(void **state) {
        char key[65];

        (void) state;
        MESH = mesh_free(MESH);
        world->config.mesh_enabled = false;
        MESH = mesh_new(&world->node);
        mesh_start(MESH);
        mesh_woke(MESH);
        registered();
        run(MESH_HEAL_MS);
        assert_int_equal(world_count("GET", "/v1/bootstrap"), 0);
        assert_int_equal(world_count("POST", "/v1/peers"), 0);
        assert_false(mesh_public_key(&world->node, key));
        assert_null(strstr(world->calls[0].body, "\"public_key\""));
        assert_int_equal(state_identity(world->node.state)->gossip_seed[0], '\0');
}

static void IICPD_05_34_the_key_is_registered_kept_and_signs_nothing_else(void **state) {
        char first[65], hex[65];
        struct json_object *o;

        (void) state;
        mesh_start(MESH);
        assert_true(mesh_public_key(&world->node, first));
        directory_start(world->node.directory);
        world_run(0);
        o = world_body(world_call("POST", "/v1/register"));
        assert_true(iicp_str_is(vector_str(o, "public_key"), first));
        assert_int_equal(strspn(first, "0123456789abcdef"), 64);
        json_object_put(o);
        /* for the life of the node */
        MESH = mesh_free(MESH);
        MESH = mesh_new(&world->node);
        mesh_start(MESH);
        assert_true(mesh_public_key(&world->node, hex));
        assert_string_equal(hex, first);
        /* it is no key of anything else */
        assert_null(memmem(state_cx_public(world->node.state).p, state_cx_public(world->node.state).n, first, 64));
}

static void IICPD_04_40_hints_of_an_earlier_run_are_not_live(void **state) {
        char path[128];
        struct stat st;

        (void) state;
        mesh_start(MESH);
        for (int i = 0; i < 100; i++) {
                char id[16];

                snprintf(id, sizeof id, "n%d", i);
                learn(id, 0, -1);
        }
        mesh_changed(MESH);
        run(MESH_SAVE_MS);
        snprintf(path, sizeof path, "%s/" MESH_FILE, world->dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        MESH = mesh_free(MESH);
        MESH = mesh_new(&world->node);
        mesh_start(MESH);
        assert_int_equal(peers_count(mesh_peers(MESH)), MESH_SAVED_MAX);
        assert_int_equal(peers_live(mesh_peers(MESH), mesh_now(MESH)), 0);
        assert_null(mesh_find(MESH, IICP_STR("n1")));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_04_39_DIR_HB_05_SEC_NONCE_01_gossip_vectors),
                T(IICPD_04_39_sixty_a_minute_from_one_address),
                T(IICPD_05_34_forged_senders_cost_one_question_in_10_s),
                T(IICPD_04_39_a_key_is_kept_for_10_minutes),
                T(IICPD_05_34_IICPD_04_42_a_verified_sender_is_a_peer_where_the_directory_has_it),
                T(IICPD_04_39_an_answer_has_the_best_20_that_are_not_known),
                T(SEC_NONCE_01_signatures_are_remembered_for_300_s_and_bounded),
                T(IICPD_04_39_a_caller_that_leaves_is_forgotten),
                T(DIR_PEER_01_IICPD_04_40_an_exchange_is_signed_and_carries_no_token),
                T(IICPD_04_40_a_relay_says_so),
                T(IICPD_04_40_rounds_and_rests),
                T(IICPD_04_40_who_does_not_gossip_is_left_alone_for_10_minutes),
                T(DIR_BS_01_bootstrap_is_asked_again_while_nobody_lives),
                T(IICPD_04_41_heal_call_carries_token_id_and_20_ids),
                T(IICPD_04_41_two_live_peers_are_named_three_are_enough),
                T(IICPD_04_38_off_nothing_is_sent),
                T(IICPD_05_34_the_key_is_registered_kept_and_signs_nothing_else),
                T(IICPD_04_40_hints_of_an_earlier_run_are_not_live),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
