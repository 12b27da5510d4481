/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "door_http.h"
#include "door_native.h"
#include "findings/findings.h"
#include "listener.h"
#include "log.h"
#include "node_life.h"
#include "notify.h"
#include "observe/snapshot.h"
#include "reach/routes.h"
#include "relay/sessions.h"
#include "relay/worker.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

/* Draining and the orderly stop: the mesh is told, new tasks are refused, running ones finish within
 * limits.drain, the rest is aborted and answered, then everything closes. [02 section 1] */

static const char *fate_of_registration(const struct node *n) {
        if (n->config->deregister_on_stop)
                return "left the directory";
        return state_identity(n->state)->node_token[0] ? "registration kept" : "was not registered";
}

static void stop_done(void *arg) {
        struct node_life *life = arg;

        log_notice("stop_done", "stopped: %u finished, %u aborted, %s", life->running_at_stop - life->aborted,
                   life->aborted, fate_of_registration(life->node));
        loop_stop(life->node->loop, life->node->exit_status);
}

static void look_at_flush(void *arg) {
        struct node_life *life = arg;
        struct node *n = life->node;

        /* Callers that keep their connection open would have us wait for nothing. */
        if ((listener_connections(n->listener) == 0 && worker_stopped(n->worker)) ||
            clock_mono_ms(n->clock) - life->began_ms >= STOP_FLUSH_MS) {
                stop_done(life);
                return;
        }
        timer_set_ms(&life->flush, 10);
}

static unsigned running(const struct node *n) {
        return corridor_active(n->corridor) + corridor_waiting(n->corridor);
}

static unsigned relayed(const struct node *n) {
        return n->relay ? relay_in_flight(n->relay) : 0;
}

/* All must have happened: the directory is told, routers have closed, no task is left. */
static void stop_advance(struct node_life *life) {
        struct node *n = life->node;

        if (life->flushing || !life->directory_told || !life->routes_closed || running(n) > 0 || relayed(n) > 0)
                return;
        life->flushing = true;
        life->began_ms = clock_mono_ms(n->clock);
        timer_clear(&life->drain);
        listener_stop(n->listener);
        worker_stop(n->worker);
        door_native_stop(n->native);
        if (n->relay)
                relay_stop(n->relay);
        timer_set_ms(&life->flush, 0);
}

static void on_routes_closed(void *arg) {
        struct node_life *life = arg;

        life->routes_closed = true;
        stop_advance(life);
}

/* The last beat goes out before the port closes. */
static void on_directory_told(void *arg) {
        struct node_life *life = arg;

        life->directory_told = true;
        routes_stop(life->node->routes, on_routes_closed, life);
}

static void drain_ended(struct node_life *life) {
        if (life->idle_said)
                return;
        life->idle_said = true;
        timer_clear(&life->drain);
        log_notice("drain_done", "drained: no task is running, %u aborted", life->aborted);
}

static bool is_paused(const struct node *n) {
        const char *reason = corridor_draining(n->corridor);

        return reason && strcmp(reason, CORRIDOR_PAUSED) == 0;
}

/* Called by the corridor whenever it has become empty. */
static void on_idle(void *arg) {
        struct node_life *life = arg;

        if (life->node->phase == NODE_STOPPING)
                stop_advance(life);
        else if (corridor_draining(life->node->corridor) && !is_paused(life->node))
                drain_ended(life);
}

static void drain_over(void *arg) {
        struct node_life *life = arg;
        struct node *n = life->node;

        life->aborted += running(n);
        corridor_abort_all(n->corridor);
        if (n->relay && n->phase == NODE_STOPPING)
                relay_stop(n->relay);
        on_idle(life);
}

void node_stop(struct node *n, const char *why) {
        struct node_life *life = n->life;

        if (n->phase == NODE_STOPPING) {
                n->exit_status = 0; /* who stops us does not want us back */
                log_notice("stop_now", "ending at once on %s: %u tasks are aborted", why, running(n));
                life->aborted += running(n);
                life->directory_told = life->routes_closed = true;
                corridor_abort_all(n->corridor);
                if (n->relay)
                        relay_stop(n->relay);
                routes_stop(n->routes, on_routes_closed, life); /* as far as the end of the process allows */
                stop_advance(life);
                return;
        }
        n->phase = NODE_STOPPING;
        life->running_at_stop = running(n);
        life->aborted = 0;
        log_notice("stop_start", "stopping on %s: the mesh is told, %u tasks running, at most %llu s", why,
                   life->running_at_stop, (unsigned long long) (n->config->drain_ms + 999) / 1000);
        notify_stopping(n->notify);
        listener_hold(n->listener);
        snapshot_now(n->snapshot);
        corridor_drain(n->corridor, "stopping");
        if (n->relay)
                relay_drain(n->relay, on_idle, life);
        timer_set_ms(&life->drain, n->config->drain_ms);
        directory_stop(n->directory, on_directory_told, life);
        stop_advance(life);
}

void node_restart(struct node *n, int status, const char *why) {
        if (n->phase == NODE_STOPPING)
                return;
        n->exit_status = status;
        node_stop(n, why);
}

void node_drain(struct node *n, const char *by) {
        struct node_life *life = n->life;

        if (n->phase == NODE_STOPPING || corridor_draining(n->corridor))
                return;
        log_notice("drain_start", "draining for %s: the mesh is told, %u tasks running, at most %llu s", by, running(n),
                   (unsigned long long) (n->config->drain_ms + 999) / 1000);
        findings_draining(n->findings, by);
        life->aborted = 0;
        life->idle_said = false;
        corridor_drain(n->corridor, "draining");
        directory_poke(n->directory);
        if (running(n) == 0)
                drain_ended(life);
        else
                timer_set_ms(&life->drain, n->config->drain_ms);
}

void node_undrain(struct node *n, const char *by) {
        if (n->phase == NODE_STOPPING || !corridor_draining(n->corridor))
                return;
        timer_clear(&n->life->drain);
        findings_draining(n->findings, NULL);
        corridor_undrain(n->corridor);
        directory_poke(n->directory);
        log_notice("drain_done", "taking tasks again, by %s", by);
}

void node_pause(struct node *n, bool on) {
        bool paused = is_paused(n);

        /* A drain of iicpctl stays what it is. */
        if (n->phase == NODE_STOPPING || (corridor_draining(n->corridor) && !paused) || on == paused)
                return;
        findings_draining(n->findings, on ? "the operator of /v1/control" : NULL);
        if (on)
                corridor_drain(n->corridor, CORRIDOR_PAUSED);
        else
                corridor_undrain(n->corridor);
        directory_poke(n->directory);
        log_notice(on ? "drain_start" : "drain_done", on ? "paused through /v1/control: the mesh is told, %u tasks running"
                                                         : "taking tasks again, resumed through /v1/control, %u tasks running",
                   running(n));
}

/* ---- signals and housekeeping ---- */
static void on_term(evutil_socket_t sig, short what, void *arg) {
        struct node_life *life = arg;

        (void) what;
        node_stop(life->node, sig == SIGINT ? "SIGINT" : "SIGTERM");
}

static void on_hup(evutil_socket_t sig, short what, void *arg) {
        struct node_life *life = arg;
        struct config_problems problems = {0};
        struct iicp_buf report = {0};

        (void) sig;
        (void) what;
        if (life->node->phase == NODE_RUNNING)
                node_reload(life->node, &problems, &report);
        config_problems_free(&problems);
        iicp_buf_free(&report);
}

static void look_for_ready(void *arg) {
        struct node_life *life = arg;
        struct node *n = life->node;
        size_t models;

        if (n->phase != NODE_RUNNING)
                return;
        if (strcmp(status_word(n), "ready") != 0) {
                timer_set_ms(&life->look, READY_LOOK_MS);
                return;
        }
        life->ready_said = true;
        backends_models_to_register(n->backends, &models);
        log_notice("ready", "ready after %.1f s: %s, %zu model%s",
                   (double) (clock_mono_ms(n->clock) - n->started_ms) / 1000.0,
                   directory_state(n->directory) == DIRECTORY_REGISTERED ? "registered" : "not registered", models,
                   models == 1 ? "" : "s");
}

static void each_minute(void *arg) {
        struct node_life *life = arg;
        struct daily_figures now;
        char line[200];

        log_tick();
        daily_figures_of(life->node, &now);
        if (daily_minute(&life->daily, &now, line, sizeof line))
                log_notice("daily", "%s", line);
        timer_set_ms(&life->minute, MINUTE_MS);
}

static struct event *signal_new(struct node_life *life, int sig, event_callback_fn fn) {
        struct event *e = evsignal_new(loop_base(life->node->loop), sig, fn, life);

        if (e && event_add(e, NULL) < 0) {
                event_free(e);
                return NULL;
        }
        return e;
}

int node_life_new(struct node *n) {
        struct node_life *life = calloc(1, sizeof *life);

        if (!life)
                return -ENOMEM;
        n->life = life;
        life->node = n;
        timer_init(&life->drain, n->loop, drain_over, life);
        timer_init(&life->flush, n->loop, look_at_flush, life);
        timer_init(&life->look, n->loop, look_for_ready, life);
        timer_init(&life->minute, n->loop, each_minute, life);
        life->term = signal_new(life, SIGTERM, on_term);
        life->intr = signal_new(life, SIGINT, on_term);
        life->hup = signal_new(life, SIGHUP, on_hup);
        if (!life->term || !life->intr || !life->hup)
                return -ENOMEM;
        corridor_on_idle(n->corridor, on_idle, life);
        timer_set_ms(&life->look, 0);
        timer_set_ms(&life->minute, MINUTE_MS);
        return 0;
}

void node_life_free(struct node *n) {
        struct node_life *life = n->life;
        sigset_t all;

        if (!life)
                return;
        /* A further stop signal finds us ending: its default action must not come back. */
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        corridor_on_idle(n->corridor, NULL, NULL);
        timer_clear(&life->drain);
        timer_clear(&life->flush);
        timer_clear(&life->look);
        timer_clear(&life->minute);
        if (life->term)
                event_free(life->term);
        if (life->intr)
                event_free(life->intr);
        if (life->hup)
                event_free(life->hup);
        free(life);
        n->life = NULL;
}
