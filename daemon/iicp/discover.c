/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/iicp/iicp.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

static void add_models(const struct iicp_node *n, const char *separator, struct iicp_buf *out) {
        for (size_t i = 0; i < n->n_models; i++) {
                if (i > 0)
                        iicp_buf_puts(out, separator);
                iicp_buf_puts(out, n->models[i]);
        }
}

static void print_row(const struct program *p, const struct iicp_node *n) {
        struct iicp_buf models = {0};
        char load[16] = "-";

        if (n->has_load)
                snprintf(load, sizeof(load), "%.2f", n->load);
        printf("%-8s  ", n->prefix);
        print_text(stdout, n->region, strlen(n->region));
        printf("%*s  %5.2f  %4s  ", (int) (strlen(n->region) < 10 ? 10 - strlen(n->region) : 0), "",
               n->score, load);
        print_text(stdout, n->reach[0] ? n->reach : "-", n->reach[0] ? strlen(n->reach) : 1);
        printf("%*s  %-3s  ",
               (int) (strlen(n->reach) < 6 ? 6 - MAX(strlen(n->reach), (size_t) 1) : 0), "",
               n->has_key ? "yes" : "no");
        add_models(n, ", ", &models);
        if (models.p)
                print_text(stdout, models.p, models.n);
        else
                putchar('-');
        if (p->o.routes)
                printf("  %s", n->endpoint);
        putchar('\n');
        iicp_buf_free(&models);
}

static void node_json(const struct program *p, const struct iicp_node *n, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"node_prefix\":");
        iicp_buf_json_str(out, iicp_str(n->prefix));
        iicp_buf_puts(out, ",\"region\":");
        iicp_buf_json_str(out, iicp_str(n->region));
        iicp_buf_printf(out, ",\"score\":%.4f,\"load\":", n->score);
        if (n->has_load)
                iicp_buf_printf(out, "%.4f", n->load);
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, ",\"route\":");
        iicp_buf_json_str(out, iicp_str(n->reach[0] ? n->reach : "unknown"));
        iicp_buf_printf(out, ",\"key\":%s,\"models\":[", n->has_key ? "true" : "false");
        for (size_t i = 0; i < n->n_models; i++) {
                iicp_buf_puts(out, i ? "," : "");
                iicp_buf_json_str(out, iicp_str(n->models[i]));
        }
        iicp_buf_puts(out, "]");
        if (p->o.routes) {
                iicp_buf_puts(out, ",\"node_id\":");
                iicp_buf_json_str(out, iicp_str(n->node_id));
                iicp_buf_puts(out, ",\"endpoint\":");
                iicp_buf_json_str(out, iicp_str(n->endpoint));
        }
        iicp_buf_puts(out, "}");
}

static void print_list(const struct program *p, const struct iicp_nodes *list) {
        size_t n = iicp_nodes_count(list);
        struct iicp_buf b = {0};
        struct iicp_node node;

        if (!p->o.json) {
                printf("NODE      REGION      SCORE  LOAD  ROUTE   KEY  MODELS%s\n",
                       p->o.routes ? "  ENDPOINT" : "");
                for (size_t i = 0; i < n; i++) {
                        iicp_nodes_get(list, i, &node);
                        print_row(p, &node);
                }
                if (n == 0)
                        fputs("the directory knows no node for this request\n", stderr);
                return;
        }
        iicp_buf_puts(&b, "{\"nodes\":[");
        for (size_t i = 0; i < n; i++) {
                iicp_nodes_get(list, i, &node);
                iicp_buf_puts(&b, i ? "," : "");
                node_json(p, &node, &b);
        }
        iicp_buf_printf(&b, "],\"count\":%zu}", n);
        print_document("iicp.nodes/1", &b);
        iicp_buf_free(&b);
}

int cmd_discover(struct program *p, int argc, char **argv) {
        struct iicp_route route = IICP_ROUTE_INIT;
        struct iicp_nodes *list = NULL;
        struct iicp_error e;

        if (argc > 1)
                return usage(p, "unexpected argument '%.64s'", argv[1]);
        route.model = p->o.model;
        route.qos = p->o.qos;
        route.limit = p->o.limit;
        route.min_reputation = p->o.min_reputation;
        route.public_view = !p->o.routes;
        if (iicp_discover(p->client, argc ? argv[0] : program_intent(p), &route, &list, &e) < 0)
                return tell_failure(p, &e);
        print_list(p, list);
        iicp_nodes_free(list);
        return EXIT_ANSWERED;
}
