/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_ROUTES_INTERNAL_H
#define IICPD_ROUTES_INTERNAL_H

/* What the files of the route manager share. Everything runs on the loop but the work of a
 * router_call. */

#include "announce.h"
#include "gateway.h"
#include "local.h"
#include "loop.h"
#include "node.h"
#include "ptr.h"
#include "routes.h"
#include "tunnel/tunnel.h"
#include "verify.h"

/* One question to a router on its way. Owned by the manager until it ends; given up, it frees
 * itself, and closes what was opened too late. */
struct router_call {
        struct routes *routes;        /* NULL: given up */
        struct loop *loop;
        enum router_what { ROUTER_FACTS, ROUTER_MAP, ROUTER_PINHOLE, ROUTER_RENEW, ROUTER_REVOKE, ROUTER_ADDRESS, ROUTER_NAME } what;
        struct kept_lease *of;        /* ROUTER_RENEW */
        struct gateway_job job;
        struct gateway_lease lease;
        struct gateway_result result;
        struct reach_facts facts;
        int facts_error;
        char address[INET_ADDRSTRLEN];
        char name[PTR_NAME_MAX];      /* ROUTER_NAME: of address */
        char endpoint[LADDER_URL_MAX]; /* ROUTER_FACTS: the operator's, is it public? */
        uint32_t epoch;
        bool ok, made;
        void (*done)(struct routes *r, struct router_call *c);
};

#define ROUTES_DEAD_MAX 4


/* What a router has opened, and its clock. */
struct kept_lease {
        bool held;
        struct gateway_lease lease;
        struct gateway_where where;
        uint64_t granted_ms;          /* clock_mono_ms */
        uint64_t epoch_ms;            /* when lease.epoch was told */
        unsigned failures;            /* renewals in a row */
        struct timer timer;
        uint64_t renewals, renewals_failed;
};

enum step_result { STEP_WORKS, STEP_REFUSED, STEP_NO, STEP_FAILED, STEP_UNKNOWN, STEP_OFF, STEP_NOT_SET, STEP_NOT_TRIED };

/* A row of netcheck. */
struct evidence {
        int tier;
        const char *step;             /* static */
        enum step_result result;
        char text[160];
        uint64_t at_ms, took_ms;      /* since the run began; of this step */
};

struct routes {
        struct node *node;
        struct reach_ladder ladder;
        struct local local;
        struct local_texts {
                char nic[INET_ADDRSTRLEN], observed[INET_ADDRSTRLEN], ipv6[INET6_ADDRSTRLEN];
                char operator[LADDER_URL_MAX];
        } texts;                      /* what ladder.facts borrows */
        bool running, stopping;
        bool quiet;                   /* the run looks for something better than the relay that stands */
        char better[LADDER_URL_MAX];  /* it was proved once, "" = nothing */
        uint64_t better_ms;
        uint64_t direct_good_ms;      /* the last proof of a route that replaced a relay; 0 = none did */
        const char *reason;           /* of the run, static */
        const char *next_reason;      /* another one is wanted, NULL = not */
        bool cheap, next_cheap;       /* the route is left alone where nothing about it has changed */
        uint64_t began_ms, ended_ms, step_ms;
        struct timer again, budget, router, reprobe, address, ageing;
        struct router_call *call;
        struct fetch *echo;
        struct tunnel *tunnel;
        bool tunnel_asked;            /* by the run */
        struct timer tunnel_exit;     /* to be started again, nothing else is left */
        struct verify *verify;
        struct kept_lease mapping, pinhole;          /* of the live route */
        struct kept_lease new_mapping, new_pinhole;  /* of the run */
        struct kept_lease old[2];                    /* closed once the new route is registered */
        struct kept_lease relay;                     /* the port where workers dial in */
        bool name_private;            /* the operator's endpoint leads to private addresses */
        bool relay_asked, relay_open;                /* of the run; of the live route */
        void (*relay_then)(struct routes *r);
        bool no_igd;                                 /* of the run: nobody speaks UPnP over IPv4 */
        uint64_t pcp_quiet_ms;                       /* a PCP server wants no question before */
        struct announce *announce;
        struct local adopted;                        /* what the live route was found with */
        struct declared_route {                      /* registered once more as full_cone */
                char url[LADDER_URL_MAX];
                bool now;
        } declared;
        struct ladder_route live;
        char observed[INET6_ADDRSTRLEN];
        uint64_t observed_ms;
        struct dead_route {           /* the directory refused them; the oldest makes room */
                char url[LADDER_URL_MAX];
                uint64_t until_ms;
        } dead[ROUTES_DEAD_MAX];
        unsigned misses;              /* detections without a route in a row */
        const char *guidance[6];
        unsigned n_guidance;
        char why[200];
        struct evidence evidence[ROUTES_LOG_MAX];
        unsigned n_evidence;
        uint64_t runs, changes, probes[3];
        uint64_t probed_ms;           /* the last proof of the live route */
        void (*stop_fn)(void *arg);
        void *stop_arg;
};

uint64_t routes_now(const struct routes *r);
void routes_note(struct routes *r, int tier, const char *step, enum step_result result, const char *fmt, ...)
        __attribute__((format(printf, 5, 6)));
/* Of the last row: its time stands in another one. */
void routes_untimed(struct routes *r);
void routes_guide(struct routes *r, const char *code);
bool routes_dead(const struct routes *r, const char *url);

/* routes_router.c */
/* Takes the call over. false: no memory, the call is freed. */
bool router_ask(struct routes *r, struct router_call *c, uint64_t timeout_ms);
struct router_call *router_call_new(struct routes *r, enum router_what what,
                                    void (*done)(struct routes *r, struct router_call *c));
void router_give_up(struct routes *r);
/* Closes it in the background; nobody waits for that. */
void router_revoke(struct routes *r, struct kept_lease *k);

/* routes_keep.c: leases */
void keep_init(struct routes *r);
void keep_lease(struct routes *r, struct kept_lease *k, const struct gateway_lease *l, const struct gateway_where *w);
void keep_drop(struct routes *r, struct kept_lease *k);
void keep_save(struct routes *r);
/* What a process before us left open: its nonces, so that it can be taken over. */
void keep_load(struct routes *r);

/* Again at once. */
void keep_renew_now(struct routes *r, struct kept_lease *k);

/* routes_hear.c: what gateways tell of their state */
void hear_announcement(void *arg, const struct pcp_announcement *a, const char *from);
void hear_epoch(struct routes *r, const char *gateway, bool pcp, uint32_t epoch);
bool epoch_says_reset(const struct kept_lease *k, bool pcp, uint32_t epoch, uint64_t now_ms);

/* routes_name.c: behind a detection */
void name_ask(struct routes *r);

/* routes_relay.c: the port of a relay operator */
/* Whether a question about it is on its way: adopt() of routes_run.c is called behind it. */
bool relay_ask(struct routes *r, void (*then)(struct routes *r));

/* routes_run.c: a detection */
void run_begin(struct routes *r, const char *reason);
void run_cancel(struct routes *r);
/* What is known of routers, and the nonce of what we may hold. */
void run_fill_job(struct routes *r, struct gateway_job *j, const struct kept_lease *held);
/* A router does not come to an end: as if it had refused. */
void run_router_late(struct routes *r);
void run_out_of_time(struct routes *r);

void run_step(struct routes *r);

/* routes_worker.c: the relay as a rung */
bool rung_ask(struct routes *r);
bool rung_holds(const struct routes *r);
/* Of a quiet run: may its route take the relay's place now? */
bool rung_better(struct routes *r, const struct ladder_route *route);
void rung_keep(struct routes *r);

/* routes_tunnel.c */
bool routes_tunnel_new(struct routes *r);
void routes_tunnel_free(struct routes *r);
/* After a detection: what the tunnel is kept for, and what follows when it is dead. */
void routes_tunnel_adopted(struct routes *r);

/* routes.c: the outcome of a detection */
void routes_adopt(struct routes *r, const struct ladder_route *route);

#endif
