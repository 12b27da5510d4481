/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "log.h"
#include "state.h"
#include "state_file.h"
#include "util.h"

#include <iicp/codec.h>
#include <iicp/uuid.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

/* What routers have opened for us: renewed at half of the grant, looked at, closed. [04 section 5.4] */

#define RENEW_RETRY_MS 10000      /* doubled up to RENEW_RETRY_MAX_MS */
#define RENEW_RETRY_MAX_MS 300000
#define PERMANENT_LOOK_MS 1800000 /* a mapping without an end */
#define RECREATE_SHARE 80         /* per cent of the lease, then from scratch */
#define STATE_NAME "nat-state.json"

static void lease_lost(struct routes *r, struct kept_lease *k, const char *reason) {
        log_warn("route_lost", "the router dropped our %s: looking again",
                 k == &r->relay ? "mapping of the relay port" : k->lease.pinhole ? "pinhole" : "mapping");
        k->held = false;
        timer_clear(&k->timer);
        keep_save(r);
        routes_look(r, reason, false);
}

static uint64_t jitter(uint64_t ms) {
        unsigned char b;

        if (iicp_random(&b, 1) < 0)
                return ms;
        return ms - ms / 20 + ms / 10 * b / 255; /* +- 5 % */
}

static void arm(struct kept_lease *k) {
        uint32_t s = lease_renewal_s(k->lease.lease_s);

        /* A router that grants a second must not keep us busy. */
        timer_set_ms(&k->timer, k->lease.lease_s ? jitter((uint64_t) MAX(s, 1u) * 1000) : PERMANENT_LOOK_MS);
}

/* retry_s: the router does not want to be asked before. */
static void renew_failed(struct routes *r, struct kept_lease *k, uint32_t retry_s) {
        uint64_t age_ms = routes_now(r) - k->granted_ms, life_ms = (uint64_t) k->lease.lease_s * 1000;
        uint64_t wait_ms = (uint64_t) RENEW_RETRY_MS << MIN(k->failures, 5u);

        k->failures++;
        k->renewals_failed++;
        if (k->lease.lease_s && age_ms >= life_ms / 100 * RECREATE_SHARE) {
                lease_lost(r, k, "lease");
                return;
        }
        timer_set_ms(&k->timer, MAX(MIN(wait_ms, (uint64_t) RENEW_RETRY_MAX_MS), (uint64_t) retry_s * 1000));
}

/* Another port or another address outside is another route. */
static bool moved(const struct gateway_lease *before, const struct gateway_lease *now) {
        return now->external != before->external ||
               (now->external_ip[0] && before->external_ip[0] && strcmp(now->external_ip, before->external_ip) != 0);
}

/* What this renewal has mended by the way is lost of the other leases of the same gateway. */
static void others_if_reset(struct routes *r, struct kept_lease *k, const struct gateway_lease *now) {
        bool reset = epoch_says_reset(k, now->protocol == MAP_PCP, now->epoch, routes_now(r));

        k->lease.epoch = now->epoch;
        k->epoch_ms = routes_now(r);
        if (reset)
                hear_epoch(r, now->gateway, now->protocol == MAP_PCP, now->epoch);
}

static void renewed(struct routes *r, struct router_call *c) {
        struct kept_lease *k = c->of;

        if (!k->held)
                return;
        if (c->result.lost) {
                lease_lost(r, k, "lease");
                return;
        }
        if (!c->result.granted) {
                renew_failed(r, k, c->result.retry_s);
                return;
        }
        k->failures = 0;
        k->renewals++;
        k->granted_ms = routes_now(r);
        if (k->lease.epoch && c->result.lease.epoch)
                others_if_reset(r, k, &c->result.lease);
        k->epoch_ms = k->granted_ms;
        if (moved(&k->lease, &c->result.lease)) {
                k->lease = c->result.lease;
                keep_save(r);
                arm(k);
                routes_look(r, "mapping moved", false);
                return;
        }
        k->lease = c->result.lease;
        keep_save(r);
        arm(k);
        log_debug("lease_renewed", "the %s of port %u is renewed for %u s", k->lease.pinhole ? "pinhole" : "mapping",
                  k->lease.internal, k->lease.lease_s);
}

static void renew(struct routes *r, struct kept_lease *k) {
        struct router_call *c;

        if (!k->held || r->stopping)
                return;
        if (r->call || r->running) { /* routers are asked one question at a time */
                timer_set_ms(&k->timer, 1000);
                return;
        }
        c = router_call_new(r, ROUTER_RENEW, renewed);
        if (!c) {
                renew_failed(r, k, 0);
                return;
        }
        c->of = k;
        c->lease = k->lease;
        c->job.where = k->where;
        if (!router_ask(r, c, ROUTES_ROUTER_MS))
                renew_failed(r, k, 0);
}

static void renew_mapping(void *arg) {
        struct routes *r = arg;

        renew(r, &r->mapping);
}

static void renew_pinhole(void *arg) {
        struct routes *r = arg;

        renew(r, &r->pinhole);
}

static void renew_relay(void *arg) {
        struct routes *r = arg;

        renew(r, &r->relay);
}

void keep_renew_now(struct routes *r, struct kept_lease *k) {
        (void) r;
        timer_set_ms(&k->timer, 0);
}

void keep_init(struct routes *r) {
        timer_init(&r->mapping.timer, r->node->loop, renew_mapping, r);
        timer_init(&r->pinhole.timer, r->node->loop, renew_pinhole, r);
        timer_init(&r->relay.timer, r->node->loop, renew_relay, r);
}

void keep_lease(struct routes *r, struct kept_lease *k, const struct gateway_lease *l, const struct gateway_where *w) {
        k->held = true;
        k->lease = *l;
        k->where = *w;
        k->failures = 0;
        k->granted_ms = k->epoch_ms = routes_now(r);
        arm(k);
}

void keep_drop(struct routes *r, struct kept_lease *k) {
        (void) r;
        k->held = false;
        if (k->timer.made)
                timer_clear(&k->timer);
}

/* ---- nat-state.json: what a restart after a kill needs to take over, or to close ---- */

static void print_lease(struct iicp_buf *out, const char *name, const struct kept_lease *k, int64_t wall_s, uint64_t now_ms) {
        const struct gateway_lease *l = &k->lease;
        char nonce[2 * PCP_NONCE + 1];

        if (!k->held)
                return;
        iicp_hex(l->nonce, sizeof l->nonce, nonce);
        iicp_buf_printf(out, ",\"%s\":{\"protocol\":\"%s\",\"internal\":%u,\"external\":%u,\"lease_s\":%u,\"ends_at\":%lld,",
                        name, map_protocol_name(l->protocol), l->internal, l->external, l->lease_s,
                        (long long) (wall_s - (int64_t) ((now_ms - k->granted_ms) / 1000) + l->lease_s));
        iicp_buf_puts(out, "\"address\":");
        iicp_buf_json_str(out, iicp_str(l->address));
        iicp_buf_puts(out, ",\"gateway\":");
        iicp_buf_json_str(out, iicp_str(l->gateway));
        iicp_buf_puts(out, ",\"control_url\":");
        iicp_buf_json_str(out, iicp_str(l->control_url));
        iicp_buf_puts(out, ",\"service\":");
        iicp_buf_json_str(out, iicp_str(l->service));
        iicp_buf_puts(out, ",\"unique_id\":");
        iicp_buf_json_str(out, iicp_str(l->unique_id));
        iicp_buf_printf(out, ",\"nonce\":\"%s\"}", nonce);
}

struct save {
        int dir_fd;
        struct iicp_buf text;
        int result;
};

static void save_work(void *arg) {
        struct save *s = arg;

        s->result = state_write_file(s->dir_fd, STATE_NAME, iicp_buf_str(&s->text));
}

static void save_done(void *arg) {
        struct save *s = arg;

        if (s->result < 0)
                log_warn("state_write", "cannot write " STATE_NAME ": %s; a mapping may outlive a crash until its lease ends",
                         strerror(-s->result));
        iicp_buf_free(&s->text);
        free(s);
}

void keep_save(struct routes *r) {
        struct save *s = calloc(1, sizeof *s);
        int64_t wall_s = clock_wall_s(r->node->clock);

        if (!s)
                return;
        s->dir_fd = state_dir_fd(r->node->state);
        iicp_buf_puts(&s->text, "{\"version\":1");
        print_lease(&s->text, "mapping", &r->mapping, wall_s, routes_now(r));
        print_lease(&s->text, "pinhole", &r->pinhole, wall_s, routes_now(r));
        print_lease(&s->text, "relay", &r->relay, wall_s, routes_now(r));
        iicp_buf_puts(&s->text, "}\n");
        if (s->text.error || loop_block(r->node->loop, save_work, save_done, s) < 0) {
                iicp_buf_free(&s->text);
                free(s);
        }
}

/* Of an older process only the nonce counts: a router knows its own mappings, and a PCP server ours
 * by the nonce alone. A mapping of ours under IGD is found again by its address and port. */
static void load_nonce(json_object *doc, const char *name, struct kept_lease *k) {
        json_object *lease = NULL, *protocol = NULL, *nonce = NULL;
        size_t n = 0;

        if (!json_object_object_get_ex(doc, name, &lease) || !json_object_object_get_ex(lease, "protocol", &protocol) ||
            !json_object_object_get_ex(lease, "nonce", &nonce) ||
            strcmp(json_object_get_string(protocol), map_protocol_name(MAP_PCP)) != 0)
                return;
        if (iicp_hex_decode(iicp_str(json_object_get_string(nonce)), k->lease.nonce, sizeof k->lease.nonce, &n) == 0 &&
            n == sizeof k->lease.nonce)
                k->lease.protocol = MAP_PCP;
}

void keep_load(struct routes *r) {
        struct iicp_buf text = {.max = STATE_FILE_MAX};
        json_object *doc = NULL;
        char why[256];

        if (state_file_read(state_dir_fd(r->node->state), STATE_NAME, &text, why, sizeof why) == 0)
                doc = json_tokener_parse(text.p);
        if (json_object_is_type(doc, json_type_object)) {
                load_nonce(doc, "mapping", &r->mapping);
                load_nonce(doc, "pinhole", &r->pinhole);
                load_nonce(doc, "relay", &r->relay);
        }
        json_object_put(doc);
        iicp_buf_free(&text);
}
