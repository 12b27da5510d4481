/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"

#include "internal.h"
#include "log.h"
#include "util.h"

#include <iicp/endpoint.h>
#include <stdio.h>

/* One call to the directory: address, headers, bounds, redirects. What is not in the table of
 * routes is not called. [01 sections 1.2 to 1.8] */

#define USER_AGENT "User-Agent: iicpd/" PACKAGE_VERSION
#define ANSWER_MAX ((size_t) 1024 * 1024)
#define LIST_ANSWER_MAX ((size_t) 4 * 1024 * 1024) /* discover, registry, stats */

struct route {
        const char *method, *path;
        bool authorized;                /* with token and node id */
        bool side;                      /* not while the breaker is open */
        enum iicp_redirect_kind redirect;
        uint32_t timeout_ms;            /* total, redirects included */
        size_t answer_max;
};

#define CREDENTIAL IICP_REDIRECT_CREDENTIAL
#define READ IICP_REDIRECT_READ

static const struct route routes[] = {
        [DIRECTORY_REGISTER] = {"POST", "/v1/register", false, false, CREDENTIAL, 20000, ANSWER_MAX},
        [DIRECTORY_HEARTBEAT] = {"POST", "/v1/heartbeat", true, false, CREDENTIAL, 5000, ANSWER_MAX},
        [DIRECTORY_DEREGISTER] = {"DELETE", "/v1/register", true, false, CREDENTIAL, 5000, ANSWER_MAX},
        [DIRECTORY_ME] = {"GET", "/v1/me", true, true, CREDENTIAL, 5000, ANSWER_MAX},
        [DIRECTORY_NODE] = {"GET", "/v1/node/", false, true, READ, 5000, ANSWER_MAX},
        [DIRECTORY_KEY] = {"GET", "/v1/directory-key", false, true, IICP_REDIRECT_ANCHOR, 5000, ANSWER_MAX},
        [DIRECTORY_AWARD] = {"POST", "/v1/credits/award", true, true, CREDENTIAL, 10000, ANSWER_MAX},
        [DIRECTORY_BALANCE] = {"GET", "/v1/credits/balance", true, true, CREDENTIAL, 5000, ANSWER_MAX},
        [DIRECTORY_SUMMARY] = {"GET", "/v1/credits/summary", true, true, CREDENTIAL, 5000, ANSWER_MAX},
        [DIRECTORY_TRANSACTIONS] = {"GET", "/v1/credits/transactions", true, true, CREDENTIAL, 5000, ANSWER_MAX},
        [DIRECTORY_QUOTE] = {"GET", "/v1/credits/quote", true, true, CREDENTIAL, 5000, ANSWER_MAX},
        [DIRECTORY_DISCOVER] = {"GET", "/v1/discover", false, true, READ, 5000, LIST_ANSWER_MAX},
        [DIRECTORY_REGISTRY_NODE] = {"GET", "/v1/registry/nodes/", false, true, READ, 5000, LIST_ANSWER_MAX},
        [DIRECTORY_STATS] = {"GET", "/v1/stats", false, true, READ, 5000, LIST_ANSWER_MAX},
        [DIRECTORY_BOOTSTRAP] = {"GET", "/v1/bootstrap", false, true, READ, 5000, ANSWER_MAX},
        [DIRECTORY_PEERS] = {"POST", "/v1/peers", true, true, CREDENTIAL, 5000, ANSWER_MAX},
        [DIRECTORY_PROBE] = {"GET", "/v1/probe", false, true, READ, 8000, ANSWER_MAX},
        [DIRECTORY_RELAY_TICKET] = {"POST", "/v1/relay/ticket", true, true, CREDENTIAL, 5000, ANSWER_MAX},
};

struct directory_call {
        struct directory *d;
        const struct route *route;
        char path[DIRECTORY_PATH_MAX];  /* behind the base */
        struct iicp_str body;
        uint64_t timeout_ms, until_ms;
        unsigned token_generation;      /* of the token it was sent with */
        struct iicp_redirect_call redirect;
        struct iicp_redirect_step step; /* where it goes next */
        bool at_base;                   /* this hop asks the configured directory */
        struct fetch *fetch;
        struct timer pause;             /* before the seed is asked again */
        fetch_done_fn done;
        void *arg;
};

static struct directory_call *call_free(struct directory_call *c) {
        if (c->fetch)
                fetch_cancel(c->fetch);
        timer_clear(&c->pause);
        free(c);
        return NULL;
}

struct directory_call *directory_call_cancel(struct directory_call *c) {
        return c ? call_free(c) : NULL;
}

static void finish(struct directory_call *c, const struct fetch_answer *a) {
        c->fetch = NULL;
        c->done(c->arg, a);
        call_free(c);
}

static void on_answer(void *arg, const struct fetch_answer *a);

/* ---- one hop ---- */

static bool transmit(struct directory_call *c, uint64_t timeout_ms) {
        const struct config *conf = c->d->node->config;
        const struct identity *id = state_identity(c->d->node->state);
        char token[sizeof id->node_token + 32], node_id[64];
        const char *headers[8];
        size_t n = 0;

        headers[n++] = "Accept: application/json";
        headers[n++] = USER_AGENT;
        headers[n++] = "X-IICP-Version: " IICP_WIRE_VERSION;
        if (c->body.n > 0)
                headers[n++] = "Content-Type: application/json";
        c->token_generation = c->d->token_generation;
        if (c->route->authorized) {
                snprintf(token, sizeof token, "Authorization: Bearer %s", id->node_token);
                snprintf(node_id, sizeof node_id, "X-Node-Id: %s", id->node_id);
                headers[n++] = token;
                headers[n++] = node_id;
        }
        headers[n] = NULL;
        c->fetch = fetch_start(c->d->node->fetch,
                               &(struct fetch_request){
                                       .method = c->route->method,
                                       .url = c->step.url,
                                       .headers = headers,
                                       .body = c->body,
                                       .connect_timeout_ms = MIN((uint64_t) CONNECT_TIMEOUT_MS, timeout_ms),
                                       .timeout_ms = timeout_ms,
                                       .max_answer = c->route->answer_max,
                                       .ca_file = conf->directory_ca_file,
                                       .proxy = conf->network_proxy,
                                       .tls_min = 13,
                                       /* Two of these within 5 s are a breach; a retry of ours comes later. */
                                       .once = c->route == &routes[DIRECTORY_REGISTER],
                               },
                               on_answer, c);
        if (c->route->authorized)
                iicp_wipe(token, sizeof token);
        return c->fetch != NULL;
}

/* Reads may go where the directory has sent the last one, for as long as it said. */
static bool start(struct directory_call *c, bool anywhere) {
        struct directory *d = c->d;
        bool away = anywhere && c->route->redirect == READ && d->replica[0] &&
                    directory_now(d) < d->replica_until_ms;

        c->at_base = !away;
        snprintf(c->step.url, sizeof c->step.url, "%s%s", away ? d->replica : d->base, c->path);
        c->until_ms = directory_now(d) + c->timeout_ms;
        return transmit(c, c->timeout_ms);
}

/* ---- answers ---- */

static void say_redirect_refused(struct directory_call *c, struct iicp_str location) {
        struct directory *d = c->d;
        char to[160];

        log_text(location, to, sizeof to);
        log_debug("directory_redirect_refused", "%s: %s", c->route->path, to);
        if (strcmp(to, d->redirect_refused) == 0)
                return;
        snprintf(d->redirect_refused, sizeof d->redirect_refused, "%s", to);
        log_err("directory_redirect_refused",
                "the directory redirects to an origin that is not listed; nothing was sent there; "
                "directory.redirect_origins lists where it may lead");
}

static void ask_seed(void *arg) {
        struct directory_call *c = arg;

        if (!start(c, false))
                finish(c, &(struct fetch_answer){.error = FETCH_FAILED});
}

/* True when the call goes on elsewhere. */
static bool redirected(struct directory_call *c, const struct fetch_answer *a) {
        struct directory *d = c->d;
        uint64_t now = directory_now(d);

        c->redirect.base = d->base;
        c->redirect.origins = (const char *const *) d->node->config->directory_redirect_origins;
        switch (iicp_redirect(&c->redirect, a->status, c->path, a->location, a->retry_after, &c->step)) {
        case IICP_REDIRECT_FOLLOW:
                if (now >= c->until_ms)
                        return false;
                if (c->step.base[0]) {
                        memcpy(d->replica, c->step.base, sizeof d->replica);
                        d->replica_until_ms = now + c->step.base_ms;
                }
                c->at_base = iicp_same_origin(iicp_str(c->step.url), iicp_str(d->base));
                return transmit(c, c->until_ms - now);
        case IICP_REDIRECT_ASK_SEED:
                log_debug("directory_redirect", "%s goes elsewhere: asking again in %u ms",
                          c->route->path, c->step.wait_ms);
                timer_set_ms(&c->pause, c->step.wait_ms);
                return true;
        case IICP_REDIRECT_REFUSED:
                say_redirect_refused(c, a->location);
                return false;
        default:
                return false;
        }
}

/* A copy that lags, or is gone, leads back to the directory itself. [DIR-FED-08] */
static bool left_replica(struct directory_call *c, const struct fetch_answer *a) {
        if (c->at_base || c->route->redirect != READ ||
            (a->error == FETCH_OK && a->status != 503))
                return false;
        c->d->replica[0] = '\0';
        return start(c, false);
}

static bool other_base(struct directory_call *c, const struct fetch_answer *a) {
        struct directory *d = c->d;
        bool guessed = d->base_guessed;

        if (a->error != FETCH_OK)
                return false;
        d->base_guessed = false;
        if (!guessed || !c->at_base || !iicp_directory_without_api(d->base, a->status, a->body))
                return false;
        log_info("directory_base", "the directory answers without /api: remembered until the next start");
        return start(c, false);
}

/* A 401 for an older token says nothing about the one we hold. [01 section 2.9 rule 3] */
static bool outdated(const struct directory_call *c, const struct fetch_answer *a) {
        return c->route->authorized && a->error == FETCH_OK && a->status == 401 &&
               c->token_generation != c->d->token_generation;
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct directory_call *c = arg;

        c->fetch = NULL;
        if (outdated(c, a)) {
                finish(c, &(struct fetch_answer){.error = FETCH_RESET});
                return;
        }
        if (other_base(c, a) || left_replica(c, a))
                return;
        if (a->error == FETCH_OK && a->status >= 300 && a->status < 400 && redirected(c, a))
                return;
        if (!c->route->side)
                breaker_note(c->d, a);
        finish(c, a);
}

/* ---- the call ---- */

struct directory_call *directory_call(struct directory *d, const struct directory_request *r,
                                      fetch_done_fn done, void *arg) {
        struct directory_call *c;

        if (routes[r->route].side && directory_breaker_open(d))
                return NULL;
        c = calloc(1, sizeof *c);
        if (!c)
                return NULL;
        c->d = d;
        c->route = &routes[r->route];
        c->body = r->body;
        c->done = done;
        c->arg = arg;
        c->timeout_ms = r->timeout_ms ? r->timeout_ms : c->route->timeout_ms;
        c->redirect.kind = c->route->redirect;
        timer_init(&c->pause, d->node->loop, ask_seed, c);
        if (snprintf(c->path, sizeof c->path, "%s%s", c->route->path, r->tail ? r->tail : "") >=
                    (int) sizeof c->path ||
            !start(c, true))
                return call_free(c);
        return c;
}

bool directory_answer_ok(const struct fetch_answer *a, int status, struct iicp_json *ret) {
        return a->error == FETCH_OK && a->status == status &&
               iicp_json_scan(a->body, NULL, NULL, ret) == 0 && ret->type == IICP_JSON_OBJECT;
}

static void set_error(struct iicp_directory_error *e, enum iicp_directory_class cls,
                      const char *code) {
        e->cls = cls;
        snprintf(e->code, sizeof e->code, "%s", code);
}

void directory_answer_error(enum iicp_directory_call call, const struct fetch_answer *a,
                            struct iicp_directory_error *ret) {
        *ret = (struct iicp_directory_error){.status = a->status, .retry_after_ms = -1};
        if (a->error == FETCH_TOO_LARGE)
                set_error(ret, IICP_DIR_SERVER_ERROR, fetch_error_name(a->error));
        else if (a->error != FETCH_OK)
                set_error(ret, IICP_DIR_TRANSPORT, fetch_error_name(a->error));
        else if (a->status >= 200 && a->status < 300)
                set_error(ret, IICP_DIR_SERVER_ERROR, "unusable answer");
        else if (a->status >= 300 && a->status < 400)
                set_error(ret, IICP_DIR_TRANSPORT, "redirect");
        else
                iicp_directory_error_read(call, a->status, a->body, a->retry_after, ret);
}

const char *directory_failure_reason(const struct fetch_answer *a) {
        switch (a->error) {
        case FETCH_OK:
                return a->status >= 500 ? "http_5xx" : a->status >= 300 ? "http_4xx" : "parse";
        case FETCH_TIMEOUT:
                return "timeout";
        case FETCH_TLS:
                return "tls";
        case FETCH_TOO_LARGE:
        case FETCH_PROTOCOL:
                return "parse";
        default:
                return "connect";
        }
}

/* ---- the one call that another room makes ---- */

struct directory_call *directory_probe(struct directory *d, const char *host, unsigned port, fetch_done_fn fn, void *arg) {
        char tail[800], escaped[768], endpoint[300];
        struct iicp_url url;
        struct directory_request r = {.route = DIRECTORY_PROBE, .tail = tail};
        size_t n = 0;

        /* What is of this machine or this house is nobody's to ask for. [DIR-PROBE-01/02] */
        if (snprintf(endpoint, sizeof endpoint, strchr(host, ':') ? "http://[%s]:%u" : "http://%s:%u", host, port) >=
                    (int) sizeof endpoint ||
            iicp_url_parse(iicp_str(endpoint), &url) < 0 || iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER) < 0)
                return NULL;
        /* A name or an address: of what may stand in one only the colon has to be escaped. */
        for (const char *p = host; *p && n + 4 < sizeof escaped; p++)
                n += (size_t) snprintf(escaped + n, sizeof escaped - n, *p == ':' ? "%%3A" : "%c", *p);
        escaped[n] = '\0';
        snprintf(tail, sizeof tail, "?host=%s&port=%u", escaped, port);
        return directory_call(d, &r, fn, arg);
}

struct directory_call *directory_probe_cancel(struct directory_call *c) {
        return directory_call_cancel(c);
}
