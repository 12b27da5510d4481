/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_NODE_H
#define IICPD_NODE_H

/* Everything hangs from here. One struct node per process, made by main, handed down; each member
 * is owned by it and lives on the loop's thread. */

#include "backend/backend.h"
#include "clock_watch.h"
#include "config.h"
#include "directory/directory.h"
#include "fetch.h"
#include "reach/witness.h"
#include "loop.h"
#include "metrics.h"
#include "observe/pulse.h"
#include "observe/tally.h"
#include "reach/facts.h"
#include "state.h"
#include "task/task.h"

struct listener;
struct door_http;
struct door_native;
struct tls_port;
struct control;
struct notify;
struct rotation;
struct policy;
struct snapshot;
struct relay;
struct polls;
struct routes;
struct endpoint_name;
struct mesh;
struct relay_worker;
struct events;
struct spans;
struct ops;
struct findings;
struct feed;

/* Exit statuses of iicpd. [operator design 3.4] */
enum {
        EXIT_INTERNAL = 1,
        EXIT_USAGE_ = 2,
        EXIT_LISTEN = 69,
        EXIT_STATE = 73,
        EXIT_CONFIG_ = 78,
};

enum node_phase { NODE_STARTING, NODE_RUNNING, NODE_STOPPING };

struct node {
        struct loop *loop;
        const struct clock *clock;
        struct config *config;        /* replaced whole by a reload */
        struct config_source config_source;
        int64_t config_read_s;        /* when `config` was read, epoch seconds */
        bool config_rejected;         /* the last reload was */
        struct state *state;
        struct metrics *metrics;
        struct fetch_pool *fetch;
        struct backends *backends;
        struct corridor *corridor;
        struct door_http *http;
        struct door_native *native;
        struct tls_port *tls;
        struct listener *listener;
        struct directory *directory;
        struct credits *credits;      /* reads of our account */
        struct awards *awards;        /* receipts that the directory has not taken yet */
        struct vouch *vouch;          /* for the operator: delegation, manifest, price */
        struct directory_keys *keys;  /* by which consumer tokens are verified */
        struct control *control;
        struct notify *notify;
        struct relay *relay;          /* sessions of workers; NULL: this node is no relay */
        struct polls *polls;          /* its long-poll sessions; NULL likewise */
        struct endpoint_name *endpoint_name; /* whether the operator's leads to public addresses */
        struct routes *routes;        /* how others get here, where we look for it ourselves */
        struct mesh *mesh;            /* gossip with other nodes; off by default */
        struct relay_worker *worker;  /* holds a session to a relay, where nothing else leads here */
        struct witness witness;       /* did somebody else connect? */
        struct rotation *rotation;
        struct policy *policy;        /* replaced with the configuration */
        struct snapshot *snapshot;
        struct events *events;        /* NULL = log.events_dir is not set */
        struct spans *spans;
        struct tally tally;           /* counts that only the operator sees */
        struct pulse pulse;           /* how well the loop turns */
        struct feed *feed;            /* what has happened lately; NULL in some tests */
        struct ops *ops;              /* NULL = metrics.listen is not set */
        enum node_phase phase;
        uint64_t started_ms;          /* clock_mono_ms */
        struct clock_watch clock_watch;
        struct findings *findings;    /* what needs attention */
        struct reach_watch *reach;    /* NULL: no netlink */
        int exit_status;              /* of the stop that is under way */
        struct node_life *life;       /* signals, drain and stop (node_life.h) */
        char endpoint[256];           /* what node_endpoint says; "" = none */
        const char *endpoint_why;
        struct dead_endpoint {
                char endpoint[256];
                uint64_t until_ms;
        } dead_endpoints[4];
};

/* In the order of 02 section 1. 0, or the exit status of the process after the failure was logged. */
int node_start(struct node *n);
/* The state directory as configured, sealed or not. -errno and a text for the operator. */
int node_open_state(const struct config *c, int64_t now_s, struct state **ret, char *why, size_t why_cap);
/* Frees whatever node_start made, in the opposite order. */
void node_finish(struct node *n);
/* As a whole or not at all (-EINVAL). report_json gets the array of changes. */
int node_reload(struct node *n, struct config_problems *problems, struct iicp_buf *report_json);
void node_stop(struct node *n, const char *why);   /* orderly; a second call ends at once */
/* The same, to be started again by whoever supervises us: ends with this status. [01 section 6.4] */
void node_restart(struct node *n, int status, const char *why);
void node_drain(struct node *n, const char *by);
void node_undrain(struct node *n, const char *by);
/* POST /v1/control: no new tasks until it is resumed; what runs ends in its own time. */
void node_pause(struct node *n, bool on);
/* All intents that a task can be executed for get their places in the metrics; models decide about some. */
void node_name_intents(const struct node *n);
/* The endpoint that is advertised, or NULL and a reason (static). */
const char *node_endpoint(const struct node *n, const char **ret_why);
/* The directory could not use it: for 300 s another one is preferred. True: there is another. */
bool node_endpoint_dead(struct node *n, const char *endpoint);
/* Where native frames are served at that endpoint; false: they are not. [01 section 2.2] */
bool node_transport_endpoint(const struct node *n, char out[256]);

#endif
