/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PROGRAM "cloudflared"
#define READ_MAX 16384             /* bytes taken in one turn of the loop */

struct tunnel_child {
        pid_t pid;
        int out_fd, pid_fd;
        struct event out, gone;
        struct timer kill;
        void (*line)(void *arg, const char *text, size_t n);
        void (*ended)(void *arg);
        void (*stopped)(void *arg);
        void *arg, *stopped_arg;
        bool stopping;
        char text[CHILD_LINE_MAX];
        size_t n;
};

/* ---- finding it ---- */

static bool is_program(const char *path) {
        struct stat st;

        return path[0] == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

bool tunnel_child_find(const char *configured, char *out, size_t cap) {
        const char *path = getenv("PATH");

        if (configured)
                return (size_t) snprintf(out, cap, "%s", configured) < cap && is_program(out);
        while (path && *path) {
                size_t n = strcspn(path, ":");

                if ((size_t) snprintf(out, cap, "%.*s/" PROGRAM, (int) n, path) < cap && is_program(out))
                        return true;
                path += n + (path[n] == ':');
        }
        return false;
}

/* ---- the child's side: between fork and exec, only what is safe there ---- */

static _Noreturn void become(const char *program, char *const argv[], int out_fd, int null_fd, pid_t parent) {
        char *const nothing[] = {NULL};
        sigset_t none;

        setpgid(0, 0);
        /* Set for the death of the loop's thread, which ends with the process. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
        if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0 || dup2(out_fd, STDERR_FILENO) < 0 ||
            close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
                _exit(127);
        for (int sig = 1; sig < SIGRTMIN; sig++)
                signal(sig, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(program, argv, nothing);
        _exit(127);
}

static pid_t spawn(const char *program, unsigned port, int out_fd) {
        _cleanup_close_ int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        char url[64], name[] = PROGRAM, tunnel[] = "tunnel", option[] = "--url";
        char *const argv[] = {name, tunnel, option, url, NULL};
        pid_t parent = getpid(), pid;

        if (null_fd < 0)
                return -1;
        snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
        pid = fork();
        if (pid == 0)
                become(program, argv, out_fd, null_fd, parent);
        return pid;
}

/* ---- its output ---- */

static void take(struct tunnel_child *c, const char *p, size_t n) {
        for (size_t i = 0; i < n && !c->stopping; i++) {
                if (p[i] != '\n') {
                        if (c->n < sizeof c->text)
                                c->text[c->n++] = p[i];
                        continue;
                }
                c->line(c->arg, c->text, c->n);
                c->n = 0;
        }
}

static void on_output(evutil_socket_t fd, short what, void *arg) {
        struct tunnel_child *c = arg;
        char piece[READ_MAX];
        ssize_t n = read(fd, piece, sizeof piece);

        (void) what;
        if (n > 0)
                take(c, piece, (size_t) n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                event_del(&c->out); /* its end is told by the other descriptor */
}

/* ---- its end ---- */

static void destroy(struct tunnel_child *c) {
        if (c->out_fd >= 0) {
                event_del(&c->out);
                close(c->out_fd);
        }
        if (c->pid_fd >= 0) {
                event_del(&c->gone);
                close(c->pid_fd);
        }
        timer_clear(&c->kill);
        free(c);
}

/* What it has started itself goes with it. */
static void signal_all(const struct tunnel_child *c, int sig) {
        if (kill(-c->pid, sig) < 0)
                kill(c->pid, sig);
}

static void on_gone(evutil_socket_t fd, short what, void *arg) {
        struct tunnel_child *c = arg;
        struct tunnel_child end = *c;

        (void) fd;
        (void) what;
        /* Its last words first. */
        if (!c->stopping)
                on_output(c->out_fd, EV_READ, c);
        signal_all(c, SIGKILL);
        waitpid(c->pid, NULL, 0);
        end.stopping = c->stopping;
        destroy(c);
        if (!end.stopping)
                end.ended(end.arg);
        else if (end.stopped)
                end.stopped(end.stopped_arg);
}

static void kill_due(void *arg) {
        signal_all(arg, SIGKILL);
}

void tunnel_child_stop(struct tunnel_child *c, void (*fn)(void *arg), void *arg) {
        c->stopped = fn;
        c->stopped_arg = arg;
        if (c->stopping)
                return;
        c->stopping = true;
        signal_all(c, SIGTERM);
        timer_set_ms(&c->kill, CHILD_TERM_MS);
}

void tunnel_child_kill(struct tunnel_child *c) {
        if (!c)
                return;
        signal_all(c, SIGKILL);
        waitpid(c->pid, NULL, 0);
        destroy(c);
}

/* ---- its start ---- */

static bool watch(struct tunnel_child *c, struct loop *l) {
        c->pid_fd = (int) syscall(SYS_pidfd_open, c->pid, 0);
        if (c->pid_fd < 0)
                return false;
        event_assign(&c->gone, loop_base(l), c->pid_fd, EV_READ, on_gone, c);
        event_assign(&c->out, loop_base(l), c->out_fd, EV_READ | EV_PERSIST, on_output, c);
        return event_add(&c->gone, NULL) == 0 && event_add(&c->out, NULL) == 0;
}

struct tunnel_child *tunnel_child_start(struct loop *l, const char *program, unsigned port,
                                        void (*line)(void *arg, const char *text, size_t n), void (*ended)(void *arg), void *arg) {
        struct tunnel_child *c = calloc(1, sizeof *c);
        _cleanup_close_ int write_fd = -1;
        int fds[2];

        if (!c)
                return NULL;
        if (pipe2(fds, O_CLOEXEC) < 0) {
                free(c);
                return NULL;
        }
        write_fd = fds[1];
        *c = (struct tunnel_child){.out_fd = fds[0], .pid_fd = -1, .line = line, .ended = ended, .arg = arg};
        timer_init(&c->kill, l, kill_due, c);
        event_assign(&c->out, loop_base(l), c->out_fd, EV_READ | EV_PERSIST, on_output, c);
        c->pid = fcntl(c->out_fd, F_SETFL, O_NONBLOCK) == 0 ? spawn(program, port, write_fd) : -1;
        if (c->pid < 0) {
                destroy(c);
                return NULL;
        }
        setpgid(c->pid, c->pid); /* both sides, so that it holds before anything is sent */
        if (!watch(c, l)) {
                tunnel_child_kill(c);
                return NULL;
        }
        return c;
}
