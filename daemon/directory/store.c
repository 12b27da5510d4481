/* SPDX-License-Identifier: Apache-2.0 */
#include "batch_store.h"
#include "award.h"
#include "internal.h"
#include "log.h"
#include "util.h"

#include <errno.h>

/* The identity goes to the disk on the helper thread; what depends on it waits. [01 section 2.10] */

void credentials_forget(struct directory *d) {
        struct identity *id = state_identity(d->node->state);

        d->token_generation++;
        iicp_wipe(id->node_token, sizeof id->node_token);
        iicp_wipe(id->node_hmac_key, sizeof id->node_hmac_key);
        iicp_wipe(id->challenge, sizeof id->challenge);
        memset(&id->registered, 0, sizeof id->registered);
        id->registered_at = 0;
        batch_drop(d);
        awards_forget(d->node->awards);
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

        d->saved = s->result == 0;
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
        d->saved = false;
        if (fn)
                fn(d);
}
