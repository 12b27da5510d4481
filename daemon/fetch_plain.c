/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch_internal.h"
#include "fetch_reader.h"

#include "build-config.h"
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <strings.h>
#include <sys/uio.h>
#include <time.h>

#define READ_BUFFER 16384  /* bytes, one for all connections */
#define HEAD_FIRST 512     /* room that is made for a request's head at once */
#define AUTHORITY_MAX 64
#define IDLE_MS 60000      /* a connection silent for longer is not trusted any more */
#define CLOCK_SLACK_MS 20  /* the loop's time is that of its turn */

struct plain;

struct plain_conn {
        struct plain_conn *next, **link; /* idle ones, the youngest first */
        struct plain_pool *pool;
        struct plain *call;              /* NULL: idle */
        int fd;
        bool connected, used;            /* used: it had a call before this one */
        uint64_t idle_ms;                /* idle since */
        struct event readable, writable;
        struct sockaddr_in6 addr;        /* or sockaddr_in */
};

struct plain {
        struct fetch base;
        struct plain *next, **link;
        struct plain_pool *pool;
        struct plain_conn *conn;
        fetch_done_fn done;
        void *arg;
        bool (*on_data)(void *arg, struct iicp_str piece);
        struct iicp_buf head;
        struct iicp_str body;
        size_t sent;                     /* of head and body */
        struct sockaddr_in6 addr[FETCH_PLAIN_ADDRESSES];
        unsigned n_addr, at_addr;
        struct reader reader;
        struct timer timer;
        uint64_t start_ms, connect_ms, timeout_ms, connect_timeout_ms;
        enum fetch_error failed;         /* told by the timer, which is not inside of fetch_start */
        bool busy, cancelled, retried, once;
};

struct plain_pool {
        struct loop *loop;
        struct plain *running;
        struct plain_conn *idle;
        size_t n_idle, max_idle;
        char in[READ_BUFFER];
};

static uint64_t now_ms(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000u + (uint64_t) t.tv_nsec / 1000000u;
}

/* ---- where to ---- */

static bool ipv4(const char *host, uint16_t port, struct sockaddr_in6 *ret) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

        memset(ret, 0, sizeof *ret);
        if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
                return false;
        memcpy(ret, &a, sizeof a);
        return true;
}

static bool ipv6(const char *host, uint16_t port, struct sockaddr_in6 *ret) {
        *ret = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        return inet_pton(AF_INET6, host, &ret->sin6_addr) == 1;
}

static socklen_t addr_len(const struct sockaddr_in6 *a) {
        return a->sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof *a;
}

static bool parse_port(const char *p, uint16_t *ret) {
        unsigned n = 0;

        if (!*p || strlen(p) > 5)
                return false;
        for (; *p; p++) {
                if (*p < '0' || *p > '9')
                        return false;
                n = n * 10 + (unsigned) (*p - '0');
        }
        *ret = (uint16_t) n;
        return n > 0 && n <= 65535;
}

static bool parse_authority(struct iicp_str s, struct plain_target *ret) {
        char text[AUTHORITY_MAX], *host = text, *port;
        uint16_t number = 80;

        if (s.n == 0 || s.n >= sizeof text)
                return false;
        memcpy(text, s.p, s.n);
        text[s.n] = 0;
        ret->authority = s;
        port = text[0] == '[' ? strchr(text, ']') : text;
        if (!port)
                return false;
        port = strchr(port, ':');
        if (port) {
                if (!parse_port(port + 1, &number))
                        return false;
                *port = 0;
                if (number == 80)
                        ret->authority.n = (size_t) (port - text);
        }
        ret->n = 1;
        if (*host == '[') {
                size_t n = strlen(++host);

                if (host[n - 1] != ']')
                        return false;
                host[n - 1] = 0;
                return ipv6(host, number, &ret->addr[0]);
        }
        if (strcasecmp(host, "localhost") == 0) {
                ret->n = 2;
                return ipv4("127.0.0.1", number, &ret->addr[0]) && ipv6("::1", number, &ret->addr[1]);
        }
        return ipv4(host, number, &ret->addr[0]);
}

static bool plain_text(const char *p) {
        for (; *p; p++)
                if (*p <= ' ' || *p >= 0x7f || *p == '#' || *p == '\\')
                        return false;
        return true;
}

static bool one_line(const char *p) {
        return !strpbrk(p, "\r\n");
}

bool fetch_plain_takes(const struct fetch_request *r, struct plain_target *ret) {
        const char *p = r->url, *end;

        if (r->proxy || strncasecmp(p, "http://", 7) != 0 || !plain_text(p) || strstr(p, "/."))
                return false;
        for (size_t i = 0; r->headers && r->headers[i]; i++)
                if (!one_line(r->headers[i]))
                        return false;
        p += 7;
        end = p + strcspn(p, "/?");
        if (*end == '?')
                return false;
        ret->path = iicp_str(end);
        return parse_authority((struct iicp_str){p, (size_t) (end - p)}, ret);
}

/* ---- connections ---- */

static void conn_leave(struct plain_conn *c) {
        if (!c->link)
                return;
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        c->link = NULL;
        c->pool->n_idle--;
}

static void conn_close(struct plain_conn *c) {
        conn_leave(c);
        event_del(&c->readable);
        event_del(&c->writable);
        close(c->fd);
        free(c);
}

static void conn_rest(struct plain_conn *c) {
        struct plain_pool *p = c->pool;

        c->call = NULL;
        c->used = true;
        if (p->n_idle >= p->max_idle) {
                conn_close(c);
                return;
        }
        c->idle_ms = now_ms();
        c->next = p->idle;
        c->link = &p->idle;
        if (c->next)
                c->next->link = &c->next;
        p->idle = c;
        p->n_idle++;
}

/* The youngest one; what is too old goes. */
static struct plain_conn *conn_kept(struct plain_pool *p, const struct sockaddr_in6 *addr) {
        uint64_t now = now_ms();

        for (struct plain_conn *c = p->idle, *next; c; c = next) {
                next = c->next;
                if (now - c->idle_ms > IDLE_MS)
                        conn_close(c);
                else if (memcmp(&c->addr, addr, sizeof *addr) == 0) {
                        conn_leave(c);
                        return c;
                }
        }
        return NULL;
}

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

/* NULL: not even begun. */
static struct plain_conn *conn_new(struct plain_pool *p, const struct sockaddr_in6 *addr) {
        struct plain_conn *c = calloc(1, sizeof *c);
        int one = 1;

        if (!c)
                return NULL;
        c->pool = p;
        c->addr = *addr;
        c->fd = socket(addr->sin6_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fd < 0) {
                free(c);
                return NULL;
        }
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        event_assign(&c->readable, loop_base(p->loop), c->fd, EV_READ | EV_PERSIST, on_readable, c);
        event_assign(&c->writable, loop_base(p->loop), c->fd, EV_WRITE, on_writable, c);
        if ((connect(c->fd, (const struct sockaddr *) addr, addr_len(addr)) < 0 && errno != EINPROGRESS) ||
            event_add(&c->writable, NULL) < 0) {
                conn_close(c);
                return NULL;
        }
        return c;
}

/* ---- calls ---- */

static void plain_free(struct plain *f) {
        timer_clear(&f->timer);
        *f->link = f->next;
        if (f->next)
                f->next->link = f->link;
        iicp_buf_wipe(&f->head);
        reader_done(&f->reader);
        free(f);
}

static void plain_disconnect(struct plain *f) {
        if (f->conn)
                conn_close(TAKE_PTR(f->conn));
}

static void plain_finish(struct plain *f, enum fetch_error e) {
        struct fetch_answer a = {
                .error = e,
                .status = f->reader.status,
                .body = iicp_buf_str(&f->reader.body),
                .content_type = f->reader.content_type,
                .retry_after = f->reader.retry_after,
                .server = f->reader.server,
                .powered_by = f->reader.powered_by,
                .location = f->reader.location,
                .date = f->reader.date,
                .connect_ms = f->connect_ms,
                .total_ms = now_ms() - f->start_ms,
                .any_byte = f->reader.any_byte,
        };

        plain_disconnect(f);
        timer_clear(&f->timer);
        f->busy = true;
        f->done(f->arg, &a);
        plain_free(f);
}

static size_t plain_whole(const struct plain *f) {
        return f->head.n + f->body.n;
}

/* A failed write is not the end: the answer may be there already, and reading will tell. */
static void plain_send(struct plain *f) {
        struct plain_conn *c = f->conn;

        while (f->sent < plain_whole(f)) {
                size_t of_head = MIN(f->sent, f->head.n), of_body = f->sent - of_head;
                struct iovec v[2] = {
                        {f->head.p + of_head, f->head.n - of_head},
                        {(char *) f->body.p + of_body, f->body.n - of_body},
                };
                struct msghdr m = {.msg_iov = v, .msg_iovlen = f->body.n ? 2 : 1};
                ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno == EAGAIN)
                                event_add(&c->writable, NULL);
                        return;
                }
                f->sent += (size_t) n;
        }
}

static void plain_fail_soon(struct plain *f, enum fetch_error e) {
        f->failed = e;
        timer_set_ms(&f->timer, 0);
}

static uint64_t plain_left_ms(const struct plain *f) {
        uint64_t spent = now_ms() - f->start_ms;

        return spent < f->timeout_ms ? f->timeout_ms - spent : 0;
}

/* On a new connection, to the next address that takes one. */
static void plain_dial(struct plain *f) {
        uint64_t left = plain_left_ms(f);

        while (f->at_addr < f->n_addr) {
                f->conn = conn_new(f->pool, &f->addr[f->at_addr++]);
                if (f->conn) {
                        f->conn->call = f;
                        timer_set_ms(&f->timer, MIN(left, f->connect_timeout_ms));
                        return;
                }
        }
        plain_fail_soon(f, FETCH_UNREACHABLE);
}

static void plain_go(struct plain *f) {
        struct plain_conn *c = NULL;

        for (unsigned i = 0; !f->once && i < f->n_addr && !c; i++)
                c = conn_kept(f->pool, &f->addr[i]);
        if (!c) {
                plain_dial(f);
                return;
        }
        f->conn = c;
        c->call = f;
        timer_set_ms(&f->timer, f->timeout_ms);
        plain_send(f);
}

/* A kept connection may be closed by the other side in the very moment of the call. */
static void plain_lost(struct plain *f) {
        enum fetch_error e = reader_end(&f->reader);
        bool again = e != FETCH_OK && f->conn->used && !f->reader.any_byte && !f->retried;

        plain_disconnect(f);
        if (!again) {
                plain_finish(f, e);
                return;
        }
        f->retried = true;
        f->sent = 0;
        f->at_addr = 0;
        reader_restart(&f->reader);
        plain_dial(f);
}

static void plain_take(struct plain *f, const char *p, size_t n) {
        enum fetch_error e;
        size_t used;

        f->busy = true;
        e = reader_feed(&f->reader, p, n, &used);
        f->busy = false;
        if (f->cancelled) {
                plain_disconnect(f);
                plain_free(f);
                return;
        }
        if (e == FETCH_OK && f->reader.state != READER_DONE)
                return;
        /* Bytes that nobody asked for, or a request not wholly read, spoil the connection. */
        if (e == FETCH_OK && f->reader.keep && used == n && f->sent == plain_whole(f))
                conn_rest(TAKE_PTR(f->conn));
        plain_finish(f, e);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
        struct plain_conn *c = arg;
        struct plain_pool *p = c->pool;
        ssize_t n;

        (void) what;
        if (!c->call) {
                conn_close(c); /* the end of a kept connection, or bytes out of turn */
                return;
        }
        n = recv(fd, p->in, sizeof p->in, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                /* A reset is never the end of a body. */
                if (n < 0 && c->call->reader.state == READER_TO_END)
                        c->call->reader.state = READER_LENGTH;
                plain_lost(c->call);
                return;
        }
        plain_take(c->call, p->in, (size_t) n);
        explicit_bzero(p->in, (size_t) n); /* results of tasks */
}

static void connect_failed(struct plain *f) {
        plain_disconnect(f);
        if (f->at_addr < f->n_addr)
                plain_dial(f);
        else
                plain_finish(f, FETCH_UNREACHABLE);
}

static void on_writable(evutil_socket_t fd, short what, void *arg) {
        struct plain_conn *c = arg;
        struct plain *f = c->call;
        socklen_t n = sizeof(int);
        int error = 0;

        (void) what;
        if (!c->connected) {
                if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error) {
                        connect_failed(f);
                        return;
                }
                c->connected = true;
                f->connect_ms = now_ms() - f->start_ms;
                timer_set_ms(&f->timer, plain_left_ms(f));
                if (event_add(&c->readable, NULL) < 0) {
                        plain_finish(f, FETCH_FAILED);
                        return;
                }
        }
        plain_send(f);
}

static void on_time(void *arg) {
        struct plain *f = arg;

        if (f->failed != FETCH_OK)
                plain_finish(f, f->failed);
        else if (f->conn && !f->conn->connected && plain_left_ms(f) > CLOCK_SLACK_MS)
                connect_failed(f);
        else
                plain_finish(f, FETCH_TIMEOUT);
}

static bool on_piece(void *arg, struct iicp_str piece) {
        struct plain *f = arg;

        return !f->cancelled && f->on_data(f->arg, piece) && !f->cancelled;
}

static void head_write(struct iicp_buf *b, const struct plain_target *t, const struct fetch_request *r) {
        iicp_buf_reserve(b, HEAD_FIRST);
        iicp_buf_puts(b, r->method);
        iicp_buf_puts(b, " ");
        iicp_buf_add_str(b, t->path.n ? t->path : IICP_STR("/"));
        iicp_buf_puts(b, " HTTP/1.1\r\nHost: ");
        iicp_buf_add_str(b, t->authority);
        iicp_buf_puts(b, "\r\nUser-Agent: iicpd/" PACKAGE_VERSION "\r\nAccept: */*\r\n");
        for (size_t i = 0; r->headers && r->headers[i]; i++) {
                iicp_buf_puts(b, r->headers[i]);
                iicp_buf_puts(b, "\r\n");
        }
        if (r->body.n || strcmp(r->method, "POST") == 0) {
                char number[48];

                snprintf(number, sizeof number, "Content-Length: %zu\r\n", r->body.n);
                iicp_buf_puts(b, number);
        }
        iicp_buf_puts(b, "\r\n");
}

/* ---- the interface ---- */

struct plain_pool *fetch_plain_new(struct loop *l, size_t max_idle) {
        struct plain_pool *p = calloc(1, sizeof *p);

        if (p) {
                p->loop = l;
                p->max_idle = max_idle;
        }
        return p;
}

struct plain_pool *fetch_plain_free(struct plain_pool *p) {
        if (!p)
                return NULL;
        while (p->running) {
                plain_disconnect(p->running);
                plain_free(p->running);
        }
        while (p->idle)
                conn_close(p->idle);
        free(p);
        return NULL;
}

struct fetch *fetch_plain_start(struct plain_pool *p, const struct plain_target *target,
                                const struct fetch_request *r, fetch_done_fn done, void *arg) {
        struct plain *f = calloc(1, sizeof *f);

        if (!f)
                return NULL;
        f->base.plain = true;
        f->pool = p;
        f->done = done;
        f->arg = arg;
        f->on_data = r->on_data;
        f->once = r->once;
        f->body = r->body;
        f->n_addr = target->n;
        memcpy(f->addr, target->addr, sizeof f->addr);
        f->start_ms = now_ms();
        f->timeout_ms = MAX(r->timeout_ms, 1u);
        f->connect_timeout_ms = r->connect_timeout_ms ? r->connect_timeout_ms : UINT64_MAX;
        f->head.secret = true; /* it may hold a key */
        reader_init(&f->reader, r->max_answer, r->on_data ? on_piece : NULL, f);
        if (r->max_stream)
                f->reader.max_stream = r->max_stream;
        timer_init(&f->timer, p->loop, on_time, f);
        f->next = p->running;
        f->link = &p->running;
        if (f->next)
                f->next->link = &f->next;
        p->running = f;
        head_write(&f->head, target, r);
        if (f->head.error) {
                plain_free(f);
                return NULL;
        }
        plain_go(f);
        return &f->base;
}

void fetch_plain_cancel(struct fetch *fetch) {
        struct plain *f = (struct plain *) fetch; /* its first member */

        f->cancelled = true;
        if (f->busy)
                return; /* called back from it; it ends when that returns */
        plain_disconnect(f);
        plain_free(f);
}
