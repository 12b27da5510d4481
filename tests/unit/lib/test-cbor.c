/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "util.h"

#include <errno.h>
#include <iicp/cbor.h>
#include <iicp/frame.h>
#include <math.h>

/* ---- the typed notation of the vectors ---- */

static void compare(struct json_object *typed, const struct iicp_cbor *item);

static void compare_text(struct json_object *v, const struct iicp_cbor *item, bool hex) {
        struct iicp_str s = {json_object_get_string(v), (size_t) json_object_get_string_len(v)};
        struct iicp_str bytes = hex ? vector_hex_of(s) : s;

        assert_int_equal(item->type, hex ? IICP_CBOR_BSTR : IICP_CBOR_TSTR);
        assert_true(iicp_str_eq(item->text, bytes));
        if (hex)
                free((char *) bytes.p);
}

static void compare_container(struct json_object *v, const struct iicp_cbor *item, bool map) {
        struct iicp_cbor_iter it;
        struct iicp_cbor key, value;
        size_t n = 0;

        assert_int_equal(item->type, map ? IICP_CBOR_MAP : IICP_CBOR_ARRAY);
        assert_int_equal(item->number, json_object_array_length(v));
        iicp_cbor_iter_init(&it, item);
        while (iicp_cbor_next(&it, &key, &value)) {
                struct json_object *one = json_object_array_get_idx(v, n++);

                if (map) {
                        compare(json_object_array_get_idx(one, 0), &key);
                        one = json_object_array_get_idx(one, 1);
                }
                compare(one, &value);
        }
        assert_int_equal(n, item->number);
}

static void compare(struct json_object *typed, const struct iicp_cbor *item) {
        struct json_object_iterator it = json_object_iter_begin(typed);
        const char *kind = json_object_iter_peek_name(&it);
        struct json_object *v = json_object_iter_peek_value(&it);

        if (strcmp(kind, "uint") == 0) {
                assert_int_equal(item->type, IICP_CBOR_UINT);
                assert_true(item->number == json_object_get_uint64(v));
        } else if (strcmp(kind, "nint") == 0) {
                assert_int_equal(item->type, IICP_CBOR_NINT);
                assert_true(-1 - (int64_t) item->number == json_object_get_int64(v));
        } else if (strcmp(kind, "float") == 0) {
                assert_int_equal(item->type, IICP_CBOR_FLOAT);
                assert_true(item->real == json_object_get_double(v));
        } else if (strcmp(kind, "bool") == 0) {
                assert_int_equal(item->type, IICP_CBOR_BOOL);
                assert_int_equal(item->number, json_object_get_boolean(v));
        } else if (strcmp(kind, "null") == 0)
                assert_int_equal(item->type, IICP_CBOR_NULL);
        else if (strcmp(kind, "map") == 0 || strcmp(kind, "array") == 0)
                compare_container(v, item, *kind == 'm');
        else
                compare_text(v, item, strcmp(kind, "bstr_hex") == 0);
}

static void IICPD_03_05_valid_payloads_decode(void **state) {
        struct json_object *all = vector_ours("framing/frames-valid.json");
        unsigned seen = 0;

        (void) state;
        vector_each(vector_get(all, "frames"), f) {
                struct json_object *decoded = vector_find(f, "decoded");
                struct iicp_str payload = vector_hex(f, "payload_hex");
                _cleanup_(iicp_buf_free) struct iicp_buf inflated = {};
                struct iicp_cbor item;

                if (decoded) {
                        struct iicp_str p = payload;

                        if (iicp_is_gzip(p)) {
                                assert_int_equal(iicp_gunzip(p, IICP_FRAME_INFLATED_MAX, &inflated), 0);
                                p = iicp_buf_str(&inflated);
                        }
                        if (iicp_cbor_scan(p, IICP_CBOR_MESSAGE, &item) != IICP_CBOR_OK)
                                fail_msg("%s is refused", vector_str(f, "id").p);
                        compare(decoded, &item);
                        seen++;
                }
                free((char *) payload.p);
        }
        assert_true(seen > 40);
        json_object_put(all);
}

/* ---- forms ---- */

static enum iicp_cbor_verdict judge(const char *hex, unsigned flags) {
        struct iicp_str bytes = vector_hex_of(iicp_str(hex));
        struct iicp_cbor item;
        enum iicp_cbor_verdict v = iicp_cbor_scan(bytes, flags, &item);

        free((char *) bytes.p);
        return v;
}

static void IICPD_03_16_compat_relaxes_the_order_of_keys_alone(void **state) {
        static const struct {
                const char *hex;
                enum iicp_cbor_verdict compat, strict;
        } cases[] = {
                {"a2010203f93800", IICP_CBOR_OK, IICP_CBOR_OK},
                {"a203f938000102", IICP_CBOR_OK, IICP_CBOR_FORBIDDEN},           /* order */
                {"a101fa3f000000", IICP_CBOR_OK, IICP_CBOR_FORBIDDEN},           /* width of a float */
                {"a101fb3fe0000000000000", IICP_CBOR_OK, IICP_CBOR_FORBIDDEN},
                {"a101fa3dcccccd", IICP_CBOR_OK, IICP_CBOR_OK},                  /* needs a single */
                {"a101fb3fb999999999999a", IICP_CBOR_OK, IICP_CBOR_OK},          /* needs a double */
                {"a301020304050607", IICP_CBOR_MALFORMED, IICP_CBOR_MALFORMED},  /* bytes are left */
                {"a3030401020102", IICP_CBOR_FORBIDDEN, IICP_CBOR_FORBIDDEN},    /* doubled */
                {"a3010203040102", IICP_CBOR_FORBIDDEN, IICP_CBOR_FORBIDDEN},    /* doubled, not side by side */
                {"a1011817", IICP_CBOR_FORBIDDEN, IICP_CBOR_FORBIDDEN},          /* shorter is possible */
                {"a1011818", IICP_CBOR_OK, IICP_CBOR_OK},
                {"a1011900ff", IICP_CBOR_FORBIDDEN, IICP_CBOR_FORBIDDEN},
                {"a101190100", IICP_CBOR_OK, IICP_CBOR_OK},
                {"a1011a0000ffff", IICP_CBOR_FORBIDDEN, IICP_CBOR_FORBIDDEN},
                {"a1011a00010000", IICP_CBOR_OK, IICP_CBOR_OK},
                {"a1011b00000000ffffffff", IICP_CBOR_FORBIDDEN, IICP_CBOR_FORBIDDEN},
                {"a1011b0000000100000000", IICP_CBOR_OK, IICP_CBOR_OK},
                {"a101781861616161616161616161616161616161616161616161616161", IICP_CBOR_MALFORMED, IICP_CBOR_MALFORMED},
                {"b801010200", IICP_CBOR_FORBIDDEN, IICP_CBOR_FORBIDDEN},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                if (judge(cases[i].hex, IICP_CBOR_MESSAGE) != cases[i].compat ||
                    judge(cases[i].hex, IICP_CBOR_MESSAGE | IICP_CBOR_STRICT) != cases[i].strict)
                        fail_msg("%s: %d, %d", cases[i].hex, judge(cases[i].hex, IICP_CBOR_MESSAGE),
                                 judge(cases[i].hex, IICP_CBOR_MESSAGE | IICP_CBOR_STRICT));
        }
}

static void IICPD_03_17_what_is_ignored_and_what_refused(void **state) {
        static const struct {
                const char *hex;
                enum iicp_cbor_verdict expected;
        } cases[] = {
                {"a120f6", IICP_CBOR_OK},               /* unknown keys, negative ones too */
                {"a1190fa0820102", IICP_CBOR_OK},
                {"a101e0", IICP_CBOR_OK},               /* a simple value without a meaning */
                {"a101f8ff", IICP_CBOR_OK},
                {"a101f818", IICP_CBOR_MALFORMED},
                {"a1616100", IICP_CBOR_FORBIDDEN},      /* text key on top */
                {"a101a1616100", IICP_CBOR_OK},         /* and below it */
                {"a101a1416100", IICP_CBOR_FORBIDDEN},  /* byte string as key */
                {"a1f5f5", IICP_CBOR_FORBIDDEN},
                {"d9d9f7a0", IICP_CBOR_FORBIDDEN},      /* tagged */
                {"a101c100", IICP_CBOR_FORBIDDEN},      /* tagged inside */
                {"bf0102ff", IICP_CBOR_FORBIDDEN},      /* indefinite */
                {"a1019f00ff", IICP_CBOR_FORBIDDEN},
                {"a1017f6161ff", IICP_CBOR_FORBIDDEN},
                {"8101", IICP_CBOR_FORBIDDEN},          /* not a map */
                {"01", IICP_CBOR_FORBIDDEN},
                {"a0a0", IICP_CBOR_MALFORMED},          /* two items */
                {"a1", IICP_CBOR_MALFORMED},
                {"a101", IICP_CBOR_MALFORMED},
                {"a1011c", IICP_CBOR_MALFORMED},
                {"a101ff", IICP_CBOR_MALFORMED},        /* a break without a beginning */
                {"a1015bffffffffffffffff", IICP_CBOR_MALFORMED},
                {"a1019bffffffffffffffff", IICP_CBOR_MALFORMED},
                {"a101bbffffffffffffffff", IICP_CBOR_MALFORMED},
                {"a10161ff", IICP_CBOR_BAD_UTF8},
                {"a10163eda080", IICP_CBOR_BAD_UTF8},   /* a surrogate */
                {"a10162c080", IICP_CBOR_BAD_UTF8},     /* longer than need be */
                {"", IICP_CBOR_MALFORMED},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (judge(cases[i].hex, IICP_CBOR_MESSAGE) != cases[i].expected)
                        fail_msg("%s: %d", cases[i].hex, judge(cases[i].hex, IICP_CBOR_MESSAGE));
}

static void nested(unsigned depth, unsigned flags, enum iicp_cbor_verdict expected) {
        _cleanup_(iicp_buf_free) struct iicp_buf b = {};
        struct iicp_cbor item;

        iicp_cbor_put_map(&b, 1);
        iicp_cbor_put_uint(&b, 1);
        for (unsigned i = 1; i < depth; i++)
                iicp_cbor_put_array(&b, 1);
        iicp_cbor_put_uint(&b, 0);
        assert_int_equal(iicp_cbor_scan(iicp_buf_str(&b), flags, &item), expected);
}

static void IICPD_03_10_nesting_and_number_of_items(void **state) {
        struct iicp_cbor item;

        (void) state;
        nested(IICP_CBOR_DEPTH_MESSAGE, IICP_CBOR_MESSAGE, IICP_CBOR_OK);
        nested(IICP_CBOR_DEPTH_MESSAGE + 1, IICP_CBOR_MESSAGE, IICP_CBOR_MALFORMED);
        nested(IICP_CBOR_DEPTH_DOCUMENT, 0, IICP_CBOR_OK);
        nested(IICP_CBOR_DEPTH_DOCUMENT + 1, 0, IICP_CBOR_MALFORMED);
        for (unsigned more = 0; more < 2; more++) {
                _cleanup_(iicp_buf_free) struct iicp_buf b = {};

                iicp_cbor_put_array(&b, IICP_CBOR_ITEMS_MAX - 1 + more);
                for (unsigned i = 0; i < IICP_CBOR_ITEMS_MAX - 1 + more; i++)
                        iicp_cbor_put_uint(&b, 0);
                assert_int_equal(iicp_cbor_scan(iicp_buf_str(&b), 0, &item), more ? IICP_CBOR_MALFORMED : IICP_CBOR_OK);
        }
}

/* ---- writing ---- */

static void IICPD_03_16_shortest_floats(void **state) {
        static const struct {
                double v;
                const char *hex;
        } cases[] = {
                {0.5, "f93800"}, {0.0, "f90000"}, {-0.0, "f98000"}, {1.5, "f93e00"}, {65504.0, "f97bff"},
                {100000.0, "fa47c35000"}, {3.4028234663852886e+38, "fa7f7fffff"}, {1.0e+300, "fb7e37e43c8800759c"},
                {5.960464477539063e-8, "f90001"}, {0.00006103515625, "f90400"}, {-4.0, "f9c400"},
                {-4.1, "fbc010666666666666"}, {INFINITY, "f97c00"}, {5.9604644775390625e-8 * 1.5, "fa33c00000"},
        };

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(iicp_buf_free) struct iicp_buf b = {};
                struct iicp_str expected = vector_hex_of(iicp_str(cases[i].hex));
                struct iicp_cbor item;

                iicp_cbor_put_double(&b, cases[i].v);
                if (!iicp_str_eq(iicp_buf_str(&b), expected))
                        fail_msg("%g is not written as %s", cases[i].v, cases[i].hex);
                assert_int_equal(iicp_cbor_scan(iicp_buf_str(&b), IICP_CBOR_STRICT, &item), IICP_CBOR_OK);
                assert_true(item.real == cases[i].v);
                free((char *) expected.p);
        }
}

static void json_becomes(const char *text, const char *hex, const char *back) {
        _cleanup_(iicp_buf_free) struct iicp_buf b = {}, again = {};
        struct iicp_str expected = vector_hex_of(iicp_str(hex));
        struct iicp_json value;
        struct iicp_cbor item;

        assert_int_equal(iicp_json_scan(iicp_str(text), NULL, NULL, &value), 0);
        assert_int_equal(iicp_cbor_from_json(&value, &b), 0);
        if (!iicp_str_eq(iicp_buf_str(&b), expected))
                fail_msg("%s is not written as %s", text, hex);
        assert_int_equal(iicp_cbor_scan(iicp_buf_str(&b), IICP_CBOR_STRICT, &item), IICP_CBOR_OK);
        assert_int_equal(iicp_cbor_to_json(&item, &again), 0);
        assert_string_equal(again.p, back ? back : text);
        free((char *) expected.p);
}

static void IICPD_03_24_json_as_cbor(void **state) {
        (void) state;
        json_becomes("{\"usage\":{\"total_tokens\":3},\"content\":\"hi\"}",
                     "a2657573616765a16c746f74616c5f746f6b656e730367636f6e74656e74626869", NULL);
        json_becomes("[0,23,24,-1,-500,18446744073709551615]", "860017181820" "3901f3" "1bffffffffffffffff", NULL);
        json_becomes("[1.0,0.1,1e3]", "83f93c00fb3fb999999999999af963d0", "[1,0.1,1000]");
        json_becomes("[18446744073709551616]", "81fa5f800000", "[1.8446744073709552e+19]");
        json_becomes("[true,false,null,\"\"]", "84f5f4f660", NULL);
        json_becomes("{\"bb\":1,\"a\":2,\"\\u0061c\":3}", "a3616102626163036262" "6201", "{\"a\":2,\"ac\":3,\"bb\":1}");
        json_becomes("[{\"a\":1,\"a\":2}]", "81a1616102", "[{\"a\":2}]");
        json_becomes("[\"\\u00e9\\n\"]", "8163c3a90a", "[\"\xc3\xa9\\n\"]");
}

static void IICPD_03_21_what_has_no_json_form(void **state) {
        static const char *const cases[] = {"a1614141ff", "a10102", "a16161f97e00", "a16161f97c00", "a16161e0"};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(iicp_buf_free) struct iicp_buf out = {};
                struct iicp_str bytes = vector_hex_of(iicp_str(cases[i]));
                struct iicp_cbor item;

                assert_int_equal(iicp_cbor_scan(bytes, 0, &item), IICP_CBOR_OK);
                assert_int_equal(iicp_cbor_to_json(&item, &out), -EINVAL);
                free((char *) bytes.p);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_05_valid_payloads_decode),
                cmocka_unit_test(IICPD_03_16_compat_relaxes_the_order_of_keys_alone),
                cmocka_unit_test(IICPD_03_17_what_is_ignored_and_what_refused),
                cmocka_unit_test(IICPD_03_10_nesting_and_number_of_items),
                cmocka_unit_test(IICPD_03_16_shortest_floats),
                cmocka_unit_test(IICPD_03_24_json_as_cbor),
                cmocka_unit_test(IICPD_03_21_what_has_no_json_form),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
