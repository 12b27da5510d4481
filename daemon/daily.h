/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DAILY_H
#define IICPD_DAILY_H

/* One line a day: what the node has done. [operator design 9.2] */

#include <stdbool.h>
#include <stdint.h>

#define DAILY_MINUTES 1440u

struct node;

struct daily {
        unsigned minutes, ready; /* of this day */
        uint64_t success, failed, refused; /* at its beginning */
};

struct daily_figures {
        uint64_t success, failed, refused;
        bool ready;             /* tasks are served: ready or degraded */
};

/* Once a minute. True when the day is full: then text has the line, and the next day begins. */
bool daily_minute(struct daily *d, const struct daily_figures *now, char *text, unsigned long cap);
/* The figures of this moment. */
void daily_figures_of(struct node *n, struct daily_figures *ret);

#endif
