/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LIFECYCLE_ACCOUNT_H
#define IICPD_LIFECYCLE_ACCOUNT_H

/* What an operation may do to the account of a task: one reservation at the start, one settlement at
 * the end, whatever is repeated. Pure. [02 section 11.4] */

#include <stdbool.h>

enum account_operation {
        ACCOUNT_SUBMIT,
        ACCOUNT_STATUS,
        ACCOUNT_OBSERVE,
        ACCOUNT_RESUME,
        ACCOUNT_CANCEL,
        ACCOUNT_TERMINAL,
};
enum account_binding { ACCOUNT_FRESH, ACCOUNT_SAME, ACCOUNT_CONFLICT };
enum account_delivery { ACCOUNT_NOTHING, ACCOUNT_PARTIAL, ACCOUNT_COMPLETE };

struct account_question {
        enum account_operation operation;
        enum account_binding binding;
        enum account_delivery delivery;
        bool reserved, settled, accepted;
        bool completed;                     /* terminal: with success */
        bool resume_available;              /* resume only, and the following */
        bool new_task, fresh_ids;           /* the caller says that it wants a new task; under new ids */
};

enum account_decision {
        ACCOUNT_START_EXECUTION,
        ACCOUNT_REUSE_EXECUTION,
        ACCOUNT_REJECT_CONFLICT,
        ACCOUNT_REJECT_MISSING_RESERVATION,
        ACCOUNT_REJECT_IDENTIFIER_REUSE,
        ACCOUNT_RETURN_STATUS,
        ACCOUNT_REPLAY_EVENTS,
        ACCOUNT_NEW_TASK_REQUIRED,
        ACCOUNT_START_NEW_TASK,
        ACCOUNT_CANCEL_BEFORE_ACCEPTANCE,
        ACCOUNT_CANCEL_AFTER_ACCEPTANCE,
        ACCOUNT_CANCEL_AFTER_PARTIAL,
        ACCOUNT_CANCEL_WITHOUT_ACCOUNTING,
        ACCOUNT_RETURN_SETTLEMENT,
        ACCOUNT_SETTLE_COMPLETED,
        ACCOUNT_SETTLE_FAILED,
        ACCOUNT_SETTLE_FAILED_PARTIAL,
        ACCOUNT_DECISION_MAX_,
};
enum account_action { ACCOUNT_NONE, ACCOUNT_CREATE, ACCOUNT_REUSE, ACCOUNT_RELEASE };

struct account_answer {
        enum account_decision decision;
        enum account_action reservation, settlement;
        bool new_execution;
};
struct account_answer account_decide(const struct account_question *q);
const char *account_decision_name(enum account_decision d);

#endif
