/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <iicp/relay_msg.h>

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

/* "" = known, but of a worker that cannot be; NULL = no such resource */
static const char *worker_of(const char *target, enum http_resource wanted) {
        static struct http_target t;

        http_target_parse(iicp_str(target), &t);
        if (t.resource != wanted) {
                assert_int_equal(t.resource, HTTP_UNKNOWN);
                return NULL;
        }
        return t.id;
}

static void IICPD_05_50_one_segment_decoded_once(void **state) {
        static const struct {
                const char *segment, *id;
        } cases[] = {
                {"w-1", "w-1"},
                {"6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"},
                {"a.b:c_d-e", "a.b:c_d-e"},
                {"%77%2d1", "w-1"},
                {"w%3A1", "w:1"},
                {"w%2531", ""}, /* once: a '%' stays, which is not of the form */
                {"..", ""},
                {"%2e%2e", ""},
                {".w", ""},
                {"-w", ""},
                {"w%2f1", ""},
                {"w%2F..%2Fmetrics", ""},
                {"w%00", ""},
                {"w%0a", ""},
                {"w%", ""},
                {"w%4", ""},
                {"w%zz", ""},
                {"w%20", ""},
                {"w\\1", ""},
                {"w+1", ""},
                {"w;1", ""},
                {"%C3%A9", ""},
                {"", NULL},
                {"w/1", NULL},
                {"../w", NULL},
                {"w/", NULL},
        };
        char target[256], longest[IICP_WORKER_ID_MAX + 1];

        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                for (int health = 0; health < 2; health++) {
                        const char *id;

                        snprintf(target, sizeof target, "/v1/relay-for/%s%s?x=/v1/task", cases[i].segment,
                                 health ? "/iicp/health" : "/v1/task");
                        id = worker_of(target, health ? HTTP_RELAY_HEALTH : HTTP_RELAY_TASK);
                        if (cases[i].id)
                                assert_string_equal(id, cases[i].id);
                        else
                                assert_null(id);
                }
        }
        memset(longest, 'a', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        snprintf(target, sizeof target, "/v1/relay-for/%s/v1/task", longest);
        assert_string_equal(worker_of(target, HTTP_RELAY_TASK), longest);
        snprintf(target, sizeof target, "/v1/relay-for/a%s/v1/task", longest);
        assert_string_equal(worker_of(target, HTTP_RELAY_TASK), "");
}

static void IICPD_03_45_relay_resources(void **state) {
        static const char *const unknown[] = {"/v1/relay/", "/v1/relay/foo", "/v1/relay/pull/", "/v1/relay-for",
                                              "/v1/relay-for/", "/v1/relay-for/w", "/v1/relay-for/w/v1/tasks",
                                              "/v1/relay-for/w/metrics", "/v1/relay-for/v1/task", "/v1/Relay"};

        (void) state;
        assert_int_equal(resource("/v1/relay"), HTTP_RELAY_FORWARD);
        assert_int_equal(resource("/v1/relay/bind"), HTTP_RELAY_BIND);
        assert_int_equal(resource("/v1/relay/pull?x"), HTTP_RELAY_PULL);
        assert_int_equal(resource("/v1/relay/result"), HTTP_RELAY_RESULT);
        assert_int_equal(resource("/v1/relay/unbind"), HTTP_RELAY_UNBIND);
        for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
                assert_int_equal(resource(unknown[i]), HTTP_UNKNOWN);
        for (enum http_resource r = HTTP_UNKNOWN; r < HTTP_RESOURCES_; r++)
                assert_int_equal(http_is_relay(r), r >= HTTP_RELAY_BIND && r <= HTTP_RELAY_FORWARD);
}

static void IICPD_03_46_methods_and_limits(void **state) {
        (void) state;
        assert_true(http_method_fits(HTTP_RELAY_PULL, "GET"));
        assert_false(http_method_fits(HTTP_RELAY_PULL, "HEAD"));
        assert_string_equal(http_allow(HTTP_RELAY_PULL), "GET, OPTIONS");
        assert_true(http_method_fits(HTTP_RELAY_HEALTH, "HEAD"));
        assert_false(http_method_fits(HTTP_RELAY_TASK, "GET"));
        assert_int_equal(http_body_max(HTTP_RELAY_BIND), 65536);
        assert_int_equal(http_body_max(HTTP_RELAY_UNBIND), 65536);
        assert_true(http_body_max(HTTP_RELAY_RESULT) == HTTP_BODY_RELAYED);
        assert_true(http_body_max(HTTP_RELAY_TASK) == HTTP_BODY_RELAYED);
        assert_true(http_body_max(HTTP_RELAY_FORWARD) == HTTP_BODY_RELAYED);
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
        return http_body_check(&f, IICP_BODY_MAX);
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
                cmocka_unit_test(IICPD_05_50_one_segment_decoded_once),
                cmocka_unit_test(IICPD_03_45_relay_resources),
                cmocka_unit_test(IICPD_03_46_methods_and_limits),
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
