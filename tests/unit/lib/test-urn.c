/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/urn.h>

static void check_vectors(const char *wanted_code) {
        struct json_object *all = vector_ours("consumer/urn-validation.json");
        size_t seen = 0;

        vector_each(vector_get(all, "cases"), c) {
                struct iicp_str urn = vector_str(c, "urn");
                bool accept = iicp_str_is(vector_str(c, "expect"), "accept");
                enum iicp_urn_verdict expected = IICP_URN_OK;

                if (!accept)
                        expected = iicp_str_is(vector_str(c, "code"), "IICP-E028")
                                           ? IICP_URN_MODIFIER
                                           : IICP_URN_MALFORMED;
                if (wanted_code && (accept || !iicp_str_is(vector_str(c, "code"), wanted_code)))
                        continue;
                seen++;
                if (iicp_urn_check(urn) != expected)
                        fail_msg("%s: verdict %d, expected %d", urn.p, (int) iicp_urn_check(urn),
                                 (int) expected);
        }
        assert_true(seen > 0);
        json_object_put(all);
}

static void SDK_03_urn_vectors(void **state) {
        (void) state;
        check_vectors(NULL);
}

static void IICPD_02_55_modifier_is_never_stripped(void **state) {
        (void) state;
        check_vectors("IICP-E028");
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v1+a+b-2")),
                         IICP_URN_MODIFIER);
        /* what stands before the modifier must be a URN itself */
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat+a")),
                         IICP_URN_MALFORMED);
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v1+")),
                         IICP_URN_MALFORMED);
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v1++a")),
                         IICP_URN_MALFORMED);
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v1+a\n")),
                         IICP_URN_MALFORMED);
}

static void PROTO_URN_01_prefix_is_required(void **state) {
        static const char *const bad[] = {
                "",
                "urn",
                "urn:iicp:intent",
                "urn:iicp:intent:",
                "urn:openai:gpt4",
                "llm:chat:v1",
                "urn:iicp:intents:llm:chat:v1",
                "urn:iicp:Intent:llm:chat:v1",
        };

        (void) state;
        assert_int_equal(iicp_urn_check(IICP_STR_NONE), IICP_URN_MALFORMED);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(iicp_urn_check(iicp_str(bad[i])), IICP_URN_MALFORMED);
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v1")), IICP_URN_OK);
        /* a NUL ends nothing */
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v1\0")),
                         IICP_URN_MALFORMED);
}

static void PROTO_URN_02_version_is_required(void **state) {
        (void) state;
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat")), IICP_URN_MALFORMED);
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v")),
                         IICP_URN_MALFORMED);
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:V1")),
                         IICP_URN_MALFORMED);
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v123456789")),
                         IICP_URN_OK);
        assert_int_equal(iicp_urn_check(IICP_STR("urn:iicp:intent:llm:chat:v1234567890")),
                         IICP_URN_MALFORMED);
}

static void domain_is_the_first_label(void **state) {
        (void) state;
        assert_true(iicp_str_is(iicp_urn_domain(IICP_STR("urn:iicp:intent:tool:run:v1")), "tool"));
        assert_true(
                iicp_str_is(iicp_urn_domain(IICP_STR("urn:iicp:intent:x.acme:run:v1")), "x.acme"));
        assert_null(iicp_urn_domain(IICP_STR("urn:iicp:intent:tool")).p);
        assert_null(iicp_urn_domain(IICP_STR("urn:other:tool:v1")).p);
        assert_null(iicp_urn_domain(IICP_STR_NONE).p);
}

static void registration_grammar_is_narrower(void **state) {
        static const char *const good[] = {
                "urn:iicp:intent:llm:chat:v1",
                "urn:iicp:intent:l_2:c-h_t:v10",
                "urn:iicp:intent:x.ac-me:do:v2",
        };
        static const char *const bad[] = {
                "urn:iicp:intent:llm:chat:v0",       "urn:iicp:intent:llm:chat:v01",
                "urn:iicp:intent:translate:v1",      "urn:iicp:intent:a:b:c:v1",
                "urn:iicp:intent:mcp:tools/call:v1", "urn:iicp:intent:2llm:chat:v1",
                "urn:iicp:intent:l-m:chat:v1",       "urn:iicp:intent:x.a_c:do:v2",
                "urn:iicp:intent:x.:do:v2",          "urn:iicp:intent:llm:chat:v1\n",
                "urn:iicp:intent:llm::v1",           "urn:iicp:intent::chat:v1",
        };

        (void) state;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                if (!iicp_urn_registrable(iicp_str(good[i])))
                        fail_msg("%s refused", good[i]);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                if (iicp_urn_registrable(iicp_str(bad[i])))
                        fail_msg("%s accepted", bad[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(SDK_03_urn_vectors),
                cmocka_unit_test(IICPD_02_55_modifier_is_never_stripped),
                cmocka_unit_test(PROTO_URN_01_prefix_is_required),
                cmocka_unit_test(PROTO_URN_02_version_is_required),
                cmocka_unit_test(domain_is_the_first_label),
                cmocka_unit_test(registration_grammar_is_narrower),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
