/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <errno.h>

#include <iicp/trace.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static void IICPD_06_37_traceparent_vectors(void **state) {
        struct json_object *all = vector_ours("consumer/traceparent.json");

        (void) state;
        vector_each(vector_get(all, "caller_supplied"), c) {
                struct iicp_str value = vector_str(c, "value");
                bool keep = memcmp(vector_str(c, "expect").p, "keep", 4) == 0;
                char text[IICP_TRACEPARENT_TEXT];
                struct iicp_trace t, child;

                if ((iicp_trace_parse(value, &t) == 0) != keep)
                        fail_msg("%s", value.p);
                if (!keep)
                        continue;
                assert_int_equal(iicp_trace_child(&t, &child), 0);
                iicp_trace_format(&child, text);
                assert_memory_equal(text, value.p, 36);               /* version and trace id */
                assert_memory_not_equal(text + 36, value.p + 36, 16); /* a new span */
                assert_string_equal(text + 52, value.p + 52);         /* flags */
        }
        json_object_put(all);
}

static void parse(int expected, struct iicp_str text) {
        struct iicp_trace t = {.flags = "zz"};

        if (iicp_trace_parse(text, &t) != expected)
                fail_msg("%.*s", (int) text.n, text.p);
        if (expected != 0)
                assert_string_equal(t.flags, "zz");
}

static void TRACE_04_traceparent_has_four_hex_parts(void **state) {
        struct iicp_trace t;

        (void) state;
        parse(0, IICP_STR("00-" TRACE "-" SPAN "-01"));
        parse(0, IICP_STR("cc-" TRACE "-" SPAN "-01-what-ever"));
        parse(0, IICP_STR("01-" TRACE "-" SPAN "-01"));
        parse(-EINVAL, IICP_STR("01-" TRACE "-" SPAN "-01x"));
        parse(-EINVAL, IICP_STR("00-" TRACE "-" SPAN "-01-"));
        parse(-EINVAL, IICP_STR("ff-" TRACE "-" SPAN "-01"));
        parse(-EINVAL, IICP_STR("0-" TRACE "-" SPAN "-01"));
        parse(-EINVAL, IICP_STR("00_" TRACE "-" SPAN "-01"));
        parse(-EINVAL, IICP_STR("00-" TRACE "-" SPAN "-0g"));
        parse(-EINVAL, IICP_STR("00-" TRACE "-" SPAN "-1"));
        parse(-EINVAL, IICP_STR("00-00000000000000000000000000000000-" SPAN "-01"));
        parse(-EINVAL, IICP_STR("00-" TRACE "-0000000000000000-01"));
        parse(-EINVAL, IICP_STR("00-" TRACE "-" SPAN "-01 "));
        parse(-EINVAL, IICP_STR_NONE);
        assert_int_equal(iicp_trace_parse(IICP_STR("00-" TRACE "-" SPAN "-01"), &t), 0);
        assert_string_equal(t.trace_id, TRACE);
        assert_string_equal(t.span_id, SPAN);
        assert_string_equal(t.flags, "01");
}

static void new_ids_are_valid_and_differ(void **state) {
        char text[IICP_TRACEPARENT_TEXT];
        struct iicp_trace a, b, parsed;

        (void) state;
        assert_int_equal(iicp_trace_new(&a), 0);
        assert_int_equal(iicp_trace_new(&b), 0);
        assert_string_not_equal(a.trace_id, b.trace_id);
        assert_string_not_equal(a.span_id, b.span_id);
        iicp_trace_format(&a, text);
        assert_int_equal(strlen(text), 55);
        assert_int_equal(iicp_trace_parse(iicp_str(text), &parsed), 0);
        assert_memory_equal(&parsed, &a, sizeof(a));
        assert_string_equal(a.flags, "01");
}

static void trace_ids(void **state) {
        (void) state;
        assert_true(iicp_trace_id_valid(IICP_STR(TRACE)));
        assert_false(iicp_trace_id_valid(IICP_STR("4BF92f3577b34da6a3ce929d0e0e4736")));
        assert_false(iicp_trace_id_valid(IICP_STR("00000000000000000000000000000000")));
        assert_false(iicp_trace_id_valid(IICP_STR(TRACE "0")));
        assert_false(iicp_trace_id_valid(IICP_STR_NONE));
}

static void ids_of_given_random_bytes(void **state) {
        unsigned char random[IICP_TRACE_RANDOM];
        struct iicp_trace t;

        (void) state;
        for (size_t i = 0; i < sizeof(random); i++)
                random[i] = (unsigned char) i;
        assert_int_equal(iicp_trace_of(random, &t), 0);
        assert_string_equal(t.trace_id, "000102030405060708090a0b0c0d0e0f");
        assert_string_equal(t.span_id, "1011121314151617");
        memset(random + 16, 0, 8);
        assert_int_equal(iicp_trace_of(random, &t), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_37_traceparent_vectors),
                cmocka_unit_test(TRACE_04_traceparent_has_four_hex_parts),
                cmocka_unit_test(new_ids_are_valid_and_differ),
                cmocka_unit_test(trace_ids),
                cmocka_unit_test(ids_of_given_random_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
