/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <ctype.h>
#include <stdio.h>

/* Two disjoint sets out of one request: what the directory learns and what the provider gets.
 * [06 section 5] */

static const char *first_set(const char *a, const char *b, const char *c) {
        return a && *a ? a : b && *b ? b : c && *c ? c : NULL;
}

void iicp_project(const char *client_region, int64_t client_timeout_ms,
                  const struct iicp_request *r, struct iicp_route *ret_route,
                  struct iicp_execution *ret_execution) {
        struct iicp_route given = r->route ? *r->route : IICP_ROUTE_INIT;

        *ret_route = (struct iicp_route){
                .region = first_set(given.region, r->region, client_region),
                .qos = first_set(given.qos, r->qos, NULL),
                .model = first_set(given.model, r->model, NULL),
                .min_reputation =
                        given.min_reputation >= 0 ? given.min_reputation : r->min_reputation,
                .limit = given.limit == 0 ? IICP_LIMIT_DEFAULT : MIN(given.limit, IICP_LIMIT_MAX),
                .browser_usable_only = given.browser_usable_only,
                .public_view = given.public_view,
        };
        *ret_execution = (struct iicp_execution){
                .timeout_ms = r->timeout_ms ? r->timeout_ms : client_timeout_ms,
                .qos = first_set(r->qos, NULL, "interactive"),
                .model = first_set(r->model, NULL, NULL),
        };
}

bool iicp_qos_valid(const char *qos) {
        return !strcmp(qos, "realtime") || !strcmp(qos, "interactive") || !strcmp(qos, "batch") ||
               !strcmp(qos, "best-effort");
}

static void add_param(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, "%s%s=", out->n ? "&" : "", name);
        for (const unsigned char *p = (const unsigned char *) value; *p; p++)
                if (isalnum(*p) || strchr("-._~", *p))
                        iicp_buf_add(out, p, 1);
                else
                        iicp_buf_printf(out, "%%%02X", *p);
}

/* Shortest text that keeps one digit after the point, whatever the locale. */
static void add_fraction(struct iicp_buf *out, const char *name, double v) {
        char text[32];
        int64_t milli = (int64_t) (v * 1000000 + 0.5);

        snprintf(text, sizeof(text), "%lld.%06lld", (long long) (milli / 1000000),
                 (long long) (milli % 1000000));
        for (size_t n = strlen(text); text[n - 1] == '0' && text[n - 2] != '.'; n--)
                text[n - 1] = '\0';
        add_param(out, name, text);
}

void iicp_discover_query(const char *intent, const struct iicp_route *route, struct iicp_buf *out) {
        struct iicp_buf q = {0};
        unsigned limit = route->limit == 0 ? IICP_LIMIT_DEFAULT : MIN(route->limit, IICP_LIMIT_MAX);
        char number[16];

        add_param(&q, "intent", intent);
        snprintf(number, sizeof(number), "%u", limit);
        add_param(&q, "limit", number);
        if (route->region && *route->region)
                add_param(&q, "region", route->region);
        if (route->qos && *route->qos)
                add_param(&q, "qos", route->qos);
        if (route->min_reputation >= 0)
                add_fraction(&q, "min_reputation", route->min_reputation);
        if (route->model && *route->model)
                add_param(&q, "model", route->model);
        if (route->public_view)
                add_param(&q, "view", "public");
        if (q.error)
                out->error = q.error;
        iicp_buf_add(out, q.p, q.n);
        iicp_buf_free(&q);
}

void iicp_constraints_json(const struct iicp_execution *x, bool compat_qos_class,
                           struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"timeout_ms\":%lld,\"qos\":", (long long) x->timeout_ms);
        iicp_buf_json_str(out, iicp_str(x->qos));
        if (compat_qos_class) {
                iicp_buf_puts(out, ",\"qos_class\":");
                iicp_buf_json_str(out, iicp_str(x->qos));
        }
        if (x->model) {
                iicp_buf_puts(out, ",\"model\":");
                iicp_buf_json_str(out, iicp_str(x->model));
        }
        iicp_buf_puts(out, "}");
}
