/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "util.h"

#include <errno.h>

/* The model names of one registration. */

int name_list_copy(const char *const *v, size_t n, struct name_list *ret) {
        struct name_list l = {.v = calloc(n + 1, sizeof *l.v)};

        for (; l.v && l.n < n; l.n++)
                if (!(l.v[l.n] = strdup(v[l.n])))
                        break;
        if (!l.v || l.n < n) {
                name_list_free(&l);
                return -ENOMEM;
        }
        *ret = l;
        return 0;
}

void name_list_free(struct name_list *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->v[i]);
        free(l->v);
        *l = (struct name_list){0};
}

bool name_list_same_set(const struct name_list *l, const char *const *v, size_t n) {
        if (l->n != n)
                return false;
        for (size_t i = 0; i < n; i++) {
                size_t k = 0;

                while (k < n && strcmp(l->v[k], v[i]) != 0)
                        k++;
                if (k == n)
                        return false;
        }
        return true;
}
