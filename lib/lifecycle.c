/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/lifecycle.h>

#include "util.h"

#define TO(state) (1u << IICP_LIFECYCLE_##state)
#define ENDS (TO(CANCELLED) | TO(FAILED) | TO(EXPIRED))

static const struct {
        const char *name, *event;
        unsigned next; /* set of the states that may follow */
} states[IICP_LIFECYCLE_MAX_] = {
        [IICP_LIFECYCLE_SUBMITTED] = {"submitted", "submitted", TO(ACCEPTED) | TO(REJECTED) | TO(EXPIRED)},
        [IICP_LIFECYCLE_ACCEPTED] = {"accepted", "accepted", TO(QUEUED) | TO(RUNNING) | TO(COMPLETED) | ENDS},
        [IICP_LIFECYCLE_QUEUED] = {"queued", "partial", TO(RUNNING) | TO(WAITING) | ENDS},
        [IICP_LIFECYCLE_RUNNING] = {"running", "partial", TO(WAITING) | TO(STREAMING) | TO(COMPLETED) | ENDS},
        [IICP_LIFECYCLE_WAITING] = {"waiting", "partial", TO(QUEUED) | TO(RUNNING) | ENDS},
        [IICP_LIFECYCLE_STREAMING] = {"streaming", "partial",
                                      TO(STREAMING) | TO(WAITING) | TO(COMPLETED) | ENDS},
        [IICP_LIFECYCLE_REJECTED] = {"rejected", "rejected", 0},
        [IICP_LIFECYCLE_COMPLETED] = {"completed", "completed", 0},
        [IICP_LIFECYCLE_FAILED] = {"failed", "failed", 0},
        [IICP_LIFECYCLE_CANCELLED] = {"cancelled", "cancelled", 0},
        [IICP_LIFECYCLE_EXPIRED] = {"expired", "timed_out", 0},
};

const char *iicp_lifecycle_state_name(enum iicp_lifecycle_state s) {
        return states[s].name;
}

const char *iicp_lifecycle_event_name(enum iicp_lifecycle_state s) {
        return states[s].event;
}

bool iicp_lifecycle_state_find(struct iicp_str name, enum iicp_lifecycle_state *ret) {
        if (iicp_str_is(name, "timed_out"))
                name = IICP_STR("expired");
        for (enum iicp_lifecycle_state s = 0; s < IICP_LIFECYCLE_MAX_; s++)
                if (iicp_str_is(name, states[s].name)) {
                        *ret = s;
                        return true;
                }
        return false;
}

bool iicp_lifecycle_terminal(enum iicp_lifecycle_state s) {
        return s >= IICP_LIFECYCLE_REJECTED;
}

bool iicp_lifecycle_legal(enum iicp_lifecycle_state from, enum iicp_lifecycle_state to) {
        return states[from].next & (1u << to);
}

const char *iicp_lifecycle_cancellation(enum iicp_lifecycle_state s, bool can_cancel) {
        if (iicp_lifecycle_terminal(s))
                return "already_terminal";
        return can_cancel ? "cancel_signalled" : "cancel_unsupported";
}

const char *iicp_lifecycle_evidence_name(enum iicp_lifecycle_evidence e) {
        static const char *const names[] = {
                [IICP_LIFECYCLE_CANCEL_REQUESTED] = "cancel_requested",
                [IICP_LIFECYCLE_TRANSPORT_ABORTED] = "transport_aborted",
                [IICP_LIFECYCLE_BACKEND_ACKNOWLEDGED] = "backend_acknowledged",
                [IICP_LIFECYCLE_EXECUTION_STOPPED] = "execution_stopped",
                [IICP_LIFECYCLE_CANCEL_UNSUPPORTED] = "cancel_unsupported",
                [IICP_LIFECYCLE_ALREADY_TERMINAL] = "already_terminal",
        };

        return names[e];
}

static const char *const verdicts[IICP_LIFECYCLE_VERDICT_MAX_] = {
        [IICP_LIFECYCLE_OK] = "ok",
        [IICP_LIFECYCLE_DISCARD] = "discard",
        [IICP_LIFECYCLE_AFTER_TERMINAL] = "response_after_terminal",
        [IICP_LIFECYCLE_MISSING] = "missing_lifecycle",
        [IICP_LIFECYCLE_SESSION_DRIFT] = "session_id_drift",
        [IICP_LIFECYCLE_CALL_DRIFT] = "call_id_drift",
        [IICP_LIFECYCLE_TASK_DRIFT] = "task_id_drift",
        [IICP_LIFECYCLE_SEQUENCE_DRIFT] = "sequence_drift",
        [IICP_LIFECYCLE_FINALITY] = "finality_disagreement",
        [IICP_LIFECYCLE_STATUS_EVENT] = "status_event_disagreement",
        [IICP_LIFECYCLE_TERMINAL_FLAG] = "terminal_flag_mismatch",
        [IICP_LIFECYCLE_ILLEGAL] = "illegal_transition",
        [IICP_LIFECYCLE_NO_TERMINAL] = "missing_terminal_response",
};

const char *iicp_lifecycle_verdict_name(enum iicp_lifecycle_verdict v) {
        return verdicts[v];
}

enum iicp_lifecycle_verdict iicp_lifecycle_advance(struct iicp_lifecycle_machine *m, enum iicp_lifecycle_state to,
                                                   uint64_t sequence, bool is_final) {
        if (sequence < m->next)
                return IICP_LIFECYCLE_DISCARD;
        if (iicp_lifecycle_terminal(m->state))
                return IICP_LIFECYCLE_AFTER_TERMINAL;
        if (sequence > m->next)
                return IICP_LIFECYCLE_SEQUENCE_DRIFT;
        if (is_final != iicp_lifecycle_terminal(to))
                return IICP_LIFECYCLE_TERMINAL_FLAG;
        if (!iicp_lifecycle_legal(m->state, to))
                return IICP_LIFECYCLE_ILLEGAL;
        m->state = to;
        m->next++;
        return IICP_LIFECYCLE_OK;
}

/* ---- receiver ---- */

/* Words of an event, of the status beside it on native, and what they make of the task. */
static const struct {
        const char *event, *status;
        enum iicp_lifecycle_state state;
} words[] = {
        {"partial", "partial", IICP_LIFECYCLE_STREAMING},
        {"completed", "success", IICP_LIFECYCLE_COMPLETED},
        {"failed", "error", IICP_LIFECYCLE_FAILED},
        {"cancelled", "error", IICP_LIFECYCLE_CANCELLED},
        {"timed_out", "timeout", IICP_LIFECYCLE_EXPIRED},
        {"expired", "timeout", IICP_LIFECYCLE_EXPIRED},
        {"accepted", NULL, IICP_LIFECYCLE_ACCEPTED},
        {"rejected", NULL, IICP_LIFECYCLE_REJECTED},
};

/* The state of HTTP beside the word: a terminal pair must agree, a partial says running, streaming or
 * another state that goes on. */
static bool state_agrees(struct iicp_str text, enum iicp_lifecycle_state by_event, enum iicp_lifecycle_state *ret) {
        enum iicp_lifecycle_state said;

        if (!text.p)
                return true;
        if (!iicp_lifecycle_state_find(text, &said))
                return false;
        *ret = said;
        if (by_event != IICP_LIFECYCLE_STREAMING)
                return said == by_event;
        return !iicp_lifecycle_terminal(said) && said >= IICP_LIFECYCLE_QUEUED;
}

static bool words_agree(const struct iicp_lifecycle_message *m, enum iicp_lifecycle_state *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                if (!iicp_str_is(m->event, words[i].event))
                        continue;
                *ret = words[i].state;
                if (m->status.p && !(words[i].status && iicp_str_is(m->status, words[i].status)))
                        return false;
                return state_agrees(m->state, words[i].state, ret);
        }
        return false;
}

static bool drifts(struct iicp_str expected, struct iicp_str got) {
        return expected.p && !iicp_str_eq(expected, got);
}

static enum iicp_lifecycle_verdict judge(const struct iicp_lifecycle_receiver *r,
                                         const struct iicp_lifecycle_message *m, enum iicp_lifecycle_state *ret) {
        if (r->terminal)
                return IICP_LIFECYCLE_AFTER_TERMINAL;
        if (!m->has_lifecycle)
                return IICP_LIFECYCLE_MISSING;
        if (drifts(r->session_id, m->session_id))
                return IICP_LIFECYCLE_SESSION_DRIFT;
        if (drifts(r->call_id, m->call_id))
                return IICP_LIFECYCLE_CALL_DRIFT;
        if (drifts(r->task_id, m->task_id))
                return IICP_LIFECYCLE_TASK_DRIFT;
        if (m->sequence < r->next)
                return IICP_LIFECYCLE_DISCARD;
        if (m->sequence > r->next)
                return IICP_LIFECYCLE_SEQUENCE_DRIFT;
        if (m->has_frame_final && m->frame_final != m->is_final)
                return IICP_LIFECYCLE_FINALITY;
        if (!words_agree(m, ret))
                return IICP_LIFECYCLE_STATUS_EVENT;
        return m->is_final == iicp_lifecycle_terminal(*ret) ? IICP_LIFECYCLE_OK : IICP_LIFECYCLE_TERMINAL_FLAG;
}

enum iicp_lifecycle_verdict iicp_lifecycle_receive(struct iicp_lifecycle_receiver *r,
                                                   const struct iicp_lifecycle_message *m) {
        enum iicp_lifecycle_state state = IICP_LIFECYCLE_SUBMITTED;
        enum iicp_lifecycle_verdict v = judge(r, m, &state);

        if (v == IICP_LIFECYCLE_DISCARD)
                return v;
        if (v != IICP_LIFECYCLE_OK) {
                if (!r->terminal)
                        r->outcome = IICP_LIFECYCLE_OUTCOME_FAILED;
                return v;
        }
        r->next++;
        r->state = state;
        if (iicp_lifecycle_terminal(state)) {
                r->terminal = true;
                r->outcome = state == IICP_LIFECYCLE_COMPLETED ? IICP_LIFECYCLE_OUTCOME_SUCCESS
                                                               : IICP_LIFECYCLE_OUTCOME_FAILED;
        }
        return v;
}

enum iicp_lifecycle_verdict iicp_lifecycle_end(struct iicp_lifecycle_receiver *r) {
        if (r->terminal)
                return IICP_LIFECYCLE_OK;
        if (r->outcome == IICP_LIFECYCLE_OUTCOME_OPEN)
                r->outcome = IICP_LIFECYCLE_OUTCOME_UNKNOWN;
        return IICP_LIFECYCLE_NO_TERMINAL;
}
