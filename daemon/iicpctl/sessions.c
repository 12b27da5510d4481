/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include <curl/curl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Workers that are bound to this relay. [operator design 6.4] */

#define PAGE 500 /* sessions of one request */

static size_t count(json_object *list) {
        return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static const char *size(int64_t bytes, char out[24]) {
        static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
        double v = (double) bytes;
        size_t u = 0;

        while (v >= 1000 && u < 4) {
                v /= 1000;
                u++;
        }
        snprintf(out, 24, u && v < 10 ? "%.1f %s" : "%.0f %s", v, units[u]);
        return out;
}

/* Nothing was answered yet: no time is known. */
static const char *mean(json_object *s, char *out, size_t cap) {
        return number(s, "mean_ms") > 0 ? took(number(s, "mean_ms"), out, cap) : "-";
}

static void heading(json_object *doc) {
        json_object *refused = get(doc, "refused"), *held = get(doc, "held_out");

        printf("%s of %s (native %s, long-poll %s); %s bound in the last minute\n", text_of(doc, "alive"), text_of(doc, "max"),
               text_of(doc, "native"), text_of(doc, "long_poll"), text_of(doc, "bound_last_minute"));
        printf("refused since start: rate %" PRId64 ", ticket %" PRId64 ", alive %" PRId64 ", capacity %" PRId64 ", held out by a kick %" PRId64 "\n",
               number(refused, "rate_limited"),
               number(refused, "ticket_required") + number(refused, "ticket_invalid") + number(refused, "ticket_replayed"),
               number(refused, "alive"), number(refused, "full"), number(refused, "held_out"));
        for (size_t i = 0; i < count(held); i++) {
                json_object *h = json_object_array_get_idx(held, i);
                char left[32];

                printf("held out by a kick: %s, %s more\n", text_of(h, "worker_id"), age(number(h, "left_s"), left, sizeof(left)));
        }
}

#define COLUMNS "%-*s %-9s %-9s %-6s %-9s %-9s %-7s %-6s %-8s %-7s %s\n"

static void row(json_object *s, int width, int64_t most) {
        char bound[32], alive[32], flight[32], bytes[24], ms[32];

        snprintf(flight, sizeof(flight), "%s/%" PRId64, text_of(s, "in_flight"), most);
        printf(COLUMNS, width, text_of(s, "worker_id"), age(number(s, "age_s"), bound, sizeof(bound)),
               strcmp(text_of(s, "transport"), "native") == 0 ? "native" : "long-poll", truth(s, "ticket") ? "yes" : "no",
               truth(s, "alive") ? age(number(s, "silent_s"), alive, sizeof(alive)) : "dead", flight, text_of(s, "calls"), text_of(s, "failed"),
               size(number(s, "bytes_to") + number(s, "bytes_from"), bytes), mean(s, ms, sizeof(ms)),
               text_of(s, "source"));
}

/* The ids are not cut: one that is cut cannot be told from its neighbour. */
static int width_of(json_object *list) {
        size_t n = 9;

        for (size_t i = 0; i < count(list); i++) {
                size_t k = strlen(text_of(json_object_array_get_idx(list, i), "worker_id"));

                if (k > n)
                        n = k;
        }
        return (int) n;
}

static void table(json_object *doc, bool first) {
        json_object *list = get(doc, "sessions");
        int width = width_of(list);

        if (first)
                printf(COLUMNS, width, "WORKER", "BOUND", "VIA", "TICKET", "ALIVE", "IN FLIGHT", "CALLS", "FAILED", "BYTES",
                       "MEAN", "SOURCE");
        for (size_t i = 0; i < count(list); i++)
                row(json_object_array_get_idx(list, i), width, number(doc, "max_in_flight"));
}

static void render_sources(json_object *doc) {
        json_object *list = get(doc, "sources");
        char bytes[24];

        heading(doc);
        printf("%s sources\n\n%-12s %-9s %-9s %-9s %-7s %s\n", text_of(doc, "n_sources"), "SOURCE", "SESSIONS", "IN FLIGHT", "CALLS",
               "FAILED", "BYTES");
        for (size_t i = 0; i < count(list); i++) {
                json_object *s = json_object_array_get_idx(list, i);

                printf("%-12s %-9s %-9s %-9s %-7s %s\n", text_of(s, "source"), text_of(s, "sessions"), text_of(s, "in_flight"),
                       text_of(s, "calls"), text_of(s, "failed"), size(number(s, "bytes"), bytes));
        }
}

static void render_one(const struct options *o, json_object *doc) {
        json_object *s = json_object_array_get_idx(get(doc, "sessions"), 0);
        char bound[32], silent[32], to[24], from[24], ms[32];

        (void) o;
        printf("worker     %s\nbound      %s ago by %s, %s ticket, source %s\n", text_of(s, "worker_id"),
               age(number(s, "age_s"), bound, sizeof(bound)), text_of(s, "transport"), truth(s, "ticket") ? "with" : "without", text_of(s, "source"));
        printf("state      %s, last heard %s ago\n", truth(s, "alive") ? "alive" : "dead: it may bind again", age(number(s, "silent_s"), silent, sizeof(silent)));
        printf("intent     %s\nmodels     %s\n", text_of(s, "intent"), text_of(s, "models"));
        printf("tasks      %s in flight of %s, %s in all, %s failed, mean %s\n", text_of(s, "in_flight"), text_of(doc, "max_in_flight"),
               text_of(s, "calls"), text_of(s, "failed"), mean(s, ms, sizeof(ms)));
        printf("bytes      %s to it, %s from it\n", size(number(s, "bytes_to"), to), size(number(s, "bytes_from"), from));
}

/* ---- asking ---- */

struct wish {
        const char *sort, *after;
        long limit;              /* 0 = all */
        bool by_source;
};

static char *quoted(const char *text) {
        char *made = text ? curl_easy_escape(NULL, text, 0) : NULL;
        char *copy = made ? strdup(made) : NULL;

        curl_free(made);
        return copy;
}

static int ask(const struct options *o, const struct wish *w, long limit, const char *after, struct answer *a) {
        char *cursor = quoted(after), *sort = quoted(w->sort);
        char path[1024];
        int r;

        snprintf(path, sizeof(path), "/v1/sessions?limit=%ld%s%s%s%s%s", limit, sort ? "&sort=" : "", sort ? sort : "",
                 cursor ? "&after=" : "", cursor ? cursor : "", w->by_source ? "&by=source" : "");
        free(cursor);
        free(sort);
        r = call(o, "GET", path, NULL, a);
        if (r == EXIT_DONE && (a->status != 200 || !a->doc)) {
                r = tell_refusal(o, a);
                r = a->status == 422 ? EXIT_USAGE : r;
        }
        return r;
}

/* A list of thousands comes in pages and is shown as it comes. */
static int list(const struct options *o, const struct wish *w) {
        char *after = w->after ? strdup(w->after) : NULL;
        long left = w->limit ? w->limit : 1000000;
        bool first = true;
        int r = EXIT_DONE;

        do {
                struct answer a = {0};

                r = ask(o, w, left < PAGE ? left : PAGE, after, &a);
                free(after);
                after = NULL;
                if (r == EXIT_DONE && o->json)
                        puts(a.text);
                else if (r == EXIT_DONE && w->by_source)
                        render_sources(a.doc);
                else if (r == EXIT_DONE) {
                        if (first) {
                                heading(a.doc);
                                printf("\n");
                        }
                        table(a.doc, first);
                }
                if (r == EXIT_DONE && !w->by_source && *text_of(a.doc, "next"))
                        after = strdup(text_of(a.doc, "next"));
                left -= (long) count(get(a.doc, "sessions"));
                first = false;
                answer_done(&a);
        } while (r == EXIT_DONE && after && left > 0);
        free(after);
        return r;
}

static int one(const struct options *o, const char *id) {
        char *item = quoted(id);
        char path[600];

        snprintf(path, sizeof(path), "/v1/sessions/%s", item ? item : "");
        free(item);
        return show(o, path, render_one, NULL);
}

/* "10m", "2h", "30s", "7d", "600"; -1: none of these. */
static long seconds_of(const char *text) {
        char *end;
        long n = strtol(text, &end, 10), unit = 1;

        if (end == text || n < 0 || n > 604800)
                return -1;
        if (*end) {
                const char *at = strchr("smhd", *end);
                static const long units[] = {1, 60, 3600, 86400};

                if (!at || end[1])
                        return -1;
                unit = units[at - "smhd"];
        }
        return n * unit <= 604800 ? n * unit : -1;
}

static void render_kicked(const struct options *o, json_object *doc) {
        int64_t for_s = number(doc, "kept_out_s");

        (void) o;
        if (for_s)
                printf("%s is sent away and kept out for %lld s\n", text_of(doc, "worker_id"), (long long) for_s);
        else
                printf("%s is sent away; it may bind again at once (--for keeps it out)\n", text_of(doc, "worker_id"));
}

static int kick(const struct options *o, const char *id, const char *hold) {
        long for_s = hold ? seconds_of(hold) : 0;
        char path[600], body[64];
        char *item;

        if (for_s < 0) {
                tell_error(o, "usage", "--for wants a time of up to 7 days", "like 10m, 2h, 30s");
                return EXIT_USAGE;
        }
        item = quoted(id);
        snprintf(path, sizeof(path), "/v1/sessions/%s/kick", item ? item : "");
        free(item);
        snprintf(body, sizeof(body), "{\"for_s\":%ld}", for_s);
        return show_call(o, "POST", path, body, render_kicked, NULL);
}

static int usage(const struct options *o) {
        tell_error(o, "usage", "iicpctl sessions [ID] [--sort KEY] [--limit N] [--after ID] [--by-source]",
                   "or: iicpctl sessions kick ID [--for 10m]");
        return EXIT_USAGE;
}

int cmd_sessions(const struct options *o, int argc, char **argv) {
        static const struct option longs[] = {
                {"sort", required_argument, NULL, 's'}, {"limit", required_argument, NULL, 'l'},
                {"after", required_argument, NULL, 'a'}, {"by-source", no_argument, NULL, 'b'},
                {"for", required_argument, NULL, 'f'}, {0}};
        const char *hold = NULL, *words[3] = {NULL};
        char *all[16] = {(char *) "sessions"};
        struct wish w = {0};
        bool kicks;
        int c, n = 1, n_words = 0;

        for (int i = 0; i < argc && n < 15; i++)
                all[n++] = argv[i];
        optind = 0;
        opterr = 0;
        while ((c = getopt_long(n, all, "", longs, NULL)) != -1) {
                if (c == 's')
                        w.sort = optarg;
                else if (c == 'a')
                        w.after = optarg;
                else if (c == 'b')
                        w.by_source = true;
                else if (c == 'f')
                        hold = optarg;
                else if (c != 'l' || (w.limit = atol(optarg)) <= 0)
                        return usage(o);
        }
        while (optind < n && n_words < 3)
                words[n_words++] = all[optind++];
        kicks = n_words == 2 && strcmp(words[0], "kick") == 0;
        if (kicks && !w.sort && !w.after && !w.by_source && !w.limit)
                return kick(o, words[1], hold);
        if (hold || n_words > 1 || (n_words == 1 && strcmp(words[0], "kick") == 0) || (n_words == 1 && (w.sort || w.after || w.by_source || w.limit)))
                return usage(o);
        return n_words == 1 ? one(o, words[0]) : list(o, &w);
}
