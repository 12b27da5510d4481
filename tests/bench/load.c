/* SPDX-License-Identifier: Apache-2.0 */
/* Load for the bench: C connections, each with one task at a time, every task with an id of its own.
 *
 *   load PORT PATH CONNECTIONS SECONDS [WORKERS]      prints one JSON object
 *
 * With WORKERS, %u in PATH is the number of the worker that a connection uses, and each answer must repeat
 * the id of its task ("echo"): one that has another is counted as crossed.
 *
 * All connections are there before the clock starts; what is under way at the end is not counted. */

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

#define ANSWER_MAX 16384
#define CONNECTIONS_MAX 8192
#define SAMPLES_MAX 4000000
#define PROMPT_N 760 /* makes a task of about 1 KB */

struct connection {
        int fd;
        uint64_t sent_us;
        size_t n;
        char echo[64];
        char buf[ANSWER_MAX];
};

static struct connection *connections;
static uint32_t *samples;
static size_t n_samples, n_errors, n_crossed, workers;
static uint64_t seed, counter;
static char prompt[PROMPT_N + 1];
static const char *path;
static char paths[64][128];
static struct sockaddr_in target = {.sin_family = AF_INET};

static uint64_t now_us(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static bool send_task(struct connection *c) {
        char body[PROMPT_N + 512], text[PROMPT_N + 1024];
        uint64_t id = ++counter;
        int body_n = snprintf(body, sizeof body,
                "{\"task_id\":\"%08x-%04x-4%03x-8%03x-%012llx\",\"intent\":\"urn:iicp:intent:llm:chat:v1\","
                "\"payload\":{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]},"
                "\"constraints\":{\"timeout_ms\":60000}}",
                (unsigned) (seed & 0xffffffff), (unsigned) (seed >> 32 & 0xffff), (unsigned) (seed >> 48 & 0xfff),
                (unsigned) (seed >> 60), (unsigned long long) id, prompt);
        size_t worker = (size_t) (c - connections) % (workers ? workers : 1);
        int n = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                         "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", paths[worker], body_n, body);

        snprintf(c->echo, sizeof c->echo, "\"echo\":\"%.36s\"", body + 12);
        c->n = 0;
        c->sent_us = now_us();
        return send(c->fd, text, (size_t) n, MSG_NOSIGNAL) == n;
}

static bool open_connection(struct connection *c, int epoll) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        int one = 1;

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *) &target, sizeof target) < 0)
                return false;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) == 0;
}

/* 0 = more to come, else the status of a whole answer */
static int answer_status(const struct connection *c) {
        const char *end = memmem(c->buf, c->n, "\r\n\r\n", 4);
        size_t head, body = 0;

        if (!end)
                return 0;
        head = (size_t) (end - c->buf) + 4;
        for (const char *p = c->buf; p < end; p++)
                if (*p == '\n' && strncasecmp(p + 1, "content-length:", 15) == 0)
                        body = strtoul(p + 16, NULL, 10);
        return c->n >= head + body ? atoi(c->buf + 9) : 0;
}

static bool readable(struct connection *c, bool counts, int epoll) {
        ssize_t r = recv(c->fd, c->buf + c->n, sizeof c->buf - 1 - c->n, MSG_DONTWAIT);
        int status;

        if (r < 0 && errno == EAGAIN)
                return true;
        if (r <= 0) { /* an answer that did not come */
                n_errors++;
                close(c->fd);
                return open_connection(c, epoll) && send_task(c);
        }
        c->n += (size_t) r;
        c->buf[c->n] = 0;
        status = answer_status(c);
        if (status == 0)
                return true;
        if (status == 200 && workers && !strstr(c->buf, c->echo)) {
                n_crossed++;
                n_errors++;
        } else if (status != 200) {
                if (n_errors++ == 0)
                        fprintf(stderr, "load: %.600s\n", c->buf);
        } else if (counts && n_samples < SAMPLES_MAX)
                samples[n_samples++] = (uint32_t) (now_us() - c->sent_us);
        return send_task(c);
}

static int compare(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
        return (x > y) - (x < y);
}

static double at(double q) {
        return n_samples ? samples[(size_t) (q * (double) (n_samples - 1))] / 1000.0 : 0;
}

int main(int argc, char **argv) {
        struct epoll_event events[256];
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        size_t n_connections = argc == 5 || argc == 6 ? strtoul(argv[3], NULL, 10) : 0;
        uint64_t start, end, now;

        if (n_connections < 1 || n_connections > CONNECTIONS_MAX) {
                fprintf(stderr, "load PORT PATH CONNECTIONS SECONDS [WORKERS]\n");
                return 2;
        }
        target.sin_port = htons((uint16_t) atoi(argv[1]));
        target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        path = argv[2];
        workers = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
        if (workers > 64) {
                fprintf(stderr, "load: at most 64 workers\n");
                return 2;
        }
        for (size_t i = 0; i == 0 || i < workers; i++) {
                const char *at = strstr(path, "%u");

                if (at && workers)
                        snprintf(paths[i], sizeof paths[i], "%.*s%zu%s", (int) (at - path), path, i, at + 2);
                else
                        snprintf(paths[i], sizeof paths[i], "%s", path);
        }
        memset(prompt, 'p', PROMPT_N);
        connections = calloc(n_connections, sizeof *connections);
        samples = malloc(SAMPLES_MAX * sizeof *samples);
        if (!connections || !samples || getrandom(&seed, sizeof seed, 0) != sizeof seed)
                return 1;
        for (size_t i = 0; i < n_connections; i++)
                if (!open_connection(&connections[i], epoll)) {
                        perror("load: connect");
                        return 1;
                }
        start = now_us();
        end = start + (uint64_t) (atof(argv[4]) * 1e6);
        for (size_t i = 0; i < n_connections; i++)
                if (!send_task(&connections[i]))
                        n_errors++;
        while ((now = now_us()) < end) {
                int n = epoll_wait(epoll, events, 256, (int) ((end - now) / 1000 + 1));
                for (int i = 0; i < n; i++)
                        if (!readable(events[i].data.ptr, true, epoll)) {
                                perror("load");
                                return 1;
                        }
        }
        qsort(samples, n_samples, sizeof *samples, compare);
        printf("{\"answers\":%zu,\"errors\":%zu,\"crossed\":%zu,\"seconds\":%.3f,\"rps\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
               n_samples, n_errors, n_crossed, (double) (now - start) / 1e6,
               (double) n_samples * 1e6 / (double) (now - start), at(0.5), at(0.99));
        return 0;
}
