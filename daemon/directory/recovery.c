/* SPDX-License-Identifier: Apache-2.0 */
#include "recovery.h"

#include "internal.h"
#include "log.h"
#include "reach/routes.h"
#include "relay/worker.h"
#include "util.h"

#include <stdio.h>

_Static_assert(STATE_RESTARTS_MAX == RECOVERY_RESTARTS_MAX, "the state file keeps all of them");

/* There is nothing to recover before the node wants to be found. */
static bool active(const struct directory *d) {
        return d->started && !d->stopping && !d->left && !d->recovery.restarting &&
               (d->registered || d->registrations > 0 || !directory_off(d));
}

bool recovery_shown(const struct directory *d) {
        return active(d) && (d->registrations > 0 || d->recovery.state != RECOVERY_STABLE);
}

/* ---- facts ---- */

static bool silent(const struct directory *d) {
        return d->silent || heartbeat_gap(d);
}

static bool may_restart(const struct directory *d) {
        const struct identity *id = state_identity(d->node->state);

        return d->recovery.supervised && d->node->config->recovery_restart &&
               recovery_restart_count(id->restarts, clock_wall_s(d->node->clock)) < RECOVERY_RESTARTS_MAX;
}

static bool backend_attention(const struct directory *d) {
        struct backend_stability s;
        size_t n;

        backends_stability(d->node->backends, &s);
        backends_models_to_register(d->node->backends, &n);
        return s.state == STATE_DRAINING || backends_unavailable(d->node->backends) ||
               (!d->registered && n == 0);
}

/* A session to a relay that was lost and is being made again. */
static bool relay_starting(const struct directory *d) {
        return d->node->worker && worker_lost(d->node->worker);
}

/* What is advertised was proved or is the operator's word: nothing better can be promoted, so the wish
 * for it counts as no failure. */
static bool route_available(const struct directory *d) {
        return recovery_route_available(node_endpoint(d->node, NULL) != NULL, d->recovery.needs_promotion,
                                        d->node->worker && worker_bound(d->node->worker), true);
}

static bool route_mismatch(const struct directory *d) {
        char endpoint[256];

        return d->registered && body_endpoint(d->node, endpoint) == 0 &&
               strcmp(endpoint, state_identity(d->node->state)->registered.endpoint) != 0;
}

static void gather(const struct directory *d, enum recovery_presence presence, struct recovery_facts *ret) {
        const struct recovery *r = &d->recovery;

        *ret = (struct recovery_facts){
                .silent = silent(d),
                .rejected = !d->registered,
                .local_health_ok = r->local_ok,
                .backend_attention = backend_attention(d),
                .tunnel = !node_endpoint(d->node, NULL) && relay_starting(d) ? TUNNEL_STARTING : TUNNEL_NOT_NEEDED,
                .route_available = route_available(d),
                .route_mismatch = route_mismatch(d),
                .presence = presence,
                .failures = r->failures,
                .grace = d->node->config->recovery_grace,
                .supervised = may_restart(d),
                .previous = r->settled.state,
        };
}

/* The directory's refusals that only the operator can change have no row: they come first.
 * [01 section 2.8] */
static void decide(const struct directory *d, const struct recovery_facts *f, struct recovery_verdict *ret) {
        if (d->blocked && !d->registered)
                *ret = (struct recovery_verdict){RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_WAIT_COOLDOWN,
                                                 "the directory refuses us", false};
        else
                recovery_decide(f, ret);
        if (!ret->reason)
                ret->reason = d->recovery.settled.reason ? d->recovery.settled.reason : "";
}

/* ---- what is said ---- */

static const char *deed(enum recovery_action a) {
        switch (a) {
        case RECOVERY_REREGISTER:
                return "registering again";
        case RECOVERY_RESTART_SELF:
                return "ending with status 76 to be started again";
        case RECOVERY_OPERATOR_ENDPOINT_NEEDED:
                return "set node.public_endpoint, or see what iicpctl directory shows; serving goes on";
        default:
                return "looking again in a minute";
        }
}

/* Loss of directory and backend, refusals and a new address have lines of their own. */
static bool said_elsewhere(const struct directory *d, enum recovery_state s) {
        return s == RECOVERY_UNAVAILABLE || s == RECOVERY_BACKEND_ATTENTION || (d->blocked && !d->registered) ||
               (s == RECOVERY_ROUTE_MISMATCH && route_mismatch(d));
}

static void say(struct directory *d, const struct recovery_verdict *v) {
        struct recovery *r = &d->recovery;
        struct log_fields fields = {.subject = recovery_state_name(v->state), .reason = recovery_action_name(v->action)};
        enum log_level level = v->state == RECOVERY_OPERATOR_ACTION_NEEDED ? LOG_L_ERR : LOG_L_WARN;

        if (v->state == RECOVERY_STABLE) {
                log_event(r->quiet ? LOG_L_DEBUG : LOG_L_NOTICE, "recovery", &fields,
                          "recovery: stable again, after %llu s of %s",
                          (unsigned long long) (directory_now(d) - r->since_ms) / 1000, recovery_state_name(r->state));
                return;
        }
        r->quiet = said_elsewhere(d, v->state);
        log_event(r->quiet ? LOG_L_DEBUG : level, "recovery", &fields, "recovery: %s: %s; %s",
                  recovery_state_name(v->state), v->reason, deed(v->action));
}

static void apply(struct directory *d, const struct recovery_verdict *v) {
        struct recovery *r = &d->recovery;
        bool changed = v->state != r->state;

        if (changed)
                say(d, v);
        if (v->by_presence)
                r->settled = *v;
        r->action = v->action;
        r->reason = v->reason;
        if (changed) {
                r->state = v->state;
                r->since_ms = directory_now(d);
        }
        if (r->state == RECOVERY_STABLE)
                timer_clear(&r->timer);
        else if (!timer_armed(&r->timer))
                timer_set_ms(&r->timer, RECOVERY_DEGRADED_MS);
}

/* ---- what is done ---- */

static void restart_saved(struct directory *d) {
        struct recovery *r = &d->recovery;

        r->restarting = false;
        if (!d->saved) {
                apply(d, &(struct recovery_verdict){RECOVERY_OPERATOR_ACTION_NEEDED, RECOVERY_OPERATOR_ENDPOINT_NEEDED,
                                                    "a restart cannot be counted, the state is not writable", false});
                return;
        }
        r->restarting = true;
        node_restart(d->node, r->exit_status, r->exit_why);
}

/* It counts before it happens: a node that dies on the way has used its share all the same. */
bool directory_restart(struct directory *d, int status, const char *why) {
        struct identity *id = state_identity(d->node->state);

        if (d->recovery.restarting || !recovery_restart_note(id->restarts, clock_wall_s(d->node->clock)))
                return false;
        d->recovery.exit_status = status;
        d->recovery.exit_why = why;
        d->recovery.restarting = true;
        directory_save(d, restart_saved);
        return true;
}

static void restart(struct directory *d) {
        directory_restart(d, recovery_exit_status(TUNNEL_NOT_NEEDED), "recovery");
}

/* A directory that takes our registrations and does not list us is not given one a minute: absence
 * means nothing for an hour then. One whose registry never knew us has none for us at all. */
static void weigh_absence(struct directory *d) {
        struct recovery *r = &d->recovery;

        if (r->presence == PRESENCE_PRESENT) {
                r->ever_listed = true;
                r->fruitless = 0;
                r->pause_until_ms = 0;
        } else if (r->presence == PRESENCE_ABSENT && directory_now(d) < r->pause_until_ms) {
                r->presence = PRESENCE_UNKNOWN;
                if (!r->ever_listed)
                        r->settled = (struct recovery_verdict){RECOVERY_STABLE, RECOVERY_NONE, "", true};
        }
}

static void note_absence(struct directory *d) {
        struct recovery *r = &d->recovery;

        if (++r->fruitless >= d->node->config->recovery_grace)
                r->pause_until_ms = directory_now(d) + RECOVERY_ABSENT_PAUSE_MS;
}

static void act(struct directory *d, const struct recovery_facts *f) {
        struct recovery *r = &d->recovery;

        switch (r->action) {
        case RECOVERY_REREGISTER:
                if (!node_endpoint(d->node, NULL))
                        break; /* there is nothing to claim; the route registers itself when it is back */
                if (!f->silent && !f->route_mismatch)
                        note_absence(d);
                directory_want(d, r->reason);
                directory_advance(d);
                break;
        case RECOVERY_RESTART_SELF:
                restart(d);
                break;
        default:
                break;
        }
}

/* ---- a check ---- */

static void conclude(struct directory *d) {
        struct recovery *r = &d->recovery;
        struct recovery_verdict v;
        struct recovery_facts f;

        r->checking = false;
        r->checks++;
        timer_clear(&r->timer);
        if (!active(d))
                return;
        if (!d->registered || !d->beat.available)
                r->presence = PRESENCE_UNKNOWN;
        weigh_absence(d);
        /* While nobody answers, nothing is learnt about the route. */
        if (!silent(d))
                r->failures = recovery_failures(r->failures, route_available(d), r->presence);
        gather(d, r->presence, &f);
        decide(d, &f, &v);
        apply(d, &v);
        act(d, &f);
}

static void one_done(struct directory *d) {
        if (!d->recovery.local && !d->recovery.registry)
                conclude(d);
}

static void ask_ourselves(struct directory *d);

static void on_local(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;
        struct recovery *r = &d->recovery;
        bool ok = own_health_ok(d->node, a);

        r->local = NULL;
        if (!ok && !r->local_again) {
                /* One miss may be a busy moment; a restart must not follow from it. */
                r->local_again = true;
                ask_ourselves(d);
                if (r->local)
                        return;
        }
        r->local_ok = ok;
        one_done(d);
}

static void ask_ourselves(struct directory *d) {
        d->recovery.local = own_health_get(d->node, on_local, d);
}

static void on_registry(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;
        struct recovery *r = &d->recovery;
        struct iicp_json record;

        r->registry = NULL;
        r->presence = a->error == FETCH_OK ? recovery_presence_of(a->status) : PRESENCE_UNKNOWN;
        if (r->presence == PRESENCE_PRESENT && directory_answer_ok(a, a->status, &record))
                r->needs_promotion = recovery_needs_promotion(&record);
        one_done(d);
}

/* Only available nodes are listed there: otherwise a miss would mean nothing. [01 section 5.11] */
static void ask_registry(struct directory *d) {
        if (d->registered && !silent(d) && d->beat.available && d->beat.good_total > 0)
                d->recovery.registry = directory_call(
                        d,
                        &(struct directory_request){.route = DIRECTORY_REGISTRY_NODE,
                                                    .tail = state_identity(d->node->state)->node_id},
                        on_registry, d);
}

static void check(struct directory *d) {
        struct recovery *r = &d->recovery;

        if (r->checking || !active(d))
                return;
        r->checking = true;
        r->local_again = false;
        r->presence = PRESENCE_UNKNOWN;
        r->beats = 0;
        ask_ourselves(d);
        ask_registry(d);
        one_done(d);
}

static void minute_over(void *arg) {
        check(arg);
}

/* ---- occasions ---- */

void recovery_reconsider(struct directory *d) {
        struct recovery_verdict v;
        struct recovery_facts f;

        if (!active(d) || d->recovery.checking)
                return;
        gather(d, PRESENCE_UNKNOWN, &f);
        decide(d, &f, &v);
        apply(d, &v);
}

void recovery_beat(struct directory *d) {
        struct recovery *r = &d->recovery;

        if (++r->beats >= d->node->config->recovery_every)
                check(d);
        else
                recovery_reconsider(d);
}

void recovery_registered(struct directory *d) {
        d->recovery.failures = d->recovery.beats = 0;
        recovery_reconsider(d);
}

void recovery_init(struct directory *d) {
        struct recovery *r = &d->recovery;
        int supervised = d->node->config->recovery_supervised;

        r->local_ok = true;
        r->reason = "";
        r->since_ms = directory_now(d);
        r->supervised = supervised == SUPERVISED_YES ||
                        (supervised == SUPERVISED_AUTO && getenv("NOTIFY_SOCKET") != NULL);
        timer_init(&r->timer, d->node->loop, minute_over, d);
}

void recovery_cancel(struct directory *d) {
        struct recovery *r = &d->recovery;

        timer_clear(&r->timer);
        if (r->local)
                fetch_cancel(r->local);
        r->local = NULL;
        r->registry = directory_call_cancel(r->registry);
        r->checking = false;
}

/* ---- what others may know ---- */

const char *recovery_hint(const struct directory *d) {
        if (d->recovery.state != RECOVERY_BACKEND_ATTENTION && !node_endpoint(d->node, NULL) && relay_starting(d))
                return "relay_lost";
        if (d->recovery.state != RECOVERY_BACKEND_ATTENTION && routes_tunnel_limited(d->node->routes))
                return "tunnel_provider_rate_limited";
        switch (d->recovery.state) {
        case RECOVERY_ENDPOINT_DEAD:
        case RECOVERY_ROUTE_MISMATCH:
                return "route_recovering";
        case RECOVERY_OPERATOR_ACTION_NEEDED:
                return node_endpoint(d->node, NULL) ? NULL : "set_public_endpoint";
        default:
                return NULL;
        }
}

void recovery_json(const struct directory *d, struct iicp_buf *out) {
        const struct recovery *r = &d->recovery;
        const struct identity *id = state_identity(d->node->state);
        static const char *const presences[] = {"unknown", "present", "absent"};

        iicp_buf_printf(out, "{\"state\":\"%s\",\"action\":\"%s\",\"reason\":", recovery_state_name(r->state),
                        recovery_action_name(r->action));
        iicp_buf_json_str(out, iicp_str(r->reason));
        iicp_buf_printf(out, ",\"age_s\":%llu,\"failures\":%u,\"checks\":%llu,\"listed\":\"%s\"",
                        (unsigned long long) (directory_now(d) - r->since_ms) / 1000, r->failures,
                        (unsigned long long) r->checks, presences[r->presence]);
        iicp_buf_printf(out, ",\"route_needs_promotion\":%s,\"supervised\":%s,\"restarts_last_hour\":%u}",
                        r->needs_promotion ? "true" : "false", r->supervised ? "true" : "false",
                        recovery_restart_count(id->restarts, clock_wall_s(d->node->clock)));
}
