/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle_internal.h"

#include "util.h"

/* Observers read the replay buffer at their own pace. [02 section 11.5] */

#define OBSERVERS_RETRY_MS 2000

static uint64_t earliest(const struct lifecycle_task *r) {
        return r->machine.next - r->n;
}

struct lifecycle_observer *lifecycle_observe(struct lifecycle_task *t, int64_t after, lifecycle_ready_fn ready,
                                             void *arg, struct iicp_refusal *refusal) {
        uint64_t next = after < 0 ? 0 : (uint64_t) after + 1;
        struct lifecycle_observer *o;

        if (next < earliest(t)) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_RESUME,
                                                 .state = iicp_lifecycle_state_name(t->machine.state),
                                                 .latest_sequence = t->machine.next - 1};
                return NULL;
        }
        if (t->n_observers >= LIFECYCLE_OBSERVERS_MAX) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_OBSERVERS, .retry_after_ms = OBSERVERS_RETRY_MS};
                return NULL;
        }
        o = calloc(1, sizeof(*o));
        if (!o) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_INTERNAL};
                return NULL;
        }
        o->task = t;
        o->next = next;
        o->ready = ready;
        o->arg = arg;
        LIST_INSERT_HEAD(&t->observers, o, link);
        t->n_observers++;
        t->store->facts.observers++;
        return o;
}

enum lifecycle_next lifecycle_observer_next(struct lifecycle_observer *o, struct lifecycle_event **ret_event) {
        struct lifecycle_task *t = o->task;
        struct lifecycle_event *e;

        /* A record that was forgotten before its end has nothing to come. */
        if (o->lagged || o->next < earliest(t) || (!t->stored && !iicp_lifecycle_terminal(t->machine.state))) {
                if (!o->lagged)
                        t->store->facts.lagged++;
                o->lagged = true;
                return LIFECYCLE_LAGGED;
        }
        if (o->next >= t->machine.next) {
                /* A sequence beyond the end asks for nothing that could still come. */
                if (iicp_lifecycle_terminal(t->machine.state))
                        return LIFECYCLE_END;
                o->waiting = true;
                return LIFECYCLE_WAIT;
        }
        e = t->events[(t->first + (unsigned) (o->next - earliest(t))) % t->n_ring];
        e->refs++;
        o->next++;
        *ret_event = e;
        return LIFECYCLE_EVENT;
}

void lifecycle_observer_range(const struct lifecycle_observer *o, uint64_t *ret_earliest, uint64_t *ret_latest) {
        *ret_earliest = earliest(o->task);
        *ret_latest = o->task->machine.next - 1;
}

struct lifecycle_task *lifecycle_observed(const struct lifecycle_observer *o) {
        return o->task;
}

struct lifecycle_observer *lifecycle_observer_free(struct lifecycle_observer *o) {
        struct lifecycle_task *t;

        if (!o)
                return NULL;
        t = o->task;
        LIST_REMOVE(o, link);
        t->n_observers--;
        t->store->facts.observers--;
        free(o);
        lifecycle_task_unref(t);
        return NULL;
}
