/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RESOLVE_H
#define IICPD_RESOLVE_H

/* Addresses of a host, looked up where waiting harms nobody. Literals need no look-up. */

#include "loop.h"

#include <sys/socket.h>

#define RESOLVE_ADDRESSES_MAX 8

struct resolve;
/* n 0: there is none. Called once, never from inside of resolve_start, unless cancelled. */
typedef void (*resolve_fn)(void *arg, const struct sockaddr_storage *addresses, unsigned n);

struct resolve *resolve_start(struct loop *l, const char *host, uint16_t port, resolve_fn fn, void *arg);
struct resolve *resolve_cancel(struct resolve *r);

#endif
