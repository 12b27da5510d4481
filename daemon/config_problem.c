/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"

#include "log.h"
#include "util.h"

#include <stdio.h>

#define EXCERPT_MAX 160 /* bytes of a line that are shown */

/* The line with a mark below it. Escaped text of the same width only: what is not printable ASCII
 * becomes '?', so that the mark stands where it should. */
static char *excerpt(const struct problem_place *p) {
        struct iicp_buf b = {0};
        size_t n = strlen(p->raw), skip = 0;

        if (n > EXCERPT_MAX)
                n = EXCERPT_MAX;
        if (p->hide) {
                const char *eq = memchr(p->raw, '=', n);

                skip = eq ? (size_t) (eq - p->raw) + 1 : 0;
                while (skip && skip < n && (p->raw[skip] == ' ' || p->raw[skip] == '\t'))
                        skip++;
        }
        iicp_buf_printf(&b, "%4u | ", p->line);
        for (size_t i = 0; i < (p->hide ? skip : n); i++) {
                char c = p->raw[i] == '\t' ? ' ' : p->raw[i] >= ' ' && p->raw[i] < 0x7f ? p->raw[i] : '?';
                iicp_buf_add(&b, &c, 1);
        }
        if (p->hide)
                iicp_buf_puts(&b, "********");
        iicp_buf_puts(&b, "\n     | ");
        for (unsigned i = 1; i < p->column && i < EXCERPT_MAX; i++)
                iicp_buf_puts(&b, " ");
        iicp_buf_puts(&b, "^");
        for (size_t i = 1; i < p->mark && p->column + i <= n && !p->hide; i++)
                iicp_buf_puts(&b, "~");
        if (p->hint && *p->hint)
                iicp_buf_printf(&b, " %s", p->hint);
        return iicp_buf_take(&b, NULL);
}

void problem_add(struct config_problems *p, enum config_severity severity,
                 const struct problem_place *place, const char *fmt, ...) {
        char raw[768], text[1024];
        struct config_problem *v, *n;
        va_list ap;

        if (severity == CONFIG_ERROR)
                p->n_errors++;
        else
                p->n_warnings++;
        if (p->n >= CONFIG_PROBLEMS_MAX)
                return;
        v = realloc(p->v, (p->n + 1) * sizeof *v);
        if (!v)
                return;
        p->v = v;
        n = &p->v[p->n++];
        va_start(ap, fmt);
        vsnprintf(raw, sizeof raw, fmt, ap);
        va_end(ap);
        log_text_cut(iicp_str(raw), text, sizeof text, sizeof text - 1);
        *n = (struct config_problem){
                .severity = severity, .where = strdup(place->where), .line = place->line,
                .column = place->column, .text = strdup(text), .rank = place->rank,
                .excerpt = place->raw ? excerpt(place) : NULL,
        };
}

static int by_place(const void *a, const void *b) {
        const struct config_problem *x = a, *y = b;

        if (x->rank != y->rank)
                return x->rank < y->rank ? -1 : 1;
        if (x->line != y->line)
                return x->line < y->line ? -1 : 1;
        return x->column < y->column ? -1 : x->column > y->column;
}

void problems_sort(struct config_problems *p) {
        if (p->n > 1)
                qsort(p->v, p->n, sizeof *p->v, by_place);
}

static void print_place(const struct config_problem *v, struct iicp_buf *b) {
        iicp_buf_puts(b, v->where ? v->where : "");
        if (v->line)
                iicp_buf_printf(b, ":%u", v->line);
        if (v->line && v->column)
                iicp_buf_printf(b, ":%u", v->column);
        iicp_buf_puts(b, ": ");
}

void config_problems_print(const struct config_problems *p, FILE *f) {
        for (size_t i = 0; i < p->n; i++) {
                struct iicp_buf b = {0};

                print_place(&p->v[i], &b);
                fprintf(f, "%s%s: %s\n", iicp_buf_str(&b).p,
                        p->v[i].severity == CONFIG_ERROR ? "error" : "warning", p->v[i].text ? p->v[i].text : "");
                if (p->v[i].excerpt)
                        fprintf(f, "%s\n", p->v[i].excerpt);
                iicp_buf_free(&b);
        }
        if (p->n < p->n_errors + p->n_warnings)
                fprintf(f, "(%zu more)\n", p->n_errors + p->n_warnings - p->n);
}

void config_problems_json(const struct config_problems *p, struct iicp_buf *out) {
        iicp_buf_puts(out, "[");
        for (size_t i = 0; i < p->n; i++) {
                const struct config_problem *v = &p->v[i];

                iicp_buf_printf(out, "%s{\"severity\":\"%s\",\"where\":", i ? "," : "",
                                v->severity == CONFIG_ERROR ? "error" : "warning");
                iicp_buf_json_str(out, iicp_str(v->where ? v->where : ""));
                if (v->line)
                        iicp_buf_printf(out, ",\"line\":%u", v->line);
                if (v->line && v->column)
                        iicp_buf_printf(out, ",\"column\":%u", v->column);
                iicp_buf_puts(out, ",\"text\":");
                iicp_buf_json_str(out, iicp_str(v->text ? v->text : ""));
                if (v->excerpt) {
                        iicp_buf_puts(out, ",\"excerpt\":");
                        iicp_buf_json_str(out, iicp_str(v->excerpt));
                }
                iicp_buf_puts(out, "}");
        }
        iicp_buf_puts(out, "]");
}

void config_problems_free(struct config_problems *p) {
        for (size_t i = 0; i < p->n; i++) {
                free(p->v[i].where);
                free(p->v[i].text);
                free(p->v[i].excerpt);
        }
        free(p->v);
        *p = (struct config_problems){0};
}
