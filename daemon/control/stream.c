/* SPDX-License-Identifier: Apache-2.0 */
#include "control/server.h"

#include "node.h"
#include "observe/feed.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>

/* /v1/events: server-sent events. A reader that has had all is suspended until there is more; one that
 * is slower than the ring is told so and closed. What it has not read is nowhere but in the ring. */

#define KEEP_ALIVE_MS 15000 /* of silence: finds readers that are gone */
#define STREAM_BLOCK 4096   /* bytes that are asked for at once */

struct stream {
        struct control *control;
        struct stream *next, *previous;
        struct MHD_Connection *connection;
        uint64_t after;            /* number of the last event that was written */
        unsigned types;
        bool follow, hide, suspended, alive, over;
        struct iicp_buf text;      /* written by us, not yet taken */
        size_t taken;
};

struct streams {
        struct stream *first;
        struct timer timer;
};

static void wake(struct stream *s) {
        if (!s->suspended)
                return;
        s->suspended = false;
        MHD_resume_connection(s->connection);
        mhd_loop_kick(&s->control->loop);
}

static void on_event(void *arg) {
        struct control *c = arg;

        for (struct stream *s = c->streams->first; s; s = s->next)
                wake(s);
}

static void on_silence(void *arg) {
        struct control *c = arg;

        for (struct stream *s = c->streams->first; s; s = s->next) {
                s->alive = true;
                wake(s);
        }
        timer_set_ms(&c->streams->timer, KEEP_ALIVE_MS);
}

int streams_new(struct control *c) {
        c->streams = calloc(1, sizeof(*c->streams));
        if (!c->streams)
                return -ENOMEM;
        timer_init(&c->streams->timer, c->node->loop, on_silence, c);
        feed_on_event(c->node->feed, on_event, c);
        return 0;
}

void streams_drop_all(struct control *c) {
        bool any = false;

        feed_on_event(c->node->feed, NULL, NULL);
        for (struct stream *s = c->streams ? c->streams->first : NULL; s; s = s->next) {
                s->over = any = true;
                wake(s);
        }
        if (any)
                MHD_run(c->http);
}

void streams_free(struct control *c) {
        if (!c->streams)
                return;
        timer_clear(&c->streams->timer);
        free(c->streams);
        c->streams = NULL;
}

/* ---- text ---- */

static void put(struct stream *s, uint64_t id, const char *event, const struct iicp_buf *data) {
        iicp_buf_printf(&s->text, "id: %llu\nevent: %s\ndata: ", (unsigned long long) id, event);
        if (s->hide)
                hide_addresses(iicp_buf_str(data), &s->text);
        else
                iicp_buf_add_str(&s->text, iicp_buf_str(data));
        iicp_buf_puts(&s->text, "\n\n");
}

static void put_lagged(struct stream *s, uint64_t oldest) {
        _cleanup_(iicp_buf_free) struct iicp_buf data = {0};

        iicp_buf_printf(&data, "{\"schema\":\"iicp.lagged/1\",\"after\":%llu,\"oldest\":%llu}",
                        (unsigned long long) s->after, (unsigned long long) oldest);
        put(s, oldest - 1, "lagged", &data);
}

/* Fills s->text with a block of what is new. */
static void fill(struct stream *s) {
        uint64_t oldest = feed_oldest(s->control->node->feed, s->types & ~(1u << FEED_TASK));

        iicp_buf_free(&s->text);
        s->taken = 0;
        if (s->after > 0 && feed_lost(s->control->node->feed, s->after)) {
                put_lagged(s, oldest);
                s->over = true;
                return;
        }
        while (s->text.n < STREAM_BLOCK) {
                _cleanup_(iicp_buf_free) struct iicp_buf data = {0};
                const char *event;
                uint64_t id = feed_next(s->control->node->feed, s->after, s->types, &data, &event);

                if (id == 0)
                        break;
                put(s, id, event, &data);
                s->after = id;
        }
        if (s->text.n == 0 && !s->follow)
                s->over = true;
        else if (s->text.n == 0 && s->alive)
                iicp_buf_puts(&s->text, ": alive\n\n");
        s->alive = false;
}

static ssize_t on_read(void *arg, uint64_t pos, char *out, size_t max) {
        struct stream *s = arg;
        size_t n;

        (void) pos;
        if (s->taken == s->text.n && !s->over)
                fill(s);
        n = MIN(max, s->text.n - s->taken);
        if (n > 0) {
                memcpy(out, s->text.p + s->taken, n);
                s->taken += n;
                return (ssize_t) n;
        }
        if (s->over || s->control->closing || s->text.error)
                return MHD_CONTENT_READER_END_OF_STREAM;
        s->suspended = true;
        MHD_suspend_connection(s->connection);
        return 0;
}

static void on_gone(void *arg) {
        struct stream *s = arg;

        *(s->previous ? &s->previous->next : &s->control->streams->first) = s->next;
        if (s->next)
                s->next->previous = s->previous;
        if (!s->control->streams->first)
                timer_clear(&s->control->streams->timer);
        iicp_buf_free(&s->text);
        free(s);
}

/* ---- what is wanted ---- */

/* "route,backend": 0 and false for a word that is none. */
static bool parse_types(const char *text, unsigned *ret) {
        unsigned types = 0;

        while (*text) {
                size_t n = strcspn(text, ",");
                unsigned i;

                for (i = 0; i < FEED_TYPE_MAX_; i++)
                        if (strlen(feed_type_name(i)) == n && strncmp(feed_type_name(i), text, n) == 0)
                                break;
                if (i == FEED_TYPE_MAX_)
                        return false;
                types |= 1u << i;
                text += n + (text[n] == ',');
        }
        *ret = types;
        return true;
}

/* "90", "90s", "10min", "1h", "2d": seconds, -1 = none of these. */
static int64_t parse_age(const char *text) {
        static const struct {
                const char *unit;
                int64_t s;
        } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
        char *end;
        long n = strtol(text, &end, 10);

        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                if (end != text && n >= 0 && n < 1000000 && strcmp(end, units[i].unit) == 0)
                        return n * units[i].s;
        return -1;
}

/* Where to begin: behind an event that was seen, at an age, or now. */
static bool begin(struct stream *s, struct call *call) {
        const char *last = call_header(call, "Last-Event-ID"), *since = call_argument(call, "since");
        const struct feed *f = s->control->node->feed;
        int64_t age;
        char *end;

        s->after = s->follow ? feed_last(f) : 0;
        if (!last)
                last = call_argument(call, "after");
        if (last && *last) {
                s->after = strtoull(last, &end, 10);
                /* Of another process: its numbers say nothing here. */
                if (*end || s->after > feed_last(f))
                        s->after = 0;
                return true;
        }
        if (!since)
                return true;
        age = parse_age(since);
        if (age >= 0)
                s->after = feed_before(f, clock_wall_s(s->control->node->clock) - age);
        return age >= 0;
}

unsigned get_events(struct call *call, struct iicp_buf *out) {
        const char *types = call_argument(call, "types"), *follow = call_argument(call, "follow");
        const char *tasks = call_argument(call, "tasks");
        struct control *c = call->control;
        struct stream *s = calloc(1, sizeof(*s));
        struct MHD_Response *response;

        if (!s)
                return call_fault(out, 500, "internal_error", "no memory", "");
        *s = (struct stream){
                .control = c, .connection = call->connection, .hide = call_is_open(call),
                .types = FEED_ALL & ~(1u << FEED_TASK), .follow = !follow || strcmp(follow, "0") != 0,
        };
        if ((types && !parse_types(types, &s->types)) || !begin(s, call)) {
                free(s);
                return call_fault(out, 422, "usage", "types or since cannot be read",
                                  "types=route,backend since=90s, 10min, 1h");
        }
        if (tasks && strcmp(tasks, "1") == 0)
                s->types |= 1u << FEED_TASK;
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_read, s, on_gone);
        if (!response) {
                free(s);
                return call_fault(out, 500, "internal_error", "no memory", "");
        }
        s->next = c->streams->first;
        if (s->next)
                s->next->previous = s;
        c->streams->first = s;
        if (!timer_armed(&c->streams->timer))
                timer_set_ms(&c->streams->timer, KEEP_ALIVE_MS);
        call_stream(call, response);
        return 0;
}
