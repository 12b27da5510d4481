/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPCTL_H
#define IICPCTL_H

/* The control program: a thin client of the daemon's Unix socket. It reads and writes no state of
 * its own. [operator design 3.3, 3.4, 6] */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>

enum exit_code {
        EXIT_DONE = 0,
        EXIT_REFUSED = 1,        /* the daemon refused, or it failed */
        EXIT_USAGE = 2,
        EXIT_NOT_RUNNING = 3,
        EXIT_PERMISSION = 4,
        EXIT_NO_ANSWER = 5,
        EXIT_DEGRADED = 10,
        EXIT_NOT_READY = 11,
        EXIT_WAIT = 12,
};

struct options {
        const char *socket;      /* path */
        long timeout_s;
        bool json, verbose, colour, utf8;
        int width;               /* of the terminal, at least 80; 0 = none: nothing is wrapped or cut */
        bool quiet;              /* errors are not told: the caller looks again */
};

/* The one table of commands: help and completions come from it. */
struct command {
        const char *name, *args, *help;
        int (*fn)(const struct options *o, int argc, char **argv);
};
extern const struct command commands[];
extern const size_t n_commands;

struct answer {
        long status;             /* HTTP, 0 = none */
        char *text;
        json_object *doc;        /* NULL when it is no JSON */
};

/* One request. EXIT_DONE when there is an answer, whatever its status; otherwise the exit code,
 * with the reason already told (as JSON under --json). */
int call(const struct options *o, const char *method, const char *path, const char *body, struct answer *ret);
void answer_done(struct answer *a);
/* Tells {"error":{...}} of an answer; returns EXIT_REFUSED or EXIT_PERMISSION. */
int tell_refusal(const struct options *o, const struct answer *a);
/* The same form for what went wrong on this side. */
void tell_error(const struct options *o, const char *code, const char *message, const char *todo);

/* check.c: the health snapshot. Its exit codes are its own: 0 live, 1 not, 2 unknown. */
int cmd_check(const struct options *o, int argc, char **argv);

/* explain.c: works on what is built in. EXIT_REFUSED for an unknown word. */
int cmd_explain(const struct options *o, int argc, char **argv);
/* bugreport.c */
int cmd_bugreport(const struct options *o, int argc, char **argv);
/* doctor.c: EXIT_DEGRADED with warnings, EXIT_NOT_READY with failures. */
int cmd_doctor(const struct options *o, int argc, char **argv);
/* config.c, tasks.c */
int cmd_config(const struct options *o, int argc, char **argv);
int cmd_tasks(const struct options *o, int argc, char **argv);
/* Takes as long as the model does. */
int cmd_selftest(const struct options *o, int argc, char **argv);
/* log_level.c */
int cmd_log(const struct options *o, int argc, char **argv);
/* wait.c. EXIT_WAIT when it ran out. */
int cmd_wait(const struct options *o, int argc, char **argv);
/* After a drain: until no task runs. */
int wait_drained(const struct options *o);

/* directory.c */
int cmd_reregister(const struct options *o, int argc, char **argv);
int cmd_deregister(const struct options *o, int argc, char **argv);
int cmd_identity(const struct options *o, int argc, char **argv);
/* EXIT_USAGE, told with the nearest name. */
int unknown_command(const struct options *o, const char *name);
/* EXIT_USAGE, told, when there are arguments left. */
int no_more(const struct options *o, int argc, char **argv);
/* account.c: our account at the directory. */
int cmd_credits(const struct options *o, int argc, char **argv);
/* operator.c, import.c: work on files, without a daemon. */
int cmd_operator(const struct options *o, int argc, char **argv);
int cmd_import(const struct options *o, int argc, char **argv);
/* main.c: one request whose answer is shown by render, or as it is under --json. judge, if not NULL, gives the
 * exit code. */
int show_call(const struct options *o, const char *method, const char *path, const char *body,
              void (*render)(const struct options *, json_object *), int (*judge)(json_object *doc));
/* The same for a document that is only read. */
int show(const struct options *o, const char *path, void (*render)(const struct options *, json_object *),
         int (*judge)(json_object *doc));
/* routes.c: how others get here. EXIT_NOT_READY without a route. */
int cmd_routes(const struct options *o, int argc, char **argv);
/* peers.c: the mesh. */
int cmd_peers(const struct options *o, int argc, char **argv);
int cmd_relays(const struct options *o, int argc, char **argv);
int cmd_netcheck(const struct options *o, int argc, char **argv);
int cmd_redetect(const struct options *o, int argc, char **argv);

/* sessions.c: workers of this relay. */
int cmd_sessions(const struct options *o, int argc, char **argv);

/* help.c: from the table of commands. cmd_complete is what the completions of shells ask. */
void help_short(FILE *f);
bool help_command(const char *name);
int cmd_help(const struct options *o, int argc, char **argv);
int cmd_complete(const struct options *o, int argc, char **argv);
/* top.c: until q, or one picture. */
int cmd_top(const struct options *o, int argc, char **argv);
/* page.c: until Ctrl-C. events.c, schema.c. */
int cmd_page(const struct options *o, int argc, char **argv);
int cmd_events(const struct options *o, int argc, char **argv);
int cmd_schema(const struct options *o, int argc, char **argv);

/* Text views. */
void render_status(const struct options *o, json_object *doc);
void render_backends(const struct options *o, json_object *doc);
void render_models(const struct options *o, json_object *doc);
void render_directory(const struct options *o, json_object *doc);
void render_problems(json_object *doc);
void render_reload(const struct options *o, json_object *doc);
/* Of what documents hold: NULL when it is not there, or no array. */
json_object *get(json_object *o, const char *name);
json_object *list_of(json_object *o, const char *name);
int64_t number(json_object *o, const char *name); /* 0 when it is not there */
bool truth(json_object *o, const char *name);
const char *or_dash(const char *s);
const char *age(int64_t s, char *out, size_t cap);   /* "2 h 14 m", "41 s" */
const char *took(int64_t ms, char *out, size_t cap); /* "840 ms", "1.2 s" */
/* "  label      text", at a terminal wrapped under its label. */
void label(const struct options *o, const char *name, const char *text);
void labelf(const struct options *o, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Member of an object as text, "" when it is not there. */
const char *text_of(json_object *o, const char *name);

#endif
