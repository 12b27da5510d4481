/* SPDX-License-Identifier: Apache-2.0 */
#include "door_native_internal.h"

#include "native_voice.h"
#include "util.h"

/* The events of an accepted lifecycle CALL, for as long as its caller stays. */

static struct native_voice voice(struct native_conn *c) {
        return (struct native_voice){
                .wire = &c->wire,
                .node_id = iicp_str(state_identity(c->door->node->state)->node_id),
                .session_id = iicp_str(c->call.session_id),
                .call_id = iicp_str(c->call.call_id),
                .task_id = iicp_str(c->call.task_id),
                .sequence = &c->call.sequence,
        };
}

void native_stream_refused(struct native_conn *c, const char *code, const char *message) {
        struct native_voice v = voice(c);

        native_voice_failed(&v, code, message);
}

bool native_stream_pump(struct native_conn *c) {
        struct native_voice v = voice(c);
        struct lifecycle_event *e;

        while (c->call.observer && c->wire.state == LINK_OPEN && native_link_has_room(&c->wire)) {
                switch (lifecycle_observer_next(c->call.observer, &e)) {
                case LIFECYCLE_EVENT:
                        native_voice_event(&v, e);
                        lifecycle_event_unref(e);
                        break;
                case LIFECYCLE_WAIT:
                        return false;
                case LIFECYCLE_LAGGED:
                        native_stream_refused(c, "stream_incomplete", "events were taken too slowly");
                        /* fall through */
                case LIFECYCLE_END:
                        c->call.observer = lifecycle_observer_free(c->call.observer);
                        return true;
                }
        }
        return false;
}

static void on_ready(void *arg) {
        struct native_conn *c = arg;

        if (native_stream_pump(c))
                native_call_done(c);
}

bool native_stream_begin(struct native_conn *c, const struct task_answer *answer) {
        struct iicp_refusal refusal;

        c->call.began = answer->status == 202;
        c->call.observer = lifecycle_observe(answer->record, -1, on_ready, c, &refusal);
        if (c->call.observer)
                return true;
        native_stream_refused(c, iicp_refusal_info(refusal.id)->code, iicp_refusal_info(refusal.id)->message);
        return false;
}

/* The way to cancel on this transport is to leave. */
void native_stream_abort(struct native_conn *c) {
        struct lifecycle_observer *o = TAKE_PTR(c->call.observer);
        struct lifecycle_cancelled cancelled;

        if (!o)
                return;
        if (c->call.began)
                lifecycle_cancel(lifecycle_observed(o), &cancelled);
        lifecycle_observer_free(o);
}
