/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/gossip.h>

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/endpoint.h>
#include <iicp/time.h>
#include <math.h>

/* ---- entries ---- */

/* Older forms write the time of the last contact as text. */
static int entry_time(const struct iicp_json *entry, const struct iicp_gossip_rules *rules, int64_t *ret) {
        struct iicp_json ms = iicp_json_get(entry, "last_seen_ms"), at = iicp_json_get(entry, "last_seen");
        char text[64];
        int64_t s;

        if (iicp_json_int(&ms, ret) == 0)
                return *ret >= 0 ? 0 : -EINVAL;
        if (iicp_json_copy(&at, text, sizeof text) == 0 && text[0]) {
                s = iicp_time_parse(text);
                if (s < 0 || s > INT64_MAX / 1000)
                        return -EINVAL;
                *ret = s * 1000;
                return 0;
        }
        if (!rules->from_directory)
                return -EINVAL;
        *ret = rules->now_ms;
        return 0;
}

/* A number, or its text, as shipped nodes take it. */
static double entry_number(const struct iicp_json *o, const char *name) {
        struct iicp_json v = iicp_json_get(o, name);
        char text[32], *end;
        double d;

        if (iicp_json_double(&v, &d) == 0)
                return d;
        if (iicp_json_copy(&v, text, sizeof text) < 0 || !text[0])
                return NAN;
        d = strtod(text, &end);
        return *end ? (double) NAN : d;
}

static bool entry_true(const struct iicp_json *o, const char *name) {
        struct iicp_json v = iicp_json_get(o, name);

        return v.type == IICP_JSON_TRUE || (v.type == IICP_JSON_NUMBER && entry_number(o, name) != 0);
}

static void entry_relay(const struct iicp_json *o, struct iicp_gossip_peer *p) {
        double port = entry_number(o, "relay_accept_port"), load = entry_number(o, "relay_load");

        p->relay_capable = entry_true(o, "relay_capable");
        p->relay_port = port >= 1 && port <= 65535 ? (uint16_t) port : IICP_GOSSIP_RELAY_PORT;
        p->relay_load = load > 0 ? fmin(load, 1.0) : 0;
}

static bool endpoint_allowed(const char *endpoint, bool allow_private) {
        struct iicp_url url;

        return iicp_url_parse(iicp_str(endpoint), &url) == 0 &&
               (allow_private || iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER) == 0);
}

int iicp_gossip_entry(const struct iicp_json *entry, const struct iicp_gossip_rules *rules,
                      struct iicp_gossip_peer *ret) {
        struct iicp_gossip_peer p = {0};
        struct iicp_json id = iicp_json_get(entry, "node_id"), endpoint = iicp_json_get(entry, "endpoint"),
                         region = iicp_json_get(entry, "region");
        int r;

        if (entry->type != IICP_JSON_OBJECT || iicp_json_copy(&id, p.node_id, sizeof p.node_id) < 0 || !p.node_id[0] ||
            strcmp(p.node_id, rules->own_id) == 0 || iicp_json_copy(&endpoint, p.endpoint, sizeof p.endpoint) < 0 ||
            !endpoint_allowed(p.endpoint, rules->allow_private))
                return -EINVAL;
        if (iicp_json_copy(&region, p.region, sizeof p.region) < 0)
                p.region[0] = '\0';
        r = entry_time(entry, rules, &p.seen_ms);
        if (r < 0 || p.seen_ms < rules->now_ms - IICP_GOSSIP_FRESH_MS)
                return -EINVAL;
        p.seen_ms = MIN(p.seen_ms, rules->now_ms);
        entry_relay(entry, &p);
        *ret = p;
        return 0;
}

int iicp_gossip_list(struct iicp_str body, const struct iicp_gossip_rules *rules,
                     void (*fn)(void *arg, const struct iicp_gossip_peer *peer), void *arg) {
        struct iicp_json answer, list, entry;
        struct iicp_gossip_peer p;
        struct iicp_json_iter it;
        unsigned looked = 0;
        int n = 0;

        if (body.n > IICP_GOSSIP_BODY_MAX || iicp_json_scan(body, NULL, NULL, &answer) < 0 ||
            answer.type != IICP_JSON_OBJECT)
                return -EBADMSG;
        list = iicp_json_get(&answer, "new_peers");
        if (list.type != IICP_JSON_ARRAY)
                list = iicp_json_get(&answer, "peers");
        if (list.type != IICP_JSON_ARRAY)
                return -EBADMSG;
        iicp_json_iter_init(&it, &list);
        while (looked++ < IICP_GOSSIP_READ_PEERS && iicp_json_next(&it, NULL, &entry))
                if (iicp_gossip_entry(&entry, rules, &p) == 0) {
                        fn(arg, &p);
                        n++;
                }
        return n;
}

/* ---- a request that came ---- */

enum iicp_refusal_id iicp_gossip_open(struct iicp_str body, struct iicp_str signature, const char *own_id,
                                      struct iicp_gossip_request *ret) {
        struct iicp_gossip_request r = {.bytes = body};
        struct iicp_json sender;
        size_t n;

        if (body.n > IICP_GOSSIP_BODY_MAX)
                return IICP_REFUSE_TOO_LARGE;
        if (!signature.p)
                return IICP_REFUSE_UNAUTHORIZED;
        if (iicp_json_scan(body, NULL, NULL, &r.body) < 0 || r.body.type != IICP_JSON_OBJECT)
                return IICP_REFUSE_VALIDATION;
        sender = iicp_json_get(&r.body, "sender_id");
        if (sender.type != IICP_JSON_STRING)
                return IICP_REFUSE_UNAUTHORIZED;
        if (iicp_json_copy(&sender, r.sender_id, sizeof r.sender_id) < 0 || !r.sender_id[0] ||
            strcmp(r.sender_id, own_id) == 0 || iicp_hex_decode(signature, r.signature, sizeof r.signature, &n) < 0 ||
            n != sizeof r.signature)
                return IICP_REFUSE_FORBIDDEN;
        *ret = r;
        return IICP_REFUSE_NONE;
}

enum iicp_refusal_id iicp_gossip_check(const struct iicp_gossip_request *r, const uint8_t key[IICP_SIGN_KEY],
                                       int64_t now_ms) {
        struct iicp_json at = iicp_json_get(&r->body, "timestamp_ms");
        int64_t t;

        if (!iicp_sign_verify(key, r->bytes, r->signature))
                return IICP_REFUSE_FORBIDDEN;
        if (iicp_json_int(&at, &t) < 0 || t < now_ms - IICP_GOSSIP_CLOCK_MS || t > now_ms + IICP_GOSSIP_CLOCK_MS ||
            iicp_json_get(&r->body, "known_peers").type != IICP_JSON_ARRAY)
                return IICP_REFUSE_VALIDATION;
        return IICP_REFUSE_NONE;
}

void iicp_gossip_known(const struct iicp_gossip_request *r, void (*fn)(void *arg, const char *node_id), void *arg) {
        struct iicp_json list = iicp_json_get(&r->body, "known_peers"), id;
        struct iicp_json_iter it;
        unsigned looked = 0;
        char text[IICP_GOSSIP_ID_MAX];

        if (list.type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, &list);
        while (looked++ < IICP_GOSSIP_READ_IDS && iicp_json_next(&it, NULL, &id))
                if (iicp_json_copy(&id, text, sizeof text) == 0)
                        fn(arg, text);
}

bool iicp_gossip_sender(const struct iicp_gossip_request *r, struct iicp_gossip_peer *ret) {
        struct iicp_json sender = iicp_json_get(&r->body, "sender");

        if (sender.type != IICP_JSON_OBJECT)
                return false;
        entry_relay(&sender, ret);
        return true;
}

/* ---- what we write ---- */

static void put(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_puts(out, name);
        iicp_buf_json_str(out, iicp_str(value));
}

static void put_relay(struct iicp_buf *out, const struct iicp_gossip_peer *p) {
        iicp_buf_printf(out, ",\"relay_capable\":true,\"relay_accept_port\":%u,\"relay_load\":%.6f", p->relay_port,
                        p->relay_load);
}

void iicp_gossip_request_begin(const char *own_id, struct iicp_buf *out) {
        put(out, "{\"sender_id\":", own_id);
        iicp_buf_puts(out, ",\"known_peers\":[");
}

void iicp_gossip_request_id(const char *node_id, unsigned i, struct iicp_buf *out) {
        if (i < IICP_GOSSIP_IDS_MAX)
                put(out, i ? "," : "", node_id);
}

void iicp_gossip_request_end(int64_t now_ms, const struct iicp_gossip_peer *self, struct iicp_buf *out) {
        iicp_buf_printf(out, "],\"timestamp_ms\":%lld,\"ttl_s\":%d", (long long) now_ms, IICP_GOSSIP_FRESH_MS / 1000);
        if (self) {
                put(out, ",\"sender\":{\"endpoint\":", self->endpoint);
                put(out, ",\"region\":", self->region);
                if (self->relay_capable)
                        put_relay(out, self);
                else
                        iicp_buf_puts(out, ",\"relay_capable\":false");
                iicp_buf_puts(out, "}");
        }
        iicp_buf_puts(out, "}");
}

static void put_list(const struct iicp_gossip_peer *peers, size_t n, struct iicp_buf *out) {
        for (size_t i = 0; i < n; i++) {
                put(out, i ? ",{\"node_id\":" : "{\"node_id\":", peers[i].node_id);
                put(out, ",\"endpoint\":", peers[i].endpoint);
                put(out, ",\"region\":", peers[i].region);
                iicp_buf_printf(out, ",\"last_seen_ms\":%lld", (long long) peers[i].seen_ms);
                if (peers[i].relay_capable)
                        put_relay(out, &peers[i]);
                iicp_buf_puts(out, "}");
        }
}

void iicp_gossip_answer(const char *own_id, const struct iicp_gossip_peer *peers, size_t n, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"new_peers\":[");
        put_list(peers, n, out);
        iicp_buf_puts(out, "],\"peers\":[");
        put_list(peers, n, out);
        put(out, "],\"receiver_id\":", own_id);
        iicp_buf_puts(out, "}");
}

/* ---- keys ---- */

int iicp_gossip_key(struct iicp_str body, uint8_t ret[IICP_SIGN_KEY]) {
        struct iicp_json o, node, key;
        uint8_t bytes[IICP_SIGN_KEY];
        char text[72];
        size_t n = 0;

        if (iicp_json_scan(body, NULL, NULL, &o) < 0 || o.type != IICP_JSON_OBJECT)
                return -ENOENT;
        node = iicp_json_get(&o, "node");
        key = iicp_json_get(node.type == IICP_JSON_OBJECT ? &node : &o, "public_key");
        if (iicp_json_copy(&key, text, sizeof text) < 0)
                return -ENOENT;
        if ((iicp_hex_decode(iicp_str(text), bytes, sizeof bytes, &n) < 0 || n != sizeof bytes) &&
            (iicp_b64_decode(iicp_str(text), bytes, sizeof bytes, &n) < 0 || n != sizeof bytes) &&
            (iicp_b64url_decode(iicp_str(text), bytes, sizeof bytes, &n) < 0 || n != sizeof bytes))
                return -ENOENT;
        memcpy(ret, bytes, sizeof bytes);
        return 0;
}
