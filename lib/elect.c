/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/elect.h>

#include "util.h"

#include <errno.h>
#include <iicp/address.h>
#include <iicp/hmac.h>
#include <iicp/relay_msg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *iicp_relay_verdict_text(enum iicp_relay_verdict v) {
        static const char *const texts[] = {
                [IICP_RELAY_ELIGIBLE] = "",
                [IICP_RELAY_NOT_CAPABLE] = "is no relay",
                [IICP_RELAY_NO_ID] = "has no usable id",
                [IICP_RELAY_SELF] = "is this node",
                [IICP_RELAY_NO_ENDPOINT] = "has no usable endpoint",
                [IICP_RELAY_RELAYED] = "is reached through a relay itself",
                [IICP_RELAY_ADDRESS] = "its address is not public",
                [IICP_RELAY_UNAVAILABLE] = "not available",
                [IICP_RELAY_BAD_LOAD] = "its load is no number",
                [IICP_RELAY_BAD_PORT] = "its port is no port",
                [IICP_RELAY_UNCONFIRMED] = "the directory does not know it under that id and host",
                [IICP_RELAY_REPUTATION] = "reputation below 0.1 or unknown",
        };

        return texts[v];
}

/* ---- one candidate ---- */

static bool read_id(const struct iicp_json *object, struct iicp_relay *r) {
        struct iicp_json v = iicp_json_get(object, "node_id");

        if (iicp_json_copy(&v, r->node_id, sizeof r->node_id) < 0)
                r->node_id[0] = '\0';
        for (const char *p = r->node_id; *p; p++)
                if (*p <= ' ' || *p > '~')
                        r->node_id[0] = '\0';
        return r->node_id[0] != '\0';
}

static bool read_endpoint(const struct iicp_json *object, struct iicp_relay *r) {
        struct iicp_json v = iicp_json_get(object, "endpoint");
        size_t n;

        if (iicp_json_copy(&v, r->base, sizeof r->base) < 0 || iicp_url_parse(iicp_str(r->base), &r->url) < 0) {
                r->base[0] = '\0';
                return false;
        }
        for (n = strlen(r->base); n > 0 && r->base[n - 1] == '/'; n--)
                r->base[n - 1] = '\0';
        return true;
}

static bool relayed(const struct iicp_json *object, const struct iicp_relay *r) {
        struct iicp_json v = iicp_json_get(object, "transport_method");

        return strstr(r->base, "/v1/relay-for/") || iicp_json_is(&v, "turn_relay");
}

/* Missing and null are no load at all. */
static bool read_load(const struct iicp_json *object, struct iicp_relay *r) {
        struct iicp_json v = iicp_json_get(object, "relay_load");

        if (v.type == IICP_JSON_NONE)
                v = iicp_json_get(object, "load");
        if (v.type == IICP_JSON_NONE || v.type == IICP_JSON_NULL)
                return true;
        if (iicp_json_double(&v, &r->load) == 0 && isfinite(r->load) && r->load >= 0)
                return true;
        r->load = 0;
        return false;
}

static bool read_port(const struct iicp_json *object, struct iicp_relay *r) {
        struct iicp_json v = iicp_json_get(object, "relay_accept_port");
        int64_t port;

        r->port = IICP_RELAY_PORT;
        if (v.type == IICP_JSON_NONE || v.type == IICP_JSON_NULL)
                return true;
        if (iicp_json_int(&v, &port) < 0 || port < 1 || port > 65535)
                return false;
        r->port = (uint16_t) port;
        return true;
}

static bool read_reputation(const struct iicp_elector *e, const struct iicp_json *object, struct iicp_relay *r) {
        struct iicp_json v = iicp_json_get(object, "reputation_score");

        r->reputation = -1;
        if (iicp_json_double(&v, &r->reputation) < 0 || !isfinite(r->reputation)) {
                r->reputation = -1;
                return e->source == IICP_RELAY_FROM_GOSSIP;
        }
        return r->reputation >= IICP_RELAY_REPUTATION_MIN;
}

/* What is wrong first, in the order in which people would ask. */
static enum iicp_relay_verdict judge(const struct iicp_elector *e, const struct iicp_json *object, struct iicp_relay *r) {
        struct iicp_json capable = iicp_json_get(object, "relay_capable"), available = iicp_json_get(object, "available"),
                         probation = iicp_json_get(object, "probation");
        bool id = read_id(object, r), endpoint = read_endpoint(object, r), load = read_load(object, r),
             port = read_port(object, r), reputation = read_reputation(e, object, r);

        r->probation = probation.type == IICP_JSON_TRUE;
        if (!id)
                return IICP_RELAY_NO_ID;
        if (strcmp(r->node_id, e->worker_id) == 0)
                return IICP_RELAY_SELF;
        if (capable.type != IICP_JSON_TRUE)
                return IICP_RELAY_NOT_CAPABLE;
        if (!endpoint)
                return IICP_RELAY_NO_ENDPOINT;
        if (relayed(object, r))
                return IICP_RELAY_RELAYED;
        if (!e->allow_private && iicp_endpoint_host_allowed(&r->url, IICP_ENDPOINT_DIAL) < 0)
                return IICP_RELAY_ADDRESS;
        if (available.type == IICP_JSON_FALSE)
                return IICP_RELAY_UNAVAILABLE;
        if (!load)
                return IICP_RELAY_BAD_LOAD;
        if (!port)
                return IICP_RELAY_BAD_PORT;
        return reputation ? IICP_RELAY_ELIGIBLE : IICP_RELAY_REPUTATION;
}

int iicp_relay_read(const struct iicp_elector *e, const struct iicp_json *object, struct iicp_relay *ret) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};

        if (object->type != IICP_JSON_OBJECT)
                return -EINVAL;
        *ret = (struct iicp_relay){.reputation = -1};
        ret->verdict = judge(e, object, ret);
        iicp_buf_puts(&text, e->worker_id);
        iicp_buf_puts(&text, ":");
        iicp_buf_puts(&text, ret->node_id);
        return text.error ? text.error : iicp_sha256(iicp_buf_str(&text), ret->tie);
}

/* ---- the order ---- */

static int compare(const void *x, const void *y) {
        const struct iicp_relay *a = x, *b = y;
        bool out_a = a->verdict != IICP_RELAY_ELIGIBLE, out_b = b->verdict != IICP_RELAY_ELIGIBLE;
        int r;

        if (out_a != out_b)
                return out_a ? 1 : -1;
        if (a->probation != b->probation)
                return a->probation ? 1 : -1;
        if (a->load < b->load)
                return -1;
        if (a->load > b->load)
                return 1;
        r = memcmp(a->tie, b->tie, sizeof a->tie);
        return r ? r : strcmp(a->base, b->base);
}

void iicp_relay_sort(struct iicp_relay *relays, size_t n) {
        if (n > 1)
                qsort(relays, n, sizeof *relays, compare);
}

/* ---- after the bind ---- */

static bool fits(int n, size_t cap) {
        return n >= 0 && (size_t) n < cap;
}

int iicp_relay_route(const char *base, const char *host, unsigned ack_port, const char *worker_id,
                     struct iicp_relay_route *ret) {
        struct iicp_relay_route r = {0};
        struct iicp_url url;
        size_t n;

        if (base)
                n = (size_t) snprintf(r.base, sizeof r.base, "%s", base);
        else
                n = (size_t) snprintf(r.base, sizeof r.base, strchr(host, ':') ? "http://[%s]:%u" : "http://%s:%u", host,
                                      ack_port ? ack_port : IICP_RELAY_HTTP_PORT);
        if (n >= sizeof r.base)
                return -EINVAL;
        for (; n > 0 && r.base[n - 1] == '/'; n--)
                r.base[n - 1] = '\0';
        if (iicp_url_parse(iicp_str(r.base), &url) < 0)
                return -EINVAL;
        memcpy(r.host, url.host, sizeof r.host);
        r.port = url.port;
        if (!fits(snprintf(r.endpoint, sizeof r.endpoint, "%s/v1/relay-for/%s", r.base, worker_id), sizeof r.endpoint))
                return -EINVAL;
        *ret = r;
        return 0;
}

/* ---- what an operator writes ---- */

static int port_parse(struct iicp_str text, uint16_t *ret) {
        unsigned v = 0;

        if (text.n == 0 || text.n > 5)
                return -EINVAL;
        for (size_t i = 0; i < text.n; i++) {
                if (text.p[i] < '0' || text.p[i] > '9')
                        return -EINVAL;
                v = v * 10 + (unsigned) (text.p[i] - '0');
        }
        if (v < 1 || v > 65535)
                return -EINVAL;
        *ret = (uint16_t) v;
        return 0;
}

int iicp_relay_host_parse(struct iicp_str text, char host[254], uint16_t *ret_port) {
        struct iicp_str name = text, port = IICP_STR_NONE;
        const char *colon = text.n ? memchr(text.p, ':', text.n) : NULL, *close;
        char url[300];
        struct iicp_url parsed;
        uint16_t number = IICP_RELAY_PORT;
        bool v6 = false;

        if (text.n > 0 && text.p[0] == '[') {
                close = memchr(text.p, ']', text.n);
                if (!close)
                        return -EINVAL;
                name = (struct iicp_str){text.p + 1, (size_t) (close - text.p) - 1};
                port = (struct iicp_str){close + 1, text.n - name.n - 2};
                if (port.n > 0 && port.p[0] != ':')
                        return -EINVAL;
                if (port.n > 0)
                        port = (struct iicp_str){port.p + 1, port.n - 1};
                else
                        port = IICP_STR_NONE;
                v6 = true;
        } else if (colon && memchr(colon + 1, ':', text.n - (size_t) (colon - text.p) - 1)) {
                v6 = true; /* an address without brackets has no port */
        } else if (colon) {
                name.n = (size_t) (colon - text.p);
                port = (struct iicp_str){colon + 1, text.n - name.n - 1};
        }
        if (name.n == 0 || name.n > 253 || (port.p && port_parse(port, &number) < 0))
                return -EINVAL;
        snprintf(url, sizeof url, v6 ? "http://[%.*s]" : "http://%.*s", (int) name.n, name.p);
        if (iicp_url_parse(iicp_str(url), &parsed) < 0 || parsed.path[0] || parsed.port_explicit)
                return -EINVAL;
        memcpy(host, parsed.host, sizeof parsed.host);
        *ret_port = number;
        return 0;
}
