/* SPDX-License-Identifier: Apache-2.0 */
#include "stand.h"

#include "fetch_internal.h"
#include "util.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define GUARD_MS 20000
#define MODELS "{\"data\":[{\"id\":\"m\"}]}"

struct stand_peer {
        struct event *ev;
        struct iicp_buf in;
        int fd;
        bool gone;
};

static struct world {
        struct stand stand;
        int fd;
        struct event *accept;
        struct timer guard;
        struct stand_peer peers[STAND_PEERS];
        size_t n_peers;
        struct iicp_trace trace;
        struct iicp_payload payload;
        char *payload_text;
} w;
struct stand *stand = &w.stand;

/* ---- server ---- */

static void peer_end(struct stand_peer *p) {
        if (!p->ev)
                return;
        event_free(TAKE_PTR(p->ev));
        close(p->fd);
        iicp_buf_free(&p->in);
        p->gone = true;
}

static void peer_send(struct stand_peer *p, const char *text, size_t n) {
        assert_non_null(p->ev);
        while (n) {
                ssize_t k = send(p->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (k < 0) {
                        stand_turn(); /* the other side has to read first */
                        continue;
                }
                text += k;
                n -= (size_t) k;
        }
}

static void peer_probe(struct stand_peer *p) {
        const char *models = stand->models ? stand->models : MODELS;
        bool list = strncmp(p->in.p, "GET /v1/models ", 15) == 0 && *models;
        bool ready = strncmp(p->in.p, "GET /readyz ", 12) == 0 && !stand->not_ready;
        char text[1024];

        stand->n_probes++;
        snprintf(stand->probe_request, sizeof stand->probe_request, "%s", p->in.p);
        if (stand->silent) {
                p->in.n = 0;
                return;
        }
        snprintf(text, sizeof text, "HTTP/1.1 %s\r\n%s%s%sContent-Length: %zu\r\n\r\n%s", list || ready ? "200 OK" : "404 No",
                 stand->server ? "Server: " : "", stand->server ? stand->server : "", stand->server ? "\r\n" : "",
                 list ? strlen(models) : 0, list ? models : "");
        peer_send(p, text, strlen(text));
        p->in.n = 0;
}

static bool request_whole(const struct iicp_buf *b) {
        const char *end = b->p ? strstr(b->p, "\r\n\r\n") : NULL, *length;

        if (!end)
                return false;
        length = strstr(b->p, "Content-Length: ");
        return b->n >= (size_t) (end - b->p) + 4 + (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
}

static void on_peer(evutil_socket_t fd, short what, void *arg) {
        struct stand_peer *p = arg;
        char part[4096];
        ssize_t n = recv(fd, part, sizeof part, 0);

        (void) what;
        if (n <= 0) {
                peer_end(p);
                return;
        }
        iicp_buf_add(&p->in, part, (size_t) n);
        if (!request_whole(&p->in))
                return;
        if (strncmp(p->in.p, "POST ", 5) != 0) {
                peer_probe(p);
                return;
        }
        stand->request.n = 0;
        iicp_buf_add_str(&stand->request, iicp_buf_str(&p->in));
        p->in.n = 0;
        stand->peer = p;
        stand->n_tasks++;
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
        struct stand_peer *p = &w.peers[w.n_peers++];

        (void) what;
        (void) arg;
        assert_true(w.n_peers <= STAND_PEERS);
        p->fd = accept(fd, NULL, NULL);
        assert_true(p->fd >= 0);
        p->ev = event_new(loop_base(stand->node.loop), p->fd, EV_READ | EV_PERSIST, on_peer, p);
        event_add(p->ev, NULL);
}

static void on_guard(void *arg) {
        (void) arg;
        fail_msg("nothing happens");
}

static void listen_somewhere(void) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof a;

        w.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(w.fd, (struct sockaddr *) &a, sizeof a), 0);
        assert_int_equal(listen(w.fd, 16), 0);
        assert_int_equal(getsockname(w.fd, (struct sockaddr *) &a, &n), 0);
        snprintf(stand->url, sizeof stand->url, "http://127.0.0.1:%u", ntohs(a.sin_port));
        w.accept = event_new(loop_base(stand->node.loop), w.fd, EV_READ | EV_PERSIST, on_accept, NULL);
        event_add(w.accept, NULL);
}

static void on_change(void *arg) {
        (void) arg;
        stand->n_changes++;
}

void stand_begin(int type, const char *key) {
        struct stand before = *stand;

        memset(&w, 0, sizeof w);
        stand->server = before.server;
        stand->models = before.models;
        stand->silent = before.silent;
        stand->not_ready = before.not_ready;
        stand->curl = before.curl;
        stand->node.loop = loop_new();
        stand->node.clock = &clock_system;
        stand->node.config = &stand->config;
        stand->node.metrics = metrics_new();
        stand->node.fetch = fetch_pool_new(stand->node.loop, 4);
        assert_true(stand->node.loop && stand->node.metrics && stand->node.fetch);
        if (stand->curl)
                fetch_pool_curl_only(stand->node.fetch);
        timer_init(&w.guard, stand->node.loop, on_guard, NULL);
        timer_set_ms(&w.guard, GUARD_MS);
        listen_somewhere();
        stand->config.max_concurrent = 4;
        stand->config.max_tokens = 8192;
        stand->config.n_backends = 1;
        stand->config.backends[0] = (struct config_backend){
                .name = (char *) "test", .type = type, .url = stand->url, .model = (char *) "m", .tls_min = 13,
                .api_key = {.value = (char *) key, .n = key ? strlen(key) : 0},
        };
        stand->node.backends = backends_new(&stand->node);
        assert_non_null(stand->node.backends);
        backends_on_change(stand->node.backends, on_change, NULL);
        stand->backend = stand->node.backends->v[0];
        while (stand->backend->probe)
                stand_turn();
}

void stand_probe(uint64_t timeout_ms) {
        probe_start(stand->backend, timeout_ms);
        while (stand->backend->probe)
                stand_turn();
}

void stand_end(void) {
        stand->node.backends = backends_free(stand->node.backends);
        fetch_pool_free(stand->node.fetch);
        for (size_t i = 0; i < STAND_PEERS; i++)
                peer_end(&w.peers[i]);
        event_free(w.accept);
        close(w.fd);
        timer_clear(&w.guard);
        metrics_free(stand->node.metrics);
        loop_free(stand->node.loop);
        iicp_buf_free(&stand->request);
        iicp_buf_free(&stand->texts);
        free(TAKE_PTR(w.payload_text));
        *stand = (struct stand){.curl = stand->curl};
}

/* ---- caller ---- */

static void on_text(void *arg, struct iicp_str text) {
        assert_ptr_equal(arg, stand);
        assert_true(stand->n_texts < STAND_TEXTS);
        assert_int_equal(stand->n_done, 0);
        stand->lengths[stand->n_texts++] = text.n;
        iicp_buf_add_str(&stand->texts, text);
        iicp_buf_puts(&stand->texts, "|");
        if (stand->cancel_on_text)
                backend_call_cancel(TAKE_PTR(stand->call));
}

static void on_done(void *arg, const struct backend_answer *a) {
        assert_ptr_equal(arg, stand);
        stand->call = NULL;
        stand->n_done++;
        stand->refusal = a->refusal;
        stand->retry_elsewhere = a->retry_elsewhere;
        stand->result[0] = 0;
        if (a->refusal.id == IICP_REFUSE_NONE)
                snprintf(stand->result, sizeof stand->result, "%.*s", (int) a->result.n, a->result.p);
}

void stand_start(enum iicp_intent_kind kind, const char *payload, bool streamed) {
        struct iicp_json object;
        struct iicp_refusal refusal;
        struct backend_task t = {
                .intent = iicp_intent_of(kind),
                .payload = &w.payload,
                .deadline_ms = clock_mono_ms(&clock_system) + GUARD_MS,
                .trace = &w.trace,
                .tracestate = IICP_STR("a=b"),
                .on_text = streamed ? on_text : NULL,
        };

        free(w.payload_text);
        w.payload_text = strdup(payload);
        assert_int_equal(iicp_json_scan(iicp_str(w.payload_text), NULL, NULL, &object), 0);
        assert_true(iicp_payload_check(t.intent, &object, 0, &w.payload, &refusal));
        t.max_tokens = w.payload.max_tokens;
        assert_int_equal(iicp_trace_parse(IICP_STR("00-0123456789abcdef0123456789abcdef-00000000000000aa-01"), &w.trace), 0);
        stand->n_texts = stand->n_done = 0;
        stand->texts.n = 0;
        stand->call = backend_call_start(stand->backend, &t, on_done, stand);
        assert_non_null(stand->call);
        assert_int_equal(stand->n_texts + stand->n_done, 0);
}

void stand_ask(enum iicp_intent_kind kind, const char *payload, bool streamed) {
        unsigned before = stand->n_tasks;

        stand_start(kind, payload, streamed);
        while (stand->n_tasks == before)
                stand_turn();
}

void stand_say(const char *text) {
        peer_send(stand->peer, text, strlen(text));
}

void stand_hang_up(void) {
        peer_end(stand->peer);
}

void stand_stream(const char *text) {
        stand_say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
        stand_say(text);
}

void stand_turn(void) {
        event_base_loop(loop_base(stand->node.loop), EVLOOP_ONCE);
}

void stand_until_done(void) {
        while (stand->n_done == 0)
                stand_turn();
        assert_int_equal(stand->n_done, 1);
}

bool stand_peer_gone(void) {
        return stand->peer->gone;
}

const char *stand_header(const char *name) {
        static char value[512];
        const char *p = stand->request.p, *end = strstr(p, "\r\n\r\n");
        size_t n = strlen(name);

        while ((p = strstr(p, "\r\n")) && p < end) {
                p += 2;
                if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
                        snprintf(value, sizeof value, "%.*s", (int) strcspn(p + n + 2, "\r"), p + n + 2);
                        return value;
                }
        }
        return NULL;
}
