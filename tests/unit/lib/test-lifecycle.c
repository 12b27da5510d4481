/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/lifecycle.h>

#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- states ---- */

struct step {
        const char *state;
        uint64_t sequence;
        bool is_final;
};

static enum iicp_lifecycle_verdict walk(struct iicp_lifecycle_machine *m, const struct step *steps) {
        enum iicp_lifecycle_verdict v = IICP_LIFECYCLE_OK;

        for (const struct step *s = steps; s->state && v == IICP_LIFECYCLE_OK; s++) {
                enum iicp_lifecycle_state state;

                assert_true(iicp_lifecycle_state_find(iicp_str(s->state), &state));
                v = iicp_lifecycle_advance(m, state, s->sequence, s->is_final);
        }
        return v;
}

#define WALK(m, ...) walk(m, (const struct step[]){__VA_ARGS__, {0}})

static void LIFECYCLE_01_accepted_queued_running_completed(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"queued", 1, false}, {"running", 2, false},
                              {"completed", 3, true}), IICP_LIFECYCLE_OK);
        assert_int_equal(m.state, IICP_LIFECYCLE_COMPLETED);
        assert_int_equal(m.next, 4);
}

static void LIFECYCLE_02_streaming_in_a_row(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"running", 1, false}, {"streaming", 2, false},
                              {"streaming", 3, false}, {"completed", 4, true}), IICP_LIFECYCLE_OK);
}

static void LIFECYCLE_03_event_after_the_terminal_one(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"completed", 1, true}, {"running", 2, false}),
                         IICP_LIFECYCLE_AFTER_TERMINAL);
        assert_int_equal(m.state, IICP_LIFECYCLE_COMPLETED);
}

static void LIFECYCLE_04_gap(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"running", 2, false}), IICP_LIFECYCLE_SEQUENCE_DRIFT);
        assert_int_equal(m.state, IICP_LIFECYCLE_ACCEPTED);
        assert_int_equal(m.next, 1);
}

static void LIFECYCLE_05_repeated_event_is_dropped(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"running", 1, false}, {"running", 1, false}),
                         IICP_LIFECYCLE_DISCARD);
        assert_int_equal(WALK(&m, {"completed", 2, true}), IICP_LIFECYCLE_OK);
}

static void LIFECYCLE_06_final_flag_on_a_running_task(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"running", 1, true}), IICP_LIFECYCLE_TERMINAL_FLAG);
        assert_int_equal(WALK(&m, {"failed", 1, false}), IICP_LIFECYCLE_TERMINAL_FLAG);
}

static void LIFECYCLE_07_queued_task_may_be_cancelled(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"queued", 1, false}, {"cancelled", 2, true}),
                         IICP_LIFECYCLE_OK);
}

static void LIFECYCLE_08_running_task_may_expire(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"running", 1, false}, {"expired", 2, true}),
                         IICP_LIFECYCLE_OK);
}

static void LIFECYCLE_16_timed_out_is_expired(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"accepted", 0, false}, {"timed_out", 1, true}), IICP_LIFECYCLE_OK);
        assert_int_equal(m.state, IICP_LIFECYCLE_EXPIRED);
        assert_string_equal(iicp_lifecycle_event_name(m.state), "timed_out");
        assert_string_equal(iicp_lifecycle_state_name(m.state), "expired");
}

static void SERVICE_LIFECYCLE_04_rejected_before_acceptance(void **state) {
        struct iicp_lifecycle_machine m = {0};

        (void) state;
        assert_int_equal(WALK(&m, {"rejected", 0, true}), IICP_LIFECYCLE_OK);
        assert_int_equal(WALK(&m, {"running", 1, false}), IICP_LIFECYCLE_AFTER_TERMINAL);
}

/* The whole table of the public vectors, both ways: what is not there is refused. */
static void LIFECYCLE_01_transitions_are_those_of_the_profile(void **state) {
        struct json_object *doc = vector_public("node/service-lifecycle-v1.json");
        struct json_object *table = vector_get(doc, "transitions");

        (void) state;
        for (enum iicp_lifecycle_state from = 0; from < IICP_LIFECYCLE_MAX_; from++) {
                struct json_object *next = vector_get(table, iicp_lifecycle_state_name(from));

                assert_int_equal(iicp_lifecycle_terminal(from), json_object_array_length(next) == 0);
                for (enum iicp_lifecycle_state to = 0; to < IICP_LIFECYCLE_MAX_; to++) {
                        bool listed = false;

                        vector_each(next, name)
                                listed |= strcmp(json_object_get_string(name), iicp_lifecycle_state_name(to)) == 0;
                        assert_int_equal(iicp_lifecycle_legal(from, to), listed);
                }
        }
        json_object_put(doc);
}

/* ---- cancel ---- */

static void cancellation(const char *state_name, bool can, const char *expected) {
        enum iicp_lifecycle_state state;

        assert_true(iicp_lifecycle_state_find(iicp_str(state_name), &state));
        assert_string_equal(iicp_lifecycle_cancellation(state, can), expected);
}

static void CANCEL_RUNTIME_01_queued(void **state) {
        (void) state;
        cancellation("queued", true, "cancel_signalled");
}

static void CANCEL_RUNTIME_02_running(void **state) {
        (void) state;
        cancellation("running", true, "cancel_signalled");
}

static void CANCEL_RUNTIME_03_streaming(void **state) {
        (void) state;
        cancellation("streaming", true, "cancel_signalled");
}

static void CANCEL_RUNTIME_04_handler_without_cancel(void **state) {
        (void) state;
        cancellation("running", false, "cancel_unsupported");
}

static void CANCEL_RUNTIME_05_completed(void **state) {
        (void) state;
        cancellation("completed", true, "already_terminal");
}

static void CANCEL_RUNTIME_06_cancelled(void **state) {
        (void) state;
        cancellation("cancelled", true, "already_terminal");
        cancellation("cancelled", false, "already_terminal");
}

static void CANCEL_EVIDENCE_01_transport_aborted(void **state) {
        (void) state;
        assert_string_equal(iicp_lifecycle_evidence_name(IICP_LIFECYCLE_TRANSPORT_ABORTED), "transport_aborted");
}

static void CANCEL_EVIDENCE_02_backend_acknowledged(void **state) {
        (void) state;
        assert_string_equal(iicp_lifecycle_evidence_name(IICP_LIFECYCLE_BACKEND_ACKNOWLEDGED), "backend_acknowledged");
}

static void CANCEL_EVIDENCE_03_execution_stopped(void **state) {
        (void) state;
        assert_string_equal(iicp_lifecycle_evidence_name(IICP_LIFECYCLE_EXECUTION_STOPPED), "execution_stopped");
}

static void CANCEL_EVIDENCE_04_cancel_unsupported(void **state) {
        (void) state;
        assert_string_equal(iicp_lifecycle_evidence_name(IICP_LIFECYCLE_CANCEL_UNSUPPORTED), "cancel_unsupported");
}

/* ---- receiver ---- */

static struct iicp_lifecycle_message native(uint64_t sequence, const char *event, const char *status, bool is_final) {
        return (struct iicp_lifecycle_message){
                .session_id = IICP_STR("s-1"), .call_id = IICP_STR("c-1"), .task_id = IICP_STR("t-1"),
                .event = iicp_str(event), .status = iicp_str(status), .has_lifecycle = true, .sequence = sequence,
                .is_final = is_final, .has_frame_final = true, .frame_final = is_final,
        };
}

static struct iicp_lifecycle_message event(uint64_t sequence, const char *word, const char *state, bool is_final) {
        return (struct iicp_lifecycle_message){
                .task_id = IICP_STR("t-1"), .event = iicp_str(word), .state = iicp_str(state), .has_lifecycle = true,
                .sequence = sequence, .is_final = is_final,
        };
}

static struct iicp_lifecycle_receiver receiver(void) {
        return (struct iicp_lifecycle_receiver){
                .session_id = IICP_STR("s-1"), .call_id = IICP_STR("c-1"), .task_id = IICP_STR("t-1")};
}

static struct iicp_lifecycle_receiver http(void) {
        return (struct iicp_lifecycle_receiver){.task_id = IICP_STR("t-1")};
}

static void takes(struct iicp_lifecycle_receiver *r, struct iicp_lifecycle_message m, const char *verdict) {
        assert_string_equal(iicp_lifecycle_verdict_name(iicp_lifecycle_receive(r, &m)), verdict);
}

static void SERVICE_LIFECYCLE_03_duplicates_are_dropped(void **state) {
        struct iicp_lifecycle_receiver r = http();

        (void) state;
        takes(&r, event(0, "accepted", "accepted", false), "ok");
        takes(&r, event(1, "partial", "running", false), "ok");
        takes(&r, event(1, "partial", "running", false), "discard");
        takes(&r, event(0, "accepted", "accepted", false), "discard");
        takes(&r, event(2, "completed", "completed", true), "ok");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_SUCCESS);
}

static void SERVICE_LIFECYCLE_09_error_after_partial_is_final(void **state) {
        struct iicp_lifecycle_receiver r = http();

        (void) state;
        takes(&r, event(0, "accepted", "accepted", false), "ok");
        takes(&r, event(1, "partial", "streaming", false), "ok");
        takes(&r, event(2, "failed", "failed", true), "ok");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_FAILED);
        takes(&r, event(3, "completed", "completed", true), "response_after_terminal");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_FAILED);
}

static void SERVICE_LIFECYCLE_10_partial_after_terminal(void **state) {
        struct iicp_lifecycle_receiver r = http();

        (void) state;
        takes(&r, event(0, "accepted", NULL, false), "ok");
        takes(&r, event(1, "completed", NULL, true), "ok");
        takes(&r, event(2, "partial", NULL, false), "response_after_terminal");
}

static void SERVICE_LIFECYCLE_11_second_terminal(void **state) {
        struct iicp_lifecycle_receiver r = http();

        (void) state;
        takes(&r, event(0, "accepted", NULL, false), "ok");
        takes(&r, event(1, "completed", NULL, true), "ok");
        takes(&r, event(2, "failed", NULL, true), "response_after_terminal");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_SUCCESS);
}

static void SERVICE_LIFECYCLE_12_end_without_terminal_is_unknown(void **state) {
        struct iicp_lifecycle_receiver r = http();

        (void) state;
        takes(&r, event(0, "accepted", NULL, false), "ok");
        takes(&r, event(1, "partial", NULL, false), "ok");
        assert_string_equal(iicp_lifecycle_verdict_name(iicp_lifecycle_end(&r)), "missing_terminal_response");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_UNKNOWN);
}

static void SERVICE_LIFECYCLE_13_partial_marked_final(void **state) {
        struct iicp_lifecycle_receiver r = http(), n = receiver();

        (void) state;
        takes(&r, event(0, "accepted", NULL, false), "ok");
        takes(&r, event(1, "partial", NULL, true), "terminal_flag_mismatch");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_FAILED);
        takes(&n, native(0, "partial", "partial", true), "terminal_flag_mismatch");
}

static void SERVICE_LIFECYCLE_17_call_id_drift(void **state) {
        struct iicp_lifecycle_receiver r = receiver();
        struct iicp_lifecycle_message drift = native(1, "completed", "success", true);

        (void) state;
        takes(&r, native(0, "partial", "partial", false), "ok");
        drift.call_id = IICP_STR("c-2");
        takes(&r, drift, "call_id_drift");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_FAILED);
        drift.session_id = IICP_STR("s-2");
        takes(&r, drift, "session_id_drift");
        drift = native(1, "completed", "success", true);
        drift.task_id = IICP_STR_NONE;
        takes(&r, drift, "task_id_drift");
        drift.has_lifecycle = false;
        takes(&r, drift, "missing_lifecycle");
}

static void SERVICE_LIFECYCLE_18_sequence_gap(void **state) {
        struct iicp_lifecycle_receiver r = receiver(), first = receiver();

        (void) state;
        takes(&r, native(0, "partial", "partial", false), "ok");
        takes(&r, native(2, "completed", "success", true), "sequence_drift");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_FAILED);
        takes(&first, native(1, "partial", "partial", false), "sequence_drift");
}

static void SERVICE_LIFECYCLE_19_finality_disagrees(void **state) {
        struct iicp_lifecycle_receiver r = receiver();
        struct iicp_lifecycle_message m = native(0, "completed", "success", false);

        (void) state;
        m.frame_final = true;
        takes(&r, m, "finality_disagreement");
        takes(&r, native(0, "completed", "error", true), "status_event_disagreement");
        takes(&r, native(0, "later", "partial", false), "status_event_disagreement");
        takes(&r, event(0, "partial", "completed", false), "session_id_drift");
}

static void SERVICE_LIFECYCLE_20_after_the_terminal_answer(void **state) {
        struct iicp_lifecycle_receiver r = receiver();

        (void) state;
        takes(&r, native(0, "completed", "success", true), "ok");
        takes(&r, native(1, "partial", "partial", false), "response_after_terminal");
        assert_int_equal(iicp_lifecycle_end(&r), IICP_LIFECYCLE_OK);
}

static void words_of_state_and_event_agree(void **state) {
        struct iicp_lifecycle_receiver r = http();

        (void) state;
        takes(&r, event(0, "accepted", "running", false), "status_event_disagreement");
        takes(&r, event(0, "partial", "completed", false), "status_event_disagreement");
        takes(&r, event(0, "partial", "nowhere", false), "status_event_disagreement");
        takes(&r, event(0, "timed_out", "expired", true), "ok");
        assert_int_equal(r.outcome, IICP_LIFECYCLE_OUTCOME_FAILED);
}

/* ---- public vectors as they are ---- */

static const char *text(struct json_object *o, const char *name) {
        struct json_object *v = vector_find(o, name);

        return v ? json_object_get_string(v) : NULL;
}

static struct iicp_lifecycle_message message_of(struct json_object *frame) {
        struct json_object *life = vector_find(frame, "lifecycle"), *in = life ? life : frame;

        return (struct iicp_lifecycle_message){
                .session_id = iicp_str(text(frame, "session_id")), .call_id = iicp_str(text(frame, "call_id")),
                .task_id = iicp_str(life ? text(in, "task_id") : NULL), .event = iicp_str(text(in, "event")),
                .status = iicp_str(text(frame, "status")), .has_lifecycle = true,
                .sequence = (uint64_t) json_object_get_int64(vector_get(in, "sequence")),
                .is_final = json_object_get_boolean(vector_get(in, "is_final")), .has_frame_final = life != NULL,
                .frame_final = json_object_get_boolean(vector_get(frame, "is_final")),
        };
}

static void SERVICE_LIFECYCLE_02_public_sequences(void **state) {
        static const struct {
                const char *id, *verdict;
        } expected[] = {
                {"01", "ok"}, {"02", "ok"}, {"03", "ok"}, {"04", "ok"}, {"05", "ok"}, {"06", "ok"}, {"09", "ok"},
                {"10", "response_after_terminal"}, {"11", "response_after_terminal"},
                {"12", "missing_terminal_response"}, {"13", "terminal_flag_mismatch"}, {"14", "ok"}, {"15", "ok"},
                {"16", "ok"}, {"17", "call_id_drift"}, {"18", "sequence_drift"}, {"19", "finality_disagreement"},
                {"20", "response_after_terminal"},
        };
        struct json_object *doc = vector_public("node/service-profiles-v1.json");
        unsigned seen = 0;

        (void) state;
        vector_each(vector_get(doc, "lifecycle_vectors"), v) {
                struct json_object *frames = vector_find(v, "native_frames"), *events = vector_find(v, "events");
                struct json_object *input = vector_find(v, "input");
                const char *id = text(v, "id") + strlen("SERVICE-LIFECYCLE-"), *verdict = NULL, *worst = "ok";
                struct iicp_lifecycle_receiver r = {0};

                for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
                        if (strcmp(expected[i].id, id) == 0)
                                verdict = expected[i].verdict;
                if (!verdict)
                        continue;
                seen++;
                if (frames)
                        r = (struct iicp_lifecycle_receiver){.session_id = iicp_str(text(input, "session_id")),
                                                             .call_id = iicp_str(text(input, "call_id")),
                                                             .task_id = iicp_str(text(input, "task_id"))};
                vector_each(frames ? frames : events, one) {
                        struct iicp_lifecycle_message m = message_of(one);
                        enum iicp_lifecycle_verdict got = iicp_lifecycle_receive(&r, &m);

                        if (got != IICP_LIFECYCLE_OK && got != IICP_LIFECYCLE_DISCARD && strcmp(worst, "ok") == 0)
                                worst = iicp_lifecycle_verdict_name(got);
                }
                if (strcmp(worst, "ok") == 0)
                        worst = iicp_lifecycle_verdict_name(iicp_lifecycle_end(&r));
                assert_string_equal(worst, verdict);
        }
        assert_int_equal(seen, sizeof expected / sizeof expected[0]);
        json_object_put(doc);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(LIFECYCLE_01_accepted_queued_running_completed),
                cmocka_unit_test(LIFECYCLE_02_streaming_in_a_row),
                cmocka_unit_test(LIFECYCLE_03_event_after_the_terminal_one),
                cmocka_unit_test(LIFECYCLE_04_gap),
                cmocka_unit_test(LIFECYCLE_05_repeated_event_is_dropped),
                cmocka_unit_test(LIFECYCLE_06_final_flag_on_a_running_task),
                cmocka_unit_test(LIFECYCLE_07_queued_task_may_be_cancelled),
                cmocka_unit_test(LIFECYCLE_08_running_task_may_expire),
                cmocka_unit_test(LIFECYCLE_16_timed_out_is_expired),
                cmocka_unit_test(SERVICE_LIFECYCLE_04_rejected_before_acceptance),
                cmocka_unit_test(LIFECYCLE_01_transitions_are_those_of_the_profile),
                cmocka_unit_test(CANCEL_RUNTIME_01_queued),
                cmocka_unit_test(CANCEL_RUNTIME_02_running),
                cmocka_unit_test(CANCEL_RUNTIME_03_streaming),
                cmocka_unit_test(CANCEL_RUNTIME_04_handler_without_cancel),
                cmocka_unit_test(CANCEL_RUNTIME_05_completed),
                cmocka_unit_test(CANCEL_RUNTIME_06_cancelled),
                cmocka_unit_test(CANCEL_EVIDENCE_01_transport_aborted),
                cmocka_unit_test(CANCEL_EVIDENCE_02_backend_acknowledged),
                cmocka_unit_test(CANCEL_EVIDENCE_03_execution_stopped),
                cmocka_unit_test(CANCEL_EVIDENCE_04_cancel_unsupported),
                cmocka_unit_test(SERVICE_LIFECYCLE_03_duplicates_are_dropped),
                cmocka_unit_test(SERVICE_LIFECYCLE_09_error_after_partial_is_final),
                cmocka_unit_test(SERVICE_LIFECYCLE_10_partial_after_terminal),
                cmocka_unit_test(SERVICE_LIFECYCLE_11_second_terminal),
                cmocka_unit_test(SERVICE_LIFECYCLE_12_end_without_terminal_is_unknown),
                cmocka_unit_test(SERVICE_LIFECYCLE_13_partial_marked_final),
                cmocka_unit_test(SERVICE_LIFECYCLE_17_call_id_drift),
                cmocka_unit_test(SERVICE_LIFECYCLE_18_sequence_gap),
                cmocka_unit_test(SERVICE_LIFECYCLE_19_finality_disagrees),
                cmocka_unit_test(SERVICE_LIFECYCLE_20_after_the_terminal_answer),
                cmocka_unit_test(words_of_state_and_event_agree),
                cmocka_unit_test(SERVICE_LIFECYCLE_02_public_sequences),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
