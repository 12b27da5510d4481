/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/elect.h>
#include <stdio.h>
#include <string.h>

/* Reads and orders the candidates of a vector; the number of them. */
static size_t elect(struct json_object *c, struct json_object *nodes, const struct iicp_elector *e,
                    struct iicp_relay relays[IICP_RELAY_CANDIDATES_MAX]) {
        size_t n = 0;

        (void) c;
        vector_each(nodes, node) {
                struct iicp_json object;

                assert_true(n < IICP_RELAY_CANDIDATES_MAX);
                assert_int_equal(iicp_json_scan(vector_text(node), NULL, NULL, &object), 0);
                assert_int_equal(iicp_relay_read(e, &object, &relays[n]), 0);
                if (vector_find(node, "tie_break_sha256")) {
                        char hex[65];

                        iicp_hex(relays[n].tie, sizeof relays[n].tie, hex);
                        assert_string_equal(hex, json_object_get_string(vector_get(node, "tie_break_sha256")));
                }
                n++;
        }
        iicp_relay_sort(relays, n);
        return n;
}

static void expect(struct json_object *c, const struct iicp_relay *relays, size_t n) {
        struct json_object *want = vector_get(c, "expect");

        if (!want) {
                assert_true(n == 0 || relays[0].verdict != IICP_RELAY_ELIGIBLE);
                return;
        }
        assert_true(n > 0 && relays[0].verdict == IICP_RELAY_ELIGIBLE);
        assert_string_equal(relays[0].node_id, json_object_get_string(vector_get(want, "node_id")));
        assert_string_equal(relays[0].url.host, json_object_get_string(vector_get(want, "relay_host")));
        assert_int_equal(relays[0].port, json_object_get_int(vector_get(want, "relay_port")));
}

static void IICPD_03_62_gossip_cases(void **state) {
        struct json_object *doc = vector_ours("relay/election.json");
        struct iicp_relay relays[IICP_RELAY_CANDIDATES_MAX];

        (void) state;
        vector_each(vector_get(doc, "gossip_cases"), c) {
                struct iicp_elector e = {json_object_get_string(vector_get(c, "worker_id")), IICP_RELAY_FROM_GOSSIP, true};

                expect(c, relays, elect(c, vector_get(c, "peers"), &e, relays));
        }
        json_object_put(doc);
}

static void IICPD_03_62_DIR_RELAY_05_directory_cases(void **state) {
        struct json_object *doc = vector_ours("relay/election.json");
        struct iicp_relay relays[IICP_RELAY_CANDIDATES_MAX];

        (void) state;
        vector_each(vector_get(doc, "directory_cases"), c) {
                struct iicp_elector e = {json_object_get_string(vector_get(c, "worker_id")), IICP_RELAY_FROM_DIRECTORY,
                                         json_object_get_boolean(vector_get(c, "allow_private_targets"))};

                expect(c, relays, elect(c, vector_get(c, "nodes"), &e, relays));
        }
        json_object_put(doc);
}

static enum iicp_relay_verdict verdict_of(enum iicp_relay_source source, const char *text) {
        struct iicp_elector e = {"worker-1", source, false};
        struct iicp_relay r;
        struct iicp_json object;

        assert_int_equal(iicp_json_scan(iicp_str(text), NULL, NULL, &object), 0);
        assert_int_equal(iicp_relay_read(&e, &object, &r), 0);
        return r.verdict;
}

#define NODE(rest) "{\"node_id\":\"r\",\"endpoint\":\"https://r.example.net\",\"relay_capable\":true" rest "}"

static void IICPD_03_62_what_makes_a_candidate_ineligible(void **state) {
        (void) state;
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.5")), IICP_RELAY_ELIGIBLE);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.5,\"load\":1e999")), IICP_RELAY_BAD_LOAD);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.5,\"load\":\"0\"")), IICP_RELAY_BAD_LOAD);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.5,\"load\":7")), IICP_RELAY_ELIGIBLE);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.5,\"relay_accept_port\":0")),
                         IICP_RELAY_BAD_PORT);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.5,\"relay_accept_port\":65536")),
                         IICP_RELAY_BAD_PORT);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.5,\"relay_accept_port\":65535")),
                         IICP_RELAY_ELIGIBLE);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.5,\"available\":false")),
                         IICP_RELAY_UNAVAILABLE);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY,
                                    NODE(",\"reputation_score\":0.5,\"transport_method\":\"turn_relay\"")),
                         IICP_RELAY_RELAYED);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY,
                                    "{\"node_id\":\"r\",\"endpoint\":\"https://u@r.example.net\",\"relay_capable\":true}"),
                         IICP_RELAY_NO_ENDPOINT);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, "{\"endpoint\":\"https://r.example.net\",\"relay_capable\":true}"),
                         IICP_RELAY_NO_ID);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY,
                                    "{\"node_id\":\"worker-1\",\"endpoint\":\"https://r.example.net\",\"relay_capable\":true}"),
                         IICP_RELAY_SELF);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, "{\"node_id\":\"r\",\"endpoint\":\"https://r.example.net\","
                                                               "\"relay_capable\":1}"),
                         IICP_RELAY_NOT_CAPABLE);
}

static void DIR_RELAY_05_the_floor_and_who_needs_no_rating(void **state) {
        (void) state;
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE("")), IICP_RELAY_REPUTATION);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":\"0.9\"")), IICP_RELAY_REPUTATION);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.0999999")), IICP_RELAY_REPUTATION);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_DIRECTORY, NODE(",\"reputation_score\":0.1")), IICP_RELAY_ELIGIBLE);
        assert_int_equal(verdict_of(IICP_RELAY_FROM_GOSSIP, NODE("")), IICP_RELAY_ELIGIBLE);
        /* A rating that is known counts, wherever the candidate comes from. */
        assert_int_equal(verdict_of(IICP_RELAY_FROM_GOSSIP, NODE(",\"reputation_score\":0.05")), IICP_RELAY_REPUTATION);
}

static void IICPD_03_59_routes_after_a_bind(void **state) {
        struct json_object *doc = vector_ours("relay/worker-registration.json");

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                struct json_object *in = vector_get(c, "input"), *fields = vector_get(c, "fields"), *meta, *url, *port;
                struct iicp_relay_route r;

                if (!vector_find(in, "relay_host"))
                        continue; /* of the body as a whole */
                url = vector_get(in, "relay_public_url");
                port = vector_get(in, "relay_ack_key4");
                assert_int_equal(iicp_relay_route(url ? json_object_get_string(url) : NULL,
                                                  json_object_get_string(vector_get(in, "relay_host")),
                                                  port ? (unsigned) json_object_get_int(port) : 0,
                                                  json_object_get_string(vector_get(in, "worker_id")), &r),
                                 0);
                assert_string_equal(r.endpoint, json_object_get_string(vector_get(fields, "endpoint")));
                meta = vector_find(fields, "transport_metadata");
                if (!meta)
                        continue;
                assert_string_equal(r.host, json_object_get_string(vector_get(meta, "relay_host")));
                assert_int_equal(r.port, json_object_get_int(vector_get(meta, "relay_port")));
                assert_string_equal(r.base, json_object_get_string(vector_get(meta, "relay_endpoint")));
        }
        json_object_put(doc);
}

static void IICPD_03_56_hosts_as_operators_write_them(void **state) {
        static const struct {
                const char *text, *host;
                unsigned port; /* 0 = refused */
        } cases[] = {
                {"relay.example.net", "relay.example.net", 9485},
                {"Relay.Example.net:9490", "relay.example.net", 9490},
                {"[2001:db8::5]:9490", "2001:db8::5", 9490},
                {"[2001:db8::5]", "2001:db8::5", 9485},
                {"2001:db8::5", "2001:db8::5", 9485},
                {"192.0.2.7:1", "192.0.2.7", 1},
                {"", "", 0}, {":9485", "", 0}, {"host:", "", 0}, {"host:0", "", 0}, {"host:65536", "", 0},
                {"http://host", "", 0}, {"host/path", "", 0}, {"user@host", "", 0}, {"[::1", "", 0}, {"[::1]9485", "", 0},
                {"host:94a5", "", 0},
        };

        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                char host[254];
                uint16_t port;
                int r = iicp_relay_host_parse(iicp_str(cases[i].text), host, &port);

                assert_int_equal(r, cases[i].port ? 0 : -EINVAL);
                if (r < 0)
                        continue;
                assert_string_equal(host, cases[i].host);
                assert_int_equal(port, cases[i].port);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_62_gossip_cases),
                cmocka_unit_test(IICPD_03_62_DIR_RELAY_05_directory_cases),
                cmocka_unit_test(IICPD_03_62_what_makes_a_candidate_ineligible),
                cmocka_unit_test(DIR_RELAY_05_the_floor_and_who_needs_no_rating),
                cmocka_unit_test(IICPD_03_59_routes_after_a_bind),
                cmocka_unit_test(IICPD_03_56_hosts_as_operators_write_them),
        };

        return cmocka_run_group_tests_name("elect", tests, NULL, NULL);
}
