/* SPDX-License-Identifier: Apache-2.0 */
#include "json-internal.h"
#include "payload-internal.h"
#include "util.h"

#include <errno.h>

/* What servers call the token limit besides max_tokens. A limit that only counts under one name is
 * none. [02 section 9.4] */

struct limit {
        const char *name, *field;
        bool unlimited; /* a number below 1 means that there is none */
};
static const struct limit limits[] = {
        {"max_tokens", "payload.max_tokens", false},
        {"max_completion_tokens", "payload.max_completion_tokens", false},
        {"max_output_tokens", "payload.max_output_tokens", false},
        {"max_new_tokens", "payload.max_new_tokens", false},
        {"n_predict", "payload.n_predict", true},
        {"num_predict", "payload.num_predict", true},
};

static const struct limit *find(const struct iicp_json *name) {
        /* Nearly all other members are told by their first letter. */
        if (!name->escaped && (name->text.n < 9 || (name->text.p[0] != 'm' && name->text.p[0] != 'n')))
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
                if (iicp_json_is(name, limits[i].name))
                        return &limits[i];
        return NULL;
}

bool payload_is_limit(const struct iicp_json *name) {
        return find(name) != NULL;
}

const char *payload_take_limit(const struct iicp_json *name, const struct iicp_json *value, struct iicp_payload *p) {
        const struct limit *l = find(name);
        int64_t n = 0;

        if (!json_take_count(value, &n)) {
                if (!l->unlimited || iicp_json_int(value, &n) == -EINVAL)
                        return l->field;
                return NULL;
        }
        if (n > 0 && (p->max_tokens == 0 || n < p->max_tokens))
                p->max_tokens = n;
        return NULL;
}
