/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "config.h"
#include "config_table.h"
#include "control/schema.h"
#include "util.h"

#include <iicp/buf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <signal.h>

/* Help and completion, both from the table of commands: what stands in `args` says which words, flags
 * and kinds of values a command takes. [operator design 6.8] */

#define HELP_WIDTH 78
#define VALUES_WAIT_US 200000 /* for values that only the daemon knows */

static const char *const globals[] = {"--socket", "--json", "--color", "--timeout", "--help", "--version"};

/* One screen of 24 lines. */
void help_short(FILE *f) {
        int at = 0;

        fprintf(f, "iicpctl [-s SOCKET] [--json] [--color=WHEN] [-t SECONDS] COMMAND\n\nCommands:\n");
        for (size_t i = 0; i < n_commands; i++) {
                int n = (int) strlen(commands[i].name);

                if (at + 1 + n > HELP_WIDTH - 2) {
                        fputc('\n', f);
                        at = 0;
                }
                at += fprintf(f, "%s%s", at ? " " : "  ", commands[i].name);
        }
        fprintf(f, "\n\niicpctl COMMAND --help says what it does, iicpctl help all of it.\n\n"
                   "Exit: 0 done, ready; 1 refused or failed; 2 usage; 3 not running;\n"
                   "4 no permission; 5 no answer; 10 degraded; 11 not ready, starting, draining;\n12 wait ran out; "
"check: 0 live (with --ready: ready); 1 not; 2 unknown\n\n"
                   "  iicpctl status --json | jq -r .state\n"
                   "  iicpctl drain --wait && systemctl stop iicpd\n"
                   "  iicpctl config limits.max_concurrent\n");
}

static void help_line(const struct command *c) {
        printf("  %s%s%s\n      %s\n", c->name, c->args[0] ? " " : "", c->args, c->help);
}

static const struct command *command_of(const char *name) {
        for (size_t i = 0; i < n_commands; i++)
                if (strcmp(commands[i].name, name) == 0)
                        return &commands[i];
        return NULL;
}

bool help_command(const char *name) {
        const struct command *c = command_of(name);

        if (c)
                help_line(c);
        return c;
}

int cmd_help(const struct options *o, int argc, char **argv) {
        if (argc > 1)
                return no_more(o, argc - 1, argv + 1);
        if (argc > 0)
                return help_command(argv[0]) ? EXIT_DONE : unknown_command(o, argv[0]);
        for (size_t i = 0; i < n_commands; i++)
                help_line(&commands[i]);
        return EXIT_DONE;
}

/* ---- completion ---- */

static void offer(const char *prefix, const char *word, const char *help) {
        if (strncmp(word, prefix, strlen(prefix)) == 0)
                printf("%s%s%s\n", word, help ? "\t" : "", help ? help : "");
}

static void offer_keys(const char *prefix) {
        char key[96];

        for (size_t i = 0; i < config_n_keys; i++) {
                snprintf(key, sizeof key, "%s.%s", config_keys[i].section, config_keys[i].name);
                if (!key_of_backend(&config_keys[i]))
                        offer(prefix, key, config_keys[i].help);
        }
}

static void too_late(int number) {
        (void) number;
        _exit(0); /* what is known so far has been written */
}

/* Members of a list that the daemon has; nothing when it does not answer at once. */
static void offer_running(const struct options *o, const char *prefix, const char *path, const char *list, const char *member) {
        const struct itimerval wait = {.it_value.tv_usec = VALUES_WAIT_US};
        struct options quiet = *o;
        struct answer a = {0};
        json_object *all = NULL;

        fflush(stdout);
        signal(SIGALRM, too_late);
        setitimer(ITIMER_REAL, &wait, NULL);
        quiet.quiet = true;
        if (call(&quiet, "GET", path, NULL, &a) == EXIT_DONE && a.doc && json_object_object_get_ex(a.doc, list, &all) &&
            json_object_is_type(all, json_type_array))
                for (size_t i = 0; i < json_object_array_length(all); i++)
                        offer(prefix, text_of(json_object_array_get_idx(all, i), member), NULL);
        answer_done(&a);
}

/* What a word in capitals stands for. */
static void offer_kind(const struct options *o, const char *prefix, const char *command, const char *kind, size_t n) {
        static const struct {
                const char *kind, *words;
        } closed[] = {
                {"LEVEL", "err warn notice info debug"}, {"STATE", "ready degraded registered route drained stopped"},
                {"TYPE", "node route backend directory relay config limit task"}, {"AGE", "10min 1h 1d"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
                if (strlen(closed[i].kind) == n && strncmp(closed[i].kind, kind, n) == 0)
                        for (const char *w = closed[i].words; *w; w += strcspn(w, " "), w += *w == ' ') {
                                char word[32];

                                snprintf(word, sizeof word, "%.*s", (int) strcspn(w, " "), w);
                                offer(prefix, word, NULL);
                        }
        if ((n == 3 && strncmp(kind, "KEY", n) == 0 && strcmp(command, "config") == 0) || strcmp(command, "explain") == 0)
                offer_keys(prefix);
        else if (strcmp(command, "schema") == 0)
                for (size_t i = 0; i < n_schemas; i++)
                        offer(prefix, schemas[i].name, NULL);
        else if (strcmp(command, "backends") == 0)
                offer_running(o, prefix, "/v1/backends", "backends", "name");
        else if (strcmp(command, "tasks") == 0)
                offer_running(o, prefix, "/v1/tasks", "tasks", "task_id");
}

static void offer_arguments(const struct options *o, const struct command *c, const char *prefix) {
        for (const char *p = c->args; *p;) {
                size_t n = strcspn(p, " []|");
                char word[64];

                snprintf(word, sizeof word, "%.*s", (int) n, p);
                if (word[0] == '-')
                        offer(prefix, word, NULL);
                else if (word[0] >= 'A' && word[0] <= 'Z')
                        offer_kind(o, prefix, c->name, word, n);
                else if (word[0] >= 'a' && word[0] <= 'z')
                        offer(prefix, word, NULL);
                p += n + strspn(p + n, " []|");
        }
}

/* complete -- WORD...: the last one is to be completed. Silent whatever happens. */
int cmd_complete(const struct options *o, int argc, char **argv) {
        struct options own = *o;
        const char *last;
        int i = argc > 0 && strcmp(argv[0], "--") == 0;

        if (i >= argc)
                return EXIT_DONE;
        last = argv[argc - 1];
        for (; i < argc - 1 && argv[i][0] == '-'; i++) {
                bool value = strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "--socket") == 0 ||
                             strcmp(argv[i], "--timeout") == 0;

                if (value && argv[i][1] == 's' && i + 1 < argc - 1)
                        own.socket = argv[i + 1];
                i += value;
        }
        if (i >= argc - 1) {
                for (size_t k = 0; k < n_commands; k++)
                        offer(last, commands[k].name, commands[k].help);
                for (size_t k = 0; last[0] == '-' && k < ARRAY_SIZE(globals); k++)
                        offer(last, globals[k], NULL);
        } else if (command_of(argv[i]))
                offer_arguments(&own, command_of(argv[i]), last);
        return EXIT_DONE;
}
