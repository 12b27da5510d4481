/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/directory_read.h>

#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <iicp/json.h>

/* Text of printable characters that fits; anything else counts as absent. */
static void text(const struct iicp_json *o, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(o, name);

        out[0] = '\0';
        if (iicp_json_copy(&v, out, cap) < 0)
                out[0] = '\0';
        for (const char *p = out; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f) {
                        out[0] = '\0';
                        return;
                }
}

static enum iicp_tristate flag(const struct iicp_json *o, const char *name) {
        struct iicp_json v = iicp_json_get(o, name);

        return v.type == IICP_JSON_TRUE ? IICP_YES : v.type == IICP_JSON_FALSE ? IICP_NO : IICP_UNKNOWN;
}

static double number(const struct iicp_json *o, const char *name, double low, double high) {
        struct iicp_json v = iicp_json_get(o, name);
        double d;

        return iicp_json_double(&v, &d) == 0 && d >= low && d <= high ? d : -1;
}

static int64_t count(const struct iicp_json *o, const char *name) {
        struct iicp_json v = iicp_json_get(o, name);
        int64_t n;

        return iicp_json_int(&v, &n) == 0 && n >= 0 ? n : -1;
}

/* A number, or an object that has one as its score. */
static bool component(const struct iicp_json *v, double *ret) {
        struct iicp_json score = *v;

        if (v->type == IICP_JSON_OBJECT)
                score = iicp_json_get(v, "score");
        return iicp_json_double(&score, ret) == 0;
}

static void read_components(const struct iicp_json *health, struct iicp_node_health *h) {
        struct iicp_json list = iicp_json_get(health, "components"), name, v;
        struct iicp_json_iter it;

        if (list.type != IICP_JSON_OBJECT)
                return;
        iicp_json_iter_init(&it, &list);
        while (h->n_components < IICP_HEALTH_COMPONENTS_MAX && iicp_json_next(&it, &name, &v))
                if (component(&v, &h->components[h->n_components].value) &&
                    iicp_json_copy(&name, h->components[h->n_components].name,
                                   sizeof(h->components[0].name)) == 0)
                        h->n_components++;
}

static void read_health(const struct iicp_json *o, struct iicp_node_health *h) {
        struct iicp_json health = iicp_json_get(o, "health");

        h->score = -1;
        h->observed = IICP_UNKNOWN;
        if (health.type != IICP_JSON_OBJECT)
                return;
        h->present = true;
        h->score = (int) number(&health, "score", 0, 100);
        h->observed = flag(&health, "observed");
        text(&health, "label", h->label, sizeof(h->label));
        text(&health, "confidence", h->confidence, sizeof(h->confidence));
        text(&health, "evidence_level", h->evidence_level, sizeof(h->evidence_level));
        text(&health, "latency_ms_basis", h->latency_basis, sizeof(h->latency_basis));
        text(&health, "evaluated_at", h->evaluated_at, sizeof(h->evaluated_at));
        read_components(&health, h);
}

/* A string, or the first one of a list. */
static void first_text(const struct iicp_json *o, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(o, name), item;
        struct iicp_json_iter it;

        text(o, name, out, cap);
        if (v.type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, &v);
        if (iicp_json_next(&it, NULL, &item) && iicp_json_copy(&item, out, cap) < 0)
                out[0] = '\0';
}

/* One directory calls the encryption key so, and sends an object. */
static void read_gossip_key(const struct iicp_json *o, char out[65]) {
        text(o, "public_key", out, 65);
        for (size_t i = 0; i < 64; i++)
                if (!isxdigit((unsigned char) out[i])) {
                        out[0] = '\0';
                        return;
                }
}

static void count_capabilities(const struct iicp_json *o, struct iicp_directory_node *n) {
        struct iicp_json list = iicp_json_get(o, "capabilities"), c, models, model;
        struct iicp_json_iter it, inner;

        if (list.type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &c)) {
                n->n_capabilities++;
                models = iicp_json_get(&c, "models");
                if (models.type != IICP_JSON_ARRAY)
                        continue;
                iicp_json_iter_init(&inner, &models);
                while (iicp_json_next(&inner, NULL, &model))
                        n->n_models++;
        }
}

static int open_object(struct iicp_str body, struct iicp_json *ret) {
        struct iicp_json inner;

        if (iicp_json_scan(body, NULL, NULL, ret) < 0 || ret->type != IICP_JSON_OBJECT)
                return -EINVAL;
        inner = iicp_json_get(ret, "node");
        if (inner.type == IICP_JSON_OBJECT)
                *ret = inner;
        return 0;
}

int iicp_directory_node_read(struct iicp_str body, struct iicp_directory_node *ret) {
        struct iicp_directory_node n = {0};
        struct iicp_json o, summary;
        int r = open_object(body, &o);

        if (r < 0)
                return r;
        text(&o, "node_id", n.node_id, sizeof(n.node_id));
        text(&o, "endpoint", n.endpoint, sizeof(n.endpoint));
        text(&o, "region", n.region, sizeof(n.region));
        text(&o, "last_seen", n.last_seen, sizeof(n.last_seen));
        n.available = flag(&o, "available");
        n.probation = flag(&o, "probation");
        n.browser_usable = flag(&o, "browser_usable");
        n.observed_reachable = flag(&o, "directory_observed_reachable");
        n.key_ready = flag(&o, "key_ready");
        n.operator_verified = flag(&o, "operator_verified");
        n.load = number(&o, "load", 0, 1);
        n.reputation = number(&o, "reputation_score", 0, 1);
        n.active_jobs = count(&o, "active_jobs");
        n.completed_tasks = count(&o, "completed_tasks_count");
        read_health(&o, &n.health);
        text(&o, "routing_hint", n.routing_hint, sizeof(n.routing_hint));
        first_text(&o, "route_evidence", n.route_evidence, sizeof(n.route_evidence));
        text(&o, "exposure_mode", n.exposure_mode, sizeof(n.exposure_mode));
        text(&o, "sdk_status", n.sdk_status, sizeof(n.sdk_status));
        summary = iicp_json_get(&o, "status_summary");
        text(&summary, "state", n.status, sizeof(n.status));
        count_capabilities(&o, &n);
        read_gossip_key(&o, n.gossip_key);
        *ret = n;
        return 0;
}

int iicp_directory_stats_read(struct iicp_str body, struct iicp_directory_stats *ret) {
        struct iicp_directory_stats s = {0};
        struct iicp_json o, server, mesh;

        if (iicp_json_scan(body, NULL, NULL, &o) < 0 || o.type != IICP_JSON_OBJECT)
                return -EINVAL;
        server = iicp_json_get(&o, "server");
        mesh = iicp_json_get(&o, "mesh_health");
        text(&server, "version", s.version, sizeof(s.version));
        s.active_nodes = count(&server, "active_nodes");
        if (s.active_nodes < 0)
                s.active_nodes = count(&o, "active_nodes");
        s.mesh_score = number(&mesh, "score", 0, 1);
        text(&mesh, "label", s.mesh_label, sizeof(s.mesh_label));
        text(&mesh, "window", s.mesh_window, sizeof(s.mesh_window));
        *ret = s;
        return 0;
}

int iicp_directory_find_node(struct iicp_str body, const char *node_id) {
        struct iicp_json o, list, item, id;
        struct iicp_json_iter it;

        if (iicp_json_scan(body, NULL, NULL, &o) < 0)
                return -EINVAL;
        list = iicp_json_get(&o, "nodes");
        if (list.type != IICP_JSON_ARRAY)
                return -EINVAL;
        iicp_json_iter_init(&it, &list);
        for (int at = 0; iicp_json_next(&it, NULL, &item); at++) {
                id = iicp_json_get(&item, "node_id");
                if (id.type == IICP_JSON_STRING && iicp_json_is(&id, node_id))
                        return at;
        }
        return -ENOENT;
}
