/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch_internal.h"

#include <iicp/endpoint.h>
#include <stdlib.h>

struct fetch_pool {
        struct loop *loop;
        size_t max_idle;
        struct plain_pool *plain;
        struct curl_pool *curl; /* made with the first call for it: it costs a megabyte */
        bool curl_only;
};

const char *fetch_error_name(enum fetch_error e) {
        static const char *const names[] = {
                [FETCH_OK] = "ok",
                [FETCH_UNREACHABLE] = "connect",
                [FETCH_NAME] = "name",
                [FETCH_TLS] = "tls",
                [FETCH_RESET] = "reset",
                [FETCH_TIMEOUT] = "timeout",
                [FETCH_TOO_LARGE] = "too_large",
                [FETCH_PROTOCOL] = "protocol",
                [FETCH_FAILED] = "failed",
        };

        return names[e];
}

struct fetch_pool *fetch_pool_new(struct loop *l, size_t max_idle) {
        struct fetch_pool *p = calloc(1, sizeof *p);

        if (!p)
                return NULL;
        p->loop = l;
        p->max_idle = max_idle;
        p->plain = fetch_plain_new(l, max_idle);
        return p->plain ? p : fetch_pool_free(p);
}

struct fetch_pool *fetch_pool_free(struct fetch_pool *p) {
        if (!p)
                return NULL;
        fetch_plain_free(p->plain);
        fetch_curl_free(p->curl);
        free(p);
        return NULL;
}

void fetch_pool_curl_only(struct fetch_pool *p) {
        p->curl_only = true;
}

struct fetch *fetch_start(struct fetch_pool *p, const struct fetch_request *r, fetch_done_fn done, void *arg) {
        struct plain_target target;
        struct iicp_url url;

        if (r->public_only && (iicp_url_parse(iicp_str(r->url), &url) < 0 ||
                               iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_DIAL) < 0))
                return NULL;
        if (!p->curl_only && fetch_plain_takes(r, &target))
                return fetch_plain_start(p->plain, &target, r, done, arg);
        if (!p->curl && !(p->curl = fetch_curl_new(p->loop, p->max_idle)))
                return NULL;
        return fetch_curl_start(p->curl, r, done, arg);
}

void fetch_cancel(struct fetch *f) {
        if (!f)
                return;
        if (f->plain)
                fetch_plain_cancel(f);
        else
                fetch_curl_cancel(f);
}
