/* SPDX-License-Identifier: Apache-2.0 */
#include "rotation.h"

#include "log.h"
#include "node.h"
#include "util.h"

#include <errno.h>

#define LOOK_MS 3600000 /* the wall clock may be set meanwhile */
#define DAY_S 86400

struct rotation {
        struct node *node;
        struct timer timer;
        bool said_overdue;
};

/* A write of the keyring on the helper thread. */
struct write {
        struct rotation *r;
        struct state_job *job;
        int result;
};

static int64_t now_s(const struct rotation *r) {
        return clock_wall_s(r->node->clock);
}

static void look(void *arg);
static void save(struct rotation *r);

static void write_work(void *arg) {
        struct write *w = arg;

        w->result = state_job_write(w->job);
}

/* The pending key is on the disk: now it may be published. Where no directory is told, nobody is to
 * be waited for. */
static void publish(struct rotation *r) {
        struct state *state = r->node->state;
        struct cx_times t;

        state_cx_times(state, now_s(r), &t);
        if (!t.offered)
                return;
        if (directory_state(r->node->directory) == DIRECTORY_OFF) {
                state_cx_accepted(state, t.pending, now_s(r));
                rotation_accepted(r->node);
                save(r);
                look(r);
        } else
                directory_key_rotated(r->node->directory);
}

static void write_done(void *arg) {
        struct write *w = arg;
        struct rotation *r = w->r;

        state_job_free(w->job);
        if (w->result < 0)
                log_err("state_save_failed",
                        "the encryption keys are not on the disk (%s): a new one is not used "
                        "before it is kept",
                        strerror(-w->result));
        free(w);
        publish(r);
}

static void save(struct rotation *r) {
        struct write *w = calloc(1, sizeof(*w));

        if (w) {
                w->r = r;
                if (state_snapshot(r->node->state, &w->job) == 0 &&
                    loop_block(r->node->loop, write_work, write_done, w) == 0)
                        return;
                state_job_free(w->job);
                free(w);
        }
        log_err("state_save_failed", "no memory to write the encryption keys");
}

void rotation_accepted(struct node *node) {
        log_notice(
                "key_rotated",
                "the encryption key is %s from now on; the one before it opens tasks for 24 h more",
                state_cx_current_id(node->state));
}

/* ---- what is due ---- */

static bool enabled(const struct rotation *r) {
        return r->node->config->cx_enabled;
}

static int64_t due_in_s(const struct rotation *r, const struct cx_times *t) {
        return t->created_at + (int64_t) (r->node->config->cx_rotate_ms / 1000) - now_s(r);
}

static void say_overdue(struct rotation *r, const struct cx_times *t) {
        bool overdue = enabled(r) && now_s(r) >= t->not_after;

        if (overdue && !r->said_overdue)
                log_warn("key_overdue", "the encryption key is past its 90 days and the directory "
                                        "has taken no other: "
                                        "encrypted tasks are refused; iicpctl directory");
        r->said_overdue = overdue;
}

static void look(void *arg) {
        struct rotation *r = arg;
        uint64_t next_ms = LOOK_MS;
        bool changed = state_cx_expire(r->node->state, now_s(r));
        struct cx_times t;
        int64_t due_s;

        state_cx_times(r->node->state, now_s(r), &t);
        due_s = due_in_s(r, &t);
        if (enabled(r) && !t.pending && due_s <= 0 &&
            state_cx_rotate(r->node->state, now_s(r)) == 0)
                changed = true;
        if (changed)
                save(r);
        else if (t.pending && !t.offered)
                save(r); /* the last write failed */
        else if (t.offered && directory_state(r->node->directory) == DIRECTORY_OFF)
                publish(r); /* the process ended before it was the current one */
        say_overdue(r, &t);
        if (due_s > 0)
                next_ms = MIN(next_ms, (uint64_t) due_s * 1000);
        if (t.next_expiry_s >= 0)
                next_ms = MIN(next_ms, (uint64_t) MAX(t.next_expiry_s, (int64_t) 1) * 1000);
        timer_set_ms(&r->timer, next_ms);
}

int rotation_now(struct rotation *r) {
        int result = enabled(r) ? state_cx_rotate(r->node->state, now_s(r)) : -EOPNOTSUPP;

        if (result == 0)
                save(r);
        else if (result == -EALREADY)
                publish(r);
        return result;
}

bool rotation_overdue(const struct rotation *r) {
        return r->said_overdue;
}

/* ---- life ---- */

struct rotation *rotation_new(struct node *node) {
        struct rotation *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        r->node = node;
        timer_init(&r->timer, node->loop, look, r);
        return r;
}

struct rotation *rotation_free(struct rotation *r) {
        if (!r)
                return NULL;
        timer_clear(&r->timer);
        free(r);
        return NULL;
}

void rotation_start(struct rotation *r) {
        look(r);
}

void rotation_reload(struct rotation *r) {
        look(r);
}

static void put_time(const char *name, int64_t at, struct iicp_buf *out) {
        char when[21];

        clock_rfc3339(at, when);
        iicp_buf_printf(out, ",\"%s\":\"%s\"", name, when);
}

void rotation_json(const struct rotation *r, struct iicp_buf *out) {
        struct cx_times t;

        state_cx_times(r->node->state, now_s(r), &t);
        iicp_buf_printf(out, "{\"enabled\":%s,\"key_id\":\"%s\",\"age_days\":%lld",
                        enabled(r) ? "true" : "false", state_cx_current_id(r->node->state),
                        (long long) (MAX(now_s(r) - t.created_at, (int64_t) 0) / DAY_S));
        put_time("not_after", t.not_after, out);
        put_time("rotates_at", t.created_at + (int64_t) (r->node->config->cx_rotate_ms / 1000),
                 out);
        iicp_buf_puts(out, ",\"pending\":");
        if (t.pending)
                iicp_buf_json_str(out, iicp_str(t.pending));
        else
                iicp_buf_puts(out, "null");
        iicp_buf_printf(out, ",\"overdue\":%s}", r->said_overdue ? "true" : "false");
}

void rotation_gauges(const struct node *node, struct iicp_buf *out) {
        struct cx_times t;

        state_cx_times(node->state, clock_wall_s(node->clock), &t);
        iicp_buf_printf(
                out,
                "# HELP iicp_encryption_key_expiry_timestamp_seconds End of the encryption key in "
                "use.\n"
                "# TYPE iicp_encryption_key_expiry_timestamp_seconds gauge\n"
                "iicp_encryption_key_expiry_timestamp_seconds %lld\n"
                "# HELP iicp_encryption_key_pending 1 while a new key waits for the directory.\n"
                "# TYPE iicp_encryption_key_pending gauge\niicp_encryption_key_pending %d\n",
                (long long) t.not_after, t.pending != NULL);
}
