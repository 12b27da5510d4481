/* SPDX-License-Identifier: Apache-2.0 */
#include "control/page.h"

#include <stddef.h>

#define ROWS_MAX 50 /* of one table */

/* A table of a list: its columns are members. */
struct column {
        const char *title, *member;
};

static void table_head(struct iicp_buf *out, const char *id, const char *title, const char *caption, const struct column *c) {
        iicp_buf_printf(out, "<section id=\"%s\" aria-labelledby=\"h-%s\"><h2 id=\"h-%s\">%s</h2><div class=\"wide\"><table>"
                             "<caption>%s</caption><thead><tr>", id, id, id, title, caption);
        for (; c->title; c++)
                iicp_buf_printf(out, "<th scope=\"col\">%s</th>", c->title);
        iicp_buf_puts(out, "</tr></thead><tbody>");
}

static void rows(struct iicp_buf *out, json_object *list, const struct column *columns) {
        size_t n = list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0, width = 0;

        while (columns[width].title)
                width++;
        for (size_t i = 0; i < n && i < ROWS_MAX; i++) {
                iicp_buf_puts(out, "<tr>");
                for (const struct column *c = columns; c->title; c++) {
                        iicp_buf_puts(out, "<td>");
                        page_text(out, page_str(json_object_array_get_idx(list, i), c->member));
                        iicp_buf_puts(out, "</td>");
                }
                iicp_buf_puts(out, "</tr>");
        }
        if (n == 0)
                iicp_buf_printf(out, "<tr><td colspan=\"%zu\">none</td></tr>", width);
        iicp_buf_puts(out, "</tbody></table></div></section>");
}

/* A table of one object: name and value. */
static void facts_head(struct iicp_buf *out, const char *id, const char *title, const char *caption) {
        iicp_buf_printf(out, "<section id=\"%s\" aria-labelledby=\"h-%s\"><h2 id=\"h-%s\">%s</h2><div class=\"wide\"><table>"
                             "<caption>%s</caption><tbody>", id, id, id, title, caption);
}

static void fact(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, "<tr><th scope=\"row\">%s</th><td>", name);
        page_text(out, *value ? value : "unknown");
        iicp_buf_puts(out, "</td></tr>");
}

static void facts_end(struct iicp_buf *out) {
        iicp_buf_puts(out, "</tbody></table></div></section>");
}

static void route(json_object *r, struct iicp_buf *out) {
        facts_head(out, "route", "Route", "How others get here");
        fact(out, "endpoint", page_str(r, "endpoint")[0] ? page_str(r, "endpoint") : "none");
        if (page_str(r, "reason")[0])
                fact(out, "reason", page_str(r, "reason"));
        if (page_str(r, "tier")[0])
                fact(out, "tier", page_str(r, "tier"));
        if (page_str(r, "kind")[0])
                fact(out, "kind", page_str(r, "kind"));
        fact(out, "port", page_str(r, "port"));
        fact(out, "connections", page_str(r, "connections"));
        facts_end(out);
}

static void directory(json_object *d, struct iicp_buf *out) {
        facts_head(out, "directory", "Directory", "What we say to it and what it says");
        fact(out, "state", page_str(d, "state"));
        if (page_str(d, "why")[0])
                fact(out, "why", page_str(d, "why"));
        fact(out, "address", page_str(d, "url"));
        fact(out, "heartbeats that it took", page_str(d, "heartbeats_ok"));
        fact(out, "heartbeats that failed", page_str(d, "heartbeats_failed"));
        facts_end(out);
}

static void counts(json_object *t, struct iicp_buf *out) {
        facts_head(out, "counts", "Since the start", "Tasks by what became of them");
        fact(out, "success", page_str(t, "success"));
        fact(out, "error", page_str(t, "error"));
        fact(out, "timeout", page_str(t, "timeout"));
        fact(out, "aborted", page_str(t, "aborted"));
        fact(out, "refused", page_str(t, "refused"));
        facts_end(out);
}

void page_tables(json_object *status, json_object *tasks, json_object *models, struct iicp_buf *out) {
        static const struct column of_tasks[] = {
                {"Task", "task_id"}, {"Age, ms", "age_ms"}, {"Model", "model"}, {"Door", "door"}, {"Left, ms", "left_ms"},
                {"Doing", "doing"}, {NULL, NULL},
        };
        static const struct column of_backends[] = {
                {"Name", "name"}, {"Type", "type"}, {"State", "state"}, {"Reason", "reason"}, {"Models", "models"},
                {"In flight", "in_flight"}, {"Slots", "slots"}, {NULL, NULL},
        };
        static const struct column of_models[] = {{"Model", "model"}, {"Backend", "backend"}, {NULL, NULL}};

        table_head(out, "tasks", "Tasks", "Running and waiting", of_tasks);
        rows(out, tasks, of_tasks);
        counts(page_get(status, "tasks"), out);
        table_head(out, "backends", "Backends", "Inference servers", of_backends);
        rows(out, page_get(status, "backends"), of_backends);
        table_head(out, "models", "Models", "Who serves them", of_models);
        rows(out, models, of_models);
        route(page_get(status, "route"), out);
        directory(page_get(status, "directory"), out);
}
