/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/admission.h>
#include <stdio.h>
#include <string.h>

#define INTENT "urn:iicp:intent:llm:chat:v1"
#define JTI "jti-0123456789.:_ABC"

/* What was redeemed: one ticket is enough. */
struct store {
        char jti[IICP_ADMISSION_JTI_MAX + 1];
        bool ended, broken;
        unsigned asked;
        int64_t keep_until;
};

static enum iicp_admission redeem(void *arg, struct iicp_str jti, int64_t keep_until) {
        struct store *s = arg;

        s->asked++;
        s->keep_until = keep_until;
        if (s->broken)
                return IICP_ADMISSION_STORE_UNAVAILABLE;
        if (iicp_str_is(jti, s->jti))
                return s->ended ? IICP_ADMISSION_TERMINAL : IICP_ADMISSION_REPLAY;
        snprintf(s->jti, sizeof(s->jti), "%.*s", (int) jti.n, jti.p);
        return IICP_ADMISSION_ACCEPTED;
}

static struct iicp_admission_provider provider_of(struct store *s, const char *id, const char *intent) {
        return (struct iicp_admission_provider) {iicp_str(id), iicp_str(intent), redeem, s};
}

static bool flag(struct json_object *c, const char *name, bool otherwise) {
        struct json_object *v = vector_find(c, name);

        return v ? json_object_get_boolean(v) : otherwise;
}

static void IICPD_02_42_dispatch_admission_vectors(void **state) {
        json_object *doc = vector_public("node/dispatch-admission-v2.json");

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                struct iicp_str text = vector_text(vector_get(c, "claim"));
                struct store store = {0};
                struct iicp_admission_provider p = provider_of(&store, vector_str(c, "expected_provider_id").p,
                                                               vector_str(c, "expected_intent").p);
                struct iicp_admission_claim claim;
                struct iicp_json json;
                json_object *prior = vector_find(c, "prior");

                assert_int_equal(iicp_json_scan(text, NULL, NULL, &json), 0);
                assert_int_equal(iicp_admission_claim_parse(&json, &claim), 0);
                if (prior)
                        vector_each(prior, before) {
                                assert_int_equal(iicp_admission_decide(&claim, true, &p,
                                                                       json_object_get_int64(vector_get(before, "now"))),
                                                 IICP_ADMISSION_ACCEPTED);
                                store.ended = vector_find(before, "terminal_state") != NULL;
                        }
                assert_string_equal(iicp_admission_name(iicp_admission_decide(
                                            &claim, flag(c, "trust_verified", true), &p,
                                            json_object_get_int64(vector_get(c, "now")))),
                                    vector_str(c, "expected").p);
        }
        json_object_put(doc);
}

/* Each claim is wrong in everything from one rule on: the first rule in the order wins. */
static void IICPD_02_42_decisions_in_the_given_order(void **state) {
        struct store store = {.jti = JTI};
        struct iicp_admission_provider p = provider_of(&store, "node-a", INTENT);
        struct iicp_admission_claim c = {IICP_STR("short"), IICP_STR("node-b"), IICP_STR("urn:x"), 2000, 0};

        (void) state;
        assert_int_equal(iicp_admission_decide(&c, false, &p, 1000), IICP_ADMISSION_ISSUER_KEY);
        assert_int_equal(iicp_admission_decide(&c, true, &p, 1000), IICP_ADMISSION_INVALID_JTI);
        c.jti = IICP_STR(JTI);
        assert_int_equal(iicp_admission_decide(&c, true, &p, 1000), IICP_ADMISSION_PROVIDER_BINDING);
        c.provider_id = IICP_STR("node-a");
        assert_int_equal(iicp_admission_decide(&c, true, &p, 1000), IICP_ADMISSION_INTENT_BINDING);
        c.intent = IICP_STR(INTENT);
        assert_int_equal(iicp_admission_decide(&c, true, &p, 1000), IICP_ADMISSION_NOT_YET_VALID);
        c.not_before = 0;
        assert_int_equal(iicp_admission_decide(&c, true, &p, 1000), IICP_ADMISSION_EXPIRED);
        assert_int_equal(store.asked, 0);
        c.expires_at = 2000;
        assert_int_equal(iicp_admission_decide(&c, true, &p, 1000), IICP_ADMISSION_REPLAY);
        store.ended = true;
        assert_int_equal(iicp_admission_decide(&c, true, &p, 1000), IICP_ADMISSION_TERMINAL);
        store.broken = true;
        assert_int_equal(iicp_admission_decide(&c, true, &p, 1000), IICP_ADMISSION_STORE_UNAVAILABLE);
        assert_int_equal(store.keep_until, 2030);
}

static void IICPD_02_42_skew_and_length_of_jti_on_both_sides(void **state) {
        char longest[IICP_ADMISSION_JTI_MAX + 2];
        struct iicp_admission_claim c = {IICP_STR(JTI), IICP_STR("node-a"), IICP_STR(INTENT), 1030, 2000};

        const struct {
                int64_t now;
                enum iicp_admission want;
        } times[] = {{999, IICP_ADMISSION_NOT_YET_VALID}, {1000, IICP_ADMISSION_ACCEPTED}, {2029, IICP_ADMISSION_ACCEPTED},
                     {2030, IICP_ADMISSION_EXPIRED}, {INT64_MAX, IICP_ADMISSION_EXPIRED}, {INT64_MIN, IICP_ADMISSION_NOT_YET_VALID}};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
                struct store store = {0};
                struct iicp_admission_provider p = provider_of(&store, "node-a", INTENT);

                assert_int_equal(iicp_admission_decide(&c, true, &p, times[i].now), times[i].want);
        }
        memset(longest, 'a', sizeof(longest));
        for (size_t n = 15; n <= IICP_ADMISSION_JTI_MAX + 1; n += n == 16 ? 240 : 1) {
                struct store store = {0};
                struct iicp_admission_provider p = provider_of(&store, "node-a", INTENT);

                c.jti = (struct iicp_str) {longest, n};
                assert_int_equal(iicp_admission_decide(&c, true, &p, 1500),
                                 n >= 16 && n <= 256 ? IICP_ADMISSION_ACCEPTED : IICP_ADMISSION_INVALID_JTI);
        }
        longest[20] = '/';
        c.jti = (struct iicp_str) {longest, 32};
        assert_int_equal(iicp_admission_decide(&c, true, &(struct iicp_admission_provider) {.id = IICP_STR("node-a")}, 1500),
                         IICP_ADMISSION_INVALID_JTI);
}

static void IICPD_02_42_claims_of_other_types_are_none(void **state) {
        static const char *const bad[] = {
                "[]", "{}",
                "{\"jti\":1,\"provider_id\":\"a\",\"intent\":\"b\",\"not_before\":1,\"expires_at\":2}",
                "{\"jti\":\"j\",\"provider_id\":\"a\",\"intent\":\"b\",\"not_before\":\"1\",\"expires_at\":2}",
                "{\"jti\":\"j\",\"provider_id\":\"a\",\"intent\":\"b\",\"not_before\":1}",
        };
        struct iicp_admission_claim claim;
        struct iicp_json json;

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(iicp_json_scan(iicp_str(bad[i]), NULL, NULL, &json), 0);
                assert_int_equal(iicp_admission_claim_parse(&json, &claim), -EINVAL);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_42_dispatch_admission_vectors),
                cmocka_unit_test(IICPD_02_42_decisions_in_the_given_order),
                cmocka_unit_test(IICPD_02_42_skew_and_length_of_jti_on_both_sides),
                cmocka_unit_test(IICPD_02_42_claims_of_other_types_are_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
