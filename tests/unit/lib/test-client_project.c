/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <stdio.h>

static const char *text_in(struct json_object *o, const char *name) {
        struct json_object *v = o ? vector_find(o, name) : NULL;

        return v ? json_object_get_string(v) : NULL;
}

static double number_in(struct json_object *o, const char *name) {
        struct json_object *v = o ? vector_find(o, name) : NULL;

        return v ? json_object_get_double(v) : -1;
}

static void same_text(const char *got, const char *want) {
        if (!got || !want)
                assert_ptr_equal(got, want);
        else
                assert_string_equal(got, want);
}

static void check_projection(struct json_object *c) {
        struct json_object *given = vector_find(c, "route_constraints"),
                           *task = vector_get(c, "constraints");
        struct json_object *want = vector_get(c, "route"), *x = vector_get(c, "execution"), *doc;
        struct iicp_route route = IICP_ROUTE_INIT, got;
        struct iicp_request rq = IICP_REQUEST_INIT;
        struct iicp_execution execution;
        struct iicp_buf b = {0};

        route.region = text_in(given, "region");
        route.qos = text_in(given, "qos");
        route.model = text_in(given, "model");
        route.min_reputation = number_in(given, "min_reputation");
        route.limit = number_in(given, "limit") > 0 ? (unsigned) number_in(given, "limit") : 0;
        route.browser_usable_only = number_in(given, "browser_usable_only") > 0;
        rq.region = text_in(task, "region");
        rq.qos = text_in(task, "qos");
        rq.model = text_in(task, "model");
        rq.min_reputation = number_in(task, "min_reputation");
        rq.timeout_ms =
                number_in(task, "timeout_ms") > 0 ? (int64_t) number_in(task, "timeout_ms") : 0;
        rq.route = given ? &route : NULL;
        iicp_project(text_in(vector_get(c, "config"), "region"), 30000, &rq, &got, &execution);
        same_text(got.region, text_in(want, "region"));
        same_text(got.qos, text_in(want, "qos"));
        same_text(got.model, text_in(want, "model"));
        assert_true(got.min_reputation == number_in(want, "min_reputation"));
        assert_int_equal(got.limit, (int) number_in(want, "limit"));
        assert_int_equal(got.browser_usable_only,
                         json_object_get_boolean(vector_get(want, "browser_usable_only")));

        iicp_constraints_json(&execution, false, &b);
        doc = json_tokener_parse(b.p);
        assert_true(json_object_equal(doc, x));
        json_object_put(doc);
        iicp_buf_free(&b);
}

static void IICPD_06_10_request_is_split(void **state) {
        struct json_object *all = vector_ours("consumer/projection.json");

        (void) state;
        vector_each(vector_get(all, "projection"), c) check_projection(c);
        json_object_put(all);
}

static size_t count_of(const char *text, const char *what) {
        size_t n = 0;

        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        return n;
}

static void DIR_DISC_10_intent_is_always_sent(void **state) {
        struct json_object *all = vector_ours("consumer/projection.json");

        (void) state;
        vector_each(vector_get(all, "discover"), c) {
                struct json_object *o = vector_get(c, "options"), *config = vector_get(c, "config");
                struct iicp_route r = IICP_ROUTE_INIT;
                const char *want = json_object_get_string(vector_get(c, "query"));
                struct iicp_buf b = {0};
                char *copy = strdup(want), *save = NULL;

                r.region = text_in(o, "region") ? text_in(o, "region") : text_in(config, "region");
                r.qos = text_in(o, "qos");
                r.model = text_in(o, "model");
                r.min_reputation = number_in(o, "min_reputation");
                r.limit = number_in(o, "limit") > 0 ? (unsigned) number_in(o, "limit") : 0;
                iicp_discover_query("urn:iicp:intent:llm:chat:v1", &r, &b);
                /* the order of parameters is free */
                for (char *t = strtok_r(copy, "&", &save); t; t = strtok_r(NULL, "&", &save))
                        if (!strstr(b.p, t))
                                fail_msg("%s is not in %s", t, b.p);
                assert_int_equal(strlen(b.p), strlen(want));
                assert_int_equal(count_of(b.p, "intent=urn%3Aiicp%3Aintent%3Allm%3Achat%3Av1"), 1);
                free(copy);
                iicp_buf_free(&b);
        }
        json_object_put(all);
}

static void DIR_DISC_05_limit_is_clamped(void **state) {
        static const struct {
                unsigned limit;
                const char *want;
        } cases[] = {{0, "limit=10"},
                     {1, "limit=1"},
                     {50, "limit=50"},
                     {51, "limit=50"},
                     {4000000000u, "limit=50"}};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct iicp_route r = IICP_ROUTE_INIT;
                struct iicp_buf b = {0};

                r.limit = cases[i].limit;
                iicp_discover_query("urn:iicp:intent:a:v1", &r, &b);
                assert_string_equal(strstr(b.p, "limit="), cases[i].want);
                iicp_buf_free(&b);
        }
}

static void IICPD_06_10_lists_ask_for_the_public_view(void **state) {
        struct iicp_route r = IICP_ROUTE_INIT;
        struct iicp_buf b = {0};

        (void) state;
        iicp_discover_query("urn:iicp:intent:a:v1", &r, &b);
        assert_null(strstr(b.p, "view="));
        r.public_view = true;
        b.n = 0;
        iicp_discover_query("urn:iicp:intent:a:v1", &r, &b);
        assert_non_null(strstr(b.p, "view=public"));
        iicp_buf_free(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_10_request_is_split),
                cmocka_unit_test(DIR_DISC_10_intent_is_always_sent),
                cmocka_unit_test(DIR_DISC_05_limit_is_clamped),
                cmocka_unit_test(IICPD_06_10_lists_ask_for_the_public_view),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
