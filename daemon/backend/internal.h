/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BACKEND_INTERNAL_H
#define IICPD_BACKEND_INTERNAL_H

/* Shared by the files of this room only. One owner for each object: the set owns its backends; a
 * backend that a reload removed stays until its last call has ended. */

#include "../clock.h"
#include "../config.h"
#include "../loop.h"
#include "backend.h"

#define BACKEND_CONNECT_MS 5000       /* [02 section 10.1] */
#define PROBE_START_MS 3000           /* time for one request of a probe at start [02 section 10.3] */
#define PROBE_MS 2000                 /* later */
#define PROBE_AGAIN_MS 5000           /* while there is no model or no answer */
#define OBSERVE_MS 31000              /* a beat of our own, when the heartbeat does not look */
#define DRAIN_LOADING_S 30            /* [02 section 10.6] */
#define DRAIN_UNSTABLE_S 30           /* ours */
#define DRAIN_BROKEN_S 60             /* the server itself reports a broken instance */
#define FAILURES_TO_DRAIN 3           /* unreachable in a row */
#define LIST_FAILURES_TO_DRAIN 2
#define FAILURES_UNAVAILABLE 3        /* [02 section 13.1] */
#define SPANS_AT_ONCE 64
#define MESH_MODEL "mesh"             /* never listed [01 section 2.3] */
#define URL_MAX 512                   /* bytes of a URL that we build */

enum flavour { FLAVOUR_UNKNOWN, FLAVOUR_CUSTOM, FLAVOUR_OLLAMA, FLAVOUR_VLLM, FLAVOUR_LLAMACPP, FLAVOUR_LMSTUDIO,
               FLAVOUR_MESHLLM, FLAVOUR_ANTHROPIC };
const char *flavour_name(enum flavour f);

struct model {
        char *name;
        int64_t context; /* tokens, 0 = unknown */
};
struct model_list {
        struct model v[BACKEND_MODELS_MAX];
        size_t n;
};
struct model_list *model_list_free(struct model_list *l);
/* Takes a copy; false if it was there already, is too long, or there is no room. */
bool model_list_add(struct model_list *l, struct iicp_str name, int64_t context);
bool model_list_same_set(const struct model_list *a, const struct model_list *b);
const struct model *model_list_find(const struct model_list *l, struct iicp_str name); /* 9.4 */
bool pattern_match(const char *pattern, const char *name); /* '*' = anything */

struct stability {
        enum backend_state state;
        const char *reason;
        uint64_t until_ms; /* clock_mono_ms, 0 = not draining */
};
/* One observation: a draining one replaces what was, another one waits for the end of a drain. */
void stability_observe(struct stability *s, enum backend_state state, const char *reason, int64_t drain_s,
                       uint64_t now_ms);
void stability_get(const struct stability *s, uint64_t now_ms, int64_t wall_s, struct backend_stability *ret);
bool stability_draining(const struct stability *s, uint64_t now_ms);

/* Judges the answers of the observations of 10.6. */
void observe_ollama(struct stability *s, struct iicp_str body, struct iicp_str expected, uint64_t now_ms);
void observe_lmstudio(struct stability *s, struct iicp_str body, struct iicp_str expected, uint64_t now_ms);
void observe_meshllm(struct stability *s, bool ready, struct iicp_str models, struct iicp_str expected,
                     uint64_t now_ms); /* models absent: there was no 2xx */
void observe_failed(struct stability *s, uint64_t now_ms);

struct dialect {
        /* false: no memory. Sets what runs in the call. */
        bool (*start)(struct backend_call *c, const struct backend_task *t);
        void (*stop)(struct backend_call *c); /* ends what runs, without a callback */
        /* A 2xx answer in one piece: its result, which must live until done, or a refusal. */
        void (*judge)(struct backend_call *c, const struct fetch_answer *from, struct backend_answer *a);
        const char *key_header; /* what stands before the key, "Name: " */
        const char *header;     /* one more, NULL = none */
        bool probes;  /* has a server to look at */
        bool streams; /* chat and completion */
};
extern const struct dialect dialect_openai, dialect_anthropic, dialect_demo;
struct iicp_str demo_model(void);

/* Increments of text on their way to the caller. [02 section 10.8] */
#define FLOW_BYTES 256
#define FLOW_MS 25
struct flow {
        void (*on_text)(void *arg, struct iicp_str text); /* NULL: nobody wants them */
        struct iicp_buf text;
        struct timer timer;
        bool given;             /* at least one went out */
        bool giving, cancelled; /* inside of on_text; it cancelled the call */
};

struct assemble;

struct backend_call {
        struct backend_call *next, **link;
        struct backend *backend;
        backend_done_fn done;
        void *arg;
        struct flow flow;
        const struct iicp_intent *intent;
        struct iicp_str model; /* what was sent */
        char model_text[BACKEND_MODEL_NAME_MAX + 1];
        struct iicp_buf body;
        struct iicp_buf made;  /* a result that is no JSON of the server's */
        char format[16];       /* speech: the format that was asked for */
        struct fetch *fetch;
        struct assemble *assemble;
        struct timer timer; /* stream: until its body ends; demo: until it speaks */
        struct iicp_trace span; /* what the server was told as its parent; empty = nothing */
        size_t inputs;      /* demo, embedding: number of inputs */
        size_t at;          /* demo, stream: bytes of its text that went out */
};

struct probe;

struct backend {
        struct backends *set;
        struct node *node;
        const struct dialect *dialect;
        bool removed;
        int type, tls_min;
        char *name, *url, *root, *configured;
        char **exclude;
        char *key; /* whole header line or NULL; wiped */
        unsigned slots_configured;
        unsigned slots_server; /* 0 = not told */
        bool experimental, mesh; /* meshllm: its model "mesh" may be asked for; it is there */
        bool slots_known;      /* llamacpp: /props or /slots was asked and answered */
        unsigned busy;
        struct backend_call *calls;

        enum flavour flavour;
        bool says_llamacpp; /* anthropic: it is one that imitates the service */
        struct model_list *registered; /* configured first; what registration says */
        struct model_list *listed;     /* last list that succeeded, or NULL */
        struct model_list *differs;    /* seen once, other than registered */
        bool list_ok;                  /* the last probe gave a list */
        bool list_ever;

        struct stability stability;
        unsigned unreachable_row, list_failed_row, contact_failed_row;
        bool down, auth_failed, undecided; /* said in the log */
        const char *failure;    /* of the last contact, static; NULL = it was good */
        uint64_t down_ms, auth_logged_ms;
        uint64_t last_ok_ms;    /* last sign of life */
        uint64_t checked_ms;
        uint64_t n_ok, n_failed;

        struct probe *probe;
};

struct backends {
        struct node *node;
        struct backend **v;
        size_t n;
        struct backend **removed; /* still with calls */
        size_t n_removed;
        struct timer again, drain_end, beat;
        void (*on_change)(void *arg);
        void *on_change_arg;
        struct backend_stability said; /* what on_change last told */
        const char **joined, **joined_listed;
        size_t n_joined, n_joined_listed;
        bool joined_stale, freeing;
        unsigned char random[SPANS_AT_ONCE][8]; /* for span ids, drawn together */
        size_t n_random;
};

uint64_t backend_now_ms(const struct backend *b);
bool backend_is_llamacpp(const struct backend *b);
unsigned backend_slots(const struct backend *b);
struct iicp_str backend_model(const struct backend *b); /* its own; absent if it has none */
bool backend_has_model(const struct backend *b, struct iicp_str model); /* absent: any */
/* A span of the same trace for one call. */
int backends_span(struct backends *s, const struct iicp_trace *of, struct iicp_trace *ret);
/* Result of contact with the server, from tasks and from probes. */
void backend_reached(struct backend *b);
void backend_unreached(struct backend *b, const char *how, bool task);
void backend_loading(struct backend *b);
void backend_key_rejected(struct backend *b, int status);
/* The registered set may be other now, or the joint state. */
void backend_models_changed(struct backend *b);
void backends_check(struct backends *s);
void backend_call_end(struct backend_call *c, const struct backend_answer *a);

/* flow.c. Adds whole code points; they go out when it is time. false: the caller cancelled meanwhile,
 * and the call is gone. */
bool backend_call_text(struct backend_call *c, struct iicp_str text);
bool backend_call_flush(struct backend_call *c);
void flow_init(struct backend_call *c, const struct backend_task *t);
void flow_clear(struct flow *f);

/* probe.c */
void probe_start(struct backend *b, uint64_t timeout_ms);
void probe_stop(struct backend *b);
bool backend_take_list(struct backend *b, struct model_list *list); /* takes over the list */

#endif
