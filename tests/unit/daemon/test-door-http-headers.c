/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static enum http_resource resource(const char *target) {
        struct http_target t;

        http_target_parse(iicp_str(target), &t);
        return t.resource;
}

static void IICPD_02_13_paths_match_exactly(void **state) {
        static const char *const unknown[] = {"", "/", "*", "/v1/task/", "/v1/Task", "/v1/%74ask", "//v1/task", "v1/task",
                                              "/iicp/health/", "/metricsx", "ftp://h/metrics", "http://h"};
        (void) state;
        assert_int_equal(resource("/v1/task"), HTTP_TASK);
        assert_int_equal(resource("/v1/task?x=/metrics"), HTTP_TASK);
        assert_int_equal(resource("/iicp/health?"), HTTP_HEALTH);
        assert_int_equal(resource("/metrics"), HTTP_METRICS);
        for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
                assert_int_equal(resource(unknown[i]), HTTP_UNKNOWN);
}

static void IICPD_02_15_foreign_resources_are_unknown(void **state) {
        static const char *const never[] = {"/v1/models", "/v1/telemetry", "/v1/custom/urn:iicp:intent:x:y:v1", "/api/tags"};

        (void) state;
        for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
                assert_int_equal(resource(never[i]), HTTP_UNKNOWN);
}

static void IICPD_02_105_absolute_form(void **state) {
        struct http_target t;

        (void) state;
        http_target_parse(IICP_STR("http://Node.example:80/v1/task?q"), &t);
        assert_int_equal(t.resource, HTTP_TASK);
        assert_true(iicp_str_is(t.authority, "Node.example:80"));
        assert_true(iicp_str_is(http_host_name(t.authority), "Node.example"));
        assert_true(iicp_str_is(http_host_name(IICP_STR("[::1]:9484")), "[::1]"));
        assert_null(http_host_name(IICP_STR("[::1")).p);
        assert_null(http_host_name(IICP_STR("a:b")).p);
}

static void IICPD_05_41_local_hosts(void **state) {
        (void) state;
        assert_true(http_host_is_local(http_host_name(IICP_STR("localhost:9484"))));
        assert_true(http_host_is_local(http_host_name(IICP_STR("127.0.0.1"))));
        assert_true(http_host_is_local(http_host_name(IICP_STR("[::1]:1"))));
        assert_false(http_host_is_local(http_host_name(IICP_STR("localhost.example"))));
        assert_false(http_host_is_local(http_host_name(IICP_STR("127.0.0.1.example"))));
}

/* name, value pairs, NULL at the end */
static enum iicp_refusal_id check(const char *const *fields) {
        struct http_fields f = {0};

        for (; *fields; fields += 2)
                http_field(&f, iicp_str(fields[0]), iicp_str(fields[1]));
        return http_body_check(&f);
}
#define CHECK(...) check((const char *const[]){__VA_ARGS__, NULL})

static void IICPD_02_16_content_encoding(void **state) {
        (void) state;
        assert_int_equal(CHECK("Content-Encoding", "gzip"), IICP_REFUSE_CONTENT_ENCODING);
        assert_int_equal(CHECK("content-encoding", "identity, br"), IICP_REFUSE_CONTENT_ENCODING);
        assert_int_equal(CHECK("Content-Encoding", "Identity , IDENTITY"), IICP_REFUSE_NONE);
}

static void IICPD_02_17_lengths(void **state) {
        (void) state;
        assert_int_equal(CHECK("Content-Length", "12", "Content-Length", "13"), IICP_REFUSE_INVALID_HTTP_BODY);
        assert_int_equal(CHECK("Content-Length", "12", "Content-Length", "12"), IICP_REFUSE_NONE);
        assert_int_equal(CHECK("Content-Length", "+12"), IICP_REFUSE_INVALID_HTTP_BODY);
        assert_int_equal(CHECK("Content-Length", "1 2"), IICP_REFUSE_INVALID_HTTP_BODY);
        assert_int_equal(CHECK("Content-Length", ""), IICP_REFUSE_INVALID_HTTP_BODY);
        assert_int_equal(CHECK("Content-Length", "2", "Transfer-Encoding", "chunked"), IICP_REFUSE_INVALID_HTTP_BODY);
        assert_int_equal(CHECK("Transfer-Encoding", "gzip, chunked"), IICP_REFUSE_INVALID_HTTP_BODY);
        assert_int_equal(CHECK("Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"),
                         IICP_REFUSE_INVALID_HTTP_BODY);
        assert_int_equal(CHECK("Transfer-Encoding", "Chunked"), IICP_REFUSE_NONE);
}

static void IICPD_02_18_declared_size(void **state) {
        (void) state;
        assert_int_equal(CHECK("Content-Length", "1048576"), IICP_REFUSE_NONE);
        assert_int_equal(CHECK("Content-Length", "1048577"), IICP_REFUSE_TOO_LARGE);
        assert_int_equal(CHECK("Content-Length", "99999999999999999999999999"), IICP_REFUSE_TOO_LARGE);
}

static void IICPD_02_21_encoding_before_lengths_before_size(void **state) {
        (void) state;
        assert_int_equal(CHECK("Content-Length", "x", "Content-Encoding", "gzip"), IICP_REFUSE_CONTENT_ENCODING);
        assert_int_equal(CHECK("Content-Length", "1048577", "Content-Length", "1"), IICP_REFUSE_INVALID_HTTP_BODY);
        assert_int_equal(CHECK("Content-Type", "text/plain", "Content-Length", "1048577"), IICP_REFUSE_TOO_LARGE);
}

static void PROTO_MSG_05_content_types(void **state) {
        static const char *const good[] = {"application/json", "APPLICATION/JSON; charset=UTF-8", "application/x+json",
                                           "application/json;charset=\"utf-8\"", "application/json; x=y"};
        static const char *const bad[] = {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "",
                                          "application/+json", "application/jsonx", "text/x+json",
                                          "application/json; charset=latin1"};
        (void) state;
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
                assert_int_equal(CHECK("Content-Type", good[i]), IICP_REFUSE_NONE);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert_int_equal(CHECK("Content-Type", bad[i]), IICP_REFUSE_MEDIA_TYPE);
        assert_int_equal(CHECK("Accept", "*/*"), IICP_REFUSE_NONE);
        assert_int_equal(CHECK("Origin", "null"), IICP_REFUSE_MEDIA_TYPE);
}

static void IICPD_02_23_cbor_types(void **state) {
        (void) state;
        assert_int_equal(CHECK("Content-Type", "application/cbor"), IICP_REFUSE_MEDIA_TYPE_CBOR);
        assert_int_equal(CHECK("Content-Type", "application/iicp+cbor; v=1"), IICP_REFUSE_MEDIA_TYPE_CBOR);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_13_paths_match_exactly),
                cmocka_unit_test(IICPD_02_15_foreign_resources_are_unknown),
                cmocka_unit_test(IICPD_02_105_absolute_form),
                cmocka_unit_test(IICPD_05_41_local_hosts),
                cmocka_unit_test(IICPD_02_16_content_encoding),
                cmocka_unit_test(IICPD_02_17_lengths),
                cmocka_unit_test(IICPD_02_18_declared_size),
                cmocka_unit_test(IICPD_02_21_encoding_before_lengths_before_size),
                cmocka_unit_test(PROTO_MSG_05_content_types),
                cmocka_unit_test(IICPD_02_23_cbor_types),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
