/* SPDX-License-Identifier: Apache-2.0 */
#include "award_internal.h"

#include "log.h"
#include "util.h"
#include "vouch.h"

#include <errno.h>
#include <iicp/operator.h>
#include <math.h>
#include <stdio.h>

struct award_claim {
        struct awards *a;
        struct award *award;
        struct iicp_buf result;         /* wiped as soon as it is hashed */
        int hashed;
};

static int64_t now_s(const struct awards *a) {
        return clock_wall_s(a->node->clock);
}

static void post_next(struct awards *a);

/* ---- the queue ---- */

static void drop_first(struct awards *a, uint64_t *counter) {
        struct award *w = STAILQ_FIRST(&a->queue);

        STAILQ_REMOVE_HEAD(&a->queue, link);
        a->waiting--;
        (*counter)++;
        free(w);
        award_changed(a);
}

static void empty(struct awards *a) {
        while (!STAILQ_EMPTY(&a->queue))
                drop_first(a, &a->dropped);
}

static void hold(struct awards *a, uint64_t ms) {
        a->held = true;
        timer_set_ms(&a->next, ms);
}

static void hold_over(void *arg) {
        struct awards *a = arg;

        a->held = false;
        post_next(a);
}

/* ---- answers ---- */

static void take_balance(struct awards *a, const struct fetch_answer *answer) {
        struct iicp_json object, v;

        if (iicp_json_scan(answer->body, NULL, NULL, &object) < 0 || object.type != IICP_JSON_OBJECT)
                return;
        v = iicp_json_get(&object, "balance");
        if (v.type == IICP_JSON_NUMBER && v.text.n < sizeof a->balance) {
                memcpy(a->balance, v.text.p, v.text.n);
                a->balance[v.text.n] = '\0';
        }
}

/* "already used": the directory has our earlier try. */
static bool is_replay(const struct fetch_answer *a, const struct iicp_directory_error *e) {
        return a->status == 409 || strcmp(e->code, "nonce_replay") == 0 ||
               memmem(a->body.p ? a->body.p : "", a->body.n, "replay", 6);
}

static void refused(struct awards *a, struct award *w, const struct fetch_answer *answer,
                    const struct iicp_directory_error *e) {
        char code[IICP_DIR_CODE_MAX * 2];

        if (is_replay(answer, e)) {
                drop_first(a, w->tries > 1 ? &a->posted : &a->refused);
                return;
        }
        /* Perhaps it only does not know who asked: once more without that, as another receipt. */
        if (strcmp(e->code, "IICP-E027") == 0 && w->querying[0] && iicp_receipt_nonce(w->nonce) == 0) {
                w->querying[0] = '\0';
                w->tries = 0;
                w->expires_at = 0;
                award_changed(a);
                return;
        }
        log_info("award_refused", "the directory did not take a receipt (%s): dropped",
                 log_text(iicp_str(e->code), code, sizeof code));
        drop_first(a, &a->refused);
}

static void no_credits(struct awards *a) {
        a->stopped = true;
        log_info("awards_stopped", "this directory has no credits: no receipts until the next registration");
        empty(a);
}

/* Whether it arrived is not known: the same nonce again, within its time. */
static void not_answered(struct awards *a, struct award *w) {
        if (w->tries >= AWARD_TRIES_MAX || now_s(a) + (int64_t) (AWARD_AGAIN_MS / 1000) >= w->expires_at) {
                drop_first(a, &a->dropped);
                hold(a, AWARD_HOLD_MS);
                return;
        }
        award_changed(a);
        hold(a, AWARD_AGAIN_MS);
}

static void answered(void *arg, const struct fetch_answer *answer) {
        struct awards *a = arg;
        struct award *w = STAILQ_FIRST(&a->queue);
        struct iicp_directory_error e;

        a->call = NULL;
        iicp_buf_wipe(&a->body);
        directory_answer_error(IICP_DIR_CALL_OTHER, answer, &e);
        if (answer->error == FETCH_UNREACHABLE || answer->error == FETCH_NAME || answer->error == FETCH_TLS) {
                if (--w->tries == 0) /* nothing was sent */
                        w->expires_at = 0;
                hold(a, AWARD_HOLD_MS);
        } else if (answer->error == FETCH_OK && (answer->status == 200 || answer->status == 201)) {
                take_balance(a, answer);
                drop_first(a, &a->posted);
        } else if (answer->error != FETCH_OK || (answer->status >= 500 && answer->status != 501)) {
                not_answered(a, w);
        } else if (answer->status == 404 || answer->status == 405 || answer->status == 501) {
                no_credits(a);
        } else if (answer->status == 401) {
                w->tries--;
                a->held = true; /* until awards_registered: a heartbeat will meet the same */
                timer_clear(&a->next);
        } else if (answer->status == 429) {
                w->tries--;
                hold(a, e.retry_after_ms > 0 ? (uint64_t) e.retry_after_ms : AWARD_HOLD_MS);
        } else
                refused(a, w, answer, &e);
        post_next(a);
}

/* ---- posting ---- */

static bool may_post(const struct awards *a) {
        const struct identity *id = state_identity(a->node->state);

        return a->node->directory && a->node->directory->registered && !a->node->directory->left &&
               a->node->config->credits_award && id->node_token[0] && id->node_hmac_key[0];
}

static bool post(struct awards *a, struct award *w) {
        const struct identity *id = state_identity(a->node->state);
        struct iicp_receipt r = {.task_id = w->task_id, .querying_node_id = w->querying, .tokens = w->tokens};

        memcpy(r.nonce, w->nonce, sizeof r.nonce);
        memcpy(r.response_hash, w->hash, sizeof r.response_hash);
        if (w->expires_at == 0)
                w->expires_at = now_s(a) + AWARD_EXPIRES_S;
        iicp_buf_wipe(&a->body);
        a->body = (struct iicp_buf){0};
        if (iicp_award_body(&r, id->node_id, w->parts, w->expires_at, iicp_str(id->node_hmac_key), &a->body) < 0)
                return false;
        a->call = directory_call(a->node->directory,
                                 &(struct directory_request){.route = DIRECTORY_AWARD, .body = iicp_buf_str(&a->body)},
                                 answered, a);
        if (a->call)
                w->tries++;
        return a->call != NULL;
}

static bool too_late(const struct awards *a, const struct award *w) {
        return now_s(a) - w->made_at > AWARD_AGE_MAX_S || (w->expires_at && now_s(a) >= w->expires_at);
}

static void post_next(struct awards *a) {
        struct award *w;

        if (a->call || a->held || a->stopped || !may_post(a))
                return;
        while ((w = STAILQ_FIRST(&a->queue)) && too_late(a, w))
                drop_first(a, &a->dropped);
        if (w && !post(a, w))
                hold(a, AWARD_HOLD_MS);
}

/* ---- a task ---- */

/* In ten-thousandths; 0: the caller allows nothing. [02 section 4.1, billing.max_credits] */
static uint64_t allowed_parts(const struct award_task *t, uint64_t parts) {
        double most = floor(t->max_credits * IICP_CREDIT + 1e-6);

        return t->max_credits < 0 || most >= (double) parts ? parts : (uint64_t) most;
}

static bool wanted(const struct awards *a, const struct award_task *t) {
        const struct identity *id;

        if (!a || a->stopped || t->sub_task || t->tokens <= 0 || !a->node->config->credits_award)
                return false;
        id = state_identity(a->node->state);
        return id->node_token[0] && id->node_hmac_key[0];
}

static bool has_room(struct awards *a) {
        if (a->waiting + a->hashing < AWARDS_MAX) {
                a->said_full = false;
                return true;
        }
        a->dropped++;
        if (!a->said_full)
                log_warn("awards_full", "%d receipts wait for the directory: more are dropped until it takes some", AWARDS_MAX);
        a->said_full = true;
        return false;
}

struct award_claim *award_claim_free(struct award_claim *c) {
        if (!c)
                return NULL;
        iicp_buf_wipe(&c->result);
        free(c->award);
        free(c);
        return NULL;
}

struct award_claim *award_claim(struct awards *a, const struct award_task *t) {
        struct award_claim *c;
        struct award *w;
        uint64_t parts;

        if (!wanted(a, t) || t->task_id.n > IICP_TASK_ID_ECHO_MAX || !has_room(a))
                return NULL;
        parts = allowed_parts(t, iicp_award_parts((uint64_t) t->tokens, vouch_multiplier(a->node->vouch)));
        c = parts > 0 ? calloc(1, sizeof *c) : NULL;
        if (!c)
                return NULL;
        c->a = a;
        c->award = w = calloc(1, sizeof *w);
        c->result = (struct iicp_buf){.max = IICP_BODY_MAX + 1, .secret = true};
        iicp_buf_add_str(&c->result, t->result);
        if (!w || c->result.error || iicp_receipt_nonce(w->nonce) < 0)
                return award_claim_free(c);
        memcpy(w->task_id, t->task_id.p, t->task_id.n);
        if (iicp_node_id_valid(t->source_node_id))
                memcpy(w->querying, t->source_node_id.p, t->source_node_id.n);
        w->tokens = (uint64_t) t->tokens;
        w->parts = parts;
        w->made_at = now_s(a);
        return c;
}

static void hash(void *arg) {
        struct award_claim *c = arg;
        struct iicp_json result;

        c->hashed = iicp_json_scan(iicp_buf_str(&c->result), NULL, NULL, &result);
        if (c->hashed == 0)
                c->hashed = iicp_response_hash(&result, c->award->hash);
        iicp_buf_wipe(&c->result);
        c->result = (struct iicp_buf){0};
}

static void hashed(void *arg) {
        struct award_claim *c = arg;
        struct awards *a = c->a;

        a->hashing--;
        if (c->hashed < 0)
                a->dropped++;
        else {
                STAILQ_INSERT_TAIL(&a->queue, c->award, link);
                c->award = NULL;
                a->waiting++;
                award_changed(a);
        }
        award_claim_free(c);
        post_next(a);
}

void award_earned(struct award_claim *c) {
        if (!c)
                return;
        c->a->hashing++;
        if (loop_block(c->a->node->loop, hash, hashed, c) == 0)
                return;
        c->a->hashing--;
        c->a->dropped++;
        award_claim_free(c);
}

/* ---- life ---- */

static void gauges(void *arg, struct iicp_buf *out) {
        const struct awards *a = arg;

        iicp_buf_printf(out,
                        "# HELP iicp_awards_total Receipts for tasks by what became of them.\n"
                        "# TYPE iicp_awards_total counter\n"
                        "iicp_awards_total{outcome=\"posted\"} %llu\niicp_awards_total{outcome=\"refused\"} %llu\n"
                        "iicp_awards_total{outcome=\"dropped\"} %llu\n"
                        "# HELP iicp_awards_waiting Receipts that the directory has not taken yet.\n"
                        "# TYPE iicp_awards_waiting gauge\niicp_awards_waiting %u\n",
                        (unsigned long long) a->posted, (unsigned long long) a->refused,
                        (unsigned long long) a->dropped, a->waiting + a->hashing);
}

struct awards *awards_new(struct node *node) {
        struct awards *a = calloc(1, sizeof *a);

        if (!a)
                return NULL;
        a->node = node;
        STAILQ_INIT(&a->queue);
        timer_init(&a->next, node->loop, hold_over, a);
        if (metrics_add_gauges(node->metrics, gauges, a) < 0)
                return awards_free(a);
        return a;
}

struct awards *awards_free(struct awards *a) {
        struct award *w;

        if (!a)
                return NULL;
        a->call = directory_call_cancel(a->call);
        iicp_buf_wipe(&a->body);
        award_save_now(a);
        timer_clear(&a->next);
        if (a->save.made)
                timer_clear(&a->save);
        while ((w = STAILQ_FIRST(&a->queue))) {
                STAILQ_REMOVE_HEAD(&a->queue, link);
                free(w);
        }
        free(a);
        return NULL;
}

void awards_start(struct awards *a) {
        award_load(a);
}

void awards_registered(struct awards *a) {
        if (!a)
                return;
        a->stopped = a->held = false;
        timer_clear(&a->next);
        post_next(a);
}

void awards_forget(struct awards *a) {
        if (!a)
                return;
        a->call = directory_call_cancel(a->call);
        empty(a);
        a->balance[0] = '\0';
}

void awards_json(const struct awards *a, struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"enabled\":%s,\"waiting\":%u,\"posted\":%llu,\"refused\":%llu,\"dropped\":%llu,\"stopped\":%s",
                        a->node->config->credits_award ? "true" : "false", a->waiting + a->hashing,
                        (unsigned long long) a->posted, (unsigned long long) a->refused,
                        (unsigned long long) a->dropped, a->stopped ? "true" : "false");
        if (a->balance[0])
                iicp_buf_printf(out, ",\"balance\":%s", a->balance);
        iicp_buf_puts(out, "}");
}
