/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the relay's long-poll routes. */

#include "fuzz.h"

#include "relay/poll_body.h"

static void inside(struct iicp_str part, struct iicp_str whole) {
        FUZZ_CHECK(!part.p || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void name(void *arg, const char *text) {
        unsigned *n = arg;

        FUZZ_CHECK(text[0] && strlen(text) <= POLL_MODEL_MAX);
        FUZZ_CHECK(++*n <= POLL_MODELS_MAX);
}

/* What a pull hands out is JSON again, with the task in it as it came. */
static void pull(struct iicp_str task) {
        struct iicp_buf out = {0};
        struct iicp_json all, again;

        poll_call_put(&out, "c", task, NULL);
        if (iicp_json_scan(iicp_buf_str(&out), NULL, NULL, &all) == 0) { /* one level more may be too deep */
                again = iicp_json_get(&all, "task");
                FUZZ_CHECK(again.text.n == task.n && memcmp(again.text.p, task.p, task.n) == 0);
        }
        iicp_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str text = {(const char *) data, size};
        struct poll_forward_body forward;
        struct poll_result_body result;
        struct poll_event event;
        struct poll_bind_body bind;
        unsigned n = 0;

        if (poll_bind_read(text, &bind) == POLL_OK) {
                FUZZ_CHECK(iicp_worker_id_ok(iicp_str(bind.worker_id)));
                inside(bind.models.text, text);
                poll_names(&bind.models, name, &n);
        }
        if (poll_result_read(text, &result) == POLL_OK) {
                inside(result.result, text);
                inside(result.event, text);
                FUZZ_CHECK(!result.result.p != !result.event.p);
                if (result.event.p) {
                        poll_event_read(result.event, &event);
                        inside(event.event.chunk, text);
                }
        }
        if (poll_forward_read(text, &forward) == POLL_OK) {
                inside(forward.task, text);
                FUZZ_CHECK(!forward.target[0] || iicp_worker_id_ok(iicp_str(forward.target)));
                pull(forward.task);
        }
        return 0;
}
