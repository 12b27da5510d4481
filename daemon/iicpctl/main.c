/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "build-config.h"
#include "edit_distance.h"
#include "util.h"

#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define SOCKET_DEFAULT "/run/iicpd/control.sock"
#define TIMEOUT_S 30

int show_call(const struct options *o, const char *method, const char *path, const char *body,
              void (*render)(const struct options *, json_object *), int (*judge)(json_object *doc)) {
        struct answer a;
        int r = call(o, method, path, body, &a);

        if (r != EXIT_DONE)
                return r;
        if (a.status != 200 || !a.doc)
                r = tell_refusal(o, &a);
        else {
                if (o->json)
                        puts(a.text);
                else
                        render(o, a.doc);
                if (judge)
                        r = judge(a.doc);
        }
        answer_done(&a);
        return r;
}

int show(const struct options *o, const char *path, void (*render)(const struct options *, json_object *),
         int (*judge)(json_object *doc)) {
        return show_call(o, "GET", path, NULL, render, judge);
}

int no_more(const struct options *o, int argc, char **argv) {
        char message[128];

        if (argc == 0)
                return EXIT_DONE;
        snprintf(message, sizeof(message), "unexpected argument '%.64s'", argv[0]);
        tell_error(o, "usage", message, "iicpctl --help");
        return EXIT_USAGE;
}

static int judge_state(json_object *doc) {
        const char *state = text_of(doc, "state");

        if (strcmp(state, "ready") == 0)
                return EXIT_DONE;
        return strcmp(state, "degraded") == 0 ? EXIT_DEGRADED : EXIT_NOT_READY;
}

static int cmd_status(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : show(o, "/v1/status", render_status, judge_state);
}

static int cmd_backends(const struct options *o, int argc, char **argv) {
        char path[160];
        int r = no_more(o, MAX(argc - 1, 0), argv + 1);

        if (r != EXIT_DONE)
                return r;
        if (argc > 0 && (argv[0][0] == '-' || strspn(argv[0], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != strlen(argv[0]) ||
                         strlen(argv[0]) > 64)) {
                tell_error(o, "usage", "that is no name of a backend", "iicpctl backends lists them");
                return EXIT_USAGE;
        }
        snprintf(path, sizeof(path), "/v1/backends%s%s", argc > 0 ? "/" : "", argc > 0 ? argv[0] : "");
        return show(o, path, render_backends, NULL);
}

static int cmd_models(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : show(o, "/v1/models", render_models, NULL);
}

static int cmd_directory(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : show(o, "/v1/directory", render_directory, NULL);
}

static int cmd_metrics(const struct options *o, int argc, char **argv) {
        struct answer a;
        int r = no_more(o, argc, argv);

        if (r == EXIT_DONE)
                r = call(o, "GET", "/v1/metrics", NULL, &a);
        if (r != EXIT_DONE)
                return r;
        if (a.status == 200)
                fputs(a.text ? a.text : "", stdout);
        else
                r = tell_refusal(o, &a);
        answer_done(&a);
        return r;
}

static int change(const struct options *o, const char *path, const char *body, struct answer *ret) {
        int r = call(o, "POST", path, body, ret);

        if (r != EXIT_DONE)
                return r;
        if (ret->status == 200 && ret->doc)
                return EXIT_DONE;
        return EXIT_REFUSED;
}

static int cmd_reload(const struct options *o, int argc, char **argv) {
        struct answer a = {0};
        int r = no_more(o, argc, argv);

        if (r == EXIT_DONE)
                r = change(o, "/v1/reload", "{}", &a);
        if (a.doc && json_object_object_get(a.doc, "problems")) {
                if (o->json)
                        puts(a.text);
                else
                        render_reload(o, a.doc);
        } else if (a.status)
                r = tell_refusal(o, &a);
        answer_done(&a);
        return r;
}

static int cmd_drain(const struct options *o, int argc, char **argv) {
        bool wait = argc > 0 && strcmp(argv[0], "--wait") == 0;
        struct answer a = {0};
        int r = no_more(o, argc - (wait ? 1 : 0), argv + (wait ? 1 : 0));

        if (r == EXIT_DONE)
                r = change(o, "/v1/drain", "{}", &a);
        if (r == EXIT_DONE && o->json)
                puts(a.text);
        else if (r == EXIT_DONE)
                printf("draining: no new tasks, %s running; iicpctl undrain takes it back\n", text_of(a.doc, "running"));
        else if (a.status)
                r = tell_refusal(o, &a);
        answer_done(&a);
        if (r != EXIT_DONE || !wait)
                return r;
        fflush(stdout); /* before what is said while it waits */
        r = wait_drained(o);
        if (r == EXIT_DONE && !o->json)
                printf("drained: 0 running\n");
        return r;
}

static int simple_change(const struct options *o, const char *path, const char *body, const char *done) {
        struct answer a = {0};
        int r = change(o, path, body, &a);

        if (r == EXIT_DONE)
                puts(o->json ? a.text : done);
        else if (a.status)
                r = tell_refusal(o, &a);
        answer_done(&a);
        return r;
}

static int cmd_undrain(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : simple_change(o, "/v1/undrain", "{}", "taking tasks again");
}

static int cmd_rotate_key(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : simple_change(o, "/v1/rotate-key", "{}",
                                     "a new encryption key is made; it is used once the directory has it (iicpctl status)");
}

static int cmd_version(const struct options *o, int argc, char **argv) {
        struct answer a;
        int r = no_more(o, argc, argv);

        if (r != EXIT_DONE)
                return r;
        if (!o->json)
                printf("iicpctl %s\n", PACKAGE_VERSION);
        r = call(o, "GET", "/v1/version", NULL, &a);
        if (r != EXIT_DONE)
                return r;
        if (o->json)
                puts(a.text);
        else
                printf("iicpd %s (running)\n", text_of(a.doc, "version"));
        answer_done(&a);
        return r;
}

const struct command commands[] = {
        {"status", "", "what the node is doing, and why it is not", cmd_status},
        {"top", "[--once]", "all of it on one screen, once a second; t r s b choose the list, q ends", cmd_top},
        {"tasks", "[--failed] [ID]", "tasks that run, wait, have ended; steps of one", cmd_tasks},
        {"backends", "[NAME]", "inference servers and their state", cmd_backends},
        {"models", "", "models and who serves them", cmd_models},
        {"directory", "", "what we say to it, what it says about us", cmd_directory},
        {"credits", "[--quote INTENT]", "account, receipts, transactions; or a price", cmd_credits},
        {"operator", "init|show|delegate|...", "the operator's key: vouches for nodes; needs no daemon", cmd_operator},
        {"import", "[DIR] --node-id ID [--yes]", "take over a node of the SDKs; the daemon must not run", cmd_import},
        {"peers", "", "nodes of the mesh that this one knows", cmd_peers},
        {"routes", "", "how others get here, its proof and lease", cmd_routes},
        {"sessions", "[ID] [--sort KEY] | kick ID", "workers of this relay; end a session (--for 10m: keep it out)", cmd_sessions},
        {"relays", "", "as a worker: relays that were considered, in order, and why", cmd_relays},
        {"netcheck", "[--probe]", "evidence of the last detection, or of one made now, and what to do", cmd_netcheck},
        {"redetect", "", "look for a route again now, and show each step", cmd_redetect},
        {"check", "[--ready [--allow-degraded]]", "is it alive, is it ready: for probes; needs no socket", cmd_check},
        {"wait", "STATE [-t SECONDS]", "return when it is ready, registered, drained, stopped", cmd_wait},
        {"config", "[KEY|--changed|--diff|...]", "effective settings and where each comes from", cmd_config},
        {"doctor", "[--online]", "check everything that went wrong for somebody once; needs no daemon", cmd_doctor},
        {"bugreport", "[-o FILE]", "one text to read and send: no names, addresses, secrets", cmd_bugreport},
        {"explain", "WORD", "a config key, an event, an error code, a word of netcheck; needs no daemon", cmd_explain},
        {"events", "[-f] [--since AGE] [--type TYPE] [--tasks]", "what has changed; -f follows", cmd_events},
        {"page", "", "the status page for a browser on this machine, until Ctrl-C", cmd_page},
        {"schema", "[NAME]", "JSON Schema of a document; needs no daemon", cmd_schema},
        {"metrics", "", "Prometheus text", cmd_metrics},
        {"log", "[LEVEL [--for 10m] | -f]", "level of the log, another one for a while; or follow it", cmd_log},
        {"reload", "", "read the configuration again, or say why not", cmd_reload},
        {"drain", "[--wait]", "take no new tasks, finish the running ones", cmd_drain},
        {"undrain", "", "take tasks again", cmd_undrain},
        {"reregister", "", "register again now, and say what the directory thinks of it", cmd_reregister},
        {"selftest", "", "one task through the whole corridor, neither counted nor paid", cmd_selftest},
        {"rotate-key", "", "replace the encryption key now; the old one opens tasks for 24 h more", cmd_rotate_key},
        {"deregister", "[--yes-id ID]", "leave the directory (reputation is lost)", cmd_deregister},
        {"identity", "reset [--yes-id ID]", "a new id and key (reputation is lost)", cmd_identity},
        {"help", "[COMMAND]", "what each command does", cmd_help},
        {"version", "", "versions of this program and of the daemon", cmd_version},
};
const size_t n_commands = ARRAY_SIZE(commands);

int unknown_command(const struct options *o, const char *name) {
        const char *near = NULL;
        unsigned best = 3;
        char message[96], todo[96];

        for (size_t i = 0; i < n_commands; i++) {
                unsigned d = edit_distance(name, commands[i].name, 2);

                if (d < best) {
                        best = d;
                        near = commands[i].name;
                }
        }
        snprintf(message, sizeof(message), "unknown command '%.32s'", name);
        snprintf(todo, sizeof(todo), near ? "did you mean '%s'?" : "iicpctl --help", near);
        tell_error(o, "usage", message, todo);
        return EXIT_USAGE;
}

/* --color, NO_COLOR, CLICOLOR_FORCE, TERM, terminal, in this order. */
static bool wants_colour(const char *when) {
        const char *no = getenv("NO_COLOR"), *force = getenv("CLICOLOR_FORCE"), *term = getenv("TERM");

        if (when && strcmp(when, "auto") != 0)
                return strcmp(when, "always") == 0;
        if (no && no[0])
                return false;
        if (force && force[0] && strcmp(force, "0") != 0)
                return true;
        return term && strcmp(term, "dumb") != 0 && isatty(STDOUT_FILENO);
}

static int terminal_width(void) {
        struct winsize w = {0};

        if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0)
                return 0;
        return MAX(80, (int) w.ws_col);
}

/* The daemon of the system; of a plain user without one, their own. */
static const char *default_socket(char *out, size_t cap) {
        const char *home = getenv("HOME");

        if (geteuid() != 0 && home && access(SOCKET_DEFAULT, F_OK) < 0) {
                snprintf(out, cap, "%s/.iicp/run/iicpd/control.sock", home);
                if (access(out, F_OK) == 0)
                        return out;
        }
        return SOCKET_DEFAULT;
}

static int bad_option(struct options *o, const char *wants, const char *value) {
        char message[128];

        snprintf(message, sizeof(message), "%s: '%.48s'", wants, value);
        tell_error(o, "usage", message, "iicpctl --help");
        return EXIT_USAGE;
}

static bool is_when(const char *text) {
        return strcmp(text, "auto") == 0 || strcmp(text, "always") == 0 || strcmp(text, "never") == 0;
}

/* 0: no number from 1. Longer than a day is a day: the library has an end there, too. */
static long seconds_of(const char *text) {
        char *end;
        long n = strtol(text, &end, 10);

        return end == text || *end || n < 1 ? 0 : MIN(n, 86400L);
}

/* What could not be written is told, whatever command wrote it: the result is not where it should be. */
static int written(int r) {
        errno = 0;
        if (fflush(stdout) != EOF && !ferror(stdout))
                return r;
        /* of an earlier failure the cause is gone: one more byte meets it again */
        if (errno == 0 && (putchar('\n') == EOF || fflush(stdout) == EOF) && errno == 0)
                errno = EIO;
        if (errno != EPIPE) /* whoever read this has enough */
                fprintf(stderr, "iicpctl: cannot write: %s\n", strerror(errno ? errno : EIO));
        return EXIT_REFUSED;
}

static int run(int argc, char **argv) {
        static const struct option longs[] = {
                {"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
                {"color", required_argument, NULL, 'c'},  {"verbose", no_argument, NULL, 'v'},  {"timeout", required_argument, NULL, 't'},
                {"help", no_argument, NULL, 'h'},         {"version", no_argument, NULL, 'V'},
                {NULL, 0, NULL, 0},
        };
        char own[256];
        struct options o = {.timeout_s = TIMEOUT_S, .socket = default_socket(own, sizeof(own))};
        const char *when = NULL, *seconds = NULL;
        int c, r;

        setlocale(LC_ALL, "");
        o.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
        while ((c = getopt_long(argc, argv, "+s:t:vhV", longs, NULL)) >= 0)
                switch (c) {
                case 's': o.socket = optarg; break;
                case 'j': o.json = true; break;
                case 'c': when = optarg; break;
                case 'v': o.verbose = true; break;
                case 't': seconds = optarg; break;
                case 'h': help_short(stdout); return EXIT_DONE;
                case 'V': printf("iicpctl %s\n", PACKAGE_VERSION); return EXIT_DONE;
                default: help_short(stderr); return EXIT_USAGE;
                }
        /* --json may also stand behind the command. */
        for (int i = optind; i < argc; i++)
                if (strcmp(argv[i], "--json") == 0) {
                        o.json = true;
                        memmove(&argv[i], &argv[i + 1], (size_t) (argc - i) * sizeof(argv[0]));
                        argc--;
                        i--;
                }
        if (when && !is_when(when))
                return bad_option(&o, "--color wants auto, always or never", when);
        if (seconds && (o.timeout_s = seconds_of(seconds)) == 0)
                return bad_option(&o, "-t wants seconds, 1 or more", seconds);
        o.colour = wants_colour(when);
        o.width = terminal_width();
        if (optind >= argc) {
                help_short(stderr);
                return EXIT_USAGE;
        }
        r = -1;
        if (strcmp(argv[optind], "complete") == 0) /* for the shells' completions: no command of people */
                return cmd_complete(&o, argc - optind - 1, argv + optind + 1);
        if (argc == optind + 2 && strcmp(argv[optind + 1], "--help") == 0 && help_command(argv[optind]))
                return EXIT_DONE;
        for (size_t i = 0; i < n_commands; i++)
                if (strcmp(commands[i].name, argv[optind]) == 0)
                        r = commands[i].fn(&o, argc - optind - 1, argv + optind + 1);
        if (r < 0)
                r = unknown_command(&o, argv[optind]);
        return r;
}

int main(int argc, char **argv) {
        return written(run(argc, argv));
}
