/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "util.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Tasks, and one of our own. [operator design 6.3, 6.6] */

/* "chat" of "urn:iicp:intent:llm:chat:v1" */
static const char *intent_of(json_object *t, char *out, size_t cap) {
        const char *urn = text_of(t, "intent"), *end = strrchr(urn, ':'), *start = end;

        while (start && start > urn && start[-1] != ':')
                start--;
        if (!end || start == urn)
                snprintf(out, cap, "%s", or_dash(urn));
        else
                snprintf(out, cap, "%.*s", (int) (end - start), start);
        return out;
}

static void running(json_object *list) {
        char a[32], l[32], intent[48];
        size_t n = list ? json_object_array_length(list) : 0;

        printf("%-9s %-8s %-11s %-24s %-9s %-8s %-8s %s\n", "RUNNING", "AGE", "INTENT", "MODEL", "CALLER", "DOOR", "LEFT", "DOING");
        for (size_t i = 0; i < n; i++) {
                json_object *t = json_object_array_get_idx(list, i);

                printf("%-9.8s %-8s %-11.11s %-24s %-9s %-8s %-8s %s\n", text_of(t, "task_id"), took(number(t, "age_ms"), a, sizeof(a)),
                       intent_of(t, intent, sizeof(intent)), or_dash(text_of(t, "model")), or_dash(text_of(t, "caller")),
                       text_of(t, "door"), took(number(t, "left_ms"), l, sizeof(l)), text_of(t, "doing"));
        }
        if (n == 0)
                printf("none\n");
}

/* "200", "502 backend_error: backend_unreachable on gpu" */
static void result_of(json_object *t, char *out, size_t cap) {
        const char *code = text_of(t, "code"), *reason = text_of(t, "reason"), *backend = text_of(t, "backend");
        int64_t status = number(t, "status");

        if (status == 0)
                snprintf(out, cap, "the caller left");
        else if (!*code)
                snprintf(out, cap, "%" PRId64 "%s%s%s", status, get(t, "tokens") ? ", " : "", text_of(t, "tokens"), get(t, "tokens") ? " tokens" : "");
        else
                snprintf(out, cap, "%" PRId64 " %s%s%s%s%s", status, code, *reason ? ": " : "", reason, *backend ? " on " : "", backend);
}

static void finished(json_object *list, size_t most) {
        size_t n = list ? json_object_array_length(list) : 0;
        char a[32], result[256];

        printf("%-9s %-9s %-8s %-9s %s\n", "FINISHED", "AT (UTC)", "TOOK", "CALLER", "RESULT");
        for (size_t i = 0; i < n && i < most; i++) {
                json_object *t = json_object_array_get_idx(list, i);
                const char *at = text_of(t, "ended");

                result_of(t, result, sizeof(result));
                printf("%-9.8s %-9.8s %-8s %-9s %s\n", text_of(t, "task_id"), strlen(at) > 11 ? at + 11 : "-",
                       took(number(t, "took_ms"), a, sizeof(a)), or_dash(text_of(t, "caller")), result);
        }
        if (n == 0)
                printf("none\n");
        else if (n > most)
                printf("and %zu more: iicpctl -v tasks\n", n - most);
}

#define FINISHED_SHOWN 20

static void render_tasks(const struct options *o, json_object *doc) {
        running(list_of(doc, "tasks"));
        finished(list_of(doc, "finished"), o->verbose ? SIZE_MAX : FINISHED_SHOWN);
}

static void render_failed(const struct options *o, json_object *doc) {
        finished(list_of(doc, "finished"), o->verbose ? SIZE_MAX : FINISHED_SHOWN);
}

static void render_task(const struct options *o, json_object *doc) {
        static const struct {
                const char *member, *name;
        } steps[] = {{"received_ms", "received"}, {"admitted_ms", "admitted"}, {"backend_asked_ms", "backend asked"},
                     {"first_byte_ms", "first byte"}, {"answered_ms", "answered"}};
        json_object *t = get(doc, "task"), *s = get(t, "steps");
        char text[256];

        printf("task %s, %s, model %s, by %s through %s\n", text_of(t, "task_id"), text_of(t, "intent"), or_dash(text_of(t, "model")),
               or_dash(text_of(t, "caller")), text_of(t, "door"));
        if (*text_of(t, "doing")) {
                labelf(o, "doing", "%s, for %s", text_of(t, "doing"), took(number(t, "age_ms"), text, sizeof(text)));
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                if (get(s, steps[i].member))
                        printf("  %-14s +%" PRId64 " ms\n", steps[i].name, number(s, steps[i].member));
        result_of(t, text, sizeof(text));
        printf("  %-14s %s, %s\n", strcmp(text_of(t, "outcome"), "refused") == 0 ? "refused" : "result", text_of(t, "outcome"), text);
}

static bool is_id(const char *text) {
        return strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._:-") == strlen(text) && strlen(text) <= 40 && *text != '-';
}

int cmd_tasks(const struct options *o, int argc, char **argv) {
        bool failed = argc > 0 && strcmp(argv[0], "--failed") == 0;
        char path[96];
        int r = no_more(o, MAX(argc - 1, 0), argv + 1);

        if (r != EXIT_DONE)
                return r;
        if (failed)
                return show(o, "/v1/tasks?failed=1", render_failed, NULL);
        if (argc == 0)
                return show(o, "/v1/tasks", render_tasks, NULL);
        if (!is_id(argv[0])) {
                tell_error(o, "usage", "that is no id of a task", "iicpctl tasks [--failed] [ID]");
                return EXIT_USAGE;
        }
        snprintf(path, sizeof(path), "/v1/tasks/%s", argv[0]);
        return show(o, path, render_task, NULL);
}

int cmd_selftest(const struct options *o, int argc, char **argv) {
        struct options patient = *o;
        struct answer a = {0};
        char t[32];
        int r = no_more(o, argc, argv);

        if (r != EXIT_DONE)
                return r;
        patient.timeout_s = MAX(o->timeout_s, 130); /* a cold model takes its time */
        r = call(&patient, "POST", "/v1/selftest", "{}", &a);
        if (r == EXIT_DONE && (a.status != 200 || !a.doc))
                r = tell_refusal(o, &a);
        else if (r == EXIT_DONE && o->json)
                puts(a.text);
        else if (r == EXIT_DONE)
                printf("chat on %s, %s tokens (not counted, not paid), %s\n", or_dash(text_of(a.doc, "model")), or_dash(text_of(a.doc, "tokens")),
                       took(number(a.doc, "took_ms"), t, sizeof(t)));
        answer_done(&a);
        return r;
}
