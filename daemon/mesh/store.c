/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "log.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

/* peers.json: whom to ask after a restart. Nobody in it counts as live. */

struct save {
        int dir_fd, result;
        struct iicp_buf bytes;
};

/* The newest ones, at most MESH_SAVED_MAX. */
static void write_file(const struct mesh *m, struct iicp_buf *out) {
        bool taken[PEERS_MAX] = {false};

        iicp_buf_puts(out, "{\"version\":1,\"peers\":[");
        for (unsigned n = 0; n < MESH_SAVED_MAX; n++) {
                const struct peer *best = NULL;
                size_t at = 0;

                for (size_t i = 0; i < peers_count(m->peers); i++) {
                        const struct peer *p = peers_at(m->peers, i);

                        if (!taken[i] && (!best || p->seen_ms > best->seen_ms)) {
                                best = p;
                                at = i;
                        }
                }
                if (!best)
                        break;
                taken[at] = true;
                iicp_buf_puts(out, n ? ",{\"node_id\":" : "{\"node_id\":");
                iicp_buf_json_str(out, iicp_str(best->node_id));
                iicp_buf_puts(out, ",\"endpoint\":");
                iicp_buf_json_str(out, iicp_str(best->endpoint));
                iicp_buf_puts(out, ",\"region\":");
                iicp_buf_json_str(out, iicp_str(best->region));
                iicp_buf_puts(out, "}");
        }
        iicp_buf_puts(out, "]}\n");
}

static void hint(void *arg, const struct iicp_gossip_peer *p) {
        struct mesh *m = arg;
        struct peer one = {.source = PEER_FROM_FILE, .seen_ms = INT64_MIN, .reputation = -1};

        memcpy(one.node_id, p->node_id, sizeof one.node_id);
        memcpy(one.endpoint, p->endpoint, sizeof one.endpoint);
        memcpy(one.region, p->region, sizeof one.region);
        peers_learn(m->peers, &one, NULL);
}

void mesh_load(struct mesh *m) {
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {0};
        struct iicp_gossip_rules rules;
        struct iicp_json file, list, entry;
        struct iicp_gossip_peer p;
        struct iicp_json_iter it;
        char why[256] = "";
        int r = state_file_read(state_dir_fd(m->node->state), MESH_FILE, &bytes, why, sizeof why);

        if (r == -ENOENT)
                return;
        if (r < 0 || iicp_json_scan(iicp_buf_str(&bytes), NULL, NULL, &file) < 0 ||
            (list = iicp_json_get(&file, "peers")).type != IICP_JSON_ARRAY) {
                log_warn("state_corrupt", MESH_FILE " cannot be used (%s): the directory is asked for peers",
                         *why ? why : "not in its format");
                return;
        }
        mesh_rules(m, true, &rules); /* without times: they are no news */
        iicp_json_iter_init(&it, &list);
        for (unsigned n = 0; n < MESH_SAVED_MAX && iicp_json_next(&it, NULL, &entry); n++)
                if (iicp_gossip_entry(&entry, &rules, &p) == 0)
                        hint(m, &p);
}

static void save_work(void *arg) {
        struct save *s = arg;

        s->result = state_write_file(s->dir_fd, MESH_FILE, iicp_buf_str(&s->bytes));
}

static void save_done(void *arg) {
        struct save *s = arg;

        if (s->result < 0)
                log_warn("state_save_failed", MESH_FILE " is not on the disk (%s): after a restart the directory is asked "
                         "for peers", strerror(-s->result));
        iicp_buf_free(&s->bytes);
        free(s);
}

void mesh_save(struct mesh *m) {
        struct save *s = m->dirty ? calloc(1, sizeof *s) : NULL;

        if (!s)
                return;
        s->dir_fd = state_dir_fd(m->node->state);
        write_file(m, &s->bytes);
        m->dirty = false;
        if (s->bytes.error == 0 && loop_block(m->node->loop, save_work, save_done, s) == 0)
                return;
        iicp_buf_free(&s->bytes);
        free(s);
}

void mesh_save_now(struct mesh *m) {
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {0};

        if (!m->dirty)
                return;
        write_file(m, &bytes);
        if (bytes.error == 0)
                state_write_file(state_dir_fd(m->node->state), MESH_FILE, iicp_buf_str(&bytes));
}
