/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "../log.h"
#include "../node.h"
#include "util.h"

#include <stdio.h>
#include <strings.h>

/* Looks at a server: what it is, what models it has, how many at once, whether it is well. A probe
 * is a walk through the steps below, one request each; reading only. [02 sections 10.2, 10.3, 10.6] */

#define NAMES_MAX 256 /* bytes of the models in a log line */
#define PROBE_ANSWER_MAX ((size_t) 4 * 1024 * 1024)

enum step {
        STEP_FLAVOUR,  /* headers of /v1/models */
        STEP_VERSION,  /* /api/version */
        STEP_TAGS,     /* /api/tags */
        STEP_MODELS,   /* /v1/models */
        STEP_PROPS,    /* llama.cpp: /props, then /slots */
        STEP_SLOTS,
        STEP_PS,       /* ollama: /api/ps */
        STEP_LMSTUDIO, /* /api/v1/models */
        STEP_READYZ,   /* meshllm: /readyz, before its list */
        STEP_END,
};

struct probe {
        struct backend *backend;
        struct fetch *fetch;
        enum step step;
        uint64_t timeout_ms, started_ms;
        struct model_list *list;
        int64_t context; /* of the whole server, from /props */
        bool ready;      /* meshllm: /readyz */
        bool drained;    /* it was paused before */
        bool excused;    /* no answer in time, but others got theirs: nothing is known anew */
};

static void probe_next(struct probe *p, enum step step);

static bool good(const struct fetch_answer *a) {
        return a->error == FETCH_OK && a->status >= 200 && a->status < 300;
}

/* No answer in time is no failure while answers are arriving. [02 section 10.10 rule 7] */
static bool excused(struct probe *p, const struct fetch_answer *a) {
        const struct backend *b = p->backend;

        if (a->error != FETCH_TIMEOUT || b->last_ok_ms < p->started_ms || b->last_ok_ms == 0)
                return false;
        p->excused = true;
        return true;
}

static bool contains(struct iicp_str value, const char *word) {
        size_t n = strlen(word);

        for (size_t i = 0; i + n <= value.n; i++)
                if (strncasecmp(value.p + i, word, n) == 0)
                        return true;
        return false;
}

static enum flavour flavour_by_headers(const struct fetch_answer *a) {
        if (contains(a->powered_by, "express"))
                return FLAVOUR_LMSTUDIO;
        if (contains(a->server, "vllm") || contains(a->server, "uvicorn"))
                return FLAVOUR_VLLM;
        if (contains(a->server, "llama.cpp") || contains(a->server, "llama-server"))
                return FLAVOUR_LLAMACPP;
        return FLAVOUR_UNKNOWN;
}

/* ---- model lists ---- */

static int64_t context_of(const struct iicp_json *entry) {
        struct iicp_json v = iicp_json_get(entry, "max_model_len"), meta;
        int64_t n = 0;

        if (v.type != IICP_JSON_NUMBER) {
                meta = iicp_json_get(entry, "meta");
                v = iicp_json_get(&meta, "n_ctx");
        }
        return v.type == IICP_JSON_NUMBER && iicp_json_int(&v, &n) == 0 && n > 0 ? n : 0;
}

static bool excluded(const struct backend *b, const char *name) {
        for (size_t i = 0; b->exclude && b->exclude[i]; i++)
                if (pattern_match(b->exclude[i], name))
                        return true;
        return false;
}

/* MeshLLM lists what it has found, and itself. [02 section 10.3; 01 section 2.3] */
static bool of_the_mesh(struct backend *b, const char *name) {
        if (b->flavour != FLAVOUR_MESHLLM)
                return false;
        if (strcmp(name, MESH_MODEL) == 0) {
                b->mesh = b->experimental;
                return true;
        }
        return strncmp(name, "local-gguf/sha256-", 18) == 0;
}

/* NULL: not such a list, or an empty one. */
static struct model_list *read_list(struct backend *b, struct iicp_str body, const char *array,
                                    const char *member) {
        struct model_list *l;
        struct iicp_json top, list, entry;
        struct iicp_json_iter it;
        char name[BACKEND_MODEL_NAME_MAX + 1];

        if (iicp_json_scan(body, NULL, NULL, &top) < 0)
                return NULL;
        list = iicp_json_get(&top, array);
        if (list.type != IICP_JSON_ARRAY || !(l = calloc(1, sizeof *l)))
                return NULL;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &entry)) {
                struct iicp_json v = iicp_json_get(&entry, member);

                if (v.type == IICP_JSON_STRING && iicp_json_copy(&v, name, sizeof name) == 0 && !excluded(b, name) &&
                    !of_the_mesh(b, name))
                        model_list_add(l, iicp_str(name), context_of(&entry));
        }
        return l->n ? l : model_list_free(l);
}

/* ---- steps ---- */

static void on_flavour(struct probe *p, const struct fetch_answer *a) {
        struct backend *b = p->backend;

        if (good(a))
                b->flavour = flavour_by_headers(a);
        probe_next(p, b->flavour == FLAVOUR_UNKNOWN && a->error == FETCH_OK ? STEP_VERSION : STEP_TAGS);
}

static void on_version(struct probe *p, const struct fetch_answer *a) {
        if (a->error == FETCH_OK)
                p->backend->flavour = good(a) ? FLAVOUR_OLLAMA : FLAVOUR_CUSTOM;
        probe_next(p, STEP_TAGS);
}

static void on_tags(struct probe *p, const struct fetch_answer *a) {
        if (good(a))
                p->list = read_list(p->backend, a->body, "models", "name");
        if (a->error == FETCH_OK)
                backend_reached(p->backend);
        probe_next(p, p->list ? STEP_PROPS : STEP_MODELS);
}

/* MeshLLM offers many models and means none of them: the operator has to say which. */
static void say_undecided(struct backend *b, const struct model_list *l) {
        char text[NAMES_MAX] = "", name[64];
        size_t n = 0;

        if (b->undecided)
                return;
        b->undecided = true;
        for (size_t i = 0; i < l->n && n + 1 < sizeof text; i++)
                n += (size_t) snprintf(text + n, sizeof text - n, "%s%s", i ? ", " : "",
                                       log_text(iicp_str(l->v[i].name), name, sizeof name));
        log_event(LOG_L_ERR, "backend_undecided", &(struct log_fields){.subject = b->name, .backend = b->name},
                  "backend '%s' lists several models and none is configured: set backend.%s.model to one of %s", b->name,
                  b->name, text);
}

static struct model_list *decided(struct backend *b, struct model_list *l) {
        if (!l || b->flavour != FLAVOUR_MESHLLM || b->configured || l->n == 1) {
                b->undecided = b->undecided && !l;
                return l;
        }
        say_undecided(b, l);
        return model_list_free(l);
}

/* Without a list it is still there, if its model is configured. */
static struct model_list *configured_only(const struct backend *b) {
        struct model_list *l = calloc(1, sizeof *l);

        if (l)
                model_list_add(l, iicp_str(b->configured), 0);
        return l;
}

static void observe_mesh(struct probe *p, const struct fetch_answer *a) {
        struct backend *b = p->backend;

        observe_meshllm(&b->stability, p->ready, good(a) ? a->body : IICP_STR_NONE, backend_model(b),
                        backend_now_ms(b));
}

static void on_models(struct probe *p, const struct fetch_answer *a) {
        struct backend *b = p->backend;

        if (excused(p, a)) {
                probe_next(p, STEP_END);
                return;
        }
        if (b->flavour == FLAVOUR_MESHLLM)
                observe_mesh(p, a);
        /* No answer at all: refused, reset, DNS, time-out. */
        if (a->error != FETCH_OK && a->error != FETCH_TOO_LARGE && a->error != FETCH_PROTOCOL) {
                backend_unreached(b, fetch_error_name(a->error), false);
                probe_next(p, STEP_END);
                return;
        }
        backend_reached(b);
        if (a->status == 401 || a->status == 403)
                backend_key_rejected(b, a->status);
        else if (good(a))
                b->auth_failed = false;
        if (a->status == 503 && contains(a->body, "loading model")) {
                backend_loading(b);
                p->drained = true; /* it was said */
        }
        if (good(a)) {
                b->says_llamacpp = b->flavour == FLAVOUR_ANTHROPIC && flavour_by_headers(a) == FLAVOUR_LLAMACPP;
                b->mesh = false;
                p->list = decided(b, read_list(b, a->body, "data", "id"));
        }
        if (!p->list && b->flavour == FLAVOUR_ANTHROPIC && b->configured && !b->auth_failed)
                p->list = configured_only(b);
        probe_next(p, STEP_PROPS);
}

static int64_t positive(const struct iicp_json *of, const char *name) {
        struct iicp_json v = iicp_json_get(of, name);
        int64_t n = 0;

        return v.type == IICP_JSON_NUMBER && iicp_json_int(&v, &n) == 0 && n > 0 ? n : 0;
}

static void on_props(struct probe *p, const struct fetch_answer *a) {
        struct iicp_json top, settings;
        int64_t slots = 0;

        if (good(a) && iicp_json_scan(a->body, NULL, NULL, &top) == 0) {
                settings = iicp_json_get(&top, "default_generation_settings");
                p->context = positive(&settings, "n_ctx");
                slots = positive(&top, "total_slots");
        }
        if (slots > 0) {
                p->backend->slots_server = (unsigned) MIN(slots, (int64_t) 65536);
                p->backend->slots_known = true;
        }
        probe_next(p, slots > 0 ? STEP_END : STEP_SLOTS);
}

static void on_slots(struct probe *p, const struct fetch_answer *a) {
        struct iicp_json top, slot;
        struct iicp_json_iter it;
        unsigned n = 0;

        if (good(a) && iicp_json_scan(a->body, NULL, NULL, &top) == 0 && top.type == IICP_JSON_ARRAY) {
                iicp_json_iter_init(&it, &top);
                while (n < 65536 && iicp_json_next(&it, NULL, &slot))
                        n++;
        }
        if (n > 0)
                p->backend->slots_server = n;
        /* A server that answers but does not tell is taken at the configured number. */
        if (a->error == FETCH_OK && a->status != 503)
                p->backend->slots_known = true;
        probe_next(p, STEP_END);
}

static void contexts_of_ps(struct model_list *l, struct iicp_str body) {
        struct iicp_json top, list, entry;
        struct iicp_json_iter it;
        char name[BACKEND_MODEL_NAME_MAX + 1];

        if (!l || iicp_json_scan(body, NULL, NULL, &top) < 0)
                return;
        list = iicp_json_get(&top, "models");
        if (list.type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &entry)) {
                struct iicp_json v = iicp_json_get(&entry, "name");
                int64_t n = positive(&entry, "context_length");

                if (v.type != IICP_JSON_STRING || iicp_json_copy(&v, name, sizeof name) < 0)
                        continue;
                for (size_t i = 0; n > 0 && i < l->n; i++)
                        if (strcmp(l->v[i].name, name) == 0)
                                l->v[i].context = n;
        }
}

/* A model that is not loaded tells no context; what was known stays. */
static void contexts_keep(struct model_list *l, const struct model_list *old) {
        for (size_t i = 0; l && old && i < l->n; i++) {
                const struct model *m = l->v[i].context ? NULL : model_list_find(old, iicp_str(l->v[i].name));

                if (m)
                        l->v[i].context = m->context;
        }
}

static void on_ps(struct probe *p, const struct fetch_answer *a) {
        struct backend *b = p->backend;

        if (good(a)) {
                observe_ollama(&b->stability, a->body, backend_model(b), backend_now_ms(b));
                contexts_of_ps(p->list, a->body);
        } else if (!excused(p, a)) {
                observe_failed(&b->stability, backend_now_ms(b));
        }
        probe_next(p, STEP_END);
}

static void on_lmstudio(struct probe *p, const struct fetch_answer *a) {
        struct backend *b = p->backend;

        if (good(a))
                observe_lmstudio(&b->stability, a->body, backend_model(b), backend_now_ms(b));
        else if (!excused(p, a))
                observe_failed(&b->stability, backend_now_ms(b));
        probe_next(p, STEP_END);
}

static void on_readyz(struct probe *p, const struct fetch_answer *a) {
        p->ready = good(a);
        probe_next(p, STEP_MODELS);
}

static const struct {
        const char *path;
        void (*fn)(struct probe *p, const struct fetch_answer *a);
} steps[] = {
        [STEP_FLAVOUR] = {"/v1/models", on_flavour}, [STEP_VERSION] = {"/api/version", on_version},
        [STEP_TAGS] = {"/api/tags", on_tags},        [STEP_MODELS] = {"/v1/models", on_models},
        [STEP_PROPS] = {"/props", on_props},         [STEP_SLOTS] = {"/slots", on_slots},
        [STEP_PS] = {"/api/ps", on_ps},              [STEP_LMSTUDIO] = {"/api/v1/models", on_lmstudio},
        [STEP_READYZ] = {"/readyz", on_readyz},
};

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct probe *p = arg;

        p->fetch = NULL;
        steps[p->step].fn(p, a);
}

/* What the server reports of itself; a dead one has a line of its own. */
static void say_drain(const struct probe *p) {
        const struct backend *b = p->backend;
        uint64_t now_ms = backend_now_ms(b);

        if (p->drained || b->down || !stability_draining(&b->stability, now_ms))
                return;
        log_event(LOG_L_NOTICE, "backend_draining",
                  &(struct log_fields){.subject = b->name, .backend = b->name, .reason = b->stability.reason},
                  "backend '%s' %s: paused for %llu s", b->name,
                  strcmp(b->stability.reason, "backend_loading") == 0 ? "is not ready" : "reports a broken model",
                  (unsigned long long) (b->stability.until_ms - now_ms + 500) / 1000);
}

static void probe_end(struct probe *p) {
        struct backend *b = p->backend;
        struct model_list *list = TAKE_PTR(p->list);
        bool changed = false, excuse = p->excused && !list;

        for (size_t i = 0; list && p->context > 0 && i < list->n; i++)
                list->v[i].context = p->context;
        contexts_keep(list, b->listed);
        b->checked_ms = backend_now_ms(b);
        if (!excuse)
                b->list_ok = list != NULL;
        if (list)
                changed = backend_take_list(b, list);
        say_drain(p);
        b->probe = NULL;
        free(p);
        if (changed)
                backend_models_changed(b);
        backends_check(b->set);
}

/* What comes after the list depends on what the server is. */
static enum step step_of_flavour(const struct backend *b) {
        if (backend_is_llamacpp(b))
                return STEP_PROPS;
        switch (b->flavour) {
        case FLAVOUR_OLLAMA:
                return STEP_PS;
        case FLAVOUR_LMSTUDIO:
                return STEP_LMSTUDIO;
        default:
                return STEP_END;
        }
}

static void probe_next(struct probe *p, enum step step) {
        struct backend *b = p->backend;
        const char *headers[3] = {NULL};
        char url[URL_MAX];
        struct fetch_request r = {
                .method = "GET",
                .url = url,
                .headers = headers,
                .connect_timeout_ms = p->timeout_ms,
                .timeout_ms = p->timeout_ms,
                .max_answer = PROBE_ANSWER_MAX,
                .proxy = b->node->config->network_proxy,
                .tls_min = b->tls_min,
        };

        size_t n = 0;

        if (b->key)
                headers[n++] = b->key;
        if (b->dialect->header)
                headers[n++] = b->dialect->header;
        if (step == STEP_PROPS)
                step = step_of_flavour(b);
        p->step = step;
        if (step != STEP_END && snprintf(url, sizeof url, "%s%s", b->root, steps[step].path) < (int) sizeof url)
                p->fetch = fetch_start(b->node->fetch, &r, on_answer, p);
        if (!p->fetch)
                probe_end(p);
}

static enum step first_step(const struct backend *b) {
        switch (b->flavour) {
        case FLAVOUR_UNKNOWN:
                return STEP_FLAVOUR;
        case FLAVOUR_MESHLLM:
                return STEP_READYZ;
        case FLAVOUR_ANTHROPIC:
                return STEP_MODELS;
        default:
                return STEP_TAGS;
        }
}

void probe_start(struct backend *b, uint64_t timeout_ms) {
        struct probe *p;

        if (b->probe || !b->dialect->probes || !(p = calloc(1, sizeof *p)))
                return;
        p->backend = b;
        p->timeout_ms = timeout_ms;
        p->started_ms = backend_now_ms(b);
        b->probe = p;
        p->drained = stability_draining(&b->stability, p->started_ms);
        probe_next(p, first_step(b));
}

void probe_stop(struct backend *b) {
        struct probe *p = TAKE_PTR(b->probe);

        if (!p)
                return;
        fetch_cancel(p->fetch);
        model_list_free(p->list);
        free(p);
}
