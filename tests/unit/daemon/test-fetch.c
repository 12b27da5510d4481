/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fetch_internal.h"
#include "util.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both engines against a small server on the same loop that answers by a script. */

#define GUARD_MS 20000
#define CONNECTIONS 8
#define MAX_ANSWER 1000
#define OK "HTTP/1.1 200 OK\r\n"
#define HANG ""      /* no answer */
#define CLOSE "close" /* the end instead of an answer */

struct peer {
        struct event *ev;
        struct iicp_buf in;
        int fd;
};

static struct world {
        struct loop *loop;
        struct fetch_pool *pool;
        struct timer guard;
        int fd;
        struct event *accept;
        char url[64];
        struct peer peers[CONNECTIONS];
        size_t n_peers, n_requests, n_ended;
        const char *const *script; /* an answer for each request; the last one for all that follow */
        bool close_after;
        struct iicp_buf last;      /* the request that came last */
        /* what done() told */
        unsigned n_done;
        enum fetch_error error;
        int status;
        bool any_byte;
        char body[MAX_ANSWER + 1], content_type[32];
        /* pieces */
        struct fetch *fetch;
        bool cancel_on_piece, stop_on_piece;
        unsigned n_pieces;
} w;

static bool use_curl;

/* ---- server ---- */

static void peer_end(struct peer *p) {
        if (!p->ev)
                return;
        event_free(TAKE_PTR(p->ev));
        close(p->fd);
        iicp_buf_free(&p->in);
}

static bool request_whole(const struct iicp_buf *b, size_t *ret_n) {
        const char *end = b->p ? strstr(b->p, "\r\n\r\n") : NULL, *length;

        if (!end)
                return false;
        length = strstr(b->p, "Content-Length: ");
        *ret_n = (size_t) (end - b->p) + 4 + (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
        return b->n >= *ret_n;
}

static void peer_answer(struct peer *p) {
        const char *answer = w.script[0];

        w.n_requests++;
        if (w.script[1])
                w.script++;
        iicp_buf_free(&w.last);
        iicp_buf_add_str(&w.last, iicp_buf_str(&p->in));
        p->in.n = 0;
        if (strcmp(answer, CLOSE) != 0 && *answer)
                assert_int_equal(send(p->fd, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
        if (strcmp(answer, CLOSE) == 0 || (w.close_after && *answer))
                peer_end(p);
}

static void on_peer(evutil_socket_t fd, short what, void *arg) {
        struct peer *p = arg;
        char part[4096];
        ssize_t n = recv(fd, part, sizeof part, 0);
        size_t whole;

        (void) what;
        if (n <= 0) {
                w.n_ended++;
                peer_end(p);
                return;
        }
        iicp_buf_add(&p->in, part, (size_t) n);
        if (request_whole(&p->in, &whole))
                peer_answer(p);
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
        struct peer *p = &w.peers[w.n_peers++];

        (void) what;
        (void) arg;
        assert_true(w.n_peers <= CONNECTIONS);
        p->fd = accept(fd, NULL, NULL);
        assert_true(p->fd >= 0);
        p->ev = event_new(loop_base(w.loop), p->fd, EV_READ | EV_PERSIST, on_peer, p);
        event_add(p->ev, NULL);
}

static void on_guard(void *arg) {
        (void) arg;
        fail_msg("nothing happens");
}

static int setup(void **state) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof a;

        (void) state;
        memset(&w, 0, sizeof w);
        w.loop = loop_new();
        w.pool = fetch_pool_new(w.loop, 4);
        assert_true(w.loop && w.pool);
        if (use_curl)
                fetch_pool_curl_only(w.pool);
        w.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(w.fd, (struct sockaddr *) &a, sizeof a), 0);
        assert_int_equal(listen(w.fd, 16), 0);
        assert_int_equal(getsockname(w.fd, (struct sockaddr *) &a, &n), 0);
        snprintf(w.url, sizeof w.url, "http://127.0.0.1:%u/v1/x?y=z", ntohs(a.sin_port));
        w.accept = event_new(loop_base(w.loop), w.fd, EV_READ | EV_PERSIST, on_accept, NULL);
        event_add(w.accept, NULL);
        timer_init(&w.guard, w.loop, on_guard, NULL);
        timer_set_ms(&w.guard, GUARD_MS);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        fetch_pool_free(w.pool);
        for (size_t i = 0; i < CONNECTIONS; i++)
                peer_end(&w.peers[i]);
        iicp_buf_free(&w.last);
        if (w.accept)
                event_free(w.accept);
        if (w.fd >= 0)
                close(w.fd);
        timer_clear(&w.guard);
        loop_free(w.loop);
        return 0;
}

/* ---- caller ---- */

static void on_done(void *arg, const struct fetch_answer *a) {
        assert_ptr_equal(arg, &w);
        w.n_done++;
        w.fetch = NULL;
        w.error = a->error;
        w.status = a->status;
        w.any_byte = a->any_byte;
        assert_true(a->body.n <= MAX_ANSWER);
        memcpy(w.body, a->body.p ? a->body.p : "", a->body.n);
        w.body[a->body.n] = 0;
        snprintf(w.content_type, sizeof w.content_type, "%.*s", (int) a->content_type.n,
                 a->content_type.p ? a->content_type.p : "");
}

static bool on_piece(void *arg, struct iicp_str piece) {
        (void) arg;
        (void) piece;
        w.n_pieces++;
        if (w.cancel_on_piece)
                fetch_cancel(TAKE_PTR(w.fetch));
        return !w.stop_on_piece;
}

static void turn(void) {
        event_base_loop(loop_base(w.loop), EVLOOP_ONCE);
}

static void start(struct fetch_request r) {
        unsigned before = w.n_done;

        if (!r.method)
                r.method = "POST";
        if (!r.url)
                r.url = w.url;
        if (!r.timeout_ms)
                r.timeout_ms = GUARD_MS;
        r.max_answer = MAX_ANSWER;
        w.fetch = fetch_start(w.pool, &r, on_done, &w);
        assert_non_null(w.fetch);
        assert_int_equal(w.n_done, before);
}

static void call(struct fetch_request r) {
        unsigned before = w.n_done;

        start(r);
        while (w.n_done == before)
                turn();
        assert_int_equal(w.n_done, before + 1);
}

static void expect_ok(const char *body) {
        assert_int_equal(w.error, FETCH_OK);
        assert_int_equal(w.status, 200);
        assert_string_equal(w.body, body);
}

#define ANSWERS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HELLO OK "Content-Type: text/x\r\nContent-Length: 5\r\n\r\nhello"

/* ---- tests ---- */

static void a_connection_is_kept(void **state) {
        const char *const headers[] = {"X-Of-Ours: 1", NULL};

        (void) state;
        w.script = ANSWERS(HELLO);
        for (int i = 0; i < 3; i++) {
                call((struct fetch_request){.headers = headers, .body = IICP_STR("{\"a\":1}")});
                expect_ok("hello");
                assert_string_equal(w.content_type, "text/x");
        }
        assert_int_equal(w.n_peers, 1);
        assert_int_equal(w.n_requests, 3);
        assert_ptr_equal(strstr(w.last.p, "POST /v1/x?y=z HTTP/1.1\r\nHost: 127.0.0.1:"), w.last.p);
        assert_non_null(strstr(w.last.p, "\r\nX-Of-Ours: 1\r\n"));
        assert_non_null(strstr(w.last.p, "\r\nContent-Length: 7\r\n"));
        assert_non_null(strstr(w.last.p, "\r\n\r\n{\"a\":1}"));
        assert_null(strstr(w.last.p, "Expect"));
        call((struct fetch_request){.method = "GET"});
        expect_ok("hello");
        assert_ptr_equal(strstr(w.last.p, "GET /v1/x?y=z HTTP/1.1\r\n"), w.last.p);
        assert_null(strstr(w.last.p, "Content-Length"));
        call((struct fetch_request){.method = "DELETE"});
        assert_ptr_equal(strstr(w.last.p, "DELETE /"), w.last.p);
        assert_int_equal(w.n_peers, 1);
}

static void other_framings_are_read(void **state) {
        (void) state;
        w.script = ANSWERS(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", HELLO);
        call((struct fetch_request){.method = "GET"});
        expect_ok("abc");
        call((struct fetch_request){.method = "GET"});
        expect_ok("hello");
        assert_int_equal(w.n_peers, 1);
        w.script = ANSWERS(OK "\r\nto the end");
        w.close_after = true;
        call((struct fetch_request){.method = "GET"});
        expect_ok("to the end");
}

static void connections_of_errors_are_not_used_again(void **state) {
        (void) state;
        w.script = ANSWERS("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", HELLO);
        call((struct fetch_request){.method = "GET"});
        assert_int_equal(w.error, FETCH_OK);
        assert_int_equal(w.status, 500);
        assert_string_equal(w.body, "no");
        call((struct fetch_request){.method = "GET"});
        expect_ok("hello");
        assert_int_equal(w.n_peers, 2);
}

static void redirects_are_not_followed(void **state) {
        (void) state;
        w.script = ANSWERS("HTTP/1.1 302 There\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n");
        call((struct fetch_request){.method = "GET"});
        assert_int_equal(w.error, FETCH_OK);
        assert_int_equal(w.status, 302);
        assert_int_equal(w.n_requests, 1);
}

static void a_dead_kept_connection_is_replaced_once(void **state) {
        (void) state;
        w.script = ANSWERS(HELLO, CLOSE, HELLO);
        call((struct fetch_request){.method = "GET"});
        call((struct fetch_request){.body = IICP_STR("x")});
        expect_ok("hello");
        assert_int_equal(w.n_peers, 2);
        assert_int_equal(w.n_requests, 3);
        w.script = ANSWERS(CLOSE);
        call((struct fetch_request){.body = IICP_STR("x")});
        assert_int_equal(w.error, FETCH_RESET);
        assert_false(w.any_byte);
}

static void a_connection_closed_while_idle_is_left(void **state) {
        (void) state;
        w.script = ANSWERS(HELLO);
        call((struct fetch_request){.method = "GET"});
        peer_end(&w.peers[0]);
        call((struct fetch_request){.method = "GET"});
        expect_ok("hello");
        assert_int_equal(w.n_peers, 2);
}

static void a_new_connection_is_not_tried_twice(void **state) {
        (void) state;
        w.script = ANSWERS(CLOSE);
        call((struct fetch_request){.body = IICP_STR("x")});
        assert_int_equal(w.error, FETCH_RESET);
        assert_int_equal(w.status, 0);
        if (!use_curl) /* which counts otherwise */
                assert_int_equal(w.n_requests, 1);
}

static void an_answer_cut_short_is_a_reset(void **state) {
        (void) state;
        w.script = ANSWERS(OK "Content-Length: 9\r\n\r\nhal");
        w.close_after = true;
        call((struct fetch_request){.method = "GET"});
        assert_int_equal(w.error, FETCH_RESET);
        assert_int_equal(w.status, 200);
        assert_true(w.any_byte);
}

static void nobody_there(void **state) {
        (void) state;
        event_free(TAKE_PTR(w.accept));
        close(w.fd);
        w.fd = -1;
        call((struct fetch_request){.method = "GET", .connect_timeout_ms = 2000});
        assert_int_equal(w.error, FETCH_UNREACHABLE);
}

static void time_is_over(void **state) {
        (void) state;
        w.script = ANSWERS(HANG);
        call((struct fetch_request){.method = "GET", .timeout_ms = 60});
        assert_int_equal(w.error, FETCH_TIMEOUT);
        while (w.n_ended == 0)
                turn();
        /* In the middle of an answer too. */
        w.script = ANSWERS(OK "Content-Length: 9\r\n\r\nhal");
        call((struct fetch_request){.method = "GET", .timeout_ms = 60});
        assert_int_equal(w.error, FETCH_TIMEOUT);
        assert_int_equal(w.status, 200);
}

static void too_much_is_not_read(void **state) {
        char text[MAX_ANSWER + 100];

        (void) state;
        snprintf(text, sizeof text, OK "Content-Length: %d\r\n\r\n%0*d", MAX_ANSWER + 1, MAX_ANSWER + 1, 0);
        w.script = ANSWERS(text);
        call((struct fetch_request){.method = "GET"});
        assert_int_equal(w.error, FETCH_TOO_LARGE);
        assert_int_equal(w.status, 200);
        while (w.n_ended == 0)
                turn();
}

static void what_is_not_http_is_told(void **state) {
        (void) state;
        w.script = ANSWERS("SSH-2.0-x\r\nmore\r\n\r\n");
        w.close_after = true;
        call((struct fetch_request){.method = "GET"});
        assert_int_equal(w.error, FETCH_PROTOCOL);
}

static void cancelling_closes_the_connection(void **state) {
        (void) state;
        w.script = ANSWERS(HANG);
        start((struct fetch_request){.body = IICP_STR("x")});
        while (w.n_requests == 0)
                turn();
        fetch_cancel(TAKE_PTR(w.fetch));
        while (w.n_ended == 0)
                turn();
        assert_int_equal(w.n_done, 0);
}

static void streams_come_in_pieces(void **state) {
        (void) state;
        w.script = ANSWERS(OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
        call((struct fetch_request){.on_data = on_piece});
        expect_ok("");
        assert_true(w.n_pieces >= 1);
        w.stop_on_piece = true;
        w.n_pieces = 0;
        call((struct fetch_request){.on_data = on_piece});
        assert_int_equal(w.error, FETCH_PROTOCOL);
        assert_int_equal(w.n_pieces, 1);
        while (w.n_ended == 0)
                turn();
        w.stop_on_piece = false;
        w.cancel_on_piece = true;
        w.n_pieces = 0;
        w.n_done = 0;
        w.n_ended = 0;
        start((struct fetch_request){.on_data = on_piece});
        while (w.n_ended == 0)
                turn();
        assert_int_equal(w.n_pieces, 1);
        assert_int_equal(w.n_done, 0);
}

static void large_bodies_are_sent_whole(void **state) {
        size_t n = 3u << 20;
        char *body = malloc(n);

        (void) state;
        assert_non_null(body);
        memset(body, 'x', n);
        w.script = ANSWERS(HELLO);
        for (int i = 0; i < 2; i++) {
                call((struct fetch_request){.body = {body, n}});
                expect_ok("hello");
                assert_int_equal(w.last.n, (size_t) (strstr(w.last.p, "\r\n\r\n") - w.last.p) + 4 + n);
        }
        free(body);
}

static void the_pool_ends_with_calls_running(void **state) {
        (void) state;
        w.script = ANSWERS(HELLO, HANG);
        call((struct fetch_request){.method = "GET"});
        start((struct fetch_request){.method = "GET"});
        start((struct fetch_request){.method = "GET"});
        while (w.n_requests < 3)
                turn();
        w.pool = fetch_pool_free(w.pool);
        assert_int_equal(w.n_done, 1);
}

static bool takes(const char *url, const char *proxy) {
        struct plain_target t;

        return fetch_plain_takes(&(struct fetch_request){.url = url, .proxy = proxy}, &t);
}

static void the_engine_is_chosen_by_the_url(void **state) {
        static const char *const others[] = {
                "https://127.0.0.1/", "http://host.example/", "http://u:p@127.0.0.1/", "http://127.0.0.1/#a",
                "http://127.0.0.1/a b", "http://127.0.0.1/../a", "http://127.1/", "http://127.0.0.1:0/",
                "http://127.0.0.1:65536/", "http://127.0.0.1:/", "http://[::1/", "http://::1/", "http:///",
                "http://[::1]x/", "http://[]/", "http://127.0.0.1?a", "ftp://127.0.0.1/", "http://127.0.0.1/\r\nA: b",
        };
        struct plain_target t;

        (void) state;
        assert_true(takes("http://127.0.0.1:8080/v1/x", NULL));
        assert_true(takes("http://localhost", NULL));
        assert_true(takes("http://[::1]:1/", NULL));
        assert_false(takes("http://127.0.0.1:8080/v1/x", "http://proxy.example:1"));
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (takes(others[i], NULL))
                        fail_msg("%s", others[i]);
        assert_true(fetch_plain_takes(&(struct fetch_request){.url = "http://10.0.0.1:80/a?b"}, &t));
        assert_true(iicp_str_is(t.authority, "10.0.0.1") && iicp_str_is(t.path, "/a?b"));
}

static void not_called(void *arg, const struct fetch_answer *a) {
        (void) arg;
        (void) a;
        fail();
}

/* Addresses that strangers name. [05 sections 13.2, 13.3] */
static void IICPD_05_34_a_strangers_address_must_be_public(void **state) {
        static const char *const urls[] = {"http://127.0.0.1:9/", "http://localhost:9/", "http://10.0.0.1/", "https://192.168.1.1/",
                                           "http://[::1]/", "http://[fe80::1]/", "http://nas/", "http://169.254.169.254/"};

        (void) state;
        for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
                struct fetch_request r = {.method = "GET", .url = urls[i], .timeout_ms = 1000, .max_answer = 10, .public_only = true};

                assert_null(fetch_start(w.pool, &r, not_called, NULL));
        }
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(a_connection_is_kept),
                T(IICPD_05_34_a_strangers_address_must_be_public),
                T(other_framings_are_read),
                T(connections_of_errors_are_not_used_again),
                T(redirects_are_not_followed),
                T(a_dead_kept_connection_is_replaced_once),
                T(a_connection_closed_while_idle_is_left),
                T(a_new_connection_is_not_tried_twice),
                T(an_answer_cut_short_is_a_reset),
                T(nobody_there),
                T(time_is_over),
                T(too_much_is_not_read),
                T(what_is_not_http_is_told),
                T(cancelling_closes_the_connection),
                T(streams_come_in_pieces),
                T(large_bodies_are_sent_whole),
                T(the_pool_ends_with_calls_running),
        };
        const struct CMUnitTest common[] = {cmocka_unit_test(the_engine_is_chosen_by_the_url)};
        int failed = cmocka_run_group_tests_name("plain", tests, NULL, NULL);

        use_curl = true;
        failed += cmocka_run_group_tests_name("curl", tests, NULL, NULL);
        return failed + cmocka_run_group_tests_name("choice", common, NULL, NULL);
}
