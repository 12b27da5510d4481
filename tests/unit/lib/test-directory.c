/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/directory.h>
#include <iicp/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void IICPD_01_02_spellings_of_the_base(void **state) {
        struct json_object *doc = vector_ours("directory/directory-url.json");
        struct json_object *list = vector_get(doc, "cases");
        char base[IICP_DIRECTORY_URL_MAX], issuer[IICP_DIRECTORY_URL_MAX], request[IICP_DIRECTORY_URL_MAX + 16];

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);

                assert_int_equal(iicp_directory_url(vector_str(c, "configured"), false, base, NULL),
                                 IICP_DIRECTORY_URL_OK);
                assert_string_equal(base, vector_str(c, "base").p);
                snprintf(request, sizeof(request), "%s/v1/register", base);
                assert_string_equal(request, vector_str(c, "register").p);
                iicp_directory_issuer(base, issuer);
                assert_string_equal(issuer, vector_str(c, "issuer").p);
        }
        json_object_put(doc);
}

static void IICPD_01_03_refused_bases(void **state) {
        struct json_object *doc = vector_ours("directory/directory-url.json");
        struct json_object *list = vector_get(doc, "refused");
        char base[IICP_DIRECTORY_URL_MAX];

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++)
                assert_int_not_equal(iicp_directory_url(iicp_str(json_object_get_string(
                                                                json_object_array_get_idx(list, i))),
                                                        false, base, NULL),
                                     IICP_DIRECTORY_URL_OK);
        json_object_put(doc);
}

static void IICPD_01_04_plain_http(void **state) {
        char base[IICP_DIRECTORY_URL_MAX];
        bool added = false;

        (void) state;
        assert_int_equal(iicp_directory_url(IICP_STR("http://dir.example.org/api"), false, base, NULL),
                         IICP_DIRECTORY_URL_PLAIN);
        assert_int_equal(iicp_directory_url(IICP_STR("http://dir.example.org"), true, base, &added),
                         IICP_DIRECTORY_URL_OK);
        assert_true(added);
        assert_int_equal(iicp_directory_url(IICP_STR("http://localhost:1/api"), false, base, &added),
                         IICP_DIRECTORY_URL_OK);
        assert_false(added);
}

static enum iicp_directory_call call_of(const char *request) {
        if (strcmp(request, "register") == 0)
                return IICP_DIR_CALL_REGISTER;
        return strcmp(request, "heartbeat") == 0 ? IICP_DIR_CALL_HEARTBEAT : IICP_DIR_CALL_OTHER;
}

static void check_fields(struct json_object *wanted, const char *got) {
        char joined[IICP_DIR_FIELDS_MAX] = "";

        for (size_t i = 0; i < json_object_array_length(wanted); i++) {
                if (i)
                        strcat(joined, ",");
                strcat(joined, json_object_get_string(json_object_array_get_idx(wanted, i)));
        }
        assert_string_equal(got, joined);
}

/* Classes of calls that a node does not make (tickets, credits, audit, registry) belong to their
 * callers; code and delay are read the same for all. */
static void check_error(struct json_object *c) {
        struct json_object *expect = vector_get(c, "expect"), *body = vector_find(c, "body");
        struct json_object *headers = vector_find(c, "headers"), *text = vector_find(c, "body_text");
        struct iicp_str retry = IICP_STR_NONE, bytes = IICP_STR_NONE;
        const char *request = vector_str(c, "request").p;
        struct iicp_directory_error e;

        if (headers && vector_find(headers, "Retry-After"))
                retry = vector_str(headers, "Retry-After");
        if (text)
                bytes = iicp_str(json_object_get_string(text));
        else if (body)
                bytes = vector_text(body);
        iicp_directory_error_read(call_of(request), json_object_get_int(vector_get(c, "status")), bytes, retry, &e);
        if (vector_find(expect, "code"))
                assert_string_equal(e.code, vector_str(expect, "code").p);
        if (vector_find(expect, "retry_after_s"))
                assert_int_equal(e.retry_after_ms, json_object_get_int64(vector_get(expect, "retry_after_s")) * 1000);
        if (vector_find(expect, "fields"))
                check_fields(vector_get(expect, "fields"), e.fields);
        if (call_of(request) != IICP_DIR_CALL_OTHER)
                assert_string_equal(iicp_directory_class_name(e.cls), vector_str(expect, "class").p);
}

static void IICPD_01_21_every_shape_of_errors(void **state) {
        struct json_object *doc = vector_ours("directory/error-bodies.json");
        struct json_object *list = vector_get(doc, "cases");

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++)
                check_error(json_object_array_get_idx(list, i));
        json_object_put(doc);
}

static void IICPD_01_23_wrong_types_count_as_absent(void **state) {
        struct iicp_directory_error e;

        (void) state;
        iicp_directory_error_read(IICP_DIR_CALL_REGISTER, 422,
                                  IICP_STR("{\"error\":{\"code\":7,\"fields\":[1]},\"retry_after\":\"x\",\"more\":{}}"),
                                  IICP_STR("soon"), &e);
        assert_string_equal(e.code, "http_422");
        assert_int_equal(e.retry_after_ms, -1);
        assert_int_equal(e.cls, IICP_DIR_VALIDATION_ERROR);
        iicp_directory_error_read(IICP_DIR_CALL_REGISTER, 502, IICP_STR("<html>Bad gateway</html>"), IICP_STR_NONE, &e);
        assert_string_equal(e.code, "http_502");
        iicp_directory_error_read(IICP_DIR_CALL_REGISTER, 403, IICP_STR("{\"error\":\"a b\\n\"}"), IICP_STR_NONE, &e);
        assert_string_equal(e.code, "http_403");
}

static void windows_of(struct json_object *list, struct iicp_window *w, size_t *ret_n) {
        *ret_n = json_object_array_length(list);
        for (size_t i = 0; i < *ret_n; i++) {
                struct json_object *o = json_object_array_get_idx(list, i);

                strcpy(w[i].start, vector_str(o, "start").p);
                strcpy(w[i].end, vector_str(o, "end").p);
                w[i].share = json_object_get_double(vector_get(o, "share"));
        }
}

static unsigned minute_of(const char *text) {
        return (unsigned) (strtoul(text, NULL, 10) * 60 + strtoul(text + 3, NULL, 10));
}

static void IICPD_01_40_windows(void **state) {
        struct json_object *doc = vector_ours("directory/availability.json");
        struct json_object *list = vector_get(doc, "cases");
        struct iicp_window w[8];
        size_t n;

        (void) state;
        windows_of(vector_get(doc, "windows"), w, &n);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                double share = iicp_windows_share(w, n, minute_of(vector_str(c, "local_time").p));

                assert_true(share == json_object_get_double(vector_get(c, "share")));
                json_object_object_foreach(vector_get(c, "effective_max"), base, wanted)
                        assert_int_equal(iicp_windows_effective((unsigned) strtoul(base, NULL, 10), share),
                                         json_object_get_int(wanted));
        }
        assert_true(iicp_windows_share(NULL, 0, 5) == 1.0);
        json_object_put(doc);
}

static void IICPD_01_40_windows_of_the_node_cases(void **state) {
        struct json_object *doc = vector_ours("node/backend-stability-cases-v1.json");
        struct json_object *list = vector_get(doc, "availability");
        struct iicp_window w[8];

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);
                double share;
                size_t n;

                windows_of(vector_get(c, "windows"), w, &n);
                share = iicp_windows_share(w, n, minute_of(vector_str(c, "time").p));
                assert_true(share == json_object_get_double(vector_get(c, "share")));
                assert_int_equal(
                        iicp_windows_effective((unsigned) json_object_get_int(vector_get(c, "max_concurrent")), share),
                        json_object_get_int(vector_get(c, "effective_max_concurrent")));
        }
        json_object_put(doc);
}

static void DIR_HB_LIVE_01_challenge_response(void **state) {
        struct json_object *doc = vector_ours("directory/heartbeat-challenge.json");
        struct json_object *list = vector_get(doc, "cases");
        char out[65];

        (void) state;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *c = json_object_array_get_idx(list, i);

                assert_int_equal(iicp_hmac_sha256_hex(vector_str(c, "node_hmac_key"), vector_str(c, "challenge"), out), 0);
                assert_string_equal(out, vector_str(c, "challenge_response").p);
        }
        json_object_put(doc);
}

static void SEC_AUTH_02_secrets_compare_by_digest(void **state) {
        (void) state;
        assert_true(iicp_secret_eq(IICP_STR("token"), IICP_STR("token")));
        assert_false(iicp_secret_eq(IICP_STR("token"), IICP_STR("token2")));
        assert_false(iicp_secret_eq(IICP_STR(""), IICP_STR("")));
        assert_false(iicp_secret_eq(IICP_STR_NONE, IICP_STR_NONE));
}

static void IICPD_01_39_capabilities_from_model_names(void **state) {
        static const char *const models[] = {"llama3", "nomic-embed-text", "Qwen2-VL-7B", "x-vl", "voxtral-mini",
                                             "gpt-omni", "mistral"};
        struct iicp_capabilities c;

        (void) state;
        assert_int_equal(iicp_capabilities_derive(models, 7, "urn:iicp:intent:llm:chat:v1", &c), 0);
        assert_int_equal(c.n, 5);
        assert_string_equal(c.v[0].intent, "urn:iicp:intent:llm:chat:v1");
        assert_int_equal(c.v[0].n_models, 2);
        assert_string_equal(c.v[0].models[1], "mistral");
        assert_string_equal(c.v[1].intent, "urn:iicp:intent:llm:embedding:v1");
        assert_true(c.v[2].image && !c.v[2].audio && c.v[2].n_models == 2);
        assert_true(!c.v[3].image && c.v[3].audio);
        assert_true(c.v[4].image && c.v[4].audio);
        iicp_capabilities_free(&c);
        assert_int_equal(iicp_capabilities_derive(NULL, 0, "urn:iicp:intent:llm:chat:v1", &c), 0);
        assert_int_equal(c.n, 0);
        iicp_capabilities_free(&c);
}

static void IICPD_01_37_a_model_stands_in_one_object(void **state) {
        static const char *const models[] = {"a-embed-vl-x", "b", "c-vision", "d-audio", "e-embed-omni"};
        struct iicp_capabilities c;
        size_t total = 0;

        (void) state;
        assert_int_equal(iicp_capabilities_derive(models, 5, "urn:iicp:intent:llm:chat:v1", &c), 0);
        for (size_t i = 0; i < c.n; i++)
                total += c.v[i].n_models;
        assert_int_equal(total, 5);
        iicp_capabilities_free(&c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_01_02_spellings_of_the_base),
                cmocka_unit_test(IICPD_01_03_refused_bases),
                cmocka_unit_test(IICPD_01_04_plain_http),
                cmocka_unit_test(IICPD_01_21_every_shape_of_errors),
                cmocka_unit_test(IICPD_01_23_wrong_types_count_as_absent),
                cmocka_unit_test(IICPD_01_40_windows),
                cmocka_unit_test(IICPD_01_40_windows_of_the_node_cases),
                cmocka_unit_test(DIR_HB_LIVE_01_challenge_response),
                cmocka_unit_test(SEC_AUTH_02_secrets_compare_by_digest),
                cmocka_unit_test(IICPD_01_39_capabilities_from_model_names),
                cmocka_unit_test(IICPD_01_37_a_model_stands_in_one_object),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
