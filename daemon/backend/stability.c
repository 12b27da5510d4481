/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "util.h"

#include <ctype.h>

/* What a server's own report says about its readiness. [02 section 10.6] */

const char *backend_state_name(enum backend_state s) {
        return s == STATE_OK ? "ok" : s == STATE_DEGRADED ? "degraded" : "draining";
}

bool stability_draining(const struct stability *s, uint64_t now_ms) {
        return s->state == STATE_DRAINING && now_ms < s->until_ms;
}

void stability_observe(struct stability *s, enum backend_state state, const char *reason, int64_t drain_s,
                       uint64_t now_ms) {
        if (state != STATE_DRAINING && stability_draining(s, now_ms))
                return;
        s->state = state;
        s->reason = reason;
        s->until_ms = state == STATE_DRAINING ? now_ms + (uint64_t) drain_s * 1000 : 0;
}

void stability_get(const struct stability *s, uint64_t now_ms, int64_t wall_s, struct backend_stability *ret) {
        *ret = (struct backend_stability){.state = STATE_OK, .reason = "ok"};
        if (s->state == STATE_DEGRADED) {
                ret->state = STATE_DEGRADED;
                ret->reason = s->reason;
        } else if (stability_draining(s, now_ms)) {
                ret->state = STATE_DRAINING;
                ret->reason = s->reason;
                ret->retry_after_s = MAX((int64_t) ((s->until_ms - now_ms + 500) / 1000), 1);
                ret->drain_until = wall_s + ret->retry_after_s;
        }
}

/* Equal, or equal up to the first ':': another tag of the model counts as loaded here. */
static bool same_base(struct iicp_str a, struct iicp_str b) {
        const char *a_end = memchr(a.p, ':', a.n), *b_end = memchr(b.p, ':', b.n);

        a.n = a_end ? (size_t) (a_end - a.p) : a.n;
        b.n = b_end ? (size_t) (b_end - b.p) : b.n;
        return a.n > 0 && iicp_str_eq(a, b);
}

static bool string_matches(const struct iicp_json *v, struct iicp_str expected) {
        char name[BACKEND_MODEL_NAME_MAX + 1];

        return v->type == IICP_JSON_STRING && iicp_json_copy(v, name, sizeof name) == 0 &&
               same_base(iicp_str(name), expected);
}

void observe_failed(struct stability *s, uint64_t now_ms) {
        stability_observe(s, STATE_DEGRADED, "observer_error", 0, now_ms);
}

void observe_ollama(struct stability *s, struct iicp_str body, struct iicp_str expected, uint64_t now_ms) {
        struct iicp_json top, models, entry;
        struct iicp_json_iter it;
        bool loaded = !expected.p;

        if (iicp_json_scan(body, NULL, NULL, &top) < 0 || top.type != IICP_JSON_OBJECT) {
                observe_failed(s, now_ms);
                return;
        }
        models = iicp_json_get(&top, "models");
        if (models.type != IICP_JSON_ARRAY) {
                observe_failed(s, now_ms);
                return;
        }
        iicp_json_iter_init(&it, &models);
        while (!loaded && iicp_json_next(&it, NULL, &entry)) {
                struct iicp_json name = iicp_json_get(&entry, "name");

                loaded = string_matches(&name, expected);
        }
        if (loaded)
                stability_observe(s, STATE_OK, "ok", 0, now_ms);
        else
                stability_observe(s, STATE_DEGRADED, "backend_cold", 0, now_ms);
}

enum instance { INSTANCE_OTHER, INSTANCE_LOADING, INSTANCE_BROKEN };

static enum instance instance_state(const struct iicp_json *instance) {
        static const char *const members[] = {"state", "status", "load_status"};
        static const char *const broken[] = {"error", "failed", "crashed", "unhealthy", "oom", "out_of_memory"};
        static const char *const loading[] = {"loading", "initializing", "starting", "warming", "warming_up"};
        char word[32];

        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
                struct iicp_json v = iicp_json_get(instance, members[i]);

                if (v.type != IICP_JSON_STRING || iicp_json_copy(&v, word, sizeof word) < 0)
                        continue;
                for (char *c = word; *c; c++)
                        *c = *c == '-' ? '_' : (char) tolower((unsigned char) *c);
                for (size_t k = 0; k < ARRAY_SIZE(broken); k++)
                        if (strcmp(word, broken[k]) == 0)
                                return INSTANCE_BROKEN;
                for (size_t k = 0; k < ARRAY_SIZE(loading); k++)
                        if (strcmp(word, loading[k]) == 0)
                                return INSTANCE_LOADING;
                return INSTANCE_OTHER;
        }
        return INSTANCE_OTHER;
}

/* *loaded: this model is the expected one and has an instance. */
static enum instance model_instances(const struct iicp_json *model, struct iicp_str expected, bool *loaded) {
        static const char *const ids[] = {"id", "model_key", "path"};
        struct iicp_json list = iicp_json_get(model, "loaded_instances"), instance;
        enum instance worst = INSTANCE_OTHER;
        struct iicp_json_iter it;
        bool named = false, any = false;

        if (list.type != IICP_JSON_ARRAY)
                list = iicp_json_get(model, "loadedInstances");
        for (size_t i = 0; i < ARRAY_SIZE(ids) && expected.p && !named; i++) {
                struct iicp_json id = iicp_json_get(model, ids[i]);

                named = string_matches(&id, expected);
        }
        if (list.type != IICP_JSON_ARRAY)
                return INSTANCE_OTHER;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &instance)) {
                enum instance state = instance_state(&instance);

                any = true;
                worst = MAX(worst, state);
        }
        *loaded = *loaded || (named && any);
        return worst;
}

void observe_meshllm(struct stability *s, bool ready, struct iicp_str models, struct iicp_str expected,
                     uint64_t now_ms) {
        struct iicp_json top, list, model;
        struct iicp_json_iter it;
        bool any = false, found = false;

        if (ready && models.p && iicp_json_scan(models, NULL, NULL, &top) == 0) {
                list = iicp_json_get(&top, "data");
                if (list.type == IICP_JSON_ARRAY) {
                        iicp_json_iter_init(&it, &list);
                        while (!found && iicp_json_next(&it, NULL, &model)) {
                                struct iicp_json id = iicp_json_get(&model, "id");

                                any = true;
                                found = expected.p && string_matches(&id, expected);
                        }
                }
        }
        if (any && (found || !expected.p))
                stability_observe(s, STATE_OK, "ok", 0, now_ms);
        else
                stability_observe(s, STATE_DRAINING, "backend_loading", DRAIN_LOADING_S, now_ms);
}

void observe_lmstudio(struct stability *s, struct iicp_str body, struct iicp_str expected, uint64_t now_ms) {
        enum instance worst = INSTANCE_OTHER;
        struct iicp_json top, list, model;
        bool loaded = !expected.p;
        struct iicp_json_iter it;

        if (iicp_json_scan(body, NULL, NULL, &top) < 0 || top.type != IICP_JSON_OBJECT) {
                observe_failed(s, now_ms);
                return;
        }
        list = iicp_json_get(&top, "data");
        if (list.type != IICP_JSON_ARRAY)
                list = iicp_json_get(&top, "models");
        if (list.type != IICP_JSON_ARRAY) {
                observe_failed(s, now_ms);
                return;
        }
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &model)) {
                enum instance state = model_instances(&model, expected, &loaded);

                worst = MAX(worst, state);
        }
        if (worst == INSTANCE_BROKEN)
                stability_observe(s, STATE_DRAINING, "backend_unstable", DRAIN_BROKEN_S, now_ms);
        else if (worst == INSTANCE_LOADING)
                stability_observe(s, STATE_DRAINING, "backend_loading", DRAIN_LOADING_S, now_ms);
        else if (!loaded)
                stability_observe(s, STATE_DEGRADED, "backend_cold", 0, now_ms);
        else
                stability_observe(s, STATE_OK, "ok", 0, now_ms);
}
