/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner, and its agreement with json-c on what is valid JSON. */

#include "fuzz.h"

#include <iicp/json.h>
#include <json-c/json.h>

static void walk(const struct iicp_json *value, unsigned level) {
        struct iicp_json_iter it;
        struct iicp_json name, member;

        if (value->type == IICP_JSON_STRING) {
                struct iicp_buf text = {0};
                FUZZ_CHECK(iicp_json_decode(value, &text) == 0);
                FUZZ_CHECK(text.n <= value->text.n);
                iicp_buf_free(&text);
        } else if (value->type == IICP_JSON_NUMBER) {
                int64_t whole;
                double number;
                iicp_json_int(value, &whole);
                iicp_json_double(value, &number);
        }
        if (value->type != IICP_JSON_ARRAY && value->type != IICP_JSON_OBJECT)
                return;
        FUZZ_CHECK(level < IICP_JSON_DEPTH_MAX);
        iicp_json_iter_init(&it, value);
        while (iicp_json_next(&it, &name, &member))
                walk(&member, level + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str text = {(const char *) data, size};
        struct iicp_json value;

        int r = iicp_json_scan(text, NULL, NULL, &value);
        FUZZ_CHECK(r <= 0);
        if (r == 0) {
                walk(&value, 0);
                /* what we take, the control plane's parser takes too */
                struct json_tokener *tok = json_tokener_new_ex(IICP_JSON_DEPTH_MAX + 1);
                json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
                struct json_object *tree = json_tokener_parse_ex(tok, text.p, (int) size);
                enum json_tokener_error why = json_tokener_get_error(tok);
                /* a bare number at the end of the text may go on, says json-c */
                FUZZ_CHECK(why == json_tokener_success || why == json_tokener_continue);
                json_object_put(tree);
                json_tokener_free(tok);
        }
        return 0;
}
