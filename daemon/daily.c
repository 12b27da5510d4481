/* SPDX-License-Identifier: Apache-2.0 */
#include "daily.h"

#include "control/control.h"
#include "metrics.h"
#include "node.h"

#include <stdio.h>
#include <string.h>

static unsigned long long since(uint64_t now, uint64_t before) {
        return now >= before ? now - before : now;
}

bool daily_minute(struct daily *d, const struct daily_figures *now, char *text, unsigned long cap) {
        unsigned long long good, bad;
        unsigned permille;

        d->minutes++;
        d->ready += now->ready;
        if (d->minutes < DAILY_MINUTES)
                return false;
        good = since(now->success, d->success);
        bad = since(now->failed, d->failed);
        permille = (d->ready * 1000u + d->minutes / 2) / d->minutes;
        snprintf(text, cap, "24 h: %llu tasks (%llu success, %llu failed), %llu refused, ready %u.%u %%", good + bad, good, bad,
                 since(now->refused, d->refused), permille / 10, permille % 10);
        *d = (struct daily){.success = now->success, .failed = now->failed, .refused = now->refused};
        return true;
}

void daily_figures_of(struct node *n, struct daily_figures *ret) {
        const char *word = status_word(n);

        *ret = (struct daily_figures){
                .success = metrics_tasks_total(n->metrics, OUTCOME_SUCCESS),
                .failed = metrics_tasks_total(n->metrics, OUTCOME_ERROR) + metrics_tasks_total(n->metrics, OUTCOME_TIMEOUT),
                .refused = metrics_refused_total(n->metrics),
                .ready = strcmp(word, "ready") == 0 || strcmp(word, "degraded") == 0,
        };
}
