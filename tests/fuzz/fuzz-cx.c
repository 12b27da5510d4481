/* SPDX-License-Identifier: Apache-2.0 */
/* CX objects from both sides: iicp_conf at a node, iicp_conf_resp and the published key at a
 * consumer. The key pair is fixed, so inputs of the corpus really decrypt. */

#include "fuzz.h"

#include <iicp/cx.h>

static const struct iicp_str task_id = {"550e8400-e29b-41d4-a716-446655440000", 36};
static const struct iicp_str intent = {"urn:iicp:intent:llm:chat:v1", 27};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str text = {(const char *) data, size};
        struct iicp_cx_private key = {.not_after = 4102444800};
        const struct iicp_cx_private *found = NULL;
        struct iicp_cx_session session = {.valid = true};
        struct iicp_cx_peer_key peer;
        struct iicp_buf plain = {0};
        struct iicp_json object;
        uint8_t pub[IICP_CX_KEY];

        for (size_t i = 0; i < sizeof key.priv; i++)
                key.priv[i] = (uint8_t) (i + 1);
        FUZZ_CHECK(iicp_cx_public(key.priv, pub) == 0);
        FUZZ_CHECK(iicp_cx_key_id(pub, key.key_id) == 0);
        if (iicp_json_scan(text, NULL, NULL, &object) < 0)
                return 0;

        if (iicp_cx_precheck(&object, &key, 1, 1764000000, &found) == IICP_CX_OK) {
                struct iicp_cx_session opened = {0};
                FUZZ_CHECK(found == &key);
                if (iicp_cx_open_request(&object, found, task_id, intent, &plain, &opened) == IICP_CX_OK)
                        FUZZ_CHECK(opened.valid && plain.n > 0);
                iicp_wipe(&opened, sizeof opened);
        }
        iicp_buf_free(&plain);
        plain = (struct iicp_buf){0};
        iicp_cx_open_response(&session, task_id, &object, &plain);
        iicp_buf_free(&plain);

        /* the same as an event of a stream: whatever opens says whether it is the last one */
        for (unsigned kind = IICP_CX_EVENT_PARTIAL; kind <= IICP_CX_EVENT_FAILED; kind++) {
                struct iicp_cx_events events = {.next = 2};

                plain = (struct iicp_buf){0};
                if (iicp_cx_open_event(&events, &session, task_id, 2, (enum iicp_cx_event_kind) kind, &object, &plain) == 0) {
                        struct iicp_json opened, end;

                        FUZZ_CHECK(events.next == 3 && events.ended == (kind != IICP_CX_EVENT_PARTIAL));
                        FUZZ_CHECK(iicp_json_scan(iicp_buf_str(&plain), NULL, NULL, &opened) == 0);
                        end = iicp_json_get(&opened, "end");
                        FUZZ_CHECK(end.type == (kind == IICP_CX_EVENT_COMPLETED ? IICP_JSON_TRUE : IICP_JSON_FALSE));
                } else
                        FUZZ_CHECK(events.next == 2 && plain.n == 0);
                iicp_buf_free(&plain);
        }

        if (iicp_cx_peer_key_parse(&object, 1764000000, &peer) == 0) {
                struct iicp_buf sealed = {0};
                struct iicp_cx_session ours = {0};
                iicp_cx_seal_request(&peer, task_id, intent, IICP_STR("{}"), &sealed, &ours);
                iicp_wipe(&ours, sizeof ours);
                iicp_buf_free(&sealed);
        }
        return 0;
}
