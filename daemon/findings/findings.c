/* SPDX-License-Identifier: Apache-2.0 */
#include "findings/findings.h"

#include "node.h"
#include "util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

struct since {
        const struct finding_kind *kind;
        char subject[96];
        int64_t since_s;
};

struct findings {
        struct node *node;
        struct findings_memory memory;
        struct findings_list list;
        struct since since[FINDINGS_MAX];
        size_t n_since;
};

/* ---- the list ---- */

struct finding *findings_add(struct findings_list *l, const char *id, const char *subject) {
        const struct finding_kind *kind = finding_kind(id);
        struct finding *f;

        if (!kind || l->n == FINDINGS_MAX)
                return NULL;
        f = &l->v[l->n++];
        *f = (struct finding){.kind = kind, .severity = kind->severity};
        snprintf(f->subject, sizeof f->subject, "%s", subject ? subject : "");
        snprintf(f->what, sizeof f->what, "%s", kind->means);
        snprintf(f->todo, sizeof f->todo, "%s", kind->todo);
        return f;
}

void finding_evidence(struct finding *f, const char *name, const char *fmt, ...) {
        va_list ap;

        if (!f || f->n_evidence == FINDING_EVIDENCE_MAX)
                return;
        f->evidence[f->n_evidence].name = name;
        va_start(ap, fmt);
        vsnprintf(f->evidence[f->n_evidence].value, sizeof f->evidence[0].value, fmt, ap);
        va_end(ap);
        f->n_evidence++;
}

/* Each one must have a root: what f is the cause of cannot be its own. */
static bool leads_to(const struct finding *cause, const struct finding *f) {
        for (; cause; cause = cause->cause)
                if (cause == f)
                        return true;
        return false;
}

/* The nearest cause that is there. */
static const struct finding *cause_of(const struct findings_list *l, const struct finding *f) {
        for (enum finding_group g = finding_group_cause(f->kind->group); g != GROUP_ALONE; g = finding_group_cause(g))
                for (size_t i = 0; i < l->n; i++)
                        if (l->v[i].kind->group == g && l->v[i].severity >= SEVERITY_WARN && !leads_to(&l->v[i], f))
                                return &l->v[i];
        return NULL;
}

static int by_weight(const void *a, const void *b) {
        const struct finding *x = a, *y = b;

        if (x->severity != y->severity)
                return x->severity > y->severity ? -1 : 1;
        if (x->kind->group != y->kind->group)
                return x->kind->group < y->kind->group ? -1 : 1;
        return x->kind == y->kind ? strcmp(x->subject, y->subject) : x->kind < y->kind ? -1 : 1;
}

void findings_settle(struct findings_list *l) {
        qsort(l->v, l->n, sizeof l->v[0], by_weight);
        for (size_t i = 0; i < l->n; i++)
                l->v[i].cause = NULL;
        /* what is said goes before what the groups tell */
        for (size_t i = 0; i < l->n; i++) {
                const struct finding *cause = l->v[i].because ? findings_with(l, l->v[i].because) : NULL;

                if (!leads_to(cause, &l->v[i]))
                        l->v[i].cause = cause;
        }
        for (size_t i = 0; i < l->n; i++)
                if (!l->v[i].because)
                        l->v[i].cause = cause_of(l, &l->v[i]);
}

const struct finding *findings_with(const struct findings_list *l, const char *id) {
        for (size_t i = 0; i < l->n; i++)
                if (strcmp(l->v[i].kind->id, id) == 0)
                        return &l->v[i];
        return NULL;
}

const struct finding *findings_top(const struct findings_list *l, enum finding_severity least) {
        for (size_t i = 0; i < l->n; i++)
                if (!l->v[i].cause && l->v[i].severity >= least)
                        return &l->v[i];
        return NULL;
}

static void member(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        if (value && *value)
                iicp_buf_json_str(out, iicp_str(value));
        else
                iicp_buf_puts(out, "null");
}

static void one_json(const struct finding *f, struct iicp_buf *out) {
        char when[21];

        iicp_buf_printf(out, "{\"id\":\"%s\",\"severity\":\"%s\",\"subject\":", f->kind->id, finding_severity_name(f->severity));
        iicp_buf_json_str(out, iicp_str(*f->subject ? f->subject : "node"));
        clock_rfc3339(f->since_s, when);
        member(out, "since", when);
        member(out, "what", f->what);
        member(out, "why", f->why);
        member(out, "do", f->todo);
        member(out, "until", f->until);
        iicp_buf_puts(out, ",\"evidence\":{");
        for (unsigned i = 0; i < f->n_evidence; i++) {
                iicp_buf_printf(out, "%s\"%s\":", i ? "," : "", f->evidence[i].name);
                iicp_buf_json_str(out, iicp_str(f->evidence[i].value));
        }
        iicp_buf_puts(out, "}");
        member(out, "caused_by", f->cause ? f->cause->kind->id : NULL);
        iicp_buf_puts(out, ",\"see\":\"man:iicpd-findings(7)\"}");
}

void findings_list_json(const struct findings_list *l, struct iicp_buf *out) {
        iicp_buf_puts(out, "[");
        for (size_t i = 0; i < l->n; i++) {
                iicp_buf_puts(out, i ? "," : "");
                one_json(&l->v[i], out);
        }
        iicp_buf_puts(out, "]");
}

/* ---- of a node ---- */

struct findings *findings_new(struct node *node) {
        struct findings *f = calloc(1, sizeof *f);

        if (!f)
                return NULL;
        f->node = node;
        f->memory.loaded_at = clock_wall_s(node->clock);
        return f;
}

struct findings *findings_free(struct findings *f) {
        free(f);
        return NULL;
}

static int64_t since_before(const struct findings *f, const struct finding *of) {
        for (size_t i = 0; i < f->n_since; i++)
                if (f->since[i].kind == of->kind && strcmp(f->since[i].subject, of->subject) == 0)
                        return f->since[i].since_s;
        return 0;
}

/* A finding that stays keeps its beginning; facts that know better have set it themselves. */
static void date(struct findings *f) {
        int64_t now = clock_wall_s(f->node->clock);

        for (size_t i = 0; i < f->list.n; i++) {
                struct finding *of = &f->list.v[i];
                int64_t before = since_before(f, of);

                if (of->since_s == 0)
                        of->since_s = before ? before : now;
        }
        f->n_since = f->list.n;
        for (size_t i = 0; i < f->list.n; i++) {
                f->since[i] = (struct since){.kind = f->list.v[i].kind, .since_s = f->list.v[i].since_s};
                memcpy(f->since[i].subject, f->list.v[i].subject, sizeof f->since[i].subject);
        }
}

const struct findings_list *findings_look(struct findings *f) {
        f->list.n = 0;
        findings_gather(f->node, &f->memory, &f->list);
        date(f);
        findings_settle(&f->list);
        return &f->list;
}

void findings_reloaded(struct findings *f, const char *rejected, const char *waiting) {
        if (!f)
                return;
        snprintf(f->memory.rejected, sizeof f->memory.rejected, "%s", rejected ? rejected : "");
        if (rejected)
                return;
        snprintf(f->memory.waiting, sizeof f->memory.waiting, "%s", waiting ? waiting : "");
        f->memory.loaded_at = clock_wall_s(f->node->clock);
}

void findings_draining(struct findings *f, const char *by) {
        if (!f)
                return;
        snprintf(f->memory.drained_by, sizeof f->memory.drained_by, "%s", by ? by : "");
        f->memory.drain_since = by ? clock_wall_s(f->node->clock) : 0;
}

void findings_json(struct findings *f, struct iicp_buf *out) {
        findings_list_json(findings_look(f), out);
}

void findings_metrics(struct findings *f, struct iicp_buf *out) {
        const struct findings_list *l = findings_look(f);

        iicp_buf_puts(out, "# HELP iicp_finding_active What needs attention; see iicpd-findings(7).\n"
                           "# TYPE iicp_finding_active gauge\n");
        /* several subjects of one id are one series */
        for (size_t i = 0; i < l->n; i++) {
                bool seen = false;

                for (size_t k = 0; k < i && !seen; k++)
                        seen = l->v[k].kind == l->v[i].kind && l->v[k].severity == l->v[i].severity;
                if (!seen)
                        iicp_buf_printf(out, "iicp_finding_active{id=\"%s\",severity=\"%s\"} 1\n", l->v[i].kind->id,
                                        finding_severity_name(l->v[i].severity));
        }
}
