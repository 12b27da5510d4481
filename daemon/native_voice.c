/* SPDX-License-Identifier: Apache-2.0 */
#include "native_voice.h"

#include "task/lifecycle.h"
#include "util.h"

#include <iicp/cbor_msg.h>
#include <iicp/lifecycle.h>

/* A lifecycle CALL: key 24 opts in, and every RESPONSE to it carries key 13. The store counts all
 * events of a task; here only partial and terminal ones are told, so the sequence is our own.
 * [iicp-framing 4.4.2; 03 section 9] */

static void begin(const struct native_voice *v, struct iicp_msg_response *m) {
        *m = (struct iicp_msg_response){
                .session_id = v->session_id,
                .call_id = v->call_id,
                .has_status = true,
                .tokens_used = -1,
                .duration_ms = -1,
                .node_id = v->node_id,
                .has_final = true,
                .lifecycle = {.present = true, .has_sequence = true, .has_final = true,
                              .task_id = v->task_id, .sequence = *v->sequence},
        };
}

static void send_response(struct native_voice *v, struct iicp_msg_response *m, enum iicp_result_form form, struct iicp_str result) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf out = {.max = 2 * IICP_BUF_MAX, .secret = true};
        struct iicp_cbor item;

        m->lifecycle.is_final = m->is_final = m->status != IICP_NATIVE_PARTIAL;
        iicp_msg_response_put(&out, m, form, result);
        /* A map is the form of the text; what is too deep for a message goes as bytes. */
        if (form == IICP_RESULT_ITEM && iicp_msg_scan(iicp_buf_str(&out), 0, &item) != IICP_CLOSE_NONE) {
                iicp_buf_wipe(&out);
                out.max = 2 * IICP_BUF_MAX;
                iicp_msg_response_put(&out, m, IICP_RESULT_BSTR, result);
        }
        native_link_send(v->wire, IICP_FRAME_RESPONSE, iicp_buf_str(&out));
        ++*v->sequence;
}

void native_voice_failed(struct native_voice *v, const char *code, const char *message) {
        struct iicp_msg_response m;

        begin(v, &m);
        m.status = IICP_NATIVE_ERROR;
        m.error_code = iicp_str(code);
        m.error_message = iicp_str(message);
        m.lifecycle.event = IICP_STR("failed");
        send_response(v, &m, IICP_RESULT_NONE, IICP_STR_NONE);
}

static void send_text(struct native_voice *v, struct iicp_msg_response *m, const struct iicp_json *text) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf decoded = {.secret = true};

        if (iicp_json_decode(text, &decoded) == 0)
                send_response(v, m, IICP_RESULT_TSTR, iicp_buf_str(&decoded));
}

static void send_document(struct native_voice *v, struct iicp_msg_response *m, const struct iicp_json *value) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf document = {.secret = true};

        if (iicp_cbor_from_json(value, &document) == 0)
                send_response(v, m, IICP_RESULT_ITEM, iicp_buf_str(&document));
        else
                native_voice_failed(v, "internal_error", "the result has no native form");
}

static bool status_of(const struct lifecycle_event *e, struct iicp_msg_response *m) {
        switch (e->state) {
        case IICP_LIFECYCLE_STREAMING:
                m->status = IICP_NATIVE_PARTIAL;
                m->lifecycle.event = IICP_STR("partial");
                return lifecycle_event_get(e, "result").type == IICP_JSON_STRING;
        case IICP_LIFECYCLE_COMPLETED:
                m->status = IICP_NATIVE_SUCCESS;
                m->lifecycle.event = IICP_STR("completed");
                return true;
        case IICP_LIFECYCLE_EXPIRED:
                m->status = IICP_NATIVE_TIMEOUT;
                m->lifecycle.event = IICP_STR("timed_out");
                return true;
        case IICP_LIFECYCLE_FAILED:
        case IICP_LIFECYCLE_REJECTED:
        case IICP_LIFECYCLE_CANCELLED:
                m->status = IICP_NATIVE_ERROR;
                m->lifecycle.event = e->state == IICP_LIFECYCLE_CANCELLED ? IICP_STR("cancelled") : IICP_STR("failed");
                m->error_code = iicp_str(e->error_code ? e->error_code : "stream_incomplete");
                m->error_message = iicp_str(e->error_message ? e->error_message : "");
                return true;
        default:
                return false; /* accepted, queued, running: not told on this transport */
        }
}

void native_voice_event(struct native_voice *v, const struct lifecycle_event *e) {
        struct iicp_json sealed = lifecycle_event_get(e, "iicp_conf_resp"), result = lifecycle_event_get(e, "result");
        struct iicp_msg_response m;

        begin(v, &m);
        m.tokens_used = e->tokens;
        if (!status_of(e, &m))
                return;
        if (sealed.type == IICP_JSON_OBJECT)
                send_document(v, &m, &sealed);
        else if (result.type == IICP_JSON_STRING)
                send_text(v, &m, &result);
        else if (result.type != IICP_JSON_NONE && result.type != IICP_JSON_NULL)
                send_document(v, &m, &result);
        else
                send_response(v, &m, IICP_RESULT_NONE, IICP_STR_NONE);
}
