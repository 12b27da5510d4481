/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LIFECYCLE_H
#define IICPD_LIFECYCLE_H

/* The store of tasks of the service-lifecycle profile: one a node, behind every door.
 * [02 section 11; 03 section 9]
 *
 * A door submits with task_start and request.lifecycle; idempotency_key and request_digest are members
 * of the body. The corridor admits the task as any other; answer() comes once, with answer.record set
 * when the task was accepted now (202) or before (200), and without it when it was refused. From then
 * on the task belongs to the store: a door that leaves changes nothing. Records live for an hour after
 * their end, in memory only; the generated text is in their events and nowhere else, wiped with them. */

#include <iicp/json.h>
#include <iicp/lifecycle.h>
#include <iicp/refusal.h>

#define LIFECYCLE_TASKS_MAX 1024                    /* records; above: 503 */
#define LIFECYCLE_OBSERVERS_MAX 32                  /* of one task; above: 429 */
#define LIFECYCLE_EVENTS_MAX 256                    /* kept of one task, oldest dropped */
#define LIFECYCLE_BYTES_MAX ((size_t) 1024 * 1024)  /* of them, the same */
#define LIFECYCLE_STORE_BYTES_MAX ((size_t) 64 * 1024 * 1024) /* of all; the oldest record gives first */
#define LIFECYCLE_KEPT_MS ((uint64_t) 3600 * 1000)  /* after the end */

struct node;
struct principal;
struct lifecycle;
struct lifecycle_task;
struct lifecycle_observer;

/* One event. Never changes once it is there; who holds a reference may keep the pointer. */
struct lifecycle_event {
        unsigned refs;
        uint64_t sequence;
        enum iicp_lifecycle_state state;
        bool is_final;
        int64_t tokens;             /* tokens_used, -1 = unknown */
        const char *error_code, *error_message; /* failed, cancelled, expired; static */
        size_t n;
        char json[];                /* the whole event of 02 section 11.4, one line; wiped */
};
void lifecycle_event_unref(struct lifecycle_event *e);
/* A member of it, a slice of json: "result" (a string is an increment, an object the whole result),
 * "iicp_conf_resp" where the content is sealed, "usage", "model_used", "finish_reason", "receipt". */
struct iicp_json lifecycle_event_get(const struct lifecycle_event *e, const char *member);

struct lifecycle *lifecycle_new(struct node *node);
struct lifecycle *lifecycle_free(struct lifecycle *l);

enum lifecycle_operation { LIFECYCLE_SUBMIT, LIFECYCLE_STATUS, LIFECYCLE_OBSERVE, LIFECYCLE_CANCEL };
/* Has this principal the scope? false: *refusal is 401 or 403. */
bool lifecycle_allowed(const struct principal *who, enum lifecycle_operation what, struct iicp_refusal *refusal);
/* The record, if this principal may do that with it: the owner, or the operator (which leaves an audit
 * line). NULL: *refusal says why; a task of somebody else is unknown_task. */
struct lifecycle_task *lifecycle_find(struct lifecycle *l, const struct principal *who, struct iicp_str task_id,
                                      enum lifecycle_operation what, struct iicp_refusal *refusal);
/* Facts of a record; it lives at least until the next turn of the loop. */
struct iicp_str lifecycle_task_id(const struct lifecycle_task *t);
enum iicp_lifecycle_state lifecycle_state(const struct lifecycle_task *t);
uint64_t lifecycle_latest(const struct lifecycle_task *t);   /* sequence of the latest event */
/* {"profile","task_id","state","latest_sequence","is_final"} and, at the end, "receipt". extra is put
 * in after the opening brace ("\"cancellation\":\"...\","), "" for nothing. */
void lifecycle_record_json(const struct lifecycle_task *t, const char *extra, struct iicp_buf *out);

/* Aborts the backend call and ends the task as cancelled; a task that has ended stays as it is. */
struct lifecycle_cancelled {
        const char *outcome;    /* cancel_signalled, cancel_unsupported, already_terminal */
        const char *evidence;   /* what is known of the backend: iicp_lifecycle_evidence_name */
};
void lifecycle_cancel(struct lifecycle_task *t, struct lifecycle_cancelled *ret);

/* ---- observers ----
 * An observer is a place in the sequence and nothing more: it never holds the task up. Take events until
 * WAIT; then ready() is called once, from the loop, when there is more to take. An observer that was
 * slower than the replay buffer hears LAGGED and is over. The observer keeps the record alive. */
enum lifecycle_next {
        LIFECYCLE_EVENT,    /* *ret_event holds a reference: lifecycle_event_unref */
        LIFECYCLE_WAIT,
        LIFECYCLE_END,      /* the terminal event was taken */
        LIFECYCLE_LAGGED,
};
typedef void (*lifecycle_ready_fn)(void *arg);
/* Events with a sequence above `after` (-1: all). NULL: *refusal is 409 resume_unavailable (the next one
 * is not kept any more), or 429 when the task has too many observers. ready is never called from inside
 * of this or of lifecycle_observer_next. */
struct lifecycle_observer *lifecycle_observe(struct lifecycle_task *t, int64_t after, lifecycle_ready_fn ready,
                                             void *arg, struct iicp_refusal *refusal);
enum lifecycle_next lifecycle_observer_next(struct lifecycle_observer *o, struct lifecycle_event **ret_event);
/* After LAGGED: what is left. */
void lifecycle_observer_range(const struct lifecycle_observer *o, uint64_t *ret_earliest, uint64_t *ret_latest);
struct lifecycle_task *lifecycle_observed(const struct lifecycle_observer *o);
struct lifecycle_observer *lifecycle_observer_free(struct lifecycle_observer *o);

/* Facts for metrics and status. */
struct lifecycle_facts {
        unsigned tasks, running, observers;
        size_t bytes;
        uint64_t lagged;    /* observers, since the start */
};
void lifecycle_facts(const struct lifecycle *l, struct lifecycle_facts *ret);

#endif
