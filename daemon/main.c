/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"
#include "log.h"
#include "node.h"
#include "util.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CONFIG_DEFAULT "/etc/iicp.conf"
#define OPTIONS_MAX 256 /* -o on one command line */

extern char **environ;

enum action { RUN, CHECK, PRINT, UNSEAL };

struct arguments {
        enum action action;
        const char *config;
        bool config_given, strict, json, allow_core;
        const char *options[OPTIONS_MAX + 1];
        size_t n_options;
};

static void print_help(FILE *f) {
        fputs("usage: iicpd [OPTION...]\n"
              "Lends this machine's inference to the IICP mesh. No option is needed.\n\n"
              "  -c, --config FILE          configuration, default " CONFIG_DEFAULT "\n"
              "  -o section.key=value       one setting; wins over environment and file; may repeat\n"
              "      --check-config[=FILE]  report all problems of the file and end: 0 or 78\n"
              "      --print-config         print the effective settings and where each comes from\n"
              "      --strict               with --check-config: warnings are errors\n"
              "      --json                 with --check-config or --print-config\n"
              "      --unseal-state         write identity and keys in clear again, with node.state_key, and end\n"
              "      --allow-core           allow core dumps; they hold keys and tasks\n"
              "      --version, --help\n\n"
              "Exit status: 0 clean stop, 1 internal failure, 2 usage, 69 cannot listen, 73 state folder\n"
              "unusable or in use, 75 the way in is dead and 76 recovery (both: to be started again),\n"
              "78 configuration. See iicpd(8) and iicp.conf(5).\n", f);
}

static int usage(const char *program) {
        fprintf(stderr, "Try '%s --help'.\n", program);
        return EXIT_USAGE_;
}

/* -1: go on; else the exit status. */
static int parse_arguments(int argc, char **argv, struct arguments *a) {
        enum { OPT_CHECK = 256, OPT_PRINT, OPT_STRICT, OPT_JSON, OPT_CORE, OPT_UNSEAL, OPT_VERSION };
        static const struct option options[] = {
                {"config", required_argument, NULL, 'c'}, {"check-config", optional_argument, NULL, OPT_CHECK},
                {"print-config", no_argument, NULL, OPT_PRINT}, {"strict", no_argument, NULL, OPT_STRICT},
                {"json", no_argument, NULL, OPT_JSON}, {"allow-core", no_argument, NULL, OPT_CORE}, {"unseal-state", no_argument, NULL, OPT_UNSEAL},
                {"version", no_argument, NULL, OPT_VERSION}, {"help", no_argument, NULL, 'h'}, {0}};
        int o;

        while ((o = getopt_long(argc, argv, "c:o:h", options, NULL)) >= 0)
                switch (o) {
                case 'c':
                        a->config = optarg;
                        a->config_given = true;
                        break;
                case 'o':
                        if (a->n_options == OPTIONS_MAX) {
                                fprintf(stderr, "%s: more than %d times -o\n", argv[0], OPTIONS_MAX);
                                return usage(argv[0]);
                        }
                        a->options[a->n_options++] = optarg;
                        break;
                case OPT_CHECK:
                        a->action = CHECK;
                        if (optarg) {
                                a->config = optarg;
                                a->config_given = true;
                        }
                        break;
                case OPT_UNSEAL: a->action = UNSEAL; break;
                case OPT_PRINT: a->action = PRINT; break;
                case OPT_STRICT: a->strict = true; break;
                case OPT_JSON: a->json = true; break;
                case OPT_CORE: a->allow_core = true; break;
                case OPT_VERSION:
                        printf("iicpd %s (IICP SDK level %s, wire %s)\n", PACKAGE_VERSION, IICP_SDK_LEVEL, IICP_WIRE_VERSION);
                        return 0;
                case 'h':
                        print_help(stdout);
                        return 0;
                default:
                        return usage(argv[0]);
                }
        if (optind < argc) {
                fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind]);
                return usage(argv[0]);
        }
        if ((a->strict || a->json) && a->action != CHECK && a->action != PRINT) {
                fprintf(stderr, "%s: --strict and --json go with --check-config or --print-config\n", argv[0]);
                return usage(argv[0]);
        }
        return -1;
}

static void check_text(const struct config_problems *p, const char *file, bool usable) {
        config_problems_print(p, stdout);
        if (p->n_errors || p->n_warnings)
                printf("%zu error%s, %zu warning%s: %s\n", p->n_errors, p->n_errors == 1 ? "" : "s", p->n_warnings,
                       p->n_warnings == 1 ? "" : "s", usable ? "usable" : "not usable");
        else if (access(file, F_OK) < 0)
                printf("%s is not there: the defaults apply\n", file);
        else
                printf("%s: no problem found\n", file);
}

static void check_json(const struct config_problems *p, const char *file, bool usable) {
        struct iicp_buf b = {0};

        iicp_buf_puts(&b, "{\"schema\":\"iicp.check/1\",\"file\":");
        iicp_buf_json_str(&b, iicp_str(file));
        iicp_buf_printf(&b, ",\"usable\":%s,\"errors\":%zu,\"warnings\":%zu,\"problems\":", usable ? "true" : "false",
                        p->n_errors, p->n_warnings);
        config_problems_json(p, &b);
        printf("%s}\n", iicp_buf_str(&b).p);
        iicp_buf_free(&b);
}

static int check_config(const struct arguments *a, const struct config_source *source) {
        struct config_problems problems = {0};
        struct config *c = config_load(source, &problems);
        bool usable = c && !(a->strict && problems.n_warnings);

        if (a->json)
                check_json(&problems, source->path, usable);
        else
                check_text(&problems, source->path, usable);
        config_problems_free(&problems);
        config_free(c);
        return usable ? 0 : EXIT_CONFIG_;
}

static int print_config(const struct arguments *a, const struct config_source *source) {
        struct config_problems problems = {0};
        struct config *c = config_load(source, &problems);
        struct iicp_buf b = {0};

        config_problems_print(&problems, stderr);
        config_problems_free(&problems);
        if (!c)
                return EXIT_CONFIG_;
        if (a->json) {
                config_json(c, &b);
                printf("%s\n", iicp_buf_str(&b).p);
                iicp_buf_free(&b);
        } else {
                config_print(c, false, stdout);
        }
        config_free(c);
        return 0;
}

/* The process as a whole. [05 section 16] */
static void harden(bool allow_core) {
        struct rlimit files;

        umask(077);
        signal(SIGPIPE, SIG_IGN);
        if (!allow_core) {
                prctl(PR_SET_DUMPABLE, 0);
                setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        }
        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }
}

static void say_warnings(const struct config_problems *p) {
        for (size_t i = 0; i < p->n; i++) {
                const struct log_fields fields = {.subject = p->v[i].text};

                if (p->v[i].line)
                        log_event(LOG_L_WARN, "config_problem", &fields, "%s:%u: %s", p->v[i].where, p->v[i].line, p->v[i].text);
                else
                        log_event(LOG_L_WARN, "config_problem", &fields, "%s: %s", p->v[i].where, p->v[i].text);
        }
}

/* The last line is the whole reason: of a container nothing else may be shown. */
static void say_unusable(const struct config_problems *p) {
        char line[16] = "";
        size_t i = 0;

        while (i + 1 < p->n && p->v[i].severity != CONFIG_ERROR)
                i++;
        if (p->n == 0) {
                log_err("start_failed", "the configuration cannot be used");
                return;
        }
        if (p->v[i].line)
                snprintf(line, sizeof line, ":%u", p->v[i].line);
        log_err("start_failed", "the configuration has %zu error%s %s%s: %s",
                p->n_errors, p->n_errors == 1 ? ":" : "s, the first:", p->v[i].where, line, p->v[i].text);
}

static int run(const struct config_source *source) {
        struct node node = {.clock = &clock_system, .config_source = *source};
        struct config_problems problems = {0};
        int status;

        node.config = config_load(source, &problems);
        if (!node.config) {
                config_problems_print(&problems, stderr);
                say_unusable(&problems);
                config_problems_free(&problems);
                return EXIT_CONFIG_;
        }
        log_setup((enum log_format) node.config->log_format, (enum log_level) node.config->log_level);
        say_warnings(&problems);
        config_problems_free(&problems);
        node.loop = loop_new();
        if (!node.loop) {
                log_err("start_failed", "cannot start: no event loop");
                config_free(node.config);
                return EXIT_INTERNAL;
        }
        status = node_start(&node);
        if (status == 0)
                status = loop_run(node.loop);
        node_finish(&node);
        return status;
}

static int unseal_state(const struct config *c) {
        struct state *state = NULL;
        char why[512] = "";
        bool sealed;
        int r = state_sealed_at(c->state_dir, &sealed);

        if (r == 0 && sealed) {
                r = node_open_state(c, clock_wall_s(&clock_system), &state, why, sizeof why);
                if (r == 0)
                        r = state_seal_end(state);
        }
        if (r == -ENOENT)
                fprintf(stderr, "iicpd: nothing to unseal: no state of a node in %s; --config=FILE names another\n", c->state_dir);
        else if (r < 0)
                fprintf(stderr, "iicpd: the state is not unsealed: %s\n", *why ? why : strerror(-r));
        else
                printf("identity and encryption keys lie in clear in %s; take node.state_key out of the configuration\n",
                       c->state_dir);
        state_close(state);
        return r < 0 ? EXIT_STATE : 0;
}

/* The way back from node.state_key. */
static int unseal(const struct config_source *source) {
        struct config_problems problems = {0};
        struct config *c = config_load(source, &problems);
        int status;

        config_problems_print(&problems, stderr);
        config_problems_free(&problems);
        if (!c)
                return EXIT_CONFIG_;
        status = unseal_state(c);
        config_free(c);
        return status;
}

int main(int argc, char **argv) {
        struct arguments a = {.config = CONFIG_DEFAULT};
        struct config_source source;
        int r = parse_arguments(argc, argv, &a);

        if (r >= 0)
                return r;
        log_setup(LOG_F_AUTO, LOG_L_INFO);
        source = (struct config_source){
                .path = a.config, .path_required = a.config_given, .environ_ = environ,
                .options = (char *const *) a.options, .resolve_secrets = a.action == RUN || a.action == UNSEAL,
        };
        switch (a.action) {
        case CHECK: return check_config(&a, &source);
        case PRINT: return print_config(&a, &source);
        case RUN:
        case UNSEAL: break;
        }
        harden(a.allow_core);
        return a.action == UNSEAL ? unseal(&source) : run(&source);
}
