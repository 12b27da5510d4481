/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "util.h"

#include <errno.h>
#include <iicp/json.h>
#include <iicp/uuid.h>

/* Events that the reader could not take yet. */
struct waiting {
        STAILQ_ENTRY(waiting) link;
        struct relay_event event;      /* slices of text */
        size_t n;
        char text[];                   /* wiped */
};

STAILQ_HEAD(waiting_list, waiting);

struct relay_stream {
        struct iicp_lifecycle_receiver receiver;
        struct waiting_list queue;
        unsigned queued;
        bool delivering;               /* the reader is being called */
        char session_id[IICP_UUID_TEXT];
        char task_id[IICP_SESSION_ID_MAX + 1];
};

bool relay_session_streams(const struct relay_session *s) {
        return s->lifecycle;
}

bool relay_call_stream(const struct relay_call *c, struct relay_call_keys *ret) {
        if (!c->stream)
                return false;
        *ret = (struct relay_call_keys){iicp_str(c->stream->session_id), iicp_str(c->stream->task_id)};
        return true;
}

/* The consumer's task id, or one of ours where it has none that fits a key. */
static int name_task(struct relay_stream *s, struct iicp_str task_id) {
        struct iicp_json v;

        if (task_id.p && iicp_json_scan(task_id, NULL, NULL, &v) == 0 && v.type == IICP_JSON_STRING &&
            iicp_json_copy(&v, s->task_id, sizeof s->task_id) == 0 && s->task_id[0])
                return 0;
        return iicp_uuid4(s->task_id);
}

int relay_stream_new(struct relay_call *c) {
        struct relay_stream *s = calloc(1, sizeof *s);

        if (!s || iicp_uuid4(s->session_id) < 0 || name_task(s, c->task.task_id) < 0) {
                free(s);
                return -ENOMEM;
        }
        STAILQ_INIT(&s->queue);
        s->receiver = (struct iicp_lifecycle_receiver){.session_id = iicp_str(s->session_id), .call_id = iicp_str(c->id),
                                                       .task_id = iicp_str(s->task_id)};
        c->stream = s;
        return 0;
}

static void drop_first(struct relay_stream *s) {
        struct waiting *w = STAILQ_FIRST(&s->queue);

        STAILQ_REMOVE_HEAD(&s->queue, link);
        s->queued--;
        explicit_bzero(w->text, w->n);
        free(w);
}

struct relay_stream *relay_stream_free(struct relay_stream *s) {
        if (!s)
                return NULL;
        while (!STAILQ_EMPTY(&s->queue))
                drop_first(s);
        free(s);
        return NULL;
}

static struct iicp_str keep(struct iicp_str text, char **to) {
        struct iicp_str kept = {*to, text.n};

        if (!text.p)
                return text;
        memcpy(*to, text.p, text.n);
        *to += text.n;
        return kept;
}

static int enqueue(struct relay_stream *s, const struct relay_event *e) {
        size_t n = e->event.n + e->status.n + e->chunk.n + e->error_code.n + e->error_message.n;
        struct waiting *w = malloc(sizeof *w + n);
        char *to;

        if (!w)
                return -ENOMEM;
        to = w->text;
        w->n = n;
        w->event = *e;
        w->event.event = keep(e->event, &to);
        w->event.status = keep(e->status, &to);
        w->event.chunk = keep(e->chunk, &to);
        w->event.error_code = keep(e->error_code, &to);
        w->event.error_message = keep(e->error_message, &to);
        STAILQ_INSERT_TAIL(&s->queue, w, link);
        s->queued++;
        return 0;
}

/* What waits goes first; true when the last event was taken. */
static bool deliver_waiting(struct relay_call *c) {
        struct relay_stream *s = c->stream;
        bool final = false;

        s->delivering = true;
        while (!STAILQ_EMPTY(&s->queue) && c->task.event(c->arg, &STAILQ_FIRST(&s->queue)->event)) {
                final = STAILQ_FIRST(&s->queue)->event.is_final;
                drop_first(s);
        }
        s->delivering = false;
        return final;
}

void relay_events_resume(struct relay_call *c) {
        if (c->stream && !c->stream->delivering && deliver_waiting(c))
                relay_call_finish(c, RELAY_DONE, NULL);
}

static void pass_on(struct relay_call *c, const struct relay_event *e) {
        struct relay_stream *s = c->stream;

        if (s->queued == 0 && c->task.event(c->arg, e)) {
                if (e->is_final)
                        relay_call_finish(c, RELAY_DONE, NULL);
                return;
        }
        if (s->queued >= IICP_RELAY_EVENTS_MAX || enqueue(s, e) < 0)
                relay_call_finish(c, RELAY_BACKPRESSURE, NULL);
}

int relay_event(struct relay_session *s, const struct iicp_lifecycle_message *life, const struct relay_event *e) {
        struct relay_call *c = relay_call_find(s, life->call_id);
        enum iicp_lifecycle_verdict v;

        if (!c || !c->stream)
                return 0;
        s->bytes_from += e->chunk.n;
        s->relay->counts.bytes_from += e->chunk.n;
        if (e->chunk.n > s->relay->node->config->relay_max_body) {
                relay_call_finish(c, RELAY_TOO_LARGE, NULL);
                return 0;
        }
        v = iicp_lifecycle_receive(&c->stream->receiver, life);
        if (v == IICP_LIFECYCLE_DISCARD)
                return 0;
        if (v != IICP_LIFECYCLE_OK) {
                relay_call_finish(c, RELAY_BAD_STREAM, NULL);
                return -EBADMSG;
        }
        pass_on(c, e);
        return 0;
}
