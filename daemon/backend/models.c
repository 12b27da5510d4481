/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "util.h"

/* Lists of model names: order kept, no duplicates, bounded. [02 section 10.3] */

struct model_list *model_list_free(struct model_list *l) {
        if (!l)
                return NULL;
        for (size_t i = 0; i < l->n; i++)
                free(l->v[i].name);
        free(l);
        return NULL;
}

bool model_list_add(struct model_list *l, struct iicp_str name, int64_t context) {
        char *copy;

        if (name.n == 0 || name.n > BACKEND_MODEL_NAME_MAX || l->n == BACKEND_MODELS_MAX ||
            memchr(name.p, 0, name.n))
                return false;
        for (size_t i = 0; i < l->n; i++)
                if (iicp_str_is(name, l->v[i].name))
                        return false;
        copy = strndup(name.p, name.n);
        if (!copy)
                return false;
        l->v[l->n++] = (struct model){.name = copy, .context = context};
        return true;
}

bool model_list_same_set(const struct model_list *a, const struct model_list *b) {
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++) {
                size_t j = 0;

                while (j < b->n && strcmp(a->v[i].name, b->v[j].name) != 0)
                        j++;
                if (j == b->n)
                        return false;
        }
        return true;
}

const struct model *model_list_find(const struct model_list *l, struct iicp_str name) {
        if (!l)
                return NULL;
        for (size_t i = 0; i < l->n; i++)
                if (iicp_str_is(name, l->v[i].name))
                        return &l->v[i];
        for (size_t i = 0; i < l->n; i++)
                if (iicp_model_match(name, iicp_str(l->v[i].name)))
                        return &l->v[i];
        return NULL;
}

bool pattern_match(const char *pattern, const char *name) {
        const char *star = NULL, *from = NULL;

        while (*name) {
                if (*pattern == '*') {
                        star = pattern++;
                        from = name;
                } else if (*pattern == *name) {
                        pattern++;
                        name++;
                } else if (star) {
                        pattern = star + 1;
                        name = ++from;
                } else {
                        return false;
                }
        }
        while (*pattern == '*')
                pattern++;
        return *pattern == 0;
}
