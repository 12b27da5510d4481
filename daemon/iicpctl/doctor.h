/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPCTL_DOCTOR_H
#define IICPCTL_DOCTOR_H

/* Checks of one node: each is ok, warn, fail or skip, with what was seen and what helps. */

#include "config.h"
#include "iicpctl.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL, VERDICT_SKIP };

#define CHECKS_MAX 64

struct doctor {
        const struct options *o;
        bool online;
        json_object *status;         /* NULL: the daemon does not answer */
        int status_code;             /* exit code of the question */
        struct config *config;       /* as the file says; NULL: it has errors, or cannot be read */
        const char *config_path;
        struct check {
                enum verdict verdict;
                char name[40], text[256], todo[256];
        } v[CHECKS_MAX];
        size_t n;
};

/* todo may be NULL. */
void doctor_say(struct doctor *d, enum verdict verdict, const char *name, const char *todo, const char *fmt, ...)
        __attribute__((format(printf, 5, 6)));

/* doctor_files.c: what can be seen without the daemon. */
void doctor_configuration(struct doctor *d);
void doctor_environment(struct doctor *d);
void doctor_state(struct doctor *d);
void doctor_space(struct doctor *d);
void doctor_secrets(struct doctor *d);
void doctor_clock(struct doctor *d);
void doctor_process(struct doctor *d);
/* doctor_node.c: what the daemon says. */
void doctor_node(struct doctor *d);
void doctor_online(struct doctor *d);

#endif
