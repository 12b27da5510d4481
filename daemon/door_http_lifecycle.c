/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_internal.h"

#include "listener.h"

#include "node.h"
#include "task/lifecycle.h"
#include "task/principal.h"
#include "util.h"

#include <iicp/json.h>
#include <stdio.h>

/* Records, events, cancel, control. [02 sections 11.2, 11.6] */

#define REASON_MAX 64 /* characters of a caller's reason */

static enum MHD_Result refuse(struct http_conn *c, enum iicp_refusal_id id, const char *field) {
        struct iicp_refusal refusal = {.id = id, .field = field};

        return http_answer_refused(c, &refusal);
}

static bool who_asks(struct http_conn *c, struct principal *ret, struct iicp_refusal *refusal) {
        struct sockaddr_storage peer;
        struct credentials shown = {
                .authorization = c->req.fields.authorization,
                .consumer_token = c->req.fields.consumer_token,
                .peer = (const struct sockaddr *) &peer,
                .tls = listener_secure(c->door->node->listener, c->fd),
        };

        http_caller(c, &peer);
        return principal_demand(c->door->node->corridor, &shown, IICP_STR_NONE, ret, refusal);
}

static struct lifecycle *store(const struct http_conn *c) {
        return corridor_lifecycle(c->door->node->corridor);
}

/* ---- GET ---- */

/* Events from the wanted place on, in the wanted form. [02 section 11.2] */
static enum MHD_Result answer_events(struct http_conn *c, struct lifecycle_task *t) {
        const struct http_request *r = &c->req;
        enum http_stream_form form = HTTP_STREAM_NDJSON;
        int64_t after = r->target.after_sequence;
        struct lifecycle_observer *o;
        struct iicp_refusal refusal;
        struct http_stream *s;

        if (r->target.resource == HTTP_STREAM)
                form = HTTP_STREAM_SUBJECT;
        else if (r->fields.accept.p && memmem(r->fields.accept.p, r->fields.accept.n, "text/event-stream", 17))
                form = HTTP_STREAM_SSE;
        if (!r->target.has_after && r->fields.last_event_id.p && !http_sequence(r->fields.last_event_id, &after))
                return refuse(c, IICP_REFUSE_VALIDATION, "Last-Event-ID");
        s = http_stream_new(c, form, form != HTTP_STREAM_NDJSON || r->target.follow);
        if (!s)
                return MHD_NO;
        o = lifecycle_observe(t, after, http_stream_ready(), s, &refusal);
        if (!o) {
                http_stream_drop(s);
                return http_answer_refused(c, &refusal);
        }
        return http_stream_answer(c, s, o);
}

enum MHD_Result http_lifecycle_get(struct http_conn *c) {
        const struct http_target *target = &c->req.target;
        enum lifecycle_operation what = target->resource == HTTP_RECORD ? LIFECYCLE_STATUS : LIFECYCLE_OBSERVE;
        struct iicp_buf out = {0};
        struct lifecycle_task *t;
        struct iicp_refusal refusal;
        struct principal who;

        if (!who_asks(c, &who, &refusal))
                return http_answer_refused(c, &refusal);
        if (target->resource == HTTP_STREAM && !target->subject_call)
                return refuse(c, IICP_REFUSE_VALIDATION, "subject");
        if (target->bad_query || !target->id[0])
                return refuse(c, IICP_REFUSE_VALIDATION, target->id[0] ? "after_sequence" : "subject_id");
        t = lifecycle_find(store(c), &who, iicp_str(target->id), what, &refusal);
        if (!t)
                return http_answer_refused(c, &refusal);
        if (what == LIFECYCLE_OBSERVE)
                return answer_events(c, t);
        lifecycle_record_json(t, "", &out);
        return http_answer_json(c, &out);
}

/* ---- POST ---- */

static bool safe_reason(const struct iicp_json *v) {
        if (v->type == IICP_JSON_NONE || v->type == IICP_JSON_NULL)
                return true;
        if (v->type != IICP_JSON_STRING || v->escaped || v->text.n > REASON_MAX)
                return false;
        for (size_t i = 0; i < v->text.n; i++) {
                char ch = v->text.p[i];

                if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') && !(ch >= '0' && ch <= '9') &&
                    !strchr("._:- ", ch))
                        return false;
        }
        return true;
}

static enum MHD_Result cancel(struct http_conn *c, const struct principal *who, struct iicp_str id) {
        struct iicp_refusal refusal;
        struct lifecycle_task *t = lifecycle_find(store(c), who, id, LIFECYCLE_CANCEL, &refusal);
        struct lifecycle_cancelled done;
        struct iicp_buf out = {0};
        char extra[96];

        if (!t)
                return http_answer_refused(c, &refusal);
        lifecycle_cancel(t, &done);
        snprintf(extra, sizeof extra, "\"cancellation\":\"%s\",\"evidence\":\"%s\",", done.outcome, done.evidence);
        lifecycle_record_json(t, extra, &out);
        return http_answer_json(c, &out);
}

/* `{}` or {"task_id","reason"}. */
static enum MHD_Result on_cancel(struct http_conn *c, const struct principal *who, const struct iicp_json *body) {
        struct iicp_json id = iicp_json_get(body, "task_id"), reason = iicp_json_get(body, "reason");

        if (id.type != IICP_JSON_NONE && !iicp_json_is(&id, c->req.target.id))
                return refuse(c, IICP_REFUSE_VALIDATION, "task_id");
        if (!safe_reason(&reason))
                return refuse(c, IICP_REFUSE_VALIDATION, "reason");
        return cancel(c, who, iicp_str(c->req.target.id));
}

static enum MHD_Result pause_node(struct http_conn *c, const struct principal *who, bool on) {
        struct iicp_buf out = {0};

        if (who->kind != PRINCIPAL_OPERATOR)
                return refuse(c, IICP_REFUSE_FORBIDDEN, NULL);
        node_pause(c->door->node, on);
        iicp_buf_puts(&out, "{\"ok\":true}");
        return http_answer_json(c, &out);
}

static enum MHD_Result on_control(struct http_conn *c, const struct principal *who, const struct iicp_json *body) {
        struct iicp_json action = iicp_json_get(body, "action"), id = iicp_json_get(body, "task_id"),
                         reason = iicp_json_get(body, "reason");
        char task_id[HTTP_ID_MAX + 1];

        if (iicp_json_is(&action, "pause") || iicp_json_is(&action, "resume"))
                return pause_node(c, who, iicp_json_is(&action, "pause"));
        if (!iicp_json_is(&action, "cancel"))
                return refuse(c, IICP_REFUSE_VALIDATION, "action");
        if (iicp_json_copy(&id, task_id, sizeof task_id) < 0)
                return refuse(c, IICP_REFUSE_VALIDATION, "task_id");
        if (!safe_reason(&reason))
                return refuse(c, IICP_REFUSE_VALIDATION, "reason");
        return cancel(c, who, iicp_str(task_id));
}

enum MHD_Result http_lifecycle_post(struct http_conn *c) {
        struct http_request *r = &c->req;
        struct iicp_str text = {r->body ? r->body : "", r->n};
        struct iicp_refusal refusal;
        struct principal who;
        struct iicp_json body;

        /* Nothing of it is needed to know who asks; a stranger learns nothing about it either. */
        if (!who_asks(c, &who, &refusal))
                return http_answer_refused(c, &refusal);
        if (iicp_json_scan(text, NULL, NULL, &body) < 0 || body.type != IICP_JSON_OBJECT)
                return refuse(c, IICP_REFUSE_INVALID_HTTP_BODY, NULL);
        return r->target.resource == HTTP_CANCEL ? on_cancel(c, &who, &body) : on_control(c, &who, &body);
}
