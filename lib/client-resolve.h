/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CLIENT_RESOLVE_H
#define IICP_CLIENT_RESOLVE_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#define IICP_ADDRESSES_MAX 32
#define IICP_CANCEL_POLL_MS 100 /* how late a cancel may be noticed */

struct iicp_addresses {
        struct sockaddr_storage v[IICP_ADDRESSES_MAX];
        size_t n;
};

/* 0, -ENOENT (no such name), -ETIMEDOUT, -ECANCELED, -E2BIG, -ENOMEM. until_ms: iicp_clock_ms. */
int iicp_resolve(const char *host, uint16_t port, int64_t until_ms, const atomic_bool *cancel,
                 struct iicp_addresses *ret);

#endif
