/* SPDX-License-Identifier: Apache-2.0 */
#include "findings/findings.h"

#include "directory/vouch.h"
#include "guidance.h"
#include "health.h"
#include "log.h"
#include "node.h"
#include "reach/routes.h"
#include "relay/worker.h"
#include "rotation.h"
#include "tls.h"
#include "tls_port.h"
#include "util.h"

#include <inttypes.h>
#include <sys/stat.h>

/* From the facts of this moment to findings. Sentences without addresses of others. */

#define SAY(field, ...) snprintf(field, sizeof field, __VA_ARGS__)

static const char *failure_words(const char *failure, int status, char *out, size_t cap) {
        if (strcmp(failure, "ok") == 0)
                snprintf(out, cap, "HTTP %d", status);
        else if (strcmp(failure, "connect") == 0)
                snprintf(out, cap, "connection refused or no way there");
        else if (strcmp(failure, "name") == 0)
                snprintf(out, cap, "its name is not found");
        else if (strcmp(failure, "tls") == 0)
                snprintf(out, cap, "TLS fails");
        else if (strcmp(failure, "reset") == 0)
                snprintf(out, cap, "it closes the connection");
        else if (strcmp(failure, "timeout") == 0)
                snprintf(out, cap, "no answer in time");
        else
                snprintf(out, cap, "%s", failure);
        return out;
}

/* "localhost:11434" of an URL. */
static const char *host_of(const char *url, char *out, size_t cap) {
        const char *p = strstr(url, "://"), *at;
        size_t n;

        p = p ? p + 3 : url;
        n = strcspn(p, "/?#");
        at = memchr(p, '@', n);
        if (at) {
                n -= (size_t) (at + 1 - p);
                p = at + 1;
        }
        snprintf(out, cap, "%.*s", (int) n, p);
        return out;
}

/* ---- backends ---- */

static void unreachable(struct findings_list *l, const struct backend_facts *b, const char *subject, bool all) {
        struct finding *f = findings_add(l, "backend.unreachable", subject);
        bool refused = b->failure && strcmp(b->failure, "connect") == 0;
        char host[128], words[96];

        if (!f)
                return;
        f->severity = all ? SEVERITY_FAIL : SEVERITY_WARN;
        if (refused)
                SAY(f->what, "backend '%.40s' refuses connections", b->name);
        else
                SAY(f->what, "backend '%.40s' does not answer", b->name);
        if (refused)
                SAY(f->why, "nothing listens on %s", host_of(b->url, host, sizeof host));
        else
                SAY(f->why, "%s: %s", host_of(b->url, host, sizeof host),
                    failure_words(b->failure ? b->failure : "failed", 0, words, sizeof words));
        SAY(f->todo, "start that server; iicpd notices within 5 s, no restart is needed");
        if (all)
                SAY(f->until, "the mesh is told available=no");
        finding_evidence(f, "failures", "%u", b->failures);
        finding_evidence(f, "last_failure", "%s", b->failure ? b->failure : "none");
        if (b->last_answer_age_s == UINT64_MAX)
                finding_evidence(f, "last_answer", "never");
        else
                finding_evidence(f, "last_answer_age_s", "%" PRIu64, b->last_answer_age_s);
}

static void rejects_key(struct findings_list *l, const struct backend_facts *b, const char *subject) {
        struct finding *f = findings_add(l, "backend.auth", subject);

        if (!f)
                return;
        SAY(f->what, "backend '%.40s' rejects our key: check its api_key", b->name);
        SAY(f->why, "it answers 401 or 403 to every request");
        SAY(f->todo, "put the right key where backend.%.40s.api_key points to, then iicpctl reload", b->name);
}

static void paused(struct findings_list *l, const struct backend_facts *b, const char *subject, bool all) {
        struct finding *f = findings_add(l, "backend.paused", subject);

        if (!f)
                return;
        if (all)
                SAY(f->what, "every backend is paused (%s)", b->stability.reason);
        else
                SAY(f->what, "backend '%.40s' is paused (%s)", b->name, b->stability.reason);
        SAY(f->why, "%s", strcmp(b->stability.reason, "backend_loading") == 0 ? "it is loading a model"
                                                                               : "it failed several times in a row");
        SAY(f->until, "it is asked again in %lld s", (long long) b->stability.retry_after_s);
}

static void models_of(struct findings_list *l, const struct backend_facts *b, const char *subject) {
        struct finding *f = NULL;

        if (b->undecided)
                f = findings_add(l, "backend.undecided", subject);
        else if (b->list_known && b->models == 0)
                f = findings_add(l, "backend.no_model", subject);
        else if (b->demo)
                f = findings_add(l, "backend.demo", subject);
        if (f)
                SAY(f->what, "backend '%.40s': %.200s", b->name, f->kind->means);
        if (f && b->undecided)
                SAY(f->todo, "set backend.%.40s.model, then iicpctl reload", b->name);
}

static void backends(struct node *n, struct findings_list *l) {
        bool none = backends_unavailable(n->backends);
        struct backend_stability joint;
        struct backend_facts b;
        char subject[96];

        backends_stability(n->backends, &joint);
        for (size_t i = 0; backends_facts(n->backends, i, &b); i++) {
                bool down = b.down || b.failures >= 3 || (none && b.failure);

                snprintf(subject, sizeof subject, "backend %s", b.name);
                if (down)
                        unreachable(l, &b, subject, none);
                else if (b.stability.state == STATE_DRAINING)
                        paused(l, &b, subject, joint.state == STATE_DRAINING);
                if (b.auth_failed)
                        rejects_key(l, &b, subject);
                models_of(l, &b, subject);
        }
}

/* ---- directory ---- */

static void silent(const struct node *n, const struct directory_facts *d, struct findings_list *l) {
        struct finding *f = findings_add(l, "directory.unreachable", "directory");
        char words[96], host[128];

        if (!f)
                return;
        f->since_s = clock_wall_s(n->clock) - (int64_t) d->silent_s;
        if (d->failure)
                SAY(f->what, "no answer from the directory for %" PRIu64 " s (%s)", d->silent_s,
                    failure_words(d->failure, d->failure_status, words, sizeof words));
        else
                SAY(f->what, "%s", d->why);
        SAY(f->why, "%s; %" PRIu64 " attempts failed in a row", host_of(n->config->directory_url, host, sizeof host), d->failures);
        SAY(f->todo, "nothing. Known consumers still reach us; new ones cannot look us up");
        SAY(f->until, "registration and the counts of %" PRIu64 " tasks are kept, delivered when it answers", d->counts_waiting);
        finding_evidence(f, "last_failure", "%s", d->failure ? d->failure : "none");
        if (d->failure_status)
                finding_evidence(f, "http_status", "%d", d->failure_status);
        finding_evidence(f, "last_failure_age_s", "%" PRIu64, d->failure_age_s);
}

static void refused(const struct directory_facts *d, struct findings_list *l) {
        char id[64];
        struct finding *f;

        snprintf(id, sizeof id, "directory.%.40s", d->cls);
        f = findings_add(l, finding_kind(id) ? id : "directory.other", "registration");
        if (!f)
                return;
        if (d->state == DIRECTORY_REGISTERED)
                f->severity = SEVERITY_INFO; /* the old registration goes on */
        if (*d->why)
                SAY(f->what, "%s", d->why);
        SAY(f->why, "%s (%s%s%s)", f->kind->means, d->code, *d->fields ? ": " : "", d->fields);
        if (d->next_try_ms)
                SAY(f->until, "next try in %" PRIu64 " s", (d->next_try_ms + 999) / 1000);
        else
                SAY(f->until, "not tried again by itself: iicpctl reregister");
        finding_evidence(f, "code", "%s", d->code);
        finding_evidence(f, "class", "%s", d->cls);
        if (*d->fields)
                finding_evidence(f, "fields", "%s", d->fields);
}

static bool no_way_out(const struct node *n) {
        const struct reach_facts *facts = n->reach ? reach_watch_facts(n->reach) : NULL;

        return facts && facts->n_interfaces > 0 && !reach_facts_default(facts, AF_INET) && !reach_facts_default(facts, AF_INET6);
}

static bool on_loopback(const char *url) {
        char host[128];

        host_of(url, host, sizeof host);
        return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 || strncmp(host, "[::1]", 5) == 0;
}

/* What keeps us from the directory before it is even asked. */
static void way_there(const struct node *n, const struct directory_facts *d, struct findings_list *l) {
        struct finding *f = NULL;
        char host[128];

        if (!d->failure || on_loopback(n->config->directory_url))
                return;
        if (no_way_out(n)) {
                f = findings_add(l, "internet.unavailable", "network");
                if (f) {
                        SAY(f->what, "no internet: this machine has no default route");
                        SAY(f->why, "neither for IPv4 nor for IPv6");
                }
        }
        if (strcmp(d->failure, "name") == 0 && (f = findings_add(l, "dns.unavailable", "DNS"))) {
                SAY(f->what, "the name of the directory is not found");
                SAY(f->why, "the resolver of this machine has no answer for %s", host_of(n->config->directory_url, host, sizeof host));
                SAY(f->todo, "resolvectl query %s; then directory.url", host_of(n->config->directory_url, host, sizeof host));
        }
}

static void recovery(const struct directory_facts *d, struct findings_list *l) {
        char id[64];
        struct finding *f;

        if (strcmp(d->recovery, "stable") == 0)
                return;
        snprintf(id, sizeof id, "recovery.%s", d->recovery);
        f = findings_add(l, id, "registration");
        if (!f)
                return;
        f->severity = SEVERITY_INFO; /* its effect has a finding of its own */
        if (strcmp(d->recovery, "tunnel_starting") == 0) { /* the contract's word for a relay, too */
                SAY(f->what, "the session to the relay is being made again");
                f->because = "route.no_relay";
        }
        if (*d->recovery_reason)
                SAY(f->why, "%s", d->recovery_reason);
}

static void directory(struct node *n, struct findings_list *l) {
        struct directory_facts d;
        struct finding *f;

        if (!n->config->directory_register)
                return;
        directory_facts(n->directory, &d);
        if (d.state == DIRECTORY_OFF)
                return;
        way_there(n, &d, l);
        if (d.state == DIRECTORY_UNAVAILABLE)
                silent(n, &d, l);
        else if (d.state == DIRECTORY_LEFT)
                findings_add(l, "directory.left", "registration");
        else if (d.held || d.state == DIRECTORY_BLOCKED)
                refused(&d, l);
        else if (d.state == DIRECTORY_WAITING && (f = findings_add(l, "directory.waiting", "registration")) && *d.why)
                SAY(f->why, "%s", d.why);
        if (*d.redirect_refused && d.state != DIRECTORY_REGISTERED &&
            (f = findings_add(l, "directory.redirect_refused", "directory")))
                SAY(f->why, "to %s", d.redirect_refused);
        recovery(&d, l);
}

/* ---- route ---- */

static void guide(struct findings_list *l, const char *code, bool first, bool none) {
        const struct explain_word *w = guidance_find(code);
        struct finding *f;
        char id[64];

        snprintf(id, sizeof id, "route.%s", code);
        f = findings_add(l, id, "route");
        if (!f)
                return;
        if (w) {
                SAY(f->why, "%s", w->text);
                SAY(f->todo, "%s", w->todo);
        }
        if (!first || !none)
                return;
        f->severity = SEVERITY_FAIL;
        SAY(f->what, "no public route: %.200s", f->why);
        SAY(f->until, "it is looked for again by itself; now: iicpctl redetect");
}

/* The operator's relay is the only way in, and does not answer: nothing of the detection says more. */
static bool relay_down(struct node *n, struct findings_list *l) {
        struct finding *f;
        char text[256];

        if (!routes_wanted(n) || !n->worker || !worker_fixed_trouble(n->worker, text, sizeof text) ||
            !(f = findings_add(l, "route.no_relay", "route")))
                return false;
        f->severity = SEVERITY_FAIL;
        SAY(f->what, "%s", text);
        SAY(f->why, "it is the one that relay.worker names, and the only way in to this node");
        SAY(f->todo, "start that relay, or set relay.worker to another one (auto = elected); iicpctl relays shows the tries");
        SAY(f->until, "it is tried again by itself, about once a minute; callers of this network are served");
        return true;
}

static void route(struct node *n, struct findings_list *l) {
        const char *why = NULL, *endpoint = node_endpoint(n, &why), *code;
        bool none = n->config->directory_register && directory_state(n->directory) != DIRECTORY_LEFT && !endpoint;
        bool down = none && relay_down(n, l);
        struct finding *f;

        for (unsigned i = 0; routes_wanted(n) && (code = routes_guidance(n->routes, i)); i++)
                if (none && !(down && strcmp(code, "no_relay") == 0))
                        guide(l, code, i == 0 && !down, none);
        if (!none || !(f = findings_add(l, "route.none", "route")))
                return;
        if (down)
                f->because = "route.no_relay";
        else if (routes_wanted(n) && (code = routes_guidance(n->routes, 0)))
                f->because = finding_kind_of("route", code) ? finding_kind_of("route", code)->id : NULL;
        SAY(f->what, "no public route: %s", why ? why : "unknown");
        SAY(f->why, "%s", why ? why : f->kind->causes);
        SAY(f->until, "the mesh is told nothing; callers of this network are served");
}

/* ---- the rest ---- */

static void keys_and_clock(struct node *n, struct findings_list *l) {
        const char *vouch = vouch_degraded(n->vouch);
        int64_t until = n->tls ? tls_port_not_after(n->tls) : 0, left = until - clock_wall_s(n->clock);
        struct finding *f;
        char text[160];

        clock_watch_sentence(&n->clock_watch, text, sizeof text);
        if (*text && (f = findings_add(l, "clock.off", "clock")))
                SAY(f->what, "%s", text);
        if (rotation_overdue(n->rotation) && (f = findings_add(l, "key.overdue", "encryption key")))
                SAY(f->what, "the encryption key is past its end and the directory has taken no other");
        if (vouch && (f = findings_add(l, "operator.not_declared", "operator")))
                SAY(f->what, "%s", vouch);
        if (until && left <= TLS_EXPIRY_WARN_S && (f = findings_add(l, "certificate.expiring", "listen.tls_cert"))) {
                if (left <= 0)
                        SAY(f->what, "the TLS certificate has ended: callers refuse this node");
                else
                        SAY(f->what, "the TLS certificate ends in %" PRId64 " days", left / 86400);
        }
}

static void phase(struct node *n, const struct findings_memory *m, struct findings_list *l) {
        const char *draining = corridor_draining(n->corridor);
        unsigned running = corridor_active(n->corridor);
        struct finding *f;

        if (n->phase == NODE_STARTING)
                findings_add(l, "node.starting", "");
        else if (n->phase == NODE_STOPPING && (f = findings_add(l, "node.stopping", "")))
                SAY(f->what, "no new tasks, %u running", running);
        else if (draining && (f = findings_add(l, "tasks.draining", "tasks"))) {
                SAY(f->what, "no new tasks, %u running", running);
                if (*m->drained_by)
                        SAY(f->why, "drained by %s", m->drained_by);
                f->since_s = m->drain_since;
        }
        if (corridor_effective(n->corridor) == 0 && (f = findings_add(l, "capacity.window_closed", "availability"))) {
                SAY(f->what, "the availability window is closed");
                SAY(f->why, "availability.window gives no slot at this time of the day");
        }
}

static void settings(struct node *n, const struct findings_memory *m, struct findings_list *l) {
        struct finding *f;
        struct stat st;

        if (*m->rejected && (f = findings_add(l, "config.rejected", "configuration")))
                SAY(f->why, "%s", m->rejected);
        if (*m->waiting && (f = findings_add(l, "config.restart_pending", "configuration")))
                SAY(f->why, "%s", m->waiting);
        if (!*m->rejected && n->config_source.path && stat(n->config_source.path, &st) == 0 && st.st_mtime > m->loaded_at)
                findings_add(l, "config.changed", "configuration");
        if ((int) log_get_level() != (int) n->config->log_level)
                findings_add(l, "log.override", "log");
}

void findings_gather(struct node *n, const struct findings_memory *m, struct findings_list *l) {
        phase(n, m, l);
        backends(n, l);
        directory(n, l);
        route(n, l);
        keys_and_clock(n, l);
        settings(n, m, l);
}
