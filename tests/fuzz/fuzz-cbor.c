/* SPDX-License-Identifier: Apache-2.0 */
/* CBOR messages. The first byte chooses the type; the rest is the payload. What is accepted strictly
 * is accepted in compat mode, too; documents that have a JSON form keep it on the way back. */

#include "fuzz.h"

#include <iicp/cbor_msg.h>

static void on_document(struct iicp_str bytes) {
        struct iicp_buf json = {}, again = {}, json2 = {};
        struct iicp_cbor item;
        struct iicp_json value;

        if (iicp_cbor_scan(bytes, 0, &item) != IICP_CBOR_OK)
                return;
        FUZZ_CHECK(item.whole.p == bytes.p && item.whole.n == bytes.n);
        if (iicp_cbor_to_json(&item, &json) == 0 &&
            iicp_json_scan(iicp_buf_str(&json), NULL, NULL, &value) == 0 && iicp_cbor_from_json(&value, &again) == 0) {
                FUZZ_CHECK(iicp_cbor_scan(iicp_buf_str(&again), IICP_CBOR_STRICT, &item) == IICP_CBOR_OK);
                FUZZ_CHECK(iicp_cbor_to_json(&item, &json2) == 0);
        }
        iicp_buf_free(&json);
        iicp_buf_free(&again);
        iicp_buf_free(&json2);
}

static void within(struct iicp_str s, struct iicp_str all) {
        FUZZ_CHECK(!s.p || (s.p >= all.p && s.p + s.n <= all.p + all.n));
}

static enum iicp_close read_one(uint8_t type, struct iicp_str payload, unsigned options) {
        union {
                struct iicp_msg_init init;
                struct iicp_msg_ack ack;
                struct iicp_msg_call call;
                struct iicp_msg_response response;
                struct iicp_msg_discover discover;
                struct iicp_msg_close close;
                struct iicp_msg_fragment fragment;
                struct iicp_str text;
        } m;
        enum iicp_close c;

        switch (type % 13) {
        case 0:
                return iicp_msg_init_read(payload, options, &m.init);
        case 1:
                return iicp_msg_ack_read(payload, options, &m.ack);
        case 2:
                c = iicp_msg_call_read(payload, options, &m.call);
                if (c == IICP_CLOSE_NONE) {
                        FUZZ_CHECK(m.call.session_id.n > 0 && m.call.session_id.n <= IICP_SESSION_ID_MAX);
                        within(m.call.payload.whole, payload);
                        within(m.call.auth_token, payload);
                }
                return c;
        case 3:
                c = iicp_msg_response_read(payload, options, &m.response);
                if (c == IICP_CLOSE_NONE) {
                        struct iicp_lifecycle_receiver r = {.next = m.response.lifecycle.sequence};
                        struct iicp_lifecycle_message step;

                        iicp_msg_response_lifecycle(&m.response, &step);
                        iicp_lifecycle_receive(&r, &step);
                }
                return c;
        case 4:
                return iicp_msg_discover_read(payload, options, &m.discover);
        case 5:
                return iicp_msg_close_read(payload, options, &m.close);
        case 6:
                c = iicp_msg_fragment_read(payload, options, &m.fragment);
                if (c == IICP_CLOSE_NONE)
                        within(m.fragment.data, payload);
                return c;
        case 7:
                return iicp_msg_ping_read(payload, options, &m.text);
        case 8:
                return iicp_msg_sub_protocol_read(payload, options, &m.text);
        case 9:
                return iicp_msg_feedback_read(payload, options);
        case 10:
                return iicp_msg_control_read(payload, options);
        case 11:
                return iicp_msg_observe_read(payload, options);
        default:
                return iicp_msg_telemetry_read(payload, options);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str payload;

        if (size < 1)
                return 0;
        payload = (struct iicp_str){(const char *) data + 1, size - 1};
        if (read_one(data[0], payload, IICP_FRAME_STRICT) == IICP_CLOSE_NONE)
                FUZZ_CHECK(read_one(data[0], payload, 0) == IICP_CLOSE_NONE);
        else
                read_one(data[0], payload, 0);
        on_document(payload);
        return 0;
}
