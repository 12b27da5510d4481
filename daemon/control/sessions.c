/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "node.h"
#include "relay/sessions.h"
#include "util.h"

#include <errno.h>
#include <iicp/json.h>
#include <stdio.h>
#include <stdlib.h>

/* Workers that are bound to this relay. Sources are told as keyed hashes: who shares one can be seen, who
 * it is cannot. [operator design 6.4; 03 section 17] */

#define LIST_MAX 1000u           /* sessions of one answer */
#define PREFIX_MIN 4u            /* characters of a worker id that may stand for it */
#define HOLD_MAX_S 604800

/* ---- the list ---- */

typedef uint64_t (*sort_key)(const struct relay_session_view *v);

static uint64_t by_age(const struct relay_session_view *v) { return v->age_ms; }
static uint64_t by_silence(const struct relay_session_view *v) { return v->silent_ms; }
static uint64_t by_in_flight(const struct relay_session_view *v) { return v->in_flight; }
static uint64_t by_calls(const struct relay_session_view *v) { return v->calls; }
static uint64_t by_failed(const struct relay_session_view *v) { return v->failures; }
static uint64_t by_bytes(const struct relay_session_view *v) { return v->bytes_to + v->bytes_from; }
static uint64_t by_latency(const struct relay_session_view *v) { return v->latency_ms; }

static const struct {
        const char *name;
        sort_key key;            /* largest first; NULL: by worker id */
} sorts[] = {
        {"worker", NULL},       {"age", by_age},     {"silent", by_silence}, {"in_flight", by_in_flight},
        {"calls", by_calls},    {"failed", by_failed}, {"bytes", by_bytes},  {"p50", by_latency},
};

struct row {
        struct relay_session_view view;
        uint64_t key;
};

struct list {
        struct row *v;
        size_t n, cap;
        sort_key key;
};

static bool collect(void *arg, const struct relay_session *s) {
        struct list *l = arg;
        struct row *r;

        if (l->n == l->cap) {
                size_t cap = l->cap ? l->cap * 2 : 256;

                r = realloc(l->v, cap * sizeof(*r));
                if (!r)
                        return false;
                l->v = r;
                l->cap = cap;
        }
        r = &l->v[l->n++];
        relay_session_view(s, &r->view);
        r->key = l->key ? l->key(&r->view) : 0;
        return true;
}

static int compare(const void *a, const void *b) {
        const struct row *x = a, *y = b;
        size_t n = MIN(x->view.worker_id.n, y->view.worker_id.n);
        int order;

        if (x->key != y->key)
                return x->key > y->key ? -1 : 1;
        order = memcmp(x->view.worker_id.p, y->view.worker_id.p, n);
        return order ? order : (x->view.worker_id.n > y->view.worker_id.n) - (x->view.worker_id.n < y->view.worker_id.n);
}

static void one(const struct relay_session_view *v, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"worker_id\":");
        iicp_buf_json_str(out, v->worker_id);
        iicp_buf_printf(out, ",\"transport\":\"%s\",\"alive\":%s,\"ticket\":%s,\"lifecycle\":%s,\"source\":\"h:%s\"",
                        v->transport, v->alive ? "true" : "false", v->ticket ? "true" : "false",
                        v->lifecycle ? "true" : "false", v->source_hash);
        iicp_buf_printf(out, ",\"age_s\":%llu,\"silent_s\":%llu,\"in_flight\":%u,\"pulls\":%u,\"calls\":%llu,\"failed\":%llu",
                        (unsigned long long) v->age_ms / 1000, (unsigned long long) v->silent_ms / 1000, v->in_flight,
                        v->pulls, (unsigned long long) v->calls, (unsigned long long) v->failures);
        iicp_buf_printf(out, ",\"bytes_to\":%llu,\"bytes_from\":%llu,\"mean_ms\":%llu,\"intent\":",
                        (unsigned long long) v->bytes_to, (unsigned long long) v->bytes_from,
                        (unsigned long long) v->latency_ms);
        iicp_buf_json_str(out, v->intent.p ? v->intent : IICP_STR(""));
        iicp_buf_puts(out, ",\"models\":");
        iicp_buf_add_str(out, v->models);
        iicp_buf_puts(out, "}");
}

static void held_out(void *arg, const char *worker_id, uint64_t left_ms) {
        struct iicp_buf *out = arg;

        if (out->n > 0 && out->p[out->n - 1] != '[')
                iicp_buf_puts(out, ",");
        iicp_buf_puts(out, "{\"worker_id\":");
        iicp_buf_json_str(out, iicp_str(worker_id));
        iicp_buf_printf(out, ",\"left_s\":%llu}", (unsigned long long) (left_ms + 999) / 1000);
}

/* The figures above the list. */
static void head(const struct node *n, const struct list *l, struct iicp_buf *out) {
        struct relay *r = n->relay;
        struct relay_counts c;
        unsigned young = 0;

        relay_counts(r, &c);
        for (size_t i = 0; i < l->n; i++)
                young += l->v[i].view.age_ms < 60000;
        iicp_buf_printf(out, "{\"schema\":\"iicp.sessions/1\",\"alive\":%u,\"max\":%u,\"native\":%u,\"long_poll\":%u,"
                             "\"max_in_flight\":%u,\"bound_last_minute\":%u,\"refused\":{",
                        c.sessions, c.max_sessions, relay_sessions_of(r, "native"), relay_sessions_of(r, "http-poll"),
                        n->config->relay_max_in_flight, young);
        for (enum relay_verdict v = RELAY_BOUND + 1; v < RELAY_VERDICT_MAX_; v++)
                iicp_buf_printf(out, "%s\"%s\":%llu", v > RELAY_BOUND + 1 ? "," : "", relay_verdict_name(v),
                                (unsigned long long) c.binds[v]);
        iicp_buf_puts(out, "},\"held_out\":[");
        relay_each_held_out(r, held_out, out);
        iicp_buf_puts(out, "]");
}

static unsigned no_relay(struct iicp_buf *out) {
        return call_fault(out, 409, "no_relay", "this node is no relay operator", "relay.operator = yes, then restart");
}

/* ---- sources ---- */

static int compare_source(const void *a, const void *b) {
        const struct row *x = a, *y = b;

        return strcmp(x->view.source_hash, y->view.source_hash);
}

struct source {
        const char *hash;
        uint64_t calls, failed, bytes;
        unsigned sessions, in_flight;
};

static int compare_sessions(const void *a, const void *b) {
        const struct source *x = a, *y = b;

        if (x->sessions != y->sessions)
                return x->sessions > y->sessions ? -1 : 1;
        return strcmp(x->hash, y->hash);
}

static size_t sum_sources(struct list *l, struct source *all) {
        size_t n = 0;

        qsort(l->v, l->n, sizeof(*l->v), compare_source);
        for (size_t i = 0; i < l->n; i++) {
                const struct relay_session_view *v = &l->v[i].view;

                if (n == 0 || strcmp(all[n - 1].hash, v->source_hash) != 0)
                        all[n++] = (struct source){.hash = v->source_hash};
                all[n - 1].sessions++;
                all[n - 1].in_flight += v->in_flight;
                all[n - 1].calls += v->calls;
                all[n - 1].failed += v->failures;
                all[n - 1].bytes += v->bytes_to + v->bytes_from;
        }
        qsort(all, n, sizeof(*all), compare_sessions);
        return n;
}

static void put_sources(struct list *l, size_t limit, struct iicp_buf *out) {
        _cleanup_free_ struct source *all = calloc(MAX(l->n, (size_t) 1), sizeof(*all));
        size_t n = all ? sum_sources(l, all) : 0;

        iicp_buf_printf(out, ",\"n_sources\":%zu,\"sources\":[", n);
        for (size_t i = 0; i < MIN(n, limit); i++)
                iicp_buf_printf(out, "%s{\"source\":\"h:%s\",\"sessions\":%u,\"in_flight\":%u,\"calls\":%llu,\"failed\":%llu,"
                                     "\"bytes\":%llu}",
                                i ? "," : "", all[i].hash, all[i].sessions, all[i].in_flight,
                                (unsigned long long) all[i].calls, (unsigned long long) all[i].failed,
                                (unsigned long long) all[i].bytes);
        iicp_buf_puts(out, "]}");
}

/* ---- GET /v1/sessions?sort&limit&after&by ---- */

static bool arguments(const struct call *call, struct list *l, size_t *ret_limit, struct iicp_buf *out) {
        const char *sort = call_argument(call, "sort"), *limit = call_argument(call, "limit"), *by = call_argument(call, "by");
        size_t i;

        for (i = 0; sort && i < ARRAY_SIZE(sorts) && strcmp(sorts[i].name, sort) != 0; i++)
                ;
        if (i == ARRAY_SIZE(sorts)) {
                call_fault(out, 422, "usage", "sessions cannot be sorted by that",
                           "worker, age, silent, in_flight, calls, failed, bytes or p50");
                return false;
        }
        l->key = sorts[i].key;
        if (limit && (strspn(limit, "0123456789") != strlen(limit) || strlen(limit) > 6 || atoi(limit) == 0)) {
                call_fault(out, 422, "usage", "limit is no number above 0", "like 100");
                return false;
        }
        if (by && strcmp(by, "source") != 0) {
                call_fault(out, 422, "usage", "by knows source alone", "by=source");
                return false;
        }
        *ret_limit = limit ? MIN((size_t) atoi(limit), (size_t) LIST_MAX) : LIST_MAX;
        return true;
}

static void put_sessions(const struct list *l, size_t from, size_t limit, struct iicp_buf *out) {
        size_t end = MIN(l->n, from + limit);

        iicp_buf_puts(out, ",\"sessions\":[");
        for (size_t i = from; i < end; i++) {
                if (i > from)
                        iicp_buf_puts(out, ",");
                one(&l->v[i].view, out);
        }
        iicp_buf_puts(out, "],\"next\":");
        if (end < l->n && end > from)
                iicp_buf_json_str(out, l->v[end - 1].view.worker_id);
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, "}");
}

unsigned get_sessions(struct call *call, struct iicp_buf *out) {
        struct relay *r = call_node(call)->relay;
        const char *after = call_argument(call, "after");
        struct list l = {0};
        size_t limit, from = 0;
        unsigned status = 200;

        if (!arguments(call, &l, &limit, out))
                return 422;
        if (!r)
                return no_relay(out);
        relay_each(r, collect, &l);
        if (l.n > 1)
                qsort(l.v, l.n, sizeof(*l.v), compare);
        if (after) {
                while (from < l.n && !iicp_str_is(l.v[from].view.worker_id, after))
                        from++;
                from++;
        }
        if (after && from > l.n)
                status = call_fault(out, 409, "gone", "that worker has left meanwhile", "begin without after");
        else {
                head(call_node(call), &l, out);
                if (call_argument(call, "by"))
                        put_sources(&l, limit, out);
                else
                        put_sessions(&l, from, limit, out);
        }
        free(l.v);
        return status;
}

/* ---- one of them ---- */

struct search {
        struct iicp_str wanted;
        const struct relay_session *found;
        unsigned n;
};

static bool match_prefix(void *arg, const struct relay_session *s) {
        struct search *x = arg;
        struct relay_session_view v;

        relay_session_view(s, &v);
        if (v.worker_id.n >= x->wanted.n && memcmp(v.worker_id.p, x->wanted.p, x->wanted.n) == 0) {
                x->found = s;
                x->n++;
        }
        return x->n < 2;
}

/* By its id, or by the first characters of it if that is clear. */
static const struct relay_session *find(struct relay *r, const char *id, unsigned *ret_status, struct iicp_buf *out) {
        struct search x = {.wanted = iicp_str(id)};

        x.found = relay_find(r, x.wanted);
        if (x.found)
                return x.found;
        if (x.wanted.n >= PREFIX_MIN)
                relay_each(r, match_prefix, &x);
        if (x.n == 1)
                return x.found;
        *ret_status = x.n ? call_fault(out, 409, "ambiguous", "several workers begin like that", "write more of the id")
                          : call_fault(out, 404, "not_found", "no such worker is bound here",
                                       "iicpctl sessions; the whole id, or at least its first 4 characters");
        return NULL;
}

unsigned get_session(struct call *call, struct iicp_buf *out) {
        struct relay *r = call_node(call)->relay;
        const struct relay_session *s;
        struct list l = {0};
        unsigned status;

        if (!r)
                return no_relay(out);
        s = find(r, call_item(call), &status, out);
        if (!s)
                return status;
        if (!collect(&l, s))
                return call_fault(out, 500, "internal", "out of memory", "try again");
        head(call_node(call), &l, out);
        put_sessions(&l, 0, 1, out);
        free(l.v);
        return 200;
}

/* {"for_s": N} or nothing. */
static bool hold_of(struct call *call, int64_t *ret_s) {
        struct iicp_json body, v;

        *ret_s = 0;
        if (call_body(call).n == 0)
                return true;
        if (iicp_json_scan(call_body(call), NULL, NULL, &body) < 0 || body.type != IICP_JSON_OBJECT)
                return false;
        v = iicp_json_get(&body, "for_s");
        if (v.type == IICP_JSON_NONE)
                return true;
        return v.type == IICP_JSON_NUMBER && iicp_json_int(&v, ret_s) == 0 && *ret_s >= 0 && *ret_s <= HOLD_MAX_S;
}

unsigned post_kick(struct call *call, struct iicp_buf *out) {
        struct relay *r = call_node(call)->relay;
        char worker_id[IICP_WORKER_ID_MAX + 1], action[IICP_WORKER_ID_MAX + 64];
        const struct relay_session *s;
        struct relay_session_view v;
        unsigned status;
        int64_t hold_s;

        if (!r)
                return no_relay(out);
        if (!hold_of(call, &hold_s))
                return call_fault(out, 422, "usage", "for_s is no number of seconds up to a week", "like 600");
        s = find(r, call_item(call), &status, out);
        if (!s)
                return status;
        relay_session_view(s, &v);
        snprintf(worker_id, sizeof(worker_id), "%.*s", (int) v.worker_id.n, v.worker_id.p);
        snprintf(action, sizeof(action), "kick of worker %s for %lld s", worker_id, (long long) hold_s);
        call_audit(call, action);
        if (relay_kick(r, iicp_str(worker_id), (uint64_t) hold_s * 1000) < 0)
                return call_fault(out, 500, "internal", "out of memory", "try again");
        iicp_buf_puts(out, "{\"schema\":\"iicp.kick/1\",\"worker_id\":");
        iicp_buf_json_str(out, iicp_str(worker_id));
        iicp_buf_printf(out, ",\"kept_out_s\":%lld}", (long long) hold_s);
        return 200;
}
