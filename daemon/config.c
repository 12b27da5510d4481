/* SPDX-License-Identifier: Apache-2.0 */
#include "config_file.h"

#include "config_text.h"
#include "log.h"
#include "util.h"

#include <stdio.h>

/* Loads a configuration: defaults, file, environment, command line, in that order; the later one
 * wins. [configuration.md] */

enum { RANK_FILE = 1, RANK_USER_FILE, RANK_ENVIRONMENT, RANK_OPTION };

static void value_reset(const struct config_key *k, struct config *c, struct config_backend *b) {
        void *place = key_place(k, c, b);
        struct config_fault f;

        value_clear(k, place);
        if (k->kind == KIND_WINDOWS)
                c->n_windows = 0;
        else if (k->initial)
                value_parse(k, k->initial, place, c, &f);
        else if (k->kind == KIND_NUMBER)
                *(unsigned *) place = 0;
        else if (k->kind == KIND_DURATION || k->kind == KIND_SIZE)
                *(uint64_t *) place = 0;
}

static struct config_backend *backend_get(struct config *c, const char *name) {
        struct config_backend *b;

        for (size_t i = 0; i < c->n_backends; i++)
                if (strcmp(c->backends[i].name, name) == 0)
                        return &c->backends[i];
        if (c->n_backends == CONFIG_BACKENDS_MAX)
                return NULL;
        b = &c->backends[c->n_backends];
        b->name = strdup(name);
        b->origins = calloc(config_n_keys, sizeof *b->origins);
        if (!b->name || !b->origins) {
                free(b->name);
                free(b->origins);
                *b = (struct config_backend){0};
                return NULL;
        }
        c->n_backends++;
        for (size_t i = 0; i < config_n_keys; i++)
                if (key_of_backend(&config_keys[i]))
                        value_reset(&config_keys[i], c, b);
        return b;
}

static bool section_visible(const struct config_source *source, const struct config_section *s) {
        return !source->consumer || s->consumer;
}

static const struct config_section *section_find(const char *name) {
        for (size_t i = 0; i < config_n_sections; i++)
                if (strcmp(config_sections[i].name, name) == 0)
                        return &config_sections[i];
        return NULL;
}

bool section_check(struct loading *l, const char *section, const char *backend, const struct problem_place *place,
                   bool *ret_visible) {
        const struct config_section *s = section_find(section), *near = NULL;
        struct problem_place bare = *place;
        unsigned least = 3;

        *ret_visible = false;
        if (!s) {
                for (size_t i = 0; i < config_n_sections; i++) {
                        unsigned d = edit_distance(section, config_sections[i].name, 2);

                        if (d < least) {
                                least = d;
                                near = &config_sections[i];
                        }
                }
                bare.raw = NULL;
                problem_add(l->problems, CONFIG_ERROR, &bare, near ? "unknown section [%s]; did you mean [%s%s]?"
                            : "unknown section [%s]", section, near ? near->name : "",
                            near && !strcmp(near->name, "backend") ? " NAME" : "");
                return false;
        }
        if (!section_visible(l->source, s))
                return true;
        if (strcmp(section, "backend") != 0) {
                if (*backend) {
                        problem_add(l->problems, CONFIG_ERROR, place, "[%s] takes no name", section);
                        return false;
                }
                *ret_visible = true;
                return true;
        }
        if (!*backend || !text_backend_name(backend)) {
                problem_add(l->problems, CONFIG_ERROR, place, *backend
                            ? "'%s' is no name for a backend (letters, digits, . _ -, at most 32)"
                            : "a backend needs a name%s: [backend gpu]", backend);
                return false;
        }
        if (!backend_get(l->config, backend)) {
                problem_add(l->problems, CONFIG_ERROR, place, "more than %d backends", CONFIG_BACKENDS_MAX);
                return false;
        }
        *ret_visible = true;
        return true;
}

static bool is_not_built(const char *section, const char *key) {
        size_t n = strlen(section);

        for (const char *const *p = config_not_built; *p; p++)
                if (strncmp(*p, section, n) == 0 && (*p)[n] == '.' && strcmp(*p + n + 1, key) == 0)
                        return true;
        return false;
}

/* Best guess for a misspelled key: near in its section, else known elsewhere by that very name. */
static void key_hint(const char *section, const char *key, char *hint, size_t cap) {
        const struct config_key *near = NULL, *elsewhere = NULL;
        struct iicp_buf range = {0};
        unsigned least = 3;

        for (size_t i = 0; i < config_n_keys; i++) {
                const struct config_key *k = &config_keys[i];

                if (strcmp(k->section, section) != 0) {
                        if (strcmp(k->name, key) == 0)
                                elsewhere = k;
                        continue;
                }
                unsigned d = edit_distance(key, k->name, 2);
                if (d < least) {
                        least = d;
                        near = k;
                }
        }
        *hint = '\0';
        if (near) {
                const char *initial = near->initial_text ? near->initial_text : near->initial;

                value_range(near, &range);
                snprintf(hint, cap, "did you mean '%s'? (%s%sdefault %s)", near->name, iicp_buf_str(&range).p,
                         range.n ? ", " : "", initial ? initial : "none");
        } else if (elsewhere) {
                snprintf(hint, cap, "known in [%s%s]", elsewhere->section, key_of_backend(elsewhere) ? " NAME" : "");
        }
        iicp_buf_free(&range);
}

/* A misspelled api_key holds a secret all the same. */
static bool may_be_secret(const char *key) {
        static const char *const parts[] = {"key", "token", "pass", "secret", "credential"};

        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                if (strstr(key, parts[i]))
                        return true;
        for (size_t i = 0; i < config_n_keys; i++)
                if (config_keys[i].kind == KIND_SECRET && edit_distance(key, config_keys[i].name, 3) <= 3)
                        return true;
        return false;
}

static void unknown_key(struct loading *l, const struct setting *s) {
        struct problem_place place = s->place;
        const struct config_section *sec = section_find(s->section);
        char hint[320];

        if (may_be_secret(s->key))
                place.hide = s->key;
        if (is_not_built(s->section, s->key)) {
                problem_add(l->problems, CONFIG_ERROR, &place, "%s.%s is known, but this build does not have it yet",
                            s->section, s->key);
                return;
        }
        key_hint(s->section, s->key, hint, sizeof hint);
        place.hint = hint;
        problem_add(l->problems, CONFIG_ERROR, &place, "unknown key '%s' in [%s%s%s]%s%s", s->key, s->section,
                    s->backend ? " " : "", s->backend ? s->backend : "",
                    sec && !sec->built ? " (of which this build has nothing yet)" : "",
                    /* without an excerpt the guess goes into the line */
                    !place.raw && *hint ? "; " : "");
        if (!place.raw && *hint && l->problems->n) {
                struct config_problem *p = &l->problems->v[l->problems->n - 1];
                char *longer;

                if (p->text && asprintf(&longer, "%s%s", p->text, hint) > 0) {
                        free(p->text);
                        p->text = longer;
                }
        }
}

static void report_fault(struct loading *l, const struct config_key *k, const struct setting *s,
                         const struct config_fault *f, const struct config_origin *o) {
        struct problem_place place = s->place;
        /* what asks for a draft must not be ignored: it would go to the public mesh instead */
        bool forgiven = s->from == FROM_ENVIRONMENT && k->check != text_refuse_yes &&
                        (l->source->consumer || k->environment_forgiven);
        char over[96] = "";

        if (s->from == FROM_FILE) {
                place.column = s->value_column + (k->kind == KIND_SECRET ? 0 : (unsigned) f->at);
                place.mark = f->n;
                place.hide = k->kind == KIND_SECRET ? k->name : NULL;
                place.hint = f->hint;
                problem_add(l->problems, CONFIG_ERROR, &place, "%s", f->text);
                return;
        }
        if (s->from == FROM_ENVIRONMENT && o->from == FROM_FILE)
                snprintf(over, sizeof over, "; it would override %s.%s (line %u)", k->section, k->name, o->line);
        if (k->kind == KIND_SECRET)
                problem_add(l->problems, forgiven ? CONFIG_WARNING : CONFIG_ERROR, &place, "%s: %s", s->origin, f->text);
        else
                problem_add(l->problems, forgiven ? CONFIG_WARNING : CONFIG_ERROR, &place, "%s=%.80s: %s%s%s%s",
                            s->origin, s->value, f->text, *f->hint ? "; " : "", f->hint, over);
}

/* What the environment says in the SDKs' spelling, as the file would. A literal secret works there
 * and becomes a reference to its variable. */
static bool setting_text(struct loading *l, const struct config_key *k, const struct setting *s,
                         struct iicp_buf *text, struct config_fault *f) {
        if (s->from != FROM_ENVIRONMENT) {
                iicp_buf_puts(text, s->value);
                return true;
        }
        if (k->kind == KIND_SECRET && !secret_ref_valid(s->value)) {
                iicp_buf_printf(text, "env:%s", s->origin);
                problem_add(l->problems, CONFIG_WARNING, &s->place,
                            "%s holds a secret in the environment; file:PATH or credential:NAME is safer", s->origin);
                return true;
        }
        if (value_from_environment(k, s->value, text))
                return true;
        *f = (struct config_fault){0};
        snprintf(f->text, sizeof f->text, "neither 1, true, yes, on nor 0, false, no, off");
        return false;
}

static void remember_origin(const struct config_key *k, const struct setting *s, struct config *c,
                            struct config_backend *b, struct config_origin *o) {
        struct config_origin now = {.from = s->from, .line = s->place.line, .column = s->value_column};
        struct iicp_buf was = {0};

        if (o->from == FROM_FILE && s->from != FROM_FILE && k->kind != KIND_WINDOWS) {
                value_print(k, key_place(k, c, b), c, &was);
                if (asprintf(&now.over, "%s:%u (%s)", o->name, o->line, iicp_buf_str(&was).p) < 0)
                        now.over = NULL;
                iicp_buf_free(&was);
        }
        now.name = strdup(s->origin);
        if (!now.over)
                now.over = TAKE_PTR(o->over);
        origin_clear(o);
        *o = now;
}

static bool is_duplicate(const struct config_key *k, const struct setting *s, const struct config_origin *o) {
        return s->from == FROM_FILE && k->kind != KIND_WINDOWS && o->name && o->line && strcmp(o->name, s->origin) == 0;
}

void setting_apply(struct loading *l, const struct setting *s) {
        const struct config_key *k = key_find(s->section, s->key);
        struct config_backend *b = s->backend ? backend_get(l->config, s->backend) : NULL;
        struct config_origin *o, before;
        struct iicp_buf text = {0};
        struct config_fault f;
        void *place;

        if (!k) {
                unknown_key(l, s);
                return;
        }
        o = key_origin(k, l->config, b);
        place = key_place(k, l->config, b);
        if (is_duplicate(k, s, o)) {
                problem_add(l->problems, CONFIG_ERROR, &s->place, "'%s' stands twice in [%s%s%s]; first in line %u", k->name,
                            s->section, b ? " " : "", b ? b->name : "", o->line);
                return;
        }
        /* Windows add up within one source; another source replaces them. */
        if (k->kind == KIND_WINDOWS && (o->from != s->from || !o->name || strcmp(o->name, s->origin)))
                l->config->n_windows = 0;
        before = *o;
        if (!*s->value) {
                value_reset(k, l->config, b);
                remember_origin(k, s, l->config, b, o);
                o->from = FROM_DEFAULT;
                return;
        }
        if (!setting_text(l, k, s, &text, &f)) {
                report_fault(l, k, s, &f, &before);
        } else {
                /* the origin wants the old value, the parser replaces it */
                struct config_origin keep = {.from = o->from, .line = o->line, .column = o->column,
                                             .name = o->name ? strdup(o->name) : NULL,
                                             .over = o->over ? strdup(o->over) : NULL};
                remember_origin(k, s, l->config, b, o);
                if (!value_parse(k, iicp_buf_str(&text).p, place, l->config, &f)) {
                        report_fault(l, k, s, &f, &keep);
                        if (s->from != FROM_FILE) {
                                origin_clear(o);
                                *o = keep;
                                keep = (struct config_origin){0};
                        }
                }
                origin_clear(&keep);
        }
        iicp_buf_free(&text);
}

/* ---- environment ---- */
static bool environment_read(const struct config_source *source, const struct config_key *k) {
        const struct config_section *s = section_find(k->section);

        if (!source->consumer)
                return !k->consumer;
        /* IICP_INTENT is the client's too */
        return (s && s->consumer) || (!strcmp(k->section, "intents") && !strcmp(k->name, "default"));
}

static void apply_environment_key(struct loading *l, const struct config_key *k) {
        struct setting s = {.from = FROM_ENVIRONMENT, .section = k->section, .key = k->name,
                            .place = {.where = "environment", .rank = RANK_ENVIRONMENT}};

        for (size_t i = 0; i < ARRAY_SIZE(k->environment) && k->environment[i]; i++) {
                s.value = environment_get(l->source->environ_, k->environment[i]);
                s.origin = k->environment[i];
                if (!s.value)
                        continue;
                if (key_of_backend(k)) {
                        if (l->config->n_backends > 1) {
                                problem_add(l->problems, CONFIG_ERROR, &s.place,
                                            "%s belongs to an only backend, but there are %zu", s.origin, l->config->n_backends);
                                return;
                        }
                        if (!l->config->n_backends && !backend_get(l->config, "default"))
                                return;
                        s.backend = l->config->backends[0].name;
                }
                setting_apply(l, &s);
                return; /* the first name wins */
        }
}

static const struct config_foreign_name *foreign_find(const char *name, size_t n) {
        for (size_t i = 0; i < config_n_foreign_names; i++) {
                const char *f = config_foreign_names[i].name;
                size_t len = strlen(f);

                if (f[len - 1] == '*' ? n >= len - 1 && strncmp(f, name, len - 1) == 0 : n == len && strncmp(f, name, n) == 0)
                        return &config_foreign_names[i];
        }
        return NULL;
}

static bool is_off(const char *v) {
        return !strcmp(v, "0") || !strcasecmp(v, "false") || !strcasecmp(v, "no") || !strcasecmp(v, "off");
}

static void check_foreign(struct loading *l, const char *entry) {
        const struct problem_place place = {.where = "environment", .rank = RANK_ENVIRONMENT};
        const char *eq = strchr(entry, '=');
        const struct config_foreign_name *f = eq && eq[1] ? foreign_find(entry, (size_t) (eq - entry)) : NULL;
        char name[64];

        if (!f || f->what == FOREIGN_IGNORED)
                return;
        snprintf(name, sizeof name, "%.*s", (int) MIN(eq - entry, (ptrdiff_t) sizeof name - 1), entry);
        if (f->what == FOREIGN_REFUSED) {
                if (strcmp(name, "IICP_MODE") == 0 && strcmp(eq + 1, "public") == 0)
                        return;
                problem_add(l->problems, CONFIG_ERROR, &place, "%s is refused: %s", name, f->why);
        } else if (!l->source->consumer && !(f->what == FOREIGN_NOT_BUILT && is_off(eq + 1))) {
                problem_add(l->problems, CONFIG_WARNING, &place, "%s has no effect: %s", name, f->why);
        }
}

static void apply_environment(struct loading *l) {
        for (size_t i = 0; i < config_n_keys; i++)
                if (environment_read(l->source, &config_keys[i]))
                        apply_environment_key(l, &config_keys[i]);
        for (char *const *e = l->source->environ_; e && *e; e++)
                check_foreign(l, *e);
}

/* ---- command line ---- */
static void apply_option(struct loading *l, const char *option) {
        struct setting s = {.from = FROM_OPTION, .origin = "-o", .place = {.where = "-o", .rank = RANK_OPTION}};
        const char *eq = strchr(option, '='), *dot, *last;
        char left[128], backend[64] = "", name[256];
        bool visible;

        dot = strchr(option, '.');
        if (!eq || !dot || dot > eq || (size_t) (eq - option) >= sizeof left) {
                problem_add(l->problems, CONFIG_ERROR, &s.place, "'%.40s' is not of the form section.key=value", option);
                return;
        }
        snprintf(left, sizeof left, "%.*s", (int) (eq - option), option);
        last = strrchr(left, '.');
        left[dot - option] = '\0';
        s.section = left;
        s.key = last + 1;
        s.value = eq + 1;
        if (strcmp(left, "backend") == 0 && last > left + (dot - option)) {
                snprintf(backend, sizeof backend, "%.*s", (int) (last - (left + (dot - option)) - 1), left + (dot - option) + 1);
                s.backend = backend;
        }
        snprintf(name, sizeof name, "-o %s%s%s.%s", left, *backend ? "." : "", backend, s.key);
        s.origin = name;
        if (!section_check(l, left, backend, &s.place, &visible) || !visible)
                return;
        setting_apply(l, &s);
}

/* ---- secrets ---- */
static void resolve_one(struct loading *l, const struct config_key *k, struct config_backend *b) {
        struct secret *s = key_place(k, l->config, b);
        const struct config_origin *o = key_origin(k, l->config, b);
        struct problem_place place = {.where = o->name ? o->name : "default", .line = o->line, .rank = RANK_FILE};
        char why[512];

        if (!s->ref)
                return;
        if (o->from == FROM_ENVIRONMENT)
                place = (struct problem_place){.where = "environment", .rank = RANK_ENVIRONMENT};
        if (strncmp(s->ref, "env:", 4) == 0 && o->from == FROM_FILE)
                problem_add(l->problems, CONFIG_WARNING, &place, "%s: %s is for development; other programs of this user can read it",
                            k->name, s->ref);
        if (l->source->resolve_secrets && !secret_resolve(s, l->source->environ_, why, sizeof why))
                problem_add(l->problems, CONFIG_ERROR, &place, "%s.%s: %s", k->section, k->name, why);
}

static void resolve_secrets(struct loading *l) {
        for (size_t i = 0; i < config_n_keys; i++) {
                const struct config_key *k = &config_keys[i];

                if (k->kind != KIND_SECRET)
                        continue;
                if (!key_of_backend(k))
                        resolve_one(l, k, NULL);
                for (size_t j = 0; key_of_backend(k) && j < l->config->n_backends; j++)
                        resolve_one(l, k, &l->config->backends[j]);
        }
}

struct config *config_load(const struct config_source *source, struct config_problems *problems) {
        struct config *c = calloc(1, sizeof *c);
        struct loading l = {.source = source, .config = c, .problems = problems};

        if (!c || !(c->origins = calloc(config_n_keys, sizeof *c->origins))) {
                free(c);
                return NULL;
        }
        for (size_t i = 0; i < config_n_keys; i++)
                if (!key_of_backend(&config_keys[i]))
                        value_reset(&config_keys[i], c, NULL);
        if (source->path || source->text.p)
                file_load(&l, source->path ? source->path : "text", RANK_FILE, source->path_required, source->text);
        if (source->user_path)
                file_load(&l, source->user_path, RANK_USER_FILE, false, IICP_STR_NONE);
        apply_environment(&l);
        for (char *const *o = source->options; o && *o; o++)
                apply_option(&l, *o);
        config_derive(c, source);
        config_check(c, source, problems);
        resolve_secrets(&l);
        config_check_secrets(c, source, problems);
        problems_sort(problems);
        return problems->n_errors ? config_free(c) : c;
}

struct config *config_free(struct config *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < config_n_keys; i++) {
                const struct config_key *k = &config_keys[i];

                if (!key_of_backend(k)) {
                        value_clear(k, key_place(k, c, NULL));
                        origin_clear(&c->origins[i]);
                }
                for (size_t j = 0; key_of_backend(k) && j < c->n_backends; j++) {
                        value_clear(k, key_place(k, c, &c->backends[j]));
                        origin_clear(&c->backends[j].origins[i]);
                }
        }
        for (size_t j = 0; j < c->n_backends; j++) {
                free(c->backends[j].name);
                free(c->backends[j].origins);
        }
        free(c->origins);
        free(c);
        return NULL;
}
