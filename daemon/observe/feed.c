/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include "control/control.h"
#include "node.h"
#include "util.h"

#include <stdio.h>

#define RECENT_MAX 32        /* events with subject that may not come again for a second */
#define STATE_EVERY_MS 1000

struct change {
        uint64_t id;
        int64_t at_s;
        enum feed_type type;
        char event[32];
        char *json;          /* members behind "event" */
};

struct step {
        uint64_t id;
        int64_t at_s;
        const char *event, *door;
        char task_id[65], model[96], backend[33];
        int status;
        uint64_t took_ms;
};

/* Events that are counted. */
static const char *const counted[] = {
        "register_ok", "register_fail", "register_blocked", "reregister_ok", "reregister_fail", "state_save_failed",
};
#define SEEN_N (sizeof counted / sizeof counted[0])

struct feed {
        struct node *node;
        uint64_t last;
        struct change *changes;      /* FEED_MAX, made with the first one */
        size_t n_changes;            /* ever */
        uint64_t lost;               /* number of the youngest that was overwritten */
        struct step *steps;          /* FEED_TASKS_MAX */
        size_t n_steps;
        struct {
                char key[96];
                uint64_t at_ms;
        } recent[RECENT_MAX];
        uint64_t seen[SEEN_N];       /* for metrics */
        struct timer timer;          /* looks whether the state's word has changed */
        const char *word;
        void (*fn)(void *arg);
        void *arg;
};

static const char *const type_names[FEED_TYPE_MAX_] = {
        [FEED_NODE] = "node", [FEED_ROUTE] = "route", [FEED_BACKEND] = "backend", [FEED_DIRECTORY] = "directory",
        [FEED_RELAY] = "relay", [FEED_CONFIG] = "config", [FEED_LIMIT] = "limit", [FEED_TASK] = "task",
};

const char *feed_type_name(enum feed_type t) {
        return t < FEED_TYPE_MAX_ ? type_names[t] : "node";
}

enum feed_type feed_type_of(const char *event) {
        static const struct {
                const char *prefix;
                enum feed_type type;
        } rows[] = {
                {"route", FEED_ROUTE}, {"lease", FEED_ROUTE}, {"address", FEED_ROUTE}, {"endpoint", FEED_ROUTE},
                {"dialback", FEED_ROUTE}, {"probe", FEED_ROUTE}, {"tunnel", FEED_ROUTE}, {"nat", FEED_ROUTE},
                {"mapping", FEED_ROUTE}, {"port_moved", FEED_ROUTE}, {"backend", FEED_BACKEND}, {"model", FEED_BACKEND},
                {"register", FEED_DIRECTORY}, {"reregister", FEED_DIRECTORY}, {"deregister", FEED_DIRECTORY},
                {"heartbeat", FEED_DIRECTORY}, {"directory", FEED_DIRECTORY}, {"recovery", FEED_DIRECTORY},
                {"identity", FEED_DIRECTORY}, {"delegation", FEED_DIRECTORY}, {"award", FEED_DIRECTORY},
                {"relay", FEED_RELAY}, {"session", FEED_RELAY}, {"config", FEED_CONFIG}, {"task", FEED_TASK},
                {"auth", FEED_LIMIT}, {"protocol", FEED_LIMIT}, {"connections", FEED_LIMIT}, {"files", FEED_LIMIT},
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (strncmp(event, rows[i].prefix, strlen(rows[i].prefix)) == 0)
                        return strcmp(event, "tasks_refused") == 0 ? FEED_LIMIT : rows[i].type;
        return FEED_NODE;
}

static const char *level_name(enum log_level l) {
        static const char *const names[] = {
                [LOG_L_ERR] = "err", [LOG_L_WARN] = "warn", [LOG_L_NOTICE] = "notice", [LOG_L_INFO] = "info",
                [LOG_L_DEBUG] = "debug",
        };

        return names[l];
}

static void member(struct iicp_buf *out, const char *name, const char *value) {
        if (!value || !*value)
                return;
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(value));
}

/* True when it came a moment ago: a storm of the same must not empty the ring. */
static bool repeats(struct feed *f, const char *event, const char *subject) {
        uint64_t now = clock_mono_ms(f->node->clock);
        size_t place = 0;
        char key[96];

        snprintf(key, sizeof key, "%s %s", event, subject ? subject : "");
        for (size_t i = 0; i < RECENT_MAX; i++) {
                if (strcmp(f->recent[i].key, key) == 0 && now - f->recent[i].at_ms < FEED_REPEAT_MS)
                        return true;
                if (f->recent[i].at_ms < f->recent[place].at_ms)
                        place = i;
        }
        memcpy(f->recent[place].key, key, sizeof key);
        f->recent[place].at_ms = now;
        return false;
}

static void tell(struct feed *f) {
        if (f->fn)
                f->fn(f->arg);
}

static void add_change(struct feed *f, enum log_level level, const char *event, const struct log_fields *fields,
                       const char *message) {
        static const struct log_fields none;
        const struct log_fields *x = fields ? fields : &none;
        struct iicp_buf json = {.max = FEED_BYTES_MAX};
        struct change *c;

        if (!f->changes && !(f->changes = calloc(FEED_MAX, sizeof *f->changes)))
                return;
        iicp_buf_printf(&json, ",\"level\":\"%s\"", level_name(level));
        member(&json, "message", message);
        member(&json, "subject", x->subject ? x->subject : x->backend);
        member(&json, "reason", x->reason);
        member(&json, "code", x->code);
        member(&json, "backend", x->backend);
        member(&json, "model", x->model);
        if (json.error) {
                iicp_buf_free(&json);
                return;
        }
        c = &f->changes[f->n_changes++ % FEED_MAX];
        f->lost = c->id;
        free(c->json);
        *c = (struct change){.id = ++f->last, .at_s = clock_wall_s(f->node->clock), .type = feed_type_of(event)};
        snprintf(c->event, sizeof c->event, "%s", event);
        c->json = iicp_buf_take(&json, NULL);
        tell(f);
}

void feed_put(struct feed *f, enum log_level level, const char *event, const struct log_fields *fields,
              const char *fmt, ...) {
        char message[LOG_MESSAGE_MAX + 1];
        va_list ap;

        if (!f)
                return;
        va_start(ap, fmt);
        vsnprintf(message, sizeof message, fmt, ap);
        va_end(ap);
        add_change(f, level, event, fields, message);
}

/* Tasks have a ring of their own; what only debugging needs is no change of state. */
static void on_log(void *arg, enum log_level level, const char *event, const struct log_fields *fields,
                   const char *message) {
        struct feed *f = arg;

        for (size_t i = 0; i < SEEN_N; i++)
                f->seen[i] += strcmp(counted[i], event) == 0;
        if (level == LOG_L_DEBUG || feed_type_of(event) == FEED_TASK ||
            repeats(f, event, fields && fields->subject ? fields->subject : fields ? fields->backend : NULL))
                return;
        add_change(f, level, event, fields, message);
}

static void copy(char *out, size_t cap, struct iicp_str s) {
        size_t n = s.p ? MIN(s.n, cap - 1) : 0;

        memcpy(out, s.p ? s.p : "", n);
        out[n] = '\0';
}

void feed_task(struct feed *f, const struct feed_task *t) {
        struct step *s;

        if (!f || (!f->steps && !(f->steps = calloc(FEED_TASKS_MAX, sizeof *f->steps))))
                return;
        s = &f->steps[f->n_steps++ % FEED_TASKS_MAX];
        *s = (struct step){
                .id = ++f->last, .at_s = clock_wall_s(f->node->clock), .event = t->step, .door = t->door,
                .status = t->status, .took_ms = t->took_ms,
        };
        copy(s->task_id, sizeof s->task_id, t->task_id);
        copy(s->model, sizeof s->model, t->model);
        snprintf(s->backend, sizeof s->backend, "%s", t->backend ? t->backend : "");
        tell(f);
}

/* ---- the word of the state ---- */

static void look_at_state(void *arg) {
        struct feed *f = arg;
        const char *word = status_word(f->node);
        char sentence[256];

        if (strcmp(f->word, word) != 0) {
                struct log_fields fields = {.subject = word, .reason = f->word};

                status_sentence(f->node, sentence, sizeof sentence);
                feed_put(f, LOG_L_NOTICE, "state_changed", &fields, "%s: %s", word, sentence);
        }
        f->word = word;
        timer_set_ms(&f->timer, STATE_EVERY_MS);
}

struct feed *feed_new(struct node *node) {
        struct feed *f = calloc(1, sizeof *f);

        if (!f)
                return NULL;
        f->node = node;
        f->word = "starting";
        timer_init(&f->timer, node->loop, look_at_state, f);
        timer_set_ms(&f->timer, STATE_EVERY_MS);
        log_watch(LOG_WATCH_FEED, NULL, on_log, f);
        return f;
}

struct feed *feed_free(struct feed *f) {
        if (!f)
                return NULL;
        log_watch(LOG_WATCH_FEED, NULL, NULL, NULL);
        timer_clear(&f->timer);
        for (size_t i = 0; f->changes && i < FEED_MAX; i++)
                free(f->changes[i].json);
        free(f->changes);
        free(f->steps);
        free(f);
        return NULL;
}

/* ---- reading ---- */

void feed_on_event(struct feed *f, void (*fn)(void *arg), void *arg) {
        if (!f)
                return;
        f->fn = fn;
        f->arg = arg;
}

uint64_t feed_seen(const struct feed *f, const char *event) {
        for (size_t i = 0; f && i < SEEN_N; i++)
                if (strcmp(counted[i], event) == 0)
                        return f->seen[i];
        return 0;
}

uint64_t feed_last(const struct feed *f) {
        return f ? f->last : 0;
}

static size_t first_of(size_t n, size_t max) {
        return n > max ? n - max : 0;
}

/* The place of the first one after this number; both rings are in order. */
static size_t change_after(const struct feed *f, uint64_t after) {
        size_t low = first_of(f->n_changes, FEED_MAX), high = f->n_changes;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (f->changes[mid % FEED_MAX].id > after)
                        high = mid;
                else
                        low = mid + 1;
        }
        return low;
}

static size_t step_after(const struct feed *f, uint64_t after) {
        size_t low = first_of(f->n_steps, FEED_TASKS_MAX), high = f->n_steps;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (f->steps[mid % FEED_TASKS_MAX].id > after)
                        high = mid;
                else
                        low = mid + 1;
        }
        return low;
}

uint64_t feed_oldest(const struct feed *f, unsigned types) {
        uint64_t oldest = 0;

        if (!f)
                return 0;
        if ((types & ~(1u << FEED_TASK)) && f->n_changes > 0)
                oldest = f->changes[first_of(f->n_changes, FEED_MAX) % FEED_MAX].id;
        if ((types & (1u << FEED_TASK)) && f->n_steps > 0) {
                uint64_t step = f->steps[first_of(f->n_steps, FEED_TASKS_MAX) % FEED_TASKS_MAX].id;

                oldest = oldest ? MIN(oldest, step) : step;
        }
        return oldest;
}

bool feed_lost(const struct feed *f, uint64_t after) {
        return f && f->lost > after;
}

uint64_t feed_before(const struct feed *f, int64_t wall_s) {
        uint64_t id = 0;

        if (!f)
                return 0;
        for (size_t i = first_of(f->n_changes, FEED_MAX); i < f->n_changes; i++)
                if (f->changes[i % FEED_MAX].at_s < wall_s)
                        id = MAX(id, f->changes[i % FEED_MAX].id);
        for (size_t i = first_of(f->n_steps, FEED_TASKS_MAX); i < f->n_steps; i++)
                if (f->steps[i % FEED_TASKS_MAX].at_s < wall_s)
                        id = MAX(id, f->steps[i % FEED_TASKS_MAX].id);
        return id;
}

static void head(struct iicp_buf *out, uint64_t id, int64_t at_s, enum feed_type type, const char *event) {
        char when[21];

        clock_rfc3339(at_s, when);
        iicp_buf_printf(out, "{\"schema\":\"iicp.event/1\",\"id\":%llu,\"at\":\"%s\",\"type\":\"%s\",\"event\":\"%s\"",
                        (unsigned long long) id, when, type_names[type], event);
}

static void print_step(const struct step *s, struct iicp_buf *out) {
        head(out, s->id, s->at_s, FEED_TASK, s->event);
        member(out, "task_id", s->task_id);
        member(out, "model", s->model);
        member(out, "backend", s->backend);
        member(out, "door", s->door);
        if (s->status)
                iicp_buf_printf(out, ",\"status\":%d", s->status);
        if (s->took_ms)
                iicp_buf_printf(out, ",\"took_ms\":%llu", (unsigned long long) s->took_ms);
        iicp_buf_puts(out, "}");
}

uint64_t feed_next(const struct feed *f, uint64_t after, unsigned types, struct iicp_buf *out, const char **ret_event) {
        const struct change *c = NULL;
        const struct step *s = NULL;
        size_t at;

        if (!f || after >= f->last)
                return 0;
        for (at = change_after(f, after); at < f->n_changes && !c; at++)
                if (types & (1u << f->changes[at % FEED_MAX].type))
                        c = &f->changes[at % FEED_MAX];
        if ((types & (1u << FEED_TASK)) && (at = step_after(f, after)) < f->n_steps)
                s = &f->steps[at % FEED_TASKS_MAX];
        if (s && (!c || s->id < c->id)) {
                print_step(s, out);
                *ret_event = s->event;
                return s->id;
        }
        if (!c)
                return 0;
        head(out, c->id, c->at_s, c->type, c->event);
        iicp_buf_puts(out, c->json);
        iicp_buf_puts(out, "}");
        *ret_event = c->event;
        return c->id;
}
