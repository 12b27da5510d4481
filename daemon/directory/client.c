/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"

#include "internal.h"
#include "util.h"

#include <stdio.h>

/* One request to the directory: address, headers, bounds. [01 sections 1.2 to 1.6] */

#define USER_AGENT "User-Agent: iicpd/" PACKAGE_VERSION

struct fetch *directory_call(struct directory *d, const struct directory_request *r,
                             fetch_done_fn done) {
        const struct config *c = d->node->config;
        const struct identity *id = state_identity(d->node->state);
        char url[IICP_DIRECTORY_URL_MAX + 64], token[sizeof id->node_token + 32], node_id[64];
        const char *headers[8];
        size_t n = 0;
        struct fetch *f;

        snprintf(url, sizeof url, "%s%s", c->directory_url, r->path);
        headers[n++] = "Accept: application/json";
        headers[n++] = USER_AGENT;
        headers[n++] = "X-IICP-Version: " IICP_WIRE_VERSION;
        if (r->body.n > 0)
                headers[n++] = "Content-Type: application/json";
        if (r->authorized) {
                snprintf(token, sizeof token, "Authorization: Bearer %s", id->node_token);
                snprintf(node_id, sizeof node_id, "X-Node-Id: %s", id->node_id);
                headers[n++] = token;
                headers[n++] = node_id;
        }
        headers[n] = NULL;
        f = fetch_start(d->node->fetch,
                        &(struct fetch_request){
                                .method = r->method,
                                .url = url,
                                .headers = headers,
                                .body = r->body,
                                .connect_timeout_ms = MIN(CONNECT_TIMEOUT_MS, r->timeout_ms),
                                .timeout_ms = r->timeout_ms,
                                .max_answer = ANSWER_MAX,
                                .ca_file = c->directory_ca_file,
                                .proxy = c->network_proxy,
                                .tls_min = 13,
                        },
                        done, d);
        if (r->authorized)
                iicp_wipe(token, sizeof token);
        return f;
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
