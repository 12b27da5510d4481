/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"
#include "log.h"
#include "util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* A clock that the test drives, and stderr in a file that it reads back. */
static uint64_t now_us;

static uint64_t fake_mono(void *arg) {
        (void) arg;
        return now_us;
}

static int64_t fake_wall(void *arg) {
        (void) arg;
        return 1700000000;
}

static const struct clock fake = {.mono_us = fake_mono, .wall_s = fake_wall};

struct capture {
        FILE *file;
        int saved;
        char text[65536];
};

static void capture_begin(struct capture *c) {
        c->file = tmpfile();
        assert_non_null(c->file);
        fflush(stderr);
        c->saved = dup(STDERR_FILENO);
        dup2(fileno(c->file), STDERR_FILENO);
}

static void capture_end(struct capture *c) {
        size_t n;

        dup2(c->saved, STDERR_FILENO);
        close(c->saved);
        rewind(c->file);
        n = fread(c->text, 1, sizeof c->text - 1, c->file);
        c->text[n] = '\0';
        fclose(c->file);
}

static unsigned lines(const char *text) {
        unsigned n = 0;

        for (; *text; text++)
                n += *text == '\n';
        return n;
}

static int setup(void **state) {
        static struct capture c;

        now_us = 1000000000;
        log_set_clock(&fake);
        log_set_node_id("");
        log_setup(LOG_F_TEXT, LOG_L_INFO);
        *state = &c;
        return 0;
}

static void IICPD_05_54_foreign_text_is_escaped(void **state) {
        static const struct {
                const char *in, *out;
        } cases[] = {
                {"plain", "plain"},
                {"a\nb\r\x1b[31m\x7f", "a\\x0ab\\x0d\\x1b[31m\\x7f"},
                {"caf\xc3\xa9", "caf\xc3\xa9"},
                {"bad\xff\xc3", "bad\\xff\\xc3"},
                {"\xc0\xaf", "\\xc0\\xaf"},                    /* overlong */
                {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           /* surrogate */
                {"x\xc2\x85y", "x\\u{85}y"},                   /* NEL */
                {"x\xe2\x80\xa8y\xe2\x80\xa9", "x\\u{2028}y\\u{2029}"},
                {"x\xe2\x80\xaey\xe2\x81\xa6", "x\\u{202e}y\\u{2066}"}, /* bidi */
        };
        char buf[64];

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_string_equal(log_text(iicp_str(cases[i].in), buf, sizeof buf), cases[i].out);
}

static void IICPD_05_54_foreign_text_is_cut_at_200_bytes(void **state) {
        char in[1000], buf[512];

        (void) state;
        memset(in, 'a', sizeof in);
        log_text((struct iicp_str){in, 200}, buf, sizeof buf);
        assert_int_equal(strlen(buf), 200);
        assert_null(strstr(buf, "..."));
        log_text((struct iicp_str){in, sizeof in}, buf, sizeof buf);
        assert_int_equal(strlen(buf), 200);
        assert_string_equal(buf + 197, "...");
        /* an escape is never cut in two */
        memset(in, '\n', sizeof in);
        log_text((struct iicp_str){in, sizeof in}, buf, sizeof buf);
        assert_true(strlen(buf) <= 200);
        assert_string_equal(buf + strlen(buf) - 7, "\\x0a...");
        log_text((struct iicp_str){in, sizeof in}, buf, 8);
        assert_string_equal(buf, "\\x0a...");
}

static void IICPD_05_54_one_event_is_one_line(void **state) {
        struct capture *c = *state;

        capture_begin(c);
        log_warn("backend_down", "backend '%s' is away", "a\nFeb 1 00:00:00 forged\r\n");
        capture_end(c);
        assert_int_equal(lines(c->text), 1);
        assert_non_null(strstr(c->text, " warn backend_down backend 'a\\x0aFeb"));
}

static void OX_40_the_same_event_and_subject_is_summarised(void **state) {
        const struct log_fields gpu = {.subject = "gpu"}, other = {.subject = "cpu"};
        struct capture *c = *state;

        capture_begin(c);
        for (int i = 0; i < 28; i++) {
                log_event(LOG_L_WARN, "backend_down", &gpu, "backend 'gpu' is away");
                now_us += 10000000;
        }
        log_event(LOG_L_WARN, "backend_down", &other, "backend 'cpu' is away");
        now_us += 600000000;
        log_tick();
        log_event(LOG_L_WARN, "backend_down", &gpu, "backend 'gpu' is away");
        capture_end(c);
        assert_int_equal(lines(c->text), 4);
        assert_non_null(strstr(c->text, "gpu: 27 more in 10 min"));
}

static void OX_40_at_most_twenty_lines_a_second(void **state) {
        struct capture *c = *state;
        uint64_t before = log_suppressed_total();

        capture_begin(c);
        for (int i = 0; i < 50; i++)
                log_notice("control_action", "drain %d", i);
        assert_int_equal(log_suppressed_total() - before, 30);
        now_us += 1000000;
        log_notice("control_action", "next");
        capture_end(c);
        assert_int_equal(lines(c->text), 22);
        assert_non_null(strstr(c->text, "log_suppressed 30 lines dropped"));
}

static void OX_40_answers_to_the_operator_are_never_summarised(void **state) {
        struct capture *c = *state;

        capture_begin(c);
        log_notice("config_reloaded", "configuration reloaded");
        log_notice("config_reloaded", "configuration reloaded");
        capture_end(c);
        assert_int_equal(lines(c->text), 2);
}

static void level_is_respected(void **state) {
        struct capture *c = *state;

        capture_begin(c);
        log_debug("task_done", "not now");
        log_set_level(LOG_L_DEBUG);
        log_debug("task_done", "now");
        capture_end(c);
        assert_int_equal(lines(c->text), 1);
        assert_null(strstr(c->text, "not now"));
}

static void json_has_the_fields(void **state) {
        const struct log_fields f = {.task_id = "9f2c", .backend = "g\"p\\u", .peer = "3c9d77e1-long-id", .duration_ms = 12};
        struct capture *c = *state;

        log_setup(LOG_F_JSON, LOG_L_INFO);
        log_set_node_id("7d1f0c56");
        capture_begin(c);
        log_event(LOG_L_INFO, "task_failed", &f, "task \"%s\"", "9f2c");
        capture_end(c);
        assert_int_equal(lines(c->text), 1);
        assert_memory_equal(c->text, "{\"ts\":\"20", 9);
        assert_non_null(strstr(c->text, "Z\",\"level\":\"info\",\"event\":\"task_failed\",\"msg\":\"task \\\"9f2c\\\"\","
                               "\"task_id\":\"9f2c\",\"backend\":\"g\\\"p\\\\u\",\"peer\":\"3c9d77e1\","
                               "\"duration_ms\":\"12\",\"node_id\":\"7d1f0c56\"}\n"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(IICPD_05_54_foreign_text_is_escaped, setup),
                cmocka_unit_test_setup(IICPD_05_54_foreign_text_is_cut_at_200_bytes, setup),
                cmocka_unit_test_setup(IICPD_05_54_one_event_is_one_line, setup),
                cmocka_unit_test_setup(OX_40_the_same_event_and_subject_is_summarised, setup),
                cmocka_unit_test_setup(OX_40_at_most_twenty_lines_a_second, setup),
                cmocka_unit_test_setup(OX_40_answers_to_the_operator_are_never_summarised, setup),
                cmocka_unit_test_setup(level_is_respected, setup),
                cmocka_unit_test_setup(json_has_the_fields, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
