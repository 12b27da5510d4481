/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DIRECTORY_INTERNAL_H
#define IICPD_DIRECTORY_INTERNAL_H

/* What the files of this room share. Everything runs on the loop. */

#include "../node.h"
#include "batch.h"
#include "directory.h"
#include "own_entry.h"
#include "recovery.h"
#include "look.h"

#include <iicp/directory.h>
#include <iicp/json.h>
#include <iicp/redirect.h>

#define CONNECT_TIMEOUT_MS 3000u
#define STOP_TIMEOUT_MS 2000u
#define DIRECTORY_PATH_MAX 1024u       /* bytes behind the base, with query */
#define REGISTER_SPACING_MS 5000u
#define REGISTERS_PER_MINUTE 10u
#define BEAT_INTERVAL_MS 30000u
#define BEAT_INTERVAL_MIN_MS 5000u
#define BEAT_INTERVAL_MAX_MS 60000u
#define BEAT_SPACING_MS 10000u       /* between extra beats */
#define SILENCE_MS 90000u            /* after that the directory hides the node */
#define MINIMAL_BODY_MS 600000u      /* after a 422 on a heartbeat */
#define MODELS_PER_CAPABILITY 64u
#define HEALTH_MODEL_MAX 128u        /* characters, longer names are left out of a heartbeat */

/* ---- names.c: the model names of one registration ---- */
struct name_list {
        char **v;
        size_t n;
};
int name_list_copy(const char *const *v, size_t n, struct name_list *ret);
void name_list_free(struct name_list *l);
bool name_list_same_set(const struct name_list *l, const char *const *v, size_t n);

/* Parts of a REGISTER that are left out when the directory refuses them. */
enum register_part {
        PART_CX = 1 << 0,
        PART_OPERATOR_NAME = 1 << 1,
        PART_OPERATOR = 1 << 2,         /* delegation and all that hangs on it */
        PART_PRICING = 1 << 3,
        PART_VENDOR = 1 << 4,           /* capabilities with an intent of a vendor */
};

/* Steps that were taken since the directory last took us for the owner. */
struct ladder {
        bool pending, busy, reread, without_key, old_endpoint;
        bool for_route;                 /* E050 */
        unsigned waits;                 /* for the old route to die */
        char endpoint[256];             /* as refused */
        struct fetch *route;            /* does the old one still work? */
};

/* One REGISTER from body to stored answer. */
struct registration {
        struct directory_call *call;
        struct iicp_buf body;           /* holds the token: wiped */
        struct name_list models;
        char endpoint[256], digest[65], cx_key_id[IICP_CX_KEY_ID_TEXT];
        unsigned carried, omitted;      /* enum register_part: what is in it, what was left out */
        bool old_route;                 /* with the last accepted endpoint */
        bool saving;                    /* accepted, identity on its way to the disk */
        bool rejoin;                    /* the heartbeat was refused before */
};

/* What one heartbeat body carries and its answer settles. */
struct beat_content {
        bool challenge;                 /* the answer to it */
        char batch_id[37];              /* "" = no counts */
        bool price;                     /* the signed one */
};

struct heartbeat {
        struct directory_call *call;
        struct timer timer, repeat;
        struct iicp_buf body;           /* identical for the fast repetition */
        bool repeated;
        bool available;                 /* as last sent */
        bool preparing;                 /* counts are on their way to the disk, then it is sent */
        uint64_t timeout_ms;            /* of what is being prepared */
        struct beat_content content;    /* of this body */
        bool ever_sent;
        unsigned failures, forbidden;   /* in a row */
        uint64_t sent_ms, good_ms, interval_ms, minimal_until_ms;
        uint64_t sent_boot_ms, good_boot_ms; /* the same, time asleep included */
        bool owed;                      /* after a gap: no REGISTER before one was answered */
        uint64_t progress_ms;           /* supervisor tick */
        uint64_t good_total, failed_total;
};

struct directory {
        struct node *node;
        double (*uniform)(double low, double high);
        char base[IICP_DIRECTORY_URL_MAX]; /* of all calls */
        char base_configured[IICP_DIRECTORY_URL_MAX];
        bool base_guessed;              /* "/api" was added to it and nothing has answered yet */
        char replica[IICP_DIRECTORY_URL_MAX]; /* where reads go for a while, "" = base */
        uint64_t replica_until_ms;
        char redirect_refused[160];     /* the last one that was complained about */
        unsigned breaker_failures;      /* of register and heartbeat, in a row */
        uint64_t breaker_until_ms;
        bool started, stopping, left;
        bool registered;                /* our credentials are, as far as we know, valid */
        bool blocked;                   /* needs the operator */
        bool wanted;                    /* a registration is due */
        const char *reason;             /* why it is due, static */
        bool held;                      /* no try before the timer, whatever is poked */
        uint64_t try_at_ms;             /* when the timer ends, 0 = never */
        unsigned omit;                  /* enum register_part, of the next tries */
        bool old_route;                 /* the next try goes with the last accepted endpoint */
        struct ladder ladder;
        unsigned token_generation;      /* changes with the token */
        unsigned failures, liveness_failures;
        uint64_t tried_ms[REGISTERS_PER_MINUTE];
        unsigned tries;
        char refused_endpoint[256];     /* not routable: no try before its time */
        char why[320];
        char last_code[IICP_DIR_CODE_MAX], last_class[32], last_fields[IICP_DIR_FIELDS_MAX];
        struct timer timer;             /* next REGISTER */
        struct timer renew;             /* the registration has an end */
        struct fetch *listener_check;   /* does our own health answer? */
        void (*done_fn)(void *arg, bool ok); /* waits for the verdict on a REGISTER */
        void *done_arg;
        struct registration *reg;
        struct heartbeat beat;
        struct batch batch;             /* counts of tasks for the directory */
        struct recovery recovery;
        struct own_entry own_entry;
        bool saved;                     /* the last write of the identity reached the disk */
        bool rekeyed;                  /* the last answer gave us another node id */
        struct name_list models;       /* of the last accepted registration */
        struct timer silence;           /* 90 s without a good beat, then once an hour */
        bool silent;                    /* said so */
        bool no_answer;                 /* the last REGISTER met no working directory */
        enum fetch_error last_failure;  /* of the last call that failed; FETCH_OK: last_failure_status says it */
        int last_failure_status;
        uint64_t last_failure_ms;       /* 0 = none since the last good answer */
        uint64_t silent_since_ms;
        int64_t good_wall_s;            /* last good answer, 0 = none yet */
        uint64_t registrations;
        /* from answers, for status */
        double reputation;              /* negative: unknown */
        char reputation_model[33], reputation_epoch[65], observed_ip[65];
        bool source_differs;            /* from the address of the endpoint */
        bool policy_sticks;             /* another policy than that of the first registration */
        struct look *look;
        bool looked_at_start;
        /* leaving */
        struct directory_call *leave;
        struct iicp_buf leave_body;
        bool leave_wanted, leaving, leave_again;
        void (*leave_fn)(void *arg, bool ok);
        void *leave_arg;
        bool leave_ok;
        struct timer stop_timer;
        void (*stop_fn)(void *arg);
        void *stop_arg;
        bool stop_beat_sent;
};

/* ---- directory.c ---- */
uint64_t directory_now(const struct directory *d);
/* Decides what is next: leave, stop, register. Called after whatever may have changed that. */
void directory_advance(struct directory *d);
/* A registration is due for this (static) reason. */
void directory_want(struct directory *d, const char *reason);
/* No try before that, 0 = until something changes; then the registration is due again. */
void directory_hold(struct directory *d, uint64_t ms);
/* The verdict on a REGISTER is there, for whoever waits for it. */
void directory_done(struct directory *d, bool ok);
/* 401 and the like on a request with our current token. */
void directory_rejected(struct directory *d, const char *reason);
void directory_set_why(struct directory *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NULL, or why this node does not register. */
const char *directory_off(const struct directory *d);

/* ---- breaker.c ---- */
void breaker_note(struct directory *d, const struct fetch_answer *a);
bool directory_breaker_open(const struct directory *d);
uint64_t directory_breaker_left_ms(const struct directory *d);

/* ---- store.c ---- */
/* Writes the identity on the helper thread; then, if not NULL, fn. */
void directory_save(struct directory *d, void (*fn)(struct directory *d));
/* Token, key and whatever else was the directory's; not on the disk yet. */
void credentials_forget(struct directory *d);

/* ---- silence.c ---- */
void silence_init(struct directory *d);
/* A call of registration or heartbeat has failed: what is said about a directory that is silent. */
void silence_note(struct directory *d, const struct fetch_answer *a);
/* The directory has accepted something of ours. */
void directory_good(struct directory *d);

/* ---- leave.c ---- */
void leave_init(struct directory *d);
void leave_cancel(struct directory *d);
/* DELETE, then the waiting function. */
void leave_begin(struct directory *d);
/* The next step of a stop: last beat or DELETE, then the waiting function. */
void stop_step(struct directory *d);

/* ---- client.c ---- */
enum directory_route {
        DIRECTORY_REGISTER,
        DIRECTORY_HEARTBEAT,
        DIRECTORY_DEREGISTER,
        DIRECTORY_ME,
        DIRECTORY_NODE,          /* tail: the id */
        DIRECTORY_KEY,
        DIRECTORY_AWARD,
        DIRECTORY_BALANCE,
        DIRECTORY_SUMMARY,
        DIRECTORY_TRANSACTIONS,  /* tail: "", "?page=2" */
        DIRECTORY_QUOTE,         /* tail: "?intent=..." */
        DIRECTORY_DISCOVER,      /* tail: "?intent=..." */
        DIRECTORY_REGISTRY_NODE, /* tail: the full id */
        DIRECTORY_STATS,
        DIRECTORY_PROBE,         /* tail: "?host=...&port=..." */
        DIRECTORY_BOOTSTRAP,     /* tail: "?limit=5" */
        DIRECTORY_PEERS,         /* with token: few live peers */
        DIRECTORY_RELAY_TICKET,
};
struct directory_request {
        enum directory_route route;
        const char *tail;               /* percent-encoded; NULL = none */
        struct iicp_str body;           /* must live until done or cancel */
        uint64_t timeout_ms;            /* 0 = that of the route */
};
/* Token, node id, time, size and redirects are the route's affair. done() is called once with the
 * last answer, never from inside, unless the call is cancelled first. NULL: no memory, or a side
 * call while the breaker is open. */
struct directory_call *directory_call(struct directory *d, const struct directory_request *r,
                                      fetch_done_fn done, void *arg);
struct directory_call *directory_call_cancel(struct directory_call *c);
/* The listed status with a JSON object. */
bool directory_answer_ok(const struct fetch_answer *a, int status, struct iicp_json *ret);
void directory_answer_error(enum iicp_directory_call call, const struct fetch_answer *a,
                            struct iicp_directory_error *ret);
/* Reason for the counter of failures: timeout connect tls http_4xx http_5xx parse. */
const char *directory_failure_reason(const struct fetch_answer *a);

/* ---- mesh.c ---- */
/* An id as it may stand in a path; false: it may not. */
bool directory_node_tail(struct iicp_str id, char out[DIRECTORY_NODE_ID_MAX]);

/* ---- body.c ---- */
/* Fills body, models, endpoint, digest and key id from current state. -ENOENT without a model,
 * -ENOMEM. */
int body_register(struct directory *d, struct registration *r);
/* The endpoint as it is registered: without trailing slash. -ENOENT without one. */
int body_endpoint(struct node *n, char out[256]);
/* Digest of what a REGISTER would declare now, without the parts that are refused. */
int body_digest(struct directory *d, char out[65]);
/* available: as it is to be said. */
int body_heartbeat(struct directory *d, bool available, struct iicp_buf *out, struct beat_content *ret);
void body_node_id(struct directory *d, struct iicp_buf *out);

/* ---- registration.c ---- */
void registration_init(struct directory *d);
void registration_start(struct directory *d);
void registration_cancel(struct directory *d);

/* ---- refusal.c ---- */
void registration_refused(struct directory *d, const struct fetch_answer *a);

/* ---- ladder.c ---- */
/* Notes the refusal in d->reg; returns the least time until the next try. */
uint64_t ladder_step(struct directory *d, const struct iicp_directory_error *e);
/* With d->reg gone: takes the step that is pending. */
void ladder_climb(struct directory *d);
/* Accepted with key and token. */
void ladder_over(struct directory *d);
void ladder_cancel(struct directory *d);
/* New id, new encryption key, no reputation. -EPERM: the id is configured; -EBUSY. */
int identity_reset(struct directory *d, const char *by);

/* ---- selfcheck.c ---- */
/* GET of our own health route; NULL: no memory. */
struct fetch *own_health_get(struct node *n, fetch_done_fn done, void *arg);
bool own_health_ok(struct node *n, const struct fetch_answer *a);
/* The directory could not reach us: says so when the listener itself does not answer. */
void listener_check(struct directory *d);
void listener_check_cancel(struct directory *d);

/* ---- heartbeat.c ---- */
bool heartbeat_available(const struct directory *d);
void heartbeat_init(struct directory *d);
/* After an accepted registration. */
void heartbeat_begin(struct directory *d);
/* No beat any more until heartbeat_begin. */
void heartbeat_suspend(struct directory *d);
/* What is said may have changed: an extra beat if it did. */
void heartbeat_poke(struct directory *d);
/* More than 90 s since a good one, time asleep included. [01 section 3.1] */
bool heartbeat_gap(const struct directory *d);
/* The last one. false: nothing was sent. */
bool heartbeat_last(struct directory *d);
/* One is being prepared or in flight. */
bool heartbeat_busy(const struct directory *d);

#endif
