/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "control/internal.h"
#include "control/page.h"

#include "build-config.h"
#include "node.h"
#include "observe/feed.h"
#include "util.h"

#include <json-c/json.h>
#include <stdio.h>

/* The status page, complete without script: the facts of the status document as tables and one picture.
 * Every foreign string is text. [operator design 12] */

#define EVENTS_SHOWN 20
#define SLOTS_SHOWN 32

void page_text(struct iicp_buf *out, const char *text) {
        for (; *text; text++)
                switch (*text) {
                case '<': iicp_buf_puts(out, "&lt;"); break;
                case '>': iicp_buf_puts(out, "&gt;"); break;
                case '&': iicp_buf_puts(out, "&amp;"); break;
                case '"': iicp_buf_puts(out, "&quot;"); break;
                case '\'': iicp_buf_puts(out, "&#39;"); break;
                default:
                        if ((unsigned char) *text >= 0x20)
                                iicp_buf_add(out, text, 1);
                }
}

json_object *page_get(json_object *o, const char *name) {
        json_object *v = NULL;

        if (o && json_object_is_type(o, json_type_object))
                json_object_object_get_ex(o, name, &v);
        return v;
}

const char *page_str(json_object *o, const char *name) {
        json_object *v = page_get(o, name);

        return v ? json_object_get_string(v) : "";
}

int64_t page_int(json_object *o, const char *name) {
        json_object *v = page_get(o, name);

        return v ? json_object_get_int64(v) : 0;
}

static json_object *document(struct node *n, void (*fn)(struct node *n, struct iicp_buf *out)) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};

        fn(n, &text);
        return text.error || !text.p ? NULL : json_tokener_parse(text.p);
}

static const char *state_class(const char *state) {
        if (strcmp(state, "ready") == 0)
                return "ok";
        return strcmp(state, "not ready") == 0 ? "bad" : "warn";
}

static void head(json_object *status, struct iicp_buf *out) {
        iicp_buf_puts(out, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                           "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                           "<meta name=\"color-scheme\" content=\"light dark\">"
                           "<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript><title>");
        page_text(out, page_str(page_get(status, "node"), "name"));
        iicp_buf_puts(out, " · iicpd</title><link rel=\"icon\" href=\"icon.svg\"><link rel=\"stylesheet\" href=\"page.css\">"
                           "<script src=\"page.js\" defer></script></head><body>");
}

static void headline(json_object *status, struct iicp_buf *out) {
        json_object *node = page_get(status, "node"), *list = page_get(status, "findings");
        const char *state = page_str(status, "state");
        int64_t up = page_int(node, "uptime_s");

        iicp_buf_puts(out, "<header><h1>");
        page_text(out, page_str(node, "name"));
        iicp_buf_printf(out, "</h1><p id=\"state\" role=\"status\"><strong class=\"%s\">", state_class(state));
        page_text(out, state);
        iicp_buf_puts(out, "</strong>: <span>");
        page_text(out, page_str(status, "sentence"));
        iicp_buf_puts(out, "</span></p><p id=\"age\">");
        page_text(out, page_str(node, "node_id"));
        iicp_buf_puts(out, " · ");
        page_text(out, page_str(node, "region"));
        iicp_buf_printf(out, " · up %lld h %lld min · <span id=\"live\">as of this load</span></p></header>",
                        (long long) (up / 3600), (long long) (up % 3600 / 60));
        iicp_buf_puts(out, "<main><section id=\"findings\" aria-labelledby=\"h-findings\"><h2 id=\"h-findings\">Findings</h2>");
        if (!list || json_object_array_length(list) == 0)
                iicp_buf_puts(out, "<p>Nothing needs attention.</p>");
        else
                iicp_buf_puts(out, "<ul>");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *f = json_object_array_get_idx(list, i);
                const char *severity = page_str(f, "severity");

                iicp_buf_printf(out, "<li><strong class=\"%s\">",
                                strcmp(severity, "fail") == 0 ? "bad" : strcmp(severity, "warn") == 0 ? "warn" : "info");
                page_text(out, severity);
                iicp_buf_puts(out, "</strong> ");
                page_text(out, page_str(f, "what"));
                if (page_str(f, "why")[0]) {
                        iicp_buf_puts(out, "; ");
                        page_text(out, page_str(f, "why"));
                }
                iicp_buf_puts(out, "<br>Do: <code>");
                page_text(out, page_str(f, "do"));
                iicp_buf_puts(out, "</code></li>");
        }
        iicp_buf_puts(out, list && json_object_array_length(list) ? "</ul></section>" : "</section>");
}

/* One sentence that says what the picture says, then the picture. */
static void picture(json_object *status, struct iicp_buf *out) {
        json_object *tasks = page_get(status, "tasks"), *backends = page_get(status, "backends");
        int64_t active = page_int(tasks, "active"), slots = page_int(tasks, "effective_slots");
        size_t n = backends ? json_object_array_length(backends) : 0;
        bool route = page_str(page_get(status, "route"), "endpoint")[0];
        int64_t edge = 252 + 18 * MIN(MAX(slots, 1), 8); /* where the slots end */
        bool listed = strcmp(page_str(page_get(status, "directory"), "state"), "registered") == 0;
        int64_t height = 60 + 44 * (int64_t) MAX(n, 1u);

        iicp_buf_puts(out, "<section id=\"picture\" aria-labelledby=\"h-picture\"><h2 id=\"h-picture\">Now</h2><svg role=\"img\" aria-label=\"");
        iicp_buf_printf(out, "%lld of %lld slots are in use; callers %s reach this node; the directory %s it; %zu backends.\" ",
                        (long long) active, (long long) slots, route ? "can" : "cannot", listed ? "lists" : "does not list", n);
        iicp_buf_printf(out, "viewBox=\"0 0 640 %lld\" xmlns=\"http://www.w3.org/2000/svg\">", (long long) height);
        iicp_buf_printf(out, "<text x=\"8\" y=\"44\">callers</text><path id=\"in\" class=\"edge %s\" d=\"M70 40H240\"/>",
                        route ? "on" : "off");
        iicp_buf_printf(out, "<text x=\"8\" y=\"84\">directory</text><path class=\"edge %s\" d=\"M80 80H240V60\"/>", listed ? "on" : "off");
        for (int64_t i = 0; i < MIN(slots, SLOTS_SHOWN); i++)
                iicp_buf_printf(out, "<rect class=\"slot %s\" x=\"%lld\" y=\"%lld\" width=\"14\" height=\"14\"/>",
                                i < active ? "busy" : "free", (long long) (250 + i % 8 * 18), (long long) (26 + i / 8 * 18));
        for (size_t i = 0; i < n; i++) {
                json_object *b = json_object_array_get_idx(backends, i);
                bool ok = strcmp(page_str(b, "state"), "ok") == 0 && strcmp(page_str(b, "auth_failed"), "true") != 0;
                int64_t y = 40 + 44 * (int64_t) i;

                iicp_buf_printf(out, "<path class=\"edge out %s\" d=\"M%lld 40C430 40 430 %lld 460 %lld\"/><text x=\"466\" y=\"%lld\">",
                                ok ? "on" : "off", (long long) edge, (long long) y, (long long) y, (long long) (y + 4));
                page_text(out, page_str(b, "name"));
                iicp_buf_puts(out, ": ");
                page_text(out, page_str(b, "state"));
                iicp_buf_puts(out, "</text>");
        }
        iicp_buf_puts(out, "</svg></section>");
}

static void events(struct node *n, struct iicp_buf *out) {
        uint64_t last = feed_last(n->feed), after = last > EVENTS_SHOWN * 2 ? last - EVENTS_SHOWN * 2 : 0;

        iicp_buf_puts(out, "<section id=\"events\" aria-labelledby=\"h-events\"><h2 id=\"h-events\">Last events</h2><div class=\"wide\"><table><caption>Changes of state, the oldest first</caption>"
                           "<thead><tr><th scope=\"col\">At</th><th scope=\"col\">Event</th><th scope=\"col\">What</th></tr></thead><tbody>");
        for (;;) {
                _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
                const char *event;
                json_object *doc;

                after = feed_next(n->feed, after, FEED_ALL & ~(1u << FEED_TASK), &text, &event);
                if (after == 0)
                        break;
                doc = json_tokener_parse(text.p ? text.p : "");
                iicp_buf_puts(out, "<tr><td>");
                page_text(out, page_str(doc, "at"));
                iicp_buf_puts(out, "</td><td>");
                page_text(out, page_str(doc, "event"));
                iicp_buf_puts(out, "</td><td>");
                page_text(out, page_str(doc, "message"));
                iicp_buf_puts(out, "</td></tr>");
                json_object_put(doc);
        }
        iicp_buf_puts(out, "</tbody></table></div></section>");
}

static void put_tasks(struct node *n, struct iicp_buf *out) {
        corridor_tasks_json(n->corridor, out);
}

static void put_models(struct node *n, struct iicp_buf *out) {
        backends_models_json(n->backends, out);
}

unsigned get_page(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        json_object *status = document(n, status_json), *tasks = document(n, put_tasks), *models = document(n, put_models);

        head(status, out);
        headline(status, out);
        picture(status, out);
        page_tables(status, tasks, models, out);
        events(n, out);
        iicp_buf_puts(out, "</main><footer><p>iicpd " PACKAGE_VERSION " · <a href=\"v1/status\">JSON</a> · "
                           "<a href=\"v1/metrics\">metrics</a> · configuration ");
        page_text(out, page_str(page_get(status, "config"), "file"));
        iicp_buf_puts(out, "</p></footer></body></html>");
        json_object_put(status);
        json_object_put(tasks);
        json_object_put(models);
        return 200;
}
