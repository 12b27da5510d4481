/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "../log.h"
#include "../node.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

/* The life of the set: made from the configuration, changed by a reload. [02 section 10.9] */

#define TEXT_MAX 512 /* bytes of the list of differences in a log line */

/* ---- one backend ---- */

static void forget_key(struct backend *b) {
        if (b->key)
                explicit_bzero(b->key, strlen(b->key));
        free(TAKE_PTR(b->key));
}

static struct backend *backend_free(struct backend *b) {
        if (!b)
                return NULL;
        while (b->calls)
                backend_call_cancel(b->calls);
        probe_stop(b);
        forget_key(b);
        for (size_t i = 0; b->exclude && b->exclude[i]; i++)
                free(b->exclude[i]);
        free(b->exclude);
        free(b->name);
        free(b->url);
        free(b->root);
        free(b->configured);
        model_list_free(b->registered);
        model_list_free(b->listed);
        model_list_free(b->differs);
        free(b);
        return NULL;
}

/* Without trailing '/' and a final "/v1". [02 section 10.1] */
static char *root_of(const char *url) {
        size_t n = strlen(url);

        while (n && url[n - 1] == '/')
                n--;
        if (n >= 3 && memcmp(url + n - 3, "/v1", 3) == 0)
                n -= 3;
        while (n && url[n - 1] == '/')
                n--;
        return strndup(url, n);
}

static enum flavour flavour_of_type(int type) {
        switch (type) {
        case BACKEND_OLLAMA:
                return FLAVOUR_OLLAMA;
        case BACKEND_VLLM:
                return FLAVOUR_VLLM;
        case BACKEND_LLAMACPP:
                return FLAVOUR_LLAMACPP;
        case BACKEND_MESHLLM:
                return FLAVOUR_MESHLLM;
        case BACKEND_ANTHROPIC:
                return FLAVOUR_ANTHROPIC;
        case BACKEND_DEMO:
                return FLAVOUR_CUSTOM;
        default:
                return FLAVOUR_UNKNOWN;
        }
}

static const struct dialect *dialect_of(int type) {
        switch (type) {
        case BACKEND_DEMO:
                return &dialect_demo;
        case BACKEND_ANTHROPIC:
                return &dialect_anthropic;
        default:
                return &dialect_openai;
        }
}

static bool same_text(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_lists(char *const *a, char *const *b) {
        size_t i = 0;

        for (; a && a[i] && b && b[i]; i++)
                if (strcmp(a[i], b[i]) != 0)
                        return false;
        return !(a && a[i]) && !(b && b[i]);
}

static char **copy_list(char *const *from) {
        size_t n = 0;
        char **to;

        while (from && from[n])
                n++;
        to = calloc(n + 1, sizeof *to);
        for (size_t i = 0; to && i < n; i++)
                if (!(to[i] = strdup(from[i])))
                        break;
        return to;
}

static bool take_key(struct backend *b, const struct config_backend *conf) {
        const char *head = b->dialect->key_header;
        size_t n = head ? strlen(head) : 0;

        forget_key(b);
        if (!head || !conf->api_key.value || conf->api_key.n == 0)
                return true;
        b->key = malloc(n + conf->api_key.n + 1);
        if (!b->key)
                return false;
        memcpy(b->key, head, n);
        memcpy(b->key + n, conf->api_key.value, conf->api_key.n);
        b->key[n + conf->api_key.n] = 0;
        return true;
}

/* The set to register: the configured model first, spelled as the server lists it. */
static struct model_list *with_configured(const struct backend *b, const struct model_list *list) {
        struct model_list *l = calloc(1, sizeof *l);
        const char *first = b->configured;
        size_t n;

        if (!l)
                return NULL;
        n = first ? strlen(first) : 0;
        for (size_t i = 0; first && list && i < list->n; i++) {
                const char *name = list->v[i].name;

                if (strncmp(name, first, n) == 0 && strcmp(name + n, ":latest") == 0)
                        first = name;
        }
        if (first)
                model_list_add(l, iicp_str(first), 0);
        for (size_t i = 0; list && i < list->n; i++)
                model_list_add(l, iicp_str(list->v[i].name), list->v[i].context);
        return l;
}

static bool take_models(struct backend *b, const struct config_backend *conf) {
        struct model_list *l;

        if (b->registered && same_text(b->configured, conf->model) && same_lists(b->exclude, conf->exclude))
                return true;
        for (size_t i = 0; b->exclude && b->exclude[i]; i++)
                free(b->exclude[i]);
        free(b->exclude);
        b->exclude = copy_list(conf->exclude);
        free(b->configured);
        b->configured = conf->model && b->type != BACKEND_DEMO ? strdup(conf->model) : NULL;
        /* The next list is the first one under the new rules. */
        l = with_configured(b, NULL);
        if (l && b->type == BACKEND_DEMO)
                model_list_add(l, demo_model(), 0);
        model_list_free(b->registered);
        b->registered = l;
        b->listed = model_list_free(b->listed);
        b->differs = model_list_free(b->differs);
        b->list_ever = b->list_ok = b->type == BACKEND_DEMO;
        if (b->list_ok && l)
                b->listed = with_configured(b, l);
        return b->exclude && l && (!b->list_ok || b->listed);
}

/* What may change while it runs. */
static bool take_config(struct backend *b, const struct config_backend *conf) {
        b->slots_configured = conf->max_concurrent;
        b->tls_min = conf->tls_min;
        b->experimental = conf->experimental && conf->type == BACKEND_MESHLLM;
        b->mesh = b->mesh && b->experimental;
        return take_key(b, conf) && take_models(b, conf);
}

static struct backend *backend_new(struct backends *s, const struct config_backend *conf) {
        struct backend *b = calloc(1, sizeof *b);

        if (!b)
                return NULL;
        b->set = s;
        b->node = s->node;
        b->type = conf->type;
        b->dialect = dialect_of(conf->type);
        b->flavour = flavour_of_type(conf->type);
        b->stability.reason = "ok";
        b->name = strdup(conf->name);
        b->url = strdup(conf->url ? conf->url : "");
        b->root = b->url ? root_of(b->url) : NULL;
        if (!b->name || !b->url || !b->root || !take_config(b, conf))
                return backend_free(b);
        return b;
}

/* ---- models of one backend ---- */

static void say_changes(const struct backend *b, const struct model_list *now) {
        const struct model_list *old = b->registered;
        char text[TEXT_MAX] = "";
        size_t n = 0;

        for (size_t k = 0; k < 2; k++) {
                const struct model_list *in = k ? old : now, *out = k ? now : old;

                for (size_t i = 0; i < in->n && n + 1 < sizeof text; i++) {
                        char name[64];
                        bool there = false;

                        for (size_t j = 0; j < out->n && !there; j++)
                                there = strcmp(in->v[i].name, out->v[j].name) == 0;
                        if (!there)
                                n += (size_t) snprintf(text + n, sizeof text - n, " %c%s", k ? '-' : '+',
                                                       log_text(iicp_str(in->v[i].name), name, sizeof name));
                }
        }
        log_event(LOG_L_NOTICE, "models_changed", &(struct log_fields){.subject = b->name, .backend = b->name},
                  "models:%s, registering", text);
}

bool backend_take_list(struct backend *b, struct model_list *list) {
        struct model_list *l = with_configured(b, list);
        bool first = !b->list_ever;

        model_list_free(b->listed);
        b->listed = list;
        b->set->joined_stale = true;
        if (!l)
                return false;
        b->list_ever = true;
        if (!first && model_list_same_set(l, b->registered)) {
                model_list_free(l);
                b->differs = model_list_free(b->differs);
                return false;
        }
        if (!first && !(b->differs && model_list_same_set(l, b->differs))) {
                model_list_free(b->differs);
                b->differs = l;
                return false;
        }
        if (!first)
                say_changes(b, l);
        b->differs = model_list_free(b->differs);
        model_list_free(b->registered);
        b->registered = l;
        return true;
}

void backend_models_changed(struct backend *b) {
        b->set->joined_stale = true;
        if (b->set->on_change)
                b->set->on_change(b->set->on_change_arg);
}

/* ---- the set ---- */

static void on_again(void *arg) {
        struct backends *s = arg;

        for (size_t i = 0; i < s->n; i++)
                if (s->v[i]->registered->n == 0 || !s->v[i]->list_ok)
                        probe_start(s->v[i], PROBE_MS);
        backends_check(s);
}

static void on_beat(void *arg) {
        backends_observe(arg);
}

static void on_drain_end(void *arg) {
        backends_check(arg);
}

void backends_check(struct backends *s) {
        uint64_t now_ms = clock_mono_ms(s->node->clock), end = UINT64_MAX;
        struct backend_stability now;
        bool again = false;

        if (s->freeing)
                return;
        for (size_t i = 0; i < s->n; i++) {
                const struct backend *b = s->v[i];

                again = again || (b->dialect->probes && !b->probe && (b->registered->n == 0 || !b->list_ok));
                if (stability_draining(&b->stability, now_ms))
                        end = MIN(end, b->stability.until_ms);
        }
        if (again && !timer_armed(&s->again))
                timer_set_ms(&s->again, PROBE_AGAIN_MS);
        if (end != UINT64_MAX)
                timer_set_ms(&s->drain_end, end - now_ms + 1);
        backends_stability(s, &now);
        if (now.state == s->said.state && strcmp(now.reason, s->said.reason) == 0)
                return;
        s->said = now;
        if (s->on_change)
                s->on_change(s->on_change_arg);
}

static void backend_retire(struct backends *s, struct backend *b) {
        struct backend **more;

        probe_stop(b);
        more = b->calls ? reallocarray(s->removed, s->n_removed + 1, sizeof(struct backend *)) : NULL;
        if (!more) {
                /* Without memory to remember it, its calls cannot go on unseen. */
                if (b->calls)
                        b->removed = true;
                else
                        backend_free(b);
                return;
        }
        b->removed = true;
        s->removed = more;
        s->removed[s->n_removed++] = b;
}

/* Those whose last call has ended. */
static void sweep_removed(struct backends *s) {
        size_t kept = 0;

        for (size_t i = 0; i < s->n_removed; i++)
                if (s->removed[i]->calls)
                        s->removed[kept++] = s->removed[i];
                else
                        backend_free(s->removed[i]);
        s->n_removed = kept;
}

static struct backend *find_kept(struct backends *s, const struct config_backend *conf) {
        for (size_t i = 0; i < s->n; i++) {
                struct backend *b = s->v[i];

                if (b && strcmp(b->name, conf->name) == 0 && b->type == conf->type &&
                    strcmp(b->url, conf->url ? conf->url : "") == 0) {
                        s->v[i] = NULL;
                        return b;
                }
        }
        return NULL;
}

int backends_reload(struct backends *s) {
        const struct config *conf = s->node->config;
        struct backend **next = calloc(MAX(conf->n_backends, 1u), sizeof *next);
        size_t n = 0;

        if (!next)
                return -ENOMEM;
        sweep_removed(s);
        for (size_t i = 0; i < conf->n_backends; i++) {
                struct backend *b = find_kept(s, &conf->backends[i]);

                if (b && !take_config(b, &conf->backends[i])) {
                        backend_retire(s, b);
                        b = NULL;
                } else if (!b) {
                        b = backend_new(s, &conf->backends[i]);
                }
                if (b)
                        next[n++] = b;
        }
        for (size_t i = 0; i < s->n; i++)
                if (s->v[i])
                        backend_retire(s, s->v[i]);
        free(s->v);
        s->v = next;
        s->n = n;
        s->joined_stale = true;
        for (size_t i = 0; i < n; i++)
                probe_start(s->v[i], PROBE_START_MS);
        timer_set_ms(&s->beat, OBSERVE_MS);
        backends_check(s);
        return n == conf->n_backends ? 0 : -ENOMEM;
}

struct backends *backends_new(struct node *node) {
        struct backends *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->node = node;
        s->said = (struct backend_stability){.state = STATE_OK, .reason = "ok"};
        timer_init(&s->again, node->loop, on_again, s);
        timer_init(&s->beat, node->loop, on_beat, s);
        timer_init(&s->drain_end, node->loop, on_drain_end, s);
        return backends_reload(s) < 0 ? backends_free(s) : s;
}

struct backends *backends_free(struct backends *s) {
        if (!s)
                return NULL;
        s->freeing = true;
        for (size_t i = 0; i < s->n; i++)
                backend_free(s->v[i]);
        for (size_t i = 0; i < s->n_removed; i++)
                backend_free(s->removed[i]);
        timer_clear(&s->again);
        timer_clear(&s->beat);
        timer_clear(&s->drain_end);
        free(s->v);
        free(s->removed);
        free(s->joined);
        free(s->joined_listed);
        free(s);
        return NULL;
}

void backends_on_change(struct backends *s, void (*fn)(void *arg), void *arg) {
        s->on_change = fn;
        s->on_change_arg = arg;
}

void backends_observe(struct backends *s) {
        sweep_removed(s);
        for (size_t i = 0; i < s->n; i++)
                probe_start(s->v[i], PROBE_MS);
        timer_set_ms(&s->beat, OBSERVE_MS);
}
