/* SPDX-License-Identifier: Apache-2.0 */
#include "door_native_internal.h"

#include "util.h"

#include <errno.h>
#include <iicp/lifecycle.h>
#include <stdio.h>

/* From the integer keys of a CALL to the envelope of POST /v1/task, so that admission is one and the
 * same. Key 5 holds the payload member alone. [03 section 7.3] */

/* ---- key 5 ---- */

struct payload {
        struct iicp_str json;          /* one object; absent: not decodable */
        struct iicp_buf owned;         /* where it is, unless borrowed */
        bool integer_keys;             /* the encrypted form of the text that nobody ships */
};

static void from_cbor(const struct iicp_cbor *map, struct payload *ret) {
        struct iicp_cbor_iter it;
        struct iicp_cbor key, value;

        iicp_cbor_iter_init(&it, map);
        if (iicp_cbor_next(&it, &key, &value) && key.type == IICP_CBOR_UINT) {
                ret->integer_keys = true;
                return;
        }
        ret->owned.secret = true;
        ret->owned.max = IICP_BODY_MAX;
        if (iicp_cbor_to_json(map, &ret->owned) == 0)
                ret->json = iicp_buf_str(&ret->owned);
}

static void from_bytes(struct iicp_str bytes, struct payload *ret) {
        struct iicp_json json;
        struct iicp_cbor item;

        if (iicp_json_scan(bytes, NULL, NULL, &json) == 0) {
                if (json.type == IICP_JSON_OBJECT)
                        ret->json = bytes;
                return;
        }
        if (iicp_cbor_scan(bytes, 0, &item) == IICP_CBOR_OK && item.type == IICP_CBOR_MAP)
                from_cbor(&item, ret);
}

/* ---- the rest ---- */

static bool refuse(struct native_request *r, enum iicp_refusal_id id, const char *field) {
        r->refusal = (struct iicp_refusal){.id = id, .field = field};
        return false;
}

/* What an intent or modality of ours is called; a capability that we do not have cannot be met. */
static bool has_capability(const struct native_conn *c, struct iicp_str name) {
        return iicp_str_is(name, "text") || corridor_serves(c->door->node->corridor, name);
}

static bool judge(const struct native_conn *c, const struct iicp_msg_call *call, struct native_request *r) {
        struct iicp_cbor_iter it;
        struct iicp_cbor item;

        if (call->provider_id.p && !iicp_str_is(call->provider_id, state_identity(c->door->node->state)->node_id))
                return refuse(r, IICP_REFUSE_VALIDATION, "provider_id");
        iicp_cbor_iter_init(&it, &call->capabilities);
        while (iicp_cbor_next(&it, NULL, &item))
                if (!has_capability(c, item.text))
                        return refuse(r, IICP_REFUSE_VALIDATION, "capabilities");
        if (call->task_id.p && !call->call_id.p)
                return refuse(r, IICP_REFUSE_VALIDATION, "call_id");
        return true;
}

static void hex(const char *p, size_t n, char *out) {
        for (size_t i = 0; i < n; i++)
                snprintf(out + 2 * i, 3, "%02x", (unsigned char) p[i]);
}

static void trace_of(const struct iicp_msg_call *call, struct native_request *r) {
        char span[17];

        if (!call->trace_id.p)
                return;
        hex(call->trace_id.p, 16, r->trace_hex);
        if (!call->parent_span.p)
                return;
        hex(call->parent_span.p, 8, span);
        snprintf(r->traceparent, sizeof r->traceparent, "00-%s-%s-01", r->trace_hex, span);
}

static void put_constraints(const struct iicp_msg_call *call, bool lifecycle, struct iicp_buf *b) {
        const char *comma = "";

        iicp_buf_puts(b, ",\"constraints\":{");
        if (call->timeout_s) {
                iicp_buf_printf(b, "\"timeout_ms\":%llu",
                                (unsigned long long) MIN(call->timeout_s * 1000, (uint64_t) IICP_TIMEOUT_MS_MAX));
                comma = ",";
        }
        if (call->has_max_tokens) {
                iicp_buf_printf(b, "%s\"max_tokens\":%llu", comma, (unsigned long long) call->max_tokens);
                comma = ",";
        }
        if (call->qos.p) {
                iicp_buf_printf(b, "%s\"qos\":", comma);
                iicp_buf_json_str(b, call->qos);
                comma = ",";
        }
        /* On this transport key 24 says it; in the envelope the profile does. */
        if (lifecycle)
                iicp_buf_printf(b, "%s\"required_profiles\":[\"" IICP_PROFILE_LIFECYCLE "\"]", comma);
        iicp_buf_puts(b, "}");
}

/* An envelope inside of key 5 makes it an encrypted task. */
static void put_payload(struct iicp_str json, struct iicp_buf *b) {
        struct iicp_json object, conf, response;

        if (!json.p || iicp_json_scan(json, NULL, NULL, &object) < 0)
                return; /* admission says that the payload is missing, in its own order */
        conf = iicp_json_get(&object, "iicp_conf");
        if (conf.type != IICP_JSON_OBJECT || iicp_json_get(&object, "messages").type != IICP_JSON_NONE ||
            iicp_json_get(&object, "input").type != IICP_JSON_NONE) {
                iicp_buf_puts(b, ",\"payload\":");
                iicp_buf_add_str(b, json);
                return;
        }
        iicp_buf_puts(b, ",\"iicp_conf\":");
        iicp_buf_add_str(b, conf.text);
        response = iicp_json_get(&object, "cx_response_encryption");
        if (response.type == IICP_JSON_STRING) {
                iicp_buf_puts(b, ",\"cx_response_encryption\":\"");
                iicp_buf_add_str(b, response.text);
                iicp_buf_puts(b, "\"");
        }
}

static void put_envelope(const struct iicp_msg_call *call, struct iicp_str task_id, struct iicp_str payload,
                         bool lifecycle, struct iicp_buf *b) {
        iicp_buf_puts(b, "{\"task_id\":");
        iicp_buf_json_str(b, task_id);
        iicp_buf_puts(b, ",\"intent\":");
        iicp_buf_json_str(b, call->intent);
        if (lifecycle) {
                /* of a task without one it is the task's own id */
                iicp_buf_puts(b, ",\"idempotency_key\":");
                iicp_buf_json_str(b, call->idempotency_key.p ? call->idempotency_key : call->task_id);
        }
        put_constraints(call, lifecycle, b);
        put_payload(payload, b);
        iicp_buf_puts(b, "}");
}

enum iicp_close native_request_build(const struct native_conn *c, const struct iicp_msg_call *call,
                                     struct iicp_str task_id, bool gzip_inside, struct native_request *ret) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf inflated = {.max = IICP_FRAME_INFLATED_MAX + 16, .secret = true};
        struct iicp_str bytes = call->payload.text;
        struct payload payload = {};

        *ret = (struct native_request){.body = {.max = IICP_BODY_MAX, .secret = true}, .token = {.secret = true}};
        if (gzip_inside && call->payload.type == IICP_CBOR_BSTR && iicp_is_gzip(bytes)) {
                int r = iicp_gunzip(bytes, IICP_FRAME_INFLATED_MAX, &inflated);

                if (r < 0)
                        return r == -E2BIG    ? IICP_CLOSE_PAYLOAD_TOO_LARGE
                               : r == -ENOMEM ? IICP_CLOSE_NO_MEMORY
                                              : IICP_CLOSE_INVALID_PAYLOAD;
                bytes = iicp_buf_str(&inflated);
        }
        if (!judge(c, call, ret))
                return IICP_CLOSE_NONE;
        if (bytes.n > IICP_BODY_MAX) {
                refuse(ret, IICP_REFUSE_TOO_LARGE, NULL);
                return IICP_CLOSE_NONE;
        }
        if (call->payload.type == IICP_CBOR_MAP)
                from_cbor(&call->payload, &payload);
        else
                from_bytes(bytes, &payload);
        if (payload.integer_keys) {
                refuse(ret, IICP_REFUSE_CX, NULL);
                ret->refusal.detail_code = iicp_cx_detail_code(IICP_CX_OFF);
        }
        put_envelope(call, task_id, payload.json, c->call.lifecycle, &ret->body);
        if (ret->body.error == -E2BIG || payload.owned.error == -E2BIG)
                refuse(ret, IICP_REFUSE_TOO_LARGE, NULL);
        iicp_buf_wipe(&payload.owned);
        if (call->auth_token.p) {
                iicp_buf_puts(&ret->token, "Bearer ");
                iicp_buf_add_str(&ret->token, call->auth_token);
        }
        trace_of(call, ret);
        return ret->body.error == -ENOMEM || ret->token.error ? IICP_CLOSE_NO_MEMORY : IICP_CLOSE_NONE;
}

void native_request_free(struct native_request *r) {
        iicp_buf_wipe(&r->body);
        iicp_buf_wipe(&r->token);
}
