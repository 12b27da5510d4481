/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "node.h"
#include "util.h"

#include <iicp/uuid.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

/* Tasks that run, wait and have ended; and one of our own through the whole corridor. */

#define PREFIX_MIN 4

unsigned get_task(struct call *call, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"schema\":\"iicp.task/1\",\"task\":");
        if (strlen(call_item(call)) >= PREFIX_MIN && corridor_task_json(call_node(call)->corridor, call_item(call), out)) {
                iicp_buf_puts(out, "}");
                return 200;
        }
        out->n = 0;
        return call_fault(out, 404, "no_such_task", "no task has such an id, among those that run and the last 200",
                          "iicpctl tasks; at least the first 4 characters");
}

/* ?failed=1: only what has ended, and not well. */
unsigned get_tasks(struct call *call, struct iicp_buf *out) {
        const struct corridor *c = call_node(call)->corridor;
        const char *failed = call_argument(call, "failed");

        iicp_buf_puts(out, "{\"schema\":\"iicp.tasks/1\",");
        iicp_buf_puts(out, "\"tasks\":");
        if (failed)
                iicp_buf_puts(out, "[]");
        else
                corridor_tasks_json(c, out);
        iicp_buf_puts(out, ",\"finished\":");
        corridor_recent_json(c, failed != NULL, out);
        iicp_buf_puts(out, "}");
        return 200;
}

/* ---- self-test ---- */

static const char prompt[] = "Say OK.";

static void put(struct iicp_buf *out, const char *name, json_object *from, const char *member) {
        json_object *v = NULL;

        iicp_buf_printf(out, ",\"%s\":", name);
        if (from && json_object_object_get_ex(from, member, &v) && v)
                iicp_buf_puts(out, json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        else
                iicp_buf_puts(out, "null");
}

static void failed(struct call *call, const struct task_answer *answer, json_object *doc, struct iicp_buf *out) {
        json_object *error = NULL, *code = NULL;
        char message[160];

        if (doc)
                json_object_object_get_ex(doc, "error", &error);
        if (json_object_is_type(error, json_type_object))
                json_object_object_get_ex(error, "code", &code);
        snprintf(message, sizeof message, "our own task was answered with HTTP %d%s%.64s", answer->status, code ? ", " : "",
                 code ? json_object_get_string(code) : "");
        call_audit_outcome(call, "selftest", message);
        call_fault(out, 502, "selftest_failed", message, "iicpctl status; iicpctl tasks --failed");
}

static void answered(void *arg, struct task_answer *answer) {
        json_tokener *t = json_tokener_new();
        struct iicp_buf out = {0};
        struct call *call = arg;
        json_object *doc, *metrics = NULL;

        doc = t && answer->body ? json_tokener_parse_ex(t, answer->body, (int) answer->n) : NULL;
        if (answer->status == 200 && json_object_is_type(doc, json_type_object)) {
                json_object_object_get_ex(doc, "metrics", &metrics);
                iicp_buf_puts(&out, "{\"schema\":\"iicp.selftest/1\",\"ok\":true");
                put(&out, "model", doc, "model_used");
                put(&out, "tokens", metrics, "tokens_used");
                put(&out, "took_ms", metrics, "latency_ms");
                iicp_buf_puts(&out, ",\"counted\":false,\"paid\":false}");
                call_audit_outcome(call, "selftest", "answered; neither counted nor paid");
        } else
                failed(call, answer, doc, &out);
        json_object_put(doc);
        if (t)
                json_tokener_free(t);
        if (answer->body)
                explicit_bzero(answer->body, answer->n);
        free(answer->body);
        call_resume(call, answer->status == 200 ? 200 : 502, &out);
}

unsigned post_selftest(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        struct task_request request = {.door = "selftest", .own = true};
        struct iicp_buf body = {0};
        char id[IICP_UUID_TEXT];

        if (n->phase == NODE_STOPPING)
                return call_fault(out, 409, "stopping", "iicpd is stopping", "start it again when it has stopped");
        if (iicp_uuid4(id) < 0)
                return call_fault(out, 500, "internal_error", "no random numbers", "see the log");
        iicp_buf_printf(&body, "{\"task_id\":\"%s\",\"intent\":\"%s\",\"payload\":{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
                               "\"max_tokens\":16},\"constraints\":{\"timeout_ms\":%u}}",
                        id, IICP_URN_CHAT, prompt, 120000);
        request.body = iicp_buf_take(&body, &request.n);
        if (!request.body)
                return call_fault(out, 500, "internal_error", "no memory", "see the log");
        call_audit(call, "selftest");
        call_suspend(call);
        task_start(n->corridor, &request, answered, call);
        return 0;
}
