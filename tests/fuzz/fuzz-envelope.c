/* SPDX-License-Identifier: Apache-2.0 */
/* The task envelope: one scan, then the checks, then the backend's request made from its payload.
 */

#include "fuzz.h"

#include <iicp/envelope.h>
#include <iicp/intents.h>
#include <json-c/json.h>

/* The rewritten body is JSON and holds nothing that must not be forwarded. */
static void check_written(struct iicp_str written, const struct iicp_payload_rewrite *how) {
        struct iicp_json_iter it;
        struct iicp_json top, wrapped, name, value;
        struct iicp_buf in_task = {0};
        unsigned models = 0, limits = 0, streams = 0;

        /* inside of a task a doubled member is passed on: judge the body there */
        iicp_buf_puts(&in_task, "{\"payload\":");
        iicp_buf_add_str(&in_task, written);
        iicp_buf_puts(&in_task, "}");
        FUZZ_CHECK(iicp_json_scan(iicp_buf_str(&in_task), NULL, NULL, &wrapped) == 0);
        top = iicp_json_get(&wrapped, "payload");
        FUZZ_CHECK(top.type == IICP_JSON_OBJECT);
        iicp_json_iter_init(&it, &top);
        while (iicp_json_next(&it, &name, &value)) {
                struct iicp_buf text = {0};

                FUZZ_CHECK(iicp_json_decode(&name, &text) == 0);
                FUZZ_CHECK(value.type != IICP_JSON_NULL);
                FUZZ_CHECK(text.n == 0 || text.p[0] != '_');
                models += iicp_json_is(&name, "model");
                limits += iicp_json_is(&name, "max_tokens");
                streams += iicp_json_is(&name, "stream") || iicp_json_is(&name, "stream_options");
                iicp_buf_free(&text);
        }
        FUZZ_CHECK(models == (how->model.p ? 1 : 0));
        FUZZ_CHECK(limits == (how->max_tokens > 0 ? 1 : 0));
        FUZZ_CHECK(streams == (how->stream ? 2 : 0));
        iicp_buf_free(&in_task);
}

static void rewrite(const struct iicp_json *object) {
        static const struct iicp_payload_rewrite ways[] = {
                {{NULL, 0}, 0, false},
                {{"m\"\xff", 3}, 17, true},
        };

        /* the intents whose body is their payload; fuzz-payload has the others */
        for (int kind = 0; kind <= IICP_INTENT_MODERATE; kind++)
                for (unsigned i = 0; i < 2; i++) {
                        const struct iicp_intent *intent =
                                iicp_intent_of((enum iicp_intent_kind) kind);
                        struct iicp_refusal refusal;
                        struct iicp_payload payload;
                        struct iicp_buf out = {0};

                        if (!iicp_payload_check(intent, object, 0, &payload, &refusal)) {
                                FUZZ_CHECK(refusal.id == IICP_REFUSE_VALIDATION && refusal.field);
                                continue;
                        }
                        iicp_payload_write(intent, &payload, &ways[i], &out);
                        FUZZ_CHECK(out.error == 0);
                        check_written(iicp_buf_str(&out), &ways[i]);
                        iicp_buf_free(&out);
                }
}

static struct json_object *member(struct json_object *o, const char *name) {
        struct json_object *v = NULL;

        return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v) ? v : NULL;
}

/* json-c 0.16 reads some good pairs of surrogate escapes as U+FFFD: nothing to compare. */
static bool comparable(struct iicp_str body) {
        return !memmem(body.p, body.n, "\\ud", 3) && !memmem(body.p, body.n, "\\uD", 3);
}

static void same_text(struct iicp_str ours, struct json_object *theirs) {
        if (!ours.p)
                return;
        FUZZ_CHECK(json_object_is_type(theirs, json_type_string));
        FUZZ_CHECK(iicp_str_eq(ours, (struct iicp_str){json_object_get_string(theirs),
                                                       (size_t) json_object_get_string_len(theirs)}));
}

/* What the one pass found is what a tree of the same body holds. */
static void same_as_tree(struct iicp_str body, const struct iicp_envelope *e) {
        struct json_tokener *tokener = json_tokener_new_ex(IICP_JSON_DEPTH_MAX + 1);
        struct json_object *tree, *constraints, *timeout;

        FUZZ_CHECK(tokener && body.n <= INT32_MAX);
        tree = json_tokener_parse_ex(tokener, body.p, (int) body.n);
        FUZZ_CHECK(tree && json_object_is_type(tree, json_type_object));
        constraints = member(tree, "constraints");
        same_text(e->task_id, member(tree, "task_id"));
        same_text(e->intent, member(tree, "intent"));
        same_text(e->nonce, member(tree, "nonce"));
        same_text(e->source_node_id, member(tree, "source_node_id"));
        same_text(e->model, member(constraints, "model"));
        timeout = member(constraints, "timeout_ms");
        if (e->timeout_ms > 0)
                FUZZ_CHECK(json_object_get_int64(timeout) == e->timeout_ms);
        FUZZ_CHECK((e->payload.type == IICP_JSON_OBJECT) ==
                   json_object_is_type(member(tree, "payload"), json_type_object));
        json_object_put(tree);
        json_tokener_free(tokener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_envelope envelope;
        struct iicp_refusal refusal;
        struct iicp_str body = {(const char *) data, size};

        for (unsigned flags = 0; flags <= IICP_ENVELOPE_ANY_ID; flags++) {
                if (iicp_envelope_parse(body, &envelope) < 0)
                        return 0;
                if (iicp_envelope_check(&envelope, flags, &refusal)) {
                        FUZZ_CHECK(envelope.timeout_ms >= 0 &&
                                   envelope.timeout_ms <= IICP_TIMEOUT_MS_MAX);
                        FUZZ_CHECK(envelope.task_id.n > 0 &&
                                   envelope.task_id.n <= IICP_TASK_ID_ECHO_MAX);
                        FUZZ_CHECK(envelope.nonce.n <= 4 * IICP_NONCE_MAX);
                        FUZZ_CHECK(envelope.max_tokens >= 0);
                        if (comparable(body))
                                same_as_tree(body, &envelope);
                } else {
                        FUZZ_CHECK(refusal.id != IICP_REFUSE_NONE && refusal.id < IICP_REFUSE_MAX_);
                }
                if (envelope.payload.type == IICP_JSON_OBJECT)
                        rewrite(&envelope.payload);
                iicp_envelope_free(&envelope);
        }
        return 0;
}
