/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "key.h"
#include "log.h"
#include "util.h"
#include "vouch.h"

/* What others may know about it. */

static const char *const state_names[] = {
        [DIRECTORY_OFF] = "off",
        [DIRECTORY_WAITING] = "waiting",
        [DIRECTORY_REGISTERING] = "registering",
        [DIRECTORY_REGISTERED] = "registered",
        [DIRECTORY_UNAVAILABLE] = "unavailable",
        [DIRECTORY_BLOCKED] = "blocked",
        [DIRECTORY_LEFT] = "left",
};

const char *directory_state_name(enum directory_state s) {
        return state_names[s];
}

enum directory_state directory_state(const struct directory *d) {
        size_t n;

        if (d->left)
                return DIRECTORY_LEFT;
        if (d->silent)
                return DIRECTORY_UNAVAILABLE;
        if (d->registered)
                return DIRECTORY_REGISTERED;
        if (d->blocked)
                return DIRECTORY_BLOCKED;
        if (!d->started || directory_off(d))
                return DIRECTORY_OFF;
        backends_models_to_register(d->node->backends, &n);
        return n == 0 ? DIRECTORY_WAITING : DIRECTORY_REGISTERING;
}

const char *directory_why(const struct directory *d) {
        return directory_state(d) == DIRECTORY_REGISTERED && !d->held ? "" : d->why;
}

const char *const *directory_registered_models(const struct directory *d, size_t *ret_n) {
        *ret_n = d->models.n;
        return (const char *const *) d->models.v;
}

uint64_t directory_progress_age_ms(const struct directory *d) {
        return d->registered && !d->left ? directory_now(d) - d->beat.progress_ms : 0;
}

static void json_text(struct iicp_buf *out, const char *name, const char *text) {
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(text));
}

/* What is on its way to the directory; the id says nothing about tasks. */
static void batch_json(const struct batch *b, struct iicp_buf *out) {
        iicp_buf_puts(out, ",\"batch\":{\"sent\":");
        if (b->id[0])
                batch_metrics_json(b, out);
        else
                iicp_buf_puts(out, "null");
        iicp_buf_printf(out, ",\"waiting\":{\"tasks_success\":%llu,\"tasks_failed\":%llu},\"acknowledged\":%llu}",
                        (unsigned long long) b->waiting.success, (unsigned long long) b->waiting.failed,
                        (unsigned long long) b->acknowledged);
}

static uint64_t next_try(const struct directory *d) {
        uint64_t now = directory_now(d);

        return d->held && d->try_at_ms > now ? d->try_at_ms - now : 0;
}

void directory_refusal(const struct directory *d, struct directory_refusal *ret) {
        *ret = (struct directory_refusal){.cls = d->last_class,
                                          .code = d->last_code,
                                          .fields = d->last_fields,
                                          .next_try_ms = next_try(d)};
}

void directory_facts(const struct directory *d, struct directory_facts *ret) {
        uint64_t now = directory_now(d);

        *ret = (struct directory_facts){
                .state = directory_state(d),
                .why = directory_why(d),
                .failure = d->last_failure_ms ? fetch_error_name(d->last_failure) : NULL,
                .failure_status = d->last_failure_ms ? d->last_failure_status : 0,
                .failure_age_s = d->last_failure_ms ? (now - d->last_failure_ms) / 1000 : 0,
                .silent_s = d->silent ? (now - d->silent_since_ms) / 1000 : 0,
                .failures = d->beat.failures,
                .held = d->held && d->last_code[0],
                .cls = d->last_class,
                .code = d->last_code,
                .fields = d->last_fields,
                .next_try_ms = next_try(d),
                .redirect_refused = d->redirect_refused,
                .counts_waiting = d->batch.waiting.success + d->batch.waiting.failed,
                .recovery = recovery_shown(d) ? recovery_state_name(d->recovery.state) : "stable",
                .recovery_reason = d->recovery.reason ? d->recovery.reason : "",
        };
}

/* What the directory has refused and is left out since. */
static void omitted_json(const struct directory *d, struct iicp_buf *out) {
        static const struct {
                unsigned part;
                const char *name;
        } parts[] = {{PART_CX, "cx_public_key"},
                     {PART_OPERATOR_NAME, "operator_display_name"},
                     {PART_OPERATOR, "operator"},
                     {PART_PRICING, "pricing"},
                     {PART_VENDOR, "vendor intents"}};
        bool any = false;

        iicp_buf_puts(out, ",\"left_out\":[");
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                if (d->omit & parts[i].part) {
                        iicp_buf_printf(out, "%s\"%s\"", any ? "," : "", parts[i].name);
                        any = true;
                }
        iicp_buf_puts(out, "]");
}

void directory_json(const struct directory *d, struct iicp_buf *out) {
        const struct identity *id = state_identity(d->node->state);
        enum directory_state s = directory_state(d);
        char when[21];

        iicp_buf_printf(out, "{\"state\":\"%s\",\"registered\":%s", directory_state_name(s),
                        d->registered ? "true" : "false");
        json_text(out, "why", directory_why(d));
        json_text(out, "url", d->node->config->directory_url);
        json_text(out, "node_id", id->node_id);
        if (d->registered) {
                clock_rfc3339(id->registered_at, when);
                json_text(out, "registered_at", when);
                json_text(out, "endpoint", id->registered.endpoint);
        }
        iicp_buf_puts(out, ",\"models\":[");
        for (size_t i = 0; i < d->models.n; i++) {
                iicp_buf_puts(out, i ? "," : "");
                iicp_buf_json_str(out, iicp_str(d->models.v[i]));
        }
        iicp_buf_printf(
                out, "],\"registrations\":%llu,\"heartbeats_ok\":%llu,\"heartbeats_failed\":%llu",
                (unsigned long long) d->registrations, (unsigned long long) d->beat.good_total,
                (unsigned long long) d->beat.failed_total);
        iicp_buf_printf(out, ",\"last_good_s\":%llu,\"next_heartbeat_ms\":%llu",
                        (unsigned long long) (directory_now(d) - d->beat.good_ms) / 1000,
                        (unsigned long long) d->beat.interval_ms);
        if (d->reputation >= 0)
                iicp_buf_printf(out, ",\"reputation\":%.3f", d->reputation);
        if (d->reputation >= 0 && d->reputation_model[0])
                json_text(out, "reputation_model", d->reputation_model);
        if (d->reputation >= 0 && d->reputation_epoch[0])
                json_text(out, "reputation_epoch", d->reputation_epoch);
        batch_json(&d->batch, out);
        if (d->own_entry.looked_ms)
                iicp_buf_printf(out, ",\"own_entry\":{\"verdict\":\"%s\",\"age_s\":%llu}",
                                own_entry_name(d->own_entry.verdict),
                                (unsigned long long) (directory_now(d) - d->own_entry.looked_ms) / 1000);
        if (recovery_shown(d)) {
                iicp_buf_puts(out, ",\"recovery\":");
                recovery_json(d, out);
        }
        iicp_buf_puts(out, ",\"key\":");
        directory_keys_json(d->node->keys, out);
        iicp_buf_puts(out, ",\"operator\":");
        vouch_json(d->node->vouch, out);
        if (d->observed_ip[0])
                json_text(out, "observed_source_ip", d->observed_ip);
        iicp_buf_printf(out, ",\"source_differs\":%s", d->source_differs ? "true" : "false");
        iicp_buf_printf(out, ",\"policy_sticks\":%s", d->policy_sticks ? "true" : "false");
        if (d->last_code[0]) {
                json_text(out, "last_refusal", d->last_code);
                json_text(out, "last_refusal_class", d->last_class);
                json_text(out, "last_refusal_fields", d->last_fields);
                iicp_buf_printf(out, ",\"next_try_ms\":%llu", (unsigned long long) next_try(d));
        }
        if (d->redirect_refused[0])
                json_text(out, "redirect_refused", d->redirect_refused);
        if (directory_breaker_open(d))
                iicp_buf_printf(out, ",\"breaker_ms\":%llu", (unsigned long long) directory_breaker_left_ms(d));
        omitted_json(d, out);
        look_json(d->look, out);
        iicp_buf_puts(out, "}");
}
