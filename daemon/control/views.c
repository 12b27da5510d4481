/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "control/internal.h"
#include "control/schema.h"

#include "build-config.h"
#include "findings/findings.h"
#include "health.h"
#include "node.h"
#include "observe/numbers.h"
#include "util.h"

#include <json-c/json.h>

/* Views that other rooms write and that are only wrapped here. */

unsigned get_status(struct call *call, struct iicp_buf *out) {
        status_json(call_node(call), out);
        return 200;
}

unsigned get_health(struct call *call, struct iicp_buf *out) {
        struct health h;
        char why[256];

        health_of(call_node(call), &h);
        status_sentence(call_node(call), why, sizeof(why));
        iicp_buf_printf(out, "{\"schema\":\"iicp.health/1\",\"state\":\"%s\",\"liveness\":\"%s\",\"readiness\":\"%s\",\"reasons\":[",
                        status_word(call_node(call)), health_liveness_name(h.liveness), health_readiness_name(h.readiness));
        for (unsigned i = 0; i < h.n_reasons; i++)
                iicp_buf_printf(out, "%s\"%s\"", i ? "," : "", h.reasons[i]);
        iicp_buf_puts(out, "],\"sentence\":");
        iicp_buf_json_str(out, iicp_str(why));
        iicp_buf_puts(out, "}");
        return 200;
}

static unsigned document(struct iicp_buf *out, const char *schema, const char *member, struct node *node,
                         void (*fn)(struct node *node, struct iicp_buf *out)) {
        iicp_buf_printf(out, "{\"schema\":\"iicp.%s/1\",\"%s\":", schema, member);
        fn(node, out);
        iicp_buf_puts(out, "}");
        return 200;
}

static void put_findings(struct node *n, struct iicp_buf *out) {
        findings_json(n->findings, out);
}

unsigned get_findings(struct call *call, struct iicp_buf *out) {
        return document(out, "findings", "findings", call_node(call), put_findings);
}

/* Of a document {"schema":...,"LIST":[...]} the entries whose member is the item. */
static unsigned pick(struct call *call, struct iicp_buf *all, const char *list, const char *name, struct iicp_buf *out) {
        json_object *doc = all->error ? NULL : json_tokener_parse(all->p), *entries = NULL, *kept = json_object_new_array();
        unsigned status = 200;

        if (doc && kept && json_object_object_get_ex(doc, list, &entries))
                for (size_t i = 0; i < json_object_array_length(entries); i++) {
                        json_object *e = json_object_array_get_idx(entries, i), *value = NULL;

                        if (json_object_object_get_ex(e, name, &value) &&
                            strcmp(json_object_get_string(value), call_item(call)) == 0)
                                json_object_array_add(kept, json_object_get(e));
                }
        if (!doc || !kept || json_object_array_length(kept) == 0) {
                json_object_put(kept);
                status = call_fault(out, 404, "not_found", "there is none of this name", "ask for the whole list");
        } else {
                json_object_object_add(doc, list, kept);
                iicp_buf_puts(out, json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        }
        json_object_put(doc);
        return status;
}

unsigned get_backend(struct call *call, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf all = {0};

        get_backends(call, &all);
        return pick(call, &all, "backends", "name", out);
}

unsigned get_config_key(struct call *call, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf all = {0};

        get_config(call, &all);
        return pick(call, &all, "keys", "key", out);
}

unsigned get_metrics(struct call *call, struct iicp_buf *out) {
        numbers_everything(call_node(call), out);
        return 200;
}

unsigned get_schemas(struct call *call, struct iicp_buf *out) {
        (void) call;
        schema_list(out);
        return 200;
}

unsigned get_schema(struct call *call, struct iicp_buf *out) {
        if (schema_print(call_item(call), out) < 0)
                return call_fault(out, 404, "not_found", "there is no schema of this name", "GET /v1/schema lists them");
        return 200;
}

unsigned get_version(struct call *call, struct iicp_buf *out) {
        (void) call;
        iicp_buf_printf(out, "{\"schema\":\"iicp.version/1\",\"version\":\"%s\",\"api\":\"v1\"}", PACKAGE_VERSION);
        return 200;
}
