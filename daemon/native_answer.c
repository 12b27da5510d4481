/* SPDX-License-Identifier: Apache-2.0 */
#include "door_native_internal.h"

#include "util.h"

#include <errno.h>
#include <stdio.h>

/* The JSON answer of the corridor as a RESPONSE with both sets of keys, so that no shipped client
 * takes a failure for a success. [03 section 7.4] */

static void begin(const struct native_conn *c, struct iicp_msg_response *m) {
        const struct native_call *call = &c->call;

        *m = (struct iicp_msg_response){
                .session_id = iicp_str(call->session_id),
                .call_id = call->has_call_id ? iicp_str(call->call_id) : IICP_STR_NONE,
                .has_status = true,
                .tokens_used = -1,
                .duration_ms = -1,
                .trace_id = call->has_trace ? (struct iicp_str){call->trace_id, sizeof call->trace_id} : IICP_STR_NONE,
                .node_id = iicp_str(state_identity(c->door->node->state)->node_id),
                .has_final = true,
                .is_final = true,
        };
}

static int64_t number_of(const struct iicp_json *object, const char *name) {
        struct iicp_json v = iicp_json_get(object, name);
        int64_t n;

        return iicp_json_int(&v, &n) == 0 && n >= 0 ? n : -1;
}

/* What the caller gets as error: code, message, and both in one text for shipped clients. */
struct words {
        char code[64], message[256], text[330];
};

static void put_failure(const struct native_conn *c, int status, struct words *w, int64_t duration_ms,
                        struct iicp_buf *out) {
        struct iicp_msg_response m;

        begin(c, &m);
        m.status = status == 504 ? IICP_NATIVE_TIMEOUT : IICP_NATIVE_ERROR;
        m.has_code = true;
        m.code = (uint64_t) status;
        m.duration_ms = duration_ms;
        if (m.status == IICP_NATIVE_ERROR) {
                m.error_code = iicp_str(w->code);
                m.error_message = iicp_str(w->message);
                m.text = iicp_str(w->text);
        } else
                m.text = iicp_str(w->code);
        iicp_msg_response_put(out, &m, IICP_RESULT_NONE, IICP_STR_NONE);
}

static void join_words(struct words *w, const char *number) {
        snprintf(w->text, sizeof w->text, "%s%s%s", number, *number ? ": " : "", w->message);
}

void native_refusal_put(const struct native_conn *c, const struct iicp_refusal *refusal, struct iicp_buf *out) {
        const struct iicp_refusal_info *info = iicp_refusal_info(refusal->id);
        struct words w;

        snprintf(w.code, sizeof w.code, "%s", info->code);
        snprintf(w.message, sizeof w.message, "%s", info->message);
        join_words(&w, info->iicp_code ? info->iicp_code : "");
        put_failure(c, info->status, &w, -1, out);
}

static void read_words(const struct iicp_json *error, struct words *w) {
        struct iicp_json code = iicp_json_get(error, "code"), message = iicp_json_get(error, "message");
        struct iicp_json number = iicp_json_get(error, "iicp_code");
        char text[16] = "";

        if (iicp_json_copy(&code, w->code, sizeof w->code) < 0)
                snprintf(w->code, sizeof w->code, "internal_error");
        if (iicp_json_copy(&message, w->message, sizeof w->message) < 0)
                w->message[0] = '\0';
        if (number.type != IICP_JSON_STRING || iicp_json_copy(&number, text, sizeof text) < 0)
                text[0] = '\0';
        join_words(w, text);
}

static int put_success(const struct native_conn *c, const struct iicp_json *body, int64_t duration_ms, struct iicp_buf *out) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf document = {.max = IICP_BUF_MAX, .secret = true};
        struct iicp_json result = iicp_json_get(body, "iicp_conf_resp"), metrics = iicp_json_get(body, "metrics");
        struct iicp_msg_response m;
        int r;

        if (result.type == IICP_JSON_NONE)
                result = iicp_json_get(body, "result");
        r = iicp_cbor_from_json(&result, &document);
        if (r < 0)
                return r;
        begin(c, &m);
        m.status = IICP_NATIVE_SUCCESS;
        m.tokens_used = number_of(&metrics, "tokens_used");
        m.duration_ms = duration_ms;
        iicp_msg_response_put(out, &m, IICP_RESULT_BSTR, iicp_buf_str(&document));
        return 0;
}

void native_refused_lifecycle(struct native_conn *c, const struct task_answer *answer) {
        struct iicp_json body, error;
        struct words w = {.code = "internal_error"};

        if (answer->body && iicp_json_scan((struct iicp_str){answer->body, answer->n}, NULL, NULL, &body) == 0) {
                error = iicp_json_get(&body, "error");
                read_words(&error, &w);
        }
        native_stream_refused(c, w.code, w.message);
}

int native_answer_put(const struct native_conn *c, const struct task_answer *answer, struct iicp_buf *out) {
        struct iicp_refusal internal = {.id = IICP_REFUSE_INTERNAL};
        struct iicp_json body, error, metrics;
        int64_t duration_ms;
        struct words w;
        int r;

        if (!answer->body || iicp_json_scan((struct iicp_str){answer->body, answer->n}, NULL, NULL, &body) < 0) {
                native_refusal_put(c, &internal, out);
                return out->error;
        }
        metrics = iicp_json_get(&body, "metrics");
        duration_ms = number_of(&metrics, "latency_ms");
        if (answer->status == 200) {
                r = put_success(c, &body, duration_ms, out);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        native_refusal_put(c, &internal, out);
                return out->error;
        }
        error = iicp_json_get(&body, "error");
        read_words(&error, &w);
        put_failure(c, answer->status, &w, duration_ms, out);
        return out->error;
}
