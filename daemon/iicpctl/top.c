/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "util.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* The whole node on 80 columns and 24 lines, once a second, with plain cursor movement that a serial line
 * understands. The terminal is put back at each way out. --once prints one picture for scripts.
 * [operator design 6.3] */

#define COLUMNS_LEAST 80
#define ROWS_LEAST 24
#define EVERY_MS 1000
#define HISTORY 12     /* minutes of the small curve */
#define LOWER_AT 10    /* lines that are not of the list */
#define PIPE_COLUMNS 1000 /* of one picture: nothing is cut */
#define PIPE_BYTES 131072

enum list { LIST_TASKS, LIST_ROUTE, LIST_SESSIONS, LIST_BACKENDS };

struct screen {
        char *text;
        size_t n, cap;
        int columns, rows, row;
};

struct top {
        const struct options *o;
        enum list list;
        int64_t ended_before, looked_s;  /* for tasks a minute */
        double rates[HISTORY];           /* tasks a minute, the youngest last */
        double rate;
        char last_id[24], last_event[256]; /* of /v1/events */
        struct screen screen;
};

/* Set by signals: the loop leaves, and puts the terminal back. */
static volatile sig_atomic_t leaving;

static void on_signal(int number) {
        leaving = number;
}

/* ---- lines of the screen ---- */

/* One line, cut to the width by characters; control bytes of foreign text become marks. */
static void put_line(struct screen *s, const char *fmt, ...) {
        char line[1024];
        int columns = 0;
        va_list ap;

        if (s->row >= s->rows)
                return;
        va_start(ap, fmt);
        vsnprintf(line, sizeof line, fmt, ap);
        va_end(ap);
        for (const char *p = line; *p; p++) {
                bool first = ((unsigned char) *p & 0xc0) != 0x80;

                if (first && columns == s->columns)
                        break;
                columns += first;
                if (s->n + 8 < s->cap)
                        s->text[s->n++] = (unsigned char) *p < 0x20 || *p == 0x7f ? '?' : *p;
        }
        if (s->n + 8 < s->cap)
                s->text[s->n++] = '\n';
        s->row++;
}

static json_object *ask_for(const struct top *t, const char *path, struct answer *a) {
        int r = call(t->o, "GET", path, NULL, a);

        return r == EXIT_DONE && a->status == 200 ? a->doc : NULL;
}

/* ---- what is above ---- */

static void note_rate(struct top *t, json_object *tasks) {
        int64_t ended = number(tasks, "success") + number(tasks, "error") + number(tasks, "timeout") + number(tasks, "aborted");
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        if (t->looked_s == 0) {
                t->looked_s = now.tv_sec;
                t->ended_before = ended;
        }
        if (now.tv_sec - t->looked_s >= 5) {
                double minutes = (double) (now.tv_sec - t->looked_s) / 60;

                t->rate = (double) MAX(ended - t->ended_before, 0) / minutes;
                memmove(t->rates, t->rates + 1, sizeof t->rates - sizeof t->rates[0]);
                t->rates[HISTORY - 1] = t->rate;
                t->ended_before = ended;
                t->looked_s = now.tv_sec;
        }
}

static const char *curve(const struct top *t, char out[HISTORY + 1]) {
        static const char steps[] = " .:-=+*#";
        double most = 1;

        for (int i = 0; i < HISTORY; i++)
                most = MAX(most, t->rates[i]);
        for (int i = 0; i < HISTORY; i++)
                out[i] = steps[(size_t) (t->rates[i] / most * 7)];
        out[HISTORY] = '\0';
        return out;
}

static void put_slots(struct top *t, json_object *tasks) {
        int64_t active = number(tasks, "active"), slots = number(tasks, "effective_slots");
        char marks[17] = "", history[HISTORY + 1], p50[24], p99[24];
        int n = (int) MIN(MAX(slots, active), 16);

        for (int i = 0; i < n; i++)
                marks[i] = i < active ? '#' : '.';
        put_line(&t->screen, "slots   %s %" PRId64 "/%" PRId64 "  waiting %" PRId64 "   tasks/min %s %.1f   p50 %s  p99 %s", marks,
                 active, slots, number(tasks, "waiting"), curve(t, history), t->rate,
                 took(number(tasks, "p50_ms"), p50, sizeof p50), took(number(tasks, "p99_ms"), p99, sizeof p99));
}

static void put_backends_line(struct top *t, json_object *backends) {
        size_t n = backends ? json_object_array_length(backends) : 0;
        char line[512] = "";
        size_t at = 0;

        for (size_t i = 0; i < n && at < sizeof line - 1; i++) {
                json_object *b = json_object_array_get_idx(backends, i);
                int k = snprintf(line + at, sizeof line - at, "%s%s %s, %" PRId64 " in flight", i ? "   " : "", text_of(b, "name"),
                                 truth(b, "auth_failed") ? "auth failed" : text_of(b, "state"), number(b, "in_flight"));

                at += k > 0 ? (size_t) k : 0;
        }
        put_line(&t->screen, "backend %s", line);
}

static void put_head(struct top *t, json_object *status) {
        json_object *node = get(status, "node"), *route = get(status, "route"), *directory = get(status, "directory");
        json_object *tasks = get(status, "tasks");
        int64_t up = number(node, "uptime_s"), all = number(tasks, "success") + number(tasks, "error") + number(tasks, "timeout");
        time_t now = time(NULL);
        struct tm local;
        char clock[16];

        localtime_r(&now, &local);
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
        put_line(&t->screen, "%s %s · up %" PRId64 ":%02" PRId64 " · %s   t tasks r route s sessions b backends q quit",
                 text_of(node, "name"), text_of(status, "state"), up / 3600, up % 3600 / 60, clock);
        if (strcmp(text_of(status, "state"), "ready") == 0)
                put_line(&t->screen, "        nothing needs attention");
        else
                put_line(&t->screen, "        %s", text_of(status, "sentence"));
        note_rate(t, tasks);
        put_slots(t, tasks);
        put_line(&t->screen, "tasks   %" PRId64 " success, %" PRId64 " error, %" PRId64 " timeout, %" PRId64 " refused   error %.1f %%",
                 number(tasks, "success"), number(tasks, "error"), number(tasks, "timeout"), number(tasks, "refused"),
                 all ? 100.0 * (double) (all - number(tasks, "success")) / (double) all : 0.0);
        put_backends_line(t, get(status, "backends"));
        put_line(&t->screen, "route   %s%s%s", text_of(route, "endpoint")[0] ? text_of(route, "endpoint") : "none: ",
                 text_of(route, "endpoint")[0] ? "   directory " : text_of(route, "reason"),
                 text_of(route, "endpoint")[0] ? text_of(directory, "state") : "");
        put_line(&t->screen, "self    %" PRId64 "/%" PRId64 " connections", number(route, "connections"), number(route, "max_connections"));
        put_line(&t->screen, "%s", "");
}

/* ---- the list below ---- */

static void put_tasks(struct top *t) {
        struct answer a = {0};
        json_object *doc = ask_for(t, "/v1/tasks", &a), *list = get(doc, "tasks");
        char age[24], left[24];

        put_line(&t->screen, "%-9s %-7s %-28s %-7s %-7s %s", "TASK", "AGE", "MODEL", "DOOR", "LEFT", "DOING");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *x = json_object_array_get_idx(list, i);

                put_line(&t->screen, "%-9.8s %-7s %-28s %-7s %-7s %s", text_of(x, "task_id"), took(number(x, "age_ms"), age, sizeof age),
                         text_of(x, "model"), text_of(x, "door"), took(number(x, "left_ms"), left, sizeof left), text_of(x, "doing"));
        }
        if (!list || json_object_array_length(list) == 0)
                put_line(&t->screen, "none");
        answer_done(&a);
}

static void put_sessions(struct top *t) {
        struct answer a = {0};
        json_object *doc = ask_for(t, "/v1/sessions?limit=40", &a), *list = get(doc, "sessions");

        put_line(&t->screen, "%-10s %-11s %-9s %-9s %s", "WORKER", "VIA", "CALLS", "FAILED", "SOURCE");
        for (size_t i = 0; list && json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
                json_object *x = json_object_array_get_idx(list, i);

                put_line(&t->screen, "%-10.8s %-11s %-9s %-9s %s", text_of(x, "worker_id"), text_of(x, "transport"), text_of(x, "calls"),
                         text_of(x, "failed"), text_of(x, "source"));
        }
        if (!list)
                put_line(&t->screen, "this node is no relay");
        answer_done(&a);
}

static void put_route(struct top *t) {
        struct answer a = {0};
        json_object *doc = ask_for(t, "/v1/routes", &a), *r = get(doc, "reachability"), *log = get(r, "log");

        put_line(&t->screen, "ROUTE   tier %s, %s %s", text_of(r, "tier"), text_of(r, "kind"), text_of(r, "route"));
        if (text_of(r, "why")[0])
                put_line(&t->screen, "why     %s", text_of(r, "why"));
        for (size_t i = 0; log && json_object_is_type(log, json_type_array) && i < json_object_array_length(log); i++)
                put_line(&t->screen, "        %s", json_object_get_string(json_object_array_get_idx(log, i)));
        answer_done(&a);
}

static void put_backends(struct top *t, json_object *status) {
        json_object *list = get(status, "backends");

        put_line(&t->screen, "%-14s %-14s %-10s %-20s %-7s %s", "BACKEND", "TYPE", "STATE", "REASON", "MODELS", "OK/FAILED");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *b = json_object_array_get_idx(list, i);

                put_line(&t->screen, "%-14s %-14s %-10s %-20s %-7s %s/%s", text_of(b, "name"), text_of(b, "type"), text_of(b, "state"),
                         text_of(b, "reason"), text_of(b, "models"), text_of(b, "ok"), text_of(b, "failed"));
        }
}

/* What has happened since the last picture; the last of it is shown. */
static void look_at_events(struct top *t) {
        struct answer a = {0};
        json_object *doc = NULL;
        char path[96];

        snprintf(path, sizeof path, "/v1/events?follow=0&tasks=1&after=%s", t->last_id[0] ? t->last_id : "0");
        if (call(t->o, "GET", path, NULL, &a) == EXIT_DONE && a.text)
                for (const char *p = a.text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
                        size_t n = strcspn(p, "\n");

                        if (strncmp(p, "id: ", 4) == 0)
                                snprintf(t->last_id, sizeof t->last_id, "%.*s", (int) n - 4, p + 4);
                        else if (strncmp(p, "data: ", 6) == 0) {
                                char *line = strndup(p + 6, n - 6);

                                json_object_put(doc);
                                doc = line ? json_tokener_parse(line) : NULL;
                                free(line);
                        }
                }
        if (doc)
                snprintf(t->last_event, sizeof t->last_event, "%.8s %s %.8s %s %s", text_of(doc, "at") + MIN(strlen(text_of(doc, "at")), (size_t) 11),
                         text_of(doc, "event"), text_of(doc, "task_id"), text_of(doc, "status"), text_of(doc, "message"));
        json_object_put(doc);
        answer_done(&a);
}

/* EXIT_DONE, or why there is no picture. */
static int draw(struct top *t) {
        struct screen *s = &t->screen;
        struct answer a = {0};
        json_object *status;
        int r = call(t->o, "GET", "/v1/status", NULL, &a);

        if (r != EXIT_DONE)
                return r;
        status = a.status == 200 ? a.doc : NULL;
        s->n = 0;
        s->row = 0;
        s->rows--; /* the last one is for the last event */
        if (!status) {
                r = tell_refusal(t->o, &a);
                s->rows++;
        } else {
                put_head(t, status);
                switch (t->list) {
                case LIST_TASKS: put_tasks(t); break;
                case LIST_ROUTE: put_route(t); break;
                case LIST_SESSIONS: put_sessions(t); break;
                case LIST_BACKENDS: put_backends(t, status); break;
                }
                s->rows++;
                look_at_events(t);
                put_line(s, "%s", t->last_event);
        }
        answer_done(&a);
        return r;
}

/* ---- the terminal ---- */

static int make_screen(struct screen *s) {
        struct winsize w = {0};

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
                w = (struct winsize){.ws_col = COLUMNS_LEAST, .ws_row = ROWS_LEAST};
        s->columns = w.ws_col;
        s->rows = MAX((int) w.ws_row, LOWER_AT + 1) - 1; /* the last line stays free: no scrolling */
        free(s->text);
        s->cap = (size_t) s->columns * 4 * (size_t) s->rows + 1024;
        s->text = malloc(s->cap);
        return s->text ? 0 : -ENOMEM;
}

/* Home, each line with the rest of it erased, then what is below. */
static void show_screen(const struct screen *s) {
        fputs("\033[H", stdout);
        for (size_t i = 0; i < s->n; i++)
                if (s->text[i] == '\n')
                        fputs("\033[K\r\n", stdout);
                else
                        putchar(s->text[i]);
        fputs("\033[J", stdout);
        fflush(stdout);
}

/* false: the user wants to leave. */
static bool on_key(struct top *t, char key) {
        switch (key) {
        case 't': t->list = LIST_TASKS; break;
        case 'r': t->list = LIST_ROUTE; break;
        case 's': t->list = LIST_SESSIONS; break;
        case 'b': t->list = LIST_BACKENDS; break;
        case 'q': case 3: case 4: return false;
        default: break;
        }
        return true;
}

static int watch(struct top *t) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        int r;

        while (!leaving) {
                char key;

                if (make_screen(&t->screen) < 0)
                        return EXIT_REFUSED;
                r = draw(t);
                if (r != EXIT_DONE)
                        return r;
                show_screen(&t->screen);
                if (poll(&p, 1, EVERY_MS) > 0 && (read(STDIN_FILENO, &key, 1) != 1 || !on_key(t, key)))
                        break;
        }
        return EXIT_DONE;
}

static int at_terminal(struct top *t) {
        static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
        struct sigaction leave = {.sa_handler = on_signal};
        struct termios before, raw;
        int r;

        if (tcgetattr(STDIN_FILENO, &before) < 0)
                return EXIT_USAGE;
        for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
                sigaction(ends[i], &leave, NULL);
        raw = before;
        raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        fputs("\033[?25l\033[2J", stdout);
        r = watch(t);
        /* What went wrong has been told on the screen: it stays. */
        fputs(r == EXIT_DONE ? "\033[2J\033[H\033[?25h" : "\033[?25h\r\n", stdout);
        fflush(stdout);
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
        return r;
}

int cmd_top(const struct options *o, int argc, char **argv) {
        bool once = argc > 0 && strcmp(argv[0], "--once") == 0;
        struct top t = {.o = o};
        int r = no_more(o, argc - (once ? 1 : 0), argv + (once ? 1 : 0));

        if (r != EXIT_DONE)
                return r;
        if (o->json) /* the document that the picture is made from */
                return show(o, "/v1/status", render_status, NULL);
        if (once || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
                t.screen = (struct screen){.columns = PIPE_COLUMNS, .rows = ROWS_LEAST * 4, .cap = PIPE_BYTES};
                t.screen.text = malloc(t.screen.cap);
                r = t.screen.text ? draw(&t) : EXIT_REFUSED;
                if (r == EXIT_DONE)
                        fwrite(t.screen.text, 1, t.screen.n, stdout);
        } else
                r = at_terminal(&t);
        free(t.screen.text);
        return r;
}
