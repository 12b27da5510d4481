/* SPDX-License-Identifier: Apache-2.0 */
/* A backend that costs next to nothing: answers every POST with the same completion, after an
 * optional delay, and GET /v1/models with one model. One thread, keep-alive, no TLS.
 *
 *   stub PORT [DELAY_MS]        port 0 takes a free one; prints "http://127.0.0.1:PORT" */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 65536 /* bytes of one request, head and body */
#define FD_MAX 16384      /* connections */
#define TEXT_N 400        /* bytes of text in an answer */

struct connection {
        size_t n;
        bool waiting;
        unsigned generation; /* a descriptor that came again is not the one that waits */
        char buf[REQUEST_MAX];
};

/* Delays are all the same, so answers leave in the order in which they were asked for. */
struct due {
        uint64_t at_us;
        int fd;
        unsigned generation;
};

static struct connection *connections[FD_MAX];
static unsigned generations[FD_MAX];
static struct due queue[FD_MAX];
static size_t queue_head, queue_n;
static char completion[2048], models[512];
static size_t completion_n, models_n;

static uint64_t now_us(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static size_t answer(char *out, size_t cap, const char *body) {
        return (size_t) snprintf(out, cap, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
}

static void close_connection(int fd) {
        close(fd);
        free(connections[fd]);
        connections[fd] = NULL;
        generations[fd]++;
}

/* Bytes of the first whole request in the buffer, 0 = not yet. */
static size_t request_length(const struct connection *c) {
        const char *end = memmem(c->buf, c->n, "\r\n\r\n", 4);
        size_t head, body = 0;

        if (!end)
                return 0;
        head = (size_t) (end - c->buf) + 4;
        for (const char *p = c->buf; p < end; p++)
                if (*p == '\n' && strncasecmp(p + 1, "content-length:", 15) == 0)
                        body = strtoul(p + 16, NULL, 10);
        return c->n >= head + body ? head + body : 0;
}

static void send_answer(int fd) {
        struct connection *c = connections[fd];
        size_t n = request_length(c);
        bool get = strncmp(c->buf, "GET ", 4) == 0;
        const char *text = get ? models : completion;
        size_t text_n = get ? models_n : completion_n;

        c->waiting = false;
        memmove(c->buf, c->buf + n, c->n - n);
        c->n -= n;
        if (send(fd, text, text_n, MSG_NOSIGNAL) != (ssize_t) text_n)
                close_connection(fd);
}

static void readable(int fd, unsigned delay_ms) {
        struct connection *c = connections[fd];
        ssize_t r = recv(fd, c->buf + c->n, sizeof c->buf - c->n, 0);

        if (r <= 0) {
                if (r == 0 || errno != EAGAIN)
                        close_connection(fd);
                return;
        }
        c->n += (size_t) r;
        if (c->waiting || !request_length(c))
                return;
        if (delay_ms == 0 || c->buf[0] == 'G') {
                send_answer(fd);
                return;
        }
        if (queue_n == FD_MAX) {
                close_connection(fd);
                return;
        }
        c->waiting = true;
        queue[(queue_head + queue_n++) % FD_MAX] = (struct due){
                now_us() + delay_ms * 1000ull, fd, generations[fd],
        };
}

static void accept_all(int listener, int epoll) {
        int fd, one = 1;

        while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
                if (fd >= FD_MAX || !(connections[fd] = calloc(1, sizeof(struct connection)))) {
                        close(fd);
                        continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
        }
}

static int next_timeout_ms(void) {
        uint64_t now = now_us();

        while (queue_n > 0 && queue[queue_head].at_us <= now) {
                struct due d = queue[queue_head];
                queue_head = (queue_head + 1) % FD_MAX;
                queue_n--;
                if (connections[d.fd] && generations[d.fd] == d.generation)
                        send_answer(d.fd);
        }
        return queue_n > 0 ? (int) ((queue[queue_head].at_us - now + 999) / 1000) : -1;
}

int main(int argc, char **argv) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t a_n = sizeof a;
        unsigned delay_ms = argc > 2 ? (unsigned) atoi(argv[2]) : 0;
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[256];
        char text[TEXT_N + 1], body[1024];

        a.sin_port = htons((uint16_t) (argc > 1 ? atoi(argv[1]) : 0));
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(listener, (struct sockaddr *) &a, sizeof a) < 0 || listen(listener, 4096) < 0 ||
            getsockname(listener, (struct sockaddr *) &a, &a_n) < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0) {
                perror("stub");
                return 1;
        }
        memset(text, 'a', TEXT_N);
        text[TEXT_N] = 0;
        snprintf(body, sizeof body,
                 "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1764000000,\"model\":\"stub\","
                 "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},"
                 "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":100,"
                 "\"total_tokens\":200}}", text);
        completion_n = answer(completion, sizeof completion, body);
        models_n = answer(models, sizeof models,
                          "{\"object\":\"list\",\"data\":[{\"id\":\"stub\",\"object\":\"model\","
                          "\"created\":1764000000,\"owned_by\":\"bench\"}]}");
        printf("http://127.0.0.1:%u\n", ntohs(a.sin_port));
        fflush(stdout);
        for (;;) {
                int n = epoll_wait(epoll, events, 256, next_timeout_ms());
                for (int i = 0; i < n; i++) {
                        if (events[i].data.fd == listener)
                                accept_all(listener, epoll);
                        else if (connections[events[i].data.fd])
                                readable(events[i].data.fd, delay_ms);
                }
        }
}
