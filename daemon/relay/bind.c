/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "log.h"
#include "tickets.h"
#include "util.h"

#include <errno.h>

static const struct {
        const char *name, *reason;
} verdicts[RELAY_VERDICT_MAX_] = {
        [RELAY_BOUND] = {"ok", NULL},
        [RELAY_BAD_WORKER_ID] = {"bad_worker_id", NULL},
        [RELAY_RATE_LIMITED] = {"rate_limited", IICP_RELAY_RATE_LIMITED},
        [RELAY_TICKET_REQUIRED] = {"ticket_required", IICP_RELAY_TICKET_REQUIRED},
        [RELAY_TICKET_INVALID] = {"ticket_invalid", IICP_RELAY_TICKET_INVALID},
        [RELAY_TICKET_REPLAYED] = {"ticket_replayed", IICP_RELAY_TICKET_REPLAYED},
        [RELAY_ALREADY_ALIVE] = {"alive", IICP_RELAY_ALIVE},
        [RELAY_FULL] = {"full", IICP_RELAY_FULL},
        [RELAY_HELD_OUT] = {"held_out", IICP_RELAY_FULL},
        [RELAY_NO_MEMORY] = {"no_memory", IICP_RELAY_FULL},
};

const char *relay_verdict_name(enum relay_verdict v) {
        return verdicts[v].name;
}

const char *relay_verdict_reason(enum relay_verdict v) {
        return verdicts[v].reason;
}

/* ---- models ---- */

void relay_models_add(struct iicp_buf *array, struct iicp_str model) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {};

        iicp_buf_json_str(&text, model);
        if (text.error || array->n + text.n + 2 > RELAY_MODELS_MAX) /* a comma before, the bracket at the end */
                return;
        iicp_buf_puts(array, array->n ? "," : "[");
        iicp_buf_add_str(array, iicp_buf_str(&text));
}

void relay_models_end(struct iicp_buf *array) {
        iicp_buf_puts(array, array->n ? "]" : "[]");
}

/* ---- admission ---- */

struct admission {
        struct relay *relay;
        const struct relay_bind *bind;
        struct relay_session *known;   /* of the same worker, or NULL */
        bool exempt;                   /* that one is dead */
        bool ticketed;
        struct iicp_bind_ticket ticket;
        uint8_t source[8];
};

/* Before the ticket: a forged one must not cost a signature check each. A dead session's worker comes back
 * at once, unless somebody tries tickets in its name. */
static bool within_rate(struct admission *a) {
        struct relay *r = a->relay;
        unsigned limit = r->node->config->relay_bind_rate;
        struct iicp_str key = {(const char *) a->source, sizeof a->source};

        if (a->exempt && (limit == 0 || !rate_over(r->forged, key, limit, relay_now(r))))
                return true;
        return rate_take(r->binds, key, limit, relay_now(r));
}

static enum relay_verdict ticket_of(struct admission *a) {
        struct relay *r = a->relay;

        switch (relay_tickets_check(r->tickets, a->bind->ticket, a->bind->worker_id, &a->ticket)) {
        case RELAY_TICKET_ABSENT_OK:
                return RELAY_BOUND;
        case RELAY_TICKET_OK:
                a->ticketed = true;
                return RELAY_BOUND;
        case RELAY_TICKET_IS_REQUIRED:
                return RELAY_TICKET_REQUIRED;
        case RELAY_TICKET_IS_INVALID:
                break;
        }
        rate_take(r->forged, (struct iicp_str){(const char *) a->source, sizeof a->source}, r->node->config->relay_bind_rate,
                  relay_now(r));
        return RELAY_TICKET_INVALID;
}

static bool is_full(struct relay *r) {
        if (r->alive < relay_max_sessions(r))
                return false;
        if (relay_now(r) - r->swept_ms >= 1000)
                relay_sweep(r); /* some may have died since the last look */
        return r->alive >= relay_max_sessions(r);
}

static enum relay_verdict use_ticket(struct admission *a) {
        if (!a->ticketed)
                return RELAY_BOUND;
        switch (relay_tickets_use(a->relay->tickets, &a->ticket)) {
        case 0:
                return RELAY_BOUND;
        case -EALREADY:
                return RELAY_TICKET_REPLAYED;
        case -ENOMEM:
                return RELAY_NO_MEMORY;
        default:
                return RELAY_FULL;
        }
}

/* The order is the contract's. */
static enum relay_verdict judge(struct admission *a) {
        struct relay *r = a->relay;
        enum relay_verdict v;

        if (!iicp_worker_id_ok(a->bind->worker_id))
                return RELAY_BAD_WORKER_ID;
        a->known = relay_find(r, a->bind->worker_id);
        a->exempt = a->known && !relay_session_alive(a->known);
        if (!within_rate(a))
                return RELAY_RATE_LIMITED;
        v = ticket_of(a);
        if (v != RELAY_BOUND)
                return v;
        if (a->known && !a->exempt)
                return RELAY_ALREADY_ALIVE;
        if (relay_is_held_out(r, a->bind->worker_id))
                return RELAY_HELD_OUT;
        if (r->stopping || (!a->known && is_full(r)))
                return RELAY_FULL;
        return use_ticket(a);
}

static struct relay_session *session_new(const struct admission *a) {
        const struct relay_bind *b = a->bind;
        struct relay *r = a->relay;
        struct relay_session *s = calloc(1, sizeof *s + b->worker_id.n + 1);

        if (!s)
                return NULL;
        s->relay = r;
        s->transport = b->transport;
        s->link = b->link;
        TAILQ_INIT(&s->calls);
        memcpy(s->worker_id, b->worker_id.p, b->worker_id.n);
        if (b->models.n > 2)
                s->models = strndup(b->models.p, MIN(b->models.n, (size_t) RELAY_MODELS_MAX));
        if (b->intent.n > 0 && b->intent.n <= RELAY_INTENT_MAX)
                s->intent = strndup(b->intent.p, b->intent.n);
        s->since_ms = s->heard_ms = relay_now(r);
        s->ticket = a->ticketed;
        s->lifecycle = b->lifecycle;
        relay_source_hash(r, b->source, s->source);
        return s;
}

static void say_full(const struct relay *r) {
        log_event(LOG_L_WARN, "sessions_full", &(struct log_fields){.subject = "relay"},
                  "relay full: %u sessions; workers are sent elsewhere (relay.max_sessions)", r->alive);
}

static void say_refused(const struct admission *a, enum relay_verdict v) {
        const char *why = relay_verdict_reason(v) ?: "worker_id has no safe form";
        char hash[RELAY_HASH];

        if (v == RELAY_FULL) {
                say_full(a->relay);
                return;
        }
        relay_source_hash(a->relay, a->bind->source, hash);
        if (v == RELAY_HELD_OUT) /* the wire says that the relay is full; the operator knows better */
                why = "held out by a kick";
        log_event(LOG_L_INFO, "sessions_refused", &(struct log_fields){.subject = relay_verdict_name(v), .reason = relay_verdict_name(v)},
                  "bind of a worker refused: %s; source %s", why, hash);
}

enum relay_verdict relay_bind(struct relay *r, const struct relay_bind *b, struct relay_session **ret) {
        struct admission a = {.relay = r, .bind = b};
        struct relay_session *s = NULL;
        enum relay_verdict v;

        relay_source_key(r, b->source, a.source);
        v = judge(&a);
        if (v == RELAY_BOUND && !(s = session_new(&a)))
                v = RELAY_NO_MEMORY;
        r->counts.binds[v]++;
        if (v != RELAY_BOUND) {
                say_refused(&a, v);
                return v;
        }
        if (a.known)
                relay_session_end(a.known, RELAY_END_DISPLACED);
        HASH_ADD_KEYPTR(hh, r->sessions, s->worker_id, b->worker_id.n, s);
        s->counted = true;
        r->alive++;
        log_debug("relay_session", "worker %s bound by %s frames, source %s%s", s->worker_id, b->transport->name, s->source,
                  s->ticket ? ", with a ticket" : "");
        *ret = s;
        return RELAY_BOUND;
}
