/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "log.h"
#include "util.h"

#include <stdio.h>

/* A refused REGISTER: what it means, what is left out of the next one, and when that is due. Old
 * token and last accepted route stay as they are. [01 section 2.8] */

#define RATE_LIMITED_MS 60000
#define NOT_ROUTABLE_MS 300000u
#define SLOW_MS 300000u
#define NEVER UINT64_MAX

static uint64_t backoff(struct directory *d) {
        unsigned shift = MIN(d->failures, 6u);
        double ms = (double) MIN(60000u, 1000u << shift) * d->uniform(0.5, 1.0);

        return MAX((uint64_t) ms, (uint64_t) REGISTER_SPACING_MS);
}

static uint64_t given(const struct iicp_directory_error *e, uint64_t otherwise) {
        return e->retry_after_ms >= 0 ? (uint64_t) e->retry_after_ms : otherwise;
}

/* The same route again, or another one if the node has it. */
static uint64_t next_route(struct directory *d, uint64_t otherwise_ms) {
        const char *dead = d->reg->endpoint;

        if (d->reg->old_route) {
                d->old_route = false; /* it does not work any more either */
                return REGISTER_SPACING_MS;
        }
        if (node_endpoint_dead(d->node, dead)) {
                d->liveness_failures = 0;
                log_notice("route_next", "trying another address of this machine");
                return REGISTER_SPACING_MS;
        }
        snprintf(d->refused_endpoint, sizeof d->refused_endpoint, "%s", dead);
        return otherwise_ms;
}

static uint64_t liveness_delay(struct directory *d) {
        static const uint64_t steps[] = {5000, 15000, 30000};

        listener_check(d);
        if (d->liveness_failures < ARRAY_SIZE(steps))
                return steps[d->liveness_failures++];
        return next_route(d, 60000);
}

/* Once more without the part that is refused; from then on until the configuration changes. */
static bool leave_out(struct directory *d, unsigned parts) {
        parts &= d->reg->carried & ~d->reg->omitted;
        d->omit |= parts;
        return parts != 0;
}

static unsigned refused_parts(const struct iicp_directory_error *e) {
        switch (e->cls) {
        case IICP_DIR_OPERATOR_REFUSED:
                return strcmp(e->code, "IICP-E051") == 0 ? PART_OPERATOR_NAME
                                                         : PART_OPERATOR | PART_OPERATOR_NAME;
        case IICP_DIR_PRICING_REFUSED:
                return PART_PRICING;
        case IICP_DIR_VALIDATION_ERROR:
                /* A directory that has no grammar for them; it may not say which field it means. */
                return !e->fields[0] || strstr(e->fields, ".intent") ? PART_VENDOR : 0;
        default:
                return 0;
        }
}

static const char *part_name(unsigned parts) {
        return parts & PART_PRICING         ? "credits.*"
               : parts & PART_VENDOR        ? "intents.*"
               : parts == PART_OPERATOR_NAME ? "operator.display_name"
                                            : "operator.*";
}

/* How long until the next try; sets blocked where only the operator can help. */
static uint64_t delay_of(struct directory *d, const struct iicp_directory_error *e,
                         const char **ret_left_out) {
        unsigned parts = refused_parts(e);

        d->blocked = false;
        if (parts && leave_out(d, parts)) {
                *ret_left_out = part_name(parts);
                return REGISTER_SPACING_MS;
        }
        switch (e->cls) {
        case IICP_DIR_RATE_LIMITED:
                return given(e, RATE_LIMITED_MS);
        case IICP_DIR_ENDPOINT_NOT_ROUTABLE:
                return next_route(d, NOT_ROUTABLE_MS);
        case IICP_DIR_LIVENESS_FAILED:
                return liveness_delay(d);
        case IICP_DIR_OWNERSHIP_DENIED:
                return ladder_step(d, e);
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
        case IICP_DIR_OPERATOR_REFUSED:
                return strcmp(e->code, "IICP-E051") == 0 ? "the display name is taken"
                                                         : "the operator's key is replaced or revoked";
        case IICP_DIR_PRICING_REFUSED:
                return "it does not take the price";
        case IICP_DIR_SERVER_ERROR:
                return "it has a fault of its own";
        case IICP_DIR_TRANSPORT:
                return e->status >= 300 ? "it points elsewhere" : "no answer";
        case IICP_DIR_VALIDATION_ERROR:
                return "it takes a field for wrong";
        default:
                return "refused";
        }
}

static void say_next(char *out, size_t cap, const struct iicp_directory_error *e, uint64_t delay,
                     const char *left_out) {
        if (left_out)
                snprintf(out, cap, "once more without it; change %s", left_out);
        else if (delay == NEVER)
                snprintf(out, cap, "not tried again");
        else if (e->cls == IICP_DIR_OWNERSHIP_DENIED)
                snprintf(out, cap, "looking for another proof");
        else
                snprintf(out, cap, "next try in %llu s", (unsigned long long) (delay + 999) / 1000);
}

/* Where the class alone does not tell what is wrong. */
static bool fields_tell(enum iicp_directory_class c) {
        return c != IICP_DIR_LIVENESS_FAILED && c != IICP_DIR_ENDPOINT_NOT_ROUTABLE && c != IICP_DIR_OWNERSHIP_DENIED;
}

static void say_refused(struct directory *d, const struct iicp_directory_error *e, uint64_t delay,
                        const char *left_out) {
        char next[96], code[IICP_DIR_CODE_MAX * 2];
        struct log_fields fields = {.code = e->code,
                                    .reason = iicp_directory_class_name(e->cls),
                                    .subject = d->node->config->directory_url};

        log_text(iicp_str(e->code), code, sizeof code);
        say_next(next, sizeof next, e, delay, left_out);
        directory_set_why(d, "the directory did not register us (%s: %s%s%s)", code, meaning(e),
                          e->fields[0] && fields_tell(e->cls) ? ": " : "", fields_tell(e->cls) ? e->fields : "");
        if (d->blocked)
                log_event(LOG_L_ERR, "register_blocked", &fields, "%s; %s", d->why, next);
        else if (left_out)
                log_event(LOG_L_WARN, "register_blocked", &fields, "%s; %s", d->why, next);
        else
                log_event(LOG_L_WARN, d->registered ? "reregister_fail" : "register_fail", &fields,
                          "%s; %s", d->why, next);
        snprintf(d->last_code, sizeof d->last_code, "%s", e->code);
        snprintf(d->last_class, sizeof d->last_class, "%s", iicp_directory_class_name(e->cls));
        snprintf(d->last_fields, sizeof d->last_fields, "%s", e->fields);
}

void registration_refused(struct directory *d, const struct fetch_answer *a) {
        struct iicp_directory_error e;
        const char *left_out = NULL;
        uint64_t delay;

        directory_answer_error(IICP_DIR_CALL_REGISTER, a, &e);
        silence_note(d, a);
        delay = delay_of(d, &e, &left_out);
        d->failures++;
        d->no_answer = e.cls == IICP_DIR_TRANSPORT || e.cls == IICP_DIR_SERVER_ERROR;
        say_refused(d, &e, delay, left_out);
        recovery_reconsider(d);
        registration_cancel(d);
        directory_hold(d, delay == NEVER ? 0 : MAX(delay, (uint64_t) REGISTER_SPACING_MS));
        ladder_climb(d);
        directory_done(d, false);
        directory_advance(d);
}
