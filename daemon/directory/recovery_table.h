/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RECOVERY_TABLE_H
#define IICPD_RECOVERY_TABLE_H

/* The decisions of the recovery contract: facts in, state and action out. Nothing here calls, logs
 * or remembers. [01 section 6; 04 section 14] */

#include <iicp/json.h>

enum recovery_state {
        RECOVERY_STABLE,
        RECOVERY_ROUTE_MISMATCH,
        RECOVERY_ENDPOINT_DEAD,
        RECOVERY_TUNNEL_STARTING,
        RECOVERY_TUNNEL_COOLDOWN,
        RECOVERY_BACKEND_ATTENTION,
        RECOVERY_SUPERVISOR_RESTART_PENDING,
        RECOVERY_OPERATOR_ACTION_NEEDED,
        RECOVERY_UNAVAILABLE,
};
const char *recovery_state_name(enum recovery_state s);

enum recovery_action {
        RECOVERY_NONE,
        RECOVERY_REREGISTER,
        RECOVERY_WAIT_COOLDOWN,
        RECOVERY_LEAVE_TO_BACKEND,      /* "backend_attention" */
        RECOVERY_RESTART_SELF,
        RECOVERY_OPERATOR_ENDPOINT_NEEDED,
};
const char *recovery_action_name(enum recovery_action a);

enum recovery_presence { PRESENCE_UNKNOWN, PRESENCE_PRESENT, PRESENCE_ABSENT };

enum recovery_tunnel {
        TUNNEL_NOT_NEEDED,
        TUNNEL_STARTING,
        TUNNEL_HEALTHY,
        TUNNEL_DEAD,
        TUNNEL_RATE_LIMITED,
        TUNNEL_COOLDOWN,
};

struct recovery_facts {
        bool silent;                    /* no good beat or registration for 90 s */
        bool rejected;                  /* the directory does not take our credentials any more */
        bool local_health_ok;
        bool backend_attention;         /* draining or gone */
        enum recovery_tunnel tunnel;
        bool route_available;
        bool route_mismatch;            /* the live route is not the registered one */
        enum recovery_presence presence;
        unsigned failures, grace;
        bool supervised;                /* somebody restarts us */
        enum recovery_state previous;   /* kept while presence is unknown */
};
struct recovery_verdict {
        enum recovery_state state;
        enum recovery_action action;
        const char *reason;             /* static, without addresses: log, status; NULL = as before */
        bool by_presence;               /* known presence alone made it: to be kept while unknown */
};
void recovery_decide(const struct recovery_facts *f, struct recovery_verdict *ret);

/* +1, 0 or unchanged. [01 section 6.1] */
unsigned recovery_failures(unsigned before, bool route_available, enum recovery_presence presence);

/* What an answer of the registry says; body is absent if it was no JSON object. */
enum recovery_presence recovery_presence_of(int status);
bool recovery_needs_promotion(const struct iicp_json *record);
/* excused: the operator chose this route, so that nothing better is looked for. [04 section 14] */
bool recovery_route_available(bool up, bool needs_promotion, bool relay_bound, bool excused);

#define RECOVERY_EXIT_ROUTE 75          /* dead tunnel or relay, policy "exit" */
#define RECOVERY_EXIT_RESTART 76
int recovery_exit_status(enum recovery_tunnel tunnel);

/* Restarts of our own choice, epoch seconds, 0 = free place. [01 section 6.4] */
#define RECOVERY_RESTARTS_MAX 5 /* = STATE_RESTARTS_MAX */
#define RECOVERY_RESTARTS_WITHIN_S 3600
/* Notes one more, or says that this hour has had its share. A clock that was set back does not
 * free the places. */
bool recovery_restart_note(int64_t restarts[RECOVERY_RESTARTS_MAX], int64_t now_s);
unsigned recovery_restart_count(const int64_t restarts[RECOVERY_RESTARTS_MAX], int64_t now_s);

#endif
