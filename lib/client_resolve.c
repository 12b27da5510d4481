/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "client-resolve.h"
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>

/* Name resolution that can be given up: getaddrinfo_a of the C library, whose job outlives an
 * impatient caller. Whoever lets go last, caller or completion, frees it. */
struct resolve_job {
        atomic_int refs;
        struct gaicb request;
        struct addrinfo hints;
        char host[254], service[8];
};

static void job_unref(struct resolve_job *j) {
        if (atomic_fetch_sub(&j->refs, 1) != 1)
                return;
        if (j->request.ar_result)
                freeaddrinfo(j->request.ar_result);
        free(j);
}

static void job_completed(union sigval v) {
        job_unref(v.sival_ptr);
}

static struct resolve_job *job_start(const char *host, uint16_t port) {
        struct resolve_job *j = calloc(1, sizeof(*j));
        struct sigevent done = {.sigev_notify = SIGEV_THREAD,
                                .sigev_notify_function = job_completed};
        struct gaicb *list[1];

        if (!j)
                return NULL;
        atomic_init(&j->refs, 2);
        snprintf(j->host, sizeof(j->host), "%s", host);
        snprintf(j->service, sizeof(j->service), "%u", port);
        j->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
        j->request = (struct gaicb){.ar_name = j->host,
                                    .ar_service = j->service,
                                    .ar_request = &j->hints};
        done.sigev_value.sival_ptr = j;
        list[0] = &j->request;
        if (getaddrinfo_a(GAI_NOWAIT, list, 1, &done) != 0) {
                /* the completion is reported all the same */
                job_unref(j);
                return NULL;
        }
        return j;
}

static int keep(const struct addrinfo *ai, struct iicp_addresses *ret) {
        ret->n = 0;
        for (; ai; ai = ai->ai_next) {
                if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
                        continue;
                /* an answer of this length is no ordinary host; none is left unchecked */
                if (ret->n == IICP_ADDRESSES_MAX)
                        return -E2BIG;
                memcpy(&ret->v[ret->n++], ai->ai_addr, ai->ai_addrlen);
        }
        return ret->n ? 0 : -ENOENT;
}

int iicp_resolve(const char *host, uint16_t port, int64_t until_ms, const atomic_bool *cancel,
                 struct iicp_addresses *ret) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
        struct addrinfo *literal = NULL;
        struct resolve_job *j;
        char service[8];
        int r;

        snprintf(service, sizeof(service), "%u", port);
        if (getaddrinfo(host, service, &hints, &literal) == 0) {
                r = keep(literal, ret);
                freeaddrinfo(literal);
                return r;
        }
        j = job_start(host, port);
        if (!j)
                return -ENOMEM;
        for (;;) {
                const struct gaicb *list[1] = {&j->request};
                struct timespec slice = {.tv_nsec = IICP_CANCEL_POLL_MS * 1000000L};

                r = gai_error(&j->request);
                if (r != EAI_INPROGRESS)
                        break;
                if (atomic_load(cancel) || iicp_clock_ms() >= until_ms) {
                        r = atomic_load(cancel) ? -ECANCELED : -ETIMEDOUT;
                        /* no gai_cancel: a dequeued job would never be reported as complete */
                        job_unref(j);
                        return r;
                }
                (void) gai_suspend(list, 1, &slice);
        }
        r = r == 0 ? keep(j->request.ar_result, ret) : -ENOENT;
        job_unref(j);
        return r;
}
