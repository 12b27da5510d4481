/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_CONFIG_HELP_H
#define TEST_CONFIG_HELP_H

/* What the tests of the configuration share: a load from text, and looking for a problem. */

#include "config.h"
#include "util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct loaded {
        struct config *c;
        struct config_problems p;
};

static inline struct loaded load_full(const char *text, char *const *env, char *const *options, bool consumer, bool secrets) {
        static char *const none[] = {NULL};
        struct config_source source = {
                .path = "iicp.conf", .text = iicp_str(text), .environ_ = env ? env : none, .options = options,
                .consumer = consumer, .resolve_secrets = secrets,
        };
        struct loaded l = {0};

        l.c = config_load(&source, &l.p);
        return l;
}

static inline struct loaded load(const char *text) {
        return load_full(text, NULL, NULL, false, false);
}

static inline void unload(struct loaded *l) {
        config_free(l->c);
        config_problems_free(&l->p);
}

static inline struct loaded load_good(const char *text) {
        struct loaded l = load(text);

        if (!l.c)
                config_problems_print(&l.p, stderr);
        assert_non_null(l.c);
        return l;
}

/* The problem whose text contains all of `part`, or NULL. */
static inline const struct config_problem *problem_with(const struct loaded *l, const char *part) {
        for (size_t i = 0; i < l->p.n; i++)
                if (strstr(l->p.v[i].text, part))
                        return &l->p.v[i];
        return NULL;
}

/* All problems as --check-config shows them. */
static inline void problems_text(const struct loaded *l, char *out, size_t cap) {
        FILE *f = fmemopen(out, cap, "w");

        assert_non_null(f);
        config_problems_print(&l->p, f);
        fclose(f);
}

#endif
