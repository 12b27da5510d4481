/* SPDX-License-Identifier: Apache-2.0 */
#include "control/log_level.h"
#include "control/internal.h"

#include "log.h"
#include "node.h"
#include "util.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

/* The level of the log while it runs: an override of log.level until its time is over, a reload or a
 * restart. */

#define FOR_MAX_S 86400

struct log_override {
        struct node *node;
        struct timer timer;
        uint64_t until_ms;      /* 0 = without an end of its own */
        char by[64];
};

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

static void over(void *arg) {
        struct log_override *o = arg;
        enum log_level back = (enum log_level) o->node->config->log_level;

        o->until_ms = 0;
        if (log_get_level() == back)
                return;
        log_set_level(MAX(LOG_L_NOTICE, log_get_level()));
        log_notice("control_action", "log level back to %s: the time of %s is over", name_of(back), o->by);
        log_set_level(back);
}

struct log_override *log_override_new(struct node *node) {
        struct log_override *o = calloc(1, sizeof *o);

        if (!o)
                return NULL;
        o->node = node;
        timer_init(&o->timer, node->loop, over, o);
        return o;
}

struct log_override *log_override_free(struct log_override *o) {
        if (o)
                timer_clear(&o->timer);
        free(o);
        return NULL;
}

unsigned get_log(struct call *call, struct iicp_buf *out) {
        struct node *n = call_node(call);
        const struct log_override *o = call_log_override(call);
        bool overridden = (int) log_get_level() != n->config->log_level;
        uint64_t now = clock_mono_ms(n->clock);

        iicp_buf_printf(out, "{\"schema\":\"iicp.log/1\",\"level\":\"%s\",\"configured\":\"%s\"", name_of(log_get_level()),
                        name_of((enum log_level) n->config->log_level));
        if (overridden) {
                iicp_buf_puts(out, ",\"by\":");
                iicp_buf_json_str(out, iicp_str(o->by));
        }
        if (overridden && o->until_ms > now)
                iicp_buf_printf(out, ",\"left_s\":%llu", (unsigned long long) (o->until_ms - now + 999) / 1000);
        iicp_buf_puts(out, "}");
        return 200;
}

/* {"level":"debug","for_s":600}; -1: level is none, -2: for_s is none. */
static int read_body(struct iicp_str body, long *ret_for_s) {
        struct json_tokener *t = json_tokener_new();
        json_object *doc = t ? json_tokener_parse_ex(t, body.p, (int) body.n) : NULL, *word = NULL, *time = NULL;
        const char *name = "";
        int found = -1;

        *ret_for_s = 0;
        if (json_object_is_type(doc, json_type_object) && json_object_object_get_ex(doc, "level", &word) &&
            json_object_is_type(word, json_type_string))
                name = json_object_get_string(word);
        for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
                if (strcmp(levels[i].word, name) == 0)
                        found = (int) i;
        if (found >= 0 && json_object_object_get_ex(doc, "for_s", &time) && time) {
                *ret_for_s = (long) json_object_get_int64(time);
                if (!json_object_is_type(time, json_type_int) || *ret_for_s < 1 || *ret_for_s > FOR_MAX_S)
                        found = -2;
        }
        json_object_put(doc);
        if (t)
                json_tokener_free(t);
        return found;
}

unsigned put_log(struct call *call, struct iicp_buf *out) {
        struct log_override *o = call_log_override(call);
        char action[64];
        long for_s;
        int found = read_body(call_body(call), &for_s);

        if (found == -1)
                return call_fault(out, 422, "usage", "level is no level of the log", "err, warn, notice, info or debug");
        if (found < 0)
                return call_fault(out, 422, "usage", "for_s is no time", "1 to 86400 seconds");
        /* The audit line is of level notice: written whatever the change. */
        log_set_level(MAX(LOG_L_NOTICE, log_get_level()));
        if (for_s)
                snprintf(action, sizeof(action), "log-level %s for %ld s", levels[found].word, for_s);
        else
                snprintf(action, sizeof(action), "log-level %s", levels[found].word);
        call_audit(call, action);
        log_set_level(levels[found].level);
        call_who(call, o->by, sizeof(o->by));
        timer_clear(&o->timer);
        o->until_ms = for_s ? clock_mono_ms(o->node->clock) + (uint64_t) for_s * 1000u : 0;
        if (for_s)
                timer_set_ms(&o->timer, (uint64_t) for_s * 1000u);
        return get_log(call, out);
}
