/* SPDX-License-Identifier: Apache-2.0 */
#include "findings/findings.h"

#include "directory/recovery_table.h"
#include "guidance.h"
#include "vectors.h"

#include <iicp/directory.h>
#include <string.h>

/* The list alone: what follows from what, what comes first, which word has which finding. */

static void OX_1_a_symptom_is_folded_under_its_cause(void **state) {
        struct findings_list *l = calloc(1, sizeof *l);
        const struct finding *f;

        (void) state;
        assert_non_null(l);
        findings_add(l, "directory.liveness_failed", "registration");
        findings_add(l, "directory.unreachable", "directory");
        findings_add(l, "dns.unavailable", "DNS");
        findings_add(l, "internet.unavailable", "network");
        findings_add(l, "backend.auth", "backend gpu");
        findings_settle(l);
        assert_string_equal(findings_with(l, "directory.liveness_failed")->cause->kind->id, "directory.unreachable");
        assert_string_equal(findings_with(l, "directory.unreachable")->cause->kind->id, "dns.unavailable");
        assert_string_equal(findings_with(l, "dns.unavailable")->cause->kind->id, "internet.unavailable");
        assert_null(findings_with(l, "internet.unavailable")->cause);
        assert_null(findings_with(l, "backend.auth")->cause);
        f = findings_top(l, SEVERITY_WARN);
        assert_true(strcmp(f->kind->id, "internet.unavailable") == 0 || strcmp(f->kind->id, "backend.auth") == 0);
        free(l);
}

static void OX_1_a_cause_that_is_not_there_is_passed_over(void **state) {
        struct findings_list *l = calloc(1, sizeof *l);

        (void) state;
        assert_non_null(l);
        findings_add(l, "directory.liveness_failed", "registration");
        findings_add(l, "clock.off", "clock");
        findings_settle(l);
        /* neither directory nor DNS nor internet: the clock is the cause */
        assert_string_equal(findings_with(l, "directory.liveness_failed")->cause->kind->id, "clock.off");
        free(l);
}

static void OX_1_what_fails_comes_before_what_warns(void **state) {
        struct findings_list *l = calloc(1, sizeof *l);
        struct finding *f;

        (void) state;
        assert_non_null(l);
        findings_add(l, "config.changed", "configuration");
        findings_add(l, "backend.auth", "backend cloud");
        findings_add(l, "backend.unreachable", "backend gpu");
        f = findings_add(l, "route.none", "route");
        f->because = "route.cgnat";
        f = findings_add(l, "route.cgnat", "route");
        f->severity = SEVERITY_FAIL;
        findings_settle(l);
        assert_int_equal(findings_top(l, SEVERITY_FAIL)->severity, SEVERITY_FAIL);
        assert_string_equal(findings_with(l, "route.none")->cause->kind->id, "route.cgnat");
        assert_string_equal(l->v[l->n - 1].kind->id, "config.changed");
        free(l);
}

static void OX_1_no_two_are_each_others_cause(void **state) {
        struct findings_list *l = calloc(1, sizeof *l);
        struct finding *f;

        (void) state;
        assert_non_null(l);
        /* the groups say: no relay because of the route; the fact says it the other way round */
        f = findings_add(l, "route.none", "route");
        f->because = "route.no_relay";
        f = findings_add(l, "route.no_relay", "route");
        f->severity = SEVERITY_FAIL;
        findings_settle(l);
        assert_string_equal(findings_with(l, "route.none")->cause->kind->id, "route.no_relay");
        assert_null(findings_with(l, "route.no_relay")->cause);
        assert_string_equal(findings_top(l, SEVERITY_FAIL)->kind->id, "route.no_relay");
        /* nor where both are said, nor of itself; three in a ring have a root, too */
        findings_add(l, "route.cgnat", "route")->because = "route.cgnat";
        findings_add(l, "backend.auth", "a")->because = "key.overdue";
        findings_add(l, "key.overdue", "b")->because = "certificate.expiring";
        findings_add(l, "certificate.expiring", "c")->because = "backend.auth";
        findings_settle(l);
        assert_null(findings_with(l, "route.cgnat")->cause);
        for (size_t i = 0; i < l->n; i++) {
                size_t steps = 0;

                for (const struct finding *c = &l->v[i]; c; c = c->cause)
                        assert_true(steps++ < l->n);
        }
        assert_non_null(findings_top(l, SEVERITY_WARN));
        free(l);
}

static void OX_1_each_has_all_of_its_words_once(void **state) {
        (void) state;
        for (size_t i = 0; i < finding_n_kinds; i++) {
                const struct finding_kind *k = &finding_kinds[i];

                assert_true(*k->means && *k->causes && *k->todo && *k->gone);
                assert_ptr_equal(finding_kind(k->id), k);
        }
        assert_null(finding_kind("backend.nonsense"));
}

static void OX_1_guidance_recovery_and_refusals_have_a_finding_each(void **state) {
        (void) state;
        for (size_t i = 0; i < explain_n_guidance; i++)
                assert_non_null(finding_kind_of("route", explain_guidance[i].word));
        for (int s = RECOVERY_STABLE + 1; s <= RECOVERY_UNAVAILABLE; s++)
                assert_non_null(finding_kind_of("recovery", recovery_state_name((enum recovery_state) s)));
        assert_null(finding_kind_of("recovery", "stable"));
        for (int c = IICP_DIR_RATE_LIMITED; c <= IICP_DIR_OTHER; c++)
                assert_non_null(finding_kind_of("directory", iicp_directory_class_name((enum iicp_directory_class) c)));
}

static void OX_1_the_document_has_every_member(void **state) {
        struct findings_list *l = calloc(1, sizeof *l);
        struct iicp_buf b = {0};
        struct finding *f;
        json_object *doc, *one;

        (void) state;
        assert_non_null(l);
        f = findings_add(l, "backend.unreachable", "backend \"gpu\"");
        finding_evidence(f, "failures", "%d", 3);
        for (int i = 0; i < 20; i++)
                finding_evidence(f, "more", "x"); /* no further than its places */
        f->since_s = 1764000000;
        findings_settle(l);
        findings_list_json(l, &b);
        doc = json_tokener_parse(b.p);
        assert_int_equal(json_object_array_length(doc), 1);
        one = json_object_array_get_idx(doc, 0);
        assert_string_equal(json_object_get_string(json_object_object_get(one, "id")), "backend.unreachable");
        assert_string_equal(json_object_get_string(json_object_object_get(one, "severity")), "fail");
        assert_string_equal(json_object_get_string(json_object_object_get(one, "subject")), "backend \"gpu\"");
        assert_string_equal(json_object_get_string(json_object_object_get(one, "since")), "2025-11-24T16:00:00Z");
        assert_null(json_object_object_get(one, "caused_by"));
        assert_string_equal(json_object_get_string(json_object_object_get(one, "see")), "man:iicpd-findings(7)");
        json_object_put(doc);
        iicp_buf_free(&b);
        free(l);
}

static void OX_1_the_list_has_an_end(void **state) {
        struct findings_list *l = calloc(1, sizeof *l);

        (void) state;
        assert_non_null(l);
        for (int i = 0; i < FINDINGS_MAX; i++)
                assert_non_null(findings_add(l, "backend.auth", "x"));
        assert_null(findings_add(l, "backend.auth", "x"));
        assert_null(findings_add(l, "no.such", "x"));
        assert_int_equal(l->n, FINDINGS_MAX);
        free(l);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(OX_1_a_symptom_is_folded_under_its_cause),
                cmocka_unit_test(OX_1_a_cause_that_is_not_there_is_passed_over),
                cmocka_unit_test(OX_1_what_fails_comes_before_what_warns),
                cmocka_unit_test(OX_1_no_two_are_each_others_cause),
                cmocka_unit_test(OX_1_each_has_all_of_its_words_once),
                cmocka_unit_test(OX_1_guidance_recovery_and_refusals_have_a_finding_each),
                cmocka_unit_test(OX_1_the_document_has_every_member),
                cmocka_unit_test(OX_1_the_list_has_an_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
