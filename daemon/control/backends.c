/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "node.h"

/* Inference servers and what they serve. */

unsigned get_backends(struct call *call, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"schema\":\"iicp.backends/1\",\"backends\":");
        backends_json(call_node(call)->backends, out);
        iicp_buf_puts(out, "}");
        return 200;
}

unsigned get_models(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        size_t count = 0;
        const char *const *registered = directory_registered_models(n->directory, &count);
        bool is = directory_state(n->directory) == DIRECTORY_REGISTERED;

        iicp_buf_puts(out, "{\"schema\":\"iicp.models/1\",\"models\":");
        backends_models_json(n->backends, out);
        iicp_buf_printf(out, ",\"directory\":\"%s\",\"registered\":[", directory_state_name(directory_state(n->directory)));
        for (size_t i = 0; is && i < count; i++) {
                iicp_buf_puts(out, i ? "," : "");
                iicp_buf_json_str(out, iicp_str(registered[i]));
        }
        iicp_buf_puts(out, "]}");
        return 200;
}
