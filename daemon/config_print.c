/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"

#include "util.h"

#include <stdio.h>

/* Views of one configuration: effective values with their origin, and what differs between two. */

typedef void (*each_fn)(void *arg, const struct config_key *k, const struct config *c, const struct config_backend *b);

static void each_value(const struct config *c, each_fn fn, void *arg) {
        for (size_t i = 0; i < config_n_keys; i++) {
                const struct config_key *k = &config_keys[i];

                if (!key_of_backend(k)) {
                        fn(arg, k, c, NULL);
                        continue;
                }
                if (i && key_of_backend(&config_keys[i - 1]))
                        continue;
                /* all keys of a backend together */
                for (size_t j = 0; j < c->n_backends; j++)
                        for (size_t m = i; m < config_n_keys && key_of_backend(&config_keys[m]); m++)
                                fn(arg, &config_keys[m], c, &c->backends[j]);
        }
}

static const struct config_origin *origin_of(const struct config_key *k, const struct config *c, const struct config_backend *b) {
        return (b ? b->origins : c->origins) + (k - config_keys);
}

static void name_of(const struct config_key *k, const struct config_backend *b, char *out, size_t cap) {
        snprintf(out, cap, "%s%s%s.%s", k->section, b ? "." : "", b ? b->name : "", k->name);
}

/* A number that says "as another key" by being 0 has nothing to print. */
static void print_value(const struct config_key *k, const struct config *c, const struct config_backend *b, struct iicp_buf *out) {
        const void *v = key_value(k, c, b);

        if ((k->kind == KIND_NUMBER && k->min > 0 && !k->zero && *(const unsigned *) v == 0) ||
            (k->kind == KIND_DURATION && k->min > 0 && *(const uint64_t *) v == 0))
                return;
        value_print(k, v, c, out);
}

static void origin_text(const struct config_origin *o, struct iicp_buf *out) {
        switch (o->from) {
        case FROM_DEFAULT:
                iicp_buf_puts(out, "default");
                break;
        case FROM_FILE:
                iicp_buf_printf(out, "%s:%u", o->name, o->line);
                break;
        case FROM_ENVIRONMENT:
                iicp_buf_printf(out, "environment %s", o->name);
                break;
        case FROM_OPTION:
                iicp_buf_puts(out, o->name);
                break;
        }
        if (o->over)
                iicp_buf_printf(out, ", over %s", o->over);
}

struct print_arg {
        FILE *f;
        bool changed_only;
        struct iicp_buf *json;
        bool any;
        int name_width, value_width;
};

static void measure_one(void *arg, const struct config_key *k, const struct config *c, const struct config_backend *b) {
        struct print_arg *p = arg;
        struct iicp_buf v = {0};
        char name[128];

        if (p->changed_only && origin_of(k, c, b)->from == FROM_DEFAULT)
                return;
        name_of(k, b, name, sizeof name);
        print_value(k, c, b, &v);
        p->name_width = MAX(p->name_width, (int) strlen(name));
        p->value_width = MAX(p->value_width, (int) MIN(v.n, (size_t) 40));
        iicp_buf_free(&v);
}

static void print_one(void *arg, const struct config_key *k, const struct config *c, const struct config_backend *b) {
        struct print_arg *p = arg;
        const struct config_origin *o = origin_of(k, c, b);
        struct iicp_buf v = {0}, from = {0};
        char name[128];

        if (p->changed_only && o->from == FROM_DEFAULT)
                return;
        name_of(k, b, name, sizeof name);
        print_value(k, c, b, &v);
        origin_text(o, &from);
        fprintf(p->f, "%-*s  %-*s  %s\n", p->name_width, name, p->value_width, v.n ? v.p : "-", iicp_buf_str(&from).p);
        iicp_buf_free(&v);
        iicp_buf_free(&from);
}

void config_print(const struct config *c, bool changed_only, FILE *f) {
        struct print_arg p = {.f = f, .changed_only = changed_only, .name_width = 3, .value_width = 5};

        each_value(c, measure_one, &p);
        fprintf(f, "%-*s  %-*s  %s\n", p.name_width, "KEY", p.value_width, "VALUE", "FROM");
        each_value(c, print_one, &p);
}

static void json_one(void *arg, const struct config_key *k, const struct config *c, const struct config_backend *b) {
        static const char *const from_words[] = {"default", "file", "environment", "option"};
        static const char *const live_words[] = {"no", "yes", "registers"};
        struct print_arg *p = arg;
        const struct config_origin *o = origin_of(k, c, b);
        struct iicp_buf v = {0};
        char name[128];

        name_of(k, b, name, sizeof name);
        print_value(k, c, b, &v);
        iicp_buf_puts(p->json, p->any ? ",{\"key\":" : "{\"key\":");
        p->any = true;
        iicp_buf_json_str(p->json, iicp_str(name));
        iicp_buf_puts(p->json, ",\"value\":");
        if (v.n)
                iicp_buf_json_str(p->json, iicp_buf_str(&v));
        else
                iicp_buf_puts(p->json, "null");
        iicp_buf_printf(p->json, ",\"from\":\"%s\"", from_words[o->from]);
        if (o->from != FROM_DEFAULT) {
                iicp_buf_puts(p->json, ",\"source\":");
                iicp_buf_json_str(p->json, iicp_str(o->name ? o->name : ""));
        }
        if (o->from == FROM_FILE)
                iicp_buf_printf(p->json, ",\"line\":%u", o->line);
        if (o->over) {
                iicp_buf_puts(p->json, ",\"over\":");
                iicp_buf_json_str(p->json, iicp_str(o->over));
        }
        iicp_buf_printf(p->json, ",\"live\":\"%s\"}", live_words[k->live]);
        iicp_buf_free(&v);
}

void config_json(const struct config *c, struct iicp_buf *out) {
        struct print_arg p = {.json = out};

        iicp_buf_puts(out, "{\"schema\":\"iicp.config/1\",\"keys\":[");
        each_value(c, json_one, &p);
        iicp_buf_puts(out, "]}");
}

/* ---- difference ---- */
struct diff {
        const struct config *to;
        config_diff_fn fn;
        void *arg;
        size_t n;
};

static const struct config_backend *backend_named(const struct config *c, const char *name) {
        for (size_t i = 0; i < c->n_backends; i++)
                if (strcmp(c->backends[i].name, name) == 0)
                        return &c->backends[i];
        return NULL;
}

static bool same_secret(const struct secret *a, const struct secret *b) {
        return a->n == b->n && (a->n == 0 || memcmp(a->value, b->value, a->n) == 0);
}

static void diff_one(void *arg, const struct config_key *k, const struct config *from, const struct config_backend *b) {
        struct diff *d = arg;
        const struct config_backend *other = b ? backend_named(d->to, b->name) : NULL;
        struct iicp_buf x = {0}, y = {0};
        char name[128];
        bool same;

        if (b && !other)
                return;
        print_value(k, from, b, &x);
        print_value(k, d->to, other, &y);
        same = iicp_str_eq(iicp_buf_str(&x), iicp_buf_str(&y));
        if (same && k->kind == KIND_SECRET && !same_secret(key_value(k, from, b), key_value(k, d->to, other))) {
                iicp_buf_puts(&y, " (new content)");
                same = false;
        }
        if (!same) {
                name_of(k, b, name, sizeof name);
                d->fn(d->arg, name, x.n ? x.p : "-", y.n ? y.p : "-", k->live != LIVE_NO, k->live == LIVE_REGISTERS);
                d->n++;
        }
        iicp_buf_free(&x);
        iicp_buf_free(&y);
}

/* Whole backends that one of the two does not have. */
static void diff_backends(struct diff *d, const struct config *here, const struct config *there, bool added) {
        for (size_t i = 0; i < here->n_backends; i++) {
                const char *text = here->backends[i].url ? here->backends[i].url : "demo";
                char name[64];

                if (backend_named(there, here->backends[i].name))
                        continue;
                snprintf(name, sizeof name, "backend.%s", here->backends[i].name);
                d->fn(d->arg, name, added ? "-" : text, added ? text : "-", true, true);
                d->n++;
        }
}

size_t config_diff(const struct config *from, const struct config *to, config_diff_fn fn, void *arg) {
        struct diff d = {.to = to, .fn = fn, .arg = arg};

        each_value(from, diff_one, &d);
        diff_backends(&d, from, to, false);
        diff_backends(&d, to, from, true);
        return d.n;
}

void config_keep_fixed(const struct config *running, struct config *next) {
        for (size_t i = 0; i < config_n_keys; i++) {
                const struct config_key *k = &config_keys[i];

                /* no key of a backend is fixed */
                if (k->live == LIVE_NO && !key_of_backend(k))
                        value_copy(k, key_value(k, running, NULL), key_place(k, next, NULL));
        }
}
