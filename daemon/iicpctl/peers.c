/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include <stdio.h>

/* The nodes that this one knows through the mesh. */

static const char *state(json_object *p) {
        if (*text_of(p, "silent_s"))
                return "refuses";
        return json_object_get_boolean(get(p, "live")) ? "live" : "silent";
}

static void render_peers(const struct options *o, json_object *doc) {
        json_object *mesh = get(doc, "mesh"), *list = get(doc, "peers");
        size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

        (void) o;
        if (!json_object_get_boolean(get(mesh, "enabled"))) {
                printf("The mesh is off; mesh.enabled = yes turns it on.\n");
                return;
        }
        printf("%s of %s known peers are alive; exchanges: %s sent, %s failed, %s answered, %s refused.\n", text_of(mesh, "live"),
               text_of(mesh, "known"), text_of(mesh, "sent"), text_of(mesh, "failed"), text_of(mesh, "answered"),
               text_of(mesh, "refused"));
        if (n > 0)
                printf("\n%-9s %-8s %7s %-12s %-6s %s\n", "NODE", "STATE", "SEEN s", "KNOWN BY", "RELAY", "ENDPOINT");
        for (size_t i = 0; i < n; i++) {
                json_object *p = json_object_array_get_idx(list, i);

                printf("%-9.8s %-8s %7s %-12s %-6s %s\n", text_of(p, "node_id"), state(p),
                       *text_of(p, "seen_s") ? text_of(p, "seen_s") : "-", text_of(p, "source"),
                       *text_of(p, "relay_port") ? text_of(p, "relay_port") : "-", text_of(p, "endpoint"));
        }
}

int cmd_peers(const struct options *o, int argc, char **argv) {
        int r = no_more(o, argc, argv);

        return r ? r : show(o, "/v1/peers", render_peers, NULL);
}
