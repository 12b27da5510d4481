/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fetch_reader.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

#define MAX_ANSWER 100

/* Feeds the text in pieces of the given size; what is left over comes back. */
static enum fetch_error feed(struct reader *r, const char *text, size_t piece, size_t *ret_left) {
        size_t n = strlen(text), at = 0;
        enum fetch_error e = FETCH_OK;

        while (e == FETCH_OK && at < n && r->state != READER_DONE) {
                size_t used, now = MIN(piece, n - at);

                e = reader_feed(r, text + at, now, &used);
                at += used;
                if (used < now)
                        break;
        }
        *ret_left = n - at;
        return e;
}

struct expected {
        const char *text;
        enum fetch_error error;
        int status;
        const char *body; /* NULL: not looked at */
        bool keep, by_end;
        size_t left;
};

static void check(const struct expected *x, size_t piece) {
        struct reader r;
        enum fetch_error e;
        size_t left;

        reader_init(&r, MAX_ANSWER, NULL, NULL);
        e = feed(&r, x->text, piece, &left);
        if (e == FETCH_OK && r.state != READER_DONE)
                e = reader_end(&r);
        if (e != x->error || (e == FETCH_OK && (r.status != x->status || r.keep != x->keep)))
                print_message("pieces of %zu: %s\n", piece, x->text);
        assert_int_equal(e, x->error);
        if (e == FETCH_OK) {
                assert_int_equal(r.status, x->status);
                assert_int_equal(r.keep, x->keep);
                if (piece > strlen(x->text))
                        assert_int_equal(left, x->left);
        }
        if (x->body)
                assert_true(iicp_str_is(iicp_buf_str(&r.body), x->body));
        reader_done(&r);
}

static void check_all(const struct expected *x, size_t n) {
        for (size_t i = 0; i < n; i++)
                for (size_t piece = 1; piece < 300; piece = piece < 20 ? piece + 1 : piece * 2)
                        check(&x[i], piece);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void answers_of_each_framing(void **state) {
        static const struct expected x[] = {
                {OK "Content-Length: 5\r\n\r\nhello", .status = 200, .body = "hello", .keep = true},
                {OK "content-length:0\r\n\r\n", .status = 200, .body = "", .keep = true},
                {OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", .status = 200, .body = "ok", .keep = true},
                {OK "Content-Length: 2\r\nConnection: Close\r\n\r\nok", .status = 200, .body = "ok"},
                {OK "Content-Length: 2\r\nConnection: foo , close\r\n\r\nok", .status = 200, .body = "ok"},
                {OK "Content-Length: 2\r\n\r\nokHTTP", .status = 200, .body = "ok", .keep = true, .left = 4},
                {OK "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", .status = 200,
                 .body = "abcde", .keep = true},
                {OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\n", .status = 200,
                 .body = "a", .keep = true},
                {OK "Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n1\r\na\r\n0\r\n\r\n", .status = 200,
                 .body = "a"},
                {OK "\r\nto the end", .status = 200, .body = "to the end"},
                {"HTTP/1.1 200\n\nlf", .status = 200, .body = "lf"},
                {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", .status = 200, .body = "a"},
                {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na", .status = 200,
                 .body = "a", .keep = true},
                {"HTTP/1.1 204 No Content\r\n\r\n", .status = 204, .body = "", .keep = true},
                {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", .status = 304, .body = ""},
                {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nX: y\r\n\r\n" OK "Content-Length: 1\r\n\r\na",
                 .status = 200, .body = "a", .keep = true},
        };

        (void) state;
        check_all(x, ARRAY_SIZE(x));
}

static void error_answers_are_not_kept(void **state) {
        static const struct expected x[] = {
                {"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", .status = 500, .body = "no"},
                {"HTTP/1.1 302 There\r\nContent-Length: 0\r\nLocation: /x\r\n\r\n", .status = 302, .body = ""},
        };

        (void) state;
        check_all(x, ARRAY_SIZE(x));
}

static void what_can_be_read_in_two_ways_is_refused(void **state) {
        static const struct expected x[] = {
                {"SSH-2.0-x\r\n", .error = FETCH_PROTOCOL},
                {"HTTP/2 200\r\n\r\n", .error = FETCH_PROTOCOL},
                {"HTTP/1.1 20 OK\r\n\r\n", .error = FETCH_PROTOCOL},
                {"HTTP/1.1 099 OK\r\n\r\n", .error = FETCH_PROTOCOL},
                {"HTTP/1.1 101 Switch\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "No colon\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "Name : blank\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "X: y\r\n folded\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "X: a\rb\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", .error = FETCH_PROTOCOL},
                {OK "Content-Length: -1\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "Content-Length: 1, 1\r\n\r\na", .error = FETCH_PROTOCOL},
                {OK "Content-Length:\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "Content-Length: 9999999999999999999999\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "Transfer-Encoding: chunked\r\n\r\n\r\n", .error = FETCH_PROTOCOL},
                {OK "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", .error = FETCH_PROTOCOL},
                {OK "Transfer-Encoding: chunked\r\n\r\n111111111\r\n", .error = FETCH_PROTOCOL},
                {OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", .error = FETCH_PROTOCOL},
        };

        (void) state;
        check_all(x, ARRAY_SIZE(x));
}

static void an_end_too_early_is_a_reset(void **state) {
        static const struct expected x[] = {
                {"HTTP/1", .error = FETCH_RESET},
                {OK "Content-Length: 5\r\n", .error = FETCH_RESET},
                {OK "Content-Length: 5\r\n\r\nhell", .error = FETCH_RESET, .body = "hell"},
                {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nab", .error = FETCH_RESET, .body = "ab"},
                {OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", .error = FETCH_RESET, .body = "a"},
        };

        (void) state;
        check_all(x, ARRAY_SIZE(x));
}

static void answers_are_bounded(void **state) {
        char text[MAX_ANSWER + 200], *huge = malloc(70000);
        struct reader r;
        size_t used;

        (void) state;
        snprintf(text, sizeof text, OK "\r\n%0*d", MAX_ANSWER + 1, 0);
        check_all(&(struct expected){text, .error = FETCH_TOO_LARGE}, 1);
        snprintf(text, sizeof text, OK "\r\n%0*d", MAX_ANSWER, 0);
        check_all(&(struct expected){text, .status = 200}, 1);
        snprintf(text, sizeof text, OK "Content-Length: %d\r\n\r\n", MAX_ANSWER + 1);
        check_all(&(struct expected){text, .error = FETCH_TOO_LARGE}, 1);

        assert_non_null(huge);
        memset(huge, 'a', 70000);
        memcpy(huge, OK "X: ", sizeof OK "X: " - 1);
        reader_init(&r, MAX_ANSWER, NULL, NULL);
        assert_int_equal(reader_feed(&r, huge, 70000, &used), FETCH_PROTOCOL);
        reader_done(&r);
        free(huge);
}

static void interim_answers_are_bounded(void **state) {
        static const char interim[] = "HTTP/1.1 103 Hints\r\nX: y\r\n\r\n";
        enum fetch_error e = FETCH_OK;
        struct reader r;
        size_t used, n = 0;

        (void) state;
        reader_init(&r, MAX_ANSWER, NULL, NULL);
        while (e == FETCH_OK && n++ < 10000)
                e = reader_feed(&r, interim, sizeof interim - 1, &used);
        assert_int_equal(e, FETCH_PROTOCOL);
        assert_true(n < 3000);
        reader_done(&r);
}

static void fields_are_told(void **state) {
        struct reader r;
        size_t left;

        (void) state;
        reader_init(&r, MAX_ANSWER, NULL, NULL);
        assert_int_equal(feed(&r, OK "Content-Type:  a/b \r\nretry-after: 3\r\nServer:\r\nDate: d\r\n"
                                     "X-Powered-By: p\r\nLocation: l\r\nContent-Length: 0\r\n\r\n",
                              7, &left),
                         FETCH_OK);
        assert_true(iicp_str_is(r.content_type, "a/b") && iicp_str_is(r.retry_after, "3"));
        assert_true(iicp_str_is(r.date, "d") && iicp_str_is(r.powered_by, "p") && iicp_str_is(r.location, "l"));
        assert_null(r.server.p);
        reader_done(&r);
}

static bool piece_taken(void *arg, struct iicp_str piece) {
        struct iicp_buf *out = arg;

        iicp_buf_add_str(out, piece);
        return out->n < 4;
}

static void streams_come_in_pieces_and_can_be_stopped(void **state) {
        struct iicp_buf out = {0};
        struct reader r;
        size_t left;

        (void) state;
        reader_init(&r, MAX_ANSWER, piece_taken, &out);
        assert_int_equal(feed(&r, OK "Content-Length: 9\r\n\r\nabcdefghi", 1, &left), FETCH_PROTOCOL);
        assert_true(iicp_str_is(iicp_buf_str(&out), "abcd"));
        assert_int_equal(r.body.n, 0);
        reader_done(&r);
        /* An error's text is collected. */
        reader_init(&r, MAX_ANSWER, piece_taken, &out);
        assert_int_equal(feed(&r, "HTTP/1.1 400 No\r\nContent-Length: 3\r\n\r\nxyz", 1, &left), FETCH_OK);
        assert_true(iicp_str_is(iicp_buf_str(&r.body), "xyz"));
        reader_done(&r);
        iicp_buf_free(&out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_of_each_framing),
                cmocka_unit_test(error_answers_are_not_kept),
                cmocka_unit_test(what_can_be_read_in_two_ways_is_refused),
                cmocka_unit_test(an_end_too_early_is_a_reset),
                cmocka_unit_test(answers_are_bounded),
                cmocka_unit_test(interim_answers_are_bounded),
                cmocka_unit_test(fields_are_told),
                cmocka_unit_test(streams_come_in_pieces_and_can_be_stopped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
