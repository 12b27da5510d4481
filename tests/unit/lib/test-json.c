/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <errno.h>
#include <stdlib.h>

#include <iicp/json.h>

static int scan(struct iicp_str text) {
        struct iicp_json v;

        return iicp_json_scan(text, NULL, NULL, &v);
}

static struct iicp_json value_of(const char *text) {
        struct iicp_json v;

        if (iicp_json_scan(iicp_str(text), NULL, NULL, &v) != 0)
                fail_msg("refused: %s", text);
        return v;
}

static void expect(int wanted, const char *text) {
        int r = scan(iicp_str(text));

        if (r != wanted)
                fail_msg("%d, expected %d: %s", r, wanted, text);
}

/* "[" * n, inner, "]" * n */
static int scan_nested(size_t n, const char *inner) {
        struct iicp_buf b = {};
        int r;

        for (size_t i = 0; i < n; i++)
                iicp_buf_puts(&b, "[");
        iicp_buf_puts(&b, inner);
        for (size_t i = 0; i < n; i++)
                iicp_buf_puts(&b, "]");
        r = scan(iicp_buf_str(&b));
        iicp_buf_free(&b);
        return r;
}

/* an array that holds n numbers: n + 1 values */
static int scan_numbers(size_t n) {
        struct iicp_buf b = {};
        int r;

        iicp_buf_puts(&b, "[1");
        for (size_t i = 1; i < n; i++)
                iicp_buf_puts(&b, ",1");
        iicp_buf_puts(&b, "]");
        r = scan(iicp_buf_str(&b));
        iicp_buf_free(&b);
        return r;
}

static int scan_digits(size_t n) {
        char text[256] = {};

        memset(text, '7', n);
        return scan(iicp_str(text));
}

static void IICPD_02_106_json_details(void **state) {
        (void) state;
        assert_int_equal(scan_nested(64, ""), 0);
        assert_int_equal(scan_nested(65, ""), -EBADMSG);
        assert_int_equal(scan_nested(64, "{}"), -EBADMSG);
        assert_int_equal(scan_numbers(99999), 0);
        assert_int_equal(scan_numbers(100000), -EBADMSG);
        assert_int_equal(scan_digits(64), 0);
        assert_int_equal(scan_digits(65), -EBADMSG);
        expect(-EBADMSG, "\xef\xbb\xbf{}");
        expect(0, "\"\\ud83d\\ude00\"");
        expect(-EBADMSG, "\"\\ud83d\"");
        expect(-EBADMSG, "\"\\ude00\"");
        expect(-EBADMSG, "{\"a\":[{\"b\":\"\\ud83dx\\ude00\"}]}");
        expect(-EBADMSG, "\"\\ud83d\\u0041\"");
        expect(-EBADMSG, "\"\xed\xa0\x80\"");
        /* below the top object a doubled member is passed on */
        expect(0, "{\"a\":{\"b\":1,\"b\":2}}");
        expect(0, "[{\"b\":1,\"b\":2}]");
}

static void IICPD_05_46_json_bombs(void **state) {
        struct iicp_buf b = {};

        (void) state;
        assert_int_equal(scan_nested(500000, ""), -EBADMSG);
        assert_int_equal(scan_numbers(500000), -EBADMSG);
        for (size_t i = 0; i < 500000; i++)
                iicp_buf_puts(&b, "9");
        assert_int_equal(scan(iicp_buf_str(&b)), -EBADMSG);
        iicp_buf_free(&b);
        /* many names in the top object do not cost the square of their number */
        iicp_buf_puts(&b, "{\"x\":0");
        for (unsigned i = 0; i < 90000; i++)
                iicp_buf_printf(&b, ",\"%05u\":0", i);
        iicp_buf_puts(&b, "}");
        assert_int_equal(scan(iicp_buf_str(&b)), 0);
        iicp_buf_free(&b);
}

static int count(void *arg, const struct iicp_json *name, const struct iicp_json *value) {
        unsigned *n = arg;

        (void) name;
        (void) value;
        ++*n;
        return 0;
}

static void doubled_members_of_the_top_object(void **state) {
        struct iicp_buf b = {};

        (void) state;
        expect(-EEXIST, "{\"a\":1,\"a\":1}");
        expect(-EEXIST, "{\"a\":1,\"b\":{},\"\\u0061\":[]}");
        expect(-EEXIST, "{\"\":1,\"\":1}");
        expect(0, "{\"a\":1,\"A\":1,\"aa\":1,\"\":2}");
        for (unsigned at = 0; at < 100; at += 33) {
                iicp_buf_puts(&b, "{");
                for (unsigned i = 0; i < 100; i++)
                        iicp_buf_printf(&b, "\"k%u\":%u,", i, i);
                iicp_buf_printf(&b, "\"\\u006b%u\":1}", at);
                assert_int_equal(scan(iicp_buf_str(&b)), -EEXIST);
                iicp_buf_free(&b);
        }
}

static void valid_and_invalid_texts(void **state) {
        static const char *const good[] = {
                "{}",
                "[]",
                " { } ",
                "\t[\r\n]\n",
                "0",
                "-0",
                "-1.5e+10",
                "1E5",
                "0.10",
                "true",
                "false",
                "null",
                "\"\"",
                "\"a\\\"b\\\\c\\/\\b\\f\\n\\r\\t\\u00e9\"",
                "{\"a\":[1,{\"b\":null}],\"c\":{}}",
                "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
                "\"\\u0000\"",
                "[[],[],{}]",
                "\"\x7f\"",
        };
        static const char *const bad[] = {
                "",
                " ",
                "{",
                "[",
                "}",
                "]",
                "{]",
                "[}",
                "[1,]",
                "[,1]",
                "[1 2]",
                "{\"a\"}",
                "{\"a\":}",
                "{\"a\":1,}",
                "{a:1}",
                "{'a':1}",
                "{1:2}",
                "{\"a\":1 \"b\":2}",
                "{} {}",
                "{},",
                "1 2",
                "01",
                "-",
                "+1",
                "1.",
                ".5",
                "1e",
                "1e+",
                "--1",
                "0x1",
                "NaN",
                "Infinity",
                "nul",
                "nulll",
                "True",
                "\"",
                "\"a",
                "\"\n\"",
                "\"\t\"",
                "\"\\x\"",
                "\"\\u12\"",
                "\"\\u12g4\"",
                "\"\\",
                "\"\\u",
                "\"\xc0\x80\"",
                "\"\xe0\x80\x80\"",
                "\"\xf0\x80\x80\x80\"",
                "\"\xf4\x90\x80\x80\"",
                "\"\xff\"",
                "\"\x80\"",
                "\"\xc3\"",
                "\"\xe2\x82\"",
                "\"\xf0\x9f\x98\"",
                "{\"a\\u0000\":1}",
                "/**/{}",
                "[1]]",
                "[\"a\":1]",
                "{\"a\":1]",
                "\f1",
        };

        (void) state;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                expect(0, good[i]);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                expect(-EBADMSG, bad[i]);
        assert_int_equal(scan(IICP_STR("{}\0")), -EBADMSG);
        assert_int_equal(scan(IICP_STR("\"a\0b\"")), -EBADMSG);
        assert_int_equal(scan(IICP_STR_NONE), -EBADMSG);
}

static void members_are_handed_out(void **state) {
        static const char text[] = " {\"a\" : 12 ,\"b\":{\"x\":[1,2]},\"c\":[ ],\"d\":\"q\\n\"} ";
        struct iicp_json v, m;
        struct iicp_json_iter it;
        unsigned n = 0;
        int64_t i;

        (void) state;
        assert_int_equal(iicp_json_scan(iicp_str(text), count, &n, &v), 0);
        assert_int_equal(n, 4);
        assert_int_equal(v.type, IICP_JSON_OBJECT);
        assert_int_equal(v.text.n, strlen(text) - 2);
        m = iicp_json_get(&v, "a");
        assert_int_equal(iicp_json_int(&m, &i), 0);
        assert_int_equal(i, 12);
        m = iicp_json_get(&v, "b");
        assert_true(iicp_str_is(m.text, "{\"x\":[1,2]}"));
        m = iicp_json_get(&m, "x");
        assert_true(iicp_str_is(m.text, "[1,2]"));
        n = 0;
        for (iicp_json_iter_init(&it, &m); iicp_json_next(&it, NULL, &m);)
                n++;
        assert_int_equal(n, 2);
        m = iicp_json_get(&v, "c");
        iicp_json_iter_init(&it, &m);
        assert_false(iicp_json_next(&it, NULL, &m));
        m = iicp_json_get(&v, "d");
        assert_true(m.escaped);
        assert_true(iicp_json_is(&m, "q\n"));
        assert_false(iicp_json_is(&m, "q"));
        assert_false(iicp_json_is(&m, "q\nr"));
        m = iicp_json_get(&v, "e");
        assert_int_equal(m.type, IICP_JSON_NONE);
        v = value_of("{\"o\":{\"a\":1,\"b\":0,\"\\u0061\":2}}");
        m = iicp_json_get(&v, "o");
        m = iicp_json_get(&m, "a");
        assert_true(iicp_str_is(m.text, "2"));
}

static int stop_at_b(void *arg, const struct iicp_json *name, const struct iicp_json *value) {
        (void) arg;
        (void) value;
        return iicp_json_is(name, "b") ? 7 : 0;
}

static void the_callback_can_stop_the_scan(void **state) {
        struct iicp_json v;

        (void) state;
        assert_int_equal(iicp_json_scan(IICP_STR("{\"a\":1,\"b\":2,nonsense"), stop_at_b, NULL, &v),
                         7);
}

static void strings_are_decoded(void **state) {
        struct iicp_json v = value_of("\"a\\u00e9\\ud83d\\ude00\\/\\\"z\"");
        struct iicp_buf b = {};
        char small[4], out[32];

        (void) state;
        assert_int_equal(iicp_json_copy(&v, out, sizeof(out)), 0);
        assert_string_equal(out, "a\xc3\xa9\xf0\x9f\x98\x80/\"z");
        assert_int_equal(iicp_json_copy(&v, small, sizeof(small)), -ENOSPC);
        assert_int_equal(iicp_json_decode(&v, &b), 0);
        assert_string_equal(b.p, out);
        iicp_buf_free(&b);
        v = value_of("\"a\\u0000b\"");
        assert_int_equal(iicp_json_copy(&v, out, sizeof(out)), -ENOSPC);
        assert_false(iicp_json_is(&v, "a"));
        v = value_of("12");
        assert_int_equal(iicp_json_copy(&v, out, sizeof(out)), -EINVAL);
        assert_int_equal(iicp_json_decode(&v, &b), -EINVAL);
        v = value_of("\"abc\"");
        assert_int_equal(iicp_json_copy(&v, small, 4), 0);
        assert_int_equal(iicp_json_copy(&v, small, 3), -ENOSPC);
}

static void numbers_are_read(void **state) {
        struct iicp_json v;
        int64_t i = 0;
        double d = 0;

        (void) state;
        v = value_of("-9223372036854775808");
        assert_int_equal(iicp_json_int(&v, &i), 0);
        assert_true(i == INT64_MIN);
        v = value_of("9223372036854775807");
        assert_int_equal(iicp_json_int(&v, &i), 0);
        assert_true(i == INT64_MAX);
        v = value_of("9223372036854775808");
        assert_int_equal(iicp_json_int(&v, &i), -ERANGE);
        v = value_of("-9223372036854775809");
        assert_int_equal(iicp_json_int(&v, &i), -ERANGE);
        v = value_of("5.0");
        assert_int_equal(iicp_json_int(&v, &i), -EINVAL);
        v = value_of("1e3");
        assert_int_equal(iicp_json_int(&v, &i), -EINVAL);
        assert_int_equal(iicp_json_double(&v, &d), 0);
        assert_true(d > 999.9 && d < 1000.1);
        v = value_of("-0.25");
        assert_int_equal(iicp_json_double(&v, &d), 0);
        assert_true(d < -0.24 && d > -0.26);
        v = value_of("1e999");
        assert_int_equal(iicp_json_double(&v, &d), -ERANGE);
        v = value_of("\"1\"");
        assert_int_equal(iicp_json_int(&v, &i), -EINVAL);
        assert_int_equal(iicp_json_double(&v, &d), -EINVAL);
}

static void IICPD_02_20_body_is_one_json_object(void **state) {
        (void) state;
        expect(-EBADMSG, "{\"task_id\":\"a\"} x");
        expect(-EBADMSG, "{\"task_id\":\"\xff\"}");
        expect(-EEXIST, "{\"task_id\":\"a\",\"intent\":\"b\",\"task_id\":\"a\"}");
        assert_int_equal(scan_nested(65, ""), -EBADMSG);
}

static void IICPD_02_20_size_limit_is_that_of_the_vectors(void **state) {
        struct json_object *all;

        (void) state;
        all = vector_public("node/http-task-resource-boundary-v1.json");
        assert_int_equal(json_object_get_int64(vector_get(all, "max_encoded_request_bytes")),
                         IICP_BODY_MAX);
        assert_int_equal(json_object_get_int64(vector_get(all, "max_encoded_response_bytes")),
                         IICP_BODY_MAX);
        json_object_put(all);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_106_json_details),
                cmocka_unit_test(IICPD_05_46_json_bombs),
                cmocka_unit_test(doubled_members_of_the_top_object),
                cmocka_unit_test(valid_and_invalid_texts),
                cmocka_unit_test(members_are_handed_out),
                cmocka_unit_test(the_callback_can_stop_the_scan),
                cmocka_unit_test(strings_are_decoded),
                cmocka_unit_test(numbers_are_read),
                cmocka_unit_test(IICPD_02_20_body_is_one_json_object),
                cmocka_unit_test(IICPD_02_20_size_limit_is_that_of_the_vectors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
