/* SPDX-License-Identifier: Apache-2.0 */

/* Drives the time of an unchanged program: cc -shared -fPIC -O2 timewarp.c -o timewarp.so, then
 * LD_PRELOAD=timewarp.so TIMEWARP_PAGE=FILE program. The page is written by tests/lab/timewarp.py; the
 * program's clocks read it, and what waits with a limit ends when the page says that the limit has
 * come. Everything that comes from outside (sockets, signals) is as real as ever. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* How long a wait lasts before the page is looked at again. */
#define SLICE_US 1000
/* Shorter waits between threads are about the processor, not about the world (Python's lock of its
 * interpreter), and stay real. */
#define SHORT_US 20000

struct page {
        int64_t mono_us;   /* CLOCK_MONOTONIC */
        int64_t asleep_us; /* added for CLOCK_BOOTTIME and CLOCK_REALTIME: the machine was suspended */
        int64_t step_us;   /* error of the wall clock */
        int64_t epoch_us;  /* true CLOCK_REALTIME at monotonic 0 */
        int64_t unused[28];
        /* Who waits until when, so that time can be moved to the next one at once. */
        struct wait {
                int64_t pid; /* 0: free */
                int64_t end_us;
        } waits[240];
};
_Static_assert(sizeof(struct page) == 4096, "the page has another size than in timewarp.py");

/* The first ones belong to the lab directory. */
#define FIRST_WAIT 16
#define ARRAY_SIZE(a) (sizeof(a) / sizeof *(a))

static struct page *page;

#define REAL(name) ((__typeof__(&name)) real(#name))

static void *real(const char *name) {
        void *p = dlsym(RTLD_NEXT, name);

        if (!p)
                abort();
        return p;
}

__attribute__((constructor)) static void start(void) {
        const char *path = getenv("TIMEWARP_PAGE");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0)
                return;
        void *p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        close(fd);
        if (p != MAP_FAILED)
                page = p;
}

static int64_t load(const int64_t *p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static int64_t now_us(clockid_t which) {
        int64_t t = load(&page->mono_us);

        if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE || which == CLOCK_TAI)
                return t + load(&page->asleep_us) + load(&page->step_us) + load(&page->epoch_us);
        if (which == CLOCK_BOOTTIME)
                return t + load(&page->asleep_us);
        return t;
}

static int is_driven(clockid_t which) {
        return page && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE || which == CLOCK_TAI ||
                        which == CLOCK_BOOTTIME || which == CLOCK_MONOTONIC ||
                        which == CLOCK_MONOTONIC_COARSE || which == CLOCK_MONOTONIC_RAW);
}

static int64_t us_of(const struct timespec *t) {
        return (int64_t) t->tv_sec * 1000000 + t->tv_nsec / 1000;
}

static struct timespec ts_of(int64_t us) {
        return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
}

static void slice(void) {
        struct timespec t = ts_of(SLICE_US);

        syscall(SYS_nanosleep, &t, NULL);
}

static struct wait *wait_begin(int64_t end_us) {
        int64_t pid = getpid();

        for (size_t i = FIRST_WAIT; i < ARRAY_SIZE(page->waits); i++) {
                struct wait *w = &page->waits[i];
                int64_t none = 0;

                if (!__atomic_compare_exchange_n(&w->pid, &none, -pid, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
                        continue;
                __atomic_store_n(&w->end_us, end_us, __ATOMIC_RELEASE);
                __atomic_store_n(&w->pid, pid, __ATOMIC_RELEASE);
                return w;
        }
        return NULL;
}

static void wait_end(struct wait *w) {
        int saved = errno;

        if (w)
                __atomic_store_n(&w->pid, 0, __ATOMIC_RELEASE);
        errno = saved;
}

/* The monotonic time at which another clock shows t. */
static int64_t mono_of(clockid_t which, int64_t t) {
        return t - now_us(which) + now_us(CLOCK_MONOTONIC);
}

/* ---- clocks ---- */

int clock_gettime(clockid_t which, struct timespec *t) {
        if (!is_driven(which))
                return (int) syscall(SYS_clock_gettime, which, t);
        *t = ts_of(now_us(which));
        return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
        (void) zone;
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        *t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
        return 0;
}

time_t time(time_t *t) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        if (t)
                *t = now.tv_sec;
        return now.tv_sec;
}

int timespec_get(struct timespec *t, int base) {
        if (base != TIME_UTC)
                return 0;
        clock_gettime(CLOCK_REALTIME, t);
        return base;
}

/* libevent then waits with epoll_wait's own limit. */
int timerfd_create(clockid_t which, int flags) {
        if (page && which == CLOCK_MONOTONIC) {
                errno = EINVAL;
                return -1;
        }
        return (int) syscall(SYS_timerfd_create, which, flags);
}

/* ---- waiting for descriptors ---- */

int epoll_pwait(int fd, struct epoll_event *ev, int n, int ms, const sigset_t *mask) {
        __typeof__(&epoll_pwait) next = REAL(epoll_pwait);

        if (!page || ms == 0)
                return next(fd, ev, n, ms, mask);
        if (ms < 0)
                return next(fd, ev, n, ms, mask);
        int64_t end = now_us(CLOCK_MONOTONIC) + (int64_t) ms * 1000;
        struct wait *w = wait_begin(end);
        int r;

        do
                r = next(fd, ev, n, SLICE_US / 1000, mask);
        while (r == 0 && now_us(CLOCK_MONOTONIC) < end);
        wait_end(w);
        return r;
}

int epoll_wait(int fd, struct epoll_event *ev, int n, int ms) {
        return epoll_pwait(fd, ev, n, ms, NULL);
}

int poll(struct pollfd *p, nfds_t n, int ms) {
        __typeof__(&poll) next = REAL(poll);

        if (!page || ms <= 0)
                return next(p, n, ms);
        int64_t end = now_us(CLOCK_MONOTONIC) + (int64_t) ms * 1000;
        struct wait *w = wait_begin(end);
        int r;

        do
                r = next(p, n, SLICE_US / 1000);
        while (r == 0 && now_us(CLOCK_MONOTONIC) < end);
        wait_end(w);
        return r;
}

int select(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict x, struct timeval *restrict limit) {
        __typeof__(&select) next = REAL(select);

        if (!page || !limit || (limit->tv_sec == 0 && limit->tv_usec == 0))
                return next(n, r, w, x, limit);
        int64_t end = now_us(CLOCK_MONOTONIC) + (int64_t) limit->tv_sec * 1000000 + limit->tv_usec;
        struct wait *mine = wait_begin(end);
        fd_set r0, w0, x0;
        int k;

        FD_ZERO(&r0);
        FD_ZERO(&w0);
        FD_ZERO(&x0);
        if (r)
                r0 = *r;
        if (w)
                w0 = *w;
        if (x)
                x0 = *x;
        do {
                struct timeval t = {.tv_usec = SLICE_US};

                if (r)
                        *r = r0;
                if (w)
                        *w = w0;
                if (x)
                        *x = x0;
                k = next(n, r, w, x, &t);
        } while (k == 0 && now_us(CLOCK_MONOTONIC) < end);
        wait_end(mine);
        return k;
}

/* ---- sleeping ---- */

int clock_nanosleep(clockid_t which, int flags, const struct timespec *t, struct timespec *left) {
        if (!is_driven(which))
                return REAL(clock_nanosleep)(which, flags, t, left);
        int64_t end = us_of(t) + (flags & TIMER_ABSTIME ? 0 : now_us(which));

        struct wait *w = wait_begin(mono_of(which, end));

        while (now_us(which) < end)
                slice();
        wait_end(w);
        return 0;
}

int nanosleep(const struct timespec *t, struct timespec *left) {
        if (!page)
                return (int) syscall(SYS_nanosleep, t, left);
        return clock_nanosleep(CLOCK_MONOTONIC, 0, t, left);
}

int usleep(useconds_t us) {
        struct timespec t = ts_of(us);

        return nanosleep(&t, NULL);
}

unsigned sleep(unsigned s) {
        struct timespec t = {.tv_sec = s};

        nanosleep(&t, NULL);
        return 0;
}

/* ---- waiting for threads ---- */

/* A real limit of one slice from now, or of all that is left when that is short; *ret_last tells. */
static struct timespec real_limit(clockid_t which, int64_t end, int *ret_last) {
        int64_t left = end - now_us(which);
        struct timespec t;

        *ret_last = left <= SHORT_US;
        syscall(SYS_clock_gettime, which, &t);
        return ts_of(us_of(&t) + (left <= 0 ? 0 : *ret_last ? left : SLICE_US));
}

int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t which, const struct timespec *t) {
        __typeof__(&pthread_cond_clockwait) next = REAL(pthread_cond_clockwait);

        if (!page)
                return next(c, m, which, t);
        struct wait *w = NULL;
        int last, r;

        do {
                struct timespec limit = real_limit(which, us_of(t), &last);

                if (!last && !w)
                        w = wait_begin(mono_of(which, us_of(t)));
                r = next(c, m, which, &limit);
        } while (r == ETIMEDOUT && !last);
        wait_end(w);
        return r;
}

/* Which clock a condition waits by is its own secret: Python and the C library's users take the
 * monotonic one, and the two are told apart by their size. */
int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m,
                           const struct timespec *restrict t) {
        if (!page)
                return REAL(pthread_cond_timedwait)(c, m, t);
        int64_t apart = now_us(CLOCK_REALTIME) - us_of(t);
        clockid_t which = llabs(apart) < llabs(now_us(CLOCK_MONOTONIC) - us_of(t)) ? CLOCK_REALTIME : CLOCK_MONOTONIC;

        return pthread_cond_clockwait(c, m, which, t);
}

int sem_clockwait(sem_t *s, clockid_t which, const struct timespec *t) {
        __typeof__(&sem_clockwait) next = REAL(sem_clockwait);

        if (!page)
                return next(s, which, t);
        struct wait *w = NULL;
        int last, r;

        do {
                struct timespec limit = real_limit(which, us_of(t), &last);

                if (!last && !w)
                        w = wait_begin(mono_of(which, us_of(t)));
                r = next(s, which, &limit);
        } while (r && errno == ETIMEDOUT && !last);
        wait_end(w);
        return r;
}

int sem_timedwait(sem_t *s, const struct timespec *t) {
        if (!page)
                return REAL(sem_timedwait)(s, t);
        return sem_clockwait(s, CLOCK_REALTIME, t);
}
