/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"
#include "daemon/iicp/iicp.h"
#include "util.h"

#include <errno.h>
#include <getopt.h>
#include <iicp/cx.h>
#include <iicp/intents.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* What the signal handler can reach. */
static struct iicp_client *volatile interruptible;
static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
        struct iicp_client *c = interruptible;

        (void) number;
        interrupted = 1;
        if (c)
                iicp_cancel(c);
}

bool cancelled_by_signal(void) {
        return interrupted;
}

static const struct command {
        const char *name, *alias, *args, *help;
        int (*fn)(struct program *p, int argc, char **argv);
} commands[] = {
        {"ask", "query", "[PROMPT...]", "ask a node of the mesh and print its answer", cmd_ask},
        {"discover", NULL, "[INTENT]", "list the nodes that serve an intent", cmd_discover},
};

static void help(void) {
        fputs("usage: iicp COMMAND [OPTIONS] [ARGUMENTS]\n\n", stdout);
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                printf("  %-9s %-13s %s%s%s%s\n", commands[i].name, commands[i].args,
                       commands[i].help, commands[i].alias ? " (also: " : "",
                       commands[i].alias ? commands[i].alias : "", commands[i].alias ? ")" : "");
        fputs("\n"
              "ask: the arguments are the prompt; '-' stands for stdin, and without arguments "
              "stdin is the\n"
              "prompt. Prompts are encrypted to the node that answers. Nodes are found by the "
              "directory's\n"
              "list; dispatch tickets are not used.\n"
              "\n"
              "  --directory-url URL        the directory to ask\n"
              "  --intent URN               default " IICP_URN_CHAT "\n"
              "  --model NAME               wanted model, of the node too\n"
              "  --system TEXT              system message before the prompt\n"
              "  --max-tokens N             bound on the answer\n"
              "  --region NAME              preferred region\n"
              "  --region-allowlist A,B     only nodes of these regions\n"
              "  --qos CLASS                realtime, interactive, batch, best-effort\n"
              "  --min-reputation X         0 to 1\n"
              "  --timeout-ms N             of one attempt, 100-120000 (default 60000)\n"
              "  --routing-profile NAME     standard, sensitive, eu-restricted, strict-policy, "
              "debug-override\n"
              "  --allow-remote-executor    lets the sensitive profile use the mesh\n"
              "  --no-runtime-identity      do not tell the model how it was reached\n"
              "  --limit N                  discover: at most so many nodes, 1-50\n"
              "  --routes                   discover: with addresses\n"
              "  --explain                  ask: each attempt with its time and code, on stderr\n"
              "  --json                     one JSON document on stdout\n"
              "  --stream                   ask, with --json: each event of a streamed task on a line\n"
              "  -q, --quiet                no notices\n"
              "  --config FILE              instead of ~/.config/iicp/iicp.conf and /etc/iicp.conf\n"
              "  -h, --help    -V, --version\n"
              "\n"
              "exit: 0 answered, 1 failed, 2 usage or configuration, 3 refused by policy (nothing "
              "was sent),\n"
              "75 failed but worth retrying, 130 interrupted\n",
              stdout);
}

int usage(const struct program *p, const char *fmt, ...) {
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        fprintf(stderr, "%s\n", text);
        if (p->o.json) {
                struct iicp_error e = {.code = "invalid_config",
                                       .component = "sdk",
                                       .retry_after_ms = -1};
                struct iicp_buf b = {0};

                snprintf(e.message, sizeof(e.message), "%s", text);
                iicp_error_json(&e, &b);
                print_document("iicp.error/1", &b);
                iicp_buf_free(&b);
        }
        return EXIT_USAGE;
}

const char *program_intent(const struct program *p) {
        return p->o.intent ? p->o.intent : p->config->intent_default;
}

/* ---- options ---- */

enum {
        OPT_DIRECTORY = 256,
        OPT_INTENT,
        OPT_MODEL,
        OPT_MAX_TOKENS,
        OPT_PROFILE,
        OPT_ALLOW_REMOTE,
        OPT_REGIONS,
        OPT_REGION,
        OPT_QOS,
        OPT_TIMEOUT,
        OPT_NO_IDENTITY,
        OPT_JSON,
        OPT_SYSTEM,
        OPT_CONFIG,
        OPT_LIMIT,
        OPT_ROUTES,
        OPT_EXPLAIN,
        OPT_STREAM,
        OPT_REPUTATION,
};

static const struct option long_options[] = {
        {"directory-url", required_argument, NULL, OPT_DIRECTORY},
        {"intent", required_argument, NULL, OPT_INTENT},
        {"model", required_argument, NULL, OPT_MODEL},
        {"max-tokens", required_argument, NULL, OPT_MAX_TOKENS},
        {"routing-profile", required_argument, NULL, OPT_PROFILE},
        {"allow-remote-executor", no_argument, NULL, OPT_ALLOW_REMOTE},
        {"region-allowlist", required_argument, NULL, OPT_REGIONS},
        {"region", required_argument, NULL, OPT_REGION},
        {"qos", required_argument, NULL, OPT_QOS},
        {"timeout-ms", required_argument, NULL, OPT_TIMEOUT},
        {"no-runtime-identity", no_argument, NULL, OPT_NO_IDENTITY},
        {"json", no_argument, NULL, OPT_JSON},
        {"system", required_argument, NULL, OPT_SYSTEM},
        {"config", required_argument, NULL, OPT_CONFIG},
        {"limit", required_argument, NULL, OPT_LIMIT},
        {"min-reputation", required_argument, NULL, OPT_REPUTATION},
        {"routes", no_argument, NULL, OPT_ROUTES},
        {"explain", no_argument, NULL, OPT_EXPLAIN},
        {"stream", no_argument, NULL, OPT_STREAM},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
};

static bool number(const char *text, int64_t min, int64_t max, int64_t *ret) {
        char *end;
        long long v;

        errno = 0;
        v = strtoll(text, &end, 10);
        if (errno || end == text || *end || v < min || v > max)
                return false;
        *ret = v;
        return true;
}

static bool split_regions(struct options *o, const char *text) {
        size_t n = 0;

        free(o->region_list);
        o->region_list = strdup(text);
        if (!o->region_list)
                return false;
        for (char *save = NULL, *t = strtok_r(o->region_list, ", ", &save); t;
             t = strtok_r(NULL, ", ", &save)) {
                if (n == REGIONS_MAX)
                        return false;
                o->regions[n++] = t;
        }
        o->regions[n] = NULL;
        return true;
}

static bool is_qos(const char *text) {
        return !strcmp(text, "realtime") || !strcmp(text, "interactive") ||
               !strcmp(text, "batch") || !strcmp(text, "best-effort");
}

/* Options with a value to check. */
static int take_checked(struct program *p, int opt, const char *value) {
        struct options *o = &p->o;
        int64_t v;
        char *end;

        switch (opt) {
        case OPT_TIMEOUT:
                if (number(value, IICP_TIMEOUT_MS_CLIENT_MAX + 1, INT64_MAX, &v))
                        return usage(p, "--timeout-ms %s is above 120000", value);
                if (!number(value, 100, IICP_TIMEOUT_MS_CLIENT_MAX, &o->timeout_ms))
                        return usage(p, "--timeout-ms: a number from 100 to 120000 is wanted");
                return 0;
        case OPT_MAX_TOKENS:
                return number(value, 1, INT32_MAX, &o->max_tokens)
                               ? 0
                               : usage(p, "--max-tokens: a number from 1 is wanted");
        case OPT_LIMIT:
                if (!number(value, 1, 50, &v))
                        return usage(p, "--limit: a number from 1 to 50 is wanted");
                o->limit = (unsigned) v;
                return 0;
        case OPT_REPUTATION:
                o->min_reputation = strtod(value, &end);
                return end != value && !*end && o->min_reputation >= 0 && o->min_reputation <= 1
                               ? 0
                               : usage(p, "--min-reputation: a number from 0 to 1 is wanted");
        case OPT_QOS:
                o->qos = value;
                return is_qos(value)
                               ? 0
                               : usage(p,
                                       "--qos: one of realtime, interactive, batch, best-effort");
        case OPT_PROFILE:
                o->profile_origin = "--routing-profile";
                return iicp_profile_parse(value, &o->profile)
                               ? 0
                               : usage(p, "--routing-profile: one of standard, sensitive, "
                                          "eu-restricted, "
                                          "strict-policy, debug-override");
        default:
                return split_regions(o, value) ? 0
                                               : usage(p, "--region-allowlist: too many regions");
        }
}

static int take(struct program *p, int opt, const char *value) {
        struct options *o = &p->o;

        switch (opt) {
        case OPT_DIRECTORY:
                o->directory_url = value;
                return 0;
        case OPT_INTENT:
                o->intent = value;
                return 0;
        case OPT_MODEL:
                o->model = value;
                return 0;
        case OPT_REGION:
                o->region = value;
                return 0;
        case OPT_SYSTEM:
                o->system = value;
                return 0;
        case OPT_CONFIG:
                o->config_path = value;
                return 0;
        case OPT_ALLOW_REMOTE:
                o->allow_remote_executor = true;
                return 0;
        case OPT_NO_IDENTITY:
                o->no_identity = true;
                return 0;
        case OPT_JSON:
                o->json = true;
                return 0;
        case OPT_ROUTES:
                o->routes = true;
                return 0;
        case OPT_STREAM:
                o->stream = true;
                return 0;
        case OPT_EXPLAIN:
                o->explain = true;
                return 0;
        case 'q':
                o->quiet = true;
                return 0;
        case '?':
                return usage(p, "try: iicp --help");
        default:
                return take_checked(p, opt, value);
        }
}

/* The names that the SDKs read and that have no key yet. A malformed one is ignored with a warning.
 */
static void take_environment(struct program *p) {
        const char *profile = getenv("IICP_ROUTING_PROFILE"),
                   *regions = getenv("IICP_REGION_ALLOWLIST");
        const char *identity = getenv("IICP_RUNTIME_IDENTITY");

        if (profile && *profile && !p->o.profile_origin) {
                if (iicp_profile_parse(profile, &p->o.profile))
                        p->o.profile_origin = "IICP_ROUTING_PROFILE";
                else
                        fprintf(stderr, "warning: IICP_ROUTING_PROFILE is not the name of a "
                                        "profile; standard is used\n");
        }
        if (regions && *regions && !p->o.region_list && !split_regions(&p->o, regions))
                fprintf(stderr, "warning: IICP_REGION_ALLOWLIST has too many regions\n");
        if (identity && !strcmp(identity, "disabled"))
                p->o.no_identity = true;
}

/* ---- configuration ---- */

static void print_problems(const struct program *p, const struct config_problems *problems) {
        if (problems->n_errors > 0 || !p->o.quiet)
                config_problems_print(problems, stderr);
}

static char *user_config_path(void) {
        const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
        char *path = NULL;

        if (base && base[0] == '/') {
                if (asprintf(&path, "%s/iicp/iicp.conf", base) < 0)
                        return NULL;
        } else if (!home || asprintf(&path, "%s/.config/iicp/iicp.conf", home) < 0)
                return NULL;
        if (access(path, F_OK) < 0) {
                free(path);
                return NULL;
        }
        return path;
}

static int load_config(struct program *p) {
        _cleanup_free_ char *user = p->o.config_path ? NULL : user_config_path();
        struct config_problems problems = {0};
        struct config_source source = {
                .path = p->o.config_path ? p->o.config_path : "/etc/iicp.conf",
                .user_path = user,
                .path_required = p->o.config_path,
                .environ_ = environ,
                .resolve_secrets = true,
                .consumer = true,
        };

        p->config = config_load(&source, &problems);
        print_problems(p, &problems);
        config_problems_free(&problems);
        return p->config ? 0 : EXIT_USAGE;
}

static void log_line(void *arg, bool warning, const char *line) {
        const struct program *p = arg;

        if (!p->o.quiet)
                fprintf(stderr, "%s%s\n", warning ? "warning: " : "", line);
}

static int make_client(struct program *p) {
        const struct config *c = p->config;
        struct iicp_provider_token tokens[PROVIDER_TOKENS_MAX];
        struct iicp_client_config cc;
        struct iicp_error e;
        char *text = NULL;
        int r;

        iicp_client_config_init(&cc);
        if (c->consumer_provider_tokens.value) {
                text = strdup(c->consumer_provider_tokens.value);
                cc.provider_tokens = tokens;
                cc.n_provider_tokens = text ? provider_tokens(text, tokens, PROVIDER_TOKENS_MAX) : 0;
        }
        cc.directory_url = p->o.directory_url ? p->o.directory_url : c->directory_url;
        cc.directory_allow_http = c->directory_allow_http;
        cc.redirect_origins = (const char *const *) c->directory_redirect_origins;
        cc.ca_file = c->directory_ca_file;
        cc.directory_proxy = c->network_proxy;
        cc.region = p->o.region ? p->o.region : c->consumer_region;
        cc.max_retries = c->consumer_retries;
        cc.directory_timeout_ms = (int64_t) c->consumer_directory_timeout_ms;
        cc.timeout_ms = p->o.timeout_ms          ? p->o.timeout_ms
                        : c->consumer_timeout_ms ? (int64_t) c->consumer_timeout_ms
                                                 : 60000;
        cc.policy.profile = p->o.profile;
        if (p->o.allow_remote_executor)
                cc.policy.allow_remote_executor = IICP_YES;
        if (p->o.regions[0])
                cc.policy.allowed_regions = (const char *const *) p->o.regions;
        cc.allow_private_endpoints = c->consumer_allow_private;
        cc.allow_plaintext = c->consumer_allow_plaintext;
        cc.runtime_identity = p->o.no_identity ? IICP_IDENTITY_DISABLED : IICP_IDENTITY_AUTO;
        cc.client_name = "iicp";
        cc.client_version = PACKAGE_VERSION;
        cc.log = log_line;
        cc.log_arg = p;
        r = iicp_client_new(&cc, &p->client, &e);
        if (text)
                iicp_wipe(text, strlen(c->consumer_provider_tokens.value));
        free(text);
        if (r < 0)
                return tell_failure(p, &e);
        interruptible = p->client;
        /* a signal that came before had nothing to cancel */
        if (interrupted)
                iicp_cancel(p->client);
        return 0;
}

static void catch_signals(void) {
        struct sigaction sa = {.sa_handler = on_signal};

        sigaction(SIGINT, &sa, NULL);
        sigaction(SIGTERM, &sa, NULL);
        sa.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &sa, NULL);
}

static int run(struct program *p, int argc, char **argv) {
        const struct command *command = NULL;
        int r;

        if (argc < 1)
                return usage(p, "which command? try: iicp --help");
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (!strcmp(argv[0], commands[i].name) ||
                    (commands[i].alias && !strcmp(argv[0], commands[i].alias)))
                        command = &commands[i];
        if (!command)
                return usage(p, "there is no command '%.64s'; try: iicp --help", argv[0]);
        p->command = command->name;
        if (iicp_selftest() < 0)
                return usage(p, "the cryptography of this machine fails its self-test");
        take_environment(p);
        r = load_config(p);
        if (r == 0) {
                const char *url = getenv("IICP_DIRECTORY_URL");

                p->directory_from_environment = !p->o.directory_url && url && *url;
                r = make_client(p);
        }
        return r ? r : command->fn(p, argc - 1, argv + 1);
}

int main(int argc, char **argv) {
        struct program p = {.o = {.min_reputation = -1}};
        int opt, r = 0;

        /* --json counts for errors in the options before it, too */
        for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
                p.o.json = p.o.json || !strcmp(argv[i], "--json");
        while (r == 0 && (opt = getopt_long(argc, argv, "qhV", long_options, NULL)) != -1) {
                if (opt == 'h') {
                        help();
                        return 0;
                }
                if (opt == 'V') {
                        puts("iicp " PACKAGE_VERSION);
                        return 0;
                }
                r = take(&p, opt, optarg);
        }
        catch_signals();
        if (r == 0)
                r = run(&p, argc - optind, argv + optind);
        interruptible = NULL;
        iicp_client_free(p.client);
        config_free(p.config);
        free(p.o.region_list);
        if (fflush(stdout) != 0 && r == 0 && errno != EPIPE)
                r = EXIT_TASK_FAILED;
        return r;
}
