/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_PORT_H
#define IICPD_RELAY_PORT_H

/* The relay's accept port: TLS where the node has a certificate, frames in clear where relay.plaintext
 * allows them, both on one socket told apart by the first byte. Its caps, and the native channel of one
 * worker. [03 sections 1, 3, 8, 13] */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_PORT_NEW_MIN 64          /* connections that have not bound yet, at least */
#define RELAY_PORT_READING_MAX (128u << 20) /* frames that are not complete, of all workers */
#define RELAY_PORT_BATCH 64            /* accepted before others have their turn */
#define RELAY_PORT_PAUSE_MS 500        /* no descriptor left */

struct relay;
struct relay_port;

/* Listens, does not accept yet. *ret is a port that never opens when neither TLS nor plaintext is there. */
int relay_port_new(struct relay *r, struct relay_port **ret, char *why, size_t why_cap);
/* Closes all connections without a word. NULL is fine. */
struct relay_port *relay_port_free(struct relay_port *p);
int relay_port_accept(struct relay_port *p);
/* No new connections; those that have not bound are ended. */
void relay_port_stop(struct relay_port *p);
uint16_t relay_port_number(const struct relay_port *p);
bool relay_port_tls(const struct relay_port *p);
bool relay_port_plain(const struct relay_port *p);

#endif
