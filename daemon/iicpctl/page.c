/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <iicp/codec.h>
#include <iicp/uuid.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The status page for a browser: this program listens on loopback and hands GETs on to the control
 * socket; the daemon opens no port for it. A one-time token in the address becomes a cookie. Each
 * connection is a child of ours, so that a slow one holds up nobody. [operator design 12] */

#define HEAD_MAX_BYTES 8192
#define HEAD_WAIT_MS 10000
#define CHILDREN_MAX 32
#define SECRET_HEX 33

struct page {
        const struct options *o;
        int listen_fd;
        unsigned port;
        char cookie[SECRET_HEX];
        struct shared {
                char token[SECRET_HEX];
                volatile int used;
        } *shared;                    /* with the children */
};

static void answer_text(int fd, const char *status, const char *headers, const char *text) {
        char out[1024];
        int n = snprintf(out, sizeof out, "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
                                          "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                                          "Referrer-Policy: no-referrer\r\nConnection: close\r\n%s\r\n%s",
                         status, strlen(text), headers, text);

        if (n > 0 && (size_t) n < sizeof out && write(fd, out, (size_t) n) < 0)
                return; /* it is gone */
}

/* The value of a header; false: there is none, or it does not fit. */
static bool header(const char *head, const char *name, char *out, size_t cap) {
        size_t n = strlen(name);

        for (const char *p = strstr(head, "\r\n"); p; p = strstr(p, "\r\n")) {
                p += 2;
                if (strncasecmp(p, name, n) != 0 || p[n] != ':')
                        continue;
                p += n + 1 + strspn(p + n + 1, " \t");
                n = strcspn(p, "\r\n");
                if (n >= cap)
                        return false;
                memcpy(out, p, n);
                out[n] = '\0';
                return true;
        }
        return false;
}

/* Of all the same length, so that the time tells nothing. */
static bool same(const char *a, const char *b) {
        unsigned char diff = 0;

        if (strlen(a) != strlen(b))
                return false;
        for (; *a; a++, b++)
                diff |= (unsigned char) (*a ^ *b);
        return diff == 0;
}

/* Another name for this machine is another site's way in (DNS rebinding). */
static bool host_is_ours(const struct page *p, const char *head) {
        char host[128], ours[32], named[32];

        snprintf(ours, sizeof ours, "127.0.0.1:%u", p->port);
        snprintf(named, sizeof named, "localhost:%u", p->port);
        return header(head, "Host", host, sizeof host) && (strcmp(host, ours) == 0 || strcmp(host, named) == 0);
}

static bool has_cookie(const struct page *p, const char *head) {
        char cookies[512], *at;
        char value[SECRET_HEX];

        if (!header(head, "Cookie", cookies, sizeof cookies) || !(at = strstr(cookies, "iicp_page=")))
                return false;
        snprintf(value, sizeof value, "%.32s", at + strlen("iicp_page="));
        return same(value, p->cookie);
}

static void exchange_token(struct page *p, int fd, const char *given) {
        char headers[192];

        if (!same(given, p->shared->token) || __sync_lock_test_and_set(&p->shared->used, 1)) {
                answer_text(fd, "403 Forbidden", "", "This address was good once. iicpctl page makes another.\n");
                return;
        }
        snprintf(headers, sizeof headers, "Location: /\r\nSet-Cookie: iicp_page=%s; HttpOnly; SameSite=Strict; Path=/\r\n", p->cookie);
        answer_text(fd, "303 See Other", headers, "");
}

static int dial(const struct options *o) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || strlen(o->socket) >= sizeof addr.sun_path)
                return -1;
        strcpy(addr.sun_path, o->socket);
        if (connect(fd, (struct sockaddr *) &addr, sizeof addr) == 0)
                return fd;
        close(fd);
        return -1;
}

/* What the daemon says, until it or the browser closes. */
static void copy_until_end(int from, int to) {
        struct pollfd fds[2] = {{.fd = from, .events = POLLIN}, {.fd = to, .events = POLLIN | POLLRDHUP}};
        char buf[16384];

        for (;;) {
                ssize_t n, done = 0;

                if (poll(fds, 2, -1) < 0 || (fds[1].revents & (POLLRDHUP | POLLHUP | POLLERR)))
                        return;
                if (fds[1].revents & POLLIN) /* one request a connection: nothing more is expected */
                        fds[1].events = POLLRDHUP;
                if (!fds[0].revents)
                        continue;
                n = read(from, buf, sizeof buf);
                if (n <= 0)
                        return;
                while (done < n) {
                        ssize_t k = write(to, buf + done, (size_t) (n - done));

                        if (k <= 0)
                                return;
                        done += k;
                }
        }
}

/* Only what a page asks for, and nothing of the request but its path and where the events go on. */
static void hand_on(struct page *p, int fd, const char *method, const char *path, const char *head) {
        char request[2048], last[24], resume[64] = "";
        int n, daemon;

        if (header(head, "Last-Event-ID", last, sizeof last) && strspn(last, "0123456789") == strlen(last))
                snprintf(resume, sizeof resume, "Last-Event-ID: %s\r\n", last);
        n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n", method, path, resume);
        daemon = n > 0 && (size_t) n < sizeof request ? dial(p->o) : -1;
        if (daemon < 0) {
                answer_text(fd, "502 Bad Gateway", "", "iicpd does not answer at its control socket.\n");
                return;
        }
        if (write(daemon, request, (size_t) n) == n)
                copy_until_end(daemon, fd);
        close(daemon);
}

/* The head of the request; false: none came in time. */
static bool read_head(int fd, char *head, size_t cap) {
        size_t n = 0;

        head[0] = '\0';
        while (n < cap - 1 && !strstr(head, "\r\n\r\n")) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                ssize_t k;

                if (poll(&p, 1, HEAD_WAIT_MS) <= 0 || (k = read(fd, head + n, cap - 1 - n)) <= 0)
                        return false;
                n += (size_t) k;
                head[n] = '\0';
        }
        return strstr(head, "\r\n\r\n") != NULL;
}

static void serve(struct page *p, int fd) {
        char head[HEAD_MAX_BYTES], method[8], path[1024];

        if (!read_head(fd, head, sizeof head) || sscanf(head, "%7s %1023s HTTP/1.", method, path) != 2)
                return;
        if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
                answer_text(fd, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", "The page only looks.\n");
        else if (!host_is_ours(p, head))
                answer_text(fd, "403 Forbidden", "", "The Host header names another machine.\n");
        else if (strncmp(path, "/t/", 3) == 0)
                exchange_token(p, fd, path + 3);
        else if (!has_cookie(p, head))
                answer_text(fd, "403 Forbidden", "", "Open the address that iicpctl page has printed.\n");
        else
                hand_on(p, fd, method, path, head);
}

static int listen_on_loopback(struct page *p) {
        struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof addr;

        p->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (p->listen_fd < 0 || bind(p->listen_fd, (struct sockaddr *) &addr, n) < 0 || listen(p->listen_fd, 16) < 0 ||
            getsockname(p->listen_fd, (struct sockaddr *) &addr, &n) < 0)
                return -errno;
        p->port = ntohs(addr.sin_port);
        return 0;
}

static int make_secrets(struct page *p) {
        unsigned char raw[32];

        p->shared = mmap(NULL, sizeof *p->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (p->shared == MAP_FAILED || iicp_random(raw, sizeof raw) < 0)
                return -ENOMEM;
        iicp_hex(raw, 16, p->shared->token);
        iicp_hex(raw + 16, 16, p->cookie);
        return 0;
}

static void serve_for_good(struct page *p) {
        unsigned children = 0;
        pid_t parent = getpid();

        for (;;) {
                int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);
                pid_t child;

                while (children > 0 && waitpid(-1, NULL, children >= CHILDREN_MAX ? 0 : WNOHANG) > 0)
                        children--;
                if (fd < 0)
                        continue;
                child = fork();
                if (child == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGTERM);
                        if (getppid() == parent)
                                serve(p, fd);
                        _exit(0);
                }
                children += child > 0;
                close(fd);
        }
}

int cmd_page(const struct options *o, int argc, char **argv) {
        struct page p = {.o = o, .listen_fd = -1};
        struct answer probe = {0};
        int r = no_more(o, argc, argv);

        if (r == EXIT_DONE)
                r = call(o, "GET", "/v1/version", NULL, &probe);
        answer_done(&probe);
        if (r != EXIT_DONE)
                return r;
        r = make_secrets(&p);
        if (r == 0)
                r = listen_on_loopback(&p);
        if (r < 0) {
                tell_error(o, "listen_failed", strerror(-r), "a port of loopback is needed");
                return EXIT_REFUSED;
        }
        signal(SIGPIPE, SIG_IGN);
        if (o->json)
                printf("{\"schema\":\"iicp.page/1\",\"url\":\"http://127.0.0.1:%u/t/%s\"}\n", p.port, p.shared->token);
        else
                printf("http://127.0.0.1:%u/t/%s\n", p.port, p.shared->token);
        if (!o->json && isatty(STDOUT_FILENO))
                fprintf(stderr, "good for one browser, until Ctrl-C\n");
        fflush(stdout);
        serve_for_good(&p);
        return EXIT_DONE;
}
