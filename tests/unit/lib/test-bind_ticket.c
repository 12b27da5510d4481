/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <iicp/bind_ticket.h>
#include <iicp/codec.h>

static void key_of(json_object *doc, const char *name, uint8_t key[1][IICP_SIGN_KEY]) {
        size_t n;

        assert_int_equal(iicp_hex_decode(vector_str(doc, name), key[0], IICP_SIGN_KEY, &n), 0);
        assert_int_equal(n, IICP_SIGN_KEY);
}

static enum iicp_token_fault check(json_object *c, const char *relay, const char *now, const uint8_t key[1][IICP_SIGN_KEY],
                                   struct iicp_bind_ticket *ret) {
        return iicp_bind_ticket_check(vector_str(c, "ticket"), key, 1, vector_str(c, "worker_id"), vector_str(c, relay),
                                      json_object_get_int64(vector_get(c, now)), ret);
}

static void DIR_RELAY_03_every_ticket_of_the_vectors(void **state) {
        json_object *doc = vector_ours("relay/bind-tickets.json");
        uint8_t key[1][IICP_SIGN_KEY];
        unsigned accepted = 0, n = 0;

        (void) state;
        key_of(doc, "public_key_hex", key);
        vector_each(vector_get(doc, "cases"), c) {
                struct iicp_bind_ticket t = {};
                bool good = check(c, "relay_node_id", "now", (const uint8_t (*)[IICP_SIGN_KEY]) key, &t) == IICP_TOKEN_OK;

                if (good != iicp_str_is(vector_str(c, "expect"), "accept"))
                        fail_msg("%s", vector_str(c, "id").p);
                assert_int_equal(good, t.jti[0] != '\0');
                accepted += good;
                n++;
        }
        assert_true(n > 20 && accepted > 2);
        json_object_put(doc);
}

static void DIR_RELAY_03_reasons(void **state) {
        json_object *doc = vector_ours("security/relay-bind-ticket-v1.json");
        uint8_t key[1][IICP_SIGN_KEY];
        unsigned n = 0;

        (void) state;
        key_of(doc, "directory_public_key_hex", key);
        vector_each(vector_get(doc, "cases"), c) {
                struct iicp_str reason = vector_find(c, "reason") ? vector_str(c, "reason") : IICP_STR("ok");
                struct iicp_bind_ticket t = {};
                enum iicp_token_fault fault = check(c, "own_relay_node_id", "now_s", (const uint8_t (*)[IICP_SIGN_KEY]) key, &t);

                /* the store's business, not the ticket's */
                if (iicp_str_is(reason, "replayed"))
                        reason = IICP_STR("ok");
                if (!iicp_str_is(reason, iicp_token_fault_name(fault)))
                        fail_msg("%s: %s", vector_str(c, "name").p, iicp_token_fault_name(fault));
                n++;
        }
        assert_int_equal(n, 16);
        json_object_put(doc);
}

static void DIR_RELAY_03_usable_for_a_worker(void **state) {
        json_object *doc = vector_ours("relay/bind-tickets.json");
        unsigned without = 0;

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                struct iicp_str id = vector_str(c, "id");

                if (iicp_str_is(vector_str(c, "expect"), "accept"))
                        assert_true(iicp_bind_ticket_usable(vector_str(c, "ticket")));
                if (iicp_str_is(id, "TKT-07-missing-jti") || iicp_str_is(id, "TKT-08-uppercase-jti") ||
                    iicp_str_is(id, "TKT-20-empty") || iicp_str_is(id, "TKT-21-payload-not-json")) {
                        assert_false(iicp_bind_ticket_usable(vector_str(c, "ticket")));
                        without++;
                }
        }
        assert_int_equal(without, 4);
        assert_false(iicp_bind_ticket_usable(IICP_STR_NONE));
        json_object_put(doc);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(DIR_RELAY_03_every_ticket_of_the_vectors),
                cmocka_unit_test(DIR_RELAY_03_reasons),
                cmocka_unit_test(DIR_RELAY_03_usable_for_a_worker),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
