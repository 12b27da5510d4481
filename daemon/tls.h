/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TLS_H
#define IICPD_TLS_H

/* TLS 1.3 and nothing older: the certificate of the task port, and what we dial with native frames. Connections keep the context that they
 * began with, so a new certificate drops none of them. [02 section 1; 05 section 13.5] */

#include <iicp/buf.h>
#include <stdbool.h>
#include <stdint.h>

#define TLS_EXPIRY_WARN_S (14 * 86400) /* a certificate that ends within that is a problem */

struct config;
struct tls;
struct bufferevent;
struct event_base;

/* Is a certificate configured? */
bool tls_wanted(const struct config *c);
/* From the PEM texts of the configuration. -errno and a text for the operator that names the key. */
int tls_new(const struct config *c, struct tls **ret, char *why, size_t why_cap);
struct tls *tls_free(struct tls *t); /* gives one reference back */
struct tls *tls_ref(struct tls *t);
/* The server's side of a connection that has just been accepted; it owns fd from then on. NULL: no
 * memory, fd is still the caller's. */
struct bufferevent *tls_accept(struct tls *t, struct event_base *base, int fd);
/* For connections of ours: the peer's certificate must lead to the system's roots. -errno as above. */
int tls_client_new(struct tls **ret, char *why, size_t why_cap);
/* The client's side of a connection that stands; the certificate must be for host, a name or an address.
 * BEV_EVENT_CONNECTED or an error follows. NULL as above. */
struct bufferevent *tls_connect(struct tls *t, struct event_base *base, int fd, const char *host);
/* Says on the connection that nothing more is sent. */
void tls_half_close(struct tls *t, struct bufferevent *bev);
int64_t tls_not_after(const struct tls *t);  /* Unix seconds; of the leaf */

#endif
