/* SPDX-License-Identifier: Apache-2.0 */
/* Streams for the bench: a backend that says so many words a second on each connection, and a reader of
 * as many streams. Each word holds its number and the time at which it left the backend, so that the
 * reader knows of each word whether it is the next one and how long it was under way.
 *
 *   streams stub WORDS INTERVAL_MS                prints "http://127.0.0.1:PORT"
 *   streams load PORT task|sse STREAMS WORDS      prints one JSON object; task: lifecycle tasks of iicpd
 *                                                 (caller token in $STREAMS_TOKEN), sse: the backend's own
 *                                                 stream, straight or through a proxy */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FD_MAX 8192
#define BUF_MAX 16384    /* bytes of a request, of an answer that is not read on */
#define STALLED_MS 10000 /* nothing comes any more */
#define DONE "0\r\n\r\n"

struct connection {
        bool open, streaming;
        unsigned said, words;    /* stub: sent; load: seen */
        uint64_t due_us;
        size_t n;
        char buf[BUF_MAX];
};

static struct connection *all;
static int epoll;

static uint64_t now_us(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void watch(int fd) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        int one = 1;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        all[fd] = (struct connection){.open = true};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

static void drop(int fd) {
        close(fd);
        all[fd].open = all[fd].streaming = false;
}

/* ---- backend ---- */

static void say(int fd, const char *text, size_t n) {
        if (send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t) n)
                drop(fd);
}

static void say_event(int fd, const char *data) {
        char text[512];
        size_t n = strlen(data) + 8;

        say(fd, text, (size_t) snprintf(text, sizeof text, "%zx\r\ndata: %s\n\n\r\n", n, data));
}

static void say_word(int fd) {
        char text[256];

        snprintf(text, sizeof text, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%u:%llu \"},\"finish_reason\":null}]}",
                 all[fd].said++, (unsigned long long) now_us());
        say_event(fd, text);
}

static void say_end(int fd) {
        all[fd].streaming = false;
        say_event(fd, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
        if (all[fd].open)
                say_event(fd, "[DONE]");
        if (all[fd].open)
                say(fd, DONE, strlen(DONE));
}

static void on_request(int fd, uint64_t interval_us) {
        static const char models[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 57\r\n\r\n"
                                     "{\"object\":\"list\",\"data\":[{\"id\":\"stub\",\"object\":\"model\"}]}";
        static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        struct connection *c = &all[fd];
        char *body = memmem(c->buf, c->n, "\r\n\r\n", 4), *length = strcasestr(c->buf, "content-length:");

        if (!body)
                return;
        if (length && length < body && c->n < (size_t) (body + 4 - c->buf) + strtoul(length + 15, NULL, 10))
                return;
        c->n = 0;
        if (c->buf[0] == 'G') {
                say(fd, models, sizeof models - 1);
                return;
        }
        c->streaming = true;
        c->said = 0;
        c->due_us = now_us() + (uint64_t) random() % interval_us; /* spread over the interval */
        say(fd, head, sizeof head - 1);
}

static void stub_readable(int fd, uint64_t interval_us) {
        struct connection *c = &all[fd];
        ssize_t n = recv(fd, c->buf + c->n, sizeof c->buf - 1 - c->n, MSG_DONTWAIT);

        if (n <= 0) {
                if (n == 0 || errno != EAGAIN)
                        drop(fd);
                return;
        }
        c->n += (size_t) n;
        c->buf[c->n] = 0;
        on_request(fd, interval_us);
}

static void say_due(unsigned words, uint64_t interval_us, int top) {
        uint64_t now = now_us();

        for (int fd = 0; fd <= top; fd++)
                while (all[fd].streaming && all[fd].due_us <= now) {
                        all[fd].due_us += interval_us;
                        if (all[fd].said == words)
                                say_end(fd);
                        else
                                say_word(fd);
                }
}

static int stub(unsigned words, uint64_t interval_us) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t a_n = sizeof a;
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), top = 0;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[256];

        if (bind(listener, (struct sockaddr *) &a, sizeof a) < 0 || listen(listener, 4096) < 0 ||
            getsockname(listener, (struct sockaddr *) &a, &a_n) < 0)
                return 1;
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
        printf("http://127.0.0.1:%u\n", ntohs(a.sin_port));
        fflush(stdout);
        for (;;) {
                int n = epoll_wait(epoll, events, 256, 1), fd;

                for (int i = 0; i < n; i++) {
                        if (events[i].data.fd != listener) {
                                stub_readable(events[i].data.fd, interval_us);
                                continue;
                        }
                        while ((fd = accept(listener, NULL, NULL)) >= 0 && fd < FD_MAX) {
                                watch(fd);
                                top = fd > top ? fd : top;
                        }
                }
                say_due(words, interval_us, top);
        }
}

/* ---- reader ---- */

static uint32_t *samples;
static size_t n_words, n_samples, n_wrong, n_ended, n_failed;
static uint64_t begun_us; /* all streams are there: delays count from here */
static struct sockaddr_in target = {.sin_family = AF_INET};
static const char *token;

static int dial(void) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (fd < 0 || fd >= FD_MAX || connect(fd, (struct sockaddr *) &target, sizeof target) < 0) {
                perror("connect");
                exit(1);
        }
        return fd;
}

static void ask(int fd, const char *method, const char *path, const char *body) {
        char text[2048];
        int n = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
                         "Accept: text/event-stream\r\nContent-Type: application/json\r\n", method, path, token);

        if (body)
                n += snprintf(text + n, sizeof text - (size_t) n, "Content-Length: %zu\r\n", strlen(body));
        n += snprintf(text + n, sizeof text - (size_t) n, "\r\n%s", body ? body : "");
        if (send(fd, text, (size_t) n, MSG_NOSIGNAL) != n)
                exit(1);
}

/* Accepted, or the bench is over. */
static void submit(int fd, const char *id) {
        char body[512], answer[4096];
        ssize_t n;

        snprintf(body, sizeof body, "{\"task_id\":\"%s\",\"idempotency_key\":\"%s\",\"intent\":\"urn:iicp:intent:llm:chat:v1\","
                 "\"constraints\":{\"timeout_ms\":300000,\"required_profiles\":[\"urn:iicp:profile:service-lifecycle:v1\"]},"
                 "\"payload\":{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}}", id, id);
        ask(fd, "POST", "/v1/tasks", body);
        n = recv(fd, answer, sizeof answer - 1, 0);
        answer[n > 0 ? n : 0] = 0;
        if (!strstr(answer, " 202 ")) {
                fprintf(stderr, "submit: %.200s\n", answer);
                exit(1);
        }
}

/* On one connection after the other: submit, then observe. */
static void begin(bool task, unsigned streams) {
        uint64_t seed;

        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
                exit(1);
        for (unsigned i = 0; i < streams; i++) {
                int fd = dial();
                char id[40], path[96];

                if (task) {
                        snprintf(id, sizeof id, "%08x-%04x-4%03x-8%03x-%012x", (unsigned) seed, (unsigned) (seed >> 32 & 0xffff),
                                 (unsigned) (seed >> 48 & 0xfff), (unsigned) (seed >> 60), i);
                        snprintf(path, sizeof path, "/v1/tasks/%s/events", id);
                        submit(fd, id);
                        ask(fd, "GET", path, NULL);
                } else
                        ask(fd, "POST", "/v1/chat/completions",
                            "{\"model\":\"stub\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
                watch(fd);
        }
}

/* "NUMBER:TIME " wherever a content or result begins; several may stand in one. */
static void take_words(struct connection *c, const char *p, const char *end, uint64_t now) {
        while (p < end && *p >= '0' && *p <= '9') {
                char *after;
                unsigned long number = strtoul(p, &after, 10);
                uint64_t at;

                if (*after != ':')
                        return;
                at = strtoull(after + 1, &after, 10);
                if (*after != ' ')
                        return;
                if (number != c->words)
                        n_wrong++;
                c->words++;
                n_words++;
                if (at >= begun_us)
                        samples[n_samples++] = (uint32_t) (now - at);
                p = after + 1;
        }
}

static void take_line(struct connection *c, char *line, uint64_t now) {
        char *word = strstr(line, "\"content\":\"");

        if (!word)
                word = strstr(line, "\"result\":\"");
        if (word) {
                word = strchr(word + 9, '"') + 1;
                take_words(c, word[0] == '"' ? word + 1 : word, line + strlen(line), now);
        }
        if (strstr(line, "[DONE]") || strstr(line, "\"is_final\":true")) {
                n_ended++;
                n_failed += strstr(line, "\"error\"") != NULL;
        }
}

static void load_readable(int fd) {
        struct connection *c = &all[fd];
        ssize_t n = recv(fd, c->buf + c->n, sizeof c->buf - 1 - c->n, MSG_DONTWAIT);
        uint64_t now = now_us();
        char *line = c->buf, *end;

        if (n <= 0) {
                if (n == 0 || errno != EAGAIN)
                        drop(fd);
                return;
        }
        c->n += (size_t) n;
        c->buf[c->n] = 0;
        while ((end = strchr(line, '\n'))) {
                *end = 0;
                take_line(c, line, now);
                line = end + 1;
        }
        c->n -= (size_t) (line - c->buf);
        memmove(c->buf, line, c->n + 1);
}

static int by_size(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return x < y ? -1 : x > y;
}

static int load(bool task, unsigned streams, unsigned words) {
        size_t lost = (size_t) streams * words;
        struct epoll_event events[256];

        samples = calloc(lost + 1, sizeof *samples);
        begin(task, streams);
        begun_us = now_us();
        while (n_ended < streams) {
                int n = epoll_wait(epoll, events, 256, STALLED_MS);

                if (n == 0)
                        break;
                for (int i = 0; i < n; i++)
                        if (all[events[i].data.fd].open)
                                load_readable(events[i].data.fd);
        }
        lost -= n_words;
        qsort(samples, n_samples, sizeof *samples, by_size);
        printf("{\"words\":%zu,\"lost\":%zu,\"wrong\":%zu,\"unfinished\":%zu,\"failed\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
               n_words, lost, n_wrong, streams - n_ended, n_failed, n_samples ? samples[n_samples / 2] / 1e3 : 0.0,
               n_samples ? samples[n_samples * 99 / 100] / 1e3 : 0.0, n_samples ? samples[n_samples - 1] / 1e3 : 0.0);
        return 0;
}

int main(int argc, char **argv) {
        all = calloc(FD_MAX, sizeof *all);
        epoll = epoll_create1(0);
        if (argc == 4 && strcmp(argv[1], "stub") == 0)
                return stub((unsigned) atoi(argv[2]), (uint64_t) atoi(argv[3]) * 1000);
        if (argc != 6 || strcmp(argv[1], "load") != 0)
                return 2;
        target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        target.sin_port = htons((uint16_t) atoi(argv[2]));
        token = getenv("STREAMS_TOKEN");
        if (!token)
                token = "none";
        return load(strcmp(argv[3], "task") == 0, (unsigned) atoi(argv[4]), (unsigned) atoi(argv[5]));
}
