/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <errno.h>

static const struct iicp_node_rules plain_rules = {.now_s = 1767323045};

static int parse(struct iicp_str text, const struct iicp_node_rules *rules,
                 struct iicp_record *ret) {
        struct iicp_json v;

        assert_int_equal(iicp_json_scan(text, NULL, NULL, &v), 0);
        return iicp_record_parse(&v, rules, ret);
}

static void check_parsed(struct json_object *want, const struct iicp_record *r) {
        struct json_object *models = vector_find(want, "models");

        assert_true(r->pub.score == json_object_get_double(vector_get(want, "score")));
        assert_true(r->pub.load == json_object_get_double(vector_get(want, "load")));
        assert_string_equal(r->pub.region, json_object_get_string(vector_get(want, "region")));
        assert_int_equal(r->pub.has_key, json_object_get_boolean(vector_get(want, "has_key")));
        assert_int_equal(r->pub.n_models, models ? json_object_array_length(models) : 0);
        for (size_t i = 0; i < r->pub.n_models; i++)
                assert_string_equal(r->pub.models[i],
                                    json_object_get_string(json_object_array_get_idx(models, i)));
}

static void IICPD_06_16_one_bad_record_is_skipped(void **state) {
        struct json_object *all = vector_ours("consumer/discover-nodes.json");
        struct iicp_buf body = {0};
        struct iicp_nodes *list;
        size_t keep = 0;

        (void) state;
        iicp_buf_puts(&body, "{\"nodes\":[");
        vector_each(vector_get(all, "cases"), c) {
                bool kept = iicp_str_is(vector_str(c, "expect"), "keep");
                struct iicp_str text = vector_text(vector_get(c, "record"));
                struct iicp_record r;
                int got = parse(text, &plain_rules, &r);

                if ((got == 0) != kept)
                        fail_msg("%s: %d", json_object_get_string(vector_get(c, "name")), got);
                if (kept) {
                        check_parsed(vector_get(c, "parsed"), &r);
                        iicp_record_done(&r);
                }
                iicp_buf_puts(&body, c_i ? "," : "");
                iicp_buf_add_str(&body, text);
                keep += kept;
        }
        iicp_buf_puts(&body, "]}");
        /* all of them in one list: the bad ones fail nothing */
        assert_int_equal(iicp_nodes_parse(iicp_buf_str(&body), &plain_rules, 50, &list), 0);
        assert_int_equal(iicp_nodes_count(list), keep);
        iicp_nodes_free(list);
        iicp_buf_free(&body);
        json_object_put(all);
}

static struct iicp_nodes *list_of(const char *text, unsigned limit) {
        struct iicp_nodes *list = NULL;

        assert_int_equal(iicp_nodes_parse(iicp_str(text), &plain_rules, limit, &list), 0);
        return list;
}

static void DIR_DISC_01_only_nodes_is_required(void **state) {
        struct iicp_nodes *list = list_of("{\"nodes\":[]}", 10);

        (void) state;
        assert_int_equal(iicp_nodes_count(list), 0);
        iicp_nodes_free(list);
        list = list_of("{\"count\":99,\"query_ms\":1,\"nodes\":[{\"node_id\":\"a\",\"endpoint\":"
                       "\"https://a.example.net\"}]}",
                       10);
        assert_int_equal(iicp_nodes_count(list), 1);
        iicp_nodes_free(list);
        assert_int_equal(iicp_nodes_parse(IICP_STR("{\"count\":0}"), &plain_rules, 10, &list),
                         -EBADMSG);
        assert_int_equal(iicp_nodes_parse(IICP_STR("[]"), &plain_rules, 10, &list), -EBADMSG);
        assert_int_equal(iicp_nodes_parse(IICP_STR("<html>"), &plain_rules, 10, &list), -EBADMSG);
}

#define NODE(id, more)                                                                             \
        "{\"node_id\":\"" id "\",\"endpoint\":\"https://" id ".example.net\"" more "}"

static void DIR_DISC_02_order_is_kept(void **state) {
        struct iicp_nodes *list = list_of("{\"nodes\":[" NODE("c", ",\"score\":0.1") "," NODE(
                                                  "a", ",\"score\":0.9") "," NODE("b", "") "]}",
                                          10);
        struct iicp_node n;

        (void) state;
        for (size_t i = 0; i < 3; i++) {
                iicp_nodes_get(list, i, &n);
                assert_int_equal(n.node_id[0], "cab"[i]);
        }
        iicp_nodes_free(list);
}

static void DIR_DISC_03_unavailable_records_are_skipped(void **state) {
        struct iicp_nodes *list = list_of("{\"nodes\":[" NODE("a", ",\"available\":false") "," NODE(
                                                  "b", ",\"available\":null") "]}",
                                          10);
        struct iicp_node n;

        (void) state;
        assert_int_equal(iicp_nodes_count(list), 1);
        iicp_nodes_get(list, 0, &n);
        assert_string_equal(n.node_id, "b");
        iicp_nodes_free(list);
}

static void DIR_DISC_04_scores_are_clamped(void **state) {
        struct iicp_nodes *list = list_of(
                "{\"nodes\":[" NODE("a", ",\"score\":7") "," NODE("b", ",\"score\":-1") "," NODE(
                        "c", "") "," NODE("d", ",\"score\":\"x\"") "]}",
                10);
        static const double want[] = {1, 0, 0, 0};
        struct iicp_node n;

        (void) state;
        for (size_t i = 0; i < 4; i++) {
                iicp_nodes_get(list, i, &n);
                assert_true(n.score == want[i]);
        }
        iicp_nodes_free(list);
}

static void SDK_DISC_01_scores_are_fractions(void **state) {
        struct iicp_nodes *list =
                list_of("{\"nodes\":[" NODE("a", ",\"score\":1e300,\"load\":9") "]}", 10);
        struct iicp_node n;

        (void) state;
        iicp_nodes_get(list, 0, &n);
        assert_true(n.score == 1 && n.load == 1);
        iicp_nodes_free(list);
}

static void SDK_DISC_02_at_most_limit_usable_records(void **state) {
        struct iicp_nodes *list =
                list_of("{\"nodes\":[{}," NODE("a", "") "," NODE("b", "") "," NODE("c", "") "]}",
                        2);
        struct iicp_node n;

        (void) state;
        assert_int_equal(iicp_nodes_count(list), 2);
        iicp_nodes_get(list, 0, &n);
        assert_string_equal(n.node_id, "a");
        iicp_nodes_free(list);
}

static void IICPD_06_27_private_endpoints_need_permission(void **state) {
        const struct iicp_node_rules lab = {.allow_private = true};
        struct iicp_record r;

        (void) state;
        assert_true(parse(IICP_STR("{\"node_id\":\"a\",\"endpoint\":\"http://127.0.0.1:9484/\"}"),
                          &plain_rules, &r) < 0);
        assert_int_equal(
                parse(IICP_STR("{\"node_id\":\"a\",\"endpoint\":\"http://127.0.0.1:9484/\"}"), &lab,
                      &r),
                0);
        assert_string_equal(r.pub.endpoint, "http://127.0.0.1:9484");
        assert_true(r.pub.browser_usable);
        iicp_record_done(&r);
        assert_true(parse(IICP_STR("{\"node_id\":\"a\",\"endpoint\":\"ftp://127.0.0.1\"}"), &lab,
                          &r) < 0);
        /* an id that could move a terminal's cursor is none */
        assert_true(parse(IICP_STR("{\"node_id\":\"a\\u001b[2J\",\"endpoint\":\"https://"
                                   "a.example.net\"}"),
                          &plain_rules, &r) < 0);
}

static void IICPD_06_16_public_view_is_for_lists_only(void **state) {
        const struct iicp_node_rules view = {.public_view = true};
        struct iicp_record r;

        (void) state;
        assert_int_equal(
                parse(IICP_STR(
                              "{\"node_id_prefix\":\"abcd1234\",\"score\":0.5,\"key_ready\":true}"),
                      &view, &r),
                0);
        assert_string_equal(r.pub.prefix, "abcd1234");
        assert_string_equal(r.pub.endpoint, "");
        assert_true(r.pub.has_key);
        iicp_record_done(&r);
        assert_true(parse(IICP_STR("{\"node_id_prefix\":\"abcd1234\",\"score\":0.5}"), &plain_rules,
                          &r) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_16_one_bad_record_is_skipped),
                cmocka_unit_test(DIR_DISC_01_only_nodes_is_required),
                cmocka_unit_test(DIR_DISC_02_order_is_kept),
                cmocka_unit_test(DIR_DISC_03_unavailable_records_are_skipped),
                cmocka_unit_test(DIR_DISC_04_scores_are_clamped),
                cmocka_unit_test(SDK_DISC_01_scores_are_fractions),
                cmocka_unit_test(SDK_DISC_02_at_most_limit_usable_records),
                cmocka_unit_test(IICPD_06_27_private_endpoints_need_permission),
                cmocka_unit_test(IICPD_06_16_public_view_is_for_lists_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
