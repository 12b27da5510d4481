/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "config_table.h"
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Effective settings with the origin of each, what differs from the file, what is not default.
 * [operator design 5.4] */

enum what { ALL, ONE, CHANGED, DEFAULTS, DIFF, EXPLAIN };

static bool wanted(json_object *k, enum what what, const char *key) {
        bool initial = strcmp(text_of(k, "from"), "default") == 0;

        switch (what) {
        case ONE:
                return strcmp(text_of(k, "key"), key) == 0;
        case CHANGED:
                return !initial;
        case DEFAULTS:
                return initial;
        default:
                return true;
        }
}

/* The same document with the keys that are wanted. */
static json_object *filtered(json_object *doc, enum what what, const char *key) {
        json_object *copy = json_object_new_object(), *keys = json_object_new_array(), *list = list_of(doc, "keys");

        for (size_t i = 0; list && i < json_object_array_length(list); i++)
                if (wanted(json_object_array_get_idx(list, i), what, key))
                        json_object_array_add(keys, json_object_get(json_object_array_get_idx(list, i)));
        json_object_object_foreach(doc, name, value)
                json_object_object_add(copy, name, strcmp(name, "keys") == 0 ? keys : json_object_get(value));
        return copy;
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

/* The level of the log may be another one for a while. */
static const char *level_override(json_object *log, char *value, size_t cap, char *where, size_t where_cap) {
        char left[48] = "", a[32];

        if (!log || strcmp(text_of(log, "level"), text_of(log, "configured")) == 0)
                return NULL;
        if (get(log, "left_s"))
                snprintf(left, sizeof left, ", %s left", age(number(log, "left_s"), a, sizeof a));
        snprintf(value, cap, "%s", text_of(log, "level"));
        snprintf(where, where_cap, "override by %s%s (configured: %s)", text_of(log, "by"), left, text_of(log, "configured"));
        return value;
}

static void render(const struct options *o, json_object *doc, json_object *log, bool heading) {
        json_object *list = list_of(doc, "keys");
        size_t n = list ? json_object_array_length(list) : 0;
        int name_width = 3, value_width = 5;
        char where[640], value[16];

        (void) o;
        for (size_t i = 0; i < n; i++) {
                json_object *k = json_object_array_get_idx(list, i);

                name_width = MAX(name_width, (int) strlen(text_of(k, "key")));
                value_width = MAX(value_width, (int) MIN(strlen(text_of(k, "value")), (size_t) 40));
        }
        if (heading)
                printf("%-*s  %-*s  %s\n", name_width, "KEY", value_width, "VALUE", "FROM");
        for (size_t i = 0; i < n; i++) {
                json_object *k = json_object_array_get_idx(list, i);
                const char *shown = NULL;

                if (strcmp(text_of(k, "key"), "log.level") == 0)
                        shown = level_override(log, value, sizeof value, where, sizeof where);
                if (!shown) {
                        shown = or_dash(text_of(k, "value"));
                        origin(k, where, sizeof where);
                }
                printf("%-*s  %-*s  %s\n", name_width, text_of(k, "key"), value_width, shown, where);
        }
}

static bool taken_from(json_object *doc, const char *variable) {
        json_object *list = list_of(doc, "keys");

        for (size_t i = 0; list && i < json_object_array_length(list); i++)
                if (strcmp(text_of(json_object_array_get_idx(list, i), "source"), variable) == 0)
                        return true;
        return false;
}

/* What people trip over: a variable of their shell is none of the daemon's. */
static void notes(json_object *doc) {
        for (size_t i = 0; i < config_n_keys; i++)
                for (size_t k = 0; k < ARRAY_SIZE(config_keys[i].environment); k++) {
                        const char *name = config_keys[i].environment[k];

                        if (name && !config_keys[i].consumer && getenv(name) && !taken_from(doc, name))
                                printf("note: %s is set in your shell, not in the daemon; it has no effect there "
                                       "(systemctl edit iicpd)\n", name);
                }
        if (get(doc, "as_on_disk") && !truth(doc, "as_on_disk"))
                printf("note: the file says something else than what runs: iicpctl config --diff, then iicpctl reload\n");
}

static void put_doc(json_object *doc) {
        puts(json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

static int show_values(const struct options *o, enum what what, const char *key) {
        struct answer a, log = {0};
        json_object *doc;
        int r = call(o, "GET", "/v1/config", NULL, &a);

        if (r != EXIT_DONE)
                return r;
        if (a.status != 200 || !a.doc) {
                r = tell_refusal(o, &a);
                answer_done(&a);
                return r;
        }
        doc = filtered(a.doc, what, key);
        if (what == ONE && json_object_array_length(list_of(doc, "keys")) == 0) {
                tell_error(o, "unknown_key", "no such key", "iicpctl config lists them all");
                r = EXIT_REFUSED;
        } else if (o->json)
                put_doc(doc);
        else {
                if (call(o, "GET", "/v1/log", NULL, &log) != EXIT_DONE || log.status != 200)
                        answer_done(&log);
                render(o, doc, log.doc, what != ONE);
                if (what == ALL || what == CHANGED)
                        notes(a.doc);
                answer_done(&log);
        }
        json_object_put(doc);
        answer_done(&a);
        return r;
}

static void render_diff(const struct options *o, json_object *doc) {
        json_object *list = list_of(doc, "changes");
        size_t n = list ? json_object_array_length(list) : 0;

        (void) o;
        render_problems(doc);
        if (!truth(doc, "usable"))
                return;
        for (size_t i = 0; i < n; i++) {
                json_object *c = json_object_array_get_idx(list, i);

                printf("%-8s %-32s %s -> %s%s\n", truth(c, "live") ? "live" : "restart", text_of(c, "key"), or_dash(text_of(c, "from")),
                       or_dash(text_of(c, "to")), truth(c, "live") && truth(c, "registers_again") ? "   registers again" : "");
        }
        printf(n ? "iicpctl reload takes over what is live\n" : "what runs is what the file says\n");
}

static int judge_diff(json_object *doc) {
        return truth(doc, "usable") ? EXIT_DONE : EXIT_REFUSED;
}

static int explain_key(const struct options *o, const char *key) {
        char *words[] = {(char *) key, NULL};

        return cmd_explain(o, 1, words);
}

int cmd_config(const struct options *o, int argc, char **argv) {
        static const struct {
                const char *word;
                enum what what;
        } forms[] = {{"--changed", CHANGED}, {"--defaults", DEFAULTS}, {"--diff", DIFF}, {"--explain", EXPLAIN}};
        enum what what = argc > 0 ? ONE : ALL;
        const char *key = argc > 0 ? argv[0] : NULL;
        int used = argc > 0, r;

        for (size_t i = 0; key && i < ARRAY_SIZE(forms); i++)
                if (strcmp(key, forms[i].word) == 0)
                        what = forms[i].what;
        if (what == EXPLAIN) {
                key = argc > 1 ? argv[1] : "";
                used = MIN(argc, 2);
        }
        if (what == ONE && key[0] == '-') {
                tell_error(o, "usage", "no such form of config", "KEY, --changed, --defaults, --diff or --explain KEY");
                return EXIT_USAGE;
        }
        r = no_more(o, argc - used, argv + used);
        if (r != EXIT_DONE)
                return r;
        if (what == EXPLAIN)
                return explain_key(o, key);
        if (what == DIFF)
                return show(o, "/v1/config-diff", render_diff, judge_diff);
        return show_values(o, what, key);
}
