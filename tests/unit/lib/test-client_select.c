/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <stdio.h>

#define POOL_MAX 8

/* The random numbers of a case, in the order in which they are drawn. */
struct draws {
        double v[2];
        size_t used;
};

static double draw(void *arg) {
        struct draws *d = arg;

        assert_true(d->used < 2);
        return d->v[d->used++];
}

static double number_or(struct json_object *c, const char *name, double otherwise) {
        struct json_object *v = vector_find(c, name);

        return v ? json_object_get_double(v) : otherwise;
}

static enum iicp_strategy strategy_of(const char *name) {
        for (int s = 0; s <= IICP_STRATEGY_WEIGHTED_V1; s++)
                if (!strcmp(name, iicp_strategy_name((enum iicp_strategy) s)))
                        return (enum iicp_strategy) s;
        fail_msg("no strategy %s", name);
        return IICP_STRATEGY_DETERMINISTIC;
}

static void check_case(struct json_object *c, struct json_object *pools) {
        struct json_object *pool = vector_get(pools, json_object_get_string(vector_get(c, "pool")));
        struct json_object *expect = vector_get(c, "expect");
        struct draws d = {.v = {number_or(c, "random", 0), number_or(c, "random_pick", 0)}};
        struct iicp_selection s = {
                .strategy = strategy_of(json_object_get_string(vector_get(c, "strategy"))),
                .epsilon = number_or(c, "epsilon", 0.05),
                .tau = number_or(c, "tau", 0.04),
                .top_k = (unsigned) number_or(c, "top_k", 3),
                .max_retries = (unsigned) number_or(c, "max_retries", 3),
                .draw = draw,
                .arg = &d,
        };
        struct iicp_record records[POOL_MAX] = {0};
        struct iicp_nodes list = {.v = records, .n = json_object_array_length(pool)};
        size_t idx[POOL_MAX], n;

        assert_true(list.n <= POOL_MAX);
        for (size_t i = 0; i < list.n; i++) {
                struct json_object *node = json_object_array_get_idx(pool, i);

                records[i].node_id = (char *) json_object_get_string(vector_get(node, "node_id"));
                records[i].pub.score = json_object_get_double(vector_get(node, "score"));
                records[i].pub.load = json_object_get_double(vector_get(node, "load"));
                idx[i] = i;
        }
        n = iicp_select(&s, &list, idx, list.n);
        assert_int_equal(n, json_object_array_length(expect));
        for (size_t i = 0; i < n; i++)
                if (strcmp(records[idx[i]].node_id,
                           json_object_get_string(json_object_array_get_idx(expect, i))) != 0)
                        fail_msg("case %s: place %zu is %s", json_object_to_json_string(c), i,
                                 records[idx[i]].node_id);
}

static void IICPD_06_20_strategies_draw_as_told(void **state) {
        struct json_object *all = vector_ours("consumer/selection.json");

        (void) state;
        vector_each(vector_get(all, "cases"), c) check_case(c, vector_get(all, "pools"));
        json_object_put(all);
}

static double must_not_draw(void *arg) {
        (void) arg;
        fail_msg("a number was drawn");
        return 0;
}

static void PROXY_ROUTE_02_first_node_of_the_directory_first(void **state) {
        struct iicp_record records[3] = {{.pub.score = 0.1},
                                         {.pub.score = 0.9},
                                         {.pub.score = 0.5}};
        struct iicp_nodes list = {.v = records, .n = 3};
        struct iicp_client_config config;
        struct iicp_selection s = {.max_retries = 3,
                                   .top_k = 3,
                                   .tau = 0.04,
                                   .draw = must_not_draw};
        size_t idx[3] = {0, 1, 2};

        (void) state;
        iicp_client_config_init(&config);
        s.strategy = config.strategy;
        assert_int_equal(iicp_select(&s, &list, idx, 3), 3);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(idx[i], i);
}

static void IICPD_06_20_model_advertisers_come_first(void **state) {
        const char *a[] = {"m-a", NULL}, *b[] = {"m-b:latest", NULL};
        struct iicp_record records[4] = {
                {.pub = {.models = a, .n_models = 1}},
                {.pub = {.models = b, .n_models = 1}},
                {.pub = {.n_models = 0}},
                {.pub = {.models = b, .n_models = 1}},
        };
        struct iicp_nodes list = {.v = records, .n = 4};
        size_t idx[4] = {0, 1, 2, 3}, none[4] = {0, 1, 2, 3};
        static const size_t want[4] = {1, 3, 0, 2};

        (void) state;
        iicp_select_model_first(&list, "m-b", idx, 4);
        assert_memory_equal(idx, want, sizeof(want));
        iicp_select_model_first(&list, "m-c", none, 4);
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(none[i], i);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_20_strategies_draw_as_told),
                cmocka_unit_test(PROXY_ROUTE_02_first_node_of_the_directory_first),
                cmocka_unit_test(IICPD_06_20_model_advertisers_come_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
