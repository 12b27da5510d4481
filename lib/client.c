/* SPDX-License-Identifier: Apache-2.0 */
#include "client-object.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define REGION_MAX 64
#define DIRECTORY_TIMEOUT_MS_MAX 60000

int iicp_fail_invalid(struct iicp_error *e, const char *fmt, ...) {
        char text[256];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        iicp_error_set(e, "invalid_config", "sdk", false, "%s", text);
        return -EINVAL;
}

int iicp_fail_memory(struct iicp_error *e) {
        iicp_error_set(e, "internal_error", "sdk", false, "out of memory or of random numbers");
        return -ENOMEM;
}

void iicp_client_config_init(struct iicp_client_config *config) {
        *config = (struct iicp_client_config){
                .directory_url = IICP_DIRECTORY_DEFAULT,
                .timeout_ms = 30000,
                .max_retries = 3,
                .directory_timeout_ms = 5000,
                .tls_verify = true,
                .strategy = IICP_STRATEGY_DETERMINISTIC,
                .epsilon = 0.05,
                .softmax_tau = 0.04,
                .top_k = 3,
                .max_body_bytes = IICP_BODY_MAX,
                .circuit_threshold = 5,
                .circuit_reset_s = 30,
                .retry_base_ms = 200,
                .retry_cap_ms = 5000,
                .retry_hint_cap_ms = 5000,
        };
}

/* ---- checks of the configuration [06 section 2] ---- */

static int check_numbers(const struct iicp_client_config *c, struct iicp_error *e) {
        if (c->timeout_ms > IICP_TIMEOUT_MS_CLIENT_MAX)
                return iicp_fail_invalid(e, "timeout_ms: %lld is above 120000",
                                         (long long) c->timeout_ms);
        if (c->timeout_ms < 100)
                return iicp_fail_invalid(e, "timeout_ms: %lld is below 100",
                                         (long long) c->timeout_ms);
        if (c->max_retries < 1 || c->max_retries > IICP_RETRIES_MAX)
                return iicp_fail_invalid(e, "max_retries: %u is not within 1-10", c->max_retries);
        if (c->overall_timeout_ms < 0)
                return iicp_fail_invalid(e, "overall_timeout_ms: must not be negative");
        if (c->directory_timeout_ms < 100 || c->directory_timeout_ms > DIRECTORY_TIMEOUT_MS_MAX)
                return iicp_fail_invalid(e, "directory_timeout_ms: %lld is not within 100-60000",
                                         (long long) c->directory_timeout_ms);
        if (c->top_k < 1)
                return iicp_fail_invalid(e, "routing_top_k: must be at least 1");
        if (!(c->softmax_tau >= 0.001))
                return iicp_fail_invalid(e, "routing_softmax_tau: must be at least 0.001");
        if (c->max_body_bytes < 1 || c->max_body_bytes > IICP_BODY_MAX)
                return iicp_fail_invalid(e, "max_body_bytes: not within 1-1048576");
        if (c->circuit_threshold < 1 || c->circuit_reset_s < 1)
                return iicp_fail_invalid(e,
                                         "circuit_threshold, circuit_reset_s: must be at least 1");
        if (c->retry_base_ms < 1 || c->retry_cap_ms < 1 || c->retry_hint_cap_ms < 0)
                return iicp_fail_invalid(
                        e, "retry_base_ms, retry_cap_ms, retry_hint_cap_ms: too small");
        return 0;
}

static int check_config(const struct iicp_client_config *c, struct iicp_error *e) {
        if (!c->tls_verify)
                return iicp_fail_invalid(e, "tls_verify: certificates are always verified");
        if (c->region && strlen(c->region) > REGION_MAX)
                return iicp_fail_invalid(e, "region: longer than 64 bytes");
        if (c->source_node_id && strlen(c->source_node_id) > IICP_NODE_ID_MAX)
                return iicp_fail_invalid(e, "source_node_id: longer than 128 bytes");
        if (!c->client_name != !c->client_version)
                return iicp_fail_invalid(e, "client_name, client_version: both or neither");
        return check_numbers(c, e);
}

static int set_base(struct iicp_client *c, const struct iicp_client_config *config,
                    struct iicp_error *e) {
        switch (iicp_directory_url(iicp_str(config->directory_url), config->directory_allow_http,
                                   c->base, &c->base_guessed)) {
        case IICP_DIRECTORY_URL_OK:
                return 0;
        case IICP_DIRECTORY_URL_PLAIN:
                return iicp_fail_invalid(e, "directory_url: http is for loopback hosts only");
        default:
                return iicp_fail_invalid(e, "directory_url: not an address of a directory");
        }
}

/* ---- copies ---- */

static char **list_copy(const char *const *list) {
        size_t n = 0;
        char **copy;

        while (list[n])
                n++;
        copy = calloc(n + 1, sizeof(*copy));
        for (size_t i = 0; copy && i < n; i++)
                if (!(copy[i] = strdup(list[i]))) {
                        while (i > 0)
                                free(copy[--i]);
                        free(copy);
                        return NULL;
                }
        return copy;
}

static void list_free(char **list) {
        for (size_t i = 0; list && list[i]; i++)
                free(list[i]);
        free(list);
}

static bool copy_text(const char **field) {
        return !*field || (*field = strdup(*field));
}

/* Every pointer that is not copied yet must not reach iicp_client_free. */
static int copy_config(struct iicp_client *c, const struct iicp_client_config *from) {
        const char **texts[] = {&c->cfg.region,          &c->cfg.ca_file,
                                &c->cfg.directory_proxy, &c->cfg.client_name,
                                &c->cfg.client_version,  &c->cfg.policy.identity_level,
                                &c->cfg.source_node_id};
        bool ok = true;

        c->cfg = *from;
        c->cfg.directory_url = NULL;
        c->cfg.redirect_origins = NULL;
        c->cfg.policy.allowed_regions = NULL;
        c->cfg.provider_tokens = NULL;
        c->cfg.n_provider_tokens = 0;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (ok)
                        ok = copy_text(texts[i]);
                else
                        *texts[i] = NULL;
        if (ok && from->redirect_origins)
                ok = (c->redirect_origins = list_copy(from->redirect_origins));
        if (ok && from->policy.allowed_regions)
                ok = (c->regions = list_copy(from->policy.allowed_regions));
        c->cfg.policy.allowed_regions = (const char *const *) c->regions;
        if (ok && from->n_provider_tokens > 0)
                ok = (c->tokens = calloc(from->n_provider_tokens, sizeof(*c->tokens)));
        for (size_t i = 0; ok && i < from->n_provider_tokens; i++) {
                c->tokens[i].node_id = strdup(from->provider_tokens[i].node_id);
                c->tokens[i].token = strdup(from->provider_tokens[i].token);
                c->cfg.n_provider_tokens = i + 1;
                ok = c->tokens[i].node_id && c->tokens[i].token;
        }
        c->cfg.epsilon = from->epsilon > 1 ? 1 : from->epsilon > 0 ? from->epsilon : 0;
        return ok ? 0 : -ENOMEM;
}

int iicp_client_new(const struct iicp_client_config *config, struct iicp_client **ret,
                    struct iicp_error *error) {
        struct iicp_client *c;
        int r = check_config(config, error);

        if (r < 0)
                return r;
        c = calloc(1, sizeof(*c));
        if (!c)
                return iicp_fail_memory(error);
        atomic_init(&c->cancel, false);
        r = set_base(c, config, error);
        if (r < 0) {
                iicp_client_free(c);
                return r;
        }
        if (copy_config(c, config) < 0 || !(c->http = iicp_http_new(config->ca_file, &c->cancel)) ||
            !(c->breaker = iicp_breaker_new(config->circuit_threshold,
                                            (int64_t) config->circuit_reset_s * 1000))) {
                iicp_client_free(c);
                return iicp_fail_memory(error);
        }
        *ret = c;
        return 0;
}

struct iicp_client *iicp_client_free(struct iicp_client *c) {
        if (!c)
                return NULL;
        iicp_http_free(c->http);
        iicp_breaker_free(c->breaker);
        list_free(c->redirect_origins);
        list_free(c->regions);
        for (size_t i = 0; i < c->cfg.n_provider_tokens; i++) {
                char *token = (char *) c->tokens[i].token;

                if (token)
                        iicp_wipe(token, strlen(token));
                free(token);
                free((char *) c->tokens[i].node_id);
        }
        free(c->tokens);
        free((char *) c->cfg.region);
        free((char *) c->cfg.ca_file);
        free((char *) c->cfg.directory_proxy);
        free((char *) c->cfg.policy.identity_level);
        free((char *) c->cfg.source_node_id);
        free((char *) c->cfg.client_name);
        free((char *) c->cfg.client_version);
        free(c);
        return NULL;
}

void iicp_cancel(struct iicp_client *c) {
        atomic_store(&c->cancel, true);
}

void iicp_client_warn(struct iicp_client *c, bool *once, const char *line) {
        if (!*once && c->cfg.log)
                c->cfg.log(c->cfg.log_arg, true, line);
        *once = true;
}

double iicp_client_draw(void *arg) {
        uint64_t v;

        (void) arg;
        if (iicp_random(&v, sizeof(v)) < 0)
                return 0.5; /* only spreads waits and choices; nothing secret hangs on it */
        return (double) (v >> 11) / 9007199254740992.0;
}

int iicp_client_trace(const char *given, char out[IICP_TRACEPARENT_TEXT]) {
        struct iicp_trace parent, trace;
        int r;

        /* other versions than 00 are for those who know them */
        if (given && !strncmp(given, "00-", 3) && iicp_trace_parse(iicp_str(given), &parent) == 0)
                r = iicp_trace_child(&parent, &trace);
        else
                r = iicp_trace_new(&trace);
        if (r == 0)
                iicp_trace_format(&trace, out);
        return r;
}
