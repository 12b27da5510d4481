/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_internal.h"

#include "util.h"

/* What iicpctl shows of the relays. */

const char *worker_state_name(enum worker_state s) {
        static const char *const names[] = {
                [WORKER_IDLE] = "idle", [WORKER_CHOOSING] = "choosing", [WORKER_TICKET] = "ticket",
                [WORKER_CONNECTING] = "connecting", [WORKER_PROVING] = "proving", [WORKER_BOUND] = "bound",
                [WORKER_BACKOFF] = "waiting", [WORKER_CLOSING] = "closing",
        };

        return names[s];
}

enum worker_state worker_state(const struct relay_worker *w) {
        return w->state;
}

bool worker_bound(const struct relay_worker *w) {
        return w->state == WORKER_BOUND && !w->down;
}

bool worker_lost(const struct relay_worker *w) {
        return w->has_route && w->wanted && !worker_bound(w) && w->state != WORKER_IDLE && w->state != WORKER_CLOSING;
}

const struct iicp_relay_route *worker_route(const struct relay_worker *w) {
        return w->has_route ? &w->route : NULL;
}

bool worker_polls(const struct relay_worker *w) {
        return w->polls;
}

const char *worker_relay_id(const struct relay_worker *w) {
        return w->relay.node_id;
}

const char *worker_why(const struct relay_worker *w) {
        return w->why ? w->why : "";
}

bool worker_fixed_trouble(const struct relay_worker *w, char *out, size_t cap) {
        struct iicp_url url;
        const char *name = w->as_configured;

        if (!worker_fixed(w->node) || !w->wanted || !w->core.fixed || worker_bound(w) || !w->why)
                return false;
        if (strstr(name, "://")) /* what else a URL may hold is not for the eye */
                name = iicp_url_parse(iicp_str(name), &url) == 0 ? w->host : "of relay.worker";
        snprintf(out, cap, strcmp(w->why, worker_outcome_text(WORKER_UNREACHABLE)) == 0 ? "relay %.160s %s" : "relay %.160s: %s",
                 name, w->why);
        return true;
}

static bool tried(const struct relay_worker *w) {
        return w->state >= WORKER_TICKET && w->state != WORKER_CLOSING;
}

static void put_text(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        if (value && *value)
                iicp_buf_json_str(out, iicp_str(value));
        else
                iicp_buf_puts(out, "null");
}

static void put_state(const struct relay_worker *w, struct iicp_buf *out) {
        uint64_t now = clock_mono_ms(w->node->clock);

        put_text(out, "state", worker_state_name(w->state));
        if (w->state == WORKER_BOUND)
                iicp_buf_printf(out, ",\"transport\":\"%s\",\"plain\":%s,\"bound_s\":%llu", w->polls ? "http-poll" : "native",
                                w->session && w->session->plain ? "true" : "false", (unsigned long long) ((now - w->bound_ms) / 1000));
        if (w->state == WORKER_BACKOFF)
                iicp_buf_printf(out, ",\"retry_in_s\":%llu", (unsigned long long) (w->retry_ms > now ? (w->retry_ms - now + 999) / 1000 : 0));
        put_text(out, "why", w->state == WORKER_BOUND ? NULL : worker_why(w));
}

void worker_brief_json(const struct relay_worker *w, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"node_id\":");
        if (w->relay.node_id[0] && tried(w))
                iicp_buf_json_str(out, iicp_str(w->relay.node_id));
        else
                iicp_buf_puts(out, "null");
        put_state(w, out);
        iicp_buf_puts(out, "}");
}

static void put_candidate(const struct relay_worker *w, const struct iicp_relay *r, const struct iicp_relay *best, struct iicp_buf *out) {
        const struct worker_excluded *e = worker_exclusion(w, r->node_id);
        bool current = tried(w) && strcmp(r->node_id, w->relay.node_id) == 0;
        const char *state = current                              ? worker_state_name(w->state)
                            : r->verdict != IICP_RELAY_ELIGIBLE || e ? "excluded"
                            : r == best                          ? "next"
                                                                 : "candidate";

        iicp_buf_puts(out, "{\"node_id\":");
        iicp_buf_json_str(out, iicp_str(r->node_id));
        put_text(out, "state", state);
        put_text(out, "endpoint", r->base);
        if (r->reputation >= 0)
                iicp_buf_printf(out, ",\"reputation\":%.3f", r->reputation);
        iicp_buf_printf(out, ",\"load\":%.6f,\"probation\":%s", r->load, r->probation ? "true" : "false");
        put_text(out, "why", current ? NULL : e ? worker_outcome_text(e->why) : iicp_relay_verdict_text(r->verdict));
        iicp_buf_puts(out, "}");
}

void worker_json(const struct relay_worker *w, struct iicp_buf *out) {
        const struct iicp_relay *best = NULL;

        for (size_t i = 0; i < w->n_candidates && !best; i++) {
                const struct iicp_relay *r = &w->candidates[i];

                if (r->verdict == IICP_RELAY_ELIGIBLE && !worker_exclusion(w, r->node_id) &&
                    !(tried(w) && strcmp(r->node_id, w->relay.node_id) == 0))
                        best = r;
        }
        iicp_buf_puts(out, "{\"schema\":\"iicp.relays/1\",\"mode\":");
        iicp_buf_json_str(out, worker_off(w->node) ? IICP_STR("no") : worker_fixed(w->node) ? IICP_STR("fixed") : IICP_STR("auto"));
        put_text(out, "fixed", worker_fixed(w->node) ? w->node->config->relay_worker : NULL);
        iicp_buf_printf(out, ",\"wanted\":%s", w->wanted ? "true" : "false");
        put_text(out, "node_id", tried(w) ? w->relay.node_id : NULL);
        put_text(out, "endpoint", w->has_route ? w->route.endpoint : NULL);
        put_state(w, out);
        iicp_buf_printf(out, ",\"binds\":%llu,\"losses\":%llu,\"failures\":%llu,\"relays\":[", (unsigned long long) w->binds,
                        (unsigned long long) w->losses, (unsigned long long) w->failures);
        for (size_t i = 0; i < w->n_candidates; i++) {
                iicp_buf_puts(out, i ? "," : "");
                put_candidate(w, &w->candidates[i], best, out);
        }
        iicp_buf_puts(out, "]}");
}

void worker_metrics(const struct relay_worker *w, struct iicp_buf *out) {
        iicp_buf_printf(out, "# HELP iicp_relay_bound Whether this node is reached through a relay now.\n# TYPE iicp_relay_bound gauge\n"
                             "iicp_relay_bound %d\n",
                        worker_bound(w));
}
