/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "listener.h"
#include "tls_port.h"
#include "log.h"
#include "util.h"
#include "world.h"

#include "driven_timers.h"
#include "reach/routes.h"
#include "relay/sessions.h"
#include "relay/worker.h"

#include "policy.h"

#include <stdio.h>
#include <unistd.h>

struct world *world;

/* ---- time ---- */


static uint64_t mono_us(void *arg) {
        (void) arg;
        return world->now_ms * 1000;
}

static uint64_t boot_us(void *arg) {
        (void) arg;
        return (world->now_ms + world->asleep_ms) * 1000;
}

static int64_t wall_s(void *arg) {
        (void) arg;
        return 1790000000 + (int64_t) (world->now_ms / 1000);
}

static const struct clock driven = {.mono_us = mono_us, .wall_s = wall_s, .boot_us = boot_us};

static void answer_side_calls(void) {
        for (unsigned i = 0; i < world->n_calls; i++) {
                struct fetch *f = &world->calls[i];
                bool own = strstr(f->url, "/iicp/health") != NULL;
                bool entry = strstr(f->url, "/v1/node/") != NULL;
                int status = own ? world->own_health : entry ? (world->entry ? 200 : 404) : world->registry;

                if (!f->side || f->over)
                        continue;
                if (status == 0)
                        world_fail(f, FETCH_TIMEOUT);
                else
                        world_answer(f, status, own ? "{}" : entry ? (world->entry ? world->entry : "") : world->registry_body);
        }
}

void world_run(uint64_t ms) {
        uint64_t end = world->now_ms + ms;

        do
                answer_side_calls();
        while (driven_timers_fire(end));
        world->now_ms = end;
}

static struct held {
        void (*work)(void *arg), (*done)(void *arg);
        void *arg;
} held[8];
static unsigned n_held;

int loop_block(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg) {
        (void) l;
        if (world->hold_saves) {
                assert_true(n_held < ARRAY_SIZE(held));
                held[n_held++] = (struct held){work, done, arg};
                return 0;
        }
        if (!world->skip_writes)
                work(arg);
        done(arg);
        return 0;
}

void world_saved(void) {
        struct held h = held[0];

        assert_true(n_held > 0);
        memmove(held, held + 1, --n_held * sizeof *held);
        h.work(h.arg);
        h.done(h.arg);
}

/* ---- calls ---- */

const char *fetch_error_name(enum fetch_error e) {
        return e == FETCH_TIMEOUT ? "timeout" : e == FETCH_TLS ? "tls" : "connect";
}

struct fetch *fetch_start(struct fetch_pool *p, const struct fetch_request *r, fetch_done_fn done,
                          void *arg) {
        struct fetch *f = &world->calls[world->n_calls++];

        (void) p;
        assert_true(world->n_calls <= WORLD_CALLS);
        *f = (struct fetch){.timeout_ms = r->timeout_ms,
                            .connect_ms = r->connect_timeout_ms,
                            .at_ms = world->now_ms,
                            .max_answer = r->max_answer,
                            .done = done,
                            .arg = arg};
        snprintf(f->method, sizeof f->method, "%s", r->method);
        snprintf(f->url, sizeof f->url, "%s", r->url);
        for (; r->headers && r->headers[f->n_headers]; f->n_headers++)
                snprintf(f->headers[f->n_headers], sizeof f->headers[0], "%s",
                         r->headers[f->n_headers]);
        f->body = strndup(r->body.p ? r->body.p : "", r->body.n);
        f->side = !world->by_hand && (strstr(f->url, "/iicp/health") || strstr(f->url, "/registry/nodes/") ||
                  strstr(f->url, "/v1/node/"));
        return f;
}

void fetch_cancel(struct fetch *f) {
        f->over = f->cancelled = true;
}

void world_forget(void) {
        for (unsigned i = 0; i < world->n_calls; i++)
                if (!world->calls[i].over)
                        return; /* its owner knows where it is */
        for (unsigned i = 0; i < world->n_calls; i++)
                free(world->calls[i].body);
        world->n_calls = 0;
}

double world_slowness(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        return 20;
#else
        return 1;
#endif
}

struct fetch *world_call(const char *method, const char *path) {
        for (unsigned i = world->n_calls; i > 0; i--) {
                struct fetch *f = &world->calls[i - 1];
                size_t n = strlen(f->url), m = strlen(path);

                if (!f->over && strcmp(f->method, method) == 0 && n > m &&
                    strcmp(f->url + n - m, path) == 0)
                        return f;
        }
        fail_msg("no %s %s is open", method, path);
        return NULL;
}

bool world_idle(void) {
        for (unsigned i = 0; i < world->n_calls; i++)
                if (!world->calls[i].over && strcmp(world->calls[i].method, "GET") != 0)
                        return false;
        return true;
}

void world_answer(struct fetch *f, int status, const char *body) {
        f->over = true;
        f->done(f->arg, &(struct fetch_answer){.error = FETCH_OK,
                                               .status = status,
                                               .body = iicp_str(body)});
}

void world_redirect(struct fetch *f, int status, const char *location, const char *retry_after) {
        f->over = true;
        f->done(f->arg, &(struct fetch_answer){.error = FETCH_OK,
                                               .status = status,
                                               .location = iicp_str(location),
                                               .retry_after = iicp_str(retry_after)});
}

unsigned world_count(const char *method, const char *path) {
        unsigned n = 0;

        for (unsigned i = 0; i < world->n_calls; i++)
                n += strcmp(world->calls[i].method, method) == 0 && strstr(world->calls[i].url, path) != NULL;
        return n;
}

void world_fail(struct fetch *f, enum fetch_error e) {
        f->over = true;
        f->done(f->arg, &(struct fetch_answer){.error = e});
}

void world_accept(const char *token, const char *key) {
        char body[512];

        snprintf(body, sizeof body,
                 "{\"node_id\":\"%s\",\"node_token\":\"%s\",\"node_hmac_key\":\"%s\",\"expires_"
                 "at\":null}",
                 state_identity(world->node.state)->node_id, token, key);
        world_answer(world_call("POST", "/v1/register"), 201, body);
}

json_object *world_body(const struct fetch *f) {
        json_object *o = json_tokener_parse(f->body);

        assert_non_null(o);
        return o;
}

const char *world_header(const struct fetch *f, const char *name) {
        size_t n = strlen(name);

        for (unsigned i = 0; i < f->n_headers; i++)
                if (strncmp(f->headers[i], name, n) == 0 && f->headers[i][n] == ':')
                        return f->headers[i] + n + 2;
        return NULL;
}

/* ---- the other rooms ---- */

const char *const *backends_models_to_register(struct backends *s, size_t *ret_n) {
        (void) s;
        *ret_n = world->n_models;
        return world->models;
}

const char *const *backends_models(struct backends *s, size_t *ret_n, bool *ret_known) {
        (void) s;
        *ret_n = world->n_models;
        *ret_known = world->models_known;
        return world->models;
}

void backends_on_change(struct backends *s, void (*fn)(void *arg), void *arg) {
        (void) s;
        (void) fn;
        (void) arg;
}

const char *backends_flavour(const struct backends *s) {
        (void) s;
        return "ollama";
}

bool backends_demo_only(const struct backends *s) {
        (void) s;
        return world->demo;
}

void backends_stability(struct backends *s, struct backend_stability *ret) {
        (void) s;
        *ret = world->stability;
}

bool backends_unavailable(const struct backends *s) {
        (void) s;
        return world->backends_gone;
}

const char *backend_state_name(enum backend_state s) {
        return s == STATE_OK ? "ok" : s == STATE_DEGRADED ? "degraded" : "draining";
}

void backends_observe(struct backends *s) {
        (void) s;
}

unsigned corridor_active(const struct corridor *c) {
        (void) c;
        return world->active;
}

unsigned corridor_effective(const struct corridor *c) {
        (void) c;
        return world->effective;
}

bool corridor_available(const struct corridor *c) {
        (void) c;
        return world->available;
}

void corridor_counts(const struct corridor *c, struct task_counts *ret) {
        (void) c;
        *ret = world->counts;
}

void corridor_on_change(struct corridor *c, void (*fn)(void *arg), void *arg) {
        (void) c;
        (void) fn;
        (void) arg;
}

void corridor_token_rotated(struct corridor *c, const char *old_token) {
        (void) c;
        snprintf(world->rotated, sizeof world->rotated, "%s", old_token);
}

bool node_transport_endpoint(const struct node *n, char out[256]) {
        (void) n;
        out[0] = '\0';
        return false; /* no native frames */
}

const char *node_endpoint(const struct node *n, const char **ret_why) {
        (void) n;
        if (ret_why)
                *ret_why = "no public address";
        return world->endpoint[0] ? world->endpoint : NULL;
}

bool node_endpoint_dead(struct node *n, const char *endpoint) {
        (void) n;
        snprintf(world->dead_endpoint, sizeof world->dead_endpoint, "%s", endpoint);
        if (!world->next_endpoint[0])
                return false;
        memcpy(world->endpoint, world->next_endpoint, sizeof world->endpoint);
        world->next_endpoint[0] = '\0';
        return true;
}

void metrics_heartbeat_failure(struct metrics *m, const char *reason) {
        (void) m;
        world->failure_reason = reason;
}

bool tls_port_active(const struct tls_port *p) {
        (void) p;
        return world->tls;
}

bool relay_declared(const struct relay *r) {
        (void) r;
        return world->relay_port != 0;
}

uint16_t relay_port(const struct relay *r) {
        (void) r;
        return world->relay_port;
}

uint16_t listener_port(const struct listener *l) {
        (void) l;
        return 9484;
}

void node_restart(struct node *n, int status, const char *why) {
        (void) n;
        (void) why;
        world->restart_status = status;
}

int metrics_add_gauges(struct metrics *m, metrics_gauge_fn fn, void *arg) {
        (void) m;
        (void) fn;
        (void) arg;
        return 0;
}

/* ---- life ---- */

static double middle(double low, double high) {
        return (low + high) / 2;
}

void world_new_policy(void) {
        const char *key;
        char why[256];

        policy_free(world->node.policy);
        world->node.policy = NULL;
        assert_int_equal(policy_new(&world->config, &world->node.policy, &key, why, sizeof why), 0);
}

int world_setup(void **state) {
        const char *key = NULL;
        char why[256];

        (void) state;
        n_held = 0;
        log_setup(LOG_F_TEXT, LOG_L_ERR);
        world = calloc(1, sizeof *world);
        world->now_ms = 1000000;
        driven_timers_begin(&world->now_ms);
        world->models[0] = "llama3.1:8b";
        world->n_models = 1;
        world->models_known = world->available = true;
        world->effective = 4;
        world->own_health = world->registry = 200;
        world->registry_body = "{}";
        world->stability = (struct backend_stability){STATE_OK, "ok", 0, 0};
        snprintf(world->endpoint, sizeof world->endpoint, "https://node.example.com");
        world->config = (struct config){.directory_url = (char *) "https://dir.example.org/api",
                                        .directory_register = true,
                                        .region = (char *) "eu-central",
                                        .intent_default = (char *) "urn:iicp:intent:llm:chat:v1",
                                        .max_concurrent = 4,
                                        .tokens_per_min = 20000,
                                        .max_tokens = 4096,
                                        .recovery_grace = 3,
                                        .recovery_every = 2,
                                        .recovery_restart = true,
                                        .cx_enabled = true};
        snprintf(world->dir, sizeof world->dir, "./test-directory-XXXXXX");
        assert_non_null(mkdtemp(world->dir));
        assert_int_equal(state_open(world->dir, NULL, 1790000000, &world->node.state, why,
                                    sizeof why),
                         0);
        world->node.clock = &driven;
        world->node.config = &world->config;
        world->node.phase = NODE_RUNNING;
        assert_int_equal(policy_new(&world->config, &world->node.policy, &key, why, sizeof why), 0);
        world->node.directory = directory_new(&world->node);
        assert_non_null(world->node.directory);
        world->node.directory->uniform = middle;
        return 0;
}

int world_teardown(void **state) {
        char command[128];

        (void) state;
        directory_free(world->node.directory);
        policy_free(world->node.policy);
        state_close(world->node.state);
        snprintf(command, sizeof command, "rm -rf '%s'", world->dir);
        assert_int_equal(system(command), 0);
        for (unsigned i = 0; i < world->n_calls; i++)
                free(world->calls[i].body);
        free(world);
        return 0;
}

/* The route manager is another room; this node has none. */
/* No relay here. */
const struct iicp_relay_route *worker_route(const struct relay_worker *w) {
        (void) w;
        return NULL;
}

bool worker_polls(const struct relay_worker *w) {
        (void) w;
        return false;
}

bool worker_lost(const struct relay_worker *w) {
        (void) w;
        return false;
}

bool worker_bound(const struct relay_worker *w) {
        (void) w;
        return false;
}

const struct ladder_route *routes_live(const struct routes *r) {
        (void) r;
        return NULL;
}

bool routes_relay_open(const struct routes *r) {
        (void) r;
        return true;
}

const char *routes_nat_type(const struct routes *r) {
        (void) r;
        return "unknown";
}

void routes_registered(struct routes *r) {
        (void) r;
}

void routes_observed(struct routes *r, const char *address) {
        (void) r;
        (void) address;
}

bool routes_serves(const struct routes *r) {
        (void) r;
        return true;
}

bool routes_tunnel_limited(const struct routes *r) {
        (void) r;
        return world->tunnel_limited;
}

double relay_load(const struct relay *r) {
        (void) r;
        return 0.25;
}
