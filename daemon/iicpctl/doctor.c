/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Looks at everything that went wrong for somebody once: from local files and the daemon, without the
 * network unless --online. Changes nothing. [operator design 6.7] */

#define CONFIG_DEFAULT "/etc/iicp.conf"

static const char *const words[] = {
        [VERDICT_OK] = "ok", [VERDICT_WARN] = "warn", [VERDICT_FAIL] = "fail", [VERDICT_SKIP] = "skip",
};

void doctor_say(struct doctor *d, enum verdict verdict, const char *name, const char *todo, const char *fmt, ...) {
        struct check *c;
        va_list ap;

        if (d->n == CHECKS_MAX)
                return;
        c = &d->v[d->n++];
        *c = (struct check){.verdict = verdict};
        snprintf(c->name, sizeof c->name, "%s", name);
        snprintf(c->todo, sizeof c->todo, "%s", todo ? todo : "");
        va_start(ap, fmt);
        vsnprintf(c->text, sizeof c->text, fmt, ap);
        va_end(ap);
}

static size_t count(const struct doctor *d, enum verdict v) {
        size_t n = 0;

        for (size_t i = 0; i < d->n; i++)
                n += d->v[i].verdict == v;
        return n;
}

static void print_text(const struct doctor *d) {
        static const char *const colours[] = {
                [VERDICT_OK] = "32", [VERDICT_WARN] = "33", [VERDICT_FAIL] = "31", [VERDICT_SKIP] = "0",
        };

        for (size_t i = 0; i < d->n; i++) {
                const struct check *c = &d->v[i];

                if (d->o->colour)
                        printf(" \033[%sm%-4s\033[0m  %-17s  %s\n", colours[c->verdict], words[c->verdict], c->name, c->text);
                else
                        printf(" %-4s  %-17s  %s\n", words[c->verdict], c->name, c->text);
                if (*c->todo)
                        printf("       %-17s  %s\n", "", c->todo);
        }
        printf("%zu ok, %zu warning%s, %zu failure%s, %zu skipped\n", count(d, VERDICT_OK), count(d, VERDICT_WARN),
               count(d, VERDICT_WARN) == 1 ? "" : "s", count(d, VERDICT_FAIL), count(d, VERDICT_FAIL) == 1 ? "" : "s",
               count(d, VERDICT_SKIP));
}

static void print_json(const struct doctor *d) {
        json_object *doc = json_object_new_object(), *list = json_object_new_array();

        json_object_object_add(doc, "schema", json_object_new_string("iicp.doctor/1"));
        json_object_object_add(doc, "online", json_object_new_boolean(d->online));
        for (size_t i = 0; i < d->n; i++) {
                json_object *c = json_object_new_object();

                json_object_object_add(c, "check", json_object_new_string(d->v[i].name));
                json_object_object_add(c, "verdict", json_object_new_string(words[d->v[i].verdict]));
                json_object_object_add(c, "text", json_object_new_string(d->v[i].text));
                json_object_object_add(c, "do", *d->v[i].todo ? json_object_new_string(d->v[i].todo) : NULL);
                json_object_array_add(list, c);
        }
        json_object_object_add(doc, "checks", list);
        puts(json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(doc);
}

/* The document, and the file that the daemon runs by; without a daemon the usual one. */
static void ask(struct doctor *d) {
        struct options quiet = *d->o;
        struct answer a = {0};

        quiet.quiet = true;
        d->config_path = CONFIG_DEFAULT;
        d->status_code = call(&quiet, "GET", "/v1/status", NULL, &a);
        if (d->status_code == EXIT_DONE && a.status == 200 && a.doc)
                d->status = json_object_get(a.doc);
        answer_done(&a);
        if (d->status)
                d->config_path = *text_of(get(d->status, "config"), "file") ? text_of(get(d->status, "config"), "file") : NULL;
}

static int usage(const struct options *o) {
        tell_error(o, "usage", "unknown argument", "iicpctl doctor [--online] [--config FILE]");
        return EXIT_USAGE;
}

int cmd_doctor(const struct options *o, int argc, char **argv) {
        const char *path = NULL;
        struct doctor *d;
        bool online = false;
        int r;

        for (int i = 0; i < argc; i++)
                if (strcmp(argv[i], "--online") == 0)
                        online = true;
                else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
                        path = argv[++i];
                else
                        return usage(o);
        d = calloc(1, sizeof *d);
        if (!d)
                return EXIT_REFUSED;
        d->o = o;
        d->online = online;
        ask(d);
        if (path)
                d->config_path = path;
        doctor_configuration(d);
        doctor_environment(d);
        doctor_process(d);
        doctor_state(d);
        doctor_secrets(d);
        doctor_space(d);
        doctor_clock(d);
        doctor_node(d);
        doctor_online(d);
        if (o->json)
                print_json(d);
        else
                print_text(d);
        r = count(d, VERDICT_FAIL) ? EXIT_NOT_READY : count(d, VERDICT_WARN) ? EXIT_DEGRADED : EXIT_DONE;
        json_object_put(d->status);
        config_free(d->config);
        free(d);
        return r;
}
