/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/gossip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct iicp_gossip_rules directory = {.own_id = "self-node", .now_ms = 1800000000000, .from_directory = true};
static const struct iicp_gossip_rules peer = {.own_id = "self-node", .now_ms = 1800000000000};

static int entry(const char *text, const struct iicp_gossip_rules *rules, struct iicp_gossip_peer *ret) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(iicp_str(text), NULL, NULL, &v), 0);
        return iicp_gossip_entry(&v, rules, ret);
}

static void IICPD_04_42_DIR_BS_02_merge_vectors(void **state) {
        struct json_object *file = vector_ours("reachability/gossip-merge.json");
        struct json_object *cases = vector_get(vector_get(file, "expect"), "cases");

        (void) state;
        assert_true(json_object_array_length(cases) >= 8);
        vector_each(cases, c) {
                struct json_object *e = vector_get(c, "entry"), *seen = vector_find(c, "last_seen_ms"), *last = NULL;
                struct iicp_gossip_peer p = {0};
                bool null_seen = json_object_object_get_ex(e, "last_seen", &last) && !last;
                bool keep = json_object_get_boolean(vector_get(c, "keep"));

                assert_int_equal(entry(json_object_to_json_string(e), &directory, &p), keep ? 0 : -EINVAL);
                /* from a peer a missing time is no time */
                assert_int_equal(entry(json_object_to_json_string(e), &peer, &p), keep && !null_seen ? 0 : -EINVAL);
                if (seen)
                        assert_int_equal(p.seen_ms, json_object_get_int64(seen));
        }
        json_object_put(file);
}

static void IICPD_04_42_relay_members_as_shipped_nodes_write_them(void **state) {
        struct iicp_gossip_peer p;

        (void) state;
        assert_int_equal(entry("{\"node_id\":\"r\",\"endpoint\":\"http://7.7.7.5:9484\",\"last_seen_ms\":1800000000000,"
                               "\"relay_capable\":1,\"relay_accept_port\":\"9486\",\"relay_load\":\"0.5\"}", &peer, &p), 0);
        assert_true(p.relay_capable);
        assert_int_equal(p.relay_port, 9486);
        assert_true(p.relay_load > 0.49 && p.relay_load < 0.51);
        assert_int_equal(entry("{\"node_id\":\"r\",\"endpoint\":\"http://7.7.7.5:9484\",\"last_seen_ms\":1800000000000,"
                               "\"relay_capable\":true,\"relay_accept_port\":70000,\"relay_load\":7}", &peer, &p), 0);
        assert_int_equal(p.relay_port, 9485);
        assert_true(p.relay_load <= 1.0 && p.relay_load >= 1.0);
        assert_int_equal(entry("{\"node_id\":\"r\",\"endpoint\":\"http://7.7.7.5:9484\",\"last_seen_ms\":1800000000000,"
                               "\"relay_load\":-1}", &peer, &p), 0);
        assert_false(p.relay_capable);
        assert_true(p.relay_load <= 0);
}

static void collect(void *arg, const struct iicp_gossip_peer *p) {
        snprintf(arg, IICP_GOSSIP_ID_MAX, "%s", p->node_id);
}

static void DIR_BS_01_IICPD_04_40_both_forms_of_an_answer_are_read(void **state) {
        char last[IICP_GOSSIP_ID_MAX] = "";

        (void) state;
        assert_int_equal(iicp_gossip_list(IICP_STR("{\"peers\":[],\"count\":0}"), &directory, collect, last), 0);
        assert_int_equal(iicp_gossip_list(IICP_STR("{\"peers\":[{\"node_id\":\"a\",\"endpoint\":\"http://7.7.7.1:9484\",\"region\":\"eu\",\"last_seen\":null}],\"count\":1}"),
                                          &directory, collect, last), 1);
        assert_string_equal(last, "a");
        assert_int_equal(iicp_gossip_list(IICP_STR("{\"new_peers\":[{\"node_id\":\"b\",\"endpoint\":\"http://7.7.7.1:9484\",\"last_seen_ms\":1800000000000}],\"peers\":[]}"),
                                          &peer, collect, last), 1);
        assert_string_equal(last, "b");
        assert_int_equal(iicp_gossip_list(IICP_STR("{}"), &peer, collect, last), -EBADMSG);
        assert_int_equal(iicp_gossip_list(IICP_STR("[]"), &peer, collect, last), -EBADMSG);
        assert_int_equal(iicp_gossip_list(IICP_STR(""), &peer, collect, last), -EBADMSG);
}

/* `n` good entries. */
static void answer_of(unsigned n, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"new_peers\":[");
        for (unsigned i = 0; i < n; i++)
                iicp_buf_printf(out, "%s{\"node_id\":\"n%u\",\"endpoint\":\"http://7.7.7.1:9484\",\"last_seen_ms\":1800000000000}",
                                i ? "," : "", i);
        iicp_buf_puts(out, "]}");
}

static void IICPD_04_40_50_entries_and_64_KiB_are_read(void **state) {
        struct iicp_buf b = {0};
        char last[IICP_GOSSIP_ID_MAX];

        (void) state;
        answer_of(IICP_GOSSIP_READ_PEERS + 10, &b);
        assert_int_equal(iicp_gossip_list(iicp_buf_str(&b), &peer, collect, last), IICP_GOSSIP_READ_PEERS);
        assert_string_equal(last, "n49");
        while (b.n < IICP_GOSSIP_BODY_MAX)
                iicp_buf_puts(&b, " ");
        assert_int_equal(iicp_gossip_list(iicp_buf_str(&b), &peer, collect, last), IICP_GOSSIP_READ_PEERS);
        iicp_buf_puts(&b, " ");
        assert_int_equal(iicp_gossip_list(iicp_buf_str(&b), &peer, collect, last), -EBADMSG);
        iicp_buf_free(&b);
}

static void IICPD_01_80_IICPD_05_34_key_forms_of_directories(void **state) {
        struct json_object *file = vector_ours("reachability/gossip.json");
        struct iicp_str want = vector_hex(file, "public_key_hex");
        char body[512];
        uint8_t key[IICP_SIGN_KEY];

        (void) state;
        vector_each(vector_get(file, "directory_public_key_forms"), c) {
                bool usable = json_object_get_boolean(vector_get(c, "usable"));
                struct json_object *value = NULL;

                json_object_object_get_ex(c, "public_key", &value);
                snprintf(body, sizeof body, "{\"node_id\":\"x\",\"public_key\":%s}", value ? json_object_to_json_string(value) : "null");
                memset(key, 0, sizeof key);
                assert_int_equal(iicp_gossip_key(iicp_str(body), key), usable ? 0 : -ENOENT);
                if (usable)
                        assert_memory_equal(key, want.p, sizeof key);
        }
        free((void *) want.p);
        json_object_put(file);
}

static void IICPD_04_40_a_request_names_256_ids_at_most(void **state) {
        struct iicp_gossip_peer self = {.endpoint = "http://7.7.7.7:9484", .region = "eu", .relay_capable = true,
                                        .relay_port = 9485, .relay_load = 1.0 / 3};
        struct json_object *o;
        struct iicp_buf b = {0};
        char id[16];

        (void) state;
        iicp_gossip_request_begin("me", &b);
        for (unsigned i = 0; i < 300; i++) {
                snprintf(id, sizeof id, "n%u", i);
                iicp_gossip_request_id(id, i, &b);
        }
        iicp_gossip_request_end(1800000000000, &self, &b);
        assert_int_equal(b.error, 0);
        assert_true(b.n <= IICP_GOSSIP_BODY_MAX);
        o = json_tokener_parse(b.p);
        assert_int_equal(json_object_array_length(vector_get(o, "known_peers")), 256);
        assert_int_equal(json_object_get_int64(vector_get(o, "timestamp_ms")), 1800000000000);
        assert_int_equal(json_object_get_int(vector_get(o, "ttl_s")), 90);
        assert_true(iicp_str_is(vector_str(o, "sender_id"), "me"));
        assert_non_null(strstr(b.p, "\"relay_load\":0.333333}"));
        json_object_put(o);
        iicp_buf_free(&b);
}

static void count(void *arg, const char *node_id) {
        (void) node_id;
        ++*(unsigned *) arg;
}

static void IICPD_04_39_entries_that_are_no_strings_are_ignored(void **state) {
        struct iicp_gossip_request r;
        char signature[129];
        unsigned n = 0;

        (void) state;
        memset(signature, '0', 128);
        signature[128] = '\0';
        assert_int_equal(iicp_gossip_open(IICP_STR("{\"sender_id\":\"a\",\"known_peers\":[{\"node_id\":\"x\"},1,\"b\",null]}"),
                                          iicp_str(signature), "me", &r), IICP_REFUSE_NONE);
        iicp_gossip_known(&r, count, &n);
        assert_int_equal(n, 1);
}

/* The public vectors: what does not need a memory. */
static void IICPD_04_39_signature_vectors(void **state) {
        struct json_object *file = vector_ours("security/gossip-v1.json");
        struct iicp_str key = vector_hex(file, "public_key_hex");

        (void) state;
        vector_each(vector_get(file, "cases"), c) {
                struct iicp_str body = vector_hex(c, "body_hex"), signature = IICP_STR_NONE;
                struct json_object *text = vector_find(c, "x_iicp_signature");
                int want = json_object_get_int(vector_get(vector_get(c, "expect"), "http_status"));
                bool known = json_object_get_boolean(vector_get(c, "sender_key_known"));
                struct iicp_gossip_request r;
                enum iicp_refusal_id id;

                if (text)
                        signature = iicp_str(json_object_get_string(text));
                id = iicp_gossip_open(body, signature, "me", &r);
                if (id == IICP_REFUSE_NONE)
                        id = known ? iicp_gossip_check(&r, (const uint8_t *) key.p, json_object_get_int64(vector_get(c, "receiver_now_ms")))
                                   : IICP_REFUSE_FORBIDDEN;
                if (json_object_get_boolean(vector_get(c, "signature_seen_within_300_s")))
                        assert_int_equal(id, IICP_REFUSE_NONE); /* the memory refuses it */
                else if (want == 200)
                        assert_int_equal(id, IICP_REFUSE_NONE);
                else
                        assert_int_equal(iicp_refusal_info(id)->status, want);
                free((void *) body.p);
        }
        free((void *) key.p);
        json_object_put(file);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_42_DIR_BS_02_merge_vectors),
                cmocka_unit_test(IICPD_04_42_relay_members_as_shipped_nodes_write_them),
                cmocka_unit_test(DIR_BS_01_IICPD_04_40_both_forms_of_an_answer_are_read),
                cmocka_unit_test(IICPD_04_40_50_entries_and_64_KiB_are_read),
                cmocka_unit_test(IICPD_01_80_IICPD_05_34_key_forms_of_directories),
                cmocka_unit_test(IICPD_04_40_a_request_names_256_ids_at_most),
                cmocka_unit_test(IICPD_04_39_entries_that_are_no_strings_are_ignored),
                cmocka_unit_test(IICPD_04_39_signature_vectors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
