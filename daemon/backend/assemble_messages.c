/* SPDX-License-Identifier: Apache-2.0 */
#include "assemble.h"
#include "messages.h"
#include "util.h"

/* One event of a Messages stream. [02 section 10.8] */

static void take_usage(struct assemble *a, const struct iicp_json *of) {
        struct iicp_json usage = iicp_json_get(of, "usage");

        if (usage.type != IICP_JSON_OBJECT)
                return;
        /* Some servers guess at the start and know at the end: what came last counts. */
        messages_usage(&usage, &a->input_tokens, &a->output_tokens);
}

static bool message_start(struct assemble *a, const struct iicp_json *event) {
        struct iicp_json message = iicp_json_get(event, "message"), v = iicp_json_get(&message, "id");

        if (!assemble_first(a, &a->id, &v, IICP_JSON_STRING))
                return false;
        v = iicp_json_get(&message, "model");
        if (!assemble_first(a, &a->model, &v, IICP_JSON_STRING))
                return false;
        take_usage(a, &message);
        return true;
}

static bool content_block_delta(struct assemble *a, const struct iicp_json *event) {
        struct iicp_json delta = iicp_json_get(event, "delta"), type = iicp_json_get(&delta, "type");
        struct iicp_json text = iicp_json_get(&delta, "text");

        return !iicp_json_is(&type, "text_delta") || assemble_content(a, &text);
}

static bool message_delta(struct assemble *a, const struct iicp_json *event) {
        struct iicp_json delta = iicp_json_get(event, "delta"), reason = iicp_json_get(&delta, "stop_reason");

        take_usage(a, event);
        if (reason.type != IICP_JSON_STRING)
                return true;
        a->finished = true;
        return assemble_replace(a, &a->finish, iicp_str(messages_finish(&reason)));
}

static bool message_stop(struct assemble *a) {
        a->done = true;
        if (a->input_tokens < 0 && a->output_tokens < 0)
                return true;
        a->usage.n = 0;
        messages_write_usage(&a->usage, a->input_tokens, a->output_tokens);
        return a->usage.error == 0 || assemble_fail(a, ASSEMBLE_INVALID);
}

bool assemble_messages_event(struct assemble *a, const struct iicp_json *event) {
        struct iicp_json type = iicp_json_get(event, "type");

        if (iicp_json_is(&type, "message_start"))
                return message_start(a, event);
        if (iicp_json_is(&type, "content_block_delta"))
                return content_block_delta(a, event);
        if (iicp_json_is(&type, "message_delta"))
                return message_delta(a, event);
        if (iicp_json_is(&type, "message_stop"))
                return message_stop(a);
        return !iicp_json_is(&type, "error") || assemble_fail(a, ASSEMBLE_FAILED);
}
