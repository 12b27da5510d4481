/* SPDX-License-Identifier: Apache-2.0 */
#include "cx-internal.h"

#include "util.h"

#include <errno.h>
#include <iicp/uuid.h>
#include <inttypes.h>
#include <stdio.h>

/* The streamed form: each event sealed for itself, bound to its place, the last one marked, so that
 * neither order nor end can be changed on the way. [05 section 3.8] */

#define SEQUENCE_TEXT 21 /* 20 digits and NUL */

static void sequence_text(uint64_t sequence, char out[SEQUENCE_TEXT]) {
        snprintf(out, SEQUENCE_TEXT, "%" PRIu64, sequence);
}

int cx_seal_event_with(const struct iicp_cx_session *s, struct iicp_str task_id, uint64_t sequence,
                       struct iicp_str members, bool end, const uint8_t nonce[IICP_CX_NONCE],
                       struct iicp_buf *out) {
        struct iicp_buf plain = {.secret = true};
        char suffix[SEQUENCE_TEXT];
        int r;

        sequence_text(sequence, suffix);
        iicp_buf_puts(&plain, "{");
        iicp_buf_add_str(&plain, members);
        iicp_buf_printf(&plain, "%s\"end\":%s}", members.n > 0 ? "," : "", end ? "true" : "false");
        r = plain.error;
        if (r == 0)
                r = cx_seal_response_with(s, task_id, suffix, iicp_buf_str(&plain), nonce, out);
        iicp_buf_wipe(&plain);
        return r;
}

int iicp_cx_seal_event(const struct iicp_cx_session *s, struct iicp_str task_id, uint64_t sequence,
                       struct iicp_str members, bool end, struct iicp_buf *out) {
        uint8_t nonce[IICP_CX_NONCE];
        int r = iicp_random(nonce, sizeof(nonce));

        return r < 0 ? r : cx_seal_event_with(s, task_id, sequence, members, end, nonce, out);
}

/* The marker agrees with what the clear part calls the event. */
static bool end_agrees(struct iicp_str plain, bool completed) {
        struct iicp_json object, end;

        if (iicp_json_scan(plain, NULL, NULL, &object) < 0)
                return false;
        end = iicp_json_get(&object, "end");
        return end.type == (completed ? IICP_JSON_TRUE : IICP_JSON_FALSE);
}

int iicp_cx_open_event(struct iicp_cx_events *events, const struct iicp_cx_session *s,
                       struct iicp_str task_id, uint64_t sequence, enum iicp_cx_event_kind kind,
                       const struct iicp_json *iicp_conf_resp, struct iicp_buf *ret_plain) {
        bool sealed = iicp_conf_resp && iicp_conf_resp->type != IICP_JSON_NONE;
        bool completed = kind == IICP_CX_EVENT_COMPLETED;
        char suffix[SEQUENCE_TEXT];
        int r;

        if (events->ended || sequence != events->next || (completed && !sealed))
                return -EBADMSG;
        if (sealed) {
                sequence_text(sequence, suffix);
                r = cx_open_sealed(s, task_id, suffix, iicp_conf_resp, ret_plain);
                if (r < 0)
                        return r;
                if (!end_agrees(iicp_buf_str(ret_plain), completed)) {
                        iicp_buf_wipe(ret_plain);
                        return -EBADMSG;
                }
        }
        events->next++;
        events->ended = kind != IICP_CX_EVENT_PARTIAL;
        return 0;
}
