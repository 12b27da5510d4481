/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"

#include "util.h"

/* The profiles of 02 section 11: which ones a task may require on which resource, and the words of
 * provider admission. */

#define ADMISSION_LEAST_MS 5 /* no backend answers within less */

static bool refuse(struct task *t, enum iicp_refusal_id id, const struct iicp_json *profile,
                   struct iicp_refusal *refusal) {
        *refusal = (struct iicp_refusal){.id = id};
        if (iicp_json_copy(profile, t->profile, sizeof(t->profile)) == 0)
                refusal->profile = t->profile;
        return false;
}

void task_profiles_note(struct task *t) {
        struct iicp_json profile;
        struct iicp_json_iter it;

        if (t->env.required_profiles.type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, &t->env.required_profiles);
        while (iicp_json_next(&it, NULL, &profile))
                t->wants_admission |= iicp_json_is(&profile, IICP_PROFILE_ADMISSION);
}

bool task_profiles(struct task *t, struct iicp_refusal *refusal) {
        bool enabled = t->corridor->node->config->lifecycle_enabled, asked = false;
        struct iicp_json profile, unknown = {0}, elsewhere = {0};
        struct iicp_json_iter it;

        iicp_json_iter_init(&it, &t->env.required_profiles);
        while (t->env.required_profiles.type == IICP_JSON_ARRAY && iicp_json_next(&it, NULL, &profile)) {
                if (iicp_json_is(&profile, IICP_PROFILE_ADMISSION))
                        continue;
                if (!iicp_json_is(&profile, IICP_PROFILE_LIFECYCLE) || !enabled)
                        unknown = unknown.type ? unknown : profile;
                else if (!t->lifecycle)
                        elsewhere = profile;
                else
                        asked = true;
        }
        if (unknown.type)
                return refuse(t, IICP_REFUSE_UNSUPPORTED_PROFILE, &unknown, refusal);
        if (elsewhere.type)
                return refuse(t, IICP_REFUSE_PROFILE_ELSEWHERE, &elsewhere, refusal);
        if (t->lifecycle && !asked) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_VALIDATION,
                                                 .field = "constraints.required_profiles"};
                return false;
        }
        return true;
}

/* ---- provider admission ---- */

bool admission_deadline(const struct task *t, struct iicp_refusal *refusal) {
        if (!t->wants_admission || task_now_ms(t) + ADMISSION_LEAST_MS <= t->deadline_ms)
                return true;
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_TIMEOUT};
        return false;
}

const char *admission_outcome(const struct iicp_refusal *refusal, bool accepted) {
        switch (refusal->id) {
        case IICP_REFUSE_UNSUPPORTED_PROFILE:
        case IICP_REFUSE_PROFILE_ELSEWHERE:
                return "unsupported_profile";
        case IICP_REFUSE_TIMEOUT:
                return accepted ? NULL : "deadline_unachievable";
        case IICP_REFUSE_CAPACITY:
                return "capacity_exceeded";
        case IICP_REFUSE_BUSY:
                return "temporarily_unavailable";
        case IICP_REFUSE_POLICY:
        case IICP_REFUSE_TOOL_EXECUTION:
        case IICP_REFUSE_FORBIDDEN:
                return "policy_rejected";
        default:
                return NULL;
        }
}

/* Whole seconds, never later than the budget of the task. */
void admission_accepted(const struct task *t, struct iicp_buf *out) {
        const struct clock *clock = t->corridor->node->clock;
        uint64_t now_ms = task_now_ms(t), left_ms = t->deadline_ms > now_ms ? t->deadline_ms - now_ms : 0;
        char until[21];

        clock_rfc3339(clock_wall_s(clock) + (int64_t) (left_ms / 1000), until);
        iicp_buf_printf(out, "\"admission\":{\"outcome\":\"accepted\",\"accepted_until\":\"%s\"}", until);
}

/* ---- what is advertised ---- */

#define ADVERT_VALID_S 60         /* two heartbeats; at most 300 by the profile */
#define CAPACITY_LIMITED_MAX 8    /* slots */
#define CAPACITY_STANDARD_MAX 64

static const char *capacity_class(unsigned slots) {
        return slots <= CAPACITY_LIMITED_MAX ? "limited" : slots <= CAPACITY_STANDARD_MAX ? "standard" : "high";
}

/* How much, whether now, until when: nothing of queues, peers, routes or hardware. */
static void advert(const struct corridor *c, struct iicp_buf *out) {
        int64_t now_s = clock_wall_s(c->node->clock);
        struct backend_stability stability;
        const char *availability = "unavailable";
        char at[21], until[21];

        corridor_stability(c, &stability);
        if (corridor_available(c))
                availability = "ready";
        else if (c->draining || c->node->phase != NODE_RUNNING || stability.state == STATE_DRAINING)
                availability = "draining";
        clock_rfc3339(now_s, at);
        clock_rfc3339(now_s + ADVERT_VALID_S, until);
        iicp_buf_printf(out, ",\"admission\":{\"profile\":\"" IICP_PROFILE_ADMISSION "\",\"availability\":\"%s\","
                             "\"capacity_class\":\"%s\",\"deadline_support\":true,\"supported_profiles\":[%s\""
                             IICP_PROFILE_ADMISSION "\"],\"observed_at\":\"%s\",\"valid_until\":\"%s\"",
                        availability, capacity_class(c->node->config->max_concurrent),
                        c->node->config->lifecycle_enabled ? "\"" IICP_PROFILE_LIFECYCLE "\"," : "", at, until);
        if (strcmp(availability, "ready") != 0)
                iicp_buf_printf(out, ",\"retry_after_ms\":%d", TASK_RETRY_CAPACITY_MS);
        iicp_buf_puts(out, "}");
}

void corridor_profiles_json(const struct corridor *c, struct iicp_buf *out) {
        if (c->node->config->lifecycle_enabled)
                iicp_buf_printf(out, ",\"lifecycle\":{\"profile\":\"" IICP_PROFILE_LIFECYCLE "\",\"submit\":\"/v1/tasks\","
                                     "\"events\":\"/v1/tasks/{task_id}/events\",\"cancel\":\"/v1/tasks/{task_id}/cancel\","
                                     "\"event_replay_window_ms\":%llu,\"terminal_status_ttl_ms\":%llu}",
                                (unsigned long long) LIFECYCLE_KEPT_MS, (unsigned long long) LIFECYCLE_KEPT_MS);
        advert(c, out);
}
