/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"

#include "util.h"

/* Waiting for a slot: off by default; realtime and interactive only, bounded in time and number,
 * ordered by class, priority, arrival. [02 section 5.2] */

bool queue_wanted(const struct task *t) {
        const struct corridor *c = t->corridor;

        return c->node->config->queue_wait_ms > 0 && t->env.qos <= IICP_QOS_INTERACTIVE &&
               c->waiting < c->node->config->max_concurrent && task_now_ms(t) < t->deadline_ms;
}

static void waited_enough(void *arg) {
        struct task *t = arg;
        struct iicp_refusal refusal = {
                .id = IICP_REFUSE_CAPACITY, .qos_class = iicp_qos_name(t->env.qos),
                .retry_after_ms = TASK_RETRY_CAPACITY_MS,
        };

        if (task_now_ms(t) >= t->deadline_ms)
                refusal = (struct iicp_refusal){.id = IICP_REFUSE_TIMEOUT};
        task_refuse(t, &refusal);
}

static bool before(const struct task *a, const struct task *b) {
        if (a->env.qos != b->env.qos)
                return a->env.qos < b->env.qos;
        if (a->env.priority != b->env.priority)
                return a->env.priority < b->env.priority;
        return a->arrival < b->arrival;
}

void queue_add(struct task *t) {
        struct corridor *c = t->corridor;
        uint64_t left_ms = t->deadline_ms - task_now_ms(t);
        struct task *other, *last = NULL;

        t->step = TASK_WAITING;
        t->arrival = c->arrivals++;
        LIST_FOREACH(other, &c->waiters, link) {
                if (before(t, other))
                        break;
                last = other;
        }
        if (last)
                LIST_INSERT_AFTER(last, t, link);
        else
                LIST_INSERT_HEAD(&c->waiters, t, link);
        c->waiting++;
        timer_init(&t->queue, c->node->loop, waited_enough, t);
        timer_set_ms(&t->queue, MIN(c->node->config->queue_wait_ms, left_ms));
}

void queue_remove(struct task *t) {
        LIST_REMOVE(t, link);
        t->corridor->waiting--;
        timer_clear(&t->queue);
}

/* The first waiter whose model has a free backend; the others keep their place. */
static struct task *runnable(struct corridor *c) {
        struct iicp_refusal refusal;
        struct task *t;

        if (c->active >= corridor_effective(c))
                return NULL;
        LIST_FOREACH(t, &c->waiters, link)
                if (task_pick(t, NULL, &refusal) == PICK_OK)
                        return t;
        return NULL;
}

void queue_run(struct corridor *c) {
        struct task *t;

        while (c->waiting > 0 && (t = runnable(c))) {
                queue_remove(t);
                t->step = TASK_RUNNING;
                task_execute(t);
        }
}
