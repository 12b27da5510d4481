/* SPDX-License-Identifier: Apache-2.0 */
#include "policy-internal.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define FILE_MAX_ 262144 /* bytes of intents.capabilities */

struct problem {
        const char *key;
        char *why;
        size_t cap;
};

static int __attribute__((format(printf, 3, 4)))
wrong(struct problem *problem, const char *key, const char *fmt, ...) {
        va_list ap;

        problem->key = key;
        va_start(ap, fmt);
        vsnprintf(problem->why, problem->cap, fmt, ap);
        va_end(ap);
        return -EINVAL;
}

/* An intent that is to be registered must be one that admission lets through. */
static int allowed(struct policy *p, const char *urn, const char *key, struct problem *problem) {
        struct iicp_refusal refusal;

        if (iicp_urn_check(iicp_str(urn)) != IICP_URN_OK)
                return wrong(problem, key, "'%.80s' is no intent", urn);
        if (policy_allows(p, iicp_str(urn), &refusal))
                return 0;
        if (refusal.id == IICP_REFUSE_TOOL_EXECUTION)
                return wrong(problem, key, "'%.80s' cannot be served: this node executes no tools",
                             urn);
        return wrong(problem, key, "'%.80s' cannot be served: it is %s (%s)%s", urn,
                     refusal.category, refusal.rule_id,
                     strcmp(refusal.category, "high_risk") == 0
                             ? "; policy.allow_high_risk = yes lets it through"
                             : "");
}

static int read_custom(struct policy *p, const struct config *c, struct problem *problem) {
        static const char key[] = "intents.custom";

        for (char **item = c->intents_custom; item && *item; item++) {
                const char *equals = strchr(*item, '=');
                const struct iicp_intent *row;
                struct custom *custom = &p->custom[p->n_custom];
                int r;

                if (p->n_custom == POLICY_CUSTOM_MAX)
                        return wrong(problem, key, "more than %u custom intents",
                                     POLICY_CUSTOM_MAX);
                if (!equals)
                        return wrong(problem, key, "'%.80s' is not URN=URN", *item);
                row = iicp_intent_find(iicp_str(equals + 1));
                if (!row || row->extended)
                        return wrong(
                                problem, key,
                                "'%.80s' is none of the intents that a vendor's may be mapped to",
                                equals + 1);
                custom->urn = strndup(*item, (size_t) (equals - *item));
                if (!custom->urn)
                        return -ENOMEM;
                custom->intent = row;
                p->n_custom++;
                r = allowed(p, custom->urn, key, problem);
                if (r < 0)
                        return r;
                if (iicp_intent_find(iicp_str(custom->urn)))
                        return wrong(problem, key, "'%.80s' has a meaning of its own", custom->urn);
        }
        return 0;
}

static int read_default(struct policy *p, const struct config *c, struct problem *problem) {
        static const char key[] = "intents.default";
        int r = allowed(p, c->intent_default, key, problem);

        if (r < 0)
                return r;
        p->urn = strdup(c->intent_default);
        p->row = policy_row(p, iicp_str(c->intent_default));
        if (!p->urn)
                return -ENOMEM;
        if (!p->row)
                return wrong(problem, key,
                             "'%.80s' has no mapping to a backend; intents.custom gives it one",
                             p->urn);
        return 0;
}

/* ---- intents.capabilities ---- */

static bool names_tools(json_object *o) {
        static const char *const members[] = {"features", "execution_capabilities"};
        json_object *list;

        for (size_t m = 0; m < ARRAY_SIZE(members); m++) {
                if (!json_object_object_get_ex(o, members[m], &list) ||
                    !json_object_is_type(list, json_type_array))
                        continue;
                for (size_t i = 0; i < json_object_array_length(list); i++) {
                        const char *s = json_object_get_string(json_object_array_get_idx(list, i));

                        if (s && (strcmp(s, "tool_execution") == 0 || strcmp(s, "mcp_tools") == 0))
                                return true;
                }
        }
        return false;
}

static bool is_listed(const struct policy *p, const char *model) {
        for (size_t i = 0; i < p->n_listed; i++)
                for (size_t k = 0; k < p->listed[i].n_models; k++)
                        if (strcmp(p->listed[i].models[k], model) == 0)
                                return true;
        return false;
}

static int read_models(struct policy *p, struct listed *l, json_object *list,
                       struct problem *problem) {
        static const char key[] = "intents.capabilities";
        size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list)
                                                              : POLICY_MODELS_MAX + 1;

        if (n > POLICY_MODELS_MAX)
                return wrong(problem, key, "models of %s is no list of at most %u names", l->urn,
                             POLICY_MODELS_MAX);
        l->models = calloc(n + 1, sizeof(*l->models));
        if (!l->models)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                json_object *one = json_object_array_get_idx(list, i);
                const char *name = json_object_get_string(one);

                if (!json_object_is_type(one, json_type_string) || !*name || strlen(name) > 255)
                        return wrong(problem, key,
                                     "a model of %s is no name of 1 to 255 characters", l->urn);
                if (is_listed(p, name))
                        return wrong(problem, key,
                                     "model '%.80s' stands in two objects: directories refuse that",
                                     name);
                l->models[l->n_models] = strdup(name);
                if (!l->models[l->n_models++])
                        return -ENOMEM;
        }
        return 0;
}

static int read_object(struct policy *p, json_object *o, struct problem *problem) {
        static const char key[] = "intents.capabilities";
        struct listed *l = &p->listed[p->n_listed];
        json_object *v;
        int r;

        if (!json_object_is_type(o, json_type_object) ||
            !json_object_object_get_ex(o, "intent", &v) ||
            !json_object_is_type(v, json_type_string))
                return wrong(problem, key, "object %zu has no intent", p->n_listed + 1);
        l->urn = strdup(json_object_get_string(v));
        l->json = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
        p->n_listed++; /* from here on policy_free knows it */
        if (!l->urn || !l->json)
                return -ENOMEM;
        r = allowed(p, l->urn, key, problem);
        if (r < 0)
                return r;
        l->intent = policy_row(p, iicp_str(l->urn));
        if (!l->intent)
                return wrong(problem, key,
                             "%s has no mapping to a backend; intents.custom or intents.extended "
                             "gives one",
                             l->urn);
        if (names_tools(o))
                return wrong(problem, key, "%s claims to execute tools, which this node does not",
                             l->urn);
        if (json_object_object_get_ex(o, "max_tokens", &v)) {
                l->max_tokens =
                        json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
                if (l->max_tokens < 1)
                        return wrong(problem, key, "max_tokens of %s is no integer of at least 1",
                                     l->urn);
        }
        return json_object_object_get_ex(o, "models", &v) ? read_models(p, l, v, problem) : 0;
}

static int read_text(const char *path, struct iicp_buf *out) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;
        ssize_t n;
        char *p;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX_)
                return -EFBIG;
        p = iicp_buf_reserve(out, FILE_MAX_ + 1);
        if (!p)
                return -ENOMEM;
        while ((n = read(fd, p + out->n, FILE_MAX_ - out->n)) > 0)
                out->n += (size_t) n;
        p[out->n] = '\0';
        return n < 0 ? -errno : 0;
}

static int read_list(struct policy *p, json_object *list, struct problem *problem) {
        static const char key[] = "intents.capabilities";
        size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
        int r = 0;

        if (n < 1 || n > POLICY_CAPABILITIES_MAX)
                return wrong(problem, key,
                             "the file is no JSON array of 1 to %u capability objects",
                             POLICY_CAPABILITIES_MAX);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = read_object(p, json_object_array_get_idx(list, i), problem);
        return r;
}

static int read_capabilities(struct policy *p, const struct config *c, struct problem *problem) {
        static const char key[] = "intents.capabilities";
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
        json_object *list;
        int r;

        if (!c->intents_capabilities)
                return 0;
        r = read_text(c->intents_capabilities, &text);
        if (r < 0)
                return wrong(problem, key, "cannot read %s: %s", c->intents_capabilities,
                             strerror(-r));
        list = json_tokener_parse(text.p);
        r = read_list(p, list, problem);
        json_object_put(list);
        return r;
}

int policy_new(const struct config *c, struct policy **ret, const char **ret_key, char *why,
               size_t why_cap) {
        struct problem problem = {.why = why, .cap = why_cap};
        struct policy *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->extended = c->intents_extended;
        p->allow_high_risk = c->allow_high_risk;
        p->cip_worker = c->cip_enabled && c->cip_worker;
        p->max_tokens = c->max_tokens;
        r = read_custom(p, c, &problem);
        if (r == 0)
                r = read_default(p, c, &problem);
        if (r == 0)
                r = read_capabilities(p, c, &problem);
        if (r < 0) {
                *ret_key = problem.key;
                policy_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

struct policy *policy_free(struct policy *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_custom; i++)
                free(p->custom[i].urn);
        for (size_t i = 0; i < p->n_listed; i++) {
                for (size_t k = 0; k < p->listed[i].n_models; k++)
                        free(p->listed[i].models[k]);
                free(p->listed[i].models);
                free(p->listed[i].urn);
                free(p->listed[i].json);
        }
        free(p->urn);
        free(p);
        return NULL;
}
