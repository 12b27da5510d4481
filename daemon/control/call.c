/* SPDX-License-Identifier: Apache-2.0 */
#include "control/server.h"

#include "log.h"
#include "node.h"
#include "observe/feed.h"
#include "util.h"

#include <pwd.h>
#include <stdio.h>

/* One request: who asks, what it may, how it is answered. */

unsigned call_fault(struct iicp_buf *out, unsigned status, const char *code, const char *message,
                    const char *todo) {
        iicp_buf_printf(out, "{\"schema\":\"iicp.error/1\",\"error\":{\"code\":\"%s\",\"message\":", code);
        iicp_buf_json_str(out, iicp_str(message));
        iicp_buf_puts(out, ",\"do\":");
        iicp_buf_json_str(out, iicp_str(todo));
        iicp_buf_puts(out, "}}");
        return status;
}

/* Who asks: name and uid of the peer, for the audit line. */
static uid_t caller(const struct call *call, char *name, size_t cap) {
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct ucred peer = {.uid = (uid_t) -1};
        socklen_t n = sizeof(peer);
        struct passwd pw, *found = NULL;
        char buf[1024];

        if (info)
                getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &n);
        if (getpwuid_r(peer.uid, &pw, buf, sizeof(buf), &found) == 0 && found)
                snprintf(name, cap, "%s (uid %u)", pw.pw_name, peer.uid);
        else
                snprintf(name, cap, "uid %u", peer.uid);
        return peer.uid;
}

void call_who(const struct call *call, char *name, size_t cap) {
        caller(call, name, cap);
}

void call_audit(struct call *call, const char *action) {
        caller(call, call->who, sizeof(call->who));
        log_notice("control_action", "%s by %s", action, call->who);
}

void call_audit_outcome(const struct call *call, const char *action, const char *outcome) {
        log_notice("control_action", "%s by %s: %s", action, call->who, outcome);
}

struct log_override *call_log_override(const struct call *call) {
        return call->control->log;
}

struct node *call_node(const struct call *call) {
        return call->control->node;
}

struct iicp_str call_body(const struct call *call) {
        return iicp_buf_str(&call->body);
}

const char *call_argument(const struct call *call, const char *name) {
        return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *call_header(const struct call *call, const char *name) {
        return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

const char *call_item(const struct call *call) {
        return call->item;
}

bool call_is_open(const struct call *call) {
        return call->open;
}

/* ---- outcomes that are waited for ---- */

static void call_free(struct call *call) {
        if (call->later)
                MHD_destroy_response(call->later);
        iicp_buf_free(&call->body);
        free(call);
}

void call_suspend(struct call *call) {
        call->next = call->control->waiting;
        call->control->waiting = call;
}

static void not_waiting(struct call *call) {
        struct call **p = &call->control->waiting;

        while (*p && *p != call)
                p = &(*p)->next;
        if (*p)
                *p = call->next;
}

/* Nobody waits at a connection: whoever asked finds the outcome among the events. */
static void tell_outcome(struct call *call, unsigned status) {
        struct log_fields f = {.subject = call->resource->path};

        feed_put(call->control->node->feed, LOG_L_NOTICE, "request_done", &f, "request %llu, %s: %s (%u)",
                 (unsigned long long) call->request, call->resource->path, status == 200 ? "done" : "failed", status);
        call_free(call);
}

/* An outcome that was waited for: build the response, wake the connection. */
void call_resume(struct call *call, unsigned status, struct iicp_buf *out) {
        size_t n;
        char *body = iicp_buf_take(out, &n);

        not_waiting(call);
        if (call->request) {
                free(body);
                tell_outcome(call, status);
                return;
        }
        call->later = MHD_create_response_from_buffer(n, body, MHD_RESPMEM_MUST_FREE);
        call->status = status;
        if (call->answering)
                return;
        MHD_resume_connection(call->connection);
        mhd_loop_kick(&call->control->loop);
}

void call_drop_all(struct control *c) {
        struct call *call, *next;
        bool resumed = false;

        for (call = c->waiting; call; call = next) {
                next = call->next;
                if (call->request) {
                        not_waiting(call);
                        call_free(call);
                } else {
                        MHD_resume_connection(call->connection);
                        resumed = true;
                }
        }
        if (resumed)
                MHD_run(c->http);
}

/* ---- what a request may do ---- */

static bool is_json(const char *type) {
        static const char wanted[] = "application/json";
        size_t n = sizeof(wanted) - 1;

        return type && strncasecmp(type, wanted, n) == 0 && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

/* A page of another site that found its way here under a name of its own (DNS rebinding) has a dot in it. */
static bool host_is_ours(const char *host) {
        size_t n;

        if (!host || !*host)
                return true;
        if (host[0] == '[')
                return strncmp(host, "[::1]", 5) == 0;
        n = strcspn(host, ":");
        return (n == 9 && strncmp(host, "127.0.0.1", n) == 0) || !memchr(host, '.', n);
}

/* A forwarded socket in a browser may look, not act: writes need a JSON type and no Origin. */
static unsigned may(struct call *call, struct iicp_buf *out) {
        char who[64];
        uid_t uid;

        if (!host_is_ours(call_header(call, "Host")))
                return call_fault(out, 403, "forbidden", "the Host header names another machine", "use iicpctl, or localhost");
        if (call->resource->level == LEVEL_READ)
                return 0;
        if (call_header(call, "Origin") || !is_json(call_header(call, "Content-Type")))
                return call_fault(out, 403, "forbidden", "changes need Content-Type: application/json and no Origin",
                                  "use iicpctl");
        if (call->resource->level != LEVEL_ROOT)
                return 0;
        uid = caller(call, who, sizeof(who));
        if (uid == 0 || uid == geteuid())
                return 0;
        return call_fault(out, 403, "forbidden", "only root and the daemon's own user may do this", "sudo iicpctl");
}

/* ---- the answer ---- */

static enum MHD_Result send_response(struct call *call, struct MHD_Response *response, unsigned status,
                                     const char *allow) {
        const char *type = call->resource ? call->resource->type : "application/json";
        enum MHD_Result r;

        if (!response)
                return MHD_NO;
        MHD_add_response_header(response, "Content-Type", status == 200 ? type : "application/json");
        MHD_add_response_header(response, "Cache-Control", "no-store");
        MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        if (allow && *allow)
                MHD_add_response_header(response, "Allow", allow);
        if (strncmp(type, "text/html", 9) == 0) {
                MHD_add_response_header(response, "Content-Security-Policy", CONTROL_CSP);
                MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
        }
        r = MHD_queue_response(call->connection, status, response);
        MHD_destroy_response(response);
        return r;
}

static enum MHD_Result respond(struct call *call, unsigned status, struct iicp_buf *out, const char *allow) {
        struct iicp_buf shown = {.max = CONTROL_ANSWER_MAX};
        size_t n;
        char *body;

        if (call->open && !out->error)
                hide_addresses(iicp_buf_str(out), &shown);
        else {
                shown = *out;
                *out = (struct iicp_buf){0};
        }
        if (shown.error || shown.n > CONTROL_ANSWER_MAX) {
                iicp_buf_free(&shown);
                shown.max = CONTROL_ANSWER_MAX;
                status = call_fault(&shown, 503, "too_large", "the answer is larger than 1 MiB", "ask for less of it: ?limit=");
        }
        body = iicp_buf_take(&shown, &n);
        return send_response(call, MHD_create_response_from_buffer(n, body, MHD_RESPMEM_MUST_FREE), status, allow);
}

void call_stream(struct call *call, struct MHD_Response *response) {
        call->later = response;
        call->status = 200;
}

/* The function waits for something: so does the connection, unless it was told not to. */
static enum MHD_Result wait_or_not(struct call *call) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};
        const char *wait = call_argument(call, "wait");
        struct call *outcome;

        if (call->resource->level == LEVEL_READ || !wait || strcmp(wait, "0") != 0) {
                MHD_suspend_connection(call->connection);
                return MHD_YES;
        }
        call->request = ++call->control->last_request;
        iicp_buf_printf(&out, "{\"schema\":\"iicp.accepted/1\",\"request\":%llu,\"event\":\"request_done\"}",
                        (unsigned long long) call->request);
        outcome = calloc(1, sizeof(*outcome));
        if (!outcome)
                return MHD_NO;
        /* The request on its way stays with whoever works on it; the connection gets a new one. */
        *outcome = (struct call){.control = call->control, .connection = call->connection, .resource = call->resource};
        call->connection = NULL;
        call->replaced_by = outcome;
        return respond(outcome, 202, &out, NULL);
}

static enum MHD_Result answer(struct call *call) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};
        unsigned status = may(call, &out);

        if (status == 0) {
                call->answering = true;
                status = call->resource->fn(call, &out);
                call->answering = false;
        }
        if (status != 0)
                return respond(call, status, &out, NULL);
        if (call->later)
                return send_response(call, TAKE_PTR(call->later), call->status, NULL);
        return wait_or_not(call);
}

static enum MHD_Result dispatch(struct call *call, const char *path, const char *method) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};
        char allow[64];
        unsigned status;

        if (call->control->closing)
                return MHD_NO;
        if (call->later)
                return send_response(call, TAKE_PTR(call->later), call->status, NULL);
        call->resource = resource_find(path, method, call->item, &status, allow, sizeof(allow));
        if (call->resource && call->open && (!call->resource->open || call->resource->level != LEVEL_READ)) {
                call->resource = NULL;
                status = 404;
        }
        if (!call->resource) {
                call_fault(&out, status, status == 404 ? "not_found" : "method_not_allowed",
                           status == 404 ? "no such resource" : "not with this method", "GET /v1 lists the resources");
                return respond(call, status, &out, status == 405 && !call->open ? allow : NULL);
        }
        if (call->body.error) {
                call_fault(&out, 413, "request_too_large", "the request is larger than 64 KiB", "send less");
                return respond(call, 413, &out, NULL);
        }
        return answer(call);
}

/* ---- libmicrohttpd ---- */

/* An accepted connection has the name of the socket that it came by. */
static bool came_by_open(const struct control *c, struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct sockaddr_un own = {0};
        socklen_t n = sizeof(own) - 1;

        return c->status.path[0] && info && getsockname(info->connect_fd, (struct sockaddr *) &own, &n) == 0 &&
               strcmp(own.sun_path, c->status.path) == 0;
}

enum MHD_Result call_on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *data, size_t *n, void **ctx) {
        struct call *call = *ctx;
        enum MHD_Result r;

        (void) version;
        if (!call) {
                call = calloc(1, sizeof(*call));
                if (!call)
                        return MHD_NO;
                call->control = arg;
                call->connection = connection;
                call->open = came_by_open(arg, connection);
                call->body.max = CONTROL_BODY_MAX;
                *ctx = call;
                return MHD_YES;
        }
        if (*n > 0) {
                iicp_buf_add(&call->body, data, *n);
                *n = 0;
                return MHD_YES;
        }
        r = dispatch(call, url, method);
        if (call->replaced_by) {
                *ctx = call->replaced_by;
                call->replaced_by = NULL;
        }
        return r;
}

void call_on_completed(void *arg, struct MHD_Connection *connection, void **ctx,
                       enum MHD_RequestTerminationCode code) {
        (void) arg;
        (void) connection;
        (void) code;
        if (*ctx)
                call_free(*ctx);
        *ctx = NULL;
}
