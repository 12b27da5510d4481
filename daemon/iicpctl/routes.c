/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two views of one document: what is published, and the evidence of the last detection. */

static const char *or_none(const char *s, const char *none) {
        return *s ? s : none;
}

static void lease(json_object *r, const char *name) {
        json_object *m = get(r, name);

        if (json_object_is_type(m, json_type_object) && json_object_get_boolean(get(m, "active")))
                printf("  %-9s %s, external port %s, lease %s s, %s s left, renewed %s times\n", name, text_of(m, "protocol"),
                       text_of(m, "external_port"), text_of(m, "lease_s"), text_of(m, "left_s"), text_of(m, "renewals"));
}

static void render_routes(const struct options *o, json_object *doc) {
        json_object *r = get(doc, "reachability");

        (void) o;
        printf("  route     %s\n  tier      %s (%s)%s\n", or_none(text_of(r, "route"), "none"), text_of(r, "tier"), text_of(r, "kind"),
               json_object_get_boolean(get(r, "looking")) ? ", looking" : "");
        if (*text_of(r, "verified"))
                printf("  proof     %s%s%s%s%s\n", text_of(r, "verified"), *text_of(r, "verified_by") ? " by " : "",
                       text_of(r, "verified_by"), *text_of(r, "verified_age_s") ? ", seconds ago: " : "",
                       text_of(r, "verified_age_s"));
        lease(r, "mapping");
        lease(r, "pinhole");
        if (*text_of(r, "observed_ip"))
                printf("  seen as   %s\n", text_of(r, "observed_ip"));
        if (*text_of(r, "why"))
                printf("  why       %s\n", text_of(r, "why"));
        printf("  more      iicpctl netcheck\n");
}

static void render_guidance(json_object *list) {
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                const struct explain_word *g = guidance_find(json_object_get_string(json_object_array_get_idx(list, i)));

                if (g)
                        printf("%s %s: %s\n            %s\n", i ? "           " : "Do         ", g->word, g->text, g->todo);
        }
}

static void render_netcheck(const struct options *o, json_object *doc) {
        json_object *r = get(doc, "reachability"), *log = get(r, "log");

        (void) o;
        if (!log || json_object_array_length(log) == 0) {
                printf("%s\n", *text_of(r, "route") ? "The endpoint is configured; nothing is looked for."
                                                    : json_object_get_boolean(get(r, "looking")) ? "A detection is under way."
                                                                                                 : "No detection has run yet.");
                if (*text_of(r, "why"))
                        printf("Why         %s\n", text_of(r, "why"));
                return;
        }
        printf("From the daemon's run %s s ago (%s), which took %s ms. iicpctl redetect repeats it.\n\n", text_of(r, "run_age_s"),
               text_of(r, "reason"), text_of(r, "run_took_ms"));
        printf("%-5s %-14s %-10s %7s  %s\n", "TIER", "STEP", "RESULT", "AT ms", "EVIDENCE");
        for (size_t i = 0; i < json_object_array_length(log); i++) {
                json_object *e = json_object_array_get_idx(log, i);

                printf("%-5s %-14s %-10s %7s  %s\n", text_of(e, "tier"), text_of(e, "step"), text_of(e, "result"),
                       text_of(e, "at_ms"), text_of(e, "evidence"));
        }
        printf("\nVerdict     tier %s, %s%s%s\n", text_of(r, "tier"), text_of(r, "kind"), *text_of(r, "route") ? ": " : "",
               text_of(r, "route"));
        if (strcmp(text_of(r, "tier"), "4") == 0)
                render_guidance(get(r, "guidance"));
}

static int judge_route(json_object *doc) {
        return strcmp(text_of(get(doc, "reachability"), "tier"), "4") == 0 ? EXIT_NOT_READY : EXIT_DONE;
}

int cmd_routes(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : show(o, "/v1/routes", render_routes, judge_route);
}

int cmd_netcheck(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : show(o, "/v1/routes", render_netcheck, judge_route);
}
