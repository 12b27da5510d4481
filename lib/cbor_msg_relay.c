/* SPDX-License-Identifier: Apache-2.0 */
#include "cbor_msg-internal.h"
#include "util.h"

#include <iicp/relay_msg.h>

static bool is_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool iicp_worker_id_ok(struct iicp_str id) {
        if (id.n == 0 || id.n > IICP_WORKER_ID_MAX || !is_alnum(id.p[0]))
                return false;
        for (size_t i = 1; i < id.n; i++)
                if (!is_alnum(id.p[i]) && !memchr("._:-", id.p[i], 4))
                        return false;
        return true;
}

/* ---- BIND ---- */

static struct iicp_cbor array_or_none(struct iicp_cbor v) {
        return v.type == IICP_CBOR_ARRAY ? v : (struct iicp_cbor){};
}

enum iicp_close iicp_relay_bind_read(struct iicp_str payload, unsigned options, struct iicp_relay_bind *ret) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_NONE, true}, {2, IICP_CBOR_NONE, false}, {3, IICP_CBOR_NONE, false},
                {4, IICP_CBOR_TSTR, false}, {5, IICP_CBOR_NONE, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        /* a byte string is taken, too: one that is no UTF-8 has no safe form either */
        if ((v[0].type != IICP_CBOR_TSTR && v[0].type != IICP_CBOR_BSTR) || v[0].text.n == 0)
                return IICP_CLOSE_INVALID_PAYLOAD;
        *ret = (struct iicp_relay_bind){
                .worker_id = v[0].text,
                .intent = v[1].type == IICP_CBOR_TSTR ? v[1].text : IICP_STR_NONE,
                .models = array_or_none(v[2]),
                .ticket = v[3].text,
                .profiles = array_or_none(v[4]),
        };
        return IICP_CLOSE_NONE;
}

bool iicp_relay_bind_has(const struct iicp_cbor *array, const char *text) {
        struct iicp_cbor_iter it;
        struct iicp_cbor item;

        iicp_cbor_iter_init(&it, array);
        while (iicp_cbor_next(&it, NULL, &item))
                if (item.type == IICP_CBOR_TSTR && iicp_str_is(item.text, text))
                        return true;
        return false;
}

static void put_list(struct iicp_buf *out, uint64_t key, const struct iicp_str *items, size_t n) {
        iicp_cbor_put_uint(out, key);
        iicp_cbor_put_array(out, n);
        for (size_t i = 0; i < n; i++)
                iicp_cbor_put_tstr(out, items[i]);
}

void iicp_relay_bind_put(struct iicp_buf *out, const struct iicp_relay_bind *m, const struct iicp_str *models,
                         size_t n_models, const struct iicp_str *profiles, size_t n_profiles) {
        iicp_cbor_put_map(out, 2u + (m->intent.p != NULL) + (m->ticket.p != NULL) + (n_profiles > 0));
        msg_put_text(out, 1, m->worker_id);
        if (m->intent.p)
                msg_put_text(out, 2, m->intent);
        put_list(out, 3, models, n_models);
        if (m->ticket.p)
                msg_put_text(out, 4, m->ticket);
        if (n_profiles > 0)
                put_list(out, 5, profiles, n_profiles);
}

/* ---- RELAY_ACK ---- */

enum iicp_close iicp_relay_ack_read(struct iicp_str payload, unsigned options, struct iicp_relay_ack *ret) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, true}, {2, IICP_CBOR_NONE, false}, {3, IICP_CBOR_NONE, false}, {4, IICP_CBOR_NONE, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);
        bool port;

        if (c != IICP_CLOSE_NONE)
                return c;
        port = v[3].type == IICP_CBOR_UINT && v[3].number >= 1 && v[3].number <= UINT16_MAX;
        *ret = (struct iicp_relay_ack){
                .ok = iicp_str_is(v[0].text, "ok"),
                .worker_id = v[1].type == IICP_CBOR_TSTR ? v[1].text : IICP_STR_NONE,
                .reason = v[2].type == IICP_CBOR_TSTR ? v[2].text : IICP_STR_NONE,
                .http_port = port ? v[3].number : IICP_RELAY_HTTP_PORT,
        };
        return IICP_CLOSE_NONE;
}

void iicp_relay_ack_put(struct iicp_buf *out, const struct iicp_relay_ack *m) {
        iicp_cbor_put_map(out, 3);
        msg_put_text(out, 1, m->ok ? IICP_STR("ok") : IICP_STR("error"));
        msg_put_text(out, 2, m->worker_id);
        if (m->ok)
                msg_put_uint(out, 4, m->http_port);
        else
                msg_put_text(out, 3, m->reason);
}

/* ---- CALL ---- */

enum iicp_close iicp_relay_call_read(struct iicp_str payload, unsigned options, struct iicp_relay_call *ret) {
        static const struct msg_key keys[] = {
                {2, IICP_CBOR_TSTR, false}, {5, IICP_CBOR_BSTR, true}, {11, IICP_CBOR_TSTR, false},
                {13, IICP_CBOR_BSTR, false}, {14, IICP_CBOR_BSTR, false}, {15, IICP_CBOR_TSTR, true}, {24, IICP_CBOR_TSTR, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        if ((v[3].text.p && v[3].text.n != 16) || (v[4].text.p && v[4].text.n != 8))
                return IICP_CLOSE_EXACT_LENGTH;
        if (v[5].text.n == 0 || v[5].text.n > IICP_SESSION_ID_MAX || v[0].text.n > IICP_SESSION_ID_MAX ||
            v[6].text.n > IICP_SESSION_ID_MAX)
                return IICP_CLOSE_INVALID_PAYLOAD;
        *ret = (struct iicp_relay_call){
                .session_id = v[0].text, .task = v[1].text, .token = v[2].text, .trace_id = v[3].text,
                .parent_span = v[4].text, .call_id = v[5].text, .task_id = v[6].text,
        };
        return IICP_CLOSE_NONE;
}

/* A byte string's head for n bytes that follow from elsewhere. */
static void put_bstr_head(struct iicp_buf *out, size_t n) {
        size_t at = out->n;

        iicp_cbor_put_uint(out, n);
        if (out->error == 0)
                out->p[at] = (char) ((unsigned char) out->p[at] | 0x40);
}

void iicp_relay_call_around(struct iicp_buf *before, struct iicp_buf *after, const struct iicp_relay_call *m) {
        iicp_cbor_put_map(before, 2u + (m->session_id.p != NULL) + (m->task_id.p != NULL) + (m->token.p != NULL) +
                                          (m->trace_id.p != NULL) + (m->parent_span.p != NULL));
        if (m->session_id.p)
                msg_put_text(before, 2, m->session_id);
        iicp_cbor_put_uint(before, 5);
        put_bstr_head(before, m->task.n);
        if (m->token.p)
                msg_put_text(after, 11, m->token);
        if (m->trace_id.p)
                msg_put_bytes(after, 13, m->trace_id);
        if (m->parent_span.p)
                msg_put_bytes(after, 14, m->parent_span);
        msg_put_text(after, 15, m->call_id);
        if (m->task_id.p)
                msg_put_text(after, 24, m->task_id);
}

void iicp_relay_call_put(struct iicp_buf *out, const struct iicp_relay_call *m) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf after = {.secret = true};

        iicp_relay_call_around(out, &after, m);
        iicp_buf_add_str(out, m->task);
        iicp_buf_add_str(out, iicp_buf_str(&after));
        if (after.error && !out->error)
                out->error = after.error;
}

/* ---- RESPONSE ---- */

enum iicp_close iicp_relay_response_read(struct iicp_str payload, unsigned options, struct iicp_relay_response *ret) {
        static const struct msg_key keys[] = {
                {5, IICP_CBOR_NONE, false}, {13, IICP_CBOR_NONE, false}, {15, IICP_CBOR_TSTR, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        *ret = (struct iicp_relay_response){
                .call_id = v[2].text,
                .result = v[0].type == IICP_CBOR_BSTR ? v[0].text : IICP_STR_NONE,
                .lifecycle = v[1].type != IICP_CBOR_NONE,
        };
        return IICP_CLOSE_NONE;
}

void iicp_relay_response_put(struct iicp_buf *out, struct iicp_str call_id, struct iicp_str result) {
        iicp_cbor_put_map(out, 2);
        msg_put_bytes(out, 5, result);
        msg_put_text(out, 15, call_id);
}
