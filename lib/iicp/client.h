/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CLIENT_H
#define IICP_CLIENT_H

#include <iicp/buf.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The consumer side: discover, select, submit as one call. [06] Calls block; one client may be
 * used by one thread at a time; iicp_cancel may be called from anywhere, signal handlers included.
 * No signals are touched: a program that does not ignore SIGPIPE may get one.
 * Fallible calls return 0 or -errno and describe the failure in the struct iicp_error. */
struct iicp_client;

#define IICP_TIMEOUT_MS_CLIENT_MAX 120000 /* of one attempt [SDK-04] */
#define IICP_RETRIES_MAX 10
#define IICP_ATTEMPTS_KEPT 16             /* attempts that an error or answer remembers */
#define IICP_DISCOVER_BODY_MAX ((size_t) 4 * 1024 * 1024)
#define IICP_MESSAGE_MAX 200              /* bytes of a peer's message that are passed on */

/* One exchange with one node, in order. Nothing in it is secret. */
struct iicp_attempt {
        char node_prefix[9];
        char code[64];           /* "" = success */
        int http_status;         /* 0 = none */
        int64_t elapsed_ms;
};

struct iicp_error {
        char code[64];
        char message[512];
        char component[16];      /* sdk, directory, adapter, proxy */
        bool retryable;
        int http_status;         /* 0 = none */
        int64_t retry_after_ms;  /* -1 = none */
        struct {
                char code[64];
                int http_status;
                char node_prefix[9];
        } cause;
        unsigned attempts, candidates;
        unsigned left_out_private; /* nodes that allow_private_endpoints would have let in */
        bool sent;               /* the payload left this machine */
        bool sent_clear;         /* at least once without encryption */
        struct iicp_attempt log[IICP_ATTEMPTS_KEPT];
        size_t n_log;
};

/* {"error":{...}}: the object of section 14. */
IICP_API void iicp_error_json(const struct iicp_error *e, struct iicp_buf *out);

enum iicp_strategy {
        IICP_STRATEGY_DETERMINISTIC, IICP_STRATEGY_EPSILON, IICP_STRATEGY_SOFTMAX_TOP_K,
        IICP_STRATEGY_WEIGHTED_V1,
};
enum iicp_profile {
        IICP_PROFILE_STANDARD, IICP_PROFILE_SENSITIVE, IICP_PROFILE_EU_RESTRICTED,
        IICP_PROFILE_STRICT_POLICY, IICP_PROFILE_DEBUG_OVERRIDE,
};
/* false: unknown name; compared in lower case with '-' read as '_'. */
IICP_API bool iicp_profile_parse(const char *name, enum iicp_profile *ret);
IICP_API const char *iicp_profile_name(enum iicp_profile profile);

enum iicp_tristate { IICP_DEFAULT, IICP_NO, IICP_YES };

/* [06 section 7] Single settings override the profile. */
struct iicp_policy {
        enum iicp_profile profile;
        enum iicp_tristate require_encryption, allow_remote_executor, require_manifest,
                require_no_retention;
        bool known_operator_only;
        const char *identity_level;          /* NULL = none */
        const char *const *allowed_regions;  /* NULL-terminated; NULL = those of the profile */
};

enum iicp_identity_mode {
        IICP_IDENTITY_AUTO, IICP_IDENTITY_DISABLED, IICP_IDENTITY_EXPLICIT, IICP_IDENTITY_REQUIRED,
};

struct iicp_provider_token {
        const char *node_id, *token;
};

/* Strings are copied by iicp_client_new. [06 section 2] */
struct iicp_client_config {
        const char *directory_url;
        bool directory_allow_http;
        const char *const *redirect_origins; /* NULL-terminated list of origins, may be NULL */
        const char *region;                  /* NULL = none */
        int64_t timeout_ms;                  /* 100-120000 */
        unsigned max_retries;                /* 1-10 */
        int64_t overall_timeout_ms;          /* 0 = derived */
        int64_t directory_timeout_ms;
        bool tls_verify;                     /* false is refused: invalid_config */
        const char *ca_file;                 /* NULL = system store */
        const char *directory_proxy;         /* URL, for the directory only; NULL = none */
        enum iicp_strategy strategy;
        double epsilon, softmax_tau;
        unsigned top_k;
        struct iicp_policy policy;
        const char *source_node_id;
        const struct iicp_provider_token *provider_tokens;
        size_t n_provider_tokens;
        enum iicp_identity_mode runtime_identity;
        bool allow_private_endpoints, allow_plaintext;
        size_t max_body_bytes;               /* of requests; at most IICP_BODY_MAX */
        unsigned circuit_threshold, circuit_reset_s;
        int64_t retry_base_ms, retry_cap_ms, retry_hint_cap_ms;
        bool qos_attempts, compat_qos_class;
        const char *client_name, *client_version; /* for the runtime identity; both or neither */
        /* One line for people, without secrets; called on the caller's thread. May be NULL. */
        void (*log)(void *arg, bool warning, const char *line);
        void *log_arg;
};
IICP_API void iicp_client_config_init(struct iicp_client_config *config);
IICP_API int iicp_client_new(const struct iicp_client_config *config, struct iicp_client **ret,
                             struct iicp_error *error);
IICP_API struct iicp_client *iicp_client_free(struct iicp_client *c);
/* Ends the running call of this client, or else its next one, with code "cancelled".
 * Async-signal-safe. */
IICP_API void iicp_cancel(struct iicp_client *c);

/* Route criteria: all that a directory learns. [06 section 5] */
struct iicp_route {
        const char *region, *qos, *model;    /* NULL or "" = not set */
        double min_reputation;               /* < 0 = not set */
        unsigned limit;                      /* 0 = 10; clamped to 1-50 */
        bool browser_usable_only;
        bool public_view;                    /* listing only: records without a route */
};
#define IICP_ROUTE_INIT ((struct iicp_route){.min_reputation = -1})

/* A record of a directory. Borrowed from its list. */
struct iicp_node {
        const char *node_id;                 /* "" in the public view */
        char prefix[9];
        const char *endpoint;                /* "" in the public view */
        const char *region;
        const char *reach;                   /* reachability tier or exposure mode, "" = unknown */
        double score, load;                  /* 0-1 */
        bool has_load, has_key, browser_usable;
        const char *const *models;           /* NULL-terminated, NULL = none named */
        size_t n_models;
};
struct iicp_nodes;
IICP_API size_t iicp_nodes_count(const struct iicp_nodes *list);
IICP_API void iicp_nodes_get(const struct iicp_nodes *list, size_t i, struct iicp_node *ret);
IICP_API struct iicp_nodes *iicp_nodes_free(struct iicp_nodes *list);

IICP_API int iicp_discover(struct iicp_client *c, const char *intent, const struct iicp_route *route,
                           struct iicp_nodes **ret, struct iicp_error *error);

struct iicp_request {
        const char *intent;
        struct iicp_str payload;             /* a JSON object */
        /* constraints of the task */
        int64_t timeout_ms;                  /* 0 = the client's */
        const char *qos, *model, *region;    /* NULL = not set */
        double min_reputation;               /* < 0 = not set */
        const struct iicp_route *route;      /* NULL = none */
        const char *task_id;                 /* NULL = a new one; must be a UUID */
        const char *traceparent;             /* continued if valid, else ignored */
        /* Each piece of text as it comes, on the caller's thread, where the node offers the
         * service-lifecycle profile and provider_tokens has a credential for it; the response is the
         * whole answer all the same. NULL: not streamed. on_event (may be NULL): the events of such a
         * task as JSON, as they were received. */
        void (*on_text)(void *arg, struct iicp_str text);
        void (*on_event)(void *arg, struct iicp_str event);
        void *stream_arg;                    /* of the three */
        /* May be NULL: the request is sound and the directory will be asked; nothing has left so far. */
        void (*on_start)(void *arg);
        bool no_replay;                      /* once sent, never sent again [06 section 11.2] */
};
#define IICP_REQUEST_INIT ((struct iicp_request){.min_reputation = -1})

/* An answer. Owned by the caller; strings belong to it. */
struct iicp_response {
        char task_id[37];
        char *result;                        /* JSON text as the node sent it, "null" if none */
        size_t result_n;
        char *text;                          /* NULL = the result has no text */
        size_t text_n;
        char *model, *finish_reason, *usage; /* NULL = not known; usage is JSON text */
        int64_t tokens;                      /* -1 = not known */
        int64_t latency_ms;
        bool tool_error;
        bool encrypted, answer_encrypted;
        char *node_id, *region;
        char node_prefix[9];
        const char *selection_profile;       /* static storage */
        unsigned candidates;                 /* eligible ones */
        struct iicp_attempt log[IICP_ATTEMPTS_KEPT];
        size_t n_log;
};
IICP_API int iicp_submit(struct iicp_client *c, const struct iicp_request *request,
                         struct iicp_response **ret, struct iicp_error *error);
/* The same for the chat intent: request->payload holds `messages` and what else the model takes;
 * the runtime identity is added per node. [06 section 13] */
IICP_API int iicp_chat(struct iicp_client *c, const struct iicp_request *request,
                       struct iicp_response **ret, struct iicp_error *error);
IICP_API struct iicp_response *iicp_response_free(struct iicp_response *r);
/* The whole answer with metrics and receipt. [06 section 10.7] */
IICP_API void iicp_response_json(const struct iicp_response *r, struct iicp_buf *out);
/* In the form of an OpenAI chat completion. created: epoch seconds. [SDK-02] */
IICP_API void iicp_response_chat_json(const struct iicp_response *r, int64_t created, struct iicp_buf *out);

#ifdef __cplusplus
}
#endif
#endif
