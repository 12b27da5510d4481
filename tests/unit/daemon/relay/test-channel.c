/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "relay/port_internal.h"
#include "relay/tickets.h"
#include "stage.h"
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent.h>
#include <fcntl.h>
#include <iicp/codec.h>
#include <signal.h>
#include <stdio.h>

/* The native channel, spoken over a pair of sockets. */

#define RELAY (stage->node.relay)

static struct iicp_str text_of(json_object *o) {
        return iicp_str(json_object_get_string(o));
}

static int dial(void) {
        struct relay_conn *c = calloc(1, sizeof *c);
        struct sockaddr_in *in;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        c->port = RELAY->port;
        c->peer = calloc(1, sizeof *c->peer);
        in = (struct sockaddr_in *) c->peer;
        in->sin_family = AF_INET;
        inet_pton(AF_INET, "198.51.100.7", &in->sin_addr);
        LIST_INSERT_HEAD(&c->port->conns, c, link);
        c->port->n++;
        c->port->n_new++;
        relay_channel_open(c, bufferevent_socket_new(loop_base(NULL), pair[1], BEV_OPT_CLOSE_ON_FREE), NULL);
        return pair[0];
}

static void say(int fd, struct iicp_str bytes) {
        assert_int_equal(write(fd, bytes.p, bytes.n), bytes.n);
        stage_spin();
}

static void say_frame(int fd, uint8_t type, struct iicp_str payload) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};

        iicp_frame_put(&out, type, 0, payload);
        say(fd, iicp_buf_str(&out));
}

static void say_hex(int fd, struct iicp_str hex) {
        char bytes[2048];
        size_t n;

        assert_int_equal(iicp_hex_decode(hex, bytes, sizeof bytes, &n), 0);
        say(fd, (struct iicp_str){bytes, n});
}

/* Everything that came; closed: and nothing more will. */
static void hear(int fd, struct iicp_buf *out, bool *ret_closed) {
        char bytes[8192];
        ssize_t n;

        stage_spin();
        while ((n = read(fd, bytes, sizeof bytes)) > 0)
                iicp_buf_add(out, bytes, (size_t) n);
        if (ret_closed)
                *ret_closed = n == 0;
}

/* The next frame of what was heard, from *at on. */
static uint8_t next_frame(const struct iicp_buf *heard, size_t *at, struct iicp_str *ret) {
        struct iicp_frame_header h;
        size_t used;

        assert_int_equal(iicp_frame_decode((struct iicp_str){heard->p + *at, heard->n - *at}, &h, ret, &used), 0);
        *at += used;
        return h.type;
}

static void begin(int fd) {
        _cleanup_(iicp_buf_free) struct iicp_buf heard = {};
        struct iicp_msg_ack ack;
        struct iicp_str payload;
        size_t at = 0;

        say_frame(fd, IICP_FRAME_INIT, IICP_STR("\xa1\x01\x01"));
        hear(fd, &heard, NULL);
        assert_int_equal(next_frame(&heard, &at, &payload), IICP_FRAME_ACK);
        assert_int_equal(iicp_msg_ack_read(payload, 0, &ack), IICP_CLOSE_NONE);
        assert_true(ack.version == 1 && iicp_str_is(ack.node_id, "relay-node-1") && at == heard.n);
}

static void bind_frame(struct iicp_buf *out, json_object *bind) {
        struct iicp_relay_bind m = {.worker_id = vector_str(bind, "worker_id"), .intent = vector_str(bind, "intent")};
        struct iicp_str models[8];
        size_t n = 0;

        if (vector_find(bind, "bind_ticket"))
                m.ticket = vector_str(bind, "bind_ticket");
        vector_each(vector_get(bind, "models"), item)
                models[n++] = text_of(item);
        iicp_relay_bind_put(out, &m, models, n, NULL, 0);
}

/* ---- the relay before the bind, as a case describes it ---- */

static struct stage_link others[256];

static void apply_config(json_object *c) {
        json_object *key = vector_find(c, "ticket_public_key"), *limit = vector_find(c, "bind_rate_limit");
        json_object *now = vector_find(c, "now");
        size_t n;

        stage->config.relay_tickets = iicp_str_is(vector_str(c, "ticket_mode"), "hard") ? TICKETS_REQUIRED : TICKETS_SOFT;
        if (key)
                assert_int_equal(iicp_hex_decode(text_of(key), stage->directory_key[0], IICP_SIGN_KEY, &n), 0);
        stage->key_known = key != NULL;
        if (limit)
                stage->config.relay_bind_rate = (unsigned) json_object_get_int(limit);
        if (now)
                stage->wall_s = json_object_get_int64(now) - (int64_t) (stage->now_ms / 1000);
}

static void fill(unsigned n) {
        char id[24];

        for (unsigned i = 0; i < n; i++) {
                snprintf(id, sizeof id, "other-%u", i);
                assert_int_equal(stage_bind(id, &others[i]), RELAY_BOUND);
        }
}

static void count_binds(unsigned n) {
        struct stage_link none = {};
        int mode = stage->config.relay_tickets;

        stage->config.relay_tickets = TICKETS_REQUIRED; /* refused ones count, and leave nothing */
        for (unsigned i = 0; i < n; i++)
                stage_bind_from("nobody", NULL, "198.51.100.7", &none);
        stage->config.relay_tickets = mode;
}

static void use_up(struct iicp_str jti) {
        struct iicp_bind_ticket t = {.expires_at = INT64_MAX};

        memcpy(t.jti, jti.p, 32);
        assert_int_equal(relay_tickets_use(RELAY->tickets, &t), 0);
}

static void apply_state(json_object *s) {
        json_object *bound = vector_find(s, "bound"), *binds = vector_find(s, "binds_in_window");
        json_object *n = vector_find(s, "sessions"), *since = vector_find(s, "seconds_since_window_start");
        json_object *used = vector_find(s, "consumed_jti");
        static struct stage_link known;
        bool dead = false;

        if (bound) {
                json_object_object_foreach(bound, id, how) {
                        int mode = stage->config.relay_tickets;

                        stage->config.relay_tickets = TICKETS_OFF;
                        assert_int_equal(stage_bind(id, &known), RELAY_BOUND);
                        stage->config.relay_tickets = mode;
                        dead = iicp_str_is(text_of(how), "dead");
                }
        }
        if (dead)
                stage->now_ms += IICP_RELAY_ALIVE_MS;
        if (n)
                fill((unsigned) json_object_get_int(n) - (bound != NULL));
        if (binds)
                count_binds((unsigned) json_object_get_int(binds));
        if (since)
                stage->now_ms += 1000u * (unsigned) json_object_get_int(since);
        if (used)
                vector_each(used, jti)
                        use_up(text_of(jti));
}

static void one_admission(json_object *c) {
        _cleanup_(iicp_buf_free) struct iicp_buf bind = {}, heard = {}, hex = {};
        struct iicp_str wanted = vector_str(c, "native_reply_hex");
        bool closed;
        int fd;

        stage_setup(NULL);
        memset(others, 0, sizeof others);
        apply_config(vector_get(c, "config"));
        apply_state(vector_get(c, "state"));
        fd = dial();
        begin(fd);
        bind_frame(&bind, vector_get(c, "bind"));
        say_frame(fd, IICP_FRAME_RELAY_BIND, iicp_buf_str(&bind));
        hear(fd, &heard, &closed);
        iicp_hex(heard.p, heard.n, iicp_buf_reserve(&hex, 2 * heard.n + 1));
        if (strncmp(hex.p, wanted.p, wanted.n) != 0 || 2 * heard.n != wanted.n)
                fail_msg("%s: %s", vector_str(c, "id").p, hex.p);
        /* "a3 01 62 6f 6b": ok */
        assert_int_equal(closed, strstr(wanted.p, "a301626f6b") == NULL);
        close(fd);
        stage_spin();
        stage_teardown(NULL);
}

static void IICPD_03_53_DIR_RELAY_01_every_admission_of_the_vectors(void **state) {
        json_object *doc = vector_ours("relay/bind-admission.json");
        unsigned n = 0;

        (void) state;
        vector_each(vector_get(doc, "cases"), c) {
                one_admission(c);
                n++;
        }
        assert_int_equal(n, 17);
        json_object_put(doc);
}

/* ---- odd openings ---- */

static void expect_close(int fd, const char *reason) {
        _cleanup_(iicp_buf_free) struct iicp_buf heard = {};
        struct iicp_msg_close m;
        struct iicp_str payload;
        bool closed;
        size_t at = 0;

        hear(fd, &heard, &closed);
        assert_true(closed);
        assert_int_equal(next_frame(&heard, &at, &payload), IICP_FRAME_CLOSE);
        assert_int_equal(iicp_msg_close_read(payload, 0, &m), IICP_CLOSE_NONE);
        if (!iicp_str_is(m.reason, reason))
                fail_msg("%.*s instead of %s", (int) m.reason.n, m.reason.p, reason);
        close(fd);
        stage_spin();
}

static void IICPD_03_40_a_wrong_opening_is_closed(void **state) {
        int fd;

        (void) state;
        say_frame(fd = dial(), IICP_FRAME_RELAY_BIND, IICP_STR("\xa1\x01\x61w"));
        expect_close(fd, "protocol_error");
        begin(fd = dial());
        say_frame(fd, IICP_FRAME_PING, IICP_STR(""));
        expect_close(fd, "protocol_error");
        begin(fd = dial());
        say_frame(fd, IICP_FRAME_RELAY_BIND, IICP_STR("\xa1"));
        expect_close(fd, "cbor_decode_error");
        begin(fd = dial());
        say_frame(fd, IICP_FRAME_RELAY_BIND, IICP_STR("\xa1\x01\x61/"));
        expect_close(fd, "invalid_payload");
        /* 10 s for each step */
        fd = dial();
        stage_run(IICP_RELAY_WAIT_MS);
        expect_close(fd, "init_timeout");
        begin(fd = dial());
        stage_run(IICP_RELAY_WAIT_MS - 1);
        assert_int_equal(RELAY->port->n_new, 1);
        stage_run(1);
        expect_close(fd, "init_timeout");
        stage_run(NATIVE_GRACEFUL_MS);
        assert_true(RELAY->port->n == 0 && RELAY->port->n_new == 0);
}

/* What a shipped relay answered, but for the echo of a PING, which ours mirrors. */
static void IICPD_03_40_recorded_openings(void **state) {
        json_object *doc = vector_ours("relay/sdk-exchanges-relay-port.json");
        unsigned n = 0;

        (void) state;
        vector_each(vector_get(doc, "bind_outcomes"), e) {
                struct iicp_str name = vector_str(e, "name"), reply;
                _cleanup_(iicp_buf_free) struct iicp_buf heard = {}, hex = {};
                size_t at = 0;
                struct iicp_str payload;
                int fd;

                bool bytes = iicp_str_is(name, "bind_bytes_wid"); /* theirs prints b'w11' then */

                if (!iicp_str_is(name, "bind_ok_nomodels") && !bytes && !iicp_str_is(name, "ticket_no_key"))
                        continue;
                reply = vector_str(e, "relay_reply_hex");
                fd = dial();
                vector_each(vector_get(e, "sent_hex"), sent)
                        say_hex(fd, text_of(sent));
                hear(fd, &heard, NULL);
                next_frame(&heard, &at, &payload);
                iicp_hex(heard.p + at, heard.n - at, iicp_buf_reserve(&hex, 2 * heard.n + 1));
                /* ours after its longer ACK, theirs after a1 01 01 */
                assert_string_equal(hex.p, bytes ? "49494350010c00000000000ea301626f6b02637731310419250c" : reply.p + 30);
                close(fd);
                stage_spin();
                n++;
        }
        assert_int_equal(n, 3);
        json_object_put(doc);
}

/* ---- bound ---- */

static int bound(const char *worker_id, bool streams) {
        _cleanup_(iicp_buf_free) struct iicp_buf bind = {}, heard = {};
        struct iicp_str profile = IICP_STR(IICP_PROFILE_LIFECYCLE);
        int fd = dial();

        begin(fd);
        iicp_relay_bind_put(&bind, &(struct iicp_relay_bind){.worker_id = iicp_str(worker_id)}, NULL, 0, &profile, streams);
        say_frame(fd, IICP_FRAME_RELAY_BIND, iicp_buf_str(&bind));
        hear(fd, &heard, NULL);
        assert_non_null(relay_find(RELAY, iicp_str(worker_id)));
        return fd;
}

static void forward(const char *worker_id, const char *task, struct stage_answer *a) {
        struct stage_link l = {.session = relay_find(RELAY, iicp_str(worker_id))};

        assert_int_equal(stage_forward(&l, task, a), 0);
}

/* The CALL that has come; its slices are in heard. */
static struct iicp_relay_call called(int fd, struct iicp_buf *heard) {
        struct iicp_relay_call c;
        struct iicp_str payload;
        size_t at = 0;

        hear(fd, heard, NULL);
        assert_int_equal(next_frame(heard, &at, &payload), IICP_FRAME_CALL);
        assert_int_equal(iicp_relay_call_read(payload, IICP_FRAME_STRICT, &c), IICP_CLOSE_NONE);
        return c;
}

static void respond(int fd, struct iicp_str call_id, const char *result) {
        _cleanup_(iicp_buf_free) struct iicp_buf out = {};

        iicp_relay_response_put(&out, call_id, iicp_str(result));
        say_frame(fd, IICP_FRAME_RESPONSE, iicp_buf_str(&out));
}

static void CX_03_bytes_go_as_they_came(void **state) {
        static const char sealed[] = "{ \"iicp_conf\":{\"encrypted_body\":\"A\\/+=\",\"n\":1.50e+02},\"task_id\" : \"t\" }";
        _cleanup_(iicp_buf_free) struct iicp_buf heard = {};
        struct iicp_relay_call c;
        struct stage_answer a;
        int fd = bound("w", false);

        (void) state;
        forward("w", sealed, &a);
        c = called(fd, &heard);
        assert_true(iicp_str_is(c.task, sealed) && !c.session_id.p && !c.task_id.p && !c.token.p);
        respond(fd, c.call_id, "{\"status\":\"encrypted\",\"iicp_conf_resp\":{\"b\":\"1\\u0031\"}}");
        assert_int_equal(a.done, 1);
        assert_string_equal(a.body, "{\"task_id\":\"t\",\"status\":\"encrypted\",\"iicp_conf_resp\":{\"b\":\"1\\u0031\"},\"generated_by_ai\":true}");
        close(fd);
}

static void IICPD_03_42_answers_find_their_call_in_any_order(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf h1 = {}, h2 = {}, h3 = {};
        struct iicp_relay_call c1, c2, c3;
        struct stage_answer a1, a2, a3;
        int fd = bound("w", false), other = bound("x", false);

        (void) state;
        forward("w", "{\"task_id\":\"1\"}", &a1);
        c1 = called(fd, &h1);
        forward("w", "{\"task_id\":\"2\"}", &a2);
        c2 = called(fd, &h2);
        forward("x", "{\"task_id\":\"3\"}", &a3);
        c3 = called(other, &h3);
        /* a worker cannot answer for another one, nor twice, nor what was never asked */
        respond(other, c1.call_id, "{\"result\":\"stolen\"}");
        respond(fd, IICP_STR("00000000-0000-4000-8000-000000000000"), "{}");
        assert_true(a1.done == 0 && a2.done == 0);
        respond(fd, c2.call_id, "{\"result\":2}");
        respond(fd, c2.call_id, "{\"result\":22}");
        assert_true(a1.done == 0 && a2.done == 1 && strstr(a2.body, "\"task_id\":\"2\"") && strstr(a2.body, "\"result\":2,"));
        respond(fd, c1.call_id, "[]");
        assert_true(a1.done == 1 && a1.outcome == RELAY_BAD_RESULT);
        /* key 5 that is no byte string */
        say_frame(other, IICP_FRAME_PONG, IICP_STR(""));
        {
                _cleanup_(iicp_buf_free) struct iicp_buf out = {};

                iicp_cbor_put_map(&out, 2);
                iicp_cbor_put_uint(&out, 5);
                iicp_cbor_put_uint(&out, 1);
                iicp_cbor_put_uint(&out, 15);
                iicp_cbor_put_tstr(&out, c3.call_id);
                say_frame(other, IICP_FRAME_RESPONSE, iicp_buf_str(&out));
        }
        assert_true(a3.done == 1 && a3.outcome == RELAY_BAD_RESULT);
        close(fd);
        close(other);
}

static void IICPD_03_42_the_end_of_a_line_fails_all_at_once(void **state) {
        struct stage_answer a, b;
        int fd = bound("w", false);

        (void) state;
        forward("w", "{}", &a);
        forward("w", "{}", &b);
        close(fd);
        stage_spin();
        assert_true(a.done == 1 && b.done == 1 && a.outcome == RELAY_LOST && b.outcome == RELAY_LOST);
        assert_null(relay_find(RELAY, IICP_STR("w")));
        assert_int_equal(RELAY->port->n, 0);
        /* the worker may come back at once */
        close(bound("w", false));
}

static void IICPD_03_53_an_old_line_does_not_remove_its_successor(void **state) {
        struct relay_session *mine;
        int old = bound("w", false), fresh;

        (void) state;
        stage->now_ms += IICP_RELAY_ALIVE_MS;
        fresh = bound("w", false);
        mine = relay_find(RELAY, IICP_STR("w"));
        close(old);
        stage_spin();
        stage_run(NATIVE_GRACEFUL_MS);
        assert_ptr_equal(relay_find(RELAY, IICP_STR("w")), mine);
        assert_true(relay_session_alive(mine));
        close(fresh);
}

/* Workers of today never answer a PING of the relay: it sends none, and any frame of theirs counts. */
static void IICPD_03_42_any_frame_keeps_a_session(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf heard = {};
        struct iicp_str payload;
        size_t at = 0;
        int fd = bound("w", false);

        (void) state;
        for (unsigned i = 0; i < 4; i++) {
                stage_run(80000);
                assert_true(relay_session_alive(relay_find(RELAY, IICP_STR("w"))));
                say_frame(fd, IICP_FRAME_PING, IICP_STR("\xa1\x01\x41z"));
        }
        hear(fd, &heard, NULL);
        for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(next_frame(&heard, &at, &payload), IICP_FRAME_PONG);
                assert_true(iicp_str_is(payload, "\xa1\x01\x41z"));
        }
        assert_int_equal(at, heard.n);
        close(fd);
}

static void IICPD_03_52_custom_frames_end_a_session(void **state) {
        struct stage_answer a;
        int fd = bound("w", false);

        (void) state;
        forward("w", "{}", &a);
        {
                _cleanup_(iicp_buf_free) struct iicp_buf heard = {};

                hear(fd, &heard, NULL);
        }
        say_frame(fd, 0xf0, IICP_STR("x"));
        assert_true(a.done == 1 && a.outcome == RELAY_LOST);
        expect_close(fd, "unsupported_extension");
}

static void IICPD_03_40_only_the_told_directions(void **state) {
        static const uint8_t wrong[] = {IICP_FRAME_INIT, IICP_FRAME_ACK, IICP_FRAME_CALL, IICP_FRAME_RELAY_BIND, IICP_FRAME_RELAY_ACK};
        int fd;

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                fd = bound("w", false);
                say_frame(fd, wrong[i], IICP_STR("\xa1\x01\x01"));
                expect_close(fd, "protocol_error");
        }
        fd = bound("w", false);
        say_frame(fd, IICP_FRAME_OBSERVE, IICP_STR("\xa0"));
        say_frame(fd, IICP_FRAME_FEEDBACK, IICP_STR("\xa0"));
        assert_non_null(relay_find(RELAY, IICP_STR("w")));
        say_frame(fd, IICP_FRAME_CLOSE, IICP_STR(""));
        assert_null(relay_find(RELAY, IICP_STR("w")));
        expect_close(fd, "graceful");
}

/* A worker that does not read: its calls wait, others do not. */
static void IICPD_03_50_a_slow_worker_holds_up_itself_only(void **state) {
        static char task[900000];
        struct stage_answer a[8], b;
        int slow = bound("slow", false), fd = bound("w", false);
        struct relay_session *s = relay_find(RELAY, IICP_STR("slow"));
        _cleanup_(iicp_buf_free) struct iicp_buf heard = {};
        char bytes[65536];
        size_t n = 0;
        ssize_t r;

        (void) state;
        memset(task, ' ', sizeof task - 1);
        memcpy(task, "{\"p\":1}", 7);
        for (unsigned i = 0; i < 8; i++)
                forward("slow", task, &a[i]);
        stage_spin();
        assert_true(s->unsent >= 6);
        forward("w", "{}", &b);
        called(fd, &heard);
        for (unsigned i = 0; i < 2000 && n < 8 * sizeof task; i++) {
                stage_spin();
                while ((r = read(slow, bytes, sizeof bytes)) > 0)
                        n += (size_t) r;
        }
        assert_int_equal(s->unsent, 0);
        assert_true(n > 8 * (sizeof task - 1));
        close(slow);
        close(fd);
        stage_spin();
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(a[i].outcome, RELAY_LOST);
        assert_int_equal(RELAY->counts.held, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, stage_setup, stage_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_03_53_DIR_RELAY_01_every_admission_of_the_vectors),
                TEST(IICPD_03_40_a_wrong_opening_is_closed),
                TEST(IICPD_03_40_recorded_openings),
                TEST(CX_03_bytes_go_as_they_came),
                TEST(IICPD_03_42_answers_find_their_call_in_any_order),
                TEST(IICPD_03_42_the_end_of_a_line_fails_all_at_once),
                TEST(IICPD_03_53_an_old_line_does_not_remove_its_successor),
                TEST(IICPD_03_42_any_frame_keeps_a_session),
                TEST(IICPD_03_52_custom_frames_end_a_session),
                TEST(IICPD_03_40_only_the_told_directions),
                TEST(IICPD_03_50_a_slow_worker_holds_up_itself_only),
        };

        signal(SIGPIPE, SIG_IGN); /* as the daemon does */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
