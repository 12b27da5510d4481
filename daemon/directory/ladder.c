/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "log.h"
#include "util.h"

#include <errno.h>
#include <iicp/uuid.h>
#include <stdio.h>

/* The directory does not take us for the owner of our identity: the token is lost or old. One step
 * after the other, each once; what stays is the operator. [01 section 2.9, DECISION 9] */

#define WAIT_MS 30000u
#define WAIT_MAX_MS 900000u
#define OPERATOR_MS 300000u
#define ROUTE_CONNECT_MS 3000u
#define ROUTE_MS 5000u
#define ROUTE_ANSWER_MAX 65536u

struct reread {
        struct directory *d;
        const struct state *state;
        struct identity found;
        bool ok;
};

void ladder_over(struct directory *d) {
        d->ladder = (struct ladder){0};
        d->old_route = false;
}

static void reread_work(void *arg) {
        struct reread *r = arg;

        r->ok = state_identity_read(r->state, &r->found) == 0;
}

/* Step a: somebody may have put a newer file there. */
static bool take_newer(struct directory *d, const struct identity *found) {
        struct identity *id = state_identity(d->node->state);

        if (!found->node_token[0] || strcmp(found->node_token, id->node_token) == 0 ||
            strcmp(found->node_id, id->node_id) != 0 ||
            strcmp(found->directory_base, d->node->config->directory_url) != 0)
                return false;
        d->token_generation++;
        memcpy(id->node_token, found->node_token, sizeof id->node_token);
        memcpy(id->node_hmac_key, found->node_hmac_key, sizeof id->node_hmac_key);
        log_notice("identity_reread", "identity.json holds another token than ours: trying that one");
        return true;
}

static void next_step(struct directory *d);

static void reread_done(void *arg) {
        struct reread *r = arg;
        struct directory *d = r->d;
        bool newer = r->ok && d->ladder.busy && take_newer(d, &r->found);

        iicp_wipe(&r->found, sizeof r->found);
        free(r);
        if (!d->ladder.busy)
                return; /* somebody has decided otherwise meanwhile */
        d->ladder.busy = false;
        if (newer)
                directory_hold(d, REGISTER_SPACING_MS);
        else
                next_step(d);
        directory_advance(d);
}

static bool reread(struct directory *d) {
        struct reread *r = calloc(1, sizeof *r);

        if (!r)
                return false;
        r->d = d;
        r->state = d->node->state;
        if (loop_block(d->node->loop, reread_work, reread_done, r) == 0)
                return true;
        free(r);
        return false;
}

/* Step b: the directory that has our key keeps it when none comes. */
static bool without_key(struct directory *d) {
        const struct identity *id = state_identity(d->node->state);

        if (d->ladder.without_key || !d->node->config->cx_enabled || !id->registered.cx_key_id[0] ||
            strcmp(id->registered.cx_key_id, state_cx_current_id(d->node->state)) != 0)
                return false;
        d->ladder.without_key = true;
        d->omit |= PART_CX;
        return true;
}

static void wait_for_route(struct directory *d) {
        unsigned n = MIN(d->ladder.waits, 5u);

        d->ladder.waits++;
        directory_hold(d, MIN((uint64_t) WAIT_MS << n, (uint64_t) WAIT_MAX_MS));
}

static void on_route(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;

        d->ladder.route = NULL;
        d->ladder.busy = false;
        d->old_route = a->error == FETCH_OK && a->status >= 200 && a->status < 300;
        if (d->old_route) {
                log_notice("route_back", "the last accepted endpoint still works: registering with it first");
                directory_hold(d, REGISTER_SPACING_MS);
        } else {
                wait_for_route(d);
        }
        directory_advance(d);
}

/* Step c: with the endpoint that the directory knows there is no change to prove. */
static bool old_endpoint(struct directory *d) {
        const char *old = state_identity(d->node->state)->registered.endpoint;
        char url[320];

        if (d->ladder.old_endpoint || !old[0] || strcmp(old, d->ladder.endpoint) == 0)
                return false;
        d->ladder.old_endpoint = true;
        snprintf(url, sizeof url, "%s/iicp/health", old);
        d->ladder.route = fetch_start(d->node->fetch,
                                      &(struct fetch_request){.method = "GET",
                                                              .url = url,
                                                              .headers = (const char *const[]){NULL},
                                                              .connect_timeout_ms = ROUTE_CONNECT_MS,
                                                              .timeout_ms = ROUTE_MS,
                                                              .max_answer = ROUTE_ANSWER_MAX},
                                      on_route, d);
        d->ladder.busy = d->ladder.route != NULL;
        return d->ladder.busy;
}

static void next_step(struct directory *d) {
        const char *old = state_identity(d->node->state)->registered.endpoint;

        d->omit &= ~(unsigned) PART_CX;
        if (without_key(d)) {
                directory_hold(d, REGISTER_SPACING_MS);
                return;
        }
        if (d->ladder.for_route && old_endpoint(d))
                return;
        if (d->ladder.for_route && strcmp(old, d->ladder.endpoint) != 0) {
                wait_for_route(d);
                return;
        }
        d->blocked = true;
        if (d->node->config->identity_auto_reset && identity_reset(d, "node.identity_auto_reset") == 0)
                return;
        directory_set_why(d, "the directory does not take us for the owner of this identity (%s); "
                          "iicpctl identity reset starts a new one, without its reputation",
                          d->last_code);
        log_err("register_blocked", "%s; next try in %u s", d->why, OPERATOR_MS / 1000);
        directory_hold(d, OPERATOR_MS);
}

uint64_t ladder_step(struct directory *d, const struct iicp_directory_error *e) {
        d->old_route = false;
        d->ladder.for_route = strcmp(e->code, "IICP-E050") == 0;
        snprintf(d->ladder.endpoint, sizeof d->ladder.endpoint, "%s", d->reg->endpoint);
        d->ladder.pending = true;
        return REGISTER_SPACING_MS;
}

void ladder_climb(struct directory *d) {
        if (!d->ladder.pending)
                return;
        d->ladder.pending = false;
        if (!d->ladder.reread) {
                d->ladder.reread = d->ladder.busy = true;
                if (reread(d))
                        return;
                d->ladder.busy = false;
        }
        next_step(d);
}

void ladder_cancel(struct directory *d) {
        if (d->ladder.route)
                fetch_cancel(d->ladder.route);
        d->ladder.route = NULL;
}

static void reset_saved(struct directory *d) {
        d->held = false;
        directory_advance(d);
}

int identity_reset(struct directory *d, const char *by) {
        struct identity *id = state_identity(d->node->state);
        char fresh[37];

        if (d->node->config->node_id)
                return -EPERM; /* a configured name stays */
        if (d->reg || d->leaving || d->leave_wanted || d->ladder.busy)
                return -EBUSY;
        if (iicp_uuid4(fresh) < 0 ||
            state_rekey(d->node->state, clock_wall_s(d->node->clock)) < 0)
                return -EIO;
        heartbeat_suspend(d);
        credentials_forget(d);
        memcpy(id->node_id, fresh, sizeof fresh);
        iicp_wipe(id->gossip_seed, sizeof id->gossip_seed);
        log_set_node_id(id->node_id);
        ladder_over(d);
        d->omit = 0;
        d->registered = d->blocked = d->left = false;
        d->held = true; /* until it is on the disk */
        timer_clear(&d->timer);
        log_notice("identity_reset", "new identity %.8s by %s: reputation starts again", id->node_id, by);
        directory_want(d, "a new identity");
        directory_save(d, reset_saved);
        return 0;
}
