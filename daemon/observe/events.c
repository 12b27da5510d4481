/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include "log.h"
#include "node.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *const canonical[] = {
        "serve_start", "register_ok", "register_fail", "reregister_ok", "reregister_fail",
        "heartbeat_ok", "heartbeat_fail", "deregister_ok", "deregister_fail",
};

struct events {
        struct node *node;
        int dir_fd;
        struct iicp_buf waiting;   /* lines of the next write */
        struct iicp_buf writing;   /* the helper thread's while `busy` */
        unsigned n_waiting;
        bool busy, said;
        int failed;
};

bool events_canonical(const char *event) {
        for (size_t i = 0; i < ARRAY_SIZE(canonical); i++)
                if (strcmp(event, canonical[i]) == 0)
                        return true;
        return false;
}

static void member(struct iicp_buf *out, bool *first, const char *name, const char *value) {
        if (!value || !*value)
                return;
        iicp_buf_puts(out, *first ? "\"" : ",\"");
        iicp_buf_puts(out, name);
        iicp_buf_puts(out, "\":");
        iicp_buf_json_str(out, iicp_str(value));
        *first = false;
}

void events_print(int64_t wall_s, const char *event, const char *node_id, const char *message,
                  const char *reason, const char *code, struct iicp_buf *out) {
        bool first = true;
        char when[21];

        clock_rfc3339(wall_s, when);
        iicp_buf_printf(out, "{\"ts\":\"%s\",\"event\":", when);
        iicp_buf_json_str(out, iicp_str(event));
        iicp_buf_puts(out, ",\"node_id\":");
        iicp_buf_json_str(out, iicp_str(node_id));
        iicp_buf_puts(out, ",\"details\":{");
        member(out, &first, "message", message);
        member(out, &first, "reason", reason);
        member(out, &first, "code", code);
        iicp_buf_puts(out, "}}\n");
}

/* events.jsonl.2 -> .3, .1 -> .2, events.jsonl -> .1; what was the oldest is gone. */
static int rotate(int dir_fd) {
        char from[64], to[64];

        for (int i = EVENTS_GENERATIONS - 1; i > 0; i--) {
                snprintf(from, sizeof from, EVENTS_NAME ".%d", i);
                snprintf(to, sizeof to, EVENTS_NAME ".%d", i + 1);
                if (renameat(dir_fd, from, dir_fd, to) < 0 && errno != ENOENT)
                        return -errno;
        }
        return renameat(dir_fd, EVENTS_NAME, dir_fd, EVENTS_NAME ".1") < 0 && errno != ENOENT ? -errno : 0;
}

int events_append(int dir_fd, struct iicp_str lines, long limit) {
        _cleanup_close_ int fd = -1;
        struct stat st;
        int r;

        if (fstatat(dir_fd, EVENTS_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0 &&
            st.st_size + (off_t) lines.n > limit && (r = rotate(dir_fd)) < 0)
                return r;
        fd = openat(dir_fd, EVENTS_NAME, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
        if (fd < 0)
                return -errno;
        while (lines.n > 0) {
                ssize_t n = write(fd, lines.p, lines.n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                lines.p += n;
                lines.n -= (size_t) n;
        }
        return 0;
}

static void write_job(void *arg) {
        struct events *e = arg;

        e->failed = events_append(e->dir_fd, iicp_buf_str(&e->writing), EVENTS_ROTATE);
}

static void write_start(struct events *e);

static void write_done(void *arg) {
        struct events *e = arg;

        e->busy = false;
        if (e->failed < 0 && !e->said)
                log_warn("events_failed", "cannot write " EVENTS_NAME ": %s; check log.events_dir", strerror(-e->failed));
        e->said = e->failed < 0;
        iicp_buf_free(&e->writing);
        if (e->n_waiting > 0)
                write_start(e);
}

static void write_start(struct events *e) {
        e->writing = e->waiting;
        e->waiting = (struct iicp_buf){0};
        e->n_waiting = 0;
        e->busy = loop_block(e->node->loop, write_job, write_done, e) == 0;
        if (!e->busy)
                iicp_buf_free(&e->writing);
}

static void on_event(void *arg, enum log_level level, const char *event, const struct log_fields *f,
                     const char *message) {
        struct events *e = arg;

        (void) level;
        if (e->n_waiting >= EVENTS_WAITING_MAX)
                return;
        events_print(clock_wall_s(e->node->clock), event, state_identity(e->node->state)->node_id, message,
                     f ? f->reason : NULL, f ? f->code : NULL, &e->waiting);
        e->n_waiting++;
        if (!e->busy)
                write_start(e);
}

int events_new(struct node *node, struct events **ret, char *why, size_t why_cap) {
        const char *dir = node->config->events_dir;
        struct events *e = calloc(1, sizeof *e);
        int r;

        if (!e)
                return -ENOMEM;
        e->node = node;
        if (mkdir(dir, 0750) < 0 && errno != EEXIST) {
                r = -errno;
                goto fail;
        }
        e->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (e->dir_fd < 0) {
                r = -errno;
                goto fail;
        }
        log_watch(LOG_WATCH_FILE, events_canonical, on_event, e);
        *ret = e;
        return 0;
fail:
        snprintf(why, why_cap, "cannot use log.events_dir %s: %s", dir, strerror(-r));
        free(e);
        return r;
}

struct events *events_free(struct events *e) {
        if (!e)
                return NULL;
        log_watch(LOG_WATCH_FILE, NULL, NULL, NULL);
        /* The helper thread has settled; what came since is written here. */
        if (!e->busy && e->n_waiting > 0)
                events_append(e->dir_fd, iicp_buf_str(&e->waiting), EVENTS_ROTATE);
        iicp_buf_free(&e->waiting);
        iicp_buf_free(&e->writing);
        close(e->dir_fd);
        free(e);
        return NULL;
}
