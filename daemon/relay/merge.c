/* SPDX-License-Identifier: Apache-2.0 */
#include "merge.h"

#include "sessions.h"
#include "util.h"

#include <errno.h>
#include <iicp/json.h>

/* ---- the task ---- */

int relay_task_read(struct iicp_str body, struct relay_task *ret) {
        struct iicp_json object, constraints, timeout, id;
        int64_t ms;
        int r = iicp_json_scan(body, NULL, NULL, &object);

        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        if (object.type != IICP_JSON_OBJECT)
                return -EINVAL;
        *ret = (struct relay_task){.body = body};
        id = iicp_json_get(&object, "task_id");
        if (id.type == IICP_JSON_STRING)
                ret->task_id = (struct iicp_str){id.text.p - 1, id.text.n + 2}; /* with its quotes */
        else if (id.type != IICP_JSON_NONE)
                ret->task_id = id.text;
        constraints = iicp_json_get(&object, "constraints");
        timeout = iicp_json_get(&constraints, "timeout_ms");
        if (iicp_json_int(&timeout, &ms) == 0 && ms > 0)
                ret->timeout_ms = (uint64_t) ms;
        return 0;
}

/* ---- the answer ---- */

struct shape {
        bool wrapped;                  /* has a member that an answer of a task has */
        bool task_id, status;
};

static struct shape shape_of(const struct iicp_json *object) {
        static const char *const marks[] = {"result", "error", "error_code", "iicp_conf_resp"};
        struct shape s = {};
        struct iicp_json_iter it;
        struct iicp_json name, value;

        iicp_json_iter_init(&it, object);
        while (iicp_json_next(&it, &name, &value)) {
                for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
                        s.wrapped |= iicp_json_is(&name, marks[i]);
                s.task_id |= iicp_json_is(&name, "task_id");
                s.status |= iicp_json_is(&name, "status");
        }
        return s;
}

static void put_members(const struct iicp_json *object, struct iicp_buf *out) {
        struct iicp_json_iter it;
        struct iicp_json name, value;
        bool text;

        iicp_json_iter_init(&it, object);
        while (iicp_json_next(&it, &name, &value)) {
                if (iicp_json_is(&name, "generated_by_ai"))
                        continue; /* said at the end, whatever the worker thinks */
                text = value.type == IICP_JSON_STRING;
                iicp_buf_puts(out, "\"");
                iicp_buf_add_str(out, name.text);
                iicp_buf_puts(out, text ? "\":\"" : "\":");
                iicp_buf_add_str(out, value.text);
                iicp_buf_puts(out, text ? "\"," : ",");
        }
}

int relay_merge(struct iicp_str result, struct iicp_str task_id, struct iicp_buf *out) {
        struct iicp_json object;
        struct shape shape;
        int r = result.p ? iicp_json_scan(result, NULL, NULL, &object) : -EBADMSG;

        if (r == -ENOMEM)
                return r;
        if (r < 0 || object.type != IICP_JSON_OBJECT)
                return -EBADMSG;
        shape = shape_of(&object);
        if (!iicp_buf_reserve(out, result.n + task_id.n + 96))
                return out->error;
        iicp_buf_puts(out, "{");
        if (!shape.wrapped || !shape.task_id) {
                iicp_buf_puts(out, "\"task_id\":");
                iicp_buf_add_str(out, task_id.p ? task_id : IICP_STR("\"\""));
                iicp_buf_puts(out, ",");
        }
        if (!shape.wrapped || !shape.status)
                iicp_buf_puts(out, "\"status\":\"completed\",");
        if (shape.wrapped)
                put_members(&object, out);
        else {
                iicp_buf_puts(out, "\"result\":");
                iicp_buf_add_str(out, object.text);
                iicp_buf_puts(out, ",");
        }
        iicp_buf_puts(out, "\"generated_by_ai\":true}");
        return out->error;
}
