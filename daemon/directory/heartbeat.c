/* SPDX-License-Identifier: Apache-2.0 */
#include "batch_store.h"
#include "internal.h"
#include "reach/routes.h"
#include "log.h"
#include "vouch.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

/* The heartbeat: one in flight, at the pace the directory asks for. [01 section 3] */

#define FIRST_MIN_MS 1000.0
#define FIRST_MAX_MS 5000.0
#define REPEAT_MS 100.0
#define FORBIDDEN_MAX 3u
#define PREPARE_MS 2000u /* for counts to get to the disk */

static void send_now(void *arg);

/* "Without route" is part of it: a node that lost its endpoint must not be picked. [01 section 3.7]
 */
bool heartbeat_available(const struct directory *d) {
        struct backend_stability s;

        backends_stability(d->node->backends, &s);
        return !d->stopping && d->node->phase != NODE_STOPPING && s.state != STATE_DRAINING &&
               corridor_available(d->node->corridor) && node_endpoint(d->node, NULL) != NULL &&
               routes_serves(d->node->routes);
}

static void schedule(struct directory *d, uint64_t delay_ms) {
        timer_set_ms(&d->beat.timer, delay_ms);
}

static uint64_t usual_delay(struct directory *d) {
        return (uint64_t) ((double) d->beat.interval_ms * d->uniform(0.9, 1.0));
}

static void forget_body(struct directory *d) {
        iicp_buf_wipe(&d->beat.body);
        d->beat.body = (struct iicp_buf){0};
}

/* ---- answers ---- */

/* It is on the disk soon, so that a restart answers it too. */
static void take_challenge(struct directory *d, const struct iicp_json *answer) {
        struct identity *id = state_identity(d->node->state);
        struct iicp_json v = iicp_json_get(answer, "challenge");
        char before[sizeof id->challenge], text[sizeof id->challenge] = "";

        memcpy(before, id->challenge, sizeof before);
        if (d->beat.content.challenge)
                id->challenge[0] = '\0';
        if (iicp_json_copy(&v, text, sizeof text) == 0 && text[0])
                memcpy(id->challenge, text, sizeof text);
        if (strcmp(before, id->challenge) != 0)
                directory_save(d, NULL);
}

/* Without an id it is a directory that cannot tell batches apart: delivered once. An answer that
 * cannot be read says no more than that. [01 sections 3.3, 3.5] */
static void take_batch(struct directory *d, const struct iicp_json *answer) {
        struct iicp_json v = iicp_json_get(answer, "metrics_batch_accepted");
        char id[129];
        bool given = v.type == IICP_JSON_STRING;

        if (given && iicp_json_copy(&v, id, sizeof id) < 0)
                id[0] = '\0'; /* too long to be ours */
        if (batch_acknowledge(&d->batch, d->beat.content.batch_id, given ? id : NULL)) {
                batch_save(d, NULL);
        } else if (given && d->batch.id[0] && !d->batch.kept_on_other_id) {
                d->batch.kept_on_other_id = true;
                log_info("batch_kept", "the directory acknowledged other counts than we sent: ours are repeated");
        }
}

/* A score without a model is of the old kind and gets no name. */
static void take_reputation(struct directory *d, const struct iicp_json *answer) {
        struct iicp_json score = iicp_json_get(answer, "reputation_score");
        struct iicp_json model = iicp_json_get(answer, "reputation_model");
        struct iicp_json epoch = iicp_json_get(answer, "reputation_epoch");
        double v;

        if (iicp_json_double(&score, &v) == 0 && v >= 0 && v <= 1)
                d->reputation = v;
        if (iicp_json_copy(&model, d->reputation_model, sizeof d->reputation_model) < 0)
                d->reputation_model[0] = '\0';
        if (iicp_json_copy(&epoch, d->reputation_epoch, sizeof d->reputation_epoch) < 0)
                d->reputation_epoch[0] = '\0';
}

static void take_interval(struct directory *d, const struct iicp_json *answer) {
        struct iicp_json v = iicp_json_get(answer, "next_heartbeat_ms");
        int64_t ms;
        int r = iicp_json_int(&v, &ms);

        d->beat.interval_ms = BEAT_INTERVAL_MS;
        if (r == 0)
                d->beat.interval_ms = (uint64_t) MIN(MAX(ms, (int64_t) BEAT_INTERVAL_MIN_MS),
                                                     (int64_t) BEAT_INTERVAL_MAX_MS);
}

/* What the answer to a delivered beat settles, at the stop too. */
static bool settle(struct directory *d, const struct fetch_answer *a) {
        struct iicp_json answer = {0};
        bool readable = directory_answer_ok(a, 200, &answer);

        take_batch(d, &answer);
        if (d->beat.content.price)
                vouch_price_delivered(d->node->vouch);
        if (readable)
                take_challenge(d, &answer);
        if (readable)
                take_reputation(d, &answer);
        return readable;
}

static void good(struct directory *d, const struct fetch_answer *a) {
        struct iicp_json answer;

        d->beat.failures = d->beat.forbidden = 0;
        d->beat.good_total++;
        /* An unreadable body is a delivered beat all the same; the old challenge stays. */
        if (settle(d, a) && directory_answer_ok(a, 200, &answer))
                take_interval(d, &answer);
        else
                metrics_heartbeat_failure(d->node->metrics, "parse");
        log_debug("heartbeat_ok", "the directory has our heartbeat");
        directory_good(d);
        recovery_beat(d);
        if (!d->looked_at_start) {
                d->looked_at_start = true;
                look_at_start(d->look);
        }
        backends_observe(d->node->backends);
        schedule(d, usual_delay(d));
        heartbeat_poke(d);
        directory_poke(d);
}

/* 429: as told, but the node must not fall silent for longer than 60 s after its last good beat. */
static void limited(struct directory *d, const struct iicp_directory_error *e) {
        uint64_t now = directory_now(d),
                 delay = e->retry_after_ms >= 0 ? (uint64_t) e->retry_after_ms : BEAT_INTERVAL_MS;
        uint64_t latest = d->beat.good_ms + 60000;

        delay = MIN(delay, latest > now ? latest - now : (uint64_t) BEAT_INTERVAL_MIN_MS);
        schedule(d, MAX(delay, (uint64_t) 1000));
}

static void say_fields(const struct iicp_directory_error *e) {
        char code[IICP_DIR_CODE_MAX * 2];
        struct log_fields fields = {.code = e->code};

        log_event(LOG_L_WARN, "heartbeat_fail", &fields,
                  "the directory takes our heartbeat for wrong (%s%s%s): sending the shortest form "
                  "for 10 minutes",
                  log_text(iicp_str(e->code), code, sizeof code), e->fields[0] ? ": " : "",
                  e->fields);
}

static void failed(struct directory *d, const struct fetch_answer *a) {
        struct iicp_directory_error e;

        directory_answer_error(IICP_DIR_CALL_HEARTBEAT, a, &e);
        metrics_heartbeat_failure(d->node->metrics, directory_failure_reason(a));
        silence_note(d, a);
        d->beat.failed_total++;
        d->beat.failures++;
        schedule(d, usual_delay(d));
        if (e.cls == IICP_DIR_MEMBERSHIP_DENIED) {
                d->registered = false;
                d->blocked = true;
                heartbeat_suspend(d);
                directory_set_why(d, "the directory does not take us for a member of its domain");
                log_err("register_blocked", "%s; not tried again", d->why);
        } else if (d->reg) {
                /* It may have met the new token; what the REGISTER brings counts. */
        } else if (a->error == FETCH_OK &&
                   (a->status == 401 || a->status == 404 || a->status == 410)) {
                directory_rejected(d, "the directory did not know us any more");
        } else if (a->error == FETCH_OK && a->status == 403 &&
                   ++d->beat.forbidden >= FORBIDDEN_MAX) {
                d->beat.forbidden = 0;
                directory_rejected(d, "the directory refused three heartbeats");
        } else if (a->error == FETCH_OK && a->status == 422 && d->beat.content.price &&
                   strcmp(e.code, "IICP-E010") == 0) {
                vouch_price_refused(d->node->vouch);
                schedule(d, BEAT_INTERVAL_MIN_MS);
        } else if (a->error == FETCH_OK && a->status == 422) {
                d->beat.minimal_until_ms = directory_now(d) + MINIMAL_BODY_MS;
                say_fields(&e);
        } else if (e.cls == IICP_DIR_RATE_LIMITED) {
                limited(d, &e);
        }
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;

        d->beat.call = NULL;
        d->beat.progress_ms = directory_now(d);
        if (d->stopping) {
                if (a->error == FETCH_OK && a->status == 200)
                        settle(d, a);
                forget_body(d);
                directory_advance(d);
                return;
        }
        if (a->error == FETCH_TIMEOUT && !d->beat.repeated && !directory_breaker_open(d)) {
                d->beat.repeated = true;
                timer_set_ms(&d->beat.repeat, (uint64_t) (REPEAT_MS * d->uniform(0.8, 1.2)));
                return;
        }
        forget_body(d);
        if (a->error == FETCH_OK)
                d->beat.owed = false;
        if (a->error == FETCH_OK && a->status == 200)
                good(d, a);
        else
                failed(d, a);
        directory_advance(d);
}

/* ---- sending ---- */

/* timeout_ms 0: the usual. */
static bool transmit(struct directory *d, uint64_t timeout_ms) {
        d->beat.sent_ms = d->beat.progress_ms = directory_now(d);
        d->beat.sent_boot_ms = clock_boot_ms(d->node->clock);
        d->beat.ever_sent = true;
        d->beat.call = directory_call(d,
                                      &(struct directory_request){.route = DIRECTORY_HEARTBEAT,
                                                                  .body = iicp_buf_str(&d->beat.body),
                                                                  .timeout_ms = timeout_ms},
                                      on_answer, d);
        return d->beat.call != NULL;
}

static bool compose_and_send(struct directory *d) {
        bool available = heartbeat_available(d);

        recovery_reconsider(d);
        forget_body(d);
        if (body_heartbeat(d, available, &d->beat.body, &d->beat.content) < 0)
                return false;
        d->beat.available = available;
        return transmit(d, d->beat.timeout_ms);
}

static void prepared(struct directory *d) {
        if (!d->beat.preparing)
                return;
        d->beat.preparing = false;
        if (compose_and_send(d))
                return;
        if (d->stopping)
                directory_advance(d);
        else
                schedule(d, BEAT_INTERVAL_MIN_MS);
}

/* New counts go to the disk first; a disk that takes too long does not keep the beat. */
static bool send_beat(struct directory *d, uint64_t timeout_ms) {
        timer_clear(&d->beat.repeat);
        d->beat.repeated = false;
        d->beat.timeout_ms = timeout_ms;
        d->beat.progress_ms = directory_now(d);
        d->beat.preparing = true;
        if (batch_save(d, prepared)) {
                schedule(d, PREPARE_MS);
                return true;
        }
        d->beat.preparing = false;
        return compose_and_send(d);
}

bool heartbeat_busy(const struct directory *d) {
        return d->beat.preparing || d->beat.call;
}

static void send_now(void *arg) {
        struct directory *d = arg;

        if (d->beat.preparing && !d->stopping) {
                prepared(d);
                return;
        }
        if (!d->registered || d->stopping || heartbeat_busy(d) || timer_armed(&d->beat.repeat))
                return;
        /* A registration changes the token under a heartbeat: it goes first. */
        if (d->reg) {
                schedule(d, 1000);
                return;
        }
        if (!send_beat(d, 0))
                schedule(d, BEAT_INTERVAL_MIN_MS);
}

static void repeat_now(void *arg) {
        struct directory *d = arg;

        if (d->registered && !d->stopping && !transmit(d, 0))
                schedule(d, BEAT_INTERVAL_MIN_MS);
}

void heartbeat_init(struct directory *d) {
        timer_init(&d->beat.timer, d->node->loop, send_now, d);
        timer_init(&d->beat.repeat, d->node->loop, repeat_now, d);
        d->beat.interval_ms = BEAT_INTERVAL_MS;
}

void heartbeat_suspend(struct directory *d) {
        timer_clear(&d->beat.timer);
        timer_clear(&d->beat.repeat);
        d->beat.call = directory_call_cancel(d->beat.call);
        d->beat.preparing = false;
        forget_body(d);
}

void heartbeat_begin(struct directory *d) {
        heartbeat_suspend(d);
        d->beat.failures = d->beat.forbidden = 0;
        d->beat.minimal_until_ms = 0;
        schedule(d, (uint64_t) d->uniform(FIRST_MIN_MS, FIRST_MAX_MS));
}

bool heartbeat_gap(const struct directory *d) {
        return d->registered && clock_boot_ms(d->node->clock) - d->beat.good_boot_ms > SILENCE_MS;
}

/* Anything else would be said by the regular beat. */
void directory_hurry(struct directory *d) {
        uint64_t since = clock_boot_ms(d->node->clock) - d->beat.sent_boot_ms;

        if (!d->registered || d->stopping || d->left || heartbeat_busy(d) || timer_armed(&d->beat.repeat))
                return;
        d->beat.owed |= heartbeat_gap(d);
        if (d->beat.owed || d->beat.failures > 0)
                schedule(d, since >= BEAT_SPACING_MS ? 0 : BEAT_SPACING_MS - since);
}

/* A window of availability opens and closes without anybody's call. A gap in which we sent is the
 * directory's: the cadence goes on through it. */
void directory_tick(struct directory *d) {
        if (!d->started || d->stopping)
                return;
        if (heartbeat_gap(d) && !d->beat.owed &&
            clock_boot_ms(d->node->clock) - d->beat.sent_boot_ms > SILENCE_MS)
                directory_hurry(d);
        heartbeat_poke(d);
}

void heartbeat_poke(struct directory *d) {
        uint64_t now = directory_now(d), since = now - d->beat.sent_ms;

        if (!d->registered || d->stopping || heartbeat_busy(d) || timer_armed(&d->beat.repeat) ||
            !d->beat.ever_sent || heartbeat_available(d) == d->beat.available)
                return;
        schedule(d, since >= BEAT_SPACING_MS ? 0 : BEAT_SPACING_MS - since);
}

bool heartbeat_last(struct directory *d) {
        heartbeat_suspend(d);
        return d->registered && send_beat(d, STOP_TIMEOUT_MS);
}
