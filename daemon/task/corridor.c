/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"

#include "util.h"

#include <strings.h>

struct corridor *corridor_new(struct node *node) {
        struct corridor *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->node = node;
        LIST_INIT(&c->running);
        LIST_INIT(&c->waiters);
        LIST_INIT(&c->asking);
        c->nonces = seen_new();
        c->ids = seen_new();
        c->origins = rate_new();
        c->addresses = rate_new();
        c->auth_failures = rate_new();
        c->cip_checks = rate_new();
        c->lifecycle = lifecycle_new(node);
        c->recent = recent_new(); /* without it nothing is remembered */
        if (!c->lifecycle || !c->nonces || !c->ids || !c->origins || !c->addresses || !c->auth_failures || !c->cip_checks)
                return corridor_free(c);
        return c;
}

struct corridor *corridor_free(struct corridor *c) {
        if (!c)
                return NULL;
        c->on_change = NULL;
        c->on_idle = NULL;
        corridor_abort_all(c);
        lifecycle_free(c->lifecycle);
        seen_free(c->nonces);
        seen_free(c->ids);
        rate_free(c->origins);
        rate_free(c->addresses);
        rate_free(c->auth_failures);
        rate_free(c->cip_checks);
        iicp_wipe(c->old_token, sizeof(c->old_token));
        recent_free(c->recent);
        free(c);
        return NULL;
}

struct lifecycle *corridor_lifecycle(struct corridor *c) {
        return c->lifecycle;
}

void corridor_token_rotated(struct corridor *c, const char *old_token) {
        iicp_wipe(c->old_token, sizeof(c->old_token));
        strncpy(c->old_token, old_token, sizeof(c->old_token) - 1);
        c->old_token_until_ms = clock_mono_ms(c->node->clock) + TOKEN_GRACE_MS;
}

unsigned corridor_active(const struct corridor *c) {
        return c->active;
}

unsigned corridor_waiting(const struct corridor *c) {
        return c->waiting;
}

unsigned corridor_effective(const struct corridor *c) {
        const struct config *conf = c->node->config;
        double share = 1.0;

        if (conf->n_windows > 0)
                share = iicp_windows_share(conf->windows, conf->n_windows,
                                           clock_minute(c->node->clock, conf->windows_utc));
        return iicp_windows_effective(conf->max_concurrent, share);
}

bool corridor_available(const struct corridor *c) {
        struct backend_stability stability;

        if (c->draining || c->node->phase != NODE_RUNNING)
                return false;
        if (c->active >= corridor_effective(c))
                return false;
        backends_stability(c->node->backends, &stability);
        return stability.state != STATE_DRAINING;
}

const char *corridor_model_for(const struct corridor *c, struct iicp_str intent) {
        const char *const *models;
        size_t n;

        models = backends_models_to_register(c->node->backends, &n);
        return policy_model_for(c->node->policy, models, n, intent);
}

const struct iicp_intent *corridor_serves(const struct corridor *c, struct iicp_str intent) {
        const char *const *models;
        size_t n;

        models = backends_models_to_register(c->node->backends, &n);
        return policy_serves(c->node->policy, models, n, intent);
}

void corridor_on_change(struct corridor *c, void (*fn)(void *arg), void *arg) {
        c->on_change = fn;
        c->on_change_arg = arg;
}

void corridor_on_idle(struct corridor *c, void (*fn)(void *arg), void *arg) {
        c->on_idle = fn;
        c->on_idle_arg = arg;
}

void corridor_changed(struct corridor *c) {
        bool available = corridor_available(c);

        if (available != c->was_available) {
                c->was_available = available;
                if (c->on_change)
                        c->on_change(c->on_change_arg);
        }
        if (c->active == 0 && c->waiting == 0 && c->on_idle)
                c->on_idle(c->on_idle_arg);
}

void corridor_facts(const struct corridor *c, struct corridor_facts *ret) {
        *ret = (struct corridor_facts){
                .cip_active = c->cip_active,
                .encrypted_opened = c->encrypted_opened,
                .encrypted_refused = c->encrypted_refused,
        };
}

void corridor_counts(const struct corridor *c, struct task_counts *ret) {
        *ret = c->counts;
}

void corridor_drain(struct corridor *c, const char *reason) {
        struct iicp_refusal refusal = {
                .id = IICP_REFUSE_BUSY, .reason = reason, .retry_after_ms = TASK_RETRY_CAPACITY_MS,
        };
        struct task *t;

        c->draining = reason;
        while ((t = LIST_FIRST(&c->waiters)) || (t = LIST_FIRST(&c->asking)))
                task_refuse(t, &refusal);
        corridor_changed(c);
}

void corridor_undrain(struct corridor *c) {
        c->draining = NULL;
        corridor_changed(c);
}

const char *corridor_draining(const struct corridor *c) {
        return c->draining;
}

void corridor_stability(const struct corridor *c, struct backend_stability *ret) {
        backends_stability(c->node->backends, ret);
        if (c->draining && strcmp(c->draining, CORRIDOR_PAUSED) == 0)
                *ret = (struct backend_stability){.state = STATE_DRAINING, .reason = CORRIDOR_PAUSED,
                                                  .retry_after_s = PAUSE_RETRY_S};
}

void corridor_abort_all(struct corridor *c) {
        struct iicp_refusal refusal = {
                .id = IICP_REFUSE_BUSY, .reason = "stopping", .retry_after_ms = TASK_RETRY_CAPACITY_MS,
        };
        struct task *t;

        while ((t = LIST_FIRST(&c->waiters)) || (t = LIST_FIRST(&c->asking)))
                task_refuse(t, &refusal);
        while ((t = LIST_FIRST(&c->running)))
                task_refuse(t, &refusal);
}

static const char *doing(const struct task *t) {
        if (t->record && lifecycle_state(t->record) == IICP_LIFECYCLE_STREAMING)
                return "streaming";
        return t->step == TASK_WAITING ? "waiting for a slot" : "waiting for the backend";
}

static void task_json(const struct task *t, uint64_t now_ms, struct iicp_buf *out) {
        char caller[9];

        iicp_buf_puts(out, "{\"task_id\":");
        iicp_buf_json_str(out, t->env.task_id);
        iicp_buf_puts(out, ",\"intent\":");
        iicp_buf_json_str(out, t->env.intent);
        iicp_buf_puts(out, ",\"model\":");
        if (t->model.p)
                iicp_buf_json_str(out, t->model);
        else
                iicp_buf_puts(out, "null");
        iicp_buf_printf(out, ",\"qos\":\"%s\",\"door\":\"%s\",\"encrypted\":%s,\"age_ms\":%llu,\"left_ms\":%llu",
                        iicp_qos_name(t->env.qos), t->door, t->encrypted ? "true" : "false",
                        (unsigned long long) (now_ms - t->received_ms),
                        (unsigned long long) (t->deadline_ms > now_ms ? t->deadline_ms - now_ms : 0));
        iicp_buf_puts(out, ",\"backend\":");
        if (t->backend)
                iicp_buf_json_str(out, iicp_str(backend_name(t->backend)));
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, ",\"caller\":");
        iicp_buf_json_str(out, iicp_str(task_caller(t, caller)));
        iicp_buf_printf(out, ",\"doing\":\"%s\"}", doing(t));
}

void corridor_tasks_json(const struct corridor *c, struct iicp_buf *out) {
        uint64_t now_ms = clock_mono_ms(c->node->clock);
        const char *comma = "";
        struct task *t;

        iicp_buf_puts(out, "[");
        LIST_FOREACH(t, &c->running, link) {
                iicp_buf_puts(out, comma);
                task_json(t, now_ms, out);
                comma = ",";
        }
        LIST_FOREACH(t, &c->waiters, link) {
                iicp_buf_puts(out, comma);
                task_json(t, now_ms, out);
                comma = ",";
        }
        iicp_buf_puts(out, "]");
}

void corridor_recent_json(const struct corridor *c, bool failed, struct iicp_buf *out) {
        recent_json(c->recent, failed, out);
}

static bool one_of(const struct task_list *list, struct iicp_str prefix, uint64_t now_ms, struct iicp_buf *out) {
        struct task *t;

        LIST_FOREACH(t, list, link)
                if (t->env.task_id.n >= prefix.n && memcmp(t->env.task_id.p, prefix.p, prefix.n) == 0) {
                        task_json(t, now_ms, out);
                        return true;
                }
        return false;
}

bool corridor_task_json(const struct corridor *c, const char *prefix, struct iicp_buf *out) {
        uint64_t now_ms = clock_mono_ms(c->node->clock);

        return one_of(&c->running, iicp_str(prefix), now_ms, out) || one_of(&c->waiters, iicp_str(prefix), now_ms, out) ||
               recent_find(c->recent, prefix, out);
}
