/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_name.h"

#include "util.h"

#include <iicp/address.h>
#include <iicp/endpoint.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct asking {
        struct endpoint_name *owner; /* NULL: it is gone */
        char endpoint[256];
        bool fine;
};

struct endpoint_name {
        struct loop *loop;
        void (*known)(void *arg);
        void *arg;
        char endpoint[256];          /* what the verdict is about */
        bool fine;
        struct asking *asking;
};

bool endpoint_resolves_public(const char *endpoint) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
        struct sockaddr_storage literal;
        struct iicp_url url;
        bool fine = true;

        if (iicp_url_parse(iicp_str(endpoint), &url) < 0 || iicp_addr_parse(url.host, &literal) ||
            getaddrinfo(url.host, NULL, &hints, &list) != 0)
                return true;
        for (struct addrinfo *a = list; a; a = a->ai_next)
                fine = fine && iicp_endpoint_addr_allowed(a->ai_addr, IICP_ENDPOINT_REGISTER) == 0;
        freeaddrinfo(list);
        return fine;
}

static void work(void *arg) {
        struct asking *q = arg;

        q->fine = endpoint_resolves_public(q->endpoint);
}

static void done(void *arg) {
        struct asking *q = arg;
        struct endpoint_name *e = q->owner;

        if (e) {
                e->asking = NULL;
                e->fine = q->fine;
                memcpy(e->endpoint, q->endpoint, sizeof e->endpoint);
        }
        free(q);
        if (e)
                e->known(e->arg);
}

struct endpoint_name *endpoint_name_new(struct loop *l, void (*known)(void *arg), void *arg) {
        struct endpoint_name *e = calloc(1, sizeof *e);

        if (e)
                *e = (struct endpoint_name){.loop = l, .known = known, .arg = arg};
        return e;
}

struct endpoint_name *endpoint_name_free(struct endpoint_name *e) {
        if (e && e->asking)
                e->asking->owner = NULL;
        free(e);
        return NULL;
}

static bool is_literal(const char *endpoint) {
        struct sockaddr_storage literal;
        struct iicp_url url;

        return iicp_url_parse(iicp_str(endpoint), &url) < 0 || iicp_addr_parse(url.host, &literal);
}

enum name_verdict endpoint_name_look(struct endpoint_name *e, const char *endpoint) {
        struct asking *q;

        if (is_literal(endpoint) || strlen(endpoint) >= sizeof e->endpoint)
                return NAME_FINE;
        if (strcmp(e->endpoint, endpoint) == 0)
                return e->fine ? NAME_FINE : NAME_PRIVATE;
        if (e->asking && strcmp(e->asking->endpoint, endpoint) == 0)
                return NAME_ASKED;
        if (e->asking)
                e->asking->owner = NULL;
        e->asking = q = calloc(1, sizeof *q);
        if (!q)
                return NAME_FINE;
        q->owner = e;
        snprintf(q->endpoint, sizeof q->endpoint, "%s", endpoint);
        if (loop_block_on(e->loop, LOOP_ROUTERS, work, done, q) == 0)
                return NAME_ASKED;
        e->asking = NULL;
        free(q);
        return NAME_FINE;
}
