/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include "log.h"
#include "node.h"
#include "notify.h"
#include "state.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <iicp/uuid.h>
#include <stdio.h>
#include <sys/stat.h>

struct snapshot {
        struct node *node;
        struct timer timer;
        int dir_fd;
        struct snapshot_counts counts;
        uint64_t supervisor_ms;         /* when the supervisor was seen to move last */
        struct iicp_buf text;           /* the helper thread reads it while writing */
        bool writing, again, said;
        int failed;                     /* -errno of the last write */
};

/* ---- the document ---- */

static const char *yes_no(bool b) {
        return b ? "true" : "false";
}

static void progress(struct iicp_buf *out, const char *name, uint64_t sequence, uint64_t age_ms,
                     unsigned stale_ms, bool required) {
        iicp_buf_printf(out, "\"%s\":{\"sequence\":%llu,\"age_ms\":%llu,\"stale_after_ms\":%u,\"required\":%s}", name,
                        (unsigned long long) sequence, (unsigned long long) age_ms, stale_ms, yes_no(required));
}

static const char *unavailable_or(bool unavailable, const char *else_) {
        return unavailable ? "unavailable" : else_;
}

void snapshot_print(const struct health_facts *f, const struct snapshot_counts *c, struct iicp_buf *out) {
        static const char *const lifecycles[] = {
                [NODE_STARTING] = "starting", [NODE_RUNNING] = "running", [NODE_STOPPING] = "stopping",
        };
        struct health h;
        char when[21];

        health_classify(f, &h);
        clock_rfc3339(c->wall_s, when);
        iicp_buf_printf(out, "{\"health_schema_version\":1,\"process_epoch\":\"%s\",\"pid\":%ld,\"sequence\":%llu,"
                             "\"emitted_at\":\"%s\",\"lifecycle\":\"%s\",\"liveness\":\"%s\",\"readiness\":\"%s\","
                             "\"reason_codes\":[",
                        c->process_epoch, c->pid, (unsigned long long) c->sequence, when, lifecycles[f->lifecycle],
                        health_liveness_name(h.liveness), health_readiness_name(h.readiness));
        for (unsigned i = 0; i < h.n_reasons; i++)
                iicp_buf_printf(out, "%s\"%s\"", i ? "," : "", h.reasons[i]);
        iicp_buf_puts(out, "],\"progress\":{");
        progress(out, "runtime", c->runtime_sequence, f->runtime_age_ms, HEALTH_RUNTIME_STALE_MS, true);
        iicp_buf_puts(out, ",");
        progress(out, "supervisor", c->supervisor_sequence, f->supervisor_age_ms, HEALTH_SUPERVISOR_STALE_MS,
                 f->supervisor_required);
        iicp_buf_printf(out, "},\"subsystems\":{\"provider\":\"%s\",\"routing\":\"%s\",\"tunnel\":\"%s\"},",
                        unavailable_or(f->provider_unavailable, f->provider_degraded ? "degraded" : "healthy"),
                        !f->registers ? "not_applicable" : unavailable_or(f->routing_unavailable, "healthy"),
                        f->tunnel_recovering ? "recovering" : "not_applicable");
        iicp_buf_printf(out, "\"external_connectivity\":{\"directory\":\"%s\",\"dns\":\"%s\",\"internet\":\"%s\"}}\n",
                        !f->registers ? "not_applicable"
                                      : unavailable_or(f->directory_unavailable,
                                                       f->directory_registered ? "healthy" : "unknown"),
                        unavailable_or(f->dns_unavailable, "unknown"),
                        unavailable_or(f->internet_unavailable, "unknown"));
}

/* ---- the file ---- */

static void write_file(void *arg) {
        struct snapshot *s = arg;

        s->failed = state_write_file(s->dir_fd, SNAPSHOT_NAME, iicp_buf_str(&s->text));
}

static void emit(struct snapshot *s);

static void written(void *arg) {
        struct snapshot *s = arg;

        s->writing = false;
        if (s->failed < 0 && !s->said)
                log_warn("snapshot_failed", "cannot write %s: %s; iicpctl check finds no fresh snapshot until that works",
                         SNAPSHOT_NAME, strerror(-s->failed));
        s->said = s->failed < 0;
        if (s->again)
                emit(s);
}

static void emit(struct snapshot *s) {
        struct health_facts f;
        uint64_t now_ms = clock_mono_ms(s->node->clock), moved_ms;

        if (s->writing) {
                s->again = true;
                return;
        }
        s->again = false;
        health_facts_of(s->node, &f);
        s->counts.sequence++;
        s->counts.wall_s = clock_wall_s(s->node->clock);
        s->counts.runtime_sequence = notify_ticks(s->node->notify);
        moved_ms = now_ms - f.supervisor_age_ms;
        if (f.supervisor_required && moved_ms > s->supervisor_ms) {
                s->supervisor_ms = moved_ms;
                s->counts.supervisor_sequence++;
        }
        iicp_buf_free(&s->text);
        snapshot_print(&f, &s->counts, &s->text);
        if (s->text.error)
                return;
        s->writing = loop_block(s->node->loop, write_file, written, s) == 0;
}

void snapshot_now(struct snapshot *s) {
        if (s)
                emit(s);
}

static void tick(void *arg) {
        struct snapshot *s = arg;

        emit(s);
        timer_set_ms(&s->timer, SNAPSHOT_EVERY_MS);
}

/* Private to us: the runtime directory itself, or a folder in it where its mode lets others in. */
static int open_dir(const char *runtime_dir, char *why, size_t cap) {
        _cleanup_close_ int parent = open(runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;
        int fd, r;

        if (parent < 0 || fstat(parent, &st) < 0) {
                snprintf(why, cap, "cannot open %s: %s", runtime_dir, strerror(errno));
                return -errno;
        }
        if ((st.st_mode & 077) == 0) {
                fd = parent;
                parent = -1;
                return fd;
        }
        if (mkdirat(parent, SNAPSHOT_SUBDIR, 0700) < 0 && errno != EEXIST) {
                snprintf(why, cap, "cannot make %s/" SNAPSHOT_SUBDIR ": %s", runtime_dir, strerror(errno));
                return -errno;
        }
        fd = openat(parent, SNAPSHOT_SUBDIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, 0700) < 0) {
                r = -errno;
                snprintf(why, cap, "cannot use %s/" SNAPSHOT_SUBDIR ": %s", runtime_dir, strerror(errno));
                if (fd >= 0)
                        close(fd);
                return r;
        }
        return fd;
}

int snapshot_new(struct node *node, struct snapshot **ret, char *why, size_t why_cap) {
        struct snapshot *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        s->node = node;
        s->counts.pid = (long) getpid();
        s->dir_fd = open_dir(node->config->runtime_dir, why, why_cap);
        if (s->dir_fd < 0 || iicp_uuid4(s->counts.process_epoch) < 0) {
                int r = s->dir_fd < 0 ? s->dir_fd : -EIO;

                snapshot_free(s);
                return r;
        }
        timer_init(&s->timer, node->loop, tick, s);
        timer_set_ms(&s->timer, 0);
        *ret = s;
        return 0;
}

struct snapshot *snapshot_free(struct snapshot *s) {
        if (!s)
                return NULL;
        timer_clear(&s->timer);
        s->again = false;
        if (s->writing) /* the job holds s */
                loop_settle(s->node->loop);
        if (s->dir_fd >= 0) {
                unlinkat(s->dir_fd, SNAPSHOT_NAME, 0);
                close(s->dir_fd);
        }
        iicp_buf_free(&s->text);
        free(s);
        return NULL;
}
