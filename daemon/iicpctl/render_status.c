/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "util.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* State, cause and next step first; then the facts, a line for each room. [operator design 6.2] */

#define INDENT 13 /* columns before the text of a label */

bool truth(json_object *o, const char *name) {
        json_object *v = get(o, name);

        return v && json_object_get_boolean(v);
}

/* Columns of text up to n bytes: continuation bytes of UTF-8 take none. */
static size_t columns(const char *p, size_t n) {
        size_t c = 0;

        for (size_t i = 0; i < n; i++)
                c += ((unsigned char) p[i] & 0xc0) != 0x80;
        return c;
}

void label(const struct options *o, const char *name, const char *text) {
        size_t left = o->width > INDENT ? (size_t) (o->width - INDENT) : SIZE_MAX, at = 0;

        printf("  %-10s ", name);
        while (*text) {
                size_t n = strcspn(text, " "), wide = columns(text, n);

                if (at && at + 1 + wide > left) {
                        printf("\n%*s", INDENT, "");
                        at = 0;
                }
                at += (size_t) (at ? 1 : 0) + wide;
                printf("%s%.*s", at > wide ? " " : "", (int) n, text);
                text += n;
                text += strspn(text, " ");
        }
        putchar('\n');
}

void labelf(const struct options *o, const char *name, const char *fmt, ...) {
        char text[2048];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        label(o, name, text);
}

static const char *mark_of(const struct options *o, const char *state, const char **ret_colour) {
        if (strcmp(state, "starting") == 0) {
                *ret_colour = "0";
                return o->utf8 ? "○" : "-";
        }
        *ret_colour = strcmp(state, "ready") == 0 ? "32" : strcmp(state, "not ready") == 0 ? "31" : "33";
        return o->utf8 ? "●" : "*";
}

static void first_line(const struct options *o, json_object *doc) {
        const char *state = text_of(doc, "state"), *dot = o->utf8 ? "·" : "-", *colour, *mark = mark_of(o, state, &colour);
        json_object *node = get(doc, "node");
        bool ready = strcmp(state, "ready") == 0;
        char up[32], since[48] = "", word[32];

        snprintf(word, sizeof(word), "%s", strcmp(state, "not ready") == 0 ? "NOT READY" : state);
        if (get(doc, "for_s") && number(doc, "for_s") >= 1)
                snprintf(since, sizeof(since), " for %s", age(number(doc, "for_s"), up, sizeof(up)));
        if (o->colour)
                printf("\033[%sm%s\033[0m iicpd \033[%sm%s\033[0m%s", colour, mark, colour, word, since);
        else
                printf("%s iicpd %s%s", mark, word, since);
        if (!ready) {
                printf(": %s\n", text_of(doc, "sentence"));
                return;
        }
        printf(" %s \"%s\" %.8s %s %s %s up %s\n", dot, text_of(node, "name"), text_of(node, "node_id"), dot,
               text_of(node, "region"), dot, age(number(node, "uptime_s"), up, sizeof(up)));
}

static void node_line(const struct options *o, json_object *doc) {
        json_object *node = get(doc, "node");
        char up[32];

        if (strcmp(text_of(doc, "state"), "ready") != 0)
                labelf(o, "node", "\"%s\" %.8s, %s, up %s", text_of(node, "name"), text_of(node, "node_id"),
                       text_of(node, "region"), age(number(node, "uptime_s"), up, sizeof(up)));
}

static void below_first_line(const struct options *o, json_object *doc) {
        static const struct {
                const char *member, *name;
        } lines[] = {{"why", "why"}, {"do", "do"}, {"until", "meanwhile"}};

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                if (*text_of(doc, lines[i].member))
                        label(o, lines[i].name, text_of(doc, lines[i].member));
}

/* What else needs attention: roots only, what follows from another one is folded under it. */
static void other_findings(const struct options *o, json_object *doc) {
        json_object *list = list_of(doc, "findings");
        const char *top = text_of(doc, "sentence");

        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                json_object *f = json_object_array_get_idx(list, i);
                bool info = strcmp(text_of(f, "severity"), "info") == 0;

                if (*text_of(f, "caused_by") || strcmp(text_of(f, "what"), top) == 0)
                        continue;
                if (info)
                        labelf(o, "note", "%s (iicpctl explain %s)", text_of(f, "what"), text_of(f, "id"));
                else
                        labelf(o, "also", "%s; %s", text_of(f, "what"), text_of(f, "do"));
        }
}

static void backend_line(const struct options *o, json_object *b) {
        int64_t models = number(b, "models");
        char text[512], ago[32];
        size_t n;

        n = (size_t) snprintf(text, sizeof(text), "%.60s (%s) %s, %" PRId64 " model%s, %" PRId64 " in flight", text_of(b, "name"),
                              text_of(b, "type"), text_of(b, "state"), models, models == 1 ? "" : "s", number(b, "in_flight"));
        if (text_of(b, "reason")[0] && strcmp(text_of(b, "reason"), "ok") != 0)
                n += (size_t) snprintf(text + n, sizeof(text) - n, " (%s)", text_of(b, "reason"));
        if (truth(b, "auth_failed"))
                n += (size_t) snprintf(text + n, sizeof(text) - n, " (rejects our key)");
        if (truth(b, "undecided"))
                n += (size_t) snprintf(text + n, sizeof(text) - n, " (which model? set backend.%.60s.model)", text_of(b, "name"));
        if (get(b, "last_answer_ms_ago"))
                snprintf(text + n, sizeof(text) - n, ", last answer %s ago", age(number(b, "last_answer_ms_ago") / 1000, ago, sizeof(ago)));
        label(o, "backend", text);
}

/* Only what is not as usual. */
static void encryption_line(const struct options *o, json_object *e) {
        if (!e)
                return;
        if (!truth(e, "enabled"))
                label(o, "encryption", "off: official consumers stay away");
        else if (text_of(e, "pending")[0])
                labelf(o, "encryption", "new key %s waits for the directory; %s is in use", text_of(e, "pending"), text_of(e, "key_id"));
}

static void recovery_line(const struct options *o, json_object *r) {
        char since[32];

        if (text_of(r, "state")[0] && strcmp(text_of(r, "state"), "stable") != 0)
                labelf(o, "recovery", "%s for %s: %s", text_of(r, "state"), age(number(r, "age_s"), since, sizeof(since)),
                       text_of(r, "reason"));
}

/* Proof, lease, last caller, as far as they are known. */
static void route_proof(json_object *route, char *out, size_t cap) {
        const char *by = text_of(route, "verified_by");
        char a[32];
        size_t n = 0;

        out[0] = '\0';
        if (get(route, "external_port"))
                n += (size_t) snprintf(out + n, cap - n, ", port %s, lease %s", text_of(route, "external_port"),
                                       age(number(route, "lease_left_s"), a, sizeof(a)));
        if (*by)
                n += (size_t) snprintf(out + n, cap - n, "; proved by %s %s ago",
                                       strcmp(by, "operator_probe") == 0 ? "nat.probe_url" : "the directory",
                                       age(number(route, "verified_age_s"), a, sizeof(a)));
        if (get(route, "last_inbound_age_s"))
                snprintf(out + n, cap - n, "%s last caller from outside %s ago", n ? "," : ";",
                         age(number(route, "last_inbound_age_s"), a, sizeof(a)));
}

static void route_line(const struct options *o, json_object *route) {
        const char *mapping = text_of(route, "mapping");
        char proof[256];

        if (!text_of(route, "endpoint")[0]) {
                labelf(o, "route", "none: %s", or_dash(text_of(route, "reason")));
                return;
        }
        route_proof(route, proof, sizeof(proof));
        if (text_of(route, "kind")[0])
                labelf(o, "route", "%s (tier %s, %s%s%s)%s", text_of(route, "endpoint"), text_of(route, "tier"),
                       text_of(route, "kind"), mapping[0] ? " by " : "", mapping, proof);
        else
                labelf(o, "route", "%s%s", text_of(route, "endpoint"), proof);
}

static void directory_line(const struct options *o, json_object *d) {
        const char *state = text_of(d, "state"), *why = text_of(d, "why");
        bool registered = strcmp(state, "registered") == 0;
        char text[640], a[32];
        size_t n = (size_t) snprintf(text, sizeof(text), "%s", state);

        if (registered && number(d, "heartbeats_ok") > 0)
                n += (size_t) snprintf(text + n, sizeof(text) - n, ", heartbeat %s ago", age(number(d, "last_good_s"), a, sizeof(a)));
        if (registered && get(d, "reputation"))
                n += (size_t) snprintf(text + n, sizeof(text) - n, ", reputation %.2f", json_object_get_double(get(d, "reputation")));
        if (*why)
                snprintf(text + n, sizeof(text) - n, "%s%s", registered ? "; the last try to renew it: " : ": ", why);
        label(o, "directory", text);
        recovery_line(o, get(d, "recovery"));
}

static void tasks_line(const struct options *o, json_object *tasks) {
        char text[512], p50[32];
        size_t n = (size_t) snprintf(text, sizeof(text), "%" PRId64 " of %" PRId64 " slots", number(tasks, "active"),
                                     number(tasks, "effective_slots"));

        if (number(tasks, "waiting") > 0)
                n += (size_t) snprintf(text + n, sizeof(text) - n, ", %" PRId64 " waiting", number(tasks, "waiting"));
        snprintf(text + n, sizeof(text) - n, "; since start %" PRId64 " success, %" PRId64 " error, %" PRId64 " timeout, %" PRId64
                 " refused; p50 %s", number(tasks, "success"), number(tasks, "error"), number(tasks, "timeout"),
                 number(tasks, "refused"), took(number(tasks, "p50_ms"), p50, sizeof(p50)));
        label(o, "tasks", text);
}

static void relay_line(const struct options *o, json_object *r) {
        bool key = truth(r, "ticket_key");

        if (r)
                labelf(o, "relay", "%s of %s sessions, %s in flight; port %s, tickets %s%s", text_of(r, "sessions"),
                       text_of(r, "max_sessions"), text_of(r, "in_flight"), text_of(r, "port"), text_of(r, "tickets"),
                       strcmp(text_of(r, "tickets"), "off") != 0 && !key ? " (no key yet)" : "");
}

static void credits_line(const struct options *o, json_object *awards) {
        if (get(awards, "balance"))
                labelf(o, "credits", "%.1f, %" PRId64 " receipt%s waiting", json_object_get_double(get(awards, "balance")),
                       number(awards, "waiting"), number(awards, "waiting") == 1 ? "" : "s");
}

static void config_line(const struct options *o, json_object *doc) {
        json_object *c = get(doc, "config");
        const char *file = text_of(c, "file");

        labelf(o, "config", "%s%s%s; iicpd %s", *file ? file : "no file, defaults",
               !*file ? "" : truth(c, "as_on_disk") ? " as on disk" : ", but the file says something else",
               truth(c, "restart_pending") ? ", waiting for a restart" : "", text_of(doc, "version"));
}

void render_status(const struct options *o, json_object *doc) {
        json_object *route = get(doc, "route"), *listen = get(doc, "listen"), *backends = list_of(doc, "backends");

        first_line(o, doc);
        below_first_line(o, doc);
        other_findings(o, doc);
        node_line(o, doc);
        route_line(o, route);
        if (text_of(route, "transport_endpoint")[0])
                label(o, "frames", text_of(route, "transport_endpoint"));
        if (text_of(listen, "certificate_until")[0])
                labelf(o, "listen", "TLS 1.3, certificate until %.10s%s", text_of(listen, "certificate_until"),
                       truth(listen, "certificate_expiring") ? ": replace it soon" : "");
        directory_line(o, get(doc, "directory"));
        for (size_t i = 0; backends && i < json_object_array_length(backends); i++)
                backend_line(o, json_object_array_get_idx(backends, i));
        tasks_line(o, get(doc, "tasks"));
        if (truth(get(doc, "mesh"), "enabled"))
                labelf(o, "mesh", "%s live peers of %s known", text_of(get(doc, "mesh"), "live"), text_of(get(doc, "mesh"), "known"));
        relay_line(o, get(doc, "relay"));
        credits_line(o, get(doc, "awards"));
        encryption_line(o, get(doc, "encryption"));
        config_line(o, doc);
}
