/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CLIENT_INTERNAL_H
#define IICP_CLIENT_INTERNAL_H

/* The consumer pipeline in its parts. All but client.c and client_http.c is free of sockets and
 * clocks, so that tests run it against scripted nodes. */

#include "util.h"
#include <iicp/client.h>
#include <iicp/cx.h>
#include <iicp/endpoint.h>
#include <iicp/json.h>
#include <iicp/redirect.h>
#include <stdatomic.h>

#define IICP_NODE_ID_MAX 128
#define IICP_MODELS_PER_NODE_MAX 256
#define IICP_LIMIT_DEFAULT 10
#define IICP_LIMIT_MAX 50
#define IICP_HINT_MAX_MS 86400000   /* a longer hint counts as a day */
#define IICP_DEADLINE_MARGIN_MS 250 /* less than this left: no further attempt */
#define IICP_ATTEMPT_GRACE_MS 2000  /* beyond timeout_ms, for connect and transfer */
#define IICP_CONNECT_TIMEOUT_MS 5000
#define IICP_REDIRECTS_MAX 3

/* ---- errors: client_error.c ---- */
void iicp_error_set(struct iicp_error *e, const char *code, const char *component, bool retryable,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Copies without control characters, cut at IICP_MESSAGE_MAX bytes and cap. */
void iicp_text_clean(struct iicp_str in, char *out, size_t cap);
/* 1-63 characters of A-Z a-z 0-9 . _ : - */
bool iicp_code_valid(struct iicp_str code);
/* Copies a peer's code; false unless it is valid. */
bool iicp_code_copy(const struct iicp_json *value, char out[64]);
bool iicp_code_retryable(const char *code);

/* ---- outcome of an attempt and its class: client_classify.c ---- */
enum iicp_class {
        IICP_CLASS_DONE,
        IICP_CLASS_FINAL,
        IICP_CLASS_SAME,
        IICP_CLASS_SWITCH,
        IICP_CLASS_SWITCH_RETRYABLE,
};
enum iicp_verdict { IICP_VERDICT_NONE, IICP_VERDICT_OK, IICP_VERDICT_FAIL };

struct iicp_outcome {
        enum iicp_class cls;
        enum iicp_verdict verdict; /* for the breaker */
        char code[64];
        char iicp_code[64];
        char message[IICP_MESSAGE_MAX + 1];
        int http_status;
        int64_t hint_ms; /* -1 = none */
        bool qos_class;  /* the body named one */
        bool timed_out;
        bool no_reply;       /* the reply is missing or broken */
        bool sent, sent_all; /* some, all of the body may have left */
        bool cancelled;
};
void iicp_outcome_init(struct iicp_outcome *o);
/* Local outcomes of section 11.1: E003, E004, IICP-ENDPOINT-REFUSED, invalid_response ... */
void iicp_outcome_local(struct iicp_outcome *o, const char *code, const char *message);
/* Reads code, message, qos_class and hint of a non-2xx body. now_s judges HTTP dates. */
void iicp_outcome_read(struct iicp_outcome *o, int status, struct iicp_str body,
                       struct iicp_str retry_after, int64_t now_s);
/* Sets class, verdict and timed_out from status, code and message; in_body: the failure came in a
 * 2xx body. */
void iicp_outcome_classify(struct iicp_outcome *o, int status, bool in_body);
/* Hint of Retry-After, -1 = none. */
int64_t iicp_retry_after_ms(struct iicp_str header, int64_t now_s);

/* ---- waiting: client_classify.c ---- */
struct iicp_backoff {
        int64_t base_ms, cap_ms, hint_cap_ms;
};
double iicp_backoff_delay(const struct iicp_backoff *b, unsigned index, double u);
/* Milliseconds to wait, or -1: do not wait (next candidate, or give up). remaining_ms: until the
 * deadline. */
int64_t iicp_backoff_wait(const struct iicp_backoff *b, unsigned index, double u, int64_t hint_ms,
                          int64_t remaining_ms);

/* ---- replies: response.c ---- */
struct iicp_reply {
        bool ok;
        struct iicp_outcome outcome;    /* when not ok; classified */
        struct iicp_response *response; /* when ok: result, text, model, finish, usage, tokens */
};
struct iicp_reply_context {
        const char *task_id;
        const char *model;                     /* requested, or NULL */
        const struct iicp_cx_session *session; /* NULL: nothing was encrypted */
        bool need_encrypted;
};
/* Judges a 2xx body. -ENOMEM is the only failure; ret->response is the caller's. */
int iicp_reply_read(const struct iicp_reply_context *ctx, struct iicp_str body,
                    struct iicp_reply *ret);

/* ---- node records: client_nodes.c ---- */
struct iicp_record {
        struct iicp_node pub;
        char *node_id, *endpoint, *region, *reach;
        char **models;
        struct iicp_cx_peer_key key; /* valid when pub.has_key */
        bool lifecycle; /* offers the service-lifecycle profile */
        bool has_manifest, manifest_signed, retention_none;
        char identity_level[32]; /* "" = none */
};
struct iicp_nodes {
        struct iicp_record *v;
        size_t n;
        size_t n_private; /* left out for their address only */
};
struct iicp_node_rules {
        bool allow_private, browser_usable_only, public_view;
        int64_t now_s;
};
/* 0, -EINVAL: to be skipped, -EADDRNOTAVAIL: the same, for its address; -ENOMEM. The record must come from iicp_json_scan. */
int iicp_record_parse(const struct iicp_json *object, const struct iicp_node_rules *rules,
                      struct iicp_record *ret);
void iicp_record_done(struct iicp_record *r);
/* Reads a discover answer, keeping the first `limit` usable records. -EBADMSG: no such answer. */
int iicp_nodes_parse(struct iicp_str body, const struct iicp_node_rules *rules, unsigned limit,
                     struct iicp_nodes **ret);

/* ---- projection: client_project.c ---- */
struct iicp_execution {
        int64_t timeout_ms;
        const char *qos, *model; /* model may be NULL */
};
/* Route criteria and execution constraints out of client and request; empty texts become NULL. */
void iicp_project(const char *client_region, int64_t client_timeout_ms,
                  const struct iicp_request *r, struct iicp_route *ret_route,
                  struct iicp_execution *ret_execution);
bool iicp_qos_valid(const char *qos);
/* "intent=...&limit=..." */
void iicp_discover_query(const char *intent, const struct iicp_route *route, struct iicp_buf *out);
void iicp_constraints_json(const struct iicp_execution *x, bool compat_qos_class,
                           struct iicp_buf *out);

/* ---- routing policy: client_policy.c ---- */
enum iicp_reject {
        IICP_REJECT_NONE,
        IICP_REJECT_REMOTE_EXECUTOR,
        IICP_REJECT_REGION,
        IICP_REJECT_NO_KEY,
        IICP_REJECT_NO_MANIFEST,
        IICP_REJECT_MANIFEST_UNSIGNED,
        IICP_REJECT_RETENTION,
        IICP_REJECT_NO_IDENTITY,
        IICP_REJECT_REVOKED,
        IICP_REJECT_IDENTITY_LOW,
        IICP_REJECT_MAX_,
};
const char *iicp_reject_name(enum iicp_reject reason);
struct iicp_policy_resolved {
        bool require_encryption, allow_remote_executor, require_manifest, require_no_retention,
                require_signed;
        const char *const *regions; /* NULL = any */
        int identity_rank;          /* -1 = none required */
};
void iicp_policy_resolve(const struct iicp_policy *p, struct iicp_policy_resolved *ret);
enum iicp_reject iicp_policy_judge(const struct iicp_policy_resolved *p, bool allow_plaintext,
                                   const struct iicp_record *node);
/* Writes the indices of the eligible nodes in order; false: none, *error says why. */
bool iicp_policy_gate(const struct iicp_policy *p, bool allow_plaintext,
                      const struct iicp_nodes *list, size_t *out, size_t *ret_n,
                      struct iicp_error *error);

/* ---- selection: client_select.c ---- */
struct iicp_selection {
        enum iicp_strategy strategy;
        double epsilon, tau;
        unsigned top_k, max_retries;
        double (*draw)(void *arg); /* uniform [0,1) */
        void *arg;
};
const char *iicp_strategy_name(enum iicp_strategy s);
/* Nodes that advertise the model first, stable; unchanged if none does or model is NULL. */
void iicp_select_model_first(const struct iicp_nodes *list, const char *model, size_t *idx,
                             size_t n);
/* Reorders idx[0..n) in place; returns how many to try. */
size_t iicp_select(const struct iicp_selection *s, const struct iicp_nodes *list, size_t *idx,
                   size_t n);

/* ---- circuit breaker: client_breaker.c ---- */
struct iicp_breaker;
struct iicp_breaker *iicp_breaker_new(unsigned threshold, int64_t reset_ms);
struct iicp_breaker *iicp_breaker_free(struct iicp_breaker *b);
/* Looks without taking; *ret_wait_ms (may be NULL): until the half-open window. */
bool iicp_breaker_allows(struct iicp_breaker *b, const char *node_id, int64_t now_ms,
                         int64_t *ret_wait_ms);
/* Takes the permission; in the half-open window one caller gets it. */
bool iicp_breaker_acquire(struct iicp_breaker *b, const char *node_id, int64_t now_ms);
void iicp_breaker_report(struct iicp_breaker *b, const char *node_id, int64_t now_ms,
                         enum iicp_verdict v);

/* ---- runtime identity: client_identity.c ---- */
struct iicp_identity_facts {
        const char *intent, *client_name, *client_version;
        bool routed; /* names the connection */
        const char *selected_model, *selection;
        const char *const *capabilities;
        size_t n_capabilities;
};
/* Keys of `selection`; NULL if there is no such text. */
const char *iicp_identity_selection(const char *reason);
/* The context message. -EINVAL: a fact is not fit to be shown. */
int iicp_identity_render(const struct iicp_identity_facts *f, struct iicp_buf *out);
/* Same, dropping unfit facts. */
int iicp_identity_render_lenient(const struct iicp_identity_facts *f, struct iicp_buf *out);
/* Appends the payload with the message inserted, or unchanged where none belongs.
 * -EOPNOTSUPP: mode `required` and there is no place for it; -EINVAL: a fact in that mode. */
int iicp_identity_apply(enum iicp_identity_mode mode, const struct iicp_identity_facts *f,
                        bool system_channel, struct iicp_str payload, struct iicp_buf *out);

/* ---- the walk over candidates: client_walk.c ---- */
struct iicp_walk_ops {
        int64_t (*now_ms)(void *arg);
        /* 0 or -ECANCELED */
        int (*wait_ms)(void *arg, int64_t ms);
        double (*draw)(void *arg);
        /* false: the breaker does not let a request through */
        bool (*admit)(void *arg, size_t candidate);
        void (*attempt)(void *arg, size_t candidate, int64_t budget_ms, struct iicp_outcome *ret);
        const char *(*prefix)(void *arg, size_t candidate);
};
struct iicp_walk {
        const struct iicp_walk_ops *ops;
        void *arg;
        size_t n; /* candidates in order */
        unsigned max_retries;
        int64_t timeout_ms, deadline_ms;
        struct iicp_backoff backoff;
        const char *qos;
        bool qos_attempts, no_replay;
        struct iicp_attempt log[IICP_ATTEMPTS_KEPT];
        size_t n_log;
        unsigned attempts;
};
/* Index of the candidate that answered, or -1 with *error filled. */
ssize_t iicp_walk_run(struct iicp_walk *w, struct iicp_error *error);

/* ---- transport: client_http.c ---- */
struct iicp_http;
struct iicp_http *iicp_http_new(const char *ca_file, const atomic_bool *cancel);
struct iicp_http *iicp_http_free(struct iicp_http *h);

enum iicp_http_fault {
        IICP_HTTP_OK = 0, /* there is a status and a whole body */
        IICP_HTTP_TIMEOUT,
        IICP_HTTP_FAILED,
        IICP_HTTP_REFUSED,
        IICP_HTTP_REDIRECT_REFUSED,
        IICP_HTTP_ASK_SEED, /* the read may be repeated at the base after answer.wait_ms */
        IICP_HTTP_TOO_LARGE,
        IICP_HTTP_CANCELLED,
        IICP_HTTP_NO_MEMORY,
};
struct iicp_http_request {
        const char *url;
        const struct iicp_str *body; /* NULL: GET */
        const char *const *headers;  /* NULL-terminated lines */
        int64_t budget_ms;           /* wall clock, from now to the last byte */
        size_t body_max;             /* of the answer */
        bool provider;               /* full endpoint rules, pinned addresses */
        bool allow_private;
        /* directory: rules for a 307 and what is behind the base; NULL: no redirects */
        struct iicp_redirect_call *redirect;
        const char *path;
        /* the body of a 200 goes here as it comes, not into the answer; false stops it */
        bool (*on_piece)(void *arg, struct iicp_str piece);
        void *arg;
        const char *proxy;       /* never with `provider`: it would undo the pinning */
};
struct iicp_http_answer {
        int status;
        struct iicp_buf body;
        char retry_after[64]; /* "" = none */
        bool encoded;         /* Content-Encoding other than identity */
        bool sent, sent_all;
        bool away;            /* the answer is of another origin than the base */
        uint32_t wait_ms;     /* ASK_SEED */
        /* a read was sent elsewhere: base of the next ones for that long, "" = none */
        char base[IICP_DIRECTORY_URL_MAX];
        uint32_t base_ms;
        char reason[128]; /* why it failed, safe text */
};
enum iicp_http_fault iicp_http_perform(struct iicp_http *h, const struct iicp_http_request *rq,
                                       struct iicp_http_answer *ret);
void iicp_http_answer_done(struct iicp_http_answer *a);
int64_t iicp_clock_ms(void);
/* Interruptible: 0 or -ECANCELED. */
int iicp_http_wait(struct iicp_http *h, int64_t ms);

#endif
