/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LISTENER_H
#define IICPD_LISTENER_H

/* Accept, peek four bytes, hand over to a door. Owns the listening socket, the connection caps
 * (in all and per source: IPv4 address, IPv6 /64; loopback and trusted proxies are exempt from the
 * cap per source), connections that are silent between requests, and the pause on descriptor
 * exhaustion. [02 sections 1, 2.5] */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define LISTENER_PEEK_MS 10000       /* four bytes after accept */
#define LISTENER_HEAD_MS 10000       /* complete request head after accept or first byte */
#define LISTENER_IDLE_MS 60000       /* keep-alive */
#define LISTENER_PORTS 64            /* candidates of the auto-increment */
#define LISTENER_BACKLOG 1024
#define LISTENER_PAUSE_MS 500        /* no descriptor left: next try, unless one gets free earlier */
#define LISTENER_MIN_CONNECTIONS 256
#define LISTENER_MIN_PER_SOURCE 64

struct node;
struct listener;
struct tls_count;

/* Binds now (auto-increment over 64 candidates unless strict); accepts only after
 * listener_accept. -errno of the first candidate; why gets a text for the operator. A socket
 * passed by the service manager is used instead when there is one. */
int listener_new(struct node *node, struct listener **ret, char *why, size_t why_cap);
struct listener *listener_free(struct listener *l);
int listener_accept(struct listener *l);
/* The service manager holds the ports open: callers that come from now on wait for the next process,
 * instead of being refused by this one, which stops. Other ports stay open. */
void listener_hold(struct listener *l);
/* No new connections; requests that have begun go on. */
void listener_stop(struct listener *l);
uint16_t listener_port(const struct listener *l);
bool listener_loopback_only(const struct listener *l);
unsigned listener_connections(const struct listener *l);
unsigned listener_max_connections(const struct listener *l);

/* Doors report life of a connection that they got. No listener any more (NULL) is fine. */
void listener_head_complete(struct listener *l, int fd);
void listener_closed(struct listener *l, int fd);
/* The door goes on with a duplicate of the descriptor and closes the old one. */
void listener_moved(struct listener *l, int fd, int new_fd);
/* The connection went through TLS: what is behind it is new_fd, an end of a pair of sockets, and goes
 * to the HTTP door. Both are taken over. */
void listener_through(struct listener *l, int fd, int new_fd, struct tls_count *count);
/* Bytes that have come on the connection; UINT64_MAX: not known. */
uint64_t listener_received(const struct listener *l, int fd);
/* Did it come through TLS? */
bool listener_secure(const struct listener *l, int fd);
/* The door gives a connection back that has been silent for idle_ms after an answer. consumed: what
 * the door gets back with the next request. */
void listener_idle(struct listener *l, int fd, uint64_t idle_ms, uint64_t consumed);

/* The socket alone (listener_bind.c). Takes the first free port of the candidates; skip: a later one that is
 * not to be taken, 0 = none. */
int listener_bind(const char *address, unsigned port, bool strict, unsigned skip, int *ret_fd, char *why, size_t why_cap);
/* The socket that the service manager passed for this role (NULL: the task port), else one that is bound
 * now. A passed one that has another port is an error whose text names both. */
int listener_open(const char *role, const char *key, const char *address, unsigned port, bool strict, unsigned skip,
                  bool *ret_passed, int *ret_fd, char *why, size_t why_cap);
/* Descriptors that this process may have: the soft limit is raised to the hard one. At most 65536. */
unsigned listener_open_files(void);

#endif
