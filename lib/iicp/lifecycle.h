/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_LIFECYCLE_H
#define IICP_LIFECYCLE_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Service-lifecycle profile: states, legal changes, and what a receiver makes of the events or of the
 * native answers of one task. Pure; both sides. [02 section 11.3; 03 section 9] */

#define IICP_PROFILE_LIFECYCLE "urn:iicp:profile:service-lifecycle:v1"
#define IICP_PROFILE_ADMISSION "urn:iicp:profile:provider-admission:v1"
#define IICP_IDEMPOTENCY_KEY_MAX 128 /* characters of [A-Za-z0-9._:-] */

enum iicp_lifecycle_state {
        IICP_LIFECYCLE_SUBMITTED,
        IICP_LIFECYCLE_ACCEPTED,
        IICP_LIFECYCLE_QUEUED,
        IICP_LIFECYCLE_RUNNING,
        IICP_LIFECYCLE_WAITING,
        IICP_LIFECYCLE_STREAMING,
        IICP_LIFECYCLE_REJECTED,  /* this and all below: terminal */
        IICP_LIFECYCLE_COMPLETED,
        IICP_LIFECYCLE_FAILED,
        IICP_LIFECYCLE_CANCELLED,
        IICP_LIFECYCLE_EXPIRED,
        IICP_LIFECYCLE_MAX_,
};

IICP_API const char *iicp_lifecycle_state_name(enum iicp_lifecycle_state s);
/* The word of an event in that state: accepted, partial, completed, failed, cancelled, timed_out. */
IICP_API const char *iicp_lifecycle_event_name(enum iicp_lifecycle_state s);
/* Reads the word of a state; "timed_out" is "expired". false: unknown. */
IICP_API bool iicp_lifecycle_state_find(struct iicp_str name, enum iicp_lifecycle_state *ret);
IICP_API bool iicp_lifecycle_terminal(enum iicp_lifecycle_state s);
IICP_API bool iicp_lifecycle_legal(enum iicp_lifecycle_state from, enum iicp_lifecycle_state to);

/* What a request to cancel does to a task in that state: "already_terminal", "cancel_unsupported" (what
 * runs cannot be told), "cancel_signalled". */
IICP_API const char *iicp_lifecycle_cancellation(enum iicp_lifecycle_state s, bool can_cancel);
/* How far it is known that a cancelled task has stopped. None is ever told for a stronger one: a closed
 * connection does not prove that a model stopped. */
enum iicp_lifecycle_evidence {
        IICP_LIFECYCLE_CANCEL_REQUESTED,
        IICP_LIFECYCLE_TRANSPORT_ABORTED,    /* the connection was closed */
        IICP_LIFECYCLE_BACKEND_ACKNOWLEDGED, /* the server has said so */
        IICP_LIFECYCLE_EXECUTION_STOPPED,    /* proven */
        IICP_LIFECYCLE_CANCEL_UNSUPPORTED,
        IICP_LIFECYCLE_ALREADY_TERMINAL,
};
IICP_API const char *iicp_lifecycle_evidence_name(enum iicp_lifecycle_evidence e);

/* The first fault wins; the names are those of the profile. */
enum iicp_lifecycle_verdict {
        IICP_LIFECYCLE_OK = 0,
        IICP_LIFECYCLE_DISCARD,              /* seen before: drop it, nothing changes */
        IICP_LIFECYCLE_AFTER_TERMINAL,       /* response_after_terminal */
        IICP_LIFECYCLE_MISSING,              /* missing_lifecycle */
        IICP_LIFECYCLE_SESSION_DRIFT,        /* session_id_drift */
        IICP_LIFECYCLE_CALL_DRIFT,           /* call_id_drift */
        IICP_LIFECYCLE_TASK_DRIFT,           /* task_id_drift */
        IICP_LIFECYCLE_SEQUENCE_DRIFT,       /* sequence_drift */
        IICP_LIFECYCLE_FINALITY,             /* finality_disagreement */
        IICP_LIFECYCLE_STATUS_EVENT,         /* status_event_disagreement */
        IICP_LIFECYCLE_TERMINAL_FLAG,        /* terminal_flag_mismatch */
        IICP_LIFECYCLE_ILLEGAL,              /* illegal_transition */
        IICP_LIFECYCLE_NO_TERMINAL,          /* missing_terminal_response: outcome unknown */
        IICP_LIFECYCLE_VERDICT_MAX_,
};
IICP_API const char *iicp_lifecycle_verdict_name(enum iicp_lifecycle_verdict v);

/* The states of one task in order. Zero-initialised: nothing has come. */
struct iicp_lifecycle_machine {
        enum iicp_lifecycle_state state;
        uint64_t next;                       /* sequence that comes next; 0: none has come */
};
/* Takes one event; on anything but OK nothing changes. The first one may be accepted, rejected or
 * expired. */
IICP_API enum iicp_lifecycle_verdict iicp_lifecycle_advance(struct iicp_lifecycle_machine *m,
                                                            enum iicp_lifecycle_state to, uint64_t sequence,
                                                            bool is_final);

/* One message as a receiver sees it. Absent slices are not compared. */
struct iicp_lifecycle_message {
        struct iicp_str session_id, call_id; /* native: keys 2 and 3 */
        struct iicp_str task_id;             /* native: key 13.1 */
        struct iicp_str event;               /* native: key 13.3 */
        struct iicp_str state;               /* HTTP only: checked against the event word if present */
        struct iicp_str status;              /* native only, key 4: partial, success, error, timeout */
        bool has_lifecycle;                  /* native: key 13 is there; HTTP: sequence and event are */
        uint64_t sequence;
        bool is_final;                       /* 13.4 */
        bool has_frame_final, frame_final;   /* native: key 12 */
};

enum iicp_lifecycle_outcome {
        IICP_LIFECYCLE_OUTCOME_OPEN,         /* no terminal yet */
        IICP_LIFECYCLE_OUTCOME_SUCCESS,
        IICP_LIFECYCLE_OUTCOME_FAILED,       /* terminal other than completed, or a fault */
        IICP_LIFECYCLE_OUTCOME_UNKNOWN,      /* ended without a terminal; partial text is no success */
};

/* Zero-initialise; the slices of what is expected are borrowed for its life (absent: anything). */
struct iicp_lifecycle_receiver {
        struct iicp_str session_id, call_id, task_id;
        uint64_t next;
        enum iicp_lifecycle_state state;     /* of the last accepted message */
        bool terminal;
        enum iicp_lifecycle_outcome outcome;
};
/* After a fault (neither OK nor DISCARD) the outcome is FAILED, or stays what a terminal made it. */
IICP_API enum iicp_lifecycle_verdict iicp_lifecycle_receive(struct iicp_lifecycle_receiver *r,
                                                            const struct iicp_lifecycle_message *m);
/* The stream is over: OK, or NO_TERMINAL. */
IICP_API enum iicp_lifecycle_verdict iicp_lifecycle_end(struct iicp_lifecycle_receiver *r);

#ifdef __cplusplus
}
#endif
#endif
