/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/events.h"

#include "log.h"
#include "vectors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The canonical names are those of the public list, no more and no less. */
static void IICPD_02_92_canonical_names(void **state) {
        struct json_object *doc = vector_public("node/node-observability-v1.json");

        (void) state;
        vector_each(vector_get(doc, "events"), e)
                assert_int_equal(events_canonical(vector_str(e, "name").p),
                                 json_object_get_boolean(vector_get(e, "canonical")));
        json_object_put(doc);
}

static void IICPD_02_92_no_task_events(void **state) {
        (void) state;
        assert_true(events_canonical("serve_start"));
        assert_true(events_canonical("heartbeat_ok"));
        assert_false(events_canonical("task_failed"));
        assert_false(events_canonical("task_done"));
        assert_false(events_canonical("register_error"));
}

static void IICPD_02_92_line_form(void **state) {
        struct iicp_buf b = {0};

        (void) state;
        events_print(1767225600, "register_fail", "n-1", "the directory said \"no\"", NULL, "IICP-E036", &b);
        assert_string_equal(b.p, "{\"ts\":\"2026-01-01T00:00:00Z\",\"event\":\"register_fail\",\"node_id\":\"n-1\","
                                 "\"details\":{\"message\":\"the directory said \\\"no\\\"\",\"code\":\"IICP-E036\"}}\n");
        iicp_buf_free(&b);
}

static off_t size_of(int dir, const char *name) {
        struct stat st;

        return fstatat(dir, name, &st, 0) < 0 ? -1 : st.st_size;
}

static void IICPD_02_92_rotates_and_keeps_three(void **state) {
        char dir[] = "/tmp/iicpd-events-XXXXXX";
        struct iicp_str line = IICP_STR("0123456789\n"); /* 11 bytes */
        int fd;

        (void) state;
        assert_non_null(mkdtemp(dir));
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (int i = 0; i < 2; i++)
                assert_int_equal(events_append(fd, line, 22), 0);
        assert_int_equal(size_of(fd, EVENTS_NAME), 22); /* exactly the limit stays */
        assert_int_equal(size_of(fd, EVENTS_NAME ".1"), -1);
        for (int i = 0; i < 7; i++)
                assert_int_equal(events_append(fd, line, 22), 0);
        assert_int_equal(size_of(fd, EVENTS_NAME), 11);
        assert_int_equal(size_of(fd, EVENTS_NAME ".1"), 22);
        assert_int_equal(size_of(fd, EVENTS_NAME ".3"), 22);
        assert_int_equal(size_of(fd, EVENTS_NAME ".4"), -1);
        for (int i = 0; i < 2; i++)
                assert_int_equal(events_append(fd, line, 22), 0);
        assert_int_equal(size_of(fd, EVENTS_NAME ".4"), -1); /* the oldest is gone */
        for (int i = 0; i <= 3; i++) {
                char name[32];

                snprintf(name, sizeof name, i ? EVENTS_NAME ".%d" : EVENTS_NAME, i);
                unlinkat(fd, name, 0);
        }
        close(fd);
        rmdir(dir);
}

struct heard {
        unsigned n;
        char event[32], message[64];
};

static void hear(void *arg, enum log_level level, const char *event, const struct log_fields *f, const char *message) {
        struct heard *h = arg;

        (void) level;
        (void) f;
        h->n++;
        snprintf(h->event, sizeof h->event, "%s", event);
        snprintf(h->message, sizeof h->message, "%s", message);
}

/* heartbeat_ok is a debug line: the file has it although the log is at err. */
static void IICPD_02_92_level_and_suppression_do_not_matter(void **state) {
        struct heard h = {0};

        (void) state;
        log_setup(LOG_F_TEXT, LOG_L_ERR);
        log_watch(LOG_WATCH_FILE, events_canonical, hear, &h);
        for (int i = 0; i < 100; i++)
                log_debug("heartbeat_ok", "beat %d", i);
        log_debug("task_done", "not for the file");
        assert_int_equal(h.n, 100);
        assert_string_equal(h.event, "heartbeat_ok");
        assert_string_equal(h.message, "beat 99");
        log_watch(LOG_WATCH_FILE, NULL, NULL, NULL);
        log_debug("heartbeat_ok", "nobody listens");
        assert_int_equal(h.n, 100);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_92_canonical_names),
                cmocka_unit_test(IICPD_02_92_no_task_events),
                cmocka_unit_test(IICPD_02_92_line_form),
                cmocka_unit_test(IICPD_02_92_rotates_and_keeps_three),
                cmocka_unit_test(IICPD_02_92_level_and_suppression_do_not_matter),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
