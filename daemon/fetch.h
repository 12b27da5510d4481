/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_FETCH_H
#define IICPD_FETCH_H

/* Outbound HTTP on the loop: one pool, keep-alive, bounded answers, hard total time, cancel by
 * closing the connection. Used for backends and the directory. Redirects are never followed,
 * environment proxies are ignored, certificates are always verified. [02 section 10.1; 05 13.5]
 *
 * A kept-alive connection that is reset before any answer byte is retried once on a fresh one;
 * connections of an error answer are not reused. [02 section 10.10 rule 9] */

#include "loop.h"
#include <iicp/buf.h>

struct fetch_pool;
struct fetch;

enum fetch_error {
        FETCH_OK,             /* a complete answer, whatever its status */
        FETCH_UNREACHABLE,    /* refused, no route */
        FETCH_NAME,           /* the name does not resolve */
        FETCH_TLS,
        FETCH_RESET,          /* closed or reset before the answer was complete */
        FETCH_TIMEOUT,
        FETCH_TOO_LARGE,
        FETCH_PROTOCOL,       /* not HTTP */
        FETCH_FAILED,         /* memory, library */
};
const char *fetch_error_name(enum fetch_error e); /* "connect", "tls", "timeout", ... */

struct fetch_request {
        const char *method;          /* "GET", "POST", "DELETE" */
        const char *url;
        const char *const *headers;  /* "Name: value", NULL-terminated; copied */
        struct iicp_str body;        /* must live until done or cancel */
        uint64_t connect_timeout_ms;
        uint64_t timeout_ms;         /* total, wall clock from start to last byte */
        size_t max_answer;           /* bytes */
        const char *ca_file;         /* NULL = system store */
        const char *proxy;           /* NULL = none */
        int tls_min;                 /* 12 or 13; 0 = 13 */
        bool public_only;            /* an address of a stranger: no private one, by name or literal [05 13.2] */
        bool once;                   /* on a new connection: nothing may send it a second time */
        /* Streams: called for each piece of a 2xx body instead of collecting it; false aborts
         * (FETCH_PROTOCOL). May be NULL. It may cancel this fetch. */
        bool (*on_data)(void *arg, struct iicp_str piece);
        size_t max_stream;           /* bytes given to on_data; 0 = max_answer */
};

struct fetch_answer {
        enum fetch_error error;
        int status;                  /* 0 unless FETCH_OK or headers had arrived */
        struct iicp_str body;        /* borrowed for the callback; empty when on_data took it */
        struct iicp_str content_type, retry_after, server, powered_by, location, date; /* borrowed */
        uint64_t connect_ms, total_ms;
        bool any_byte;               /* something of the answer arrived */
};

typedef void (*fetch_done_fn)(void *arg, const struct fetch_answer *answer);

struct fetch_pool *fetch_pool_new(struct loop *l, size_t max_idle);
struct fetch_pool *fetch_pool_free(struct fetch_pool *p); /* cancels what runs, without callbacks */

/* done() is called exactly once, never from inside fetch_start, unless the fetch is cancelled
 * first. NULL: no memory or malformed URL. */
struct fetch *fetch_start(struct fetch_pool *p, const struct fetch_request *r, fetch_done_fn done, void *arg);
void fetch_cancel(struct fetch *f);

#endif
