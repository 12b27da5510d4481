/* SPDX-License-Identifier: Apache-2.0 */
#include "batch_store.h"
#include "internal.h"
#include "log.h"
#include "util.h"
#include "vouch.h"

#include <errno.h>
#include <event2/util.h>
#include <iicp/endpoint.h>
#include <stdarg.h>
#include <stdio.h>

/* What is next: register, leave, stop, or wait; and what the others may know about it. */

#define OFF_SETTING "directory.register is off"
#define OFF_DEMO "the demo backend registers at a directory on this machine only"

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

/* ---- what is next ---- */

static void take_base(struct directory *d) {
        const struct config *c = d->node->config;

        if (strcmp(d->base_configured, c->directory_url) == 0)
                return;
        snprintf(d->base_configured, sizeof d->base_configured, "%s", c->directory_url);
        snprintf(d->base, sizeof d->base, "%s", c->directory_url);
        d->base_guessed = c->directory_api_added;
        d->replica[0] = d->redirect_refused[0] = '\0';
        d->breaker_failures = 0;
        d->breaker_until_ms = 0;
}

/* Another directory than the one that issued our credentials must not see them. */
static void check_base(struct directory *d) {
        struct identity *id = state_identity(d->node->state);

        take_base(d);
        if (!id->directory_base[0] ||
            strcmp(id->directory_base, d->node->config->directory_url) == 0)
                return;
        registration_cancel(d);
        heartbeat_suspend(d);
        credentials_forget(d);
        snprintf(id->directory_base, sizeof id->directory_base, "%s",
                 d->node->config->directory_url);
        d->registered = false;
        ladder_over(d);
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
        return d->held || (d->registered && d->beat.owed);
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
                leave_begin(d);
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
        /* Without what is being signed it would be another declaration. */
        if (d->wanted && !must_wait(d) && vouch_ready(d->node->vouch))
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

        if (!d->registered || d->reg || d->wanted || d->left || !vouch_ready(d->node->vouch) || directory_off(d) ||
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
        recovery_reconsider(d);
        heartbeat_poke(d);
}

static void on_backends(void *arg) {
        directory_poke(arg);
}

static void on_corridor(void *arg) {
        heartbeat_poke(arg);
}

static void release(struct directory *d) {
        d->held = d->blocked = d->beat.owed = false;
        d->ladder.busy = false;
        d->refused_endpoint[0] = '\0';
}

void directory_reload(struct directory *d) {
        release(d);
        d->omit = 0; /* what was refused may be another text now */
        check_base(d);
        directory_poke(d);
}

void directory_key_rotated(struct directory *d) {
        if (!d->started || d->stopping || d->left)
                return;
        directory_want(d, "a new encryption key");
        directory_advance(d);
}

void directory_done(struct directory *d, bool ok) {
        void (*fn)(void *arg, bool ok) = d->done_fn;

        d->done_fn = NULL;
        if (fn)
                fn(d->done_arg, ok);
}

void directory_hold(struct directory *d, uint64_t ms) {
        d->wanted = d->held = true;
        d->try_at_ms = ms ? directory_now(d) + ms : 0;
        if (ms == 0)
                timer_clear(&d->timer);
        else
                timer_set_ms(&d->timer, ms);
}

void directory_rejected(struct directory *d, const char *reason) {
        d->registered = false;
        heartbeat_suspend(d);
        directory_want(d, reason);
        directory_advance(d);
}

void directory_look(struct directory *d, void (*fn)(void *arg), void *arg) {
        if (!d->started || d->stopping || !d->node->config->directory_register ||
            look_start(d->look, fn, arg) < 0)
                fn(arg);
}

int directory_identity_reset(struct directory *d, const char *by) {
        return !d->started || d->stopping ? -EBUSY : identity_reset(d, by);
}

bool directory_changing(const struct directory *d) {
        return d->leave_wanted || d->leaving || d->stopping || !d->started;
}

int directory_reregister(struct directory *d, void (*fn)(void *arg, bool ok), void *arg) {
        size_t n;

        if (fn && d->done_fn)
                return -EBUSY;
        if (!d->started || d->stopping)
                return -ESHUTDOWN;
        backends_models_to_register(d->node->backends, &n);
        if (directory_off(d) || n == 0)
                return -EOPNOTSUPP;
        if (fn) {
                d->done_fn = fn;
                d->done_arg = arg;
        }
        release(d);
        d->left = false;
        d->omit = 0;
        d->breaker_until_ms = 0; /* whoever asks knows better */
        directory_want(d, "asked for");
        directory_advance(d);
        return 0;
}

/* ---- life ---- */

static void gauges(void *arg, struct iicp_buf *out) {
        const struct directory *d = arg;

        iicp_buf_printf(out,
                        "# HELP iicp_registered Whether the directory lists this node.\n# TYPE "
                        "iicp_registered gauge\n"
                        "iicp_registered %d\n",
                        directory_state(d) == DIRECTORY_REGISTERED);
        if (d->good_wall_s > 0)
                iicp_buf_printf(out,
                                "# HELP iicp_directory_last_success_timestamp_seconds Last good answer to a heartbeat or "
                                "registration, epoch seconds.\n"
                                "# TYPE iicp_directory_last_success_timestamp_seconds gauge\n"
                                "iicp_directory_last_success_timestamp_seconds %lld\n",
                                (long long) d->good_wall_s);
        if (d->reputation >= 0)
                iicp_buf_printf(out,
                                "# HELP iicp_reputation_ratio What the directory says of this node, 0 to 1.\n"
                                "# TYPE iicp_reputation_ratio gauge\n"
                                "iicp_reputation_ratio %.3f\n",
                                d->reputation);
        if (recovery_shown(d))
                iicp_buf_printf(out,
                                "# HELP iicp_recovery_info State and action of the recovery contract.\n"
                                "# TYPE iicp_recovery_info gauge\n"
                                "iicp_recovery_info{state=\"%s\",action=\"%s\"} 1\n",
                                recovery_state_name(d->recovery.state), recovery_action_name(d->recovery.action));
}

struct directory *directory_new(struct node *node) {
        struct directory *d = calloc(1, sizeof *d);

        if (!d)
                return NULL;
        d->node = node;
        d->uniform = uniform;
        d->reputation = -1;
        timer_init(&d->timer, node->loop, try_again, d);
        silence_init(d);
        leave_init(d);
        registration_init(d);
        heartbeat_init(d);
        recovery_init(d);
        own_entry_init(d);
        d->look = look_new(d);
        if (!d->look)
                return directory_free(d);
        if (metrics_add_gauges(node->metrics, gauges, d) < 0)
                return directory_free(d);
        return d;
}

struct directory *directory_free(struct directory *d) {
        if (!d)
                return NULL;
        batch_finish(d);
        registration_cancel(d);
        heartbeat_suspend(d);
        leave_cancel(d);
        recovery_cancel(d);
        own_entry_cancel(d);
        d->look = look_free(d->look);
        ladder_cancel(d);
        listener_check_cancel(d);
        timer_clear(&d->renew);
        timer_clear(&d->timer);
        timer_clear(&d->silence);
        name_list_free(&d->models);
        free(d);
        return NULL;
}

void directory_start(struct directory *d) {
        if (d->started)
                return;
        d->started = true;
        d->beat.good_ms = d->beat.progress_ms = directory_now(d);
        d->beat.good_boot_ms = d->beat.sent_boot_ms = clock_boot_ms(d->node->clock);
        batch_load(d);
        check_base(d);
        timer_set_ms(&d->silence, SILENCE_MS);
        backends_on_change(d->node->backends, on_backends, d);
        corridor_on_change(d->node->corridor, on_corridor, d);
        directory_advance(d);
}
