/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LISTENER_H
#define IICPD_LISTENER_H

/* Accept, peek four bytes, hand over to a door. Owns the listening socket, the connection caps
 * (in all and per source: IPv4 address, IPv6 /64; loopback and trusted proxies exempt), and the
 * pause on descriptor exhaustion. [02 sections 1, 2.5] */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct node;
struct listener;

/* Binds now (auto-increment over 64 candidates unless strict); accepts only after
 * listener_accept. -errno of the first candidate; why gets a text for the operator. A socket
 * passed by the service manager is used instead when there is one. */
int listener_new(struct node *node, struct listener **ret, char *why, size_t why_cap);
struct listener *listener_free(struct listener *l);
int listener_accept(struct listener *l);
/* No new connections; what is open goes on. */
void listener_stop(struct listener *l);
uint16_t listener_port(const struct listener *l);
bool listener_loopback_only(const struct listener *l);
unsigned listener_connections(const struct listener *l);
unsigned listener_max_connections(const struct listener *l);

/* Doors report life of a connection that they got. */
void listener_head_complete(struct listener *l, int fd);
void listener_closed(struct listener *l, int fd);

#endif
