/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner, and its agreement with json-c on what is valid JSON and what stands in it. */

#include "fuzz.h"

#include <errno.h>

#include <iicp/json.h>
#include <json-c/json.h>

/* json-c 0.16 makes U+FFFD of some good pairs of surrogate escapes (D936 DE00): nothing to compare.
 */
static bool has_surrogates(const struct iicp_json *string) {
        return memmem(string->text.p, string->text.n, "\\ud", 3) ||
               memmem(string->text.p, string->text.n, "\\uD", 3);
}

static void same_string(const struct iicp_json *value, struct json_object *other) {
        struct iicp_buf text = {0};

        FUZZ_CHECK(iicp_json_decode(value, &text) == 0);
        FUZZ_CHECK(text.n <= value->text.n);
        FUZZ_CHECK(json_object_is_type(other, json_type_string));
        if (has_surrogates(value)) {
                iicp_buf_free(&text);
                return;
        }
        FUZZ_CHECK(iicp_str_eq(iicp_buf_str(&text),
                               (struct iicp_str){json_object_get_string(other),
                                                 (size_t) json_object_get_string_len(other)}));
        iicp_buf_free(&text);
}

static void same_number(const struct iicp_json *value, struct json_object *other) {
        int64_t whole;
        double number;
        int r = iicp_json_int(value, &whole);

        FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
        if (r == 0 && json_object_is_type(other, json_type_int))
                FUZZ_CHECK(whole == json_object_get_int64(other));
        else
                FUZZ_CHECK(json_object_is_type(other, json_type_double) ||
                           json_object_is_type(other, json_type_int));
        r = iicp_json_double(value, &number);
        if (r == 0 && json_object_is_type(other, json_type_double))
                FUZZ_CHECK(number == json_object_get_double(other));
}

static void same(const struct iicp_json *value, struct json_object *other, unsigned level);

static void same_members(const struct iicp_json *value, struct json_object *other, unsigned level) {
        struct iicp_json_iter it;
        struct iicp_json name, member;
        struct iicp_buf text = {0};

        iicp_json_iter_init(&it, value);
        while (iicp_json_next(&it, &name, &member)) {
                struct json_object *there;
                struct iicp_json found;

                text.n = 0;
                FUZZ_CHECK(iicp_json_decode(&name, &text) == 0);
                if (has_surrogates(&name))
                        continue;
                FUZZ_CHECK(json_object_object_get_ex(other, iicp_buf_str(&text).p, &there));
                found = iicp_json_get(value, iicp_buf_str(&text).p);
                FUZZ_CHECK(found.type != IICP_JSON_NONE);
                /* of a doubled member json-c keeps the last one, and so does iicp_json_get */
                if (found.text.p == member.text.p)
                        same(&member, there, level + 1);
        }
        iicp_buf_free(&text);
}

static void same_items(const struct iicp_json *value, struct json_object *other, unsigned level) {
        struct iicp_json_iter it;
        struct iicp_json item;
        size_t n = 0;

        iicp_json_iter_init(&it, value);
        for (; iicp_json_next(&it, NULL, &item); n++) {
                FUZZ_CHECK(n < json_object_array_length(other));
                same(&item, json_object_array_get_idx(other, n), level + 1);
        }
        FUZZ_CHECK(n == json_object_array_length(other));
}

static void same(const struct iicp_json *value, struct json_object *other, unsigned level) {
        FUZZ_CHECK(level <= IICP_JSON_DEPTH_MAX);
        switch (value->type) {
        case IICP_JSON_NULL:
                FUZZ_CHECK(!other);
                break;
        case IICP_JSON_TRUE:
        case IICP_JSON_FALSE:
                FUZZ_CHECK(json_object_is_type(other, json_type_boolean));
                FUZZ_CHECK(json_object_get_boolean(other) == (value->type == IICP_JSON_TRUE));
                break;
        case IICP_JSON_NUMBER:
                same_number(value, other);
                break;
        case IICP_JSON_STRING:
                same_string(value, other);
                break;
        case IICP_JSON_ARRAY:
                FUZZ_CHECK(json_object_is_type(other, json_type_array));
                same_items(value, other, level);
                break;
        case IICP_JSON_OBJECT:
                FUZZ_CHECK(json_object_is_type(other, json_type_object));
                same_members(value, other, level);
                break;
        default:
                abort();
        }
}

/* What json-c writes, we read: unless it is beyond our bounds or no JSON (NaN; UTF-8 that json-c
 * takes though it is overlong or a surrogate; fractions, which it repeats as they came: "5."). */
static void reads_what_json_c_writes(struct json_object *tree) {
        struct iicp_json value;
        size_t n, digits = 0;
        const char *text = json_object_to_json_string_length(tree, JSON_C_TO_STRING_PLAIN, &n);
        int r = iicp_json_scan((struct iicp_str){text, n}, NULL, NULL, &value);

        if (r == 0 || strstr(text, "NaN") || strstr(text, "Infinity") || strstr(text, "\\u0000"))
                return;
        for (size_t i = 0; i < n; i++) {
                digits = text[i] && strchr("0123456789.eE+-", text[i]) ? digits + 1 : 0;
                if (digits > IICP_JSON_NUMBER_MAX || (unsigned char) text[i] >= 0x80)
                        return;
                if (digits > 1 && strchr(".eE", text[i]))
                        return;
        }
        FUZZ_CHECK(n > IICP_JSON_VALUES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str text = {(const char *) data, size};
        struct iicp_json value;
        struct json_tokener *tok;
        struct json_object *tree;
        enum json_tokener_error why;
        int r;

        r = iicp_json_scan(text, NULL, NULL, &value);
        FUZZ_CHECK(r <= 0);
        tok = json_tokener_new_ex(IICP_JSON_DEPTH_MAX + 1);
        if (!tok || size > INT32_MAX)
                abort();
        json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        tree = json_tokener_parse_ex(tok, text.p, (int) size);
        why = json_tokener_get_error(tok);
        if (why == json_tokener_continue) {
                /* a bare value at the end of the text may go on, says json-c: say that it does not
                 */
                tree = json_tokener_parse_ex(tok, " ", 1);
                why = json_tokener_get_error(tok);
        }
        if (r == 0) {
                FUZZ_CHECK(why == json_tokener_success);
                same(&value, tree, 1);
        }
        if (why == json_tokener_success && tree)
                reads_what_json_c_writes(tree);
        json_object_put(tree);
        json_tokener_free(tok);
        return 0;
}
