/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker may send to a relay, and a relay to a worker: frames one after another, each read by the
 * reader of its type, a result spliced into the consumer's answer. What is read can be written again. */

#include "fuzz.h"

#include "relay/merge.h"
#include "relay/sessions.h"

#include <iicp/bind_ticket.h>
#include <iicp/relay_msg.h>

static void inside(struct iicp_str part, struct iicp_str whole) {
        FUZZ_CHECK(!part.p || part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void on_bind(struct iicp_str payload) {
        static const uint8_t key[1][IICP_SIGN_KEY] = {{1}};
        struct iicp_bind_ticket ticket;
        struct iicp_relay_bind m, again;
        struct iicp_buf out = {};

        if (iicp_relay_bind_read(payload, 0, &m) != IICP_CLOSE_NONE)
                return;
        inside(m.worker_id, payload);
        inside(m.ticket, payload);
        iicp_relay_bind_has(&m.profiles, IICP_PROFILE_LIFECYCLE);
        FUZZ_CHECK(!m.ticket.p || iicp_bind_ticket_check(m.ticket, key, 1, m.worker_id, IICP_STR("r"), 0, &ticket) != IICP_TOKEN_OK);
        iicp_bind_ticket_usable(m.ticket);
        if (!iicp_worker_id_ok(m.worker_id))
                return;
        iicp_relay_bind_put(&out, &m, NULL, 0, NULL, 0);
        FUZZ_CHECK(iicp_relay_bind_read(iicp_buf_str(&out), IICP_FRAME_STRICT, &again) == IICP_CLOSE_NONE);
        FUZZ_CHECK(iicp_str_eq(again.worker_id, m.worker_id) && iicp_str_eq(again.intent, m.intent));
        iicp_buf_free(&out);
}

static void on_ack(struct iicp_str payload) {
        struct iicp_relay_ack m;

        if (iicp_relay_ack_read(payload, 0, &m) == IICP_CLOSE_NONE)
                FUZZ_CHECK(m.http_port >= 1 && m.http_port <= UINT16_MAX);
}

static void on_call(struct iicp_str payload) {
        struct iicp_relay_call m, again;
        struct iicp_buf out = {};
        struct relay_task task;

        if (iicp_relay_call_read(payload, 0, &m) != IICP_CLOSE_NONE)
                return;
        inside(m.task, payload);
        iicp_relay_call_put(&out, &m);
        FUZZ_CHECK(iicp_relay_call_read(iicp_buf_str(&out), IICP_FRAME_STRICT, &again) == IICP_CLOSE_NONE);
        FUZZ_CHECK(iicp_str_eq(again.task, m.task) && iicp_str_eq(again.call_id, m.call_id) && iicp_str_eq(again.token, m.token));
        if (relay_task_read(m.task, &task) == 0) {
                inside(task.task_id, m.task);
                FUZZ_CHECK(task.body.p == m.task.p && task.body.n == m.task.n);
        }
        iicp_buf_free(&out);
}

static void on_response(struct iicp_str payload) {
        struct iicp_relay_response m;
        struct iicp_msg_response event;
        struct iicp_json answer, mark;
        struct iicp_buf out = {};

        iicp_msg_response_read(payload, 0, &event);
        if (iicp_relay_response_read(payload, 0, &m) != IICP_CLOSE_NONE)
                return;
        inside(m.result, payload);
        /* one level more may be too deep for our own scanner */
        if (relay_merge(m.result, IICP_STR("\"t\""), &out) == 0 && iicp_json_scan(iicp_buf_str(&out), NULL, NULL, &answer) == 0) {
                mark = iicp_json_get(&answer, "generated_by_ai");
                FUZZ_CHECK(answer.type == IICP_JSON_OBJECT && mark.type == IICP_JSON_TRUE);
                FUZZ_CHECK(iicp_json_get(&answer, "status").type != IICP_JSON_NONE);
                FUZZ_CHECK(iicp_json_get(&answer, "task_id").type != IICP_JSON_NONE);
        }
        iicp_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_frame_reader r = {};
        struct iicp_frame frame;
        enum iicp_close fault;
        size_t at = 0, used;

        while (at < size && iicp_frame_reader_feed(&r, (struct iicp_str){(const char *) data + at, size - at}, &used, &frame, &fault) == 1) {
                at += used;
                switch (frame.header.type) {
                case IICP_FRAME_RELAY_BIND: on_bind(frame.payload); break;
                case IICP_FRAME_RELAY_ACK: on_ack(frame.payload); break;
                case IICP_FRAME_CALL: on_call(frame.payload); break;
                case IICP_FRAME_RESPONSE: on_response(frame.payload); break;
                default: break;
                }
        }
        iicp_frame_reader_free(&r);
        return 0;
}
