/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "log.h"
#include "node.h"
#include "util.h"

#include <json-c/json.h>
#include <stdio.h>

/* The level of the log while it runs: an override of log.level until a reload or a restart. */

static const struct {
        const char *word;
        enum log_level level;
} levels[] = {
        {"err", LOG_L_ERR}, {"warn", LOG_L_WARN}, {"notice", LOG_L_NOTICE}, {"info", LOG_L_INFO}, {"debug", LOG_L_DEBUG},
};

static const char *name_of(enum log_level level) {
        for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
                if (levels[i].level == level)
                        return levels[i].word;
        return "info";
}

unsigned get_log(struct call *call, struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"schema\":\"iicp.log/1\",\"level\":\"%s\",\"configured\":\"%s\"}", name_of(log_get_level()),
                        name_of((enum log_level) call_node(call)->config->log_level));
        return 200;
}

unsigned put_log(struct call *call, struct iicp_buf *out) {
        struct iicp_str body = call_body(call);
        struct json_tokener *t = json_tokener_new();
        json_object *doc = t ? json_tokener_parse_ex(t, body.p, (int) body.n) : NULL, *word = NULL;
        const char *name = "";
        char action[32];
        int found = -1;

        if (json_object_is_type(doc, json_type_object) && json_object_object_get_ex(doc, "level", &word) &&
            json_object_is_type(word, json_type_string))
                name = json_object_get_string(word);
        for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
                if (strcmp(levels[i].word, name) == 0)
                        found = (int) i;
        json_object_put(doc);
        if (t)
                json_tokener_free(t);
        if (found < 0)
                return call_fault(out, 422, "usage", "level is no level of the log", "err, warn, notice, info or debug");
        /* The audit line is of level notice: written whatever the change. */
        log_set_level(MAX(LOG_L_NOTICE, log_get_level()));
        snprintf(action, sizeof(action), "log-level %s", levels[found].word);
        call_audit(call, action);
        log_set_level(levels[found].level);
        return get_log(call, out);
}
