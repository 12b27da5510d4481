/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "listener.h"
#include "log.h"
#include "peer.h"
#include "port.h"
#include "reach/routes.h"
#include "tickets.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/uuid.h>
#include <math.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

uint64_t relay_now(const struct relay *r) {
        return clock_mono_ms(r->node->clock);
}

unsigned relay_max_sessions(const struct relay *r) {
        unsigned configured = r->node->config->relay_max_sessions;

        return configured ? configured : MAX(listener_open_files() / 2, (unsigned) RELAY_MIN_SESSIONS);
}

/* ---- sources ---- */

void relay_source_key(const struct relay *r, const struct sockaddr *source, uint8_t out[8]) {
        struct peer_source bytes = {};
        uint8_t mac[EVP_MAX_MD_SIZE];
        unsigned n;

        memset(out, 0, 8);
        peer_source_of(source, &bytes);
        if (HMAC(EVP_sha256(), r->key, sizeof r->key, (const uint8_t *) &bytes, sizeof bytes, mac, &n))
                memcpy(out, mac, 8);
}

void relay_source_hash(const struct relay *r, const struct sockaddr *source, char out[RELAY_HASH]) {
        uint8_t key[8];

        relay_source_key(r, source, key);
        iicp_hex(key, (RELAY_HASH - 1) / 2, out);
}

/* ---- life of a session ---- */

bool relay_session_alive(const struct relay_session *s) {
        return s->parked > 0 || relay_now(s->relay) - s->heard_ms < IICP_RELAY_ALIVE_MS;
}

/* The count follows what is the case; a late pull brings a dead session back. */
static void count(struct relay_session *s, bool alive) {
        if (s->counted == alive)
                return;
        s->counted = alive;
        s->relay->alive += alive ? 1u : -1u;
        s->relay->dead += alive ? -1u : 1u;
}

void relay_session_heard(struct relay_session *s) {
        s->heard_ms = relay_now(s->relay);
        count(s, true);
}

void relay_session_parked(struct relay_session *s, int change) {
        s->parked = (unsigned) ((int) s->parked + change);
        relay_session_heard(s);
}

struct relay_session *relay_find(struct relay *r, struct iicp_str worker_id) {
        struct relay_session *s = NULL;

        if (worker_id.n > 0 && worker_id.n <= IICP_WORKER_ID_MAX)
                HASH_FIND(hh, r->sessions, worker_id.p, worker_id.n, s);
        return s;
}

static void session_free(struct relay_session *s) {
        free(s->models);
        free(s->intent);
        free(s);
}

void relay_session_drop(struct relay_session *s) {
        struct relay *r = s->relay;

        HASH_DEL(r->sessions, s);
        if (s->counted)
                r->alive--;
        else
                r->dead--;
        relay_calls_fail(s, RELAY_LOST);
}

void relay_session_end(struct relay_session *s, enum relay_end why) {
        const struct relay_transport *transport = s->transport;
        void *link = s->link;

        s->relay->counts.dead += why == RELAY_END_DEAD;
        relay_session_drop(s);
        session_free(s);
        transport->end(link, why);
}

void relay_unbind(struct relay_session *s) {
        relay_session_drop(s);
        session_free(s);
}

/* ---- the look at all of them ---- */

static void look(struct relay_session *s) {
        struct relay *r = s->relay;
        uint64_t silent = relay_now(r) - s->heard_ms;

        if (relay_session_alive(s))
                return;
        if (!s->transport->revives || silent >= IICP_RELAY_ALIVE_MS + RELAY_DEAD_KEPT_MS) {
                relay_session_end(s, RELAY_END_DEAD);
                return;
        }
        if (s->counted)
                r->counts.dead++;
        count(s, false);
        relay_calls_fail(s, RELAY_LOST);
}

void relay_sweep(struct relay *r) {
        struct relay_session *s, *next;

        r->swept_ms = relay_now(r);
        for (s = r->sessions; s; s = next) {
                next = s->hh.next;
                look(s);
        }
        /* the table keeps the order of binding: the oldest dead ones go */
        for (s = r->sessions; s && r->dead > RELAY_DEAD_MAX; s = next) {
                next = s->hh.next;
                if (!s->counted)
                        relay_session_end(s, RELAY_END_DEAD);
        }
}

static void on_sweep(void *arg) {
        struct relay *r = arg;

        relay_sweep(r);
        relay_tickets_expire(r->tickets);
        timer_set_ms(&r->sweep, RELAY_SWEEP_MS);
}

/* ---- kicking ---- */

static void forget_kicked(struct relay *r, struct relay_held_out *k) {
        HASH_DEL(r->kicked, k);
        free(k);
}

bool relay_is_held_out(struct relay *r, struct iicp_str worker_id) {
        struct relay_held_out *k = NULL;

        HASH_FIND(hh, r->kicked, worker_id.p, worker_id.n, k);
        if (!k || relay_now(r) < k->until_ms)
                return k != NULL;
        forget_kicked(r, k);
        return false;
}

static int hold_out(struct relay *r, struct iicp_str worker_id, uint64_t hold_ms) {
        struct relay_held_out *k = NULL;

        HASH_FIND(hh, r->kicked, worker_id.p, worker_id.n, k);
        if (!k) {
                if (HASH_COUNT(r->kicked) >= RELAY_KICKED_MAX)
                        forget_kicked(r, r->kicked);
                k = calloc(1, sizeof *k + worker_id.n + 1);
                if (!k)
                        return -ENOMEM;
                memcpy(k->worker_id, worker_id.p, worker_id.n);
                HASH_ADD_KEYPTR(hh, r->kicked, k->worker_id, worker_id.n, k);
        }
        k->until_ms = relay_now(r) + hold_ms;
        return 0;
}

int relay_kick(struct relay *r, struct iicp_str worker_id, uint64_t hold_ms) {
        struct relay_session *s = relay_find(r, worker_id);

        if (!s)
                return -ENOENT;
        if (hold_ms > 0 && hold_out(r, worker_id, hold_ms) < 0)
                return -ENOMEM;
        log_notice("session_kicked", "worker %s was sent away%s", s->worker_id, hold_ms ? " and is kept out for a while" : "");
        r->counts.kicks++;
        relay_session_end(s, RELAY_END_KICKED);
        return 0;
}

void relay_each_held_out(struct relay *r, void (*fn)(void *arg, const char *worker_id, uint64_t left_ms), void *arg) {
        uint64_t now = relay_now(r);

        for (const struct relay_held_out *k = r->kicked; k; k = k->hh.next)
                if (k->until_ms > now)
                        fn(arg, k->worker_id, k->until_ms - now);
}

/* ---- looking ---- */

void relay_session_view(const struct relay_session *s, struct relay_session_view *ret) {
        uint64_t now = relay_now(s->relay);

        *ret = (struct relay_session_view){
                .worker_id = iicp_str(s->worker_id), .intent = iicp_str(s->intent),
                .models = s->models ? iicp_str(s->models) : IICP_STR("[]"),
                .transport = s->transport->name, .source_hash = s->source,
                .alive = relay_session_alive(s), .ticket = s->ticket, .lifecycle = s->lifecycle,
                .age_ms = now - s->since_ms, .silent_ms = s->parked ? 0 : now - s->heard_ms,
                .in_flight = s->in_flight, .pulls = s->parked, .calls = s->n_calls, .failures = s->n_failures,
                .bytes_to = s->bytes_to, .bytes_from = s->bytes_from, .latency_ms = s->latency_ms,
        };
}

void relay_each(struct relay *r, bool (*fn)(void *arg, const struct relay_session *s), void *arg) {
        for (const struct relay_session *s = r->sessions; s; s = s->hh.next)
                if (!fn(arg, s))
                        return;
}

void relay_counts(const struct relay *r, struct relay_counts *ret) {
        *ret = r->counts;
        ret->sessions = r->alive;
        ret->max_sessions = relay_max_sessions(r);
        ret->sources = rate_count(r->binds);
}

unsigned relay_sessions_of(const struct relay *r, const char *transport) {
        unsigned n = 0;

        for (const struct relay_session *s = r->sessions; s; s = s->hh.next)
                n += s->counted && strcmp(s->transport->name, transport) == 0;
        return n;
}

double relay_load(const struct relay *r) {
        return round((double) r->alive / relay_max_sessions(r) * 1e6) / 1e6;
}

void relay_json(const struct relay *r, struct iicp_buf *out) {
        static const char *const modes[] = {[TICKETS_OFF] = "off", [TICKETS_SOFT] = "soft", [TICKETS_REQUIRED] = "required"};

        iicp_buf_printf(out, "{\"port\":%u,\"tls\":%s,\"plaintext\":%s,\"sessions\":%u,\"max_sessions\":%u,\"in_flight\":%u,"
                        "\"tickets\":\"%s\",\"ticket_key\":%s,\"tickets_used\":%u,\"load\":%.6g}",
                        relay_port(r), relay_port_tls(r->port) ? "true" : "false", relay_port_plain(r->port) ? "true" : "false",
                        r->alive, relay_max_sessions(r), r->counts.in_flight, modes[r->node->config->relay_tickets],
                        relay_tickets_key_known(r->tickets) ? "true" : "false", relay_tickets_live(r->tickets), relay_load(r));
}

uint16_t relay_port(const struct relay *r) {
        return relay_port_number(r->port);
}

bool relay_declared(const struct relay *r) {
        return r && relay_port(r) != 0 && routes_relay_open(r->node->routes);
}

/* ---- life ---- */

int relay_new(struct node *node, struct relay **ret, char *why, size_t why_cap) {
        struct relay *r;
        int e;

        if (!node->config->relay_operator)
                return 0;
        r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->node = node;
        timer_init(&r->sweep, node->loop, on_sweep, r);
        e = iicp_random(r->key, sizeof r->key);
        if (e == 0 && (!(r->binds = rate_new()) || !(r->forged = rate_new())))
                e = -ENOMEM;
        if (e == 0)
                e = relay_tickets_new(node, &r->tickets);
        if (e == 0)
                e = relay_port_new(r, &r->port, why, why_cap);
        if (e < 0) {
                relay_free(r);
                return e;
        }
        *ret = r;
        return 0;
}

static void end_all(struct relay *r) {
        while (r->sessions)
                relay_session_end(r->sessions, RELAY_END_STOPPING);
}

struct relay *relay_free(struct relay *r) {
        if (!r)
                return NULL;
        timer_clear(&r->sweep);
        r->idle = NULL;
        end_all(r);
        while (r->kicked)
                forget_kicked(r, r->kicked);
        r->port = relay_port_free(r->port);
        r->tickets = relay_tickets_free(r->tickets);
        r->binds = rate_free(r->binds);
        r->forged = rate_free(r->forged);
        explicit_bzero(r->key, sizeof r->key);
        free(r);
        return NULL;
}

int relay_start(struct relay *r) {
        timer_set_ms(&r->sweep, RELAY_SWEEP_MS);
        return relay_port_accept(r->port);
}

static void now_idle(void *arg) {
        struct relay *r = arg;

        if (r->idle)
                TAKE_PTR(r->idle)(r->idle_arg);
}

void relay_look_idle(struct relay *r) {
        if (r->idle && r->counts.in_flight == 0)
                loop_defer(r->node->loop, now_idle, r);
}

void relay_drain(struct relay *r, void (*idle)(void *arg), void *arg) {
        r->stopping = true;
        r->idle = idle;
        r->idle_arg = arg;
        relay_port_stop(r->port);
        relay_look_idle(r);
}

unsigned relay_in_flight(const struct relay *r) {
        return r->counts.in_flight;
}

void relay_stop(struct relay *r) {
        r->stopping = true;
        relay_port_stop(r->port);
        end_all(r);
}
