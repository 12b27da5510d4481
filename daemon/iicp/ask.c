/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/iicp/iicp.h"
#include "util.h"

#include <errno.h>
#include <iicp/cx.h>
#include <iicp/intents.h>
#include <stdio.h>
#include <string.h>

/* ---- the prompt ---- */

static int read_stdin(struct program *p, struct iicp_buf *prompt) {
        char piece[8192];
        ssize_t n;

        while ((n = read(STDIN_FILENO, piece, sizeof(piece))) != 0) {
                if (n < 0 && errno == EINTR && !cancelled_by_signal())
                        continue;
                if (n < 0)
                        return cancelled_by_signal() ? EXIT_INTERRUPTED
                                                     : usage(p, "stdin: %s", strerror(errno));
                iicp_buf_add(prompt, piece, (size_t) n);
                if (prompt->error)
                        return usage(p, "the prompt is above 1 MiB. Nothing was sent.");
        }
        return 0;
}

static int read_prompt(struct program *p, int argc, char **argv, struct iicp_buf *prompt) {
        bool stdin_taken = argc == 0;
        int r = argc == 0 ? read_stdin(p, prompt) : 0;

        for (int i = 0; r == 0 && i < argc; i++) {
                if (!strcmp(argv[i], "-") && !stdin_taken) {
                        stdin_taken = true;
                        if (i > 0)
                                iicp_buf_puts(prompt, "\n");
                        r = read_stdin(p, prompt);
                        continue;
                }
                if (i > 0)
                        iicp_buf_puts(prompt, " ");
                iicp_buf_puts(prompt, argv[i]);
        }
        if (r == 0 && prompt->error)
                return usage(p, "the prompt is above 1 MiB. Nothing was sent.");
        if (r == 0 && prompt->n == 0)
                return usage(p, "the prompt is empty");
        return r;
}

/* What the intent takes: chat messages, a prompt to complete, or a text to embed. */
static void write_payload(const struct program *p, struct iicp_str prompt, struct iicp_buf *out) {
        const char *intent = program_intent(p);

        iicp_buf_puts(out, "{");
        if (p->o.model) {
                iicp_buf_puts(out, "\"model\":");
                iicp_buf_json_str(out, iicp_str(p->o.model));
                iicp_buf_puts(out, ",");
        }
        if (p->o.max_tokens)
                iicp_buf_printf(out, "\"max_tokens\":%lld,", (long long) p->o.max_tokens);
        if (!strcmp(intent, IICP_URN_EMBEDDING) || !strcmp(intent, IICP_URN_COMPLETION)) {
                iicp_buf_puts(out,
                              !strcmp(intent, IICP_URN_EMBEDDING) ? "\"input\":" : "\"prompt\":");
                iicp_buf_json_str(out, prompt);
        } else {
                iicp_buf_puts(out, "\"messages\":[");
                if (p->o.system) {
                        iicp_buf_puts(out, "{\"role\":\"system\",\"content\":");
                        iicp_buf_json_str(out, iicp_str(p->o.system));
                        iicp_buf_puts(out, "},");
                }
                iicp_buf_puts(out, "{\"role\":\"user\",\"content\":");
                iicp_buf_json_str(out, prompt);
                iicp_buf_puts(out, "}]");
        }
        iicp_buf_puts(out, "}");
}

/* ---- the answer ---- */

static void print_attempts(const struct iicp_attempt *log, size_t n) {
        for (size_t i = 0; i < n; i++) {
                fprintf(stderr, "attempt %zu: %s, %lld ms, %s", i + 1, log[i].node_prefix,
                        (long long) log[i].elapsed_ms, log[i].code[0] ? log[i].code : "answered");
                if (log[i].http_status)
                        fprintf(stderr, " (%d)", log[i].http_status);
                fputc('\n', stderr);
        }
}

static void print_summary(const struct iicp_response *r) {
        if (!isatty(STDERR_FILENO))
                return;
        if (r->model) {
                print_text(stderr, r->model, strlen(r->model));
                fputs(" on ", stderr);
        }
        fprintf(stderr, "%s", r->node_prefix);
        if (r->region[0]) {
                fputs(" (", stderr);
                print_text(stderr, r->region, strlen(r->region));
                fputs(")", stderr);
        }
        if (r->tokens >= 0)
                fprintf(stderr, ", %lld tokens", (long long) r->tokens);
        fprintf(stderr, ", %lld.%lld s, %s\n", (long long) (r->latency_ms / 1000),
                (long long) (r->latency_ms % 1000 / 100),
                r->encrypted ? "encrypted" : "not encrypted");
}

/* Text as it comes; how much of the answer stands there already. */
struct printed {
        const struct program *p;
        size_t n;
        char last;
};

static void on_text(void *arg, struct iicp_str text) {
        struct printed *printed = arg;

        if (text.n == 0 || printed->p->o.json)
                return;
        print_text(stdout, text.p, text.n);
        fflush(stdout);
        printed->n += text.n;
        printed->last = text.p[text.n - 1];
}

static void on_event(void *arg, struct iicp_str event) {
        struct printed *printed = arg;

        if (!printed->p->o.json || !printed->p->o.stream)
                return;
        fwrite(event.p, 1, event.n, stdout);
        putchar('\n');
        fflush(stdout);
}

/* Only now: an error of usage comes alone. */
static void on_start(void *arg) {
        const struct printed *printed = arg;
        const struct options *o = &printed->p->o;

        if (!o->quiet && (o->profile != IICP_PROFILE_SENSITIVE || o->allow_remote_executor))
                fprintf(stderr,
                        "a node of the mesh will read this prompt (%s profile); -q hides this line\n",
                        iicp_profile_name(o->profile));
}

static void print_answer(const struct program *p, const struct iicp_response *r, const struct printed *printed) {
        if (p->o.json) {
                struct iicp_buf b = {0};

                iicp_response_json(r, &b);
                print_document("iicp.answer/1", &b);
                iicp_buf_wipe(&b);
                return;
        }
        const char *text = r->text ? r->text : r->result;
        size_t n = r->text ? r->text_n : r->result_n;

        if (printed->n == 0)
                print_text(stdout, text, n);
        if (n == 0 || text[n - 1] != '\n')
                putchar('\n');
        fflush(stdout);
        if (!p->o.quiet)
                print_summary(r);
}

int cmd_ask(struct program *p, int argc, char **argv) {
        struct iicp_buf prompt = {.max = PROMPT_MAX}, payload = {0};
        struct iicp_request rq = IICP_REQUEST_INIT;
        struct printed printed = {.p = p};
        struct iicp_response *answer = NULL;
        struct iicp_error e;
        int r = read_prompt(p, argc, argv, &prompt);

        if (r == 0) {
                write_payload(p, iicp_buf_str(&prompt), &payload);
                if (payload.error)
                        r = usage(p, "out of memory");
        }
        if (r == 0) {
                rq.intent = program_intent(p);
                rq.payload = iicp_buf_str(&payload);
                rq.model = p->o.model;
                rq.qos = p->o.qos;
                rq.min_reputation = p->o.min_reputation;
                rq.on_text = on_text;
                rq.on_event = on_event;
                rq.on_start = on_start;
                rq.stream_arg = &printed;
                if (iicp_chat(p->client, &rq, &answer, &e) < 0) {
                        if (printed.n > 0 && printed.last != '\n')
                                putchar('\n');
                        fflush(stdout);
                        if (p->o.explain)
                                print_attempts(e.log, e.n_log);
                        r = tell_failure(p, &e);
                } else {
                        if (p->o.explain)
                                print_attempts(answer->log, answer->n_log);
                        print_answer(p, answer, &printed);
                }
        }
        iicp_response_free(answer);
        iicp_buf_wipe(&prompt);
        iicp_buf_wipe(&payload);
        return r;
}
