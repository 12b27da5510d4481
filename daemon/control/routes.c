/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "mesh/mesh.h"
#include "node.h"
#include "reach/routes.h"
#include "relay/worker.h"

/* How others get here: what is published, and the evidence for it. */

/* A node whose endpoint is configured has no detection to show. */
static void given(const struct node *n, struct iicp_buf *out) {
        const char *why = NULL, *endpoint = node_endpoint(n, &why);

        iicp_buf_printf(out, "{\"tier\":%d,\"kind\":\"%s\",\"route\":", endpoint ? 0 : 4, endpoint ? "operator" : "none");
        iicp_buf_json_str(out, iicp_str(endpoint ? endpoint : ""));
        iicp_buf_puts(out, ",\"looking\":false,\"why\":");
        iicp_buf_json_str(out, iicp_str(why ? why : ""));
        iicp_buf_puts(out, ",\"guidance\":[],\"log\":[]}");
}

unsigned get_routes(struct call *call, struct iicp_buf *out) {
        const struct node *n = call_node(call);

        iicp_buf_puts(out, "{\"schema\":\"iicp.routes/1\",\"reachability\":");
        if (routes_wanted(n))
                routes_json(n->routes, out);
        else
                given(n, out);
        iicp_buf_puts(out, "}");
        return 200;
}

unsigned get_relays(struct call *call, struct iicp_buf *out) {
        worker_json(call_node(call)->worker, out);
        return 200;
}

unsigned post_redetect(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);

        if (!routes_wanted(n))
                return call_fault(out, 409, "not_detecting", "this node does not look for a route: its endpoint is configured",
                                  "unset node.public_endpoint and listen.address, see nat.auto");
        call_audit(call, "redetect");
        routes_look(n->routes, "the operator asked", true);
        iicp_buf_puts(out, "{\"schema\":\"iicp.redetect/1\",\"started\":true}");
        return 200;
}

unsigned get_peers(struct call *call, struct iicp_buf *out) {
        mesh_peers_json(call_node(call)->mesh, out);
        return 200;
}
