/* SPDX-License-Identifier: Apache-2.0 */
#include "client-object.h"
#include <curl/curl.h>
#include <errno.h>
#include <iicp/policy.h>
#include <iicp/urn.h>
#include <stdio.h>
#include <time.h>

#define DIRECTORY_HINT_MS_MAX 2000 /* a longer wait is the caller's decision */

/* ---- checks before any network use [06 section 4] ---- */

int iicp_check_intent(const char *intent, struct iicp_error *error) {
        const char *rule = NULL;
        enum iicp_risk risk;

        switch (iicp_urn_check(iicp_str(intent))) {
        case IICP_URN_OK:
                break;
        case IICP_URN_MODIFIER:
                iicp_error_set(error, "IICP-E028", "sdk", false,
                               "an intent with a modifier cannot be sent. Nothing was sent.");
                return -EINVAL;
        default:
                iicp_error_set(error, "IICP-E001", "sdk", false,
                               "the intent is malformed. Nothing was sent.");
                return -EINVAL;
        }
        risk = iicp_risk_of(iicp_str(intent), &rule);
        if (risk != IICP_RISK_PROHIBITED && risk != IICP_RISK_HIGH)
                return 0;
        iicp_error_set(error, "IICP-POLICY-001", "sdk", false,
                       "this intent is refused (%s, rule %s). Nothing was sent.",
                       iicp_risk_name(risk), rule ? rule : "");
        return -EACCES;
}

int iicp_check_route(const struct iicp_route *route, struct iicp_error *error) {
        if (route->qos && *route->qos && !iicp_qos_valid(route->qos))
                return iicp_fail_invalid(error,
                                         "qos: one of realtime, interactive, batch, best-effort");
        if (route->region && strlen(route->region) > 64)
                return iicp_fail_invalid(error, "region: longer than 64 bytes");
        if (route->model && strlen(route->model) > 255)
                return iicp_fail_invalid(error, "model: longer than 255 bytes");
        if (route->min_reputation > 1)
                return iicp_fail_invalid(error, "min_reputation: above 1");
        return 0;
}

/* ---- one call ---- */

/* Host and port of the base, for messages: no path, no user data. */
static void host_of(const char *base, char *out, size_t cap) {
        const char *p = strstr(base, "://");

        p = p ? p + 3 : base;
        snprintf(out, cap, "%.*s", (int) strcspn(p, "/"), p);
}

static int fail_transport(struct iicp_client *c, enum iicp_http_fault fault,
                          const struct iicp_http_answer *a, struct iicp_error *error) {
        char host[256];

        host_of(c->base, host, sizeof(host));
        switch (fault) {
        case IICP_HTTP_CANCELLED:
                iicp_error_set(error, "cancelled", "sdk", false, "cancelled by the caller");
                return -ECANCELED;
        case IICP_HTTP_NO_MEMORY:
                return iicp_fail_memory(error);
        case IICP_HTTP_TOO_LARGE:
                iicp_error_set(error, "response_too_large", "directory", false,
                               "the answer of the directory at %s is above 4 MiB", host);
                return -E2BIG;
        case IICP_HTTP_REDIRECT_REFUSED:
                iicp_error_set(error, "directory_redirect_refused", "directory", false,
                               "the directory at %s points to an address that is not allowed",
                               host);
                return -EACCES;
        case IICP_HTTP_TIMEOUT:
                iicp_error_set(error, "IICP-E003", "directory", true,
                               "the directory at %s does not answer in time", host);
                return -ETIMEDOUT;
        default:
                iicp_error_set(error, "IICP-E004", "directory", true,
                               "the directory at %s cannot be reached: %s", host, a->reason);
                return -EHOSTUNREACH;
        }
}

static int fail_status(struct iicp_client *c, const struct iicp_http_answer *a,
                       struct iicp_error *error) {
        struct iicp_directory_error de;
        struct iicp_outcome o;
        char host[256];

        iicp_outcome_init(&o);
        iicp_outcome_read(&o, a->status, iicp_buf_str(&a->body), iicp_str(a->retry_after),
                          time(NULL));
        iicp_directory_error_read(IICP_DIR_CALL_OTHER, a->status, iicp_buf_str(&a->body),
                                  iicp_str(a->retry_after[0] ? a->retry_after : NULL), &de);
        host_of(c->base, host, sizeof(host));
        iicp_error_set(error, strncmp(de.code, "http_", 5) ? de.code : o.code, "directory",
                       a->status == 429 || a->status >= 500 || iicp_code_retryable(de.code),
                       "the directory at %s refused (%d): %s", host, a->status, o.message);
        error->http_status = a->status;
        error->retry_after_ms = MAX(o.hint_ms, de.retry_after_ms);
        return -EPROTO;
}

/* Reads may go where the directory has sent the last one, for as long as it said. [01 section 1.7] */
static const char *base_of(struct iicp_client *c) {
        return c->replica[0] && iicp_clock_ms() < c->replica_until_ms ? c->replica : c->base;
}

static enum iicp_http_fault get_once(struct iicp_client *c, const char *base, const char *path,
                                     const char *traceparent, int64_t until_ms,
                                     struct iicp_redirect_call *redirect, struct iicp_http_answer *a) {
        char header[sizeof("traceparent: ") + IICP_TRACEPARENT_TEXT];
        const char *headers[] = {header, NULL};
        struct iicp_buf url = {0};
        struct iicp_http_request rq = {
                .headers = headers,
                .budget_ms = c->cfg.directory_timeout_ms,
                .body_max = IICP_DISCOVER_BODY_MAX,
                .redirect = redirect,
                .path = path,
                .proxy = c->cfg.directory_proxy,
        };
        enum iicp_http_fault fault = IICP_HTTP_NO_MEMORY;

        *a = (struct iicp_http_answer){0};
        if (until_ms)
                rq.budget_ms = MIN(rq.budget_ms, until_ms - iicp_clock_ms());
        if (rq.budget_ms <= 0)
                return IICP_HTTP_TIMEOUT;
        snprintf(header, sizeof(header), "traceparent: %s", traceparent);
        iicp_buf_puts(&url, base);
        iicp_buf_puts(&url, path);
        if (!url.error) {
                rq.url = url.p;
                fault = iicp_http_perform(c->http, &rq, a);
        }
        iicp_buf_free(&url);
        if (a->base[0]) {
                memcpy(c->replica, a->base, sizeof(c->replica));
                c->replica_until_ms = iicp_clock_ms() + a->base_ms;
        }
        return fault;
}

/* A copy that lags, or is gone, leads back to the directory; so does a redirect to where we may not
 * go, after the pause that it asks for. */
static enum iicp_http_fault get(struct iicp_client *c, const char *path, const char *traceparent,
                                int64_t until_ms, struct iicp_http_answer *a) {
        struct iicp_redirect_call redirect = {
                .base = c->base,
                .origins = (const char *const *) c->redirect_origins,
                .kind = IICP_REDIRECT_READ,
        };
        enum iicp_http_fault fault = get_once(c, base_of(c), path, traceparent, until_ms, &redirect, a);

        if (a->away && (fault == IICP_HTTP_FAILED || fault == IICP_HTTP_TIMEOUT ||
                        (fault == IICP_HTTP_OK && a->status == 503))) {
                c->replica[0] = '\0';
                iicp_http_answer_done(a);
                fault = get_once(c, c->base, path, traceparent, until_ms, &redirect, a);
        }
        while (fault == IICP_HTTP_ASK_SEED) {
                uint32_t wait_ms = a->wait_ms;

                if (wait_ms > DIRECTORY_HINT_MS_MAX ||
                    (until_ms && iicp_clock_ms() + wait_ms >= until_ms))
                        return IICP_HTTP_REDIRECT_REFUSED;
                iicp_http_answer_done(a);
                if (iicp_http_wait(c->http, wait_ms) < 0)
                        return IICP_HTTP_CANCELLED;
                fault = get_once(c, c->base, path, traceparent, until_ms, &redirect, a);
        }
        return fault;
}

/* Milliseconds after which the one retry is due, -1 = none. [06 section 6.4] */
static int64_t retry_delay(enum iicp_http_fault fault, const struct iicp_http_answer *a) {
        int64_t hint;

        if (fault == IICP_HTTP_FAILED || fault == IICP_HTTP_TIMEOUT ||
            (fault == IICP_HTTP_OK && (a->status == 502 || a->status == 503 || a->status == 504)))
                return 160 + (int64_t) (80 * iicp_client_draw(NULL));
        if (fault == IICP_HTTP_OK && a->status == 429) {
                hint = iicp_retry_after_ms(iicp_str(a->retry_after), time(NULL));
                return hint >= 0 && hint <= DIRECTORY_HINT_MS_MAX ? hint : -1;
        }
        return -1;
}

/* A configured URL without path got "/api"; a directory that lives at the root says 404 in words
 * that are not of the protocol. [01 DECISION 1] */
static bool drop_guess(struct iicp_client *c, enum iicp_http_fault fault,
                       const struct iicp_http_answer *a) {
        bool guessed = c->base_guessed;

        if (fault != IICP_HTTP_OK)
                return false;
        c->base_guessed = false;
        return guessed && iicp_directory_without_api(c->base, a->status, iicp_buf_str(&a->body));
}

int iicp_directory_list(struct iicp_client *c, const char *intent, const struct iicp_route *route,
                        const char *traceparent, int64_t until_ms, struct iicp_nodes **ret,
                        struct iicp_error *error) {
        struct iicp_node_rules rules = {
                .allow_private = c->cfg.allow_private_endpoints,
                .browser_usable_only = route->browser_usable_only,
                .public_view = route->public_view,
                .now_s = time(NULL),
        };
        unsigned limit = route->limit == 0 ? IICP_LIMIT_DEFAULT : MIN(route->limit, IICP_LIMIT_MAX);
        struct iicp_http_answer a = {0};
        struct iicp_buf path = {0};
        enum iicp_http_fault fault = IICP_HTTP_NO_MEMORY;
        int64_t delay;
        int r;

        iicp_buf_puts(&path, "/v1/discover?");
        iicp_discover_query(intent, route, &path);
        if (!path.error)
                fault = get(c, path.p, traceparent, until_ms, &a);
        if (drop_guess(c, fault, &a)) {
                iicp_http_answer_done(&a);
                fault = get(c, path.p, traceparent, until_ms, &a);
        }
        delay = retry_delay(fault, &a);
        if (delay >= 0 && (!until_ms || iicp_clock_ms() + delay < until_ms)) {
                iicp_http_answer_done(&a);
                fault = iicp_http_wait(c->http, delay) < 0
                                ? IICP_HTTP_CANCELLED
                                : get(c, path.p, traceparent, until_ms, &a);
        }
        if (fault != IICP_HTTP_OK)
                r = fail_transport(c, fault, &a, error);
        else if (a.status != 200)
                r = fail_status(c, &a, error);
        else {
                r = iicp_nodes_parse(iicp_buf_str(&a.body), &rules, limit, ret);
                if (r == -ENOMEM)
                        iicp_fail_memory(error);
                else if (r < 0)
                        iicp_error_set(error, "invalid_response", "directory", true,
                                       "the answer of the directory cannot be read");
        }
        iicp_http_answer_done(&a);
        iicp_buf_free(&path);
        return r;
}

int iicp_discover(struct iicp_client *c, const char *intent, const struct iicp_route *route,
                  struct iicp_nodes **ret, struct iicp_error *error) {
        struct iicp_request none = IICP_REQUEST_INIT;
        struct iicp_execution unused;
        struct iicp_route projected;
        char traceparent[IICP_TRACEPARENT_TEXT];
        int r;

        none.route = route;
        iicp_project(c->cfg.region, c->cfg.timeout_ms, &none, &projected, &unused);
        r = iicp_check_route(&projected, error);
        if (r == 0)
                r = iicp_check_intent(intent, error);
        if (r == 0 && iicp_client_trace(NULL, traceparent) < 0)
                r = iicp_fail_memory(error);
        if (r == 0)
                r = iicp_directory_list(c, intent, &projected, traceparent, 0, ret, error);
        atomic_store(&c->cancel, false);
        return r;
}
