/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "util.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Our place in the directory: what we say, what it says, and the commands that change it.
 * [operator design 6.4, 6.6] */

#define LABEL "%-13s "
#define PREFIX_LENGTH 8 /* characters of the node id that confirm a loss */

static const char *span(int64_t seconds, char *out, size_t cap) {
        if (seconds < 120)
                snprintf(out, cap, "%" PRId64 " s", seconds);
        else if (seconds < 7200)
                snprintf(out, cap, "%" PRId64 " m", seconds / 60);
        else
                snprintf(out, cap, "%" PRId64 " h", seconds / 3600);
        return out;
}

static void put_answers(json_object *d, json_object *view) {
        const char *url = text_of(d, "url");

        printf("%s: ", url);
        if (!view) {
                printf("not asked\n");
        } else if (!truth(view, "answers")) {
                printf("does not answer (%s)\n", text_of(view, "failure")[0] ? text_of(view, "failure") : "unknown");
        } else {
                printf("answers, %" PRId64 " ms%s", number(view, "latency_ms"),
                       strncmp(url, "https:", 6) == 0 ? ", TLS 1.3" : ", plain http");
                if (get(view, "clock_off_s"))
                        printf(", clock %+" PRId64 " s", number(view, "clock_off_s"));
                printf("\n");
        }
}

static void put_we_say(json_object *d) {
        json_object *models = get(d, "models"), *recovery = get(d, "recovery");
        size_t n = models ? json_object_array_length(models) : 0;

        printf(LABEL, "we say");
        if (!truth(d, "registered"))
                printf("nothing yet: %s%s%s", text_of(d, "state"), text_of(d, "why")[0] ? ", " : "", text_of(d, "why"));
        else
                printf("%s and %zu model%s", text_of(d, "endpoint"), n, n == 1 ? "" : "s");
        if (recovery)
                printf("; recovery: %s, %s", text_of(recovery, "state"),
                       strcmp(text_of(recovery, "action"), "none") == 0 ? "no action" : text_of(recovery, "action"));
        if (recovery && text_of(recovery, "reason")[0])
                printf(", for %s s: %s", text_of(recovery, "age_s"), text_of(recovery, "reason"));
        printf("\n");
}

static void put_health(json_object *node) {
        json_object *health = get(node, "health");

        if (!health)
                return;
        printf("; health %s", text_of(health, "label")[0] ? text_of(health, "label") : "unknown");
        if (get(health, "score"))
                printf(" (%" PRId64 ")", number(health, "score"));
}

static void put_it_says(json_object *d, json_object *view) {
        json_object *node = get(view, "node");

        if (!view)
                return;
        printf(LABEL, "it says");
        if (!node) {
                printf("nothing about us could be read\n");
                return;
        }
        if (!truth(node, "listed")) {
                printf("it does not know this node\n");
                return;
        }
        printf("%s endpoint", get(node, "same_endpoint") ? truth(node, "same_endpoint") ? "same" : "another" : "no");
        if (get(node, "models"))
                printf(", %" PRId64 " models", number(node, "models"));
        if (get(node, "available"))
                printf(", %s", truth(node, "available") ? "available" : "not available");
        if (get(node, "reachable"))
                printf(", %s", truth(node, "reachable") ? "reachable" : "not reachable");
        put_health(node);
        if (get(d, "reputation"))
                printf("; reputation %s (%s)", text_of(d, "reputation"),
                       text_of(d, "reputation_model")[0] ? text_of(d, "reputation_model") : "legacy");
        printf("\n");
        if (get(view, "discover_place")) {
                printf(LABEL, "");
                if (number(view, "discover_place") > 0)
                        printf("consumers find us, place %" PRId64 " of those it names\n", number(view, "discover_place"));
                else
                        printf("it does not name us to consumers\n");
        }
}

static void put_heartbeat(json_object *d) {
        json_object *batch = get(d, "batch");
        int64_t ago = number(d, "last_good_s"), next = number(d, "next_heartbeat_ms") / 1000;
        char a[24], b[24];

        printf(LABEL, "heartbeat");
        if (number(d, "heartbeats_ok") == 0)
                printf("none yet");
        else
                printf("%s ago, next in about %s", span(ago, a, sizeof(a)),
                       span(next > ago ? next - ago : 0, b, sizeof(b)));
        if (batch)
                printf(", batch %s", get(batch, "sent") ? "on its way"
                                     : number(batch, "acknowledged") > 0 ? "acknowledged" : "none");
        printf("; since start %" PRId64 " good, %" PRId64 " failed\n", number(d, "heartbeats_ok"),
               number(d, "heartbeats_failed"));
}

static void put_key(json_object *d) {
        json_object *key = get(d, "key");

        printf(LABEL, "key");
        if (!key)
                printf("none: consumer tokens cannot be checked\n");
        else
                printf("%s%s%s%s\n", text_of(key, "fingerprint"), truth(key, "pinned") ? ", pinned" : "",
                       text_of(key, "previous")[0] ? ", also valid for now: " : "", text_of(key, "previous"));
}

static void put_trouble(json_object *d) {
        json_object *left_out = get(d, "left_out");
        char next[24];

        if (text_of(d, "last_refusal")[0]) {
                printf(LABEL "%s, %s", "refused", text_of(d, "last_refusal"), text_of(d, "last_refusal_class"));
                if (text_of(d, "last_refusal_fields")[0])
                        printf(", fields %s", text_of(d, "last_refusal_fields"));
                if (number(d, "next_try_ms") > 0)
                        printf("; next try in %s", span(number(d, "next_try_ms") / 1000, next, sizeof(next)));
                printf("\n");
        }
        for (size_t i = 0; left_out && i < json_object_array_length(left_out); i++)
                printf(LABEL "%s\n", i ? "" : "left out", json_object_get_string(json_object_array_get_idx(left_out, i)));
        if (truth(d, "source_differs"))
                printf(LABEL "it sees us come from %s, not from the address we register\n", "source",
                       text_of(d, "observed_source_ip"));
        if (truth(d, "policy_sticks"))
                printf(LABEL "it may keep that of the first registration; only deregister and reregister change it\n",
                       "policy");
        if (text_of(d, "redirect_refused")[0])
                printf(LABEL "to %s refused; directory.redirect_origins\n", "redirect", text_of(d, "redirect_refused"));
        if (get(d, "breaker_ms"))
                printf(LABEL "five calls failed in a row: only heartbeats for %" PRId64 " s\n", "breaker",
                       (number(d, "breaker_ms") + 999) / 1000);
}

void render_directory(const struct options *o, json_object *doc) {
        json_object *d = get(doc, "directory"), *view = get(d, "view"), *stats = get(view, "stats");

        (void) o;
        if (!d)
                return;
        put_answers(d, view);
        put_we_say(d);
        put_it_says(d, view);
        put_heartbeat(d);
        put_key(d);
        put_trouble(d);
        if (stats && text_of(stats, "version")[0])
                printf(LABEL "version %s, %" PRId64 " nodes active\n", "software", text_of(stats, "version"),
                       number(stats, "active_nodes"));
}

/* ---- changes ---- */

int cmd_reregister(const struct options *o, int argc, char **argv) {
        struct answer a = {0};
        int r = no_more(o, argc, argv);

        if (r == EXIT_DONE)
                r = call(o, "POST", "/v1/reregister", "{}", &a);
        if (r != EXIT_DONE)
                return r;
        if (o->json && a.doc) {
                puts(a.text);
                r = a.status == 200 ? EXIT_DONE : EXIT_REFUSED;
        } else if (a.status != 200) {
                r = tell_refusal(o, &a);
                if (text_of(a.doc, "class")[0])
                        fprintf(stderr, "class %s%s%s\n", text_of(a.doc, "class"),
                                text_of(a.doc, "fields")[0] ? ", fields " : "", text_of(a.doc, "fields"));
        } else {
                puts("registered: the directory took it");
        }
        answer_done(&a);
        return r;
}

/* The id's beginning from the terminal; false: nobody there, or another text. */
static bool ask_prefix(const char *loss, char out[64]) {
        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
                return false;
        fprintf(stderr, "%s\nThe first %d characters of the node id, to go on: ", loss, PREFIX_LENGTH);
        if (!fgets(out, 64, stdin))
                return false;
        out[strcspn(out, "\r\n")] = '\0';
        return out[0] != '\0';
}

static int confirmed_change(const struct options *o, int argc, char **argv, const char *path, const char *loss,
                            const char *usage, const char *done) {
        struct answer a = {0};
        json_object *body;
        char prefix[64];
        int r;

        if (argc == 2 && strcmp(argv[0], "--yes-id") == 0) {
                snprintf(prefix, sizeof(prefix), "%s", argv[1]);
        } else if (argc != 0 || !ask_prefix(loss, prefix)) {
                tell_error(o, "usage", loss, usage);
                return EXIT_USAGE;
        }
        body = json_object_new_object();
        json_object_object_add(body, "node_id_prefix", json_object_new_string(prefix));
        r = call(o, "POST", path, json_object_to_json_string(body), &a);
        json_object_put(body);
        if (r != EXIT_DONE)
                return r;
        if (a.status != 200 || !a.doc)
                r = tell_refusal(o, &a);
        else
                puts(o->json ? a.text : done);
        answer_done(&a);
        return r;
}

int cmd_deregister(const struct options *o, int argc, char **argv) {
        return confirmed_change(o, argc, argv, "/v1/deregister", "leaving the directory loses this node's reputation",
                                "iicpctl deregister --yes-id FIRST-8-CHARACTERS-OF-THE-NODE-ID",
                                "left the directory; iicpctl reregister comes back, without the reputation");
}

int cmd_identity(const struct options *o, int argc, char **argv) {
        if (argc < 1 || strcmp(argv[0], "reset") != 0) {
                tell_error(o, "usage", "identity has one verb: reset", "iicpctl identity reset");
                return EXIT_USAGE;
        }
        return confirmed_change(o, argc - 1, argv + 1, "/v1/identity/reset",
                                "a new identity has a new id and a new encryption key; the reputation of this one is lost",
                                "iicpctl identity reset --yes-id FIRST-8-CHARACTERS-OF-THE-NODE-ID",
                                "a new identity registers now; iicpctl status shows it");
}
