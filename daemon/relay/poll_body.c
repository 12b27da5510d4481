/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/poll_body.h"

#include <errno.h>
#include <iicp/lifecycle.h>

const char *poll_fault_text(enum poll_fault f) {
        static const char *const texts[POLL_FAULTS_] = {
                [POLL_OK] = "",
                [POLL_NO_JSON] = "the body is not valid JSON",
                [POLL_NO_OBJECT] = "the body must be a JSON object",
                [POLL_NO_WORKER_ID] = "worker_id is required",
                [POLL_BAD_WORKER_ID] = "worker_id must be 1 to 128 characters of A-Za-z0-9._:-, the first a letter or digit",
                [POLL_BAD_MEMBER] = "intent and bind_ticket must be strings of usual length",
                [POLL_NO_RESULT] = "call_id and result are required",
                [POLL_BAD_EVENT] = "event must have session_id, call_id, status, is_final and lifecycle that agree",
                [POLL_NO_TARGET] = "target_node_id and task are required",
        };

        return texts[f];
}

static enum poll_fault object(struct iicp_str text, struct iicp_json *ret) {
        if (iicp_json_scan(text, NULL, NULL, ret) < 0)
                return POLL_NO_JSON;
        return ret->type == IICP_JSON_OBJECT ? POLL_OK : POLL_NO_OBJECT;
}

static bool absent(const struct iicp_json *v) {
        return v->type == IICP_JSON_NONE || v->type == IICP_JSON_NULL;
}

/* ---- bind ---- */

static bool text_member(const struct iicp_json *body, const char *name, char *out, size_t cap, bool *ret_present) {
        struct iicp_json v = iicp_json_get(body, name);

        out[0] = '\0';
        *ret_present = !absent(&v);
        return !*ret_present || iicp_json_copy(&v, out, cap) == 0;
}

static struct iicp_json array_member(const struct iicp_json *body, const char *name) {
        struct iicp_json v = iicp_json_get(body, name);

        return v.type == IICP_JSON_ARRAY ? v : (struct iicp_json){.type = IICP_JSON_NONE};
}

enum poll_fault poll_bind_read(struct iicp_str text, struct poll_bind_body *ret) {
        struct iicp_json body, id;
        enum poll_fault f = object(text, &body);
        bool present;

        *ret = (struct poll_bind_body){.has_ticket = false};
        if (f != POLL_OK)
                return f;
        id = iicp_json_get(&body, "worker_id");
        if (id.type != IICP_JSON_STRING || id.text.n == 0)
                return POLL_NO_WORKER_ID;
        if (iicp_json_copy(&id, ret->worker_id, sizeof ret->worker_id) < 0 ||
            !iicp_worker_id_ok(iicp_str(ret->worker_id)))
                return POLL_BAD_WORKER_ID;
        if (!text_member(&body, "intent", ret->intent, sizeof ret->intent, &present) ||
            !text_member(&body, "bind_ticket", ret->ticket, sizeof ret->ticket, &ret->has_ticket))
                return POLL_BAD_MEMBER;
        ret->models = array_member(&body, "models");
        ret->profiles = array_member(&body, "profiles");
        return POLL_OK;
}

void poll_names(const struct iicp_json *array, void (*fn)(void *arg, const char *name), void *arg) {
        struct iicp_json_iter it;
        struct iicp_json v;
        char name[POLL_MODEL_MAX + 1];

        if (array->type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, array);
        for (unsigned i = 0; i < POLL_MODELS_MAX && iicp_json_next(&it, NULL, &v); i++)
                if (iicp_json_copy(&v, name, sizeof name) == 0 && name[0])
                        fn(arg, name);
}

/* ---- result ---- */

static bool is_text(const struct iicp_json *v) {
        return v->type == IICP_JSON_STRING && v->text.n > 0 && v->text.n <= POLL_CALL_ID_MAX;
}

static bool is_bool(const struct iicp_json *v) {
        return v->type == IICP_JSON_TRUE || v->type == IICP_JSON_FALSE;
}

/* The table of 03 section 9: what may stand beside each status. */
static bool status_fits(const struct iicp_json *status, const struct iicp_json *event, bool final) {
        static const struct {
                const char *status, *event;
                bool final;
        } rows[] = {
                {"partial", "partial", false}, {"success", "completed", true}, {"error", "failed", true},
                {"error", "cancelled", true},  {"timeout", "timed_out", true}, {"timeout", "expired", true},
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
                if (iicp_json_is(status, rows[i].status) && iicp_json_is(event, rows[i].event))
                        return rows[i].final == final;
        return false;
}

/* Fields that agree with each other; whether the event comes in order is the session's to judge. */
static bool event_ok(const struct iicp_json *e, const char *call_id) {
        struct iicp_json session = iicp_json_get(e, "session_id"), call = iicp_json_get(e, "call_id"),
                         status = iicp_json_get(e, "status"), final = iicp_json_get(e, "is_final"),
                         tokens = iicp_json_get(e, "tokens_used"), life = iicp_json_get(e, "lifecycle");
        struct iicp_json task = iicp_json_get(&life, "task_id"), sequence = iicp_json_get(&life, "sequence"),
                         event = iicp_json_get(&life, "event"), life_final = iicp_json_get(&life, "is_final");
        int64_t n;

        if (!is_text(&session) || !is_text(&call) || !iicp_json_is(&call, call_id) || !is_bool(&final))
                return false;
        if (life.type != IICP_JSON_OBJECT || !is_text(&task) || !is_bool(&life_final) || life_final.type != final.type)
                return false;
        if (sequence.type != IICP_JSON_NUMBER || iicp_json_int(&sequence, &n) < 0 || n < 0)
                return false;
        if (!absent(&tokens) && (tokens.type != IICP_JSON_NUMBER || iicp_json_int(&tokens, &n) < 0 || n < 0))
                return false;
        return status.type == IICP_JSON_STRING && event.type == IICP_JSON_STRING &&
               status_fits(&status, &event, final.type == IICP_JSON_TRUE);
}

static struct iicp_str whole(const struct iicp_json *v) {
        /* of a string, with its quotes */
        return v->type == IICP_JSON_STRING ? (struct iicp_str){v->text.p - 1, v->text.n + 2} : v->text;
}

enum poll_fault poll_result_read(struct iicp_str text, struct poll_result_body *ret) {
        struct iicp_json body, id, result, event;
        enum poll_fault f = object(text, &body);

        *ret = (struct poll_result_body){.call_id = ""};
        if (f != POLL_OK)
                return f;
        id = iicp_json_get(&body, "call_id");
        result = iicp_json_get(&body, "result");
        event = iicp_json_get(&body, "event");
        if (id.type != IICP_JSON_STRING || id.text.n == 0)
                return POLL_NO_RESULT;
        /* One that cannot be ours is a call that is not known, not a fault. */
        if (iicp_json_copy(&id, ret->call_id, sizeof ret->call_id) < 0)
                ret->call_id[0] = '\0';
        if (!absent(&event)) {
                if (event.type != IICP_JSON_OBJECT || !event_ok(&event, ret->call_id))
                        return POLL_BAD_EVENT;
                ret->event = event.text;
                return POLL_OK;
        }
        if (absent(&result))
                return POLL_NO_RESULT;
        ret->result = whole(&result);
        return POLL_OK;
}

static struct iicp_str text_of(const struct iicp_json *object, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(object, name);

        if (iicp_json_copy(&v, out, cap) < 0)
                out[0] = '\0';
        return out[0] ? iicp_str(out) : IICP_STR_NONE;
}

void poll_event_read(struct iicp_str event, struct poll_event *ret) {
        struct iicp_json e = {event, IICP_JSON_OBJECT, false};
        struct iicp_json life = iicp_json_get(&e, "lifecycle"), result = iicp_json_get(&e, "result"),
                         error = iicp_json_get(&e, "error"), final = iicp_json_get(&life, "is_final"),
                         sequence = iicp_json_get(&life, "sequence"), tokens = iicp_json_get(&e, "tokens_used");
        int64_t n = 0;

        *ret = (struct poll_event){.event.tokens = -1};
        ret->life.session_id = text_of(&e, "session_id", ret->session_id, sizeof ret->session_id);
        ret->life.call_id = text_of(&e, "call_id", ret->call_id, sizeof ret->call_id);
        ret->life.status = text_of(&e, "status", ret->status, sizeof ret->status);
        ret->life.task_id = text_of(&life, "task_id", ret->task_id, sizeof ret->task_id);
        ret->life.event = text_of(&life, "event", ret->word, sizeof ret->word);
        iicp_json_int(&sequence, &n);
        ret->life.has_lifecycle = ret->life.has_frame_final = true;
        ret->life.sequence = ret->event.sequence = (uint64_t) n;
        ret->life.is_final = ret->life.frame_final = ret->event.is_final = final.type == IICP_JSON_TRUE;
        ret->event.event = ret->life.event;
        ret->event.status = ret->life.status;
        if (!absent(&result))
                ret->event.chunk = whole(&result);
        ret->event.error_code = text_of(&error, "code", ret->error_code, sizeof ret->error_code);
        ret->event.error_message = text_of(&error, "message", ret->error_message, sizeof ret->error_message);
        if (tokens.type == IICP_JSON_NUMBER && iicp_json_int(&tokens, &n) == 0)
                ret->event.tokens = n;
}

/* ---- forward ---- */

enum poll_fault poll_forward_read(struct iicp_str text, struct poll_forward_body *ret) {
        struct iicp_json body, target, task;
        enum poll_fault f = object(text, &body);

        *ret = (struct poll_forward_body){.target = ""};
        if (f != POLL_OK)
                return f;
        target = iicp_json_get(&body, "target_node_id");
        task = iicp_json_get(&body, "task");
        if (target.type != IICP_JSON_STRING || target.text.n == 0 || task.type != IICP_JSON_OBJECT)
                return POLL_NO_TARGET;
        if (iicp_json_copy(&target, ret->target, sizeof ret->target) < 0 || !iicp_worker_id_ok(iicp_str(ret->target)))
                ret->target[0] = '\0';
        ret->task = task.text;
        return POLL_OK;
}

/* ---- pull ---- */

void poll_call_put(struct iicp_buf *out, const char *call_id, struct iicp_str task, const struct relay_call_keys *keys) {
        iicp_buf_printf(out, "{\"call_id\":\"%s\",\"task\":", call_id);
        iicp_buf_add_str(out, task);
        if (keys) {
                iicp_buf_puts(out, ",\"task_id\":");
                iicp_buf_json_str(out, keys->task_id);
                iicp_buf_puts(out, ",\"session_id\":");
                iicp_buf_json_str(out, keys->session_id);
                iicp_buf_puts(out, ",\"stream\":true");
        }
        iicp_buf_puts(out, "}");
}
