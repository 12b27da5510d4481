/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "edit_distance.h"
#include "util.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Returns when it is so: replaces sleep loops in scripts. [operator design 6.1] */

#define WAIT_DEFAULT_S 60
#define WAIT_MAX_S 86400
#define LOOK_MS 200
#define DRAIN_S 600 /* drain --wait: the longest drain time that can be configured */

/* doc is the status document, NULL = there is no daemon. */
static bool is_ready(json_object *doc) {
        return strcmp(text_of(doc, "state"), "ready") == 0;
}

static bool is_degraded(json_object *doc) {
        return is_ready(doc) || strcmp(text_of(doc, "state"), "degraded") == 0;
}

static bool is_registered(json_object *doc) {
        return strcmp(text_of(get(doc, "directory"), "state"), "registered") == 0;
}

static bool has_route(json_object *doc) {
        return *text_of(get(doc, "route"), "endpoint") != '\0';
}

static bool is_drained(json_object *doc) {
        json_object *tasks = get(doc, "tasks");

        if (!doc)
                return true;
        return get(doc, "draining") && json_object_get_int64(get(tasks, "active")) == 0 &&
               json_object_get_int64(get(tasks, "waiting")) == 0;
}

static bool is_stopped(json_object *doc) {
        return !doc;
}

static const struct {
        const char *word;
        bool (*is)(json_object *doc);
} wanted[] = {
        {"ready", is_ready}, {"degraded", is_degraded}, {"registered", is_registered},
        {"route", has_route}, {"drained", is_drained},  {"stopped", is_stopped},
};

static uint64_t mono_ms(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000u + (uint64_t) ts.tv_nsec / 1000000u;
}

static int usage(const struct options *o, const char *word) {
        char message[96], todo[96];
        unsigned best = 3;
        const char *near = NULL;

        for (size_t i = 0; word && i < ARRAY_SIZE(wanted); i++) {
                unsigned d = edit_distance(word, wanted[i].word, 2);

                if (d < best) {
                        best = d;
                        near = wanted[i].word;
                }
        }
        if (word)
                snprintf(message, sizeof(message), "'%.32s' is nothing to wait for", word);
        else
                snprintf(message, sizeof(message), "what is to be waited for?");
        snprintf(todo, sizeof(todo), near ? "did you mean '%s'?" : "ready, degraded, registered, route, drained or stopped",
                 near);
        tell_error(o, "usage", message, todo);
        return EXIT_USAGE;
}

/* -t N, --timeout N, --timeout=N; EXIT_USAGE, told, for anything else. */
static int seconds(const struct options *o, int argc, char **argv, long *ret) {
        const char *text = NULL;
        int used = 0;
        char *end;

        *ret = WAIT_DEFAULT_S;
        if (argc > 0 && strncmp(argv[0], "--timeout=", 10) == 0) {
                text = argv[0] + 10;
                used = 1;
        } else if (argc > 1 && (strcmp(argv[0], "-t") == 0 || strcmp(argv[0], "--timeout") == 0)) {
                text = argv[1];
                used = 2;
        }
        if (text) {
                *ret = strtol(text, &end, 10);
                if (end == text || *end || *ret < 0 || *ret > WAIT_MAX_S) {
                        tell_error(o, "usage", "the time to wait is 0 to 86400 seconds", "iicpctl wait ready -t 60");
                        return EXIT_USAGE;
                }
        }
        return no_more(o, argc - used, argv + used);
}

static void tell_reached(const struct options *o, const char *word, json_object *doc, uint64_t ms) {
        if (o->json)
                printf("{\"schema\":\"iicp.wait/1\",\"wanted\":\"%s\",\"reached\":true,\"waited_ms\":%llu,\"state\":\"%s\"}\n",
                       word, (unsigned long long) ms, doc ? text_of(doc, "state") : "not running");
        else
                printf("%s after %.1f s\n", word, (double) ms / 1000.0);
}

/* One look. EXIT_DONE: *ret is the document, or NULL for no daemon; another code ends the wait, but
 * for EXIT_NO_ANSWER: a daemon that hangs may come back. */
static int look(const struct options *o, long left_s, json_object **ret, char *now, size_t cap) {
        struct options quiet = *o;
        struct answer a = {0};
        int r;

        *ret = NULL;
        quiet.quiet = true;
        quiet.timeout_s = MAX(1, MIN(o->timeout_s, left_s));
        r = call(&quiet, "GET", "/v1/status", NULL, &a);
        if (r == EXIT_NOT_RUNNING) {
                snprintf(now, cap, "iicpd is not running");
                return EXIT_DONE;
        }
        if (r == EXIT_DONE && a.status == 200 && a.doc) {
                *ret = json_object_get(a.doc);
                snprintf(now, cap, "%s: %s", text_of(a.doc, "state"), text_of(a.doc, "sentence"));
        } else if (r == EXIT_DONE || r == EXIT_NO_ANSWER) {
                snprintf(now, cap, "iicpd does not answer");
                r = EXIT_NO_ANSWER;
        } else
                call(o, "GET", "/v1/status", NULL, &a); /* says why */
        answer_done(&a);
        return r;
}

int cmd_wait(const struct options *o, int argc, char **argv) {
        bool (*is)(json_object *doc) = NULL;
        uint64_t start = mono_ms(), end;
        char now[320], message[384];
        long limit_s;
        int r;

        for (size_t i = 0; argc > 0 && i < ARRAY_SIZE(wanted); i++)
                if (strcmp(argv[0], wanted[i].word) == 0)
                        is = wanted[i].is;
        if (!is)
                return usage(o, argc > 0 ? argv[0] : NULL);
        r = seconds(o, argc - 1, argv + 1, &limit_s);
        if (r != EXIT_DONE)
                return r;
        end = start + (uint64_t) limit_s * 1000u;
        for (;;) {
                json_object *doc;
                uint64_t at;
                bool reached;

                at = mono_ms();
                r = look(o, at < end ? (long) ((end - at + 999u) / 1000u) : 1, &doc, now, sizeof(now));
                if (r != EXIT_DONE && r != EXIT_NO_ANSWER)
                        return r;
                reached = r == EXIT_DONE && is(doc);
                at = mono_ms();
                if (reached)
                        tell_reached(o, argv[0], doc, at - start);
                json_object_put(doc);
                if (reached)
                        return EXIT_DONE;
                if (at >= end)
                        break;
                poll(NULL, 0, (int) MIN(LOOK_MS, end - at));
        }
        snprintf(message, sizeof(message), "not %s after %ld s; %s", argv[0], limit_s, now);
        tell_error(o, "wait", message, "iicpctl status");
        return EXIT_WAIT;
}

/* Counts running tasks down, a line for each change. */
int wait_drained(const struct options *o) {
        uint64_t end = mono_ms() + DRAIN_S * 1000u;
        long running = -1;

        while (mono_ms() < end) {
                struct answer a;
                long now;
                int r = call(o, "GET", "/v1/status", NULL, &a);

                if (r != EXIT_DONE)
                        return r;
                now = strtol(text_of(get(a.doc, "tasks"), "active"), NULL, 10);
                answer_done(&a);
                if (now != running && !o->json)
                        fprintf(stderr, "%ld task%s left\n", now, now == 1 ? "" : "s");
                running = now;
                if (now == 0)
                        return EXIT_DONE;
                poll(NULL, 0, LOOK_MS);
        }
        tell_error(o, "wait", "tasks still run", "iicpctl tasks");
        return EXIT_WAIT;
}
