/* SPDX-License-Identifier: Apache-2.0 */
#include "batch_store.h"

#include "log.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

/* A batch is sent only after it is on the disk: a daemon that is killed then repeats it under the
 * same id instead of counting its tasks again. */

struct save {
        struct directory *d;
        void (*fn)(struct directory *d);
        int dir_fd, result;
        struct iicp_buf bytes;
        char id[37];
};

void batch_load(struct directory *d) {
        int dir = state_dir_fd(d->node->state);
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {0};
        char why[256] = "";
        int r = state_file_read(dir, STATE_BATCH_FILE, &bytes, why, sizeof why);

        if (r == -ENOENT)
                return;
        if (r == 0)
                r = batch_read(iicp_buf_str(&bytes), &d->batch);
        if (r == 0)
                return;
        log_warn("state_corrupt", STATE_BATCH_FILE " cannot be used (%s): the counts in it are not reported, "
                 "the file is kept aside", *why ? why : "not in its format");
        state_file_aside(dir, STATE_BATCH_FILE, "bad", clock_wall_s(d->node->clock));
}

static void save_work(void *arg) {
        struct save *s = arg;

        s->result = state_write_file(s->dir_fd, STATE_BATCH_FILE, iicp_buf_str(&s->bytes));
}

static void save_done(void *arg) {
        struct save *s = arg;
        struct directory *d = s->d;
        void (*fn)(struct directory * d) = s->fn;

        if (s->result == 0)
                memcpy(d->batch.durable_id, s->id, sizeof s->id);
        else
                d->batch.dirty = true;
        if (s->result < 0)
                log_err("state_save_failed", "the counts of tasks are not on the disk (%s): they are reported "
                        "once they are", strerror(-s->result));
        iicp_buf_free(&s->bytes);
        free(s);
        if (fn)
                fn(d);
}

static void collect(struct directory *d) {
        struct task_counts now;

        corridor_counts(d->node->corridor, &now);
        if (batch_collect(&d->batch, &now) < 0)
                log_err("state_save_failed", "no random bytes for a batch of counts: tried with the next beat");
}

bool batch_save(struct directory *d, void (*fn)(struct directory *d)) {
        struct save *s;

        collect(d);
        if (!d->batch.dirty)
                return false;
        s = calloc(1, sizeof *s);
        if (!s)
                return false;
        *s = (struct save){.d = d, .fn = fn, .dir_fd = state_dir_fd(d->node->state)};
        memcpy(s->id, d->batch.id, sizeof s->id);
        batch_write(&d->batch, &s->bytes);
        d->batch.dirty = false;
        if (s->bytes.error == 0 && loop_block(d->node->loop, save_work, save_done, s) == 0)
                return true;
        d->batch.dirty = true;
        iicp_buf_free(&s->bytes);
        free(s);
        return false;
}

void batch_finish(struct directory *d) {
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {0};

        /* A node that never registered has nobody to report to. */
        if (d->registrations == 0)
                return;
        collect(d);
        if (!d->batch.dirty)
                return;
        batch_write(&d->batch, &bytes);
        if (bytes.error == 0)
                state_write_file(state_dir_fd(d->node->state), STATE_BATCH_FILE, iicp_buf_str(&bytes));
}

void batch_drop(struct directory *d) {
        collect(d);
        batch_forget(&d->batch);
        batch_save(d, NULL);
}
