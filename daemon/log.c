/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "build-config.h"
#include "clock.h"
#include "systemd.h"
#include "util.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define LINE_MAX_BYTES 4096 /* all fields at their bounds, escaped for JSON */

/* One event with its subject, seen within the last ten minutes. */
struct seen {
        uint64_t key; /* 0 = free */
        uint64_t since_ms;
        uint64_t more; /* not written since then */
        enum log_level level;
        char event[32];
        char subject[64];
};

static struct {
        atomic_int level;
        atomic_uint_fast64_t dropped_total, written_total[LOG_L_DEBUG + 1];
        pthread_mutex_t lock; /* protects what follows */
        enum log_format format;
        const struct clock *clock;
        char node_id[37];
        struct seen seen[LOG_SEEN_MAX];
        uint64_t second;  /* the cap counts in this second */
        unsigned lines;   /* written in it */
        uint64_t dropped; /* not yet said */
        /* The watchers: set and called by one thread; the others look at `watching` alone. */
        atomic_uint watching; /* a bit for each */
        pthread_t watch_thread;
        struct {
                bool (*wants)(const char *event);
                log_watch_fn fn;
                void *arg;
        } watchers[LOG_WATCH_MAX_];
} log_state = {
        .level = LOG_L_INFO,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .format = LOG_F_TEXT,
        .clock = &clock_system,
};

/* Answers to what somebody asked for: each one is wanted, however often. */
static const char *const never_repeats[] = {
        "serve_start", "ready", "start_failed", "config_reloaded", "config_rejected", "config_problem",
        "control_action", "drain_start", "drain_done", "stop_start", "stop_done", "state_locked",
        "lifecycle_audit",
};

static const char *level_name(enum log_level l) {
        switch (l) {
        case LOG_L_ERR: return "err";
        case LOG_L_WARN: return "warn";
        case LOG_L_NOTICE: return "notice";
        case LOG_L_INFO: return "info";
        case LOG_L_DEBUG: return "debug";
        }
        return "info";
}

/* True when stderr is the stream that the service manager connected to the journal. */
static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return e && sscanf(e, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == (dev_t) dev && st.st_ino == (ino_t) ino;
}

void log_setup(enum log_format format, enum log_level level) {
        pthread_mutex_lock(&log_state.lock);
        if (format == LOG_F_AUTO)
                format = stderr_is_journal() ? LOG_F_JOURNAL : LOG_F_TEXT;
        log_state.format = format;
        pthread_mutex_unlock(&log_state.lock);
        log_set_level(level);
}

void log_set_level(enum log_level level) {
        atomic_store(&log_state.level, (int) level);
}

enum log_level log_get_level(void) {
        return (enum log_level) atomic_load(&log_state.level);
}

void log_set_node_id(const char *node_id) {
        pthread_mutex_lock(&log_state.lock);
        snprintf(log_state.node_id, sizeof log_state.node_id, "%s", node_id ? node_id : "");
        pthread_mutex_unlock(&log_state.lock);
}

void log_set_clock(const struct clock *c) {
        pthread_mutex_lock(&log_state.lock);
        log_state.clock = c;
        memset(log_state.seen, 0, sizeof log_state.seen);
        log_state.second = log_state.dropped = 0;
        log_state.lines = 0;
        pthread_mutex_unlock(&log_state.lock);
}

uint64_t log_lines_total(enum log_level level) {
        return atomic_load(&log_state.written_total[level]);
}

uint64_t log_suppressed_total(void) {
        return atomic_load(&log_state.dropped_total);
}

void log_watch(enum log_watcher who, bool (*wants)(const char *event), log_watch_fn fn, void *arg) {
        atomic_fetch_and(&log_state.watching, ~(1u << who));
        log_state.watch_thread = pthread_self();
        log_state.watchers[who].wants = wants;
        log_state.watchers[who].fn = fn;
        log_state.watchers[who].arg = arg;
        if (fn)
                atomic_fetch_or(&log_state.watching, 1u << who);
}

/* A bit for each watcher that wants this event. */
static unsigned watched(const char *event) {
        unsigned on = atomic_load(&log_state.watching), wanted = 0;

        if (on == 0 || !pthread_equal(log_state.watch_thread, pthread_self()))
                return 0;
        for (unsigned i = 0; i < LOG_WATCH_MAX_; i++)
                if ((on & (1u << i)) && (!log_state.watchers[i].wants || log_state.watchers[i].wants(event)))
                        wanted |= 1u << i;
        return wanted;
}

static void tell_watchers(unsigned wanted, enum log_level level, const char *event, const struct log_fields *fields,
                          const char *message) {
        for (unsigned i = 0; i < LOG_WATCH_MAX_; i++)
                if (wanted & (1u << i))
                        log_state.watchers[i].fn(log_state.watchers[i].arg, level, event, fields, message);
}

/* ---- one line, ready to be written: names in the journal's spelling ---- */
struct pair {
        const char *name;
        char value[LOG_TEXT_MAX + 1];
};
struct line {
        enum log_level level;
        const char *event;
        char message[LOG_MESSAGE_MAX + 1];
        struct pair pairs[16];
        size_t n_pairs;
};

static void line_add(struct line *l, const char *name, const char *value) {
        if (!value || !*value || l->n_pairs == ARRAY_SIZE(l->pairs))
                return;
        l->pairs[l->n_pairs].name = name;
        log_text(iicp_str(value), l->pairs[l->n_pairs].value, sizeof l->pairs[0].value);
        l->n_pairs++;
}

static void line_add_number(struct line *l, const char *name, int64_t value) {
        char text[24];

        if (value == 0)
                return;
        snprintf(text, sizeof text, "%lld", (long long) value);
        line_add(l, name, text);
}

static void line_add_fields(struct line *l, const struct log_fields *f) {
        char peer[9];

        line_add(l, "IICP_SUBJECT", f->subject);
        line_add(l, "IICP_REASON", f->reason);
        line_add(l, "IICP_TASK_ID", f->task_id);
        line_add(l, "IICP_TRACE_ID", f->trace_id);
        line_add(l, "IICP_BACKEND", f->backend);
        line_add(l, "IICP_MODEL", f->model);
        line_add(l, "IICP_CODE", f->code);
        if (f->peer) {
                /* foreign ids are never written in full */
                snprintf(peer, sizeof peer, "%s", f->peer);
                line_add(l, "IICP_PEER", peer);
        }
        line_add_number(l, "IICP_DURATION_MS", f->duration_ms);
        line_add_number(l, "IICP_TOKENS", f->tokens);
}

struct out {
        char p[LINE_MAX_BYTES];
        size_t n;
};

static void out_put(struct out *o, const char *s) {
        size_t n = strlen(s);

        if (n > sizeof o->p - o->n)
                n = sizeof o->p - o->n;
        memcpy(o->p + o->n, s, n);
        o->n += n;
}

/* Values went through log_text_cut: what JSON still wants escaped is quote and backslash. */
static void out_member(struct out *o, const char *name, const char *value) {
        char c[3] = "";

        out_put(o, o->n > 1 ? ",\"" : "\"");
        out_put(o, name);
        out_put(o, "\":\"");
        for (; *value; value++) {
                if (*value == '"' || *value == '\\')
                        snprintf(c, sizeof c, "\\%c", *value);
                else
                        snprintf(c, sizeof c, "%c", *value);
                out_put(o, c);
        }
        out_put(o, "\"");
}

/* IICP_TASK_ID -> task_id */
static void json_name(const char *name, char *out, size_t cap) {
        size_t i = 0;

        for (name += strlen("IICP_"); *name && i + 1 < cap; name++)
                out[i++] = (char) (*name >= 'A' && *name <= 'Z' ? *name + 32 : *name);
        out[i] = '\0';
}

static void write_stderr(const struct line *l, bool json) {
        struct out o = {.n = 0};
        struct timespec ts;
        char when[32], name[32];

        clock_gettime(CLOCK_REALTIME, &ts);
        clock_rfc3339((int64_t) ts.tv_sec, when);
        snprintf(when + 19, sizeof when - 19, ".%03uZ", (unsigned) (ts.tv_nsec / 1000000) % 1000u);
        if (json) {
                out_put(&o, "{");
                out_member(&o, "ts", when);
                out_member(&o, "level", level_name(l->level));
                out_member(&o, "event", l->event);
                out_member(&o, "msg", l->message);
                for (size_t i = 0; i < l->n_pairs; i++) {
                        json_name(l->pairs[i].name, name, sizeof name);
                        out_member(&o, name, l->pairs[i].value);
                }
                out_put(&o, "}\n");
        } else {
                out_put(&o, when);
                out_put(&o, " ");
                out_put(&o, level_name(l->level));
                out_put(&o, " ");
                out_put(&o, l->event);
                out_put(&o, " ");
                out_put(&o, l->message);
                out_put(&o, "\n");
        }
        /* A log that cannot be written has nobody to tell. */
        while (write(STDERR_FILENO, o.p, o.n) < 0 && errno == EINTR)
                ;
}

#if HAVE_SYSTEMD
/* MESSAGE_ID is the first half of SHA-256("iicpd-event:" name): stable, and a catalogue can be
 * written from the names alone. */
static void message_id(const char *event, char out[33]) {
        unsigned char md[EVP_MAX_MD_SIZE];
        char text[64];
        int n = snprintf(text, sizeof text, "iicpd-event:%s", event);

        out[0] = '\0';
        if (n < 0 || (size_t) n >= sizeof text || !EVP_Digest(text, (size_t) n, md, NULL, EVP_sha256(), NULL))
                return;
        for (size_t i = 0; i < 16; i++)
                snprintf(out + 2 * i, 3, "%02x", md[i]);
}

static bool write_journal(const struct line *l) {
        char text[20][LOG_MESSAGE_MAX + 32], id[33];
        struct iovec v[20];
        int n = 0;

        message_id(l->event, id);
        snprintf(text[n++], sizeof text[0], "MESSAGE=%s", l->message);
        snprintf(text[n++], sizeof text[0], "PRIORITY=%d", (int) l->level);
        snprintf(text[n++], sizeof text[0], "MESSAGE_ID=%s", id);
        snprintf(text[n++], sizeof text[0], "IICP_EVENT=%s", l->event);
        for (size_t i = 0; i < l->n_pairs; i++)
                snprintf(text[n++], sizeof text[0], "%s=%s", l->pairs[i].name, l->pairs[i].value);
        for (int i = 0; i < n; i++)
                v[i] = (struct iovec){.iov_base = text[i], .iov_len = strlen(text[i])};
        return systemd_journal_send(v, n) == 0;
}
#endif

/* Called with the lock held. */
static void line_write(struct line *l) {
        atomic_fetch_add(&log_state.written_total[l->level], 1);
        line_add(l, "IICP_NODE_ID", log_state.node_id);
#if HAVE_SYSTEMD
        if (log_state.format == LOG_F_JOURNAL && write_journal(l))
                return;
#endif
        write_stderr(l, log_state.format == LOG_F_JSON);
}

/* Hard cap on lines a second. Called with the lock held. */
static bool cap_take(uint64_t now_ms) {
        if (now_ms / 1000 != log_state.second) {
                log_state.second = now_ms / 1000;
                log_state.lines = 0;
        }
        if (log_state.lines >= LOG_LINES_PER_S) {
                log_state.dropped++;
                atomic_fetch_add(&log_state.dropped_total, 1);
                return false;
        }
        log_state.lines++;
        if (log_state.dropped && log_state.lines < LOG_LINES_PER_S) {
                struct line l = {.level = LOG_L_WARN, .event = "log_suppressed"};

                snprintf(l.message, sizeof l.message, "%llu lines dropped: more than %d in a second",
                         (unsigned long long) log_state.dropped, LOG_LINES_PER_S);
                log_state.dropped = 0;
                log_state.lines++;
                line_write(&l);
        }
        return true;
}

static void write_summary(const struct seen *s, uint64_t now_ms) {
        struct line l = {.level = s->level, .event = s->event};

        if (!cap_take(now_ms))
                return;
        snprintf(l.message, sizeof l.message, "%s%s%llu more in 10 min", s->subject, *s->subject ? ": " : "",
                 (unsigned long long) s->more);
        line_add(&l, "IICP_SUBJECT", s->subject);
        line_write(&l);
}

/* Forgets what is older than ten minutes, with a summary if there was more of it. */
static void sweep(uint64_t now_ms) {
        for (size_t i = 0; i < ARRAY_SIZE(log_state.seen); i++) {
                struct seen *s = &log_state.seen[i];

                if (!s->key || now_ms - s->since_ms < LOG_REPEAT_MS)
                        continue;
                if (s->more)
                        write_summary(s, now_ms);
                s->key = 0;
        }
}

static uint64_t hash_text(uint64_t h, const char *s) {
        for (; *s; s++)
                h = (h ^ (unsigned char) *s) * 0x100000001b3u;
        return (h ^ 0xff) * 0x100000001b3u;
}

/* True when this event with this subject has been written within ten minutes. */
static bool is_repeat(enum log_level level, const char *event, const char *subject, uint64_t now_ms) {
        uint64_t key = hash_text(hash_text(0xcbf29ce484222325u, event), subject) | 1;
        struct seen *place = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(never_repeats); i++)
                if (strcmp(event, never_repeats[i]) == 0)
                        return false;
        for (size_t i = 0; i < ARRAY_SIZE(log_state.seen); i++) {
                struct seen *s = &log_state.seen[i];

                if (s->key == key) {
                        s->more++;
                        return true;
                }
                /* Full: the oldest without a count is the one that loses least. */
                if (!place || (place->key && (!s->key || (!s->more && s->since_ms < place->since_ms))))
                        place = s;
        }
        *place = (struct seen){.key = key, .since_ms = now_ms, .level = level};
        snprintf(place->event, sizeof place->event, "%s", event);
        log_text_cut(iicp_str(subject), place->subject, sizeof place->subject, sizeof place->subject - 1);
        return false;
}

void log_tick(void) {
        pthread_mutex_lock(&log_state.lock);
        sweep(clock_mono_ms(log_state.clock));
        pthread_mutex_unlock(&log_state.lock);
}

void log_event(enum log_level level, const char *event, const struct log_fields *fields,
               const char *fmt, ...) {
        struct line l = {.level = level, .event = event};
        char raw[1024];
        const char *subject;
        bool written = (int) level <= atomic_load(&log_state.level);
        unsigned wanted = watched(event);
        va_list ap;

        if (!written && !wanted)
                return;
        va_start(ap, fmt);
        vsnprintf(raw, sizeof raw, fmt, ap);
        va_end(ap);
        /* Whatever came in by %s: the line stays one line. */
        log_text_cut(iicp_str(raw), l.message, sizeof l.message, LOG_MESSAGE_MAX);
        tell_watchers(wanted, level, event, fields, l.message);
        if (!written)
                return;
        if (fields)
                line_add_fields(&l, fields);
        subject = !fields ? "" : fields->subject ? fields->subject : fields->task_id ? fields->task_id
                : fields->backend ? fields->backend : "";
        pthread_mutex_lock(&log_state.lock);
        uint64_t now_ms = clock_mono_ms(log_state.clock);
        sweep(now_ms);
        if ((level == LOG_L_DEBUG || !is_repeat(level, event, subject, now_ms)) && cap_take(now_ms))
                line_write(&l);
        pthread_mutex_unlock(&log_state.lock);
}
