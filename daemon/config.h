/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONFIG_H
#define IICPD_CONFIG_H

/* The configuration as values. What keys there are, their types, ranges, defaults, environment
 * names and help texts stands once, in the table of config_table.c; parser, --check-config,
 * `iicpctl config`, conf/iicp.conf and iicp.conf(5) all come from it. A struct config is built
 * whole or not at all and does not change afterwards; a reload makes a new one. */

#include <iicp/buf.h>
#include <iicp/directory.h>
#include <stdio.h>

#define CONFIG_BACKENDS_MAX 32
#define CONFIG_WINDOWS_MAX 48
#define CONFIG_SECRET_MAX 65536 /* bytes of a secret file [05 section 9] */
#define CONFIG_FILE_MAX ((size_t) 1024 * 1024) /* bytes of one configuration file */
#define CONFIG_PROBLEMS_MAX 100 /* reported in one run; more would hide the first */

/* A secret: reference as written, value once resolved. It has no printer. */
struct secret {
        char *ref;           /* "file:PATH", "credential:NAME", "env:NAME"; NULL = none */
        char *value;         /* resolved, NUL-terminated; wiped on free */
        size_t n;
};

enum config_backend_type {
        BACKEND_OPENAI_COMPAT, BACKEND_OLLAMA, BACKEND_VLLM, BACKEND_LLAMACPP, BACKEND_MESHLLM,
        BACKEND_ANTHROPIC, BACKEND_DEMO,
};

struct config_backend {
        char *name;          /* [backend NAME] */
        int type;            /* enum config_backend_type */
        char *url;           /* as configured, or the default of the type */
        char *model;         /* NULL = first of the list */
        char **exclude;      /* patterns with '*', NULL-terminated, may be NULL */
        struct secret api_key;
        unsigned max_concurrent; /* 0 = limits.max_concurrent */
        bool allow_remote_media;
        bool experimental;   /* meshllm: the model "mesh" */
        int tls_min;         /* 12 or 13 */
        struct config_origin *origins;
};

struct config_origin;

enum config_tickets { TICKETS_OFF, TICKETS_SOFT, TICKETS_REQUIRED };
enum config_supervised { SUPERVISED_NO, SUPERVISED_YES, SUPERVISED_AUTO /* NOTIFY_SOCKET is set */ };
enum config_pricing { PRICING_PER_TOKEN, PRICING_PER_REQUEST, PRICING_FLAT };
enum config_auth_mode { AUTH_OPEN, AUTH_REQUIRED };
enum config_native { NATIVE_OFF, NATIVE_TLS_ONLY, NATIVE_PLAINTEXT };

struct config {
        /* node */
        char *node_id;       /* NULL = made at the first start */
        char *node_name, *region, *public_endpoint;
        bool deregister_on_stop, identity_auto_reset, public_listing;
        char *state_dir, *runtime_dir;
        struct secret state_key;
        int systemd_notify;  /* 0 = no, 1 = auto */
        /* directory */
        char *directory_url; /* normalised base */
        bool directory_api_added; /* by that: it was given without a path */
        bool directory_allow_http, directory_register;
        char *directory_local_discovery; /* "no", nothing else yet */
        char *directory_ca_file;
        char **directory_redirect_origins;
        char *directory_key;         /* 64 hex digits, NULL = fetched */
        /* listen */
        char *listen_address; /* NULL = [::] with IPv4, else 0.0.0.0 */
        unsigned listen_port;
        bool listen_port_strict; /* after the rule for public_endpoint */
        unsigned max_connections, max_per_source; /* 0 = auto */
        struct secret tls_cert, tls_key;
        int native;          /* enum config_native */
        unsigned native_port; /* 0 = none */
        bool native_strict, native_gzip;
        uint64_t native_max_frame, native_max_message, native_max_buffered;
        unsigned max_native, max_native_per_source, max_native_new; /* 0 = auto */
        char **trusted_proxies;
        /* backends */
        struct config_backend backends[CONFIG_BACKENDS_MAX];
        size_t n_backends;
        /* intents */
        char *intent_default, *intents_capabilities;
        char **intents_custom;
        bool intents_extended;
        /* limits */
        unsigned max_concurrent, tokens_per_min, max_tokens;
        uint64_t default_timeout_ms, queue_wait_ms, drain_ms;
        unsigned per_origin, per_address; /* a minute, 0 = off */
        /* availability */
        struct iicp_window windows[CONFIG_WINDOWS_MAX];
        size_t n_windows;
        bool windows_utc;
        /* auth, tasks, policy, encryption */
        int auth_mode;
        struct secret caller_tokens;
        bool require_uuid, any_model, lifecycle_enabled, dispatch_admission;
        bool allow_high_risk;
        bool cip_enabled, cip_worker;
        char *cip_min_reputation; /* decimal, 0 to 1 */
        unsigned cip_max_concurrent;
        uint64_t cip_max_timeout_ms;
        char *policy_manifest;       /* file, NULL = none */
        bool cx_enabled, cx_require;
        uint64_t cx_rotate_ms;
        /* credits, operator */
        bool credits_award, credits_sign;
        char *credits_multiplier;    /* decimal text, NULL = undeclared */
        int credits_model;           /* enum config_pricing */
        char *credits_from, *credits_until; /* RFC 3339, NULL = none */
        char *operator_display_name, *operator_url;
        int operator_managed;        /* nothing is opened without an approval */
        bool operator_approve_mapping, operator_approve_tunnel;
        struct secret operator_delegation, operator_identity, operator_passphrase;
        /* nat: what of it exists yet */
        bool allow_private;
        bool nat_auto, nat_map, nat_dual_stack, nat_advertise_unverified_ipv6;
        bool nat_fallback, nat_declare_verified_ipv6, nat_ptr_hint;
        char **nat_protocols;        /* igd, pcp, natpmp, in the order of trial */
        int nat_tunnel, nat_tunnel_dead; /* enum tunnel_mode, enum tunnel_dead */
        char *nat_tunnel_program;    /* absolute path; NULL = cloudflared in PATH */
        uint64_t nat_tunnel_spacing_ms, nat_tunnel_lease_ms, nat_tunnel_jitter_ms, nat_tunnel_cooldown_ms;
        char *nat_tunnel_create_file, *nat_tunnel_lock_file, *nat_tunnel_cooldown_file;
        char *nat_probe_url, *nat_echo_url, *nat_tunnel_url; /* NULL = none; echo: "off" */
        /* relay worker */
        char *relay_worker;          /* "auto", "no", host with or without port */
        bool relay_worker_plaintext, relay_any_audience;
        /* relay operator */
        bool relay_operator, relay_plaintext;
        unsigned relay_port, relay_bind_rate, relay_max_in_flight;
        unsigned relay_max_sessions, relay_max_per_source; /* 0 = auto */
        int relay_tickets;           /* enum config_tickets */
        char *relay_ticket_key;      /* 64 hex digits, NULL = the directory's */
        uint64_t relay_max_body;
        /* mesh */
        bool mesh_enabled;
        /* recovery */
        unsigned recovery_grace, recovery_every; /* checks; heartbeats */
        int recovery_supervised;  /* enum config_supervised */
        bool recovery_restart;
        /* network, metrics, log, control */
        char *network_proxy;
        bool metrics_enabled;
        char *metrics_listen;        /* ADDRESS:PORT, NULL = none */
        char *trace_endpoint, *trace_traces_endpoint, *events_dir;
        int log_level, log_format; /* enum log_level, enum log_format */
        bool log_tasks;
        char *control_socket, *control_group;
        bool control_status_socket;
        /* consumer: read by iicp */
        char *consumer_region;
        uint64_t consumer_timeout_ms; /* 0 = default of the program */
        unsigned consumer_retries;
        uint64_t consumer_directory_timeout_ms;
        struct secret consumer_provider_tokens;
        bool consumer_allow_private, consumer_allow_plaintext;
        /* where each value comes from, in the order of the table */
        struct config_origin *origins;
};

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

/* One problem, in the form of the operator design, 5.3: "file:line:col: error: ..." with excerpt. */
struct config_problem {
        enum config_severity severity;
        char *where;         /* "/etc/iicp.conf", "environment", "-o" */
        unsigned line, column; /* 0 = none */
        char *text;          /* one line */
        char *excerpt;       /* two lines with marker, or NULL */
        unsigned rank;       /* order of the sources */
};
struct config_problems {
        struct config_problem *v;
        size_t n, n_errors, n_warnings;
};

/* Reads what s->ref leads to, once more. false: the text names the reference, never the value. */
bool secret_resolve(struct secret *s, char *const *environ_, char *why, size_t why_cap);
void secret_clear(struct secret *s); /* wipes */

struct config_source {
        const char *path;    /* file; NULL = none */
        const char *user_path; /* iicp: read before that one, and it wins; NULL = none */
        struct iicp_str text;  /* instead of a file, named by path; absent = read the file */
        bool path_required;  /* --config was given: a missing file is an error */
        char *const *environ_; /* environment to read */
        char *const *options;  /* -o section.key=value, NULL-terminated, may be NULL */
        bool resolve_secrets;  /* read what references point to; off for --check-config, but for certificate and key */
        bool consumer;         /* iicp: sections it may see, malformed environment only warns */
};

/* Reads everything and reports all problems in one run. Returns NULL if there was an error. */
struct config *config_load(const struct config_source *source, struct config_problems *problems);
struct config *config_free(struct config *c);
void config_problems_print(const struct config_problems *p, FILE *f);
void config_problems_json(const struct config_problems *p, struct iicp_buf *out);
void config_problems_free(struct config_problems *p);

/* ---- views of the table ---- */
/* Effective values with origin: "KEY  VALUE  FROM" text or JSON. Secrets show their reference. */
void config_print(const struct config *c, bool changed_only, FILE *f);
void config_json(const struct config *c, struct iicp_buf *out);
/* Generators of conf/iicp.conf and of iicp.conf(5). */
void config_write_sample(FILE *f);
void config_write_manual(FILE *f);
/* One key's paragraph, false if unknown. */
bool config_explain(const char *key, FILE *f);

/* What a reload changes: callback per differing key; live: taken over, else at the next start. */
typedef void (*config_diff_fn)(void *arg, const char *key, const char *from, const char *to,
                               bool live, bool registers_again);
size_t config_diff(const struct config *from, const struct config *to, config_diff_fn fn, void *arg);
/* Moves the values that need a restart from `running` into `next`, so that a reload keeps them. */
void config_keep_fixed(const struct config *running, struct config *next);

#endif
