/* SPDX-License-Identifier: Apache-2.0 */
#include "ops.h"

#include "control/control.h"
#include "health.h"
#include "mhd_loop.h"
#include "node.h"
#include "numbers.h"
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

struct ops {
        struct node *node;
        struct MHD_Daemon *http;
        struct mhd_loop loop;
};

bool ops_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_n) {
        char host[INET6_ADDRSTRLEN + 1], *end;
        const char *colon = strrchr(text, ':');
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) ret;
        struct sockaddr_in *v4 = (struct sockaddr_in *) ret;
        bool bracket = text[0] == '[';
        unsigned long port;
        size_t n;

        if (!colon || colon == text)
                return false;
        n = (size_t) (colon - text);
        if (bracket) {
                if (text[n - 1] != ']')
                        return false;
                text++;
                n -= 2;
        }
        if (n >= sizeof host || colon[1] < '0' || colon[1] > '9')
                return false;
        memcpy(host, text, n);
        host[n] = '\0';
        port = strtoul(colon + 1, &end, 10);
        if (*end || port < 1 || port > 65535)
                return false;
        memset(ret, 0, sizeof *ret);
        if (bracket && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons((uint16_t) port);
                *ret_n = sizeof *v6;
                return true;
        }
        if (!bracket && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
                v4->sin_family = AF_INET;
                v4->sin_port = htons((uint16_t) port);
                *ret_n = sizeof *v4;
                return true;
        }
        return false;
}

int ops_livez(const struct health *h, char *out, size_t cap) {
        bool live = h->liveness == HEALTH_LIVE;

        snprintf(out, cap, live ? "live\n" : "not live: %s\n", h->n_reasons ? h->reasons[0] : "unknown");
        return live ? 200 : 503;
}

int ops_readyz(const struct health *h, bool strict, const char *why, char *out, size_t cap) {
        bool ready = h->readiness == HEALTH_READY || (h->readiness == HEALTH_DEGRADED && !strict);

        if (h->readiness == HEALTH_READY)
                snprintf(out, cap, "ready\n");
        else
                snprintf(out, cap, "%s: %s\n", h->readiness == HEALTH_DEGRADED ? "degraded" : "not ready", why);
        return ready ? 200 : 503;
}

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, struct iicp_buf *body) {
        size_t n;
        char *bytes = iicp_buf_take(body, &n);
        struct MHD_Response *r = MHD_create_response_from_buffer(n, bytes, MHD_RESPMEM_MUST_FREE);
        enum MHD_Result ok;

        if (!r) {
                free(bytes);
                return MHD_NO;
        }
        MHD_add_response_header(r, "Content-Type", type);
        MHD_add_response_header(r, "Cache-Control", "no-store");
        if (status == 405)
                MHD_add_response_header(r, "Allow", "GET, HEAD");
        ok = MHD_queue_response(c, status, r);
        MHD_destroy_response(r);
        return ok;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *n, void **ctx) {
        static int seen; /* its address only: the head of this request has been read */
        struct ops *o = arg;
        struct iicp_buf body = {0};
        struct health h;
        char line[256], why[160];
        const char *strict;
        int status;

        (void) version;
        (void) data;
        if (*ctx != &seen) {
                *ctx = &seen;
                return MHD_YES;
        }
        if (*n > 0) {
                *n = 0; /* a body means nothing here */
                return MHD_YES;
        }
        if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
                iicp_buf_puts(&body, "method not allowed\n");
                return answer(c, 405, "text/plain; charset=utf-8", &body);
        }
        if (strcmp(url, "/metrics") == 0) {
                numbers_everything(o->node, &body);
                return answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
        }
        health_of(o->node, &h);
        status_sentence(o->node, why, sizeof why);
        strict = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "strict");
        if (strcmp(url, "/livez") == 0)
                status = ops_livez(&h, line, sizeof line);
        else if (strcmp(url, "/readyz") == 0)
                status = ops_readyz(&h, strict && strcmp(strict, "1") == 0, why, line, sizeof line);
        else {
                status = 404;
                snprintf(line, sizeof line, "not found: /metrics, /livez and /readyz are here\n");
        }
        iicp_buf_puts(&body, line);
        return answer(c, (unsigned) status, "text/plain; charset=utf-8", &body);
}

int ops_new(struct node *node, const char *address, struct ops **ret) {
        struct sockaddr_storage addr;
        socklen_t n;
        struct ops *o;
        int r;

        if (!ops_address_parse(address, &addr, &n))
                return -EINVAL;
        o = calloc(1, sizeof *o);
        if (!o)
                return -ENOMEM;
        o->node = node;
        errno = 0;
        o->http = MHD_start_daemon(MHD_USE_EPOLL | (addr.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0, NULL, NULL,
                                   on_request, o, MHD_OPTION_SOCK_ADDR, (struct sockaddr *) &addr,
                                   MHD_OPTION_CONNECTION_LIMIT, (unsigned) OPS_CONNECTIONS_MAX,
                                   MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned) OPS_PER_ADDRESS_MAX,
                                   MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) OPS_IDLE_S, MHD_OPTION_END);
        r = !o->http ? (errno ? -errno : -EIO) : mhd_loop_init(&o->loop, node->loop, o->http);
        if (r < 0) {
                ops_free(o);
                return r;
        }
        *ret = o;
        return 0;
}

struct ops *ops_free(struct ops *o) {
        if (!o)
                return NULL;
        mhd_loop_done(&o->loop);
        if (o->http)
                MHD_stop_daemon(o->http);
        free(o);
        return NULL;
}
