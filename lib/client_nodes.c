/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <errno.h>
#include <iicp/lifecycle.h>
#include <stdio.h>

/* Node records of a discover answer. [06 section 6.5] A member of the wrong type counts as absent.
 */

static char *text_or_empty(const struct iicp_json *object, const char *name, size_t max) {
        struct iicp_json v = iicp_json_get(object, name);
        char text[256];

        if (iicp_json_copy(&v, text, MIN(sizeof(text), max + 1)) < 0)
                text[0] = '\0';
        return strdup(text);
}

/* A number, or (scores only) a number in a string; clamped to 0-1. */
static bool fraction(const struct iicp_json *object, const char *name, bool strings, double *ret) {
        struct iicp_json v = iicp_json_get(object, name);
        double d;

        if (strings && v.type == IICP_JSON_STRING)
                v.type = IICP_JSON_NUMBER;
        if (v.type != IICP_JSON_NUMBER || iicp_json_double(&v, &d) < 0)
                return false;
        *ret = d > 1 ? 1 : d > 0 ? d : 0;
        return true;
}

static int parse_models(const struct iicp_json *object, struct iicp_record *r) {
        struct iicp_json models = iicp_json_get(object, "models"), v;
        struct iicp_json_iter it;
        size_t n = 0;

        if (models.type != IICP_JSON_ARRAY)
                return 0;
        iicp_json_iter_init(&it, &models);
        while (iicp_json_next(&it, NULL, &v) && n < IICP_MODELS_PER_NODE_MAX)
                n += v.type == IICP_JSON_STRING;
        r->models = calloc(n + 1, sizeof(char *));
        if (!r->models)
                return -ENOMEM;
        n = 0;
        iicp_json_iter_init(&it, &models);
        while (iicp_json_next(&it, NULL, &v) && n < IICP_MODELS_PER_NODE_MAX) {
                char name[256];

                if (v.type != IICP_JSON_STRING || iicp_json_copy(&v, name, sizeof(name)) < 0)
                        continue;
                r->models[n] = strdup(name);
                if (!r->models[n++])
                        return -ENOMEM;
        }
        r->pub.models = (const char *const *) r->models;
        r->pub.n_models = n;
        return 0;
}

static void parse_manifest(const struct iicp_json *object, struct iicp_record *r) {
        struct iicp_json m = iicp_json_get(object, "node_policy_manifest"), sub, v;

        r->has_manifest = m.type == IICP_JSON_OBJECT;
        if (!r->has_manifest)
                return;
        sub = iicp_json_get(&m, "verification");
        v = iicp_json_get(&sub, "status");
        r->manifest_signed = v.type == IICP_JSON_STRING && iicp_json_is(&v, "signed_valid");
        v = iicp_json_get(&m, "evidence");
        if (v.type == IICP_JSON_STRING && iicp_json_is(&v, "signed_verified"))
                r->manifest_signed = true;
        sub = iicp_json_get(&m, "retention");
        v = iicp_json_get(&sub, "task_payload");
        r->retention_none = v.type == IICP_JSON_STRING && iicp_json_is(&v, "none");
        v = iicp_json_get(&m, "manifest_identity_level");
        if (iicp_json_copy(&v, r->identity_level, sizeof(r->identity_level)) < 0)
                r->identity_level[0] = '\0';
}

static void parse_key(const struct iicp_json *object, const struct iicp_node_rules *rules,
                      struct iicp_record *r) {
        struct iicp_json key = iicp_json_get(object, "cx_public_key");

        if (key.type == IICP_JSON_NONE || key.type == IICP_JSON_NULL)
                key = iicp_json_get(object, "public_key");
        r->pub.has_key = key.type == IICP_JSON_OBJECT &&
                         iicp_cx_peer_key_parse(&key, rules->now_s, &r->key) == 0;
        /* a redacted record only says that there is one */
        if (rules->public_view && iicp_json_get(object, "key_ready").type == IICP_JSON_TRUE)
                r->pub.has_key = true;
}

static int parse_route(const struct iicp_json *object, const struct iicp_node_rules *rules,
                       struct iicp_record *r) {
        struct iicp_json v = iicp_json_get(object, "node_id");
        struct iicp_url url;
        char text[IICP_NODE_ID_MAX + 1], endpoint[256];

        if (iicp_json_copy(&v, text, sizeof(text)) < 0 || !text[0])
                return -EINVAL;
        v = iicp_json_get(object, "endpoint");
        if (iicp_json_copy(&v, endpoint, sizeof(endpoint)) < 0 ||
            iicp_url_parse(iicp_str(endpoint), &url) < 0)
                return -EINVAL;
        if (!rules->allow_private && iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_DIAL) < 0)
                return -EADDRNOTAVAIL;
        v = iicp_json_get(object, "browser_usable");
        r->pub.browser_usable =
                v.type == IICP_JSON_TRUE ||
                (v.type != IICP_JSON_FALSE && (url.https || iicp_host_is_loopback(url.host)));
        if (rules->browser_usable_only && !r->pub.browser_usable)
                return -EINVAL;
        r->node_id = strdup(text);
        r->endpoint = strdup(endpoint);
        if (r->endpoint && r->endpoint[0])
                for (size_t n = strlen(r->endpoint); n > 0 && r->endpoint[n - 1] == '/'; n--)
                        r->endpoint[n - 1] = '\0';
        return 0;
}

/* A redacted record: enough to be shown, never to be dispatched to. */
static int parse_redacted(const struct iicp_json *object, struct iicp_record *r) {
        struct iicp_json v = iicp_json_get(object, "node_id_prefix");

        if (v.type != IICP_JSON_STRING)
                v = iicp_json_get(object, "node_id");
        r->node_id = strdup("");
        r->endpoint = strdup("");
        char text[IICP_NODE_ID_MAX + 1];
        if (iicp_json_copy(&v, text, sizeof(text)) < 0 || !text[0])
                return -EINVAL;
        snprintf(r->pub.prefix, sizeof(r->pub.prefix), "%.8s", text);
        return 0;
}

/* Ids come from strangers and reach terminals and messages. */
static bool plain_id(const char *id) {
        for (; *id; id++)
                if (*id <= 0x20 || *id >= 0x7f || *id == '"' || *id == '\\')
                        return false;
        return true;
}

static bool names_lifecycle(const struct iicp_json *object) {
        struct iicp_json list = iicp_json_get(object, "supported_profiles"), one;
        struct iicp_json_iter it;

        if (list.type != IICP_JSON_ARRAY)
                return false;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &one))
                if (iicp_json_is(&one, IICP_PROFILE_LIFECYCLE))
                        return true;
        return false;
}

/* Of the node or of one of its capabilities; it holds for the node either way. */
static bool offers_lifecycle(const struct iicp_json *object) {
        struct iicp_json list = iicp_json_get(object, "capabilities"), one;
        struct iicp_json_iter it;

        if (names_lifecycle(object))
                return true;
        if (list.type != IICP_JSON_ARRAY)
                return false;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &one))
                if (one.type == IICP_JSON_OBJECT && names_lifecycle(&one))
                        return true;
        return false;
}

int iicp_record_parse(const struct iicp_json *object, const struct iicp_node_rules *rules,
                      struct iicp_record *ret) {
        struct iicp_record r = {0};
        struct iicp_json v;
        int err = -EINVAL;

        if (object->type != IICP_JSON_OBJECT)
                return -EINVAL;
        v = iicp_json_get(object, "available");
        if (v.type == IICP_JSON_FALSE)
                return -EINVAL;
        err = rules->public_view ? parse_redacted(object, &r) : parse_route(object, rules, &r);
        if (err == 0 && r.node_id && !plain_id(r.node_id))
                err = -EINVAL;
        if (err == 0)
                err = parse_models(object, &r);
        if (err < 0) {
                iicp_record_done(&r);
                return err;
        }
        if (!rules->public_view)
                snprintf(r.pub.prefix, sizeof(r.pub.prefix), "%.8s", r.node_id);
        if (!plain_id(r.pub.prefix))
                r.pub.prefix[0] = '\0';
        (void) fraction(object, "score", true, &r.pub.score);
        r.pub.has_load = fraction(object, "load", false, &r.pub.load);
        r.region = text_or_empty(object, "region", 64);
        r.reach = text_or_empty(object, "reachability_tier", 32);
        if (r.reach && !r.reach[0]) {
                free(r.reach);
                r.reach = text_or_empty(object, "exposure_mode", 32);
        }
        parse_key(object, rules, &r);
        parse_manifest(object, &r);
        r.lifecycle = offers_lifecycle(object);
        if (!r.node_id || !r.endpoint || !r.region || !r.reach) {
                iicp_record_done(&r);
                return -ENOMEM;
        }
        r.pub.node_id = r.node_id;
        r.pub.endpoint = r.endpoint;
        r.pub.region = r.region;
        r.pub.reach = r.reach;
        *ret = r;
        return 0;
}

void iicp_record_done(struct iicp_record *r) {
        for (size_t i = 0; r->models && r->models[i]; i++)
                free(r->models[i]);
        free(r->models);
        free(r->node_id);
        free(r->endpoint);
        free(r->region);
        free(r->reach);
        *r = (struct iicp_record){0};
}

int iicp_nodes_parse(struct iicp_str body, const struct iicp_node_rules *rules, unsigned limit,
                     struct iicp_nodes **ret) {
        struct iicp_json top, nodes, record;
        struct iicp_json_iter it;
        struct iicp_nodes *list;
        int err;

        if (iicp_json_scan(body, NULL, NULL, &top) < 0 || top.type != IICP_JSON_OBJECT)
                return -EBADMSG;
        nodes = iicp_json_get(&top, "nodes");
        if (nodes.type != IICP_JSON_ARRAY)
                return -EBADMSG;
        list = calloc(1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        list->v = calloc(limit ? limit : 1, sizeof(*list->v));
        err = list->v ? 0 : -ENOMEM;
        iicp_json_iter_init(&it, &nodes);
        while (err != -ENOMEM && list->n < limit && iicp_json_next(&it, NULL, &record)) {
                err = iicp_record_parse(&record, rules, &list->v[list->n]);
                if (err == 0)
                        list->n++;
                else if (err == -EADDRNOTAVAIL)
                        list->n_private++;
        }
        if (err == -ENOMEM) {
                iicp_nodes_free(list);
                return err;
        }
        *ret = list;
        return 0;
}

size_t iicp_nodes_count(const struct iicp_nodes *list) {
        return list->n;
}

void iicp_nodes_get(const struct iicp_nodes *list, size_t i, struct iicp_node *ret) {
        *ret = list->v[i].pub;
}

struct iicp_nodes *iicp_nodes_free(struct iicp_nodes *list) {
        if (!list)
                return NULL;
        for (size_t i = 0; i < list->n; i++)
                iicp_record_done(&list->v[i]);
        free(list->v);
        free(list);
        return NULL;
}
