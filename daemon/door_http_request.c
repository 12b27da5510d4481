/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_internal.h"

#include "listener.h"
#include "mesh/mesh.h"
#include "node.h"
#include "peer.h"
#include "util.h"

#include <errno.h>
#include <iicp/endpoint.h>
#include <stdlib.h>

static void request_reset(struct http_request *r) {
        /* What a relay passes on is not kept beyond its delivery. [03 section 17] */
        if (r->body && http_is_relay(r->target.resource))
                explicit_bzero(r->body, r->n);
        free(r->body);
        if (r->answered) {
                if (r->answer.secret && r->answer.body)
                        explicit_bzero(r->answer.body, r->answer.n);
                free(r->answer.body);
        }
        *r = (struct http_request){.open = false};
}

static struct http_conn *conn_of(struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

        return info ? info->socket_context : NULL;
}

/* The target before the library decodes and splits it. */
void *http_on_target(void *cls, const char *uri, struct MHD_Connection *mhd) {
        struct http_conn *c = conn_of(mhd);
        struct door_http *d = cls;

        if (!c)
                return NULL;
        request_reset(&c->req);
        c->req.open = true;
        http_target_parse(iicp_str(uri), &c->req.target);
        /* A kept connection that was not given back yet: this is the first that we see of its next
         * request. */
        if (c->queue == &d->kept) {
                c->since_ms = clock_mono_ms(d->node->clock);
                http_queue_move(c, &d->heads, c->since_ms + LISTENER_HEAD_MS);
        }
        return c;
}

/* ---- head ---- */

static bool same_host(struct iicp_str host, const char *endpoint) {
        struct iicp_url url;

        if (!endpoint || !*endpoint || iicp_url_parse(iicp_str(endpoint), &url) < 0)
                return false;
        if (url.ipv6 && host.n > 2 && host.p[0] == '[')
                host = (struct iicp_str){host.p + 1, host.n - 2};
        if (host.n > 1 && host.p[host.n - 1] == '.')
                host.n--;
        return host.n == strlen(url.host) && strncasecmp(host.p, url.host, host.n) == 0;
}

/* Against DNS rebinding, where a listener is for this machine only. [05 section 13.8] */
static bool authority_allowed(struct node *n, struct iicp_str authority) {
        struct iicp_str host = http_host_name(authority);
        const char *why;

        if (!host.p)
                return false;
        if (http_host_is_local(host))
                return true;
        return same_host(host, n->config->public_endpoint) || same_host(host, node_endpoint(n, &why)) ||
               (n->state && same_host(host, state_identity(n->state)->registered.endpoint));
}

static bool host_allowed(const struct http_conn *c) {
        struct node *n = c->door->node;
        const struct http_request *r = &c->req;

        if (!listener_loopback_only(n->listener))
                return true;
        if (r->target.authority.p && !authority_allowed(n, r->target.authority))
                return false;
        /* HTTP/1.0 may come without Host; a browser always sends one. */
        return !r->fields.host.p || authority_allowed(n, r->fields.host);
}

static enum MHD_Result on_field(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n,
                                const char *value, size_t value_n) {
        struct iicp_str v = {value ? value : "", value ? value_n : 0};

        (void) kind;
        http_field(cls, (struct iicp_str){name, name_n}, v);
        return MHD_YES;
}

static bool is_method(const char *method, const char *name) {
        return strcmp(method, name) == 0;
}

static enum MHD_Result refuse(struct http_conn *c, enum iicp_refusal_id id, bool close) {
        c->req.refused = true;
        return http_answer_refusal(c, id, close);
}

static size_t body_max(const struct http_conn *c) {
        size_t n = http_body_max(c->req.target.resource);

        return n == HTTP_BODY_RELAYED ? c->door->node->config->relay_max_body : n;
}

static enum MHD_Result on_post(struct http_conn *c) {
        struct http_request *r = &c->req;
        enum iicp_refusal_id id = http_body_check(&r->fields, body_max(c));

        if (id != IICP_REFUSE_NONE)
                return refuse(c, id, true);
        r->wants_body = true;
        if (r->fields.length > 0 || r->fields.chunked)
                http_queue_move(c, &c->door->bodies, c->since_ms + HTTP_WHOLE_MS);
        return MHD_YES;
}

static bool offered(const struct node *node, enum http_resource resource) {
        if (resource == HTTP_PEERS)
                return node->config->mesh_enabled;
        if (resource == HTTP_METRICS)
                return node->config->metrics_enabled && !node->config->metrics_listen;
        if (http_is_relay(resource))
                return node->relay != NULL;
        return resource != HTTP_UNKNOWN && (!http_is_lifecycle(resource) || node->config->lifecycle_enabled);
}

static enum MHD_Result route(struct http_conn *c, const char *method, bool body) {
        struct http_request *r = &c->req;
        const struct node *node = c->door->node;

        if (r->head_n > HTTP_HEAD_MAX || r->fields.n > HTTP_FIELDS_MAX)
                return refuse(c, IICP_REFUSE_HEADER_TOO_LARGE, true);
        if (r->fields.doubled_host)
                return refuse(c, IICP_REFUSE_INVALID_HTTP_BODY, true);
        if (!host_allowed(c))
                return refuse(c, IICP_REFUSE_MISDIRECTED, body);
        if (is_method(method, "OPTIONS")) {
                r->refused = body;
                return http_answer_options(c, body);
        }
        if (!offered(node, r->target.resource))
                return refuse(c, IICP_REFUSE_NOT_FOUND, body);
        if (!http_method_fits(r->target.resource, method))
                return refuse(c, IICP_REFUSE_METHOD, body);
        if (http_body_max(r->target.resource) > 0)
                return on_post(c);
        if (body)
                return refuse(c, IICP_REFUSE_INVALID_HTTP_BODY, true);
        switch (r->target.resource) {
        case HTTP_HEALTH:
                return http_answer_health(c);
        case HTTP_METRICS:
                return http_answer_metrics(c);
        case HTTP_RELAY_PULL:
        case HTTP_RELAY_HEALTH:
                return http_relay_get(c);
        default:
                return http_lifecycle_get(c);
        }
}

static enum MHD_Result on_head(struct http_conn *c, const char *method) {
        struct http_request *r = &c->req;
        const union MHD_ConnectionInfo *info;

        r->seen = true;
        http_queue_move(c, NULL, 0);
        listener_head_complete(c->door->node->listener, c->fd);
        MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, on_field, &r->fields);
        info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        r->head_n = info ? info->header_size : 0;
        /* What comes after the head would be taken for a request, were it not read or refused. */
        if (r->fields.has_transfer || r->fields.length > 0 || r->fields.bad_length)
                return route(c, method, true);
        /* The library closes a connection whose answer it gets before the end of the request. */
        r->deferred = true;
        return MHD_YES;
}

/* ---- body ---- */

static bool body_room(struct http_request *r, size_t more, size_t max) {
        size_t cap = r->cap ? r->cap : r->fields.has_length ? (size_t) r->fields.length : HTTP_BODY_START;
        char *p;

        if (r->n + more <= r->cap)
                return true;
        while (cap < r->n + more)
                cap *= 2;
        cap = MIN(MAX(cap, (size_t) 1), max);
        p = realloc(r->body, cap);
        if (!p)
                return false;
        r->body = p;
        r->cap = cap;
        return true;
}

static enum MHD_Result on_body(struct http_conn *c, const char *data, size_t *n) {
        struct http_request *r = &c->req;
        size_t got = *n, max = body_max(c);

        *n = 0;
        if (r->refused)
                return MHD_YES; /* dropped: the answer is on its way */
        if (r->n > max || got > max - r->n) { /* a reload may have made it smaller */
                /* The library takes an answer only between the pieces of a body or at its end; the
                 * caller has to hear of this now, and the rest is not read. */
                r->refused = true;
                c->linger = true;
                return http_send_raw(c, IICP_REFUSE_TOO_LARGE);
        }
        if (!body_room(r, got, max))
                return MHD_NO;
        memcpy(r->body + r->n, data, got);
        r->n += got;
        return MHD_YES;
}

/* ---- task ---- */

static void on_answer(void *arg, struct task_answer *answer) {
        struct http_conn *c = arg;
        struct http_request *r = &c->req;

        r->task = NULL;
        r->answer = *answer;
        r->answered = true;
        http_resume(c);
}

void http_suspend(struct http_conn *c) {
        c->suspended = true;
        MHD_suspend_connection(c->mhd);
}

void http_resume(struct http_conn *c) {
        if (!c->suspended)
                return;
        c->suspended = false;
        MHD_resume_connection(c->mhd);
        http_kick(c->door);
}

void http_request_abort(struct http_conn *c) {
        struct task *t = TAKE_PTR(c->req.task);

        if (t)
                task_abort(t);
        mesh_cancel(TAKE_PTR(c->req.exchange));
        http_relay_end(c, false);
        http_resume(c);
}

void http_caller(const struct http_conn *c, struct sockaddr_storage *ret) {
        memset(ret, 0, sizeof *ret);
        memcpy(ret, &c->peer, sizeof c->peer);
        if (c->req.fields.forwarded_for.p)
                peer_behind_proxies(c->req.fields.forwarded_for, c->door->node->config->trusted_proxies, ret);
}

static enum MHD_Result on_complete(struct http_conn *c) {
        struct http_request *r = &c->req;
        const struct http_fields *f = &r->fields;
        struct node *node = c->door->node;
        struct task_request q = {
                .n = r->n,
                .origin = f->origin,
                .authorization = f->authorization,
                .consumer_token = f->consumer_token,
                .traceparent = f->traceparent,
                .tracestate = f->tracestate,
                .trace_id = f->trace_id,
                .require_e2e = f->require_e2e,
                .tls = listener_secure(node->listener, c->fd),
                .door = "http",
                .lifecycle = r->target.resource == HTTP_SUBMIT,
        };

        r->complete = true;
        http_queue_move(c, NULL, 0);
        if (r->target.resource == HTTP_CANCEL || r->target.resource == HTTP_CONTROL)
                return http_lifecycle_post(c);
        if (r->target.resource == HTTP_PEERS)
                return http_peers_post(c);
        if (http_is_relay(r->target.resource))
                return http_relay_post(c);
        q.body = r->body ? TAKE_PTR(r->body) : calloc(1, 1);
        if (!q.body)
                return MHD_NO;
        http_caller(c, &q.peer);
        r->task = task_start(node->corridor, &q, on_answer, c);
        if (r->answered)
                r->task = NULL;
        if (!r->task)
                return r->answered ? http_answer_task(c, &r->answer) : MHD_NO;
        http_suspend(c);
        return MHD_YES;
}

/* ---- callbacks ---- */

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                const char *version, const char *data, size_t *n, void **request) {
        struct http_conn *c = *request;
        struct http_request *r;

        (void) cls;
        (void) mhd;
        (void) url;
        if (!c || c->gone || c->killed)
                return MHD_NO;
        r = &c->req;
        r->http_1_0 = strcmp(version, "HTTP/1.0") == 0;
        if (!r->seen)
                return on_head(c, method);
        if (*n > 0)
                return on_body(c, data, n);
        if (r->deferred) {
                enum MHD_Result ok;

                r->deferred = false;
                ok = route(c, method, false);
                return ok == MHD_YES && r->wants_body && !r->refused ? on_complete(c) : ok;
        }
        if (r->answered)
                return http_answer_task(c, &r->answer);
        if (r->refused || !r->wants_body)
                return MHD_YES;
        return r->complete ? MHD_YES : on_complete(c);
}

void http_on_completed(void *cls, struct MHD_Connection *mhd, void **request,
                       enum MHD_RequestTerminationCode code) {
        struct http_conn *c = *request;
        struct door_http *d = cls;

        (void) mhd;
        if (!c)
                return;
        *request = NULL;
        struct http_request *r = &c->req;
        struct task *t = TAKE_PTR(r->task);
        if (t)
                task_abort(t);
        mesh_cancel(TAKE_PTR(r->exchange));
        http_relay_end(c, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
        if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
                /* Framing of chunks is not told, so what has come is taken as it is. */
                c->consumed += r->head_n + r->n;
                if (r->fields.chunked)
                        c->consumed = http_conn_received(c);
                c->since_ms = clock_mono_ms(d->node->clock);
                http_queue_move(c, &d->kept, c->since_ms + HTTP_KEPT_MS);
        } else {
                http_queue_move(c, NULL, 0);
                /* The body ended before its length: half of the connection may still be there. */
                if (r->wants_body && !r->complete && !r->refused && !c->killed && !c->gone &&
                    (code == MHD_REQUEST_TERMINATED_CLIENT_ABORT || code == MHD_REQUEST_TERMINATED_READ_ERROR ||
                     code == MHD_REQUEST_TERMINATED_WITH_ERROR))
                        http_send_raw(c, IICP_REFUSE_INVALID_HTTP_BODY);
        }
        request_reset(r);
}
