/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "key.h"
#include "../rotation.h"
#include "log.h"
#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

/* One REGISTER: sent, answered, stored, or refused and tried again at the time its class says.
 * [01 sections 2.7 to 2.9] */

#define RATE_LIMITED_MS 60000
#define NOT_ROUTABLE_MS 300000u
#define SLOW_MS 300000u
#define OWNERSHIP_MS 30000u
#define OWNERSHIP_MAX_MS 900000u
#define NEVER UINT64_MAX
#define TOKEN_SHORT 32u /* characters [05 section 2] */

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
        memcpy(id->node_token, token, sizeof token);
        memcpy(id->node_hmac_key, key, sizeof key);
        iicp_wipe(token, sizeof token);
        iicp_wipe(key, sizeof key);
        return 0;
}

static void note_registered(struct directory *d) {
        struct registration *r = d->reg;
        struct identity *id = state_identity(d->node->state);

        id->registered_at = clock_wall_s(d->node->clock);
        snprintf(id->directory_base, sizeof id->directory_base, "%s",
                 d->node->config->directory_url);
        snprintf(id->registered.endpoint, sizeof id->registered.endpoint, "%s", r->endpoint);
        id->registered.transport_endpoint[0] = '\0';
        snprintf(id->registered.capability_digest, sizeof id->registered.capability_digest, "%s",
                 r->digest);
        if (!r->without_cx) {
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
                log_notice("register_ok", "registered: %zu model%s, tier 0, %s", d->models.n,
                           d->models.n == 1 ? "" : "s",
                           state_identity(d->node->state)->registered.endpoint);
        else
                log_info("reregister_ok", "registered again: %s",
                         d->reason ? d->reason : "asked for");
}

/* The identity is on the disk: from here on it may be used. */
static void stored(struct directory *d) {
        bool without_cx = d->reg->without_cx;

        d->reg = registration_free(d->reg);
        d->registered = true;
        d->registrations++;
        d->failures = d->liveness_failures = d->ownership_failures = 0;
        d->blocked = d->held = d->omit_cx = false;
        d->refused_endpoint[0] = d->last_code[0] = d->why[0] = '\0';
        say_registered(d);
        directory_good(d);
        recovery_registered(d);
        if (d->rekeyed)
                directory_want(d, "a new id has a new encryption key");
        d->rekeyed = false;
        if (without_cx)
                directory_want(d, "the key goes in again, with proof");
        else
                d->cx_omitted_before = false;
        heartbeat_begin(d);
        directory_keys_registered(d->node->keys);
        directory_advance(d);
}

static int accepted(struct directory *d, const struct fetch_answer *a) {
        struct iicp_json answer;

        if (!directory_answer_ok(a, 201, &answer) || adopt(d, &answer) < 0)
                return -EINVAL;
        if (take(&answer, "observed_source_ip", d->observed_ip, sizeof d->observed_ip) < 0)
                d->observed_ip[0] = '\0';
        note_registered(d);
        d->reg->saving = true;
        d->wanted = false;
        directory_save(d, stored);
        return 0;
}

/* ---- refused ---- */

static uint64_t backoff(struct directory *d) {
        unsigned shift = MIN(d->failures, 6u);
        double ms = (double) MIN(60000u, 1000u << shift) * d->uniform(0.5, 1.0);

        return MAX((uint64_t) ms, (uint64_t) REGISTER_SPACING_MS);
}

static uint64_t given(const struct iicp_directory_error *e, uint64_t otherwise) {
        return e->retry_after_ms >= 0 ? (uint64_t) e->retry_after_ms : otherwise;
}

/* The lost-token ladder: once without our key, which the directory then keeps; else wait for the
 * old route to die, or for the operator. [01 section 2.9, DECISION 9] */
static uint64_t ownership_delay(struct directory *d, const struct iicp_directory_error *e) {
        const struct identity *id = state_identity(d->node->state);
        uint64_t ms;

        if (!d->cx_omitted_before && d->node->config->cx_enabled && id->registered.cx_key_id[0] &&
            strcmp(id->registered.cx_key_id, state_cx_current_id(d->node->state)) == 0) {
                d->omit_cx = d->cx_omitted_before = true;
                return REGISTER_SPACING_MS;
        }
        d->omit_cx = false;
        if (strcmp(e->code, "IICP-E050") != 0) {
                d->blocked = true;
                return SLOW_MS;
        }
        ms = (uint64_t) OWNERSHIP_MS << MIN(d->ownership_failures, 5u);
        d->ownership_failures++;
        return MIN(ms, OWNERSHIP_MAX_MS);
}

static uint64_t liveness_delay(struct directory *d) {
        static const uint64_t steps[] = {5000, 15000, 30000, 60000};

        size_t i = MIN(d->liveness_failures, ARRAY_SIZE(steps) - 1);

        d->liveness_failures++;
        return steps[i];
}

/* How long until the next try; sets blocked where only the operator can help. */
static uint64_t delay_of(struct directory *d, const struct iicp_directory_error *e) {
        d->blocked = false;
        switch (e->cls) {
        case IICP_DIR_RATE_LIMITED:
                return given(e, RATE_LIMITED_MS);
        case IICP_DIR_ENDPOINT_NOT_ROUTABLE:
                snprintf(d->refused_endpoint, sizeof d->refused_endpoint, "%s", d->reg->endpoint);
                return NOT_ROUTABLE_MS;
        case IICP_DIR_LIVENESS_FAILED:
                return liveness_delay(d);
        case IICP_DIR_OWNERSHIP_DENIED:
                return ownership_delay(d, e);
        case IICP_DIR_CAPACITY_REFUSED:
                return SLOW_MS;
        case IICP_DIR_INTENT_REFUSED:
        case IICP_DIR_MEMBERSHIP_DENIED:
                d->blocked = true;
                return NEVER;
        case IICP_DIR_OPERATOR_REFUSED:
        case IICP_DIR_PRICING_REFUSED:
        case IICP_DIR_VALIDATION_ERROR:
                d->blocked = true;
                return SLOW_MS;
        default:
                return MAX(given(e, 0), backoff(d));
        }
}

static const char *meaning(const struct iicp_directory_error *e) {
        switch (e->cls) {
        case IICP_DIR_RATE_LIMITED:
                return "too many registrations from this address";
        case IICP_DIR_ENDPOINT_NOT_ROUTABLE:
                return "our endpoint is not public";
        case IICP_DIR_LIVENESS_FAILED:
                return "it could not reach our endpoint";
        case IICP_DIR_OWNERSHIP_DENIED:
                return "it does not take us for the owner of this identity";
        case IICP_DIR_CAPACITY_REFUSED:
                return "too many nodes behind this address";
        case IICP_DIR_INTENT_REFUSED:
                return "it does not list this kind of task";
        case IICP_DIR_MEMBERSHIP_DENIED:
                return "we are no member of its domain";
        case IICP_DIR_SERVER_ERROR:
                return "it has a fault of its own";
        case IICP_DIR_TRANSPORT:
                return "no answer";
        case IICP_DIR_VALIDATION_ERROR:
                return "it takes a field for wrong";
        default:
                return "refused";
        }
}

static void say_refused(struct directory *d, const struct iicp_directory_error *e, uint64_t delay) {
        char next[64], code[IICP_DIR_CODE_MAX * 2];
        struct log_fields fields = {.code = e->code,
                                    .reason = iicp_directory_class_name(e->cls),
                                    .subject = d->node->config->directory_url};

        log_text(iicp_str(e->code), code, sizeof code);
        if (delay == NEVER)
                snprintf(next, sizeof next, "not tried again");
        else
                snprintf(next, sizeof next, "next try in %llu s",
                         (unsigned long long) (delay + 999) / 1000);
        directory_set_why(d, "the directory did not register us (%s: %s%s%s)", code, meaning(e),
                          e->fields[0] ? ": " : "", e->fields);
        if (d->blocked)
                log_event(LOG_L_ERR, "register_blocked", &fields, "%s; %s", d->why, next);
        else
                log_event(LOG_L_WARN, d->registered ? "reregister_fail" : "register_fail", &fields,
                          "%s; %s", d->why, next);
        snprintf(d->last_code, sizeof d->last_code, "%s", e->code);
}

/* Old token and last accepted route stay as they are. */
static void refused(struct directory *d, const struct fetch_answer *a) {
        struct iicp_directory_error e;
        uint64_t delay;

        directory_answer_error(IICP_DIR_CALL_REGISTER, a, &e);
        delay = delay_of(d, &e);
        d->failures++;
        d->no_answer = e.cls == IICP_DIR_TRANSPORT || e.cls == IICP_DIR_SERVER_ERROR;
        say_refused(d, &e, delay);
        recovery_reconsider(d);
        d->reg = registration_free(d->reg);
        d->wanted = true;
        d->held = true;
        if (delay == NEVER)
                timer_clear(&d->timer);
        else
                timer_set_ms(&d->timer, MAX(delay, (uint64_t) REGISTER_SPACING_MS));
        directory_advance(d);
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;

        d->reg->call = NULL;
        iicp_buf_wipe(&d->reg->body);
        if (accepted(d, a) < 0)
                refused(d, a);
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
        uint64_t wait = ceiling(d);
        struct registration *r;

        if (wait > 0) {
                timer_set_ms(&d->timer, wait);
                return;
        }
        r = calloc(1, sizeof *r);
        if (r) {
                r->without_cx = d->omit_cx;
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
