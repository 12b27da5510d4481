/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_PROGRAM_H
#define IICP_PROGRAM_H

/* The consumer program: results on stdout, everything else on stderr. */

#include "daemon/config.h"
#include <iicp/client.h>

enum iicp_exit {
        EXIT_ANSWERED = 0,
        EXIT_TASK_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_POLICY = 3, /* refused before dispatch, nothing sent */
        EXIT_RETRY = 75, /* failed, worth retrying */
        EXIT_INTERRUPTED = 130,
};

#define PROMPT_MAX ((size_t) 1048576) /* bytes of a prompt: no task could carry more */
#define REGIONS_MAX 64

struct options {
        const char *directory_url, *intent, *model, *region, *qos, *system, *config_path;
        int64_t timeout_ms;    /* 0 = not given */
        int64_t max_tokens;    /* 0 = not given */
        double min_reputation; /* < 0 = not given */
        unsigned limit;        /* 0 = not given */
        enum iicp_profile profile;
        const char *profile_origin;     /* flag or variable that chose it, NULL = default */
        char *regions[REGIONS_MAX + 1]; /* pieces of region_list */
        char *region_list;
        bool allow_remote_executor, no_identity, json, quiet, explain, routes, stream;
};

/* Everything a command needs. */
struct program {
        struct options o;
        struct config *config;
        struct iicp_client *client;
        const char *command;
        bool directory_from_environment;
};

int cmd_ask(struct program *p, int argc, char **argv);
int cmd_discover(struct program *p, int argc, char **argv);

/* main.c */
int usage(const struct program *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *program_intent(const struct program *p);
bool cancelled_by_signal(void);

/* tokens.c: fills out from the text, which is cut in place; returns how many. */
#define PROVIDER_TOKENS_MAX 256
size_t provider_tokens(char *text, struct iicp_provider_token *out, size_t max);

/* messages.c: prints the failure and returns the exit code. */
int tell_failure(struct program *p, const struct iicp_error *e);
/* Foreign text for people: control characters are left out when the stream is a terminal. */
void print_text(FILE *f, const char *text, size_t n);
/* A document with its schema first; the object of `body` begins with '{'. */
void print_document(const char *schema, const struct iicp_buf *body);

#endif
