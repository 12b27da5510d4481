/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "../node.h"
#include "util.h"

/* Several backends seen as one: choice, joined models, joint state. [02 section 10.9] */

bool backend_serves(const struct backend *b, const struct iicp_intent *intent) {
        bool chat = intent->kind == IICP_INTENT_CHAT;

        switch ((enum config_backend_type) b->type) {
        case BACKEND_MESHLLM:
        case BACKEND_ANTHROPIC:
                return chat;
        case BACKEND_OLLAMA:
        case BACKEND_DEMO:
                return chat || intent->kind == IICP_INTENT_COMPLETION || intent->kind == IICP_INTENT_EMBEDDING;
        case BACKEND_OPENAI_COMPAT:
        case BACKEND_VLLM:
        case BACKEND_LLAMACPP:
                break;
        }
        return true;
}

bool backends_serve(const struct backends *s, const struct iicp_intent *intent) {
        for (size_t i = 0; i < s->n; i++)
                if (backend_serves(s->v[i], intent))
                        return true;
        return false;
}

enum backend_pick backends_pick(struct backends *s, const struct iicp_intent *intent, struct iicp_str model,
                                const struct backend *except, struct backend **ret,
                                int64_t *ret_retry_ms, const char **ret_reason) {
        uint64_t now_ms = clock_mono_ms(s->node->clock), wait = UINT64_MAX;
        struct backend *best = NULL;
        bool any = false, awake = false;
        const char *reason = "ok";

        for (size_t i = 0; i < s->n; i++) {
                struct backend *b = s->v[i];
                unsigned slots = backend_slots(b);

                if (b == except || !backend_serves(b, intent) || !backend_has_model(b, model))
                        continue;
                any = true;
                if (stability_draining(&b->stability, now_ms)) {
                        if (b->stability.until_ms - now_ms < wait) {
                                wait = b->stability.until_ms - now_ms;
                                reason = b->stability.reason;
                        }
                        continue;
                }
                awake = true;
                if (b->busy >= slots)
                        continue;
                /* busy/slots < busy/slots of the best, without division */
                if (!best || (uint64_t) b->busy * backend_slots(best) < (uint64_t) best->busy * slots)
                        best = b;
        }
        if (best) {
                *ret = best;
                return PICK_OK;
        }
        if (!any)
                return PICK_NO_MODEL;
        if (awake)
                return PICK_BUSY;
        *ret_retry_ms = (int64_t) MAX(wait, 1000u);
        *ret_reason = reason;
        return PICK_DRAINING;
}

struct joiner {
        const char **v;
        size_t n, cap;
};

static void join_name(struct joiner *j, const char *name) {
        for (size_t i = 0; i < j->n; i++)
                if (strcmp(j->v[i], name) == 0)
                        return;
        if (j->n < j->cap)
                j->v[j->n++] = name;
}

static size_t count_names(const struct backends *s) {
        size_t n = 1;

        for (size_t i = 0; i < s->n; i++)
                n += s->v[i]->registered->n + (s->v[i]->listed ? s->v[i]->listed->n : 0);
        return n;
}

/* On failure the arrays are empty until the next time. */
static void join(struct backends *s) {
        size_t cap = count_names(s);
        struct joiner reg = {.v = calloc(cap + 1, sizeof(char *)), .cap = cap};
        struct joiner listed = {.v = calloc(cap + 1, sizeof(char *)), .cap = cap};

        if (!reg.v || !listed.v) {
                free(reg.v);
                free(listed.v);
                reg.v = listed.v = NULL;
        }
        for (size_t i = 0; reg.v && reg.n == 0 && i < s->n; i++)
                if (s->v[i]->configured && s->v[i]->registered->n)
                        join_name(&reg, s->v[i]->registered->v[0].name);
        for (size_t i = 0; reg.v && i < s->n; i++) {
                const struct backend *b = s->v[i];

                for (size_t k = 0; k < b->registered->n; k++)
                        join_name(&reg, b->registered->v[k].name);
                for (size_t k = 0; b->list_ok && b->listed && k < b->listed->n; k++)
                        join_name(&listed, b->listed->v[k].name);
        }
        free(s->joined);
        free(s->joined_listed);
        s->joined = reg.v;
        s->joined_listed = listed.v;
        s->n_joined = reg.n;
        s->n_joined_listed = listed.n;
        s->joined_stale = false;
}

const char *const *backends_models(struct backends *s, size_t *ret_n, bool *ret_known) {
        bool known = false;

        for (size_t i = 0; i < s->n; i++)
                known = known || s->v[i]->list_ok;
        /* list_ok changes without the names: this view is made anew each time, once a heartbeat. */
        join(s);
        *ret_n = s->n_joined_listed;
        *ret_known = known;
        return s->joined_listed;
}

const char *const *backends_models_to_register(struct backends *s, size_t *ret_n) {
        if (s->joined_stale || !s->joined)
                join(s);
        *ret_n = s->n_joined;
        return s->joined;
}

const char *backends_flavour(const struct backends *s) {
        const char *common = NULL;

        for (size_t i = 0; i < s->n; i++) {
                const char *name = flavour_name(s->v[i]->flavour);

                if (common && strcmp(common, name) != 0)
                        return "custom";
                common = name;
        }
        return common ? common : "custom";
}

bool backends_demo_only(const struct backends *s) {
        for (size_t i = 0; i < s->n; i++)
                if (s->v[i]->type != BACKEND_DEMO)
                        return false;
        return s->n > 0;
}

void backends_stability(struct backends *s, struct backend_stability *ret) {
        uint64_t now_ms = clock_mono_ms(s->node->clock);
        int64_t wall_s = clock_wall_s(s->node->clock);
        struct backend_stability best = {.state = STATE_OK, .reason = "ok"};

        for (size_t i = 0; i < s->n; i++) {
                struct backend_stability one;

                stability_get(&s->v[i]->stability, now_ms, wall_s, &one);
                if (i == 0 || one.state < best.state ||
                    (one.state == STATE_DRAINING && best.state == STATE_DRAINING && one.drain_until < best.drain_until))
                        best = one;
        }
        *ret = best;
}

bool backends_unavailable(const struct backends *s) {
        for (size_t i = 0; i < s->n; i++)
                if (!s->v[i]->dialect->probes || s->v[i]->contact_failed_row < FAILURES_UNAVAILABLE)
                        return false;
        return s->n > 0;
}

/* ---- views for the control socket ---- */

static const char *type_name(int type) {
        switch (type) {
        case BACKEND_OLLAMA:
                return "ollama";
        case BACKEND_VLLM:
                return "vllm";
        case BACKEND_LLAMACPP:
                return "llamacpp";
        case BACKEND_MESHLLM:
                return "meshllm";
        case BACKEND_ANTHROPIC:
                return "anthropic";
        case BACKEND_DEMO:
                return "demo";
        default:
                return "openai_compat";
        }
}

static void backend_json(const struct backend *b, struct iicp_buf *out) {
        uint64_t now_ms = backend_now_ms(b);
        struct backend_stability st;

        stability_get(&b->stability, now_ms, clock_wall_s(b->node->clock), &st);
        iicp_buf_puts(out, "{\"name\":");
        iicp_buf_json_str(out, iicp_str(b->name));
        iicp_buf_printf(out, ",\"type\":\"%s\",\"flavour\":\"%s\",\"state\":\"%s\",\"reason\":\"%s\"",
                        type_name(b->type), flavour_name(b->flavour), backend_state_name(st.state), st.reason);
        if (st.retry_after_s)
                iicp_buf_printf(out, ",\"retry_after_s\":%lld", (long long) st.retry_after_s);
        iicp_buf_printf(out, ",\"models\":%zu,\"in_flight\":%u,\"slots\":%u,\"ok\":%llu,\"failed\":%llu",
                        b->registered->n, b->busy, backend_slots(b), (unsigned long long) b->n_ok,
                        (unsigned long long) b->n_failed);
        iicp_buf_printf(out, ",\"list_ok\":%s,\"auth_failed\":%s,\"undecided\":%s", b->list_ok ? "true" : "false",
                        b->auth_failed ? "true" : "false", b->undecided ? "true" : "false");
        if (b->last_ok_ms)
                iicp_buf_printf(out, ",\"last_answer_ms_ago\":%llu", (unsigned long long) (now_ms - b->last_ok_ms));
        if (b->checked_ms)
                iicp_buf_printf(out, ",\"checked_ms_ago\":%llu", (unsigned long long) (now_ms - b->checked_ms));
        iicp_buf_puts(out, "}");
}

bool backends_facts(const struct backends *s, size_t i, struct backend_facts *ret) {
        const struct backend *b = i < s->n ? s->v[i] : NULL;
        uint64_t now_ms;

        if (!b)
                return false;
        now_ms = backend_now_ms(b);
        *ret = (struct backend_facts){
                .name = b->name, .type = type_name(b->type), .url = b->url, .demo = b->type == BACKEND_DEMO,
                .auth_failed = b->auth_failed, .undecided = b->undecided, .down = b->down, .failure = b->failure,
                .failures = b->contact_failed_row, .in_flight = b->busy, .models = b->registered->n, .list_known = b->list_ever,
                .last_answer_age_s = b->last_ok_ms ? (now_ms - b->last_ok_ms) / 1000 : UINT64_MAX,
        };
        stability_get(&b->stability, now_ms, clock_wall_s(b->node->clock), &ret->stability);
        return true;
}

void backends_json(const struct backends *s, struct iicp_buf *out) {
        iicp_buf_puts(out, "[");
        for (size_t i = 0; i < s->n; i++) {
                if (i)
                        iicp_buf_puts(out, ",");
                backend_json(s->v[i], out);
        }
        iicp_buf_puts(out, "]");
}

void backends_models_json(const struct backends *s, struct iicp_buf *out) {
        const char *comma = "";

        iicp_buf_puts(out, "[");
        for (size_t i = 0; i < s->n; i++)
                for (size_t k = 0; k < s->v[i]->registered->n; k++) {
                        const struct model *m = &s->v[i]->registered->v[k];
                        const struct model *seen = model_list_find(s->v[i]->listed, iicp_str(m->name));

                        iicp_buf_printf(out, "%s{\"model\":", comma);
                        iicp_buf_json_str(out, iicp_str(m->name));
                        iicp_buf_puts(out, ",\"backend\":");
                        iicp_buf_json_str(out, iicp_str(s->v[i]->name));
                        if (seen && seen->context)
                                iicp_buf_printf(out, ",\"context\":%lld", (long long) seen->context);
                        iicp_buf_printf(out, ",\"there\":%s}", seen ? "true" : "false");
                        comma = ",";
                }
        /* seen once; a second equal look is awaited before the node registers again */
        for (size_t i = 0; i < s->n; i++)
                for (size_t k = 0; s->v[i]->differs && k < s->v[i]->differs->n; k++) {
                        const char *name = s->v[i]->differs->v[k].name;

                        if (model_list_find(s->v[i]->registered, iicp_str(name)))
                                continue;
                        iicp_buf_printf(out, "%s{\"model\":", comma);
                        iicp_buf_json_str(out, iicp_str(name));
                        iicp_buf_puts(out, ",\"backend\":");
                        iicp_buf_json_str(out, iicp_str(s->v[i]->name));
                        iicp_buf_puts(out, ",\"there\":true,\"seen_once\":true}");
                        comma = ",";
                }
        iicp_buf_puts(out, "]");
}
