/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "node.h"
#include "util.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

/* Our place in the directory: seen, taken, left, begun anew. */

static unsigned busy(struct iicp_buf *out) {
        return call_fault(out, 409, "conflict", "another change of the registration is under way", "wait for it");
}

/* ---- reregister ---- */

static void put_member(struct iicp_buf *out, const char *name, const char *text) {
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(text));
}

static void reregistered(void *arg, bool ok) {
        struct call *call = arg;
        const struct directory *d = call_node(call)->directory;
        struct directory_refusal refusal;
        struct iicp_buf out = {0};

        directory_refusal(d, &refusal);
        call_audit_outcome(call, "reregister", ok ? "registered" : directory_why(d));
        iicp_buf_printf(&out, "{\"schema\":\"iicp.reregister/1\",\"registered\":%s", ok ? "true" : "false");
        if (!ok) {
                put_member(&out, "class", refusal.cls);
                put_member(&out, "code", refusal.code);
                put_member(&out, "fields", refusal.fields);
                iicp_buf_printf(&out, ",\"next_try_ms\":%llu,\"error\":{\"code\":\"register_fail\",\"message\":",
                                (unsigned long long) refusal.next_try_ms);
                iicp_buf_json_str(&out, iicp_str(directory_why(d)));
                iicp_buf_puts(&out, ",\"do\":\"iicpctl directory\"}");
        }
        iicp_buf_puts(&out, "}");
        call_resume(call, ok ? 200 : 502, &out);
}

unsigned post_reregister(struct call *call, struct iicp_buf *out) {
        struct directory *d = call_node(call)->directory;
        int r;

        call_audit(call, "reregister");
        call_suspend(call);
        r = directory_reregister(d, reregistered, call);
        if (r == 0)
                return 0;
        if (r == -ESHUTDOWN)
                call_fault(out, 409, "stopping", "iicpd is starting or stopping", "try again when it runs");
        else if (r == -EOPNOTSUPP)
                call_fault(out, 409, "not_registering", "this node does not register, or has no model to register", "iicpctl status says why");
        else
                busy(out);
        call_resume(call, 409, out);
        return 0;
}

/* ---- leaving, beginning anew ---- */

/* {"node_id_prefix":"7d1f0c56"} must name this node: reputation is lost by it. */
static bool names_this_node(const struct call *call) {
        const char *id = state_identity(call_node(call)->state)->node_id;
        struct iicp_str text = call_body(call);
        json_object *body = text.n ? json_tokener_parse(text.p) : NULL, *prefix = NULL;
        bool same = false;

        if (body && json_object_is_type(body, json_type_object) &&
            json_object_object_get_ex(body, "node_id_prefix", &prefix)) {
                const char *given = json_object_get_string(prefix);

                same = given && strlen(given) >= MIN(strlen(id), (size_t) 8) &&
                       strncmp(given, id, strlen(given)) == 0;
        }
        json_object_put(body);
        return same;
}

static unsigned wrong_node(struct iicp_buf *out) {
        return call_fault(out, 422, "wrong_node", "this node's id does not start so", "iicpctl status shows the id");
}

static void deregistered(void *arg, bool ok) {
        struct iicp_buf out = {0};

        call_audit_outcome(arg, "deregister", ok ? "the directory has let this node go" : "the directory did not confirm");
        if (ok)
                iicp_buf_puts(&out, "{\"schema\":\"iicp.deregister/1\",\"deregistered\":true}");
        else
                call_fault(&out, 502, "deregister_failed", "the directory did not confirm",
                           "iicpctl directory; try again");
        call_resume(arg, ok ? 200 : 502, &out);
}

unsigned post_deregister(struct call *call, struct iicp_buf *out) {
        struct directory *d = call_node(call)->directory;

        if (!names_this_node(call))
                return wrong_node(out);
        if (directory_changing(d))
                return busy(out);
        call_audit(call, "deregister");
        call_suspend(call);
        directory_deregister(d, deregistered, call);
        return 0;
}

unsigned post_identity_reset(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        char who[64];
        int r;

        if (!names_this_node(call))
                return wrong_node(out);
        call_audit(call, "identity reset");
        call_who(call, who, sizeof(who));
        r = directory_identity_reset(n->directory, who);
        if (r == -EPERM)
                return call_fault(out, 409, "id_configured", "node.id gives this node its id",
                                  "set another node.id, or none, and restart iicpd");
        if (r == -EBUSY)
                return busy(out);
        if (r < 0)
                return call_fault(out, 500, "internal_error", "no new identity could be made", "see the log");
        iicp_buf_puts(out, "{\"schema\":\"iicp.identity-reset/1\",\"node_id\":");
        iicp_buf_json_str(out, iicp_str(state_identity(n->state)->node_id));
        iicp_buf_puts(out, "}");
        return 200;
}

/* ---- the directory's view ---- */

static void looked(void *arg) {
        struct iicp_buf out = {0};

        iicp_buf_puts(&out, "{\"schema\":\"iicp.directory/1\",\"directory\":");
        directory_json(call_node(arg)->directory, &out);
        iicp_buf_puts(&out, "}");
        call_resume(arg, 200, &out);
}

unsigned get_directory(struct call *call, struct iicp_buf *out) {
        (void) out;
        call_suspend(call);
        directory_look(call_node(call)->directory, looked, call);
        return 0;
}
