/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include <stdio.h>
#include <string.h>

/* As a worker: what was considered, in order, and why. [operator design 6.4] */

#define ID_SHOWN 8 /* characters of an id, unless ids are asked for in full by --json */

static void span(json_object *seconds, char *out, size_t cap) {
        int64_t s = json_object_get_int64(seconds);

        if (s < 120)
                snprintf(out, cap, "%lld s", (long long) s);
        else if (s < 7200)
                snprintf(out, cap, "%lld m", (long long) (s / 60));
        else
                snprintf(out, cap, "%lld h", (long long) (s / 3600));
}

static bool current(json_object *doc, json_object *relay) {
        return *text_of(doc, "node_id") && strcmp(text_of(doc, "node_id"), text_of(relay, "node_id")) == 0;
}

static void put_why(json_object *doc, json_object *relay) {
        char since[24];

        if (current(doc, relay) && strcmp(text_of(doc, "state"), "bound") == 0) {
                span(get(doc, "bound_s"), since, sizeof since);
                printf("for %s, by %s%s", since, text_of(doc, "transport"),
                       json_object_get_boolean(get(doc, "plain")) ? " in clear" : " over TLS");
        } else
                printf("%s", text_of(current(doc, relay) ? doc : relay, "why"));
        if (json_object_get_boolean(get(relay, "probation")))
                printf("%son probation", *text_of(relay, "why") ? ", " : "");
        printf("\n");
}

static void put_row(json_object *doc, json_object *relay) {
        json_object *reputation = get(relay, "reputation");
        char score[16] = "-";

        if (reputation)
                snprintf(score, sizeof score, "%.2f", json_object_get_double(reputation));
        printf("%-9.*s %-10s %-10s  %-5.2f ", ID_SHOWN, text_of(relay, "node_id"), text_of(relay, "state"), score,
               json_object_get_double(get(relay, "load")));
        put_why(doc, relay);
}

/* What holds for the whole, where the rows do not say it. */
static void put_summary(json_object *doc) {
        const char *state = text_of(doc, "state"), *mode = text_of(doc, "mode");
        char span_text[24];

        if (strcmp(mode, "no") == 0) {
                printf("relay.worker = no: this node is never reached through a relay\n");
                return;
        }
        if (strcmp(mode, "fixed") == 0) {
                printf("%s, the relay of relay.worker: %s", text_of(doc, "fixed"), state);
                if (strcmp(state, "bound") == 0) {
                        span(get(doc, "bound_s"), span_text, sizeof span_text);
                        printf(" for %s, by %s%s", span_text, text_of(doc, "transport"),
                               json_object_get_boolean(get(doc, "plain")) ? " in clear" : " over TLS");
                } else if (*text_of(doc, "why"))
                        printf(": %s", text_of(doc, "why"));
                printf("\n");
        } else if (!json_object_get_boolean(get(doc, "wanted")))
                printf("no relay is wanted: nothing but a better way in was needed yet (iicpctl routes)\n");
        else if (strcmp(state, "idle") == 0)
                printf("%s; looked for again by itself (iicpctl routes)\n", *text_of(doc, "why") ? text_of(doc, "why") : "no relay");
        if (get(doc, "retry_in_s"))
                printf("tried again in %s s\n", text_of(doc, "retry_in_s"));
}

static void render_relays(const struct options *o, json_object *doc) {
        json_object *relays = get(doc, "relays");
        size_t n = relays ? json_object_array_length(relays) : 0;

        (void) o;
        put_summary(doc);
        if (n == 0)
                return;
        printf("RELAY     STATE      REPUTATION  LOAD  WHY\n");
        for (size_t i = 0; i < n; i++)
                put_row(doc, json_object_array_get_idx(relays, i));
}

int cmd_relays(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : show(o, "/v1/relays", render_relays, NULL);
}
