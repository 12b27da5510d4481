/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The level of the log, for a while or until a reload; and the log itself. [operator design 6.6] */

#define FOR_MAX_S 86400

static int usage(const struct options *o) {
        tell_error(o, "usage", "no such level of the log", "err, warn, notice, info or debug");
        return EXIT_USAGE;
}

/* "90s", "10m", "1h"; 0: it is none. */
static long duration(const char *text) {
        char *end;
        long n = strtol(text, &end, 10);

        if (end == text || n < 1 || n > FOR_MAX_S)
                return 0;
        if (strcmp(end, "m") == 0 || strcmp(end, "min") == 0)
                n *= 60;
        else if (strcmp(end, "h") == 0)
                n *= 3600;
        else if (strcmp(end, "s") != 0)
                return 0;
        return n <= FOR_MAX_S ? n : 0;
}

static void render(const struct options *o, json_object *doc) {
        char left[32];

        (void) o;
        if (strcmp(text_of(doc, "level"), text_of(doc, "configured")) == 0)
                printf("%s, as configured\n", text_of(doc, "level"));
        else if (get(doc, "left_s"))
                printf("%s for %s more, then %s again (by %s)\n", text_of(doc, "level"), age(number(doc, "left_s"), left, sizeof(left)),
                       text_of(doc, "configured"), text_of(doc, "by"));
        else
                printf("%s until a reload or restart (configured: %s)\n", text_of(doc, "level"), text_of(doc, "configured"));
}

static int level(const struct options *o, int argc, char **argv) {
        static const char *const words[] = {"err", "warn", "notice", "info", "debug"};
        bool known = argc == 0;
        char body[64] = "";
        long for_s = 0;
        int used = argc > 0, r;

        for (size_t i = 0; argc > 0 && i < ARRAY_SIZE(words); i++)
                known = known || strcmp(words[i], argv[0]) == 0;
        if (!known)
                return usage(o);
        if (argc > 1 && strcmp(argv[1], "--for") == 0) {
                for_s = argc > 2 ? duration(argv[2]) : 0;
                if (for_s == 0) {
                        tell_error(o, "usage", "--for wants a time with its unit, up to 24h", "iicpctl log debug --for 10m");
                        return EXIT_USAGE;
                }
                used = 3;
        }
        r = no_more(o, argc - used, argv + used);
        if (r != EXIT_DONE)
                return r;
        if (for_s)
                snprintf(body, sizeof(body), "{\"level\":\"%s\",\"for_s\":%ld}", argv[0], for_s);
        else if (argc > 0)
                snprintf(body, sizeof(body), "{\"level\":\"%s\"}", argv[0]);
        return show_call(o, argc > 0 ? "PUT" : "GET", "/v1/log", argc > 0 ? body : NULL, render, NULL);
}

/* The journal has it, and a program that shows it better than we would. */
static int follow(const struct options *o) {
        char message[128];

        execlp("journalctl", "journalctl", "-f", "-u", "iicpd", (char *) NULL);
        snprintf(message, sizeof(message), "journalctl cannot be run: %s", strerror(errno));
        tell_error(o, "no_journal", message, "the log goes where log.format sends it: standard error of the daemon, else the journal");
        return EXIT_REFUSED;
}

int cmd_log(const struct options *o, int argc, char **argv) {
        int r;

        if (argc == 0 || strcmp(argv[0], "-f") != 0)
                return level(o, argc, argv);
        r = no_more(o, argc - 1, argv + 1);
        return r == EXIT_DONE ? follow(o) : r;
}
