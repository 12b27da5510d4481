/* SPDX-License-Identifier: Apache-2.0 */
#include "rate.h"

#include "util.h"

#include <iicp/endpoint.h>
#include <netinet/in.h>
#include <uthash.h>

struct rate_window {
        uint64_t since_ms;
        unsigned count;
        UT_hash_handle hh; /* in the order in which the windows began */
        size_t n;
        char key[];
};

struct rate {
        struct rate_window *windows;
};

struct rate *rate_new(void) {
        return calloc(1, sizeof(struct rate));
}

static void drop(struct rate *r, struct rate_window *w) {
        HASH_DEL(r->windows, w);
        free(w);
}

struct rate *rate_free(struct rate *r) {
        if (!r)
                return NULL;
        while (r->windows)
                drop(r, r->windows);
        free(r);
        return NULL;
}

static struct rate_window *find(struct rate *r, struct iicp_str *key, uint64_t now_ms) {
        struct rate_window *w = NULL;

        while (r->windows && now_ms - r->windows->since_ms >= RATE_WINDOW_MS)
                drop(r, r->windows);
        key->n = MIN(key->n, (size_t) RATE_KEY_MAX);
        HASH_FIND(hh, r->windows, key->p, key->n, w);
        return w;
}

static struct rate_window *begin(struct rate *r, struct iicp_str key, uint64_t now_ms) {
        struct rate_window *w;

        if (HASH_COUNT(r->windows) >= RATE_KEYS_MAX)
                drop(r, r->windows);
        w = calloc(1, sizeof(*w) + key.n);
        if (!w)
                return NULL;
        memcpy(w->key, key.p, key.n);
        w->n = key.n;
        w->since_ms = now_ms;
        HASH_ADD_KEYPTR(hh, r->windows, w->key, w->n, w);
        return w;
}

bool rate_take(struct rate *r, struct iicp_str key, unsigned limit, uint64_t now_ms) {
        struct rate_window *w;

        if (limit == 0 || !key.p)
                return true;
        w = find(r, &key, now_ms);
        if (!w)
                w = begin(r, key, now_ms);
        if (!w)
                return false;
        if (w->count <= limit)
                w->count++;
        return w->count <= limit;
}

bool rate_over(struct rate *r, struct iicp_str key, unsigned limit, uint64_t now_ms) {
        struct rate_window *w = key.p ? find(r, &key, now_ms) : NULL;

        return w && w->count > limit;
}

unsigned rate_count(const struct rate *r) {
        return HASH_COUNT(r->windows);
}

struct iicp_str rate_source(const struct sockaddr *peer, char out[16]) {
        if (iicp_addr_is_loopback(peer))
                return IICP_STR_NONE;
        if (peer->sa_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *) (const void *) peer;

                memcpy(out, &in->sin_addr, 4);
                return (struct iicp_str){out, 4};
        }
        if (peer->sa_family == AF_INET6) {
                const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) (const void *) peer;

                if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) {
                        memcpy(out, in->sin6_addr.s6_addr + 12, 4);
                        return (struct iicp_str){out, 4};
                }
                memcpy(out, in->sin6_addr.s6_addr, 8);
                return (struct iicp_str){out, 8};
        }
        return IICP_STR_NONE;
}
