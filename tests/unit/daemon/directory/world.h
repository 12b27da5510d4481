/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLD_H
#define WORLD_H

/* A driven clock, scripted answers and settable facts around the directory room: timers fire only
 * when world_run moves the clock, calls are answered only by world_answer. */

#include "directory/internal.h"

#include <json-c/json.h>

#define WORLD_CALLS 1024

struct fetch {
        char method[8], url[256];
        char headers[8][160];
        unsigned n_headers;
        char *body;
        uint64_t timeout_ms, connect_ms, at_ms;
        size_t max_answer;
        fetch_done_fn done;
        void *arg;
        bool over, cancelled;
        bool side;              /* a recovery check's: answered by world_run */
};

struct world {
        struct node node;
        struct config config;
        uint64_t now_ms, asleep_ms;
        struct fetch calls[WORLD_CALLS];
        unsigned n_calls;
        const char *models[8];
        size_t n_models;
        bool models_known, demo, available;
        unsigned active, effective;
        struct task_counts counts;
        struct backend_stability stability;
        char endpoint[256];
        int own_health, registry; /* status that recovery checks get; 0 = no answer comes */
        const char *registry_body;
        const char *entry;      /* body of GET /v1/node/{id}; NULL = 404 */
        int restart_status;     /* of node_restart, 0 = not called */
        bool backends_gone, tls;
        uint16_t relay_port;       /* 0: no relay */
        char next_endpoint[256];   /* of node_endpoint_dead, "" = there is no other */
        char dead_endpoint[256];
        char rotated[STATE_TOKEN_MAX + 1];
        const char *failure_reason;
        unsigned stops, leaves;
        bool left_ok, hold_saves;
        bool tunnel_limited;
        bool by_hand;           /* the calls of recovery checks, too, wait for world_answer */
        bool skip_writes;       /* jobs of the helper thread are called done without doing them */
        char dir[64];
};
extern struct world *world;

/* Drops the calls that are over. */
void world_forget(void);
/* How much slower than usual this build may be: 1, more under a sanitizer. */
double world_slowness(void);
int world_setup(void **state);
int world_teardown(void **state);
void world_new_policy(void); /* after a change of the intents in config */
/* Moves the clock, firing what falls due in order; answers calls of recovery checks. */
void world_run(uint64_t ms);
/* The newest call that is not over; fails the test if there is none for this path. */
struct fetch *world_call(const char *method, const char *path);
bool world_idle(void); /* nothing in flight but reads */
void world_answer(struct fetch *f, int status, const char *body);
void world_fail(struct fetch *f, enum fetch_error e);
/* A 307 or another answer with these headers and no body. */
void world_redirect(struct fetch *f, int status, const char *location, const char *retry_after);
/* Calls so far whose URL contains path. */
unsigned world_count(const char *method, const char *path);
/* Answers the REGISTER that is open with a usable 201. */
void world_accept(const char *token, const char *key);
void world_saved(void); /* lets the oldest held write finish */
json_object *world_body(const struct fetch *f); /* owned by the caller */
const char *world_header(const struct fetch *f, const char *name);

#endif
