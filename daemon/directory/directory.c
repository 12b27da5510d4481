/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "log.h"
#include "util.h"

#include <errno.h>
#include <event2/util.h>
#include <iicp/endpoint.h>
#include <stdarg.h>
#include <stdio.h>

/* What is next: register, leave, stop, or wait; and what the others may know about it. */

#define REMINDER_MS 3600000u
#define OFF_SETTING "directory.register is off"
#define OFF_DEMO "the demo backend registers at a directory on this machine only"

/* ---- model lists ---- */

int name_list_copy(const char *const *v, size_t n, struct name_list *ret) {
        struct name_list l = {.v = calloc(n + 1, sizeof *l.v)};

        for (; l.v && l.n < n; l.n++)
                if (!(l.v[l.n] = strdup(v[l.n])))
                        break;
        if (!l.v || l.n < n) {
                name_list_free(&l);
                return -ENOMEM;
        }
        *ret = l;
        return 0;
}

void name_list_free(struct name_list *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->v[i]);
        free(l->v);
        *l = (struct name_list){0};
}

bool name_list_same_set(const struct name_list *l, const char *const *v, size_t n) {
        if (l->n != n)
                return false;
        for (size_t i = 0; i < n; i++) {
                size_t k = 0;

                while (k < n && strcmp(l->v[k], v[i]) != 0)
                        k++;
                if (k == n)
                        return false;
        }
        return true;
}

/* ---- small things ---- */

uint64_t directory_now(const struct directory *d) {
        return clock_mono_ms(d->node->clock);
}

static double uniform(double low, double high) {
        uint32_t v;

        evutil_secure_rng_get_bytes(&v, sizeof v);
        return low + (high - low) * ((double) v / UINT32_MAX);
}

void directory_set_why(struct directory *d, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(d->why, sizeof d->why, fmt, ap);
        va_end(ap);
}

static bool directory_is_local(const struct config *c) {
        struct iicp_url url;

        return iicp_url_parse(iicp_str(c->directory_url), &url) == 0 &&
               iicp_host_is_loopback(url.host);
}

const char *directory_off(const struct directory *d) {
        const struct node *n = d->node;
        const char *why = NULL;

        if (!n->config->directory_register)
                return OFF_SETTING;
        if (!node_endpoint(n, &why))
                return why ? why : "no endpoint";
        if (backends_demo_only(n->backends) && !directory_is_local(n->config))
                return OFF_DEMO;
        return NULL;
}

struct save {
        struct directory *d;
        struct state_job *job;
        void (*fn)(struct directory *d);
        int result;
};

static void save_work(void *arg) {
        struct save *s = arg;

        s->result = state_job_write(s->job);
}

static void save_done(void *arg) {
        struct save *s = arg;
        struct directory *d = s->d;
        void (*fn)(struct directory * d) = s->fn;

        if (s->result < 0)
                log_err("state_save_failed",
                        "the identity is not on the disk (%s): a restart would not be "
                        "recognised by the directory",
                        strerror(-s->result));
        state_job_free(s->job);
        free(s);
        if (fn)
                fn(d);
}

void directory_save(struct directory *d, void (*fn)(struct directory *d)) {
        struct save *s = calloc(1, sizeof *s);

        if (s) {
                *s = (struct save){.d = d, .fn = fn};
                s->result = state_snapshot(d->node->state, &s->job);
                if (s->result == 0 && loop_block(d->node->loop, save_work, save_done, s) == 0)
                        return;
                state_job_free(s->job);
                free(s);
        }
        log_err("state_save_failed", "no memory to write the identity");
        if (fn)
                fn(d);
}

/* ---- the directory is silent ---- */

void directory_good(struct directory *d) {
        uint64_t now = directory_now(d);

        if (d->silent)
                log_notice("directory_back", "the directory answers again after %llu s",
                           (unsigned long long) (now - d->silent_since_ms) / 1000);
        d->silent = d->no_answer = false;
        d->beat.good_ms = now;
        timer_set_ms(&d->silence, SILENCE_MS);
}

static void silence_over(void *arg) {
        struct directory *d = arg;

        timer_set_ms(&d->silence, REMINDER_MS);
        if (d->left || d->blocked || (!d->registered && !d->no_answer)) {
                timer_set_ms(&d->silence, SILENCE_MS);
                return;
        }
        if (!d->silent)
                d->silent_since_ms = d->beat.good_ms;
        d->silent = true;
        directory_set_why(d, "no answer from the directory for %llu s",
                          (unsigned long long) (directory_now(d) - d->silent_since_ms) / 1000);
        log_warn("heartbeat_fail", "%s: new consumers cannot find us; tasks go on; retrying",
                 d->why);
}

/* ---- leaving ---- */

static bool leave_start(struct directory *d);

static void leave_finished(struct directory *d) {
        void (*fn)(void *arg, bool ok) = d->leave_fn;

        d->leave_fn = NULL;
        d->leaving = false;
        iicp_buf_free(&d->leave_body);
        d->leave_body = (struct iicp_buf){0};
        if (fn)
                fn(d->leave_arg, d->leave_ok);
        directory_advance(d);
}

static void leave_accepted(struct directory *d) {
        struct identity *id = state_identity(d->node->state);

        iicp_wipe(id->node_token, sizeof id->node_token);
        iicp_wipe(id->node_hmac_key, sizeof id->node_hmac_key);
        iicp_wipe(id->challenge, sizeof id->challenge);
        memset(&id->registered, 0, sizeof id->registered);
        id->registered_at = 0;
        name_list_free(&d->models);
        d->registered = d->wanted = d->blocked = d->held = d->silent = false;
        d->left = d->leave_ok = true;
        timer_clear(&d->timer);
        directory_set_why(d, "left the directory on request");
        directory_save(d, leave_finished);
}

static void on_left(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;
        struct iicp_directory_error e;
        char code[IICP_DIR_CODE_MAX * 2];

        d->leave = NULL;
        if (a->error == FETCH_TIMEOUT && !d->leave_again && !d->stopping) {
                d->leave_again = true;
                if (leave_start(d))
                        return;
        }
        if (a->error == FETCH_OK && (a->status == 200 || a->status == 404 || a->status == 401)) {
                if (a->status == 401)
                        log_warn("deregister_fail",
                                 "the directory did not know our token; left here all the same");
                else
                        log_notice("deregister_ok",
                                   "left the directory; its record of this node is gone");
                leave_accepted(d);
                return;
        }
        directory_answer_error(IICP_DIR_CALL_OTHER, a, &e);
        log_warn("deregister_fail", "the directory did not let us go (%s)",
                 log_text(iicp_str(e.code), code, sizeof code));
        d->leave_ok = false;
        if (d->registered && !d->stopping)
                heartbeat_begin(d);
        leave_finished(d);
}

static bool leave_start(struct directory *d) {
        iicp_buf_free(&d->leave_body);
        d->leave_body = (struct iicp_buf){0};
        body_node_id(d, &d->leave_body);
        if (d->leave_body.error == 0)
                d->leave = directory_call(
                        d,
                        &(struct directory_request){.method = "DELETE",
                                                    .path = "/v1/register",
                                                    .body = iicp_buf_str(&d->leave_body),
                                                    .authorized = true,
                                                    .timeout_ms = d->stopping ? STOP_TIMEOUT_MS
                                                                              : BEAT_TIMEOUT_MS},
                        on_left);
        return d->leave != NULL;
}

static void leave_step(struct directory *d) {
        d->leave_wanted = false;
        d->leaving = true;
        d->leave_again = d->leave_ok = false;
        heartbeat_suspend(d);
        if (!state_identity(d->node->state)->node_token[0])
                leave_accepted(d);
        else if (!leave_start(d))
                leave_finished(d);
}

void directory_deregister(struct directory *d, void (*fn)(void *arg, bool ok), void *arg) {
        if (d->leave_wanted || d->leaving || d->stopping || !d->started) {
                fn(arg, false);
                return;
        }
        d->leave_fn = fn;
        d->leave_arg = arg;
        d->leave_wanted = true;
        directory_advance(d);
}

/* ---- stopping ---- */

static void stop_finished(struct directory *d) {
        void (*fn)(void *arg) = d->stop_fn;

        timer_clear(&d->stop_timer);
        d->stop_fn = NULL;
        if (fn)
                fn(d->stop_arg);
}

static void stop_over(void *arg) {
        struct directory *d = arg;

        heartbeat_suspend(d);
        if (d->leave)
                fetch_cancel(d->leave);
        d->leave = NULL;
        stop_finished(d);
}

static void stop_step(struct directory *d) {
        if (!d->stop_beat_sent) {
                d->stop_beat_sent = true;
                if (d->registered && d->node->config->deregister_on_stop) {
                        leave_step(d);
                        return;
                }
                if (heartbeat_last(d))
                        return;
        }
        if (!d->beat.fetch)
                stop_finished(d);
}

void directory_stop(struct directory *d, void (*fn)(void *arg), void *arg) {
        if (!d->started || d->stopping) {
                fn(arg);
                return;
        }
        d->stopping = true;
        d->stop_fn = fn;
        d->stop_arg = arg;
        timer_clear(&d->timer);
        timer_clear(&d->silence);
        timer_set_ms(&d->stop_timer, STOP_TIMEOUT_MS);
        directory_advance(d);
}

/* ---- what is next ---- */

/* Another directory than the one that issued our credentials must not see them. */
static void check_base(struct directory *d) {
        struct identity *id = state_identity(d->node->state);

        if (!id->directory_base[0] ||
            strcmp(id->directory_base, d->node->config->directory_url) == 0)
                return;
        registration_cancel(d);
        heartbeat_suspend(d);
        iicp_wipe(id->node_token, sizeof id->node_token);
        iicp_wipe(id->node_hmac_key, sizeof id->node_hmac_key);
        iicp_wipe(id->challenge, sizeof id->challenge);
        memset(&id->registered, 0, sizeof id->registered);
        id->registered_at = 0;
        snprintf(id->directory_base, sizeof id->directory_base, "%s",
                 d->node->config->directory_url);
        d->registered = false;
        d->cx_omitted_before = d->omit_cx = false;
}

static void say_off(struct directory *d, const char *off) {
        if (strcmp(d->why, off) == 0)
                return;
        directory_set_why(d, "%s", off);
        if (strcmp(off, OFF_DEMO) == 0)
                log_warn("register_blocked", "serving, but not registering: %s", off);
}

/* Held back until its time, unless the route that was refused is another one by now. */
static bool must_wait(struct directory *d) {
        const char *endpoint = node_endpoint(d->node, NULL);

        if (d->held && d->refused_endpoint[0] && endpoint &&
            strcmp(endpoint, d->refused_endpoint) != 0) {
                d->held = false;
                d->refused_endpoint[0] = '\0';
        }
        return d->held;
}

void directory_advance(struct directory *d) {
        const char *off;
        size_t n;

        if (!d->started || d->reg || d->leaving)
                return;
        if (d->stopping) {
                stop_step(d);
                return;
        }
        if (d->leave_wanted) {
                leave_step(d);
                return;
        }
        if (d->left)
                return;
        off = directory_off(d);
        if (off) {
                timer_clear(&d->timer);
                say_off(d, off);
                return;
        }
        backends_models_to_register(d->node->backends, &n);
        if (n == 0) {
                if (!d->registered)
                        directory_set_why(d, "waiting for a backend to name a model");
                return;
        }
        if (!d->registered && !d->wanted)
                directory_want(d, "the first time since the start");
        if (d->wanted && !must_wait(d))
                registration_start(d);
}

void directory_want(struct directory *d, const char *reason) {
        d->wanted = true;
        d->reason = reason;
}

static void try_again(void *arg) {
        struct directory *d = arg;

        d->held = false;
        directory_advance(d);
}

/* Is what the directory holds still what we would declare? */
static void check_drift(struct directory *d) {
        char digest[65];
        size_t n;
        const char *const *models;

        if (!d->registered || d->reg || d->wanted || d->left || directory_off(d) ||
            body_digest(d, digest) < 0 ||
            strcmp(digest, state_identity(d->node->state)->registered.capability_digest) == 0)
                return;
        models = backends_models_to_register(d->node->backends, &n);
        directory_want(d, name_list_same_set(&d->models, models, n) ? "what we declare changed"
                                                                    : "models changed");
}

void directory_poke(struct directory *d) {
        if (!d->started || d->stopping)
                return;
        check_drift(d);
        directory_advance(d);
        heartbeat_poke(d);
}

static void on_backends(void *arg) {
        directory_poke(arg);
}

static void on_corridor(void *arg) {
        heartbeat_poke(arg);
}

static void release(struct directory *d) {
        d->held = d->blocked = false;
        d->refused_endpoint[0] = '\0';
}

void directory_reload(struct directory *d) {
        release(d);
        check_base(d);
        directory_poke(d);
}

void directory_reregister(struct directory *d) {
        release(d);
        d->left = false;
        directory_want(d, "asked for");
        directory_advance(d);
}

/* ---- life ---- */

static void gauges(void *arg, struct iicp_buf *out) {
        const struct directory *d = arg;

        iicp_buf_printf(out,
                        "# HELP iicp_registered Whether the directory lists this node.\n# TYPE "
                        "iicp_registered gauge\n"
                        "iicp_registered %d\n",
                        directory_state(d) == DIRECTORY_REGISTERED);
}

struct directory *directory_new(struct node *node) {
        struct directory *d = calloc(1, sizeof *d);

        if (!d)
                return NULL;
        d->node = node;
        d->uniform = uniform;
        d->reputation = -1;
        timer_init(&d->timer, node->loop, try_again, d);
        timer_init(&d->silence, node->loop, silence_over, d);
        timer_init(&d->stop_timer, node->loop, stop_over, d);
        heartbeat_init(d);
        if (metrics_add_gauges(node->metrics, gauges, d) < 0)
                return directory_free(d);
        return d;
}

struct directory *directory_free(struct directory *d) {
        if (!d)
                return NULL;
        registration_cancel(d);
        heartbeat_suspend(d);
        if (d->leave)
                fetch_cancel(d->leave);
        iicp_buf_free(&d->leave_body);
        timer_clear(&d->timer);
        timer_clear(&d->silence);
        timer_clear(&d->stop_timer);
        name_list_free(&d->models);
        free(d);
        return NULL;
}

void directory_start(struct directory *d) {
        if (d->started)
                return;
        d->started = true;
        d->beat.good_ms = d->beat.progress_ms = directory_now(d);
        check_base(d);
        timer_set_ms(&d->silence, SILENCE_MS);
        backends_on_change(d->node->backends, on_backends, d);
        corridor_on_change(d->node->corridor, on_corridor, d);
        directory_advance(d);
}

/* ---- what others may know ---- */

static const char *const state_names[] = {
        [DIRECTORY_OFF] = "off",
        [DIRECTORY_WAITING] = "waiting",
        [DIRECTORY_REGISTERING] = "registering",
        [DIRECTORY_REGISTERED] = "registered",
        [DIRECTORY_UNAVAILABLE] = "unavailable",
        [DIRECTORY_BLOCKED] = "blocked",
        [DIRECTORY_LEFT] = "left",
};

const char *directory_state_name(enum directory_state s) {
        return state_names[s];
}

enum directory_state directory_state(const struct directory *d) {
        size_t n;

        if (d->left)
                return DIRECTORY_LEFT;
        if (d->silent)
                return DIRECTORY_UNAVAILABLE;
        if (d->registered)
                return DIRECTORY_REGISTERED;
        if (d->blocked)
                return DIRECTORY_BLOCKED;
        if (!d->started || directory_off(d))
                return DIRECTORY_OFF;
        backends_models_to_register(d->node->backends, &n);
        return n == 0 ? DIRECTORY_WAITING : DIRECTORY_REGISTERING;
}

const char *directory_why(const struct directory *d) {
        return directory_state(d) == DIRECTORY_REGISTERED && !d->held ? "" : d->why;
}

const char *const *directory_registered_models(const struct directory *d, size_t *ret_n) {
        *ret_n = d->models.n;
        return (const char *const *) d->models.v;
}

uint64_t directory_progress_age_ms(const struct directory *d) {
        return d->registered && !d->left ? directory_now(d) - d->beat.progress_ms : 0;
}

static void json_text(struct iicp_buf *out, const char *name, const char *text) {
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(text));
}

void directory_json(const struct directory *d, struct iicp_buf *out) {
        const struct identity *id = state_identity(d->node->state);
        enum directory_state s = directory_state(d);
        char when[21];

        iicp_buf_printf(out, "{\"state\":\"%s\",\"registered\":%s", directory_state_name(s),
                        d->registered ? "true" : "false");
        json_text(out, "why", directory_why(d));
        json_text(out, "url", d->node->config->directory_url);
        json_text(out, "node_id", id->node_id);
        if (d->registered) {
                clock_rfc3339(id->registered_at, when);
                json_text(out, "registered_at", when);
                json_text(out, "endpoint", id->registered.endpoint);
        }
        iicp_buf_puts(out, ",\"models\":[");
        for (size_t i = 0; i < d->models.n; i++) {
                iicp_buf_puts(out, i ? "," : "");
                iicp_buf_json_str(out, iicp_str(d->models.v[i]));
        }
        iicp_buf_printf(
                out, "],\"registrations\":%llu,\"heartbeats_ok\":%llu,\"heartbeats_failed\":%llu",
                (unsigned long long) d->registrations, (unsigned long long) d->beat.good_total,
                (unsigned long long) d->beat.failed_total);
        iicp_buf_printf(out, ",\"last_good_s\":%llu,\"next_heartbeat_ms\":%llu",
                        (unsigned long long) (directory_now(d) - d->beat.good_ms) / 1000,
                        (unsigned long long) d->beat.interval_ms);
        if (d->reputation >= 0)
                iicp_buf_printf(out, ",\"reputation\":%.3f", d->reputation);
        if (d->observed_ip[0])
                json_text(out, "observed_source_ip", d->observed_ip);
        if (d->last_code[0])
                json_text(out, "last_refusal", d->last_code);
        iicp_buf_puts(out, "}");
}
