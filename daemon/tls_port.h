/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TLS_PORT_H
#define IICPD_TLS_PORT_H

/* TLS in front of both doors. After the handshake the same four bytes decide: native frames go to
 * their door with the TLS layer below; HTTP goes to libmicrohttpd through a pair of sockets, since it
 * has its own reading and writing. Both directions hold the other back, an end and a reset travel.
 * [02 section 1; 05 section 13.5] */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define TLS_PUMP_MAX 65536u      /* bytes on their way in one direction; above it that side is not read */
#define TLS_PUMP_END_MS 2000     /* for the rest, after the door has closed */

struct node;
struct tls;
struct tls_port;
struct iicp_buf;

/* Bytes of a connection that came out of TLS; shared by pump and listener. */
struct tls_count {
        unsigned refs;
        uint64_t received;
};
void tls_count_unref(struct tls_count *c);

/* Loads the certificate if there is one. -errno, why gets a text for the operator. */
int tls_port_new(struct node *node, struct tls_port **ret, char *why, size_t why_cap);
struct tls_port *tls_port_free(struct tls_port *p);
/* Is there a certificate? Then the port speaks nothing else. */
bool tls_port_active(const struct tls_port *p);
/* What it speaks, for a connection of another port; NULL without a certificate. */
struct tls *tls_port_tls(const struct tls_port *p);
/* After a reload: takes the new certificate, or keeps the old one and says why. */
void tls_port_reload(struct tls_port *p);
/* A connection whose first byte begins a handshake; the listener knows it as fd. -errno: fd is still
 * the listener's. native_only: after the handshake only frames are taken. */
int tls_port_accept(struct tls_port *p, int fd, const struct sockaddr *peer, socklen_t peer_len, uint64_t since_ms,
                    bool native_only);
/* {"tls","certificate_until"} */
void tls_port_json(const struct tls_port *p, struct iicp_buf *out);
/* Unix seconds, 0 = no certificate. */
int64_t tls_port_not_after(const struct tls_port *p);

#endif
