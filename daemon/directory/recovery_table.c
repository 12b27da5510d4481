/* SPDX-License-Identifier: Apache-2.0 */
#include "recovery_table.h"

#include "util.h"

static const char *const state_names[] = {
        [RECOVERY_STABLE] = "stable",
        [RECOVERY_ROUTE_MISMATCH] = "route_mismatch",
        [RECOVERY_ENDPOINT_DEAD] = "endpoint_dead",
        [RECOVERY_TUNNEL_STARTING] = "tunnel_starting",
        [RECOVERY_TUNNEL_COOLDOWN] = "tunnel_cooldown",
        [RECOVERY_BACKEND_ATTENTION] = "backend_attention",
        [RECOVERY_SUPERVISOR_RESTART_PENDING] = "supervisor_restart_pending",
        [RECOVERY_OPERATOR_ACTION_NEEDED] = "operator_action_needed",
        [RECOVERY_UNAVAILABLE] = "unavailable",
};

static const char *const action_names[] = {
        [RECOVERY_NONE] = "none",
        [RECOVERY_REREGISTER] = "reregister",
        [RECOVERY_WAIT_COOLDOWN] = "wait_cooldown",
        [RECOVERY_LEAVE_TO_BACKEND] = "backend_attention",
        [RECOVERY_RESTART_SELF] = "restart_self",
        [RECOVERY_OPERATOR_ENDPOINT_NEEDED] = "operator_endpoint_needed",
};

const char *recovery_state_name(enum recovery_state s) {
        return state_names[s];
}

const char *recovery_action_name(enum recovery_action a) {
        return action_names[a];
}

static struct recovery_verdict verdict(enum recovery_state state, enum recovery_action action,
                                       const char *reason) {
        return (struct recovery_verdict){state, action, reason, false};
}

/* The second row of the table, to which others refer. */
static struct recovery_verdict start_over(const struct recovery_facts *f, const char *reason) {
        return f->supervised
                       ? verdict(RECOVERY_SUPERVISOR_RESTART_PENDING, RECOVERY_RESTART_SELF, reason)
                       : verdict(RECOVERY_OPERATOR_ACTION_NEEDED,
                                 RECOVERY_OPERATOR_ENDPOINT_NEEDED, reason);
}

static struct recovery_verdict by_presence(const struct recovery_facts *f) {
        switch (f->presence) {
        case PRESENCE_PRESENT:
                return verdict(RECOVERY_STABLE, RECOVERY_NONE, "");
        case PRESENCE_ABSENT:
                if (f->failures < f->grace)
                        return verdict(RECOVERY_ROUTE_MISMATCH, RECOVERY_REREGISTER,
                                       "the directory does not list us");
                return start_over(f, "the directory still does not list us");
        default:
                return verdict(f->previous, RECOVERY_NONE, NULL);
        }
}

void recovery_decide(const struct recovery_facts *f, struct recovery_verdict *ret) {
        if (f->silent)
                *ret = verdict(RECOVERY_UNAVAILABLE,
                               f->rejected ? RECOVERY_REREGISTER : RECOVERY_WAIT_COOLDOWN,
                               "no answer from the directory");
        else if (!f->local_health_ok)
                *ret = start_over(f, "our own task port does not answer us");
        else if (f->backend_attention)
                *ret = verdict(RECOVERY_BACKEND_ATTENTION, RECOVERY_LEAVE_TO_BACKEND,
                               "no backend takes tasks");
        else if (f->tunnel == TUNNEL_RATE_LIMITED || f->tunnel == TUNNEL_COOLDOWN)
                *ret = verdict(RECOVERY_TUNNEL_COOLDOWN, RECOVERY_WAIT_COOLDOWN,
                               "the tunnel's provider wants us to wait");
        else if (f->tunnel == TUNNEL_STARTING)
                *ret = verdict(RECOVERY_TUNNEL_STARTING, RECOVERY_REREGISTER,
                               "a new way in is being made");
        else if (!f->route_available && f->failures < f->grace)
                *ret = verdict(RECOVERY_ENDPOINT_DEAD, RECOVERY_WAIT_COOLDOWN,
                               "the way in is lost");
        else if (!f->route_available)
                *ret = start_over(f, "the way in stays lost");
        else if (f->route_mismatch)
                *ret = verdict(RECOVERY_ROUTE_MISMATCH, RECOVERY_REREGISTER,
                               "we are reached elsewhere than the directory says");
        else {
                *ret = by_presence(f);
                ret->by_presence = f->presence != PRESENCE_UNKNOWN;
        }
}

unsigned recovery_failures(unsigned before, bool route_available, enum recovery_presence presence) {
        if (!route_available || presence == PRESENCE_ABSENT)
                return before + 1;
        return presence == PRESENCE_PRESENT ? 0 : before;
}

enum recovery_presence recovery_presence_of(int status) {
        return status >= 200 && status < 300 ? PRESENCE_PRESENT
               : status == 404               ? PRESENCE_ABSENT
                                             : PRESENCE_UNKNOWN;
}

/* A member of the record, else of its summary, where one of them has another name. */
static struct iicp_json look_up(const struct iicp_json *record, const struct iicp_json *summary,
                                const char *name, const char *name_there) {
        struct iicp_json v = iicp_json_get(record, name);

        return v.type != IICP_JSON_NONE ? v : iicp_json_get(summary, name_there);
}

bool recovery_needs_promotion(const struct iicp_json *record) {
        struct iicp_json node = iicp_json_get(record, "node"), summary, v;

        if (node.type != IICP_JSON_OBJECT)
                node = *record;
        summary = iicp_json_get(&node, "status_summary");
        v = iicp_json_get(&summary, "state");
        if (iicp_json_is(&v, "direct_unverified"))
                return true;
        v = look_up(&node, &summary, "routing_hint", "routing_hint");
        if (!iicp_json_is(&v, "http_ipv6"))
                return false;
        v = look_up(&node, &summary, "route_evidence", "evidence_source");
        if (iicp_json_is(&v, "directory_observed"))
                return false;
        v = look_up(&node, &summary, "browser_usable", "browser_usable");
        return v.type != IICP_JSON_TRUE;
}

bool recovery_route_available(bool up, bool needs_promotion, bool relay_bound, bool excused) {
        return up && (relay_bound || excused || !needs_promotion);
}

int recovery_exit_status(enum recovery_tunnel tunnel) {
        return tunnel == TUNNEL_DEAD ? RECOVERY_EXIT_ROUTE : RECOVERY_EXIT_RESTART;
}

static bool counts(int64_t at, int64_t now_s) {
        return at != 0 && at > now_s - RECOVERY_RESTARTS_WITHIN_S &&
               at < now_s + RECOVERY_RESTARTS_WITHIN_S;
}

unsigned recovery_restart_count(const int64_t restarts[RECOVERY_RESTARTS_MAX], int64_t now_s) {
        unsigned n = 0;

        for (size_t i = 0; i < RECOVERY_RESTARTS_MAX; i++)
                n += counts(restarts[i], now_s);
        return n;
}

bool recovery_restart_note(int64_t restarts[RECOVERY_RESTARTS_MAX], int64_t now_s) {
        for (size_t i = 0; i < RECOVERY_RESTARTS_MAX; i++)
                if (!counts(restarts[i], now_s)) {
                        restarts[i] = now_s;
                        return true;
                }
        return false;
}
