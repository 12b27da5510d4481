/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include "util.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What the daemon knows: each room one line, what is wrong with it out of its findings. */

static const char *const rooms[] = {"port", "authentication", "backends", "directory", "route", "encryption key", "operator"};

static enum verdict of_severity(const char *severity) {
        return strcmp(severity, "fail") == 0 ? VERDICT_FAIL : strcmp(severity, "warn") == 0 ? VERDICT_WARN : VERDICT_OK;
}

/* Says the findings whose id begins so and weigh something; false: there is none. */
static bool findings(struct doctor *d, const char *prefix, const char *name) {
        json_object *list = list_of(d->status, "findings");
        bool any = false;

        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *f = json_object_array_get_idx(list, i);
                enum verdict v = of_severity(text_of(f, "severity"));

                if (strncmp(text_of(f, "id"), prefix, strlen(prefix)) != 0 || v == VERDICT_OK || *text_of(f, "caused_by"))
                        continue;
                doctor_say(d, v, *text_of(f, "subject") ? text_of(f, "subject") : name, text_of(f, "do"), "%s", text_of(f, "what"));
                any = true;
        }
        return any;
}

static void port(struct doctor *d) {
        json_object *route = get(d->status, "route");
        int64_t port = number(route, "port");

        if (d->config && d->config->listen_port != port)
                doctor_say(d, VERDICT_WARN, "port", "listen.port, or listen.port_strict to fail instead",
                           "listens on %" PRId64 ", the file says %u", port, d->config->listen_port);
        else
                doctor_say(d, VERDICT_OK, "port", NULL, "%" PRId64 "%s, %" PRId64 " of %" PRId64 " connections", port,
                           truth(route, "loopback_only") ? " on loopback only" : "", number(route, "connections"), number(route, "max_connections"));
}

static void authentication(struct doctor *d) {
        if (!d->config)
                return;
        if (d->config->auth_mode == AUTH_OPEN && d->config->per_address == 0 && !truth(get(d->status, "route"), "loopback_only"))
                doctor_say(d, VERDICT_OK, "authentication", "limits.per_address, or auth.mode = required, where that is not meant",
                           "anyone may run tasks, without a limit for one address (the mesh's default)");
        else if (d->config->auth_mode == AUTH_OPEN)
                doctor_say(d, VERDICT_OK, "authentication", NULL, "anyone may run tasks (auth.mode = open)");
        else
                doctor_say(d, VERDICT_OK, "authentication", NULL, "known callers only");
}

static void backends(struct doctor *d) {
        json_object *list = list_of(d->status, "backends");

        if (findings(d, "backend.", "backend"))
                return;
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *b = json_object_array_get_idx(list, i);
                char name[96];

                snprintf(name, sizeof name, "backend %.60s", text_of(b, "name"));
                if (number(b, "models") == 0)
                        doctor_say(d, VERDICT_WARN, name, "ollama pull MODEL, or set its model", "answers, but has no model");
                else
                        doctor_say(d, VERDICT_OK, name, NULL, "%s, %" PRId64 " model%s", text_of(b, "state"), number(b, "models"),
                                   number(b, "models") == 1 ? "" : "s");
        }
}

static void directory(struct doctor *d) {
        json_object *doc = get(d->status, "directory");
        const char *state = text_of(doc, "state");
        bool any = findings(d, "internet.", "internet");
        char a[32];

        any = findings(d, "dns.", "DNS") || any;
        if (findings(d, "directory.", "directory") || any)
                return;
        if (strcmp(state, "off") == 0)
                doctor_say(d, VERDICT_SKIP, "directory", NULL, "this node does not register: %s", or_dash(text_of(doc, "why")));
        else if (strcmp(state, "registered") == 0)
                doctor_say(d, VERDICT_OK, "directory", NULL, "registered, last good heartbeat %s ago", age(number(doc, "last_good_s"), a, sizeof a));
        else
                doctor_say(d, VERDICT_WARN, "directory", "iicpctl directory", "%s%s%s", state, *text_of(doc, "why") ? ": " : "", text_of(doc, "why"));
}

static void route(struct doctor *d) {
        json_object *r = get(d->status, "route");
        char a[32];

        if (findings(d, "route.", "route"))
                return;
        if (!*text_of(r, "endpoint"))
                doctor_say(d, VERDICT_SKIP, "route", NULL, "none is wanted: %s", or_dash(text_of(r, "reason")));
        else if (*text_of(r, "verified_by"))
                doctor_say(d, VERDICT_OK, "route", NULL, "proved from outside %s ago", age(number(r, "verified_age_s"), a, sizeof a));
        else if (get(r, "last_inbound_age_s"))
                doctor_say(d, VERDICT_OK, "route", NULL, "last caller from outside %s ago", age(number(r, "last_inbound_age_s"), a, sizeof a));
        else
                doctor_say(d, VERDICT_OK, "route", NULL, "published; nobody has called from outside yet");
}

static void encryption(struct doctor *d) {
        json_object *e = get(d->status, "encryption");

        if (findings(d, "key.", "encryption key"))
                return;
        if (!truth(e, "enabled"))
                doctor_say(d, VERDICT_WARN, "encryption key", "encryption.enabled = yes", "encryption is off: official consumers stay away");
        else
                doctor_say(d, VERDICT_OK, "encryption key", NULL, "%" PRId64 " days old", number(e, "age_days"));
}

static void the_rest(struct doctor *d) {
        if (!findings(d, "operator.", "operator"))
                doctor_say(d, VERDICT_OK, "operator", NULL, "what is configured is declared");
        findings(d, "certificate.", "certificate");
        findings(d, "capacity.", "availability");
        findings(d, "tasks.", "tasks");
        findings(d, "recovery.", "recovery");
}

void doctor_node(struct doctor *d) {
        if (!d->status) {
                for (size_t i = 0; i < ARRAY_SIZE(rooms); i++)
                        doctor_say(d, VERDICT_SKIP, rooms[i], NULL, "needs the running daemon");
                return;
        }
        port(d);
        authentication(d);
        backends(d);
        directory(d);
        route(d);
        encryption(d);
        the_rest(d);
}

/* ---- with the network: the daemon asks, not this program ---- */

static void outside(struct doctor *d, json_object *directory) {
        json_object *view = get(directory, "view"), *node = get(view, "node");

        if (!view || !truth(view, "answers"))
                doctor_say(d, VERDICT_WARN, "outside view", "iicpctl directory", "the directory does not answer: %s", or_dash(text_of(view, "failure")));
        else if (!truth(node, "listed"))
                doctor_say(d, VERDICT_WARN, "outside view", "iicpctl reregister", "the directory does not list this node");
        else if (get(node, "same_endpoint") && !truth(node, "same_endpoint"))
                doctor_say(d, VERDICT_FAIL, "outside view", "does another machine use this identity? iicpctl directory",
                           "the directory lists another endpoint for this node");
        else if (get(node, "reachable") && !truth(node, "reachable"))
                doctor_say(d, VERDICT_FAIL, "outside view", "iicpctl netcheck", "the directory cannot reach this node");
        else
                doctor_say(d, VERDICT_OK, "outside view", NULL, "the directory lists this node%s, %" PRId64 " ms away",
                           get(node, "reachable") ? " and reaches it" : "", number(view, "latency_ms"));
}

void doctor_online(struct doctor *d) {
        struct options quiet = *d->o;
        struct answer a = {0};

        if (!d->online || !d->status) {
                doctor_say(d, VERDICT_SKIP, "outside view", NULL, d->online ? "needs the running daemon" : "needs --online");
                return;
        }
        quiet.quiet = true;
        if (call(&quiet, "GET", "/v1/directory", NULL, &a) != EXIT_DONE || a.status != 200)
                doctor_say(d, VERDICT_WARN, "outside view", "iicpctl directory", "the daemon could not ask the directory");
        else if (strcmp(text_of(get(a.doc, "directory"), "state"), "off") == 0)
                doctor_say(d, VERDICT_SKIP, "outside view", NULL, "this node does not register");
        else
                outside(d, get(a.doc, "directory"));
        answer_done(&a);
}
