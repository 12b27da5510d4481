/* SPDX-License-Identifier: Apache-2.0 */
#include "award.h"
#include "internal.h"
#include "reach/routes.h"
#include "key.h"
#include "../rotation.h"
#include "log.h"
#include "mesh/mesh.h"
#include "../policy.h"
#include "relay/sessions.h"
#include "util.h"
#include "vouch.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <iicp/endpoint.h>
#include <iicp/time.h>
#include <stdio.h>

/* One REGISTER: sent, answered, stored, used.
 * [01 sections 2.7, 2.9] */

#define TOKEN_SHORT 32u /* characters [05 section 2] */
#define RENEW_PERCENT 80
#define RENEW_MAX_S 31536000 /* a year */

static struct registration *registration_free(struct registration *r) {
        if (!r)
                return NULL;
        directory_call_cancel(r->call);
        iicp_buf_wipe(&r->body);
        name_list_free(&r->models);
        free(r);
        return NULL;
}

void registration_cancel(struct directory *d) {
        d->reg = registration_free(d->reg);
}

/* ---- accepted ---- */

static bool printable(const char *s) {
        for (; *s; s++)
                if ((unsigned char) *s < 0x21 || (unsigned char) *s > 0x7e)
                        return false;
        return true;
}

static int take(const struct iicp_json *answer, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(answer, name);
        int r = iicp_json_copy(&v, out, cap);

        return r < 0 ? r : out[0] && printable(out) ? 0 : -EINVAL;
}

/* The HMAC key is any text. */
static int take_text(const struct iicp_json *answer, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(answer, name);
        int r = iicp_json_copy(&v, out, cap);

        return r < 0 ? r : out[0] ? 0 : -EINVAL;
}

static bool node_id_ok(const char *s) {
        if (!isalnum((unsigned char) s[0]))
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && !strchr("._:-", *s))
                        return false;
        return true;
}

/* Token and key change as one; the pending challenge stays and is answered with the new key. */
static int adopt(struct directory *d, const struct iicp_json *answer) {
        struct identity *id = state_identity(d->node->state);
        char token[STATE_TOKEN_MAX + 1], key[STATE_HMAC_KEY_MAX + 1], node_id[sizeof id->node_id];
        int r = take(answer, "node_token", token, sizeof token);

        if (r < 0)
                r = take(answer, "token", token, sizeof token);
        if (r < 0)
                return r;
        if (take_text(answer, "node_hmac_key", key, sizeof key) < 0)
                key[0] = '\0';
        if (strlen(token) < TOKEN_SHORT)
                log_warn("token_short", "the directory issued a token of %zu characters only: it may be guessed; "
                         "tell who runs that directory", strlen(token));
        if (id->node_token[0] && strcmp(id->node_token, token) != 0)
                corridor_token_rotated(d->node->corridor, id->node_token);
        if (take(answer, "node_id", node_id, sizeof node_id) == 0 && node_id_ok(node_id) &&
            strcmp(id->node_id, node_id) != 0) {
                memcpy(id->node_id, node_id, sizeof node_id);
                log_set_node_id(id->node_id);
                log_notice("identity_changed", "the directory lists this node as %.8s: taken over, with a new "
                           "encryption key", id->node_id);
                d->rekeyed = state_rekey(d->node->state, clock_wall_s(d->node->clock)) == 0;
        }
        d->token_generation++;
        memcpy(id->node_token, token, sizeof token);
        memcpy(id->node_hmac_key, key, sizeof key);
        iicp_wipe(token, sizeof token);
        iicp_wipe(key, sizeof key);
        return 0;
}

/* One directory keeps what the first registration said; only a new one changes that, which costs the
 * reputation: the operator's decision. [01 section 2.9, sticky fields] */
static void note_policy(struct directory *d) {
        struct identity *id = state_identity(d->node->state);
        const char *text = policy_block(d->node->policy);

        if (!text)
                text = "none";
        if (!id->registered.policy[0])
                snprintf(id->registered.policy, sizeof id->registered.policy, "%s", text);
        d->policy_sticks = strcmp(id->registered.policy, text) != 0;
        if (d->policy_sticks)
                log_warn("policy_sticks", "the directory may keep the policy of this node's first registration: "
                         "iicpctl deregister and iicpctl reregister change it, and lose the reputation");
}

/* The same with the word that this node is a relay. [03 section 19.4] */
static void note_relay(struct directory *d) {
        struct identity *id = state_identity(d->node->state);
        const char *text = relay_declared(d->node->relay) ? "yes" : "no";

        if (!id->registered.relay[0])
                snprintf(id->registered.relay, sizeof id->registered.relay, "%s", text);
        if (strcmp(id->registered.relay, text) != 0)
                log_warn("relay_sticks", "the directory may keep that this node is %s relay, as at its first registration: "
                         "iicpctl deregister and iicpctl reregister change it, and lose the reputation",
                         id->registered.relay[0] == 'y' ? "a" : "no");
}

static void note_registered(struct directory *d) {
        struct registration *r = d->reg;
        struct identity *id = state_identity(d->node->state);

        id->registered_at = clock_wall_s(d->node->clock);
        snprintf(id->directory_base, sizeof id->directory_base, "%s",
                 d->node->config->directory_url);
        snprintf(id->registered.endpoint, sizeof id->registered.endpoint, "%s", r->endpoint);
        if (!node_transport_endpoint(d->node, id->registered.transport_endpoint))
                id->registered.transport_endpoint[0] = '\0';
        note_policy(d);
        note_relay(d);
        snprintf(id->registered.capability_digest, sizeof id->registered.capability_digest, "%s",
                 r->digest);
        if (!(r->omitted & PART_CX)) {
                snprintf(id->registered.cx_key_id, sizeof id->registered.cx_key_id, "%s",
                         r->cx_key_id);
                if (state_cx_accepted(d->node->state, r->cx_key_id, id->registered_at))
                        rotation_accepted(d->node);
        }
        name_list_free(&d->models);
        d->models = r->models;
        r->models = (struct name_list){0};
}

static void say_registered(struct directory *d) {
        if (d->registrations == 1)
                log_notice("register_ok", "registered: %zu model%s, tier %d, %s", d->models.n,
                           d->models.n == 1 ? "" : "s",
                           routes_live(d->node->routes) && routes_live(d->node->routes)->endpoint[0]
                                   ? routes_live(d->node->routes)->tier
                                   : 0,
                           state_identity(d->node->state)->registered.endpoint);
        else
                log_info("reregister_ok", "registered again: %s",
                         d->reason ? d->reason : "asked for");
}

/* The identity is on the disk: from here on it may be used. */
static void stored(struct directory *d) {
        bool without_cx = d->reg->omitted & PART_CX, old_route = d->reg->old_route;

        d->reg = registration_free(d->reg);
        d->registered = true;
        d->registrations++;
        d->failures = d->liveness_failures = 0;
        d->blocked = d->held = false;
        d->omit &= ~(unsigned) PART_CX;
        d->refused_endpoint[0] = d->last_code[0] = d->last_fields[0] = d->why[0] = '\0';
        say_registered(d);
        directory_good(d);
        recovery_registered(d);
        own_entry_registered(d);
        if (d->rekeyed)
                directory_want(d, "a new id has a new encryption key");
        d->rekeyed = false;
        if (without_cx)
                directory_want(d, "the key goes in again, with proof");
        else
                ladder_over(d);
        if (old_route)
                directory_want(d, "the new route goes in, with proof");
        heartbeat_begin(d);
        directory_keys_registered(d->node->keys);
        mesh_registered(d->node->mesh);
        vouch_registered(d->node->vouch);
        awards_registered(d->node->awards);
        directory_done(d, true);
        directory_advance(d);
}

/* Only where both are addresses of one family: a name, or the other family, says nothing. */
static void compare_source(struct directory *d) {
        struct iicp_url url;
        struct in6_addr seen, ours;
        int family = strchr(d->observed_ip, ':') ? AF_INET6 : AF_INET;

        if (iicp_url_parse(iicp_str(d->reg->endpoint), &url) < 0 ||
            (family == AF_INET6) != url.ipv6 || inet_pton(family, d->observed_ip, &seen) != 1 ||
            inet_pton(family, url.host, &ours) != 1)
                return;
        d->source_differs = memcmp(&seen, &ours, family == AF_INET6 ? 16 : 4) != 0;
        if (d->source_differs)
                log_warn("source_differs", "the directory sees us come from another address than the "
                         "endpoint we register: right behind a load balancer, wrong behind a router "
                         "whose address has changed");
}

/* No directory limits a registration today; one that does is not kept waiting. */
static void note_expiry(struct directory *d, const struct iicp_json *answer) {
        struct iicp_json v = iicp_json_get(answer, "expires_at");
        int64_t now = clock_wall_s(d->node->clock), at = 0;
        char text[40];

        timer_clear(&d->renew);
        if (v.type == IICP_JSON_STRING) {
                if (iicp_json_copy(&v, text, sizeof text) < 0)
                        return;
                at = iicp_time_parse(text);
        } else if (iicp_json_int(&v, &at) < 0) {
                return;
        }
        if (at > now)
                timer_set_ms(&d->renew, (uint64_t) MIN(at - now, (int64_t) RENEW_MAX_S) * 1000 *
                                                RENEW_PERCENT / 100);
}

static void renew(void *arg) {
        struct directory *d = arg;

        directory_want(d, "the registration would end");
        directory_advance(d);
}

void registration_init(struct directory *d) {
        timer_init(&d->renew, d->node->loop, renew, d);
}

static int accepted(struct directory *d, const struct fetch_answer *a) {
        struct iicp_json answer;

        if (!directory_answer_ok(a, 201, &answer) || adopt(d, &answer) < 0)
                return -EINVAL;
        if (take(&answer, "observed_source_ip", d->observed_ip, sizeof d->observed_ip) < 0)
                d->observed_ip[0] = '\0';
        else
                routes_observed(d->node->routes, d->observed_ip);
        routes_registered(d->node->routes);
        compare_source(d);
        note_expiry(d, &answer);
        note_registered(d);
        d->reg->saving = true;
        d->wanted = false;
        directory_save(d, stored);
        return 0;
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;

        d->reg->call = NULL;
        iicp_buf_wipe(&d->reg->body);
        if (accepted(d, a) < 0)
                registration_refused(d, a);
}

/* ---- start ---- */

/* Milliseconds until our own ceilings allow another one: 5 s apart, 10 a minute. */
static uint64_t ceiling(const struct directory *d) {
        uint64_t now = directory_now(d), last, oldest, wait = 0;

        if (d->tries == 0)
                return 0;
        last = d->tried_ms[(d->tries - 1) % REGISTERS_PER_MINUTE];
        if (now - last < REGISTER_SPACING_MS)
                wait = REGISTER_SPACING_MS - (now - last);
        if (d->tries >= REGISTERS_PER_MINUTE) {
                oldest = d->tried_ms[d->tries % REGISTERS_PER_MINUTE];
                if (now - oldest < 60000)
                        wait = MAX(wait, 60000 - (now - oldest));
        }
        return wait;
}

void registration_start(struct directory *d) {
        uint64_t wait = MAX(ceiling(d), directory_breaker_left_ms(d));
        struct registration *r;

        if (wait > 0) {
                timer_set_ms(&d->timer, wait);
                return;
        }
        r = calloc(1, sizeof *r);
        if (r) {
                r->omitted = d->omit;
                r->old_route = d->old_route;
                if (body_register(d, r) == 0)
                        r->call = directory_call(
                                d,
                                &(struct directory_request){.route = DIRECTORY_REGISTER,
                                                            .body = iicp_buf_str(&r->body)},
                                on_answer, d);
        }
        if (!r || !r->call) {
                registration_free(r);
                timer_set_ms(&d->timer, REGISTER_SPACING_MS);
                return;
        }
        d->tried_ms[d->tries++ % REGISTERS_PER_MINUTE] = directory_now(d);
        d->beat.progress_ms = directory_now(d);
        d->reg = r;
}
