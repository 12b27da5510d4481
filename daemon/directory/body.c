/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"

#include "internal.h"
#include "mesh/mesh.h"
#include "vouch.h"
#include "reach/routes.h"
#include "relay/sessions.h"
#include "relay/worker.h"
#include "../policy.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/endpoint.h>
#include <iicp/hmac.h>
#include <iicp/lifecycle.h>
#include <json-c/json.h>
#include <stdio.h>

/* REGISTER and HEARTBEAT bodies. What is unknown is left out: never null, never an empty string.
 * [01 sections 2.2 to 2.4, 3.2] */

#define DECLARED_CONCURRENT_MAX 256u
#define PROFILE_MAX 160u /* characters of a profile URN [01 section 2.3] */
#define CAPABILITIES_MAX 128u
#define JSON_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static void json_cleanup(json_object **o) {
        json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_cleanup)

/* json-c takes the value over even when it fails only by aborting; a NULL child would print null.
 */
static int add(json_object *o, const char *name, json_object *value) {
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(o, name, value) < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

static int add_text(json_object *o, const char *name, const char *text) {
        return text && *text ? add(o, name, json_object_new_string(text)) : 0;
}

static int add_int(json_object *o, const char *name, int64_t v) {
        return add(o, name, json_object_new_int64(v));
}

static int add_decimal(json_object *o, const char *name, double v, int decimals) {
        char text[32];

        snprintf(text, sizeof text, "%.*f", decimals, v);
        return add(o, name, json_object_new_double_s(v, text));
}

static int append(json_object *array, json_object *value) {
        if (!value)
                return -ENOMEM;
        if (json_object_array_add(array, value) < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

static json_object *texts(const char *const *v, size_t n, size_t longest) {
        json_object *a = json_object_new_array();

        for (size_t i = 0; a && i < n; i++)
                if (strlen(v[i]) <= longest && append(a, json_object_new_string(v[i])) < 0) {
                        json_object_put(a);
                        return NULL;
                }
        return a;
}

/* ---- REGISTER ---- */

static json_object *capability(const struct iicp_capability *c, unsigned max_tokens) {
        const char *modalities[3] = {"text"};
        _cleanup_json_ json_object *o = json_object_new_object();
        size_t n = 1;
        int r;

        if (c->json)
                return json_tokener_parse(c->json);
        if (!o)
                return NULL;
        if (c->image)
                modalities[n++] = "image";
        if (c->audio)
                modalities[n++] = "audio";
        r = add_text(o, "intent", c->intent);
        if (r == 0 && c->n_models > 0)
                r = add(o, "models",
                        texts(c->models, MIN(c->n_models, MODELS_PER_CAPABILITY),
                              BACKEND_MODEL_NAME_MAX));
        if (r == 0 && max_tokens > 0)
                r = add_int(o, "max_tokens", max_tokens);
        if (r == 0)
                r = add(o, "input_modalities", texts(modalities, n, 16));
        return r < 0 ? NULL : TAKE_PTR(o);
}

/* Each text may stand in one capability of the request only; the first one has them. */
static json_object *profiles(const struct config *c) {
        const char *const v[] = {IICP_PROFILE_ADMISSION, IICP_PROFILE_LIFECYCLE};

        return texts(v, c->lifecycle_enabled ? 2 : 1, PROFILE_MAX);
}

/* One object of 64 models, as many objects as it takes. */
static int append_group(json_object *array, const struct iicp_capability *group, unsigned max_tokens) {
        int r = 0;

        /* without models: the operator's object, or a further intent of models that are listed elsewhere */
        if (group->n_models == 0 && json_object_array_length(array) < CAPABILITIES_MAX)
                return append(array, capability(group, max_tokens));
        for (size_t at = 0; r == 0 && at < group->n_models; at += MODELS_PER_CAPABILITY) {
                struct iicp_capability part = *group;

                if (json_object_array_length(array) == CAPABILITIES_MAX)
                        break;
                part.models = group->models + at;
                part.n_models = MIN(group->n_models - at, (size_t) MODELS_PER_CAPABILITY);
                r = append(array, capability(&part, max_tokens));
        }
        return r;
}

/* Not every directory has a grammar for the intents of vendors. [01 section 2.3] */
static bool of_vendor(const char *intent) {
        return strncmp(intent, "urn:iicp:intent:x.", 18) == 0;
}

static int add_capabilities(json_object *body, const struct node *node, const char *const *models,
                            size_t n, unsigned omit, unsigned *ret_carried) {
        const struct config *c = node->config;
        struct iicp_capabilities caps = {0};
        _cleanup_json_ json_object *array = json_object_new_array();
        bool vendor = false, other = false;
        int r = policy_capabilities(node->policy, models, n, &caps);

        if (!array)
                r = -ENOMEM;
        for (size_t i = 0; r == 0 && i < caps.n; i++) {
                bool v = of_vendor(caps.v[i].intent);

                vendor = vendor || v;
                other = other || !v;
                if (!v || !(omit & PART_VENDOR))
                        r = append_group(array, &caps.v[i], c->max_tokens);
        }
        if (r == 0 && json_object_array_length(array) > 0)
                r = add(json_object_array_get_idx(array, 0), "supported_profiles", profiles(c));
        iicp_capabilities_free(&caps);
        /* The last capability cannot be left out. */
        if (vendor && other)
                *ret_carried |= PART_VENDOR;
        return r < 0 ? r : add(body, "capabilities", TAKE_PTR(array));
}

/* Only where sub-tasks of coordinators are taken. [05 section 14.2] */
static int add_policy(json_object *body, const struct node *node) {
        const char *text = policy_block(node->policy);

        return text ? add(body, "policy", json_tokener_parse(text)) : 0;
}

static int add_limits(json_object *body, const struct config *c) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (!o ||
            add_int(o, "max_concurrent", MIN(c->max_concurrent, DECLARED_CONCURRENT_MAX)) < 0 ||
            add_int(o, "tokens_per_min", c->tokens_per_min) < 0)
                return -ENOMEM;
        return add(body, "limits", TAKE_PTR(o));
}

static int add_availability(json_object *body, const struct config *c) {
        _cleanup_json_ json_object *array = json_object_new_array();

        if (c->n_windows == 0)
                return 0;
        if (!array)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_windows; i++) {
                _cleanup_json_ json_object *w = json_object_new_object();

                if (!w || add_text(w, "start", c->windows[i].start) < 0 ||
                    add_text(w, "end", c->windows[i].end) < 0 ||
                    add(w, "share", json_object_new_double(c->windows[i].share)) < 0 ||
                    append(array, TAKE_PTR(w)) < 0)
                        return -ENOMEM;
        }
        return add(body, "availability", TAKE_PTR(array));
}

/* Who relays for us, where both directories look for it. [03 section 19.3] */
static int add_relayed_by(json_object *metadata, const struct node *n) {
        const struct iicp_relay_route *r = worker_route(n->worker);

        if (!r)
                return 0;
        if (add_text(metadata, "relay_for", state_identity(n->state)->node_id) < 0 ||
            add_text(metadata, "relay_host", r->host) < 0 || add_int(metadata, "relay_port", r->port) < 0 ||
            add_text(metadata, "relay_endpoint", r->base) < 0 ||
            (worker_polls(n->worker) && add_text(metadata, "relay_transport", "http-poll") < 0))
                return -ENOMEM;
        return 0;
}

/* The four fields that a directory would otherwise keep from an older route. [04 section 2] */
static int add_route(json_object *body, struct node *n, const char *endpoint) {
        char transport[256];
        struct iicp_url url;
        bool v6 = iicp_url_parse(iicp_str(endpoint), &url) == 0 && url.ipv6;
        /* An endpoint of the configuration is what it is; of one that was found more is known. */
        struct ladder_route given = {
                .method = "direct", .exposure = v6 ? "ipv6_direct_firewall_required" : "ipv4_public_direct",
        };
        const struct ladder_route *route = n->routes && routes_live(n->routes)->endpoint[0] ? routes_live(n->routes) : &given;
        _cleanup_json_ json_object *metadata = json_object_new_object();

        if (!metadata || add_int(metadata, "tier", route->tier) < 0 ||
            (route->mapping[0] && add_text(metadata, "mapping", route->mapping) < 0) ||
            (route->kind == ROUTE_RELAY && add_relayed_by(metadata, n) < 0) ||
            (route->kind == ROUTE_TUNNEL_STABLE && add_text(metadata, "tunnel", "stable") < 0) ||
            (route->kind == ROUTE_TUNNEL_QUICK && add_text(metadata, "tunnel", "quick") < 0) ||
            add_text(body, "transport_method", route->method) < 0 || add_text(body, "nat_type", routes_nat_type(n->routes)) < 0 ||
            add_text(body, "exposure_mode", route->exposure) < 0)
                return -ENOMEM;
        if (route->tier < 3 && node_transport_endpoint(n, transport) &&
            add_text(body, "transport_endpoint", transport) < 0)
                return -ENOMEM;
        return add(body, "transport_metadata", TAKE_PTR(metadata));
}

/* No directory keeps the port, gossip does. [03 section 19.4] */
static int add_relay(json_object *body, struct node *n) {
        if (!relay_declared(n->relay) || !routes_relay_open(n->routes))
                return 0;
        if (add(body, "relay_capable", json_object_new_boolean(true)) < 0)
                return -ENOMEM;
        return add_int(body, "relay_accept_port", relay_port(n->relay));
}

static int add_software(json_object *body, struct node *n) {
        if (add_text(body, "backend", backends_flavour(n->backends)) < 0 ||
            add_text(body, "sdk_language", "c") < 0 ||
            add_text(body, "sdk_version", IICP_SDK_LEVEL) < 0 ||
            add_text(body, "sdk_compatibility_version", IICP_SDK_LEVEL) < 0 ||
            add_text(body, "implementation_name", "iicpd") < 0 ||
            add_text(body, "implementation_version", PACKAGE_VERSION) < 0)
                return -ENOMEM;
        return add(body, "auto_update_enabled", json_object_new_boolean(false));
}

static int add_cx_key(json_object *body, struct node *n) {
        struct iicp_str text = state_cx_public(n->state);
        _cleanup_free_ char *copy = NULL;

        if (!n->config->cx_enabled || text.n == 0)
                return 0;
        copy = strndup(text.p, text.n);
        return copy ? add(body, "cx_public_key", json_tokener_parse(copy)) : -ENOMEM;
}

static int add_gossip_key(json_object *body, struct node *n) {
        char key[65];

        return mesh_public_key(n, key) ? add_text(body, "public_key", key) : 0;
}

/* Everything but the proof. omit: enum register_part; ret_carried: what of those there is to leave
 * out. */
static json_object *declaration(struct node *n, const char *endpoint, const char *const *models,
                                size_t n_models, unsigned omit, unsigned *ret_carried) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (!o || add_text(o, "node_id", state_identity(n->state)->node_id) < 0 ||
            add_text(o, "endpoint", endpoint) < 0 ||
            add_text(o, "region",
                     n->config->region && *n->config->region ? n->config->region : "unknown") < 0 ||
            add_capabilities(o, n, models, n_models, omit, ret_carried) < 0 ||
            add_limits(o, n->config) < 0 || add_availability(o, n->config) < 0 || add_policy(o, n) < 0 ||
            add_route(o, n, endpoint) < 0 || add_relay(o, n) < 0 || add_gossip_key(o, n) < 0 ||
            add_software(o, n) < 0 || (!(omit & PART_CX) && add_cx_key(o, n) < 0))
                return NULL;
        return TAKE_PTR(o);
}

static int compare(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Over the models in alphabetical order: another order of a server's list declares nothing new. */
static int digest(struct node *n, const char *endpoint, const char *const *models, size_t n_models,
                  unsigned omit, char out[65]) {
        _cleanup_free_ const char **sorted = calloc(n_models + 1, sizeof *sorted);
        _cleanup_json_ json_object *o = NULL;
        _cleanup_(iicp_buf_free) struct iicp_buf all = {0};
        uint8_t hash[32];
        unsigned carried = 0;
        const char *text;

        if (!sorted)
                return -ENOMEM;
        memcpy(sorted, models, n_models * sizeof *sorted);
        qsort(sorted, n_models, sizeof *sorted, compare);
        o = declaration(n, endpoint, sorted, n_models, omit & ~(unsigned) PART_CX, &carried);
        text = o ? json_object_to_json_string_ext(o, JSON_FLAGS) : NULL;
        if (!text)
                return -ENOMEM;
        iicp_buf_puts(&all, text);
        vouch_declared(n->vouch, omit, &all);
        if (all.error || iicp_sha256(iicp_buf_str(&all), hash) < 0)
                return -ENOMEM;
        iicp_hex(hash, sizeof hash, out);
        return 0;
}

int body_endpoint(struct node *n, char out[256]) {
        const char *endpoint = node_endpoint(n, NULL);
        size_t k;

        if (!endpoint)
                return -ENOENT;
        snprintf(out, 256, "%s", endpoint);
        for (k = strlen(out); k > 0 && out[k - 1] == '/'; k--)
                out[k - 1] = '\0';
        return 0;
}

int body_digest(struct directory *d, char out[65]) {
        size_t n;
        const char *const *models = backends_models_to_register(d->node->backends, &n);
        char endpoint[256];
        int r = body_endpoint(d->node, endpoint);

        return r < 0 ? r : n == 0 ? -ENOENT : digest(d->node, endpoint, models, n, d->omit, out);
}

int body_register(struct directory *d, struct registration *reg) {
        struct node *node = d->node;
        const struct identity *id = state_identity(node->state);
        size_t n;
        const char *const *models = backends_models_to_register(node->backends, &n);
        _cleanup_json_ json_object *o = NULL;
        const char *text;
        int r = 0;

        if (reg->old_route)
                snprintf(reg->endpoint, sizeof reg->endpoint, "%s", id->registered.endpoint);
        else
                r = body_endpoint(node, reg->endpoint);
        if (r < 0 || n == 0)
                return -ENOENT;
        r = digest(node, reg->endpoint, models, n, reg->omitted, reg->digest);
        if (r < 0 || (r = name_list_copy(models, n, &reg->models)) < 0)
                return r;
        o = declaration(node, reg->endpoint, models, n, reg->omitted, &reg->carried);
        text = o ? json_object_to_json_string_ext(o, JSON_FLAGS) : NULL;
        if (!text)
                return -ENOMEM;
        if (json_object_object_get_ex(o, "cx_public_key", NULL))
                reg->carried |= PART_CX;
        if (node->config->cx_enabled)
                snprintf(reg->cx_key_id, sizeof reg->cx_key_id, "%s", state_cx_key_id(node->state));
        /* The token goes in by hand, so that it is in no memory that is not wiped. */
        iicp_buf_add(&reg->body, text, strlen(text) - 1);
        reg->carried |= vouch_register_members(node->vouch, reg->omitted, &reg->body);
        if (id->node_token[0]) {
                iicp_buf_puts(&reg->body, ",\"current_node_token\":");
                iicp_buf_json_str(&reg->body, iicp_str(id->node_token));
        }
        iicp_buf_puts(&reg->body, "}");
        return reg->body.error;
}

/* ---- HEARTBEAT ---- */

static int add_challenge(json_object *body, const struct identity *id, struct beat_content *content) {
        char answer[65];

        if (!id->challenge[0] || !id->node_hmac_key[0])
                return 0;
        if (iicp_hmac_sha256_hex(iicp_str(id->node_hmac_key), iicp_str(id->challenge), answer) < 0)
                return 0; /* an unanswered challenge only costs verification */
        content->challenge = true;
        return add_text(body, "challenge_response", answer);
}

/* Only a batch that is on the disk: what is sent once must be repeated as it is. */
static int add_batch(json_object *body, const struct batch *b, struct beat_content *content) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
        int r;

        if (!b->id[0] || strcmp(b->id, b->durable_id) != 0)
                return 0;
        batch_metrics_json(b, &text);
        r = text.error ? text.error : add(body, "metrics", json_tokener_parse(text.p));
        if (r == 0)
                r = add_text(body, "metrics_batch_id", b->id);
        if (r == 0)
                memcpy(content->batch_id, b->id, sizeof content->batch_id);
        return r;
}

static int add_price(json_object *body, const struct node *n, struct beat_content *content) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};

        content->price = vouch_signed_price(n->vouch, &text);
        return content->price ? add(body, "pricing", json_tokener_parse(text.p)) : 0;
}

static int add_stability(json_object *body, struct node *n) {
        struct backend_stability s;
        _cleanup_json_ json_object *o = json_object_new_object();

        backends_stability(n->backends, &s);
        if (!o || add_text(o, "backend_state", backend_state_name(s.state)) < 0 ||
            add_text(o, "reason_class", s.reason) < 0 ||
            (s.retry_after_s > 0 && add_int(o, "retry_after_s", MIN(s.retry_after_s, 86400)) < 0) ||
            (s.drain_until > 0 && add_int(o, "drain_until", s.drain_until) < 0))
                return -ENOMEM;
        return add(body, "backend_stability", TAKE_PTR(o));
}

static int add_models(json_object *body, struct node *n) {
        size_t count;
        bool known;
        const char *const *v = backends_models(n->backends, &count, &known);

        return known ? add(body, "health_models", texts(v, count, HEALTH_MODEL_MAX)) : 0;
}

/* Words of closed sets only, and nothing at all while all is well. [01 section 6] */
static int add_recovery(json_object *body, const struct directory *d) {
        const struct recovery *r = &d->recovery;

        if (r->state == RECOVERY_STABLE)
                return 0;
        if (add_text(body, "recovery_state", recovery_state_name(r->state)) < 0 ||
            add_text(body, "recovery_action", recovery_action_name(r->action)) < 0 ||
            add_text(body, "route_recovery_hint", recovery_hint(d)) < 0 ||
            add_int(body, "recovery_attempt", MIN(r->failures, 1000u)) < 0)
                return -ENOMEM;
        return add(body, "recovery_supervised", json_object_new_boolean(r->supervised));
}

static double load_of(const struct corridor *c) {
        unsigned effective = MAX(corridor_effective(c), 1u);

        return MIN(1.0, (double) corridor_active(c) / effective);
}

int body_heartbeat(struct directory *d, bool available, struct iicp_buf *out,
                   struct beat_content *ret) {
        struct node *n = d->node;
        _cleanup_json_ json_object *o = json_object_new_object();
        bool minimal = d->beat.minimal_until_ms > directory_now(d);
        const char *text;

        *ret = (struct beat_content){0};
        if (!o || add_text(o, "node_id", state_identity(n->state)->node_id) < 0 ||
            add_decimal(o, "load", load_of(n->corridor), 3) < 0 ||
            add_int(o, "active_jobs", corridor_active(n->corridor)) < 0 ||
            add(o, "available", json_object_new_boolean(available)) < 0 ||
            (!minimal && (add_models(o, n) < 0 || add_stability(o, n) < 0 ||
                          add_recovery(o, d) < 0 || add_batch(o, &d->batch, ret) < 0 ||
                          add_price(o, n, ret) < 0)) ||
            add_challenge(o, state_identity(n->state), ret) < 0)
                return -ENOMEM;
        text = json_object_to_json_string_ext(o, JSON_FLAGS);
        if (!text)
                return -ENOMEM;
        iicp_buf_puts(out, text);
        return out->error;
}

void body_node_id(struct directory *d, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"node_id\":");
        iicp_buf_json_str(out, iicp_str(state_identity(d->node->state)->node_id));
        iicp_buf_puts(out, "}");
}
