/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include "control/control.h"
#include "health.h"
#include "log.h"
#include "node.h"
#include "systemd.h"
#include "util.h"

#include <stdio.h>

#define TICK_MS 500     /* without a watchdog [02 section 13.2] */
#define TICK_MIN_MS 100
#define STALL_MS 2000   /* a turn that took longer is told to the operator */

struct notify {
        struct node *node;
        struct timer tick;
        uint64_t tick_ms;
        uint64_t ticks;
        uint64_t last_ms;      /* when the tick ran last */
        uint64_t away_ms;      /* how long it had been away then */
        bool watchdog, ready, stopping;
        bool in_tick;
        char status[256];
};

static void say(const struct notify *n, const char *what) {
        if (n->node->config->systemd_notify)
                systemd_notify(what);
}

uint64_t notify_loop_age_ms(const struct notify *n) {
        if (!n)
                return 0;
        return n->in_tick ? n->away_ms : clock_mono_ms(n->node->clock) - n->last_ms;
}

uint64_t notify_ticks(const struct notify *n) {
        return n ? n->ticks : 0;
}

static void say_status(struct notify *n, const struct health *h) {
        char status[sizeof(n->status)], sentence[160];

        status_sentence(n->node, sentence, sizeof(sentence));
        snprintf(status, sizeof(status), "STATUS=liveness=%s; readiness=%s | %s",
                 health_liveness_name(h->liveness), health_readiness_name(h->readiness), sentence);
        if (strcmp(status, n->status) == 0)
                return;
        memcpy(n->status, status, sizeof(status));
        say(n, status);
}

/* Runs on the main loop, so that a stalled loop stops the pulse and nothing else does. */
static void tick(void *arg) {
        struct notify *n = arg;
        uint64_t now_ms = clock_mono_ms(n->node->clock);
        struct health h;

        n->ticks++;
        n->away_ms = now_ms - n->last_ms;
        n->last_ms = now_ms;
        if (n->away_ms > n->tick_ms + STALL_MS)
                log_warn("loop_stalled", "the main loop was busy for %.1f s (limit 30 s)",
                         (double) (n->away_ms - n->tick_ms) / 1000);
        n->in_tick = true;
        health_of(n->node, &h);
        n->in_tick = false;
        if (!n->ready && n->node->phase == NODE_RUNNING && h.liveness == HEALTH_LIVE) {
                n->ready = true;
                say(n, "READY=1");
        }
        if (n->ready && !n->stopping)
                say_status(n, &h);
        if (n->watchdog && h.liveness == HEALTH_LIVE && n->node->phase == NODE_RUNNING)
                say(n, "WATCHDOG=1");
        timer_set_ms(&n->tick, n->tick_ms);
}

struct notify *notify_new(struct node *node) {
        struct notify *n = calloc(1, sizeof(*n));
        uint64_t us = node->config->systemd_notify ? systemd_watchdog_us() : 0;

        if (!n)
                return NULL;
        n->node = node;
        n->watchdog = us > 0;
        n->tick_ms = us > 0 ? MAX(us / 2000, (uint64_t) TICK_MIN_MS) : TICK_MS;
        n->last_ms = clock_mono_ms(node->clock);
        timer_init(&n->tick, node->loop, tick, n);
        timer_set_ms(&n->tick, 0);
        return n;
}

struct notify *notify_free(struct notify *n) {
        if (!n)
                return NULL;
        timer_clear(&n->tick);
        free(n);
        return NULL;
}

void notify_reloading(struct notify *n) {
        char text[64];

        snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
                 (unsigned long long) clock_mono_us(&clock_system));
        say(n, text);
}

void notify_reloaded(struct notify *n) {
        n->status[0] = '\0';
        say(n, "READY=1");
}

void notify_stopping(struct notify *n) {
        n->stopping = true;
        say(n, "STOPPING=1\nSTATUS=Stopping");
}
