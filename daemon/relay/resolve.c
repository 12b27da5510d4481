/* SPDX-License-Identifier: Apache-2.0 */
#include "resolve.h"

#include "util.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

struct resolve {
        char host[254];
        uint16_t port;
        struct sockaddr_storage found[RESOLVE_ADDRESSES_MAX];
        unsigned n;
        resolve_fn fn;                 /* NULL: cancelled */
        void *arg;
};

static void finish(void *arg) {
        struct resolve *r = arg;

        if (r->fn)
                r->fn(r->arg, r->found, r->n);
        free(r);
}

static void work(void *arg) {
        struct resolve *r = arg;
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
        char port[8];

        snprintf(port, sizeof port, "%u", r->port);
        if (getaddrinfo(r->host, port, &hints, &list) != 0)
                return;
        for (struct addrinfo *a = list; a && r->n < RESOLVE_ADDRESSES_MAX; a = a->ai_next)
                if (a->ai_addrlen <= sizeof r->found[0])
                        memcpy(&r->found[r->n++], a->ai_addr, a->ai_addrlen);
        freeaddrinfo(list);
}

static bool literal(struct resolve *r) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(r->port)};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(r->port)};

        if (inet_pton(AF_INET, r->host, &v4.sin_addr) == 1)
                memcpy(&r->found[0], &v4, sizeof v4);
        else if (inet_pton(AF_INET6, r->host, &v6.sin6_addr) == 1)
                memcpy(&r->found[0], &v6, sizeof v6);
        else
                return false;
        r->n = 1;
        return true;
}

struct resolve *resolve_start(struct loop *l, const char *host, uint16_t port, resolve_fn fn, void *arg) {
        struct resolve *r = calloc(1, sizeof *r);

        if (!r)
                return NULL;
        snprintf(r->host, sizeof r->host, "%s", host);
        r->port = port;
        r->fn = fn;
        r->arg = arg;
        if (literal(r))
                loop_defer(l, finish, r);
        else if (loop_block_on(l, LOOP_NAMES, work, finish, r) < 0) {
                free(r);
                return NULL;
        }
        return r;
}

struct resolve *resolve_cancel(struct resolve *r) {
        if (r)
                r->fn = NULL; /* frees itself at its end */
        return NULL;
}
