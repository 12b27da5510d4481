/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle_account.h"

static struct account_answer answer(enum account_decision decision, enum account_action reservation,
                                    enum account_action settlement) {
        return (struct account_answer){
                .decision = decision, .reservation = reservation, .settlement = settlement,
                .new_execution = decision == ACCOUNT_START_EXECUTION || decision == ACCOUNT_START_NEW_TASK,
        };
}

static struct account_answer untouched(enum account_decision decision) {
        return answer(decision, ACCOUNT_NONE, ACCOUNT_NONE);
}

static struct account_answer submit(const struct account_question *q) {
        if (q->binding == ACCOUNT_FRESH)
                return q->reserved ? untouched(ACCOUNT_REJECT_CONFLICT)
                                   : answer(ACCOUNT_START_EXECUTION, ACCOUNT_CREATE, ACCOUNT_NONE);
        if (!q->reserved)
                return untouched(ACCOUNT_REJECT_MISSING_RESERVATION);
        return answer(ACCOUNT_REUSE_EXECUTION, ACCOUNT_REUSE, ACCOUNT_NONE);
}

static struct account_answer resume(const struct account_question *q) {
        if (q->new_task)
                return q->fresh_ids && q->binding == ACCOUNT_FRESH
                               ? answer(ACCOUNT_START_NEW_TASK, ACCOUNT_CREATE, ACCOUNT_NONE)
                               : untouched(ACCOUNT_REJECT_IDENTIFIER_REUSE);
        return untouched(q->resume_available ? ACCOUNT_REPLAY_EVENTS : ACCOUNT_NEW_TASK_REQUIRED);
}

static struct account_answer cancel(const struct account_question *q) {
        if (!q->reserved)
                return untouched(ACCOUNT_CANCEL_WITHOUT_ACCOUNTING);
        if (q->settled)
                return answer(ACCOUNT_RETURN_SETTLEMENT, ACCOUNT_REUSE, ACCOUNT_REUSE);
        if (!q->accepted)
                return answer(ACCOUNT_CANCEL_BEFORE_ACCEPTANCE, ACCOUNT_RELEASE, ACCOUNT_NONE);
        return answer(q->delivery == ACCOUNT_NOTHING ? ACCOUNT_CANCEL_AFTER_ACCEPTANCE
                                                     : ACCOUNT_CANCEL_AFTER_PARTIAL,
                      ACCOUNT_REUSE, ACCOUNT_CREATE);
}

static struct account_answer terminal(const struct account_question *q) {
        if (q->binding == ACCOUNT_FRESH)
                return untouched(ACCOUNT_REJECT_CONFLICT);
        if (!q->reserved)
                return untouched(ACCOUNT_REJECT_MISSING_RESERVATION);
        if (q->settled)
                return answer(ACCOUNT_RETURN_SETTLEMENT, ACCOUNT_REUSE, ACCOUNT_REUSE);
        if (q->completed)
                return answer(ACCOUNT_SETTLE_COMPLETED, ACCOUNT_REUSE, ACCOUNT_CREATE);
        return answer(q->delivery == ACCOUNT_NOTHING ? ACCOUNT_SETTLE_FAILED : ACCOUNT_SETTLE_FAILED_PARTIAL,
                      ACCOUNT_REUSE, ACCOUNT_CREATE);
}

struct account_answer account_decide(const struct account_question *q) {
        if (q->binding == ACCOUNT_CONFLICT)
                return untouched(ACCOUNT_REJECT_CONFLICT);
        switch (q->operation) {
        case ACCOUNT_SUBMIT:
                return submit(q);
        case ACCOUNT_STATUS:
                return untouched(ACCOUNT_RETURN_STATUS);
        case ACCOUNT_OBSERVE:
                return untouched(ACCOUNT_REPLAY_EVENTS);
        case ACCOUNT_RESUME:
                return resume(q);
        case ACCOUNT_CANCEL:
                return cancel(q);
        case ACCOUNT_TERMINAL:
                return terminal(q);
        }
        return untouched(ACCOUNT_REJECT_CONFLICT);
}

const char *account_decision_name(enum account_decision d) {
        static const char *const names[ACCOUNT_DECISION_MAX_] = {
                [ACCOUNT_START_EXECUTION] = "start_execution",
                [ACCOUNT_REUSE_EXECUTION] = "reuse_execution",
                [ACCOUNT_REJECT_CONFLICT] = "reject_conflict",
                [ACCOUNT_REJECT_MISSING_RESERVATION] = "reject_missing_reservation",
                [ACCOUNT_REJECT_IDENTIFIER_REUSE] = "reject_identifier_reuse",
                [ACCOUNT_RETURN_STATUS] = "return_status",
                [ACCOUNT_REPLAY_EVENTS] = "replay_events",
                [ACCOUNT_NEW_TASK_REQUIRED] = "explicit_new_task_required",
                [ACCOUNT_START_NEW_TASK] = "start_new_task",
                [ACCOUNT_CANCEL_BEFORE_ACCEPTANCE] = "cancel_before_acceptance",
                [ACCOUNT_CANCEL_AFTER_ACCEPTANCE] = "cancel_after_acceptance",
                [ACCOUNT_CANCEL_AFTER_PARTIAL] = "cancel_after_partial_delivery",
                [ACCOUNT_CANCEL_WITHOUT_ACCOUNTING] = "cancel_without_accounting",
                [ACCOUNT_RETURN_SETTLEMENT] = "return_existing_settlement",
                [ACCOUNT_SETTLE_COMPLETED] = "settle_completed",
                [ACCOUNT_SETTLE_FAILED] = "settle_failed",
                [ACCOUNT_SETTLE_FAILED_PARTIAL] = "settle_failed_partial",
        };

        return names[d];
}
