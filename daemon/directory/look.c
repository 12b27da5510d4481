/* SPDX-License-Identifier: Apache-2.0 */
#include "look.h"

#include "internal.h"
#include "log.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define FRESH_MS 5000u       /* answers may be cached that long */
#define WAITING_MAX 16u      /* connections of the control socket */

enum question { ASK_ME, ASK_NODE, ASK_PRESENCE, ASK_DISCOVER, ASK_STATS, ASK_MAX_ };

struct asked {
        struct look *look;
        struct directory_call *call;
        uint64_t began_ms;
        int status;             /* 0: no answer */
        char failure[16];
};

struct look {
        struct directory *d;
        struct asked asked[ASK_MAX_];
        unsigned open;
        bool done, at_start;
        uint64_t at_ms;
        struct waiter {
                void (*fn)(void *arg);
                void *arg;
        } waiting[WAITING_MAX];
        unsigned n_waiting;
        /* what came of it */
        char me_endpoint[256];
        struct iicp_directory_node node;
        enum iicp_tristate known, present;
        struct iicp_directory_stats stats;
        bool has_stats;
        int place;              /* in discover; negative errno */
        int64_t latency_ms, clock_off_s;
        bool has_clock;
};

struct look *look_new(struct directory *d) {
        struct look *l = calloc(1, sizeof *l);

        if (!l)
                return NULL;
        l->d = d;
        for (size_t i = 0; i < ASK_MAX_; i++)
                l->asked[i].look = l;
        return l;
}

static void cancel(struct look *l) {
        for (size_t i = 0; i < ASK_MAX_; i++)
                l->asked[i].call = directory_call_cancel(l->asked[i].call);
        l->open = 0;
}

struct look *look_free(struct look *l) {
        if (!l)
                return NULL;
        cancel(l);
        free(l);
        return NULL;
}

/* ---- answers ---- */

static void finish(struct look *l) {
        unsigned n = l->n_waiting;
        struct waiter waiting[WAITING_MAX];

        l->done = true;
        l->at_ms = directory_now(l->d);
        memcpy(waiting, l->waiting, sizeof waiting);
        l->n_waiting = 0;
        for (unsigned i = 0; i < n; i++)
                waiting[i].fn(waiting[i].arg);
}

static void take_me(struct look *l, const struct fetch_answer *a) {
        struct iicp_json o, v;

        if (a->status == 401) {
                directory_rejected(l->d, "the directory did not know our token any more");
        } else if (directory_answer_ok(a, 200, &o)) {
                v = iicp_json_get(&o, "endpoint");
                if (iicp_json_copy(&v, l->me_endpoint, sizeof l->me_endpoint) < 0)
                        l->me_endpoint[0] = '\0';
        }
}

static void take(struct look *l, enum question q, const struct fetch_answer *a) {
        const char *id = state_identity(l->d->node->state)->node_id;

        switch (q) {
        case ASK_ME:
                take_me(l, a);
                break;
        case ASK_NODE:
                l->known = a->status == 404 ? IICP_NO : IICP_UNKNOWN;
                if (a->status == 200 && iicp_directory_node_read(a->body, &l->node) == 0)
                        l->known = IICP_YES;
                break;
        case ASK_PRESENCE:
                l->present = a->status >= 200 && a->status < 300 ? IICP_YES
                             : a->status == 404                  ? IICP_NO
                                                                 : IICP_UNKNOWN;
                break;
        case ASK_DISCOVER:
                l->place = a->status == 200 ? iicp_directory_find_node(a->body, id) : -EAGAIN;
                break;
        default:
                l->has_stats = a->status == 200 && iicp_directory_stats_read(a->body, &l->stats) == 0;
        }
}

/* The Date of an answer against our clock. */
static void take_date(struct look *l, struct iicp_str date) {
        struct tm tm = {0};
        char text[64];
        const char *end;

        if (date.n == 0 || date.n >= sizeof text)
                return;
        memcpy(text, date.p, date.n);
        text[date.n] = '\0';
        end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        if (!end || *end)
                return;
        l->clock_off_s = clock_wall_s(l->d->node->clock) - timegm(&tm);
        l->has_clock = true;
}

static void say_start(struct look *l) {
        const struct identity *id = state_identity(l->d->node->state);

        if (!l->at_start)
                return;
        l->at_start = false;
        if (l->me_endpoint[0] && strcmp(l->me_endpoint, id->registered.endpoint) != 0)
                log_warn("endpoint_differs", "the directory lists another endpoint for this node than ours; if that "
                         "stays, another machine uses this identity");
        else if (l->place == -ENOENT && l->d->beat.available)
                log_info("not_listed", "registered, but not among the nodes that the directory names for our tasks "
                         "yet; iicpctl directory shows what it says");
        else if (l->place >= 0)
                log_info("listed", "the directory names this node to consumers");
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct asked *q = arg;
        struct look *l = q->look;

        q->call = NULL;
        q->status = a->error == FETCH_OK ? a->status : 0;
        if (a->error == FETCH_OK) {
                l->latency_ms = (int64_t) (directory_now(l->d) - q->began_ms);
                take_date(l, a->date);
                take(l, (enum question) (q - l->asked), a);
        } else {
                snprintf(q->failure, sizeof q->failure, "%s", fetch_error_name(a->error));
        }
        if (--l->open == 0) {
                say_start(l);
                finish(l);
        }
}

/* ---- questions ---- */

static void ask(struct look *l, enum question q, enum directory_route route, const char *tail) {
        struct asked *asked = &l->asked[q];

        asked->status = 0;
        asked->failure[0] = '\0';
        asked->began_ms = directory_now(l->d);
        asked->call = directory_call(l->d, &(struct directory_request){.route = route, .tail = tail},
                                     on_answer, asked);
        if (asked->call)
                l->open++;
        else
                snprintf(asked->failure, sizeof asked->failure, "%s",
                         directory_breaker_open(l->d) ? "breaker" : "failed");
}

/* Our ids and intents need no escaping but for ':' and '.', which may stand as they are. */
static void ask_all(struct look *l) {
        struct directory *d = l->d;
        const struct identity *id = state_identity(d->node->state);
        char tail[400];

        l->me_endpoint[0] = '\0';
        l->known = l->present = IICP_UNKNOWN;
        l->has_stats = l->has_clock = false;
        l->place = -EAGAIN;
        if (d->registered && id->node_token[0])
                ask(l, ASK_ME, DIRECTORY_ME, NULL);
        ask(l, ASK_NODE, DIRECTORY_NODE, id->node_id);
        /* A node that says available=false is not found there: that is no news. At the start the
         * recovery check asks anyway. */
        if (d->registered && d->beat.available && !l->at_start)
                ask(l, ASK_PRESENCE, DIRECTORY_REGISTRY_NODE, id->node_id);
        snprintf(tail, sizeof tail, "?intent=%s&limit=50", d->node->config->intent_default);
        ask(l, ASK_DISCOVER, DIRECTORY_DISCOVER, tail);
        ask(l, ASK_STATS, DIRECTORY_STATS, NULL);
}

int look_start(struct look *l, void (*fn)(void *arg), void *arg) {
        if (l->open == 0 && l->done && directory_now(l->d) - l->at_ms < FRESH_MS) {
                fn(arg);
                return 0;
        }
        if (l->n_waiting == WAITING_MAX)
                return -EBUSY;
        l->waiting[l->n_waiting++] = (struct waiter){fn, arg};
        if (l->open > 0)
                return 0;
        ask_all(l);
        if (l->open == 0)
                finish(l);
        return 0;
}

static void nobody(void *arg) {
        (void) arg;
}

void look_at_start(struct look *l) {
        l->at_start = true;
        if (look_start(l, nobody, NULL) < 0)
                l->at_start = false;
}

/* ---- shown ---- */

static void put_text(struct iicp_buf *out, const char *name, const char *text) {
        if (!text[0])
                return;
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(text));
}

static void put_flag(struct iicp_buf *out, const char *name, enum iicp_tristate v) {
        if (v != IICP_UNKNOWN)
                iicp_buf_printf(out, ",\"%s\":%s", name, v == IICP_YES ? "true" : "false");
}

static void health_json(const struct iicp_node_health *h, struct iicp_buf *out) {
        iicp_buf_puts(out, ",\"health\":{\"label\":");
        iicp_buf_json_str(out, iicp_str(h->label));
        if (h->score >= 0)
                iicp_buf_printf(out, ",\"score\":%d", h->score);
        put_flag(out, "observed", h->observed);
        put_text(out, "confidence", h->confidence);
        put_text(out, "evidence_level", h->evidence_level);
        put_text(out, "latency_ms_basis", h->latency_basis);
        put_text(out, "evaluated_at", h->evaluated_at);
        iicp_buf_puts(out, ",\"components\":{");
        for (unsigned i = 0; i < h->n_components; i++) {
                iicp_buf_puts(out, i ? "," : "");
                iicp_buf_json_str(out, iicp_str(h->components[i].name));
                iicp_buf_printf(out, ":%.6g", h->components[i].value);
        }
        iicp_buf_puts(out, "}}");
}

static void node_json(const struct look *l, struct iicp_buf *out) {
        const struct iicp_directory_node *n = &l->node;
        const char *ours = state_identity(l->d->node->state)->registered.endpoint;

        iicp_buf_puts(out, ",\"node\":{\"listed\":true");
        if (n->endpoint[0])
                iicp_buf_printf(out, ",\"same_endpoint\":%s", strcmp(n->endpoint, ours) == 0 ? "true" : "false");
        put_flag(out, "available", n->available);
        put_flag(out, "reachable", n->observed_reachable);
        put_flag(out, "browser_usable", n->browser_usable);
        put_flag(out, "key_ready", n->key_ready);
        put_flag(out, "operator_verified", n->operator_verified);
        put_flag(out, "probation", n->probation);
        if (n->n_models > 0)
                iicp_buf_printf(out, ",\"models\":%u", n->n_models);
        if (n->reputation >= 0)
                iicp_buf_printf(out, ",\"reputation_score\":%.3f", n->reputation);
        if (n->completed_tasks >= 0)
                iicp_buf_printf(out, ",\"completed_tasks\":%lld", (long long) n->completed_tasks);
        put_text(out, "routing_hint", n->routing_hint);
        put_text(out, "route_evidence", n->route_evidence);
        put_text(out, "exposure_mode", n->exposure_mode);
        put_text(out, "sdk_status", n->sdk_status);
        put_text(out, "status", n->status);
        put_text(out, "last_seen", n->last_seen);
        if (n->health.present)
                health_json(&n->health, out);
        iicp_buf_puts(out, "}");
}

static void stats_json(const struct iicp_directory_stats *s, struct iicp_buf *out) {
        iicp_buf_puts(out, ",\"stats\":{\"version\":");
        iicp_buf_json_str(out, iicp_str(s->version));
        if (s->active_nodes >= 0)
                iicp_buf_printf(out, ",\"active_nodes\":%lld", (long long) s->active_nodes);
        if (s->mesh_score >= 0)
                iicp_buf_printf(out, ",\"mesh_score\":%.3f", s->mesh_score);
        put_text(out, "mesh_label", s->mesh_label);
        iicp_buf_puts(out, "}");
}

static bool answers(const struct look *l) {
        for (size_t i = 0; i < ASK_MAX_; i++)
                if (l->asked[i].status > 0)
                        return true;
        return false;
}

void look_json(const struct look *l, struct iicp_buf *out) {
        if (!l->done)
                return;
        iicp_buf_printf(out, ",\"view\":{\"age_ms\":%llu,\"answers\":%s",
                        (unsigned long long) (directory_now(l->d) - l->at_ms), answers(l) ? "true" : "false");
        if (answers(l))
                iicp_buf_printf(out, ",\"latency_ms\":%lld", (long long) l->latency_ms);
        else
                put_text(out, "failure", l->asked[ASK_NODE].failure);
        if (l->has_clock)
                iicp_buf_printf(out, ",\"clock_off_s\":%lld", (long long) l->clock_off_s);
        if (l->me_endpoint[0])
                iicp_buf_printf(out, ",\"token_good\":true,\"me_endpoint_same\":%s",
                                strcmp(l->me_endpoint,
                                       state_identity(l->d->node->state)->registered.endpoint) == 0
                                        ? "true" : "false");
        put_flag(out, "present", l->present);
        if (l->place >= 0)
                iicp_buf_printf(out, ",\"discover_place\":%d", l->place + 1);
        else if (l->place == -ENOENT)
                iicp_buf_puts(out, ",\"discover_place\":0");
        if (l->known == IICP_YES)
                node_json(l, out);
        else if (l->known == IICP_NO)
                iicp_buf_puts(out, ",\"node\":{\"listed\":false}");
        if (l->has_stats)
                stats_json(&l->stats, out);
        iicp_buf_puts(out, "}");
}
