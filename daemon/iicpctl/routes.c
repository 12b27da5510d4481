/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "explain.h"
#include "util.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Views of one document: what is published, and the evidence of the last detection. */

#define LOOK_MS 200
#define DETECTION_S 120 /* waited for; a detection has 25 s, its registration is not part of it */

static const char *or_none(const char *s, const char *none) {
        return *s ? s : none;
}

static bool is_tier4(json_object *r) {
        return number(r, "tier") == 4;
}

/* ---- routes ---- */

static void lease(const struct options *o, json_object *r, const char *name) {
        json_object *m = get(r, name);
        char left[32];

        if (truth(m, "active"))
                labelf(o, name, "%s, external port %s, ends in %s unless renewed; renewed %s times", text_of(m, "protocol"),
                       text_of(m, "external_port"), age(number(m, "left_s"), left, sizeof left), text_of(m, "renewals"));
}

static void proof(const struct options *o, json_object *r) {
        char ago[32];

        if (is_tier4(r) || !*text_of(r, "verified"))
                return;
        if (*text_of(r, "verified_age_s"))
                labelf(o, "proof", "%s by %s, %s ago", text_of(r, "verified"), or_none(text_of(r, "verified_by"), "a probe"),
                       age(number(r, "verified_age_s"), ago, sizeof ago));
        else
                labelf(o, "proof", "%s: the directory's own check decides", text_of(r, "verified"));
        if (*text_of(r, "last_inbound_age_s"))
                labelf(o, "callers", "the last one came %s ago", age(number(r, "last_inbound_age_s"), ago, sizeof ago));
}

/* What was tried and is not used, each with its reason. */
static void alternatives(const struct options *o, json_object *r) {
        json_object *log = list_of(r, "log");

        for (size_t i = 0; log && i < json_object_array_length(log); i++) {
                json_object *e = json_object_array_get_idx(log, i);
                const char *result = text_of(e, "result");

                if (strcmp(result, "works") != 0 && strcmp(result, "not set") != 0 && strcmp(result, "off") != 0)
                        labelf(o, "not used", "tier %s, %s: %s", text_of(e, "tier"), text_of(e, "step"), text_of(e, "evidence"));
        }
}

static void render_routes(const struct options *o, json_object *doc) {
        json_object *r = get(doc, "reachability");

        labelf(o, "route", "%s", or_none(text_of(r, "route"), "none"));
        labelf(o, "tier", "%s (%s)%s", text_of(r, "tier"), text_of(r, "kind"), truth(r, "looking") ? ", looking" : "");
        proof(o, r);
        lease(o, r, "mapping");
        lease(o, r, "pinhole");
        lease(o, r, "relay_port");
        if (*text_of(r, "observed_ip"))
                labelf(o, "seen as", "%s", text_of(r, "observed_ip"));
        if (*text_of(r, "why"))
                labelf(o, "why", "%s", text_of(r, "why"));
        alternatives(o, r);
        label(o, "more", "iicpctl netcheck");
}

/* ---- netcheck ---- */

static void this_host(json_object *r) {
        json_object *h = get(r, "host");

        if (!h)
                return;
        printf("This host   %s %s, router %s; IPv6 %s%s; %s, %s\n", or_none(text_of(h, "interface"), "no interface"),
               or_none(text_of(h, "address"), "without IPv4"), or_none(text_of(h, "router"), "none"),
               or_none(text_of(h, "ipv6"), "none"), *text_of(h, "ipv6") ? " with a route" : "", truth(h, "vpn") ? "a VPN has the default route" : "no VPN",
               truth(h, "container") ? "in a container" : "no container");
}

static const char *nat_words(const char *nested) {
        static const char *const words[][2] = {
                {"single", "one NAT, no CGNAT"}, {"suspect", "they differ: more than one way out, or another NAT"},
                {"cgnat", "the provider shares one address (CGNAT)"}, {"nested", "two routers in a row"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strcmp(words[i][0], nested) == 0)
                        return words[i][1];
        return "the router does not say what it has";
}

static void outside(json_object *r) {
        char ago[32] = "";

        if (*text_of(r, "observed_age_s"))
                age(number(r, "observed_age_s"), ago, sizeof ago);
        printf("Outside     others see %s%s%s%s, router says %s: %s\n", or_none(text_of(r, "observed_ip"), "nothing yet"), *ago ? " (" : "", ago,
               *ago ? " ago)" : "", or_none(text_of(r, "external_ip"), "nothing"), nat_words(text_of(r, "nested_nat")));
}

/* The row of the route that is published. */
static size_t used_row(json_object *r, json_object *log) {
        size_t used = SIZE_MAX;

        for (size_t i = 0; i < json_object_array_length(log); i++) {
                json_object *e = json_object_array_get_idx(log, i);

                if (!is_tier4(r) && number(e, "tier") == number(r, "tier") && strcmp(text_of(e, "result"), "works") == 0 &&
                    strcmp(text_of(e, "step"), "this host") != 0)
                        used = i;
        }
        return used;
}

static void row(json_object *e, bool used) {
        char time[32] = "";

        if (number(e, "took_ms") > 0)
                took(number(e, "took_ms"), time, sizeof time);
        printf("%-5s %-15s %-10s %-60s%s%s\n", text_of(e, "tier"), text_of(e, "step"), used ? "in use" : text_of(e, "result"),
               text_of(e, "evidence"), *time ? " " : "", time);
}

static void table(json_object *r, json_object *log) {
        size_t used = used_row(r, log);

        printf("%-5s %-15s %-10s %-60s %s\n", "TIER", "STEP", "RESULT", "EVIDENCE", "TOOK");
        for (size_t i = 0; i < json_object_array_length(log); i++) {
                json_object *e = json_object_array_get_idx(log, i);

                if (strcmp(text_of(e, "step"), "this host") != 0)
                        row(e, i == used);
        }
}

static const char *way(json_object *r) {
        switch (number(r, "tier")) {
        case 0: return "Reachable, directly.";
        case 1: return "Reachable, through a port that the router opened.";
        case 2: return "Reachable by IPv6, through the router's firewall.";
        case 3: return strcmp(text_of(r, "kind"), "relay") == 0 ? "Reachable, through a relay." : "Reachable, through a tunnel.";
        default: return "Not reachable from outside; local callers are served.";
        }
}

static void remedies(json_object *r, json_object *codes) {
        json_object *h = get(r, "host");
        const char *port = text_of(r, "port"), *address = text_of(h, "address");
        bool forward = false;
        unsigned n = 0;

        for (size_t i = 0; codes && i < json_object_array_length(codes); i++) {
                const struct explain_word *g = guidance_find(json_object_get_string(json_object_array_get_idx(codes, i)));

                if (!g)
                        continue;
                forward |= strcmp(g->word, "port_forward") == 0 || strcmp(g->word, "router_setting") == 0;
                printf("%s%u. %s (iicpctl explain %s)\n", n ? "            " : "Do          ", n + 1, g->todo, g->word);
                n++;
        }
        if (forward && *address && *port)
                printf("%s%u. at http://%s: forward TCP %s to %s:%s\n", n ? "            " : "Do          ", n + 1,
                       or_none(text_of(h, "router"), "the router"), port, address, port);
}

static void verdict(json_object *r) {
        json_object *codes = list_of(r, "guidance");
        const struct explain_word *g = NULL;
        const char *outer = *text_of(r, "observed_ip") ? text_of(r, "observed_ip") : text_of(r, "external_ip");
        char path[512] = "";

        if (codes && json_object_array_length(codes) > 0 && number(r, "tier") >= 3)
                g = guidance_find(json_object_get_string(json_object_array_get_idx(codes, 0)));
        printf("\nVerdict     %s%s%s%s\n", way(r), g ? " It is so because " : "", g ? g->text : "", g ? "." : "");
        if (number(r, "tier") >= 3)
                remedies(r, codes);
        if (*text_of(r, "route") && number(r, "tier") <= 2)
                snprintf(path, sizeof path, "%s/iicp/health", text_of(r, "route"));
        else if (*outer && *text_of(r, "port"))
                snprintf(path, sizeof path, "http://%s:%s/iicp/health", outer, text_of(r, "port"));
        if (*path)
                printf("Prove it    from another network: curl -sI %s        (200 = open)\n", path);
        printf("%sthe daemon tries again by itself; now: iicpctl redetect\n", *path ? "            " : "Prove it    ");
}

static void render_netcheck(const struct options *o, json_object *doc) {
        json_object *r = get(doc, "reachability"), *log = list_of(r, "log");
        char ago[32];

        (void) o;
        if (!log || json_object_array_length(log) == 0) {
                printf("%s\n", *text_of(r, "route")   ? "The endpoint is configured; nothing is looked for."
                               : truth(r, "looking") ? "A detection is under way."
                                                     : "No detection has run yet.");
                if (*text_of(r, "why"))
                        printf("Why         %s\n", text_of(r, "why"));
                return;
        }
        printf("From the daemon's run %s ago (%s). --probe repeats it: up to 4 outside probes; what it opens is closed "
               "unless it becomes the route.\n\n", age(number(r, "run_age_s"), ago, sizeof ago), text_of(r, "reason"));
        this_host(r);
        outside(r);
        printf("\n");
        table(r, log);
        verdict(r);
}

static int judge_route(json_object *doc) {
        return is_tier4(get(doc, "reachability")) ? EXIT_NOT_READY : EXIT_DONE;
}

/* ---- a detection that was asked for, step by step ---- */

static int64_t mono_s(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec;
}

static int read_routes(const struct options *o, struct answer *a) {
        int r = call(o, "GET", "/v1/routes", NULL, a);

        if (r != EXIT_DONE)
                return r;
        if (a->status == 200 && a->doc)
                return EXIT_DONE;
        r = tell_refusal(o, a);
        answer_done(a);
        return r;
}

/* Steps of the run behind `before`; whether it has ended. */
static bool follow(const struct options *o, json_object *r, int64_t before, size_t *shown) {
        json_object *log = list_of(r, "log");

        if (number(r, "runs") <= before)
                return false;
        for (; log && *shown < json_object_array_length(log); (*shown)++)
                if (!o->json)
                        row(json_object_array_get_idx(log, *shown), false);
        fflush(stdout);
        return !truth(r, "looking");
}

/* Asks for a detection and waits for its end. Anything but EXIT_DONE has been told. */
static int detect(const struct options *o) {
        int64_t before, end = mono_s() + DETECTION_S;
        struct answer a;
        size_t shown = 0;
        int r = read_routes(o, &a);

        if (r != EXIT_DONE)
                return r;
        before = number(get(a.doc, "reachability"), "runs");
        answer_done(&a);
        r = call(o, "POST", "/v1/redetect", "{}", &a);
        if (r != EXIT_DONE)
                return r;
        r = a.status == 200 ? EXIT_DONE : tell_refusal(o, &a);
        answer_done(&a);
        while (r == EXIT_DONE && mono_s() < end) {
                bool ended;

                r = read_routes(o, &a);
                if (r != EXIT_DONE)
                        return r;
                ended = follow(o, get(a.doc, "reachability"), before, &shown);
                answer_done(&a);
                if (ended)
                        return EXIT_DONE;
                poll(NULL, 0, LOOK_MS);
        }
        if (r == EXIT_DONE) {
                tell_error(o, "wait", "the detection has not ended yet", "iicpctl netcheck");
                return EXIT_WAIT;
        }
        return r;
}

int cmd_routes(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : show(o, "/v1/routes", render_routes, judge_route);
}

int cmd_netcheck(const struct options *o, int argc, char **argv) {
        bool probe = argc > 0 && strcmp(argv[0], "--probe") == 0;
        int r = no_more(o, argc - probe, argv + probe);

        if (r)
                return r;
        if (probe) {
                if (!o->json)
                        printf("Looking for a way in: the router is asked for a port, the directory probes up to 4 times; "
                               "what is opened is closed unless it becomes the route.\n\n");
                r = detect(o);
                if (r != EXIT_DONE)
                        return r;
                if (!o->json)
                        printf("\n");
        }
        return show(o, "/v1/routes", render_netcheck, judge_route);
}

int cmd_redetect(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        if (r == EXIT_DONE)
                r = detect(o);
        if (r == EXIT_DONE && !o->json)
                printf("\n");
        return r == EXIT_DONE ? show(o, "/v1/routes", render_routes, judge_route) : r;
}
