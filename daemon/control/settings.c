/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "findings/findings.h"
#include "node.h"

/* What is in force, and what the file would change. */

struct changes {
        struct iicp_buf *out;
        unsigned n;
};

static void change(void *arg, const char *key, const char *from, const char *to, bool live, bool registers_again) {
        struct changes *c = arg;

        iicp_buf_puts(c->out, c->n++ ? ",{\"key\":" : "{\"key\":");
        iicp_buf_json_str(c->out, iicp_str(key));
        iicp_buf_puts(c->out, ",\"from\":");
        iicp_buf_json_str(c->out, iicp_str(from));
        iicp_buf_puts(c->out, ",\"to\":");
        iicp_buf_json_str(c->out, iicp_str(to));
        iicp_buf_printf(c->out, ",\"live\":%s,\"registers_again\":%s}", live ? "true" : "false", registers_again ? "true" : "false");
}

/* The running configuration against the files of now: nothing is taken over. */
unsigned get_config_diff(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        struct config_problems problems = {0};
        struct config *disk = config_load(&n->config_source, &problems);
        struct changes c = {.out = out};

        iicp_buf_printf(out, "{\"schema\":\"iicp.config-diff/1\",\"usable\":%s,\"problems\":", disk ? "true" : "false");
        config_problems_json(&problems, out);
        iicp_buf_puts(out, ",\"changes\":[");
        if (disk)
                config_diff(n->config, disk, change, &c);
        iicp_buf_puts(out, "]}");
        config_free(disk);
        config_problems_free(&problems);
        return 200;
}

unsigned get_config(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        const struct findings_list *l;

        config_json(n->config, out);
        if (out->n > 0 && out->p[out->n - 1] == '}')
                out->n--;
        l = findings_look(n->findings);
        iicp_buf_puts(out, ",\"file\":");
        if (n->config_source.path)
                iicp_buf_json_str(out, iicp_str(n->config_source.path));
        else
                iicp_buf_puts(out, "null");
        iicp_buf_printf(out, ",\"as_on_disk\":%s}",
                        findings_with(l, "config.changed") || findings_with(l, "config.rejected") ? "false" : "true");
        return 200;
}
