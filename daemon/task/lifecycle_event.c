/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle_internal.h"

#include "util.h"

#include <errno.h>

/* Events and the replay buffer. An event is written once, as the JSON that every observer gets. */

#define EVENT_ALLOCATION 16 /* bytes that the allocator adds */
#define RING_FIRST 16 /* places for events of a record that is new */
#define EVENT_AROUND 256 /* bytes of an event besides its content, mostly */

void lifecycle_event_unref(struct lifecycle_event *e) {
        if (--e->refs > 0)
                return;
        iicp_wipe(e->json, e->n);
        free(e);
}

struct iicp_json lifecycle_event_get(const struct lifecycle_event *e, const char *member) {
        struct iicp_json object = {.text = {e->json, e->n}, .type = IICP_JSON_OBJECT};

        return iicp_json_get(&object, member);
}

/* What an event takes, for the account of the store. */
static size_t event_size(const struct lifecycle_event *e) {
        return sizeof(*e) + e->n + EVENT_ALLOCATION;
}

static void forget_oldest(struct lifecycle_task *r) {
        struct lifecycle_event *e = r->events[r->first];

        r->first = (r->first + 1) % r->n_ring;
        r->n--;
        r->bytes -= e->n;
        r->store->facts.bytes -= event_size(e);
        lifecycle_event_unref(e);
}

void lifecycle_drop_events(struct lifecycle_task *r, unsigned keep) {
        while (r->n > keep)
                forget_oldest(r);
}

/* The record that has ended first gives its events first; a running one gives none but its own. */
static void make_room(struct lifecycle *l, size_t more) {
        struct lifecycle_task *r;

        TAILQ_FOREACH(r, &l->ended, link) {
                if (l->facts.bytes + more <= LIFECYCLE_STORE_BYTES_MAX)
                        return;
                lifecycle_drop_events(r, 0);
        }
}

/* A place for one more event. Until the ring has its full size nothing was dropped by number, but
 * maybe by bytes, so it may begin anywhere. */
static int ring_grow(struct lifecycle_task *r) {
        unsigned n = MIN(r->n_ring + r->n_ring / 2 + RING_FIRST, LIFECYCLE_EVENTS_MAX);
        struct lifecycle_event **v;

        if (r->n < r->n_ring || r->n_ring == LIFECYCLE_EVENTS_MAX)
                return 0;
        v = calloc(n, sizeof(struct lifecycle_event *));
        if (!v)
                return -ENOMEM;
        for (unsigned i = 0; i < r->n; i++)
                v[i] = r->events[(r->first + i) % r->n_ring];
        free(r->events);
        r->events = v;
        r->n_ring = n;
        r->first = 0;
        return 0;
}

static void keep(struct lifecycle_task *r, struct lifecycle_event *e) {
        while (r->n > 0 && (r->n == LIFECYCLE_EVENTS_MAX || r->bytes + e->n > LIFECYCLE_BYTES_MAX))
                forget_oldest(r);
        make_room(r->store, event_size(e));
        r->events[(r->first + r->n) % r->n_ring] = e;
        r->n++;
        r->bytes += e->n;
        r->store->facts.bytes += event_size(e);
}

static void write_error(const struct lifecycle_content *c, struct iicp_buf *out) {
        if (!c->error_code)
                return;
        iicp_buf_puts(out, ",\"error\":{\"code\":");
        iicp_buf_json_str(out, iicp_str(c->error_code));
        iicp_buf_puts(out, ",\"message\":");
        iicp_buf_json_str(out, iicp_str(c->error_message));
        iicp_buf_puts(out, "}");
}

static int write_content(const struct lifecycle_task *r, enum iicp_lifecycle_state state,
                         const struct lifecycle_content *c, const struct iicp_cx_session *session,
                         struct iicp_buf *out) {
        bool end = state == IICP_LIFECYCLE_COMPLETED;

        if (c->sealed.n > 0) {
                iicp_buf_puts(out, ",\"iicp_conf_resp\":");
                iicp_buf_add_str(out, c->sealed);
        } else if (session && (c->members.n > 0 || end)) {
                iicp_buf_puts(out, ",\"iicp_conf_resp\":");
                return iicp_cx_seal_event(session, iicp_str(r->task_id), r->machine.next, c->members, end, out);
        } else if (c->members.n > 0) {
                iicp_buf_puts(out, ",");
                iicp_buf_add_str(out, c->members);
        }
        return 0;
}

static int write_event(const struct lifecycle_task *r, enum iicp_lifecycle_state state,
                       const struct lifecycle_content *c, const struct iicp_cx_session *session,
                       struct iicp_buf *out) {
        char at[21];
        int status;

        clock_rfc3339(clock_wall_s(r->store->node->clock), at);
        iicp_buf_puts(out, "{\"task_id\":");
        iicp_buf_json_str(out, iicp_str(r->task_id));
        iicp_buf_printf(out, ",\"sequence\":%llu,\"event\":\"%s\",\"state\":\"%s\",\"is_final\":%s,\"observed_at\":\"%s\"",
                        (unsigned long long) r->machine.next, iicp_lifecycle_event_name(state),
                        iicp_lifecycle_state_name(state), iicp_lifecycle_terminal(state) ? "true" : "false", at);
        status = write_content(r, state, c, session, out);
        if (c->tokens >= 0)
                iicp_buf_printf(out, ",\"tokens_used\":%lld", (long long) c->tokens);
        if (c->open.n > 0) {
                iicp_buf_puts(out, ",");
                iicp_buf_add_str(out, c->open);
        }
        write_error(c, out);
        if (iicp_lifecycle_terminal(state) && r->receipt[0]) {
                iicp_buf_puts(out, ",\"receipt\":");
                iicp_buf_puts(out, r->receipt);
        }
        iicp_buf_puts(out, "}");
        return status < 0 ? status : out->error;
}

static struct lifecycle_event *event_of(const struct lifecycle_task *r, enum iicp_lifecycle_state state,
                                        const struct lifecycle_content *c, struct iicp_str json) {
        struct lifecycle_event *e = malloc(sizeof(*e) + json.n);

        if (!e)
                return NULL;
        *e = (struct lifecycle_event){
                .refs = 1, .sequence = r->machine.next, .state = state, .is_final = iicp_lifecycle_terminal(state),
                .tokens = c->tokens, .error_code = c->error_code, .error_message = c->error_message, .n = json.n,
        };
        memcpy(e->json, json.p, json.n);
        return e;
}

/* ready() may free its observer, and only its own. */
static void wake(struct lifecycle_task *r) {
        struct lifecycle_observer *o, *next;

        for (o = LIST_FIRST(&r->observers); o; o = next) {
                next = LIST_NEXT(o, link);
                if (!o->waiting)
                        continue;
                o->waiting = false;
                o->ready(o->arg);
        }
}

int lifecycle_add(struct lifecycle_task *r, enum iicp_lifecycle_state state, const struct lifecycle_content *content,
                  const struct iicp_cx_session *session) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {.secret = true};
        struct lifecycle_event *e;
        int status;

        iicp_buf_reserve(&out, content->members.n + content->sealed.n + content->open.n + EVENT_AROUND);
        status = ring_grow(r);
        if (status == 0)
                status = write_event(r, state, content, session, &out);
        if (status < 0)
                return status;
        e = event_of(r, state, content, iicp_buf_str(&out));
        if (!e)
                return -ENOMEM;
        if (iicp_lifecycle_advance(&r->machine, state, e->sequence, e->is_final) != IICP_LIFECYCLE_OK) {
                lifecycle_event_unref(e);
                return -EPROTO;
        }
        keep(r, e);
        wake(r);
        return 0;
}
