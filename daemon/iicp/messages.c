/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/iicp/iicp.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

void print_text(FILE *f, const char *text, size_t n) {
        bool terminal = isatty(fileno(f));

        if (!terminal) {
                fwrite(text, 1, n, f);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) text[i];

                /* C1 controls come as C2 80 to C2 9F */
                if (c == 0xc2 && i + 1 < n && (unsigned char) text[i + 1] < 0xa0) {
                        i++;
                        continue;
                }
                if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
                        continue;
                fputc(c, f);
        }
}

void print_document(const char *schema, const struct iicp_buf *body) {
        if (body->error || body->n < 2) {
                fputs("out of memory\n", stderr);
                return;
        }
        printf("{\"schema\":\"%s\",", schema);
        fwrite(body->p + 1, 1, body->n - 1, stdout);
        putchar('\n');
}

/* ---- what happened, in words that say whether the prompt left the machine ---- */

static const char *what(const struct iicp_attempt *a) {
        static const struct {
                const char *code, *text;
        } words[] = {
                {"IICP-E003", "no answer in time"},
                {"IICP-E004", "not reachable or cut off"},
                {"IICP-E021", "busy"},
                {"capacity_exceeded", "busy"},
                {"IICP-E023", "rate limited"},
                {"rate_limited", "rate limited"},
                {"IICP-E024", "draining or loading"},
                {"backend_error", "backend failed"},
                {"task_timeout", "its time ran out"},
                {"IICP-ENDPOINT-REFUSED", "address not allowed"},
                {"invalid_response", "unreadable answer"},
                {"unauthorized", "wants a credential"},
                {"IICP-E029", "does not have the model"},
                {"model_not_found", "does not have the model"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (!strcmp(a->code, words[i].code))
                        return words[i].text;
        return a->code;
}

static size_t count_nodes(const struct iicp_error *e) {
        size_t n = 0;

        for (size_t i = 0; i < e->n_log; i++) {
                size_t j = 0;

                while (j < i && strcmp(e->log[j].node_prefix, e->log[i].node_prefix))
                        j++;
                n += j == i;
        }
        return n;
}

/* The last word of each node that was tried. */
static void add_nodes(const struct iicp_error *e, struct iicp_buf *out) {
        bool first = true;

        for (size_t i = 0; i < e->n_log; i++) {
                size_t j = i + 1;

                while (j < e->n_log && strcmp(e->log[j].node_prefix, e->log[i].node_prefix))
                        j++;
                if (j < e->n_log)
                        continue;
                iicp_buf_printf(out, "%s%s %s", first ? "" : ", ", e->log[i].node_prefix,
                                what(&e->log[i]));
                if (e->log[i].http_status >= 300)
                        iicp_buf_printf(out, " (%d)", e->log[i].http_status);
                first = false;
        }
}

static void add_sent(const struct iicp_error *e, struct iicp_buf *out) {
        if (!e->sent)
                iicp_buf_puts(out, " Nothing was sent.");
        else if (e->sent_clear)
                iicp_buf_puts(out, " The prompt was sent, and not encrypted.");
        else
                iicp_buf_puts(out, " The prompt was sent encrypted.");
}

/* Trying again will not help: each node has said that it wants to know who calls. */
static bool want_credentials(const struct iicp_error *e) {
        for (size_t i = 0; i < e->n_log; i++)
                if (e->log[i].http_status != 401)
                        return false;
        return e->n_log > 0;
}

static void add_hint(const struct iicp_error *e, struct iicp_buf *out) {
        if (want_credentials(e))
                iicp_buf_puts(out, " Trying again does not help: such a node takes known callers only, ask its operator for access.");
        else if (e->retry_after_ms > 0)
                iicp_buf_printf(out, " Worth a retry in %lld s.",
                                (long long) (e->retry_after_ms + 999) / 1000);
        else if (e->retryable)
                iicp_buf_puts(out, " Worth a retry.");
}

/* ---- what is there instead of a model that nobody has ---- */

#define CLOSE_PREFIX_MIN 4 /* letters that two names must share to be called close */

static size_t common_prefix(const char *a, const char *b) {
        size_t n = 0;

        while (a[n] && a[n] == b[n])
                n++;
        return n;
}

static size_t count_model(const struct iicp_nodes *list, const char *model) {
        struct iicp_node n;
        size_t count = 0;

        for (size_t i = 0; i < iicp_nodes_count(list); i++) {
                iicp_nodes_get(list, i, &n);
                for (size_t j = 0; j < n.n_models; j++)
                        if (!strcmp(n.models[j], model)) {
                                count++;
                                break;
                        }
        }
        return count;
}

static void add_close(struct program *p, struct iicp_buf *out) {
        struct iicp_route route = IICP_ROUTE_INIT;
        struct iicp_nodes *list = NULL;
        const char *best = NULL;
        struct iicp_error ignored;
        struct iicp_node n;
        size_t shared = CLOSE_PREFIX_MIN - 1;

        route.limit = 50;
        route.public_view = true;
        if (iicp_discover(p->client, program_intent(p), &route, &list, &ignored) < 0)
                return;
        for (size_t i = 0; i < iicp_nodes_count(list); i++) {
                iicp_nodes_get(list, i, &n);
                for (size_t j = 0; j < n.n_models; j++)
                        if (common_prefix(n.models[j], p->o.model) > shared) {
                                shared = common_prefix(n.models[j], p->o.model);
                                best = n.models[j];
                        }
        }
        if (best) {
                size_t count = count_model(list, best);

                iicp_buf_printf(out, " Close: %s (%zu node%s).", best, count,
                                count == 1 ? "" : "s");
        }
        iicp_nodes_free(list);
}

static void describe(struct program *p, const struct iicp_error *e, struct iicp_buf *out) {
        if (!strcmp(e->code, "IICP-E033")) {
                iicp_buf_puts(out, "no node offers ");
                if (p->o.model)
                        iicp_buf_printf(out, "'%s'", p->o.model);
                else
                        iicp_buf_puts(out, program_intent(p));
                if (e->left_out_private > 0)
                        iicp_buf_printf(out, " (IICP-E033): %u node%s left out: private address; "
                                        "consumer.allow_private_endpoints = yes dials them (labs).",
                                        e->left_out_private, e->left_out_private == 1 ? "" : "s");
                else
                        iicp_buf_puts(out, " (IICP-E033: the directory knows none).");
                if (p->o.model && e->left_out_private == 0)
                        add_close(p, out);
                add_sent(e, out);
                return;
        }
        if (!strcmp(e->code, "no_available_node") || !strcmp(e->code, "timeout")) {
                size_t n = count_nodes(e);

                if (n == 0)
                        iicp_buf_printf(out, "%s.", e->message);
                else {
                        iicp_buf_printf(out, "%zu node%s tried, none answered: ", n,
                                        n == 1 ? "" : "s");
                        add_nodes(e, out);
                        iicp_buf_puts(out, ".");
                }
                add_sent(e, out);
                add_hint(e, out);
                return;
        }
        if (e->attempts > 0 && strcmp(e->code, "cancelled"))
                iicp_buf_printf(out, "%s: ", e->cause.node_prefix);
        iicp_buf_printf(out, "%s", e->message);
        if (e->message[0] && e->message[strlen(e->message) - 1] != '.')
                iicp_buf_puts(out, ".");
        iicp_buf_printf(out, " (%s)", e->code);
        if (p->directory_from_environment && !strcmp(e->component, "directory") &&
            e->http_status == 0)
                iicp_buf_puts(out, " Check --directory-url (from IICP_DIRECTORY_URL).");
        if (!strstr(e->message, "Nothing was sent."))
                add_sent(e, out);
        add_hint(e, out);
}

static int exit_code(const struct iicp_error *e) {
        if (!strcmp(e->code, "cancelled"))
                return EXIT_INTERRUPTED;
        if (!e->sent && !strcmp(e->component, "sdk") &&
            (!strcmp(e->code, "invalid_config") || !strcmp(e->code, "IICP-E001") ||
             !strcmp(e->code, "IICP-E028")))
                return EXIT_USAGE;
        if (!e->sent && !strncmp(e->code, "IICP-POLICY-", 12))
                return EXIT_POLICY;
        return e->retryable && !want_credentials(e) ? EXIT_RETRY : EXIT_TASK_FAILED;
}

int tell_failure(struct program *p, const struct iicp_error *e) {
        struct iicp_buf b = {0}, doc = {0};
        struct iicp_error told = *e;

        describe(p, e, &b);
        if (!b.error) {
                print_text(stderr, b.p, b.n);
                fputc('\n', stderr);
        }
        if (p->o.json) {
                snprintf(told.message, sizeof(told.message), "%s", b.p ? b.p : e->message);
                iicp_error_json(&told, &doc);
                print_document("iicp.error/1", &doc);
        }
        iicp_buf_free(&b);
        iicp_buf_free(&doc);
        return exit_code(e);
}
