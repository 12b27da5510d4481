/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle_internal.h"

#include "log.h"
#include "util.h"

#include <iicp/hmac.h>
#include <stdio.h>

static void expire(void *arg);

struct lifecycle *lifecycle_new(struct node *node) {
        struct lifecycle *l = calloc(1, sizeof(*l));

        if (!l)
                return NULL;
        l->node = node;
        TAILQ_INIT(&l->running);
        TAILQ_INIT(&l->ended);
        timer_init(&l->expiry, node->loop, expire, l);
        return l;
}

static uint64_t now_ms(const struct lifecycle *l) {
        return clock_mono_ms(l->node->clock);
}

/* ---- records ---- */

static void record_free(struct lifecycle_task *r) {
        lifecycle_drop_events(r, 0);
        free(r->events);
        free(r);
}

void lifecycle_forget(struct lifecycle_task *r) {
        struct lifecycle *l = r->store;

        HASH_DELETE(by_id, l->by_id, r);
        HASH_DELETE(by_key, l->by_key, r);
        if (r->task) {
                TAILQ_REMOVE(&l->running, r, link);
                l->facts.running--;
        } else
                TAILQ_REMOVE(&l->ended, r, link);
        l->facts.tasks--;
        r->stored = false;
        if (r->n_observers == 0)
                record_free(r);
}

static void expire(void *arg) {
        struct lifecycle *l = arg;
        struct lifecycle_task *r;

        while ((r = TAILQ_FIRST(&l->ended)) && now_ms(l) - r->ended_ms >= LIFECYCLE_KEPT_MS)
                lifecycle_forget(r);
        if (r)
                timer_set_ms(&l->expiry, r->ended_ms + LIFECYCLE_KEPT_MS - now_ms(l));
}

struct lifecycle *lifecycle_free(struct lifecycle *l) {
        struct lifecycle_task *r;

        if (!l)
                return NULL;
        timer_clear(&l->expiry);
        while ((r = TAILQ_FIRST(&l->ended)))
                lifecycle_forget(r);
        free(l);
        return NULL;
}

struct lifecycle_task *lifecycle_task_new(struct lifecycle *l, const struct task *t) {
        const struct lifecycle_binding *b = &t->binding;
        struct iicp_str id = t->env.task_id, intent = t->env.intent;
        struct lifecycle_task *r;

        if (l->facts.tasks >= LIFECYCLE_TASKS_MAX)
                return NULL;
        r = calloc(1, sizeof(*r) + id.n + 1 + intent.n + 1);
        if (!r)
                return NULL;
        r->store = l;
        memcpy(r->task_id, id.p, id.n);
        memcpy(r->task_id + id.n + 1, intent.p, intent.n);
        r->intent = r->task_id + id.n + 1;
        memcpy(r->id_key, b->id_key, sizeof(r->id_key));
        memcpy(r->idempotency, b->idempotency, sizeof(r->idempotency));
        memcpy(r->owner, b->owner, sizeof(r->owner));
        memcpy(r->digest, b->digest, sizeof(r->digest));
        LIST_INIT(&r->observers);
        HASH_ADD(by_id, l->by_id, id_key, sizeof(r->id_key), r);
        HASH_ADD(by_key, l->by_key, idempotency, sizeof(r->idempotency), r);
        TAILQ_INSERT_TAIL(&l->running, r, link);
        r->stored = true;
        l->facts.tasks++;
        l->facts.running++;
        return r;
}

/* From running to ended; the hour of its retention begins. */
void lifecycle_task_end(struct lifecycle_task *r) {
        struct lifecycle *l = r->store;

        TAILQ_REMOVE(&l->running, r, link);
        TAILQ_INSERT_TAIL(&l->ended, r, link);
        r->task = NULL;
        r->ended_ms = now_ms(l);
        l->facts.running--;
        if (!timer_armed(&l->expiry))
                timer_set_ms(&l->expiry, LIFECYCLE_KEPT_MS);
}

void lifecycle_task_unref(struct lifecycle_task *r) {
        if (!r->stored && r->n_observers == 0)
                record_free(r);
}

struct lifecycle_task *lifecycle_by_id(struct lifecycle *l, const uint8_t id_key[LIFECYCLE_KEY]) {
        struct lifecycle_task *r;

        expire(l);
        HASH_FIND(by_id, l->by_id, id_key, LIFECYCLE_KEY, r);
        return r;
}

struct lifecycle_task *lifecycle_by_key(struct lifecycle *l, const uint8_t idempotency[LIFECYCLE_KEY]) {
        struct lifecycle_task *r;

        expire(l);
        HASH_FIND(by_key, l->by_key, idempotency, LIFECYCLE_KEY, r);
        return r;
}

/* ---- who may see what ---- */

static const struct {
        const char *name;
        unsigned scope;
} operations[] = {
        [LIFECYCLE_SUBMIT] = {"submit", SCOPE_SUBMIT},
        [LIFECYCLE_STATUS] = {"status", SCOPE_STATUS},
        [LIFECYCLE_OBSERVE] = {"observe", SCOPE_OBSERVE},
        [LIFECYCLE_CANCEL] = {"cancel", SCOPE_CANCEL},
};

bool lifecycle_allowed(const struct principal *who, enum lifecycle_operation what, struct iicp_refusal *refusal) {
        *refusal = (struct iicp_refusal){.id = who->kind == PRINCIPAL_NONE ? IICP_REFUSE_UNAUTHORIZED
                                                                           : IICP_REFUSE_FORBIDDEN};
        return who->kind != PRINCIPAL_NONE && who->scopes & operations[what].scope;
}

static void digest_text(struct iicp_str text, char out[17]) {
        uint8_t digest[32] = {0};

        iicp_sha256(text, digest);
        for (size_t i = 0; i < 8; i++)
                snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* Digests only, and only here: no record of it is kept anywhere else. [02 section 11.2] */
static void audit(const struct principal *who, const struct lifecycle_task *r, enum lifecycle_operation what) {
        uint8_t owner[PRINCIPAL_OWNER];
        char task[17], by[17];

        principal_owner(who, owner);
        digest_text(iicp_str(r->task_id), task);
        digest_text((struct iicp_str){(const char *) owner, sizeof(owner)}, by);
        log_notice("lifecycle_audit", "%s of task sha256:%s, which is somebody else's, was allowed to the "
                                      "operator sha256:%s",
                   operations[what].name, task, by);
}

/* Of other owners; several may use the same id, the latest counts. */
static struct lifecycle_task *find_others(struct lifecycle *l, struct iicp_str task_id) {
        struct lifecycle_task *r, *found = NULL;

        TAILQ_FOREACH(r, &l->ended, link)
                if (iicp_str_is(task_id, r->task_id))
                        found = r;
        TAILQ_FOREACH(r, &l->running, link)
                if (iicp_str_is(task_id, r->task_id))
                        found = r;
        return found;
}

struct lifecycle_task *lifecycle_find(struct lifecycle *l, const struct principal *who, struct iicp_str task_id,
                                      enum lifecycle_operation what, struct iicp_refusal *refusal) {
        uint8_t owner[PRINCIPAL_OWNER], key[LIFECYCLE_KEY];
        struct lifecycle_task *r = NULL;

        if (!lifecycle_allowed(who, what, refusal))
                return NULL;
        refusal->id = IICP_REFUSE_FORBIDDEN;
        principal_owner(who, owner);
        if (lifecycle_key(owner, task_id, key) == 0)
                r = lifecycle_by_id(l, key);
        if (r)
                return principal_fits(who, iicp_str(r->intent)) ? r : NULL;
        refusal->id = IICP_REFUSE_UNKNOWN_TASK;
        if (who->scopes & SCOPE_OTHERS)
                r = find_others(l, task_id);
        if (r)
                audit(who, r, what);
        return r;
}

/* ---- facts ---- */

struct iicp_str lifecycle_task_id(const struct lifecycle_task *t) {
        return iicp_str(t->task_id);
}

enum iicp_lifecycle_state lifecycle_state(const struct lifecycle_task *t) {
        return t->machine.state;
}

uint64_t lifecycle_latest(const struct lifecycle_task *t) {
        return t->machine.next - 1;
}

void lifecycle_record_json(const struct lifecycle_task *t, const char *extra, struct iicp_buf *out) {
        bool final = iicp_lifecycle_terminal(t->machine.state);

        iicp_buf_puts(out, "{");
        iicp_buf_puts(out, extra);
        iicp_buf_puts(out, "\"profile\":\"" IICP_PROFILE_LIFECYCLE "\",\"task_id\":");
        iicp_buf_json_str(out, iicp_str(t->task_id));
        iicp_buf_printf(out, ",\"state\":\"%s\",\"latest_sequence\":%llu,\"is_final\":%s",
                        iicp_lifecycle_state_name(t->machine.state), (unsigned long long) lifecycle_latest(t),
                        final ? "true" : "false");
        if (final && t->receipt[0]) {
                iicp_buf_puts(out, ",\"receipt\":");
                iicp_buf_puts(out, t->receipt);
        }
        iicp_buf_puts(out, "}");
}

void lifecycle_facts(const struct lifecycle *l, struct lifecycle_facts *ret) {
        *ret = l->facts;
}
