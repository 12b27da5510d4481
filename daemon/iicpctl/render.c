/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

json_object *get(json_object *o, const char *name) {
        json_object *v = NULL;

        if (o && json_object_is_type(o, json_type_object))
                json_object_object_get_ex(o, name, &v);
        return v;
}

json_object *list_of(json_object *o, const char *name) {
        json_object *v = get(o, name);

        return v && json_object_is_type(v, json_type_array) ? v : NULL;
}

int64_t number(json_object *o, const char *name) {
        json_object *v = get(o, name);

        return v ? json_object_get_int64(v) : 0;
}

const char *or_dash(const char *s) {
        return s[0] ? s : "-";
}

const char *age(int64_t s, char *out, size_t cap) {
        if (s >= 86400)
                snprintf(out, cap, "%" PRId64 " d %" PRId64 " h", s / 86400, s % 86400 / 3600);
        else if (s >= 3600)
                snprintf(out, cap, "%" PRId64 " h %" PRId64 " m", s / 3600, s % 3600 / 60);
        else if (s >= 60)
                snprintf(out, cap, "%" PRId64 " m", s / 60);
        else
                snprintf(out, cap, "%" PRId64 " s", s);
        return out;
}

const char *took(int64_t ms, char *out, size_t cap) {
        if (ms < 0)
                snprintf(out, cap, "-");
        else if (ms < 1000)
                snprintf(out, cap, "%" PRId64 " ms", ms);
        else
                snprintf(out, cap, "%.1f s", (double) ms / 1000);
        return out;
}

void render_tasks(const struct options *o, json_object *doc) {
        json_object *list = list_of(doc, "tasks");
        size_t n = list ? json_object_array_length(list) : 0;
        char a[32], l[32];

        (void) o;
        printf("%-9s %-8s %-12s %-24s %-6s %-8s %s\n", "TASK", "AGE", "QOS", "MODEL", "DOOR", "LEFT", "DOING");
        for (size_t i = 0; i < n; i++) {
                json_object *t = json_object_array_get_idx(list, i);

                printf("%-9.8s %-8s %-12s %-24s %-6s %-8s %s\n", text_of(t, "task_id"),
                       took(number(t, "age_ms"), a, sizeof(a)), text_of(t, "qos"), or_dash(text_of(t, "model")),
                       text_of(t, "door"), took(number(t, "left_ms"), l, sizeof(l)), text_of(t, "doing"));
        }
        if (n == 0)
                printf("none\n");
}

void render_backends(const struct options *o, json_object *doc) {
        json_object *list = list_of(doc, "backends");

        (void) o;
        printf("%-12s %-14s %-10s %-18s %-7s %s\n", "NAME", "TYPE", "STATE", "REASON", "MODELS", "IN FLIGHT");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *b = json_object_array_get_idx(list, i);

                printf("%-12s %-14s %-10s %-18s %-7" PRId64 " %" PRId64 "/%" PRId64 "\n", text_of(b, "name"),
                       text_of(b, "type"), text_of(b, "state"), or_dash(text_of(b, "reason")), number(b, "models"),
                       number(b, "in_flight"), number(b, "slots"));
        }
}

void render_models(const struct options *o, json_object *doc) {
        json_object *list = list_of(doc, "models");

        (void) o;
        printf("%-32s %-12s %s\n", "MODEL", "BACKEND", "CONTEXT");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *m = json_object_array_get_idx(list, i);

                printf("%-32s %-12s %s\n", text_of(m, "model"), text_of(m, "backend"),
                       or_dash(text_of(m, "context")));
        }
}

/* "default", "/etc/iicp.conf:3", "environment IICP_REGION, over /etc/iicp.conf:12 (9484)" */
static const char *origin(json_object *key, char *out, size_t cap) {
        const char *from = text_of(key, "from"), *source = text_of(key, "source"), *over = text_of(key, "over");

        if (strcmp(from, "file") == 0)
                snprintf(out, cap, "%s:%s", source, text_of(key, "line"));
        else
                snprintf(out, cap, "%s%s%s%s%s", from, source[0] ? " " : "", source, over[0] ? ", over " : "", over);
        return out;
}

void render_config(const struct options *o, json_object *doc, const char *key, bool changed) {
        json_object *list = list_of(doc, "keys");
        char where[512];

        (void) o;
        if (!key)
                printf("%-36s %-36s %s\n", "KEY", "VALUE", "FROM");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *k = json_object_array_get_idx(list, i);
                const char *name = text_of(k, "key"), *from = text_of(k, "from");

                if (key && strcmp(key, name) != 0)
                        continue;
                if (changed && strcmp(from, "default") == 0)
                        continue;
                printf("%-36s %-36s %s\n", name, or_dash(text_of(k, "value")), origin(k, where, sizeof(where)));
        }
}

static void problems(json_object *doc) {
        json_object *list = list_of(doc, "problems");

        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *p = json_object_array_get_idx(list, i);
                int64_t line = number(p, "line"), column = number(p, "column");

                fprintf(stderr, "%s", text_of(p, "where"));
                if (line > 0)
                        fprintf(stderr, ":%" PRId64, line);
                if (column > 0)
                        fprintf(stderr, ":%" PRId64, column);
                fprintf(stderr, ": %s: %s\n", text_of(p, "severity"), text_of(p, "text"));
                if (text_of(p, "excerpt")[0])
                        fprintf(stderr, "%s\n", text_of(p, "excerpt"));
        }
}

void render_reload(const struct options *o, json_object *doc) {
        json_object *changes = list_of(doc, "changes"), *ok = get(doc, "ok");
        size_t n = changes ? json_object_array_length(changes) : 0;

        (void) o;
        problems(doc);
        if (!ok || !json_object_get_boolean(ok)) {
                fprintf(stderr, "old configuration stays\n");
                return;
        }
        for (size_t i = 0; i < n; i++) {
                json_object *c = json_object_array_get_idx(changes, i);
                json_object *live = get(c, "live"), *again = get(c, "registers_again");
                bool is_live = live && json_object_get_boolean(live);

                printf("%-9s %-32s %s -> %s%s%s\n", is_live ? "applied" : "restart", text_of(c, "key"),
                       or_dash(text_of(c, "from")), or_dash(text_of(c, "to")),
                       is_live ? "" : ", the old value until a restart",
                       is_live && again && json_object_get_boolean(again) ? "   registered again" : "");
        }
        if (n == 0)
                printf("nothing changed\n");
        printf("%" PRId64 " running task%s untouched\n", number(doc, "running"), number(doc, "running") == 1 ? "" : "s");
}
