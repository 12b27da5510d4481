/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static json_object *get(json_object *o, const char *name) {
        json_object *v = NULL;

        if (o && json_object_is_type(o, json_type_object))
                json_object_object_get_ex(o, name, &v);
        return v;
}

/* NULL unless it is an array. */
static json_object *list_of(json_object *o, const char *name) {
        json_object *v = get(o, name);

        return v && json_object_is_type(v, json_type_array) ? v : NULL;
}

static int64_t number(json_object *o, const char *name) {
        json_object *v = get(o, name);

        return v ? json_object_get_int64(v) : 0;
}

static const char *or_dash(const char *s) {
        return s[0] ? s : "-";
}

/* "2 h 14 m", "41 s" */
static const char *age(int64_t s, char *out, size_t cap) {
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

static const char *took(int64_t ms, char *out, size_t cap) {
        if (ms < 0)
                snprintf(out, cap, "-");
        else if (ms < 1000)
                snprintf(out, cap, "%" PRId64 " ms", ms);
        else
                snprintf(out, cap, "%.1f s", (double) ms / 1000);
        return out;
}

static void first_line(const struct options *o, json_object *doc) {
        const char *state = text_of(doc, "state"), *colour = "33", *mark = o->utf8 ? "●" : "*";
        json_object *node = get(doc, "node");
        bool ready = strcmp(state, "ready") == 0;
        char up[32], word[32];
        size_t n = strlen(state);

        snprintf(word, sizeof(word), "%s", state);
        if (strcmp(state, "not ready") == 0) {
                colour = "31";
                for (size_t i = 0; i < n && i < sizeof(word) - 1; i++)
                        word[i] = (char) (word[i] >= 'a' && word[i] <= 'z' ? word[i] - 32 : word[i]);
        } else if (ready)
                colour = "32";
        else if (strcmp(state, "starting") == 0) {
                colour = "0";
                mark = o->utf8 ? "○" : "-";
        }
        if (o->colour)
                printf("\033[%sm%s\033[0m iicpd \033[%sm%s\033[0m", colour, mark, colour, word);
        else
                printf("%s iicpd %s", mark, word);
        if (!ready)
                printf(": %s", text_of(doc, "sentence"));
        printf(" · \"%s\" %.8s · %s · up %s\n", text_of(node, "name"), text_of(node, "node_id"),
               text_of(node, "region"), age(number(node, "uptime_s"), up, sizeof(up)));
}

static void backend_line(json_object *b) {
        int64_t models = number(b, "models");

        printf("  %-10s %s (%s) %s, %" PRId64 " model%s, %" PRId64 " in flight", "backend", text_of(b, "name"),
               text_of(b, "type"), text_of(b, "state"), models, models == 1 ? "" : "s", number(b, "in_flight"));
        if (text_of(b, "reason")[0] && strcmp(text_of(b, "reason"), "ok") != 0)
                printf(" (%s)", text_of(b, "reason"));
        if (strcmp(text_of(b, "auth_failed"), "true") == 0)
                printf(" (rejects our key)");
        if (strcmp(text_of(b, "undecided"), "true") == 0)
                printf(" (which model? set backend.%s.model)", text_of(b, "name"));
        putchar('\n');
}

/* Only what is not as usual. */
static void encryption_line(json_object *e) {
        if (!e)
                return;
        if (strcmp(text_of(e, "enabled"), "true") != 0)
                printf("  %-10s off: official consumers stay away\n", "encryption");
        else if (text_of(e, "pending")[0])
                printf("  %-10s new key %s waits for the directory; %s is in use\n", "encryption", text_of(e, "pending"),
                       text_of(e, "key_id"));
}

static void recovery_line(json_object *r) {
        char since[32];

        if (!text_of(r, "state")[0] || strcmp(text_of(r, "state"), "stable") == 0)
                return;
        printf("  %-10s %s for %s: %s\n", "recovery", text_of(r, "state"),
               age(number(r, "age_s"), since, sizeof(since)), text_of(r, "reason"));
}

/* "http://... (tier 1, mapped by igd2)"; of an endpoint that is configured nothing more is known. */
static void route_line(json_object *route) {
        const char *mapping = text_of(route, "mapping");

        printf("  %-10s %s", "route", text_of(route, "endpoint"));
        if (text_of(route, "kind")[0])
                printf(" (tier %s, %s%s%s)", text_of(route, "tier"), text_of(route, "kind"), mapping[0] ? " by " : "", mapping);
        printf("\n");
}

void render_status(const struct options *o, json_object *doc) {
        json_object *route = get(doc, "route"), *directory = get(doc, "directory"), *tasks = get(doc, "tasks");
        json_object *backends = list_of(doc, "backends");
        char p50[32];

        first_line(o, doc);
        if (text_of(route, "endpoint")[0])
                route_line(route);
        else
                printf("  %-10s none: %s\n", "route", or_dash(text_of(route, "reason")));
        if (text_of(route, "transport_endpoint")[0])
                printf("  %-10s %s\n", "frames", text_of(route, "transport_endpoint"));
        if (text_of(get(doc, "listen"), "certificate_until")[0])
                printf("  %-10s TLS 1.3, certificate until %.10s%s\n", "listen", text_of(get(doc, "listen"), "certificate_until"),
                       strcmp(text_of(get(doc, "listen"), "certificate_expiring"), "true") == 0 ? ": replace it soon" : "");
        printf("  %-10s %s%s%s\n", "directory", text_of(directory, "state"),
               !text_of(directory, "why")[0]                              ? ""
               : strcmp(text_of(directory, "state"), "registered") == 0 ? "; the last try to renew it: "
                                                                        : ": ",
               text_of(directory, "why"));
        recovery_line(get(directory, "recovery"));
        for (size_t i = 0; backends && i < json_object_array_length(backends); i++)
                backend_line(json_object_array_get_idx(backends, i));
        printf("  %-10s %" PRId64 " of %" PRId64 " slots; since start %" PRId64 " success, %" PRId64 " error, %" PRId64
               " timeout, %" PRId64 " refused; p50 %s\n",
               "tasks", number(tasks, "active"), number(tasks, "effective_slots"), number(tasks, "success"),
               number(tasks, "error"), number(tasks, "timeout"), number(tasks, "refused"),
               took(number(tasks, "p50_ms"), p50, sizeof(p50)));
        encryption_line(get(doc, "encryption"));
        printf("  %-10s %s; iicpd %s\n", "config",
               text_of(get(doc, "config"), "file")[0] ? text_of(get(doc, "config"), "file") : "no file, defaults",
               text_of(doc, "version"));
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
