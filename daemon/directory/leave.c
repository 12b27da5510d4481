/* SPDX-License-Identifier: Apache-2.0 */
#include "batch_store.h"
#include "internal.h"
#include "log.h"
#include "util.h"

/* Out of the directory: for good (DELETE) or for a stop (a last beat). [01 sections 3.7, 4] */

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
        credentials_forget(d);
        name_list_free(&d->models);
        d->registered = d->wanted = d->blocked = d->held = d->silent = false;
        d->left = d->leave_ok = true;
        timer_clear(&d->timer);
        timer_clear(&d->renew);
        directory_set_why(d, "left the directory on request");
        directory_done(d, false);
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
                        &(struct directory_request){.route = DIRECTORY_DEREGISTER,
                                                    .body = iicp_buf_str(&d->leave_body),
                                                    .timeout_ms = d->stopping ? STOP_TIMEOUT_MS : 0},
                        on_left, d);
        return d->leave != NULL;
}

void leave_begin(struct directory *d) {
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
        d->leave = directory_call_cancel(d->leave);
        stop_finished(d);
}

void stop_step(struct directory *d) {
        if (!d->stop_beat_sent) {
                d->stop_beat_sent = true;
                if (d->registered && d->node->config->deregister_on_stop) {
                        leave_begin(d);
                        return;
                }
                if (heartbeat_last(d))
                        return;
        }
        if (!heartbeat_busy(d))
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
        recovery_cancel(d);
        own_entry_cancel(d);
        timer_set_ms(&d->stop_timer, STOP_TIMEOUT_MS);
        directory_advance(d);
}

/* ---- life ---- */

void leave_init(struct directory *d) {
        timer_init(&d->stop_timer, d->node->loop, stop_over, d);
}

void leave_cancel(struct directory *d) {
        d->leave = directory_call_cancel(d->leave);
        iicp_buf_free(&d->leave_body);
        timer_clear(&d->stop_timer);
}
