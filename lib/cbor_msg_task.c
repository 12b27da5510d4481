/* SPDX-License-Identifier: Apache-2.0 */
#include "cbor_msg-internal.h"
#include "util.h"

/* ---- CALL ---- */

enum { CALL_VERSION, CALL_SESSION, CALL_INTENT, CALL_PROVIDER, CALL_PAYLOAD, CALL_TIMEOUT, CALL_PRIORITY, CALL_AUTH,
       CALL_TRACE, CALL_SPAN, CALL_ID, CALL_IDEMPOTENCY, CALL_MAX_TOKENS, CALL_QOS, CALL_CAPABILITIES, CALL_TASK,
       CALL_KEYS };

static const struct msg_key call_keys[CALL_KEYS] = {
        [CALL_VERSION] = {1, IICP_CBOR_UINT, false},
        [CALL_SESSION] = {2, IICP_CBOR_TSTR, true},
        [CALL_INTENT] = {3, IICP_CBOR_TSTR, true},
        [CALL_PROVIDER] = {4, IICP_CBOR_TSTR, false},
        [CALL_PAYLOAD] = {5, IICP_CBOR_NONE, true},
        [CALL_TIMEOUT] = {6, IICP_CBOR_UINT, false},
        [CALL_PRIORITY] = {7, IICP_CBOR_UINT, false},
        [CALL_AUTH] = {11, IICP_CBOR_TSTR, false},
        [CALL_TRACE] = {13, IICP_CBOR_BSTR, false},
        [CALL_SPAN] = {14, IICP_CBOR_BSTR, false},
        [CALL_ID] = {15, IICP_CBOR_TSTR, false},
        [CALL_IDEMPOTENCY] = {16, IICP_CBOR_TSTR, false},
        [CALL_MAX_TOKENS] = {17, IICP_CBOR_UINT, false},
        [CALL_QOS] = {18, IICP_CBOR_TSTR, false},
        [CALL_CAPABILITIES] = {21, IICP_CBOR_ARRAY, false},
        [CALL_TASK] = {24, IICP_CBOR_TSTR, false},
};

static bool id_fits(const struct iicp_cbor *v) {
        return v->type == IICP_CBOR_NONE || (v->text.n > 0 && v->text.n <= IICP_SESSION_ID_MAX);
}

enum iicp_close iicp_msg_call_read(struct iicp_str payload, unsigned options, struct iicp_msg_call *ret) {
        struct iicp_cbor v[CALL_KEYS];
        enum iicp_close c = msg_read(payload, options, call_keys, CALL_KEYS, v);

        if (c != IICP_CLOSE_NONE)
                return c;
        if ((v[CALL_TRACE].text.p && v[CALL_TRACE].text.n != 16) || (v[CALL_SPAN].text.p && v[CALL_SPAN].text.n != 8))
                return IICP_CLOSE_EXACT_LENGTH;
        if (!id_fits(&v[CALL_SESSION]) || !id_fits(&v[CALL_ID]) || !id_fits(&v[CALL_TASK]) ||
            !id_fits(&v[CALL_IDEMPOTENCY]) || (v[CALL_PRIORITY].type != IICP_CBOR_NONE && v[CALL_PRIORITY].number > 3) ||
            (v[CALL_TIMEOUT].type != IICP_CBOR_NONE &&
             (v[CALL_TIMEOUT].number == 0 || v[CALL_TIMEOUT].number > IICP_CALL_TIMEOUT_S_MAX)) ||
            (v[CALL_PAYLOAD].type != IICP_CBOR_BSTR && v[CALL_PAYLOAD].type != IICP_CBOR_MAP) ||
            !msg_all_text(&v[CALL_CAPABILITIES]))
                return IICP_CLOSE_INVALID_PAYLOAD;
        *ret = (struct iicp_msg_call){
                .has_version = v[CALL_VERSION].type != IICP_CBOR_NONE,
                .version = v[CALL_VERSION].number,
                .session_id = v[CALL_SESSION].text,
                .intent = v[CALL_INTENT].text,
                .provider_id = v[CALL_PROVIDER].text,
                .payload = v[CALL_PAYLOAD],
                .timeout_s = v[CALL_TIMEOUT].number,
                .has_priority = v[CALL_PRIORITY].type != IICP_CBOR_NONE,
                .priority = v[CALL_PRIORITY].number,
                .auth_token = v[CALL_AUTH].text,
                .trace_id = v[CALL_TRACE].text,
                .parent_span = v[CALL_SPAN].text,
                .call_id = v[CALL_ID].text,
                .idempotency_key = v[CALL_IDEMPOTENCY].text,
                .has_max_tokens = v[CALL_MAX_TOKENS].type != IICP_CBOR_NONE,
                .max_tokens = v[CALL_MAX_TOKENS].number,
                .qos = v[CALL_QOS].text,
                .capabilities = v[CALL_CAPABILITIES],
                .task_id = v[CALL_TASK].text,
        };
        return IICP_CLOSE_NONE;
}

void iicp_msg_call_put(struct iicp_buf *out, const struct iicp_msg_call *m, struct iicp_str payload) {
        const struct {
                uint64_t key;
                struct iicp_str v;
                bool bytes;
        } texts[] = {
                {2, m->session_id, false}, {3, m->intent, false}, {4, m->provider_id, false}, {5, payload, true},
                {11, m->auth_token, false}, {13, m->trace_id, true}, {14, m->parent_span, true}, {15, m->call_id, false},
                {16, m->idempotency_key, false}, {18, m->qos, false}, {24, m->task_id, false},
        };
        const struct {
                uint64_t key, v;
                bool there;
        } numbers[] = {
                {1, m->version, m->has_version}, {6, m->timeout_s, m->timeout_s > 0},
                {7, m->priority, m->has_priority}, {17, m->max_tokens, m->has_max_tokens},
        };
        size_t n = 0, t = 0, u = 0;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                n += texts[i].v.p != NULL;
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                n += numbers[i].there;
        iicp_cbor_put_map(out, n);
        /* two sorted lists become one */
        while (t < ARRAY_SIZE(texts) || u < ARRAY_SIZE(numbers)) {
                if (u < ARRAY_SIZE(numbers) && (t == ARRAY_SIZE(texts) || numbers[u].key < texts[t].key)) {
                        if (numbers[u].there)
                                msg_put_uint(out, numbers[u].key, numbers[u].v);
                        u++;
                        continue;
                }
                if (texts[t].v.p && texts[t].bytes)
                        msg_put_bytes(out, texts[t].key, texts[t].v);
                else if (texts[t].v.p)
                        msg_put_text(out, texts[t].key, texts[t].v);
                t++;
        }
}

/* ---- RESPONSE ---- */

static const char *const statuses[] = {
        [IICP_NATIVE_SUCCESS] = "success",
        [IICP_NATIVE_ERROR] = "error",
        [IICP_NATIVE_TIMEOUT] = "timeout",
        [IICP_NATIVE_PARTIAL] = "partial",
};

const char *iicp_native_status_name(enum iicp_native_status s) {
        return (unsigned) s < ARRAY_SIZE(statuses) ? statuses[s] : "unknown";
}

static enum iicp_native_status status_of(struct iicp_str name) {
        for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++)
                if (iicp_str_is(name, statuses[i]))
                        return (enum iicp_native_status) i;
        return IICP_NATIVE_UNKNOWN;
}

enum { RESP_VERSION, RESP_SESSION, RESP_CALL, RESP_STATUS, RESP_RESULT, RESP_ERROR, RESP_TOKENS, RESP_DURATION, RESP_TRACE,
       RESP_NODE, RESP_FINAL, RESP_LIFECYCLE, RESP_CALL_SHIPPED, RESP_NODES, RESP_CODE, RESP_TEXT, RESP_KEYS };

/* Shipped peers leave out nearly all of it; the caller correlates with what is there. */
static const struct msg_key response_keys[RESP_KEYS] = {
        [RESP_VERSION] = {1, IICP_CBOR_UINT, false},
        [RESP_SESSION] = {2, IICP_CBOR_TSTR, false},
        [RESP_CALL] = {3, IICP_CBOR_TSTR, false},
        [RESP_STATUS] = {4, IICP_CBOR_TSTR, false},
        [RESP_RESULT] = {5, IICP_CBOR_NONE, false},
        [RESP_ERROR] = {6, IICP_CBOR_MAP, false},
        [RESP_TOKENS] = {7, IICP_CBOR_UINT, false},
        [RESP_DURATION] = {8, IICP_CBOR_UINT, false},
        [RESP_TRACE] = {9, IICP_CBOR_BSTR, false},
        [RESP_NODE] = {11, IICP_CBOR_TSTR, false},
        [RESP_FINAL] = {12, IICP_CBOR_BOOL, false},
        [RESP_LIFECYCLE] = {13, IICP_CBOR_MAP, false},
        [RESP_CALL_SHIPPED] = {15, IICP_CBOR_TSTR, false},
        [RESP_NODES] = {20, IICP_CBOR_ARRAY, false},
        [RESP_CODE] = {100, IICP_CBOR_UINT, false},
        [RESP_TEXT] = {101, IICP_CBOR_TSTR, false},
};

static int64_t count_of(const struct iicp_cbor *v) {
        if (v->type == IICP_CBOR_NONE)
                return -1;
        return v->number > INT64_MAX ? INT64_MAX : (int64_t) v->number;
}

static enum iicp_close read_lifecycle(const struct iicp_cbor *map, struct iicp_msg_lifecycle *ret) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, false}, {2, IICP_CBOR_UINT, false}, {3, IICP_CBOR_TSTR, false}, {4, IICP_CBOR_BOOL, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c;

        if (map->type == IICP_CBOR_NONE)
                return IICP_CLOSE_NONE;
        c = msg_take(map, keys, ARRAY_SIZE(keys), v);
        if (c == IICP_CLOSE_NONE)
                *ret = (struct iicp_msg_lifecycle){
                        .present = true,
                        .task_id = v[0].text,
                        .has_sequence = v[1].type != IICP_CBOR_NONE,
                        .sequence = v[1].number,
                        .event = v[2].text,
                        .has_final = v[3].type != IICP_CBOR_NONE,
                        .is_final = v[3].number != 0,
                };
        return c;
}

enum iicp_close iicp_msg_response_read(struct iicp_str payload, unsigned options, struct iicp_msg_response *ret) {
        static const struct msg_key error_keys[] = {{1, IICP_CBOR_TSTR, false}, {2, IICP_CBOR_TSTR, false}};
        struct iicp_cbor v[RESP_KEYS], error[ARRAY_SIZE(error_keys)];
        enum iicp_close c = msg_read(payload, options, response_keys, RESP_KEYS, v);

        if (c == IICP_CLOSE_NONE)
                c = msg_take(&v[RESP_ERROR], error_keys, ARRAY_SIZE(error_keys), error);
        if (c != IICP_CLOSE_NONE)
                return c;
        if (v[RESP_TRACE].text.p && v[RESP_TRACE].text.n != 16)
                return IICP_CLOSE_EXACT_LENGTH;
        *ret = (struct iicp_msg_response){
                .has_version = v[RESP_VERSION].type != IICP_CBOR_NONE,
                .version = v[RESP_VERSION].number,
                .session_id = v[RESP_SESSION].text,
                .call_id = v[RESP_CALL].text.p ? v[RESP_CALL].text : v[RESP_CALL_SHIPPED].text,
                .has_status = v[RESP_STATUS].type != IICP_CBOR_NONE,
                .status = status_of(v[RESP_STATUS].text),
                .result = v[RESP_RESULT],
                .error_code = error[0].text,
                .error_message = error[1].text,
                .tokens_used = count_of(&v[RESP_TOKENS]),
                .duration_ms = count_of(&v[RESP_DURATION]),
                .trace_id = v[RESP_TRACE].text,
                .node_id = v[RESP_NODE].text,
                .has_final = v[RESP_FINAL].type != IICP_CBOR_NONE,
                .is_final = v[RESP_FINAL].number != 0,
                .has_code = v[RESP_CODE].type != IICP_CBOR_NONE,
                .code = v[RESP_CODE].number,
                .text = v[RESP_TEXT].text,
                .nodes = v[RESP_NODES],
        };
        return read_lifecycle(&v[RESP_LIFECYCLE], &ret->lifecycle);
}

bool iicp_msg_response_failed(const struct iicp_msg_response *m) {
        return m->has_code || (m->has_status && (m->status == IICP_NATIVE_ERROR || m->status == IICP_NATIVE_TIMEOUT));
}

/* Keys in order, counted by a first run that writes nothing. */
struct writer {
        struct iicp_buf *out;
        size_t n;
};

static bool key(struct writer *w, uint64_t k, bool there) {
        if (!there)
                return false;
        w->n++;
        if (w->out)
                iicp_cbor_put_uint(w->out, k);
        return w->out != NULL;
}

static void text(struct writer *w, uint64_t k, struct iicp_str v) {
        if (key(w, k, v.p != NULL))
                iicp_cbor_put_tstr(w->out, v);
}

static void number(struct writer *w, uint64_t k, int64_t v, bool there) {
        if (key(w, k, there))
                iicp_cbor_put_int(w->out, v);
}

static void put_lifecycle(struct iicp_buf *out, const struct iicp_msg_lifecycle *l) {
        iicp_cbor_put_map(out, 4);
        msg_put_text(out, 1, l->task_id);
        msg_put_uint(out, 2, l->sequence);
        msg_put_text(out, 3, l->event);
        iicp_cbor_put_uint(out, 4);
        iicp_cbor_put_bool(out, l->is_final);
}

static void put_error(struct iicp_buf *out, const struct iicp_msg_response *m) {
        iicp_cbor_put_map(out, 2);
        msg_put_text(out, 1, m->error_code);
        msg_put_text(out, 2, m->error_message.p ? m->error_message : IICP_STR(""));
}

static void put_response(struct writer *w, const struct iicp_msg_response *m, enum iicp_result_form form,
                         struct iicp_str result) {
        bool base = !m->lifecycle.present;

        number(w, 1, IICP_FRAME_VERSION, true);
        text(w, 2, m->session_id);
        text(w, 3, m->call_id);
        if (m->has_status)
                text(w, 4, iicp_str(iicp_native_status_name(m->status)));
        if (form == IICP_RESULT_TSTR)
                text(w, 5, result);
        else if (key(w, 5, form == IICP_RESULT_BSTR || form == IICP_RESULT_ITEM)) {
                if (form == IICP_RESULT_BSTR)
                        iicp_cbor_put_bstr(w->out, result);
                else
                        iicp_buf_add_str(w->out, result);
        }
        if (key(w, 6, m->error_code.p != NULL))
                put_error(w->out, m);
        number(w, 7, m->tokens_used, m->tokens_used >= 0);
        number(w, 8, m->duration_ms, base && m->duration_ms >= 0);
        if (key(w, 9, base && m->trace_id.p != NULL))
                iicp_cbor_put_bstr(w->out, m->trace_id);
        text(w, 11, m->node_id);
        if (key(w, 12, m->has_final))
                iicp_cbor_put_bool(w->out, m->is_final);
        if (key(w, 13, !base))
                put_lifecycle(w->out, &m->lifecycle);
        if (base)
                text(w, 15, m->call_id);
        number(w, 100, (int64_t) m->code, base && m->has_code);
        if (base)
                text(w, 101, m->text);
}

void iicp_msg_response_put(struct iicp_buf *out, const struct iicp_msg_response *m, enum iicp_result_form form,
                           struct iicp_str result) {
        struct writer count = {}, w = {.out = out};

        put_response(&count, m, form, result);
        iicp_cbor_put_map(out, count.n);
        put_response(&w, m, form, result);
}

/* ---- lifecycle ---- */

/* Keys 12 and 13.4 disagree also when only one of them is there; a status that is none fits no event. */
void iicp_msg_response_lifecycle(const struct iicp_msg_response *m, struct iicp_lifecycle_message *ret) {
        const struct iicp_msg_lifecycle *l = &m->lifecycle;

        *ret = (struct iicp_lifecycle_message){
                .session_id = m->session_id,
                .call_id = m->call_id,
                .task_id = l->task_id,
                .event = l->event,
                .status = m->has_status ? iicp_str(iicp_native_status_name(m->status)) : IICP_STR(""),
                .has_lifecycle = l->present && l->has_sequence,
                .sequence = l->sequence,
                .is_final = l->is_final,
                .has_frame_final = true,
                .frame_final = m->has_final == l->has_final ? m->is_final : !l->is_final,
        };
}
