/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include "util.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

struct call {
        struct call *next;
        void (*fn)(void *arg);
        void *arg;
};

struct job {
        struct job *next;
        void (*work)(void *arg);
        void (*done)(void *arg);
        void *arg;
};

struct job_queue {
        struct job *first, **last;
};

/* One thread that may block; jobs of one wait for nothing of another. */
struct helper {
        struct loop *loop;
        bool started, ended; /* ended: its thread has nothing more to do with us */
        bool lost;           /* did not end in time; it is never waited for again */
        pthread_t thread;
        pthread_cond_t more, end;
        struct job_queue todo;
        bool quit; /* when there is nothing left to do; each thread has its own, so that a later one may begin */
};

struct loop {
        struct event_base *base;
        int status;
        /* calls of loop_defer, run by an event that is made active when the first one comes */
        struct call *calls, **calls_last;
        struct event *defer;
        /* helper threads; made with the first job of each */
        int wake_fd; /* eventfd: a thread tells the loop that there are results */
        struct event *wake;
        pthread_mutex_t lock; /* protects what follows, held for a few lines only */
        struct helper helpers[LOOP_HELPERS_];
        struct job_queue finished;
};

static void queue_put(struct job_queue *q, struct job *j) {
        j->next = NULL;
        *q->last = j;
        q->last = &j->next;
}

static struct job *queue_get(struct job_queue *q) {
        struct job *j = q->first;

        if (j) {
                q->first = j->next;
                if (!q->first)
                        q->last = &q->first;
        }
        return j;
}

static void on_defer(evutil_socket_t fd, short what, void *arg) {
        struct loop *l = arg;
        struct call *c = l->calls;

        (void) fd;
        (void) what;
        /* What these calls defer runs in the next turn, so that the loop gets round. */
        l->calls = NULL;
        l->calls_last = &l->calls;
        while (c) {
                struct call *next = c->next;

                c->fn(c->arg);
                free(c);
                c = next;
        }
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
        struct loop *l = arg;
        uint64_t n;

        (void) what;
        if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN)
                return;
        for (;;) {
                pthread_mutex_lock(&l->lock);
                struct job *j = queue_get(&l->finished);
                pthread_mutex_unlock(&l->lock);
                if (!j)
                        return;
                if (j->done)
                        j->done(j->arg);
                free(j);
        }
}

static void *thread_main(void *arg) {
        struct helper *h = arg;
        struct loop *l = h->loop;

        pthread_mutex_lock(&l->lock);
        for (;;) {
                struct job *j = queue_get(&h->todo);

                if (!j) {
                        if (h->quit)
                                break;
                        pthread_cond_wait(&h->more, &l->lock);
                        continue;
                }
                pthread_mutex_unlock(&l->lock);
                j->work(j->arg);
                pthread_mutex_lock(&l->lock);
                queue_put(&l->finished, j);
                uint64_t one = 1;
                /* An eventfd write of 1 can only fail when the counter is full: then it is awake. */
                if (write(l->wake_fd, &one, sizeof one) < 0)
                        continue;
        }
        h->ended = true;
        pthread_cond_signal(&h->end);
        pthread_mutex_unlock(&l->lock);
        return NULL;
}

struct loop *loop_new(void) {
        struct loop *l = calloc(1, sizeof *l);
        struct event_config *cfg;

        if (!l)
                return NULL;
        l->wake_fd = -1;
        l->calls_last = &l->calls;
        l->finished.last = &l->finished.first;
        pthread_mutex_init(&l->lock, NULL);
        for (size_t i = 0; i < LOOP_HELPERS_; i++) {
                struct helper *h = &l->helpers[i];

                h->loop = l;
                h->todo.last = &h->todo.first;
                pthread_cond_init(&h->more, NULL);
                pthread_condattr_t monotonic;
                pthread_condattr_init(&monotonic);
                pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
                pthread_cond_init(&h->end, &monotonic);
                pthread_condattr_destroy(&monotonic);
        }
        cfg = event_config_new();
        if (cfg) {
                /* One thread uses the base; precise timers matter for queue waits of few ms. */
                event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
                event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
                event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
                l->base = event_base_new_with_config(cfg);
                event_config_free(cfg);
        }
        if (l->base)
                l->defer = event_new(l->base, -1, 0, on_defer, l);
        l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (l->defer && l->wake_fd >= 0)
                l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
        if (!l->wake || event_add(l->wake, NULL) < 0)
                return loop_free(l);
        return l;
}

/* A thread that a dead router holds has nothing that is worth waiting for: its jobs are counted as
 * done, and it dies with the process. Under the lock. */
static void helper_lose(struct helper *h) {
        h->lost = true;
        pthread_detach(h->thread);
        for (struct job *j; (j = queue_get(&h->todo));)
                queue_put(&h->loop->finished, j);
}

static bool wait_for_end(struct helper *h) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LOOP_ROUTERS_END_S;
        while (!h->ended)
                if (pthread_cond_timedwait(&h->end, &h->loop->lock, &until) == ETIMEDOUT)
                        return h->ended;
        return true;
}

static void helper_join(struct helper *h) {
        bool bounded = h == &h->loop->helpers[LOOP_ROUTERS];

        if (!h->started)
                return;
        h->started = false;
        pthread_mutex_lock(&h->loop->lock);
        h->quit = true;
        pthread_cond_signal(&h->more);
        if (bounded && !wait_for_end(h))
                helper_lose(h);
        pthread_mutex_unlock(&h->loop->lock);
        if (h->lost)
                return;
        pthread_join(h->thread, NULL);
        h->quit = false;
}

static bool any_started(const struct loop *l) {
        for (size_t i = 0; i < LOOP_HELPERS_; i++)
                if (l->helpers[i].started)
                        return true;
        return false;
}

static bool any_lost(const struct loop *l) {
        for (size_t i = 0; i < LOOP_HELPERS_; i++)
                if (l->helpers[i].lost)
                        return true;
        return false;
}

static void helpers_join(struct loop *l) {
        for (size_t i = 0; i < LOOP_HELPERS_; i++)
                helper_join(&l->helpers[i]);
}

void loop_settle(struct loop *l) {
        /* A state file must not stay unwritten. The end of a job may begin another one, and calls may
         * defer calls, but not for ever. */
        for (int round = 0; (any_started(l) || l->calls) && round < 16; round++) {
                helpers_join(l);
                on_wake(l->wake_fd, EV_READ, l);
                on_defer(-1, 0, l);
        }
}

struct loop *loop_free(struct loop *l) {
        if (!l)
                return NULL;
        helpers_join(l);
        for (struct job *j; (j = queue_get(&l->finished));)
                free(j);
        while (l->calls) {
                struct call *next = l->calls->next;

                free(l->calls);
                l->calls = next;
        }
        if (l->wake)
                event_free(l->wake);
        if (l->defer)
                event_free(l->defer);
        if (l->base)
                event_base_free(l->base);
        if (any_lost(l)) /* its thread may still come back to them */
                return NULL;
        if (l->wake_fd >= 0)
                close(l->wake_fd);
        for (size_t i = 0; i < LOOP_HELPERS_; i++) {
                pthread_cond_destroy(&l->helpers[i].more);
                pthread_cond_destroy(&l->helpers[i].end);
        }
        pthread_mutex_destroy(&l->lock);
        free(l);
        return NULL;
}

struct event_base *loop_base(struct loop *l) {
        return l->base;
}

int loop_run(struct loop *l) {
        l->status = 0;
        if (event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
                return 1;
        return l->status;
}

void loop_stop(struct loop *l, int status) {
        l->status = status;
        event_base_loopbreak(l->base);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
        struct timer *t = arg;

        (void) fd;
        (void) what;
        t->fn(t->arg);
}

void timer_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg) {
        t->fn = fn;
        t->arg = arg;
        t->made = event_assign(&t->ev, l->base, -1, 0, on_timer, t) == 0;
}

void timer_set_ms(struct timer *t, uint64_t delay_ms) {
        struct timeval tv = {.tv_sec = (time_t) (delay_ms / 1000u),
                             .tv_usec = (suseconds_t) (delay_ms % 1000u * 1000u)};

        if (t->made)
                event_add(&t->ev, &tv);
}

void timer_clear(struct timer *t) {
        if (t->made)
                event_del(&t->ev);
}

bool timer_armed(const struct timer *t) {
        return t->made && event_pending(&t->ev, EV_TIMEOUT, NULL);
}

void loop_defer(struct loop *l, void (*fn)(void *arg), void *arg) {
        struct call *c = malloc(sizeof *c);

        /* There is no way back for the caller; a machine without 24 bytes cannot serve either. */
        if (!c)
                abort();
        *c = (struct call){.fn = fn, .arg = arg};
        if (!l->calls)
                event_active(l->defer, EV_TIMEOUT, 0);
        *l->calls_last = c;
        l->calls_last = &c->next;
}

static int helper_start(struct helper *h) {
        sigset_t all, old;
        int r;

        h->ended = false;
        /* Signals belong to the loop. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&h->thread, NULL, thread_main, h);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r)
                return -r;
        h->started = true;
        return 0;
}

int loop_block_on(struct loop *l, enum loop_helper helper, void (*work)(void *arg), void (*done)(void *arg), void *arg) {
        struct helper *h = &l->helpers[helper];
        struct job *j;
        int r;

        if (h->lost)
                return -ESHUTDOWN;
        if (!h->started && (r = helper_start(h)) < 0)
                return r;
        j = malloc(sizeof *j);
        if (!j)
                return -ENOMEM;
        *j = (struct job){.work = work, .done = done, .arg = arg};
        pthread_mutex_lock(&l->lock);
        queue_put(&h->todo, j);
        pthread_cond_signal(&h->more);
        pthread_mutex_unlock(&l->lock);
        return 0;
}

int loop_block(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg) {
        return loop_block_on(l, LOOP_FILES, work, done, arg);
}
