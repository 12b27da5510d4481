/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "control/internal.h"

#include "build-config.h"
#include "findings/findings.h"
#include "log.h"
#include "mhd_loop.h"
#include "node.h"
#include "rotation.h"
#include "util.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CONTROL_CONNECTIONS_MAX 16
#define CONTROL_BODY_MAX 65536     /* bytes of a request */
#define CONTROL_IDLE_S 30
#define CONTROL_BACKLOG 16

struct control {
        struct node *node;
        int fd;
        char path[sizeof(((struct sockaddr_un *) 0)->sun_path)];
        struct event accept;
        struct MHD_Daemon *http;
        struct mhd_loop loop;
        bool closing;
        struct call *waiting;         /* requests that wait for an outcome */
};

/* One request on its way. */
struct call {
        struct control *control;
        struct MHD_Connection *connection;
        const struct resource *resource;
        struct iicp_buf body;
        struct MHD_Response *later;   /* answer of an outcome that was waited for */
        unsigned status;
        struct call *next;            /* in control->waiting */
        bool answering;               /* in its function: an outcome needs no waking */
};

enum level { LEVEL_READ, LEVEL_OPERATE, LEVEL_ROOT };

struct resource {
        const char *path, *method;
        enum level level;
        const char *type;
        /* Writes the body and returns the status; 0: call->later comes by call_resume. */
        unsigned (*fn)(struct call *call, struct iicp_buf *out);
};

unsigned call_fault(struct iicp_buf *out, unsigned status, const char *code, const char *message,
                    const char *todo) {
        iicp_buf_printf(out, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"do\":\"%s\"}}", code, message, todo);
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

void call_audit(const struct call *call, const char *action) {
        char who[64];

        caller(call, who, sizeof(who));
        log_notice("control_action", "%s by %s", action, who);
}

static unsigned get_status(struct call *call, struct iicp_buf *out) {
        status_json(call->control->node, out);
        return 200;
}

static unsigned document(struct iicp_buf *out, const char *schema, const char *member, struct node *node,
                         void (*fn)(struct node *node, struct iicp_buf *out)) {
        iicp_buf_printf(out, "{\"schema\":\"iicp.%s/1\",\"%s\":", schema, member);
        fn(node, out);
        iicp_buf_puts(out, "}");
        return 200;
}

static void put_tasks(struct node *n, struct iicp_buf *out) {
        corridor_tasks_json(n->corridor, out);
}

static void put_backends(struct node *n, struct iicp_buf *out) {
        backends_json(n->backends, out);
}

static void put_models(struct node *n, struct iicp_buf *out) {
        backends_models_json(n->backends, out);
}

static void put_findings(struct node *n, struct iicp_buf *out) {
        findings_json(n->findings, out);
}

static unsigned get_findings(struct call *call, struct iicp_buf *out) {
        return document(out, "findings", "findings", call->control->node, put_findings);
}

static unsigned get_tasks(struct call *call, struct iicp_buf *out) {
        return document(out, "tasks", "tasks", call->control->node, put_tasks);
}

static unsigned get_backends(struct call *call, struct iicp_buf *out) {
        return document(out, "backends", "backends", call->control->node, put_backends);
}

static unsigned get_models(struct call *call, struct iicp_buf *out) {
        return document(out, "models", "models", call->control->node, put_models);
}

static unsigned get_config(struct call *call, struct iicp_buf *out) {
        config_json(call->control->node->config, out);
        return 200;
}

static unsigned get_metrics(struct call *call, struct iicp_buf *out) {
        metrics_print(call->control->node->metrics, out);
        findings_metrics(call->control->node->findings, out);
        return 200;
}

static unsigned get_version(struct call *call, struct iicp_buf *out) {
        (void) call;
        iicp_buf_printf(out, "{\"schema\":\"iicp.version/1\",\"version\":\"%s\",\"api\":\"v1\"}", PACKAGE_VERSION);
        return 200;
}

static unsigned drain_outcome(struct node *n, struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"schema\":\"iicp.drain/1\",\"draining\":%s,\"running\":%u}",
                        corridor_draining(n->corridor) ? "true" : "false", corridor_active(n->corridor));
        return 200;
}

static unsigned stopping(struct iicp_buf *out) {
        return call_fault(out, 409, "stopping", "iicpd is stopping", "start it again when it has stopped");
}

static unsigned post_drain(struct call *call, struct iicp_buf *out) {
        struct node *n = call->control->node;
        char who[64];

        if (n->phase == NODE_STOPPING)
                return stopping(out);
        caller(call, who, sizeof(who));
        call_audit(call, "drain");
        node_drain(n, who);
        return drain_outcome(n, out);
}

static unsigned post_undrain(struct call *call, struct iicp_buf *out) {
        struct node *n = call->control->node;
        char who[64];

        if (n->phase == NODE_STOPPING)
                return stopping(out);
        caller(call, who, sizeof(who));
        call_audit(call, "undrain");
        node_undrain(n, who);
        return drain_outcome(n, out);
}

static unsigned post_reload(struct call *call, struct iicp_buf *out) {
        _cleanup_(config_problems_free) struct config_problems problems = {0};
        _cleanup_(iicp_buf_free) struct iicp_buf report = {.max = CONTROL_BODY_MAX};
        struct node *n = call->control->node;
        int r;

        if (n->phase == NODE_STOPPING)
                return stopping(out);
        call_audit(call, "reload");
        r = node_reload(n, &problems, &report);
        iicp_buf_printf(out, "{\"schema\":\"iicp.reload/1\",\"ok\":%s,\"problems\":", r < 0 ? "false" : "true");
        config_problems_json(&problems, out);
        iicp_buf_puts(out, ",\"changes\":");
        iicp_buf_add_str(out, report.n > 0 ? iicp_buf_str(&report) : IICP_STR("[]"));
        iicp_buf_printf(out, ",\"running\":%u", corridor_active(n->corridor));
        if (r < 0)
                iicp_buf_puts(out, ",\"error\":{\"code\":\"config_rejected\",\"message\":"
                                   "\"the new configuration has errors; the old one stays\","
                                   "\"do\":\"mend the lines above and reload again\"}");
        iicp_buf_puts(out, "}");
        return r < 0 ? 422 : 200;
}

static unsigned post_rotate_key(struct call *call, struct iicp_buf *out) {
        struct node *n = call->control->node;
        int r;

        if (n->phase == NODE_STOPPING)
                return stopping(out);
        call_audit(call, "rotate-key");
        r = rotation_now(n->rotation);
        if (r == -EOPNOTSUPP)
                return call_fault(out, 409, "encryption_off", "encryption.enabled is no: there is no key in use",
                             "set encryption.enabled and reload");
        if (r < 0 && r != -EALREADY)
                return call_fault(out, 500, "key_failed", "no new key could be made", "the log says why");
        iicp_buf_puts(out, "{\"schema\":\"iicp.rotate-key/1\",\"encryption\":");
        rotation_json(n->rotation, out);
        iicp_buf_puts(out, "}");
        return 200;
}

/* ---- what other files need of a call ---- */

struct node *call_node(const struct call *call) {
        return call->control->node;
}

struct iicp_str call_body(const struct call *call) {
        return iicp_buf_str(&call->body);
}

const char *call_argument(const struct call *call, const char *name) {
        return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, name);
}

void call_suspend(struct call *call) {
        call->next = call->control->waiting;
        call->control->waiting = call;
}

/* An outcome that was waited for: build the response, wake the connection. */
void call_resume(struct call *call, unsigned status, struct iicp_buf *out) {
        struct call **p = &call->control->waiting;
        size_t n;
        char *body = iicp_buf_take(out, &n);

        while (*p && *p != call)
                p = &(*p)->next;
        if (*p)
                *p = call->next;
        call->later = MHD_create_response_from_buffer(n, body, MHD_RESPMEM_MUST_FREE);
        call->status = status;
        if (call->answering)
                return;
        MHD_resume_connection(call->connection);
        mhd_loop_kick(&call->control->loop);
}

static unsigned get_index(struct call *call, struct iicp_buf *out);

static const struct resource resources[] = {
        {"/v1", "GET", LEVEL_READ, "application/json", get_index},
        {"/v1/status", "GET", LEVEL_READ, "application/json", get_status},
        {"/v1/findings", "GET", LEVEL_READ, "application/json", get_findings},
        {"/v1/tasks", "GET", LEVEL_READ, "application/json", get_tasks},
        {"/v1/backends", "GET", LEVEL_READ, "application/json", get_backends},
        {"/v1/models", "GET", LEVEL_READ, "application/json", get_models},
        {"/v1/directory", "GET", LEVEL_READ, "application/json", get_directory},
        {"/v1/credits", "GET", LEVEL_READ, "application/json", get_credits},
        {"/v1/credits/quote", "GET", LEVEL_READ, "application/json", get_quote},
        {"/v1/routes", "GET", LEVEL_READ, "application/json", get_routes},
        {"/v1/config", "GET", LEVEL_READ, "application/json", get_config},
        {"/v1/log", "GET", LEVEL_READ, "application/json", get_log},
        {"/v1/log", "PUT", LEVEL_OPERATE, "application/json", put_log},
        {"/v1/metrics", "GET", LEVEL_READ, "text/plain; version=0.0.4; charset=utf-8", get_metrics},
        {"/v1/version", "GET", LEVEL_READ, "application/json", get_version},
        {"/v1/drain", "POST", LEVEL_OPERATE, "application/json", post_drain},
        {"/v1/undrain", "POST", LEVEL_OPERATE, "application/json", post_undrain},
        {"/v1/reload", "POST", LEVEL_OPERATE, "application/json", post_reload},
        {"/v1/reregister", "POST", LEVEL_OPERATE, "application/json", post_reregister},
        {"/v1/redetect", "POST", LEVEL_OPERATE, "application/json", post_redetect},
        {"/v1/rotate-key", "POST", LEVEL_OPERATE, "application/json", post_rotate_key},
        {"/v1/deregister", "POST", LEVEL_ROOT, "application/json", post_deregister},
        {"/v1/identity/reset", "POST", LEVEL_ROOT, "application/json", post_identity_reset},
};

static unsigned get_index(struct call *call, struct iicp_buf *out) {
        (void) call;
        iicp_buf_puts(out, "{\"schema\":\"iicp.index/1\",\"resources\":[");
        for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
                iicp_buf_printf(out, "%s{\"path\":\"%s\",\"method\":\"%s\"}", i ? "," : "", resources[i].path,
                                resources[i].method);
        iicp_buf_puts(out, "]}");
        return 200;
}

/* NULL and *ret_status: 404 or 405. */
static const struct resource *route(const char *path, const char *method, unsigned *ret_status) {
        *ret_status = 404;
        for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
                if (strcmp(resources[i].path, path) != 0)
                        continue;
                if (strcmp(resources[i].method, method) == 0)
                        return &resources[i];
                *ret_status = 405;
        }
        return NULL;
}

static bool is_json(const char *type) {
        static const char wanted[] = "application/json";
        size_t n = sizeof(wanted) - 1;

        return type && strncasecmp(type, wanted, n) == 0 && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

/* A forwarded socket in a browser may look, not act: writes need a JSON type and no Origin. */
static unsigned may(struct call *call, struct iicp_buf *out) {
        struct MHD_Connection *c = call->connection;
        char who[64];
        uid_t uid;

        if (call->resource->level == LEVEL_READ)
                return 0;
        if (MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin") ||
            !is_json(MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Type")))
                return call_fault(out, 403, "forbidden", "changes need Content-Type: application/json and no Origin",
                             "use iicpctl");
        if (call->resource->level != LEVEL_ROOT)
                return 0;
        uid = caller(call, who, sizeof(who));
        if (uid == 0 || uid == geteuid())
                return 0;
        return call_fault(out, 403, "forbidden", "only root and the daemon's own user may do this", "sudo iicpctl");
}

static enum MHD_Result send_response(struct call *call, struct MHD_Response *response, unsigned status) {
        const char *type = call->resource ? call->resource->type : "application/json";
        enum MHD_Result r;

        if (!response)
                return MHD_NO;
        MHD_add_response_header(response, "Content-Type", status == 200 ? type : "application/json");
        MHD_add_response_header(response, "Cache-Control", "no-store");
        r = MHD_queue_response(call->connection, status, response);
        MHD_destroy_response(response);
        return r;
}

static enum MHD_Result respond(struct call *call, unsigned status, struct iicp_buf *out) {
        size_t n;
        char *body = iicp_buf_take(out, &n);

        return send_response(call, MHD_create_response_from_buffer(n, body, MHD_RESPMEM_MUST_FREE), status);
}

static enum MHD_Result dispatch(struct call *call, const char *path, const char *method) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {0};
        unsigned status;

        if (call->control->closing)
                return MHD_NO;
        if (call->later)
                return send_response(call, TAKE_PTR(call->later), call->status);
        call->resource = route(path, method, &status);
        if (!call->resource) {
                call_fault(&out, status, status == 404 ? "not_found" : "method_not_allowed",
                      status == 404 ? "no such resource" : "not with this method", "GET /v1 lists the resources");
                return respond(call, status, &out);
        }
        if (call->body.error) {
                call_fault(&out, 413, "request_too_large", "the request is larger than 64 KiB", "send less");
                return respond(call, 413, &out);
        }
        status = may(call, &out);
        if (status != 0)
                return respond(call, status, &out);
        call->answering = true;
        status = call->resource->fn(call, &out);
        call->answering = false;
        if (status != 0)
                return respond(call, status, &out);
        if (call->later)
                return send_response(call, TAKE_PTR(call->later), call->status);
        MHD_suspend_connection(call->connection);
        return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *n,
                                  void **ctx) {
        struct call *call = *ctx;

        (void) version;
        if (!call) {
                call = calloc(1, sizeof(*call));
                if (!call)
                        return MHD_NO;
                call->control = arg;
                call->connection = connection;
                call->body.max = CONTROL_BODY_MAX;
                *ctx = call;
                return MHD_YES;
        }
        if (*n > 0) {
                iicp_buf_add(&call->body, data, *n);
                *n = 0;
                return MHD_YES;
        }
        return dispatch(call, url, method);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **ctx,
                         enum MHD_RequestTerminationCode code) {
        struct call *call = *ctx;

        (void) arg;
        (void) connection;
        (void) code;
        if (!call)
                return;
        if (call->later)
                MHD_destroy_response(call->later);
        iicp_buf_free(&call->body);
        free(call);
        *ctx = NULL;
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
        struct control *c = arg;
        struct sockaddr_un peer = {.sun_family = AF_UNIX};
        int s;

        (void) what;
        s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (s < 0)
                return;
        /* Takes the descriptor over, also when it refuses it (MHD closes it then). */
        MHD_add_connection(c->http, s, (struct sockaddr *) &peer, sizeof(peer));
        mhd_loop_kick(&c->loop);
}

/* The local file first: it is where packages put the group, and asking the name service loads 0.6 MB
 * that stay. */
static bool local_group(const char *name, gid_t *ret) {
        FILE *f = fopen("/etc/group", "re");
        const struct group *g;
        bool found = false;

        while (f && !found && (g = fgetgrent(f)))
                if (strcmp(g->gr_name, name) == 0) {
                        *ret = g->gr_gid;
                        found = true;
                }
        if (f)
                fclose(f);
        return found;
}

/* The group that may use the socket: configured, else `iicp` where it exists; -1 = nobody else. */
static int socket_group(const struct config *conf, gid_t *ret, char *why, size_t cap) {
        const char *name = conf->control_group ? conf->control_group : "iicp";
        struct group gr, *found = NULL;
        char buf[4096];

        if (local_group(name, ret))
                return 0;
        if (conf->control_group && getgrnam_r(name, &gr, buf, sizeof(buf), &found) == 0 && found) {
                *ret = gr.gr_gid;
                return 0;
        }
        if (conf->control_group) {
                snprintf(why, cap, "control.group '%s' is no group of this system", name);
                return -ENOENT;
        }
        *ret = (gid_t) -1;
        return 0;
}

/* 0660 when the socket is the group's. The unit's system call filter has no chown; the daemon's own
 * group needs none. */
static mode_t give_to_group(const char *path, const struct config *conf, gid_t group) {
        struct stat st;

        if (group == (gid_t) -1)
                return 0600;
        if (stat(path, &st) == 0 && st.st_gid == group)
                return 0660;
        if (chown(path, (uid_t) -1, group) == 0)
                return 0660;
        if (conf->control_group)
                log_warn("control_group", "%s stays with its owner alone: it cannot be given to group '%s': %s",
                         path, conf->control_group, strerror(errno));
        return 0600;
}

static int bind_socket(struct control *c, char *why, size_t cap) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        mode_t mask;
        gid_t group;
        int r;

        if (strlen(c->node->config->control_socket) >= sizeof(addr.sun_path)) {
                snprintf(why, cap, "control.socket is longer than %zu bytes", sizeof(addr.sun_path) - 1);
                return -ENAMETOOLONG;
        }
        strcpy(addr.sun_path, c->node->config->control_socket);
        r = socket_group(c->node->config, &group, why, cap);
        if (r < 0)
                return r;
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
                return -errno;
        /* A stale file may go: whoever holds the state lock is the only instance. */
        unlink(addr.sun_path);
        /* The mask keeps others out between bind and chmod. */
        mask = umask(0077);
        r = bind(c->fd, (struct sockaddr *) &addr, sizeof(addr)) < 0 ? -errno : 0;
        umask(mask);
        if (r == 0 && chmod(addr.sun_path, give_to_group(addr.sun_path, c->node->config, group)) < 0)
                r = -errno;
        if (r == 0 && listen(c->fd, CONTROL_BACKLOG) < 0)
                r = -errno;
        if (r < 0) {
                snprintf(why, cap, "cannot make the control socket %s: %s", addr.sun_path, strerror(-r));
                return r;
        }
        strcpy(c->path, addr.sun_path);
        return 0;
}

int control_new(struct node *node, struct control **ret, char *why, unsigned long why_cap) {
        struct control *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->node = node;
        c->fd = -1;
        r = bind_socket(c, why, why_cap);
        if (r < 0)
                goto fail;
        c->http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
                                           MHD_ALLOW_SUSPEND_RESUME,
                                   0, NULL, NULL, on_request, c, MHD_OPTION_NOTIFY_COMPLETED, on_completed, c,
                                   MHD_OPTION_CONNECTION_LIMIT, (unsigned) CONTROL_CONNECTIONS_MAX,
                                   MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) CONTROL_IDLE_S, MHD_OPTION_END);
        r = c->http ? mhd_loop_init(&c->loop, node->loop, c->http) : -EIO;
        if (r == 0 && (event_assign(&c->accept, loop_base(node->loop), c->fd, EV_READ | EV_PERSIST, on_accept, c) < 0 ||
                       event_add(&c->accept, NULL) < 0))
                r = -ENOMEM;
        if (r < 0) {
                snprintf(why, why_cap, "cannot serve the control socket: %s", strerror(-r));
                goto fail;
        }
        *ret = c;
        return 0;
fail:
        control_free(c);
        return r;
}

struct control *control_free(struct control *c) {
        if (!c)
                return NULL;
        if (event_initialized(&c->accept))
                event_del(&c->accept);
        mhd_loop_done(&c->loop);
        /* A daemon must not be stopped with suspended connections. */
        c->closing = true;
        for (struct call *call = c->waiting; call; call = call->next)
                MHD_resume_connection(call->connection);
        if (c->waiting)
                MHD_run(c->http);
        if (c->http)
                MHD_stop_daemon(c->http);
        if (c->fd >= 0)
                close(c->fd);
        if (c->path[0])
                unlink(c->path);
        free(c);
        return NULL;
}
