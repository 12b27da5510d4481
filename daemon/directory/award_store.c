/* SPDX-License-Identifier: Apache-2.0 */
#include "award_internal.h"

#include "log.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

/* The queue on the disk: no result, no prompt, nothing but what a receipt says. */

struct save {
        struct awards *a;
        int dir_fd, result;
        struct iicp_buf bytes;
};

static void put(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(value));
}

static void write_queue(const struct awards *a, struct iicp_buf *out) {
        const struct award *w;
        const char *comma = "";

        iicp_buf_puts(out, "{\"version\":1,\"url\":");
        iicp_buf_json_str(out, iicp_str(a->node->config->directory_url));
        iicp_buf_puts(out, ",\"awards\":[");
        STAILQ_FOREACH(w, &a->queue, link) {
                iicp_buf_printf(out, "%s\n{\"tokens\":%llu,\"parts\":%llu,\"made_at\":%lld,\"expires_at\":%lld,\"tries\":%u",
                                comma, (unsigned long long) w->tokens, (unsigned long long) w->parts,
                                (long long) w->made_at, (long long) w->expires_at, w->tries);
                put(out, "task_id", w->task_id);
                put(out, "querying", w->querying);
                put(out, "hash", w->hash);
                put(out, "nonce", w->nonce);
                iicp_buf_puts(out, "}");
                comma = ",";
        }
        iicp_buf_puts(out, "]}\n");
}

static bool take(const struct iicp_json *o, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(o, name);

        return iicp_json_copy(&v, out, cap) == 0;
}

static bool take_int(const struct iicp_json *o, const char *name, int64_t *ret) {
        struct iicp_json v = iicp_json_get(o, name);

        return iicp_json_int(&v, ret) == 0 && *ret >= 0;
}

static bool read_award(const struct iicp_json *o, struct award *w) {
        int64_t tokens, parts, tries;

        if (!take_int(o, "tokens", &tokens) || !take_int(o, "parts", &parts) || !take_int(o, "tries", &tries) ||
            !take_int(o, "made_at", &w->made_at) || !take_int(o, "expires_at", &w->expires_at) || tokens == 0 ||
            parts == 0 || tries > AWARD_TRIES_MAX || !take(o, "task_id", w->task_id, sizeof w->task_id) ||
            !take(o, "querying", w->querying, sizeof w->querying) || !take(o, "hash", w->hash, sizeof w->hash) ||
            !take(o, "nonce", w->nonce, sizeof w->nonce) || strlen(w->hash) != 64 || strlen(w->nonce) != 32)
                return false;
        w->tokens = (uint64_t) tokens;
        w->parts = (uint64_t) parts;
        w->tries = (unsigned) tries;
        return true;
}

static int read_queue(struct awards *a, struct iicp_str text) {
        struct iicp_json file, list, item;
        struct iicp_json_iter it;
        struct award *w;

        if (iicp_json_scan(text, NULL, NULL, &file) < 0 || file.type != IICP_JSON_OBJECT)
                return -EBADMSG;
        item = iicp_json_get(&file, "url");
        if (item.type != IICP_JSON_STRING || !iicp_json_is(&item, a->node->config->directory_url))
                return 0; /* another directory owes us nothing */
        list = iicp_json_get(&file, "awards");
        iicp_json_iter_init(&it, &list);
        while (a->waiting < AWARDS_MAX && iicp_json_next(&it, NULL, &item)) {
                w = calloc(1, sizeof *w);
                if (!w)
                        return -ENOMEM;
                if (!read_award(&item, w)) {
                        free(w);
                        return -EBADMSG;
                }
                STAILQ_INSERT_TAIL(&a->queue, w, link);
                a->waiting++;
        }
        return 0;
}

void award_load(struct awards *a) {
        int dir = state_dir_fd(a->node->state);
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {0};
        char why[256] = "";
        int r = state_file_read(dir, AWARD_FILE, &bytes, why, sizeof why);

        if (r == -ENOENT)
                return;
        if (r == 0)
                r = read_queue(a, iicp_buf_str(&bytes));
        if (r == 0)
                return;
        log_warn("state_corrupt", AWARD_FILE " cannot be used (%s): the receipts in it are not posted, the file is kept "
                 "aside", *why ? why : "not in its format");
        state_file_aside(dir, AWARD_FILE, "bad", clock_wall_s(a->node->clock));
}

static void save_work(void *arg) {
        struct save *s = arg;

        s->result = state_write_file(s->dir_fd, AWARD_FILE, iicp_buf_str(&s->bytes));
}

static void save_done(void *arg) {
        struct save *s = arg;
        struct awards *a = s->a;

        if (s->result < 0) {
                a->dirty = true;
                log_warn("state_save_failed", AWARD_FILE " is not on the disk (%s): after a restart its receipts are lost",
                         strerror(-s->result));
        }
        a->saving = false;
        if (a->dirty)
                timer_set_ms(&a->save, AWARD_SAVE_MS);
        iicp_buf_free(&s->bytes);
        free(s);
}

static void save_now(void *arg) {
        struct awards *a = arg;
        struct save *s;

        if (a->saving || !a->dirty)
                return;
        s = calloc(1, sizeof *s);
        if (!s)
                return;
        s->a = a;
        s->dir_fd = state_dir_fd(a->node->state);
        write_queue(a, &s->bytes);
        a->saving = true;
        a->dirty = false;
        if (s->bytes.error == 0 && loop_block(a->node->loop, save_work, save_done, s) == 0)
                return;
        a->saving = false;
        a->dirty = true;
        iicp_buf_free(&s->bytes);
        free(s);
}

void award_changed(struct awards *a) {
        a->dirty = true;
        if (!a->save.made)
                timer_init(&a->save, a->node->loop, save_now, a);
        if (!a->saving && !timer_armed(&a->save))
                timer_set_ms(&a->save, AWARD_SAVE_MS);
}

void award_save_now(struct awards *a) {
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {0};

        if (!a->dirty)
                return;
        write_queue(a, &bytes);
        if (bytes.error == 0)
                state_write_file(state_dir_fd(a->node->state), AWARD_FILE, iicp_buf_str(&bytes));
}
