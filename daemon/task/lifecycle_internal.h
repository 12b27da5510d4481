/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LIFECYCLE_INTERNAL_H
#define IICPD_LIFECYCLE_INTERNAL_H

/* The inside of the store, for its own files only. The store owns its records; a record that observers
 * still look at stays until the last of them is gone. */

#include "corridor.h"
#include "lifecycle.h"

#include <uthash.h>

struct lifecycle_observer {
        LIST_ENTRY(lifecycle_observer) link;
        struct lifecycle_task *task;
        uint64_t next;        /* sequence it wants */
        bool waiting;         /* ready() is due at the next event */
        bool lagged;
        lifecycle_ready_fn ready;
        void *arg;
};

LIST_HEAD(lifecycle_observers, lifecycle_observer);

struct lifecycle_task {
        TAILQ_ENTRY(lifecycle_task) link;          /* lifecycle.running or lifecycle.ended */
        UT_hash_handle by_id, by_key;
        uint8_t id_key[LIFECYCLE_KEY];             /* owner and task_id */
        uint8_t idempotency[LIFECYCLE_KEY];        /* owner and idempotency_key */
        uint8_t owner[PRINCIPAL_OWNER], digest[LIFECYCLE_DIGEST];
        struct lifecycle *store;
        struct task *task;                         /* runs, or NULL */
        struct iicp_lifecycle_machine machine;
        struct lifecycle_event **events;           /* a ring of n_ring places, as many as were needed */
        unsigned n_ring, first, n;
        size_t bytes;
        struct lifecycle_observers observers;
        unsigned n_observers;
        uint64_t ended_ms;
        bool stored;          /* still in the store; else only observers keep it */
        bool reserved, settled;
        char receipt[128];    /* JSON object, made once at the end */
        const char *intent;   /* behind task_id */
        char task_id[];
};

TAILQ_HEAD(lifecycle_tasks, lifecycle_task);

struct lifecycle {
        struct node *node;
        struct lifecycle_task *by_id, *by_key;     /* uthash */
        struct lifecycle_tasks running, ended;     /* ended: oldest first */
        struct timer expiry;
        struct lifecycle_facts facts;
};

/* lifecycle_binding.c: the key of a record of this owner. */
int lifecycle_key(const uint8_t owner[PRINCIPAL_OWNER], struct iicp_str text, uint8_t ret[LIFECYCLE_KEY]);

/* lifecycle_event.c */
struct lifecycle_content {
        struct iicp_str members;     /* result, usage, model_used, finish_reason: as JSON members */
        struct iicp_str sealed;      /* instead of them: an iicp_conf_resp object that is made already */
        struct iicp_str open;        /* metrics: stays readable */
        int64_t tokens;
        const char *error_code, *error_message;
};
/* Adds the next event of a record and wakes its observers. session: seal the members (may be NULL).
 * -ENOMEM, -EIO: nothing was added. */
int lifecycle_add(struct lifecycle_task *r, enum iicp_lifecycle_state state, const struct lifecycle_content *content,
                  const struct iicp_cx_session *session);
void lifecycle_drop_events(struct lifecycle_task *r, unsigned keep);

/* lifecycle.c */
struct lifecycle_task *lifecycle_task_new(struct lifecycle *l, const struct task *t);
/* Out of the store now. */
void lifecycle_forget(struct lifecycle_task *r);
void lifecycle_task_end(struct lifecycle_task *r);
void lifecycle_task_unref(struct lifecycle_task *r); /* an observer less */
struct lifecycle_task *lifecycle_by_id(struct lifecycle *l, const uint8_t id_key[LIFECYCLE_KEY]);
struct lifecycle_task *lifecycle_by_key(struct lifecycle *l, const uint8_t idempotency[LIFECYCLE_KEY]);

#endif
