/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_FETCH_INTERNAL_H
#define IICPD_FETCH_INTERNAL_H

/* Two engines behind fetch.h. Plain http to an address of ours to say (a backend on this machine or
 * in the house) is done here, with one write and one read a call; https, names and proxies are
 * libcurl's. [decisions: backend calls] */

#include "fetch.h"

#include <netinet/in.h>

#define FETCH_HEADERS_MAX 65536 /* bytes of one answer's header blocks */

/* First member of what an engine allocates. */
struct fetch {
        bool plain;
};

/* fetch_curl.c */
struct curl_pool;
struct curl_pool *fetch_curl_new(struct loop *l, size_t max_idle);
struct curl_pool *fetch_curl_free(struct curl_pool *p);
struct fetch *fetch_curl_start(struct curl_pool *p, const struct fetch_request *r, fetch_done_fn done, void *arg);
void fetch_curl_cancel(struct fetch *fetch);

/* fetch_plain.c */
#define FETCH_PLAIN_ADDRESSES 2 /* "localhost" is two */

struct plain_target {
        struct iicp_str authority; /* for Host; without the default port */
        struct iicp_str path;      /* with query; empty for "/" */
        struct sockaddr_in6 addr[FETCH_PLAIN_ADDRESSES]; /* or sockaddr_in */
        unsigned n;
};

struct plain_pool;
/* True if this engine can do it; the slices are of r->url. */
bool fetch_plain_takes(const struct fetch_request *r, struct plain_target *ret);
struct plain_pool *fetch_plain_new(struct loop *l, size_t max_idle);
struct plain_pool *fetch_plain_free(struct plain_pool *p);
struct fetch *fetch_plain_start(struct plain_pool *p, const struct plain_target *target,
                                const struct fetch_request *r, fetch_done_fn done, void *arg);
void fetch_plain_cancel(struct fetch *fetch);

/* fetch.c; for the tests, which want every rule kept by both. */
void fetch_pool_curl_only(struct fetch_pool *p);

#endif
