/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_FINDINGS_H
#define IICPD_FINDINGS_H

/* What needs attention, as a list that is made anew from measured facts each time somebody asks, and
 * every five seconds so that `since` is true. Status word, first line, JSON, metrics and sd_notify
 * read this list and nothing beside it. [operator design 3.2] */

#include "findings/catalogue.h"

#include <iicp/buf.h>
#include <stdbool.h>
#include <stdint.h>

#define FINDINGS_MAX 48
#define FINDING_EVIDENCE_MAX 6

struct node;
struct findings;
struct config_problems;

struct finding {
        const struct finding_kind *kind;
        enum finding_severity severity;
        char subject[96];       /* "backend gpu"; "" = the node */
        char what[256];         /* behind the state on the first line */
        char why[320], todo[320];
        char until[256];        /* what goes on meanwhile, when it is looked at again; "" = nothing to say */
        struct {
                const char *name;
                char value[96];
        } evidence[FINDING_EVIDENCE_MAX];
        unsigned n_evidence;
        int64_t since_s;        /* epoch seconds */
        const char *because;    /* id of what it follows from, where the groups do not tell; NULL */
        const struct finding *cause; /* in the same list, NULL = none */
};

struct findings_list {
        struct finding v[FINDINGS_MAX];
        size_t n;
};

/* ---- the list: pure ---- */
/* NULL: full. Text members are empty, severity and todo those of the kind. */
struct finding *findings_add(struct findings_list *l, const char *id, const char *subject);
void finding_evidence(struct finding *f, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Finds for each one what it is caused by, and moves roots before what follows from them, the more
 * severe ones first. */
void findings_settle(struct findings_list *l);
/* The first one that is caused by nothing and at least so severe; NULL. */
const struct finding *findings_top(const struct findings_list *l, enum finding_severity least);
const struct finding *findings_with(const struct findings_list *l, const char *id);
void findings_list_json(const struct findings_list *l, struct iicp_buf *out);

/* ---- of a node ---- */
struct findings *findings_new(struct node *node);
struct findings *findings_free(struct findings *f);
/* Made anew; valid until the next call. */
const struct findings_list *findings_look(struct findings *f);
/* A reload was taken (text NULL) or rejected (its first problem). waiting: keys that wait for a restart,
 * with a comma between, or NULL. */
void findings_reloaded(struct findings *f, const char *rejected, const char *waiting);
/* Who drains, for the first line; NULL = nobody. */
void findings_draining(struct findings *f, const char *by);
void findings_json(struct findings *f, struct iicp_buf *out);
/* iicp_finding_active{id,severity} */
void findings_metrics(struct findings *f, struct iicp_buf *out);

/* gather.c: the facts of this moment. */
struct findings_memory {
        char rejected[256], waiting[256], drained_by[64];
        int64_t loaded_at;      /* of the configuration file as it runs, epoch seconds */
        int64_t drain_since;
};
void findings_gather(struct node *n, const struct findings_memory *m, struct findings_list *l);

#endif
