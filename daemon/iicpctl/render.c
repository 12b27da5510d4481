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

/* "ok", "auth failed", "draining: backend_loading" */
static const char *backend_state(json_object *b, char *out, size_t cap) {
        const char *reason = text_of(b, "reason");

        if (truth(b, "auth_failed"))
                snprintf(out, cap, "auth failed");
        else if (strcmp(reason, "ok") == 0 || !*reason)
                snprintf(out, cap, "%s", text_of(b, "state"));
        else
                snprintf(out, cap, "%s: %s", text_of(b, "state"), reason);
        return out;
}

void render_backends(const struct options *o, json_object *doc) {
        json_object *list = list_of(doc, "backends");
        char state[64], calls[48], flight[32], ago[40], a[32];

        (void) o;
        printf("%-12s %-14s %-26s %-7s %-10s %-12s %s\n", "NAME", "TYPE", "STATE", "MODELS", "IN FLIGHT", "OK/FAILED", "CHECKED");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *b = json_object_array_get_idx(list, i);

                snprintf(calls, sizeof(calls), "%" PRId64 "/%" PRId64, number(b, "ok"), number(b, "failed"));
                snprintf(flight, sizeof(flight), "%" PRId64 "/%" PRId64, number(b, "in_flight"), number(b, "slots"));
                if (get(b, "checked_ms_ago"))
                        snprintf(ago, sizeof(ago), "%s ago", age(number(b, "checked_ms_ago") / 1000, a, sizeof(a)));
                else
                        snprintf(ago, sizeof(ago), "-");
                printf("%-12s %-14s %-26s %-7" PRId64 " %-10s %-12s %s\n", text_of(b, "name"), text_of(b, "type"),
                       backend_state(b, state, sizeof(state)), number(b, "models"), flight, calls, ago);
        }
}

static bool in_list(json_object *list, const char *text) {
        for (size_t i = 0; list && i < json_object_array_length(list); i++)
                if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), text) == 0)
                        return true;
        return false;
}

static const char *listed(json_object *doc, json_object *m) {
        if (truth(m, "seen_once"))
                return "not yet: seen once, registered after a second equal look";
        if (in_list(list_of(doc, "registered"), text_of(m, "model")))
                return "yes";
        return strcmp(text_of(doc, "directory"), "registered") == 0 ? "no" : "not registered";
}

void render_models(const struct options *o, json_object *doc) {
        json_object *list = list_of(doc, "models");

        (void) o;
        printf("%-32s %-12s %-8s %-8s %s\n", "MODEL", "BACKEND", "CONTEXT", "THERE", "REGISTERED");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *m = json_object_array_get_idx(list, i);

                printf("%-32s %-12s %-8s %-8s %s\n", text_of(m, "model"), text_of(m, "backend"), or_dash(text_of(m, "context")),
                       truth(m, "there") ? "yes" : "no", listed(doc, m));
        }
}

void render_problems(json_object *doc) {
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
        render_problems(doc);
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
