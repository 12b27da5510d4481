/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "node.h"
#include "rotation.h"
#include "util.h"

#include <errno.h>

#define CHANGES_MAX 65536 /* bytes of the report of a reload */

/* What an operator changes at run time and what is answered at once. */

static unsigned drain_outcome(struct node *n, struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"schema\":\"iicp.drain/1\",\"draining\":%s,\"running\":%u}",
                        corridor_draining(n->corridor) ? "true" : "false", corridor_active(n->corridor));
        return 200;
}

static unsigned stopping(struct iicp_buf *out) {
        return call_fault(out, 409, "stopping", "iicpd is stopping", "start it again when it has stopped");
}

unsigned post_drain(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        char who[64];

        if (n->phase == NODE_STOPPING)
                return stopping(out);
        call_who(call, who, sizeof(who));
        call_audit(call, "drain");
        node_drain(n, who);
        return drain_outcome(n, out);
}

unsigned post_undrain(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        char who[64];

        if (n->phase == NODE_STOPPING)
                return stopping(out);
        call_who(call, who, sizeof(who));
        call_audit(call, "undrain");
        node_undrain(n, who);
        return drain_outcome(n, out);
}

unsigned post_reload(struct call *call, struct iicp_buf *out) {
        _cleanup_(config_problems_free) struct config_problems problems = {0};
        _cleanup_(iicp_buf_free) struct iicp_buf report = {.max = CHANGES_MAX};
        struct node *n = call_node(call);
        int r;

        if (n->phase == NODE_STOPPING)
                return stopping(out);
        call_audit(call, "reload");
        r = node_reload(n, &problems, &report);
        iicp_buf_printf(out, "{\"schema\":\"iicp.reload/1\",\"ok\":%s,\"problems\":", r < 0 ? "false" : "true");
        config_problems_json(&problems, out);
        iicp_buf_puts(out, ",\"changes\":");
        iicp_buf_add_str(out, report.n > 0 ? iicp_buf_str(&report) : IICP_STR("[]"));
        iicp_buf_printf(out, ",\"running\":%u", corridor_active(n->corridor));
        if (r < 0)
                iicp_buf_puts(out, ",\"error\":{\"code\":\"config_rejected\",\"message\":"
                                   "\"the new configuration has errors; the old one stays\","
                                   "\"do\":\"mend the lines above and reload again\"}");
        iicp_buf_puts(out, "}");
        return r < 0 ? 422 : 200;
}

unsigned post_rotate_key(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        int r;

        if (n->phase == NODE_STOPPING)
                return stopping(out);
        call_audit(call, "rotate-key");
        r = rotation_now(n->rotation);
        call_audit_outcome(call, "rotate-key", r == 0             ? "a new key is made; the directory is told"
                                               : r == -EALREADY   ? "one is under way; the directory is asked again"
                                               : r == -EOPNOTSUPP ? "encryption is off"
                                                                  : "no new key could be made");
        if (r == -EOPNOTSUPP)
                return call_fault(out, 409, "encryption_off", "encryption.enabled is no: there is no key in use",
                             "set encryption.enabled and reload");
        if (r < 0 && r != -EALREADY)
                return call_fault(out, 500, "key_failed", "no new key could be made", "the log says why");
        iicp_buf_puts(out, "{\"schema\":\"iicp.rotate-key/1\",\"encryption\":");
        rotation_json(n->rotation, out);
        iicp_buf_puts(out, "}");
        return 200;
}
