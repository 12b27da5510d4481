/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

/* The node's account at the directory. */

static void line(json_object *o, const char *name, const char *label) {
        json_object *v = get(o, name);

        if (v)
                printf("%-16s %s\n", label, json_object_get_string(v));
}

/* The directory's own sums do not agree: its affair, but worth knowing. */
static void warn_of_sums(json_object *o, const char *whose) {
        json_object *v = get(o, "reconciles");

        if (v && json_object_is_type(v, json_type_boolean) && !json_object_get_boolean(v))
                printf("warning          the directory says that the sums of %s do not agree\n", whose);
}

static void render_credits(const struct options *o, json_object *doc) {
        json_object *account = get(doc, "account"), *awards = get(doc, "awards"), *list = get(doc, "transactions");
        json_object *wallet = get(account, "operator_wallet");

        (void) o;
        line(account, "balance", "balance");
        line(account, "total_earned", "earned");
        line(account, "total_spent", "spent");
        warn_of_sums(account, "this node");
        line(wallet, "total_balance", "operator balance");
        line(wallet, "node_count", "operator nodes");
        warn_of_sums(wallet, "the operator's wallet");
        printf("%-16s %s posted, %s waiting, %s refused, %s dropped%s\n", "receipts", text_of(awards, "posted"),
               text_of(awards, "waiting"), text_of(awards, "refused"), text_of(awards, "dropped"),
               strcmp(text_of(awards, "stopped"), "true") == 0 ? "; this directory takes none" : "");
        if (!list || !json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
                return;
        printf("\n%-26s %-8s %12s  %s\n", "WHEN", "TYPE", "CREDITS", "TASK");
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                json_object *t = json_object_array_get_idx(list, i);

                printf("%-26s %-8s %12s  %s\n", text_of(t, "created_at"), text_of(t, "type"), text_of(t, "amount"),
                       text_of(t, "task_id"));
        }
}

static void render_quote(const struct options *o, json_object *doc) {
        json_object *q = get(doc, "quote");

        (void) o;
        line(q, "estimated_credits", "estimate");
        line(q, "min_credits", "least");
        line(q, "max_credits", "most");
        line(q, "price_per_1000_tokens", "per 1000 tokens");
        line(q, "nodes_quoted", "nodes");
        line(q, "effective_balance", "balance");
        line(q, "balance_sufficient", "enough");
        line(q, "quote_expires_at", "valid until");
}

int cmd_credits(const struct options *o, int argc, char **argv) {
        static const struct option longs[] = {{"quote", required_argument, NULL, 'q'},
                                              {"max-tokens", required_argument, NULL, 'n'}, {0}};
        const char *intent = NULL, *tokens = "";
        char path[512] = "/v1/credits";
        char *words[8] = {(char *) "credits"};
        bool bad = false;
        int c, n = 1;

        for (int i = 0; i < argc && n < 7; i++)
                words[n++] = argv[i];
        optind = 0;
        opterr = 0;
        while ((c = getopt_long(n, words, "", longs, NULL)) >= 0) {
                if (c == 'q')
                        intent = optarg;
                else if (c == 'n')
                        tokens = optarg;
                else
                        bad = true;
        }
        if (bad || optind != n || argc > 6 || (intent && strpbrk(intent, "&?# %")) || strspn(tokens, "0123456789") != strlen(tokens)) {
                tell_error(o, "usage", "iicpctl credits [--quote INTENT [--max-tokens N]]", "iicpctl --help");
                return EXIT_USAGE;
        }
        if (intent)
                snprintf(path, sizeof(path), "/v1/credits/quote?intent=%s%s%s", intent, *tokens ? "&max_tokens=" : "", tokens);
        return show(o, path, intent ? render_quote : render_credits, NULL);
}
