/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

#include "build-config.h"
#include "control/control.h"
#include "directory/award.h"
#include "directory/credits.h"
#include "directory/key.h"
#include "directory/vouch.h"
#include "findings/findings.h"
#include "door_http.h"
#include "door_native.h"
#include "listener.h"
#include "log.h"
#include "mesh/mesh.h"
#include "node_life.h"
#include "notify.h"
#include "policy.h"
#include "relay/metrics.h"
#include "relay/poll.h"
#include "relay/sessions.h"
#include "rotation.h"
#include "state_seal.h"
#include "observe/events.h"
#include "observe/ops.h"
#include "observe/feed.h"
#include "observe/snapshot.h"
#include "observe/spans.h"
#include "tls_port.h"
#include "reach/local.h"
#include "endpoint_name.h"
#include "reach/routes.h"
#include "relay/worker.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <sys/stat.h>

extern char **environ;

#define FETCH_IDLE_MIN 16u  /* connections kept towards backends and directory */
#define FETCH_IDLE_MAX 1024u

/* ---- start, in the order of 02 section 1 and 01 section 2.1 ---- */
int node_open_state(const struct config *c, int64_t now_s, struct state **ret, char *why, size_t why_cap) {
        uint8_t key[STATE_KEY];
        int r;

        if (!c->state_key.value)
                return state_open(c->state_dir, c->node_id, now_s, ret, why, why_cap);
        if (state_key_parse((struct iicp_str){c->state_key.value, c->state_key.n}, key) < 0) {
                snprintf(why, why_cap, "node.state_key is no key of 32 bytes: openssl rand -hex 32 makes one");
                return -EINVAL;
        }
        r = state_open_sealed(c->state_dir, c->node_id, key, now_s, ret, why, why_cap);
        iicp_wipe(key, sizeof key);
        return r;
}

/* config_check has made one of the same already: only memory can fail, or a file that changed since. */
static int make_policy(const struct config *c, struct policy **ret) {
        const char *key = NULL;
        char why[320] = "";
        int r = policy_new(c, ret, &key, why, sizeof why);

        if (r < 0)
                log_err("config_rejected", "%s: %s", key ? key : "intents", *why ? why : strerror(-r));
        return r;
}

static void name_intent(void *metrics, const char *urn) {
        metrics_set_intents(metrics, &urn, 1);
}

void node_name_intents(const struct node *n) {
        policy_each_intent(n->policy, name_intent, n->metrics);
}

static int start_state(struct node *n) {
        char why[512] = "";
        int r = node_open_state(n->config, clock_wall_s(n->clock), &n->state, why, sizeof why);

        if (r < 0) {
                log_err(r == -EBUSY ? "state_locked" : "start_failed", "%s", *why ? why : strerror(-r));
                return EXIT_STATE;
        }
        log_set_node_id(state_identity(n->state)->node_id);
        if (local_container_marks(environ) && state_dir_vanishes(n->config->state_dir))
                log_warn("identity_not_kept", "the identity is not kept: no volume is mounted on %s, so every restart is a "
                         "new node without reputation; mount one there", n->config->state_dir);
        return 0;
}

static int start_listener(struct node *n) {
        char why[512] = "";
        int r = tls_port_new(n, &n->tls, why, sizeof why);

        if (r < 0) {
                log_err("start_failed", "no TLS: %s", *why ? why : strerror(-r));
                return EXIT_CONFIG_;
        }
        r = listener_new(n, &n->listener, why, sizeof why);

        if (r < 0) {
                if (*why)
                        log_err("start_failed", "%s", why);
                else
                        log_err("start_failed", "cannot listen on port %u: %s", n->config->listen_port, strerror(-r));
                return EXIT_LISTEN;
        }
        why[0] = '\0';
        r = relay_new(n, &n->relay, why, sizeof why);
        if (r < 0) {
                log_err("start_failed", "no relay: %s", *why ? why : strerror(-r));
                return r == -ENOMEM ? EXIT_INTERNAL : EXIT_LISTEN;
        }
        if (n->relay && (polls_new(n->relay, n->loop, &n->polls) < 0 || metrics_add_private(n->metrics, relay_metrics, n) < 0))
                return EXIT_INTERNAL;
        return 0;
}

/* The folder of the control socket, when nobody has made it for us. */
static int start_runtime_dir(struct node *n) {
        char path[4096];

        if (snprintf(path, sizeof path, "%s", n->config->runtime_dir) >= (int) sizeof path)
                return EXIT_STATE;
        for (char *p = path + 1;; p++) {
                bool last = *p == '\0';

                if (*p != '/' && !last)
                        continue;
                *p = '\0';
                /* The socket has its own mode; its group must be able to get there. */
                if (mkdir(path, 0755) == 0 && last)
                        chmod(path, 0755);
                else if (errno != EEXIST && last && access(path, F_OK) < 0) {
                        log_err("start_failed", "cannot make %s: %s", path, strerror(errno));
                        return EXIT_STATE;
                }
                if (last)
                        return 0;
                *p = '/';
        }
}

static int start_control(struct node *n) {
        char why[512] = "";
        int r = start_runtime_dir(n);

        if (r)
                return r;
        r = control_new(n, &n->control, why, sizeof why);
        if (r < 0) {
                log_err("start_failed", "cannot open the control socket: %s", *why ? why : strerror(-r));
                return EXIT_STATE;
        }
        return 0;
}

/* What others watch this node by. Without a snapshot the node still works. */
static int start_observers(struct node *n) {
        const struct config *c = n->config;
        char why[4352] = "";
        int r;

        if (c->events_dir && (r = events_new(n, &n->events, why, sizeof why)) < 0) {
                log_err("start_failed", "%s", *why ? why : strerror(-r));
                return EXIT_STATE;
        }
        if (c->metrics_listen && (r = ops_new(n, c->metrics_listen, &n->ops)) < 0) {
                log_err("start_failed", "cannot listen on %s (metrics.listen): %s", c->metrics_listen, strerror(-r));
                return EXIT_LISTEN;
        }
        if (snapshot_new(n, &n->snapshot, why, sizeof why) < 0)
                log_warn("snapshot_failed", "no health snapshot: %s; iicpctl check cannot tell how this node is",
                         *why ? why : "no memory");
        return 0;
}

static int start_failed(const char *what) {
        log_err("start_failed", "cannot start: %s", what);
        return EXIT_INTERNAL;
}

static int start_rooms(struct node *n) {
        size_t idle = MIN(MAX(n->config->max_concurrent, FETCH_IDLE_MIN), FETCH_IDLE_MAX);

        n->fetch = fetch_pool_new(n->loop, idle);
        if (!n->fetch || !(n->backends = backends_new(n)))
                return start_failed("no memory for the backends");
        if (!(n->spans = spans_new(n)) || !(n->findings = findings_new(n)))
                return start_failed("no memory");
        if (!(n->corridor = corridor_new(n)))
                return start_failed("no memory for the task corridor");
        if (!(n->directory = directory_new(n)))
                return start_failed("no memory for the directory client");
        if (!(n->vouch = vouch_new(n)))
                return start_failed("no memory for the operator's declarations");
        if (!(n->awards = awards_new(n)) || !(n->credits = credits_new(n)))
                return start_failed("no memory for the receipts");
        if (!(n->worker = worker_new(n)))
                return start_failed("no memory for the relay worker");
        if (!(n->endpoint_name = endpoint_name_new(n->loop, node_endpoint_named, n)))
                return start_failed("no memory for the endpoint");
        if (!(n->routes = routes_new(n)))
                return start_failed("no memory for the routes");
        if (!(n->keys = directory_keys_new(n)))
                return start_failed("no memory for the directory's key");
        if (!(n->mesh = mesh_new(n)))
                return start_failed("no memory for the mesh");
        if (!(n->rotation = rotation_new(n)))
                return start_failed("no memory for the encryption keys");
        if (door_http_new(n, &n->http) < 0)
                return start_failed("the HTTP door does not open");
        if (door_native_new(n, &n->native) < 0)
                return start_failed("no memory");
        return 0;
}

/* What an operator must know about this start. */
static void say_started(const struct node *n) {
        const struct config *c = n->config;
        bool v6 = c->listen_address ? strchr(c->listen_address, ':') != NULL : true;

        log_notice("serve_start", "iicpd %s started: node %.8s, port %u (%s), backend '%s'%s, %s", PACKAGE_VERSION,
                   state_identity(n->state)->node_id, listener_port(n->listener),
                   c->listen_address ? (v6 ? "IPv6" : "IPv4") : "IPv4 and IPv6", c->backends[0].name,
                   c->n_backends > 1 ? " and more" : "", n->config_source.path ? n->config_source.path : "no file");
        if (c->auth_mode == AUTH_OPEN)
                log_warn("open_access", "anyone may run tasks here (auth.mode=open, the mesh's default); "
                         "auth.mode=required admits known callers only");
        else if (!c->caller_tokens.ref)
                log_warn("auth_no_callers", "auth.mode=required without auth.caller_tokens: only this node's own token "
                         "opens it, so no consumer will");
        if (c->native == NATIVE_PLAINTEXT && !tls_port_active(n->tls))
                log_warn("native_plaintext", "port %u serves native frames in clear (listen.native=plaintext): they can be read on the way",
                         listener_port(n->listener));
        if (!listener_loopback_only(n->listener) && !tls_port_active(n->tls))
                log_warn("plain_listener", "port %u is plain HTTP%s: unencrypted tasks can be read on the way; "
                         "see tls_cert in iicp.conf(5)", listener_port(n->listener),
                         c->listen_address ? "" : " on all addresses");
}

int node_start(struct node *n) {
        int r;

        n->phase = NODE_STARTING;
        n->started_ms = clock_mono_ms(n->clock);
        if (iicp_selftest() < 0)
                return start_failed("the cryptographic self-test fails");
        if (make_policy(n->config, &n->policy) < 0)
                return EXIT_CONFIG_;
        n->metrics = metrics_new();
        n->config_read_s = clock_wall_s(n->clock);
        pulse_start(&n->pulse, n->loop, n->clock);
        n->feed = feed_new(n);
        if (!n->metrics || !n->feed)
                return start_failed("no memory");
        if ((r = start_state(n)) || (r = start_listener(n)) || (r = start_rooms(n)))
                return r;
        node_endpoint_find(n);
        if ((r = start_control(n)))
                return r;
        r = listener_accept(n->listener);
        if (r == 0 && n->relay)
                r = relay_start(n->relay);
        if (r < 0)
                return start_failed(strerror(-r));
        n->phase = NODE_RUNNING;
        n->notify = notify_new(n);
        if (!n->notify || node_life_new(n) < 0)
                return start_failed("no memory");
        if ((r = start_observers(n)))
                return r;
        say_started(n);
        /* Descriptors that libraries opened for themselves must not be inherited either. */
        close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
        vouch_start(n->vouch);
        awards_start(n->awards);
        directory_keys_start(n->keys);
        routes_start(n->routes);
        directory_start(n->directory);
        mesh_start(n->mesh);
        node_watch_start(n);
        rotation_start(n->rotation);
        return 0;
}

void node_finish(struct node *n) {
        loop_settle(n->loop);
        node_watch_stop(n);
        node_life_free(n);
        n->ops = ops_free(n->ops);
        n->snapshot = snapshot_free(n->snapshot);
        n->events = events_free(n->events);
        n->notify = notify_free(n->notify);
        n->control = control_free(n->control);
        n->feed = feed_free(n->feed);
        pulse_stop(&n->pulse);
        n->rotation = rotation_free(n->rotation);
        n->credits = credits_free(n->credits);
        n->awards = awards_free(n->awards);
        n->keys = directory_keys_free(n->keys);
        n->vouch = vouch_free(n->vouch);
        n->routes = routes_free(n->routes);
        n->endpoint_name = endpoint_name_free(n->endpoint_name);
        n->mesh = mesh_free(n->mesh);
        n->worker = worker_free(n->worker);
        n->directory = directory_free(n->directory);
        n->listener = listener_free(n->listener);
        n->relay = relay_free(n->relay);
        n->http = door_http_free(n->http);
        n->polls = polls_free(n->polls);
        n->native = door_native_free(n->native);
        n->tls = tls_port_free(n->tls);
        n->corridor = corridor_free(n->corridor);
        n->spans = spans_free(n->spans);
        n->findings = findings_free(n->findings);
        n->backends = backends_free(n->backends);
        n->fetch = fetch_pool_free(n->fetch);
        n->metrics = metrics_free(n->metrics);
        n->policy = policy_free(n->policy);
        n->state = state_close(n->state);
        n->loop = loop_free(n->loop);
        n->config = config_free(n->config);
}

/* ---- reload ---- */
struct changes {
        struct iicp_buf *json;
        unsigned n, live, waiting;
        char first_waiting[64], waiting_keys[240]; /* the second with the running value */
        bool routes; /* something that a detection depends on */
};

static void add_change(void *arg, const char *key, const char *from, const char *to, bool live, bool registers_again) {
        struct changes *c = arg;

        iicp_buf_puts(c->json, c->n++ ? ",{\"key\":" : "{\"key\":");
        iicp_buf_json_str(c->json, iicp_str(key));
        iicp_buf_puts(c->json, ",\"from\":");
        iicp_buf_json_str(c->json, iicp_str(from));
        iicp_buf_puts(c->json, ",\"to\":");
        iicp_buf_json_str(c->json, iicp_str(to));
        iicp_buf_printf(c->json, ",\"live\":%s,\"registers_again\":%s}", live ? "true" : "false",
                        registers_again ? "true" : "false");
        c->routes |= strncmp(key, "nat.", 4) == 0 || strcmp(key, "relay.worker") == 0 || strcmp(key, "node.public_endpoint") == 0;
        if (live)
                c->live++;
        else {
                size_t n = strlen(c->waiting_keys);

                if (c->waiting++ == 0)
                        snprintf(c->first_waiting, sizeof c->first_waiting, "%s", key);
                snprintf(c->waiting_keys + n, sizeof c->waiting_keys - n, "%s%s: %s -> %s", n ? ", " : "", key, from, to);
        }
}

/* What stands behind the mark below the line, "did you mean ...?"; NULL. */
static const char *guess_of(const struct config_problem *p) {
        const char *mark = p->excerpt ? strrchr(p->excerpt, '\n') : NULL;

        mark = mark ? strchr(mark, '^') : NULL;
        mark = mark ? mark + 1 + strspn(mark + 1, "~") : NULL;
        return mark && mark[0] == ' ' && mark[1] ? mark + 1 : NULL;
}

static void say_rejected(struct node *n, const struct config_problems *problems) {
        const char *guess;
        char text[240];

        n->config_rejected = true;
        findings_reloaded(n->findings, "the new configuration has errors", NULL);
        for (size_t i = 0; i < problems->n; i++) {
                const struct config_problem *p = &problems->v[i];

                if (p->severity != CONFIG_ERROR)
                        continue;
                if (p->line)
                        snprintf(text, sizeof text, "%s:%u: %s", p->where, p->line, p->text);
                else
                        snprintf(text, sizeof text, "%s: %s", p->where, p->text);
                guess = guess_of(p);
                findings_reloaded(n->findings, text, NULL);
                log_err("config_rejected", "configuration not reloaded, the old one stays: %s%s%s", text, guess ? "; " : "",
                        guess ? guess : "");
                return;
        }
        log_err("config_rejected", "configuration not reloaded, the old one stays");
}

static void say_reloaded(const struct changes *c) {
        if (c->waiting > 1)
                log_notice("config_reloaded", "configuration reloaded: %u live, %s and %u more wait for a restart", c->live,
                           c->first_waiting, c->waiting - 1);
        else if (c->waiting)
                log_notice("config_reloaded", "configuration reloaded: %u live, %s waits for a restart", c->live, c->first_waiting);
        else
                log_notice("config_reloaded", "configuration reloaded: %u live", c->live);
}

int node_reload(struct node *n, struct config_problems *problems, struct iicp_buf *report_json) {
        struct config *next, *old = n->config;
        struct policy *policy = NULL;
        struct changes changes = {.json = report_json};

        notify_reloading(n->notify);
        next = config_load(&n->config_source, problems);
        if (next && make_policy(next, &policy) < 0)
                next = config_free(next);
        if (!next) {
                say_rejected(n, problems);
                notify_reloaded(n->notify);
                return -EINVAL;
        }
        iicp_buf_puts(report_json, "[");
        config_diff(old, next, add_change, &changes);
        iicp_buf_puts(report_json, "]");
        config_keep_fixed(old, next);
        n->config = next;
        policy_free(n->policy);
        n->policy = policy;
        node_name_intents(n);
        log_set_level((enum log_level) next->log_level);
        tls_port_reload(n->tls);
        node_endpoint_find(n);
        if (changes.routes)
                routes_reload(n->routes);
        backends_reload(n->backends);
        vouch_reload(n->vouch);
        directory_keys_reload(n->keys);
        directory_reload(n->directory);
        rotation_reload(n->rotation);
        config_free(old);
        n->config_rejected = false;
        n->config_read_s = clock_wall_s(n->clock);
        findings_reloaded(n->findings, NULL, changes.waiting ? changes.waiting_keys : NULL);
        say_reloaded(&changes);
        notify_reloaded(n->notify);
        return 0;
}
