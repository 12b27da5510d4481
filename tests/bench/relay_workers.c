/* SPDX-License-Identifier: Apache-2.0 */
/* Workers for the bench of the relay: they answer each task with the id that stands in it.
 *
 *   relay_workers bind PORT N    N native sessions at a relay's port, named w-0, w-1, ...
 *   relay_workers http PORT      the same answers as an HTTP server, for what a tunnel leads to
 *
 * bind prints one JSON object when all sessions are bound; both serve until they are killed. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 128            /* binds under way */
#define PING_S 20
#define BUF_FIRST 4096
#define BUF_MAX (1u << 20)

struct peer {
        int fd;
        bool bound;
        size_t n, cap;
        unsigned char *buf;
};

static struct peer *peers;
static size_t n_peers, n_open, n_bound;
static int epoll;
static bool native;

static double now_s(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void die(const char *what) {
        perror(what);
        exit(1);
}

static void say(struct peer *p, const void *bytes, size_t n) {
        ssize_t r = send(p->fd, bytes, n, MSG_NOSIGNAL);

        if (r < 0 || (size_t) r != n)
                die("relay_workers: send");
}

static size_t frame(unsigned char *out, unsigned char type, size_t n) {
        memcpy(out, "IICP\1", 5);
        out[5] = type;
        out[6] = out[7] = 0;
        for (int i = 0; i < 4; i++)
                out[8 + i] = (unsigned char) (n >> (24 - 8 * i));
        return 12 + n;
}

static void watch(struct peer *p) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
        int one = 1;

        setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        p->buf = malloc(p->cap = native ? 512 : BUF_FIRST);
        if (!p->buf || epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e) < 0)
                die("relay_workers: epoll");
}

/* INIT and BIND in one go. */
static void dial(uint16_t port) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct peer *p = &peers[n_open];
        unsigned char out[128];
        char id[24];
        size_t n, id_n = (size_t) snprintf(id, sizeof id, "w-%zu", n_open++);

        p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (p->fd < 0 || connect(p->fd, (struct sockaddr *) &to, sizeof to) < 0)
                die("relay_workers: connect");
        watch(p);
        memcpy(out + 12, "\xa1\1\1", 3);
        n = frame(out, 1, 3);
        memcpy(out + n + 12, "\xa1\1", 2);
        out[n + 14] = (unsigned char) (0x60 + id_n);
        memcpy(out + n + 15, id, id_n);
        n += frame(out + n, 0x0b, 3 + id_n);
        say(p, out, n);
}

static const char *id_of(const unsigned char *task, size_t n) {
        static const char key[] = "\"task_id\":\"";
        const char *at = memmem(task, n, key, sizeof key - 1);

        return at && at + sizeof key - 1 + 36 <= (const char *) task + n ? at + sizeof key - 1 : NULL;
}

/* The value of the next item; text and bytes only. */
static const unsigned char *item(const unsigned char *p, size_t *ret_n) {
        unsigned info = *p & 31;
        size_t n = info;

        if (info >= 24) {
                n = 0;
                for (unsigned i = 0; i < 1u << (info - 24); i++)
                        n = n << 8 | p[1 + i];
                p += 1u << (info - 24);
        }
        *ret_n = n;
        return p + 1;
}

static void answer_call(struct peer *p, const unsigned char *payload) {
        const unsigned char *task = NULL, *call = NULL, *at = payload + 1;
        size_t task_n = 0, call_n = 0, n;
        unsigned char out[512];
        char result[160];
        int r;

        for (unsigned i = 0; i < (payload[0] & 31u); i++) {
                unsigned key = *at++;
                const unsigned char *v = item(at, &n);

                if (key == 5)
                        task = v, task_n = n;
                if (key == 15)
                        call = v, call_n = n;
                at = v + n;
        }
        if (!task || call_n != 36 || !id_of(task, task_n)) {
                fprintf(stderr, "relay_workers: a CALL without a task\n");
                exit(1);
        }
        r = snprintf(result, sizeof result, "{\"status\":\"completed\",\"result\":{\"echo\":\"%.36s\"}}", id_of(task, task_n));
        memcpy(out + 12, "\xa2\5\x58", 3);
        out[15] = (unsigned char) r;
        memcpy(out + 16, result, (size_t) r);
        memcpy(out + 16 + r, "\x0f\x78\x24", 3);
        memcpy(out + 19 + r, call, 36);
        say(p, out, frame(out, 6, 43 + (size_t) r));
}

static size_t take_frame(struct peer *p, const unsigned char *b, size_t n) {
        size_t length = n < 12 ? 0 : (size_t) b[8] << 24 | (size_t) b[9] << 16 | (size_t) b[10] << 8 | b[11];

        if (n < 12 || n - 12 < length)
                return 0;
        if (b[5] == 0x0c) {
                if (memcmp(b + 13, "\1\x62ok", 4) != 0) {
                        fprintf(stderr, "relay_workers: refused: %.*s\n", (int) length - 16, b + 28);
                        exit(1);
                }
                p->bound = true;
                n_bound++;
        } else if (b[5] == 5)
                answer_call(p, b + 12);
        else if (b[5] == 7) {
                fprintf(stderr, "relay_workers: CLOSE\n");
                exit(1);
        }
        return 12 + length;
}

static size_t take_request(struct peer *p, const unsigned char *b, size_t n) {
        const char *end = memmem(b, n, "\r\n\r\n", 4);
        size_t head = end ? (size_t) (end - (const char *) b) + 4 : 0, body = 0;
        char out[512], json[200];
        int r;

        if (!end)
                return 0;
        for (const char *at = (const char *) b; at < end; at++)
                if (*at == '\n' && strncasecmp(at + 1, "content-length:", 15) == 0)
                        body = strtoul(at + 16, NULL, 10);
        if (n < head + body)
                return 0;
        r = snprintf(json, sizeof json, "{\"task_id\":\"%.36s\",\"status\":\"completed\",\"result\":{\"echo\":\"%.36s\"},\"generated_by_ai\":true}",
                     id_of(b + head, body) ?: "", id_of(b + head, body) ?: "");
        r = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", r, json);
        say(p, out, (size_t) r);
        return head + body;
}

static void readable(struct peer *p) {
        size_t used = 0, n;
        ssize_t r;

        if (p->n == p->cap) {
                p->buf = realloc(p->buf, p->cap *= 2);
                if (!p->buf || p->cap > BUF_MAX)
                        die("relay_workers: a frame too large");
        }
        r = recv(p->fd, p->buf + p->n, p->cap - p->n, MSG_DONTWAIT);
        if (r < 0 && errno == EAGAIN)
                return;
        if (r <= 0) {
                if (native) {
                        fprintf(stderr, "relay_workers: a session ended\n");
                        exit(1);
                }
                close(p->fd);
                free(p->buf);
                free(p);
                return;
        }
        p->n += (size_t) r;
        while ((n = native ? take_frame(p, p->buf + used, p->n - used) : take_request(p, p->buf + used, p->n - used)) > 0)
                used += n;
        memmove(p->buf, p->buf + used, p->n -= used);
}

static void accept_all(int fd) {
        int s;

        while ((s = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                struct peer *p = calloc(1, sizeof *p);

                if (!p)
                        die("relay_workers");
                p->fd = s;
                watch(p);
        }
}

static int listen_at(uint16_t port) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct epoll_event e = {.events = EPOLLIN};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (struct sockaddr *) &at, sizeof at) < 0 || listen(fd, 1024) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
                die("relay_workers: listen");
        return fd;
}

static void ping_all(void) {
        unsigned char out[16];

        memcpy(out + 12, "\xa1\1\x40", 3);
        for (size_t i = 0; i < n_bound; i++)
                say(&peers[i], out, frame(out, 9, 3));
}

int main(int argc, char **argv) {
        struct epoll_event events[256];
        struct rlimit limit;
        uint16_t port = argc > 2 ? (uint16_t) atoi(argv[2]) : 0;
        double start = now_s(), pinged = start;
        bool told = false;
        int listener = -1;

        native = argc == 4 && strcmp(argv[1], "bind") == 0;
        if (!native && (argc != 3 || strcmp(argv[1], "http") != 0)) {
                fprintf(stderr, "relay_workers bind PORT N | http PORT\n");
                return 2;
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
        epoll = epoll_create1(EPOLL_CLOEXEC);
        if (native) {
                n_peers = strtoul(argv[3], NULL, 10);
                peers = calloc(n_peers, sizeof *peers);
        } else
                listener = listen_at(port);
        for (;;) {
                int n;

                while (n_open < n_peers && n_open - n_bound < AT_ONCE)
                        dial(port);
                if (native && !told && n_bound == n_peers) {
                        told = true;
                        printf("{\"sessions\":%zu,\"seconds\":%.3f,\"binds_per_s\":%.0f}\n", n_bound, now_s() - start,
                               (double) n_bound / (now_s() - start));
                        fflush(stdout);
                }
                n = epoll_wait(epoll, events, 256, 1000);
                for (int i = 0; i < n; i++)
                        if (events[i].data.ptr)
                                readable(events[i].data.ptr);
                        else
                                accept_all(listener);
                if (native && now_s() - pinged > PING_S) {
                        pinged = now_s();
                        ping_all();
                }
        }
}
