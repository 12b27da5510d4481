/* SPDX-License-Identifier: Apache-2.0 */
#include "control/server.h"

#include "util.h"

#include <stdio.h>

/* The API is this table. A `*` in a path takes one segment, which call_item gives. Rooms add a row here,
 * their function to internal.h and their document to schemas.c. */

#define JSON "application/json"

static const struct resource resources[] = {
        {"/", "GET", LEVEL_READ, false, "text/html; charset=utf-8", get_page, NULL},
        {"/page.css", "GET", LEVEL_READ, false, "text/css; charset=utf-8", get_page_css, NULL},
        {"/icon.svg", "GET", LEVEL_READ, false, "image/svg+xml", get_page_icon, NULL},
        {"/page.js", "GET", LEVEL_READ, false, "text/javascript; charset=utf-8", get_page_js, NULL},
        {"/v1", "GET", LEVEL_READ, true, JSON, get_index, "index"},
        {"/v1/status", "GET", LEVEL_READ, true, JSON, get_status, "status"},
        {"/v1/findings", "GET", LEVEL_READ, true, JSON, get_findings, "findings"},
        {"/v1/health", "GET", LEVEL_READ, true, JSON, get_health, "health"},
        {"/v1/tasks", "GET", LEVEL_READ, true, JSON, get_tasks, "tasks"},
        {"/v1/tasks/*", "GET", LEVEL_READ, true, JSON, get_task, "task"},
        {"/v1/backends", "GET", LEVEL_READ, true, JSON, get_backends, "backends"},
        {"/v1/backends/*", "GET", LEVEL_READ, true, JSON, get_backend, "backends"},
        {"/v1/models", "GET", LEVEL_READ, true, JSON, get_models, "models"},
        {"/v1/directory", "GET", LEVEL_READ, false, JSON, get_directory, "directory"},
        {"/v1/credits", "GET", LEVEL_READ, false, JSON, get_credits, "credits"},
        {"/v1/credits/quote", "GET", LEVEL_READ, false, JSON, get_quote, "quote"},
        {"/v1/peers", "GET", LEVEL_READ, false, JSON, get_peers, "peers"},
        {"/v1/relays", "GET", LEVEL_READ, false, JSON, get_relays, "relays"},
        {"/v1/routes", "GET", LEVEL_READ, false, JSON, get_routes, "routes"},
        {"/v1/sessions", "GET", LEVEL_READ, false, JSON, get_sessions, "sessions"},
        {"/v1/sessions/*", "GET", LEVEL_READ, false, JSON, get_session, "sessions"},
        {"/v1/sessions/*/kick", "POST", LEVEL_OPERATE, false, JSON, post_kick, "kick"},
        {"/v1/config", "GET", LEVEL_READ, false, JSON, get_config, "config"},
        {"/v1/config-diff", "GET", LEVEL_READ, false, JSON, get_config_diff, "config-diff"},
        {"/v1/config/*", "GET", LEVEL_READ, false, JSON, get_config_key, "config"},
        {"/v1/log", "GET", LEVEL_READ, false, JSON, get_log, "log"},
        {"/v1/log", "PUT", LEVEL_OPERATE, false, JSON, put_log, "log"},
        {"/v1/events", "GET", LEVEL_READ, true, "text/event-stream", get_events, "event"},
        {"/v1/metrics", "GET", LEVEL_READ, true, "text/plain; version=0.0.4; charset=utf-8", get_metrics, NULL},
        {"/v1/schema", "GET", LEVEL_READ, true, JSON, get_schemas, "schemas"},
        {"/v1/schema/*", "GET", LEVEL_READ, true, JSON, get_schema, NULL},
        {"/v1/version", "GET", LEVEL_READ, true, JSON, get_version, "version"},
        {"/v1/drain", "POST", LEVEL_OPERATE, false, JSON, post_drain, "drain"},
        {"/v1/undrain", "POST", LEVEL_OPERATE, false, JSON, post_undrain, "drain"},
        {"/v1/reload", "POST", LEVEL_OPERATE, false, JSON, post_reload, "reload"},
        {"/v1/reregister", "POST", LEVEL_OPERATE, false, JSON, post_reregister, "reregister"},
        {"/v1/redetect", "POST", LEVEL_OPERATE, false, JSON, post_redetect, "redetect"},
        {"/v1/selftest", "POST", LEVEL_OPERATE, false, JSON, post_selftest, "selftest"},
        {"/v1/rotate-key", "POST", LEVEL_OPERATE, false, JSON, post_rotate_key, "rotate-key"},
        {"/v1/deregister", "POST", LEVEL_ROOT, false, JSON, post_deregister, "deregister"},
        {"/v1/identity/reset", "POST", LEVEL_ROOT, false, JSON, post_identity_reset, "identity-reset"},
};

static const char *level_name(enum level l) {
        static const char *const names[] = {
                [LEVEL_READ] = "read", [LEVEL_OPERATE] = "operate", [LEVEL_ROOT] = "root",
        };

        return names[l];
}

unsigned get_index(struct call *call, struct iicp_buf *out) {
        bool open = call_is_open(call);
        const char *comma = "";

        iicp_buf_puts(out, "{\"schema\":\"iicp.index/1\",\"resources\":[");
        for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
                const struct resource *r = &resources[i];

                if (open && !r->open)
                        continue;
                iicp_buf_printf(out, "%s{\"path\":\"%s\",\"method\":\"%s\",\"level\":\"%s\"", comma, r->path, r->method,
                                level_name(r->level));
                if (r->schema)
                        iicp_buf_printf(out, ",\"schema\":\"%s\"", r->schema);
                iicp_buf_puts(out, "}");
                comma = ",";
        }
        iicp_buf_puts(out, "]}");
        return 200;
}

/* item gets what stands at the star. */
static bool matches(const char *pattern, const char *path, char *item) {
        const char *star = strchr(pattern, '*');
        size_t before, n;

        if (!star)
                return strcmp(pattern, path) == 0;
        before = (size_t) (star - pattern);
        if (strncmp(pattern, path, before) != 0)
                return false;
        path += before;
        n = strcspn(path, "/");
        if (n == 0 || n >= CONTROL_ITEM_MAX || strcmp(star + 1, path + n) != 0)
                return false;
        memcpy(item, path, n);
        item[n] = '\0';
        return true;
}

/* A row without a star comes first in its family, so that /v1/credits/quote is no item. */
const struct resource *resource_find(const char *path, const char *method, char *item, unsigned *ret_status,
                                     char *allow, size_t cap) {
        const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
        size_t n = 0;

        *ret_status = 404;
        allow[0] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
                const struct resource *r = &resources[i];

                if (!matches(r->path, path, item))
                        continue;
                if (strcmp(r->method, wanted) == 0)
                        return r;
                *ret_status = 405;
                if (n < cap)
                        n += (size_t) snprintf(allow + n, cap - n, "%s%s", n ? ", " : "",
                                               strcmp(r->method, "GET") == 0 ? "GET, HEAD" : r->method);
        }
        return NULL;
}
